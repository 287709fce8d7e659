//! The checks of `doctor` on what the service needs beside the network and what it says of itself: the place of the store, which
//! is not opened, and the parts of `/readyz`.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use serde_json::{Map, Value};

use crate::cli::bridge_checks::reachable;
use crate::cli::diagnosis::{Check, Diagnosis};
use crate::cli::entra::looked_at;
use crate::config::Settings;
use crate::config::service_user::User;
use crate::server::listen::Listen;
use crate::store::Location;

pub(super) const STORE: &str = "store";
pub(super) const PARTS: &str = "parts";

/// How the file of a database begins (the format of SQLite 3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The folder that systemd makes for the service (`StateDirectory`).
const OWN_FOLDER: &str = "/var/lib/ziflow-scim-bridge";

/// With less, the next changes may not be written.
const LITTLE_SPACE: u64 = 64 << 20;

/// `user` is the one as whom the service runs, if it is root who asks; else whoever asks is taken for them.
pub(super) fn store(settings: &Settings, user: Option<&User>, diagnosis: &mut Diagnosis) {
    diagnosis.add(match &settings.store {
        Location::Memory => {
            Check::warning(STORE, "look at store.url", "it is in memory, and forgets at every restart")
                .remedy("name a file: store.url: sqlite:/var/lib/ziflow-scim-bridge/store.db")
        }
        Location::File(path) => look_at(path, user),
    });
}

fn look_at(path: &Path, user: Option<&User>) -> Check {
    let tried = format!("look at {} and its folder, without opening it", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound && folder == Path::new(OWN_FOLDER) => {
            return Check::ok(
                STORE,
                tried,
                "it is not there yet: systemd makes the folder at the first start",
            );
        }
        Err(error) => {
            let found = format!("the folder {} cannot be used: {error}", folder.display());
            return Check::failed(STORE, tried, found).remedy(FOLDER);
        }
        Ok(found) if !found.is_dir() => {
            return Check::failed(STORE, tried, format!("{} is no folder", folder.display())).remedy(FOLDER);
        }
        Ok(_) => {}
    }
    let there = path.exists();
    for place in [Some(folder), Some(path).filter(|_| there)].into_iter().flatten() {
        if let Some(at) = kept_from_writing(place, user) {
            let found = format!("the service may not write there, because of {}", at.display());
            return Check::failed(STORE, tried, found).remedy(
                "the folder and the files of the store belong to the user of the service: \
                 `chown -R ziflow-scim-bridge: FOLDER`",
            );
        }
    }
    match begins_as_a_database(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Check::ok(STORE, tried, "there is none yet: the service makes it when it starts");
        }
        Err(error) => {
            let found = format!("it cannot be read: {error}");
            return Check::failed(STORE, tried, found).remedy("run this with sudo");
        }
        Ok(false) => {
            return Check::failed(STORE, tried, "the file is no database")
                .remedy("docs/runbook.md, \"The store fails\", has the steps");
        }
        Ok(true) => {}
    }
    match statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)) {
        Ok(free) if free < LITTLE_SPACE => {
            let found = format!("only {} MiB are free there", free >> 20);
            Check::warning(STORE, tried, found).remedy("make room: on a full disk no change can be written")
        }
        _ => Check::ok(STORE, tried, "a database, in a folder that can be written"),
    }
}

const FOLDER: &str = "is store.url right? Systemd makes /var/lib/ziflow-scim-bridge alone; another folder is made by \
                      hand: `install -d -m 700 -o ziflow-scim-bridge -g ziflow-scim-bridge FOLDER`";

fn kept_from_writing(place: &Path, user: Option<&User>) -> Option<PathBuf> {
    match user {
        Some(user) => user.kept_from_writing(place),
        None => access(place, Access::WRITE_OK).is_err().then(|| place.to_owned()),
    }
}

/// An empty file is one that was just made.
fn begins_as_a_database(path: &Path) -> std::io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(MAGIC.len().try_into().unwrap_or(u64::MAX)).read_to_end(&mut first)?;
    Ok(first.is_empty() || first == MAGIC)
}

/// What the running service says of itself.
pub(super) async fn parts(settings: &Settings, diagnosis: &mut Diagnosis) {
    let skipped = |why: &str| Check::skipped(PARTS, "ask the running bridge for its parts", why);
    let Some(at) = settings.admin.listen.and_then(Listen::address).filter(|at| at.port() != 0) else {
        return diagnosis.add(skipped("admin.listen gives no address"));
    };
    let url = format!("http://{}/readyz", reachable(at));
    if settings.admin.tls.is_some() || settings.admin.access.token.is_some() {
        let remedy = format!("curl -H \"Authorization: Bearer …\" https://…:{}/readyz", at.port());
        return diagnosis.add(skipped("there it asks for admin.token").remedy(remedy));
    }
    let tried = format!("GET {url}");
    diagnosis.begin(&tried);
    diagnosis.add(match looked_at(&url).await {
        Err(missed) if missed.is_connect => {
            Check::skipped(PARTS, tried, "nothing listens there: the bridge is not running")
        }
        Err(missed) => Check::warning(PARTS, tried, missed.reason).remedy(OTHER),
        Ok(told) => match told.body.get("parts").and_then(Value::as_object) {
            Some(parts) => judge(tried, parts),
            None => Check::warning(PARTS, tried, "what listens there does not answer as the bridge does")
                .remedy(OTHER),
        },
    });
}

const OTHER: &str = "is it the bridge that listens there? See admin.listen, and `ss -ltnp`";

fn judge(tried: String, parts: &Map<String, Value>) -> Check {
    let text =
        |part: &Value, name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let in_state = |wanted: &dyn Fn(&str) -> bool| {
        let found = parts.iter().filter(|(_, part)| wanted(&text(part, "state")));
        let told = found.map(|(name, part)| match text(part, "detail") {
            detail if detail.is_empty() => format!("{name} is {}", text(part, "state")),
            detail => format!("{name} is {}: {detail}", text(part, "state")),
        });
        told.collect::<Vec<_>>().join("; ")
    };
    let failing = in_state(&|state| state == "failing");
    let doubtful = in_state(&|state| !["ok", "unknown", "failing"].contains(&state));
    let remedy = "docs/runbook.md says of each part what to do; the log says more";
    match (failing.is_empty(), doubtful.is_empty()) {
        (false, true) => Check::failed(PARTS, tried, failing).remedy(remedy),
        (false, false) => Check::failed(PARTS, tried, format!("{failing}; {doubtful}")).remedy(remedy),
        (true, false) => Check::warning(PARTS, tried, doubtful).remedy(remedy),
        (true, true) => Check::ok(PARTS, tried, format!("none of the {} parts is in trouble", parts.len())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::diagnosis::State;

    #[test]
    fn the_worst_part_decides() {
        for (states, state, told) in [
            (["ok", "unknown"], State::Ok, "none of the 2 parts"),
            (["ok", "tripped"], State::Warning, "b is tripped: why"),
            (["stale", "failing"], State::Failed, "b is failing: why; a is stale: why"),
        ] {
            let [a, b] = states;
            let parts = json!({"a": {"state": a, "detail": "why"}, "b": {"state": b, "detail": "why"}});
            let check = judge(String::new(), parts.as_object().unwrap());
            assert_eq!((check.state, check.found.contains(told)), (state, true), "{}", check.found);
        }
    }

    #[test]
    fn a_store_is_a_database_in_a_folder_that_is_there() {
        let place = std::env::temp_dir().join(format!("doctor-store-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let file = place.join("store.db");
        let found = |path: &Path| {
            let check = look_at(path, None);
            (check.state, check.found)
        };
        assert_eq!(found(&file).0, State::Ok);
        fs::write(&file, "no database at all").unwrap();
        assert_eq!(found(&file), (State::Failed, "the file is no database".to_owned()));
        fs::write(&file, MAGIC).unwrap();
        assert_ne!(found(&file).0, State::Failed);
        assert!(found(&file.join("store.db")).1.contains("no folder"), "{:?}", found(&file.join("x")));
        let missing = found(&place.join("nowhere/store.db"));
        assert!(missing.0 == State::Failed && missing.1.contains("cannot be used"), "{missing:?}");
        fs::remove_dir_all(place).unwrap();
    }
}
