//! Settings: the embedded defaults, then `bridge.yaml`, then `BRIDGE_SECTION__KEY` variables, then the files
//! that hold secrets. Everything wrong is reported at once, and nothing is accepted that is not honoured.

mod admin;
mod audit;
mod clients;
pub mod file;
mod fixed;
mod keys;
mod layer;
mod mapping;
mod networks;
mod report;
pub mod schema;
mod secrets;
pub mod service_user;
pub mod tls;
mod tokens;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use figment::Figment;
use figment::providers::Serialized;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bridge::in_force::InForce;
pub use crate::config::fixed::Fixed;
use crate::config::layer::{Layer, Origin};
pub use crate::config::mapping::load_mapping;
pub use crate::config::report::Report;
use crate::config::report::unreadable;
pub use crate::config::secrets::read_api_key;
use crate::config::service_user::User;
use crate::mask::Values;
use crate::server::callers::Callers;
use crate::server::issuer_keys;
use crate::server::listen::Listen;
use crate::server::tls::Tls;
use crate::store::Location;
use crate::yaml::{Problem, Severity};
use crate::{bridge, server, telemetry, ziflow};

/// The defaults, which are also the documentation an operator copies.
pub const BRIDGE_YAML: &str = include_str!("../../config/bridge.yaml");

/// The mapping for those who use no settings file.
pub const MAPPING_YAML: &str = include_str!("../../config/mapping.yaml");

/// Where `serve` looks when it is told nothing.
pub const DEFAULT_FILE: &str = "/etc/ziflow-scim-bridge/bridge.yaml";

/// Everything the process needs to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: server::Settings,
    /// Where the certificate and its key come from, if there is TLS, and the digest of both.
    pub tls_files: Option<(tls::Files, String)>,
    pub admin: server::admin::Settings,
    pub callers: Callers,
    pub auth: server::auth::Settings,
    /// How the keys of those who sign tokens are fetched.
    pub jwks: issuer_keys::Settings,
    pub connection: ziflow::transport::Settings,
    /// The file that the API key comes from, if it comes from one.
    pub api_key_file: Option<PathBuf>,
    pub client: ziflow::client::Settings,
    pub pace: ziflow::rate_limit::Settings,
    pub directory: ziflow::directory::Settings,
    pub store: Location,
    pub policy: bridge::Policy,
    pub bridge: bridge::Settings,
    pub audit: bridge::audit::Settings,
    pub mapping: InForce,
    /// The mapping's file, if it is to be reloaded whenever it changes.
    pub watched: Option<PathBuf>,
    /// What of all this cannot be changed without a restart.
    pub fixed: Fixed,
    pub log: telemetry::Settings,
    /// What an operator should know though it stops nothing.
    pub warnings: Vec<Report>,
}

/// Loads settings and mapping. `file` is none when only variables are used.
pub fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Vec<Report>> {
    Loader::read(file, variables).finish(Report::is_error)
}

/// Only where the store is, and how many people an hour may lose their access: what an operator needs in a hurry must not
/// depend on a mapping or a secret.
pub fn load_brake(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(Location, u32), Vec<Report>> {
    const MOST: &str = "policy.max_deactivations_per_hour";
    let mut loader = Loader::read(file, variables);
    let store = loader.parsed("store.url", Location::parse);
    let most = loader.value(MOST).and_then(|most| u32::try_from(most.as_u64()?).ok());
    let concerns = |report: &Report| {
        let key = report.problem.key.to_lowercase().replace("__", ".");
        key.is_empty() || key.ends_with("store.url") || key.ends_with(MOST)
    };
    let errors: Vec<_> = loader.reports.into_iter().filter(Report::is_error).filter(concerns).collect();
    match (store, most) {
        (Ok(store), Some(most)) if errors.is_empty() => Ok((store, most)),
        _ => Err(errors),
    }
}

/// The same for trying things out: an example that does not hold is told and stops nothing, and nobody comes from outside,
/// so that no certificate is needed.
pub fn load_for_trial(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Vec<Report>> {
    let loader = Loader { is_trial: true, ..Loader::read(file, variables) };
    loader.finish(|report| report.is_error() && !report.is_of_example())
}

/// What the user of the service cannot read of the files.
pub fn unreadable_to(
    user: &User,
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Vec<Report> {
    let mut loader = Loader::read(file, variables);
    loader.reports.clear();
    loader.check_for(user);
    loader.reports
}

/// The first token that the settings hold in plain. The service keeps digests only; this is for those who want to speak
/// to it as Entra does.
pub fn plain_token(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Option<SecretString> {
    Loader::read(file, variables).plain_token()
}

/// Something is wrong, and what it is stands in the reports.
struct Reported;

/// The layers on top of each other, and what is wrong with them.
struct Loader {
    /// The settings file, if one is used, and its text.
    path: Option<PathBuf>,
    text: Arc<str>,
    /// In order of precedence, the last one wins.
    layers: [Layer; 3],
    figment: Figment,
    reports: Vec<Report>,
    /// Things are tried out, and nobody is served.
    is_trial: bool,
}

impl Loader {
    fn finish(mut self, is_fatal: impl Fn(&Report) -> bool) -> Result<Settings, Vec<Report>> {
        let settings = self.settings();
        let (errors, warnings) = self.reports.into_iter().partition::<Vec<_>, _>(is_fatal);
        match settings {
            Ok(settings) if errors.is_empty() => Ok(Settings { warnings, ..settings }),
            _ => Err(errors.into_iter().chain(warnings).collect()),
        }
    }

    fn read(file: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut reports = Vec::new();
        let mut read =
            |path: &Path| file::read(path).map_err(|error| reports.push(unreadable(path, &error, "")));
        let text = file.and_then(|path| read(path).ok());
        let defaults = Layer::from_file("config/bridge.yaml", BRIDGE_YAML, &mut reports);
        let from_file = match (file, &text) {
            (Some(path), Some(text)) => Layer::from_file(&path.display().to_string(), text, &mut reports),
            (file, _) => Layer::unread(file.is_some()),
        };
        let text = text.unwrap_or_default();
        let from_variables = Layer::from_environment(variables, &mut reports);
        let layers = [defaults, from_file, from_variables];
        let figment = layers
            .iter()
            .fold(Figment::new(), |figment, layer| figment.merge(Serialized::defaults(layer.to_json())));
        Self { path: file.map(Path::to_owned), text: text.into(), layers, figment, reports, is_trial: false }
    }

    /// Everything is read before the first failure is passed on, so that all problems are reported.
    fn settings(&mut self) -> Result<Settings, Reported> {
        self.check_policy();
        let store = self.parsed("store.url", Location::parse);
        if let Ok(store) = &store {
            self.check_store_file(store);
        }
        let server = self.server();
        let api_key = self.api_key();
        let callers = self.callers(api_key.as_ref().ok());
        let own_tls = server.as_ref().ok().and_then(|(server, _)| server.tls.clone());
        let admin = self.admin(api_key.as_ref().ok(), callers.as_ref(), own_tls);
        self.check_settings_file();
        let base_url = self.parsed("ziflow.base_url", ziflow::origin::check_base_url);
        let way = self.way();
        let to_issuers = way.as_ref().ok().cloned().map(|way| self.way_to_issuers(&way)).transpose();
        let audit = self.audit();
        let mapping = self.mapping();
        let mut bridge: bridge::Settings = self.section("ziflow")?;
        let most = self.value("server.max_group_members").and_then(|most| most.as_u64());
        bridge.max_group_members = most.and_then(|most| most.try_into().ok()).unwrap_or(u32::MAX);
        let told = |report: &Report| report.problem.key.to_lowercase().contains("key_user");
        if bridge.key_user_email.is_none() && !self.is_unread() && !self.reports.iter().any(told) {
            self.warn_of_key_user();
        }
        base_url?;
        let api_key = api_key?;
        let way = way?;
        let log: telemetry::Settings = self.section("log")?;
        let values = if log.personal_data { Values::Shown } else { Values::Hidden };
        let (mapping, watched) = mapping?;
        let (server, tls_files) = server?;
        // Who has to mend something else first is not to be led away from it.
        if callers.is_none() && !self.is_trial && !self.reports.iter().any(Report::is_error) {
            self.warn_of_api_key();
        }
        Ok(Settings {
            server,
            tls_files,
            admin: admin?,
            auth: self.section("auth")?,
            jwks: issuer_keys::Settings { way: to_issuers?.unwrap_or_default(), ..self.section("auth")? },
            callers: callers.unwrap_or_else(|| Callers::of_api_key(&api_key)),
            connection: ziflow::transport::Settings { api_key, way, values, ..self.section("ziflow")? },
            api_key_file: self.api_key_file(),
            client: self.section("ziflow")?,
            pace: self.section("rate_limit")?,
            directory: self.section("ziflow")?,
            store: store?,
            policy: self.section("policy")?,
            bridge,
            audit: audit?,
            mapping,
            watched,
            fixed: Fixed::read(|key| self.value_or_text(key)),
            log,
            warnings: Vec::new(),
        })
    }

    /// A room's own settings. Each key has been checked before, so a failure beside a reported one is its
    /// consequence, and a failure without one a mistake of ours.
    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Reported> {
        self.figment.extract_inner(name).map_err(|error| {
            if !self.reports.iter().any(Report::is_error) {
                self.report(Severity::Error, name, &error.to_string(), "");
            }
            Reported
        })
    }

    fn server(&mut self) -> Result<(server::Settings, Option<(tls::Files, String)>), Reported> {
        let listen = self.parsed("server.listen", Listen::parse);
        let base_path = self.parsed("server.base_path", base_path);
        let public_url = match self.text("server.public_url") {
            Some(_) => self.parsed("server.public_url", public_url).map(Some),
            None => Ok(None),
        };
        if let (Ok(Some(url)), Ok(base_path)) = (&public_url, &base_path) {
            self.check_public_url(url, base_path);
        }
        let tls = self.tls(public_url.as_ref().ok().and_then(Option::as_deref));
        let networks = self.networks();
        let limits: server::Limits = self.section("server")?;
        let kept: ziflow::directory::Settings = self.section("ziflow")?;
        let patience = self.value("server.tls.handshake_timeout_secs").and_then(|value| value.as_u64());
        let patience = Duration::from_secs(patience.unwrap_or_default());
        let (tls, files) = match tls? {
            Some((files, identity, digest)) => {
                (Some(Arc::new(Tls::new(identity, patience))), Some((files, digest)))
            }
            None => (None, None),
        };
        let settings = server::Settings {
            listen: listen?,
            plain_http_behind_proxy: self.value("server.plain_http_behind_proxy") == Some(Value::Bool(true)),
            tls,
            networks: networks?,
            base_path: base_path?,
            public_url: public_url?,
            cursor_timeout_secs: kept.directory_ttl_secs,
            limits,
        };
        self.check_who_comes(&settings);
        let address = settings.listen.address().filter(|_| !self.is_trial);
        if let Err((message, hint)) = address.map_or(Ok(()), |at| settings.may_listen_on(at)) {
            self.report(Severity::Error, "server.listen", &message, hint);
        } else if settings.public_url.is_none() && !self.is_unread() {
            self.warn_of_public_url(&settings);
        }
        Ok((settings, files))
    }

    /// Whoever comes by a proxy on this machine comes from this machine, unless the proxy is believed.
    fn check_who_comes(&mut self, settings: &server::Settings) {
        let networks = &settings.networks;
        let here = settings.listen.address().map(|at| at.ip()).filter(IpAddr::is_loopback);
        let Some(here) = here.filter(|_| !networks.allowed.is_empty() && networks.proxies.is_empty()) else {
            return;
        };
        if !networks.allowed.iter().any(|network| network.contains(&here)) {
            self.report(
                Severity::Warning,
                "server.allow_networks",
                &format!("whoever reaches `{here}` comes from this machine, which is not among them: nobody is let in"),
                &format!("name the proxy on this machine in server.trusted_proxies: [{here}]"),
            );
        }
    }

    /// Entra's field Tenant URL holds both, and only the beginning of it belongs here.
    fn check_public_url(&mut self, url: &str, base_path: &str) {
        const URL: &str = "server.public_url";
        if !base_path.is_empty() && url.trim_end_matches('/').ends_with(base_path) {
            let message = format!("`{url}` ends in server.base_path, which the bridge adds by itself");
            self.report(Severity::Error, URL, &message, &format!("leave `{base_path}` out at its end"));
        }
        let host = url.strip_prefix("http://").unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        let is_here = host.parse::<SocketAddr>().is_ok_and(|at| at.ip().is_loopback())
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            || host.split(':').next() == Some("localhost");
        if !host.is_empty() && !is_here {
            let message = format!("`{url}` is plain http, by which Entra asks nobody");
            self.report(Severity::Warning, URL, &message, "begin it with https://");
        }
    }

    /// Who is reached from elsewhere is hardly ever reached by the address at which they listen.
    fn warn_of_public_url(&mut self, settings: &server::Settings) {
        let is_open = |at: SocketAddr| !at.ip().is_loopback();
        let listen = settings.listen.address();
        if listen.is_some_and(is_open) || settings.plain_http_behind_proxy || settings.tls.is_some() {
            let at = listen.map_or_else(|| "the address of the socket".to_owned(), |at| format!("`{at}`"));
            self.report(
                Severity::Warning,
                "server.public_url",
                &format!("the name by which Entra reaches the bridge is not known, so it says of people that they are at {at}"),
                "set it to the beginning of the Tenant URL, such as https://scim.example.com",
            );
        }
    }

    /// It works at once, and nobody should be surprised by it.
    fn warn_of_api_key(&mut self) {
        self.report(
            Severity::Warning,
            "auth",
            "nobody is configured under it, so the Ziflow API key itself is the token that Entra shows: whoever reads it is an \
             admin in Ziflow",
            "make a token with `ziflow-scim-bridge token new`",
        );
    }

    fn warn_of_key_user(&mut self) {
        self.report(
            Severity::Warning,
            "ziflow.key_user_email",
            "the owner of the API key is not known, so Entra could disable them and lock the bridge out",
            "set it to the e-mail address of the person whose API key the bridge uses",
        );
    }

    fn check_policy(&mut self) {
        let deletes = self.text("policy.on_delete").as_deref() == Some("delete");
        let without = self.value("policy.delete_without_new_owner") == Some(Value::Bool(true));
        if deletes && !without && self.text("policy.new_owner_id").is_none() {
            self.report(
                Severity::Error,
                "policy.on_delete",
                "`delete` removes people for good, and nobody is named who receives their proofs",
                "set policy.new_owner_id to the Ziflow user id of the person who shall, or \
                 policy.delete_without_new_owner: true",
            );
        }
    }

    /// A path that the settings file names is relative to it, a path in a variable to where the process runs.
    fn beside(&self, key: &str, name: &str) -> PathBuf {
        let by_variable = matches!(self.origin(key), Some(Origin::Variable(_)));
        match self.path.as_ref().filter(|_| !by_variable).and_then(|path| path.parent()) {
            Some(folder) => folder.join(name),
            None => PathBuf::from(name),
        }
    }

    /// Reads a text setting, reporting what is wrong with it.
    fn parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Reported> {
        parse(&self.text(key).unwrap_or_default()).map_err(|message| {
            self.report(Severity::Error, key, &message, "");
            Reported
        })
    }

    fn value(&self, key: &str) -> Option<Value> {
        let layers = self.layers.iter().rev();
        layers.filter_map(|layer| layer.values.get(key)).map(|(value, _)| value.clone()).next()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).and_then(|value| value.as_str().map(str::to_owned))
    }

    /// A secret or its file, unless a later layer gives the other form of it.
    fn effective(&self, key: &str) -> Option<String> {
        for layer in self.layers.iter().rev() {
            if let Some((value, _)) = layer.values.get(key) {
                return value.as_str().map(str::to_owned);
            }
            if layer.hides(key) {
                return None;
            }
        }
        None
    }

    /// Whether nothing is known about what the settings file says.
    fn is_unread(&self) -> bool {
        self.layers.iter().any(|layer| layer.is_unread)
    }

    fn origin(&self, key: &str) -> Option<&Origin> {
        self.layers.iter().rev().find_map(|layer| Some(&layer.values.get(key)?.1))
    }

    /// Reports something about a setting where the setting was given.
    fn report(&mut self, severity: Severity, key: &str, message: &str, hint: &str) {
        let default = self.layers.first().is_some_and(|layer| layer.values.contains_key(key));
        let given = self.layers.iter().skip(1).rev().find_map(|layer| layer.origin(key));
        let (at, key, file) = match (&given, &self.path) {
            (Some(Origin::Variable(variable)), _) => (None, variable.as_str(), "environment".to_owned()),
            (Some(Origin::File(at)), Some(path)) => (Some(*at), key, path.display().to_string()),
            (None, Some(path)) if !default => (None, key, path.display().to_string()),
            _ => (None, key, "settings".to_owned()),
        };
        let text = if at.is_some() { Arc::clone(&self.text) } else { Arc::default() };
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let (key, message) = (key.to_owned(), message.to_owned());
        let problem = Problem { severity, at, key, message, hint, differences: Vec::new() };
        self.reports.push(Report { file, text, problem });
    }
}

fn base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    if (path.is_empty() || path.starts_with('/')) && path.chars().all(plain) && !path.contains("//") {
        Ok(path.to_owned())
    } else {
        Err(format!("`{text}` is no path such as /scim/v2"))
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', '@', ' ']) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no address such as https://scim.example.com")),
    }
}
