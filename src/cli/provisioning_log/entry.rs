//! One entry of the provisioning log (`provisioningObjectSummary` of Microsoft Graph): what of it matters to a request.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::cli::provisioning_log::{Action, Entry, MOST_PROPERTIES, Property, member, unpacked};

/// Steps that write are named so, whatever they write.
const EXPORT: &str = "EntryExport";

/// How the bridge ends the text of an error.
const REQUEST_ID: &str = "(request-id ";
const REQUEST_ID_CHARS: usize = 16;

pub(super) fn read(map: &Map<String, Value>) -> Result<Entry, String> {
    let steps = list(map, "provisioningSteps")?;
    let steps = Steps(steps.iter().filter_map(Value::as_object).collect());
    let (source, target) = (object(map, "sourceIdentity"), object(map, "targetIdentity"));
    let action = ["provisioningAction", "action"].iter().find_map(|name| text(map, name));
    let action = action.as_deref().and_then(action_of).or_else(|| steps.action());
    let kind = [&target, &source].into_iter().find_map(|identity| text(identity, "identityType"));
    let of_group = kind.map(|kind| kind.to_ascii_lowercase().ends_with("group"));
    let status = ["provisioningStatusInfo", "statusInfo"].iter().find_map(|name| member(map, name));
    let status = status.map(unpacked).and_then(as_object).unwrap_or_default();
    // Graph's older form has the error in place of the status.
    let error = member(&status, "errorInformation")
        .map(unpacked)
        .and_then(as_object)
        .unwrap_or_else(|| status.clone());
    let reason = text(&error, "reason").or_else(|| text(map, "resultDescription"));
    let error =
        [text(&error, "errorCode"), reason.clone()].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let found = steps.found();
    let own_id = found.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).map(|(_, id)| id.clone());
    let details = object(&source, "details");
    Ok(Entry {
        action,
        of_group,
        name: [&source, &target].into_iter().find_map(|identity| text(identity, "displayName")),
        address: text(&details, "UserPrincipalName").or_else(|| steps.identifier()),
        id: text(&object(&target, "details"), "id").or(own_id).or_else(|| text(&target, "id")),
        when: ["activityDateTime", "TimeGenerated"].iter().find_map(|name| text(map, name)),
        status: text(&status, "status").or_else(|| text(map, "resultType")),
        error: Some(error).filter(|error| !error.is_empty()),
        request_id: reason.as_deref().and_then(request_id),
        is_table: false,
        stopped: steps.stopped(),
        changed: changed(map)?,
        exported: steps.exported(),
        found,
    })
}

fn changed(map: &Map<String, Value>) -> Result<Vec<Property>, String> {
    let properties = list(map, "modifiedProperties")?;
    if properties.len() > MOST_PROPERTIES {
        return Err(format!(
            "an entry lists more than {MOST_PROPERTIES} modified properties: that is none of Entra's"
        ));
    }
    let one = |(number, property): (usize, &Value)| {
        let Value::Object(property) = property else {
            return Err(format!(
                "modifiedProperties[{number}] of an entry is no object: paste the entry whole"
            ));
        };
        let name = text(property, "displayName").ok_or_else(|| {
            format!("modifiedProperties[{number}] of an entry has no `displayName`, which names the attribute: paste the entry whole")
        })?;
        Ok(Property { name, old: value(property, "oldValue"), new: value(property, "newValue") })
    };
    properties.iter().enumerate().map(one).collect()
}

/// The steps of an entry.
struct Steps<'a>(Vec<&'a Map<String, Value>>);

impl Steps<'_> {
    fn exports(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.0.iter().copied().filter(|step| is_export(step))
    }

    fn action(&self) -> Option<Action> {
        self.exports().find_map(|step| action_of(&text(step, "name")?))
    }

    fn exported(&self) -> Vec<(String, String)> {
        self.exports().flat_map(details).take(MOST_PROPERTIES).collect()
    }

    /// What was there before: Entra reads it in steps of the type `matching`.
    fn found(&self) -> Vec<(String, String)> {
        let is_read = |step: &&&Map<String, Value>| {
            let name = text(step, "name").unwrap_or_default();
            kind(step) == "matching" && name.starts_with("EntryImport")
        };
        self.0.iter().filter(is_read).flat_map(|step| details(step)).take(MOST_PROPERTIES).collect()
    }

    /// Where Entra stopped; nothing if it has written, or has not said.
    fn stopped(&self) -> Option<String> {
        if self.exports().next().is_some() {
            return None;
        }
        let last = self.0.last()?;
        text(last, "description").or_else(|| text(last, "name"))
    }

    fn identifier(&self) -> Option<String> {
        let named = self.0.iter().find_map(|step| text(&object(step, "details"), "ReportableIdentifier"));
        named.filter(|name| name.contains('@'))
    }
}

fn is_export(step: &Map<String, Value>) -> bool {
    kind(step) == "export" || text(step, "name").is_some_and(|name| name.starts_with(EXPORT))
}

/// `type` in the answer to a provisioning on demand.
fn kind(step: &Map<String, Value>) -> String {
    let kind = ["provisioningStepType", "type"].iter().find_map(|name| text(step, name));
    kind.unwrap_or_default().to_ascii_lowercase()
}

fn details(step: &Map<String, Value>) -> Vec<(String, String)> {
    let details = object(step, "details");
    details.iter().filter_map(|(name, value)| Some((name.clone(), value_text(value)?))).collect()
}

/// What `provisioningAction` says, or a step such as `EntryExportUpdate`.
fn action_of(word: &str) -> Option<Action> {
    let word = word.strip_prefix(EXPORT).unwrap_or(word).to_ascii_lowercase();
    match word.as_str() {
        "create" | "add" => Some(Action::Create),
        "update" => Some(Action::Update),
        "disable" | "stageddelete" | "updatesoftdelete" | "softdelete" => Some(Action::Disable),
        "delete" => Some(Action::Delete),
        _ => None,
    }
}

/// The id at the end of the bridge's words, in whatever Entra wraps them.
fn request_id(reason: &str) -> Option<String> {
    let (_, rest) = reason.rsplit_once(REQUEST_ID)?;
    let id: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    (id.len() == REQUEST_ID_CHARS).then_some(id)
}

/// A text that says something.
fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    member(map, name)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn value(map: &Map<String, Value>, name: &str) -> Option<String> {
    value_text(member(map, name)?)
}

/// A value is a text or nothing; whatever else stands there is taken as it is written. Some tools put it in quotes.
fn value_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let text = if quoted { serde_json::from_str(&text).unwrap_or(text) } else { text };
    Some(text).filter(|text| !text.is_empty())
}

fn object(map: &Map<String, Value>, name: &str) -> Map<String, Value> {
    member(map, name).map(unpacked).and_then(as_object).unwrap_or_default()
}

fn as_object(value: Cow<'_, Value>) -> Option<Map<String, Value>> {
    match value.into_owned() {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// A list that may be missing.
fn list(map: &Map<String, Value>, name: &str) -> Result<Vec<Value>, String> {
    match member(map, name).map(unpacked).map(Cow::into_owned) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} of an entry is no list: paste the entry whole")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: &Value) -> Entry {
        read(value.as_object().unwrap()).unwrap()
    }

    #[test]
    fn what_is_to_be_done_is_told_by_the_action_or_by_the_step() {
        let step = |name: &str, kind: &str| json!({"provisioningSteps": [{"name": name, "provisioningStepType": kind}]});
        for (value, action) in [
            (json!({"provisioningAction": "create"}), Some(Action::Create)),
            (json!({"action": "Update"}), Some(Action::Update)),
            (json!({"action": "EntryExportUpdate"}), Some(Action::Update)),
            (json!({"provisioningAction": "stagedDelete"}), Some(Action::Disable)),
            (json!({"provisioningAction": "disable"}), Some(Action::Disable)),
            (json!({"provisioningAction": "delete"}), Some(Action::Delete)),
            (json!({"provisioningAction": "other"}), None),
            (step("EntryExportAdd", "export"), Some(Action::Create)),
            (step("EntryExportUpdateSoftDelete", "Export"), Some(Action::Disable)),
            (step("EntryImportAdd", "import"), None),
        ] {
            assert_eq!(entry(&value).action, action, "{value}");
        }
    }

    #[test]
    fn a_failure_is_told_with_the_request_id_of_the_bridge() {
        let reason = "StatusCode: Conflict\r\nMessage: …\r\nWeb Response: \r\n{\"detail\":\"taken (request-id \
                      0123456789abcdef)\",\"status\":\"409\"}. This operation was retried 1 times.";
        let error = json!({"errorCode": "Conflict", "reason": reason});
        for value in [
            json!({"provisioningStatusInfo": {"status": "failure", "errorInformation": error}}),
            json!({"statusInfo": {"status": "failure", "errorCode": "Conflict", "reason": reason}}),
            json!({"ProvisioningStatusInfo": json!({"Status": "failure", "ErrorInformation": error}).to_string()}),
        ] {
            let read = entry(&value);
            assert_eq!(read.request_id.as_deref(), Some("0123456789abcdef"), "{value}");
            assert_eq!(read.status.as_deref(), Some("failure"), "{value}");
            assert!(read.error.unwrap().starts_with("Conflict: StatusCode: "), "{value}");
        }
        let fine = entry(&json!({"provisioningStatusInfo": {"status": "success", "errorInformation": null}}));
        assert_eq!((fine.error, fine.request_id), (None, None));
        for no_id in ["(request-id 0123)", "request-id 0123456789abcdef", "(request-id x"] {
            assert_eq!(request_id(no_id), None, "{no_id}");
        }
    }

    #[test]
    fn values_are_texts_or_nothing() {
        let read = entry(&json!({"modifiedProperties": [
            {"displayName": "a", "oldValue": null, "newValue": ""},
            {"displayName": "b", "oldValue": "\"quoted\"", "newValue": "say \"x\""},
            {"displayName": "c", "oldValue": false, "newValue": {"x": 1}},
        ]}));
        let values: Vec<_> =
            read.changed.iter().map(|one| (one.old.as_deref(), one.new.as_deref())).collect();
        assert_eq!(
            values,
            [(None, None), (Some("quoted"), Some("say \"x\"")), (Some("false"), Some("{\"x\":1}"))]
        );
    }

    #[test]
    fn where_entra_stopped_before_it_wrote() {
        let steps = |last: Value| json!({"provisioningSteps": [{"name": "EntryImportAdd"}, last]});
        let scoped =
            entry(&steps(json!({"name": "EntrySynchronizationScoping", "description": "not in scope"})));
        assert_eq!(scoped.stopped.as_deref(), Some("not in scope"));
        assert_eq!(entry(&steps(json!({"name": "EntryExportAdd"}))).stopped, None);
        assert_eq!(entry(&json!({})).stopped, None);
    }
}
