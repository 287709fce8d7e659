//! A change on its way: what it turns out to be, and the right to write to Ziflow, which nothing in this room has without
//! its record. It holds names of fields and no values of people.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::bridge::audit::Audit;
use crate::bridge::{Given, Seen};
use crate::scim::error::{Error, without_values};
use crate::ziflow::calls::{Made, Outcome};
use crate::ziflow::client::Recorded;
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::model::{Field, FieldValue, Fields};
use crate::ziflow::transport::Call;

/// When Entra is told to ask again: somebody has to mend it first.
const RETRY: Duration = Duration::from_secs(60);

/// Who asks for a change.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name of the token, or which part of the bridge it is.
    pub by: String,
    pub source: Option<String>,
    pub request_id: Option<String>,
}

impl Asker {
    /// The bridge itself, by the name of one of its parts.
    pub fn itself(part: &str) -> Self {
        Self { by: part.to_owned(), source: None, request_id: None }
    }
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub struct Task {
    /// Such as `patch-user`, as the log calls it.
    pub action: &'static str,
    /// The name of the resource type.
    pub kind: &'static str,
    pub id: Option<String>,
}

/// A change on its way, and what is known of it so far.
#[derive(Debug)]
pub(super) struct Change {
    audit: Arc<Audit>,
    asker: Asker,
    task: Task,
    call: Call,
    /// How many calls the request had made before, those that are kept and the others.
    calls_before: (usize, u32),
    name: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    is_begun: bool,
    /// The beginning stands in the audit log.
    is_announced: bool,
    is_ended: bool,
    /// Whether Ziflow took a write is not known.
    is_in_doubt: bool,
    id: Option<String>,
    details: Details,
}

/// What is changed, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    /// What it is for the person or the group, in a word.
    pub(super) effect: Option<&'static str>,
    /// What it means for the person's access: `given` or `taken`.
    pub(super) access: Option<&'static str>,
    /// Attributes in SCIM.
    pub(super) fields: BTreeSet<String>,
    /// Fields in Ziflow.
    pub(super) ziflow_fields: BTreeSet<&'static str>,
    /// Ziflow's roles and groups, `roles:admin`, which are words of Ziflow's or of the mapping.
    pub(super) given: BTreeSet<String>,
    pub(super) taken: BTreeSet<String>,
    /// Members, by id.
    pub(super) joined: BTreeSet<String>,
    pub(super) left: BTreeSet<String>,
}

/// So many members are named in a line.
const NAMED: usize = 100;

/// Shows that a write may be made: it is recorded as far as it has to be. There is no other way to get one.
#[derive(Debug)]
pub(super) struct MayWrite<'a>(&'a Change);

impl Recorded for MayWrite<'_> {}

impl MayWrite<'_> {
    /// What became of a write: one that Ziflow does not confirm may have happened.
    pub(super) fn saw<T>(&self, outcome: &Result<T, Upstream>) {
        if matches!(outcome, Err(Upstream::Unknown { .. })) {
            self.0.known().is_in_doubt = true;
        }
    }
}

impl Change {
    pub(super) fn new(audit: &Arc<Audit>, asker: Asker, task: Task, call: Call) -> Self {
        let (calls, name) = (call.calls().so_far(), audit.next_name());
        let (audit, calls_before) = (Arc::clone(audit), (calls.first().len(), calls.further()));
        Self { audit, asker, task, call, calls_before, name, known: Mutex::default() }
    }

    pub(super) fn asker(&self) -> &Asker {
        &self.asker
    }

    pub(super) fn task(&self) -> &Task {
        &self.task
    }

    /// Something beside the change that it has brought about.
    pub(super) fn note(&self, action: &str, members: Value) {
        let Asker { by, source, request_id } = &self.asker;
        let asker = json!({"by": by, "source": source, "request_id": request_id, "outcome": "done"});
        self.audit.note(action, [asker, members]);
    }

    /// What this change turns out to be, whatever its steps are called.
    pub(super) fn is(&self, effect: &'static str) {
        self.known().details.effect = Some(effect);
    }

    /// What was about to be written is not written, and it may become another change.
    pub(super) fn is_another(&self) {
        let mut known = self.known();
        let fields = std::mem::take(&mut known.details.fields);
        known.details = Details { fields, ..Details::default() };
    }

    /// Before anything is written. Where a record is required and cannot be had, nothing is.
    pub(super) async fn may_write(&self, details: Details) -> Result<MayWrite<'_>, Error> {
        let announcement = {
            let mut known = self.known();
            known.is_begun = true;
            known.details.add(details);
            let wanted = self.audit.is_required() && !known.is_announced;
            wanted.then(|| self.line(&known, json!({"stage": "begun"})))
        };
        if let Some(line) = announcement {
            self.audit.record(line, self.call.deadline()).await.map_err(|reason| unrecorded(&reason))?;
            self.known().is_announced = true;
        }
        Ok(MayWrite(self))
    }

    /// More has become known.
    pub(super) fn learn(&self, details: Details) {
        self.known().details.add(details);
    }

    /// It turned out that there was nothing to be changed.
    pub(super) fn was_nothing(&self) {
        let mut known = self.known();
        known.is_begun = known.is_announced;
        known.details.effect = Some("nothing");
    }

    /// What became of it. A success that changed nothing is no change.
    pub(super) fn end(&self, error: Option<&Error>, id: Option<String>) {
        let mut known = self.known();
        known.is_ended = true;
        if id.is_some() {
            known.id = id;
        }
        let outcome = match error {
            None if !known.is_begun => return,
            // Nobody has asked for it, and it is tried again as long as the trouble lasts.
            Some(_) if !known.is_begun && self.asker.request_id.is_none() => return,
            None => "done",
            Some(_) if known.is_in_doubt => "unknown",
            Some(error) if is_refusal(error.status) => "refused",
            Some(_) => "failed",
        };
        let reason = error.map(|error| without_values(&error.detail));
        self.audit.tell(self.line(&known, json!({"outcome": outcome, "reason": reason})));
    }

    fn line(&self, known: &Known, end: Value) -> String {
        let Asker { by, source, request_id } = &self.asker;
        let Details { effect, access, fields, ziflow_fields, given, taken, joined, left } = &known.details;
        // What stands in the place of an id may be a name.
        let asked = self.task.id.as_ref().filter(|id| known.is_begun || !id.contains(['@', ' ']));
        let change = json!({
            "change": self.name, "type": self.task.kind, "id": known.id.as_ref().or(asked),
            "by": by, "source": source, "request_id": request_id,
        });
        let details = json!({
            "effect": effect, "access": access, "fields": fields, "ziflow_fields": ziflow_fields,
            "given": given, "taken": taken, "members_added": named(joined), "members_removed": named(left),
        });
        self.audit.line(self.task.action, [change, end, details, self.calls()])
    }

    /// What this change has asked Ziflow.
    fn calls(&self) -> Value {
        let ((before, further_before), calls) = (self.calls_before, self.call.calls().so_far());
        let own: Vec<_> = calls.first().iter().skip(before).map(call_told).collect();
        let further = calls.further().saturating_sub(further_before);
        json!({"ziflow_calls": own, "ziflow_calls_further": (further > 0).then_some(further)})
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Change {
    /// A panic, or the end of the process, has cut it off.
    fn drop(&mut self) {
        let known = self.known();
        if known.is_begun && !known.is_ended {
            let end = json!({"outcome": "unknown", "reason": "the bridge was cut off in the middle of it"});
            self.audit.tell(self.line(&known, end));
        }
    }
}

impl Details {
    /// What writing these fields means for a person. Groups in Ziflow are named where groups in Entra give them: those are
    /// words of the mapping, and others may say something about the person.
    pub(super) fn of_write(seen: &Seen, fields: &Fields, given: &Given) -> Self {
        let before = Self::lists(|field| seen.user.list(field));
        let after = Self::lists(|field| match fields.get(&field) {
            Some(FieldValue::List(items)) => items,
            _ => seen.user.list(field),
        });
        let by_groups = Self::lists(|field| given.by_groups.get(field));
        let by_groups_before = Self::lists(|field| seen.state.granted_by_groups.get(field));
        let is_told = |item: &&String| {
            item.starts_with("roles:") || by_groups.contains(*item) || by_groups_before.contains(*item)
        };
        Self {
            access: match fields.get(&Field::Active) {
                Some(FieldValue::Boolean(active)) => Some(if *active { "given" } else { "taken" }),
                _ => None,
            },
            ziflow_fields: fields.keys().map(|field| field.name()).collect(),
            given: after.difference(&before).filter(is_told).cloned().collect(),
            taken: before.difference(&after).filter(is_told).cloned().collect(),
            ..Self::default()
        }
    }

    fn lists<'a>(list: impl Fn(Field) -> &'a [String]) -> BTreeSet<String> {
        let told = |field: Field| list(field).iter().map(move |item| format!("{}:{item}", field.name()));
        [Field::Roles, Field::Group].into_iter().flat_map(told).collect()
    }

    /// The roles among these fields.
    pub(super) fn roles(fields: &Fields) -> impl Iterator<Item = String> + '_ {
        let roles = match fields.get(&Field::Roles) {
            Some(FieldValue::List(roles)) => roles.as_slice(),
            _ => &[],
        };
        roles.iter().map(|role| format!("{}:{role}", Field::Roles.name()))
    }

    fn add(&mut self, other: Self) {
        let Self { effect, access, fields, ziflow_fields, given, taken, joined, left } = other;
        self.effect = self.effect.or(effect);
        self.access = access.or(self.access);
        self.fields.extend(fields);
        self.ziflow_fields.extend(ziflow_fields);
        self.given.extend(given);
        self.taken.extend(taken);
        self.joined.extend(joined);
        self.left.extend(left);
    }
}

fn call_told(made: &Made) -> Value {
    let Made { method, endpoint, outcome, took, .. } = made;
    let outcome = match outcome {
        Outcome::Answered(status) => json!(status),
        other => json!(other.to_string()),
    };
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    json!({"method": method.as_str(), "endpoint": endpoint, "status": outcome, "ms": ms})
}

/// The members by id, the first of many.
fn named(members: &BTreeSet<String>) -> Value {
    if members.is_empty() {
        return Value::Null;
    }
    let ids: Vec<_> = members.iter().take(NAMED).collect();
    json!({"count": members.len(), "ids": ids})
}

/// The client's to mend, as far as its status tells.
fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
}

fn unrecorded(reason: &str) -> Error {
    let detail = format!(
        "the change is not made, because it cannot be recorded ({reason}): audit.required is true; the bridge's operator \
         must mend audit.destination, and the request can then be repeated"
    );
    Error::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY)
}

/// The attributes, or parts of them, that two resources differ in.
pub(super) fn differing(before: &Map<String, Value>, after: &Map<String, Value>) -> BTreeSet<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut differing = BTreeSet::new();
    for name in names.into_iter().filter(|name| !["schemas", "id", "meta", "groups"].contains(&name.as_str()))
    {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            continue;
        }
        let none = Map::new();
        match (old.and_then(Value::as_object), new.and_then(Value::as_object)) {
            (None, None) => drop(differing.insert(name.clone())),
            (old, new) => {
                let dot = if name.contains(':') { ":" } else { "." };
                let parts = self::differing(old.unwrap_or(&none), new.unwrap_or(&none));
                differing.extend(parts.into_iter().map(|part| format!("{name}{dot}{part}")));
            }
        }
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_not_shown() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let before = map(json!({
            "schemas": ["a"], "userName": "jo", "title": "Editor", "name": {"givenName": "Jo", "familyName": "Lee"},
            "emails": [{"value": "a@example.com"}], enterprise: {"department": "A", "manager": {"value": "1"}},
        }));
        let after = map(json!({
            "schemas": ["b"], "userName": "jo", "active": true, "name": {"givenName": "Joan", "familyName": "Lee"},
            "emails": [{"value": "b@example.com"}], enterprise: {"department": "A", "manager": {"value": "2"}},
        }));
        let manager = format!("{enterprise}:manager.value");
        let named = ["active", "emails", "name.givenName", "title", manager.as_str()];
        assert_eq!(differing(&before, &after), named.map(str::to_owned).into());
        assert_eq!(differing(&after, &after), BTreeSet::new());
    }

    #[test]
    fn many_members_are_counted_and_the_first_named() {
        let members: BTreeSet<_> = (0..250).map(|number| format!("{number:03}")).collect();
        let named = named(&members);
        assert_eq!((&named["count"], named["ids"].as_array().unwrap().len()), (&json!(250), NAMED));
        assert_eq!(super::named(&BTreeSet::new()), Value::Null);
    }
}
