//! The starter mappings: each is right, keeps its own promises, and makes a person as it says.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ziflow_scim_bridge::mapping::{Mapping, examples};
use ziflow_scim_bridge::yaml;

use crate::harness::{Bridge, in_ziflow, ziflow};

/// Every mapping of the folder and its text; beside them is their schema, for editors.
fn starters() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    };
    let mappings = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    let mut starters: Vec<_> = mappings.map(read).collect();
    starters.sort();
    assert!(starters.len() >= 6, "{starters:?}");
    starters
}

/// What the file promises.
fn promises(text: &str) -> Vec<Value> {
    yaml::parse(text).0.unwrap().to_json()["examples"].as_array().unwrap().clone()
}

#[test]
fn every_starter_keeps_its_promises() {
    for (path, text) in starters() {
        let (mapping, warnings) = Mapping::compile(&text).unwrap();
        assert_eq!((warnings, examples::run(&mapping)), (vec![], vec![]), "{}", path.display());
        let promises = promises(&text);
        assert!(promises.len() >= 4, "{}", path.display());
        for direction in ["scim", "to_scim"] {
            assert!(promises.iter().any(|promise| promise.get(direction).is_some()), "{}", path.display());
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=./mapping.schema.json\n"), "{name}");
        assert!(text.contains(&format!("\n# {name}: ")) && text.contains("\n# In Entra"), "{name}");
    }
}

#[test]
fn the_starter_for_groups_grants_what_it_says() {
    let (path, text) =
        starters().into_iter().find(|(path, _)| path.ends_with("config/examples/groups.yaml")).unwrap();
    let (mapping, _) = Mapping::compile(&text).unwrap();
    for (name, id, expected) in [
        (
            "Any name",
            Some("6f0d1c9e-0000-4000-8000-2b7d5e3a9c11"),
            json!({"roles": ["manager"], "group": []}),
        ),
        ("Ziflow Billing", None, json!({"roles": ["billing"], "group": []})),
        ("brand reviewers", Some("x"), json!({"roles": [], "group": ["Brand Reviewers"]})),
        ("Ziflow Everybody", None, json!({"roles": [], "group": []})),
        ("Design", None, json!({"roles": [], "group": ["Design"]})),
    ] {
        let got = serde_json::to_value(mapping.grants(name, id)).unwrap();
        assert_eq!(got, expected, "{}: {name} {id:?}", path.display());
    }

    // The line about administrators, without the mark of a comment.
    let lines: Vec<&str> = text.lines().filter(|line| line.ends_with(": { roles: [admin] }")).collect();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let (mapping, warnings) = Mapping::compile(&text.replace(line, &line.replace("  #   ", "  "))).unwrap();
    let told: Vec<&str> = warnings.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(told, ["members of this group become Ziflow admins"]);
    let id = line.trim_start_matches([' ', '#']).split(':').next();
    assert_eq!(mapping.grants("Any name", id).roles, ["admin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_starter_makes_the_person_that_it_promises() {
    for (path, text) in starters() {
        let ziflow = ziflow(&[]).await;
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_MAPPING__FILE", path.to_str().unwrap())]).await;
        let promise = &promises(&text)[0];
        let mut person = promise["scim"].clone();
        person["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:User"]);
        let made = bridge.create(person).await.expect(201);
        let email = made.text("/userName").to_lowercase();
        let there = in_ziflow(&ziflow, &email);
        for (field, value) in promise["ziflow"].as_object().unwrap() {
            assert_eq!(&there[field], value, "{}: {field} of {there}", path.display());
        }
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_outside_the_domain_does_not_come_in_and_can_be_disabled() {
    let ziflow = ziflow(&[]).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/company-by-domain.yaml");
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_MAPPING__FILE", file)]).await;
    let person = |name: &str| json!({"userName": name, "name": {"givenName": "Eva", "familyName": "Roe"}});
    let refused = bridge.create(person("eva@other.org")).await.expect(400);
    assert!(refused.text("/detail").contains("userName holds `eva@other.org`"), "{}", refused.body);
    assert_eq!(in_ziflow(&ziflow, "eva@other.org"), Value::Null);

    // Somebody who was there before Entra knew the rule.
    let id = ziflow.add_person(json!({"email": "max@other.org", "first_name": "Max"}));
    let found = bridge.find(r#"userName eq "Max@Other.org""#).await.expect(200);
    assert_eq!(found.text("/Resources/0/id"), id);
    let set = |path: &str, value: Value| json!({"op": "Replace", "path": path, "value": value});
    bridge.patch(&id, json!([set("name.givenName", json!("Maximilian"))])).await.expect(200);
    bridge.patch(&id, json!([set("userName", json!("Max@Other.org"))])).await.expect(200);
    bridge.patch(&id, json!([set("userName", json!("roe@other.org"))])).await.expect(400);
    let there = in_ziflow(&ziflow, "max@other.org");
    assert_eq!((&there["first_name"], &there["active"]), (&json!("Maximilian"), &json!(true)));

    // Entra's soft deletion renames and disables in one request.
    let renamed = set("userName", json!("3f9c2d1e5b7a48c6a0d4e8f1b2c37596max@other.org"));
    bridge.patch(&id, json!([renamed, set("active", json!("False"))])).await.expect(200);
    assert_eq!(in_ziflow(&ziflow, "max@other.org")["active"], false);
    bridge.stop().await;
}
