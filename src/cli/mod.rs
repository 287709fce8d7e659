//! The commands: the only room that prints.

mod brake;
mod bridge_checks;
mod certificate;
mod check;
pub mod crash;
mod demo;
mod descriptors;
mod diagnosis;
mod doctor;
mod entra;
mod explain;
mod explainer;
mod explanation;
mod granted;
mod manual;
mod operator;
mod outcome;
mod probe_report;
mod props;
mod provisioned;
pub mod provisioning_log;
mod reload;
mod report;
mod request;
mod schema;
mod serve;
mod service_checks;
mod simulate;
mod sockets;
mod stage;
mod systemd;
mod terminal;
mod text;
mod token;
pub mod transcript;
mod watch;
mod ziflow_checks;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::sockets::Sockets;
use crate::cli::terminal::Results;
use crate::config::service_user::User;
use crate::config::{self, Report, Settings};

/// Something failed.
const FAILED: u8 = 1;
/// The command line is wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// The settings or the mapping are wrong (`EX_CONFIG`).
const CONFIG: u8 = 78;

/// How long the end of the process waits for threads at work.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What stands below the commands, in `--help` and in the manual page.
const HELP: &str = "\
Examples:
  ziflow-scim-bridge demo
      See it work against a simulated Ziflow; no account is needed
  sudo ziflow-scim-bridge check
      Try an edit of the settings or the mapping, before it is in force
  ziflow-scim-bridge token new --name entra --expires 2027-11-30
      Make the token for Entra, with its digest for the settings
  sudo -u ziflow-scim-bridge ziflow-scim-bridge doctor
      Find out what is amiss, from the settings to the running service
  sudo ziflow-scim-bridge explain request.json
      See what a request would do, and why

Files:
  /etc/ziflow-scim-bridge/bridge.yaml    the settings
  /etc/ziflow-scim-bridge/mapping.yaml   how Entra's people become Ziflow's
  /var/lib/ziflow-scim-bridge/store.db   what Ziflow has no field for

Each setting can also be given as a variable, which wins: ziflow.base_url is
BRIDGE_ZIFLOW__BASE_URL.

Exit codes: 0 fine, 1 failed, 64 wrong usage, 78 the settings or the mapping
cannot be used.";

/// SCIM 2.0 bridge from Microsoft Entra ID to Ziflow.
///
/// Entra pushes people to it over SCIM; it turns each request into calls of Ziflow's REST API, along a mapping
/// file, at a rate Ziflow can bear.
#[derive(Debug, Parser)]
#[command(name = "ziflow-scim-bridge", version, max_term_width = 100, after_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    ///
    /// SIGTERM and SIGINT stop it: what has been accepted is answered first. SIGHUP makes it read the mapping, the
    /// tokens and the API key anew, all or nothing. The log goes to standard error. systemd, if it is there, is told how
    /// the service is, and may pass the socket to listen at (server.listen: systemd).
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ConfigFile),
    /// Check settings and mapping without starting; touches no network
    Check(check::Check),
    /// Show what a request would do, and why, without an account
    Explain(explain::Explain),
    /// Make a token for Entra, with its digest for the settings
    Token(token::Command),
    /// Look at the brake on mass disabling, or release it
    Brake(brake::Command),
    /// Tell what differs between Ziflow and what Entra wrote
    Report(report::Report),
    /// Try out settings, network, Ziflow and the running bridge, and say what to do
    Doctor(doctor::Doctor),
    /// Show the whole cycle between Entra and Ziflow on a simulated Ziflow
    Demo(demo::Demo),
    /// Run the simulated Ziflow alone, for this machine only
    Simulate(simulate::Simulate),
    /// Print the JSON Schema of bridge.yaml or mapping.yaml, for editors
    Schema(schema::Schema),
    /// Print what a shell needs to complete commands and options
    Completions(manual::Completions),
    /// Print the manual page
    Man(manual::Man),
}

const SERVE_EXAMPLES: &str = "\
Examples:
  ziflow-scim-bridge serve --config ./bridge.yaml
  BRIDGE_LOG__LEVEL=debug ziflow-scim-bridge serve";

/// How a command reports.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The settings [default: /etc/ziflow-scim-bridge/bridge.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which settings, and how to report.
#[derive(Args, Debug)]
struct Reporting {
    #[command(flatten)]
    config: ConfigFile,
    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Format {
    /// When results are printed.
    fn results(self) -> Results {
        match self {
            Self::Text => Results::AsTheyCome,
            Self::Json => Results::InTheEnd,
        }
    }
}

impl ConfigFile {
    fn path(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| usual(Path::new(config::DEFAULT_FILE)))
    }

    /// The user of the service, if it is root who asks about its own settings.
    fn service_user(&self) -> Option<User> {
        User::of_service(self.path().as_deref())
    }

    /// What the service could not read of these files, which is asked by root.
    fn unreadable_to_service(&self) -> Vec<Report> {
        let path = self.path();
        self.service_user()
            .map(|user| config::unreadable_to(&user, path.as_deref(), environment()))
            .unwrap_or_default()
    }

    /// Settings from the file and the environment, perhaps with another mapping.
    fn load(&self, mapping: Option<&Path>) -> Result<Settings, Vec<Report>> {
        let mapping = mapping.map(mapping_variable);
        let variables: BTreeMap<_, _> = environment().chain(mapping).collect();
        config::load(self.path().as_deref(), variables.into_iter())
    }
}

/// A file that is there, or may be: one that may not be looked at is not missing, and reading it says why.
fn usual(path: &Path) -> Option<PathBuf> {
    let is_missing = std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    (!is_missing).then(|| path.to_owned())
}

/// The setting that names another mapping.
fn mapping_variable(file: &Path) -> (String, String) {
    ("BRIDGE_MAPPING__FILE".to_owned(), file.display().to_string())
}

/// The variables that are texts; others cannot be settings.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    if let Err(message) = crash::leave_nothing_behind() {
        return failed(&message);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // --help and --version arrive here as well.
            let code = if told.use_stderr() { USAGE } else { 0 };
            drop(told.print());
            return code.into();
        }
    };
    // Before the runtime's threads: it changes the environment.
    let sockets = Sockets::passed();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => Box::pin(serve::run(&command, sockets)).await,
            Command::Check(command) => command.run(),
            Command::Explain(command) => command.run().await,
            Command::Token(command) => command.run(),
            Command::Brake(command) => command.run().await,
            Command::Doctor(command) => Box::pin(command.run()).await,
            Command::Demo(command) => command.run().await,
            Command::Report(command) => command.run().await,
            Command::Simulate(command) => command.run().await,
            Command::Schema(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    });
    // Nobody waits any more for what a thread still does, such as reading what was pasted; by default its end is waited for.
    runtime.shutdown_timeout(LAST_WAIT);
    code
}

/// A line for the person who called. That nobody reads on, as behind `| head`, is no failure.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[expect(clippy::print_stderr, reason = "commands speak to the person who called them")]
fn failed(message: &str) -> ExitCode {
    eprintln!("ziflow-scim-bridge: {}", text::harmless_lines(message));
    FAILED.into()
}

/// Shows what is wrong with the settings.
#[expect(clippy::print_stderr, reason = "commands speak to the person who called them")]
fn show(reports: &[Report]) {
    for report in reports {
        eprintln!("{}", report.render());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_may_not_be_looked_at_are_not_taken_for_missing() {
        let place = std::env::temp_dir().join(format!("usual-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let file = place.join("bridge.yaml");
        assert_eq!(usual(&file), None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(usual(&file), Some(file.clone()));
        // As with a folder that may not be entered, it is not known whether there is such a file.
        let within = file.join("bridge.yaml");
        assert_eq!(usual(&within), Some(within.clone()));
        std::fs::remove_dir_all(place).unwrap();
    }
}
