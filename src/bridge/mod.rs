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
pub mod in_force;
mod lock;
mod pages;
pub mod plan;
pub mod pulse;
pub mod record;
pub mod recorder;
mod upstream;
mod users;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use crate::bridge::account::Account;
pub use crate::bridge::account::Unrecognised;
use crate::bridge::audit::Audit;
use crate::bridge::change::{Asker, Change, Task};
use crate::bridge::figures::Door;
use crate::bridge::groups::of_person;
use crate::bridge::in_force::InForce;
use crate::bridge::lock::Locks;
use crate::bridge::pages::Sequences;
use crate::bridge::plan::{Granted, OnDeactivate, OnEmailChange, Protection};
use crate::bridge::pulse::Pulse;
use crate::bridge::record::{Event, Record};
use crate::mapping::Mapping;
use crate::mapping::memory::Memory;
use crate::scim::error::Error;
use crate::scim::resource::{Meta, Resource};
use crate::scim::schema::{ENTERPRISE_USER, GROUP_TYPE, ResourceType, USER_TYPE};
use crate::scim::version::Conditions;
use crate::store::groups::Group;
use crate::store::{self, Store};
pub use crate::ziflow::calls::{Calls, Made, Outcome};
use crate::ziflow::client::Invitation;
use crate::ziflow::directory::Directory;
use crate::ziflow::model::User;
use crate::ziflow::rate_limit::RateLimit;
use crate::ziflow::transport::{ApiKey, Call};

/// RFC 3986 section 2.3: what needs no encoding gets none, so that the last segment of most locations is the id.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

/// `ziflow.*` of the settings, as far as they concern what is written.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub update: Update,
    pub key_user_email: Option<String>,
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
    groups: Vec<Group>,
    /// Whether Ziflow has been asked for the person by this very request.
    fresh: bool,
}

impl Seen {
    fn stored(&self) -> Option<Resource> {
        self.row.as_ref().map(|row| Resource::from_stored(row.resource.clone()))
    }
}

/// How a part of the bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub name: &'static str,
    pub state: Health,
    pub detail: String,
}

/// Whether a part can do its work; unknown until it has been used. A part that has tripped waits for an operator, and
/// the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Fine,
    Unknown,
    /// What it has done is not what it should be by now.
    Stale,
    /// If it goes on like this, others will stop it.
    AtRisk,
    Tripped,
    Failing,
}

impl Component {
    fn fine(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Fine, detail: detail.to_owned() }
    }

    fn unknown(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Unknown, detail: detail.to_owned() }
    }

    fn stale(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Stale, detail: detail.to_owned() }
    }

    fn tripped(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Tripped, detail: detail.to_owned() }
    }

    fn failing(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Failing, detail: detail.to_owned() }
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
    /// The same request with other conditions, as an operation of a bulk request has.
    #[must_use]
    pub fn under(&self, conditions: Conditions) -> Users<'a> {
        Users { conditions, ..self.with(self.change.task().clone(), self.change.asker().clone()) }
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

    /// How the parts are that a request needs. None of it costs a call.
    pub async fn health(&self) -> Vec<Component> {
        let client = self.directory.client();
        let store = self.store.ping().await.err().map(|error| error.to_string());
        let key = match (client.key_refused(), client.key_proven()) {
            (true, _) => Component::failing("key", "Ziflow refuses the API key"),
            _ if let Some(reason) = self.foreign_account() => Component::failing("key", &reason),
            (false, true) => Component::fine("key", "Ziflow takes the API key"),
            (false, false) => Component::unknown("key", "Ziflow has not been asked yet"),
        };
        let upstream = match (client.trouble(), client.heard()) {
            (Some(trouble), _) if client.holds_back() => Component::failing(
                "upstream",
                &format!("{trouble}; calls are held back, single ones try again"),
            ),
            (Some(trouble), _) => Component::failing("upstream", &trouble.to_string()),
            (None, Some(ago)) => {
                Component::fine("upstream", &format!("Ziflow last answered {} s ago", ago.as_secs()))
            }
            (None, None) => Component::unknown("upstream", "Ziflow has not been asked yet"),
        };
        let limiter = match client.limit().pause_left() {
            Some(left) => {
                Component::fine("limiter", &format!("Ziflow wants a pause of {} s", left.as_secs() + 1))
            }
            None => Component::fine("limiter", &limiter_at_work(client.limit())),
        };
        let mapping = self.in_force.load();
        let in_force = format!("{}, version {}, since {}", mapping.file, mapping.digest, mapping.since);
        let mut parts = vec![
            store.map_or_else(|| Component::fine("store", ""), |error| Component::failing("store", &error)),
            Component::fine("mapping", &in_force),
            key,
            upstream,
            limiter,
            self.brake_health().await,
            self.grants_health().await,
            self.audit.health(),
        ];
        if self.policy.dry_run {
            parts.push(Component::fine("dry_run", "writes are told in the log and not sent"));
        }
        parts
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

    /// Where the person stands.
    pub fn location(&self, id: &str) -> String {
        self.location_of(&USER_TYPE, id)
    }

    /// Where a resource of this type stands.
    pub fn location_of(&self, rt: &ResourceType, id: &str) -> String {
        format!("{}{}/{}", self.base_url, rt.endpoint, utf8_percent_encode(id, SEGMENT))
    }

    /// The person as the client sees them.
    fn representation(&self, seen: &Seen) -> Resource {
        let meta = Meta {
            id: seen.user.id.clone(),
            location: self.location(&seen.user.id),
            created: seen.row.as_ref().and_then(|row| row.created.clone()),
            last_modified: seen.row.as_ref().map(|row| row.last_modified.clone()),
            version: None,
        };
        let mut shown = seen.shown.clone().into_map();
        if !seen.groups.is_empty() {
            let groups = of_person(&seen.groups, |id| self.location_of(&GROUP_TYPE, id));
            shown.insert("groups".to_owned(), Value::Array(groups));
        }
        let mut shown = Resource::from_stored(shown).representation(&USER_TYPE, &meta).into_map();
        self.point_to_manager(&mut shown);
        let version = version(&shown);
        if let Some(meta) = shown.get_mut("meta").and_then(Value::as_object_mut) {
            meta.insert("version".to_owned(), version.into());
        }
        Resource::from_stored(shown)
    }

    /// Entra sends a manager's id alone and reads an object; where the manager stands is the bridge's to say, unless
    /// the client has said it.
    fn point_to_manager(&self, shown: &mut Map<String, Value>) {
        let enterprise = shown.get_mut(ENTERPRISE_USER.id).and_then(|extension| extension.get_mut("manager"));
        let Some(manager) = enterprise.and_then(Value::as_object_mut) else { return };
        let location = manager.get("value").and_then(Value::as_str).map(|id| self.location(id));
        if let (Some(location), false) = (location, manager.contains_key("$ref")) {
            manager.insert("$ref".to_owned(), location.into());
        }
    }
}

fn limiter_at_work(limit: &RateLimit) -> String {
    let waiting = limit.waiting();
    match limit.slowed_by() {
        1 => format!("{waiting} waiting"),
        divisor => format!("{waiting} waiting; the pace is 1/{divisor} since Ziflow asked to slow down"),
    }
}

/// A weak entity tag that is another one exactly when the representation is.
fn version(representation: &Map<String, Value>) -> String {
    // A JSON object can always be written.
    let text = serde_json::to_string(representation).unwrap_or_default();
    format!("W/\"{:016x}\"", fingerprint(&text))
}

/// The beginning of a text's SHA-256.
fn fingerprint(text: &str) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// The version in a representation.
pub fn version_of(representation: &Resource) -> Option<&str> {
    representation.as_map().get("meta")?.get("version")?.as_str()
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
