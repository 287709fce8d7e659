//! Where the API key may go, and by which way: to the configured address and no other, over TLS or to this very machine,
//! through a proxy only if the settings name one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Url};

use crate::ziflow::transport::Settings;

/// The way to Ziflow.
#[derive(Clone, Debug, Default)]
pub struct Way {
    pub trust: Trust,
    pub proxy: Option<Proxy>,
}

/// By whom Ziflow's certificate, and that of a proxy, has to be signed.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// By whomever this machine trusts.
    #[default]
    System,
    /// By one of these, and by nobody else.
    Only(Vec<Certificate>),
}

impl Trust {
    /// Reads certificates in PEM; the sentence is for the operator.
    pub fn only(pem: &str) -> Result<Self, String> {
        let wrong = "it holds no certificates that can be used, in PEM (-----BEGIN CERTIFICATE-----)";
        let found = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_error| wrong)?;
        // Only now they are looked into.
        let usable = reqwest::Client::builder().no_proxy().tls_certs_only(found.clone()).build();
        if found.is_empty() || usable.is_err() { Err(wrong.to_owned()) } else { Ok(Self::Only(found)) }
    }
}

/// A proxy that is asked for a tunnel (RFC 9110 section 9.3.6): it learns where Ziflow is, and nothing that is said there.
#[derive(Clone)]
pub struct Proxy(Url);

impl Proxy {
    /// The sentence is for the operator; it repeats nothing, for a password may stand in the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "this is no address of a proxy such as http://proxy.example.com:3128".to_owned();
        let url = Url::parse(text).map_err(|_error| wrong())?;
        let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_http = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        if is_http && is_plain { Ok(Self(url)) } else { Err(wrong()) }
    }

    /// The host and the port; an IPv6 address stands without brackets.
    pub(super) fn host(&self) -> (String, u16) {
        host_of(&self.0)
    }

    /// As what asks over HTTPS takes it.
    pub fn tunnel(&self) -> Result<reqwest::Proxy, String> {
        reqwest::Proxy::https(self.0.clone()).map_err(|_error| format!("the proxy {self} cannot be used"))
    }

    /// The password in it.
    pub fn password(&self) -> Option<&str> {
        self.0.password()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(super) fn host_of(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    (host.to_owned(), url.port_or_known_default().unwrap_or_default())
}

/// Whether the key would go there in plain text, which no proxy may see.
pub fn is_plain(base_url: &str) -> bool {
    parse(base_url).is_ok_and(|base| base.scheme() == "http")
}

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
        let builder = match &settings.way.trust {
            Trust::System => builder,
            Trust::Only(certificates) => builder.tls_certs_only(certificates.clone()),
        };
        let proxy = settings.way.proxy.as_ref().map(Proxy::tunnel).transpose()?;
        proxy.into_iter().fold(builder.https_only(true), reqwest::ClientBuilder::proxy)
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
    fn a_proxy_is_an_address_and_never_shown_with_its_password() {
        for good in [
            "http://proxy.example:3128",
            "https://proxy.example",
            "http://u:s3cret@[::1]:1/",
            "http://10.0.0.1",
        ] {
            let proxy = Proxy::parse(good).unwrap();
            assert!(!format!("{proxy} {proxy:?}").contains("s3cret"), "{proxy}");
        }
        assert_eq!(Proxy::parse("http://u:p@proxy.example").unwrap().to_string(), "http://proxy.example");
        for bad in [
            "",
            "proxy.example:3128",
            "socks5://u:s3cret@proxy.example",
            "http://",
            "http://u:s3cret@proxy.example/path",
            "http://proxy.example/?s3cret",
            "http://proxy.example/#s3cret",
            "http://u:s3cret@:80",
        ] {
            assert!(!Proxy::parse(bad).unwrap_err().contains("s3cret"), "{bad}");
        }
    }

    #[test]
    fn certificates_are_certificates() {
        for bad in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::only(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for url in ["https://u:s3cret@x/v1", "https://x/v1?apikey=s3cret", "https://x/v1#s3cret"] {
            assert!(!parse(url).unwrap_err().contains("s3cret"), "{url}");
        }
    }
}
