//! What the service has seen of those who ask: every finished request leaves its trace here, and whoever watches reads
//! it.

use crate::server::log::{Done, Line};
use crate::server::traffic::Traffic;

/// One for the whole process.
#[derive(Debug, Default)]
pub struct Witness {
    pub(super) traffic: Traffic,
}

impl Witness {
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
