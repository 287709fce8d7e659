//! Secrets and personal data: what is shown nowhere, whatever happens.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use ziflow_scim_bridge::cli::crash;
use ziflow_scim_bridge::simulator::Simulator;

use crate::harness::{Answer, Bridge, Folder, TOKEN, command, encoded, person, ziflow};

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

/// What somebody chose, and nobody else may ever see.
const PASSWORD: &str = "Pa55word+of/Jo";

/// A token of another client, and one that is wrong.
const OTHER_TOKEN: &str = "another-secret-token";
const WRONG_TOKEN: &str = "guessed-wrong-token";

const KEY: &str = "k3y+of/the=admin-account";

/// What is told about somebody, in requests and by Ziflow.
const PERSONAL: [&str; 9] = [
    "jo.lee@",
    "Joanna",
    "Leeworth",
    "ann.ode@",
    "Annabel",
    "Odeworth",
    "Chief Whisperer",
    "ext-4711",
    "+44 20 7946",
];

/// Everything that came out, each with where it did.
#[derive(Default)]
struct Out(Vec<(String, String)>);

impl Out {
    fn add(&mut self, place: &str, text: &str) {
        self.0.push((place.to_owned(), text.to_owned()));
    }

    fn answer(&mut self, place: &str, answer: &Answer) {
        self.add(place, &format!("{answer:?}"));
    }

    fn lacks(&self, needles: &[String]) {
        for (place, text) in &self.0 {
            for needle in needles {
                assert!(!text.contains(needle), "`{needle}` at {place}: {text}");
            }
        }
    }
}

/// A secret as it is, in a URL, in base64, and inside a JSON text.
fn forms(secret: &str) -> Vec<String> {
    let mut forms =
        vec![secret.to_owned(), encoded(secret), base64(secret.as_bytes()), secret.replace('/', "\\/")];
    forms.dedup();
    forms
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    // Whole groups only: what follows depends on what stands behind.
    for group in bytes.chunks_exact(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(char::from(LETTERS[bits >> shift & 63]));
        }
    }
    text
}

#[test]
fn a_form_is_what_others_would_write() {
    assert_eq!(base64(b"Many hands"), "TWFueSBoYW5k");
    assert_eq!(encoded("a/b"), "a%2Fb");
}

fn whole_person() -> Value {
    let mut jo = person("jo.lee@example.com");
    jo["name"] = json!({"givenName": "Joanna", "familyName": "Leeworth"});
    jo["title"] = json!("Chief Whisperer");
    jo["externalId"] = json!("ext-4711");
    jo["password"] = json!(PASSWORD);
    jo["phoneNumbers"] = json!([{"type": "work", "value": "+44 20 7946 0000"}]);
    jo
}

/// Ways to say a password, in any letter case.
fn with_password() -> Vec<Value> {
    let user = "urn:ietf:params:scim:schemas:core:2.0:User";
    vec![
        json!([{"op": "replace", "path": "password", "value": PASSWORD}]),
        json!([{"op": "Add", "path": "PassWord", "value": PASSWORD}]),
        json!([{"op": "Replace", "path": format!("{user}:PASSWORD"), "value": PASSWORD}]),
        json!([{"op": "add", "value": {"pAssword": PASSWORD, "title": "Chief Whisperer"}}]),
        json!([{"op": "add", "value": {format!("{user}:password"): PASSWORD}}]),
        json!([{"op": "replace", "path": "password", "value": [{"value": PASSWORD}]}]),
        json!([{"op": "remove", "path": format!("password[value eq \"{PASSWORD}\"]")}]),
    ]
}

/// Everything that a client can ask for, right and wrong.
async fn drive(bridge: &Bridge, ziflow: Option<&Simulator>, out: &mut Out) {
    let mut jo = whole_person();
    let created = bridge.create(jo.clone()).await;
    let id = if created.status == 201 { created.id() } else { "nobody".to_owned() };
    out.answer("POST /Users", &created);
    jo["PassWord"] = jo["password"].take();
    jo.as_object_mut().unwrap().remove("password");
    out.answer("PUT /Users", &bridge.replace(&id, jo.clone()).await);
    for operations in with_password() {
        out.answer("PATCH /Users", &bridge.patch(&id, operations).await);
    }
    let user = format!("/Users/{}", encoded(&id));
    let operations = with_password()
        .into_iter()
        .map(|operations| json!({"method": "PATCH", "path": user, "data": {"Operations": operations}}));
    let mut ann = whole_person();
    ann["userName"] = json!("ann.ode@example.com");
    ann["PASSWORD"] = json!(PASSWORD);
    let creates =
        [ann, jo].map(|data| json!({"method": "POST", "path": "/Users", "bulkId": "x", "data": data}));
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": creates.into_iter().chain(operations).collect::<Vec<_>>(),
    });
    let group = json!({"displayName": "Annabel's team", "externalId": "ext-4711", "members": [{"value": "jo.lee@example.com"}]});
    for (request, body) in [
        ("POST /Bulk", Some(bulk)),
        ("POST /Groups", Some(group)),
        ("POST /Groups", Some(json!({"displayName": "Annabel's team"}))),
        ("POST /Users", Some(json!({"userName": "jo.lee@example.com", "password": {"value": PASSWORD}}))),
        ("POST /Users", Some(json!({"userName": 7, "password": PASSWORD, "jo.lee@example.com": "Joanna"}))),
        ("POST /Users", Some(json!([PASSWORD, "Joanna"]))),
        ("POST /Users/.search", Some(json!({"filter": format!("password eq \"{PASSWORD}\"")}))),
        (
            "POST /.search",
            Some(json!({"filter": "userName eq \"jo.lee@example.com\"", "attributes": ["password"]})),
        ),
        ("GET /Users", None),
        ("GET /Users?attributes=password,userName", None),
        ("GET /Users?sortBy=password", None),
        ("GET /Users?filter=name.familyName%20eq%20%22Leeworth%22%20and%20(", None),
        ("GET /Users/jo.lee%40example.com", None),
        ("DELETE /Users/Joanna%20Leeworth", None),
        ("GET /Joanna/Leeworth", None),
        ("PROPFIND /Users/Joanna", None),
        ("PUT /Users", Some(json!({}))),
        ("GET /ServiceProviderConfig", None),
        ("GET /Schemas", None),
        ("GET /ResourceTypes", None),
        (&format!("GET {user}?attributes=password"), None),
        (&format!("DELETE {user}"), None),
    ] {
        out.answer(request, &bridge.ask(request, body).await);
    }
    for token in [None, Some(WRONG_TOKEN), Some(OTHER_TOKEN)] {
        let whom = format!("{user}?access_token={WRONG_TOKEN}");
        out.answer("a token", &bridge.ask_as(token, &format!("GET {whom}"), None).await);
        out.answer("a token", &bridge.ask_as(token, "POST /Users", Some(whole_person())).await);
    }
    for page in ["/readyz", "/healthz", "/metrics", "/Joanna"] {
        out.add(page, &bridge.admin_text(page).await);
    }
    if let Some(ziflow) = ziflow {
        // Of the writes, which carry no password and no key of other people, and nothing of it is stored in Ziflow.
        out.add("calls of Ziflow", &format!("{:?}", ziflow.calls()));
    }
}

/// A Ziflow that shows in its errors whatever it was sent, and more.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let answers = [
            "400 Bad Request",
            "500 Oops",
            "409 Conflict",
            "401 Unauthorized",
            "403 No",
            "404 None",
            "422 No",
            "429 Slow",
        ];
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 16_384];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let others = json!({"id": "auth0|1", "email": "ann.ode@example.com", "api_key": "key-of-ann"});
            let (status, body) = if request.starts_with("GET /v1/users?count") {
                ("200 OK", json!({"users": [others]}))
            } else {
                let told = format!("the \"Annabel\" of \"Odeworth\" sent {request}, {others}");
                (answers[number % answers.len()], json!({"message": told, "user": others}))
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _sent = stream.write_all((head + &body).as_bytes());
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_shows_a_secret_and_no_log_names_anybody() {
    let (ziflow, folder) = (ziflow(&[]).await, Folder::new());
    ziflow.change_key(KEY);
    ziflow.add_person(json!({
        "email": "ann.ode@example.com", "first_name": "Annabel", "last_name": "Odeworth", "phone": "+44 20 7946 0001",
    }));
    let others_keys: Vec<_> =
        ziflow.people().iter().filter_map(|person| Some(person["api_key"].as_str()?.to_owned())).collect();
    assert!(!others_keys.is_empty());
    let (mut all, mut quiet, mut seen_with_values) = (Out::default(), Out::default(), String::new());
    let audit = folder.path().join("audit.log").display().to_string();
    let tokens =
        format!("[{{name: test, token: {TOKEN}}}, {{name: looks, token: {OTHER_TOKEN}, read_only: true}}]");
    let mapping =
        folder.file("mapping.yaml", include_str!("../../config/mapping.yaml")).display().to_string();
    for (number, (upstream, personal)) in
        [(ziflow.base_url(), "false"), (echo(), "false"), (ziflow.base_url(), "true")].into_iter().enumerate()
    {
        let store = folder.path().join(format!("store{number}.db"));
        let url = format!("sqlite:{}", store.display());
        let bridge = Bridge::with(
            &ziflow,
            &[
                ("BRIDGE_ZIFLOW__API_KEY", KEY),
                ("BRIDGE_ZIFLOW__BASE_URL", &upstream),
                ("BRIDGE_STORE__URL", &url),
                ("BRIDGE_AUTH__TOKENS", &tokens),
                ("BRIDGE_AUDIT__DESTINATION", &audit),
                ("BRIDGE_MAPPING__FILE", &mapping),
                ("BRIDGE_LOG__LEVEL", "trace"),
                ("BRIDGE_LOG__PERSONAL_DATA", personal),
                ("BRIDGE_RATE_LIMIT__RETRIES", "1"),
                ("BRIDGE_RATE_LIMIT__BREAKER_FAILURES", "0"),
            ],
        )
        .await;
        let simulated = (upstream == ziflow.base_url()).then_some(&ziflow);
        drive(&bridge, simulated, &mut all).await;
        // The status page holds requests with their bodies, and calls with theirs.
        for target in ["/", "/?show=failed", "/?operation=patch-user"] {
            let page = bridge.admin_text(target).await;
            assert!(page.contains("<details"), "{page}");
            if personal == "true" {
                seen_with_values.push_str(&page);
            } else {
                quiet.add(&format!("{target} of the status page"), &page);
            }
            all.add(&format!("{target} of the status page"), &page);
        }
        quiet.add("/readyz", &bridge.admin_text("/readyz").await);
        quiet.add("/metrics", &bridge.admin_text("/metrics").await);
        folder.file("mapping.yaml", "user:\n  email: { value: jo.lee@example.com }\n  Joanna: {}\n");
        bridge.hang_up();
        bridge.line("the reload is refused, and everything stays as it was").await;
        folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
        bridge.hang_up();
        bridge.line("reloaded").await;
        for ending in ["", "-wal"] {
            let file = std::fs::read(format!("{}{ending}", store.display())).unwrap_or_default();
            all.add("the store", &String::from_utf8_lossy(&file));
        }
        let log = bridge.stop().await;
        all.add("the log", &format!("{log:#?}"));
        let is_info =
            |line: &&Value| !["DEBUG", "TRACE"].contains(&line["level"].as_str().unwrap_or_default());
        let is_reload = |line: &&Value| line["key"].as_str().is_some_and(|key| key.starts_with("user"));
        let (info, debug): (Vec<_>, Vec<_>) = log.iter().partition(is_info);
        // The mapping is the operator's own text, and its mistakes are told by the word.
        let info: Vec<_> = info.into_iter().filter(|line| !is_reload(line)).collect();
        quiet.add("the log at info", &format!("{info:#?}"));
        if personal == "true" {
            assert!(PERSONAL.iter().any(|text| format!("{debug:?}").contains(text)), "{debug:#?}");
        } else {
            quiet.add("the log at debug and trace", &format!("{debug:#?}"));
        }
    }
    all.add("the audit log", &std::fs::read_to_string(&audit).unwrap());
    quiet.add("the audit log", &std::fs::read_to_string(&audit).unwrap());
    commands(&ziflow, &folder, &mut all).await;
    let mut secrets: Vec<_> = others_keys.iter().flat_map(|key| forms(key)).collect();
    for secret in [KEY, PASSWORD, TOKEN, OTHER_TOKEN, WRONG_TOKEN, "key-of-ann"] {
        secrets.extend(forms(secret));
    }
    // What is searched holds what came out: people in answers, and the words of a Ziflow that shows everything.
    for told in ["Leeworth", "of 'Odeworth' sent "] {
        assert!(all.0.iter().any(|(_, text)| text.contains(told)), "{told}");
    }
    for told in ["jo.lee@", "Leeworth", "Chief Whisperer", "ext-4711"] {
        assert!(seen_with_values.contains(told), "{told}");
    }
    all.lacks(&secrets);
    quiet.lacks(&PERSONAL.map(str::to_owned));
}

/// What operators run beside the service.
async fn commands(ziflow: &Simulator, folder: &Folder, out: &mut Out) {
    let base_url = ziflow.base_url();
    let tokens = format!("[{{name: test, token: {TOKEN}}}]");
    let store = format!("sqlite:{}", folder.path().join("store0.db").display());
    let request = folder.file("request.json", &whole_person().to_string()).display().to_string();
    let patch = json!({"Operations": with_password()[3]});
    let patch = folder.file(
        "patch.json",
        &format!("PATCH /scim/v2/Users/{{id}}\nAuthorization: Bearer {TOKEN}\n\n{patch}"),
    );
    let patch = patch.display().to_string();
    let user =
        json!({"id": "auth0|7", "email": "jo.lee@example.com", "roles": ["user"], "api_key": "key-of-ann"});
    let user = folder.file("user.json", &user.to_string()).display().to_string();
    let token = folder.file("token", TOKEN).display().to_string();
    for arguments in [
        &["explain", &request][..],
        &["explain", &request, "--format", "json"],
        &["explain", &patch, "--user", &user],
        &["explain", &patch, "--user", &user, "--format", "json"],
        &["check"],
        &["check", "--format", "json"],
        &["doctor"],
        &["doctor", "--token-file", &token, "--format", "json"],
        &["doctor", "--token", WRONG_TOKEN],
        &["brake", "status"],
        &["brake", "release"],
        &["report", "drift"],
    ] {
        let variables = [
            ("BRIDGE_ZIFLOW__API_KEY", KEY),
            ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
            ("BRIDGE_AUTH__TOKENS", &tokens),
            ("BRIDGE_STORE__URL", &store),
            ("BRIDGE_SERVER__LISTEN", "127.0.0.1:9"),
        ];
        let mut command = command(arguments, &variables);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!output.stdout.is_empty(), "{arguments:?} {output:?}");
        out.add(&arguments.join(" "), &String::from_utf8_lossy(&output.stdout));
        out.add(&arguments.join(" "), &String::from_utf8_lossy(&output.stderr));
    }
}
