//! `auth.tokens`: from what is written to the tokens in force, and what is doubtful about them.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::config::Loader;
use crate::config::clients::Others;
use crate::config::layer::{DIGEST, DIGEST_HINT, NEW_TOKEN, text_of as text};
use crate::config::secrets::{Wrong, is_graphic, wrong};
use crate::server::tokens::{Digest, Token, Tokens, digest, digest_from_hex};
use crate::server::{expiry, minted};
use crate::yaml::Severity;

const TOKENS: &str = "auth.tokens";
const NO_TOKEN: &str = "it is empty, or holds blanks or letters that no header can carry";

impl Loader {
    /// The tokens with which others speak to the bridge; none while no token is configured.
    pub(super) fn tokens(&mut self, api_key: Option<&SecretString>, others: Others) -> Option<Tokens> {
        let value = self.value(TOKENS);
        let entries = value.as_ref().and_then(Value::as_array).filter(|entries| !entries.is_empty())?;
        let api_key = api_key.map(|key| digest(key.expose_secret().as_bytes()));
        let mut known: Vec<(String, Token)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let name = text(entry, "name").unwrap_or_default().to_owned();
            let place = format!("{TOKENS}[{index}]");
            match self.digest(entry, &place) {
                Ok(digest) => {
                    let expires = text(entry, "expires").and_then(expiry::parse);
                    let read_only = entry.get("read_only") == Some(&Value::Bool(true));
                    let token = Token { name, digest, expires, read_only };
                    self.check_token(&place, &token, &known, api_key);
                    known.push((place, token));
                }
                Err((setting, (message, hint))) => {
                    self.report(Severity::Error, &setting, &format!("token `{name}`: {message}"), &hint);
                }
            }
        }
        // Of those that cannot be read, nobody knows whether they are good.
        if known.len() == entries.len() {
            self.check_use(&known, others, Timestamp::now());
        }
        let mut tokens = Tokens::default();
        for (_, token) in known {
            tokens.add(token);
        }
        Some(tokens)
    }

    /// The first token that is still good and that the settings hold themselves, or in a file.
    pub(super) fn plain_token(&mut self) -> Option<SecretString> {
        let value = self.value(TOKENS)?;
        let now = Timestamp::now();
        let is_good =
            |entry: &&Value| text(entry, "expires").and_then(expiry::parse).is_none_or(|end| now < end);
        let mut token = |entry: &Value| {
            let in_file = || self.secret_file("auth.tokens[0].token_file", text(entry, "token_file")?).ok();
            text(entry, "token").map(str::to_owned).or_else(in_file)
        };
        value.as_array()?.iter().filter(is_good).find_map(&mut token).map(SecretString::from)
    }

    /// The digest of one token, or the setting that is wrong about it.
    fn digest(&mut self, entry: &Value, place: &str) -> Result<Digest, (String, Wrong)> {
        let at = |key: &'static str| move |wrong| (format!("{place}.{key}"), wrong);
        let (key, token) = match (text(entry, "token"), text(entry, "token_file"), text(entry, "sha256")) {
            (Some(token), _, _) => ("token", Ok(token.to_owned())),
            (_, Some(name), _) => ("token_file", self.secret_file(&format!("{place}.token_file"), name)),
            (_, _, hex) => return of_digest(hex.unwrap_or_default()).map_err(at("sha256")),
        };
        token.and_then(|token| of_token(&token)).map_err(at(key))
    }

    /// Tokens are told apart by their names and by nothing else.
    fn check_token(
        &mut self,
        place: &str,
        token: &Token,
        known: &[(String, Token)],
        api_key: Option<Digest>,
    ) {
        let Token { name, digest, .. } = token;
        let other =
            |is: &dyn Fn(&Token) -> bool| known.iter().map(|(_, token)| token).find(|token| is(token));
        if other(&|other| other.name == *name).is_some() {
            let message = format!("two tokens are called `{name}`: the log could not tell them apart");
            let hint = "give each of them a name of its own";
            self.report(Severity::Error, &format!("{place}.name"), &message, hint);
        } else if let Some(Token { name: other, .. }) = other(&|other| other.digest == *digest) {
            let message =
                format!("the tokens `{other}` and `{name}` are the same, so one cannot be taken away alone");
            self.report(Severity::Error, place, &message, "make a new token for one of them");
        }
        if api_key == Some(*digest) {
            let message =
                format!("token `{name}` is the Ziflow API key: whoever reads it is an admin in Ziflow");
            let hint = "make a token of its own: `ziflow-scim-bridge token new`";
            self.report(Severity::Warning, place, &message, hint);
        }
    }

    /// Tokens that end, and whether there is anything with which Entra can change something.
    fn check_use(&mut self, tokens: &[(String, Token)], others: Others, now: Timestamp) {
        let good: Vec<_> = tokens.iter().filter(|(_, token)| !token.has_expired(now)).collect();
        if good.is_empty() && !others.any {
            let told: Vec<_> = tokens.iter().filter_map(|(_, token)| token.announcement(now)).collect();
            let message =
                format!("every token has expired, so nobody can speak to the bridge: {}", told.join("; "));
            // No error: time has passed, and nothing is wrong with the files. A service that stays down after the next
            // restart could neither say so to monitoring nor be healed by a reload.
            self.report(Severity::Warning, TOKENS, &message, NEW_TOKEN);
            return;
        }
        for (place, token) in tokens {
            if let Some(announcement) = token.announcement(now) {
                self.report(Severity::Warning, &format!("{place}.expires"), &announcement, expiry::REMEDY);
            }
        }
        if let Some((place, _)) =
            good.first().filter(|_| !others.write && good.iter().all(|(_, token)| token.read_only))
        {
            let message = "every valid token is read-only, so Entra can change nothing";
            let hint = "take read_only away from Entra's token, or make one for Entra with `ziflow-scim-bridge token new`";
            self.report(Severity::Warning, &format!("{place}.read_only"), message, hint);
        }
    }
}

/// The digest of a token that can be one.
pub(super) fn of_token(token: &str) -> Result<Digest, Wrong> {
    if !is_graphic(token) {
        return wrong(NO_TOKEN, NEW_TOKEN);
    }
    if minted::is_damaged(token) {
        let message = "it was made by `token new`, and is not whole any more: its check sum is wrong";
        return wrong(message, "copy it once more, or make another");
    }
    Ok(digest(token.as_bytes()))
}

/// A pipeline that lost the token on its way digests nothing, or the end of a line.
pub(super) fn of_digest(hex: &str) -> Result<Digest, Wrong> {
    match digest_from_hex(hex) {
        Some(found) if found != digest(b"") && found != digest(b"\n") => Ok(found),
        Some(_) => wrong("this is the digest of an empty text", DIGEST_HINT),
        None => wrong(DIGEST, DIGEST_HINT),
    }
}
