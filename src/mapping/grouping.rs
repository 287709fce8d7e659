//! From `groups:` as written to what each group grants, and what is doubtful in it.

use std::collections::BTreeMap;

use super::field::{FieldMapping, Otherwise, Source};
use super::group_spec::GroupSpec;
use super::groups::{Declaration, DisplayName, Groups, Key};
use super::keys::{DISPLAY_NAME, UNDECLARED};
use super::spec::{Literal, Placed};
use super::template::Template;
use super::value;
use crate::yaml::{Problems, nearest};
use crate::ziflow::model::{ADMIN, Field, FieldValue, LITE_USER, ROLES};

/// Where somebody finds an object id.
const WHERE: &str = "declare the group by its object id: in Entra, Groups > the group > Overview > Object Id";

pub(super) fn groups(specs: &[GroupSpec], fields: &[FieldMapping], problems: &mut Problems) -> Groups {
    let mut groups = Groups::default();
    let mut places: BTreeMap<Key, &Placed<String>> = BTreeMap::new();
    for spec in specs {
        let key = Key::new(&spec.name.value);
        check_name(&spec.name, &key, problems);
        let declaration = declaration(spec, &key, problems);
        if spec.name.value.trim().is_empty() {
            continue;
        }
        if let Some(first) = places.get(&key) {
            twice(&spec.name, &key, first, problems);
            continue;
        }
        places.insert(key.clone(), &spec.name);
        groups.declarations.insert(key, declaration);
    }
    lite_users(specs, fields, problems);
    groups
}

fn twice(name: &Placed<String>, key: &Key, first: &Placed<String>, problems: &mut Problems) {
    let what = match key {
        Key::ObjectId(_) => "are one object id",
        Key::Name(_) => "are one name",
        Key::Undeclared => "are the same",
    };
    let message = format!("`{}` and `{}` at line {} {what}", name.value, first.value, first.at.line);
    problems
        .error(name.at, &name.key, message)
        .hint("keep one of the two; letter case and blanks at the ends do not tell groups apart");
}

/// What was perhaps meant to be something else than a name.
fn check_name(name: &Placed<String>, key: &Key, problems: &mut Problems) {
    let Key::Name(text) = key else { return };
    if text.is_empty() {
        problems
            .error(name.at, &name.key, "a group without a name")
            .hint("put its object id or its name before the colon");
    } else if text.contains(UNDECLARED) {
        let message = format!("`{}` is taken as a name, with the `*` in it", name.value);
        problems
            .warning(name.at, &name.key, message)
            .hint("only `*` alone stands for other groups: those that are not declared");
    } else if resembles_object_id(text) {
        let message = format!("`{}` is taken as a name: it is no object id", name.value);
        problems
            .warning(name.at, &name.key, message)
            .hint("an object id has 8-4-4-4-12 hexadecimal digits and nothing else");
    }
}

/// Twenty or more hexadecimal digits and hardly anything else: nobody gives a group such a name.
fn resembles_object_id(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    digits >= 20 && text.chars().count() <= digits + 8 && !text.contains(' ')
}

fn declaration(spec: &GroupSpec, key: &Key, problems: &mut Problems) -> Declaration {
    let roles = spec.roles.as_ref().map(|roles| roles_of(roles, key, problems)).unwrap_or_default();
    let texts = spec.group.iter().flat_map(|group| &group.value);
    let group = texts.filter_map(|text| template(text, key, problems)).collect();
    Declaration { roles, group }
}

fn roles_of(spec: &Placed<Vec<Placed<String>>>, key: &Key, problems: &mut Problems) -> Vec<String> {
    // What could not be read has been reported.
    if spec.value.is_empty() {
        return Vec::new();
    }
    for role in spec.value.iter().filter(|role| is(ADMIN, role)) {
        administrators(role, key, problems);
    }
    let value = Literal::List(spec.value.clone());
    let literal = Placed { at: spec.at, key: spec.key.clone(), value };
    value::literal(Field::Roles, &literal, problems).map(|value| value::texts(&value)).unwrap_or_default()
}

/// Who may rename groups, or make them, is not always somebody who may make administrators.
fn administrators(role: &Placed<String>, key: &Key, problems: &mut Problems) {
    let message = match key {
        Key::ObjectId(_) => {
            problems
                .warning(role.at, &role.key, "members of this group become Ziflow admins")
                .hint("make sure that only people you trust choose its members");
            return;
        }
        Key::Name(_) => "`admin` is not granted by a name: a group's owner could rename it",
        Key::Undeclared => "`admin` is not granted by `*`: whoever can make a group could become an admin",
    };
    problems.error(role.at, &role.key, message).hint(WHERE);
}

fn template(spec: &Placed<String>, key: &Key, problems: &mut Problems) -> Option<Template<DisplayName>> {
    if spec.value.trim().is_empty() {
        problems.error(spec.at, &spec.key, "an empty text is no value for `group`").hint("remove it");
        return None;
    }
    let template = match Template::parse_text(&spec.value, |name| placeholder(name, spec, problems)) {
        Ok(template) => template?,
        Err(message) => {
            problems.error(spec.at, &spec.key, message);
            return None;
        }
    };
    if *key == Key::Undeclared && template.is_fixed() {
        problems
            .warning(
                spec.at,
                &spec.key,
                format!("everybody in a group that is not declared gets `{}`", spec.value),
            )
            .hint("write \"{displayName}\" for the group's own name, or declare the groups that are meant");
    }
    Some(template)
}

fn placeholder(name: &str, spec: &Placed<String>, problems: &mut Problems) -> Option<DisplayName> {
    // Names of attributes have no case in SCIM.
    if name.eq_ignore_ascii_case(DISPLAY_NAME) {
        return Some(DisplayName);
    }
    let problem = problems.error(spec.at, &spec.key, format!("`{{{name}}}` is no placeholder here"));
    problem.hint(match nearest(name, [DISPLAY_NAME]) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => {
            format!("there is `{{{DISPLAY_NAME}}}`, the group's name; write `{{{{` and `}}}}` for braces")
        }
    });
    None
}

/// A lite user who is given another role becomes something else than this file says in one of two places.
fn lite_users(specs: &[GroupSpec], fields: &[FieldMapping], problems: &mut Problems) {
    let mapped = fields.iter().any(|mapping| mapping.field == Field::Roles && gives_others(mapping));
    let lite = |role: &&Placed<String>| is(LITE_USER, role);
    let others = specs.iter().find(|spec| roles(spec).any(|role| !lite(&role)));
    let source = match others {
        _ if mapped => "`user.roles`".to_owned(),
        Some(other) => format!("the group at line {}", other.name.at.line),
        None => return,
    };
    // Beside another role in one declaration, it has been reported.
    let alone = |spec: &&GroupSpec| roles(spec).all(|role| lite(&role));
    for role in specs.iter().filter(alone).flat_map(roles) {
        let message = format!("`lite_user` excludes every other role, and {source} can give others");
        problems
            .warning(role.at, &role.key, message)
            .hint("see to it that no member of this group is given one of them");
    }
}

fn roles(spec: &GroupSpec) -> impl Iterator<Item = &Placed<String>> {
    spec.roles.iter().flat_map(|roles| &roles.value)
}

fn is(role: &str, spec: &Placed<String>) -> bool {
    value::canonical(Field::Roles, &spec.value).is_some_and(|known| known == role)
}

/// Whether the field can become something else than a lite user.
fn gives_others(mapping: &FieldMapping) -> bool {
    let other = |value: &FieldValue| value::texts(value).iter().any(|role| role != LITE_USER);
    let source = match &mapping.source {
        Source::Constant(value) => other(value),
        Source::Rules(rules) => rules.iter().any(|rule| other(&rule.value)),
        Source::From(_) | Source::Template(_) => match &mapping.table {
            Some(table) => table.values().any(other),
            None => ROLES.iter().any(|role| *role != LITE_USER && mapping.takes(role)),
        },
    };
    let otherwise = matches!(&mapping.otherwise, Otherwise::Value(value) if other(value));
    mapping.writes() && (source || otherwise || mapping.default.as_ref().is_some_and(other))
}
