//! What a stranger shows to be let in: a bearer token, a key set, or a request for a token with the header Authorization in
//! its first line. It is refused, or read to something that makes sense.
#![no_main]

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::server::jwks;
use ziflow_scim_bridge::server::jwt::Jwt;
use ziflow_scim_bridge::server::oauth::{self, Presented};
use ziflow_scim_bridge::server::signing::SigningKeys;

fuzz_target!(|bytes: &[u8]| {
    let keys = jwks::parse(bytes);
    assert!(keys.as_ref().map_or(true, |keys| !keys.is_empty() && !keys.contains_key("")));
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let authorization = HeaderValue::from_bytes(lines.next().unwrap_or_default());
    let headers = authorization.into_iter().filter(|value| !value.is_empty());
    let headers: HeaderMap = headers.map(|value| (AUTHORIZATION, value)).collect();
    match oauth::read(&headers, lines.next().unwrap_or_default()) {
        Ok(Presented::Secret { secrets, .. }) => assert!(matches!(secrets.len(), 1 | 2)),
        Ok(Presented::Assertion { .. }) | Err(_) => {}
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(jwt) = Jwt::parse(text) {
        assert!(!jwt.kid.is_empty() && text.matches('.').count() == 2);
        for key in keys.into_iter().flat_map(|keys| keys.into_values()) {
            assert!(!jwt.is_signed_by(&key));
        }
    }
    let signing =
        SigningKeys::parse("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff").unwrap();
    assert!(signing.read(text, jiff::Timestamp::UNIX_EPOCH).is_err());
    drop(SigningKeys::parse(text));
});
