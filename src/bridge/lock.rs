//! One writer per name: two changes of one person never interleave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use crate::scim::error::Error;

/// Locks by name; a name that nobody holds or wants takes no room for long.
#[derive(Debug, Default)]
pub(super) struct Locks {
    names: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// So many names make room for new ones by forgetting those that are free.
const TIDY_AT: usize = 256;

impl Locks {
    /// Waits for the name, first come, first served, until `deadline`.
    pub(super) async fn take(&self, name: &str, deadline: Instant) -> Result<OwnedMutexGuard<()>, Error> {
        let lock = self.lock(name);
        timeout_at(deadline, lock.lock_owned()).await.map_err(|_elapsed| {
            let told = "other changes of this person are still under way; ask again";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, told).retry_after(Duration::from_secs(1))
        })
    }

    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= TIDY_AT {
            // Whoever holds or wants a lock has a reference beside the map's own.
            names.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(names.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_only_until_the_deadline() {
        let locks = Locks::default();
        let soon = || Instant::now() + Duration::from_secs(1);
        let held = locks.take("a", soon()).await.unwrap();
        assert_eq!(locks.take("a", soon()).await.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(locks.take("b", soon()).await.is_ok());
        drop(held);
        assert!(locks.take("a", soon()).await.is_ok());
    }

    #[tokio::test]
    async fn free_names_are_forgotten_and_held_ones_are_not() {
        let locks = Locks::default();
        let far = Instant::now() + Duration::from_secs(60);
        let _held = locks.take("held", far).await.unwrap();
        for name in 0..1000 {
            drop(locks.take(&name.to_string(), far).await.unwrap());
        }
        let names = locks.names.lock().unwrap();
        assert!(names.len() <= TIDY_AT && names.contains_key("held"));
    }
}
