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
        value: impl FnMut(&str) -> Option<T>,
    ) -> Result<Option<Self>, &'static str> {
        match Self::parse_text(text, value)? {
            Some(template) if template.is_fixed() => Err("the template has no {placeholder}"),
            template => Ok(template),
        }
    }

    /// As [`Self::parse`], for a text that needs no placeholder.
    pub(super) fn parse_text(
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
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        Ok(complete.then_some(Self { parts }))
    }

    /// Whether it makes the same text of everything.
    pub(super) fn is_fixed(&self) -> bool {
        self.values().next().is_none()
    }

    /// What the template takes its text from.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(value) => Some(value),
        })
    }

    /// The text; `None` when there are placeholders and all of them are empty. Where some are, the blanks around them would show,
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
        (filled || !empty).then_some(out)
    }
}

/// Reading backwards.
impl<T: PartialEq> Template<T> {
    /// Why a text made by the template could be taken apart in several ways.
    pub(super) fn ambiguity(&self) -> Option<&'static str> {
        let values: Vec<&T> = self.values().collect();
        let earlier = |index: usize| values.iter().take(index);
        let twice =
            values.iter().enumerate().any(|(index, value)| earlier(index).any(|other| other == value));
        let side_by_side = self.between().iter().any(|text| text.is_empty());
        if twice {
            Some("a placeholder stands in it twice")
        } else {
            side_by_side.then_some("two placeholders stand side by side, with nothing between them")
        }
    }

    /// Whether the template's own text stays as it is under this change.
    pub(super) fn survives(&self, change: impl Fn(&str) -> String) -> bool {
        // The digits stand for the values, so that what only tidies the ends does no harm.
        let samples = self.texts().into_iter().map(|text| format!("0{text}0"));
        samples.into_iter().all(|sample| change(&sample) == sample)
    }

    /// The values in a text that the template could have made; none where it could have made it in several ways.
    pub(super) fn take_apart<'t>(&self, text: &'t str) -> Option<Vec<(&T, &'t str)>> {
        let texts = self.texts();
        let inner = text.strip_prefix(*texts.first()?)?.strip_suffix(*texts.last()?)?;
        let (mut from_left, mut rest) = (Vec::new(), inner);
        for text in self.between() {
            let (value, after) = rest.split_once(text)?;
            from_left.push(value);
            rest = after;
        }
        from_left.push(rest);
        let (mut from_right, mut rest) = (Vec::new(), inner);
        for text in self.between().iter().rev() {
            let (before, value) = rest.rsplit_once(text)?;
            from_right.push(value);
            rest = before;
        }
        from_right.push(rest);
        let one_way = from_left.iter().eq(from_right.iter().rev());
        let filled = from_left.iter().all(|value| !value.trim().is_empty());
        (one_way && filled).then(|| self.values().zip(from_left).collect())
    }

    /// The template's own texts: before the first placeholder, between them, after the last.
    fn texts(&self) -> Vec<&str> {
        let parts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Value(_) => None,
        });
        parts.collect()
    }

    fn between(&self) -> Vec<&str> {
        let texts = self.texts();
        texts.get(1..texts.len().saturating_sub(1)).unwrap_or_default().to_vec()
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
    fn texts_are_taken_apart_where_there_is_one_way() {
        for (template, text, expected) in [
            ("{a} - {b}", "x - y z", Some("a=x b=y z")),
            ("Team {a}!", "Team x y!", Some("a=x y")),
            ("{a} {b}", "x y z", None),
            ("{a}--{b}", "x---y", None),
            ("{a} - {b}", "x", None),
            ("{a} - {b}", " - y", None),
            ("Team {a}", "x", None),
            ("ab{a}bc", "abc", None),
            ("{a}/{b}/{c}", "x/y/z", Some("a=x b=y c=z")),
        ] {
            let template = Template::parse(template, |name| Some(name.to_owned())).unwrap().unwrap();
            let told = |values: Vec<(&String, &str)>| {
                values.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(template.take_apart(text).map(told).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_could_be_taken_apart_in_several_ways_is_known_beforehand() {
        for (template, ambiguous) in
            [("{a}{b}", true), ("{a} {a}", true), ("{a}", false), ("x{a} {b}y", false)]
        {
            let template = Template::parse(template, |name| Some(name.to_owned())).unwrap().unwrap();
            assert_eq!(template.ambiguity().is_some(), ambiguous);
        }
        let template = Template::parse("{a} of {b}", |name| Some(name.to_owned())).unwrap().unwrap();
        assert!(template.survives(str::to_lowercase) && !template.survives(str::to_uppercase));
        assert!(!template.survives(|text| text.replace(' ', "")));
    }

    #[test]
    fn a_text_needs_no_placeholder() {
        for (text, fixed, expected) in [
            ("a  b", true, Some("a  b")),
            ("{{a}}", true, Some("{a}")),
            ("", true, Some("")),
            ("x {a}", false, Some("x Jo")),
            ("x {b}", false, None),
        ] {
            let template = Template::parse_text(text, |name| Some(name.to_owned())).unwrap().unwrap();
            assert_eq!(template.is_fixed(), fixed, "{text}");
            let made = template.render(|name| (name == "a").then(|| "Jo".to_owned()));
            assert_eq!(made.as_deref(), expected, "{text}");
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
