//! One thing that a condition says, and what follows from it. What is answered with yes is certain.
//!
//! Whether one fact follows from another is tried out on the smallest person of whom it is true.

use std::fmt;

use serde_json::Value;

use crate::scim::filter::{Filter, Operator};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Kind};

/// One comparison, or one presence, that holds or does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fact<'a> {
    pub(super) path: &'a Path,
    /// `None` asks whether there is a value.
    pub(super) compared: Option<(Operator, &'a Value)>,
    pub(super) holds: bool,
}

impl<'a> Fact<'a> {
    pub(super) fn compared(path: &'a Path, operator: Operator, value: &'a Value, holds: bool) -> Self {
        match operator {
            Operator::Eq if value.is_null() => Self { path, compared: None, holds: !holds },
            Operator::Ne if value.is_null() => Self { path, compared: None, holds },
            // A missing value differs from everything; of several values, one that differs is enough.
            Operator::Ne if is_single(path) => {
                Self { path, compared: Some((Operator::Eq, value)), holds: !holds }
            }
            _ => Self { path, compared: Some((operator, value)), holds },
        }
    }

    /// `userName` is the one attribute that every person has (RFC 7643 section 4.1.1).
    pub(super) fn is_certain(&self) -> bool {
        let asked = self.holds && self.compared.is_none() && self.path.definition().is_some();
        asked && self.path.to_string() == "userName"
    }

    pub(super) fn implies(&self, other: &Self) -> bool {
        match (self.holds, other.holds) {
            _ if self == other => true,
            (true, true) => self.shows(other),
            (true, false) => self.excludes(&Self { holds: true, ..*other }),
            (false, false) => Self { holds: true, ..*other }.shows(&Self { holds: true, ..*self }),
            (false, true) => false,
        }
    }

    pub(super) fn excludes(&self, other: &Self) -> bool {
        match (self.holds, other.holds) {
            (true, true) => self.settles_against(other) || other.settles_against(self),
            (true, false) => self.implies(&Self { holds: true, ..*other }),
            (false, true) => other.implies(&Self { holds: true, ..*self }),
            (false, false) => false,
        }
    }

    /// An equality on a single value says what the value is, and so what it is not.
    fn settles_against(&self, other: &Self) -> bool {
        let equality = matches!(self.compared, Some((Operator::Eq, _)));
        let settled = equality && self.path == other.path && is_single(self.path);
        settled && self.witness().is_some_and(|witness| !other.matches(&witness))
    }

    /// Whether the other is true of everybody of whom this is true; both of them hold.
    fn shows(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        if self.path.attribute != other.path.attribute {
            return false;
        }
        let operator = |fact: &Self| fact.compared.map(|(operator, _)| operator);
        let comparable = match (operator(self), operator(other)) {
            (_, Some(Operator::Ne)) | (Some(Operator::Ne), _) => false,
            (Some(Operator::Eq), _) | (_, None) => true,
            (Some(known @ (Operator::Sw | Operator::Ew | Operator::Co)), Some(asked)) => {
                asked == Operator::Co || asked == known
            }
            _ => false,
        };
        // More values, or more in a value, must not make the other untrue.
        let steady = other.path.filter.as_deref().is_none_or(is_steady);
        // One value stands for all others only as long as nobody looks at it twice.
        let decided = operator(self) == Some(Operator::Eq) || !other.selects_by(self.part());
        comparable && steady && decided && self.witness().is_some_and(|witness| other.matches(&witness))
    }

    /// What of a value it is about; a plain value is its own `value` (RFC 7643 section 2.4).
    fn part(&self) -> &str {
        self.path.sub.as_deref().unwrap_or("value")
    }

    /// Whether the brackets look at this part of a value.
    fn selects_by(&self, name: &str) -> bool {
        let paths = self.path.filter.as_deref().map(Filter::paths).unwrap_or_default();
        paths.iter().any(|path| path.attribute.eq_ignore_ascii_case(name))
    }

    /// The smallest person of whom this is true.
    fn witness(&self) -> Option<Resource> {
        // Without a declared type, `5` and `5.0` may be the same, and a moment has many spellings; an object
        // is there by any of its parts.
        let plain = |leaf: &&Attribute| leaf.sub_attributes.is_empty() && leaf.kind != Kind::DateTime;
        let leaf = self.path.leaf().filter(plain)?;
        let value = self.compared.map_or_else(|| Value::from(leaf.name), |(_, value)| value.clone());
        let mut person = Resource::default();
        person.set(self.path, value).then_some(person)
    }

    fn matches(&self, person: &Resource) -> bool {
        let path = self.path.clone();
        let filter = match self.compared {
            None => Filter::Present(path),
            Some((operator, value)) => Filter::Compare { path, operator, value: value.clone() },
        };
        filter.matches(person)
    }
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.compared, self.holds) {
            (None, true) => write!(f, "{} pr", self.path),
            (None, false) => write!(f, "not ({} pr)", self.path),
            (Some((operator, value)), true) => write!(f, "{} {} {value}", self.path, operator.as_str()),
            (Some((Operator::Eq, value)), false) => write!(f, "{} ne {value}", self.path),
            (Some((operator, value)), false) => {
                write!(f, "not ({} {} {value})", self.path, operator.as_str())
            }
        }
    }
}

/// Whether there is at most one value at the path.
fn is_single(path: &Path) -> bool {
    let single = path.definition().is_some_and(|attribute| !attribute.multi_valued);
    single && path.leaf().is_some_and(|leaf| !leaf.multi_valued)
}

/// Whether a filter in brackets stays true of a value to which something is added.
fn is_steady(filter: &Filter) -> bool {
    match filter {
        Filter::Compare { operator, value, .. } => *operator != Operator::Ne && !value.is_null(),
        Filter::Present(_) => true,
        Filter::And(terms) | Filter::Or(terms) => terms.iter().all(is_steady),
        Filter::Not(_) => false,
    }
}
