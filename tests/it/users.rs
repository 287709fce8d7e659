//! A person's whole life, before every kind of Ziflow that the documentation leaves possible.

use serde_json::{Value, json};
use ziflow_scim_bridge::cli::transcript::differences;

use crate::harness::{Answer, Bridge, encoded, in_ziflow, person, ziflow};

/// What Entra sends for a custom application with its default attribute mapping.
fn jo() -> Value {
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "externalId": "jo.lee", "userName": "Jo.Lee+x@Example.com", "active": "True", "displayName": "Jo Lee",
        "title": null, "preferredLanguage": "en-GB",
        "emails": [{"primary": true, "type": "work", "value": "Jo.Lee@Example.com"}],
        "name": {"formatted": "Jo Lee", "familyName": "Lee", "givenName": "Jo"},
        "phoneNumbers": [{"type": "mobile", "value": "+44 7700 900001"}],
        "addresses": [{"type": "work", "locality": "London", "postalCode": null}],
        "meta": {"resourceType": "User"}, "roles": [],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Design", "manager": "7"},
        "urn:example:params:scim:schemas:extension:acme:2.0:User": {"badge": "b-7"}
    })
}

/// What must come back of it.
fn jo_shown() -> Value {
    json!({
        "externalId": "jo.lee", "userName": "Jo.Lee+x@Example.com", "active": true, "displayName": "Jo Lee",
        "preferredLanguage": "en-GB",
        "emails": [{"primary": true, "type": "work", "value": "Jo.Lee@Example.com"}],
        "name": {"formatted": "Jo Lee", "familyName": "Lee", "givenName": "Jo"},
        "phoneNumbers": [{"type": "mobile", "value": "+44 7700 900001"}],
        "addresses": [{"type": "work", "locality": "London"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"department": "Design", "manager": {"value": "7"}},
        "urn:example:params:scim:schemas:extension:acme:2.0:User": {"badge": "b-7"}
    })
}

#[track_caller]
fn holds(answer: &Answer, expected: &Value) {
    let problems = differences(expected, &answer.body);
    assert!(problems.is_empty(), "{problems:?} in {}", answer.body);
}

#[track_caller]
fn finds(answer: Answer, ids: &[&str]) {
    let answer = answer.expect(200);
    let found: Vec<_> = answer.body["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, ids, "{}", answer.body);
    assert_eq!(answer.body["totalResults"], ids.len());
}

async fn a_whole_life(quirks: &[(&str, &str)], settings: &[(&str, &str)]) {
    let ziflow = ziflow(quirks).await;
    let bridge = Bridge::with(&ziflow, settings).await;

    finds(bridge.find(r#"userName eq "jo.lee+x@example.com""#).await, &[]);
    let made = bridge.create(jo()).await.expect(201);
    holds(&made, &jo_shown());
    let id = made.id();
    assert_eq!(made.header("location"), Some(made.text("/meta/location")));
    assert!(made.text("/meta/location").ends_with(&format!("/Users/{}", encoded(&id))));
    holds(&bridge.read(&id).await.expect(200), &jo_shown());
    let held = in_ziflow(&ziflow, "jo.lee+x@example.com");
    assert_eq!(held["first_name"], "Jo");
    assert_eq!(held["language"], "en");
    assert_eq!(held["roles"], json!(["user"]));

    for filter in [
        r#"userName eq "JO.LEE+X@example.com""#,
        r#"externalId eq "jo.lee""#,
        r#"emails[type eq "work"].value eq "jo.lee@example.com""#,
        r#"emails.value eq "jo.lee@example.com""#,
        r#"userName eq "jo.lee+x@example.com" and active eq true"#,
    ] {
        finds(bridge.find(filter).await, &[&id]);
    }
    finds(bridge.find(&format!(r#"id eq "{id}""#)).await, &[&id]);
    finds(bridge.find(r#"userName eq "jo.lee@example.com""#).await, &[]);
    finds(bridge.find(r#"userName eq "jo.lee+x@example.com" and active eq false"#).await, &[]);

    let patched = bridge
        .patch(&id, json!([
            {"op": "Replace", "path": "name.familyName", "value": "Baker"},
            {"op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+44 20 7946 0001"},
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization",
             "value": "Acme"},
        ]))
        .await
        .expect(200);
    assert_eq!(patched.body["name"]["familyName"], "Baker");
    let held = in_ziflow(&ziflow, "jo.lee+x@example.com");
    assert_eq!(held["last_name"], "Baker");
    assert_eq!(held["company"], "Acme");
    assert_eq!(held["first_name"], "Jo", "what an update does not name stays");
    assert_eq!(held["roles"], json!(["user"]));

    // All or nothing: the second operation cannot be, so the first one is not.
    bridge
        .patch(
            &id,
            json!([
                {"op": "replace", "path": "title", "value": "Lost"},
                {"op": "replace", "path": "id", "value": "9"},
            ]),
        )
        .await
        .expect(400);
    assert_eq!(bridge.read(&id).await.body["title"], Value::Null);

    let disabled =
        bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await.expect(200);
    assert_eq!(disabled.body["active"], false);
    assert_eq!(in_ziflow(&ziflow, "jo.lee+x@example.com")["active"], false);
    finds(bridge.find(r#"userName eq "jo.lee+x@example.com""#).await, &[&id]);
    assert_eq!(bridge.read(&id).await.expect(200).body["active"], false);
    let all = bridge.get("/Users").await.expect(200);
    assert!(
        all.body["Resources"].as_array().unwrap().iter().any(|user| user["id"] == id.as_str()),
        "{}",
        all.body
    );
    let enabled = bridge.patch(&id, json!([{"op": "replace", "value": {"active": true}}])).await.expect(200);
    assert_eq!(enabled.body["active"], true);
    assert_eq!(in_ziflow(&ziflow, "jo.lee+x@example.com")["active"], true);

    // A PUT that leaves `active` out leaves it, and takes away what else it leaves out.
    let mut whole = person("Jo.Lee+x@Example.com");
    whole.as_object_mut().unwrap().remove("active");
    let replaced = bridge.replace(&id, whole).await.expect(200);
    assert_eq!(replaced.body["active"], true);
    assert_eq!(replaced.body["phoneNumbers"], Value::Null);
    assert_eq!(in_ziflow(&ziflow, "jo.lee+x@example.com")["phone"].as_str().unwrap_or_default(), "");

    bridge.delete(&id).await.expect(204);
    bridge.read(&id).await.expect(404);
    bridge.delete(&id).await.expect(404);
    finds(bridge.find(r#"userName eq "jo.lee+x@example.com""#).await, &[]);
    let again = bridge.create(jo()).await.expect(201);
    assert_eq!(again.body["active"], true);
    holds(&bridge.read(&again.id()).await.expect(200), &jo_shown());
    assert_eq!(in_ziflow(&ziflow, "jo.lee+x@example.com")["active"], true);

    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_ziflow() {
    a_whole_life(&[], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ziflow_that_replaces_and_says_nothing() {
    let quirks = [
        ("put", "replace"),
        ("write_body", "empty"),
        ("create_status", "201"),
        ("update_status", "204"),
        ("unknown_status", "400"),
        ("error_body", "html"),
        ("delete_status", "204"),
        ("empty_fields", "null"),
    ];
    a_whole_life(&quirks, &[("BRIDGE_ZIFLOW__UPDATE", "full_object")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ziflow_that_replaces_though_a_merge_is_expected() {
    a_whole_life(&[("put", "replace")], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ziflow_with_nasty_ids_that_hides_inactive_people() {
    let quirks = [
        ("ids", "nasty"),
        ("inactive", "contacts_only"),
        ("roles_case", "role_prefix"),
        ("has_more", "missing"),
        ("order", "shuffled"),
        ("empty_fields", "left_out"),
        ("email_on_put", "refused"),
        ("texts", "trimmed"),
    ];
    a_whole_life(&quirks, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_witted_ziflow() {
    let quirks = [
        ("write_body", "id_only"),
        ("consistency", "80_ms"),
        ("duplicate_status", "422"),
        ("unknown_status", "200_empty"),
        ("error_body", "errors_list"),
        ("past_the_end", "404"),
        ("has_more", "always_true"),
        ("count_means", "asked"),
        ("bad_key_status", "403"),
    ];
    a_whole_life(&quirks, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_arrive_however_they_are_encoded() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let names =
        ["o'neill@example.com", "a+b@example.com", "ext_partner.com#EXT#@example.com", "q\"uote@example.com"];
    for name in names {
        let id = bridge.create(person(name)).await.expect(201).id();
        finds(bridge.find(&format!("userName eq {}", json!(name))).await, &[&id]);
    }
    // As Entra's encoders write them: `+` is a space, `%2B` a plus, an apostrophe stays as it is.
    for target in [
        "/Users?filter=userName+eq+%22o'neill%40example.com%22",
        "/Users?filter=userName%20eq%20%22a%2Bb%40example.com%22",
        "/Users?aadOptscim062020&filter=userName+eq+%22ext_partner.com%23EXT%23%40example.com%22",
        "//Users/?filter=USERNAME+EQ+%22A%2BB%40EXAMPLE.COM%22",
    ] {
        assert_eq!(bridge.get(target).await.expect(200).body["totalResults"], 1, "{target}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_exact_and_in_one_order() {
    let ziflow = ziflow(&[("order", "shuffled")]).await;
    for number in 0..22 {
        ziflow.add_person(
            json!({"email": format!("p{number}@example.com"), "first_name": "P", "last_name": "N"}),
        );
    }
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "7")]).await;
    let mut seen = Vec::new();
    let mut start = 1;
    loop {
        let page = bridge.get(&format!("/Users?startIndex={start}&count=5")).await.expect(200);
        assert_eq!(page.body["totalResults"], 23, "with the account owner");
        assert_eq!(page.body["startIndex"], start);
        let ids: Vec<_> = page.body["Resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(page.body["itemsPerPage"], ids.len());
        start += ids.len();
        seen.extend(ids);
        if start > 23 {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (23, 23));
    let walked = ziflow.calls().iter().filter(|call| call.query.contains("count=7")).count();
    assert_eq!(walked, 4, "one walk serves all pages");
    let made = bridge.create(person("new@example.com")).await.expect(201).id();
    let last = bridge.get("/Users?startIndex=24").await.expect(200);
    assert_eq!(
        last.body["Resources"][0]["id"],
        made.as_str(),
        "a new person stands at the end of the same walk"
    );
    assert_eq!(bridge.get("/Users?count=0").await.expect(200).body["Resources"], json!([]));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_did_by_hand_in_ziflow_stays_and_shows() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0")]).await;
    let by_hand = ziflow.add_person(json!({
        "email": "ann@example.com", "first_name": "Ann", "last_name": "Ode", "roles": ["user", "admin"],
        "language": "pt_br", "company": "Acme", "group": ["Reviewers"],
    }));
    let shown = bridge.read(&by_hand).await.expect(200);
    assert_eq!(shown.body["displayName"], "Ann Ode");
    assert_eq!(shown.body["preferredLanguage"], "pt-BR");
    assert_eq!(shown.body["emails"][0]["value"], "ann@example.com");
    // Entra begins to manage her.
    bridge
        .patch(
            &by_hand,
            json!([
                {"op": "Add", "path": "externalId", "value": "ann"},
                {"op": "Replace", "path": "userType", "value": "Employee"},
                {"op": "Add", "path": "roles", "value": [{"value": "ZiflowManager"}]},
            ]),
        )
        .await
        .expect(200);
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["roles"], json!(["user", "admin", "manager"]));
    bridge.patch(&by_hand, json!([{"op": "Remove", "path": "roles"}])).await.expect(200);
    assert_eq!(
        in_ziflow(&ziflow, "ann@example.com")["roles"],
        json!(["user", "admin"]),
        "only what was granted goes"
    );
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["group"], json!(["Reviewers"]));
    // Somebody changes her in Ziflow: that shows, and what Entra wrote and Ziflow does not know stays.
    ziflow.change_person(&by_hand, json!({"last_name": "Poe", "language": "de", "active": false}));
    let shown = bridge.read(&by_hand).await.expect(200);
    assert_eq!(shown.body["name"]["familyName"], "Poe");
    assert_eq!(shown.body["preferredLanguage"], "de-DE");
    assert_eq!(shown.body["active"], false);
    assert_eq!(shown.body["externalId"], "ann");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_never_changes_in_ziflow() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("old@example.com")).await.expect(201).id();
    let rename = json!([{"op": "Replace", "path": "userName", "value": "New@example.com"}]);
    let renamed = bridge.patch(&id, rename.clone()).await.expect(200);
    assert_eq!(renamed.text("/userName"), "New@example.com");
    assert_eq!(
        bridge.read(&id).await.text("/userName"),
        "New@example.com",
        "or Entra would send it for ever"
    );
    finds(bridge.find(r#"userName eq "new@example.com""#).await, &[&id]);
    finds(bridge.find(r#"userName eq "old@example.com""#).await, &[]);
    let conflict = bridge.create(person("old@example.com")).await.expect(409);
    assert_eq!(conflict.body["scimType"], "uniqueness");
    assert!(conflict.text("/detail").contains(&id), "{}", conflict.body);
    assert_eq!(in_ziflow(&ziflow, "old@example.com")["id"], id.as_str());
    bridge.stop().await;

    let strict = Bridge::with(&ziflow, &[("BRIDGE_POLICY__ON_EMAIL_CHANGE", "refuse")]).await;
    let refused = strict.patch(&id, rename).await.expect(400);
    assert_eq!(refused.body["scimType"], "mutability");
    strict.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cleared_stays_clear() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0")]).await;
    let id = bridge.create(jo()).await.expect(201).id();
    bridge
        .patch(&id, json!([
            {"op": "replace", "path": "preferredLanguage", "value": ""},
            {"op": "replace", "path": "displayName", "value": null},
            {"op": "Remove", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+44 7700 900001"},
        ]))
        .await
        .expect(200);
    let shown = bridge.read(&id).await.expect(200);
    for name in ["preferredLanguage", "displayName", "phoneNumbers"] {
        assert_eq!(shown.body[name], Value::Null, "{name}");
    }
    let held = in_ziflow(&ziflow, "jo.lee+x@example.com");
    assert_eq!((held["phone"].as_str(), held["language"].as_str()), (Some(""), Some("en")));
    ziflow.change_person(&id, json!({"language": "fr"}));
    assert_eq!(bridge.read(&id).await.body["preferredLanguage"], "fr-FR", "a change in Ziflow shows again");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_kept() {
    let ziflow = ziflow(&[]).await;
    let owner = ziflow.people()[0]["id"].as_str().unwrap().to_owned();
    let settings = [
        ("BRIDGE_POLICY__ON_DEACTIVATE", "ignore"),
        ("BRIDGE_POLICY__ON_DELETE", "delete"),
        ("BRIDGE_POLICY__NEW_OWNER_ID", owner.as_str()),
        ("BRIDGE_POLICY__ON_EXISTING", "adopt"),
        ("BRIDGE_POLICY__INVITATION", "none"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let by_hand = ziflow.add_person(
        json!({"email": "ann@example.com", "first_name": "Ann", "phone": "1", "roles": ["user", "admin"]}),
    );
    let adopted = bridge.create(person("ann@example.com")).await.expect(201);
    assert_eq!(adopted.id(), by_hand);
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["roles"], json!(["user", "admin"]));
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["first_name"], "Jo", "the rest is what Entra says");
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["phone"], "1", "what Entra does not say stays");
    bridge.create(person("ann@example.com")).await.expect(409);

    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["verified"], true);
    let off =
        bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": false}])).await.expect(200);
    assert_eq!(off.body["active"], true, "the truth, not what was asked for");
    bridge.delete(&id).await.expect(204);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com"), Value::Null);
    let deleted = ziflow.calls().into_iter().rfind(|call| call.method == "DELETE").unwrap();
    assert_eq!(deleted.query, format!("newOwner={}", encoded(&owner)));
    bridge.read(&id).await.expect(404);
    assert_ne!(bridge.create(person("jo@example.com")).await.expect(201).id(), id);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_returns_is_the_same_person() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let with_external_id = |external_id: &str| {
        let mut body = person("jo@example.com");
        body["externalId"] = json!(external_id);
        body
    };
    let id = bridge.create(with_external_id("a")).await.expect(201).id();
    bridge.delete(&id).await.expect(204);
    let other = bridge.create(with_external_id("b")).await.expect(409);
    assert!(other.text("/detail").contains("on_recreate"), "{}", other.body);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], false, "nobody else gets the account");
    let back = bridge.create(with_external_id("a")).await.expect(201);
    assert_eq!((back.id(), back.body["active"].as_bool()), (id.clone(), Some(true)));
    // A tombstone ends when Ziflow shows the person active.
    bridge.delete(&id).await.expect(204);
    ziflow.change_person(&id, json!({"active": true}));
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    bridge.read(&id).await.expect(200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_and_deleted_person_comes_back_by_their_old_name() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let tombstone = "3f9c2d1e5b7a48c6a0d4e8f1b2c37596jo@example.com";
    let gone = bridge
        .patch(
            &id,
            json!([
                {"op": "Replace", "path": "userName", "value": tombstone},
                {"op": "Replace", "path": "active", "value": "False"},
            ]),
        )
        .await
        .expect(200);
    assert_eq!(gone.text("/userName"), tombstone);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], false);
    finds(bridge.find(&format!(r#"userName eq "{tombstone}""#)).await, &[&id]);
    let back = bridge.create(person("jo@example.com")).await.expect(201);
    assert_eq!((back.id(), back.text("/userName").to_owned()), (id, "jo@example.com".to_owned()));
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], true);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_people_are_beyond_the_bridge() {
    let ziflow = ziflow(&[("owner_is_key_user", "no")]).await;
    let people = ziflow.people();
    let id_of = |owner: bool| {
        let is = |person: &&Value| person["account_owner"].as_bool().unwrap_or(false) == owner;
        people.iter().find(is).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let listed = ziflow.add_person(json!({"email": "boss@example.com", "roles": ["user", "admin"]}));
    let key_user =
        people.iter().find(|person| person["account_owner"] != true).unwrap()["email"].as_str().unwrap();
    let settings = [
        ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", key_user),
        ("BRIDGE_POLICY__PROTECTED_EMAILS", "[Boss@example.com]"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    for id in [id_of(true), id_of(false), listed] {
        let off = bridge.patch(
            &id,
            json!([
                {"op": "Replace", "path": "title", "value": "Chief"},
                {"op": "Replace", "path": "active", "value": "False"},
            ]),
        );
        let off = off.await.expect(400);
        assert_eq!(off.body["scimType"], "mutability");
        assert_eq!(bridge.delete(&id).await.expect(400).body["scimType"], "mutability");
        let shown = bridge.read(&id).await.expect(200);
        assert_eq!((&shown.body["active"], &shown.body["title"]), (&json!(true), &Value::Null));
    }
    assert!(ziflow.calls().iter().all(|call| call.method == "GET"), "nothing was written");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_speaks() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    for token in [None, Some("wrong"), Some(ziflow.key())] {
        let answer = bridge.ask_as(token, "GET /Users", None).await.expect(401);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        assert_eq!(answer.header("content-type"), Some("application/scim+json; charset=utf-8"));
        assert_eq!(answer.body["status"], "401");
    }
    bridge.stop().await;
    // Ziflow's own set-up: the API key, only while nothing else is configured.
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUTH__TOKENS", "[]")]).await;
    bridge.ask_as(Some(ziflow.key()), "GET /ServiceProviderConfig", None).await.expect(200);
    bridge.ask_as(Some("wrong"), "GET /ServiceProviderConfig", None).await.expect(401);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_honest() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let config = bridge.get("/ServiceProviderConfig").await.expect(200);
    assert_eq!(config.body["patch"]["supported"], true);
    assert_eq!(config.body["changePassword"]["supported"], false);
    assert_eq!(config.body["pagination"]["cursor"], true);
    for target in ["/ResourceTypes", "/Schemas"] {
        let list = bridge.get(target).await.expect(200);
        assert_eq!(list.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:ListResponse");
        let length = list.body["Resources"].as_array().unwrap().len();
        assert!(length > 0 && list.body["totalResults"] == length, "{}", list.body);
        assert!(!list.body.to_string().contains("null"));
        for entry in list.body["Resources"].as_array().unwrap() {
            let id = entry["id"].as_str().or(entry["name"].as_str()).unwrap();
            bridge.get(&format!("{target}/{id}")).await.expect(200);
        }
        bridge.get(&format!("{target}/nothing")).await.expect(404);
    }
    assert_eq!(
        bridge.get("/Groups?excludedAttributes=members").await.expect(200).body["Resources"],
        json!([])
    );
    bridge.get("/Me").await.expect(501);
    bridge.get("/Nothing").await.expect(404);
    let method = bridge.ask("DELETE /Users", None).await.expect(405);
    assert_eq!(method.header("allow"), Some("GET, HEAD, POST"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_one_holder() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let first = bridge.create(person("a@example.com")).await.expect(201).id();
    let second = bridge.create(person("b@example.com")).await.expect(201).id();
    let by_hand = ziflow.add_person(json!({"email": "boss@example.com", "roles": ["user", "admin"]}));
    for (name, holder) in [("B@example.com", &second), ("boss@example.com", &by_hand)] {
        let rename = json!([{"op": "Replace", "path": "userName", "value": name}]);
        let refused = bridge.patch(&first, rename).await.expect(409);
        assert_eq!(refused.body["scimType"], "uniqueness");
        assert!(refused.text("/detail").contains(holder.as_str()), "{}", refused.body);
        finds(bridge.find(&format!("userName eq {}", json!(name))).await, &[holder]);
    }
    // Under one name, though with two addresses, only one can be made.
    let mapping = "user:\n  email: { from: 'emails[type eq \"work\"].value', required: true }\n  active: { from: active, default: true }\n";
    bridge.stop().await;
    let folder = crate::harness::Folder::new();
    let mapping = folder.file("mapping.yaml", mapping).display().to_string();
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_MAPPING__FILE", &mapping)]).await;
    let with_email = |email: &str| {
        let mut body = person("kim@example.com");
        body["emails"] = json!([{"type": "work", "value": email}]);
        body
    };
    let (one, two) = tokio::join!(
        bridge.create(with_email("k1@example.com")),
        bridge.create(with_email("k2@example.com"))
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_person_comes_back() {
    let ziflow = ziflow(&[("inactive", "contacts_only")]).await;
    for update in ["changed_fields", "full_object"] {
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__UPDATE", update)]).await;
        let email = format!("{}@example.com", update.replace('_', "-"));
        let id = bridge.create(person(&email)).await.expect(201).id();
        let tombstone = format!("3f9c2d1e5b7a48c6a0d4e8f1b2c37596{email}");
        let leave = json!([
            {"op": "Replace", "path": "userName", "value": tombstone},
            {"op": "Replace", "path": "active", "value": "False"},
        ]);
        bridge.patch(&id, leave).await.expect(200);
        let back = bridge.create(person(&email)).await.expect(201);
        assert_eq!((back.id(), back.body["active"].as_bool()), (id.clone(), Some(true)));
        let on = |on: bool| json!([{"op": "Replace", "path": "active", "value": on}]);
        bridge.patch(&id, on(false)).await.expect(200);
        assert_eq!(in_ziflow(&ziflow, &email)["active"], false);
        bridge.patch(&id, on(true)).await.expect(200);
        assert_eq!(in_ziflow(&ziflow, &email)["active"], true);
        bridge.delete(&id).await.expect(204);
        assert_eq!(bridge.create(person(&email)).await.expect(201).id(), id);
        let complaints = bridge.stop().await;
        assert!(!complaints.iter().any(|line| line["level"] == "ERROR"), "{complaints:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_decided_from_what_ziflow_says_now() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.change_person(&id, json!({"roles": ["user", "admin"]}));
    let role = json!([{"op": "Add", "path": "roles", "value": [{"value": "ZiflowManager"}]}]);
    bridge.patch(&id, role).await.expect(200);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["roles"], json!(["user", "admin", "manager"]));
    // A lite seat excludes the rest: what was granted goes, what was given by hand stays.
    let role = json!([{"op": "Replace", "path": "roles", "value": [{"value": "ZiflowLiteUser"}]}]);
    bridge.patch(&id, role).await.expect(200);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["roles"], json!(["admin"]));
    bridge.stop().await;
}

/// A whole person sent back must not bring back what was changed a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_ziflow_is_not_told_yesterdays_state() {
    let ziflow = ziflow(&[("put", "replace"), ("consistency", "3000_ms")]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__UPDATE", "full_object")]).await;
    let id = ziflow.add_person(json!({"email": "jo@example.com", "first_name": "Jo", "last_name": "Lee"}));
    bridge.read(&id).await.expect(200);
    bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await.expect(200);
    bridge
        .patch(&id, json!([{"op": "Replace", "path": "name.givenName", "value": "Joan"}]))
        .await
        .expect(200);
    let held = in_ziflow(&ziflow, "jo@example.com");
    assert_eq!((&held["active"], &held["first_name"]), (&json!(false), &json!("Joan")));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_change_with_the_representation() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0")]).await;
    let made = bridge.create(person("jo@example.com")).await.expect(201);
    let (id, first) = (made.id(), made.text("/meta/version").to_owned());
    assert_eq!(made.header("etag"), Some(first.as_str()));
    assert!(first.starts_with("W/\""));
    assert_eq!(bridge.read(&id).await.text("/meta/version"), first, "reading changes nothing");
    bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": "True"}])).await.expect(200);
    assert_eq!(bridge.read(&id).await.text("/meta/version"), first, "nor does a change of nothing");
    let known =
        bridge.ask_with(&format!("GET /Users/{}", encoded(&id)), &[("if-none-match", &first)], None).await;
    assert_eq!((known.status, known.header("etag"), &known.body), (304, Some(first.as_str()), &Value::Null));

    let title = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": "Lead"}],
    });
    let patch = format!("PATCH /Users/{}", encoded(&id));
    let changed = bridge.ask_with(&patch, &[("if-match", &first)], Some(title.clone())).await.expect(200);
    let second = changed.text("/meta/version").to_owned();
    assert_ne!(second, first);
    let stale = bridge.ask_with(&patch, &[("if-match", &first)], Some(title)).await.expect(412);
    assert!(stale.text("/detail").contains(&second));
    bridge
        .ask_with(&format!("DELETE /Users/{}", encoded(&id)), &[("if-match", &first)], None)
        .await
        .expect(412);
    ziflow.change_person(&id, json!({"phone": "1"}));
    assert_ne!(bridge.read(&id).await.text("/meta/version"), second, "a change in Ziflow is one as well");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_comes_back_as_an_object_that_points_to_them() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let boss = bridge.create(person("boss@example.com")).await.expect(201);
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
    let set = json!([{"op": "Add", "path": manager, "value": boss.id()}]);
    let shown = bridge.patch(&id, set).await.expect(200);
    let manager_shown = &shown.body["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"];
    assert_eq!(manager_shown["value"], boss.id().as_str());
    assert_eq!(manager_shown["$ref"], boss.text("/meta/location"));
    finds(bridge.find(&format!(r#"id eq "{id}" and manager eq "{}""#, boss.id())).await, &[&id]);
    let unset = json!([{"op": "Replace", "path": manager, "value": ""}]);
    let shown = bridge.patch(&id, unset).await.expect(200);
    assert_eq!(
        shown
            .body
            .get("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")
            .and_then(|e| e.get("manager")),
        None
    );
    bridge.stop().await;
}

/// Calls are few: counted, not timed.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_few() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "1")]).await;
    bridge.line("Ziflow takes the API key").await;
    let count = |ziflow: &ziflow_scim_bridge::simulator::Simulator| ziflow.total_calls();
    let before = count(&ziflow);
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    assert_eq!(count(&ziflow) - before, 1, "create");
    let pause = || tokio::time::sleep(std::time::Duration::from_millis(1100));
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    let on = json!([{"op": "Replace", "path": "active", "value": "True"}]);
    let title = json!([{"op": "Replace", "path": "title", "value": "Lead"}]);
    let phone = json!([{"op": "Replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "1"}]);
    for (what, operations, allowed) in [
        ("disable", off, 2),
        ("restore", on.clone(), 2),
        ("nothing", on, 0),
        ("what Ziflow has no field for", title, 0),
        ("profile", phone, 1),
    ] {
        bridge.read(&id).await.expect(200);
        let before = count(&ziflow);
        bridge.patch(&id, operations).await.expect(200);
        assert!(count(&ziflow) - before <= allowed, "{what}, read just now: {}", count(&ziflow) - before);
    }
    pause().await;
    let before = count(&ziflow);
    bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": "False"}])).await.expect(200);
    assert_eq!(count(&ziflow) - before, 2, "disable, read long ago");
    pause().await;
    for filter in [r#"userName eq "jo@example.com""#, r#"emails.value eq "jo@example.com""#] {
        let before = count(&ziflow);
        bridge.find(filter).await.expect(200);
        assert!(count(&ziflow) - before <= 1, "{filter}");
    }
    let before = count(&ziflow);
    bridge.delete(&id).await.expect(204);
    assert!(count(&ziflow) - before <= 2, "delete");
    bridge.stop().await;
}
