//! `explain` as an operator uses it: requests in files, and what is said about them.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Folder, command};

const JO: &str = r#"{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": " Jo@Example.com",
    "name": {"givenName": "Jo", "familyName": "Lee"}, "preferredLanguage": "de-AT"}"#;

const JO_IN_ZIFLOW: &str = r#"{"id": "auth0|7", "email": "jo@example.com", "first_name": "Jo", "last_name": "Lee",
    "language": "de", "roles": ["user", "admin"]}"#;

const PATCH: &str = r#"PATCH /scim/v2/Users/{id} HTTP/1.1
Authorization: Bearer somebody-elses

{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
    {"op": "Replace", "path": "preferredLanguage", "value": "fr-FR"},
    {"op": "Add", "path": "title", "value": "CTO"},
    {"op": "Add", "path": "roles", "value": [{"value": "ZiflowManager"}]}]}"#;

/// What `explain` prints, on which exit code.
pub fn explain(arguments: &[&str], files: &[(&str, &str)]) -> (String, String, Option<i32>) {
    let folder = Folder::new();
    for (name, text) in files {
        folder.file(name, text);
    }
    let mut command = command(&["explain"], &[]);
    let output = command.args(arguments).current_dir(folder.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

pub fn explained(arguments: &[&str], files: &[(&str, &str)]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    let (out, error, code) = explain(&arguments, files);
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&out).unwrap()
}

/// What is said about a field.
fn field<'a>(explained: &'a Value, name: &str) -> &'a Value {
    let fields = explained["mapping"]["asked"][0]["fields"].as_array().unwrap();
    fields.iter().find(|field| field["field"] == name).unwrap()
}

#[test]
fn a_new_person_is_explained_without_an_account() {
    let explained = explained(&["jo.json"], &[("jo.json", JO)]);
    let email = field(&explained, "email");
    assert_eq!(email["to"], "jo@example.com");
    assert_eq!(email["steps"][0], json!({"step": "read", "path": "userName", "value": " Jo@Example.com"}));
    assert_eq!(
        field(&explained, "language")["steps"][1],
        json!({"step": "row", "row": "de-*", "value": "de"})
    );
    assert_eq!(field(&explained, "phone")["result"], "left");
    let calls = explained["ziflow"].as_array().unwrap();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((&calls[0]["method"], &calls[0]["path"]), (&json!("POST"), &json!("/v1/users")));
    assert_eq!(calls[0]["body"]["language"], "de");
    assert_eq!(explained["answer"]["status"], 201);
    assert_eq!(explained["answer"]["body"]["userName"], " Jo@Example.com");
    let location = explained["answer"]["body"]["meta"]["location"].as_str().unwrap();
    assert!(location.starts_with("http://127.0.0.1:8080/scim/v2/Users/"), "{location}");
}

#[test]
fn a_change_says_what_is_written_and_why_the_rest_is_not() {
    let files = [("jo.json", JO_IN_ZIFLOW), ("patch", PATCH)];
    let explained = explained(&["--user", "jo.json", "patch"], &files);
    let language = field(&explained, "language");
    assert_eq!((&language["from"], &language["to"]), (&json!("de"), &json!("fr")));
    assert_eq!(field(&explained, "roles")["to"], json!(["user", "admin", "manager"]));
    let email = field(&explained, "email")["reason"].as_str().unwrap();
    assert!(email.contains("changes nothing"), "{email}");
    let calls = explained["ziflow"].as_array().unwrap();
    let made: Vec<_> = calls.iter().map(|call| call["method"].as_str().unwrap()).collect();
    assert_eq!(made, ["GET", "PUT"]);
    assert_eq!(calls[1]["path"], "/v1/users/auth0%7C7");
    assert_eq!(calls[1]["body"], json!({"language": "fr", "roles": ["user", "admin", "manager"]}));
    assert_eq!(explained["answer"]["body"]["title"], "CTO");
}

#[test]
fn a_scim_user_is_somebody_whom_the_bridge_made() {
    let made = r#"{"id": "auth0|9", "userName": "jo@example.com", "name": {"givenName": "Jo", "familyName": "Lee"},
        "roles": [{"value": "ZiflowAdmin"}], "meta": {"resourceType": "User"}}"#;
    let patch = r#"{"Operations": [{"op": "Remove", "path": "roles"},
        {"op": "Replace", "path": "name.givenName", "value": "Jo "}]}"#;
    let explained = explained(&["--user", "jo.json", "p.json"], &[("jo.json", made), ("p.json", patch)]);
    assert_eq!(explained["request"]["user"], "auth0|9");
    // The bridge gave the role, so it takes it away.
    assert_eq!(field(&explained, "roles")["to"], json!(["user"]));
    assert_eq!(explained["answer"]["status"], 200);
}

#[test]
fn refusals_are_explained_with_the_answer_that_entra_gets() {
    let nobody = r#"{"userName": "jo", "name": {"givenName": "Jo"}}"#;
    let explained = explained(&["x.json"], &[("x.json", nobody)]);
    assert_eq!(field(&explained, "last_name")["result"], "refused");
    assert_eq!(field(&explained, "first_name")["result"], "wanted");
    assert_eq!(explained["answer"]["status"], 400);
    assert_eq!(explained["ziflow"], json!([]));
    let detail = explained["answer"]["body"]["detail"].as_str().unwrap();
    assert!(detail.contains("name.familyName") && detail.contains("userName"), "{detail}");
}

#[test]
fn what_was_given_by_hand_is_said_to_stay() {
    let patch = r#"{"Operations": [{"op": "add", "path": "roles", "value": [{"value": "Other"}]}]}"#;
    let files = [("jo.json", JO_IN_ZIFLOW), ("p.json", patch)];
    let explained = explained(&["--user", "jo.json", "p.json"], &files);
    let reason = field(&explained, "roles")["reason"].as_str().unwrap();
    assert!(reason.contains("by hand"), "{reason}");
}

#[test]
fn what_fails_within_a_bulk_request_is_not_called_written() {
    let user =
        |name: &str, last: &str| json!({"userName": name, "name": {"givenName": "A", "familyName": last}});
    let post =
        |user: Value| json!({"method": "POST", "path": "/Users", "bulkId": user["userName"], "data": user});
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [post(user("a@example.com", "B")), post(user("b@example.com", ""))],
    });
    let explained = explained(&["bulk.json"], &[("bulk.json", &bulk.to_string())]);
    let results: Vec<_> =
        [0, 1].map(|index| &explained["mapping"]["asked"][index]["fields"][0]["result"]).into();
    assert_eq!(results, ["written", "wanted"]);
}

#[test]
fn conditions_of_the_request_count() {
    let request = "DELETE /Users/{id}\nIf-Match: W/\"another\"\n";
    let explained = explained(&["--user", "jo.json", "r"], &[("jo.json", JO_IN_ZIFLOW), ("r", request)]);
    assert_eq!(explained["answer"]["status"], 412);
}

#[test]
fn settings_and_a_mapping_to_try_are_followed() {
    let settings = "policy:\n  on_deactivate: ignore\nziflow:\n  api_key_file: nowhere\n";
    let mapping =
        "user:\n  email: { from: userName }\n  active: { from: active }\n  company: { value: Trial }\n";
    let patch = r#"{"Operations": [{"op": "replace", "path": "active", "value": false}]}"#;
    let files = [
        ("bridge.yaml", settings),
        ("mapping.yaml", mapping),
        ("trial.yaml", mapping),
        ("jo.json", JO_IN_ZIFLOW),
        ("patch.json", patch),
        ("new.json", JO),
    ];
    let config = ["--config", "bridge.yaml", "--mapping", "trial.yaml"];
    let ignored = explained(&[&config[..], &["--user", "jo.json", "patch.json"]].concat(), &files);
    assert!(field(&ignored, "active")["reason"].as_str().unwrap().contains("on_deactivate"), "{ignored}");
    assert!(ignored["log"][0].as_str().unwrap().contains("on_deactivate"), "{ignored}");
    let created = explained(&[&config[..], &["new.json"]].concat(), &files);
    assert_eq!(field(&created, "company")["to"], "Trial");
    assert!(created["mapping"]["file"].as_str().unwrap().contains("trial.yaml"), "{created}");
}

#[test]
fn the_text_is_for_80_columns() {
    let files = [("jo.json", JO_IN_ZIFLOW), ("patch", PATCH)];
    let (out, _, code) = explain(&["--user", "jo.json", "patch"], &files);
    assert_eq!(code, Some(0));
    for line in out.lines() {
        assert!(line.chars().count() <= 80 || !line.trim().contains(' '), "{line}");
    }
    for expected in [
        "language: \"de\" becomes \"fr\"",
        "Calls of Ziflow:",
        "The answer: 200",
        "{\"value\":\"ZiflowManager\"}",
    ] {
        assert!(out.contains(expected), "`{expected}` not in:\n{out}");
    }
    let (_, error, code) = explain(&["patch"], &files);
    assert_eq!(code, Some(1));
    assert!(error.contains("--user"), "{error}");
}

#[test]
fn standard_input_is_read() {
    let mut child = command(&["explain", "-", "--format", "json"], &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"GET /Users?filter=userName eq \"nobody@example.com\"").unwrap();
    let output = child.wait_with_output().unwrap();
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["answer"]["body"]["totalResults"], 0, "{explained}");
    assert_eq!(explained["mapping"]["asked"], json!([]));
}

#[test]
fn an_example_that_does_not_hold_is_told_and_stops_nothing() {
    let mapping = "user:\n  email: { from: userName }\n  active: { from: active }\nexamples:\n  - name: wrong\n    \
                   scim: { userName: a@example.com }\n    ziflow: { email: b@example.com }\n";
    let files = [("mapping.yaml", mapping), ("jo.json", JO)];
    let (out, error, code) = explain(&["--mapping", "mapping.yaml", "jo.json"], &files);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains("the example `wrong` does not hold"), "{error}");
    assert!(out.contains("The answer: 201"), "{out}");
    let broken = mapping.replace("userName }", "userNam }");
    let files = [("mapping.yaml", broken.as_str()), ("jo.json", JO)];
    assert_eq!(explain(&["--mapping", "mapping.yaml", "jo.json"], &files).2, Some(78));
}

#[test]
fn the_way_to_the_real_ziflow_does_not_matter() {
    let folder = Folder::new();
    let jo = folder.file("jo.json", JO);
    let variables =
        [("BRIDGE_ZIFLOW__PROXY", "http://127.0.0.1:9"), ("BRIDGE_ZIFLOW__CA_FILE", "no-such-file")];
    let output = command(&["explain", jo.to_str().unwrap()], &variables).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("The answer: 201"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn whom_the_path_names_is_who_was_given() {
    let patch = "PATCH /Users/auth0%7C1\n\n{\"Operations\": [{\"op\": \"Replace\", \"path\": \"title\", \"value\": \"CTO\"}]}";
    let ziflows = r#"{"email": "jo@example.com", "first_name": "Jo", "last_name": "Lee"}"#;
    for person in [JO, ziflows] {
        let told = explained(&["patch", "--user", "jo.json"], &[("patch", patch), ("jo.json", person)]);
        assert_eq!(told["answer"]["status"], 200, "{told:#}");
        assert_eq!(told["answer"]["body"]["id"], "auth0|1");
    }
    let (out, error, code) = explain(&["patch"], &[("patch", patch)]);
    assert_eq!(code, Some(1), "{out}");
    assert!(error.contains("the request is about the person auth0|1: give them with --user"), "{error}");
}
