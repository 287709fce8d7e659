//! What `/healthz` and `/readyz` say while things go wrong: part by part, each with since when and why.

use std::process::Command;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Fault, RetryAfter};

use crate::harness::{Answer, Bridge, Folder, person, ziflow};

/// Asks until readiness is so; how it is then.
async fn until(bridge: &Bridge, what: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
    let start = Instant::now();
    loop {
        let answer = bridge.admin("/readyz").await;
        if is_so(&answer) {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "{what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn state<'a>(answer: &'a Answer, part: &str) -> &'a str {
    answer.text(&format!("/parts/{part}/state"))
}

/// Every part that there is tells its state, since when, and a sentence.
#[tokio::test(flavor = "multi_thread")]
async fn every_part_tells_how_it_is() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let ready = bridge.admin("/readyz").await.expect(200);
    assert_eq!(ready.body["ready"], true);
    let parts = ready.body["parts"].as_object().unwrap();
    for name in ["store", "mapping", "key", "upstream", "limiter", "brake", "grants", "tokens", "quarantine"]
    {
        let part = &parts[name];
        assert_eq!(part["state"], "ok", "{name}");
        let since: jiff::Timestamp = part["since"].as_str().unwrap().parse().unwrap();
        assert!(since <= jiff::Timestamp::now(), "{name}");
        assert!(part["detail"].is_string(), "{name}");
    }
    // A line for each, for `grep`, and an end of the last line, for the prompt behind it.
    let text = bridge.admin_text("/readyz").await;
    assert_eq!(text.lines().filter(|line| line.contains(r#""state":"ok""#)).count(), parts.len(), "{text}");
    assert!(text.ends_with("}\n"), "{text}");
    assert!(bridge.admin_text("/healthz").await.ends_with("}\n"));
    bridge.stop().await;
}

/// The process is not to be restarted because of Ziflow, and no request is to be sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_ziflow_is_no_reason_to_restart() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let before = bridge.admin("/readyz").await.expect(200);
    ziflow.inject(Fault::reset().forever());
    bridge.get("/Users").await;
    let dead = until(&bridge, "not ready", |answer| answer.status == 503).await;
    assert_eq!((dead.body["ready"].clone(), state(&dead, "upstream")), (Value::Bool(false), "failing"));
    for part in ["store", "mapping", "key", "limiter", "brake", "grants", "tokens"] {
        assert_eq!(state(&dead, part), "ok", "{part} is well");
        assert_eq!(dead.text(&format!("/parts/{part}/since")), before.text(&format!("/parts/{part}/since")));
    }
    assert!(dead.text("/parts/upstream/detail").contains("Ziflow"), "{dead:?}");
    bridge.admin("/healthz").await.expect(200);
    assert_eq!(bridge.metric("ziflow_scim_bridge_ready").await, "0");
    // Nobody asks, and it finds out by itself.
    ziflow.clear_faults();
    let well = until(&bridge, "ready again", |answer| answer.status == 200).await;
    assert_eq!(state(&well, "upstream"), "ok");
    bridge.stop().await;
}

/// Also one that was never there: the start goes on without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ziflow_that_was_never_there_is_waited_for() {
    let ziflow = ziflow(&[]).await;
    ziflow.inject(Fault::status(StatusCode::BAD_GATEWAY).forever());
    let bridge = Bridge::start(&ziflow).await;
    let dead = bridge.admin("/readyz").await.expect(503);
    assert_eq!((state(&dead, "upstream"), state(&dead, "key")), ("failing", "unknown"));
    ziflow.clear_faults();
    let well = until(&bridge, "ready at last", |answer| answer.status == 200).await;
    assert_eq!(state(&well, "key"), "ok");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_not_blamed_on_ziflow() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let key = ziflow.key().to_owned();
    ziflow.change_key("another");
    bridge.get("/Users").await;
    let refused =
        until(&bridge, "the key is refused", |answer| state(answer, "key") == "failing").await.expect(503);
    assert!(refused.text("/parts/key/detail").contains("refuses the API key"), "{refused:?}");
    ziflow.change_key(&key);
    let well = until(&bridge, "the key is taken again", |answer| answer.status == 200).await;
    assert_eq!(state(&well, "key"), "ok");
    bridge.stop().await;
}

/// A store that cannot be used: nothing that Entra writes could be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_makes_it_not_ready() {
    let folder = Folder::new();
    let path = folder.path().join("store.db");
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_STORE__URL", &format!("sqlite:{}", path.display()))]).await;
    let file = bridge.metric("ziflow_scim_bridge_store_file_bytes").await;
    assert!(file.parse::<u64>().unwrap() > 4096, "{file}");
    let beside = rusqlite::Connection::open(&path).unwrap();
    beside.execute_batch("ALTER TABLE intents RENAME TO gone").unwrap();
    let failing = bridge.admin("/readyz").await.expect(503);
    assert_eq!(state(&failing, "store"), "failing");
    assert!(failing.text("/parts/store/detail").contains("intents"), "{failing:?}");
    bridge.admin("/healthz").await.expect(200);
    assert!(bridge.create(person("jo@example.com")).await.status >= 500);
    assert_ne!(bridge.metric("ziflow_scim_bridge_store_failures_total").await, "0");
    beside.execute_batch("ALTER TABLE gone RENAME TO intents").unwrap();
    bridge.admin("/readyz").await.expect(200);
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.stop().await;
}

/// As on a full disk: what is there can be read, and nothing can be added.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_told_until_it_can_be() {
    let folder = Folder::new();
    let path = folder.path().join("store.db");
    let url = format!("sqlite:{}", path.display());
    let ziflow = ziflow(&[]).await;
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec \"$0\" serve", env!("CARGO_BIN_EXE_ziflow-scim-bridge")]);
    let bridge = Bridge::with_command(&ziflow, limited, &[("BRIDGE_STORE__URL", &url)]).await;
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.files_up_to("8192");
    for _ in 0..3 {
        assert!(bridge.create(person("lee@example.com")).await.status >= 500);
        let failing = bridge.admin("/readyz").await.expect(503);
        assert_eq!(state(&failing, "store"), "failing");
        let detail = failing.text("/parts/store/detail");
        assert!(detail.contains("disk I/O error") && detail.contains(path.to_str().unwrap()), "{detail}");
    }
    bridge.files_up_to("unlimited");
    bridge.line("the store can be written again").await;
    bridge.admin("/readyz").await.expect(200);
    bridge.create(person("lee@example.com")).await.expect(201);
    let log = bridge.stop().await;
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!((&errors[0]["path"], &errors[0]["reason"]), (&json!(path), &json!("disk I/O error")));
}

/// SQLite would go on for ever with a file that nobody can find any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_file_is_taken_away_is_told() {
    let folder = Folder::new();
    let path = folder.path().join("store.db");
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_STORE__URL", &format!("sqlite:{}", path.display()))]).await;
    for name in ["store.db", "store.db-wal"] {
        let aside = folder.path().join("aside");
        std::fs::rename(folder.path().join(name), &aside).unwrap();
        let failing = bridge.admin("/readyz").await.expect(503);
        let detail = failing.text("/parts/store/detail");
        assert!(detail.contains(name) && detail.contains("move it back"), "{detail}");
        // Another one in its place is no better.
        std::fs::write(folder.path().join(name), "").unwrap();
        bridge.admin("/readyz").await.expect(503);
        std::fs::rename(aside, folder.path().join(name)).unwrap();
        bridge.admin("/readyz").await.expect(200);
    }
    let log = bridge.stop().await;
    assert_eq!(log.iter().filter(|line| line["level"] == "ERROR").count(), 2, "{log:#?}");
}

/// A pause is Ziflow's word and no failure: Entra is told when to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_and_counted() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let wait = RetryAfter::Seconds(30);
    ziflow.inject(Fault::status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait));
    bridge.find(r#"userName eq "jo@example.com""#).await.expect(429);
    let paused = bridge.admin("/readyz").await.expect(200);
    assert!(paused.text("/parts/limiter/detail").contains("wants a pause"), "{paused:?}");
    let left: f64 = bridge.metric("ziflow_scim_bridge_limiter_pause_seconds").await.parse().unwrap();
    assert!(left > 0.0 && left <= 30.0, "{left}");
    assert_eq!(bridge.metric("ziflow_scim_bridge_limiter_pauses_total").await, "1");
    assert_eq!(bridge.metric("ziflow_scim_bridge_limiter_calls_per_second").await, "250", "half of the pace");
    bridge.find(r#"userName eq "jo@example.com""#).await.expect(429);
    let sent_away: u32 = bridge.metric("ziflow_scim_bridge_limiter_sent_away_total").await.parse().unwrap();
    assert!(sent_away > 0);
    bridge.stop().await;
}
