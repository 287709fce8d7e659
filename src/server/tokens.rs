//! The tokens in force: by whom each is used, until when it is good, and whether it may change anything. Of the token
//! itself only the digest is kept.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::server::{expiry, minted};

/// A SHA-256.
pub type Digest = [u8; SHA256_OUTPUT_LEN];

/// A token that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique among the tokens in force.
    pub name: String,
    pub digest: Digest,
    /// From then on it is refused.
    pub expires: Option<Timestamp>,
    /// Whoever has it may look at everything, and change nothing.
    pub read_only: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    all: Vec<Token>,
    is_api_key: bool,
}

impl Tokens {
    /// The Ziflow API key as the token: Ziflow's own documented set-up, used only while nothing else is
    /// configured.
    pub fn of_api_key(key: &SecretString) -> Self {
        let digest = digest(key.expose_secret().as_bytes());
        let name = "ziflow-api-key".to_owned();
        Self { all: vec![Token { name, digest, expires: None, read_only: false }], is_api_key: true }
    }

    /// Whether the API key is the token, because nobody is configured.
    pub fn are_the_api_key(&self) -> bool {
        self.is_api_key
    }

    pub fn add(&mut self, token: Token) {
        self.all.push(token);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.all.iter()
    }

    /// What is different in another set.
    pub fn difference(&self, other: &Self) -> Difference {
        let names = |these: &Self, is: &dyn Fn(&Token) -> bool| {
            these.iter().filter(|token| is(token)).map(|token| token.name.clone()).collect()
        };
        Difference {
            added: names(other, &|token| self.get(&token.name).is_none()),
            removed: names(self, &|token| other.get(&token.name).is_none()),
            changed: names(other, &|token| self.get(&token.name).is_some_and(|before| before != token)),
        }
    }

    fn get(&self, name: &str) -> Option<&Token> {
        self.iter().find(|token| token.name == name)
    }

    /// The one with this digest, expired or not.
    pub(super) fn find(&self, presented: &Digest) -> Option<&Token> {
        // All are compared, so that the time does not tell which one fits.
        let fits = |known: &&Token| verify_slices_are_equal(&known.digest, presented).is_ok();
        let fitting: Vec<_> = self.iter().filter(fits).collect();
        fitting.first().copied()
    }

    /// Why this is none of them, as far as it shows; never what it is. Whoever presents it must not learn it.
    pub fn what_is_wrong_with(&self, presented: &str, now: Timestamp) -> Option<String> {
        let known = |text: &str| self.find(&digest(text.as_bytes()));
        if let Some(token) = known(presented) {
            let end = token.expires.filter(|end| *end <= now)?;
            return Some(format!(
                "the bearer token is the token {}, which has expired at {end}: {}",
                token.name,
                expiry::REMEDY
            ));
        }
        if let Some(token) = digest_from_hex(presented).and_then(|digest| self.find(&digest)) {
            let Token { name, .. } = token;
            return Some(format!(
                "the bearer token is the sha256 of the token {name}, which stands in the settings, and not the token"
            ));
        }
        let bare = bare(presented);
        if let Some(Token { name, .. }) = known(&bare) {
            return Some(format!(
                "the bearer token is the token {name} with quotes, blanks or a word around it"
            ));
        }
        minted::is_damaged(&bare).then(|| {
            "the bearer token begins like one that token new has made, and a piece of it is missing or has changed: copy all of it"
                .to_owned()
        })
    }
}

/// What is left without that which comes along when somebody copies.
fn bare(presented: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(presented).decode_utf8_lossy();
    let is_around = |c: char| c.is_whitespace() || "\"'`<>,;:".contains(c);
    let text = decoded.trim_matches(is_around);
    let word = text.get(.."bearer".len()).filter(|word| word.eq_ignore_ascii_case("bearer"));
    let text = word.and_then(|word| text.get(word.len()..)).unwrap_or(text);
    text.trim_matches(is_around).to_owned()
}

/// What is different about a set of tokens, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// Another token under the same name, or another end, or other rights.
    pub changed: Vec<String>,
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
    if hex.len() != bytes.len() * 2 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, token: &str) -> Token {
        Token { name: name.to_owned(), digest: digest(token.as_bytes()), expires: None, read_only: false }
    }

    #[test]
    fn sets_of_tokens_differ_by_name_token_end_and_rights() {
        let end = Some(Timestamp::UNIX_EPOCH);
        let of = |all| Tokens { all, is_api_key: false };
        let before = of(vec![
            token("stays", "1"),
            token("goes", "2"),
            token("turns", "3"),
            token("ends", "5"),
            token("looks", "6"),
        ]);
        let after = of(vec![
            token("turns", "4"),
            token("stays", "1"),
            token("comes", "2"),
            Token { expires: end, ..token("ends", "5") },
            Token { read_only: true, ..token("looks", "6") },
        ]);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (added, removed, changed) =
            (names(&["comes"]), names(&["goes"]), names(&["turns", "ends", "looks"]));
        assert_eq!(before.difference(&after), Difference { added, removed, changed });
        assert_eq!(before.difference(&before), Difference::default());
    }

    #[test]
    fn what_is_wrong_with_a_credential_is_known_without_naming_it() {
        let minted = minted::new_token().unwrap();
        let minted = minted.expose_secret();
        let over = Token { expires: Some(Timestamp::UNIX_EPOCH), ..token("over", "three") };
        let all = vec![token("entra", minted), token("plain", "two"), over];
        let tokens = Tokens { all, is_api_key: false };
        let sha256 = hex(&digest(minted.as_bytes()));
        let (cut, piece) = (minted.get(..70).unwrap(), minted.get(4..10).unwrap());
        for (presented, reason) in [
            (sha256.as_str(), Some("the sha256 of the token entra")),
            (&sha256.to_uppercase(), Some("the sha256 of the token entra")),
            (cut, Some("a piece of it is missing")),
            (&format!("\"{cut}"), Some("a piece of it is missing")),
            (&format!("\"{minted}\""), Some("the token entra with quotes")),
            (&format!("{minted}%0a"), Some("the token entra with quotes")),
            (&format!("Bearer {minted}"), Some("the token entra with quotes")),
            ("'two'", Some("the token plain with quotes")),
            ("three", Some("the token over, which has expired at 1970-01-01T00:00:00Z")),
            ("two", None),
            ("nobody's", None),
            ("bearér", None),
            ("", None),
        ] {
            let told = tokens.what_is_wrong_with(presented, Timestamp::now());
            assert_eq!(told.is_some(), reason.is_some(), "{presented} {told:?}");
            let told = told.unwrap_or_default();
            assert!(told.contains(reason.unwrap_or_default()), "{presented} {told}");
            assert!(!told.contains(piece) && !told.contains(&sha256), "{told}");
        }
    }

    #[test]
    fn a_digest_is_read_from_hex() {
        let text = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        assert_eq!(digest_from_hex(text), Some(digest(b"foo")));
        assert_eq!(hex(&digest(b"foo")), text);
        let signed = format!("+{}", text.get(1..).unwrap());
        for bad in ["", "2c", &text.replace('c', ""), &text.replace('2', "g"), &format!("{text}00"), &signed]
        {
            assert_eq!(digest_from_hex(bad), None, "{bad}");
        }
    }
}
