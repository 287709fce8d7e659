//! Which templates can be read backwards: taken apart, Ziflow's text says what each source holds. One that cannot is
//! a warning, because the sources then never show what somebody changes in Ziflow.
//!
//! What is taken apart was typed by somebody in Ziflow, so it must decide nothing else: neither another field nor a rule
//! may look at it, and nobody is found by it.

use super::field::{FieldMapping, Source};
use super::source;
use super::spec::{Direction, FieldSpec, Spec};
use super::template::Template;
use super::transform::Transform;
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::yaml::Problems;
use crate::ziflow::model::Field;

/// Entra finds people by these (RFC 7643 sections 3.1 and 4.1): another text in them would make one of another.
const IDENTITIES: &[&str] = &["userName", "externalId", "emails"];

/// Decides about every template, after all fields are read.
pub(super) fn decide(spec: &Spec, fields: &mut [FieldMapping], problems: &mut Problems) {
    let looks = |mapping: &FieldMapping| -> Vec<(Field, Path)> {
        mapping.looks_at().into_iter().map(|path| (mapping.field, path.clone())).collect()
    };
    let looked_at: Vec<(Field, Path)> = fields.iter().flat_map(looks).collect();
    for mapping in fields.iter_mut().filter(|mapping| mapping.direction != Direction::ToZiflow) {
        let Source::Template(template) = &mapping.source else { continue };
        match obstacle(mapping, template, &looked_at) {
            None => mapping.takes_apart = true,
            Some(why) => {
                let place = spec.user.iter().find(|spec| spec.name.value == mapping.field.name());
                report(place, mapping, &why, problems);
            }
        }
    }
}

/// A field that goes that way only does nothing at all.
fn report(spec: Option<&FieldSpec>, mapping: &FieldMapping, why: &str, problems: &mut Problems) {
    let field = mapping.field;
    let template = spec.and_then(|spec| spec.template.as_ref());
    let key = template.map_or_else(|| format!("user.{field}"), |template| template.key.clone());
    let message = format!("the template cannot be read backwards: {why}");
    if mapping.direction == Direction::ToScim {
        let hint = "`direction: to_scim` asks for nothing else, so remove the field or change the template";
        problems.error(template.map(|template| template.at), &key, message).hint(hint);
        return;
    }
    problems.warning(template.map(|template| template.at), &key, message).hint(format!(
        "SCIM will not show what somebody changes in Ziflow's `{field}`; say so with `direction: to_ziflow`"
    ));
}

/// What stands in the way of taking the field's text apart.
fn obstacle(
    mapping: &FieldMapping,
    template: &Template<Path>,
    looked_at: &[(Field, Path)],
) -> Option<String> {
    if let Some(why) = template.ambiguity() {
        return Some(why.to_owned());
    }
    let lossy = |transform: &&Transform| !template.survives(|text| transform.apply(text).into_owned());
    if let Some(transform) = mapping.transforms.iter().find(lossy) {
        return Some(format!("`{transform}` changes what stands between the placeholders"));
    }
    template.values().find_map(|path| {
        let identity = path.schema.is_none() && IDENTITIES.contains(&path.attribute.as_str());
        if identity && mapping.field != Field::Email {
            return Some(format!("Entra finds people by `{path}`"));
        }
        let others = looked_at.iter().filter(|(field, _)| *field != mapping.field);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| touches(other, path)) {
            return Some(format!("`{other}` looks at `{path}` as well"));
        }
        let many = path.filter.is_none() && path.definition().is_some_and(|attribute| attribute.multi_valued);
        let sample = source::typed(path, "x").is_some();
        let writable = !many && (!sample || Resource::default().set(path, "x".into()));
        (!writable).then(|| format!("`{path}` does not say which of several values is meant"))
    })
}

/// Whether a value at one of the paths may be at the other as well.
pub(super) fn touches(one: &Path, other: &Path) -> bool {
    let several = one.definition().is_none_or(|attribute| attribute.multi_valued);
    let part = one.sub == other.sub || one.sub.is_none() || other.sub.is_none();
    one.schema == other.schema && one.attribute == other.attribute && (several || part)
}
