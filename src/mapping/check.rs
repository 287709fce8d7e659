//! Checks of parts that are right by themselves and wrong together.

use serde_json::Value;

use super::Fill;
use super::field::{FieldMapping, Otherwise};
use super::spec::{Direction, FieldSpec, Placed, Spec};
use crate::scim::resource::Resource;
use crate::yaml::Problems;
use crate::ziflow::model::Field;

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
    useless(spec.otherwise.as_ref(), any, "without `values`, any text fits this field", problems);
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

/// Two fields shown at one path would overwrite each other.
pub(super) fn shared_paths(spec: &Spec, fields: &[FieldMapping], problems: &mut Problems) {
    let readers: Vec<&FieldMapping> = fields.iter().filter(|mapping| mapping.reads_back()).collect();
    for (index, mapping) in readers.iter().enumerate() {
        let earlier = readers.iter().take(index);
        let shared = earlier.flat_map(|other| other.paths().iter().map(move |path| (other.field, path)));
        if let Some((other, path)) = shared.into_iter().find(|(_, path)| mapping.paths().contains(path)) {
            let place = spec.user.iter().find(|spec| spec.name.value == mapping.field.name());
            let message = format!("`{path}` cannot show two fields, `{other}` and `{}`", mapping.field);
            problems
                .error(place.map(|spec| spec.name.at), &format!("user.{}", mapping.field), message)
                .hint("set `direction: to_ziflow` on one of them");
        }
    }
}

/// RFC 7643 section 4.1.1 wants a `userName` on everybody, also on those whom Entra never wrote.
pub(super) fn user_name(fields: &[FieldMapping], fills: &[Fill], problems: &mut Problems) {
    let shown =
        fields.iter().filter(|mapping| mapping.reads_back()).filter_map(|mapping| mapping.paths().first());
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
    let reader = fields.iter().find(|mapping| mapping.reads_back() && mapping.paths().contains(path));
    let (message, hint) = if path.to_string() == "active" {
        ("`active` always shows whether the person is active in Ziflow".to_owned(), "remove it")
    } else if let Some(reader) = reader {
        (format!("`{path}` shows `{0}` already, by `user.{0}`", reader.field), "remove one of the two")
    } else if earlier.iter().any(|earlier| earlier.path == *path) {
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
