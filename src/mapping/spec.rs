//! mapping.yaml exactly as written, with the place of everything. Only this file and the one for groups read YAML here.
//!
//! It knows which keys there are and of what kind their values are. What the values mean, and whether they
//! fit each other, is for `compile.rs`.

use super::group_spec::{self, GroupSpec};
use super::keys::{self, DIRECTIONS, LENGTH, SOURCES, names};
use crate::yaml::{self, At, Content, Item, Node, Problems, Section};

/// A piece of the file, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) at: At,
    /// `user.language.values`
    pub(super) key: String,
    pub(super) value: T,
}

#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) user: Vec<FieldSpec>,
    /// SCIM paths with their templates.
    pub(super) scim: Vec<(Placed<String>, Placed<String>)>,
    pub(super) groups: Vec<GroupSpec>,
    pub(super) examples: Vec<ExampleSpec>,
}

/// One entry of `user:`.
#[derive(Debug)]
pub(super) struct FieldSpec {
    pub(super) name: Placed<String>,
    /// Which of from, template, value and rules stand there, readable or not.
    pub(super) sources: Vec<&'static str>,
    pub(super) from: Option<Placed<Vec<Placed<String>>>>,
    pub(super) template: Option<Placed<String>>,
    pub(super) value: Option<Placed<Literal>>,
    pub(super) rules: Option<Placed<Vec<RuleSpec>>>,
    pub(super) transform: Option<Placed<Vec<Placed<TransformSpec>>>>,
    pub(super) values: Option<Placed<Vec<RowSpec>>>,
    pub(super) only: Option<Placed<Vec<Placed<String>>>>,
    pub(super) otherwise: Option<Placed<Literal>>,
    pub(super) default: Option<Placed<Literal>>,
    pub(super) required: Option<Placed<bool>>,
    pub(super) direction: Option<Placed<Direction>>,
    pub(super) owns: Option<Placed<bool>>,
}

/// A value that an operator wrote for a Ziflow field.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Text(String),
    Boolean(bool),
    List(Vec<Placed<String>>),
}

#[derive(Debug)]
pub(super) struct RuleSpec {
    pub(super) at: At,
    pub(super) key: String,
    pub(super) when: Option<Placed<String>>,
    pub(super) value: Placed<Literal>,
}

#[derive(Debug)]
pub(super) struct RowSpec {
    pub(super) pattern: Placed<String>,
    pub(super) value: Placed<Literal>,
}

#[derive(Clone, Debug)]
pub(super) enum TransformSpec {
    Trim,
    Lowercase,
    Uppercase,
    CollapseSpaces,
    Truncate(u64),
    Replace { pattern: String, with: String },
}

/// Which way a field is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Direction {
    #[default]
    Both,
    ToZiflow,
    ToScim,
}

/// One entry of `examples:`.
#[derive(Debug)]
pub(super) struct ExampleSpec {
    pub(super) at: At,
    pub(super) key: String,
    pub(super) name: Option<Placed<String>>,
    pub(super) scim: Option<Placed<Node>>,
    /// Null stands for nothing at all.
    pub(super) ziflow: Vec<(Placed<String>, Option<Placed<Literal>>)>,
    /// SCIM paths for whose sake the person is refused.
    pub(super) refused: Vec<Placed<String>>,
    pub(super) to_scim: Vec<(Placed<String>, serde_json::Value)>,
}

/// Reads the file; `None` when it is no YAML at all.
pub(super) fn read(text: &str, problems: &mut Problems) -> Option<Spec> {
    let (root, found) = yaml::parse(text);
    *problems = Problems::new(found);
    let root = root?;
    let section = Item::root(&root).section(&names(keys::FILE), problems)?;
    let mut spec = Spec::default();
    if let Some(user) = section.require("user", problems) {
        spec.user = fields(&user, problems);
    }
    if let Some(scim) = section.get("scim") {
        spec.scim = templates(&scim, problems);
    }
    if let Some(item) = section.get("groups") {
        spec.groups = group_spec::read(&item, problems);
    }
    if let Some(list) = section.get("examples").and_then(|item| item.list(problems)) {
        spec.examples = list.iter().filter_map(|item| example(item, problems)).collect();
    }
    Some(spec)
}

impl<T> Placed<T> {
    fn new(item: &Item<'_>, value: T) -> Self {
        Self { at: item.at(), key: item.key.clone(), value }
    }
}

fn fields(user: &Item<'_>, problems: &mut Problems) -> Vec<FieldSpec> {
    let entries = user.entries(problems).unwrap_or_default();
    let field = |(name, at, item): (&str, At, Item<'_>)| {
        let name = Placed { at, key: item.key.clone(), value: name.to_owned() };
        if let Content::Text(text) = &item.node.value {
            let hint = format!("write `{}: {{ from: {text} }}`", name.value);
            problems.error(item.at(), &item.key, "expected a map, found a text").hint(hint);
            return None;
        }
        let section = item.section(&names(keys::FIELD), problems)?;
        Some(field(name, &section, problems))
    };
    entries.into_iter().filter_map(field).collect()
}

fn field(name: Placed<String>, section: &Section<'_>, problems: &mut Problems) -> FieldSpec {
    let given = |name: &&'static str| section.get(name).is_some();
    FieldSpec {
        name,
        sources: SOURCES.iter().copied().filter(given).collect(),
        from: read_key(section, "from", problems, one_text_or_more),
        template: section.get("template").and_then(|item| text(&item, problems)),
        value: section.get("value").and_then(|item| literal(&item, problems)),
        rules: read_key(section, "rules", problems, |item, problems| {
            let rules = filled(item.list(problems)?, item, problems)?;
            Some(rules.iter().filter_map(|item| rule(item, problems)).collect())
        }),
        transform: read_key(section, "transform", problems, |item, problems| {
            Some(one_or_more(item).iter().filter_map(|item| transform(item, problems)).collect())
        }),
        values: read_key(section, "values", problems, rows),
        only: read_key(section, "only", problems, one_text_or_more),
        otherwise: section.get("otherwise").and_then(|item| literal(&item, problems)),
        default: section.get("default").and_then(|item| literal(&item, problems)),
        required: read_key(section, "required", problems, Item::boolean),
        direction: read_key(section, "direction", problems, direction),
        owns: read_key(section, "owns", problems, Item::boolean),
    }
}

pub(super) fn read_key<'a, T>(
    section: &Section<'a>,
    name: &str,
    problems: &mut Problems,
    read: impl Fn(&Item<'a>, &mut Problems) -> Option<T>,
) -> Option<Placed<T>> {
    let item = section.get(name)?;
    let value = read(&item, problems)?;
    Some(Placed::new(&item, value))
}

/// A list, or its only item without the brackets.
pub(super) fn one_or_more<'a>(item: &Item<'a>) -> Vec<Item<'a>> {
    item.list(&mut Problems::default()).unwrap_or_else(|| vec![item.clone()])
}

fn one_text_or_more(item: &Item<'_>, problems: &mut Problems) -> Option<Vec<Placed<String>>> {
    let texts = filled(one_or_more(item), item, problems)?;
    Some(texts.iter().filter_map(|item| text(item, problems)).collect())
}

fn filled<T>(items: Vec<T>, item: &Item<'_>, problems: &mut Problems) -> Option<Vec<T>> {
    if items.is_empty() {
        problems.error(item.at(), &item.key, "the list is empty");
        return None;
    }
    Some(items)
}

pub(super) fn text(item: &Item<'_>, problems: &mut Problems) -> Option<Placed<String>> {
    Some(Placed::new(item, item.text(problems)?.to_owned()))
}

fn literal(item: &Item<'_>, problems: &mut Problems) -> Option<Placed<Literal>> {
    let value = match &item.node.value {
        Content::Boolean(flag) => Literal::Boolean(*flag),
        Content::List(_) => {
            Literal::List(item.list(problems)?.iter().filter_map(|item| text(item, problems)).collect())
        }
        _ => Literal::Text(item.text(problems)?.to_owned()),
    };
    Some(Placed::new(item, value))
}

fn rule(item: &Item<'_>, problems: &mut Problems) -> Option<RuleSpec> {
    let section = item.section(&names(keys::RULE), problems)?;
    let when = section.get("when").map(|item| text(&item, problems));
    let value = section.require("value", problems).and_then(|item| literal(&item, problems))?;
    // A condition that cannot be read must not turn into "always".
    let when = match when {
        Some(None) => return None,
        when => when.flatten(),
    };
    Some(RuleSpec { at: section.at, key: section.key, when, value })
}

fn rows(item: &Item<'_>, problems: &mut Problems) -> Option<Vec<RowSpec>> {
    let row = |(pattern, at, item): (&str, At, Item<'_>)| {
        let pattern = Placed { at, key: item.key.clone(), value: pattern.to_owned() };
        Some(RowSpec { pattern, value: literal(&item, problems)? })
    };
    let entries = item.entries(&mut Problems::default());
    match entries {
        Some(entries) => Some(entries.into_iter().filter_map(row).collect()),
        None => item.unexpected("a map from SCIM values to Ziflow values", problems),
    }
}

fn direction(item: &Item<'_>, problems: &mut Problems) -> Option<Direction> {
    item.choice(DIRECTIONS, problems)
}

fn transform(item: &Item<'_>, problems: &mut Problems) -> Option<Placed<TransformSpec>> {
    let spec = match &item.node.value {
        Content::Map(entries) if entries.is_empty() => {
            problems.error(item.at(), &item.key, "the step names no transform").hint("remove it");
            return None;
        }
        Content::Map(_) => transform_with_arguments(item, problems)?,
        _ => plain_transform(item, problems)?,
    };
    Some(Placed::new(item, spec))
}

fn plain_transform(item: &Item<'_>, problems: &mut Problems) -> Option<TransformSpec> {
    let words = [names(keys::WORDS), names(keys::STEPS)].concat();
    let words: Vec<_> = words.into_iter().map(|word| (word, word)).collect();
    let word = item.choice(&words, problems)?;
    let example = match word {
        "trim" => return Some(TransformSpec::Trim),
        "lowercase" => return Some(TransformSpec::Lowercase),
        "uppercase" => return Some(TransformSpec::Uppercase),
        "collapse_spaces" => return Some(TransformSpec::CollapseSpaces),
        "truncate" => "{ truncate: 40 }",
        _ => "{ replace: { pattern: 'x', with: 'y' } }",
    };
    problems
        .error(item.at(), &item.key, format!("`{word}` needs an argument"))
        .hint(format!("write `{example}`"));
    None
}

fn transform_with_arguments(item: &Item<'_>, problems: &mut Problems) -> Option<TransformSpec> {
    let section = item.section(&names(keys::STEPS), problems)?;
    match (section.get("truncate"), section.get("replace")) {
        (Some(length), None) => Some(TransformSpec::Truncate(length.integer(LENGTH, problems)?)),
        (None, Some(replace)) => {
            let section = replace.section(&names(keys::REPLACE), problems)?;
            let pattern = section.require("pattern", problems).and_then(|item| item.text(problems));
            let with = section.require("with", problems).and_then(|item| item.text(problems));
            Some(TransformSpec::Replace { pattern: pattern?.to_owned(), with: with?.to_owned() })
        }
        (Some(_), Some(_)) => {
            let message = "one step holds one transform";
            problems.error(item.at(), &item.key, message).hint("begin a new `- ` item for each");
            None
        }
        // The key that stands here instead has been reported.
        (None, None) => None,
    }
}

fn templates(scim: &Item<'_>, problems: &mut Problems) -> Vec<(Placed<String>, Placed<String>)> {
    let entries = scim.entries(problems).unwrap_or_default();
    let template = |(path, at, item): (&str, At, Item<'_>)| {
        let path = Placed { at, key: item.key.clone(), value: path.to_owned() };
        Some((path, text(&item, problems)?))
    };
    entries.into_iter().filter_map(template).collect()
}

fn example(item: &Item<'_>, problems: &mut Problems) -> Option<ExampleSpec> {
    let section = item.section(&names(keys::EXAMPLE), problems)?;
    let refused = section.get("refused").map(|item| one_or_more(&item)).unwrap_or_default();
    check_sides(&section, problems);
    if section.get("refused").is_none() && section.get("ziflow").is_none() {
        let hint = "list the fields that are promised, or name under `refused` the attribute that is refused";
        problems.error(section.at, &format!("{}.ziflow", section.key), "`ziflow` is missing").hint(hint);
        return None;
    }
    let fields = entries(&section, "ziflow", problems);
    let field = |(name, item): (Placed<String>, Item<'_>)| match item.node.value {
        Content::Null => Some((name, None)),
        _ => Some((name, Some(literal(&item, problems)?))),
    };
    let ziflow = fields.into_iter().filter_map(field).collect();
    let shown = entries(&section, "to_scim", problems);
    Some(ExampleSpec {
        name: section.get("name").and_then(|item| text(&item, problems)),
        scim: section.get("scim").map(|item| Placed::new(&item, item.node.clone())),
        ziflow,
        refused: refused.iter().filter_map(|item| text(item, problems)).collect(),
        to_scim: shown.into_iter().map(|(path, item)| (path, item.node.to_json())).collect(),
        at: section.at,
        key: section.key,
    })
}

/// Which keys of an example make sense together.
fn check_sides(section: &Section<'_>, problems: &mut Problems) {
    let has = |name: &str| section.get(name).is_some();
    if !has("scim") && !has("to_scim") && !has("refused") {
        let message = "the example has neither `scim` (what is sent) nor `to_scim` (what is shown)";
        problems.error(section.at, &section.key, message);
    }
    let Some(refused) = section.get("refused") else { return };
    let message = match (has("ziflow") || has("to_scim"), has("scim")) {
        (true, _) => "who is refused becomes nobody in Ziflow, so `refused` stands with `scim` alone",
        (false, false) => "`refused` needs `scim`: the person whom Entra sends",
        (false, true) => return,
    };
    problems.error(refused.at(), &refused.key, message);
}

/// The entries of a map, each with its key as written.
fn entries<'a>(
    section: &Section<'a>,
    name: &str,
    problems: &mut Problems,
) -> Vec<(Placed<String>, Item<'a>)> {
    let entries = section.get(name).and_then(|item| item.entries(problems)).unwrap_or_default();
    let entry = |(key, at, item): (&str, At, Item<'a>)| {
        (Placed { at, key: item.key.clone(), value: key.to_owned() }, item)
    };
    entries.into_iter().map(entry).collect()
}
