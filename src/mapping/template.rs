//! Templates: a text with `{placeholders}`. `{{` and `}}` stand for the braces themselves.

use super::transform::collapse_spaces;

#[derive(Clone, Debug)]
pub(super) struct Template<T> {
    parts: Vec<Part<T>>,
}

#[derive(Clone, Debug)]
enum Part<T> {
    Text(String),
    Value(T),
}

impl<T> Template<T> {
    /// Reads a template; `value` compiles what stands between braces, and reports it when it cannot:
    /// then the answer is `Ok(None)`.
    pub(super) fn parse(
        text: &str,
        mut value: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<Self>, &'static str> {
        let mut parts = Vec::new();
        let mut complete = true;
        let mut literal = String::new();
        let mut rest = text;
        while let Some(index) = rest.find(['{', '}']) {
            let (before, at) = rest.split_at(index);
            literal.push_str(before);
            if let Some(after) = at.strip_prefix("{{").or_else(|| at.strip_prefix("}}")) {
                literal.extend(at.chars().next());
                rest = after;
                continue;
            }
            let inside = at.strip_prefix('{').ok_or("`}` closes nothing; write `}}` for a brace")?;
            let end = closing_brace(inside).ok_or("`{` is not closed; write `{{` for a brace")?;
            let (name, after) = inside.split_at(end);
            parts.push(Part::Text(std::mem::take(&mut literal)));
            match value(name.trim()) {
                Some(value) => parts.push(Part::Value(value)),
                None => complete = false,
            }
            rest = after.strip_prefix('}').unwrap_or(after);
        }
        if parts.is_empty() {
            return Err("the template has no {placeholder}");
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        Ok(complete.then_some(Self { parts }))
    }

    /// What the template takes its text from.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(value) => Some(value),
        })
    }

    /// The text; `None` when every placeholder is empty. Where some are, the blanks around them would show,
    /// so they are collapsed.
    pub(super) fn render(&self, value: impl Fn(&T) -> Option<String>) -> Option<String> {
        let (mut empty, mut filled) = (false, false);
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(source) => match value(source).filter(|text| !text.trim().is_empty()) {
                    Some(text) => {
                        filled = true;
                        out.push_str(&text);
                    }
                    None => empty = true,
                },
            }
        }
        if empty {
            out = collapse_spaces(&out);
        }
        filled.then_some(out)
    }
}

/// The end of a placeholder. Braces inside quotes belong to a filter: `emails[type eq "}"].value`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(index, c)| {
        quoted ^= c == '"';
        (c == '}' && !quoted).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, a: &str, b: &str) -> Option<String> {
        let template = Template::parse(template, |name| Some(name.to_owned())).unwrap().unwrap();
        template.render(|name| match name.as_str() {
            "a" => Some(a.to_owned()),
            "b" | "x[y eq \"}\"].z" => Some(b.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn placeholders_are_filled() {
        for (template, a, b, expected) in [
            ("{a} {b}", "Jo", "Lee", Some("Jo Lee")),
            ("{ a }, {b}!", "Jo", "Lee", Some("Jo, Lee!")),
            ("{a}  {b}", "Jo ", "Lee", Some("Jo   Lee")),
            ("{a} {none} {b}", "Jo", "Lee", Some("Jo Lee")),
            ("{a} {b}", "", "Lee", Some("Lee")),
            ("{a} {b}", "Jo", " ", Some("Jo")),
            ("x {a} {b}", "", "", None),
            ("{{{a}}}", "Jo", "", Some("{Jo}")),
            ("{x[y eq \"}\"].z}", "", "Lee", Some("Lee")),
        ] {
            assert_eq!(render(template, a, b).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for (template, message) in [
            ("a", "the template has no {placeholder}"),
            ("{{a}}", "the template has no {placeholder}"),
            ("{a", "`{` is not closed; write `{{` for a brace"),
            ("a}", "`}` closes nothing; write `}}` for a brace"),
        ] {
            assert_eq!(Template::parse(template, |_| Some(())).unwrap_err(), message, "{template}");
        }
        assert!(Template::parse("{a}{b}", |name| (name == "a").then_some(())).unwrap().is_none());
    }
}
