//! `simulate`: the simulated Ziflow alone, for trying things out by hand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to people")]

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::simulator::{self, Settings, Simulator, quirks};

const USAGE: u8 = 64;

const EXAMPLES: &str = "\
Examples:
  ziflow-scim-bridge simulate
      A Ziflow that does what its documentation says
  ziflow-scim-bridge simulate --set seats=1 --set rate_limit=5
      One with a single free seat and little patience";

/// Run a simulated Ziflow: in memory, on a loopback address, as unpleasant as asked
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = help_on_quirks())]
pub(super) struct Simulate {
    /// Loopback address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The API key that the simulator accepts
    #[arg(long, value_name = "KEY", default_value = "simulated-admin-key")]
    key: String,
    /// Ids and failures by chance repeat with the seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Set a quirk; may be given several times
    #[arg(long, value_name = "QUIRK=VALUE")]
    set: Vec<String>,
}

impl Simulate {
    /// Serves until SIGINT or SIGTERM. 64: wrong usage; 1: cannot listen.
    pub(super) async fn run(self) -> ExitCode {
        match self.start().await {
            Ok(simulator) => serve(simulator).await,
            Err(error) => {
                eprintln!("error: {error}");
                let usage = error.kind() == io::ErrorKind::InvalidInput;
                if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
            }
        }
    }

    async fn start(self) -> io::Result<Simulator> {
        let quirks = self.set.iter().map(|text| quirk(text)).collect::<io::Result<_>>()?;
        let listen = self.listen;
        let settings = Settings { key: self.key, seed: self.seed, quirks, state: None };
        simulator::start(listen, settings).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => error,
            kind => io::Error::new(kind, format!("cannot listen on {listen}: {error}")),
        })
    }
}

async fn serve(simulator: Simulator) -> ExitCode {
    println!("{}", greeting(&simulator));
    match asked_to_stop().await {
        Ok(()) => {
            simulator.stop().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot wait for signals: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn asked_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome,
        _ = terminate.recv() => Ok(()),
    }
}

fn quirk(text: &str) -> io::Result<(String, String)> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("--set {text}: write QUIRK=VALUE"));
    pair.ok_or_else(wrong)
}

fn greeting(simulator: &Simulator) -> String {
    let (base, root, key) = (simulator.base_url(), simulator.address(), simulator.key());
    format!(
        "\
simulated Ziflow at {base}
API key {key}

try:
  curl -H 'apikey: {key}' '{base}/users?count=10'
  curl -H 'apikey: {key}' -H 'Content-Type: application/json' \\
       -d '{{\"email\":\"jo.lee@example.com\"}}' '{base}/users'
  curl 'http://{root}/__calls'
  curl -d '{{\"put\":\"replace\"}}' 'http://{root}/__set'
  curl -d '{{\"fault\":\"status\",\"code\":503,\"times\":2}}' 'http://{root}/__faults'

stop with Ctrl-C"
    )
}

fn help_on_quirks() -> String {
    let lines = quirks()
        .iter()
        .map(|quirk| format!("  {}={}\n          {}", quirk.name, quirk.values.join("|"), quirk.help));
    format!(
        "{EXAMPLES}\n\nQuirks (the first value is the default):\n{}",
        lines.collect::<Vec<_>>().join("\n")
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn args(listen: &str, set: &[&str]) -> Simulate {
        let set = set.iter().map(|text| (*text).to_owned()).collect();
        Simulate { listen: listen.parse().unwrap(), key: "k".into(), seed: 1, set }
    }

    #[tokio::test]
    async fn what_is_wrong_decides_the_exit_code() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = held.local_addr().unwrap().to_string();
        let cases = [
            (args("127.0.0.1:0", &["put=replce"]), ExitCode::from(64)),
            (args("127.0.0.1:0", &["put"]), ExitCode::from(64)),
            (args("0.0.0.0:0", &[]), ExitCode::from(64)),
            (args(&taken, &[]), ExitCode::FAILURE),
        ];
        for (args, code) in cases {
            let outcome = tokio::time::timeout(Duration::from_secs(5), args.clone().run()).await;
            assert_eq!(outcome, Ok(code), "{args:?}");
        }
    }

    #[tokio::test]
    async fn the_greeting_says_what_to_try() {
        let simulator = args("127.0.0.1:0", &["put=replace", "seats=3"]).start().await.unwrap();
        let greeting = greeting(&simulator);
        for part in [&*simulator.base_url(), "apikey: k", "/__calls", r#"{"put":"replace"}"#] {
            assert!(greeting.contains(part), "{part} is missing in {greeting}");
        }
    }

    #[test]
    fn the_help_explains_every_quirk() {
        let help = help_on_quirks();
        for quirk in quirks() {
            assert!(help.contains(quirk.name) && help.contains(quirk.help), "{}", quirk.name);
        }
        assert!(help.contains("  put=merge|replace\n"), "{help}");
    }
}
