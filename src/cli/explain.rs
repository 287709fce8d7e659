//! `explain`: what the bridge would do about a request, and why. The bridge itself does it, before a simulated Ziflow.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::bridge::record::Event;
use crate::cli::entra::Entra;
use crate::cli::explanation::Explanation;
use crate::cli::request::Request;
use crate::cli::stage::{Stage, Trouble};
use crate::cli::{CONFIG, ConfigFile, Format, environment, failed, mapping_variable, say, serve, show};
use crate::telemetry::{self, Captured};

#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The request: a SCIM body in JSON, or an HTTP request such as `PATCH /Users/{id}` with its body; `-` reads
    /// standard input
    #[arg(value_name = "REQUEST")]
    request: PathBuf,
    /// The person whom Ziflow has: as Ziflow's API shows them, or a SCIM user as Entra last wrote them (JSON)
    #[arg(long, value_name = "FILE")]
    user: Option<PathBuf>,
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
            Ok(explanation) => {
                match self.format {
                    Format::Json => say(&explanation.to_json().to_string()),
                    Format::Text => say(&explanation.to_string()),
                }
                ExitCode::SUCCESS
            }
            Err(Trouble::Failed(message)) => failed(&message),
            Err(Trouble::Configuration(reports)) => {
                show(&reports);
                CONFIG.into()
            }
        }
    }

    async fn explain(&self, log: &Captured) -> Result<Explanation, Trouble> {
        let text = read(&self.request)?;
        let user = self.user.as_deref().map(read).transpose()?;
        let user = user.map(|text| json_object(&text)).transpose()?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = serve::bind(loopback, "explain").await?;
        let stage = Stage::set_up(listener, self.config.path().as_deref(), self.variables()).await?;
        show(&stage.failed_examples);
        let entra = Entra::new(stage.ziflow.key())?;
        let id = match user {
            Some(user) => Some(put_in_place(&stage, &entra, user).await?),
            None => None,
        };
        let request = Request::parse(&text, &stage.base_path, id.as_deref())?;
        let events = stage.bridge.listen();
        let before = stage.ziflow.total_calls();
        log.take();
        let url = format!("{}{}", stage.url, request.target);
        let (status, answer) =
            entra.ask(&request.method, &url, &request.headers, request.body.clone()).await?;
        Ok(Explanation {
            request,
            base_path: stage.base_path.clone(),
            mapping: stage.mapping_file.clone(),
            id,
            events: drained(events),
            calls: stage.ziflow.calls_since(before),
            log: log.take(),
            status,
            answer,
        })
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

fn json_object(text: &str) -> Result<Value, String> {
    let user: Value = serde_json::from_str(text).map_err(|error| format!("--user is no JSON: {error}"))?;
    if user.is_object() { Ok(user) } else { Err("--user must be a JSON object: one person".to_owned()) }
}

/// Makes the person exist before the request comes, and says their id. A SCIM user is created through the bridge, so
/// that it remembers what Entra wrote and which roles it gave; a Ziflow user was made by hand.
async fn put_in_place(stage: &Stage, entra: &Entra, mut user: Value) -> Result<String, String> {
    let id = user.get("id").and_then(Value::as_str).map(str::to_owned);
    if user.get("userName").is_none() && user.get("schemas").is_none() {
        if user.get("email").and_then(Value::as_str).is_none_or(|email| !email.contains('@')) {
            return Err(
                "--user is neither a Ziflow user, which has an `email`, nor a SCIM user, which has a \
                        `userName`"
                    .to_owned(),
            );
        }
        // What is not said of the person is not there: the simulated Ziflow would fill in its own.
        if let Some(fields) = user.as_object_mut() {
            for name in ["company", "phone", "language", "timezone"] {
                fields.entry(name).or_insert_with(|| json!(""));
            }
        }
        return Ok(stage.ziflow.add_person(user));
    }
    if let Some(id) = id {
        stage.ziflow.next_id(id);
    }
    let (status, answer) =
        entra.ask("POST", &format!("{}/Users", stage.url), &[], Some(user.to_string())).await?;
    if let (201, Some(id)) = (status, answer.get("id").and_then(Value::as_str)) {
        return Ok(id.to_owned());
    }
    let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no reason was given");
    Err(format!(
        "the person of --user cannot be made with this mapping: {detail}\nWho was there before it can be given as Ziflow's \
         API shows them: {{\"id\": …, \"email\": …, \"first_name\": …}}"
    ))
}

fn drained(mut events: UnboundedReceiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}
