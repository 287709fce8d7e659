//! What systemd is told of the service: that it is ready, reloads, stops and is alive, and a line about it that
//! `systemctl status` shows. Without systemd nothing is told.
//!
//! It is told to be alive only while the loops on which everything rests go round and the store answers. Nothing of that
//! rests on Ziflow, so trouble there restarts nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use crate::bridge::Bridge;
use crate::bridge::health::{Component, Health};
use crate::bridge::pulse::Pulse;
use crate::cli::environment;
use crate::server::auth::Door;
use crate::server::reloads::Reloads;

/// So often the line is brought up to date.
const LOOK: Duration = Duration::from_secs(5);

/// systemd refuses a longer message as a whole.
const MOST_CHARS: usize = 1000;

/// systemd, as this service speaks to it.
#[derive(Debug)]
pub(super) struct Systemd {
    is_there: bool,
    tenant_url: String,
    bridge: Arc<Bridge>,
    door: Arc<Door>,
    reloads: Arc<Reloads>,
    /// The line that was told last.
    told: Mutex<String>,
}

impl Systemd {
    pub(super) fn new(
        tenant_url: String,
        bridge: Arc<Bridge>,
        door: Arc<Door>,
        reloads: Arc<Reloads>,
    ) -> Self {
        let is_there = environment().any(|(name, _)| name == "NOTIFY_SOCKET");
        Self { is_there, tenant_url, bridge, door, reloads, told: Mutex::default() }
    }

    /// The service works, for the first time or again after a reload, whatever became of that.
    pub(super) async fn ready(&self) {
        if self.is_there {
            let line = self.line().await;
            tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    }

    /// A reload has begun; `ready` ends it. Since systemd 253 it wants to know when it began.
    pub(super) fn reloading(&self) {
        if !self.is_there {
            return;
        }
        let began = NotifyState::monotonic_usec_now().ok();
        let told: Vec<_> = [NotifyState::Reloading].into_iter().chain(began).collect();
        tell(&told);
    }

    /// Keeps the line up to date and says that the service is alive, until `shutdown`.
    pub(super) async fn run(&self, pulses: &[&Pulse], shutdown: impl Future<Output = ()>) {
        if !self.is_there {
            return;
        }
        tokio::select! {
            () = self.keep_line() => {}
            () = self.keep_alive(pulses) => {}
            () = shutdown => {
                let line = "stopping: no new connections, answering what has been accepted";
                tell(&[NotifyState::Stopping, NotifyState::Status(line)]);
            }
        }
    }

    async fn keep_line(&self) {
        loop {
            sleep(LOOK).await;
            let line = self.line().await;
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if *told != line {
                tell(&[NotifyState::Status(&line)]);
                *told = line;
            }
        }
    }

    /// Twice at least within the time that systemd allows, so that one look that fails kills nobody.
    async fn keep_alive(&self, pulses: &[&Pulse]) {
        let Some(allowed) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
        let pause = allowed / 3;
        loop {
            match self.standing_still(pulses, pause / 2).await {
                None => tell(&[NotifyState::Watchdog]),
                Some(reason) => {
                    error!("{reason}; if that lasts, systemd restarts the service (WatchdogSec=)");
                }
            }
            sleep(pause).await;
        }
    }

    /// What does not go on though it depends on nothing outside this machine.
    async fn standing_still(&self, pulses: &[&Pulse], patience: Duration) -> Option<String> {
        for pulse in pulses {
            if let Some(still) = pulse.missed() {
                return Some(format!("{} has stood still for {} s", pulse.name, still.as_secs()));
            }
        }
        let within = patience.as_secs();
        if timeout(patience, tokio::spawn(async {})).await.is_err() {
            return Some(format!("no request could have been taken up within {within} s"));
        }
        let answers = self.bridge.store_answers(patience).await;
        (!answers).then(|| format!("the store has not answered within {within} s"))
    }

    /// How the service is, in one line.
    async fn line(&self) -> String {
        let mut parts = self.bridge.health().await;
        parts.extend(self.door.health(jiff::Timestamp::now()));
        let refusal = self.reloads.tally().refusal.map(|refusal| refusal.text());
        line(&self.tenant_url, &parts, refusal.as_deref())
    }
}

/// The service will not come up, and this is why.
pub(super) fn gave_up(reason: &str) {
    tell(&[NotifyState::Status(&in_one_line(reason))]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "systemd could not be told how the service is");
    }
}

fn line(tenant_url: &str, parts: &[Component], refusal: Option<&str>) -> String {
    let is_served = parts.iter().all(|part| part.state != Health::Failing);
    let mut words =
        vec![format!("{} Entra at {tenant_url}", if is_served { "serving" } else { "cannot serve" })];
    let amiss = |part: &&Component| !matches!(part.state, Health::Fine | Health::Unknown);
    words.extend(parts.iter().filter(amiss).map(|part| format!("{}: {}", part.name, part.detail)));
    words.extend(refusal.map(str::to_owned));
    let in_force = parts.iter().find(|part| part.name == "mapping");
    words.extend(in_force.map(|mapping| format!("mapping {}", mapping.detail)));
    words.extend(
        parts.iter().any(|part| part.name == "dry_run").then(|| "dry run: nothing is written".to_owned()),
    );
    in_one_line(&words.join("; "))
}

fn in_one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &'static str, state: Health, detail: &str) -> Component {
        Component { name, state, detail: detail.to_owned() }
    }

    #[test]
    fn the_line_says_first_what_an_operator_must_know() {
        let url = "https://scim.example.com/scim/v2";
        let fine = || {
            vec![part("store", Health::Fine, ""), part("mapping", Health::Fine, "mapping.yaml, version 1a")]
        };
        let with = |one: Component| fine().into_iter().chain([one]).collect::<Vec<_>>();
        for (parts, refusal, expected) in [
            (fine(), None, "serving Entra at URL; mapping mapping.yaml, version 1a"),
            (
                with(part("upstream", Health::Failing, "no\nroute")),
                None,
                "cannot serve Entra at URL; upstream: no route; mapping mapping.yaml, version 1a",
            ),
            (
                with(part("brake", Health::Tripped, "50 an hour")),
                Some("the reload of 9:00 was refused: x"),
                "serving Entra at URL; brake: 50 an hour; the reload of 9:00 was refused: x; mapping mapping.yaml, \
                 version 1a",
            ),
            (
                with(part("dry_run", Health::Fine, "")),
                None,
                "serving Entra at URL; mapping mapping.yaml, version 1a; dry run: nothing is written",
            ),
        ] {
            assert_eq!(line(url, &parts, refusal), expected.replace("URL", url));
        }
        assert_eq!(in_one_line(&"ä".repeat(5000)).chars().count(), MOST_CHARS);
    }
}
