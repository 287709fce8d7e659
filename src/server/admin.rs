//! The second listener, for those who watch: `/healthz` (the process turns), `/readyz` (whether Entra can be
//! served, part by part) and `/metrics`. Nothing changes over it, and it shows nobody.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
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

use crate::bridge::Bridge;
use crate::server::auth::Door;
use crate::server::listen::Unfit;
use crate::server::metrics;
use crate::server::readiness::Readiness;
use crate::server::reloads::Reloads;
use crate::server::witness::Witness;

/// So often the parts are looked at, so that "since" is true to this many seconds.
const LOOK_SECS: u64 = 5;

/// After trouble, Ziflow is asked again every so many looks: a balancer that sees "not ready" sends no request
/// that could find out.
const LOOKS_PER_QUESTION: u32 = 2;

/// Monitoring needs few connections; more would be somebody else.
const MAX_CONNECTIONS: usize = 64;

const IDLE_SECS: u64 = 30;

/// Whether these pages may be shown at this address; else what is wrong with it, and the remedy.
pub fn may_listen_on(address: SocketAddr) -> Result<(), Unfit> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let message =
        format!("`{address}` can be reached from the network, and the pages there ask for no credential");
    Err((message, "listen on 127.0.0.1, or `off`"))
}

/// Serves until `shutdown`.
pub async fn run(
    listener: TcpListener,
    bridge: Arc<Bridge>,
    reloads: Arc<Reloads>,
    door: Arc<Door>,
    witness: Arc<Witness>,
    shutdown: impl Future<Output = ()>,
) {
    let readiness = Arc::new(Readiness::new(bridge, reloads, door, witness));
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
            readiness.look_again(Instant::now() + Duration::from_secs(LOOK_SECS)).await;
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
            let look = readiness.look().await;
            let status = if look.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json_response(status, &look.to_json())
        }
        "/metrics" => {
            let look = readiness.look().await;
            let mapping = readiness.bridge.mapping_in_force();
            let grants = readiness.bridge.grants_waiting().await;
            let page = metrics::render(&look, readiness, &mapping, grants);
            response(metrics::CONTENT_TYPE, page)
        }
        _ => {
            json_response(StatusCode::NOT_FOUND, &json!({"error": "here are /healthz, /readyz and /metrics"}))
        }
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

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = response("application/json", body.to_string());
    *response.status_mut() = status;
    response
}

fn response(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
