//! What a crash leaves behind: no image of the memory, which holds the API key, and of a panic its place and not its
//! words, which may hold anything.

use std::panic::PanicHookInfo;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::error;

/// Sees to both, for the rest of the process. Fails with a sentence for the operator.
pub fn leave_nothing_behind() -> Result<(), String> {
    std::panic::set_hook(Box::new(tell));
    let told = |error| format!("core dumps cannot be switched off: {error}");
    // The limit alone would not do: a core that is piped to a program, as systemd has it, knows no limit.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(told)?;
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing).map_err(told)
}

/// To the log, or to whoever has called a command that keeps none.
#[expect(clippy::print_stderr, reason = "commands speak to the person who called them")]
fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    if tracing::dispatcher::has_been_set() {
        error!(place, "the bridge met a mistake of its own; please report this");
    } else {
        eprintln!("ziflow-scim-bridge: the bridge met a mistake of its own at {place}; please report this");
    }
}
