//! Which templates can be read backwards: taken apart, Ziflow's text says what each source holds. One that cannot is
//! a warning, because the sources then never show what somebody changes in Ziflow.

use super::field::{FieldMapping, Source};
use super::source;
use super::spec::{Direction, FieldSpec, Spec};
use super::template::Template;
use super::transform::Transform;
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::yaml::Problems;
use crate::ziflow::model::Field;

/// Decides about every template, after all fields are read: a path can show one field only.
pub(super) fn decide(spec: &Spec, fields: &mut [FieldMapping], problems: &mut Problems) {
    let mut taken: Vec<(Field, Path)> = Vec::new();
    for mapping in fields.iter().filter(|mapping| mapping.reads_back()) {
        taken.extend(mapping.paths().iter().map(|path| (mapping.field, path.clone())));
    }
    for mapping in fields.iter_mut().filter(|mapping| mapping.direction != Direction::ToZiflow) {
        let Source::Template(template) = &mapping.source else { continue };
        match obstacle(mapping, template, &taken) {
            None => {
                taken.extend(template.values().map(|path| (mapping.field, path.clone())));
                mapping.takes_apart = true;
            }
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
fn obstacle(mapping: &FieldMapping, template: &Template<Path>, taken: &[(Field, Path)]) -> Option<String> {
    if let Some(why) = template.ambiguity() {
        return Some(why.to_owned());
    }
    let lossy = |transform: &&Transform| !template.survives(|text| transform.apply(text).into_owned());
    if let Some(transform) = mapping.transforms.iter().find(lossy) {
        return Some(format!("`{transform}` changes what stands between the placeholders"));
    }
    template.values().find_map(|path| {
        if let Some((other, _)) = taken.iter().find(|(_, taken)| taken == path) {
            return Some(format!("`{path}` shows Ziflow's `{other}` already"));
        }
        let many = path.filter.is_none() && path.definition().is_some_and(|attribute| attribute.multi_valued);
        let sample = source::typed(path, "x").is_some();
        let writable = !many && (!sample || Resource::default().set(path, "x".into()));
        (!writable).then(|| format!("`{path}` does not say which of several values is meant"))
    })
}
