//! The second listener, for those who watch: `/healthz` (the process turns) and `/readyz` (whether Entra can be
//! served, part by part). Nothing changes over it, and it shows nobody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::bridge::{Bridge, Component, Health};

/// So often the parts are looked at, so that "since" is true to this many seconds.
const LOOK_SECS: u64 = 5;

/// After trouble, Ziflow is asked again every so many looks: a balancer that sees "not ready" sends no request
/// that could find out.
const LOOKS_PER_QUESTION: u32 = 2;

/// Monitoring needs few connections; more would be somebody else.
const MAX_CONNECTIONS: usize = 64;

const IDLE_SECS: u64 = 30;

/// The parts with the time since which each is as it is.
#[derive(Debug)]
struct Readiness {
    bridge: Arc<Bridge>,
    since: Mutex<HashMap<&'static str, (Health, String)>>,
}

/// Serves until `shutdown`.
pub async fn run(listener: TcpListener, bridge: Arc<Bridge>, shutdown: impl Future<Output = ()>) {
    let readiness = Arc::new(Readiness { bridge, since: Mutex::default() });
    tokio::select! {
        () = accept(listener, &readiness) => {}
        () = look(&readiness) => {}
        () = shutdown => {}
    }
}

async fn look(readiness: &Readiness) {
    for round in 0_u32.. {
        drop(readiness.look().await);
        sleep(Duration::from_secs(LOOK_SECS)).await;
        if round % LOOKS_PER_QUESTION == 0 {
            readiness.bridge.look_again(Instant::now() + Duration::from_secs(LOOK_SECS)).await;
        }
    }
}

async fn accept(listener: TcpListener, readiness: &Arc<Readiness>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                warn!(%error, "a connection to the admin listener could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let readiness = Arc::clone(readiness);
        drop(tokio::spawn(async move {
            let service = service_fn(|request| {
                let readiness = Arc::clone(&readiness);
                async move { Ok::<_, Infallible>(answer(&request, &readiness).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(IDLE_SECS));
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                debug!(%error, "a connection to the admin listener ended badly");
            }
            drop(permit);
        }));
    }
}

async fn answer(request: &Request<Incoming>, readiness: &Readiness) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "only GET"}));
    }
    if !names_this_machine(request) {
        // A page in somebody's browser may reach this listener under a name of its own (DNS rebinding).
        return json_response(StatusCode::FORBIDDEN, &json!({"error": "ask by address or as localhost"}));
    }
    match request.uri().path() {
        "/healthz" => json_response(StatusCode::OK, &json!({"status": "ok"})),
        "/readyz" => {
            let (ready, body) = readiness.look().await;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json_response(status, &body)
        }
        _ => json_response(StatusCode::NOT_FOUND, &json!({"error": "here are /healthz and /readyz"})),
    }
}

fn names_this_machine(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority: Option<Authority> = host.parse().ok();
    authority.is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok()
    })
}

impl Readiness {
    async fn look(&self) -> (bool, Value) {
        let parts = self.bridge.health().await;
        let ready = parts.iter().all(|part| part.state != Health::Failing);
        let parts: serde_json::Map<_, _> =
            parts.iter().map(|part| (part.name.to_owned(), self.describe(part))).collect();
        (ready, json!({"ready": ready, "parts": parts}))
    }

    fn describe(&self, part: &Component) -> Value {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = since.entry(part.name).or_insert_with(|| (part.state, now()));
        if entry.0 != part.state {
            *entry = (part.state, now());
        }
        json!({"state": word(part.state), "since": entry.1, "detail": part.detail})
    }
}

fn word(state: Health) -> &'static str {
    match state {
        Health::Fine => "ok",
        Health::Unknown => "unknown",
        Health::Failing => "failing",
    }
}

fn now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
