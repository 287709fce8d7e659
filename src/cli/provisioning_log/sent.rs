//! An entry of the provisioning log → the SCIM request that Entra sends of it, in Entra's default dialect, and whom or what it
//! finds; with what an entry leaves open.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::cli::provisioning_log::{Action, Entry, Property, names};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::{GROUP_TYPE, Kind, ResourceType, USER_TYPE};

/// The message of a PATCH (RFC 7644 section 3.5.2).
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Whoever is not named.
const SOMEBODY: &str = "somebody@example.com";

/// What is made of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// In a line: what was done, to whom, when.
    pub title: String,
    pub sent: Sent,
    /// The person or the group that is changed, as far as the entry shows them: a SCIM resource.
    pub before: Option<Value>,
    /// What the entry does not say, in sentences.
    pub open: Vec<String>,
}

/// What Entra sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// Nothing that changes anybody, and why.
    Nothing(String),
    Create(Value),
    Patch(Value),
    Delete,
}

impl Entry {
    /// What it is about; of a table the attributes tell, or else whether somebody has given a group.
    fn rt(&self, group_is_given: bool) -> &'static ResourceType {
        let names = |name: &str| self.changed.iter().any(|property| property.name.eq_ignore_ascii_case(name));
        let may_be_group = |property: &Property| {
            ["displayName", "externalId", "members"]
                .iter()
                .any(|name| property.name.eq_ignore_ascii_case(name))
        };
        let guessed = names("members") || (group_is_given && self.changed.iter().all(may_be_group));
        if self.of_group.unwrap_or(guessed) { &GROUP_TYPE } else { &USER_TYPE }
    }

    pub fn is_about_a_group(&self, group_is_given: bool) -> bool {
        self.rt(group_is_given).id == GROUP_TYPE.id
    }

    fn title(&self, rt: &'static ResourceType) -> String {
        let done = match self.action {
            Some(Action::Create) => "create of",
            Some(Action::Update) => "update of",
            Some(Action::Disable) => "disable of",
            Some(Action::Delete) => "delete of",
            None => "change of",
        };
        let whom = if rt.id == GROUP_TYPE.id { "the group" } else { "the person" };
        let name = self.name.as_ref().or(self.address.as_ref()).or(self.id.as_ref());
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let when = self.when.as_ref().map(|when| format!(", {when}")).unwrap_or_default();
        format!("{done} {whom}{name}{when}")
    }

    /// The request, with what it rests on.
    pub fn reading(&self, group_is_given: bool) -> Reading {
        let rt = self.rt(group_is_given);
        let mut open = Vec::new();
        let sent = self.sent(rt, &mut open);
        let changes = matches!(sent, Sent::Patch(_) | Sent::Delete);
        let before = changes.then(|| self.before(rt));
        if let Some(short) = self.shortened() {
            open.push(format!("The value of `{short}` looks as if Entra had shortened or hidden it."));
        }
        if matches!(sent, Sent::Patch(_)) {
            open.push(
                "Shown is Entra's default dialect. With `?aadOptscim062020` in the Tenant URL it writes the same in another \
                 form."
                    .to_owned(),
            );
        }
        Reading { title: self.title(rt), sent, before, open }
    }

    fn sent(&self, rt: &'static ResourceType, open: &mut Vec<String>) -> Sent {
        if self.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("skipped")) {
            let why = self.error.clone().or(self.stopped.clone()).unwrap_or_default();
            let why =
                if why.is_empty() { "; the entry does not say why".to_owned() } else { format!(": {why}") };
            return Sent::Nothing(format!("Entra has skipped it, and sent nothing{why}"));
        }
        if let Some(stopped) = &self.stopped {
            return Sent::Nothing(format!("Entra stopped before it wrote anything, at the step: {stopped}"));
        }
        match self.action(open) {
            Action::Create => self.create(rt, open),
            Action::Delete => Sent::Delete,
            Action::Disable => {
                let mut operations = self.operations(rt, open);
                if !self.changed.iter().any(|property| property.name.eq_ignore_ascii_case("active")) {
                    operations.push(json!({"op": "Replace", "path": "active", "value": "False"}));
                }
                patch(&operations)
            }
            Action::Update => match self.operations(rt, open) {
                operations if operations.is_empty() && !self.changed.is_empty() => Sent::Nothing(
                    "The members before and after are the same, so nothing of it is to be sent.".to_owned(),
                ),
                operations if operations.is_empty() => Sent::Nothing(
                    "The entry lists no modified property, so what Entra has sent is not known: paste one that has \
                     `modifiedProperties`, from Download as JSON."
                        .to_owned(),
                ),
                operations => patch(&operations),
            },
        }
    }

    /// Where it is not said, whoever had nothing before is new.
    fn action(&self, open: &mut Vec<String>) -> Action {
        if let Some(action) = self.action {
            return action;
        }
        let is_new = self.changed.iter().all(|property| property.old.is_none());
        let names =
            |property: &Property| property.name.eq_ignore_ascii_case("userName") && property.new.is_some();
        let action = if is_new && self.changed.iter().any(names) { Action::Create } else { Action::Update };
        let what = if self.is_table { "A table does" } else { "The entry does" };
        let taken = if action == Action::Create { "a create" } else { "an update" };
        open.push(format!("{what} not say what was done: it is taken for {taken}."));
        action
    }

    fn create(&self, rt: &'static ResourceType, open: &mut Vec<String>) -> Sent {
        let mut body = Resource::from_stored(Map::new());
        let (mut unknown, mut placed) = (Map::new(), Vec::new());
        for property in &self.changed {
            let Some(new) = &property.new else { continue };
            match names::path(&property.name, rt).filter(|path| put(&mut body, path, new)) {
                Some(path) => placed.push(path.to_string()),
                None => drop(unknown.insert(property.name.clone(), new.as_str().into())),
            }
        }
        let mut further = 0;
        for (name, value) in &self.exported {
            let path = names::restored(name, rt).filter(|path| !placed.contains(&path.to_string()));
            further += usize::from(path.is_some_and(|path| put(&mut body, &path, value)));
        }
        if further > 0 {
            open.push(format!(
                "{further} attributes are taken from the details of the step, where Entra leaves the punctuation of names out."
            ));
        }
        let mut whole = Map::from_iter([("schemas".to_owned(), schemas(&body, rt))]);
        whole.extend(body.into_map());
        for name in ["emails", "addresses"] {
            if let Some(Value::Array(items)) = whole.get_mut(name) {
                work_is_primary(items);
            }
        }
        whole.extend(unknown);
        if whole.len() == 1 {
            return Sent::Nothing(
                "The entry lists no attribute of the create, so what Entra has sent is not known: paste one that has \
                 `modifiedProperties`, from Download as JSON."
                    .to_owned(),
            );
        }
        Sent::Create(Value::Object(whole))
    }

    fn operations(&self, rt: &'static ResourceType, open: &mut Vec<String>) -> Vec<Value> {
        self.changed.iter().flat_map(|property| operations(property, rt, open)).collect()
    }

    /// Whom or what Entra has found, as far as it is told: the values before the change count most.
    fn before(&self, rt: &'static ResourceType) -> Value {
        let mut before = Resource::from_stored(Map::new());
        for (name, value) in &self.found {
            if let Some(path) = names::restored(name, rt) {
                put(&mut before, &path, value);
            }
        }
        for property in &self.changed {
            let Some(path) = names::path(&property.name, rt) else { continue };
            match &property.old {
                Some(old) => drop(put(&mut before, &path, old)),
                None => drop(before.remove(&path)),
            }
        }
        let has = |before: &Resource, name: &str| {
            names::path(name, rt).is_some_and(|path| before.first(&path).is_some())
        };
        let mut fill = |name: &str, value: &str| {
            if let Some(path) = names::path(name, rt).filter(|_| !has(&before, name)) {
                put(&mut before, &path, value);
            }
        };
        if rt.id == GROUP_TYPE.id {
            fill("displayName", self.name.as_deref().unwrap_or("Example"));
        } else {
            let named = self.name.as_deref().filter(|name| name.contains('@'));
            fill("userName", self.address.as_deref().or(named).unwrap_or(SOMEBODY));
            let name = self.name.as_deref().filter(|name| !name.contains('@')).unwrap_or("Example Person");
            let (given, family) = name.trim().rsplit_once(' ').unwrap_or((name, name));
            fill("name.givenName", given);
            fill("name.familyName", family);
            fill("active", if self.is_activation() { "False" } else { "True" });
        }
        let mut whole = Map::from_iter([("schemas".to_owned(), schemas(&before, rt))]);
        if let Some(id) = &self.id {
            whole.insert("id".to_owned(), id.as_str().into());
        }
        whole.extend(before.into_map().into_iter().filter(|(name, _)| name != "id"));
        Value::Object(whole)
    }

    /// Somebody who becomes active was not.
    fn is_activation(&self) -> bool {
        let is_active = |property: &Property| {
            property.name.eq_ignore_ascii_case("active")
                && property.new.as_deref().is_some_and(|new| new.eq_ignore_ascii_case("true"))
        };
        self.changed.iter().any(is_active)
    }

    fn shortened(&self) -> Option<&str> {
        let is_short = |text: &str| {
            text.ends_with("...") || text.ends_with('…') || text.chars().all(|letter| letter == '*')
        };
        let short = |property: &&Property| {
            [&property.old, &property.new].into_iter().flatten().any(|text| is_short(text))
        };
        self.changed.iter().find(short).map(|property| property.name.as_str())
    }
}

fn patch(operations: &[Value]) -> Sent {
    Sent::Patch(json!({"schemas": [PATCH_OP], "Operations": operations}))
}

/// One operation for each attribute, as Entra's default dialect has it, and one for each way in which members change.
fn operations(property: &Property, rt: &'static ResourceType, open: &mut Vec<String>) -> Vec<Value> {
    let path = property.name.trim();
    if path.eq_ignore_ascii_case("members") {
        return members(property, open);
    }
    if path.eq_ignore_ascii_case("roles") {
        return roles(property);
    }
    let Some(new) = &property.new else {
        open.push(format!("Entra does not log how it clears `{path}`: a Remove is taken."));
        return vec![json!({"op": "Remove", "path": path})];
    };
    if names::path(path, rt).is_none() {
        open.push(format!(
            "`{path}` is no attribute that the bridge knows; it is shown as Entra's mapping names it."
        ));
    }
    let op = if property.old.is_some() { "Replace" } else { "Add" };
    vec![json!({"op": op, "path": path, "value": new})]
}

/// Who was there and is not is taken out, and the other way round.
fn members(property: &Property, open: &mut Vec<String>) -> Vec<Value> {
    let (old, new) = (ids(property.old.as_deref()), ids(property.new.as_deref()));
    if old.len() > 1 || new.len() > 1 {
        open.push(
            "Several members stand in one value of the entry; Entra may have sent each by itself.".to_owned(),
        );
    }
    let differ = |these: &[String], those: &[String]| -> Vec<Value> {
        // Each once; a set, since a pasted value may name tens of thousands.
        let mut seen: HashSet<&String> = those.iter().collect();
        these.iter().filter(|id| seen.insert(id)).map(|id| json!({ "value": id })).collect()
    };
    let changes = [("Add", differ(&new, &old)), ("Remove", differ(&old, &new))].into_iter();
    changes
        .filter(|(_, members)| !members.is_empty())
        .map(|(op, members)| json!({"op": op, "path": "members", "value": members}))
        .collect()
}

/// A list in JSON, of texts or of objects with a `value`, or ids with commas between.
fn ids(text: Option<&str>) -> Vec<String> {
    let text = text.unwrap_or_default();
    let one = |value: &Value| value.as_str().or_else(|| value.get("value")?.as_str()).map(str::to_owned);
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => items.iter().filter_map(one).collect(),
        Ok(value @ Value::Object(_)) => one(&value).into_iter().collect(),
        _ => text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
    }
}

/// App roles: a JSON text in a text each, as Microsoft's "Customize attribute mappings" shows it.
fn roles(property: &Property) -> Vec<Value> {
    let Some(new) = &property.new else { return vec![json!({"op": "Remove", "path": "roles"})] };
    let value = match serde_json::from_str::<Value>(new) {
        Ok(list @ Value::Array(_)) => list,
        Ok(Value::Object(_)) => json!([{ "value": new }]),
        _ => new.split(',').map(|role| json!({ "value": role.trim() })).collect(),
    };
    let op = if property.old.is_some() { "Replace" } else { "Add" };
    vec![json!({"op": op, "path": "roles", "value": value})]
}

/// Puts a text where it belongs, as the type that belongs there. Whether there was a place for it.
fn put(resource: &mut Resource, path: &Path, text: &str) -> bool {
    let value = match path.leaf().map(|leaf| leaf.kind) {
        Some(Kind::Boolean) if text.eq_ignore_ascii_case("true") => true.into(),
        Some(Kind::Boolean) if text.eq_ignore_ascii_case("false") => false.into(),
        Some(Kind::Complex) if path.attribute == "members" => {
            ids(Some(text)).iter().map(|id| json!({ "value": id })).collect()
        }
        Some(Kind::Complex) => match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
            _ => json!({ "value": text }),
        },
        _ => text.into(),
    };
    resource.set(path, value)
}

/// Entra marks the address for work so, in a create.
fn work_is_primary(items: &mut [Value]) {
    for item in items.iter_mut().filter(|item| item.get("type").and_then(Value::as_str) == Some("work")) {
        if let Some(item) = item.as_object_mut() {
            item.entry("primary").or_insert(true.into());
        }
    }
}

/// Entra names both schemas of a user, whatever follows.
fn schemas(resource: &Resource, rt: &'static ResourceType) -> Value {
    let of_extensions = rt
        .extensions
        .iter()
        .filter(|schema| rt.id == USER_TYPE.id || resource.as_map().contains_key(schema.id));
    std::iter::once(rt.schema.id).chain(of_extensions.map(|schema| schema.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::provisioning_log::Log;

    fn reading(entry: &Value, group_is_given: bool) -> Reading {
        let log = Log::read(&entry.to_string()).unwrap().unwrap();
        log.entries[0].reading(group_is_given)
    }

    fn sent(action: &str, kind: &str, changed: &[(&str, Option<&str>, Option<&str>)]) -> Sent {
        let property = |(name, old, new): &(&str, Option<&str>, Option<&str>)| json!({"displayName": name, "oldValue": old, "newValue": new});
        let changed: Vec<Value> = changed.iter().map(property).collect();
        let entry = json!({
            "provisioningAction": action, "modifiedProperties": changed, "targetIdentity": {"id": "1", "identityType": kind},
        });
        reading(&entry, false).sent
    }

    fn operations(sent: Sent) -> Vec<(String, String, Value)> {
        let Sent::Patch(body) = sent else { panic!("{sent:?}") };
        let text = |operation: &Value, name: &str| operation[name].as_str().unwrap_or_default().to_owned();
        let operations = body["Operations"].as_array().unwrap().iter();
        operations.map(|one| (text(one, "op"), text(one, "path"), one["value"].clone())).collect()
    }

    #[test]
    fn an_update_is_an_operation_for_each_attribute() {
        let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
        let role = r#"{"id":"1","value":"Admin","displayName":"Admin"}"#;
        for (name, old, new, op, value) in [
            ("displayName", Some("A"), Some("B"), "Replace", json!("B")),
            ("title", None, Some("CTO"), "Add", json!("CTO")),
            ("title", Some("CTO"), None, "Remove", Value::Null),
            ("emails[type eq \"work\"].value", Some("a@b.c"), Some("d@b.c"), "Replace", json!("d@b.c")),
            (department, None, Some("Design"), "Add", json!("Design")),
            ("active", Some("True"), Some("False"), "Replace", json!("False")),
            ("roles", None, Some(role), "Add", json!([{"value": role}])),
            ("roles", Some("a"), Some("b, c"), "Replace", json!([{"value": "b"}, {"value": "c"}])),
            ("userNickname", None, Some("x"), "Add", json!("x")),
        ] {
            let expected = vec![(op.to_owned(), name.to_owned(), value)];
            assert_eq!(operations(sent("update", "User", &[(name, old, new)])), expected, "{name}");
        }
    }

    #[test]
    fn members_come_and_go() {
        let value = |ids: &[&str]| ids.iter().map(|id| json!({ "value": id })).collect::<Value>();
        for (old, new, expected) in [
            (None, Some("auth0|1"), vec![("Add", value(&["auth0|1"]))]),
            (Some("auth0|1"), None, vec![("Remove", value(&["auth0|1"]))]),
            (Some("1,2"), Some("2, 3"), vec![("Add", value(&["3"])), ("Remove", value(&["1"]))]),
            (Some("1"), Some("1,2,2"), vec![("Add", value(&["2"]))]),
            (None, Some(r#"["1", {"value": "2"}]"#), vec![("Add", value(&["1", "2"]))]),
        ] {
            let got = operations(sent("update", "Group", &[("members", old, new)]));
            let got: Vec<_> = got.into_iter().map(|(op, _, value)| (op, value)).collect();
            let expected: Vec<_> = expected.into_iter().map(|(op, value)| (op.to_owned(), value)).collect();
            assert_eq!(got, expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_create_is_the_whole_resource_with_what_the_step_tells() {
        let entry = json!({
            "provisioningAction": "create",
            "sourceIdentity": {"identityType": "User"},
            "modifiedProperties": [
                {"displayName": "active", "oldValue": null, "newValue": "True"},
                {"displayName": "userName", "oldValue": null, "newValue": "jo@example.com"},
                {"displayName": "emails[type eq \"work\"].value", "oldValue": null, "newValue": "jo@example.com"},
                {"displayName": "shoeSize", "oldValue": null, "newValue": "42"},
            ],
            "provisioningSteps": [{"name": "EntryExportAdd", "provisioningStepType": "export", "details": {
                "ReportableIdentifier": "jo@example.com", "active": "True", "namegivenName": "Jo",
                "urnietfparamsscimschemasextensionenterprise20Userdepartment": "Design",
            }}],
        });
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let read = reading(&entry, false);
        assert_eq!(
            read.sent,
            Sent::Create(json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise],
                "active": true,
                "userName": "jo@example.com",
                "emails": [{"type": "work", "value": "jo@example.com", "primary": true}],
                "name": {"givenName": "Jo"},
                enterprise: {"department": "Design"},
                "shoeSize": "42",
            }))
        );
        assert!(read.open[0].starts_with("2 attributes are taken"), "{:?}", read.open);
        let group = sent("create", "Group", &[("displayName", None, Some("Design"))]);
        let core = "urn:ietf:params:scim:schemas:core:2.0:Group";
        assert_eq!(group, Sent::Create(json!({"schemas": [core], "displayName": "Design"})));
    }

    #[test]
    fn disabling_and_deleting() {
        let off = ("Replace".to_owned(), "active".to_owned(), json!("False"));
        assert_eq!(operations(sent("disable", "User", &[])), std::slice::from_ref(&off));
        assert_eq!(
            operations(sent("stagedDelete", "User", &[("active", Some("True"), Some("False"))])),
            std::slice::from_ref(&off)
        );
        let renamed = operations(sent("disable", "User", &[("userName", Some("a@b.c"), Some("0a@b.c"))]));
        assert_eq!((renamed.len(), &renamed[1]), (2, &off));
        assert_eq!(sent("delete", "Group", &[]), Sent::Delete);
    }

    #[test]
    fn whom_entra_found_is_put_together() {
        let entry = json!({
            "provisioningAction": "update",
            "sourceIdentity": {"displayName": "Jo van Lee", "identityType": "User", "details": {"UserPrincipalName": "jo@example.com"}},
            "targetIdentity": {"id": "auth0|7", "identityType": "User"},
            "modifiedProperties": [
                {"displayName": "title", "oldValue": "CEO", "newValue": "CTO"},
                {"displayName": "nickName", "oldValue": null, "newValue": "J"},
            ],
            "provisioningSteps": [
                {"name": "EntryImportByMatchingProperty", "provisioningStepType": "matching",
                 "details": {"title": "older", "nickName": "stale", "namegivenName": "Joanna", "active": "False"}},
                {"name": "EntryExportUpdate", "provisioningStepType": "export"},
            ],
        });
        let before = reading(&entry, false).before.unwrap();
        let expected = json!({"id": "auth0|7", "title": "CEO", "active": false, "userName": "jo@example.com",
                              "name": {"givenName": "Joanna", "familyName": "Lee"}});
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&before[name], value, "{name}");
        }
        assert_eq!(before.get("nickName"), None);
        let nobody = reading(&json!({"provisioningAction": "delete"}), false).before.unwrap();
        assert_eq!((&nobody["userName"], &nobody["active"]), (&json!(SOMEBODY), &json!(true)));
        let back = json!({"provisioningAction": "update", "modifiedProperties": [{"displayName": "active", "newValue": "True"}]});
        assert_eq!(reading(&back, false).before.unwrap()["active"], false);
    }

    #[test]
    fn what_is_left_open_is_said() {
        let changed =
            |old: Value, new: Value| json!([{"displayName": "title", "oldValue": old, "newValue": new}]);
        for (entry, told) in [
            (
                json!({"provisioningAction": "other", "modifiedProperties": changed(json!("a"), json!("b"))}),
                "taken for an update",
            ),
            (
                json!({"provisioningAction": "update", "modifiedProperties": changed(json!("a"), Value::Null)}),
                "clears `title`",
            ),
            (
                json!({"provisioningAction": "update", "modifiedProperties": changed(json!("a"), json!("Chief of…"))}),
                "shortened",
            ),
            (
                json!({"provisioningAction": "update", "modifiedProperties": changed(json!("a"), json!("***"))}),
                "shortened",
            ),
            (
                json!({"provisioningAction": "update", "modifiedProperties": changed(json!("a"), json!("b"))}),
                "aadOptscim062020",
            ),
        ] {
            let open = reading(&entry, false).open;
            assert!(open.iter().any(|line| line.contains(told)), "{told}: {open:?}");
        }
        let table = Log::read("userName\t\tjo@example.com").unwrap().unwrap();
        assert!(
            table.entries[0].reading(false).open[0]
                .contains("A table does not say what was done: it is taken for a create")
        );
    }

    #[test]
    fn an_entry_of_which_nothing_was_sent_says_why() {
        for (entry, told) in [
            (json!({"provisioningAction": "update", "modifiedProperties": []}), "no modified property"),
            (
                json!({"provisioningAction": "update",
                       "modifiedProperties": [{"displayName": "members", "oldValue": "1,2", "newValue": "2,1"}]}),
                "before and after are the same",
            ),
            (
                json!({"provisioningStatusInfo": {"status": "skipped"}}),
                "sent nothing; the entry does not say why",
            ),
            (json!({"provisioningAction": "create", "modifiedProperties": []}), "no attribute of the create"),
            (
                json!({"provisioningAction": "other", "modifiedProperties": [],
                       "provisioningStatusInfo": {"status": "skipped", "errorInformation": {"reason": "not in scope"}}}),
                "not in scope",
            ),
            (
                json!({"provisioningAction": "update", "modifiedProperties": [],
                       "provisioningSteps": [{"name": "EntryImport", "description": "cannot be read"}]}),
                "at the step: cannot be read",
            ),
        ] {
            match reading(&entry, false).sent {
                Sent::Nothing(why) => assert!(why.contains(told), "{why}"),
                sent => panic!("{entry}: {sent:?}"),
            }
        }
    }

    #[test]
    fn tens_of_thousands_of_members_take_no_time() {
        let ids = |letter: char| {
            (0..60_000).map(|number| format!("{letter}{number}")).collect::<Vec<_>>().join(",")
        };
        let begun = std::time::Instant::now();
        let got = operations(sent("update", "Group", &[("members", Some(&ids('a')), Some(&ids('b')))]));
        assert_eq!(got.len(), 2);
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_table_is_about_whom_its_attributes_tell() {
        let about_group =
            |text: &str, given| Log::read(text).unwrap().unwrap().entries[0].is_about_a_group(given);
        assert!(about_group("members\t\tauth0|1", false));
        assert!(!about_group("displayName\tA\tB", false));
        assert!(about_group("displayName\tA\tB", true));
        assert!(!about_group("title\tA\tB", true));
        let table = Log::read("displayName\tA\tB").unwrap().unwrap();
        assert_eq!(table.entries[0].reading(true).title, "change of the group");
    }
}
