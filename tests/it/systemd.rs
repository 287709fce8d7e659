//! What systemd and the service say to each other, with the test in systemd's place: the sockets it passes, what it is
//! told, and that it is told to be alive only while that is so. A booted systemd is in .ci/systemd.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use ziflow_scim_bridge::simulator::{Fault, Simulator};

use crate::harness::{Bridge, Folder, TOKEN, command, person, ziflow};

const PATIENCE: Duration = Duration::from_secs(60);

/// The socket at which systemd is told things, and all that it has been told.
struct Told {
    path: String,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Told {
    fn new(folder: &Folder) -> Self {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length) = socket.recv(&mut buffer) {
                kept.lock().unwrap().push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
        });
        Self { path: path.to_str().unwrap().to_owned(), messages }
    }

    fn all(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }

    /// Waits until the messages from the `from`th on hold one that says this; where it stands.
    async fn wait(&self, from: usize, text: &str) -> usize {
        let start = Instant::now();
        loop {
            if let Some(at) = self.all().iter().skip(from).position(|message| message.contains(text)) {
                return from + at;
            }
            assert!(start.elapsed() < PATIENCE, "`{text}` has not been told: {:#?}", self.all());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn settings(ziflow: &Simulator, further: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = vec![
        ("BRIDGE_SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("BRIDGE_ADMIN__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("BRIDGE_AUTH__TOKENS".to_owned(), format!("[{{name: test, token: {TOKEN}}}]")),
        ("BRIDGE_ZIFLOW__BASE_URL".to_owned(), ziflow.base_url()),
        ("BRIDGE_ZIFLOW__API_KEY".to_owned(), ziflow.key().to_owned()),
        ("BRIDGE_STORE__URL".to_owned(), "memory:".to_owned()),
    ];
    all.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

fn serve(variables: &[(String, String)]) -> Command {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    command(&["serve"], &variables)
}

/// As systemd passes a socket, but that it comes where the standard input would be.
fn with_socket(mut command: Command, listener: &TcpListener, name: &str) -> Command {
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    command.envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0"), ("LISTEN_FDNAMES", name)]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_the_start_of_reloads_and_of_the_end() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let told = Told::new(&folder);
    let mapping = folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    let variables = settings(
        &ziflow,
        &[("NOTIFY_SOCKET", &told.path), ("BRIDGE_MAPPING__FILE", mapping.to_str().unwrap())],
    );
    let mut bridge = Bridge::spawn(&mut serve(&variables)).await;
    let ready = told.wait(0, "READY=1\n").await;
    assert_eq!(ready, 0, "{:#?}", told.all());
    let first = told.all()[ready].clone();
    assert!(first.contains(&format!(
        "STATUS=serving Entra at {}; mapping {}",
        bridge.url,
        mapping.display()
    )));

    // A reload that is refused ends like any other, and the line says so.
    folder.file("mapping.yaml", "user: {}\n");
    bridge.hang_up();
    let reloading = told.wait(ready + 1, "RELOADING=1\n").await;
    assert!(told.all()[reloading].contains("MONOTONIC_USEC="), "{:#?}", told.all());
    let again = told.wait(reloading, "READY=1\n").await;
    let line = told.all()[again].clone();
    assert!(line.contains("STATUS=serving Entra at") && line.contains("was refused: "), "{line}");
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    bridge.hang_up();
    let again = told.wait(again + 1, "READY=1\n").await;
    assert!(!told.all()[again].contains("refused"), "{:#?}", told.all());

    // Trouble that comes later reaches the line by itself.
    ziflow.inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).forever());
    bridge.get("/Users/nobody").await;
    let trouble = told.wait(again, "STATUS=cannot serve Entra at").await;
    assert!(told.all()[trouble].contains("; upstream: "), "{:#?}", told.all());

    bridge.terminate();
    told.wait(trouble, "STOPPING=1\n").await;
    assert!(bridge.ended().await.success());
    let text = told.all().concat();
    assert!(!text.contains("WATCHDOG"), "nobody has asked for it: {text}");
    assert!(!text.contains(TOKEN) && !text.contains(ziflow.key()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_to_be_alive_also_while_ziflow_is_not() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let told = Told::new(&folder);
    let variables = settings(&ziflow, &[("NOTIFY_SOCKET", &told.path), ("WATCHDOG_USEC", "6000000")]);
    let bridge = Bridge::spawn(&mut serve(&variables)).await;
    told.wait(0, "WATCHDOG=1\n").await;
    ziflow.inject(Fault::hang().forever());
    let (answer, ()) = tokio::join!(bridge.create(person("jo@example.com")), async {
        let mut seen = told.all().len();
        for _ in 0..3 {
            seen = told.wait(seen, "WATCHDOG=1\n").await + 1;
        }
    });
    assert!(answer.status >= 500, "{answer:?}");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_no_life() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let told = Told::new(&folder);
    let file = folder.path().join("store.db");
    let store = format!("sqlite:{}", file.display());
    let variables = settings(
        &ziflow,
        &[("NOTIFY_SOCKET", &told.path), ("WATCHDOG_USEC", "6000000"), ("BRIDGE_STORE__URL", &store)],
    );
    let bridge = Bridge::spawn(&mut serve(&variables)).await;
    told.wait(0, "WATCHDOG=1\n").await;
    // Whoever writes waits for this lock, and everybody else for them.
    let holder = rusqlite::Connection::open(&file).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (answer, line) = tokio::join!(bridge.create(person("jo@example.com")), async {
        bridge.line("the store has not answered within 1 s; if that lasts, systemd restarts the service (WatchdogSec=)").await
    });
    assert_eq!(line["level"], "ERROR");
    assert!(answer.status >= 500, "{answer:?}");
    holder.execute_batch("ROLLBACK").unwrap();
    let seen = told.all().len();
    told.wait(seen, "WATCHDOG=1\n").await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_connected_to_the_passed_socket_is_answered_by_the_next_process() {
    let ziflow = ziflow(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let variables = settings(&ziflow, &[("BRIDGE_SERVER__LISTEN", "systemd")]);
    let start = || with_socket(serve(&variables), &listener, "ziflow-scim-bridge.socket");
    let bridge = Bridge::spawn(&mut start()).await;
    assert_eq!(bridge.url, format!("http://{address}/scim/v2"));
    bridge.get("/Users").await.expect(200);
    bridge.stop().await;
    // Nobody is there now; the request waits with the socket.
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let asked = http.get(format!("http://{address}/scim/v2/Users")).bearer_auth(TOKEN).send();
    let waiting = tokio::spawn(asked);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let bridge = Bridge::spawn(&mut start()).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_side_takes_the_socket_of_its_name() {
    let ziflow = ziflow(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let variables = settings(&ziflow, &[("BRIDGE_ADMIN__LISTEN", "systemd")]);
    let bridge = Bridge::spawn(&mut with_socket(serve(&variables), &listener, "admin")).await;
    assert_eq!(bridge.admin, format!("http://{}", listener.local_addr().unwrap()));
    bridge.admin("/healthz").await.expect(200);
    bridge.stop().await;
}

/// A socket that does not fit the settings, and exit code 78: another try would change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_do_not_fit_the_settings_stop_the_start() {
    let ziflow = ziflow(&[]).await;
    let local = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let entra = settings(&ziflow, &[("BRIDGE_SERVER__LISTEN", "systemd")]);
    let admin = settings(&ziflow, &[("BRIDGE_ADMIN__LISTEN", "systemd")]);
    for (variables, passed, told) in [
        (&entra, None, "server.listen: systemd has passed no socket"),
        (&entra, Some((&local, "admin")), "server.listen: systemd has passed no socket"),
        (&entra, Some((&open, "x")), "server.listen: `0.0.0.0:"),
        (&admin, None, "admin.listen: systemd has passed no socket with FileDescriptorName=admin"),
        (&admin, Some((&open, "admin")), "admin.listen: `0.0.0.0:"),
    ] {
        let mut command = serve(variables);
        if let Some((listener, name)) = passed {
            command = with_socket(command, listener, name);
        }
        let output = command.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{shown}");
        assert!(shown.contains(told), "`{told}` not in: {shown}");
    }
    // What stands behind it can be told apart from an address.
    let variables = settings(&ziflow, &[("BRIDGE_SERVER__LISTEN", "systemd:8080")]);
    let shown = serve(&variables).output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&shown).contains("and not `systemd`"));
}

/// Whoever connects to a socket that nobody takes waits for ever, so that is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_takes_is_told_of() {
    let ziflow = ziflow(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = serve(&settings(&ziflow, &[]));
    let bridge = Bridge::spawn(&mut with_socket(command, &listener, "x")).await;
    bridge
        .line("systemd has passed a socket, and nobody answers there: `server.listen` does not say `systemd`")
        .await;
    bridge.stop().await;
}

/// Of settings that cannot be used, `systemctl status` says where to look.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_its_reason() {
    let (folder, ziflow) = (Folder::new(), ziflow(&[]).await);
    let told = Told::new(&folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let taken = at.to_string();
    let in_use = format!(
        "STATUS=server.listen: cannot listen on {at}: Address already in use (os error 98); another process has the port, \
         and `sudo ss -ltnp 'sport = :{}'` shows which",
        at.port()
    );
    for (name, value, status) in [
        (
            "BRIDGE_ZIFLOW__API_KEY",
            "",
            "STATUS=the settings cannot be used; `ziflow-scim-bridge check` says why",
        ),
        ("BRIDGE_SERVER__LISTEN", "192.0.2.1:1", "STATUS=server.listen: cannot listen on 192.0.2.1:1"),
        ("BRIDGE_SERVER__LISTEN", &taken, &in_use),
        (
            "BRIDGE_STORE__URL",
            "sqlite:/nowhere/store.db",
            "STATUS=the store cannot be used: /nowhere/store.db",
        ),
    ] {
        let from = told.all().len();
        let variables = settings(
            &ziflow,
            &[
                ("NOTIFY_SOCKET", &told.path),
                ("BRIDGE_SERVER__PLAIN_HTTP_BEHIND_PROXY", "true"),
                (name, value),
            ],
        );
        assert!(!serve(&variables).output().unwrap().status.success());
        told.wait(from, status).await;
    }
}

/// What the package puts into /etc, with the two values that are missing at first.
#[test]
fn the_settings_of_the_package_want_two_values_and_no_more() {
    let folder = Folder::new();
    let settings = include_str!("../../deploy/etc/bridge.yaml");
    let file = folder.file("bridge.yaml", settings);
    folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
    folder.file("ziflow-api-key", "");
    let check = || command(&["check", "--config", file.to_str().unwrap()], &[]).output().unwrap();
    let output = check();
    let shown =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{shown}");
    for told in ["auth.tokens[0].sha256", "ziflow-api-key` is empty", "2 errors"] {
        assert!(shown.contains(told), "`{told}` not in: {shown}");
    }
    folder.file("bridge.yaml", &settings.replace("the sha256 of the token", &"0a".repeat(32)));
    folder.file("ziflow-api-key", "a-key\n");
    assert_eq!(check().status.code(), Some(0), "{}", String::from_utf8_lossy(&check().stdout));
}
