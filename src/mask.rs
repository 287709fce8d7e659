//! What was said, as people may see it: without secrets in any case, without values unless those may be shown, and of bounded
//! length. Pure.

use serde_json::Value;

use crate::scim::schema::{GROUP_TYPE, USER_TYPE};
use crate::scim::words;

/// Whether values of people may be seen (`log.personal_data`). Secrets never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Values {
    #[default]
    Hidden,
    Shown,
}

/// Stands where something was left out.
const HIDDEN: char = '…';

/// So much of a text is shown, and of a member's name.
const TEXT_CHARS: usize = 300;
const NAME_CHARS: usize = 120;

/// Whatever has such a word in its name is a secret.
const SECRETS: [&str; 9] = [
    "password",
    "passwd",
    "apikey",
    "token",
    "secret",
    "credential",
    "authorization",
    "assertion",
    "privatekey",
];

/// JSON in a line of at most about so many bytes. It may end early, and is to be read, not parsed.
pub fn json(value: &Value, values: Values, most_bytes: usize) -> String {
    let mut out = Out { text: String::new(), most_bytes, values };
    // What has no name may be anything.
    out.value(value, "", !value.is_object());
    if out.is_full() {
        out.text.push(HIDDEN);
    }
    out.text
}

/// A path of SCIM's, a filter, or where an operation of a bulk request goes: what is meant, and not whom it names. An id
/// stands in the line of the operation, once it has turned out to be one.
pub fn texts_hidden(text: &str) -> String {
    match text.strip_prefix('/') {
        None => words::without_values(text),
        Some(endpoint) => match endpoint.split_once('/') {
            None => format!("/{}", shown_endpoint(endpoint)),
            Some((endpoint, _)) => format!("/{}/{HIDDEN}", shown_endpoint(endpoint)),
        },
    }
}

fn shown_endpoint(segment: &str) -> String {
    let types = [&USER_TYPE, &GROUP_TYPE];
    let is_known = types.iter().any(|rt| rt.endpoint.trim_start_matches('/').eq_ignore_ascii_case(segment));
    if is_known { segment.to_owned() } else { HIDDEN.to_string() }
}

/// The name of a member: an attribute's that SCIM does not know may be what is wrong; more than a name is a path, if anything.
fn name_hidden(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    if name.chars().all(is_plain) { name.to_owned() } else { texts_hidden(name) }
}

/// The path of a request with its query, without secrets.
pub fn target(path_and_query: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else { return path_and_query.to_owned() };
    let speaks_of_secret =
        |text: &str| is_secret(&percent_encoding::percent_decode_str(text).decode_utf8_lossy());
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if speaks_of_secret(name) || speaks_of_secret(value) => {
            format!("{name}={HIDDEN}")
        }
        _ => pair.to_owned(),
    });
    format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
}

/// Whether a name, or a text that may be JSON or a path itself, speaks of a secret.
fn is_secret(text: &str) -> bool {
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    SECRETS.iter().any(|word| letters.contains(word))
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}{HIDDEN}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

struct Out {
    text: String,
    most_bytes: usize,
    values: Values,
}

impl Out {
    fn is_full(&self) -> bool {
        self.text.len() >= self.most_bytes
    }

    /// `name` is that of the member in which the value stands; `is_secret`: whether it must not be seen in any case.
    fn value(&mut self, value: &Value, name: &str, is_secret: bool) {
        if self.is_full() {
            return;
        }
        match value {
            Value::Object(members) => {
                // The value of an operation is as secret as what its path names.
                let path = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("path"));
                let of_secret = path.and_then(|(_, path)| path.as_str()).is_some_and(self::is_secret);
                self.text.push('{');
                for (number, (name, inside)) in members.iter().enumerate() {
                    if self.is_full() {
                        break;
                    }
                    self.comma(number);
                    let secret =
                        is_secret || self::is_secret(name) || of_secret && name.eq_ignore_ascii_case("value");
                    let shown = cut(name, NAME_CHARS);
                    let shown = if self.values == Values::Hidden { name_hidden(&shown) } else { shown };
                    self.text.push_str(&Value::from(shown).to_string());
                    self.text.push(':');
                    self.value(inside, name, secret);
                }
                self.text.push('}');
            }
            Value::Array(items) => {
                self.text.push('[');
                for (number, item) in items.iter().enumerate() {
                    if self.is_full() {
                        break;
                    }
                    self.comma(number);
                    self.value(item, name, is_secret);
                }
                self.text.push(']');
            }
            _ if is_secret => self.text.push(HIDDEN),
            Value::Null | Value::Bool(_) => self.text.push_str(&value.to_string()),
            Value::Number(_) if self.values == Values::Shown => self.text.push_str(&value.to_string()),
            Value::Number(_) => self.text.push(HIDDEN),
            Value::String(text) => {
                let shown = self.text_shown(text, name);
                self.text.push_str(&Value::from(shown).to_string());
            }
        }
    }

    fn comma(&mut self, number: usize) {
        if number > 0 {
            self.text.push(',');
        }
    }

    fn text_shown(&self, text: &str, name: &str) -> String {
        let is = |known: &[&str]| known.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is(&["path"]) && (self.values == Values::Hidden || is_secret(text)) {
            return cut(&texts_hidden(text), TEXT_CHARS);
        }
        // What looks like a secret's name inside a text may have the secret beside it.
        let may_show = match self.values {
            Values::Shown => is(&["schemas"]) || !is_secret(text),
            // Words of SCIM's and of Ziflow's, and not of anybody's.
            Values::Hidden => is(&["op", "method", "roles", "schemas"]) && is_word(text),
        };
        if may_show { cut(text, TEXT_CHARS) } else { HIDDEN.to_string() }
    }
}

/// `replace`, `ZiflowManager`, `urn:ietf:params:scim:api:messages:2.0:PatchOp`.
fn is_word(text: &str) -> bool {
    let is_urn =
        text.starts_with("urn:ietf:params:scim:") && text.len() <= NAME_CHARS && !text.contains([' ', '@']);
    is_urn || (text.len() <= 32 && text.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOM: usize = 10_000;

    fn shown(value: &Value) -> (String, String) {
        (json(value, Values::Hidden, ROOM), json(value, Values::Shown, ROOM))
    }

    #[test]
    fn values_are_hidden_and_what_they_are_about_is_seen() {
        let operations = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "jo@example.com"},
            {"op": "Remove", "path": "members[value eq \"auth0|1\"]"},
            {"op": "Replace", "path": "active", "value": false},
        ]});
        let (hidden, seen) = shown(&operations);
        for part in [
            "PatchOp",
            "Replace",
            r#"emails[type eq \"work\"].value"#,
            r#"members[value eq \"…\"]"#,
            "false",
            r#""value":"…""#,
        ] {
            assert!(hidden.contains(part), "{part} is not in {hidden}");
        }
        assert!(!hidden.contains("jo@") && !hidden.contains("auth0"), "{hidden}");
        assert!(seen.contains("jo@example.com") && seen.contains("auth0|1"), "{seen}");
        let (hidden, seen) =
            shown(&json!({"first_name": "Jo", "roles": ["user", "Jo Lee"], "n": 7, "jo@example.com": null}));
        assert_eq!(hidden, r#"{"first_name":"…","roles":["user","…"],"n":…,"…":null}"#);
        assert_eq!(seen, r#"{"first_name":"Jo","roles":["user","Jo Lee"],"n":7,"jo@example.com":null}"#);
    }

    #[test]
    fn secrets_are_hidden_whatever_may_be_shown() {
        let secret = "Pa55";
        for value in [
            json!({"PassWord": secret}),
            json!({"api_key": secret}),
            json!({"api-key": [secret, {"value": secret}]}),
            json!({"client_secret": 55, "x": {"access_token": secret}}),
            json!({"urn:ietf:params:scim:schemas:core:2.0:User:password": secret}),
            json!({"op": "replace", "value": secret, "path": "password"}),
            json!({"op": "replace", "value": [{"value": secret}], "PATH": "urn:x:PASSWORD"}),
            json!({"op": "remove", "path": format!("password[value eq \"{secret}\"]")}),
            json!({"filter": format!("password eq \"{secret}\"")}),
            json!([secret, {"x": secret}]),
            json!(secret),
            json!({"value": format!("{{\"api_key\":\"{secret}\"}}")}),
        ] {
            let (hidden, seen) = shown(&value);
            assert!(!hidden.contains("55") && !seen.contains("55"), "{hidden} {seen}");
        }
        assert_eq!(target("/Users?filter=password+eq+%22Pa55%22&count=1"), "/Users?filter=…&count=1");
        assert_eq!(target("/Users?filter=p%61ssword+eq+%22Pa55%22"), "/Users?filter=…");
        assert_eq!(target("/Users?access_token=Pa55&x"), "/Users?access_token=…&x");
        assert_eq!(target("/Users/1"), "/Users/1");
    }

    #[test]
    fn it_ends_where_there_is_no_room() {
        let list = json!({"list": vec!["x".repeat(1000); 1000], "y": 1});
        for values in [Values::Hidden, Values::Shown] {
            let text = json(&list, values, 2000);
            assert!((2000..3000).contains(&text.len()) && text.ends_with('…'), "{} bytes", text.len());
        }
        let deep = (0..100).fold(json!("x"), |inside, _| json!({ "y": inside }));
        assert!(json(&deep, Values::Shown, 50).len() < 300);
    }

    #[test]
    fn paths_name_nobody() {
        for (path, shown) in [
            ("/Users/jo%40example.com", "/Users/…"),
            ("/Users/jo.lee", "/Users/…"),
            ("/users/bulkId:jo.lee", "/users/…"),
            ("/Groups/1/2", "/Groups/…"),
            ("/Users", "/Users"),
            ("/jo.lee", "/…"),
            ("//Users/jo.lee", "/…/…"),
            ("Users/jo.lee", "…"),
            ("https://x/Users/jo.lee", "…"),
            ("userName eq Jo Lee", "userName eq … …"),
            ("emails[type eq \"work\"].value", "emails[type eq \"work\"].value"),
        ] {
            assert_eq!(texts_hidden(path), shown);
        }
        let bulk =
            json!({"method": "PUT", "path": "/Users/jo.lee", "bulkId": "jo.lee", "jo.lee": {"Jo Lee": "x"}});
        let hidden = json(&bulk, Values::Hidden, ROOM);
        assert_eq!(hidden, r#"{"method":"PUT","path":"/Users/…","bulkId":"…","…":{"… …":"…"}}"#);
        assert!(json(&bulk, Values::Shown, ROOM).contains("/Users/jo.lee"));
    }
}
