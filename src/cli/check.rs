//! `check`: settings and mapping, without starting anything.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{CONFIG, ConfigFile, Format, say};
use crate::config::Report;

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Check {
    pub(super) fn run(&self) -> ExitCode {
        let reports = match self.config.load() {
            Ok(settings) => settings.warnings,
            Err(reports) => reports,
        };
        let errors = reports.iter().filter(|report| report.is_error()).count();
        match self.format {
            Format::Json => say(&as_json(&reports).to_string()),
            Format::Text => {
                for report in &reports {
                    say(&report.render());
                }
                say(&summary(errors, reports.len() - errors));
            }
        }
        if errors == 0 { ExitCode::SUCCESS } else { CONFIG.into() }
    }
}

fn summary(errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    };
    match (errors, warnings) {
        (0, 0) => "settings and mapping are fine".to_owned(),
        (0, warnings) => format!("settings and mapping can be used; {}", count(warnings, "warning")),
        (errors, 0) => format!("settings and mapping cannot be used: {}", count(errors, "error")),
        (errors, warnings) => format!(
            "settings and mapping cannot be used: {}, {}",
            count(errors, "error"),
            count(warnings, "warning")
        ),
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
        })
    };
    let problems: Vec<_> = reports.iter().map(problem).collect();
    json!({"usable": !reports.iter().any(Report::is_error), "problems": problems})
}
