//! A bare socket: HTTP as a rude or careful client speaks it, which no library has tidied.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long an answer or an end may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct Wire(BufReader<TcpStream>);

/// An answer as it came.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    fn new(head: String) -> Self {
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no answer: {head:?}")), head, body: Vec::new() }
    }

    /// The values of a header, however often it is there.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// Its body.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// An answer of the bridge, and not of the parser.
    #[track_caller]
    pub fn is_scim(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/scim+json; charset=utf-8"), "{self:?}");
        assert!(self.header("request-id").is_some(), "{self:?}");
        self
    }

    /// A refusal in SCIM's words that tells the reason.
    #[track_caller]
    pub fn refuses(&self, status: u16, told: &str) {
        let body = self.is_scim(status).json();
        assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(body["status"], json!(status.to_string()));
        assert_eq!(
            body["scimType"],
            if status == 400 { json!("invalidSyntax") } else { Value::Null },
            "{body}"
        );
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(told), "`{told}` not in: {detail}");
    }
}

async fn patiently<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap_or_else(|_elapsed| panic!("neither an answer nor an end"))
}

impl Wire {
    /// To `ADDRESS:PORT`, from this machine.
    pub async fn to(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    /// The same from an address of its own, 127.0.0.`number`.
    pub async fn from(number: u8, address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, number], 0).into()).unwrap();
        Self(BufReader::new(socket.connect(address.parse().unwrap()).await.unwrap()))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// False when the other side has closed the connection, which is no failure of the test.
    pub async fn say(&mut self, text: impl AsRef<[u8]>) -> bool {
        patiently(self.0.get_mut().write_all(text.as_ref())).await.is_ok()
    }

    /// The head of the next answer; none when the connection is closed instead.
    pub async fn try_head(&mut self) -> Option<Heard> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if patiently(self.0.read_line(&mut head)).await.unwrap_or_default() == 0 {
                return None;
            }
        }
        Some(Heard::new(head))
    }

    pub async fn head(&mut self) -> Heard {
        self.try_head().await.unwrap_or_else(|| panic!("closed without an answer"))
    }

    /// The next answer, its body as long as it says; none when the connection is closed instead.
    pub async fn try_hear(&mut self) -> Option<Heard> {
        let mut heard = self.try_head().await?;
        let length = heard.header("content-length").map_or(0, |length| length.parse().unwrap());
        heard.body.resize(length, 0);
        patiently(self.0.read_exact(&mut heard.body)).await.ok()?;
        Some(heard)
    }

    pub async fn hear(&mut self) -> Heard {
        self.try_hear().await.unwrap_or_else(|| panic!("closed without an answer"))
    }

    pub async fn try_ask(&mut self, request: impl AsRef<[u8]>) -> Option<Heard> {
        self.say(request).await;
        self.try_hear().await
    }

    /// Who is answered has been listened to until the end.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Heard {
        assert!(self.say(request).await, "closed while it was being told");
        self.hear().await
    }

    /// The status of a request that must be answered.
    pub async fn status(&mut self, request: impl AsRef<[u8]>) -> u16 {
        self.ask(request).await.status
    }

    /// The last answer: everything up to the end of the connection.
    pub async fn last(&mut self, request: impl AsRef<[u8]>) -> Heard {
        self.say(request).await;
        let mut heard = self.head().await;
        patiently(self.0.read_to_end(&mut heard.body)).await.unwrap();
        heard
    }

    /// Waits until the other side has closed the connection, and neither reset it nor said anything more.
    pub async fn ends(&mut self) {
        let mut rest = Vec::new();
        patiently(self.0.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    /// Whether the other side keeps the connection open, as far as can be seen now.
    pub fn is_open(&mut self) -> bool {
        matches!(self.stream().try_read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}
