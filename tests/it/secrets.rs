//! Secrets and personal data: what is shown nowhere, whatever happens.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use ziflow_scim_bridge::cli::crash;

use crate::harness::{Bridge, Folder, TOKEN, command, person, ziflow};

/// Set for the process in which a panic is made on purpose.
const ON_PURPOSE: &str = "PANIC_ON_PURPOSE";

/// No test of its own: `a_panic_tells_its_place_and_not_its_words` runs it in another process.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is no setting of the product")]
fn panic_on_purpose() {
    if let Some(words) = std::env::var_os(ON_PURPOSE) {
        crash::leave_nothing_behind().unwrap();
        panic!("{}", words.display());
    }
}

#[test]
fn a_panic_tells_its_place_and_not_its_words() {
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "secrets::panic_on_purpose", "--nocapture"]);
    let output = test.env(ON_PURPOSE, "s3cret-words").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && shown.contains("tests/it/secrets.rs:"), "{shown}");
    assert!(!shown.contains("s3cret-words"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_no_core_dump() {
    let ziflow = ziflow(&[]).await;
    let mut bridge = Bridge::start(&ziflow).await;
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", bridge.pid())).unwrap();
    let limits = read("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let sent = Command::new("kill").args(["-ABRT", &bridge.pid().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = bridge.ended().await;
    // "(core dumped)" would stand behind the signal.
    assert!(ended.to_string().starts_with("signal: 6 (SIGABRT)") && !ended.to_string().contains("dumped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_for_the_service_alone() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    let path = folder.path().join("store.db");
    let store = format!("sqlite:{}", path.display());
    let mut serve = Command::new("sh");
    serve.args(["-c", "umask 0 && exec \"$0\" serve", env!("CARGO_BIN_EXE_ziflow-scim-bridge")]);
    let bridge = Bridge::with_command(&ziflow, serve, &[("BRIDGE_STORE__URL", &store)]).await;
    bridge.create(person("jo@example.com")).await.expect(201);
    for ending in ["", "-wal", "-shm"] {
        let file = format!("{}{ending}", path.display());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file} {mode:o}");
    }
    bridge.stop().await;

    let variables = [("BRIDGE_ZIFLOW__API_KEY", ziflow.key()), ("BRIDGE_STORE__URL", &store)];
    for (mode, told, code) in [
        (0o600, None, 0),
        (0o640, Some("warning: a group of users"), 0),
        (0o644, Some("warning: everybody on this machine can read the store"), 0),
        (0o666, Some("error: everybody on this machine can change the store"), 78),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = command(&["check"], &variables).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{mode:o}: {shown}");
        assert_eq!(shown.contains(&format!("chmod 600 {}", path.display())), told.is_some(), "{shown}");
        assert!(told.is_none_or(|told| shown.contains(told)), "{shown}");
    }
    // And `serve` says what `check` says.
    let output = command(&["serve"], &variables).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let bridge = Bridge::with(&ziflow, &[("BRIDGE_STORE__URL", &store)]).await;
    let log = bridge.stop().await;
    let line = log.iter().find(|line| line["key"] == "BRIDGE_STORE__URL").unwrap();
    assert_eq!(line["hint"], format!("chmod 600 {}", path.display()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_takes_the_token_where_nobody_else_sees_it() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    let bridge = Bridge::start(&ziflow).await;
    let listen = bridge.url.trim_start_matches("http://").trim_end_matches("/scim/v2").to_owned();
    let base_url = ziflow.base_url();
    let variables = [
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
        ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
        ("BRIDGE_SERVER__LISTEN", &listen),
        ("BRIDGE_AUTH__TOKENS", "[{name: x, token: another-token}]"),
    ];
    let file = folder.file("token", &format!("{TOKEN}\n")).display().to_string();
    let doctor = |arguments: &[&str], input: &str| {
        let arguments = [&["doctor", "--format", "json"], arguments].concat();
        let mut doctor = command(&arguments, &variables);
        doctor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut doctor = doctor.spawn().unwrap();
        doctor.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        doctor.wait_with_output().unwrap()
    };
    for (arguments, input) in [
        (&["--token-file", file.as_str()][..], ""),
        (&["--token-file", "-"], TOKEN),
        (&["--token", TOKEN], ""),
    ] {
        let output = doctor(arguments, input);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let check = told["checks"].as_array().unwrap().iter().find(|check| check["name"] == "bridge");
        assert_eq!(check.unwrap()["state"], "ok", "{told}");
        assert!(!told.to_string().contains(TOKEN), "{told}");
    }
    for (arguments, input) in [
        (&["--token-file", "-"][..], " \n"),
        (&["--token-file", "/nowhere"], ""),
        (&["--token-file", "-", "--token", TOKEN], ""),
    ] {
        assert_eq!(doctor(arguments, input).status.code(), Some(64), "{arguments:?}");
    }
    bridge.stop().await;
}
