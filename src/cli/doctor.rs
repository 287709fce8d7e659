//! `doctor`: whether the bridge can work as it is set up, step by step from the settings to the running service.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::diagnosis::{Check, Diagnosis};
use crate::cli::probe_report::Probed;
use crate::cli::reload::in_short;
use crate::cli::terminal::Terminal;
use crate::cli::{
    CONFIG, ConfigFile, FAILED, Format, USAGE, bridge_checks, environment, service_checks, ziflow_checks,
};
use crate::config::{self, Report, Settings};
use crate::ziflow::look::Looker;
use crate::ziflow::origin::Proxy;

/// No header carries a longer one.
const LONGEST_TOKEN: u64 = 65_536;

/// What is printed is stable: fields may be added, none is taken away.
const HELP: &str = "\
Examples:
  sudo -u ziflow-scim-bridge ziflow-scim-bridge doctor
      Everything that needs no token
  printf %s \"$TOKEN\" |
    sudo -u ziflow-scim-bridge ziflow-scim-bridge doctor --token-file -
      The same, and Entra's Test Connection

Without --probe nothing is changed anywhere, and Ziflow receives four calls at
the most, so it may be run beside the service.

--probe EMAIL --yes finds out what Ziflow's documentation leaves open. It makes
one user with that address in the real account, changes them, deletes them, and
prints the settings that fit the account. Ziflow sends an invitation to the
address, the user takes a seat meanwhile, and an invented group name may stay.
It refuses if anybody has the address, and it touches nobody else.

Exit codes: 0 nothing failed, 1 something failed, 64 wrong usage, 78 the
settings or the mapping cannot be used.

With --format json one object is printed and nothing else:
  ok        whether nothing failed
  checks    a list of {name, state, tried, found, remedy}; state is ok, warning,
            failed or skipped
  probe     with --probe: {email, state, reason, findings, left, settings};
            state is complete, stopped, refused or not_begun";

#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigFile,
    /// A file that holds Entra's Secret Token, or the secret of one of auth.clients, to play Test Connection with, or `-` for
    /// standard input; needed where the settings hold only its digest
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The same token on the command line, where everybody on this machine can read it while `doctor` runs
    #[arg(long, value_name = "TOKEN")]
    token: Option<SecretString>,
    /// Try the account out with one throw-away user of this address, who is made and deleted
    #[arg(long, value_name = "EMAIL")]
    probe: Option<String>,
    /// Confirm --probe
    #[arg(long, requires = "probe")]
    yes: bool,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Doctor {
    pub(super) async fn run(&self) -> ExitCode {
        if let Some(wrong) = self.wrong_usage() {
            return misused(wrong);
        }
        let given = match self.given_token() {
            Ok(given) => given,
            Err(wrong) => return misused(&wrong),
        };
        let mut diagnosis = Diagnosis::new(self.format, Terminal::of(self.format.results(), environment()));
        hide(given.as_ref(), &mut diagnosis);
        let settings = match self.config.load(None) {
            Ok(settings) => settings,
            Err(reports) => return cannot_be_used(&reports, diagnosis),
        };
        hide(Some(&settings.connection.api_key), &mut diagnosis);
        let proxy = settings.connection.way.proxy.as_ref();
        diagnosis.hide(proxy.and_then(Proxy::password).unwrap_or_default());
        let unreadable = self.config.unreadable_to_service();
        diagnosis.add(usable(&[unreadable, settings.warnings.clone()].concat()));
        let looker = match Looker::new(&settings.connection, &settings.pace) {
            Ok(looker) => looker,
            Err(message) => return unusable(&message, diagnosis),
        };
        let seen = ziflow_checks::run(&settings, &looker, &mut diagnosis).await;
        match &self.probe {
            None => {
                let token = given.or_else(|| self.held_token(&settings));
                hide(token.as_ref(), &mut diagnosis);
                service_checks::store(&settings, self.config.service_user().as_ref(), &mut diagnosis);
                bridge_checks::run(&settings, token.as_ref(), &mut diagnosis).await;
                service_checks::parts(&settings, &mut diagnosis).await;
                diagnosis.end(diagnosis.is_fine(), None);
                exit(diagnosis.is_fine())
            }
            Some(email) => {
                let probed = Probed::run(email, &settings, looker, &seen, &diagnosis).await;
                diagnosis.tell(&probed.to_string());
                let ok = diagnosis.is_fine() && probed.is_fine();
                diagnosis.end(ok, Some(("probe", probed.to_json())));
                exit(ok)
            }
        }
    }

    /// What is said about a command line that must not be carried out.
    fn wrong_usage(&self) -> Option<&'static str> {
        let email = self.probe.as_deref()?;
        let is_address = email
            .split_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if !is_address || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Some(
                "--probe needs the e-mail address of nobody yet, such as probe@your-company.example",
            );
        }
        (!self.yes).then_some(
            "--probe makes a user in the real Ziflow account, changes and deletes them, and Ziflow sends an invitation \
             to the address; say --yes if that is wanted",
        )
    }

    /// The token that the command line gives or names the file of.
    fn given_token(&self) -> Result<Option<SecretString>, String> {
        let Some(file) = &self.token_file else { return Ok(self.token.clone()) };
        let shown = file.display();
        let text = if file.as_os_str() == "-" { standard_input() } else { config::file::read(file) };
        let text = text.map_err(|error| format!("--token-file {shown}: {error}"))?;
        match text.trim() {
            "" => Err(format!("--token-file {shown}: it is empty; it must hold the token and nothing else")),
            token => Ok(Some(token.to_owned().into())),
        }
    }

    /// One that the settings hold in plain, or the API key where that is the token.
    fn held_token(&self, settings: &Settings) -> Option<SecretString> {
        let api_key = &settings.connection.api_key;
        if settings.callers.tokens.are_the_api_key() {
            return Some(api_key.clone());
        }
        config::plain_token(self.config.path().as_deref(), environment())
    }
}

fn standard_input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().take(LONGEST_TOKEN).read_to_string(&mut text)?;
    Ok(text)
}

fn hide(secret: Option<&SecretString>, diagnosis: &mut Diagnosis) {
    if let Some(secret) = secret {
        diagnosis.hide(secret.expose_secret());
    }
}

const SETTINGS: &str = "settings";
const TRIED: &str = "read settings and mapping, as `check` does";

fn usable(warnings: &[Report]) -> Check {
    if warnings.is_empty() {
        return Check::ok(SETTINGS, TRIED, "they are fine");
    }
    let told: Vec<_> = warnings.iter().map(in_short).collect();
    if warnings.iter().any(Report::is_error) {
        return Check::failed(SETTINGS, TRIED, format!("the service cannot use them; {}", told.join("; ")))
            .remedy("mend them until `ziflow-scim-bridge check` is content");
    }
    Check::warning(SETTINGS, TRIED, format!("they can be used; {}", told.join("; ")))
        .remedy("`ziflow-scim-bridge check` shows each warning with its place")
}

fn cannot_be_used(reports: &[Report], mut diagnosis: Diagnosis) -> ExitCode {
    for report in reports {
        diagnosis.tell(&report.render());
    }
    let told: Vec<_> = reports.iter().filter(|report| report.is_error()).map(in_short).collect();
    unusable_because(&told.join("; "), &mut diagnosis)
}

fn unusable(message: &str, mut diagnosis: Diagnosis) -> ExitCode {
    unusable_because(message, &mut diagnosis)
}

fn unusable_because(message: &str, diagnosis: &mut Diagnosis) -> ExitCode {
    let check = Check::failed(SETTINGS, TRIED, format!("they cannot be used; {message}"));
    diagnosis.add(check.remedy("mend them until `ziflow-scim-bridge check` is content"));
    diagnosis.skip(ziflow_checks::ALL, "the settings cannot be used");
    let service = [service_checks::STORE, bridge_checks::BRIDGE, service_checks::PARTS];
    diagnosis.skip(&service, "the settings cannot be used");
    diagnosis.end(false, None);
    CONFIG.into()
}

fn exit(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { FAILED.into() }
}

#[expect(clippy::print_stderr, reason = "commands speak to the person who called them")]
fn misused(message: &str) -> ExitCode {
    eprintln!("ziflow-scim-bridge: {message}");
    USAGE.into()
}
