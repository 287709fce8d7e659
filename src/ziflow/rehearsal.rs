//! A dry run: writes are told and not sent. Reads are real, so nobody whom Ziflow has ever looks changed; people who
//! would have been made live here, until the process ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use tracing::{info, warn};

use crate::ziflow::client::random_bytes;
use crate::ziflow::error::Error;
use crate::ziflow::model::{Field, FieldValue, Fields, PLAIN_USER, User};

/// What the ids begin with that a dry run gives: Ziflow has no such ids.
pub const MARK: &str = "dry-run-";

/// People who were not made.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    people: Mutex<HashMap<String, User>>,
}

impl Rehearsal {
    /// The person whom this create would have made.
    pub(super) fn create(&self, body: &Map<String, Value>) -> Result<User, Error> {
        let id = format!("{MARK}{}", random_id()?);
        tell("POST /users", &id, body);
        let mut person = body.clone();
        person.entry("roles").or_insert_with(|| json!([PLAIN_USER]));
        person.insert("id".to_owned(), id.as_str().into());
        let broken = || Error::Nonsense { reason: "a dry run cannot make sense of a create".to_owned() };
        let user = User::from_json(&Value::Object(person)).ok_or_else(broken)?;
        self.people().insert(id, user.clone());
        Ok(user)
    }

    /// What this update would have made of the person.
    pub(super) fn update(&self, user: User, body: &Map<String, Value>) -> User {
        tell("PUT /users/{id}", &user.id, body);
        if body.get(Field::Active.name()) == Some(&Value::Bool(false)) {
            tell_of_access(&user.id);
        }
        let field =
            |(name, value): (&String, &Value)| Some((Field::by_name(name)?, FieldValue::from_json(value)?));
        let user = user.with(&body.iter().filter_map(field).collect::<Fields>());
        if is_ours(&user.id) {
            self.people().insert(user.id.clone(), user.clone());
        }
        user
    }

    pub(super) fn delete(&self, id: &str) {
        tell("DELETE /users/{id}", id, &Map::new());
        tell_of_access(id);
        self.people().remove(id);
    }

    /// Somebody who was not made, by their id.
    pub(super) fn by_id(&self, id: &str) -> Option<User> {
        self.people().get(id).cloned()
    }

    /// The same by their address.
    pub(super) fn by_email(&self, email: &str) -> Option<User> {
        self.people().values().find(|user| user.email.eq_ignore_ascii_case(email)).cloned()
    }

    fn people(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a dry run has given this id.
pub fn is_ours(id: &str) -> bool {
    id.starts_with(MARK)
}

/// The names of the fields and no value: those are personal.
fn tell(call: &str, id: &str, body: &Map<String, Value>) {
    let fields: Vec<&str> = body.keys().map(String::as_str).collect();
    info!(call, id, fields = fields.join(","), "dry run: not sent");
}

/// Entra takes it for done and does not ask again, so somebody has to do it by hand.
fn tell_of_access(id: &str) {
    if !is_ours(id) {
        warn!(id, "dry run: this person keeps their access; disable them in Ziflow by hand");
    }
}

/// Not counted from 1: after a restart, Entra must not take somebody else for the person it has an id of.
fn random_id() -> Result<String, Error> {
    Ok(format!("{:016x}", u64::from_be_bytes(random_bytes()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn who_is_made_is_remembered_and_who_is_real_is_not() {
        let rehearsal = Rehearsal::default();
        let jo = rehearsal.create(&body(&json!({"email": "Jo@example.com", "verified": false}))).unwrap();
        assert!(is_ours(&jo.id));
        assert_eq!(jo.list(Field::Roles), [PLAIN_USER]);
        let jo = rehearsal.update(jo, &body(&json!({"phone": "1", "active": false})));
        assert_eq!(rehearsal.by_email("jo@example.com"), Some(jo.clone()));
        assert!(!jo.active && jo.get(Field::Phone).is_some());
        let real = User::from_json(&json!({"id": "auth0|1", "email": "ann@example.com"})).unwrap();
        let real = rehearsal.update(real, &body(&json!({"roles": ["admin"]})));
        assert_eq!(real.list(Field::Roles), ["admin"]);
        assert_eq!(rehearsal.by_id("auth0|1"), None);
        rehearsal.delete(&jo.id);
        assert_eq!(rehearsal.by_id(&jo.id), None);
    }
}
