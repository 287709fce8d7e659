//! What the log says of a request: who, what, whom by id, the result, what it cost. Nobody is named.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::bridge::change::Asker;
use crate::bridge::{Calls, Tally};
use crate::mask::Values;
use crate::scim::error::{Error, without_values};
use crate::server::forecast::Object;
use crate::server::operations::Operation;
use crate::server::reply::Reply;
use crate::server::request::RequestId;
use crate::server::source::Source;

/// Those of HTTP (RFC 9110, section 9, and RFC 5789).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// What became of a request.
pub(super) struct Done {
    pub(super) reply: Reply,
    /// What failed, without anybody in it.
    pub(super) reason: Option<String>,
    /// The same with its values, for those who may see them.
    pub(super) detail: Option<String>,
}

impl Done {
    pub(super) fn failed(error: &Error, request_id: &RequestId) -> Self {
        // Only where `log.personal_data` allows it; see `telemetry.rs`.
        debug!(target: "personal", %request_id, detail = error.detail, "what failed, with its values");
        Self {
            reply: Reply::error(error, request_id),
            reason: Some(without_values(&error.detail)),
            detail: Some(error.detail.clone()),
        }
    }
}

/// What a request says, as it may be seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Its path and its query; where values are hidden, its filter.
    pub(super) target: Option<String>,
    pub(super) body: Option<String>,
}

/// What became of an operation of a bulk request.
pub(super) struct Part {
    /// Its place in the request; the first has 1.
    pub(super) number: usize,
    pub(super) method: &'static str,
    pub(super) name: &'static str,
    pub(super) id: Option<String>,
    pub(super) newcomer: Option<u64>,
    pub(super) status: StatusCode,
    pub(super) reason: Option<String>,
    pub(super) took: Duration,
    pub(super) calls: Calls,
    pub(super) said: Said,
}

/// What the log says of a request.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) request_id: RequestId,
    pub(super) start: Instant,
    pub(super) method: http::Method,
    pub(super) operation: &'static str,
    pub(super) id: Option<String>,
    pub(super) source: Source,
    pub(super) client: Option<String>,
    /// For the forecast: whom it is about.
    pub(super) object: Option<Object>,
    /// What the client, or a proxy before it, calls the request.
    pub(super) client_request_id: Option<String>,
    /// Whether it asks for a change.
    pub(super) writes: bool,
    /// Tells one person who is to be made from another.
    pub(super) newcomer: Option<u64>,
    /// Whether the log has heard enough of its like.
    pub(super) is_quiet: bool,
    /// For those who watch: what it says.
    pub(super) said: Said,
    /// What Ziflow is asked for it, once it is worked on.
    calls: Arc<OnceLock<Tally>>,
    /// Whether the client has been answered, or has given up.
    is_answered: Arc<AtomicBool>,
}

impl Line {
    pub(super) fn new(request_id: RequestId, method: http::Method, source: Source) -> Self {
        Self {
            request_id,
            start: Instant::now(),
            method,
            operation: "none",
            id: None,
            source,
            client: None,
            object: None,
            client_request_id: None,
            writes: false,
            newcomer: None,
            is_quiet: false,
            said: Said::default(),
            calls: Arc::default(),
            is_answered: Arc::default(),
        }
    }

    /// Who asks, for the audit log.
    pub(super) fn asker(&self) -> Asker {
        Asker {
            by: self.client.clone().unwrap_or_default(),
            source: Some(self.source.to_string()),
            request_id: Some(self.request_id.to_string()),
        }
    }

    /// It is worked on: these are its calls.
    pub(super) fn costs(&self, calls: &Tally) {
        self.calls.set(calls.clone()).unwrap_or_default();
    }

    fn calls(&self) -> Calls {
        self.calls.get().map(Tally::so_far).unwrap_or_default()
    }

    /// The client is answered. Whether this is the first time.
    pub(super) fn answer(&self) -> bool {
        !self.is_answered.swap(true, Ordering::Relaxed)
    }

    /// The client went away. A write goes on, and has its own line in the end.
    pub(super) fn write_gone(&self) {
        let Self { request_id, operation, client, .. } = self;
        let (method, ms) = (self.method(), self.ms());
        let source = client.is_none().then(|| tracing::field::display(self.source));
        warn!(operation, client, source, ms, method, %request_id, "the client went away before it was answered");
    }

    pub(super) fn write(&self, done: &Done) {
        if self.is_quiet {
            return;
        }
        let Self { request_id, operation, client, client_request_id, .. } = self;
        let method = self.method();
        let status = done.reply.status();
        let id = self.id(Some(done));
        // Whoever has shown a right credential is known by that.
        let source = client.is_none().then(|| tracing::field::display(self.source));
        let ms = self.ms();
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    operation, id, status = status.as_u16(), reason = done.reason, client, source,
                    ziflow_calls = self.calls().left(), ms, method, client_request_id, %request_id, "request"
                )
            };
        }
        // What an operator may have to act on stands out; a client's mistake is the client's.
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            line!(warn);
        } else {
            line!(info);
        }
    }

    /// The same for those who watch.
    pub(super) fn operation(&self, done: Option<&Done>, values: Values) -> Operation {
        let reason = done.and_then(|done| match values {
            Values::Shown => done.detail.clone().or(done.reason.clone()),
            Values::Hidden => done.reason.clone(),
        });
        Operation {
            id: self.id(done).cloned(),
            status: done.map(|done| done.reply.status()),
            reason,
            calls: self.calls(),
            said: self.said.clone(),
            ..self.frame()
        }
    }

    /// An operation of a bulk request, for those who watch.
    pub(super) fn part(&self, part: Part) -> Operation {
        let Part { number, method, name, id, newcomer, status, reason, took, calls, said } = part;
        Operation {
            method: method.to_owned(),
            name,
            writes: true,
            id: written_down(id.as_ref(), status.is_success()).cloned(),
            newcomer,
            status: Some(status),
            reason,
            took,
            calls,
            said,
            part: Some(number),
            ..self.frame()
        }
    }

    /// Who asks, and when: what a request and its parts have in common.
    fn frame(&self) -> Operation {
        Operation {
            at: Timestamp::now(),
            request_id: self.request_id.as_str().to_owned(),
            client_request_id: self.client_request_id.clone(),
            method: self.method().to_owned(),
            name: self.operation,
            writes: self.writes,
            id: None,
            newcomer: self.newcomer,
            is_known: self.client.is_some(),
            who: self.client.clone().unwrap_or_else(|| self.source.to_string()),
            status: None,
            reason: None,
            took: self.start.elapsed(),
            calls: Calls::default(),
            said: Said::default(),
            part: None,
        }
    }

    fn id<'a>(&'a self, done: Option<&'a Done>) -> Option<&'a String> {
        let is_there = done.is_some_and(|done| done.reply.status().is_success());
        written_down(self.id.as_ref(), is_there).or(done.and_then(|done| done.reply.id.as_ref()))
    }

    /// A method is any word that a client likes.
    fn method(&self) -> &str {
        let method = self.method.as_str();
        if METHODS.contains(&method) { method } else { "other" }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What stands in the place of an id may be a name: only what turned out to be an id is written down, or looks like one, by
/// which somebody is looked for who could not be served.
pub(super) fn written_down(asked: Option<&String>, is_there: bool) -> Option<&String> {
    let looks_like_one = |id: &str| id.contains(|c: char| c.is_ascii_digit()) && !id.contains(['@', ' ']);
    asked.filter(|id| is_there || looks_like_one(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_place_of_an_id_is_not_written_down() {
        for (asked, is_there, is_written) in [
            ("auth0|957b376efb4ab749e753f69c", false, true),
            ("0b1f6e2a-94d7-c385", false, true),
            ("jo.lee", false, false),
            ("jo@example.com", false, false),
            ("jo1@example.com", false, false),
            ("Jo Lee 2", false, false),
            ("jo.lee", true, true),
        ] {
            let asked = asked.to_owned();
            assert_eq!(written_down(Some(&asked), is_there).is_some(), is_written, "{asked}");
        }
    }
}
