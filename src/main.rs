//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ziflow_scim_bridge::cli::main()
}
