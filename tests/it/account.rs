//! One store, one account, one process; and a key that is refused heals when its file changes.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use ziflow_scim_bridge::simulator::{self, OWNER_EMAIL, Simulator};

use crate::harness::{Bridge, Folder, TOKEN, command, person, ziflow};

/// A simulated Ziflow with another account: it follows from the seed.
async fn another_account() -> Simulator {
    let settings = simulator::Settings { seed: 7, ..simulator::Settings::default() };
    simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_account_stops_the_start() {
    let (ours, others, folder) = (ziflow(&[]).await, another_account().await, Folder::new());
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let bridge = Bridge::with(&ours, &[("BRIDGE_STORE__URL", &store)]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();

    let start = |ziflow: &Simulator| {
        let base_url = ziflow.base_url();
        let variables = [
            ("BRIDGE_SERVER__LISTEN", "127.0.0.1:0"),
            ("BRIDGE_ADMIN__LISTEN", "off"),
            ("BRIDGE_ZIFLOW__BASE_URL", base_url.as_str()),
            ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
            ("BRIDGE_STORE__URL", &store),
        ];
        command(&["serve"], &variables).stderr(Stdio::piped()).output().unwrap()
    };
    let second = start(&ours);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process holds the file"), "{second:?}");
    bridge.stop().await;

    let foreign = start(&others);
    assert_eq!(foreign.status.code(), Some(1));
    let told = String::from_utf8_lossy(&foreign.stderr).into_owned();
    assert!(told.contains("people would be mixed up") && told.contains("store.url"), "{told}");
    assert!(!others.calls().iter().any(|call| call.method != "GET"));

    let bridge = Bridge::with(&ours, &[("BRIDGE_STORE__URL", &store)]).await;
    bridge.read(&id).await.expect(200);
    bridge.stop().await;
}

/// Settings in a file, with the key and the token in files of their own.
fn configured(folder: &Folder, ziflow: &Simulator, base_url: &str) -> std::path::PathBuf {
    folder.file("key", ziflow.key());
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    folder.file(
        "bridge.yaml",
        &format!(
            "server: {{ listen: '127.0.0.1:0' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n\
             auth: {{ tokens: [{{ name: test, token: {TOKEN} }}] }}\nstore: {{ url: 'memory:' }}\n\
             ziflow: {{ base_url: '{base_url}', api_key_file: key, read_cache_ttl_secs: 0 }}\n\
             rate_limit: {{ breaker_max_secs: 1 }}\n"
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_alarms_once_keeps_the_service_up_and_heals_with_its_file() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    let bridge = Bridge::configured(&configured(&folder, &ziflow, &ziflow.base_url())).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.change_key("the-next-key");
    let before = ziflow.total_calls();
    for _ in 0..50 {
        let told = bridge.read(&id).await.expect(502);
        assert!(told.text("/detail").contains("ziflow.api_key"), "{told:?}");
    }
    assert!(ziflow.total_calls() - before < 10, "{} calls with a refused key", ziflow.total_calls() - before);
    assert_eq!(bridge.admin("/readyz").await.expect(503).text("/parts/key/state"), "failing");
    folder.file("key", "the-next-key\n");
    bridge.line("the API key is another one now: its file has changed").await;
    bridge.read(&id).await.expect(200);
    assert_eq!(bridge.admin("/readyz").await.expect(200).text("/parts/key/state"), "ok");
    let log = bridge.stop().await;
    let alarms: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
}

/// While Ziflow cannot say whose the key is, nobody is served from a store that may be another account's.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_served_before_the_account_is_known() {
    let (ours, others, folder) = (ziflow(&[]).await, another_account().await, Folder::new());
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let bridge = Bridge::with(&ours, &[("BRIDGE_STORE__URL", &store)]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    bridge.stop().await;

    let (address, state) = (others.address(), others.state());
    let (base_url, key) = (others.base_url(), others.key().to_owned());
    others.stop().await;
    let variables = [
        ("BRIDGE_STORE__URL", store.as_str()),
        ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
        ("BRIDGE_ZIFLOW__API_KEY", &key),
        ("BRIDGE_RATE_LIMIT__BREAKER_MAX_SECS", "1"),
    ];
    let bridge = Bridge::with(&ours, &variables).await;
    bridge.read(&id).await.expect(503);
    bridge.find(r#"userName eq "jo@example.com""#).await.expect(503);
    let settings = simulator::Settings { seed: 7, state: Some(state), ..simulator::Settings::default() };
    let others = simulator::start(address, settings).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for told in [
        bridge.read(&id).await,
        bridge.find(r#"userName eq "jo@example.com""#).await,
        bridge.get("/Users").await,
        bridge.create(person("new@example.com")).await,
        bridge.patch(&id, json!([{"op": "Replace", "path": "active", "value": false}])).await,
        bridge.delete(&id).await,
    ] {
        let told = told.expect(502);
        assert!(told.text("/detail").contains("people would be mixed up"), "{told:?}");
    }
    assert!(!others.calls().iter().any(|call| call.method != "GET"));
    assert_eq!(bridge.admin("/readyz").await.expect(503).text("/parts/key/state"), "failing");
    bridge.stop().await;
}

/// Who is protected as the owner of the key must be there.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_the_key_who_is_nobody_is_told_at_the_start() {
    let ziflow = ziflow(&[]).await;
    for (email, warned) in [(OWNER_EMAIL, false), ("ownre@example.com", true)] {
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__KEY_USER_EMAIL", email)]).await;
        let log = bridge.stop().await;
        let told = log.iter().any(|line| line["key"] == "ziflow.key_user_email" && line["level"] == "WARN");
        assert_eq!(told, warned, "{email}: {log:#?}");
    }
}
