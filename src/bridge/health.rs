//! How the parts are that a request needs, for readiness and for people who watch.

use std::time::Duration;

use tokio::time::sleep;

use crate::bridge::Bridge;
use crate::ziflow::rate_limit::RateLimit;

/// How often it is looked whether the store keeps what is written.
const LOOK: Duration = Duration::from_secs(10);

/// How a part of the bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub name: &'static str,
    pub state: Health,
    pub detail: String,
}

/// Whether a part can do its work; unknown until it has been used. A part that has tripped waits for an operator, and
/// the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Fine,
    Unknown,
    /// What it has done is not what it should be by now.
    Stale,
    /// If it goes on like this, others will stop it.
    AtRisk,
    Tripped,
    Failing,
}

impl Component {
    pub(super) fn fine(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Fine, detail: detail.to_owned() }
    }

    pub(super) fn unknown(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Unknown, detail: detail.to_owned() }
    }

    pub(super) fn stale(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Stale, detail: detail.to_owned() }
    }

    pub(super) fn tripped(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Tripped, detail: detail.to_owned() }
    }

    pub(super) fn failing(name: &'static str, detail: &str) -> Self {
        Self { name, state: Health::Failing, detail: detail.to_owned() }
    }
}

impl Bridge {
    /// Looks after the store until `shutdown`, also while nobody asks: its own lines in the log say when it fails, and when
    /// it does no more.
    pub async fn watch_store(&self, shutdown: impl Future<Output = ()>) {
        let work = async {
            loop {
                sleep(LOOK).await;
                drop(self.store.ping().await);
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown => {}
        }
    }

    /// How the parts are that a request needs. None of it costs a call.
    pub async fn health(&self) -> Vec<Component> {
        let client = self.directory.client();
        let store = self.store.ping().await.err().map(|error| error.to_string());
        let key = match (client.key_refused(), client.key_proven()) {
            (true, _) => Component::failing("key", "Ziflow refuses the API key"),
            _ if let Some(reason) = self.foreign_account() => Component::failing("key", &reason),
            (false, true) => Component::fine("key", "Ziflow takes the API key"),
            (false, false) => Component::unknown("key", "Ziflow has not been asked yet"),
        };
        let upstream = match (client.trouble(), client.heard()) {
            (Some(trouble), _) if client.holds_back() => Component::failing(
                "upstream",
                &format!("{trouble}; calls are held back, single ones try again"),
            ),
            (Some(trouble), _) => Component::failing("upstream", &trouble.to_string()),
            (None, Some(ago)) => {
                Component::fine("upstream", &format!("Ziflow last answered {} s ago", ago.as_secs()))
            }
            (None, None) => Component::unknown("upstream", "Ziflow has not been asked yet"),
        };
        let limiter = match client.limit().pause_left() {
            Some(left) => {
                Component::fine("limiter", &format!("Ziflow wants a pause of {} s", left.as_secs() + 1))
            }
            None => Component::fine("limiter", &limiter_at_work(client.limit())),
        };
        let mapping = self.in_force.load();
        let in_force = format!("{}, version {}, since {}", mapping.file, mapping.digest, mapping.since);
        let mut parts = vec![
            store.map_or_else(|| Component::fine("store", ""), |error| Component::failing("store", &error)),
            Component::fine("mapping", &in_force),
            key,
            upstream,
            limiter,
            self.brake_health().await,
            self.grants_health().await,
            self.audit.health(),
        ];
        if self.policy.dry_run {
            parts.push(Component::fine("dry_run", "writes are told in the log and not sent"));
        }
        parts
    }
}

fn limiter_at_work(limit: &RateLimit) -> String {
    let waiting = limit.waiting();
    match limit.slowed_by() {
        1 => format!("{waiting} waiting"),
        divisor => format!("{waiting} waiting; the pace is 1/{divisor} since Ziflow asked to slow down"),
    }
}
