//! The simulated account behind its front door: the rate limit, faults and the key come before the API.
//!
//! Everything here happens at once and under one lock; waiting is left to whoever sends the answer.

use std::time::Instant;

use http::header::RETRY_AFTER;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, RetryAfter};
use super::api;
use super::calls::{Calls, Window};
use super::faults::Faults;
use super::people::{KEY_USER_EMAIL, OWNER_EMAIL, People};
use super::quirks::{OwnerIsKeyUser, Quirks, RetryAfterForm, Rights};
use super::route::Route;

/// In place of an id, whoever asks.
const ME: &str = "me";

/// A call of the simulated API, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) route: Route,
    /// The identifier in the path, decoded; empty where the route has none.
    pub(super) identifier: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) key: Option<String>,
    pub(super) says_json: bool,
    /// `None` when it is no JSON.
    pub(super) body: Option<Value>,
}

impl Request {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Everything the simulator knows.
#[derive(Debug)]
pub(super) struct World {
    pub(super) key: String,
    pub(super) seed: u64,
    pub(super) quirks: Quirks,
    pub(super) people: People,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    accepted: Window,
}

impl World {
    pub(super) fn new(key: String, seed: u64, people: Option<People>, now: Instant) -> Self {
        let is_new = people.is_none();
        let mut world = Self {
            key,
            seed,
            quirks: Quirks::default(),
            people: people.unwrap_or_else(|| People::new(seed)),
            faults: Faults::new(seed),
            calls: Calls::new(now),
            accepted: Window::default(),
        };
        if is_new {
            world.add_admin(OWNER_EMAIL, true, now);
        }
        world
    }

    /// Sets a quirk, or says what would have been right.
    pub(super) fn set(&mut self, quirk: &str, value: &str, now: Instant) -> Result<(), String> {
        self.quirks.set(quirk, value)?;
        let needs_admin = self.quirks.owner_is_key_user == OwnerIsKeyUser::No;
        if needs_admin && quirk == "owner_is_key_user" && self.people.with_email(KEY_USER_EMAIL).is_none() {
            self.add_admin(KEY_USER_EMAIL, false, now);
        }
        Ok(())
    }

    /// Applies a call and answers it.
    pub(super) fn receive(&mut self, request: &Request, now: Instant) -> Answer {
        if self.is_over_the_limit(now) {
            return self.throttled();
        }
        match self.faults.meet(&request.method, request.route) {
            Some(fault) if fault.is_applied() => fault.spoil(self.apply(request, now)),
            Some(fault) => fault.spoil(Answer::empty(StatusCode::OK)),
            None => self.apply(request, now),
        }
    }

    fn apply(&mut self, request: &Request, now: Instant) -> Answer {
        let outcome = self.admit(request).and_then(|holder| {
            // As in many APIs, undocumented here: a caller who takes it for an id finds, changes and deletes the key's user.
            let is_me = request.route == Route::User && request.identifier.eq_ignore_ascii_case(ME);
            let mine = is_me.then(|| Request { identifier: holder, ..request.clone() });
            api::answer(self, mine.as_ref().unwrap_or(request), now)
        });
        outcome.unwrap_or_else(|refusal| Answer::refusal(&refusal, self.quirks.error_body))
    }

    /// The id of whoever asks.
    fn admit(&self, request: &Request) -> Result<String, Refusal> {
        let refused = |text| Err(Refusal::new(self.quirks.bad_key_status, text));
        if request.key.as_ref() != Some(&self.key) {
            return refused("the API key is missing or wrong");
        }
        let holder = match self.quirks.owner_is_key_user {
            OwnerIsKeyUser::Yes => self.people.everybody().find(|person| person.flag("account_owner")),
            OwnerIsKeyUser::No => self.people.with_email(KEY_USER_EMAIL),
        };
        // Whoever locks out the key's own user locks out themselves, and can repair it by hand only.
        let Some(holder) = holder.filter(|holder| holder.flag("active")) else {
            return refused("the user of this API key is not active");
        };
        let about_users = matches!(request.route, Route::Users | Route::User);
        let status = match self.quirks.rights {
            Rights::Admin if holder.has("roles", "admin") => return Ok(holder.id().to_owned()),
            Rights::Admin | Rights::Forbidden => StatusCode::FORBIDDEN,
            Rights::NotFound => StatusCode::NOT_FOUND,
        };
        if about_users {
            return Err(Refusal::new(status, "users are for admins"));
        }
        Ok(holder.id().to_owned())
    }

    /// Only accepted calls count, so that a client that slows down is served again.
    fn is_over_the_limit(&mut self, now: Instant) -> bool {
        let Some(limit) = self.quirks.rate_limit else { return false };
        let over = self.accepted.count(now) >= limit;
        if !over {
            self.accepted.add(now);
        }
        over
    }

    fn throttled(&self) -> Answer {
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests");
        let answer = Answer::refusal(&refusal, self.quirks.error_body);
        match self.quirks.retry_after {
            RetryAfterForm::Seconds => answer.header(RETRY_AFTER, RetryAfter::Seconds(1).header_value()),
            // A date has no fractions: one second ahead could be over before it is read.
            RetryAfterForm::Date => answer.header(RETRY_AFTER, RetryAfter::Date(2).header_value()),
            RetryAfterForm::None => answer,
        }
    }

    fn add_admin(&mut self, email: &str, owner: bool, now: Instant) {
        let roles =
            if owner { json!(["user", "billing", "admin", "manager"]) } else { json!(["user", "admin"]) };
        let person = json!({
            "email": email, "first_name": "Simulated", "last_name": if owner { "Owner" } else { "Integration" },
            "roles": roles, "verified": true, "account_owner": owner,
        });
        self.people.add_by_hand(person, now, &self.quirks);
    }
}
