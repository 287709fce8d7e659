//! From what a client wrote to what the schema says: canonical spelling, the right types, nothing empty,
//! nothing that the client may not set. What cannot be read as the attribute's type is refused with its path.

use std::fmt;

use serde_json::{Map, Value};

use crate::scim::compare;
use crate::scim::entra;
use crate::scim::error::Error;
use crate::scim::filter::kind_name;
use crate::scim::path::Path;
use crate::scim::resource::{Resource, Warning};
use crate::scim::schema::{Attribute, Kind, ResourceType, Returned};

/// Reads a whole body.
pub(super) fn body(
    body: Value,
    rt: &'static ResourceType,
    warnings: &mut Vec<Warning>,
) -> Result<Resource, Error> {
    let Value::Object(body) = body else {
        return Err(Error::invalid_syntax(format!(
            "the body must be a JSON object that describes a {}",
            rt.name
        )));
    };
    schemas(&body, rt)?;
    let mut resource = Resource::default();
    for (path, given) in entra::assignments(body, rt, warnings)? {
        if !is_settable(&path) {
            continue;
        }
        if let Some(checked) = value(&path, given, warnings)? {
            put_new(&mut resource, &path, checked)?;
        }
    }
    Ok(resource)
}

/// Every required attribute has a value that is more than blanks.
pub(super) fn required(resource: &Resource, rt: &'static ResourceType) -> Result<(), Error> {
    for attribute in rt.schema.attributes.iter().filter(|attribute| attribute.required) {
        let value = resource.first(&Path::of(None, attribute));
        if value.is_none_or(|value| value.as_str().is_some_and(|text| text.trim().is_empty())) {
            let name = attribute.name;
            return Err(Error::invalid_value(format!(
                "{name} is required and missing or blank: map a value to {name}"
            )));
        }
    }
    Ok(())
}

/// Whether clients may set what the path names. The rest is ignored in bodies: RFC 7644 section 3.3 for
/// read-only attributes; a password is accepted and never kept. `schemas` is computed here.
pub(super) fn is_settable(path: &Path) -> bool {
    let kept = |attribute: &Attribute| !attribute.is_read_only() && attribute.returned != Returned::Never;
    let declared = [path.definition(), path.leaf()].into_iter().flatten().all(kept);
    declared && !(path.schema.is_none() && path.attribute == "schemas")
}

/// The value that may stand at the path; `None` when there is nothing in it.
pub(super) fn value(path: &Path, value: Value, warnings: &mut Vec<Warning>) -> Result<Option<Value>, Error> {
    let mut checker = Checker { at: At { path, sub: None }, warnings };
    match path.leaf() {
        None => Ok(pruned(value)),
        Some(leaf) if path.sub.is_none() && path.filter.is_some() => checker.one(leaf, value),
        Some(leaf) => checker.attribute(leaf, value),
    }
}

/// Without nulls, empty texts, empty lists and empty objects: RFC 7643 section 2.5 calls them no value.
pub(super) fn pruned(value: Value) -> Option<Value> {
    let value = match value {
        Value::Array(items) => Value::Array(items.into_iter().filter_map(pruned).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().filter_map(|(name, value)| Some((name, pruned(value)?))).collect())
        }
        plain => plain,
    };
    (!compare::is_absent(&value)).then_some(value)
}

/// Whether a value says nothing: it is empty, or labels (`type`, `primary`) are all that is left of it.
pub(super) fn is_bare(definition: Option<&'static Attribute>, value: &Value) -> bool {
    let label = |(name, value): (&String, &Value)| {
        compare::is_absent(value) || definition.is_some() && matches!(name.as_str(), "type" | "primary")
    };
    compare::is_absent(value) || value.as_object().is_some_and(|map| map.iter().all(label))
}

/// A body for another kind of resource is refused; anything else is let pass, as Entra lists URIs of its own.
fn schemas(body: &Map<String, Value>, rt: &'static ResourceType) -> Result<(), Error> {
    let named = |urn: &str| {
        let core = urn.to_ascii_lowercase().starts_with("urn:ietf:params:scim:schemas:core:");
        let message = urn.to_ascii_lowercase().starts_with("urn:ietf:params:scim:api:messages:");
        core || message
    };
    let listed =
        compare::member(body, "schemas").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut urns = listed.iter().filter_map(Value::as_str).filter(|urn| named(urn)).peekable();
    match urns.peek().copied() {
        Some(other) if !urns.any(|urn| urn.eq_ignore_ascii_case(rt.schema.id)) => Err(Error::invalid_syntax(
            format!("schemas names {other:?}, but this endpoint takes {:?}", rt.schema.id),
        )),
        _ => Ok(()),
    }
}

/// Two spellings of one attribute leave it open which is meant: RFC 7643 section 2.1 makes them the same
/// name.
fn put_new(resource: &mut Resource, path: &Path, value: Value) -> Result<(), Error> {
    let twice =
        || Error::invalid_syntax(format!("{path} is given twice in different spellings: give it once"));
    match (resource.first(path).cloned(), value) {
        (None, value) => drop(resource.set(path, value)),
        (Some(Value::Object(mut old)), Value::Object(new)) if path.filter.is_none() && path.sub.is_none() => {
            for (name, value) in new {
                if compare::member(&old, &name).is_some() {
                    return Err(twice());
                }
                old.insert(name, value);
            }
            resource.set(path, Value::Object(old));
        }
        _ => return Err(twice()),
    }
    Ok(())
}

/// Where a value stands, for error texts.
struct At<'a> {
    path: &'a Path,
    sub: Option<&'static str>,
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            Some(sub) => write!(f, "{}.{sub}", self.path),
            None => self.path.fmt(f),
        }
    }
}

struct Checker<'a> {
    at: At<'a>,
    warnings: &'a mut Vec<Warning>,
}

impl Checker<'_> {
    fn attribute(&mut self, attribute: &'static Attribute, value: Value) -> Result<Option<Value>, Error> {
        if attribute.multi_valued { self.many(attribute, value) } else { self.one(attribute, value) }
    }

    /// A value alone counts as a list of one.
    fn many(&mut self, attribute: &'static Attribute, value: Value) -> Result<Option<Value>, Error> {
        let items = match value {
            Value::Array(items) => items,
            single => vec![single],
        };
        let mut checked = Vec::with_capacity(items.len());
        for item in items {
            checked.extend(self.one(attribute, item)?.filter(|item| !is_bare(Some(attribute), item)));
        }
        self.primary_at_most_once(&checked)?;
        Ok((!checked.is_empty()).then_some(Value::Array(checked)))
    }

    /// One value; a list of one counts as its value.
    fn one(&mut self, attribute: &'static Attribute, value: Value) -> Result<Option<Value>, Error> {
        match value {
            absent if compare::is_absent(&absent) => Ok(None),
            Value::Array(items) => {
                let mut present = items.into_iter().filter(|item| !compare::is_absent(item));
                match (present.next(), present.next()) {
                    (Some(only), None) if !only.is_array() => self.one(attribute, only),
                    (None, _) => Ok(None),
                    _ => Err(self.refuse("takes one value, not a list of several: send one")),
                }
            }
            value if attribute.kind == Kind::Complex => self.complex(attribute, value),
            value => self.plain(attribute.kind, value).map(Some),
        }
    }

    fn complex(&mut self, attribute: &'static Attribute, value: Value) -> Result<Option<Value>, Error> {
        let given = match entra::unpack_role(attribute, value) {
            Value::Object(given) => given,
            plain if attribute.sub("value").is_some() => Map::from_iter([("value".to_owned(), plain)]),
            _ => return Err(self.refuse("is complex: send an object with its sub-attributes")),
        };
        let mut checked = Map::new();
        for (name, value) in given {
            let Some(sub) = attribute.sub(&name).or_else(|| entra::renamed_sub(attribute, &name)) else {
                self.ignore(&name, &value);
                continue;
            };
            if sub.is_read_only() {
                continue;
            }
            self.at.sub = Some(sub.name);
            if let Some(value) = self.attribute(sub, value)?
                && checked.insert(sub.name.to_owned(), value).is_some()
            {
                return Err(Error::invalid_syntax(format!(
                    "{} is given twice in different spellings: give it once",
                    self.at
                )));
            }
            self.at.sub = None;
        }
        Ok((!checked.is_empty()).then_some(Value::Object(checked)))
    }

    fn plain(&self, kind: Kind, value: Value) -> Result<Value, Error> {
        let came = shape(&value);
        let checked = match (kind, value) {
            (Kind::Boolean, Value::Bool(flag)) => Some(Value::Bool(flag)),
            (Kind::Boolean, Value::String(text)) => compare::boolean(&text).map(Value::Bool),
            (Kind::Decimal | Kind::Integer, Value::Number(number)) => Some(Value::Number(number)),
            (Kind::Decimal | Kind::Integer, Value::String(text)) => text.parse().ok().map(Value::Number),
            (Kind::DateTime, Value::String(text)) => compare::instant(&text).map(|_| Value::String(text)),
            (Kind::String, Value::Number(number)) => Some(number.to_string().into()),
            (Kind::String | Kind::Binary | Kind::Reference, Value::String(text)) => Some(Value::String(text)),
            _ => None,
        };
        checked.ok_or_else(|| {
            let remedy = if kind == Kind::Boolean { ": send true or false" } else { "" };
            self.refuse(&format!("must be {}, and {came} came{remedy}", kind_name(kind)))
        })
    }

    /// RFC 7643 section 2.4.
    fn primary_at_most_once(&self, items: &[Value]) -> Result<(), Error> {
        let primary = |item: &&Value| item.get("primary") == Some(&Value::Bool(true));
        if items.iter().filter(primary).count() > 1 {
            return Err(self.refuse("has more than one value marked primary: mark one at most"));
        }
        Ok(())
    }

    fn ignore(&mut self, name: &str, value: &Value) {
        if !compare::is_absent(value) {
            self.warnings.push(Warning::new(format_args!("{}.{name}", self.at.path)));
        }
    }

    /// The value itself is left out of the text: it is personal data.
    fn refuse(&self, why: &str) -> Error {
        Error::invalid_value(format!("{} {why}", self.at))
    }
}

/// For error texts: what a client has sent, without the value itself.
fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "another text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::scim::schema::USER_TYPE;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn read(body: Value) -> Result<(Value, Vec<String>), Error> {
        let (resource, warnings) = Resource::from_part(body, &USER_TYPE)?;
        let mut shown = resource.into_map();
        shown.shift_remove("schemas");
        Ok((Value::Object(shown), warnings.into_iter().map(|warning| warning.attribute).collect()))
    }

    fn becomes(table: &[(Value, Value)]) {
        for (body, expected) in table {
            let (shown, warnings) = read(body.clone()).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!((&shown, warnings), (expected, Vec::new()), "{body}");
        }
    }

    #[test]
    fn names_get_their_canonical_spelling() {
        becomes(&[
            (
                json!({"USERNAME": "a", "Name": {"GIVENNAME": "g"}}),
                json!({"userName": "a", "name": {"givenName": "g"}}),
            ),
            (
                json!({"Emails": [{"Type": "work", "VALUE": "v"}]}),
                json!({"emails": [{"type": "work", "value": "v"}]}),
            ),
            (
                json!({"URN:ietf:params:scim:schemas:extension:enterprise:2.0:user": {"Department": "d"}}),
                json!({ENTERPRISE: {"department": "d"}}),
            ),
            (
                json!({"roles": [{"value": "v", "displayName": "d"}]}),
                json!({"roles": [{"value": "v", "display": "d"}]}),
            ),
        ]);
    }

    #[test]
    fn flat_keys_are_expanded() {
        becomes(&[
            (
                json!({"name.givenName": "g", "name": {"familyName": "f"}}),
                json!({"name": {"givenName": "g", "familyName": "f"}}),
            ),
            (
                json!({"emails[type eq \"work\"].value": "v", "emails[type eq \"work\"].primary": "True"}),
                json!({"emails": [{"type": "work", "value": "v", "primary": true}]}),
            ),
            (
                json!({format!("{ENTERPRISE}:department"): "d", ENTERPRISE: {"manager": "m"}, "division": "v"}),
                json!({ENTERPRISE: {"department": "d", "manager": {"value": "m"}, "division": "v"}}),
            ),
            (json!({"urn:ietf:params:scim:schemas:core:2.0:User": {"title": "t"}}), json!({"title": "t"})),
        ]);
    }

    #[test]
    fn nothing_is_no_value_at_any_depth() {
        becomes(&[
            (
                json!({"title": null, "nickName": "", "roles": [], "name": {"givenName": null}, "addresses": null}),
                json!({}),
            ),
            (
                json!({"addresses": [{"type": "work", "country": "GB", "region": null}, {"type": "home", "primary": false}, {}, null]}),
                json!({"addresses": [{"type": "work", "country": "GB"}]}),
            ),
            (json!({"emails": [{"type": "work", "primary": true, "value": ""}]}), json!({})),
            (json!({ENTERPRISE: null, "urn:acme:2.0:User": {"a": {"b": [null, {"c": ""}]}}}), json!({})),
            (json!({"userName": null, "username": "a"}), json!({"userName": "a"})),
        ]);
    }

    #[test]
    fn values_get_the_types_of_the_schema() {
        becomes(&[
            (json!({"active": "True"}), json!({"active": true})),
            (json!({"active": ["false"]}), json!({"active": false})),
            (json!({"title": 7, "userName": ["a"]}), json!({"title": "7", "userName": "a"})),
            (json!({"emails": "v"}), json!({"emails": [{"value": "v"}]})),
            (
                json!({"emails": {"value": "v", "primary": "TRUE"}}),
                json!({"emails": [{"value": "v", "primary": true}]}),
            ),
            (json!({"emails": [["v"]]}), json!({"emails": [{"value": "v"}]})),
            (json!({"name": [{"givenName": "g"}]}), json!({"name": {"givenName": "g"}})),
            (json!({"profileUrl": "https://example.com"}), json!({"profileUrl": "https://example.com"})),
        ]);
    }

    #[test]
    fn undeclared_schemas_are_kept_as_they_are() {
        becomes(&[
            (
                json!({"urn:acme:2.0:User": {"Badge": "7", "active": "True", "deep": {"x": [1, null]}}}),
                json!({"urn:acme:2.0:User": {"Badge": "7", "active": "True", "deep": {"x": [1]}}}),
            ),
            (json!({"urn:acme:2.0:User:Badge": "7"}), json!({"urn:acme:2.0:User": {"Badge": "7"}})),
            (json!({"urn:acme:2.0:User:door": {"no": 1}}), json!({"urn:acme:2.0:User": {"door": {"no": 1}}})),
            (json!({"urn:acme:hr": {"Badge": "7"}}), json!({"urn:acme:hr": {"Badge": "7"}})),
        ]);
    }

    #[test]
    fn what_clients_may_not_set_is_dropped_without_a_word() {
        becomes(&[
            (json!({"id": "1", "meta": {"resourceType": "User"}, "groups": [{"value": "g"}]}), json!({})),
            (json!({"password": "secret", "schemas": ["urn:x"]}), json!({})),
            (
                json!({"manager": {"value": "m", "displayName": "d"}}),
                json!({ENTERPRISE: {"manager": {"value": "m"}}}),
            ),
        ]);
    }

    #[test]
    fn what_is_unknown_is_dropped_with_a_warning() {
        let body = json!({
            "userName": "a", "favouriteColour": "secret", "shoe-size": null, "name": {"nick": "secret", "x": ""},
            "emails": [{"value": "v", "colour": "secret"}], ENTERPRISE: {"floor": "secret", "unset": null},
        });
        let (shown, warnings) = read(body).unwrap();
        assert_eq!(shown, json!({"userName": "a", "emails": [{"value": "v"}]}));
        assert_eq!(warnings.join(" "), format!("favouriteColour {ENTERPRISE}:floor name.nick emails.colour"));
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_path() {
        let invalid = |detail: &str| Error::invalid_value(detail);
        let syntax = |detail: &str| Error::invalid_syntax(detail);
        let table = [
            (json!([]), syntax("the body must be a JSON object that describes a User")),
            (
                json!({"active": "yes"}),
                invalid("active must be a boolean, and another text came: send true or false"),
            ),
            (json!({"title": true}), invalid("title must be a text, and a boolean came")),
            (json!({"title": ["a", "b"]}), invalid("title takes one value, not a list of several: send one")),
            (
                json!({"emails": [{"value": {"a": "b"}}]}),
                invalid("emails.value must be a text, and an object came"),
            ),
            (
                json!({"emails": [{"primary": 1}]}),
                invalid("emails.primary must be a boolean, and a number came: send true or false"),
            ),
            (
                json!({"addresses": "x"}),
                invalid("addresses is complex: send an object with its sub-attributes"),
            ),
            (
                json!({"photos": [{"value": 7}]}),
                invalid("photos.value must be a reference, and a number came"),
            ),
            (
                json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": "True"}]}),
                invalid("emails has more than one value marked primary: mark one at most"),
            ),
            (
                json!({"userName": "a", "username": "b"}),
                syntax("userName is given twice in different spellings: give it once"),
            ),
            (
                json!({"name": {"givenName": "a"}, "name.givenname": "a"}),
                syntax("name.givenName is given twice in different spellings: give it once"),
            ),
            (
                json!({"name.givenname": "a", "name": {"givenName": "a"}}),
                syntax("name is given twice in different spellings: give it once"),
            ),
            (
                json!({"name": {"givenName": "a", "givenname": "b"}}),
                syntax("name.givenName is given twice in different spellings: give it once"),
            ),
            (
                json!({"urn:acme:2.0:User": {"a": "1", "A": "2"}}),
                syntax("urn:acme:2.0:User:A is given twice in different spellings: give it once"),
            ),
            (
                json!({"urn:acme:2.0:User": "x"}),
                invalid("urn:acme:2.0:User is a schema: send an object with its attributes"),
            ),
            (
                json!({" urn:acme:2.0:User": "x"}),
                invalid(" urn:acme:2.0:User is a schema: send an object with its attributes"),
            ),
        ];
        for (body, expected) in table {
            assert_eq!(read(body.clone()).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn a_body_for_another_endpoint_is_refused() {
        let refused = [
            json!(["urn:ietf:params:scim:schemas:core:2.0:Group"]),
            json!(["urn:ietf:params:scim:api:messages:2.0:PatchOp"]),
        ];
        for schemas in refused {
            let error = read(json!({"schemas": schemas})).unwrap_err();
            let detail = format!(
                "schemas names {}, but this endpoint takes \"urn:ietf:params:scim:schemas:core:2.0:User\"",
                schemas[0]
            );
            assert_eq!(error, Error::invalid_syntax(detail));
        }
        let accepted = [
            json!([
                "urn:ietf:params:scim:schemas:core:2.0:Group",
                "URN:ietf:params:scim:schemas:core:2.0:user"
            ]),
            json!(["http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/User"]),
            json!([ENTERPRISE]),
            json!("urn:x"),
            json!([7, true]),
            json!([]),
        ];
        for schemas in accepted {
            assert!(read(json!({"schemas": schemas})).is_ok(), "{schemas}");
        }
    }

    #[test]
    fn a_user_needs_a_name() {
        let missing = "userName is required and missing or blank: map a value to userName";
        for body in [json!({}), json!({"userName": ""}), json!({"userName": "  "}), json!({"userName": null})]
        {
            let error = Resource::from_body(body.clone(), &USER_TYPE).unwrap_err();
            assert_eq!(error, Error::invalid_value(missing), "{body}");
        }
        assert!(Resource::from_body(json!({"userName": "a"}), &USER_TYPE).is_ok());
    }

    #[test]
    fn schemas_are_what_is_there() {
        let body = json!({"schemas": ["urn:x", ENTERPRISE], "userName": "a", "urn:acme:2.0:User:b": 1});
        let (resource, _) = Resource::from_body(body, &USER_TYPE).unwrap();
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        assert_eq!(resource.as_map()["schemas"], json!([core, "urn:acme:2.0:User"]));
    }

    /// Microsoft, "Develop and plan provisioning for a SCIM endpoint": the body of a create, with what
    /// Entra's expressions and other samples make of it.
    #[test]
    fn what_entra_creates() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "externalId": "alice", "userName": "Alice@Example.com", "active": "True", "displayName": "Alice Archer",
            "emails": [
                {"Primary": true, "type": "work", "value": "alice@example.com"},
                {"primary": "False", "type": "work", "value": "a.archer@example.com"},
            ],
            "name": {"formatted": "Alice Archer", "familyName": "Archer", "givenName": "Alice"},
            "phoneNumbers": [{"type": "work", "value": "+44 20 7946 0001"}, {"type": "fax", "value": null}],
            "addresses": [{"primary": "true", "type": "work", "formatted": "18/2111", "region": null, "country": "GB"}],
            "meta": {"resourceType": "User"},
            "roles": [{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "displayName": "Admin", "value": "Admin"}],
            "ims": null, "entitlements": [],
            ENTERPRISE: {"Department": "Design", "employeeNumber": 410_077, "Manager": {"Value": "m1", "$ref": null}},
            "urn:ietf:params:scim:schemas:extension:Acme:2.0:User": {"badge": "7", "floor": null},
        });
        let kept = json!({
            "externalId": "alice", "userName": "Alice@Example.com", "active": true, "displayName": "Alice Archer",
            "emails": [
                {"primary": true, "type": "work", "value": "alice@example.com"},
                {"primary": false, "type": "work", "value": "a.archer@example.com"},
            ],
            "name": {"formatted": "Alice Archer", "familyName": "Archer", "givenName": "Alice"},
            "phoneNumbers": [{"type": "work", "value": "+44 20 7946 0001"}],
            "addresses": [{"primary": true, "type": "work", "formatted": "18/2111", "country": "GB"}],
            "roles": [{"primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Admin", "value": "Admin"}],
            ENTERPRISE: {"department": "Design", "employeeNumber": "410077", "manager": {"value": "m1"}},
            "urn:ietf:params:scim:schemas:extension:Acme:2.0:User": {"badge": "7"},
        });
        becomes(&[(body, kept)]);
    }

    /// What was read once is read again as the same.
    #[test]
    fn the_rfc_sample_is_read() {
        let sample = include_str!("../../tests/rfc/7643-8.3-enterprise-user.json");
        let body: Value = serde_json::from_str(sample).unwrap();
        let (resource, warnings) = Resource::from_body(body.clone(), &USER_TYPE).unwrap();
        let mut expected = body;
        let kept = expected.as_object_mut().unwrap();
        kept.retain(|name, _| !["id", "meta", "groups", "password"].contains(&name.as_str()));
        kept[ENTERPRISE]["manager"].as_object_mut().unwrap().shift_remove("displayName");
        assert_eq!((resource.clone().into_json(), warnings), (expected, Vec::new()));
        let (again, _) = Resource::from_body(resource.clone().into_json(), &USER_TYPE).unwrap();
        assert_eq!(again, resource);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let name = proptest::sample::select(vec![
            "userName",
            "NAME",
            "name.givenName",
            "givenName",
            "active",
            "emails",
            "roles",
            "value",
            "type",
            "primary",
            "emails[type eq \"work\"].value",
            "manager",
            ENTERPRISE,
            "urn:acme:2.0:User",
            "urn:acme:hr",
            "x",
            "$ref",
            "",
        ]);
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            proptest::sample::select(vec!["", "a", "True", "{\"value\":\"v\"}", "{"]).prop_map(Value::from),
        ];
        plain.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec((name.clone().prop_map(str::to_owned), inner), 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_read_is_read_again_as_the_same(body in any_value()) {
            if let Ok((once, _)) = Resource::from_part(body, &USER_TYPE) {
                let (again, warnings) = Resource::from_part(once.clone().into_json(), &USER_TYPE).unwrap();
                prop_assert_eq!((again.into_json(), warnings), (once.into_json(), Vec::new()));
            }
        }
    }
}
