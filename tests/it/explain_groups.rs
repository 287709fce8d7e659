//! `explain` for requests about groups: what they need is there at the first try.

use serde_json::{Value, json};

use crate::explain::{explain, explained};

const ID: &str = "6f0d1c9e-0000-4000-8000-2b7d5e3a9c11";

/// The shipped mapping with these groups.
fn mapping() -> String {
    let groups = "Brand Reviewers: { roles: [manager], group: [Brand] }, Producers: { roles: [manager, billing] }, \
                  Nothing: {}";
    format!(
        "{}\ngroups: {{ {ID}: {{ roles: [billing] }}, {groups} }}\n",
        include_str!("../../config/mapping.yaml")
    )
}

const GROUP: &str = r#"{"id": "g", "displayName": "Brand Reviewers", "members": [{"value": "auth0|1"}]}"#;

fn patch(operations: &Value) -> String {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
        .to_string()
}

/// What is said with that mapping; every argument but the last names a file's contents by its option.
fn said(options: &[(&str, &str)], request: &str) -> Value {
    let mapping = mapping();
    let mut files = vec![("mapping.yaml", mapping.as_str()), ("request", request)];
    let mut arguments = vec!["--mapping", "mapping.yaml"];
    for (option, text) in options {
        files.push((option.trim_start_matches('-'), text));
        arguments.extend([*option, option.trim_start_matches('-')]);
    }
    arguments.push("request");
    explained(&arguments, &files)
}

fn calls(said: &Value) -> Vec<String> {
    let calls = said["ziflow"].as_array().unwrap().iter();
    calls
        .map(|call| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap()))
        .collect()
}

#[test]
fn who_comes_gains_what_the_group_grants() {
    let add =
        patch(&json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "auth0|2"}]}]));
    let said = said(&[("--group", GROUP)], &add);
    assert_eq!(said["request"]["path"], "/scim/v2/Groups/g");
    assert_eq!(said["groups"]["before"]["group"]["members"], json!(["auth0|1"]));
    assert_eq!(said["groups"]["before"]["peopleMadeUp"], json!(["auth0|1", "auth0|2"]));
    let granting = json!([{
        "displayName": "Brand Reviewers", "externalId": null, "declaredBy": "name",
        "grants": {"roles": ["manager"], "group": ["Brand"]},
    }]);
    assert_eq!(said["groups"]["granting"], granting);
    let people = said["groups"]["people"].as_array().unwrap();
    assert_eq!((people.len(), &people[0]["id"]), (1, &json!("auth0|2")));
    let roles = json!({"field": "roles", "result": "written", "from": ["user"], "to": ["user", "manager"]});
    assert_eq!(people[0]["fields"][0], roles);
    assert_eq!(calls(&said), ["GET /v1/users/auth0%7C2", "PUT /v1/users/auth0%7C2"]);
    assert_eq!(said["ziflow"][1]["body"], json!({"roles": ["user", "manager"], "group": ["Brand"]}));
    assert_eq!(said["answer"], json!({"status": 204, "body": null}));
}

#[test]
fn who_goes_loses_it_also_where_no_group_is_given() {
    let (path, group) = ("members[value eq \"auth0|1\"]", GROUP.replace("Brand Reviewers", "Producers"));
    for (options, request, to) in [
        (vec![("--group", group.as_str())], patch(&json!([{"op": "remove", "path": path}])), json!(["user"])),
        (vec![("--group", &group)], patch(&json!([{"op": "Remove", "path": "members"}])), json!(["user"])),
        (vec![("--group", &group)], "DELETE /Groups/{id}".to_owned(), json!(["user"])),
        (
            vec![],
            format!(
                "PATCH /Groups/g\n{}",
                patch(&json!([
                {"op": "Replace", "path": "displayName", "value": "Producers"},
                {"op": "Remove", "path": "members", "value": [{"value": "auth0|1"}]}]))
            ),
            Value::Null,
        ),
    ] {
        let said = said(&options, &request);
        assert_eq!(said["answer"]["status"], 204, "{said}");
        assert_eq!(said["groups"]["before"]["group"]["members"], json!(["auth0|1"]), "{request}");
        assert_eq!(said["groups"]["people"][0]["fields"][0]["to"], to, "{request}: {said}");
    }
}

#[test]
fn a_group_that_is_renamed_grants_otherwise() {
    let rename = patch(&json!([{"op": "replace", "value": {"displayName": "Producers", "externalId": ID}}]));
    let said = said(&[("--group", GROUP)], &rename);
    let declared: Vec<_> = [0, 1].map(|at| &said["groups"]["granting"][at]["declaredBy"]).into();
    assert_eq!(declared, ["name", "object_id"]);
    let fields = &said["groups"]["people"][0]["fields"];
    assert_eq!(fields[0]["from"], json!(["user", "manager"]));
    assert_eq!((&fields[0]["to"], &fields[1]["to"]), (&json!(["user", "billing"]), &Value::Null));
}

#[test]
fn a_person_who_is_given_belongs_as_they_are() {
    let jo =
        r#"{"id": "auth0|1", "email": "jo@example.com", "first_name": "Jo", "roles": ["user", "manager"]}"#;
    let said = said(&[("--group", GROUP), ("--user", jo)], "DELETE /Groups/{id}");
    assert_eq!(said["groups"]["before"]["peopleMadeUp"], json!([]));
    let person = &said["groups"]["people"][0];
    assert_eq!(person["email"], "jo@example.com");
    let fields: Vec<_> = person["fields"].as_array().unwrap().iter().map(|field| &field["field"]).collect();
    assert_eq!(fields, ["group"], "the role was given by hand: {person}");
    assert_eq!(said["ziflow"][1]["body"], json!({"group": []}));
}

#[test]
fn people_whom_the_mapping_refuses_are_there_all_the_same() {
    let mapping = "user:\n  email: { from: userName, only: '*@own.example' }\n  active: { from: active }\n\
                   groups: { '*': { roles: [manager] } }\n";
    let add = patch(&json!([{"op": "Add", "path": "members", "value": [{"value": "7"}]}]));
    let files = [("m.yaml", mapping), ("add.json", &add)];
    let said = explained(&["--mapping", "m.yaml", "add.json"], &files);
    assert_eq!(said["request"]["path"], "/scim/v2/Groups/example");
    assert_eq!(said["groups"]["granting"][0]["declaredBy"], "star");
    assert_eq!(said["groups"]["people"][0]["fields"][0]["to"], json!(["user", "manager"]), "{said}");
}

#[test]
fn a_group_is_made_replaced_and_refused() {
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Nothing",
        "members": [{"value": "auth0|1"}]});
    let made = said(&[], &body.to_string());
    assert_eq!((&made["request"]["method"], &made["answer"]["status"]), (&json!("POST"), &json!(201)));
    assert_eq!(made["groups"]["granting"][0]["declaredBy"], "name");
    assert_eq!((&made["groups"]["people"], &made["ziflow"]), (&json!([]), &json!([])));
    let replaced = said(&[("--group", GROUP)], &body.to_string());
    assert_eq!((&replaced["request"]["method"], &replaced["answer"]["status"]), (&json!("PUT"), &json!(200)));
    assert_eq!(replaced["groups"]["people"][0]["fields"][0]["to"], json!(["user"]));
    let put = said(&[], &format!("PUT /Groups/g\n{body}"));
    assert_eq!(put["groups"]["before"]["group"]["displayName"], "Nothing");
    let refused = said(&[], "PATCH /Groups/g\n{\"Operations\": [{\"op\": \"move\"}]}");
    assert_eq!(refused["answer"]["status"], 400);
    let (_, error, code) = explain(&["--group", "g", "g"], &[("g", "{\"id\": \"1\"}")]);
    assert!(code == Some(1) && error.contains("--group cannot be made: displayName"), "{error}");
}

#[test]
fn the_text_about_groups_is_for_80_columns() {
    let mapping = mapping();
    let rename = patch(&json!([
        {"op": "replace", "value": {"displayName": "Design"}},
        {"op": "Add", "path": "members", "value": [{"value": "auth0|2"}, {"value": "auth0|3"}]}]));
    let files = [("mapping.yaml", mapping.as_str()), ("group", GROUP), ("rename", &rename)];
    let (out, error, code) = explain(&["--mapping", "mapping.yaml", "--group", "group", "rename"], &files);
    assert_eq!(code, Some(0), "{error}");
    for line in out.lines() {
        assert!(line.chars().count() <= 80 || !line.trim().contains(' '), "{line}");
    }
    for expected in [
        "There is the group `Brand Reviewers` with 1 member.",
        "Made up, since they are named: auth0|1, auth0|2, auth0|3.",
        "grants to members of `Brand Reviewers`:\n  roles: [\"manager\"]\n  group: [\"Brand\"]\n  it is declared by its name",
        "nothing: it is declared neither by its object id nor by its name",
        "      roles: [\"user\",\"manager\"] becomes [\"user\"]\n      group: [\"Brand\"] becomes nothing",
        "PUT /v1/users/auth0|1 (200)",
        "The answer: 204",
    ] {
        assert!(out.contains(expected), "`{expected}` not in:\n{out}");
    }
}

#[test]
fn the_manual_shows_what_is_said() {
    let manual = include_str!("../../docs/mapping.md");
    let (_, section) = manual.split_once("A request about a group is explained too").unwrap();
    let blocks: Vec<&str> = section.split("```").collect();
    let (group, members) = blocks[1].trim_start_matches("json\n").split_once('\n').unwrap();
    let command: Vec<&str> = blocks[3].lines().nth(1).unwrap().split(' ').skip(3).collect();
    let mapping = format!(
        "{}\ngroups:\n  Brand Reviewers: {{ group: [Brand Reviewers] }}\n",
        include_str!("../../config/mapping.yaml")
    );
    let files = [("new.yaml", mapping.as_str()), ("group.json", group), ("members.json", members)];
    let (out, error, code) = explain(&command, &files);
    assert_eq!(
        (out.trim_end(), code),
        (blocks[5].trim_start_matches("text\n").trim_end(), Some(0)),
        "{error}"
    );
}

/// What the manual says of app roles is what the conversations in `tests/transcripts/entra` play.
#[test]
fn each_expression_of_the_manual_has_a_conversation() {
    let manual = include_str!("../../docs/mapping.md");
    let (_, section) = manual.split_once("\n## Roles\n").unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| Expression | ")).collect();
    let titles = [
        include_str!("../transcripts/entra/app-roles-assertive.json"),
        include_str!("../transcripts/entra/app-roles-complex.json"),
        include_str!("../transcripts/entra/app-roles-single.json"),
    ];
    assert_eq!(rows.len(), titles.len());
    for (row, transcript) in rows.iter().zip(titles) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let title: Value = serde_json::from_str(transcript).unwrap();
        let title = title["title"].as_str().unwrap();
        assert!(title.contains(&format!("by {}, mapped to {}", cells[2], cells[3])), "{row}: {title}");
    }
}
