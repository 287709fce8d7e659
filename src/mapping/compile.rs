//! Spec and Ziflow's field catalogue to a [`Mapping`], or every problem found, each with its place.

use super::Mapping;
use super::examples::{self, Example};
use super::field::{FieldMapping, Otherwise, Rule, Source};
use super::keys::OTHERWISE;
use super::reach::{Above, Budget, covers};
use super::spec::{self, Direction, FieldSpec, Literal, Placed, RuleSpec, Spec};
use super::table::Table;
use super::template::Template;
use super::transform::Transform;
use super::{Fill, backwards, check, grouping, pattern, source, value};
use crate::scim::path::Path;
use crate::scim::schema::USER_TYPE;
use crate::yaml::{Problem, Problems, nearest};
use crate::ziflow::model::Field;

impl Mapping {
    /// Reads and checks mapping.yaml: the mapping with its warnings, or all problems, of which at least one
    /// is an error. The file's own examples are not run here; see [`super::examples::run`].
    pub fn compile(text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut problems = Problems::default();
        let mapping = spec::read(text, &mut problems).and_then(|spec| mapping(&spec, &mut problems));
        match mapping {
            Some(mapping) if !problems.has_errors() => Ok((mapping, problems.into_vec())),
            _ => Err(problems.into_vec()),
        }
    }
}

fn mapping(spec: &Spec, problems: &mut Problems) -> Option<Mapping> {
    let mut fields: Vec<FieldMapping> = spec.user.iter().filter_map(|spec| field(spec, problems)).collect();
    backwards::decide(spec, &mut fields, problems);
    check::presence(spec, problems);
    check::names(spec, &fields, problems);
    check::administrators(spec, &fields, problems);
    check::shared_paths(spec, &fields, problems);
    fields.sort_by_key(|mapping| mapping.field);
    let fills = fills(spec, &fields, problems);
    if !problems.has_errors() {
        check::grants(spec, &fields, &fills, problems);
        check::user_name(&fields, &fills, problems);
    }
    let groups = grouping::groups(&spec.groups, &fields, problems);
    examples::check_names(&spec.examples, problems);
    let examples = spec.examples.iter().filter_map(|spec| Example::compile(spec, problems)).collect();
    match Path::parse("active", &USER_TYPE) {
        Ok(active) => {
            let mapping = Mapping { fields, fills, groups, examples, active };
            check::access(spec, &mapping, problems);
            Some(mapping)
        }
        Err(error) => {
            problems.error(None, "", error.to_string());
            None
        }
    }
}

/// Reads the name of a Ziflow field.
pub(super) fn field_name(name: &Placed<String>, text: &str, problems: &mut Problems) -> Option<Field> {
    let field = Field::by_name(text);
    if field.is_none() {
        let names = Field::ALL.iter().map(|field| field.name());
        let problem = problems.error(name.at, &name.key, format!("Ziflow's users have no field `{text}`"));
        problem.hint(match nearest(text, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the fields are {}", names.collect::<Vec<_>>().join(", ")),
        });
    }
    field
}

fn field(spec: &FieldSpec, problems: &mut Problems) -> Option<FieldMapping> {
    let field = field_name(&spec.name, &spec.name.value, problems)?;
    let source = source_of(field, spec, problems);
    let transforms = spec.transform.iter().flat_map(|list| &list.value);
    let transforms = transforms.filter_map(|spec| Transform::compile(spec, problems)).collect();
    let direction = spec.direction.as_ref().map(|direction| direction.value).unwrap_or_default();
    let read_back = direction != Direction::ToZiflow && field != Field::Active;
    let table = spec.values.as_ref().map(|rows| Table::compile(field, rows, read_back, problems));
    let only = spec.only.as_ref().map(|only| pattern::only(field, only, problems)).unwrap_or_default();
    let otherwise = otherwise(field, spec, problems);
    let default = spec.default.as_ref().and_then(|spec| value::literal(field, spec, problems));
    let mapping = FieldMapping {
        field,
        // Only now, so that the other keys have been checked when the source is wrong.
        source: source?,
        transforms,
        table,
        only,
        otherwise,
        default,
        // Without an address there is nobody in Ziflow.
        required: field == Field::Email || spec.required.as_ref().is_some_and(|required| required.value),
        direction,
        owns: spec.owns.as_ref().is_some_and(|owns| owns.value),
        takes_apart: false,
    };
    check::keys(spec, &mapping, problems);
    check::table(spec, &mapping, problems);
    check::email(spec, &mapping, problems);
    if mapping.reads_back() {
        for (path, spec) in mapping.paths().iter().zip(spec.from.iter().flat_map(|from| &from.value)) {
            source::check_writable(field, path, spec, problems);
        }
    }
    Some(mapping)
}

/// Exactly one of the four sources.
fn source_of(field: Field, spec: &FieldSpec, problems: &mut Problems) -> Option<Source> {
    let message = match spec.sources.as_slice() {
        [_] => None,
        [] if problems.is_wrong_below(&spec.name.key) => return None,
        [] => Some(format!("`{field}` has no source")),
        several => Some(format!("`{field}` has several sources: {}", several.join(", "))),
    };
    if let Some(message) = message {
        let hint = "give one of from, template, value, rules";
        problems.error(spec.name.at, &spec.name.key, message).hint(hint);
        return None;
    }
    if let Some(paths) = &spec.from {
        return from(paths, problems);
    }
    if let Some(text) = &spec.template {
        return template(text, problems, source::path).map(Source::Template);
    }
    if let Some(literal) = &spec.value {
        return value::literal(field, literal, problems).map(Source::Constant);
    }
    rules(field, spec.rules.as_ref()?, spec.otherwise.as_ref(), problems).map(Source::Rules)
}

fn from(spec: &Placed<Vec<Placed<String>>>, problems: &mut Problems) -> Option<Source> {
    let mut paths: Vec<Path> = Vec::new();
    let mut budget = Budget::default();
    for place in &spec.value {
        let Some(path) = source::path(place, problems) else { continue };
        if paths.contains(&path) {
            problems.error(place.at, &place.key, format!("`{}` is in the list already", place.value));
        } else if let Some(earlier) = paths.iter().find(|earlier| covers(earlier, &path, &mut budget)) {
            let message = format!("`{path}` is never read: `{earlier}` above it is there whenever it is");
            problems.warning(place.at, &place.key, message).hint("remove it or move it up");
        }
        paths.push(path);
    }
    (paths.len() == spec.value.len()).then_some(Source::From(paths))
}

fn template<T>(
    spec: &Placed<String>,
    problems: &mut Problems,
    value: impl Fn(&Placed<String>, &mut Problems) -> Option<T>,
) -> Option<Template<T>> {
    let placeholder = |text: &str| Placed { at: spec.at, key: spec.key.clone(), value: text.to_owned() };
    match Template::parse(&spec.value, |text| value(&placeholder(text), problems)) {
        Ok(template) => template,
        Err(message) => {
            problems.error(spec.at, &spec.key, message);
            None
        }
    }
}

fn rules(
    field: Field,
    spec: &Placed<Vec<RuleSpec>>,
    otherwise: Option<&Placed<Literal>>,
    problems: &mut Problems,
) -> Option<Vec<Rule>> {
    let rules: Vec<Option<Rule>> = spec.value.iter().map(|spec| rule(field, spec, problems)).collect();
    let mut above = Above::default();
    // A rule with a mistake has its number all the same.
    for ((number, rule), spec) in (1..).zip(&rules).zip(&spec.value) {
        let Some(rule) = rule else { continue };
        if let Some(why) = above.hide(rule.when.as_ref()) {
            problems
                .error(spec.at, &spec.key, format!("the rule is never reached: {why}"))
                .hint("the first rule that holds wins; remove this one or move it up");
        }
        above.push(number, rule.when.as_ref());
    }
    if let Some(otherwise) = otherwise.filter(|_| above.hold_for_everybody()) {
        let message = "`otherwise` is never reached: a rule above it holds for everybody";
        problems.error(otherwise.at, &otherwise.key, message).hint("remove one of the two");
    }
    rules.into_iter().collect()
}

fn rule(field: Field, spec: &RuleSpec, problems: &mut Problems) -> Option<Rule> {
    let when = spec.when.as_ref().map(|when| source::filter(when, problems));
    let value = value::literal(field, &spec.value, problems)?;
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    Some(Rule { when, value })
}

fn otherwise(field: Field, spec: &FieldSpec, problems: &mut Problems) -> Otherwise {
    let Some(spec) = &spec.otherwise else { return Otherwise::Refuse };
    let word = match &spec.value {
        Literal::Text(word) => word.as_str(),
        _ => "",
    };
    match word {
        "omit" => return Otherwise::Omit,
        "keep" => return Otherwise::Keep,
        "refuse" => return Otherwise::Refuse,
        _ => {}
    }
    match nearest(word, OTHERWISE.iter().copied()) {
        Some(near) if value::canonical(field, word).is_none() => {
            let message = format!("`{word}` is neither a value for `{field}` nor one of omit, keep, refuse");
            problems.error(spec.at, &spec.key, message).hint(format!("did you mean `{near}`?"));
            return Otherwise::Refuse;
        }
        Some(near) => {
            let message = format!("`{word}` is taken as a value for `{field}`");
            problems.warning(spec.at, &spec.key, message).hint(format!("did you mean `{near}`?"));
        }
        None => {}
    }
    value::literal(field, spec, problems).map_or(Otherwise::Refuse, Otherwise::Value)
}

fn fills(spec: &Spec, fields: &[FieldMapping], problems: &mut Problems) -> Vec<Fill> {
    let mut fills = Vec::new();
    for (path, text) in &spec.scim {
        if let Some(fill) = fill(path, text, problems) {
            check::fill(&fill, path, &fills, fields, problems);
            fills.push(fill);
        }
    }
    fills
}

fn fill(path: &Placed<String>, text: &Placed<String>, problems: &mut Problems) -> Option<Fill> {
    let target = source::path(path, problems);
    let template = template(text, problems, |name, problems| field_name(name, &name.value, problems));
    Some(Fill { path: target?, template: template? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each case of wrong.txt is a file and, after `=>`, what an operator is told about it.
    #[test]
    fn every_mistake_is_told_with_its_place_and_remedy() {
        let cases: Vec<&str> = include_str!("wrong.txt").split("\n## ").skip(1).collect();
        assert!(cases.len() > 100, "{}", cases.len());
        for case in cases {
            let (name, case) = case.split_once('\n').unwrap();
            let (extra, expected) = case.split_once("=>\n").unwrap();
            let told = told(extra).join("\n");
            assert_eq!(told, expected.trim_end(), "\n## {name}\n{extra}=>\n{told}\n");
        }
    }

    const NAMES: &str = "  first_name: { from: name.givenName, required: true }\n  \
        last_name: { from: name.familyName, required: true }\n";

    fn told(extra: &str) -> Vec<String> {
        let start = "user:\n  email: { from: userName }\n  active: { from: active }\n";
        let text = format!("{start}{NAMES}{extra}");
        let (outcome, problems) = match Mapping::compile(&text) {
            Ok((_, warnings)) => ("accepted", warnings),
            Err(problems) => ("refused", problems),
        };
        let line = |problem: &Problem| {
            let at = problem.at.map(|at| format!("{}:{} ", at.line, at.column)).unwrap_or_default();
            let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{at}{}: {}{hint}", problem.key, problem.message)
        };
        problems.iter().map(line).chain([outcome.to_owned()]).collect()
    }

    #[test]
    fn every_person_needs_an_address_of_their_own() {
        let missing = "user.email: `user.email` is missing: Ziflow knows people by their address";
        let fixed = "a fixed e-mail address would make one person of everybody who gets it";
        for (email, expected) in [
            ("", vec![missing]),
            ("  email: { value: a@example.com }\n", vec![fixed]),
            ("  email: { from: userName, default: a@example.com }\n", vec![fixed]),
            (
                "  email: { rules: [{ when: 'title pr', value: a@example.com }] }\n",
                vec!["`email` cannot come from rules"],
            ),
            (
                "  email: { from: userName, required: false }\n",
                vec!["`email` is always required: Ziflow knows people by it"],
            ),
            (
                "  email: { from: userName, direction: to_scim }\n",
                vec!["`email` has to be sent: Ziflow knows people by it"],
            ),
            (
                "  email: { from: userName, values: { a: a@b }, otherwise: omit, direction: to_ziflow }\n",
                vec!["who has no address of their own can only be refused: Ziflow knows people by it"],
            ),
            (
                "  email: { from: userName, only: '@example.com' }\n",
                vec!["`@example.com` fits nobody: no e-mail address is like that"],
            ),
            (
                "  email: { from: userName, only: [a@b, example.com] }\n",
                vec!["`example.com` fits nobody: no e-mail address is like that"],
            ),
        ] {
            let problems = Mapping::compile(&format!("user:\n  active: {{ from: active }}\n{NAMES}{email}"))
                .unwrap_err();
            let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            let expected: Vec<&str> =
                expected.iter().map(|text| text.trim_start_matches("user.email: ")).collect();
            assert_eq!(told, expected, "{email}");
        }
    }

    #[test]
    fn a_domain_that_a_stranger_could_have_is_warned_about() {
        for (only, warned) in [
            ("'*example.com'", true),
            ("'*@example.com'", false),
            ("'*.example.com'", false),
            ("jo@example.com", false),
        ] {
            let text = format!(
                "user:\n  email: {{ from: userName, only: {only} }}\n  active: {{ from: active }}\n{NAMES}"
            );
            let (_, warnings) = Mapping::compile(&text).unwrap();
            let told: Vec<_> =
                warnings.iter().map(|problem| (problem.message.as_str(), problem.hint.as_deref())).collect();
            let expected = (
                "`*example.com` fits other domains as well, such as other-example.com",
                Some("write `*@example.com`, and `*.example.com` for the domains below it"),
            );
            assert_eq!(told, if warned { vec![expected] } else { vec![] }, "{only}");
        }
    }

    #[test]
    fn a_mapping_without_active_is_warned_about() {
        let (_, warnings) =
            Mapping::compile(&format!("user:\n  email: {{ from: userName }}\n{NAMES}")).unwrap();
        let told: Vec<_> = warnings.iter().map(|problem| (problem.key.as_str(), problem.at)).collect();
        assert_eq!(told, [("user.active", None)]);
    }

    #[test]
    fn a_mapping_that_makes_people_without_a_name_is_warned_about() {
        let told = |entry: &str| {
            let last = "last_name: { from: name.familyName, required: true }";
            let text = format!(
                "user:\n  email: {{ from: userName }}\n  active: {{ from: active }}\n  {last}\n  {entry}\n"
            );
            let (_, warnings) = Mapping::compile(&text).unwrap();
            warnings.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
        };
        for (entry, expected) in [
            ("", Some("is missing")),
            ("first_name: { from: name.givenName }", Some("may be empty")),
            ("first_name: { from: name.givenName, direction: to_scim }", Some("is never sent")),
            ("first_name: { from: name.givenName, required: true }", None),
            ("first_name: { template: '{name.givenName}', default: Jo }", None),
            ("first_name: { value: Jo }", None),
            (
                "first_name: { from: title, values: { a: b }, default: Jo, otherwise: omit }",
                Some("may be empty"),
            ),
            ("first_name: { from: title, values: { a: b }, otherwise: Jo }", None),
            ("first_name: { rules: [{ when: title pr, value: Jo }] }", None),
            ("first_name: { rules: [{ when: title pr, value: Jo }], otherwise: keep }", Some("may be empty")),
        ] {
            let expected = expected.map(|what| {
                format!("`user.first_name` {what}: Ziflow would get people without it, or refuse them")
            });
            assert_eq!(told(entry), expected.unwrap_or_default(), "{entry}");
        }
    }

    #[test]
    fn a_mapping_that_shows_people_without_a_name_is_warned_about() {
        let work = "from: 'emails[type eq \"work\"].value'";
        for (email, scim, warned) in [
            ("from: userName", "", false),
            (work, "", true),
            (work, "scim: { userName: '{email}' }", false),
            ("from: userName, direction: to_ziflow", "", true),
        ] {
            let text =
                format!("user:\n  email: {{ {email} }}\n  active: {{ from: active }}\n{NAMES}{scim}\n");
            let (_, warnings) = Mapping::compile(&text).unwrap();
            let told: Vec<&str> = warnings.iter().map(|problem| problem.key.as_str()).collect();
            assert_eq!(told, if warned { vec!["scim.userName"] } else { vec![] }, "{email} {scim}");
        }
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        for (text, message) in [
            ("", "`user` is missing"),
            ("scim: {}", "`user` is missing"),
            ("user:", "`user.email` is missing: Ziflow knows people by their address"),
            ("user: 1", "expected a map, found a number"),
            ("- a", "expected a map, found a list"),
        ] {
            let problems = Mapping::compile(text).unwrap_err();
            assert!(problems.iter().any(|problem| problem.message == message), "{text}: {problems:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_compiled_without_panic(words in prop::collection::vec(0..WORDS.len(), 0..40)) {
            let text: String = words.into_iter().map(|index| WORDS[index]).collect();
            prop_assert!(Mapping::compile(&text).err().is_none_or(|problems| !problems.is_empty()));
        }

        #[test]
        fn any_entry_is_compiled_without_panic(words in prop::collection::vec(0..WORDS.len(), 0..12)) {
            let entry: String = words.into_iter().map(|index| WORDS[index]).collect();
            let text = format!("user:\n  email: {{ from: userName }}\n  roles: {{ {entry} }}\n");
            prop_assert!(Mapping::compile(&text).err().is_none_or(|problems| !problems.is_empty()));
        }
    }

    const WORDS: &[&str] = &[
        "user:",
        "\n  ",
        "\n",
        "email",
        "roles",
        "language",
        ": ",
        "{ ",
        " }",
        "[",
        "]",
        ", ",
        "from: ",
        "userName",
        "roles.value",
        "rules: ",
        "when: ",
        "value: ",
        "'title pr'",
        "values: ",
        "otherwise: ",
        "omit",
        "keep",
        "admin",
        "lite_user",
        "transform: ",
        "trim",
        "truncate: ",
        "replace: ",
        "\"",
        "'",
        "{{",
        "}}",
        "*",
        "true",
        "-1",
        "direction: to_scim",
        "required: ",
        "default: ",
        "owns: ",
        "scim:",
        "examples:",
        "\t",
        "é",
        "\u{0}",
        "&a",
        "*a",
        "emails[type eq \"work\"].value",
        "template: ",
        "{name.givenName}",
        "groups:",
        "~",
    ];
}
