//! Who may come, and who is meant by those who come through a proxy: each client here has an address of its own.

use serde_json::Value;
use ziflow_scim_bridge::config::MAPPING_YAML;

use crate::harness::{Bridge, Folder, TOKEN, ziflow};
use crate::wire::Wire;

const PROXY: u8 = 2;

/// A connection from 127.0.0.`number`.
async fn from(number: u8, bridge: &Bridge) -> Wire {
    Wire::from(number, bridge.address()).await
}

fn request(token: &str, headers: &[&str]) -> String {
    let headers: Vec<_> = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
    let headers = headers.concat();
    format!("GET /scim/v2/Schemas HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n{headers}\r\n")
}

/// The status of a request of its own; 0 if the connection was closed without an answer.
async fn ask(number: u8, bridge: &Bridge, token: &str, headers: &[&str]) -> u16 {
    let heard = from(number, bridge).await.try_ask(request(token, headers)).await;
    heard.map_or(0, |heard| heard.status)
}

fn about<'a>(log: &'a [Value], beginning: &str) -> Vec<&'a Value> {
    let says = |line: &&Value| line["message"].as_str().is_some_and(|text| text.starts_with(beginning));
    log.iter().filter(says).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_believed_and_nobody_else() {
    let ziflow = ziflow(&[]).await;
    let settings =
        [("BRIDGE_SERVER__TRUSTED_PROXIES", "[127.0.0.2]"), ("BRIDGE_AUTH__MAX_FAILURES_PER_MINUTE", "2")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    // Somebody who says to be others is braked as who they are.
    for (number, expected) in [401, 401, 429, 429].into_iter().enumerate() {
        let header = format!("X-Forwarded-For: 192.0.2.{number}");
        assert_eq!(ask(3, &bridge, "guess", &[&header]).await, expected, "{number}");
    }
    assert_eq!(ask(3, &bridge, "guess", &["Forwarded: for=192.0.2.9"]).await, 429);
    assert_eq!(ask(3, &bridge, TOKEN, &[]).await, 200);
    // Through the proxy everybody is who they are, whatever they have written before it.
    for number in 0..4 {
        let header = format!("X-Forwarded-For: 203.0.113.7, 198.51.100.{number}");
        assert_eq!(ask(PROXY, &bridge, "guess", &[&header]).await, 401, "{number}");
    }
    for expected in [401, 401, 429] {
        let headers = ["X-Forwarded-For: 198.51.100.99", "X-Forwarded-For: 203.0.113.7:4711, 127.0.0.2"];
        assert_eq!(ask(PROXY, &bridge, "guess", &headers).await, expected);
    }
    assert_eq!(ask(PROXY, &bridge, TOKEN, &["X-Forwarded-For: 203.0.113.7"]).await, 200);
    let log = bridge.stop().await;
    let refused = about(&log, "request").into_iter().filter(|line| line["status"] == 401);
    let sources: Vec<_> = refused.map(|line| line["source"].as_str().unwrap()).collect();
    let through =
        ["198.51.100.0", "198.51.100.1", "198.51.100.2", "198.51.100.3", "203.0.113.7", "203.0.113.7"];
    assert_eq!(sources, [&["127.0.0.3"; 2][..], &through].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_networks_are_let_in() {
    let ziflow = ziflow(&[]).await;
    let settings = [
        ("BRIDGE_SERVER__ALLOW_NETWORKS", "[127.0.0.8/29, '2001:db8::/32']"),
        ("BRIDGE_SERVER__TRUSTED_PROXIES", "[127.0.0.2/32]"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    for (number, headers, expected) in [
        (8, &[][..], 200),
        (15, &[], 200),
        (7, &[], 0),
        (16, &[], 0),
        (7, &["X-Forwarded-For: 127.0.0.9"], 0),
        (9, &["X-Forwarded-For: 192.0.2.1"], 200),
        (PROXY, &["X-Forwarded-For: 127.0.0.9"], 200),
        (PROXY, &["X-Forwarded-For: 192.0.2.1, [2001:db8::7]:443"], 200),
        (PROXY, &["X-Forwarded-For: 127.0.0.9, 192.0.2.1"], 403),
        (PROXY, &["X-Forwarded-For: 192.0.2.1"], 403),
        (PROXY, &["X-Forwarded-For: nobody"], 403),
        (PROXY, &[], 403),
    ] {
        assert_eq!(ask(number, &bridge, TOKEN, headers).await, expected, "{number} {headers:?}");
    }
    // In SCIM's words, and nothing of the credential is told.
    let mut stream = from(PROXY, &bridge).await;
    let refused = stream.ask(request("guess", &[])).await;
    assert!(refused.status == 403 && refused.head.contains("application/scim+json"), "{refused:?}");
    // And at `/oauth2/token` in those of RFC 6749.
    let (grant, form) = ("grant_type=client_credentials", "application/x-www-form-urlencoded");
    let token = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: b\r\nContent-Type: {form}\r\nContent-Length: {}\r\n\r\n{grant}",
        grant.len()
    );
    let mut stream = from(PROXY, &bridge).await;
    let told = stream.ask(&token).await;
    assert!(told.status == 403 && told.head.contains("application/json;charset=UTF-8"), "{told:?}");
    let body = told.json();
    assert_eq!(body["error"], "unauthorized_client");
    assert!(body["error_description"].as_str().unwrap().contains("this network"), "{body}");
    let log = bridge.stop().await;
    let told = about(&log, "somebody is not let in");
    let mut sources: Vec<_> = told.iter().map(|line| line["source"].as_str().unwrap()).collect();
    sources.sort_unstable();
    // Once each, however often they come.
    assert_eq!(sources, ["127.0.0.16", "127.0.0.2", "127.0.0.7", "192.0.2.1"]);
    assert!(told.iter().all(|line| line["message"].as_str().unwrap().contains("server.allow_networks")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_moves_the_border_also_for_those_who_are_inside() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    folder.file("mapping.yaml", MAPPING_YAML);
    let settings = |networks: &str| {
        let text = format!(
            "server: {{ listen: '127.0.0.1:0', {networks} }}\nadmin: {{ listen: '127.0.0.1:0' }}\n\
             auth: {{ tokens: [{{ name: test, token: {TOKEN} }}] }}\nstore: {{ url: 'memory:' }}\n\
             ziflow: {{ base_url: '{}', api_key: {}, key_user_email: key@example.com }}\n",
            ziflow.base_url(),
            ziflow.key()
        );
        folder.file("bridge.yaml", &text)
    };
    let bridge = Bridge::configured(&settings("allow_networks: []")).await;
    let mut inside = from(3, &bridge).await;
    assert_eq!(inside.status(request(TOKEN, &[])).await, 200);
    settings("allow_networks: [127.0.0.9], trusted_proxies: [127.0.0.2]");
    bridge.hang_up();
    let changed = bridge.nth_line("reloaded", 1).await["changed"].clone();
    assert_eq!(changed, "server.allow_networks; server.trusted_proxies");
    assert_eq!(inside.status(request(TOKEN, &[])).await, 403);
    assert_eq!(ask(3, &bridge, TOKEN, &[]).await, 0);
    assert_eq!(ask(PROXY, &bridge, TOKEN, &["X-Forwarded-For: 127.0.0.9"]).await, 200);
    settings("allow_networks: [127.0.0.0/33]");
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    assert_eq!(ask(3, &bridge, TOKEN, &[]).await, 0);
    settings("allow_networks: [127.0.0.0/8]");
    bridge.hang_up();
    bridge.nth_line("reloaded", 2).await;
    assert_eq!(inside.status(request(TOKEN, &[])).await, 200);
    bridge.stop().await;
}
