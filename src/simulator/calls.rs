//! What was asked: a log of calls, counts by route, and the peak rate. Control requests are not in it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

/// Calls that the log keeps; older ones are only counted.
const KEPT: usize = 10_000;

/// One call as it arrived, and how it was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// Counts from 1 since the start or the last reset.
    pub n: usize,
    /// Milliseconds since the start of the simulator.
    pub at_ms: u64,
    pub method: String,
    /// The route's pattern, `/users/{id}`, or `other`.
    pub route: String,
    /// As received: still percent-encoded.
    pub path: String,
    pub query: String,
    /// JSON, or null; a password is shown as `***`.
    pub body: Value,
    /// `None` while the call waits, and for ever when it was left without an answer.
    pub status: Option<u16>,
}

/// The log.
#[derive(Debug)]
pub(super) struct Calls {
    started: Instant,
    total: usize,
    peak: usize,
    /// Counts the resets, so that a call from before one does not answer for a call after it.
    era: usize,
    by: BTreeMap<String, usize>,
    log: VecDeque<Call>,
    recent: Window,
}

/// Where in the log a call is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    era: usize,
    n: usize,
}

impl Calls {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            total: 0,
            peak: 0,
            era: 0,
            by: BTreeMap::new(),
            log: VecDeque::new(),
            recent: Window::default(),
        }
    }

    /// Writes a call down; its number and time are filled in here.
    pub(super) fn record(&mut self, call: Call, now: Instant) -> Ticket {
        self.total += 1;
        self.peak = self.peak.max(self.recent.count(now) + 1);
        self.recent.add(now);
        *self.by.entry(format!("{} {}", call.method, call.route)).or_default() += 1;
        if self.log.len() == KEPT {
            self.log.pop_front();
        }
        let at_ms =
            u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        self.log.push_back(Call { n: self.total, at_ms, ..call });
        Ticket { era: self.era, n: self.total }
    }

    pub(super) fn answered(&mut self, ticket: Ticket, status: u16) {
        let oldest = self.log.front().map_or(0, |call| call.n);
        let place = ticket.n.checked_sub(oldest).filter(|_| ticket.era == self.era);
        if let Some(call) = place.and_then(|place| self.log.get_mut(place)) {
            call.status = Some(status);
        }
    }

    /// The calls with a number above `n`.
    pub(super) fn since(&self, n: usize) -> Vec<Call> {
        self.log.iter().filter(|call| call.n > n).cloned().collect()
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    pub(super) fn reset(&mut self) {
        *self = Self { era: self.era + 1, ..Self::new(self.started) };
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "total": self.total, "peak_per_second": self.peak, "by": self.by, "log": self.log })
    }
}

/// The moments of the last second.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Instant>);

impl Window {
    /// How many moments lie less than a second back.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        let old = |at: &Instant| now.saturating_duration_since(*at) >= Duration::from_secs(1);
        while self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        self.0.len()
    }

    pub(super) fn add(&mut self, now: Instant) {
        self.0.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(route: &str) -> Call {
        Call {
            n: 0,
            at_ms: 0,
            method: "GET".into(),
            route: route.into(),
            path: String::new(),
            query: String::new(),
            body: Value::Null,
            status: None,
        }
    }

    #[test]
    fn the_peak_is_the_fullest_second() {
        let start = Instant::now();
        let mut calls = Calls::new(start);
        for ms in [0, 300, 900, 1000, 1100, 1300, 5000] {
            calls.record(call("/users"), start + Duration::from_millis(ms));
        }
        assert_eq!((calls.total(), calls.peak()), (7, 4));
        assert_eq!(calls.since(6)[0].at_ms, 5000);
        assert_eq!(calls.to_json()["by"]["GET /users"], 7);
    }

    #[test]
    fn an_answer_finds_its_call() {
        let start = Instant::now();
        let mut calls = Calls::new(start);
        let tickets: Vec<Ticket> = (0..KEPT + 2).map(|_| calls.record(call("/users"), start)).collect();
        calls.answered(tickets[1], 500);
        calls.answered(tickets[KEPT], 201);
        let log = calls.since(0);
        assert_eq!((log.len(), log[0].n), (KEPT, 3));
        let answered: Vec<_> = log.iter().filter_map(|call| Some((call.n, call.status?))).collect();
        assert_eq!(answered, [(KEPT + 1, 201)]);
    }

    #[test]
    fn a_call_from_before_a_reset_answers_for_none_after_it() {
        let start = Instant::now();
        let mut calls = Calls::new(start);
        let before = calls.record(call("/users"), start);
        calls.reset();
        calls.record(call("/guests"), start);
        calls.answered(before, 200);
        assert_eq!(calls.since(0)[0].status, None);
        assert_eq!((calls.total(), calls.peak()), (1, 1));
    }
}
