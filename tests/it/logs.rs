//! The log as an operator reads it: on a terminal, in the journal, in a log store; and that a request can be followed
//! through it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{self, Bridge, Folder, TOKEN, command, person};

/// A bridge whose standard error is this file.
struct Written {
    child: Child,
    file: std::path::PathBuf,
}

impl Written {
    async fn start(ziflow: &Simulator, file: &Path, in_journal: bool) -> Self {
        let stderr = File::create(file).unwrap();
        let at = stderr.metadata().unwrap();
        let tokens = format!("[{{name: entra, token: {TOKEN}}}]");
        let base_url = ziflow.base_url();
        let journal = format!("{}:{}", at.dev(), at.ino() + u64::from(!in_journal));
        let variables = [
            ("BRIDGE_SERVER__LISTEN", "127.0.0.1:0"),
            ("BRIDGE_ADMIN__LISTEN", "off"),
            ("BRIDGE_AUTH__TOKENS", &tokens),
            ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
            ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
            ("BRIDGE_STORE__URL", "memory:"),
            ("JOURNAL_STREAM", &journal),
        ];
        let child = command(&["serve"], &variables).stderr(Stdio::from(stderr)).spawn().unwrap();
        let bridge = Self { child, file: file.to_owned() };
        bridge.line("ready for Entra").await;
        bridge
    }

    /// Waits for a line that holds this.
    async fn line(&self, text: &str) -> String {
        for _ in 0..1000 {
            let log = std::fs::read_to_string(&self.file).unwrap();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no line with `{text}`: {}", std::fs::read_to_string(&self.file).unwrap());
    }

    /// The Tenant URL, as the log tells it.
    async fn url(&self) -> String {
        let line = self.line("tenant_url=").await;
        line.split("tenant_url=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn ask(method: &str, url: &str, body: Option<Value>) -> reqwest::Response {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let request = http.request(method.parse().unwrap(), url).bearer_auth(TOKEN);
    let request = match body {
        Some(body) => request.header("content-type", "application/scim+json").body(body.to_string()),
        None => request,
    };
    request.send().await.unwrap()
}

#[tokio::test]
async fn in_the_journal_a_line_is_text_with_its_priority() {
    let ziflow = harness::ziflow(&[]).await;
    let folder = Folder::new();
    let bridge = Written::start(&ziflow, &folder.path().join("log"), true).await;
    let url = bridge.url().await;

    let made = ask("POST", &format!("{url}/Users"), Some(person("jo@example.com"))).await;
    assert_eq!(made.status(), 201);
    let request_id = made.headers()["request-id"].to_str().unwrap().to_owned();
    let audited = bridge.line("\"target\":\"audit\"").await;
    assert!(audited.starts_with("<6>{\"time\":") && audited.contains(&request_id), "{audited}");
    let line = bridge.line("operation=create-user").await;
    assert!(line.starts_with("<6>INFO  request operation=create-user id=auth0|"), "{line}");
    assert!(line.contains(" status=201 client=entra ziflow_calls=1 ms="), "{line}");
    assert!(line.ends_with(&format!(" method=POST request_id={request_id}")), "{line}");

    ziflow.stop().await;
    let failed = ask("GET", &format!("{url}/Users/auth0%7C1"), None).await;
    assert!(failed.status().is_server_error(), "{failed:?}");
    let line = bridge.line("operation=get-user").await;
    assert!(line.starts_with("<4>WARN  request operation=get-user id=auth0|1 status=50"), "{line}");
    assert!(line.contains("reason=\"Ziflow"), "{line}");
}

/// The variable is inherited by programs whose standard error is another one.
#[tokio::test]
async fn elsewhere_it_is_json_without_priorities() {
    let ziflow = harness::ziflow(&[]).await;
    let folder = Folder::new();
    let bridge = Written::start(&ziflow, &folder.path().join("log"), false).await;
    let line: Value = serde_json::from_str(&bridge.line("ready for Entra").await).unwrap();
    assert_eq!(line["level"], "INFO");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn whatever_a_client_sends_a_request_is_one_line() {
    let ziflow = harness::ziflow(&[]).await;
    let folder = Folder::new();
    let bridge = Written::start(&ziflow, &folder.path().join("log"), true).await;
    let url = bridge.url().await;
    let answer = ask("GET", &format!("{url}/Users/1%0A%3C0%3Efake%1B%5B2J%C2%9B%E2%80%AE"), None).await;
    assert_eq!(answer.status(), 404);
    let line = bridge.line("operation=get-user").await;
    assert!(line.contains(r#"id="1\n<0>fake\u001b[2J\u009b\u202e" status=404"#), "{line}");
}

/// A Tenant URL with the path in it twice is a typical slip.
#[tokio::test]
async fn an_address_that_is_none_is_told_as_far_as_it_names_nobody() {
    let ziflow = harness::ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let answer = bridge.get("/scim/v2/Users/jo@example.com").await.expect(404);
    assert!(!answer.text("/detail").contains("asked for"), "{answer:?}");
    let line = bridge.line("request").await;
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.ends_with("; asked for /scim/v2/scim/v2/Users/…"), "{reason}");
    let unknown = bridge.get("/Users?filter=usrName%20eq%20%22jo%22").await.expect(400);
    let line = bridge.nth_line("request", 2).await;
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("has no attribute \"…\"; did you mean \"userName\"?"), "{reason} {unknown:?}");
    bridge.stop().await;
}

#[tokio::test]
async fn a_request_can_be_followed_by_its_id() {
    let ziflow = harness::ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_LOG__LEVEL", "debug")]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).text("/id").to_owned();
    let operations = json!([{"op": "replace", "path": "active", "value": "nonsense"}]);
    let refused = bridge.patch(&id, operations).await.expect(400);
    let request_id = refused.header("request-id").unwrap().to_owned();
    assert!(refused.text("/detail").contains(&request_id), "what Entra shows: {refused:?}");

    let answer =
        bridge.patch(&id, json!([{"op": "replace", "path": "active", "value": false}])).await.expect(200);
    let request_id = answer.header("request-id").unwrap().to_owned();
    let lines = bridge.log();
    let of_request: Vec<_> = lines.iter().filter(|line| line["request_id"] == *request_id).collect();
    let done = of_request.iter().find(|line| line["message"] == "request").unwrap();
    let calls: Vec<_> = of_request.iter().filter(|line| line["message"] == "Ziflow call").collect();
    assert_eq!(json!(calls.len()), done["ziflow_calls"], "{of_request:#?}");
    let told: Vec<_> = calls.iter().map(|line| (line["call"].as_str().unwrap(), &line["outcome"])).collect();
    assert!(told.contains(&("PUT /users/{id}", &json!("200"))), "{told:?}");
    bridge.stop().await;
}
