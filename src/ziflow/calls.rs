//! What a request asked Ziflow, call by call: which endpoint, what became of it, what it cost. Nobody is in it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tracing::debug;

use crate::mask::{self, Values};
use crate::ziflow::request::Request;
use crate::ziflow::transport::{Answer, Body, Lost};

/// So many calls of one request are kept. A bulk request may cost more; those that follow are counted only.
const MOST_KEPT: usize = 100;

/// The calls of one request.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    first: Vec<Made>,
    left: u32,
    further: u32,
    /// Of what was said.
    bytes: usize,
}

/// One try: what is sent again is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub method: Method,
    /// The endpoint without its values: `/users/{id}`, `/users?count=…&page=…`.
    pub endpoint: String,
    pub outcome: Outcome,
    /// How often the same had been tried before.
    pub retry: u32,
    /// How long it stood in the queue.
    pub waited: Duration,
    /// How long the answer took from then on.
    pub took: Duration,
    pub said: Said,
}

/// What was said, as it may be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The path with its values, where those may be shown.
    pub target: Option<String>,
    pub sent: Option<String>,
    pub answered: Option<String>,
}

/// So much is kept of a body.
const BODY_BYTES: usize = 2048;

/// And so much of all bodies of a request.
const BODIES_BYTES: usize = 16 * 1024;

impl Said {
    pub(super) fn of(request: &Request<'_>, answer: Option<&Answer>, values: Values) -> Self {
        let target = || {
            let query = request.query.iter().map(|(name, value)| format!("{name}={value}"));
            let query = query.collect::<Vec<_>>().join("&");
            let path = format!("/{}", request.path.join("/"));
            if query.is_empty() { path } else { format!("{path}?{query}") }
        };
        let json = |body: &Value| mask::json(body, values, BODY_BYTES);
        Self {
            target: (values == Values::Shown).then(target),
            sent: request.body.map(json),
            answered: answer.and_then(|answer| match (&answer.body, values) {
                (Body::Empty, _) => None,
                // Of what is no success, nothing that looks like a key is repeated.
                (Body::Json(body), _) if answer.status.is_success() => Some(json(body)),
                (Body::Json(body), Values::Hidden) => Some(json(body)),
                (_, Values::Shown) => Some(answer.message()),
                (_, Values::Hidden) => Some(answer.kind()),
            }),
        }
    }

    /// In memory.
    pub fn bytes(&self) -> usize {
        [&self.target, &self.sent, &self.answered].into_iter().flatten().map(String::len).sum()
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Ziflow answered with this status.
    Answered(u16),
    /// The same, and the body broke off.
    Cut(u16),
    /// No answer in time.
    TimedOut,
    /// The connection did not come about, or broke.
    Lost,
    /// It never left: the queue was full, Ziflow wanted a pause, or calls were held back.
    NotSent,
}

/// The calls of a request that is worked on, to be looked at also before it ends. Those of a part of it are the part's own
/// as well.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    own: Arc<Mutex<Calls>>,
    whole: Option<Arc<Mutex<Calls>>>,
}

impl Tally {
    /// For a part of the request.
    #[must_use]
    pub(super) fn part(&self) -> Self {
        Self { own: Arc::default(), whole: Some(Arc::clone(&self.own)) }
    }

    pub(super) fn add(&self, made: Made) {
        let add = |calls: &Mutex<Calls>, made| calls.lock().unwrap_or_else(PoisonError::into_inner).add(made);
        if let Some(whole) = &self.whole {
            add(whole, made.clone());
        }
        add(&self.own, made);
    }

    /// Those that have ended.
    pub fn so_far(&self) -> Calls {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Calls {
    /// Takes one more down.
    pub(super) fn add(&mut self, mut made: Made) {
        self.left += u32::from(made.outcome != Outcome::NotSent);
        let bytes = made.said.bytes();
        if self.bytes + bytes > BODIES_BYTES {
            made.said = Said::default();
        } else {
            self.bytes += bytes;
        }
        if self.first.len() < MOST_KEPT {
            self.first.push(made);
        } else {
            self.further += 1;
        }
    }

    /// In the order in which they ended, as many as are kept.
    pub fn first(&self) -> &[Made] {
        &self.first
    }

    /// How many there were beside these.
    pub fn further(&self) -> u32 {
        self.further
    }

    /// How many have left for Ziflow.
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl Made {
    /// The line says to which request it belongs, if to any.
    pub(super) fn log(&self) {
        let Self { method, endpoint, outcome, retry, waited, took, said: _ } = self;
        let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        debug!(call = %format_args!("{method} {endpoint}"), %outcome, retry, queued_ms = ms(waited), ms = ms(took), "Ziflow call");
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => status.fmt(f),
            Self::Cut(status) => write!(f, "{status}, cut short"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Lost => f.write_str("no connection"),
            Self::NotSent => f.write_str("not sent"),
        }
    }
}

impl Outcome {
    pub(super) fn of(answer: &Answer) -> Self {
        let status = answer.status.as_u16();
        if matches!(answer.body, Body::Cut(_)) { Self::Cut(status) } else { Self::Answered(status) }
    }

    pub(super) fn of_lost(lost: &Lost) -> Self {
        if lost.timed_out { Self::TimedOut } else { Self::Lost }
    }
}

/// The endpoint of a request without the person: with a `…` for each value of the query.
pub(super) fn endpoint(request: &Request<'_>) -> String {
    let mut text = String::new();
    for (number, segment) in request.path.iter().enumerate() {
        text.push('/');
        text.push_str(match number {
            0 => segment,
            // Ziflow takes an address in the place of an id.
            _ if segment.contains('@') => "{email}",
            _ => "{id}",
        });
    }
    for (number, (name, _value)) in request.query.iter().enumerate() {
        text.push(if number == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push_str("=…");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_names_nobody() {
        let query = [("newOwner", "auth0|2".to_owned())];
        let page = [("count", "100".to_owned()), ("page", "2".to_owned())];
        for (path, query, shown) in [
            (&["users"][..], &[][..], "/users"),
            (&["users"], &page, "/users?count=…&page=…"),
            (&["users", "auth0|1"], &query, "/users/{id}?newOwner=…"),
            (&["users", "jo@example.com"], &[], "/users/{email}"),
            (&["contacts", "auth0|1"], &[], "/contacts/{id}"),
        ] {
            let request = Request { method: Method::GET, path, query, body: None };
            assert_eq!(endpoint(&request), shown);
        }
    }

    fn made(outcome: Outcome) -> Made {
        Made {
            method: Method::GET,
            endpoint: "/users".to_owned(),
            outcome,
            retry: 0,
            waited: Duration::ZERO,
            took: Duration::ZERO,
            said: Said::default(),
        }
    }

    #[test]
    fn the_calls_of_a_part_are_the_requests_as_well() {
        let request = Tally::default();
        request.add(made(Outcome::Answered(200)));
        let (first, second) = (request.part(), request.part());
        first.add(made(Outcome::TimedOut));
        second.add(made(Outcome::Lost));
        second.add(made(Outcome::Answered(404)));
        let counted = |tally: &Tally| tally.so_far().first().len();
        assert_eq!((counted(&request), counted(&first), counted(&second)), (4, 1, 2));
    }

    #[test]
    fn what_is_kept_of_many_calls_is_bounded() {
        let mut calls = Calls::default();
        calls.add(made(Outcome::NotSent));
        for _ in 0..=MOST_KEPT {
            calls.add(made(Outcome::Answered(200)));
        }
        assert_eq!((calls.first().len(), calls.further(), calls.left()), (MOST_KEPT, 2, 101));

        let mut calls = Calls::default();
        let said = Said { answered: Some("x".repeat(BODY_BYTES)), ..Said::default() };
        for _ in 0..MOST_KEPT {
            calls.add(Made { said: said.clone(), ..made(Outcome::Answered(200)) });
        }
        let bytes: usize = calls.first().iter().map(|made| made.said.bytes()).sum();
        assert_eq!((calls.first().len(), bytes), (MOST_KEPT, BODIES_BYTES));
    }
}
