//! Whether Entra can be served, part by part, with the time since which each part is as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::time::Instant;

use crate::bridge::Bridge;
use crate::bridge::health::{Component, Health};
use crate::server::auth::Door;
use crate::server::reloads::Reloads;
use crate::server::tls::Tls;
use crate::server::witness::Witness;

/// The words for how a part is. Only `failing` makes the bridge not ready: with a stale mapping Entra is served well, and
/// with a tripped brake all is done but what the brake is there for.
pub(super) const STATES: [&str; 6] = ["ok", "unknown", "stale", "at_risk", "tripped", "failing"];

/// What readiness is made of.
#[derive(Debug)]
pub struct Readiness {
    pub(super) bridge: Arc<Bridge>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) door: Arc<Door>,
    pub(super) witness: Arc<Witness>,
    /// None: plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    since: Mutex<HashMap<&'static str, (&'static str, String)>>,
}

/// Readiness at one moment.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) ready: bool,
    pub(super) parts: Vec<Part>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// One of [`STATES`].
    pub(super) state: &'static str,
    pub(super) since: String,
    pub(super) detail: String,
}

impl Readiness {
    pub fn new(
        bridge: Arc<Bridge>,
        reloads: Arc<Reloads>,
        door: Arc<Door>,
        witness: Arc<Witness>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self { bridge, reloads, door, witness, tls, since: Mutex::default() }
    }

    pub(super) async fn look(&self) -> Look {
        let mut parts = self.bridge.health().await;
        let now = jiff::Timestamp::now();
        parts.extend(self.door.health(now));
        parts.extend(self.tls.as_ref().map(|tls| tls.health(now)));
        parts.push(self.witness.forecast.share().health());
        let ready = parts.iter().all(|part| part.state != Health::Failing);
        Look { ready, parts: parts.into_iter().map(|part| self.part(part)).collect() }
    }

    /// Asks Ziflow again if there was trouble.
    pub(super) async fn look_again(&self, deadline: Instant) {
        self.bridge.look_again(deadline).await;
    }

    fn part(&self, Component { name, state, detail }: Component) -> Part {
        let refusal = self.reloads.tally().refusal.filter(|_| name == "mapping");
        let (state, detail) = match &refusal {
            Some(refusal) => ("stale", format!("in force: {detail}; {}", refusal.text())),
            None => (word(state), detail),
        };
        let since = self.since(name, state);
        let since = refusal.map_or(since, |refusal| format!("{:.0}", refusal.at));
        Part { name, state, since, detail }
    }

    /// Since when the part has been seen in this state.
    fn since(&self, name: &'static str, state: &'static str) -> String {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = since.entry(name).or_insert_with(|| (state, now()));
        if entry.0 != state {
            *entry = (state, now());
        }
        entry.1.clone()
    }
}

impl Look {
    /// JSON with a line for each part: people read it in a terminal, and `grep failing` shows the part that is at fault.
    pub(super) fn to_json(&self) -> String {
        let part = |part: &Part| {
            let value = json!({"state": part.state, "since": part.since, "detail": part.detail});
            format!("    \"{}\": {value}", part.name)
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        format!("{{\n  \"ready\": {},\n  \"parts\": {{\n{}\n  }}\n}}\n", self.ready, parts.join(",\n"))
    }
}

fn word(state: Health) -> &'static str {
    match state {
        Health::Fine => "ok",
        Health::Unknown => "unknown",
        Health::Stale => "stale",
        Health::AtRisk => "at_risk",
        Health::Tripped => "tripped",
        Health::Failing => "failing",
    }
}

fn now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}
