//! The access tokens that the bridge gives out at `/oauth2/token`: signed with a key that outlives the process and is
//! shared by its instances, so that nobody has to remember them.
//!
//! A token says whose it is, until when, and with which credential it was got. It is letters, digits, `-` and `_`, and
//! with an ordinary client id less than 200 characters: in the US Government cloud all credentials of a job share 1 KB.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::server::tokens::{Digest, digest_from_hex};

/// How such a token begins. Those of `token new` begin otherwise.
pub const PREFIX: &str = "zsa_";

/// Signed with the content, so that nothing else that the key may sign one day is taken for a token.
const CONTEXT: &[u8] = b"ziflow-scim-bridge access token 1\n";

const SIGNATURE_BYTES: usize = 32;
const END_BYTES: usize = 8;
const CREDENTIAL_BYTES: usize = 32;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub client: String,
    /// Which of the client's credentials it was got with.
    pub credential: Digest,
    /// In seconds since 1970.
    pub end: i64,
}

/// Keys that sign: the first makes tokens, all of them are believed.
#[derive(Clone, Debug)]
pub struct SigningKeys(Vec<hmac::Key>);

impl SigningKeys {
    /// One key or two, each of 64 hexadecimal digits, in lines of their own. Fails with what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "each line must be a key of 64 hexadecimal digits, and nothing else";
        let keys = text.split_whitespace().map(digest_from_hex).collect::<Option<Vec<_>>>().ok_or(FORM)?;
        match keys.as_slice() {
            [] => Err("there is no key in it"),
            [_] => Ok(()),
            [one, other] if one != other => Ok(()),
            [_, _] => Err("both keys are the same"),
            _ => Err("there are more than two keys in it"),
        }?;
        // What was typed in place of a key, to have one.
        if keys.iter().any(|key| key.iter().all(|byte| Some(byte) == key.first())) {
            return Err("a key that is one digit over and over is known to everybody");
        }
        Ok(Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect()))
    }

    /// A token with this content.
    pub fn sign(&self, content: &Content) -> Option<String> {
        let bytes = content.to_bytes();
        let signature = hmac::sign(self.0.first()?, &signed(&bytes));
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&bytes, signature.as_ref()].concat())))
    }

    /// What a token says, if it is one of ours that is good at this moment.
    pub fn read(&self, token: &str, now: Timestamp) -> Result<Content, &'static str> {
        let bytes = token.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let parts = bytes
            .as_ref()
            .and_then(|bytes| bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?));
        let (bytes, signature) = parts.ok_or("it is no whole token of the bridge's")?;
        let message = signed(bytes);
        if !self.0.iter().any(|key| hmac::verify(key, &message, signature).is_ok()) {
            return Err("none of the bridge's keys has signed it");
        }
        let content = Content::from_bytes(bytes).ok_or("it is no whole token of the bridge's")?;
        if now.as_second() >= content.end {
            return Err("it has expired");
        }
        Ok(content)
    }
}

/// Keys are the same if they sign the same.
impl PartialEq for SigningKeys {
    fn eq(&self, other: &Self) -> bool {
        let marks = |keys: &Self| -> Vec<Vec<u8>> {
            keys.0.iter().map(|key| hmac::sign(key, b"which key").as_ref().to_vec()).collect()
        };
        marks(self) == marks(other)
    }
}

impl Eq for SigningKeys {}

fn signed(bytes: &[u8]) -> Vec<u8> {
    [CONTEXT, bytes].concat()
}

impl Content {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.end.to_be_bytes(), self.credential.as_slice(), self.client.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (end, rest) = bytes.split_first_chunk::<END_BYTES>()?;
        let (credential, client) = rest.split_first_chunk::<CREDENTIAL_BYTES>()?;
        let client = String::from_utf8(client.to_vec()).ok()?;
        Some(Self { client, credential: *credential, end: i64::from_be_bytes(*end) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tokens::digest;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn keys(text: &str) -> SigningKeys {
        SigningKeys::parse(text).unwrap_or_else(|fault| panic!("{fault}"))
    }

    const ONE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const TWO: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn a_token_says_what_it_was_made_with_until_it_ends() {
        let content = Content { client: "entra".to_owned(), credential: digest(b"secret"), end: 1000 };
        let token = keys(ONE).sign(&content).unwrap();
        assert!(token.starts_with("zsa_") && token.len() < 130, "{token}");
        assert_eq!(keys(ONE).read(&token, at(999)), Ok(content.clone()));
        assert_eq!(keys(ONE).read(&token, at(1000)), Err("it has expired"));
        let long = Content { client: "x".repeat(64), ..content.clone() };
        assert!(keys(ONE).sign(&long).unwrap().len() < 200);
        for turned in 4..token.len() {
            let mut other = token.clone().into_bytes();
            other[turned] = if other[turned] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(other == token || keys(ONE).read(&other, at(0)).is_err(), "{other}");
        }
        for other in [
            "",
            "zsa_",
            "zsa_AAAA",
            token.trim_start_matches(PREFIX),
            &format!("{token}A"),
            &format!("{token}="),
        ] {
            assert!(keys(ONE).read(other, at(0)).is_err(), "{other}");
        }
    }

    #[test]
    fn the_first_key_signs_and_both_are_believed() {
        let content = Content { client: "entra".to_owned(), credential: digest(b"secret"), end: 1000 };
        let (old, both, new) = (keys(ONE), keys(&format!("{TWO}\n{ONE}\n")), keys(TWO));
        let of = |keys: &SigningKeys| keys.sign(&content).unwrap();
        assert_eq!(of(&both), of(&new));
        for (reader, token, is_good) in [
            (&both, of(&old), true),
            (&both, of(&new), true),
            (&new, of(&both), true),
            (&new, of(&old), false),
            (&old, of(&new), false),
        ] {
            assert_eq!(reader.read(&token, at(0)).is_ok(), is_good);
        }
        assert!(old == keys(&format!(" {ONE}\n")) && old != new && both != new);
    }

    #[test]
    fn what_is_no_key_is_told() {
        for (text, fault) in [
            ("", "there is no key in it"),
            ("abc", "each line must be a key of 64 hexadecimal digits, and nothing else"),
            (&format!("{ONE} {TWO} {}", ONE.replace('0', "1")), "there are more than two keys in it"),
            (&format!("{ONE}\n{ONE}"), "both keys are the same"),
            (&"00".repeat(32), "a key that is one digit over and over is known to everybody"),
        ] {
            assert_eq!(SigningKeys::parse(text).err(), Some(fault), "{text}");
        }
    }
}
