//! What came out otherwise than a file promises, one line each.

use std::fmt;

use serde_json::{Value, json};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which way something was carried, in the file's own words.
    pub direction: &'static str,
    pub field: String,
    pub expected: Side,
    pub got: Side,
}

/// One side of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    Nothing,
    Value(Value),
    Taken,
    /// With the reason, where there is one.
    Refused(Option<String>),
}

/// A column that is wider than this is not waited for by the others.
const WIDEST: usize = 40;

impl Difference {
    pub fn to_json(&self) -> Value {
        json!({
            "direction": self.direction,
            "field": self.field,
            "expected": self.expected.to_json(),
            "got": self.got.to_json(),
        })
    }
}

impl Side {
    fn to_json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Value(value) => value.clone(),
            Self::Taken => json!({"refused": false}),
            Self::Refused(None) => json!({"refused": true}),
            Self::Refused(Some(why)) => json!({"refused": why}),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Value(value) => value.fmt(f),
            Self::Taken => f.write_str("no refusal"),
            Self::Refused(None) => f.write_str("a refusal"),
            Self::Refused(Some(why)) => write!(f, "a refusal: it {why}"),
        }
    }
}

/// The differences as lines of a table, below a heading for each direction; whether a line is a heading goes
/// with it.
pub(super) fn lines(differences: &[Difference]) -> Vec<(bool, String)> {
    let width = |column: fn(&Difference) -> String| {
        let widths = differences.iter().map(|difference| column(difference).chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or_default()
    };
    let (field, expected) = (width(|one| one.field.clone()), width(|one| one.expected.to_string()));
    let mut lines = Vec::new();
    let mut direction = "";
    for one in differences {
        if one.direction != direction {
            direction = one.direction;
            lines.push((true, format!("{direction}:")));
        }
        let side = one.expected.to_string();
        lines.push((false, format!("{:field$}  expected {side:expected$}  got {}", one.field, one.got)));
    }
    lines
}
