//! The mapping file with its examples: text to a mapping that can be in force, or every problem.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::bridge::in_force::InForce;
use crate::config::file;
use crate::config::report::{Report, unreadable};
use crate::config::secrets::open_to_all;
use crate::config::{Loader, MAPPING_YAML, Reported};
use crate::mapping::{Mapping, examples};
use crate::yaml::Severity;

/// A mapping, and what an operator should know of it all the same.
type Loaded = (InForce, Vec<Report>);

/// Checks what came of reading a mapping file, as loading all settings does.
pub fn load_mapping(path: &Path, text: io::Result<String>) -> Result<Loaded, Vec<Report>> {
    let text = text.map_err(|error| vec![unreadable(path, &error, "mapping.file")])?;
    let (in_force, mut reports) = compile(&path.display().to_string(), &text);
    reports.extend(open_to_all(path));
    match in_force {
        Some(in_force) if !reports.iter().any(Report::is_error) => Ok((in_force, reports)),
        _ => Err(reports),
    }
}

impl Loader {
    /// The mapping, and its file if that is watched. The embedded one never takes over from a file that is missing.
    pub(super) fn mapping(&mut self) -> Result<(InForce, Option<PathBuf>), Reported> {
        let watch = self.value("mapping.watch") == Some(Value::Bool(true));
        let named = self.text("mapping.file");
        if self.path.is_none() && named.is_none() {
            if watch {
                self.warn_of_useless_watch();
            }
            return Ok((self.keep(compile("config/mapping.yaml (embedded)", MAPPING_YAML))?, None));
        }
        let path = self.beside("mapping.file", named.as_deref().unwrap_or("mapping.yaml"));
        self.check_mapping_file(&path)?;
        let text = file::read(&path).map_err(|error| {
            self.reports.push(unreadable(&path, &error, "mapping.file"));
            Reported
        })?;
        let mapping = self.keep(compile(&path.display().to_string(), &text))?;
        Ok((mapping, watch.then_some(path)))
    }

    /// The mapping, and what is wrong with it among the reports.
    fn keep(&mut self, (mapping, reports): (Option<InForce>, Vec<Report>)) -> Result<InForce, Reported> {
        self.reports.extend(reports);
        mapping.ok_or(Reported)
    }

    fn warn_of_useless_watch(&mut self) {
        self.report(
            Severity::Warning,
            "mapping.watch",
            "there is nothing to watch: the built-in mapping is used, and that is no file",
            "name a file in mapping.file, or leave mapping.watch out",
        );
    }
}

/// The mapping of this text, with what is wrong with it; a failing example leaves the mapping there.
fn compile(file: &str, text: &str) -> (Option<InForce>, Vec<Report>) {
    let shared: Arc<str> = text.into();
    let report = |problem| Report { file: file.to_owned(), text: Arc::clone(&shared), problem };
    match Mapping::compile(text) {
        Ok((mapping, warnings)) => {
            let problems = warnings.into_iter().chain(examples::run(&mapping)).map(report).collect();
            (Some(InForce::new(mapping, file.to_owned(), text)), problems)
        }
        Err(problems) => (None, problems.into_iter().map(report).collect()),
    }
}
