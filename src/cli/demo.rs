//! `demo`: a simulated Ziflow and the bridge in one process, and Entra's whole cycle played against them.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use tokio::signal::ctrl_c;

use crate::bridge::in_force::InForce;
use crate::cli::stage::{Stage, Trouble};
use crate::cli::terminal::{Colour, Results, Terminal};
use crate::cli::transcript::{Outcome, Player, Step, Transcript};
use crate::cli::{FAILED, environment, failed, say, sockets};
use crate::config::Report;
use crate::mapping::Mapping;
use crate::simulator;

const CYCLE: &str = include_str!("../../tests/transcripts/entra/cycle.json");

const WIDTH: usize = 96;

const INDENT: &str = "            ";

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ziflow-scim-bridge demo
      Play the cycle, then go on serving: it prints a URL, a token and two
      curl lines to try; Ctrl-C ends it
  ziflow-scim-bridge demo --once")]
pub(super) struct Demo {
    /// Where the bridge listens; only this machine can reach it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Play the cycle and end
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(super) async fn run(&self) -> ExitCode {
        match self.play().await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => FAILED.into(),
            Err(message) => failed(&message),
        }
    }

    /// Whether every step ended as it should.
    async fn play(&self) -> Result<bool, String> {
        let transcript = Transcript::parse(CYCLE)?;
        let listener = sockets::bind(self.listen, "--listen").await?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let variables = [
            ("BRIDGE_SERVER__LISTEN", address.to_string()),
            ("BRIDGE_ZIFLOW__KEY_USER_EMAIL", simulator::KEY_USER_EMAIL.to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let stage = Stage::set_up(listener, None, variables).await.map_err(told)?;
        for person in &transcript.people {
            stage.ziflow.add_person(person.clone());
        }
        stage.bridge.put_mapping(mapping(&transcript)?);
        let ziflow = &stage.ziflow;
        say(&format!("A simulated Ziflow at {}, the bridge at {}", ziflow.base_url(), stage.url));
        say(&declared(&transcript));
        let well = act(&transcript, &stage).await?;
        if !self.once {
            say(&invitation(&stage.url, ziflow.key()));
            ctrl_c().await.map_err(|error| error.to_string())?;
        }
        Ok(well)
    }
}

fn told(trouble: Trouble) -> String {
    match trouble {
        Trouble::Failed(message) => message,
        Trouble::Configuration(reports) => reports.iter().map(Report::render).collect::<Vec<_>>().join("\n"),
    }
}

/// The shipped mapping, which declares no groups, with a group that grants something.
fn mapping(transcript: &Transcript) -> Result<InForce, String> {
    let text = transcript.mapping();
    let mapping = Mapping::compile(&text).map_err(|problems| format!("the demo's mapping: {problems:?}"));
    Ok(InForce::new(mapping?.0, "the demo's mapping".to_owned(), &text))
}

/// The groups that the demo's mapping declares.
fn declared(transcript: &Transcript) -> String {
    let groups = transcript.groups.as_ref().and_then(Value::as_object).into_iter().flatten();
    let lines = groups.map(|(name, grants)| format!("  {name}: {grants}\n"));
    format!(
        "The mapping is the shipped one, with groups that grant something:\n{}",
        lines.collect::<String>()
    )
}

async fn act(transcript: &Transcript, stage: &Stage) -> Result<bool, String> {
    let mut entra = Player::new(&stage.url, stage.ziflow.key(), &stage.ziflow)?;
    let (mut well, mut calls) = (0, 0);
    let terminal = Terminal::of(Results::AsTheyCome, environment());
    let steps = transcript.steps.len();
    for (number, step) in transcript.steps.iter().enumerate() {
        terminal.at(&format!("… {} of {steps}: {}", number + 1, step.title));
        let outcome = entra.play(step, async || stage.settled().await).await?;
        terminal.clear();
        say(&scene(number + 1, step, &outcome, &terminal));
        well += usize::from(outcome.problems.is_empty());
        calls += outcome.calls.len();
    }
    let line = "─".repeat(WIDTH);
    say(&format!(
        "{line}
{well} of {steps} steps ended as they should; {steps} SCIM requests became {calls} Ziflow calls."
    ));
    Ok(well == steps)
}

/// One step, readable at a glance: Entra's request, the calls it became, the answer.
fn scene(number: usize, step: &Step, outcome: &Outcome, terminal: &Terminal) -> String {
    let (colour, mark) =
        if outcome.problems.is_empty() { (Colour::Green, "✓") } else { (Colour::Red, "✗") };
    let mark = terminal.paint(colour, mark);
    let mut lines = vec![format!("{mark} {number}. {}", step.title)];
    lines.push(format!("  Entra  →  {}", readable(&outcome.request)));
    lines.extend(outcome.sent.as_ref().map(gist).into_iter().flatten());
    for call in &outcome.calls {
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let status = call.status.map_or("no answer".to_owned(), |status| status.to_string());
        lines.push(format!("  Ziflow →  {} {}{query}  ({status})", call.method, readable(&call.path)));
        lines.extend(gist(&call.body));
    }
    if outcome.calls.is_empty() {
        lines.push("  Ziflow    not asked".to_owned());
    }
    lines.push(format!("  Entra  ←  {}", outcome.status));
    lines.extend(gist(&outcome.answer));
    lines.extend(
        outcome.problems.iter().map(|problem| terminal.paint(Colour::Red, &format!("  !! {problem}"))),
    );
    lines.join("\n") + "\n"
}

/// A target as people read it; on the wire it is encoded.
fn readable(target: &str) -> String {
    let spaces = target.replace('+', " ");
    percent_encoding::percent_decode_str(&spaces).decode_utf8_lossy().into_owned()
}

/// What a body says, without what every body says.
fn gist(body: &Value) -> Vec<String> {
    if let Some(operations) = body.get("Operations").and_then(Value::as_array) {
        return operations.iter().flat_map(|operation| wrapped(&operation_text(operation))).collect();
    }
    if let Some(found) = body.get("Resources").and_then(Value::as_array) {
        let count = format!("{} found", body.get("totalResults").unwrap_or(&Value::Null));
        return wrapped(&count).into_iter().chain(found.iter().flat_map(gist)).collect();
    }
    match (body, body.get("detail").and_then(Value::as_str)) {
        (Value::Null, _) => Vec::new(),
        (_, Some(detail)) => wrapped(detail),
        (Value::Object(object), None) => {
            let telling = |(name, _): &(&String, &Value)| !["schemas", "meta"].contains(&name.as_str());
            let pair = |(name, value): (&String, &Value)| format!("{name}: {value}");
            packed(object.iter().filter(telling).map(pair))
        }
        (other, None) => wrapped(&other.to_string()),
    }
}

fn operation_text(operation: &Value) -> String {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let value = operation.get("value").map(Value::to_string).unwrap_or_default();
    match text("path") {
        "" => format!("{} {value}", text("op")),
        path => format!("{} {path} = {value}", text("op")),
    }
}

/// Attributes, as many on a line as fit whole.
fn packed(pairs: impl Iterator<Item = String>) -> Vec<String> {
    fill(pairs, "  ").iter().flat_map(|line| wrapped(line)).collect()
}

/// Lines of bounded width below the arrows, broken at blanks.
fn wrapped(text: &str) -> Vec<String> {
    let lines = fill(text.split(' ').map(str::to_owned), " ");
    lines.into_iter().map(|line| format!("{INDENT}{}", line.trim_start())).collect()
}

/// Pieces in lines, none of them broken.
fn fill(pieces: impl Iterator<Item = String>, between: &str) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if width(line) + between.len() + width(&piece) <= WIDTH - INDENT.len() => {
                line.push_str(between);
                line.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

fn invitation(tenant_url: &str, token: &str) -> String {
    format!(
        "\nThe bridge goes on serving until Ctrl-C.\n\
         Tenant URL:   {tenant_url}\n\
         Secret Token: {token}\n\n\
         Everybody:\n  curl -s -H 'Authorization: Bearer {token}' {tenant_url}/Users\n\
         Somebody new:\n  curl -s -H 'Authorization: Bearer {token}' -H 'Content-Type: application/scim+json' \\\n    \
         {tenant_url}/Users -d '{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\
         \"userName\":\"new@example.com\",\"name\":{{\"givenName\":\"New\",\"familyName\":\"One\"}}}}'\n"
    )
}
