//! Checks of parts that are right by themselves and wrong together.

use serde_json::{Value, json};

use super::backwards::touches;
use super::field::{FieldMapping, Otherwise, Source};
use super::spec::{Direction, FieldSpec, Placed, Spec};
use super::{Fill, Mapping, source, value};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::yaml::Problems;
use crate::ziflow::model::{ADMIN, Field, FieldValue};

/// Keys that have no effect are mistakes: the operator meant something by them.
pub(super) fn keys(spec: &FieldSpec, mapping: &FieldMapping, problems: &mut Problems) {
    let from = spec.from.is_some();
    let text = from || spec.template.is_some();
    let any = text && mapping.takes_any_text();
    let to_scim = mapping.direction == Direction::ToScim;
    let texts = "it works on what `from` or `template` give";
    useless(spec.transform.as_ref(), !text, texts, problems);
    useless(spec.default.as_ref(), !text, texts, problems);
    useless(spec.required.as_ref(), !text, texts, problems);
    useless(spec.otherwise.as_ref(), spec.value.is_some(), "`value` is always there", problems);
    useless(spec.values.as_ref(), !from, "it looks up what `from` gives", problems);
    useless(spec.only.as_ref(), !text, texts, problems);
    useless(
        spec.only.as_ref(),
        text && spec.values.is_some(),
        "`values` takes nothing but its rows",
        problems,
    );
    useless(spec.otherwise.as_ref(), any, "without `values` or `only`, any text fits this field", problems);
    useless(spec.owns.as_ref(), !mapping.field.is_list(), "it is for lists, `roles` and `group`", problems);
    useless(
        spec.direction.as_ref(),
        to_scim && !text,
        "only `from` and `template` can be turned round",
        problems,
    );
    let unsent = "with `direction: to_scim` nothing is sent to Ziflow";
    useless(spec.default.as_ref(), to_scim && text, unsent, problems);
    useless(spec.required.as_ref(), to_scim && text, unsent, problems);
    useless(spec.otherwise.as_ref(), to_scim && !any, unsent, problems);
    useless(spec.only.as_ref(), to_scim && text, unsent, problems);
    let required = spec.required.as_ref().filter(|required| required.value);
    if let (Some(required), Otherwise::Omit | Otherwise::Keep) = (required, &mapping.otherwise) {
        let message = "`required` asks for a value, and `otherwise` goes on without one";
        problems.error(required.at, &required.key, message).hint("remove one of the two");
    }
}

/// The address says who somebody is, so everybody needs one of their own.
pub(super) fn email(spec: &FieldSpec, mapping: &FieldMapping, problems: &mut Problems) {
    if mapping.field != Field::Email {
        return;
    }
    let fixed = [&spec.value, &spec.default].into_iter().flatten().next();
    if let Some(fixed) = fixed {
        let message = "a fixed e-mail address would make one person of everybody who gets it";
        problems.error(fixed.at, &fixed.key, message).hint("take `email` from an attribute of the person");
    }
    if let Some(rules) = &spec.rules {
        problems
            .error(rules.at, &rules.key, "`email` cannot come from rules")
            .hint("use `from` or `template`");
    }
    if let Some(required) = spec.required.as_ref().filter(|required| !required.value) {
        problems.error(required.at, &required.key, "`email` is always required: Ziflow knows people by it");
    }
    if let Some(otherwise) = spec.otherwise.as_ref().filter(|_| mapping.otherwise != Otherwise::Refuse) {
        let message = "who has no address of their own can only be refused: Ziflow knows people by it";
        problems.error(otherwise.at, &otherwise.key, message).hint("remove `otherwise`");
    }
    if let Some(direction) = spec.direction.as_ref().filter(|direction| direction.value == Direction::ToScim)
    {
        problems.error(direction.at, &direction.key, "`email` has to be sent: Ziflow knows people by it");
    }
}

pub(super) fn presence(spec: &Spec, problems: &mut Problems) {
    let has = |field: Field| spec.user.iter().any(|spec| spec.name.value == field.name());
    if !has(Field::Email) {
        problems
            .error(None, "user.email", "`user.email` is missing: Ziflow knows people by their address")
            .hint("add `email: { from: userName, transform: [trim, lowercase] }`");
    }
    if !has(Field::Active) {
        problems
            .warning(
                None,
                "user.active",
                "`user.active` is missing: who is disabled in Entra keeps access to Ziflow",
            )
            .hint("add `active: { from: active, default: true }`");
    }
}

/// Ziflow's API takes people without a name; the form in which its admins add people does not.
pub(super) fn names(spec: &Spec, fields: &[FieldMapping], problems: &mut Problems) {
    for (field, path) in [(Field::FirstName, "name.givenName"), (Field::LastName, "name.familyName")] {
        let place = spec.user.iter().find(|spec| spec.name.value == field.name());
        // One that is there and could not be compiled has been reported.
        let (what, hint) = match (place, fields.iter().find(|mapping| mapping.field == field)) {
            (None, _) => ("is missing", format!("add `{field}: {{ from: {path}, required: true }}`")),
            (_, Some(mapping)) if !mapping.writes() => {
                ("is never sent", "remove `direction: to_scim`".to_owned())
            }
            (_, Some(mapping)) if !always_fills(mapping) => {
                ("may be empty", "add `required: true`, or a `default`".to_owned())
            }
            _ => continue,
        };
        let message = format!("`user.{field}` {what}: Ziflow would get people without it, or refuse them");
        let at = place.map(|spec| spec.name.at);
        problems.warning(at, &format!("user.{field}"), message).hint(hint);
    }
}

/// Whether everybody who is created has a value, or is refused.
fn always_fills(mapping: &FieldMapping) -> bool {
    let skips = matches!(mapping.otherwise, Otherwise::Omit | Otherwise::Keep);
    let filled =
        mapping.required || mapping.default.is_some() || matches!(mapping.otherwise, Otherwise::Value(_));
    match mapping.source {
        Source::Constant(_) => true,
        Source::Rules(_) => !skips,
        Source::From(_) | Source::Template(_) => filled && !skips,
    }
}

/// A table and what stands around it.
pub(super) fn table(spec: &FieldSpec, mapping: &FieldMapping, problems: &mut Problems) {
    let (Some(rows), Some(table)) = (&spec.values, &mapping.table) else { return };
    // A missing value is not looked up, so a value in `otherwise` still has its use.
    let lookup = !matches!(mapping.otherwise, Otherwise::Value(_));
    let unreached = lookup && table.patterns().any(|pattern| pattern == "*");
    useless(spec.otherwise.as_ref(), unreached, "the row `*` knows every value", problems);
    let shown = mapping.paths().first().filter(|_| mapping.reads_back());
    let Some(path) = shown else { return };
    for row in rows.value.iter().map(|row| &row.pattern).filter(|pattern| !pattern.value.contains('*')) {
        if source::typed(path, row.value.trim()).is_none() {
            let message = format!("`{}` cannot be shown: it is no value for `{path}`", row.value);
            problems
                .warning(row.at, &row.key, message)
                .hint("who was made in Ziflow shows nothing there; add a row that can be shown, or set `direction: to_ziflow`");
        }
    }
}

/// An `active` that does not follow SCIM's leaves people their access.
pub(super) fn access(spec: &Spec, mapping: &Mapping, problems: &mut Problems) {
    let Some(place) = spec.user.iter().find(|spec| spec.name.value == Field::Active.name()) else { return };
    let person = |active: bool| {
        let person = json!({ "userName": "somebody@example.com", "active": active });
        Resource::from_stored(person.as_object().cloned().unwrap_or_default())
    };
    if !mapping.disables(&person(true), &person(false)) {
        let message =
            "`active` in Ziflow does not follow `active` in SCIM: who is disabled in Entra keeps access";
        problems
            .warning(place.name.at, &place.name.key, message)
            .hint("write `active: { from: active, default: true }`");
    }
}

/// What needs no condition is given to everybody.
pub(super) fn administrators(spec: &Spec, fields: &[FieldMapping], problems: &mut Problems) {
    let Some(roles) = fields.iter().find(|mapping| mapping.field == Field::Roles) else { return };
    let admin = |value: &FieldValue| value::texts(value).iter().any(|role| role == ADMIN);
    let fixed = matches!(&roles.source, Source::Constant(value) if admin(value));
    let otherwise = matches!(&roles.otherwise, Otherwise::Value(value) if admin(value));
    if fixed || otherwise || roles.default.as_ref().is_some_and(admin) {
        let place = spec.user.iter().find(|spec| spec.name.value == Field::Roles.name());
        let message = "whoever is nothing else becomes an administrator of Ziflow";
        problems
            .warning(place.map(|spec| spec.name.at), "user.roles", message)
            .hint("give `admin` by a rule, to those of whom something says so");
    }
}

/// Two fields shown at one path would overwrite each other.
pub(super) fn shared_paths(spec: &Spec, fields: &[FieldMapping], problems: &mut Problems) {
    let readers: Vec<&FieldMapping> = fields.iter().filter(|mapping| mapping.reads_back()).collect();
    for (index, mapping) in readers.iter().enumerate() {
        let earlier = readers.iter().take(index);
        let others = earlier.flat_map(|other| other.paths().iter().map(move |path| (other.field, path)));
        let pairs = others.flat_map(|other| mapping.paths().iter().map(move |path| (other, path)));
        let Some(((other, theirs), ours)) = pairs.into_iter().find(|((_, other), path)| overlap(other, path))
        else {
            continue;
        };
        let message = if alike(theirs, ours) {
            format!("`{ours}` cannot show two fields, `{other}` and `{}`", mapping.field)
        } else {
            format!(
                "`{theirs}`, which shows `{other}`, and `{ours}`, which shows `{}`, overlap",
                mapping.field
            )
        };
        let place = spec.user.iter().find(|spec| spec.name.value == mapping.field.name());
        problems
            .error(place.map(|spec| spec.name.at), &format!("user.{}", mapping.field), message)
            .hint("set `direction: to_ziflow` on one of them");
    }
}

/// Whether what is written to one of the paths is seen at the other.
fn overlap(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| (path.schema.clone(), path.attribute.clone(), path.sub.clone());
    let whole = one.filter.is_none() || other.filter.is_none();
    alike(one, other) || place(one) == place(other) && whole
}

/// Whether two paths are the same: letter case does not tell values apart in the types of SCIM.
fn alike(one: &Path, other: &Path) -> bool {
    one.to_string().eq_ignore_ascii_case(&other.to_string())
}

/// What somebody types in Ziflow must not decide what anybody may do there. The address is no such text: nobody can
/// change it by hand.
pub(super) fn grants(spec: &Spec, fields: &[FieldMapping], fills: &[Fill], problems: &mut Problems) {
    for granted in fields.iter().filter(|mapping| mapping.field.is_list() && mapping.writes()) {
        let typed = |field: Field| field != Field::Email && field != granted.field;
        let looks = granted.looks_at();
        let seen = |path: &Path| looks.iter().any(|look| touches(look, path));
        let shown = fields.iter().filter(|mapping| mapping.reads_back() && typed(mapping.field));
        let mut shown =
            shown.flat_map(|mapping| mapping.looks_at().into_iter().map(|path| (mapping.field, path)));
        let filled = fills.iter().filter(|fill| fill.template.values().any(|field| typed(*field)));
        let found = match shown.find(|(_, path)| seen(path)) {
            Some((field, path)) => Some((path, format!("set `direction: to_ziflow` on `{field}`"))),
            None => filled
                .map(|fill| &fill.path)
                .find(|path| seen(path))
                .map(|path| (path, format!("take `{path}` out of `scim:`"))),
        };
        if let Some((path, hint)) = found {
            let field = granted.field;
            let place = spec.user.iter().find(|spec| spec.name.value == field.name());
            let message = format!(
                "`{field}` looks at `{path}`, which may show a text of Ziflow's: who edits that there could gain {field}"
            );
            let key = format!("user.{field}");
            problems.error(place.map(|spec| spec.name.at), &key, message).hint(hint);
        }
    }
}

/// RFC 7643 section 4.1.1 wants a `userName` on everybody, also on those whom Entra never wrote.
pub(super) fn user_name(fields: &[FieldMapping], fills: &[Fill], problems: &mut Problems) {
    let readers = fields.iter().filter(|mapping| mapping.reads_back());
    let shown = readers.filter_map(|mapping| mapping.looks_at().into_iter().next());
    let filled = fills.iter().map(|fill| &fill.path);
    if !shown.chain(filled).any(|path| path.schema.is_none() && path.attribute == "userName") {
        let message = "people who were made in Ziflow would be shown without `userName`";
        problems.warning(None, "scim.userName", message).hint("add `userName: \"{email}\"` under `scim:`");
    }
}

/// A template fills what nothing else shows, and only once.
pub(super) fn fill(
    fill: &Fill,
    place: &Placed<String>,
    earlier: &[Fill],
    fields: &[FieldMapping],
    problems: &mut Problems,
) {
    let path = &fill.path;
    let reader = fields
        .iter()
        .find(|mapping| mapping.reads_back() && mapping.paths().iter().any(|shown| alike(shown, path)));
    let (message, hint) = if path.to_string() == "active" {
        ("`active` always shows whether the person is active in Ziflow".to_owned(), "remove it")
    } else if let Some(reader) = reader {
        (format!("`{path}` shows `{0}` already, by `user.{0}`", reader.field), "remove one of the two")
    } else if earlier.iter().any(|earlier| alike(&earlier.path, path)) {
        (format!("`{path}` is filled twice"), "remove one of the two")
    } else if !Resource::default().set(path, Value::from("x")) {
        (
            format!("`{path}` cannot be written: its filter does not describe one value"),
            "use a filter such as `type eq \"work\"`",
        )
    } else if path.filter.is_none() && path.definition().is_some_and(|attribute| attribute.multi_valued) {
        (
            format!("`{path}` holds several values, and it is not said which of them to fill"),
            "select one with a filter such as `[type eq \"work\"]`",
        )
    } else {
        return;
    };
    problems.error(place.at, &place.key, message).hint(hint);
}

fn useless<T>(part: Option<&Placed<T>>, useless: bool, why: &str, problems: &mut Problems) {
    if let Some(part) = part.filter(|_| useless) {
        let name = part.key.rsplit('.').next().unwrap_or_default();
        problems.error(part.at, &part.key, format!("`{name}` has no effect here: {why}")).hint("remove it");
    }
}
