//! Who may speak: bearer tokens (RFC 6750), and clients that ask for one. Whoever shows a right credential is served,
//! whatever others from the same place have tried.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use crate::bridge::health::Component;
use crate::scim::error::Error;
use crate::server::callers::Callers;
use crate::server::expiry;
use crate::server::failures::{Failures, Verdict};
use crate::server::issuer_keys::{self, Standing};
use crate::server::networks::Border;
use crate::server::oauth::{Failure, Presented, TOKEN_SECS};
use crate::server::route::Operation;
use crate::server::source::Source;
use crate::server::tokens::{Token, Tokens};
use crate::server::trust::{Imposter, Stranger, Trust};

/// So often it is told that one and the same expired token is still in use.
const MINUTE: Duration = Duration::from_secs(60);

/// When it is worth to ask again what cannot be decided now.
const UNDECIDED_WAIT: Duration = Duration::from_secs(30);

const NO_TOKEN: &str = "no bearer token: paste the bridge's token into Entra's field Secret Token";
/// Also of one that has expired: whoever holds it learns nothing from the answer, and the operator from the log.
const UNKNOWN: &str = "the bearer token is not one of the bridge's; compare it with Entra's Secret Token";
const ACCESS_TOKEN: &str = "the access token is refused: it has ended, or its client is no longer what it was; get another \
                            at /oauth2/token. The bridge's log says why";
const ENTRA: &str =
    "the token that Entra has issued is refused; the bridge's log says why, under the request-id";
const UNDECIDED: &str = "whether the token is right cannot be decided: the keys that sign such tokens cannot be fetched at the \
                         moment. The bridge goes on trying, and its log says why";
const WRONG_CLIENT: &str =
    "the client is not known, or what it shows does not fit; the bridge's log says why";
const NO_TOKEN_MADE: &str = "the bridge cannot make a token; its log says why";
const TOO_MANY: &str = "too many wrong credentials came from this address within a minute; the right one is always \
                        served";

/// `auth.*` of the settings, but for the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// 0: any number.
    pub max_failures_per_minute: u32,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// For the log.
    pub(super) name: String,
    pub(super) read_only: bool,
}

impl Client {
    /// Whether this may be asked for. What there is no operation for could only be refused another way.
    ///
    /// It is the one 403 there is: Entra takes many of them for bad credentials, so its own token must not be read-only.
    pub(super) fn may(&self, method: &Method, operation: Option<&Operation>) -> Result<(), Error> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !self.read_only || reads || matches!(operation, Some(Operation::Search(_))) {
            return Ok(());
        }
        let detail = format!(
            "the token `{}` is read-only: GET, HEAD and POST to .search are served, and nothing is changed; \
             give Entra a token without read_only",
            self.name
        );
        Err(Error::new(StatusCode::FORBIDDEN, detail))
    }
}

/// Why nobody is let in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    /// For the log, where it knows more than is answered.
    pub(super) reason: Option<String>,
    /// Whether the log has heard enough of it.
    pub(super) is_known: bool,
}

/// How often credentials were missing or wrong.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Answered as what it was.
    pub(super) refused: AtomicU64,
    /// Answered by the brake.
    pub(super) braked: AtomicU64,
    /// Answered 503, because keys could not be fetched.
    pub(super) undecided: AtomicU64,
    /// Tokens given out at `/oauth2/token`.
    pub(super) granted: AtomicU64,
}

/// The door: those who may speak, who may become others while requests arrive.
#[derive(Debug)]
pub struct Door {
    trust: ArcSwap<Trust>,
    jwks: issuer_keys::Settings,
    most_failures: AtomicU32,
    failures: Mutex<Failures>,
    border: Border,
    /// When the log last heard of an expired token, by its name.
    told: Mutex<HashMap<String, Instant>>,
    pub(super) count: Count,
}

impl Door {
    /// Where keys of others are needed, they are fetched from now on, by tasks of the runtime.
    pub fn new(callers: Callers, settings: Settings, jwks: issuer_keys::Settings) -> Self {
        Self {
            trust: ArcSwap::from_pointee(Trust::new(callers, &jwks, None)),
            jwks,
            most_failures: settings.max_failures_per_minute.into(),
            failures: Mutex::default(),
            border: Border::default(),
            told: Mutex::default(),
            count: Count::default(),
        }
    }

    /// What is looked at before any credential.
    pub fn border(&self) -> &Border {
        &self.border
    }

    pub fn tokens(&self) -> Arc<Tokens> {
        self.trust.load().tokens()
    }

    /// From the next request on these are accepted, and no others. Tells what is different.
    pub fn put(&self, callers: Callers) -> Vec<String> {
        let before = self.trust.load_full();
        let different = before.callers.difference(&callers);
        self.trust.store(Arc::new(Trust::new(callers, &self.jwks, Some(&before))));
        lock(&self.told).clear();
        different
    }

    /// Whether there is no credential that opens anything.
    pub fn lets_nobody_in(&self, now: Timestamp) -> bool {
        self.trust.load().callers.let_nobody_in(now)
    }

    /// The parts of readiness.
    pub fn health(&self, now: Timestamp) -> Vec<Component> {
        self.trust.load().health(now)
    }

    /// The keys of others, each with its address.
    pub(super) fn issuers(&self) -> Vec<(String, Standing)> {
        self.trust.load().issuers().map(|(url, standing)| (url.to_owned(), standing)).collect()
    }

    /// Whether these settings are others than before.
    pub fn put_settings(&self, settings: Settings) -> bool {
        let most = settings.max_failures_per_minute;
        self.most_failures.swap(most, Ordering::Relaxed) != most
    }

    /// Who it is that the request comes from.
    pub(super) async fn check(&self, headers: &HeaderMap, source: Source) -> Result<Client, Refusal> {
        let unauthorized = |detail| Error::new(StatusCode::UNAUTHORIZED, detail);
        let Some(presented) = bearer(headers) else {
            return Err(self.refuse(unauthorized(NO_TOKEN), None, source));
        };
        let stranger = match self.trust.load_full().who(presented).await {
            Ok(client) => return Ok(client),
            Err(stranger) => stranger,
        };
        let (error, reason) = match stranger {
            Stranger::Unknown(reason) => (unauthorized(UNKNOWN), reason),
            Stranger::Expired(token) => {
                self.tell_of_expired(&token, source);
                (unauthorized(UNKNOWN), self.tokens().what_is_wrong_with(presented, Timestamp::now()))
            }
            Stranger::AccessToken(reason) => {
                (unauthorized(ACCESS_TOKEN), Some(format!("access token: {reason}")))
            }
            Stranger::Entra(reason) => (unauthorized(ENTRA), Some(format!("token of Entra: {reason}"))),
            Stranger::Undecided(reason) => {
                // A 401 would be taken for bad credentials, which nobody knows them to be.
                let error =
                    Error::new(StatusCode::SERVICE_UNAVAILABLE, UNDECIDED).retry_after(UNDECIDED_WAIT);
                (error, Some(format!("token of Entra: {reason}")))
            }
        };
        Err(self.refuse(error, reason, source))
    }

    /// A token for whoever shows that they are a client: who that is, and the token.
    pub(super) async fn grant(&self, presented: &Presented) -> Result<(String, String), Failure> {
        let trust = self.trust.load_full();
        let (client, credential) = trust.client(presented).await.map_err(|imposter| match imposter {
            Imposter::Wrong(reason) => Failure::nobody(WRONG_CLIENT).because(reason),
            Imposter::Undecided(reason) => Failure::unavailable(UNDECIDED).because(reason),
        })?;
        let end = Timestamp::now().as_second().saturating_add(TOKEN_SECS);
        let token = trust.token_for(client, credential, end);
        let token = token
            .ok_or_else(|| Failure::unavailable(NO_TOKEN_MADE).because("there is no signing key".into()))?;
        self.count.granted.fetch_add(1, Ordering::Relaxed);
        Ok((client.id.clone(), token))
    }

    /// What is answered to who was granted nothing, and whether the log has heard enough of it.
    pub(super) fn refuse_grant(&self, failure: Failure, source: Source) -> (Failure, bool) {
        match self.brake(failure.status, source) {
            Some(wait) => (Failure::braked(TOO_MANY, wait), true),
            None => (failure, false),
        }
    }

    fn refuse(&self, error: Error, reason: Option<String>, source: Source) -> Refusal {
        match self.brake(error.status, source) {
            Some(wait) => {
                let error = Error::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY).retry_after(wait);
                Refusal { error, reason: None, is_known: true }
            }
            None => Refusal { error, reason, is_known: false },
        }
    }

    /// Counts a failure to show a right credential. None: it is told as what it is; else there have been too many from
    /// there, and it is worth asking again after this wait.
    pub(super) fn failed(&self, source: Source) -> Option<Duration> {
        self.brake(StatusCode::UNAUTHORIZED, source)
    }

    /// The same of one that is told with this status.
    fn brake(&self, status: StatusCode, source: Source) -> Option<Duration> {
        let most = self.most_failures.load(Ordering::Relaxed);
        let verdict = lock(&self.failures).note(source, most, Instant::now());
        let Verdict::Braked { wait, is_first } = verdict else {
            let undecided = status == StatusCode::SERVICE_UNAVAILABLE;
            let count = if undecided { &self.count.undecided } else { &self.count.refused };
            count.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.count.braked.fetch_add(1, Ordering::Relaxed);
        if is_first {
            warn!(
                %source, most,
                "too many missing or wrong credentials from one address: until a minute is over, further ones are \
                 answered 429 and not logged; right ones are served (auth.max_failures_per_minute)"
            );
        }
        // Whoever asks again within the last second would be told the same.
        Some(Duration::from_secs(wait.as_secs() + 1))
    }

    fn tell_of_expired(&self, token: &Token, source: Source) {
        let now = Instant::now();
        let mut told = lock(&self.told);
        if told.get(&token.name).is_some_and(|last| now < *last + MINUTE) {
            return;
        }
        told.insert(token.name.clone(), now);
        let expired = token.expires.map(tracing::field::display);
        warn!(token = token.name, expired, %source, hint = expiry::REMEDY, "an expired token is still in use");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    // Two of them leave open which one was meant, and a proxy may have looked at the other.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::server::tokens::digest;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    fn source(address: &str) -> Source {
        Source::of_peer(address.parse().unwrap())
    }

    /// `old` and `new` are good, `over` has expired, `looks` may only read.
    fn door(max_failures_per_minute: u32) -> Door {
        let way = issuer_keys::Way::default();
        let jwks =
            issuer_keys::Settings { jwks_timeout_secs: 1, jwks_pause_secs: 1, jwks_refresh_secs: 1, way };
        let mut tokens = Tokens::default();
        for (name, token, expires, read_only) in [
            ("old", "one", None, false),
            ("new", "two", Some(Timestamp::MAX), false),
            ("over", "three", Some(Timestamp::UNIX_EPOCH), false),
            ("looks", "four", None, true),
        ] {
            tokens.add(Token { name: name.to_owned(), digest: digest(token.as_bytes()), expires, read_only });
        }
        Door::new(tokens.into(), Settings { max_failures_per_minute }, jwks)
    }

    #[tokio::test]
    async fn only_a_known_token_speaks() {
        let door = door(0);
        for (header, name) in [
            ("Bearer one", Some("old")),
            ("bearer two", Some("new")),
            ("Bearer  two ", Some("new")),
            ("Bearer three", None),
            ("Bearer four", Some("looks")),
            ("Bearer five", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic one", None),
            ("one", None),
        ] {
            let client = door.check(&with(header), source("192.0.2.1:1")).await.ok();
            assert_eq!(client.as_ref().map(|client| client.name.as_str()), name, "{header}");
            assert_eq!(client.is_some_and(|client| client.read_only), name == Some("looks"), "{header}");
        }
        let two = HeaderMap::from_iter([
            (AUTHORIZATION, HeaderValue::from_static("Bearer one")),
            (AUTHORIZATION, HeaderValue::from_static("Bearer one")),
        ]);
        for headers in [HeaderMap::new(), two] {
            let refusal = door.check(&headers, source("192.0.2.1:1")).await.unwrap_err();
            assert_eq!((refusal.error.status, refusal.is_known), (StatusCode::UNAUTHORIZED, false));
        }
    }

    #[tokio::test]
    async fn an_expired_token_is_answered_like_one_that_never_was() {
        let told = async |token| door(0).check(&with(token), source("192.0.2.1:1")).await.unwrap_err().error;
        assert_eq!(told("Bearer three").await, told("Bearer nobody's").await);
        assert_eq!(told("Bearer 'one'").await, told("Bearer nobody's").await);
        let refusal = door(0).check(&with("Bearer three"), source("192.0.2.1:1")).await.unwrap_err();
        assert!(refusal.reason.is_some_and(|reason| reason.contains("the token over, which has expired")));
    }

    #[tokio::test]
    async fn wrong_credentials_are_braked_by_source_and_right_ones_never() {
        let door = door(3);
        let storm = source("192.0.2.1:1");
        let wrong = async |from| door.check(&with("Bearer nobody's"), from).await.unwrap_err();
        for _ in 0..3 {
            assert_eq!(wrong(storm).await.error.status, StatusCode::UNAUTHORIZED);
        }
        for _ in 0..10 {
            let refusal = wrong(storm).await;
            assert!(refusal.is_known && refusal.error.status == StatusCode::TOO_MANY_REQUESTS, "{refusal:?}");
            assert!(refusal.error.retry_after.is_some_and(|wait| wait.as_secs() <= 60), "{refusal:?}");
            assert!(door.check(&with("Bearer one"), storm).await.is_ok());
        }
        assert_eq!(wrong(source("192.0.2.2:1")).await.error.status, StatusCode::UNAUTHORIZED);
        let counted = [&door.count.refused, &door.count.braked].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counted, [4, 10]);
        assert!(door.put_settings(Settings { max_failures_per_minute: 0 }));
        assert!(!door.put_settings(Settings { max_failures_per_minute: 0 }));
        assert_eq!(wrong(storm).await.error.status, StatusCode::UNAUTHORIZED);
    }
}
