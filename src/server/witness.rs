//! What the service has seen of those who ask: every finished request leaves its trace here, and whoever watches reads
//! it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;

use crate::bridge::pulse::Pulse;
use crate::mask::Values;
use crate::server::forecast::Forecast;
use crate::server::log::{Done, Line};
use crate::server::operations::Operations;
use crate::server::reply::Reply;
use crate::server::seats::Seats;
use crate::server::traffic::Traffic;

/// No round of the loop that accepts connections takes longer.
const LONGEST_ROUND: Duration = Duration::from_secs(15);

/// One for the whole process.
#[derive(Debug)]
pub struct Witness {
    pub(super) started: Timestamp,
    pub(super) traffic: Traffic,
    pub(super) operations: Operations,
    /// Whether what is shown of requests has values in it.
    pub(super) values: Values,
    pub(super) forecast: Forecast,
    /// The connections, once there may be some.
    pub(super) seats: OnceLock<Arc<Seats>>,
    accepting: Pulse,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            started: Timestamp::now(),
            traffic: Traffic::default(),
            operations: Operations::default(),
            values: Values::default(),
            forecast: Forecast::default(),
            seats: OnceLock::new(),
            accepting: Pulse::new("accepting connections", LONGEST_ROUND),
        }
    }
}

impl Witness {
    /// Keeps so many requests to show them, with values or without.
    pub fn keeping(operations: usize, values: Values) -> Self {
        Self { operations: Operations::new(operations), values, ..Self::default() }
    }

    /// Whether connections are still accepted.
    pub fn accepting(&self) -> &Pulse {
        &self.accepting
    }

    /// Notes what became of a request; `None`: its client went away. Says whether it was still without an answer: what
    /// comes of a write whose time was over has been answered before.
    pub(super) fn note(&self, line: &Line, done: Option<&Done>) -> bool {
        let is_first = line.answer();
        if is_first {
            let reply = done.map(|done| &done.reply);
            self.traffic.note(line.operation, reply.map(Reply::status), line.start.elapsed());
            if let Some(object) = line.object {
                self.forecast.note(object, reply.map(Reply::status), reply.and_then(Reply::subject));
            }
        }
        if !line.is_quiet && (is_first || done.is_some()) {
            self.operations.note(line.operation(done, self.values));
        }
        is_first
    }
}
