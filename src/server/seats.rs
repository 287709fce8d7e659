//! Who has a connection: so many at once, in total and from one source. Who keeps one and asks for nothing gives way to
//! somebody new, and whoever has never shown a right credential gives way first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

/// While every connection is busy it is looked this often whether one has become idle.
const LOOK: Duration = Duration::from_millis(50);

/// So many may be on their way out at once: those who came in their place are there already.
const MOST_LEAVING: usize = 64;

/// So often it is told that there are too many.
const MINUTE: Duration = Duration::from_secs(60);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// TLS is being agreed upon.
    Handshake,
    /// It has never sent anything.
    Silent,
    /// A request has begun to come.
    Head,
    /// A request is here, and it is not known yet who asks.
    Unknown,
    /// A request of somebody with a right credential is being worked on.
    Busy,
    /// An answer is on its way out.
    Answering,
    /// The next request has not begun.
    Idle,
    /// The last answer is out, or there will be none.
    Leaving,
}

/// A connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) since: Instant,
    /// Whether a right credential has been shown over it.
    is_known: bool,
    /// Whether somebody else is to have its place.
    pub(super) gives_way: bool,
}

impl State {
    /// Whether nothing is lost when it ends now. A client that is not known may leave its refusal unread for long.
    fn may_end(self) -> bool {
        let is_at_work = match self.phase {
            Phase::Busy => true,
            Phase::Answering => self.is_known,
            _ => false,
        };
        !is_at_work && !self.gives_way
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    state: Arc<watch::Sender<State>>,
}

impl Seat {
    /// A right credential has been shown: from now on the request is worked on to its end.
    pub fn is_known(&self) {
        self.state.send_modify(|state| {
            *state = State { phase: Phase::Busy, since: Instant::now(), is_known: true, ..*state };
        });
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.state.send_modify(|state| *state = State { phase, since: Instant::now(), ..*state });
    }

    /// Only if it was in one of these.
    pub(super) fn enter_from(&self, before: &[Phase], phase: Phase) {
        self.state.send_if_modified(|state| {
            let is_due = before.contains(&state.phase);
            if is_due {
                *state = State { phase, since: Instant::now(), ..*state };
            }
            is_due
        });
    }

    /// Waits until somebody else is to have the place.
    pub(super) async fn has_to_go(&self) {
        drop(self.watch().wait_for(|state| state.gives_way).await);
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().remove(self.number);
        self.seats.freed.notify_one();
    }
}

/// All of them.
#[derive(Debug)]
pub struct Seats {
    /// The section of the settings that the numbers are from.
    section: &'static str,
    most: usize,
    most_per_source: usize,
    taken: Mutex<Taken>,
    freed: Notify,
    counted: Counted,
}

/// What has become so far of those who wanted a place.
#[derive(Debug, Default)]
struct Counted {
    seated: AtomicU64,
    refused: AtomicU64,
}

/// The numbers of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) open: usize,
    pub(super) most: usize,
    /// How many have had a place so far, and how many were refused one because of their source.
    pub(super) seated: u64,
    pub(super) refused: u64,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Place>,
    /// How many of them have been told to go.
    leaving: usize,
    /// The others by their source.
    by_source: HashMap<IpAddr, usize>,
    /// When the log last heard that there is no place.
    told: Option<Instant>,
}

#[derive(Debug)]
struct Place {
    /// None: it is not counted by source.
    source: Option<IpAddr>,
    state: Arc<watch::Sender<State>>,
}

/// What became of somebody who wants a place.
enum Outcome {
    Seated(Seat),
    /// Everybody is busy.
    Full,
    /// Everybody from that source is busy, and there are enough of them.
    Refused,
}

impl Seats {
    pub fn new(section: &'static str, most: usize, most_per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            section,
            most,
            most_per_source,
            taken: Mutex::default(),
            freed: Notify::new(),
            counted: Counted::default(),
        })
    }

    /// A place, as soon as there is one; none when `source` has enough of them. Without a source it is counted in total
    /// only: over the connections of a proxy others come, and who they are is not known yet.
    pub async fn seat(self: &Arc<Self>, source: Option<IpAddr>) -> Option<Seat> {
        loop {
            match self.try_seat(source) {
                Outcome::Seated(seat) => {
                    self.counted.seated.fetch_add(1, Ordering::Relaxed);
                    return Some(seat);
                }
                Outcome::Refused => {
                    self.counted.refused.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                // In both cases it is looked again.
                Outcome::Full => timeout(LOOK, self.freed.notified()).await.unwrap_or_default(),
            }
        }
    }

    /// Lets one go who asks for nothing: there are more connections than this process may have.
    pub fn make_room(&self) {
        self.lock().let_one_go(|_| true);
    }

    pub(super) fn figures(&self) -> Figures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            open: self.taken(),
            most: self.most,
            seated: count(&self.counted.seated),
            refused: count(&self.counted.refused),
        }
    }

    /// How many there are.
    pub fn taken(&self) -> usize {
        self.lock().places.len()
    }

    fn try_seat(self: &Arc<Self>, source: Option<IpAddr>) -> Outcome {
        let mut taken = self.lock();
        if taken.leaving >= MOST_LEAVING {
            return Outcome::Full;
        }
        let of_source = source.and_then(|source| taken.by_source.get(&source)).copied().unwrap_or_default();
        if of_source >= self.most_per_source && !taken.let_one_go(|place| place.source == source) {
            taken.tell(source, self.section, "max_connections_per_source");
            return Outcome::Refused;
        }
        // Those who leave are not waited for: their places are as good as free.
        let staying = taken.places.len().saturating_sub(taken.leaving);
        if staying >= self.most && !taken.let_one_go(|_| true) {
            taken.tell(source, self.section, "max_connections");
            return Outcome::Full;
        }
        Outcome::Seated(taken.add(self, source))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn add(&mut self, seats: &Arc<Seats>, source: Option<IpAddr>) -> Seat {
        let state = State { phase: Phase::Silent, since: Instant::now(), is_known: false, gives_way: false };
        let (number, state) = (self.next, Arc::new(watch::Sender::new(state)));
        self.next += 1;
        self.places.insert(number, Place { source, state: Arc::clone(&state) });
        if let Some(source) = source {
            *self.by_source.entry(source).or_default() += 1;
        }
        Seat { seats: Arc::clone(seats), number, state }
    }

    fn remove(&mut self, number: u64) {
        let Some(place) = self.places.remove(&number) else { return };
        if place.state.borrow().gives_way {
            self.leaving = self.leaving.saturating_sub(1);
        } else {
            self.count_off(place.source);
        }
    }

    /// One of them goes: whom nobody knows before others, and among these whoever has asked for nothing for the longest.
    /// Whether there is one.
    fn let_one_go(&mut self, is_meant: impl Fn(&Place) -> bool) -> bool {
        let asking_for_nothing = self.places.values().filter(|place| is_meant(place)).filter_map(|place| {
            let state = *place.state.borrow();
            state.may_end().then(|| ((state.is_known, state.since), place.source, Arc::clone(&place.state)))
        });
        let Some((_, source, state)) = asking_for_nothing.min_by_key(|(rank, ..)| *rank) else {
            return false;
        };
        state.send_modify(|state| state.gives_way = true);
        self.leaving += 1;
        self.count_off(source);
        true
    }

    fn count_off(&mut self, source: Option<IpAddr>) {
        let Some(source) = source else { return };
        if let Entry::Occupied(mut count) = self.by_source.entry(source) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn tell(&mut self, source: Option<IpAddr>, section: &str, setting: &str) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now >= told + MINUTE) {
            self.told = Some(now);
            let source = source.map(tracing::field::display);
            warn!(
                source,
                "all connections are busy, and there is no place for further ones ({section}.{setting})"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn try_seat(seats: &Arc<Seats>, of: u8) -> Outcome {
        seats.try_seat(Some(Ipv4Addr::new(192, 0, 2, of).into()))
    }

    #[track_caller]
    fn seated(seats: &Arc<Seats>, of: u8) -> Seat {
        match try_seat(seats, of) {
            Outcome::Seated(seat) => seat,
            Outcome::Full => panic!("full"),
            Outcome::Refused => panic!("refused"),
        }
    }

    fn gives_way(seat: &Seat) -> bool {
        seat.state.borrow().gives_way
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_asked_for_nothing_for_the_longest_gives_way() {
        let seats = Seats::new("server", 4, 4);
        let second = Duration::from_secs(1);
        let busy = seated(&seats, 1);
        busy.is_known();
        let known = seated(&seats, 1);
        known.is_known();
        known.enter(Phase::Idle);
        tokio::time::advance(second).await;
        let silent = seated(&seats, 2);
        tokio::time::advance(second).await;
        let slow = seated(&seats, 2);
        slow.enter(Phase::Head);
        let mut others = Vec::new();
        for gone in [&silent, &slow] {
            assert!(!gives_way(gone));
            others.push(seated(&seats, 3));
            others.iter().for_each(Seat::is_known);
            assert!(gives_way(gone));
        }
        assert!(!gives_way(&known));
        others.push(seated(&seats, 3));
        others.iter().for_each(Seat::is_known);
        assert!(gives_way(&known) && !gives_way(&busy));
        assert!(matches!(try_seat(&seats, 3), Outcome::Full));
        drop((silent, slow, known));
        assert!(matches!(try_seat(&seats, 3), Outcome::Full));
        drop(others);
        assert!(matches!(try_seat(&seats, 3), Outcome::Seated(_)));
        assert_eq!((seats.taken(), seats.lock().leaving), (1, 0));
    }

    #[test]
    fn one_source_takes_places_of_its_own_only() {
        let seats = Seats::new("server", 100, 2);
        let other = seated(&seats, 9);
        let (first, second) = (seated(&seats, 1), seated(&seats, 1));
        let third = seated(&seats, 1);
        assert!(gives_way(&first) && !gives_way(&second) && !gives_way(&other));
        second.is_known();
        third.is_known();
        assert!(matches!(try_seat(&seats, 1), Outcome::Refused));
        // Its answer on the way keeps a place only for whoever has shown a right credential.
        second.enter(Phase::Answering);
        assert!(matches!(try_seat(&seats, 1), Outcome::Refused));
        second.enter(Phase::Idle);
        let fourth = seated(&seats, 1);
        assert!(gives_way(&second));
        // A proxy brings others, and is counted in total only.
        let proxied: Vec<_> = (0..10).map(|_| seats.try_seat(None)).collect();
        assert!(proxied.iter().all(|outcome| matches!(outcome, Outcome::Seated(_))));
        drop((first, second, third, fourth, other, proxied));
        assert!(seats.lock().by_source.is_empty() && seats.taken() == 0);
    }

    #[test]
    fn those_who_leave_are_few_at_a_time() {
        let seats = Seats::new("server", 1, 1000);
        let mut taken = Vec::new();
        for _ in 0..=MOST_LEAVING {
            taken.push(seated(&seats, 1));
        }
        assert!(matches!(try_seat(&seats, 1), Outcome::Full));
        taken.remove(0);
        assert!(matches!(try_seat(&seats, 1), Outcome::Seated(_)));
    }
}
