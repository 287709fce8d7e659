//! Many people at once, pushed as Entra pushes them: whatever the pace, the chance and the plug do, everybody arrives
//! complete and once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{self, Fault, Simulator};

use crate::harness::{Answer, Bridge, in_ziflow, person, ziflow};

const PEOPLE: usize = 120;
const WORKERS: usize = 20;

/// `rate_limit.requests_per_second` and `.burst` here.
const PER_SECOND: usize = 40;
const BURST: usize = 5;

/// The most calls that may reach Ziflow within a second. Calls leave at the pace, but on a busy machine some arrive late and
/// meet those that left after them: a quarter of the pace is allowed for that.
const BEARABLE: usize = PER_SECOND + BURST + PER_SECOND / 4;

const SETTINGS: &[(&str, &str)] = &[
    ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "40"),
    ("BRIDGE_RATE_LIMIT__BURST", "5"),
    ("BRIDGE_RATE_LIMIT__BREAKER_MAX_SECS", "2"),
    ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"),
];

/// Nobody is told to come back more often than this for one request.
const MOST_TRIES: usize = 12;

/// Trouble is told to come back in ten seconds. Less will do for a test, and is harder; a pace is kept as told.
const LONGEST_REST: Duration = Duration::from_secs(1);

fn colleague(email: &str) -> Value {
    let mut person = person(email);
    person["externalId"] = json!(format!("external-{email}"));
    person["phoneNumbers"] = json!([{"type": "work", "value": "+44 20"}]);
    person["roles"] = json!([{"value": "ZiflowManager"}]);
    person
}

fn email(number: usize) -> String {
    format!("p{number:03}@example.com")
}

/// What the workers share.
struct Storm {
    bridge: Bridge,
    waiting: Mutex<VecDeque<usize>>,
    /// The id that Entra was given, by number.
    arrived: Mutex<BTreeMap<usize, String>>,
}

impl Storm {
    fn new(bridge: Bridge) -> Arc<Self> {
        let waiting = Mutex::new((0..PEOPLE).collect());
        Arc::new(Self { bridge, waiting, arrived: Mutex::default() })
    }

    /// Asks until there is an answer that is no trouble, and rests in between as told.
    async fn persist(&self, request: &str, body: Option<Value>) -> Answer {
        for _ in 0..MOST_TRIES {
            let answer = self.bridge.ask(request, body.clone()).await;
            if !matches!(answer.status, 429 | 502..=504) {
                return answer;
            }
            assert!(answer.text("/detail").contains("Ziflow"), "{answer:?}");
            let told = Duration::from_secs(answer.header("retry-after").unwrap().parse().unwrap());
            let rest = if answer.status == 429 { told } else { told.min(LONGEST_REST) };
            tokio::time::sleep(rest).await;
        }
        panic!("{request}: still trouble after {MOST_TRIES} tries");
    }

    async fn find(&self, email: &str) -> Vec<String> {
        let filter = percent_encoding::utf8_percent_encode(email, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("GET /Users?filter=userName+eq+%22{filter}%22");
        let found = self.persist(&target, None).await.expect(200);
        let people = found.body["Resources"].as_array().unwrap();
        people.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
    }

    /// One of Entra's workers, which brings people one after the other.
    async fn work(self: Arc<Self>) {
        loop {
            let Some(number) = self.waiting.lock().unwrap().pop_front() else { return };
            let email = email(number);
            assert_eq!(self.find(&email).await, [""; 0], "{email} is there before anybody made them");
            let made = self.persist("POST /Users", Some(colleague(&email))).await.expect(201);
            let rename = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "Replace", "path": "name.givenName", "value": "Joan"}],
            });
            let target = format!("PATCH /Users/{}", crate::harness::encoded(&made.id()));
            let patched = self.persist(&target, Some(rename)).await.expect(200);
            assert_eq!((patched.id(), patched.text("/name/givenName")), (made.id(), "Joan"));
            assert_eq!(self.find(&email).await, [made.id()]);
            self.arrived.lock().unwrap().insert(number, made.id());
        }
    }

    fn begin(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        (0..WORKERS).map(|_| tokio::spawn(Arc::clone(self).work())).collect()
    }

    fn arrived(&self) -> usize {
        self.arrived.lock().unwrap().len()
    }
}

/// Waits for the workers, and looks at what came of it.
async fn all_arrive(storm: Arc<Storm>, workers: Vec<tokio::task::JoinHandle<()>>, ziflow: &Simulator) {
    for worker in workers {
        worker.await.unwrap();
    }
    let arrived = storm.arrived.lock().unwrap().clone();
    assert_eq!(arrived.len(), PEOPLE);
    for (number, id) in &arrived {
        let held = in_ziflow(ziflow, &email(*number));
        let fields =
            ["id", "first_name", "last_name", "phone", "roles", "active"].map(|name| held[name].clone());
        let expected = json!([id, "Joan", "Lee", "+44 20", ["user", "manager"], true]);
        assert_eq!(json!(fields), expected, "{}", email(*number));
    }
    assert_eq!(ziflow.people().len(), PEOPLE + 1, "they and the account owner, and nobody else");
    let list = storm.persist("GET /Users?count=1000", None).await.expect(200);
    let mut listed: Vec<_> = list.body["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|user| Some(user["externalId"].as_str()?.to_owned()))
        .collect();
    listed.sort_unstable();
    let expected: Vec<_> = (0..PEOPLE).map(|number| format!("external-{}", email(number))).collect();
    assert_eq!(listed, expected);
    keeps_the_pace(ziflow);
    Arc::into_inner(storm).unwrap().bridge.stop().await;
}

#[track_caller]
fn keeps_the_pace(ziflow: &Simulator) {
    let peak = ziflow.peak_per_second();
    assert!(peak <= BEARABLE, "{peak} calls in one second");
}

fn refused(ziflow: &Simulator) -> usize {
    ziflow.calls().iter().filter(|call| call.status == Some(429)).count()
}

async fn arrive_before(limit: usize) -> Simulator {
    let ziflow = ziflow(&[("rate_limit", &limit.to_string())]).await;
    let storm = Storm::new(Bridge::with(&ziflow, SETTINGS).await);
    let workers = storm.begin();
    all_arrive(storm, workers, &ziflow).await;
    ziflow
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_arrives_at_the_pace_that_was_set() {
    let ziflow = arrive_before(BEARABLE).await;
    assert_eq!(refused(&ziflow), 0, "Ziflow was never asked too much");
}

/// Ziflow can bear less than it was thought to.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_arrives_at_the_pace_that_ziflow_can_bear() {
    let ziflow = arrive_before(PER_SECOND * 3 / 4).await;
    assert!(refused(&ziflow) <= PEOPLE / 4, "{} calls were refused", refused(&ziflow));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_arrives_though_every_tenth_call_fails() {
    let ziflow = ziflow(&[]).await;
    let storm = Storm::new(Bridge::with(&ziflow, SETTINGS).await);
    storm.bridge.line("Ziflow takes the API key").await;
    for fault in [
        Fault::status(StatusCode::INTERNAL_SERVER_ERROR).percent(3),
        Fault::reset().percent(2),
        Fault::apply_then_drop().percent(2),
        Fault::apply_then_status(StatusCode::GATEWAY_TIMEOUT).percent(2),
        Fault::hang().percent(1),
        Fault::apply_then_hang().percent(1),
    ] {
        ziflow.inject(fault.forever());
    }
    let workers = storm.begin();
    let watched = Arc::clone(&storm);
    while watched.arrived() < PEOPLE && !workers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(watched);
    let calls = ziflow.calls();
    let failed = calls.iter().filter(|call| call.status.is_none_or(|status| status >= 500)).count();
    assert!(failed * 20 > calls.len(), "only {failed} of {} calls went wrong", calls.len());
    ziflow.clear_faults();
    all_arrive(storm, workers, &ziflow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_arrives_though_the_plug_is_pulled_in_the_middle() {
    let first = ziflow(&[]).await;
    let storm = Storm::new(Bridge::with(&first, SETTINGS).await);
    let workers = storm.begin();
    let start = Instant::now();
    while storm.arrived() < PEOPLE / 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "only {} have arrived", storm.arrived());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // From here on nothing is applied any more, so nothing is lost between the two.
    first.inject(Fault::reset().forever());
    let (address, state) = (first.address(), first.state());
    keeps_the_pace(&first);
    first.stop().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(storm.arrived() < PEOPLE);
    let settings = simulator::Settings { state: Some(state), ..simulator::Settings::default() };
    let second = simulator::start(address, settings).await.unwrap();
    all_arrive(storm, workers, &second).await;
}
