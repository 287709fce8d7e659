//! One HTTP exchange with Ziflow: through the limiter, to the configured origin only, with a deadline and a
//! cap on the answer. What an answer means is `client.rs`'s business.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::mask::Values;
use crate::ziflow::calls::{Made, Tally};
use crate::ziflow::error::Error;
use crate::ziflow::figures::Ledger;
use crate::ziflow::hop::Hop;
use crate::ziflow::origin::{self, Way};
use crate::ziflow::queue::Lane;
use crate::ziflow::rate_limit::{Permit, RateLimit};
use crate::ziflow::request::Request;

/// How much of an error text is repeated: enough to read, too little to fill a log.
const MESSAGE_CHARS: usize = 500;

/// A page holds a hundred people and nobody waits for it alone: it may take so many times as long as other calls.
const PAGE_TIMEOUTS: u32 = 3;

/// How the key travels.
const APIKEY: HeaderName = HeaderName::from_static("apikey");

/// `ziflow.*` of the settings, as far as they concern the connection.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub base_url: String,
    /// Not read with the others: it may stand in a file of its own.
    #[serde(skip)]
    pub api_key: SecretString,
    pub connect_timeout_secs: u64,
    pub timeout_secs: u64,
    pub max_answer_bytes: usize,
    /// Not read with the others: files and secrets are in it.
    #[serde(skip)]
    pub way: Way,
    /// Whether values are kept of what is said, for those who watch; `log.personal_data` says so.
    #[serde(skip)]
    pub values: Values,
}

/// An API key that a header can carry. It is never shown.
#[derive(Clone, Debug)]
pub struct ApiKey(HeaderValue);

impl ApiKey {
    /// Fails with a sentence for the operator.
    pub fn new(key: &SecretString) -> Result<Self, String> {
        let mut header = HeaderValue::from_str(key.expose_secret())
            .map_err(|_invalid| "ziflow.api_key holds characters that no HTTP header can carry".to_owned())?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

/// Counts the keys that have been in use, so that a word about one is not taken for a word about the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyNumber(u64);

impl KeyNumber {
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What one SCIM request may spend on Ziflow, and what it has spent.
#[derive(Clone, Debug)]
pub struct Call {
    deadline: Instant,
    is_listing: bool,
    is_in_the_background: bool,
    made: Arc<AtomicU32>,
    /// What was asked, call by call.
    calls: Tally,
    /// When the last request left: what it brought is as old as that.
    left: Arc<Mutex<Option<Instant>>>,
    /// The key that has been answered, or has written: another one may be another account's.
    key: Arc<OnceLock<KeyNumber>>,
}

impl Call {
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            is_listing: false,
            is_in_the_background: false,
            made: Arc::default(),
            calls: Tally::default(),
            left: Arc::default(),
            key: Arc::default(),
        }
    }

    /// The same for a page of a list: it lets people go first.
    pub(super) fn for_listing(deadline: Instant) -> Self {
        Self { is_listing: true, ..Self::until(deadline) }
    }

    /// The same for work of the bridge's own.
    pub fn in_the_background(deadline: Instant) -> Self {
        Self { is_in_the_background: true, ..Self::until(deadline) }
    }

    /// Whether no request has asked for it.
    pub fn is_in_the_background(&self) -> bool {
        self.is_in_the_background
    }

    fn lane(&self) -> Lane {
        match (self.is_listing, self.made()) {
            (true, _) => Lane::Listing,
            (false, 0) => Lane::People,
            (false, _) => Lane::Begun,
        }
    }

    /// Whether people's requests go first.
    pub(super) fn is_listing(&self) -> bool {
        self.is_listing
    }

    /// When the last request left; now if none has.
    pub(super) fn last_left(&self) -> Instant {
        self.left().unwrap_or_else(Instant::now)
    }

    /// Whether Ziflow has been asked, by this call or by an equal one that it shared.
    pub fn has_asked(&self) -> bool {
        self.left().is_some()
    }

    /// Another call has brought what this one wanted.
    pub(super) fn has_learned_from(&self, other: &Self) {
        if let Some(key) = other.key.get() {
            self.keep_to(*key);
        }
        let left = other.left();
        let mut own = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *own = (*own).max(left);
    }

    fn left(&self) -> Option<Instant> {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on this key and no other.
    pub fn keep_to(&self, key: KeyNumber) {
        self.key.get_or_init(|| key);
    }

    /// Whether it must not go on with this key.
    pub(super) fn excludes(&self, key: KeyNumber) -> bool {
        self.key.get().is_some_and(|kept| *kept != key)
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How many requests have left for Ziflow.
    pub fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    /// What has been asked, and what became of it.
    pub fn calls(&self) -> &Tally {
        &self.calls
    }

    /// The same for a part of the request, whose calls can be told from those of others.
    #[must_use]
    pub fn for_part(&self) -> Self {
        Self { calls: self.calls.part(), ..self.clone() }
    }

    pub(super) fn note(&self, made: Made) {
        self.calls.add(made);
    }

    /// Whether a wait of this length still leaves time for an answer.
    pub fn has_time_for(&self, wait: Duration) -> bool {
        Instant::now().checked_add(wait).is_some_and(|then| then < self.deadline)
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    /// Where a redirect points, which is not followed: scheme and host.
    pub(super) redirect: Option<String>,
    pub(super) body: Body,
    /// When the request left.
    pub(super) left: Instant,
    /// The key that the request carried.
    pub(super) key: KeyNumber,
}

#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Json(Value),
    /// Something else; an HTML page comes from a gateway more often than from Ziflow.
    Text {
        text: String,
        html: bool,
    },
    /// The connection ended, or the cap was reached, before the body did.
    Cut(String),
}

/// No answer came.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    /// Whether the request may have reached Ziflow all the same.
    pub(super) may_have_arrived: bool,
    pub(super) timed_out: bool,
    /// When the request left.
    pub(super) left: Instant,
}

/// No answer, or no turn.
#[derive(Debug)]
pub(super) enum Failure {
    Lost(Lost),
    /// The limiter's word; nothing was sent.
    NotSent(Error),
}

#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    key: ArcSwap<(KeyNumber, ApiKey)>,
    base: Url,
    timeout: Duration,
    max_answer_bytes: usize,
    hop: Hop,
    pub(super) limit: Arc<RateLimit>,
    pub(super) ledger: Ledger,
}

impl Transport {
    /// Fails with a sentence for the operator when the settings cannot be used.
    pub(super) fn new(settings: &Settings, limit: Arc<RateLimit>) -> Result<Self, String> {
        let base = origin::parse(&settings.base_url)?;
        let key = ApiKey::new(&settings.api_key)?;
        Ok(Self {
            hop: Hop { proxy: settings.way.proxy.clone(), base: base.clone() },
            http: origin::client(&base, settings)?,
            key: ArcSwap::from_pointee((KeyNumber::default(), key)),
            base,
            timeout: Duration::from_secs(settings.timeout_secs),
            max_answer_bytes: settings.max_answer_bytes,
            limit,
            ledger: Ledger::default(),
        })
    }

    /// From now on requests carry this key; those under way end with the one they left with.
    pub(super) fn put_key(&self, number: KeyNumber, key: ApiKey) {
        self.key.store(Arc::new((number, key)));
    }

    /// Waits for a turn, sends if it still may, and reads the whole answer.
    pub(super) async fn exchange(
        &self,
        call: &Call,
        request: &Request<'_>,
        may_leave: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Answer, Failure> {
        let url = self.url(request)?;
        let permit = self.limit.enter(call.lane(), call.deadline).await.map_err(Failure::NotSent)?;
        may_leave().map_err(Failure::NotSent)?;
        let key = self.key.load_full();
        if call.excludes(key.0) {
            return Err(Failure::NotSent(Error::key_changed()));
        }
        if request.method != Method::GET {
            call.keep_to(key.0);
        }
        let (_headers, answer) = self.deliver(call, (url, request), permit, Some((key.0, &key.1))).await?;
        Ok(answer)
    }

    /// One request with this key or with none, and the headers of the answer as well: for `doctor`, which judges for
    /// itself. It leaves through the same door and bears the same caps.
    pub(super) async fn look(
        &self,
        call: &Call,
        request: &Request<'_>,
        key: Option<&ApiKey>,
    ) -> Result<(HeaderMap, Answer), Failure> {
        let url = self.url(request)?;
        let permit = self.limit.enter(call.lane(), call.deadline).await.map_err(Failure::NotSent)?;
        self.deliver(call, (url, request), permit, key.map(|key| (KeyNumber::default(), key))).await
    }

    /// Nobody has an id that could not stand in a path.
    fn url(&self, request: &Request<'_>) -> Result<Url, Failure> {
        request.url(&self.base).ok_or(Failure::NotSent(Error::NotFound))
    }

    /// The host and the port that connections are made to; an IPv6 address stands without brackets.
    pub(super) fn next_hop(&self) -> (String, u16) {
        self.hop.next()
    }

    /// Sends within the time there is, and reads the whole answer.
    async fn deliver(
        &self,
        call: &Call,
        (url, request): (Url, &Request<'_>),
        permit: Permit,
        key: Option<(KeyNumber, &ApiKey)>,
    ) -> Result<(HeaderMap, Answer), Failure> {
        let timeout = if call.is_listing { self.timeout * PAGE_TIMEOUTS } else { self.timeout };
        let end = call.deadline.min(Instant::now() + timeout);
        let left = permit.left();
        call.made.fetch_add(1, Ordering::Relaxed);
        *call.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        let mut departure = self.ledger.open(format!("{} {}", request.method, request.template()), left);
        let outcome = match timeout_at(end, self.send(key, left, (url, request))).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Lost {
                reason: self.hop.told(&error),
                may_have_arrived: !error.is_connect(),
                timed_out: error.is_timeout(),
                left,
            }),
            Err(_elapsed) => Err(Lost {
                reason: format!("{} {}: no answer in time", request.method, request.route(&self.base)),
                may_have_arrived: true,
                timed_out: true,
                left,
            }),
        };
        departure.ended(outcome.as_ref().map(|(_headers, answer)| answer));
        outcome.map_err(Failure::Lost)
    }

    async fn send(
        &self,
        key: Option<(KeyNumber, &ApiKey)>,
        left: Instant,
        (url, request): (Url, &Request<'_>),
    ) -> Result<(HeaderMap, Answer), reqwest::Error> {
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some((_, ApiKey(key))) = key {
            builder = builder.header(APIKEY, key);
        }
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        let mut response = builder.send().await?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let retry_after = headers.get(RETRY_AFTER).and_then(retry_after);
        let retry_after = retry_after.map(|wait| wait.min(self.limit.max_pause()));
        let redirect = status.is_redirection().then(|| self.target(&headers));
        let secret = key.map(|(_, ApiKey(key))| String::from_utf8_lossy(key.as_bytes()));
        let body = self.read(response, is_html(&headers), secret.as_deref().unwrap_or_default()).await;
        let key = key.map(|(number, _)| number).unwrap_or_default();
        Ok((headers, Answer { status, retry_after, redirect: redirect.flatten(), body, left, key }))
    }

    /// The origin that a redirect points to: the rest of its URL may name somebody.
    fn target(&self, headers: &HeaderMap) -> Option<String> {
        let target = self.base.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
        target.host_str()?;
        Some(shorten(&target.origin().ascii_serialization()))
    }

    /// Reads the body up to the cap. A body that breaks off is an answer of its own: the status has arrived.
    /// A gateway may show in its error page what it was sent, and errors are repeated to others: the key is left out.
    async fn read(&self, mut response: reqwest::Response, html: bool, secret: &str) -> Body {
        let failed = !response.status().is_success();
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > self.max_answer_bytes => {
                    return Body::Cut(format!("more than {} bytes", self.max_answer_bytes));
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Body::Cut(self.hop.told(&error)),
            }
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Body::Empty;
        }
        match serde_json::from_slice(&bytes) {
            Ok(json) if failed => Body::Json(without(json, secret)),
            Ok(json) => Body::Json(json),
            Err(_not_json) => {
                let text = without_secret(&String::from_utf8_lossy(&bytes), secret);
                Body::Text { text: shorten(&text), html }
            }
        }
    }
}

fn without_secret(text: &str, secret: &str) -> String {
    if secret.is_empty() { text.to_owned() } else { text.replace(secret, "…") }
}

/// A JSON value whose texts do not hold the secret.
fn without(value: Value, secret: &str) -> Value {
    match value {
        Value::String(text) => Value::String(without_secret(&text, secret)),
        Value::Array(items) => items.into_iter().map(|item| without(item, secret)).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, without(value, secret))).collect(),
        other => other,
    }
}

impl Answer {
    /// Ziflow's own words about what is wrong, wherever they stand: its error format is not documented.
    /// Of an answer that is no error nothing is repeated: it may hold people and their API keys.
    pub(super) fn message(&self) -> String {
        let failed = self.status.is_client_error() || self.status.is_server_error();
        let text = match &self.body {
            Body::Text { html: true, .. } => "an HTML page".to_owned(),
            Body::Json(value) if failed => message_in(value).unwrap_or_default(),
            Body::Text { text, .. } if failed => text.clone(),
            Body::Json(_) => "JSON of another shape".to_owned(),
            Body::Text { .. } => "a text that is no JSON".to_owned(),
            Body::Empty => "an empty body".to_owned(),
            Body::Cut(reason) => format!("a body that broke off ({reason})"),
        };
        match text.trim() {
            "" => "no message".to_owned(),
            // It will stand in double quotes, by which the log knows what to leave out.
            text => shorten(before_keys(text)).replace('"', "'"),
        }
    }

    /// What came, without a word of it: for reasons that end in a log.
    pub(super) fn kind(&self) -> String {
        let body = match &self.body {
            Body::Text { html: true, .. } => "an HTML page",
            Body::Text { .. } => "a text",
            Body::Json(_) => "JSON",
            Body::Empty => "no body",
            Body::Cut(_) => "a body that broke off",
        };
        let status = self.status.as_u16();
        match &self.redirect {
            Some(target) => format!("HTTP {status}, a redirect to {target} that is not followed"),
            None => format!("HTTP {status} with {body}"),
        }
    }

    pub(super) fn is_html(&self) -> bool {
        matches!(self.body, Body::Text { html: true, .. })
    }
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
pub fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}

fn is_html(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.to_ascii_lowercase().contains("html"))
}

fn message_in(body: &Value) -> Option<String> {
    let text = |value: &Value| {
        value.as_str().or_else(|| value.get("message").and_then(Value::as_str)).map(str::to_owned)
    };
    let named = ["message", "error_description", "error"].iter().find_map(|name| text(body.get(name)?));
    named
        .or_else(|| text(body.get("errors")?.get(0)?))
        .or_else(|| ["detail", "title"].iter().find_map(|name| text(body.get(name)?)))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What stands before anything that looks like somebody's API key: a gateway may show what Ziflow had answered.
fn before_keys(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    let is_named = |at: &usize| {
        let name = lower.get(*at..).unwrap_or_default();
        let after = ["api_key", "apikey", "api-key"].iter().find_map(|word| name.strip_prefix(word));
        after.is_some_and(|after| after.trim_start_matches(['"', '\'', '\\', ' ']).starts_with([':', '=']))
    };
    let named = lower.match_indices("api").map(|(at, _)| at).find(is_named);
    named.and_then(|at| text.get(..at)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_somebodys_key_is_not_repeated() {
        for (told, repeated) in [
            ("the API key is missing or wrong", "the API key is missing or wrong"),
            ("apikey unknown, api", "apikey unknown, api"),
            (r#"wrong: {"email":"a","api_key":"k"}"#, r#"wrong: {"email":"a",""#),
            ("sent ApiKey: k", "sent "),
            (r#"x {\"api-key\" = 1}"#, r#"x {\""#),
        ] {
            assert_eq!(before_keys(told), repeated);
        }
    }

    #[test]
    fn the_key_is_left_out_of_what_is_repeated() {
        let told = json!({"message": "no key k3y", "errors": [{"detail": "k3y"}, 7]});
        assert_eq!(without(told, "k3y"), json!({"message": "no key …", "errors": [{"detail": "…"}, 7]}));
        assert_eq!(without_secret("apikey: k3y, again k3y", "k3y"), "apikey: …, again …");
        assert_eq!(without_secret("nothing was sent", ""), "nothing was sent");
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        assert_eq!(retry_after(&value("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&value("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&value("soon")), None);
        let future = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(retry_after(&value(&future)).unwrap() > Duration::from_secs(90));
    }

    #[test]
    fn a_message_is_found_wherever_it_stands() {
        for (body, message) in [
            (json!({"message": "m"}), "m"),
            (json!({"error": {"message": "m"}}), "m"),
            (json!({"error": "e", "error_description": "m"}), "m"),
            (json!({"errors": [{"message": "m"}]}), "m"),
            (json!({"errors": ["m"]}), "m"),
            (json!({"title": "m"}), "m"),
        ] {
            assert_eq!(message_in(&body).as_deref(), Some(message), "{body}");
        }
    }

    #[test]
    fn an_answer_that_is_no_error_is_not_repeated() {
        let answer = |status, body| Answer {
            status,
            retry_after: None,
            redirect: None,
            body,
            left: Instant::now(),
            key: KeyNumber::default(),
        };
        let secret = || Body::Json(json!({"message": "secret"}));
        assert_eq!(answer(StatusCode::BAD_REQUEST, secret()).message(), "secret");
        assert_eq!(answer(StatusCode::OK, secret()).message(), "JSON of another shape");
        let text = Body::Text { text: "secret".to_owned(), html: false };
        assert_eq!(answer(StatusCode::OK, text).message(), "a text that is no JSON");
    }
}
