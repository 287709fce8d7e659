//! Entries of Entra's provisioning log, explained one by one: each is tried on a bridge of its own, so that none sees what
//! became of another.

use std::fmt;

use serde_json::{Value, json};

use crate::cli::explanation::Explanation;
use crate::cli::provisioning_log::{Entry, Reading, Sent};
use crate::cli::text::{self, indented};
use crate::server::status::explain::{self as page, Answer};
use crate::telemetry::line::harmless;

/// What is said about what was written down.
#[derive(Debug)]
pub(super) enum Explained {
    /// A request.
    Request(Box<Explanation>),
    /// A provisioning log.
    Log {
        told: Vec<Told>,
        /// How many entries there were beside these.
        further: usize,
    },
}

/// What is said about one entry.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) entry: Entry,
    pub(super) reading: Reading,
    /// None: Entra has sent nothing. An error: what the entry shows is too little to try it.
    pub(super) outcome: Option<Result<Box<Explanation>, String>>,
}

impl Explained {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Request(explanation) => explanation.to_json(),
            Self::Log { told, further } => {
                let entries: Vec<Value> = told.iter().map(Told::to_json).collect();
                json!({"entries": entries, "leftOut": further})
            }
        }
    }
}

impl Told {
    fn to_json(&self) -> Value {
        let Self { entry, reading: Reading { title, sent, open, .. }, outcome } = self;
        let (method, body) = sent_as(sent);
        let nothing = if let Sent::Nothing(why) = sent { Some(why) } else { None };
        let mut told = json!({
            "entry": {
                "title": title,
                "status": entry.status,
                "error": entry.error,
                "requestId": entry.request_id,
                "readAs": method.map(|method| json!({"method": method, "body": body})),
                "nothingSent": nothing,
                "open": open,
            },
        });
        let explained = match outcome {
            Some(Ok(explanation)) => explanation.to_json(),
            Some(Err(trouble)) => json!({ "trouble": trouble }),
            None => json!({}),
        };
        if let (Some(told), Value::Object(explained)) = (told.as_object_mut(), explained) {
            told.extend(explained);
        }
        told
    }

    /// How it ended for Entra, in a line.
    fn ended(&self) -> Option<String> {
        let Entry { status, error, .. } = &self.entry;
        let texts: Vec<&str> = [status, error].into_iter().flatten().map(String::as_str).collect();
        let blanks = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        (!texts.is_empty()).then(|| blanks(texts.join(", ")))
    }
}

/// The method, and the body if there is one.
fn sent_as(sent: &Sent) -> (Option<&'static str>, Option<&Value>) {
    match sent {
        Sent::Nothing(_) => (None, None),
        Sent::Create(body) => (Some("POST"), Some(body)),
        Sent::Patch(body) => (Some("PATCH"), Some(body)),
        Sent::Delete => (Some("DELETE"), None),
    }
}

/// A paragraph of what was pasted: an end of line in it begins no line of ours.
fn hanging(text: &str, first: usize, rest: usize) -> String {
    text::hanging(&harmless(text), first, rest)
}

/// For the status page.
impl From<Explained> for page::Explained {
    fn from(explained: Explained) -> Self {
        match explained {
            Explained::Request(explanation) => {
                let answer = Some(Ok(Answer::from(*explanation)));
                Self { told: vec![page::Told { entry: None, answer }], further: 0 }
            }
            Explained::Log { told, further } => {
                Self { told: told.into_iter().map(page::Told::from).collect(), further }
            }
        }
    }
}

impl From<Told> for page::Told {
    fn from(told: Told) -> Self {
        let ended = told.ended();
        let Told { entry, reading, outcome } = told;
        let (method, body) = sent_as(&reading.sent);
        let body = body.map(|body| format!("\n{}", indented(body, 0))).unwrap_or_default();
        let sent = method.map(|method| format!("{method}{body}"));
        let nothing = if let Sent::Nothing(why) = reading.sent { Some(why) } else { None };
        Self {
            entry: Some(page::Entry {
                title: reading.title,
                ended,
                request_id: entry.request_id,
                sent,
                nothing,
                open: reading.open,
            }),
            answer: outcome.map(|outcome| outcome.map(|explanation| Answer::from(*explanation))),
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (told, further) = match self {
            Self::Request(explanation) => return explanation.fmt(f),
            Self::Log { told, further } => (told, *further),
        };
        for (number, one) in told.iter().enumerate() {
            if number > 0 {
                writeln!(f, "\n{}\n", "-".repeat(80))?;
            }
            writeln!(
                f,
                "{}",
                hanging(
                    &format!("Entry {} of {}: {}", number + 1, told.len() + further, one.reading.title),
                    0,
                    2
                )
            )?;
            one.fmt(f)?;
        }
        if further > 0 {
            writeln!(
                f,
                "\n{further} more entries are left out: give those that you want to see in a file of their own."
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ended) = self.ended() {
            writeln!(f, "{}", hanging(&format!("Entra's outcome: {ended}"), 0, 2))?;
        }
        if let Some(id) = &self.entry.request_id {
            let text = format!(
                "The bridge has answered it: its log, and the status page, have it under the request id {id}."
            );
            writeln!(f, "{}", hanging(&text, 0, 2))?;
        }
        match sent_as(&self.reading.sent) {
            (Some(method), body) => {
                let colon = if body.is_some() { ":" } else { "." };
                writeln!(f, "\nRead from a provisioning log entry as a {method}{colon}")?;
                if let Some(body) = body {
                    writeln!(f, "{}", indented(body, 5))?;
                }
            }
            (None, _) => {
                if let Sent::Nothing(why) = &self.reading.sent {
                    writeln!(f, "\n{}", hanging(why, 0, 0))?;
                }
            }
        }
        if !self.reading.open.is_empty() {
            writeln!(f, "\nWhat the entry leaves open:")?;
            self.reading.open.iter().try_for_each(|line| writeln!(f, "{}", hanging(line, 2, 4)))?;
        }
        match &self.outcome {
            None => Ok(()),
            Some(Ok(explanation)) => write!(f, "\n{explanation}"),
            Some(Err(trouble)) => writeln!(f, "\nIt cannot be tried: {trouble}"),
        }
    }
}
