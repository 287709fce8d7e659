//! What the bridge remembers of a person beside the resource: where Ziflow's value is allowed to differ from
//! what Entra wrote, and what Entra took away that a template would bring back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value;
use crate::ziflow::model::{Field, FieldValue};

/// Stored as JSON beside the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// By Ziflow's name of the field.
    pub(super) held: BTreeMap<String, Held>,
    /// SCIM paths that stay empty although a template could fill them.
    pub(super) cleared: BTreeSet<String>,
}

/// As long as Entra's value still makes `sent` and Ziflow still has `got`, Entra's value is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    sent: Value,
    got: Value,
}

impl Held {
    pub(super) fn new(sent: Option<&FieldValue>, got: Option<&FieldValue>) -> Self {
        Self { sent: json(sent), got: json(got) }
    }

    pub(super) fn fits(&self, field: Field, sent: Option<&FieldValue>, got: Option<&FieldValue>) -> bool {
        same(field, &self.sent, sent) && same(field, &self.got, got)
    }
}

/// Values are personal data.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}

fn json(value: Option<&FieldValue>) -> Value {
    value.map_or(Value::Null, FieldValue::to_json)
}

fn same(field: Field, stored: &Value, value: Option<&FieldValue>) -> bool {
    match (FieldValue::from_json(stored), value) {
        (Some(stored), Some(value)) => value::same(field, &stored, value),
        (stored, value) => stored.is_none() && value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_held_only_while_both_sides_stay() {
        let text = |text: &str| Some(FieldValue::Text(text.into()));
        let (a, b) = (text("a"), text("b"));
        let held = Held::new(a.as_ref(), b.as_ref());
        let cleared = Held::new(None, b.as_ref());
        for (held, sent, got, expected) in [
            (&held, &a, &b, true),
            (&held, &b, &b, false),
            (&held, &a, &a, false),
            (&held, &None, &b, false),
            (&held, &a, &None, false),
            (&cleared, &None, &b, true),
            (&cleared, &a, &b, false),
        ] {
            assert_eq!(held.fits(Field::Phone, sent.as_ref(), got.as_ref()), expected, "{sent:?} {got:?}");
        }
        let address = Held::new(text("A@b").as_ref(), b.as_ref());
        assert!(address.fits(Field::Email, text("a@B").as_ref(), b.as_ref()));
    }
}
