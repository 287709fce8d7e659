//! Whether the service can read the files that its settings name, for root, who can read all of them: by owner, group and mode of
//! each file and of the folders above it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;
use rustix::io::Errno;
use rustix::process::geteuid;
use serde_json::Value;

use crate::config::keys::keys;
use crate::config::report::on_whole;
use crate::config::{DEFAULT_FILE, Loader};
use crate::yaml::Severity;

/// The user that the packages make, and their unit runs as.
const NAME: &str = "ziflow-scim-bridge";

const READ: u32 = 4;
const WRITE: u32 = 2;
const ENTER: u32 = 1;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    id: u32,
    groups: Vec<u32>,
}

impl User {
    /// The service's, if it is root who asks and these are the settings of the service; who else asks sees for themselves.
    pub fn of_service(settings: Option<&Path>) -> Option<Self> {
        let folder = Path::new(DEFAULT_FILE).parent()?;
        if !geteuid().is_root() || !settings?.starts_with(folder) {
            return None;
        }
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self::named(NAME, &text("/etc/passwd"), &text("/etc/group"))
    }

    fn named(name: &str, passwd: &str, groups: &str) -> Option<Self> {
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let own = passwd.lines().map(fields).find(|fields| fields.first().is_some_and(|own| own == name))?;
        let number = |fields: &[String], at: usize| fields.get(at)?.parse::<u32>().ok();
        let is_member = |fields: &Vec<String>| {
            fields.get(3).is_some_and(|members| members.split(',').any(|one| one == name))
        };
        let further = groups.lines().map(fields).filter(is_member).filter_map(|fields| number(&fields, 2));
        Some(Self { id: number(&own, 2)?, groups: number(&own, 3).into_iter().chain(further).collect() })
    }

    fn has(&self, right: u32, of: &Metadata) -> bool {
        let shift = match of {
            of if of.uid() == self.id => 6,
            of if self.groups.contains(&of.gid()) => 3,
            _ => 0,
        };
        self.id == 0 || of.mode() >> shift & right == right
    }

    /// Whether they have this right, as far as that is told by the mode: what is not there, or has a list of rights of its own,
    /// is not judged.
    fn may(&self, right: u32, path: &Path) -> bool {
        fs::metadata(path).map_or(true, |of| self.has(right, &of)) || has_list(path)
    }

    /// What keeps them from reading a file: the file, or a folder above it, also where a link leads.
    fn kept_from(&self, file: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(file).ok()?;
        let named = std::path::absolute(file).ok()?;
        self.kept_out(&named)
            .or_else(|| self.kept_out(&real))
            .or_else(|| (!self.may(READ, &real)).then_some(real))
    }

    /// The folder above it that they may not enter.
    fn kept_out(&self, path: &Path) -> Option<PathBuf> {
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        folders.into_iter().find(|folder| !self.may(ENTER, folder)).map(Path::to_owned)
    }

    /// What keeps them from making files in a folder, or from changing a file.
    pub fn kept_from_writing(&self, place: &Path) -> Option<PathBuf> {
        let real = fs::canonicalize(place).ok()?;
        let right = WRITE | if real.is_dir() { ENTER } else { READ };
        self.kept_out(&real).or_else(|| (!self.may(right, &real)).then_some(real))
    }
}

/// Rights beyond the mode (POSIX ACL).
fn has_list(path: &Path) -> bool {
    let mut list = [0_u8; 1024];
    match getxattr(path, "system.posix_acl_access", &mut list) {
        Ok(_) => true,
        Err(error) => error == Errno::RANGE,
    }
}

impl Loader {
    /// Reports each file that is named and that this user cannot read.
    pub(super) fn check_for(&mut self, user: &User) {
        let Some(path) = self.path.clone() else { return };
        if let Some((message, hint)) = told(user, &path) {
            self.reports.push(on_whole(Severity::Error, &path, &message, &hint));
        }
        let mapping = self.text("mapping.file").unwrap_or_else(|| "mapping.yaml".to_owned());
        let mapping = self.beside("mapping.file", &mapping);
        if let Some((message, hint)) = told(user, &mapping) {
            self.reports.push(on_whole(Severity::Error, &mapping, &message, &hint));
        }
        for (setting, file) in self.named_files() {
            if let Some((message, hint)) = told(user, &file) {
                // A drop-in of the unit may hand the file over, or add a group: it is not for certain.
                self.report(Severity::Warning, &setting, &message, &hint);
            }
        }
    }

    /// The files that hold secrets or certificates, by their settings.
    fn named_files(&self) -> Vec<(String, PathBuf)> {
        let mut files: Vec<(String, PathBuf)> = Vec::new();
        for key in keys() {
            let section = key.parts().0;
            for (name, _) in key.forms().into_iter().filter(|(name, _)| name.ends_with("_file")) {
                let setting = format!("{section}.{name}");
                if let Some(named) = self.effective(&setting) {
                    let file = self.beside(&setting, &named);
                    files.push((setting, file));
                }
            }
        }
        let tokens = self.value("auth.tokens");
        for (number, token) in tokens.iter().filter_map(Value::as_array).flatten().enumerate() {
            if let Some(named) = token.get("token_file").and_then(Value::as_str) {
                let setting = format!("auth.tokens[{number}].token_file");
                files.push((setting, self.beside("auth.tokens", named)));
            }
        }
        files
    }
}

/// What keeps the user from reading a file, and the remedy.
fn told(user: &User, file: &Path) -> Option<(String, String)> {
    let (file, obstacle) = (file.display(), user.kept_from(file)?);
    let at = obstacle.display();
    if obstacle.is_dir() {
        let message = format!("the user {NAME} cannot read `{file}`: they may not enter `{at}`");
        return Some((message, format!("chgrp {NAME} {at} && chmod g+x {at}, or put the file elsewhere")));
    }
    let message = format!("the user {NAME}, as whom the service runs, cannot read `{file}`");
    Some((message, format!("chgrp {NAME} {at} && chmod g+r {at}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_user_has_the_groups_that_both_files_tell() {
        let passwd = "root:x:0:0::/root:/bin/sh\nsvc:x:997:996::/:/bin/false\n";
        let group = "root:x:0:\nssl-cert:x:110:www,svc\nother:x:111:svcx\n";
        assert_eq!(User::named("svc", passwd, group), Some(User { id: 997, groups: vec![996, 110] }));
        assert_eq!(User::named("sv", passwd, group), None);
    }

    #[test]
    fn a_file_is_read_by_whom_its_mode_and_its_folders_let() {
        let place = std::env::temp_dir().join(format!("service-user-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (folder, file) = (place.join("in"), place.join("in/file"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "x").unwrap();
        let own = fs::metadata(&file).unwrap();
        let owner = User { id: own.uid(), groups: vec![own.gid()] };
        let member = User { id: own.uid() + 1, groups: vec![own.gid()] };
        let other = User { id: own.uid() + 1, groups: vec![own.gid() + 1] };
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&place, 0o755);
        for (folder_mode, file_mode, user, kept) in [
            (0o755, 0o644, &other, None),
            (0o750, 0o640, &member, None),
            (0o750, 0o600, &member, Some(&file)),
            (0o750, 0o644, &other, Some(&folder)),
            (0o711, 0o640, &other, Some(&file)),
            (0o700, 0o644, &member, Some(&folder)),
        ] {
            set(&folder, folder_mode);
            set(&file, file_mode);
            let kept = kept.map(|path| fs::canonicalize(path).unwrap());
            assert_eq!(user.kept_from(&file), kept, "{folder_mode:o} {file_mode:o} {user:?}");
        }
        let link = place.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(member.kept_from(&link).is_some_and(|at| at.ends_with("in")), "where it leads counts");
        assert_eq!(member.kept_from(&place.join("nothing")), None, "others tell that");
        set(&folder, 0o770);
        assert_eq!(member.kept_from_writing(&folder), None);
        set(&folder, 0o750);
        assert!(member.kept_from_writing(&folder).is_some());
        assert!(owner.kept_from_writing(&folder).is_none());
        fs::remove_dir_all(place).unwrap();
    }
}
