//! People in the account, read rarely: each one is kept for some seconds. All of them together are `everyone.rs`.
//!
//! Nobody is served from here after a write of ours: writes go through (`wrote`, `removed`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::ziflow::cache::{ABSENCE_SECS, Cache, Lately};
use crate::ziflow::client::Client;
use crate::ziflow::error::Error;
use crate::ziflow::everyone::{Contradiction, Listing};
use crate::ziflow::figures::Asked;
use crate::ziflow::flights::Flights;
use crate::ziflow::model::User;
use crate::ziflow::rehearsal;
use crate::ziflow::snapshot::Write;
use crate::ziflow::transport::{ApiKey, Call};

/// `ziflow.*` of the settings, as far as they concern what is kept.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub inactive_fallback: bool,
    pub directory_ttl_secs: u64,
    pub read_cache_ttl_secs: u64,
    pub read_back_delay_ms: u64,
    pub read_back_tries: usize,
}

/// Whom to read back.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    Email(&'a str),
    Known { id: &'a str, email: &'a str },
}

#[derive(Debug)]
pub struct Directory {
    pub(super) client: Arc<Client>,
    pub(super) settings: Settings,
    pub(super) cache: Mutex<Cache>,
    flights: Flights,
    pub(super) listing: Mutex<Listing>,
    /// Whom a walk has looked for in vain, and when.
    pub(super) nowhere: Mutex<HashMap<String, Instant>>,
    pub(super) asked_for_people: Asked,
    pub(super) asked_for_everybody: Asked,
}

impl Directory {
    pub fn new(client: Arc<Client>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            client,
            settings,
            cache: Mutex::default(),
            flights: Flights::default(),
            listing: Mutex::new(Listing::None),
            nowhere: Mutex::default(),
            asked_for_people: Asked::default(),
            asked_for_everybody: Asked::default(),
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Another key from now on. What has been read with the one before may be another account's.
    pub fn put_key(&self, key: ApiKey) {
        self.client.put_key(key);
        let mut cache = self.cache();
        cache.writes += 1;
        cache.people.clear();
        cache.absent.clear();
        drop(cache);
        self.nowhere().clear();
        match &mut *self.listing() {
            // The walk notices by itself that the key has changed.
            Listing::Walking { writes, .. } => writes.clear(),
            listing => *listing = Listing::None,
        }
    }

    /// The person with this id, at most `read_cache_ttl_secs` old.
    pub async fn by_id(&self, call: &Call, id: &str) -> Result<User, Error> {
        self.final_word(call, id, self.shown(call, id).await)
    }

    async fn shown(&self, call: &Call, id: &str) -> Result<User, Error> {
        if let Some(user) = self.cached(|user| user.id == id, Some(id)) {
            return Ok(user);
        }
        let writes = self.cache().writes;
        let read = Box::pin(self.fresh_by_id(call, id));
        self.flights.share(format!("id {id}"), writes, call, read).await
    }

    /// The person with this id, as Ziflow shows them now.
    pub async fn fresh_by_id(&self, call: &Call, id: &str) -> Result<User, Error> {
        let writes = self.cache().writes;
        let found = self.client.user_by_id(call, id).await.map(|user| self.put_right(user));
        match &found {
            Ok(user) => self.keep(call, user, writes),
            Err(Error::NotFound) => self.forget(id),
            Err(_) => {}
        }
        found
    }

    /// The person with this address, at most `read_cache_ttl_secs` old.
    pub async fn by_email(&self, call: &Call, email: &str) -> Result<User, Error> {
        let email = email.to_lowercase();
        if let Some(user) = self.cached(|user| user.email.to_lowercase() == email, None) {
            return Ok(user);
        }
        let writes = self.cache().writes;
        let read = Box::pin(self.fresh_by_email(call, &email));
        self.flights.share(format!("email {email}"), writes, call, read).await
    }

    /// The person with this address, as Ziflow shows them now.
    pub async fn fresh_by_email(&self, call: &Call, email: &str) -> Result<User, Error> {
        // Ziflow takes ids and addresses in one place; a text without `@` would be taken for an id.
        if !email.contains('@') {
            return Err(Error::NotFound);
        }
        let email = email.to_lowercase();
        let writes = self.cache().writes;
        let found = self.client.user_by_email(call, &email).await.map(|user| self.put_right(user));
        match &found {
            Ok(user) => {
                self.not_absent(&email);
                self.keep(call, user, writes);
            }
            Err(Error::NotFound) => drop(self.cache().absent.insert(email, Instant::now())),
            Err(_) => {}
        }
        found
    }

    /// A person the bridge has known, who may be hidden because they are inactive: looked for among the
    /// contacts and by address before they are called gone.
    pub async fn known_person(&self, call: &Call, id: &str, email: Option<&str>) -> Result<User, Error> {
        let found = match self.shown(call, id).await {
            Err(Error::NotFound) => self.hidden_person(call, id, email).await,
            other => other,
        };
        self.final_word(call, id, found)
    }

    /// The same, as Ziflow shows them now.
    pub async fn fresh_known_person(&self, call: &Call, id: &str, email: &str) -> Result<User, Error> {
        let found = match self.fresh_by_id(call, id).await {
            Err(Error::NotFound) => self.hidden_person(call, id, Some(email)).await,
            other => other,
        };
        self.final_word(call, id, found)
    }

    /// Whoever has been looked for everywhere and is nowhere leaves the list of everybody as well.
    fn final_word(&self, call: &Call, id: &str, found: Result<User, Error>) -> Result<User, Error> {
        if found == Err(Error::NotFound) {
            self.contradict(call, Contradiction::Gone(id));
        }
        found
    }

    async fn hidden_person(&self, call: &Call, id: &str, email: Option<&str>) -> Result<User, Error> {
        if !self.settings.inactive_fallback {
            return Err(Error::NotFound);
        }
        match self.client.contact_by_id(call, id).await {
            Err(Error::NotFound) => {}
            Ok(contact) => {
                self.contradict(call, Contradiction::Other(&contact));
                return Ok(contact);
            }
            Err(error) => return Err(error),
        }
        let Some(email) = email else { return Err(Error::NotFound) };
        let user = self.by_email(call, email).await?;
        if user.id == id { Ok(user) } else { Err(Error::NotFound) }
    }

    /// Reads a person after a write whose answer showed nobody, again until `fits` or the tries run out:
    /// a write may take a moment to be seen. The last reading is returned: it is what Ziflow shows.
    pub async fn read_back(
        &self,
        call: &Call,
        who: &Who<'_>,
        fits: impl Fn(&User) -> bool,
    ) -> Result<User, Error> {
        let delay = Duration::from_millis(self.settings.read_back_delay_ms);
        let mut seen = self.read(call, who).await;
        for _ in 1..self.settings.read_back_tries {
            let done = matches!(&seen, Ok(user) if fits(user));
            let hopeless = !matches!(&seen, Ok(_) | Err(Error::NotFound));
            if done || hopeless || !call.has_time_for(delay) {
                break;
            }
            sleep(delay).await;
            seen = self.read(call, who).await;
        }
        seen
    }

    async fn read(&self, call: &Call, who: &Who<'_>) -> Result<User, Error> {
        match who {
            Who::Email(email) => self.fresh_by_email(call, email).await,
            Who::Known { id, email } => self.fresh_known_person(call, id, email).await,
        }
    }

    /// Makes sure that Ziflow is there and takes the key, at the price of a call only if it has not just
    /// shown it: what answers "nobody" without having asked Ziflow would hide an outage.
    pub async fn vouch(&self, call: &Call) -> Result<(), Error> {
        let recently = self.client.heard().is_some_and(|heard| heard < self.cache_ttl());
        if recently && self.client.proven_lately() {
            return Ok(());
        }
        self.client.prove(call).await
    }

    /// Whether Ziflow has said within the last minute that nobody has this address.
    pub fn absent_just_now(&self, email: &str) -> bool {
        let cache = self.cache();
        let seen = cache.absent.get(&email.to_lowercase());
        seen.is_some_and(|seen| seen.elapsed() < Duration::from_secs(ABSENCE_SECS))
    }

    /// Ziflow has said that somebody has this address after all.
    pub fn not_absent(&self, email: &str) {
        self.cache().absent.remove(&email.to_lowercase());
    }

    /// Ziflow has shown this person after a write.
    pub fn wrote(&self, call: &Call, before: &User, after: &User) {
        // In a dry run nothing was: reads go on showing what Ziflow has. And what the key before had written may be
        // in another account.
        if self.client.is_rehearsing() || self.client.has_outdated(call) {
            return;
        }
        let mut cache = self.cache();
        cache.writes += 1;
        let lately = Lately::new(before, after, self.longest_delay());
        let lately = match cache.written.remove(&after.id) {
            Some(earlier) => lately.on_top_of(earlier),
            None => lately,
        };
        cache.written.insert(after.id.clone(), lately);
        cache.absent.remove(&after.email.to_lowercase());
        cache.keep(after, call.last_left(), self.cache_ttl());
        drop(cache);
        self.write(Write::Put(Box::new(after.clone())));
    }

    /// A write to this person has left: until it is told what came of it, reads are taken as they are.
    pub fn writing(&self, id: &str) {
        self.forget(id);
        if let Some(lately) = self.cache().written.get_mut(id) {
            lately.paused = true;
        }
    }

    /// Whether this person was written within the last seconds.
    pub(super) fn written_lately(&self, id: &str) -> bool {
        self.cache().written.get(id).is_some_and(Lately::is_young)
    }

    /// What a read has shown, put right where it is from before a write of ours: Ziflow may take a while to show one, and
    /// what looks as if it had been done already would not be done again.
    fn put_right(&self, user: User) -> User {
        let cache = self.cache();
        let lately = cache.written.get(&user.id).filter(|lately| !lately.paused);
        lately.and_then(|lately| lately.instead_of(&user).cloned()).unwrap_or(user)
    }

    /// Something may have happened to this person: what is kept about them is worthless.
    pub fn forget(&self, id: &str) {
        let mut cache = self.cache();
        cache.writes += 1;
        cache.people.remove(id);
    }

    /// This person is gone.
    pub fn removed(&self, id: &str) {
        self.forget(id);
        if !self.client.is_rehearsing() || rehearsal::is_ours(id) {
            self.write(Write::Remove(id.to_owned()));
        }
    }

    fn cached(&self, is: impl Fn(&User) -> bool, id: Option<&str>) -> Option<User> {
        let cache = self.cache();
        let fresh = |(user, since): &&(User, Instant)| since.elapsed() < self.cache_ttl() && is(user);
        let entry = match id {
            Some(id) => cache.people.get(id).filter(fresh),
            None => cache.people.values().find(fresh),
        };
        self.asked_for_people.note(entry.is_some());
        entry.map(|(user, _)| user.clone())
    }

    /// How many people are kept at this moment.
    pub(super) fn kept_people(&self) -> usize {
        let ttl = self.cache_ttl();
        self.cache().people.values().filter(|(_, since)| since.elapsed() < ttl).count()
    }

    /// Keeps what a read has shown, unless something was written meanwhile.
    fn keep(&self, call: &Call, user: &User, writes: u64) {
        let mut cache = self.cache();
        if cache.writes == writes {
            cache.keep(user, call.last_left(), self.cache_ttl());
            drop(cache);
            self.contradict(call, Contradiction::Other(user));
        }
    }

    /// How long Ziflow may take to show a write everywhere: some times what a read-back waits.
    fn longest_delay(&self) -> Duration {
        let tries = u32::try_from(self.settings.read_back_tries).unwrap_or(u32::MAX);
        Duration::from_millis(self.settings.read_back_delay_ms).saturating_mul(tries.saturating_mul(4))
    }

    fn cache_ttl(&self) -> Duration {
        Duration::from_secs(self.settings.read_cache_ttl_secs)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
