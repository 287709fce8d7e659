//! `brake`: the brake on mass disabling, looked at and let go. Works beside the running service: both read the store.
#![expect(clippy::print_stdout, reason = "commands talk to people")]

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::bridge::audit;
use crate::bridge::brake::{RELEASE, brake_of};
use crate::cli::operator::operator;
use crate::cli::{CONFIG, FAILED, Format, Reporting, environment, failed, show};
use crate::config;
use crate::store::{Brake, Store};

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
    /// Tell whether it has tripped; exit code 1 if so
    Status(Reporting),
    /// Let it go, and count from nothing again
    Release(Reporting),
}

impl Command {
    /// 0: free, or released; 1: tripped, or the store cannot be used; 78: settings that cannot be used.
    pub(super) async fn run(&self) -> ExitCode {
        let (Action::Status(options) | Action::Release(options)) = &self.action;
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
            Action::Release(_) => release(&store, options.format).await,
        };
        done.unwrap_or_else(|error| failed(&error.to_string()))
    }
}

async fn status(store: &Store, most: u32, format: Format) -> Result<ExitCode, crate::store::Error> {
    let Brake { since, taken, .. } = brake_of(store).await?;
    match format {
        Format::Json => {
            println!("{}", json!({"tripped": since.is_some(), "since": since, "taken": taken, "most": most}));
        }
        Format::Text => println!("{}", told(since.as_deref(), taken, most)),
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
             and the next {most} an hour do. Raise policy.max_deactivations_per_hour for more."
        ),
    }
}

async fn release(store: &Store, format: Format) -> Result<ExitCode, crate::store::Error> {
    let note = audit::line("brake-released", [operator(), json!({"outcome": "done"})]);
    let released = store.release_brake(note).await?;
    match format {
        Format::Json => println!("{}", json!({"released": released})),
        Format::Text if released => println!("released: who was held back is disabled when Entra asks again"),
        Format::Text => println!("the brake had not tripped; it counts from nothing again"),
    }
    Ok(ExitCode::SUCCESS)
}
