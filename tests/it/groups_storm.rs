//! Entra's whole cycle with groups, many people and twenty groups at once: whatever the chance, the plug and the operator
//! do meanwhile, everybody ends with the roles and group texts that a spreadsheet would compute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use ziflow_scim_bridge::simulator::Fault;

use crate::group_stage::{Place, object_id, settled_within};
use crate::harness::{Answer, Bridge, encoded, in_ziflow, person};

const GROUPS: usize = 20;
const WORKERS: usize = 12;

/// So many members in one request.
const BATCH: usize = 25;

const SETTINGS: &[(&str, &str)] = &[
    ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "200"),
    ("BRIDGE_RATE_LIMIT__BREAKER_MAX_SECS", "2"),
    ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"),
    ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "0"),
];

/// Nobody is told to come back more often than this for one request.
const MOST_TRIES: usize = 100;

/// Trouble is told to come back in ten seconds. Less will do for a test, and is harder.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// How long the queue may take once all is well again.
const PATIENCE: Duration = Duration::from_secs(90);

/// A row of `groups:`: the key, roles, group texts.
type Row = (String, &'static [&'static str], &'static [&'static str]);

/// `groups:` before and after the operator's edit: by object id, by name, and everybody else's.
fn rows(edited: bool) -> Vec<Row> {
    fn row(key: &str, roles: &'static [&'static str], texts: &'static [&'static str]) -> Row {
        (key.to_owned(), roles, texts)
    }
    let mut rows = vec![
        (object_id(0), if edited { &["billing"][..] } else { &["manager"] }, &[][..]),
        (object_id(4), &["admin", "manager"], &["Admins"]),
        (object_id(8), &["billing"], &[]),
        (object_id(12), &["admin"], &[]),
        row("Team 1", &["manager", "billing"], &[]),
        row("Team 9", &["billing"], &["Nine", "Shared"]),
        row("Team 13", &["manager"], &["Shared"]),
        row("Team 2", &[], &["Two"]),
        row("Team 6", &[], &["Shared", "Six"]),
        row("Producers", &["manager"], &["{displayName}"]),
        row("*", &[], if edited { &["Everybody"] } else { &["{displayName}"] }),
    ];
    if !edited {
        rows.push(row("Team 5", &["manager"], &[]));
    }
    rows
}

fn yaml(rows: &[Row]) -> String {
    let declared = rows.iter().map(|(key, roles, texts)| {
        let mut grants = json!({"roles": roles, "group": texts});
        grants.as_object_mut().unwrap().retain(|_, list| *list != json!([]));
        format!("  {}: {grants}\n", json!(key))
    });
    format!("groups:\n{}", declared.collect::<String>())
}

/// A number by chance, always the same for the same three.
fn dice(person: usize, group: usize, throw: usize) -> usize {
    let mixed = (person * 31 + group * 7919 + throw * 104_729 + 12_345).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed >> 40
}

/// What becomes of a person, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Disabled,
    DisabledAndRestored,
    Deleted,
}

fn fate(person: usize) -> Fate {
    match person % 11 {
        2 => Fate::Disabled,
        5 | 6 => Fate::DisabledAndRestored,
        9 => Fate::Deleted,
        _ => Fate::Stays,
    }
}

fn joins(person: usize, group: usize) -> bool {
    dice(person, group, 1).is_multiple_of(if group < 2 { 3 } else { 9 })
}

/// Some of those who are disabled leave all their groups meanwhile.
fn leaves(person: usize, group: usize) -> bool {
    joins(person, group) && (person % 11 == 5 || dice(person, group, 2).is_multiple_of(3))
}

fn joins_late(person: usize, group: usize) -> bool {
    person % 11 != 5 && !joins(person, group) && dice(person, group, 3).is_multiple_of(40)
}

fn belongs(person: usize, group: usize) -> bool {
    joins(person, group) && !leaves(person, group) || joins_late(person, group)
}

/// Deleted in the course of the cycle.
fn ends(group: usize) -> bool {
    [2, 7].contains(&group)
}

/// How a group is called at the end, if otherwise than at first.
fn renamed(group: usize) -> Option<&'static str> {
    match group {
        1 => Some("Nobody's Team"),
        3 => Some("PRODUCERS"),
        11 => Some("team 2 \"and\" Ünï🦀"),
        _ => None,
    }
}

fn first_name(group: usize) -> String {
    format!("Team {group}")
}

fn app_role(person: usize) -> Option<(&'static str, &'static str)> {
    match person % 6 {
        0 => Some(("ZiflowManager", "manager")),
        1 => Some(("ZiflowBilling", "billing")),
        _ => None,
    }
}

/// Given in Ziflow by somebody else: a role and a group text.
fn by_hand(person: usize) -> Option<(&'static str, &'static str)> {
    match person % 9 {
        0 => Some(("billing", "By hand")),
        4 => Some(("manager", "Shared")),
        _ => None,
    }
}

/// The spreadsheet: what a person has in the end, roles and group texts.
fn expected(rows: &[Row], person: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut roles = BTreeSet::from(["user".to_owned()]);
    let mut texts = BTreeSet::new();
    roles.extend(app_role(person).map(|(_, role)| role.to_owned()));
    if let Some((role, text)) = by_hand(person) {
        roles.insert(role.to_owned());
        texts.insert(text.to_owned());
    }
    for group in (0..GROUPS).filter(|group| belongs(person, *group) && !ends(*group)) {
        let name = renamed(group).map_or_else(|| first_name(group), str::to_owned);
        let keys = [object_id(group), name.to_lowercase(), "*".to_owned()];
        let row = keys.iter().find_map(|key| rows.iter().find(|row| row.0.to_lowercase() == *key)).unwrap();
        roles.extend(row.1.iter().map(ToString::to_string));
        texts.extend(row.2.iter().map(|text| text.replace("{displayName}", &name)));
    }
    (roles, texts)
}

/// Members as requests to add or remove them, in several dialects.
fn adding(ids: &[String], dialect: usize) -> Value {
    let values: Vec<_> = ids.iter().map(|id| json!({"$ref": null, "value": id})).collect();
    match dialect % 4 {
        0 => json!([{"op": "Add", "path": "members", "value": values}]),
        1 => json!([{"op": "add", "value": {"members": values}}]),
        2 => values.iter().map(|one| json!({"op": "Add", "path": "members", "value": [one, one]})).collect(),
        _ => {
            json!([{"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members", "value": values}])
        }
    }
}

fn removing(ids: &[String], dialect: usize) -> Value {
    let selected = |id: &String| json!({"op": "remove", "path": format!("members[value eq {}]", json!(id))});
    match dialect % 2 {
        0 => {
            json!([{"op": "Remove", "path": "members", "value": ids.iter().map(|id| json!({"value": id})).collect::<Vec<_>>()}])
        }
        _ => ids.iter().map(selected).collect(),
    }
}

fn patch_op(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn email(person: usize) -> String {
    format!("p{person:03}@example.com")
}

/// One request of Entra, which it repeats until it is answered.
#[derive(Clone)]
struct Request {
    line: String,
    body: Option<Value>,
}

struct Storm {
    place: Place,
    /// Another one after the plug was pulled.
    bridge: RwLock<Bridge>,
    people: usize,
}

impl Storm {
    async fn new(people: usize) -> Arc<Self> {
        let place = Place::new(&[]).await;
        place.mapping(&yaml(&rows(false)));
        let bridge = RwLock::new(place.bridge_with(SETTINGS).await);
        Arc::new(Self { place, bridge, people })
    }

    async fn persist(&self, request: &Request) -> Answer {
        for _ in 0..MOST_TRIES {
            let asked = self.bridge.read().await.try_ask(&request.line, request.body.clone()).await;
            let rest = match asked {
                Ok(answer) if !matches!(answer.status, 429 | 502..=504) => return answer,
                Ok(answer) => Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap()),
                Err(_gone) => Duration::from_millis(50),
            };
            tokio::time::sleep(rest.min(LONGEST_REST)).await;
        }
        panic!("{}: still trouble after {MOST_TRIES} tries", request.line);
    }

    /// All of these, by several workers, each list in its order.
    async fn carry_out(self: &Arc<Self>, lists: Vec<Vec<Request>>) -> Vec<Vec<Answer>> {
        let waiting = Arc::new(std::sync::Mutex::new(lists.into_iter().enumerate().collect::<Vec<_>>()));
        let worker = |_| {
            let (storm, waiting) = (Arc::clone(self), Arc::clone(&waiting));
            tokio::spawn(async move {
                let mut done = Vec::new();
                loop {
                    let Some((number, list)) = waiting.lock().unwrap().pop() else { return done };
                    let mut answers = Vec::new();
                    for request in list {
                        answers.push(storm.persist(&request).await);
                    }
                    done.push((number, answers));
                }
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(worker).collect();
        let mut done = BTreeMap::new();
        for worker in workers {
            done.extend(worker.await.unwrap());
        }
        done.into_values().collect()
    }

    /// The ids of all people, by number, hands in Ziflow included.
    async fn people_arrive(self: &Arc<Self>) -> Vec<String> {
        let arrives = |number: usize| {
            let mut body = person(&email(number));
            body["externalId"] = json!(format!("external-{number}"));
            if let Some((role, _)) = app_role(number) {
                body["roles"] = json!([{"value": role}]);
            }
            vec![Request { line: "POST /Users".to_owned(), body: Some(body) }]
        };
        let made = self.carry_out((0..self.people).map(arrives).collect()).await;
        let ids: Vec<String> = made.into_iter().flatten().map(|answer| answer.expect(201).id()).collect();
        for (number, id) in ids.iter().enumerate() {
            let Some((role, text)) = by_hand(number) else { continue };
            let mut roles =
                in_ziflow(&self.place.ziflow, &email(number))["roles"].as_array().unwrap().clone();
            if !roles.contains(&json!(role)) {
                roles.push(json!(role));
            }
            self.place.ziflow.change_person(id, json!({"roles": roles, "group": [text]}));
        }
        ids
    }

    async fn groups_are_made(self: &Arc<Self>) -> Vec<String> {
        let make = |group: usize| {
            let body = crate::group_stage::group(&first_name(group), &object_id(group));
            vec![Request { line: "POST /Groups".to_owned(), body: Some(body) }]
        };
        let made = self.carry_out((0..GROUPS).map(make).collect()).await;
        made.into_iter().flatten().map(|answer| answer.expect(201).id()).collect()
    }

    fn memberships(
        &self,
        ids: &[String],
        groups: &[String],
        of: fn(usize, usize) -> bool,
        operations: fn(&[String], usize) -> Value,
    ) -> Vec<Vec<Request>> {
        let request = |group: usize, batch: usize, some: &[String]| Request {
            line: format!("PATCH /Groups/{}", groups[group]),
            body: Some(patch_op(&operations(some, group + batch))),
        };
        let list = |group: usize| {
            let chosen: Vec<String> =
                (0..self.people).filter(|one| of(*one, group)).map(|one| ids[one].clone()).collect();
            chosen.chunks(BATCH).enumerate().map(|(batch, some)| request(group, batch, some)).collect()
        };
        (0..GROUPS).map(list).collect()
    }

    fn everybody(
        &self,
        ids: &[String],
        request: impl Fn(usize, &str) -> Option<Request>,
    ) -> Vec<Vec<Request>> {
        let one = |number: usize| request(number, &encoded(&ids[number])).map(|request| vec![request]);
        (0..self.people).filter_map(one).collect()
    }

    async fn expect(self: &Arc<Self>, lists: Vec<Vec<Request>>, statuses: &[u16]) {
        for answer in self.carry_out(lists).await.into_iter().flatten() {
            assert!(statuses.contains(&answer.status), "{answer:?}");
        }
    }

    /// Begins it, to be troubled meanwhile.
    fn begin_cycle(self: &Arc<Self>, ids: &[String], groups: &[String]) -> JoinHandle<()> {
        let (storm, ids, groups) = (Arc::clone(self), ids.to_vec(), groups.to_vec());
        tokio::spawn(async move { storm.cycle(&ids, &groups).await })
    }

    /// Everything from the memberships on.
    async fn cycle(self: &Arc<Self>, ids: &[String], groups: &[String]) {
        self.expect(self.memberships(ids, groups, joins, adding), &[204]).await;
        let switch = |on: &str, id: &str| Request {
            line: format!("PATCH /Users/{id}"),
            body: Some(patch_op(&json!([{"op": "Replace", "path": "active", "value": on}]))),
        };
        let goes = |number: usize| matches!(fate(number), Fate::Disabled | Fate::DisabledAndRestored);
        let off = self.everybody(ids, |number, id| goes(number).then(|| switch("False", id)));
        self.expect(off, &[200]).await;
        // Everything else at the same time.
        let mut all = self.memberships(ids, groups, leaves, removing);
        for (list, late) in all.iter_mut().zip(self.memberships(ids, groups, joins_late, adding)) {
            list.extend(late);
        }
        for (group, list) in all.iter_mut().enumerate() {
            let line = format!("PATCH /Groups/{}", groups[group]);
            let rename = |name: &str| json!([{"op": "Replace", "path": "displayName", "value": name}]);
            let rename = renamed(group).map(|name| Request { line, body: Some(patch_op(&rename(name))) });
            list.splice(list.len() / 2..list.len() / 2, rename);
            if ends(group) {
                list.push(Request { line: format!("DELETE /Groups/{}", groups[group]), body: None });
            }
        }
        let returns = |late: bool| {
            self.everybody(ids, |number, id| {
                let returns = fate(number) == Fate::DisabledAndRestored && (number % 11 == 5) == late;
                returns.then(|| switch("True", id))
            })
        };
        all.extend(returns(false));
        // Who was answered before the plug was pulled is told that it is done.
        self.expect(all, &[200, 204, 404]).await;
        self.expect(returns(true), &[200]).await;
        let delete = |number: usize, id: &str| {
            let line = format!("DELETE /Users/{id}");
            (fate(number) == Fate::Deleted).then_some(Request { line, body: None })
        };
        self.expect(self.everybody(ids, delete), &[204, 404]).await;
    }

    /// Waits for the queue, and looks at what came of it.
    async fn ends_as_computed(self: Arc<Self>, rows: &[Row], ids: &[String], groups: &[String]) {
        let Self { place, bridge, people } = Arc::into_inner(self).unwrap();
        let bridge = bridge.into_inner();
        settled_within(&bridge, PATIENCE).await;
        let mut wrong = Vec::new();
        for number in 0..people {
            let held = in_ziflow(&place.ziflow, &email(number));
            let set = |name: &str| -> BTreeSet<String> {
                crate::group_stage::texts(&held[name]).into_iter().collect()
            };
            let gone = matches!(fate(number), Fate::Deleted | Fate::Disabled);
            assert_eq!(held["active"], !gone, "{number}");
            let got = (set("roles"), set("group"));
            if !gone && got != expected(rows, number) {
                wrong.push(format!(
                    "{number} {:?}: has {got:?}, expected {:?}",
                    fate(number),
                    expected(rows, number)
                ));
            }
            if let Some((role, text)) = by_hand(number) {
                assert!(got.0.contains(role) && got.1.contains(text), "{number}: given by hand");
            }
        }
        assert!(wrong.is_empty(), "{} of {people}:\n{}", wrong.len(), wrong.join("\n"));
        for (group, id) in groups.iter().enumerate().filter(|(group, _)| !ends(*group)) {
            let belongs = |number: &usize| belongs(*number, group) && fate(*number) != Fate::Deleted;
            let mut members: Vec<_> = (0..people).filter(belongs).map(|number| ids[number].clone()).collect();
            members.sort();
            assert_eq!(crate::group_stage::members(&bridge, id).await, members, "group {group}");
        }
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_ends_as_a_spreadsheet_would_compute_it() {
    let storm = Storm::new(500).await;
    let ids = storm.people_arrive().await;
    let groups = storm.groups_are_made().await;
    storm.cycle(&ids, &groups).await;
    storm.ends_as_computed(&rows(false), &ids, &groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_though_every_tenth_call_fails() {
    let storm = Storm::new(150).await;
    storm.bridge.read().await.line("Ziflow takes the API key").await;
    let ids = storm.people_arrive().await;
    let groups = storm.groups_are_made().await;
    for fault in [
        Fault::status(StatusCode::INTERNAL_SERVER_ERROR).percent(3),
        Fault::reset().percent(2),
        Fault::apply_then_drop().percent(2),
        Fault::apply_then_status(StatusCode::GATEWAY_TIMEOUT).percent(2),
        Fault::apply_then_hang().percent(1),
    ] {
        storm.place.ziflow.inject(fault.forever());
    }
    storm.cycle(&ids, &groups).await;
    let calls = storm.place.ziflow.calls();
    let failed = calls.iter().filter(|call| call.status.is_none_or(|status| status >= 500)).count();
    assert!(failed * 20 > calls.len(), "only {failed} of {} calls went wrong", calls.len());
    storm.place.ziflow.clear_faults();
    storm.ends_as_computed(&rows(false), &ids, &groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_though_the_plug_is_pulled_again_and_again() {
    let storm = Storm::new(150).await;
    let ids = storm.people_arrive().await;
    let groups = storm.groups_are_made().await;
    let cycle = storm.begin_cycle(&ids, &groups);
    let mut cuts = 0;
    let start = Instant::now();
    while !cycle.is_finished() || cuts < 3 {
        assert!(start.elapsed() < PATIENCE, "the cycle does not end");
        tokio::time::sleep(Duration::from_millis(400)).await;
        if cuts < 6 {
            storm.bridge.read().await.cut_power();
            let mut bridge = storm.bridge.write().await;
            bridge.reap();
            *bridge = storm.place.bridge_with(SETTINGS).await;
            cuts += 1;
        }
    }
    cycle.await.unwrap();
    storm.ends_as_computed(&rows(false), &ids, &groups).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_though_the_mapping_is_another_one_in_the_middle() {
    let storm = Storm::new(150).await;
    let ids = storm.people_arrive().await;
    let groups = storm.groups_are_made().await;
    let cycle = storm.begin_cycle(&ids, &groups);
    // There, back and there again.
    for (reload, edited) in [true, false, true].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        storm.place.mapping(&yaml(&rows(edited)));
        let bridge = storm.bridge.read().await;
        bridge.hang_up();
        bridge.nth_line("reloaded", reload + 1).await;
    }
    cycle.await.unwrap();
    storm.ends_as_computed(&rows(true), &ids, &groups).await;
}
