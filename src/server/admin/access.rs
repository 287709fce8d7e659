//! Who may look: whoever asks for this machine by an address or a known name, and shows the token where there is one.
//!
//! `/healthz` alone asks for no token: a balancer has none, and it tells nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use tracing::warn;

use crate::server::admin::{pages, reply};
use crate::server::auth::Door;
use crate::server::request;
use crate::server::source::Source;
use crate::server::tokens::{Digest, digest};

/// The answer to somebody who may not look.
type Refusal = Box<Response<Full<Bytes>>>;

/// A page in somebody's browser may reach this listener under a name of its own (DNS rebinding), but under no other.
const FOREIGN: &str = "ask by address or as localhost, or put the name into admin.hosts";

const ELSEWHERE: &str = "the question comes from a page elsewhere";
const NO_TOKEN: &str = "show admin.token: as a bearer token, or as the password beside any user name";
const WRONG: &str = "this is not admin.token";
const TOO_MANY: &str = "too many wrong credentials came from this address within a minute; the right one is always \
                        served";

/// What programs are told, and what makes browsers ask for a password.
const CHALLENGES: [&str; 2] = [
    "Bearer realm=\"ziflow-scim-bridge admin\"",
    "Basic realm=\"ziflow-scim-bridge admin\", charset=\"UTF-8\"",
];

/// What is asked of those who look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// None: nothing, which only this very machine must find out.
    pub token: Option<Digest>,
    /// The names, in lower case, under which the listener may be asked, besides its addresses.
    pub hosts: Vec<String>,
}

/// The gate: what is asked, which may become something else while requests arrive.
#[derive(Debug)]
pub struct Gate {
    access: ArcSwap<Access>,
    /// Whoever guesses here guesses there: the brake is one.
    door: Arc<Door>,
    is_in_the_open: bool,
}

impl Gate {
    /// `listening` is where the pages are, if they are anywhere.
    pub fn new(access: Access, door: Arc<Door>, listening: Option<SocketAddr>) -> Self {
        let is_in_the_open = listening.is_some_and(|address| !address.ip().is_loopback());
        Self { access: ArcSwap::from_pointee(access), door, is_in_the_open }
    }

    /// Whether others than this machine reach it.
    pub fn is_in_the_open(&self) -> bool {
        self.is_in_the_open
    }

    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// From the next request on this is asked. The settings that are others than before.
    pub fn put(&self, access: Access) -> Vec<&'static str> {
        let before = self.access.swap(Arc::new(access));
        let now = self.access.load();
        let changed =
            [("admin.token", before.token != now.token), ("admin.hosts", before.hosts != now.hosts)];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// Whether somebody may look. Nothing else of the request is looked at before this.
    pub(super) fn check(&self, head: &Parts, max_target_bytes: usize, source: Source) -> Result<(), Refusal> {
        let access = self.access.load();
        let asks = head.method == Method::POST && head.uri.path() == pages::EXPLAIN;
        if !asks && !matches!(head.method, Method::GET | Method::HEAD) {
            let reason = "nothing changes over this listener";
            let refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, reason);
            return Err(with(refusal, ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
        request::well_formed(head, max_target_bytes).map_err(|error| refusal(error.status, &error.detail))?;
        if !access.knows_names_of(head) {
            return Err(refusal(StatusCode::FORBIDDEN, FOREIGN));
        }
        if asks && !is_of_own_page(&head.headers) {
            return Err(refusal(StatusCode::FORBIDDEN, ELSEWHERE));
        }
        match &access.token {
            Some(token) if head.uri.path() != pages::OPEN => self.check_token(token, &head.headers, source),
            _ => Ok(()),
        }
    }

    fn check_token(&self, token: &Digest, headers: &HeaderMap, source: Source) -> Result<(), Refusal> {
        let shown = shown(headers).ok_or_else(|| unauthorised(NO_TOKEN))?;
        if verify_slices_are_equal(token, &digest(&shown)).is_ok() {
            return Ok(());
        }
        if let Some(wait) = self.door.failed(source) {
            let refusal = refusal(StatusCode::TOO_MANY_REQUESTS, TOO_MANY);
            return Err(with(refusal, RETRY_AFTER, HeaderValue::from(wait.as_secs())));
        }
        warn!(%source, "a wrong token was shown to the admin listener");
        Err(unauthorised(WRONG))
    }
}

impl Access {
    /// Of a request with a whole URL, both names count.
    fn knows_names_of(&self, head: &Parts) -> bool {
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host: Option<Authority> = host.and_then(|host| host.parse().ok());
        host.is_some_and(|host| self.knows(&host)) && head.uri.authority().is_none_or(|host| self.knows(host))
    }

    fn knows(&self, authority: &Authority) -> bool {
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        host == "localhost" || host.parse::<IpAddr>().is_ok() || self.hosts.contains(&host)
    }
}

fn refusal(status: StatusCode, reason: &str) -> Refusal {
    Box::new(reply::refusal(status, reason))
}

fn with(mut refusal: Refusal, name: HeaderName, value: HeaderValue) -> Refusal {
    refusal.headers_mut().append(name, value);
    refusal
}

/// A question changes nothing, and still nobody else's page shall make a browser ask it. Whatever is no browser says
/// nothing of where it comes from.
fn is_of_own_page(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(HeaderName::from_static("sec-fetch-site")), text(ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some_and(|host| Some(host) == text(HOST))
        }
        (None, None) => true,
    }
}

fn unauthorised(reason: &str) -> Refusal {
    let challenges = CHALLENGES.map(HeaderValue::from_static).into_iter();
    challenges.fold(refusal(StatusCode::UNAUTHORIZED, reason), |refusal, challenge| {
        with(refusal, WWW_AUTHENTICATE, challenge)
    })
}

/// The token of a program (RFC 6750), or the password of a browser (RFC 7617). Two credentials leave open which is meant.
fn shown(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(text.trim().as_bytes().to_vec());
    }
    let pair = STANDARD.decode(text.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}
