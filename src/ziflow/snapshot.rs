//! Everybody at once, in little room: whom the walk over all pages has met, and what has changed since.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ziflow::model::User;

/// Where somebody stands in a snapshot, for as long as it lives.
pub type Slot = u32;

/// Everybody, in one order for as long as it lives. A copy shares what the walk has brought.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Names this snapshot, also across restarts.
    generation: u64,
    /// Ziflow promises no order; ids give one that is the same for every walk.
    walked: Arc<[(Box<str>, Packed)]>,
    /// Who has come since, in that order.
    late: Vec<(Box<str>, Packed)>,
    late_slots: HashMap<Box<str>, Slot>,
    /// Who has become another since.
    changed: HashMap<Slot, Packed>,
    /// Who has left since; they keep their slots.
    gone: HashSet<Slot>,
}

/// A person as text: a tenth of the room that a `User` takes, which matters for a quarter of a million of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    json: Box<str>,
    contact: bool,
}

impl Packed {
    /// All but the id and what only an update of the whole person needs, which reads them anew.
    pub(super) fn new(user: &User) -> Self {
        Self { json: user.to_json().to_string().into(), contact: user.contact }
    }

    fn unpack(&self, id: &str) -> Option<User> {
        let mut json: Value = serde_json::from_str(&self.json).ok()?;
        json.as_object_mut()?.insert("id".to_owned(), id.into());
        if self.contact { User::from_contact_json(&json) } else { User::from_json(&json) }
    }
}

impl Snapshot {
    pub(super) fn new(people: BTreeMap<Box<str>, Packed>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            generation: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1),
            walked: people.into_iter().collect(),
            late: Vec::new(),
            late_slots: HashMap::new(),
            changed: HashMap::new(),
            gone: HashSet::new(),
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.walked.len() + self.late.len() - self.gone.len()
    }

    /// Where those stand who are there, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.end()).filter(|slot| !self.gone.contains(slot))
    }

    /// The person at this slot, unless they have left.
    pub fn person(&self, slot: Slot) -> Option<User> {
        let (id, _) = self.entry(slot)?;
        self.packed(slot)?.unpack(id)
    }

    /// The person with this id, unless they have left.
    pub fn person_with(&self, id: &str) -> Option<User> {
        self.person(self.slot(id)?)
    }

    /// Where this person stands or stood.
    pub fn slot(&self, id: &str) -> Option<Slot> {
        let walked = self.walked.binary_search_by(|(other, _)| other.as_ref().cmp(id)).ok();
        walked.and_then(|place| Slot::try_from(place).ok()).or_else(|| self.late_slots.get(id).copied())
    }

    /// Somebody is there, as they are now.
    pub(super) fn put(&mut self, user: &User) {
        let packed = Packed::new(user);
        if let Some(slot) = self.slot(&user.id) {
            self.gone.remove(&slot);
            self.changed.insert(slot, packed);
        } else {
            // At the end, so that the pages before keep their people.
            self.late_slots.insert(user.id.as_str().into(), self.end());
            self.late.push((user.id.as_str().into(), packed));
        }
    }

    /// A single read has shown somebody. Who is a contact may be no user at all, so they are no newcomer.
    pub(super) fn correct(&mut self, user: &User) {
        if !user.contact || self.slot(&user.id).is_some() {
            self.put(user);
        }
    }

    /// Somebody has left.
    pub(super) fn remove(&mut self, id: &str) {
        self.gone.extend(self.slot(id));
    }

    /// Whether this change would change anything.
    pub(super) fn differs_from(&self, write: &Write) -> bool {
        match write {
            Write::Put(_) => true,
            Write::Correct(user) => match self.slot(&user.id) {
                Some(slot) => self.packed(slot) != Some(&Packed::new(user)),
                None => !user.contact,
            },
            Write::Remove(id) => self.slot(id).is_some_and(|slot| !self.gone.contains(&slot)),
        }
    }

    /// What is known about who stands there, unless they have left.
    fn packed(&self, slot: Slot) -> Option<&Packed> {
        if self.gone.contains(&slot) {
            return None;
        }
        let (_, packed) = self.entry(slot)?;
        Some(self.changed.get(&slot).unwrap_or(packed))
    }

    fn entry(&self, slot: Slot) -> Option<&(Box<str>, Packed)> {
        let place = usize::try_from(slot).ok()?;
        self.walked.get(place).or_else(|| self.late.get(place.checked_sub(self.walked.len())?))
    }

    /// The slot of the next who comes.
    fn end(&self) -> Slot {
        Slot::try_from(self.walked.len() + self.late.len()).unwrap_or(Slot::MAX)
    }
}

/// A change that is put on top of a snapshot.
#[derive(Debug)]
pub(super) enum Write {
    Put(Box<User>),
    /// A single read has shown them.
    Correct(Box<User>),
    Remove(String),
}

impl Write {
    pub(super) fn apply(self, snapshot: &mut Snapshot) {
        match self {
            Self::Put(user) => snapshot.put(&user),
            Self::Correct(user) => snapshot.correct(&user),
            Self::Remove(id) => snapshot.remove(&id),
        }
    }

    /// Whether it takes somebody out of Ziflow's list, so that all behind them move up.
    pub(super) fn moves_others_up(&self) -> bool {
        match self {
            Self::Put(user) => !user.active,
            Self::Correct(_) => false,
            Self::Remove(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(id: &str, phone: &str) -> User {
        let roles = json!(["user", "manager"]);
        let user = json!({"id": id, "email": format!("{id}@x"), "phone": phone, "roles": roles, "active": id != "c"});
        User::from_json(&user).unwrap()
    }

    fn snapshot(ids: &[&str]) -> Snapshot {
        Snapshot::new(ids.iter().map(|id| ((*id).into(), Packed::new(&user(id, "1")))).collect())
    }

    fn ids(snapshot: &Snapshot) -> Vec<String> {
        snapshot.slots().map(|slot| snapshot.person(slot).unwrap().id).collect()
    }

    #[test]
    fn a_person_comes_out_as_they_went_in() {
        let contact = User::from_contact_json(&json!({"id": "d", "email": "d@x"})).unwrap();
        for person in [user("a", "1"), user("c", ""), contact] {
            assert_eq!(Packed::new(&person).unpack(&person.id), Some(person));
        }
    }

    /// 250,000 people must fit beside everything else on a small machine.
    #[test]
    fn a_person_takes_little_room() {
        let person = json!({
            "id": "auth0|0123456789abcdef01234567", "email": "firstname.lastname@subsidiary.example.com",
            "first_name": "Firstname", "last_name": "Lastname-Hyphenated", "company": "Example Subsidiary Ltd",
            "phone": "+44 20 7946 0001", "language": "en", "timezone": "Europe/Dublin",
            "roles": ["user", "manager"], "group": ["Brand Reviewers"], "active": true,
            "accounts": [{"id": "0123456789abcdef", "name": "Example", "primary": true}],
            "proofing_defaults": {"comment": true, "decision": false, "notification": "hourly_digest"},
        });
        let person = User::from_json(&person).unwrap();
        let entry = size_of::<(Box<str>, Packed)>() + person.id.len() + Packed::new(&person).json.len();
        assert!(entry < 400, "{entry} bytes");
    }

    #[test]
    fn who_comes_goes_to_the_end_and_who_leaves_keeps_the_slot() {
        let mut snapshot = snapshot(&["b", "a", "d"]);
        assert_eq!(ids(&snapshot), ["a", "b", "d"]);
        snapshot.put(&user("c", "1"));
        snapshot.remove("b");
        snapshot.remove("nobody");
        assert_eq!(ids(&snapshot), ["a", "d", "c"]);
        assert_eq!((snapshot.slot("b"), snapshot.slot("c")), (Some(1), Some(3)));
        snapshot.put(&user("b", "2"));
        assert_eq!(ids(&snapshot), ["a", "b", "d", "c"]);
        assert_eq!(snapshot.person(1), Some(user("b", "2")));
    }

    #[test]
    fn a_single_read_corrects_and_a_contact_is_no_newcomer() {
        let mut snapshot = snapshot(&["a"]);
        let before = snapshot.clone();
        snapshot.correct(&user("a", "2"));
        snapshot.correct(&user("z", "2"));
        snapshot.correct(&User::from_contact_json(&json!({"id": "y", "email": "y@x"})).unwrap());
        assert_eq!(ids(&snapshot), ["a", "z"]);
        assert_eq!(snapshot.person(0), Some(user("a", "2")));
        assert_eq!(before.person(0), Some(user("a", "1")), "a copy stays as it was");
    }
}
