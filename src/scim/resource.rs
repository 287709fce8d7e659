//! A resource as a checked JSON object: attribute names in canonical spelling, values of the schema's types,
//! nothing empty in it. It can be looked into, changed and shown by path. It keeps no `id` and no `meta`:
//! those are the service's, and join in when the resource is shown.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::scim::check;
use crate::scim::compare::{self, Subject};
use crate::scim::edit::{listed, put, remove_selected, set_member, set_selected, set_sub, slot, take};
use crate::scim::error::Error;
use crate::scim::path::{Path, is_urn};
use crate::scim::schema::{ResourceType, Returned};

/// A checked resource.
#[derive(Clone, Default, PartialEq)]
pub struct Resource(Map<String, Value>);

/// Something in a request that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// As the client wrote it, shortened.
    pub attribute: String,
}

/// What the service knows about a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub id: String,
    pub location: String,
    pub created: Option<String>,
    pub last_modified: Option<String>,
    pub version: Option<String>,
}

impl Resource {
    /// Reads the body of a create or replace. What the client may not set is dropped as RFC 7644 section 3.3
    /// asks, without a word; what this service does not know is dropped with a warning.
    pub fn from_body(body: Value, rt: &'static ResourceType) -> Result<(Self, Vec<Warning>), Error> {
        let (resource, warnings) = Self::from_part(body, rt)?;
        check::required(&resource, rt)?;
        Ok((resource, warnings))
    }

    /// The same for a body in which required attributes may be missing, as in an example of a mapping.
    pub fn from_part(body: Value, rt: &'static ResourceType) -> Result<(Self, Vec<Warning>), Error> {
        let mut warnings = Vec::new();
        let mut resource = check::body(body, rt, &mut warnings)?;
        resource.refresh_schemas(rt);
        Ok((resource, warnings))
    }

    /// Takes back what `as_map` showed; it was checked then.
    pub fn from_stored(map: Map<String, Value>) -> Self {
        Self(map)
    }

    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    /// Every value at the path; a multi-valued attribute gives each of its values.
    pub fn values(&self, path: &Path) -> Vec<&Value> {
        let mut found = Vec::new();
        compare::any(path, Subject::Resource(&self.0), &mut |value| {
            found.push(value);
            false
        });
        found
    }

    /// The first value at the path.
    pub fn first(&self, path: &Path) -> Option<&Value> {
        let mut found = None;
        compare::any(path, Subject::Resource(&self.0), &mut |value| {
            found = Some(value);
            true
        });
        found
    }

    /// The first value at the path, if it is a text.
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.first(path)?.as_str()
    }

    /// Puts a value of the right type at the path and says whether there was a place for it: where a filter
    /// selects nothing, the value it describes is created, and not every filter describes one.
    pub fn set(&mut self, path: &Path, value: Value) -> bool {
        if path.is_schema_object() {
            return path.schema.as_deref().is_some_and(|urn| put(&mut self.0, urn, value));
        }
        let Some(root) = self.root_mut(path) else { return false };
        let many = path.definition().map(|attribute| attribute.multi_valued);
        let placed = match (&path.filter, &path.sub) {
            (None, None) => put(root, &path.attribute, listed(value, many)),
            (None, Some(sub)) => set_sub(slot(root, &path.attribute), sub, value, many),
            (Some(filter), sub) => {
                set_selected(slot(root, &path.attribute), filter, sub.as_deref(), value, many)
            }
        };
        self.prune(path);
        placed
    }

    /// Takes away what is at the path, and whatever has nothing left in it then. Says whether there was
    /// anything.
    pub fn remove(&mut self, path: &Path) -> bool {
        if path.is_schema_object() {
            return path.schema.as_deref().is_some_and(|urn| take(&mut self.0, urn).is_some());
        }
        let found = self.first(path).is_some();
        if found && let Some(root) = self.root_mut(path) {
            match (&path.filter, &path.sub) {
                (None, None) => drop(take(root, &path.attribute)),
                (filter, sub) => {
                    remove_selected(
                        slot(root, &path.attribute),
                        filter.as_deref(),
                        sub.as_deref(),
                        path.definition(),
                    );
                }
            }
        }
        self.prune(path);
        found
    }

    /// The resource as the client sees it: complete, in a steady order, with what only the service knows.
    #[must_use]
    pub fn representation(&self, rt: &'static ResourceType, meta: &Meta) -> Self {
        let mut shown = Map::new();
        shown.insert("schemas".into(), self.schemas(rt));
        shown.insert("id".into(), meta.id.as_str().into());
        let core = rt.schema.attributes.iter().filter(|attribute| attribute.returned != Returned::Never);
        let names = std::iter::once("externalId").chain(core.map(|attribute| attribute.name));
        for name in names.chain(self.extensions(rt)) {
            if let Some(value) = self.0.get(name) {
                shown.insert(name.to_owned(), value.clone());
            }
        }
        shown.insert("meta".into(), meta.to_json(rt));
        Self(shown)
    }

    /// What stands at the path's attribute as a whole.
    pub(super) fn attribute(&self, path: &Path) -> Option<&Value> {
        compare::in_resource(&self.0, path)
    }

    /// Which values of the path's attribute are marked primary.
    pub(super) fn primaries(&self, path: &Path) -> Vec<usize> {
        let values = self.attribute(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let primary = |(index, value): (usize, &Value)| is_primary(value).then_some(index);
        values.iter().enumerate().filter_map(primary).collect()
    }

    /// RFC 7644 section 3.5.2: a value that becomes primary takes the mark from the one that was.
    pub(super) fn keep_one_primary(&mut self, path: &Path, before: &[usize]) -> Result<(), Error> {
        if path.definition().is_none_or(|attribute| attribute.sub("primary").is_none()) {
            return Ok(());
        }
        let now = self.primaries(path);
        let fresh: Vec<_> = now.iter().copied().filter(|index| !before.contains(index)).collect();
        let kept = match fresh.as_slice() {
            [] => return Ok(()),
            [only] => *only,
            _ => {
                return Err(Error::invalid_value(format!(
                    "{path} marks several values primary: mark one at most"
                )));
            }
        };
        let root = self.root_mut(path).and_then(|root| slot(root, &path.attribute).as_array_mut());
        for (index, value) in root.into_iter().flatten().enumerate() {
            if index != kept && is_primary(value) {
                set_member(value, "primary", Value::Bool(false));
            }
        }
        Ok(())
    }

    /// Drops values of which only labels are left, as when an e-mail address was taken out of its element.
    pub(super) fn drop_bare_values(&mut self, rt: &'static ResourceType) {
        for attribute in rt.schema.attributes.iter().filter(|attribute| attribute.multi_valued) {
            if let Some(Value::Array(items)) = self.0.get_mut(attribute.name) {
                items.retain(|item| !check::is_bare(Some(attribute), item));
                self.prune(&Path::of(None, attribute));
            }
        }
    }

    /// Recomputes `schemas` from what there is: clients' lists are often wrong (RFC 7643 section 3 wants it
    /// right).
    pub(super) fn refresh_schemas(&mut self, rt: &'static ResourceType) {
        let schemas = self.schemas(rt);
        self.0.shift_insert(0, "schemas".into(), schemas);
    }

    fn schemas(&self, rt: &'static ResourceType) -> Value {
        std::iter::once(rt.schema.id).chain(self.extensions(rt)).collect()
    }

    /// The URNs under which there is anything, always in the same order: the declared ones as declared, the
    /// others as they sort.
    fn extensions(&self, rt: &'static ResourceType) -> impl Iterator<Item = &str> {
        let declared = rt.extensions.iter().map(|schema| schema.id).filter(|urn| self.0.contains_key(*urn));
        let others =
            self.0.keys().map(String::as_str).filter(|name| is_urn(name) && rt.schema_of(name).is_none());
        let mut others: Vec<_> = others.collect();
        others.sort_unstable();
        declared.chain(others)
    }

    /// The object that holds the path's attribute; made when it is missing.
    fn root_mut(&mut self, path: &Path) -> Option<&mut Map<String, Value>> {
        match &path.schema {
            None => Some(&mut self.0),
            Some(urn) => {
                let object = slot(&mut self.0, urn);
                if object.is_null() {
                    *object = json!({});
                }
                object.as_object_mut()
            }
        }
    }

    /// Removes the path's attribute and schema object when nothing is in them.
    fn prune(&mut self, path: &Path) {
        let empty = |map: &mut Map<String, Value>, name: &str| {
            if compare::member(map, name).is_some_and(compare::is_absent) {
                take(map, name);
            }
        };
        let Some(root) = self.root_mut(path) else { return };
        empty(root, &path.attribute);
        if let Some(urn) = &path.schema {
            empty(&mut self.0, urn);
        }
    }
}

/// Names only: values are personal data.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resource")?;
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Warning {
    /// A hostile name must not fill a log line.
    pub(super) fn new(attribute: impl fmt::Display) -> Self {
        let shown = attribute.to_string();
        Self { attribute: shown.chars().filter(|c| !c.is_control()).take(120).collect() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no attribute of this service and was ignored", self.attribute)
    }
}

impl Meta {
    fn to_json(&self, rt: &ResourceType) -> Value {
        let mut shown = Map::from_iter([("resourceType".to_owned(), rt.id.into())]);
        let optional = [("created", &self.created), ("lastModified", &self.last_modified)];
        for (name, value) in optional {
            if let Some(value) = value {
                shown.insert(name.into(), value.as_str().into());
            }
        }
        shown.insert("location".into(), self.location.as_str().into());
        if let Some(version) = &self.version {
            shown.insert("version".into(), version.as_str().into());
        }
        Value::Object(shown)
    }
}

fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    const SAMPLE: &str = include_str!("../../tests/rfc/7643-8.3-enterprise-user.json");
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn path(text: &str) -> Path {
        Path::parse(text, &USER_TYPE).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn stored(value: &Value) -> Resource {
        Resource::from_stored(value.as_object().unwrap().clone())
    }

    fn sample() -> Resource {
        stored(&serde_json::from_str(SAMPLE).unwrap())
    }

    #[test]
    fn values_are_found_by_path() {
        let work = "emails[type eq \"work\"].value";
        let table = [
            ("userName", json!(["bjensen@example.com"])),
            ("name.givenName", json!(["Barbara"])),
            ("emails.value", json!(["bjensen@example.com", "babs@jensen.org"])),
            (work, json!(["bjensen@example.com"])),
            ("emails[type eq \"other\"].value", json!([])),
            ("ims", json!([{"value": "someaimhandle", "type": "aim"}])),
            ("manager.value", json!(["26118915-6090-4610-87e4-49d8ca9f808d"])),
            ("entitlements", json!([])),
            ("urn:acme:2.0:User:badge", json!([])),
        ];
        let user = sample();
        for (text, expected) in table {
            let path = path(text);
            assert_eq!(json!(user.values(&path)), expected, "{text}");
            assert_eq!(user.first(&path), expected.get(0), "{text}");
        }
        assert_eq!(user.text(&path(work)), Some("bjensen@example.com"));
        assert_eq!((user.text(&path("active")), user.text(&path("nickname"))), (None, Some("Babs")));
        let whole = &user.values(&path(ENTERPRISE))[..];
        assert!(matches!(whole, [Value::Object(map)] if map.len() == 6));
    }

    #[test]
    fn set_creates_what_is_missing() {
        let key = "urn:acme:2.0:User:keys[kind eq \"door\"].no";
        let table = [
            ("title", json!("t"), json!({"title": "t"})),
            ("name.givenName", json!("g"), json!({"name": {"givenName": "g"}})),
            ("manager.value", json!("m"), json!({ENTERPRISE: {"manager": {"value": "m"}}})),
            ("emails", json!({"value": "v"}), json!({"emails": [{"value": "v"}]})),
            ("emails.value", json!("v"), json!({"emails": [{"value": "v"}]})),
            (
                "emails[type eq \"work\"].value",
                json!("v"),
                json!({"emails": [{"type": "work", "value": "v"}]}),
            ),
            (
                "emails[type eq \"work\"]",
                json!({"value": "v"}),
                json!({"emails": [{"type": "work", "value": "v"}]}),
            ),
            (
                "manager[value eq \"m\"].$ref",
                json!("r"),
                json!({ENTERPRISE: {"manager": {"value": "m", "$ref": "r"}}}),
            ),
            (key, json!("1"), json!({"urn:acme:2.0:User": {"keys": [{"kind": "door", "no": "1"}]}})),
            (ENTERPRISE, json!({"department": "d"}), json!({ENTERPRISE: {"department": "d"}})),
        ];
        for (text, value, expected) in table {
            let mut resource = Resource::default();
            assert!(resource.set(&path(text), value), "{text}");
            assert_eq!(resource.into_json(), expected, "{text}");
        }
    }

    #[test]
    fn set_changes_what_is_there() {
        let before = json!({
            "emails": [{"type": "work", "value": "a"}, {"type": "home", "value": "b"}],
            "urn:acme:2.0:User": {"Badge": "1", "tags": ["a", "b"], "keys": {"kind": "door"}},
            ENTERPRISE: {"manager": {"value": "m"}},
        });
        let table = [
            (
                "/emails",
                "emails.value",
                json!("x"),
                json!([{"type": "work", "value": "x"}, {"type": "home", "value": "x"}]),
            ),
            (
                "/emails/1",
                "emails[value eq \"B\"].display",
                json!("x"),
                json!({"type": "home", "value": "b", "display": "x"}),
            ),
            ("/urn:acme:2.0:User/Badge", "URN:ACME:2.0:User:badge", json!("2"), json!("2")),
            (
                "/urn:acme:2.0:User/tags",
                "urn:acme:2.0:User:tags[value eq \"B\"].value",
                json!("c"),
                json!(["a", "c"]),
            ),
            (
                "/urn:acme:2.0:User/keys",
                "urn:acme:2.0:User:keys[kind eq \"gate\"].no",
                json!("1"),
                json!([{"kind": "door"}, {"kind": "gate", "no": "1"}]),
            ),
            (
                "/urn:acme:2.0:User/Badge",
                "urn:acme:2.0:User:badge.no",
                json!("2"),
                json!({"value": "1", "no": "2"}),
            ),
            (
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/manager",
                "manager[value eq \"n\"].$ref",
                json!("r"),
                json!({"value": "n", "$ref": "r"}),
            ),
        ];
        for (pointer, text, value, expected) in table {
            let mut resource = stored(&before);
            assert!(resource.set(&path(text), value), "{text}");
            assert_eq!(resource.into_json().pointer(pointer), Some(&expected), "{text}");
        }
    }

    #[test]
    fn set_without_a_place_changes_nothing() {
        let before =
            json!({"emails": [{"type": "home", "value": "b"}], ENTERPRISE: {"manager": {"value": "m"}}});
        for text in [
            "emails[value co \"x\"].display",
            "phoneNumbers[type ne \"work\"].value",
            "manager[value sw \"x\"].$ref",
            "urn:acme:2.0:User:keys[kind pr].no",
        ] {
            let mut resource = stored(&before);
            assert!(!resource.set(&path(text), json!("x")), "{text}");
            assert_eq!(resource.into_json(), before, "{text}");
        }
    }

    #[test]
    fn remove_leaves_nothing_empty_behind() {
        let before = json!({
            "title": "t",
            "name": {"givenName": "g"},
            "emails": [{"type": "work", "value": "a", "primary": true}, {"type": "home", "value": "b"}],
            "phoneNumbers": [{"type": "work", "value": "1"}],
            "urn:acme:2.0:User": {"Badge": "1", "tags": ["a", "b"]},
            "urn:acme:2.0:Door": {"keys": [{"type": "door", "no": "1"}]},
            ENTERPRISE: {"manager": {"value": "m"}},
        });
        let table = [
            (
                "urn:acme:2.0:Door:keys[no eq 1].no",
                "/urn:acme:2.0:Door/keys",
                Some(json!([{"type": "door"}])),
            ),
            ("urn:ACME:2.0:door:KEYS[no eq 1]", "/urn:acme:2.0:Door", None),
            ("title", "/title", None),
            ("name.givenName", "/name", None),
            ("emails.display", "/emails/1", Some(json!({"type": "home", "value": "b"}))),
            ("emails[type eq \"work\"].value", "/emails", Some(json!([{"type": "home", "value": "b"}]))),
            ("emails.value", "/emails", None),
            ("phoneNumbers[value eq \"1\"]", "/phoneNumbers", None),
            ("manager[value eq \"m\"]", "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", None),
            (
                "manager[value eq \"x\"]",
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                Some(json!({"manager": {"value": "m"}})),
            ),
            ("urn:acme:2.0:User:tags[value eq \"A\"]", "/urn:acme:2.0:User/tags", Some(json!(["b"]))),
            ("urn:ACME:2.0:User:BADGE", "/urn:acme:2.0:User", Some(json!({"tags": ["a", "b"]}))),
            ("urn:acme:2.0:User", "/urn:acme:2.0:User", None),
        ];
        for (text, pointer, expected) in table {
            let mut resource = stored(&before);
            let there = resource.first(&path(text)).is_some();
            assert_eq!(resource.remove(&path(text)), there, "{text}");
            assert_eq!(resource.into_json().pointer(pointer), expected.as_ref(), "{text}");
        }
        let mut resource = stored(&json!({"title": "t"}));
        assert!(!resource.remove(&path("urn:acme:2.0:User:badge")));
        assert_eq!(resource.into_json(), json!({"title": "t"}));
    }

    #[test]
    fn the_representation_is_complete_and_in_a_steady_order() {
        let mut kept = sample();
        kept.set(&path("urn:zeta:2.0:User:x"), json!("1"));
        kept.set(&path("urn:beta:2.0:User:x"), json!("1"));
        let meta = Meta {
            id: "7".into(),
            location: "https://example.com/Users/7".into(),
            created: Some("2026-01-31T08:00:00Z".into()),
            last_modified: None,
            version: Some("W/\"1\"".into()),
        };
        let shown = kept.representation(&USER_TYPE, &meta).into_map();
        let names: Vec<_> = shown.keys().map(String::as_str).collect();
        assert_eq!(
            names.join(" "),
            format!(
                "schemas id externalId userName name displayName nickName profileUrl title userType preferredLanguage \
                 locale timezone active emails phoneNumbers ims photos addresses groups x509Certificates {ENTERPRISE} \
                 urn:beta:2.0:User urn:zeta:2.0:User meta"
            )
        );
        assert_eq!(
            shown["schemas"],
            json!([
                "urn:ietf:params:scim:schemas:core:2.0:User",
                ENTERPRISE,
                "urn:beta:2.0:User",
                "urn:zeta:2.0:User"
            ])
        );
        assert_eq!(
            shown["meta"],
            json!({
                "resourceType": "User", "created": "2026-01-31T08:00:00Z",
                "location": "https://example.com/Users/7", "version": "W/\"1\"",
            })
        );
        assert_eq!(shown["id"], json!("7"));
    }

    #[test]
    fn a_warning_cannot_fill_a_log() {
        let warning = Warning::new(format!("a\nb{}", "x".repeat(500)));
        assert_eq!(warning.attribute, format!("ab{}", "x".repeat(118)));
        assert_eq!(Warning::new("a").to_string(), "a is no attribute of this service and was ignored");
    }

    proptest! {
        #[test]
        fn what_was_set_is_found_and_can_be_removed(
            text in proptest::sample::select(vec![
                "title", "name.givenName", "emails[type eq \"work\"].value", "manager.value", "emails[value eq \"v\"].value",
                "urn:acme:2.0:User:badge", "urn:acme:2.0:User:keys[kind eq \"door\"].no", "emails[type eq \"home\"]",
            ]),
        ) {
            let (path, before) = (path(text), sample());
            let mut resource = before.clone();
            let value = if path.sub.is_none() && path.filter.is_some() { json!({"value": "v"}) } else { json!("v") };
            prop_assert!(resource.set(&path, value));
            prop_assert!(resource.first(&path).is_some());
            prop_assert!(resource.remove(&path));
            prop_assert!(resource.first(&path).is_none());
        }
    }
}
