//! When a watched file has become another one for good.
//!
//! It is read whole every time: a few kilobytes cost little, while the times of a file may be coarse, stay the same
//! under a swapped link, or be remembered by a network file system that reading makes look again.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::bridge::in_force::digest;

/// What a look at the file shows: the text by its digest, or why there is none.
pub(super) type Sight = Result<String, ErrorKind>;

/// What reading a file has shown.
pub(super) fn sight(text: &io::Result<String>) -> Sight {
    text.as_ref().map(|text| digest(text)).map_err(io::Error::kind)
}

#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// What has been acted upon, so that a bad file is told once.
    known: Sight,
    /// Something else, seen once: an edit may not be finished.
    seen: Option<Sight>,
}

impl Watch {
    /// Begins with the text that is in force.
    pub(super) fn new(path: PathBuf, digest: &str) -> Self {
        Self { path, known: Ok(digest.to_owned()), seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what is seen now is to be acted upon: it is something new, and the look before saw it as well.
    pub(super) fn notices(&mut self, sight: Sight) -> bool {
        let settled = self.seen.as_ref() == Some(&sight);
        let is_new = sight != self.known;
        if is_new && settled {
            self.known = sight;
            self.seen = None;
        } else {
            self.seen = is_new.then_some(sight);
        }
        is_new && settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The looks in turn, and after which of them something is done.
    #[track_caller]
    fn watch(looks: &[&str], acted: &[usize]) {
        let mut watch = Watch::new(PathBuf::from("mapping.yaml"), &digest("old"));
        let look = |text: &str| match text {
            "-" => Err(ErrorKind::NotFound.into()),
            "!" => Err(ErrorKind::PermissionDenied.into()),
            text => Ok(text.to_owned()),
        };
        let noticed: Vec<_> = looks
            .iter()
            .enumerate()
            .filter(|(_, text)| watch.notices(sight(&look(text))))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(noticed, acted, "{looks:?}");
    }

    #[test]
    fn what_stays_is_acted_upon_once() {
        watch(&["old", "old", "old"], &[]);
        watch(&["old", "new", "new", "new", "new"], &[2]);
        watch(&["half", "new", "new"], &[2]);
        watch(&["one", "two", "three", "four"], &[]);
        watch(&["new", "new", "old", "old"], &[1, 3]);
        watch(&["new", "old", "new", "old"], &[]);
    }

    #[test]
    fn a_file_that_is_gone_for_a_moment_is_no_news() {
        watch(&["old", "-", "old", "old"], &[]);
        watch(&["-", "new", "new"], &[2]);
        watch(&["-", "-", "-", "-", "old", "old"], &[1, 5]);
        watch(&["-", "!", "!", "!"], &[2]);
    }
}
