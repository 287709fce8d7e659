//! The breaker: calls are held back while Ziflow cannot be used, and one at a time finds out whether it can be used
//! again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::ziflow::error::Error;
use crate::ziflow::figures::Counter;

/// How long calls are held back at first. Each failed test doubles it.
const FIRST_HOLD: Duration = Duration::from_secs(1);

/// When to come back while a test is under way.
const UNDER_TEST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    /// So many failures in a row hold back all calls; none means that they are never held back.
    failures: u32,
    longest_hold: Duration,
    /// How often calls have come to be held back.
    pub(super) trips: Counter,
    /// How many have been.
    pub(super) held_back: Counter,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

/// Calls are held back.
#[derive(Debug)]
struct Open {
    why: Error,
    until: Instant,
    hold: Duration,
    testing: bool,
}

impl Open {
    /// When to come back.
    fn wait(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).max(UNDER_TEST)
    }
}

/// The right to try. A test that ends without a word makes room for another one.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    breaker: &'a Breaker,
    is_test: bool,
}

impl Breaker {
    pub(super) fn new(failures: u32, longest_hold: Duration) -> Self {
        Self {
            state: Mutex::default(),
            failures,
            longest_hold,
            trips: Counter::default(),
            held_back: Counter::default(),
        }
    }

    /// Whether a call may be tried, or why not.
    pub(super) fn admit(&self) -> Result<Trial<'_>, Error> {
        let mut state = self.state();
        let Some(open) = &mut state.open else { return Ok(Trial { breaker: self, is_test: false }) };
        if open.until > Instant::now() || open.testing {
            self.held_back.add_one();
            return Err(held_back(&open.why, open.wait()));
        }
        open.testing = true;
        Ok(Trial { breaker: self, is_test: true })
    }

    /// Whether calls are held back.
    pub(super) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Ziflow refuses the key, so it would refuse the next call as well.
    pub(super) fn refused(&self, why: &Error) {
        let mut state = self.state();
        let hold = match &state.open {
            // Said to a call that was under way with the one that said it first.
            Some(open) if open.until > Instant::now() => return,
            Some(open) => open.hold * 2,
            None => {
                self.trips.add_one();
                FIRST_HOLD
            }
        };
        state.open = Some(self.held_from_now(why, hold));
    }

    /// Another key is in use: a refusal of the one before says nothing about it.
    pub(super) fn forget_refusal(&self) {
        let mut state = self.state();
        if matches!(&state.open, Some(open) if matches!(open.why, Error::KeyRefused { .. })) {
            *state = State::default();
        }
    }

    fn worked(&self) {
        let before = std::mem::take(&mut *self.state());
        if before.open.is_some() {
            info!("Ziflow can be used again: calls are no longer held back");
        }
    }

    fn failed(&self, why: &Error, is_test: bool) {
        let mut state = self.state();
        match &state.open {
            Some(open) if is_test => {
                let hold = open.hold * 2;
                state.open = Some(self.held_from_now(why, hold));
            }
            // It left before the calls were held back.
            Some(_) => {}
            None => {
                state.failures += 1;
                if self.failures > 0 && state.failures >= self.failures {
                    warn!(failures = state.failures, reason = %why, "Ziflow cannot be used: calls are held back");
                    self.trips.add_one();
                    state.open = Some(self.held_from_now(why, FIRST_HOLD));
                }
            }
        }
    }

    fn held_from_now(&self, why: &Error, hold: Duration) -> Open {
        let hold = hold.min(self.longest_hold);
        Open { why: why.clone(), until: Instant::now() + hold, hold, testing: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
    /// Whether the call may still leave: while it waited for its turn, calls may have come to be held back.
    pub(super) fn may_leave(&self) -> Result<(), Error> {
        match &self.breaker.state().open {
            Some(open) if !self.is_test => {
                self.breaker.held_back.add_one();
                Err(held_back(&open.why, open.wait()))
            }
            _ => Ok(()),
        }
    }

    /// Ziflow has answered.
    pub(super) fn worked(self) {
        self.breaker.worked();
    }

    /// It has not, or not as something that works.
    pub(super) fn failed(mut self, why: &Error) {
        self.breaker.failed(why, std::mem::take(&mut self.is_test));
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.is_test
            && let Some(open) = &mut self.breaker.state().open
        {
            open.testing = false;
        }
    }
}

/// What is told to those who are not let through.
fn held_back(why: &Error, wait: Duration) -> Error {
    match why {
        Error::KeyRefused { .. } => why.clone(),
        why => Error::Unavailable {
            reason: format!("calls are held back since it failed several times in a row ({why})"),
            retry_after: Some(Duration::from_secs(wait.as_secs() + 1)),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn dead() -> Error {
        Error::TimedOut { reason: "no answer".to_owned() }
    }

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed(&dead());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_ziflow_is_tried_by_single_calls_ever_more_rarely() {
        let breaker = Breaker::new(3, Duration::from_secs(4));
        fail(&breaker, 2);
        breaker.admit().unwrap().worked();
        fail(&breaker, 2);
        assert!(!breaker.is_open(), "only failures in a row count");
        fail(&breaker, 1);
        for hold in [1, 2, 4, 4] {
            let told = breaker.admit().unwrap_err();
            assert!(matches!(told, Error::Unavailable { retry_after: Some(_), .. }), "{told:?}");
            advance(Duration::from_secs(hold)).await;
            let test = breaker.admit().unwrap();
            assert!(breaker.admit().is_err(), "one test at a time");
            test.failed(&dead());
        }
        advance(Duration::from_secs(4)).await;
        drop(breaker.admit().unwrap());
        breaker.admit().expect("a test that was given up makes room").worked();
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_held_back_until_there_is_another() {
        let refusal = Error::KeyRefused { status: 401, message: String::new() };
        let breaker = Breaker::new(3, Duration::from_secs(4));
        breaker.refused(&refusal);
        assert_eq!(breaker.admit().unwrap_err(), refusal);
        breaker.forget_refusal();
        breaker.admit().unwrap().worked();
        fail(&breaker, 3);
        breaker.forget_refusal();
        assert!(breaker.is_open(), "that was no refusal");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_their_turn_is_held_back_as_well() {
        let breaker = Breaker::new(2, Duration::from_secs(4));
        let waiting = breaker.admit().unwrap();
        assert_eq!(waiting.may_leave(), Ok(()));
        fail(&breaker, 2);
        assert!(matches!(waiting.may_leave(), Err(Error::Unavailable { retry_after: Some(_), .. })));
        advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.admit().unwrap().may_leave(), Ok(()), "the test leaves");
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_switched_off() {
        let breaker = Breaker::new(0, Duration::from_secs(4));
        fail(&breaker, 100);
        assert!(!breaker.is_open());
    }
}
