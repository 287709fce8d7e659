//! Groups: kept by the bridge, changed in every dialect that Entra writes, and granting in Ziflow what the mapping says.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Fault;

use crate::group_stage::{
    ADMINS, GROUPS, MANAGERS, Place, add, change, create, find, group, make, members, remove, settled,
};
use crate::harness::{command, encoded, gets, person};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_made_found_renamed_and_deleted() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let id = make(&bridge, "Design Team", "ext-1").await;
    let again = bridge.ask("POST /Groups", Some(group("design team", "ext-2"))).await.expect(409);
    assert_eq!(again.body["scimType"], "uniqueness");
    assert!(again.text("/detail").contains(&id), "{again:?}");
    make(&bridge, "LACreateGroup-(xxxxxxxx)", "ext-3").await;
    for (filter, expected) in [
        ("displayName eq \"DESIGN team\"", vec!["Design Team"]),
        ("externalId eq \"ext-3\"", vec!["LACreateGroup-(xxxxxxxx)"]),
        ("displayName eq \"nobody\"", vec![]),
        ("displayName sw \"L\" or displayName co \"team\"", vec!["Design Team", "LACreateGroup-(xxxxxxxx)"]),
        (&format!("id eq \"{id}\""), vec!["Design Team"]),
        ("id eq \"nobody\"", vec![]),
        ("not (members pr)", vec!["Design Team", "LACreateGroup-(xxxxxxxx)"]),
    ] {
        let query = format!("excludedAttributes=members&filter={}", encoded(filter));
        assert_eq!(find(&bridge, &query).await, expected, "{filter}");
    }
    let renamed = json!([{"op": "replace", "value": {"displayName": "Design & Motion"}}]);
    change(&bridge, &id, renamed).await.expect(204);
    let taken = json!([{"op": "Replace", "path": "displayName", "value": "lacreategroup-(XXXXXXXX)"}]);
    change(&bridge, &id, taken).await.expect(409);
    let shown = bridge.get(&format!("/Groups/{id}?excludedAttributes=members")).await.expect(200);
    assert_eq!((shown.text("/displayName"), &shown.body["members"]), ("Design & Motion", &Value::Null));
    assert_eq!(shown.text("/externalId"), "ext-1");
    let rename = json!({"Operations": [{"op": "Replace", "path": "displayName", "value": "Design"}]});
    let shown =
        bridge.ask(&format!("PATCH /Groups/{id}?attributes=displayName"), Some(rename)).await.expect(200);
    assert_eq!(shown.text("/displayName"), "Design");
    bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(204);
    bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(404);
    bridge.get(&format!("/Groups/{id}")).await.expect(404);
    change(&bridge, &id, json!([])).await.expect(404);
    assert!(make(&bridge, "Design", "ext-1").await != id, "a new group has a new id");
    for bad in [json!({"externalId": "x"}), json!({"displayName": " "})] {
        bridge.ask("POST /Groups", Some(bad)).await.expect(400);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_in_every_dialect() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b, c) = (create(&bridge, "a").await, create(&bridge, "b").await, create(&bridge, "c").await);
    let id = make(&bridge, "Design", "ext").await;
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    for (operations, expected) in [
        (json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": a}]}]), vec![&a]),
        (
            json!([{"op": "Add", "path": "members", "value": [{"value": a}, {"value": b}, {"value": b}]}]),
            vec![&a, &b],
        ),
        (json!([{"op": "add", "value": {"members": [{"value": c}]}}]), vec![&a, &b, &c]),
        (json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": a}]}]), vec![&b, &c]),
        (
            json!([{"op": "Remove", "path": "members", "value": [{"value": a}, {"value": "nobody"}]}]),
            vec![&b, &c],
        ),
        (json!([{"op": "remove", "path": format!("members[value eq \"{b}\"]")}]), vec![&c]),
        (json!([{"op": "Replace", "path": "members", "value": [{"value": a}, {"value": b}]}]), vec![&a, &b]),
        (
            json!([
                {"op": "Remove", "path": "members", "value": [{"value": a}]},
                {"op": "Add", "path": "members", "value": [{"value": c}]},
                {"op": "Replace", "path": "displayName", "value": "Motion"},
            ]),
            vec![&b, &c],
        ),
        (json!([{"op": "remove", "path": format!("members[$ref ew \"{}\"]", encoded(&b))}]), vec![&c]),
        (json!([]), vec![&c]),
        (json!([{"op": "Remove", "path": "members"}]), vec![]),
    ] {
        change(&bridge, &id, operations.clone()).await.expect(204);
        assert_eq!(members(&bridge, &id).await, sorted(&expected), "{operations}");
    }
    // Unknown members are refused by name, and nothing of the request is applied.
    let mixed = json!([
        {"op": "Replace", "path": "displayName", "value": "Other"},
        {"op": "Add", "path": "members", "value": [{"value": a}, {"value": "auth0|nobody"}]},
    ]);
    let refused = change(&bridge, &id, mixed).await.expect(400);
    assert!(refused.text("/detail").contains("auth0|nobody"), "{refused:?}");
    assert_eq!(members(&bridge, &id).await, Vec::<String>::new());
    assert_eq!(bridge.get(&format!("/Groups/{id}")).await.expect(200).text("/displayName"), "Motion");

    // People show their groups, which nobody can write there.
    add(&bridge, &id, &[&a]).await;
    let shown = bridge.read(&a).await.expect(200);
    assert_eq!(shown.text("/groups/0/value"), id);
    assert_eq!((shown.text("/groups/0/display"), shown.text("/groups/0/type")), ("Motion", "direct"));
    bridge.patch(&a, json!([{"op": "add", "path": "groups", "value": [{"value": id}]}])).await.expect(400);
    let of_a = format!("filter={}", encoded(&format!("members.value eq \"{a}\"")));
    assert_eq!(find(&bridge, &of_a).await, ["Motion"]);
    let both = format!("filter={}&attributes=id", encoded(&format!("id eq \"{id}\" and members eq \"{a}\"")));
    assert_eq!(bridge.get(&format!("/Groups?{both}")).await.expect(200).body["totalResults"], 1);
    let none = format!("filter={}", encoded(&format!("id eq \"{id}\" and members eq \"{b}\"")));
    assert_eq!(bridge.get(&format!("/Groups?{none}")).await.expect(200).body["totalResults"], 0);

    // A PUT that leaves members out keeps them; an empty list takes all away.
    let target = format!("PUT /Groups/{id}");
    let put = |body: Value| bridge.ask(&target, Some(body));
    put(json!({"displayName": "Motion"})).await.expect(200);
    assert_eq!(members(&bridge, &id).await, sorted(&[&a]));
    put(json!({"displayName": "Motion", "members": [{"value": b}]})).await.expect(200);
    assert_eq!(members(&bridge, &id).await, sorted(&[&b]));
    put(json!({"displayName": "Motion", "members": []})).await.expect(200);
    assert_eq!(members(&bridge, &id).await, Vec::<String>::new());
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_never_written_is_a_member_if_ziflow_lists_them_and_it_costs_no_call_each() {
    let place = Place::new(&[]).await;
    let ids: Vec<_> = (0..30)
        .map(|number| {
            place.ziflow.add_person(json!({"email": format!("hand{number}@example.com"), "roles": ["user"]}))
        })
        .collect();
    let bridge = place.bridge().await;
    let id = make(&bridge, "Brand Reviewers", "ext").await;
    let before = place.ziflow.total_calls();
    bridge.get(&format!("/Groups/{id}?excludedAttributes=members")).await.expect(200);
    find(&bridge, "excludedAttributes=members&filter=displayName+eq+%22Brand+Reviewers%22").await;
    assert_eq!(place.ziflow.total_calls(), before, "without members Ziflow is not asked");
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    add(&bridge, &id, &names).await;
    settled(&bridge).await;
    for number in [0, 29] {
        assert_eq!(place.group_texts(&format!("hand{number}")), ["Brand Reviewers"]);
        assert_eq!(place.roles(&format!("hand{number}")), ["user"]);
    }
    let looks = place
        .ziflow
        .calls()
        .iter()
        .filter(|call| call.method == "GET" && call.path.ends_with("/users"))
        .count();
    assert!(looks <= 2, "one walk, and the proof of the key");
    bridge.stop().await;
}

/// A person in two groups that both grant `manager` keeps it when leaving one; what was given by hand stays.
#[tokio::test(flavor = "multi_thread")]
async fn roles_are_what_the_mapping_and_all_groups_say() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let managers = make(&bridge, "Managers", MANAGERS).await;
    let producers = make(&bridge, "producers", "ext-p").await;
    let reviewers = make(&bridge, "Brand Reviewers", "ext-r").await;
    for group in [&managers, &producers, &reviewers] {
        add(&bridge, group, &[&a]).await;
    }
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "manager", "user"]);
    assert_eq!(place.group_texts("a"), ["Brand Reviewers"]);
    remove(&bridge, &producers, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["manager", "user"], "the other group still grants it");
    // By hand: a role, and a group text.
    place.ziflow.change_person(
        &a,
        json!({"roles": ["user", "manager", "billing"], "group": ["Brand Reviewers", "Own"]}),
    );
    remove(&bridge, &managers, &[&a]).await;
    remove(&bridge, &reviewers, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "user"], "what was given by hand stays");
    assert_eq!(place.group_texts("a"), ["Own"]);
    // The mapping's own roles do not end with a group's, nor a group's with the mapping's.
    add(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    let role =
        |name: &str| json!([{"op": "Replace", "path": "roles", "value": [{"value": name, "primary": true}]}]);
    bridge.patch(&a, role("Ziflow Manager")).await.expect(200);
    bridge.patch(&a, role("Ziflow User")).await.expect(200);
    assert!(
        place.roles("a").contains(&"manager".to_owned()),
        "the group still grants it: {:?}",
        place.roles("a")
    );
    bridge.patch(&a, role("Ziflow Manager")).await.expect(200);
    remove(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    assert!(place.roles("a").contains(&"manager".to_owned()), "the app role still grants it");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_deleting_and_another_mapping_are_looked_at_again() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let id = make(&bridge, "Producers", "ext").await;
    add(&bridge, &id, &[&a, &b]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "manager", "user"]);
    let rename = |name: &str| json!([{"op": "Replace", "path": "displayName", "value": name}]);
    change(&bridge, &id, rename("Somebody else")).await.expect(204);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["user"]);
    change(&bridge, &id, rename("PRODUCERS")).await.expect(204);
    settled(&bridge).await;
    assert_eq!(place.roles("b"), ["billing", "manager", "user"]);
    place.mapping("groups: { Producers: { roles: [billing] } }");
    bridge.hang_up();
    bridge.line("reloaded").await;
    bridge.line("this group grants something else from now on").await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "user"]);
    bridge.stop().await;
    // Also when the mapping changed while the bridge was stopped.
    place.mapping(GROUPS);
    let bridge = place.bridge().await;
    bridge.line("this group grants something else from now on").await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["billing", "manager", "user"]);
    bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(204);
    settled(&bridge).await;
    assert_eq!((place.roles("a"), place.roles("b")), (vec!["user".to_owned()], vec!["user".to_owned()]));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_keeps_memberships_and_who_is_deleted_does_not() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let (managers, reviewers) =
        (make(&bridge, "M", MANAGERS).await, make(&bridge, "Brand Reviewers", "r").await);
    add(&bridge, &managers, &[&a, &b]).await;
    settled(&bridge).await;
    let active = |on: bool| json!([{"op": "Replace", "path": "active", "value": on}]);
    bridge.patch(&a, active(false)).await.expect(200);
    add(&bridge, &reviewers, &[&a]).await;
    place.ziflow.change_person(&a, json!({"roles": ["user"]}));
    settled(&bridge).await;
    assert_eq!(
        (place.roles("a"), place.group_texts("a").len()),
        (vec!["user".to_owned()], 0),
        "not while disabled"
    );
    assert_eq!(members(&bridge, &managers).await.len(), 2);
    bridge.patch(&a, active(true)).await.expect(200);
    settled(&bridge).await;
    assert_eq!(
        (place.roles("a"), place.group_texts("a")),
        (vec!["manager".to_owned(), "user".to_owned()], vec!["Brand Reviewers".to_owned()])
    );
    bridge.delete(&b).await.expect(204);
    assert_eq!(members(&bridge, &managers).await, std::slice::from_ref(&a));
    change(&bridge, &managers, json!([{"op": "Add", "path": "members", "value": [{"value": b}]}]))
        .await
        .expect(400);
    assert_eq!(create(&bridge, "b").await, b);
    settled(&bridge).await;
    assert_eq!(place.roles("b"), ["user"], "who comes back belongs to nothing");
    bridge.stop().await;
}

/// Protected people and the account owner are never stripped of roles, by no group.
#[tokio::test(flavor = "multi_thread")]
async fn protected_people_keep_their_roles() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge_with(&[("BRIDGE_POLICY__PROTECTED_EMAILS", "[a@example.com]")]).await;
    let a = create(&bridge, "a").await;
    let admins = make(&bridge, "Admins", ADMINS).await;
    add(&bridge, &admins, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["admin", "user"]);
    remove(&bridge, &admins, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["admin", "user"]);
    bridge.stop().await;
}

/// The queue survives trouble, a crash and a refusal of one of its parts, and shows what it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_waits_and_is_seen() {
    let place = Place::new(&[("group_strings", "known_only")]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let admins = make(&bridge, "Admins", ADMINS).await;
    add(&bridge, &admins, &[&a]).await;
    let failing = loop {
        let ready = bridge.admin("/readyz").await.expect(200);
        if ready.text("/parts/grants/state") == "stale" {
            break ready;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(failing.text("/parts/grants/detail").contains("1 of them failed"), "{failing:?}");
    assert_eq!(place.roles("a"), ["admin", "user"], "an unknown group text keeps nobody from their roles");
    assert_eq!(bridge.metric("ziflow_scim_bridge_grants_waiting").await, "1");
    assert_eq!(bridge.metric("ziflow_scim_bridge_grants_failing").await, "1");
    // What fails for one holds up nobody else.
    let managers = make(&bridge, "M", MANAGERS).await;
    add(&bridge, &managers, &[&b]).await;
    while place.roles("b") != ["manager", "user"] {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    place.ziflow.set("group_strings", "any").unwrap();
    place.ziflow.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).method(Method::PUT).forever());
    remove(&bridge, &managers, &[&b]).await;
    bridge.line("what this person's groups grant could not be applied").await;
    bridge.kill();
    place.ziflow.clear_faults();
    let bridge = place.bridge().await;
    settled(&bridge).await;
    assert_eq!(place.group_texts("a"), ["Admins"]);
    assert_eq!(place.roles("b"), ["user"], "after a crash the queue goes on");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_changes_of_one_person_are_one_update() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let managers = make(&bridge, "M", MANAGERS).await;
    // Somebody else holds the queue up meanwhile.
    place.ziflow.inject(Fault::slow(Duration::from_secs(4)).method(Method::PUT).times(1));
    add(&bridge, &managers, &[&b]).await;
    gets(&place.ziflow, "PUT", 1).await;
    for _ in 0..5 {
        add(&bridge, &managers, &[&a]).await;
        remove(&bridge, &managers, &[&a]).await;
    }
    add(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    let path = format!("/users/{}", encoded(&a));
    let writes =
        place.ziflow.calls().iter().filter(|call| call.method == "PUT" && call.path.ends_with(&path)).count();
    assert!(writes <= 1, "{writes} updates");
    assert_eq!(place.roles("a"), ["manager", "user"]);
    bridge.stop().await;
}

/// Ten thousand members, a thousand of them in one request: within the request's time.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_may_be_big() {
    let place = Place::new(&[]).await;
    for number in 0..3000 {
        place.ziflow.add_person(json!({"email": format!("p{number}@example.com"), "roles": ["user"]}));
    }
    let bridge = place.bridge().await;
    let mut ids = Vec::new();
    while ids.len() < 3001 {
        let page = bridge.get(&format!("/Users?count=1000&startIndex={}&attributes=id", ids.len() + 1)).await;
        let page = page.expect(200);
        ids.extend(
            page.body["Resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
    }
    let id = make(&bridge, "Everybody", "ext").await;
    for some in ids.chunks(1000) {
        let names: Vec<&str> = some.iter().map(String::as_str).collect();
        add(&bridge, &id, &names).await;
    }
    assert_eq!(members(&bridge, &id).await.len(), 3001);
    let names: Vec<&str> = ids.iter().take(1000).map(String::as_str).collect();
    remove(&bridge, &id, &names).await;
    assert_eq!(members(&bridge, &id).await.len(), 2001);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_groups_are_paged_like_people() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    for number in 0..12 {
        make(&bridge, &format!("G{number:02}"), &format!("ext-{number}")).await;
    }
    let mut seen = Vec::new();
    for start in [1, 6, 11] {
        let page =
            bridge.get(&format!("/Groups?startIndex={start}&count=5&excludedAttributes=members")).await;
        let page = page.expect(200);
        assert_eq!((&page.body["totalResults"], &page.body["startIndex"]), (&json!(12), &json!(start)));
        seen.extend(page.body["Resources"].as_array().unwrap().iter().map(|one| one["displayName"].clone()));
    }
    assert_eq!(seen, (0..12).map(|number| json!(format!("G{number:02}"))).collect::<Vec<_>>());
    let down = bridge.get("/Groups?sortBy=displayName&sortOrder=descending&count=2").await.expect(200);
    assert_eq!(down.text("/Resources/0/displayName"), "G11");
    let first = bridge.get("/Groups?cursor=&count=7").await.expect(200);
    let next = bridge.get(&format!("/Groups?cursor={}&count=7", first.text("/nextCursor"))).await.expect(200);
    assert_eq!(next.body["Resources"].as_array().unwrap().len(), 5);
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "displayName eq \"g03\""});
    let found = bridge.ask("POST /Groups/.search", Some(search)).await.expect(200);
    assert_eq!(found.body["totalResults"], 1);
    let version = found.text("/Resources/0/meta/version").to_owned();
    let target = format!("PATCH /Groups/{}", found.text("/Resources/0/id"));
    let rename = json!({"Operations": [{"op": "replace", "path": "displayName", "value": "Other"}]});
    bridge.ask_with(&target, &[("if-match", &version)], Some(rename.clone())).await.expect(204);
    bridge.ask_with(&target, &[("if-match", &version)], Some(rename)).await.expect(412);
    bridge.stop().await;
}

/// A bulk request that makes a person and a group with them in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_request_makes_a_group_of_people_it_makes() {
    let place = Place::new(&[]).await;
    let bridge = place.bridge().await;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {
                "displayName": "M", "externalId": MANAGERS, "members": [{"value": "bulkId:p"}]}},
            {"method": "POST", "path": "/Users", "bulkId": "p", "data": person("a@example.com")},
        ],
    });
    let done = bridge.ask("POST /Bulk", Some(body)).await.expect(200);
    assert_eq!(done.text("/Operations/0/status"), "201", "{done:?}");
    let location = done.text("/Operations/0/location").to_owned();
    let id = location.rsplit('/').next().unwrap();
    assert!(location.contains("/Groups/"), "{location}");
    assert_eq!(members(&bridge, id).await.len(), 1);
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["manager", "user"]);
    bridge.stop().await;
}

/// Whoever waits for what their groups grant is in the report, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn the_drift_report_tells_who_waits() {
    let place = Place::new(&[("group_strings", "known_only")]).await;
    let bridge = place.bridge().await;
    let a = create(&bridge, "a").await;
    let reviewers = make(&bridge, "Brand Reviewers", "r").await;
    add(&bridge, &reviewers, &[&a]).await;
    bridge.line("what this person's groups grant could not be applied").await;
    let (base_url, mapping) = (place.ziflow.base_url(), place.folder.path().join("mapping.yaml"));
    let variables = [
        ("BRIDGE_ZIFLOW__BASE_URL", base_url.as_str()),
        ("BRIDGE_ZIFLOW__API_KEY", place.ziflow.key()),
        ("BRIDGE_STORE__URL", &format!("sqlite:{}", place.folder.path().join("store.db").display())),
        ("BRIDGE_MAPPING__FILE", mapping.to_str().unwrap()),
    ];
    let told = command(&["report", "drift", "--format", "json"], &variables).output().unwrap();
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["people"][0]["differences"][0]["field"], "grants", "{told}");
    let why = told["people"][0]["differences"][0]["ziflow"].as_str().unwrap();
    assert!(why.contains("Ziflow refuses the values"), "{why}");
    bridge.stop().await;
}

/// A role whose giving got lost on the way back is still the bridge's: it goes when the membership does.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_answer_got_lost_is_not_taken_for_given_by_hand() {
    let place = Place::new(&[]).await;
    // No second look either: Ziflow is gone for a while right after it has acted.
    let lost = || {
        place.ziflow.inject(Fault::apply_then_drop().method(Method::PUT).times(1));
        place
            .ziflow
            .inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).method(Method::GET).skip(1).times(6));
    };
    let bridge = place.bridge_with(&[("BRIDGE_RATE_LIMIT__RETRIES", "0")]).await;
    let a = create(&bridge, "a").await;
    let managers = make(&bridge, "M", MANAGERS).await;
    lost();
    add(&bridge, &managers, &[&a]).await;
    bridge.line("what this person's groups grant could not be applied").await;
    assert_eq!(place.roles("a"), ["manager", "user"]);
    bridge.kill();
    place.ziflow.clear_faults();
    let bridge = place.bridge_with(&[("BRIDGE_RATE_LIMIT__RETRIES", "0")]).await;
    settled(&bridge).await;
    remove(&bridge, &managers, &[&a]).await;
    settled(&bridge).await;
    assert_eq!(place.roles("a"), ["user"]);

    // The same for a role that the mapping gives.
    let role =
        |name: &str| json!([{"op": "Replace", "path": "roles", "value": [{"value": name, "primary": true}]}]);
    lost();
    bridge.patch(&a, role("Ziflow Billing")).await.expect(503);
    assert_eq!(place.roles("a"), ["billing", "user"]);
    place.ziflow.clear_faults();
    bridge.patch(&a, role("Ziflow Billing")).await.expect(200);
    bridge.patch(&a, role("Ziflow User")).await.expect(200);
    assert_eq!(place.roles("a"), ["user"]);
    bridge.stop().await;
}
