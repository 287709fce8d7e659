//! `groups:` of mapping.yaml exactly as written, with the place of everything.

use super::keys::{self, names};
use super::spec::{Placed, one_or_more, read_key, text};
use crate::yaml::{At, Content, Item, Problems};

/// One entry of `groups:`.
#[derive(Debug)]
pub(super) struct GroupSpec {
    /// An object id, a name or `*`.
    pub(super) name: Placed<String>,
    pub(super) roles: Option<Placed<Vec<Placed<String>>>>,
    pub(super) group: Option<Placed<Vec<Placed<String>>>>,
}

/// Reads the section.
pub(super) fn read(item: &Item<'_>, problems: &mut Problems) -> Vec<GroupSpec> {
    let hint = "declare each group in a line of its own, as in `Brand Reviewers: { roles: [manager] }`";
    let entries = map(item, hint, problems).and_then(|item| item.entries(problems)).unwrap_or_default();
    let group = |(name, at, item): (&str, At, Item<'_>)| {
        let name = Placed { at, key: item.key.clone(), value: name.to_owned() };
        let hint = "write `{ roles: [manager] }`, `{ group: [Brand Reviewers] }`, or `{}` for nothing";
        let section = map(&item, hint, problems)?.section(&names(keys::GROUP), problems)?;
        let mut granted = |key| read_key(&section, key, problems, granted);
        Some(GroupSpec { name, roles: granted("roles"), group: granted("group") })
    };
    entries.into_iter().filter_map(group).collect()
}

/// The item if it is a map or nothing at all.
fn map<'a, 'b>(item: &'b Item<'a>, hint: &str, problems: &mut Problems) -> Option<&'b Item<'a>> {
    if let Content::Map(_) | Content::Null = item.node.value {
        return Some(item);
    }
    let message = format!("expected a map, found {}", item.node.kind());
    problems.error(item.at(), &item.key, message).hint(hint);
    None
}

/// What a group grants of one kind.
fn granted(item: &Item<'_>, problems: &mut Problems) -> Option<Vec<Placed<String>>> {
    let items = one_or_more(item);
    if items.is_empty() || item.node.value == Content::Null {
        let hint = "leave the key out if nothing is granted by it";
        problems.error(item.at(), &item.key, "nothing is listed here").hint(hint);
        return None;
    }
    Some(items.iter().filter_map(|item| granted_text(item, problems)).collect())
}

fn granted_text(item: &Item<'_>, problems: &mut Problems) -> Option<Placed<String>> {
    let hint = match item.node.value {
        Content::Map(_) => "a text with braces needs quotes",
        Content::List(_) => "one pair of brackets is enough",
        Content::Null => "remove it",
        _ => return text(item, problems),
    };
    let message = format!("expected a text, found {}", item.node.kind());
    problems.error(item.at(), &item.key, message).hint(hint);
    None
}
