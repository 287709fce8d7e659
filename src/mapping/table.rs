//! Lookup tables (`values:`): SCIM's words to Ziflow's, and backwards.
//!
//! Forwards: without regard to case, an exact row before a wildcard, the first wildcard that fits wins.
//! Backwards: the first literal row with that value.

use super::pattern::Pattern;
use super::spec::{Placed, RowSpec};
use super::value;
use crate::yaml::Problems;
use crate::ziflow::model::{Field, FieldValue};

#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    pattern: Pattern,
    value: FieldValue,
}

impl Table {
    /// `read_back` asks for a warning where a value cannot be read backwards.
    pub(super) fn compile(
        field: Field,
        spec: &Placed<Vec<RowSpec>>,
        read_back: bool,
        problems: &mut Problems,
    ) -> Self {
        if spec.value.is_empty() {
            problems.error(spec.at, &spec.key, "the table is empty").hint("remove `values` or add a row");
        }
        let mut table = Self { rows: Vec::new() };
        for row in &spec.value {
            if let Some(value) = value::literal(field, &row.value, problems) {
                let pattern = Pattern::new(&row.pattern.value);
                table.add(Row { pattern, value }, &row.pattern, problems);
            }
        }
        if read_back {
            table.warn_unreadable(spec, problems);
        }
        table
    }

    /// The row that fits, as written, and its value.
    pub(super) fn lookup(&self, text: &str) -> Option<(&str, &FieldValue)> {
        let text = text.to_lowercase();
        let fits = |row: &&Row| row.pattern.fits_lower(&text);
        let exact = self.rows.iter().filter(|row| row.pattern.is_literal()).find(fits);
        let row = exact.or_else(|| self.rows.iter().find(fits))?;
        Some((row.pattern.as_str(), &row.value))
    }

    /// SCIM's word for a value of Ziflow's; for a list, for one item of it.
    pub(super) fn backwards(&self, text: &str) -> Option<&str> {
        let fits = |row: &&Row| row.pattern.is_literal() && value::texts(&row.value) == [text];
        self.rows.iter().find(fits).map(|row| row.pattern.as_str())
    }

    /// What the table knows, as written.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.pattern.as_str())
    }

    /// What the table can give.
    pub(super) fn values(&self) -> impl Iterator<Item = &FieldValue> {
        self.rows.iter().map(|row| &row.value)
    }

    fn add(&mut self, row: Row, place: &Placed<String>, problems: &mut Problems) {
        // A literal is looked at first, wherever it stands.
        let covers = |earlier: &&Row| {
            earlier.pattern.covers(&row.pattern) && row.pattern.is_literal() == earlier.pattern.is_literal()
        };
        if let Some(earlier) = self.rows.iter().find(covers) {
            let (row, earlier) = (row.pattern.as_str(), earlier.pattern.as_str());
            let message = format!("the row `{row}` is never reached: `{earlier}` above fits first");
            problems
                .error(place.at, &place.key, message)
                .hint("values are compared without regard to case; move this row up or remove it");
        } else {
            self.rows.push(row);
        }
    }

    fn warn_unreadable(&self, spec: &Placed<Vec<RowSpec>>, problems: &mut Problems) {
        let mut warned: Vec<&FieldValue> = Vec::new();
        for row in &self.rows {
            let readable =
                matches!(value::texts(&row.value).as_slice(), [text] if self.backwards(text).is_some());
            if readable || warned.contains(&&row.value) {
                continue;
            }
            warned.push(&row.value);
            let place = spec
                .value
                .iter()
                .find(|spec| spec.pattern.value.trim() == row.pattern.as_str())
                .map(|spec| spec.pattern.at);
            let words = value::texts(&row.value).join(", ");
            let message = format!("`{words}` cannot be read backwards: no row without `*` has it alone");
            let row = if words.contains(", ") {
                "add a row for each of them alone".to_owned()
            } else {
                format!("add a row for the SCIM value that `{words}` is to be shown as")
            };
            problems.warning(place, &spec.key, message).hint(format!("{row}, or set `direction: to_ziflow`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Literal;
    use super::*;
    use crate::yaml::At;

    const HERE: At = At { line: 1, column: 1 };

    fn table(field: Field, rows: &[(&str, &str)]) -> (Table, Vec<String>) {
        let placed = |text: &str| Placed { at: HERE, key: "k".into(), value: text.to_owned() };
        let row = |(pattern, value): &(&str, &str)| RowSpec {
            pattern: placed(pattern),
            value: Placed { at: HERE, key: "k".into(), value: Literal::Text((*value).into()) },
        };
        let spec = Placed { at: HERE, key: "k".into(), value: rows.iter().map(row).collect() };
        let mut problems = Problems::default();
        let table = Table::compile(field, &spec, true, &mut problems);
        (table, problems.into_vec().into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn exact_before_wildcard_and_the_first_wildcard_wins() {
        let rows = [
            ("pt-*", "pt_br"),
            ("*-DE", "de"),
            ("e*s*", "es"),
            ("pt-PT", "en"),
            ("en", "en"),
            ("de", "de"),
            ("es", "es"),
        ];
        let (table, _) = table(Field::Language, &rows);
        for (text, expected) in [
            ("pt-BR", Some("pt_br")),
            ("PT-br", Some("pt_br")),
            ("pt-pt", Some("en")),
            ("pt", None),
            ("pt-de", Some("pt_br")),
            ("nl-de", Some("de")),
            ("-de", Some("de")),
            ("EN", Some("en")),
            ("eaasbb", Some("es")),
            ("eaabb", None),
            ("", None),
        ] {
            assert_eq!(
                table.lookup(text).map(|(_row, value)| value),
                expected.map(|word| FieldValue::Text(word.into())).as_ref(),
                "{text}"
            );
        }
    }

    #[test]
    fn wildcards_do_not_overlap_themselves() {
        let (table, _) = table(Field::Company, &[("ab*ba", "x"), ("a*b*c*d", "y")]);
        for (text, expected) in
            [("aba", false), ("abba", true), ("abxba", true), ("abcd", true), ("acbd", false)]
        {
            assert_eq!(table.lookup(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn backwards_is_the_first_literal_row_as_written() {
        let (table, warnings) =
            table(Field::Language, &[("pt-*", "pt_br"), ("pt-BR", "pt_br"), ("br", "pt_br")]);
        assert_eq!((table.backwards("pt_br"), table.backwards("de")), (Some("pt-BR"), None));
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn rows_that_never_act_are_found() {
        for (rows, message) in [
            ([("de", "de"), ("DE", "en")], "the row `DE` is never reached: `de` above fits first"),
            (
                [("pt-*", "en"), ("PT-b*", "pt_br")],
                "the row `PT-b*` is never reached: `pt-*` above fits first",
            ),
            ([("*", "en"), ("a*b*", "de")], "the row `a*b*` is never reached: `*` above fits first"),
        ] {
            assert!(table(Field::Language, &rows).1.contains(&message.to_owned()), "{rows:?}");
        }
        assert_eq!(table(Field::Language, &[("pt-*", "en"), ("pt-br", "en")]).1, Vec::<String>::new());
    }

    #[test]
    fn values_that_cannot_be_read_backwards_are_warned_about_once() {
        let warnings = table(Field::Language, &[("pt-*", "pt_br"), ("br-*", "pt_br"), ("de", "de")]).1;
        assert_eq!(warnings, ["`pt_br` cannot be read backwards: no row without `*` has it alone"]);
    }
}
