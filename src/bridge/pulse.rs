//! The pulse of a loop on which everything rests: it beats each time the loop goes round, so that whoever watches over
//! the process sees one that stands still. No beat waits for Ziflow longer than the loop's own deadlines.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A loop that has nothing to do goes round this often.
pub const TICK: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Pulse {
    /// What the loop does.
    pub name: &'static str,
    /// One round takes no longer than this, whatever it waits for.
    longest: Duration,
    last: Mutex<Instant>,
}

impl Pulse {
    pub fn new(name: &'static str, longest: Duration) -> Self {
        Self { name, longest, last: Mutex::new(Instant::now()) }
    }

    /// The loop goes round.
    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the loop has stood still, if that is longer than a round can take.
    pub fn missed(&self) -> Option<Duration> {
        let still = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        (still > self.longest).then_some(still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_missed_after_its_longest_round_and_not_before() {
        let pulse = Pulse::new("waiting", Duration::from_secs(10));
        for (waited, missed) in [(9, None), (2, Some(11))] {
            tokio::time::advance(Duration::from_secs(waited)).await;
            assert_eq!(pulse.missed(), missed.map(Duration::from_secs));
        }
        pulse.beat();
        assert_eq!(pulse.missed(), None);
    }
}
