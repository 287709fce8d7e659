//! What comes in: a request id, and a body of bounded size that is a JSON value, or one that nobody wants.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HOST, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::scim::error::Error;
use crate::scim::version::{Conditions, Tags};
use crate::server::{Limits, json};

/// So much of an unwanted body is read, for so long.
const DISCARD_BYTES: usize = 65_536;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Where a request's own name may stand: Microsoft's services write the first, proxies the last.
const CLIENT_REQUEST_IDS: [&str; 3] = ["client-request-id", "x-ms-client-request-id", "x-request-id"];
const CLIENT_REQUEST_ID_BYTES: usize = 64;

/// Names one request in the answer, the log and each error's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new one: 16 hexadecimal digits.
    pub fn new() -> Self {
        let mut bytes = [0_u8; 8];
        // Without randomness requests share a name; they are answered all the same.
        aws_lc_rs::rand::fill(&mut bytes).unwrap_or_default();
        Self(format!("{:016x}", u64::from_ne_bytes(bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("none"))
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the parser lets through and HTTP does not (RFC 9112 section 3.2), or this service does not.
pub fn well_formed(head: &Parts, max_target_bytes: usize) -> Result<(), Error> {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > max_target_bytes {
        let detail = format!(
            "the path with its query is longer than {max_target_bytes} bytes (server.max_target_bytes)"
        );
        return Err(Error::new(StatusCode::URI_TOO_LONG, detail));
    }
    if target.contains("%00") {
        return Err(Error::invalid_syntax("the path or its query holds the character %00"));
    }
    let hosts = head.headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version == Version::HTTP_11) {
        return Err(Error::invalid_syntax("the request names no Host, or several"));
    }
    Ok(())
}

/// What the client says about the version it knows. Several headers of one name are one list.
pub fn conditions(headers: &HeaderMap) -> Result<Conditions, Error> {
    let tags = |name: HeaderName| {
        let values: Vec<_> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
        if values.is_empty() { Ok(None) } else { Tags::parse(&values.join(", ")).map(Some) }
    };
    Ok(Conditions { matches: tags(IF_MATCH)?, differs: tags(IF_NONE_MATCH)? })
}

/// The body of a request that takes one, whole: JSON within `limits`, there before `deadline`.
pub async fn body(
    headers: &HeaderMap,
    incoming: &mut Incoming,
    limits: &Limits,
    deadline: Instant,
) -> Result<Value, Error> {
    json_is_said(headers)?;
    let body = whole(incoming, limits.max_body_bytes, deadline).await?;
    json::parse(&body, limits.max_json_depth, limits.max_json_values)
}

/// A body of any kind, whole: at most `max_bytes`, there before `deadline`.
pub(super) async fn whole(
    incoming: &mut Incoming,
    max_bytes: usize,
    deadline: Instant,
) -> Result<Bytes, Error> {
    if announced(incoming) > max_bytes {
        return Err(too_large(max_bytes));
    }
    match timeout_at(deadline, Limited::new(incoming, max_bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(max_bytes)),
        Ok(Err(error)) => Err(Error::invalid_syntax(format!("the body did not arrive whole: {error}"))),
        Err(_elapsed) => Err(Error::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive within server.request_timeout_secs; nothing has been changed",
        )),
    }
}

/// By what name the client, or a proxy before it, knows the request: the first header that says it in so few and such
/// plain characters that it can be repeated.
pub fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let mut ids = CLIENT_REQUEST_IDS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    let id = ids.find(|id| (1..=CLIENT_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(plain))?;
    Some(id.to_owned())
}

/// Reads what nobody wants and drops it, so that the connection can be used again. A large or slow rest is not
/// waited for: the connection then ends with the answer.
pub async fn discard(headers: &HeaderMap, incoming: &mut Incoming) {
    // Who waits for "100 Continue" would send the body only because of this.
    if announced(incoming) > DISCARD_BYTES || headers.contains_key(EXPECT) {
        return;
    }
    drop(timeout(DISCARD_TIME, Limited::new(incoming, DISCARD_BYTES).collect()).await);
}

fn announced(incoming: &Incoming) -> usize {
    usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX)
}

/// RFC 7644 section 3.1 wants `application/scim+json`. Clients that send another JSON type, or none, mean the same,
/// and the body will tell. What is something else is refused.
fn json_is_said(headers: &HeaderMap) -> Result<(), Error> {
    let unsupported = |detail| Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    for said in headers.get_all(CONTENT_TYPE) {
        let said = String::from_utf8_lossy(said.as_bytes());
        if !is_json(&said) {
            let detail = format!("the body is `{}`, and SCIM is application/scim+json", shortened(&said));
            return Err(unsupported(detail));
        }
    }
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(unsupported("the body has a Content-Encoding: send it without".to_owned()))
        }
        _ => Ok(()),
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty() || essence == "application/json" || essence.ends_with("+json")
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn too_large(max_bytes: usize) -> Error {
    let detail = format!("the body is larger than {max_bytes} bytes (server.max_body_bytes)");
    Error::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn only_a_plain_id_is_repeated() {
        for (headers, id) in [
            (&[("x-request-id", "a")][..], Some("a")),
            (&[("x-request-id", "b"), ("client-request-id", "a-1_2.3:4")], Some("a-1_2.3:4")),
            (&[("x-request-id", "b"), ("client-request-id", "a b")], Some("b")),
            (&[("x-request-id", "")], None),
            (&[("x-request-id", "a\"b")], None),
            (
                &[("x-request-id", "0123456789012345678901234567890123456789012345678901234567890123456789")],
                None,
            ),
            (&[], None),
        ] {
            let header =
                |name: &'static str, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
            let map = headers.iter().map(|(name, value)| header(name, value)).collect();
            assert_eq!(client_request_id(&map).as_deref(), id, "{headers:?}");
        }
    }

    #[test]
    fn only_what_says_something_else_is_no_json() {
        for said in [
            "",
            ";",
            "application/json",
            "application/scim+json",
            "Application/SCIM+JSON; charset=UTF-8",
            "application/merge-patch+json",
            " application/json ;x",
        ] {
            assert!(is_json(said), "{said}");
        }
        for said in
            ["text/plain", "application/xml", "application/jsonp", "multipart/form-data; a=+json", "x"]
        {
            assert!(!is_json(said), "{said}");
        }
    }

    #[test]
    fn every_content_type_and_coding_counts() {
        let status = |lines: &[(HeaderName, &'static str)]| {
            let value = |text| HeaderValue::from_static(text);
            let headers = lines.iter().map(|(name, text)| (name.clone(), value(text))).collect();
            json_is_said(&headers).map_err(|error| error.status.as_u16())
        };
        assert_eq!(status(&[]), Ok(()));
        assert_eq!(status(&[(CONTENT_ENCODING, "Identity"), (CONTENT_TYPE, "application/json")]), Ok(()));
        assert_eq!(status(&[(CONTENT_ENCODING, "gzip")]), Err(415));
        assert_eq!(status(&[(CONTENT_TYPE, "application/json"), (CONTENT_TYPE, "text/plain")]), Err(415));
    }
}
