//! A person as the client sees them: with where they stand, their groups, where their manager stands, and the version of it all.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::bridge::groups::of_person;
use crate::bridge::{Bridge, Seen, fingerprint};
use crate::scim::resource::{Meta, Resource};
use crate::scim::schema::{ENTERPRISE_USER, GROUP_TYPE, ResourceType, USER_TYPE};

/// RFC 3986 section 2.3: what needs no encoding gets none, so that the last segment of most locations is the id.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Bridge {
    /// Where the person stands.
    pub fn location(&self, id: &str) -> String {
        self.location_of(&USER_TYPE, id)
    }

    /// Where a resource of this type stands.
    pub fn location_of(&self, rt: &ResourceType, id: &str) -> String {
        format!("{}{}/{}", self.base_url, rt.endpoint, utf8_percent_encode(id, SEGMENT))
    }

    /// The person as the client sees them.
    pub(super) fn representation(&self, seen: &Seen) -> Resource {
        let meta = Meta {
            id: seen.user.id.clone(),
            location: self.location(&seen.user.id),
            created: seen.row.as_ref().and_then(|row| row.created.clone()),
            last_modified: seen.row.as_ref().map(|row| row.last_modified.clone()),
            version: None,
        };
        let mut shown = seen.shown.clone().into_map();
        if !seen.groups.is_empty() {
            let groups = of_person(&seen.groups, |id| self.location_of(&GROUP_TYPE, id));
            shown.insert("groups".to_owned(), Value::Array(groups));
        }
        let mut shown = Resource::from_stored(shown).representation(&USER_TYPE, &meta).into_map();
        self.point_to_manager(&mut shown);
        let version = version(&shown);
        if let Some(meta) = shown.get_mut("meta").and_then(Value::as_object_mut) {
            meta.insert("version".to_owned(), version.into());
        }
        Resource::from_stored(shown)
    }

    /// Entra sends a manager's id alone and reads an object; where the manager stands is the bridge's to say, unless
    /// the client has said it.
    fn point_to_manager(&self, shown: &mut Map<String, Value>) {
        let enterprise = shown.get_mut(ENTERPRISE_USER.id).and_then(|extension| extension.get_mut("manager"));
        let Some(manager) = enterprise.and_then(Value::as_object_mut) else { return };
        let location = manager.get("value").and_then(Value::as_str).map(|id| self.location(id));
        if let (Some(location), false) = (location, manager.contains_key("$ref")) {
            manager.insert("$ref".to_owned(), location.into());
        }
    }
}

/// A weak entity tag that is another one exactly when the representation is.
fn version(representation: &Map<String, Value>) -> String {
    // A JSON object can always be written.
    let text = serde_json::to_string(representation).unwrap_or_default();
    format!("W/\"{:016x}\"", fingerprint(&text))
}

/// The version in a representation.
pub fn version_of(representation: &Resource) -> Option<&str> {
    representation.as_map().get("meta")?.get("version")?.as_str()
}
