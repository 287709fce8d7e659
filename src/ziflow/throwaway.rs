//! The throw-away user of a probe: made, found, changed, and taken away again on every way out.
//!
//! It touches nobody whom it has not made itself in this very run: it knows its user by a mark in the name, and changes
//! them by the id that its own create brought. A request under way is always waited for, so that its outcome is known.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::ziflow::client::random_bytes;
use crate::ziflow::look::{As, Look, Looker, Missed};
use crate::ziflow::model::User;
use crate::ziflow::observations::Reply;
use crate::ziflow::request::{Request, addressable};

/// How long all experiments together may take, the cleanup after them, and the last resort of the cleanup.
const LONGEST: Duration = Duration::from_secs(240);
const CLEANUP: Duration = Duration::from_secs(60);
const LAST_RESORT: Duration = Duration::from_secs(15);

/// How long it is waited until a read shows a write, and how often it is looked.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So often a read that fails, and any call that is told to slow down, is repeated.
const REPEATS: u32 = 3;
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One call with its wait at the door.
pub(super) const ONE_CALL: Duration = Duration::from_secs(30);

/// What is to be done with whom.
#[derive(Debug)]
pub struct Task {
    /// The address of the throw-away user.
    pub email: String,
    /// Who is to receive the proofs that the user does not have.
    pub new_owner: Option<String>,
    /// Turns true when somebody wants an end.
    pub stop: watch::Receiver<bool>,
}

/// Why a probe ended before it was through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Interrupted,
    TimeOver,
    /// It is not certain that nobody has the address.
    Taken(String),
    /// Ziflow does not make the user.
    Refused(String),
    /// A call brought nothing that could be used.
    Failed {
        what: String,
        told: String,
    },
}

pub(super) type Result<T, E = Trouble> = std::result::Result<T, E>;

#[derive(Debug)]
pub(super) struct Throwaway {
    pub(super) looker: Looker,
    pub(super) task: Task,
    /// The last name of whom this run makes, which nobody else has.
    pub(super) mark: String,
    /// The ids of those made in this run and not known to be gone.
    pub(super) made: Vec<String>,
    pub(super) made_any: bool,
    /// A create was sent whose outcome is not known.
    pub(super) in_doubt: bool,
    /// The id in the answer to a create; whose it is, a read has to show.
    claimed: Option<String>,
    /// How often Ziflow asked to slow down.
    pub(super) throttled: u32,
    cleaning: bool,
    end: Instant,
}

impl Throwaway {
    pub(super) fn new(looker: Looker, task: Task) -> Result<Self, String> {
        let bytes = random_bytes::<8>().map_err(|error| error.to_string())?;
        Ok(Self {
            looker,
            task,
            mark: format!("Probe{:016x}", u64::from_ne_bytes(bytes)),
            made: Vec::new(),
            made_any: false,
            in_doubt: false,
            claimed: None,
            throttled: 0,
            cleaning: false,
            end: Instant::now() + LONGEST,
        })
    }

    /// Deletes whom this run has made. Sentences about those who stay.
    pub(super) async fn clean_up(&mut self) -> Vec<String> {
        self.cleaning = true;
        self.end = Instant::now() + CLEANUP;
        let mut left = Vec::new();
        let email = self.task.email.clone();
        if self.in_doubt && !matches!(self.settle(REPEATS + 2).await, Ok(Some(_))) {
            left.push(format!(
                "a create was sent, and whether it made somebody is not known. Nobody of this run is shown under {email} \
                 yet: look again in some minutes, and delete them in Ziflow by hand"
            ));
        }
        for id in self.made.clone() {
            if self.remove(&id).await {
                continue;
            }
            self.end = self.end.max(Instant::now() + LAST_RESORT);
            let off = self.put(&id, &json!({"active": false})).await;
            if off.is_ok_and(|reply| reply.is_success()) {
                left.push(format!(
                    "{email} ({id}) could not be deleted and is deactivated: delete them in Ziflow"
                ));
            } else {
                left.push(format!(
                    "{email} ({id}) could be neither deleted nor deactivated: delete them in Ziflow by hand"
                ));
            }
        }
        left
    }

    /// Whether the person is gone for certain.
    async fn remove(&mut self, id: &str) -> bool {
        let owner = self.task.new_owner.clone();
        for attempt in 0..=REPEATS {
            if attempt > 0 && self.rest(PAUSE).await.is_err() {
                return false;
            }
            // A new owner may be what Ziflow does not like about it.
            let owner = owner.as_deref().filter(|_| attempt % 2 == 0);
            match self.send_delete(id, owner).await {
                Ok(look) if look.is_success() => return true,
                // A 404 or 400 may be about something else.
                Ok(_) if self.is_gone(id).await => return true,
                _ => {}
            }
        }
        false
    }

    async fn is_gone(&mut self, id: &str) -> bool {
        for collection in ["users", "contacts"] {
            if !self.read(&[collection, id]).await.is_ok_and(|look| look.is_absence()) {
                return false;
            }
        }
        true
    }

    /// Looks up the address, and the id that a create has brought, up to so many times, until one of them shows somebody
    /// made in this run; remembers them, and tells after how many reads.
    pub(super) async fn settle(&mut self, tries: u32) -> Result<Option<(Look, u32)>> {
        let email = self.task.email.clone();
        for attempt in 0..tries {
            if attempt > 0 {
                self.rest(if self.cleaning { PAUSE } else { LOOK_EVERY }).await?;
            }
            let claimed = self.claimed.clone().filter(|id| attempt % 2 == 0 && !self.made.contains(id));
            let look = self.read(&["users", claimed.as_deref().unwrap_or(&email)]).await?;
            let ours = look.user().filter(|user| self.is_ours(user, &look));
            if let Some(user) = ours {
                self.remember(&user.id);
                self.in_doubt = false;
                return Ok(Some((look, attempt + 1)));
            }
        }
        // Who has the address and does not bear the mark was made by somebody else meanwhile.
        Ok(None)
    }

    fn is_ours(&self, user: &User, look: &Look) -> bool {
        let marked = look.field("last_name").and_then(Value::as_str) == Some(&self.mark);
        let ours = marked || self.made.contains(&user.id);
        ours && user.email.eq_ignore_ascii_case(&self.task.email)
    }

    pub(super) fn remember(&mut self, id: &str) {
        self.in_doubt = false;
        if !self.made.iter().any(|made| made == id) {
            self.made.push(id.to_owned());
        }
    }

    pub(super) async fn post(&mut self) -> Result<Look> {
        let body = json!({"email": self.task.email, "first_name": "Ziflow", "last_name": self.mark});
        let request = Request { method: Method::POST, path: &["users"], query: &[], body: Some(&body) };
        self.may_go_on()?;
        (self.in_doubt, self.made_any) = (true, true);
        let look = self.ask(&request).await?;
        let id = look.field("id").and_then(Value::as_str).filter(|_| look.is_success());
        self.claimed = id.filter(|id| addressable(id)).map(str::to_owned);
        Ok(look)
    }

    pub(super) async fn put(&mut self, id: &str, body: &Value) -> Result<Reply> {
        let path = ["users", id];
        let request = Request { method: Method::PUT, path: &path, query: &[], body: Some(body) };
        Ok(Reply::of(&self.ask(&request).await?))
    }

    pub(super) async fn send_delete(&mut self, id: &str, owner: Option<&str>) -> Result<Look> {
        let query: Vec<_> = owner.map(|owner| ("newOwner", owner.to_owned())).into_iter().collect();
        let path = ["users", id];
        let request = Request { method: Method::DELETE, path: &path, query: &query, body: None };
        self.ask(&request).await
    }

    /// A page of a hundred people.
    pub(super) async fn page(&mut self, number: u32) -> Result<Look> {
        let query = [("count", "100".to_owned()), ("page", number.to_string())];
        self.ask(&Request { method: Method::GET, path: &["users"], query: &query, body: None }).await
    }

    pub(super) async fn read(&mut self, path: &[&str]) -> Result<Look> {
        self.ask(&Request { method: Method::GET, path, query: &[], body: None }).await
    }

    /// Sends. A read that fails is repeated, and so is everything that Ziflow had no time for.
    async fn ask(&mut self, request: &Request<'_>) -> Result<Look> {
        let mut repeats = REPEATS;
        loop {
            self.may_go_on()?;
            let outcome =
                self.looker.ask(self.end.min(Instant::now() + ONE_CALL), request, As::Ourselves).await;
            let is_read = request.method == Method::GET;
            let wait = match &outcome {
                Ok(look) if look.status == StatusCode::TOO_MANY_REQUESTS => {
                    self.throttled += 1;
                    Some(look.retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE))
                }
                Ok(look) if look.status.is_server_error() => is_read.then_some(PAUSE),
                Ok(look) if look.status == StatusCode::UNAUTHORIZED => None,
                Ok(look) => return Ok(look.clone()),
                Err(missed) => (is_read || !missed.may_have_arrived).then_some(PAUSE),
            };
            match wait.filter(|_| repeats > 0) {
                Some(wait) => self.rest(wait).await?,
                None => return Err(trouble(request, outcome)),
            }
            repeats -= 1;
        }
    }

    /// Waits, unless somebody wants an end.
    pub(super) async fn rest(&mut self, wait: Duration) -> Result<()> {
        if self.cleaning {
            sleep(wait.min(self.end.saturating_duration_since(Instant::now()))).await;
        } else {
            // An error means that nobody is left who could want it.
            drop(timeout(wait, self.task.stop.wait_for(|stop| *stop)).await);
        }
        self.may_go_on()
    }

    pub(super) fn may_go_on(&self) -> Result<()> {
        if !self.cleaning && *self.task.stop.borrow() {
            return Err(Trouble::Interrupted);
        }
        if Instant::now() >= self.end { Err(Trouble::TimeOver) } else { Ok(()) }
    }
}

fn trouble(request: &Request<'_>, outcome: Result<Look, Missed>) -> Trouble {
    let whom = if request.path.len() > 1 { "/{id}" } else { "" };
    let what = format!("{} /{}{whom}", request.method, request.path.first().unwrap_or(&""));
    let told = outcome.map_or_else(|missed| missed.reason, |look| look.told());
    Trouble::Failed { what, told }
}

pub(super) fn failed(what: &str, told: String) -> Trouble {
    Trouble::Failed { what: what.to_owned(), told }
}
