//! People and absences remembered for a few seconds, and what was written lately.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ziflow::model::{Fields, User};

/// How long "there is nobody with this address" counts as seen just now.
pub(super) const ABSENCE_SECS: u64 = 60;

/// How long Ziflow may take to show a write everywhere.
pub(super) const WRITTEN_LATELY: Duration = Duration::from_secs(10);

/// So many remembered people make the cache look for those it may forget.
const TIDY_AT: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) people: HashMap<String, (User, Instant)>,
    pub(super) absent: HashMap<String, Instant>,
    pub(super) written: HashMap<String, (Fields, Instant)>,
    /// Counts writes, so that a read that began before a write is not kept after it.
    pub(super) writes: u64,
}

impl Cache {
    /// Keeps a person as they were at `seen`.
    pub(super) fn keep(&mut self, user: &User, seen: Instant, ttl: Duration) {
        if self.people.len() + self.absent.len() + self.written.len() >= TIDY_AT {
            self.written.retain(|_, (_, since)| since.elapsed() < WRITTEN_LATELY);
            self.people.retain(|_, (_, since)| since.elapsed() < ttl);
            self.absent.retain(|_, since| since.elapsed() < Duration::from_secs(ABSENCE_SECS));
        }
        self.people.insert(user.id.clone(), (user.clone(), seen));
    }

    /// A page has shown these people: who is kept otherwise is forgotten, if the page is the newer word.
    pub(super) fn forget_others(&mut self, users: &[User], asked: Instant) {
        for user in users {
            let other = |(kept, seen): &(User, Instant)| *seen < asked && kept != user;
            if self.people.get(&user.id).is_some_and(other) {
                self.people.remove(&user.id);
            }
        }
    }
}
