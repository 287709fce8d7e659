//! The house rules of ARCHITECTURE.md, kept by reading the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which rooms a room may import. `ziflow::model` is pure and a room of its own here.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("yaml", &[]),
    ("scim", &[]),
    ("ziflow::model", &[]),
    ("meter", &[]),
    ("mask", &["scim"]),
    ("mapping", &["scim", "yaml", "ziflow::model"]),
    ("ziflow", &["ziflow::model", "meter", "mask"]),
    ("store", &[]),
    ("bridge", &["scim", "mapping", "ziflow", "ziflow::model", "store"]),
    ("server", &["bridge", "scim", "meter", "mask"]),
    ("simulator", &[]),
    ("telemetry", &[]),
    ("config", &["yaml", "scim", "mapping", "ziflow", "store", "bridge", "server", "telemetry", "mask"]),
    (
        "cli",
        &[
            "yaml",
            "scim",
            "mapping",
            "ziflow",
            "ziflow::model",
            "store",
            "bridge",
            "server",
            "telemetry",
            "config",
            "simulator",
        ],
    ),
];

/// Rooms that do no IO, read no clock and log nothing.
const PURE: &[&str] = &["yaml", "scim", "mapping", "ziflow::model", "meter", "mask"];

const IMPURE: &[&str] = &[
    "async ",
    "tokio",
    "tracing",
    "reqwest",
    "hyper",
    "std::env",
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "time::Instant",
    "Timestamp::now",
];

fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(&root).unwrap().to_owned(), text);
            }
        }
    }
    assert!(found.len() > 30, "the source is not where it was");
    found
}

/// The room of a file; none for `main.rs` and `lib.rs`.
fn room(path: &Path) -> Option<&'static str> {
    let text = path.to_str().unwrap();
    if text == "ziflow/model.rs" {
        return Some("ziflow::model");
    }
    let first = text.split('/').next().unwrap().trim_end_matches(".rs");
    MAY_IMPORT.iter().map(|(room, _)| *room).find(|room| *room == first)
}

/// The product's part of a file: without comments and without its tests.
fn product(path: &Path, text: &str) -> String {
    if path.file_name().is_some_and(|name| name == "tests.rs") {
        return String::new();
    }
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that a text names behind `crate::`, also in groups.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names {
            let path: String =
                name.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            let mut parts = path.split("::");
            let first = parts.next().unwrap_or_default();
            let model = first == "ziflow" && parts.next() == Some("model");
            found.push(if model { "ziflow::model".to_owned() } else { first.to_owned() });
        }
    }
    found
}

#[test]
fn rooms_import_downwards_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room(&path) else { continue };
        let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == room).unwrap();
        for import in imports(&product(&path, &text)) {
            let own = import == room || room.starts_with(&format!("{import}::"));
            if !own && !allowed.contains(&import.as_str()) {
                wrong.push(format!("src/{}: {room} must not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_read_however_they_are_written() {
    assert_eq!(imports("use crate::scim::error::Error;"), ["scim"]);
    assert_eq!(imports("use crate::{store, ziflow};"), ["store", "ziflow"]);
    assert_eq!(imports("crate::ziflow::model::User"), ["ziflow::model"]);
}

#[test]
fn pure_rooms_are_pure() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !room(&path).is_some_and(|room| PURE.contains(&room)) {
            continue;
        }
        let text = product(&path, &text);
        wrong.extend(
            IMPURE
                .iter()
                .filter(|word| text.contains(**word))
                .map(|word| format!("src/{}: `{word}` in a pure room", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_commands_print_and_only_the_transport_speaks_http() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let (text, name) = (product(&path, &text), path.display().to_string());
        let in_cli = name.starts_with("cli/");
        if !in_cli && ["println!", "eprintln!", "print!(", "stdout()"].iter().any(|word| text.contains(word))
        {
            wrong.push(format!("src/{name} prints"));
        }
        let upstream = [
            "ziflow/transport.rs",
            "ziflow/origin.rs",
            "ziflow/request.rs",
            "ziflow/hop.rs",
            "server/issuer_keys.rs",
            "cli/entra.rs",
        ];
        let upstream = upstream.contains(&name.as_str());
        if !upstream && text.contains("reqwest::") {
            wrong.push(format!("src/{name} uses reqwest"));
        }
        let yaml = name.starts_with("yaml/");
        if !yaml && text.contains("granit_parser") {
            wrong.push(format!("src/{name} parses YAML by itself"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every room is described, and every room that is described exists.
#[test]
fn the_architecture_names_the_rooms_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for path in sources().keys() {
        let name = path.display().to_string();
        assert!(text.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name src/{name}");
    }
    let named =
        text.split('`').filter(|word| Path::new(word).extension().is_some_and(|extension| extension == "rs"));
    for name in named {
        let there = root.join("src").join(name).exists() || root.join(name).exists();
        assert!(there, "ARCHITECTURE.md names `{name}`, which is not there");
    }
}

/// The right to write to Ziflow is made in one place, which records the change first.
#[test]
fn nothing_writes_without_a_record() {
    let makes = |(path, text): (PathBuf, String)| {
        product(&path, &text).contains("Recorded for").then(|| path.display().to_string())
    };
    assert_eq!(sources().into_iter().filter_map(makes).collect::<Vec<_>>(), ["bridge/change.rs"]);
}

/// Every setting stands in the file that an operator copies, and in the manual.
#[test]
fn every_setting_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (keys, file, manual) =
        (read("src/config/keys.rs"), read("config/bridge.yaml"), read("docs/settings.md"));
    let names = keys.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    let names: Vec<_> = names.filter(|name| name.contains('.')).collect();
    assert!(names.len() > 30, "the table of settings is not where it was");
    for name in names {
        let (_, key) = name.rsplit_once('.').unwrap();
        assert!(
            file.contains(&format!("  {key}")) || file.contains(&format!("# {key}")),
            "{name} is not in bridge.yaml"
        );
        assert!(manual.contains(&format!("`{name}`")), "{name} is not in docs/settings.md");
    }
}

/// A promise is worth as much as the test that shows it: each one that SECURITY.md names is there.
#[test]
fn every_test_that_security_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let is_name =
        |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    let named: Vec<&str> = text.split('`').filter(|word| word.contains("::") && is_name(word)).collect();
    assert!(named.len() > 40, "the tests are not where they were");
    for name in named {
        let (module, function) = name.rsplit_once("::").unwrap();
        let path = module.replace("::", "/");
        let files = [format!("tests/it/{path}.rs"), format!("src/{path}.rs"), format!("src/{path}/mod.rs")];
        let declared = format!("fn {function}(");
        let is_test = |file: &String| {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            let before =
                text.split(&declared).next().filter(|before| before.len() < text.len()).unwrap_or_default();
            before
                .trim_end()
                .rsplit("\n\n")
                .next()
                .is_some_and(|above| above.contains("#[test]") || above.contains("#[tokio::test"))
        };
        assert!(files.iter().any(is_test), "SECURITY.md names `{name}`, which is no test");
    }
}
