//! What `doctor` tells: one check after the other, as text of 80 columns for people and as JSON for machines. No secret
//! that it knows gets past it.

use serde_json::{Value, json};

use crate::cli::terminal::{Colour, Terminal};
use crate::cli::text::hanging;
use crate::cli::{Format, say};

/// No key and no token is shorter.
const SHORTEST_SECRET: usize = 6;

/// Where the text beside the state begins.
const INDENT: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    Warning,
    Failed,
    /// Not tried, because something that it needs is not there.
    Skipped,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Self::Ok => Colour::Green,
            Self::Warning => Colour::Yellow,
            Self::Failed => Colour::Red,
            Self::Skipped => Colour::Faint,
        }
    }
}

/// One check: what was tried, what came back, and what to do about it.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) tried: String,
    pub(super) found: String,
    pub(super) remedy: Option<String>,
}

impl Check {
    fn new(name: &'static str, state: State, tried: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name, state, tried: tried.into(), found: found.into(), remedy: None }
    }

    pub(super) fn ok(name: &'static str, tried: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, tried, found)
    }

    pub(super) fn warning(name: &'static str, tried: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, State::Warning, tried, found)
    }

    pub(super) fn failed(name: &'static str, tried: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(name, State::Failed, tried, found)
    }

    pub(super) fn skipped(name: &'static str, tried: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, tried, why)
    }

    /// Adds what to do about it.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// All checks so far. People see each at once, machines all of them in the end.
#[derive(Debug)]
pub(super) struct Diagnosis {
    format: Format,
    terminal: Terminal,
    /// What must never be shown.
    secrets: Vec<String>,
    checks: Vec<Check>,
}

impl Diagnosis {
    pub(super) fn new(format: Format, terminal: Terminal) -> Self {
        Self { format, terminal, secrets: Vec::new(), checks: Vec::new() }
    }

    /// Shows whoever watches what is tried now; it may take a while.
    pub(super) fn begin(&self, tried: &str) {
        self.terminal.at(&self.clean(&format!("… {tried}")));
    }

    /// From now on this is not shown, wherever it stands.
    pub(super) fn hide(&mut self, secret: &str) {
        // A shorter one would be found in every other word.
        if secret.len() >= SHORTEST_SECRET {
            self.secrets.push(secret.to_owned());
        }
    }

    /// What was begun is over, and something else may write there.
    pub(super) fn pause(&self) {
        self.terminal.clear();
    }

    pub(super) fn add(&mut self, check: Check) {
        let clean = |text: String| self.clean(&text);
        let check = Check {
            tried: clean(check.tried),
            found: clean(check.found),
            remedy: check.remedy.map(clean),
            ..check
        };
        if matches!(self.format, Format::Text) {
            let state = check.state.name();
            let text = format!("{state:<INDENT$}{}: {}: {}", check.name, check.tried, check.found);
            self.terminal.clear();
            say(&hanging(&text, 0, INDENT).replacen(
                state,
                &self.terminal.paint(check.state.colour(), state),
                1,
            ));
            if let Some(remedy) = &check.remedy {
                say(&hanging(&format!("→ {remedy}"), INDENT, INDENT + 2));
            }
        }
        self.checks.push(check);
    }

    /// The same for checks that cannot be made because of this one.
    pub(super) fn skip(&mut self, names: &[&'static str], because: &str) {
        for name in names {
            self.add(Check::skipped(name, "not tried", because));
        }
    }

    /// A text beside the checks, for people only.
    pub(super) fn tell(&self, text: &str) {
        self.terminal.clear();
        if matches!(self.format, Format::Text) {
            say(&self.clean(text));
        }
    }

    /// Whether nothing failed.
    pub(super) fn is_fine(&self) -> bool {
        !self.checks.iter().any(|check| check.state == State::Failed)
    }

    /// The end: a summary for people, everything for machines. `ok` is false also when what follows the checks failed.
    pub(super) fn end(&self, ok: bool, further: Option<(&str, Value)>) {
        self.terminal.clear();
        match self.format {
            Format::Text if further.is_some() => {}
            Format::Text => say(&format!("\n{}", self.summary())),
            Format::Json => {
                let mut all =
                    json!({"ok": ok, "checks": self.checks.iter().map(to_json).collect::<Vec<_>>()});
                if let (Some(members), Some((name, value))) = (all.as_object_mut(), further) {
                    members.insert(name.to_owned(), value);
                }
                say(&self.clean(&all.to_string()));
            }
        }
    }

    fn summary(&self) -> String {
        let count = |state: State| self.checks.iter().filter(|check| check.state == state).count();
        let told = [State::Failed, State::Warning, State::Skipped, State::Ok]
            .map(|state| (count(state), state.name()))
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, name)| match (number, name) {
                (2.., "warning") => format!("{number} warnings"),
                _ => format!("{number} {name}"),
            });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Without secrets, and without what would move a terminal's cursor: error texts come from elsewhere.
    fn clean(&self, text: &str) -> String {
        let hidden =
            self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(hidden)"));
        hidden.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
    }
}

fn to_json(check: &Check) -> Value {
    json!({
        "name": check.name,
        "state": check.state.name(),
        "tried": check.tried,
        "found": check.found,
        "remedy": check.remedy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let mut diagnosis = Diagnosis::new(Format::Json, Terminal::default());
        diagnosis.hide("s3cret");
        diagnosis.hide("");
        assert_eq!(diagnosis.clean("a s3cret\u{1b}[2J\nb"), "a (hidden) [2J\nb");
    }

    #[test]
    fn failures_are_counted_first() {
        let mut diagnosis = Diagnosis::new(Format::Json, Terminal::default());
        diagnosis.add(Check::ok("a", "", ""));
        assert!(diagnosis.is_fine());
        diagnosis.add(Check::failed("b", "", ""));
        diagnosis.skip(&["c", "d"], "b failed");
        assert!(!diagnosis.is_fine());
        assert_eq!(diagnosis.summary(), "1 failed, 2 skipped, 1 ok");
    }
}
