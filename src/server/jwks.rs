//! Key sets (RFC 7517 section 5): the bytes that an issuer publishes → its public keys by their names.

use std::collections::HashMap;

use serde_json::Value;

use crate::server::json;
use crate::server::jwt::PublicKey;

/// A key has about ten parts, and an issuer about ten keys.
const MAX_DEPTH: usize = 8;
const MAX_VALUES: usize = 10_000;

/// The keys that can sign under RS256, by `kid`.
pub type Keys = HashMap<String, PublicKey>;

/// Reads a key set. Keys for another purpose, of another kind, too short or without a name are left out, as section 5 of
/// the RFC wants it; without any other there is no set.
pub fn parse(bytes: &[u8]) -> Result<Keys, &'static str> {
    let document = json::parse(bytes, MAX_DEPTH, MAX_VALUES).map_err(|_error| "what is there is no JSON")?;
    let set = document.get("keys").and_then(Value::as_array).ok_or("there is no list `keys` in it")?;
    let (mut keys, mut doubtful) = (Keys::new(), Vec::new());
    for (kid, key) in set.iter().filter_map(named) {
        // Two keys of one name leave open which of them is meant.
        if keys.get(&kid).is_some_and(|known| *known != key) {
            doubtful.push(kid.clone());
        }
        keys.insert(kid, key);
    }
    keys.retain(|kid, _| !doubtful.contains(kid));
    if keys.is_empty() { Err("there is no RSA key for signatures in it") } else { Ok(keys) }
}

fn named(key: &Value) -> Option<(String, PublicKey)> {
    let text = |name: &str| key.get(name).map(|value| value.as_str().unwrap_or_default());
    let is_for_signatures = text("kty") == Some("RSA")
        && text("use").is_none_or(|usage| usage == "sig")
        && text("alg").is_none_or(|algorithm| algorithm == "RS256");
    let kid = text("kid").filter(|kid| is_for_signatures && !kid.is_empty())?;
    Some((kid.to_owned(), PublicKey::new(text("n")?, text("e")?)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::jwt::tests::Signer;

    #[test]
    fn what_cannot_verify_a_signature_is_left_out() {
        let jwk = Signer::new("a").jwk();
        let with = |name: &str, value: Value| {
            let mut key = jwk.clone();
            key["kid"] = json!("b");
            key[name] = value;
            key
        };
        let kids = |keys: &[Value]| {
            let keys = parse(json!({"keys": keys}).to_string().as_bytes())?;
            let mut kids: Vec<_> = keys.into_keys().collect();
            kids.sort();
            Ok::<_, &str>(kids.join(" "))
        };
        assert_eq!(kids(&[jwk.clone(), with("alg", json!("RS256"))]), Ok("a b".to_owned()));
        for odd in [
            with("kty", json!("EC")),
            with("use", json!("enc")),
            with("alg", json!("RS512")),
            with("n", json!("AQAB")),
            with("n", json!(1)),
            with("e", json!("AQ")),
            with("kid", json!("")),
            json!("text"),
        ] {
            assert_eq!(kids(&[odd.clone(), jwk.clone()]), Ok("a".to_owned()), "{odd}");
            assert_eq!(kids(&[odd]), Err("there is no RSA key for signatures in it"));
        }
        assert_eq!(kids(&[jwk.clone(), jwk.clone()]), Ok("a".to_owned()));
        let mut namesake = Signer::new("b").jwk();
        let other = with("use", json!("sig"));
        assert_eq!(kids(&[namesake.clone(), jwk.clone(), other.clone()]), Ok("a".to_owned()));
        namesake["use"] = json!("enc");
        assert_eq!(kids(&[namesake, jwk.clone(), other]), Ok("a b".to_owned()));
        assert_eq!(parse(b"<html>").err(), Some("what is there is no JSON"));
        assert_eq!(parse(b"[]").err(), Some("there is no list `keys` in it"));
    }
}
