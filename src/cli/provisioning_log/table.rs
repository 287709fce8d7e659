//! The tab Modified properties as it is copied from the portal: a line for each attribute, with its old and its new value,
//! and tabs between. A first line may name the columns.

use crate::cli::provisioning_log::{Entry, MOST_PROPERTIES, Property};

/// Which column is which.
#[derive(Clone, Copy, Debug)]
struct Columns {
    name: usize,
    old: usize,
    new: usize,
}

/// None: this is no such table.
pub(super) fn read(text: &str) -> Option<Result<Entry, String>> {
    if !text.contains('\t') || is_request(text) {
        return None;
    }
    Some(entry(text))
}

/// A request that was indented by tabs is a request.
fn is_request(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().any(|method| first.eq_ignore_ascii_case(method))
}

fn entry(text: &str) -> Result<Entry, String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let headed = lines.first().and_then(|line| Columns::of(line));
    let columns = headed.unwrap_or(Columns { name: 0, old: 1, new: 2 });
    // Where every line has a single value, it is the new one.
    let is_narrow = lines.iter().all(|line| line.split('\t').count() == 2);
    let lines = lines.into_iter().skip(usize::from(headed.is_some()));
    let mut changed = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        let cell =
            |column: usize| cells.get(column).map(|cell| (*cell).to_owned()).filter(|cell| !cell.is_empty());
        let (Some(name), true) = (cell(columns.name), cells.len() > 1) else {
            return Err(format!(
                "`{line}` is no line of Modified properties: each has an attribute, its old and its new value, with tabs \
                 between; the entry can also be downloaded as JSON"
            ));
        };
        if changed.len() == MOST_PROPERTIES {
            return Err(format!("there are more than {MOST_PROPERTIES} lines: paste the table of one entry"));
        }
        let (old, new) = if is_narrow { (None, cell(1)) } else { (cell(columns.old), cell(columns.new)) };
        changed.push(Property { name, old, new });
    }
    if changed.is_empty() {
        return Err("the table names its columns and holds no line: copy the lines as well".to_owned());
    }
    Ok(Entry { is_table: true, changed, ..Entry::default() })
}

impl Columns {
    /// The columns by their names: `Attribute`, `Old value`, `New value`, and how else the portal calls them.
    fn of(line: &str) -> Option<Self> {
        let names: Vec<String> = line.split('\t').map(|name| name.trim().to_ascii_lowercase()).collect();
        let place = |words: &[&str]| {
            let is_it =
                |name: &String| words.iter().any(|word| name.contains(word)) && name.contains("value");
            names.iter().position(is_it)
        };
        let (old, new) = (place(&["old", "original", "previous"])?, place(&["new", "modified"])?);
        let is_name =
            |name: &String| ["attribute", "property", "name"].iter().any(|word| name.contains(word));
        let others = names.iter().enumerate().filter(|(place, _)| *place != old && *place != new);
        let name = others.into_iter().find(|(_, name)| is_name(name)).map(|(place, _)| place)?;
        Some(Self { name, old, new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_attributes_with_both_values() {
        type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>);
        let title: Row<'_> = ("title", Some("CEO"), Some("C T O"));
        let cases: [(&str, &[Row<'_>]); 8] = [
            ("title\tCEO\tC T O", &[title]),
            ("Attribute\tOld value\tNew value\r\ntitle\tCEO\tC T O\r\n", &[title]),
            ("New value\tOld value\tProperty name\nC T O\tCEO\ttitle", &[title]),
            (
                "Target attribute name\tSource attribute value\tOriginal target attribute value\tModified target attribute value\n\
                 title\tx\tCEO\tC T O",
                &[title],
            ),
            (
                "active\t\tTrue\n\nname.givenName\tJo\t",
                &[("active", None, Some("True")), ("name.givenName", Some("Jo"), None)],
            ),
            ("active\tTrue", &[("active", None, Some("True"))]),
            ("active\t\tTrue\ntitle\tCEO", &[("active", None, Some("True")), ("title", Some("CEO"), None)]),
            (
                "emails[type eq \"work\"].value\t\ta@b.c",
                &[("emails[type eq \"work\"].value", None, Some("a@b.c"))],
            ),
        ];
        for (text, rows) in cases {
            let read = read(text).unwrap().unwrap();
            let got: Vec<_> = read
                .changed
                .iter()
                .map(|one| (one.name.as_str(), one.old.as_deref(), one.new.as_deref()))
                .collect();
            assert_eq!(got, rows, "{text}");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_or_left_to_others() {
        for text in ["title CEO CTO", "PATCH /Users/1\n\t{}", "get\t/Users"] {
            assert!(read(text).is_none(), "{text}");
        }
        let many = "title\ta\tb\n".repeat(MOST_PROPERTIES + 1);
        for (text, told) in [
            ("title\tCEO\tCTO\nsomething else", "`something else` is no line"),
            ("\tCEO\tCTO", "is no line"),
            ("Attribute\tOld value\tNew value\n", "holds no line"),
            (&many, "more than 500"),
        ] {
            let error = read(text).unwrap().unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
