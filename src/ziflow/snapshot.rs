//! Everybody at once: the walk over all pages, and what came of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::ziflow::answer::Page;
use crate::ziflow::client::Client;
use crate::ziflow::error::Error;
use crate::ziflow::model::User;
use crate::ziflow::transport::Call;

/// So many walks at the most look for a quiet moment.
const MOST_WALKS: usize = 3;

/// A walk ends here whatever `has_more` says: a million people at a hundred a page.
const MOST_PAGES: usize = 10_000;

/// A page gets this long, however hurried the request is that began the walk.
const PAGE_SECS: u64 = 60;

/// Everybody, in one order for as long as it lives.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Names this snapshot, also across restarts.
    generation: u64,
    people: Vec<Arc<User>>,
    ids: HashSet<String>,
    /// People who have left since, and people the store knows who are nowhere to be found.
    gone: HashSet<String>,
}

impl Snapshot {
    /// Walks until a walk has seen nothing move: pages shift while people come and go, and a shift hides those on
    /// the seam. What was seen in any of the walks counts.
    pub(super) async fn read(client: &Client) -> Result<Self, Error> {
        let mut snapshot = Self::default();
        for _ in 0..MOST_WALKS {
            if snapshot.walk(client).await? {
                break;
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        snapshot.generation = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Ziflow promises no order; ids give one that is the same for every walk.
        snapshot.people.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(snapshot)
    }

    /// Adds everybody of one walk; whether nobody was met twice, which is how a shift shows.
    async fn walk(&mut self, client: &Client) -> Result<bool, Error> {
        let mut seen = HashSet::new();
        let mut last_ids = Vec::new();
        let mut steady = true;
        for number in 1.. {
            let Some(Page { users, has_more }) = page(client, number).await? else { break };
            let ids: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
            // A Ziflow that repeats its last page for ever has nothing more to say.
            if ids.is_empty() || ids == last_ids {
                break;
            }
            let full = users.len() >= client.page_size();
            let fresh = ids.iter().filter(|id| seen.insert((*id).clone())).count();
            steady &= fresh == ids.len();
            self.add_page(users);
            if !has_more.unwrap_or(full) || number >= MOST_PAGES {
                break;
            }
            last_ids = ids;
        }
        Ok(steady)
    }

    /// How many have been seen.
    pub(super) fn len(&self) -> usize {
        self.people.len()
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Everybody who is there, in order.
    pub fn people(&self) -> impl Iterator<Item = &Arc<User>> {
        self.people.iter().filter(|user| !self.gone.contains(&user.id))
    }

    /// Whether this id has been accounted for: shown by the walk, or found to be gone.
    pub fn accounts_for(&self, id: &str) -> bool {
        self.ids.contains(id) || self.gone.contains(id)
    }

    fn add_page(&mut self, users: Vec<User>) {
        for user in users {
            // Pages shift while people come and go, so the same person may be seen twice.
            if self.ids.insert(user.id.clone()) {
                self.people.push(Arc::new(user));
            }
        }
    }

    /// Somebody is there, as they are now.
    pub fn put(&mut self, user: &User) {
        self.gone.remove(&user.id);
        if self.ids.insert(user.id.clone()) {
            // At the end, so that the pages before keep their people.
            self.people.push(Arc::new(user.clone()));
        } else if let Some(place) = self.people.iter_mut().find(|known| known.id == user.id) {
            *place = Arc::new(user.clone());
        }
    }

    /// Somebody has left.
    pub fn remove(&mut self, id: &str) {
        self.gone.insert(id.to_owned());
    }
}

/// A change that is put on top of a snapshot.
#[derive(Debug)]
pub(super) enum Write {
    Put(Box<User>),
    Remove(String),
}

impl Write {
    pub(super) fn apply(self, snapshot: &mut Snapshot) {
        match self {
            Self::Put(user) => snapshot.put(&user),
            Self::Remove(id) => snapshot.remove(&id),
        }
    }
}

async fn page(client: &Client, number: usize) -> Result<Option<Page>, Error> {
    let call = Call::for_listing(Instant::now() + Duration::from_secs(PAGE_SECS));
    client.page(&call, number).await
}
