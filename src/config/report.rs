//! Problems with the file they stand in.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::yaml::{self, Problem, Severity};

/// A problem with the file it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub file: String,
    /// All of the file; many problems share it.
    pub text: Arc<str>,
    pub problem: Problem,
}

impl Report {
    pub fn is_error(&self) -> bool {
        self.problem.severity == Severity::Error
    }

    /// Whether it tells of an example that does not hold.
    pub fn is_of_example(&self) -> bool {
        !self.problem.differences.is_empty()
    }

    /// As rustc would show it.
    pub fn render(&self) -> String {
        yaml::render(&self.problem, &self.file, &self.text)
    }
}

/// A file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error, key: &str) -> Report {
    let problem = Problem {
        severity: Severity::Error,
        at: None,
        key: key.to_owned(),
        message: format!("the file cannot be read: {error}"),
        hint: (key == "mapping.file" && error.kind() == ErrorKind::NotFound).then(|| {
            "it is `mapping.yaml` beside the settings file, unless mapping.file names another".to_owned()
        }),
        differences: Vec::new(),
    };
    Report { file: path.display().to_string(), text: Arc::default(), problem }
}
