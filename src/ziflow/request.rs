//! What Ziflow is asked: one endpoint below the base, which no id can turn into another one.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Url};
use serde_json::Value;

/// Everything but the unreserved characters of RFC 3986, so that no id can end its path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Longer is no id and no address: an address has 254 bytes at the most (RFC 5321).
const MAX_SEGMENT_BYTES: usize = 1024;

/// In place of an id, many APIs take this word for whoever asks: the key's own user.
const ME: &str = "me";

/// A request to one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Path segments below the base, not encoded.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, String)],
    pub(super) body: Option<&'a Value>,
}

impl Request<'_> {
    /// Where it goes; nowhere when a segment would lead to another endpoint than the one that is meant.
    pub(super) fn url(&self, base: &Url) -> Option<Url> {
        if !self.path.iter().all(|segment| addressable(segment)) {
            return None;
        }
        let mut url = base.clone();
        let mut path = url.path().trim_end_matches('/').to_owned();
        for segment in self.path {
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url.set_path(&path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(self.query);
        }
        // An empty path is written `/`.
        (url.path() == path || path.is_empty()).then_some(url)
    }

    /// The endpoint without the person, for logs and errors.
    pub(super) fn route(&self, base: &Url) -> String {
        format!("{}{}", base.path().trim_end_matches('/'), self.template())
    }

    /// The same below the base, for labels.
    pub(super) fn template(&self) -> String {
        match self.path {
            [collection] => format!("/{collection}"),
            [collection, ..] => format!("/{collection}/{{id}}"),
            [] => String::new(),
        }
    }
}

/// Whether a text can stand in a path and mean a person. An empty segment would address the collection, URLs resolve dots
/// away, and control characters end texts on other machines: whoever has such an id does not exist.
pub(super) fn addressable(segment: &str) -> bool {
    let is_astray = matches!(segment, "" | "." | "..") || segment.eq_ignore_ascii_case(ME);
    !is_astray && segment.len() <= MAX_SEGMENT_BYTES && !segment.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str, path: &[&str]) -> Option<String> {
        let request = Request { method: Method::GET, path, query: &[], body: None };
        request.url(&base.parse().unwrap()).map(String::from)
    }

    #[test]
    fn no_id_leaves_its_segment() {
        for (id, segment) in [
            ("auth0|1", "auth0%7C1"),
            ("a/../b", "a%2F..%2Fb"),
            ("../contacts", "..%2Fcontacts"),
            ("a?b#c%2F", "a%3Fb%23c%252F"),
            ("%2e%2e", "%252e%252e"),
            ("..;x=1", "..%3Bx%3D1"),
            ("\\..\\", "%5C..%5C"),
            ("jo+x@example.com", "jo%2Bx%40example.com"),
            ("http://evil.example", "http%3A%2F%2Fevil.example"),
            ("...", "..."),
            ("me ", "me%20"),
            ("ö\u{202e}", "%C3%B6%E2%80%AE"),
        ] {
            let expected = format!("https://api.example/v1/users/{segment}");
            assert_eq!(url("https://api.example/v1", &["users", id]), Some(expected), "{id}");
        }
    }

    #[test]
    fn what_can_be_no_id_is_asked_nowhere() {
        let long = "a".repeat(MAX_SEGMENT_BYTES + 1);
        for id in ["", ".", "..", "me", "ME", "a\0", "a\r\nb", "\u{7f}", "\u{85}", &long] {
            assert!(!addressable(id), "{id:?}");
            assert_eq!(url("https://api.example/v1", &["users", id]), None, "{id:?}");
        }
        for id in ["..a", "%2e", "mee", &"a".repeat(MAX_SEGMENT_BYTES)] {
            assert!(addressable(id), "{id:?}");
        }
    }

    #[test]
    fn the_base_may_have_any_path() {
        for (base, path, expected) in [
            ("https://api.example", &["users"][..], "https://api.example/users"),
            ("https://api.example/", &["users"], "https://api.example/users"),
            ("https://api.example/a/v1/", &["users", "1"], "https://api.example/a/v1/users/1"),
            ("https://api.example", &[], "https://api.example/"),
            ("https://api.example/v1/", &[], "https://api.example/v1"),
        ] {
            assert_eq!(url(base, path).as_deref(), Some(expected), "{base} {path:?}");
        }
    }
}
