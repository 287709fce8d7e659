//! Where Ziflow has something else than what the mapping makes of what Entra last wrote.

use super::Mapping;
use super::field::{FieldMapping, Outcome};
use super::memory::Memory;
use super::merge::bare;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, FieldValue, User};

/// A field in which the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: Field,
    /// What the mapping makes of what Entra wrote.
    pub wanted: FieldValue,
    /// What Ziflow has, if it shows anything.
    pub got: Option<FieldValue>,
}

impl Mapping {
    /// The fields in which Ziflow differs from what Entra wrote. Lists are left out: of them, only what the bridge has
    /// granted can be missing. A value that Ziflow spells its own way is the same, and so is one that it cannot change.
    pub fn drift(&self, stored: &Resource, memory: &Memory, user: &User) -> Vec<Difference> {
        let fields = self.fields.iter().filter(|mapping| mapping.writes() && !mapping.field.is_list());
        fields.filter_map(|mapping| mapping.difference(stored, memory, user)).collect()
    }

    /// What the mapping makes of a list field, where it makes anything of it.
    pub fn wanted_list(&self, stored: &Resource, field: Field) -> Option<Vec<String>> {
        match self.field(field)?.outcome(stored, &mut ()) {
            Outcome::Value(FieldValue::List(items)) => Some(items),
            _ => None,
        }
    }
}

impl FieldMapping {
    fn difference(&self, stored: &Resource, memory: &Memory, user: &User) -> Option<Difference> {
        // Where Entra wrote nothing there is nothing to differ from.
        let Outcome::Value(wanted) = self.outcome(stored, &mut ()) else { return None };
        let got = user.get(self.field);
        let held = memory.held.get(self.field.name());
        let same = self.agree(Some(&wanted), got.as_ref())
            || held.is_some_and(|held| held.fits(self.field, Some(&wanted), got.as_ref()))
            || self.field != Field::Active && bare(Some(&wanted)) == bare(got.as_ref());
        (!same).then_some(Difference { field: self.field, wanted, got })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::scim::schema::USER_TYPE;

    fn difference(stored: &Value, user: &Value) -> Vec<(Field, Value)> {
        let (mapping, _) = Mapping::compile(include_str!("../../config/mapping.yaml")).unwrap();
        let mut person =
            json!({"id": "1", "email": "jo@example.com", "first_name": "Jo", "last_name": "Lee"});
        person.as_object_mut().unwrap().extend(user.as_object().unwrap().clone());
        let mut body =
            json!({"userName": "Jo@example.com", "name": {"givenName": "Jo", "familyName": "Lee"}});
        body.as_object_mut().unwrap().extend(stored.as_object().unwrap().clone());
        let stored = Resource::from_body(body, &USER_TYPE).unwrap().0;
        let user = User::from_json(&person).unwrap();
        let found = mapping.drift(&stored, &Memory::default(), &user);
        found
            .into_iter()
            .map(|found| (found.field, found.got.map_or(Value::Null, |got| got.to_json())))
            .collect()
    }

    #[test]
    fn only_what_entra_wrote_can_differ() {
        let phone = json!({"phoneNumbers": [{"type": "work", "value": "+44 20"}]});
        for (stored, user, expected) in [
            (json!({}), json!({}), vec![]),
            (json!({}), json!({"phone": "1", "company": "X"}), vec![]),
            (json!({"active": true}), json!({"active": false}), vec![(Field::Active, json!(false))]),
            (json!({"active": false}), json!({}), vec![(Field::Active, json!(true))]),
            (json!({}), json!({"first_name": "Joanna"}), vec![(Field::FirstName, json!("Joanna"))]),
            (phone.clone(), json!({"phone": "+4420"}), vec![]),
            (phone.clone(), json!({"phone": "+4421"}), vec![(Field::Phone, json!("+4421"))]),
            (phone, json!({}), vec![(Field::Phone, Value::Null)]),
        ] {
            assert_eq!(difference(&stored, &user), expected, "{stored} {user}");
        }
    }
}
