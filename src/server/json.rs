//! Bytes → a JSON value (RFC 8259), strict where RFC 7493 is: UTF-8, each member of an object once, no NUL, and
//! nested no deeper and of no more values than are asked for. Whatever else reads the value need not think of these again.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::scim::error::Error;

/// So much of a member's name is repeated in an error.
const SHOWN_CHARS: usize = 64;

/// Reads one JSON value, and nothing behind it: of at most so many levels, and so many values, of which each item of a
/// list and each member of an object is one. A byte of text costs little memory, a value much more.
pub fn parse(bytes: &[u8], max_depth: usize, max_values: usize) -> Result<Value, Error> {
    if bytes.trim_ascii().is_empty() {
        return Err(Error::invalid_syntax("the body is empty, and this operation takes a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(max_values);
    let value =
        Nested { max_depth, left_levels: max_depth, max_values, left_values: &left }.deserialize(&mut reader);
    value
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| Error::invalid_syntax(format!("the body is no JSON this service can read: {error}")))
}

/// A value with what is left of the bounds.
#[derive(Clone, Copy)]
struct Nested<'a> {
    max_depth: usize,
    left_levels: usize,
    max_values: usize,
    left_values: &'a Cell<usize>,
}

impl Nested<'_> {
    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        let Some(left_levels) = self.left_levels.checked_sub(1) else {
            let most = self.max_depth;
            return Err(E::custom(format_args!(
                "more than {most} levels of nesting (server.max_json_depth)"
            )));
        };
        Ok(Self { left_levels, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left_values.get().checked_sub(1) else {
            let most = self.max_values;
            return Err(D::Error::custom(format_args!("more than {most} values (server.max_json_values)")));
        };
        self.left_values.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        // Databases and C programs end a text there, and two people would become one.
        if text.contains('\0') {
            return Err(E::custom("a text with the character \\u0000 in it"));
        }
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name.contains('\0') {
                return Err(A::Error::custom("a member's name with the character \\u0000 in it"));
            }
            // Which of the two counts is not defined, so neither does.
            if object.contains_key(&name) {
                let shown: String = name.chars().take(SHOWN_CHARS).collect();
                return Err(A::Error::custom(format_args!("the member {shown:?} is given twice")));
            }
            let value = members.next_value_seed(below)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_DEPTH: usize = 32;

    fn parse(bytes: &[u8]) -> Result<Value, Error> {
        super::parse(bytes, MAX_DEPTH, 1000)
    }

    #[test]
    fn what_is_no_json_here_is_refused_with_its_place() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let (deep, absurd) = (nested(MAX_DEPTH + 1), nested(100_000));
        for (text, told) in [
            ("", "the body is empty"),
            (" \r\n", "the body is empty"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{} {}", "trailing characters at line 1 column 4"),
            (r#"{"a": 1, "a": 1}"#, r#"the member "a" is given twice at line 1 column 12"#),
            (r#"{"a": 1, "\u0061": 2}"#, r#"the member "a" is given twice"#),
            (r#"{"x": [{"y": {"b": 1, "c": 2, "b": 3}}]}"#, r#"the member "b" is given twice"#),
            (r#"{"a": "x\u0000"}"#, r"a text with the character \u0000 in it"),
            (r#"{"a": [{"b\u0000": 1}]}"#, r"a member's name with the character \u0000 in it"),
            (r#"{"a": "\ud800"}"#, "unexpected end of hex escape"),
            (r#"{"a": "\udc00x"}"#, "lone leading surrogate in hex escape"),
            (r#"{"\ud800x": 1}"#, "unexpected end of hex escape"),
            (r#"{"a": 1e999}"#, "number out of range"),
            (r#"{"a": NaN}"#, "expected value"),
            (&deep, "more than 32 levels of nesting (server.max_json_depth) at line 1 column 34"),
            (&absurd, "more than 32 levels of nesting"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("400 invalidSyntax: "), "{error}");
            assert!(error.detail.contains(told), "{told} not in: {error}");
        }
        assert!(parse(b"{\"a\": \"\xff\"}").unwrap_err().detail.contains("invalid unicode"));
    }

    #[test]
    fn each_item_and_each_member_is_a_value() {
        for (text, values) in
            [("1", 1), ("[]", 1), (r#"["", {}, null, [true]]"#, 6), (r#"{"a": {"b": [1, 2]}, "c": "d"}"#, 6)]
        {
            assert!(super::parse(text.as_bytes(), MAX_DEPTH, values).is_ok(), "{text}");
            let error = super::parse(text.as_bytes(), MAX_DEPTH, values - 1).unwrap_err();
            let told = format!("more than {} values (server.max_json_values)", values - 1);
            assert!(error.detail.contains(&told), "{text}: {error}");
        }
    }

    #[test]
    fn members_of_different_objects_may_share_a_name() {
        let text = r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}], "A": "\ud83d\ude00"}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert!(parse(("[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH)).as_bytes()).is_ok());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[^\0]{0,8}".prop_map(Value::from),
        ];
        plain.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(("[^\0]{0,4}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}
