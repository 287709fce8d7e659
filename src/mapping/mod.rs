//! The mapping: how people in Entra become people in Ziflow, and back. Pure: it is handed text and values.
//!
//! `spec` is mapping.yaml as written, `compile` makes a [`Mapping`] of it or tells every problem, `apply`
//! goes from SCIM to Ziflow, `merge` shows Ziflow in SCIM, `groups` says what membership in a group grants. A
//! `Mapping` that exists is valid: nothing about the file is checked later. It decides neither what is written,
//! which is the bridge's plan, nor who may be touched.

pub mod apply;
mod backwards;
mod check;
mod compile;
mod condition;
pub mod drift;
pub mod examples;
mod fact;
mod field;
mod group_spec;
mod grouping;
pub mod groups;
mod keys;
pub mod memory;
mod merge;
mod pattern;
mod reach;
pub mod schema;
mod source;
mod spec;
mod table;
mod template;
pub mod trace;
mod transform;
mod value;

use crate::mapping::examples::Example;
use crate::mapping::field::FieldMapping;
use crate::mapping::groups::Groups;
use crate::mapping::template::Template;
use crate::scim::path::Path;
use crate::ziflow::model::Field;

/// A checked mapping.yaml.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// In the order of the catalogue, so that refusals and differences read the same every time.
    fields: Vec<FieldMapping>,
    fills: Vec<Fill>,
    groups: Groups,
    examples: Vec<Example>,
    /// `active`, which always shows Ziflow's truth.
    active: Path,
}

/// What a person shows where Entra never wrote anything (`scim:`).
#[derive(Clone, Debug)]
struct Fill {
    path: Path,
    template: Template<Field>,
}

impl Mapping {
    /// Whether the bridge also takes away list items that it did not grant.
    pub fn owns(&self, field: Field) -> bool {
        self.field(field).is_some_and(|mapping| mapping.owns)
    }

    /// The SCIM attributes without which nobody can be created, as paths; `/Schemas` calls them required.
    pub fn required(&self) -> Vec<&Path> {
        let needed = self.fields.iter().filter(|mapping| mapping.required && mapping.default.is_none());
        needed.filter_map(|mapping| if let [only] = mapping.paths() { Some(only) } else { None }).collect()
    }

    fn field(&self, field: Field) -> Option<&FieldMapping> {
        self.fields.iter().find(|mapping| mapping.field == field)
    }
}

#[cfg(test)]
mod testing {
    //! What the tests of this room begin with.

    use serde_json::{Value, json};

    use super::Mapping;
    use crate::scim::resource::Resource;
    use crate::scim::schema::USER_TYPE;
    use crate::ziflow::model::{Fields, User};

    pub(super) const ORGANIZATION: &str =
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization";

    pub(super) fn shipped() -> Mapping {
        Mapping::compile(include_str!("../../config/mapping.yaml")).unwrap().0
    }

    /// A mapping of `email`, `active` and these entries of `user:`.
    pub(super) fn mapping(entries: &str) -> Mapping {
        let entries = entries.replace('\n', "\n  ");
        let text =
            format!("user:\n  email: {{ from: userName }}\n  active: {{ from: active }}\n  {entries}\n");
        match Mapping::compile(&text) {
            Ok((mapping, _)) => mapping,
            Err(problems) => panic!("{problems:#?}"),
        }
    }

    pub(super) fn resource(body: Value) -> Resource {
        let (resource, warnings) = Resource::from_part(body, &USER_TYPE).unwrap();
        assert_eq!(warnings, []);
        resource
    }

    pub(super) fn user(mut fields: Value) -> User {
        fields["id"] = json!("1");
        if fields.get("email").is_none() {
            fields["email"] = json!("jo@example.com");
        }
        User::from_json(&fields).unwrap()
    }

    pub(super) fn fields_json(fields: &Fields) -> Value {
        fields.iter().map(|(field, value)| (field.name().to_owned(), value.to_json())).collect()
    }
}
