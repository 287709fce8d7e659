//! Who leaves next: the callers who wait at the door, in the order in which they go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Why somebody wants to leave; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A request that has had an answer already: stopped now, it would have cost a call for nothing.
    Begun,
    /// A request about a person.
    People,
    /// A page of a list. One that has waited for `max_wait_secs` goes before the people, or a list would never end.
    Listing,
}

impl Lane {
    fn place(self) -> usize {
        match self {
            Self::Begun => 0,
            Self::People => 1,
            Self::Listing => 2,
        }
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    lanes: [BTreeMap<u64, Waiter>; 3],
    next_number: u64,
    under_way: u32,
    most_under_way: u32,
    /// How long a page of a list lets people go first.
    patience: Duration,
    last_left: Option<Instant>,
    /// How long it lately took from one request's first call to the next one's while somebody waited.
    gap: Duration,
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    news: Arc<Notify>,
}

/// A place in the queue. It is given up when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Mutex<Queue>,
    lane: Lane,
    number: u64,
    news: Arc<Notify>,
}

impl Place<'_> {
    /// Something has changed that may make this place the next.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).remove(self.lane, self.number);
    }
}

impl Queue {
    pub(super) fn new(most_under_way: u32, patience: Duration) -> Self {
        Self {
            lanes: Default::default(),
            next_number: 0,
            under_way: 0,
            most_under_way,
            patience,
            last_left: None,
            gap: Duration::ZERO,
        }
    }

    /// Takes the last place in this lane.
    pub(super) fn join(queue: &Mutex<Self>, lane: Lane) -> Place<'_> {
        let news = Arc::new(Notify::new());
        let mut inner = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next_number;
        inner.next_number += 1;
        if inner.len() == 0 {
            // Nobody waited until now, so the time until now tells nothing.
            inner.last_left = Some(Instant::now());
            inner.gap = Duration::ZERO;
        }
        let waiter = Waiter { since: Instant::now(), news: Arc::clone(&news) };
        drop(inner.lane(lane).insert(number, waiter));
        drop(inner);
        Place { queue, lane, number, news }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(BTreeMap::len).sum()
    }

    /// How many stand in each lane.
    pub(super) fn waiting(&self) -> [(&'static str, usize); 3] {
        let [begun, people, listing] = &self.lanes;
        [("begun", begun.len()), ("people", people.len()), ("listing", listing.len())]
    }

    /// How many calls are under way, and how many may be.
    pub(super) fn under_way(&self) -> (u32, u32) {
        (self.under_way, self.most_under_way)
    }

    /// How many would go before somebody who came now.
    pub(super) fn before(&self, lane: Lane) -> usize {
        self.lanes.iter().take(lane.place() + 1).map(BTreeMap::len).sum()
    }

    /// How long it takes at present from one request's first call to the next one's.
    pub(super) fn gap(&self) -> Duration {
        let waiting = self.last_left.filter(|_| self.len() > 0).map_or(Duration::ZERO, |left| left.elapsed());
        self.gap.max(waiting)
    }

    /// Whether this place is the next and there is room for a call.
    pub(super) fn is_next(&self, place: &Place<'_>) -> bool {
        let Some((lane, number)) = self.first() else { return false };
        if (lane, number) != (place.lane, place.number) {
            // A page whose patience has ended has had no news of it.
            self.wake();
            return false;
        }
        self.under_way < self.most_under_way
    }

    /// This place's call leaves.
    pub(super) fn leave(&mut self, place: &Place<'_>) {
        let now = Instant::now();
        // A request may cost several calls: what counts for those behind it is when the next request begins.
        if place.lane != Lane::Begun
            && let Some(before) = self.last_left.replace(now)
        {
            self.gap = (self.gap * 3 + now.duration_since(before)) / 4;
        }
        self.under_way += 1;
        self.remove(place.lane, place.number);
    }

    /// A call has come back.
    pub(super) fn arrived(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.wake();
    }

    fn remove(&mut self, lane: Lane, number: u64) {
        if self.lane(lane).remove(&number).is_some() {
            self.wake();
        }
    }

    fn first(&self) -> Option<(Lane, u64)> {
        let first = |lane: Lane| {
            let (number, waiter) = self.lanes.get(lane.place())?.first_key_value()?;
            Some(((lane, *number), waiter))
        };
        let overdue = first(Lane::Listing).filter(|(_, waiter)| waiter.since.elapsed() >= self.patience);
        let next = first(Lane::Begun).or(overdue).or_else(|| first(Lane::People));
        Some(next.or_else(|| first(Lane::Listing))?.0)
    }

    /// Tells who is next that they are.
    fn wake(&self) {
        let waiter = self.first().and_then(|(lane, number)| self.lanes.get(lane.place())?.get(&number));
        if let Some(waiter) = waiter {
            waiter.news.notify_one();
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeMap<u64, Waiter> {
        let [begun, people, listing] = &mut self.lanes;
        match lane {
            Lane::Begun => begun,
            Lane::People => people,
            Lane::Listing => listing,
        }
    }
}
