//! The one door through which every call to Ziflow leaves: at a pace Ziflow can bear, with at most so many calls
//! under way, and with an end to every wait.
//!
//! In any w seconds at most `burst` + w × `requests_per_second` calls leave. Ziflow publishes no limits, so the
//! defaults are low. Who has begun goes on first, then come people, then the pages of a list, each in the order in
//! which they asked. After a 429 nobody leaves until the pause is over, and then at half the pace, which recovers step
//! by step.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::meter::Histogram;
use crate::ziflow::departures::Departures;
use crate::ziflow::error::Error;
use crate::ziflow::figures::{Counter, Door};
use crate::ziflow::queue::{Lane, Place, Queue};

/// How often the pace is halved at the most: a sixteenth is slow enough for any limit that can be worked with.
const MOST_HALVINGS: u32 = 4;

/// Nobody is sent away for longer than this, however many have been sent away before.
const LONGEST_PROMISE: Duration = Duration::from_secs(600);

/// `rate_limit.*` of the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub requests_per_second: NonZeroU32,
    pub burst: NonZeroU32,
    pub in_flight: NonZeroU32,
    pub max_wait_secs: u64,
    pub max_pause_secs: u64,
    pub recovery_secs: u64,
    pub retries: usize,
    pub backoff_min_ms: u64,
    pub backoff_max_secs: u64,
    pub breaker_failures: u32,
    pub breaker_max_secs: u64,
}

/// The door. See the module.
#[derive(Debug)]
pub struct RateLimit {
    /// The whole pace, and each of its halvings.
    paces: Vec<Pace>,
    clock: TokioClock,
    queue: Mutex<Queue>,
    departures: Mutex<Departures>,
    slowdown: Mutex<Slowdown>,
    counted: Counted,
    requests_per_second: u32,
    /// Between two calls at the whole pace.
    gap: Duration,
    max_wait: Duration,
    max_pause: Duration,
    recovery: Duration,
}

type Pace = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// What Ziflow's 429s have brought about.
#[derive(Debug)]
struct Slowdown {
    paused_until: Option<Instant>,
    /// How often the pace was halved, as of `since`; it recovers with time.
    halvings: u32,
    since: Instant,
    /// When the next one who is sent away will find a place.
    promised: Instant,
}

/// What has happened at the door so far.
#[derive(Debug, Default)]
struct Counted {
    waits: Mutex<Histogram>,
    sent_away: Counter,
    pauses: Counter,
}

/// The right to make one call; it ends when dropped.
#[derive(Debug)]
pub struct Permit {
    limit: Arc<RateLimit>,
    left: Instant,
}

impl Permit {
    /// When the call left.
    pub fn left(&self) -> Instant {
        self.left
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.queue().arrived();
    }
}

impl RateLimit {
    pub fn new(settings: &Settings) -> Arc<Self> {
        let now = Instant::now();
        let clock = TokioClock { start: now };
        let whole = Quota::per_second(settings.requests_per_second).allow_burst(settings.burst);
        let halved = (1..=MOST_HALVINGS).filter_map(|halvings| {
            let gap = whole.replenish_interval() * 2_u32.pow(halvings);
            Quota::with_period(gap)
        });
        let max_wait = Duration::from_secs(settings.max_wait_secs);
        Arc::new(Self {
            paces: [whole]
                .into_iter()
                .chain(halved)
                .map(|quota| RateLimiter::direct_with_clock(quota, clock.clone()))
                .collect(),
            clock,
            queue: Mutex::new(Queue::new(settings.in_flight.get(), max_wait)),
            departures: Mutex::default(),
            slowdown: Mutex::new(Slowdown { paused_until: None, halvings: 0, since: now, promised: now }),
            counted: Counted::default(),
            requests_per_second: settings.requests_per_second.get(),
            gap: whole.replenish_interval(),
            max_wait,
            max_pause: Duration::from_secs(settings.max_pause_secs),
            recovery: Duration::from_secs(settings.recovery_secs),
        })
    }

    /// Waits for the right to make one call, until `deadline`; people wait no longer than `max_wait_secs`. Who could
    /// not leave in time is told so at once, with the time when they could.
    pub async fn enter(self: &Arc<Self>, lane: Lane, deadline: Instant) -> Result<Permit, Error> {
        let came = Instant::now();
        let entered = self.wait(lane, deadline, came).await;
        match &entered {
            Ok(permit) => lock(&self.counted.waits).note(permit.left - came),
            Err(_) => self.counted.sent_away.add_one(),
        }
        entered
    }

    async fn wait(self: &Arc<Self>, lane: Lane, deadline: Instant, now: Instant) -> Result<Permit, Error> {
        let end = if lane == Lane::Listing { deadline } else { deadline.min(now + self.max_wait) };
        if let Some(pause) = self.pause_left()
            && now + pause > end
        {
            return Err(Error::Throttled { retry_after: whole_seconds(pause) });
        }
        // Nobody waits for what cannot be: so the queue is never longer than what leaves within `max_wait_secs`.
        if now + self.time_for(self.queue().before(lane)) > end {
            return Err(self.send_away());
        }
        let place = Queue::join(&self.queue, lane);
        match timeout_at(end, self.take_turn(&place)).await {
            Ok(permit) => Ok(permit),
            Err(_elapsed) => Err(self.send_away()),
        }
    }

    /// Ziflow answered 429 to a call that left then: nobody leaves for this long, and then at half the pace. Calls
    /// that were under way together say it once.
    pub fn slow_down(&self, left: Instant, pause: Duration) {
        self.pause(pause);
        let mut slowdown = self.slowdown();
        if left > slowdown.since || slowdown.halvings == 0 {
            slowdown.halvings = (self.halvings(&slowdown) + 1).min(MOST_HALVINGS);
            slowdown.since = Instant::now();
        }
    }

    /// Lets nobody leave for this long.
    pub fn pause(&self, length: Duration) {
        let until = Instant::now() + length.min(self.max_pause);
        if self.pause_left().is_none() {
            self.counted.pauses.add_one();
        }
        let mut slowdown = self.slowdown();
        slowdown.paused_until = Some(slowdown.paused_until.map_or(until, |before| before.max(until)));
    }

    /// The longest pause that is kept: a mistaken `Retry-After` must not stop everything for a day.
    pub fn max_pause(&self) -> Duration {
        self.max_pause
    }

    /// How long Ziflow's request to slow down still lasts.
    pub fn pause_left(&self) -> Option<Duration> {
        let left = self.slowdown().paused_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// The present pace is `requests_per_second` divided by this.
    pub fn slowed_by(&self) -> u32 {
        2_u32.pow(self.halvings(&self.slowdown()))
    }

    /// How many callers stand in the queue.
    pub fn waiting(&self) -> usize {
        self.queue().len()
    }

    /// How things stand at the door.
    pub fn figures(&self) -> Door {
        let (waiting, (in_flight, most_in_flight)) = {
            let queue = self.queue();
            (queue.waiting(), queue.under_way())
        };
        Door {
            lately: lock(&self.departures).per_second(Instant::now()),
            waiting,
            in_flight,
            most_in_flight,
            waits: lock(&self.counted.waits).clone(),
            sent_away: self.counted.sent_away.get(),
            pauses: self.counted.pauses.get(),
            pause_left: self.pause_left().unwrap_or_default(),
            pace: self.requests_per_second,
            pace_now: f64::from(self.requests_per_second) / f64::from(self.slowed_by()),
        }
    }

    async fn take_turn(self: &Arc<Self>, place: &Place<'_>) -> Permit {
        loop {
            let not_before = if self.queue().is_next(place) {
                match self.ready() {
                    Ok(()) => {
                        self.queue().leave(place);
                        let left = Instant::now();
                        lock(&self.departures).note(left);
                        return Permit { limit: Arc::clone(self), left };
                    }
                    Err(not_before) => Some(not_before),
                }
            } else {
                None
            };
            match not_before {
                None => place.news().await,
                Some(then) => drop(timeout_at(then, place.news()).await),
            }
        }
    }

    /// Takes the right to leave now, or tells when to ask again.
    fn ready(&self) -> Result<(), Instant> {
        if let Some(pause) = self.pause_left() {
            return Err(Instant::now() + pause);
        }
        let halvings = self.halvings(&self.slowdown());
        // The whole pace comes last: it is never spent on a call that then does not leave.
        let slowed = usize::try_from(halvings).ok().filter(|halvings| *halvings > 0);
        let slowed = slowed.and_then(|halvings| self.paces.get(halvings));
        for pace in slowed.into_iter().chain(self.paces.first()) {
            if let Err(not_until) = pace.check() {
                return Err(Instant::now() + not_until.wait_time_from(self.clock.now()));
            }
        }
        Ok(())
    }

    /// How often the pace is halved at present: one step is taken back whenever it has gone well for a while.
    fn halvings(&self, slowdown: &Slowdown) -> u32 {
        let quiet_since = slowdown.paused_until.map_or(slowdown.since, |until| until.max(slowdown.since));
        let quiet = Instant::now().saturating_duration_since(quiet_since);
        let steps = quiet.as_secs() / self.recovery.as_secs().max(1);
        slowdown.halvings.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX))
    }

    /// How long so many calls take to leave, after the pause.
    fn time_for(&self, calls: usize) -> Duration {
        let gap = self.gap * self.slowed_by();
        self.pause_left().unwrap_or_default() + gap.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX))
    }

    /// Tells when there will be a place, another time to each: if all came back at once, all but a few would have
    /// waited in vain.
    fn send_away(&self) -> Error {
        let now = Instant::now();
        let (queued, seen_gap) = {
            let queue = self.queue();
            (u32::try_from(queue.len()).unwrap_or(u32::MAX), queue.gap())
        };
        let gap = (self.gap * self.slowed_by()).max(seen_gap);
        let clear =
            now + (self.pause_left().unwrap_or_default() + gap.saturating_mul(queued)).min(LONGEST_PROMISE);
        let mut slowdown = self.slowdown();
        slowdown.promised = (slowdown.promised.max(clear) + gap).min(now + LONGEST_PROMISE);
        Error::Busy { retry_after: whole_seconds(slowdown.promised - now) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn slowdown(&self) -> MutexGuard<'_, Slowdown> {
        lock(&self.slowdown)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `Retry-After` counts whole seconds; less than one would invite the same answer again.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + 1)
}

/// tokio's time as governor's clock, so that paused test time moves both.
#[derive(Clone, Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Self::Instant {
        Nanos::from(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let number = |n| NonZeroU32::new(n).unwrap();
        Settings {
            requests_per_second: number(5),
            burst: number(10),
            in_flight: number(4),
            max_wait_secs: 6,
            max_pause_secs: 900,
            retries: 3,
            backoff_min_ms: 250,
            backoff_max_secs: 4,
            recovery_secs: 30,
            breaker_failures: 8,
            breaker_max_secs: 15,
        }
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_holds_more_than_burst_and_pace() {
        let limit = RateLimit::new(&settings());
        let mut left = Vec::new();
        for _ in 0..60 {
            drop(limit.enter(Lane::People, far()).await.unwrap());
            left.push(Instant::now());
        }
        for (i, start) in left.iter().enumerate() {
            for (j, end) in left.iter().enumerate().skip(i) {
                let allowed = 10.0 + (*end - *start).as_secs_f64() * 5.0 + 0.001;
                let calls = u32::try_from(j - i + 1).unwrap();
                assert!(f64::from(calls) <= allowed, "{calls} calls in {:?}", *end - *start);
            }
        }
        assert_eq!((left[59] - left[0]).as_secs(), 10, "and the pace is used");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_under_way_are_few() {
        let limit = RateLimit::new(&settings());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(limit.enter(Lane::People, far()).await.unwrap());
        }
        let fifth = limit.enter(Lane::People, Instant::now() + Duration::from_secs(1)).await;
        assert!(matches!(fifth, Err(Error::Busy { .. })), "{fifth:?}");
        held.pop();
        assert!(limit.enter(Lane::People, far()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_and_is_told_when_it_is_long() {
        let limit = RateLimit::new(&settings());
        limit.pause(Duration::from_secs(3));
        let start = Instant::now();
        drop(limit.enter(Lane::People, far()).await.unwrap());
        assert_eq!(start.elapsed().as_secs(), 3);
        limit.pause(Duration::from_secs(30));
        let told = limit.enter(Lane::People, far()).await.unwrap_err();
        assert_eq!(told, Error::Throttled { retry_after: Duration::from_secs(31) });
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_queue() {
        let limit = RateLimit::new(&settings());
        limit.pause(Duration::from_secs(5));
        let waiter = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.enter(Lane::People, far()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(limit.waiting(), 1);
        waiter.abort();
        drop(waiter.await);
        assert_eq!(limit.waiting(), 0);
        drop(limit.enter(Lane::People, far()).await.unwrap());
    }

    /// Who leaves, in which order, when each of these joins in turn while nobody may leave.
    async fn order(limit: &Arc<RateLimit>, lanes: &[Lane]) -> Vec<usize> {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for (number, lane) in lanes.iter().copied().enumerate() {
            let (limit, sender) = (Arc::clone(limit), sender.clone());
            drop(tokio::spawn(async move {
                drop(limit.enter(lane, far()).await.unwrap());
                sender.send(number).unwrap();
            }));
            tokio::task::yield_now().await;
        }
        drop(sender);
        let mut left = Vec::new();
        while let Some(number) = receiver.recv().await {
            left.push(number);
        }
        left
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_goes_first_and_pages_of_a_list_last() {
        let limit = RateLimit::new(&settings());
        limit.pause(Duration::from_secs(1));
        let lanes = [Lane::Listing, Lane::People, Lane::Begun, Lane::People, Lane::Listing, Lane::Begun];
        assert_eq!(order(&limit, &lanes).await, [2, 5, 1, 3, 0, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_not_put_off_for_ever() {
        let limit = RateLimit::new(&Settings { burst: NonZeroU32::MIN, ..settings() });
        limit.pause(Duration::from_secs(5));
        let waiter = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.enter(Lane::Listing, far()).await.map(|permit| permit.left()) }
        });
        // People keep coming faster than they leave.
        for _ in 0..1000 {
            let limit = Arc::clone(&limit);
            drop(tokio::spawn(async move { drop(limit.enter(Lane::People, far()).await) }));
            tokio::time::sleep(Duration::from_millis(20)).await;
            if waiter.is_finished() {
                break;
            }
        }
        assert!(waiter.is_finished(), "a page waited for as long as people came");
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_halves_the_pace_and_calm_brings_it_back() {
        let limit = RateLimit::new(&settings());
        let first = limit.enter(Lane::People, far()).await.unwrap().left();
        limit.slow_down(first, Duration::from_secs(1));
        limit.slow_down(first, Duration::from_secs(1));
        assert_eq!(limit.slowed_by(), 2, "calls that were under way together complain once");
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(limit.enter(Lane::People, far()).await.unwrap());
        let start = Instant::now();
        for _ in 0..5 {
            drop(limit.enter(Lane::People, far()).await.unwrap());
        }
        assert_eq!(start.elapsed().as_secs(), 2, "five calls at 2.5 a second");
        let again = limit.enter(Lane::People, far()).await.unwrap().left();
        limit.slow_down(again, Duration::from_secs(1));
        assert_eq!(limit.slowed_by(), 4);
        tokio::time::sleep(Duration::from_secs(32)).await;
        assert_eq!(limit.slowed_by(), 2);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(limit.slowed_by(), 1);
    }

    /// Two thousand at once: as many as can leave in time wait, the others are told when there is a place for them,
    /// and that is true.
    #[tokio::test(start_paused = true)]
    async fn a_flood_neither_starves_anybody_nor_fills_the_memory() {
        let limit = RateLimit::new(&settings());
        let mut waiters = tokio::task::JoinSet::new();
        for _ in 0..2000 {
            let limit = Arc::clone(&limit);
            drop(waiters.spawn(async move {
                let mut refusals = 0;
                loop {
                    match limit.enter(Lane::People, far()).await {
                        Ok(permit) => break (permit.left(), refusals),
                        Err(Error::Busy { retry_after }) => tokio::time::sleep(retry_after).await,
                        Err(other) => panic!("{other:?}"),
                    }
                    refusals += 1;
                }
            }));
        }
        tokio::task::yield_now().await;
        assert!(limit.waiting() <= 60, "{} wait", limit.waiting());
        let start = Instant::now();
        let mut most = 0;
        while let Some(left) = waiters.join_next().await {
            most = most.max(left.unwrap().1);
        }
        let took = start.elapsed().as_secs();
        assert!((390..=420).contains(&took), "{took} s for 2000 calls at 5 a second");
        assert!(most <= 2, "somebody was sent away {most} times");
    }
}
