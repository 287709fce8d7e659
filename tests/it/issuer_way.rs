//! The way to the keys of issuers: through the proxy that leads to Ziflow, or another one, and nobody who is not trusted
//! can put keys of their own in the place of Entra's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use ziflow_scim_bridge::simulator::Simulator;

use crate::entra_tokens::{TENANT, claims, list};
use crate::harness::{Answer, Bridge, Folder, command, ziflow};
use crate::issuer::{Issuer, Mood, Signer};
use crate::way_stage::{Authority, CREDENTIALS, proxy, with_tls};

struct Stage {
    ziflow: Simulator,
    folder: Folder,
    authority: Authority,
    /// The token that the issuer has signed.
    token: String,
    /// Where the issuer's keys and Ziflow are, both behind TLS.
    keys: SocketAddr,
    api: SocketAddr,
}

impl Stage {
    async fn new() -> Self {
        let (signer, ziflow, authority) = (Signer::new("key-1"), ziflow(&[]).await, Authority::new("ours"));
        let issuer = Issuer::new(Mood::Keys(vec![signer.jwk()])).await;
        let keys = with_tls(issuer.address(), authority.sign("127.0.0.1", 2100)).await;
        let api = with_tls(ziflow.address(), authority.sign("127.0.0.1", 2100)).await;
        Self { ziflow, folder: Folder::new(), authority, token: signer.sign(&claims()), keys, api }
    }

    /// What the bridge answers to the token, and everything that it has told then.
    async fn ask(&self, variables: &[(&str, &str)]) -> (Answer, String) {
        let (url, api) = (format!("https://{}/keys", self.keys), format!("https://{}/v1", self.api));
        let mut all = vec![
            ("BRIDGE_AUTH__TOKENS", "[]"),
            ("BRIDGE_AUTH__ENTRA__TENANT_ID", TENANT),
            ("BRIDGE_AUTH__ENTRA__JWKS_URL", url.as_str()),
            ("BRIDGE_ZIFLOW__BASE_URL", api.as_str()),
            ("BRIDGE_LOG__LEVEL", "trace"),
        ];
        all.extend_from_slice(variables);
        let bridge = Bridge::with(&self.ziflow, &all).await;
        let answer = list(&bridge, &self.token).await;
        let told = bridge.admin_text("/readyz").await;
        (answer, format!("{told}{:?}", bridge.stop().await))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Whether somebody has asked this proxy for a tunnel to there.
fn led_to(heard: &Mutex<Vec<u8>>, target: SocketAddr) -> bool {
    String::from_utf8_lossy(&heard.lock().unwrap()).contains(&format!("CONNECT {target} HTTP/1.1\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_come_by_the_way_to_ziflow_or_by_one_of_their_own() {
    let stage = Stage::new().await;
    let ca = stage.folder.file("ca.pem", &stage.authority.pem);
    let ca = ("BRIDGE_ZIFLOW__CA_FILE", text(&ca));
    let (for_ziflow, heard) = proxy(None).await;
    let (for_keys, heard_of_keys) = proxy(Some(CREDENTIALS)).await;
    let for_ziflow = format!("http://{for_ziflow}");
    let for_ziflow = ("BRIDGE_ZIFLOW__PROXY", for_ziflow.as_str());
    let for_keys = format!("http://user:s3cret-word@{for_keys}");
    let file = stage.folder.file("proxy", &format!("{for_keys}\n"));
    for (settings, by_ziflows, by_own) in [
        (vec![ca], false, false),
        (vec![ca, for_ziflow], true, false),
        (vec![ca, for_ziflow, ("BRIDGE_AUTH__JWKS_PROXY", "direct")], false, false),
        (vec![ca, for_ziflow, ("BRIDGE_AUTH__JWKS_PROXY", for_keys.as_str())], false, true),
        (vec![ca, ("BRIDGE_AUTH__JWKS_PROXY_FILE", text(&file))], false, true),
    ] {
        heard.lock().unwrap().clear();
        heard_of_keys.lock().unwrap().clear();
        let (answer, told) = stage.ask(&settings).await;
        assert_eq!(answer.status, 200, "{settings:?}: {answer:?} {told}");
        assert_eq!(led_to(&heard, stage.keys), by_ziflows, "{settings:?}");
        assert_eq!(led_to(&heard_of_keys, stage.keys), by_own, "{settings:?}");
        assert!(!told.contains("s3cret-word") && !told.contains(CREDENTIALS), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_somebody_who_proves_nothing_are_not_taken() {
    let stage = Stage::new().await;
    let other = stage.folder.file("other.pem", &Authority::new("others").pem);
    let (strict, _) = proxy(Some("Basic of-somebody-else")).await;
    let strict = format!("http://user:s3cret-word@{strict}");
    for (settings, reason) in [
        (vec![], "invalid peer certificate"),
        (vec![("BRIDGE_ZIFLOW__CA_FILE", text(&other))], "invalid peer certificate"),
        (vec![("BRIDGE_AUTH__JWKS_PROXY", strict.as_str())], "tunnel"),
    ] {
        let (answer, told) = stage.ask(&settings).await;
        assert_eq!(answer.status, 503, "{settings:?}: {answer:?}");
        assert!(told.contains(reason), "{reason}: {told}");
        assert!(!told.contains("s3cret-word") && !told.contains("dXNlcjpz"), "{told}");
    }
}

#[test]
fn a_proxy_for_keys_that_is_none_is_told_by_check() {
    let folder = Folder::new();
    let file = folder.file("proxy", "http://u:s3cret-word@proxy.example:3128\n");
    let (url, by_file) = ("BRIDGE_AUTH__JWKS_PROXY", ("BRIDGE_AUTH__JWKS_PROXY_FILE", text(&file)));
    for (settings, told) in [
        (vec![by_file], "are fine"),
        (vec![(url, "direct")], "are fine"),
        (vec![(url, "u:s3cret-word@proxy.example")], "this is no address of a proxy such as"),
        (vec![(url, "http://proxy.example"), by_file], "`jwks_proxy` and `jwks_proxy_file` are both given"),
    ] {
        let mut all = vec![
            ("BRIDGE_ZIFLOW__API_KEY", "some-key"),
            ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "a@example.com"),
            ("BRIDGE_AUTH__TOKENS", "[{name: entra, token: a-token-of-the-test-of-some-length}]"),
        ];
        all.extend_from_slice(&settings);
        let output = command(&["check"], &all).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(told) && !said.contains("s3cret-word"), "{told}: {said}");
    }
}
