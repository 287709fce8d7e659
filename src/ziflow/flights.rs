//! Equal reads at the same time share one call.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use tokio::time::timeout_at;

use crate::ziflow::error::Error;
use crate::ziflow::model::User;
use crate::ziflow::transport::Call;

/// The reads under way, by what they ask for.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<String, Arc<Flight>>>);

/// One read and all who wait for it.
#[derive(Debug)]
struct Flight {
    /// How many writes there had been when it began.
    writes: u64,
    outcome: OnceCell<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    found: Result<User, Error>,
    /// The call that brought it.
    call: Call,
}

/// Somebody who waits. The last one who leaves ends the flight.
struct Seat<'a> {
    flights: &'a Flights,
    name: String,
    flight: Arc<Flight>,
}

impl Flights {
    /// Reads, or waits for an equal read under way that no write has overtaken. Whoever reads may go away: then the
    /// next in the line reads.
    pub(super) async fn share(
        &self,
        name: String,
        writes: u64,
        call: &Call,
        read: impl Future<Output = Result<User, Error>>,
    ) -> Result<User, Error> {
        // What waits behind people's requests must not be what one of them waits for.
        let name = if call.is_listing() { format!("behind {name}") } else { name };
        let seat = self.take_seat(name, writes);
        let read = async {
            match read.await {
                // Others may have more time than this one had.
                Err(error) if is_of_one_caller(&error) => Err(error),
                found => Ok(Outcome { found, call: call.clone() }),
            }
        };
        let shared = timeout_at(call.deadline(), seat.flight.outcome.get_or_try_init(|| read)).await;
        let outcome = shared.map_err(|_elapsed| Error::TimedOut {
            reason: "an equal question was still being asked".to_owned(),
        })??;
        call.has_learned_from(&outcome.call);
        outcome.found.clone()
    }

    fn take_seat(&self, name: String, writes: u64) -> Seat<'_> {
        let mut flights = self.lock();
        let flight = flights.get(&name).filter(|flight| flight.writes == writes).map(Arc::clone);
        let flight = flight.unwrap_or_else(|| Arc::new(Flight { writes, outcome: OnceCell::new() }));
        flights.insert(name.clone(), Arc::clone(&flight));
        drop(flights);
        Seat { flights: self, name, flight }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let own = flights.get(&self.name).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // What has arrived is for those who wait: who comes now asks anew. Else the map's own and this one's are the
        // last two.
        if own && (self.flight.outcome.initialized() || Arc::strong_count(&self.flight) == 2) {
            flights.remove(&self.name);
        }
    }
}

fn is_of_one_caller(error: &Error) -> bool {
    matches!(error, Error::Busy { .. } | Error::Throttled { .. } | Error::TimedOut { .. })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn call() -> Call {
        Call::until(Instant::now() + Duration::from_secs(10))
    }

    fn jo() -> User {
        User::from_json(&json!({"id": "1", "email": "jo@example.com"})).unwrap()
    }

    async fn read(made: &AtomicU32) -> Result<User, Error> {
        made.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        Ok(jo())
    }

    fn ask(flights: &Arc<Flights>, made: &Arc<AtomicU32>, writes: u64) -> tokio::task::JoinHandle<bool> {
        let (flights, made) = (Arc::clone(flights), Arc::clone(made));
        tokio::spawn(
            async move { flights.share("1".to_owned(), writes, &call(), read(&made)).await == Ok(jo()) },
        )
    }

    #[tokio::test(start_paused = true)]
    async fn equal_reads_share_one_call_unless_a_write_came_between() {
        let (flights, made) = (Arc::new(Flights::default()), Arc::new(AtomicU32::new(0)));
        let asked: Vec<_> = [0, 0, 0, 1, 1].map(|writes| ask(&flights, &made, writes)).into();
        for asked in asked {
            assert!(asked.await.unwrap());
        }
        assert_eq!(made.load(Ordering::Relaxed), 2);
        assert!(ask(&flights, &made, 1).await.unwrap());
        assert_eq!(made.load(Ordering::Relaxed), 3, "what has arrived is not kept");
        assert!(flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_reader_goes_away_the_next_one_reads() {
        let (flights, made) = (Arc::new(Flights::default()), Arc::new(AtomicU32::new(0)));
        let (first, second) = (ask(&flights, &made, 0), ask(&flights, &made, 0));
        sleep(Duration::from_millis(500)).await;
        first.abort();
        assert!(second.await.unwrap());
        assert_eq!(made.load(Ordering::Relaxed), 2);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_callers_lack_of_time_is_not_anothers() {
        let flights = Arc::new(Flights::default());
        let busy = async { Err(Error::Busy { retry_after: Duration::from_secs(1) }) };
        let made = AtomicU32::new(0);
        let (first, second) = (call(), call());
        let (first, second) = tokio::join!(
            flights.share("1".to_owned(), 0, &first, busy),
            flights.share("1".to_owned(), 0, &second, read(&made)),
        );
        assert!(first.is_err() && second == Ok(jo()));
    }
}
