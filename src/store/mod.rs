//! What Ziflow cannot hold: each person's resource as Entra last wrote it, what the bridge granted, the people
//! deleted through the bridge, the creates whose outcome is not settled yet, the brake on mass disabling, and the account
//! that all this belongs to.
//!
//! The store keeps texts and JSON and knows neither SCIM nor Ziflow. It is one SQLite file, or memory.

mod sqlite;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use serde_json::{Map, Value};

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
            _ => Err(format!("store.url `{url}` must be `sqlite:/path/to/store.db` or `memory:`")),
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
        Self { open: Arc::new(Mutex::new(open)) }
    }

    /// Whether the store still answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.run(|connection| sqlite::ping(connection)).await
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
        self.run(move |connection| sqlite::put(connection, &person, settles.as_deref())).await
    }

    /// Forgets a person and any tombstone of theirs.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.run(move |connection| sqlite::remove(connection, &id)).await
    }

    /// Replaces a person by a tombstone.
    pub async fn bury(&self, tombstone: Tombstone) -> Result<(), Error> {
        self.run(move |connection| sqlite::bury(connection, &tombstone)).await
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
        self.run(move |connection| sqlite::open_intent(connection, &intent)).await
    }

    /// Notes that a create has not happened and will not.
    pub async fn close_intent(&self, email: &str) -> Result<(), Error> {
        let email = email.to_owned();
        self.run(move |connection| sqlite::close_intent(connection, &email)).await
    }

    /// The ids of the accounts that the store may belong to; none until it has been told.
    pub async fn accounts(&self) -> Result<Vec<String>, Error> {
        self.run(|connection| sqlite::accounts(connection)).await
    }

    pub async fn put_accounts(&self, ids: Vec<String>) -> Result<(), Error> {
        self.run(move |connection| sqlite::put_accounts(connection, &ids)).await
    }

    /// How the brake is, counting from this moment (seconds since 1970).
    pub async fn brake(&self, after: i64) -> Result<Brake, Error> {
        self.run(move |connection| sqlite::brake(connection, after)).await
    }

    /// Counts somebody whose access is about to be taken, or trips the brake if they are one too many. How it is then.
    pub async fn take_access(&self, taking: Taking) -> Result<Brake, Error> {
        self.run(move |connection| sqlite::take_access(connection, &taking)).await
    }

    /// Lets the brake go, and counts from nothing again. Whether it had tripped.
    pub async fn release_brake(&self) -> Result<bool, Error> {
        self.run(sqlite::release_brake).await
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
        done.await.map_err(|error| Error(error.to_string()))?
    }
}
