//! What is to be done in Ziflow about a change, decided before anything is done. Pure.
//!
//! current (Ziflow) + wanted (the mapping's word) + policy → `Plan`. Ziflow is written only by executing one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mapping::apply::Wanted;
use crate::ziflow::model::{Field, FieldValue, Fields, LITE_USER, PLAIN_USER, User};

/// `policy.on_deactivate`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDeactivate {
    Deactivate,
    Ignore,
}

/// `policy.on_email_change`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnEmailChange {
    Keep,
    Refuse,
}

/// Values of list fields that the bridge itself put there, by field name. Only these it takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Granted(BTreeMap<String, Vec<String>>);

impl Granted {
    pub fn get(&self, field: Field) -> &[String] {
        self.0.get(field.name()).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn set(&mut self, field: Field, values: Vec<String>) {
        if values.is_empty() {
            self.0.remove(field.name());
        } else {
            self.0.insert(field.name().to_owned(), values);
        }
    }

    /// Adds what another record holds.
    pub fn add(&mut self, other: &Self) {
        for (field, values) in &other.0 {
            let own = self.0.entry(field.clone()).or_default();
            own.extend(values.iter().filter(|value| !own.contains(value)).cloned().collect::<Vec<_>>());
        }
    }

    /// Everything in the list fields of a person whom the bridge has just created.
    pub fn by_create(fields: &Fields) -> Self {
        let mut granted = Self::default();
        for (field, value) in fields {
            if let FieldValue::List(values) = value {
                granted.set(*field, values.clone());
            }
        }
        granted
    }
}

/// What the decision rests on.
pub struct Situation<'a> {
    pub user: &'a User,
    pub granted: &'a Granted,
    pub wanted: &'a BTreeMap<Field, Wanted>,
    /// Whether the mapping says that the bridge owns a list field.
    pub owns: &'a (dyn Fn(Field) -> bool + Sync),
    /// Why this person is beyond the bridge's reach, if they are.
    pub protected: Option<Protection>,
    /// Whether protected people keep what would be taken from them, in place of a refusal.
    pub keeps_roles: bool,
    pub on_deactivate: OnDeactivate,
    pub on_email_change: OnEmailChange,
}

impl fmt::Debug for Situation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Situation").finish_non_exhaustive()
    }
}

/// Why a person can be neither disabled nor deleted nor stripped of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    AccountOwner,
    KeyUser,
    Listed,
}

impl Protection {
    pub fn reason(self) -> &'static str {
        match self {
            Self::AccountOwner => "this person owns the Ziflow account",
            Self::KeyUser => "the bridge works with this person's API key (ziflow.key_user_email)",
            Self::Listed => "policy.protected_emails lists this person",
        }
    }
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// These fields go into one update; none means that Ziflow is left alone.
    Update {
        fields: Fields,
        granted: Granted,
        notes: Vec<Note>,
    },
    Refuse(Refusal),
}

/// Something that was asked for and is not done, though the request succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Ziflow cannot change an e-mail address; the new one is kept in SCIM only.
    EmailKept,
    /// The soft-deleted person's new `userName` is kept in SCIM only.
    TombstoneRename,
    /// `policy.on_deactivate: ignore`
    DeactivationIgnored,
    /// A person must keep one role at least.
    LastRoleKept,
    /// A protected person keeps roles that no source grants any more.
    ProtectedRolesKept,
    /// A Lite User seat excludes every other role, and a role given by hand in Ziflow is not taken away.
    HandMadeRolesKept,
}

impl Note {
    /// The field it is about.
    pub fn field(self) -> Field {
        match self {
            Self::EmailKept | Self::TombstoneRename => Field::Email,
            Self::DeactivationIgnored => Field::Active,
            Self::LastRoleKept | Self::HandMadeRolesKept | Self::ProtectedRolesKept => Field::Roles,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::EmailKept => {
                "Ziflow cannot change an e-mail address: the new one is kept in SCIM, Ziflow keeps the old one"
            }
            Self::TombstoneRename => {
                "renamed by Entra on soft deletion: kept in SCIM, Ziflow keeps the address"
            }
            Self::DeactivationIgnored => "left active: policy.on_deactivate is ignore",
            Self::ProtectedRolesKept => "protected: a role stays though nothing grants it any more",
            Self::LastRoleKept => "one plain role is left in place: Ziflow knows nobody without a role",
            Self::HandMadeRolesKept => {
                "not all roles are given: lite_user excludes the others, and roles given by hand in Ziflow stay \
                 (let the mapping own `roles` to change that)"
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Deactivate(Protection),
    TakeRoles(Protection),
    ChangeEmail,
}

/// Decides about every wanted field.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut fields = Fields::new();
    let mut granted = situation.granted.clone();
    let mut notes = Vec::new();
    for (field, wanted) in situation.wanted {
        let step = match field {
            Field::Email => email(situation, wanted),
            Field::Active => active(situation, wanted),
            field if field.is_list() => {
                let (step, note) = list(situation, *field, wanted, &mut granted);
                notes.extend(note);
                step
            }
            field => plain(situation.user, *field, wanted),
        };
        match step {
            Step::Leave => {}
            Step::Write(value) => drop(fields.insert(*field, value)),
            Step::Note(note) => notes.push(note),
            Step::Refuse(refusal) => return Plan::Refuse(refusal),
        }
    }
    Plan::Update { fields, granted, notes }
}

enum Step {
    Leave,
    Write(FieldValue),
    Note(Note),
    Refuse(Refusal),
}

fn email(situation: &Situation<'_>, wanted: &Wanted) -> Step {
    let Wanted::Set(FieldValue::Text(new)) = wanted else { return Step::Leave };
    let old = &situation.user.email;
    if new.to_lowercase() == old.to_lowercase() {
        Step::Leave
    } else if is_tombstone_rename(old, new) {
        Step::Note(Note::TombstoneRename)
    } else {
        // Refused, the request would leave a person access that it takes away.
        let disables = situation.wanted.get(&Field::Active) == Some(&Wanted::Set(FieldValue::Boolean(false)));
        match situation.on_email_change {
            OnEmailChange::Refuse if !disables => Step::Refuse(Refusal::ChangeEmail),
            OnEmailChange::Refuse | OnEmailChange::Keep => Step::Note(Note::EmailKept),
        }
    }
}

fn active(situation: &Situation<'_>, wanted: &Wanted) -> Step {
    let Wanted::Set(FieldValue::Boolean(active)) = wanted else { return Step::Leave };
    // Whether a contact could sign in is not known, so a disabled one is disabled all the same.
    match (situation.user.active || situation.user.contact, active) {
        (true, false) => match (situation.protected, situation.on_deactivate) {
            (_, OnDeactivate::Ignore) => Step::Note(Note::DeactivationIgnored),
            (Some(protection), OnDeactivate::Deactivate) => Step::Refuse(Refusal::Deactivate(protection)),
            (None, OnDeactivate::Deactivate) => Step::Write(FieldValue::Boolean(false)),
        },
        (_, true) if !situation.user.active => Step::Write(FieldValue::Boolean(true)),
        (true, true) | (false, _) => Step::Leave,
    }
}

fn plain(user: &User, field: Field, wanted: &Wanted) -> Step {
    let current = user.get(field);
    match wanted {
        Wanted::Set(value) if current.as_ref() == Some(value) => Step::Leave,
        Wanted::Set(value) if value.is_empty() && current.is_none() => Step::Leave,
        Wanted::Set(value) => Step::Write(value.clone()),
        Wanted::Cleared if current.is_some() && field.can_be_cleared() => {
            Step::Write(FieldValue::Text(String::new()))
        }
        Wanted::Cleared => Step::Leave,
    }
}

fn list(
    situation: &Situation<'_>,
    field: Field,
    wanted: &Wanted,
    granted: &mut Granted,
) -> (Step, Option<Note>) {
    let wanted: &[String] = match wanted {
        Wanted::Set(FieldValue::List(values)) => values,
        Wanted::Cleared => &[],
        Wanted::Set(_) => return (Step::Leave, None),
    };
    let current = situation.user.list(field);
    let ours = granted.get(field);
    let kept = |value: &&String| wanted.contains(value) || !(situation.owns)(field) && !ours.contains(value);
    let mut new: Vec<String> = current.iter().filter(kept).cloned().collect();
    new.extend(wanted.iter().filter(|value| !current.contains(value)).cloned());
    let mut note = if field == Field::Roles { possible_roles(&mut new, current, ours) } else { None };
    let takes_away = current.iter().any(|value| !new.contains(value));
    let mut handed_over = Vec::new();
    if let (Some(protection), true, Field::Roles) = (situation.protected, takes_away, field) {
        if !situation.keeps_roles {
            return (Step::Refuse(Refusal::TakeRoles(protection)), None);
        }
        handed_over.extend(current.iter().filter(|value| !new.contains(value)).cloned());
        new.extend(handed_over.clone());
        note = Some(Note::ProtectedRolesKept);
    }
    // What a protected person keeps is from now on as if it had been given by hand.
    let still_ours =
        |value: &&String| !handed_over.contains(value) && (ours.contains(value) || !current.contains(value));
    let ours = new.iter().filter(still_ours).cloned().collect();
    granted.set(field, ours);
    let new = FieldValue::List(new);
    let step = if new.same_as(&FieldValue::List(current.to_vec())) { Step::Leave } else { Step::Write(new) };
    (step, note)
}

/// Makes a set of roles that Ziflow can have, without giving or keeping more than was asked for.
fn possible_roles(new: &mut Vec<String>, current: &[String], ours: &[String]) -> Option<Note> {
    let lite = |role: &String| role == LITE_USER;
    if new.is_empty() && !current.is_empty() {
        // Nobody can be without a role: what is left is the one that can do least.
        new.push(if current.iter().any(lite) { LITE_USER } else { PLAIN_USER }.to_owned());
        return Some(Note::LastRoleKept);
    }
    if new.len() < 2 || !new.iter().any(lite) {
        return None;
    }
    let lite_by_hand = current.iter().any(lite) && !ours.iter().any(lite);
    new.retain(|role| lite(role) == lite_by_hand);
    Some(Note::HandMadeRolesKept)
}

/// Why a field that the mapping asked for is not written, in the words of somebody who reads it.
pub fn why_left(user: &User, field: Field, wanted: &Wanted, notes: &[Note]) -> &'static str {
    match notes.iter().find(|note| note.field() == field) {
        Some(note) => note.text(),
        None if *wanted == Wanted::Cleared && user.get(field).is_some() => {
            "Ziflow cannot take this value away"
        }
        None if field.is_list() && !has(user, field, wanted) => {
            "what is more in Ziflow was given there by hand, and stays"
        }
        None => "Ziflow has it so already",
    }
}

/// Whether the list is what is wanted, no more and no less.
fn has(user: &User, field: Field, wanted: &Wanted) -> bool {
    let current = FieldValue::List(user.list(field).to_vec());
    match wanted {
        Wanted::Set(value) => value.same_as(&current),
        Wanted::Cleared => current.is_empty(),
    }
}

/// Entra frees the name of a soft-deleted person by putting the object id, 32 hexadecimal digits, before it.
/// Written into Ziflow it would orphan the person and break their restoration.
pub fn is_tombstone_rename(old: &str, new: &str) -> bool {
    match new.split_at_checked(32) {
        Some((digits, rest)) => {
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && rest.to_lowercase() == old.to_lowercase()
        }
        None => false,
    }
}

/// The name from before such a rename.
pub fn without_tombstone(name: &str) -> &str {
    match name.split_at_checked(32) {
        Some((digits, rest)) if !rest.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            rest
        }
        _ => name,
    }
}

/// What an update by `PUT` took away beside what it was to change: the sign of a Ziflow that replaces the
/// whole person where `ziflow.update: changed_fields` expects a merge. A value that is another one is no sign
/// by itself, since somebody may have changed it by hand meanwhile; one that is gone is.
pub fn lost_by_update(before: &User, sent: &Fields, after: &User) -> Fields {
    let untouched = || Field::ALL.iter().filter(|field| !sent.contains_key(field));
    let gone = |field: &Field| before.get(*field).is_some() && after.get(*field).is_none();
    if !untouched().any(gone) {
        return Fields::new();
    }
    let other = |field: &&Field| before.get(**field) != after.get(**field);
    untouched().filter(other).filter_map(|field| Some((*field, before.get(*field)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "it reads better with json! at the call")]
    fn user(more: Value) -> User {
        let mut user = json!({"id": "1", "email": "jo@example.com", "first_name": "Jo", "active": true});
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        User::from_json(&user).unwrap()
    }

    fn roles(names: &[&str]) -> FieldValue {
        FieldValue::List(names.iter().map(ToString::to_string).collect())
    }

    fn granted(names: &[&str]) -> Granted {
        let mut granted = Granted::default();
        granted.set(Field::Roles, names.iter().map(ToString::to_string).collect());
        granted
    }

    fn decide(user: &User, field: Field, wanted: Wanted, change: impl FnOnce(&mut Situation<'_>)) -> Plan {
        decide_with(&Granted::default(), user, field, wanted, change)
    }

    fn decide_with(
        granted: &Granted,
        user: &User,
        field: Field,
        wanted: Wanted,
        change: impl FnOnce(&mut Situation<'_>),
    ) -> Plan {
        let wanted = BTreeMap::from([(field, wanted)]);
        let mut situation = Situation {
            user,
            granted,
            wanted: &wanted,
            owns: &|_| false,
            protected: None,
            keeps_roles: false,
            on_deactivate: OnDeactivate::Deactivate,
            on_email_change: OnEmailChange::Keep,
        };
        change(&mut situation);
        plan(&situation)
    }

    fn update(fields: &[(Field, FieldValue)], granted: Granted, notes: &[Note]) -> Plan {
        Plan::Update { fields: fields.iter().cloned().collect(), granted, notes: notes.to_vec() }
    }

    #[test]
    fn texts_are_written_where_they_differ_and_cleared_where_ziflow_can() {
        let text = |text: &str| FieldValue::Text(text.to_owned());
        let user = user(json!({"phone": "1", "language": "de"}));
        for (field, wanted, written) in [
            (Field::FirstName, Wanted::Set(text("Jo")), None),
            (Field::FirstName, Wanted::Set(text("Joan")), Some(text("Joan"))),
            (Field::Phone, Wanted::Cleared, Some(text(""))),
            (Field::Company, Wanted::Cleared, None),
            (Field::Company, Wanted::Set(text("")), None),
            (Field::Language, Wanted::Cleared, None),
            (Field::Language, Wanted::Set(text("fr")), Some(text("fr"))),
        ] {
            let fields: Vec<_> = written.into_iter().map(|value| (field, value)).collect();
            let expected = update(&fields, Granted::default(), &[]);
            assert_eq!(decide(&user, field, wanted.clone(), |_| {}), expected, "{field} {wanted:?}");
        }
    }

    #[test]
    fn a_role_given_by_hand_stays_and_one_of_ours_goes() {
        for (current, ours, wanted, owns, expected, ours_after) in [
            // hand-made admin, mapping says user: nothing changes, nothing becomes ours
            (vec!["user", "admin"], vec![], vec!["user"], false, None, vec![]),
            (vec!["user", "admin"], vec!["admin"], vec!["user"], false, Some(vec!["user"]), vec![]),
            (
                vec!["user"],
                vec![],
                vec!["user", "manager"],
                false,
                Some(vec!["user", "manager"]),
                vec!["manager"],
            ),
            (vec!["user", "admin"], vec![], vec!["user"], true, Some(vec!["user"]), vec![]),
            (vec!["lite_user"], vec!["lite_user"], vec!["user"], false, Some(vec!["user"]), vec!["user"]),
        ] {
            let user = user(json!({"roles": current}));
            let ours = granted(&ours);
            let wanted_roles = Wanted::Set(roles(&wanted));
            let plan = decide_with(&ours, &user, Field::Roles, wanted_roles, |situation| {
                situation.owns = if owns { &|_| true } else { &|_| false };
            });
            let fields: Vec<_> = expected.iter().map(|names| (Field::Roles, roles(names))).collect();
            assert_eq!(plan, update(&fields, granted(&ours_after), &[]), "{current:?} {wanted:?}");
        }
    }

    #[test]
    fn roles_that_cannot_be_had_end_in_no_more_than_was_asked_for() {
        for (current, ours, wanted, expected, ours_after, note) in [
            // a lite user by hand stays one
            (vec!["lite_user"], vec![], vec!["user"], None, vec![], Note::HandMadeRolesKept),
            // what the bridge granted goes also where lite_user cannot come
            (
                vec!["user", "billing", "admin"],
                vec!["admin"],
                vec!["lite_user"],
                Some(vec!["user", "billing"]),
                vec![],
                Note::HandMadeRolesKept,
            ),
            (vec!["user"], vec!["user"], vec![], None, vec!["user"], Note::LastRoleKept),
            (
                vec!["user", "admin"],
                vec!["user", "admin"],
                vec![],
                Some(vec!["user"]),
                vec!["user"],
                Note::LastRoleKept,
            ),
            (vec!["lite_user"], vec!["lite_user"], vec![], None, vec!["lite_user"], Note::LastRoleKept),
        ] {
            let user = user(json!({"roles": current}));
            let ours = granted(&ours);
            let plan = decide_with(&ours, &user, Field::Roles, Wanted::Set(roles(&wanted)), |_| {});
            let fields: Vec<_> = expected.iter().map(|names| (Field::Roles, roles(names))).collect();
            assert_eq!(plan, update(&fields, granted(&ours_after), &[note]), "{current:?} {wanted:?}");
        }
    }

    #[test]
    fn a_contact_is_disabled_all_the_same() {
        let contact = json!({"id": "1", "email": "jo@example.com"});
        let contact = User::from_contact_json(&contact).unwrap();
        for active in [true, false] {
            let wanted = FieldValue::Boolean(active);
            let plan = decide(&contact, Field::Active, Wanted::Set(wanted.clone()), |_| {});
            assert_eq!(plan, update(&[(Field::Active, wanted)], Granted::default(), &[]));
        }
    }

    #[test]
    fn protected_people_are_out_of_reach() {
        let owner = user(json!({"roles": ["user", "admin"]}));
        let protect = |situation: &mut Situation<'_>| situation.protected = Some(Protection::AccountOwner);
        let off = Wanted::Set(FieldValue::Boolean(false));
        assert_eq!(
            decide(&owner, Field::Active, off, protect),
            Plan::Refuse(Refusal::Deactivate(Protection::AccountOwner))
        );
        let strip = decide(&owner, Field::Roles, Wanted::Set(roles(&["user"])), |situation| {
            protect(situation);
            situation.owns = &|_| true;
        });
        assert_eq!(strip, Plan::Refuse(Refusal::TakeRoles(Protection::AccountOwner)));
    }

    #[test]
    fn an_address_is_never_written() {
        let user = user(json!({}));
        let wanted = |email: &str| Wanted::Set(FieldValue::Text(email.to_owned()));
        let tombstone = "3f9c2d1e5b7a48c6a0d4e8f1b2c37596jo@example.com";
        for (email, policy, expected) in [
            ("JO@example.com", OnEmailChange::Refuse, update(&[], Granted::default(), &[])),
            ("lee@example.com", OnEmailChange::Keep, update(&[], Granted::default(), &[Note::EmailKept])),
            ("lee@example.com", OnEmailChange::Refuse, Plan::Refuse(Refusal::ChangeEmail)),
            (tombstone, OnEmailChange::Refuse, update(&[], Granted::default(), &[Note::TombstoneRename])),
        ] {
            let plan =
                decide(&user, Field::Email, wanted(email), |situation| situation.on_email_change = policy);
            assert_eq!(plan, expected, "{email}");
        }
    }

    #[test]
    fn a_tombstone_name_is_the_old_one_behind_an_object_id() {
        let id = "3f9c2d1e5b7a48c6a0d4e8f1b2c37596";
        assert!(is_tombstone_rename("Alice@example.com", &format!("{id}alice@example.com")));
        assert!(!is_tombstone_rename("bob@example.com", &format!("{id}alice@example.com")));
        assert!(!is_tombstone_rename("alice@example.com", "alice@example.com"));
        assert!(!is_tombstone_rename("é@example.com", "ééééééééééééééééé@example.com"));
    }

    #[test]
    fn a_replacing_update_is_noticed() {
        let before = user(json!({"phone": "1", "roles": ["user"]}));
        let sent = Fields::from([(Field::Phone, FieldValue::Text("2".into()))]);
        let merged = before.clone().with(&sent);
        assert!(lost_by_update(&before, &sent, &merged).is_empty());
        let replaced = json!({"id": "1", "email": "jo@example.com", "phone": "2", "roles": ["lite_user"]});
        let replaced = User::from_json(&replaced).unwrap();
        let lost: Vec<_> = lost_by_update(&before, &sent, &replaced).into_keys().collect();
        assert_eq!(lost, [Field::FirstName, Field::Roles]);
        let by_hand = Fields::from([(Field::Roles, roles(&["user", "admin"]))]);
        let changed_by_hand = before.clone().with(&sent).with(&by_hand);
        assert!(lost_by_update(&before, &sent, &changed_by_hand).is_empty());
    }
}
