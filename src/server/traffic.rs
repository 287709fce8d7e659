//! What has been asked, what became of it, and how long it took: by operation, of which there are few.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::meter::Histogram;

/// The requests of one operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    /// By what they were answered; none for those whose client went away before.
    pub(super) answered: BTreeMap<Option<StatusCode>, u64>,
    pub(super) durations: Histogram,
}

/// All requests, by operation.
#[derive(Debug, Default)]
pub(super) struct Traffic(Mutex<BTreeMap<&'static str, Requests>>);

impl Traffic {
    pub(super) fn note(&self, operation: &'static str, status: Option<StatusCode>, took: Duration) {
        let mut operations = self.lock();
        let requests = operations.entry(operation).or_default();
        *requests.answered.entry(status).or_default() += 1;
        requests.durations.note(took);
    }

    pub(super) fn so_far(&self) -> BTreeMap<&'static str, Requests> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Requests>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
