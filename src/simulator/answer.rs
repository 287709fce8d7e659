//! An answer before it is sent: status, body, headers, and how much of it the caller gets to see.

use std::time::{Duration, SystemTime};

use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::quirks::ErrorBody;

/// What the caller will be told.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<&'static str>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Vec<u8>,
    pub(super) delivery: Delivery,
}

/// What becomes of an answer on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Late(Duration),
    /// Half of the body under the whole body's `Content-Length`.
    Truncated,
    /// Nothing, until the time is over and the connection is closed.
    Never(Option<Duration>),
    /// The connection is closed in good order.
    Closed,
    /// The connection is cut off (TCP RST).
    Reset,
}

/// Why a call is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// When to come back, in either form of RFC 9110 section 10.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Seconds(u64),
    /// A date that many seconds ahead.
    Date(u64),
}

impl Answer {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Vec::new(), delivery: Delivery::Whole }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::typed(status, "application/json", body.to_string())
    }

    pub(super) fn html(status: StatusCode) -> Self {
        let body = format!("<!doctype html><title>{status}</title><h1>{status}</h1>\n");
        Self::typed(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn refusal(refusal: &Refusal, shape: ErrorBody) -> Self {
        let Refusal { status, text } = refusal;
        match shape {
            ErrorBody::Message => Self::json(*status, &json!({ "message": text })),
            ErrorBody::ErrorObject => {
                Self::json(*status, &json!({ "error": { "code": status.as_u16(), "message": text } }))
            }
            ErrorBody::ErrorsList => Self::json(*status, &json!({ "errors": [{ "message": text }] })),
            ErrorBody::Text => Self::typed(*status, "text/plain; charset=utf-8", text.clone()),
            ErrorBody::Html => Self::html(*status),
            ErrorBody::Empty => Self::empty(*status),
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn delivered(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    fn typed(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self { content_type: Some(content_type), body: body.into_bytes(), ..Self::empty(status) }
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

impl RetryAfter {
    pub(super) fn header_value(self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Date(seconds) => httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds)),
        }
    }
}
