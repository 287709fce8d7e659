//! Who runs a command, for the audit log: as the kernel knows them, since variables such as `SUDO_USER` can say anything.

use rustix::process::getuid;
use serde_json::{Value, json};

/// What the kernel has for somebody who never logged in.
const NOBODY: u32 = u32::MAX;

/// The members of a line that say who it was: the user that the command runs as, and the one who logged in before `sudo`.
pub(super) fn operator() -> Value {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse::<u32>().ok()).filter(|id| *id != NOBODY);
    json!({"by": "operator", "uid": getuid().as_raw(), "login_uid": login})
}
