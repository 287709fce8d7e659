//! The checks of `doctor` on the running bridge: Entra's Test Connection, played from this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::cli::diagnosis::{Check, Diagnosis};
use crate::cli::entra::{Entra, Tested, Unreached};
use crate::config::Settings;
use crate::server::clients::Proof;
use crate::server::listen::Listen;

pub(super) const BRIDGE: &str = "bridge";
pub(super) const PUBLIC_URL: &str = "public_url";

/// Longer than the bridge may take for a request.
const SPARE: Duration = Duration::from_secs(5);

/// Both ways to the bridge: past everything that stands before it, and as Entra comes.
pub(super) async fn run(settings: &Settings, token: Option<&SecretString>, diagnosis: &mut Diagnosis) {
    let is_public = settings.server.public_url.is_some();
    let public: &[&'static str] = if is_public { &[PUBLIC_URL] } else { &[] };
    let Some(token) = token else {
        let (why, remedy) = without_token(settings);
        diagnosis.add(Check::skipped(BRIDGE, TRIED, why).remedy(remedy));
        return diagnosis.skip(public, why);
    };
    let listen = match settings.server.listen {
        Listen::Address(address) if address.port() == 0 => {
            diagnosis.add(Check::skipped(
                BRIDGE,
                TRIED,
                "server.listen has port 0, so its place is not known",
            ));
            return diagnosis.skip(public, "not known to run");
        }
        Listen::Address(address) => address,
        Listen::Systemd => {
            let found = "server.listen is `systemd`, so only the socket unit knows its place";
            diagnosis.add(Check::skipped(BRIDGE, TRIED, found));
            return from_outside(settings, token, diagnosis).await;
        }
    };
    let is_shut_out = is_shut_out(settings, reachable(listen));
    let Way { url: local, host } = Way::past_everything(settings, reachable(listen));
    diagnosis.begin(&tried(&local));
    match test(settings, token, &local, host).await {
        Err(missed) if missed.is_connect && !is_shut_out => {
            let check =
                Check::skipped(BRIDGE, tried(&local), "nothing listens there: the bridge is not running");
            diagnosis.add(check.remedy("start it (`systemctl start ziflow-scim-bridge`) and run this again"));
            return diagnosis.skip(public, "the bridge is not running");
        }
        outcome => {
            let remedy = if is_shut_out { SHUT_OUT } else { ELSEWHERE };
            diagnosis.add(judge(BRIDGE, &local, outcome, remedy));
        }
    }
    from_outside(settings, token, diagnosis).await;
}

async fn from_outside(settings: &Settings, token: &SecretString, diagnosis: &mut Diagnosis) {
    if let Some(url) = settings.server.public_tenant_url() {
        diagnosis.begin(&tried(&url));
        let outcome = test(settings, token, &url, None).await;
        diagnosis.add(judge(PUBLIC_URL, &url, outcome, OUTSIDE));
    }
}

const TRIED: &str = "Entra's Test Connection";

const NO_TOKEN: &str = "the settings hold the token's digest only, and no --token-file is given";

/// Why Test Connection is not played, and what to do in its place.
fn without_token(settings: &Settings) -> (&'static str, &'static str) {
    let callers = &settings.callers;
    if callers.tokens.iter().next().is_some() {
        return (
            NO_TOKEN,
            "give the file that holds the Secret Token with --token-file, or `-` and the token on standard input",
        );
    }
    if callers.clients.iter().any(|client| matches!(client.proof, Proof::Secrets(_))) {
        return (
            "the settings hold the digest of the client's secret only, and no --token-file is given",
            "give the file that holds the client's secret with --token-file, or `-` and the secret on standard input",
        );
    }
    (
        "only Entra can make the tokens that are let in here",
        "press Test Connection in Entra; in the log `operation=token` or `status=401` says what became of it, and the check \
         `parts` whether Entra's keys can be fetched",
    )
}

const SHUT_OUT: &str = "server.allow_networks does not let this machine in, and whoever is not in it is closed without an \
                        answer: add its address for the time of this check. A proxy on this machine needs it for good, or \
                        its place in server.trusted_proxies";

/// Whether who asks from this machine is closed without an answer.
fn is_shut_out(settings: &Settings, place: SocketAddr) -> bool {
    let networks = &settings.server.networks;
    let holds = |list: &[IpNet]| list.iter().any(|network| network.contains(&place.ip()));
    !networks.allowed.is_empty() && !holds(&networks.allowed) && !holds(&networks.proxies)
}

const ELSEWHERE: &str = "is it the bridge that listens there? See server.listen, and `systemctl status \
                         ziflow-scim-bridge`";

const OUTSIDE: &str = "check the name in DNS, the firewall, the certificate with its whole chain, and the proxy: does it \
                       keep path and Authorization? Some networks do not let a machine reach itself by its public \
                       name; then try it from outside";

const UNTRUSTED: &str = "this machine does not trust it. Entra trusts public authorities only, and wants the whole chain in \
                         server.tls.certificate_file; is it for the name in server.public_url, and still good? `check` \
                         tells what can be seen in the file";

const NO_TLS: &str = "what listens there and this command found no TLS that both speak: was the bridge restarted after a \
                      change of server.tls?";

/// Where the bridge is reached.
struct Way {
    url: String,
    /// The name that is asked for, and where it is found whatever DNS says.
    host: Option<(String, SocketAddr)>,
}

impl Way {
    /// Straight to where it listens; with TLS by a name, because a certificate seldom stands for an address.
    fn past_everything(settings: &Settings, listen: SocketAddr) -> Self {
        let name = settings.tls_files.as_ref().and_then(|(files, _)| files.host().map(str::to_owned));
        let tls = settings.server.tls.as_ref();
        let named = tls.and_then(|tls| tls.identity().certificate.names().first().cloned());
        let name = name.or(named).map(|name| name.replace('*', "scim"));
        let host = name.filter(|name| name.parse::<IpAddr>().is_err()).map(|name| (name, listen));
        let (scheme, path) = (settings.server.scheme(), &settings.server.base_path);
        let url = match &host {
            Some((name, _)) => format!("{scheme}://{name}:{}{path}", listen.port()),
            None => format!("{scheme}://{listen}{path}"),
        };
        Self { url, host }
    }
}

async fn test(
    settings: &Settings,
    token: &SecretString,
    url: &str,
    host: Option<(String, SocketAddr)>,
) -> Result<Tested, Unreached> {
    let patience = Duration::from_secs(settings.server.limits.request_timeout_secs) + SPARE;
    let unusable = |reason: String| Unreached { reason, is_connect: false, is_tls: false };
    let host = host.as_ref().map(|(name, place)| (name.as_str(), *place));
    let entra = Entra::outside(token.expose_secret(), url, patience, host).map_err(unusable)?;
    let client = settings.callers.clients.whose_secret(token.expose_secret().as_bytes());
    let entra = match client {
        Some(client) => {
            let root = url.strip_suffix(&settings.server.base_path).unwrap_or(url);
            let endpoint = format!("{root}/oauth2/token");
            let token = entra.access_token(&endpoint, &client.id, token.expose_secret()).await?;
            Entra::outside(&token, url, patience, host).map_err(unusable)?
        }
        None => entra,
    };
    entra.test_connection(url, &guid().map_err(unusable)?).await
}

fn judge(name: &'static str, url: &str, outcome: Result<Tested, Unreached>, remedy: &'static str) -> Check {
    let tried = tried(url);
    let tested = match outcome {
        Ok(tested) => tested,
        Err(missed) => {
            let remedy = match &missed {
                missed if missed.is_about_the_certificate() => UNTRUSTED,
                Unreached { is_tls: true, .. } => NO_TLS,
                _ => remedy,
            };
            return Check::failed(name, tried, missed.reason).remedy(remedy);
        }
    };
    let is_scim = tested.content_type.starts_with("application/scim+json");
    if tested.status == 200 && is_scim && is_empty_list(&tested.body) {
        return Check::ok(name, tried, "HTTP 200 with an empty ListResponse, which is what Entra wants");
    }
    let found = told(&tested, is_scim);
    let check = Check::failed(name, tried, found);
    match tested.status {
        _ if !is_scim => check.remedy(remedy),
        401 => check.remedy(
            "the token is not one of the bridge's: compare it with Entra's Secret Token and with auth.tokens, and \
             reload the bridge after an edit",
        ),
        403 => check.remedy(
            "server.allow_networks does not hold whom this request seems to come from: this machine, or a proxy in between, \
             which then belongs into server.trusted_proxies",
        ),
        404 => check.remedy("do server.base_path and server.public_url fit, and does a proxy change the path?"),
        429 | 500.. => check.remedy(
            "the bridge runs, and cannot use Ziflow or is busy: see its log, /readyz, and the checks above",
        ),
        _ => check.remedy(remedy),
    }
}

/// What RFC 7644 section 3.4.2 asks of a list without anybody in it.
fn is_empty_list(body: &Value) -> bool {
    let is_list = body.get("schemas").and_then(Value::as_array).is_some_and(|schemas| {
        schemas.iter().any(|schema| schema == "urn:ietf:params:scim:api:messages:2.0:ListResponse")
    });
    let nobody = body.get("totalResults").and_then(Value::as_u64) == Some(0);
    is_list && nobody && body.get("Resources").is_some_and(Value::is_array)
}

/// What came, with the bridge's own reason if it is the bridge.
fn told(tested: &Tested, is_scim: bool) -> String {
    let detail = tested.body.get("detail").and_then(Value::as_str).filter(|_| is_scim);
    let kind = tested.content_type.split(';').next().unwrap_or_default();
    let kind = if kind.is_empty() { "no content type" } else { kind };
    match detail {
        Some(detail) => format!("HTTP {}: {detail}", tested.status),
        None => format!("HTTP {} with {kind}, which is not the empty list that Entra wants", tested.status),
    }
}

fn tried(url: &str) -> String {
    format!("{TRIED} at {url}")
}

/// Where a service is reached that listens everywhere.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A random GUID (RFC 9562 section 5.4): nobody is called like that.
fn guid() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| "no random numbers".to_owned())?;
    let bits = u128::from_be_bytes(bytes) & !(0xf000_u128 << 64) & !(0xc000_u128 << 48);
    let hex = format!("{:032x}", bits | (0x4000_u128 << 64) | (0x8000_u128 << 48));
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_guid_says_that_it_is_random() {
        let guid = guid().unwrap();
        let parts: Vec<_> = guid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{guid}");
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{guid}");
    }

    #[test]
    fn only_an_empty_list_is_what_entra_wants() {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:ListResponse"];
        assert!(is_empty_list(&json!({"schemas": schemas, "totalResults": 0, "Resources": []})));
        for wrong in [
            json!({"schemas": schemas, "totalResults": 0}),
            json!({"schemas": schemas, "totalResults": 1, "Resources": []}),
            json!({"schemas": schemas, "totalResults": "0", "Resources": []}),
            json!({"totalResults": 0, "Resources": []}),
            json!(null),
        ] {
            assert!(!is_empty_list(&wrong), "{wrong}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_reached_here() {
        for (listen, reached) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
