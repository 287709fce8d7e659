//! The JSON Schema of bridge.yaml, for editors: the keys are those that the reader takes, and what is said about each
//! is the comment above it in the file of defaults.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::BRIDGE_YAML;
use crate::config::keys::{CLIENT_KEYS, Key, Kind, TOKEN_FORMS, TOKEN_KEYS, keys};
use crate::config::layer::Layer;

/// So many blanks stand before what is in a section, once more in each section inside another.
const INDENT: usize = 2;

/// A text with more in it than blanks.
const FILLED: &str = r"\S";

/// Draft 7 of JSON Schema, which editors know best.
pub fn schema() -> Value {
    let comments = Comments::read(BRIDGE_YAML);
    let defaults = Layer::from_file("config/bridge.yaml", BRIDGE_YAML, &mut Vec::new());
    let mut sections = Map::new();
    for key in keys() {
        let (name, _) = key.parts();
        let Some(section) = place(&mut sections, name, &comments) else { continue };
        for (form, kind) in key.forms() {
            let full = format!("{name}.{form}");
            let default = defaults.values.get(&full).map(|(value, _)| value);
            add(section, &form, setting(&kind, &full, &comments, default));
        }
        forbid_both(section, &key);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:ziflow-scim-bridge:bridge.schema.json",
        "title": "bridge.yaml",
        "description": "The settings of ziflow-scim-bridge. What is left out keeps its default.",
        // A file or a section in which every line is a comment is nothing at all.
        "type": ["object", "null"],
        "properties": sections,
        "additionalProperties": false,
    })
}

/// The section of this name among these, or in one of them: `server.tls`.
fn place<'a>(sections: &'a mut Map<String, Value>, name: &str, comments: &Comments) -> Option<&'a mut Value> {
    let (outer, inner) = match name.rsplit_once('.') {
        Some((outer, inner)) => {
            let outer = place(sections, outer, comments)?;
            (outer.get_mut("properties")?.as_object_mut()?, inner)
        }
        None => (sections, name),
    };
    Some(outer.entry(inner).or_insert_with(|| section(&comments.about(name))))
}

fn section(about: &str) -> Value {
    json!({
        "description": about,
        "type": ["object", "null"],
        "properties": {},
        "additionalProperties": false,
    })
}

fn add(section: &mut Value, name: &str, setting: Value) {
    if let Some(properties) = section.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), setting);
    }
}

/// A secret stands in the settings, or in a file of its own, or as its digest.
fn forbid_both(section: &mut Value, key: &Key) {
    let names: Vec<String> = key.forms().into_iter().map(|(name, _)| name).collect();
    let pairs = names.iter().enumerate().flat_map(|(index, one)| {
        names.iter().skip(index + 1).map(move |other| json!({ "required": [one, other] }))
    });
    let pairs: Vec<Value> = pairs.collect();
    let Some(section) = section.as_object_mut().filter(|_| !pairs.is_empty()) else { return };
    // A section may hold several secrets.
    let not = section.entry("not").or_insert_with(|| json!({ "anyOf": [] }));
    if let Some(any) = not.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.extend(pairs);
    }
}

fn setting(kind: &Kind, name: &str, comments: &Comments, default: Option<&Value>) -> Value {
    let mut setting = Map::new();
    setting.insert("description".to_owned(), comments.about(name).into());
    setting.extend(takes(kind));
    if let Some(default) = default {
        setting.insert("default".to_owned(), default.clone());
    }
    if let Some(example) = comments.examples.get(name) {
        setting.insert("examples".to_owned(), json!([example]));
    }
    Value::Object(setting)
}

/// What `layer.rs` accepts.
fn takes(kind: &Kind) -> Map<String, Value> {
    let filled = json!({ "type": "string", "pattern": FILLED });
    let email = json!({ "type": "string", "pattern": r"^\S*@\S*$" });
    let schema = match kind {
        Kind::Text | Kind::Secret | Kind::Token => filled,
        Kind::Integer(range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Texts => json!({ "type": "array", "items": filled }),
        Kind::Email => email,
        Kind::Emails => json!({ "type": "array", "items": email }),
        Kind::Tokens => json!({ "type": "array", "items": token() }),
        Kind::Clients => json!({ "type": "array", "items": client() }),
    };
    schema.as_object().cloned().unwrap_or_default()
}

fn token() -> Value {
    let pattern = |name: &str| match name {
        "token" => "^[!-~]+$",
        "sha256" => "^[0-9a-fA-F]{64}$",
        "expires" => r"^\d{4}-\d{2}-\d{2}([Tt ].+)?$",
        _ => FILLED,
    };
    let key = |(name, about): &(&str, &str)| {
        let key = match *name {
            "read_only" => json!({ "description": about, "type": "boolean" }),
            _ => json!({ "description": about, "type": "string", "pattern": pattern(name) }),
        };
        ((*name).to_owned(), key)
    };
    let properties: Map<String, Value> = TOKEN_KEYS.iter().map(key).collect();
    let forms: Vec<Value> = TOKEN_FORMS.iter().map(|form| json!({ "required": [form] })).collect();
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": ["name"],
        "oneOf": forms,
    })
}

fn client() -> Value {
    let key = |(name, about): &(&str, &str)| {
        let mut key = match *name {
            "read_only" => json!({ "type": "boolean" }),
            "secrets" => {
                let digest = json!({ "type": "string", "pattern": "^[0-9a-fA-F]{64}$" });
                json!({ "type": "array", "items": digest, "minItems": 1, "maxItems": 2 })
            }
            "id" => json!({ "type": "string", "pattern": "^[-A-Za-z0-9._~]{1,64}$" }),
            _ => json!({ "type": "string", "pattern": FILLED }),
        };
        if let Some(key) = key.as_object_mut() {
            key.insert("description".to_owned(), (*about).into());
        }
        ((*name).to_owned(), key)
    };
    let properties: Map<String, Value> = CLIENT_KEYS.iter().map(key).collect();
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": ["id"],
        "oneOf": [{ "required": ["secrets"] }, { "required": ["issuer", "audience", "subject"] }],
        "dependencies": { "jwks_url": ["issuer"] },
    })
}

/// What the file of defaults says about its keys.
#[derive(Debug, Default)]
struct Comments {
    /// The comment above a section or a key, also above a key that is itself behind a `#`.
    about: BTreeMap<String, String>,
    /// The values of keys behind a `#`: they are no defaults.
    examples: BTreeMap<String, String>,
}

impl Comments {
    fn read(text: &str) -> Self {
        let known: Vec<(String, String)> = keys()
            .iter()
            .flat_map(|key| key.forms().into_iter().map(|(name, _)| (key.parts().0.to_owned(), name)))
            .collect();
        let (mut comments, mut path, mut above) = (Self::default(), Vec::new(), Vec::new());
        for line in text.lines() {
            if line.trim().is_empty() {
                above.clear();
                continue;
            }
            let (name, value) = entry(line);
            path.truncate(line.chars().take_while(|c| *c == ' ').count() / INDENT);
            let section = path.join(".");
            let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let is_key = known.iter().any(|(of, key)| *of == section && key == name);
            match line.trim_start().strip_prefix('#') {
                Some(_) if is_key => {
                    comments.examples.insert(full.clone(), value.to_owned());
                }
                Some(prose) => {
                    above.push(prose.trim());
                    continue;
                }
                None if value.is_empty() => path.push(name),
                None => {}
            }
            comments.about.insert(full, above.join(" "));
            above.clear();
        }
        comments
    }

    fn about(&self, name: &str) -> String {
        self.about.get(name).cloned().unwrap_or_default()
    }
}

/// The key and the value of a line, also of one behind a `#`; of a line that has none, two empty texts.
fn entry(line: &str) -> (&str, &str) {
    let line = line.trim_start().trim_start_matches("# ");
    line.split_once(':').map_or(("", ""), |(name, value)| (name, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
        schema["properties"].as_object().into_iter().flatten()
    }

    /// What the schema says about a key or a section, also about one inside another section.
    fn about<'a>(schema: &'a Value, full: &str) -> &'a Value {
        full.split('.').fold(schema, |section, name| &section["properties"][name])
    }

    /// The keys with a default, in the sections and in those inside them.
    fn with_default(schema: &Value, section: &str) -> Vec<String> {
        let keys = properties(schema).flat_map(|(name, key)| {
            let full = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
            let own = key.get("default").map(|_| full.clone());
            own.into_iter().chain(with_default(key, &full))
        });
        keys.collect()
    }

    #[test]
    fn every_key_that_is_read_is_described_in_plain_words() {
        let schema = schema();
        for key in keys() {
            let (section, _) = key.parts();
            for (name, _) in key.forms() {
                let about = &about(&schema, &format!("{section}.{name}"))["description"];
                let words = about.as_str().map_or(0, |text| text.split_whitespace().count());
                assert!(
                    words >= 4,
                    "config/bridge.yaml has no comment right above {section}.{name}: {about}"
                );
            }
            let about = about(&schema, section);
            assert_ne!(about["description"], "", "config/bridge.yaml has no comment right above {section}:");
            assert_eq!(about["additionalProperties"], false, "{section}");
        }
    }

    #[test]
    fn the_comment_above_a_key_is_what_is_said_about_it() {
        let schema = schema();
        let ziflow = &schema["properties"]["ziflow"]["properties"];
        assert_eq!(ziflow["timeout_secs"]["default"], 6);
        assert_eq!(ziflow["timeout_secs"]["maximum"], 300);
        assert_eq!(ziflow["update"]["enum"], json!(["changed_fields", "full_object"]));
        let key_user = json!({
            "description": "The e-mail address of that admin, whom Entra must not disable.",
            "type": "string",
            "pattern": r"^\S*@\S*$",
            "examples": ["scim-bridge@example.com"],
        });
        assert_eq!(ziflow["key_user_email"], key_user);
        assert!(ziflow["api_key_file"]["description"].as_str().unwrap().starts_with("The file that holds"));
        let not = &schema["properties"]["ziflow"]["not"];
        let pair = |one, other| json!({ "required": [one, other] });
        assert_eq!(not["anyOf"], json!([pair("api_key", "api_key_file"), pair("proxy", "proxy_file")]));
    }

    #[test]
    fn each_default_of_the_file_is_one_that_the_schema_names() {
        let defaults = Layer::from_file("config/bridge.yaml", BRIDGE_YAML, &mut Vec::new());
        let schema = schema();
        let mut named = with_default(&schema, "");
        named.sort();
        assert_eq!(named, defaults.values.keys().cloned().collect::<Vec<_>>());
    }
}
