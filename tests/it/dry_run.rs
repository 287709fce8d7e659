//! A dry run on a real account: everything is answered as if it had happened, and nothing has.

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Bridge, Folder, in_ziflow, person, ziflow};

const DRY: (&str, &str) = ("BRIDGE_POLICY__DRY_RUN", "true");

/// Calls that would have changed something.
fn writes(ziflow: &Simulator) -> Vec<String> {
    let writes = ziflow.calls().into_iter().filter(|call| call.method != "GET");
    writes.map(|call| format!("{} {}", call.method, call.path)).collect()
}

fn told(log: &[Value]) -> Vec<(&str, &str)> {
    let told = log.iter().filter(|line| line["message"] == "dry run: not sent");
    told.map(|line| (line["call"].as_str().unwrap(), line["fields"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_and_every_write_is_told() {
    let ziflow = ziflow(&[]).await;
    let ann = ziflow.add_person(json!({"email": "ann@example.com", "first_name": "Ann", "last_name": "Ode"}));
    let bridge = Bridge::with(&ziflow, &[DRY]).await;

    let created = bridge.create(person("jo@example.com")).await.expect(201);
    let id = created.id();
    assert!(id.starts_with("dry-run-"), "{id}");
    assert_eq!(bridge.read(&id).await.expect(200).text("/userName"), "jo@example.com");
    let found = bridge.find("userName eq \"jo@example.com\"").await.expect(200);
    assert_eq!(found.text("/Resources/0/id"), id);
    assert_eq!(bridge.get("/Users").await.expect(200).body["totalResults"], ziflow.people().len() + 1);
    bridge.create(person("jo@example.com")).await.expect(409);
    bridge.create(person("ann@example.com")).await.expect(409);

    let off = json!([{"op": "Replace", "path": "active", "value": "False"}]);
    assert_eq!(bridge.patch(&id, off.clone()).await.expect(200).body["active"], false);
    assert_eq!(bridge.read(&id).await.expect(200).body["active"], false);

    assert_eq!(bridge.patch(&ann, off).await.expect(200).body["active"], false);
    // Reads show what Ziflow has.
    assert_eq!(bridge.read(&ann).await.expect(200).body["active"], true);
    bridge.delete(&ann).await.expect(204);
    assert_eq!(in_ziflow(&ziflow, "ann@example.com")["active"], true);
    assert_eq!(writes(&ziflow), Vec::<String>::new());
    let ready = bridge.admin("/readyz").await.expect(200);
    assert!(ready.text("/parts/dry_run/detail").contains("not sent"), "{ready:?}");

    let log = bridge.stop().await;
    let create = "email,first_name,last_name,roles,verified";
    let update = "PUT /users/{id}";
    assert_eq!(
        told(&log),
        [("POST /users", create), (update, "active"), (update, "active"), (update, "active")]
    );
    let says = |words: &str| {
        log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(words))).count()
    };
    // Ann, once disabled and once deleted; who was never made has no access to lose.
    assert_eq!(says("keeps their access"), 2);
    assert_eq!(says("exists again"), 0);
    let warned = says("links cleared") == 1;
    assert!(warned && !format!("{log:?}").contains("example.com"), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_read_and_stays_as_it_is() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let file = folder.path().join("store.db");
    let url = format!("sqlite:{}", file.display());
    let store = ("BRIDGE_STORE__URL", url.as_str());
    let bridge = Bridge::with(&ziflow, &[store, DRY]).await;
    let nobody = bridge.create(person("nobody@example.com")).await.expect(201).id();
    bridge.stop().await;
    assert!(!file.exists());

    let bridge = Bridge::with(&ziflow, &[store]).await;
    let mut jo = person("jo@example.com");
    jo["title"] = "CTO".into();
    let id = bridge.create(jo).await.expect(201).id();
    let gone = bridge.read(&nobody).await.expect(404);
    assert!(gone.text("/detail").contains("dry run"), "{gone:?}");
    bridge.stop().await;

    let before = std::fs::read(&file).unwrap();
    let bridge = Bridge::with(&ziflow, &[store, DRY]).await;
    assert_eq!(bridge.read(&id).await.expect(200).text("/title"), "CTO");
    let title = json!([{"op": "replace", "path": "title", "value": "CEO"}]);
    bridge.patch(&id, title).await.expect(200);
    assert_eq!(bridge.read(&id).await.expect(200).text("/title"), "CEO");
    bridge.create(person("kim@example.com")).await.expect(201);
    bridge.stop().await;
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing lies beside the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_left_by_a_crash_is_read_and_stays_as_it_is() {
    let (folder, links, ziflow) = (Folder::new(), Folder::new(), ziflow(&[]).await);
    // SQLite's log lies beside the file itself, not beside a link to it.
    std::os::unix::fs::symlink(folder.path().join("store.db"), links.path().join("link.db")).unwrap();
    let url = format!("sqlite:{}", links.path().join("link.db").display());
    let store = ("BRIDGE_STORE__URL", url.as_str());
    let bridge = Bridge::with(&ziflow, &[store]).await;
    let mut jo = person("jo@example.com");
    jo["title"] = "CTO".into();
    let id = bridge.create(jo).await.expect(201).id();
    bridge.kill();
    let files = || {
        let paths = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = files();
    assert!(before.len() > 1, "the log lies beside the store");
    let bridge = Bridge::with(&ziflow, &[store, DRY]).await;
    assert_eq!(bridge.read(&id).await.expect(200).text("/title"), "CTO");
    bridge.create(person("kim@example.com")).await.expect(201);
    bridge.stop().await;
    assert!(files() == before, "a dry run has changed the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_seen_among_the_contacts_only_is_there_in_a_dry_run_as_well() {
    let ziflow = ziflow(&[("inactive", "contacts_only")]).await;
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = ("BRIDGE_STORE__URL", url.as_str());
    let bridge = Bridge::with(&ziflow, &[store]).await;
    let id = bridge.create(person("jo@example.com")).await.expect(201).id();
    let active = |word: &str| json!([{"op": "Replace", "path": "active", "value": word}]);
    bridge.patch(&id, active("False")).await.expect(200);
    bridge.stop().await;
    let bridge = Bridge::with(&ziflow, &[store, DRY]).await;
    bridge.patch(&id, active("True")).await.expect(200);
    bridge.delete(&id).await.expect(204);
    let log = bridge.stop().await;
    assert_eq!(told(&log).len(), 2, "{log:#?}");
}
