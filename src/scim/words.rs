//! Which words are SCIM's own, and nobody's: what stands in a log or on a page where the values of people must not.

use crate::scim::schema::{Attribute, COMMON, ENTERPRISE_USER, GROUP, USER};

/// Operators of filters, and what else they hold beside names and texts.
const OPERATORS: [&str; 16] =
    ["eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le", "and", "or", "not", "true", "false", "null"];

/// What RFC 7643 calls kinds of addresses and numbers, and Entra writes into paths.
const KINDS: [&str; 6] = ["work", "home", "other", "mobile", "fax", "pager"];

const URN: &str = "urn:ietf:params:scim:";

/// Whether this is a name of SCIM's, an operator, or a path of such names without a filter: `userName`, `eq`,
/// `name.givenName`, `urn:ietf:params:scim:schemas:core:2.0:User:title`.
fn is_word(text: &str) -> bool {
    let is_urn = || {
        let is_of_urn = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '-' | '_' | '$');
        text.get(..URN.len()).is_some_and(|start| start.eq_ignore_ascii_case(URN))
            && text.chars().all(is_of_urn)
    };
    is_one_of(&OPERATORS, text) || text.split('.').all(is_name) || is_urn()
}

/// Whether a text that stands in quotes is one that Entra selects by, as in `emails[type eq "work"]`.
fn is_kind(text: &str) -> bool {
    is_one_of(&KINDS, text) || is_one_of(&["true", "false"], text)
}

fn is_name(name: &str) -> bool {
    let schemas = [&USER, &ENTERPRISE_USER, &GROUP].into_iter().flat_map(|schema| schema.attributes);
    COMMON.iter().chain(schemas).any(|attribute| {
        let is = |attribute: &Attribute| attribute.name.eq_ignore_ascii_case(name);
        is(attribute) || attribute.sub_attributes.iter().any(is)
    })
}

fn is_one_of(words: &[&str], text: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether nothing of a path or a filter would be left out.
pub fn are_all(text: &str) -> bool {
    !text.is_empty() && without_values(text) == text
}

/// A path or a filter: which attribute is meant, and not whom the rest of it names. What is no word of SCIM's is left out,
/// within quotes and outside of them.
pub fn without_values(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let (inside, behind) = until_quote(rest.get(1..).unwrap_or_default());
            out.push('"');
            if is_kind(inside) {
                out.push_str(inside);
            } else {
                out.push('…');
            }
            let Some(behind) = behind else { break };
            out.push('"');
            rest = behind;
            continue;
        }
        let ends = |c: char| c == ' ' || matches!(c, '[' | ']' | '(' | ')' | ',' | '"');
        let (run, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        if run.is_empty() {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        // `.value` behind a bracket.
        let name = run.strip_prefix('.').unwrap_or(run);
        if is_word(name) {
            out.push_str(run);
        } else {
            out.push('…');
        }
        rest = behind;
    }
    out
}

/// A text that has begun, and what stands behind its end, if it has one. A backslash takes its meaning from what follows.
fn until_quote(text: &str) -> (&str, Option<&str>) {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
            _ => {}
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_of_scim_is_left_out() {
        for (text, shown) in [
            ("userName eq \"jo@example.com\"", "userName eq \"…\""),
            ("emails[type eq \"Work\"].value eq \"x\"", "emails[type eq \"Work\"].value eq \"…\""),
            ("members[value eq \"auth0|1\"]", "members[value eq \"…\"]"),
            ("userName eq jo@example.com", "userName eq …"),
            ("userName eq Jo Lee", "userName eq … …"),
            ("userName eq \"jo", "userName eq \"…"),
            (r#"displayName eq "a \" jo lee" and title eq "x""#, "displayName eq \"…\" and title eq \"…\""),
            (r#"displayName eq "jo\\" and active eq true"#, "displayName eq \"…\" and active eq true"),
            ("not (name.familyName pr)", "not (name.familyName pr)"),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            ),
            ("urn:ietf:params:scim:schemas:core:2.0:User:jo%40example.com", "…"),
            ("jo.lee", "…"),
            ("/Users/jo%40example.com", "…"),
            ("", ""),
            ("é[ü", "…[…"),
        ] {
            assert_eq!(without_values(text), shown, "{text}");
        }
    }
}
