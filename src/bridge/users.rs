//! Changing people: replace, patch, delete. Each reads, decides (`plan.rs`), writes, answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::warn;

use crate::bridge::change::{Details, MayWrite, differing};
use crate::bridge::find::{EMAIL, EXTERNAL_ID, USER_NAME, ZIFLOW_EMAIL, fold};
use crate::bridge::grants::Decided;
use crate::bridge::groups::granted;
use crate::bridge::plan::{Granted, Protection, Refusal, is_tombstone_rename, without_tombstone};
use crate::bridge::record::Event;
use crate::bridge::representation::version_of;
use crate::bridge::upstream::{disables, off};
use crate::bridge::{Given, OnDelete, Seen, State, Users, now, seconds};
use crate::mapping::apply::{self, Wanted};
use crate::scim::error::{Error, without_values};
use crate::scim::patch::Patch;
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::USER_TYPE;
use crate::scim::version::Conditions;
use crate::store::{Person, Tombstone};
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::model::{Field, Fields, User};
use crate::ziflow::rehearsal;

/// How long a rename waits for a create of the same name.
const NAME_WAIT: Duration = Duration::from_secs(2);

impl Users<'_> {
    /// Replaces a person's resource. `active` left out leaves it as it is.
    pub async fn replace(&self, id: &str, resource: Resource) -> Result<Resource, Error> {
        self.change(id, |shown| {
            let active = path("active");
            let mut resource = resource.clone();
            if resource.first(&active).is_none()
                && let Some(value) = shown.first(&active)
            {
                resource.set(&active, value.clone());
            }
            Ok(resource)
        })
        .await
    }

    /// Applies all operations or none.
    pub async fn patch(&self, id: &str, patch: &Patch) -> Result<Resource, Error> {
        self.change(id, |shown| {
            let (after, warnings) = patch.apply(shown)?;
            for warning in warnings {
                warn!(id, warning = without_values(&warning.to_string()), "part of a PATCH is ignored");
            }
            Ok(after)
        })
        .await
    }

    /// Deletes a person as `policy.on_delete` says.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let _lock = self.bridge.locks.take(id, self.call.deadline()).await?;
        let seen = match self.look(id).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => {
                // Nobody has deleted them through the bridge: what it knows of them ends here, memberships included.
                if self.bridge.store.person(id).await?.is_some() {
                    self.bridge.store.remove(id).await?;
                }
                return Err(error);
            }
            seen => seen?,
        };
        self.meant(&seen)?;
        if let Some(protection) = self.bridge.protection(&seen.user) {
            return Err(protected("deleted", protection));
        }
        match self.bridge.policy.on_delete {
            OnDelete::Refuse => Err(Error::mutability(
                "the bridge deletes nobody (policy.on_delete is refuse); disable the person with active = false",
            )),
            OnDelete::Deactivate => self.bury(&seen).await,
            OnDelete::Delete => {
                let counted = (seen.user.active || seen.user.contact) && self.brake(id).await?;
                let may = self.change.may_write(leaving("deleted", &seen)).await;
                let may = self.unless_unrecorded(counted, id, may).await?;
                let new_owner = self.bridge.policy.new_owner_id.as_deref();
                let deleted = self.bridge.directory.client().delete(&may, &self.call, id, new_owner).await;
                may.saw(&deleted);
                self.unless_kept(counted, id, deleted).await??;
                self.bridge.directory.removed(id);
                Ok(self.bridge.store.remove(id).await?)
            }
        }
    }

    /// Whether this is the version that the client means to change.
    fn meant(&self, seen: &Seen) -> Result<(), Error> {
        // Entra never says: the version would be made for nothing.
        if self.conditions == Conditions::default() {
            return Ok(());
        }
        let shown = self.bridge.representation(seen);
        version_of(&shown).map_or(Ok(()), |version| self.conditions.check(version))
    }

    async fn bury(&self, seen: &Seen) -> Result<(), Error> {
        if seen.user.active || seen.user.contact {
            let counted = self.brake(&seen.user.id).await?;
            let may = self.change.may_write(leaving("hidden", seen)).await;
            let may = self.unless_unrecorded(counted, &seen.user.id, may).await?;
            let written = self.bridge.update(&may, &self.call, &seen.user, &off()).await;
            match self.unless_kept(counted, &seen.user.id, written).await? {
                // Gone meanwhile is what was asked for.
                Ok(_) | Err(Upstream::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.change.may_write(Details { effect: Some("hidden"), ..Details::default() }).await?;
        // Who is still there must not be taken for somebody who has come back.
        if self.bridge.policy.dry_run && !rehearsal::is_ours(&seen.user.id) {
            return Ok(());
        }
        let name = text(&seen.shown, "userName").unwrap_or_else(|| seen.user.email.clone());
        let tombstone = Tombstone {
            id: seen.user.id.clone(),
            // Who is created anew comes under the name from before Entra's soft deletion.
            user_name: fold(without_tombstone(&name)),
            external_id: text(&seen.shown, "externalId"),
            day: now().chars().take(10).collect(),
        };
        self.bridge.store.close_intent(&fold(&seen.user.email)).await?;
        Ok(self.bridge.store.bury(tombstone).await?)
    }

    /// Reads, edits a copy, plans, writes, keeps.
    async fn change(
        &self,
        id: &str,
        edit: impl Fn(&Resource) -> Result<Resource, Error>,
    ) -> Result<Resource, Error> {
        let _lock = self.bridge.locks.take(id, self.call.deadline()).await?;
        let seen = self.look(id).await?;
        self.meant(&seen)?;
        let after = edit(&seen.shown)?;
        let unsure = self.disabled_contact(&seen, &edit)?;
        if same(&after, &seen.shown) && unsure.is_none() {
            return Ok(self.bridge.representation(&seen));
        }
        let before = unsure.as_ref().unwrap_or(&seen.shown);
        let (_name, after) = match self.claim_name(&seen, &after).await {
            // Refused, the request would leave a person access that it takes away.
            Err(error) if error.status == StatusCode::CONFLICT && self.mapping.disables(before, &after) => {
                warn!(
                    id,
                    "the new userName is somebody else's and passed over: the request disables the person"
                );
                (None, with_name_of(&seen.shown, after))
            }
            claimed => (claimed?, after),
        };
        let (wanted, after) = self.asked(id, before, after)?;
        let seen = self.carry_out(seen, &after, &wanted).await?;
        Ok(self.bridge.representation(&seen))
    }

    /// What the mapping makes of a change, and the change without what is passed over.
    pub(super) fn asked(
        &self,
        id: &str,
        before: &Resource,
        after: Resource,
    ) -> Result<(BTreeMap<Field, Wanted>, Resource), Error> {
        self.bridge.record.note(|| Event::Update {
            mapping: Arc::clone(&self.mapping),
            before: before.clone(),
            after: after.clone(),
        });
        let update = self.mapping.update(before, &after).map_err(refused)?;
        for field in &update.passed_over {
            warn!(
                id,
                %field,
                "left as it is: its new value is refused, and that must not keep somebody's access alive"
            );
        }
        let after = self.mapping.without(&update.passed_over, before, after);
        Ok((update.wanted, after))
    }

    /// Who is seen only among the contacts is shown as inactive, and may be active all the same. So a request that
    /// disables them changes nothing in what is shown, and must reach Ziflow nevertheless: whether it is such a
    /// request shows when it is applied to the same person shown as active, whom the answer is.
    fn disabled_contact(
        &self,
        seen: &Seen,
        edit: impl Fn(&Resource) -> Result<Resource, Error>,
    ) -> Result<Option<Resource>, Error> {
        if !seen.user.contact {
            return Ok(None);
        }
        let mut before = seen.shown.clone();
        before.set(&path("active"), true.into());
        let after = edit(&before)?;
        let update = self.mapping.update(&before, &after).map_err(refused)?;
        Ok(update.wanted.contains_key(&Field::Active).then_some(before))
    }

    /// A new `userName` must be nobody else's, in the store or in Ziflow: Entra finds people by it, and would take
    /// one for the other. The name is held until the change is done.
    async fn claim_name(&self, seen: &Seen, after: &Resource) -> Result<Option<OwnedMutexGuard<()>>, Error> {
        let new = text(after, "userName").unwrap_or_default();
        let old = text(&seen.shown, "userName").unwrap_or_default();
        // The name of a soft-deleted person carries their object id: nobody else can have it.
        if fold(&old) == fold(&new) || is_tombstone_rename(&old, &new) {
            return Ok(None);
        }
        // A create takes the name first and the person after it, so here the name is not waited for long.
        let soon = self.call.deadline().min(Instant::now() + NAME_WAIT);
        let held = self.bridge.locks.take(&format!("name {}", fold(&new)), soon).await?;
        if let Some(other) = self.others_named(&new, &seen.user.id).await? {
            return Err(Error::uniqueness(format!(
                "userName: `{new}` is taken by the person with id {other}; a name can have one holder only"
            )));
        }
        Ok(Some(held))
    }

    /// Plans the change, executes the plan and keeps what was written.
    pub(super) async fn carry_out(
        &self,
        mut seen: Seen,
        after: &Resource,
        wanted: &BTreeMap<Field, Wanted>,
    ) -> Result<Seen, Error> {
        // Access is not decided from a person remembered: somebody may have changed it by hand a moment ago.
        if !seen.fresh && wanted.keys().any(|field| field.is_list() || *field == Field::Active) {
            seen.user = self.bridge.today(&self.call, &seen.user.id, &seen.user.email).await?;
        }
        let grants = granted(&self.mapping, &seen.groups);
        let Decided { fields, given } = self.decide(&seen, wanted, &grants, false).map_err(not_allowed)?;
        let counted = disables(&fields) && self.brake(&seen.user.id).await?;
        let details = Details {
            effect: Some("updated"),
            fields: differing(seen.shown.as_map(), after.as_map()),
            ..Details::of_write(&seen, &fields, &given)
        };
        let may = self.change.may_write(details).await;
        let may = self.unless_unrecorded(counted, &seen.user.id, may).await?;
        let written = self.write(&may, &seen, &fields, &given).await?;
        let user = self.unless_kept(counted, &seen.user.id, written).await??;
        let returns = user.active && !seen.user.active;
        let kept = self.keep(&seen, after, user, given).await?;
        if returns && (!kept.groups.is_empty() || kept.state.granted_by_groups != Granted::default()) {
            // What changed in their groups while they were disabled was not applied.
            let now = seconds();
            self.bridge.store.enqueue_grants(&kept.user.id, now).await?;
            self.bridge.grants_due.notify_one();
        }
        Ok(kept)
    }

    /// Updates the person, having noted what they are about to be given: should the answer get lost, it must not look as if
    /// somebody had given it by hand, for then nobody would take it away.
    pub(super) async fn write(
        &self,
        may: &MayWrite<'_>,
        seen: &Seen,
        fields: &Fields,
        given: &Given,
    ) -> Result<Result<User, Upstream>, Error> {
        if fields.is_empty() {
            return Ok(Ok(seen.user.clone()));
        }
        let id = &seen.user.id;
        let claims = fields.keys().any(|field| field.is_list()) && *given != seen.state.given();
        if claims {
            self.bridge.store.claim(id, json!(given)).await?;
        }
        let written = self.bridge.update(may, &self.call, &seen.user, fields).await;
        let refused = matches!(
            written,
            Err(Upstream::Refused { .. } | Upstream::Conflict { .. } | Upstream::NoSeat { .. })
        );
        if claims && refused {
            self.bridge.store.drop_claim(id).await?;
        }
        Ok(written)
    }

    /// Puts into the store what Entra wrote and what is to be remembered about it.
    pub(super) async fn keep(
        &self,
        before: &Seen,
        after: &Resource,
        user: User,
        given: Given,
    ) -> Result<Seen, Error> {
        let stored = before.stored();
        let (resource, memory) =
            self.mapping.remember(stored.as_ref(), &before.state.memory, &before.shown, after, &user);
        let Given { by_mapping: granted, by_groups: granted_by_groups } = given;
        let state = State { granted, granted_by_groups, memory };
        let row = Person {
            id: user.id.clone(),
            keys: keys(&resource, &user),
            state: json!(state),
            resource: resource.clone().into_map(),
            created: before.row.as_ref().and_then(|row| row.created.clone()),
            last_modified: now(),
        };
        // Whoever is kept is no longer about to be made.
        self.bridge.store.put(row.clone(), Some(fold(&user.email))).await?;
        let shown = self.mapping.merge(Some(&resource), &state.memory, &user);
        Ok(Seen { user, row: Some(row), state, shown, groups: before.groups.clone(), fresh: true })
    }
}

/// Somebody loses their access, if they have it.
fn leaving(effect: &'static str, seen: &Seen) -> Details {
    let loses = seen.user.active || seen.user.contact;
    let ziflow_fields = if effect == "deleted" { Vec::new() } else { vec![Field::Active.name()] };
    Details {
        effect: Some(effect),
        access: loses.then_some("taken"),
        ziflow_fields: ziflow_fields.into_iter().collect(),
        ..Details::default()
    }
}

fn with_name_of(before: &Resource, mut after: Resource) -> Resource {
    if let Some(name) = before.first(&path("userName")) {
        after.set(&path("userName"), name.clone());
    }
    after
}

/// Whether nothing was changed. `schemas` follows from the rest, and from what Ziflow adds to it.
fn same(after: &Resource, before: &Resource) -> bool {
    let telling = |resource: &Resource| {
        let mut map = resource.as_map().clone();
        map.remove("schemas");
        map
    };
    telling(after) == telling(before)
}

/// What the store finds a person by.
fn keys(resource: &Resource, user: &User) -> Vec<(String, String)> {
    let mut keys = vec![(ZIFLOW_EMAIL.to_owned(), fold(&user.email))];
    for (kind, path_text) in [(USER_NAME, "userName"), (EXTERNAL_ID, "externalId"), (EMAIL, "emails.value")] {
        let values = resource.values(&path(path_text)).into_iter().filter_map(serde_json::Value::as_str);
        keys.extend(values.map(|value| (kind.to_owned(), fold(value))));
    }
    keys
}

pub(super) fn text(resource: &Resource, name: &str) -> Option<String> {
    resource.text(&path(name)).map(str::to_owned)
}

/// A path this file knows to be right.
fn path(text: &str) -> Path {
    #[expect(clippy::expect_used, reason = "the texts are this file's own, and each is used by a test")]
    Path::parse(text, &USER_TYPE).expect("an attribute of the User schema")
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(super) fn refused(refusals: Vec<apply::Refusal>) -> Error {
    let texts: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    Error::invalid_value(texts.join("; "))
}

fn protected(what: &str, protection: Protection) -> Error {
    Error::mutability(format!(
        "this person cannot be {what} through the bridge: {}; take them out of the provisioning scope in Entra, or \
         make the change in Ziflow",
        protection.reason()
    ))
}

pub(super) fn not_allowed(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Deactivate(protection) => protected("disabled (active)", protection),
        Refusal::TakeRoles(protection) => protected("stripped of roles", protection),
        Refusal::ChangeEmail => Error::mutability(
            "userName: Ziflow cannot change an e-mail address; ask Ziflow Support to change it there, or set \
             policy.on_email_change to keep",
        ),
    }
}
