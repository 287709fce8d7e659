//! Making people: one call when all is well, and no second person whatever gets lost.
//!
//! Who is under the address already was deleted through the bridge (brought back), was about to be made by us (an
//! intent says so), or is somebody else (409, or adopted).

use std::sync::Arc;

use serde_json::json;
use tracing::{info, warn};

use crate::bridge::change::{Details, differing};
use crate::bridge::find::{USER_NAME, ZIFLOW_EMAIL, fold};
use crate::bridge::plan::{Granted, OnDeactivate, is_tombstone_rename};
use crate::bridge::record::Event;
use crate::bridge::upstream::{off, shows};
use crate::bridge::users::{refused, text};
use crate::bridge::{Given, OnExisting, OnRecreate, Seen, State, Users, now, seconds_since};
use crate::scim::error::Error;
use crate::scim::resource::Resource;
use crate::store::{Intent, Person};
use crate::ziflow::answer::Written;
use crate::ziflow::directory::Who;
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::model::{Field, FieldValue, Fields, User};

/// For so long an intent alone, made when nobody had the address, says that whoever has it now was made by us.
/// Entra's retries come within hours; later the person must also look like what was sent.
const INTENT_SECS: i64 = 6 * 3600;

/// A create on its way: what was asked for, and what it means in Ziflow.
struct Creation {
    resource: Resource,
    /// Everything the mapping makes of it.
    fields: Fields,
    email: String,
    user_name: String,
}

impl Users<'_> {
    /// Makes a person. One call when all is well; see `send` for what follows a lost answer.
    pub async fn create(&self, resource: Resource) -> Result<Resource, Error> {
        let creation = self.creation(resource)?;
        self.bridge.recognise_account(&self.call).await?;
        // Always in this order, and both before the lock of an id: no two creates can wait for each other.
        let names = [format!("name {}", fold(&creation.user_name)), format!("address {}", creation.email)];
        let [name, address] = &names;
        let _name = self.bridge.locks.take(name, self.call.deadline()).await?;
        let _address = self.bridge.locks.take(address, self.call.deadline()).await?;
        let seen = match self.person_deleted_before(&creation).await? {
            Some(seen) => seen,
            None => self.create_unless_taken(&creation).await?,
        };
        Ok(self.bridge.representation(&seen))
    }

    fn creation(&self, resource: Resource) -> Result<Creation, Error> {
        self.bridge
            .record
            .note(|| Event::Create { mapping: Arc::clone(&self.mapping), resource: resource.clone() });
        let fields = self.mapping.create(&resource).map_err(refused)?;
        let user_name = text(&resource, "userName").unwrap_or_default();
        match fields.get(&Field::Email) {
            Some(FieldValue::Text(email))
                if email.contains(|c: char| c.is_control() || c.is_whitespace()) =>
            {
                Err(Error::invalid_value(
                    "userName: the e-mail address made of it holds blanks or control characters",
                ))
            }
            Some(FieldValue::Text(email)) => {
                let email = email.to_lowercase();
                Ok(Creation { resource, fields, email, user_name })
            }
            _ => Err(Error::invalid_value("userName: the mapping makes no e-mail address of it")),
        }
    }

    /// A person of this name deleted through the bridge, brought back as `policy.on_recreate` says.
    async fn person_deleted_before(&self, creation: &Creation) -> Result<Option<Seen>, Error> {
        let store = &self.bridge.store;
        let Some(tombstone) = store.tombstone_of(&fold(&creation.user_name)).await? else {
            return Ok(None);
        };
        match self.known_person(&tombstone.id, Some(&creation.email)).await {
            // An intent of ours: they are active because an earlier attempt brought them back.
            Ok(user) if user.active && store.intent(&creation.email).await?.is_some() => {
                let _lock = self.bridge.locks.take(&user.id, self.call.deadline()).await?;
                let granted = Granted::by_create(&creation.fields);
                self.begin(creation, user, granted).await.map(Some)
            }
            Ok(user) if user.active => {
                info!(id = user.id, "a deleted person is active in Ziflow again, and so exists again");
                store.unbury(&user.id).await?;
                Ok(None)
            }
            Ok(user) => self.bring_back(creation, user, tombstone.external_id.as_deref()).await.map(Some),
            Err(Upstream::NotFound) => {
                store.remove(&tombstone.id).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One update that makes the deleted person what the create asks for, roles included; the id stays.
    async fn bring_back(
        &self,
        creation: &Creation,
        user: User,
        external_id: Option<&str>,
    ) -> Result<Seen, Error> {
        let lock = self.bridge.locks.take(&user.id, self.call.deadline()).await?;
        if self.bridge.store.tombstone(&user.id).await?.is_none() {
            // Somebody else has brought them back before the lock was ours.
            drop(lock);
            let holder = self.look(&user.id).await?;
            return self.existing(creation, holder).await;
        }
        self.may_return(creation, &user, external_id, "was deleted through the bridge")?;
        let mut fields = creation.fields.clone();
        fields.retain(|field, _| field.on_update());
        fields.entry(Field::Active).or_insert(FieldValue::Boolean(true));
        if self.bridge.protection(&user).is_some() {
            // Nobody strips protected people of roles, not even those who once were deleted.
            fields.retain(|field, _| !field.is_list());
        }
        let details = Details { access: Some("given"), ..creation.details("brought_back", &fields) };
        let may = self.change.may_write(details).await?;
        self.bridge.store.open_intent(self.intent(creation)).await?;
        let after = self.bridge.update(&may, &self.call, &user, &fields).await?;
        info!(id = after.id, "a person deleted earlier is back");
        self.begin(creation, after, Granted::by_create(&fields)).await
    }

    /// `policy.on_recreate`
    fn may_return(
        &self,
        creation: &Creation,
        user: &User,
        external_id: Option<&str>,
        what_happened: &str,
    ) -> Result<(), Error> {
        let asked = text(&creation.resource, "externalId");
        let same = match (asked.as_deref(), external_id) {
            (Some(asked), Some(before)) => asked == before,
            _ => true,
        };
        if same || self.bridge.policy.on_recreate == OnRecreate::Anyone {
            return Ok(());
        }
        Err(Error::uniqueness(format!(
            "userName: its address belongs in Ziflow to the person with id {}, who {what_happened} and had another \
             externalId; if this is the same person, set policy.on_recreate to anyone",
            user.id
        )))
    }

    async fn create_unless_taken(&self, creation: &Creation) -> Result<Seen, Error> {
        if let Some(holder) = self.holder(creation).await? {
            return self.existing(creation, holder).await;
        }
        let store = &self.bridge.store;
        let earlier = store.intent(&creation.email).await?;
        if let Some(intent) = &earlier {
            match self.bridge.directory.fresh_by_email(&self.call, &creation.email).await {
                Ok(user) if self.ours(&user, creation, intent).await? => {
                    return self.settle(creation, user).await;
                }
                Ok(user) => return self.taken(creation, user).await,
                Err(Upstream::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let intent = self.intent(creation);
        self.send(creation, &intent, earlier.as_ref()).await
    }

    fn intent(&self, creation: &Creation) -> Intent {
        Intent {
            email: creation.email.clone(),
            opened: now(),
            seen_absent: self.bridge.directory.absent_just_now(&creation.email),
        }
    }

    /// Sends the create and finds out what became of it.
    async fn send(
        &self,
        creation: &Creation,
        intent: &Intent,
        earlier: Option<&Intent>,
    ) -> Result<Seen, Error> {
        let directory = &self.bridge.directory;
        let mut fields = creation.fields.clone();
        fields.retain(|field, _| field.on_create());
        let may = self.change.may_write(creation.details("created", &fields)).await?;
        self.bridge.store.open_intent(intent.clone()).await?;
        let invitation = self.bridge.policy.invitation;
        let sent = directory.client().create(&may, &self.call, &fields, invitation).await;
        let who = Who::Email(&creation.email);
        match sent {
            Ok(Written::User(user)) if user.email.to_lowercase() == creation.email => {
                self.settle(creation, *user).await
            }
            Ok(_) => match directory.read_back(&self.call, &who, |_| true).await {
                Ok(user) => self.settle(creation, user).await,
                Err(error) => {
                    let unconfirmed = Err(unconfirmed(&error));
                    may.saw(&unconfirmed);
                    Ok(unconfirmed?)
                }
            },
            Err(Upstream::Unknown { reason }) => {
                match directory.read_back(&self.call, &who, |_| true).await {
                    Ok(user) if self.ours(&user, creation, intent).await? => {
                        self.settle(creation, user).await
                    }
                    Ok(user) => self.taken(creation, user).await,
                    Err(_) => {
                        let unknown = Err(Upstream::Unknown { reason });
                        may.saw(&unknown);
                        Ok(unknown?)
                    }
                }
            }
            Err(error) => {
                // Nothing was made by this request; what an earlier one may have made stays open.
                if earlier.is_none() {
                    self.bridge.store.close_intent(&creation.email).await?;
                }
                self.refused_create(creation, earlier, error).await
            }
        }
    }

    /// Ziflow took the request and did not make a person: because somebody has the address, or for what it says.
    async fn refused_create(
        &self,
        creation: &Creation,
        earlier: Option<&Intent>,
        error: Upstream,
    ) -> Result<Seen, Error> {
        let answered = matches!(
            error,
            Upstream::Conflict { .. }
                | Upstream::Refused { .. }
                | Upstream::NoSeat { .. }
                | Upstream::Nonsense { .. }
        );
        if !answered {
            return Err(error.into());
        }
        self.bridge.directory.not_absent(&creation.email);
        let user = match self.bridge.directory.fresh_by_email(&self.call, &creation.email).await {
            Ok(user) => user,
            Err(Upstream::NotFound) => return Err(error.into()),
            Err(other) => return Err(other.into()),
        };
        match earlier {
            Some(intent) if self.ours(&user, creation, intent).await? => self.settle(creation, user).await,
            _ => self.taken(creation, user).await,
        }
    }

    /// Ziflow has the person, and the bridge made them: what is left is `active` and the store.
    async fn settle(&self, creation: &Creation, user: User) -> Result<Seen, Error> {
        self.bridge.directory.wrote(&self.call, &user, &user);
        let _lock = self.bridge.locks.take(&user.id, self.call.deadline()).await?;
        self.change.is("created");
        let off = FieldValue::Boolean(false);
        let user = if creation.fields.get(&Field::Active) == Some(&off) && user.active {
            self.make_inactive(user).await?
        } else {
            user
        };
        let granted = Granted::by_create(&creation.fields);
        self.begin(creation, user, granted).await
    }

    /// Ziflow makes active people only. Should this fail, the open intent lets the retry go on here.
    async fn make_inactive(&self, user: User) -> Result<User, Error> {
        let ignored = self.bridge.policy.on_deactivate == OnDeactivate::Ignore;
        if ignored || self.bridge.protection(&user).is_some() {
            warn!(id = user.id, "made active though Entra said inactive: a policy or a protection says so");
            return Ok(user);
        }
        let details = Details { access: Some("taken"), ..Details::default() };
        let may = self.change.may_write(details).await?;
        Ok(self.bridge.update(&may, &self.call, &user, &off()).await?)
    }

    /// Keeps a person whom the bridge has just made or brought back. Who was changed while the create was still
    /// under way keeps those changes.
    async fn begin(&self, creation: &Creation, user: User, mut granted: Granted) -> Result<Seen, Error> {
        self.change.may_write(creation.details("created", &creation.fields)).await?;
        let meanwhile = self.bridge.store.person(&user.id).await?;
        let groups = self.groups_of(&user.id).await?;
        let by_groups = State::of(meanwhile.as_ref()).granted_by_groups;
        let mut after = creation.resource.clone().into_map();
        if let Some(row) = &meanwhile {
            granted.add(&State::of(Some(row)).granted);
            after.extend(row.resource.clone());
        }
        let row = Person {
            id: user.id.clone(),
            keys: Vec::new(),
            resource: serde_json::Map::new(),
            state: json!(State::default()),
            created: Some(now()),
            last_modified: now(),
        };
        let before = Seen {
            user: user.clone(),
            row: Some(row),
            state: State::default(),
            shown: Resource::default(),
            groups,
            fresh: true,
        };
        let given = Given { by_mapping: granted, by_groups };
        self.keep(&before, &Resource::from_stored(after), user, given).await
    }

    /// The person whom the store knows by this `userName`, or by the address that `userName` means in Ziflow, if
    /// Ziflow still has them. A row that Ziflow no longer confirms must not stand in anybody's way.
    async fn holder(&self, creation: &Creation) -> Result<Option<Seen>, Error> {
        let user_name = fold(&creation.user_name);
        let mut ids = self.bridge.store.find(USER_NAME, &user_name).await?;
        ids.extend(self.bridge.store.find(ZIFLOW_EMAIL, &creation.email).await?);
        for id in ids {
            match self.look(&id).await {
                Ok(seen) => {
                    let named = text(&seen.shown, "userName").is_some_and(|name| fold(&name) == user_name);
                    if named || seen.user.email.to_lowercase() == creation.email {
                        return Ok(Some(seen));
                    }
                }
                Err(error) if error.status == http::StatusCode::NOT_FOUND => {
                    warn!(id, "a person the bridge knew is gone from Ziflow; their name is free again");
                    self.bridge.store.remove(&id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Ziflow shows somebody under the address whom this create has not made.
    async fn taken(&self, creation: &Creation, user: User) -> Result<Seen, Error> {
        self.change.is_another();
        self.bridge.store.close_intent(&creation.email).await?;
        if let Some(tombstone) = self.bridge.store.tombstone(&user.id).await?
            && !user.active
        {
            return self.bring_back(creation, user, tombstone.external_id.as_deref()).await;
        }
        let holder = self.recognise(user).await?;
        self.existing(creation, holder).await
    }

    /// Somebody holds the name or the address: brought back, adopted or refused, as the policy says.
    async fn existing(&self, creation: &Creation, holder: Seen) -> Result<Seen, Error> {
        let name = text(&holder.shown, "userName").unwrap_or_default();
        let id = &holder.user.id;
        if !holder.user.active && is_tombstone_rename(&creation.user_name, &name) {
            // Entra renamed the person when it deleted them softly, and now it makes them anew.
            let external_id = text(&holder.shown, "externalId");
            self.may_return(
                creation,
                &holder.user,
                external_id.as_deref(),
                "was renamed and disabled by Entra",
            )?;
            return self
                .take_over(
                    creation,
                    holder,
                    ("brought_back", "a person whom Entra had renamed and disabled is back"),
                )
                .await;
        }
        if holder.row.is_none() && self.bridge.policy.on_existing == OnExisting::Adopt {
            let adopted = ("adopted", "a person who was in Ziflow already is adopted");
            return self.take_over(creation, holder, adopted).await;
        }
        let asked = &creation.user_name;
        Err(Error::uniqueness(if fold(&name) == fold(asked) {
            format!(
                "userName: `{asked}` is taken in Ziflow by the person with id {id}; Entra finds them by a filter on userName"
            )
        } else {
            format!(
                "userName: the address that `{asked}` means in Ziflow belongs to the person with id {id}, whom Entra \
                 now calls `{name}`; Ziflow cannot change addresses: ask Ziflow Support to change theirs, or give the \
                 new person another one"
            )
        }))
    }

    /// Takes over a person who is there already: what Entra says is written, the rest stays.
    async fn take_over(
        &self,
        creation: &Creation,
        holder: Seen,
        (effect, told): (&'static str, &str),
    ) -> Result<Seen, Error> {
        let id = holder.user.id;
        let _lock = self.bridge.locks.take(&id, self.call.deadline()).await?;
        // They may have become another before the lock was ours.
        let holder = self.look(&id).await?;
        let mut after = holder.shown.clone().into_map();
        after.extend(creation.resource.clone().into_map());
        let after = Resource::from_stored(after);
        let (wanted, after) = self.asked(&id, &holder.shown, after)?;
        info!(id, "{told}");
        self.change.is(effect);
        // Also where Ziflow and the store have nothing to change, the person is somebody else's no longer.
        let fields = differing(holder.shown.as_map(), after.as_map());
        self.change.may_write(Details { fields, ..Details::default() }).await?;
        self.carry_out(holder, &after, &wanted).await
    }

    /// Whether the person under the address is the one whom this intent was about to make. Without this question a
    /// person made by hand would become ours when an answer gets lost.
    async fn ours(&self, user: &User, creation: &Creation, intent: &Intent) -> Result<bool, Error> {
        if self.bridge.store.person(&user.id).await?.is_some() {
            return Ok(false);
        }
        let fresh = seconds_since(&intent.opened).is_some_and(|age| age < INTENT_SECS);
        let mut told = creation.fields.clone();
        told.retain(|field, _| matches!(field, Field::FirstName | Field::LastName | Field::Roles));
        // A mapping that sends nothing but the address leaves nothing to recognise somebody by.
        let alike = !told.is_empty() && shows(user, &told);
        Ok(intent.seen_absent && fresh || alike)
    }
}

impl Creation {
    /// For the audit log: what is asked for, and of it what is sent to Ziflow.
    fn details(&self, effect: &'static str, sent: &Fields) -> Details {
        Details {
            effect: Some(effect),
            fields: differing(&serde_json::Map::new(), self.resource.as_map()),
            ziflow_fields: sent.keys().map(|field| field.name()).collect(),
            given: Details::roles(sent).collect(),
            ..Details::default()
        }
    }
}

fn unconfirmed(error: &Upstream) -> Upstream {
    Upstream::Unknown { reason: format!("the new person cannot be seen yet: {error}") }
}
