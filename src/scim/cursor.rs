//! Cursors (RFC 9865): where in a list a client is, as a text that only this service can read.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::scim::error::Error;

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The snapshot; 0 for lists that are made anew for each request.
    pub generation: u64,
    /// The list made from it for one client.
    pub number: u64,
    /// A digest of the filter and the order.
    pub query: u64,
    /// How many entries stand before the place.
    pub offset: usize,
    /// Entries per page, the same from beginning to end.
    pub count: usize,
}

impl Cursor {
    /// Reads what `Display` wrote; anything else is `invalidCursor`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::invalid_cursor("the cursor is none that this service gave: begin again without one");
        let parts: Result<Vec<u64>, _> = text.split('-').map(|part| u64::from_str_radix(part, 16)).collect();
        let Ok([generation, number, query, offset, count, check]) = parts.as_deref() else {
            return Err(wrong());
        };
        let size = |number: &u64| usize::try_from(*number).or(Err(wrong()));
        let cursor = Self {
            generation: *generation,
            number: *number,
            query: *query,
            offset: size(offset)?,
            count: size(count)?,
        };
        if *check == cursor.check() { Ok(cursor) } else { Err(wrong()) }
    }

    fn check(&self) -> u64 {
        digest(&(self.generation, self.number, self.query, self.offset, self.count))
    }
}

/// A number that two equal values share. It is no secret: a cursor gives access to nothing.
pub fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, number, query, offset, count } = self;
        write!(f, "{generation:x}-{number:x}-{query:x}-{offset:x}-{count:x}-{:x}", self.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let cursor = Cursor { generation: 7, number: 1, query: 8, offset: 3, count: 5 };
        let text = cursor.to_string();
        assert_eq!(Cursor::parse(&text), Ok(cursor));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "unreserved: {text}");
        for bad in ["", "x", "1-2-3-4-5-6", &text.replacen('7', "6", 1), &format!("{text}-1")] {
            assert_eq!(Cursor::parse(bad).unwrap_err().scim_type.unwrap().as_str(), "invalidCursor", "{bad}");
        }
    }
}
