//! The audit log: who changed what, and what became of it, through everything that can happen to a change or to the log.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Fault, Simulator};

use crate::group_stage::{self, MANAGERS, Place, add, group, make, remove, settled};
use crate::harness::{Bridge, Folder, TOKEN, command, encoded, in_ziflow, person, ziflow};

const PATIENCE: Duration = Duration::from_secs(60);

/// An audit log in a file of its own.
struct Log {
    folder: Folder,
}

impl Log {
    fn new() -> Self {
        Self { folder: Folder::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn destination(&self) -> String {
        self.path().display().to_string()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines with this action, as soon as there are so many.
    async fn of(&self, action: &str, number: usize) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let found: Vec<_> = self.lines().into_iter().filter(|line| line["action"] == action).collect();
            if found.len() >= number {
                assert_eq!(found.len(), number, "{found:#?}");
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "no {number} of {action} in {:#?}", self.lines());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn last(&self, action: &str, number: usize) -> Value {
        self.of(action, number).await.pop().unwrap()
    }
}

#[track_caller]
fn expect(line: &Value, members: &Value) {
    for (name, value) in members.as_object().unwrap() {
        assert_eq!(&line[name], value, "`{name}` in {line:#}");
    }
}

/// The calls of Ziflow that a line tells.
fn calls(line: &Value) -> Vec<String> {
    let told = |call: &Value| {
        assert!(call["ms"].is_u64(), "{call}");
        let text = |name: &str| call[name].as_str().map_or_else(|| call[name].to_string(), str::to_owned);
        format!("{} {} {}", text("method"), text("endpoint"), text("status"))
    };
    line["ziflow_calls"].as_array().into_iter().flatten().map(told).collect()
}

fn off() -> Value {
    json!([{"op": "Replace", "path": "active", "value": "False"}])
}

fn title(text: &str) -> Value {
    json!([{"op": "Replace", "path": "title", "value": text}])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_person_is_one_line_without_values() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let ann = ziflow.add_person(json!({"email": "ann@example.com", "first_name": "Ann", "last_name": "Ode"}));
    let bridge = Bridge::with(
        &ziflow,
        &[("BRIDGE_AUDIT__DESTINATION", &log.destination()), ("BRIDGE_POLICY__ON_EXISTING", "adopt")],
    )
    .await;
    let created = bridge.create(person("jo@example.com")).await.expect(201);
    let (id, request_id) = (created.id(), created.header("request-id").unwrap().to_owned());
    let line = log.last("create-user", 1).await;
    expect(
        &line,
        &json!({
            "target": "audit", "type": "User", "id": id, "by": "test", "source": "127.0.0.1",
            "request_id": request_id, "outcome": "done", "effect": "created",
            "fields": ["active", "name.familyName", "name.givenName", "userName"], "given": ["roles:user"],
        }),
    );
    assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert!(line["ziflow_fields"].as_array().unwrap().contains(&json!("email")), "{line}");
    assert_eq!(std::fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o600);

    // Only in the store, in Ziflow as well, nothing at all, and refused.
    bridge.patch(&id, title("Editor")).await.expect(200);
    expect(
        &log.last("patch-user", 1).await,
        &json!({"fields": ["title"], "effect": "updated", "outcome": "done"}),
    );
    bridge.patch(&id, off()).await.expect(200);
    expect(
        &log.last("patch-user", 2).await,
        &json!({"fields": ["active"], "ziflow_fields": ["active"], "access": "taken"}),
    );
    bridge.patch(&id, off()).await.expect(200);
    let bad = json!([{"op": "Remove", "path": "name.givenName"}]);
    bridge.patch(&id, bad).await.expect(400);
    let refused = log.last("patch-user", 3).await;
    expect(&refused, &json!({"id": id, "outcome": "refused", "effect": null}));
    assert!(refused["reason"].as_str().unwrap().contains("givenName"), "{refused}");

    let mut whole = person("jo@example.com");
    whole["name"]["givenName"] = json!("Joan");
    bridge.replace(&id, whole).await.expect(200);
    let replaced = log.last("replace-user", 1).await;
    expect(&replaced, &json!({"access": "given", "outcome": "done"}));
    for field in ["active", "name.givenName", "title"] {
        assert!(replaced["fields"].as_array().unwrap().contains(&json!(field)), "{replaced}");
    }
    assert_eq!(calls(&replaced), ["GET /users/{id} 200", "PUT /users/{id} 200"]);
    bridge.delete(&id).await.expect(204);
    expect(&log.last("delete-user", 1).await, &json!({"id": id, "effect": "hidden", "access": "taken"}));
    assert_eq!(bridge.create(person("jo@example.com")).await.expect(201).id(), id);
    expect(
        &log.last("create-user", 2).await,
        &json!({"id": id, "effect": "brought_back", "access": "given"}),
    );
    assert_eq!(bridge.create(person("ann@example.com")).await.expect(201).id(), ann);
    expect(&log.last("create-user", 3).await, &json!({"id": ann, "effect": "adopted", "outcome": "done"}));
    bridge.create(person("ann@example.com")).await.expect(409);
    let taken = log.last("create-user", 4).await;
    expect(&taken, &json!({"outcome": "refused", "id": null}));
    // What stands in the place of an id may be a name.
    bridge.delete("nobody@example.com").await.expect(404);
    expect(&log.last("delete-user", 2).await, &json!({"outcome": "refused", "id": null}));
    // Reads are no changes.
    bridge.get("/Users").await.expect(200);
    let names: Vec<_> = log.lines().iter().map(|line| line["change"].to_string()).collect();
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 10, "{names:?}");
    for value in ["jo@", "ann@", "Jo", "Lee", "Ode", "Editor", "nobody@", TOKEN, ziflow.key()] {
        assert!(!log.text().contains(value), "{value} in {}", log.text());
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_its_members_and_what_they_get_are_recorded() {
    let (place, log) = (Place::new(&[]).await, Log::new());
    let bridge = place.bridge_with(&[("BRIDGE_AUDIT__DESTINATION", &log.destination())]).await;
    let (a, b) = (group_stage::create(&bridge, "a").await, group_stage::create(&bridge, "b").await);
    let id = make(&bridge, "Managers", MANAGERS).await;
    expect(
        &log.last("create-group", 1).await,
        &json!({"type": "Group", "id": id, "effect": "created", "fields": ["displayName", "externalId"]}),
    );
    add(&bridge, &id, &[&a, &b]).await;
    let both = [&a, &b].into_iter().collect::<std::collections::BTreeSet<_>>();
    expect(
        &log.last("patch-group", 1).await,
        &json!({"members_added": {"count": 2, "ids": both}, "by": "test"}),
    );
    settled(&bridge).await;
    let applied = log.of("apply-grants", 2).await;
    for line in &applied {
        let whom = [json!(a), json!(b)];
        assert!(whom.contains(&line["id"]), "{line}");
        expect(
            line,
            &json!({"by": "grants", "given": ["roles:manager"], "ziflow_fields": ["roles"], "request_id": null}),
        );
    }
    // Nothing changes, nobody has to be told.
    add(&bridge, &id, &[&a]).await;
    remove(&bridge, &id, &[&a]).await;
    expect(&log.last("patch-group", 2).await, &json!({"members_removed": {"count": 1, "ids": [a]}}));
    settled(&bridge).await;
    expect(&log.last("apply-grants", 3).await, &json!({"id": a, "taken": ["roles:manager"]}));
    bridge.ask("POST /Groups", Some(group("managers", "other"))).await.expect(409);
    expect(&log.last("create-group", 2).await, &json!({"outcome": "refused"}));
    bridge.ask(&format!("DELETE /Groups/{id}"), None).await.expect(204);
    expect(&log.last("delete-group", 1).await, &json!({"id": id, "effect": "deleted", "outcome": "done"}));
    assert!(!log.text().contains("Managers"));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_of_a_bulk_request_has_its_line() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUDIT__DESTINATION", &log.destination())]).await;
    let operation = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": name, "data": person(&format!("{name}@example.com"))});
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation("a"), operation("b"), {"method": "DELETE", "path": "/Users/nobody"}],
    });
    let answer = bridge.ask("POST /Bulk", Some(body)).await.expect(200);
    let request_id = answer.header("request-id").unwrap();
    for line in log.of("create-user", 2).await {
        expect(&line, &json!({"outcome": "done", "request_id": request_id, "by": "test"}));
        assert_eq!(calls(&line), ["POST /users 200"]);
    }
    expect(&log.last("delete-user", 1).await, &json!({"outcome": "refused", "request_id": request_id}));
    bridge.stop().await;
}

/// A write that Ziflow does not confirm may have happened, and the log does not claim to know.
#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_it_is_told_as_far_as_it_is_known() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let bridge = Bridge::with(
        &ziflow,
        &[("BRIDGE_AUDIT__DESTINATION", &log.destination()), ("BRIDGE_RATE_LIMIT__RETRIES", "0")],
    )
    .await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    // The answer to the update is lost, and nothing can be read after it.
    ziflow.inject(Fault::apply_then_drop().method(Method::PUT));
    ziflow.inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).method(Method::GET).skip(1).times(3));
    bridge.patch(&id, off()).await.expect(503);
    expect(
        &log.last("patch-user", 1).await,
        &json!({"outcome": "unknown", "fields": ["active"], "access": "taken"}),
    );
    ziflow.clear_faults();
    ziflow.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).method(Method::POST));
    let failed = bridge.create(person("lee@example.com")).await;
    assert!(failed.status >= 500, "{failed:?}");
    ziflow.clear_faults();
    let line = log.last("create-user", 2).await;
    assert!(["failed", "unknown"].contains(&line["outcome"].as_str().unwrap()), "{line}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_marked() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let bridge = Bridge::with(
        &ziflow,
        &[("BRIDGE_AUDIT__DESTINATION", &log.destination()), ("BRIDGE_POLICY__DRY_RUN", "true")],
    )
    .await;
    bridge.create(person("jo@example.com")).await.expect(201);
    expect(&log.last("create-user", 1).await, &json!({"dry_run": true, "outcome": "done"}));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_the_lines_stand_in_the_log() {
    let ziflow = ziflow(&[]).await;
    for (destination, number) in [("log", 1), ("off", 0)] {
        let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUDIT__DESTINATION", destination)]).await;
        bridge.create(person(&format!("{destination}@example.com"))).await.expect(201);
        let ready = bridge.admin("/readyz").await.expect(200);
        assert!(ready.text("/parts/audit/detail").contains(destination), "{ready:?}");
        let log = bridge.stop().await;
        let lines: Vec<_> = log.iter().filter(|line| line["target"] == "audit").collect();
        assert_eq!(lines.len(), number, "{lines:#?}");
        assert!(lines.iter().all(|line| line["action"] == "create-user" && line["outcome"] == "done"));
    }
}

/// `/dev/full` is a disk without room.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_must_be_recorded_and_cannot_be_is_not_made() {
    let (ziflow, place) = (ziflow(&[]).await, Folder::new());
    let folder = place.path().join("log");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("audit.log").display().to_string();
    let store = format!("sqlite:{}", place.path().join("store.db").display());
    let required = [
        ("BRIDGE_AUDIT__DESTINATION", path.as_str()),
        ("BRIDGE_AUDIT__REQUIRED", "true"),
        ("BRIDGE_STORE__URL", &store),
    ];
    let bridge = Bridge::with(&ziflow, &required).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let text = std::fs::read_to_string(&path).unwrap();
    let begun: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    expect(&begun, &json!({"action": "create-user", "stage": "begun", "outcome": null}));

    std::fs::rename(&folder, place.path().join("elsewhere")).unwrap();
    let writes = |ziflow: &Simulator| ziflow.calls().iter().filter(|call| call.method != "GET").count();
    let before = writes(&ziflow);
    let group = |name: &str| Some(json!({"displayName": name}));
    for answer in [
        bridge.create(person("lee@example.com")).await,
        bridge.patch(&id, off()).await,
        bridge.patch(&id, title("Editor")).await,
        bridge.replace(&id, person("jo@example.net")).await,
        bridge.delete(&id).await,
        bridge.ask("POST /Groups", group("one")).await,
    ] {
        let answer = answer.expect(503);
        assert!(answer.text("/detail").contains("audit.required"), "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(!answer.text("/detail").contains(&path), "{answer:?}");
    }
    assert_eq!(writes(&ziflow), before);
    assert_eq!(in_ziflow(&ziflow, "jo@example.com")["active"], true);
    bridge.read(&id).await.expect(200);
    let ready = bridge.admin("/readyz").await.expect(503);
    assert_eq!(ready.text("/parts/audit/state"), "failing");
    bridge.reaches("ziflow_scim_bridge_audit_failing", "1").await;
    let told = bridge.line("the audit log cannot be written (audit.destination)").await;
    assert_eq!(told["level"], "ERROR");

    std::fs::rename(place.path().join("elsewhere"), &folder).unwrap();
    // It heals without a request, for a balancer sends none.
    bridge.line("the audit log can be written again").await;
    bridge.admin("/readyz").await.expect(200);
    bridge.patch(&id, off()).await.expect(200);
    bridge.ask("POST /Groups", group("one")).await.expect(201);
    // Two lines for each of the three changes that were made, one for each of the six that were refused.
    bridge.reaches("ziflow_scim_bridge_audit_lines_total", "12").await;
    bridge.reaches("ziflow_scim_bridge_audit_failing", "0").await;
    bridge.stop().await;
    // Also what was refused stands there, in its order.
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<_> =
        lines.iter().filter(|line| line["outcome"] == "failed").map(|line| &line["action"]).collect();
    assert_eq!(
        failed,
        ["create-user", "patch-user", "patch-user", "replace-user", "delete-user", "create-group"]
    );
    let stages = |name: &Value| {
        let of = lines.iter().filter(|line| line["change"] == *name && line["outcome"] != "failed");
        of.map(|line| line["stage"].as_str().unwrap_or("ended")).collect::<Vec<_>>()
    };
    let done: Vec<_> = lines.iter().filter(|line| line["outcome"] == "done").collect();
    assert_eq!(done.len(), 3, "{lines:#?}");
    assert!(done.iter().all(|line| stages(&line["change"]) == ["begun", "ended"]), "{lines:#?}");

    // At the start it is said at once.
    let full = [("BRIDGE_AUDIT__DESTINATION", "/dev/full"), ("BRIDGE_AUDIT__REQUIRED", "true")];
    let bridge = Bridge::with(&ziflow, &full).await;
    let refused = bridge.create(person("max@example.com")).await.expect(503);
    assert!(refused.text("/detail").contains("No space left"), "{refused:?}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_need_not_be_recorded_goes_on_and_the_gap_is_told() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUDIT__DESTINATION", "/dev/full")]).await;
    bridge.create(person("jo@example.com")).await.expect(201);
    bridge.line("the audit log cannot be written (audit.destination)").await;
    let ready = bridge.admin("/readyz").await.expect(200);
    assert_eq!(ready.text("/parts/audit/state"), "stale");
    let written = bridge.metric("ziflow_scim_bridge_audit_lines_total").await;
    let failing = bridge.metric("ziflow_scim_bridge_audit_failing").await;
    assert_eq!((written.as_str(), failing.as_str()), ("0", "1"));
    bridge.stop().await;
}

/// The process is killed between the beginning and the end of a change: its beginning is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_outlives_the_process() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let settings =
        [("BRIDGE_AUDIT__DESTINATION", log.destination()), ("BRIDGE_AUDIT__REQUIRED", "true".to_owned())];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut bridge = Bridge::with(&ziflow, &settings).await;
    ziflow.inject(Fault::slow(Duration::from_secs(20)).method(Method::POST));
    let create = bridge.try_ask("POST /Users", Some(person("jo@example.com")));
    let (_, ()) = tokio::join!(create, async {
        log.of("create-user", 1).await;
        bridge.cut_power();
    });
    bridge.reap();
    expect(&log.last("create-user", 1).await, &json!({"stage": "begun", "effect": "created"}));

    // Asked to stop, it says that it does not know.
    let mut bridge = Bridge::with(
        &ziflow,
        &[settings.as_slice(), &[("BRIDGE_SERVER__SHUTDOWN_GRACE_SECS", "0")]].concat(),
    )
    .await;
    ziflow.inject(Fault::slow(Duration::from_secs(20)).method(Method::POST));
    let create = bridge.try_ask("POST /Users", Some(person("lee@example.com")));
    let (_, ()) = tokio::join!(create, async {
        log.of("create-user", 2).await;
        bridge.terminate();
    });
    bridge.ended().await;
    expect(&log.last("create-user", 3).await, &json!({"outcome": "unknown"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_and_its_release_are_recorded() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let store = format!("sqlite:{}", log.folder.path().join("store.db").display());
    let destination = log.destination();
    let settings = [
        ("BRIDGE_AUDIT__DESTINATION", destination.as_str()),
        ("BRIDGE_STORE__URL", &store),
        ("BRIDGE_POLICY__MAX_DEACTIVATIONS_PER_HOUR", "1"),
    ];
    let bridge = Bridge::with(&ziflow, &settings).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(bridge.create(person(&format!("{name}@example.com"))).await.expect(201).id());
    }
    bridge.patch(&ids[0], off()).await.expect(200);
    bridge.patch(&ids[1], off()).await.expect(503);
    bridge.patch(&ids[2], off()).await.expect(503);
    expect(&log.last("brake-engaged", 1).await, &json!({"by": "test", "people": 1, "most": 1}));
    expect(&log.last("patch-user", 3).await, &json!({"outcome": "failed"}));
    let release = |more: &[&str]| {
        let variables = [("BRIDGE_ZIFLOW__API_KEY", ziflow.key()), ("BRIDGE_STORE__URL", &store)];
        let words = [&["brake", "release"], more].concat();
        assert!(command(&words, &variables).status().unwrap().success());
    };
    release(&[]);
    let uid = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap();
    expect(&log.last("brake-released", 1).await, &json!({"by": "operator", "uid": uid}));
    bridge.stop().await;
    // While the service does not run, the note waits for it.
    release(&["--reset"]);
    let bridge = Bridge::with(&ziflow, &settings).await;
    log.of("brake-released", 2).await;
    // Tripped before the start is not tripped anew.
    bridge.patch(&ids[1], off()).await.expect(200);
    bridge.stop().await;
    assert_eq!(log.of("brake-engaged", 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_are_recorded_with_the_mapping_in_force() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let mapping = log.folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    let named = mapping.display().to_string();
    let bridge = Bridge::with(
        &ziflow,
        &[("BRIDGE_AUDIT__DESTINATION", &log.destination()), ("BRIDGE_MAPPING__FILE", &named)],
    )
    .await;
    bridge.hang_up();
    let first = log.last("reload", 1).await;
    expect(&first, &json!({"by": "operator", "outcome": "done"}));
    assert_eq!(first["mapping"]["file"], named.as_str());
    log.folder.file("mapping.yaml", "user: {}\n");
    bridge.hang_up();
    let refused = log.last("reload", 2).await;
    expect(&refused, &json!({"outcome": "refused", "mapping": first["mapping"]}));
    assert!(refused["problems"].as_u64() > Some(0), "{refused}");
    log.folder.file("mapping.yaml", &format!("{}\n# edited\n", include_str!("../../config/mapping.yaml")));
    bridge.hang_up();
    let third = log.last("reload", 3).await;
    assert!(third["changed"][0].as_str().unwrap().starts_with("mapping"), "{third}");
    assert_ne!(third["mapping"]["version"], first["mapping"]["version"]);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_recorded_or_not_begun() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let base_url = ziflow.base_url();
    let probe = |destination: &str| {
        let variables = [
            ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
            ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
            ("BRIDGE_STORE__URL", "memory:"),
            ("BRIDGE_AUDIT__DESTINATION", destination),
            ("BRIDGE_AUDIT__REQUIRED", "true"),
            ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "500"),
        ];
        let arguments = ["doctor", "--probe", "probe@example.com", "--yes", "--format", "json"];
        let output = command(&arguments, &variables).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let refused = tokio::task::block_in_place(|| probe("/dev/full"));
    assert_eq!(refused["probe"]["state"], "not_begun", "{refused}");
    assert!(refused["probe"]["reason"].as_str().unwrap().contains("audit.required"), "{refused}");
    assert!(ziflow.calls().iter().all(|call| call.method == "GET"));
    let done = tokio::task::block_in_place(|| probe(&log.destination()));
    assert_eq!(done["probe"]["state"], "complete", "{done}");
    let lines = log.of("probe", 2).await;
    expect(&lines[0], &json!({"stage": "begun", "by": "operator"}));
    expect(&lines[1], &json!({"outcome": "done", "made": true}));
    assert!(!log.text().contains("probe@example.com"));
}

#[test]
fn check_says_whether_it_can_be_written() {
    let folder = Folder::new();
    let check = |destination: &str, required: &str| {
        let variables = [
            ("BRIDGE_ZIFLOW__API_KEY", "k"),
            ("BRIDGE_AUDIT__DESTINATION", destination),
            ("BRIDGE_AUDIT__REQUIRED", required),
        ];
        let output = command(&["check"], &variables).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let there = folder.path().join("audit.log").display().to_string();
    let (shown, code) = check(&there, "true");
    assert!(code == Some(0) && !shown.contains("audit"), "{shown}");
    assert!(!std::fs::exists(&there).unwrap(), "nothing is made");
    let nowhere = folder.path().join("no").join("audit.log").display().to_string();
    let open = folder.file_with_mode("open.log", "", 0o666).display().to_string();
    let read = folder.file_with_mode("read.log", "", 0o644).display().to_string();
    let place = folder.path().display().to_string();
    for (destination, required, told, code) in [
        (nowhere.as_str(), "true", "the folder of the audit log", 78),
        (&nowhere, "false", "LogsDirectory=", 0),
        (&place, "true", "is a folder", 78),
        ("journal", "false", "none of log, off, and a file", 78),
        ("off", "true", "nothing could ever be changed", 78),
        (&open, "false", "everybody on this machine can change the audit log", 78),
        (&read, "true", "everybody on this machine can read the audit log", 0),
    ] {
        let (shown, found) = check(destination, required);
        assert!(found == Some(code) && shown.contains(told), "{destination}: {found:?} {shown}");
    }
}

/// Rotation needs no signal, and lines of two writers never mix.
#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_are_whole_lines_also_while_the_file_is_moved() {
    let (ziflow, log) = (ziflow(&[]).await, Log::new());
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUDIT__DESTINATION", &log.destination())]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let moved = log.folder.path().join("audit.log.1");
    for number in 0..40 {
        let path = format!("PATCH /Users/{}", encoded(&id));
        let body = json!({"Operations": title(&format!("Title {number}"))});
        bridge.ask(&path, Some(body)).await.expect(200);
        if number == 20 {
            std::fs::rename(log.path(), &moved).unwrap();
        }
    }
    bridge.stop().await;
    let both = std::fs::read_to_string(&moved).unwrap() + &log.text();
    let lines = both.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.filter(|line| line["action"] == "patch-user").count(), 40);
    assert!(!log.lines().is_empty());
}
