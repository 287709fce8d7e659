//! What the service has seen of those who ask: every finished request leaves its trace here, and whoever watches reads
//! it.

use std::time::Duration;

use crate::bridge::pulse::Pulse;
use crate::server::log::{Done, Line};
use crate::server::traffic::Traffic;

/// No round of the loop that accepts connections takes longer.
const LONGEST_ROUND: Duration = Duration::from_secs(15);

/// One for the whole process.
#[derive(Debug)]
pub struct Witness {
    pub(super) traffic: Traffic,
    accepting: Pulse,
}

impl Default for Witness {
    fn default() -> Self {
        let accepting = Pulse::new("accepting connections", LONGEST_ROUND);
        Self { traffic: Traffic::default(), accepting }
    }
}

impl Witness {
    /// Whether connections are still accepted.
    pub fn accepting(&self) -> &Pulse {
        &self.accepting
    }

    /// Notes what became of a request; `None`: its client went away. Says whether it was still without an answer: what
    /// comes of a write whose time was over has been answered before.
    pub(super) fn note(&self, line: &Line, done: Option<&Done>) -> bool {
        let is_first = line.answer();
        if is_first {
            let status = done.map(|done| done.reply.status());
            self.traffic.note(line.operation, status, line.start.elapsed());
        }
        is_first
    }
}
