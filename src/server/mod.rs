//! HTTP in: accept, check who speaks, find the operation, carry it out, answer. Every accepted request is
//! answered in SCIM's words before its deadline, also while the process stops; one for a token in those of OAuth.

pub mod admin;
pub mod auth;
mod bulk;
pub mod callers;
pub mod certificate;
mod claims;
pub mod clients;
pub mod connection;
pub mod entra_token;
pub mod expiry;
mod exposition;
mod failures;
mod forecast;
mod grant;
mod issuer;
pub mod issuer_keys;
pub mod json;
pub mod jwks;
pub mod jwt;
pub mod listen;
mod log;
mod metrics;
pub mod minted;
pub mod networks;
mod noticed;
pub mod oauth;
mod operations;
mod process;
pub mod readiness;
pub mod reloads;
pub mod reply;
pub mod request;
mod resources;
pub mod route;
mod search;
pub mod seats;
pub mod signing;
mod size;
pub mod source;
pub mod status;
pub mod tls;
pub mod tokens;
mod traffic;
mod trust;
mod upstream_metrics;
pub mod witness;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{Instrument as _, debug, error, error_span, info, warn};

use crate::bridge::pulse::TICK;
use crate::bridge::{Bridge, Calls, Users};
use crate::scim::discovery::{self, Pages};
use crate::scim::error::{Error, without_values};
use crate::scim::filter;
use crate::scim::query::{Place, Query};
use crate::scim::version::Conditions;
use crate::server::auth::{Client, Door};
use crate::server::connection::Bounds;
use crate::server::listen::{Listen, Unfit};
use crate::server::log::{Done, Line};
use crate::server::networks::{Admission, Networks};
use crate::server::reply::Reply;
use crate::server::request::RequestId;
use crate::server::route::{Kind, NoRoute, Operation, route};
use crate::server::seats::{Seat, Seats};
use crate::server::source::Source;
use crate::server::tls::Tls;
use crate::server::witness::Witness;

/// The bridge gives up on Ziflow this long before the request's deadline, to have time for the answer.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// `server.*` of the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Listen,
    /// Whether a proxy on another machine does TLS.
    pub plain_http_behind_proxy: bool,
    /// None: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub networks: Networks,
    pub base_path: String,
    /// Where Entra reaches the bridge, without the base path; none: where it listens.
    pub public_url: Option<String>,
    /// For how long a list is kept after somebody last read a page of it.
    pub cursor_timeout_secs: u64,
    pub limits: Limits,
}

/// The bounds among them.
#[derive(Clone, Debug, Deserialize)]
pub struct Limits {
    pub max_body_bytes: usize,
    pub max_header_bytes: usize,
    pub max_target_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_source: usize,
    pub max_requests_in_flight: usize,
    pub first_byte_timeout_secs: u64,
    pub header_timeout_secs: u64,
    pub idle_timeout_secs: u64,
    pub write_timeout_secs: u64,
    pub request_timeout_secs: u64,
    pub shutdown_grace_secs: u64,
    pub max_filter_chars: usize,
    pub max_filter_depth: usize,
    pub max_filter_terms: usize,
    pub max_results: usize,
    pub max_bulk_operations: usize,
    pub max_headers: usize,
    pub max_json_depth: usize,
    pub max_json_values: usize,
    pub max_patch_operations: usize,
    pub max_members: usize,
    pub max_attributes: usize,
}

impl Limits {
    fn bounds(&self) -> Bounds {
        Bounds {
            first_byte_timeout: Duration::from_secs(self.first_byte_timeout_secs),
            header_timeout: Duration::from_secs(self.header_timeout_secs),
            idle_timeout: Duration::from_secs(self.idle_timeout_secs),
            write_timeout: Duration::from_secs(self.write_timeout_secs),
            max_header_bytes: self.max_header_bytes,
            max_headers: self.max_headers,
        }
    }
}

impl Settings {
    /// What is spoken where it listens.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What Entra is given as the Tenant URL, and the beginning of every location.
    pub fn tenant_url(&self, bound: SocketAddr) -> String {
        self.public_tenant_url().unwrap_or_else(|| format!("{}://{bound}{}", self.scheme(), self.base_path))
    }

    /// The same, if it does not rest on where the bridge listens.
    pub fn public_tenant_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|host| format!("{}{}", host.trim_end_matches('/'), self.base_path))
    }

    /// Whether requests may be taken at this address; else what is wrong with it, and the remedy. A socket that systemd
    /// has made is judged at the start, when its address is known.
    pub fn may_listen_on(&self, address: SocketAddr) -> Result<(), Unfit> {
        if address.ip().is_loopback() || self.plain_http_behind_proxy || self.tls.is_some() {
            return Ok(());
        }
        Err((
            format!("`{address}` can be reached from the network, and the bridge speaks plain HTTP there"),
            "name a certificate in server.tls, or listen on 127.0.0.1 behind a proxy that does TLS, or set \
             server.plain_http_behind_proxy: true if such a proxy is on another machine",
        ))
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Server {
    bridge: Arc<Bridge>,
    door: Arc<Door>,
    witness: Arc<Witness>,
    settings: Settings,
    tenant_url: String,
    /// How many requests may still be worked on beside those that are.
    in_flight: Arc<Semaphore>,
    /// Each write under way holds a copy; when all are gone, none is under way.
    writing: mpsc::Sender<Infallible>,
}

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
    let mut accepting = Box::pin(accept(&listener, &seats, admit));
    loop {
        server.witness.accepting().beat();
        let (stream, source, seat) = tokio::select! {
            accepted = &mut accepting => accepted,
            // Whoever has been accepted and waits for a place is not dropped by it.
            () = sleep(TICK) => continue,
            () = &mut shutdown => break,
        };
        accepting.set(accept(&listener, &seats, admit));
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
async fn accept(
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

/// Which request it is, and how long Ziflow may be asked for it.
#[derive(Clone, Debug)]
struct Ticket {
    request_id: RequestId,
    deadline: Instant,
}

/// A request that nobody has answered yet.
struct Pending<'a> {
    witness: &'a Witness,
    door: &'a Door,
    line: Line,
}

impl Drop for Pending<'_> {
    /// Usually it has been answered by now. If not, its client is gone. One that has shown no right credential counts as
    /// one that failed to, or whoever comes and goes would fill the log.
    fn drop(&mut self) {
        let is_first = self.witness.note(&self.line, None);
        if is_first && (self.line.client.is_some() || self.door.failed(self.line.source).is_none()) {
            self.line.write_gone();
        }
    }
}

/// A request that can be carried out.
struct Work {
    operation: Operation,
    body: Value,
    conditions: Conditions,
    /// It counts as in flight until its work is done, also when nobody waits for the answer any more.
    _turn: OwnedSemaphorePermit,
}

impl Server {
    /// What is logged on the way belongs to the request.
    async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Source,
        seat: &Seat,
    ) -> Response<Full<Bytes>> {
        let request_id = RequestId::new();
        // At the highest level, or a quiet log would have warnings without it.
        let span = error_span!("request", %request_id);
        self.end(request_id, request, peer, seat).instrument(span).await
    }

    /// A request always ends in a response, and in a line of the log.
    async fn end(
        self: &Arc<Self>,
        request_id: RequestId,
        request: Request<Incoming>,
        peer: Source,
        seat: &Seat,
    ) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        let (source, may_come) = self.door.border().source(peer, &head.headers);
        let mut line = Line::new(request_id.clone(), head.method.clone(), source);
        line.client_request_id = request::client_request_id(&head.headers);
        let mut pending = Pending { witness: &self.witness, door: &self.door, line };
        if !may_come {
            // The border has told it.
            pending.line.is_quiet = true;
            let done = Done::failed(&not_let_in(), Calls::default(), &request_id);
            return self.finished(&pending.line, done).into_response(&request_id);
        }
        let limit = Duration::from_secs(self.settings.limits.request_timeout_secs);
        let line = &mut pending.line;
        let reply = if oauth::is_endpoint(head.uri.path()) {
            self.token(&head, &mut body, line, seat).await
        } else {
            match timeout(limit, self.handle(&head, &mut body, line, seat)).await {
                Ok(reply) => reply,
                Err(_elapsed) => {
                    self.finished(line, Done::failed(&out_of_time(), Calls::default(), &request_id))
                }
            }
        };
        request::discard(&head.headers, &mut body).await;
        reply.into_response(&request_id)
    }

    async fn handle(
        self: &Arc<Self>,
        head: &Parts,
        body: &mut Incoming,
        line: &mut Line,
        seat: &Seat,
    ) -> Reply {
        let client = match self.door.check(&head.headers, line.source).await {
            Ok(client) => client,
            Err(refusal) => {
                let mut done = Done::failed(&refusal.error, Calls::default(), &line.request_id);
                done.reason = refusal.reason.or(done.reason);
                line.is_quiet = refusal.is_known;
                return self.finished(line, done);
            }
        };
        seat.is_known();
        line.client = Some(client.name.clone());
        match self.prepare(head, body, line, &client).await {
            Ok(work) => self.perform(work, line.clone()).await,
            Err(done) => self.finished(line, done),
        }
    }

    /// Every request ends here, once it is known what becomes of it: in the log, and in the numbers.
    fn finished(&self, line: &Line, done: Done) -> Reply {
        line.write(&done);
        self.witness.note(line, Some(&done));
        done.reply
    }

    /// What is asked for, whether this client may, and the body it takes.
    async fn prepare(
        &self,
        head: &Parts,
        body: &mut Incoming,
        line: &mut Line,
        client: &Client,
    ) -> Result<Work, Done> {
        let request_id = line.request_id.clone();
        let told = |error: &Error| Done::failed(error, Calls::default(), &request_id);
        let turn = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_none_left| told(&too_many()))?;
        let operation = self.operation(head);
        line.operation = operation.as_ref().map_or(line.operation, Operation::name);
        client.may(&head.method, operation.as_ref().ok()).map_err(|error| told(&error))?;
        let operation = operation.map_err(|no_route| {
            let reason = no_route.detail().map(without_values);
            Done { reply: Reply::no_route(&no_route, &request_id), calls: Calls::default(), reason }
        })?;
        line.id = operation.id().map(str::to_owned);
        line.object = self.witness.forecast.object(&operation, &Value::Null);
        line.writes = operation.writes();
        let conditions = request::conditions(&head.headers).map_err(|error| told(&error))?;
        let body = if operation.takes_body() {
            let limits = &self.settings.limits;
            request::body(&head.headers, body, limits, self.deadline(line))
                .await
                .and_then(|body| size::check(&body, limits).map(|()| body))
                .map_err(|error| told(&bulk::in_its_words(&operation, error, limits)))?
        } else {
            Value::Null
        };
        // Whom a create is about stands in its body.
        line.object = self.witness.forecast.object(&operation, &body);
        if matches!(operation, Operation::Create(Kind::User, _)) {
            line.newcomer = self.witness.operations.newcomer(&body);
        }
        Ok(Work { operation, body, conditions, _turn: turn })
    }

    /// Until when Ziflow may be asked.
    fn deadline(&self, line: &Line) -> Instant {
        let limit = Duration::from_secs(self.settings.limits.request_timeout_secs);
        line.start + limit.saturating_sub(ANSWER_TIME)
    }

    fn operation(&self, head: &Parts) -> Result<Operation, NoRoute> {
        let uri = &head.uri;
        request::well_formed(head, self.settings.limits.max_target_bytes).map_err(NoRoute::Error)?;
        route(&head.method, &self.settings.base_path, uri.path(), uri.query(), &self.filter_limits())
    }

    fn filter_limits(&self) -> filter::Limits {
        let limits = &self.settings.limits;
        filter::Limits {
            max_chars: limits.max_filter_chars,
            max_depth: limits.max_filter_depth,
            max_terms: limits.max_filter_terms,
            max_attributes: limits.max_attributes,
        }
    }

    fn pages(&self) -> Pages {
        let Settings { limits, cursor_timeout_secs, .. } = &self.settings;
        Pages { max_results: limits.max_results, cursor_timeout_secs: *cursor_timeout_secs }
    }

    async fn list(&self, users: &Users<'_>, kind: Kind, mut query: Query) -> Result<Reply, Error> {
        if query.cursor.is_some() && self.settings.cursor_timeout_secs == 0 {
            let detail =
                "cursors are not offered here (ziflow.directory_ttl_secs is 0): page with startIndex";
            return Err(Error::invalid_value(detail));
        }
        let most = self.settings.limits.max_results;
        // Further pages of a cursor are as long as the first one.
        if query.count.is_some() || !matches!(query.cursor, Some(Place::At(_))) {
            query.count = Some(query.count.map_or(most, |count| count.min(most)));
        }
        let list = match kind {
            Kind::User => users.list(&query).await,
            Kind::Group => users.groups().list(&query).await,
        };
        list.map(|list| Reply::ok(list.into_json(&query)))
    }

    /// Runs the operation in a task of its own: a panic ends in an answer, and a write goes on, and into the log,
    /// when the client goes away. A read does not: it would only stand in the queue for Ziflow.
    async fn perform(self: &Arc<Self>, work: Work, line: Line) -> Reply {
        let writes = work.operation.writes();
        let (server, before) = (Arc::clone(self), line.clone());
        let writing = writes.then(|| self.writing.clone());
        let task = async move {
            let (outcome, calls) = server.carry_out(work, &line).await;
            let done = match outcome {
                Ok(reply) => Done { reply, calls, reason: None },
                Err(error) => Done::failed(&error, calls, &line.request_id),
            };
            let reply = server.finished(&line, done);
            drop(writing);
            reply
        };
        let reply = if writes {
            tokio::spawn(task.in_current_span()).await.map_err(|failure| what_happened(&failure))
        } else {
            // A set, because it aborts its tasks when it is dropped.
            let mut tasks = JoinSet::new();
            drop(tasks.spawn(task.in_current_span()));
            match tasks.join_next().await {
                Some(done) => done.map_err(|failure| what_happened(&failure)),
                None => Err("the task is gone"),
            }
        };
        reply.unwrap_or_else(|failure| {
            let request_id = &before.request_id;
            error!(%request_id, failure, "a request made the bridge fail; please report this");
            self.finished(&before, Done::failed(&broken(), Calls::default(), request_id))
        })
    }

    async fn carry_out(&self, work: Work, line: &Line) -> (Result<Reply, Error>, Calls) {
        let Work { operation, body, conditions, _turn } = work;
        let deadline = self.deadline(line);
        let ticket = Ticket { request_id: line.request_id.clone(), deadline };
        let users = self.bridge.users(deadline, conditions.clone()).asked_by(line.asker());
        let base = &self.tenant_url;
        let outcome = match operation {
            Operation::ServiceProviderConfig => {
                let limits = &self.settings.limits;
                Ok(Reply::ok(discovery::service_provider_config(base, self.pages(), limits.bulk())))
            }
            Operation::ResourceTypes => Ok(Reply::ok(discovery::resource_types(base))),
            Operation::ResourceType(id) => found(discovery::resource_type(base, &id), "resource type"),
            Operation::Schemas => Ok(Reply::ok(discovery::schemas(base, &users.required()))),
            Operation::Schema(id) => found(discovery::schema(base, &id, &users.required()), "schema"),
            Operation::List(kind, query) => self.list(&users, kind, *query).await,
            Operation::Search(kind) => self.search(&users, kind, body).await,
            Operation::Create(kind, projection) => resources::create(&users, kind, body)
                .await
                .map(|made| Reply::resource(StatusCode::CREATED, kind, made, &projection)),
            Operation::Get { kind, id, projection } => resources::get(&users, kind, &id, &projection)
                .await
                .map(|found| Reply::known_or_resource(&conditions, kind, found, &projection)),
            Operation::Replace { kind, id, projection } => resources::replace(&users, kind, &id, body)
                .await
                .map(|found| Reply::resource(StatusCode::OK, kind, found, &projection)),
            Operation::Patch { kind, id, projection } => {
                resources::patch(&users, kind, &id, body, &projection).await
            }
            Operation::Delete { kind, id } => {
                resources::delete(&users, kind, &id).await.map(|()| Reply::no_content())
            }
            Operation::Bulk => self.bulk(&users, body, &ticket).await,
        };
        (outcome, users.calls())
    }
}

fn found(resource: Option<Value>, what: &str) -> Result<Reply, Error> {
    resource.map(Reply::ok).ok_or_else(|| Error::not_found(format!("there is no such {what}")))
}

/// Nothing of the request has been looked at but from whom it comes.
fn not_let_in() -> Error {
    Error::new(StatusCode::FORBIDDEN, "requests from this network are not let in")
}

fn out_of_time() -> Error {
    let detail = "the request took longer than server.request_timeout_secs; a change may have happened, and \
                  repeating it is safe";
    Error::new(StatusCode::GATEWAY_TIMEOUT, detail).retry_after(Duration::from_secs(10))
}

/// Never the words of a panic, which may hold anything; the log has named its place.
fn what_happened(failure: &JoinError) -> &'static str {
    if failure.is_panic() { "a panic" } else { "cancelled" }
}

/// Said at once: a queue before the one for Ziflow would only make everybody late.
fn too_many() -> Error {
    let detail =
        "too many requests are being worked on (server.max_requests_in_flight); nothing has been changed";
    Error::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(Duration::from_secs(1))
}

fn broken() -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "the bridge failed; its log says more under the request-id")
}
