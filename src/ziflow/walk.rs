//! The walk over all pages of `/users`: patient with trouble that passes, and on its guard against people who come
//! and go meanwhile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::ziflow::answer::Page;
use crate::ziflow::cache::Cache;
use crate::ziflow::client::Client;
use crate::ziflow::error::Error;
use crate::ziflow::model::User;
use crate::ziflow::snapshot::Packed;
use crate::ziflow::transport::Call;

/// So many walks at the most look for a quiet moment.
const MOST_WALKS: usize = 3;

/// As long as no more pages have been read, further walks cost little, and there is one for each of the lengths.
const FEW_PAGES: usize = 100;

/// How long the pages of each walk are, in percent. Pages of other lengths have other seams: whom one walk misses
/// there, the next one meets.
const LENGTHS: [usize; 8] = [100, 83, 71, 61, 53, 47, 43, 37];

/// A walk ends here whatever `has_more` says: a million people at a hundred a page.
const MOST_PAGES: usize = 10_000;

/// So many pages in a row with nobody new are the end, whatever `has_more` says.
const MOST_STALE_PAGES: u32 = 3;

/// Trouble on one page is borne for so long, however hurried the request is that began the walk: what has been read
/// before would be lost with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries, if Ziflow names no time.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a walk has come, for those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    people: AtomicUsize,
    /// Counts those whom the bridge itself has taken out of the list meanwhile.
    moved: AtomicU64,
    trouble: Mutex<Option<Error>>,
}

impl Progress {
    /// How many people have been read.
    pub(super) fn people(&self) -> usize {
        self.people.load(Ordering::Relaxed)
    }

    /// What keeps the walk from going on, if anything does.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Somebody has been taken out of Ziflow's list: all behind them have moved up, one over the edge of a page.
    pub(super) fn note_move(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    fn note_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Everybody whom a walk has met, by id, with the number of the walk that met them last.
type Met = BTreeMap<Box<str>, (Packed, usize)>;

/// A walk, or several until one has seen nothing move.
pub(super) struct Walk<'a> {
    client: &'a Client,
    progress: &'a Progress,
    /// What is kept of single people: a page may be the newer word about them.
    cache: &'a Mutex<Cache>,
    met: Met,
    number: usize,
    pages: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(client: &'a Client, progress: &'a Progress, cache: &'a Mutex<Cache>) -> Self {
        Self { client, progress, cache, met: Met::new(), number: 0, pages: 0 }
    }

    /// Walks until a walk has seen nothing move: pages shift while people come and go, and a shift hides those on
    /// the seam. What was seen in any of the walks counts.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        while self.may_go_on() && !self.once().await? {}
        Ok(())
    }

    /// One more walk, if there may be one: somebody was missed.
    pub(super) async fn again(&mut self) -> Result<(), Error> {
        if self.may_go_on() { self.once().await.map(drop) } else { Ok(()) }
    }

    fn may_go_on(&self) -> bool {
        self.number < MOST_WALKS || self.number < LENGTHS.len() && self.pages < FEW_PAGES
    }

    pub(super) fn has_met(&self, id: &str) -> bool {
        self.met.contains_key(id)
    }

    /// Somebody is there whom the pages do not show.
    pub(super) fn add(&mut self, user: &User) {
        self.met.insert(user.id.as_str().into(), (Packed::new(user), self.number));
    }

    pub(super) fn into_people(self) -> BTreeMap<Box<str>, Packed> {
        self.met.into_iter().map(|(id, (packed, _))| (id, packed)).collect()
    }

    /// Whether nothing has moved meanwhile, as far as can be seen: nobody was met twice, and the bridge has taken
    /// nobody out of the list.
    async fn once(&mut self) -> Result<bool, Error> {
        let moved = self.progress.moved.load(Ordering::Relaxed);
        let size = self.page_size();
        self.number += 1;
        let (mut last_ids, mut stale, mut steady) = (Vec::new(), 0, true);
        for number in 1..=MOST_PAGES {
            self.pages += 1;
            let Some(Page { users, has_more, .. }) = self.page(number, size).await? else { break };
            let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
            // A Ziflow that repeats its last page for ever has nothing more to say.
            if ids.is_empty() || ids == last_ids {
                break;
            }
            let fresh = self.meet(&users);
            steady &= fresh == users.len();
            stale = if fresh == 0 { stale + 1 } else { 0 };
            if stale == MOST_STALE_PAGES || !has_more.unwrap_or(users.len() >= size) {
                break;
            }
            last_ids = ids;
        }
        let steady = steady && moved == self.progress.moved.load(Ordering::Relaxed);
        debug!(people = self.met.len(), walk = self.number, steady, "walked over all pages");
        Ok(steady)
    }

    fn page_size(&self) -> usize {
        let percent = LENGTHS.get(self.number).copied().unwrap_or(100);
        (self.client.page_size() * percent / 100).max(1)
    }

    /// How many of them this walk had not met before.
    fn meet(&mut self, users: &[User]) -> usize {
        let mut fresh = 0;
        for user in users {
            let known = (Packed::new(user), self.number);
            match self.met.entry(user.id.as_str().into()) {
                Entry::Vacant(place) => {
                    place.insert(known);
                    fresh += 1;
                }
                Entry::Occupied(mut place) => fresh += usize::from(place.insert(known).1 != self.number),
            }
        }
        self.progress.people.store(self.met.len(), Ordering::Relaxed);
        fresh
    }

    async fn page(&self, number: usize, size: usize) -> Result<Option<Page>, Error> {
        // Nothing would be lost with the first page, so those who wait are told at once what is wrong.
        let patience = if number == 1 { Duration::ZERO } else { PATIENCE };
        let mut patience = Patience::new(self.progress, patience);
        loop {
            match self.client.page(&Patience::call(), number, size).await {
                Ok(None) => return Ok(None),
                Ok(Some(page)) => {
                    let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                    cache.forget_others(&page.users, page.asked);
                    return Ok(Some(page));
                }
                Err(error) => patience.bear(error).await?,
            }
        }
    }
}

/// Trouble that passes is waited for, for so long at the most.
pub(super) struct Patience<'a> {
    progress: &'a Progress,
    start: Instant,
    length: Duration,
}

impl<'a> Patience<'a> {
    /// The patience that a walk has with whatever it has begun.
    pub(super) fn of_a_walk(progress: &'a Progress) -> Self {
        Self::new(progress, PATIENCE)
    }

    fn new(progress: &'a Progress, length: Duration) -> Self {
        Self { progress, start: Instant::now(), length }
    }

    /// One more try.
    pub(super) fn call() -> Call {
        Call::for_listing(Instant::now() + PATIENCE)
    }

    /// Waits until it is worth another try; the error when there is none.
    pub(super) async fn bear(&mut self, error: Error) -> Result<(), Error> {
        let wait = passes(&error).map(|wait| wait.max(PAUSE));
        let Some(wait) = wait.filter(|wait| self.start.elapsed() + *wait < self.length) else {
            return Err(error);
        };
        debug!(%error, "the walk waits");
        self.progress.note_trouble(Some(error));
        sleep(wait).await;
        self.progress.note_trouble(None);
        Ok(())
    }
}

/// How long to wait for trouble that passes by itself.
fn passes(error: &Error) -> Option<Duration> {
    match error {
        Error::Throttled { retry_after } | Error::Busy { retry_after } => Some(*retry_after),
        Error::Unavailable { retry_after, .. } => Some(retry_after.unwrap_or_default()),
        Error::TimedOut { .. } => Some(Duration::ZERO),
        _ => None,
    }
}
