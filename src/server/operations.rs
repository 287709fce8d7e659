//! The requests of late, each with the calls of Ziflow that it became, and whom the bridge could not serve: for the
//! status page. As many are kept as the settings say, within a bound of memory, and nobody is named.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use crate::bridge::Calls;
use crate::server::log::Said;

/// However large they are, all that is kept takes no more than about this.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Whoever has no right credential must not push out what others have asked.
const MOST_UNKNOWN: usize = 20;

/// So many people are remembered who could not be served.
const MOST_FAILURES: usize = 200;

/// A client may write an id of any length.
const ID_CHARS: usize = 256;
const REASON_CHARS: usize = 1000;

/// A finished request.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) at: Timestamp,
    pub(super) request_id: String,
    /// What the client calls it, if it says so.
    pub(super) client_request_id: Option<String>,
    pub(super) method: String,
    pub(super) name: &'static str,
    /// Whether it asked for a change.
    pub(super) writes: bool,
    pub(super) id: Option<String>,
    /// Tells one person who has no id yet from another.
    pub(super) newcomer: Option<u64>,
    /// Whether it came with a right credential.
    pub(super) is_known: bool,
    /// The name of the token, or where the request came from.
    pub(super) who: String,
    /// None: the client went away.
    pub(super) status: Option<StatusCode>,
    pub(super) reason: Option<String>,
    pub(super) took: Duration,
    pub(super) calls: Calls,
    /// What it said, as it may be seen.
    pub(super) said: Said,
    /// Of an operation of a bulk request, its place there; the first has 1.
    pub(super) part: Option<usize>,
}

impl Operation {
    pub(super) fn has_failed(&self) -> bool {
        self.status.is_none_or(|status| status.is_client_error() || status.is_server_error())
    }

    /// Whom a failure of this is about. A look that fails is followed by another one and changes nothing.
    fn subject(&self) -> Option<Subject> {
        let id = self.id.clone().map(Subject::Id);
        id.or(self.newcomer.map(Subject::Newcomer)).filter(|_| self.writes)
    }

    /// Somebody who is gone already is deleted well.
    fn leaves_undone(&self) -> bool {
        self.has_failed() && !(self.name.starts_with("delete") && self.status == Some(StatusCode::NOT_FOUND))
    }

    fn bounded(mut self) -> Self {
        self.id = self.id.map(|id| cut(id, ID_CHARS));
        self.reason = self.reason.map(|reason| cut(reason, REASON_CHARS));
        self.said.target = self.said.target.map(|target| cut(target, REASON_CHARS));
        self
    }

    /// What is told of somebody who could not be served; the rest stands among the requests of late.
    fn told(&self) -> Self {
        Self { calls: Calls::default(), said: Said::default(), ..self.clone() }
    }

    fn bytes(&self) -> usize {
        let Said { target, body } = &self.said;
        let texts = [&self.id, &self.reason, &self.client_request_id, target, body];
        let texts = texts.into_iter().flatten().map(String::len);
        let calls = self.calls.first().iter();
        let calls = calls.map(|made| size_of_val(made) + made.endpoint.len() + made.said.bytes());
        size_of_val(self)
            + self.who.len()
            + self.request_id.len()
            + texts.sum::<usize>()
            + calls.sum::<usize>()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Id(String),
    Newcomer(u64),
}

/// What has been asked of late, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    most: usize,
    kept: Mutex<Kept>,
    names: RandomState,
}

#[derive(Debug, Default)]
struct Kept {
    operations: VecDeque<Arc<Operation>>,
    bytes: usize,
    failures: VecDeque<(Subject, Arc<Operation>)>,
}

impl Kept {
    fn make_room_for_unknown(&mut self) {
        let unknown = self.operations.iter().enumerate().filter(|(_, operation)| !operation.is_known);
        let places: Vec<usize> = unknown.map(|(place, _)| place).collect();
        let Some(oldest) = places.first().filter(|_| places.len() >= MOST_UNKNOWN) else { return };
        if let Some(removed) = self.operations.remove(*oldest) {
            self.bytes = self.bytes.saturating_sub(removed.bytes());
        }
    }
}

impl Operations {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// What tells the person of this body from others, and means nothing to anybody else.
    pub(super) fn newcomer(&self, body: &Value) -> Option<u64> {
        let (_, name) = body.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case("userName"))?;
        Some(self.names.hash_one(name.as_str()?.to_lowercase()))
    }

    pub(super) fn note(&self, operation: Operation) {
        let operation = Arc::new(operation.bounded());
        let mut kept = self.lock();
        if let Some(subject) = operation.subject() {
            kept.failures.retain(|(other, _)| *other != subject);
            if operation.leaves_undone() {
                kept.failures.push_back((subject, Arc::new(operation.told())));
            }
            if kept.failures.len() > MOST_FAILURES {
                kept.failures.pop_front();
            }
        }
        if !operation.is_known {
            kept.make_room_for_unknown();
        }
        kept.bytes += operation.bytes();
        kept.operations.push_back(operation);
        while kept.operations.len() > self.most || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.operations.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.bytes());
        }
    }

    /// The latest first.
    pub(super) fn latest(&self) -> Vec<Arc<Operation>> {
        self.lock().operations.iter().rev().map(Arc::clone).collect()
    }

    /// The one with this request id, if it is still kept.
    pub(super) fn find(&self, request_id: &str) -> Option<Arc<Operation>> {
        let is_it =
            |operation: &&Arc<Operation>| operation.request_id == request_id && operation.part.is_none();
        self.lock().operations.iter().rev().find(is_it).map(Arc::clone)
    }

    /// The last change of each person or group, where it failed: the latest first.
    pub(super) fn failures(&self) -> Vec<Arc<Operation>> {
        self.lock().failures.iter().rev().map(|(_, operation)| Arc::clone(operation)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &'static str, id: Option<&str>, status: u16) -> Operation {
        Operation {
            at: Timestamp::UNIX_EPOCH,
            request_id: "r".to_owned(),
            client_request_id: None,
            method: "PATCH".to_owned(),
            name,
            writes: !name.starts_with("get"),
            id: id.map(str::to_owned),
            newcomer: None,
            is_known: true,
            who: "entra".to_owned(),
            status: StatusCode::from_u16(status).ok(),
            reason: None,
            took: Duration::ZERO,
            calls: Calls::default(),
            said: Said::default(),
            part: None,
        }
    }

    #[test]
    fn a_failure_stands_until_a_change_of_the_same_person_succeeds() {
        let newcomer =
            |number, status| Operation { newcomer: Some(number), ..operation("create-user", None, status) };
        for (asked, failed) in [
            (vec![operation("patch-user", Some("1"), 503)], 1),
            (vec![operation("patch-user", Some("1"), 503), operation("patch-user", Some("1"), 400)], 1),
            (vec![operation("patch-user", Some("1"), 503), operation("patch-user", Some("2"), 503)], 2),
            (vec![operation("patch-user", Some("1"), 503), operation("replace-user", Some("1"), 200)], 0),
            (vec![operation("patch-user", Some("1"), 503), operation("get-user", Some("1"), 200)], 1),
            (vec![operation("get-user", Some("1"), 404)], 0),
            (vec![operation("delete-user", Some("1"), 404)], 0),
            (vec![newcomer(1, 409), newcomer(2, 409), newcomer(1, 201)], 1),
        ] {
            let operations = Operations::new(10);
            for operation in asked {
                operations.note(operation);
            }
            assert_eq!(operations.failures().len(), failed, "{:?}", operations.latest());
        }
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_in_bytes() {
        let operations = Operations::new(100_000);
        let long = "ä".repeat(100_000);
        for number in 0..20_000 {
            let id = format!("{number} {long}");
            let id = if number % 10 == 0 { id } else { number.to_string() };
            operations.note(operation("patch-user", Some(&id), 503));
        }
        let kept = operations.lock();
        assert!(kept.bytes <= MOST_BYTES && kept.operations.len() > 1000, "{} bytes", kept.bytes);
        assert_eq!(kept.failures.len(), MOST_FAILURES);
        drop(kept);

        let known = Operations::new(100);
        known.note(operation("get-user", Some("1"), 200));
        for _ in 0..1000 {
            known.note(Operation { is_known: false, ..operation("none", None, 401) });
        }
        assert_eq!(known.latest().len(), MOST_UNKNOWN + 1);

        let large = Operations::new(100_000);
        let said = Said { target: Some(long.clone()), body: Some("x".repeat(4096)) };
        for number in 0..5000 {
            large.note(Operation {
                said: said.clone(),
                ..operation("patch-user", Some(&number.to_string()), 503)
            });
        }
        let kept = large.lock();
        assert!(kept.bytes <= MOST_BYTES && kept.operations.len() > 500, "{}", kept.operations.len());
        assert!(kept.failures.iter().all(|(_, failed)| failed.said.body.is_none()));
        drop(kept);

        let few = Operations::new(2);
        for id in ["1", "2", "3"] {
            few.note(operation("get-user", Some(id), 200));
        }
        let ids: Vec<_> = few.latest().iter().filter_map(|operation| operation.id.clone()).collect();
        assert_eq!(ids, ["3", "2"]);
    }
}
