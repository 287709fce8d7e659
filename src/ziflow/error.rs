//! What became of a call to Ziflow.
//!
//! The names say what the bridge knows, not which status code it saw: Ziflow's codes are not documented,
//! so one meaning can arrive under several of them (see `client.rs`).

use std::fmt;
use std::time::Duration;

/// The display text is for logs: Ziflow's own words (`message`) may name people and are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Ziflow says that there is nobody, and its word counts: the key has been proven to work.
    NotFound,
    /// Ziflow says that the address is taken.
    Conflict { message: String },
    /// Ziflow refuses a value.
    Refused { message: String },
    /// Ziflow has no free seat for this person.
    NoSeat { message: String },
    /// Ziflow does not take the API key, or the key's owner lacks the admin role.
    KeyRefused { status: u16, message: String },
    /// Ziflow asks to slow down, for longer than this request can wait.
    Throttled { retry_after: Duration },
    /// The bridge's own queue in front of Ziflow is longer than this request can wait.
    Busy { retry_after: Duration },
    /// No answer that could be used: no connection, or a server error.
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// No answer in time.
    TimedOut { reason: String },
    /// An answer that is not what Ziflow's API gives: HTML, a cut body, wrong types, a redirect.
    Nonsense { reason: String },
    /// A write was sent and its outcome is not known.
    Unknown { reason: String },
    /// The directory is still being read: so many people so far, and what keeps it from going on.
    Walking { people: usize, trouble: Option<Box<Error>>, retry_after: Duration },
}

/// What to look at when an answer makes no sense.
pub const ASTRAY: &str = "is ziflow.base_url right, and the key's owner an admin?";

impl Error {
    /// The answer was given to a key that has been replaced since, so it says nothing.
    pub(super) fn key_changed() -> Self {
        let reason = "the API key was changed while Ziflow was being asked".to_owned();
        Self::Unavailable { reason, retry_after: Some(Duration::from_secs(1)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("Ziflow knows nobody like that"),
            Self::Conflict { .. } => f.write_str("Ziflow says the address is taken"),
            Self::Refused { .. } => f.write_str("Ziflow refuses the values"),
            Self::NoSeat { .. } => f.write_str("Ziflow has no free seat"),
            Self::KeyRefused { status, .. } => write!(f, "Ziflow refuses the API key with {status}"),
            Self::Throttled { retry_after } => {
                write!(f, "Ziflow asks to slow down for {} s", retry_after.as_secs())
            }
            Self::Busy { retry_after } => {
                write!(f, "the queue in front of Ziflow is full for about {} s", retry_after.as_secs())
            }
            Self::Unavailable { reason, .. } => write!(f, "Ziflow cannot be used: {reason}"),
            Self::TimedOut { reason } => write!(f, "Ziflow did not answer in time: {reason}"),
            Self::Nonsense { reason } => write!(f, "Ziflow's answer makes no sense: {reason}; {ASTRAY}"),
            Self::Unknown { reason } => {
                write!(f, "a write was sent to Ziflow and its outcome is not known: {reason}")
            }
            Self::Walking { people, trouble, .. } => {
                write!(f, "the list of people is still being read from Ziflow, {people} so far")?;
                trouble
                    .as_ref()
                    .map_or(Ok(()), |trouble| write!(f, "; at the moment it waits, because {trouble}"))
            }
        }
    }
}

impl std::error::Error for Error {}
