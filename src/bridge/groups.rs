//! Groups: they live in the store, for Ziflow has none that could be reached. Who belongs is changed at once and whole;
//! what a group grants in Ziflow follows later, see `grants.rs`.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::{info, warn};

use crate::bridge::change::{Details, differing};
use crate::bridge::find::{List, fold, start};
use crate::bridge::record::Event;
use crate::bridge::{Bridge, Users, now, seconds};
use crate::mapping::groups::Grants;
use crate::scim::error::{Error, without_values};
use crate::scim::filter::Filter;
use crate::scim::members::Membership;
use crate::scim::patch::Patch;
use crate::scim::path::Path;
use crate::scim::query::Query;
use crate::scim::resource::{Meta, Resource};
use crate::scim::schema::{GROUP_TYPE, USER_TYPE};
use crate::scim::version::Conditions;
use crate::store::groups::{Change, Edit, Edited, Group, Refusal};

/// Lists of groups are made anew for each request, so there is one generation of them.
const GENERATION: u64 = 1;

/// So many unknown members are named in a refusal.
const NAMED: usize = 5;

/// What a SCIM request about groups may do.
#[derive(Debug)]
pub struct Groups<'a>(pub(super) &'a Users<'a>);

impl Users<'_> {
    /// The same request, about groups.
    pub fn groups(&self) -> Groups<'_> {
        Groups(self)
    }
}

impl Groups<'_> {
    /// Makes a group.
    pub async fn create(&self, resource: Resource, members: Option<Vec<String>>) -> Result<Resource, Error> {
        self.create_as(random_id()?, resource, members).await
    }

    /// Makes a group with this id: `explain` puts one in place before a request about it.
    pub async fn create_as(
        &self,
        id: String,
        resource: Resource,
        members: Option<Vec<String>>,
    ) -> Result<Resource, Error> {
        let members = members.unwrap_or_default();
        self.refuse_strangers(&members).await?;
        let group = self.group(id, resource)?;
        let _lock = self.lock(&group.id).await?;
        let changes = if members.is_empty() { Vec::new() } else { vec![Change::Add(members)] };
        let made = self.edit("created", None, group, changes).await?;
        self.shown(&made, true).await
    }

    /// The group with this id, with its members if they are wanted: without them, Ziflow is not asked for anything.
    pub async fn get(&self, id: &str, with_members: bool) -> Result<Resource, Error> {
        let group = self.find(id).await?;
        let mut room = self.0.bridge.settings.max_group_members;
        self.shown_within(&group, with_members, &mut room).await
    }

    /// Replaces a group's resource. Members left out stay; an empty list takes all away.
    pub async fn replace(
        &self,
        id: &str,
        resource: Resource,
        members: Option<Vec<String>>,
    ) -> Result<Resource, Error> {
        let _lock = self.lock(id).await?;
        let before = self.find_meant(id).await?;
        self.refuse_strangers(members.as_deref().unwrap_or_default()).await?;
        let group = Group { created: before.created.clone(), ..self.group(before.id.clone(), resource)? };
        let members = members.map(Change::Replace).into_iter().collect();
        let after = self.edit("updated", Some(&before), group, members).await?;
        self.shown(&after, true).await
    }

    /// Applies all operations or none.
    pub async fn patch(&self, id: &str, patch: Patch, with_members: bool) -> Result<Resource, Error> {
        let (rest, memberships) = patch.split_members()?;
        let _lock = self.lock(id).await?;
        let before = self.find_meant(id).await?;
        let (after, warnings) = rest.apply(&Resource::from_stored(before.resource.clone()))?;
        for warning in warnings {
            warn!(id, warning = without_values(&warning.to_string()), "part of a PATCH is ignored");
        }
        let changes = self.changes(&before, memberships).await?;
        let new: Vec<String> = changes.iter().flat_map(newcomers).cloned().collect();
        self.refuse_strangers(&new).await?;
        let group = Group { created: before.created.clone(), ..self.group(before.id.clone(), after)? };
        let after = self.edit("updated", Some(&before), group, changes).await?;
        self.shown(&after, with_members).await
    }

    /// Ends a group, and with it what it grants.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        let _lock = self.lock(id).await?;
        self.find_meant(id).await?;
        self.0.change.may_write(Details { effect: Some("deleted"), ..Details::default() }).await?;
        let store = &self.0.bridge.store;
        let gone = store.delete_group(id, seconds()).await?;
        self.0.bridge.grants_due.notify_one();
        if gone { Ok(()) } else { Err(unknown_group()) }
    }

    /// The groups that a query means.
    pub async fn list(&self, query: &Query) -> Result<List, Error> {
        let filter = query.filter.as_ref();
        let mut found = Vec::new();
        for group in self.candidates(filter).await? {
            let mut shown = self.shown_for(&group, query).await?;
            if filter.is_none_or(|filter| filter.matches(&shown)) {
                // They have been looked at, and may be many; whom the page shows is read again.
                shown.remove(&members_path()?);
                found.push((group, shown));
            }
        }
        if let Some(sort) = &query.sort {
            found.sort_by(|(_, a), (_, b)| sort.compare(sort.key(a), sort.key(b)));
        }
        let now: Vec<u32> = found.iter().map(|(group, _)| group.number).collect();
        let start = start(query, GENERATION)?;
        let page = self.0.bridge.group_pages.page(start.name, GENERATION, &now, start.from, start.count);
        let cursors = start.cursors(query, GENERATION, page.end, page.total);
        let with_members = query.projection.shows("members");
        let mut resources = Vec::new();
        let mut room = self.0.bridge.settings.max_group_members;
        for number in &page.slots {
            if let Some((group, _)) = found.iter().find(|(group, _)| group.number == *number) {
                resources.push(self.shown_within(group, with_members, &mut room).await?);
            }
        }
        Ok(List { rt: &GROUP_TYPE, total: page.total, resources, before: start.from, cursors })
    }

    /// All groups, or those that an equality in the filter leaves.
    async fn candidates(&self, filter: Option<&Filter>) -> Result<Vec<Group>, Error> {
        let store = &self.0.bridge.store;
        let pins = filter.map(Filter::pins).unwrap_or_default();
        let by = |name: &str| {
            pins.iter().find(|(path, _)| path.to_string() == name).and_then(|(_, value)| value.as_str())
        };
        if let Some(id) = by("id") {
            return Ok(store.group(id).await?.into_iter().collect());
        }
        if let Some(name) = by("displayName") {
            return Ok(store.group_named(&fold(name)).await?.into_iter().collect());
        }
        if let Some(external_id) = by("externalId") {
            return Ok(store.groups_with_external_id(external_id).await?);
        }
        if let Some(member) = by("members.value").or_else(|| by("members")) {
            return Ok(self.0.groups_of(member).await?.into_iter().map(Arc::unwrap_or_clone).collect());
        }
        Ok(store.groups().await?)
    }

    /// As much of the group as the filter looks at: of many members, mostly one.
    async fn shown_for(&self, group: &Group, query: &Query) -> Result<Resource, Error> {
        let paths = query.filter.as_ref().map(Filter::paths).unwrap_or_default();
        let of_members = |path: &&Path| path.attribute == "members";
        if !paths.iter().any(of_members) {
            return self.shown(group, false).await;
        }
        let pins = query.filter.as_ref().map(Filter::pins).unwrap_or_default();
        let names_one =
            |path: &&Path| of_members(path) && path.sub.as_deref().is_none_or(|sub| sub == "value");
        let pinned: Vec<_> = pins.iter().filter(|(path, _)| names_one(path)).collect();
        if pinned.len() < paths.iter().filter(|path| of_members(path)).count() {
            return self.shown(group, true).await;
        }
        let mut members = Vec::new();
        for id in pinned.iter().filter_map(|(_, value)| value.as_str()) {
            if self.0.bridge.store.is_member(group.number, id).await? {
                members.push(id.to_owned());
            }
        }
        Ok(self.representation(group, Some(members)))
    }

    async fn find(&self, id: &str) -> Result<Group, Error> {
        self.0.bridge.store.group(id).await?.ok_or_else(unknown_group)
    }

    /// The group, if it is the version that the client means to change.
    async fn find_meant(&self, id: &str) -> Result<Group, Error> {
        let group = self.find(id).await?;
        if self.0.conditions != Conditions::default() {
            self.0.conditions.check(&version(&group))?;
        }
        Ok(group)
    }

    async fn lock(&self, id: &str) -> Result<tokio::sync::OwnedMutexGuard<()>, Error> {
        self.0.bridge.locks.take(&format!("group {id}"), self.0.call.deadline()).await
    }

    /// The group that a resource describes, with what the mapping in force makes it grant.
    fn group(&self, id: String, mut resource: Resource) -> Result<Group, Error> {
        resource.remove(&members_path()?);
        let display_name = text_of(&resource, "displayName");
        let external_id = Some(text_of(&resource, "externalId")).filter(|id| !id.is_empty());
        let grants = self.0.mapping.grants(&display_name, external_id.as_deref());
        self.0.bridge.record.note(|| Event::Group {
            mapping: Arc::clone(&self.0.mapping),
            name: display_name.clone(),
            external_id: external_id.clone(),
        });
        Ok(Group {
            number: 0,
            id,
            name: fold(&display_name),
            external_id,
            resource: resource.into_map(),
            grants: json!(grants),
            revision: 0,
            created: now(),
            last_modified: now(),
        })
    }

    async fn edit(
        &self,
        effect: &'static str,
        before: Option<&Group>,
        group: Group,
        members: Vec<Change>,
    ) -> Result<Group, Error> {
        let name = group.name.clone();
        let none = Map::new();
        let fields = differing(before.map_or(&none, |before| &before.resource), &group.resource);
        let is_same = before.is_some() && fields.is_empty();
        let details = Details { effect: Some(effect), fields, ..Details::default() };
        self.0.change.may_write(details).await?;
        let most_members = self.0.bridge.settings.max_group_members;
        let edit = Edit { group, members, most_members, now: seconds() };
        let store = &self.0.bridge.store;
        match store.edit_group(edit).await? {
            Ok(Edited { group, joined, left }) => {
                if is_same && joined.is_empty() && left.is_empty() {
                    self.0.change.was_nothing();
                }
                self.0.change.learn(Details { joined, left, ..Details::default() });
                let after = self.0.bridge.keep_up(group).await?;
                self.0.bridge.grants_due.notify_one();
                Ok(after)
            }
            Err(Refusal::NameTaken) => {
                let holder = store.group_named(&name).await?.map(|group| group.id).unwrap_or_default();
                Err(Error::uniqueness(format!(
                    "displayName: another group has this name already, the one with id {holder}; names are compared \
                     without regard to case"
                )))
            }
            Err(Refusal::TooManyMembers) => Err(Error::invalid_value(format!(
                "members: the group would have more than {most_members} members (server.max_group_members), so nothing \
                 was changed"
            ))),
        }
    }

    /// The store's changes; whom a filter selects is looked up.
    async fn changes(&self, group: &Group, memberships: Vec<Membership>) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::with_capacity(memberships.len());
        for membership in memberships {
            changes.push(match membership {
                Membership::Add(ids) => Change::Add(ids),
                Membership::Remove(ids) => Change::Remove(ids),
                Membership::Replace(ids) => Change::Replace(ids),
                Membership::RemoveSelected(filter) => {
                    let members = self.0.bridge.store.members(group.number).await?;
                    let selected = |id: &String| filter.selects(&self.member(id));
                    Change::Remove(members.into_iter().filter(selected).collect())
                }
            });
        }
        Ok(changes)
    }

    /// A member is known if the store or the directory knows them, never by one call each.
    async fn refuse_strangers(&self, ids: &[String]) -> Result<(), Error> {
        let mut strangers = self.0.bridge.store.strangers(ids.to_vec()).await?;
        if !strangers.is_empty() {
            self.0.bridge.recognise_account(&self.0.call).await?;
            strangers = self.not_listed(strangers).await?;
        }
        if strangers.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = strangers.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
        let more = match strangers.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::invalid_value(format!(
            "members: Ziflow has no user with the id {}{more}, so nothing was changed; members are people, by their SCIM \
             id, and groups inside groups are not supported",
            named.join(", ")
        )))
    }

    /// Those whom the list of everybody does not show, or who were deleted. Who was deleted and is active again exists
    /// again.
    async fn not_listed(&self, ids: Vec<String>) -> Result<Vec<String>, Error> {
        let snapshot = self.0.snapshot().await?;
        let buried: BTreeSet<_> = self.0.bridge.store.tombstones().await?.into_iter().collect();
        let mut strangers = Vec::new();
        for id in ids {
            let person = snapshot.person_with(&id);
            match (person, buried.contains(&id)) {
                (Some(_), false) => {}
                (Some(person), true) if person.active => self.0.rise(&person).await?,
                (Some(_), true) | (None, _) => strangers.push(id),
            }
        }
        Ok(strangers)
    }

    /// In an answer that has room for so many members, which all its groups share.
    async fn shown_within(
        &self,
        group: &Group,
        with_members: bool,
        room: &mut u32,
    ) -> Result<Resource, Error> {
        if with_members {
            let count = self.0.bridge.store.count_members(group.number).await?;
            *room = room.checked_sub(count).ok_or_else(|| {
                let most = self.0.bridge.settings.max_group_members;
                Error::too_many(format!(
                    "the answer would hold more than {most} members (server.max_group_members): ask with \
                     excludedAttributes=members, or for fewer groups (count)"
                ))
            })?;
        }
        self.shown(group, with_members).await
    }

    async fn shown(&self, group: &Group, with_members: bool) -> Result<Resource, Error> {
        let members =
            if with_members { Some(self.0.bridge.store.members(group.number).await?) } else { None };
        Ok(self.representation(group, members))
    }

    fn representation(&self, group: &Group, members: Option<Vec<String>>) -> Resource {
        let mut resource = group.resource.clone();
        if let Some(members) = members {
            let members = members.iter().map(|id| self.member(id)).collect();
            resource.insert("members".to_owned(), Value::Array(members));
        }
        let meta = Meta {
            id: group.id.clone(),
            location: self.0.bridge.location_of(&GROUP_TYPE, &group.id),
            created: Some(group.created.clone()),
            last_modified: Some(group.last_modified.clone()),
            version: Some(version(group)),
        };
        Resource::from_stored(resource).representation(&GROUP_TYPE, &meta)
    }

    fn member(&self, id: &str) -> Value {
        json!({"value": id, "$ref": self.0.bridge.location_of(&USER_TYPE, id), "type": "User"})
    }
}

impl Bridge {
    /// Brings what a group grants up to the mapping in force, and gives all its members their turn if that is something
    /// else. Also after an edit: another mapping may have come into force since the request began, and all groups may have
    /// been compared with it already, so this one would be forgotten with what it granted before. The group's lock must be
    /// held.
    pub(super) async fn keep_up(&self, mut group: Group) -> Result<Group, Error> {
        loop {
            let mapping = self.mapping_in_force();
            let grants = json!(granted(&mapping.mapping, std::slice::from_ref(&group)));
            if grants == group.grants {
                return Ok(group);
            }
            info!(id = group.id, "this group grants something else from now on");
            let most_members = self.settings.max_group_members;
            let group_now = Group { grants, ..group };
            let edit = Edit { group: group_now, members: Vec::new(), most_members, now: seconds() };
            group = self.store.edit_group(edit).await?.map_err(|_refusal| unknown_group())?.group;
        }
    }
}

/// The groups of a person, as the person shows them.
pub(super) fn of_person(groups: &[Arc<Group>], location: impl Fn(&str) -> String) -> Vec<Value> {
    let shown = |group: &Arc<Group>| {
        let mut shown = Map::new();
        shown.insert("value".to_owned(), group.id.as_str().into());
        shown.insert("$ref".to_owned(), location(&group.id).into());
        if let Some(name) = group.resource.get("displayName") {
            shown.insert("display".to_owned(), name.clone());
        }
        shown.insert("type".to_owned(), "direct".into());
        Value::Object(shown)
    };
    groups.iter().map(shown).collect()
}

/// What these groups grant together, by the mapping that is given.
pub(super) fn granted(mapping: &Arc<crate::mapping::Mapping>, groups: &[impl Borrow<Group>]) -> Grants {
    let mut all = Grants::default();
    for group in groups {
        let group = group.borrow();
        let name = group.resource.get("displayName").and_then(Value::as_str).unwrap_or_default();
        all.add(&mapping.grants(name, group.external_id.as_deref()));
    }
    all
}

fn newcomers(change: &Change) -> &[String] {
    match change {
        Change::Add(ids) | Change::Replace(ids) => ids,
        Change::Remove(_) => &[],
    }
}

fn text_of(resource: &Resource, name: &str) -> String {
    resource.as_map().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn version(group: &Group) -> String {
    format!("W/\"{}-{}\"", group.number, group.revision)
}

fn members_path() -> Result<Path, Error> {
    Ok(Path::parse("members", &GROUP_TYPE)?)
}

fn unknown_group() -> Error {
    Error::not_found("there is no such group")
}

/// Opaque, and as unlikely to be met twice as a UUID.
fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let failed = |_unspecified| {
        Error::new(http::StatusCode::SERVICE_UNAVAILABLE, "the bridge is at fault: it has no random numbers")
    };
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
