//! How values compare: by the attribute's type and `caseExact` (RFC 7643 section 2.2, RFC 7644 table 3).
//!
//! Attributes under an undeclared URN have no type: their values are compared as text in any letter case,
//! numbers as numbers.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::scim::grammar::Operator;
use crate::scim::path::Path;
use crate::scim::schema::{Attribute, Kind};

/// What a path is looked up in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Resource(&'a Map<String, Value>),
    /// One value of an attribute, which need not be an object.
    Element(&'a Value),
}

/// Whether the comparison holds. `ne` is the letter of table 3: a missing value is not identical, and of
/// several values one that differs is enough.
pub(super) fn holds(path: &Path, operator: Operator, wanted: &Value, subject: Subject<'_>) -> bool {
    let present = || any(path, subject, &mut |value| !is_absent(value));
    match (operator, wanted) {
        (Operator::Eq, Value::Null) => !present(),
        (Operator::Ne, Value::Null) => present(),
        (Operator::Ne, _) if !present() => true,
        _ => {
            let leaf = path.leaf();
            any(path, subject, &mut |value| compares(leaf, operator, plain(value), wanted))
        }
    }
}

/// Whether any value at the path passes the test. A multi-valued attribute has each of its values tested.
pub(super) fn any<'a>(path: &Path, subject: Subject<'a>, test: &mut dyn FnMut(&'a Value) -> bool) -> bool {
    let found = match subject {
        Subject::Resource(map) => in_resource(map, path),
        Subject::Element(value) => in_element(value, &path.attribute),
    };
    let mut tested = |value: &'a Value| {
        if !path.filter.as_ref().is_none_or(|filter| filter.holds(Subject::Element(value))) {
            return false;
        }
        match &path.sub {
            None => test(value),
            Some(sub) => in_element(value, sub).is_some_and(|value| each(value, test)),
        }
    };
    found.is_some_and(|value| each(value, &mut tested))
}

/// RFC 7643 section 2.5: null and the empty array are no value; here neither is an empty text or object.
pub(super) fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A boolean as text, which is how Entra's default dialect sends it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A dateTime of RFC 7643 section 2.3.5, with its offset.
pub(super) fn instant(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

/// A member of an object: names have no case (RFC 7643 section 2.1), and objects of undeclared schemas keep
/// the case they came in.
pub(super) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name)
        .or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// Whether two values are equal as the attribute means it.
pub(super) fn same(leaf: Option<&Attribute>, a: &Value, b: &Value) -> bool {
    a == b || compares(leaf, Operator::Eq, a, b)
}

/// What stands at the path's attribute as a whole.
pub(super) fn in_resource<'a>(map: &'a Map<String, Value>, path: &Path) -> Option<&'a Value> {
    match &path.schema {
        None => member(map, &path.attribute),
        Some(urn) if path.is_schema_object() => member(map, urn),
        Some(urn) => member(member(map, urn)?.as_object()?, &path.attribute),
    }
}

/// The values of a simple multi-valued attribute are called `value`: RFC 7643 section 2.4.
fn in_element<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => member(map, name),
        Value::Null | Value::Array(_) => None,
        plain => name.eq_ignore_ascii_case("value").then_some(plain),
    }
}

fn each<'a>(value: &'a Value, test: &mut dyn FnMut(&'a Value) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(test),
        single => test(single),
    }
}

/// An object where only a plain value can be compared means its `value`.
fn plain(value: &Value) -> &Value {
    value.as_object().and_then(|map| member(map, "value")).unwrap_or(value)
}

fn compares(leaf: Option<&Attribute>, operator: Operator, actual: &Value, wanted: &Value) -> bool {
    match operator {
        Operator::Ne => !compares(leaf, Operator::Eq, actual, wanted),
        Operator::Co | Operator::Sw | Operator::Ew => part_of(leaf, operator, actual, wanted),
        _ => order(leaf, actual, wanted).is_some_and(|order| match operator {
            Operator::Gt => order.is_gt(),
            Operator::Ge => order.is_ge(),
            Operator::Lt => order.is_lt(),
            Operator::Le => order.is_le(),
            _ => order.is_eq(),
        }),
    }
}

/// Which of two values comes first; none where they cannot be compared.
pub(super) fn order(leaf: Option<&Attribute>, actual: &Value, wanted: &Value) -> Option<Ordering> {
    if let (Value::Number(a), Some(b)) = (actual, number(wanted)) {
        return number_order(a, &b);
    }
    let (a, b) = (text(actual)?, text(wanted)?);
    if leaf.is_some_and(|leaf| leaf.kind == Kind::DateTime) {
        return Some(instant(&a)?.cmp(&instant(&b)?));
    }
    let exact = leaf.is_some_and(|leaf| leaf.case_exact);
    Some(if exact { a.cmp(&b) } else { folded(&a).cmp(folded(&b)) })
}

/// A filter's value for an attribute without a declared type is a text, quoted or not.
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// As integers where both are, because a double has no room for every 64-bit id.
fn number_order(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn part_of(leaf: Option<&Attribute>, operator: Operator, actual: &Value, wanted: &Value) -> bool {
    let (Some(actual), Some(wanted)) = (text(actual), text(wanted)) else { return false };
    let fold = |text: &str| match leaf {
        Some(leaf) if leaf.case_exact => text.to_owned(),
        _ => folded(text).collect(),
    };
    let (actual, wanted): (String, String) = (fold(&actual), fold(&wanted));
    match operator {
        Operator::Sw => actual.starts_with(&wanted),
        Operator::Ew => actual.ends_with(&wanted),
        _ => actual.contains(&wanted),
    }
}

fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}
