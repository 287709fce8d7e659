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
    let hint = match error.kind() {
        ErrorKind::NotFound if key == "mapping.file" => {
            "it is `mapping.yaml` beside the settings file, unless mapping.file names another"
        }
        ErrorKind::PermissionDenied => {
            "run this as root, with sudo, or as the user of the service; --config names another file"
        }
        _ => "",
    };
    let report = on_whole(Severity::Error, path, &format!("the file cannot be read: {error}"), hint);
    Report { problem: Problem { key: key.to_owned(), ..report.problem }, ..report }
}

/// A problem with a file as a whole.
pub(super) fn on_whole(severity: Severity, path: &Path, message: &str, hint: &str) -> Report {
    let problem = Problem {
        severity,
        at: None,
        key: String::new(),
        message: message.to_owned(),
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
        differences: Vec::new(),
    };
    Report { file: path.display().to_string(), text: Arc::default(), problem }
}
