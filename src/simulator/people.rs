//! The people of the simulated account: who they are, and who reads still see while a write is under way.
//!
//! An e-mail address belongs to one person; addresses are stored in lower case and compared without case.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::quirks::{Ids, Quirks};
use super::random::Random;

pub(super) type Fields = Map<String, Value>;

/// Name of the simulated account, and the company of everybody who names none.
pub(super) const ACCOUNT_NAME: &str = "Simulated Agency";

/// The account owner, who exists from the start.
pub const OWNER_EMAIL: &str = "owner@ziflow.example";

/// The key's own user, where that is not the owner.
pub const KEY_USER_EMAIL: &str = "integration@ziflow.example";

/// A person; the fields are those of a user object, `id` and `email` among them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Person {
    pub(super) guest: bool,
    pub(super) fields: Fields,
}

impl Person {
    pub(super) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.fields.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn has(&self, field: &str, item: &str) -> bool {
        self.fields
            .get(field)
            .and_then(Value::as_array)
            .is_some_and(|items| items.iter().any(|it| it == item))
    }

    pub(super) fn id(&self) -> &str {
        self.text("id")
    }

    /// Whether the person takes one of the seats that are paid for.
    pub(super) fn takes_seat(&self) -> bool {
        !self.guest && self.flag("active") && !self.has("roles", "lite_user")
    }
}

/// A person through time.
#[derive(Clone, Debug)]
struct Record {
    /// `None` once they are gone.
    now: Option<Person>,
    /// What reads show until that moment, oldest first.
    before: Vec<(Instant, Option<Person>)>,
}

impl Record {
    fn shown(&self, at: Instant) -> Option<&Person> {
        let earlier = self.before.iter().find(|(until, _)| *until > at);
        earlier.map_or(self.now.as_ref(), |(_, person)| person.as_ref())
    }
}

/// Everybody.
#[derive(Clone, Debug)]
pub(super) struct People {
    /// By place in the list; newcomers come last, passers-by first.
    records: BTreeMap<i64, Record>,
    by_id: HashMap<String, i64>,
    by_email: HashMap<String, i64>,
    last_place: i64,
    first_place: i64,
    passers_by: Vec<i64>,
    /// Group names that somebody has, or once had.
    groups: BTreeSet<String>,
    account: String,
    random: Random,
    /// What the next newcomer is called by, when a test has to know it beforehand.
    next_id: Option<String>,
}

impl People {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            records: BTreeMap::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            last_place: 0,
            first_place: 0,
            passers_by: Vec::new(),
            groups: BTreeSet::new(),
            account: random.hex(26),
            random,
            next_id: None,
        }
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) fn knows_group(&self, name: &str) -> bool {
        self.groups.contains(name)
    }

    pub(super) fn seats_taken(&self) -> usize {
        self.everybody().filter(|person| person.takes_seat()).count()
    }

    /// Everybody as they are.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Person> {
        self.records.values().filter_map(|record| record.now.as_ref())
    }

    /// Everybody as reads show them.
    pub(super) fn shown(&self, at: Instant) -> impl Iterator<Item = &Person> {
        self.records.values().filter_map(move |record| record.shown(at))
    }

    /// The person as reads show them, by id or e-mail address.
    pub(super) fn show(&self, identifier: &str, at: Instant) -> Option<&Person> {
        let place = self.by_id.get(identifier).or_else(|| self.by_email.get(&identifier.to_lowercase()))?;
        self.records.get(place)?.shown(at)
    }

    pub(super) fn with_id(&self, id: &str) -> Option<&Person> {
        self.records.get(self.by_id.get(id)?)?.now.as_ref()
    }

    pub(super) fn with_email(&self, email: &str) -> Option<&Person> {
        self.records.get(self.by_email.get(&email.to_lowercase())?)?.now.as_ref()
    }

    /// Decides the id of the next newcomer.
    pub(super) fn set_next_id(&mut self, id: String) {
        self.next_id = Some(id);
    }

    /// What a new user has before anybody says more.
    pub(super) fn newcomer(&mut self, form: Ids) -> Fields {
        let id = self.next_id.take().unwrap_or_else(|| self.random.id(form));
        let fields = json!({
            "id": id,
            "email": "",
            "first_name": "",
            "last_name": "",
            "company": ACCOUNT_NAME,
            "phone": "",
            "language": "en",
            "timezone": "Etc/UTC",
            "roles": ["user"],
            "group": [],
            "active": true,
            "verified": false,
            "account_owner": false,
            "accounts": [{ "id": self.account, "name": ACCOUNT_NAME, "primary": true }],
            "proofing_defaults": {
                "comment": true, "decision": false, "share": false, "manage": false, "notification": "hourly_digest",
            },
            "api_key": format!("simulated-key-of-{}", self.random.hex(16)),
        });
        object(fields)
    }

    /// Writes a person down, known or new; reads see it after `delay`.
    pub(super) fn save(&mut self, person: Person, now: Instant, delay: Duration) {
        let place = match self.by_id.get(person.id()) {
            Some(place) => *place,
            None => self.place_at_the_end(),
        };
        self.save_at(place, person, now, delay);
    }

    /// Takes a person away; `false` when there is none.
    pub(super) fn remove(&mut self, id: &str, now: Instant, delay: Duration) -> bool {
        let Some(place) = self.by_id.get(id).copied() else { return false };
        let Some(record) = self.records.get_mut(&place) else { return false };
        let Some(person) = record.now.take() else { return false };
        if delay.is_zero() {
            self.records.remove(&place);
            self.by_id.remove(person.id());
            self.free_address(person.text("email"), place);
        } else {
            record.keep_showing(Some(person), now, delay);
        }
        true
    }

    /// Adds a person as by hand: nothing is checked. Whoever has the address already is changed instead.
    pub(super) fn add_by_hand(&mut self, given: Value, now: Instant, quirks: &Quirks) -> String {
        let mut given = object(given);
        let nobody = format!("person-{}@ziflow.example", self.last_place + 1);
        let email = given.get("email").and_then(Value::as_str).unwrap_or(&nobody).to_lowercase();
        let guest = given.shift_remove("guest").is_some_and(|guest| guest == true);
        let mut person = match self.with_email(&email).cloned() {
            Some(person) => {
                given.shift_remove("id");
                person
            }
            None => Person { guest, fields: self.newcomer(quirks.ids) },
        };
        person.fields.extend(given);
        person.fields.insert("email".into(), email.into());
        let id = person.id().to_owned();
        self.save(person, now, Duration::ZERO);
        id
    }

    /// Changes fields as by hand: nothing is checked. `false` when there is no such person.
    pub(super) fn change_by_hand(&mut self, id: &str, given: Value, now: Instant) -> bool {
        let Some(mut person) = self.with_id(id).cloned() else { return false };
        let mut given = object(given);
        given.shift_remove("id");
        person.guest = given.shift_remove("guest").map_or(person.guest, |guest| guest == true);
        if let Some(email) = given.get("email").and_then(Value::as_str).map(str::to_lowercase) {
            given.insert("email".into(), email.into());
        }
        person.fields.extend(given);
        self.save(person, now, Duration::ZERO);
        true
    }

    /// Lets `count` other people come in front of the list, or those who came last time go.
    pub(super) fn churn(&mut self, count: usize, now: Instant, quirks: &Quirks) {
        let leaving = std::mem::take(&mut self.passers_by);
        for place in &leaving {
            let id = self.records.get(place).and_then(|record| Some(record.now.as_ref()?.id().to_owned()));
            self.remove(&id.unwrap_or_default(), now, Duration::ZERO);
        }
        let coming = if leaving.is_empty() { count } else { 0 };
        for _ in 0..coming {
            self.first_place -= 1;
            let mut fields = self.newcomer(quirks.ids);
            fields.insert("email".into(), format!("passer-by{}@ziflow.example", self.first_place).into());
            fields.insert("roles".into(), json!(["lite_user"]));
            self.save_at(self.first_place, Person { guest: false, fields }, now, Duration::ZERO);
            self.passers_by.push(self.first_place);
        }
    }

    fn place_at_the_end(&mut self) -> i64 {
        self.last_place += 1;
        self.last_place
    }

    fn save_at(&mut self, place: i64, person: Person, now: Instant, delay: Duration) {
        self.by_id.insert(person.id().to_owned(), place);
        let groups = person.fields.get("group").and_then(Value::as_array).into_iter().flatten();
        self.groups.extend(groups.filter_map(Value::as_str).map(str::to_owned));
        let email = person.text("email").to_owned();
        let record = self.records.entry(place).or_insert(Record { now: None, before: Vec::new() });
        let old = record.now.replace(person);
        let former = old.as_ref().map(|old| old.text("email").to_owned());
        record.keep_showing(old, now, delay);
        self.free_address(&former.unwrap_or_default(), place);
        self.by_email.insert(email, place);
    }

    fn free_address(&mut self, email: &str, place: i64) {
        if self.by_email.get(email) == Some(&place) {
            self.by_email.remove(email);
        }
    }
}

impl Record {
    fn keep_showing(&mut self, old: Option<Person>, now: Instant, delay: Duration) {
        self.before.retain(|(until, _)| *until > now);
        if !delay.is_zero() {
            self.before.push((now + delay, old));
        }
    }
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(people: &mut People, person: Value, now: Instant) -> String {
        people.add_by_hand(person, now, &Quirks::default())
    }

    #[test]
    fn an_address_belongs_to_one_person() {
        let (mut people, now) = (People::new(1), Instant::now());
        let jo = add(&mut people, json!({"email": "Jo@X.example", "phone": "1"}), now);
        let again = add(&mut people, json!({"email": "jo@x.EXAMPLE", "company": "New", "id": "other"}), now);
        assert_eq!(jo, again);
        let person = people.with_email("JO@x.example").unwrap();
        assert_eq!((person.id(), person.text("phone"), person.text("company")), (&*jo, "1", "New"));
        assert_eq!(people.everybody().count(), 1);
    }

    #[test]
    fn a_changed_address_is_found_and_the_old_one_is_free() {
        let (mut people, now) = (People::new(1), Instant::now());
        let jo = add(&mut people, json!({"email": "jo@x.example"}), now);
        assert!(people.change_by_hand(&jo, json!({"email": "JO.LEE@x.example", "id": "other"}), now));
        assert_eq!(people.show("jo.lee@x.example", now).unwrap().id(), jo);
        assert_eq!(people.show("jo@x.example", now), None);
        assert!(!people.change_by_hand("nobody", json!({}), now));
    }

    #[test]
    fn reads_lag_behind_writes() {
        let (mut people, start) = (People::new(1), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let delay = Duration::from_millis(10);
        let jo = add(&mut people, json!({"email": "jo@x.example", "phone": "A"}), at(0));
        for (ms, phone) in [(0, "B"), (5, "C")] {
            let mut person = people.with_id(&jo).unwrap().clone();
            person.fields.insert("phone".into(), phone.into());
            people.save(person, at(ms), delay);
        }
        assert!(people.remove(&jo, at(20), delay));
        assert!(people.with_id(&jo).is_none() && !people.remove(&jo, at(21), delay));
        let seen = |ms| people.show(&jo, at(ms)).map(|person| person.text("phone").to_owned());
        assert_eq!(seen(25).as_deref(), Some("C"));
        assert_eq!(seen(30), None);
        assert_eq!(people.shown(at(30)).count(), 0);
    }

    #[test]
    fn each_of_two_quick_writes_is_seen_in_its_time() {
        let (mut people, start) = (People::new(1), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let jo = add(&mut people, json!({"email": "jo@x.example", "phone": "A"}), at(0));
        for (ms, phone) in [(0, "B"), (5, "C")] {
            let mut person = people.with_id(&jo).unwrap().clone();
            person.fields.insert("phone".into(), phone.into());
            people.save(person, at(ms), Duration::from_millis(10));
        }
        let seen = |ms| people.show("jo@x.example", at(ms)).unwrap().text("phone").to_owned();
        assert_eq!([7, 12, 15].map(seen), ["A", "B", "C"]);
    }

    #[test]
    fn passers_by_shift_the_list_and_leave_no_trace() {
        let (mut people, now) = (People::new(1), Instant::now());
        add(&mut people, json!({"email": "jo@x.example"}), now);
        let emails = |people: &People| -> Vec<String> {
            people.everybody().map(|person| person.text("email").to_owned()).collect()
        };
        people.churn(2, now, &Quirks::default());
        assert_eq!((emails(&people).len(), &*emails(&people)[2]), (3, "jo@x.example"));
        people.churn(2, now, &Quirks::default());
        assert_eq!(emails(&people), ["jo@x.example"]);
    }
}
