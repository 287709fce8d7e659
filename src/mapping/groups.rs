//! What membership in an Entra group grants in Ziflow (`groups:`), looked up for one group at a time.
//!
//! A group has one declaration: that of its object id, else that of its name, else `*`. Who is a member of what, and
//! when grants are given and taken away, is for the bridge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Mapping;
use super::keys::UNDECLARED;
use super::template::Template;
use crate::ziflow::model::Field;

/// What membership in a group grants in Ziflow: no item twice, in the order of the file, roles as Ziflow spells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    pub roles: Vec<String>,
    pub group: Vec<String>,
}

impl Grants {
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.group.is_empty()
    }

    /// The items for a list field, [`Field::Roles`] or [`Field::Group`]; none for another.
    pub fn get(&self, field: Field) -> &[String] {
        match field {
            Field::Roles => &self.roles,
            Field::Group => &self.group,
            _ => &[],
        }
    }

    /// Adds what another group grants.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.roles, other.roles.iter().cloned());
        add(&mut self.group, other.group.iter().cloned());
    }
}

impl Mapping {
    /// What membership in the group grants, by its SCIM `displayName` and `externalId`, which is Entra's object id.
    pub fn grants(&self, display_name: &str, external_id: Option<&str>) -> Grants {
        let declaration = self.groups.declaration(display_name, external_id);
        declaration.map(|(_, declaration)| declaration.grants(display_name)).unwrap_or_default()
    }

    /// By which of its names a group is declared; none when it is not.
    pub fn declared_by(&self, display_name: &str, external_id: Option<&str>) -> Option<DeclaredBy> {
        let (key, _) = self.groups.declaration(display_name, external_id)?;
        Some(match key {
            Key::ObjectId(_) => DeclaredBy::ObjectId,
            Key::Name(_) => DeclaredBy::Name,
            Key::Undeclared => DeclaredBy::Star,
        })
    }
}

/// Which declaration holds for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredBy {
    ObjectId,
    Name,
    /// `*`, which is for every group without a declaration of its own.
    Star,
}

/// A compiled `groups:`.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub(super) declarations: BTreeMap<Key, Declaration>,
}

/// What a group is declared by; letter case does not tell two of them apart, nor do blanks at the ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    ObjectId(String),
    Name(String),
    Undeclared,
}

/// What is declared of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Declaration {
    pub(super) roles: Vec<String>,
    pub(super) group: Vec<Template<DisplayName>>,
}

/// The only placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DisplayName;

impl Groups {
    fn declaration(&self, display_name: &str, external_id: Option<&str>) -> Option<(&Key, &Declaration)> {
        let id = external_id.map(|id| Key::ObjectId(folded(id)));
        let keys = [id, Some(Key::Name(folded(display_name))), Some(Key::Undeclared)];
        keys.into_iter().flatten().find_map(|key| self.declarations.get_key_value(&key))
    }
}

impl Key {
    pub(super) fn new(text: &str) -> Self {
        let text = folded(text);
        if text == UNDECLARED {
            Self::Undeclared
        } else if is_object_id(&text) {
            Self::ObjectId(text)
        } else {
            Self::Name(text)
        }
    }
}

impl Declaration {
    fn grants(&self, display_name: &str) -> Grants {
        let text =
            |template: &Template<DisplayName>| template.render(|DisplayName| Some(display_name.to_owned()));
        let mut grants = Grants::default();
        add(&mut grants.roles, self.roles.iter().cloned());
        add(&mut grants.group, self.group.iter().filter_map(text).map(|text| text.trim().to_owned()));
        grants
    }
}

/// Adds what is not there yet.
fn add(items: &mut Vec<String>, others: impl Iterator<Item = String>) {
    for item in others {
        if !items.contains(&item) {
            items.push(item);
        }
    }
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Hexadecimal digits as 8-4-4-4-12, the form in which Entra writes object ids.
fn is_object_id(text: &str) -> bool {
    let length = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(part.len());
    text.split('-').map(length).eq([8, 4, 4, 4, 12].map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f0d1c9e-0000-4000-8000-2b7d5e3a9c11";

    fn told(grants: &Grants) -> String {
        format!("{} | {}", grants.roles.join("+"), grants.group.join("+"))
    }

    /// What these declarations grant.
    fn granted(groups: &str, name: &str, id: Option<&str>) -> String {
        let text = format!("user:\n  email: {{ from: userName }}\ngroups: {{ {groups} }}\n");
        let (mapping, _) =
            Mapping::compile(&text).unwrap_or_else(|problems| panic!("{groups}: {problems:#?}"));
        told(&mapping.grants(name, id))
    }

    #[test]
    fn a_group_has_one_declaration() {
        let groups = format!(
            "{ID}: {{ roles: [admin] }}, Brand Reviewers: {{ roles: [manager], group: [Brand] }}, Kept Only: {{}}, \
             'Ärzte': {{ roles: billing }}, 404: {{ group: '404' }}, '*': {{ group: ['{{displayName}}'] }}"
        );
        let upper = ID.to_uppercase();
        for (name, id, expected) in [
            ("Anything", Some(ID), "admin | "),
            ("Brand Reviewers", Some(ID), "admin | "),
            ("Anything", Some(upper.as_str()), "admin | "),
            ("Brand Reviewers", Some("6f0d1c9e-0000-4000-8000-2b7d5e3a9c12"), "manager | Brand"),
            ("Brand Reviewers", None, "manager | Brand"),
            (" brand REVIEWERS ", None, "manager | Brand"),
            ("ärzte", None, "billing | "),
            ("404", None, " | 404"),
            ("kept only", None, " | "),
            ("Kept", Some("Kept Only"), " | Kept"),
            // Whoever names a group like an id gains nothing by it, nor does who sends a name as id.
            (ID, None, &format!(" | {ID}")),
            ("x", Some("Brand Reviewers"), " | x"),
            ("x", Some("*"), " | x"),
            ("*", None, " | *"),
            ("", None, " | "),
        ] {
            assert_eq!(granted(&groups, name, id), expected, "{name} {id:?}");
        }
        assert_eq!(granted(&format!("{upper}: {{ roles: [user] }}"), "x", Some(ID)), "user | ");
        assert_eq!(granted("A: { roles: [user] }", "B", Some(ID)), " | ");
        assert_eq!(granted("", "B", Some(ID)), " | ");
    }

    #[test]
    fn it_is_told_which_declaration_holds() {
        let text = format!(
            "user:\n  email: {{ from: userName }}\ngroups: {{ {ID}: {{}}, Design: {{ roles: [manager] }}, '*': {{}} }}\n"
        );
        let (mapping, _) = Mapping::compile(&text).unwrap();
        for (name, id, expected) in [
            ("Design", Some(ID), DeclaredBy::ObjectId),
            ("design ", Some("x"), DeclaredBy::Name),
            ("Motion", None, DeclaredBy::Star),
        ] {
            assert_eq!(mapping.declared_by(name, id), Some(expected), "{name}");
        }
        let (mapping, _) = Mapping::compile(&text.replace(", '*': {}", "")).unwrap();
        assert_eq!(mapping.declared_by("Motion", None), None);
    }

    #[test]
    fn texts_are_made_of_the_name() {
        for (texts, name, expected) in [
            ("[b, a, b]", "x", " | b+a"),
            ("' a '", "x", " | a"),
            (
                "['{displayName}', 'Team {displayname}', '{{{displayName}}}', '{{x}}']",
                "Ö",
                " | Ö+Team Ö+{Ö}+{x}",
            ),
            ("['{displayName}', x]", "x", " | x"),
            ("['Team {displayName}', b]", " ", " | b"),
        ] {
            assert_eq!(granted(&format!("'*': {{ group: {texts} }}"), name, None), expected, "{texts}");
        }
        assert_eq!(granted("a: { roles: [MANAGER, ' user ', Manager] }", "a", None), "manager+user | ");
    }

    #[test]
    fn grants_add_up() {
        let grants = |roles: &[&str], group: &[&str]| Grants {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            group: group.iter().map(|text| (*text).to_owned()).collect(),
        };
        let mut sum = Grants::default();
        assert!(sum.is_empty());
        sum.add(&grants(&[], &["a"]));
        assert!(!sum.is_empty());
        sum.add(&grants(&["user", "manager"], &["b", "a"]));
        sum.add(&grants(&["manager"], &[]));
        assert_eq!(sum, grants(&["user", "manager"], &["a", "b"]));
        assert_eq!(sum.get(Field::Roles), ["user", "manager"]);
        assert_eq!(sum.get(Field::Group), ["a", "b"]);
        assert!(sum.get(Field::Email).is_empty());
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(text, r#"{"roles":["user","manager"],"group":["a","b"]}"#);
        assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), sum);
    }

    #[test]
    fn object_ids_are_known_by_their_form() {
        for (text, is_id) in [
            (ID, true),
            ("6F0D1C9E-0000-4000-8000-2B7D5E3A9C11", true),
            (" 6f0d1c9e-0000-4000-8000-2b7d5e3a9c11", true),
            ("6f0d1c9e-0000-4000-8000-2b7d5e3a9c1", false),
            ("6f0d1c9e-0000-4000-8000-2b7d5e3a9c1g", false),
            ("6f0d1c9e00004000-8000-2b7d5e3a9c11", false),
            ("6f0d1c9e-0000-4000-8000-2b7d5e3a9c11-", false),
            ("6f0d1c9e-0000-4000-8000-2b7d5e3a9c11-0000", false),
            ("{6f0d1c9e-0000-4000-8000-2b7d5e3a9c11}", false),
            ("", false),
        ] {
            assert_eq!(matches!(Key::new(text), Key::ObjectId(_)), is_id, "{text}");
        }
    }
}
