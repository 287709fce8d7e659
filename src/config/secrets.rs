//! Secrets and who else may see or change them: the API key, and the files of the service.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::Value;

use crate::config::file;
use crate::config::layer::{Layer, variable_name};
use crate::config::report::on_whole;
use crate::config::{DEFAULT_FILE, Loader, Report, Reported};
use crate::server::issuer_keys;
use crate::store::Location;
use crate::yaml::{Severity, looks_like_secret};
use crate::ziflow::origin::{self, Proxy, Trust, Way};

/// What is wrong, and what to do about it.
pub(super) type Wrong = (String, String);

const KEY: &str = "ziflow.api_key";
const KEY_FILE: &str = "ziflow.api_key_file";
const CA_FILE: &str = "ziflow.ca_file";
const CA_HINT: &str =
    "it must hold the certificates of the authorities that sign for Ziflow, one after the other";
const PROXY: &str = "ziflow.proxy";
const ISSUERS_PROXY: &str = "auth.jwks_proxy";
/// What the latter says where no proxy is wanted.
const DIRECT: &str = "direct";

impl Loader {
    /// The key with which the bridge speaks to Ziflow.
    pub(super) fn api_key(&mut self) -> Result<SecretString, Reported> {
        let Some((setting, key)) = self.secret(KEY) else {
            if !self.is_unread() {
                let set = format!("set {KEY_FILE}, or {}", variable_name(KEY));
                let hint = match &self.path {
                    Some(_) => set,
                    None => format!("{set}; no settings file is read, since {DEFAULT_FILE} is not there"),
                };
                self.report(Severity::Error, KEY, "the API key of a Ziflow admin is missing", &hint);
            }
            return Err(Reported);
        };
        let key = key.and_then(|key| if is_graphic(&key) { Ok(key) } else { wrong(NO_KEY, NO_KEY_HINT) });
        key.map(SecretString::from).map_err(|(message, hint)| {
            self.report(Severity::Error, &setting, &message, &hint);
            Reported
        })
    }

    /// The way to Ziflow: whom to trust, and the proxy, which may hold a password.
    pub(super) fn way(&mut self) -> Result<Way, Reported> {
        // The simulated Ziflow is this very machine.
        if self.is_trial {
            return Ok(Way::default());
        }
        let trust = self.file_text(CA_FILE).and_then(|text| match text {
            Some(pem) => Trust::only(&pem).map_err(|message| (message, CA_HINT.to_owned())),
            None => Ok(Trust::System),
        });
        let trust = trust.map_err(|wrong| self.wrong_at(CA_FILE, wrong));
        let given = self.secret(PROXY);
        let setting = given.as_ref().map_or(PROXY, |(setting, _)| setting.as_str()).to_owned();
        let proxy = given.map(|(setting, text)| self.proxy(&setting, text)).transpose();
        let way = Way { trust: trust?, proxy: proxy? };
        let base_url = self.text("ziflow.base_url").unwrap_or_default();
        if way.proxy.is_some() && origin::is_plain(&base_url) {
            let hint = "leave the proxy out: `ziflow.base_url` is this very machine";
            let message = "through a proxy, plain http would show it the API key".to_owned();
            return Err(self.wrong_at(&setting, (message, hint.to_owned())));
        }
        Ok(way)
    }

    /// The way to the keys of issuers: that to Ziflow, unless the settings say otherwise. Whoever may sign for Ziflow may
    /// sign here as well, beside those whom this machine trusts: they could take the API key, and nothing more is to be had.
    pub(super) fn way_to_issuers(&mut self, ziflow: &Way) -> Result<issuer_keys::Way, Reported> {
        let certificates = match &ziflow.trust {
            Trust::System => Vec::new(),
            Trust::Only(certificates) => certificates.clone(),
        };
        let (setting, proxy) = match self.secret(ISSUERS_PROXY) {
            None => (PROXY.to_owned(), ziflow.proxy.clone()),
            Some((setting, Ok(text))) if text == DIRECT => (setting, None),
            Some((setting, text)) => {
                let proxy = self.proxy(&setting, text)?;
                (setting, Some(proxy))
            }
        };
        let proxy = proxy.as_ref().map(Proxy::tunnel).transpose();
        let proxy = proxy.map_err(|message| self.wrong_at(&setting, (message, String::new())))?;
        Ok(issuer_keys::Way { proxy, certificates })
    }

    fn proxy(&mut self, setting: &str, text: Result<String, Wrong>) -> Result<Proxy, Reported> {
        let parse = |text: String| Proxy::parse(&text).map_err(|message| (message, String::new()));
        text.and_then(parse).map_err(|wrong| self.wrong_at(setting, wrong))
    }

    /// The text of a file that decides whom to believe, if one is named: only its owner may change it.
    fn file_text(&mut self, setting: &str) -> Result<Option<String>, Wrong> {
        let Some(name) = self.text(setting) else { return Ok(None) };
        let path = self.beside(setting, &name);
        let text = file::read(&path).map_err(|error| {
            let hint = "the user that the bridge runs as must be able to read it";
            (format!("`{}` cannot be read: {error}", path.display()), hint.to_owned())
        })?;
        if matches!(Access::of(&path), Access::Write) {
            let message = format!("everybody on this machine can change `{}`", path.display());
            self.report(Severity::Error, setting, &message, &format!("chmod o-w {}", path.display()));
        }
        Ok(Some(text))
    }

    fn wrong_at(&mut self, setting: &str, (message, hint): Wrong) -> Reported {
        self.report(Severity::Error, setting, &message, &hint);
        Reported
    }

    /// A value, or the text of the file that takes its place, to see whether it has changed.
    pub(super) fn value_or_text(&self, key: &str) -> Option<Value> {
        let text = |key: &str| {
            let name = self.effective(key)?;
            file::read(&self.beside(key, &name)).ok().map(|text| Value::from(text.trim()))
        };
        match key {
            CA_FILE => text(CA_FILE),
            PROXY | ISSUERS_PROXY => {
                self.effective(key).map(Value::from).or_else(|| text(&format!("{key}_file")))
            }
            _ => self.value(key),
        }
    }

    /// A secret by the setting that gives it, itself or by its file.
    pub(super) fn secret(&mut self, key: &str) -> Option<(String, Result<String, Wrong>)> {
        let file = format!("{key}_file");
        match (self.effective(key), self.effective(&file)) {
            (Some(secret), None) => Some((key.to_owned(), Ok(secret))),
            (None, Some(name)) => {
                let secret = self.secret_file(&file, &name);
                Some((file, secret))
            }
            (Some(_), Some(_)) => {
                let name = key.rsplit('.').next().unwrap_or_default();
                let message = format!("`{name}` and `{name}_file` are both given");
                Some((file, wrong(&message, "keep one of them")))
            }
            (None, None) => None,
        }
    }

    /// The file that it comes from, if it comes from one.
    pub(super) fn api_key_file(&self) -> Option<PathBuf> {
        self.effective(KEY_FILE).map(|name| self.beside(KEY_FILE, &name))
    }

    /// The settings decide who gets in: only their owner may change them.
    pub(super) fn check_settings_file(&mut self) {
        let Some(path) = self.path.clone() else { return };
        let inline = self.layers.get(1).and_then(inline_secret);
        match Access::of(&path) {
            Access::Write => self.reports.push(changeable(&path)),
            Access::Read => {
                if let Some(secret) = inline {
                    let message = format!(
                        "everybody on this machine can read the file, and it holds a secret, `{secret}`"
                    );
                    self.reports.push(on_file(Severity::Warning, &path, &message, "o-r"));
                }
            }
            Access::None => {}
        }
    }

    /// The mapping decides who may do what: it is a file of its own, and only its owner may change it.
    pub(super) fn check_mapping_file(&mut self, mapping: &Path) -> Result<(), Reported> {
        if self.path.as_deref() == Some(mapping) {
            let hint = "the mapping is a file of its own, `mapping.yaml` beside this one";
            self.report(
                Severity::Error,
                "mapping.file",
                "`mapping.file` names the settings file itself",
                hint,
            );
            return Err(Reported);
        }
        self.reports.extend(open_to_all(mapping));
        Ok(())
    }

    /// The store holds everybody whom Entra has written about: it is for the service alone, with what SQLite keeps beside it.
    pub(super) fn check_store_file(&mut self, store: &Location) {
        let Location::File(path) = store else { return };
        for ending in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            let file = Path::new(&name);
            let (severity, who) = match mode_of(file).map(|mode| mode & 0o077) {
                None | Some(0) => continue,
                Some(mode) if mode & 0o002 != 0 => (Severity::Error, "everybody on this machine can change"),
                Some(mode) if mode & 0o004 != 0 => (Severity::Warning, "everybody on this machine can read"),
                Some(_) => (Severity::Warning, "a group of users of this machine can use"),
            };
            let shown = file.display();
            let message = format!("{who} the store in `{shown}`, and it holds personal data");
            self.report(severity, "store.url", &message, &format!("chmod 600 {shown}"));
        }
    }

    /// The text of a file that holds a secret.
    pub(super) fn secret_file(&mut self, setting: &str, name: &str) -> Result<String, Wrong> {
        let path = self.beside(setting.split('[').next().unwrap_or_default(), name);
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| {
            if error.kind() == ErrorKind::NotFound && looks_like_secret(name) {
                let hint = "this looks like the secret itself: put it into a file and name that here";
                return ("there is no such file".to_owned(), hint.to_owned());
            }
            let hint = match error.kind() {
                ErrorKind::NotFound => {
                    "name a file that is there; a relative path begins at the settings file"
                }
                _ => "the user that the bridge runs as must be able to read it",
            };
            (format!("`{shown}` cannot be read: {error}"), hint.to_owned())
        })?;
        let secret = text.trim();
        if secret.is_empty() {
            return wrong(&format!("`{shown}` is empty"), "it must hold the secret and nothing else");
        }
        match Access::of(&path) {
            Access::Write => {
                let message = format!("everybody on this machine can change `{shown}`");
                self.report(Severity::Error, setting, &message, &format!("chmod o-rw {shown}"));
            }
            Access::Read => {
                let message = format!("everybody on this machine can read the secret in `{shown}`");
                self.report(Severity::Warning, setting, &message, &format!("chmod o-r {shown}"));
            }
            Access::None => {}
        }
        if group_may_change(&path) {
            let message = format!("everybody in the group of `{shown}` can change it");
            self.report(Severity::Warning, setting, &message, &format!("chmod g-w {shown}"));
        }
        Ok(secret.to_owned())
    }
}

/// The key in a file that has been found right before, if it still holds one. A file that everybody may change is not
/// believed.
pub fn read_api_key(path: &Path) -> Option<SecretString> {
    let text = fs::read_to_string(path).ok().filter(|_| !matches!(Access::of(path), Access::Write))?;
    Some(text.trim()).filter(|key| is_graphic(key)).map(|key| key.to_owned().into())
}

/// What is wrong with a mapping that everybody on this machine may change.
pub(super) fn open_to_all(mapping: &Path) -> Option<Report> {
    matches!(Access::of(mapping), Access::Write).then(|| changeable(mapping))
}

fn changeable(path: &Path) -> Report {
    let message = "everybody on this machine can change the file, and with it who gets into Ziflow";
    on_file(Severity::Error, path, message, "o-w")
}

pub(super) fn on_file(severity: Severity, path: &Path, message: &str, mode: &str) -> Report {
    on_whole(severity, path, message, &format!("chmod {mode} {}", path.display()))
}

const NO_KEY: &str = "the API key is empty or holds characters that no key has";
const NO_KEY_HINT: &str = "copy it from the admin's profile in Ziflow, without blanks";

pub(super) fn wrong<T>(message: &str, hint: &str) -> Result<T, Wrong> {
    Err((message.to_owned(), hint.to_owned()))
}

/// What a header can carry.
pub(super) fn is_graphic(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first key of a settings file that holds a secret itself.
fn inline_secret(file: &Layer) -> Option<&'static str> {
    let tokens = file.values.get("auth.tokens").and_then(|(tokens, _)| tokens.as_array());
    let holds_password = |key: &str| {
        file.values.get(key).and_then(|(proxy, _)| proxy.as_str()).is_some_and(|url| url.contains('@'))
    };
    if file.values.contains_key(KEY) {
        Some("api_key")
    } else if file.values.contains_key("admin.token") {
        Some("admin.token")
    } else if holds_password(PROXY) {
        Some("proxy")
    } else if holds_password(ISSUERS_PROXY) {
        Some("jwks_proxy")
    } else if file.values.contains_key("auth.signing_key") {
        Some("signing_key")
    } else {
        tokens.into_iter().flatten().any(|token| token.get("token").is_some()).then_some("token")
    }
}

/// What everybody on this machine may do with a file.
pub(super) enum Access {
    Write,
    Read,
    None,
}

impl Access {
    /// Pipes and devices, in which secrets are handed over as well, have no owner of their own.
    pub(super) fn of(path: &Path) -> Self {
        match mode_of(path) {
            Some(mode) if mode & 0o002 != 0 => Self::Write,
            Some(mode) if mode & 0o004 != 0 => Self::Read,
            _ => Self::None,
        }
    }
}

/// The group may read a secret, which is how the service does; nothing needs it to write.
pub(super) fn group_may_change(path: &Path) -> bool {
    mode_of(path).is_some_and(|mode| mode & 0o020 != 0)
}

/// None for what is no file, or not to be seen.
fn mode_of(path: &Path) -> Option<u32> {
    let file = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    file.map(|file| file.permissions().mode())
}
