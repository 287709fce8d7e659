//! Whom a credential belongs to: tokens by their digests, tokens of the bridge's own by its signature, tokens of others by
//! their issuer's keys.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::bridge::health::{Component, Health};
use crate::server::auth::Client;
use crate::server::callers::Callers;
use crate::server::clients::{Federation, Proof, Registration};
use crate::server::entra_token;
use crate::server::issuer::{Disbelief, Issuer};
use crate::server::issuer_keys::{IssuerKeys, Settings, Standing};
use crate::server::jwt::Jwt;
use crate::server::oauth::Presented;
use crate::server::signing::{self, Content};
use crate::server::tokens::{Digest, Token, Tokens, digest};

const NO_ENTRA: &str =
    "it is formed like a token that Entra issues itself, and auth.entra.tenant_id is not set";

/// The callers, with the keys of those who sign for them.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) callers: Callers,
    tokens: Arc<Tokens>,
    entra: Option<Issuer>,
    /// By the client's id.
    federations: Vec<(String, Issuer)>,
    keys: Vec<Arc<IssuerKeys>>,
}

/// Why a bearer token opens nothing.
#[derive(Debug)]
pub(super) enum Stranger {
    /// And why, as far as that shows.
    Unknown(Option<String>),
    Expired(Token),
    /// One of the bridge's own.
    AccessToken(String),
    /// One that Entra has issued, or should have.
    Entra(String),
    /// It may be right, and nobody can tell at the moment.
    Undecided(String),
}

/// Why a client is not believed to be the one.
#[derive(Debug)]
pub(super) enum Imposter {
    Wrong(String),
    Undecided(String),
}

impl Trust {
    /// Keys that `before` has fetched already are kept: their issuer may be out of reach just now.
    pub(super) fn new(callers: Callers, settings: &Settings, before: Option<&Self>) -> Self {
        let mut keys: Vec<Arc<IssuerKeys>> = Vec::new();
        let mut keys_at = |url: &str| {
            let known = keys.iter().chain(before.iter().flat_map(|before| &before.keys));
            let found = known.into_iter().find(|keys| keys.url() == url).map(Arc::clone);
            let found = found.unwrap_or_else(|| Arc::new(IssuerKeys::begin(url, settings)));
            if !keys.iter().any(|keys| keys.url() == url) {
                keys.push(Arc::clone(&found));
            }
            found
        };
        let entra = callers.entra.as_ref();
        let entra = entra.map(|entra| Issuer { keys: keys_at(&entra.jwks_url), expected: entra.expected() });
        let mut federations = Vec::new();
        for (client, federation) in callers.clients.iter().filter_map(federated) {
            let issuer = Issuer { keys: keys_at(&federation.jwks_url), expected: federation.expected() };
            federations.push((client.id.clone(), issuer));
        }
        Self { tokens: Arc::new(callers.tokens.clone()), callers, entra, federations, keys }
    }

    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens)
    }

    /// Who it is that shows this bearer token.
    pub(super) async fn who(&self, presented: &str) -> Result<Client, Stranger> {
        match self.tokens.find(&digest(presented.as_bytes())) {
            Some(token) if token.has_expired(Timestamp::now()) => Err(Stranger::Expired(token.clone())),
            Some(Token { name, read_only, .. }) => Ok(Client { name: name.clone(), read_only: *read_only }),
            None if presented.starts_with(signing::PREFIX) => self.with_access_token(presented),
            None if presented.bytes().filter(|byte| *byte == b'.').count() == 2 => {
                self.with_entra_token(presented).await
            }
            None => Err(Stranger::Unknown(self.tokens.what_is_wrong_with(presented, Timestamp::now()))),
        }
    }

    fn with_access_token(&self, presented: &str) -> Result<Client, Stranger> {
        let clients = &self.callers.clients;
        let keys = clients.keys().ok_or(Stranger::Unknown(None))?;
        let content = keys.read(presented, Timestamp::now());
        let content = content.map_err(|reason| Stranger::AccessToken(reason.to_owned()))?;
        let client = clients.with_token(&content).map_err(Stranger::AccessToken)?;
        Ok(Client { name: client.id.clone(), read_only: client.read_only })
    }

    async fn with_entra_token(&self, presented: &str) -> Result<Client, Stranger> {
        let issuer = self.entra.as_ref().ok_or_else(|| Stranger::Unknown(Some(NO_ENTRA.to_owned())))?;
        let jwt = Jwt::parse(presented).map_err(|fault| Stranger::Entra(fault.to_owned()))?;
        issuer.believe(&jwt).await.map_err(|disbelief| match disbelief {
            Disbelief::Wrong(reason) => Stranger::Entra(reason),
            Disbelief::Unknown(reason) => Stranger::Undecided(reason),
        })?;
        Ok(Client { name: entra_token::CLIENT.to_owned(), read_only: false })
    }

    /// Which client it is that asks for a token, and how the credential stands in that token.
    pub(super) async fn client(&self, presented: &Presented) -> Result<(&Registration, Digest), Imposter> {
        match presented {
            Presented::Secret { id, secrets } => self.with_secret(id, secrets),
            Presented::Assertion { id, assertion } => {
                self.with_assertion(id.as_deref(), assertion.expose_secret()).await
            }
        }
    }

    fn with_secret(&self, id: &str, secrets: &[SecretString]) -> Result<(&Registration, Digest), Imposter> {
        let clients = &self.callers.clients;
        let found = secrets
            .iter()
            .filter_map(|secret| clients.with_secret(id, secret.expose_secret().as_bytes()))
            .next_back();
        found.ok_or_else(|| {
            // What stands in the place of an unknown id may be a secret.
            Imposter::Wrong(match clients.get(id).map(|client| &client.proof) {
                None => "the client_id is none of auth.clients".to_owned(),
                Some(Proof::Secrets(_)) => {
                    format!("client `{id}` showed a secret that is none of its secrets")
                }
                Some(Proof::Federation(_)) => {
                    format!("client `{id}` showed a secret, and has none: it has an issuer")
                }
            })
        })
    }

    /// An assertion is good as often as it is shown until it ends. To remember those that were (`jti`, RFC 7523 section 3)
    /// would refuse Entra's own retries, and stop nobody: whoever has taken one from Entra, or out of TLS, can be the first
    /// to show it, here or at another instance.
    async fn with_assertion(
        &self,
        id: Option<&str>,
        assertion: &str,
    ) -> Result<(&Registration, Digest), Imposter> {
        let jwt = Jwt::parse(assertion)
            .map_err(|fault| Imposter::Wrong(format!("the client_assertion: {fault}")))?;
        let clients = self.callers.clients.iter().filter_map(federated);
        let meant: Vec<_> = clients.filter(|(client, _)| id.is_none_or(|id| client.id == id)).collect();
        let mut imposter = Imposter::Wrong("the client_id is none of auth.clients with an issuer".to_owned());
        for (client, federation) in meant {
            let issuer = self.federations.iter().find(|(id, _)| *id == client.id).map(|(_, issuer)| issuer);
            let Some(issuer) = issuer else { continue };
            let told = |reason| format!("the client_assertion for client `{}`: {reason}", client.id);
            match issuer.believe(&jwt).await {
                Ok(()) => return Ok((client, federation.credential())),
                Err(Disbelief::Wrong(reason)) => imposter = imposter.or_wrong(told(reason)),
                Err(Disbelief::Unknown(reason)) => imposter = Imposter::Undecided(told(reason)),
            }
        }
        Err(imposter)
    }

    /// An access token for this client.
    pub(super) fn token_for(&self, client: &Registration, credential: Digest, end: i64) -> Option<String> {
        self.callers.clients.keys()?.sign(&Content { client: client.id.clone(), credential, end })
    }

    /// The keys of others, each with its address.
    pub(super) fn issuers(&self) -> impl Iterator<Item = (&str, Standing)> {
        self.keys.iter().map(|keys| (keys.url(), keys.standing()))
    }

    /// The parts of readiness.
    pub(super) fn health(&self, now: Timestamp) -> Vec<Component> {
        let others = self.entra.is_some() || !self.callers.clients.is_empty();
        let tokens = self.tokens.health(now, others);
        let mut parts = vec![tokens];
        if !self.keys.is_empty() {
            parts.push(self.keys_health(now));
        }
        parts
    }

    fn keys_health(&self, now: Timestamp) -> Component {
        let standings: Vec<_> = self.issuers().collect();
        let told: Vec<_> = standings.iter().map(|(url, standing)| standing.in_short(url)).collect();
        let by_secret = self.callers.clients.iter().any(|client| matches!(client.proof, Proof::Secrets(_)));
        let by_others = by_secret || !self.tokens.have_all_expired(now);
        let state = if standings.iter().all(|(_, standing)| standing.failure.is_none()) {
            if standings.iter().all(|(_, standing)| standing.since.is_some()) {
                Health::Fine
            } else {
                Health::Unknown
            }
        } else if by_others || standings.iter().any(|(_, standing)| standing.keys > 0) {
            Health::Stale
        } else {
            // Nobody could show anything that can be verified.
            Health::Failing
        };
        Component { name: "issuer_keys", state, detail: told.join("; ") }
    }
}

impl Imposter {
    /// While one client may still be the one, that is not decided against by another.
    fn or_wrong(self, reason: String) -> Self {
        match self {
            Self::Wrong(_) => Self::Wrong(reason),
            Self::Undecided(_) => self,
        }
    }
}

fn federated(client: &Registration) -> Option<(&Registration, &Federation)> {
    match &client.proof {
        Proof::Federation(federation) => Some((client, federation)),
        Proof::Secrets(_) => None,
    }
}
