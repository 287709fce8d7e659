//! What the mapping does with a resource, step by step, for people who try out an edit. The steps are told by
//! the very functions that do the work, so what is shown is what happens.

use serde::Serialize;
use serde_json::Value;

use super::Mapping;
use super::apply::Wanted;
use super::field::FieldMapping;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, FieldValue};

/// One step on the way from SCIM to a field of Ziflow.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// A source that the person does not have.
    Absent { path: String },
    /// What a source holds.
    Read { path: String, value: String },
    /// What a template makes.
    Template { value: String },
    /// A rule whose condition was tried; `when` is missing where it holds for everybody.
    Rule { number: usize, when: Option<String>, holds: bool },
    /// What a transform makes.
    Transform { transform: String, value: String },
    /// A row of `values` that fits.
    Row { row: String, value: Value },
    /// Ziflow's own spelling of a value it knows.
    Spelling { value: String },
    /// No row fits, or Ziflow has no such value.
    Unknown { value: String },
    /// Nothing of `only` fits.
    Excluded { value: String },
    /// What `otherwise` says.
    Otherwise { otherwise: Value },
    /// What `default` says.
    Default { value: Value },
    /// What `value` says.
    Constant { value: Value },
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This is what Ziflow is to have.
    Value(FieldValue),
    /// The value is to be taken away.
    Cleared,
    /// The field is left out, for this reason.
    Nothing(Reason),
    /// The person is refused, for what the text says.
    Refused(String),
}

/// Why a field is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `direction: to_scim`
    NeverSent,
    /// Nothing that the field is made of was changed.
    Unchanged,
    /// The source is not there.
    Missing,
    /// The source is there, and the transforms leave nothing of it.
    Emptied,
    /// `otherwise: omit` or `otherwise: keep`
    LeftOut,
    /// The value is refused, and the change disables the person.
    PassedOver,
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Self::NeverSent => "is never sent (direction: to_scim)",
            Self::Unchanged => "is left alone: this request changes nothing that it is made of",
            Self::Missing => "is left out: there is no source for it",
            Self::Emptied => "is left out: nothing is left of its source",
            Self::PassedOver => {
                "is left alone: its value is refused, and that keeps nobody from being disabled"
            }
            Self::LeftOut => "is left out: `otherwise` says so",
        }
    }
}

/// One field of Ziflow and what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub field: Field,
    pub steps: Vec<Step>,
    pub verdict: Verdict,
}

impl Mapping {
    /// What becomes of each field of a new person.
    pub fn trace_create(&self, resource: &Resource) -> Vec<Trace> {
        self.trace(|mapping, steps| match mapping.created(resource, steps) {
            Ok(Some(value)) => Verdict::Value(value),
            Ok(None) => Verdict::Nothing(left_out(steps)),
            Err(refusal) => Verdict::Refused(refusal.to_string()),
        })
    }

    /// What an update asks for each field.
    pub fn trace_update(&self, before: &Resource, after: &Resource) -> Vec<Trace> {
        let disables = self.disables(before, after);
        self.trace(|mapping, steps| {
            if !mapping.is_touched(before, after) {
                return Verdict::Nothing(Reason::Unchanged);
            }
            match mapping.updated(before, after, steps) {
                Ok(Some(Wanted::Set(value))) => Verdict::Value(value),
                Ok(Some(Wanted::Cleared)) => Verdict::Cleared,
                Ok(None) => Verdict::Nothing(left_out(steps)),
                Err(_) if disables => Verdict::Nothing(Reason::PassedOver),
                Err(refusal) => Verdict::Refused(refusal.to_string()),
            }
        })
    }

    fn trace(&self, verdict: impl Fn(&FieldMapping, &mut Vec<Step>) -> Verdict) -> Vec<Trace> {
        let trace = |mapping: &FieldMapping| {
            let mut steps = Vec::new();
            let verdict = if mapping.writes() {
                verdict(mapping, &mut steps)
            } else {
                Verdict::Nothing(Reason::NeverSent)
            };
            Trace { field: mapping.field, steps, verdict }
        };
        self.fields.iter().map(trace).collect()
    }
}

fn left_out(steps: &[Step]) -> Reason {
    let told = |is: fn(&Step) -> bool| steps.iter().any(is);
    if told(|step| matches!(step, Step::Otherwise { .. })) {
        Reason::LeftOut
    } else if told(|step| matches!(step, Step::Read { .. } | Step::Template { .. })) {
        Reason::Emptied
    } else {
        Reason::Missing
    }
}

/// Whoever wants to know what happens on the way.
pub(super) trait Witness {
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody does, and so nothing is made to be told.
impl Witness for () {
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}

impl Witness for Vec<Step> {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{mapping, resource};
    use super::*;

    const FIELDS: &str = "phone: { from: [title, nickName], transform: [trim, uppercase] }\n\
                          language: { from: preferredLanguage, values: { 'de-*': de }, otherwise: omit }\n\
                          timezone: { from: timezone, default: Europe/Berlin }\n\
                          roles:\n  rules: [{ when: 'userType eq \"x\"', value: [user, admin] }]\n  otherwise: [user]\n\
                          company: { from: displayName, direction: to_scim }";

    fn told(traces: &[Trace], field: Field) -> (Value, Verdict) {
        let trace = traces.iter().find(|trace| trace.field == field).unwrap();
        (json!(trace.steps), trace.verdict.clone())
    }

    #[test]
    fn every_step_of_a_create_is_told() {
        let jo = resource(json!({
            "userName": "jo@example.com", "nickName": " jo ", "preferredLanguage": "fr", "userType": "y"
        }));
        let traces = mapping(FIELDS).trace_create(&jo);
        let text = |text: &str| Verdict::Value(FieldValue::Text(text.to_owned()));
        let user = Verdict::Value(FieldValue::List(vec!["user".to_owned()]));
        for (field, steps, verdict) in [
            (
                Field::Phone,
                json!([
                    {"step": "absent", "path": "title"},
                    {"step": "read", "path": "nickName", "value": " jo "},
                    {"step": "transform", "transform": "trim", "value": "jo"},
                    {"step": "transform", "transform": "uppercase", "value": "JO"},
                ]),
                text("JO"),
            ),
            (
                Field::Language,
                json!([
                    {"step": "read", "path": "preferredLanguage", "value": "fr"},
                    {"step": "unknown", "value": "fr"},
                    {"step": "otherwise", "otherwise": "omit"},
                ]),
                Verdict::Nothing(Reason::LeftOut),
            ),
            (
                Field::Timezone,
                json!([
                    {"step": "absent", "path": "timezone"},
                    {"step": "default", "value": "Europe/Berlin"},
                ]),
                text("Europe/Berlin"),
            ),
            (
                Field::Roles,
                json!([
                    {"step": "rule", "number": 1, "when": "userType eq \"x\"", "holds": false},
                    {"step": "otherwise", "otherwise": ["user"]},
                ]),
                user,
            ),
            (Field::Company, json!([]), Verdict::Nothing(Reason::NeverSent)),
        ] {
            assert_eq!(told(&traces, field), (steps, verdict), "{field}");
        }
    }

    #[test]
    fn an_update_tells_what_it_leaves_alone() {
        let before =
            resource(json!({"userName": "jo@example.com", "title": "a", "timezone": "Europe/Paris"}));
        let after =
            resource(json!({"userName": "jo@example.com", "title": "b", "preferredLanguage": "de-AT"}));
        let traces = mapping(FIELDS).trace_update(&before, &after);
        for (field, verdict) in [
            (Field::Email, Verdict::Nothing(Reason::Unchanged)),
            (Field::Phone, Verdict::Value(FieldValue::Text("B".to_owned()))),
            (Field::Language, Verdict::Value(FieldValue::Text("de".to_owned()))),
            (Field::Timezone, Verdict::Cleared),
            (Field::Roles, Verdict::Nothing(Reason::Unchanged)),
        ] {
            assert_eq!(told(&traces, field).1, verdict, "{field}");
        }
        let mapping = mapping("phone: { from: title, only: a* }");
        let after = json!({"userName": "jo@example.com", "title": "b", "active": false});
        let (steps, verdict) = told(&mapping.trace_update(&before, &resource(after)), Field::Phone);
        let told = json!([
            {"step": "read", "path": "title", "value": "b"},
            {"step": "excluded", "value": "b"},
            {"step": "otherwise", "otherwise": "refuse"},
        ]);
        assert_eq!((steps, verdict), (told, Verdict::Nothing(Reason::PassedOver)));
    }

    #[test]
    fn what_a_transform_empties_is_not_missing() {
        let mapping =
            mapping("phone: { from: title, transform: { replace: { pattern: '[^0-9]', with: '' } } }");
        let traces = mapping.trace_create(&resource(json!({"userName": "jo@example.com", "title": "CTO"})));
        assert_eq!(told(&traces, Field::Phone).1, Verdict::Nothing(Reason::Emptied));
    }

    #[test]
    fn a_trace_says_what_the_mapping_does() {
        let mapping = mapping(&FIELDS.replace("otherwise: omit", "otherwise: refuse"));
        let jo = resource(json!({"userName": "jo@example.com", "preferredLanguage": "fr"}));
        let refusals = mapping.create(&jo).unwrap_err();
        let refused = |trace: &Trace| matches!(&trace.verdict, Verdict::Refused(text) if *text == refusals[0].to_string());
        assert!(mapping.trace_create(&jo).iter().any(refused));
    }
}
