//! SCIM errors (RFC 7644 section 3.12): a status, sometimes a `scimType`, and a sentence that an
//! administrator reads in Entra's provisioning log. It names the attribute, the reason and the remedy.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::scim::words;

/// Schema URN of an error body.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// Detail error keywords of RFC 7644 table 9 and of RFC 9865.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimType {
    InvalidFilter,
    TooMany,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    InvalidCursor,
    ExpiredCursor,
    InvalidCount,
}

impl ScimType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

/// What a client is told when a request cannot be answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: StatusCode,
    pub scim_type: Option<ScimType>,
    pub detail: String,
    /// When it is worth asking again; becomes `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error without a `scimType`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into(), retry_after: None }
    }

    fn bad_request(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self { scim_type: Some(scim_type), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// 400: the filter cannot be read, or names what cannot be filtered.
    pub fn invalid_filter(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidFilter, detail)
    }

    /// 400: the filter or the result is larger than this service handles.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::TooMany, detail)
    }

    /// 400: the change is not one this attribute or this person allows.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::Mutability, detail)
    }

    /// 400: the body is not what this operation takes.
    pub fn invalid_syntax(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidSyntax, detail)
    }

    /// 400: the path of a PATCH operation cannot be read or names no known attribute.
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidPath, detail)
    }

    /// 400: the path is fine, but nothing in this resource matches it.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::NoTarget, detail)
    }

    /// 400: a required value is missing, or a value does not fit.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidValue, detail)
    }

    /// 400: the cursor is none of this service's, or belongs to another query.
    pub fn invalid_cursor(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidCursor, detail)
    }

    /// 400: the list that the cursor stands in is not kept any more.
    pub fn expired_cursor(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::ExpiredCursor, detail)
    }

    /// 400: `count` of a request with a cursor is no number of resources.
    pub fn invalid_count(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidCount, detail)
    }

    /// 409: somebody else has this `userName`.
    pub fn uniqueness(detail: impl Into<String>) -> Self {
        Self { scim_type: Some(ScimType::Uniqueness), ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// 404: there is no such resource or endpoint.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Says when it is worth asking again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The body; `request_id` lets an operator find the log line from Entra's provisioning log.
    pub fn to_json(&self, request_id: &str) -> Value {
        let mut body = json!({
            "schemas": [ERROR_SCHEMA],
            "status": self.status.as_str(),
            "detail": format!("{} (request-id {request_id})", self.detail),
        });
        if let (Some(scim_type), Some(map)) = (self.scim_type, body.as_object_mut()) {
            map.insert("scimType".into(), scim_type.as_str().into());
        }
        body
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scim_type {
            Some(scim_type) => write!(f, "{} {}: {}", self.status.as_u16(), scim_type.as_str(), self.detail),
            None => write!(f, "{}: {}", self.status.as_u16(), self.detail),
        }
    }
}

impl std::error::Error for Error {}

/// The detail is for the administrator who sees the person anyway; the log shall not name anybody. Values stand in
/// quotes or backticks there, names of settings and fields in neither, and addresses are known by their sign. What SCIM
/// itself calls so is nobody's value: which attribute was meant is often all there is to know.
pub fn without_values(text: &str) -> String {
    let mut out = String::new();
    let (mut quote, mut before) = (None, ' ');
    let mut value = String::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        // A quote within a word is the value's own, and ends nothing.
        let within = |next: Option<&char>| next.is_some_and(|next| next.is_alphanumeric());
        match quote {
            None => {
                out.push(c);
                if (c == '"' || c == '`') && !before.is_alphanumeric() {
                    quote = Some(c);
                    value.clear();
                }
            }
            Some(end) if c == end && !within(letters.peek()) => {
                out.push_str(if words::are_all(&value) { &value } else { "…" });
                out.push(c);
                quote = None;
            }
            Some(_) => value.push(c),
        }
        before = c;
    }
    let word = |word| if str::contains(word, '@') { "…" } else { word };
    out.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_names_nobody() {
        for (detail, logged) in [
            ("userName: `jo@example.com` is taken", "userName: `…` is taken"),
            (
                "Ziflow refuses the values: \"Jo Lee is odd\"; correct",
                "Ziflow refuses the values: \"…\"; correct",
            ),
            ("the person jo@example.com is odd", "the person … is odd"),
            ("plain", "plain"),
            (
                "User has no attribute \"usrName\"; did you mean \"userName\"?",
                "User has no attribute \"…\"; did you mean \"userName\"?",
            ),
            (
                "`emails[type eq \"work\"].value` and `title eq \"x\"` are odd",
                "`emails[type eq \"work\"].value` and `…` are odd",
            ),
            ("userName: `` is taken", "userName: `…` is taken"),
            ("an open `quote", "an open `"),
            ("displayName: `Jo`Lee` and `the \"Jo` are taken", "displayName: `…` and `…` are taken"),
            ("it says \"the name \"Jo Lee\" is bad\"; correct", "it says \"…\" is bad\"; correct"),
        ] {
            assert_eq!(without_values(detail), logged);
        }
    }

    #[test]
    fn keywords_are_those_of_table_9() {
        let detail = || "d".to_owned();
        let table = [
            (Error::invalid_filter(detail()), 400, Some("invalidFilter")),
            (Error::too_many(detail()), 400, Some("tooMany")),
            (Error::uniqueness(detail()), 409, Some("uniqueness")),
            (Error::mutability(detail()), 400, Some("mutability")),
            (Error::invalid_syntax(detail()), 400, Some("invalidSyntax")),
            (Error::invalid_path(detail()), 400, Some("invalidPath")),
            (Error::no_target(detail()), 400, Some("noTarget")),
            (Error::invalid_value(detail()), 400, Some("invalidValue")),
            (Error::not_found(detail()), 404, None),
            (Error::new(StatusCode::BAD_GATEWAY, detail()), 502, None),
        ];
        for (error, status, keyword) in table {
            let told = (error.status.as_u16(), error.scim_type.map(ScimType::as_str));
            assert_eq!(told, (status, keyword), "{error}");
        }
    }

    /// RFC 7644 section 3.12: `status` is a text, and what does not apply is left out.
    #[test]
    fn a_body_is_what_the_rfc_asks() {
        let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
        let taken = Error::uniqueness("userName is taken");
        assert_eq!(
            taken.to_json("r1"),
            json!({"schemas": [urn], "status": "409", "scimType": "uniqueness", "detail": "userName is taken (request-id r1)"})
        );
        assert_eq!(taken.to_string(), "409 uniqueness: userName is taken");
        let gone = Error::not_found("no such user").retry_after(Duration::from_secs(3));
        assert_eq!(
            gone.to_json("r2"),
            json!({"schemas": [urn], "status": "404", "detail": "no such user (request-id r2)"})
        );
        assert_eq!(
            (gone.to_string().as_str(), gone.retry_after),
            ("404: no such user", Some(Duration::from_secs(3)))
        );
    }
}
