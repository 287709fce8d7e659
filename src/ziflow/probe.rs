//! The probe: the experiments that tell how an account answers where Ziflow's documentation is silent, with one
//! throw-away user, in an order in which each finds the user as the one before has left it.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::ziflow::look::{As, Look, Looker, Missed};
use crate::ziflow::model::Field;
use crate::ziflow::observations::{
    Again, Burst, Delay, Delete, Group, Inactive, Observations, Reply, Roles, Update,
};
use crate::ziflow::throwaway::{
    LOOK_EVERY, ONE_CALL, PATIENCE, PAUSE, Result, Task, Throwaway, Trouble, failed,
};
use crate::ziflow::transport::ApiKey;

/// So many pages of a hundred are looked through for somebody.
const PAGES: u32 = 10;

/// How many things are tried one after the other.
const EXPERIMENTS: u32 = 10;

/// The burst: so many reads, five at a time.
const ROUNDS: u32 = 10;

const COMPANY: &str = "ziflow-scim-bridge probe";

/// What a PUT that names none of them must leave as they are.
const KEPT: &[&str] = &[
    "first_name",
    "last_name",
    "phone",
    "language",
    "timezone",
    "roles",
    "group",
    "active",
    "verified",
    "proofing_defaults",
];

/// What became of a probe.
#[derive(Debug)]
pub struct Outcome {
    pub seen: Observations,
    pub ended: Result<()>,
    /// Whether a user was made at all.
    pub made: bool,
    /// Whoever could not be deleted, in sentences; none when everything is as it was.
    pub left: Vec<String>,
}

/// The experiments under way.
#[derive(Debug)]
pub struct Probe {
    user: Throwaway,
    /// For the burst alone.
    quick: Looker,
    seen: Observations,
}

impl Probe {
    /// `looker` goes at the configured pace, `quick` as fast as it can. Fails when there is no randomness.
    pub fn new(looker: Looker, quick: Looker, task: Task) -> Result<Self, String> {
        Ok(Self { user: Throwaway::new(looker, task)?, quick, seen: Observations::default() })
    }

    /// All experiments as far as they come, and the cleanup whatever comes of them. `at` is told what is begun.
    pub async fn run(mut self, at: impl Fn(&str)) -> Outcome {
        let number = Cell::new(0);
        let begun = |what: &str| {
            number.set(number.get() + 1);
            at(&format!("{} of {EXPERIMENTS}: {what}", number.get()));
        };
        let ended = Box::pin(self.experiments(begun)).await;
        at("cleaning up");
        let left = Box::pin(self.user.clean_up()).await;
        self.seen.throttled = self.user.throttled;
        Outcome { seen: self.seen, ended, made: self.user.made_any, left }
    }

    async fn experiments(&mut self, begun: impl Fn(&str)) -> Result<()> {
        begun("asking with a wrong key");
        self.ask_with_a_bad_key().await?;
        begun("making sure that nobody has the address");
        self.make_sure_of_nobody().await?;
        begun("creating the user");
        let id = self.create().await?;
        begun("creating the user again");
        self.seen.again = Some(self.create_again().await?);
        begun("changing fields");
        self.update(&id).await?;
        begun("changing roles");
        self.change_roles(&id).await?;
        begun("inventing a group");
        self.invent_a_group(&id).await?;
        begun("deactivating the user");
        if self.deactivate(&id).await? {
            self.seen.again_inactive = Some(self.create_again().await?);
        }
        begun("deleting the user");
        self.delete(&id).await?;
        begun("asking often, to see when Ziflow slows down");
        self.burst().await
    }

    async fn ask_with_a_bad_key(&mut self) -> Result<()> {
        self.user.may_go_on()?;
        let key =
            ApiKey::new(&format!("wrong{}", self.user.mark).into()).map_err(|told| failed("a key", told))?;
        let what = "GET /users with a wrong key";
        let look = self.user.looker.first_as(Instant::now() + ONE_CALL, As::Other(&key)).await;
        self.seen.bad_key = Some(Reply::of(&look.map_err(|missed| failed(what, missed.reason))?));
        Ok(())
    }

    /// Anything but a plain "nobody" from both sides is taken for somebody.
    async fn make_sure_of_nobody(&mut self) -> Result<()> {
        let email = self.user.task.email.clone();
        for collection in ["users", "contacts"] {
            let look = self.user.read(&[collection, &email]).await?;
            if !look.is_absence() {
                let found =
                    if look.json.is_some() && look.is_success() { "shows somebody" } else { "answers" };
                return Err(Trouble::Taken(format!("GET /{collection}/{{email}} {found}: {}", look.told())));
            }
            if collection == "users" {
                self.seen.unknown = Some(Reply::of(&look));
            }
        }
        Ok(())
    }

    /// The least that the bridge itself ever sends: the address and the names.
    async fn create(&mut self) -> Result<String> {
        let look = self.user.post().await?;
        self.seen.create = Some(Reply::of(&look));
        if !look.is_success() {
            self.user.settle(1).await?;
            // A clear refusal has made nobody. Anything else may have: a gateway's page, a redirect.
            if look.status.is_client_error() && self.user.made.is_empty() {
                (self.user.in_doubt, self.user.made_any) = (false, false);
            }
            return Err(Trouble::Refused(look.told()));
        }
        let since = Instant::now();
        let tries = u32::try_from(PATIENCE.as_millis() / LOOK_EVERY.as_millis()).unwrap_or(u32::MAX);
        let Some((shown, reads)) = self.user.settle(tries).await? else {
            self.seen.delays.push(Delay { what: "a new person", after: None });
            return Err(failed("GET /users/{email} after the create", "shows nobody".to_owned()));
        };
        let after = if reads == 1 { Duration::ZERO } else { since.elapsed().saturating_sub(shown.took) };
        self.seen.delays.push(Delay { what: "a new person", after: Some(after) });
        self.seen.default_roles = roles(&shown);
        let id = shown.user().map(|user| user.id);
        id.ok_or_else(|| failed("GET /users/{email}", "shows no id".to_owned()))
    }

    /// The same create once more. Should it make somebody, they are ours as well.
    async fn create_again(&mut self) -> Result<Again> {
        let before = self.user.made.len();
        let look = self.user.post().await?;
        if look.is_success() {
            self.user.settle(2).await?;
        }
        self.user.in_doubt = false;
        Ok(Again { reply: Reply::of(&look), second: self.user.made.len() > before })
    }

    async fn update(&mut self, id: &str) -> Result<()> {
        let before = self.user.read(&["users", id]).await?;
        if before.user().is_none() {
            return Err(failed("GET /users/{id}", before.told()));
        }
        let reply = self.user.put(id, &json!({"company": COMPANY})).await?;
        let shown = if reply.is_success() {
            let is_shown = |look: &Look| look.field("company").is_some_and(|company| company == COMPANY);
            self.until("an update", id, is_shown).await?
        } else {
            None
        };
        let differs = |name: &&&str| shown.as_ref().is_some_and(|now| now.field(name) != before.field(name));
        let lost = KEPT.iter().filter(differs).map(|name| (*name).to_owned()).collect();
        self.seen.update = Some(Update { reply, shown: shown.is_some(), lost });
        Ok(())
    }

    /// Two sets that every account should take: the second leaves out a role of the first.
    async fn change_roles(&mut self, id: &str) -> Result<()> {
        let [more, less] = [vec!["user".to_owned(), "manager".to_owned()], vec!["user".to_owned()]];
        let first = self.user.put(id, &json!({"roles": more})).await?;
        let manages = |look: &Look| roles(look).is_some_and(|roles| roles.contains(&"manager".to_owned()));
        let had = if first.is_success() { self.until("roles", id, manages).await? } else { None };
        let Some(had) = had.as_ref().and_then(roles) else {
            self.seen.roles = Some(Roles { reply: first, had: Vec::new(), sent: more, after: None });
            return Ok(());
        };
        let reply = self.user.put(id, &json!({"roles": less})).await?;
        let mut after = None;
        if reply.is_success() {
            // Where roles are added nothing ever changes, so that has to be waited out.
            let (now, _) = self.until_quietly(id, |look| !manages(look), self.settled_within()).await?;
            after = roles(&now);
        }
        self.seen.roles = Some(Roles { reply, had, sent: less, after });
        Ok(())
    }

    async fn invent_a_group(&mut self, id: &str) -> Result<()> {
        let name = format!("ziflow-scim-bridge {}", self.user.mark);
        let reply = self.user.put(id, &json!({"group": [name]})).await?;
        let mut shown = false;
        if reply.is_success() {
            let has = |look: &Look| {
                look.field("group").and_then(Value::as_array).is_some_and(|all| all.contains(&json!(name)))
            };
            let (now, _) = self.until_quietly(id, has, self.settled_within()).await?;
            shown = has(&now);
            // So that no member is left in it.
            self.user.put(id, &json!({"group": []})).await?;
        }
        self.seen.group = Some(Group { reply, shown });
        Ok(())
    }

    /// Whether the person is inactive now.
    async fn deactivate(&mut self, id: &str) -> Result<bool> {
        let reply = self.user.put(id, &json!({"active": false})).await?;
        if !reply.is_success() {
            let (took, listed, by_id, contact) = (false, None, true, false);
            self.seen.inactive = Some(Inactive { reply, took, listed, by_id, contact });
            return Ok(false);
        }
        let is_off = |look: &Look| look.is_absence() || look.user().is_some_and(|user| !user.active);
        let took = self.until("a deactivation", id, is_off).await?;
        let by_id = took.as_ref().is_none_or(|look| look.user().is_some());
        let listed = self.is_listed(id).await?;
        let contact = self.user.read(&["contacts", id]).await?.user().is_some_and(|contact| contact.id == id);
        let took = took.is_some();
        self.seen.inactive = Some(Inactive { reply, took, listed, by_id, contact });
        Ok(took)
    }

    /// None when there are more people than are looked through.
    async fn is_listed(&mut self, id: &str) -> Result<Option<bool>> {
        for number in 1..=PAGES {
            let look = self.user.page(number).await?;
            let Some(page) = look.page() else { return Ok((number > 1).then_some(false)) };
            if page.users.iter().any(|user| user.id == id) {
                return Ok(Some(true));
            }
            if page.has_more == Some(false) || page.users.len() < 100 {
                return Ok(Some(false));
            }
        }
        Ok(None)
    }

    async fn delete(&mut self, id: &str) -> Result<()> {
        let owner = self.user.task.new_owner.clone();
        let look = self.user.send_delete(id, owner.as_deref()).await?;
        let (reply, mut gone, mut contact) = (Reply::of(&look), false, false);
        if look.is_success() {
            gone = self.until("a delete", id, Look::is_absence).await?.is_some();
            contact = self.stays_a_contact(id).await?;
        }
        if gone {
            self.user.made.retain(|made| made != id);
        }
        self.seen.delete = Some(Delete { reply, new_owner: owner, gone, contact });
        Ok(())
    }

    /// Contacts may be shown a little longer than users.
    async fn stays_a_contact(&mut self, id: &str) -> Result<bool> {
        let (since, patience) = (Instant::now(), self.settled_within());
        loop {
            let contact = self.user.read(&["contacts", id]).await?;
            if contact.user().is_none_or(|contact| contact.id != id) {
                return Ok(false);
            }
            if since.elapsed() >= patience {
                return Ok(true);
            }
            self.user.rest(LOOK_EVERY).await?;
        }
    }

    /// The last experiment: what it brings about is over before anybody else notices.
    async fn burst(&mut self) -> Result<()> {
        // What was asked before is not to count.
        self.user.rest(PAUSE * 2).await?;
        let mut burst = Burst::default();
        let start = Instant::now();
        'rounds: for _ in 0..ROUNDS {
            self.user.may_go_on()?;
            let one = || self.quick.first(Instant::now() + ONE_CALL);
            let five = tokio::join!(one(), one(), one(), one(), one());
            for look in <[_; 5]>::from(five) {
                burst.took = start.elapsed();
                if !burst.goes_on(look) {
                    break 'rounds;
                }
            }
        }
        self.seen.burst = Some(burst);
        Ok(())
    }

    /// Reads the person until what was written shows, and notes how long that took. None when it never does.
    async fn until(
        &mut self,
        what: &'static str,
        id: &str,
        shows: impl Fn(&Look) -> bool,
    ) -> Result<Option<Look>> {
        let since = Instant::now();
        let (look, reads) = self.until_quietly(id, &shows, PATIENCE).await?;
        let shown = shows(&look);
        // What the first read shows has taken no time: that read may have waited for its turn.
        let left = if reads == 1 { Duration::ZERO } else { since.elapsed().saturating_sub(look.took) };
        let after = shown.then_some(left);
        self.seen.delays.push(Delay { what, after });
        Ok(shown.then_some(look))
    }

    /// The last read, which shows it unless it took too long, and how many there were.
    async fn until_quietly(
        &mut self,
        id: &str,
        shows: impl Fn(&Look) -> bool,
        patience: Duration,
    ) -> Result<(Look, u32)> {
        let since = Instant::now();
        let mut reads = 0;
        loop {
            reads += 1;
            let look = self.user.read(&["users", id]).await?;
            if shows(&look) || since.elapsed() >= patience {
                return Ok((look, reads));
            }
            self.user.rest(LOOK_EVERY).await?;
        }
    }

    /// By then a write that shows at all should be seen: twice what it took at the most so far, and a second.
    fn settled_within(&self) -> Duration {
        let longest = self.seen.delays.iter().filter_map(|delay| delay.after).max().unwrap_or_default();
        (longest * 2 + PAUSE).min(PATIENCE)
    }
}

impl Burst {
    /// Counts an answer; false when it ends the burst.
    fn goes_on(&mut self, look: Result<Look, Missed>) -> bool {
        let look = match look {
            Ok(look) => look,
            Err(missed) => {
                self.ended = Some(Reply { told: missed.reason, ..Reply::default() });
                return false;
            }
        };
        // The values change from call to call, so only the first ones and those of the end are kept.
        if self.headers.is_empty() || !look.status.is_success() {
            self.headers.clone_from(&look.about_pace);
        }
        if look.status.is_success() {
            self.accepted += 1;
            return true;
        }
        self.ended = Some(Reply::of(&look));
        self.retry_after = look.retry_after;
        false
    }
}

/// The roles that an answer shows, in the API's spelling.
fn roles(look: &Look) -> Option<Vec<String>> {
    look.field("roles")?;
    look.user().map(|user| user.list(Field::Roles).to_vec())
}
