//! What Ziflow does not document, in combination: a person's whole life before so many kinds of Ziflow that every two
//! unknowns meet in every two of their variants.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{KEY_USER_EMAIL, OWNER_EMAIL, Simulator};

use crate::harness::{Answer, Bridge, Folder, in_ziflow, panic_text, person, ziflow};

/// What can be one way or another. Names in capitals are settings of the bridge, the others quirks of Ziflow.
///
/// `seat_status` and `retry_after` matter at the end, where seats run out and Ziflow wants a pause. `rights`, `churn`,
/// `seats` and `rate_limit` are no unknowns but events, and have tests of their own.
const FACTORS: &[(&str, &[&str])] = &[
    ("put", &["merge", "replace"]),
    ("put_arrays", &["replace", "add"]),
    ("duplicate_status", &["409", "400", "422"]),
    ("unknown_status", &["404", "400", "200_empty"]),
    ("bad_key_status", &["401", "403"]),
    ("error_body", &["message", "error_object", "errors_list", "text", "html", "empty"]),
    ("write_body", &["user", "empty", "id_only"]),
    ("create_status", &["200", "201"]),
    ("update_status", &["200", "204"]),
    ("delete_status", &["200", "202", "204"]),
    ("has_more", &["right", "missing", "always_true"]),
    ("past_the_end", &["empty", "404"]),
    ("count_means", &["page", "asked"]),
    ("order", &["created", "shuffled"]),
    ("ids", &["auth0_pipe", "uuid", "nasty"]),
    ("email_on_put", &["ignored", "refused"]),
    ("unknown_fields", &["refused", "ignored"]),
    ("empty_fields", &["shown", "null", "left_out"]),
    ("inactive", &["listed", "contacts_only"]),
    ("api_keys", &["shown", "hidden"]),
    ("seat_status", &["403", "400", "402", "409", "422"]),
    ("texts", &["verbatim", "trimmed"]),
    ("group_strings", &["any", "known_only", "ids"]),
    ("roles_case", &["plain", "role_prefix"]),
    ("role_sets", &["strict", "any"]),
    ("guest_on_create", &["becomes_user", "duplicate"]),
    ("owner_is_key_user", &["yes", "no"]),
    ("owner_writes", &["allowed", "refused"]),
    ("consistency", &["immediate", "40_ms"]),
    ("retry_after", &["seconds", "date", "none"]),
    ("BRIDGE_ZIFLOW__UPDATE", &["changed_fields", "full_object"]),
    ("BRIDGE_ZIFLOW__INACTIVE_FALLBACK", &["true", "false"]),
    ("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", &["0", "5"]),
    ("BRIDGE_ZIFLOW__PAGE_SIZE", &["100", "2"]),
    ("BRIDGE_POLICY__ON_DELETE", &["deactivate", "delete"]),
    ("BRIDGE_POLICY__INVITATION", &["email", "none"]),
];

/// A factor and one of its values.
type Named = (&'static str, &'static str);

/// Two variants that cannot be together, and why.
const IMPOSSIBLE: &[(Named, Named, &str)] = &[(
    ("inactive", "contacts_only"),
    ("BRIDGE_ZIFLOW__INACTIVE_FALLBACK", "false"),
    "who is disabled is seen among the contacts only, and there the bridge is told not to look",
)];

/// A variant of a factor, both by number.
type Variant = (usize, usize);

fn named((factor, value): Variant) -> Named {
    (FACTORS[factor].0, FACTORS[factor].1[value])
}

fn may_meet(a: Variant, b: Variant) -> bool {
    let is_pair = |one: &Named, other: &Named| named(a) == *one && named(b) == *other;
    !IMPOSSIBLE.iter().any(|(one, other, _)| is_pair(one, other) || is_pair(other, one))
}

/// Every two variants of different factors that can be together.
fn pairs() -> BTreeSet<(Variant, Variant)> {
    let variants: Vec<Variant> = FACTORS
        .iter()
        .enumerate()
        .flat_map(|(factor, (_, values))| (0..values.len()).map(move |value| (factor, value)))
        .collect();
    let all = variants.iter().flat_map(|a| variants.iter().map(move |b| (*a, *b)));
    all.filter(|(a, b)| a.0 < b.0 && may_meet(*a, *b)).collect()
}

fn pair(a: Variant, b: Variant) -> (Variant, Variant) {
    if a.0 < b.0 { (a, b) } else { (b, a) }
}

/// Combinations, one variant of each factor, in which every pair occurs: each begins with a pair that is still
/// missing, and each further factor takes the variant that brings the most missing ones.
fn covering() -> Vec<Vec<Variant>> {
    let (mut missing, mut combinations) = (pairs(), Vec::new());
    while let Some((a, b)) = missing.first().copied() {
        let mut chosen = vec![a, b];
        for (factor, (_, values)) in FACTORS.iter().enumerate() {
            if chosen.iter().any(|variant| variant.0 == factor) {
                continue;
            }
            let possible = (0..values.len())
                .map(|value| (factor, value))
                .filter(|new| chosen.iter().all(|known| may_meet(*known, *new)));
            let gain =
                |new: &Variant| chosen.iter().filter(|known| missing.contains(&pair(**known, *new))).count();
            chosen.push(possible.rev().max_by_key(gain).unwrap());
        }
        chosen.sort_unstable();
        for a in &chosen {
            for b in &chosen {
                missing.remove(&(*a, *b));
            }
        }
        combinations.push(chosen);
    }
    combinations
}

/// Three and more that make trouble together, and that pairs may miss.
fn known_for_trouble() -> impl Iterator<Item = Kind> {
    let kinds: &[&[Named]] = &[
        &[],
        &[("put", "replace"), ("inactive", "contacts_only"), ("write_body", "empty")],
        &[
            ("put", "replace"),
            ("inactive", "contacts_only"),
            ("update_status", "204"),
            ("consistency", "40_ms"),
        ],
        &[
            ("put", "replace"),
            ("inactive", "contacts_only"),
            ("write_body", "empty"),
            ("BRIDGE_ZIFLOW__UPDATE", "full_object"),
        ],
        &[("put", "replace"), ("write_body", "id_only"), ("empty_fields", "null"), ("texts", "trimmed")],
        &[
            ("inactive", "contacts_only"),
            ("unknown_status", "200_empty"),
            ("ids", "nasty"),
            ("write_body", "empty"),
        ],
        &[
            ("has_more", "missing"),
            ("past_the_end", "404"),
            ("order", "shuffled"),
            ("BRIDGE_ZIFLOW__PAGE_SIZE", "2"),
        ],
        &[
            ("duplicate_status", "400"),
            ("unknown_status", "400"),
            ("error_body", "html"),
            ("consistency", "40_ms"),
        ],
    ];
    kinds.iter().map(|unusual| {
        let value = |name: &str, usual| {
            unusual.iter().find(|(unusual, _)| *unusual == name).map_or(usual, |(_, value)| *value)
        };
        Kind(FACTORS.iter().map(|(name, values)| (*name, value(name, values[0]))).collect())
    })
}

/// One combination: names and values.
#[derive(Clone, Debug)]
struct Kind(Vec<Named>);

impl Kind {
    fn is(&self, name: &str, value: &str) -> bool {
        self.0.contains(&(name, value))
    }

    /// What is not as usual.
    fn text(&self) -> String {
        let unusual = |(name, value): &Named| {
            let usual = FACTORS.iter().any(|(factor, values)| factor == name && values[0] == *value);
            (!usual).then(|| format!("{name}={value}"))
        };
        self.0.iter().filter_map(unusual).collect::<Vec<_>>().join(" ")
    }

    /// An update cannot take away what is in a list.
    fn only_adds(&self) -> bool {
        self.is("put_arrays", "add") && self.is("put", "merge")
    }

    /// A contact shows no groups, so they cannot be sent back for long to a Ziflow that forgets what it is not sent.
    fn hides_groups(&self) -> bool {
        self.is("inactive", "contacts_only") && self.is("put", "replace")
    }

    /// A group that there is.
    fn reviewers(&self) -> &'static str {
        if self.is("group_strings", "ids") { "grp-1" } else { "Reviewers" }
    }

    /// Whether a refusal tells in words what it is about.
    fn tells_why(&self) -> bool {
        !self.is("error_body", "html") && !self.is("error_body", "empty")
    }
}

/// The shipped mapping, with what it leaves to the operator: groups.
const MAPPING: &str = include_str!("../../config/mapping.yaml");

fn mapping(folder: &Folder) -> String {
    let roles = "\n  roles:\n";
    assert!(MAPPING.contains(roles));
    let text = MAPPING.replace(roles, &format!("\n  group:\n    from: entitlements.value\n{roles}"));
    folder.file("mapping.yaml", &text).display().to_string()
}

const EMAIL: &str = "jo.lee+x@example.com";

fn jo(kind: &Kind) -> Value {
    let mut jo = person("Jo.Lee+x@Example.com");
    jo["externalId"] = json!("jo.lee");
    jo["preferredLanguage"] = json!("en-GB");
    jo["phoneNumbers"] = json!([{"type": "work", "value": "+44 20 "}]);
    jo["entitlements"] = json!([{"value": kind.reviewers()}]);
    jo
}

#[track_caller]
fn holds(answer: &Answer, expected: &Value) {
    let problems = ziflow_scim_bridge::cli::transcript::differences(expected, &answer.body);
    assert!(problems.is_empty(), "{problems:?} in {}", answer.body);
}

#[track_caller]
fn finds(answer: Answer, ids: &[&str]) -> Answer {
    let answer = answer.expect(200);
    let people = answer.body["Resources"].as_array().unwrap();
    let found: Vec<_> = people.iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids, "{}", answer.body);
    answer
}

/// Refused or troubled, and Ziflow is said to be the reason.
#[track_caller]
fn fails(answer: &Answer) {
    assert!(matches!(answer.status, 400 | 502..=504), "{answer:?}");
    assert!(answer.text("/detail").contains("Ziflow"), "{answer:?}");
}

fn set(path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": "Replace", "path": path, "value": value.into()}])
}

/// A Ziflow of this kind, and the bridge with the settings that fit it.
struct Stage {
    kind: Kind,
    ziflow: Simulator,
    bridge: Bridge,
    _mapping: Folder,
}

impl Stage {
    async fn new(kind: Kind) -> Self {
        let (settings, quirks): (Vec<_>, Vec<_>) =
            kind.0.iter().copied().partition(|(name, _)| name.starts_with("BRIDGE_"));
        let ziflow = ziflow(&quirks).await;
        // Somebody has the group already, for a Ziflow that takes no other.
        let group = json!([kind.reviewers()]);
        ziflow.add_person(
            json!({"email": "ann@example.com", "first_name": "Ann", "last_name": "Ode", "group": group}),
        );
        let owner = ziflow.people()[0]["id"].as_str().unwrap().to_owned();
        let folder = Folder::new();
        let mapping = mapping(&folder);
        let mut all = vec![
            ("BRIDGE_MAPPING__FILE", mapping.as_str()),
            ("BRIDGE_POLICY__NEW_OWNER_ID", &owner),
            ("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "0"),
            ("BRIDGE_RATE_LIMIT__RETRIES", "1"),
        ];
        if kind.is("owner_is_key_user", "no") {
            all.push(("BRIDGE_ZIFLOW__KEY_USER_EMAIL", KEY_USER_EMAIL));
        }
        all.extend(settings);
        let bridge = Bridge::with(&ziflow, &all).await;
        bridge.line("Ziflow takes the API key").await;
        Self { kind, ziflow, bridge, _mapping: folder }
    }

    /// Where nothing is remembered and Ziflow is slow to show a write, what is read at once is what was before.
    async fn settled(&self, answer: Answer) -> Answer {
        let forgets = self.kind.is("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0");
        if forgets && !self.kind.is("consistency", "immediate") {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        answer
    }

    async fn create(&self, body: Value) -> Answer {
        self.settled(self.bridge.create(body).await).await
    }

    async fn patch(&self, id: &str, operations: Value) -> Answer {
        self.settled(self.bridge.patch(id, operations).await).await
    }

    fn held(&self) -> Value {
        in_ziflow(&self.ziflow, EMAIL)
    }

    async fn find(&self, filter: &str) -> Answer {
        self.bridge.find(filter).await
    }

    /// Everybody, page by page: each once, and nobody is missing.
    async fn lists_everybody(&self, but: &[&str]) {
        let mut listed = Vec::new();
        loop {
            let page =
                self.bridge.get(&format!("/Users?startIndex={}&count=3", listed.len() + 1)).await.expect(200);
            let people = page.body["Resources"].as_array().unwrap().clone();
            listed.extend(people.iter().map(|user| user["id"].as_str().unwrap().to_owned()));
            let total = page.body["totalResults"].as_u64().unwrap();
            if people.is_empty() || u64::try_from(listed.len()).unwrap() >= total {
                break;
            }
        }
        listed.sort_unstable();
        let users = self.ziflow.people().into_iter().filter(|person| person["guest"] != true);
        let mut expected: Vec<_> = users.map(|person| person["id"].as_str().unwrap().to_owned()).collect();
        expected.retain(|id| !but.contains(&id.as_str()));
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }

    async fn make(&self) -> String {
        finds(self.find(r#"userName eq "jo.lee+x@example.com""#).await, &[]);
        let made = self.create(jo(&self.kind)).await.expect(201);
        holds(
            &made,
            &json!({"userName": "Jo.Lee+x@Example.com", "active": true, "preferredLanguage": "en-GB"}),
        );
        let held = self.held();
        assert_eq!(held["id"], made.id());
        let fields = ["first_name", "last_name", "language", "roles", "group", "active", "verified"];
        let verified = self.kind.is("BRIDGE_POLICY__INVITATION", "none");
        let expected = json!(["Jo", "Lee", "en", ["user"], [self.kind.reviewers()], true, verified]);
        assert_eq!(json!(fields.map(|name| held[name].clone())), expected);
        made.id()
    }

    async fn find_and_read(&self, id: &str) {
        let taken = self.create(jo(&self.kind)).await.expect(409);
        assert_eq!(taken.body["scimType"], "uniqueness");
        assert!(taken.text("/detail").contains(id), "{}", taken.body);
        for filter in [
            r#"userName eq "JO.LEE+X@example.com""#,
            r#"externalId eq "jo.lee""#,
            r#"emails[type eq "work"].value eq "jo.lee+x@example.com""#,
            r#"userName eq "jo.lee+x@example.com" and active eq true"#,
        ] {
            finds(self.find(filter).await, &[id]);
        }
        let shown = self.bridge.read(id).await.expect(200);
        let expected = json!({
            "userName": "Jo.Lee+x@Example.com", "externalId": "jo.lee", "preferredLanguage": "en-GB",
            "phoneNumbers": [{"type": "work", "value": "+44 20 "}], "entitlements": [{"value": self.kind.reviewers()}],
        });
        holds(&shown, &expected);
    }

    async fn change(&self, id: &str) {
        let before = self.held();
        let patched = self.patch(id, set("name.familyName", "Baker")).await.expect(200);
        assert_eq!(patched.text("/name/familyName"), "Baker");
        let mut expected = before;
        expected["last_name"] = json!("Baker");
        assert_eq!(self.held(), expected, "what an update does not name stays");

        let manager = json!([{"op": "Add", "path": "roles", "value": [{"value": "ZiflowManager"}]}]);
        let patched = self.patch(id, manager).await.expect(200);
        holds(&patched, &json!({"roles": [{"value": "ZiflowManager"}]}));
        assert_eq!(self.held()["roles"], json!(["user", "manager"]));
        let unheard = json!([{"op": "Add", "path": "entitlements", "value": [{"value": "Unheard"}]}]);
        let answer = self.patch(id, unheard).await;
        if self.kind.is("group_strings", "any") {
            answer.expect(200);
            assert_eq!(self.held()["group"], json!([self.kind.reviewers(), "Unheard"]));
        } else {
            fails(&answer);
            assert_eq!(self.held()["group"], json!([self.kind.reviewers()]));
        }
    }

    async fn rename_and_back(&self, id: &str) {
        let renamed = self.patch(id, set("userName", "New@example.com")).await.expect(200);
        assert_eq!(renamed.text("/userName"), "New@example.com");
        assert_eq!(self.bridge.read(id).await.expect(200).text("/userName"), "New@example.com");
        assert_eq!(self.held()["id"], id, "Ziflow keeps the address");
        finds(self.find(r#"userName eq "new@example.com""#).await, &[id]);
        finds(self.find(r#"userName eq "jo.lee+x@example.com""#).await, &[]);
        self.patch(id, set("userName", "Jo.Lee+x@Example.com")).await.expect(200);
        finds(self.find(r#"userName eq "jo.lee+x@example.com""#).await, &[id]);
    }

    async fn disable_and_restore(&self, id: &str) {
        let before = self.held();
        let disabled = self.patch(id, set("active", "False")).await.expect(200);
        assert_eq!(disabled.body["active"], false);
        let mut expected = before.clone();
        expected["active"] = json!(false);
        assert_eq!(self.held(), expected);
        assert_eq!(self.bridge.read(id).await.expect(200).body["active"], false);
        for filter in [r#"userName eq "jo.lee+x@example.com""#, r#"externalId eq "jo.lee""#] {
            let found = finds(self.find(filter).await, &[id]);
            assert_eq!(found.body["Resources"][0]["active"], false);
        }
        self.lists_everybody(&[]).await;
        let restored = self.patch(id, set("active", "True")).await.expect(200);
        assert_eq!(restored.body["active"], true);
        let (mut expected, held) = (before, self.held());
        if self.kind.hides_groups() {
            expected["group"] = held["group"].clone();
        }
        assert_eq!(held, expected, "nothing but `active` has changed");
        assert_eq!(self.bridge.read(id).await.expect(200).body["active"], true);
    }

    async fn take_a_role_away(&self, id: &str) {
        self.patch(id, json!([{"op": "Remove", "path": "roles"}])).await.expect(200);
        let left = if self.kind.only_adds() { json!(["user", "manager"]) } else { json!(["user"]) };
        assert_eq!(self.held()["roles"], left);
    }

    async fn replace(&self, id: &str) {
        let mut whole = jo(&self.kind);
        whole["name"]["givenName"] = json!("Joan");
        whole.as_object_mut().unwrap().retain(|name, _| name != "phoneNumbers" && name != "active");
        let replaced = self.settled(self.bridge.replace(id, whole).await).await.expect(200);
        assert_eq!((replaced.text("/name/givenName"), &replaced.body["active"]), ("Joan", &json!(true)));
        assert_eq!(replaced.body["phoneNumbers"], Value::Null);
        let held = self.held();
        assert_eq!((held["first_name"].as_str(), held["last_name"].as_str()), (Some("Joan"), Some("Lee")));
        assert_eq!((held["phone"].as_str().unwrap_or_default(), &held["active"]), ("", &json!(true)));
    }

    /// The account owner, and the key's own user where that is somebody else.
    async fn some_are_beyond_reach(&self) {
        for email in [OWNER_EMAIL, KEY_USER_EMAIL] {
            let before = in_ziflow(&self.ziflow, email);
            let Some(id) = before["id"].as_str() else { continue };
            let off = self.patch(id, set("active", "False")).await.expect(400);
            assert_eq!(off.body["scimType"], "mutability");
            assert_eq!(self.bridge.delete(id).await.expect(400).body["scimType"], "mutability");
            assert_eq!(in_ziflow(&self.ziflow, email), before);
            assert_eq!(self.bridge.read(id).await.expect(200).body["active"], true);
        }
    }

    /// Who is a guest so far may become a user, or stand in the way of one.
    async fn meet_a_guest(&self) {
        let guest = "guest@example.com";
        self.ziflow.add_person(json!({"email": guest, "guest": true, "roles": []}));
        let answer = self.create(person(guest)).await;
        if self.kind.is("guest_on_create", "becomes_user") {
            answer.expect(201);
            assert_eq!(in_ziflow(&self.ziflow, guest)["guest"], false);
        } else {
            fails(&answer);
            assert_eq!(in_ziflow(&self.ziflow, guest)["guest"], true);
        }
    }

    async fn delete_and_return(&self, id: &str) {
        let erased = self.kind.is("BRIDGE_POLICY__ON_DELETE", "delete");
        self.bridge.delete(id).await.expect(204);
        if !self.kind.is("consistency", "immediate") {
            // Ziflow itself shows somebody whom it has deleted for so long.
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(self.held()["active"], if erased { Value::Null } else { json!(false) });
        self.bridge.read(id).await.expect(404);
        self.bridge.delete(id).await.expect(404);
        self.patch(id, set("title", "Lead")).await.expect(404);
        finds(self.find(r#"userName eq "jo.lee+x@example.com""#).await, &[]);
        finds(self.find(r#"externalId eq "jo.lee""#).await, &[]);
        self.lists_everybody(&[id]).await;
        let back = self.create(jo(&self.kind)).await.expect(201);
        assert_eq!(back.id() == id, !erased, "{}", back.body);
        let held = self.held();
        assert_eq!((&held["id"], &held["active"]), (&json!(back.id()), &json!(true)));
        assert_eq!(held["first_name"], "Jo");
        assert!(held["phone"].as_str().unwrap().starts_with("+44"));
        if !self.kind.only_adds() {
            assert_eq!(held["roles"], json!(["user"]));
        }
        finds(self.find(r#"externalId eq "jo.lee""#).await, &[&back.id()]);
        self.lists_everybody(&[]).await;
    }

    async fn seats_run_out(&self) {
        self.ziflow.set("seats", "1").unwrap();
        let refused = self.create(person("late@example.com")).await;
        fails(&refused);
        if self.kind.tells_why() || self.kind.is("seat_status", "402") {
            assert!(refused.expect(400).text("/detail").contains("no free seat"));
        }
        assert_eq!(in_ziflow(&self.ziflow, "late@example.com"), Value::Null);
        self.ziflow.set("seats", "unlimited").unwrap();
        self.create(person("late@example.com")).await.expect(201);
    }

    async fn the_key_is_refused_and_a_pause_is_wanted(&self) {
        let key = self.ziflow.key().to_owned();
        self.ziflow.change_key("another");
        fails(&self.find(r#"userName eq "nobody@example.com""#).await.expect(502));
        self.ziflow.change_key(&key);
        // As long as the bridge leaves Ziflow alone then.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        finds(self.find(r#"userName eq "nobody@example.com""#).await, &[]);
        self.ziflow.set("rate_limit", "0").unwrap();
        let told = self.find(r#"userName eq "somebody@example.com""#).await.expect(429);
        assert!(told.header("retry-after").is_some_and(|wait| wait != "0"), "{told:?}");
    }

    /// Nobody's API key has got out.
    async fn ends(self) {
        let keys = self.ziflow.people();
        let log = format!("{:?}", self.bridge.stop().await);
        for key in keys.iter().filter_map(|person| person["api_key"].as_str()) {
            assert!(!log.contains(key));
        }
    }
}

async fn a_whole_life(kind: Kind) {
    let stage = Stage::new(kind).await;
    let id = stage.make().await;
    stage.find_and_read(&id).await;
    stage.change(&id).await;
    stage.rename_and_back(&id).await;
    stage.disable_and_restore(&id).await;
    stage.take_a_role_away(&id).await;
    stage.replace(&id).await;
    stage.lists_everybody(&[]).await;
    stage.some_are_beyond_reach().await;
    stage.meet_a_guest().await;
    stage.delete_and_return(&id).await;
    stage.seats_run_out().await;
    stage.the_key_is_refused_and_a_pause_is_wanted().await;
    stage.ends().await;
}

#[test]
fn every_two_unknowns_meet_in_every_two_of_their_variants() {
    let combinations = covering();
    for (a, b) in pairs() {
        let met = combinations.iter().any(|chosen| chosen.contains(&a) && chosen.contains(&b));
        assert!(met, "{:?} and {:?}", named(a), named(b));
    }
    for chosen in &combinations {
        let factors: Vec<_> = chosen.iter().map(|variant| variant.0).collect();
        assert_eq!(factors, (0..FACTORS.len()).collect::<Vec<_>>(), "one variant of each");
        assert!(chosen.iter().all(|a| chosen.iter().all(|b| may_meet(*a, *b))));
    }
    for quirk in ziflow_scim_bridge::simulator::quirks() {
        let events = ["rights", "churn", "seats", "rate_limit"];
        let known = FACTORS.iter().any(|(name, _)| *name == quirk.name);
        assert_ne!(known, events.contains(&quirk.name), "{} is in the table, or it is an event", quirk.name);
    }
    assert!(combinations.len() < 60, "{} combinations", combinations.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_before_every_kind_of_ziflow() {
    let kinds = covering().into_iter().map(|chosen| Kind(chosen.into_iter().map(named).collect()));
    let waiting: Arc<Mutex<Vec<Kind>>> = Arc::new(Mutex::new(kinds.chain(known_for_trouble()).collect()));
    let failed = Arc::new(Mutex::new(Vec::new()));
    let players: Vec<_> = (0..8)
        .map(|_| {
            let (waiting, failed) = (Arc::clone(&waiting), Arc::clone(&failed));
            tokio::spawn(async move {
                loop {
                    let Some(kind) = waiting.lock().unwrap().pop() else { break };
                    let Err(error) = tokio::spawn(a_whole_life(kind.clone())).await else { continue };
                    failed.lock().unwrap().push(format!("{}\n{}", panic_text(error), kind.text()));
                }
            })
        })
        .collect();
    for player in players {
        player.await.unwrap();
    }
    let failed = failed.lock().unwrap();
    assert!(failed.is_empty(), "{} kinds:\n{}", failed.len(), failed.join("\n\n"));
}
