//! `check`: settings and mapping, without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{CONFIG, ConfigFile, Format, say};
use crate::config::{self, Report};
use crate::yaml::Difference;

/// What is printed is stable: fields may be added, none is taken away.
const HELP: &str = "\
Examples:
  sudo ziflow-scim-bridge check
      The files of the service, before it is started or reloaded; root is also
      told which of them the user ziflow-scim-bridge cannot read
  ziflow-scim-bridge check --mapping ./mapping.yaml
      A mapping alone, with its examples, on any machine

With --format json one object is printed and nothing else:
  usable      whether `serve` would start with these files; if not, the exit code is 78
  problems    a list, errors first, of
    severity  error or warning
    file      the file, `environment`, or `settings` for what is written nowhere
    line, column
              the place, counted from 1; null where something is missing altogether
    key       the setting, the key path in the mapping, or the variable
    message   what is wrong
    hint      what to do about it, or null
    differences
              of an example that does not hold, a list of
      direction  to_ziflow or to_scim
      field      the Ziflow field, or the SCIM path
      expected, got
                 a value, null for nothing, or {\"refused\": why, true or false}
                 where a person is refused or should have been";

#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Check {
    /// A mapping to check in place of the one that the settings name; without --config, the mapping alone
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// Say only whether the files can be used; their lines may hold what does not belong into a log
    #[arg(long, conflicts_with = "format")]
    quiet: bool,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Check {
    pub(super) fn run(&self) -> ExitCode {
        let (subject, reports) = self.reports();
        let errors = reports.iter().filter(|report| report.is_error()).count();
        match self.format {
            Format::Json => say(&as_json(&reports).to_string()),
            Format::Text => {
                for report in reports.iter().filter(|_| !self.quiet) {
                    say(&report.render());
                }
                say(&summary(subject, errors, reports.len() - errors));
            }
        }
        if errors == 0 { ExitCode::SUCCESS } else { CONFIG.into() }
    }

    /// What was checked, and what is to be said about it.
    fn reports(&self) -> (&'static str, Vec<Report>) {
        match &self.mapping {
            Some(path) if self.config.config.is_none() => {
                let loaded = config::load_mapping(path, config::file::read(path));
                ("the mapping", loaded.map_or_else(|reports| reports, |(_, warnings)| warnings))
            }
            mapping => {
                let loaded = self.config.load(mapping.as_deref());
                let warnings = loaded.map_or_else(|reports| reports, |settings| settings.warnings);
                let unreadable = self.config.unreadable_to_service();
                let (errors, warnings): (Vec<_>, Vec<_>) =
                    unreadable.into_iter().chain(warnings).partition(Report::is_error);
                ("settings and mapping", errors.into_iter().chain(warnings).collect())
            }
        }
    }
}

fn summary(subject: &str, errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    let verb = if subject.contains(" and ") { "are" } else { "is" };
    match (errors, warnings) {
        (0, 0) => format!("{subject} {verb} fine"),
        (0, warnings) => format!("{subject} can be used; {}", count(warnings, "warning")),
        (errors, 0) => format!("{subject} cannot be used: {}", count(errors, "error")),
        (errors, warnings) => {
            format!("{subject} cannot be used: {}, {}", count(errors, "error"), count(warnings, "warning"))
        }
    }
}

fn as_json(reports: &[Report]) -> Value {
    let problem = |report: &Report| {
        json!({
            "severity": if report.is_error() { "error" } else { "warning" },
            "file": report.file,
            "line": report.problem.at.map(|at| at.line),
            "column": report.problem.at.map(|at| at.column),
            "key": report.problem.key,
            "message": report.problem.message,
            "hint": report.problem.hint,
            "differences": report.problem.differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
        })
    };
    let problems: Vec<_> = reports.iter().map(problem).collect();
    json!({"usable": !reports.iter().any(Report::is_error), "problems": problems})
}
