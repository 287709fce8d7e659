//! The brake on mass disabling: a slipped scoping filter takes access from few, and an operator decides about the rest.

use std::process::Output;

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, command, in_ziflow, person, ziflow};

fn off() -> Value {
    json!([{"op": "Replace", "path": "active", "value": "False"}])
}

async fn people(bridge: &Bridge, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(bridge.create(person(&format!("p{number}@example.com"))).await.expect(201).id());
    }
    ids
}

/// Runs `brake` with the settings that the bridge has.
fn brake(ziflow: &Simulator, arguments: &[&str], store: &str) -> Output {
    let arguments: Vec<_> = ["brake"].iter().chain(arguments).copied().collect();
    let variables = [
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
        ("BRIDGE_STORE__URL", store),
        ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "3"),
    ];
    command(&arguments, &variables).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_trips_stays_tripped_across_restarts_and_is_released_beside_the_service() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let settings =
        [("BRIDGE_STORE__URL", store.as_str()), ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "3")];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let ids = people(&bridge, 7).await;
    bridge.patch(&ids[0], off()).await.expect(200);
    bridge.delete(&ids[1]).await.expect(204);
    let mut replaced = person("p2@example.com");
    replaced["active"] = json!(false);
    bridge.replace(&ids[2], replaced).await.expect(200);
    // Who has no access loses none.
    bridge.delete(&ids[0]).await.expect(204);
    bridge.delete(&ids[0]).await.expect(404);
    let free = brake(&ziflow, &["status"], &store);
    assert!(free.status.success() && text(&free).starts_with("free: 3 of 3"), "{free:?}");
    // What has not tripped is not released by the way.
    assert!(text(&brake(&ziflow, &["release"], &store)).contains("nothing is changed"));
    assert!(text(&brake(&ziflow, &["status"], &store)).starts_with("free: 3 of 3"));

    let held = bridge.patch(&ids[3], off()).await.expect(503);
    assert!(held.header("retry-after").is_some(), "{held:?}");
    assert!(held.text("/detail").contains("brake release"), "{held:?}");
    // What the log masks in the text of an error is not the remedy.
    let line = bridge.nth_line("request", ids.len() + 6).await;
    assert!(line["reason"].as_str().unwrap().contains("brake release"), "{line}");
    bridge.delete(&ids[4]).await.expect(503);
    assert_eq!(in_ziflow(&ziflow, "p3@example.com")["active"], true);
    assert_eq!(in_ziflow(&ziflow, "p4@example.com")["active"], true);
    // Everything else goes on.
    let title = json!([{"op": "Replace", "path": "title", "value": "Editor"}]);
    bridge.patch(&ids[3], title).await.expect(200);
    bridge.create(person("new@example.com")).await.expect(201);
    bridge.patch(&ids[2], json!([{"op": "Replace", "path": "active", "value": true}])).await.expect(200);
    let ready = bridge.admin("/readyz").await.expect(200);
    assert_eq!(ready.text("/parts/brake/state"), "tripped");
    assert_eq!(bridge.metric(r#"ziflow_scim_bridge_part_state{part="brake",state="tripped"}"#).await, "1");
    let log = bridge.stop().await;
    let alarms = log.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(alarms, 1, "{log:#?}");

    let bridge = Bridge::with(&ziflow, &settings).await;
    bridge.patch(&ids[3], off()).await.expect(503);
    let tripped = brake(&ziflow, &["status", "--format", "json"], &store);
    assert_eq!(tripped.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&tripped.stdout).unwrap();
    assert_eq!((&told["tripped"], &told["most"]), (&json!(true), &json!(3)), "{told}");
    // Who it is about, which is what somebody has to decide upon.
    let listed = |list: &str| -> Vec<String> {
        told[list].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let sorted = |some: &[String]| {
        let mut all = some.to_vec();
        all.sort();
        all
    };
    assert_eq!(sorted(&listed("lost_access")), sorted(&ids[..3]), "{told}");
    assert_eq!(sorted(&listed("held_back")), sorted(&ids[3..5]), "{told}");
    let shown = text(&brake(&ziflow, &["status"], &store));
    assert!(shown.contains("the hour before it (3):") && shown.contains("until the release (2):"), "{shown}");
    assert!(ids.iter().take(5).all(|id| shown.contains(id.as_str())), "{shown}");
    assert!(text(&brake(&ziflow, &["release"], &store)).starts_with("released"));
    let reset = brake(&ziflow, &["release", "--reset"], &store);
    assert!(text(&reset).contains("counts from nothing again"), "{reset:?}");
    bridge.patch(&ids[3], off()).await.expect(200);
    bridge.delete(&ids[4]).await.expect(204);
    bridge.line("the brake on mass disabling is released").await;
    assert_eq!(bridge.admin("/readyz").await.expect(200).text("/parts/brake/state"), "ok");
    bridge.stop().await;
    // The service need not run for it.
    assert!(brake(&ziflow, &["status"], &store).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_person_counts_once_however_often_entra_repeats_it() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "2")]).await;
    let ids = people(&bridge, 3).await;
    let on = json!([{"op": "Replace", "path": "active", "value": true}]);
    for _ in 0..5 {
        bridge.patch(&ids[0], off()).await.expect(200);
        bridge.patch(&ids[0], on.clone()).await.expect(200);
    }
    bridge.patch(&ids[1], off()).await.expect(200);
    bridge.patch(&ids[2], off()).await.expect(503);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_disables_take_no_more_than_the_brake_allows() {
    for (on_delete, method) in [("deactivate", "PATCH"), ("deactivate", "DELETE"), ("delete", "DELETE")] {
        let ziflow = ziflow(&[]).await;
        let bridge = Bridge::with(
            &ziflow,
            &[
                ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "4"),
                ("BRIDGE_POLICY__ON_DELETE", on_delete),
                ("BRIDGE_POLICY__DELETE_WITHOUT_NEW_OWNER", "true"),
            ],
        )
        .await;
        let ids = people(&bridge, 12).await;
        let asked = ids.iter().map(|id| async {
            match method {
                "PATCH" => bridge.patch(id, off()).await.status,
                _ => bridge.delete(id).await.status,
            }
        });
        let mut statuses = Vec::new();
        for status in futures(asked.collect()).await {
            statuses.push(status);
        }
        let held = statuses.iter().filter(|status| **status == 503).count();
        assert_eq!(held, 8, "{method} {on_delete}: {statuses:?}");
        let mut still = ziflow.people();
        still.retain(|person| {
            person["active"] == true && person["email"].as_str().unwrap().ends_with("@example.com")
        });
        assert_eq!(still.len(), 8, "{method} {on_delete}");
        bridge.stop().await;
    }
}

/// All at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_is_no_brake_and_a_store_in_memory_cannot_be_reached() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "0")]).await;
    for id in people(&bridge, 60).await {
        bridge.patch(&id, off()).await.expect(200);
    }
    assert!(bridge.admin("/readyz").await.expect(200).text("/parts/brake/detail").starts_with("off"));
    bridge.stop().await;
    let told = brake(&ziflow, &["release"], "memory:");
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stderr).contains("in the service's memory"), "{told:?}");
}
