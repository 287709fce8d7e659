//! The numbers that the bridge hands up to whoever watches. Each is counted by the room that it is about; here they are
//! put together, at the moment somebody asks.

use crate::bridge::Bridge;
use crate::bridge::audit::Lines;
use crate::bridge::brake::brake_of;
use crate::bridge::grants::age;
use crate::store::Sizes;
use crate::store::groups::Backlog;
pub use crate::ziflow::figures::{Door, Figures as Upstream};

/// Everything there is to tell at one moment. What the store cannot tell is missing: a zero would say that all is well.
#[derive(Clone, Debug)]
pub struct Figures {
    pub upstream: Upstream,
    pub store: Option<Sizes>,
    pub store_failures: u64,
    pub brake: Option<Brake>,
    pub grants: Option<Waiting>,
    pub audit: Lines,
}

/// The brake on mass disabling.
#[derive(Clone, Copy, Debug)]
pub struct Brake {
    pub is_tripped: bool,
    /// How many have lost their access within the hour, and how many may; 0: any number.
    pub taken: u32,
    pub most: u32,
}

/// The queue of what groups grant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    pub waiting: u32,
    /// Of these, those for whom it has failed at least once.
    pub failing: u32,
    /// For how many seconds the one has waited who has waited longest.
    pub oldest_secs: i64,
}

impl Bridge {
    /// None of it costs a call, and nothing is counted through that could be many.
    pub async fn figures(&self) -> Figures {
        let most = self.policy.max_deactivations_per_hour;
        let brake = brake_of(&self.store).await.ok();
        let brake = brake.map(|brake| Brake { is_tripped: brake.since.is_some(), taken: brake.taken, most });
        Figures {
            upstream: self.directory.figures(),
            store: self.store.sizes().await.ok(),
            store_failures: self.store.failures(),
            brake,
            grants: self.grants_waiting().await,
            audit: self.audit.lines(),
        }
    }
}

impl From<Backlog> for Waiting {
    fn from(backlog: Backlog) -> Self {
        let Backlog { waiting, failing, oldest, .. } = backlog;
        Self { waiting, failing, oldest_secs: age(oldest) }
    }
}
