//! Tokens and certificates that end: announced long before, because Entra puts a job that is refused into quarantine.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::bridge::health::{Component, Health};
use crate::server::auth::Door;
use crate::server::certificate::RENEW;
use crate::server::tls::Tls;
use crate::server::tokens::{Token, Tokens};

/// So long before its end something is spoken of.
const AHEAD: SignedDuration = SignedDuration::from_hours(30 * 24);

/// So often what is the same is told again.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// So often it is looked whether there is something to tell.
const LOOK: Duration = Duration::from_secs(5);

/// What to do about a token that ends.
pub const REMEDY: &str = "make another with `ziflow-scim-bridge token new`, add it beside this one, reload, give it \
                          to whoever uses this one, then take this one away";

/// The end that somebody wrote down: a day (its last second, in UTC), or a time as RFC 3339 has it.
pub fn parse(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == "2027-03-01".len();
    let end_of_day = |day: Date| TimeZone::UTC.to_timestamp(day.at(23, 59, 59, 0)).ok();
    if is_day { text.parse().ok().and_then(end_of_day) } else { text.parse().ok() }
}

/// How something that ends stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    Good,
    /// Its time begins only then.
    Early(Timestamp),
    Soon(Timestamp),
    Over(Timestamp),
}

impl Outlook {
    /// Of something that lives from then until then.
    pub(super) fn of_life(start: Timestamp, end: Timestamp, now: Timestamp) -> Self {
        if now < start {
            return Self::Early(start);
        }
        // What lives shortly is renewed in its last third: only who fails to is spoken of.
        Self::of(end, now, AHEAD.min(end.duration_since(start) / 4))
    }

    fn of(end: Timestamp, now: Timestamp, ahead: SignedDuration) -> Self {
        if now >= end {
            Self::Over(end)
        } else if end.duration_since(now) <= ahead {
            Self::Soon(end)
        } else {
            Self::Good
        }
    }
}

/// How long until then.
pub(super) fn left(end: Timestamp, now: Timestamp) -> String {
    match end.duration_since(now).as_hours() / 24 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// What ends, one day.
pub(super) trait Ends {
    fn outlooks(&self, now: Timestamp) -> Vec<Outlook>;

    /// What is to be told, in the log.
    fn announcements(&self, now: Timestamp) -> Vec<String>;
}

impl Token {
    fn outlook(&self, now: Timestamp) -> Outlook {
        self.expires.map_or(Outlook::Good, |end| Outlook::of(end, now, AHEAD))
    }

    pub fn has_expired(&self, now: Timestamp) -> bool {
        matches!(self.outlook(now), Outlook::Over(_))
    }

    /// What is to be told about its end: nothing while that is far.
    pub fn announcement(&self, now: Timestamp) -> Option<String> {
        let name = &self.name;
        match self.outlook(now) {
            Outlook::Good | Outlook::Early(_) => None,
            Outlook::Soon(end) => Some(format!("token `{name}` expires at {end:.0}, in {}", left(end, now))),
            Outlook::Over(end) => Some(format!("token `{name}` expired at {end:.0} and is refused")),
        }
    }
}

impl Tokens {
    /// Whether none of them opens anything any more.
    pub fn have_all_expired(&self, now: Timestamp) -> bool {
        self.iter().all(|token| token.has_expired(now))
    }

    /// The part of readiness. `others` get in without one of these tokens.
    pub(super) fn health(&self, now: Timestamp, others: bool) -> Component {
        let announced = self.announcements(now).join("; ");
        let (state, detail) = if self.have_all_expired(now) && !others {
            (Health::Failing, format!("no token is valid: {announced}"))
        } else if announced.is_empty() {
            (Health::Fine, self.in_short())
        } else {
            (Health::Stale, announced)
        };
        Component { name: "tokens", state, detail }
    }

    fn in_short(&self) -> String {
        let count = match self.iter().count() {
            _ if self.are_the_api_key() => {
                return "the Ziflow API key is the token: nobody is configured under auth".to_owned();
            }
            0 => return "none is configured; others get in by other means".to_owned(),
            1 => "1 token".to_owned(),
            count => format!("{count} tokens"),
        };
        match self.iter().filter_map(|token| Some((token.expires?, &token.name))).min() {
            Some((end, name)) => format!("{count}; the first to expire is `{name}` at {end:.0}"),
            None => format!("{count}; none expires"),
        }
    }
}

impl Ends for Tokens {
    fn outlooks(&self, now: Timestamp) -> Vec<Outlook> {
        self.iter().map(|token| token.outlook(now)).collect()
    }

    fn announcements(&self, now: Timestamp) -> Vec<String> {
        self.iter().filter_map(|token| token.announcement(now)).collect()
    }
}

/// Tells of tokens and of a certificate that end, in the log, until `shutdown`. What the start and each reload find they
/// tell themselves.
pub async fn announce(door: &Door, tls: Option<&Tls>, shutdown: impl Future<Output = ()>) {
    let certificate = |tls: &Tls| Arc::clone(&tls.identity().certificate);
    let mut of_tokens = Told::now(door.tokens());
    let mut of_certificate = tls.map(|tls| (tls, Told::now(certificate(tls))));
    let work = async {
        loop {
            sleep(LOOK).await;
            let (now, at) = (Timestamp::now(), Instant::now());
            for announcement in of_tokens.due(&door.tokens(), now, at) {
                warn!(hint = REMEDY, "{announcement}");
            }
            let Some((tls, told)) = &mut of_certificate else { continue };
            for announcement in told.due(&certificate(tls), now, at) {
                warn!(hint = RENEW, "{announcement}");
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown => {}
    }
}

/// What has been told, and when.
struct Told<T> {
    of: Arc<T>,
    outlooks: Vec<Outlook>,
    at: Instant,
}

impl<T: Ends> Told<T> {
    fn now(of: Arc<T>) -> Self {
        let outlooks = of.outlooks(Timestamp::now());
        Self { of, outlooks, at: Instant::now() }
    }

    /// What is to be told at this moment: all of it once a day, and whenever one of them stands otherwise.
    fn due(&mut self, of: &Arc<T>, now: Timestamp, at: Instant) -> Vec<String> {
        let outlooks = of.outlooks(now);
        let has_reloaded = !Arc::ptr_eq(&self.of, of);
        let is_due = outlooks != self.outlooks || at >= self.at + DAY;
        if !has_reloaded && !is_due {
            return Vec::new();
        }
        *self = Self { of: Arc::clone(of), outlooks, at };
        if has_reloaded { Vec::new() } else { of.announcements(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    fn tokens(ends: &[(&str, Option<&str>)]) -> Tokens {
        let mut tokens = Tokens::default();
        for (name, end) in ends {
            let (name, expires) = ((*name).to_owned(), end.map(at));
            tokens.add(Token {
                digest: crate::server::tokens::digest(name.as_bytes()),
                name,
                expires,
                read_only: false,
            });
        }
        tokens
    }

    #[test]
    fn an_end_is_a_day_or_a_time() {
        for (text, end) in [
            ("2027-03-01", "2027-03-01T23:59:59Z"),
            ("2028-02-29", "2028-02-29T23:59:59Z"),
            ("2027-03-01T12:30:00Z", "2027-03-01T12:30:00Z"),
            ("2027-03-01T12:30:00+02:00", "2027-03-01T10:30:00Z"),
            ("2027-03-01t12:30:00.5z", "2027-03-01T12:30:00.5Z"),
        ] {
            assert_eq!(parse(text).map(|end| end.to_string()).as_deref(), Some(end), "{text}");
        }
        for text in [
            "",
            "2027",
            "2027-02-29",
            "2027-13-01",
            "01.03.2027",
            "2027-03-01T12:30:00",
            "tomorrow!!",
            "20270301",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_end_is_announced_thirty_days_ahead() {
        let token = tokens(&[("x", Some("2027-03-31T12:00:00Z"))]).iter().next().unwrap().clone();
        for (now, told) in [
            ("2027-03-01T11:59:59Z", None),
            ("2027-03-01T12:00:00Z", Some("token `x` expires at 2027-03-31T12:00:00Z, in 30 days")),
            ("2027-03-30T12:00:00Z", Some("token `x` expires at 2027-03-31T12:00:00Z, in 1 day")),
            ("2027-03-31T11:59:59Z", Some("token `x` expires at 2027-03-31T12:00:00Z, in less than a day")),
            ("2027-03-31T12:00:00Z", Some("token `x` expired at 2027-03-31T12:00:00Z and is refused")),
            ("2037-03-31T12:00:00Z", Some("token `x` expired at 2027-03-31T12:00:00Z and is refused")),
        ] {
            assert_eq!(token.announcement(at(now)).as_deref(), told, "{now}");
            assert_eq!(
                token.has_expired(at(now)),
                told.is_some_and(|told| told.contains("expired")),
                "{now}"
            );
        }
    }

    #[test]
    fn readiness_tells_of_the_end() {
        let now = at("2027-01-01T00:00:00Z");
        let (far, soon, over) = (Some("2028-01-01"), Some("2027-01-15"), Some("2026-12-31"));
        for (ends, state, detail) in [
            (&[("a", None)][..], Health::Fine, "1 token; none expires"),
            (
                &[("a", None), ("b", far)],
                Health::Fine,
                "2 tokens; the first to expire is `b` at 2028-01-01T23:59:59Z",
            ),
            (
                &[("a", soon), ("b", far)],
                Health::Stale,
                "token `a` expires at 2027-01-15T23:59:59Z, in 14 days",
            ),
            (
                &[("a", over), ("b", far)],
                Health::Stale,
                "token `a` expired at 2026-12-31T23:59:59Z and is refused",
            ),
            (
                &[("a", over)],
                Health::Failing,
                "no token is valid: token `a` expired at 2026-12-31T23:59:59Z and is refused",
            ),
        ] {
            let Component { name, state: found, detail: told } = tokens(ends).health(now, false);
            assert_eq!((name, found, told.as_str()), ("tokens", state, detail), "{ends:?}");
        }
        // Somebody gets in without.
        assert_eq!(tokens(&[("a", over)]).health(now, true).state, Health::Stale);
        assert_eq!(tokens(&[]).health(now, true).state, Health::Fine);
    }

    #[test]
    fn the_log_hears_of_it_once_a_day_and_when_it_happens() {
        let first = Arc::new(tokens(&[("a", Some("2027-01-15T00:00:00Z")), ("b", None)]));
        let start = Instant::now();
        let mut told = Told { outlooks: first.outlooks(at("2027-01-01")), of: Arc::clone(&first), at: start };
        let hour = Duration::from_secs(60 * 60);
        let mut due = |tokens, now, hours| told.due(tokens, at(now), start + hour * hours);
        assert_eq!(due(&first, "2027-01-02T20:00:00Z", 20), Vec::<String>::new());
        assert_eq!(
            due(&first, "2027-01-03T00:00:00Z", 24),
            ["token `a` expires at 2027-01-15T00:00:00Z, in 12 days"]
        );
        assert_eq!(due(&first, "2027-01-03T00:00:01Z", 25), Vec::<String>::new());
        let over = ["token `a` expired at 2027-01-15T00:00:00Z and is refused"];
        assert_eq!(due(&first, "2027-01-15T00:00:00Z", 26), over);
        assert_eq!(due(&first, "2027-01-15T00:00:05Z", 26), Vec::<String>::new());
        assert_eq!(due(&first, "2027-01-16T00:00:00Z", 50), over);
        // A reload has told it itself.
        let second = Arc::new(tokens(&[("c", Some("2027-01-15"))]));
        assert_eq!(due(&second, "2027-01-16T00:00:00Z", 51), Vec::<String>::new());
        assert_eq!(due(&second, "2027-01-17T00:00:00Z", 75).len(), 1);
    }
}
