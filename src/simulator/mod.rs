//! A small hostile Ziflow: HTTP/1.1 on a loopback address, everything in memory.
//!
//! It promises the documented contract of Ziflow's public API on `/users`, `/contacts` and `/guests`, every variant
//! of what the documentation leaves open (`quirks`), and whatever goes wrong between two machines (`Fault`). It
//! promises no more: proofs and e-mail do not exist, nothing is kept on disk. It shares no code and no types with
//! the client, so that neither can hide the other's mistakes, and it listens on no other than a loopback address.

mod answer;
mod api;
mod calls;
mod control;
mod fault_json;
mod faults;
mod fields;
mod people;
mod quirks;
mod random;
mod route;
mod socket;
#[cfg(test)]
mod tests;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

pub use answer::RetryAfter;
pub use calls::Call;
pub use faults::{Fault, Shape};
pub use people::{KEY_USER_EMAIL, OWNER_EMAIL};
pub use quirks::{Quirk, quirks};
pub use route::Route;

use people::People;
use socket::Shared;
use world::World;

/// How a simulator begins.
#[derive(Clone, Debug)]
pub struct Settings {
    pub key: String,
    /// Ids, the account and failures by chance repeat with it.
    pub seed: u64,
    /// Names and values, as in `quirks`.
    pub quirks: Vec<(String, String)>,
    /// The people of an earlier simulator.
    pub state: Option<State>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { key: "simulated-admin-key".into(), seed: 1, quirks: Vec::new(), state: None }
    }
}

/// The people of a simulator, to survive a pulled plug.
#[derive(Clone, Debug)]
pub struct State(People);

/// A running simulator; it stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    key: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// Starts a simulator; port 0 lets the system choose one.
///
/// An address that is not loopback, and a quirk or value that does not exist, is `InvalidInput`.
pub async fn start(listen: SocketAddr, settings: Settings) -> io::Result<Simulator> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    if !listen.ip().is_loopback() {
        let text =
            format!("{listen} is not a loopback address: the simulator hands out keys and lets anybody in");
        return Err(invalid(text));
    }
    let now = Instant::now();
    let people = settings.state.map(|state| state.0);
    let mut world = World::new(settings.key.clone(), settings.seed, people, now);
    for (quirk, value) in &settings.quirks {
        world.set(quirk, value, now).map_err(invalid)?;
    }
    let listener = socket::bind(listen).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::new(world));
    let server = tokio::spawn(socket::serve(listener, Arc::clone(&shared)));
    Ok(Simulator { address, key: settings.key, shared, server })
}

impl Simulator {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is given: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The key that it began with.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// From now on this is the key, and no other, as after a new one was made in Ziflow.
    pub fn change_key(&self, key: &str) {
        key.clone_into(&mut self.shared.world().key);
    }

    /// Sets a quirk, or says what would have been right.
    pub fn set(&self, quirk: &str, value: &str) -> Result<(), String> {
        self.shared.world().set(quirk, value, Instant::now())
    }

    pub fn inject(&self, fault: Fault) {
        self.shared.world().faults.inject(fault);
    }

    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// The last 10,000 calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.calls_since(0)
    }

    /// The calls after the first `n`: those since `total_calls` said so.
    pub fn calls_since(&self, n: usize) -> Vec<Call> {
        self.shared.world().calls.since(n)
    }

    /// All calls since the start or the last reset, those that the log has dropped included.
    pub fn total_calls(&self) -> usize {
        self.shared.world().calls.total()
    }

    /// The most calls that arrived in any one second.
    pub fn peak_per_second(&self) -> usize {
        self.shared.world().calls.peak()
    }

    pub fn reset_calls(&self) {
        self.shared.world().calls.reset();
    }

    /// Everybody as they are, whatever reads show; `guest` tells guests from users.
    pub fn people(&self) -> Vec<Value> {
        self.shared.world().people.everybody().map(fields::full).collect()
    }

    /// Adds a person as by hand in Ziflow and returns the id: nothing is checked, what is missing has the value of a
    /// new user, and whoever has the address already is changed instead.
    pub fn add_person(&self, person: Value) -> String {
        let mut world = self.shared.world();
        let quirks = world.quirks;
        world.people.add_by_hand(person, Instant::now(), &quirks)
    }

    /// Decides the id of the next person made.
    pub fn next_id(&self, id: String) {
        self.shared.world().people.set_next_id(id);
    }

    /// Changes fields as by hand in Ziflow; `false` when there is no such person.
    pub fn change_person(&self, id: &str, fields: Value) -> bool {
        self.shared.world().people.change_by_hand(id, fields, Instant::now())
    }

    /// Deletes a person as by hand in Ziflow; `false` when there is no such person.
    pub fn remove_person(&self, id: &str) -> bool {
        self.shared.world().people.remove(id, Instant::now(), Duration::ZERO)
    }

    /// The people, for `Settings::state` of the next simulator.
    pub fn state(&self) -> State {
        State(self.shared.world().people.clone())
    }

    /// Stops at once: connections are cut, and the address is free when this returns.
    pub async fn stop(mut self) {
        self.shared.unplug();
        self.server.abort();
        drop((&mut self.server).await);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.unplug();
        self.server.abort();
    }
}
