//! Answering: who speaks, what is asked, and what becomes of it. Every request ends here in one answer, one line of the log
//! and one trace for whoever watches, whatever happens to it on the way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, error, error_span};

use crate::bridge::{Bridge, Users};
use crate::mask::{self, Values};
use crate::scim::discovery::{self, Pages};
use crate::scim::error::{Error, without_values};
use crate::scim::filter;
use crate::scim::query::{Place, Query};
use crate::scim::version::Conditions;
use crate::server::auth::{Client, Door};
use crate::server::log::{Done, Line};
use crate::server::reply::Reply;
use crate::server::request::RequestId;
use crate::server::route::{Kind, NoRoute, Operation, known_part, route};
use crate::server::seats::Seat;
use crate::server::source::Source;
use crate::server::witness::Witness;
use crate::server::{Settings, bulk, oauth, request, resources, size};

/// The bridge gives up on Ziflow this long before the request's deadline, to have time for the answer.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// So much of a body is kept for those who watch.
pub(super) const SAID_BYTES: usize = 4096;

/// What every connection needs.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) bridge: Arc<Bridge>,
    pub(super) door: Arc<Door>,
    pub(super) witness: Arc<Witness>,
    pub(super) settings: Settings,
    pub(super) tenant_url: String,
    /// How many requests may still be worked on beside those that are.
    pub(super) in_flight: Arc<Semaphore>,
    /// Each write under way holds a copy; when all are gone, none is under way.
    pub(super) writing: mpsc::Sender<Infallible>,
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
    pub(super) async fn answer(
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
            let done = turned_away(head.uri.path(), &request_id);
            return self.finished(&pending.line, done).into_response(&request_id);
        }
        let limit = Duration::from_secs(self.settings.limits.request_timeout_secs);
        let line = &mut pending.line;
        let reply = if oauth::is_endpoint(head.uri.path()) {
            self.token(&head, &mut body, line, seat).await
        } else {
            match timeout(limit, self.handle(&head, &mut body, line, seat)).await {
                Ok(reply) => reply,
                Err(_elapsed) => self.finished(line, Done::failed(&out_of_time(), &request_id)),
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
                let mut done = Done::failed(&refusal.error, &line.request_id);
                done.reason = refusal.reason.or(done.reason);
                done.detail = None;
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
    pub(super) fn finished(&self, line: &Line, done: Done) -> Reply {
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
        let told = |error: &Error| Done::failed(error, &request_id);
        let turn = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_none_left| told(&too_many()))?;
        let operation = self.operation(head);
        line.said.target = said_target(head, operation.as_ref().ok(), self.witness.values);
        line.operation = operation.as_ref().map_or(line.operation, Operation::name);
        client.may(&head.method, operation.as_ref().ok()).map_err(|error| told(&error))?;
        let operation = operation.map_err(|no_route| {
            let reason = no_route.detail().map(without_values);
            let reason = reason.map(|reason| match &no_route {
                NoRoute::Error(error) if error.status == StatusCode::NOT_FOUND => {
                    let asked = known_part(&self.settings.base_path, head.uri.path());
                    format!("{reason}; asked for {asked}")
                }
                _ => reason,
            });
            Done { reply: Reply::no_route(&no_route, &request_id), reason, detail: None }
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
        if operation.takes_body() {
            line.said.body = Some(mask::json(&body, self.witness.values, SAID_BYTES));
        }
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

    pub(super) fn filter_limits(&self) -> filter::Limits {
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

    pub(super) async fn list(&self, users: &Users<'_>, kind: Kind, mut query: Query) -> Result<Reply, Error> {
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
            let done = match server.carry_out(work, &line).await {
                Ok(reply) => Done { reply, reason: None, detail: None },
                Err(error) => Done::failed(&error, &line.request_id),
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
            self.finished(&before, Done::failed(&broken(), request_id))
        })
    }

    async fn carry_out(&self, work: Work, line: &Line) -> Result<Reply, Error> {
        let Work { operation, body, conditions, _turn } = work;
        let deadline = self.deadline(line);
        let users = self.bridge.users(deadline, conditions.clone()).asked_by(line.asker());
        line.costs(users.calls());
        let base = &self.tenant_url;
        match operation {
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
            Operation::Bulk => self.bulk(&users, body, deadline, line).await,
        }
    }
}

fn found(resource: Option<Value>, what: &str) -> Result<Reply, Error> {
    resource.map(Reply::ok).ok_or_else(|| Error::not_found(format!("there is no such {what}")))
}

/// What is asked for, with values only where they may be seen.
fn said_target(head: &Parts, operation: Option<&Operation>, values: Values) -> Option<String> {
    match (values, operation) {
        (Values::Shown, _) => head.uri.path_and_query().map(|target| mask::target(target.as_str())),
        (Values::Hidden, Some(Operation::List(_, query))) => {
            query.filter.as_ref().map(|filter| mask::texts_hidden(&filter.to_string()))
        }
        (Values::Hidden, _) => None,
    }
}

/// Nothing of the request has been looked at but from whom it comes and, for the answer's words, where it goes.
fn turned_away(path: &str, request_id: &RequestId) -> Done {
    const DETAIL: &str = "requests from this network are not let in";
    if oauth::is_endpoint(path) {
        return oauth::Failure::turned_away(DETAIL).into_done();
    }
    Done::failed(&Error::new(StatusCode::FORBIDDEN, DETAIL), request_id)
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

pub(super) fn broken() -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, "the bridge failed; its log says more under the request-id")
}
