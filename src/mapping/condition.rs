//! What is doubtful in a condition that the protocol itself allows: comparisons that can never hold, that
//! always hold, or that hold for others than their author thinks.

use serde_json::Value;

use super::reach;
use super::spec::Placed;
use crate::scim::filter::{Filter, Operator};
use crate::scim::path::Path;
use crate::scim::schema::Kind;
use crate::yaml::{Problems, nearest};

/// Checks a whole condition, brackets included.
pub(super) fn check(filter: &Filter, spec: &Placed<String>, problems: &mut Problems) {
    for comparison in comparisons(filter, None) {
        comparison.check(spec, problems);
    }
    let brackets = filter.paths().into_iter().filter_map(|path| path.filter.as_deref());
    let never = brackets.chain([filter]).find_map(reach::contradiction);
    if let Some((why, hint)) = never {
        problems.error(spec.at, &spec.key, format!("`{filter}` can never hold: {why}")).hint(hint);
    }
}

/// Checks the filter in the brackets of a path and says whether it can select anything.
pub(super) fn check_selection(path: &Path, spec: &Placed<String>, problems: &mut Problems) -> bool {
    let Some(filter) = path.filter.as_deref() else { return true };
    for comparison in comparisons(filter, Some(path)) {
        comparison.check(spec, problems);
    }
    let Some((why, hint)) = reach::contradiction(filter) else { return true };
    problems.error(spec.at, &spec.key, format!("`{path}` can never select anything: {why}")).hint(hint);
    false
}

/// One comparison, and the path whose brackets it stands in.
struct Comparison<'a> {
    within: Option<&'a Path>,
    path: &'a Path,
    operator: Operator,
    value: &'a Value,
}

fn comparisons<'a>(filter: &'a Filter, within: Option<&'a Path>) -> Vec<Comparison<'a>> {
    match filter {
        Filter::Compare { path, operator, value } => {
            let mut found = selections(path);
            found.push(Comparison { within, path, operator: *operator, value });
            found
        }
        Filter::Present(path) => selections(path),
        Filter::And(terms) | Filter::Or(terms) => {
            terms.iter().flat_map(|term| comparisons(term, within)).collect()
        }
        Filter::Not(inner) => comparisons(inner, within),
    }
}

fn selections(path: &Path) -> Vec<Comparison<'_>> {
    path.filter.as_deref().map(|filter| comparisons(filter, Some(path))).unwrap_or_default()
}

impl Comparison<'_> {
    fn check(&self, spec: &Placed<String>, problems: &mut Problems) {
        let Some(text) = self.value.as_str() else { return };
        if text.is_empty() {
            return self.check_empty(spec, problems);
        }
        self.check_known(text, spec, problems);
        self.check_several(spec, problems);
        self.check_quotes(text, spec, problems);
        self.check_wildcard(text, spec, problems);
        self.check_marks(text, spec, problems);
    }

    /// Entra sends an empty text to take a value away, and so does the bridge understand it.
    fn check_empty(&self, spec: &Placed<String>, problems: &mut Problems) {
        let path = self.path;
        let what = match self.operator {
            Operator::Eq | Operator::Lt | Operator::Le => "never holds",
            Operator::Ne => "holds for everybody",
            _ => "holds for every value",
        };
        let message = format!("`{self}` {what}: the bridge keeps no empty values");
        // Which of the two is meant depends on what stands around it.
        let hint = format!("`{path} pr` holds for who has one, `not ({path} pr)` for who has none");
        problems.error(spec.at, &spec.key, message).hint(hint);
    }

    /// RFC 7643 section 7 calls its lists of values suggestions, so another word is only unlikely.
    fn check_known(&self, text: &str, spec: &Placed<String>, problems: &mut Problems) {
        let known = self.path.leaf().map(|leaf| leaf.canonical_values).unwrap_or_default();
        let whole = matches!(self.operator, Operator::Eq | Operator::Ne);
        if !whole || known.is_empty() || known.iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return;
        }
        let message = format!("`{text}` is none of the values that SCIM lists for `{}`", self.full_path());
        problems.warning(spec.at, &spec.key, message).hint(match nearest(text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("listed: {}", known.join(", ")),
        });
    }

    /// RFC 7644 table 3 lets `ne` hold as soon as one of several values differs.
    fn check_several(&self, spec: &Placed<String>, problems: &mut Problems) {
        let several = self.path.definition().is_some_and(|attribute| attribute.multi_valued);
        if self.operator != Operator::Ne || !several || self.path.filter.is_some() {
            return;
        }
        let message = format!("`{self}` holds as soon as one of several values differs");
        let hint =
            format!("`not ({} eq {})` holds for everybody who has no such value", self.path, self.value);
        problems.warning(spec.at, &spec.key, message).hint(hint);
    }

    /// What stands without quotes is read as a text here, and a number or a boolean was meant.
    fn check_quotes(&self, text: &str, spec: &Placed<String>, problems: &mut Problems) {
        let Some(leaf) = self.path.leaf() else { return };
        let kind = match text {
            "true" | "false" => "a boolean",
            _ if text.parse::<f64>().is_ok() => "a number",
            _ => return,
        };
        if matches!(leaf.kind, Kind::String | Kind::Reference) && is_bare(&spec.value, text) {
            let path = self.full_path();
            let message = format!("`{path}` holds texts, and `{text}` without quotes is {kind}");
            let hint = format!("write `{self}` if this text is meant");
            problems.warning(spec.at, &spec.key, message).hint(hint);
        }
    }

    /// Texts stand in `"` and nothing else; other marks are compared like letters.
    fn check_marks(&self, text: &str, spec: &Placed<String>, problems: &mut Problems) {
        const MARKS: [char; 6] = ['\'', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
        if !text.starts_with(MARKS) || !text.ends_with(MARKS) {
            return;
        }
        let message = format!("in `{self}` the quotes are part of the text that is compared");
        let (path, operator) = (self.path, self.operator.as_str());
        let hint = format!("write `{path} {operator} \"{}\"`", text.trim_matches(MARKS));
        problems.warning(spec.at, &spec.key, message).hint(hint);
    }

    fn check_wildcard(&self, text: &str, spec: &Placed<String>, problems: &mut Problems) {
        let whole = matches!(self.operator, Operator::Eq | Operator::Ne);
        if !whole || !text.contains('*') {
            return;
        }
        let message = format!("in `{self}` the `*` stands for itself: conditions know no wildcards");
        problems
            .warning(spec.at, &spec.key, message)
            .hint("use sw (starts with), ew (ends with) or co (contains)");
    }

    fn full_path(&self) -> String {
        let parent = self.within.map(|path| format!("{}.", path.attribute)).unwrap_or_default();
        format!("{parent}{}", self.path)
    }
}

impl std::fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.path, self.operator.as_str(), self.value)
    }
}

/// Whether the word stands in the text outside of quotes.
fn is_bare(text: &str, word: &str) -> bool {
    let outside = text.split('"').step_by(2);
    let mut words = outside.flat_map(|part| part.split([' ', '(', ')', '[', ']']));
    !text.contains('\\') && words.any(|found| found == word)
}
