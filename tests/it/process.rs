//! The process as an operator meets it: start, drive, SIGTERM in the middle of a write, read the log.

use std::time::Duration;

use http::Method;
use serde_json::json;
use ziflow_scim_bridge::simulator::Fault;

use crate::harness::{Bridge, Folder, TOKEN, command, gets, give_up, in_ziflow, person, ziflow};

#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_accepted_is_answered_and_nobody_is_named_in_the_log() {
    let folder = Folder::new();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let settings = [("BRIDGE_STORE__URL", store.as_str())];
    let ziflow = ziflow(&[]).await;
    let mut bridge = Bridge::with(&ziflow, &settings).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    bridge.create(person("jo@example.com")).await.expect(409);
    bridge.find(r#"userName eq "jo@example.com""#).await.expect(200);
    bridge.ask_as(Some("wrong-token"), "GET /Users", None).await.expect(401);
    ziflow.inject(Fault::slow(Duration::from_secs(2)).method(Method::PUT));
    let rename = json!([
        {"op": "Replace", "path": "name.givenName", "value": "Joan"},
        {"op": "Replace", "path": "title", "value": "Lead"},
    ]);
    let (answer, ()) = tokio::join!(bridge.patch(&id, rename), async {
        gets(&ziflow, "PUT", 1).await;
        bridge.terminate();
    });
    assert_eq!(answer.expect(200).body["name"]["givenName"], "Joan");
    assert!(bridge.ended().await.success());
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["first_name"], "Joan");

    let log = bridge.log();
    let text = format!("{log:?}");
    for secret in [TOKEN, "wrong-token", ziflow.key(), "jo@example.com", "Joan", "Lee"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let patched =
        log.iter().find(|line| line["message"] == "request" && line["operation"] == "patch-user").unwrap();
    assert_eq!((patched["status"].as_u64(), patched["id"].as_str()), (Some(200), Some(id.as_str())));
    assert_eq!((patched["client"].as_str(), patched["ziflow_calls"].as_u64()), (Some("test"), Some(1)));

    // What Ziflow has no field for has been kept.
    let bridge = Bridge::with(&ziflow, &settings).await;
    assert_eq!(bridge.read(&id).await.expect(200).body["title"], "Lead");
    bridge.stop().await;
}

/// A reload that is asked for while the bridge stops does nothing, and cuts off nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_ends_nothing() {
    let ziflow = ziflow(&[]).await;
    let mut bridge = Bridge::start(&ziflow).await;
    bridge.hang_up();
    assert_eq!(bridge.line("reloaded").await["changed"], "nothing");
    bridge.get("/Users").await.expect(200);

    ziflow.inject(Fault::slow(Duration::from_secs(1)).method(Method::POST));
    let (answer, ()) = tokio::join!(bridge.create(person("jo@example.com")), async {
        gets(&ziflow, "POST", 1).await;
        bridge.terminate();
        bridge.line("stopping: no new connections, answering what has been accepted").await;
        bridge.hang_up();
    });
    answer.expect(201);
    assert!(bridge.ended().await.success());
    assert_eq!(bridge.log().iter().filter(|line| line["message"] == "reloaded").count(), 1);
}

/// A client that goes away does not stop a write half-way.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_on_when_the_client_goes_away() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.inject(Fault::slow(Duration::from_secs(1)).method(Method::PUT));
    let change = bridge.patch(
        &id,
        json!([
            {"op": "Replace", "path": "name.givenName", "value": "Joan"},
            {"op": "Replace", "path": "title", "value": "Lead"},
        ]),
    );
    give_up(change, gets(&ziflow, "PUT", 1)).await;
    bridge.request_line("patch-user").await;
    let shown = bridge.read(&id).await.expect(200);
    assert_eq!((shown.text("/name/givenName"), shown.text("/title")), ("Joan", "Lead"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_large_or_no_json_is_refused_in_scims_words() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_SERVER__MAX_BODY_BYTES", "2000")]).await;
    let mut body = person("jo@example.com");
    body["title"] = json!("x".repeat(3000));
    let refused = bridge.create(body).await.expect(413);
    assert!(refused.text("/detail").contains("server.max_body_bytes"));
    let refused = bridge.create(json!("text")).await.expect(400);
    assert_eq!(refused.body["scimType"], "invalidSyntax");
    assert!(refused.text("/detail").contains(refused.header("request-id").unwrap()));
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.stop().await;
}

#[test]
fn settings_that_cannot_be_used_stop_the_start() {
    let base = [("BRIDGE_ZIFLOW__API_KEY", "k"), ("BRIDGE_STORE__URL", "memory:")];
    for (variables, told) in [
        (&[("BRIDGE_ZIFLOW__API_KEY", "")][..], "the API key is empty"),
        (&[("BRIDGE_SERVER__LISTEN", "0.0.0.0:8080")], "can be reached from the network"),
        (&[("BRIDGE_SERVER__PROT", "1")], "unknown variable `BRIDGE_SERVER__PROT`"),
        (&[("BRIDGE_ZIFLOW__BASE_URL", "http://api.ziflow.io/v1")], "use https"),
        (&[("BRIDGE_SERVER__TLS__CERTIFICATE", "x")], "unknown variable"),
        (&[("BRIDGE_RATE_LIMIT__BURST", "many")], "expected a whole number"),
        (&[("BRIDGE_POLICY__ON_DELETE", "delete")], "policy.new_owner_id"),
    ] {
        let variables = [&base[..], variables].concat();
        let output = command(&["serve"], &variables).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{shown}");
        assert!(shown.contains(told), "`{told}` not in: {shown}");
    }
    let output = command(&["serve"], &[]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("the API key of a Ziflow admin is missing"), "{shown}");
    assert_eq!(command(&["serve", "--what"], &[]).output().unwrap().status.code(), Some(64));
}

/// Kubernetes makes such variables for a service called `bridge`.
#[test]
fn other_peoples_variables_are_left_alone() {
    let variables =
        [("BRIDGE_ZIFLOW__API_KEY", "k"), ("BRIDGE_SERVICE_HOST", "10.0.0.1"), ("BRIDGE_PORT", "tcp://x")];
    assert_eq!(command(&["check"], &variables).output().unwrap().status.code(), Some(0));
}

#[test]
fn the_demo_ends_well() {
    let output = command(&["demo", "--once"], &[]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("steps ended as they should"), "{shown}");
}
