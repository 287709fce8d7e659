//! One method per endpoint of Ziflow's API that the bridge needs, and what each answer means.
//!
//! Ziflow documents no status codes, so a meaning is read from the widest set of codes that can carry it, and
//! doubt is never read as "nobody": a 404 counts only once `GET /users?count=1` has shown that the address and
//! the key are right. Reads are repeated; a write that may have happened is looked up, never repeated blindly.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout_at;

use crate::ziflow::answer::{Page, Written, nobody, page, same_address, says_absent, written};
use crate::ziflow::error::Error;
use crate::ziflow::model::{Fields, User};
use crate::ziflow::rate_limit::{self, RateLimit};
use crate::ziflow::rehearsal::{self, Rehearsal};
use crate::ziflow::request::Request;
use crate::ziflow::sender::{Sender, nonsense};
pub use crate::ziflow::transport::KeyNumber;
use crate::ziflow::transport::{self, Answer, ApiKey, Body, Call};

/// `ziflow.*` of the settings, as far as they concern what answers mean.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub no_seat_texts: Vec<String>,
    pub page_size: usize,
    pub proof_ttl_secs: u64,
}

/// How a new user proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Invitation {
    /// Ziflow sends an invitation, and the person verifies the address.
    Email,
    /// The address counts as verified; the random password is thrown away, because the account signs in by SSO.
    None,
}

/// Shows that a write has been recorded, as far as it has to be: without one nothing is written.
pub trait Recorded: Sync {}

#[derive(Debug)]
pub struct Client {
    sender: Sender,
    page_size: usize,
    /// Held by whoever makes sure that address and key are right.
    proving: tokio::sync::Mutex<()>,
    /// In a dry run.
    rehearsal: Option<Rehearsal>,
}

impl Client {
    /// Fails with a sentence for the operator when the settings cannot be used.
    pub fn new(
        connection: &transport::Settings,
        settings: &Settings,
        pace: &rate_limit::Settings,
    ) -> Result<Self, String> {
        let sender = Sender::new(connection, settings, pace)?;
        Ok(Self {
            sender,
            page_size: settings.page_size,
            proving: tokio::sync::Mutex::default(),
            rehearsal: None,
        })
    }

    /// The same for a dry run: reads are real, writes are told and not sent.
    #[must_use]
    pub fn rehearsing(self) -> Self {
        Self { rehearsal: Some(Rehearsal::default()), ..self }
    }

    pub fn is_rehearsing(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Whether the key has been seen to work, and not been refused since.
    pub fn key_proven(&self) -> bool {
        self.sender.key_proven()
    }

    /// Whether that was recently enough to believe that there is nobody.
    pub fn proven_lately(&self) -> bool {
        self.sender.proven_lately()
    }

    /// Whether the last word about the key was a refusal.
    pub fn key_refused(&self) -> bool {
        self.sender.key_refused()
    }

    /// Another key from now on; it has to be proven anew.
    pub fn put_key(&self, key: ApiKey) {
        self.sender.put_key(key);
    }

    /// Whether what this call has seen is another key's.
    pub(super) fn has_outdated(&self, call: &Call) -> bool {
        call.excludes(self.key_number())
    }

    /// Which key is in use.
    pub fn key_number(&self) -> KeyNumber {
        self.sender.key_number()
    }

    /// How long ago Ziflow last gave an answer that could be used.
    pub fn heard(&self) -> Option<Duration> {
        self.sender.heard()
    }

    /// What went wrong since Ziflow last gave an answer that could be used.
    pub fn trouble(&self) -> Option<Error> {
        self.sender.trouble()
    }

    /// Whether calls are held back because Ziflow could not be used; single ones try it again.
    pub fn holds_back(&self) -> bool {
        self.sender.holds_back()
    }

    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The door that every call leaves through.
    pub fn limit(&self) -> &RateLimit {
        self.sender.limit()
    }

    /// `GET /users?count=1`: shows that the address and the key are right.
    pub async fn prove(&self, call: &Call) -> Result<(), Error> {
        self.first_person(call).await.map(drop)
    }

    async fn first_person(&self, call: &Call) -> Result<Page, Error> {
        let query = [("count", "1".to_owned())];
        let request = Request { method: Method::GET, path: &["users"], query: &query, body: None };
        let answer = self.sender.read(call, &request).await?;
        let shown = match &answer.body {
            Body::Json(body) if answer.status.is_success() => page(body, answer.left),
            _ => None,
        };
        match shown {
            Some(page) => {
                self.sender.prove(&answer);
                Ok(page)
            }
            None if answer.status == StatusCode::FORBIDDEN => Err(self.sender.refuse_key(&answer)),
            None => {
                self.sender.distrust(&answer);
                Err(self.puzzled("GET /users?count=1", &answer))
            }
        }
    }

    /// `GET /users/{id}`. The person who comes back has this very id.
    pub async fn user_by_id(&self, call: &Call, id: &str) -> Result<User, Error> {
        if let Some(rehearsal) = self.rehearsal.as_ref().filter(|_| rehearsal::is_ours(id)) {
            return rehearsal.by_id(id).ok_or(Error::NotFound);
        }
        let user = self.one(call, &["users", id], User::from_json).await?;
        if user.id == id {
            return Ok(user);
        }
        // Ziflow takes an e-mail address in place of the id; such a person has another id, so nobody has this one.
        if user.email.eq_ignore_ascii_case(id) {
            return Err(Error::NotFound);
        }
        Err(Error::Nonsense { reason: "GET /users/{id} answered with another person".to_owned() })
    }

    /// `GET /users/{email}`. The person who comes back has this very address, in whatever case.
    pub async fn user_by_email(&self, call: &Call, email: &str) -> Result<User, Error> {
        match self.one(call, &["users", email], User::from_json).await {
            Ok(user) => same_address(user, email),
            Err(Error::NotFound) => {
                let made = self.rehearsal.as_ref().and_then(|rehearsal| rehearsal.by_email(email));
                made.ok_or(Error::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    /// `GET /contacts/{id}`: where a deactivated person may still be seen.
    pub async fn contact_by_id(&self, call: &Call, id: &str) -> Result<User, Error> {
        let user = self.one(call, &["contacts", id], User::from_contact_json).await?;
        if user.id == id { Ok(user) } else { Err(Error::NotFound) }
    }

    /// `GET /users`, page by page from 1, so many people on each. `None` past the end.
    pub async fn page(&self, call: &Call, number: usize, size: usize) -> Result<Option<Page>, Error> {
        let query = [("count", size.to_string()), ("page", number.to_string())];
        let request = Request { method: Method::GET, path: &["users"], query: &query, body: None };
        let answer = self.sender.read(call, &request).await?;
        match &answer.body {
            Body::Json(body) if answer.status.is_success() => {
                let page = page(body, answer.left).ok_or_else(|| self.puzzled("GET /users", &answer))?;
                self.sender.prove(&answer);
                Ok(Some(page))
            }
            _ if number > 1 && says_absent(answer.status) => Ok(None),
            _ if answer.status == StatusCode::FORBIDDEN => Err(self.sender.refuse_key(&answer)),
            _ => Err(self.puzzled("GET /users", &answer)),
        }
    }

    /// The accounts that everybody belongs to, as far as Ziflow shows them, and the key that it was shown to. One
    /// person is enough who belongs to one account only; else what all on the first page have in common counts.
    pub async fn accounts(&self, call: &Call) -> Result<(KeyNumber, BTreeSet<String>), Error> {
        let key = self.key_number();
        let mut accounts = self.first_person(call).await?.accounts;
        if accounts.len() != 1 {
            let page = self.page(call, 1, self.page_size).await?;
            accounts = page.map(|page| page.accounts).unwrap_or_default();
        }
        if call.excludes(key) {
            return Err(Error::key_changed());
        }
        Ok((key, accounts))
    }

    /// How many people stand on a page.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// `POST /users`. The person may exist after `Error::Unknown`: look them up by their address.
    pub async fn create(
        &self,
        _recorded: &impl Recorded,
        call: &Call,
        fields: &Fields,
        invitation: Invitation,
    ) -> Result<Written, Error> {
        let mut body = to_json(fields);
        match invitation {
            Invitation::Email => drop(body.insert("verified".to_owned(), false.into())),
            Invitation::None => {
                body.insert("verified".to_owned(), true.into());
                body.insert("password".to_owned(), random_password()?.into());
            }
        }
        if let Some(rehearsal) = &self.rehearsal {
            return self.rehearse_create(rehearsal, call, &body).await;
        }
        let body = Value::Object(body);
        let request = Request { method: Method::POST, path: &["users"], query: &[], body: Some(&body) };
        let answer = self.sender.write(call, &request).await?;
        match answer.status {
            status if status.is_success() => written(&answer, |_user| true),
            StatusCode::NOT_FOUND => {
                self.sender.distrust(&answer);
                Err(self.puzzled("POST /users", &answer))
            }
            _ => Err(self.refusal(call, "POST /users", &answer).await),
        }
    }

    /// `PUT /users/{id}` with these fields.
    pub async fn update(
        &self,
        _recorded: &impl Recorded,
        call: &Call,
        id: &str,
        body: &Map<String, Value>,
    ) -> Result<Written, Error> {
        if let Some(rehearsal) = &self.rehearsal {
            // Ziflow takes an update of somebody whom it shows among the contacts only.
            let user = match self.user_by_id(call, id).await {
                Err(Error::NotFound) => self.contact_by_id(call, id).await?,
                other => other?,
            };
            return Ok(Written::User(Box::new(rehearsal.update(user, body))));
        }
        let body = Value::Object(body.clone());
        let path = ["users", id];
        let request = Request { method: Method::PUT, path: &path, query: &[], body: Some(&body) };
        let answer = self.sender.write(call, &request).await?;
        match answer.status {
            status if status.is_success() => written(&answer, |user| user.id == id),
            status if says_absent(status) => Err(self.absent_or_refused(call, id, &answer).await),
            _ => Err(self.refusal(call, "PUT /users/{id}", &answer).await),
        }
    }

    /// `DELETE /users/{id}`; `new_owner` receives the proofs. A person who is gone already is fine.
    pub async fn delete(
        &self,
        _recorded: &impl Recorded,
        call: &Call,
        id: &str,
        new_owner: Option<&str>,
    ) -> Result<(), Error> {
        if let Some(rehearsal) = &self.rehearsal {
            rehearsal.delete(id);
            return Ok(());
        }
        let query: Vec<_> = new_owner.map(|owner| ("newOwner", owner.to_owned())).into_iter().collect();
        let path = ["users", id];
        let request = Request { method: Method::DELETE, path: &path, query: &query, body: None };
        let answer = match self.sender.write(call, &request).await {
            Err(Error::NotFound) => return Ok(()),
            Err(Error::Unknown { reason }) => return self.gone_after_all(call, id, reason).await,
            other => other?,
        };
        match answer.status {
            status if status.is_success() && answer.is_html() => {
                self.gone_after_all(call, id, answer.kind()).await
            }
            status if status.is_success() => Ok(()),
            status if says_absent(status) => match self.absent_or_refused(call, id, &answer).await {
                Error::NotFound => Ok(()),
                other => Err(other),
            },
            _ => Err(self.refusal(call, "DELETE /users/{id}", &answer).await),
        }
    }

    /// Ziflow would refuse an address that somebody has.
    async fn rehearse_create(
        &self,
        rehearsal: &Rehearsal,
        call: &Call,
        body: &Map<String, Value>,
    ) -> Result<Written, Error> {
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default();
        match self.user_by_email(call, email).await {
            Ok(_) => Err(Error::Conflict { message: "the address is taken".to_owned() }),
            Err(Error::NotFound) => Ok(Written::User(Box::new(rehearsal.create(body)?))),
            Err(error) => Err(error),
        }
    }

    /// A GET that names one person. "Nobody" is believed only from a proven key.
    async fn one(
        &self,
        call: &Call,
        path: &[&str],
        parse: impl Fn(&Value) -> Option<User>,
    ) -> Result<User, Error> {
        let request = Request { method: Method::GET, path, query: &[], body: None };
        let answer = self.sender.read(call, &request).await?;
        let absent = says_absent(answer.status) || answer.status.is_success() && nobody(&answer.body);
        if absent {
            return Err(self.absence(call, &answer).await);
        }
        match &answer.body {
            Body::Json(body) if answer.status.is_success() => {
                parse(body).ok_or_else(|| self.puzzled("GET /users/{id}", &answer))
            }
            _ if answer.status == StatusCode::FORBIDDEN => match self.prove(call).await {
                Ok(()) => Err(self.puzzled("GET /users/{id}", &answer)),
                Err(error) => Err(error),
            },
            _ => Err(self.puzzled("GET /users/{id}", &answer)),
        }
    }

    /// What "nobody" is worth. An HTML page speaks for a gateway, so it needs a proof of its own.
    async fn absence(&self, call: &Call, answer: &Answer) -> Error {
        let known = self.proven_lately() && !answer.is_html();
        let proof = if known { Ok(()) } else { self.prove_after(call, answer).await };
        match proof {
            // What is proven then is the key in use, and another one was answered.
            Ok(()) if self.sender.is_outdated(answer) => Error::key_changed(),
            Ok(()) => Error::NotFound,
            Err(error) => error,
        }
    }

    /// A proof that is newer than this answer: many who need one at the same time share it.
    async fn prove_after(&self, call: &Call, answer: &Answer) -> Result<(), Error> {
        let others = Error::TimedOut { reason: "another proof of the key was still under way".to_owned() };
        let _turn = timeout_at(call.deadline(), self.proving.lock()).await.map_err(|_elapsed| others)?;
        if self.sender.proven_since(answer.left) { Ok(()) } else { self.prove(call).await }
    }

    /// A write was answered 404 or 400: is nobody there, or is a value wrong?
    async fn absent_or_refused(&self, call: &Call, id: &str, answer: &Answer) -> Error {
        match self.surely_gone(call, id).await {
            Ok(true) => Error::NotFound,
            Ok(false) if answer.status == StatusCode::NOT_FOUND => self.puzzled("a write", answer),
            Ok(false) => self.refusal(call, "a write", answer).await,
            Err(error) => error,
        }
    }

    async fn gone_after_all(&self, call: &Call, id: &str, reason: String) -> Result<(), Error> {
        match self.surely_gone(call, id).await {
            Ok(true) => Ok(()),
            _ => Err(Error::Unknown { reason }),
        }
    }

    /// Whether there is nobody with this id, shown by a proof of its own: who counts as gone by mistake keeps the
    /// access that a write was to take away.
    async fn surely_gone(&self, call: &Call, id: &str) -> Result<bool, Error> {
        match self.user_by_id(call, id).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound) => self.prove(call).await.map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// What a 4xx answer to a write says. A 403 is about the key only if the key has lost its rights.
    async fn refusal(&self, call: &Call, what: &str, answer: &Answer) -> Error {
        let message = answer.message();
        match answer.status.as_u16() {
            402 => Error::NoSeat { message },
            400 | 403 | 409 | 422 if self.sender.speaks_of_seats(&message) => Error::NoSeat { message },
            400 | 422 => Error::Refused { message },
            409 => Error::Conflict { message },
            // A web page speaks for a gateway on the way, not for Ziflow.
            403 if answer.is_html() => self.puzzled(what, answer),
            403 => match self.prove(call).await {
                Ok(()) => Error::Refused { message },
                Err(error) => error,
            },
            _ => self.puzzled(what, answer),
        }
    }

    /// An answer that makes no sense is trouble that readiness shows.
    fn puzzled(&self, what: &str, answer: &Answer) -> Error {
        self.sender.note(nonsense(what, answer))
    }
}

/// The JSON that a write sends.
pub fn to_json(fields: &Fields) -> Map<String, Value> {
    fields.iter().map(|(field, value)| (field.name().to_owned(), value.to_json())).collect()
}

/// Ziflow wants at least eight characters with a digit and a capital letter. Nobody ever learns this one.
fn random_password() -> Result<String, Error> {
    Ok(format!("Z1{:032x}", u128::from_ne_bytes(random_bytes()?)))
}

pub(super) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let failed =
        |_unspecified| Error::Unavailable { reason: "no random numbers".to_owned(), retry_after: None };
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_pleases_ziflow() {
        let password = random_password().unwrap();
        assert!(password.len() >= 8 && password.contains('Z') && password.contains('1'));
        assert_ne!(password, random_password().unwrap());
    }
}
