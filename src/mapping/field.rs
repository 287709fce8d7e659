//! One field of Ziflow with everything that mapping.yaml says about it, and what that makes of a resource.

use serde_json::Value;

use super::apply::Refusal;
use super::pattern::Pattern;
use super::spec::Direction;
use super::table::Table;
use super::template::Template;
use super::trace::{Step, Witness};
use super::transform::Transform;
use super::{source, value};
use crate::scim::filter::Filter;
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, FieldType, FieldValue};

/// A compiled entry of `user:`.
#[derive(Clone, Debug)]
pub(super) struct FieldMapping {
    pub(super) field: Field,
    pub(super) source: Source,
    pub(super) transforms: Vec<Transform>,
    pub(super) table: Option<Table>,
    /// What is taken; empty when everything is.
    pub(super) only: Vec<Pattern>,
    pub(super) otherwise: Otherwise,
    pub(super) default: Option<FieldValue>,
    pub(super) required: bool,
    pub(super) direction: Direction,
    pub(super) owns: bool,
    /// Whether Ziflow's text can be taken apart along the template.
    pub(super) takes_apart: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// The first of these that is present.
    From(Vec<Path>),
    Template(Template<Path>),
    Constant(FieldValue),
    /// The first whose condition holds.
    Rules(Vec<Rule>),
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// `None` holds for everybody.
    pub(super) when: Option<Filter>,
    pub(super) value: FieldValue,
}

/// What happens to a value that the mapping does not know, or when no rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// As if there were none.
    Omit,
    /// Whatever Ziflow has stays.
    Keep,
    Refuse,
    Value(FieldValue),
}

impl Otherwise {
    /// As the file says it.
    fn to_json(&self) -> Value {
        match self {
            Self::Omit => Value::from("omit"),
            Self::Keep => Value::from("keep"),
            Self::Refuse => Value::from("refuse"),
            Self::Value(value) => value.to_json(),
        }
    }
}

/// What the mapping makes of a resource.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Value(FieldValue),
    /// Ziflow could hold it, and `only` does not take it: nobody gets it, and who has it keeps it.
    Unwanted(FieldValue, Refusal),
    /// The source is not there.
    Missing,
    /// The source is there, and the mapping leaves it out.
    Omitted,
    Kept,
    Refused(Refusal),
}

impl FieldMapping {
    /// What the mapping makes of a resource; `default` is not looked at, since it acts on create only.
    pub(super) fn outcome(&self, resource: &Resource, witness: &mut impl Witness) -> Outcome {
        match &self.source {
            Source::Constant(value) => {
                witness.note(|| Step::Constant { value: value.to_json() });
                Outcome::Value(value.clone())
            }
            Source::From(paths) => self.taken_from(paths, resource, witness),
            Source::Template(template) => {
                let parts = template.values();
                for path in parts.filter(|path| resource.first(path).is_none()) {
                    witness.note(|| Step::Absent { path: path.to_string() });
                }
                let made = template.render(|path| source::text(resource.first(path)?));
                self.convert(made.into_iter(), |value| Step::Template { value }, witness)
            }
            Source::Rules(rules) => self.ruled(rules, resource, witness),
        }
    }

    fn taken_from(&self, paths: &[Path], resource: &Resource, witness: &mut impl Witness) -> Outcome {
        let winner = self.winner(resource);
        for path in paths.iter().take_while(|path| Some(*path) != winner) {
            witness.note(|| Step::Absent { path: path.to_string() });
        }
        let selected = self.selected(resource);
        let texts = selected.iter().filter_map(|value| source::text(value));
        let path = || winner.map(ToString::to_string).unwrap_or_default();
        self.convert(texts, |value| Step::Read { path: path(), value }, witness)
    }

    fn ruled(&self, rules: &[Rule], resource: &Resource, witness: &mut impl Witness) -> Outcome {
        for (index, rule) in rules.iter().enumerate() {
            let holds = rule.when.as_ref().is_none_or(|when| when.matches(resource));
            let when = || rule.when.as_ref().map(ToString::to_string);
            witness.note(|| Step::Rule { number: index + 1, when: when(), holds });
            if holds {
                return Outcome::Value(rule.value.clone());
            }
        }
        witness.note(|| Step::Otherwise { otherwise: self.otherwise.to_json() });
        self.no_rule()
    }

    /// Runs texts through transforms and table. `origin` tells a witness where a text comes from.
    pub(super) fn convert(
        &self,
        texts: impl Iterator<Item = String>,
        origin: impl Fn(String) -> Step,
        witness: &mut impl Witness,
    ) -> Outcome {
        let mut words: Vec<String> = Vec::new();
        let mut omitted = false;
        let mut unwanted = None;
        for text in texts {
            witness.note(|| origin(text.clone()));
            let text = self.transformed(text, witness);
            if text.trim().is_empty() {
                continue;
            }
            let read = self.read(&text, witness);
            if read.is_none() {
                witness.note(|| Step::Otherwise { otherwise: self.otherwise.to_json() });
            }
            match (read, &self.otherwise) {
                (Some(read), _) => words.extend(read),
                (None, Otherwise::Value(value)) => words.extend(value::texts(value)),
                (None, Otherwise::Omit) => omitted = true,
                (None, Otherwise::Keep) => return Outcome::Kept,
                (None, Otherwise::Refuse) => match value::canonical(self.field, &text) {
                    Some(word) if !self.takes(&text) => {
                        unwanted.get_or_insert(Refusal::unwanted(self, &text));
                        words.push(word);
                    }
                    _ => return Outcome::Refused(Refusal::unmapped(self, &text)),
                },
            }
        }
        let words = unique(words);
        if value::mixes_lite_user(self.field, &words) {
            return Outcome::Refused(Refusal::mixed_lite_user(self));
        }
        match (value::from_texts(self.field, words), unwanted) {
            (Some(value), None) => Outcome::Value(value),
            (Some(value), Some(refusal)) => Outcome::Unwanted(value, refusal),
            (None, _) if omitted => Outcome::Omitted,
            (None, _) => Outcome::Missing,
        }
    }

    fn transformed(&self, mut text: String, witness: &mut impl Witness) -> String {
        for transform in &self.transforms {
            let value = transform.apply(&text);
            witness.note(|| Step::Transform {
                transform: transform.to_string(),
                value: value.clone().into_owned(),
            });
            if value != text {
                text = value.into_owned();
            }
        }
        text
    }

    /// Ziflow's words for one text of SCIM's; `None` when the mapping does not know it.
    pub(super) fn read(&self, text: &str, witness: &mut impl Witness) -> Option<Vec<String>> {
        if !self.takes(text) {
            witness.note(|| Step::Excluded { value: text.to_owned() });
            return None;
        }
        let words = match &self.table {
            Some(table) => table.lookup(text.trim()).map(|(row, value)| {
                witness.note(|| Step::Row { row: row.to_owned(), value: value.to_json() });
                value::texts(value)
            }),
            None => value::canonical(self.field, text).map(|word| {
                if word != text {
                    witness.note(|| Step::Spelling { value: word.clone() });
                }
                vec![word]
            }),
        };
        if words.is_none() {
            witness.note(|| Step::Unknown { value: text.to_owned() });
        }
        words
    }

    /// Whether `only` lets the text pass.
    pub(super) fn takes(&self, text: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| pattern.fits(text))
    }

    /// The values that the field takes something from. Two resources with equal ones are the same to it.
    pub(super) fn selections<'r>(&self, resource: &'r Resource) -> Vec<Vec<&'r Value>> {
        match &self.source {
            Source::Constant(_) => Vec::new(),
            Source::From(_) => vec![self.selected(resource)],
            Source::Template(template) => {
                template.values().map(|path| resource.first(path).into_iter().collect()).collect()
            }
            Source::Rules(rules) => {
                let paths = rules.iter().filter_map(|rule| rule.when.as_ref()).flat_map(Filter::paths);
                paths.map(|path| resource.values(path)).collect()
            }
        }
    }

    /// Whether a change touches anything that the field is made of.
    pub(super) fn is_touched(&self, before: &Resource, after: &Resource) -> bool {
        self.selections(before) != self.selections(after)
    }

    /// The path of `from` that gives the value: the first at which there is anything but blanks.
    pub(super) fn winner(&self, resource: &Resource) -> Option<&Path> {
        self.paths().iter().find(|path| resource.values(path).into_iter().any(source::is_present))
    }

    /// The paths of `from`.
    pub(super) fn paths(&self) -> &[Path] {
        match &self.source {
            Source::From(paths) => paths,
            _ => &[],
        }
    }

    /// Every path that the field looks at.
    pub(super) fn looks_at(&self) -> Vec<&Path> {
        match &self.source {
            Source::Constant(_) => Vec::new(),
            Source::From(paths) => paths.iter().collect(),
            Source::Template(template) => template.values().collect(),
            Source::Rules(rules) => {
                rules.iter().filter_map(|rule| rule.when.as_ref()).flat_map(Filter::paths).collect()
            }
        }
    }

    /// The same as messages name them.
    pub(super) fn path_names(&self) -> String {
        unique(self.looks_at().into_iter().map(ToString::to_string).collect()).join(", ")
    }

    /// Whether Ziflow's value is shown in SCIM. Constants and rules cannot be turned round, templates sometimes.
    pub(super) fn reads_back(&self) -> bool {
        self.field != Field::Active
            && self.direction != Direction::ToZiflow
            && (matches!(self.source, Source::From(_)) || self.takes_apart)
    }

    /// Whether the resource has anything that the value comes from.
    pub(super) fn has_source(&self, resource: &Resource) -> bool {
        match &self.source {
            Source::Template(template) => template.values().any(|path| resource.first(path).is_some()),
            _ => self.winner(resource).is_some(),
        }
    }

    pub(super) fn writes(&self) -> bool {
        self.direction != Direction::ToScim
    }

    /// What is known to the field, for messages.
    pub(super) fn known(&self) -> Vec<&str> {
        match &self.table {
            Some(table) => table.patterns().collect(),
            None => value::known_words(self.field).to_vec(),
        }
    }

    /// Whether any text fits, so that none can be unknown.
    pub(super) fn takes_any_text(&self) -> bool {
        self.table.is_none()
            && self.only.is_empty()
            && matches!(self.field.field_type(), FieldType::Text | FieldType::Texts)
    }

    fn selected<'r>(&self, resource: &'r Resource) -> Vec<&'r Value> {
        let Some(path) = self.winner(resource) else { return Vec::new() };
        let mut values = resource.values(path);
        values.retain(|value| source::is_present(value));
        if !self.field.is_list() {
            values.truncate(1);
        }
        values
    }

    fn no_rule(&self) -> Outcome {
        match &self.otherwise {
            Otherwise::Omit => Outcome::Omitted,
            Otherwise::Keep => Outcome::Kept,
            Otherwise::Refuse => Outcome::Refused(Refusal::no_rule(self)),
            Otherwise::Value(value) => Outcome::Value(value.clone()),
        }
    }
}

/// The texts without repetitions, in their order.
fn unique(texts: Vec<String>) -> Vec<String> {
    let mut unique = Vec::with_capacity(texts.len());
    for text in texts {
        if !unique.contains(&text) {
            unique.push(text);
        }
    }
    unique
}
