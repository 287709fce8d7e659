//! `explain` with what Entra's provisioning log shows, from files and in the browser.

use serde_json::{Value, json};

use crate::explain;
use crate::harness::{Bridge, person, ziflow};
use crate::status_page::explained as in_browser;

/// A failed create as Microsoft Graph tells it; `reason` is what Entra was answered.
fn create(address: &str, reason: &str) -> Value {
    json!({
        "id": "b504b5fb-38b8-8887-884d-fc4d48f1afab", "activityDateTime": "2026-11-24T07:23:47Z",
        "provisioningAction": "create",
        "provisioningStatusInfo": {"status": "failure", "errorInformation": {
            "errorCode": "SystemForCrossDomainIdentityManagementServiceIncompatible", "reason": reason,
        }},
        "sourceIdentity": {"displayName": "Jo Lee", "identityType": "User", "details": {"UserPrincipalName": address}},
        "targetIdentity": {"id": "", "displayName": "", "identityType": "User", "details": {}},
        "modifiedProperties": [
            {"displayName": "active", "oldValue": null, "newValue": "True"},
            {"displayName": "userName", "oldValue": null, "newValue": address},
            {"displayName": "name.givenName", "oldValue": null, "newValue": "Jo"},
            {"displayName": "name.familyName", "oldValue": null, "newValue": "Lee"},
        ],
        "provisioningSteps": [
            {"name": "EntryExportAdd", "provisioningStepType": "export", "status": "failure", "description": "Failed to create User",
             "details": {"ReportableIdentifier": address, "preferredLanguage": "de-AT", "namegivenName": "Jo"}},
        ],
    })
}

fn change(action: &str, kind: &str, id: &str, changed: &[(&str, Option<&str>, Option<&str>)]) -> Value {
    let property = |(name, old, new): &(&str, Option<&str>, Option<&str>)| json!({"displayName": name, "oldValue": old, "newValue": new});
    json!({
        "provisioningAction": action, "provisioningStatusInfo": {"status": "success", "errorInformation": null},
        "sourceIdentity": {"displayName": "Jo Lee", "identityType": kind, "details": {"UserPrincipalName": "jo@example.com"}},
        "targetIdentity": {"id": id, "identityType": kind},
        "modifiedProperties": changed.iter().map(property).collect::<Vec<_>>(),
    })
}

fn calls(told: &Value) -> Vec<String> {
    let calls = told["ziflow"].as_array().unwrap().iter();
    calls
        .map(|call| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_was_pasted_drives_no_terminal_and_writes_no_lines_of_ours() {
    let mut entry = create("jo@example.com", "\u{1b}]0;owned\u{7}\u{202e}\u{9b}31m");
    entry["sourceIdentity"]["displayName"] = json!("Jo\u{1b}[31m\nThe answer: 999");
    let table = "title\u{1b}[2J\tA";
    for (name, text) in [("log.json", entry.to_string()), ("table.txt", format!("title\tA\tB\n{table}\nx"))] {
        for format in ["text", "json"] {
            let files = [(name, text.as_str())];
            let (out, error, _) = explain::explain(&[name, "--format", format], &files);
            for hazard in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
                assert!(!out.contains(hazard) && !error.contains(hazard), "{hazard:?} in {out:?} {error:?}");
            }
            assert!(out.contains("u001b") || error.contains("u001b") || name == "table.txt", "{out}{error}");
            assert!(
                !out.lines().any(|line| line.starts_with("The answer: 999")) || format == "json",
                "{out}"
            );
        }
    }
}

#[test]
fn each_entry_is_tried_as_entra_sends_it() {
    let log = json!({"value": [
        create("Jo@Example.com", "…"),
        change("update", "User", "auth0|7", &[("preferredLanguage", Some("de"), Some("fr-FR"))]),
        change("disable", "User", "auth0|7", &[("active", Some("True"), Some("False"))]),
        change("delete", "User", "auth0|7", &[]),
        change("update", "Group", "g1", &[("members", None, Some("auth0|8"))]),
        {"provisioningAction": "other", "provisioningStatusInfo": {"status": "skipped", "errorInformation": {"reason": "not in scope"}}},
    ]});
    let told = explain::explained(&["log.json"], &[("log.json", &log.to_string())]);
    let entries = told["entries"].as_array().unwrap();
    let answers: Vec<_> = entries.iter().map(|entry| entry["answer"]["status"].as_u64()).collect();
    assert_eq!(answers, [Some(201), Some(200), Some(200), Some(204), Some(204), None], "{told:#}");

    let [made, changed, disabled, deleted, group, skipped] = entries.as_slice() else { panic!("{told:#}") };
    assert_eq!(made["entry"]["readAs"]["method"], "POST");
    assert_eq!(
        made["entry"]["readAs"]["body"]["preferredLanguage"], "de-AT",
        "told by the step alone: {made:#}"
    );
    assert_eq!(calls(made), ["POST /v1/users"]);
    assert!(changed["entry"]["open"][0].as_str().unwrap().contains("--user"), "{changed:#}");
    assert_eq!(changed["request"]["path"], "/scim/v2/Users/auth0%7C7");
    assert_eq!(changed["ziflow"][1]["body"], json!({"language": "fr"}), "{changed:#}");
    assert_eq!(disabled["ziflow"][1]["body"], json!({"active": false}), "{disabled:#}");
    assert_eq!(deleted["ziflow"][1]["body"], json!({"active": false}), "{deleted:#}");
    assert_eq!(
        (&group["request"]["method"], &group["request"]["path"]),
        (&json!("PATCH"), &json!("/scim/v2/Groups/g1"))
    );
    let why = skipped["entry"]["nothingSent"].as_str().unwrap();
    assert!(why.contains("not in scope") && skipped["ziflow"].is_null(), "{skipped:#}");
}

#[test]
fn a_copied_table_and_a_given_person_are_taken() {
    let table = "Attribute name\tOld value\tNew value\npreferredLanguage\tde\tfr-FR\ntitle\tCEO\t\n";
    let jo = r#"{"id": "auth0|7", "email": "jo@example.com", "first_name": "Jo", "last_name": "Lee", "language": "de"}"#;
    let files = [("table", table), ("jo.json", jo)];
    let told = explain::explained(&["table", "--user", "jo.json"], &files);
    let entry = &told["entries"][0];
    assert_eq!(entry["ziflow"][1]["body"], json!({"language": "fr"}), "{entry:#}");
    assert!(!entry["entry"]["open"].to_string().contains("made up"), "{entry:#}");
    let operations = entry["entry"]["readAs"]["body"]["Operations"].as_array().unwrap();
    assert_eq!(operations[1], json!({"op": "Remove", "path": "title"}));

    let (out, error, code) = explain::explain(&["table", "--user", "jo.json"], &files);
    assert_eq!(code, Some(0), "{error}");
    for part in [
        "Entry 1 of 1: change of the person",
        "Read from a provisioning log entry as a PATCH:",
        "A table does not say what was done: it is taken for an update.",
        "Request: PATCH /scim/v2/Users/auth0%7C7",
        "language: \"de\" becomes \"fr\"",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    for (text, told) in [
        (r#"{"targetResources": [], "modifiedProperties": []}"#, "this is the audit log"),
        ("title\tCEO\tCTO\nnonsense", "with tabs"),
        (r#"{"provisioningAction": "update""#, "neither an HTTP request"),
    ] {
        let (_, error, code) = explain::explain(&["log"], &[("log", text)]);
        assert!(code == Some(1) && error.contains(told), "{code:?} {error}");
    }
}

#[tokio::test]
async fn the_page_shows_what_was_done_beside_what_would_be_done() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    bridge.create(person("jo@example.com")).await.expect(201);
    let refused = bridge.create(person("jo@example.com")).await.expect(409);
    let request_id = refused.header("request-id").unwrap().to_owned();
    let reason = format!("StatusCode: Conflict\r\nWeb Response: \r\n{}. It will be retried.", refused.body);
    let (status, seen) =
        in_browser(&bridge, &[("request", &create("jo@example.com", &reason).to_string())], &[]).await;
    assert_eq!(status, 200, "{seen}");
    for part in [
        "Entry of the provisioning log: create of the person Jo Lee",
        "What the bridge did",
        "create-user",
        ">409<",
        ">201<",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    assert!(seen.contains(&format!("/?q={request_id}")), "{seen}");

    let other = create("jo@example.com", "(request-id 0123456789abcdef)");
    let nasty = change(
        "update",
        "User",
        "1",
        &[("title", Some("</pre><script>"), Some("\"><img src=x onerror=alert(1)>"))],
    );
    let log = json!([other, nasty, {"provisioningAction": "update"}]).to_string();
    let (status, seen) = in_browser(&bridge, &[("request", &log)], &[]).await;
    assert_eq!(status, 200, "{seen}");
    for part in
        ["not kept here any more", "2. Entry of the provisioning log", "3. Entry", "no modified property"]
    {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    assert!(!seen.contains("<script") && !seen.contains("<img src=x"), "{seen}");

    let many = vec![change("delete", "User", "1", &[]); 23];
    let (status, seen) = in_browser(&bridge, &[("request", &json!(many).to_string())], &[]).await;
    assert!(
        status == 200 && seen.contains("20. Entry") && seen.contains("Left out: 3 more"),
        "{status} {seen}"
    );
    assert_eq!(ziflow.people().len(), 2, "the account is left alone: {:?}", ziflow.people());
    bridge.stop().await;
}
