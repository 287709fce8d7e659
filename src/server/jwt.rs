//! Tokens that others sign: a JSON Web Token (RFC 7519) in the compact form of RFC 7515, read strictly and believed only
//! under RS256 with a key that is already known. What a token says about keys of its own is a reason to refuse it.
//!
//! The reading is the bridge's own because it must be stricter than libraries are: a claim that stands there twice is read
//! one way by one reader and the other way by the next. The mathematics is the library's.

use std::fmt;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::server::json;

/// Those of Entra have about 2,000. Nothing longer is taken apart.
const MAX_BYTES: usize = 8192;

/// And nothing deeper, or of more parts: claims are texts and numbers, and a few lists of them.
const MAX_DEPTH: usize = 8;
const MAX_VALUES: usize = 1000;

/// By their own names for it, all of them name a key, or where to fetch one (RFC 7515 section 4.1).
const KEYS_OF_ITS_OWN: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// What is wrong with a token, for the log: nothing of the token itself is in it.
pub type Fault = &'static str;

/// A token that has been read, and not been believed yet.
pub struct Jwt<'a> {
    /// Which key is said to have signed it.
    pub kid: String,
    pub claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// A public RSA key of 2,048 to 8,192 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

/// Whoever reads a token in a log could use it.
impl fmt::Debug for Jwt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").finish_non_exhaustive()
    }
}

impl<'a> Jwt<'a> {
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            return Err("it is longer than any token of Entra");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("it is no JSON Web Token")?;
        let (header, claims) = signed.split_once('.').ok_or("it is no JSON Web Token")?;
        if claims.contains('.') {
            return Err("it has more than three parts");
        }
        let header = object(header).ok_or("its header is no JSON object, or names a member twice")?;
        let kid = kid(&header)?;
        let claims = object(claims).ok_or("its claims are no JSON object, or one stands there twice")?;
        let signature = decode(signature).filter(|bytes| !bytes.is_empty()).ok_or("it has no signature")?;
        Ok(Self { kid, claims, signed, signature })
    }

    /// Whether this key has signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let key = RsaPublicKeyComponents { n: &key.n, e: &key.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature).is_ok()
    }
}

impl PublicKey {
    /// From modulus and exponent as a key set writes them; none if no key can be made of them that is long enough.
    pub fn new(n: &str, e: &str) -> Option<Self> {
        const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
        let n = without_leading_zeros(decode(n)?);
        let e = without_leading_zeros(decode(e)?);
        let unused = usize::try_from(n.first()?.leading_zeros()).ok()?;
        // Under the exponent 1 everybody could sign; those of Entra and of every certificate authority are 65537.
        let exponent =
            e.iter().try_fold(0_u32, |value, byte| value.checked_mul(256)?.checked_add((*byte).into()))?;
        let is_usual = exponent >= 65537 && exponent % 2 == 1;
        let components = RsaPublicKeyComponents { n: &n, e: &e };
        let is_whole = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).is_ok();
        (BITS.contains(&(n.len() * 8 - unused)) && is_usual && is_whole).then_some(Self { n, e })
    }
}

/// The name of the key, once it is clear that nothing else about the signature is to be decided.
fn kid(header: &Map<String, Value>) -> Result<String, Fault> {
    // Neither `none` nor HS256, under which the public key would be the secret (RFC 8725 section 3.1).
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err("`alg` in its header is not RS256");
    }
    // RFC 7515 section 4.1.11: what is critical and not understood makes the token invalid; nothing is understood.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err("its header holds `crit` or `b64`");
    }
    if KEYS_OF_ITS_OWN.iter().any(|name| header.contains_key(*name)) {
        return Err("its header brings a key of its own (`jwk`, `jku`, `x5u` or `x5c`)");
    }
    // RFC 8725 section 3.11: another kind of token of the same issuer is no access token.
    let typ = header.get("typ").map(|typ| typ.as_str().unwrap_or_default());
    if typ.is_some_and(|typ| !["jwt", "at+jwt"].contains(&typ.to_ascii_lowercase().as_str())) {
        return Err("`typ` in its header is not JWT");
    }
    match header.get("kid").and_then(Value::as_str) {
        Some(kid) if !kid.is_empty() => Ok(kid.to_owned()),
        _ => Err("its header names no key (`kid`)"),
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match json::parse(&decode(part)?, MAX_DEPTH, MAX_VALUES).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Without padding, and with one spelling for each value.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use serde_json::json;

    use super::*;

    pub(in crate::server) fn encoded(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// A key that signs, and its public half as a key set shows it.
    pub(in crate::server) struct Signer {
        pair: KeyPair,
        pub(in crate::server) kid: &'static str,
    }

    impl Signer {
        pub(in crate::server) fn new(kid: &'static str) -> Self {
            Self { pair: KeyPair::generate(KeySize::Rsa2048).unwrap(), kid }
        }

        pub(in crate::server) fn jwk(&self) -> Value {
            // PKCS #1: a sequence of two numbers, of which the second is 65537.
            let der = self.pair.public_key().as_ref();
            let (n, e) = (der.get(9..265).unwrap(), der.last_chunk::<3>().unwrap());
            json!({"kty": "RSA", "use": "sig", "kid": self.kid, "n": encoded(n), "e": encoded(e)})
        }

        pub(in crate::server) fn key(&self) -> PublicKey {
            let jwk = self.jwk();
            PublicKey::new(jwk["n"].as_str().unwrap(), jwk["e"].as_str().unwrap()).unwrap()
        }

        pub(in crate::server) fn sign(&self, claims: &Value) -> String {
            let header = json!({"typ": "JWT", "alg": "RS256", "kid": self.kid, "x5t": "x"});
            self.sign_as(&header.to_string(), &claims.to_string())
        }

        pub(in crate::server) fn sign_as(&self, header: &str, claims: &str) -> String {
            let signed = format!("{}.{}", encoded(header), encoded(claims));
            let mut signature = vec![0; self.pair.public_modulus_len()];
            self.pair
                .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
                .unwrap();
            format!("{signed}.{}", encoded(signature))
        }
    }

    #[test]
    fn a_token_is_believed_under_the_key_that_signed_it_and_no_other() {
        let (signer, other) = (Signer::new("a"), Signer::new("a"));
        let text = signer.sign(&json!({"aud": "x"}));
        let jwt = Jwt::parse(&text).unwrap();
        assert_eq!((jwt.kid.as_str(), &jwt.claims["aud"]), ("a", &json!("x")));
        assert!(jwt.is_signed_by(&signer.key()) && !jwt.is_signed_by(&other.key()));
        // The claims of one under the signature of another.
        let (head, signature) = text.rsplit_once('.').unwrap();
        let second = signer.sign(&json!({"aud": "y"}));
        let mixed = format!("{}.{signature}", second.rsplit_once('.').unwrap().0);
        assert!(!Jwt::parse(&mixed).unwrap().is_signed_by(&signer.key()));
        let cut = format!("{head}.{}", signature.get(..100).unwrap());
        assert!(!Jwt::parse(&cut).unwrap().is_signed_by(&signer.key()));
    }

    #[test]
    fn what_is_doubtful_about_a_token_is_a_reason_to_refuse_it() {
        let good = r#"{"alg":"RS256","kid":"a"}"#;
        let of = |header: &str, claims: &str| format!("{}.{}.c2ln", encoded(header), encoded(claims));
        for header in [good, r#"{"alg":"RS256","kid":"a","typ":"at+jwt","x5t":"x","nonce":"n"}"#] {
            assert!(Jwt::parse(&of(header, "{}")).is_ok(), "{header}");
        }
        for (text, fault) in [
            ("", "it is no JSON Web Token"),
            ("a.b", "it is no JSON Web Token"),
            ("a.b.c.d", "it has more than three parts"),
            ("a.b.c.d.e", "it has more than three parts"),
            ("..", "its header is no JSON object, or names a member twice"),
            (&"x".repeat(8193), "it is longer than any token of Entra"),
            (&of("[]", "{}"), "its header is no JSON object, or names a member twice"),
            (
                &of(r#"{"alg":"RS256","alg":"none","kid":"a"}"#, "{}"),
                "its header is no JSON object, or names a member twice",
            ),
            (&of(r#"{"alg":"none","kid":"a"}"#, "{}"), "`alg` in its header is not RS256"),
            (&of(r#"{"alg":"HS256","kid":"a"}"#, "{}"), "`alg` in its header is not RS256"),
            (&of(r#"{"alg":"PS256","kid":"a"}"#, "{}"), "`alg` in its header is not RS256"),
            (&of(r#"{"alg":["RS256"],"kid":"a"}"#, "{}"), "`alg` in its header is not RS256"),
            (&of(r#"{"kid":"a"}"#, "{}"), "`alg` in its header is not RS256"),
            (&of(r#"{"alg":"RS256"}"#, "{}"), "its header names no key (`kid`)"),
            (&of(r#"{"alg":"RS256","kid":""}"#, "{}"), "its header names no key (`kid`)"),
            (&of(r#"{"alg":"RS256","kid":1}"#, "{}"), "its header names no key (`kid`)"),
            (&of(r#"{"alg":"RS256","kid":"a","crit":["x"]}"#, "{}"), "its header holds `crit` or `b64`"),
            (&of(r#"{"alg":"RS256","kid":"a","crit":[]}"#, "{}"), "its header holds `crit` or `b64`"),
            (&of(r#"{"alg":"RS256","kid":"a","b64":false}"#, "{}"), "its header holds `crit` or `b64`"),
            (
                &of(r#"{"alg":"RS256","kid":"a","jku":"https://evil.example"}"#, "{}"),
                "its header brings a key of its own (`jwk`, `jku`, `x5u` or `x5c`)",
            ),
            (
                &of(r#"{"alg":"RS256","kid":"a","jwk":{}}"#, "{}"),
                "its header brings a key of its own (`jwk`, `jku`, `x5u` or `x5c`)",
            ),
            (&of(r#"{"alg":"RS256","kid":"a","typ":"logout+jwt"}"#, "{}"), "`typ` in its header is not JWT"),
            (&of(good, "[]"), "its claims are no JSON object, or one stands there twice"),
            (
                &of(good, r#"{"aud":"x","aud":"y"}"#),
                "its claims are no JSON object, or one stands there twice",
            ),
            (&format!("{}.e30.", encoded(good)), "it has no signature"),
            (&format!("{}.e30.c2ln=", encoded(good)), "it has no signature"),
            // The same bytes, spelt another way.
            (
                &format!("{}.e31.c2ln", encoded(good)),
                "its claims are no JSON object, or one stands there twice",
            ),
        ] {
            assert_eq!(Jwt::parse(text).err(), Some(fault), "{text}");
        }
    }

    #[test]
    fn a_key_is_long_enough_or_none() {
        let signer = Signer::new("a");
        let n = signer.jwk()["n"].as_str().unwrap().to_owned();
        let padded = encoded([&[0][..], &URL_SAFE_NO_PAD.decode(&n).unwrap()].concat());
        assert_eq!(PublicKey::new(&padded, "AQAB"), PublicKey::new(&n, "AQAB"));
        assert!(PublicKey::new(&n, "AQAB").is_some());
        let mut short = vec![0xff; 128];
        assert!(PublicKey::new(&encoded(&short), "AQAB").is_none());
        short.resize(255, 0xff);
        assert!(PublicKey::new(&encoded(&short), "AQAB").is_none());
        assert!(PublicKey::new(&encoded(vec![0xff; 1025]), "AQAB").is_none());
        for (n, e) in
            [("", "AQAB"), (&*n, ""), (&*n, "AA"), (&*n, "AQ"), (&*n, "Aw"), (&*n, "AQAC"), ("!", "AQAB")]
        {
            assert!(PublicKey::new(n, e).is_none(), "{n} {e}");
        }
    }
}
