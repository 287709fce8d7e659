//! Groups, who belongs to them, and the people for whom what their groups grant is still to be applied.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde_json::{Map, Value};

use crate::store::Error;

pub(super) const TABLES: &str = "
    CREATE TABLE scim_groups (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        external_id TEXT,
        resource TEXT NOT NULL,
        grants TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created TEXT NOT NULL,
        last_modified TEXT NOT NULL
    ) STRICT;
    CREATE INDEX scim_groups_by_external_id ON scim_groups (external_id);
    CREATE TABLE members (
        number INTEGER NOT NULL REFERENCES scim_groups (number) ON DELETE CASCADE,
        id TEXT NOT NULL,
        PRIMARY KEY (number, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX members_by_id ON members (id);
    CREATE TABLE grants_due (
        id TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        due INTEGER NOT NULL,
        error TEXT
    ) STRICT;
    CREATE INDEX grants_due_by_due ON grants_due (due);
    CREATE TABLE claims (
        id TEXT PRIMARY KEY,
        given TEXT NOT NULL
    ) STRICT;
";

/// A group, without its members.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its place in lists; a later group has a higher one.
    pub number: u32,
    pub id: String,
    /// What no two groups share: the name that they are compared by.
    pub name: String,
    pub external_id: Option<String>,
    /// The SCIM resource, without members.
    pub resource: Map<String, Value>,
    /// What membership granted when that was last looked at.
    pub grants: Value,
    /// Counts its changes.
    pub revision: u32,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339.
    pub last_modified: String,
}

/// One change of a group's members; several are made in their order.
#[derive(Clone, Debug)]
pub enum Change {
    Add(Vec<String>),
    Remove(Vec<String>),
    /// These and nobody else.
    Replace(Vec<String>),
}

/// What is to become of a group, all of it or nothing.
#[derive(Clone, Debug)]
pub struct Edit {
    /// As it is to be; `number` and `revision` are the store's.
    pub group: Group,
    pub members: Vec<Change>,
    /// So many may belong to it once it has grown. What makes it no larger is always done.
    pub most_members: u32,
    /// Seconds since 1970: since when what follows for people is waiting.
    pub now: i64,
}

/// What has become of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Edited {
    pub group: Group,
    pub joined: BTreeSet<String>,
    pub left: BTreeSet<String>,
}

/// Why nothing has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another group has the name.
    NameTaken,
    TooManyMembers,
}

/// Somebody for whom what their groups grant is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: String,
    /// Counts what has come to be applied since.
    pub revision: u32,
    /// How often it has failed.
    pub tries: u32,
}

/// How many are waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub waiting: u32,
    /// Of these, how many have failed at least once.
    pub failing: u32,
    /// Since when the one waits who has waited longest, in seconds since 1970.
    pub oldest: Option<i64>,
    /// Why the last one that failed did.
    pub error: Option<String>,
}

const COLUMNS: &str = "number, id, name, external_id, resource, grants, revision, created, last_modified";

fn read(row: &Row<'_>) -> rusqlite::Result<(Group, String, String)> {
    let group = Group {
        number: row.get(0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        external_id: row.get(3)?,
        resource: Map::new(),
        grants: Value::Null,
        revision: row.get(6)?,
        created: row.get(7)?,
        last_modified: row.get(8)?,
    };
    Ok((group, row.get(4)?, row.get(5)?))
}

fn whole((group, resource, grants): (Group, String, String)) -> Result<Group, Error> {
    Ok(Group { resource: serde_json::from_str(&resource)?, grants: serde_json::from_str(&grants)?, ..group })
}

/// The group whose `column` holds this value; the column is one of this file's own words.
fn one(connection: &Connection, column: &'static str, value: &str) -> Result<Option<Group>, Error> {
    let query = format!("SELECT {COLUMNS} FROM scim_groups WHERE {column} = ?1");
    connection.prepare_cached(&query)?.query_row([value], read).optional()?.map(whole).transpose()
}

pub(super) fn group(connection: &Connection, id: &str) -> Result<Option<Group>, Error> {
    one(connection, "id", id)
}

pub(super) fn group_named(connection: &Connection, name: &str) -> Result<Option<Group>, Error> {
    one(connection, "name", name)
}

/// All of them, in the order in which they were made.
pub(super) fn groups(connection: &Connection) -> Result<Vec<Group>, Error> {
    many(connection, &format!("SELECT {COLUMNS} FROM scim_groups ORDER BY number"), [])
}

/// Those with this `externalId`.
pub(super) fn groups_with(connection: &Connection, external_id: &str) -> Result<Vec<Group>, Error> {
    let query = format!("SELECT {COLUMNS} FROM scim_groups WHERE external_id = ?1 ORDER BY number");
    many(connection, &query, [external_id])
}

/// Those to which each of these people belongs, each group read once.
pub(super) fn groups_of(connection: &Connection, ids: &[String]) -> Result<Vec<Vec<Arc<Group>>>, Error> {
    let mut memberships =
        connection.prepare_cached("SELECT number FROM members WHERE id = ?1 ORDER BY number")?;
    let query = format!("SELECT {COLUMNS} FROM scim_groups WHERE number = ?1");
    let mut known: HashMap<u32, Arc<Group>> = HashMap::new();
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let numbers: Vec<u32> = memberships.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for number in &numbers {
            if !known.contains_key(number) {
                let group = many(connection, &query, [number])?.pop();
                known.extend(group.map(|group| (*number, Arc::new(group))));
            }
        }
        all.push(numbers.iter().filter_map(|number| known.get(number).cloned()).collect());
    }
    Ok(all)
}

fn many(connection: &Connection, query: &str, values: impl rusqlite::Params) -> Result<Vec<Group>, Error> {
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map(values, read)?.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(whole).collect()
}

/// Who belongs to the group, by id.
pub(super) fn members(connection: &Connection, number: u32) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT id FROM members WHERE number = ?1 ORDER BY id")?;
    Ok(statement.query_map([number], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

pub(super) fn is_member(connection: &Connection, number: u32, id: &str) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM members WHERE number = ?1 AND id = ?2")?;
    Ok(statement.exists(params![number, id])?)
}

/// Those of these ids that are no people of the store, in order.
pub(super) fn strangers(connection: &Connection, ids: &[String]) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM people WHERE id = ?1")?;
    let mut strangers = Vec::new();
    for id in ids {
        if !statement.exists([id])? {
            strangers.push(id.clone());
        }
    }
    Ok(strangers)
}

/// Makes the group, or changes it.
pub(super) fn edit(connection: &mut Connection, edit: &Edit) -> Result<Result<Edited, Refusal>, Error> {
    let transaction = connection.transaction()?;
    let Edit { group, members, most_members, now } = edit;
    if group_named(&transaction, &group.name)?.is_some_and(|other| other.id != group.id) {
        return Ok(Err(Refusal::NameTaken));
    }
    let before = one(&transaction, "id", &group.id)?;
    let number = put(&transaction, group, before.as_ref())?;
    let (joined, left) = change_members(&transaction, number, members)?;
    // A group that is over the bound already has to get under it: an edit that was refused whole would leave the roles with
    // those who are to leave.
    if joined.len() > left.len() && count_members(&transaction, number)? > *most_members {
        return Ok(Err(Refusal::TooManyMembers));
    }
    let regranted = before.as_ref().is_some_and(|before| before.grants != group.grants);
    if regranted {
        // Whoever has just left is among the changed.
        enqueue_all(&transaction, number, *now)?;
    }
    if regranted || grants_something(&group.grants) {
        for id in joined.union(&left) {
            enqueue(&transaction, id, *now)?;
        }
    }
    // What it grants is not what it shows.
    if before.as_ref().is_some_and(|before| before.resource != group.resource)
        || !(joined.is_empty() && left.is_empty())
    {
        transaction.execute(
            "UPDATE scim_groups SET revision = revision + 1, last_modified = ?2 WHERE number = ?1",
            params![number, group.last_modified],
        )?;
    }
    let after = one(&transaction, "id", &group.id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    transaction.commit()?;
    Ok(Ok(Edited { group: after, joined, left }))
}

pub(super) fn count_members(connection: &Connection, number: u32) -> Result<u32, Error> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM members WHERE number = ?1")?;
    Ok(statement.query_row([number], |row| row.get(0))?)
}

fn grants_something(grants: &Value) -> bool {
    let lists = grants.as_object().into_iter().flat_map(Map::values);
    lists.filter_map(Value::as_array).any(|list| !list.is_empty())
}

fn put(transaction: &Transaction<'_>, group: &Group, before: Option<&Group>) -> Result<u32, Error> {
    let (resource, grants) = (serde_json::to_string(&group.resource)?, group.grants.to_string());
    if let Some(before) = before {
        transaction.execute(
            "UPDATE scim_groups SET name = ?2, external_id = ?3, resource = ?4, grants = ?5 WHERE number = ?1",
            params![before.number, group.name, group.external_id, resource, grants],
        )?;
        return Ok(before.number);
    }
    transaction.execute(
        "INSERT INTO scim_groups (id, name, external_id, resource, grants, revision, created, last_modified)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
        params![
            group.id,
            group.name,
            group.external_id,
            resource,
            grants,
            group.created,
            group.last_modified
        ],
    )?;
    u32::try_from(transaction.last_insert_rowid()).map_err(|_too_many| Error("too many groups".to_owned()))
}

/// Makes the changes and says who has joined and who has left; cost grows with the change. Who is deleted at this very
/// moment joins nothing: they would belong to it again on their return.
fn change_members(
    transaction: &Transaction<'_>,
    number: u32,
    changes: &[Change],
) -> Result<(BTreeSet<String>, BTreeSet<String>), Error> {
    let mut add = transaction.prepare_cached(
        "INSERT OR IGNORE INTO members (number, id)
         SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE id = ?2)",
    )?;
    let mut remove = transaction.prepare_cached("DELETE FROM members WHERE number = ?1 AND id = ?2")?;
    let (mut joined, mut left) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let (wanted, gone) = match change {
            Change::Add(ids) => (ids.clone(), Vec::new()),
            Change::Remove(ids) => (Vec::new(), ids.clone()),
            Change::Replace(ids) => {
                let kept: HashSet<&String> = ids.iter().collect();
                let gone = members(transaction, number)?.into_iter().filter(|id| !kept.contains(id));
                (ids.clone(), gone.collect())
            }
        };
        for id in gone {
            // Whoever joins and leaves in one request is where they were.
            if remove.execute(params![number, id])? > 0 && !joined.remove(&id) {
                left.insert(id);
            }
        }
        for id in wanted {
            if add.execute(params![number, id])? > 0 && !left.remove(&id) {
                joined.insert(id);
            }
        }
    }
    Ok((joined, left))
}

/// Takes the group away; false when there was none.
pub(super) fn delete(connection: &mut Connection, id: &str, now: i64) -> Result<bool, Error> {
    let transaction = connection.transaction()?;
    let Some(group) = one(&transaction, "id", id)? else { return Ok(false) };
    if grants_something(&group.grants) {
        enqueue_all(&transaction, group.number, now)?;
    }
    transaction.execute("DELETE FROM scim_groups WHERE number = ?1", [group.number])?;
    transaction.commit()?;
    Ok(true)
}

/// Somebody is gone, and with them what they belonged to.
pub(super) fn forget_person(transaction: &Transaction<'_>, id: &str) -> Result<(), Error> {
    transaction.execute(
        "UPDATE scim_groups SET revision = revision + 1, last_modified = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
         WHERE number IN (SELECT number FROM members WHERE id = ?1)",
        [id],
    )?;
    transaction.execute("DELETE FROM members WHERE id = ?1", [id])?;
    transaction.execute("DELETE FROM grants_due WHERE id = ?1", [id])?;
    transaction.execute("DELETE FROM claims WHERE id = ?1", [id])?;
    Ok(())
}

/// What is about to be given to somebody, noted before it is: an answer that gets lost must not make it look as if
/// somebody had given it by hand.
pub(super) fn claim(connection: &Connection, id: &str, given: &Value) -> Result<(), Error> {
    connection.execute(
        "INSERT OR REPLACE INTO claims (id, given) VALUES (?1, ?2)",
        params![id, given.to_string()],
    )?;
    Ok(())
}

pub(super) fn claim_of(connection: &Connection, id: &str) -> Result<Option<Value>, Error> {
    let mut statement = connection.prepare_cached("SELECT given FROM claims WHERE id = ?1")?;
    let given: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
    Ok(given.map(|given| serde_json::from_str(&given)).transpose()?)
}

pub(super) fn drop_claim(connection: &Connection, id: &str) -> Result<(), Error> {
    connection.execute("DELETE FROM claims WHERE id = ?1", [id])?;
    Ok(())
}

const ENQUEUE: &str = "ON CONFLICT (id) DO UPDATE SET
    revision = grants_due.revision + 1, tries = 0, due = excluded.due, error = NULL";

pub(super) fn enqueue(connection: &Connection, id: &str, now: i64) -> Result<(), Error> {
    let query = format!(
        "INSERT INTO grants_due (id, since, revision, tries, due) VALUES (?1, ?2, 0, 0, ?2) {ENQUEUE}"
    );
    connection.prepare_cached(&query)?.execute(params![id, now])?;
    Ok(())
}

pub(super) fn remind(connection: &Connection, id: &str, now: i64) -> Result<(), Error> {
    let query =
        "INSERT OR IGNORE INTO grants_due (id, since, revision, tries, due) VALUES (?1, ?2, 0, 0, ?2)";
    connection.prepare_cached(query)?.execute(params![id, now])?;
    Ok(())
}

fn enqueue_all(transaction: &Transaction<'_>, number: u32, now: i64) -> Result<(), Error> {
    let query = format!(
        "INSERT INTO grants_due (id, since, revision, tries, due)
         SELECT id, ?2, 0, 0, ?2 FROM members WHERE number = ?1 {ENQUEUE}"
    );
    transaction.execute(&query, params![number, now])?;
    Ok(())
}

/// Who is next: of those whose time has come, the one who has waited longest.
pub(super) fn next_due(connection: &Connection, now: i64) -> Result<Option<Due>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, revision, tries FROM grants_due WHERE due <= ?1 ORDER BY due, since, id LIMIT 1",
    )?;
    let read = |row: &Row<'_>| Ok(Due { id: row.get(0)?, revision: row.get(1)?, tries: row.get(2)? });
    Ok(statement.query_row([now], read).optional()?)
}

/// It has been applied, unless something has come meanwhile.
pub(super) fn settle(connection: &Connection, due: &Due) -> Result<(), Error> {
    connection
        .execute("DELETE FROM grants_due WHERE id = ?1 AND revision = ?2", params![due.id, due.revision])?;
    Ok(())
}

/// It has failed, and is tried again then.
pub(super) fn postpone(
    connection: &Connection,
    due: &Due,
    until: i64,
    error: Option<&str>,
) -> Result<(), Error> {
    let failed = u32::from(error.is_some());
    connection.execute(
        "UPDATE grants_due SET due = ?3, tries = tries + ?4, error = coalesce(?5, error)
         WHERE id = ?1 AND revision = ?2",
        params![due.id, due.revision, until, failed, error],
    )?;
    Ok(())
}

pub(super) fn backlog(connection: &Connection) -> Result<Backlog, Error> {
    let counted = "SELECT count(*), count(nullif(tries, 0)), min(since) FROM grants_due";
    let (waiting, failing, oldest) =
        connection.query_row(counted, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let last = "SELECT error FROM grants_due WHERE error IS NOT NULL ORDER BY due DESC LIMIT 1";
    let error = connection.query_row(last, [], |row| row.get(0)).optional()?;
    Ok(Backlog { waiting, failing, oldest, error })
}

/// The ids of those who wait.
pub(super) fn waiting(connection: &Connection) -> Result<Vec<(String, Option<String>)>, Error> {
    let mut statement = connection.prepare_cached("SELECT id, error FROM grants_due ORDER BY since, id")?;
    Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Location;
    use crate::store::sqlite::open;

    fn group_of(id: &str, name: &str, grants: Value) -> Group {
        Group {
            number: 0,
            id: id.to_owned(),
            name: name.to_owned(),
            external_id: Some(format!("external-{id}")),
            resource: json!({ "displayName": name }).as_object().unwrap().clone(),
            grants,
            revision: 0,
            created: "2026-01-01T00:00:00Z".to_owned(),
            last_modified: "2026-01-02T00:00:00Z".to_owned(),
        }
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    fn store() -> Connection {
        open(&Location::Memory).unwrap().connection
    }

    fn put(store: &mut Connection, group: &Group, members: Vec<Change>, now: i64) -> Group {
        edit(store, &Edit { group: group.clone(), members, most_members: 4, now }).unwrap().unwrap().group
    }

    fn waiting_ids(store: &Connection) -> Vec<String> {
        waiting(store).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn members_change_in_order_and_only_what_grants_makes_work() {
        let mut store = store();
        let plain = put(&mut store, &group_of("g", "plain", json!({})), vec![], 1);
        let changes = vec![
            Change::Add(ids(&["a", "b", "c"])),
            Change::Remove(ids(&["b", "nobody"])),
            Change::Add(ids(&["a", "d"])),
        ];
        let after = put(&mut store, &plain, changes, 2);
        assert_eq!(members(&store, after.number).unwrap(), ["a", "c", "d"]);
        assert_eq!((after.revision, waiting_ids(&store)), (1, vec![]), "it grants nothing");
        let same = put(&mut store, &plain, vec![Change::Add(ids(&["a"]))], 3);
        assert_eq!(same.revision, 1, "nothing has changed");
        let granting = group_of("g", "plain", json!({"roles": ["manager"]}));
        put(&mut store, &granting, vec![Change::Replace(ids(&["a", "e"]))], 4);
        assert_eq!(members(&store, after.number).unwrap(), ["a", "e"]);
        assert_eq!(waiting_ids(&store), ["a", "c", "d", "e"], "who stays gets it, who has left loses it");
        assert!(
            is_member(&store, after.number, "e").unwrap() && !is_member(&store, after.number, "c").unwrap()
        );
    }

    #[test]
    fn a_group_grows_to_a_bound_and_always_shrinks() {
        let mut store = store();
        let group = group_of("g", "one", json!({"roles": ["manager"]}));
        let before = put(&mut store, &group, vec![Change::Add(ids(&["a", "b", "c"]))], 1);
        let mut edit_within = |most_members, members| {
            edit(&mut store, &Edit { group: group.clone(), members, most_members, now: 2 }).unwrap()
        };
        for members in [vec![Change::Add(ids(&["d"]))], vec![Change::Replace(ids(&["d", "e", "f", "g"]))]] {
            assert_eq!(edit_within(3, members), Err(Refusal::TooManyMembers));
        }
        // Who changes places needs no more room, and who is there already has some.
        edit_within(3, vec![Change::Remove(ids(&["a"])), Change::Add(ids(&["d"]))]).unwrap();
        edit_within(1, vec![Change::Add(ids(&["b"]))]).unwrap();
        // Smaller by one, though still too large: who is to leave does leave.
        edit_within(1, vec![Change::Remove(ids(&["c", "d"])), Change::Add(ids(&["e"]))]).unwrap();
        edit_within(1, vec![Change::Remove(ids(&["b"]))]).unwrap();
        assert_eq!(members(&store, before.number).unwrap(), ["e"]);
        assert_eq!(waiting_ids(&store), ["a", "b", "c", "d", "e"], "nothing follows from what was refused");
    }

    #[test]
    fn a_name_has_one_holder() {
        let mut store = store();
        put(&mut store, &group_of("g", "one", json!({})), vec![], 1);
        let group = group_of("h", "one", json!({}));
        let other = Edit { group, members: vec![], most_members: 4, now: 1 };
        assert_eq!(edit(&mut store, &other).unwrap(), Err(Refusal::NameTaken));
        // Whoever joins and leaves in one request has done neither.
        let group = group_of("g", "one", json!({}));
        let members = vec![
            Change::Add(ids(&["a", "b"])),
            Change::Remove(ids(&["b"])),
            Change::Replace(ids(&["a", "c"])),
        ];
        let Edited { joined, left, .. } =
            edit(&mut store, &Edit { group, members, most_members: 4, now: 1 }).unwrap().unwrap();
        assert_eq!((joined, left), (["a", "c"].map(str::to_owned).into(), BTreeSet::new()));
        assert_eq!(group_named(&store, "one").unwrap().unwrap().id, "g");
        assert_eq!(groups_with(&store, "external-g").unwrap().len(), 1);
    }

    #[test]
    fn the_end_of_a_group_or_a_person_ends_memberships() {
        let mut store = store();
        for (id, name) in [("g", "one"), ("h", "two")] {
            let group = group_of(id, name, json!({"roles": ["manager"]}));
            put(&mut store, &group, vec![Change::Add(ids(&["a", "b"]))], 1);
        }
        assert_eq!(groups_of(&store, &ids(&["a"])).unwrap()[0].len(), 2);
        let transaction = store.transaction().unwrap();
        forget_person(&transaction, "b").unwrap();
        transaction.commit().unwrap();
        assert_eq!(
            (groups_of(&store, &ids(&["b"])).unwrap()[0].len(), waiting_ids(&store)),
            (0, ids(&["a"]))
        );
        settle(&store, &next_due(&store, 1).unwrap().unwrap()).unwrap();
        assert!(delete(&mut store, "g", 5).unwrap() && !delete(&mut store, "g", 5).unwrap());
        assert_eq!(groups_of(&store, &ids(&["a"])).unwrap()[0].len(), 1);
        assert_eq!(waiting_ids(&store), ["a"], "what the group granted is to be looked at");
    }

    #[test]
    fn work_is_merged_per_person_and_what_comes_meanwhile_is_not_lost() {
        let store = store();
        for now in [1, 2, 3] {
            enqueue(&store, "a", now).unwrap();
        }
        enqueue(&store, "b", 2).unwrap();
        let due = next_due(&store, 10).unwrap().unwrap();
        assert_eq!(due, Due { id: "b".to_owned(), revision: 0, tries: 0 });
        postpone(&store, &due, 100, Some("no seat")).unwrap();
        let due = next_due(&store, 10).unwrap().unwrap();
        assert_eq!(due, Due { id: "a".to_owned(), revision: 2, tries: 0 });
        enqueue(&store, "a", 4).unwrap();
        settle(&store, &due).unwrap();
        assert_eq!(next_due(&store, 10).unwrap().unwrap().revision, 3, "something has come meanwhile");
        let told = backlog(&store).unwrap();
        assert_eq!((told.waiting, told.failing, told.oldest), (2, 1, Some(1)));
        assert_eq!(told.error.as_deref(), Some("no seat"));
        assert_eq!(next_due(&store, 100).unwrap().map(|due| due.id).as_deref(), Some("a"));
    }
}
