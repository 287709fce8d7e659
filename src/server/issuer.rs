//! Somebody whose tokens are believed: which keys are theirs, and what their tokens must say.

use std::sync::Arc;

use jiff::Timestamp;

use crate::server::claims::Expected;
use crate::server::issuer_keys::{Found, IssuerKeys};
use crate::server::jwt::Jwt;

const UNSIGNED: &str = "its signature is not that of the key that it names";

#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) keys: Arc<IssuerKeys>,
    pub(super) expected: Expected,
}

/// Why a token is not believed.
#[derive(Debug)]
pub(super) enum Disbelief {
    /// For the log, without the token.
    Wrong(String),
    /// It may be right: its key is not known, and the keys cannot be fetched.
    Unknown(String),
}

impl Issuer {
    /// Whether the token is this issuer's, says what it must, and is good at this moment.
    pub(super) async fn believe(&self, jwt: &Jwt<'_>) -> Result<(), Disbelief> {
        let claims = self.expected.check(&jwt.claims, Timestamp::now());
        let key = match (self.keys.known(&jwt.kid), &claims) {
            (Some(key), _) => key,
            // No key could make it right, so none is looked for.
            (None, Err(wrong)) => return Err(Disbelief::Wrong(wrong.in_short())),
            (None, Ok(())) => match self.keys.find(&jwt.kid).await {
                Found::Key(key) => key,
                Found::None => {
                    return Err(Disbelief::Wrong("the issuer has no key of the name in its `kid`".into()));
                }
                Found::Unreached => {
                    let reason = format!("its key is not known, and {} cannot be asked", self.keys.url());
                    return Err(Disbelief::Unknown(reason));
                }
            },
        };
        if !jwt.is_signed_by(&key) {
            return Err(Disbelief::Wrong(UNSIGNED.into()));
        }
        claims.map_err(|wrong| Disbelief::Wrong(wrong.in_full()))
    }
}
