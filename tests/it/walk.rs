//! The walk over all of Ziflow's pages: whatever moves, fails or dawdles meanwhile, nobody who stays is lost or doubled.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use ziflow_scim_bridge::simulator::{Fault, Route, Simulator};

use crate::harness::{Answer, Bridge, person, ziflow};

async fn crowd(quirks: &[(&str, &str)], count: usize) -> Simulator {
    let ziflow = ziflow(quirks).await;
    for number in 0..count {
        ziflow.add_person(json!({"email": format!("p{number:03}@example.com")}));
    }
    ziflow
}

/// How often each person stands in a list.
fn counts(list: &Answer) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for user in list.body["Resources"].as_array().unwrap() {
        *counts.entry(user["userName"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    counts
}

#[track_caller]
fn all_once(list: &Answer, names: impl Iterator<Item = String>, what: &str) {
    let counts = counts(list);
    for name in names {
        assert_eq!(counts.get(&name), Some(&1), "{name}, {what}");
    }
    assert!(counts.values().all(|count| *count == 1), "{what}: {counts:?}");
}

fn crowd_names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("p{number:03}@example.com"))
}

/// Calls of pages, without those that prove the key.
fn pages(ziflow: &Simulator) -> usize {
    let is_page = |call: &ziflow_scim_bridge::simulator::Call| {
        call.method == "GET" && call.path.ends_with("/users") && call.query != "count=1"
    };
    ziflow.calls().into_iter().filter(is_page).count()
}

/// The list, however often one has to ask for it.
async fn patiently(bridge: &Bridge) -> Answer {
    for _ in 0..100 {
        let list = bridge.get("/Users?count=1000").await;
        if list.status == 200 {
            return list;
        }
        let told = list.expect(503);
        assert!(told.header("retry-after").is_some(), "{told:?}");
        assert!(told.text("/detail").contains("still being read from Ziflow"), "{told:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the walk does not end");
}

/// People whom the bridge has never seen, while others come and go in front of the list after every page.
#[tokio::test(flavor = "multi_thread")]
async fn others_who_come_and_go_hide_nobody() {
    for count in [59, 79, 119] {
        for churn in ["3", "7"] {
            let ziflow = crowd(&[("churn", churn)], count).await;
            let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "20")]).await;
            let mut list = bridge.get("/Users?count=1000").await.expect(200);
            let people = list.body["Resources"].as_array_mut().unwrap();
            people.retain(|user| !user["userName"].as_str().unwrap().starts_with("passer-by"));
            all_once(&list, crowd_names(count), &format!("{count} people, churn {churn}"));
            bridge.stop().await;
        }
    }
}

/// A person leaves through the bridge while the walk is under way: those behind move up, one over the edge of a page.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_during_the_walk_hides_nobody() {
    let ziflow = crowd(&[], 40).await;
    let bridge = Bridge::with(
        &ziflow,
        &[
            ("BRIDGE_ZIFLOW__PAGE_SIZE", "10"),
            ("BRIDGE_POLICY__ON_DELETE", "delete"),
            ("BRIDGE_POLICY__DELETE_WITHOUT_NEW_OWNER", "true"),
        ],
    )
    .await;
    let first = bridge.find(r#"userName eq "p000@example.com""#).await.expect(200);
    let id = first.text("/Resources/0/id").to_owned();
    ziflow.reset_calls();
    ziflow.inject(Fault::slow(Duration::from_millis(400)).route(Route::Users).method(Method::GET).times(3));
    let (list, ()) = tokio::join!(bridge.get("/Users?count=1000"), async {
        while pages(&ziflow) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bridge.delete(&id).await.expect(204);
    });
    all_once(&list.expect(200), crowd_names(40).skip(1), "one left");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_pages_and_passing_trouble_cost_nothing_that_was_read() {
    let ziflow = crowd(&[], 49).await;
    let bridge = Bridge::with(
        &ziflow,
        &[
            ("BRIDGE_ZIFLOW__PAGE_SIZE", "10"),
            ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"),
            ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "3"),
            ("BRIDGE_RATE_LIMIT__RETRIES", "0"),
        ],
    )
    .await;
    ziflow.reset_calls();
    let on_pages = |fault: Fault| fault.route(Route::Users).method(Method::GET);
    ziflow.inject(on_pages(Fault::slow(Duration::from_millis(1500)).times(2)));
    ziflow.inject(on_pages(Fault::status(StatusCode::SERVICE_UNAVAILABLE).skip(2).times(2)));
    ziflow.inject(on_pages(Fault::reset().skip(3).times(1)));
    let told = bridge.get("/Users?count=1000").await.expect(503);
    assert!(told.text("/detail").contains("10 so far"), "{told:?}");
    all_once(&patiently(&bridge).await, crowd_names(49), "in trouble");
    assert_eq!(pages(&ziflow), 5 + 3, "each page once, and again what failed");
    bridge.get("/Users?startIndex=41&count=10").await.expect(200);
    assert_eq!(pages(&ziflow), 8, "what the walk has brought is kept");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lying_has_more_and_a_page_that_repeats_end() {
    for (has_more, past) in
        [("missing", "empty"), ("always_true", "empty"), ("always_true", "404"), ("missing", "404")]
    {
        for count in [29, 30] {
            let ziflow = crowd(&[("has_more", has_more), ("past_the_end", past)], count).await;
            let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__PAGE_SIZE", "10")]).await;
            let list = bridge.get("/Users?count=1000").await.expect(200);
            all_once(&list, crowd_names(count), &format!("{has_more}, {past}"));
            assert!(pages(&ziflow) <= 5, "{has_more}, {past}: {} pages", pages(&ziflow));
            bridge.stop().await;
        }
    }
}

/// Ziflow hides inactive people: they are looked for one by one, and that outlives the request as well.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_people_are_in_the_list_however_many_they_are() {
    let ziflow = ziflow(&[("inactive", "contacts_only")]).await;
    let bridge = Bridge::with(
        &ziflow,
        &[
            ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "0"),
            ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "2"),
            ("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0"),
        ],
    )
    .await;
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    for name in crowd_names(12) {
        let id = bridge.create(person(&name)).await.expect(201).id();
        bridge.patch(&id, off.clone()).await.expect(200);
    }
    ziflow.inject(Fault::slow(Duration::from_millis(300)).route(Route::Contact).forever());
    bridge.get("/Users").await.expect(503);
    let list = patiently(&bridge).await;
    all_once(&list, crowd_names(12), "hidden");
    assert!(
        list.body["Resources"].as_array().unwrap().iter().filter(|user| user["active"] == false).count()
            == 12
    );
    bridge.stop().await;
}

/// A single read that shows somebody otherwise, or no more, corrects the list that is being paged through.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_follows_what_single_reads_show() {
    let ziflow = crowd(&[], 5).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0")]).await;
    let list = bridge.get("/Users?count=2").await.expect(200);
    let id = |place: usize| list.body["Resources"][place]["id"].as_str().unwrap().to_owned();
    let is_crowd =
        |place: usize| list.body["Resources"][place]["userName"].as_str().unwrap().starts_with('p');
    let place = usize::from(!is_crowd(0));
    ziflow.change_person(&id(place), json!({"active": false}));
    bridge.read(&id(place)).await.expect(200);
    let list = bridge.get("/Users?startIndex=1&count=10").await.expect(200);
    assert_eq!(list.body["Resources"][place]["active"], false, "{list:?}");
    ziflow.remove_person(&id(place));
    bridge.read(&id(place)).await.expect(404);
    let list = bridge.get("/Users?startIndex=1&count=10").await.expect(200);
    assert_eq!(list.body["totalResults"], 5);
    assert_eq!(pages(&ziflow), 1);
    bridge.stop().await;
}
