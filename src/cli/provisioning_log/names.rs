//! Names of attributes. Modified properties have them as the mapping in Entra does; in the details of steps the dots and
//! colons are gone: `namefamilyName`, `emails[type eq "work"]value`.

use crate::scim::path::Path;
use crate::scim::schema::{Attribute, ResourceType};

/// The path with this name, if there is one.
pub(super) fn path(name: &str, rt: &'static ResourceType) -> Option<Path> {
    Path::parse(name.trim(), rt).ok()
}

/// The path whose name was this before it lost its punctuation. What is no attribute, such as `ReportableIdentifier`, is none.
pub(super) fn restored(name: &str, rt: &'static ResourceType) -> Option<Path> {
    if let Some((attribute, sub)) = name.rsplit_once(']') {
        let sub = sub.trim_start_matches('.');
        let whole = if sub.is_empty() { name.to_owned() } else { format!("{attribute}].{sub}") };
        return path(&whole, rt);
    }
    if let Some(path) = path(name, rt).filter(|path| path.definition().is_some()) {
        return Some(path);
    }
    let bare = bare(name);
    let is_it = |text: &String| self::bare(text) == bare;
    let urn = |schema: &str| if schema == rt.schema.id { String::new() } else { format!("{schema}:") };
    let mut names = rt.schemas().flat_map(|schema| {
        let urn = urn(schema.id);
        schema.attributes.iter().flat_map(move |attribute| named(&urn, attribute))
    });
    names.find(is_it).and_then(|text| path(&text, rt))
}

fn named(urn: &str, attribute: &Attribute) -> Vec<String> {
    let whole = format!("{urn}{}", attribute.name);
    let subs = attribute.sub_attributes.iter().map(|sub| format!("{whole}.{}", sub.name));
    std::iter::once(whole.clone()).chain(subs).collect()
}

fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{GROUP_TYPE, USER_TYPE};

    #[test]
    fn lost_punctuation_comes_back() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (name, expected) in [
            ("userName", Some("userName".to_owned())),
            ("active", Some("active".to_owned())),
            ("namefamilyName", Some("name.familyName".to_owned())),
            ("name.familyName", Some("name.familyName".to_owned())),
            ("emails[type eq \"work\"]value", Some("emails[type eq \"work\"].value".to_owned())),
            ("emails[type eq \"work\"].value", Some("emails[type eq \"work\"].value".to_owned())),
            (
                "urnietfparamsscimschemasextensionenterprise20Userdepartment",
                Some(format!("{enterprise}:department")),
            ),
            ("ReportableIdentifier", None),
            ("IsSoftDeleted", None),
            ("emails[type eq]value", None),
            ("]", None),
            ("", None),
        ] {
            let path = restored(name, &USER_TYPE).map(|path| path.to_string());
            assert_eq!(path, expected, "{name}");
        }
        assert_eq!(
            restored("DisplayName", &GROUP_TYPE).map(|path| path.to_string()).as_deref(),
            Some("displayName")
        );
    }
}
