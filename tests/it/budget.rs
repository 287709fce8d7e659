//! What a SCIM request costs in Ziflow calls: counted by the simulator, never timed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Call, Fault, Simulator};

use crate::harness::{Answer, Bridge, person, ziflow};

/// Whatever was read or written is still remembered when it is asked for again.
const REMEMBERS: &[(&str, &str)] =
    &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "60"), ("BRIDGE_ZIFLOW__PROOF_TTL_SECS", "3600")];

/// As if everything had happened long ago.
const FORGETS: &[(&str, &str)] =
    &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0"), ("BRIDGE_ZIFLOW__PROOF_TTL_SECS", "3600")];

const ERASES: &[(&str, &str)] =
    &[("BRIDGE_POLICY__ON_DELETE", "delete"), ("BRIDGE_POLICY__DELETE_WITHOUT_NEW_OWNER", "true")];

/// What was asked of Ziflow, in the three kinds that are counted apart.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    calls: usize,
    /// `GET /users?count=1`: the address and the key are right.
    proofs: usize,
    /// People whom `/users` does not show, looked for among the contacts.
    fallback: usize,
}

fn cost(ziflow: &Simulator, since: usize) -> Cost {
    let calls = ziflow.calls_since(since);
    let is_proof = |call: &&Call| call.route == "/users" && call.query == "count=1";
    let proofs = calls.iter().filter(is_proof).count();
    let fallback = calls.iter().filter(|call| call.route.starts_with("/contacts")).count();
    Cost { calls: calls.len() - proofs - fallback, proofs, fallback }
}

/// A request about the person with this address and id.
enum Ask {
    Find(&'static str),
    Read,
    Create,
    Patch(Value),
    Put,
    Delete,
}

/// What the person has been through before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Nobody,
    LookedFor,
    Known,
    Disabled,
    Deleted,
}

fn colleague(email: &str, family_name: &str) -> Value {
    let mut person = person(email);
    person["externalId"] = json!(format!("external-{email}"));
    person["name"]["familyName"] = json!(family_name);
    person
}

fn replace(path: &str, value: &str) -> Ask {
    Ask::Patch(json!([{"op": "Replace", "path": path, "value": value}]))
}

async fn ask(bridge: &Bridge, ask: Ask, email: &str, id: &str) -> Answer {
    match ask {
        Ask::Find(filter) => bridge.find(&filter.replace("EMAIL", email).replace("ID", id)).await,
        Ask::Read => bridge.read(id).await,
        Ask::Create => bridge.create(colleague(email, "Lee")).await,
        Ask::Patch(operations) => bridge.patch(id, operations).await,
        Ask::Put => bridge.replace(id, colleague(email, "Baker")).await,
        Ask::Delete => bridge.delete(id).await,
    }
}

/// Request, past of the person, and the most calls that it may cost: with the person remembered, and without.
fn table() -> Vec<(&'static str, Past, Ask, [usize; 2], u16)> {
    use Past::{Deleted, Disabled, Known, LookedFor, Nobody};
    vec![
        ("by userName", Known, Ask::Find(r#"userName eq "EMAIL""#), [0, 1], 200),
        ("by externalId", Known, Ask::Find(r#"externalId eq "external-EMAIL""#), [0, 1], 200),
        ("by e-mail", Known, Ask::Find(r#"emails[type eq "work"].value eq "EMAIL""#), [0, 1], 200),
        ("by any e-mail", Known, Ask::Find(r#"emails.value eq "EMAIL""#), [0, 1], 200),
        ("by id", Known, Ask::Find(r#"id eq "ID""#), [0, 1], 200),
        ("by two names", Known, Ask::Find(r#"userName eq "EMAIL" and active eq true"#), [0, 1], 200),
        ("read", Known, Ask::Read, [0, 1], 200),
        ("read, disabled", Disabled, Ask::Read, [0, 1], 200),
        ("by userName, nobody", Nobody, Ask::Find(r#"userName eq "EMAIL""#), [1, 1], 200),
        ("by externalId, nobody", Nobody, Ask::Find(r#"externalId eq "external-EMAIL""#), [0, 0], 200),
        ("Test Connection", Nobody, Ask::Find(r#"userName eq "7d420df3""#), [0, 0], 200),
        ("create", Nobody, Ask::Create, [1, 1], 201),
        ("create after a look-up", LookedFor, Ask::Create, [1, 1], 201),
        ("create of somebody deleted", Deleted, Ask::Create, [2, 2], 201),
        ("patch of a name", Known, replace("name.givenName", "Joan"), [1, 2], 200),
        ("patch of what Ziflow has no field for", Known, replace("title", "Lead"), [0, 1], 200),
        ("patch of nothing", Known, replace("active", "True"), [0, 1], 200),
        ("disable", Known, replace("active", "False"), [2, 2], 200),
        ("disable again", Disabled, replace("active", "False"), [0, 1], 200),
        ("restore", Disabled, replace("active", "True"), [2, 2], 200),
        ("put", Known, Ask::Put, [1, 2], 200),
        ("delete", Known, Ask::Delete, [2, 2], 204),
        ("delete of somebody disabled", Disabled, Ask::Delete, [2, 2], 204),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_costs_no_more_than_it_must() {
    let mut wrong = Vec::new();
    for (column, memory) in [REMEMBERS, FORGETS].into_iter().enumerate() {
        for policy in [&[][..], ERASES] {
            let ziflow = ziflow(&[]).await;
            let bridge = Bridge::with(&ziflow, &[memory, policy].concat()).await;
            bridge.line("Ziflow takes the API key").await;
            for (number, (name, past, request, most, status)) in table().into_iter().enumerate() {
                if past == Past::Deleted && policy == ERASES {
                    // Nothing of them is left to come back.
                    continue;
                }
                let email = format!("p{number}@example.com");
                let id = live(&bridge, past, &email).await;
                let since = ziflow.total_calls();
                let answer = ask(&bridge, request, &email, &id).await.expect(status);
                let cost = cost(&ziflow, since);
                let found = answer.body["totalResults"].as_u64();
                assert!(
                    found.is_none_or(|found| found == u64::from(past == Past::Known)),
                    "{name}: {answer:?}"
                );
                if cost.calls > most[column] || cost.fallback > 0 || cost.proofs > 1 {
                    wrong.push(format!("{name}, {memory:?}: at most {}, not {cost:?}", most[column]));
                }
            }
            bridge.stop().await;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn live(bridge: &Bridge, past: Past, email: &str) -> String {
    if matches!(past, Past::Nobody | Past::LookedFor) {
        if past == Past::LookedFor {
            bridge.find(&format!("userName eq \"{email}\"")).await.expect(200);
        }
        return String::new();
    }
    let id = bridge.create(colleague(email, "Lee")).await.expect(201).id();
    match past {
        Past::Disabled => {
            let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
            bridge.patch(&id, off).await.expect(200);
        }
        Past::Deleted => drop(bridge.delete(&id).await.expect(204)),
        _ => drop(bridge.read(&id).await.expect(200)),
    }
    id
}

/// A Ziflow with so many people, the account owner among them.
async fn populated(people: usize) -> Simulator {
    let ziflow = ziflow(&[]).await;
    for number in 1..people {
        ziflow.add_person(json!({"email": format!("p{number}@example.com"), "last_name": "Lee"}));
    }
    ziflow
}

/// Everybody, page by page; how many came.
async fn import(bridge: &Bridge, query: &str, count: usize) -> usize {
    let mut ids = Vec::new();
    let mut next = if query.contains("cursor") { String::new() } else { "1".to_owned() };
    loop {
        let page = bridge.get(&format!("/Users?{query}={next}&count={count}")).await.expect(200);
        let people = page.body["Resources"].as_array().unwrap();
        ids.extend(people.iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        match page.body.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) => cursor.clone_into(&mut next),
            None if query.contains("cursor") => break,
            None if page.body["totalResults"].as_u64() == u64::try_from(ids.len()).ok() => break,
            None => next = (ids.len() + 1).to_string(),
        }
        assert!(!people.is_empty(), "the list does not end: {}", page.body);
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "somebody came twice");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_costs_one_call_for_a_hundred_people() {
    for people in [1, 99, 100, 101, 250] {
        for (query, count) in [
            ("startIndex", 1000),
            ("startIndex", 40),
            ("cursor", 40),
            ("filter=active+eq+true&startIndex", 40),
            ("sortBy=userName&startIndex", 40),
        ] {
            let ziflow = populated(people).await;
            let bridge = Bridge::start(&ziflow).await;
            bridge.line("Ziflow takes the API key").await;
            let since = ziflow.total_calls();
            assert_eq!(import(&bridge, query, count).await, people, "{query}");
            let expected = Cost { calls: people.div_ceil(100), proofs: 0, fallback: 0 };
            assert_eq!(cost(&ziflow, since), expected, "{people} people, {query}");
            // Once more within `directory_ttl_secs`.
            let since = ziflow.total_calls();
            assert_eq!(import(&bridge, query, count).await, people, "{query}");
            assert_eq!(cost(&ziflow, since).calls, 0, "{people} people, {query}, again");
            bridge.stop().await;
        }
    }
}

/// The same for those whom the bridge has made: writes go through to the list, and nobody is asked for apart.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_written_through_the_bridge_costs_no_call_in_a_list() {
    for (inactive, fallback) in [("listed", 0), ("contacts_only", 2)] {
        let ziflow = populated(10).await;
        ziflow.set("inactive", inactive).unwrap();
        let bridge = Bridge::start(&ziflow).await;
        let mut ids = Vec::new();
        for number in 0..6 {
            let body = colleague(&format!("new{number}@example.com"), "Lee");
            ids.push(bridge.create(body).await.expect(201).id());
        }
        for id in ids.iter().take(2) {
            let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
            bridge.patch(id, off).await.expect(200);
        }
        let since = ziflow.total_calls();
        assert_eq!(import(&bridge, "startIndex", 5).await, 16);
        assert_eq!(cost(&ziflow, since).calls, 1, "{inactive}: {:#?}", ziflow.calls_since(since));
        assert!(cost(&ziflow, since).fallback <= fallback, "{inactive}: {:?}", cost(&ziflow, since));
        let made = bridge.create(colleague("late@example.com", "Lee")).await.expect(201).id();
        bridge.delete(&ids[5]).await.expect(204);
        let since = ziflow.total_calls();
        assert_eq!(import(&bridge, "startIndex", 5).await, 16);
        assert_eq!(cost(&ziflow, since).calls, 0, "{inactive}: the list follows what is written");
        assert_eq!(bridge.read(&made).await.expect(200).id(), made);
        bridge.stop().await;
    }
}

/// So many requests at the same time.
async fn at_once(bridge: &Arc<Bridge>, size: usize, target: &str) -> Vec<Answer> {
    let ask = |_| {
        let (bridge, target) = (Arc::clone(bridge), target.to_owned());
        tokio::spawn(async move { bridge.get(&target).await })
    };
    let requests: Vec<_> = (0..size).map(ask).collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap().expect(200));
    }
    answers
}

/// All of them have come before Ziflow answers the first.
const LONG: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn equal_reads_at_the_same_time_share_one_call() {
    let ziflow = populated(4).await;
    let bridge = Arc::new(Bridge::with(&ziflow, REMEMBERS).await);
    bridge.line("Ziflow takes the API key").await;
    let people = ziflow.people();
    let id = |number: usize| crate::harness::encoded(people[number]["id"].as_str().unwrap());
    ziflow.inject(Fault::slow(LONG).forever());
    for target in [
        format!("/Users/{}", id(1)),
        "/Users?filter=userName+eq+%22p2@example.com%22".to_owned(),
        "/Users?filter=emails.value+eq+%22p3@example.com%22".to_owned(),
    ] {
        let since = ziflow.total_calls();
        let answers = at_once(&bridge, 20, &target).await;
        assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{target}");
        assert_eq!(cost(&ziflow, since).calls, 1, "{target}");
    }
    Arc::into_inner(bridge).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_at_the_same_time_share_one_walk() {
    for kept in ["0", "60"] {
        let ziflow = populated(150).await;
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", kept)]).await;
        let bridge = Arc::new(bridge);
        bridge.line("Ziflow takes the API key").await;
        ziflow.inject(Fault::slow(LONG).forever());
        let since = ziflow.total_calls();
        for answer in at_once(&bridge, 20, "/Users?count=10").await {
            assert_eq!(answer.body["totalResults"], 150);
        }
        assert_eq!(cost(&ziflow, since).calls, 2, "kept for {kept} s");
        Arc::into_inner(bridge).unwrap().stop().await;
    }
}
