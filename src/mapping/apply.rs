//! From SCIM to Ziflow: what a new person gets, and what an update asks for.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;

use super::field::{FieldMapping, Otherwise, Outcome, Source};
use super::pattern::Pattern;
use super::trace::{Step, Witness};
use super::{Mapping, value};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::ziflow::model::{Field, FieldType, FieldValue, Fields};

/// What an update asks of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Set(FieldValue),
    /// The source is gone, or the mapping leaves out what is there now.
    Cleared,
}

/// What the mapping makes of a change.
#[derive(Debug, Default)]
pub struct Update {
    pub wanted: BTreeMap<Field, Wanted>,
    /// Fields that are left as they are although their new values are refused: the change disables the person.
    pub passed_over: Vec<Field>,
}

/// Why a person cannot be written as asked. Each text is meant for an administrator of Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub field: Field,
    /// The SCIM paths at fault.
    pub path: String,
    pub reason: String,
    pub remedy: String,
}

impl Mapping {
    /// The Ziflow fields of a new person, or every reason why there cannot be one.
    pub fn create(&self, resource: &Resource) -> Result<Fields, Vec<Refusal>> {
        let mut fields = Fields::new();
        let mut refusals = Vec::new();
        for mapping in self.fields.iter().filter(|mapping| mapping.writes()) {
            match mapping.created(resource, &mut ()) {
                Ok(Some(value)) => drop(fields.insert(mapping.field, value)),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() { Ok(fields) } else { Err(refusals) }
    }

    /// What an update asks for: only fields of which this request changed a source, so that what somebody
    /// set by hand in Ziflow is not overwritten by a request about something else. Who is to be disabled is
    /// disabled, whatever else the request asks for: refused, it would leave them their access.
    pub fn update(&self, before: &Resource, after: &Resource) -> Result<Update, Vec<Refusal>> {
        let mut wanted = BTreeMap::new();
        let mut refusals = Vec::new();
        let changed = |mapping: &&FieldMapping| mapping.is_touched(before, after);
        for mapping in self.fields.iter().filter(|mapping| mapping.writes()).filter(changed) {
            match mapping.updated(before, after, &mut ()) {
                Ok(Some(value)) => drop(wanted.insert(mapping.field, value)),
                Ok(None) => {}
                Err(refusal) => refusals.push(refusal),
            }
        }
        if !refusals.is_empty() && !self.disables(before, after) {
            return Err(refusals);
        }
        let passed_over: Vec<Field> = refusals.iter().map(|refusal| refusal.field).collect();
        // Whoever comes back must not find a role that nothing says they have.
        let lists = passed_over.iter().filter(|field| field.is_list());
        wanted.extend(lists.map(|field| (*field, Wanted::Cleared)));
        Ok(Update { wanted, passed_over })
    }

    /// Takes back what a change says about these fields, so that what is refused is not kept either.
    pub fn without(&self, passed_over: &[Field], before: &Resource, after: Resource) -> Resource {
        let mut kept = after;
        let kept_back = |field: Field| passed_over.contains(&field) && !field.is_list();
        let mappings = self.fields.iter().filter(|mapping| kept_back(mapping.field));
        for path in mappings.flat_map(FieldMapping::looks_at) {
            let whole = path.whole();
            let values: Vec<_> = before.values(&whole).into_iter().cloned().collect();
            match values.as_slice() {
                [] => drop(kept.remove(&whole)),
                [value] => drop(kept.set(&whole, value.clone())),
                _ => drop(kept.set(&whole, values.into())),
            }
        }
        kept
    }

    /// Whether a change takes the person's access away.
    pub fn disables(&self, before: &Resource, after: &Resource) -> bool {
        let off = Outcome::Value(FieldValue::Boolean(false));
        let active = self.field(Field::Active).filter(|mapping| mapping.writes());
        active.is_some_and(|active| active.is_touched(before, after) && active.outcome(after, &mut ()) == off)
    }

    /// The e-mail address that a person with this `userName` has in Ziflow; `None` when the mapping takes the
    /// address from anything else, or when what it makes of the name is no address.
    pub fn email_of_user_name(&self, user_name: &str) -> Option<String> {
        let mapping = self.field(Field::Email)?;
        let is_name = |path: &Path| path.schema.is_none() && path.attribute == "userName";
        let decides = match &mapping.source {
            Source::From(paths) => paths.first().is_some_and(is_name),
            Source::Template(template) => template.values().all(is_name),
            Source::Constant(_) | Source::Rules(_) => false,
        };
        let named = json!({ "userName": user_name }).as_object().cloned().unwrap_or_default();
        decides.then(|| address(mapping.outcome(&Resource::from_stored(named), &mut ())))?
    }

    /// The e-mail address that this person has in Ziflow.
    pub fn email_of(&self, resource: &Resource) -> Option<String> {
        address(self.field(Field::Email)?.outcome(resource, &mut ()))
    }
}

impl FieldMapping {
    pub(super) fn created(
        &self,
        resource: &Resource,
        witness: &mut impl Witness,
    ) -> Result<Option<FieldValue>, Refusal> {
        let value = match self.outcome(resource, witness) {
            Outcome::Value(value) => Some(value),
            Outcome::Missing => match (&self.default, &self.otherwise) {
                (Some(default), _) => {
                    witness.note(|| Step::Default { value: default.to_json() });
                    Some(default.clone())
                }
                (None, _) if self.required => return Err(Refusal::missing(self)),
                (None, Otherwise::Value(value)) => {
                    witness.note(|| Step::Otherwise { otherwise: value.to_json() });
                    Some(value.clone())
                }
                (None, _) => None,
            },
            Outcome::Omitted | Outcome::Kept => None,
            Outcome::Refused(refusal) | Outcome::Unwanted(_, refusal) => return Err(refusal),
        };
        // Ziflow takes ids and addresses in one place of the URL: what has no `@` would be taken for an id.
        match &value {
            Some(FieldValue::Text(text)) if self.field == Field::Email && text.matches('@').count() != 1 => {
                Err(Refusal::no_address(self, text))
            }
            _ => Ok(value),
        }
    }

    fn brings_nothing(&self, had: &FieldValue, value: &FieldValue) -> bool {
        match (had, value) {
            (FieldValue::List(had), FieldValue::List(items)) => items.iter().all(|item| had.contains(item)),
            _ => value::same(self.field, had, value),
        }
    }

    pub(super) fn updated(
        &self,
        before: &Resource,
        after: &Resource,
        witness: &mut impl Witness,
    ) -> Result<Option<Wanted>, Refusal> {
        match self.outcome(after, witness) {
            Outcome::Value(value) => Ok(Some(Wanted::Set(value))),
            Outcome::Unwanted(value, refusal) => match self.outcome(before, &mut ()) {
                // Another spelling, or a part, of what the person has already is nothing new.
                Outcome::Unwanted(had, _) if self.brings_nothing(&had, &value) => {
                    Ok(Some(Wanted::Set(value)))
                }
                _ => Err(refusal),
            },
            Outcome::Missing if self.required => Err(Refusal::missing(self)),
            // A PUT that leaves `active` out says nothing about it (RFC 7644 section 3.5.1).
            Outcome::Missing if self.field.field_type() == FieldType::Boolean => Ok(None),
            Outcome::Missing | Outcome::Omitted => Ok(Some(Wanted::Cleared)),
            Outcome::Kept => Ok(None),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }
}

/// Known values that a message lists; a longer list would not fit Entra's log.
const LISTED: usize = 20;

impl Refusal {
    fn new(mapping: &FieldMapping, reason: String, remedy: String) -> Self {
        Self { field: mapping.field, path: mapping.path_names(), reason, remedy }
    }

    fn missing(mapping: &FieldMapping) -> Self {
        let field = mapping.field;
        let default = if field == Field::Email { "" } else { ", or add a default there" };
        let reason = format!("is missing, and mapping.yaml requires it for Ziflow's field {field}");
        let remedy = format!(
            "give the person a value in Entra and check that Entra's mapping sends it; \
             or change user.{field} in mapping.yaml{default}"
        );
        Self::new(mapping, reason, remedy)
    }

    fn no_address(mapping: &FieldMapping, text: &str) -> Self {
        let remedy = "map the person's e-mail address to it in Entra, \
                      or let user.email in mapping.yaml take another attribute";
        let why = if text.contains('@') { "more than one" } else { "no" };
        Self::new(mapping, format!("is no e-mail address: it has {why} at sign"), remedy.to_owned())
    }

    pub(super) fn unmapped(mapping: &FieldMapping, text: &str) -> Self {
        let field = mapping.field;
        let known = mapping.known();
        let more = if known.len() > LISTED { ", …" } else { "" };
        let listed = known.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        let text: String = text.chars().take(80).collect();
        let reason = if known.is_empty() {
            format!("holds `{text}`, which is no time zone of the IANA database")
        } else {
            format!(
                "holds `{text}`, which is none of the values known for Ziflow's field {field}: {listed}{more}"
            )
        };
        let remedy = format!(
            "add a row to user.{field}.values in mapping.yaml, \
             or say with user.{field}.otherwise what is to happen"
        );
        Self::new(mapping, reason, remedy)
    }

    pub(super) fn unwanted(mapping: &FieldMapping, text: &str) -> Self {
        let field = mapping.field;
        let more = if mapping.only.len() > LISTED { ", …" } else { "" };
        let patterns = mapping.only.iter().take(LISTED).map(Pattern::as_str);
        let listed = patterns.collect::<Vec<_>>().join(", ");
        let text: String = text.chars().take(80).collect();
        let reason =
            format!("holds `{text}`, and mapping.yaml takes only {listed}{more} for Ziflow's field {field}");
        let remedy = format!(
            "take the person out of the application's scope in Entra, \
             or add to user.{field}.only in mapping.yaml what is to be taken"
        );
        Self::new(mapping, reason, remedy)
    }

    pub(super) fn mixed_lite_user(mapping: &FieldMapping) -> Self {
        let reason = "gives lite_user together with other roles, \
                      and Ziflow sells the lite user as a seat of its own";
        let remedy = "assign the person either the lite role or the others in Entra";
        Self::new(mapping, reason.to_owned(), remedy.to_owned())
    }

    pub(super) fn no_rule(mapping: &FieldMapping) -> Self {
        let field = mapping.field;
        let reason = format!("fits none of the rules for Ziflow's field {field}");
        let remedy = format!(
            "add a rule to user.{field}.rules in mapping.yaml, \
             or say with user.{field}.otherwise what is to happen"
        );
        Self::new(mapping, reason, remedy)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.path, self.reason, self.remedy)
    }
}

fn address(outcome: Outcome) -> Option<String> {
    match outcome {
        // Who is there already is found whatever `only` says.
        Outcome::Value(FieldValue::Text(text)) | Outcome::Unwanted(FieldValue::Text(text), _)
            if text.contains('@') =>
        {
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{ORGANIZATION, fields_json, mapping, resource, shipped};
    use super::*;

    fn create(mapping: &Mapping, mut scim: Value) -> Result<Value, Vec<String>> {
        if scim.get("userName").is_none() {
            scim["userName"] = json!("Jo@Example.com");
        }
        let refusals = |refusals: Vec<Refusal>| refusals.iter().map(ToString::to_string).collect();
        mapping.create(&resource(scim)).map(|fields| fields_json(&fields)).map_err(refusals)
    }

    /// What is created beside the address.
    fn created(entries: &str, scim: Value) -> Value {
        let mut fields = create(&mapping(entries), scim).unwrap();
        fields.as_object_mut().unwrap().remove("email");
        fields
    }

    fn updated(entries: &str, before: Value, after: Value) -> Value {
        let wanted = mapping(entries).update(&resource(before), &resource(after)).unwrap().wanted;
        let value = |wanted: Wanted| match wanted {
            Wanted::Set(value) => value.to_json(),
            Wanted::Cleared => Value::Null,
        };
        wanted.into_iter().map(|(field, wanted)| (field.name().to_owned(), value(wanted))).collect()
    }

    #[test]
    fn each_source_gives_its_value() {
        let names = json!({"name": {"givenName": "Jo", "familyName": " "}, "title": "CTO"});
        let phones =
            json!({"phoneNumbers": [{"type": "mobile", "value": "2"}, {"type": "work", "value": "1"}]});
        let two = "phone: { from: ['phoneNumbers[type eq \"work\"].value', 'phoneNumbers[type eq \"mobile\"].value'] }";
        for (entries, scim, expected) in [
            ("phone: { from: title }", &names, json!({"phone": "CTO"})),
            ("phone: { from: nickName }", &names, json!({})),
            ("phone: { from: [name.familyName, title] }", &names, json!({"phone": "CTO"})),
            (two, &phones, json!({"phone": "1"})),
            (two, &json!({"phoneNumbers": [{"type": "mobile", "value": "2"}]}), json!({"phone": "2"})),
            (
                "phone: { template: '{name.givenName} {name.familyName} ({title})' }",
                &names,
                json!({"phone": "Jo (CTO)"}),
            ),
            ("phone: { template: '{nickName}/{displayName}' }", &names, json!({})),
            ("phone: { value: '1' }", &names, json!({"phone": "1"})),
            ("phone: { from: active }", &json!({"active": "True"}), json!({"active": true, "phone": "true"})),
            (
                "phone: { from: title, transform: [lowercase, { replace: { pattern: '^c', with: 'k' } }] }",
                &names,
                json!({"phone": "kto"}),
            ),
            (
                "phone: { from: title, transform: { replace: { pattern: '.', with: '' } }, default: '7' }",
                &names,
                json!({"phone": "7"}),
            ),
            (
                "group: { from: roles.value }",
                &json!({"roles": [{"value": "a"}, {"value": "b"}, {"value": "a"}]}),
                json!({"group": ["a", "b"]}),
            ),
            (
                "timezone: { from: timezone }",
                &json!({"timezone": "europe/BERLIN"}),
                json!({"timezone": "Europe/Berlin"}),
            ),
            ("language: { from: locale }", &json!({"locale": " DE "}), json!({"language": "de"})),
            ("phone: { from: title, direction: to_scim }", &names, json!({})),
        ] {
            assert_eq!(created(entries, scim.clone()), expected, "{entries}");
        }
    }

    #[test]
    fn rules_are_tried_in_order() {
        let rules = "roles:\n  rules:\n    - { when: 'roles.value eq \"Boss\"', value: [user, admin] }\n    \
                     - { when: 'userType eq \"Contractor\"', value: [lite_user] }\n";
        let boss = json!({"roles": [{"value": "other"}, {"value": "boss"}], "userType": "Contractor"});
        let contractor = json!({"userType": "contractor"});
        for (otherwise, scim, expected) in [
            ("omit", boss, json!({"roles": ["user", "admin"]})),
            ("omit", contractor, json!({"roles": ["lite_user"]})),
            ("omit", json!({}), json!({})),
            ("keep", json!({}), json!({})),
            ("[user]", json!({}), json!({"roles": ["user"]})),
        ] {
            let entries = format!("{rules}  otherwise: {otherwise}");
            assert_eq!(created(&entries, scim), expected, "{otherwise}");
        }
        let refused = create(&mapping(rules), json!({})).unwrap_err();
        assert_eq!(
            refused,
            [
                "roles.value, userType fits none of the rules for Ziflow's field roles; add a rule to user.roles.rules in mapping.yaml, or say with user.roles.otherwise what is to happen"
            ]
        );
    }

    #[test]
    fn otherwise_decides_about_unknown_and_missing_values() {
        let language = "language: { from: preferredLanguage, values: { en: en, de: de }";
        let roles =
            "roles: { from: roles.value, values: { Boss: [user, admin], Member: user, Lite: lite_user }";
        let some = json!({"roles": [{"value": "x"}, {"value": "Member"}]});
        for (entry, otherwise, scim, expected) in [
            (language, "otherwise: omit", json!({"preferredLanguage": "fr"}), json!({})),
            (language, "otherwise: keep", json!({"preferredLanguage": "fr"}), json!({})),
            (language, "otherwise: en", json!({"preferredLanguage": "fr"}), json!({"language": "en"})),
            (language, "otherwise: en", json!({}), json!({"language": "en"})),
            (language, "otherwise: en, default: de", json!({}), json!({"language": "de"})),
            (language, "otherwise: refuse", json!({}), json!({})),
            (language, "otherwise: omit", json!({"preferredLanguage": " DE "}), json!({"language": "de"})),
            (roles, "otherwise: omit", some.clone(), json!({"roles": ["user"]})),
            (roles, "otherwise: keep", some.clone(), json!({})),
            (roles, "otherwise: [manager]", some, json!({"roles": ["manager", "user"]})),
            (roles, "otherwise: omit", json!({"roles": [{"value": "x"}]}), json!({})),
        ] {
            assert_eq!(created(&format!("{entry}, {otherwise} }}"), scim), expected, "{otherwise}");
        }
    }

    #[test]
    fn refusals_name_the_path_the_reason_and_the_remedy() {
        let language = "language: { from: preferredLanguage, values: { en: en, 'de-*': de } }";
        let zone = "timezone: { from: timezone }";
        let roles = "roles: { from: roles.value }";
        let row = |field: &str| {
            format!(
                "add a row to user.{field}.values in mapping.yaml, or say with user.{field}.otherwise what is to happen"
            )
        };
        for (entries, scim, expected) in [
            (language, json!({"preferredLanguage": "fr"}), format!("preferredLanguage holds `fr`, which is none of the values known for Ziflow's field language: en, de-*; {}", row("language"))),
            (zone, json!({"timezone": "W. Europe Standard Time"}), format!("timezone holds `W. Europe Standard Time`, which is no time zone of the IANA database; {}", row("timezone"))),
            (roles, json!({"roles": [{"value": "boss"}]}), format!("roles.value holds `boss`, which is none of the values known for Ziflow's field roles: admin, manager, billing, user, lite_user; {}", row("roles"))),
            (roles, json!({"roles": [{"value": "user"}, {"value": "lite_user"}]}), "roles.value gives lite_user together with other roles, and Ziflow sells the lite user as a seat of its own; assign the person either the lite role or the others in Entra".to_owned()),
            ("phone: { from: [title, nickName], required: true }", json!({"title": " "}), "title, nickName is missing, and mapping.yaml requires it for Ziflow's field phone; give the person a value in Entra and check that Entra's mapping sends it; or change user.phone in mapping.yaml, or add a default there".to_owned()),
            ("phone: { value: '1' }", json!({"userName": "jo"}), "userName is no e-mail address: it has no at sign; map the person's e-mail address to it in Entra, or let user.email in mapping.yaml take another attribute".to_owned()),
        ] {
            assert_eq!(create(&mapping(entries), scim).unwrap_err(), [expected]);
        }
    }

    #[test]
    fn every_refusal_is_told_at_once() {
        let refusals = shipped().create(&resource(json!({"userName": "jo"}))).unwrap_err();
        let fields: Vec<Field> = refusals.iter().map(|refusal| refusal.field).collect();
        assert_eq!(fields, [Field::Email, Field::FirstName, Field::LastName]);
    }

    #[test]
    fn a_list_of_known_values_ends_somewhere() {
        let rows: Vec<String> = (0..30).map(|index| format!("w{index}: x")).collect();
        let entries =
            format!("phone: {{ from: title, values: {{ {} }}, direction: to_ziflow }}", rows.join(", "));
        let refused = create(&mapping(&entries), json!({"title": "z".repeat(200)})).unwrap_err();
        assert!(refused[0].contains("w19, …") && !refused[0].contains("w20"), "{refused:?}");
        assert!(refused[0].contains(&"z".repeat(80)) && !refused[0].contains(&"z".repeat(81)));
    }

    #[test]
    fn an_update_asks_only_for_what_changed() {
        let roles = "roles: { rules: [{ when: 'title eq \"x\"', value: [admin] }], otherwise: [user] }";
        let omitting = "roles: { rules: [{ when: 'title eq \"x\"', value: [admin] }], otherwise: omit }";
        let keeping = "roles: { rules: [{ when: 'title eq \"x\"', value: [admin] }], otherwise: keep }";
        let language = "language: { from: preferredLanguage, values: { en: en }, otherwise: omit }";
        let two = "phone: { from: [title, nickName] }";
        for (entries, before, after, expected) in [
            (
                "phone: { from: title }",
                json!({"title": "a"}),
                json!({"title": "a", "nickName": "b"}),
                json!({}),
            ),
            ("phone: { from: title }", json!({"title": "a"}), json!({"title": "b"}), json!({"phone": "b"})),
            ("phone: { from: title }", json!({}), json!({"title": "b"}), json!({"phone": "b"})),
            ("phone: { from: title }", json!({"title": "a"}), json!({}), json!({"phone": null})),
            (
                "phone: { from: title, default: '7' }",
                json!({"title": "a"}),
                json!({}),
                json!({"phone": null}),
            ),
            (two, json!({"title": "a", "nickName": "b"}), json!({"title": "a", "nickName": "c"}), json!({})),
            (two, json!({"title": "a", "nickName": "b"}), json!({"nickName": "b"}), json!({"phone": "b"})),
            (
                "phone: { from: emails.value, direction: to_ziflow }",
                json!({"emails": [{"value": "a"}, {"value": "b"}]}),
                json!({"emails": [{"value": "a"}, {"value": "c"}]}),
                json!({}),
            ),
            (
                "phone: { template: '{title}{nickName}' }",
                json!({"title": "a"}),
                json!({"nickName": "b"}),
                json!({"phone": "b"}),
            ),
            ("phone: { template: '{title}' }", json!({"title": "a"}), json!({}), json!({"phone": null})),
            ("phone: { value: '1' }", json!({"title": "a"}), json!({"title": "b"}), json!({})),
            (
                "phone: { from: title, direction: to_scim }",
                json!({"title": "a"}),
                json!({"title": "b"}),
                json!({}),
            ),
            (roles, json!({"title": "x"}), json!({"title": "x", "nickName": "n"}), json!({})),
            (roles, json!({"title": "x"}), json!({"title": "y"}), json!({"roles": ["user"]})),
            (roles, json!({"title": "y"}), json!({"title": "x"}), json!({"roles": ["admin"]})),
            (omitting, json!({"title": "x"}), json!({"title": "y"}), json!({"roles": null})),
            (keeping, json!({"title": "x"}), json!({"title": "y"}), json!({})),
            (
                language,
                json!({"preferredLanguage": "en"}),
                json!({"preferredLanguage": "fr"}),
                json!({"language": null}),
            ),
            (language, json!({"preferredLanguage": "en"}), json!({}), json!({"language": null})),
            (
                "phone: { value: '1' }",
                json!({"active": true}),
                json!({"active": false}),
                json!({"active": false}),
            ),
            ("phone: { value: '1' }", json!({"active": true}), json!({}), json!({})),
        ] {
            assert_eq!(updated(entries, before, after), expected, "{entries}");
        }
    }

    #[test]
    fn an_update_is_refused_where_a_required_source_is_gone() {
        let mapping = mapping("language: { from: locale }\nphone: { from: title, required: true }");
        let before = resource(json!({"title": "a", "locale": "en"}));
        let refusals = mapping.update(&before, &resource(json!({"locale": "xx"}))).unwrap_err();
        let fields: Vec<Field> = refusals.iter().map(|refusal| refusal.field).collect();
        assert_eq!(fields, [Field::Phone, Field::Language]);
        assert!(mapping.update(&resource(json!({})), &resource(json!({}))).unwrap().wanted.is_empty());
    }

    #[test]
    fn only_some_texts_are_taken() {
        let entry = |otherwise: &str| {
            format!(
                "company: {{ from: title, transform: [lowercase], only: [a*, '*-x'], otherwise: {otherwise} }}"
            )
        };
        for (otherwise, title, expected) in [
            ("refuse", "Acme", json!({"company": "acme"})),
            ("refuse", "b-X ", json!({"company": "b-x "})),
            ("refuse", "", json!({})),
            ("omit", "b", json!({})),
            ("keep", "b", json!({})),
            ("other", "b", json!({"company": "other"})),
        ] {
            assert_eq!(created(&entry(otherwise), json!({"title": title})), expected, "{otherwise} {title}");
        }
        let refused = create(&mapping(&entry("refuse")), json!({"title": "B"})).unwrap_err();
        let told = "title holds `b`, and mapping.yaml takes only a*, *-x for Ziflow's field company; take the person out of \
                    the application's scope in Entra, or add to user.company.only in mapping.yaml what is to be taken";
        assert_eq!(refused, [told]);
        let groups = "group: { from: roles.value, only: 'Ziflow *', otherwise: omit }";
        let roles = json!({"roles": [{"value": "ziflow design"}, {"value": "Other"}]});
        assert_eq!(created(groups, roles), json!({"group": ["ziflow design"]}));
    }

    const DOMAIN: &str = "user:\n  email: { from: userName, transform: [trim, lowercase], only: '*@example.com' }\n  \
                          active: { from: active }\n  language: { from: preferredLanguage }\n";

    #[test]
    fn who_is_outside_the_domain_is_refused_and_never_kept_from_being_disabled() {
        let (mapping, _) = Mapping::compile(DOMAIN).unwrap();
        let person = |name: &str, active: bool, language: &str| {
            resource(json!({"userName": name, "active": active, "preferredLanguage": language}))
        };
        let jo = person("jo@example.com", true, "de");
        let stranger = person("jo@other.org", true, "de");
        for (before, after, expected) in [
            (&jo, person("lee@example.com", true, "de"), Ok(vec![Field::Email])),
            (&jo, person("jo@example.com.org", true, "de"), Err(())),
            // Who was there before the rule is left in peace.
            (&stranger, person("jo@other.org", true, "en"), Ok(vec![Field::Language])),
            (&stranger, person(" JO@Other.org", true, "en"), Ok(vec![Field::Email, Field::Language])),
            (&stranger, person("lee@other.org", true, "de"), Err(())),
            (&stranger, person("jo@other.org", false, "de"), Ok(vec![Field::Active])),
            // Entra's soft deletion renames and disables in one request.
            (&stranger, person("0123jo@other.org", false, "xx"), Ok(vec![Field::Active])),
            (&jo, person("jo@example.com", true, "xx"), Err(())),
        ] {
            let update = mapping.update(before, &after).map_err(drop);
            let got = update.map(|update| update.wanted.into_keys().collect::<Vec<_>>());
            assert_eq!(got, expected, "{after:?}");
        }
        let update = mapping.update(&stranger, &person("0123jo@other.org", false, "xx")).unwrap();
        assert_eq!(update.passed_over, [Field::Email, Field::Language]);
        // What is refused is not kept in SCIM either.
        let after = person("0123jo@other.org", false, "xx");
        let kept = mapping.without(&update.passed_over, &stranger, after);
        assert_eq!(kept.into_json(), person("jo@other.org", false, "de").into_json());
    }

    #[test]
    fn what_is_passed_over_is_taken_back_whole() {
        let mapping =
            mapping("group: { from: roles.value, only: a }\nphone: { from: [title, nickName], only: a }");
        let before = resource(json!({"roles": [{"value": "a"}], "nickName": "x", "active": true}));
        let after = resource(json!({"roles": [{"value": "c"}], "title": "t", "active": false}));
        let update = mapping.update(&before, &after).unwrap();
        // Of a list, what the bridge gave is taken away: whoever comes back must not find it.
        assert_eq!(update.wanted.get(&Field::Group), Some(&Wanted::Cleared));
        let kept = mapping.without(&update.passed_over, &before, after).into_json();
        assert_eq!((kept.get("title"), &kept["nickName"]), (None, &json!("x")));
        assert_eq!((&kept["roles"], &kept["active"]), (&json!([{"value": "c"}]), &json!(false)));
    }

    #[test]
    fn what_is_taken_away_from_a_list_is_taken_whatever_else_is_in_it() {
        let mapping = mapping("roles: { from: roles.value, only: [user, lite_user] }");
        let person = |roles: &[&str]| {
            resource(json!({"roles": roles.iter().map(|role| json!({"value": role})).collect::<Vec<_>>()}))
        };
        let before = person(&["admin", "manager", "user"]);
        let wanted = |after: &Resource| mapping.update(&before, after).map(|update| update.wanted);
        let fewer = Wanted::Set(FieldValue::List(vec!["manager".to_owned(), "user".to_owned()]));
        assert_eq!(wanted(&person(&["manager", "user"])).unwrap().get(&Field::Roles), Some(&fewer));
        assert!(wanted(&person(&["manager", "user", "billing"])).is_err());
    }

    #[test]
    fn who_is_outside_the_domain_is_found_all_the_same() {
        let (mapping, _) = Mapping::compile(DOMAIN).unwrap();
        assert_eq!(mapping.email_of_user_name(" Jo@Other.org").as_deref(), Some("jo@other.org"));
    }

    #[test]
    fn the_user_name_decides_the_address_only_when_it_comes_first() {
        for (email, user_name, expected) in [
            ("from: userName", "Jo@Example.com", Some("jo@example.com")),
            ("from: userName, transform: [trim]", " Jo@Example.com ", Some("jo@example.com")),
            ("from: [USERNAME, title]", "a@b", Some("a@b")),
            ("from: userName", "jo", None),
            ("from: [title, userName]", "a@b", None),
            ("from: 'emails[type eq \"work\"].value'", "a@b", None),
            ("template: '{userName}@b'", "a", Some("a@b")),
            ("template: '{userName}@{title}'", "a", None),
        ] {
            let (mapping, _) = Mapping::compile(&format!("user:\n  email: {{ {email} }}\n")).unwrap();
            assert_eq!(mapping.email_of_user_name(user_name).as_deref(), expected, "{email}");
        }
    }

    #[test]
    fn the_address_of_a_person_is_what_a_create_would_send() {
        let mapping = shipped();
        let address = |user_name: &str| mapping.email_of(&resource(json!({"userName": user_name})));
        assert_eq!(address(" Jo@Example.com").as_deref(), Some("jo@example.com"));
        assert_eq!(address("jo"), None);
    }

    #[test]
    fn every_language_of_ziflow_is_reached_from_entra() {
        let mapping = shipped();
        for (sent, expected) in [
            ("en", "en"),
            ("en-US", "en"),
            ("en-GB", "en"),
            ("de-CH", "de"),
            ("es-MX", "es"),
            ("fr-CA", "fr"),
            ("ja-JP", "ja"),
            ("pt", "pt_br"),
            ("pt-PT", "pt_br"),
            ("zh-CN", "zh_cn"),
            ("zh-Hans-CN", "zh_cn"),
            ("ZH-hans", "zh_cn"),
            ("zh-TW", ""),
            ("nl-NL", ""),
        ] {
            let fields = create(
                &mapping,
                json!({"preferredLanguage": sent, "name": {"givenName": "J", "familyName": "L"}}),
            )
            .unwrap();
            assert_eq!(
                fields.get("language").and_then(Value::as_str).unwrap_or_default(),
                expected,
                "{sent}"
            );
        }
    }

    #[test]
    fn no_role_but_the_apps_own_makes_an_administrator() {
        let mapping = shipped();
        for (roles, expected) in [
            (json!([]), json!(["user"])),
            (json!([{"value": "Admin"}]), json!(["user"])),
            (json!([{"value": "admin"}]), json!(["user"])),
            (json!([{"value": "x", "display": "ZiflowAdmin"}]), json!(["user"])),
            (json!([{"value": "Ziflow Admin"}]), json!(["user", "admin"])),
            (json!([{"value": "ZiflowLiteUser"}]), json!(["lite_user"])),
            (json!([{"value": "ZiflowManager"}, {"value": "ZiflowLiteUser"}]), json!(["user", "manager"])),
        ] {
            let scim = json!({"roles": roles, "name": {"givenName": "J", "familyName": "L"}});
            assert_eq!(create(&mapping, scim).unwrap()["roles"], expected, "{roles}");
        }
        assert!(!mapping.owns(Field::Roles));
    }

    #[test]
    fn an_organization_becomes_the_company() {
        let scim = json!({ORGANIZATION: "Example", "name": {"givenName": "J", "familyName": "L"}});
        assert_eq!(create(&shipped(), scim).unwrap()["company"], "Example");
    }
}
