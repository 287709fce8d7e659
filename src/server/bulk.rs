//! Bulk requests, carried out: one operation after the other, each as if it had come alone, within one request's
//! time. Whatever becomes of one, the results of the others are told.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::bridge::{Calls, Users};
use crate::mask::{self, Values};
use crate::scim::bulk::{self, Action, Done, Job};
use crate::scim::error::{Error, without_values};
use crate::scim::resource::Resource;
use crate::scim::schema::GROUP_TYPE;
use crate::server::answer::{SAID_BYTES, Server, broken};
use crate::server::forecast::Object;
use crate::server::log::{Line, Part, Said, written_down};
use crate::server::reply::Reply;
use crate::server::route::{Kind, Operation};
use crate::server::witness::Witness;
use crate::server::{Limits, resources};

/// An operation that begins with less time than this would mostly be cut off half-way.
const LEAST_TIME: Duration = Duration::from_millis(500);

/// What is told of an operation, whatever becomes of it.
struct Task {
    name: &'static str,
    method: &'static str,
    id: Option<String>,
    newcomer: Option<u64>,
    object: Option<Object>,
    said: Said,
}

impl Task {
    fn of(action: &Result<Action, Error>, kind: Kind, job: &Job, place: usize, witness: &Witness) -> Self {
        let values = witness.values;
        let action = action.as_ref().ok();
        let newcomer = match action {
            Some(Action::Create(data)) if kind == Kind::User => witness.operations.newcomer(data),
            _ => None,
        };
        Self {
            // Also of one that is refused before it is carried out: somebody stays as they were all the same.
            name: job.name(place).unwrap_or("none"),
            method: job.method(place).unwrap_or("other"),
            id: job.id(place).map(str::to_owned),
            newcomer,
            object: witness.forecast.object_of(kind, job.id(place), action),
            said: Said {
                // A client may call it after somebody.
                target: job
                    .bulk_id(place)
                    .filter(|_| values == Values::Shown)
                    .map(|id| format!("bulkId {id}")),
                body: action.and_then(Action::data).map(|data| mask::json(data, values, SAID_BYTES)),
            },
        }
    }

    fn ended(
        self,
        place: usize,
        outcome: &Result<Done, Error>,
        (took, calls): (Duration, Calls),
        values: Values,
    ) -> (Option<Object>, Part) {
        let Self { name, method, id, newcomer, object, said } = self;
        let reason = |error: &Error| match values {
            Values::Shown => error.detail.clone(),
            Values::Hidden => without_values(&error.detail),
        };
        let (status, id, reason) = match outcome {
            Ok(done) => (done.status, Some(done.id.clone()), None),
            Err(error) => (error.status, id, Some(reason(error))),
        };
        let number = place + 1;
        (object, Part { number, method, name, id, newcomer, status, reason, took, calls, said })
    }
}

impl Limits {
    pub(super) fn bulk(&self) -> bulk::Limits {
        bulk::Limits { max_operations: self.max_bulk_operations, max_payload_bytes: self.max_body_bytes }
    }
}

impl Server {
    pub(super) async fn bulk(
        &self,
        users: &Users<'_>,
        body: Value,
        deadline: Instant,
        line: &Line,
    ) -> Result<Reply, Error> {
        let mut job = Job::parse(body, self.settings.limits.max_bulk_operations)?;
        while let Some((place, action)) = job.turn() {
            let kind = if job.resource_type(place).id == GROUP_TYPE.id { Kind::Group } else { Kind::User };
            let task = Task::of(&action, kind, &job, place, &self.witness);
            let (began, mut calls) = (Instant::now(), Calls::default());
            let outcome = match action {
                Ok(_) if began + LEAST_TIME > deadline => Err(no_time_left()),
                Ok(action) => match job.conditions(place) {
                    Ok(conditions) => {
                        let users = users.part(conditions);
                        let outcome = unless_it_breaks(Box::pin(carry_out(&users, kind, action))).await;
                        calls = users.calls().so_far();
                        outcome
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            log(line, place, &task, &outcome);
            let spent = (began.elapsed(), calls);
            self.witnessed(line, task.ended(place, &outcome, spent, self.witness.values));
            job.settle(place, outcome);
        }
        let locate = |rt, id: &str| self.bridge.location_of(rt, id);
        Ok(Reply::ok(job.into_json(locate, line.request_id.as_str())))
    }

    /// Whoever watches sees each operation, as if it had come alone.
    fn witnessed(&self, line: &Line, (object, part): (Option<Object>, Part)) {
        if let Some(object) = object {
            self.witness.forecast.note(object, Some(part.status), part.id.as_deref());
        }
        self.witness.operations.note(line.part(part));
    }
}

/// RFC 7644 section 3.7.4 names the limit that a bulk request exceeds as `/ServiceProviderConfig` does.
pub(super) fn in_its_words(operation: &Operation, error: Error, limits: &Limits) -> Error {
    match operation {
        Operation::Bulk if error.status == StatusCode::PAYLOAD_TOO_LARGE => {
            bulk::too_large(limits.max_body_bytes)
        }
        _ => error,
    }
}

async fn carry_out(users: &Users<'_>, kind: Kind, action: Action) -> Result<Done, Error> {
    match action {
        Action::Create(data) => Ok(done(StatusCode::CREATED, &resources::create(users, kind, data).await?)),
        Action::Replace(id, data) => {
            Ok(done(StatusCode::OK, &resources::replace(users, kind, &id, data).await?))
        }
        Action::Patch(id, data) => {
            // As the same operation alone is answered.
            let status = match kind {
                Kind::User => StatusCode::OK,
                Kind::Group => StatusCode::NO_CONTENT,
            };
            Ok(done(status, &resources::patched(users, kind, &id, data, false).await?))
        }
        Action::Delete(id) => {
            resources::delete(users, kind, &id).await?;
            Ok(Done { status: StatusCode::NO_CONTENT, id, version: None })
        }
    }
}

fn done(status: StatusCode, person: &Resource) -> Done {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let id = text(person.as_map().get("id")).unwrap_or_default();
    let version = text(person.as_map().get("meta").and_then(|meta| meta.get("version")));
    Done { status, id, version }
}

/// A panic ends one operation: what the others have done must still be told.
async fn unless_it_breaks(
    mut work: impl Future<Output = Result<Done, Error>> + Unpin,
) -> Result<Done, Error> {
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut work).poll(context)));
        polled.unwrap_or_else(|_panic| {
            error!("an operation made the bridge fail; please report this");
            Poll::Ready(Err(broken()))
        })
    })
    .await
}

/// A line for each operation beside the line of the request, so that an operator sees which one failed.
fn log(line: &Line, place: usize, task: &Task, outcome: &Result<Done, Error>) {
    let (request_id, number, operation) = (&line.request_id, place + 1, task.name);
    let (status, id, reason) = match outcome {
        Ok(done) => (done.status, Some(&done.id), None),
        Err(error) => {
            (error.status, written_down(task.id.as_ref(), false), Some(without_values(&error.detail)))
        }
    };
    macro_rules! line {
        ($level:ident) => {
            $level!(number, operation, id, status = status.as_u16(), reason, %request_id, "bulk operation")
        };
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        line!(warn);
    } else {
        line!(info);
    }
}

fn no_time_left() -> Error {
    let detail = "not carried out: the operations before it took all the time of the request \
                  (server.request_timeout_secs); send it again, with fewer others";
    Error::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_operation() {
        let breaks = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        let error = unless_it_breaks(Box::pin(breaks)).await.unwrap_err();
        assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
        let fine = Done { status: StatusCode::OK, id: "1".to_owned(), version: None };
        assert_eq!(unless_it_breaks(Box::pin(async { Ok(fine.clone()) })).await, Ok(fine));
    }
}
