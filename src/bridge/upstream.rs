//! Executing a plan: an update of one person in Ziflow, whatever Ziflow's way of answering it is.

use serde_json::{Map, Value};
use tracing::{error, warn};

use crate::bridge::change::MayWrite;
use crate::bridge::plan::lost_by_update;
use crate::bridge::{Bridge, Update};
use crate::ziflow::answer::Written;
use crate::ziflow::client::to_json;
use crate::ziflow::directory::Who;
use crate::ziflow::error::Error;
use crate::ziflow::model::{Field, FieldValue, Fields, User};
use crate::ziflow::transport::Call;

impl Bridge {
    /// Writes these fields and returns the person as Ziflow shows them afterwards.
    pub(super) async fn update(
        &self,
        may: &MayWrite<'_>,
        call: &Call,
        before: &User,
        fields: &Fields,
    ) -> Result<User, Error> {
        let updated = self.update_and_look(may, call, before, fields).await;
        may.saw(&updated);
        updated
    }

    async fn update_and_look(
        &self,
        may: &MayWrite<'_>,
        call: &Call,
        before: &User,
        fields: &Fields,
    ) -> Result<User, Error> {
        let (before, body) = match self.settings.update {
            Update::ChangedFields => (before.clone(), to_json(fields)),
            Update::FullObject => {
                // A whole person sent back must be today's, or somebody else's change would be undone, and must
                // hold what was written a moment ago, or Ziflow's delay would undo that.
                let today = self.today(call, &before.id, &before.email).await?;
                let body = whole(&today, fields);
                (today, body)
            }
        };
        let after = match self.put(may, call, &before, fields, &body).await {
            Err(Error::Refused { .. } | Error::Conflict { .. }) if disables(fields) && fields.len() > 1 => {
                warn!(
                    id = before.id,
                    "Ziflow refuses other values of an update that disables: only that is written"
                );
                return Box::pin(self.update_and_look(may, call, &before, &off())).await;
            }
            // Who is a contact and no user cannot sign in: that is what disabling asks for.
            Err(Error::NotFound) if before.contact && disables_only(fields) => before.clone(),
            other => other?,
        };
        let after = self.restore_what_was_lost(may, call, &before, fields, after).await?;
        confirm_active(fields, &after)?;
        self.directory.wrote(call, &before, &after);
        Ok(after)
    }

    /// A person whom the bridge knows, as Ziflow shows them now.
    pub(super) async fn today(&self, call: &Call, id: &str, email: &str) -> Result<User, Error> {
        let found = self.directory.fresh_known_person(call, id, email).await;
        self.surely(call, found).await
    }

    /// That somebody whom the bridge knows is gone is believed only with a proof of its own: a request that was to
    /// disable or delete them would count as done, and what the store then forgets cannot be had back.
    pub(super) async fn surely(&self, call: &Call, found: Result<User, Error>) -> Result<User, Error> {
        if matches!(found, Err(Error::NotFound)) {
            self.directory.client().prove(call).await?;
        }
        found
    }

    async fn put(
        &self,
        may: &MayWrite<'_>,
        call: &Call,
        before: &User,
        fields: &Fields,
        body: &Map<String, Value>,
    ) -> Result<User, Error> {
        let written = self.directory.client().update(may, call, &before.id, body).await;
        // Whatever came back, what is kept about this person may be out of date.
        self.directory.writing(&before.id);
        let unconfirmed = match written {
            Ok(Written::User(after)) => return Ok(*after),
            Ok(Written::Unseen) => None,
            Err(Error::Unknown { reason }) => Some(reason),
            Err(other) => return Err(other),
        };
        let who = Who::Known { id: &before.id, email: &before.email };
        let seen = self.directory.read_back(call, &who, |after| shows(after, fields)).await;
        match (seen, unconfirmed) {
            (Ok(after), Some(reason)) if !shows(&after, fields) => Err(Error::Unknown { reason }),
            (Ok(after), _) => Ok(after),
            (Err(_), Some(reason)) => Err(Error::Unknown { reason }),
            (Err(error), None) => Err(error),
        }
    }

    /// `ziflow.update: changed_fields` expects that an update leaves alone what it does not name. Where it does
    /// not, the person would lose roles and names: they are put back, and the operator is told the setting.
    async fn restore_what_was_lost(
        &self,
        may: &MayWrite<'_>,
        call: &Call,
        before: &User,
        fields: &Fields,
        after: User,
    ) -> Result<User, Error> {
        let mut lost = lost_by_update(before, fields, &after);
        if after.contact {
            // A contact shows fewer fields than a user: that some are gone tells nothing, unless a name is among them.
            let tells = [Field::FirstName, Field::LastName].iter().any(|name| lost.contains_key(name));
            lost.retain(|field, _| tells && !field.is_list());
        }
        if lost.is_empty() {
            return Ok(after);
        }
        let names: Vec<_> = lost.keys().map(|field| field.name()).collect();
        error!(
            id = before.id,
            fields = names.join(","),
            "an update made Ziflow forget fields it did not name; they are put back. \
             Set ziflow.update to full_object"
        );
        let mut all = lost;
        all.extend(fields.clone());
        self.put(may, call, before, &all, &whole(before, &all)).await
    }
}

/// Everything an update may carry, with these changes.
fn whole(user: &User, fields: &Fields) -> Map<String, Value> {
    let mut all = user.updatable();
    all.extend(fields.clone());
    let mut body = to_json(&all);
    if let Some(defaults) = &user.proofing_defaults {
        body.insert("proofing_defaults".to_owned(), defaults.clone());
    }
    body
}

fn disables_only(fields: &Fields) -> bool {
    fields.len() == 1 && disables(fields)
}

pub(super) fn disables(fields: &Fields) -> bool {
    fields.get(&Field::Active) == Some(&FieldValue::Boolean(false))
}

/// The update that disables and does nothing else.
pub(super) fn off() -> Fields {
    Fields::from([(Field::Active, FieldValue::Boolean(false))])
}

/// Whether the person shows these values. Texts may have been tidied by Ziflow.
pub(super) fn shows(user: &User, fields: &Fields) -> bool {
    let reduced =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    fields.iter().all(|(field, sent)| match (sent, user.get(*field)) {
        (FieldValue::Text(sent), Some(FieldValue::Text(got))) => {
            let (sent, got): (String, String) = (reduced(sent), reduced(&got));
            sent == got
        }
        (sent, Some(got)) => sent.same_as(&got),
        (sent, None) => sent.is_empty(),
    })
}

/// Access is what must not be misreported: an update that did not take is a failure, not a success.
fn confirm_active(fields: &Fields, after: &User) -> Result<(), Error> {
    match fields.get(&Field::Active) {
        Some(FieldValue::Boolean(wanted)) if *wanted != after.active => {
            warn!(id = after.id, wanted, "Ziflow took the change of `active` and does not show it");
            Err(Error::Unknown {
                reason: "Ziflow accepted the change of `active` but does not show it".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jo() -> User {
        User::from_json(&json!({
            "id": "1", "email": "jo@example.com", "phone": "+44 20", "roles": ["user"], "active": true,
            "proofing_defaults": {"comment": true},
        }))
        .unwrap()
    }

    #[test]
    fn a_change_is_seen_also_when_ziflow_tidied_it() {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        for (field, sent, seen) in [
            (Field::Phone, text("+4420"), true),
            (Field::Phone, text("+4421"), false),
            (Field::Company, text(""), true),
            (Field::Active, FieldValue::Boolean(false), false),
            (Field::Roles, FieldValue::List(vec!["user".into()]), true),
        ] {
            assert_eq!(shows(&jo(), &Fields::from([(field, sent.clone())])), seen, "{field} {sent:?}");
        }
    }

    #[test]
    fn a_whole_person_carries_everything_but_the_address() {
        let body = whole(&jo(), &Fields::from([(Field::Active, FieldValue::Boolean(false))]));
        let expected = json!({
            "phone": "+44 20", "roles": ["user"], "active": false, "proofing_defaults": {"comment": true},
        });
        assert_eq!(Value::Object(body), expected);
    }
}
