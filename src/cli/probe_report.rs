//! `doctor --probe`: the experiments with a throw-away user, and what is told about them: each finding with its
//! evidence, what is left, and the settings that fit, as a piece of bridge.yaml.

use std::fmt;
use std::num::NonZeroU32;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::bridge::OnDelete;
use crate::bridge::audit::Audit;
use crate::cli::diagnosis::Diagnosis;
use crate::cli::operator::operator;
use crate::cli::text::hanging;
use crate::cli::ziflow_checks::Seen;
use crate::config::Settings;
use crate::ziflow::advice::{Advice, InForce, advice};
use crate::ziflow::findings::{Finding, findings};
use crate::ziflow::look::Looker;
use crate::ziflow::probe::{Outcome, Probe};
use crate::ziflow::rate_limit;
use crate::ziflow::throwaway::{Task, Trouble};

/// A probe with what became of it.
#[derive(Debug)]
pub(super) struct Probed {
    email: String,
    state: &'static str,
    reason: String,
    findings: Vec<Finding>,
    advice: Vec<Advice>,
    /// What stays behind, in sentences.
    left: Vec<String>,
    /// Whether somebody stays whom the probe should have deleted.
    is_clean: bool,
}

impl Probed {
    /// Runs it, unless a check before has failed.
    pub(super) async fn run(
        email: &str,
        settings: &Settings,
        looker: Looker,
        seen: &Seen,
        diagnosis: &Diagnosis,
    ) -> Self {
        if !diagnosis.is_fine() {
            return Self::not_begun(email, "a check has failed; mend that first");
        }
        let text = format!(
            "Probing with {email}; this takes some seconds, or minutes. Ctrl-C ends it and cleans up."
        );
        diagnosis.tell(&format!("\n{}", hanging(&text, 0, 0)));
        match probe(email, settings, looker, seen) {
            Ok(probe) => Self::recorded(email, settings, probe, diagnosis).await,
            Err(message) => Self::not_begun(email, &message),
        }
    }

    /// What a probe changes stands in the audit log like any other change.
    async fn recorded(email: &str, settings: &Settings, probe: Probe, diagnosis: &Diagnosis) -> Self {
        let begun = match Audit::start(&settings.audit, false) {
            Ok(audit) => {
                audit.announce("probe", [operator(), json!({"stage": "begun"})]).await.map(|()| audit)
            }
            Err(reason) => Err(reason),
        };
        let audit = match begun {
            Ok(audit) => audit,
            Err(reason) => {
                return Self::not_begun(email, &format!("it cannot be recorded (audit.required): {reason}"));
            }
        };
        let outcome = probe.run(|what| diagnosis.begin(what)).await;
        // The audit log may be standard error.
        diagnosis.pause();
        let made = outcome.made;
        let probed = Self::of(email, settings, outcome);
        let became = match probed.state {
            "complete" if probed.is_clean => "done",
            "refused" => "refused",
            _ => "failed",
        };
        let told = json!({"outcome": became, "made": made, "left": probed.left.len()});
        audit.note("probe", [operator(), told]);
        probed
    }

    fn not_begun(email: &str, reason: &str) -> Self {
        Self {
            email: email.to_owned(),
            state: "not_begun",
            reason: reason.to_owned(),
            findings: Vec::new(),
            advice: Vec::new(),
            left: Vec::new(),
            is_clean: true,
        }
    }

    fn of(email: &str, settings: &Settings, outcome: Outcome) -> Self {
        let (state, reason) = match &outcome.ended {
            Ok(()) => ("complete", String::new()),
            Err(trouble @ Trouble::Taken(_)) => ("refused", reason(trouble)),
            Err(trouble) => ("stopped", reason(trouble)),
        };
        let refused = state == "refused";
        let is_clean = outcome.left.is_empty();
        let mut left = outcome.left;
        if outcome.made {
            left.push(format!("Ziflow may have sent an invitation to {email}: nobody can take it back"));
        }
        if outcome.seen.group.as_ref().is_some_and(|group| group.reply.is_success()) {
            left.push(
                "an invented group, `ziflow-scim-bridge Probe…`, may stand in Ziflow: delete it there"
                    .to_owned(),
            );
        }
        Self {
            email: email.to_owned(),
            state,
            reason,
            findings: if refused { Vec::new() } else { findings(&outcome.seen) },
            advice: if refused { Vec::new() } else { advice(&outcome.seen, &in_force(settings)) },
            left,
            is_clean,
        }
    }

    /// Whether everything was tried and nobody stays.
    pub(super) fn is_fine(&self) -> bool {
        self.state == "complete" && self.is_clean
    }

    pub(super) fn to_json(&self) -> Value {
        let finding = |finding: &Finding| json!({"about": finding.about, "verdict": finding.verdict, "evidence": finding.evidence});
        json!({
            "email": self.email,
            "state": self.state,
            "reason": self.reason,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "left": self.left,
            "settings": snippet(&self.advice),
        })
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.state != "complete" {
            let text = format!("The probe {}: {}.", self.state.replace('_', " "), self.reason);
            let text = text.replace("probe not begun", "probe was not begun");
            writeln!(f, "\n{}", hanging(&text.replace("probe refused", "probe refuses"), 0, 2))?;
        }
        if !self.findings.is_empty() {
            writeln!(f, "\nWhat was found out:")?;
        }
        for finding in &self.findings {
            let verdict = finding.verdict.as_deref().unwrap_or("not found out");
            writeln!(f, "{}", hanging(&format!("{}: {verdict}", finding.about), 2, 6))?;
            if !finding.evidence.is_empty() {
                writeln!(f, "{}", hanging(&finding.evidence, 6, 8))?;
            }
        }
        if !self.findings.is_empty() {
            writeln!(f, "\nWhat is left:")?;
            let nothing = ["nothing".to_owned()];
            let left = if self.left.is_empty() { &nothing[..] } else { &self.left[..] };
            left.iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 2, 4)))?;
            write!(f, "\nThe settings to use:\n\n{}", snippet(&self.advice))?;
        }
        Ok(())
    }
}

fn probe(email: &str, settings: &Settings, looker: Looker, seen: &Seen) -> Result<Probe, String> {
    let quick = Looker::new(&settings.connection, &without_pace(&settings.pace))?;
    let owner = settings.policy.new_owner_id.clone();
    let new_owner = owner.or_else(|| seen.key_user_id.clone()).or_else(|| seen.owner_id.clone());
    Probe::new(looker, quick, Task { email: email.to_owned(), new_owner, stop: stop()? })
}

/// Turns true on SIGINT and SIGTERM, and when the terminal goes away.
fn stop() -> Result<watch::Receiver<bool>, String> {
    let told = |error| format!("cannot wait for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(told)?;
    let (stop, stopped) = watch::channel(false);
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
        stop.send_replace(true);
    }));
    Ok(stopped)
}

/// For the burst, which is to find a limit.
fn without_pace(pace: &rate_limit::Settings) -> rate_limit::Settings {
    let many = NonZeroU32::MIN.saturating_add(999);
    rate_limit::Settings { requests_per_second: many, burst: many, in_flight: many, ..pace.clone() }
}

fn in_force(settings: &Settings) -> InForce {
    InForce {
        requests_per_second: settings.pace.requests_per_second.get(),
        burst: settings.pace.burst.get(),
        no_seat_texts: settings.client.no_seat_texts.clone(),
        deletes: settings.policy.on_delete == OnDelete::Delete,
    }
}

fn reason(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Interrupted => "it was interrupted".to_owned(),
        Trouble::TimeOver => "it took too long".to_owned(),
        Trouble::Taken(told) => {
            format!("it is not certain that nobody has the address ({told}). Give the address of nobody yet")
        }
        Trouble::Refused(told) => format!("Ziflow does not make the user ({told})"),
        Trouble::Failed { what, told } => format!("{what} brought nothing that could be used ({told})"),
    }
}

/// A piece of bridge.yaml, with hints as comments.
fn snippet(advice: &[Advice]) -> String {
    let mut lines = Vec::new();
    let comment = |text: &str, column: usize| -> Vec<String> {
        let indent = " ".repeat(column);
        hanging(text, column + 2, column + 2)
            .lines()
            .map(|line| format!("{indent}# {}", line.trim_start()))
            .collect()
    };
    for section in ["ziflow", "rate_limit", "policy"] {
        let own = |advice: &&Advice| advice.key.split('.').next() == Some(section);
        let (set, hints): (Vec<_>, Vec<_>) = advice.iter().filter(own).partition(|one| one.value.is_some());
        for hint in hints {
            lines.extend(comment(&format!("{}: {}", hint.key, hint.why), 0));
        }
        if !set.is_empty() {
            lines.push(format!("{section}:"));
        }
        for one in set {
            lines.extend(comment(&one.why, 2));
            let (key, value) = (one.key.split('.').next_back(), one.value.as_deref());
            lines.push(format!("  {}: {}", key.unwrap_or_default(), value.unwrap_or_default()));
        }
    }
    for hint in advice.iter().filter(|one| one.key == "mapping") {
        lines.extend(comment(&format!("mapping.yaml, {}", hint.why), 0));
    }
    if !advice.iter().any(|one| one.value.is_some()) {
        lines.insert(0, "# nothing has to be set: the defaults fit as far as it was found out".to_owned());
    }
    lines.join("\n")
}
