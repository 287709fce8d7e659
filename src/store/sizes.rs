//! How much the store holds, and how often it has failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::groups::{self, Backlog};
use crate::store::{Error, Store};

/// Counting reads an index of everybody, so it is done at most this often, whoever asks.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// A backlog that is longer than this is counted at most so often: each time costs a walk through it.
const LONG_BACKLOG: u32 = 1000;
const COUNT_BACKLOG_EVERY: Duration = Duration::from_secs(10);

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub people: u32,
    pub groups: u32,
    pub tombstones: u32,
    pub intents: u32,
    /// The file and its journal; nothing for a store in memory.
    pub file_bytes: u64,
}

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Counted {
    last: Mutex<Option<(Instant, Sizes)>>,
    backlog: Mutex<Option<(Instant, Backlog)>>,
    failures: AtomicU64,
}

impl Counted {
    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store {
    /// How much it holds, as of a minute ago at the most.
    pub async fn sizes(&self) -> Result<Sizes, Error> {
        let last = *lock(&self.counted.last);
        if let Some((counted, sizes)) = last
            && counted.elapsed() < COUNT_EVERY
        {
            return Ok(sizes);
        }
        let sizes = self.run(|connection| count(connection)).await?;
        *lock(&self.counted.last) = Some((Instant::now(), sizes));
        Ok(sizes)
    }

    /// How much there is to apply; of a long backlog, as of a few seconds ago.
    pub async fn grants_backlog(&self) -> Result<Backlog, Error> {
        let last = lock(&self.counted.backlog).clone();
        if let Some((counted, backlog)) = last
            && backlog.waiting > LONG_BACKLOG
            && counted.elapsed() < COUNT_BACKLOG_EVERY
        {
            return Ok(backlog);
        }
        let backlog = self.run(|connection| groups::backlog(connection)).await?;
        *lock(&self.counted.backlog) = Some((Instant::now(), backlog.clone()));
        Ok(backlog)
    }

    /// How often it could not do what was asked of it.
    pub fn failures(&self) -> u64 {
        self.counted.failures.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(connection: &Connection) -> Result<Sizes, Error> {
    let query = "SELECT (SELECT count(*) FROM people), (SELECT count(*) FROM scim_groups),
                        (SELECT count(*) FROM tombstones), (SELECT count(*) FROM intents)";
    let file_bytes = connection.path().filter(|path| !path.is_empty()).map_or(0, file_bytes);
    Ok(connection.prepare_cached(query)?.query_row([], |row| {
        Ok(Sizes {
            people: row.get(0)?,
            groups: row.get(1)?,
            tombstones: row.get(2)?,
            intents: row.get(3)?,
            file_bytes,
        })
    })?)
}

fn file_bytes(path: &str) -> u64 {
    let length = |path: String| std::fs::metadata(path).map_or(0, |file| file.len());
    length(path.to_owned()) + length(format!("{path}-wal"))
}
