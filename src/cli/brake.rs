//! `brake`: the brake on mass disabling, looked at and let go. Works beside the running service: both read the store.
#![expect(clippy::print_stdout, reason = "commands talk to people")]

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::bridge::audit;
use crate::bridge::brake::{RELEASE, brake_of, braked_of};
use crate::cli::operator::operator;
use crate::cli::{CONFIG, FAILED, Format, Reporting, environment, failed, show};
use crate::config;
use crate::store::{Brake, Braked, Store};

/// So many of a list are shown to people.
const LISTED: usize = 100;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo -u ziflow-scim-bridge ziflow-scim-bridge brake status
  sudo -u ziflow-scim-bridge ziflow-scim-bridge brake release
      After the scope in Entra has been checked: who waits is then disabled

Both work beside the running service, which need not be restarted.")]
pub(super) struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Tell whether it has tripped, who has lost their access and who was held back; exit code 1 if it has
    Status(Reporting),
    /// Let it go, and count from nothing again
    Release {
        #[command(flatten)]
        options: Reporting,
        /// Count from nothing again also where it has not tripped
        #[arg(long)]
        reset: bool,
    },
}

impl Command {
    /// 0: free, or released; 1: tripped, or the store cannot be used; 78: settings that cannot be used.
    pub(super) async fn run(&self) -> ExitCode {
        let (Action::Status(options) | Action::Release { options, .. }) = &self.action;
        let (location, most) = match config::load_brake(options.config.path().as_deref(), environment()) {
            Ok(found) => found,
            Err(reports) => {
                show(&reports);
                return CONFIG.into();
            }
        };
        let store = match Store::open_beside(&location) {
            Ok(store) => store,
            Err(error) => return failed(&error.to_string()),
        };
        let done = match &self.action {
            Action::Status(_) => status(&store, most, options.format).await,
            Action::Release { reset, .. } => release(&store, *reset, options.format).await,
        };
        done.unwrap_or_else(|error| failed(&error.to_string()))
    }
}

async fn status(store: &Store, most: u32, format: Format) -> Result<ExitCode, crate::store::Error> {
    let Brake { since, taken, .. } = brake_of(store).await?;
    let Braked { lost_access, held_back } = braked_of(store).await?;
    match format {
        Format::Json => {
            let people = |people: &[(String, i64)]| -> Vec<_> {
                people.iter().map(|(id, at)| json!({"id": id, "at": time(*at)})).collect()
            };
            let told = json!({
                "tripped": since.is_some(), "since": since, "taken": taken, "most": most,
                "lost_access": people(&lost_access), "held_back": people(&held_back),
            });
            println!("{told}");
        }
        Format::Text => {
            println!("{}", told(since.as_deref(), taken, most));
            let before = if since.is_some() { "in the hour before it" } else { "in the last hour" };
            list(&format!("Have lost their access {before}"), &lost_access);
            list("Were held back since, and keep it until the release", &held_back);
        }
    }
    Ok(if since.is_some() { FAILED.into() } else { ExitCode::SUCCESS })
}

fn told(since: Option<&str>, taken: u32, most: u32) -> String {
    match since {
        _ if most == 0 => "off: policy.max_deactivations_per_hour is 0".to_owned(),
        None => format!("free: {taken} of {most} people have lost their access in the last hour"),
        Some(since) => format!(
            "tripped at {since}: nobody is disabled or deleted.\n\n\
             Check in Entra who is in scope of provisioning (users and groups, scoping\n\
             filters). If the people are meant to lose their access, run\n\n  {RELEASE}\n\n\
             Then up to {most} people an hour lose it, as Entra asks again. For more, raise\n\
             policy.max_deactivations_per_hour. Who has lost it by mistake gets it\n\
             back once they are in scope again and Entra has written them."
        ),
    }
}

/// SCIM ids, as the log and Entra's provisioning log have them: the bridge keeps no names here.
fn list(title: &str, people: &[(String, i64)]) {
    if people.is_empty() {
        return;
    }
    println!("\n{title} ({}):", people.len());
    for (id, at) in people.iter().take(LISTED) {
        println!("  {}  {}", time(*at), id.escape_debug());
    }
    if let Some(more) = people.len().checked_sub(LISTED).filter(|more| *more > 0) {
        println!("  and {more} more: --format json has all");
    }
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

async fn release(store: &Store, reset: bool, format: Format) -> Result<ExitCode, crate::store::Error> {
    let note = audit::line("brake-released", [operator(), json!({"outcome": "done"})]);
    let released = store.release_brake(note, reset).await?;
    match format {
        Format::Json => println!("{}", json!({"released": released})),
        Format::Text if released => println!("released: who was held back is disabled when Entra asks again"),
        Format::Text if reset => println!("the brake had not tripped; it counts from nothing again"),
        Format::Text => {
            println!("the brake has not tripped, and nothing is changed; --reset would set its count to 0");
        }
    }
    Ok(ExitCode::SUCCESS)
}
