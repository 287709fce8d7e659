//! `check` as an operator uses it: wrong files, and what is said about them.

use serde_json::Value;

use crate::harness::{Folder, command};

const KEY: (&str, &str) = ("BRIDGE_ZIFLOW__API_KEY", "k");

/// The output of `check` for these files, and its exit code.
fn check(bridge: &str, mapping: &str, format: &str) -> (String, Option<i32>) {
    let folder = Folder::new();
    let config = folder.file("bridge.yaml", bridge);
    folder.file("mapping.yaml", mapping);
    let config = config.display().to_string();
    let output = command(&["check", "--config", &config, "--format", format], &[KEY]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).replace(&folder.path().display().to_string(), "DIR");
    (shown, output.status.code())
}

const GOOD: &str =
    "user:\n  email: { from: userName, required: true }\n  active: { from: active, default: true }\n";

#[test]
fn good_files_are_fine() {
    let (shown, code) = check("ziflow:\n  key_user_email: a@example.com\n", GOOD, "text");
    assert_eq!((shown.as_str(), code), ("settings and mapping are fine\n", Some(0)));
}

#[test]
fn every_mistake_is_shown_with_its_place_and_the_nearest_word() {
    let bridge = "server:\n  lisen: 127.0.0.1:8080\npolicy:\n  on_delete: remove\n";
    let mapping = "user:\n  emial: { from: userName }\n  email: { from: userNam }\n  email: { from: userName }\n  \
                   roles: { value: [usr] }\n  active: { from: active, default: yes }\n";
    let (shown, code) = check(bridge, mapping, "text");
    assert_eq!(code, Some(78));
    for expected in [
        "DIR/bridge.yaml:2:3",
        "did you mean `listen`?",
        "DIR/bridge.yaml:4:14",
        "unknown word `remove`",
        "DIR/mapping.yaml:2:3",
        "did you mean `email`?",
        "DIR/mapping.yaml:3:",
        "userNam",
        "DIR/mapping.yaml:4:3",
        "email",
        "DIR/mapping.yaml:5:",
        "did you mean `user`?",
        "DIR/mapping.yaml:6:",
    ] {
        assert!(shown.contains(expected), "`{expected}` not in:\n{shown}");
    }
}

#[test]
fn machines_read_the_same() {
    let (shown, code) = check("sever: {}\n", GOOD, "json");
    let report: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, report["usable"].as_bool()), (Some(78), Some(false)));
    assert_eq!(report["problems"][0]["line"], 1);
    assert!(report["problems"][0]["hint"].as_str().unwrap().contains("server"));
}

#[test]
fn an_example_that_does_not_hold_is_an_error() {
    let mapping = format!(
        "{GOOD}examples:\n  - name: wrong\n    scim: {{ userName: a@example.com }}\n    ziflow: {{ email: b@example.com }}\n"
    );
    let (shown, code) = check("", &mapping, "text");
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("b@example.com") && shown.contains("wrong"), "{shown}");
}

#[test]
fn a_missing_mapping_is_not_replaced_by_the_embedded_one() {
    let folder = Folder::new();
    let config = folder.file("bridge.yaml", "").display().to_string();
    let output = command(&["check", "--config", &config], &[KEY]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stdout).contains("mapping.yaml"), "{output:?}");
}

#[test]
fn secrets_come_from_files_and_are_not_shown() {
    let folder = Folder::new();
    folder.file("mapping.yaml", GOOD);
    folder.file("key", "the-key\n");
    let config = folder.file("bridge.yaml", "ziflow:\n  api_key_file: key\n").display().to_string();
    let output = command(&["check", "--config", &config], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = folder
        .file("bridge.yaml", "ziflow:\n  api_key_file: key\n  api_key: the-key\n")
        .display()
        .to_string();
    let output = command(&["check", "--config", &config], &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let shown = format!("{output:?}");
    assert!(shown.contains("both given") && !shown.contains("the-key"), "{shown}");
}
