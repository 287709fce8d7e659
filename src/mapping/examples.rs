//! The examples that mapping.yaml carries, run through the mapping in both directions. They prove an edit
//! without an account on either side; only what an example lists is compared.

use serde_json::{Value, json};

use super::apply::Refusal;
use super::memory::Memory;
use super::spec::{ExampleSpec, Literal, Placed};
use super::{Mapping, compile, source, value};
use crate::scim::path::Path;
use crate::scim::resource::Resource;
use crate::scim::schema::USER_TYPE;
use crate::yaml::{At, Content, Difference, Node, Problem, Problems, Side};
use crate::ziflow::model::{Field, FieldValue, User};

/// One example, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Example {
    at: At,
    key: String,
    name: String,
    scim: Option<Resource>,
    /// `None` where nothing is expected.
    ziflow: Vec<(Field, Option<FieldValue>)>,
    /// The attributes for whose sake the person is refused.
    refused: Vec<Path>,
    to_scim: Vec<(Path, Value)>,
}

/// Runs all examples; each that fails is a problem with every difference in it.
pub fn run(mapping: &Mapping) -> Vec<Problem> {
    let mut problems = Problems::default();
    for example in &mapping.examples {
        let differences = [example.to_ziflow(mapping), example.to_scim(mapping)].concat();
        if !differences.is_empty() {
            let message = format!("the example `{}` does not hold", example.name);
            let problem = problems.error(example.at, &example.key, message);
            problem.differences = differences;
            problem.hint("change the mapping until it holds, or the example if something else is right");
        }
    }
    problems.into_vec()
}

/// Two examples of one name could not be told apart when one of them fails.
pub(super) fn check_names(specs: &[ExampleSpec], problems: &mut Problems) {
    let names: Vec<&Placed<String>> = specs.iter().filter_map(|spec| spec.name.as_ref()).collect();
    for (index, name) in names.iter().enumerate() {
        let Some(first) = names.iter().take(index).find(|other| other.value == name.value) else { continue };
        let message = format!("the example at line {} is called `{}` as well", first.at.line, name.value);
        problems.warning(name.at, &name.key, message).hint("give one of them another name");
    }
}

impl Example {
    pub(super) fn compile(spec: &ExampleSpec, problems: &mut Problems) -> Option<Self> {
        let name = spec.name.as_ref().map_or_else(|| spec.key.clone(), |name| name.value.clone());
        let scim = spec.scim.as_ref().map(|scim| body(scim, problems));
        let ziflow = fields(&spec.ziflow, problems);
        let refused = spec.refused.iter().filter_map(|place| path(place, problems)).collect();
        let shown = spec.to_scim.iter().map(|(place, value)| Some((path(place, problems)?, value.clone())));
        let to_scim = shown.flatten().collect();
        if matches!(scim, Some(None)) {
            return None;
        }
        Some(Self {
            at: spec.at,
            key: spec.key.clone(),
            name,
            scim: scim.flatten(),
            ziflow,
            refused,
            to_scim,
        })
    }

    /// `scim` to `ziflow`.
    fn to_ziflow(&self, mapping: &Mapping) -> Vec<Difference> {
        let Some(resource) = &self.scim else { return Vec::new() };
        let made = match mapping.create(resource) {
            Ok(made) if self.refused.is_empty() => made,
            Ok(_) => return self.refusals(&[]),
            Err(refusals) => return self.refusals(&refusals),
        };
        let differs = |(field, expected): &(Field, Option<FieldValue>)| {
            let got = made.get(field);
            let same = match (expected, got) {
                (Some(expected), Some(got)) => value::same(*field, expected, got),
                (expected, got) => expected.is_none() && got.is_none(),
            };
            let side = |value: Option<&FieldValue>| {
                value.map_or(Side::Nothing, |value| Side::Value(value.to_json()))
            };
            let differs = difference("to_ziflow", field.name(), side(expected.as_ref()), side(got));
            (!same).then_some(differs)
        };
        self.ziflow.iter().filter_map(differs).collect()
    }

    /// Refusals that were promised and do not come, and such as come instead.
    fn refusals(&self, refusals: &[Refusal]) -> Vec<Difference> {
        let names = |refusal: &Refusal, path: &Path| {
            refusal.path.split(", ").any(|name| name.eq_ignore_ascii_case(&path.to_string()))
        };
        let mut missing =
            self.refused.iter().filter(|path| !refusals.iter().any(|one| names(one, path))).peekable();
        if missing.peek().is_none() && !self.refused.is_empty() {
            return Vec::new();
        }
        let missing =
            missing.map(|path| difference("to_ziflow", &path.to_string(), Side::Refused(None), Side::Taken));
        let unexpected = refusals.iter().filter(|one| !self.refused.iter().any(|path| names(one, path)));
        let unexpected = unexpected.map(|one| {
            difference("to_ziflow", &one.path, Side::Taken, Side::Refused(Some(one.reason.clone())))
        });
        missing.chain(unexpected).collect()
    }

    /// `ziflow` to `to_scim`, as a person is shown whom Entra never wrote.
    fn to_scim(&self, mapping: &Mapping) -> Vec<Difference> {
        let Some(user) = self.user() else { return Vec::new() };
        let shown = mapping.merge(None, &Memory::default(), &user);
        let differs = |(path, expected): &(Path, Value)| {
            let got = shown.values(path);
            let side = |value: Value| if value.is_null() { Side::Nothing } else { Side::Value(value) };
            (!fits(expected, &got)).then(|| {
                let got = match got.as_slice() {
                    [] => Value::Null,
                    [got] => (*got).clone(),
                    got => got.iter().copied().cloned().collect(),
                };
                difference("to_scim", &path.to_string(), side(expected.clone()), side(got))
            })
        };
        self.to_scim.iter().filter_map(differs).collect()
    }

    /// The person in Ziflow; an example need not repeat what it is not about.
    fn user(&self) -> Option<User> {
        let mut user = json!({ "id": "example", "email": "somebody@example.com" });
        for (field, value) in &self.ziflow {
            let value = value.as_ref().map_or(Value::Null, FieldValue::to_json);
            user.as_object_mut()?.insert(field.name().to_owned(), value);
        }
        User::from_json(&user)
    }
}

fn difference(direction: &'static str, field: &str, expected: Side, got: Side) -> Difference {
    Difference { direction, field: field.to_owned(), expected, got }
}

/// The person as Entra would send it. What is wrong is told of the smallest piece in which it is.
fn body(spec: &Placed<Node>, problems: &mut Problems) -> Option<Resource> {
    if let Ok((resource, warnings)) = Resource::from_part(spec.value.to_json(), &USER_TYPE)
        && warnings.is_empty()
    {
        return Some(resource);
    }
    if !matches!(spec.value.value, Content::Map(_)) {
        let message = format!("expected a map from SCIM attributes to values, found {}", spec.value.kind());
        problems.error(spec.at, &spec.key, message);
        return None;
    }
    Piece { at: spec.at, key: spec.key.clone(), node: &spec.value, whole: &|value| value }.check(problems);
    None
}

/// A piece of an example, and how a whole person with nothing else is made of it.
struct Piece<'a> {
    at: At,
    key: String,
    node: &'a Node,
    whole: &'a dyn Fn(Value) -> Value,
}

impl Piece<'_> {
    /// Reports what is wrong and says whether anything was.
    fn check(&self, problems: &mut Problems) -> bool {
        let told = mistakes((self.whole)(self.node.to_json()));
        if !told.is_empty() && !self.check_parts(problems) {
            for text in &told {
                let (message, near) = source::remedy(text);
                problems.error(self.at, &self.key, message).hint = near;
            }
        }
        !told.is_empty()
    }

    fn check_parts(&self, problems: &mut Problems) -> bool {
        let mut check = |at, key: String, node, whole: &dyn Fn(Value) -> Value| {
            Piece { at, key: format!("{}{key}", self.key), node, whole }.check(problems)
        };
        let wrong: Vec<bool> = match &self.node.value {
            Content::Map(entries) => {
                let part = |value, key: &str| (self.whole)(json!({ key: value }));
                let entries = entries.iter().map(|entry| {
                    let key = format!(".{}", entry.key);
                    check(entry.at, key, &entry.value, &|value| part(value, &entry.key))
                });
                entries.collect()
            }
            Content::List(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    check(item.at, format!("[{index}]"), item, &|value| (self.whole)(json!([value])))
                });
                items.collect()
            }
            _ => Vec::new(),
        };
        wrong.contains(&true)
    }
}

/// What the protocol has against a body.
fn mistakes(body: Value) -> Vec<String> {
    match Resource::from_part(body, &USER_TYPE) {
        Err(error) => vec![error.detail],
        Ok((_, warnings)) => {
            let unknown = warnings.iter().map(|warning| match Path::parse(&warning.attribute, &USER_TYPE) {
                Err(error) => error.message,
                Ok(_) => warning.to_string(),
            });
            unknown.collect()
        }
    }
}

fn fields(
    spec: &[(Placed<String>, Option<Placed<Literal>>)],
    problems: &mut Problems,
) -> Vec<(Field, Option<FieldValue>)> {
    let mut fields = Vec::new();
    for (name, literal) in spec {
        let Some(field) = compile::field_name(name, &name.value, problems) else { continue };
        match literal {
            None if field == Field::Email => {
                let message = "everybody in Ziflow has an address, so `email` is never nothing";
                problems.error(name.at, &name.key, message).hint("`refused` promises that nobody is made");
            }
            None => fields.push((field, None)),
            Some(literal) => {
                fields.extend(value::literal(field, literal, problems).map(|value| (field, Some(value))));
            }
        }
    }
    fields.sort_by_key(|(field, _)| *field);
    fields
}

/// A SCIM path, so that one value of several can be named.
fn path(place: &Placed<String>, problems: &mut Problems) -> Option<Path> {
    let path = Path::parse(&place.value, &USER_TYPE);
    if let Err(error) = &path {
        source::no_path(place, error, problems);
    }
    path.ok()
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
        assert!(mapping.examples.len() >= 12, "{}", mapping.examples.len());
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

    #[test]
    fn the_advice_about_guests_works() {
        let text = include_str!("../../config/mapping.yaml");
        let advice = text.lines().find_map(|line| line.trim().strip_prefix("#   { replace")).unwrap();
        let advised = text.replacen(
            "transform: [trim, lowercase]",
            &format!("transform: [trim, lowercase, {{ replace{advice}]"),
            1,
        );
        let (mapping, _) = Mapping::compile(&advised).unwrap();
        let failed = run(&mapping);
        let [problem] = failed.as_slice() else { panic!("{failed:?}") };
        assert!(problem.message.contains("a guest by the name in your own directory"), "{problem:?}");
    }

    #[test]
    fn the_groups_in_the_shipped_mapping_work() {
        let text = include_str!("../../config/mapping.yaml");
        let (before, after) = text.split_once("\n# groups:\n").unwrap();
        let (lines, after) = after.split_once("\n\n").unwrap();
        let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix("# ").unwrap()).collect();
        let advised = format!("{before}\ngroups:\n{}\n\n{after}", lines.join("\n"));
        let (mapping, warnings) = Mapping::compile(&advised).unwrap();
        let told: Vec<&str> = warnings.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(told, ["members of this group become Ziflow admins"]);
        assert_eq!(
            mapping.grants("x", Some("6f0d1c9e-0000-4000-8000-2b7d5e3a9c11")).roles,
            ["user", "admin"]
        );
        assert_eq!(mapping.grants("brand reviewers", None).group, ["Brand Reviewers"]);
        assert_eq!(mapping.grants("Design", None).group, ["Design"]);
    }

    fn failures(examples: &str) -> Vec<Problem> {
        let text = format!(
            "user:\n  email: {{ from: userName }}\n  active: {{ from: active }}\n  roles: {{ from: roles.value }}\n  \
             phone: {{ from: 'phoneNumbers[type eq \"work\"].value' }}\nexamples:\n{examples}"
        );
        run(&Mapping::compile(&text).unwrap().0)
    }

    fn lines(problem: &Problem) -> Vec<String> {
        let line = |one: &Difference| {
            format!("{} {}: expected {}, got {}", one.direction, one.field, one.expected, one.got)
        };
        problem.differences.iter().map(line).collect()
    }

    #[test]
    fn an_example_that_fails_tells_every_difference() {
        let no_address = "to_ziflow userName: expected no refusal, got a refusal: it is no e-mail address: it has no \
                          at sign";
        let cases: &[(&str, &str, &[&str])] = &[
            (
                "  - { name: a, scim: { userName: a@b, roles: [{ value: user }] }, ziflow: { email: c@d, roles: [admin], phone: '1' } }",
                "a",
                &[
                    "to_ziflow email: expected \"c@d\", got \"a@b\"",
                    "to_ziflow phone: expected \"1\", got nothing",
                    "to_ziflow roles: expected [\"admin\"], got [\"user\"]",
                ],
            ),
            ("  - { name: b, scim: { userName: a }, ziflow: {} }", "b", &[no_address]),
            (
                "  - { ziflow: { phone: '1', roles: [user, admin] }, to_scim: { userName: x@y, title: t, roles.value: user, \
                 roles: [{ value: boss }], phoneNumbers: null } }",
                "examples[0]",
                &[
                    "to_scim userName: expected \"x@y\", got \"somebody@example.com\"",
                    "to_scim title: expected \"t\", got nothing",
                    "to_scim roles: expected [{\"value\":\"boss\"}], got [{\"value\":\"user\"},{\"value\":\"admin\"}]",
                    "to_scim phoneNumbers: expected nothing, got {\"type\":\"work\",\"value\":\"1\"}",
                ],
            ),
            (
                "  - { name: c, scim: { userName: a@b, roles: user }, ziflow: { roles: null } }",
                "c",
                &["to_ziflow roles: expected nothing, got [\"user\"]"],
            ),
            (
                "  - { name: d, scim: { userName: a@b }, refused: [userName, title] }",
                "d",
                &[
                    "to_ziflow userName: expected a refusal, got no refusal",
                    "to_ziflow title: expected a refusal, got no refusal",
                ],
            ),
            (
                "  - { name: e, scim: { userName: a }, refused: title }",
                "e",
                &["to_ziflow title: expected a refusal, got no refusal", no_address],
            ),
        ];
        for (example, name, expected) in cases {
            let problems = failures(example);
            let [problem] = problems.as_slice() else { panic!("{problems:?}") };
            assert_eq!(problem.message, format!("the example `{name}` does not hold"));
            assert_eq!(lines(problem), *expected);
            assert_eq!((problem.at, problem.key.as_str()), (Some(At { line: 7, column: 5 }), "examples[0]"));
        }
    }

    #[test]
    fn only_what_is_listed_is_compared() {
        for example in [
            "  - scim: { userName: a@b, roles: [{ value: user }, { value: admin }] }\n    \
                   ziflow: { email: A@B, roles: [admin, user], phone: null }\n    \
                   to_scim: { userName: a@b, roles: [{ value: user }], active: true, title: null, name: null }\n",
            "  - { scim: { userName: a, roles: [{ value: boss }] }, refused: [username, roles.value] }\n",
            "  - { scim: { userName: a, roles: [{ value: boss }] }, refused: roles.value }\n",
        ] {
            assert_eq!(failures(example), [], "{example}");
        }
    }
}
