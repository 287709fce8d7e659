//! `schema`: the JSON Schema of the two files that operators write, for editors.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::say;
use crate::{config, mapping};

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ziflow-scim-bridge schema mapping > mapping.schema.json")]
pub(super) struct Schema {
    /// Of which file
    #[arg(value_enum)]
    file: File,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum File {
    /// The settings, bridge.yaml
    Bridge,
    /// The mapping, mapping.yaml
    Mapping,
}

impl Schema {
    pub(super) fn run(&self) -> ExitCode {
        let schema = match self.file {
            File::Bridge => config::schema::schema(),
            File::Mapping => mapping::schema::schema(),
        };
        say(&format!("{schema:#}"));
        ExitCode::SUCCESS
    }
}
