//! The admin listener as those meet it who watch, and those who should not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{Bridge, Folder, TOKEN, command, ziflow};
use crate::wire::{Heard, Wire};

const WATCHER: &str = "watchers-token";

async fn connect(bridge: &Bridge) -> Wire {
    Wire::to(bridge.admin.strip_prefix("http://").unwrap()).await
}

/// Says this over a connection of its own, and listens to its end.
async fn say(bridge: &Bridge, text: impl AsRef<[u8]>) -> Heard {
    connect(bridge).await.last(text).await
}

async fn ask(bridge: &Bridge, line: &str, headers: &[&str]) -> Heard {
    let headers = [headers, &["Connection: close"]].concat().join("\r\n");
    say(bridge, format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n")).await
}

/// As this machine itself, with this credential.
async fn with(bridge: &Bridge, target: &str, authorization: &str) -> Heard {
    ask(bridge, &format!("GET {target}"), &["Host: localhost", &format!("Authorization: {authorization}")])
        .await
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_token_looks_and_nobody_else() {
    let ziflow = ziflow(&[]).await;
    let settings = [("BRIDGE_ADMIN__TOKEN", WATCHER), ("BRIDGE_AUTH__MAX_FAILURES_PER_MINUTE", "5")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mine = async |name: &str| ask(&bridge, &format!("GET {name}"), &["Host: localhost"]).await;
    assert_eq!(mine("/healthz").await.status, 200);
    // Who asks without a token guesses nothing, however often.
    for _ in 0..10 {
        for target in ["/readyz", "/metrics", "/", "/nothing"] {
            let refused = mine(target).await;
            assert_eq!(refused.status, 401, "{target}");
            let challenges = refused.headers("www-authenticate");
            assert!(
                challenges[0].starts_with("Bearer ") && challenges[1].starts_with("Basic "),
                "{refused:?}"
            );
        }
    }
    let bearer = format!("Bearer {WATCHER}");
    let right = [bearer.as_str(), &basic("", WATCHER), &basic("ann", WATCHER), &format!("bearer  {WATCHER}")];
    let wrong = [
        "Bearer watchers-toke".to_owned(),
        format!("Bearer {TOKEN}"),
        basic(WATCHER, ""),
        basic("ann", &format!("ann:{WATCHER}")),
        format!("Bearer {}", basic("", WATCHER)),
    ];
    for credential in right {
        assert_eq!(with(&bridge, "/readyz", credential).await.status, 200, "{credential}");
    }
    for credential in ["Basic !", "Basic", "Bearer", &format!("Basic {}", STANDARD.encode(WATCHER)), WATCHER]
    {
        assert_eq!(with(&bridge, "/readyz", credential).await.status, 401, "{credential}");
    }
    for credential in &wrong {
        assert_eq!(with(&bridge, "/metrics", credential).await.status, 401, "{credential}");
    }
    for credential in &wrong {
        let braked = with(&bridge, "/metrics", credential).await;
        assert_eq!(braked.status, 429, "{credential}");
        assert!(braked.headers("retry-after")[0].parse::<u64>().unwrap() <= 61);
    }
    for credential in right {
        assert_eq!(with(&bridge, "/readyz", credential).await.status, 200, "{credential}");
    }
    let two = ["Host: localhost", &format!("Authorization: {bearer}"), &format!("Authorization: {bearer}")];
    assert_eq!(ask(&bridge, "GET /readyz", &two).await.status, 401);
    let numbers = with(&bridge, "/metrics", &bearer).await.text().to_owned();
    for (status, count) in [(401, 5), (429, 5)] {
        let sample = format!("failed_authentications_total{{status=\"{status}\"}} {count}\n");
        assert!(numbers.contains(&sample), "{numbers}");
    }
    // Who watches is not Entra.
    assert_eq!(bridge.ask_as(Some(WATCHER), "GET /Users", None).await.status, 429);
    let log = bridge.stop().await;
    let told = |message: &str| log.iter().filter(|line| line["message"] == message).count();
    assert_eq!(told("a wrong token was shown to the admin listener"), 5);
    assert!(log.iter().all(|line| !line.to_string().contains("watchers-toke")), "{log:#?}");
}

/// Whatever is answered, a browser keeps it from other pages.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_guarded_and_only_looking_is_possible() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_TARGET_BYTES", "1024")]).await;
    let target = |length: usize| format!("GET /{}", "x".repeat(length - 1));
    for (line, status) in [
        ("GET /healthz", 200),
        ("HEAD /readyz", 200),
        ("GET /metrics?x=y", 200),
        ("GET /", 200),
        ("GET /nowhere", 404),
        ("POST /readyz", 405),
        ("DELETE /", 405),
        ("OPTIONS *", 405),
        (&target(1024), 404),
        (&target(1025), 414),
        ("GET /%00", 400),
    ] {
        let heard = ask(&bridge, line, &["Host: 127.0.0.1"]).await;
        assert_eq!(heard.status, status, "{line}: {heard:?}");
        let policy = heard.headers("content-security-policy");
        assert!(policy[0].starts_with("default-src 'none'; ") && policy.len() == 1, "{heard:?}");
        for part in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
            assert!(policy[0].contains(part), "{heard:?}");
        }
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(heard.headers(name), [value], "{line}: {heard:?}");
        }
        assert_eq!(heard.headers("allow").len(), usize::from(status == 405), "{heard:?}");
        assert_eq!(heard.body.is_empty(), line.starts_with("HEAD"), "{heard:?}");
    }
    bridge.stop().await;
}

/// A page that lets its own name point to this machine cannot read what is here.
#[tokio::test(flavor = "multi_thread")]
async fn only_known_names_are_answered() {
    let ziflow = ziflow(&[]).await;
    let settings = [("BRIDGE_ADMIN__HOSTS", "[Bridge.example.com]"), ("BRIDGE_ADMIN__TOKEN", WATCHER)];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let bearer = format!("Authorization: Bearer {WATCHER}");
    for (line, hosts, status) in [
        ("GET /readyz", &["localhost:9464"][..], 200),
        ("GET /readyz", &["127.0.0.1"], 200),
        ("GET /readyz", &["[::1]:80"], 200),
        ("GET /readyz", &["10.0.0.1:9464"], 200),
        ("GET /readyz", &["bridge.EXAMPLE.com:8443"], 200),
        ("GET http://bridge.example.com/readyz", &["localhost"], 200),
        ("GET http://evil.example/readyz", &["localhost"], 403),
        ("GET /readyz", &["evil.example:9464"], 403),
        ("GET /readyz", &["localhost.evil.example"], 403),
        ("GET /readyz", &["sub.bridge.example.com"], 403),
        ("GET /readyz", &["127.0.0.1.evil.example"], 403),
        ("GET /healthz", &["evil.example"], 403),
        ("GET /readyz", &[""], 403),
        ("GET /readyz", &["local host"], 403),
        ("GET /readyz", &[], 400),
        ("GET /readyz", &["localhost", "localhost"], 400),
    ] {
        let headers: Vec<_> =
            hosts.iter().map(|host| format!("Host: {host}")).chain([bearer.clone()]).collect();
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let heard = ask(&bridge, line, &headers).await;
        assert_eq!(heard.status, status, "{line} {hosts:?}: {heard:?}");
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_line_is_let_go() {
    let ziflow = ziflow(&[]).await;
    let settings = [
        ("BRIDGE_ADMIN__MAX_CONNECTIONS", "2"),
        ("BRIDGE_SERVER__HEADER_TIMEOUT_SECS", "1"),
        ("BRIDGE_SERVER__MAX_HEADER_BYTES", "8192"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let padded = |bytes: usize| {
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-pad: \r\n\r\n";
        request.replace("x-pad: ", &format!("x-pad: {}", "x".repeat(bytes - request.len())))
    };
    assert_eq!(say(&bridge, padded(8192)).await.status, 200);
    assert_eq!(say(&bridge, padded(8193)).await.status, 431);
    // Two take every place, say half a request or nothing at all; the third comes all the same.
    let (idle, mut slow) = (connect(&bridge).await, connect(&bridge).await);
    slow.say("GET /healthz HTTP/1.1\r\nHost: ").await;
    assert_eq!(ask(&bridge, "GET /healthz", &["Host: localhost"]).await.status, 200);
    for mut gone in [idle, slow] {
        assert!(gone.try_hear().await.is_none());
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_over_another_token_but_never_none_in_the_open() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let settings = |admin: &str| {
        let text = format!(
            "server: {{ listen: '127.0.0.1:0', plain_http_behind_proxy: true }}\nadmin: {{ {admin} }}\n\
             auth: {{ tokens: [{{ name: test, token: {TOKEN} }}] }}\nstore: {{ url: 'memory:' }}\n\
             ziflow: {{ base_url: '{}', api_key: {} }}\n",
            ziflow.base_url(),
            ziflow.key()
        );
        folder.file("bridge.yaml", &text)
    };
    folder.file("mapping.yaml", ziflow_scim_bridge::config::MAPPING_YAML);
    folder.file("token", WATCHER);
    let bridge = Bridge::configured(&settings("listen: '0.0.0.0:0', token_file: token")).await;
    let status = async |token: &str| with(&bridge, "/readyz", &format!("Bearer {token}")).await.status;
    assert_eq!(status(WATCHER).await, 200);
    // The token in the file is another one.
    folder.file("token", "second");
    bridge.hang_up();
    assert_eq!(bridge.nth_line("reloaded", 1).await["changed"], "admin.token");
    assert_eq!([status(WATCHER).await, status("second").await], [401, 200]);
    let minted = command(&["token", "new", "--format", "json"], &[]).output().unwrap();
    let minted: serde_json::Value = serde_json::from_slice(&minted.stdout).unwrap();
    let digest = minted["sha256"].as_str().unwrap();
    settings(&format!("listen: '0.0.0.0:0', token_sha256: {digest}, hosts: [b.example]"));
    bridge.hang_up();
    assert_eq!(bridge.nth_line("reloaded", 2).await["changed"], "admin.token; admin.hosts");
    assert_eq!([status("second").await, status(minted["token"].as_str().unwrap()).await], [401, 200]);
    // The listener stays where it is, and without a token everybody could look.
    settings("listen: '127.0.0.1:0'");
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    assert_eq!(ask(&bridge, "GET /readyz", &["Host: localhost"]).await.status, 401);
    let log = bridge.stop().await;
    assert!(
        log.iter().any(|line| line["key"] == "admin.listen" && line["hint"] == "restart the bridge"),
        "{log:#?}"
    );
}
