//! The numbers of the upstream: what has left for Ziflow, what came of it, and what held the rest back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::meter::Histogram;
use crate::ziflow::directory::Directory;
use crate::ziflow::transport::{Answer, Body, Lost};

/// How calls can end, in words that are labels of a metric.
pub const OUTCOMES: [&str; 12] = [
    "ok",
    "not_found",
    "conflict",
    "refused",
    "unauthorised",
    "throttled",
    "server_error",
    "unusable",
    "unreachable",
    "timeout",
    "lost",
    "abandoned",
];

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The calls to one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// By one of [`OUTCOMES`].
    pub ended: BTreeMap<&'static str, u64>,
    pub durations: Histogram,
}

/// The calls by endpoint: a method and a path that names nobody.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<String, Endpoint>>);

impl Ledger {
    /// A call leaves for this endpoint.
    pub(super) fn open(&self, endpoint: String, left: Instant) -> Departure<'_> {
        Departure { ledger: self, endpoint, left, outcome: "abandoned" }
    }

    pub(super) fn so_far(&self) -> BTreeMap<String, Endpoint> {
        self.lock().clone()
    }

    fn note(&self, endpoint: &str, outcome: &'static str, took: Duration) {
        let mut endpoints = self.lock();
        let calls = endpoints.entry(endpoint.to_owned()).or_insert_with(|| {
            // A series that begins at zero shows its first event as an increase.
            let ended = OUTCOMES.into_iter().map(|outcome| (outcome, 0)).collect();
            Endpoint { ended, durations: Histogram::default() }
        });
        *calls.ended.entry(outcome).or_default() += 1;
        calls.durations.note(took);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has left. It counts when it is dropped, also when nobody has waited for its end.
#[derive(Debug)]
pub(super) struct Departure<'a> {
    ledger: &'a Ledger,
    endpoint: String,
    left: Instant,
    outcome: &'static str,
}

impl Departure<'_> {
    pub(super) fn ended(&mut self, end: Result<&Answer, &Lost>) {
        self.outcome = match end {
            Ok(answer) => outcome_of(answer),
            Err(lost) if lost.timed_out => "timeout",
            Err(lost) if lost.may_have_arrived => "lost",
            Err(_) => "unreachable",
        };
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        self.ledger.note(&self.endpoint, self.outcome, self.left.elapsed());
    }
}

/// By the status; what it means for a request is the client's business.
fn outcome_of(answer: &Answer) -> &'static str {
    match answer.status {
        status if status.is_success() => match answer.body {
            Body::Json(_) | Body::Empty => "ok",
            Body::Text { .. } | Body::Cut(_) => "unusable",
        },
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::CONFLICT => "conflict",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "unauthorised",
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        status if status.is_client_error() => "refused",
        status if status.is_server_error() => "server_error",
        _ => "unusable",
    }
}

/// How the door to Ziflow is at one moment, and what it has done so far.
#[derive(Clone, Debug)]
pub struct Door {
    /// Calls a second that have left, over the last ten.
    pub lately: f64,
    /// How many wait in each lane, by its name.
    pub waiting: [(&'static str, usize); 3],
    pub in_flight: u32,
    pub most_in_flight: u32,
    /// How long those waited who have left.
    pub waits: Histogram,
    /// How many were told to come back later.
    pub sent_away: u64,
    /// How often Ziflow has asked for a pause.
    pub pauses: u64,
    /// How long the present one still lasts; zero when there is none.
    pub pause_left: Duration,
    /// Calls in a second, as set and as it is at present.
    pub pace: u32,
    pub pace_now: f64,
}

/// Counts how often what was asked for was at hand.
#[derive(Debug, Default)]
pub(super) struct Asked {
    hits: Counter,
    misses: Counter,
}

impl Asked {
    pub(super) fn note(&self, was_at_hand: bool) {
        if was_at_hand { self.hits.add_one() } else { self.misses.add_one() }
    }

    fn with(&self, entries: usize) -> Cached {
        Cached { hits: self.hits.get(), misses: self.misses.get(), entries }
    }
}

/// A cache at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    pub hits: u64,
    pub misses: u64,
    /// How many people are kept at this moment.
    pub entries: usize,
}

/// Everything there is to tell of the upstream at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    pub calls: BTreeMap<String, Endpoint>,
    pub retries: u64,
    pub door: Door,
    pub breaker_open: bool,
    pub breaker_trips: u64,
    /// Calls that were not made, because Ziflow could not be used.
    pub held_back: u64,
    pub people: Cached,
    pub everybody: Cached,
}

impl Directory {
    /// None of it costs a call.
    pub fn figures(&self) -> Figures {
        let sender = self.client().sender();
        Figures {
            calls: sender.transport.ledger.so_far(),
            retries: sender.retries.get(),
            door: sender.limit().figures(),
            breaker_open: sender.holds_back(),
            breaker_trips: sender.breaker.trips.get(),
            held_back: sender.breaker.held_back.get(),
            people: self.asked_for_people.with(self.kept_people()),
            everybody: self.asked_for_everybody.with(self.kept_everybody()),
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::ziflow::transport::KeyNumber;

    fn answer(status: u16, body: Body) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        let left = Instant::now();
        Answer { status, retry_after: None, redirect: None, body, left, key: KeyNumber::default() }
    }

    #[tokio::test]
    async fn every_call_that_leaves_is_counted_by_its_end() {
        let ledger = Ledger::default();
        let leave = || ledger.open("GET /users/{id}".to_owned(), Instant::now());
        let html = || Body::Text { text: "<html>".to_owned(), html: true };
        for (status, body, outcome) in [
            (200, Body::Json(json!({})), "ok"),
            (204, Body::Empty, "ok"),
            (200, html(), "unusable"),
            (200, Body::Cut("broke off".to_owned()), "unusable"),
            (302, Body::Empty, "unusable"),
            (400, Body::Empty, "refused"),
            (401, Body::Empty, "unauthorised"),
            (403, Body::Empty, "unauthorised"),
            (404, html(), "not_found"),
            (409, Body::Empty, "conflict"),
            (422, Body::Empty, "refused"),
            (429, Body::Empty, "throttled"),
            (503, Body::Empty, "server_error"),
        ] {
            assert_eq!(outcome_of(&answer(status, body)), outcome, "{status}");
        }
        let lost = |may_have_arrived, timed_out| Lost {
            reason: String::new(),
            may_have_arrived,
            timed_out,
            left: Instant::now(),
        };
        leave().ended(Ok(&answer(200, Body::Empty)));
        leave().ended(Err(&lost(true, true)));
        leave().ended(Err(&lost(true, false)));
        leave().ended(Err(&lost(false, false)));
        drop(leave());
        let calls = ledger.so_far().remove("GET /users/{id}").unwrap();
        let seen: Vec<_> = calls.ended.iter().filter(|(_, count)| **count > 0).collect();
        let once = ["abandoned", "lost", "ok", "timeout", "unreachable"].map(|outcome| (outcome, 1));
        assert_eq!(seen, once.iter().map(|(outcome, count)| (outcome, count)).collect::<Vec<_>>());
        assert_eq!((calls.durations.count(), calls.ended.len()), (5, OUTCOMES.len()));
    }
}
