//! Patterns of texts: without regard to case, and `*` stands for anything. Rows of `values` are found by them, and
//! `only` is a list of them.

use super::spec::Placed;
use crate::yaml::Problems;
use crate::ziflow::model::Field;

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As written.
    text: String,
    /// Lower case, split at each `*`; a literal has one part.
    parts: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim().to_owned();
        let parts = text.to_lowercase().split('*').map(str::to_owned).collect();
        Self { text, parts }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_literal(&self) -> bool {
        self.parts.len() == 1
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.fits_lower(&text.trim().to_lowercase())
    }

    /// The same for a text in lower case. A `*` stands for any text, none included.
    pub(super) fn fits_lower(&self, text: &str) -> bool {
        let (Some((first, rest)), Some(last)) = (self.parts.split_first(), self.parts.last()) else {
            return false;
        };
        if rest.is_empty() {
            return text == first;
        }
        let inner = text.strip_prefix(first.as_str()).and_then(|text| text.strip_suffix(last.as_str()));
        let mut middle = rest.iter().take(rest.len() - 1);
        let Some(inner) = inner else { return false };
        middle.try_fold(inner, |text, part| Some(text.split_once(part.as_str())?.1)).is_some()
    }

    /// Whether this one fits whatever the other fits.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.parts == other.parts || !self.is_literal() && self.fits_lower(&other.parts.join("*"))
    }
}

/// Reads `only`.
pub(super) fn only(
    field: Field,
    spec: &Placed<Vec<Placed<String>>>,
    problems: &mut Problems,
) -> Vec<Pattern> {
    let mut patterns: Vec<Pattern> = Vec::new();
    for place in &spec.value {
        let pattern = Pattern::new(&place.value);
        if let Some((message, hint)) = mistake(&pattern, &patterns) {
            problems.error(place.at, &place.key, message).hint(hint);
        }
        if field == Field::Email {
            check_address(&pattern, place, problems);
        }
        patterns.push(pattern);
    }
    patterns
}

fn mistake(pattern: &Pattern, earlier: &[Pattern]) -> Option<(String, &'static str)> {
    if pattern.text.is_empty() {
        return Some(("an empty pattern fits nothing".to_owned(), "write what is to be taken"));
    }
    if pattern.parts.iter().all(String::is_empty) {
        return Some((format!("`{}` fits everything", pattern.text), "remove `only` to take everything"));
    }
    let covering = earlier.iter().find(|earlier| earlier.covers(pattern))?;
    let message = format!("`{}` adds nothing: `{}` fits all of it", pattern.text, covering.text);
    Some((message, "remove one of the two"))
}

/// A domain is easily written so that nobody fits, or so that a stranger does.
fn check_address(pattern: &Pattern, place: &Placed<String>, problems: &mut Problems) {
    let text = &pattern.text;
    let Some(end) = pattern.parts.last().filter(|end| !end.is_empty()) else {
        problems
            .warning(
                place.at,
                &place.key,
                format!("`{text}` fits addresses in any domain that begins like this"),
            )
            .hint("end the pattern with a whole domain, as in `*@example.com`");
        return;
    };
    let domain = end.trim_start_matches('@');
    if text.contains([',', ';', ' ']) || text.starts_with(".*") || text.contains(['\\', '$', '^']) {
        problems
            .error(place.at, &place.key, format!("`{text}` fits nobody: no e-mail address is like that"))
            .hint("several patterns are a list, `[\"*@a.com\", \"*@b.com\"]`, and `*` alone stands for anything");
    } else if pattern.is_literal() && (!end.contains('@') || end.starts_with('@')) {
        problems
            .error(place.at, &place.key, format!("`{text}` fits nobody: no e-mail address is like that"))
            .hint(format!("write `*@{domain}` for everybody in a domain"));
    } else if !end.contains('@') && !end.starts_with('.') {
        problems
            .warning(
                place.at,
                &place.key,
                format!("`{text}` fits other domains as well, such as other-{end}"),
            )
            .hint(format!("write `*@{domain}`, and `*.{domain}` for the domains below it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("*@example.com", "Jo@Example.COM", true),
            ("*@example.com", "@example.com", true),
            ("*@example.com", "jo@sub.example.com", false),
            ("*@example.com", "jo@example.com.evil.org", false),
            ("*@*.example.com", "jo@sub.example.com", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("jo", " JO ", true),
            ("jo", "joe", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }
}
