//! The closed list of transforms: small changes to a text on its way to Ziflow.
//!
//! Each is total and linear in the length of its input: the regular expressions are finite automata, so a
//! hostile value cannot make one slow.

use std::borrow::Cow;
use std::fmt;

use regex::{Regex, RegexBuilder};

use super::spec::{Placed, TransformSpec};
use crate::yaml::Problems;

/// A compiled transform.
#[derive(Clone, Debug)]
pub(super) enum Transform {
    Trim,
    Lowercase,
    Uppercase,
    CollapseSpaces,
    Truncate(usize),
    Replace { pattern: Regex, with: String },
}

/// Memory that one pattern may take; counted repetitions like `(a{1000}){1000}` stop here.
const PATTERN_BYTES: usize = 1 << 20;

impl Transform {
    pub(super) fn compile(spec: &Placed<TransformSpec>, problems: &mut Problems) -> Option<Self> {
        Some(match &spec.value {
            TransformSpec::Trim => Self::Trim,
            TransformSpec::Lowercase => Self::Lowercase,
            TransformSpec::Uppercase => Self::Uppercase,
            TransformSpec::CollapseSpaces => Self::CollapseSpaces,
            TransformSpec::Truncate(length) => Self::Truncate(usize::try_from(*length).unwrap_or(usize::MAX)),
            TransformSpec::Replace { pattern, with } => return replace(spec, pattern, with, problems),
        })
    }

    /// Most values are right as they come, and then nothing is copied.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Self::Trim => Cow::Borrowed(text.trim()),
            Self::Lowercase if text.chars().all(|c| c.to_lowercase().eq([c])) => Cow::Borrowed(text),
            Self::Lowercase => Cow::Owned(text.to_lowercase()),
            Self::Uppercase => Cow::Owned(text.to_uppercase()),
            Self::CollapseSpaces => Cow::Owned(collapse_spaces(text)),
            Self::Truncate(length) => {
                let end = text.char_indices().nth(*length).map_or(text.len(), |(end, _)| end);
                Cow::Borrowed(text.get(..end).unwrap_or(text))
            }
            Self::Replace { pattern, with } => pattern.replace_all(text, with.as_str()),
        }
    }
}

/// As the file says it.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trim => f.write_str("trim"),
            Self::Lowercase => f.write_str("lowercase"),
            Self::Uppercase => f.write_str("uppercase"),
            Self::CollapseSpaces => f.write_str("collapse_spaces"),
            Self::Truncate(length) => write!(f, "truncate: {length}"),
            Self::Replace { pattern, with } => write!(f, "replace: '{pattern}' with '{with}'"),
        }
    }
}

/// One blank between words, none around them.
pub(super) fn collapse_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn replace<T>(spec: &Placed<T>, pattern: &str, with: &str, problems: &mut Problems) -> Option<Transform> {
    let regex = match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build() {
        Ok(regex) => regex,
        Err(error) => {
            problems.error(
                spec.at,
                &spec.key,
                format!("`{pattern}` is no regular expression: {}", last_line(&error)),
            );
            return None;
        }
    };
    if with.split('\\').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        problems
            .error(
                spec.at,
                &spec.key,
                format!("`{with}` names groups with `\\`, which is taken as it stands"),
            )
            .hint("write `${1}` for the first group");
        return None;
    }
    if let Some(group) = unknown_group(&regex, with) {
        // The regex crate would replace it with nothing, silently: `$1x` is the group "1x".
        let message = format!("`with` uses the group `{group}`, which the pattern does not have");
        problems
            .error(spec.at, &spec.key, message)
            .hint("write `${1}` for a group and `$$` for a dollar sign");
        return None;
    }
    Some(Transform::Replace { pattern: regex, with: with.to_owned() })
}

/// The regex crate draws the pattern above its message, which the line of the file shows already.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// A group that `with` refers to and the pattern lacks.
fn unknown_group(regex: &Regex, with: &str) -> Option<String> {
    let mut rest = with;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after.strip_prefix('$').unwrap_or(after);
        if after.starts_with('$') {
            continue;
        }
        let name = match after.strip_prefix('{') {
            Some(braced) => braced.split('}').next().unwrap_or_default(),
            None => after.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap_or_default(),
        };
        let by_number = name.parse().is_ok_and(|number: usize| number < regex.captures_len());
        let by_name = regex.capture_names().flatten().any(|known| known == name);
        if !name.is_empty() && !by_number && !by_name {
            return Some(name.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::At;

    fn compile(spec: TransformSpec) -> Result<Transform, String> {
        let mut problems = Problems::default();
        let at = At { line: 1, column: 1 };
        let transform = Transform::compile(&Placed { at, key: String::new(), value: spec }, &mut problems);
        transform.ok_or_else(|| problems.into_vec().remove(0).message)
    }

    fn replacing(pattern: &str, with: &str) -> TransformSpec {
        TransformSpec::Replace { pattern: pattern.into(), with: with.into() }
    }

    #[test]
    fn each_does_what_its_name_says() {
        for (spec, input, expected) in [
            (TransformSpec::Trim, " a b\t", "a b"),
            (TransformSpec::Lowercase, "ÄB", "äb"),
            (TransformSpec::Uppercase, "straße", "STRASSE"),
            (TransformSpec::CollapseSpaces, "  a \u{a0} b\n", "a b"),
            (TransformSpec::Truncate(2), "äöü", "äö"),
            (TransformSpec::Truncate(9), "ab", "ab"),
            (replacing("[^0-9+]", ""), "+44 (0)20", "+44020"),
            (replacing("^(\\w+) (?P<last>\\w+)$", "${2}, $1"), "Jo Lee", "Lee, Jo"),
            (replacing("EUR", "$$"), "5 EUR", "5 $"),
        ] {
            assert_eq!(compile(spec.clone()).unwrap().apply(input), expected, "{spec:?}");
        }
    }

    #[test]
    fn wrong_replacements_are_found_at_load() {
        for (pattern, with, message) in [
            ("(", "", "`(` is no regular expression: unclosed group"),
            ("a(b)", "$2", "`with` uses the group `2`, which the pattern does not have"),
            ("a(b)", "$1x", "`with` uses the group `1x`, which the pattern does not have"),
            ("a(b)", "\\1", "`\\1` names groups with `\\`, which is taken as it stands"),
            ("a(b)", "${c}", "`with` uses the group `c`, which the pattern does not have"),
        ] {
            assert_eq!(compile(replacing(pattern, with)).unwrap_err(), message);
        }
        assert!(compile(replacing("(a{999}){999}", "")).unwrap_err().contains("size limit"));
    }
}
