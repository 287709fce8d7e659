//! The use-cases: the only room that sees SCIM and Ziflow together.
//!
//! Ziflow is the truth for what it can hold; the store keeps what Entra wrote and Ziflow has no field for. A
//! read merges the two. A write goes to Ziflow first and to the store after it, each step repeatable, so that a
//! half-done request is finished by Entra's retry.

mod account;
pub mod audit;
pub mod brake;
pub mod change;
mod create;
pub mod drift;
pub mod error;
pub mod figures;
mod find;
pub mod grants;
pub mod groups;
pub mod health;
pub mod in_force;
mod lock;
mod pages;
pub mod plan;
pub mod pulse;
pub mod record;
pub mod recorder;
pub mod representation;
mod upstream;
mod users;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use crate::bridge::account::Account;
pub use crate::bridge::account::Unrecognised;
use crate::bridge::audit::Audit;
use crate::bridge::change::{Asker, Change, Task};
use crate::bridge::figures::Door;
use crate::bridge::in_force::InForce;
use crate::bridge::lock::Locks;
use crate::bridge::pages::Sequences;
use crate::bridge::plan::{Granted, OnDeactivate, OnEmailChange, Protection};
use crate::bridge::pulse::Pulse;
use crate::bridge::record::{Event, Record};
use crate::mapping::Mapping;
use crate::mapping::memory::Memory;
use crate::scim::error::Error;
use crate::scim::resource::Resource;
use crate::scim::version::Conditions;
use crate::store::groups::Group;
use crate::store::{self, Store};
pub use crate::ziflow::calls::{Calls, Made, Outcome, Said, Tally};
use crate::ziflow::client::Invitation;
use crate::ziflow::directory::Directory;
use crate::ziflow::model::User;
use crate::ziflow::transport::{ApiKey, Call};

/// `policy.on_delete`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDelete {
    Deactivate,
    Delete,
    Refuse,
}

/// `policy.on_existing`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExisting {
    Conflict,
    Adopt,
}

/// `policy.on_recreate`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRecreate {
    SamePerson,
    Anyone,
}

/// `ziflow.update`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    ChangedFields,
    FullObject,
}

/// `policy.*` of the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    pub on_deactivate: OnDeactivate,
    pub on_delete: OnDelete,
    pub new_owner_id: Option<String>,
    pub on_existing: OnExisting,
    pub on_recreate: OnRecreate,
    pub on_email_change: OnEmailChange,
    pub invitation: Invitation,
    pub protected_emails: Vec<String>,
    pub max_deactivations_per_hour: u32,
    pub dry_run: bool,
}

/// `ziflow.*` of the settings, as far as they concern what is written, and how large a group may be.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub update: Update,
    pub key_user_email: Option<String>,
    /// `server.max_group_members`
    #[serde(skip)]
    pub max_group_members: u32,
}

/// What is remembered about a person beside their resource.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// What the mapping has given.
    granted: Granted,
    /// What groups have given. What both have stands in both.
    granted_by_groups: Granted,
    memory: Memory,
}

/// What the bridge itself has put into a person's lists, by its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Given {
    by_mapping: Granted,
    by_groups: Granted,
}

impl Given {
    /// Both together.
    fn add(&mut self, other: &Self) {
        self.by_mapping.add(&other.by_mapping);
        self.by_groups.add(&other.by_groups);
    }
}

impl State {
    /// A state this version cannot read is as good as none: the bridge then takes nothing away.
    fn of(row: Option<&store::Person>) -> Self {
        row.and_then(|row| serde_json::from_value(row.state.clone()).ok()).unwrap_or_default()
    }

    fn given(&self) -> Given {
        Given { by_mapping: self.granted.clone(), by_groups: self.granted_by_groups.clone() }
    }

    fn set_given(&mut self, given: Given) {
        self.granted = given.by_mapping;
        self.granted_by_groups = given.by_groups;
    }
}

/// A person, as both sides know them.
#[derive(Clone, Debug)]
struct Seen {
    user: User,
    row: Option<store::Person>,
    state: State,
    /// The merge, without `id`, `meta` and `groups`.
    shown: Resource,
    /// The groups they belong to.
    groups: Vec<Arc<Group>>,
    /// Whether Ziflow has been asked for the person by this very request.
    fresh: bool,
}

impl Seen {
    fn stored(&self) -> Option<Resource> {
        self.row.as_ref().map(|row| Resource::from_stored(row.resource.clone()))
    }
}

/// Whether the brake was tripped when it was last looked at.
#[derive(Debug, Default)]
struct Tripped(AtomicBool);

impl Tripped {
    /// What it was before.
    fn replace(&self, tripped: bool) -> bool {
        self.0.swap(tripped, Ordering::Relaxed)
    }
}

/// One Ziflow account, one store, one mapping in force.
pub struct Bridge {
    directory: Arc<Directory>,
    store: Store,
    in_force: ArcSwap<InForce>,
    policy: Policy,
    settings: Settings,
    /// The address of the API key's owner.
    key_user: ArcSwap<Option<String>>,
    /// The SCIM root, without a slash at the end: the beginning of every `meta.location`.
    base_url: String,
    locks: Locks,
    sequences: Sequences,
    /// The lists of groups that clients are paging through.
    group_pages: Sequences,
    /// Told when somebody waits for what their groups grant.
    grants_due: Notify,
    /// Beats while that queue is worked off.
    grants_pulse: Pulse,
    record: Record,
    audit: Arc<Audit>,
    /// What is known about the account, and held by whoever finds out.
    account: Mutex<Account>,
    recognising: tokio::sync::Mutex<()>,
    /// Whether the brake was tripped when it was last looked at.
    tripped: Tripped,
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}

/// What a SCIM request about people may do: one mapping from its beginning to its end, and its own allowance of
/// Ziflow calls.
pub struct Users<'a> {
    bridge: &'a Bridge,
    mapping: Arc<Mapping>,
    call: Call,
    conditions: Conditions,
    /// What this request changes, if it changes anything.
    change: Change,
}

impl fmt::Debug for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl<'a> Users<'a> {
    /// A part of the same request: an operation of a bulk request has conditions and calls of its own.
    #[must_use]
    pub fn part(&self, conditions: Conditions) -> Users<'a> {
        let told = (self.change.task().clone(), self.change.asker().clone());
        self.bridge.users_of(Arc::clone(&self.mapping), self.call.for_part(), conditions, told)
    }

    /// The same request of somebody.
    #[must_use]
    pub fn asked_by(self, asker: Asker) -> Self {
        self.with(self.change.task().clone(), asker)
    }

    /// The same request, about to change this.
    #[must_use]
    pub fn to_change(&self, task: Task) -> Users<'a> {
        self.with(task, self.change.asker().clone())
    }

    /// Says what became of the change, and `id` whom it was about.
    pub fn ended<T>(
        self,
        outcome: Result<T, Error>,
        id: impl FnOnce(&T) -> Option<String>,
    ) -> Result<T, Error> {
        self.change.end(outcome.as_ref().err(), outcome.as_ref().ok().and_then(id));
        outcome
    }

    fn with(&self, task: Task, asker: Asker) -> Users<'a> {
        self.bridge.users_of(
            Arc::clone(&self.mapping),
            self.call.clone(),
            self.conditions.clone(),
            (task, asker),
        )
    }
}

impl Bridge {
    pub fn new(
        directory: Arc<Directory>,
        store: Store,
        mapping: InForce,
        policy: Policy,
        settings: Settings,
        public_url: &str,
        audit: Arc<Audit>,
    ) -> Self {
        Self {
            directory,
            store,
            in_force: ArcSwap::from_pointee(mapping),
            policy,
            key_user: ArcSwap::from_pointee(settings.key_user_email.clone()),
            settings,
            base_url: public_url.trim_end_matches('/').to_owned(),
            locks: Locks::default(),
            sequences: Sequences::default(),
            group_pages: Sequences::default(),
            grants_due: Notify::new(),
            grants_pulse: Pulse::new("the queue of what groups grant", grants::LONGEST_TURN),
            record: Record::default(),
            audit,
            account: Mutex::default(),
            recognising: tokio::sync::Mutex::default(),
            tripped: Tripped::default(),
        }
    }

    /// What can be done with people until the deadline, if the conditions hold.
    pub fn users(&self, deadline: Instant, conditions: Conditions) -> Users<'_> {
        let mapping = Arc::clone(&self.in_force.load().mapping);
        let nothing = Task { action: "none", kind: "", id: None };
        self.users_of(mapping, Call::until(deadline), conditions, (nothing, Asker::itself("bridge")))
    }

    fn users_of(
        &self,
        mapping: Arc<Mapping>,
        call: Call,
        conditions: Conditions,
        (task, asker): (Task, Asker),
    ) -> Users<'_> {
        let change = Change::new(&self.audit, asker, task, call.clone());
        Users { bridge: self, mapping, call, conditions, change }
    }

    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The mapping that the next request will see.
    pub fn mapping_in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Requests that begin from now on see this mapping; those under way keep theirs.
    pub fn put_mapping(&self, mapping: InForce) {
        self.in_force.store(Arc::new(mapping));
    }

    /// Calls that leave from now on carry this key.
    pub fn put_key(&self, key: ApiKey) {
        self.directory.put_key(key);
    }

    /// From now on this person is protected as the owner of the API key.
    pub fn put_key_user(&self, email: Option<String>) {
        self.key_user.store(Arc::new(email));
    }

    /// What requests do inside, from now on.
    pub fn listen(&self) -> UnboundedReceiver<Event> {
        self.record.listen()
    }

    /// Asks Ziflow again after trouble, so that it ends also while nobody asks the bridge for anything.
    pub async fn look_again(&self, deadline: Instant) {
        let client = self.directory.client();
        if client.trouble().is_some() || client.key_refused() {
            // What came of it is what readiness shows next.
            drop(client.prove(&Call::until(deadline)).await);
        }
    }

    /// How fast Ziflow is asked at present.
    pub fn pace(&self) -> Door {
        self.directory.client().limit().figures()
    }

    /// Whether another key is needed: Ziflow refuses this one, or it is another account's.
    pub fn needs_another_key(&self) -> bool {
        self.directory.client().key_refused() || self.foreign_account().is_some()
    }

    /// Whether the queue of what groups grant is still worked off.
    pub fn grants_pulse(&self) -> &Pulse {
        &self.grants_pulse
    }

    /// Whether the store answers, be it with an error.
    pub async fn store_answers(&self, within: Duration) -> bool {
        timeout(within, self.store.ping()).await.is_ok()
    }

    fn protection(&self, user: &User) -> Option<Protection> {
        let is_user = |email: &String| email.to_lowercase() == user.email.to_lowercase();
        if user.account_owner {
            Some(Protection::AccountOwner)
        } else if self.key_user.load().as_ref().as_ref().is_some_and(is_user) {
            Some(Protection::KeyUser)
        } else {
            self.policy.protected_emails.iter().any(is_user).then_some(Protection::Listed)
        }
    }
}

/// The beginning of a text's SHA-256.
fn fingerprint(text: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// How long ago a time written by `now` was.
fn seconds_since(time: &str) -> Option<i64> {
    let then: jiff::Timestamp = time.parse().ok()?;
    Some(seconds() - then.as_second())
}

/// Now, in seconds since 1970.
fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Now, as RFC 3339 in whole milliseconds.
fn now() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.3}")
}
