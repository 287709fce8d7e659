//! The store's tables in SQLite.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::store::groups;
use crate::store::{Brake, Braked, Error, Intent, Location, Person, Taking, Tombstone};

/// How long a statement waits for another process's.
const PATIENCE: Duration = Duration::from_secs(5);

const HELD: &str = "another process holds the file; stop it, or give this one its own `store.url`";

/// How the tables came to be what they are, step by step; a file carries the number of its last step. A step that has
/// been released is never changed.
const STEPS: &[&str] = &[PEOPLE, BRAKE_AND_ACCOUNT, groups::TABLES, NOTES, HELD_BACK];

const PEOPLE: &str = "
    CREATE TABLE people (
        id TEXT PRIMARY KEY,
        resource TEXT NOT NULL,
        state TEXT NOT NULL,
        created TEXT,
        last_modified TEXT NOT NULL
    ) STRICT;
    CREATE TABLE keys (
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
        PRIMARY KEY (kind, value, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX keys_by_id ON keys (id);
    CREATE TABLE tombstones (
        id TEXT PRIMARY KEY,
        user_name TEXT NOT NULL,
        external_id TEXT,
        day TEXT NOT NULL
    ) STRICT;
    CREATE INDEX tombstones_by_user_name ON tombstones (user_name);
    CREATE TABLE intents (
        email TEXT PRIMARY KEY,
        opened TEXT NOT NULL,
        seen_absent INTEGER NOT NULL
    ) STRICT;
";

const BRAKE_AND_ACCOUNT: &str = "
    CREATE TABLE access_taken (
        id TEXT PRIMARY KEY,
        at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE brake (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        since TEXT NOT NULL
    ) STRICT;
    CREATE TABLE accounts (id TEXT PRIMARY KEY) STRICT;
";

const NOTES: &str = "
    CREATE TABLE notes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        text TEXT NOT NULL
    ) STRICT;
";

const HELD_BACK: &str = "
    CREATE TABLE held_back (
        id TEXT PRIMARY KEY,
        at INTEGER NOT NULL
    ) STRICT;
";

/// An open store.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    #[expect(dead_code, reason = "held as long as the store is open, and let go after the connection")]
    lock: Option<File>,
    /// The files that the next start will open, as far as they are to outlive the process: the database and its log.
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn open(location: &Location) -> Result<Open, Error> {
    let (connection, lock) = match location {
        Location::Memory => (Connection::open_in_memory()?, None),
        Location::File(path) => open_file(path).map(|(connection, lock)| (connection, Some(lock)))?,
    };
    // The log beside the file is there once something has been written.
    let connection = prepare(connection)?;
    let files = match location {
        Location::Memory => Vec::new(),
        Location::File(path) => vec![path.clone(), beside(path, "-wal")],
    };
    Ok(Open { connection, lock, files })
}

/// The file that a service may be using at this moment.
pub(super) fn open_beside(location: &Location) -> Result<Open, Error> {
    let Location::File(path) = location else {
        return Err(Error(
            "it is in the service's memory (store.url), which no other process can see".to_owned(),
        ));
    };
    let told = |error: rusqlite::Error| held(path, &error);
    if !path.try_exists().map_err(|error| unopened(path, &error))? {
        return Err(Error(format!("{}: there is no such file", path.display())));
    }
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| unopened(path, &error))?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(told)?;
    connection.busy_timeout(PATIENCE)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(told)?;
    if usize::try_from(version) != Ok(STEPS.len()) {
        return Err(Error(format!(
            "{}: it was written by another version of the bridge (tables {version}, this one knows {}); start the \
             service with this version first",
            path.display(),
            STEPS.len()
        )));
    }
    Ok(Open { connection, lock: None, files: Vec::new() })
}

fn prepare(mut connection: Connection) -> Result<Connection, Error> {
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// What the file holds, in memory; nothing when there is no file. The file stays as it is.
pub(super) fn open_copy(location: &Location) -> Result<Open, Error> {
    let mut copy = Connection::open_in_memory()?;
    let mut lock = None;
    if let Location::File(path) = location
        && path.try_exists().map_err(|error| unopened(path, &error))?
    {
        let told = |error: rusqlite::Error| held(path, &error);
        lock = Some(lock_file(path, OpenOptions::new().read(true))?);
        let original = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(told)?;
        // After a crash the newest changes are still in the log beside the file: they are read there and left there.
        // Where there is none, the one that opening makes has to go again.
        let file = path.canonicalize().map_err(|error| Error(format!("{}: {error}", path.display())))?;
        let crashed = beside(&file, "-wal").exists();
        original.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, crashed).map_err(told)?;
        original.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(told)?;
        let backup = Backup::new(&original, &mut copy).map_err(told)?;
        // All pages in one step.
        if backup.step(-1).map_err(told)? != StepResult::Done {
            return Err(Error(format!("{}: {HELD}", path.display())));
        }
    }
    Ok(Open { connection: prepare(copy)?, lock, files: Vec::new() })
}

fn open_file(path: &Path) -> Result<(Connection, File), Error> {
    // SQLite would make the file readable by everyone: it holds personal data.
    let lock = lock_file(path, OpenOptions::new().create(true).append(true).mode(0o600))?;
    let held = |error: rusqlite::Error| held(path, &error);
    let connection = Connection::open(path).map_err(held)?;
    // A command of the operator may look into the file, or release the brake, at the same moment.
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(held)?;
    // An intent that a power cut could lose would be no intent.
    connection.pragma_update(None, "synchronous", "FULL").map_err(held)?;
    Ok((connection, lock))
}

/// One service per file: a second one would not see what the first keeps in memory. SQLite's own locks are of another
/// kind and not in the way. The file must stay open: closing it would end SQLite's locks as well.
fn lock_file(path: &Path, options: &OpenOptions) -> Result<File, Error> {
    let told = |error: &dyn std::fmt::Display| Error(format!("{}: {error}", path.display()));
    let file = options.open(path).map_err(|error| unopened(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(told(&HELD)),
        Err(TryLockError::Error(error)) => Err(told(&error)),
    }
}

/// SQLite's own files have the name of the database with something added.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn held(path: &Path, error: &rusqlite::Error) -> Error {
    let reason = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => HELD.to_owned(),
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            format!("{error}; restore a backup of it, or put it aside (in the runbook: the store fails)")
        }
        _ => error.to_string(),
    };
    Error(format!("{}: {reason}", path.display()))
}

/// Why the file could not be opened, and what to do about it.
fn unopened(path: &Path, error: &io::Error) -> Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let remedy = match (error.kind(), folder) {
        (ErrorKind::NotFound, Some(folder)) => format!(
            "the folder {} is missing: make it, for the user that the service runs as, or mend `store.url`",
            folder.display()
        ),
        (ErrorKind::PermissionDenied, _) => {
            "run the command as the user that the service runs as, with `sudo -u`; file and folder must be that user's".to_owned()
        }
        _ => return Error(format!("{}: {error}", path.display())),
    };
    Error(format!("{}: {error}; {remedy}", path.display()))
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let missing = usize::try_from(version).ok().and_then(|version| STEPS.get(version..));
    let missing = missing.ok_or_else(|| {
        Error(format!(
            "it was written by a newer version of the bridge (tables {version}, this one knows {})",
            STEPS.len()
        ))
    })?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(STEPS.len()).unwrap_or(i64::MAX))?;
    Ok(transaction.commit()?)
}

pub(super) fn ping(connection: &Connection) -> Result<(), Error> {
    Ok(connection.query_row("SELECT count(*) FROM intents", [], |row| row.get::<_, i64>(0)).map(drop)?)
}

/// Writes as much as a person with their groups may need, and takes it away again: after a write that failed for want of
/// room, a small one may still find some.
pub(super) fn try_to_write(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS room (bytes BLOB NOT NULL) STRICT; INSERT INTO room VALUES (zeroblob(65536));",
    )?;
    transaction.commit()?;
    Ok(connection.execute_batch("DROP TABLE room")?)
}

pub(super) fn person(connection: &Connection, id: &str) -> Result<Option<Person>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT resource, state, created, last_modified FROM people WHERE id = ?1")?;
    let row = statement.query_row([id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
    });
    let Some((resource, state, created, last_modified)) = row.optional()? else { return Ok(None) };
    Ok(Some(Person {
        id: id.to_owned(),
        keys: keys(connection, id)?,
        resource: serde_json::from_str(&resource)?,
        state: serde_json::from_str(&state)?,
        created,
        last_modified,
    }))
}

fn keys(connection: &Connection, id: &str) -> Result<Vec<(String, String)>, Error> {
    let mut statement = connection.prepare_cached("SELECT kind, value FROM keys WHERE id = ?1")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn everybody(connection: &Connection, kind: &str) -> Result<Vec<(String, Option<String>)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, (SELECT value FROM keys WHERE kind = ?1 AND keys.id = people.id) FROM people ORDER BY id",
    )?;
    let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn find(connection: &Connection, kind: &str, value: &str) -> Result<Vec<String>, Error> {
    texts(connection, "SELECT id FROM keys WHERE kind = ?1 AND value = ?2 ORDER BY id", &[kind, value])
}

pub(super) fn put(connection: &mut Connection, person: &Person, settles: Option<&str>) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM tombstones WHERE id = ?1", [&person.id])?;
    transaction.execute("DELETE FROM keys WHERE id = ?1", [&person.id])?;
    transaction.execute(
        "INSERT INTO people (id, resource, state, created, last_modified) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET resource = excluded.resource, state = excluded.state,
             created = excluded.created, last_modified = excluded.last_modified",
        params![
            person.id,
            serde_json::to_string(&person.resource)?,
            person.state.to_string(),
            person.created,
            person.last_modified
        ],
    )?;
    for (kind, value) in &person.keys {
        transaction.execute(
            "INSERT OR IGNORE INTO keys (kind, value, id) VALUES (?1, ?2, ?3)",
            [kind, value, &person.id],
        )?;
    }
    // What was claimed stands in the person's state now.
    groups::drop_claim(&transaction, &person.id)?;
    if let Some(email) = settles {
        transaction.execute("DELETE FROM intents WHERE email = ?1", [email])?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn remove(connection: &mut Connection, id: &str) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM people WHERE id = ?1", [id])?;
    transaction.execute("DELETE FROM tombstones WHERE id = ?1", [id])?;
    groups::forget_person(&transaction, id)?;
    Ok(transaction.commit()?)
}

pub(super) fn bury(connection: &mut Connection, tombstone: &Tombstone) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM people WHERE id = ?1", [&tombstone.id])?;
    transaction.execute(
        "INSERT OR REPLACE INTO tombstones (id, user_name, external_id, day) VALUES (?1, ?2, ?3, ?4)",
        params![tombstone.id, tombstone.user_name, tombstone.external_id, tombstone.day],
    )?;
    groups::forget_person(&transaction, &tombstone.id)?;
    Ok(transaction.commit()?)
}

pub(super) fn unbury(connection: &Connection, id: &str) -> Result<(), Error> {
    connection.execute("DELETE FROM tombstones WHERE id = ?1", [id])?;
    Ok(())
}

/// The newest tombstone whose `column` holds this value; the column is one of this file's own words.
pub(super) fn tombstone(
    connection: &Connection,
    column: &'static str,
    value: &str,
) -> Result<Option<Tombstone>, Error> {
    let query = format!(
        "SELECT id, user_name, external_id, day FROM tombstones WHERE {column} = ?1 ORDER BY day DESC LIMIT 1"
    );
    let read = |row: &Row<'_>| {
        Ok(Tombstone { id: row.get(0)?, user_name: row.get(1)?, external_id: row.get(2)?, day: row.get(3)? })
    };
    Ok(connection.prepare_cached(&query)?.query_row([value], read).optional()?)
}

pub(super) fn tombstones(connection: &Connection) -> Result<Vec<String>, Error> {
    texts(connection, "SELECT id FROM tombstones", &[])
}

pub(super) fn intent(connection: &Connection, email: &str) -> Result<Option<Intent>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT email, opened, seen_absent FROM intents WHERE email = ?1")?;
    let read =
        |row: &Row<'_>| Ok(Intent { email: row.get(0)?, opened: row.get(1)?, seen_absent: row.get(2)? });
    Ok(statement.query_row([email], read).optional()?)
}

pub(super) fn open_intent(connection: &Connection, intent: &Intent) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO intents (email, opened, seen_absent) VALUES (?1, ?2, ?3) ON CONFLICT (email) DO NOTHING",
        params![intent.email, intent.opened, intent.seen_absent],
    )?;
    Ok(())
}

pub(super) fn close_intent(connection: &Connection, email: &str) -> Result<(), Error> {
    connection.execute("DELETE FROM intents WHERE email = ?1", [email])?;
    Ok(())
}

/// The accounts that the store may belong to: one, or several that nothing has told apart yet.
pub(super) fn accounts(connection: &Connection) -> Result<Vec<String>, Error> {
    texts(connection, "SELECT id FROM accounts ORDER BY id", &[])
}

pub(super) fn put_accounts(connection: &mut Connection, ids: &[String]) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM accounts", [])?;
    for id in ids {
        transaction.execute("INSERT INTO accounts (id) VALUES (?1)", [id])?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn brake(connection: &Connection, after: i64) -> Result<Brake, Error> {
    let since = connection.query_row("SELECT since FROM brake", [], |row| row.get(0)).optional()?;
    let count = "SELECT count(*) FROM access_taken WHERE at > ?1";
    let taken = connection.prepare_cached(count)?.query_row([after], |row| row.get(0))?;
    Ok(Brake { since, taken, counted: false })
}

pub(super) fn take_access(connection: &mut Connection, taking: &Taking) -> Result<Brake, Error> {
    let Taking { id, at, after, now, most } = taking;
    // Another process may release the brake at this moment.
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let before = brake(&transaction, *after)?;
    if before.since.is_none() {
        // While it is tripped, those before it are what an operator wants to know, however long ago that is.
        transaction.execute("DELETE FROM access_taken WHERE at <= ?1", [after])?;
    }
    let known = "SELECT 1 FROM access_taken WHERE id = ?1";
    let known = transaction.prepare_cached(known)?.exists([id])?;
    if before.since.is_none() && !known && before.taken >= *most {
        transaction.execute("INSERT INTO brake (only, since) VALUES (1, ?1)", [now])?;
    }
    let brake = brake(&transaction, *after)?;
    let table = if brake.since.is_some() { "held_back" } else { "access_taken" };
    let noted = transaction
        .execute(&format!("INSERT OR IGNORE INTO {table} (id, at) VALUES (?1, ?2)"), params![id, at])?;
    let counted = brake.since.is_none() && noted > 0;
    let brake = Brake { taken: brake.taken + u32::from(counted), counted, ..brake };
    transaction.commit()?;
    Ok(brake)
}

/// Whom the brake is about: who has lost their access, and who was held back. Counted from then on, or, where it has tripped,
/// from an hour before it did.
pub(super) fn braked(connection: &Connection, after: i64) -> Result<Braked, Error> {
    let is_tripped = brake(connection, after)?.since.is_some();
    let after = if is_tripped { i64::MIN } else { after };
    let people = |table: &str| {
        let query = format!("SELECT id, at FROM {table} WHERE at > ?1 ORDER BY at, id");
        let mut statement = connection.prepare(&query)?;
        let rows = statement.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<Vec<_>, _>>()
    };
    Ok(Braked { lost_access: people("access_taken")?, held_back: people("held_back")? })
}

pub(super) fn give_access_back(connection: &Connection, id: &str) -> Result<(), Error> {
    connection.execute("DELETE FROM access_taken WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn release_brake(
    connection: &mut Connection,
    note: &str,
    also_untripped: bool,
) -> Result<bool, Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if !also_untripped && !transaction.prepare("SELECT 1 FROM brake")?.exists([])? {
        return Ok(false);
    }
    transaction.execute("INSERT INTO notes (text) VALUES (?1)", [note])?;
    let tripped = transaction.execute("DELETE FROM brake", [])? > 0;
    transaction.execute("DELETE FROM access_taken", [])?;
    transaction.execute("DELETE FROM held_back", [])?;
    transaction.commit()?;
    Ok(tripped)
}

pub(super) fn notes(connection: &Connection) -> Result<Vec<(i64, String)>, Error> {
    let mut statement = connection.prepare_cached("SELECT number, text FROM notes ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn drop_note(connection: &Connection, number: i64) -> Result<(), Error> {
    connection.execute("DELETE FROM notes WHERE number = ?1", [number])?;
    Ok(())
}

fn texts(connection: &Connection, query: &str, values: &[&str]) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jo() -> Person {
        Person {
            id: "auth0|1".to_owned(),
            keys: vec![("userName".to_owned(), "jo@example.com".to_owned())],
            resource: json!({"userName": "Jo@example.com"}).as_object().unwrap().clone(),
            state: json!({"granted": {}}),
            created: Some("2026-01-01T00:00:00Z".to_owned()),
            last_modified: "2026-01-02T00:00:00Z".to_owned(),
        }
    }

    fn intent_of(email: &str) -> Intent {
        Intent { email: email.to_owned(), opened: "2026-01-01T00:00:00Z".to_owned(), seen_absent: true }
    }

    #[test]
    fn a_person_comes_back_and_is_found_by_their_newest_keys() {
        let mut store = open(&Location::Memory).unwrap().connection;
        open_intent(&store, &intent_of("jo@example.com")).unwrap();
        put(&mut store, &jo(), Some("jo@example.com")).unwrap();
        assert_eq!(person(&store, "auth0|1").unwrap(), Some(jo()));
        assert_eq!(intent(&store, "jo@example.com").unwrap(), None);
        let renamed = Person { keys: vec![("userName".to_owned(), "lee@example.com".to_owned())], ..jo() };
        put(&mut store, &renamed, None).unwrap();
        assert!(find(&store, "userName", "jo@example.com").unwrap().is_empty());
        assert_eq!(find(&store, "userName", "lee@example.com").unwrap(), ["auth0|1"]);
    }

    #[test]
    fn a_tombstone_takes_the_place_of_the_person_and_ends_with_their_return() {
        let mut store = open(&Location::Memory).unwrap().connection;
        put(&mut store, &jo(), None).unwrap();
        let stone = Tombstone {
            id: jo().id,
            user_name: "jo@example.com".to_owned(),
            external_id: None,
            day: "2026-01-03".to_owned(),
        };
        bury(&mut store, &stone).unwrap();
        assert_eq!(person(&store, "auth0|1").unwrap(), None);
        assert!(find(&store, "userName", "jo@example.com").unwrap().is_empty(), "keys go with the person");
        assert_eq!(tombstone(&store, "user_name", "jo@example.com").unwrap(), Some(stone));
        put(&mut store, &jo(), None).unwrap();
        assert_eq!(tombstone(&store, "id", "auth0|1").unwrap(), None);
    }

    #[test]
    fn the_first_intent_stands_until_it_is_settled() {
        let store = open(&Location::Memory).unwrap().connection;
        open_intent(&store, &intent_of("a@b.c")).unwrap();
        open_intent(&store, &Intent { seen_absent: false, ..intent_of("a@b.c") }).unwrap();
        assert!(intent(&store, "a@b.c").unwrap().unwrap().seen_absent);
        close_intent(&store, "a@b.c").unwrap();
        assert_eq!(intent(&store, "a@b.c").unwrap(), None);
    }

    #[test]
    fn a_file_is_private_belongs_to_one_process_and_outlives_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("scim-bridge-store-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("store.db");
        let location = Location::File(path.clone());
        let mut first = open(&location).unwrap();
        put(&mut first.connection, &jo(), None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = open(&location).unwrap_err();
        assert!(second.to_string().contains("another process holds the file"), "{second}");
        let link = folder.join("link.db");
        std::fs::hard_link(&path, &link).unwrap();
        assert!(open(&Location::File(link)).is_err(), "by another name it is the same file");
        assert!(open_copy(&location).is_err());
        let beside = open_beside(&location).unwrap();
        assert_eq!(person(&beside.connection, "auth0|1").unwrap(), Some(jo()), "an operator may look");
        drop(beside);
        put(&mut first.connection, &Person { id: "auth0|2".to_owned(), keys: Vec::new(), ..jo() }, None)
            .unwrap();
        assert!(open(&location).is_err(), "who looked has not let go of the lock");
        drop(first);
        assert_eq!(person(&open(&location).unwrap().connection, "auth0|1").unwrap(), Some(jo()));
        open(&location).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
        assert!(open_beside(&location).unwrap_err().to_string().contains("another version"));
        assert!(open(&location).unwrap_err().to_string().contains("newer version"));
        std::fs::write(&path, "no database").unwrap();
        assert!(open(&location).unwrap_err().to_string().contains("restore a backup"));
        let elsewhere = Location::File(folder.join("missing/store.db"));
        assert!(open(&elsewhere).unwrap_err().to_string().contains("missing is missing: make it"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_store_of_the_first_version_is_brought_up_to_date() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(PEOPLE).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let mut store = prepare(connection).unwrap();
        put_accounts(&mut store, &["a".to_owned(), "b".to_owned()]).unwrap();
        put_accounts(&mut store, &["b".to_owned()]).unwrap();
        assert_eq!(accounts(&store).unwrap(), ["b"]);
    }

    fn take(store: &mut Connection, id: &str, at: i64) -> (Option<String>, u32) {
        let taking = Taking { id: id.to_owned(), at, after: at - 3600, now: at.to_string(), most: 2 };
        let Brake { since, taken, .. } = take_access(store, &taking).unwrap();
        (since, taken)
    }

    #[test]
    fn the_brake_trips_at_one_too_many_and_stays_until_it_is_released() {
        let mut store = open(&Location::Memory).unwrap().connection;
        let tripped = Some("3500".to_owned());
        for (id, at, expected, why) in [
            ("a", 0, (None, 1), ""),
            ("b", 1000, (None, 2), ""),
            ("b", 1010, (None, 2), "a repetition is no further person"),
            ("c", 3600, (None, 2), "the first was an hour ago"),
        ] {
            assert_eq!(take(&mut store, id, at), expected, "{why}");
        }
        assert_eq!(take(&mut store, "d", 3500), (tripped.clone(), 2));
        assert_eq!(take(&mut store, "b", 9000), (tripped.clone(), 0), "time alone does not release it");
        assert_eq!(brake(&store, 5400).unwrap().since, tripped);
        let people = |ids: &[(&str, i64)]| ids.iter().map(|(id, at)| ((*id).to_owned(), *at)).collect();
        let expected = Braked {
            lost_access: people(&[("b", 1000), ("c", 3600)]),
            held_back: people(&[("d", 3500), ("b", 9000)]),
        };
        assert_eq!(braked(&store, 20_000).unwrap(), expected, "however long ago it has tripped");
        assert!(release_brake(&mut store, "one", false).unwrap());
        assert_eq!(braked(&store, 0).unwrap(), Braked::default());
        assert!(!release_brake(&mut store, "none", false).unwrap());
        assert!(!release_brake(&mut store, "two", true).unwrap());
        assert_eq!(notes(&store).unwrap(), [(1, "one".to_owned()), (2, "two".to_owned())]);
        drop_note(&store, 1).unwrap();
        assert_eq!(notes(&store).unwrap(), [(2, "two".to_owned())]);
        assert_eq!(take(&mut store, "d", 9000), (None, 1));
    }

    #[test]
    fn only_who_was_not_counted_before_is_counted() {
        let mut store = open(&Location::Memory).unwrap().connection;
        let mut counted = |id: &str| {
            let taking = Taking { id: id.to_owned(), at: 5000, after: 1400, now: "5000".to_owned(), most: 1 };
            take_access(&mut store, &taking).unwrap().counted
        };
        assert_eq!([counted("a"), counted("a"), counted("b")], [true, false, false]);
    }

    #[test]
    fn the_address_of_the_store_is_read() {
        assert_eq!(Location::parse("memory:"), Ok(Location::Memory));
        assert_eq!(Location::parse("sqlite:/a/b.db"), Ok(Location::File("/a/b.db".into())));
        assert_eq!(Location::parse("sqlite:///a/b.db"), Ok(Location::File("/a/b.db".into())));
        assert_eq!(Location::parse("sqlite:b.db"), Ok(Location::File("b.db".into())));
        for bad in ["", "sqlite:", "sqlite:///", "postgres://x", "memory:x", "/a/b.db"] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
