//! Ids, names and values that would like to be something else: whatever stands in a request, Ziflow is asked about people
//! by `/users`, `/users/{id}` and `/contacts/{id}` and about nobody but whom the request names.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Call, OWNER_EMAIL, Simulator};

use crate::harness::{Bridge, TOKEN, encoded, person, ziflow};
use crate::wire::Wire;

/// Waiting for the pace is of no interest here, nor is the brake.
const FAST: &[(&str, &str)] = &[
    ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "1000"),
    ("BRIDGE_RATE_LIMIT__BURST", "1000"),
    ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "0"),
];

/// What somebody may write where an id or a name is expected, in groups; and what is too long to be written there.
fn nasty() -> Vec<String> {
    let groups: BTreeMap<String, Vec<String>> =
        serde_json::from_str(include_str!("../nasty/ids.json")).unwrap();
    let long = ["a".repeat(1024), "a".repeat(1025), "../".repeat(500), "😀".repeat(600), "%2e".repeat(500)];
    groups.into_values().flatten().chain(long).collect()
}

/// What is written into a path as it stands, without any encoding.
const RAW: &str = r"
    . .. ../ %2e %2e%2e %2E%2E .%2e ..%2f %2e%2e%2f %2e%2e/contacts ../contacts a/../b ..;/contacts ; %
    %2 %zz %00 %0d%0a %0d%0aX-Injected:%201 %ff %c0%ae%c0%ae %u002e // \ ..\ me Me %6d%65 %6De @ a?b
    a?count=1 a%3fb a%23b a%252fb http://evil.example/ * a|b a;b=c [::1] {id}
";

/// A raw answer: the status, the head in lower case, the body.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

/// Says exactly this, which no URL library has tidied.
async fn say(bridge: &Bridge, request: &str, body: Option<&Value>) -> Answer {
    let (method, target) = request.split_once(' ').unwrap();
    let (host, base) = bridge.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    let text = format!(
        "{method} /{base}{target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let heard = Wire::to(host).await.last(text).await;
    let body = serde_json::from_slice(&heard.body).unwrap_or_default();
    Answer { status: heard.status, head: heard.head.trim_end().to_ascii_lowercase(), body }
}

/// What the bridge may put above its answers.
const HEADERS: &str = "content-type content-length date connection request-id location etag retry-after allow \
                       www-authenticate cache-control";

impl Answer {
    /// One of these came, and nothing else in its head than the bridge's own headers.
    #[track_caller]
    fn expect(&self, statuses: &[u16], about: &str) {
        assert!(statuses.contains(&self.status), "{about:?}: {} {}", self.head, self.body);
        for line in self.head.split("\r\n").skip(1) {
            let name = line.split(':').next().unwrap();
            assert!(HEADERS.split(' ').any(|known| known == name), "{about:?}: {line}");
        }
    }
}

/// A filter's text literal.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn patch(path: &str, value: &Value) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": path, "value": value}],
    })
}

fn bulk(operations: &[Value]) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations})
}

/// Everybody in Ziflow, by id.
fn everybody(ziflow: &Simulator) -> BTreeMap<String, Value> {
    ziflow.people().into_iter().map(|person| (person["id"].as_str().unwrap().to_owned(), person)).collect()
}

/// What names somebody in the path of a call; none for the collection.
#[track_caller]
fn segment(call: &Call) -> Option<String> {
    let about = format!("{} {}?{}", call.method, call.path, call.query);
    let segments: Vec<&str> = call.path.split('/').collect();
    let (collection, id) = match segments.as_slice() {
        ["", "v1", "users"] => return None,
        ["", "v1", collection, id] => (*collection, *id),
        _ => panic!("another place: {about}"),
    };
    assert!(["users", "contacts"].contains(&collection), "another collection: {about}");
    assert!(collection == "users" || call.method == "GET", "contacts are only looked at: {about}");
    let mut rest = id.chars();
    while let Some(first) = rest.next() {
        let plain = first.is_ascii_alphanumeric() || "-._~".contains(first);
        let mut hex = || rest.next().is_some_and(|digit| matches!(digit, '0'..='9' | 'A'..='F'));
        assert!(plain || first == '%' && hex() && hex(), "not encoded: {about}");
    }
    let id = percent_decode_str(id).decode_utf8().unwrap().into_owned();
    let astray = ["", ".", ".."].contains(&id.as_str()) || id.eq_ignore_ascii_case("me");
    assert!(!astray, "another endpoint: {about}");
    assert!(!id.contains(char::is_control) && id.len() <= 1024, "no id: {about}");
    Some(id)
}

/// All of these calls are about the collection, or about somebody of whom `may_name` knows.
#[track_caller]
fn stays_on_the_path(calls: &[Call], may_name: &BTreeSet<String>) {
    for call in calls {
        let about = format!("{} {}?{}", call.method, call.path, call.query);
        match segment(call) {
            Some(id) => {
                assert!(call.query.is_empty(), "{about}");
                assert!(may_name.contains(&id), "{id:?} was not named: {about}");
            }
            None if call.method == "GET" => {
                let known = |pair: &str| ["count", "page"].contains(&pair.split('=').next().unwrap());
                assert!(call.query.split('&').all(known), "{about}");
            }
            None => assert!(call.method == "POST" && call.query.is_empty(), "{about}"),
        }
    }
}

/// Every way in which a request can name somebody who is not there.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_reached_under_a_nasty_id() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, FAST).await;
    let jo = bridge.create(person("jo@example.com")).await.expect(201).id();
    let group = bridge.ask("POST /Groups", Some(json!({"displayName": "Design"}))).await.expect(201).id();
    let before = everybody(&ziflow);
    let since = ziflow.total_calls();
    let full = person("somebody@example.com");
    let rename = patch("displayName", &"Kim".into());
    for id in nasty() {
        let place = format!("/Users/{}", encoded(&id));
        let hidden = json!({"method": "DELETE", "path": place});
        let plain = json!({"method": "DELETE", "path": format!("/Users/{id}")});
        let changed = json!({"method": "PATCH", "path": place, "data": rename});
        let replaced = json!({"method": "PUT", "path": place, "data": full});
        // NUL is refused wherever it stands.
        let nobody: &[u16] = if id.contains('\0') { &[400] } else { &[404] };
        if !id.is_empty() {
            for method in ["GET", "PUT", "PATCH", "DELETE"] {
                let body = match method {
                    "PUT" => Some(&full),
                    "PATCH" => Some(&rename),
                    _ => None,
                };
                say(&bridge, &format!("{method} {place}"), body).await.expect(nobody, &id);
            }
            say(&bridge, &format!("GET /Groups/{}", encoded(&id)), None).await.expect(nobody, &id);
            say(&bridge, &format!("DELETE /Groups/{}", encoded(&id)), None).await.expect(nobody, &id);
        }
        let answer = say(&bridge, "POST /Bulk", Some(&bulk(&[hidden, plain, changed, replaced]))).await;
        answer.expect(&[200, 400], &id);
        for done in answer.body["Operations"].as_array().into_iter().flatten() {
            assert!(!done["status"].as_str().unwrap().starts_with('2'), "{id:?}: {done}");
        }
        for path in
            ["id", "userName", "externalId", "emails.value", "emails[type eq \"work\"].value", "groups.value"]
        {
            let filter = encoded(&format!("{path} eq {}", quoted(&id)));
            let answer = say(&bridge, &format!("GET /Users?filter={filter}"), None).await;
            answer.expect(&[200, 400], &id);
            assert!(answer.status == 400 || answer.body["totalResults"] == 0, "{id:?}: {}", answer.body);
        }
        for query in
            "cursor startIndex count attributes excludedAttributes sortBy sortOrder filter".split(' ')
        {
            let answer = say(&bridge, &format!("GET /Users?{query}={}", encoded(&id)), None).await;
            answer.expect(&[200, 400], &id);
        }
        let member = json!([{"value": id}]);
        let body = json!({"displayName": "Other", "members": member});
        say(&bridge, "POST /Groups", Some(&body)).await.expect(&[400], &id);
        let target = format!("PATCH /Groups/{group}");
        say(&bridge, &target, Some(&patch("members", &member))).await.expect(&[400], &id);
        let target = format!("PUT /Groups/{group}");
        say(&bridge, &target, Some(&body)).await.expect(&[400], &id);
    }
    for raw in RAW.split_whitespace() {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let body = (method == "PUT").then_some(&full).or((method == "PATCH").then_some(&rename));
            let answer = say(&bridge, &format!("{method} /Users/{raw}"), body).await;
            assert!(answer.status != 200 || raw == "//", "{method} {raw}: {}", answer.body);
            assert!(!answer.head.contains("\r\nx-injected"), "{raw}: {}", answer.head);
        }
    }
    assert_eq!(everybody(&ziflow), before, "somebody was changed");
    // In the path of a bulk operation, and in RAW, they have stood undecoded.
    let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let raw = RAW.split_whitespace().map(str::to_owned).chain(nasty());
    let raw = raw.filter_map(|raw| decoded(raw.split(['/', '?', '#']).find(|part| !part.is_empty())?));
    let may_name = names(nasty().into_iter().chain(raw).chain([jo]));
    let calls = ziflow.calls_since(since);
    assert!(calls.len() > 300, "hardly anything was asked: {}", calls.len());
    assert!(calls.iter().all(|call| call.method == "GET"), "something was written");
    stays_on_the_path(&calls, &may_name);
    bridge.stop().await;
}

/// A text as it may be asked for: as it is, or as an address is written.
fn names(texts: impl Iterator<Item = String>) -> BTreeSet<String> {
    texts
        .flat_map(|text| [text.to_lowercase(), text.trim().to_lowercase(), text.trim().to_owned(), text])
        .collect()
}

/// Values are values wherever they stand: they end up in the field that they are for, or nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_nasty_value_is_only_a_value() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, FAST).await;
    let jo = bridge.create(person("jo@example.com")).await.expect(201).id();
    let since = ziflow.total_calls();
    for value in nasty() {
        let before = everybody(&ziflow);
        for path in [
            "externalId",
            "displayName",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        ] {
            let to = if path.ends_with("manager") { json!({"value": value}) } else { json!(value) };
            let answer =
                say(&bridge, &format!("PATCH /Users/{}", encoded(&jo)), Some(&patch(path, &to))).await;
            answer.expect(&[200, 400], &value);
        }
        assert_eq!(everybody(&ziflow), before, "{value:?}");
        let name = json!({"name.familyName": value});
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": name}],
        });
        say(&bridge, &format!("PATCH /Users/{}", encoded(&jo)), Some(&body))
            .await
            .expect(&[200, 400], &value);
        let mut after = everybody(&ziflow);
        after.get_mut(&jo).unwrap()["last_name"] = before[&jo]["last_name"].clone();
        assert_eq!(after, before, "{value:?}: more than a name was changed");

        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": value, "externalId": value,
            "name": {"givenName": "Jo", "familyName": "Lee"}, "emails": [{"type": "work", "value": value}],
        });
        let answer = say(&bridge, "POST /Users", Some(&body)).await;
        answer.expect(&[201, 400, 409], &value);
        let made: Vec<Value> = everybody(&ziflow)
            .into_iter()
            .filter(|(id, _)| !before.contains_key(id))
            .map(|(_, person)| person)
            .collect();
        assert_eq!(made.len(), usize::from(answer.status == 201), "{value:?}: {made:?}");
        for person in made {
            assert_eq!(person["email"], value.trim().to_lowercase(), "{value:?}");
            assert!(person["roles"] == json!(["user"]) && person["account_owner"] == false, "{person}");
        }
    }
    let ids = everybody(&ziflow).into_keys();
    stays_on_the_path(&ziflow.calls_since(since), &names(nasty().into_iter().chain(ids)));
    bridge.stop().await;
}

/// Ziflow's ids are opaque: whatever it gives out means that one person, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn a_nasty_id_of_ziflows_own_means_one_person() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, FAST).await;
    let can_be_an_id = |id: &String| {
        let astray = ["", ".", ".."].contains(&id.as_str()) || id.eq_ignore_ascii_case("me");
        !astray && !id.contains(char::is_control) && id.len() <= 300
    };
    let ids: BTreeSet<String> = nasty().into_iter().filter(can_be_an_id).collect();
    assert!(ids.len() > 100, "{}", ids.len());
    for (number, id) in ids.into_iter().enumerate() {
        let email = format!("person{number}@example.com");
        ziflow.next_id(id.clone());
        let since = ziflow.total_calls();
        let before = everybody(&ziflow);
        let answer = say(&bridge, "POST /Users", Some(&person(&email))).await;
        answer.expect(&[201], &id);
        assert_eq!(answer.body["id"], id);
        // The address that is given out leads back.
        let location = answer.body["meta"]["location"].as_str().unwrap();
        let target = location.strip_prefix(&bridge.url).unwrap();
        let read = say(&bridge, &format!("GET {target}"), None).await;
        read.expect(&[200], &id);
        assert_eq!(read.body["id"], id);
        say(&bridge, &format!("PATCH {target}"), Some(&patch("name.givenName", &"Kim".into())))
            .await
            .expect(&[200], &id);
        say(&bridge, &format!("DELETE {target}"), None).await.expect(&[204], &id);
        let mut after = everybody(&ziflow);
        let own = after.remove(&id).unwrap_or_else(|| panic!("{id:?} was not made"));
        assert_eq!((&own["first_name"], &own["active"]), (&json!("Kim"), &json!(false)), "{id:?}");
        assert_eq!(after, before, "{id:?}: somebody else was changed");
        let calls = ziflow.calls_since(since);
        let named = names([id.clone(), email].into_iter());
        stays_on_the_path(&calls, &named);
        let written: Vec<_> = calls.iter().filter(|call| call.method == "PUT").map(segment).collect();
        assert!(
            !written.is_empty() && written.iter().all(|to| *to == Some(id.clone())),
            "{id:?}: {written:?}"
        );
    }
    bridge.stop().await;
}

/// `/users/me` is whoever asks, in many APIs and in the simulator: here it is nobody, and costs no call about it.
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_own_user_is_not_reached_as_me() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, FAST).await;
    bridge.find("userName eq \"nobody@example.com\"").await.expect(200);
    let since = ziflow.total_calls();
    for id in ["me", "ME", "%6d%65"] {
        say(&bridge, &format!("GET /Users/{id}"), None).await.expect(&[404], id);
        say(&bridge, &format!("PATCH /Users/{id}"), Some(&patch("active", &false.into())))
            .await
            .expect(&[404], id);
        say(&bridge, &format!("DELETE /Users/{id}"), None).await.expect(&[404], id);
    }
    let calls = ziflow.calls_since(since);
    assert!(calls.iter().all(|call| call.path == "/v1/users"), "{calls:?}");
    let owner = ziflow.people().into_iter().find(|person| person["email"] == OWNER_EMAIL).unwrap();
    assert_eq!(owner["active"], true);
    bridge.stop().await;
}
