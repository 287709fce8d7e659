//! How much one request may ask for, beside its bytes: values, operations, members. What is within these bounds is
//! worked on; what is beyond is refused before anything is looked up or changed.

use http::StatusCode;
use serde_json::{Map, Value};

use crate::scim::error::Error;
use crate::server::Limits;

/// Whether a body stays within the bounds: of a PATCH, of a resource, or of a bulk request of these.
pub(super) fn check(body: &Value, limits: &Limits) -> Result<(), Error> {
    let Some(body) = body.as_object() else { return Ok(()) };
    let Some(operations) = list(body, "Operations") else {
        return check_members(list(body, "members"), limits);
    };
    let data: Vec<_> =
        operations.iter().filter_map(|operation| member(operation.as_object()?, "data")).collect();
    if data.is_empty() {
        return check_patch(operations, limits);
    }
    data.into_iter().try_for_each(|data| check(data, limits))
}

fn check_patch(operations: &[Value], limits: &Limits) -> Result<(), Error> {
    let most = limits.max_patch_operations;
    if operations.len() > most {
        let detail = format!(
            "the PATCH has more than {most} operations (server.max_patch_operations): send it in parts; nothing has \
             been changed"
        );
        return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let mut members = Vec::new();
    for (number, operation) in operations.iter().filter_map(Value::as_object).enumerate() {
        let path = member(operation, "path").and_then(Value::as_str).unwrap_or_default();
        if path.chars().nth(limits.max_filter_chars).is_some() {
            let most = limits.max_filter_chars;
            let detail = format!(
                "operation {}: its path is longer than {most} characters (server.max_filter_chars)",
                number + 1
            );
            return Err(Error::invalid_path(detail));
        }
        match member(operation, "value") {
            Some(Value::Array(values)) => members.extend(values),
            Some(Value::Object(value)) => members.extend(list(value, "members").into_iter().flatten()),
            _ => {}
        }
        check_count(members.len(), limits)?;
    }
    Ok(())
}

fn check_members(members: Option<&Vec<Value>>, limits: &Limits) -> Result<(), Error> {
    check_count(members.map_or(0, Vec::len), limits)
}

fn check_count(members: usize, limits: &Limits) -> Result<(), Error> {
    let most = limits.max_members;
    if members <= most {
        return Ok(());
    }
    let detail = format!(
        "the request names more than {most} members (server.max_members): send them in parts; nothing has been changed"
    );
    Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
}

/// Names of members have any letter case (RFC 7643 section 2.1).
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Vec<Value>> {
    member(object, name).and_then(Value::as_array)
}
