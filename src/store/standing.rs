//! Whether what is written to the store is kept: whether the last write reached its file, and whether that file is still the
//! one that has the name.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{error, info};

use crate::store::Error;

/// A file, whatever its name: device and inode.
type Identity = (u64, u64);

#[derive(Debug)]
pub(super) struct Standing {
    /// As they were when they were opened; the database is the first. None for a store in memory.
    files: Vec<(PathBuf, Identity)>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    /// The last write failed.
    fails: bool,
    /// A file was gone, or another one, at the last look.
    is_misplaced: bool,
}

impl Standing {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let known = files.iter().filter_map(|path| Some((path.clone(), identity(path)?)));
        Self { files: known.collect(), now: Mutex::default() }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.now().fails
    }

    pub(super) fn written(&self) {
        if std::mem::take(&mut self.now().fails) {
            info!(path = self.path(), "the store can be written again");
        }
    }

    pub(super) fn not_written(&self, error: &Error) {
        if !std::mem::replace(&mut self.now().fails, true) {
            let (path, reason) = (self.path(), &error.0);
            error!(path, reason, "the store cannot be written: nothing is changed until it can be");
        }
    }

    /// Whether the files that are open are those that have the names. SQLite goes on with files that have lost theirs, and
    /// all of it is gone with the process.
    pub(super) fn look_at_files(&self) -> Result<(), Error> {
        let is_another = |(path, known): &&(PathBuf, Identity)| identity(path) != Some(*known);
        let missed = self.files.iter().find(is_another);
        let was_misplaced = std::mem::replace(&mut self.now().is_misplaced, missed.is_some());
        let Some((path, _)) = missed else {
            if was_misplaced {
                info!(path = self.path(), "the store has its file again");
            }
            return Ok(());
        };
        let path = path.display();
        if !was_misplaced {
            error!(
                path = %path,
                "the store's file has been deleted, moved or replaced under the service: what is kept now is lost at the \
                 next restart. Do not restart; see the runbook, `The store fails`"
            );
        }
        Err(Error(format!(
            "{path} has been deleted, moved or replaced under the service: what is kept now is lost at the next restart; \
             move it back, or see the runbook before you restart"
        )))
    }

    /// The error with the file that it is about, for people who may know that.
    pub(super) fn named(&self, error: Error) -> Error {
        match self.path() {
            Some(path) if !error.0.contains(path) => Error(format!("{path}: {}", error.0)),
            _ => error,
        }
    }

    fn path(&self) -> Option<&str> {
        self.files.first().and_then(|(path, _)| path.to_str())
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
