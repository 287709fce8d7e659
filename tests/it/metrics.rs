//! What `/metrics` says of a bridge that is driven: every request once, whatever becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;
use ziflow_scim_bridge::simulator::{Fault, Simulator};

use crate::harness::{Bridge, TOKEN, gets, give_up, person, ziflow};
use crate::issuer::{Issuer, Mood, Signer};
use crate::manual::anchor;

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
    give_up(change, gets(&ziflow, "PUT", 1)).await;
    let gone = bridge.line("the client went away before it was answered").await;
    assert_eq!(gone["operation"], "patch-user");
    assert_eq!(requests(&bridge, "patch-user", "aborted").await, "1");
    let done = bridge.request_line("patch-user").await;
    assert_eq!((&done["status"], &done["request_id"]), (&json!(200), &gone["request_id"]));
    let took = "ziflow_scim_bridge_request_duration_seconds_count{operation=\"patch-user\"}";
    assert_eq!(bridge.metric(took).await, "1", "the write that went on is not counted again");
    bridge.stop().await;
}

/// Each call that Ziflow got is counted under its endpoint, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_ziflows_is_counted() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    bridge.find(r#"userName eq "nobody@example.com""#).await.expect(200);
    ziflow.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).method(Method::PUT));
    let change = |name: &str| json!([{"op": "Replace", "path": "name.givenName", "value": name}]);
    bridge.patch(&id, change("Joan")).await;
    ziflow.inject(Fault::reset().method(Method::PUT));
    bridge.patch(&id, change("Joanna")).await;
    bridge.get("/Users").await.expect(200);
    bridge.get("/Users").await.expect(200);
    let text = settled(&bridge, &ziflow).await;
    let calls = |endpoint: &str, outcome: &str| {
        let labels = format!("{{endpoint=\"{endpoint}\",outcome=\"{outcome}\"}}");
        sample(&text, &format!("ziflow_calls_total{labels}"))
    };
    assert_eq!(calls("POST /users", "ok"), "1");
    assert_eq!(calls("GET /users/{id}", "not_found"), "1");
    assert_eq!(calls("PUT /users/{id}", "server_error"), "1");
    assert_eq!(calls("PUT /users/{id}", "lost"), "1");
    assert!(!text.contains("jo@example.com") && !text.contains(&id), "{text}");
    assert_eq!(sample(&text, "cache_requests_total{cache=\"everybody\",result=\"miss\"}"), "1");
    assert_eq!(sample(&text, "cache_requests_total{cache=\"everybody\",result=\"hit\"}"), "1");
    assert_eq!(sample(&text, "cache_entries{cache=\"everybody\"}"), ziflow.people().len().to_string());
    assert_eq!(sample(&text, "store_people"), "1");
    bridge.stop().await;
}

/// What is told once every call that Ziflow got is counted: the bridge also asks by itself, and counts a call when it ends.
async fn settled(bridge: &Bridge, ziflow: &Simulator) -> String {
    let counted = |text: &str| {
        let all = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("ziflow_scim_bridge_ziflow_calls_total{")?;
            rest.rsplit(' ').next()?.parse::<usize>().ok()
        });
        all.sum::<usize>()
    };
    for _ in 0..500 {
        let (before, text) = (ziflow.calls().len(), bridge.metrics().await);
        if before == ziflow.calls().len() && counted(&text) == before {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} calls came and other ones are counted: {}", ziflow.calls().len(), bridge.metrics().await)
}

/// Connections are counted while they are open, also those on which nothing is said.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_while_they_are_open() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::start(&ziflow).await;
    let reaches = async |wanted: &str| bridge.reaches("ziflow_scim_bridge_connections_open", wanted).await;
    reaches("0").await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(bridge.address()).await.unwrap());
    }
    reaches("3").await;
    silent.truncate(1);
    reaches("1").await;
    bridge.stop().await;
}

/// A person who fails counts once, however often Entra tries, until they are well again.
#[tokio::test(flavor = "multi_thread")]
async fn people_who_fail_are_foreseen() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "0")]).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(bridge.create(person(&format!("jo{number}@example.com"))).await.expect(201).id());
    }
    let quarantine = async || bridge.admin("/readyz").await.body["parts"]["quarantine"].clone();
    assert_eq!(quarantine().await["state"], "ok");
    let rename = |name: &str| json!([{"op": "Replace", "path": "name.givenName", "value": name}]);
    ziflow.inject(Fault::status(StatusCode::BAD_REQUEST).method(Method::PUT).forever());
    for _ in 0..2 {
        for id in ids.iter().take(5) {
            assert!(bridge.patch(id, rename("Joan")).await.status >= 400);
        }
    }
    assert_eq!(bridge.metric("ziflow_scim_bridge_entra_objects").await, "10");
    assert_eq!(bridge.metric("ziflow_scim_bridge_entra_objects_failed").await, "5");
    assert_eq!(bridge.metric("ziflow_scim_bridge_entra_objects_failed_ratio").await, "0.5");
    let told = quarantine().await;
    assert_eq!(told["state"], "at_risk");
    assert!(told["detail"].as_str().unwrap().starts_with("5 of the 10 people and groups"), "{told}");
    assert_eq!(bridge.admin("/readyz").await.status, 200, "Entra is served all the same");

    ziflow.clear_faults();
    bridge.patch(&ids[0], rename("Joan")).await.expect(200);
    assert_eq!(quarantine().await["state"], "ok");
    bridge.stop().await;
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What a text says of this metric, its prefix left out.
fn sample(text: &str, name: &str) -> String {
    let name = format!("ziflow_scim_bridge_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// The families of `/metrics`, each with the names of its labels.
fn families(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().unwrap();
            found.entry(family.to_owned()).or_default();
        } else if let Some((_, labels)) = line.split_once('{') {
            let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            found.get_mut(family).unwrap().extend(names);
        }
    }
    found
}

/// The metrics in the table of the manual, in the same way.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/monitoring.md");
    let (_, section) = page.split_once("\n## The metrics\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2));
    let entry = |name: &str| {
        let (name, labels) = name.trim_end_matches('}').split_once('{').unwrap_or((name, ""));
        let prefix = if name.starts_with("process_") { "" } else { "ziflow_scim_bridge_" };
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (format!("{prefix}{name}"), labels)
    };
    names.map(entry).collect()
}

/// The manual names every metric with its labels and no other, and so do dashboard and alerts.
#[tokio::test(flavor = "multi_thread")]
async fn the_manual_the_dashboard_and_the_alerts_name_what_is_there() {
    let ziflow = ziflow(&[]).await;
    let tokens = format!("[{{name: test, token: {TOKEN}, expires: 2099-01-01}}]");
    let issuer = Issuer::new(Mood::Keys(vec![Signer::new("key-1").jwk()])).await;
    let settings = [
        ("BRIDGE_AUTH__TOKENS", tokens.as_str()),
        ("BRIDGE_AUTH__ENTRA__TENANT_ID", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("BRIDGE_AUTH__ENTRA__JWKS_URL", &issuer.url),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.line("the issuer's keys have been fetched").await;
    let there = families(&bridge.metrics().await);
    bridge.stop().await;
    assert_eq!(there, documented(), "docs/monitoring.md");
    let mut named = 0;
    for file in ["deploy/grafana/ziflow-scim-bridge.json", "deploy/prometheus/alerts.yml"] {
        let text = read(file);
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in
            words.filter(|word| word.starts_with("ziflow_scim_bridge_") || word.starts_with("process_"))
        {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            assert!(there.contains_key(family.unwrap_or(word)), "{file} names {word}");
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/ziflow-scim-bridge.json")).unwrap();
    assert_eq!(dashboard["title"], "ziflow-scim-bridge");
}

/// The manual has every alert, with its severity, and each leads to an entry of the runbook.
#[test]
fn every_alert_leads_somewhere() {
    let (rules, manual, runbook) =
        (read("deploy/prometheus/alerts.yml"), read("docs/monitoring.md"), read("docs/runbook.md"));
    let headings: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let anchors: Vec<_> = headings.iter().map(|text| anchor(text)).collect();
    let mut alerts = 0;
    for rule in rules.split("      - alert: ZiflowScimBridge").skip(1) {
        let value = |key: &str| rule.split_once(key).unwrap().1.split(['\n', ' ']).next().unwrap();
        let (name, anchor) = (
            rule.lines().next().unwrap(),
            value("runbook: /usr/share/doc/ziflow-scim-bridge/docs/runbook.md#"),
        );
        assert!(anchors.iter().any(|known| known == anchor), "{name}: no entry {anchor} in the runbook");
        let row = format!("| `{name}` | {} |", value("severity: "));
        let row = manual.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/monitoring.md"));
        assert!(row.contains(&format!("(runbook.md#{anchor})")), "{row}");
        assert!(rule.contains("          summary: ") && rule.contains("          description: "), "{name}");
        alerts += 1;
    }
    assert_eq!(alerts, manual.matches("(runbook.md#").count(), "docs/monitoring.md has others");
}

/// Whoever is called because of `NotReady` finds in one entry where each part that can be failing leads.
#[test]
fn every_part_that_can_fail_leads_somewhere() {
    let (manual, runbook) = (read("docs/monitoring.md"), read("docs/runbook.md"));
    let (_, table) = manual.split_once("| part | is not `ok` when |").unwrap();
    let (_, entry) = runbook.split_once("\n## The bridge is not ready\n").unwrap();
    let (entry, _) = entry.split_once("\n## ").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let failing: Vec<_> = rows.filter(|row| row.contains("`failing`")).collect();
    assert_eq!(failing.len(), 7, "{failing:#?}");
    for row in failing {
        let part = row.split('`').nth(1).unwrap();
        assert!(entry.contains(&format!("`{part}`")), "no `{part}` in the runbook's entry: {entry}");
    }
}
