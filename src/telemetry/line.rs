//! One line of the log: an event and its fields as text, or as JSON. Whatever a field holds, it stays one line, and
//! nothing in it can make a terminal do anything.

use std::borrow::Cow;
use std::fmt::{Debug, Write as _};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

/// No field is longer: the journal cuts lines of 48 KiB.
const MOST_CHARS: usize = 2000;

/// How lines look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) json: bool,
    /// Whether each line says when. The journal knows.
    pub(super) times: bool,
    pub(super) colours: bool,
    /// Whether each line begins with its priority, as the journal takes it from standard error (sd-daemon(3)).
    pub(super) priorities: bool,
}

/// What an event, or a span that it stands in, has to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Fields {
    /// What is said here already counts.
    pub(super) fn add_missing(&mut self, others: &Self) {
        for (name, value) in &others.fields {
            if self.fields.iter().all(|(known, _)| known != name) {
                self.fields.push((name, value.clone()));
            }
        }
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.push((field.name(), value.into()));
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let text = cut(text);
        if field.name() == "message" {
            self.message = text.into_owned();
        } else {
            self.put(field, text.into_owned());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

impl Style {
    /// The line, with its end.
    pub(super) fn line(self, at: Timestamp, metadata: &Metadata<'_>, fields: &Fields) -> String {
        let level = *metadata.level();
        let mut line = String::new();
        if self.priorities {
            line.push_str(priority(level));
        }
        if self.json {
            line.push_str(&self.as_json(at, level, fields));
        } else {
            self.as_text(&mut line, at, level, fields);
        }
        line.push('\n');
        line
    }

    fn as_json(self, at: Timestamp, level: Level, fields: &Fields) -> String {
        let mut object = Map::new();
        if self.times {
            object.insert("timestamp".to_owned(), format!("{at:.3}").into());
        }
        object.insert("level".to_owned(), level.as_str().into());
        object.insert("message".to_owned(), fields.message.as_str().into());
        for (name, value) in &fields.fields {
            object.insert((*name).to_owned(), value.clone());
        }
        // What JSON may hold as it is and a terminal may not stands in strings only, where an escape means the same.
        harmless(&Value::Object(object).to_string()).into_owned()
    }

    fn as_text(self, line: &mut String, at: Timestamp, level: Level, fields: &Fields) {
        if self.times {
            self.painted(line, DIM, &format!("{at:.3}"));
            line.push(' ');
        }
        self.painted(line, colour(level), &format!("{:<5}", level.as_str()));
        line.push(' ');
        line.push_str(&harmless(&fields.message));
        for (name, value) in &fields.fields {
            line.push(' ');
            self.painted(line, DIM, name);
            self.painted(line, DIM, "=");
            line.push_str(&text_of(value));
        }
    }

    fn painted(self, line: &mut String, colour: &str, text: &str) {
        if self.colours {
            // Writing to a String cannot fail.
            write!(line, "\u{1b}[{colour}m{text}\u{1b}[0m").unwrap_or_default();
        } else {
            line.push_str(text);
        }
    }
}

const DIM: &str = "2";

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "1;31",
        Level::WARN => "33",
        Level::INFO => "32",
        _ => "34",
    }
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// A text without blanks and quotes stands bare, so that it can be searched for as it is.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) if !text.is_empty() && text.chars().all(stands_bare) => text.into(),
        other => harmless(&other.to_string()).into_owned().into(),
    }
}

fn stands_bare(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '"' | '=' | '\\') && !is_hazard(c)
}

/// Whether a terminal, or an eye, would be led astray: controls, ends of lines, turns of the direction.
fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The text with such characters as JSON escapes them.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hazard) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hazard(c) => write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            c => out.push(c),
        }
    }
    out.into()
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(style: Style, message: &str, value: &str) -> String {
        let fields = vec![("id", Value::from(value)), ("ms", Value::from(3))];
        let fields = Fields { message: message.to_owned(), fields };
        let at = Timestamp::UNIX_EPOCH;
        let mut text = String::new();
        if style.json {
            return style.as_json(at, Level::WARN, &fields);
        }
        style.as_text(&mut text, at, Level::WARN, &fields);
        text
    }

    #[test]
    fn text_reads_as_it_is_written_down() {
        let times = Style { times: true, ..Style::default() };
        for (style, id, shown) in [
            (Style::default(), "auth0|1", "WARN  request id=auth0|1 ms=3"),
            (Style::default(), "", r#"WARN  request id="" ms=3"#),
            (Style::default(), r#"a "b" c"#, r#"WARN  request id="a \"b\" c" ms=3"#),
            (times, "1", "1970-01-01T00:00:00.000Z WARN  request id=1 ms=3"),
        ] {
            assert_eq!(line(style, "request", id), shown);
        }
        let colours = Style { colours: true, ..Style::default() };
        assert!(line(colours, "request", "1").starts_with("\u{1b}[33mWARN \u{1b}[0m request"));
    }

    #[test]
    fn whatever_it_holds_it_stays_one_line_of_plain_characters() {
        let nasty = "1\n<0>fake level=ERROR\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{0}\t\u{feff}é漢";
        for json in [false, true] {
            let style = Style { json, ..Style::default() };
            let line = line(style, nasty, nasty);
            assert!(!line.chars().any(is_hazard), "{line:?}");
            assert!(line.contains("é漢") && line.contains("\\u009b31m\\u202e\\u2028\\u0000"), "{line}");
            if json {
                let read: Value = serde_json::from_str(&line).unwrap();
                assert_eq!((&read["message"], &read["id"]), (&nasty.into(), &nasty.into()));
            }
        }
    }

    #[test]
    fn a_field_is_cut_where_the_journal_would_cut_the_line() {
        assert_eq!(cut(&"ä".repeat(MOST_CHARS)).chars().count(), MOST_CHARS);
        assert_eq!(cut(&"ä".repeat(MOST_CHARS + 1)).chars().count(), MOST_CHARS + 1);
    }
}
