//! How many calls have left of late, for those who watch.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So long is remembered.
const SPAN: Duration = Duration::from_secs(10);

/// Counts by the tenth of a second, so that a fast pace takes no more room than a slow one.
const STEP: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Departures(VecDeque<(Instant, u32)>);

impl Departures {
    pub(super) fn note(&mut self, now: Instant) {
        match self.0.back_mut() {
            Some((since, count)) if now.saturating_duration_since(*since) < STEP => *count += 1,
            _ => self.0.push_back((now, 1)),
        }
        self.forget(now);
    }

    /// How many a second, over the last ten.
    pub(super) fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        let left: u32 = self.0.iter().map(|(_, count)| count).sum();
        f64::from(left) / SPAN.as_secs_f64()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(then, _)| now.saturating_duration_since(*then) >= SPAN) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_ago_does_not_count() {
        let start = Instant::now();
        let mut departures = Departures::default();
        for tenth in 0..200 {
            departures.note(start + STEP * tenth);
            departures.note(start + STEP * tenth);
        }
        let now = start + STEP * 199;
        assert!((departures.per_second(now) - 20.0).abs() < 0.3 && departures.0.len() <= 101);
        assert!(departures.per_second(now + SPAN).abs() < f64::EPSILON);
    }
}
