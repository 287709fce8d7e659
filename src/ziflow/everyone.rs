//! Everybody in the account: the walk over all pages, shared between concurrent readers and kept while somebody pages
//! through what it brought.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::ziflow::directory::Directory;
use crate::ziflow::error::Error;
use crate::ziflow::model::User;
use crate::ziflow::snapshot::{Snapshot, Write};
use crate::ziflow::transport::{Call, KeyNumber};
use crate::ziflow::walk::{Patience, Progress, Walk};

/// When a reader is told to ask again while the walk goes on.
const WALK_RETRY_SECS: u64 = 5;

/// For so long nobody is looked for again who was nowhere to be found.
const NOWHERE: Duration = Duration::from_secs(3600);

/// Somebody whom the bridge knows, and whom Ziflow's pages may not show.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: String,
    pub email: Option<String>,
}

/// None until the walk has ended.
type Walked = Option<Result<Arc<Snapshot>, Error>>;

#[derive(Debug)]
pub(super) enum Listing {
    None,
    Walking {
        done: watch::Receiver<Walked>,
        /// What was written meanwhile, to be put on top of what the walk saw.
        writes: Vec<Write>,
        progress: Arc<Progress>,
    },
    Ready {
        snapshot: Arc<Snapshot>,
        used: Instant,
    },
}

/// What became of a wish for everybody.
enum Begun {
    Ready(Arc<Snapshot>),
    Walking(watch::Receiver<Walked>),
    Due,
}

/// What a read says against what is kept.
#[derive(Clone, Copy)]
pub(super) enum Contradiction<'a> {
    Gone(&'a str),
    Other(&'a User),
}

impl Directory {
    /// Whether the next who asks for everybody begins a walk, and so has to say whom the bridge knows.
    pub fn walk_is_due(&self) -> bool {
        match &*self.listing() {
            Listing::None => true,
            // A closed channel is a walk that died: without this check its readers would spin.
            Listing::Walking { done, .. } => done.has_changed().is_err(),
            Listing::Ready { used, .. } => used.elapsed() >= self.directory_ttl(),
        }
    }

    /// Everybody, those among them whom the bridge knows and Ziflow's pages do not show. The walk outlives the request
    /// that began it: who cannot wait is told when to ask again. `None` when a walk has become due and `known` is not
    /// given.
    pub async fn everyone(
        self: &Arc<Self>,
        call: &Call,
        known: Option<Vec<Known>>,
    ) -> Result<Option<Arc<Snapshot>>, Error> {
        let mut done = match self.listing_or_walk(known) {
            Begun::Ready(snapshot) => return Ok(Some(snapshot)),
            Begun::Walking(done) => done,
            Begun::Due => return Ok(None),
        };
        match timeout_at(call.deadline(), done.wait_for(Option::is_some)).await {
            Err(_elapsed) => Err(self.walking()),
            // Whoever waited for this walk is served from it, however short it is kept.
            Ok(Ok(walked)) => walked.as_ref().map(Result::clone).transpose(),
            // The walk died without a word: the caller begins again.
            Ok(Err(_closed)) => Ok(None),
        }
    }

    /// Whether the snapshot of this generation is still kept.
    pub fn keeps(&self, generation: u64) -> bool {
        match &*self.listing() {
            Listing::Ready { snapshot, used, .. } => {
                snapshot.generation() == generation && used.elapsed() < self.directory_ttl()
            }
            Listing::None | Listing::Walking { .. } => false,
        }
    }

    /// How many people the walk under way has read, if there is one.
    pub fn read_so_far(&self) -> Option<usize> {
        match &*self.listing() {
            Listing::Walking { progress, .. } => Some(progress.people()),
            Listing::None | Listing::Ready { .. } => None,
        }
    }

    fn walking(&self) -> Error {
        let (people, trouble) = match &*self.listing() {
            Listing::Walking { progress, .. } => (progress.people(), progress.trouble()),
            Listing::None | Listing::Ready { .. } => (0, None),
        };
        let retry_after = Duration::from_secs(WALK_RETRY_SECS);
        Error::Walking { people, trouble: trouble.map(Box::new), retry_after }
    }

    /// How many are kept at this moment.
    pub(super) fn kept_everybody(&self) -> usize {
        match &*self.listing() {
            Listing::Ready { snapshot, used } if used.elapsed() < self.directory_ttl() => snapshot.len(),
            _ => 0,
        }
    }

    /// Who finds a list, or a walk under way, has it at hand.
    fn listing_or_walk(self: &Arc<Self>, known: Option<Vec<Known>>) -> Begun {
        let mut listing = self.listing();
        match &mut *listing {
            Listing::Ready { snapshot, used, .. } if used.elapsed() < self.directory_ttl() => {
                *used = Instant::now();
                self.asked_for_everybody.note(true);
                return Begun::Ready(Arc::clone(snapshot));
            }
            Listing::Walking { done, .. } if done.has_changed().is_ok() => {
                self.asked_for_everybody.note(true);
                return Begun::Walking(done.clone());
            }
            Listing::None | Listing::Walking { .. } | Listing::Ready { .. } => {}
        }
        let Some(known) = known else { return Begun::Due };
        self.asked_for_everybody.note(false);
        let (sender, done) = watch::channel(None);
        let progress = Arc::new(Progress::default());
        *listing =
            Listing::Walking { done: done.clone(), writes: Vec::new(), progress: Arc::clone(&progress) };
        let directory = Arc::clone(self);
        drop(tokio::spawn(async move {
            let outcome = directory.walk_and_keep(&known, &progress).await;
            drop(sender.send(Some(outcome)));
        }));
        Begun::Walking(done)
    }

    async fn walk_and_keep(&self, known: &[Known], progress: &Progress) -> Result<Arc<Snapshot>, Error> {
        loop {
            let key = self.client.key_number();
            let walked = self.walk(known, progress).await;
            if let Some(outcome) = self.keep_walk(key, walked) {
                return outcome;
            }
        }
    }

    /// All pages, and then single look-ups of those whom the bridge knows and the pages did not show.
    async fn walk(&self, known: &[Known], progress: &Progress) -> Result<Snapshot, Error> {
        let mut walk = Walk::new(&self.client, progress, &self.cache);
        walk.run().await?;
        self.nowhere().retain(|_, since| since.elapsed() < NOWHERE);
        let mut overlooked = false;
        for Known { id, email } in known {
            if walk.has_met(id) || self.was_nowhere(id) {
                continue;
            }
            match self.look_for(id, email.as_deref(), progress).await {
                Ok(user) => {
                    overlooked |= !user.contact && !self.written_lately(id);
                    walk.add(&user);
                }
                Err(Error::NotFound) => {
                    warn!(id, "a person the bridge knew is gone from Ziflow");
                    self.nowhere().insert(id.clone(), Instant::now());
                }
                Err(error) => return Err(error),
            }
        }
        if overlooked {
            // The pages should have shown them: others, whom nobody knows, may be missing as well.
            walk.again().await?;
        }
        Ok(Snapshot::new(walk.into_people()))
    }

    /// The same as `known_person`, with the patience of a walk.
    async fn look_for(&self, id: &str, email: Option<&str>, progress: &Progress) -> Result<User, Error> {
        let mut patience = Patience::of_a_walk(progress);
        loop {
            match self.known_person(&Patience::call(), id, email).await {
                Err(Error::NotFound) => return Err(Error::NotFound),
                Err(error) => patience.bear(error).await?,
                found => return found,
            }
        }
    }

    /// None when the key has changed during the walk: its pages may be of two accounts.
    fn keep_walk(
        &self,
        key: KeyNumber,
        walked: Result<Snapshot, Error>,
    ) -> Option<Result<Arc<Snapshot>, Error>> {
        // The key changes before the listing is told, so behind this lock it cannot change unseen.
        let mut listing = self.listing();
        if self.client.key_number() != key {
            return None;
        }
        let before = std::mem::replace(&mut *listing, Listing::None);
        let mut snapshot = match walked {
            Ok(snapshot) => snapshot,
            Err(error) => {
                warn!(%error, "the list of people could not be read");
                return Some(Err(error));
            }
        };
        if let Listing::Walking { writes, .. } = before {
            for write in writes {
                write.apply(&mut snapshot);
            }
        }
        let snapshot = Arc::new(snapshot);
        *listing = Listing::Ready { snapshot: Arc::clone(&snapshot), used: Instant::now() };
        Some(Ok(snapshot))
    }

    /// A change that the bridge has made.
    pub(super) fn write(&self, write: Write) {
        match &mut *self.listing() {
            Listing::None => {}
            Listing::Walking { writes, progress, .. } => {
                if write.moves_others_up() {
                    progress.note_move();
                }
                writes.push(write);
            }
            Listing::Ready { snapshot, .. } => write.apply(Arc::make_mut(snapshot)),
        }
    }

    /// Ziflow has shown somebody otherwise than they are kept.
    pub(super) fn contradict(&self, call: &Call, contradiction: Contradiction<'_>) {
        if self.client.has_outdated(call) {
            return;
        }
        let write = match contradiction {
            Contradiction::Gone(id) => Write::Remove(id.to_owned()),
            Contradiction::Other(user) => Write::Correct(Box::new(user.clone())),
        };
        match &mut *self.listing() {
            Listing::None => {}
            Listing::Walking { writes, .. } => writes.push(write),
            Listing::Ready { snapshot, .. } => {
                if snapshot.differs_from(&write) {
                    write.apply(Arc::make_mut(snapshot));
                }
            }
        }
    }

    fn was_nowhere(&self, id: &str) -> bool {
        self.nowhere().get(id).is_some_and(|since| since.elapsed() < NOWHERE)
    }

    fn directory_ttl(&self) -> Duration {
        Duration::from_secs(self.settings.directory_ttl_secs)
    }

    pub(super) fn nowhere(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.nowhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listing(&self) -> MutexGuard<'_, Listing> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
