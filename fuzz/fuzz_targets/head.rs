//! What stands in the head of a message, line by line as `Name: value`: each reader takes or refuses it.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ziflow_scim_bridge::scim::cursor::Cursor;
use ziflow_scim_bridge::server::request::conditions;
use ziflow_scim_bridge::server::tokens::digest_from_hex;
use ziflow_scim_bridge::server::{expiry, minted};
use ziflow_scim_bridge::ziflow::transport::retry_after;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        let (Some(name), Some(value)) = (name, value) else { continue };
        let _ = retry_after(&value);
        if let Ok(text) = value.to_str().map(str::trim) {
            if let Ok(cursor) = Cursor::parse(text) {
                assert_eq!(Cursor::parse(&cursor.to_string()), Ok(cursor));
            }
            let _ = (expiry::parse(text), digest_from_hex(text), minted::is_damaged(text));
        }
        headers.append(name, value);
    }
    if let Ok(conditions) = conditions(&headers) {
        drop(conditions.check("W/\"1\""));
    }
});
