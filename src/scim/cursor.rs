//! Cursors (RFC 9865): where in a list a client is, as a text that only this service can read.
//!
//! A cursor names the snapshot it was given for, what was asked for, how far the client has come and whom it saw
//! last, so that nobody is repeated or passed over when somebody leaves the list between two pages.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::scim::error::Error;

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The snapshot; 0 for lists that are made anew for each request.
    pub generation: u64,
    /// A digest of the filter and the order.
    pub query: u64,
    /// How many resources stand before the place.
    pub offset: usize,
    /// A digest of the id of the last of them.
    pub last: u64,
}

impl Cursor {
    /// Reads what `Display` wrote; anything else is `invalidCursor`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::invalid_cursor("the cursor is none that this service gave: begin again without one");
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        let mut part = || parts.next().and_then(Result::ok).ok_or_else(wrong);
        let (generation, query, offset, last, check) = (part()?, part()?, part()?, part()?, part()?);
        let cursor = Self { generation, query, offset: usize::try_from(offset).or(Err(wrong()))?, last };
        if parts.next().is_some() || check != cursor.check() { Err(wrong()) } else { Ok(cursor) }
    }

    /// How many of those who are still there stand before the rest of the list: all up to whom the client saw
    /// last, also when that one or others have left meanwhile. `entries` are ids in order, with whether each is
    /// still there.
    pub fn place(&self, entries: &[(&str, bool)]) -> usize {
        let there = |entries: &[(&str, bool)]| entries.iter().filter(|(_, there)| *there).count();
        if self.offset == 0 {
            return 0;
        }
        match entries.iter().position(|(id, _)| digest(id) == self.last) {
            Some(place) => there(entries.get(..=place).unwrap_or_default()),
            // Nobody remembers who that was: the next one has moved into their place.
            None => (self.offset - 1).min(there(entries)),
        }
    }

    fn check(&self) -> u64 {
        digest(&(self.generation, self.query, self.offset, self.last))
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
        let Self { generation, query, offset, last } = self;
        write!(f, "{generation:x}-{query:x}-{offset:x}-{last:x}-{:x}", self.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(offset: usize, last: &str) -> Cursor {
        Cursor { generation: 7, query: 8, offset, last: digest(&last) }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let text = cursor(3, "c").to_string();
        assert_eq!(Cursor::parse(&text), Ok(cursor(3, "c")));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "unreserved: {text}");
        for bad in [
            "",
            "x",
            "1-2-3-4-5",
            &text.replacen('7', "6", 1),
            &format!("{text}-1"),
            text.trim_start_matches(char::is_alphanumeric),
        ] {
            assert_eq!(Cursor::parse(bad).unwrap_err().scim_type.unwrap().as_str(), "invalidCursor", "{bad}");
        }
    }

    #[test]
    fn a_place_stays_right_when_others_leave() {
        let (here, gone) = (true, false);
        for (entries, place) in [
            (&[("a", here), ("b", here), ("c", here), ("d", here)][..], 3),
            (&[("a", gone), ("b", here), ("c", here), ("d", here)], 2),
            (&[("a", here), ("b", gone), ("c", gone), ("d", here)], 1),
            (&[("a", here), ("b", here), ("d", here)], 2),
            (&[("a", here)], 1),
            (&[], 0),
        ] {
            assert_eq!(cursor(3, "c").place(entries), place, "{entries:?}");
        }
        assert_eq!(cursor(0, "").place(&[("a", here)]), 0);
    }
}
