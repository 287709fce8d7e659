//! `man` and `completions`: what a shell and `man` know about the commands, made of what `--help` is made of.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::{Cli, failed, say};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ziflow-scim-bridge man | man -l -
      Read the page without installing anything
  ziflow-scim-bridge man --into /usr/local/share/man/man1
      Install the pages of all commands")]
pub(super) struct Man {
    /// Write the pages of all commands into this folder, in place of printing the first
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(ziflow-scim-bridge completions bash)
      In this shell, for now
  ziflow-scim-bridge completions zsh > _ziflow-scim-bridge
      For good, once the file lies where zsh looks

The packages bring the completions of bash, zsh and fish.")]
pub(super) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Man {
    pub(super) fn run(&self) -> ExitCode {
        match self.pages() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&format!("the manual could not be written: {error}")),
        }
    }

    fn pages(&self) -> std::io::Result<()> {
        if let Some(folder) = &self.into {
            std::fs::create_dir_all(folder)?;
            return clap_mangen::generate_to(Cli::command(), folder);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        say(String::from_utf8_lossy(&page).trim_end());
        Ok(())
    }
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        say(String::from_utf8_lossy(&script).trim_end());
        ExitCode::SUCCESS
    }
}
