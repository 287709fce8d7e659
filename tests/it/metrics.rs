//! What `/metrics` says of a bridge that is driven: every request once, whatever becomes of it.

use std::time::Duration;

use http::Method;
use serde_json::json;
use ziflow_scim_bridge::simulator::Fault;

use crate::harness::{Bridge, person, ziflow};

/// How often this operation has been answered so.
async fn requests(bridge: &Bridge, operation: &str, status: &str) -> String {
    let labels = format!("{{operation=\"{operation}\",status=\"{status}\"}}");
    bridge.metric(&format!("ziflow_scim_bridge_requests_total{labels}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_by_what_it_was_answered() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    bridge.create(person("jo@example.com")).await.expect(409);
    bridge.read(&id).await.expect(200);
    bridge.read(&id).await.expect(200);
    bridge.read("nobody").await.expect(404);
    bridge.get("/Nothing").await.expect(404);
    bridge.ask_as(Some("wrong"), "GET /Users", None).await.expect(401);
    for (operation, status, count) in [
        ("create-user", "201", "1"),
        ("create-user", "409", "1"),
        ("get-user", "200", "2"),
        ("get-user", "404", "1"),
        ("none", "404", "1"),
        ("none", "401", "1"),
    ] {
        assert_eq!(requests(&bridge, operation, status).await, count, "{operation} {status}");
    }
    let took = "ziflow_scim_bridge_request_duration_seconds";
    assert_eq!(bridge.metric(&format!("{took}_count{{operation=\"get-user\"}}")).await, "3");
    assert_eq!(bridge.metric(&format!("{took}_bucket{{operation=\"get-user\",le=\"+Inf\"}}")).await, "3");
    bridge.stop().await;
}

/// A request counts once, as what the client saw of it, and the log says what became of the write.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_counted_once() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    ziflow.inject(Fault::slow(Duration::from_secs(1)).method(Method::PUT));
    let change = bridge.patch(&id, json!([{"op": "Replace", "path": "name.givenName", "value": "Joan"}]));
    assert!(tokio::time::timeout(Duration::from_millis(300), change).await.is_err());
    let gone = bridge.line("the client went away before it was answered").await;
    assert_eq!(gone["operation"], "patch-user");
    assert_eq!(requests(&bridge, "patch-user", "aborted").await, "1");
    let done = loop {
        let found = bridge
            .log()
            .into_iter()
            .find(|line| line["message"] == "request" && line["operation"] == "patch-user");
        match found {
            Some(line) => break line,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!((&done["status"], &done["request_id"]), (&json!(200), &gone["request_id"]));
    let took = "ziflow_scim_bridge_request_duration_seconds_count{operation=\"patch-user\"}";
    assert_eq!(bridge.metric(took).await, "1", "the write that went on is not counted again");
    bridge.stop().await;
}
