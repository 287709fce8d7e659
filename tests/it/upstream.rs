//! The way to Ziflow: the API key goes to the configured address and to nobody else, whatever stands between.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, TOKEN, command, person, ziflow};
use crate::way_stage::{self, Authority, CREDENTIALS, listen, proxy};

const SOMEBODY: &str = "userName eq \"jo@example.com\"";

/// The simulated Ziflow behind TLS with this certificate; its address.
async fn with_tls(ziflow: &Simulator, config: ServerConfig) -> String {
    format!("https://{}/v1", way_stage::with_tls(ziflow.address(), config).await)
}

/// What `doctor` says about the connection: its state, and all of it.
async fn doctor(ziflow: &Simulator, variables: &[(&str, &str)]) -> (String, String) {
    let mut all: Vec<(String, String)> = [
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
        ("BRIDGE_AUTH__TOKENS", &format!("[{{name: test, token: {TOKEN}}}]")),
        ("BRIDGE_STORE__URL", "memory:"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let run = move || {
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        command(&["doctor", "--format", "json"], &all).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "connection")
        .cloned()
        .unwrap();
    (
        check["state"].as_str().unwrap().to_owned(),
        format!("{told}{}", String::from_utf8_lossy(&output.stderr)),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_proves_nothing_gets_no_key() {
    let (ours, others, folder) = (Authority::new("ours"), Authority::new("others"), Folder::new());
    let (ca, other_ca) = (folder.file("ca.pem", &ours.pem), folder.file("other.pem", &others.pem));
    let both = folder.file("both.pem", &format!("{}\n{}", others.pem, ours.pem));
    let ziflow = ziflow(&[]).await;
    for (config, ca, wrong, remedy) in [
        (ours.sign("127.0.0.1", 2100), Some(&ca), None, ""),
        (ours.sign("127.0.0.1", 2100), Some(&both), None, ""),
        (ours.sign("127.0.0.1", 2100), None, Some("UnknownIssuer"), "name the company's CA certificates"),
        (ours.sign("127.0.0.1", 2100), Some(&other_ca), Some("UnknownIssuer"), "is it the right file"),
        (ours.sign("127.0.0.1", 2001), Some(&ca), Some("certificate expired"), "clock right"),
        (
            ours.sign("other.example", 2100),
            Some(&ca),
            Some("not valid for name"),
            "somebody else answers there",
        ),
    ] {
        let base_url = with_tls(&ziflow, config).await;
        let mut variables =
            vec![("BRIDGE_ZIFLOW__BASE_URL", base_url.as_str()), ("BRIDGE_RATE_LIMIT__RETRIES", "0")];
        variables.extend(ca.map(|ca| ("BRIDGE_ZIFLOW__CA_FILE", text(ca))));
        let before = ziflow.total_calls();
        let (state, told) = doctor(&ziflow, &variables).await;
        let bridge = Bridge::with(&ziflow, &variables).await;
        let answer = bridge.find(SOMEBODY).await;
        match wrong {
            None => {
                answer.expect(200);
                assert!(state == "ok" && ziflow.total_calls() > before, "{told}");
            }
            Some(wrong) => {
                let answer = answer.expect(503);
                let detail = answer.text("/detail");
                assert!(detail.contains(wrong), "{detail}");
                assert!(state == "failed" && told.contains(wrong) && told.contains(remedy), "{told}");
                assert_eq!(ziflow.total_calls(), before, "the key was sent to a stranger");
            }
        }
        bridge.stop().await;
    }
}

/// Answers everybody with a redirect, of each kind in turn, and tells how many there were.
async fn redirecting(target: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let number = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&number);
    let address = listen(move |mut stream| {
        let status = [301, 302, 303, 307, 308][counted.fetch_add(1, Ordering::SeqCst) % 5];
        async move {
            let answer = format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _read = stream.read(&mut [0; 8192]).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address.await, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_told_and_not_followed() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reached);
    let elsewhere = listen(move |_stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    });
    let elsewhere = format!("http://{}", elsewhere.await);
    let target: &'static str = format!("{elsewhere}/v1/users/jo%40example.com?apikey=x").leak();
    let (address, number) = redirecting(target).await;
    let ziflow = ziflow(&[]).await;
    let base_url = format!("http://{address}/v1");
    let variables = [
        ("BRIDGE_ZIFLOW__BASE_URL", base_url.as_str()),
        ("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "0"),
        ("BRIDGE_RATE_LIMIT__RETRIES", "0"),
    ];
    let bridge = Bridge::with(&ziflow, &variables).await;
    let told = format!("a redirect to {elsewhere} that is not followed");
    for _ in 0..5 {
        let look_up = bridge.find(SOMEBODY).await.expect(502);
        assert!(look_up.text("/detail").contains(&told), "{look_up:?}");
        let create = bridge.create(person("jo@example.com")).await.expect(502);
        assert!(create.text("/detail").contains(&told), "{create:?}");
        assert!(!create.text("/detail").contains("apikey"), "{create:?}");
    }
    let (_, told_by_doctor) = doctor(&ziflow, &variables).await;
    assert!(told_by_doctor.contains(&told), "{told_by_doctor}");
    assert!(number.load(Ordering::SeqCst) >= 10, "each kind has been met");
    assert_eq!(reached.load(Ordering::SeqCst), 0, "a redirect was followed");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_settings_lead_through_a_proxy() {
    let (authority, folder, ziflow) = (Authority::new("ours"), Folder::new(), ziflow(&[]).await);
    let ca = folder.file("ca.pem", &authority.pem);
    let https = with_tls(&ziflow, authority.sign("127.0.0.1", 2100)).await;
    let (address, heard) = proxy(None).await;
    let url = format!("http://{address}");
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    for (base_url, ca) in [(ziflow.base_url(), None), (https.clone(), Some(&ca))] {
        let mut variables: Vec<_> = names.iter().map(|name| (*name, url.as_str())).collect();
        variables.push(("BRIDGE_ZIFLOW__BASE_URL", &base_url));
        variables.extend(ca.map(|ca| ("BRIDGE_ZIFLOW__CA_FILE", text(ca))));
        let bridge = Bridge::with(&ziflow, &variables).await;
        bridge.find(SOMEBODY).await.expect(200);
        let (state, told) = doctor(&ziflow, &variables).await;
        assert_eq!(state, "ok", "{told}");
        bridge.stop().await;
    }
    assert_eq!(heard.lock().unwrap().len(), 0, "a proxy of the environment was asked");

    // The settings name it: it makes a tunnel, and sees nothing of what goes through.
    let (address, heard) = proxy(Some(CREDENTIALS)).await;
    let with_password = format!("http://user:s3cret-word@{address}");
    let file = folder.file("proxy", &format!("{with_password}\n"));
    for setting in
        [("BRIDGE_ZIFLOW__PROXY", with_password.as_str()), ("BRIDGE_ZIFLOW__PROXY_FILE", text(&file))]
    {
        heard.lock().unwrap().clear();
        let variables = [
            setting,
            ("BRIDGE_ZIFLOW__BASE_URL", https.as_str()),
            ("BRIDGE_ZIFLOW__CA_FILE", text(&ca)),
            ("BRIDGE_LOG__LEVEL", "trace"),
        ];
        let (state, told) = doctor(&ziflow, &variables).await;
        assert!(state == "ok" && told.contains(&format!("through the proxy http://{address}")), "{told}");
        let bridge = Bridge::with(&ziflow, &variables).await;
        bridge.find(SOMEBODY).await.expect(200);
        let log = format!("{:?}{told}", bridge.stop().await);
        assert!(!log.contains("s3cret-word") && !log.contains(CREDENTIALS), "{log}");
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        let target = https.strip_prefix("https://").unwrap().trim_end_matches("/v1");
        assert!(heard.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")), "{heard}");
        for secret in [ziflow.key(), "jo@example.com", "jo%40example.com", "apikey"] {
            assert!(!heard.contains(secret), "the proxy saw {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_help_is_told_without_its_password() {
    let (authority, folder, ziflow) = (Authority::new("ours"), Folder::new(), ziflow(&[]).await);
    let ca = folder.file("ca.pem", &authority.pem);
    let https = with_tls(&ziflow, authority.sign("127.0.0.1", 2100)).await;
    let (strict, _) = proxy(Some("Basic of-somebody-else")).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, remedy) in [
        (strict, "are address, user and password in ziflow.proxy right"),
        (nobody, "does this machine reach the proxy"),
    ] {
        let url = format!("http://user:s3cret-word@{address}");
        let variables = [
            ("BRIDGE_ZIFLOW__PROXY", url.as_str()),
            ("BRIDGE_ZIFLOW__BASE_URL", https.as_str()),
            ("BRIDGE_ZIFLOW__CA_FILE", text(&ca)),
            ("BRIDGE_LOG__LEVEL", "trace"),
            ("BRIDGE_RATE_LIMIT__RETRIES", "0"),
        ];
        let (state, told) = doctor(&ziflow, &variables).await;
        assert!(state == "failed" && told.contains(remedy), "{told}");
        let bridge = Bridge::with(&ziflow, &variables).await;
        let answer = bridge.find(SOMEBODY).await.expect(503);
        let all = format!("{told}{answer:?}{:?}", bridge.stop().await);
        assert!(!all.contains("s3cret-word") && !all.contains("dXNlcjpz"), "{all}");
    }
    assert_eq!(ziflow.total_calls(), 0, "somebody went around the proxy");
}

/// What `check` says; nothing is reached.
fn check(settings: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut all = vec![
        ("BRIDGE_ZIFLOW__API_KEY", "some-key"),
        ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "a@example.com"),
        ("BRIDGE_AUTH__TOKENS", "[{name: entra, token: a-token-of-the-test-of-some-length}]"),
    ];
    all.extend_from_slice(settings);
    let output = command(&["check"], &all).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_way_that_cannot_be_gone_is_told_by_check() {
    let folder = Folder::new();
    let authority = Authority::new("ours");
    let good = folder.file("ca.pem", &authority.pem);
    let (none, open) =
        (folder.file("none.pem", "no certificate\n"), folder.file_with_mode("o.pem", &authority.pem, 0o666));
    let proxy = folder.file("proxy", "http://u:s3cret-word@proxy.example:3128\n");
    let name = |name: &str| format!("BRIDGE_ZIFLOW__{name}");
    let (base, ca, url, file) = (name("BASE_URL"), name("CA_FILE"), name("PROXY"), name("PROXY_FILE"));
    for (settings, told) in [
        (vec![(ca.as_str(), text(&good)), (&file, text(&proxy))], "are fine"),
        (vec![(&ca, text(&none))], "no certificates that can be used"),
        (vec![(&ca, text(&open))], "everybody on this machine can change"),
        (vec![(&ca, "/nowhere/ca.pem")], "cannot be read"),
        (vec![(&url, "u:s3cret-word@proxy.example")], "no address of a proxy such as"),
        (vec![(&url, "socks5://u:s3cret-word@proxy.example")], "no address of a proxy such as"),
        (vec![(&url, "http://proxy.example"), (&file, text(&proxy))], "both given"),
        (
            vec![(&url, "http://u:s3cret-word@proxy.example"), (&base, "http://127.0.0.1:1/v1")],
            "show it the API key",
        ),
    ] {
        let (said, code) = check(&settings);
        assert!(said.contains(told) && !said.contains("s3cret-word"), "{told}: {said}");
        assert_eq!(code, Some(if told == "are fine" { 0 } else { 78 }), "{said}");
    }
}
