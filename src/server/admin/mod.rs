//! The second listener, for those who watch: `/healthz` (the process turns), `/readyz` (whether Entra can be served,
//! part by part), `/metrics`, and for people the status page and `/explain`. Nothing changes over it, and it shows nobody.

pub mod access;
mod pages;
mod reply;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use crate::server::admin::access::{Access, Gate};
use crate::server::connection;
use crate::server::listen::{Listen, Unfit};
use crate::server::networks::Admission;
use crate::server::readiness::Readiness;
use crate::server::seats::{Seat, Seats};
use crate::server::source::Source;
use crate::server::status::explain::{Explain, Explainer};
use crate::server::tls::Tls;
use crate::server::{Limits, accept};

/// So often the parts are looked at, so that "since" is true to this many seconds.
const LOOK_SECS: u64 = 5;

/// After trouble, Ziflow is asked again every so many looks: a balancer that sees "not ready" sends no request
/// that could find out.
const LOOKS_PER_QUESTION: u32 = 2;

/// `admin.*` of the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// None: nobody watches.
    pub listen: Option<Listen>,
    pub plain_http_behind_proxy: bool,
    /// Spoken where others than this machine can reach the listener.
    pub tls: Option<Arc<Tls>>,
    pub max_connections: usize,
    /// As many of the latest requests are kept for the status page.
    pub operations: usize,
    pub access: Access,
}

impl Settings {
    /// Whether these pages may be shown at this address; else what is wrong with it, and the remedy.
    pub fn may_listen_on(&self, address: SocketAddr) -> Result<(), Unfit> {
        let (wrong, hint) = if address.ip().is_loopback() {
            return Ok(());
        } else if self.access.token.is_none() {
            ("nobody there is asked for a credential", "listen on 127.0.0.1, or set admin.token_file")
        } else if self.tls.is_some() || self.plain_http_behind_proxy {
            return Ok(());
        } else {
            (
                "the token would travel there in plain HTTP",
                "name a certificate in server.tls, or listen on 127.0.0.1, or set server.plain_http_behind_proxy: true if a proxy on \
                 another machine does TLS",
            )
        };
        Err((format!("`{address}` can be reached from the network, and {wrong}"), hint))
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Admin {
    readiness: Readiness,
    explainer: Explainer,
    gate: Arc<Gate>,
    limits: Limits,
    tls: Option<Arc<Tls>>,
}

/// Serves until `shutdown`. Of `limits`, those hold here that are about a request without a body.
pub async fn run(
    listener: TcpListener,
    settings: Settings,
    readiness: Readiness,
    explain: Arc<dyn Explain>,
    gate: Arc<Gate>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let explainer = Explainer::new(explain, Duration::from_secs(limits.request_timeout_secs));
    let admin = Arc::new(Admin {
        readiness,
        explainer,
        tls: settings.tls.filter(|_| gate.is_in_the_open()),
        gate,
        limits,
    });
    tokio::select! {
        () = admin.accept(listener, settings.max_connections) => {}
        () = look(&admin.readiness) => {}
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

impl Admin {
    async fn accept(self: &Arc<Self>, listener: TcpListener, max_connections: usize) {
        let seats = Seats::new("admin", max_connections, max_connections);
        let bounds = self.limits.bounds();
        // Dropped with this: the connections then end with the answer that they are at.
        let (stop, _) = watch::channel(());
        loop {
            let (stream, source, seat) = accept::next(&listener, &seats, |_| Admission::OfProxy).await;
            let (admin, stopped) = (Arc::clone(self), stop.subscribe());
            drop(tokio::spawn(async move {
                let answer = |request| admin.answer(request, source, &seat);
                let Some(tls) = &admin.tls else {
                    return connection::serve(stream, &seat, bounds, stopped, answer).await;
                };
                if let Some(stream) = tls.agree(stream, &seat, stopped.clone()).await {
                    connection::serve(stream, &seat, bounds, stopped, answer).await;
                }
            }));
        }
    }

    async fn answer(&self, request: Request<Incoming>, source: Source, seat: &Seat) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let limit = Duration::from_secs(self.limits.request_timeout_secs);
        let answer = match self.gate.check(&head, self.limits.max_target_bytes, source) {
            Ok(()) => {
                // Whoever asks for what is open to all has shown nothing.
                if head.uri.path() != pages::OPEN {
                    seat.is_known();
                }
                timeout(limit, pages::show(self, &head, body)).await.unwrap_or_else(late)
            }
            Err(refusal) => *refusal,
        };
        reply::guarded(answer)
    }
}

fn late(_: Elapsed) -> Response<Full<Bytes>> {
    reply::refusal(StatusCode::SERVICE_UNAVAILABLE, "it took longer than server.request_timeout_secs")
}
