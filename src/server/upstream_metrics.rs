//! The part of `/metrics` that is about Ziflow: the calls, what holds them back, and what saves them.

use crate::bridge::figures::{Door, Upstream as Figures};
use crate::server::exposition::Page;

/// Writes the upstream's numbers down.
pub(super) fn render(page: &mut Page, figures: &Figures) {
    calls(page, figures);
    door(page, &figures.door);
    caches(page, figures);
}

fn calls(page: &mut Page, figures: &Figures) {
    let help = "Calls to Ziflow that have left, by endpoint and by what became of them.";
    let mut family = page.counter("ziflow_calls_total", help);
    for (endpoint, calls) in &figures.calls {
        for (outcome, count) in &calls.ended {
            family.sample(&[("endpoint", endpoint), ("outcome", outcome)], count);
        }
    }
    let help = "How long Ziflow took to answer, the wait for a turn not included.";
    let mut family = page.histogram("ziflow_call_duration_seconds", help);
    for (endpoint, calls) in &figures.calls {
        family.buckets(&[("endpoint", endpoint)], &calls.durations);
    }
    let help = "Calls that were made again after one that failed.";
    page.counter("ziflow_retries_total", help).value(figures.retries);
    let help = "Whether calls are held back because Ziflow cannot be used (1) or not (0).";
    page.gauge("ziflow_breaker_open", help).value(u8::from(figures.breaker_open));
    let help = "How often calls have come to be held back.";
    page.counter("ziflow_breaker_trips_total", help).value(figures.breaker_trips);
    let help = "Calls that were not made, because Ziflow could not be used.";
    page.counter("ziflow_calls_held_back_total", help).value(figures.held_back);
}

fn door(page: &mut Page, door: &Door) {
    let help = "Calls under way to Ziflow.";
    page.gauge("ziflow_calls_in_flight", help).value(door.in_flight);
    let help = "So many calls may be under way at once (rate_limit.in_flight).";
    page.gauge("ziflow_calls_in_flight_limit", help).value(door.most_in_flight);
    let help = "Calls that wait for their turn: of requests that have begun, of new ones, of pages of lists.";
    let mut family = page.gauge("limiter_waiting", help);
    for (lane, waiting) in door.waiting {
        family.sample(&[("lane", lane)], waiting);
    }
    let help = "How long calls waited for their turn before they left.";
    page.histogram("limiter_wait_seconds", help).buckets(&[], &door.waits);
    let help = "Calls that could not have left in time, and were told to come back.";
    page.counter("limiter_sent_away_total", help).value(door.sent_away);
    let help = "Pauses that Ziflow has asked for.";
    page.counter("limiter_pauses_total", help).value(door.pauses);
    let help = "For how long the present pause still lasts; 0 when there is none.";
    page.gauge("limiter_pause_seconds", help).value(door.pause_left.as_secs_f64());
    let help = "The present pace: so many calls may leave in a second.";
    page.gauge("limiter_calls_per_second", help).value(door.pace_now);
    let help = "The whole pace (rate_limit.requests_per_second); a 429 of Ziflow's halves it for a while.";
    page.gauge("limiter_calls_per_second_limit", help).value(door.pace);
}

fn caches(page: &mut Page, figures: &Figures) {
    let caches = [("person", figures.people), ("everybody", figures.everybody)];
    let help = "How often somebody, or the list of everybody, was at hand (hit) or had to be read (miss).";
    let mut family = page.counter("cache_requests_total", help);
    for (cache, cached) in caches {
        family.sample(&[("cache", cache), ("result", "hit")], cached.hits);
        family.sample(&[("cache", cache), ("result", "miss")], cached.misses);
    }
    let mut family = page.gauge("cache_entries", "People who are kept at this moment.");
    for (cache, cached) in caches {
        family.sample(&[("cache", cache)], cached.entries);
    }
}
