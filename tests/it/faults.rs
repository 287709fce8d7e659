//! Everything that can go wrong between two machines × everything that Entra asks for: one table of what Entra is told.
//!
//! Beside the status, each cell holds these: trouble upstream names Ziflow, is never "nobody" and never a bad
//! credential, says when to come back, and is told before the deadline; what was done is done and what was told is
//! true; nobody else is touched; and when all is well again, one repetition ends in what was asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Fault, RetryAfter, Shape, Simulator};

use crate::harness::{Answer, Bridge, Folder, in_ziflow, panic_text, person, ziflow};

/// `server.request_timeout_secs` here.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a busy machine may add to it.
const TOLERANCE: Duration = Duration::from_secs(2);

/// So many play at the same time. Most of them wait most of the time.
const STAGES: usize = 24;

/// Where more cells come out otherwise, it is not the machine.
const MOST_AGAIN: usize = 20;

/// A call that comes while another one tests whether Ziflow can be used again is told to come back.
const MOST_RESTS: usize = 3;

/// Short times, nothing remembered, and every call tried: the breaker has tests of its own, and so has the brake.
const SETTINGS: &[(&str, &str)] = &[
    ("BRIDGE_SERVER__REQUEST_TIMEOUT_SECS", "3"),
    ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "1"),
    ("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0"),
    ("BRIDGE_ZIFLOW__DIRECTORY_TTL_SECS", "0"),
    ("BRIDGE_ZIFLOW__MAX_ANSWER_BYTES", "1048576"),
    ("BRIDGE_ZIFLOW__PROOF_TTL_SECS", "3600"),
    ("BRIDGE_RATE_LIMIT__RETRIES", "1"),
    ("BRIDGE_RATE_LIMIT__RECOVERY_SECS", "1"),
    ("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "0"),
    ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "0"),
    ("BRIDGE_RATE_LIMIT__BREAKER_MAX_SECS", "1"),
];

const BOTH: &[(&str, &str)] =
    &[("BRIDGE_POLICY__ON_DELETE", "delete"), ("BRIDGE_POLICY__DELETE_WITHOUT_NEW_OWNER", "true")];

/// What Entra asks for, in the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Create,
    Read,
    FindByName,
    FindByExternalId,
    FindNobody,
    TestConnection,
    List,
    Patch,
    Disable,
    Put,
    /// DELETE where `policy.on_delete` is `deactivate`.
    Bury,
    /// DELETE where it is `delete`.
    Erase,
    Restore,
    /// A create of somebody deleted.
    Return,
}

use Ask::{
    Bury, Create, Disable, Erase, FindByExternalId, FindByName, FindNobody, List, Patch, Put, Read, Restore,
    Return, TestConnection,
};

const ALL: &[Ask] = &[
    Create,
    Read,
    FindByName,
    FindByExternalId,
    FindNobody,
    TestConnection,
    List,
    Patch,
    Disable,
    Put,
    Bury,
    Erase,
    Restore,
    Return,
];

const WRITES: &[Ask] = &[Create, Patch, Disable, Put, Bury, Erase, Restore, Return];

/// Which calls of a request go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// The first one.
    Once,
    /// All.
    Always,
    /// The first write.
    Write,
    /// All writes.
    Writes,
    /// All but the first, which reads the person.
    Later,
    /// The first write; and nothing can be read after it.
    WriteThenDark,
}

/// The rows of one fault, in this order: `Once` and `Always` have all columns, the others those of `WRITES`.
const WHEN: &[When] =
    &[When::Once, When::Always, When::Write, When::Writes, When::Later, When::WriteThenDark];

impl When {
    fn asks(self) -> &'static [Ask] {
        if matches!(self, Self::Once | Self::Always) { ALL } else { WRITES }
    }
}

struct Row {
    name: &'static str,
    fault: fn() -> Fault,
    told: &'static [&'static str],
}

impl Row {
    /// Faults that differ from another one only in their shape have fewer rows.
    fn covers(&self, when: When) -> bool {
        WHEN.iter().take(self.told.len()).any(|covered| *covered == when)
    }

    fn expected(&self, when: When, ask: Ask) -> Option<char> {
        let row = WHEN.iter().position(|covered| *covered == when)?;
        let column = when.asks().iter().position(|covered| *covered == ask)?;
        self.told.get(row)?.chars().nth(column)
    }
}

/// What is told: `.` done, `i` the person as inactive, since Ziflow says that they are a contact and no user, `R` 400, `S` 429, `B` 502, `U` 503, `T` 504.
///
/// A page of a list may take longer than the request that asks for it, so a list that hangs is `U` at first.
///
/// Columns: create, read, find by userName, by externalId, nobody, Test Connection, list, patch, disable, put, delete
/// (deactivate), delete (delete), restore, create of somebody deleted.
#[rustfmt::skip]
fn table() -> Vec<Row> {
    let row = |name, fault: fn() -> Fault, told| Row { name, fault, told };
    vec![
        row("hang", Fault::hang, &[
            "U.....U.......", "UTTTTTUTTTTTTT", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("apply, hang", Fault::apply_then_hang, &[
            "......U.......", "UTTTTTUTTTTTTT", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("hang a while", || Fault::hang_for(Duration::from_millis(200)), &[
            "U.............", "UUUUUUUUUUUUUU", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("apply, hang a while", || Fault::apply_then_hang_for(Duration::from_millis(200)), &[
            "..............", "UUUUUUUUUUUUUU", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("too slow", || Fault::slow(Duration::from_millis(1500)), &[
            "..............", "UTTTTT.TTTTTTT", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("slow", || Fault::slow(Duration::from_millis(100)), &[
            "..............", "..............",
        ]),
        row("429", || Fault::status(StatusCode::TOO_MANY_REQUESTS), &[
            "..............", "SSSSSSSSSSSSSS", "........", "SSSSSSSS", ".SSSSSSS", "........",
        ]),
        row("429, 1 s", || Fault::status_with(StatusCode::TOO_MANY_REQUESTS, Shape::Html).retry_after(RetryAfter::Seconds(1)), &[
            "..............", "SSSSSSSSSSSSSS",
        ]),
        row("429, a date", || Fault::status_with(StatusCode::TOO_MANY_REQUESTS, Shape::Empty).retry_after(RetryAfter::Date(1)), &[
            "..............", "SSSSSSSSSSSSSS",
        ]),
        row("503, 1 s", || Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(RetryAfter::Seconds(1)), &[
            "U.............", "UUUUUUUUUUUUUU", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("401", || Fault::status(StatusCode::UNAUTHORIZED), &[
            "BBBBBBBBBBBBBB", "BBBBBBBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "BBBBBBBB",
        ]),
        row("403", || Fault::status(StatusCode::FORBIDDEN), &[
            "RBBBBBBBBBBBBB", "BBBBBBBBBBBBBB", "RRRRRRRR", "RRRRRRRR", ".BBBBBBB", "UUUUUUUU",
        ]),
        row("403 html", || Fault::status_with(StatusCode::FORBIDDEN, Shape::Html), &[
            "BBBBBBBBBBBBBB", "BBBBBBBBBBBBBB",
        ]),
        row("400", || Fault::status(StatusCode::BAD_REQUEST), &[
            "Ri...BB.......", "BBBBBBBBBBBBBB", "RRRRRRRR", "RRRRRRRR", ".BBBBBBB", "UUUUUUUU",
        ]),
        row("404", || Fault::status(StatusCode::NOT_FOUND), &[
            "Bi...BB.......", "BBBBBBBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "UUUUUUUU",
        ]),
        row("a proof, then 400", || Fault::status(StatusCode::BAD_REQUEST), &[
            "Ri...BB.......", "RBBB.BBBBBBBBB",
        ]),
        row("a proof, then 404", || Fault::status(StatusCode::NOT_FOUND), &[
            "Bi...BB.......", "BBBB.BBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "UUUUUUUU",
        ]),
        row("404 html", || Fault::status_with(StatusCode::NOT_FOUND, Shape::Html), &[
            "Bi...BB.......", "BBBBBBBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "UUUUUUUU",
        ]),
        row("409", || Fault::status(StatusCode::CONFLICT), &[
            "BBBBBBBBBBBBBB", "BBBBBBBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "UBBBBBBB",
        ]),
        row("422", || Fault::status(StatusCode::UNPROCESSABLE_ENTITY), &[
            "RBBBBBBBBBBBBB", "BBBBBBBBBBBBBB", "RRRRRRRR", "RRRRRRRR", ".RRRRRRR", "URRRRRRR",
        ]),
        row("500", || Fault::status(StatusCode::INTERNAL_SERVER_ERROR), &[
            "U.............", "UUUUUUUUUUUUUU", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("502 html", || Fault::status_with(StatusCode::BAD_GATEWAY, Shape::Html), &[
            "U.............", "UUUUUUUUUUUUUU",
        ]),
        row("503 empty", || Fault::status_with(StatusCode::SERVICE_UNAVAILABLE, Shape::Empty), &[
            "U.............", "UUUUUUUUUUUUUU",
        ]),
        row("504 html", || Fault::status_with(StatusCode::GATEWAY_TIMEOUT, Shape::Html), &[
            "U.............", "UUUUUUUUUUUUUU",
        ]),
        row("apply, 500", || Fault::apply_then_status(StatusCode::INTERNAL_SERVER_ERROR), &[
            "..............", "UUUUUUUUUUUUUU", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("apply, 504", || Fault::apply_then_status(StatusCode::GATEWAY_TIMEOUT), &[
            "..............", "UUUUUUUUUUUUUU", "........",
        ]),
        row("reset", Fault::reset, &[
            "U.............", "UUUUUUUUUUUUUU", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("apply, drop", Fault::apply_then_drop, &[
            "..............", "UUUUUUUUUUUUUU", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("truncate", Fault::truncate, &[
            "..............", "UBBB.BBBBBBBBB", "........", "........", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("html 200", Fault::html_200, &[
            "U.............", "UBBBBBBBBBBBBB", "UUUUUUUU", "UUUUUUUU", ".UUUUUUU", "UUUUUUUU",
        ]),
        row("wrong types", Fault::wrong_types, &[
            ".BBB.BBBBBBBBB", "UBBB.BBBBBBBBB", "........", "........", ".BBBB.BB", "UUUUU.UU",
        ]),
        row("huge", || Fault::huge(2), &[
            "..............", "UBBB.BBBBBBBBB", "........", "........", ".UUUU.UU", "UUUUU.UU",
        ]),
        row("redirect", || Fault::redirect("http://127.0.0.1:1/v1/users"), &[
            "BBBBBBBBBBBBBB", "BBBBBBBBBBBBBB", "BBBBBBBB", "BBBBBBBB", ".BBBBBBB", "UBBBBBBB",
        ]),
    ]
}

/// One cell: a row of a fault, and a column.
#[derive(Clone, Copy, Debug)]
struct Cell {
    name: &'static str,
    fault: fn() -> Fault,
    when: When,
    ask: Ask,
    number: usize,
}

impl Cell {
    fn inject(&self, ziflow: &Simulator) {
        let fault = (self.fault)();
        let method = match self.ask {
            Create => Method::POST,
            Erase => Method::DELETE,
            _ => Method::PUT,
        };
        ziflow.inject(match self.when {
            When::Once => fault,
            When::Always => fault.forever(),
            When::Write | When::WriteThenDark => fault.method(method),
            When::Writes => fault.method(method).forever(),
            When::Later => fault.skip(1).forever(),
        });
        if self.when == When::WriteThenDark {
            let reads_before = u64::from(self.ask != Create);
            let dark = Fault::status(StatusCode::BAD_GATEWAY).method(Method::GET);
            ziflow.inject(dark.skip(reads_before).forever());
        }
    }

    /// Whether Ziflow is left alone for a moment after this fault.
    fn has_to_rest(&self) -> bool {
        ["429", "503, 1 s", "401", "403"].iter().any(|name| self.name.starts_with(name))
    }

    /// An answer that means "nobody" where the key is known to be right, so here it is not.
    fn means_nobody(&self) -> bool {
        ["400", "404"].iter().any(|name| self.name.starts_with(name))
    }
}

/// A simulated Ziflow and two bridges, which differ in `policy.on_delete`.
struct Stage {
    ziflow: Simulator,
    buries: Bridge,
    erases: Bridge,
}

impl Stage {
    async fn new() -> Self {
        let ziflow = ziflow(&[]).await;
        let buries = Bridge::with(&ziflow, SETTINGS).await;
        let erases = Bridge::with(&ziflow, &[SETTINGS, BOTH].concat()).await;
        for bridge in [&buries, &erases] {
            bridge.line("Ziflow takes the API key").await;
        }
        Self { ziflow, buries, erases }
    }

    fn bridge(&self, ask: Ask) -> &Bridge {
        if ask == Erase { &self.erases } else { &self.buries }
    }

    /// Everybody but this person.
    fn others(&self, email: &str) -> Vec<Value> {
        self.ziflow.people().into_iter().filter(|person| person["email"] != email).collect()
    }
}

/// Somebody with something to lose.
fn colleague(email: &str) -> Value {
    let mut person = person(email);
    person["externalId"] = json!(format!("external-{email}"));
    person["title"] = json!("Lead");
    person["roles"] = json!([{"value": "ZiflowManager"}]);
    person["phoneNumbers"] = json!([{"type": "work", "value": "+44 20"}]);
    person["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"] = json!({"organization": "Acme"});
    person
}

fn switch(on: bool) -> Value {
    json!([{"op": "Replace", "path": "active", "value": if on { "True" } else { "False" }}])
}

async fn ask(bridge: &Bridge, ask: Ask, email: &str, id: &str) -> Answer {
    match ask {
        Create | Return => bridge.create(colleague(email)).await,
        Read => bridge.read(id).await,
        FindByName => bridge.find(&format!("userName eq \"{email}\"")).await,
        FindByExternalId => bridge.find(&format!("externalId eq \"external-{email}\"")).await,
        FindNobody => bridge.find(&format!("userName eq \"no-{email}\"")).await,
        TestConnection => bridge.find("userName eq \"7d420df3-2b1e-4c1c-8f7e-9a6a5ad0e0f1\"").await,
        List => bridge.get("/Users").await,
        Patch => {
            let rename = json!([{"op": "Replace", "path": "name.givenName", "value": "Joan"}]);
            bridge.patch(id, rename).await
        }
        Disable => bridge.patch(id, switch(false)).await,
        Restore => bridge.patch(id, switch(true)).await,
        Put => {
            let mut body = colleague(email);
            body["name"]["familyName"] = json!("Baker");
            bridge.replace(id, body).await
        }
        Bury | Erase => bridge.delete(id).await,
    }
}

/// The person as Ziflow must hold them once it is done.
fn wanted(ask: Ask, before: &Value) -> Value {
    let mut after = before.clone();
    match ask {
        Patch => after["first_name"] = json!("Joan"),
        Put => after["last_name"] = json!("Baker"),
        Disable | Bury => after["active"] = json!(false),
        Restore | Return => after["active"] = json!(true),
        Erase => after = Value::Null,
        _ => {}
    }
    after
}

fn ids(answer: &Answer) -> Vec<&str> {
    let people = answer.body["Resources"].as_array().unwrap();
    people.iter().map(|user| user["id"].as_str().unwrap()).collect()
}

/// The answer tells what Ziflow holds, and Ziflow holds what was asked for.
fn is_done(stage: &Stage, cell: Cell, answer: &Answer, email: &str, id: &str, before: &Value) -> char {
    let held = in_ziflow(&stage.ziflow, email);
    match cell.ask {
        Create => {
            assert_eq!(held["id"], answer.id(), "somebody is reported created who is not there");
            let expected = json!(["Jo", "Lee", "+44 20", ["user", "manager"], true]);
            let fields = ["first_name", "last_name", "phone", "roles", "active"];
            assert_eq!(fields.map(|field| held[field].clone()).to_vec(), *expected.as_array().unwrap());
        }
        FindNobody | TestConnection => assert!(ids(answer).is_empty()),
        FindByName | FindByExternalId => assert_eq!(ids(answer), [id]),
        List => {
            let mut listed = ids(answer);
            listed.sort_unstable();
            let everybody = listed.len();
            listed.dedup();
            assert_eq!(listed.len(), everybody, "somebody is listed twice");
            assert!(listed.contains(&id), "somebody is not listed");
        }
        Read if answer.body["active"] == false => {
            assert_eq!((answer.id(), &held), (id.to_owned(), before));
            return 'i';
        }
        Return | Read | Patch | Disable | Restore | Put => {
            assert_eq!(answer.id(), id);
            assert_eq!(held, wanted(cell.ask, before));
            assert_eq!(answer.body["active"], held["active"], "{}", answer.body);
            assert_eq!(answer.body["name"]["givenName"], held["first_name"], "{}", answer.body);
        }
        Bury | Erase => assert_eq!(held, wanted(cell.ask, before)),
    }
    '.'
}

fn is_success(status: u16) -> bool {
    matches!(status, 200 | 201 | 204)
}

/// Trouble upstream, told as such.
fn letter(answer: &Answer) -> char {
    assert!(answer.text("/detail").contains("Ziflow"), "somebody else is blamed: {}", answer.body);
    assert_eq!(answer.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
    assert_eq!(answer.body["status"], answer.status.to_string());
    let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
    let letter = match answer.status {
        400 => 'R',
        429 => 'S',
        502 => 'B',
        503 => 'U',
        504 => 'T',
        status => panic!("{status} for trouble upstream: {}", answer.body),
    };
    assert!(letter == 'R' || wait.is_some_and(|wait| wait > 0), "no Retry-After: {answer:?}");
    letter
}

/// The repetition: at once, or after the pause where there is one.
async fn ask_again(bridge: &Bridge, cell: Cell, told: char, email: &str, id: &str) -> Answer {
    let rests = if told != '.' && cell.has_to_rest() { MOST_RESTS } else { 0 };
    for _ in 0..rests {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let answer = ask(bridge, cell.ask, email, id).await;
        if !matches!(answer.status, 429 | 502..=504) {
            return answer;
        }
    }
    ask(bridge, cell.ask, email, id).await
}

/// Brings the person about, lets Ziflow misbehave, and looks at everything that must hold.
async fn check(stage: Arc<Stage>, cell: Cell) -> char {
    let (ziflow, bridge) = (&stage.ziflow, stage.bridge(cell.ask));
    let email = format!("p{}@example.com", cell.number);
    let id = match cell.ask {
        Create | FindNobody | TestConnection => String::new(),
        _ => bridge.create(colleague(&email)).await.expect(201).id(),
    };
    let before_all = in_ziflow(ziflow, &email);
    match cell.ask {
        Restore => drop(bridge.patch(&id, switch(false)).await.expect(200)),
        Return => drop(bridge.delete(&id).await.expect(204)),
        _ => {}
    }
    // Whatever went wrong before is over.
    bridge.get("/Users?count=1").await.expect(200);
    if cell.means_nobody() {
        ziflow.inject(Fault::status_with(StatusCode::NOT_FOUND, Shape::Html).forever());
        bridge.read("nobody").await.expect(502);
        ziflow.clear_faults();
    }
    let others = stage.others(&email);

    cell.inject(ziflow);
    let start = Instant::now();
    let answer = ask(bridge, cell.ask, &email, &id).await;
    let took = start.elapsed();
    ziflow.clear_faults();
    assert!(took < DEADLINE + TOLERANCE, "answered after {took:?}");
    let told = if is_success(answer.status) {
        is_done(&stage, cell, &answer, &email, &id, &before_all)
    } else {
        letter(&answer)
    };
    assert_eq!(stage.others(&email), others, "somebody else was touched");

    let again = ask_again(bridge, cell, told, &email, &id).await;
    match (cell.ask, told) {
        (Create | Return, '.') => assert_eq!(again.status, 409, "again: {}", again.body),
        (Bury | Erase, '.') => assert_eq!(again.status, 404, "again: {}", again.body),
        // A delete may have happened, and then there is nobody any more: Entra takes that for done.
        (Erase, _) if again.status == 404 => {}
        _ => {
            assert!(
                is_success(again.status),
                "again, after {}: {} {}",
                answer.body,
                again.status,
                again.body
            );
            assert_eq!(is_done(&stage, cell, &again, &email, &id, &before_all), '.', "again");
        }
    }
    assert_eq!(stage.others(&email), others, "somebody else was touched");
    let found = bridge.find(&format!("userName eq \"{email}\"")).await.expect(200);
    let held = in_ziflow(ziflow, &email);
    match cell.ask {
        Bury | Erase | FindNobody | TestConnection => assert!(ids(&found).is_empty(), "{}", found.body),
        _ => assert_eq!(ids(&found), [held["id"].as_str().unwrap()]),
    }
    assert_eq!(held.is_null(), matches!(cell.ask, Erase | FindNobody | TestConnection));
    told
}

/// What came of each cell, by its number; an error says what should hold and does not.
type Told = BTreeMap<usize, Result<char, String>>;

async fn play_all(cells: VecDeque<Cell>, stages: usize, told: &Arc<Mutex<Told>>) {
    let cells = Arc::new(Mutex::new(cells));
    let stages: Vec<_> =
        (0..stages).map(|_| tokio::spawn(play(Arc::clone(&cells), Arc::clone(told)))).collect();
    for stage in stages {
        stage.await.unwrap();
    }
}

/// The cells one after the other, beside other stages.
async fn play(cells: Arc<Mutex<VecDeque<Cell>>>, told: Arc<Mutex<Told>>) {
    let stage = Arc::new(Stage::new().await);
    loop {
        let Some(cell) = cells.lock().unwrap().pop_front() else { break };
        let outcome = tokio::spawn(check(Arc::clone(&stage), cell)).await;
        if outcome.is_err() {
            stage.ziflow.clear_faults();
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        told.lock().unwrap().insert(cell.number, outcome.map_err(panic_text));
    }
    let Stage { ziflow, buries, erases } = Arc::into_inner(stage).unwrap();
    buries.stop().await;
    erases.stop().await;
    drop(ziflow);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_entra_is_told_the_truth_and_a_repetition_ends_well() {
    let rows = table();
    let mut cells = VecDeque::new();
    // Column by column: some rows wait and others work, and so they do both at the same time.
    for (when, ask) in WHEN.iter().flat_map(|when| when.asks().iter().map(move |ask| (*when, *ask))) {
        for Row { name, fault, .. } in rows.iter().filter(|row| row.covers(when)) {
            cells.push_back(Cell { name, fault: *fault, when, ask, number: cells.len() });
        }
    }
    let all: Vec<Cell> = cells.iter().copied().collect();
    let told = Arc::default();
    play_all(cells, STAGES, &told).await;
    // A machine that starves can let a call time out by itself. What was told then is asked for once more when there is
    // nothing else to do; what must hold has held all the same.
    let otherwise = |cell: &&Cell| {
        let row = rows.iter().find(|row| row.name == cell.name);
        let told = told.lock().unwrap()[&cell.number].clone();
        told.is_ok_and(|told| row.is_some_and(|row| row.expected(cell.when, cell.ask) != Some(told)))
    };
    let otherwise: VecDeque<Cell> = all.iter().filter(otherwise).copied().collect();
    if otherwise.len() <= MOST_AGAIN {
        play_all(otherwise, 1, &told).await;
    }

    let told = told.lock().unwrap();
    let (mut outcomes, mut wrong) = (BTreeMap::<_, String>::new(), Vec::new());
    for Cell { name, when, ask, number, .. } in &all {
        let outcome = &told[number];
        outcomes.entry((*name, *when)).or_default().push(*outcome.as_ref().unwrap_or(&'!'));
        wrong.extend(outcome.as_ref().err().map(|text| format!("{name}, {when:?}, {ask:?}: {text}")));
    }
    for Row { name, told, .. } in &rows {
        let outcome = |when: &When| outcomes.get(&(*name, *when)).map(String::as_str);
        let outcome: Vec<_> = WHEN.iter().filter_map(outcome).collect();
        if outcome != *told {
            wrong.push(format!("{name}\n  expected {told:?}\n  got      {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "of {} cells:\n{}", all.len(), wrong.join("\n"));
}

/// Whatever is wrong with the address or the key makes nobody "not found", and costs nobody anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistaken_address_or_key_is_nobodys_absence() {
    let folder = Folder::new();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let settings = [SETTINGS, &[("BRIDGE_STORE__URL", store.as_str())]].concat();
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &settings).await;
    let (email, deleted) = ("jo@example.com", "gone@example.com");
    let id = bridge.create(colleague(email)).await.expect(201).id();
    let gone = bridge.create(colleague(deleted)).await.expect(201).id();
    bridge.delete(&gone).await.expect(204);
    bridge.stop().await;
    let before = ziflow.people();

    let typo = format!("{}/wrong", ziflow.base_url());
    let root = ziflow.base_url().replace("/v1", "");
    for (mistake, value, rights) in [
        ("BRIDGE_ZIFLOW__BASE_URL", typo.as_str(), "admin"),
        ("BRIDGE_ZIFLOW__BASE_URL", &root, "admin"),
        ("BRIDGE_ZIFLOW__API_KEY", "another-key", "admin"),
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key(), "403"),
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key(), "404"),
    ] {
        ziflow.set("rights", rights).unwrap();
        let bridge = Bridge::with(&ziflow, &[settings.as_slice(), &[(mistake, value)]].concat()).await;
        for what in ALL {
            let email = match what {
                Create => "new@example.com",
                Return => deleted,
                _ => email,
            };
            let told = letter(&ask(&bridge, *what, email, &id).await);
            assert_eq!(told, 'B', "{value}, rights {rights}: {what:?}");
        }
        bridge.admin("/healthz").await.expect(200);
        bridge.admin("/readyz").await.expect(503);
        bridge.stop().await;
        assert_eq!(ziflow.people(), before, "{value}, rights {rights}");
    }

    ziflow.set("rights", "admin").unwrap();
    let bridge = Bridge::with(&ziflow, &settings).await;
    assert_eq!(ids(&ask(&bridge, FindByExternalId, email, &id).await.expect(200)), [id.as_str()]);
    let back = bridge.create(colleague(deleted)).await.expect(201);
    assert_eq!(back.id(), gone, "who was deleted is still known as such");
    bridge.stop().await;
}

/// So many requests at the same time, each of its own kind.
async fn crowd(bridge: &Arc<Bridge>, id: &str, size: usize) -> Vec<Answer> {
    let requests: Vec<_> = (0..size)
        .map(|number| {
            let (bridge, id) = (Arc::clone(bridge), id.to_owned());
            tokio::spawn(async move {
                let what = ALL[number % ALL.len()];
                let email = match what {
                    Create | Return => format!("new{number}@example.com"),
                    _ => "jo@example.com".to_owned(),
                };
                ask(&bridge, what, &email, &id).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

/// So many calls, and one in each second.
fn allowed(calls: usize, seconds: u64) -> usize {
    calls + usize::try_from(seconds).unwrap()
}

/// Readiness comes back, though nobody asks for anything.
async fn heals(bridge: &Bridge) {
    let start = Instant::now();
    while bridge.admin("/readyz").await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "readiness does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_ziflow_is_not_hammered() {
    for (name, fault) in [
        ("500", Fault::status(StatusCode::INTERNAL_SERVER_ERROR)),
        ("hang", Fault::hang()),
        ("reset", Fault::reset()),
    ] {
        let ziflow = ziflow(&[]).await;
        let settings = [SETTINGS, &[("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "4")]].concat();
        let bridge = Arc::new(Bridge::with(&ziflow, &settings).await);
        let id = bridge.create(colleague("jo@example.com")).await.expect(201).id();
        ziflow.inject(fault.forever());
        // Each of them tries twice.
        letter(&bridge.read(&id).await);
        letter(&bridge.read(&id).await);
        bridge.line("Ziflow cannot be used: calls are held back").await;
        let (before, asked, start) = (ziflow.people(), ziflow.total_calls(), Instant::now());
        for _ in 0..5 {
            for answer in crowd(&bridge, &id, 100).await {
                assert_eq!(letter(&answer), 'U', "{name}: held back, and so told at once: {}", answer.body);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        // One test a second is what the settings of this file allow; readiness has its share in them.
        let (tests, seconds) = (ziflow.total_calls() - asked, start.elapsed().as_secs());
        assert!(tests <= allowed(3, seconds), "{name}: {tests} calls for a dead Ziflow in {seconds} s");
        let told = bridge.admin("/readyz").await.expect(503);
        assert!(told.body.to_string().contains("held back"), "{name}: {}", told.body);
        ziflow.clear_faults();
        heals(&bridge).await;
        assert_eq!(bridge.read(&id).await.expect(200).id(), id);
        assert_eq!(ziflow.people(), before, "{name}: nothing was done behind Entra's back");
        Arc::into_inner(bridge).unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_alarms_once_and_heals_by_itself() {
    for status in ["401", "403"] {
        let ziflow = ziflow(&[("bad_key_status", status)]).await;
        let bridge = Arc::new(Bridge::with(&ziflow, SETTINGS).await);
        let id = bridge.create(colleague("jo@example.com")).await.expect(201).id();
        let right = ziflow.key().to_owned();
        for alarms in 1..=2 {
            ziflow.change_key("somebody has made a new one");
            let (asked, start) = (ziflow.total_calls(), Instant::now());
            for answer in crowd(&bridge, &id, 100).await {
                assert_eq!(letter(&answer), 'B', "{}", answer.body);
                assert!(answer.text("/detail").contains("key"), "{}", answer.body);
            }
            for _ in 0..5 {
                crowd(&bridge, &id, 20).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // Those that were under way together, and one test a second since then.
            let (calls, seconds) = (ziflow.total_calls() - asked, start.elapsed().as_secs());
            assert!(calls <= allowed(12, seconds), "{calls} calls with a refused key in {seconds} s");
            bridge.admin("/healthz").await.expect(200);
            let told = bridge.admin("/readyz").await.expect(503);
            assert!(told.body.to_string().contains("refuses the API key"), "{}", told.body);
            let errors = bridge.log().iter().filter(|line| line["level"] == "ERROR").count();
            assert_eq!(errors, alarms, "{:#?}", bridge.log());
            ziflow.change_key(&right);
            heals(&bridge).await;
            assert_eq!(bridge.read(&id).await.expect(200).id(), id);
        }
        Arc::into_inner(bridge).unwrap().stop().await;
    }
}
