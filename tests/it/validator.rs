//! The direct tests of Microsoft's validation workflow for gallery applications
//! (AzureAD/SCIMReferenceCode, Microsoft.SCIM.LogicAppValidationTemplate), as a client that knows nothing but `/Schemas`.

use serde_json::{Map, Value, json};

use crate::harness::{Bridge, encoded, person, ziflow};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An attribute as the workflow flattens it from `/Schemas`.
struct Flat {
    /// `name.givenName`, `<extension>:department`
    path: String,
    required: bool,
    kind: String,
}

/// Single-valued attributes that a client may write, as the workflow names them.
fn flattened(schemas: &Value) -> Vec<Flat> {
    let mut flat = Vec::new();
    for schema in schemas["Resources"].as_array().unwrap() {
        let id = schema["id"].as_str().unwrap();
        let prefix = if id.ends_with("core:2.0:User") { String::new() } else { format!("{id}:") };
        for attribute in schema["attributes"].as_array().unwrap() {
            let name = format!("{prefix}{}", attribute["name"].as_str().unwrap());
            if attribute["multiValued"] == true
                || attribute["mutability"] != "readWrite"
                || name.ends_with(":manager")
            {
                continue;
            }
            let own = Flat {
                path: name.clone(),
                required: attribute["required"] == true,
                kind: attribute["type"].as_str().unwrap().to_owned(),
            };
            match attribute["subAttributes"].as_array() {
                None => flat.push(own),
                Some(parts) => {
                    flat.extend(parts.iter().filter(|part| part["mutability"] == "readWrite").map(|part| {
                        Flat {
                            path: format!("{name}.{}", part["name"].as_str().unwrap()),
                            required: part["required"] == true,
                            kind: part["type"].as_str().unwrap().to_owned(),
                        }
                    }));
                }
            }
        }
    }
    flat
}

/// The value at a flattened path.
fn at<'a>(resource: &'a Value, path: &str) -> &'a Value {
    let (resource, path) = match path.rsplit_once(':') {
        Some((extension, path)) => (&resource[extension], path),
        None => (resource, path),
    };
    path.split('.').fold(resource, |value, name| &value[name])
}

/// A value of the attribute's type, another one for each round.
fn value_for(flat: &Flat, round: usize) -> Value {
    match flat.kind.as_str() {
        "boolean" => Value::Bool(true),
        "reference" => json!(format!("https://example.com/{round}")),
        _ if flat.path == "userName" => json!(format!("validator{round}@example.com")),
        _ if flat.path == "preferredLanguage" => json!(["en-US", "de-DE"][round % 2]),
        _ if flat.path == "timezone" => json!(["America/Los_Angeles", "Europe/Berlin"][round % 2]),
        _ => json!(format!("value {round} of {}", flat.path)),
    }
}

fn patch_op(operations: &[Value]) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mapped_attribute_is_found_in_the_schemas() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let schemas = bridge.get("/Schemas").await.expect(200).body;
    let flat = flattened(&schemas);
    for path in [
        "userName",
        "active",
        "displayName",
        "title",
        "preferredLanguage",
        "name.givenName",
        "name.familyName",
        "name.formatted",
        "externalId",
        "nickName",
        "userType",
        "locale",
        "timezone",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    ] {
        assert!(flat.iter().any(|one| one.path == path), "{path}");
    }
    // `emails[type eq "work"].value` is looked for as a canonical value of `type`.
    for (name, canonical) in
        [("emails", "work"), ("phoneNumbers", "mobile"), ("phoneNumbers", "fax"), ("addresses", "work")]
    {
        let core = &schemas["Resources"][0]["attributes"];
        let attribute = core.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        let kind = attribute["subAttributes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|part| part["name"] == "type")
            .unwrap();
        assert!(
            kind["canonicalValues"].as_array().unwrap().contains(&json!(canonical)),
            "{name} {canonical}"
        );
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_and_null_update() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let flat = flattened(&bridge.get("/Schemas").await.expect(200).body);
    for (round, one_by_one) in [true, false].into_iter().enumerate() {
        let id = bridge.create(person(&format!("v{round}@example.com"))).await.expect(201).id();
        let patch = format!("PATCH /Users/{}", encoded(&id));
        let body = |value: &dyn Fn(&Flat) -> Value, of: &dyn Fn(&Flat) -> bool| {
            let chosen: Vec<_> = flat.iter().filter(|one| of(one)).collect();
            if one_by_one {
                let operation = |one: &&Flat| json!({"op": "Replace", "path": one.path, "value": value(one)});
                patch_op(&chosen.iter().map(operation).collect::<Vec<_>>())
            } else {
                let all: Map<_, _> = chosen.iter().map(|one| (one.path.clone(), value(one))).collect();
                patch_op(&[json!({"op": "replace", "value": all})])
            }
        };
        let all = |_: &Flat| true;
        bridge.ask(&patch, Some(body(&|one| value_for(one, round), &all))).await.expect(200);
        let shown = bridge.read(&id).await.expect(200).body;
        for one in &flat {
            assert_eq!(at(&shown, &one.path), &value_for(one, round), "{}", one.path);
        }
        let optional = |one: &Flat| !one.required && one.kind != "boolean";
        for nothing in [json!(""), Value::Null] {
            bridge.ask(&patch, Some(body(&|_| nothing.clone(), &optional))).await.expect(200);
            let shown = bridge.read(&id).await.expect(200).body;
            for one in flat.iter().filter(|one| optional(one)) {
                assert_eq!(at(&shown, &one.path), &Value::Null, "{}", one.path);
            }
        }
        bridge.delete(&id).await.expect(204);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_manager() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let mut ids = Vec::new();
    for name in ["a@example.com", "b@example.com", "c@example.com"] {
        ids.push(bridge.create(person(name)).await.expect(201).id());
    }
    let path = format!("{ENTERPRISE}:manager");
    for (op, value, shown) in [
        ("Add", ids[1].as_str(), json!(ids[1])),
        ("replace", ids[2].as_str(), json!(ids[2])),
        ("replace", "", Value::Null),
    ] {
        bridge.patch(&ids[0], json!([{"op": op, "path": path, "value": value}])).await.expect(200);
        let read = bridge.read(&ids[0]).await.expect(200).body;
        assert_eq!(read[ENTERPRISE]["manager"]["value"], shown);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pagination() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let people: Vec<_> = (0..11).map(|number| format!("p{number}@example.com")).collect();
    create_all(&bridge, &people).await;
    let (mut start, mut pages) = (1, 0);
    loop {
        let page = bridge.get(&format!("/Users?startIndex={start}&count=5")).await.expect(200).body;
        assert_eq!(page["startIndex"], 5 * pages + 1);
        let shown = page["Resources"].as_array().unwrap().len();
        start += shown;
        pages += 1;
        let total = usize::try_from(page["totalResults"].as_u64().unwrap()).unwrap();
        assert!(shown == 5 || start > total, "a page in the middle is full");
        if start > total || pages == 10 {
            break;
        }
    }
    assert!(pages >= 2);
    bridge.stop().await;
}

/// Creates five at a time, as the workflow does.
async fn create_all(bridge: &Bridge, people: &[String]) {
    for five in people.chunks(5) {
        let create = |index: usize| async move {
            if let Some(name) = five.get(index) {
                bridge.create(person(name)).await.expect(201);
            }
        };
        tokio::join!(create(0), create(1), create(2), create(3), create(4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restore() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    for (value, active) in
        [(json!("False"), false), (json!("True"), true), (json!(false), false), (json!(true), true)]
    {
        bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": value}])).await.expect(200);
        assert_eq!(bridge.read(&id).await.expect(200).body["active"], active);
        let found = bridge.find(r#"userName eq "JO@example.com""#).await.expect(200).body;
        assert_eq!((&found["totalResults"], &found["Resources"][0]["active"]), (&json!(1), &json!(active)));
    }
    bridge.stop().await;
}

/// The group tests of the web validator and of the workflow, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn groups() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let group = |name: &str| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": name, "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
        })
    };
    let made = bridge.ask("POST /Groups", Some(group("LACreateGroup-(1a2b3c4d)"))).await.expect(201);
    let id = made.id();
    assert_eq!(made.text("/displayName"), "LACreateGroup-(1a2b3c4d)");
    assert_eq!(made.text("/externalId"), "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef");
    assert_eq!(made.header("content-type").map(|kind| kind.starts_with("application/scim+json")), Some(true));
    let again = bridge.ask("POST /Groups", Some(group("lacreategroup-(1A2B3C4D)"))).await.expect(409);
    assert_eq!(again.text("/scimType"), "uniqueness");
    let target = format!("/Groups/{id}");
    let without = bridge.get(&format!("{target}?excludedAttributes=members")).await.expect(200);
    assert_eq!(without.body.get("members"), None);
    for (name, hits) in
        [("LACreateGroup-(1a2b3c4d)", 1), ("LACREATEGROUP-(1A2B3C4D)", 1), ("LACreateGroup-(none)", 0)]
    {
        let filter = encoded(&format!("displayName eq \"{name}\""));
        let found = bridge.get(&format!("/Groups?excludedAttributes=members&filter={filter}")).await;
        let found = found.expect(200).body;
        assert_eq!(
            (&found["totalResults"], found["Resources"].as_array().unwrap().len()),
            (&json!(hits), hits)
        );
        if hits == 1 {
            assert_eq!(
                (&found["Resources"][0]["id"], found["Resources"][0].get("members")),
                (&json!(id), None)
            );
        }
    }
    let a = bridge.create(person("a@example.com")).await.expect(201).id();
    let b = bridge.create(person("b@example.com")).await.expect(201).id();
    let patch = format!("PATCH {target}");
    let members = |ids: &[&str]| json!(ids.iter().map(|id| json!({"value": id})).collect::<Vec<_>>());
    for (operation, name, there) in [
        (json!({"op": "Replace", "path": "displayName", "value": "Renamed"}), "Renamed", vec![]),
        (json!({"op": "replace", "value": {"displayName": "Again"}}), "Again", vec![]),
        (json!({"op": "Add", "path": "members", "value": members(&[&a])}), "Again", vec![&a]),
        (json!({"op": "Add", "path": "members", "value": members(&[&a, &b])}), "Again", vec![&a, &b]),
        (json!({"op": "Remove", "path": "members", "value": members(&[&a])}), "Again", vec![&b]),
        (json!({"op": "remove", "path": format!("members[value eq \"{b}\"]")}), "Again", vec![]),
    ] {
        bridge.ask(&patch, Some(patch_op(std::slice::from_ref(&operation)))).await.expect(204);
        let shown = bridge.get(&target).await.expect(200).body;
        let mut shown_ids: Vec<_> =
            shown["members"].as_array().unwrap().iter().map(|one| &one["value"]).collect();
        shown_ids.sort_by_key(ToString::to_string);
        let mut expected: Vec<_> = there.iter().map(|id| json!(id)).collect();
        expected.sort_by_key(ToString::to_string);
        assert_eq!(
            (&shown["displayName"], shown_ids),
            (&json!(name), expected.iter().collect()),
            "{operation}"
        );
    }
    for (target, status) in [(target.as_str(), 204), ("/Groups/nobody", 404), (target.as_str(), 404)] {
        bridge.ask(&format!("DELETE {target}"), None).await.expect(status);
    }
    bridge.get(&target).await.expect(404);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pagination_of_groups() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    for number in 0..11 {
        let body = json!({"displayName": format!("Group {number}")});
        bridge.ask("POST /Groups", Some(body)).await.expect(201);
    }
    let (mut start, mut seen) = (1, Vec::new());
    for page in 0..3 {
        let shown = bridge.get(&format!("/Groups?startIndex={start}&count=5")).await.expect(200).body;
        assert_eq!((&shown["startIndex"], &shown["totalResults"]), (&json!(5 * page + 1), &json!(11)));
        let groups = shown["Resources"].as_array().unwrap();
        assert_eq!(groups.len(), if page == 2 { 1 } else { 5 });
        assert_eq!(shown["itemsPerPage"], groups.len());
        seen.extend(groups.iter().map(|group| group["displayName"].as_str().unwrap().to_owned()));
        start += groups.len();
    }
    assert_eq!(seen, (0..11).map(|number| format!("Group {number}")).collect::<Vec<_>>());
    bridge.stop().await;
}

/// Every attribute of Entra's mapping of groups is found, as the workflow looks for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_groups_is_discovered() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let schemas = bridge.get("/Schemas").await.expect(200).body;
    let is_group = |schema: &&Value| schema["id"] == "urn:ietf:params:scim:schemas:core:2.0:Group";
    let schema = schemas["Resources"].as_array().unwrap().iter().find(is_group).unwrap();
    let attribute = |name: &str| {
        let attributes = schema["attributes"].as_array().unwrap();
        attributes.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    for (name, kind, multi, required) in [
        ("displayName", "string", false, true),
        ("externalId", "string", false, false),
        ("members", "complex", true, false),
    ] {
        let found = attribute(name);
        let told = (&found["type"], &found["multiValued"], &found["required"], &found["mutability"]);
        assert_eq!(told, (&json!(kind), &json!(multi), &json!(required), &json!("readWrite")), "{name}");
    }
    let parts: Vec<_> = attribute("members")["subAttributes"].as_array().unwrap().iter().collect();
    let mutability = |name: &str| &parts.iter().find(|part| part["name"] == name).unwrap()["mutability"];
    assert_eq!((mutability("value"), mutability("display")), (&json!("immutable"), &json!("readOnly")));
    let types = bridge.get("/ResourceTypes").await.expect(200).body;
    let group = types["Resources"].as_array().unwrap().iter().find(|one| one["id"] == "Group").unwrap();
    assert_eq!((&group["endpoint"], &group["schema"]), (&json!("/Groups"), &schema["id"]));
    assert!(!schemas.to_string().contains("null"), "no nulls anywhere");
    bridge.stop().await;
}
