//! YAML text as a tree that knows where each piece stands, and the problems found in it.
//!
//! Promises: every node has its line and column; plain scalars are typed as YAML 1.2 types them, so `no`
//! and `0755` stay texts; a key given twice is a problem, never a silent loss; a hostile file is refused,
//! never expanded. Does not know what any key means: that is for the rooms that read the tree, with the
//! help of [`Item`] and [`Problems`].

mod difference;
mod item;
mod parse;
mod problem;

use serde_json::{Map, Number, Value};

pub use difference::{Difference, Side};
pub use item::{Item, Section};
pub use parse::parse;
pub use problem::{Problem, Problems, Severity, looks_like_secret, nearest, render};

/// A place in the text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub line: usize,
    pub column: usize,
}

/// A piece of the tree and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: At,
    pub value: Content,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Where the key begins.
    pub at: At,
    pub value: Node,
}

impl Node {
    /// The same tree without places.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Boolean(flag) => Value::from(*flag),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::from(text.as_str()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                let member = |entry: &Entry| (entry.key.clone(), entry.value.to_json());
                Value::Object(entries.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }

    /// What it is, for the sentence "expected …, found …". Never the value itself: it may be a secret.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Content::Null => "nothing",
            Content::Boolean(_) => "a boolean",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }
}
