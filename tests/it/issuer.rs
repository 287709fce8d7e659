//! Somebody who signs tokens, and the address at which the keys are published.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs under this name.
pub struct Signer {
    pair: KeyPair,
    kid: String,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self { pair: KeyPair::generate(KeySize::Rsa2048).unwrap(), kid: kid.to_owned() }
    }

    /// The public half, as a key set shows it.
    pub fn jwk(&self) -> Value {
        // PKCS #1: a sequence of two numbers, of which the second is 65537.
        let der = self.pair.public_key().as_ref();
        let (n, e) = (der.get(9..265).unwrap(), der.last_chunk::<3>().unwrap());
        json!({"kty": "RSA", "use": "sig", "kid": self.kid, "n": encoded(n), "e": encoded(e), "x5c": ["x"]})
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid});
        self.sign_as(&header, &claims.to_string())
    }

    pub fn sign_as(&self, header: &Value, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", encoded(signature))
    }
}

/// How the address answers.
#[derive(Clone, Debug)]
pub enum Mood {
    Keys(Vec<Value>),
    Status(u16),
    /// Somewhere else.
    Redirect(String),
    Text(String),
    /// The keys, after so long.
    Slow(Duration, Vec<Value>),
}

/// The address.
pub struct Issuer {
    pub url: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicU32>,
}

impl Issuer {
    pub async fn new(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let issuer = Self { url, mood: Arc::new(Mutex::new(mood)), asked: Arc::default() };
        let (mood, asked) = (Arc::clone(&issuer.mood), Arc::clone(&issuer.asked));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                let mood = mood.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut read = [0; 4096];
                    let _read = stream.read(&mut read).await;
                    if let Mood::Slow(wait, _) = &mood {
                        tokio::time::sleep(*wait).await;
                    }
                    let _written = stream.write_all(mood.answer().as_bytes()).await;
                });
            }
        });
        issuer
    }

    pub fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").trim_end_matches("/keys").parse().unwrap()
    }

    pub fn turns(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often somebody has asked for the keys.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits until somebody has asked so often.
    pub async fn asked_times(&self, times: u32) {
        let start = std::time::Instant::now();
        while self.asked() < times {
            assert!(start.elapsed() < Duration::from_secs(20), "asked {} times", self.asked());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Mood {
    fn answer(&self) -> String {
        let whole = |status: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        };
        match self {
            Self::Keys(keys) | Self::Slow(_, keys) => whole("200 OK", &json!({"keys": keys}).to_string()),
            Self::Status(status) => whole(&format!("{status} X"), ""),
            Self::Redirect(to) => {
                format!("HTTP/1.1 302 X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            }
            Self::Text(text) => whole("200 OK", text),
        }
    }
}

/// So many seconds from now.
pub fn in_secs(secs: i64) -> i64 {
    Timestamp::now().as_second() + secs
}
