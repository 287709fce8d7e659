//! What became of each field in a request, put together from what the mapping said and what was decided.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::bridge::plan::{Note, why_left};
use crate::bridge::record::Event;
use crate::mapping::apply::Wanted;
use crate::mapping::trace::{Reason, Step, Trace, Verdict};
use crate::simulator::Call;
use crate::ziflow::model::{Field, FieldValue, Fields, User};

/// One time that the mapping was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) about: &'static str,
    pub(super) fields: Vec<Explained>,
    /// Whether it was decided what of it is written.
    decided: bool,
}

/// A field and what becomes of it.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) field: Field,
    pub(super) steps: Vec<Step>,
    result: Outcome,
}

/// What was decided about a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned<'a> {
    pub(super) user: &'a User,
    pub(super) wanted: &'a BTreeMap<Field, Wanted>,
    pub(super) fields: &'a Fields,
    pub(super) notes: &'a [Note],
}

/// What becomes of a field, as far as it was decided. Values that are missing are nothing.
#[derive(Debug)]
enum Outcome {
    /// Written; what Ziflow had before is not known of a new person.
    Written {
        from: Option<Value>,
        to: Option<Value>,
    },
    /// It would have been written, had it not been refused.
    Wanted(Option<Value>),
    Left(&'static str),
    Untouched(Reason),
    Refused(String),
}

/// All of a request's events in their order, and what the calls of Ziflow made of them.
pub(super) fn asked(events: &[Event], calls: &[Call]) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut turn: Option<&str> = None;
    for event in events {
        match event {
            Event::Group { .. } => {}
            Event::Turn { user, .. } => turn = Some(&user.id),
            // That is for `granted.rs`.
            Event::Planned { user, .. } if turn == Some(&user.id) => turn = None,
            Event::Create { mapping, resource } => {
                let fields = mapping.trace_create(resource).into_iter().map(created).collect();
                all.push(Asked { about: NEW, fields, decided: false });
            }
            Event::Update { mapping, before, after } => {
                let fields = mapping.trace_update(before, after).into_iter().map(explained).collect();
                all.push(Asked { about: "the change", fields, decided: false });
            }
            // Decided is what was asked last.
            Event::Planned { user, wanted, fields, notes } => {
                if let Some(asked) = all.last_mut() {
                    asked.decided = true;
                    asked.fields.iter_mut().for_each(|field| field.decide(user, wanted, fields, notes));
                }
            }
        }
    }
    for asked in all.iter_mut().filter(|asked| !asked.is_carried_out(calls)) {
        asked.fields.iter_mut().for_each(Explained::come_to_nothing);
    }
    all
}

const NEW: &str = "a new person";

impl Asked {
    /// A change is refused before it is decided upon, or by Ziflow; a new person is made, or somebody is brought back.
    fn is_carried_out(&self, calls: &[Call]) -> bool {
        let well = |call: &&Call| call.status.is_some_and(|status| (200..300).contains(&status));
        let mut writes = calls.iter().filter(|call| call.method != "GET").filter(well);
        if self.about == NEW {
            let email = self.fields.iter().find_map(Explained::email);
            writes.any(|call| call.method == "PUT" || call.body.get("email") == email)
        } else {
            self.decided && writes.next().is_some()
        }
    }
}

/// A new person is active; somebody who shall not be is deactivated by a call of its own.
fn created(trace: Trace) -> Explained {
    let active = trace.verdict == Verdict::Value(FieldValue::Boolean(true)) && trace.field == Field::Active;
    let made = explained(trace);
    let result = if active { Outcome::Left("new people are active anyway") } else { made.result };
    Explained { result, ..made }
}

fn explained(trace: Trace) -> Explained {
    let result = match trace.verdict {
        Verdict::Value(value) => Outcome::Written { from: None, to: Some(value.to_json()) },
        Verdict::Cleared => Outcome::Written { from: None, to: None },
        Verdict::Nothing(reason) => Outcome::Untouched(reason),
        Verdict::Refused(text) => Outcome::Refused(text),
    };
    Explained { field: trace.field, steps: trace.steps, result }
}

impl Explained {
    fn decide(&mut self, user: &User, wanted: &BTreeMap<Field, Wanted>, fields: &Fields, notes: &[Note]) {
        let Some(wanted) = wanted.get(&self.field) else { return };
        self.result = match fields.get(&self.field) {
            Some(value) => Outcome::Written {
                from: user.get(self.field).map(|value| value.to_json()),
                to: Some(value).filter(|value| !value.is_empty()).map(FieldValue::to_json),
            },
            None => Outcome::Left(why_left(user, self.field, wanted, notes)),
        };
    }

    /// A list of somebody for whom what their groups grant is applied.
    pub(super) fn of_turn(field: Field, planned: &Planned<'_>, is_written: bool) -> Self {
        let Planned { user, wanted, fields, notes } = *planned;
        let mut explained = Self { field, steps: Vec::new(), result: Outcome::Untouched(Reason::Unchanged) };
        explained.decide(user, wanted, fields, notes);
        if !is_written {
            explained.come_to_nothing();
        }
        explained
    }

    fn email(&self) -> Option<&Value> {
        match &self.result {
            Outcome::Written { to, .. } if self.field == Field::Email => to.as_ref(),
            _ => None,
        }
    }

    fn come_to_nothing(&mut self) {
        if let Outcome::Written { to, .. } = &mut self.result {
            self.result = Outcome::Wanted(to.take());
        }
    }

    /// Whether the request has nothing to do with the field.
    pub(super) fn is_unchanged(&self) -> bool {
        matches!(self.result, Outcome::Untouched(Reason::Unchanged))
    }

    pub(super) fn to_json(&self) -> Value {
        let result = match &self.result {
            Outcome::Written { from, to } => json!({"result": "written", "from": from, "to": to}),
            Outcome::Wanted(to) => json!({"result": "wanted", "to": to}),
            Outcome::Left(reason) => json!({"result": "left", "reason": reason}),
            Outcome::Untouched(reason) => json!({"result": "left", "reason": reason.text()}),
            Outcome::Refused(text) => json!({"result": "refused", "reason": text}),
        };
        let mut object = Map::from_iter([("field".to_owned(), self.field.name().into())]);
        object.extend(result.as_object().cloned().unwrap_or_default());
        object.insert("steps".to_owned(), json!(self.steps));
        Value::Object(object)
    }

    /// What becomes of the field, in a line.
    pub(super) fn headline(&self) -> String {
        let field = self.field;
        let text =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        match &self.result {
            Outcome::Written { from: None, to } => format!("{field}: {}", text(to)),
            Outcome::Written { from: Some(from), to } => format!("{field}: {from} becomes {}", text(to)),
            Outcome::Wanted(to) => format!("{field}: {}, were it not refused", text(to)),
            Outcome::Left(reason) => format!("{field}: left as it is: {reason}"),
            Outcome::Untouched(reason) => format!("{field} {}", reason.text()),
            Outcome::Refused(text) => format!("{field}: REFUSED: {text}"),
        }
    }
}
