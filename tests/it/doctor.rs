//! `doctor` as an operator uses it: what it finds wrong, what it never shows, and that its probe leaves nobody behind.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{Fault, OWNER_EMAIL, Route, Simulator};

use crate::harness::{Bridge, Folder, TOKEN, command, in_ziflow, ziflow};

const PROBED: &str = "probe@example.com";

/// What a run of the command printed.
struct Ran {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// The check of this name, as its state and everything else.
    #[track_caller]
    fn check(&self, name: &str) -> (String, String) {
        let all = self.json();
        let checks = all["checks"].as_array().unwrap().clone();
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no check {name} in {all:#}"));
        (check["state"].as_str().unwrap().to_owned(), check.to_string())
    }

    #[track_caller]
    fn expect(&self, name: &str, state: &str, told: &str) {
        let (found, text) = self.check(name);
        assert_eq!(found, state, "{text}");
        assert!(text.contains(told), "`{told}` not in {text}");
    }

    fn probe(&self) -> Value {
        self.json()["probe"].clone()
    }

    /// The advised settings without the comments.
    fn settings(&self) -> Vec<String> {
        let probe = self.probe();
        let lines = probe["settings"].as_str().unwrap().lines().map(str::trim);
        lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[track_caller]
    fn finding(&self, about: &str) -> Value {
        let probe = self.probe();
        let findings = probe["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["about"] == about);
        found.unwrap_or_else(|| panic!("nothing about {about} in {probe:#}")).clone()
    }

    #[track_caller]
    fn verdict(&self, about: &str) -> String {
        self.finding(about)["verdict"].as_str().unwrap_or("not found out").to_owned()
    }
}

/// Settings that go fast, before this Ziflow.
fn variables(ziflow: &Simulator) -> Vec<(String, String)> {
    [
        ("BRIDGE_SERVER__LISTEN", unused().to_string()),
        ("BRIDGE_AUTH__TOKENS", format!("[{{name: test, token: {TOKEN}}}]")),
        ("BRIDGE_ZIFLOW__BASE_URL", ziflow.base_url()),
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key().to_owned()),
        ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", OWNER_EMAIL.to_owned()),
        ("BRIDGE_ZIFLOW__TIMEOUT_SECS", "3".to_owned()),
        // Never opened, and never made.
        ("BRIDGE_STORE__URL", format!("sqlite:{}/no-such-store.db", std::env::temp_dir().display())),
        ("BRIDGE_ADMIN__LISTEN", unused().to_string()),
        ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "5".to_owned()),
        ("BRIDGE_RATE_LIMIT__BURST", "1000".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// An address at which nobody listens.
fn unused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs it with these settings and further ones, which win.
async fn run(arguments: &[&str], variables: &[(String, String)], further: &[(&str, &str)]) -> Ran {
    let arguments: Vec<String> =
        ["doctor"].iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
    let mut all = variables.to_vec();
    all.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        command(&arguments, &all).output().unwrap()
    });
    let output = output.await.unwrap();
    Ran {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

async fn doctor(ziflow: &Simulator, further: &[(&str, &str)]) -> Ran {
    run(&["--format", "json"], &variables(ziflow), further).await
}

async fn probe(ziflow: &Simulator, further: &[(&str, &str)]) -> Ran {
    run(&["--probe", PROBED, "--yes", "--format", "json"], &variables(ziflow), further).await
}

/// A server that gives everybody the same answer.
fn parrot(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _request = stream.read(&mut [0; 8192]);
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[track_caller]
fn shows_no_secret(ran: &Ran, ziflow: &Simulator) {
    let all = format!("{}{}", ran.out, ran.err);
    for secret in [ziflow.key(), TOKEN, "simulated-key-of-"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well() {
    let ziflow = ziflow(&[("api_keys", "hidden")]).await;
    let bridge = Bridge::start(&ziflow).await;
    let (place, _) = bridge.url.split_once("/scim").unwrap();
    let listen = place.strip_prefix("http://").unwrap();
    let before = ziflow.total_calls();
    let admin = bridge.admin.strip_prefix("http://").unwrap();
    let here = [
        ("BRIDGE_SERVER__LISTEN", listen),
        ("BRIDGE_SERVER__PUBLIC_URL", place),
        ("BRIDGE_ADMIN__LISTEN", admin),
    ];
    let ran = doctor(&ziflow, &here).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.json()["ok"], true);
    let names = [
        "settings",
        "dns",
        "connection",
        "clock",
        "key",
        "people",
        "key_user",
        "store",
        "bridge",
        "public_url",
        "parts",
    ];
    for name in names {
        ran.expect(name, "ok", "");
    }
    assert_eq!(ran.json()["checks"].as_array().unwrap().len(), names.len());
    // Ours, the bridge's own look-ups not counted: nobody's address is asked for by doctor while the page shows them.
    let calls = ziflow.calls_since(before);
    assert!(calls.iter().all(|call| call.method == "GET"), "{calls:?}");
    assert!(calls.len() <= 6, "{calls:?}");
    shows_no_secret(&ran, &ziflow);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_fits_80_columns_and_hides_every_secret() {
    let ziflow = ziflow(&[]).await;
    let ran = run(&[], &variables(&ziflow), &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.contains("\nwarning  people: "), "{}", ran.out);
    assert!(ran.out.contains("Hide personal API key"), "{}", ran.out);
    let ran_probe = run(&["--probe", PROBED, "--yes"], &variables(&ziflow), &[]).await;
    assert_eq!(ran_probe.code, Some(0), "{}", ran_probe.out);
    for ran in [&ran, &ran_probe] {
        for line in ran.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        shows_no_secret(ran, &ziflow);
    }
    assert!(ran_probe.out.contains("\nThe settings to use:\n"), "{}", ran_probe.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_taken_is_told() {
    for (quirks, status) in [(&[][..], "401"), (&[("bad_key_status", "403")], "403")] {
        let ziflow = ziflow(quirks).await;
        let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__API_KEY", "another-secret-key")]).await;
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        assert_eq!(ran.json()["ok"], false);
        ran.expect("connection", "ok", "");
        ran.expect("key", "failed", status);
        ran.expect("key", "failed", "an active admin");
        ran.expect("people", "skipped", "the key is not known to work");
        ran.expect("key_user", "skipped", "the key is not known to work");
        assert!(!ran.out.contains("another-secret-key"), "{}", ran.out);
    }
    let ziflow = ziflow(&[("rights", "403")]).await;
    doctor(&ziflow, &[]).await.expect("key", "failed", "users are for admins");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_base_url_is_told() {
    let ziflow = ziflow(&[]).await;
    let nobody = format!("http://{}/v1", unused());
    let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__BASE_URL", &nobody)]).await;
    assert_eq!(ran.code, Some(1));
    ran.expect("dns", "ok", "127.0.0.1");
    ran.expect("connection", "failed", "no connection");
    ran.expect("clock", "skipped", "there is no connection");
    ran.expect("key", "skipped", "there is no connection");

    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<h1>Hello</h1";
    let html = format!("http://{}/v1", parrot(html));
    let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__BASE_URL", &html)]).await;
    assert_eq!(ran.code, Some(1));
    ran.expect("connection", "ok", "HTML");
    ran.expect("clock", "skipped", "no Date");
    ran.expect("key", "failed", "is ziflow.base_url right");

    // A server that speaks TLS where plain HTTP is expected, and the other way round, is no connection either.
    let https = format!("https://{}", ziflow.address());
    let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__BASE_URL", &https)]).await;
    ran.expect("connection", "failed", "");

    let nowhere = "https://no-such-host.invalid/v1";
    let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__BASE_URL", nowhere)]).await;
    assert_eq!(ran.code, Some(1));
    ran.expect("dns", "failed", "no-such-host.invalid");
    ran.expect("connection", "skipped", "the name is not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_a_warning() {
    let ziflow = ziflow(&[]).await;
    let old = "HTTP/1.1 404 Not Found\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\
               Connection: close\r\n\r\n";
    let base = format!("http://{}/v1", parrot(old));
    let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__BASE_URL", &base)]).await;
    ran.expect("clock", "warning", " s ahead");
    ran.expect("clock", "warning", "chrony");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_key_has_to_be_an_active_admin() {
    let ziflow = ziflow(&[]).await;
    ziflow.add_person(json!({"email": "user@example.com"}));
    ziflow.add_person(json!({"email": "off@example.com", "active": false, "roles": ["user", "admin"]}));
    ziflow.add_person(json!({"email": "ann@example.com", "roles": ["user", "admin"]}));
    for (email, state, told) in [
        ("Ann@Example.com", "ok", "an active admin"),
        ("user@example.com", "failed", "no admin"),
        ("off@example.com", "failed", "not active"),
        ("nobody@example.com", "failed", "nobody has this address"),
    ] {
        let ran = doctor(&ziflow, &[("BRIDGE_ZIFLOW__KEY_USER_EMAIL", email)]).await;
        ran.expect("key_user", state, told);
    }
    // Beyond the first page they are looked up.
    let few = [("BRIDGE_ZIFLOW__PAGE_SIZE", "1"), ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", "ann@example.com")];
    let ran = doctor(&ziflow, &few).await;
    ran.expect("key_user", "ok", "an active admin");
    ran.expect("people", "warning", "there are more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_bridge_is_asked_as_entra_asks() {
    let ziflow = ziflow(&[]).await;
    // So that a look-up has to ask Ziflow soon.
    let hurry = [("BRIDGE_ZIFLOW__PROOF_TTL_SECS", "1"), ("BRIDGE_RATE_LIMIT__RETRIES", "0")];
    let bridge = Bridge::with(&ziflow, &hurry).await;
    let place = bridge.url.split_once("/scim").unwrap().0.to_owned();
    let listen = place.strip_prefix("http://").unwrap();
    let digest = "{name: a, sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae}";
    let digest_only = [("BRIDGE_SERVER__LISTEN", listen), ("BRIDGE_AUTH__TOKENS", &format!("[{digest}]"))];

    let ran = doctor(&ziflow, &digest_only).await;
    ran.expect("bridge", "skipped", "--token");
    assert_eq!(ran.code, Some(0), "{}", ran.out);

    let with = |token: &'static str| ["--format", "json", "--token", token];
    run(&with(TOKEN), &variables(&ziflow), &digest_only).await.expect("bridge", "ok", "200");
    let ran = run(&with("wrong-secret-token"), &variables(&ziflow), &digest_only).await;
    assert_eq!(ran.code, Some(1));
    ran.expect("bridge", "failed", "401");
    ran.expect("bridge", "failed", "Secret Token");
    assert!(!ran.out.contains("wrong-secret-token"), "{}", ran.out);

    // The settings hold the token themselves, or in a file.
    let folder = Folder::new();
    let file = folder.file("token", &format!("{TOKEN}\n")).display().to_string();
    let in_file = format!("[{digest}, {{name: b, token_file: {file}}}]");
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__LISTEN", listen), ("BRIDGE_AUTH__TOKENS", &in_file)]).await;
    ran.expect("bridge", "ok", "200");

    // The bridge runs and cannot use Ziflow.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ziflow.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).skip(3).forever());
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__LISTEN", listen)]).await;
    ran.expect("bridge", "failed", "503");
    ziflow.clear_faults();

    // The public name leads nowhere.
    let astray = format!("http://{}", unused());
    let further = [("BRIDGE_SERVER__LISTEN", listen), ("BRIDGE_SERVER__PUBLIC_URL", &astray)];
    let ran = doctor(&ziflow, &further).await;
    ran.expect("public_url", "failed", "certificate");
    assert_eq!(ran.code, Some(1));
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_key_is_the_token_where_no_other_is() {
    let ziflow = ziflow(&[]).await;
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_AUTH__TOKENS", "[]")]).await;
    let place = bridge.url.split_once("/scim").unwrap().0.to_owned();
    let listen = place.strip_prefix("http://").unwrap();
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__LISTEN", listen), ("BRIDGE_AUTH__TOKENS", "[]")]).await;
    ran.expect("bridge", "ok", "200");
    shows_no_secret(&ran, &ziflow);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_in_otherwise_is_told_what_fits() {
    let ziflow = ziflow(&[]).await;
    let digest = "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4"; // of 1234
    let client = format!("[{{id: entra-client, secrets: [{digest}]}}]");
    let auth = [
        ("BRIDGE_AUTH__TOKENS", "[]"),
        ("BRIDGE_AUTH__CLIENTS", client.as_str()),
        ("BRIDGE_AUTH__SIGNING_KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    ];
    let bridge = Bridge::with(&ziflow, &auth).await;
    let (place, _) = bridge.url.split_once("/scim").unwrap();
    let listen = ("BRIDGE_SERVER__LISTEN", place.strip_prefix("http://").unwrap());
    let here = [auth.as_slice(), &[listen]].concat();
    let ran = doctor(&ziflow, &here).await;
    ran.expect("bridge", "skipped", "the client's secret");
    for (secret, state, told) in [("1234", "ok", "HTTP 200"), ("12345", "failed", "HTTP 401")] {
        let ran = run(&["--format", "json", "--token", secret], &variables(&ziflow), &here).await;
        ran.expect("bridge", state, told);
    }
    let federated = "[{id: entra, issuer: 'https://example.com', audience: a, subject: s, jwks_url: 'https://example.com/k'}]";
    let ran = doctor(&ziflow, &[auth[0], ("BRIDGE_AUTH__CLIENTS", federated), auth[2]]).await;
    ran.expect("bridge", "skipped", "only Entra can make the tokens");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_is_told_so() {
    let ziflow = ziflow(&[]).await;
    let networks = ("BRIDGE_SERVER__ALLOW_NETWORKS", "[192.0.2.0/24]");
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = closing.local_addr().unwrap().to_string();
    std::thread::spawn(move || closing.incoming().for_each(drop));
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__LISTEN", &listen), networks]).await;
    ran.expect("bridge", "failed", "server.allow_networks does not let this machine in");
    ran.expect("settings", "warning", "nobody is let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_does_not_run_is_no_failure_and_somebody_else_is() {
    let ziflow = ziflow(&[]).await;
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__PUBLIC_URL", "https://scim.example.com")]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    ran.expect("bridge", "skipped", "the bridge is not running");
    ran.expect("public_url", "skipped", "the bridge is not running");

    let other = ziflow.address().to_string();
    let ran = doctor(&ziflow, &[("BRIDGE_SERVER__LISTEN", &other)]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    ran.expect("bridge", "failed", "is it the bridge that listens there?");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_end_it_with_78() {
    let ziflow = ziflow(&[]).await;
    let wrong = [("BRIDGE_SERVER__PROT", "1")];
    let ran = doctor(&ziflow, &wrong).await;
    assert_eq!(ran.code, Some(78));
    ran.expect("settings", "failed", "unknown variable `BRIDGE_SERVER__PROT`");
    ran.expect("key", "skipped", "the settings cannot be used");
    let ran = run(&[], &variables(&ziflow), &wrong).await;
    assert_eq!(ran.code, Some(78));
    assert!(ran.out.contains("unknown variable") && ran.out.contains("failed   settings"), "{}", ran.out);
    assert_eq!(ziflow.total_calls(), 0);
    let ran = doctor(&ziflow, &[("BRIDGE_STORE__URL", "memory:"), ("BRIDGE_POLICY__DRY_RUN", "true")]).await;
    ran.expect("settings", "ok", "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_has_to_be_asked_for_in_full() {
    let ziflow = ziflow(&[]).await;
    for arguments in [
        &["--probe", PROBED][..],
        &["--yes"],
        &["--probe"],
        &["--probe", "nobody", "--yes"],
        &["--probe", "a b@example.com", "--yes"],
    ] {
        let ran = run(arguments, &variables(&ziflow), &[]).await;
        assert_eq!(ran.code, Some(64), "{arguments:?}: {}{}", ran.out, ran.err);
    }
    assert_eq!(ziflow.total_calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_an_account_that_behaves_leaves_nothing_to_set() {
    let ziflow = ziflow(&[]).await;
    let before = ziflow.people();
    let ran = probe(&ziflow, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!((ran.probe()["state"].as_str(), ran.settings()), (Some("complete"), Vec::new()));
    assert_eq!(ziflow.people(), before, "nobody is left, and nobody else is changed");
    let findings = ran.probe()["findings"].clone();
    assert!(
        findings.as_array().unwrap().iter().all(|finding| finding["verdict"].is_string()),
        "{findings:#}"
    );
    assert!(ran.probe()["left"].to_string().contains("invitation"));
    assert!(ran.probe()["left"].to_string().contains("invented group"));
    shows_no_secret(&ran, &ziflow);

    // The order of the facts: a bad key and an unknown address before anything is written.
    let calls = ziflow.calls();
    let first_write = calls.iter().position(|call| call.method != "GET").unwrap();
    let unknown = calls.iter().position(|call| call.path.contains("probe%40example.com")).unwrap();
    assert!(
        calls.iter().position(|call| call.status == Some(401)).unwrap() < unknown && unknown < first_write
    );
    let writes: Vec<_> = calls.iter().filter(|call| call.method != "GET").collect();
    let shown: Vec<_> = writes.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(shown, ["POST", "POST", "PUT", "PUT", "PUT", "PUT", "PUT", "PUT", "POST", "DELETE"]);
    assert_eq!(writes[6].body, json!({"group": []}));
    assert_eq!(writes[7].body, json!({"active": false}));
    let owner = in_ziflow(&ziflow, OWNER_EMAIL)["id"].as_str().unwrap().replace('|', "%7C");
    assert_eq!(writes.last().unwrap().query, format!("newOwner={owner}"));
}

/// Quirks, the settings that are advised, and the verdict about something.
type Case = (&'static [(&'static str, &'static str)], Vec<String>, &'static str, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn what_the_account_does_becomes_settings() {
    let read_back = |delay: &str, tries: &str| {
        vec![
            "ziflow:".to_owned(),
            format!("read_back_delay_ms: {delay}"),
            format!("read_back_tries: {tries}"),
        ]
    };
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let cases: Vec<Case> = vec![
        (
            &[("put", "replace")],
            lines(&["ziflow:", "update: full_object"]),
            "an update (PUT) of one field",
            "replaces the person: what is not sent is lost",
        ),
        (
            &[("put_arrays", "add")],
            Vec::new(),
            "roles in an update",
            "are added: a role that is not sent stays",
        ),
        (
            &[("inactive", "contacts_only")],
            lines(&["ziflow:", "inactive_fallback: true"]),
            "a deactivated person",
            "is found among the contacts only",
        ),
        (
            &[("write_body", "empty")],
            read_back("500", "3"),
            "the answer to a write",
            "does not show the person, so each write costs a read more",
        ),
        (
            &[("write_body", "id_only")],
            read_back("500", "3"),
            "the answer to a write",
            "shows the id alone, so each write costs a read more",
        ),
        (&[("consistency", "300_ms")], read_back("500", "3"), "a delete", "works"),
        (
            &[("consistency", "1500_ms")],
            read_back("900", "4"),
            "roles in an update",
            "take the place of the old ones",
        ),
        (&[("group_strings", "known_only")], Vec::new(), "a group that does not exist", "is refused"),
        (&[("group_strings", "ids")], Vec::new(), "a group that does not exist", "is refused"),
        (&[("delete_status", "202")], Vec::new(), "a delete", "works"),
        (&[("delete_status", "204"), ("update_status", "204")], read_back("500", "3"), "a delete", "works"),
        (
            &[("rate_limit", "20")],
            lines(&["rate_limit:", "requests_per_second: 5", "burst: 10"]),
            "many calls at once",
            "are answered 429 after 20",
        ),
        (
            &[("unknown_status", "400")],
            Vec::new(),
            "an address that nobody has",
            "is answered 400, which the bridge understands",
        ),
        (
            &[("unknown_status", "200_empty")],
            Vec::new(),
            "an address that nobody has",
            "is answered 200, which the bridge understands",
        ),
        (
            &[("duplicate_status", "422")],
            Vec::new(),
            "the same address again",
            "is refused with 422, which the bridge understands",
        ),
        (
            &[
                ("empty_fields", "left_out"),
                ("roles_case", "role_prefix"),
                ("ids", "nasty"),
                ("texts", "trimmed"),
            ],
            Vec::new(),
            "roles in an update",
            "take the place of the old ones",
        ),
        (
            &[("has_more", "missing"), ("order", "shuffled"), ("error_body", "empty")],
            Vec::new(),
            "a delete",
            "works",
        ),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (quirks, settings, about, verdict) in cases {
        running.spawn(async move {
            let ziflow = ziflow(quirks).await;
            let before = ziflow.people();
            // The burst alone is to meet the limit: before it, calls leave at the default pace.
            let ran = probe(&ziflow, &[("BRIDGE_RATE_LIMIT__BURST", "10")]).await;
            assert_eq!(ran.code, Some(0), "{quirks:?}: {}", ran.out);
            assert_eq!(ran.verdict(about), verdict, "{quirks:?}: {:#}", ran.probe());
            assert_eq!(ran.settings(), settings, "{quirks:?}: {:#}", ran.probe());
            assert_eq!(ziflow.people(), before, "{quirks:?}");
            if quirks.iter().any(|(quirk, _)| *quirk == "consistency") {
                let delays = ran.finding("until reads show a write")["evidence"].to_string();
                assert!(!delays.contains(" 0 ms"), "{delays}");
            }
            // The burst ends with the first refusal and those on their way with it.
            let refused = ziflow.calls().iter().filter(|call| call.status == Some(429)).count();
            assert!(refused <= 5, "{quirks:?}: {refused} were refused");
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_limit_slows_the_probe_down_and_is_advised() {
    let ziflow = ziflow(&[("rate_limit", "3")]).await;
    let before = ziflow.people();
    let ran = probe(&ziflow, &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.settings(), ["rate_limit:", "requests_per_second: 1", "burst: 1"], "{:#}", ran.probe());
    assert_eq!(ziflow.people(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_is_there_already_is_touched() {
    for person in [
        json!({"email": PROBED, "first_name": "Jo"}),
        json!({"email": PROBED, "active": false}),
        json!({"email": PROBED, "guest": true}),
    ] {
        for inactive in ["listed", "contacts_only"] {
            let ziflow = ziflow(&[("inactive", inactive)]).await;
            ziflow.add_person(person.clone());
            let before = ziflow.people();
            let ran = probe(&ziflow, &[]).await;
            assert_eq!(ran.code, Some(1), "{person}: {}", ran.out);
            assert_eq!(ran.probe()["state"], "refused", "{person}: {}", ran.out);
            assert_eq!(ziflow.people(), before, "{person}");
            assert!(ziflow.calls().iter().all(|call| call.method == "GET"), "{person}");
        }
    }
}

/// Whoever takes the address in the last moment is not the probe's, though its own create may seem to have made them.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_comes_in_between_is_not_touched() {
    let ziflow = ziflow(&[]).await;
    let create = Fault::slow(Duration::from_millis(1)).method(Method::POST);
    ziflow.inject(create);
    ziflow.inject(Fault::hang_for(Duration::from_millis(1500)).method(Method::GET).route(Route::Contact));
    let (ran, ()) = tokio::join!(probe(&ziflow, &[]), async {
        let start = Instant::now();
        while !ziflow.calls().iter().any(|call| call.route == "/contacts/{id}") {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", ziflow.calls());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // `/contacts` has been asked and is answered late; `/users` said nobody.
        ziflow.set("duplicate_status", "409").unwrap();
        ziflow
            .inject(Fault::status(StatusCode::NOT_FOUND).method(Method::GET).route(Route::Contact).forever());
        ziflow.add_person(json!({"email": PROBED, "last_name": "Lee"}));
    });
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert_eq!(ran.probe()["state"], "stopped", "{}", ran.out);
    let person = in_ziflow(&ziflow, PROBED);
    assert_eq!((person["active"].as_bool(), person["last_name"].as_str()), (Some(true), Some("Lee")));
    let writes: Vec<_> = ziflow.calls().into_iter().filter(|call| call.method != "GET").collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_cleaned_up() {
    for fault in [
        Fault::apply_then_drop(),
        Fault::apply_then_hang(),
        Fault::apply_then_status(StatusCode::BAD_GATEWAY),
        Fault::truncate(),
        Fault::wrong_types(),
    ] {
        let ziflow = ziflow(&[]).await;
        let before = ziflow.people();
        ziflow.inject(fault.clone().method(Method::POST));
        let ran = probe(&ziflow, &[]).await;
        assert_eq!(ziflow.people(), before, "{fault:?}: {}", ran.out);
        shows_no_secret(&ran, &ziflow);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_half_way_leaves_nobody_behind() {
    for (method, skip) in [(Method::POST, 1), (Method::PUT, 0), (Method::PUT, 3), (Method::DELETE, 0)] {
        let ziflow = ziflow(&[]).await;
        let before = ziflow.people();
        let fault = Fault::status(StatusCode::INTERNAL_SERVER_ERROR).method(method.clone()).skip(skip);
        ziflow.inject(fault);
        let ran = probe(&ziflow, &[]).await;
        assert_eq!(ran.code, Some(1), "{method} {skip}: {}", ran.out);
        assert_eq!(ran.probe()["state"], "stopped", "{}", ran.out);
        assert_eq!(ziflow.people(), before, "{method} {skip}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_deleted_is_deactivated_and_named() {
    let ziflow = ziflow(&[]).await;
    ziflow.inject(Fault::status(StatusCode::FORBIDDEN).method(Method::DELETE).forever());
    ziflow.inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).method(Method::PUT).skip(1));
    let ran = probe(&ziflow, &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert_eq!(in_ziflow(&ziflow, PROBED)["active"], false, "{}", ran.out);
    let left = ran.probe()["left"].to_string();
    assert!(left.contains("is deactivated") && left.contains(PROBED), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_not_begun_when_the_checks_fail() {
    let ziflow = ziflow(&[]).await;
    ziflow.inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).forever());
    let ran = probe(&ziflow, &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert_eq!(ran.probe()["state"], "not_begun", "{}", ran.out);
    assert!(ziflow.calls().iter().all(|call| call.method == "GET"));
}

/// From one moment on, nothing is answered any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_ends_when_every_call_fails() {
    let ziflow = ziflow(&[]).await;
    ziflow.inject(Fault::status(StatusCode::BAD_GATEWAY).skip(7).forever());
    let ran = probe(&ziflow, &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert_eq!(ran.probe()["state"], "stopped", "{}", ran.out);
    let left = ran.probe()["left"].to_string();
    assert!(left.contains(PROBED) && left.contains("by hand"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_is_interrupted_leaves_nobody_behind() {
    let cases = [
        ("TERM", Method::POST, 0, Duration::from_millis(1500)),
        ("INT", Method::POST, 0, Duration::from_secs(60)),
        ("INT", Method::PUT, 1, Duration::from_millis(1500)),
        ("HUP", Method::PUT, 4, Duration::from_millis(500)),
        ("TERM", Method::DELETE, 0, Duration::from_secs(60)),
    ];
    for (signal, method, skip, late) in cases {
        let ziflow = ziflow(&[]).await;
        let before = ziflow.people();
        ziflow.inject(Fault::slow(late).method(method.clone()).skip(skip));
        let all = variables(&ziflow);
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let arguments = ["doctor", "--probe", PROBED, "--yes", "--format", "json"];
        let child = command(&arguments, &all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        let wanted = usize::try_from(skip).unwrap() + 1;
        while ziflow.calls().iter().filter(|call| call.method == method.as_str()).count() < wanted {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", ziflow.calls());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sent = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal} {method}: {out}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["probe"]["state"], "stopped", "{out}");
        assert_eq!(ziflow.people(), before, "{signal} {method}: {out}");
    }
}
