//! The one door through which every call to Ziflow leaves: first come, first served, at a pace Ziflow can
//! bear, with at most so many calls under way, and with an end to every wait.
//!
//! In any w seconds at most `burst` + w × `requests_per_second` calls leave. Ziflow publishes no limits, so
//! the defaults are low.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::ziflow::error::Error;

/// `rate_limit.*` of the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub requests_per_second: NonZeroU32,
    pub burst: NonZeroU32,
    pub in_flight: NonZeroU32,
    pub max_wait_secs: u64,
    pub max_pause_secs: u64,
    pub retries: usize,
    pub backoff_min_ms: u64,
    pub backoff_max_secs: u64,
}

/// The door. See the module.
#[derive(Debug)]
pub struct RateLimit {
    pace: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    /// Held by the one caller whose turn is next. tokio's mutex is fair, so this is the queue.
    turn: tokio::sync::Mutex<()>,
    in_flight: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
    waiting: AtomicU32,
    requests_per_second: NonZeroU32,
    max_wait: Duration,
    max_pause: Duration,
}

/// The right to make one call; it ends when dropped.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl RateLimit {
    pub fn new(settings: &Settings) -> Self {
        let clock = TokioClock { start: Instant::now() };
        let quota = Quota::per_second(settings.requests_per_second).allow_burst(settings.burst);
        let in_flight = usize::try_from(settings.in_flight.get()).unwrap_or(usize::MAX);
        Self {
            pace: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            turn: tokio::sync::Mutex::new(()),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            paused_until: Mutex::new(None),
            waiting: AtomicU32::new(0),
            requests_per_second: settings.requests_per_second,
            max_wait: Duration::from_secs(settings.max_wait_secs),
            max_pause: Duration::from_secs(settings.max_pause_secs),
        }
    }

    /// Waits for the right to make one call, until `deadline` and at most `max_wait_secs`.
    pub async fn enter(&self, deadline: Instant) -> Result<Permit, Error> {
        let end = deadline.min(Instant::now() + self.max_wait);
        if let Some(pause) = self.pause_left()
            && Instant::now() + pause > end
        {
            return Err(Error::Throttled { retry_after: whole_seconds(pause) });
        }
        let _waiting = Waiting::begin(&self.waiting);
        match timeout_at(end, self.take_turn()).await {
            Ok(permit) => permit,
            Err(_elapsed) => Err(Error::Busy { retry_after: self.time_to_clear() }),
        }
    }

    /// Lets nothing leave for this long: Ziflow answered 429.
    pub fn pause(&self, length: Duration) {
        let until = Instant::now() + length.min(self.max_pause);
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |before| before.max(until)));
    }

    /// The longest pause that is kept: a mistaken `Retry-After` must not stop everything for a day.
    pub fn max_pause(&self) -> Duration {
        self.max_pause
    }

    /// How long Ziflow's request to slow down still lasts.
    pub fn pause_left(&self) -> Option<Duration> {
        let until = (*self.paused_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// How many callers stand in the queue.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn take_turn(&self) -> Result<Permit, Error> {
        let _turn = self.turn.lock().await;
        let permit = Arc::clone(&self.in_flight).acquire_owned().await;
        let permit = permit.map_err(|_closed| Error::Busy { retry_after: self.time_to_clear() })?;
        loop {
            if let Some(pause) = self.pause_left() {
                sleep_until(Instant::now() + pause).await;
                continue;
            }
            match self.pace.check() {
                Ok(()) => return Ok(Permit(permit)),
                Err(not_until) => sleep(not_until.wait_time_from(self.clock.now())).await,
            }
        }
    }

    /// When the present queue will have left, if nothing else happens.
    fn time_to_clear(&self) -> Duration {
        let queue = self.waiting().div_ceil(self.requests_per_second.get());
        Duration::from_secs(queue.into()) + self.pause_left().map_or(Duration::from_secs(1), whole_seconds)
    }
}

/// `Retry-After` counts whole seconds; less than one would invite the same answer again.
fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + 1)
}

/// Counts a caller in for as long as it lives, also when its future is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
            drop(limit.enter(far()).await.unwrap());
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
            held.push(limit.enter(far()).await.unwrap());
        }
        let fifth = limit.enter(Instant::now() + Duration::from_secs(1)).await;
        assert!(matches!(fifth, Err(Error::Busy { .. })), "{fifth:?}");
        held.pop();
        assert!(limit.enter(far()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_and_is_told_when_it_is_long() {
        let limit = RateLimit::new(&settings());
        limit.pause(Duration::from_secs(3));
        let start = Instant::now();
        drop(limit.enter(far()).await.unwrap());
        assert_eq!(start.elapsed().as_secs(), 3);
        limit.pause(Duration::from_secs(30));
        let told = limit.enter(far()).await.unwrap_err();
        assert_eq!(told, Error::Throttled { retry_after: Duration::from_secs(31) });
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_queue() {
        let limit = Arc::new(RateLimit::new(&settings()));
        limit.pause(Duration::from_secs(5));
        let waiter = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.enter(far()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(limit.waiting(), 1);
        waiter.abort();
        drop(waiter.await);
        assert_eq!(limit.waiting(), 0);
        drop(limit.enter(far()).await.unwrap());
    }
}
