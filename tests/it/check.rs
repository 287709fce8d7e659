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

const GOOD: &str = "\
user:
  email: { from: userName, required: true }
  first_name: { from: name.givenName, required: true }
  last_name: { from: name.familyName, required: true }
  active: { from: active, default: true }
";

const TOKEN: &str = "auth:\n  tokens: [{ name: entra, token: some-secret-token }]\n";

#[test]
fn good_files_are_fine() {
    let (shown, code) = check(&format!("ziflow:\n  key_user_email: a@example.com\n{TOKEN}"), GOOD, "text");
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
        "{GOOD}examples:\n  - name: wrong\n    scim: {{ userName: a@example.com, name: {{ givenName: a, familyName: b }} }}\n    \
         ziflow: {{ email: b@example.com }}\n"
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

#[test]
fn the_built_in_mapping_cannot_be_watched() {
    let output = command(&["check"], &[KEY, ("BRIDGE_MAPPING__WATCH", "true")]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("there is nothing to watch"), "{shown}");
}

/// A file of tests/cli/check: the files and variables that an operator has, and what `check` tells them.
struct Case {
    /// Name with what may follow it, and text.
    parts: Vec<(String, String)>,
}

impl Case {
    fn parse(text: &str) -> Self {
        let part = |part: &str| {
            let (name, text) = part.split_once('\n').unwrap_or((part, ""));
            (name.to_owned(), text.to_owned())
        };
        Self { parts: text.strip_prefix("--- ").unwrap().split("\n--- ").map(part).collect() }
    }

    fn part(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|(found, _)| found == name).map(|(_, text)| text.as_str())
    }

    /// Files stand with their mode behind their name, if it matters.
    fn files(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        let files = self.parts.iter().filter(|(name, _)| name != "environment" && name != "output");
        files.map(|(name, text)| match name.split_once(" mode ") {
            Some((name, mode)) => (name, u32::from_str_radix(mode, 8).unwrap(), text.as_str()),
            None => (name.as_str(), 0o640, text.as_str()),
        })
    }

    fn output(&self) -> String {
        let folder = Folder::new();
        folder.file("bridge.yaml", "ziflow:\n  key_user_email: a@example.com\n");
        folder.file("mapping.yaml", GOOD);
        for (name, mode, text) in self.files() {
            match name.strip_prefix("without ") {
                Some(name) => std::fs::remove_file(folder.path().join(name)).unwrap(),
                None => drop(folder.file_with_mode(name, &format!("{text}\n"), mode)),
            }
        }
        let variables = self.part("environment").unwrap_or("BRIDGE_ZIFLOW__API_KEY=k").lines();
        let variables: Vec<_> = variables.map(|line| line.split_once('=').unwrap()).collect();
        let format =
            if self.part("output").is_some_and(|output| output.starts_with('{')) { "json" } else { "text" };
        let config = folder.path().join("bridge.yaml").display().to_string();
        let output =
            command(&["check", "--config", &config, "--format", format], &variables).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let shown = shown.replace(&folder.path().display().to_string(), "DIR");
        format!("{shown}exit code {}\n", output.status.code().unwrap())
    }
}

/// `UPDATE_GOLDEN=1` writes what `check` says now; read it as somebody who is called at night.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it is no setting of the product, and nobody misspells it for long"
)]
fn each_mistake_is_told_as_its_file_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/check");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "{}", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (given, expected) = text.split_once("--- output\n").unwrap();
        let output = Case::parse(&text).output();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{given}--- output\n{output}")).unwrap();
        } else if output != expected {
            wrong.push(format!("{}\n{output}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_mapping_is_checked_alone_or_in_place_of_another() {
    let folder = Folder::new();
    let good = folder.file("good.yaml", GOOD).display().to_string();
    let bad = folder.file("bad.yaml", "user:\n  emial: { from: userName }\n").display().to_string();
    let config = folder.file("bridge.yaml", "mapping:\n  file: bad.yaml\n").display().to_string();
    let check = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = command(&[&["check"], arguments].concat(), variables).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    // Alone, no account has to be set up.
    let (shown, code) = check(&["--mapping", &good], &[]);
    assert!(code == Some(0) && shown == "the mapping is fine\n" && !shown.contains("API key"), "{shown}");
    let (shown, code) = check(&["--mapping", &bad], &[]);
    assert!(code == Some(78) && shown.contains("did you mean `email`?"), "{shown}");
    assert_eq!(check(&["--config", &config], &[KEY]).1, Some(78));
    let (shown, code) = check(&["--config", &config, "--mapping", &good], &[KEY]);
    assert!(code == Some(0) && shown.contains("key_user_email"), "{shown}");
}

#[test]
fn quietly_only_the_verdict_is_said() {
    let folder = Folder::new();
    let mapping = folder.file("m.yaml", "user:\n  emial: { from: userName }\n").display().to_string();
    let output = command(&["check", "--quiet", "--mapping", &mapping], &[]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("the mapping cannot be used: ") && shown.lines().count() == 1, "{shown}");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn what_is_no_such_file_is_not_read() {
    let folder = Folder::new();
    let said = |path: &std::path::Path| {
        let path = path.display().to_string();
        let output = command(&["check", "--mapping", &path], &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let large = folder.file("large.yaml", &"# x\n".repeat(300_000));
    assert!(said(&large).contains("larger than"));
    assert!(said(folder.path()).contains("it is no file"));
    let other = folder.path().join("utf16.yaml");
    std::fs::write(&other, [0xff, 0xfe, b'u', 0]).unwrap();
    assert!(said(&other).contains("save it as UTF-8"));
    let many = folder.file("many.yaml", &format!("user:\n{}", "  - &a x\n".repeat(8000)));
    let told = said(&many);
    assert!(told.contains("further problems") && told.len() < 100_000, "{}", told.len());
}

#[test]
fn a_secret_in_place_of_its_file_is_not_shown() {
    let folder = Folder::new();
    let config =
        folder.file("bridge.yaml", "ziflow:\n  api_key_file: sk_live_SECRETKEY123\n").display().to_string();
    folder.file("mapping.yaml", GOOD);
    let output = command(&["check", "--config", &config], &[]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("looks like the secret itself") && !shown.contains("SECRETKEY"), "{shown}");
}

#[test]
fn a_public_url_is_the_beginning_of_the_tenant_url() {
    for (url, code, told) in [
        ("https://scim.example.com/scim/v2", Some(78), "leave `/scim/v2` out at its end"),
        ("https://scim.example.com/scim/v2/", Some(78), "ends in server.base_path"),
        ("http://scim.example.com", Some(0), "begin it with https://"),
        ("http://localhost.example:80/x", Some(0), "begin it with https://"),
        ("https://scim.example.com/scim", Some(0), "settings and mapping are fine"),
        ("http://127.0.0.1:8080", Some(0), "settings and mapping are fine"),
        ("http://[::1]", Some(0), "settings and mapping are fine"),
        ("http://localhost:8080", Some(0), "settings and mapping are fine"),
    ] {
        let bridge = format!(
            "ziflow: {{ key_user_email: a@example.com }}\nserver: {{ public_url: '{url}' }}\n\
             auth: {{ tokens: [{{ name: entra, sha256: '{}' }}] }}\n",
            "0123456789abcdef".repeat(4)
        );
        let (shown, exit) = check(&bridge, GOOD, "text");
        assert_eq!(exit, code, "{url}: {shown}");
        assert!(shown.contains(told), "{url}: {shown}");
    }
}

#[test]
fn a_text_that_ends_in_a_colon_is_told_to_need_quotes() {
    let (shown, code) = check("store:\n  url: memory:\n", GOOD, "text");
    assert_eq!(code, Some(78));
    assert!(shown.contains("or ends in `:` needs quotes"), "{shown}");
}

#[test]
fn where_settings_were_looked_for_is_said() {
    let output = command(&["check"], &[]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(78), "{shown}");
    assert!(shown.contains("/etc/ziflow-scim-bridge/bridge.yaml is not there"), "{shown}");
}
