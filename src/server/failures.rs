//! The brake on guessing: how often each source has failed to show a right credential within a minute. It only decides
//! how wrong credentials are answered; a right one never comes here.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::source::Source;

const MINUTE: Duration = Duration::from_secs(60);

/// So many sources are remembered at once: whoever has more addresses costs no more memory.
const MOST_SOURCES: usize = 4096;

/// Failures by source.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// How often within the minute that began with a source's first failure.
    counts: HashMap<IpAddr, (Instant, u32)>,
    /// The sources, the one whose minute has begun first in front.
    begun: VecDeque<IpAddr>,
}

/// What is to be done about a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is told as what it is.
    Tolerated,
    /// There have been too many from there. It is worth asking again after this wait.
    Braked { wait: Duration, is_first: bool },
}

impl Failures {
    /// Counts one more. `most` are tolerated; 0: any number.
    pub(super) fn note(&mut self, source: Source, most: u32, now: Instant) -> Verdict {
        if most == 0 {
            return Verdict::Tolerated;
        }
        let source = source.network();
        self.forget_if(|begun, _| now >= begun + MINUTE);
        if !self.counts.contains_key(&source) {
            self.forget_if(|_, known| known >= MOST_SOURCES);
            self.begun.push_back(source);
        }
        let (since, count) = self.counts.entry(source).or_insert((now, 0));
        *count = count.saturating_add(1);
        if *count <= most {
            return Verdict::Tolerated;
        }
        let wait = (*since + MINUTE).saturating_duration_since(now);
        Verdict::Braked { wait, is_first: *count == most.saturating_add(1) }
    }

    /// Forgets the oldest, one after the other, for as long as this is so of when it began and how many there are.
    fn forget_if(&mut self, is_due: impl Fn(Instant, usize) -> bool) {
        while let Some(oldest) = self.begun.front() {
            if self.counts.get(oldest).is_some_and(|(begun, _)| !is_due(*begun, self.counts.len())) {
                return;
            }
            self.counts.remove(oldest);
            self.begun.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(number: u32) -> Source {
        Source::of_peer((Ipv4Addr::from_bits(number), 1).into())
    }

    #[test]
    fn after_so_many_failures_a_source_is_braked_until_its_minute_is_over() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let mut at = |number, secs| failures.note(source(number), 3, start + Duration::from_secs(secs));
        let braked = |secs, is_first| Verdict::Braked { wait: Duration::from_secs(secs), is_first };
        for second in 0..3 {
            assert_eq!(at(1, second), Verdict::Tolerated);
        }
        assert_eq!(at(1, 10), braked(50, true));
        assert_eq!(at(1, 59), braked(1, false));
        // Others are not meant.
        assert_eq!(at(2, 59), Verdict::Tolerated);
        // What was braked does not make the minute longer.
        assert_eq!(at(1, 60), Verdict::Tolerated);
        assert_eq!(at(1, 61), Verdict::Tolerated);
        assert_eq!(at(1, 62), Verdict::Tolerated);
        assert_eq!(at(1, 63), braked(57, true));
    }

    #[test]
    fn without_a_bound_nothing_is_kept() {
        let mut failures = Failures::default();
        for _ in 0..1000 {
            assert_eq!(failures.note(source(1), 0, Instant::now()), Verdict::Tolerated);
        }
        assert!(failures.counts.is_empty() && failures.begun.is_empty());
    }

    #[test]
    fn many_sources_cost_no_more_and_the_oldest_is_forgotten() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let most = u32::try_from(MOST_SOURCES).unwrap();
        for number in 0..most * 3 {
            assert_eq!(failures.note(source(number), 1, start), Verdict::Tolerated);
            assert!(failures.counts.len() <= MOST_SOURCES && failures.begun.len() == failures.counts.len());
        }
        // Whoever is known needs no room of anybody's.
        for known in [most * 3 - 1, most * 2] {
            assert!(matches!(failures.note(source(known), 1, start), Verdict::Braked { .. }), "{known}");
        }
        assert_eq!(failures.note(source(0), 1, start), Verdict::Tolerated);
        assert_eq!(failures.note(source(1), 1, start + MINUTE), Verdict::Tolerated);
        assert_eq!((failures.counts.len(), failures.begun.len()), (1, 1));
    }
}
