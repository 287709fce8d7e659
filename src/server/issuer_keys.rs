//! The keys of an issuer: fetched from one address, kept while that cannot be reached, and looked for anew when a token
//! names one that is not known, though never sooner after the last time than a pause: whoever invents names of keys makes
//! the bridge ask no more often.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::server::jwks::{self, Keys};
use crate::server::jwt::PublicKey;

/// Entra's set has about 20,000 bytes.
const MAX_BYTES: usize = 1 << 19;

/// `auth.jwks_*` of the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// For one fetch, from the connection to the last byte.
    pub jwks_timeout_secs: u64,
    /// Between two fetches there is at least so long.
    pub jwks_pause_secs: u64,
    /// So often the keys are looked at without a reason: one that its issuer has withdrawn is good for no longer.
    pub jwks_refresh_secs: u64,
    #[serde(skip)]
    pub way: Way,
}

/// The way to issuers that are not on this very machine.
#[derive(Clone, Default)]
pub struct Way {
    /// It is asked for a tunnel, so it sees whose keys are fetched and can change nothing about them.
    pub proxy: Option<reqwest::Proxy>,
    /// Whose signature counts beside those whom this machine trusts.
    pub certificates: Vec<Certificate>,
}

impl fmt::Debug for Way {
    /// A password may stand in the address of the proxy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("has_proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

/// The keys at one address. When it goes away, nothing is fetched any more.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What is known about a key.
#[derive(Debug)]
pub(super) enum Found {
    Key(PublicKey),
    /// The issuer has no such key.
    None,
    /// The issuer could not be asked, so nobody can tell.
    Unreached,
}

/// How the keys stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// How many there are.
    pub(super) keys: usize,
    /// When they were fetched.
    pub(super) since: Option<Timestamp>,
    /// Why the last fetch failed, if it did.
    pub(super) failure: Option<String>,
    pub(super) fetched: u64,
    pub(super) failed: u64,
}

impl Standing {
    /// As readiness tells it.
    pub(super) fn in_short(&self, url: &str) -> String {
        let known = match self.since {
            Some(since) => format!("{} keys of {url}, fetched at {since:.0}", self.keys),
            None => format!("no keys of {url} yet"),
        };
        match &self.failure {
            Some(failure) => format!("{known}; the last attempt has failed: {failure}"),
            None => known,
        }
    }
}

#[derive(Debug)]
struct Shared {
    url: String,
    /// Or why nothing can be fetched from there.
    source: Result<(Url, reqwest::Client), String>,
    patience: Duration,
    pause: Duration,
    refresh: Duration,
    known: Mutex<Known>,
    /// Somebody has a token with an unknown key, and waits.
    asked: Notify,
    /// How many fetches have ended, one way or the other.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Keys,
    standing: Standing,
    /// When the last fetch began; none while it has not ended, and before the first.
    last: Option<Instant>,
    /// Whether somebody has asked for a key since.
    is_wanted: bool,
}

/// An address from which keys may be fetched: nobody on the way can change what comes from there.
pub fn check_url(text: &str) -> Result<(), String> {
    address(text).map(|_url| ())
}

fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("`{text}` is no address: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` holds more than an address"));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(format!("`{text}` is no address that begins with https://")),
    }
}

fn client(url: &Url, patience: Duration, way: &Way) -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ziflow-scim-bridge/", env!("CARGO_PKG_VERSION")))
        // Whoever could redirect this would decide who gets in.
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .timeout(patience);
    let builder = if url.scheme() == "https" {
        let builder = builder.https_only(true).tls_certs_merge(way.certificates.clone());
        way.proxy.clone().into_iter().fold(builder, reqwest::ClientBuilder::proxy)
    } else {
        // Plain http never leaves this machine, so a machine without CA certificates will do.
        builder.tls_certs_only([])
    };
    builder.build().map_err(|error| format!("cannot set up HTTPS: {}", chain(&error)))
}

impl IssuerKeys {
    /// Begins to fetch at once, in the background.
    pub(super) fn begin(url: &str, settings: &Settings) -> Self {
        let patience = Duration::from_secs(settings.jwks_timeout_secs);
        let (ended, _) = watch::channel(0);
        let shared = Arc::new(Shared {
            url: url.to_owned(),
            source: address(url).and_then(|url| Ok((url.clone(), client(&url, patience, &settings.way)?))),
            patience,
            pause: Duration::from_secs(settings.jwks_pause_secs),
            refresh: Duration::from_secs(settings.jwks_refresh_secs),
            known: Mutex::default(),
            asked: Notify::new(),
            ended,
        });
        let task = tokio::spawn(Arc::clone(&shared).work()).abort_handle();
        Self { shared, task }
    }

    pub(super) fn url(&self) -> &str {
        &self.shared.url
    }

    pub(super) fn standing(&self) -> Standing {
        self.shared.lock().standing.clone()
    }

    /// A key that is known already.
    pub(super) fn known(&self, kid: &str) -> Option<PublicKey> {
        self.shared.lock().keys.get(kid).cloned()
    }

    /// The key, fetched if need be. Whoever comes while the keys are fetched waits for the end of that, and whoever comes
    /// too soon after it for nothing. A fetch goes on when those who wait for it go away.
    pub(super) async fn find(&self, kid: &str) -> Found {
        let shared = &self.shared;
        // Looked at before the keys are, so that a fetch that ends in between is not waited for.
        let mut ended = shared.ended.subscribe();
        let wait = {
            let mut known = shared.lock();
            if let Some(key) = known.keys.get(kid) {
                return Found::Key(key.clone());
            }
            let is_due = known.last.is_some_and(|last| last.elapsed() >= shared.pause);
            known.is_wanted |= is_due;
            is_due || known.last.is_none()
        };
        if wait {
            shared.asked.notify_one();
            if timeout(shared.patience, ended.changed()).await.is_err() {
                return Found::Unreached;
            }
        }
        let known = shared.lock();
        match known.keys.get(kid) {
            Some(key) => Found::Key(key.clone()),
            None if known.standing.failure.is_none() => Found::None,
            None => Found::Unreached,
        }
    }
}

impl Drop for IssuerKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn work(self: Arc<Self>) {
        loop {
            let begun = Instant::now();
            let fetched = self.fetch().await;
            self.take(fetched, begun);
            self.ended.send_modify(|count| *count += 1);
            // Without keys, or with old ones only, somebody may be shut out who is in the right.
            let next = if self.lock().standing.failure.is_some() { self.pause } else { self.refresh };
            tokio::select! {
                () = sleep_until(begun + next) => {}
                () = self.wanted() => {}
            }
            self.lock().last = None;
        }
    }

    /// Waits until somebody asks for a key, when the pause is over. To be woken is not enough: those who came while the
    /// keys were being fetched have had their answer.
    async fn wanted(&self) {
        while !self.lock().is_wanted {
            self.asked.notified().await;
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let (url, http) = self.source.as_ref().map_err(Clone::clone)?;
        let mut response = http.get(url.clone()).send().await.map_err(|error| chain(&error))?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("the answer is {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_BYTES {
                return Err(format!("the answer is larger than {MAX_BYTES} bytes"));
            }
        }
        jwks::parse(&bytes).map_err(str::to_owned)
    }

    fn take(&self, fetched: Result<Keys, String>, begun: Instant) {
        let mut known = self.lock();
        known.last = Some(begun);
        known.is_wanted = false;
        let url = &self.url;
        match fetched {
            Ok(keys) => {
                if known.standing.failure.take().is_some() || known.standing.since.is_none() {
                    info!(url, keys = keys.len(), "the issuer's keys have been fetched");
                }
                known.standing.fetched += 1;
                known.standing.since = Some(Timestamp::now());
                known.standing.keys = keys.len();
                known.keys = keys;
            }
            Err(reason) => {
                known.standing.failed += 1;
                // Told when it begins, and when it becomes another trouble.
                if known.standing.failure.as_ref() != Some(&reason) {
                    let kept = known.keys.len();
                    warn!(
                        url,
                        reason,
                        kept,
                        "the issuer's keys cannot be fetched: those that are known stay good, and it is tried again \
                         (auth.jwks_pause_secs)"
                    );
                }
                known.standing.failure = Some(reason);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes, and without the URL, which is told beside it.
fn chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut reason = "no answer".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        source = cause.source();
    }
    reason
}
