//! What Entra's provisioning log shows of a change, as it is downloaded, asked of Microsoft Graph or copied: read to entries,
//! and each entry to the SCIM request that Entra sends of it. Pure, and bounded by what is pasted.

mod entry;
mod names;
mod sent;
mod table;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub use crate::cli::provisioning_log::sent::{Reading, Sent};

/// So many entries of what was pasted are explained.
pub const MOST_ENTRIES: usize = 20;

/// An entry lists no more attributes than an application has mappings.
const MOST_PROPERTIES: usize = 500;

/// What was pasted: entries, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub entries: Vec<Entry>,
    /// How many there were beside these.
    pub further: usize,
}

/// What is to be done, in Entra's words (`provisioningAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Disable,
    Delete,
}

/// One entry: what it says of one person or group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// None: it does not say.
    pub action: Option<Action>,
    /// Whether it is about a group; none: it does not say.
    pub of_group: Option<bool>,
    pub name: Option<String>,
    /// What the person signs in to Entra with.
    pub address: Option<String>,
    /// The SCIM id.
    pub id: Option<String>,
    pub when: Option<String>,
    /// `success`, `failure`, `skipped`, `warning`.
    pub status: Option<String>,
    /// The code and the reason of a failure.
    pub error: Option<String>,
    /// Under which request id the bridge has answered, if the reason holds one.
    pub request_id: Option<String>,
    /// Whether it is a table that was copied from the portal.
    is_table: bool,
    /// Where Entra stopped before it wrote anything.
    stopped: Option<String>,
    changed: Vec<Property>,
    /// What a create has sent, by names without punctuation.
    exported: Vec<(String, String)>,
    /// What Entra had found before, by such names.
    found: Vec<(String, String)>,
}

/// A modified property: the values are texts, and nothing where there was or is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Property {
    name: String,
    old: Option<String>,
    new: Option<String>,
}

impl Log {
    /// None: this is no provisioning log. Else its entries, or what is missing and what to paste in its place.
    pub fn read(text: &str) -> Option<Result<Self, String>> {
        let text = text.trim_start_matches('\u{feff}');
        if !text.trim_start().starts_with(['{', '[']) {
            return table::read(text)
                .map(|entry| entry.map(|entry| Self { entries: vec![entry], further: 0 }));
        }
        // Several are pasted one behind the other, and some services write one in each line.
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let values: Vec<Value> = values.collect::<Result<_, _>>().ok()?;
        let found: Vec<Found<'_>> = values.iter().map(Found::of).collect();
        if !found.iter().any(|found| !matches!(found, Found::Nothing)) {
            return None;
        }
        Some(Self::of(found))
    }

    fn of(found: Vec<Found<'_>>) -> Result<Self, String> {
        let mut log = Self::default();
        for found in found {
            let entries = match found {
                Found::Entries(entries) => entries,
                Found::Nothing => return Err(format!("{MIXED}: {PASTE}")),
                Found::Other(what) => return Err(format!("{what}: {PASTE}")),
            };
            for entry in entries {
                if log.entries.len() == MOST_ENTRIES {
                    log.further += 1;
                } else {
                    log.entries.push(entry::read(&entry)?);
                }
            }
        }
        Ok(log)
    }
}

/// The remedy.
const PASTE: &str = "paste entries of Provisioning logs, as Download as JSON or Microsoft Graph's GET /auditLogs/provisioning \
                     give them, or the lines of the tab Modified properties";

const MIXED: &str = "beside entries of the provisioning log there is something else";

/// What a JSON value turns out to be.
enum Found<'a> {
    Entries(Vec<Cow<'a, Map<String, Value>>>),
    /// Something of Entra's that is no provisioning log, and what.
    Other(&'static str),
    Nothing,
}

/// The members that only entries have.
const MARKS: [&str; 4] =
    ["modifiedProperties", "provisioningAction", "provisioningSteps", "provisioningStatusInfo"];

/// Lists of entries are members of an object by these names: Graph's, and those of Azure's streams.
const LISTS: [&str; 2] = ["value", "records"];

impl<'a> Found<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Object(map) => Self::of_object(map),
            Value::Array(items) => Self::of_list(items.iter().map(Cow::Borrowed)),
            _ => Self::Nothing,
        }
    }

    fn of_object(map: &'a Map<String, Value>) -> Self {
        if member(map, "targetResources").is_some() {
            return Self::Other("this is the audit log, which does not hold what was provisioned");
        }
        if MARKS.iter().any(|mark| member(map, mark).is_some()) {
            return Self::Entries(vec![Cow::Borrowed(map)]);
        }
        // Azure Monitor puts each entry into a record of its own.
        if let Some(Value::Object(inside)) = member(map, "properties") {
            return Self::of_object(inside);
        }
        match LISTS.iter().find_map(|name| member(map, name)).map(unpacked) {
            Some(Cow::Borrowed(Value::Array(items)))
                if items.is_empty() && member(map, "@odata.context").is_some() =>
            {
                Self::Other("this list holds no entry")
            }
            Some(Cow::Borrowed(Value::Array(items))) => Self::of_list(items.iter().map(Cow::Borrowed)),
            Some(Cow::Owned(Value::Array(items))) => Self::of_list(items.into_iter().map(Cow::Owned)),
            _ => Self::Nothing,
        }
    }

    fn of_list(items: impl Iterator<Item = Cow<'a, Value>>) -> Self {
        let mut entries = Vec::new();
        for item in items {
            let inside = match item {
                Cow::Borrowed(value) => Self::of(value),
                Cow::Owned(Value::Object(map)) if MARKS.iter().any(|mark| member(&map, mark).is_some()) => {
                    Self::Entries(vec![Cow::Owned(map)])
                }
                Cow::Owned(_) => Self::Nothing,
            };
            match inside {
                Self::Entries(inside) => entries.extend(inside),
                Self::Nothing if !entries.is_empty() => return Self::Other(MIXED),
                other => return other,
            }
        }
        if entries.is_empty() { Self::Nothing } else { Self::Entries(entries) }
    }
}

/// Log Analytics writes the same names with a capital letter.
fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Log Analytics, and a provisioning on demand through Graph, write what is inside as a text of JSON.
fn unpacked(value: &Value) -> Cow<'_, Value> {
    let text = value.as_str().map(str::trim).filter(|text| text.starts_with(['{', '[']));
    match text.and_then(|text| serde_json::from_str(text).ok()) {
        Some(inside) => Cow::Owned(inside),
        None => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> Value {
        json!({
            "id": "1", "activityDateTime": "2026-03-24T07:23:47Z", "provisioningAction": "update",
            "sourceIdentity": {"id": "2", "displayName": "Jo Lee", "identityType": "User"},
            "targetIdentity": {"id": "auth0|7", "displayName": "", "identityType": "User"},
            "modifiedProperties": [{"displayName": "title", "oldValue": null, "newValue": "CTO"}],
        })
    }

    fn count(text: &str) -> Option<Result<(usize, usize), String>> {
        Log::read(text).map(|log| log.map(|log| (log.entries.len(), log.further)))
    }

    #[test]
    fn entries_are_found_however_they_are_wrapped() {
        let one = entry();
        let monitor = json!({"category": "ProvisioningLogs", "properties": one});
        let analytics = json!({
            "ProvisioningAction": "update", "ModifiedProperties": one["modifiedProperties"].to_string(),
            "TargetIdentity": one["targetIdentity"].to_string(),
        });
        let on_demand = json!({"@odata.context": "…", "key": "…", "value": json!([one]).to_string()});
        let many = json!({"value": vec![one.clone(); MOST_ENTRIES + 3]});
        for (text, expected) in [
            (one.to_string(), (1, 0)),
            (format!("\u{feff}{one:#}\n{one}"), (2, 0)),
            (json!([one, one]).to_string(), (2, 0)),
            (json!({"@odata.context": "…", "value": [one]}).to_string(), (1, 0)),
            (json!({"records": [monitor]}).to_string(), (1, 0)),
            (monitor.to_string(), (1, 0)),
            (analytics.to_string(), (1, 0)),
            (on_demand.to_string(), (1, 0)),
            (many.to_string(), (MOST_ENTRIES, 3)),
        ] {
            assert_eq!(count(&text), Some(Ok(expected)), "{text}");
            let first = &Log::read(&text).unwrap().unwrap().entries[0];
            assert_eq!(first.changed[0].new.as_deref(), Some("CTO"), "{text}");
            assert_eq!(
                (first.action, first.id.as_deref()),
                (Some(Action::Update), Some("auth0|7")),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_provisioning_log_is_left_to_others() {
        for text in [
            "",
            "{",
            r#"{"userName": "jo@example.com"}"#,
            r#"{"Operations": [{"op": "add", "path": "members", "value": []}]}"#,
            r#"{"op": "add", "value": [{"value": "1"}]}"#,
            "[]",
            "[1]",
            "{} {}",
            "PATCH /Users/1\n\n{}",
            "jo@example.com",
            "7",
        ] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_with_the_remedy() {
        let one = entry();
        let many: Vec<Value> = vec![json!({"displayName": "title"}); MOST_PROPERTIES + 1];
        for (value, told) in [
            (json!([one, {"userName": "x"}]).to_string(), "provisioning log there is something else"),
            (format!("{one} {{}}"), "there is something else"),
            (json!({"targetResources": [], "modifiedProperties": []}).to_string(), "audit log"),
            (json!({"@odata.context": "…#auditLogs/provisioning", "value": []}).to_string(), "no entry"),
            (json!({"modifiedProperties": many}).to_string(), "more than 500"),
            (json!({"modifiedProperties": [{"oldValue": "x"}]}).to_string(), "`displayName`"),
            (json!({"modifiedProperties": [7]}).to_string(), "modifiedProperties[0]"),
            (json!({"provisioningSteps": "x"}).to_string(), "provisioningSteps"),
        ] {
            let error = count(&value).unwrap().unwrap_err();
            assert!(error.contains(told), "{value}: {error}");
        }
    }
}
