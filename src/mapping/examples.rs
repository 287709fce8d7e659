//! The examples that mapping.yaml carries, run through the mapping in both directions. They prove an edit
//! without an account on either side; only what an example lists is compared.

use serde_json::Value;

use super::memory::Memory;
use super::spec::{ExampleSpec, Literal, Placed};
use super::{Mapping, compile, value};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::USER_TYPE;
use crate::yaml::{At, Problem, Problems};
use crate::ziflow::model::{Field, Fields, User};

/// One example, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Example {
    at: At,
    key: String,
    name: String,
    scim: Option<Resource>,
    ziflow: Fields,
    to_scim: Vec<(Path, Value)>,
}

/// Runs all examples; each that fails is a problem with every difference in it.
pub fn run(mapping: &Mapping) -> Vec<Problem> {
    let mut problems = Problems::default();
    for example in &mapping.examples {
        let differences = [example.to_ziflow(mapping), example.to_scim(mapping)].concat();
        if !differences.is_empty() {
            let message = format!("the example `{}` fails: {}", example.name, differences.join("; "));
            problems.error(example.at, &example.key, message).hint("change the mapping or the example");
        }
    }
    problems.into_vec()
}

impl Example {
    pub(super) fn compile(spec: &ExampleSpec, problems: &mut Problems) -> Option<Self> {
        let name = spec.name.clone().unwrap_or_else(|| spec.key.clone());
        let scim = spec.scim.as_ref().map(|scim| body(scim, problems));
        let ziflow = fields(&spec.ziflow, problems);
        let to_scim = spec.to_scim.as_ref().map(|shown| shown_values(shown, problems)).unwrap_or_default();
        if matches!(scim, Some(None)) {
            return None;
        }
        Some(Self { at: spec.at, key: spec.key.clone(), name, scim: scim.flatten(), ziflow, to_scim })
    }

    /// `scim` to `ziflow`.
    fn to_ziflow(&self, mapping: &Mapping) -> Vec<String> {
        let Some(resource) = &self.scim else { return Vec::new() };
        let made = match mapping.create(resource) {
            Ok(made) => made,
            Err(refusals) => return refusals.iter().map(|refusal| format!("refused: {refusal}")).collect(),
        };
        let differs = |(field, expected): (&Field, &_)| {
            let got = made.get(field);
            let same = got.is_some_and(|got| value::same(*field, expected, got));
            let got = got.map_or_else(|| "nothing".to_owned(), |got| got.to_json().to_string());
            (!same).then(|| format!("`{field}` becomes {got}, expected {}", expected.to_json()))
        };
        self.ziflow.iter().filter_map(differs).collect()
    }

    /// `ziflow` to `to_scim`, as a person is shown whom Entra never wrote.
    fn to_scim(&self, mapping: &Mapping) -> Vec<String> {
        let Some(user) = self.user() else { return Vec::new() };
        let shown = mapping.merge(None, &Memory::default(), &user);
        let differs = |(path, expected): &(Path, Value)| {
            let got = shown.values(path);
            (!fits(expected, &got)).then(|| {
                let got = match got.as_slice() {
                    [] => "nothing".to_owned(),
                    [got] => got.to_string(),
                    got => got.iter().copied().cloned().collect::<Value>().to_string(),
                };
                format!("`{path}` shows {got}, expected {expected}")
            })
        };
        self.to_scim.iter().filter_map(differs).collect()
    }

    /// The person in Ziflow; an example need not repeat what it is not about.
    fn user(&self) -> Option<User> {
        let mut user = serde_json::json!({ "id": "example", "email": "somebody@example.com" });
        for (field, value) in &self.ziflow {
            user.as_object_mut()?.insert(field.name().to_owned(), value.to_json());
        }
        User::from_json(&user)
    }
}

fn body(spec: &Placed<Value>, problems: &mut Problems) -> Option<Resource> {
    match Resource::from_part(spec.value.clone(), &USER_TYPE) {
        Ok((resource, warnings)) => {
            for warning in warnings {
                problems.error(spec.at, &spec.key, warning.to_string());
            }
            Some(resource)
        }
        Err(error) => {
            problems.error(spec.at, &spec.key, error.detail);
            None
        }
    }
}

fn fields(spec: &[(Placed<String>, Placed<Literal>)], problems: &mut Problems) -> Fields {
    let mut fields = Fields::new();
    for (name, literal) in spec {
        if let Some(field) = compile::field_name(name, &name.value, problems) {
            fields.extend(value::literal(field, literal, problems).map(|value| (field, value)));
        }
    }
    fields
}

/// Each key is a SCIM path, so that one value of several can be named.
fn shown_values(spec: &Placed<Value>, problems: &mut Problems) -> Vec<(Path, Value)> {
    let Some(object) = spec.value.as_object() else {
        problems.error(spec.at, &spec.key, "expected a map from SCIM paths to values");
        return Vec::new();
    };
    let mut values = Vec::new();
    for (key, expected) in object {
        match Path::parse(key, &USER_TYPE) {
            Ok(path) => values.push((path, expected.clone())),
            Err(error) => {
                problems.error(spec.at, &spec.key, format!("`{key}` is no SCIM path: {error}"));
            }
        }
    }
    values
}

/// Whether what is shown has what is expected; null stands for nothing at all.
fn fits(expected: &Value, got: &[&Value]) -> bool {
    match expected {
        Value::Null => got.is_empty(),
        Value::Array(items) => items.iter().all(|item| got.iter().any(|got| contains(got, item))),
        expected => got.iter().any(|got| contains(got, expected)),
    }
}

/// Objects may hold more than is expected of them.
fn contains(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Object(got), Value::Object(expected)) => {
            expected.iter().all(|(key, expected)| got.get(key).is_some_and(|got| contains(got, expected)))
        }
        (Value::Array(got), Value::Array(expected)) => {
            expected.iter().all(|item| got.iter().any(|got| contains(got, item)))
        }
        (got, expected) => got == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_mapping_is_right_by_its_own_examples() {
        let text = include_str!("../../config/mapping.yaml");
        let (mapping, warnings) = Mapping::compile(text).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(mapping.examples.len(), 5);
        assert_eq!(run(&mapping), []);
    }

    #[test]
    fn the_advice_in_the_shipped_mapping_works() {
        let text = include_str!("../../config/mapping.yaml");
        let work = "'emails[type eq \"work\"].value'";
        let advised = text.replacen("    from: userName\n", &format!("    from: {work}\n"), 1).replacen(
            &format!("\n  {work}: "),
            "\n  userName: ",
            1,
        );
        let (mapping, warnings) = Mapping::compile(&advised).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(mapping.email_of_user_name("a@b"), None);
    }

    fn failures(examples: &str) -> Vec<Problem> {
        let text = format!(
            "user:\n  email: {{ from: userName }}\n  active: {{ from: active }}\n  roles: {{ from: roles.value }}\n  \
             phone: {{ from: 'phoneNumbers[type eq \"work\"].value' }}\nexamples:\n{examples}"
        );
        run(&Mapping::compile(&text).unwrap().0)
    }

    #[test]
    fn an_example_that_fails_tells_every_difference() {
        let cases = [
            (
                "  - { name: a, scim: { userName: a@b, roles: [{ value: user }] }, ziflow: { email: c@d, roles: [admin], phone: '1' } }",
                "the example `a` fails: `email` becomes \"a@b\", expected \"c@d\"; \
                 `phone` becomes nothing, expected \"1\"; `roles` becomes [\"user\"], expected [\"admin\"]",
            ),
            (
                "  - { name: b, scim: { userName: a }, ziflow: {} }",
                "the example `b` fails: refused: userName is no e-mail address: it has no `@`; \
                 map the person's e-mail address to it in Entra, or let `user.email` in mapping.yaml take another attribute",
            ),
            (
                "  - { ziflow: { phone: '1', roles: [user, admin] }, to_scim: { userName: x@y, title: t, roles.value: user, \
                 roles: [{ value: boss }], phoneNumbers: null } }",
                "the example `examples[0]` fails: `userName` shows \"somebody@example.com\", expected \"x@y\"; \
                 `title` shows nothing, expected \"t\"; \
                 `roles` shows [{\"value\":\"user\"},{\"value\":\"admin\"}], expected [{\"value\":\"boss\"}]; \
                 `phoneNumbers` shows {\"type\":\"work\",\"value\":\"1\"}, expected null",
            ),
        ];
        for (example, expected) in cases {
            let problems = failures(example);
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert_eq!(problem.message, expected);
            assert_eq!((problem.at, problem.key.as_str()), (Some(At { line: 7, column: 5 }), "examples[0]"));
        }
    }

    #[test]
    fn only_what_is_listed_is_compared() {
        let example = "  - scim: { userName: a@b, roles: [{ value: user }, { value: admin }] }\n    \
                       ziflow: { email: A@B, roles: [admin, user] }\n    \
                       to_scim: { userName: a@b, roles: [{ value: user }], active: true, title: null, name: null }\n";
        assert_eq!(failures(example), []);
    }
}
