//! The queue of what groups grant: worked off at the limiter's pace behind people's requests, one person after the other,
//! and begun anew after a crash where it was. What a person gets is decided when it is their turn, from all their groups
//! as they are then; so changes from two groups never overwrite each other, and ten of them cost one update.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::bridge::change::{Asker, Details, Task};
use crate::bridge::figures::Waiting;
use crate::bridge::groups::granted;
use crate::bridge::health::Component;
use crate::bridge::plan::{Granted, Plan, Refusal, Situation, plan};
use crate::bridge::record::Event;
use crate::bridge::users::not_allowed;
use crate::bridge::{Bridge, Given, Seen, State, Users, seconds};
use crate::mapping::apply::Wanted;
use crate::mapping::groups::Grants;
use crate::scim::error::Error;
use crate::scim::schema::USER_TYPE;
use crate::scim::version::Conditions;
use crate::store::Person;
use crate::store::groups::{Backlog, Due};
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::model::{Field, FieldValue, Fields, User};
use crate::ziflow::transport::Call;

/// One person gets this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// People go first for so long, and then whoever is next in the queue goes all the same.
const COURTESY: Duration = Duration::from_secs(6);

/// How often it is looked whether people are still waiting.
const GLANCE: Duration = Duration::from_millis(20);

/// When the queue is looked at without being told.
const LOOK: Duration = Duration::from_secs(2);

/// After trouble that is nobody's own, the queue rests so long at least, and at the most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What has failed is tried again after so many seconds, then twice as many, and at the most so many.
const FIRST_RETRY: i64 = 5;
const LAST_RETRY: i64 = 900;

/// No turn takes longer: it waits for people to go first, for Ziflow, for a rest, and at each step for the store.
pub(super) const LONGEST_TURN: Duration = Duration::from_secs(180);

/// The list fields, which alone can be granted.
const LISTS: [Field; 2] = [Field::Roles, Field::Group];

impl Bridge {
    /// Works the queue off until `shutdown`. What is stopped in the middle is begun anew at the next start.
    pub async fn apply_grants(&self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.work() => {}
            () = shutdown => {}
        }
    }

    async fn work(&self) {
        let mut looked_at = None;
        loop {
            self.grants_pulse.beat();
            let mapping = self.mapping_in_force();
            if looked_at.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &mapping)) {
                match self.look_at_grants().await {
                    Ok(()) => looked_at = Some(mapping),
                    Err(error) => warn!(reason = error.detail, "what groups grant could not be looked at"),
                }
            }
            if !self.apply_next().await {
                drop(timeout(LOOK, self.grants_due.notified()).await);
            }
        }
    }

    /// Compares what each group granted when that was last looked at with what the mapping in force says. All members of
    /// a group that differs have their turn.
    async fn look_at_grants(&self) -> Result<(), Error> {
        for group in self.store.groups().await? {
            self.grants_pulse.beat();
            let _lock = self.locks.take(&format!("group {}", group.id), Instant::now() + PATIENCE).await?;
            if let Some(group) = self.store.group(&group.id).await? {
                self.keep_up(group).await?;
            }
        }
        Ok(())
    }

    /// Waits while anybody else waits for Ziflow. That is done before somebody has their turn, and not in it: in it their
    /// own requests wait for its end.
    async fn let_people_go_first(&self) {
        let (limit, end) = (self.directory.client().limit(), Instant::now() + COURTESY);
        while (limit.waiting() > 0 || limit.pause_left().is_some()) && Instant::now() < end {
            sleep(GLANCE).await;
        }
    }

    /// Whether somebody had their turn, and the next one can have theirs at once.
    async fn apply_next(&self) -> bool {
        let due = match self.store.next_grants(seconds()).await {
            Ok(Some(due)) => due,
            Ok(None) => return false,
            Err(error) => {
                warn!(%error, "the queue of grants cannot be read");
                return false;
            }
        };
        self.let_people_go_first().await;
        let mapping = Arc::clone(&self.mapping_in_force().mapping);
        let call = Call::in_the_background(Instant::now() + PATIENCE);
        let task = Task { action: "apply-grants", kind: USER_TYPE.name, id: Some(due.id.clone()) };
        let users = self.users_of(mapping, call, Conditions::default(), (task, Asker::itself("grants")));
        let applied = users.apply_grants_of(&due.id).await;
        let settled = match users.ended(applied, |()| None) {
            Ok(()) => self.store.settle_grants(due).await,
            Err(error) if self.is_in_trouble(&error) => {
                // It is nobody's own: the next one would meet it as well, so the queue rests, and nobody's turn is lost.
                debug!(reason = error.detail, "the queue of grants rests");
                sleep(error.retry_after.unwrap_or_default().clamp(PAUSE, LONGEST_REST)).await;
                // Should it be theirs after all, the others go first.
                let behind = seconds();
                self.store.postpone_grants(due, behind, None).await
            }
            Err(error) => self.postpone(due, &error).await,
        };
        match settled {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "the queue of grants cannot be written");
                false
            }
        }
    }

    /// Whether it is trouble with Ziflow or the key, and not with one person.
    fn is_in_trouble(&self, error: &Error) -> bool {
        error.status == StatusCode::TOO_MANY_REQUESTS
            || self.directory.client().holds_back()
            || self.needs_another_key()
            || self.audit.holds_back()
    }

    async fn postpone(&self, due: Due, error: &Error) -> Result<(), crate::store::Error> {
        let now = seconds();
        let asked = error.retry_after.map_or(0, |wait| i64::try_from(wait.as_secs()).unwrap_or(LAST_RETRY));
        let doubled = FIRST_RETRY.saturating_mul(1_i64.checked_shl(due.tries.min(16)).unwrap_or(1));
        let wait = doubled.min(LAST_RETRY).max(asked);
        warn!(
            id = due.id,
            tries = due.tries + 1,
            again_in_secs = wait,
            status = error.status.as_u16(),
            reason = without_message(&error.detail),
            "what this person's groups grant could not be applied"
        );
        self.store.postpone_grants(due, now + wait, Some(error.detail.clone())).await
    }

    /// How the queue is.
    pub(super) async fn grants_health(&self) -> Component {
        let Backlog { waiting, failing, oldest, error } = match self.store.grants_backlog().await {
            Ok(backlog) => backlog,
            Err(error) => return Component::unknown("grants", &error.to_string()),
        };
        let age = age(oldest);
        let told = match (waiting, failing) {
            (0, _) => return Component::fine("grants", "nobody is waiting"),
            (waiting, 0) => {
                return Component::fine("grants", &format!("{waiting} waiting, for {age} s at most"));
            }
            (waiting, failing) => format!("{waiting} waiting, for {age} s at most; {failing} of them failed"),
        };
        Component::stale("grants", &format!("{told}, the last one: {}", error.unwrap_or_default()))
    }

    /// Who waits for what their groups grant. None when the store cannot tell.
    pub async fn grants_waiting(&self) -> Option<Waiting> {
        self.store.grants_backlog().await.ok().map(Waiting::from)
    }
}

impl Users<'_> {
    /// Gives a person what their groups grant, and takes away what only groups they have left granted.
    async fn apply_grants_of(&self, id: &str) -> Result<(), Error> {
        let _lock = self.bridge.locks.take(id, self.call.deadline()).await?;
        let mut seen = match self.look(id).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(()),
            seen => seen?,
        };
        if !seen.fresh {
            seen.user = self.bridge.today(&self.call, id, &seen.user.email).await?;
        }
        let grants = granted(&self.mapping, &seen.groups);
        let turn = || Event::Turn { user: Box::new(seen.user.clone()), grants: grants.clone() };
        self.bridge.record.note(turn);
        // Who is disabled gets it on their return.
        if !seen.user.active {
            return Ok(());
        }
        let wanted = self.wanted_lists(&seen, &grants);
        let Decided { fields, given } = self.decide(&seen, &wanted, &grants, true).map_err(not_allowed)?;
        if fields.is_empty() && given == seen.state.given() {
            return Ok(());
        }
        let details = Details { effect: Some("updated"), ..Details::of_write(&seen, &fields, &given) };
        let may = self.change.may_write(details).await?;
        match self.write(&may, &seen, &fields, &given).await? {
            Ok(user) => self.keep_given(&mut seen, user, given).await,
            // One update for each list, so that a group text which Ziflow does not know keeps nobody from their roles.
            Err(Upstream::Refused { .. } | Upstream::Conflict { .. }) if fields.len() > 1 => {
                let mut refusal = None;
                for (field, value) in fields {
                    let mut part = seen.state.given();
                    part.by_mapping.set(field, given.by_mapping.get(field).to_vec());
                    part.by_groups.set(field, given.by_groups.get(field).to_vec());
                    match self.write(&may, &seen, &Fields::from([(field, value)]), &part).await? {
                        Ok(user) => self.keep_given(&mut seen, user, part).await?,
                        Err(error) => refusal = Some(error),
                    }
                }
                refusal.map_or(Ok(()), |error| Err(error.into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers who has given what. What Entra wrote stays as it was, and whom it never wrote the store goes on not
    /// knowing.
    async fn keep_given(&self, seen: &mut Seen, user: User, given: Given) -> Result<(), Error> {
        seen.user = user;
        seen.state.set_given(given);
        let Some(row) = seen.row.clone() else {
            return Ok(self.bridge.store.claim(&seen.user.id, json!(seen.state.given())).await?);
        };
        let row = Person { state: json!(seen.state), ..row };
        self.bridge.store.put(row.clone(), None).await?;
        seen.row = Some(row);
        Ok(())
    }

    /// Somebody whom a read shows active, and who has not what their groups grant, has their turn: they may have been
    /// disabled in Ziflow when it was applied to the others.
    pub(super) async fn remind_of_grants(&self, seen: &Seen) -> Result<(), Error> {
        let by_groups = &seen.state.granted_by_groups;
        let nothing = seen.groups.is_empty() && LISTS.iter().all(|field| by_groups.get(*field).is_empty());
        // The queue looks at people as well, and must not be its own cause.
        if nothing || self.call.is_in_the_background() || !seen.user.active || seen.user.contact {
            return Ok(());
        }
        let grants = granted(&self.mapping, &seen.groups);
        let differs = |field: &Field| {
            let (given, now) = (by_groups.get(*field), grants.get(*field));
            let missing = |item: &String| !given.contains(item) && !seen.user.list(*field).contains(item);
            given.iter().any(|item| !now.contains(item)) || now.iter().any(missing)
        };
        if LISTS.iter().any(differs) {
            let now = seconds();
            self.bridge.store.remind_of_grants(&seen.user.id, now).await?;
            self.bridge.grants_due.notify_one();
        }
        Ok(())
    }

    /// What the mapping and the groups together want of each list, where groups have or had a word in it.
    fn wanted_lists(&self, seen: &Seen, grants: &Grants) -> BTreeMap<Field, Wanted> {
        let stored = seen.stored();
        let concerned = |field: &&Field| {
            !grants.get(**field).is_empty() || !seen.state.granted_by_groups.get(**field).is_empty()
        };
        let wanted = |field: &Field| {
            let mapped = stored.as_ref().and_then(|stored| self.mapping.wanted_list(stored, *field));
            // Where the mapping says nothing now, what it has given stays.
            let mapped = mapped.unwrap_or_else(|| seen.state.granted.get(*field).to_vec());
            (*field, Wanted::Set(FieldValue::List(mapped)))
        };
        LISTS.iter().filter(concerned).map(wanted).collect()
    }

    /// Plans what is wanted, groups included. What groups grant counts for the lists that are wanted at all. A protected
    /// person keeps roles, or the whole is refused.
    pub(super) fn decide(
        &self,
        seen: &Seen,
        wanted: &BTreeMap<Field, Wanted>,
        grants: &Grants,
        keeps_roles: bool,
    ) -> Result<Decided, Refusal> {
        let both = with_grants(wanted, grants);
        let mut ours = seen.state.granted.clone();
        ours.add(&seen.state.granted_by_groups);
        let situation = Situation {
            user: &seen.user,
            granted: &ours,
            wanted: &both,
            // Of whom Entra has never written a word, nothing says what they should not have.
            owns: &|field| seen.row.is_some() && self.mapping.owns(field),
            protected: self.bridge.protection(&seen.user),
            keeps_roles,
            on_deactivate: self.bridge.policy.on_deactivate,
            on_email_change: self.bridge.policy.on_email_change,
        };
        match plan(&situation) {
            Plan::Refuse(refusal) => Err(refusal),
            Plan::Update { fields, granted, notes } => {
                for note in &notes {
                    warn!(id = seen.user.id, "{}", note.text());
                }
                self.bridge.record.note(|| Event::Planned {
                    user: Box::new(seen.user.clone()),
                    wanted: both.clone(),
                    fields: fields.clone(),
                    notes,
                });
                Ok(Decided { given: attribute(&seen.state, wanted, grants, &granted), fields })
            }
        }
    }
}

/// Who has given what, so that one source can end without the other.
fn attribute(state: &State, wanted: &BTreeMap<Field, Wanted>, grants: &Grants, granted: &Granted) -> Given {
    let mut given = state.given();
    for field in LISTS {
        let Some(mapped) = wanted.get(&field) else { continue };
        let (mapped, all) = (items(mapped), granted.get(field));
        let by_groups = |item: &&String| grants.get(field).contains(item);
        let by_mapping = |item: &&String| mapped.contains(item) || !by_groups(item);
        given.by_groups.set(field, all.iter().filter(by_groups).cloned().collect());
        given.by_mapping.set(field, all.iter().filter(by_mapping).cloned().collect());
    }
    given
}

/// For how many seconds somebody has waited since then.
pub(super) fn age(since: Option<i64>) -> i64 {
    since.map_or(0, |since| seconds() - since)
}

/// Ziflow's own words stand in quotes, and may name people.
fn without_message(detail: &str) -> &str {
    detail.split('"').next().unwrap_or_default()
}

/// What was decided about a person.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) fields: Fields,
    pub(super) given: Given,
}

/// What the mapping wants of lists, and what groups grant besides.
fn with_grants(wanted: &BTreeMap<Field, Wanted>, grants: &Grants) -> BTreeMap<Field, Wanted> {
    let both = |(field, wanted): (&Field, &Wanted)| {
        if !field.is_list() || grants.get(*field).is_empty() {
            return (*field, wanted.clone());
        }
        let mut all = items(wanted).to_vec();
        let more = grants.get(*field).iter().filter(|item| !all.contains(item)).cloned().collect::<Vec<_>>();
        all.extend(more);
        (*field, Wanted::Set(FieldValue::List(all)))
    };
    wanted.iter().map(both).collect()
}

fn items(wanted: &Wanted) -> &[String] {
    match wanted {
        Wanted::Set(FieldValue::List(items)) => items,
        _ => &[],
    }
}
