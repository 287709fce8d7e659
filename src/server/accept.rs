//! Accepting: whoever connects is let in or not, gets a place, agrees on TLS and is served, until the process is to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use crate::bridge::Bridge;
use crate::bridge::pulse::TICK;
use crate::server::answer::Server;
use crate::server::auth::Door;
use crate::server::networks::Admission;
use crate::server::seats::{Seat, Seats};
use crate::server::source::Source;
use crate::server::witness::Witness;
use crate::server::{Settings, connection};

/// Serves until `shutdown`, then answers what has been accepted, for at most `shutdown_grace_secs`.
pub async fn run(
    listener: TcpListener,
    bridge: Arc<Bridge>,
    door: Arc<Door>,
    witness: Arc<Witness>,
    settings: Settings,
    tenant_url: String,
    shutdown: impl Future<Output = ()>,
) {
    let (writing, mut written) = mpsc::channel(1);
    let grace = Duration::from_secs(settings.limits.shutdown_grace_secs);
    let limits = &settings.limits;
    let seats = Seats::new("server", limits.max_connections, limits.max_connections_per_source);
    witness.seats.set(Arc::clone(&seats)).unwrap_or_default();
    let (bounds, in_flight) = (limits.bounds(), Arc::new(Semaphore::new(limits.max_requests_in_flight)));
    drop(door.border().put(settings.networks.clone()));
    let at_border = Arc::clone(&door);
    let server = Arc::new(Server { bridge, door, witness, settings, tenant_url, in_flight, writing });
    let (stop, _) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    let admit = |peer| at_border.border().admit(peer);
    let mut accepting = Box::pin(next(&listener, &seats, admit));
    loop {
        server.witness.accepting().beat();
        let (stream, source, seat) = tokio::select! {
            accepted = &mut accepting => accepted,
            // Whoever has been accepted and waits for a place is not dropped by it.
            () = sleep(TICK) => continue,
            () = &mut shutdown => break,
        };
        accepting.set(next(&listener, &seats, admit));
        let (server, stopped) = (Arc::clone(&server), stop.subscribe());
        drop(tokio::spawn(async move {
            let answer = |request| server.answer(request, source, &seat);
            let Some(tls) = &server.settings.tls else {
                return connection::serve(stream, &seat, bounds, stopped, answer).await;
            };
            if let Some(stream) = tls.agree(stream, &seat, stopped.clone()).await {
                connection::serve(stream, &seat, bounds, stopped, answer).await;
            }
        }));
    }
    drop(accepting);
    drop(listener);
    drop(server);
    info!("stopping: no new connections, answering what has been accepted");
    let end = Instant::now() + grace;
    stop.send_replace(());
    let answered = timeout_at(end, stop.closed()).await.is_ok();
    let finished = timeout_at(end, written.recv()).await.is_ok();
    if !(answered && finished) {
        warn!("stopped before everything was answered (server.shutdown_grace_secs)");
    }
}

/// The next connection that is let in and gets a place.
pub(super) async fn next(
    listener: &TcpListener,
    seats: &Arc<Seats>,
    admit: impl Fn(Source) -> Admission,
) -> (TcpStream, Source, Seat) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: without a pause this would spin.
                warn!(%error, "a connection could not be accepted");
                seats.make_room();
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let source = Source::of_peer(peer);
        let counted = match admit(source) {
            Admission::Counted(source) => Some(source),
            Admission::OfProxy => None,
            Admission::Refused => continue,
        };
        if let Some(seat) = seats.seat(counted).await {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "TCP_NODELAY");
            }
            return (stream, source, seat);
        }
    }
}
