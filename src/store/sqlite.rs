//! The store's tables in SQLite.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::store::{Error, Intent, Location, Person, Tombstone};

/// Raised with every change of the tables; `migrate` leads from each one to the next.
const VERSION: i64 = 1;

const HELD: &str = "another process holds the file; stop it, or give this one its own `store.url`";

const TABLES: &str = "
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

pub(super) fn open(location: &Location) -> Result<Connection, Error> {
    let connection = match location {
        Location::Memory => Connection::open_in_memory()?,
        Location::File(path) => open_file(path)?,
    };
    prepare(connection)
}

fn prepare(mut connection: Connection) -> Result<Connection, Error> {
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// What the file holds, in memory; nothing when there is no file. The file stays as it is.
pub(super) fn open_copy(location: &Location) -> Result<Connection, Error> {
    let mut copy = Connection::open_in_memory()?;
    if let Location::File(path) = location
        && path.try_exists().map_err(|error| Error(format!("{}: {error}", path.display())))?
    {
        let told = |error: rusqlite::Error| held(path, &error);
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
    prepare(copy)
}

fn open_file(path: &Path) -> Result<Connection, Error> {
    let told = |error: &dyn std::fmt::Display| Error(format!("{}: {error}", path.display()));
    // SQLite would make the file readable by everyone: it holds personal data.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| told(&error))?;
    let connection = Connection::open(path).map_err(|error| told(&error))?;
    // One process per file: a second one would not see what the first keeps in memory. Under WAL the lock
    // is taken by the first read.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(|error| told(&error))?;
    let held = |error: rusqlite::Error| held(path, &error);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(held)?;
    // An intent that a power cut could lose would be no intent.
    connection.pragma_update(None, "synchronous", "FULL").map_err(held)?;
    Ok(connection)
}

/// SQLite's own files have the name of the database with something added.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn held(path: &Path, error: &rusqlite::Error) -> Error {
    let busy = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    Error(format!("{}: {}", path.display(), if busy { HELD.to_owned() } else { error.to_string() }))
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        newer => {
            return Err(Error(format!(
                "it was written by a newer version of the bridge (tables {newer}, this one knows {VERSION})"
            )));
        }
    }
    Ok(transaction.commit()?)
}

pub(super) fn ping(connection: &Connection) -> Result<(), Error> {
    Ok(connection.query_row("SELECT count(*) FROM intents", [], |row| row.get::<_, i64>(0)).map(drop)?)
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
    if let Some(email) = settles {
        transaction.execute("DELETE FROM intents WHERE email = ?1", [email])?;
    }
    Ok(transaction.commit()?)
}

pub(super) fn remove(connection: &mut Connection, id: &str) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM people WHERE id = ?1", [id])?;
    transaction.execute("DELETE FROM tombstones WHERE id = ?1", [id])?;
    Ok(transaction.commit()?)
}

pub(super) fn bury(connection: &mut Connection, tombstone: &Tombstone) -> Result<(), Error> {
    let transaction = connection.transaction()?;
    transaction.execute("DELETE FROM people WHERE id = ?1", [&tombstone.id])?;
    transaction.execute(
        "INSERT OR REPLACE INTO tombstones (id, user_name, external_id, day) VALUES (?1, ?2, ?3, ?4)",
        params![tombstone.id, tombstone.user_name, tombstone.external_id, tombstone.day],
    )?;
    Ok(transaction.commit()?)
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
        let mut store = open(&Location::Memory).unwrap();
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
        let mut store = open(&Location::Memory).unwrap();
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
        let store = open(&Location::Memory).unwrap();
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
        put(&mut first, &jo(), None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = open(&location).unwrap_err();
        assert!(second.to_string().contains("another process holds the file"), "{second}");
        drop(first);
        assert_eq!(person(&open(&location).unwrap(), "auth0|1").unwrap(), Some(jo()));
        open(&location).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(open(&location).unwrap_err().to_string().contains("newer version"));
        std::fs::remove_dir_all(folder).unwrap();
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
