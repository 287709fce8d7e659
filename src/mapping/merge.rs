//! From Ziflow to SCIM: what a person shows, and what is kept for the next time.
//!
//! Entra compares what it reads with what it wrote and writes again whatever differs, so everything it wrote
//! comes back as written for as long as Ziflow agrees; where Ziflow says something else, Ziflow is shown.

use serde_json::{Map, Value};

use super::field::{FieldMapping, Outcome, Source};
use super::memory::{Held, Memory};
use super::spec::Direction;
use super::template::Template;
use super::{Fill, Mapping, source, value};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, FieldValue, User};

impl Mapping {
    /// What a person shows. `stored` is the resource as Entra last wrote it, if it ever did.
    pub fn merge(&self, stored: Option<&Resource>, memory: &Memory, user: &User) -> Resource {
        let nothing = Resource::default();
        let stored = stored.unwrap_or(&nothing);
        let mut shown = stored.clone();
        for mapping in self.fields.iter().filter(|mapping| mapping.reads_back()) {
            if !mapping.still_true(stored, memory, user) {
                mapping.show(&mut shown, user.get(mapping.field));
            }
        }
        shown.set(&self.active, Value::from(user.active));
        for fill in &self.fills {
            if !fill.is_cleared(memory) && is_absent(stored, &fill.path) && is_absent(&shown, &fill.path) {
                fill.show(&mut shown, user);
            }
        }
        shown
    }

    /// What is to be stored and remembered after a write. `stored` and `memory` are those from before it,
    /// `before` is the resource as it was shown then, `after` as it was wanted, `user` what Ziflow has now.
    pub fn remember(
        &self,
        stored: Option<&Resource>,
        memory: &Memory,
        before: &Resource,
        after: &Resource,
        user: &User,
    ) -> (Resource, Memory) {
        let mut resource = after.clone();
        let mut kept = Memory::default();
        for mapping in self.fields.iter().filter(|mapping| mapping.reads_back() && mapping.writes()) {
            let held = mapping.hold(memory, before, after, user);
            kept.held.extend(held.map(|held| (mapping.field.name().to_owned(), held)));
        }
        for fill in &self.fills {
            let written = stored.is_some_and(|stored| !is_absent(stored, &fill.path));
            if is_absent(after, &fill.path) {
                if fill.is_cleared(memory) || !is_absent(before, &fill.path) {
                    kept.cleared.insert(fill.path.to_string());
                }
            } else if !written && before.values(&fill.path) == after.values(&fill.path) {
                // Only the template said so: stored, it would outlive the name it was made from.
                resource.remove(&fill.path);
            }
        }
        (resource, kept)
    }
}

impl FieldMapping {
    /// Whether what Entra wrote still describes Ziflow.
    fn still_true(&self, stored: &Resource, memory: &Memory, user: &User) -> bool {
        if self.direction == Direction::ToScim {
            return false;
        }
        let got = user.get(self.field);
        let wanted = match self.outcome(stored, &mut ()) {
            Outcome::Value(value) | Outcome::Unwanted(value, _) => Some(value),
            Outcome::Missing => None,
            // Ziflow was never told, so it cannot disagree.
            Outcome::Omitted | Outcome::Kept => return true,
            Outcome::Refused(_) => return false,
        };
        let held = memory.held.get(self.field.name());
        self.agree(wanted.as_ref(), got.as_ref())
            || held.is_some_and(|held| held.fits(self.field, wanted.as_ref(), got.as_ref()))
    }

    /// Whether Ziflow has what is wanted. A list that the bridge does not own may hold more.
    pub(super) fn agree(&self, wanted: Option<&FieldValue>, got: Option<&FieldValue>) -> bool {
        match (wanted, got) {
            (Some(FieldValue::List(wanted)), Some(FieldValue::List(got))) if !self.owns => {
                wanted.iter().all(|item| got.contains(item))
            }
            (Some(wanted), Some(got)) => value::same(self.field, wanted, got),
            (wanted, got) => wanted.is_none() && got.is_none(),
        }
    }

    /// The difference between Ziflow and what was wanted, if it is one that Entra need not see.
    fn hold(&self, memory: &Memory, before: &Resource, after: &Resource, user: &User) -> Option<Held> {
        let wanted = match self.outcome(after, &mut ()) {
            Outcome::Value(value) | Outcome::Unwanted(value, _) => Some(value),
            Outcome::Missing => None,
            _ => return None,
        };
        let (wanted, got) = (wanted.as_ref(), user.get(self.field));
        let got = got.as_ref();
        let spelling = wanted.is_some() && bare(wanted) == bare(got);
        let was_held =
            memory.held.get(self.field.name()).is_some_and(|held| held.fits(self.field, None, got));
        let uncleared = wanted.is_none() && (self.has_source(before) || was_held);
        let allowed = self.field == Field::Email || spelling || uncleared;
        (allowed && !self.agree(wanted, got)).then(|| Held::new(wanted, got))
    }

    /// Puts Ziflow's value where the field is read from.
    fn show(&self, shown: &mut Resource, got: Option<FieldValue>) {
        if let Source::Template(template) = &self.source {
            return show_parts(template, shown, got.as_ref());
        }
        let Some(path) = self.winner(shown).or_else(|| self.paths().first()).cloned() else { return };
        match got {
            Some(FieldValue::List(items)) => self.show_list(shown, &path, &items),
            None if self.field.is_list() => self.show_list(shown, &path, &[]),
            got => {
                let text = got.as_ref().map(value::texts).and_then(|texts| texts.into_iter().next());
                let word = text.and_then(|text| self.word(&path, &text));
                if !word.is_some_and(|word| shown.set(&path, word)) {
                    self.hide(shown);
                }
            }
        }
    }

    /// Takes away every source: where only the first went, the next would be taken for what Ziflow has.
    fn hide(&self, shown: &mut Resource) {
        for path in self.paths() {
            shown.remove(&self.extent(path));
        }
    }

    /// What the field shows itself in: a list takes the elements whole.
    fn extent(&self, path: &Path) -> Path {
        let mut extent = path.clone();
        extent.sub = extent.sub.filter(|_| !self.field.is_list());
        extent
    }

    /// Elements that still mean something in Ziflow stay as Entra wrote them; the others make room.
    fn show_list(&self, shown: &mut Resource, path: &Path, items: &[String]) {
        let whole = self.extent(path);
        let words = |element: &Value| {
            let value = path.sub.as_ref().map_or(Some(element), |sub| element.get(sub));
            value.and_then(source::text).and_then(|text| self.read(&text, &mut ())).unwrap_or_default()
        };
        let stays = |element: &&Value| {
            let words = words(element);
            !words.is_empty() && words.iter().all(|word| items.contains(word))
        };
        let mut elements: Vec<Value> = shown.values(&whole).into_iter().filter(stays).cloned().collect();
        let said: Vec<String> = elements.iter().flat_map(words).collect();
        let unsaid = items.iter().filter(|item| !said.contains(item));
        elements.extend(unsaid.filter_map(|item| Some(element(path, self.word(path, item)?))));
        if elements.is_empty() || !shown.set(&whole, Value::Array(elements)) {
            self.hide(shown);
        }
    }

    /// SCIM's word for Ziflow's; Ziflow's own where it is legal there.
    fn word(&self, path: &Path, text: &str) -> Option<Value> {
        let word = self.table.as_ref().and_then(|table| table.backwards(text));
        source::typed(path, word.unwrap_or(text))
    }
}

/// Ziflow's text taken apart. Where that cannot be done nothing is known about the parts, so what Entra wrote stays.
fn show_parts(template: &Template<Path>, shown: &mut Resource, got: Option<&FieldValue>) {
    let text = got.map(value::texts).and_then(|texts| texts.into_iter().next()).unwrap_or_default();
    let parts = template.take_apart(&text).unwrap_or_default();
    let word = |(path, text)| Some((path, source::typed(path, text)?));
    let words: Option<Vec<_>> = parts.into_iter().map(word).collect();
    for (path, word) in words.into_iter().flatten() {
        shown.set(path, word);
    }
}

impl Fill {
    fn is_cleared(&self, memory: &Memory) -> bool {
        memory.cleared.contains(&self.path.to_string())
    }

    fn show(&self, shown: &mut Resource, user: &User) {
        let text = self.template.render(|field| Some(value::texts(&user.get(*field)?).join(", ")));
        if let Some(value) = text.and_then(|text| source::typed(&self.path, &text)) {
            shown.set(&self.path, value);
        }
    }
}

fn is_absent(resource: &Resource, path: &Path) -> bool {
    resource.first(path).is_none()
}

fn element(path: &Path, word: Value) -> Value {
    match &path.sub {
        Some(sub) => Value::Object(Map::from_iter([(sub.clone(), word)])),
        None => word,
    }
}

/// A value without what Ziflow may spell its own way: case, blanks, punctuation.
pub(super) fn bare(value: Option<&FieldValue>) -> Vec<String> {
    let texts = value.map(value::texts).unwrap_or_default();
    let bare = |text: String| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let mut texts: Vec<String> = texts.into_iter().map(bare).filter(|text| !text.is_empty()).collect();
    texts.sort();
    texts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::apply::Wanted;
    use super::super::testing::{ORGANIZATION, mapping, resource, shipped, user};
    use super::*;

    /// One person, written by Entra and changed by hand in Ziflow in turn.
    struct Person {
        mapping: Mapping,
        stored: Option<Resource>,
        memory: Memory,
        ziflow: Value,
    }

    impl Person {
        fn new(mapping: Mapping, ziflow: Value) -> Self {
            Self { mapping, stored: None, memory: Memory::default(), ziflow }
        }

        fn shown(&self) -> Resource {
            self.mapping.merge(self.stored.as_ref(), &self.memory, &user(self.ziflow.clone()))
        }

        fn value(&self, path: &str) -> Value {
            let path = Path::parse(path, &crate::scim::schema::USER_TYPE).unwrap();
            self.shown().first(&path).cloned().unwrap_or_default()
        }

        /// Entra creates the person; Ziflow has `ziflow` then.
        fn create(&mut self, scim: Value, ziflow: Value) {
            self.written(&Resource::default(), &resource(scim), ziflow);
        }

        /// Entra sets some attributes, with null takes them away; Ziflow has `ziflow` then.
        fn patch(&mut self, changes: &Value, ziflow: Value) {
            let before = self.shown();
            let mut after = before.clone();
            for (path, value) in changes.as_object().unwrap() {
                let path = Path::parse(path, &crate::scim::schema::USER_TYPE).unwrap();
                match value {
                    Value::Null => drop(after.remove(&path)),
                    value => assert!(after.set(&path, value.clone())),
                }
            }
            self.written(&before, &after, ziflow);
        }

        fn written(&mut self, before: &Resource, after: &Resource, ziflow: Value) {
            let user = user(ziflow.clone());
            let (stored, memory) =
                self.mapping.remember(self.stored.as_ref(), &self.memory, before, after, &user);
            // What is remembered goes through the store.
            let memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
            (self.stored, self.memory, self.ziflow) = (Some(stored), memory, ziflow);
        }
    }

    const WORK: &str = "phoneNumbers[type eq \"work\"].value";
    const MOBILE: &str = "phoneNumbers[type eq \"mobile\"].value";

    fn jo() -> Person {
        let mut jo = Person::new(shipped(), json!({}));
        jo.create(
            json!({
                "userName": "Jo.Lee@Example.com",
                "name": {"givenName": "Jo", "familyName": "Lee"},
                "preferredLanguage": "en-GB",
                "title": "CTO",
                "phoneNumbers": [{"type": "mobile", "value": "+44 20-79"}],
            }),
            ziflow(&json!({})),
        );
        jo
    }

    /// Jo in Ziflow, with changes.
    fn ziflow(changes: &Value) -> Value {
        let mut ziflow = json!({
            "email": "jo.lee@example.com", "first_name": "Jo", "last_name": "Lee", "language": "en",
            "phone": "+44 20-79", "roles": ["user"], "active": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            ziflow[name] = value.clone();
        }
        ziflow
    }

    #[test]
    fn what_entra_wrote_comes_back_as_written() {
        let jo = jo();
        for (path, expected) in [
            ("userName", json!("Jo.Lee@Example.com")),
            ("preferredLanguage", json!("en-GB")),
            (MOBILE, json!("+44 20-79")),
            (WORK, Value::Null),
            ("title", json!("CTO")),
            ("active", json!(true)),
            ("roles", Value::Null),
        ] {
            assert_eq!(jo.value(path), expected, "{path}");
        }
    }

    #[test]
    fn what_somebody_changed_in_ziflow_is_shown() {
        let mut jo = jo();
        jo.ziflow = ziflow(&json!({
            "email": "jo@example.com", "first_name": "Joe", "language": "pt_br", "phone": "1", "company": "Example",
            "timezone": "Europe/Berlin", "active": false,
        }));
        for (path, expected) in [
            ("userName", json!("jo@example.com")),
            ("name.givenName", json!("Joe")),
            ("name.familyName", json!("Lee")),
            ("preferredLanguage", json!("pt-BR")),
            (MOBILE, json!("1")),
            (WORK, Value::Null),
            (ORGANIZATION, json!("Example")),
            ("timezone", json!("Europe/Berlin")),
            ("active", json!(false)),
        ] {
            assert_eq!(jo.value(path), expected, "{path}");
        }
        jo.ziflow = ziflow(&json!({"phone": "", "first_name": null}));
        assert_eq!((jo.value("phoneNumbers"), jo.value("name.givenName")), (Value::Null, Value::Null));
        jo.patch(&json!({WORK: "1", MOBILE: "2"}), ziflow(&json!({"phone": "1"})));
        jo.ziflow["phone"] = Value::Null;
        assert_eq!(jo.value("phoneNumbers"), Value::Null);
        jo.ziflow = ziflow(&json!({}));
        assert_eq!(jo.value("preferredLanguage"), "en-GB");
    }

    #[test]
    fn ziflows_own_spelling_is_not_a_change() {
        let mut jo = jo();
        jo.patch(
            &json!({WORK: "+44 (20) 80", ORGANIZATION: "Example Ltd."}),
            ziflow(&json!({"phone": "+442080", "company": "Other"})),
        );
        assert_eq!((jo.value(WORK), jo.value(ORGANIZATION)), (json!("+44 (20) 80"), json!("Other")));
        jo.patch(&json!({"title": "CEO"}), jo.ziflow.clone());
        assert_eq!(jo.value(WORK), "+44 (20) 80");
        jo.ziflow["phone"] = json!("+442081");
        assert_eq!(jo.value(WORK), "+442081");
    }

    #[test]
    fn a_rename_is_kept_until_ziflow_changes_the_address() {
        let mut jo = jo();
        let tombstone = format!("{}Jo.Lee@Example.com", "0123456789abcdef".repeat(2));
        for name in ["Jo.Ode@Example.com", tombstone.as_str(), "jo"] {
            jo.patch(&json!({"userName": name}), jo.ziflow.clone());
            assert_eq!(jo.value("userName"), name);
            jo.patch(&json!({"title": name}), jo.ziflow.clone());
            assert_eq!(jo.value("userName"), name);
        }
        jo.ziflow["email"] = json!("else@example.com");
        assert_eq!(jo.value("userName"), "else@example.com");
    }

    #[test]
    fn what_ziflow_cannot_clear_stays_absent_until_ziflow_changes_it() {
        let mut jo = jo();
        jo.patch(&json!({"preferredLanguage": null}), ziflow(&json!({})));
        assert_eq!(jo.value("preferredLanguage"), Value::Null);
        jo.patch(&json!({"title": "CEO"}), jo.ziflow.clone());
        assert_eq!(jo.value("preferredLanguage"), Value::Null);
        jo.ziflow["language"] = json!("de");
        assert_eq!(jo.value("preferredLanguage"), "de-DE");
        jo.patch(&json!({"title": "CTO"}), jo.ziflow.clone());
        assert_eq!(jo.value("preferredLanguage"), "de-DE");
    }

    #[test]
    fn what_nobody_wrote_is_shown_and_is_not_held_back() {
        let mut jo = jo();
        jo.patch(&json!({"title": "CEO"}), ziflow(&json!({"company": "Example"})));
        assert_eq!(jo.value(ORGANIZATION), "Example");
    }

    #[test]
    fn what_the_table_leaves_out_comes_back_whatever_ziflow_has() {
        let mut jo = jo();
        jo.patch(
            &json!({"preferredLanguage": "nl-NL", "timezone": "Mars"}),
            ziflow(&json!({"timezone": "UTC"})),
        );
        assert_eq!((jo.value("preferredLanguage"), jo.value("timezone")), (json!("nl-NL"), json!("Mars")));
    }

    #[test]
    fn an_imported_person_shows_what_ziflow_has() {
        let shown = Person::new(shipped(), ziflow(&json!({"company": "Example"}))).shown();
        let expected = json!({
            "userName": "jo.lee@example.com",
            "name": {"givenName": "Jo", "familyName": "Lee"},
            "phoneNumbers": [{"type": "work", "value": "+44 20-79"}],
            ORGANIZATION.rsplit_once(':').unwrap().0: {"organization": "Example"},
            "preferredLanguage": "en-US",
            "active": true,
            "displayName": "Jo Lee",
            "emails": [{"type": "work", "value": "jo.lee@example.com"}],
        });
        assert_eq!(shown.into_json(), expected);
    }

    #[test]
    fn a_template_is_taken_apart_where_ziflow_differs() {
        let entries = "company: { template: '{title} at {nickName}' }";
        let mut jo = Person::new(mapping(entries), json!({"company": "CTO at Acme"}));
        assert_eq!((jo.value("title"), jo.value("nickName")), (json!("CTO"), json!("Acme")));
        jo.create(
            json!({"userName": "jo@example.com", "title": "CEO", "nickName": "Acme"}),
            json!({"company": "CEO at Acme"}),
        );
        for (ziflow, title, nick_name) in [
            ("CEO at Acme", json!("CEO"), json!("Acme")),
            ("CEO of all at Umbrella", json!("CEO of all"), json!("Umbrella")),
            // Nothing is known of the parts, and what Entra wrote is not lost.
            ("Umbrella", json!("CEO"), json!("Acme")),
            ("a at b at c", json!("CEO"), json!("Acme")),
        ] {
            jo.ziflow["company"] = ziflow.into();
            assert_eq!((jo.value("title"), jo.value("nickName")), (title, nick_name), "{ziflow}");
        }
        // As Entra wrote it, although it could not be taken apart.
        let alone = json!({"userName": "jo@example.com", "title": "CEO"});
        jo.create(alone, json!({"company": "CEO at"}));
        assert_eq!((jo.value("title"), jo.value("nickName")), (json!("CEO"), Value::Null));
    }

    #[test]
    fn templates_fill_only_what_was_never_written() {
        let mut jo = jo();
        assert_eq!(jo.value("displayName"), "Jo Lee");
        jo.patch(&json!({"name.givenName": "Joe"}), ziflow(&json!({"first_name": "Joe"})));
        assert_eq!(jo.value("displayName"), "Joe Lee");
        jo.patch(&json!({"displayName": "J. Lee"}), jo.ziflow.clone());
        jo.patch(&json!({"name.givenName": "Jo"}), ziflow(&json!({})));
        assert_eq!(jo.value("displayName"), "J. Lee");
        jo.patch(&json!({"displayName": null}), jo.ziflow.clone());
        jo.patch(&json!({"title": "x"}), jo.ziflow.clone());
        assert_eq!(jo.value("displayName"), Value::Null);
        jo.patch(&json!({"displayName": "Jo"}), jo.ziflow.clone());
        assert_eq!(jo.value("displayName"), "Jo");
    }

    #[test]
    fn a_filled_path_leaves_nothing_in_the_store() {
        let mut jo = jo();
        jo.patch(&json!({"title": "CEO"}), jo.ziflow.clone());
        let stored = jo.stored.unwrap().into_json();
        assert_eq!((stored.get("displayName"), stored.get("emails")), (None, None));
    }

    #[test]
    fn roles_given_by_hand_are_no_difference_unless_the_list_is_owned() {
        let roles = "roles: { from: roles.value, values: { Boss: admin, Member: user }, otherwise: omit, owns: OWNS }";
        let sent = json!({"userName": "jo@example.com", "roles": [{"value": "member", "display": "M"}, {"value": "x"}]});
        for (owns, ziflow, expected) in [
            ("false", json!(["user"]), json!([{"value": "member", "display": "M"}, {"value": "x"}])),
            (
                "false",
                json!(["billing", "user"]),
                json!([{"value": "member", "display": "M"}, {"value": "x"}]),
            ),
            (
                "true",
                json!(["admin", "user"]),
                json!([{"value": "member", "display": "M"}, {"value": "Boss"}]),
            ),
            (
                "true",
                json!(["billing", "user"]),
                json!([{"value": "member", "display": "M"}, {"value": "billing"}]),
            ),
            ("false", json!(["admin"]), json!([{"value": "Boss"}])),
            ("false", json!([]), Value::Null),
        ] {
            let mut jo = Person::new(mapping(&roles.replace("OWNS", owns)), json!({}));
            jo.create(sent.clone(), json!({"roles": ziflow}));
            let shown = jo.shown().into_json();
            assert_eq!(shown.get("roles").cloned().unwrap_or_default(), expected, "{owns} {ziflow}");
        }
    }

    #[test]
    fn a_list_taken_away_stays_away_while_ziflow_keeps_it() {
        let mut jo = Person::new(mapping("group: { from: roles.value }"), json!({}));
        jo.create(
            json!({"userName": "jo@example.com", "roles": [{"value": "a"}]}),
            json!({"group": ["a", "b"]}),
        );
        jo.patch(&json!({"roles": null}), json!({"group": ["b"]}));
        assert_eq!(jo.value("roles"), Value::Null);
        jo.ziflow = json!({"group": ["c"]});
        assert_eq!(jo.value("roles.value"), "c");
    }

    #[test]
    fn an_emptied_list_empties_all_its_sources() {
        let mut jo = Person::new(mapping("group: { from: [roles.value, entitlements.value] }"), json!({}));
        let elements = |value: &str| json!([{"value": value, "display": "D"}]);
        let sent =
            json!({"userName": "jo@example.com", "roles": elements("a"), "entitlements": elements("b")});
        jo.create(sent, json!({"group": ["a"]}));
        assert_eq!((jo.value("roles.value"), jo.value("entitlements.value")), (json!("a"), json!("b")));
        jo.ziflow = json!({"group": []});
        assert_eq!((jo.value("roles"), jo.value("entitlements")), (Value::Null, Value::Null));
    }

    #[test]
    fn rules_are_not_turned_round() {
        let mut jo = jo();
        jo.patch(&json!({"roles": [{"value": "ZiflowAdmin"}]}), ziflow(&json!({"roles": ["user", "admin"]})));
        jo.ziflow = ziflow(&json!({"roles": ["user"]}));
        assert_eq!(jo.value("roles.value"), "ZiflowAdmin");
    }

    #[test]
    fn directions_are_followed() {
        let entries =
            "phone: { from: title, direction: to_scim }\ncompany: { from: nickName, direction: to_ziflow }";
        let mut jo = Person::new(mapping(entries), json!({}));
        let sent = json!({"userName": "jo@example.com", "title": "mine", "nickName": "mine"});
        jo.create(sent, json!({"phone": "theirs", "company": "theirs"}));
        assert_eq!((jo.value("title"), jo.value("nickName")), (json!("theirs"), json!("mine")));
        let mut jo = Person::new(mapping("group: { from: roles.value, direction: to_scim }"), json!({}));
        jo.create(
            json!({"userName": "jo@example.com", "roles": [{"value": "a"}]}),
            json!({"group": ["a", "b"]}),
        );
        assert_eq!(jo.value("roles[value eq \"b\"].value"), "b");
    }

    #[test]
    fn a_word_of_ziflows_is_shown_only_where_it_is_legal() {
        let entries = "language: { from: preferredLanguage, values: { en: en }, otherwise: omit }\n\
                       phone: { from: timezone }";
        for (ziflow, path, expected) in [
            (json!({"language": "fr"}), "preferredLanguage", json!("fr")),
            (json!({"language": "pt_br"}), "preferredLanguage", Value::Null),
            (json!({"phone": "UTC"}), "timezone", json!("UTC")),
            (json!({"phone": "123"}), "timezone", Value::Null),
        ] {
            assert_eq!(Person::new(mapping(entries), ziflow.clone()).value(path), expected, "{ziflow}");
        }
    }

    #[test]
    fn every_language_of_ziflow_is_shown_in_a_form_that_leads_back() {
        let mapping = shipped();
        for language in crate::ziflow::model::LANGUAGES {
            let shown = Person::new(mapping.clone(), json!({"language": language})).shown();
            let wanted = mapping
                .update(&Resource::default(), &shown)
                .map(|mut update| update.wanted.remove(&Field::Language));
            assert_eq!(
                wanted.unwrap(),
                Some(Wanted::Set(FieldValue::Text((*language).into()))),
                "{language}"
            );
        }
    }

    #[test]
    fn memory_is_stable_json_and_tells_nothing_in_logs() {
        let mut jo = jo();
        jo.patch(
            &json!({"userName": "new@example.com", "displayName": null, "preferredLanguage": null}),
            jo.ziflow.clone(),
        );
        let json = json!({
            "held": {
                "email": {"sent": "new@example.com", "got": "jo.lee@example.com"},
                "language": {"sent": null, "got": "en"},
            },
            "cleared": ["displayName"],
        });
        assert_eq!(serde_json::to_value(&jo.memory).unwrap(), json);
        assert_eq!(serde_json::from_value::<Memory>(json!({})).unwrap(), Memory::default());
        assert!(!format!("{:?}", jo.memory).contains("example.com"));
    }

    fn text() -> impl Strategy<Value = String> {
        "[a-zA-Zäé0-9][a-zA-Z0-9 .'-]{0,8}[a-z0-9]"
    }

    prop_compose! {
        fn person()(given in text(), family in text(), title in prop::option::of(text()), work in prop::option::of("[0-9+ ]{3,9}1"),
                    mobile in prop::option::of("[0-9]{1,5}"), company in prop::option::of(text()), zone in prop::option::of("(Europe/Paris|utc|x)"),
                    language in prop::option::of("(en|EN-gb|de-DE|pt-PT|zh-TW|nl)"), admin in any::<bool>()) -> Value {
            let mut person = json!({
                "userName": format!("{}@Example.com", given.replace(' ', "")),
                "name": {"givenName": given, "familyName": family},
                "active": true,
            });
            let phones = [("work", work), ("mobile", mobile)];
            let phones = phones.into_iter().filter_map(|(kind, number)| Some(json!({"type": kind, "value": number?})));
            for (name, value) in [
                ("title", title.map(Value::from)),
                (ORGANIZATION, company.map(Value::from)),
                ("timezone", zone.map(Value::from)),
                ("preferredLanguage", language.map(Value::from)),
                ("phoneNumbers", Some(phones.collect())),
                ("roles", admin.then(|| json!([{"value": "ZiflowAdmin"}]))),
            ] {
                if let Some(value) = value {
                    person[name] = value;
                }
            }
            person
        }
    }

    proptest! {
        #[test]
        fn a_created_person_shows_what_was_sent(sent in person(), tidy in any::<bool>()) {
            let mapping = shipped();
            let sent = resource(sent);
            let mut ziflow = super::super::testing::fields_json(&mapping.create(&sent).unwrap());
            if tidy && let Some(phone) = ziflow.get("phone").and_then(Value::as_str) {
                ziflow["phone"] = phone.replace([' ', '+'], "").into();
            }
            let mut jo = Person::new(mapping, json!({}));
            jo.create(sent.clone().into_json(), ziflow);
            let shown = jo.shown().into_json();
            for (name, value) in sent.as_map() {
                prop_assert_eq!(shown.get(name), Some(value), "{}", name);
            }
        }

        #[test]
        fn writing_back_what_is_shown_changes_nothing(sent in person(), other in person(), stored in any::<bool>()) {
            let mapping = shipped();
            let other = super::super::testing::fields_json(&mapping.create(&resource(other)).unwrap());
            let mut jo = Person::new(mapping, other.clone());
            if stored {
                jo.create(sent, other.clone());
            }
            let shown = jo.shown();
            prop_assert!(jo.mapping.update(&shown, &shown).unwrap().wanted.is_empty());
            jo.written(&shown, &shown, other);
            prop_assert_eq!(jo.shown().into_json(), shown.into_json());
        }
    }
}
