//! The audit log: one JSON line per change, of who asked for it, what was changed and what became of it, and of what an
//! operator does. docs/audit.md is the contract of the lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::bridge::health::Component;
use crate::bridge::recorder::{Destination, Reason, Recorder, Standing};
use crate::bridge::{Bridge, now, seconds};
use crate::store;

/// How often it is looked whether commands have left notes.
const LOOK: Duration = Duration::from_secs(2);

/// `audit.*` of the settings.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    #[serde(skip, default = "nowhere")]
    pub destination: Destination,
    pub required: bool,
    pub timeout_secs: u64,
    /// What each line in the log begins with, as the journal wants it.
    #[serde(skip)]
    pub priority: &'static str,
}

/// It stands in the settings as a text, which is read by itself.
fn nowhere() -> Destination {
    Destination::Off
}

/// The lines of the audit log, counted.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    pub written: u64,
    /// Those that nobody will ever see.
    pub lost: u64,
    /// Whether at this moment none can be written.
    pub is_failing: bool,
}

/// The audit log of one process.
#[derive(Debug)]
pub struct Audit {
    recorder: Recorder,
    /// How it is called in readiness.
    destination: String,
    required: bool,
    dry_run: bool,
    /// What tells the changes of this process from others.
    begun: i64,
    number: AtomicU64,
}

impl Audit {
    /// Fails with a sentence for the operator when every change would be refused.
    pub fn start(settings: &Settings, dry_run: bool) -> Result<Self, String> {
        let Settings { destination, required, timeout_secs, priority } = settings;
        let patience = Duration::from_secs(*timeout_secs);
        let recorder = Recorder::start(destination, priority, *required, patience, now);
        let destination = match destination {
            Destination::Off => "off (audit.destination)".to_owned(),
            Destination::Log => "in the log".to_owned(),
            Destination::File(path) => format!("in {}", path.display()),
        };
        match recorder.standing().failing {
            Some((_, reason)) if *required => Err(format!(
                "audit.destination: the audit log {destination} cannot be written: {reason}; mend it, or set \
                 audit.required: false"
            )),
            _ => {
                let (required, number) = (*required, AtomicU64::new(0));
                Ok(Self { recorder, destination, required, dry_run, begun: seconds(), number })
            }
        }
    }

    /// One that records nothing, for what is no service.
    pub fn off() -> Self {
        let recorder = Recorder::start(&Destination::Off, "", false, Duration::ZERO, now);
        let (destination, number) = (String::new(), AtomicU64::new(0));
        Self { recorder, destination, required: false, dry_run: false, begun: 0, number }
    }

    /// Whether a change waits until its beginning is recorded.
    pub(super) fn is_required(&self) -> bool {
        self.required && self.recorder.is_on()
    }

    /// Writes a line, as soon as that can be done.
    pub(super) fn tell(&self, line: String) {
        self.recorder.tell(line);
    }

    /// Writes a line, and says whether it is written.
    pub(super) async fn record(&self, line: String, until: Instant) -> Result<(), Reason> {
        self.recorder.record(line, until).await
    }

    /// Something that is no change of a person or a group, with the members of these objects.
    pub fn note<const N: usize>(&self, action: &str, parts: [Value; N]) {
        self.recorder.tell(self.line(action, parts));
    }

    /// The same before it is done. Fails if it has to be recorded and cannot be.
    pub async fn announce<const N: usize>(&self, action: &str, parts: [Value; N]) -> Result<(), Reason> {
        if !self.is_required() {
            return Ok(());
        }
        self.record(self.line(action, parts), far_off()).await
    }

    /// Whether changes are refused for want of a record.
    pub(super) fn holds_back(&self) -> bool {
        self.required && self.recorder.standing().failing.is_some()
    }

    /// How recording goes, in numbers.
    pub(super) fn lines(&self) -> Lines {
        let Standing { written, lost, failing } = self.recorder.standing();
        Lines { written, lost, is_failing: failing.is_some() }
    }

    pub(super) fn health(&self) -> Component {
        let Standing { lost, failing, .. } = self.recorder.standing();
        let lost = match lost {
            0 => String::new(),
            lost => format!("; {lost} lines were lost"),
        };
        match failing {
            None => Component::fine("audit", &format!("{}{lost}", self.destination)),
            Some((since, reason)) if self.required => Component::failing(
                "audit",
                &format!(
                    "{} cannot be written since {since}: {reason}; changes are refused (audit.required)",
                    self.destination
                ),
            ),
            Some((since, reason)) => Component::stale(
                "audit",
                &format!(
                    "{} cannot be written since {since}: {reason}; changes go on{lost}",
                    self.destination
                ),
            ),
        }
    }

    /// A line of the members of these objects.
    pub(super) fn line<const N: usize>(&self, action: &str, parts: [Value; N]) -> String {
        let marked = self.dry_run.then(|| json!({"dry_run": true}));
        line(action, parts.into_iter().chain(marked))
    }

    /// A name for a change, which no other change has.
    pub(super) fn next_name(&self) -> String {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{number}", self.begun)
    }
}

impl Bridge {
    /// Puts what commands have left in the store into the audit log, until `shutdown`. Each is forgotten only when it is
    /// written.
    pub async fn record_notes(&self, shutdown: impl Future<Output = ()>) {
        let work = async {
            loop {
                if let Err(error) = self.record_waiting_notes().await {
                    warn!(%error, "what an operator has done could not be put into the audit log yet");
                }
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown => {}
        }
    }

    async fn record_waiting_notes(&self) -> Result<(), store::Error> {
        for (number, line) in self.store.notes().await? {
            if self.audit.record(line, far_off()).await.is_err() {
                // The recorder has told it.
                return Ok(());
            }
            self.store.drop_note(number).await?;
        }
        Ok(())
    }
}

/// The recorder has a deadline of its own.
fn far_off() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// A line of now, with the members of these objects; those that say nothing are left out.
pub fn line(action: &str, parts: impl IntoIterator<Item = Value>) -> String {
    let beginning = json!({"time": now(), "target": "audit", "action": action});
    let objects = [beginning].into_iter().chain(parts).filter_map(|part| match part {
        Value::Object(members) => Some(members),
        _ => None,
    });
    let members = objects.flatten().filter(|(_, value)| !says_nothing(value));
    Value::Object(members.collect()).to_string()
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
