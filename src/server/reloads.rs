//! What became of the reloads: noted by whoever reloads, shown to those who watch. The start counts as a success.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// So many problems of a refused reload are kept for the status page; the log has all of them.
const MOST_KEPT: usize = 50;
const KEPT_CHARS: usize = 2000;

/// So many of them, and so much of each, are told where there is a line only.
const MOST_TOLD: usize = 3;
const TOLD_CHARS: usize = 300;

/// What was to be reloaded, the lesser first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Mapping,
    Everything,
}

/// A refused reload that nothing has made good yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub scope: Scope,
    pub at: Timestamp,
    pub problems: Vec<String>,
    /// How many there were beside these.
    pub further: usize,
}

/// The numbers of one moment.
#[derive(Clone, Debug)]
pub struct Tally {
    pub succeeded: u64,
    pub refused: u64,
    pub last_success: Timestamp,
    pub refusal: Option<Refusal>,
}

#[derive(Debug)]
pub struct Reloads(Mutex<Tally>);

impl Default for Reloads {
    fn default() -> Self {
        Self(Mutex::new(Tally { succeeded: 0, refused: 0, last_success: Timestamp::now(), refusal: None }))
    }
}

impl Reloads {
    /// What was to be reloaded is in force. A mapping alone does not make good what was refused as a whole: the
    /// settings and secrets of that reload are still not in force.
    pub fn succeed(&self, scope: Scope) {
        let mut tally = self.lock();
        tally.succeeded += 1;
        tally.last_success = Timestamp::now();
        tally.refusal.take_if(|refusal| refusal.scope <= scope);
    }

    /// What was in force stays so. `problems` are one line each.
    pub fn refuse(&self, scope: Scope, problems: &[String]) {
        let mut tally = self.lock();
        tally.refused += 1;
        let before = tally.refusal.as_ref().map_or(scope, |refusal| refusal.scope);
        tally.refusal = Some(Refusal {
            scope: scope.max(before),
            at: Timestamp::now(),
            problems: problems.iter().take(MOST_KEPT).map(|problem| shorten(problem, KEPT_CHARS)).collect(),
            further: problems.len().saturating_sub(MOST_KEPT),
        });
    }

    /// Whether settings and secrets wait for a reload that succeeds.
    pub fn refused_as_a_whole(&self) -> bool {
        self.lock().refusal.as_ref().is_some_and(|refusal| refusal.scope == Scope::Everything)
    }

    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// As readiness tells it.
    pub fn text(&self) -> String {
        let further = match self.further + self.problems.len().saturating_sub(MOST_TOLD) {
            0 => String::new(),
            further => format!("; and {further} more, see the log"),
        };
        let told: Vec<_> =
            self.problems.iter().take(MOST_TOLD).map(|problem| shorten(problem, TOLD_CHARS)).collect();
        format!("the reload of {:.0} was refused: {}{further}", self.at, told.join("; "))
    }
}

fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("problem {number}")).collect()
    }

    #[test]
    fn what_is_told_of_a_refusal_is_bounded() {
        let reloads = Reloads::default();
        reloads.refuse(Scope::Everything, &problems(5));
        let text = reloads.tally().refusal.unwrap().text();
        assert!(
            text.ends_with("refused: problem 1; problem 2; problem 3; and 2 more, see the log"),
            "{text}"
        );
        reloads.refuse(Scope::Everything, &["ä".repeat(1000)]);
        let text = reloads.tally().refusal.unwrap().text();
        assert!(text.chars().count() < 400 && text.ends_with("ä…"), "{text}");
    }

    #[test]
    fn a_mapping_alone_makes_good_only_a_mapping() {
        for (refused, succeeded, left) in [
            (&[Scope::Mapping][..], Scope::Mapping, false),
            (&[Scope::Mapping], Scope::Everything, false),
            (&[Scope::Everything], Scope::Everything, false),
            (&[Scope::Everything], Scope::Mapping, true),
            (&[Scope::Everything, Scope::Mapping], Scope::Mapping, true),
        ] {
            let reloads = Reloads::default();
            for scope in refused {
                reloads.refuse(*scope, &problems(1));
            }
            reloads.succeed(succeeded);
            assert_eq!(reloads.tally().refusal.is_some(), left, "{refused:?}, then {succeeded:?}");
        }
    }
}
