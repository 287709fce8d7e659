//! One connection: what its parser takes, and an end that lets the last answer arrive.
//!
//! What the parser refuses is answered with a bare 4xx, and the connection is closed; nothing of it reaches SCIM.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

/// How long a client may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The wait for a complete request header, the first as well as the next.
    pub header_timeout: Duration,
    /// Of a request's head, its first line included; beyond it 431.
    pub max_header_bytes: usize,
}

/// Serves requests until the client ends it, or `stop` changes: then what has begun is answered. `stop` is
/// dropped when nothing is left to answer.
pub async fn serve<A>(
    mut stream: TcpStream,
    bounds: Bounds,
    mut stop: watch::Receiver<()>,
    answer: impl Fn(Request<Incoming>) -> A,
) where
    A: Future<Output = Response<Full<Bytes>>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY");
    }
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout);
    builder.max_header_size(bounds.max_header_bytes);
    let served = {
        let mut connection = pin!(builder.serve_connection(TokioIo::new(&mut stream), service));
        tokio::select! {
            served = &mut connection => served,
            _told = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    drop(stop);
    let answered = match served {
        Ok(()) => true,
        Err(error) => {
            debug!(%error, "a connection ended badly");
            error.is_parse() || error.is_parse_too_large()
        }
    };
    if answered {
        drop(timeout(LINGER, read_to_end(&stream)).await);
    }
}

/// Closing a socket while the client's bytes wait in it resets the connection, and the answer may be lost on its
/// way: of a request too large, the client would never learn why (RFC 9112 section 9.6).
async fn read_to_end(stream: &TcpStream) {
    let mut scrap = [0; 2048];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut scrap) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
