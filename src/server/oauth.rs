//! `/oauth2/token`: tokens for clients that show who they are (RFC 6749 section 4.4, RFC 7523 section 2.2). It stands at the
//! root, and is the one endpoint that speaks RFC 6749 and not SCIM.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::server::log::Done;
use crate::server::reply::Reply;

/// For so long a token is good: Entra takes what is good for one hour to six.
pub(super) const TOKEN_SECS: i64 = 3600;

/// An assertion has about 2,000 bytes, and everything else is short.
pub(super) const MAX_BODY_BYTES: usize = 16_384;

const FORM: &str = "application/x-www-form-urlencoded";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client shows.
#[derive(Debug)]
pub enum Presented {
    /// `secrets` are the ways to read the one secret that was sent.
    Secret {
        id: String,
        secrets: Vec<SecretString>,
    },
    Assertion {
        id: Option<String>,
        assertion: SecretString,
    },
}

/// An error of RFC 6749 section 5.2.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub(super) status: StatusCode,
    error: &'static str,
    /// For the administrator who sees it in Entra.
    description: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log.
    reason: Option<String>,
}

const ENDPOINT: [&str; 2] = ["oauth2", "token"];

/// Whether the path is meant to be that of the endpoint: also where somebody has put it below the Tenant URL.
pub(super) fn is_endpoint(path: &str) -> bool {
    segments(path).rev().take(2).eq(ENDPOINT.into_iter().rev())
}

/// There is one, at the root.
pub(super) fn check_path(path: &str) -> Result<(), Failure> {
    if segments(path).eq(ENDPOINT) {
        return Ok(());
    }
    let told = "the token endpoint is /oauth2/token, right behind the host: leave out what stands between";
    Err(Failure { status: StatusCode::NOT_FOUND, ..Failure::invalid(told) })
}

fn segments(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// What a request for a token shows, once it is one.
pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Presented, Failure> {
    let form = Form::parse(body)?;
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Failure::new("unsupported_grant_type", "only client_credentials is granted here"));
        }
        None => return Err(Failure::invalid("grant_type is missing")),
    }
    // RFC 6749 section 3.3. Every client has one scope, all that it may, whatever it calls it.
    let is_scope = |scope: &str| {
        scope.bytes().all(|byte| byte == b' ' || (byte.is_ascii_graphic() && !b"\"\\".contains(&byte)))
    };
    if form.get("scope").is_some_and(|scope| !is_scope(scope)) {
        return Err(Failure::new("invalid_scope", "scope holds characters that no scope has"));
    }
    presented(headers, &form)
}

/// Exactly one way of authentication (RFC 6749 section 2.3).
fn presented(headers: &HeaderMap, form: &Form) -> Result<Presented, Failure> {
    let id = form.get("client_id");
    let given = [
        headers.contains_key(AUTHORIZATION),
        form.get("client_secret").is_some(),
        form.get("client_assertion").or(form.get("client_assertion_type")).is_some(),
    ];
    match given {
        [true, false, false] => basic(headers, id),
        [false, true, false] => {
            let id = id.ok_or_else(|| Failure::invalid("client_id is missing"))?;
            let secret = form.get("client_secret").unwrap_or_default();
            Ok(Presented::Secret { id: id.to_owned(), secrets: vec![secret.into()] })
        }
        [false, false, true] => {
            if form.get("client_assertion_type") != Some(JWT_BEARER) {
                return Err(Failure::invalid(format!("client_assertion_type must be {JWT_BEARER}")));
            }
            let assertion = form.get("client_assertion");
            let assertion = assertion.ok_or_else(|| Failure::invalid("client_assertion is missing"))?;
            Ok(Presented::Assertion { id: id.map(str::to_owned), assertion: assertion.into() })
        }
        [false, false, false] => Err(Failure::nobody("the client shows nothing to prove who it is")),
        _ => Err(Failure::invalid("the client authenticates in several ways at once; one is needed")),
    }
}

/// RFC 6749 section 2.3.1: form-encoded on both sides of the colon, then as RFC 7617 has it. Many clients leave out the
/// first step, so that the secret is also tried as it stands; who knows it in either spelling knows it.
fn basic(headers: &HeaderMap, id_in_form: Option<&str>) -> Result<Presented, Failure> {
    let unreadable = || Failure::nobody("the header Authorization is no Basic authentication").challenged();
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Failure::invalid("there are several headers Authorization"));
    };
    let value = value.to_str().ok().and_then(|value| value.split_once(' '));
    let (_, encoded) =
        value.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).ok_or_else(unreadable)?;
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(unreadable)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(unreadable)?;
    let id = plain(id);
    if id_in_form.is_some_and(|other| other != id) {
        return Err(Failure::invalid("client_id is not the one of the header Authorization"));
    }
    let mut secrets = vec![secret.into()];
    let read = plain(secret);
    if read != secret {
        secrets.push(read.into());
    }
    Ok(Presented::Secret { id, secrets })
}

/// One form-encoded text.
fn plain(text: &str) -> String {
    // As the value of a parameter without a name, in which `&` and `=` would otherwise begin something new.
    let guarded = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(guarded.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The parameters of a request, each once and none without a value (RFC 6749 section 3.2).
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(body: &[u8]) -> Result<Self, Failure> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if known.iter().any(|(known, _)| *known == name) {
                return Err(Failure::invalid("a parameter is there twice"));
            }
            known.push((name.into_owned(), value.into_owned()));
            if known.len() > MOST_PARAMETERS {
                return Err(Failure::invalid("there are too many parameters"));
            }
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }
}

/// Entra sends six. Every one is compared with those before it.
const MOST_PARAMETERS: usize = 32;

/// Whether the request can be one for a token, before its body is read.
pub(super) fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if *method != Method::POST {
        let failure = Failure::invalid("this endpoint takes POST");
        let allow = vec![(ALLOW, HeaderValue::from_static("POST"))];
        return Err(Failure { status: StatusCode::METHOD_NOT_ALLOWED, headers: allow, ..failure });
    }
    let said = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let essence = said.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(FORM) || headers.contains_key(CONTENT_ENCODING) {
        return Err(Failure::invalid(format!("the body must be {FORM}, without a Content-Encoding")));
    }
    Ok(())
}

/// RFC 6749 section 5.1.
pub(super) fn granted(token: &str) -> Reply {
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECS});
    Reply::uncached(StatusCode::OK, body, Vec::new())
}

impl Failure {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            headers: Vec::new(),
            reason: None,
        }
    }

    pub(super) fn invalid(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    /// The client is not believed to be the one.
    pub(super) fn nobody(description: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, ..Self::new("invalid_client", description) }
    }

    /// Whoever the client is, they may not ask from where they are.
    pub(super) fn turned_away(description: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, ..Self::new("unauthorized_client", description) }
    }

    pub(super) fn unavailable(description: &str) -> Self {
        let failure = Self::new("temporarily_unavailable", description);
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..failure }.after(Duration::from_secs(30))
    }

    /// Too many wrong ones came from there.
    pub(super) fn braked(description: &str, wait: Duration) -> Self {
        let failure = Self::new("invalid_client", description);
        Self { status: StatusCode::TOO_MANY_REQUESTS, ..failure }.after(wait)
    }

    fn after(mut self, wait: Duration) -> Self {
        self.headers.push((RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))));
        self
    }

    /// For who has used the header Authorization.
    pub(super) fn challenged(mut self) -> Self {
        self.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"oauth2\"")));
        self
    }

    pub(super) fn because(self, reason: String) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(super) fn reason(&self) -> String {
        self.reason.clone().unwrap_or_else(|| format!("{}: {}", self.error, self.description))
    }

    /// With its reason for the log.
    pub(super) fn into_done(self) -> Done {
        let reason = Some(self.reason());
        Done { reply: self.into_reply(), reason, detail: None }
    }

    pub(super) fn into_reply(self) -> Reply {
        let body: Value = json!({"error": self.error, "error_description": self.description});
        Reply::uncached(self.status, body, self.headers)
    }
}
