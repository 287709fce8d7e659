//! `audit.*`: where the audit log goes, and whether it looks as if it could be written.

use std::fs;
use std::path::Path;

use rustix::fs::access;
use serde_json::Value;

use crate::bridge::audit::Settings;
use crate::bridge::recorder::Destination;
use crate::config::secrets::Access;
use crate::config::{Loader, Reported};
use crate::yaml::Severity;

impl Loader {
    pub(super) fn audit(&mut self) -> Result<Settings, Reported> {
        let destination = self.parsed("audit.destination", Destination::parse)?;
        let required = self.value("audit.required") == Some(Value::Bool(true));
        match &destination {
            Destination::Off if required => {
                let message = "it is true, and audit.destination is off: nothing could ever be changed";
                self.report(Severity::Error, "audit.required", message, "name a destination");
            }
            Destination::Off | Destination::Log => {}
            Destination::File(path) => self.check_audit_file(path, required),
        }
        Ok(Settings { destination, ..self.section("audit")? })
    }

    /// Whether the audit log can be written by whoever asks, who should be the user that the service runs as. Nothing is
    /// made and nothing is written.
    fn check_audit_file(&mut self, path: &Path, required: bool) {
        let severity = if required { Severity::Error } else { Severity::Warning };
        let folder = path.parent().unwrap_or(path);
        let (shown, parent) = (path.display(), folder.display());
        let own = "it must belong to the user that the bridge runs as, and the systemd unit must let it be written \
                   (LogsDirectory=, ReadWritePaths=)";
        let wrong = match (fs::metadata(path), fs::metadata(folder)) {
            (Ok(file), _) if file.is_dir() => (format!("`{shown}` is a folder"), "name a file in it"),
            (Ok(_), _) if access(path, rustix::fs::Access::WRITE_OK).is_err() => {
                (format!("`{shown}` cannot be written by the user who runs this"), own)
            }
            (Ok(_), _) => return self.check_audit_access(path),
            (Err(_), Err(error)) => (format!("`{parent}`, the folder of the audit log: {error}"), own),
            (Err(_), Ok(_)) if access(folder, rustix::fs::Access::WRITE_OK).is_err() => {
                (format!("no file can be made in `{parent}` by the user who runs this"), own)
            }
            (Err(_), Ok(_)) => return,
        };
        self.report(severity, "audit.destination", &wrong.0, wrong.1);
    }

    fn check_audit_access(&mut self, path: &Path) {
        let shown = path.display();
        match Access::of(path) {
            Access::Write => {
                let message = format!("everybody on this machine can change the audit log `{shown}`");
                self.report(Severity::Error, "audit.destination", &message, &format!("chmod o-rwx {shown}"));
            }
            Access::Read => {
                let message = format!("everybody on this machine can read the audit log `{shown}`");
                self.report(Severity::Warning, "audit.destination", &message, &format!("chmod o-r {shown}"));
            }
            Access::None => {}
        }
    }
}
