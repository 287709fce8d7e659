//! The dialects in which Microsoft Entra ID writes SCIM, one rule each, turned into plain RFC 7644 before
//! anything else sees them. Requests of the letter keep their meaning; the one exception says so
//! (`removes_listed`).

use serde_json::{Map, Value};

use crate::scim::check;
use crate::scim::compare;
use crate::scim::error::Error;
use crate::scim::filter::Filter;
use crate::scim::patch::{Step, Verb};
use crate::scim::path::{Path, is_urn};
use crate::scim::resource::Warning;
use crate::scim::schema::{Attribute, Kind, ResourceType};

/// One operation of a PATCH as steps of the letter.
pub(super) fn steps(
    operation: Value,
    rt: &'static ResourceType,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Step>, Error> {
    let Operation { verb, path, value } = Operation::read(operation)?;
    let mut steps = Vec::new();
    for step in located(verb, path, value, rt, warnings)? {
        let step = whole_reference(step);
        if removes_listed(&step) {
            steps.extend(listed_removals(&step)?);
        } else if has_members(&step) {
            steps.extend(member_steps(step, warnings));
        } else {
            steps.push(step);
        }
    }
    Ok(steps)
}

/// The members of a resource object or of the value of an operation without path, each with its path.
/// Flat keys (`name.givenName`, `<urn>:department`) stand beside nested objects, as in
/// "Develop and plan provisioning for a SCIM endpoint" and its compatibility page. What this service does not
/// know becomes a warning.
pub(super) fn assignments(
    map: Map<String, Value>,
    rt: &'static ResourceType,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<(Path, Value)>, Error> {
    let mut found = Vec::with_capacity(map.len());
    for (key, value) in map {
        if let Some(urn) = schema_object(&key, &value, rt) {
            extension(urn, members(&key, value)?, rt, warnings, &mut found);
        } else {
            match Path::parse(&key, rt) {
                Ok(path) => found.push((path, value)),
                Err(_) if compare::is_absent(&value) => {}
                Err(_) => warnings.push(Warning::new(&key)),
            }
        }
    }
    Ok(found)
}

/// An operation as it is written, member names and `op` in any letter case: the default dialect says
/// `Replace`.
struct Operation {
    verb: Verb,
    path: Option<String>,
    /// `None` when the member is missing.
    value: Option<Value>,
}

impl Operation {
    fn read(given: Value) -> Result<Self, Error> {
        let Value::Object(given) = given else {
            return Err(Error::invalid_syntax("it must be a JSON object with op, path and value"));
        };
        let op = compare::member(&given, "op").and_then(Value::as_str).map(str::to_ascii_lowercase);
        let verb = match op.as_deref() {
            Some("add") => Verb::Add,
            Some("replace") => Verb::Replace,
            Some("remove") => Verb::Remove,
            _ => return Err(Error::invalid_syntax("op must be add, replace or remove")),
        };
        let path = match compare::member(&given, "path") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) => Some(path.trim().to_owned()),
            Some(_) => return Err(Error::invalid_path("path must be a text")),
        };
        let path = path.filter(|path| !path.is_empty());
        let value = given.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("value"));
        Ok(Self { verb, path, value: value.map(|(_, value)| value) })
    }
}

/// The operation on one path, or one on each member of its value.
fn located(
    verb: Verb,
    path: Option<String>,
    value: Option<Value>,
    rt: &'static ResourceType,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Step>, Error> {
    let missing = value.is_none();
    let value = value.unwrap_or_default();
    let clears = value.is_null() || value == "";
    let members = match path {
        None => pathless(verb, value)?,
        Some(text) if !clears && schema_object(&text, &value, rt).is_some() => {
            Map::from_iter([(text, value)])
        }
        Some(text) => {
            let path = Path::parse(&text, rt)?;
            if missing && verb == Verb::Add {
                return Err(Error::invalid_value(format!("{path}: an add needs a value")));
            }
            return Ok(vec![Step { verb, path, value, named: true }]);
        }
    };
    let steps = assignments(members, rt, warnings)?.into_iter();
    Ok(steps.map(|(path, value)| Step { verb, path, value, named: false }).collect())
}

/// Microsoft's validator also removes without a path, by an object that holds what is to go.
fn pathless(verb: Verb, value: Value) -> Result<Map<String, Value>, Error> {
    match only(value) {
        Value::Object(members) => Ok(members),
        Value::Null if verb == Verb::Remove => {
            Err(Error::no_target("a remove needs a path: say what to remove"))
        }
        _ => Err(Error::invalid_syntax("without a path the value must be an object of attributes")),
    }
}

/// `manager` is a text, an object, a list of one object or empty, depending on dialect and age; and a `$ref`
/// that stays behind when `value` changes would name the manager before. So the reference is replaced as a
/// whole.
fn whole_reference(step: Step) -> Step {
    let reference = |attribute: &Attribute| !attribute.multi_valued && attribute.is_reference_object();
    let path = &step.path;
    if path.filter.is_some() || !path.definition().is_some_and(reference) {
        return step;
    }
    let whole = path.whole();
    let id = match (path.sub.as_deref(), only(step.value.clone())) {
        (None, Value::Object(map)) => match compare::member(&map, "value") {
            Some(id) if compare::is_absent(id) => Value::Null,
            Some(_) => Value::Object(map),
            None => return step,
        },
        (None | Some("value"), id) => id,
        (Some(_), _) => return step,
    };
    let verb = if step.verb == Verb::Remove { Verb::Remove } else { Verb::Replace };
    Step { verb, path: whole, value: id, ..step }
}

/// By the RFC a remove without filter empties the list, whatever value comes with it. Entra means the values
/// in it and no others: taken literally, one person leaving a group would empty it.
fn removes_listed(step: &Step) -> bool {
    let list = step.path.definition().map_or(step.value.is_array(), |attribute| attribute.multi_valued);
    step.verb == Verb::Remove && list && step.path.filter.is_none() && !step.value.is_null()
}

fn listed_removals(step: &Step) -> Result<Vec<Step>, Error> {
    // What is unknown in a value to remove is no loss, so it is not worth a warning.
    let listed = check::value(&step.path, step.value.clone(), &mut Vec::new())?;
    let listed = match listed {
        Some(Value::Array(items)) => items,
        single => Vec::from_iter(single),
    };
    let (definition, sub) = (step.path.definition(), step.path.sub.as_deref().unwrap_or("value"));
    let one = |item: Value| {
        let path = step.path.with_filter(Filter::selecting(definition, sub, item));
        Step { verb: Verb::Remove, path, value: Value::Null, named: false }
    };
    Ok(listed.into_iter().map(one).collect())
}

/// An object for a complex attribute sets its members one by one: those it leaves out stay, and those it
/// empties go (RFC 7644 section 3.5.2.3). The same for adding to the value that a filter selects.
fn has_members(step: &Step) -> bool {
    let Some(attribute) = step.path.definition() else { return false };
    let selected = match step.verb {
        Verb::Add => attribute.multi_valued == step.path.filter.is_some(),
        Verb::Replace => !attribute.multi_valued && step.path.filter.is_none(),
        Verb::Remove => !attribute.multi_valued && !step.named,
    };
    selected && attribute.kind == Kind::Complex && step.path.sub.is_none() && as_object(&step.value).is_some()
}

fn member_steps(step: Step, warnings: &mut Vec<Warning>) -> Vec<Step> {
    let Step { verb, path, value, .. } = step;
    let (Value::Object(members), Some(attribute)) = (only(value), path.definition()) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    for (name, value) in members {
        match attribute.sub(&name).or_else(|| renamed_sub(attribute, &name)) {
            Some(sub) => steps.push(Step { verb, path: path.with_sub(sub), value, named: false }),
            None if compare::is_absent(&value) => {}
            None => warnings.push(Warning::new(format_args!("{path}.{name}"))),
        }
    }
    steps
}

/// A list of one is its value.
fn only(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() == 1 => items.pop().unwrap_or_default(),
        other => other,
    }
}

fn as_object(value: &Value) -> Option<&Map<String, Value>> {
    match value {
        Value::Array(items) if items.len() == 1 => items.first()?.as_object(),
        other => other.as_object(),
    }
}

/// Entra writes roles with their `displayName`, where RFC 7643 section 2.4 says `display`.
pub(super) fn renamed_sub(attribute: &Attribute, name: &str) -> Option<&'static Attribute> {
    attribute.sub("display").filter(|_| name.eq_ignore_ascii_case("displayName"))
}

/// `AppRoleAssignments` of the default dialect: a role whose `value` is a JSON object in a text, with `id`,
/// `value` and `displayName`. The `id` is Entra's own and of no use here.
pub(super) fn unpack_role(attribute: &Attribute, role: Value) -> Value {
    let packed = match &role {
        Value::Object(map) => compare::member(map, "value"),
        plain => Some(plain),
    };
    let text =
        packed.and_then(Value::as_str).filter(|text| attribute.name == "roles" && text.starts_with('{'));
    let Some(Ok(Value::Object(mut inner))) = text.map(serde_json::from_str) else { return role };
    inner.retain(|name, _| !name.eq_ignore_ascii_case("id"));
    if let Value::Object(outer) = role {
        for (name, value) in outer {
            if compare::member(&inner, &name).is_none() && !name.eq_ignore_ascii_case("value") {
                inner.insert(name, value);
            }
        }
    }
    Value::Object(inner)
}

/// The URN of the schema whose whole object this member is. Under an undeclared URN only the value tells
/// `urn:example:hr` with an object from `urn:example:hr:badge` with a value.
fn schema_object<'a>(key: &'a str, value: &Value, rt: &'static ResourceType) -> Option<&'a str> {
    // As paths are read, with blanks around them: else a text could come to stand where a schema's object belongs.
    let key = key.trim();
    if !is_urn(key) {
        return None;
    }
    match Path::parse(key, rt) {
        Ok(path) if path.is_schema_object() => Some(rt.schema_of(key).map_or(key, |schema| schema.id)),
        Ok(path) if path.definition().is_some() || path.filter.is_some() || path.sub.is_some() => None,
        _ => {
            let below = key.to_ascii_lowercase().contains(&format!(":{}:", rt.name.to_ascii_lowercase()));
            (value.is_object() && !below).then_some(key)
        }
    }
}

fn extension(
    urn: &str,
    map: Map<String, Value>,
    rt: &'static ResourceType,
    warnings: &mut Vec<Warning>,
    found: &mut Vec<(Path, Value)>,
) {
    let declared = rt.schema_of(urn).is_some();
    for (name, value) in map {
        let path = if declared {
            Path::parse(&format!("{urn}:{name}"), rt).ok()
        } else {
            // Without a name it would stand for the whole object.
            (!name.is_empty()).then(|| Path::undeclared(urn, &name))
        };
        match path {
            Some(path) => found.push((path, value)),
            None if compare::is_absent(&value) => {}
            None => warnings.push(Warning::new(format_args!("{urn}:{name}"))),
        }
    }
}

fn members(key: &str, value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(Error::invalid_value(format!("{key} is a schema: send an object with its attributes"))),
    }
}
