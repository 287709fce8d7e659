//! The queue of what groups grant under everything that can go wrong between two machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use ziflow_scim_bridge::simulator::Fault;

use crate::group_stage::{MANAGERS, Place, add, create, make, object_id, remove, settled, settled_within};
use crate::harness::{Bridge, encoded, panic_text};

const SETTINGS: &[(&str, &str)] = &[
    ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "3"),
    ("BRIDGE_RATE_LIMIT__RETRIES", "1"),
    ("BRIDGE_RATE_LIMIT__RECOVERY_SECS", "1"),
    ("BRIDGE_RATE_LIMIT__BREAKER_MAX_SECS", "1"),
];

/// Less than one call to a Ziflow that hangs.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// What has failed a few times is tried again within this.
const PATIENCE: Duration = Duration::from_secs(60);

type Named = (&'static str, fn() -> Fault);

const FAULTS: &[Named] = &[
    ("429", || Fault::status(StatusCode::TOO_MANY_REQUESTS)),
    ("500", || Fault::status(StatusCode::INTERNAL_SERVER_ERROR)),
    ("503", || Fault::status(StatusCode::SERVICE_UNAVAILABLE)),
    ("hang", Fault::hang),
    ("apply, hang", Fault::apply_then_hang),
    ("reset", Fault::reset),
    ("truncate", Fault::truncate),
    ("html 200", Fault::html_200),
    ("wrong types", Fault::wrong_types),
    ("400", || Fault::status(StatusCode::BAD_REQUEST)),
    ("401", || Fault::status(StatusCode::UNAUTHORIZED)),
    ("redirect", || Fault::redirect("http://127.0.0.1:1/v1/users")),
    ("apply, drop", Fault::apply_then_drop),
    ("apply, 504", || Fault::apply_then_status(StatusCode::GATEWAY_TIMEOUT)),
];

/// Which calls go wrong, until all is well again.
#[derive(Clone, Copy, Debug)]
enum When {
    FirstWrite,
    AllWrites,
    All,
    /// The first write; and nothing can be read after it.
    WriteThenDark,
}

fn inject(place: &Place, fault: Fault, when: When) {
    if let When::WriteThenDark = when {
        let dark = Fault::status(StatusCode::BAD_GATEWAY).method(Method::GET);
        place.ziflow.inject(dark.skip(1).forever());
    }
    place.ziflow.inject(match when {
        When::FirstWrite | When::WriteThenDark => fault.method(Method::PUT),
        When::AllWrites => fault.method(Method::PUT).forever(),
        When::All => fault.forever(),
    });
}

/// A change of members is answered at once, whatever Ziflow does.
async fn at_once(change: impl Future<Output = ()>) {
    let start = Instant::now();
    change.await;
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

/// One who joins, one who leaves, one who joins and one who leaves with the same role given by hand.
async fn play(fault: Fault, when: When) {
    let place = Place::new(&[]).await;
    let bridge = place.bridge_with(SETTINGS).await;
    bridge.line("Ziflow takes the API key").await;
    let (a, b) = (create(&bridge, "a").await, create(&bridge, "b").await);
    let (c, d) = (create(&bridge, "c").await, create(&bridge, "d").await);
    let managers = make(&bridge, "M", MANAGERS).await;
    let producers = make(&bridge, "Producers", "p").await;
    place.ziflow.change_person(&c, json!({"roles": ["user", "billing"]}));
    place.ziflow.change_person(&d, json!({"roles": ["user", "manager"]}));
    add(&bridge, &managers, &[&b, &d]).await;
    settled(&bridge).await;
    inject(&place, fault, when);
    at_once(add(&bridge, &managers, &[&a])).await;
    at_once(remove(&bridge, &managers, &[&b, &d])).await;
    at_once(add(&bridge, &producers, &[&c])).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for hand in [place.roles("c"), place.roles("d")] {
        assert!(hand.iter().any(|role| ["billing", "manager"].contains(&role.as_str())), "{hand:?}");
    }
    place.ziflow.clear_faults();
    settled_within(&bridge, PATIENCE).await;
    let roles = |name: &str| place.roles(name).join(" ");
    let got = [roles("a"), roles("b"), roles("c"), roles("d")];
    assert_eq!(got, ["manager user", "user", "billing manager user", "manager user"]);
    // What was given in the course of it is the groups' own, and what was given by hand is not.
    remove(&bridge, &managers, &[&a]).await;
    remove(&bridge, &producers, &[&c]).await;
    settled_within(&bridge, PATIENCE).await;
    assert_eq!([roles("a"), roles("c")], ["user", "billing user"]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_outlives_every_fault() {
    let mut cases = JoinSet::new();
    for (name, fault) in FAULTS {
        for when in [When::FirstWrite, When::AllWrites, When::All, When::WriteThenDark] {
            cases.spawn(async move {
                let played = tokio::spawn(play(fault(), when)).await;
                played.err().map(|error| format!("{name}, {when:?}: {}", panic_text(error)))
            });
        }
    }
    let wrong: Vec<_> = cases.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// While Ziflow is away, the queue asks it no more often than it has to, and afterwards nobody has to wait for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_ziflow_that_was_away_is_caught_up_with() {
    let place = Place::new(&[]).await;
    let bridge =
        place.bridge_with(&[SETTINGS, &[("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "3")]].concat()).await;
    bridge.line("Ziflow takes the API key").await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(create(&bridge, &format!("p{number}")).await);
    }
    let managers = make(&bridge, "M", MANAGERS).await;
    place.ziflow.inject(Fault::reset().forever());
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    at_once(add(&bridge, &managers, &names)).await;
    bridge.line("Ziflow cannot be used: calls are held back").await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let told = |line: &&Value| line["message"] == "what this person's groups grant could not be applied";
    let failed = bridge.log().iter().filter(told).count();
    assert!(failed <= 15, "{failed} failures for what is about nobody: one now and then is enough");
    place.ziflow.clear_faults();
    settled(&bridge).await;
    for number in 0..30 {
        assert_eq!(place.roles(&format!("p{number}")), ["manager", "user"]);
    }
    bridge.stop().await;
}

const SLOW: &[(&str, &str)] =
    &[("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "5"), ("BRIDGE_RATE_LIMIT__BURST", "10")];

fn by_hand(place: &Place, people: usize) -> Vec<String> {
    let one = |number: usize| {
        place.ziflow.add_person(json!({"email": format!("hand{number}@example.com"), "roles": ["user"]}))
    };
    (0..people).map(one).collect()
}

async fn look_up(bridge: &Bridge, number: usize) -> Value {
    let filter = encoded(&format!("userName eq \"hand{number}@example.com\""));
    bridge.get(&format!("/Users?filter={filter}")).await.body
}

fn waiting(text: &str) -> u32 {
    text.parse().unwrap()
}

/// With a hundred people in the queue, a request about a person is answered as if there were none.
#[tokio::test(flavor = "multi_thread")]
async fn people_go_before_the_queue() {
    let place = Place::new(&[]).await;
    let ids = by_hand(&place, 100);
    let bridge = place.bridge_with(SLOW).await;
    let managers = make(&bridge, "M", MANAGERS).await;
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    add(&bridge, &managers, &names).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for number in 90..96 {
        let start = Instant::now();
        assert_eq!(look_up(&bridge, number).await["totalResults"], 1);
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    let start = Instant::now();
    bridge.patch(&ids[50], off).await.expect(200);
    assert!(start.elapsed() < AT_ONCE * 2, "{:?}", start.elapsed());
    let left = waiting(&bridge.metric("ziflow_scim_bridge_grants_waiting").await);
    assert!(
        (1..100).contains(&left),
        "{left} are waiting: the queue has not moved, or has not been in the way"
    );
    bridge.stop().await;
}

/// While people keep Ziflow busy, nobody's own request waits behind the queue that has just taken them.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_holds_nobody_up_whom_it_is_about() {
    let place = Place::new(&[]).await;
    let ids = by_hand(&place, 12);
    let bridge = Arc::new(place.bridge_with(SLOW).await);
    let managers = make(&bridge, "M", MANAGERS).await;
    add(&bridge, &managers, &[&ids[0]]).await;
    settled(&bridge).await;
    let busy = Arc::new(AtomicBool::new(true));
    let workers: Vec<_> = (1..12)
        .map(|number| {
            let (bridge, busy) = (Arc::clone(&bridge), Arc::clone(&busy));
            tokio::spawn(async move {
                for look in 0.. {
                    if !busy.load(Ordering::Relaxed) {
                        break;
                    }
                    bridge.find(&format!("userName eq \"nobody{look}-{number}@example.com\"")).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for joins in [false, true, false] {
        if joins {
            add(&bridge, &managers, &[&ids[0]]).await;
        } else {
            remove(&bridge, &managers, &[&ids[0]]).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let billing = json!([{"op": "Replace", "path": "roles", "value": [{"value": "ZiflowBilling"}]}]);
        let start = Instant::now();
        let told = bridge.patch(&ids[0], billing).await;
        assert_eq!(told.status, 200, "after {:?}: {}", start.elapsed(), told.body);
    }
    busy.store(false, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    settled_within(&bridge, PATIENCE).await;
    assert_eq!(place.roles("hand0"), ["billing", "user"]);
    Arc::into_inner(bridge).unwrap().stop().await;
}

/// A group that every third person cannot be given what it grants: the others do not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn who_fails_holds_up_nobody_else() {
    let place = Place::new(&[("group_strings", "known_only")]).await;
    place.mapping(&format!(
        "groups:\n  {}: {{ roles: [manager] }}\n  {}: {{ group: [Unknown] }}\n",
        object_id(1),
        object_id(2)
    ));
    let bridge = place.bridge().await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(create(&bridge, &format!("p{number}")).await);
    }
    let (good, bad) = (make(&bridge, "Good", &object_id(1)).await, make(&bridge, "Bad", &object_id(2)).await);
    for (number, id) in ids.iter().enumerate() {
        if number % 3 == 0 {
            add(&bridge, &bad, &[id]).await;
        }
        add(&bridge, &good, &[id]).await;
    }
    let start = Instant::now();
    // Who fails waits on, but has been given what could be.
    let lacks = |number: &usize| place.roles(&format!("p{number}")) != ["manager", "user"];
    while let Some(number) = (0..30).find(lacks) {
        assert!(start.elapsed() < PATIENCE / 2, "{number}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(waiting(&bridge.metric("ziflow_scim_bridge_grants_waiting").await) >= 10);
    for id in ids.iter().step_by(3) {
        remove(&bridge, &bad, &[id]).await;
    }
    settled(&bridge).await;
    bridge.stop().await;
}
