//! The quarantine forecast: which share of the people and groups that Entra has lately been at work on fails, before
//! Entra counts it.
//!
//! Entra puts a provisioning job into quarantine when more than 40 % of its operations fail, once it has seen 5,000
//! failures; from then on it works once a day, and after four weeks not at all. What fails is repeated every cycle, so
//! counting requests would tell how often Entra has tried, and not for how many.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::bridge::health::{Component, Health};
use crate::scim::bulk::Action;
use crate::server::route::{Kind, Operation};

/// A cycle of Entra's. Looking back for one or two of them, nobody is forgotten between two tries.
const CYCLE: Duration = Duration::from_secs(40 * 60);

/// So many numbers are remembered of a cycle; when there are more, it is taken for over.
const MOST: usize = 100_000;

/// Entra's share is 40 %: half of it leaves time to act.
const AT_RISK: f64 = 0.2;

/// With fewer failures than this, a share says little.
const WORTH_TELLING: usize = 5;

/// Whom or what a request is about, and how its failure is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// By id; for a look-up and a create it is in the answer.
    id: Option<u64>,
    /// By name, as long as nothing has an id.
    name: Option<u64>,
    kind: Kind,
    writes: bool,
    may_be_absent: bool,
}

/// How the last that was done about somebody has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fine,
    /// It has to be read again; a read that works makes it good.
    ReadFailed,
    /// It has to be written again: a read in between changes nothing.
    WriteFailed,
}

/// What is remembered under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Object(State),
    /// It is the name of the one with this number.
    NameOf(u64),
}

/// Numbers stand for ids and names: it holds nobody.
#[derive(Debug)]
pub(super) struct Forecast {
    numbers: RandomState,
    window: Mutex<Window>,
}

/// Those of this cycle, and those of the one before who have not been seen since.
#[derive(Debug)]
struct Window {
    since: Instant,
    now: HashMap<u64, Entry>,
    before: HashMap<u64, Entry>,
}

/// How many there were lately, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) objects: usize,
    pub(super) failed: usize,
}

impl Default for Forecast {
    fn default() -> Self {
        let window = Window { since: Instant::now(), now: HashMap::default(), before: HashMap::default() };
        Self { numbers: RandomState::new(), window: Mutex::new(window) }
    }
}

impl Forecast {
    /// Whom a request is about; `None` for lists, discovery, and bulk requests, whose operations count by themselves.
    pub(super) fn object(&self, operation: &Operation, body: &Value) -> Option<Object> {
        let (kind, id, name) = match operation {
            Operation::Get { kind, id, .. }
            | Operation::Replace { kind, id, .. }
            | Operation::Patch { kind, id, .. }
            | Operation::Delete { kind, id } => (*kind, Some(id.as_str()), None),
            Operation::Create(kind, _) => (*kind, None, name_in(*kind, body)),
            Operation::List(kind, query) => {
                let pins = query.filter.as_ref()?.pins();
                let (path, value) = pins.iter().find_map(|(path, value)| Some((path, value.as_str()?)))?;
                if path.to_string() == "id" { (*kind, Some(value), None) } else { (*kind, None, Some(value)) }
            }
            _ => return None,
        };
        let may_be_absent = matches!(operation, Operation::Get { .. } | Operation::Delete { .. });
        Some(Object { writes: operation.writes(), may_be_absent, ..self.numbered(kind, id, name)? })
    }

    /// The same for an operation of a bulk request, which may have been refused before it was clear what it asks for.
    pub(super) fn object_of(&self, kind: Kind, id: Option<&str>, action: Option<&Action>) -> Option<Object> {
        let name = if let Some(Action::Create(data)) = action { name_in(kind, data) } else { None };
        let may_be_absent = matches!(action, Some(Action::Delete(_)));
        Some(Object { may_be_absent, ..self.numbered(kind, id, name)? })
    }

    fn numbered(&self, kind: Kind, id: Option<&str>, name: Option<&str>) -> Option<Object> {
        id.or(name)?;
        Some(Object {
            id: id.map(|id| self.number(kind, "id", id)),
            name: name.map(|name| self.number(kind, "name", &name.to_lowercase())),
            kind,
            writes: true,
            may_be_absent: false,
        })
    }

    /// What became of it: the status, none when the client has not waited for the answer, and the id of whom it shows.
    pub(super) fn note(&self, object: Object, status: Option<StatusCode>, found: Option<&str>) {
        let found = found.map(|id| self.number(object.kind, "id", id));
        let failed = match status {
            Some(StatusCode::NOT_FOUND) if object.may_be_absent => false,
            Some(status) => status.is_client_error() || status.is_server_error(),
            None => true,
        };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(Instant::now());
        let id = object.id.or(found);
        // Test Connection and `doctor` look for nobody: who asks often would make the share of those who fail look small.
        if !object.writes && !failed && found.is_none() && !window.knows([id, object.name]) {
            return;
        }
        window.note(id, object.name, |before| before.then(failed, object.writes));
    }

    pub(super) fn share(&self) -> Share {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(Instant::now());
        let mut share = Share::default();
        for entry in window.now.values().chain(window.before.values()) {
            if let Entry::Object(state) = entry {
                share.objects += 1;
                share.failed += usize::from(*state != State::Fine);
            }
        }
        share
    }

    fn number(&self, kind: Kind, what: &str, text: &str) -> u64 {
        self.numbers.hash_one((kind == Kind::Group, what, text))
    }
}

/// By what the people and groups of a create are known.
fn name_in(kind: Kind, body: &Value) -> Option<&str> {
    let name = match kind {
        Kind::User => "userName",
        Kind::Group => "displayName",
    };
    body.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1.as_str()
}

impl State {
    fn then(self, failed: bool, writes: bool) -> Self {
        match (failed, writes) {
            (true, true) => Self::WriteFailed,
            (true, false) if self == Self::Fine => Self::ReadFailed,
            (false, false) if self == Self::ReadFailed => Self::Fine,
            (false, true) => Self::Fine,
            (_, false) => self,
        }
    }
}

impl Window {
    /// Lets go of those who have not been seen for longer than a cycle.
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < CYCLE && self.now.len() < MOST {
            return;
        }
        let ended = std::mem::take(&mut self.now);
        self.before = if age < CYCLE * 2 { ended } else { HashMap::default() };
        self.since = now;
    }

    /// Whoever was known by name and has an id now is known by that, and by the name as well.
    fn note(&mut self, id: Option<u64>, name: Option<u64>, next: impl FnOnce(State) -> State) {
        let named = name.and_then(|name| self.take(name));
        let id = id.or(match named {
            Some(Entry::NameOf(id)) => Some(id),
            _ => None,
        });
        let Some(key) = id.or(name) else { return };
        let before = match (self.take(key), named) {
            (Some(Entry::Object(state)), _) | (None, Some(Entry::Object(state))) => state,
            _ => State::Fine,
        };
        if let Some(name) = name.filter(|name| *name != key) {
            self.now.insert(name, Entry::NameOf(key));
        }
        self.now.insert(key, Entry::Object(next(before)));
    }

    fn knows(&self, keys: [Option<u64>; 2]) -> bool {
        let known = |key: &u64| self.now.contains_key(key) || self.before.contains_key(key);
        keys.iter().flatten().any(known)
    }

    fn take(&mut self, key: u64) -> Option<Entry> {
        self.now.remove(&key).or_else(|| self.before.remove(&key))
    }
}

impl Share {
    pub(super) fn ratio(self) -> f64 {
        let number = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        if self.objects == 0 { 0.0 } else { number(self.failed) / number(self.objects) }
    }

    /// The part of readiness.
    pub(super) fn health(self) -> Component {
        let Self { objects, failed } = self;
        let at_risk = failed >= WORTH_TELLING && self.ratio() >= AT_RISK;
        let told = match objects {
            0 => "nobody has been asked for lately".to_owned(),
            _ => format!(
                "{failed} of the {objects} people and groups that were lately asked for failed ({:.0} %)",
                self.ratio() * 100.0
            ),
        };
        let (state, detail) = if at_risk {
            let rule = "Entra puts its job into quarantine above 40 % once it has seen 5,000 failures";
            (Health::AtRisk, format!("{told}; {rule}: look for `reason` in the log"))
        } else {
            (Health::Fine, told)
        };
        Component { name: "quarantine", state, detail }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::scim::error::Error;
    use crate::scim::filter::Limits;
    use crate::server::reply::Reply;
    use crate::server::request::RequestId;
    use crate::server::route::route;

    /// Asks, and is answered with this status; a body of the answer goes with a success.
    fn ask(forecast: &Forecast, request: &str, body: &Value, answer: Result<Value, u16>) {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let limits = Limits { max_chars: 1000, max_depth: 10, max_terms: 10, max_attributes: 10 };
        let operation = route(&method.parse::<Method>().unwrap(), "", path, query, &limits).unwrap();
        let Some(object) = forecast.object(&operation, body) else { return };
        let reply = match answer {
            Ok(body) => Reply::ok(body),
            Err(status) => {
                let error = Error::new(StatusCode::from_u16(status).unwrap(), "no");
                Reply::error(&error, &RequestId::new())
            }
        };
        forecast.note(object, Some(reply.status()), reply.subject());
    }

    fn share(forecast: &Forecast) -> (usize, usize) {
        let Share { objects, failed } = forecast.share();
        (objects, failed)
    }

    const FIND: &str = "GET /Users?filter=userName%20eq%20%22Jo@example.com%22";

    fn list(ids: &[&str]) -> Value {
        let resources: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        json!({"totalResults": ids.len(), "Resources": resources})
    }

    #[tokio::test(start_paused = true)]
    async fn one_person_counts_once_whatever_is_asked_about_them() {
        let forecast = Forecast::default();
        let jo = json!({"USERNAME": "jo@example.com"});
        ask(&forecast, FIND, &Value::Null, Ok(list(&[])));
        ask(&forecast, "GET /Users/8", &Value::Null, Err(404));
        assert_eq!(share(&forecast), (0, 0), "a look-up for nobody is about nobody");
        ask(&forecast, FIND, &Value::Null, Err(503));
        assert_eq!(share(&forecast), (1, 1), "a look-up failed");
        ask(&forecast, FIND, &Value::Null, Ok(list(&[])));
        assert_eq!(share(&forecast), (1, 0), "and works");
        ask(&forecast, "POST /Users", &jo, Err(409));
        assert_eq!(share(&forecast), (1, 1));
        ask(&forecast, FIND, &Value::Null, Ok(list(&[])));
        assert_eq!(share(&forecast), (1, 1), "the create is still to be done");
        ask(&forecast, "POST /Users", &jo, Ok(json!({"id": "7"})));
        assert_eq!(share(&forecast), (1, 0), "now by id");
        ask(&forecast, "PATCH /Users/7", &json!({}), Err(404));
        assert_eq!(share(&forecast), (1, 1));
        ask(&forecast, "GET /Users/7", &Value::Null, Err(404));
        ask(&forecast, FIND, &Value::Null, Ok(list(&["7"])));
        assert_eq!(share(&forecast), (1, 1), "a read makes no write good");
        ask(&forecast, "PATCH /Users/7", &json!({}), Ok(json!({"id": "7"})));
        ask(&forecast, FIND, &Value::Null, Err(503));
        ask(&forecast, "POST /Users", &jo, Err(409));
        assert_eq!(share(&forecast), (1, 1), "by name and by id it is the same one");
        ask(&forecast, "DELETE /Users/7", &Value::Null, Err(404));
        assert_eq!(share(&forecast), (1, 0), "who is gone is gone");
        ask(&forecast, "PATCH /Groups/7", &json!({}), Err(500));
        ask(&forecast, "GET /Users", &Value::Null, Err(500));
        assert_eq!(share(&forecast), (2, 1), "a group is another one, and a list is nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_asked_for_is_forgotten_after_two_cycles() {
        let forecast = Forecast::default();
        ask(&forecast, "PATCH /Users/1", &json!({}), Err(500));
        ask(&forecast, "PATCH /Users/2", &json!({}), Err(500));
        tokio::time::advance(CYCLE).await;
        ask(&forecast, "PATCH /Users/1", &json!({}), Err(500));
        assert_eq!(share(&forecast), (2, 2), "a failure outlives the wait for its repetition");
        tokio::time::advance(CYCLE).await;
        assert_eq!(share(&forecast), (1, 1));
        tokio::time::advance(CYCLE * 2).await;
        assert_eq!(share(&forecast), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let forecast = Forecast::default();
        for number in 0..MOST * 3 {
            let id = Some(forecast.number(Kind::User, "id", &number.to_string()));
            let object = Object { id, name: None, kind: Kind::User, writes: true, may_be_absent: false };
            forecast.note(object, None, None);
        }
        let Share { objects, failed } = forecast.share();
        assert!(objects <= MOST * 2 && failed == objects, "{objects}");
    }

    #[test]
    fn it_warns_before_entra_acts() {
        for (objects, failed, state) in [
            (0, 0, Health::Fine),
            (4, 4, Health::Fine),
            (5, 5, Health::AtRisk),
            (100, 19, Health::Fine),
            (100, 20, Health::AtRisk),
        ] {
            assert_eq!(Share { objects, failed }.health().state, state, "{failed} of {objects}");
        }
    }
}
