//! One layer of settings, a file or the environment, read into typed values that remember where they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::keys::{Key, Kind, TOKEN_FORMS, keys, sections_in, token_keys};
use crate::config::{Report, clients};
use crate::server::tokens::digest_from_hex;
use crate::server::{expiry, minted};
use crate::yaml::{self, At, Item, Problem, Problems, Section, Severity, nearest};

/// Variables of the form `BRIDGE_SECTION__KEY` are settings; others that begin so are somebody else's.
const PREFIX: &str = "BRIDGE_";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File(At),
    Variable(String),
}

/// The values of a layer by their full key.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) values: BTreeMap<String, (Value, Origin)>,
    /// Where the parts of a list stand: `auth.tokens[0].token_file`.
    places: BTreeMap<String, At>,
    /// The text is no YAML, so nothing can be said about what is missing in it.
    pub(super) is_unread: bool,
}

impl Layer {
    /// Nested as the sections are, for figment.
    pub(super) fn to_json(&self) -> Value {
        let mut root = Value::Object(Map::new());
        for (key, (value, _)) in &self.values {
            let place = key.split('.').try_fold(&mut root, |section, name| {
                let section = section.as_object_mut()?;
                Some(section.entry(name).or_insert_with(|| Value::Object(Map::new())))
            });
            if let Some(place) = place {
                *place = value.clone();
            }
        }
        root
    }

    /// Nothing, because there is no file, or because it cannot be read.
    pub(super) fn unread(is_unread: bool) -> Self {
        Self { is_unread, ..Self::default() }
    }

    /// Reads a settings file.
    pub(super) fn from_file(name: &str, text: &str, reports: &mut Vec<Report>) -> Self {
        let (root, found) = yaml::parse(text);
        let mut problems = Problems::new(found);
        let mut layer = Self::default();
        match &root {
            Some(root) => layer.read_section(&Item::root(root), "", &mut problems),
            None => layer.is_unread = true,
        }
        let shared: Arc<str> = text.into();
        let report = |problem| Report { file: name.to_owned(), text: Arc::clone(&shared), problem };
        reports.extend(problems.into_vec().into_iter().map(report));
        layer
    }

    /// A section, with the sections inside it; the whole file is the one called "".
    fn read_section(&mut self, item: &Item<'_>, name: &str, problems: &mut Problems) {
        let own = keys().into_iter().filter(|key| key.parts().0 == name);
        let forms: Vec<(String, Kind)> = own.flat_map(|key| key.forms()).collect();
        let inside = sections_in(name);
        let known: Vec<&str> =
            forms.iter().map(|(name, _)| name.as_str()).chain(inside.iter().copied()).collect();
        let Some(section) = item.section(&known, problems) else { return };
        for (name, kind) in &forms {
            let Some(item) = section.get(name) else { continue };
            match kind {
                Kind::Tokens => self.places.extend(places(&item, &token_keys())),
                Kind::Clients => self.places.extend(places(&item, &clients::client_keys())),
                _ => {}
            }
            if let Some(value) = value(&item, kind, problems) {
                self.values.insert(item.key.clone(), (value, Origin::File(item.at())));
            }
        }
        for inner in inside {
            if let Some(item) = section.get(inner) {
                let full = if name.is_empty() { inner.to_owned() } else { format!("{name}.{inner}") };
                self.read_section(&item, &full, problems);
            }
        }
    }

    /// Reads the environment.
    pub(super) fn from_environment(
        variables: impl Iterator<Item = (String, String)>,
        reports: &mut Vec<Report>,
    ) -> Self {
        let mut layer = Self::default();
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else { continue };
            if !rest.contains("__") {
                reports.extend(near_miss(&variable));
                continue;
            }
            let name = rest.to_lowercase().replace("__", ".");
            let mut problems = Problems::default();
            if let Some(value) = variable_value(&variable, &name, &text, &mut problems) {
                layer.values.insert(name, (value, Origin::Variable(variable.clone())));
            }
            for mut problem in problems.into_vec() {
                // A place in a variable would be taken for one in a file.
                problem.at = None;
                problem.key.clone_from(&variable);
                reports.push(Report { file: "environment".to_owned(), text: Arc::default(), problem });
            }
        }
        layer
    }

    /// Where a setting, or a part of it, was given.
    pub(super) fn origin(&self, key: &str) -> Option<Origin> {
        let setting = key.split('[').next().unwrap_or_default();
        let part = self.places.get(key).copied().map(Origin::File);
        part.or_else(|| self.values.get(setting).map(|(_, origin)| origin.clone()))
    }

    /// The forms of a secret are one setting: what a later layer says replaces all of them.
    pub(super) fn hides(&self, key: &str) -> bool {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        let forms = keys().into_iter().filter(|known| known.parts().0 == section).map(|known| known.forms());
        let mut own = forms.filter(|forms| forms.iter().any(|(form, _)| form == name)).flatten();
        own.any(|(form, _)| form != name && self.values.contains_key(&format!("{section}.{form}")))
    }
}

/// The variable that sets this key.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn value(item: &Item<'_>, kind: &Kind, problems: &mut Problems) -> Option<Value> {
    match kind {
        Kind::Text => filled(item, problems).map(Value::from),
        Kind::Secret | Kind::Token => item.text(problems).map(Value::from),
        Kind::Email => email(item, problems).map(Value::from),
        Kind::Emails => each(item, problems, email),
        Kind::Integer(range) => item.integer(range.clone(), problems).map(Value::from),
        Kind::Boolean => item.boolean(problems).map(Value::from),
        Kind::Choice(words) => {
            let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
            item.choice(&words, problems).map(Value::from)
        }
        Kind::Texts => each(item, problems, filled),
        Kind::Tokens => entries(item, &token_keys(), problems, token),
        Kind::Clients => entries(item, &clients::client_keys(), problems, clients::entry),
    }
}

/// Every item of a list, or none when one of them is wrong.
fn each<'a>(
    item: &Item<'a>,
    problems: &mut Problems,
    read: impl Fn(&Item<'a>, &mut Problems) -> Option<&'a str>,
) -> Option<Value> {
    let texts: Vec<_> = item.list(problems)?.iter().map(|item| read(item, problems)).collect();
    texts.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
}

/// Every entry of a list of sections, or none when one of them is wrong.
fn entries(
    item: &Item<'_>,
    keys: &[&str],
    problems: &mut Problems,
    read: impl Fn(&Section<'_>, &mut Problems) -> Option<Value>,
) -> Option<Value> {
    let sections = item.sections(keys, problems)?;
    // Each is read, so that all problems are told.
    let entries: Vec<_> = sections.iter().map(|section| read(section, problems)).collect();
    entries.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
}

fn filled<'a>(item: &Item<'a>, problems: &mut Problems) -> Option<&'a str> {
    let text = item.text(problems)?;
    if text.trim().is_empty() {
        problems.error(item.at(), &item.key, "it is empty").hint("leave the line out to use no value");
        return None;
    }
    Some(text)
}

fn email<'a>(item: &Item<'a>, problems: &mut Problems) -> Option<&'a str> {
    let text = filled(item, problems)?;
    if !text.contains('@') || text.contains(char::is_whitespace) {
        problems.error(item.at(), &item.key, format!("`{text}` is no e-mail address"));
        return None;
    }
    Some(text)
}

/// A text in an entry of a list.
pub(super) fn text_of<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str)
}

/// What `sha256` of a token is.
pub(super) const DIGEST: &str = "sha256 must be the 64 hexadecimal digits of the token's SHA-256";
pub(super) const DIGEST_HINT: &str = "`ziflow-scim-bridge token new` prints it beside a new token; of one that is in the file \
                                      TOKEN: `tr -d '\\n' < TOKEN | sha256sum`";
/// The same where the token itself stands there.
pub(super) const TOKEN_ITSELF: &str = "this is a token itself, and here goes its SHA-256";
pub(super) const NEW_TOKEN: &str = "make one with `ziflow-scim-bridge token new`";

/// Where each entry of a list stands, and each part of it.
fn places(item: &Item<'_>, keys: &[&str]) -> Vec<(String, At)> {
    let sections = item.sections(keys, &mut Problems::default()).unwrap_or_default();
    let places = |section: Section<'_>| {
        let parts = keys.iter().filter_map(|key| section.get(key)).map(|part| (part.key.clone(), part.at()));
        parts.chain([(section.key.clone(), section.at)]).collect::<Vec<_>>()
    };
    sections.into_iter().flat_map(places).collect()
}

fn token(section: &Section<'_>, problems: &mut Problems) -> Option<Value> {
    let mut token = Map::new();
    // Each is read, so that all problems are told.
    let name = section.require("name", problems).and_then(|item| token_name(&item, problems));
    let expires = section.get("expires").map(|item| expiry_text(&item, problems));
    let read_only = section.get("read_only").map(|item| item.boolean(problems));
    let given: Vec<&str> = TOKEN_FORMS.iter().copied().filter(|key| section.get(key).is_some()).collect();
    let [one] = given.as_slice() else {
        let found = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        let message = format!("exactly one of `token`, `token_file` and `sha256` is needed, found {found}");
        problems.error(section.at, &section.key, message);
        return None;
    };
    let item = section.get(one)?;
    let text = filled(&item, problems)?;
    let wrong = match *one {
        "sha256" if text.starts_with(minted::PREFIX) => Some((TOKEN_ITSELF, DIGEST_HINT)),
        "sha256" if digest_from_hex(text).is_none() => Some((DIGEST, DIGEST_HINT)),
        "token" if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some(("a token holds no blanks and only ASCII: a header could not carry it", NEW_TOKEN))
        }
        _ => None,
    };
    if let Some((wrong, hint)) = wrong {
        problems.error(item.at(), &item.key, wrong).hint(hint);
        return None;
    }
    token.insert("name".to_owned(), name?.into());
    token.insert((*one).to_owned(), text.into());
    if let Some(expires) = expires {
        token.insert("expires".to_owned(), expires?.into());
    }
    if let Some(read_only) = read_only {
        token.insert("read_only".to_owned(), read_only?.into());
    }
    Some(Value::Object(token))
}

/// It stands in every line of the log.
fn token_name<'a>(item: &Item<'a>, problems: &mut Problems) -> Option<&'a str> {
    let name = item.text(problems)?;
    let wrong = if name.trim().is_empty() {
        "it is empty"
    } else if name.contains(minted::PREFIX) {
        "this is a token, and names are written into the log"
    } else if name.contains(char::is_control) {
        "it holds characters that a log cannot show"
    } else {
        return Some(name);
    };
    problems.error(item.at(), &item.key, wrong).hint("say in a word or two whose token it is");
    None
}

fn expiry_text<'a>(item: &Item<'a>, problems: &mut Problems) -> Option<&'a str> {
    let text = filled(item, problems)?;
    if expiry::parse(text).is_none() {
        let message =
            format!("`{text}` is no day such as 2027-03-01 and no time such as 2027-03-01T12:00:00Z");
        problems.error(item.at(), &item.key, message);
        return None;
    }
    Some(text)
}

fn variable_value(variable: &str, name: &str, text: &str, problems: &mut Problems) -> Option<Value> {
    let full = |key: Key| {
        let (section, _) = key.parts();
        key.forms().into_iter().map(move |(name, kind)| (format!("{section}.{name}"), kind))
    };
    let known: Vec<(String, Kind)> = keys().into_iter().flat_map(full).collect();
    if let Some((_, kind)) = known.iter().find(|(known, _)| known == name) {
        return value_of_variable(text, kind, problems);
    }
    let problem = problems.error(None, "", format!("unknown variable `{variable}`"));
    if let Some(near) = nearest(name, known.iter().map(|(known, _)| known.as_str())) {
        problem.hint(format!("did you mean `{}`?", variable_name(near)));
    }
    None
}

/// Variables are texts; what else is meant follows from the key. Lists are in YAML's flow form.
fn value_of_variable(text: &str, kind: &Kind, problems: &mut Problems) -> Option<Value> {
    if let Kind::Text | Kind::Secret | Kind::Token | Kind::Choice(_) | Kind::Email = kind {
        let node = yaml::Node { at: At { line: 1, column: 1 }, value: yaml::Content::Text(text.to_owned()) };
        return value(&Item::root(&node), kind, problems);
    }
    let (node, found) = yaml::parse(text);
    let failed = !found.is_empty();
    for Problem { at, key, message, .. } in found {
        problems.error(at, &key, message);
    }
    let node = node.filter(|_| !failed)?;
    value(&Item::root(&node), kind, problems)
}

/// Variables without a section are nobody's business here, but one that only lacks an underscore was meant for the
/// bridge, and left alone it would do nothing.
fn near_miss(variable: &str) -> Option<Report> {
    let squeezed = |name: &str| name.replace("__", "_");
    let meant =
        keys().into_iter().map(|key| variable_name(key.name)).find(|name| squeezed(name) == variable)?;
    let message = format!("`{variable}` has one underscore after the section, and would do nothing");
    let hint = Some(format!("did you mean `{meant}`?"));
    let problem = Problem {
        severity: Severity::Error,
        at: None,
        key: variable.to_owned(),
        message,
        hint,
        differences: Vec::new(),
    };
    Some(Report { file: "environment".to_owned(), text: Arc::default(), problem })
}
