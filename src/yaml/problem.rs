//! Problems, as an operator reads them.

use std::fmt::Write as _;

use super::At;
use super::difference::{self, Difference};

/// Whether a file with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// Something wrong in a file: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// Missing when the problem is what the file does not say.
    pub at: Option<At>,
    /// The path of keys: `user.email.from`.
    pub key: String,
    pub message: String,
    pub hint: Option<String>,
    /// For a promise of the file that was not kept.
    pub differences: Vec<Difference>,
}

impl Problem {
    /// Adds the remedy.
    pub fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

/// So many problems of one file are told.
const MOST: usize = 100;

/// Problems found so far; reading goes on after each, so that an operator sees all of them at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Begins with what parsing found.
    pub fn new(found: Vec<Problem>) -> Self {
        Self(found)
    }

    pub fn error(
        &mut self,
        at: impl Into<Option<At>>,
        key: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.add(Severity::Error, at.into(), key, message.into())
    }

    pub fn warning(
        &mut self,
        at: impl Into<Option<At>>,
        key: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.add(Severity::Warning, at.into(), key, message.into())
    }

    /// Whether something below this key is wrong, so that what is missing there may be a consequence.
    pub fn is_wrong_below(&self, key: &str) -> bool {
        let below = |found: &str| {
            found.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.0.iter().any(|problem| problem.severity == Severity::Error && below(&problem.key))
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All of them in the order of the file, those without a place last.
    ///
    /// Of very many only the first are told, errors before warnings: nobody reads more, and each is kept.
    pub fn into_vec(mut self) -> Vec<Problem> {
        let further = self.0.len().saturating_sub(MOST);
        if further > 0 {
            self.0.sort_by_key(|problem| (problem.severity == Severity::Warning, problem.at));
            self.0.truncate(MOST);
            self.warning(None, "", format!("there are {further} further problems")).hint("mend these first");
        }
        self.0.sort_by_key(|problem| (problem.at.is_none(), problem.at));
        self.0
    }

    fn add(&mut self, severity: Severity, at: Option<At>, key: &str, message: String) -> &mut Problem {
        let index = self.0.len();
        self.0.push(Problem {
            severity,
            at,
            key: key.to_owned(),
            message,
            hint: None,
            differences: Vec::new(),
        });
        #[expect(clippy::indexing_slicing, reason = "the element was pushed in the line above")]
        &mut self.0[index]
    }
}

/// The problem as rustc shows its own: message, place, the line with a marker, key path, hint. Values of
/// keys that hold secrets are covered, since this text ends in logs and tickets.
pub fn render(problem: &Problem, file: &str, text: &str) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut out = format!("{severity}: {}\n", problem.message);
    let mut indent = 1;
    if let Some(at) = problem.at {
        let number = at.line.to_string();
        indent = number.len();
        add(&mut out, format_args!("{:indent$}--> {file}:{}:{}\n", "", at.line, at.column));
        if let Some(line) = text.lines().nth(at.line.saturating_sub(1)) {
            add(&mut out, format_args!("{:indent$} |\n{number} | {}\n", "", covered(line)));
            add(&mut out, format_args!("{:indent$} | {}\n", "", marker(line, at.column)));
        }
    } else {
        add(&mut out, format_args!("{:indent$}--> {file}\n", ""));
    }
    for (is_heading, line) in difference::lines(&problem.differences) {
        let mark = if is_heading { "= " } else { "|   " };
        add(&mut out, format_args!("{:indent$} {mark}{line}\n", ""));
    }
    if !problem.key.is_empty() {
        add(&mut out, format_args!("{:indent$} = key: {}\n", "", problem.key));
    }
    if let Some(hint) = &problem.hint {
        add(&mut out, format_args!("{:indent$} = hint: {hint}\n", ""));
    }
    out
}

/// The candidate that the word was probably meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance =
        |candidate: &&'a str| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), *candidate);
    let (distance, candidate) = candidates.into_iter().map(|candidate| distance(&candidate)).min()?;
    // A third of the letters may be wrong: `emial` is `email`, but `x` is not `user`.
    (distance <= word.chars().count().max(3) / 3).then_some(candidate)
}

fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}

/// Carets under the word that begins at the column; tabs stay tabs, or the carets would stand elsewhere.
fn marker(line: &str, column: usize) -> String {
    let before = line.chars().take(column.saturating_sub(1));
    let blanks: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    blanks + &"^".repeat(word_length(line.chars().skip(column.saturating_sub(1))))
}

/// How long a key or value is in YAML: a plain one ends before `: `, a comment or what separates list items.
fn word_length(rest: impl Iterator<Item = char>) -> usize {
    let rest: String = rest.collect();
    let mut letters = rest.chars();
    let length = match letters.next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = letters.as_str();
            inside.split(quote).next().unwrap_or_default().chars().count() + 2
        }
        Some('[' | '{') | None => 1,
        Some('&' | '*' | '!') => rest.split([' ', ',', ']', '}']).next().unwrap_or_default().chars().count(),
        Some(_) => {
            let ends = [": ", " #", ",", "]", "}"].into_iter().filter_map(|end| rest.find(end));
            let word = rest.get(..ends.min().unwrap_or(rest.len())).unwrap_or(&rest).trim_end();
            word.strip_suffix(':').unwrap_or(word).chars().count()
        }
    };
    length.max(1)
}

/// Words that, in a key, say that its value is a secret.
const SECRET_WORDS: &[&str] = &["token", "api_key", "secret", "password", "credential"];

/// How tokens begin that this program makes: covered wherever they stand.
const TOKEN_PREFIX: &str = "zsb_";

/// Whether this, where a file is to be named, is rather the secret that belongs into it.
pub fn looks_like_secret(name: &str) -> bool {
    let name = name.trim().trim_matches(['"', '\'']);
    name.len() >= 16 && !name.contains(['/', '.']) && name.contains(|c: char| c.is_ascii_digit())
}

/// The line with `*` over the values of secret keys and over user and password of a URL, so that the
/// columns stay what they are.
fn covered(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut cover = vec![false; line.len()];
    for word in SECRET_WORDS {
        for (start, _) in lower.match_indices(word) {
            let rest = line.get(start..).and_then(|rest| rest.split_once(':'));
            // A file's name is no secret, and often what is wrong.
            let named =
                |(key, value): &(&str, &str)| key.trim_end().ends_with("_file") && !looks_like_secret(value);
            let colon = rest.filter(|rest| !named(rest)).map(|(key, _)| start + key.len() + 1);
            let end = colon.and_then(|colon| value_end(line, colon));
            mark(&mut cover, colon.zip(end));
        }
    }
    for (start, _) in lower.match_indices(TOKEN_PREFIX) {
        let rest = line.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        mark(&mut cover, Some((start, start + end)));
    }
    for (start, slashes) in line.match_indices("://") {
        let start = start + slashes.len();
        let rest = line.get(start..).unwrap_or_default();
        let authority = rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
        let at = rest.get(..authority).and_then(|authority| authority.rfind('@'));
        mark(&mut cover, at.map(|at| (start, start + at)));
    }
    let shown = |(index, c): (usize, char)| {
        let covered = cover.get(index).copied().unwrap_or(false);
        if covered && !c.is_whitespace() { '*' } else { c }
    };
    line.char_indices().map(shown).collect()
}

/// Where a value ends that begins at or after `from`: at the end of the line or of the flow entry.
fn value_end(line: &str, from: usize) -> Option<usize> {
    let rest = line.get(from..)?;
    Some(from + rest.find([',', '}']).unwrap_or(rest.len()))
}

fn mark(cover: &mut [bool], range: Option<(usize, usize)>) {
    let range = range.and_then(|(start, end)| cover.get_mut(start..end));
    range.into_iter().flatten().for_each(|covered| *covered = true);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize) -> Problem {
        Problem {
            severity: Severity::Error,
            at: Some(At { line, column }),
            key: "user.emial".into(),
            message: "unknown field `emial`".into(),
            hint: Some("did you mean `email`?".into()),
            differences: Vec::new(),
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_line() {
        let text = "user:\n  emial: { from: userName }\n";
        assert_eq!(
            render(&problem(2, 3), "mapping.yaml", text),
            "error: unknown field `emial`\n --> mapping.yaml:2:3\n  |\n2 |   emial: { from: userName }\n  \
             |   ^^^^^\n  = key: user.emial\n  = hint: did you mean `email`?\n"
        );
    }

    #[test]
    fn a_problem_without_a_place_names_the_file_alone() {
        let problem = Problem { at: None, hint: None, severity: Severity::Warning, ..problem(1, 1) };
        assert_eq!(
            render(&problem, "m.yaml", "x"),
            "warning: unknown field `emial`\n --> m.yaml\n  = key: user.emial\n"
        );
    }

    #[test]
    fn differences_stand_below_each_other() {
        use super::super::Side;
        let difference = |direction, field: &str, expected, got| Difference {
            direction,
            field: field.to_owned(),
            expected,
            got,
        };
        let differences = vec![
            difference("there", "a", Side::Value("x".into()), Side::Nothing),
            difference("there", "long", Side::Nothing, Side::Value(serde_json::json!(["y"]))),
            difference("back", "b", Side::Taken, Side::Refused(Some("is wrong".into()))),
            difference("back", "c", Side::Refused(None), Side::Taken),
        ];
        let problem = Problem { at: None, hint: None, differences, ..problem(1, 1) };
        assert_eq!(
            render(&problem, "m.yaml", ""),
            "error: unknown field `emial`\n --> m.yaml\n  = there:\n  |   a     expected \"x\"         got nothing\n  \
             |   long  expected nothing     got [\"y\"]\n  = back:\n  |   b     expected no refusal  got a refusal: it is \
             wrong\n  |   c     expected a refusal   got no refusal\n  = key: user.emial\n"
        );
    }

    #[test]
    fn carets_stand_under_the_word() {
        for (line, column, expected) in [
            ("a: [x, yy]", 8, "       ^^"),
            ("a: [x, yy]", 4, "   ^"),
            ("a: b c:d # e", 4, "   ^^^^^"),
            ("a b: c", 1, "^^^"),
            ("a: &b { c: d }", 4, "   ^^"),
            ("\ta: b", 2, "\t^"),
            (r#"k: "a b" # c"#, 4, "   ^^^^^"),
            ("k: 'open", 4, "   ^^^^^^"),
            ("k:", 3, "  ^"),
            ("äö: ü", 5, "    ^"),
        ] {
            assert_eq!(marker(line, column), expected, "{line}");
        }
    }

    #[test]
    fn secrets_are_covered() {
        for (line, expected) in [
            ("  api_key: abc # mine", "  api_key: *** * ****"),
            ("  - { name: a, token: abc, x: 1 }", "  - { name: a, token: ***, x: 1 }"),
            ("  url: postgres://jo:pa@ss@host/db", "  url: postgres://********@host/db"),
            ("  client_secret: é", "  client_secret: *"),
            ("  key: value", "  key: value"),
            ("  - { name: zsb_0a1B, sha256: \"zsb_00\" }", "  - { name: ********, sha256: \"******\" }"),
            ("tokens:", "tokens:"),
            ("  api_key_file: /etc/key", "  api_key_file: /etc/key"),
            ("  - { token_file: a, token: b }", "  - { token_file: a, token: * }"),
        ] {
            assert_eq!(covered(line), expected);
        }
    }

    #[test]
    fn nearest_is_near() {
        let words = ["email", "first_name", "active"];
        for (word, expected) in [
            ("emial", Some("email")),
            ("Active", Some("active")),
            ("firstname", Some("first_name")),
            ("x", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }

    #[test]
    fn problems_come_in_the_order_of_the_file() {
        let mut problems = Problems::default();
        problems.error(None, "c", "last");
        problems.warning(At { line: 2, column: 1 }, "b", "second").hint("do");
        assert!(problems.error(At { line: 1, column: 9 }, "a", "first").hint.is_none());
        assert!(problems.has_errors());
        let keys: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["a", "b", "c"]);
    }
}
