//! Whatever Ziflow does, Entra is told the truth: never "nobody" for trouble, never a second person, and no
//! person lost.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{self, Fault, RetryAfter, Route, Shape, Simulator};

use crate::harness::{Answer, Bridge, Folder, in_ziflow, person, ziflow};

/// Short times, so that a Ziflow that hangs is given up soon.
const HURRY: &[(&str, &str)] = &[
    ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "3"),
    ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"),
    ("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0"),
    ("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "0"),
    ("BRIDGE_RATE_LIMIT__RETRIES", "1"),
];

fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("500", Fault::status(StatusCode::INTERNAL_SERVER_ERROR)),
        ("503", Fault::status_with(StatusCode::SERVICE_UNAVAILABLE, Shape::Html)),
        ("429", Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(RetryAfter::Seconds(1))),
        ("hang", Fault::hang()),
        ("reset", Fault::reset()),
        ("truncate", Fault::truncate().method(Method::GET)),
        ("html", Fault::html_200()),
        ("html 404", Fault::status_with(StatusCode::NOT_FOUND, Shape::Html)),
        ("wrong types", Fault::wrong_types().method(Method::GET)),
        ("401", Fault::status(StatusCode::UNAUTHORIZED)),
        ("403", Fault::status(StatusCode::FORBIDDEN)),
        ("redirect", Fault::redirect("http://127.0.0.1:1/v1/users")),
        ("huge", Fault::huge(20).method(Method::GET)),
    ]
}

/// Trouble upstream, told as such.
#[track_caller]
fn troubled(answer: &Answer, what: &str) {
    assert!(matches!(answer.status, 429 | 502..=504), "{what}: {} {}", answer.status, answer.body);
    assert!(
        answer.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok()),
        "{what}: {answer:?}"
    );
    assert!(answer.text("/detail").contains("Ziflow"), "{what}: {}", answer.body);
    assert_eq!(answer.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_upstream_is_never_nobody() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    for (name, fault) in faults() {
        ziflow.inject(fault.forever());
        troubled(&bridge.read(&id).await, &format!("{name}: read"));
        // A 404 whose body is spoilt is a 404.
        if !["truncate", "wrong types", "huge"].contains(&name) {
            troubled(&bridge.read("nobody").await, &format!("{name}: read somebody unknown"));
            let unknown = bridge.find(r#"userName eq "no@example.com""#).await;
            troubled(&unknown, &format!("{name}: find somebody unknown"));
        }
        troubled(&bridge.find(r#"userName eq "jo@example.com""#).await, &format!("{name}: find"));
        troubled(&bridge.find(r#"userName eq "7d420df3""#).await, &format!("{name}: Test Connection"));
        troubled(&bridge.get("/Users").await, &format!("{name}: list"));
        ziflow.clear_faults();
        // Ziflow's pause is over, and the bridge has healed by itself.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        bridge.read(&id).await.expect(200);
        bridge.read("nobody").await.expect(404);
        assert_eq!(bridge.find(r#"userName eq "no@example.com""#).await.expect(200).body["totalResults"], 0);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_in_trouble_change_nothing_twice_and_a_retry_ends_well() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    for (number, (name, fault)) in faults().into_iter().enumerate() {
        let email = format!("p{number}@example.com");
        ziflow.inject(fault.clone().forever());
        let answer = bridge.create(person(&email)).await;
        // A fault that hits reads only leaves a create alone.
        if answer.status != 201 {
            troubled(&answer, &format!("{name}: create"));
        }
        ziflow.clear_faults();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let id = match answer.status {
            201 => answer.id(),
            _ => bridge.create(person(&email)).await.expect(201).id(),
        };
        assert_eq!(in_ziflow(&ziflow, &email)["id"], id.as_str(), "{name}");

        ziflow.inject(fault.clone().forever());
        let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
        troubled(&bridge.patch(&id, off.clone()).await, &format!("{name}: disable"));
        troubled(&bridge.delete(&id).await, &format!("{name}: delete"));
        ziflow.clear_faults();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(bridge.patch(&id, off).await.expect(200).body["active"], false, "{name}");
        assert_eq!(in_ziflow(&ziflow, &email)["active"], false, "{name}");
        bridge.delete(&id).await.expect(204);
        bridge.read(&id).await.expect(404);
    }
    bridge.stop().await;
}

/// A create that happens and whose answer is lost.
fn lost_creates() -> Vec<(&'static str, Fault)> {
    let faults = vec![
        ("dropped", Fault::apply_then_drop()),
        ("hung", Fault::apply_then_hang()),
        ("500", Fault::apply_then_status(StatusCode::INTERNAL_SERVER_ERROR)),
        ("503", Fault::apply_then_status(StatusCode::SERVICE_UNAVAILABLE)),
        ("truncated", Fault::truncate()),
        ("wrong types", Fault::wrong_types()),
    ];
    faults.into_iter().map(|(name, fault)| (name, fault.method(Method::POST))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_found_again() {
    for quirks in [&[][..], &[("consistency", "60_ms"), ("texts", "trimmed")]] {
        let ziflow = ziflow(quirks).await;
        let bridge = Bridge::with(&ziflow, HURRY).await;
        for (name, fault) in lost_creates() {
            let email = format!("{}@example.com", name.replace(' ', "-"));
            ziflow.inject(fault);
            let made = bridge.create(person(&email)).await;
            assert_eq!(made.status, 201, "{name}: {}", made.body);
            assert_eq!(in_ziflow(&ziflow, &email)["id"], made.id().as_str());
            bridge.create(person(&email)).await.expect(409);
        }
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_create_is_told_201_also_after_a_restart() {
    let folder = Folder::new();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let settings = [HURRY, &[("BRIDGE_STORE__URL", store.as_str())]].concat();
    let ziflow = ziflow(&[]).await;
    for (number, seen_before) in [true, false].into_iter().enumerate() {
        let email = format!("p{number}@example.com");
        let bridge = Bridge::with(&ziflow, &settings).await;
        if seen_before {
            bridge.find(&format!(r#"userName eq "{email}""#)).await.expect(200);
        }
        ziflow.inject(Fault::apply_then_drop().method(Method::POST));
        ziflow.inject(Fault::status(StatusCode::BAD_GATEWAY).method(Method::GET).forever());
        troubled(&bridge.create(person(&email)).await, "create");
        bridge.kill();
        ziflow.clear_faults();
        let bridge = Bridge::with(&ziflow, &settings).await;
        let id = bridge.create(person(&email)).await.expect(201).id();
        assert_eq!(in_ziflow(&ziflow, &email)["id"], id.as_str());
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_made_by_hand_is_not_taken_over_by_a_lost_answer() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let by_hand = json!({"email": "ann@example.com", "first_name": "Ann", "last_name": "Ode", "roles": ["user", "admin"]});
    let id = ziflow.add_person(by_hand);
    for fault in [Fault::status(StatusCode::INTERNAL_SERVER_ERROR), Fault::html_200(), Fault::reset()] {
        ziflow.inject(fault.method(Method::POST));
        let taken = bridge.create(person("ann@example.com")).await.expect(409);
        assert!(taken.text("/detail").contains(&id));
        assert_eq!(in_ziflow(&ziflow, "ann@example.com")["roles"], json!(["user", "admin"]));
    }
    // Said to be taken, and the look-up fails: the retry must not think that it was the one who made her.
    ziflow.remove_person(&id);
    bridge.find(r#"userName eq "ann@example.com""#).await.expect(200);
    let id = ziflow
        .add_person(json!({"email": "ann@example.com", "first_name": "Ann", "roles": ["user", "admin"]}));
    ziflow.inject(Fault::status(StatusCode::BAD_GATEWAY).method(Method::GET).times(2));
    troubled(&bridge.create(person("ann@example.com")).await, "create");
    let taken = bridge.create(person("ann@example.com")).await.expect(409);
    assert!(taken.text("/detail").contains(&id));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gone_from_ziflow_stands_in_nobodys_way() {
    for status in ["409", "400", "422"] {
        let ziflow = ziflow(&[("duplicate_status", status)]).await;
        let bridge = Bridge::with(&ziflow, HURRY).await;
        let id = bridge.create(person("jo@example.com")).await.expect(201).id();
        let twice = bridge.create(person("JO@example.com")).await.expect(409);
        assert_eq!(twice.body["scimType"], "uniqueness");
        ziflow.remove_person(&id);
        bridge.read(&id).await.expect(404);
        assert_ne!(bridge.create(person("jo@example.com")).await.expect(201).id(), id);
        let by_hand = ziflow.add_person(json!({"email": "ann@example.com"}));
        let taken = bridge.create(person("ann@example.com")).await.expect(409);
        assert!(taken.text("/detail").contains(&by_hand));
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seat_is_said_to_be_no_seat() {
    for status in ["403", "400", "402", "409", "422"] {
        let ziflow = ziflow(&[("seats", "2"), ("seat_status", status)]).await;
        let bridge = Bridge::with(&ziflow, HURRY).await;
        let first = bridge.create(person("a@example.com")).await.expect(201).id();
        let refused = bridge.create(person("b@example.com")).await.expect(400);
        assert!(refused.text("/detail").contains("no free seat"), "{}", refused.body);
        // A seat is freed, taken by somebody else, and wanted back.
        let switch = |on: bool| json!([{"op": "Replace", "path": "active", "value": on}]);
        bridge.patch(&first, switch(false)).await.expect(200);
        bridge.create(person("b@example.com")).await.expect(201);
        let refused = bridge.patch(&first, switch(true)).await.expect(400);
        assert!(refused.text("/detail").contains("no free seat"), "{}", refused.body);
        assert_eq!(bridge.read(&first).await.expect(200).body["active"], false);
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_of_somebody_inactive_is_finished_by_the_retry() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let mut body = person("jo@example.com");
    body["active"] = json!(false);
    ziflow.inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).method(Method::PUT).times(2));
    troubled(&bridge.create(body.clone()).await, "create");
    ziflow.clear_faults();
    let made = bridge.create(body).await.expect(201);
    assert_eq!(made.body["active"], false);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], false);
    bridge.stop().await;
}

/// A mistyped address or a key without rights must not make everybody "not found".
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_or_key_is_nobodys_absence() {
    let ziflow = ziflow(&[]).await;
    let wrong_path = format!("{}/typo", ziflow.base_url());
    for settings in
        [[("BRIDGE_ZIFLOW__BASE_URL", wrong_path.as_str())], [("BRIDGE_ZIFLOW__API_KEY", "another-key")]]
    {
        let bridge = Bridge::with(&ziflow, &[HURRY, &settings].concat()).await;
        for _ in 0..2 {
            troubled(&bridge.find(r#"userName eq "jo@example.com""#).await, "find");
            troubled(&bridge.read("nobody").await, "read");
            troubled(&bridge.create(person("jo@example.com")).await, "create");
        }
        bridge.admin("/healthz").await.expect(200);
        let ready = bridge.admin("/readyz").await.expect(503);
        assert_eq!(ready.body["ready"], false);
        bridge.stop().await;
    }
    for rights in ["403", "404"] {
        ziflow.set("rights", "admin").unwrap();
        let bridge = Bridge::with(&ziflow, HURRY).await;
        let email = format!("p{rights}@example.com");
        let id = bridge.create(person(&email)).await.expect(201).id();
        bridge.kill();
        ziflow.set("rights", rights).unwrap();
        let bridge = Bridge::with(&ziflow, HURRY).await;
        troubled(&bridge.read(&id).await, "read");
        troubled(&bridge.find(&format!(r#"userName eq "{email}""#)).await, "find");
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_plug_is_503_and_heals() {
    let simulator = ziflow(&[]).await;
    let bridge = Bridge::with(&simulator, HURRY).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let (address, state) = (simulator.address(), simulator.state());
    simulator.stop().await;
    for answer in [
        bridge.read(&id).await,
        bridge.find(r#"userName eq "jo@example.com""#).await,
        bridge.get("/Users").await,
    ] {
        troubled(&answer, "plug");
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    bridge.create(person("new@example.com")).await.expect(503);
    bridge.admin("/readyz").await.expect(503);
    let settings = simulator::Settings { state: Some(state), ..simulator::Settings::default() };
    let back: Simulator = simulator::start(address, settings).await.unwrap();
    // Calls are held back for a moment, and then one finds out that Ziflow is there again.
    let told = bridge.read(&id).await;
    let wait = told.header("retry-after").map_or(0, |wait| wait.parse().unwrap());
    tokio::time::sleep(Duration::from_secs(wait)).await;
    bridge.read(&id).await.expect(200);
    bridge.create(person("new@example.com")).await.expect(201);
    bridge.admin("/readyz").await.expect(200);
    assert_eq!(back.people().iter().filter(|person| person["email"] == "new@example.com").count(), 1);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pace_that_ziflow_asks_for_is_kept_and_passed_on() {
    let ziflow = ziflow(&[]).await;
    for wait in [RetryAfter::Seconds(30), RetryAfter::Date(30)] {
        let fault = Fault::status(StatusCode::TOO_MANY_REQUESTS)
            .retry_after(wait)
            .method(Method::GET)
            .route(Route::User);
        let bridge = Bridge::with(&ziflow, HURRY).await;
        bridge.line("Ziflow takes the API key").await;
        ziflow.inject(fault);
        let asked = ziflow.total_calls();
        let told = bridge.read("x").await.expect(429);
        let wait: u64 = told.header("retry-after").unwrap().parse().unwrap();
        assert!((28..=31).contains(&wait), "{wait}");
        bridge.read("y").await.expect(429);
        assert_eq!(ziflow.total_calls(), asked + 1, "nobody asks during the pause");
        bridge.stop().await;
    }
}

/// Ziflow's answers may hold everybody's API key; nothing of it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn no_api_key_gets_out() {
    let ziflow = ziflow(&[("api_keys", "shown")]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_LOG__LEVEL", "trace")]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let seen = [bridge.read(&id).await.body, bridge.get("/Users").await.body];
    let key = |person: &Value| person["api_key"].as_str().unwrap_or_default().to_owned();
    let keys: Vec<_> = ziflow.people().iter().map(key).filter(|key| !key.is_empty()).collect();
    assert!(keys.len() > 1, "the simulator shows keys");
    ziflow.inject(Fault::wrong_types().method(Method::PUT));
    bridge
        .patch(&id, json!([{"op": "Replace", "path": "name.givenName", "value": "Joan"}]))
        .await
        .expect(200);
    let log = bridge.stop().await;
    let everything = format!("{seen:?}{log:?}");
    for secret in keys.iter().map(String::as_str).chain([ziflow.key(), crate::harness::TOKEN]) {
        assert!(!everything.contains(secret), "{secret}");
    }
}

/// One 404 for somebody who is there is no reason to believe that they are disabled.
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_not_taken_for_disabled() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.inject(Fault::status(StatusCode::NOT_FOUND).method(Method::GET).route(Route::User).times(2));
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    let answer = bridge.patch(&id, off).await;
    let calls: Vec<_> = ziflow
        .calls()
        .iter()
        .map(|call| format!("{} {} {:?}", call.method, call.path, call.status))
        .collect();
    assert_eq!(
        answer.body["active"] == false,
        in_ziflow(&ziflow, "jo@example.com")["active"] == false,
        "{answer:?} {calls:#?}"
    );
    ziflow.clear_faults();
    bridge.stop().await;
}

/// A key can lose its rights while the bridge runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_grows_old() {
    let ziflow = ziflow(&[]).await;
    let settings = [HURRY, &[("BRIDGE_ZIFLOW__PROOF_TTL_SECS", "1")]].concat();
    let bridge = Bridge::with(&ziflow, &settings).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.set("rights", "404").unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    troubled(&bridge.read(&id).await, "read");
    troubled(&bridge.find(r#"userName eq "jo@example.com""#).await, "find");
    bridge.admin("/readyz").await.expect(503);
    ziflow.set("rights", "admin").unwrap();
    // It heals though nobody asks.
    let start = std::time::Instant::now();
    while bridge.admin("/readyz").await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "readiness does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bridge.stop().await;
}

/// A 403 may be about one person.
#[tokio::test(flavor = "multi_thread")]
async fn one_refused_person_does_not_condemn_the_key() {
    let ziflow = ziflow(&[("owner_writes", "refused")]).await;
    let owner = ziflow.people()[0]["id"].as_str().unwrap().to_owned();
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let rename = json!([{"op": "Replace", "path": "name.givenName", "value": "Boss"}]);
    bridge.patch(&owner, rename).await.expect(400);
    bridge.admin("/readyz").await.expect(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_pause_is_not_kept() {
    let ziflow = ziflow(&[]).await;
    let settings = [HURRY, &[("BRIDGE_RATE_LIMIT__MAX_PAUSE_SECS", "1")]].concat();
    let bridge = Bridge::with(&ziflow, &settings).await;
    ziflow.inject(Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(RetryAfter::Seconds(u64::MAX)));
    bridge.read("nobody").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bridge.read("nobody").await.expect(404);
    bridge.stop().await;
}

/// What an earlier request may have made is ours; what somebody made since is not.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_ziflow_tidies_are_still_ours() {
    let ziflow = ziflow(&[("texts", "trimmed")]).await;
    let bridge = Bridge::with(&ziflow, HURRY).await;
    let mut body = person("al@example.com");
    body["name"]["givenName"] = json!("Al ");
    ziflow.inject(Fault::apply_then_drop().method(Method::POST));
    bridge.create(body).await.expect(201);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_kept_for_no_time_is_still_served() {
    let ziflow = ziflow(&[]).await;
    for number in 0..30 {
        ziflow.add_person(json!({"email": format!("p{number}@example.com")}));
    }
    let settings = [HURRY, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "10")]].concat();
    let bridge = Bridge::with(&ziflow, &settings).await;
    assert_eq!(bridge.get("/Users?count=100").await.expect(200).body["totalResults"], 31);
    bridge.stop().await;
}

/// Pages shift while people come and go: whom the bridge knows is neither missing nor doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_moves_loses_nobody_the_bridge_knows() {
    let ziflow = ziflow(&[]).await;
    let settings =
        [HURRY, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "3"), ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "10")]].concat();
    let bridge = Bridge::with(&ziflow, &settings).await;
    let names: Vec<_> = (0..14).map(|number| format!("p{number:02}@example.com")).collect();
    for name in &names {
        bridge.create(person(name)).await.expect(201);
    }
    ziflow.set("churn", "1").unwrap();
    let list = bridge.get("/Users?count=1000").await.expect(200);
    let shown: Vec<_> = list.body["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|user| user["userName"].as_str())
        .collect();
    for name in &names {
        assert_eq!(shown.iter().filter(|shown| *shown == name).count(), 1, "{name} in {shown:?}");
    }
    bridge.stop().await;
}

/// Whatever else a request asks for and is refused: who is to be disabled loses their access.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_access_because_something_else_is_refused() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_POLICY__ON_EMAIL_CHANGE", "refuse")]).await;
    let off = |path: &str, value: &str| json!([{"op": "Replace", "path": path, "value": value}, {"op": "Replace", "path": "active", "value": "False"}]);
    let renamed = bridge.create(person("jo@example.com")).await.expect(201).id();
    let rename = json!([{"op": "replace", "path": "userName", "value": "new@example.com"}]);
    bridge.patch(&renamed, rename).await.expect(400);
    bridge.patch(&renamed, off("userName", "new@example.com")).await.expect(200);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], false);
    let third = bridge.create(person("max@example.com")).await.expect(201).id();
    let answer = bridge.patch(&third, off("userName", "new@example.com")).await.expect(200);
    assert_eq!((answer.text("/userName"), &answer.body["active"]), ("max@example.com", &json!(false)));
    let wrong = bridge.create(person("kim@example.com")).await.expect(201).id();
    ziflow.inject(Fault::status(StatusCode::UNPROCESSABLE_ENTITY).method(Method::PUT).times(1));
    bridge.patch(&wrong, off("name.givenName", "Refused")).await.expect(200);
    let kim = in_ziflow(&ziflow, "kim@example.com");
    assert_eq!((&kim["active"], &kim["first_name"]), (&json!(false), &json!("Jo")));
    let log = bridge.stop().await;
    assert!(
        log.iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("only that is written")))
    );
}
