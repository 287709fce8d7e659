//! Text to tree; the one place that knows the YAML parser.
//!
//! It works on the parser's events: a serde layer above it would stop at the first mistake, lose the place
//! of a duplicate's first entry, and expand aliases.

use std::str::FromStr;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, options};
use serde_json::Number;

use super::problem::{Problem, Problems};
use super::{At, Content, Entry, Node};

/// More than any settings file needs; a larger text is somebody's mistake.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_DEPTH: usize = 32;

/// Reads one document. The tree is missing when the text is no YAML; with any other problem (a duplicate
/// key, an alias) it is there, so that the rest can be checked in the same run.
pub fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut problems = Problems::default();
    if text.len() > MAX_BYTES {
        problems.error(
            None,
            "",
            format!("the file has {} bytes, more than the {MAX_BYTES} allowed", text.len()),
        );
        return (None, problems.into_vec());
    }
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let events = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { text, events, problems, key: Vec::new() };
    let root = match reader.document() {
        Ok(root) => Some(root),
        Err(error) => {
            reader.syntax_error(&error);
            None
        }
    };
    (root, reader.problems.into_vec())
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    problems: Problems,
    key: Vec<String>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, ScanError> {
        let mut root = None;
        while let Some(next) = self.events.next() {
            let (event, span) = next?;
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event if root.is_none() => root = Some(self.node(event, span)?),
                _ => {
                    self.error(place(span.start), "a second document begins here; the file holds one");
                    break;
                }
            }
        }
        Ok(root.unwrap_or(Node { at: At { line: 1, column: 1 }, value: Content::Null }))
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, ScanError> {
        let at = place(span.start);
        self.refuse_properties(&event, at);
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
            Event::Scalar(text, ..) => Content::Text(text.into_owned()),
            Event::SequenceStart(..) => Content::List(self.list()?),
            Event::MappingStart(..) => Content::Map(self.map()?),
            _ => Content::Null,
        };
        Ok(Node { at, value })
    }

    /// Anchors and aliases can blow a small file up to gigabytes, and a tag changes what a value means;
    /// neither has a use here.
    fn refuse_properties(&mut self, event: &Event<'_>, at: At) {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let hint = "write the value out; a text that begins with `*` needs quotes";
                self.error(at, "aliases (`*name`) are not supported").hint(hint);
                return;
            }
            _ => return,
        };
        let at = if anchor != 0 || tag { self.before(at) } else { at };
        if anchor != 0 {
            let hint = "write the value out; a text that begins with `&` needs quotes";
            self.error(at, "anchors (`&name`) are not supported").hint(hint);
        }
        if tag {
            let hint = "a text that begins with `!` needs quotes";
            self.error(at, "tags (`!name`) are not supported").hint(hint);
        }
    }

    /// The place of the word before this one: anchors and tags stand in front of what they belong to.
    fn before(&self, at: At) -> At {
        let line = self.text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
        let before: String = line.chars().take(at.column.saturating_sub(1)).collect();
        if before.trim().is_empty() {
            return at;
        }
        let start = before.trim_end().rfind([' ', '[', '{', ',']).map_or(0, |index| index + 1);
        let column = before.get(..start).unwrap_or_default().chars().count() + 1;
        At { column, ..at }
    }

    fn list(&mut self) -> Result<Vec<Node>, ScanError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => {
                    self.key.push(format!("[{}]", items.len()));
                    items.push(self.node(event, span)?);
                    self.key.pop();
                }
            }
        }
    }

    fn map(&mut self) -> Result<Vec<Entry>, ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let at = place(span.start);
            let key = self.map_key(event, span)?;
            self.key.push(key.clone().unwrap_or_default());
            let (event, span) = self.next()?;
            let value = self.node(event, span)?;
            if let Some(key) = key {
                match entries.iter().find(|entry| entry.key == key) {
                    Some(first) => self.duplicate(&key, first.at, at),
                    None => entries.push(Entry { key, at, value }),
                }
            }
            self.key.pop();
        }
    }

    /// A key is a text, as written: `404:` and `no:` are keys like any other.
    fn map_key(&mut self, event: Event<'a>, span: Span) -> Result<Option<String>, ScanError> {
        let at = place(span.start);
        match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) if text == "<<" => {
                self.error(at, "merge keys (`<<`) are not supported").hint("write the values out");
                Ok(None)
            }
            Event::Scalar(text, _, 0, None) => Ok(Some(text.into_owned())),
            event => {
                let scalar = matches!(event, Event::Scalar(..));
                let key = self.node(event, span)?;
                if !scalar {
                    self.error(at, format!("a key must be a text, not {}", key.kind()))
                        .hint("a text with brackets or braces needs quotes");
                }
                Ok(None)
            }
        }
    }

    fn duplicate(&mut self, key: &str, first: At, at: At) {
        let message = format!(
            "`{key}` is given twice; it stands at line {}, column {} already",
            first.line, first.column
        );
        self.error(at, message).hint("keep one of the two");
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), ScanError> {
        // The parser closes what it opens or reports why not; the last arm is for a parser that does neither.
        match self.events.next() {
            Some(next) => next,
            None => Err(ScanError::new(Marker::new(0, 1, 0), "the text ends too early")),
        }
    }

    fn error(&mut self, at: At, message: impl Into<String>) -> &mut Problem {
        let key = self.key.join(".").replace(".[", "[");
        self.problems.error(at, &key, message)
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let hint = syntax_hint(error.kind());
        let problem = self.error(place(*error.marker()), format!("not valid YAML: {}", error.kind()));
        problem.hint = hint.map(str::to_owned);
    }
}

/// Remedies for the mistakes that people make.
fn syntax_hint(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => Some("indent with blanks"),
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            Some("check the indentation; a text that contains `: ` or ends in `:` needs quotes")
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::SimpleKeyExpected | ErrorKind::InvalidIndentation => {
            Some("check the indentation of this line and the one above")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            Some("inside [ ] and { }, a text with brackets, braces or commas needs quotes")
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            Some("a text that begins with `@`, `%` or a backtick needs quotes")
        }
        _ => None,
    }
}

fn place(marker: Marker) -> At {
    At { line: marker.line(), column: marker.col() + 1 }
}

/// YAML 1.2.2 section 10.3.2 for null and booleans; numbers only where JSON writes them the same way
/// (section 10.2.1.3): `0755`, `+49170` and `0x1F` stay the texts that people mean by them.
fn plain(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Boolean(true),
        "false" | "False" | "FALSE" => Content::Boolean(false),
        _ => number(text).map_or_else(|| Content::Text(text.to_owned()), Content::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let number = Number::from_str(text).ok()?;
    let whole = text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    // A whole number beyond 64 bits would come back rounded.
    (!whole || !number.is_f64()).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tree(text: &str) -> Node {
        let (node, problems) = parse(text);
        assert_eq!(problems, [], "{text}");
        node.unwrap()
    }

    #[test]
    fn plain_scalars_are_typed_as_yaml_1_2_types_them() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("null", json!(null)),
            ("true", json!(true)),
            ("FALSE", json!(false)),
            ("no", json!("no")),
            ("yes", json!("yes")),
            ("On", json!("On")),
            ("0755", json!("0755")),
            ("+4420", json!("+4420")),
            ("0x1F", json!("0x1F")),
            ("1_000", json!("1_000")),
            ("12:30:45", json!("12:30:45")),
            ("2024-01-01", json!("2024-01-01")),
            (".inf", json!(".inf")),
            ("-7", json!(-7)),
            ("0", json!(0)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!("18446744073709551616")),
            ("'12'", json!("12")),
            ("\"true\"", json!("true")),
            ("|\n  12\n", json!("12\n")),
        ] {
            assert_eq!(tree(text).to_json(), expected, "{text}");
        }
    }

    #[test]
    fn every_piece_knows_its_place() {
        let root = tree("a: 1\nlist:\n  - x\n  - { k: v }\n");
        let Content::Map(entries) = &root.value else { panic!() };
        assert_eq!((entries[1].at, entries[1].key.as_str()), (At { line: 2, column: 1 }, "list"));
        let Content::List(items) = &entries[1].value.value else { panic!() };
        assert_eq!(items[0].at, At { line: 3, column: 5 });
        let Content::Map(inner) = &items[1].value else { panic!() };
        assert_eq!(inner[0].value.at, At { line: 4, column: 10 });
    }

    #[test]
    fn keys_are_texts_as_written_and_keep_their_order() {
        let text = "no: 1\n404: 2\nemails[type eq \"work\"].value: 3\n\"<<\": 4\ntrue: 5\n";
        let expected = json!({"no": 1, "404": 2, "emails[type eq \"work\"].value": 3, "<<": 4, "true": 5});
        assert_eq!(tree(text).to_json().to_string(), expected.to_string());
    }

    #[test]
    fn what_is_refused_has_a_place_and_a_remedy() {
        for (text, line, column, key, message) in [
            (
                "a: 1\nb:\n  c: 1\n  c: 2\n",
                4,
                3,
                "b.c",
                "`c` is given twice; it stands at line 3, column 3 already",
            ),
            ("a: &x 1\n", 1, 4, "a", "anchors (`&name`) are not supported"),
            ("a: [1, *x]\n", 1, 8, "a[1]", "aliases (`*name`) are not supported"),
            ("a: !!str 1\n", 1, 4, "a", "tags (`!name`) are not supported"),
            ("a: { <<: { b: 1 } }\n", 1, 6, "a", "merge keys (`<<`) are not supported"),
            ("? [a]\n: 1\n", 1, 3, "", "a key must be a text, not a list"),
            ("a: &x\n  b: 1\n", 2, 3, "a", "anchors (`&name`) are not supported"),
            ("&k a: 1\n", 1, 1, "", "anchors (`&name`) are not supported"),
            ("a: 1\n---\nb: 2\n", 3, 1, "", "a second document begins here; the file holds one"),
        ] {
            let (node, problems) = parse(text);
            assert!(node.is_some(), "{text}");
            let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
            assert_eq!(problem.at, Some(At { line, column }), "{text}");
            assert_eq!((problem.key.as_str(), problem.message.as_str()), (key, message), "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_gives_no_tree() {
        for (text, line, hint) in [
            ("a:\n\t- b\n", 2, Some("indent with blanks")),
            (
                "a: b: c\n",
                1,
                Some("check the indentation; a text that contains `: ` or ends in `:` needs quotes"),
            ),
            ("a: \"open\n", 1, None),
            (
                "a: [b[c eq \"d\"].e, f}\n",
                1,
                Some("inside [ ] and { }, a text with brackets, braces or commas needs quotes"),
            ),
            ("a: @b\n", 1, Some("a text that begins with `@`, `%` or a backtick needs quotes")),
        ] {
            let (node, problems) = parse(text);
            assert_eq!(node, None, "{text}");
            let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
            assert!(problem.message.starts_with("not valid YAML: "), "{problem:?}");
            assert_eq!(problem.at.unwrap().line, line, "{text} {problem:?}");
            assert_eq!(problem.hint.as_deref(), hint, "{text} {problem:?}");
        }
    }

    #[test]
    fn the_first_of_two_entries_is_kept_for_the_checks_that_follow() {
        assert_eq!(parse("a: 1\na: 2\n").0.unwrap().to_json(), json!({"a": 1}));
    }

    #[test]
    fn hostile_texts_are_refused() {
        let bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n";
        assert_eq!(parse(bomb).1.len(), 6);
        for text in
            ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000), "x".repeat(MAX_BYTES + 1)]
        {
            let (node, problems) = parse(&text);
            assert_eq!((node, problems.len()), (None, 1));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let blocks = |depth: usize| (0..depth).map(|level| " ".repeat(level) + "a:\n").collect::<String>();
        for (text, accepted) in [
            (format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)), true),
            (format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1)), false),
            (blocks(MAX_DEPTH), true),
            (blocks(MAX_DEPTH + 1), false),
        ] {
            assert_eq!(parse(&text).0.is_some(), accepted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[ -~\n\t&*!{}\\[\\]:,äé\u{feff}]{0,80}") {
            let (node, problems) = parse(&text);
            prop_assert!(node.is_some() || !problems.is_empty());
        }

        #[test]
        fn json_is_yaml(key in "[a-z]{1,5}", number in any::<i64>(), text in "[a-zA-Z0-9 é\"\\\\]{0,12}") {
            let value = json!({ key: [number, text, { "x": null }] });
            prop_assert_eq!(tree(&value.to_string()).to_json(), value);
        }
    }
}
