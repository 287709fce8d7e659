//! Where the API key may go: to the configured address and no other, over TLS or to this very machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;

use crate::ziflow::transport::Settings;

/// Whether the key may be sent there; the sentence is for the operator.
pub fn check_base_url(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// The base of every URL: https, or plain http to this very machine.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("ziflow.base_url is no URL: {error}"))?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        // Not repeated: what stands there may be a secret.
        return Err("ziflow.base_url must be scheme, host and path, nothing else".to_owned());
    }
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
    if !matches!(scheme, "https" | "http") {
        return Err(format!("ziflow.base_url `{text}` must begin with https://"));
    }
    // `http://2130706433`, `https:host` and full-width letters are read as something that an operator does not see.
    if !text.to_ascii_lowercase().starts_with(&format!("{scheme}://{host}")) {
        return Err(format!(
            "ziflow.base_url `{text}` means {scheme}://{host}: write it so, if that is meant"
        ));
    }
    if scheme == "http" && !is_this_machine(host) {
        return Err(format!(
            "ziflow.base_url `{text}`: plain http would show the API key to the network; use https"
        ));
    }
    Ok(url)
}

/// The client that speaks to this origin, and to nobody else.
pub(super) fn client(base: &Url, settings: &Settings) -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("ziflow-scim-bridge/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry the admin key to wherever it points.
        .redirect(Policy::none())
        // Hidden retries would leave without passing the limiter.
        .retry(reqwest::retry::never())
        // Whoever sets a variable of the environment must not learn the key.
        .no_proxy()
        .connect_timeout(Duration::from_secs(settings.connect_timeout_secs));
    let builder = if base.scheme() == "https" {
        builder.https_only(true)
    } else {
        // Plain http never leaves this machine: a machine without CA certificates will do, and no resolver is asked
        // where `localhost` is (RFC 6761 section 6.3).
        let host = base.host_str().unwrap_or_default();
        builder.tls_certs_only([]).resolve_to_addrs(host, &LOOPBACK)
    };
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("cannot set up HTTPS: {error}{}", cause.unwrap_or_default())
    })
}

/// Port 0 leaves the port to the URL.
const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];

/// A name counts only where nobody else can give it an address.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_goes_only_where_it_is_safe() {
        for good in [
            "https://api.ziflow.io/v1",
            "HTTPS://API.Ziflow.io/v1",
            "https://api.ziflow.io:8443",
            "http://127.0.0.1:9000/v1",
            "http://127.0.0.2/v1",
            "http://[::1]:9000",
            "http://localhost/v1/",
            "http://ziflow.localhost:9/v1",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "x",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "http://api.ziflow.io/v1",
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            // Names that only look like this machine.
            "http://127.0.0.1.evil.example/v1",
            "http://localhost.evil.example/v1",
            "http://localhost./v1",
            "http://evillocalhost/v1",
            // What stands before an `@` is no host.
            "http://127.0.0.1@evil.example/v1",
            "http://127.0.0.1:80@evil.example/v1",
            "http://localhost\\@evil.example/v1",
            "https://api.ziflow.io@evil.example/v1",
            "https://u:p@x/v1",
            "https://@x/v1",
            // Addresses in disguise, be they loopback or not.
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://0x0a000001/",
            "http://127.0.0.%31/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://１２７.0.0.1/",
            "https://ａpi.ziflow.io/v1",
            "https:api.ziflow.io/v1",
            "https:\\\\api.ziflow.io/v1",
            " https://api.ziflow.io/v1",
            "ht\ntps://api.ziflow.io/v1",
            "https://api.ziflow.io\t.evil.example/v1",
            // The rest of a URL.
            "https://x/v1?a=b",
            "https://x/v1?",
            "https://x/v1#a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for url in ["https://u:s3cret@x/v1", "https://x/v1?apikey=s3cret", "https://x/v1#s3cret"] {
            assert!(!parse(url).unwrap_err().contains("s3cret"), "{url}");
        }
    }
}
