//! A running bridge with a simulated Ziflow behind it, and somebody who speaks to it as Entra does.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ziflow_scim_bridge::simulator::{self, Simulator};

pub const TOKEN: &str = "entra-secret-token";

/// How long anything that must happen may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own that goes away with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ziflow-scim-bridge-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.file_with_mode(name, text, 0o600)
    }

    pub fn file_with_mode(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A simulated Ziflow with these quirks.
pub async fn ziflow(quirks: &[(&str, &str)]) -> Simulator {
    let quirks = quirks.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = simulator::Settings { quirks, ..simulator::Settings::default() };
    simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

/// Waits until Ziflow has got so many calls by this method.
pub async fn gets(ziflow: &Simulator, method: &str, number: usize) {
    let start = Instant::now();
    while ziflow.calls().iter().filter(|call| call.method == method).count() < number {
        assert!(start.elapsed() < PATIENCE, "no {number} {method}: {:?}", ziflow.calls());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client that asks, and goes away without an answer when this has happened.
pub async fn give_up<T: std::fmt::Debug>(request: impl Future<Output = T>, when: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = when => {}
        answer = request => panic!("it was answered: {answer:?}"),
    }
}

/// The binary, with no environment but what is given.
pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ziflow-scim-bridge"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    command
}

/// A running bridge. It is killed when the test forgets to stop it, and then the test fails.
pub struct Bridge {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    pub url: String,
    pub admin: String,
    http: reqwest::Client,
    stopped: bool,
}

/// An answer of the bridge.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {self:?}"))
    }

    pub fn id(&self) -> String {
        self.text("/id").to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Bridge {
    /// A bridge before this Ziflow, its store in memory.
    pub async fn start(ziflow: &Simulator) -> Self {
        Self::with(ziflow, &[]).await
    }

    /// The same with further variables, which win.
    pub async fn with(ziflow: &Simulator, variables: &[(&str, &str)]) -> Self {
        Self::with_command(ziflow, command(&["serve"], &[]), variables).await
    }

    /// The same by a command that ends in `serve`.
    pub async fn with_command(ziflow: &Simulator, mut command: Command, variables: &[(&str, &str)]) -> Self {
        let base_url = ziflow.base_url();
        let tokens = format!("[{{name: test, token: {TOKEN}}}]");
        let mut all = vec![
            ("BRIDGE_SERVER__LISTEN", "127.0.0.1:0"),
            ("BRIDGE_ADMIN__LISTEN", "127.0.0.1:0"),
            ("BRIDGE_AUTH__TOKENS", &tokens),
            ("BRIDGE_ZIFLOW__BASE_URL", &base_url),
            ("BRIDGE_ZIFLOW__API_KEY", ziflow.key()),
            ("BRIDGE_ZIFLOW__READ_BACK_DELAY_MS", "50"),
            ("BRIDGE_STORE__URL", "memory:"),
            // Waiting for the pace is tested on its own; here it would only take time.
            ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "500"),
            ("BRIDGE_RATE_LIMIT__BACKOFF_MIN_MS", "20"),
        ];
        all.extend_from_slice(variables);
        Self::spawn(command.env_clear().envs(all)).await
    }

    /// A bridge with this settings file.
    pub async fn configured(file: &Path) -> Self {
        Self::spawn(&mut command(&["serve", "--config", file.to_str().unwrap()], &[])).await
    }

    /// The same, reached by somebody who trusts this authority.
    pub async fn trusted(file: &Path, authority: &str) -> Self {
        let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
        let mut bridge = Self::configured(file).await;
        bridge.http = http;
        bridge
    }

    /// With a command that `command` has made.
    pub async fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| json!({"text": line}));
                lines.lock().unwrap().push(line);
            }
        });
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let mut bridge = Self { child, log, url: String::new(), admin: String::new(), http, stopped: false };
        let ready = bridge.line("ready for Entra").await;
        bridge.url = ready["tenant_url"].as_str().unwrap().to_owned();
        let monitoring = bridge.line("ready for monitoring").await;
        bridge.admin = format!("http://{}", monitoring["listen"].as_str().unwrap());
        bridge
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log.
    pub async fn line(&self, message: &str) -> Value {
        self.nth_line(message, 1).await
    }

    /// Waits until there are so many lines that say this, and returns the last of them.
    pub async fn nth_line(&self, message: &str, number: usize) -> Value {
        let start = Instant::now();
        loop {
            let found = self.log().into_iter().filter(|line| line["message"] == message).nth(number - 1);
            if let Some(line) = found {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "no line `{message}` in {:#?}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The line of a request about this operation, as soon as its work has ended.
    pub async fn request_line(&self, operation: &str) -> Value {
        let start = Instant::now();
        loop {
            let is_it = |line: &Value| line["message"] == "request" && line["operation"] == operation;
            if let Some(line) = self.log().into_iter().find(is_it) {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "no {operation} in {:#?}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGKILL, also while requests are under way; `reap` has to follow.
    pub fn cut_power(&self) {
        self.signal("-KILL");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Lets its files grow to this length and no further.
    pub fn files_up_to(&self, bytes: &str) {
        let arguments = ["--pid".to_owned(), self.pid().to_string(), format!("--fsize={bytes}:")];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end after `terminate`.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stopped = true;
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the bridge does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it, and makes sure that it went well.
    pub async fn stop(mut self) -> Vec<Value> {
        self.terminate();
        assert!(self.ended().await.success(), "{:#?}", self.log());
        self.line("stopped").await;
        self.log()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.reap();
    }

    /// Waits for the end after `cut_power`.
    pub fn reap(&mut self) {
        self.child.wait().unwrap();
        self.stopped = true;
    }

    /// Where it listens, as `ADDRESS:PORT`.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap().split('/').next().unwrap()
    }

    /// A request with the right token; `request` is `METHOD /target`.
    pub async fn ask(&self, request: &str, body: Option<Value>) -> Answer {
        self.ask_as(Some(TOKEN), request, body).await
    }

    pub async fn ask_as(&self, token: Option<&str>, request: &str, body: Option<Value>) -> Answer {
        self.try_as(token, request, body).await.unwrap()
    }

    /// The same while the bridge may end at any moment.
    pub async fn try_ask(&self, request: &str, body: Option<Value>) -> Result<Answer, reqwest::Error> {
        self.try_as(Some(TOKEN), request, body).await
    }

    async fn try_as(
        &self,
        token: Option<&str>,
        request: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let (method, target) = request.split_once(' ').unwrap();
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let mut builder = self.http.request(method, format!("{}{target}", self.url));
        if let Some(token) = token {
            builder = builder.bearer_auth(token);
        }
        if let Some(body) = body {
            builder = builder.header("content-type", "application/scim+json").body(body.to_string());
        }
        Self::try_answer(builder.send().await?).await
    }

    /// A request with further headers.
    pub async fn ask_with(&self, request: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let (method, target) = request.split_once(' ').unwrap();
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        let mut builder = self.http.request(method, format!("{}{target}", self.url)).bearer_auth(TOKEN);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = body {
            builder = builder.header("content-type", "application/scim+json").body(body.to_string());
        }
        Self::answer(builder.send().await.unwrap()).await
    }

    /// A request to the admin listener.
    pub async fn admin(&self, target: &str) -> Answer {
        Self::answer(self.http.get(format!("{}{target}", self.admin)).send().await.unwrap()).await
    }

    /// The same as a text.
    pub async fn admin_text(&self, target: &str) -> String {
        self.http.get(format!("{}{target}", self.admin)).send().await.unwrap().text().await.unwrap()
    }

    /// All of `/metrics`.
    pub async fn metrics(&self) -> String {
        let response = self.http.get(format!("{}/metrics", self.admin)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        response.text().await.unwrap()
    }

    /// What `/metrics` says of this name and these labels.
    pub async fn metric(&self, sample: &str) -> String {
        let text = self.metrics().await;
        let value = |line: &str| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned());
        text.lines().find_map(value).unwrap_or_else(|| panic!("no {sample} in {text}"))
    }

    /// Waits until `/metrics` tells this of a sample, for what is counted after the answer.
    pub async fn reaches(&self, sample: &str, value: &str) {
        let start = Instant::now();
        loop {
            let found = self.metric(sample).await;
            if found == value {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{sample} is {found} and not {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answer(response: reqwest::Response) -> Answer {
        Self::try_answer(response).await.unwrap()
    }

    async fn try_answer(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        Ok(Answer { status, headers, body })
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.ask(&format!("GET {target}"), None).await
    }

    /// Looks people up by a filter.
    pub async fn find(&self, filter: &str) -> Answer {
        let filter = percent_encoding::utf8_percent_encode(filter, percent_encoding::NON_ALPHANUMERIC);
        self.get(&format!("/Users?filter={filter}")).await
    }

    pub async fn create(&self, body: Value) -> Answer {
        self.ask("POST /Users", Some(body)).await
    }

    pub async fn patch(&self, id: &str, operations: Value) -> Answer {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        self.ask(&format!("PATCH /Users/{}", encoded(id)), Some(body)).await
    }

    pub async fn read(&self, id: &str) -> Answer {
        self.get(&format!("/Users/{}", encoded(id))).await
    }

    pub async fn replace(&self, id: &str, body: Value) -> Answer {
        self.ask(&format!("PUT /Users/{}", encoded(id)), Some(body)).await
    }

    pub async fn delete(&self, id: &str) -> Answer {
        self.ask(&format!("DELETE /Users/{}", encoded(id)), None).await
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if !self.stopped {
            let _killed = self.child.kill();
            let _waited = self.child.wait();
            assert!(std::thread::panicking(), "the test did not stop the bridge");
        }
    }
}

pub fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A small person.
pub fn person(user_name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name, "name": {"givenName": "Jo", "familyName": "Lee"}, "active": true,
    })
}

/// The person as Ziflow holds them.
pub fn in_ziflow(ziflow: &Simulator, email: &str) -> Value {
    let people = ziflow.people();
    let found: Vec<_> = people.iter().filter(|person| person["email"] == email).collect();
    assert!(found.len() <= 1, "{email} exists {} times", found.len());
    found.first().map(|person| (*person).clone()).unwrap_or_default()
}

/// What a task that failed has said.
pub fn panic_text(error: tokio::task::JoinError) -> String {
    match error.into_panic().downcast::<String>() {
        Ok(text) => *text,
        Err(other) => format!("{other:?}"),
    }
}
