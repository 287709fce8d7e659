//! Everybody who may speak, as the settings say: holders of tokens, Entra with tokens of its own, and clients that get
//! theirs at `/oauth2/token`.

use jiff::Timestamp;
use secrecy::SecretString;

use crate::server::clients::{Clients, Registration};
use crate::server::entra_token;
use crate::server::tokens::{Difference, Tokens};

#[derive(Clone, Debug, Default)]
pub struct Callers {
    pub tokens: Tokens,
    pub entra: Option<entra_token::Settings>,
    pub clients: Clients,
}

impl Callers {
    /// While nothing at all is configured, the Ziflow API key is the token.
    pub fn of_api_key(key: &SecretString) -> Self {
        Self { tokens: Tokens::of_api_key(key), ..Self::default() }
    }

    /// Whether there is no credential that opens anything.
    pub fn let_nobody_in(&self, now: Timestamp) -> bool {
        self.entra.is_none() && self.clients.is_empty() && self.tokens.have_all_expired(now)
    }

    /// What is different in another set, in words for the log.
    pub fn difference(&self, other: &Self) -> Vec<String> {
        let Difference { added, removed, changed } = self.tokens.difference(&other.tokens);
        let mut told = named("tokens", [added, removed, changed]);
        let ids = |these: &Self, is: &dyn Fn(&Registration) -> bool| -> Vec<String> {
            these.clients.iter().filter(|client| is(client)).map(|client| client.id.clone()).collect()
        };
        let in_self = |client: &Registration| self.clients.get(&client.id);
        told.extend(named(
            "clients",
            [
                ids(other, &|client| in_self(client).is_none()),
                ids(self, &|client| other.clients.get(&client.id).is_none()),
                ids(other, &|client| in_self(client).is_some_and(|before| before != client)),
            ],
        ));
        if self.clients.keys() != other.clients.keys() {
            told.push("auth.signing_key".to_owned());
        }
        if self.entra != other.entra {
            told.push("auth.entra".to_owned());
        }
        told
    }
}

impl From<Tokens> for Callers {
    fn from(tokens: Tokens) -> Self {
        Self { tokens, ..Self::default() }
    }
}

fn named(what: &str, [added, removed, changed]: [Vec<String>; 3]) -> Vec<String> {
    let named = [("added", added), ("removed", removed), ("changed", changed)];
    let named = named.into_iter().filter(|(_, names)| !names.is_empty());
    named.map(|(how, names)| format!("{what} {how}: {}", names.join(", "))).collect()
}
