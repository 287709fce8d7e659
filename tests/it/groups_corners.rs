//! Groups where they are unfriendly: odd members, odd names, and things that happen at the same moment.

use http::{Method, StatusCode};
use std::time::Duration;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Fault;

use crate::group_stage::{
    ADMINS, MANAGERS, Place, add, change, create, find, group, make, members, remove, settled,
};
use crate::harness::{Bridge, encoded};

fn plain_user() -> Vec<String> {
    vec!["user".to_owned()]
}

fn manager() -> Vec<String> {
    vec!["manager".to_owned(), "user".to_owned()]
}

fn active(on: bool) -> Value {
    json!([{"op": "Replace", "path": "active", "value": on}])
}

fn value(id: &str) -> Value {
    json!([{ "value": id }])
}

async fn version(bridge: &Bridge, id: &str) -> String {
    bridge
        .get(&format!("/Groups/{id}?excludedAttributes=members"))
        .await
        .expect(200)
        .text("/meta/version")
        .to_owned()
}

/// What members may look like in a request, and what becomes of it; `A`, `B` and `G` stand for ids of two people and of
/// another group. `B` is a member before.
#[tokio::test(flavor = "multi_thread")]
async fn odd_members_are_understood_or_refused_whole() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let other = make(&bridge, "Other", "other").await;
    let id = make(&bridge, "Design", "ext").await;
    for (operations, status, expected) in [
        (json!([{"op": "Add", "path": "members", "value": [{"value": "A"}, {"value": "A"}]}]), 204, "AB"),
        (
            json!([{"op": "Add", "path": "members", "value": [{"value": "A"}]},
                   {"op": "Remove", "path": "members", "value": [{"value": "A"}]}]),
            204,
            "B",
        ),
        (
            json!([{"op": "Remove", "path": "members", "value": [{"value": "B"}]},
                   {"op": "Add", "path": "members", "value": [{"value": "B"}]}]),
            204,
            "B",
        ),
        (json!([{"op": "Add", "path": "members", "value": "A"}]), 204, "AB"),
        (json!([{"op": "Add", "path": "members", "value": ["A"]}]), 204, "AB"),
        (json!([{"op": "Add", "path": "members", "value": {"value": "A"}}]), 204, "AB"),
        (json!([{"op": "Add", "path": "MEMBERS", "value": [{"VALUE": "A", "type": "User"}]}]), 204, "AB"),
        (json!([{"op": "Add", "path": "members", "value": null}]), 204, "B"),
        (json!([{"op": "Add", "path": "members", "value": []}]), 204, "B"),
        (json!([{"op": "Add", "path": "members"}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"display": "Jo"}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": ""}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": "A"}, {"value": ""}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": null}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": 7}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": 7}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": "G", "type": "Group"}]}]), 400, "B"),
        (json!([{"op": "Add", "path": "members", "value": [{"value": "G"}]}]), 400, "B"),
        // Nobody is taken away by what names nobody.
        (json!([{"op": "Remove", "path": "members", "value": [{"value": ""}]}]), 204, "B"),
        (json!([{"op": "Remove", "path": "members", "value": [{}]}]), 204, "B"),
        (json!([{"op": "Remove", "path": "members", "value": []}]), 204, "B"),
        (json!([{"op": "Remove", "path": "members", "value": ""}]), 204, "B"),
        (json!([{"op": "Remove", "path": "members", "value": "A"}]), 204, "B"),
        (json!([{"op": "Remove", "path": "members", "value": "B"}]), 204, ""),
        (json!([{"op": "Remove", "path": "members", "value": {"value": "B"}}]), 204, ""),
        (json!([{"op": "Remove", "path": "members", "value": [{"value": "B", "display": "x"}]}]), 204, ""),
        (json!([{"op": "remove", "path": "members[value eq \"nobody\"]"}]), 204, "B"),
        (json!([{"op": "remove", "path": "members[type eq \"User\"]"}]), 204, ""),
        (json!([{"op": "remove", "path": "members[type eq \"Group\"]"}]), 204, "B"),
        (json!([{"op": "replace", "path": "members[value eq \"B\"]", "value": {"value": "A"}}]), 204, "A"),
        (json!([{"op": "Remove", "path": "members", "value": null}]), 204, ""),
        (json!([{"op": "Replace", "path": "members", "value": null}]), 204, ""),
        // All or nothing.
        (
            json!([{"op": "Add", "path": "members", "value": [{"value": "A"}]},
                   {"op": "Replace", "path": "displayName", "value": "OTHER"}]),
            409,
            "B",
        ),
        (
            json!([{"op": "Replace", "path": "members", "value": []},
                   {"op": "Add", "path": "members", "value": [{"value": "nobody"}]}]),
            400,
            "B",
        ),
        (json!([{"op": "Remove", "path": "members"}, {"op": "Remove", "path": "displayName"}]), 400, "B"),
    ] {
        change(&bridge, &id, json!([{"op": "Replace", "path": "members", "value": value(&b)}]))
            .await
            .expect(204);
        let text = operations.to_string();
        let text = text.replace("\"A\"", &json!(a).to_string()).replace("\"B\"", &json!(b).to_string());
        let text =
            text.replace("\"G\"", &json!(other).to_string()).replace("\\\"B\\\"", &format!("\\\"{b}\\\""));
        let answer = change(&bridge, &id, serde_json::from_str(&text).unwrap()).await;
        assert_eq!(answer.status, status, "{operations}: {}", answer.body);
        let letters = [(&a, 'A'), (&b, 'B')];
        let there = members(&bridge, &id).await;
        let shown: String =
            letters.iter().filter(|(id, _)| there.contains(id)).map(|(_, letter)| letter).collect();
        assert_eq!((shown.as_str(), there.len()), (expected, expected.len()), "{operations}");
        assert_eq!(bridge.get(&format!("/Groups/{id}")).await.expect(200).text("/displayName"), "Design");
    }
    // The same in a body that is a whole group.
    for (given, status, count) in [
        (json!(null), 201, 0),
        (json!(a), 201, 1),
        (json!({"value": a}), 201, 1),
        (json!([a, b, {"value": a}]), 201, 2),
        (json!([{"value": ""}]), 400, 0),
        (json!([{"display": "x"}]), 400, 0),
        (json!([{"value": other, "type": "Group"}]), 400, 0),
        (json!([{"value": "nobody"}]), 400, 0),
        (json!(7), 400, 0),
    ] {
        let body = json!({"displayName": "Whole", "members": given});
        let made = bridge.ask("POST /Groups", Some(body.clone())).await.expect(status);
        if status == 201 {
            assert_eq!(made.body["members"].as_array().unwrap().len(), count, "{body}");
            bridge.ask(&format!("DELETE /Groups/{}", made.id()), None).await.expect(204);
        } else {
            assert_eq!(find(&bridge, "filter=displayName+eq+%22Whole%22").await, [""; 0], "{body}");
        }
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_may_hold_anything() {
    for ids in ["nasty", "uuid", "auth0_pipe"] {
        let place = Place::new(&[("ids", ids)]).await;
        let bridge = place.bridge().await;
        let managers = make(&bridge, "M", MANAGERS).await;
        for name in ["a", "b", "c", "d", "e", "f"] {
            let id = create(&bridge, name).await;
            add(&bridge, &managers, &[&id]).await;
            settled(&bridge).await;
            assert_eq!(place.roles(name), manager(), "{id}");
            let shown = bridge.get(&format!("/Groups/{managers}")).await.expect(200);
            let location = shown.text("/members/0/$ref").strip_prefix(&bridge.url).unwrap().to_owned();
            assert_eq!(bridge.get(&location).await.expect(200).id(), id, "{location}");
            if ids == "uuid" {
                assert!(location.ends_with(&id), "nothing in it needs encoding: {location}");
            }
            let filter = format!("filter={}", encoded(&format!("members.value eq {}", json!(id))));
            assert_eq!(find(&bridge, &filter).await, ["M"], "{id}");
            let path = format!("members[value eq {}]", json!(id));
            change(&bridge, &managers, json!([{"op": "remove", "path": path}])).await.expect(204);
            settled(&bridge).await;
            assert_eq!(
                (place.roles(name), members(&bridge, &managers).await.len()),
                (plain_user(), 0),
                "{id}"
            );
            add(&bridge, &managers, &[&id]).await;
            remove(&bridge, &managers, &[&id]).await;
            assert_eq!(members(&bridge, &managers).await.len(), 0, "{id}");
        }
        bridge.stop().await;
    }
}

/// Whatever a group is called, it is found by its name, in another letter case too, and is the only one with it.
#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_anything_and_are_found() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let long = "x".repeat(2000);
    let first = make(&bridge, "First", "first").await;
    for name in [
        "\"quoted\" \\ and 'single'",
        "ÄÖÜ ß Straße",
        "ÇÖĞ İıŞ",
        "日本語",
        "🦀 crabs 👩‍👩‍👧",
        "a\tb\nc",
        "ends with blanks  ",
        "  begins with them",
        "a and b or not (c)",
        "displayName eq \"x\"",
        "*",
        "%20+&=#",
        &first,
        MANAGERS,
        "first/../second",
        &long,
    ] {
        let id = make(&bridge, name, "ext").await;
        for told in [name.to_owned(), name.to_uppercase()] {
            let filter = encoded(&format!("displayName eq {}", json!(told)));
            let found = bridge.get(&format!("/Groups?excludedAttributes=members&filter={filter}")).await;
            let found = found.expect(200);
            if told.to_lowercase() != name.to_lowercase() {
                continue;
            }
            assert_eq!(found.body["totalResults"], 1, "{told:?}: who is taken must be found");
            assert_eq!((found.text("/Resources/0/id"), found.text("/Resources/0/displayName")), (&*id, name));
            bridge.ask("POST /Groups", Some(group(&told, "again"))).await.expect(409);
        }
        bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(204);
    }
    bridge.stop().await;
}

/// Who names a group like an object id, or sends another id, gains nothing by it; the right id gains at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_grants_follows_its_object_id() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let like = make(&bridge, ADMINS, "like").await;
    add(&bridge, &like, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), plain_user(), "a name is no object id");
    let external = |id: Value| json!([{"op": "Replace", "path": "externalId", "value": id}]);
    change(&bridge, &like, external(json!(MANAGERS))).await.expect(204);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), manager());
    // Two groups with one id both count, and each can go.
    let twin = make(&bridge, "Twin", MANAGERS).await;
    add(&bridge, &twin, &[&a]).await;
    let both = format!("filter=externalId+eq+%22{MANAGERS}%22");
    assert_eq!(find(&bridge, &both).await.len(), 2);
    change(&bridge, &like, external(json!("another"))).await.expect(204);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), manager(), "the twin still grants it");
    change(&bridge, &twin, json!([{"op": "Remove", "path": "externalId"}])).await.expect(204);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), plain_user());
    bridge.stop().await;
}

/// Whoever left a group while they were disabled comes back without what it granted.
#[tokio::test(flavor = "multi_thread")]
async fn who_left_while_disabled_comes_back_without() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let managers = make(&bridge, "M", MANAGERS).await;
    add(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    bridge.patch(&a, active(false)).await.expect(200);
    remove(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    bridge.patch(&a, active(true)).await.expect(200);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), plain_user());
    bridge.stop().await;
}

/// What was given stays the groups' own, also when nobody heard that it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_unheard_is_taken_away_all_the_same() {
    let place = Place::new(&[]).await;
    let settings = [("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"), ("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "0")];
    let bridge = place.bridge_with(&settings).await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let managers = make(&bridge, "M", MANAGERS).await;
    place.ziflow.inject(Fault::apply_then_drop().method(Method::PUT));
    place.ziflow.inject(Fault::status(StatusCode::BAD_GATEWAY).method(Method::GET).skip(1).forever());
    add(&bridge, &managers, &[&a]).await;
    bridge.line("what this person's groups grant could not be applied").await;
    assert_eq!(place.roles("a"), manager(), "it was given");
    place.ziflow.clear_faults();
    settled(&bridge).await;
    // And a plug that is pulled just then.
    place.ziflow.inject(Fault::apply_then_hang().method(Method::PUT));
    add(&bridge, &managers, &[&b]).await;
    while place.roles("b") != manager() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bridge.kill();
    place.ziflow.clear_faults();
    let bridge = place.bridge_with(&settings).await;
    settled(&bridge).await;
    remove(&bridge, &managers, &[&a, &b]).await;
    settled(&bridge).await;
    assert_eq!((place.roles("a"), place.roles("b")), (plain_user(), plain_user()));
    bridge.stop().await;
}

/// Where Ziflow refuses one part of what a group grants, the other part is given, and taken away again.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_given_can_be_taken_away() {
    let place = Place::new(&[("group_strings", "known_only")]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let admins = make(&bridge, "Admins", ADMINS).await;
    add(&bridge, &admins, &[&a]).await;
    bridge.line("what this person's groups grant could not be applied").await;
    assert_eq!(place.roles("a"), ["admin", "user"]);
    remove(&bridge, &admins, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), plain_user());
    bridge.stop().await;
}

/// Somebody deleted whom an operator activates in Ziflow exists again, and what they join from then on stays.
#[tokio::test(flavor = "multi_thread")]
async fn who_rose_from_deletion_by_hand_keeps_what_they_join() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let managers = make(&bridge, "M", MANAGERS).await;
    bridge.delete(&a).await.expect(204);
    // Later than Ziflow may take to show the delete: until then, active is how they were before it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    place.ziflow.change_person(&a, json!({"active": true}));
    add(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(members(&bridge, &managers).await, std::slice::from_ref(&a));
    assert_eq!(place.roles("a"), manager());
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_changes_exactly_when_something_does() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let id = make(&bridge, "Producers", "ext").await;
    let op = |op: &str, path: &str, value: Value| json!({"op": op, "path": path, "value": value});
    for (operations, changes) in [
        (json!([op("Add", "members", value(&a))]), true),
        (json!([op("Add", "members", value(&a))]), false),
        (json!([op("Remove", "members", value(&b))]), false),
        (json!([op("Add", "members", value(&b)), op("Remove", "members", value(&b))]), false),
        (json!([op("Remove", "members", value(&a)), op("Add", "members", value(&a))]), false),
        (json!([op("Replace", "members", value(&a))]), false),
        (json!([op("Replace", "displayName", json!("Producers"))]), false),
        (json!([op("Replace", "displayName", json!("producers"))]), true),
        (json!([op("Replace", "displayName", json!("Producers"))]), true),
        (json!([op("Replace", "externalId", json!("ext-2"))]), true),
        (json!([]), false),
        (json!([op("Replace", "members", json!([{"value": a}, {"value": b}]))]), true),
    ] {
        let before = version(&bridge, &id).await;
        change(&bridge, &id, operations.clone()).await.expect(204);
        assert_eq!(version(&bridge, &id).await != before, changes, "{operations}");
    }
    let before = version(&bridge, &id).await;
    let line = format!("PUT /Groups/{id}");
    bridge.ask(&line, Some(json!({"displayName": "Producers", "externalId": "ext-2"}))).await.expect(200);
    bridge.patch(&a, json!([{"op": "Replace", "path": "title", "value": "x"}])).await.expect(200);
    // What it grants is not what it shows.
    place.mapping("groups: { Producers: { roles: [billing] } }");
    bridge.hang_up();
    bridge.line("this group grants something else from now on").await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "user"]);
    assert_eq!(version(&bridge, &id).await, before);
    bridge.delete(&a).await.expect(204);
    assert_ne!(version(&bridge, &id).await, before, "a member is gone");
    let current = version(&bridge, &id).await;
    let target = format!("/Groups/{id}");
    for (request, header, status) in [
        (format!("GET {target}"), ("if-none-match", &*current), 304),
        (format!("GET {target}"), ("if-none-match", &*before), 200),
        (format!("HEAD {target}"), ("if-none-match", &*before), 200),
        (format!("DELETE {target}"), ("if-match", &*before), 412),
        (format!("DELETE {target}"), ("if-match", &*current), 204),
    ] {
        bridge.ask_with(&request, &[header], None).await.expect(status);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_projections_of_members() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let (full, empty) = (make(&bridge, "Full", "f").await, make(&bridge, "Empty", "e").await);
    add(&bridge, &full, &[&a, &b]).await;
    let before = place.ziflow.total_calls();
    for (filter, expected) in [
        ("members pr".to_owned(), vec!["Full"]),
        ("not (members pr)".to_owned(), vec!["Empty"]),
        ("members.value pr".to_owned(), vec!["Full"]),
        (format!("members.value eq \"{a}\""), vec!["Full"]),
        (format!("members eq \"{a}\""), vec!["Full"]),
        (format!("members[value eq \"{a}\"]"), vec!["Full"]),
        (format!("members[value eq \"{a}\" and type eq \"User\"]"), vec!["Full"]),
        (format!("members[value eq \"{a}\" and type eq \"Group\"]"), vec![]),
        (format!("members.value eq \"{a}\" and members.value eq \"{b}\""), vec!["Full"]),
        (format!("members.value eq \"{a}\" and members.value eq \"nobody\""), vec![]),
        (format!("members.value eq \"nobody\" or members.value eq \"{b}\""), vec!["Full"]),
        (format!("not (members.value eq \"{a}\")"), vec!["Empty"]),
        (format!("members.value eq \"{a}\" and displayName eq \"empty\""), vec![]),
        (format!("displayName eq \"full\" and members.value eq \"{b}\""), vec!["Full"]),
        ("members.type eq \"User\"".to_owned(), vec!["Full"]),
        ("members.type eq \"Group\"".to_owned(), vec![]),
        ("members.display pr".to_owned(), vec![]),
        ("members.display eq \"Jo\"".to_owned(), vec![]),
        (format!("members.$ref ew \"{}\"", encoded(&a)), vec!["Full"]),
        (format!("urn:ietf:params:scim:schemas:core:2.0:Group:members.value eq \"{a}\""), vec!["Full"]),
        ("meta.resourceType eq \"Group\"".to_owned(), vec!["Empty", "Full"]),
    ] {
        for more in ["", "&excludedAttributes=members"] {
            let query = format!("filter={}{more}", encoded(&filter));
            assert_eq!(find(&bridge, &query).await, expected, "{filter}{more}");
        }
    }
    for (query, shows) in [
        ("", json!(["value", "$ref", "type"])),
        ("?excludedAttributes=members", json!(null)),
        ("?excludedAttributes=MEMBERS", json!(null)),
        ("?excludedAttributes=urn:ietf:params:scim:schemas:core:2.0:Group:Members", json!(null)),
        ("?excludedAttributes=externalId,members", json!(null)),
        ("?attributes=displayName", json!(null)),
        ("?attributes=members.value", json!(["value"])),
        ("?attributes=Members.VALUE", json!(["value"])),
        ("?attributes=members", json!(["value", "$ref", "type"])),
        ("?excludedAttributes=members.$ref,members.type", json!(["value"])),
    ] {
        let listed = format!(
            "/Groups{query}{}filter={}",
            if query.is_empty() { "?" } else { "&" },
            encoded("displayName eq \"Full\"")
        );
        for target in [format!("/Groups/{full}{query}"), listed] {
            let shown = bridge.get(&target).await.expect(200).body;
            let shown = shown.get("Resources").map_or(&shown, |found| &found[0]);
            let names = shown["members"].as_array().map(|members| {
                assert_eq!(members.len(), 2, "{target}");
                let mut names: Vec<_> = members[0].as_object().unwrap().keys().cloned().collect();
                names.sort();
                names
            });
            let mut expected: Option<Vec<String>> = serde_json::from_value(shows.clone()).unwrap();
            if let Some(names) = &mut expected {
                names.sort();
            }
            assert_eq!(names, expected, "{target}");
        }
        let head = bridge.ask(&format!("HEAD /Groups/{full}{query}"), None).await.expect(200);
        assert_eq!(head.body, Value::Null);
    }
    bridge.ask(&format!("HEAD /Groups/{empty}"), None).await.expect(200);
    bridge.ask("HEAD /Groups/nobody", None).await.expect(404);
    bridge.ask("HEAD /Groups?filter=displayName+eq+%22x%22", None).await.expect(200);
    assert_eq!(place.ziflow.total_calls(), before, "Ziflow has no part in it");
    bridge.stop().await;
}

/// A search at the root finds people and groups, in one list.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_groups_are_searched_at_once() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    for number in 0..3 {
        create(&bridge, &format!("p{number}")).await;
        make(&bridge, &format!("Team {number}"), "ext").await;
    }
    let people = "userName sw \"p\"";
    let both = "displayName eq \"Jo Lee\" or displayName sw \"Team\"";
    for (filter, start, count, total, found) in [
        (people, 1, 10, 3, "p p p"),
        ("displayName sw \"team\"", 1, 10, 3, "Team 0 Team 1 Team 2"),
        (both, 1, 10, 6, "p p p Team 0 Team 1 Team 2"),
        (both, 1, 2, 6, "p p"),
        (both, 3, 2, 6, "p Team 0"),
        (both, 5, 2, 6, "Team 1 Team 2"),
        (both, 7, 2, 6, ""),
        ("members pr", 1, 10, 0, ""),
        ("externalId eq \"ext\"", 1, 10, 3, "Team 0 Team 1 Team 2"),
    ] {
        let body = json!({"filter": filter, "startIndex": start, "count": count});
        let told = bridge.ask("POST /.search", Some(body)).await.expect(200).body;
        // People have an order, and it is not that of their names.
        let name = |one: &Value| {
            one["displayName"].as_str().filter(|_| one.get("userName").is_none()).unwrap_or("p").to_owned()
        };
        let names: Vec<_> = told["Resources"].as_array().unwrap().iter().map(name).collect();
        assert_eq!(
            (names.join(" "), &told["totalResults"]),
            (found.to_owned(), &json!(total)),
            "{filter} {start}"
        );
        assert_eq!((&told["startIndex"], &told["itemsPerPage"]), (&json!(start), &json!(names.len())));
    }
    for bad in [json!({"filter": "nonsense eq \"x\""}), json!({"filter": both, "cursor": ""})] {
        bridge.ask("POST /.search", Some(bad)).await.expect(400);
    }
    bridge.stop().await;
}

/// Whatever the order in which they come: who is told 204 is a member of a group that is there, and who is gone is gone.
#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_moment_as_an_end() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    for round in 0..8 {
        let (a, b) =
            (create(&bridge, &format!("a{round}")).await, create(&bridge, &format!("b{round}")).await);
        let managers = make(&bridge, &format!("M{round}"), MANAGERS).await;
        let join = |id: &str| json!([{"op": "Add", "path": "members", "value": [{ "value": id }]}]);
        // A person deleted while they join.
        let (joined, deleted) = tokio::join!(change(&bridge, &managers, join(&a)), bridge.delete(&a));
        deleted.expect(204);
        assert!([204, 400].contains(&joined.status), "{joined:?}");
        add(&bridge, &managers, &[&b]).await;
        // And while their grant is being applied.
        let ((), deleted) = tokio::join!(settled(&bridge), bridge.delete(&b));
        deleted.expect(204);
        settled(&bridge).await;
        assert_eq!(members(&bridge, &managers).await, [""; 0], "deletion ends memberships");
        assert_eq!(create(&bridge, &format!("a{round}")).await, a);
        settled(&bridge).await;
        assert_eq!(place.roles(&format!("a{round}")), plain_user(), "who comes back belongs to nothing");
        // A group deleted while somebody joins.
        let line = format!("DELETE /Groups/{managers}");
        let (joined, deleted) = tokio::join!(change(&bridge, &managers, join(&a)), bridge.ask(&line, None));
        deleted.expect(204);
        assert!([204, 404].contains(&joined.status), "{joined:?}");
        bridge.get(&format!("/Groups/{managers}")).await.expect(404);
        settled(&bridge).await;
        assert_eq!(place.roles(&format!("a{round}")), plain_user());
    }
    bridge.stop().await;
}
