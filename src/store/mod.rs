//! What Ziflow cannot hold: each person's resource as Entra last wrote it, what the bridge granted, the people
//! deleted through the bridge, the creates whose outcome is not settled yet, the brake on mass disabling, and the account
//! that all this belongs to.
//!
//! The store keeps texts and JSON and knows neither SCIM nor Ziflow. It is one SQLite file, or memory.

pub mod groups;
mod sizes;
mod sqlite;
mod standing;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use serde_json::{Map, Value};

use crate::store::groups::{Due, Edit, Edited, Group, Refusal};
use crate::store::sizes::Counted;
pub use crate::store::sizes::Sizes;
use crate::store::standing::Standing;

/// A person as Entra last wrote them.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub id: String,
    /// What the person can be found by: (kind, value), values compared exactly.
    pub keys: Vec<(String, String)>,
    /// The SCIM resource.
    pub resource: Map<String, Value>,
    /// What the bridge remembers about the person beside it.
    pub state: Value,
    /// RFC 3339; none for people whom the bridge has not created.
    pub created: Option<String>,
    /// RFC 3339.
    pub last_modified: String,
}

/// A person deleted through the bridge, whom Ziflow still holds as inactive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub id: String,
    /// The key that `userName` is compared by.
    pub user_name: String,
    pub external_id: Option<String>,
    /// The day of the deletion, `YYYY-MM-DD`.
    pub day: String,
}

/// A create that was begun and not yet settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The address in Ziflow, lower case.
    pub email: String,
    /// RFC 3339.
    pub opened: String,
    /// Whether Ziflow had just said that nobody has this address.
    pub seen_absent: bool,
}

/// The brake on mass disabling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    /// Since when it has been tripped, if it is (RFC 3339).
    pub since: Option<String>,
    /// How many people's access was taken lately.
    pub taken: u32,
    /// Whether this very person has been counted just now.
    pub counted: bool,
}

/// Whom the brake is about, by id, each with the time (seconds since 1970).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Braked {
    pub lost_access: Vec<(String, i64)>,
    pub held_back: Vec<(String, i64)>,
}

/// Somebody whose access is about to be taken. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub struct Taking {
    pub id: String,
    pub at: i64,
    /// Those before do not count any more.
    pub after: i64,
    /// The time as RFC 3339.
    pub now: String,
    /// So many may lose their access.
    pub most: u32,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Memory,
    File(PathBuf),
}

impl Location {
    /// Reads `store.url`: `memory:` or `sqlite:PATH`.
    pub fn parse(url: &str) -> Result<Self, String> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
                // `sqlite:///var/…` is the same file as `sqlite:/var/…`.
                let path = path.strip_prefix("//").unwrap_or(path);
                Ok(Self::File(PathBuf::from(path)))
            }
            _ => Err(format!(
                "store.url `{url}` must be `sqlite:/path/to/store.db`, or `memory:`, in quotes where it is YAML"
            )),
        }
    }
}

/// Why the store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store cannot be used: {}", self.0)
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("a row is no JSON: {error}"))
    }
}

/// The store. Every method is one transaction.
#[derive(Clone, Debug)]
pub struct Store {
    open: Arc<Mutex<sqlite::Open>>,
    counted: Arc<Counted>,
    standing: Arc<Standing>,
}

impl Store {
    /// Opens the store, making the file (0600) and its tables where they are missing. A file that another
    /// process holds, or that a newer version wrote, is refused.
    pub fn open(location: &Location) -> Result<Self, Error> {
        Ok(Self::of(sqlite::open(location)?))
    }

    /// What the store holds, for a dry run: in memory, and the store itself stays as it is.
    pub fn open_copy(location: &Location) -> Result<Self, Error> {
        Ok(Self::of(sqlite::open_copy(location)?))
    }

    /// The store that a service may be using at this moment, for the commands of its operator. It must have been made
    /// by this version.
    pub fn open_beside(location: &Location) -> Result<Self, Error> {
        Ok(Self::of(sqlite::open_beside(location)?))
    }

    fn of(open: sqlite::Open) -> Self {
        let standing = Arc::new(Standing::of(&open.files));
        Self { open: Arc::new(Mutex::new(open)), counted: Arc::default(), standing }
    }

    /// Whether the store answers, keeps what is written, and is the file that the next start will open. After a write that
    /// failed, only another one can say that.
    pub async fn ping(&self) -> Result<(), Error> {
        let standing = Arc::clone(&self.standing);
        let answered = if self.standing.is_failing() {
            self.write(sqlite::try_to_write).await
        } else {
            self.run(|connection| sqlite::ping(connection)).await
        };
        answered.and_then(|()| standing.look_at_files()).map_err(|error| self.standing.named(error))
    }

    pub async fn person(&self, id: &str) -> Result<Option<Person>, Error> {
        let id = id.to_owned();
        self.run(move |connection| sqlite::person(connection, &id)).await
    }

    /// Those of these people whom the store knows.
    pub async fn people(&self, ids: Vec<String>) -> Result<Vec<Person>, Error> {
        self.run(move |connection| {
            let people = ids.iter().map(|id| sqlite::person(connection, id));
            people.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// The ids of everybody in the store, each with their key of this kind.
    pub async fn everybody(&self, kind: &'static str) -> Result<Vec<(String, Option<String>)>, Error> {
        self.run(move |connection| sqlite::everybody(connection, kind)).await
    }

    /// The ids of the people with this key.
    pub async fn find(&self, kind: &str, value: &str) -> Result<Vec<String>, Error> {
        let (kind, value) = (kind.to_owned(), value.to_owned());
        self.run(move |connection| sqlite::find(connection, &kind, &value)).await
    }

    /// Keeps a person, and settles the create that brought them, if one did.
    pub async fn put(&self, person: Person, settles: Option<String>) -> Result<(), Error> {
        self.write(move |connection| sqlite::put(connection, &person, settles.as_deref())).await
    }

    /// Forgets a person and any tombstone of theirs.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| sqlite::remove(connection, &id)).await
    }

    /// Replaces a person by a tombstone.
    pub async fn bury(&self, tombstone: Tombstone) -> Result<(), Error> {
        self.write(move |connection| sqlite::bury(connection, &tombstone)).await
    }

    /// Somebody deleted exists again, though nothing is known of them. What they belong to by now stays.
    pub async fn unbury(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| sqlite::unbury(connection, &id)).await
    }

    pub async fn tombstone(&self, id: &str) -> Result<Option<Tombstone>, Error> {
        let id = id.to_owned();
        self.run(move |connection| sqlite::tombstone(connection, "id", &id)).await
    }

    pub async fn tombstone_of(&self, user_name: &str) -> Result<Option<Tombstone>, Error> {
        let user_name = user_name.to_owned();
        self.run(move |connection| sqlite::tombstone(connection, "user_name", &user_name)).await
    }

    /// The ids under which a tombstone stands.
    pub async fn tombstones(&self) -> Result<Vec<String>, Error> {
        self.run(|connection| sqlite::tombstones(connection)).await
    }

    pub async fn intent(&self, email: &str) -> Result<Option<Intent>, Error> {
        let email = email.to_owned();
        self.run(move |connection| sqlite::intent(connection, &email)).await
    }

    /// Notes that a create is about to be sent.
    pub async fn open_intent(&self, intent: Intent) -> Result<(), Error> {
        self.write(move |connection| sqlite::open_intent(connection, &intent)).await
    }

    /// Notes that a create has not happened and will not.
    pub async fn close_intent(&self, email: &str) -> Result<(), Error> {
        let email = email.to_owned();
        self.write(move |connection| sqlite::close_intent(connection, &email)).await
    }

    pub async fn group(&self, id: &str) -> Result<Option<Group>, Error> {
        let id = id.to_owned();
        self.run(move |connection| groups::group(connection, &id)).await
    }

    /// The group with this name, as groups are compared by it.
    pub async fn group_named(&self, name: &str) -> Result<Option<Group>, Error> {
        let name = name.to_owned();
        self.run(move |connection| groups::group_named(connection, &name)).await
    }

    /// All groups, in the order in which they were made.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        self.run(|connection| groups::groups(connection)).await
    }

    pub async fn groups_with_external_id(&self, external_id: &str) -> Result<Vec<Group>, Error> {
        let external_id = external_id.to_owned();
        self.run(move |connection| groups::groups_with(connection, &external_id)).await
    }

    /// The groups of each of these people, in the order of the ids.
    pub async fn groups_of(&self, ids: Vec<String>) -> Result<Vec<Vec<Arc<Group>>>, Error> {
        self.run(move |connection| groups::groups_of(connection, &ids)).await
    }

    /// The ids of a group's members.
    pub async fn members(&self, number: u32) -> Result<Vec<String>, Error> {
        self.run(move |connection| groups::members(connection, number)).await
    }

    pub async fn is_member(&self, number: u32, id: &str) -> Result<bool, Error> {
        let id = id.to_owned();
        self.run(move |connection| groups::is_member(connection, number, &id)).await
    }

    /// How many belong to a group.
    pub async fn count_members(&self, number: u32) -> Result<u32, Error> {
        self.run(move |connection| groups::count_members(connection, number)).await
    }

    /// Those of these ids that are no people of the store.
    pub async fn strangers(&self, ids: Vec<String>) -> Result<Vec<String>, Error> {
        self.run(move |connection| groups::strangers(connection, &ids)).await
    }

    /// Makes or changes a group, and notes for whom something follows; or says why it is not done.
    pub async fn edit_group(&self, edit: Edit) -> Result<Result<Edited, Refusal>, Error> {
        self.write(move |connection| groups::edit(connection, &edit)).await
    }

    /// False when there was no such group.
    pub async fn delete_group(&self, id: &str, now: i64) -> Result<bool, Error> {
        let id = id.to_owned();
        self.write(move |connection| groups::delete(connection, &id, now)).await
    }

    /// Notes what is about to be given to somebody; it holds until the person is put.
    pub async fn claim(&self, id: &str, given: Value) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| groups::claim(connection, &id, &given)).await
    }

    pub async fn claim_of(&self, id: &str) -> Result<Option<Value>, Error> {
        let id = id.to_owned();
        self.run(move |connection| groups::claim_of(connection, &id)).await
    }

    /// It has not been given after all.
    pub async fn drop_claim(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| groups::drop_claim(connection, &id)).await
    }

    /// What this person's groups grant is to be looked at.
    pub async fn enqueue_grants(&self, id: &str, now: i64) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| groups::enqueue(connection, &id, now)).await
    }

    /// The same, unless they wait already: how long they have to wait stays as it is.
    pub async fn remind_of_grants(&self, id: &str, now: i64) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| groups::remind(connection, &id, now)).await
    }

    /// Who is next whose groups' grants are to be applied.
    pub async fn next_grants(&self, now: i64) -> Result<Option<Due>, Error> {
        self.run(move |connection| groups::next_due(connection, now)).await
    }

    /// They have been applied.
    pub async fn settle_grants(&self, due: Due) -> Result<(), Error> {
        self.write(move |connection| groups::settle(connection, &due)).await
    }

    /// They have not, for this reason or because it is not their time, and are looked at again then.
    pub async fn postpone_grants(&self, due: Due, until: i64, error: Option<String>) -> Result<(), Error> {
        self.write(move |connection| groups::postpone(connection, &due, until, error.as_deref())).await
    }

    /// The ids of those who wait for it, with what went wrong.
    pub async fn grants_waiting(&self) -> Result<Vec<(String, Option<String>)>, Error> {
        self.run(|connection| groups::waiting(connection)).await
    }

    /// The ids of the accounts that the store may belong to; none until it has been told.
    pub async fn accounts(&self) -> Result<Vec<String>, Error> {
        self.run(|connection| sqlite::accounts(connection)).await
    }

    pub async fn put_accounts(&self, ids: Vec<String>) -> Result<(), Error> {
        self.write(move |connection| sqlite::put_accounts(connection, &ids)).await
    }

    /// How the brake is, counting from this moment (seconds since 1970).
    pub async fn brake(&self, after: i64) -> Result<Brake, Error> {
        self.run(move |connection| sqlite::brake(connection, after)).await
    }

    /// Whom the brake is about, counting from this moment, or from an hour before it tripped.
    pub async fn braked(&self, after: i64) -> Result<Braked, Error> {
        self.run(move |connection| sqlite::braked(connection, after)).await
    }

    /// Counts somebody whose access is about to be taken, or trips the brake if they are one too many. How it is then.
    pub async fn take_access(&self, taking: Taking) -> Result<Brake, Error> {
        self.write(move |connection| sqlite::take_access(connection, &taking)).await
    }

    /// Somebody has kept their access after all.
    pub async fn give_access_back(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.write(move |connection| sqlite::give_access_back(connection, &id)).await
    }

    /// Lets the brake go, and counts from nothing again; does neither where it has not tripped, unless that is asked for.
    /// Whether it had tripped. The note of it, a text for the service, is
    /// kept together with that or not at all.
    pub async fn release_brake(&self, note: String, also_untripped: bool) -> Result<bool, Error> {
        self.write(move |connection| sqlite::release_brake(connection, &note, also_untripped)).await
    }

    /// Notes that commands have left for the service, the oldest first, each with its number.
    pub async fn notes(&self) -> Result<Vec<(i64, String)>, Error> {
        self.run(|connection| sqlite::notes(connection)).await
    }

    /// The service has taken this note.
    pub async fn drop_note(&self, number: i64) -> Result<(), Error> {
        self.write(move |connection| sqlite::drop_note(connection, number)).await
    }

    /// What changes the store. Whether it did is what the store's health is made of.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let standing = Arc::clone(&self.standing);
        self.run(move |connection| {
            let before = connection.total_changes();
            let done = work(connection);
            match &done {
                // What changes no row needs no room.
                Ok(_) if connection.total_changes() == before => {}
                Ok(_) => standing.written(),
                Err(error) => standing.not_written(error),
            }
            done
        })
        .await
    }

    /// SQLite blocks, so it runs beside the workers of the runtime, one statement at a time.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let open = Arc::clone(&self.open);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut open.lock().unwrap_or_else(PoisonError::into_inner).connection)
        });
        // A panic's words may hold anything.
        let done = done.await.map_err(|_panic| Error("it made the bridge fail".to_owned())).flatten();
        if done.is_err() {
            self.counted.note_failure();
        }
        done
    }
}
