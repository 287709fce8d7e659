//! Text in 80 columns.

use std::borrow::Cow;

use serde_json::Value;

use crate::telemetry::line::harmless;

const WIDTH: usize = 80;

/// A paragraph broken at blanks: its first line begins at the column `first`, the others at `rest`. Words are not
/// broken, so a long path or URN may stand out.
pub(super) fn hanging(text: &str, first: usize, rest: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = " ".repeat(first);
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && width(&line) + 1 + width(word) > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(rest)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines.join("\n")
}

/// JSON as people read it: what fits on a line stays on it.
pub(super) fn indented(value: &Value, column: usize) -> String {
    let mut out = " ".repeat(column);
    write(value, column, column, &mut out);
    out
}

/// `used` is how much of the current line stands there already.
fn write(value: &Value, column: usize, used: usize, out: &mut String) {
    let whole = value.to_string();
    // A comma may follow.
    let fits = used + width(&whole) < WIDTH;
    match value {
        Value::Object(members) if !fits && !members.is_empty() => {
            let name = |name: &str| format!("{}: ", Value::from(name));
            let members = members.iter().map(|(text, value)| (name(text), value)).collect();
            block(['{', '}'], members, column, out);
        }
        Value::Array(items) if !fits && !items.is_empty() => {
            block(['[', ']'], items.iter().map(|item| (String::new(), item)).collect(), column, out);
        }
        _ => out.push_str(&whole),
    }
}

fn block([open, close]: [char; 2], members: Vec<(String, &Value)>, column: usize, out: &mut String) {
    let inside = column + 2;
    out.push(open);
    for (index, (name, value)) in members.into_iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(inside));
        out.push_str(&name);
        write(value, inside, inside + width(&name), out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(column));
    out.push(close);
}

/// Lines that move no cursor and turn no direction of writing, whatever stands in them: what was pasted, or told by others, may
/// hold names that anybody chose.
pub(super) fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<Cow<'_, str>>>().join("\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paragraphs_hang_below_their_first_line() {
        let text = hanging(&"word ".repeat(20).trim_end().replace("word word", "wordword w"), 2, 6);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line) <= WIDTH), "{text}");
        assert!(lines[0].starts_with("  w") && lines[1].starts_with("      w"), "{text}");
        assert_eq!(hanging("a", 2, 6), "  a");
        let long = "x".repeat(100);
        assert_eq!(hanging(&format!("a {long} b"), 0, 2), format!("a\n  {long}\n  b"));
    }

    #[test]
    fn nothing_in_a_line_drives_a_terminal() {
        let text = harmless_lines("a\u{1b}[31m\u{9b}\n\u{7}\u{202e}b\r\tc ä");
        assert_eq!(text, "a\\u001b[31m\\u009b\n\\u0007\\u202eb\\u000d\\tc ä");
    }

    #[test]
    fn json_is_broken_only_where_it_must_be() {
        let long = "x".repeat(70);
        let value = json!({"a": {"b": [1, 2]}, "c": [long, {}]});
        let expected = format!(
            "  {{\n    \"a\": {{\"b\":[1,2]}},\n    \"c\": [\n      \"{long}\",\n      {{}}\n    ]\n  }}"
        );
        assert_eq!(indented(&value, 2), expected);
        assert_eq!(indented(&json!([]), 0), "[]");
    }
}
