//! Reloading as an operator does it: edit, SIGHUP (or just edit, with `mapping.watch`), look at log, `/readyz` and
//! `/metrics`. A bad file changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use ziflow_scim_bridge::simulator::{Fault, Simulator};

use crate::harness::{Bridge, Folder, TOKEN, gets, person, ziflow};

/// So late Ziflow answers whom something is to overtake; the bridge waits for up to six seconds.
const LATE: Duration = Duration::from_secs(4);

const REFUSED: &str = "the reload is refused, and everything stays as it was";

/// A settings file with everything that it names, and the Ziflow that they are for.
struct Place {
    folder: Folder,
    ziflow: Simulator,
}

impl Place {
    async fn new() -> Self {
        let place = Self { folder: Folder::new(), ziflow: ziflow(&[]).await };
        place.folder.file("key", place.ziflow.key());
        place.folder.file("token", TOKEN);
        place.mapping("One");
        place.settings("");
        place
    }

    /// The settings with further sections.
    fn settings(&self, further: &str) -> PathBuf {
        self.settings_with("[{name: test, token_file: token}]", further)
    }

    fn settings_with(&self, tokens: &str, further: &str) -> PathBuf {
        let base_url = self.ziflow.base_url();
        let text = format!(
            "server: {{ listen: 127.0.0.1:0 }}\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ tokens: {tokens} }}\n\
             ziflow: {{ base_url: '{base_url}', api_key_file: key, key_user_email: key@example.com }}\n\
             store: {{ url: 'memory:' }}\n{further}\n"
        );
        self.folder.file("bridge.yaml", &text)
    }

    /// The mapping file, told apart by what people show as their display name.
    fn mapping(&self, name: &str) -> PathBuf {
        self.folder.file("mapping.yaml", &mapping(name))
    }

    async fn bridge(&self) -> Bridge {
        Bridge::configured(&self.folder.path().join("bridge.yaml")).await
    }
}

fn mapping(name: &str) -> String {
    format!(
        "user:\n  email: {{ from: userName, required: true }}\n  first_name: {{ from: name.givenName }}\n  last_name: \
         {{ from: name.familyName }}\n  active: {{ from: active, default: true }}\nscim:\n  displayName: \
         '{name} {{last_name}}'\n"
    )
}

/// Which mapping a new person is made with.
async fn shown(bridge: &Bridge) -> String {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let made = bridge.create(person(&format!("jo{number}@example.com"))).await.expect(201);
    made.text("/displayName").to_owned()
}

async fn reload(bridge: &Bridge, number: usize) -> String {
    bridge.hang_up();
    bridge.nth_line("reloaded", number).await["changed"].as_str().unwrap().to_owned()
}

/// The part `mapping` of `/readyz`, which never makes the bridge not ready.
async fn part(bridge: &Bridge) -> Value {
    bridge.admin("/readyz").await.expect(200).body["parts"]["mapping"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mapping_is_taken_over() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    assert_eq!(shown(&bridge).await, "One Lee");
    let before = part(&bridge).await["detail"].clone();

    place.mapping("Two");
    let changed = reload(&bridge, 1).await;
    assert!(changed.starts_with("mapping (") && changed.contains("mapping.yaml, version "), "{changed}");
    assert_eq!(shown(&bridge).await, "Two Lee");
    let after = part(&bridge).await;
    assert_eq!(after["state"], "ok");
    assert_ne!(after["detail"], before);
    let (_, digest) = changed.trim_end_matches(')').split_once("version ").unwrap();
    let file = place.folder.path().join("mapping.yaml").display().to_string();
    let info = format!("ziflow_scim_bridge_mapping_info{{file=\"{file}\",digest=\"{digest}\"}}");
    assert_eq!(bridge.metric(&info).await, "1");

    // What is the same stays, with the time since which it is in force.
    assert_eq!(reload(&bridge, 2).await, "nothing");
    assert_eq!(part(&bridge).await["detail"], after["detail"]);
    assert_eq!(bridge.metric("ziflow_scim_bridge_reloads_total{result=\"ok\"}").await, "2");
    assert_eq!(bridge.metric("ziflow_scim_bridge_part_state{part=\"mapping\",state=\"ok\"}").await, "1");
    bridge.stop().await;
}

/// Every way in which a file can be bad: nothing changes, everybody is told, and a good file mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_what_is_in_force() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let mapping_file = place.folder.path().join("mapping.yaml");
    let key_file = place.folder.path().join("key");
    let broken_example = "examples: [{name: wrong, scim: {userName: a@b.c}, ziflow: {email: c@b.a}}]\n";
    let spoil: [(&str, &dyn Fn(), &str); 8] = [
        ("YAML", &|| drop(place.folder.file("mapping.yaml", "user: [")), "mapping.yaml"),
        (
            "word",
            &|| drop(place.folder.file("mapping.yaml", &mapping("Two").replace("email", "emial"))),
            "did you mean",
        ),
        (
            "example",
            &|| drop(place.folder.file("mapping.yaml", &(mapping("Two") + broken_example))),
            "to_ziflow email",
        ),
        ("missing", &|| std::fs::remove_file(&mapping_file).unwrap(), "cannot be read"),
        (
            "unreadable",
            &|| {
                std::fs::remove_file(&mapping_file).unwrap();
                std::fs::create_dir(&mapping_file).unwrap();
            },
            "cannot be read",
        ),
        ("open", &|| drop(place.folder.file_with_mode("mapping.yaml", &mapping("Two"), 0o666)), "everybody"),
        ("settings", &|| drop(place.settings("policy: { on_delete: remove }")), "bridge.yaml"),
        ("key", &|| std::fs::remove_file(&key_file).unwrap(), "ziflow.api_key_file"),
    ];
    for (number, (what, spoil, told)) in (1..).zip(spoil) {
        spoil();
        bridge.hang_up();
        let line = bridge.nth_line(REFUSED, number).await;
        assert_eq!(line["level"], "ERROR", "{what}");
        assert!(
            line["mapping"].as_str().unwrap().ends_with("mapping.yaml") && line["since"].is_string(),
            "{line}"
        );
        let part = part(&bridge).await;
        assert_eq!(part["state"], "stale", "{what}");
        let detail = part["detail"].as_str().unwrap();
        assert!(
            detail.contains(told) && detail.contains("was refused") && detail.contains("in force"),
            "{detail}"
        );
        assert_eq!(bridge.metric("ziflow_scim_bridge_last_reload_success").await, "0");
        assert_eq!(bridge.metric("ziflow_scim_bridge_ready").await, "1");
        let refused = bridge.metric("ziflow_scim_bridge_reloads_total{result=\"refused\"}").await;
        assert_eq!(refused, number.to_string());
        assert_eq!(shown(&bridge).await, "One Lee", "{what}");

        if mapping_file.is_dir() {
            std::fs::remove_dir(&mapping_file).unwrap();
        }
        place.folder.file("key", place.ziflow.key());
        place.settings("");
        place.mapping("One");
        assert_eq!(reload(&bridge, number).await, "nothing");
        assert_eq!(self::part(&bridge).await["state"], "ok");
        assert_eq!(bridge.metric("ziflow_scim_bridge_last_reload_success").await, "1");
    }
    let log = bridge.stop().await;
    let misspelt = log.iter().find(|line| line["key"] == "user.emial").unwrap();
    assert_eq!((misspelt["line"].as_u64(), misspelt["level"].as_str()), (Some(2), Some("WARN")));
    assert!(misspelt["file"].as_str().unwrap().ends_with("mapping.yaml"));
    assert!(misspelt["hint"].as_str().unwrap().contains("email"), "{misspelt}");
    let text = format!("{log:?}");
    assert!(!text.contains(TOKEN) && !text.contains(place.ziflow.key()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_and_go() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    let second = "{name: second, token: another-token}";
    bridge.ask_as(Some("another-token"), "GET /Users", None).await.expect(401);

    place.settings_with(&format!("[{{name: test, token_file: token}}, {second}]"), "");
    assert_eq!(reload(&bridge, 1).await, "tokens added: second");
    bridge.ask_as(Some("another-token"), "GET /Users", None).await.expect(200);
    bridge.get("/Users").await.expect(200);

    place.settings_with(&format!("[{second}]"), "");
    assert_eq!(reload(&bridge, 2).await, "tokens removed: test");
    // Also on the connection that has been open all the time.
    bridge.get("/Users").await.expect(401);
    bridge.ask_as(Some("another-token"), "GET /Users", None).await.expect(200);

    place.settings("");
    place.folder.file("token", "third-token\n");
    assert_eq!(reload(&bridge, 3).await, "tokens added: test; tokens removed: second");
    place.folder.file("token", TOKEN);
    assert_eq!(reload(&bridge, 4).await, "tokens changed: test");
    bridge.get("/Users").await.expect(200);
    let text = format!("{:?}", bridge.stop().await);
    assert!(!text.contains("another-token") && !text.contains("third-token"), "{text}");
}

/// The key is replaced in Ziflow first, as it must be; what left with the old key ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_proven_at_once_and_what_was_read_with_the_old_one_is_forgotten() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    bridge.line("Ziflow takes the API key").await;
    let id = bridge.create(person("ann@example.com")).await.expect(201).id();
    bridge.read(&id).await.expect(200);
    place.ziflow.change_key("second-key");
    bridge.find("userName eq \"nobody@example.com\"").await.expect(502);
    bridge.admin("/readyz").await.expect(503);

    place.folder.file("key", "second-key\n");
    place.ziflow.reset_calls();
    assert_eq!(reload(&bridge, 1).await, "API key");
    bridge.nth_line("Ziflow takes the API key", 2).await;
    bridge.admin("/readyz").await.expect(200);
    let calls = place.ziflow.calls();
    assert!(calls.iter().any(|call| call.query.contains("count=1")), "{calls:?}");
    let before = place.ziflow.total_calls();
    bridge.read(&id).await.expect(200);
    assert_eq!(place.ziflow.total_calls(), before + 1, "the cache is of the old key");
    bridge.find("userName eq \"nobody@example.com\"").await.expect(200);
    let text = format!("{:?}", bridge.stop().await);
    assert!(!text.contains("second-key"), "{text}");
}

/// A refusal of the old key that arrives late says nothing about the new one. What was begun with the old one is not gone
/// on with: the new one may be another account's.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_word_about_the_old_key_is_not_about_the_new_one() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    bridge.line("Ziflow takes the API key").await;
    place.ziflow.change_key("second-key");
    place.ziflow.inject(Fault::slow(LATE).times(1));
    place.ziflow.reset_calls();
    let (answer, ()) = tokio::join!(bridge.find("userName eq \"nobody@example.com\""), async {
        gets(&place.ziflow, "GET", 1).await;
        place.folder.file("key", "second-key");
        assert_eq!(reload(&bridge, 1).await, "API key");
        bridge.nth_line("Ziflow takes the API key", 2).await;
    });
    assert_eq!(answer.expect(503).header("retry-after"), Some("1"));
    assert_eq!(bridge.find("userName eq \"nobody@example.com\"").await.expect(200).body["totalResults"], 0);
    bridge.admin("/readyz").await.expect(200);
    let log = bridge.stop().await;
    assert!(!log.iter().any(|line| line["level"] == "ERROR"), "{log:#?}");
}

/// What was begun with one key is not finished with another: that may be another account's, where the same address is
/// another person.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_under_way_is_not_finished_with_another_key() {
    let place = Place::new().await;
    place.ziflow.set("write_body", "empty").unwrap();
    let bridge = place.bridge().await;
    bridge.line("Ziflow takes the API key").await;
    place.ziflow.inject(Fault::slow(LATE).method(Method::POST).times(1));
    let (answer, ()) = tokio::join!(bridge.create(person("ann@example.com")), async {
        gets(&place.ziflow, "POST", 1).await;
        place.ziflow.change_key("second-key");
        place.folder.file("key", "second-key");
        reload(&bridge, 1).await;
        bridge.nth_line("Ziflow takes the API key", 2).await;
    });
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}");
    // Entra's retry finds what became of it.
    bridge.create(person("ann@example.com")).await.expect(201);
    bridge.stop().await;
}

/// "Nobody" from the account of the old key is not believed once there is another key.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_nobody_of_the_old_key_is_not_believed() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    bridge.line("Ziflow takes the API key").await;
    place.ziflow.inject(Fault::slow(LATE).times(1));
    place.ziflow.reset_calls();
    let (answer, ()) = tokio::join!(bridge.read("auth0|nobody"), async {
        gets(&place.ziflow, "GET", 1).await;
        place.ziflow.change_key("second-key");
        place.folder.file("key", "second-key");
        reload(&bridge, 1).await;
        bridge.nth_line("Ziflow takes the API key", 2).await;
    });
    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}");
    bridge.read("auth0|nobody").await.expect(404);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_need_a_restart_are_named() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    place.settings("rate_limit: { burst: 7 }\nlog: { level: debug }");
    place.mapping("Two");
    assert!(reload(&bridge, 1).await.starts_with("mapping ("));
    let warned = bridge.line("changed settings need a restart; until then they stay as they were").await;
    assert_eq!(
        (warned["settings"].as_str(), warned["level"].as_str()),
        (Some("rate_limit.burst, log.level"), Some("WARN"))
    );

    // A key for another address must not be sent to this one.
    let text = std::fs::read_to_string(place.settings("")).unwrap();
    place.folder.file("bridge.yaml", &text.replace("/v1'", "/v2'"));
    place.folder.file("key", "key-of-another-account");
    bridge.hang_up();
    bridge.line(REFUSED).await;
    assert!(part(&bridge).await["detail"].as_str().unwrap().contains("together with the API key"));
    assert_eq!(shown(&bridge).await, "Two Lee");
    bridge.stop().await;
}

/// The request waits at Ziflow while the mapping becomes another one; its answer is still made with the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_sees_one_mapping_from_its_beginning_to_its_end() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    bridge.line("Ziflow takes the API key").await;
    place.ziflow.inject(Fault::slow(LATE).method(Method::POST).times(1));
    let (answer, after) = tokio::join!(bridge.create(person("ann@example.com")), async {
        gets(&place.ziflow, "POST", 1).await;
        place.mapping("Two");
        reload(&bridge, 1).await;
        shown(&bridge).await
    });
    assert_eq!(after, "Two Lee");
    assert_eq!(answer.expect(201).text("/displayName"), "One Lee");
    bridge.stop().await;
}

/// No signal gets lost: the last state of the files is in force in the end.
#[tokio::test(flavor = "multi_thread")]
async fn signals_in_quick_succession_end_with_the_last_state() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    for number in 0..20 {
        place.mapping(&format!("Number{number}"));
        bridge.hang_up();
    }
    let digest = |line: &Value| line["changed"].as_str().is_some_and(|text| text.contains("mapping"));
    let start = std::time::Instant::now();
    while shown(&bridge).await != "Number19 Lee" {
        assert!(start.elapsed() < Duration::from_secs(20), "{:#?}", bridge.log());
    }
    assert!(bridge.stop().await.iter().any(digest));
}

const WATCH: &str = "mapping: { watch: true }";

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_mapping_is_taken_over_however_it_is_edited() {
    let place = Place::new().await;
    place.settings(WATCH);
    let bridge = place.bridge().await;
    place.mapping("InPlace");
    bridge.nth_line("reloaded", 1).await;
    assert_eq!(shown(&bridge).await, "InPlace Lee");

    // The way of editors: a new file, renamed over the old one.
    let new = place.folder.file("mapping.yaml.new", &mapping("Renamed"));
    std::fs::rename(new, place.folder.path().join("mapping.yaml")).unwrap();
    bridge.nth_line("reloaded", 2).await;
    assert_eq!(shown(&bridge).await, "Renamed Lee");
    bridge.stop().await;
}

/// The way of Kubernetes: the file is a link through a link to a folder, and that link is swapped.
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_is_noticed() {
    use std::os::unix::fs::symlink;
    let place = Place::new().await;
    place.settings(WATCH);
    let folder = place.folder.path();
    for name in ["first", "second"] {
        std::fs::create_dir(folder.join(name)).unwrap();
        place.folder.file(&format!("{name}/mapping.yaml"), &mapping(name));
    }
    std::fs::remove_file(folder.join("mapping.yaml")).unwrap();
    symlink("first", folder.join("data")).unwrap();
    symlink("data/mapping.yaml", folder.join("mapping.yaml")).unwrap();
    let bridge = place.bridge().await;
    assert_eq!(shown(&bridge).await, "first Lee");
    symlink("second", folder.join("data.new")).unwrap();
    std::fs::rename(folder.join("data.new"), folder.join("data")).unwrap();
    bridge.line("reloaded").await;
    assert_eq!(shown(&bridge).await, "second Lee");
    bridge.stop().await;
}

/// A watched file that is gone or wrong is told once; nothing else is reloaded on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_mapping_that_is_gone_is_told_once() {
    let place = Place::new().await;
    place.settings(WATCH);
    let bridge = place.bridge().await;
    std::fs::remove_file(place.folder.path().join("mapping.yaml")).unwrap();
    bridge.line(REFUSED).await;
    place.settings_with("[{name: other, token: other}]", WATCH);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bridge.metric("ziflow_scim_bridge_reloads_total{result=\"refused\"}").await, "1");
    assert_eq!(part(&bridge).await["state"], "stale");
    assert_eq!(shown(&bridge).await, "One Lee");
    place.mapping("One");
    assert_eq!(bridge.line("reloaded").await["changed"], "nothing");
    assert_eq!(part(&bridge).await["state"], "ok");
    // The tokens were not asked for.
    bridge.get("/Users").await.expect(200);
    place.folder.file_with_mode("mapping.yaml", &mapping("Anybody's"), 0o666);
    bridge.nth_line(REFUSED, 2).await;
    assert_eq!(shown(&bridge).await, "One Lee");
    bridge.stop().await;
}

/// A reload that was refused as a whole is tried again when the watched mapping becomes good.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_mapping_makes_a_refused_reload_good() {
    let place = Place::new().await;
    place.settings(WATCH);
    let bridge = place.bridge().await;
    place.folder.file("mapping.yaml", "user: {}\n");
    place.settings_with(
        &format!("[{{name: test, token: {TOKEN}}}, {{name: other, token: other-token}}]"),
        WATCH,
    );
    bridge.hang_up();
    bridge.line(REFUSED).await;
    assert_eq!(part(&bridge).await["state"], "stale");
    place.mapping("Two");
    let changed = bridge.line("reloaded").await;
    assert!(changed["changed"].as_str().unwrap().contains("tokens added: other"), "{changed}");
    assert_eq!(part(&bridge).await["state"], "ok");
    bridge.stop().await;
}

/// A mapping may rely on the policy beside it, which a running bridge cannot take over.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_not_taken_over_without_the_policy_beside_it() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    place.mapping("Two");
    place.settings("policy:\n  dry_run: true\n");
    bridge.hang_up();
    bridge.line(REFUSED).await;
    assert_eq!(shown(&bridge).await, "One Lee");
    let part = part(&bridge).await;
    assert!(part["detail"].as_str().unwrap().contains("policy.dry_run"), "{part}");
    bridge.stop().await;
}

/// Without `mapping.watch` an edit waits until it is asked for, and `watch` can be switched on by a reload.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_watched_unless_it_was_asked_for() {
    let place = Place::new().await;
    let bridge = place.bridge().await;
    place.mapping("Two");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(shown(&bridge).await, "One Lee");
    place.settings(WATCH);
    assert!(reload(&bridge, 1).await.starts_with("mapping ("));
    place.mapping("Three");
    bridge.nth_line("reloaded", 2).await;
    assert_eq!(shown(&bridge).await, "Three Lee");
    bridge.stop().await;
}
