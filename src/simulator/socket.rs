//! The socket: accepts, reads a request whole, and carries out what became of its answer.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::answer::{Answer, Delivery};
use super::calls::Call;
use super::control;
use super::route::{Target, pairs};
use super::world::{Request, World};

/// Larger bodies are cut off: nothing that the API takes comes near.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// What every connection shares.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    unplugged: AtomicBool,
}

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self { world: Mutex::new(world), unplugged: AtomicBool::new(false) }
    }

    /// A test that fails while it holds the lock has said what it had to say.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on nothing is applied or answered, although tasks may still be on their way out.
    pub(super) fn unplug(&self) {
        self.unplugged.store(true, Ordering::SeqCst);
    }

    fn is_unplugged(&self) -> bool {
        self.unplugged.load(Ordering::SeqCst)
    }
}

/// Binds; an address that a simulator has only just left is waited for.
pub(super) async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    for _ in 0..50 {
        match TcpListener::bind(listen).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome,
        }
    }
    TcpListener::bind(listen).await
}

/// Serves until it is dropped, and takes every connection along when it is.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&shared)))),
                // Out of file handles: trying again at once would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // Without this each small answer waits for the acknowledgement of the one before it.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| respond(Arc::clone(&shared), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let outcome = (&mut connection).await;
    let cut = outcome.err().and_then(|error| error.source()?.downcast_ref::<Cut>().copied());
    if cut == Some(Cut::Reset) {
        drop(connection.into_parts().io.into_inner().set_zero_linger());
    }
}

/// How a connection ends without an answer; hyper closes it when a service or a body fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Closed,
    Reset,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut off on purpose")
    }
}

impl Error for Cut {}

type Response = http::Response<Payload>;

async fn respond(shared: Arc<Shared>, request: http::Request<Incoming>) -> Result<Response, Cut> {
    let (head, body) = request.into_parts();
    let body =
        Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|_too_large| Cut::Closed)?.to_bytes();
    let body = if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(&body).ok() };
    if shared.is_unplugged() {
        return Err(Cut::Closed);
    }
    match Target::of(head.uri.path()) {
        Target::Control(name, id) => {
            let now = Instant::now();
            let mut world = shared.world();
            let answer = control::answer(&mut world, &head.method, &name, id.as_deref(), body, now);
            response(answer)
        }
        Target::Api(route, identifier) => {
            let query = pairs(head.uri.query().unwrap_or_default());
            let key = text_header(&head, "apikey");
            let says_json = text_header(&head, "content-type").is_some_and(|kind| is_json(&kind));
            let call = logged(&head, route.pattern(), body.as_ref());
            let method = head.method;
            let request = Request { method, route, identifier, query, key, says_json, body };
            exchange(&shared, call, &request).await
        }
    }
}

/// Writes the call down, applies it, and answers as far as that is meant to be.
async fn exchange(shared: &Shared, call: Call, request: &Request) -> Result<Response, Cut> {
    let (ticket, answer) = {
        let now = Instant::now();
        let mut world = shared.world();
        let ticket = world.calls.record(call, now);
        (ticket, world.receive(request, now))
    };
    match answer.delivery {
        Delivery::Whole | Delivery::Truncated => {}
        Delivery::Late(time) => tokio::time::sleep(time).await,
        Delivery::Never(Some(time)) => {
            tokio::time::sleep(time).await;
            return Err(Cut::Closed);
        }
        Delivery::Never(None) => std::future::pending().await,
        Delivery::Closed => return Err(Cut::Closed),
        Delivery::Reset => return Err(Cut::Reset),
    }
    shared.world().calls.answered(ticket, answer.status.as_u16());
    response(answer)
}

fn response(answer: Answer) -> Result<Response, Cut> {
    let length = answer.body.len();
    let mut response = http::Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        response = response.header(CONTENT_TYPE, content_type);
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let payload = if answer.delivery == Delivery::Truncated {
        if length == 0 {
            return Err(Cut::Closed);
        }
        response = response.header(CONTENT_LENGTH, length);
        Payload::half(&Bytes::from(answer.body))
    } else {
        Payload::Whole(Some(Bytes::from(answer.body)))
    };
    // A redirect to something that is no header value ends here as well.
    response.body(payload).map_err(|_no_header| Cut::Closed)
}

fn text_header(head: &Parts, name: &str) -> Option<String> {
    Some(head.headers.get(name)?.to_str().ok()?.to_owned())
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn logged(head: &Parts, route: &str, body: Option<&Value>) -> Call {
    let mut body = body.cloned().unwrap_or_default();
    if let Some(password) = body.get_mut("password") {
        *password = "***".into();
    }
    Call {
        n: 0,
        at_ms: 0,
        method: head.method.to_string(),
        route: route.to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body,
        status: None,
    }
}

/// The bytes of an answer, or only the first half of them.
enum Payload {
    Whole(Option<Bytes>),
    /// The pause lets the first half leave before the connection goes.
    Half(Option<Bytes>, Pin<Box<Sleep>>),
}

impl Payload {
    fn half(whole: &Bytes) -> Self {
        let pause = Box::pin(tokio::time::sleep(Duration::from_millis(20)));
        Self::Half(Some(whole.slice(..whole.len() / 2)), pause)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Half(bytes, pause) => {
                if let Some(bytes) = bytes.take() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                ready!(pause.as_mut().poll(context));
                Poll::Ready(Some(Err(Cut::Closed)))
            }
        }
    }

    /// Hyper writes `Content-Length` from this; of the half it must not know.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Half(..) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_its_plug_it_applies_nothing_even_where_a_connection_is_left() {
        let shared = Arc::new(Shared::new(World::new("k".into(), 1, None, Instant::now())));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}/v1/users", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, Arc::clone(&shared)));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
        shared.unplug();
        assert!(client.get(&url).send().await.is_err());
        assert_eq!(shared.world().calls.total(), 1);
    }
}
