//! People and absences remembered for a few seconds, and what was written lately.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ziflow::model::User;

/// How long "there is nobody with this address" counts as seen just now.
pub(super) const ABSENCE_SECS: u64 = 60;

/// So many remembered people make the cache look for those it may forget.
const TIDY_AT: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) people: HashMap<String, (User, Instant)>,
    pub(super) absent: HashMap<String, Instant>,
    pub(super) written: HashMap<String, Lately>,
    /// Counts writes, so that a read that began before a write is not kept after it.
    pub(super) writes: u64,
}

/// What was written to somebody within the last seconds: a read may be from before it.
#[derive(Debug)]
pub(super) struct Lately {
    /// Until when a read may be from before it.
    until: Instant,
    /// As the person was before each of the last writes.
    before: Vec<User>,
    /// As Ziflow showed them after the last one.
    after: User,
    /// While the next write is under way, reads are looked at for what they show of that one.
    pub(super) paused: bool,
}

/// So many writes to one person within seconds are remembered.
const MOST_WRITES: usize = 8;

impl Lately {
    pub(super) fn new(before: &User, after: &User, delay: Duration) -> Self {
        let until = Instant::now() + delay;
        Self { until, before: vec![before.clone()], after: after.clone(), paused: false }
    }

    /// The same on top of earlier writes.
    pub(super) fn on_top_of(mut self, mut earlier: Self) -> Self {
        if earlier.is_young() {
            earlier.before.append(&mut self.before);
            let old = earlier.before.len().saturating_sub(MOST_WRITES);
            self.before = earlier.before.split_off(old);
        }
        self
    }

    pub(super) fn is_young(&self) -> bool {
        Instant::now() < self.until
    }

    /// The person as they must be by now, if this read is from before the write: it then shows them exactly as they were.
    /// Anything else is news.
    pub(super) fn instead_of(&self, user: &User) -> Option<&User> {
        (self.is_young() && *user != self.after && self.before.contains(user)).then_some(&self.after)
    }
}

impl Cache {
    /// Keeps a person as they were at `seen`.
    pub(super) fn keep(&mut self, user: &User, seen: Instant, ttl: Duration) {
        if self.people.len() + self.absent.len() + self.written.len() >= TIDY_AT {
            self.written.retain(|_, lately| lately.is_young());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(roles: &[&str]) -> User {
        User::from_json(&json!({"id": "1", "email": "jo@x", "roles": roles})).unwrap()
    }

    fn lately(before: &User, after: &User) -> Lately {
        Lately::new(before, after, Duration::from_secs(6))
    }

    #[test]
    fn a_read_from_before_a_write_is_known_and_news_are_believed() {
        let (admin, plain, manager) = (user(&["user", "admin"]), user(&["user"]), user(&["user", "manager"]));
        let first = lately(&admin, &plain);
        assert_eq!(first.instead_of(&admin), Some(&plain));
        assert_eq!(first.instead_of(&plain), None);
        assert_eq!(first.instead_of(&user(&["user", "admin", "billing"])), None, "given by hand meanwhile");
        let later = lately(&plain, &manager).on_top_of(first);
        assert_eq!(later.instead_of(&admin), Some(&manager));
        assert_eq!(later.instead_of(&plain), Some(&manager));
        let back = lately(&manager, &admin).on_top_of(later);
        assert_eq!(back.instead_of(&admin), None, "as it was once, and as it is");
    }
}
