//! The tab `explain`: a request is pasted, or what Entra's provisioning log shows of one, and what the bridge would do about
//! it is shown, rule by rule and call by call. It is tried elsewhere than in Ziflow and changes nothing; who does it is
//! handed in.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use tokio::sync::Semaphore;

use crate::server::operations::Operations;
use crate::server::status::request;
use crate::server::status::view::{Tab, Tone, frame, tag};

/// What is pasted may be a bulk request, or some entries of a log, and no more than that.
pub(in crate::server) const MOST_BYTES: usize = 256 * 1024;

/// What was pasted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// A SCIM body, an HTTP request, or entries of Entra's provisioning log.
    pub request: String,
    /// The person and the group that are there before; JSON, or nothing.
    pub person: String,
    pub group: String,
}

/// What is said about what was pasted.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    pub told: Vec<Told>,
    /// How many entries were left out.
    pub further: usize,
}

/// What is said about one request.
#[derive(Clone, Debug)]
pub struct Told {
    /// The entry of the provisioning log from which it was read.
    pub entry: Option<Entry>,
    /// None: nothing was sent. An error: why it cannot be tried.
    pub answer: Option<Result<Answer, String>>,
}

/// An entry of the provisioning log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `update of the person Jo Lee, 2026-11-24T07:23:47Z`
    pub title: String,
    /// How it ended for Entra.
    pub ended: Option<String>,
    /// Under which request id the bridge has answered it.
    pub request_id: Option<String>,
    /// The method and the body that Entra sends of it.
    pub sent: Option<String>,
    /// Why nothing was sent.
    pub nothing: Option<String>,
    /// What it does not say.
    pub open: Vec<String>,
}

/// What the bridge would do.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// `PATCH /scim/v2/Users/1`
    pub request: String,
    /// What was taken for granted.
    pub notes: Vec<String>,
    /// What the mapping makes of it.
    pub asked: Vec<Asked>,
    pub calls: Vec<Called>,
    /// Warnings and errors that the log would hold.
    pub log: Vec<String>,
    pub status: u16,
    /// The body of the answer.
    pub body: String,
}

/// Something that the mapping was asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    pub about: String,
    pub fields: Vec<Field>,
}

/// A field, or whatever else the mapping decides, and how it came to it.
#[derive(Clone, Debug)]
pub struct Field {
    pub headline: String,
    pub steps: Vec<String>,
}

/// A call of Ziflow.
#[derive(Clone, Debug)]
pub struct Called {
    pub call: String,
    pub status: Option<u16>,
    pub body: String,
}

type Explaining = Pin<Box<dyn Future<Output = Result<Explained, String>> + Send>>;

/// Who finds out.
pub trait Explain: Debug + Send + Sync {
    /// Ends within this time.
    fn explain(&self, question: Question, within: Duration) -> Explaining;
}

/// The one who finds out, who does one thing at a time.
#[derive(Debug)]
pub(in crate::server) struct Explainer {
    by: Arc<dyn Explain>,
    turn: Arc<Semaphore>,
    within: Duration,
}

impl Explainer {
    pub(in crate::server) fn new(by: Arc<dyn Explain>, within: Duration) -> Self {
        Self { by, turn: Arc::new(Semaphore::new(1)), within }
    }

    /// The page with the answer, and whether there is one. What an entry of a log says of a request that is still kept stands
    /// beside it.
    pub(in crate::server) async fn answer(&self, question: Question, kept: &Operations) -> (bool, String) {
        let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else {
            let busy = "something else is being explained: try again in a moment".to_owned();
            return (false, page(&question, Some(Err(busy)), kept));
        };
        let explaining = self.by.explain(question.clone(), self.within);
        // Whoever asks may go away: then the turn lasts until the work has ended all the same.
        let work = tokio::spawn(async move {
            let answer = explaining.await;
            drop(turn);
            answer
        });
        let answer = work.await.unwrap_or_else(|failure| Err(failure.to_string()));
        (answer.is_ok(), page(&question, Some(answer), kept))
    }
}

impl Question {
    /// From a form.
    pub(in crate::server) fn parse(body: &[u8]) -> Self {
        let mut question = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "request" => question.request = value.into_owned(),
                "person" => question.person = value.into_owned(),
                "group" => question.group = value.into_owned(),
                _ => {}
            }
        }
        question
    }
}

/// What can be pasted.
const EXAMPLE: &str = r#"{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
  "userName": "jo.lee@example.com",
  "name": { "givenName": "Jo", "familyName": "Lee" },
  "active": true
}

or PATCH /Users/{id} with its body, or an entry of Entra's provisioning log:
{ "provisioningAction": "update", "modifiedProperties": [ … ], … }"#;

/// The form without a question.
pub(in crate::server) fn blank() -> String {
    page(&Question::default(), None, &Operations::default())
}

fn page(question: &Question, answer: Option<Result<Explained, String>>, kept: &Operations) -> String {
    let body = html! {
        section {
            h1 { "What would the bridge do?" }
            p.faint {
                "Paste a SCIM body, a whole request such as " code { "PATCH /Users/{id}" } " with its body, or what Entra's \
                 provisioning log shows: entries of the JSON download or of Microsoft Graph, or the lines of the tab \
                 Modified properties. It is tried with the mapping in force before a simulated Ziflow: nobody is changed, and \
                 nothing is kept."
            }
            (form(question))
        }
        @match answer {
            None => {}
            Some(Err(reason)) => (refused(&reason)),
            Some(Ok(Explained { told, further })) => {
                @let several = told.len() > 1;
                @for (number, told) in (1..).zip(&told) {
                    @if let Some(entry) = &told.entry { (entry_shown(entry, several.then_some(number), kept)) }
                    @match &told.answer {
                        None => {}
                        Some(Err(reason)) => (refused(reason)),
                        Some(Ok(answer)) if several => details.more {
                            summary { (verdict(answer)) }
                            (shown(answer))
                        },
                        Some(Ok(answer)) => (shown(answer)),
                    }
                }
                @if further > 0 {
                    section { p { "Left out: " (further) " more. Paste those that you want to see." } }
                }
            }
        }
    };
    frame(Tab::Explain, None, &html! {}, &body)
}

fn refused(reason: &str) -> Markup {
    html! {
        section.verdict.bad role="alert" {
            h2 { "This cannot be explained" }
            pre { (reason) }
        }
    }
}

/// What the log says, what was read from it, and what the bridge itself remembers of it.
fn entry_shown(entry: &Entry, number: Option<usize>, kept: &Operations) -> Markup {
    html! {
        section {
            h2 { @if let Some(number) = number { (number) ". " } "Entry of the provisioning log: " (entry.title) }
            dl {
                @if let Some(ended) = &entry.ended { dt { "Outcome" } dd { div.brief { (ended) } } }
                @if let Some(id) = &entry.request_id { dt { "Request id" } dd.mono { (request::link_to(id)) } }
            }
            @if let Some(id) = &entry.request_id {
                @match kept.find(id) {
                    Some(operation) => {
                        h3 { "What the bridge did" }
                        div.requests { (request::shown(&operation, true, Timestamp::now())) }
                    }
                    None => p.faint {
                        "The request is not kept here any more; the log has it under its id. What follows is what the bridge \
                         would do now."
                    }
                }
            }
            @if let Some(sent) = &entry.sent { h3 { "Read from the entry as" } pre { (sent) } }
            @if let Some(nothing) = &entry.nothing { p { (nothing) } }
            @if !entry.open.is_empty() {
                h3 { "What the entry leaves open" }
                ul { @for open in &entry.open { li { (open) } } }
            }
        }
    }
}

fn form(question: &Question) -> Markup {
    let around = !(question.person.is_empty() && question.group.is_empty());
    html! {
        form method="post" action="/explain" {
            label for="request" { "Request" }
            textarea #request name="request" rows="12" required spellcheck="false" placeholder=(EXAMPLE) { "\n" (question.request) }
            details open[around] {
                summary { "Who or what is there before" }
                p.faint { "A change needs somebody to change: as Ziflow's API shows them, or as the SCIM user that Entra \
                           last wrote. An entry of the provisioning log finds whom it shows, if nobody is given here." }
                label for="person" { "Person (JSON; on the command line: --user)" }
                textarea #person name="person" rows="6" spellcheck="false" { "\n" (question.person) }
                label for="group" { "Group (JSON; on the command line: --group)" }
                textarea #group name="group" rows="4" spellcheck="false" { "\n" (question.group) }
            }
            p { button type="submit" { "Explain" } }
        }
    }
}

fn tone(answer: &Answer) -> Tone {
    match answer.status {
        ..400 => Tone::Good,
        400..500 => Tone::Odd,
        _ => Tone::Bad,
    }
}

fn verdict(answer: &Answer) -> Markup {
    html! { code { (answer.request) } " would be answered " (tag(tone(answer), &answer.status.to_string())) }
}

fn shown(answer: &Answer) -> Markup {
    html! {
        section.verdict.(tone(answer).class()) {
            h2 { (verdict(answer)) }
            @for note in &answer.notes { p { (note) } }
        }
        @for asked in &answer.asked {
            section {
                h2 { (asked.about) }
                ul.fields { @for field in &asked.fields { li {
                    (field.headline)
                    @if !field.steps.is_empty() { ul { @for step in &field.steps { li { (step) } } } }
                } } }
            }
        }
        section {
            h2 { "Calls of Ziflow" }
            @if answer.calls.is_empty() { p { "Ziflow is not asked for anything." } }
            ol { @for called in &answer.calls { li {
                code { (called.call) } " "
                (called.status.map_or_else(|| tag(Tone::Odd, "no answer"), |status| tag(Tone::Plain, &status.to_string())))
                @if !called.body.is_empty() { pre { (called.body) } }
            } } }
        }
        @if !answer.log.is_empty() {
            section { h2 { "The log would say" } @for line in &answer.log { pre { (line) } } }
        }
        section { h2 { "The answer that Entra gets" } @if answer.body.is_empty() { p { "No body." } } @else { pre { (answer.body) } } }
    }
}
