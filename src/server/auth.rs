//! Who may speak: bearer tokens (RFC 6750), kept as digests and compared without telling how much of one fits.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::scim::error::Error;

/// A SHA-256.
pub type Digest = [u8; SHA256_OUTPUT_LEN];

/// The tokens that are accepted, by name.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<(String, Digest)>);

impl Tokens {
    /// The Ziflow API key as the token: Ziflow's own documented set-up, used only while nothing else is
    /// configured.
    pub fn of_api_key(key: &SecretString) -> Self {
        Self(vec![("ziflow-api-key".to_owned(), digest(key.expose_secret().as_bytes()))])
    }

    /// Whether the API key is the token.
    pub fn are_the_api_key(&self, key: &SecretString) -> bool {
        let of_key = Self::of_api_key(key);
        self.0 == of_key.0
    }

    pub fn add(&mut self, name: &str, digest: Digest) {
        self.0.push((name.to_owned(), digest));
    }

    /// What is different in another set.
    pub fn difference(&self, other: &Self) -> Difference {
        let names = |these: &Self, is: &dyn Fn(&str, &Digest) -> bool| {
            these.0.iter().filter(|(name, digest)| is(name, digest)).map(|(name, _)| name.clone()).collect()
        };
        Difference {
            added: names(other, &|name, _| self.get(name).is_none()),
            removed: names(self, &|name, _| other.get(name).is_none()),
            changed: names(other, &|name, digest| self.get(name).is_some_and(|before| before != digest)),
        }
    }

    fn get(&self, name: &str) -> Option<&Digest> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, digest)| digest)
    }

    /// The name of the token that the request carries.
    pub fn check(&self, headers: &HeaderMap) -> Result<&str, Error> {
        let presented = bearer(headers).ok_or_else(|| {
            refused("no bearer token: paste the bridge's token into Entra's field Secret Token")
        })?;
        let presented = digest(presented.as_bytes());
        // All are compared, so that the time does not tell which one fits.
        let fits = |known: &&(String, Digest)| verify_slices_are_equal(&known.1, &presented).is_ok();
        let fitting: Vec<_> = self.0.iter().filter(fits).collect();
        let name = fitting.first().map(|(name, _)| name.as_str());
        name.ok_or_else(|| {
            refused("the bearer token is not one of the bridge's; compare it with Entra's Secret Token")
        })
    }
}

/// What is different about a set of tokens, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Another token under the same name.
    pub changed: Vec<String>,
}

/// The door: the tokens in force, which may become others while requests arrive.
#[derive(Debug)]
pub struct Door(ArcSwap<Tokens>);

impl Door {
    pub fn new(tokens: Tokens) -> Self {
        Self(ArcSwap::from_pointee(tokens))
    }

    /// The name of the token that the request carries.
    pub fn check(&self, headers: &HeaderMap) -> Result<String, Error> {
        self.0.load().check(headers).map(str::to_owned)
    }

    pub fn tokens(&self) -> Arc<Tokens> {
        self.0.load_full()
    }

    /// From the next request on these are accepted, and no others.
    pub fn put(&self, tokens: Tokens) {
        self.0.store(Arc::new(tokens));
    }
}

/// SHA-256 of a token.
pub fn digest(token: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, token).as_ref());
    bytes
}

/// A digest from its 64 hexadecimal digits.
pub fn digest_from_hex(hex: &str) -> Option<Digest> {
    let mut bytes = Digest::default();
    if hex.len() != bytes.len() * 2 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
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

fn refused(detail: &str) -> Error {
    Error::new(StatusCode::UNAUTHORIZED, detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    #[test]
    fn only_a_known_token_speaks() {
        let mut tokens = Tokens::default();
        tokens.add("old", digest(b"one"));
        tokens.add("new", digest(b"two"));
        for (header, name) in [
            ("Bearer one", Some("old")),
            ("bearer two", Some("new")),
            ("Bearer  two ", Some("new")),
            ("Bearer three", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic one", None),
            ("one", None),
        ] {
            assert_eq!(tokens.check(&with(header)).ok(), name, "{header}");
        }
        assert_eq!(tokens.check(&HeaderMap::new()).unwrap_err().status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn sets_of_tokens_differ_by_name_and_by_token() {
        let set = |tokens: &[(&str, &str)]| {
            let mut set = Tokens::default();
            for (name, token) in tokens {
                set.add(name, digest(token.as_bytes()));
            }
            set
        };
        let before = set(&[("stays", "1"), ("goes", "2"), ("turns", "3")]);
        let after = set(&[("turns", "4"), ("stays", "1"), ("comes", "2")]);
        let names = |name: &str| vec![name.to_owned()];
        let (added, removed, changed) = (names("comes"), names("goes"), names("turns"));
        assert_eq!(before.difference(&after), Difference { added, removed, changed });
        assert_eq!(before.difference(&before), Difference::default());
    }

    #[test]
    fn a_digest_is_read_from_hex() {
        let hex = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(digest_from_hex(hex), Some(digest(b"foo")));
        for bad in ["", "2c", &hex.replace('c', ""), &hex.replace('2', "g"), &format!("{hex}00")] {
            assert_eq!(digest_from_hex(bad), None, "{bad}");
        }
    }
}
