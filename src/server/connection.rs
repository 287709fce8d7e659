//! One connection: what its parser takes, how long it is waited for, and an end that lets the last answer arrive.
//!
//! What the parser refuses is answered with a bare 4xx, and the connection is closed; nothing of it reaches SCIM.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use crate::server::noticed::Noticed;
use crate::server::seats::{Phase, Seat, State};

/// How long a client may go on sending after the last answer, and how long a request that is on its way is waited for when
/// the process stops.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The parser takes no smaller one.
const SMALLEST_BUFFER: usize = 8192;

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The wait for the first byte of the first request.
    pub first_byte_timeout: Duration,
    /// From the first byte of a request to the end of its head.
    pub header_timeout: Duration,
    /// Between an answer and the next request.
    pub idle_timeout: Duration,
    /// How long a client may take to accept an answer.
    pub write_timeout: Duration,
    /// Of a request's head, its first line included; beyond it 431.
    pub max_header_bytes: usize,
    /// Of a request; beyond it 431.
    pub max_headers: usize,
}

impl Bounds {
    /// For how long a connection may do this. A request that is worked on has a deadline of its own.
    fn patience(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Silent => Some(self.first_byte_timeout),
            Phase::Head => Some(self.header_timeout),
            Phase::Idle => Some(self.idle_timeout),
            Phase::Answering => Some(self.write_timeout),
            Phase::Leaving => Some(LINGER),
            Phase::Handshake | Phase::Unknown | Phase::Busy => None,
        }
    }
}

/// Serves requests until the client ends it, it takes too long, it has to give way, or `stop` changes: then what has
/// begun is answered. `stop` is dropped when nothing is left to answer.
pub async fn serve<S, A>(
    mut stream: S,
    seat: &Seat,
    bounds: Bounds,
    mut stop: watch::Receiver<()>,
    answer: impl Fn(Request<Incoming>) -> A,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        seat.enter(Phase::Unknown);
        let answer = answer(request);
        async {
            let response = answer.await;
            seat.enter(Phase::Answering);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    // The waits are measured here: the parser's own knows no difference between an idle client and a slow one.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .max_header_size(bounds.max_header_bytes)
        .max_headers(bounds.max_headers)
        .max_buf_size(bounds.max_header_bytes.max(SMALLEST_BUFFER));
    seat.enter(Phase::Silent);
    let mut end = End::new(seat, bounds);
    let served = {
        let io = TokioIo::new(Noticed::new(&mut stream, seat));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut told = pin!(told_to_end(&mut stop, seat.watch()));
        let mut is_told = false;
        loop {
            tokio::select! {
                served = &mut connection => break Some(served),
                phase = end.due() => match phase {
                    Phase::Idle => {
                        connection.as_mut().graceful_shutdown();
                        seat.enter_from(&[Phase::Idle], Phase::Leaving);
                    }
                    // It has become busy just when it was told to go.
                    Phase::Busy => connection.as_mut().graceful_shutdown(),
                    phase => {
                        debug!(?phase, "a connection is closed");
                        break None;
                    }
                },
                () = &mut told, if !is_told => {
                    is_told = true;
                    connection.as_mut().graceful_shutdown();
                    seat.enter_from(&[Phase::Idle], Phase::Leaving);
                }
            }
        }
    };
    drop(stop);
    let answered = match served {
        // It was idle, and there is no answer under way that could get lost.
        _ if end.has_come => false,
        None => false,
        Some(Ok(())) => true,
        Some(Err(error)) => {
            debug!(%error, "a connection ended badly");
            error.is_parse() || error.is_parse_too_large()
        }
    };
    if answered {
        seat.enter(Phase::Leaving);
        let mut end = End::new(seat, bounds);
        tokio::select! {
            () = read_to_end(&mut stream) => {}
            _late = end.due() => {}
        }
    }
}

/// Waits until `stop` changes, and then for what is on its way: a request may stand unread in the socket, or in part, and
/// the parser closes a connection at once on which it has not seen one.
async fn told_to_end(stop: &mut watch::Receiver<()>, mut state: watch::Receiver<State>) {
    // An error means that nobody is left who could tell, which is an end as well.
    drop(stop.changed().await);
    let is_here = state.wait_for(|state| !matches!(state.phase, Phase::Silent | Phase::Head));
    drop(timeout(LINGER, is_here).await);
}

/// When a connection has to end by itself.
struct End {
    state: watch::Receiver<State>,
    bounds: Bounds,
    /// Whether it has been told already.
    has_come: bool,
}

impl End {
    fn new(seat: &Seat, bounds: Bounds) -> Self {
        Self { state: seat.watch(), bounds, has_come: false }
    }

    /// Waits until what the connection does has taken too long, or somebody else needs its place, and tells what it does
    /// then.
    async fn due(&mut self) -> Phase {
        loop {
            let State { phase, since, gives_way, .. } = *self.state.borrow_and_update();
            if gives_way && !self.has_come {
                self.has_come = true;
                return phase;
            }
            let late = self.bounds.patience(phase).map(|patience| since + patience);
            tokio::select! {
                // Whoever could change it is gone: the connection ends anyway.
                changed = self.state.changed() => if changed.is_err() { return phase },
                () = sleep_until(late.unwrap_or(since)), if late.is_some() => {
                    self.has_come = true;
                    return phase;
                }
            }
        }
    }
}

/// Closing a socket while the client's bytes wait in it resets the connection, and the answer may be lost on its
/// way: of a request too large, the client would never learn why (RFC 9112 section 9.6).
pub(super) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut scrap = [0; 2048];
    poll_fn(|context| {
        loop {
            let mut read = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::server::seats::Seats;

    const BOUNDS: Bounds = Bounds {
        first_byte_timeout: Duration::from_secs(30),
        header_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        max_header_bytes: 8192,
        max_headers: 100,
    };

    async fn answer(_request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    }

    /// What a client gets whose connection is told to end before the parser has looked at it. `late` is what it sends
    /// a moment later.
    async fn answered(early: &str, late: &str) -> String {
        let (mut client, stream) = duplex(4096);
        client.write_all(early.as_bytes()).await.unwrap();
        let (stop, stopped) = watch::channel(());
        stop.send_replace(());
        let seat = Seats::new("server", 1, 1).seat(None).await.unwrap();
        let served = serve(stream, &seat, BOUNDS, stopped, answer);
        let asked = async {
            tokio::time::sleep(LINGER / 2).await;
            // It may be closed already, which the answer shows.
            let _sent = client.write_all(late.as_bytes()).await;
            let mut got = String::new();
            client.read_to_string(&mut got).await.unwrap();
            got
        };
        tokio::join!(asked, served).0
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_on_its_way_when_the_process_stops_is_answered() {
        // Which of two things that are ready comes first is up to chance.
        for _ in 0..20 {
            for (early, late) in [
                ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", ""),
                ("", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
                ("GET / HT", "TP/1.1\r\n\r\n"),
            ] {
                let got = answered(early, late).await;
                assert!(got.starts_with("HTTP/1.1 418"), "`{early}`, `{late}`: `{got}`");
            }
        }
        assert_eq!(answered("", "").await, "");
    }
}
