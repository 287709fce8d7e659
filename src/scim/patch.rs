//! PATCH (RFC 7644 section 3.5.2): a request becomes a list of changes, all of them checked before the first
//! is applied, and they are applied to a copy: all or none.
//!
//! In one point it is wider than the RFC, because Entra relies on it: a value filter made of equalities that
//! selects nothing describes the value to create, instead of failing with `noTarget`.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::scim::check;
use crate::scim::compare;
use crate::scim::entra;
use crate::scim::error::Error;
use crate::scim::filter::Filter;
use crate::scim::members::{self, Membership};
use crate::scim::path::Path;
use crate::scim::resource::{Resource, Warning};
use crate::scim::schema::{Attribute, ResourceType, Returned};

/// A request to change a resource, read and checked.
#[derive(Clone)]
pub struct Patch {
    rt: &'static ResourceType,
    changes: Vec<Change>,
    warnings: Vec<Warning>,
}

/// The three operations of RFC 7644 section 3.5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Replace,
    Remove,
}

/// An operation of the letter: on one path, its value not yet checked.
pub(super) struct Step {
    pub(super) verb: Verb,
    pub(super) path: Path,
    pub(super) value: Value,
    /// Whether the client wrote the path, rather than a member of a value.
    pub(super) named: bool,
}

#[derive(Clone)]
struct Change {
    /// Of the operation it comes from; the first has 1.
    operation: usize,
    path: Path,
    action: Action,
}

#[derive(Clone)]
enum Action {
    Add(Value),
    Replace(Value),
    Remove {
        /// Whether it is an error when nothing is there: the client's filter may be wrong.
        must_exist: bool,
        /// Of a reference, whom: who else is there stays.
        only: Option<Value>,
    },
}

impl Patch {
    /// Reads the body of a PATCH. An empty list of operations is a request to change nothing: Microsoft's
    /// validator sends it.
    pub fn parse(body: Value, rt: &'static ResourceType) -> Result<Self, Error> {
        let mut patch = Self { rt, changes: Vec::new(), warnings: Vec::new() };
        for (operation, given) in (1..).zip(operations(body)?) {
            patch.read(operation, given).map_err(|error| in_operation(operation, error))?;
        }
        Ok(patch)
    }

    /// The resource with every change made, or the first reason why one cannot be.
    pub fn apply(&self, resource: &Resource) -> Result<(Resource, Vec<Warning>), Error> {
        let mut copy = resource.clone();
        for change in &self.changes {
            change.apply(&mut copy).map_err(|error| in_operation(change.operation, error))?;
        }
        copy.drop_bare_values(self.rt);
        check::required(&copy, self.rt)?;
        copy.refresh_schemas(self.rt);
        Ok((copy, self.warnings.clone()))
    }

    /// The changes of a group's members by themselves, and the rest of the request. A group may have many members, and
    /// none of them is needed to say what is to be done.
    pub fn split_members(mut self) -> Result<(Self, Vec<Membership>), Error> {
        let (of_members, others): (Vec<_>, Vec<_>) =
            self.changes.into_iter().partition(|change| is_members(&change.path));
        self.changes = others;
        let memberships = of_members
            .into_iter()
            .map(|change| change.memberships().map_err(|error| in_operation(change.operation, error)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((self, memberships.into_iter().flatten().collect()))
    }

    fn read(&mut self, operation: usize, given: Value) -> Result<(), Error> {
        for step in entra::steps(given, self.rt, &mut self.warnings)? {
            if !is_allowed(&step)? {
                continue;
            }
            let path = step.path.clone();
            if is_members(&path) && step.verb != Verb::Remove && !compare::is_absent(&step.value) {
                // Left out like other empty values, a list of members without names would be an empty one.
                members::ids(&step.value)?;
            }
            if let Some(action) = action(step, &mut self.warnings)? {
                check_required(&path, &action)?;
                self.changes.push(Change { operation, path, action });
            }
        }
        Ok(())
    }
}

/// How much it is and nothing of what: paths and values are personal data.
impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patch").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

fn operations(body: Value) -> Result<Vec<Value>, Error> {
    let Value::Object(body) = body else {
        return Err(Error::invalid_syntax("the body must be a JSON object with Operations"));
    };
    let operations = body.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("Operations"));
    match operations {
        Some((_, Value::Array(operations))) => Ok(operations),
        _ => Err(Error::invalid_syntax(
            "a PATCH needs Operations, an array: send the PatchOp message of RFC 7644",
        )),
    }
}

fn in_operation(operation: usize, mut error: Error) -> Error {
    error.detail.insert_str(0, &format!("operation {operation}: "));
    error
}

/// What the client may not set is refused where it is named and ignored among other members. A password and
/// `schemas` are let pass without effect.
fn is_allowed(step: &Step) -> Result<bool, Error> {
    if check::is_settable(&step.path) {
        return Ok(true);
    }
    let never = |attribute: &Attribute| attribute.returned == Returned::Never;
    let harmless = step.path.attribute == "schemas" || step.path.definition().is_some_and(never);
    if step.named && !harmless {
        return Err(Error::mutability(format!("{} is read-only: leave it out", step.path)));
    }
    Ok(false)
}

/// No value means none is wanted: RFC 7643 section 2.5 makes null, `""` and `[]` the same as unassigned.
/// Adding nothing to a list takes nothing from it.
fn action(step: Step, warnings: &mut Vec<Warning>) -> Result<Option<Action>, Error> {
    let Step { verb, path, value, named } = step;
    let described = path.filter.as_ref().is_none_or(|filter| filter.described().is_some());
    let remove = |only| Action::Remove { must_exist: named && !described, only };
    if verb == Verb::Remove {
        let refers = path.sub.is_none() && path.definition().is_some_and(Attribute::is_reference_object);
        let given = if refers { check::value(&path, value, &mut Vec::new())? } else { None };
        return Ok(Some(remove(given.and_then(|given| given.get("value").cloned()))));
    }
    let to_list = is_list(&path) && path.sub.is_none();
    Ok(match (verb, check::value(&path, value, warnings)?) {
        (Verb::Add, Some(value)) => Some(Action::Add(value)),
        (Verb::Add, None) if to_list => None,
        (_, Some(value)) => Some(Action::Replace(value)),
        (_, None) => Some(remove(None)),
    })
}

/// RFC 7644 section 3.5.2.2: a required attribute cannot be unassigned.
fn check_required(path: &Path, action: &Action) -> Result<(), Error> {
    match (path.leaf(), action) {
        (Some(leaf), Action::Remove { .. }) if leaf.required => Err(Error::mutability(format!(
            "{path} is required and cannot be removed or emptied: send a value"
        ))),
        _ => Ok(()),
    }
}

fn is_members(path: &Path) -> bool {
    path.attribute == "members" && path.definition().is_some_and(Attribute::is_reference_object)
}

fn is_list(path: &Path) -> bool {
    path.definition().is_some_and(|attribute| attribute.multi_valued)
}

impl Change {
    /// What this change of members means. Of a member nothing can change: it is another one then.
    fn memberships(&self) -> Result<Vec<Membership>, Error> {
        let of_value = self.path.sub.as_deref().is_none_or(|sub| sub == "value");
        let selected = self.path.filter.as_deref();
        Ok(match (&self.action, selected) {
            (Action::Remove { .. }, _) if !of_value => Vec::new(),
            (Action::Remove { .. }, None) => vec![Membership::Replace(Vec::new())],
            (Action::Remove { .. }, Some(filter)) => match member_of(filter) {
                Some((id, true)) => vec![Membership::Remove(vec![id])],
                Some((_, false)) => Vec::new(),
                None => vec![Membership::RemoveSelected(filter.clone())],
            },
            (Action::Add(_) | Action::Replace(_), _) if !of_value => {
                return Err(Error::mutability(format!(
                    "{}: nothing about a member can be changed but whether they belong: add or remove them",
                    self.path
                )));
            }
            (Action::Replace(value), None) if self.path.sub.is_none() => {
                vec![Membership::Replace(members::ids(value)?)]
            }
            (Action::Add(value) | Action::Replace(value), None) => {
                vec![Membership::Add(members::ids(value)?)]
            }
            (Action::Add(value) | Action::Replace(value), Some(filter)) => {
                let Some((old, true)) = member_of(filter) else { return Err(no_target(&self.path)) };
                vec![Membership::Remove(vec![old]), Membership::Add(members::ids(value)?)]
            }
        })
    }

    fn apply(&self, resource: &mut Resource) -> Result<(), Error> {
        let primaries = resource.primaries(&self.path);
        match &self.action {
            Action::Remove { must_exist, only } => return self.remove(resource, *must_exist, only.as_ref()),
            Action::Add(value) if self.path.filter.is_none() && self.path.sub.is_none() => {
                add(resource, &self.path, value.clone());
            }
            Action::Add(value) | Action::Replace(value) => self.replace(resource, value)?,
        }
        resource.keep_one_primary(&self.path, &primaries)
    }

    fn replace(&self, resource: &mut Resource, value: &Value) -> Result<(), Error> {
        let path = &self.path;
        let on_each = path.filter.is_none() && path.sub.is_some() && is_list(path);
        if on_each && resource.values(&path.whole()).len() > 1 {
            let name = &path.attribute;
            return Err(Error::invalid_path(format!(
                "{path} is ambiguous, as there are several {name}: select one, as in {name}[type eq \"work\"]"
            )));
        }
        if resource.set(path, value.clone()) { Ok(()) } else { Err(no_target(path)) }
    }

    /// What is not there need not be removed, so that a repeated request succeeds. Whoever is removed by name
    /// must be the one who is there: Entra may have named the successor before it removes the predecessor.
    fn remove(&self, resource: &mut Resource, must_exist: bool, only: Option<&Value>) -> Result<(), Error> {
        let there = resource.attribute(&self.path).and_then(|there| there.get("value"));
        if only.is_some() && there != only {
            return Ok(());
        }
        if resource.remove(&self.path) || !must_exist { Ok(()) } else { Err(no_target(&self.path)) }
    }
}

fn no_target(path: &Path) -> Error {
    Error::no_target(format!("{path} selects nothing in this resource: correct the filter in brackets"))
}

/// RFC 7644 section 3.5.2.1: a list grows by what is not yet in it, an object by its new members.
fn add(resource: &mut Resource, path: &Path, value: Value) {
    let Some(old) = resource.attribute(path).cloned() else {
        resource.set(path, value);
        return;
    };
    let sum = match (old, value) {
        (Value::Array(mut old), Value::Array(new)) => {
            for item in new {
                add_item(&mut old, item, path.definition());
            }
            Value::Array(old)
        }
        (Value::Array(mut old), item) => {
            add_item(&mut old, item, path.definition());
            Value::Array(old)
        }
        (Value::Object(old), Value::Object(new)) => Value::Object(merged(old, new)),
        (_, new) => new,
    };
    resource.set(path, sum);
}

fn add_item(items: &mut Vec<Value>, item: Value, definition: Option<&'static Attribute>) {
    match items.iter_mut().find(|old| is_same(old, &item, definition)) {
        Some(Value::Object(old)) => {
            if let Value::Object(new) = item {
                *old = merged(std::mem::take(old), new);
            }
        }
        Some(_) => {}
        None => items.push(item),
    }
}

/// RFC 7643 section 2.4: a `value` stands once for each `type`. Entra repeats its additions in every cycle
/// and not always with the same labels.
fn is_same(a: &Value, b: &Value, definition: Option<&'static Attribute>) -> bool {
    let equal = |name: &str| {
        let leaf = definition.and_then(|attribute| attribute.sub(name));
        Some(compare::same(leaf, a.get(name)?, b.get(name)?))
    };
    match equal("value") {
        Some(same) => same && equal("type").unwrap_or(true),
        None => a == b,
    }
}

fn merged(mut old: Map<String, Value>, new: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in new {
        let same = |key: &&String| key.eq_ignore_ascii_case(&name);
        let key = old.keys().find(same).cloned().unwrap_or(name);
        old.insert(key, value);
    }
    old
}

/// The only one whom a filter in brackets can mean, and whether it means them: all members are people, so `type` can be
/// told without the group.
fn member_of(filter: &Filter) -> Option<(String, bool)> {
    let told = |path: &&Path| ["value", "type"].contains(&path.attribute.as_str()) && path.sub.is_none();
    if !filter.paths().iter().all(told) {
        return None;
    }
    let pins = filter.pins();
    let (_, value) = pins.iter().find(|(path, _)| path.attribute == "value")?;
    let id = value.as_str()?;
    Some((id.to_owned(), filter.selects(&json!({ "value": id, "type": "User" }))))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::scim::schema::{GROUP_TYPE, USER_TYPE};
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    /// What clients send, one file for each rule: before, operations, and after or error.
    const TRANSCRIPTS: &[&str] = &[
        include_str!("../../tests/rfc/7644-3.5.2.1-add.json"),
        include_str!("../../tests/rfc/7644-3.5.2.2-remove.json"),
        include_str!("../../tests/rfc/7644-3.5.2.3-replace.json"),
        include_str!("../../tests/transcripts/patch/p01-op-in-any-case.json"),
        include_str!("../../tests/transcripts/patch/p02-booleans-as-text.json"),
        include_str!("../../tests/transcripts/patch/p03-selected-value.json"),
        include_str!("../../tests/transcripts/patch/p04-missing-value-is-created.json"),
        include_str!("../../tests/transcripts/patch/p05-one-missing-value.json"),
        include_str!("../../tests/transcripts/patch/p06-labels-of-a-value.json"),
        include_str!("../../tests/transcripts/patch/p07-boolean-literal-as-text.json"),
        include_str!("../../tests/transcripts/patch/p08-roles-as-json-text.json"),
        include_str!("../../tests/transcripts/patch/p09-roles-as-a-whole.json"),
        include_str!("../../tests/transcripts/patch/p10-manager-as-text.json"),
        include_str!("../../tests/transcripts/patch/p11-manager-as-list.json"),
        include_str!("../../tests/transcripts/patch/p12-manager-removed.json"),
        include_str!("../../tests/transcripts/patch/p13-nothing-clears.json"),
        include_str!("../../tests/transcripts/patch/p14-remove.json"),
        include_str!("../../tests/transcripts/patch/p15-remove-with-value.json"),
        include_str!("../../tests/transcripts/patch/p16-no-operations.json"),
        include_str!("../../tests/transcripts/patch/p17-rename.json"),
        include_str!("../../tests/transcripts/patch/p18-without-path.json"),
        include_str!("../../tests/transcripts/patch/p19-lists-and-scalars.json"),
        include_str!("../../tests/transcripts/patch/p20-core-urn.json"),
    ];

    /// Where the property tests start.
    static STARTS: LazyLock<Vec<Value>> =
        LazyLock::new(|| cases().map(|(_, case)| case["before"].clone()).collect());

    fn cases() -> impl Iterator<Item = (String, Value)> {
        TRANSCRIPTS.iter().flat_map(|text| {
            let file: Value = serde_json::from_str(text).unwrap();
            let rule = file["rule"].as_str().unwrap().to_owned();
            let cases = file["cases"].as_array().unwrap().clone();
            cases.into_iter().map(move |case| (format!("{rule}: {}", case["name"]), case))
        })
    }

    /// Transcripts leave out what every one would repeat.
    fn resource(shown: &Value) -> Resource {
        let mut shown = shown.clone();
        shown.as_object_mut().unwrap().entry("userName").or_insert("alice@example.com".into());
        let stored = shown.as_object().unwrap().clone();
        let mut resource = Resource::from_stored(stored);
        resource.refresh_schemas(&USER_TYPE);
        resource
    }

    fn apply(operations: &Value, before: &Resource) -> Result<(Resource, Vec<Warning>), Error> {
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        Patch::parse(body, &USER_TYPE)?.apply(before)
    }

    fn shown(resource: &Resource) -> Value {
        resource.clone().into_json()
    }

    #[test]
    fn transcripts_end_as_they_say() {
        for (name, case) in cases() {
            let before = resource(&case["before"]);
            match (apply(&case["operations"], &before), case.get("after")) {
                (Ok((after, warnings)), Some(expected)) => {
                    assert_eq!(shown(&after), shown(&resource(expected)), "{name}");
                    let ignored: Vec<_> = warnings.into_iter().map(|warning| warning.attribute).collect();
                    assert_eq!(json!(ignored), case.get("warnings").cloned().unwrap_or(json!([])), "{name}");
                }
                (Err(error), None) => {
                    let told = json!({"scimType": error.scim_type.unwrap().as_str(), "detail": error.detail});
                    assert_eq!(told, case["error"], "{name}");
                }
                (other, expected) => panic!("{name}: {other:?}, not {expected:?}"),
            }
        }
    }

    /// A client that lost the answer sends the request again.
    #[test]
    fn transcripts_applied_twice_change_nothing_more() {
        for (name, case) in cases() {
            let Some(after) = case.get("after").map(resource) else { continue };
            match (apply(&case["operations"], &after), case.get("again").and_then(Value::as_str)) {
                (Ok((again, _)), None) => assert_eq!(shown(&again), shown(&after), "{name}"),
                (Err(error), Some(kind)) => assert_eq!(error.scim_type.unwrap().as_str(), kind, "{name}"),
                (other, again) => panic!("{name}: {other:?}, not {again:?}"),
            }
        }
    }

    #[test]
    fn a_body_that_is_no_patch_is_refused() {
        let operations = "a PATCH needs Operations, an array: send the PatchOp message of RFC 7644";
        let table = [
            (json!([]), "the body must be a JSON object with Operations"),
            (json!({}), operations),
            (json!({"Operations": {"op": "add"}}), operations),
            (json!({"operations": ["add"]}), "operation 1: it must be a JSON object with op, path and value"),
        ];
        for (body, detail) in table {
            let error = Patch::parse(body, &USER_TYPE).unwrap_err();
            assert_eq!(error, Error::invalid_syntax(detail));
        }
    }

    #[test]
    fn a_value_never_shows_in_debug_output_or_errors() {
        let error = apply(&json!([{"op": "add", "path": "active", "value": "secret"}]), &Resource::default());
        assert!(!format!("{error:?}").contains("secret"));
        assert!(!format!("{:?}", resource(&json!({"title": "secret"}))).contains("secret"));
        let body = json!({"Operations": [{"op": "add", "path": "emails[value eq \"secret\"].value", "value": "secret"}]});
        assert_eq!(format!("{:?}", Patch::parse(body, &USER_TYPE).unwrap()), "Patch { changes: 1, .. }");
    }

    fn any_operation(verbs: &'static [&'static str]) -> impl Strategy<Value = Value> {
        let path = select(vec![
            "displayName",
            "name",
            "name.givenName",
            "emails",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[type eq \"home\"].primary",
            "roles[primary eq \"True\"].value",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "urn:acme:2.0:User:badge",
            "urn:acme:2.0:User:keys[kind eq \"door\"].no",
            "urn:acme:2.0:User",
            "urn:acme:2.0:User:keys",
            "addresses",
            "active",
        ]);
        let value = select(vec![
            json!("a"),
            json!("True"),
            json!(""),
            Value::Null,
            json!([]),
            json!(["b"]),
            json!({"value": "v", "type": "work"}),
            json!({"value": "", "display": "d", "primary": true}),
            json!({"givenName": "g", "familyName": null}),
            json!([{"value": "v", "type": "home", "primary": true}, {"value": "w"}]),
        ]);
        (select(verbs), path, value, any::<bool>()).prop_map(|(verb, path, value, named)| {
            if named {
                json!({"op": verb, "path": path, "value": value})
            } else {
                json!({"op": verb, "value": {path: value}})
            }
        })
    }

    proptest! {
        #[test]
        fn a_replace_applied_twice_equals_once(
            operations in proptest::collection::vec(any_operation(&["replace"]), 0..5),
            start in any::<Index>(),
        ) {
            let before = resource(start.get(&STARTS));
            if let Ok((once, _)) = apply(&json!(operations), &before) {
                let (twice, _) = apply(&json!(operations), &once).unwrap();
                prop_assert_eq!(shown(&twice), shown(&once));
            }
        }

        #[test]
        fn a_patched_resource_is_a_valid_body(
            operations in proptest::collection::vec(any_operation(&["Add", "Replace", "Remove"]), 0..5),
            start in any::<Index>(),
        ) {
            if let Ok((after, _)) = apply(&json!(operations), &resource(start.get(&STARTS))) {
                let (read, warnings) = Resource::from_body(shown(&after), &USER_TYPE).unwrap();
                prop_assert_eq!((shown(&read), warnings), (shown(&after), vec![]));
            }
        }
    }

    /// What each way of writing it means for the members, as in Entra's three dialects and the RFC.
    #[test]
    fn members_are_changed_without_the_group_at_hand() {
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let add = |names: &[&str]| Membership::Add(ids(names));
        let remove = |names: &[&str]| Membership::Remove(ids(names));
        let replace = |names: &[&str]| Membership::Replace(ids(names));
        for (operation, expected) in [
            (
                json!({"op": "Add", "path": "members", "value": [{"$ref": null, "value": "a"}, {"value": "b"}]}),
                vec![add(&["a", "b"])],
            ),
            (json!({"op": "add", "path": "members", "value": {"value": "a"}}), vec![add(&["a"])]),
            (json!({"op": "add", "value": {"members": [{"value": "a"}]}}), vec![add(&["a"])]),
            (
                json!({"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "a"}, {"value": "b"}]}),
                vec![remove(&["a"]), remove(&["b"])],
            ),
            (
                json!({"op": "remove", "path": "members", "value": [{"value": "a", "type": "User"}]}),
                vec![remove(&["a"])],
            ),
            (json!({"op": "remove", "path": "members[value eq \"a\"]"}), vec![remove(&["a"])]),
            (json!({"op": "remove", "path": "members[value eq \"a\" and type eq \"Group\"]"}), vec![]),
            (json!({"op": "remove", "path": "members"}), vec![replace(&[])]),
            (json!({"op": "replace", "path": "members", "value": [{"value": "a"}]}), vec![replace(&["a"])]),
            (json!({"op": "replace", "path": "members", "value": []}), vec![replace(&[])]),
            (
                json!({"op": "replace", "value": {"members": [{"value": "a"}], "displayName": "x"}}),
                vec![replace(&["a"])],
            ),
            (json!({"op": "replace", "path": "displayName", "value": "x"}), vec![]),
            (json!({"op": "add", "path": "members", "value": []}), vec![]),
        ] {
            let body = json!({ "Operations": [operation.clone()] });
            let (rest, members) = Patch::parse(body, &GROUP_TYPE).unwrap().split_members().unwrap();
            assert_eq!(members, expected, "{operation}");
            assert_eq!(
                rest.changes.len(),
                usize::from(operation.to_string().contains("displayName")),
                "{operation}"
            );
        }
        let selected = json!({"op": "remove", "path": "members[$ref ew \"a\"]"});
        let (_, members) =
            Patch::parse(json!({ "Operations": [selected] }), &GROUP_TYPE).unwrap().split_members().unwrap();
        assert!(matches!(members.as_slice(), [Membership::RemoveSelected(_)]), "{members:?}");
        for operation in [
            json!({"op": "add", "path": "members", "value": [{"display": "Jo"}]}),
            json!({"op": "replace", "path": "members[value eq \"a\"].display", "value": "Jo"}),
        ] {
            let patch = Patch::parse(json!({ "Operations": [operation.clone()] }), &GROUP_TYPE);
            assert!(patch.and_then(Patch::split_members).is_err(), "{operation}");
        }
    }
}
