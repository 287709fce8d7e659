//! The mapping in force, with what tells it from another version of itself.

use std::sync::Arc;

use crate::bridge::{fingerprint, now};
use crate::mapping::Mapping;

/// A mapping and where it comes from.
#[derive(Clone, Debug)]
pub struct InForce {
    pub mapping: Arc<Mapping>,
    /// Its file, for people.
    pub file: String,
    /// Twelve hexadecimal digits that are others as soon as the text is another.
    pub digest: String,
    /// When it was loaded.
    pub since: String,
}

impl InForce {
    /// A mapping compiled just now from this text.
    pub fn new(mapping: Mapping, file: String, text: &str) -> Self {
        Self { mapping: Arc::new(mapping), file, digest: digest(text), since: now() }
    }

    /// Whether it is the same text of the same file.
    pub fn is(&self, other: &Self) -> bool {
        (&self.file, &self.digest) == (&other.file, &other.digest)
    }
}

/// Tells two versions of a text apart: the beginning of its SHA-256, as `sha256sum` shows it.
pub fn digest(text: &str) -> String {
    format!("{:012x}", fingerprint(text) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_sha256sum_shows() {
        assert_eq!(digest("foo"), "2c26b46b68ff");
        assert_ne!(digest("foo"), digest("foo\n"));
    }
}
