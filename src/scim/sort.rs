//! Sorting of lists (RFC 7644 section 3.4.2.3).

use std::cmp::Ordering;

use serde_json::Value;

use crate::scim::compare;
use crate::scim::error::Error;
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::{Kind, ResourceType, Returned};

/// By what a list is sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    path: Path,
    descending: bool,
}

impl Sort {
    /// Reads `sortBy` and `sortOrder`. A complex attribute is sorted by one of its parts.
    pub fn parse(by: &str, order: Option<&str>, rt: &'static ResourceType) -> Result<Self, Error> {
        let path =
            Path::parse(by.trim(), rt).map_err(|error| Error::invalid_value(format!("sortBy: {error}")))?;
        let path = match path.definition() {
            Some(attribute) if attribute.kind == Kind::Complex && path.sub.is_none() => {
                let value = attribute.sub("value").ok_or_else(|| {
                    Error::invalid_value(format!(
                        "sortBy: {path} has parts; name one, such as {path}.formatted"
                    ))
                })?;
                path.with_sub(value)
            }
            _ => path,
        };
        if path.leaf().is_some_and(|leaf| leaf.returned == Returned::Never) {
            return Err(Error::invalid_value(format!(
                "sortBy: {path} is never shown, so nothing is sorted by it"
            )));
        }
        let descending = match order.map(str::trim) {
            None | Some("") => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(Error::invalid_value("sortOrder must be ascending or descending")),
        };
        Ok(Self { path, descending })
    }

    /// Sorts; who has no value comes last, or first when descending. Equals keep their order.
    pub fn apply(&self, resources: &mut [Resource]) {
        resources.sort_by(|a, b| self.compare(self.key(a), self.key(b)));
    }

    /// How two stand to each other by what `key` says of them.
    pub fn compare(&self, a: Option<&Value>, b: Option<&Value>) -> Ordering {
        let order = match (a, b) {
            // Of unlike kinds one comes first: sorting needs an answer for any two.
            (Some(a), Some(b)) => kind(a)
                .cmp(&kind(b))
                .then_with(|| compare::order(self.path.leaf(), a, b).unwrap_or(Ordering::Equal)),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        if self.descending { order.reverse() } else { order }
    }

    /// What the resource is sorted by: of several values the primary one, or else the first.
    pub fn key<'a>(&self, resource: &'a Resource) -> Option<&'a Value> {
        let several = resource.attribute(&self.path).and_then(Value::as_array);
        let primary = several
            .and_then(|values| values.iter().find(|value| value.get("primary") == Some(&Value::Bool(true))));
        match (primary, &self.path.sub) {
            (Some(primary), Some(sub)) => primary.get(sub),
            _ => resource.first(&self.path),
        }
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Null | Value::Array(_) | Value::Object(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    fn sorted(by: &str, order: Option<&str>) -> Vec<String> {
        let people = [
            json!({"userName": "b", "name": {"familyName": "abel"}, "active": true,
                   "emails": [{"value": "z@x", "type": "work"}, {"value": "a@x", "type": "home", "primary": true}]}),
            json!({"userName": "C", "name": {"familyName": "Zoe"}, "emails": [{"value": "b@x", "type": "work"}]}),
            json!({"userName": "a", "active": false}),
        ];
        let read = |person: &Value| Resource::from_body(person.clone(), &USER_TYPE).unwrap().0;
        let mut people: Vec<_> = people.iter().map(read).collect();
        Sort::parse(by, order, &USER_TYPE).unwrap().apply(&mut people);
        let name = |person: &Resource| person.as_map()["userName"].as_str().unwrap().to_owned();
        people.iter().map(name).collect()
    }

    #[test]
    fn lists_are_sorted_as_the_attribute_compares() {
        for (by, order, expected) in [
            ("userName", None, ["a", "b", "C"]),
            ("USERNAME", Some("descending"), ["C", "b", "a"]),
            ("name.familyName", Some("ascending"), ["b", "C", "a"]),
            ("name.familyName", Some("descending"), ["a", "C", "b"]),
            ("emails", None, ["b", "C", "a"]),
            ("emails.value", Some("Descending"), ["a", "C", "b"]),
        ] {
            assert_eq!(sorted(by, order), expected, "{by} {order:?}");
        }
        for (by, order) in
            [("nothing", None), ("name", None), ("password", None), ("userName", Some("upwards"))]
        {
            assert!(Sort::parse(by, order, &USER_TYPE).is_err(), "{by} {order:?}");
        }
    }
}
