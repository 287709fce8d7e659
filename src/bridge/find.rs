//! Reading people: by id, by what pins one of them down, and all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tracing::info;

use crate::bridge::pages::Name;
use crate::bridge::users::text;
use crate::bridge::{Seen, State, Tally, Users};
use crate::scim::cursor::Cursor;
use crate::scim::error::Error;
use crate::scim::filter::Filter;
use crate::scim::path::Path;
use crate::scim::query::{Place, Query, cursor_response, list_response};
use crate::scim::resource::Resource;
use crate::scim::schema::{ResourceType, USER_TYPE};
use crate::store::Person;
use crate::store::groups::Group;
use crate::ziflow;
use crate::ziflow::everyone::Known;
use crate::ziflow::model::User;
use crate::ziflow::rehearsal;
use crate::ziflow::snapshot::{Slot, Snapshot};

/// Kinds of keys that people are found by in the store.
pub(super) const USER_NAME: &str = "userName";
pub(super) const EXTERNAL_ID: &str = "externalId";
pub(super) const EMAIL: &str = "email";
/// The address in Ziflow, which can differ from everything that SCIM shows.
pub(super) const ZIFLOW_EMAIL: &str = "ziflow.email";

/// So many people are looked at together when everybody is filtered, sorted or compared.
pub(super) const AT_ONCE: usize = 500;

/// A filter or order over everybody that takes longer is refused.
const LONGEST_SCAN: Duration = Duration::from_secs(5);

/// Whom a filter can only mean.
enum Pin<'a> {
    Id(&'a str),
    Key { kind: &'static str, value: &'a str },
}

/// One page of what a query found.
#[derive(Debug)]
pub struct List {
    pub(super) rt: &'static ResourceType,
    pub(super) total: usize,
    pub(super) resources: Vec<Resource>,
    /// How many stand before this page.
    pub(super) before: usize,
    /// Neighbouring pages, for who pages by cursor.
    pub(super) cursors: Option<Cursors>,
}

#[derive(Debug, Default)]
pub(super) struct Cursors {
    previous: Option<Cursor>,
    next: Option<Cursor>,
}

impl List {
    /// The body of the answer.
    pub fn into_json(mut self, query: &Query) -> Value {
        let (before, cursors) = (self.before, self.cursors.take());
        let (total, shown) = self.into_page(query);
        match cursors {
            None => list_response(total, before + 1, shown),
            Some(Cursors { previous, next }) => {
                cursor_response(total, previous.as_ref(), next.as_ref(), shown)
            }
        }
    }

    /// How many there are, and those on the page.
    pub fn into_page(self, query: &Query) -> (usize, Vec<Value>) {
        let Self { rt, total, resources, .. } = self;
        let shown = resources.into_iter().map(|resource| query.projection.apply(resource, rt)).collect();
        (total, shown)
    }
}

impl Users<'_> {
    /// What Ziflow is asked.
    pub fn calls(&self) -> &Tally {
        self.call.calls()
    }

    /// What nobody can be created without, for discovery.
    pub fn required(&self) -> Vec<&Path> {
        self.mapping.required()
    }

    /// The person with this id.
    pub async fn get(&self, id: &str) -> Result<Resource, Error> {
        Ok(self.bridge.representation(&self.look(id).await?))
    }

    /// The people a query means.
    pub async fn list(&self, query: &Query) -> Result<List, Error> {
        self.bridge.recognise_account(&self.call).await?;
        let filter = query.filter.as_ref();
        match filter.and_then(pin) {
            Some(pin) => {
                let mut found = self.pinned(&pin, filter).await?;
                if let Some(sort) = &query.sort {
                    sort.apply(&mut found);
                }
                let start = start(query, 0)?;
                let end = start.from.saturating_add(start.count).min(found.len());
                let resources = found.get(start.from..end).unwrap_or_default().to_vec();
                let cursors = start.cursors(query, 0, end, found.len());
                Ok(List { rt: &USER_TYPE, total: found.len(), resources, before: start.from, cursors })
            }
            None => self.everyone(query).await,
        }
    }

    /// The person with this id, at most the read cache's age old.
    pub(super) async fn look(&self, id: &str) -> Result<Seen, Error> {
        if rehearsal::is_ours(id) && !self.bridge.policy.dry_run {
            return Err(Error::not_found(
                "this id was given in a dry run, and the person was never made; restart provisioning in Entra so that \
                 it forgets the id",
            ));
        }
        self.bridge.recognise_account(&self.call).await?;
        let calls = self.call.made();
        let row = self.bridge.store.person(id).await?;
        let tombstone = self.bridge.store.tombstone(id).await?;
        let email = row.as_ref().and_then(|row| key(row, ZIFLOW_EMAIL));
        let user = if row.is_some() || tombstone.is_some() {
            self.known_person(id, email.as_deref()).await?
        } else {
            self.bridge.directory.by_id(&self.call, id).await?
        };
        if tombstone.is_some() {
            self.rise(&user).await?;
        }
        let groups = self.groups_of(id).await?;
        let seen = Seen { fresh: self.call.made() > calls, ..self.merge(user, row, groups) };
        self.with_claim(seen).await
    }

    /// A person whom the store knows.
    pub(super) async fn known_person(
        &self,
        id: &str,
        email: Option<&str>,
    ) -> Result<User, ziflow::error::Error> {
        let found = self.bridge.directory.known_person(&self.call, id, email).await;
        self.bridge.surely(&self.call, found).await
    }

    /// A person whom Ziflow has just shown, with what the store knows of them.
    pub(super) async fn recognise(&self, user: User) -> Result<Seen, Error> {
        if self.bridge.store.tombstone(&user.id).await?.is_some() {
            self.rise(&user).await?;
        }
        let row = self.bridge.store.person(&user.id).await?;
        let groups = self.groups_of(&user.id).await?;
        self.with_claim(self.merge(user, row, groups)).await
    }

    /// What was about to be given when an answer got lost counts as given.
    async fn with_claim(&self, mut seen: Seen) -> Result<Seen, Error> {
        let claim = self.bridge.store.claim_of(&seen.user.id).await?;
        if let Some(claim) = claim.and_then(|claim| serde_json::from_value(claim).ok()) {
            let mut given = seen.state.given();
            given.add(&claim);
            seen.state.set_given(given);
        }
        self.remind_of_grants(&seen).await?;
        Ok(seen)
    }

    pub(super) async fn groups_of(&self, id: &str) -> Result<Vec<Arc<Group>>, Error> {
        Ok(self.bridge.store.groups_of(vec![id.to_owned()]).await?.into_iter().flatten().collect())
    }

    /// A tombstone ends when Ziflow shows the person active; until then there is nobody.
    pub(super) async fn rise(&self, user: &User) -> Result<(), Error> {
        if !user.active {
            return Err(ziflow::error::Error::NotFound.into());
        }
        info!(id = user.id, "a deleted person is active in Ziflow again, and so exists again");
        Ok(self.bridge.store.unbury(&user.id).await?)
    }

    fn merge(&self, user: User, row: Option<Person>, groups: Vec<Arc<Group>>) -> Seen {
        let state = State::of(row.as_ref());
        let stored = row.as_ref().map(|row| Resource::from_stored(row.resource.clone()));
        let shown = self.mapping.merge(stored.as_ref(), &state.memory, &user);
        Seen { user, row, state, shown, groups, fresh: false }
    }

    /// The people a pinning filter can mean: those the store knows by the key, and whom Ziflow knows by it.
    async fn pinned(&self, pin: &Pin<'_>, filter: Option<&Filter>) -> Result<Vec<Resource>, Error> {
        let seen = self.candidates(pin).await?;
        if seen.is_empty() && !self.call.has_asked() {
            self.bridge.directory.vouch(&self.call).await?;
        }
        let people = seen.iter().map(|seen| self.bridge.representation(seen));
        // A hit must equal what was asked for.
        Ok(people.filter(|person| filter.is_none_or(|filter| filter.matches(person))).collect())
    }

    async fn candidates(&self, pin: &Pin<'_>) -> Result<Vec<Seen>, Error> {
        let ids = match pin {
            Pin::Id(id) => vec![(*id).to_owned()],
            Pin::Key { kind, value } => self.bridge.store.find(kind, &fold(value)).await?,
        };
        let mut found = Vec::new();
        for id in ids {
            found.extend(present(self.look(&id).await)?);
        }
        // Whom the store knows by the name need not be who has the address in Ziflow.
        if let Some(email) = self.address(pin, found.is_empty())
            && !found.iter().any(|seen| fold(&seen.user.email) == fold(&email))
            && let Some(user) =
                present(self.bridge.directory.by_email(&self.call, &email).await.map_err(Error::from))?
            && !found.iter().any(|seen| seen.user.id == user.id)
        {
            found.extend(present(self.recognise(user).await)?);
        }
        Ok(found)
    }

    /// The id of somebody else who shows this `userName`.
    pub(super) async fn others_named(&self, user_name: &str, id: &str) -> Result<Option<String>, Error> {
        let pin = Pin::Key { kind: USER_NAME, value: user_name };
        let named =
            |seen: &Seen| text(&seen.shown, "userName").is_some_and(|name| fold(&name) == fold(user_name));
        let others = self.candidates(&pin).await?;
        Ok(others.into_iter().find(|seen| seen.user.id != id && named(seen)).map(|seen| seen.user.id))
    }

    /// The address under which Ziflow would know the person. Where the mapping takes addresses from elsewhere, the
    /// value itself is a guess, worth a call only while nobody has been found.
    fn address(&self, pin: &Pin<'_>, nobody_yet: bool) -> Option<String> {
        let guess = |value: &str| nobody_yet.then(|| value.to_owned());
        let email = match pin {
            Pin::Key { kind: USER_NAME, value } => {
                self.mapping.email_of_user_name(value).or_else(|| guess(value))
            }
            Pin::Key { kind: EMAIL, value } => guess(value),
            Pin::Id(_) | Pin::Key { .. } => None,
        };
        // Ziflow takes ids in the same place, so only what can be an address is asked for.
        email.filter(|email| email.contains('@'))
    }

    async fn everyone(&self, query: &Query) -> Result<List, Error> {
        if let Some(Place::At(cursor)) = &query.cursor {
            let name = Name::Cursor { number: cursor.number };
            let kept = self.bridge.directory.keeps(cursor.generation);
            if !kept || !self.bridge.sequences.knows(name, cursor.generation) {
                let detail = "the list that the cursor stands in is not kept any more: begin again";
                return Err(Error::expired_cursor(detail));
            }
        }
        let snapshot = self.snapshot().await?;
        let generation = snapshot.generation();
        let now = self.order(&snapshot, query).await?;
        let start = start(query, generation)?;
        let page = self.bridge.sequences.page(start.name, generation, &now, start.from, start.count);
        let cursors = start.cursors(query, generation, page.end, page.total);
        let resources = self.merge_all(people_at(&snapshot, &page.slots)).await?;
        Ok(List { rt: &USER_TYPE, total: page.total, resources, before: start.from, cursors })
    }

    /// Everybody, also those whom Ziflow's pages do not show though the store knows them.
    pub(super) async fn snapshot(&self) -> Result<Arc<Snapshot>, Error> {
        let directory = &self.bridge.directory;
        loop {
            let known = if directory.walk_is_due() {
                let known = self.bridge.store.everybody(ZIFLOW_EMAIL).await?;
                Some(known.into_iter().map(|(id, email)| Known { id, email }).collect())
            } else {
                None
            };
            if let Some(snapshot) = directory.everyone(&self.call, known).await? {
                return Ok(snapshot);
            }
        }
    }

    /// Where those stand whom the query means, in its order. Nothing but the page is kept of them: a list of
    /// everybody may be long.
    async fn order(&self, snapshot: &Snapshot, query: &Query) -> Result<Vec<Slot>, Error> {
        let buried = self.bridge.store.tombstones().await?;
        let buried: BTreeSet<_> = buried.iter().filter_map(|id| snapshot.slot(id)).collect();
        let there =
            |slot: &Slot| !buried.contains(slot) || snapshot.person(*slot).is_some_and(|user| user.active);
        let slots: Vec<Slot> = snapshot.slots().filter(there).collect();
        if query.filter.is_none() && query.sort.is_none() {
            return Ok(slots);
        }
        let mut found: Vec<(Slot, Option<Value>)> = Vec::new();
        let start = Instant::now();
        for some in slots.chunks(AT_ONCE) {
            self.has_time_to_scan(start, slots.len())?;
            let people = self.merge_all(people_at(snapshot, some)).await?;
            let meant = |person: &Resource| query.filter.as_ref().is_none_or(|filter| filter.matches(person));
            let key = |person: &Resource| query.sort.as_ref().and_then(|sort| sort.key(person).cloned());
            let slot = |person: &Resource| snapshot.slot(id_of(person));
            let meant = people.iter().filter(|person| meant(person));
            found.extend(meant.filter_map(|person| Some((slot(person)?, key(person)))));
        }
        if let Some(sort) = &query.sort {
            found.sort_by(|(_, a), (_, b)| sort.compare(a.as_ref(), b.as_ref()));
        }
        Ok(found.into_iter().map(|(slot, _)| slot).collect())
    }

    /// A scan of everybody must leave time for the answer, and the processor to others.
    fn has_time_to_scan(&self, start: Instant, people: usize) -> Result<(), Error> {
        if start.elapsed() > LONGEST_SCAN {
            return Err(Error::too_many(format!(
                "all {people} people would have to be looked at for this filter or order, which takes too long; name \
                 people by userName, id, externalId or an e-mail address, or list everybody page by page"
            )));
        }
        if Instant::now() < self.call.deadline() {
            return Ok(());
        }
        let detail = "the list of people has just been read and could not be searched in time; ask again";
        Err(Error::new(http::StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(Duration::from_secs(1)))
    }

    async fn merge_all(&self, people: Vec<User>) -> Result<Vec<Resource>, Error> {
        let ids: Vec<String> = people.iter().map(|user| user.id.clone()).collect();
        let groups = self.bridge.store.groups_of(ids.clone()).await?;
        let rows = self.bridge.store.people(ids).await?;
        let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let merged = people.into_iter().zip(groups).map(|(user, groups)| {
            let row = rows.remove(&user.id);
            self.bridge.representation(&self.merge(user, row, groups))
        });
        Ok(merged.collect())
    }
}

fn people_at(snapshot: &Snapshot, slots: &[Slot]) -> Vec<User> {
    slots.iter().filter_map(|slot| snapshot.person(*slot)).collect()
}

/// Nobody is no failure here.
fn present<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status == http::StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keys are compared without regard to case; whether that is right for the attribute is the filter's word.
pub(super) fn fold(value: &str) -> String {
    value.to_lowercase()
}

/// The value of a key of this kind.
pub(super) fn key(row: &Person, kind: &str) -> Option<String> {
    row.keys.iter().find(|(name, _)| name == kind).map(|(_, value)| value.clone())
}

/// The narrowest thing that every match of the filter has in common.
fn pin(filter: &Filter) -> Option<Pin<'_>> {
    let pins: Vec<_> =
        filter.pins().into_iter().map(|(path, value)| (path.to_string(), value.as_str())).collect();
    let by = |name: &str| pins.iter().find(|(path, _)| path == name).and_then(|(_, value)| *value);
    if let Some(id) = by("id") {
        return Some(Pin::Id(id));
    }
    let keys = [
        (USER_NAME, &["userName"][..]),
        (EXTERNAL_ID, &["externalId"]),
        (EMAIL, &["emails.value", "emails", r#"emails[type eq "work"].value"#]),
    ];
    keys.iter().find_map(|(kind, paths)| {
        let value = paths.iter().find_map(|path| by(path))?;
        Some(Pin::Key { kind, value })
    })
}

fn id_of(person: &Resource) -> &str {
    person.as_map().get("id").and_then(Value::as_str).unwrap_or_default()
}

/// Where a page begins, and in which list.
pub(super) struct Start {
    pub(super) name: Name,
    number: u64,
    pub(super) from: usize,
    pub(super) count: usize,
}

/// By index (RFC 7644 section 3.4.2.4) or by cursor (RFC 9865).
pub(super) fn start(query: &Query, generation: u64) -> Result<Start, Error> {
    let count = query.count.unwrap_or(usize::MAX);
    let digest = query.digest();
    match &query.cursor {
        None => {
            let from = query.start_index.saturating_sub(1);
            Ok(Start { name: Name::Index { query: digest }, number: 0, from, count })
        }
        Some(Place::Beginning) => {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            Ok(Start { name: Name::Cursor { number }, number, from: 0, count })
        }
        Some(Place::At(cursor)) if cursor.query != digest || cursor.generation != generation => {
            Err(Error::invalid_cursor("the cursor belongs to another filter or order: begin again"))
        }
        Some(Place::At(cursor)) if query.count.is_some_and(|count| count != cursor.count) => {
            Err(Error::invalid_count("count must be the same on every page: leave it out, or begin again"))
        }
        Some(Place::At(cursor)) => {
            let Cursor { number, offset: from, count, .. } = *cursor;
            Ok(Start { name: Name::Cursor { number }, number, from, count })
        }
    }
}

/// Numbers the lists of clients that page by cursor.
static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Start {
    pub(super) fn cursors(
        &self,
        query: &Query,
        generation: u64,
        end: usize,
        total: usize,
    ) -> Option<Cursors> {
        query.cursor.as_ref()?;
        let Self { number, from, count, .. } = *self;
        let at = |offset: usize| Cursor { generation, number, query: query.digest(), offset, count };
        Some(Cursors {
            previous: (from > 0 && count > 0).then(|| at(from.saturating_sub(count))),
            next: (end < total && count > 0).then(|| at(end)),
        })
    }
}
