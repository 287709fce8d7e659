//! `report`: what an operator may want to know about the account. Changes nothing, neither there nor in the store.
#![expect(clippy::print_stdout, reason = "commands talk to people")]

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::bridge::Bridge;
use crate::bridge::audit::Audit;
use crate::bridge::drift::{Difference, Drift, Drifted};
use crate::cli::serve::assemble_with;
use crate::cli::terminal::{Results, Terminal};
use crate::cli::{CONFIG, Format, Reporting, environment, failed, show};
use crate::config::Settings;
use crate::store::Store;

/// Half a million people at one page a second.
const LONGEST_WALK: Duration = Duration::from_secs(6 * 3600);

/// How often it is told how far it is.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(super) struct Report {
    #[command(subcommand)]
    report: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List people whose state in Ziflow differs from what Entra last wrote
    ///
    /// Somebody changed them in Ziflow by hand, Ziflow disabled them after inactivity, or the mapping has changed
    /// since. Works beside the running service, at half its pace.
    ///
    /// Exit codes: 0 the report is complete, also with people in it; 1 it could not be made; 78 the settings cannot be
    /// used. Scripts count the people of `--format json`.
    Drift(Reporting),
}

impl Report {
    /// 0: the report is complete; 1: it could not be made; 78: settings that cannot be used.
    pub(super) async fn run(&self) -> ExitCode {
        let What::Drift(options) = &self.report;
        let settings = match options.config.load(None) {
            Ok(settings) => settings,
            Err(reports) => {
                show(&reports);
                return CONFIG.into();
            }
        };
        // Everything is printed in the end, whatever the format.
        let terminal = Terminal::of(Results::InTheEnd, environment());
        let drift = drift(settings, &terminal).await;
        terminal.clear();
        match drift {
            Ok(drift) => {
                match options.format {
                    Format::Text => println!("{}", table(&drift)),
                    Format::Json => println!("{:#}", to_json(&drift)),
                }
                ExitCode::SUCCESS
            }
            Err(message) => failed(&message),
        }
    }
}

async fn drift(mut settings: Settings, terminal: &Terminal) -> Result<Drift, String> {
    // The service goes on at its own pace with the same key.
    let half = settings.pace.requests_per_second.get() / 2;
    settings.pace.requests_per_second = NonZeroU32::new(half).unwrap_or(NonZeroU32::MIN);
    settings.pace.burst = NonZeroU32::MIN;
    settings.pace.in_flight = NonZeroU32::MIN;
    let store = Store::open_beside(&settings.store).map_err(|error| error.to_string())?;
    let bridge = assemble_with(&settings, store, "", Audit::off())?;
    tokio::select! {
        drift = bridge.drift(Instant::now() + LONGEST_WALK) => drift.map_err(|error| error.detail),
        never = told(&bridge, terminal) => match never {},
    }
}

/// Tells whoever watches how far the walk over everybody is.
async fn told(bridge: &Bridge, terminal: &Terminal) -> Infallible {
    loop {
        if let Some(people) = bridge.read_so_far() {
            terminal.at(&format!("… reading everybody in Ziflow: {people} people so far"));
        }
        sleep(LOOK).await;
    }
}

fn to_json(drift: &Drift) -> Value {
    let difference = |one: &Difference| json!({"field": one.field, "entra": one.entra, "ziflow": one.ziflow});
    let person = |one: &Drifted| {
        let differences: Vec<_> = one.differences.iter().map(difference).collect();
        json!({"id": one.id, "userName": one.user_name, "differences": differences})
    };
    let people: Vec<_> = drift.people.iter().map(person).collect();
    json!({"compared": drift.compared, "people": people})
}

fn table(drift: &Drift) -> String {
    let head = match drift.people.len() {
        0 => return format!("no drift: all {} people are in Ziflow as Entra wrote them", drift.compared),
        1 => format!("1 of {} people differs from what Entra last wrote", drift.compared),
        many => format!("{many} of {} people differ from what Entra last wrote", drift.compared),
    };
    let mut rows = vec![["PERSON", "FIELD", "ENTRA WROTE", "ZIFLOW HAS", "ID"].map(str::to_owned)];
    for person in &drift.people {
        for one in &person.differences {
            rows.push([
                person.user_name.clone(),
                one.field.to_owned(),
                word(&one.entra),
                word(&one.ziflow),
                person.id.clone(),
            ]);
        }
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines: Vec<_> = rows.iter().map(line).collect();
    format!("{head}\n\n{}", lines.join("\n"))
}

/// A value in a table. What somebody typed in Ziflow must not move the cursor of the operator's terminal.
fn word(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(word).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_what_stands_in_it() {
        let differences = vec![
            Difference { field: "active", entra: json!(true), ziflow: json!(false) },
            Difference { field: "roles", entra: json!(["user", "manager"]), ziflow: json!([]) },
            Difference { field: "phone", entra: json!("+44"), ziflow: json!("\u{1b}[2J") },
        ];
        let person =
            Drifted { id: "auth0|1".to_owned(), user_name: "jo@example.com".to_owned(), differences };
        let text = table(&Drift { compared: 2, people: vec![person] });
        assert_eq!(
            text,
            "1 of 2 people differs from what Entra last wrote\n\n\
             PERSON          FIELD   ENTRA WROTE    ZIFLOW HAS  ID\n\
             jo@example.com  active  true           false       auth0|1\n\
             jo@example.com  roles   user, manager  none        auth0|1\n\
             jo@example.com  phone   +44            \u{fffd}[2J        auth0|1"
        );
        assert!(table(&Drift { compared: 2, people: Vec::new() }).starts_with("no drift"));
    }
}
