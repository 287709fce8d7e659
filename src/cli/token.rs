//! `token`: a new bearer token for the bridge. It is shown and kept nowhere; what goes into the settings is its digest.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::cli::{Format, failed, say};
use crate::server::tokens::{digest, hex};
use crate::server::{expiry, minted};

/// What is printed is stable: fields may be added, none is taken away.
const HELP: &str = "\
Examples:
  ziflow-scim-bridge token new --name entra --expires 2027-11-30
  ziflow-scim-bridge token new --name auditor --format json

With --format json one object is printed and nothing else:
  token       the token itself, for Entra's field Secret Token
  name, sha256, expires
              what the settings are to hold; expires is null for one that does not
  entry       the same as an entry of `auth.tokens`, ready for bridge.yaml";

#[derive(Args, Debug)]
pub(super) struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token and show it, this once, with the entry for the settings
    New(New),
}

#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
struct New {
    /// Whose token it is; the log calls them so
    #[arg(long, default_value = "entra", value_parser = name)]
    name: String,
    /// When it stops working: a day such as 2027-03-01, to its end in UTC, or an RFC 3339 time [default: never]
    #[arg(long, value_name = "DATE", value_parser = end)]
    expires: Option<String>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Command {
    pub(super) fn run(&self) -> ExitCode {
        let Action::New(new) = &self.action;
        match minted::new_token() {
            Some(token) => {
                say(&new.told(token.expose_secret()));
                ExitCode::SUCCESS
            }
            None => failed("this machine gives no random numbers, so there is no token"),
        }
    }
}

impl New {
    fn told(&self, token: &str) -> String {
        let Self { name, expires, format } = self;
        let sha256 = hex(&digest(token.as_bytes()));
        let entry = self.entry(&sha256);
        match format {
            Format::Json => {
                json!({"token": token, "name": name, "sha256": sha256, "expires": expires, "entry": entry})
                    .to_string()
            }
            Format::Text => format!(
                "{token}\n\n\
                 This is the token. It is shown this once and kept nowhere: put it into\n\
                 Entra now, into the field Secret Token of the admin credentials.\n\n\
                 The settings (bridge.yaml) get this entry, which holds no secret, below\n\
                 `tokens:` in `auth:`. What stands there already stays; a second `auth:`\n\
                 would be a mistake:\n\n\
                 auth:\n  tokens:\n{entry}\n\
                 Then reload the bridge, and test the connection in Entra."
            ),
        }
    }

    /// Quoted as JSON quotes, which YAML understands whatever stands in the name.
    fn entry(&self, sha256: &str) -> String {
        let end = self.expires.as_ref().map(|end| format!("      expires: {end}\n")).unwrap_or_default();
        format!("    - name: {}\n      sha256: \"{sha256}\"\n{end}", json!(self.name))
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() || text.contains(char::is_control) || text.contains(minted::PREFIX) {
        return Err("say in a word or two whose token it is");
    }
    Ok(text.to_owned())
}

fn end(text: &str) -> Result<String, &'static str> {
    match expiry::parse(text) {
        None => Err("a day such as 2027-03-01 or a time such as 2027-03-01T12:00:00Z is needed"),
        Some(end) if end <= Timestamp::now() => Err("it would have expired already"),
        Some(_) => Ok(text.to_owned()),
    }
}
