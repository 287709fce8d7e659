//! What a request wants to be done to the members of a group, without the group at hand: it may have many, and cost must
//! grow with the change.

use serde_json::Value;

use crate::scim::error::Error;
use crate::scim::filter::Filter;

/// One change of who belongs to a group; several are made in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Membership {
    /// Those who belong already stay.
    Add(Vec<String>),
    /// Those who do not belong are passed over.
    Remove(Vec<String>),
    /// Those whom the filter in brackets selects.
    RemoveSelected(Filter),
    /// These and nobody else.
    Replace(Vec<String>),
}

/// The members in the body of a create or replace; none when the body does not speak of them.
pub fn in_body(body: &Value) -> Result<Option<Vec<String>>, Error> {
    let members = body.as_object().into_iter().flatten();
    let members = members.filter(|(name, _)| name.eq_ignore_ascii_case("members"));
    match members.map(|(_, members)| members).next() {
        None | Some(Value::Null) => Ok(None),
        Some(members) => ids(members).map(Some),
    }
}

/// The ids in a list of members, an object or a text each, or in a single one; everybody once.
pub(super) fn ids(members: &Value) -> Result<Vec<String>, Error> {
    let members = match members {
        Value::Array(members) => members.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut ids: Vec<String> = Vec::with_capacity(members.len());
    let mut seen = std::collections::HashSet::new();
    for (place, member) in members.iter().enumerate() {
        let id = id(member).ok_or_else(|| {
            Error::invalid_value(format!("members[{place}]: value is missing: give the id of a person"))
        })?;
        if seen.insert(id) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

fn id(member: &Value) -> Option<&str> {
    let value = match member {
        Value::Object(member) => crate::scim::compare::member(member, "value")?,
        other => other,
    };
    value.as_str().map(str::trim).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_read_however_they_are_written() {
        for (body, expected) in [
            (json!({"displayName": "x"}), None),
            (json!({"members": null}), None),
            (json!({"MEMBERS": []}), Some(vec![])),
            (
                json!({"members": [{"value": "a", "$ref": null}, {"Value": "b"}, "c", {"value": "a"}]}),
                Some(vec!["a", "b", "c"]),
            ),
            (json!({"members": {"value": "a"}}), Some(vec!["a"])),
        ] {
            let read = in_body(&body).unwrap();
            assert_eq!(read, expected.map(|ids| ids.iter().map(ToString::to_string).collect()), "{body}");
        }
        for body in [json!({"members": [{}]}), json!({"members": [{"value": ""}]}), json!({"members": [7]})] {
            assert!(in_body(&body).unwrap_err().detail.starts_with("members[0]: value is missing"), "{body}");
        }
    }
}
