//! What a probe saw, as it saw it: what it means is the business of `findings.rs`.

use std::time::Duration;

use crate::ziflow::look::Look;

/// An answer in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// What came, in a few words.
    pub told: String,
    pub shows: Shows,
}

/// How much of a person the answer to a write shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shows {
    /// The person with their roles.
    Person,
    /// An id and little else.
    Id,
    #[default]
    Nobody,
}

impl Reply {
    pub fn of(look: &Look) -> Self {
        let shows = match look.user() {
            Some(_) if look.field("roles").is_some() => Shows::Person,
            _ if look.is_success() && look.field("id").is_some() => Shows::Id,
            _ => Shows::Nobody,
        };
        Self { status: look.status.as_u16(), told: look.told(), shows }
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Everything that was seen. What is missing was not found out.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    pub bad_key: Option<Reply>,
    /// An address that nobody has.
    pub unknown: Option<Reply>,
    pub create: Option<Reply>,
    /// The roles that a new person has when none are asked for.
    pub default_roles: Option<Vec<String>>,
    /// The same address again.
    pub again: Option<Again>,
    pub update: Option<Update>,
    pub roles: Option<Roles>,
    pub group: Option<Group>,
    pub inactive: Option<Inactive>,
    /// The same address while its person is inactive.
    pub again_inactive: Option<Again>,
    pub delete: Option<Delete>,
    /// How long it took until reads showed a write.
    pub delays: Vec<Delay>,
    pub burst: Option<Burst>,
    /// How often Ziflow asked to slow down before the burst, at the configured pace.
    pub throttled: u32,
}

/// A create for an address that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    pub reply: Reply,
    /// Whether there is a second person now.
    pub second: bool,
}

/// An update of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub reply: Reply,
    /// Whether the field was seen to have changed.
    pub shown: bool,
    /// The fields that were not named and are others now.
    pub lost: Vec<String>,
}

/// An update that leaves a role out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    pub reply: Reply,
    pub had: Vec<String>,
    pub sent: Vec<String>,
    /// None when no read showed that anything had become of it.
    pub after: Option<Vec<String>>,
}

/// An update with an invented group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub reply: Reply,
    pub shown: bool,
}

/// A deactivation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inactive {
    pub reply: Reply,
    /// Whether reads show it, be it by showing nobody.
    pub took: bool,
    /// None when there are too many people to look through.
    pub listed: Option<bool>,
    /// Whether the id still finds the person.
    pub by_id: bool,
    /// Whether the person is found among the contacts.
    pub contact: bool,
}

/// A delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    pub reply: Reply,
    /// Who was to receive the proofs.
    pub new_owner: Option<String>,
    /// Whether the id finds nobody any more.
    pub gone: bool,
    /// Whether a contact stays.
    pub contact: bool,
}

/// How long after a write a read showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    pub what: &'static str,
    /// None when no read showed it for as long as was waited.
    pub after: Option<Duration>,
}

/// Many reads in a short time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burst {
    /// How many were answered 2xx before one was not.
    pub accepted: u32,
    pub took: Duration,
    /// The answer that ended it.
    pub ended: Option<Reply>,
    pub retry_after: Option<Duration>,
    /// Headers that tell about limits, each once.
    pub headers: Vec<String>,
}
