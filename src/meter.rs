//! How long things take, counted so that Prometheus can tell the slow ones from the many. Pure: who counts has the clock.

use std::time::Duration;

/// The upper ends of the buckets, in milliseconds; a last one has none. Up to the time that a request may take.
const BOUNDS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// Durations, counted by buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS_MS.len()],
    longer: u64,
    sum: Duration,
}

impl Histogram {
    pub fn note(&mut self, duration: Duration) {
        let bucket = BOUNDS_MS.iter().position(|bound| duration <= Duration::from_millis(*bound));
        let count = bucket.and_then(|bucket| self.counts.get_mut(bucket)).unwrap_or(&mut self.longer);
        *count += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// The upper end of each bucket in seconds, and how many took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut so_far = 0;
        BOUNDS_MS.iter().zip(self.counts).map(move |(bound, count)| {
            so_far += count;
            (Duration::from_millis(*bound).as_secs_f64(), so_far)
        })
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.longer
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_its_bucket_and_in_all_that_are_longer() {
        let mut histogram = Histogram::default();
        for ms in [0, 5, 6, 1000, 10_001, 60_000] {
            histogram.note(Duration::from_millis(ms));
        }
        let up_to: Vec<_> = histogram.up_to().collect();
        assert_eq!(up_to.first(), Some(&(0.005, 2)), "an end belongs to its bucket");
        assert_eq!(up_to.get(1), Some(&(0.01, 3)));
        assert_eq!(up_to.get(7), Some(&(1.0, 4)));
        assert_eq!(up_to.last(), Some(&(10.0, 4)), "what is longer is in none of them");
        assert_eq!((histogram.count(), histogram.sum()), (6, Duration::from_millis(71_012)));
    }
}
