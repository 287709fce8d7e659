//! Reading a tree key by key: each reader says what it expected, and reading goes on.

use std::ops::RangeInclusive;

use super::problem::{Problems, nearest};
use super::{At, Content, Entry, Node};

/// A node together with the keys that lead to it.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    pub node: &'a Node,
    /// `user.roles.rules[0].when`
    pub key: String,
}

/// A map of which only known keys are left.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    pub at: At,
    pub key: String,
    entries: &'a [Entry],
}

impl<'a> Item<'a> {
    /// The whole document.
    pub fn root(node: &'a Node) -> Self {
        Self { node, key: String::new() }
    }

    pub fn at(&self) -> At {
        self.node.at
    }

    /// A map with these keys and no others. Nothing at all is an empty map: a section whose every line
    /// is a comment is no mistake.
    pub fn section(&self, known: &[&str], problems: &mut Problems) -> Option<Section<'a>> {
        let entries = self.map(problems)?;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let key = join(&self.key, &entry.key);
            let problem = problems.error(entry.at, &key, format!("unknown key `{}`", entry.key));
            problem.hint(match nearest(&entry.key, known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known here: {}", known.join(", ")),
            });
        }
        Some(Section { at: self.at(), key: self.key.clone(), entries })
    }

    /// The entries of a map whose keys are the operator's own words, each with the place of its key.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<(&'a str, At, Item<'a>)>> {
        let entry = |entry: &'a Entry| (entry.key.as_str(), entry.at, child(&self.key, entry));
        Some(self.map(problems)?.iter().map(entry).collect())
    }

    pub fn text(&self, problems: &mut Problems) -> Option<&'a str> {
        match &self.node.value {
            Content::Text(text) => Some(text),
            Content::Boolean(_) | Content::Number(_) => {
                let message = format!("expected a text, found {}", self.node.kind());
                problems.error(self.at(), &self.key, message).hint("put it in quotes");
                None
            }
            _ => self.unexpected("a text", problems),
        }
    }

    pub fn integer(&self, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let Content::Number(number) = &self.node.value else {
            return self.unexpected("a whole number", problems);
        };
        let inside = number.as_u64().filter(|number| range.contains(number));
        if inside.is_none() {
            let (low, high) = (range.start(), range.end());
            let message = if *high == u64::MAX {
                format!("expected a whole number of at least {low}, found {number}")
            } else {
                format!("expected a whole number from {low} to {high}, found {number}")
            };
            problems.error(self.at(), &self.key, message);
        }
        inside
    }

    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        match &self.node.value {
            Content::Boolean(flag) => Some(*flag),
            Content::Text(word) => {
                let message = format!("expected `true` or `false`, found the text `{word}`");
                let problem = problems.error(self.at(), &self.key, message);
                match word.to_lowercase().as_str() {
                    "yes" | "on" | "no" | "off" => problem.hint("in YAML 1.2, yes, no, on and off are texts"),
                    "true" | "false" => problem.hint("remove the quotes: they make a text of it"),
                    _ => {}
                }
                None
            }
            _ => self.unexpected("`true` or `false`", problems),
        }
    }

    /// One of these words, and what it means.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let word = self.text(problems)?;
        let meaning = words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning);
        if meaning.is_none() {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            let problem = problems.error(self.at(), &self.key, format!("unknown word `{word}`"));
            problem.hint(match nearest(word, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? known: {}", known.join(", ")),
                None => format!("known: {}", known.join(", ")),
            });
        }
        meaning
    }

    pub fn list(&self, problems: &mut Problems) -> Option<Vec<Item<'a>>> {
        let Content::List(nodes) = &self.node.value else {
            if matches!(self.node.value, Content::Null) {
                let message = "expected a list, found nothing".to_owned();
                problems.error(self.at(), &self.key, message).hint("give an entry, or take this line out");
                return None;
            }
            return self.unexpected("a list", problems);
        };
        let item = |(index, node)| Item { node, key: format!("{}[{index}]", self.key) };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// A list of texts. Items that are none are problems and left out.
    pub fn texts(&self, problems: &mut Problems) -> Option<Vec<&'a str>> {
        let items = self.list(problems)?;
        Some(items.iter().filter_map(|item| item.text(problems)).collect())
    }

    /// A list of maps with these keys and no others.
    pub fn sections(&self, known: &[&str], problems: &mut Problems) -> Option<Vec<Section<'a>>> {
        let items = self.list(problems)?;
        Some(items.iter().filter_map(|item| item.section(known, problems)).collect())
    }

    /// Reports that something else was expected here.
    pub fn unexpected<T>(&self, expected: &str, problems: &mut Problems) -> Option<T> {
        problems.error(self.at(), &self.key, format!("expected {expected}, found {}", self.node.kind()));
        None
    }

    fn map(&self, problems: &mut Problems) -> Option<&'a [Entry]> {
        match &self.node.value {
            Content::Map(entries) => Some(entries),
            Content::Null => Some(&[]),
            _ => self.unexpected("a map", problems),
        }
    }
}

impl<'a> Section<'a> {
    pub fn get(&self, name: &str) -> Option<Item<'a>> {
        self.entries.iter().find(|entry| entry.key == name).map(|entry| child(&self.key, entry))
    }

    /// The value of a key that must be there.
    pub fn require(&self, name: &str, problems: &mut Problems) -> Option<Item<'a>> {
        let item = self.get(name);
        if item.is_none() {
            problems.error(self.at, &join(&self.key, name), format!("`{name}` is missing"));
        }
        item
    }

    /// Where the key itself stands.
    pub fn key_at(&self, name: &str) -> Option<At> {
        self.entries.iter().find(|entry| entry.key == name).map(|entry| entry.at)
    }
}

fn child<'a>(parent: &str, entry: &'a Entry) -> Item<'a> {
    Item { node: &entry.value, key: join(parent, &entry.key) }
}

fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Reads the value of `k` and returns what was read and the problems as `key: message (hint)`.
    fn read<T>(
        value: &str,
        reader: impl Fn(&Item<'_>, &mut Problems) -> Option<T>,
    ) -> (Option<T>, Vec<String>) {
        let text = format!("k: {value}\n");
        let (node, found) = parse(&text);
        let node = node.unwrap();
        let mut problems = Problems::new(found);
        let root = Item::root(&node).section(&["k"], &mut problems).unwrap();
        let read = reader(&root.get("k").unwrap(), &mut problems);
        let line = |problem: super::super::Problem| match problem.hint {
            Some(hint) => format!("{}: {} ({hint})", problem.key, problem.message),
            None => format!("{}: {}", problem.key, problem.message),
        };
        (read, problems.into_vec().into_iter().map(line).collect())
    }

    fn one(problem: &str) -> Vec<String> {
        vec![problem.to_owned()]
    }

    #[test]
    fn texts_are_texts() {
        let text = |value| read(value, |item, problems| item.text(problems).map(str::to_owned));
        assert_eq!(text("a b"), (Some("a b".into()), vec![]));
        assert_eq!(text("no"), (Some("no".into()), vec![]));
        assert_eq!(text("12345"), (None, one("k: expected a text, found a number (put it in quotes)")));
        assert_eq!(text("true"), (None, one("k: expected a text, found a boolean (put it in quotes)")));
        assert_eq!(text(""), (None, one("k: expected a text, found nothing")));
        assert_eq!(text("[a]"), (None, one("k: expected a text, found a list")));
    }

    #[test]
    fn integers_have_bounds() {
        let integer = |value| read(value, |item, problems| item.integer(1..=10, problems));
        assert_eq!(integer("10"), (Some(10), vec![]));
        assert_eq!(integer("11"), (None, one("k: expected a whole number from 1 to 10, found 11")));
        assert_eq!(integer("-1"), (None, one("k: expected a whole number from 1 to 10, found -1")));
        assert_eq!(integer("1.5"), (None, one("k: expected a whole number from 1 to 10, found 1.5")));
        assert_eq!(integer("'5'"), (None, one("k: expected a whole number, found a text")));
        let open = read("0", |item, problems| item.integer(1..=u64::MAX, problems));
        assert_eq!(open, (None, one("k: expected a whole number of at least 1, found 0")));
    }

    #[test]
    fn booleans_are_true_and_false() {
        let boolean =
            |value| read(value, |item, problems| item.boolean(problems).map(|flag| flag.to_string()));
        assert_eq!(boolean("false"), (Some("false".into()), vec![]));
        let hint = "in YAML 1.2, yes, no, on and off are texts";
        assert_eq!(
            boolean("yes"),
            (None, one(&format!("k: expected `true` or `false`, found the text `yes` ({hint})")))
        );
        let hint = "remove the quotes: they make a text of it";
        let told = format!("k: expected `true` or `false`, found the text `true` ({hint})");
        assert_eq!(boolean("'true'"), (None, one(&told)));
        assert_eq!(boolean("1"), (None, one("k: expected `true` or `false`, found a number")));
    }

    #[test]
    fn choices_name_the_nearest_word() {
        let choice = |value| read(value, |item, problems| item.choice(&[("text", 1), ("json", 2)], problems));
        assert_eq!(choice("json"), (Some(2), vec![]));
        assert_eq!(
            choice("jsn"),
            (None, one("k: unknown word `jsn` (did you mean `json`? known: text, json)"))
        );
        assert_eq!(choice("yaml"), (None, one("k: unknown word `yaml` (known: text, json)")));
    }

    #[test]
    fn lists_go_on_after_a_wrong_item() {
        let texts = |value| read(value, |item, problems| item.texts(problems).map(|texts| texts.join("+")));
        assert_eq!(texts("[a, b]"), (Some("a+b".into()), vec![]));
        assert_eq!(
            texts("[a, 1, b]"),
            (Some("a+b".into()), one("k[1]: expected a text, found a number (put it in quotes)"))
        );
        assert_eq!(texts("a"), (None, one("k: expected a list, found a text")));
    }

    #[test]
    fn sections_know_their_keys() {
        let sections = |value| {
            read(value, |item, problems| {
                let sections = item.sections(&["name", "token"], problems)?;
                Some(sections.iter().filter_map(|section| section.require("name", problems)).count())
            })
        };
        assert_eq!(sections("[{ name: a }, { name: b, token: c }]"), (Some(2), vec![]));
        assert_eq!(
            sections("[{ nmae: a, name: b }]"),
            (Some(1), one("k[0].nmae: unknown key `nmae` (did you mean `name`?)"))
        );
        assert_eq!(
            sections("[{ z: a, name: b }]"),
            (Some(1), one("k[0].z: unknown key `z` (known here: name, token)"))
        );
        assert_eq!(sections("[{ token: a }]"), (Some(0), one("k[0].name: `name` is missing")));
        assert_eq!(sections("[a]"), (Some(0), one("k[0]: expected a map, found a text")));
    }

    #[test]
    fn a_section_of_comments_is_empty() {
        let empty =
            read("# nothing", |item, problems| item.section(&["a"], problems).map(|s| s.get("a").is_none()));
        assert_eq!(empty, (Some(true), vec![]));
    }
}
