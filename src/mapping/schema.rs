//! The JSON Schema of mapping.yaml, for editors: the keys of the reader (`keys.rs`) and Ziflow's field catalogue. It
//! tells the forms that the reader takes from those that it refuses; whether the parts fit each other, and whether
//! SCIM has such an attribute, only `check` knows.

use serde_json::{Map, Value, json};

use super::keys::{self, DIRECTIONS, LENGTH, OTHERWISE, SOURCES, about, names};
use crate::ziflow::model::{ADMIN, Field, FieldType, LITE_USER, ROLES};

/// A text with more in it than blanks.
const FILLED: &str = r"\S";

/// Attributes that Entra sends or can send, for an editor to offer: few, since it also shows them all.
const PATHS: &[&str] = &[
    "userName",
    "name.givenName",
    "name.familyName",
    "emails[type eq \"work\"].value",
    "phoneNumbers[type eq \"work\"].value",
    "title",
    "userType",
    "preferredLanguage",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization",
];

/// Conditions, for an editor to offer.
const CONDITIONS: &[&str] = &[
    "userType eq \"Contractor\"",
    "roles.value eq \"ZiflowAdmin\"",
    "userName ew \"@example.com\"",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"Design\"",
];

/// Draft 7 of JSON Schema, which editors know best.
pub fn schema() -> Value {
    let file = described(keys::FILE, |key| match key {
        "user" => user(),
        "scim" => fills(),
        "groups" => groups(),
        _ => json!({ "type": "array", "items": example() }),
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:ziflow-scim-bridge:mapping.schema.json",
        "title": "mapping.yaml",
        "description": "How people in Entra become people in Ziflow, and back.",
        "type": "object",
        "properties": file,
        "additionalProperties": false,
        "required": ["user"],
        "definitions": definitions(),
    })
}

/// What stands in several places: what some keys take at every field, and the values of each field.
fn definitions() -> Map<String, Value> {
    let shared = [
        ("from", one_or_more(&json!({ "type": "string", "pattern": FILLED, "examples": PATHS }))),
        ("template", template(&["{name.givenName} {name.familyName}"])),
        ("transform", transforms()),
        ("only", one_or_more(&json!({ "type": "string", "pattern": FILLED, "examples": ["*@example.com"] }))),
    ];
    let shared = shared.into_iter().map(|(key, schema)| (key.to_owned(), schema));
    let values = Field::ALL.iter().map(|field| (format!("value_of_{field}"), literal(*field)));
    shared.chain(values).collect()
}

/// In `allOf`, since draft 7 ignores whatever stands beside a reference.
fn defined(name: &str) -> Value {
    json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] })
}

/// A value that an operator writes for the field.
fn value_of(field: Field) -> Value {
    json!({ "$ref": format!("#/definitions/value_of_{field}") })
}

/// Each key with what it takes and what it is for.
fn described(keys: keys::Keys, takes: impl Fn(&str) -> Value) -> Map<String, Value> {
    let key = |(name, about): &(&str, &str)| ((*name).to_owned(), with_description(about, takes(name)));
    keys.iter().map(key).collect()
}

/// The description goes first, since people read it first.
fn with_description(about: &str, schema: Value) -> Value {
    let mut described = Map::new();
    described.insert("description".to_owned(), about.into());
    if let Value::Object(schema) = schema {
        described.extend(schema);
    }
    Value::Object(described)
}

fn user() -> Value {
    let field = |field: &Field| (field.name().to_owned(), with_description(about(*field), entry(*field)));
    json!({
        "type": "object",
        "properties": Field::ALL.iter().map(field).collect::<Map<_, _>>(),
        "additionalProperties": false,
        "required": [Field::Email.name()],
    })
}

/// What stands at a field.
fn entry(field: Field) -> Value {
    let mut properties = described(keys::FIELD, |key| takes(field, key));
    properties.retain(|key, _| fits(field, key));
    let sources = SOURCES.iter().filter(|source| fits(field, source));
    let sources: Vec<Value> = sources.map(|source| json!({ "required": [source] })).collect();
    let text = json!({ "anyOf": [{ "required": ["from"] }, { "required": ["template"] }] });
    let mut conditions = json!({
        "transform": text,
        "values": ["from"],
        "only": { "allOf": [text, { "not": { "required": ["values"] } }] },
        "default": text,
        "required": text,
        "otherwise": { "not": { "required": ["value"] } },
    });
    if let Some(conditions) = conditions.as_object_mut() {
        conditions.retain(|key, _| fits(field, key));
    }
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": sources,
        "dependencies": conditions,
    })
}

/// Whether the key can have an effect on the field. Everybody needs an address of their own, so nothing fixed makes one.
fn fits(field: Field, key: &str) -> bool {
    match key {
        "owns" => field.is_list(),
        "value" | "rules" | "default" => field != Field::Email,
        _ => true,
    }
}

fn takes(field: Field, key: &str) -> Value {
    match key {
        "value" | "default" => json!({ "allOf": [value_of(field)] }),
        "rules" => json!({ "type": "array", "minItems": 1, "items": rule(field) }),
        "values" => json!({ "type": "object", "minProperties": 1, "additionalProperties": value_of(field) }),
        "otherwise" => json!({ "anyOf": [{ "enum": OTHERWISE }, value_of(field)] }),
        "direction" => json!({ "enum": DIRECTIONS.iter().map(|(word, _)| *word).collect::<Vec<_>>() }),
        "required" | "owns" => json!({ "type": "boolean" }),
        key => defined(key),
    }
}

/// One of a kind, or a list of them.
fn one_or_more(one: &Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
}

fn template(examples: &[&str]) -> Value {
    json!({ "type": "string", "pattern": r"\{", "examples": examples })
}

fn literal(field: Field) -> Value {
    let text = json!({ "type": "string", "pattern": FILLED });
    match field.field_type() {
        FieldType::Text => text,
        FieldType::Boolean => json!({ "type": "boolean" }),
        FieldType::Choice(words) => json!({ "enum": words }),
        FieldType::TimeZone => {
            json!({ "type": "string", "pattern": FILLED, "examples": ["Europe/Berlin", "UTC"] })
        }
        FieldType::Texts => one_or_more(&text),
        FieldType::Choices(words) => choices(words),
    }
}

/// One of these words, or a list of them in which `lite_user` stands alone.
fn choices(words: &[&str]) -> Value {
    json!({
        "anyOf": [{ "enum": words }, {
            "type": "array",
            "minItems": 1,
            "items": { "enum": words },
            "if": { "contains": { "const": LITE_USER } },
            "then": { "maxItems": 1 },
        }],
    })
}

fn rule(field: Field) -> Value {
    let properties = described(keys::RULE, |key| match key {
        "when" => json!({ "type": "string", "pattern": FILLED, "examples": CONDITIONS }),
        _ => json!({ "allOf": [value_of(field)] }),
    });
    json!({ "type": "object", "properties": properties, "additionalProperties": false, "required": ["value"] })
}

fn transforms() -> Value {
    let words: Vec<String> = keys::WORDS.iter().map(|(word, about)| format!("`{word}` {about}")).collect();
    let word = json!({ "description": format!("{}.", words.join("; ")), "enum": names(keys::WORDS) });
    let steps = described(keys::STEPS, |step| match step {
        "truncate" => json!({ "type": "integer", "minimum": LENGTH.start(), "maximum": LENGTH.end() }),
        _ => json!({
            "type": "object",
            "properties": described(keys::REPLACE, |_| json!({ "type": "string" })),
            "additionalProperties": false,
            "required": names(keys::REPLACE),
        }),
    });
    let step = json!({
        "type": "object",
        "properties": steps,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    });
    json!({ "anyOf": [word, step, { "type": "array", "items": { "anyOf": [word, step] } }] })
}

/// `scim`: attributes and their templates.
fn fills() -> Value {
    let template = template(&["{email}", "{first_name} {last_name}"]);
    let about = "A text with Ziflow's fields in braces, as in \"{first_name} {last_name}\".";
    json!({ "type": ["object", "null"], "additionalProperties": with_description(about, template) })
}

/// `groups`: an object id may grant every role, a name every role but `admin`.
fn groups() -> Value {
    let roles: Vec<&str> = ROLES.iter().copied().filter(|role| *role != ADMIN).collect();
    let hex = "[0-9A-Fa-f]";
    let object_id = format!("^{hex}{{8}}-{hex}{{4}}-{hex}{{4}}-{hex}{{4}}-{hex}{{12}}$");
    json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": FILLED },
        "patternProperties": {
            object_id: group("What members of the group with this object id are granted.", &json!({ "allOf": [value_of(Field::Roles)] })),
        },
        "additionalProperties": group("What members of the group by this name are granted.", &choices(&roles)),
    })
}

/// What a group grants.
fn group(about: &str, roles: &Value) -> Value {
    let properties = described(keys::GROUP, |key| match key {
        "roles" => roles.clone(),
        _ => one_or_more(&json!({ "type": "string", "pattern": FILLED, "examples": ["{displayName}"] })),
    });
    let takes =
        json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false });
    with_description(about, takes)
}

fn example() -> Value {
    let properties = described(keys::EXAMPLE, |key| match key {
        "name" => json!({ "type": "string" }),
        "scim" => json!({ "type": "object" }),
        "ziflow" => people(),
        "refused" => one_or_more(&json!({ "type": "string", "pattern": FILLED })),
        _ => json!({ "type": ["object", "null"] }),
    });
    let made = json!({
        "required": ["ziflow"],
        "anyOf": [{ "required": ["scim"] }, { "required": ["to_scim"] }],
        "not": { "required": ["refused"] },
    });
    let refused = json!({
        "required": ["scim", "refused"],
        "not": { "anyOf": [{ "required": ["ziflow"] }, { "required": ["to_scim"] }] },
    });
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": [made, refused],
    })
}

/// A person in Ziflow; null stands for nothing at all.
fn people() -> Value {
    let field = |field: &Field| {
        let value = json!({ "anyOf": [value_of(*field), { "type": "null" }] });
        (field.name().to_owned(), with_description(about(*field), value))
    };
    json!({
        "type": ["object", "null"],
        "properties": Field::ALL.iter().map(field).collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema of a key, with the way to it.
    fn all_keys(schema: &Value, way: &str) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, key) in properties {
                found.push((format!("{way}.{name}"), key.clone()));
            }
        }
        let parts: Vec<(String, &Value)> = match schema {
            Value::Object(map) => map.iter().map(|(name, part)| (format!("{way}.{name}"), part)).collect(),
            Value::Array(items) => items.iter().map(|part| (way.to_owned(), part)).collect(),
            _ => Vec::new(),
        };
        found.extend(parts.iter().flat_map(|(way, part)| all_keys(part, way)));
        found
    }

    #[test]
    fn every_key_is_described_in_plain_words() {
        let keys = all_keys(&schema(), "");
        assert!(keys.len() > 100, "{}", keys.len());
        for (way, key) in keys {
            let words = key["description"].as_str().unwrap_or_default().split_whitespace().count();
            assert!(words >= 3, "{way}: {key}");
        }
    }

    #[test]
    fn every_key_of_the_reader_is_there() {
        let schema = schema();
        let fields = schema["properties"]["user"]["properties"].as_object().unwrap();
        assert_eq!(fields.len(), Field::ALL.len());
        for key in names(keys::FIELD) {
            assert!(fields.values().any(|field| field["properties"].get(key).is_some()), "{key}");
        }
        for key in names(keys::FILE) {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
        let email = fields["email"]["properties"].as_object().unwrap();
        assert!(
            ["value", "rules", "default", "owns"].iter().all(|key| !email.contains_key(*key)),
            "{email:?}"
        );
    }

    #[test]
    fn a_group_by_name_grants_every_role_but_admin() {
        let groups = &schema()["properties"]["groups"];
        let by_id = groups["patternProperties"].as_object().unwrap().values().next().unwrap();
        assert_eq!(by_id["properties"]["roles"]["allOf"][0]["$ref"], "#/definitions/value_of_roles");
        let by_name = &groups["additionalProperties"];
        let known = &by_name["properties"]["roles"]["anyOf"][0]["enum"];
        assert_eq!(*known, json!(["manager", "billing", "user", "lite_user"]));
        for declaration in [by_id, by_name] {
            let keys: Vec<&String> = declaration["properties"].as_object().unwrap().keys().collect();
            assert_eq!(keys, ["roles", "group"]);
        }
    }

    #[test]
    fn a_field_takes_what_ziflow_can_hold() {
        assert_eq!(literal(Field::Active), json!({ "type": "boolean" }));
        assert_eq!(literal(Field::Language)["enum"][5], "pt_br");
        let roles = literal(Field::Roles);
        assert_eq!(roles["anyOf"][0]["enum"], roles["anyOf"][1]["items"]["enum"]);
    }
}
