//! `explain`: what the bridge would do about a request, and why. The bridge itself does it, before a simulated Ziflow.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::bridge::record::Event;
use crate::cli::entra::Entra;
use crate::cli::explanation::Explanation;
use crate::cli::props;
use crate::cli::provisioned::{Explained, Told};
use crate::cli::provisioning_log::{Entry, Log, Reading, Sent};
use crate::cli::request::{EXAMPLE_ID, Known, Request, encoded};
use crate::cli::stage::{Stage, Trouble};
use crate::cli::text::harmless_lines;
use crate::cli::{CONFIG, ConfigFile, Format, environment, failed, mapping_variable, say, show, sockets};
use crate::telemetry::{self, Captured};

const HELP: &str = "\
Examples:
  sudo ziflow-scim-bridge explain request.json
      What becomes of the person in request.json: each rule of the mapping,
      Ziflow's calls, the answer
  sudo ziflow-scim-bridge explain patch.http --user person.json
      A change of somebody whom Ziflow has
  sudo ziflow-scim-bridge explain ProvisioningLogs.json
      What Entra's provisioning log shows, entry by entry: its download as JSON,
      or the lines of its tab Modified properties
  sudo ziflow-scim-bridge explain request.json --mapping ./mapping.yaml
      The same by a mapping that is not in force yet";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct Explain {
    /// The request: a SCIM body in JSON, an HTTP request such as `PATCH /Users/{id}` with its body, or entries of Entra's
    /// provisioning log; `-` reads standard input
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// The person whom Ziflow has: as Ziflow's API shows them, or a SCIM user as Entra last wrote them (JSON); without one,
    /// an entry of the provisioning log finds whom it shows
    #[arg(long, value_name = "FILE")]
    user: Option<PathBuf>,
    /// The group that is there: a SCIM group as Entra last wrote it (JSON); without one, a request about a group finds
    /// what it needs made up
    #[arg(long, value_name = "FILE")]
    group: Option<PathBuf>,
    /// A mapping to try in place of the one that the settings name
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Explain {
    pub(super) async fn run(&self) -> ExitCode {
        let log = telemetry::capture();
        match self.explain(&log).await {
            Ok(explained) => {
                let told = match self.format {
                    Format::Json => explained.to_json().to_string(),
                    Format::Text => explained.to_string(),
                };
                // In JSON such characters stand in strings only, where an escape means the same.
                say(&harmless_lines(&told));
                ExitCode::SUCCESS
            }
            Err(Trouble::Failed(message)) => failed(&message),
            Err(Trouble::Configuration(reports)) => {
                show(&reports);
                CONFIG.into()
            }
        }
    }

    async fn explain(&self, log: &Captured) -> Result<Explained, Trouble> {
        let read_object = |path: &Path, argument| json_object(&read(path)?, argument);
        let question = Question {
            request: read(&self.request)?,
            user: self.user.as_deref().map(|path| read_object(path, "--user")).transpose()?,
            group: self.group.as_deref().map(|path| read_object(path, "--group")).transpose()?,
        };
        let explained = question.answered(async || self.stage().await, log).await?;
        Ok(explained)
    }

    async fn stage(&self) -> Result<Stage, Trouble> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = sockets::bind(loopback, "explain").await?;
        let stage =
            Box::pin(Stage::set_up(listener, self.config.path().as_deref(), self.variables())).await?;
        show(&stage.failed_examples);
        Ok(stage)
    }

    /// Settings for a single request: nothing is remembered from one before it, and nothing has to wait.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<_, _> = environment().collect();
        let single = [
            ("BRIDGE_ZIFLOW__READ_CACHE_TTL_SECS", "0"),
            ("BRIDGE_RATE_LIMIT__REQUESTS_PER_SECOND", "1000"),
            ("BRIDGE_RATE_LIMIT__BURST", "1000"),
        ];
        variables.extend(single.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables.extend(self.mapping.as_deref().map(mapping_variable));
        variables
    }
}

/// What is to be explained.
#[derive(Debug)]
pub(super) struct Question {
    /// As it was written down.
    pub(super) request: String,
    /// Who is there before, and which group.
    pub(super) user: Option<Value>,
    pub(super) group: Option<Value>,
}

impl Question {
    /// The answer; each entry of a provisioning log on a stage of its own.
    pub(super) async fn answered<E: From<String>>(
        self,
        stage: impl AsyncFn() -> Result<Stage, E>,
        log: &Captured,
    ) -> Result<Explained, E> {
        let Some(read) = Log::read(&self.request) else {
            let explanation = Box::pin(self.answered_on(&stage().await?, log)).await?;
            return Ok(Explained::Request(Box::new(explanation)));
        };
        let Log { entries, further } = read?;
        let mut told = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut reading = entry.reading(self.group.is_some());
            if reading.before.is_some() && !self.gives(&entry) {
                reading.open.insert(0, MADE_UP.to_owned());
            }
            let outcome = match &reading.sent {
                Sent::Nothing(_) => None,
                _ => Some(Box::pin(self.tried(&entry, &reading, &stage().await?, log)).await.map(Box::new)),
            };
            told.push(Told { entry, reading, outcome });
        }
        Ok(Explained::Log { told, further })
    }

    /// Whether whoever an entry is about was given beside it.
    fn gives(&self, entry: &Entry) -> bool {
        if entry.is_about_a_group(self.group.is_some()) { self.group.is_some() } else { self.user.is_some() }
    }

    async fn answered_on(self, stage: &Stage, log: &Captured) -> Result<Explanation, String> {
        let Self { request: text, mut user, group } = self;
        match (&mut user, Request::person_named(&text, &stage.base_path)) {
            (None, Some(id)) => {
                return Err(format!("the request is about the person {id}: give them with --user"));
            }
            // Whoever is given without an id is the one whom the path names.
            (Some(Value::Object(user)), Some(id)) => drop(user.entry("id").or_insert_with(|| id.into())),
            _ => {}
        }
        let entra = Entra::new(stage.ziflow.key())?;
        let person = match user {
            Some(user) => Some(props::person(stage, &entra, user).await?),
            None => None,
        };
        let group_id = group.as_ref().map(id_of_group);
        let known = Known { person: person.as_deref(), group: group_id.as_deref() };
        let request = Request::parse(&text, &stage.base_path, known)?;
        Trial { stage, entra, person, group }.carried_out(request, log).await
    }

    /// What an entry was read as, before whom it is about: as they were given, or else as the entry shows them.
    async fn tried(
        &self,
        entry: &Entry,
        reading: &Reading,
        stage: &Stage,
        log: &Captured,
    ) -> Result<Explanation, String> {
        let entra = Entra::new(stage.ziflow.key())?;
        let of_group = entry.is_about_a_group(self.group.is_some());
        let person = match (&self.user, &reading.before) {
            (Some(user), _) => Some(props::person(stage, &entra, user.clone()).await?),
            (None, Some(before)) if !of_group => Some(props::somebody(stage, &entra, before).await?),
            _ => None,
        };
        let shown = reading.before.clone().filter(|_| of_group);
        let group = self.group.clone().or(shown);
        let (all, id) =
            if of_group { ("/Groups", group.as_ref().map(id_of_group)) } else { ("/Users", person.clone()) };
        let one = format!("{all}/{}", encoded(id.as_deref()));
        let (method, target, body) = match &reading.sent {
            Sent::Nothing(why) => return Err(why.clone()),
            Sent::Create(body) => ("POST", all.to_owned(), Some(body.to_string())),
            Sent::Patch(body) => ("PATCH", one, Some(body.to_string())),
            Sent::Delete => ("DELETE", one, None),
        };
        let request = Request { method: method.to_owned(), target, headers: Vec::new(), body };
        Trial { stage, entra, person, group }.carried_out(request, log).await
    }
}

const MADE_UP: &str = "Whoever or whatever is changed is made up of what the entry shows; the rest counts as absent. The real \
                       one can be given: --user, --group.";

fn id_of_group(group: &Value) -> String {
    props::id_of(group).unwrap_or(EXAMPLE_ID).to_owned()
}

/// A stage with somebody on it.
struct Trial<'a> {
    stage: &'a Stage,
    entra: Entra,
    /// The id of the person whom Ziflow has.
    person: Option<String>,
    group: Option<Value>,
}

impl Trial<'_> {
    async fn carried_out(self, request: Request, log: &Captured) -> Result<Explanation, String> {
        let Self { stage, entra, person, group } = self;
        let group = props::around(stage, &entra, &request, group).await?;
        stage.settled().await;
        let events = stage.bridge.listen();
        let before = stage.ziflow.total_calls();
        log.take();
        let url = format!("{}{}", stage.url, request.target);
        let (status, answer) =
            entra.ask(&request.method, &url, &request.headers, request.body.clone()).await?;
        stage.settled().await;
        Ok(Explanation {
            request,
            base_path: stage.base_path.clone(),
            mapping: stage.mapping_file.clone(),
            id: person,
            props: group,
            events: drained(events),
            calls: stage.ziflow.calls_since(before),
            log: log.take(),
            status,
            answer,
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let done = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    done.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text)
}

pub(super) fn json_object(text: &str, argument: &str) -> Result<Value, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("{argument} is no JSON: {error}"))?;
    let one = if argument == "--user" { "person" } else { "group" };
    if value.is_object() { Ok(value) } else { Err(format!("{argument} must be a JSON object: one {one}")) }
}

fn drained(mut events: UnboundedReceiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}
