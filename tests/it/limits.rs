//! The limits on connections and requests: whoever is slow, silent or many, others are served.

use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;
use tokio::time::sleep;
use ziflow_scim_bridge::simulator::{Fault, OWNER_EMAIL};

use crate::harness::{Bridge, Folder, TOKEN, command, gets, person, ziflow};
use crate::wire::{PATIENCE, Wire};

/// Somebody at an address of this machine's own: 127.0.0.`number`.
async fn caller(number: u8, bridge: &Bridge) -> Wire {
    Wire::from(number, bridge.address()).await
}

/// So many that have done this.
async fn crowd(number: u8, size: usize, bridge: &Bridge, said: &str) -> Vec<Wire> {
    let mut crowd = Vec::new();
    for _ in 0..size {
        let mut one = caller(number, bridge).await;
        one.say(said).await;
        crowd.push(one);
    }
    crowd
}

/// A request of somebody who shows this token.
fn request(line: &str, token: &str, body: &str) -> String {
    let (method, target) = line.split_once(' ').unwrap();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!(
        "{method} /scim/v2{target} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n{length}\r\n{body}"
    )
}

fn schemas() -> String {
    request("GET /Schemas", TOKEN, "")
}

/// Bytes of memory that the process holds.
fn resident(bridge: &Bridge) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", bridge.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_keep_connections_keep_nobody_out() {
    let ziflow = ziflow(&[]).await;
    let settings = [
        ("BRIDGE_SERVER__MAX_CONNECTIONS", "60"),
        ("BRIDGE_SERVER__MAX_CONNECTIONS_PER_SOURCE", "20"),
        ("BRIDGE_AUTH__MAX_FAILURES_PER_MINUTE", "0"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mut entra = caller(1, &bridge).await;
    assert_eq!(entra.status(schemas()).await, 200);
    let before = resident(&bridge);
    let half = "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthor".to_owned();
    let refused = request("GET /Users", "wrong", "");
    let no_body = request("POST /Users", "wrong", "x").replace("Length: 1", "Length: 60000");
    let big_head = format!("GET /x HTTP/1.1\r\nX: {}", "x".repeat(32_000));
    let mut crowds = Vec::new();
    for said in ["", half.as_str(), refused.as_str(), no_body.as_str(), big_head.as_str()] {
        for source in 2..6 {
            crowds.push(crowd(source, 25, &bridge, said).await);
            // A newcomer is let in, and whoever is known was never sent away.
            assert_eq!(caller(9, &bridge).await.status(schemas()).await, 200, "{said}");
            assert_eq!(entra.status(schemas()).await, 200, "{said}");
        }
    }
    let open = crowds.iter_mut().flatten().filter_map(|one| one.is_open().then_some(())).count();
    assert!(open <= 60, "{open} of 500 are open");
    let grown = resident(&bridge).saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for 60 connections");
    bridge.stop().await;
}

/// Where the operating system allows fewer than the settings, what is left over is for the store and for Ziflow.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_leave_descriptors_for_the_work() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    let settings = format!(
        "server: {{ listen: 127.0.0.1:0 }}\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ tokens: [{{ name: entra, token: \
         {TOKEN} }}] }}\nziflow: {{ base_url: '{}', api_key: {}, key_user_email: {OWNER_EMAIL} }}\nstore: {{ url: \
         'sqlite:{}/store.db' }}\n",
        ziflow.base_url(),
        ziflow.key(),
        folder.path().display(),
    );
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    let file = folder.file("bridge.yaml", &settings).display().to_string();
    let serve = command(&["serve", "--config", &file], &[]);
    let mut limited = Command::new("/bin/sh");
    limited.env_clear().args(["-c", "ulimit -n 60 && exec \"$@\"", "sh"]).arg(serve.get_program());
    limited.args(serve.get_args());
    let bridge = Bridge::spawn(&mut limited).await;
    let fewer = "this process may have too few files open for server.max_connections, so there will be fewer \
                 (LimitNOFILE in the unit)";
    assert_eq!(bridge.line(fewer).await["most"], 30);
    let mut crowds = Vec::new();
    for source in 2..12 {
        crowds.push(crowd(source, 20, &bridge, "").await);
        let mut entra = caller(1, &bridge).await;
        let body = person(&format!("p{source}@example.com")).to_string();
        assert_eq!(entra.status(request("POST /Users", TOKEN, &body)).await, 201);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_fills_its_own_places_only() {
    let ziflow = ziflow(&[]).await;
    let settings = [("BRIDGE_SERVER__MAX_CONNECTIONS_PER_SOURCE", "2")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mut idle = caller(2, &bridge).await;
    assert_eq!(idle.status(schemas()).await, 200);
    ziflow.inject(Fault::slow(Duration::from_secs(3)).method(Method::POST).times(2));
    let mut busy = Vec::new();
    for number in 0..2 {
        let mut one = caller(2, &bridge).await;
        let body = person(&format!("p{number}@example.com")).to_string();
        assert!(one.say(request("POST /Users", TOKEN, &body)).await);
        busy.push(one);
        gets(&ziflow, "POST", number + 1).await;
    }
    // The idle one had to go, and those who are busy do not.
    assert!(idle.try_hear().await.is_none());
    assert!(caller(2, &bridge).await.try_ask(schemas()).await.is_none());
    assert_eq!(caller(3, &bridge).await.status(schemas()).await, 200);
    let line = bridge
        .line(
            "all connections are busy, and there is no place for further ones \
                            (server.max_connections_per_source)",
        )
        .await;
    assert_eq!(line["source"], "127.0.0.2");
    for one in &mut busy {
        assert_eq!(one.try_hear().await.unwrap().status, 201);
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_everybody_is_busy_the_next_one_waits() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_CONNECTIONS", "1")]).await;
    ziflow.inject(Fault::slow(Duration::from_secs(1)).method(Method::POST).times(1));
    let mut busy = caller(2, &bridge).await;
    busy.say(request("POST /Users", TOKEN, &person("jo@example.com").to_string())).await;
    gets(&ziflow, "POST", 1).await;
    let mut next = caller(3, &bridge).await;
    assert_eq!(next.status(schemas()).await, 200);
    // It was served in the place of the first, which has been answered.
    assert_eq!(busy.try_hear().await.unwrap().status, 201);
    assert!(busy.try_hear().await.is_none());
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_at_once_are_told_so_at_once() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_REQUESTS_IN_FLIGHT", "2")]).await;
    ziflow.inject(Fault::slow(Duration::from_secs(3)).method(Method::POST).times(2));
    let mut busy = Vec::new();
    for number in 0..2 {
        let mut one = caller(2, &bridge).await;
        let body = person(&format!("p{number}@example.com")).to_string();
        one.say(request("POST /Users", TOKEN, &body)).await;
        busy.push(one);
    }
    gets(&ziflow, "POST", 2).await;
    let mut third = caller(2, &bridge).await;
    let refused = third.try_ask(schemas()).await.unwrap();
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.head.contains("\r\nretry-after: 1\r\n"), "{refused:?}");
    assert_eq!(refused.json()["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
    assert!(refused.json()["detail"].as_str().unwrap().contains("server.max_requests_in_flight"));
    // Who has no right credential is told so, and takes nobody's turn.
    assert_eq!(third.status(request("GET /Schemas", "wrong", "")).await, 401);
    for one in &mut busy {
        assert_eq!(one.try_hear().await.unwrap().status, 201);
    }
    assert_eq!(third.status(schemas()).await, 200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wait_for_a_client_has_its_own_end() {
    let ziflow = ziflow(&[]).await;
    let settings = [
        ("BRIDGE_SERVER__FIRST_BYTE_TIMEOUT_SECS", "2"),
        ("BRIDGE_SERVER__HEADER_TIMEOUT_SECS", "2"),
        ("BRIDGE_SERVER__IDLE_TIMEOUT_SECS", "3600"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mut idle = caller(2, &bridge).await;
    assert_eq!(idle.status(schemas()).await, 200);
    let mut silent = caller(2, &bridge).await;
    let mut dripping = caller(2, &bridge).await;
    let mut next = caller(2, &bridge).await;
    assert_eq!(next.status(schemas()).await, 200);
    // Byte after byte, and never a whole head: what counts is when it began.
    let start = Instant::now();
    while dripping.say("G").await && next.say("P").await && (dripping.is_open() || next.is_open()) {
        assert!(start.elapsed() < PATIENCE, "a head may take for ever");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(silent.try_hear().await.is_none());
    // Idle for longer than all that.
    assert_eq!(idle.status(schemas()).await, 200);
    bridge.stop().await;

    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__IDLE_TIMEOUT_SECS", "1")]).await;
    let mut idle = caller(2, &bridge).await;
    assert_eq!(idle.status(schemas()).await, 200);
    assert!(idle.try_hear().await.is_none());
    bridge.stop().await;
}

/// So many answers fit into no buffer between the two.
const ANSWERS: usize = 3000;

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_the_answer_is_let_go() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__WRITE_TIMEOUT_SECS", "1")]).await;
    let mut deaf = caller(2, &bridge).await;
    let (mut asked, mut heard) = (0, 0);
    deaf.stream().writable().await.unwrap();
    // As many as are taken without anybody reading an answer.
    while asked < ANSWERS && deaf.stream().try_write(schemas().as_bytes()).is_ok() {
        asked += 1;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(caller(3, &bridge).await.status(schemas()).await, 200);
    while deaf.try_hear().await.is_some() {
        heard += 1;
    }
    assert!(heard < asked, "all of {asked} answers have arrived");
    bridge.stop().await;
}
