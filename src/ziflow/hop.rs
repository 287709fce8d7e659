//! Whom this machine connects to, and what is said when no connection comes about: where it failed, in an operator's words.

use reqwest::Url;

use crate::ziflow::origin;

/// Whom this machine connects to: Ziflow, or the proxy before it.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) proxy: Option<origin::Proxy>,
    pub(super) base: Url,
}

impl Hop {
    /// The host and the port; an IPv6 address stands without brackets.
    pub(super) fn next(&self) -> (String, u16) {
        self.proxy.as_ref().map_or_else(|| origin::host_of(&self.base), origin::Proxy::host)
    }

    /// An error with its causes, and without the URL: it names a person.
    pub(super) fn told(&self, error: &reqwest::Error) -> String {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        self.said(error.is_connect(), &causes.join(": "))
    }

    /// Where it failed, and the reason without the names that libraries give to their parts.
    fn said(&self, is_connect: bool, causes: &str) -> String {
        let mut reason = causes.to_owned();
        for part in [
            "client error (Connect)",
            "tunnel error",
            "failed to create underlying connection",
            "tcp connect error",
        ] {
            reason = reason.replace(&format!("{part}: "), "");
        }
        let ziflow = self.base.origin().ascii_serialization();
        match &self.proxy {
            _ if !is_connect => format!("the exchange broke off: {reason}"),
            None => format!("no connection to {ziflow}: {reason}"),
            Some(proxy) if !causes.contains("tunnel error") => {
                format!("no connection to {ziflow} through {proxy} (ziflow.proxy): {reason}")
            }
            Some(proxy) if causes.contains("underlying connection") => {
                format!("no connection to the proxy {proxy} (ziflow.proxy): {reason}")
            }
            Some(proxy) => format!("the proxy {proxy} (ziflow.proxy) {NO_TUNNEL} to {ziflow}: {reason}"),
        }
    }
}

/// What `look` knows a refusal of the proxy by.
pub(super) const NO_TUNNEL: &str = "makes no tunnel";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_trouble_says_where() {
        let base = Url::parse("https://api.ziflow.io/v1").unwrap();
        let proxy = origin::Proxy::parse("http://jo:secret@10.0.0.1:3128").unwrap();
        let refused = "tcp connect error: Connection refused (os error 111)";
        for (proxy, causes, told) in [
            (
                None,
                format!("client error (Connect): {refused}"),
                "no connection to https://api.ziflow.io: Connection refused (os error 111)",
            ),
            (
                Some(&proxy),
                format!(
                    "client error (Connect): tunnel error: failed to create underlying connection: {refused}"
                ),
                "no connection to the proxy http://10.0.0.1:3128 (ziflow.proxy): Connection refused (os error 111)",
            ),
            (
                Some(&proxy),
                "client error (Connect): tunnel error: proxy authorization required".to_owned(),
                "the proxy http://10.0.0.1:3128 (ziflow.proxy) makes no tunnel to https://api.ziflow.io: proxy authorization \
                 required",
            ),
            (
                Some(&proxy),
                "client error (Connect): invalid peer certificate: UnknownIssuer".to_owned(),
                "no connection to https://api.ziflow.io through http://10.0.0.1:3128 (ziflow.proxy): invalid peer \
                 certificate: UnknownIssuer",
            ),
        ] {
            let hop = Hop { proxy: proxy.cloned(), base: base.clone() };
            assert_eq!(hop.said(true, &causes), told);
        }
    }
}
