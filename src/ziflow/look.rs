//! Single exchanges with Ziflow, shown as they came: for `doctor` and its probe, which tell what was tried and what came
//! back. Nothing is repeated here and nothing is believed. Other people's keys are dropped before anybody sees the answer.

use std::time::{Duration, SystemTime};

use http::header::DATE;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::ziflow::answer::{Page, nobody, page, says_absent};
use crate::ziflow::hop::NO_TUNNEL;
use crate::ziflow::model::User;
use crate::ziflow::rate_limit::{self, RateLimit};
use crate::ziflow::request::Request;
use crate::ziflow::transport::{self, Answer, ApiKey, Body, Call, Failure, Transport};

/// Words in the names of headers that tell about a limit.
const PACE_WORDS: &[&str] = &["rate-", "limit", "retry", "quota"];

/// Somebody who asks once and looks closely.
#[derive(Debug)]
pub struct Looker {
    transport: Transport,
    key: ApiKey,
}

/// Which key a request carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum As<'a> {
    Nobody,
    Ourselves,
    Other(&'a ApiKey),
}

/// No answer came.
#[derive(Clone, Debug)]
pub struct Missed {
    /// For people; it names nobody.
    pub reason: String,
    /// Whether the request may have reached Ziflow all the same.
    pub may_have_arrived: bool,
}

/// What is in the way, as far as the reason tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nobody who is trusted has signed the certificate.
    Issuer,
    /// The certificate is too old or too young.
    Dates,
    /// The certificate is somebody else's.
    Name,
    /// The certificate is wrong in another way.
    Certificate,
    /// The proxy makes no tunnel.
    Proxy,
    Other,
}

impl Missed {
    pub fn obstacle(&self) -> Obstacle {
        let reason = self.reason.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if !says(&["peer certificate"]) {
            // Without a connection to the proxy there was nobody to refuse the tunnel.
            return if says(&[NO_TUNNEL]) { Obstacle::Proxy } else { Obstacle::Other };
        }
        if says(&["issuer"]) {
            Obstacle::Issuer
        } else if says(&["expired", "not valid yet", "notvalidyet"]) {
            Obstacle::Dates
        } else if says(&["not valid for name", "notvalidforname"]) {
            Obstacle::Name
        } else {
            Obstacle::Certificate
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Look {
    pub status: StatusCode,
    /// The body if it is JSON, without anybody's API key.
    pub json: Option<Value>,
    /// Whether there were API keys in it.
    pub shows_keys: bool,
    pub retry_after: Option<Duration>,
    /// From the moment the request left.
    pub took: Duration,
    /// The clock of the other side.
    pub date: Option<SystemTime>,
    /// Headers whose names tell about limits, as `name: value`.
    pub about_pace: Vec<String>,
    kind: String,
    message: String,
    is_html: bool,
    is_nobody: bool,
}

impl Looker {
    /// Fails with a sentence for the operator when the settings cannot be used.
    pub fn new(connection: &transport::Settings, pace: &rate_limit::Settings) -> Result<Self, String> {
        let transport = Transport::new(connection, RateLimit::new(pace))?;
        Ok(Self { transport, key: ApiKey::new(&connection.api_key)? })
    }

    /// Whom this machine connects to: the host and the port of Ziflow, or of the proxy before it.
    pub fn next_hop(&self) -> (String, u16) {
        self.transport.next_hop()
    }

    /// The base itself, without the key: whether anybody answers there.
    pub async fn knock(&self, deadline: Instant) -> Result<Look, Missed> {
        let request = Request { method: Method::GET, path: &[], query: &[], body: None };
        self.ask(deadline, &request, As::Nobody).await
    }

    /// `GET /users?count=1`, which asks for the least there is.
    pub async fn first(&self, deadline: Instant) -> Result<Look, Missed> {
        self.first_as(deadline, As::Ourselves).await
    }

    pub(super) async fn first_as(&self, deadline: Instant, who: As<'_>) -> Result<Look, Missed> {
        let query = [("count", "1".to_owned())];
        let request = Request { method: Method::GET, path: &["users"], query: &query, body: None };
        self.ask(deadline, &request, who).await
    }

    /// A page of people.
    pub async fn people(&self, deadline: Instant, count: usize) -> Result<Look, Missed> {
        let query = [("count", count.to_string()), ("page", "1".to_owned())];
        let request = Request { method: Method::GET, path: &["users"], query: &query, body: None };
        self.ask(deadline, &request, As::Ourselves).await
    }

    /// A user by their address.
    pub async fn user(&self, deadline: Instant, email: &str) -> Result<Look, Missed> {
        let path = ["users", email];
        let request = Request { method: Method::GET, path: &path, query: &[], body: None };
        self.ask(deadline, &request, As::Ourselves).await
    }

    pub(super) async fn ask(
        &self,
        deadline: Instant,
        request: &Request<'_>,
        who: As<'_>,
    ) -> Result<Look, Missed> {
        let key = match who {
            As::Nobody => None,
            As::Ourselves => Some(&self.key),
            As::Other(key) => Some(key),
        };
        // A page of people may take longer than a person.
        let is_page = request.method == Method::GET && request.path.len() == 1;
        let call = if is_page { Call::for_listing(deadline) } else { Call::until(deadline) };
        match self.transport.look(&call, request, key).await {
            Ok((headers, answer)) => Ok(Look::of(&headers, answer)),
            Err(Failure::Lost(lost)) => {
                Err(Missed { reason: lost.reason, may_have_arrived: lost.may_have_arrived })
            }
            Err(Failure::NotSent(error)) => {
                Err(Missed { reason: error.to_string(), may_have_arrived: false })
            }
        }
    }
}

impl Look {
    fn of(headers: &HeaderMap, answer: Answer) -> Self {
        let (kind, message, is_html) = (answer.kind(), answer.message(), answer.is_html());
        let is_nobody = nobody(&answer.body);
        let took = answer.left.elapsed();
        let (status, retry_after) = (answer.status, answer.retry_after);
        let mut json = match answer.body {
            Body::Json(value) => Some(value),
            _ => None,
        };
        let shows_keys = json.as_mut().is_some_and(drop_keys);
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        Self {
            status,
            json,
            shows_keys,
            retry_after,
            took,
            date: date.and_then(|date| httpdate::parse_http_date(date).ok()),
            about_pace: about_pace(headers),
            kind,
            message,
            is_html,
            is_nobody,
        }
    }

    /// A 2xx that comes from Ziflow and not from a gateway's web page.
    pub fn is_success(&self) -> bool {
        self.status.is_success() && !self.is_html
    }

    /// Whether it says that there is nobody, in one of the ways that Ziflow may choose.
    pub fn is_absence(&self) -> bool {
        !self.is_html && (says_absent(self.status) || self.status.is_success() && self.is_nobody)
    }

    /// The page of people in it.
    pub fn page(&self) -> Option<Page> {
        self.json.as_ref().filter(|_| self.is_success()).and_then(|body| page(body, Instant::now()))
    }

    /// The person in it.
    pub fn user(&self) -> Option<User> {
        self.json.as_ref().filter(|_| self.is_success()).and_then(User::from_json)
    }

    /// The value of a field of the person in it.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.json.as_ref()?.get(name)
    }

    /// What came, in a few words: `HTTP 409 with JSON: "the address is taken"`.
    pub fn told(&self) -> String {
        let failed = self.status.is_client_error() || self.status.is_server_error();
        if failed && !self.is_html && self.message != "no message" {
            format!("{}: \"{}\"", self.kind, self.message)
        } else {
            self.kind.clone()
        }
    }
}

/// Takes every API key out of a body, wherever it stands; whether there was one.
fn drop_keys(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => {
            let own = members.shift_remove("api_key");
            let own = own.is_some_and(|key| key.as_str().is_some_and(|key| !key.is_empty()));
            let below = members.values_mut().filter_map(|member| drop_keys(member).then_some(())).count();
            own || below > 0
        }
        // All of them: `any` would stop at the first.
        Value::Array(items) => items.iter_mut().filter_map(|item| drop_keys(item).then_some(())).count() > 0,
        _ => false,
    }
}

fn about_pace(headers: &HeaderMap) -> Vec<String> {
    let telling = |name: &str| PACE_WORDS.iter().any(|word| name.contains(word));
    let told = headers.iter().filter(|(name, _)| telling(name.as_str()));
    told.filter_map(|(name, value)| Some(format!("{name}: {}", value.to_str().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_dropped_wherever_they_stand() {
        let mut body = json!({"users": [{"id": "1", "api_key": "s"}, {"id": "2", "api_key": ""}], "n": 1});
        assert!(drop_keys(&mut body));
        assert_eq!(body, json!({"users": [{"id": "1"}, {"id": "2"}], "n": 1}));
        assert!(!drop_keys(&mut json!({"api_key": null, "users": [1]})));
    }

    #[test]
    fn obstacles_are_told_apart() {
        for (reason, obstacle) in [
            ("invalid peer certificate: UnknownIssuer", Obstacle::Issuer),
            ("invalid peer certificate: certificate expired: verification time 7 (UNIX)", Obstacle::Dates),
            ("invalid peer certificate: certificate not valid yet: verification time 7", Obstacle::Dates),
            ("invalid peer certificate: certificate not valid for name \"a\"", Obstacle::Name),
            ("invalid peer certificate: BadSignature", Obstacle::Certificate),
            (
                "the proxy http://p:1 (ziflow.proxy) makes no tunnel to https://z: proxy authorization",
                Obstacle::Proxy,
            ),
            ("no connection to the proxy http://tunnel:1 (ziflow.proxy): refused", Obstacle::Other),
            ("Connection refused", Obstacle::Other),
        ] {
            let reason = format!("no connection to https://certificate.example.com: {reason}");
            let missed = Missed { reason, may_have_arrived: false };
            assert_eq!(missed.obstacle(), obstacle, "{}", missed.reason);
        }
    }

    #[test]
    fn headers_about_limits_are_noticed() {
        let mut headers = HeaderMap::new();
        for name in ["x-ratelimit-remaining", "retry-after", "x-quota", "content-type", "set-cookie"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        assert_eq!(about_pace(&headers), ["x-ratelimit-remaining: 1", "retry-after: 1", "x-quota: 1"]);
    }
}
