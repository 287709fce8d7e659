//! Reloading: settings, mapping and secrets are read anew, and put in force all together or not at all.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::signal::unix::Signal;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::bridge::Bridge;
use crate::bridge::in_force::InForce;
use crate::bridge::pulse::Pulse;
use crate::cli::certificate::Renewal;
use crate::cli::systemd::Systemd;
use crate::cli::watch::{Watch, sight};
use crate::cli::{environment, serve};
use crate::config::{self, Fixed, Report, Settings, tls};
use crate::server::admin::access::{Access, Gate};
use crate::server::auth::{self, Door};
use crate::server::callers::Callers;
use crate::server::networks::Networks;
use crate::server::reloads::{Reloads, Scope};
use crate::server::tls::Identity;
use crate::yaml::{Problem, Severity};
use crate::ziflow::transport::ApiKey;

/// How long reading the files may take: a file system that hangs must not end reloading without a word.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a watched file is looked at, and the key's while another key is needed.
const WATCH: Duration = Duration::from_secs(2);

/// A start with such tokens shuts nobody out who was served a moment ago; a reload would.
const LOCKED_OUT: &str = "every token in it has expired, and those in force have not: nobody could speak to the bridge any \
                          more";
/// The same without any entry: Entra would be refused, and whoever reads its token would be an admin in Ziflow.
const NOBODY: &str = "nobody is configured in it any more, so the Ziflow API key would be the token in place of those in force";
const KEEP_ONE: &str =
    "keep one of its entries; if the API key is to be Entra's Secret Token, restart the bridge";
const NEW_TOKEN: &str = "make a token with `ziflow-scim-bridge token new`, or correct `expires`";

/// Who asks for a reload, for the audit log: whoever sends a signal, or a file that has changed.
const OPERATOR: &str = "operator";
const WATCHER: &str = "mapping.watch";
const CERTIFICATE: &str = "certificate";

/// What a reload changes, and what it compares with.
#[derive(Debug)]
pub(super) struct Reloader {
    /// The settings file that the process began with.
    file: Option<PathBuf>,
    fixed: Fixed,
    api_key: SecretString,
    api_key_file: Option<PathBuf>,
    /// A key that could not be taken over, so that this is told once.
    passed_over: Option<SecretString>,
    key_user: Option<String>,
    watch: Option<Watch>,
    /// None without TLS.
    renewal: Option<Renewal>,
    bridge: Arc<Bridge>,
    door: Arc<Door>,
    gate: Arc<Gate>,
    reloads: Arc<Reloads>,
    systemd: Arc<Systemd>,
    pulse: Arc<Pulse>,
}

/// Everything that can fail has been done: this can be put in force.
struct Prepared {
    mapping: InForce,
    watched: Option<PathBuf>,
    callers: Callers,
    auth: auth::Settings,
    access: Access,
    networks: Networks,
    /// With the form that headers carry, if it is another key.
    api_key: Option<(SecretString, ApiKey)>,
    api_key_file: Option<PathBuf>,
    key_user: Option<String>,
    certificate: Option<(tls::Files, String, Arc<Identity>)>,
    need_restart: Vec<&'static str>,
    warnings: Vec<Report>,
}

impl Reloader {
    pub(super) fn new(
        file: Option<PathBuf>,
        settings: &Settings,
        bridge: Arc<Bridge>,
        gate: Arc<Gate>,
        reloads: Arc<Reloads>,
        systemd: Arc<Systemd>,
    ) -> Self {
        let digest = &settings.mapping.digest;
        Self {
            file,
            fixed: settings.fixed.clone(),
            api_key: settings.connection.api_key.clone(),
            api_key_file: settings.api_key_file.clone(),
            passed_over: None,
            key_user: settings.bridge.key_user_email.clone(),
            watch: settings.watched.clone().map(|path| Watch::new(path, digest)),
            renewal: renewal(settings),
            bridge,
            door: Arc::clone(gate.door()),
            gate,
            reloads,
            systemd,
            pulse: Arc::new(Pulse::new("looking for changed files", PATIENCE * 5)),
        }
    }

    /// Whether reloads are still listened for.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Reloads one time after the other, for each SIGHUP and when a watched mapping or the certificate changes, until
    /// `shutdown`. What is stopped in the middle has changed nothing yet.
    pub(super) async fn run(mut self, hangup: Signal, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = self.work(hangup) => {}
            () = shutdown => {}
        }
    }

    async fn work(&mut self, mut hangup: Signal) {
        loop {
            self.pulse.beat();
            tokio::select! {
                _ = hangup.recv() => {
                    self.systemd.reloading();
                    self.reload(OPERATOR).await;
                    self.systemd.ready().await;
                }
                () = sleep(WATCH) => {
                    self.look().await;
                    self.look_for_certificate().await;
                    self.look_for_key().await;
                }
            }
        }
    }

    /// Everything, from where it came at the start.
    async fn reload(&mut self, by: &'static str) {
        let file = self.file.clone();
        let loaded = aside(move || config::load(file.as_deref(), environment())).await;
        let prepared = loaded.unwrap_or_else(|| Err(vec![broken()]));
        match prepared.and_then(|settings| self.prepare(settings)) {
            Ok(prepared) => self.put(prepared, by),
            Err(reports) => self.refuse(Scope::Everything, &reports, by),
        }
    }

    /// The mapping alone, once it has become another one for good.
    async fn look(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let path = watch.path().to_owned();
        let text = aside(move || config::file::read(&path)).await;
        let text = text.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()));
        if !watch.notices(sight(&text)) {
            return;
        }
        let path = watch.path().to_owned();
        let loaded = aside(move || config::load_mapping(&path, text)).await;
        match loaded.unwrap_or_else(|| Err(vec![broken()])) {
            // What was refused as a whole may have failed by this mapping alone.
            Ok(_) if self.reloads.refused_as_a_whole() => self.reload(WATCHER).await,
            Ok((mapping, warnings)) => {
                tell(&warnings);
                self.done(
                    Scope::Mapping,
                    &self.put_mapping(mapping).into_iter().collect::<Vec<_>>(),
                    WATCHER,
                );
            }
            Err(reports) => self.refuse(Scope::Mapping, &reports, WATCHER),
        }
    }

    /// A certificate is renewed every few weeks by a tool that knows no bridge.
    async fn look_for_certificate(&mut self) {
        let Some(renewal) = &mut self.renewal else { return };
        // What was refused as a whole may have failed by the certificate alone.
        if renewal.look().await && self.reloads.refused_as_a_whole() {
            self.reload(CERTIFICATE).await;
        }
    }

    /// Another key in the file heals what a refused one has stopped, without anybody who asks for a reload. It is taken
    /// over with its owner, and where it is the token as well, the old one opens nothing any more; nothing else is.
    async fn look_for_key(&mut self) {
        let Some(path) = self.api_key_file.clone().filter(|_| self.bridge.needs_another_key()) else {
            return;
        };
        let Some(key) = aside(move || config::read_api_key(&path)).await.flatten() else { return };
        let known = [Some(&self.api_key), self.passed_over.as_ref()];
        if known.iter().flatten().any(|known| known.expose_secret() == key.expose_secret()) {
            return;
        }
        // It may belong to settings that are not in force: those are looked at as for a reload.
        let file = self.file.clone();
        let loaded = aside(move || config::load(file.as_deref(), environment())).await;
        match loaded.unwrap_or_else(|| Err(vec![broken()])).and_then(|settings| self.prepare(settings)) {
            Ok(prepared) => {
                if self.door.tokens().are_the_api_key() {
                    drop(self.door.put(prepared.callers));
                }
                drop(self.put_key_user(prepared.key_user));
                drop(self.put_key(prepared.api_key));
                info!("the API key is another one now: its file has changed");
                self.record(json!({"by": "key-file", "outcome": "done", "changed": ["API key"]}));
            }
            Err(reports) => {
                error!(
                    "the API key's file has changed, and its key cannot be taken over: reload when this is mended"
                );
                tell(&reports);
                self.passed_over = Some(key);
            }
        }
    }

    fn prepare(&self, settings: Settings) -> Result<Prepared, Vec<Report>> {
        let mut need_restart = self.fixed.changed(&settings.fixed);
        if self.renewal.is_some() != settings.tls_files.is_some() {
            need_restart.push("server.tls.certificate_file");
        }
        let identity = settings.server.tls.map(|tls| tls.identity());
        let key = settings.connection.api_key;
        let is_new = key.expose_secret() != self.api_key.expose_secret();
        if is_new && need_restart.contains(&"ziflow.base_url") {
            let message = "it changes together with the API key, and a running bridge cannot change it";
            // It would send the new key to the old address.
            return Err(vec![self.problem_of_settings("ziflow.base_url", message, "restart the bridge")]);
        }
        if self.gate.is_in_the_open() && settings.admin.access.token.is_none() {
            return Err(vec![self.restart_first("admin.listen")]);
        }
        // A mapping may rely on them: without its brakes it must not be in force.
        let safety: Vec<_> = need_restart.iter().filter(|key| decides_about_access(key)).collect();
        if !safety.is_empty() {
            return Err(safety.into_iter().map(|key| self.restart_first(key)).collect());
        }
        let now = Timestamp::now();
        if settings.callers.let_nobody_in(now) && !self.door.lets_nobody_in(now) {
            return Err(vec![self.problem_of_settings("auth.tokens", LOCKED_OUT, NEW_TOKEN)]);
        }
        if settings.callers.tokens.are_the_api_key() && !self.door.tokens().are_the_api_key() {
            return Err(vec![self.problem_of_settings("auth", NOBODY, KEEP_ONE)]);
        }
        let header = ApiKey::new(&key).map_err(|message| vec![problem("ziflow.api_key", &message, "")])?;
        Ok(Prepared {
            mapping: settings.mapping,
            watched: settings.watched,
            callers: settings.callers,
            auth: settings.auth,
            access: settings.admin.access,
            networks: settings.server.networks,
            api_key: is_new.then_some((key, header)),
            api_key_file: settings.api_key_file,
            key_user: settings.bridge.key_user_email,
            certificate: settings.tls_files.zip(identity).map(|((files, digest), it)| (files, digest, it)),
            need_restart,
            warnings: settings.warnings,
        })
    }

    fn restart_first(&self, key: &str) -> Report {
        let message =
            "it has changed, and a running bridge cannot take it over, so nothing else is taken over either";
        self.problem_of_settings(key, message, "restart the bridge")
    }

    fn problem_of_settings(&self, key: &str, message: &str, hint: &str) -> Report {
        let report = problem(key, message, hint);
        Report { file: self.file.as_ref().map_or(report.file, |file| file.display().to_string()), ..report }
    }

    fn put(&mut self, prepared: Prepared, by: &'static str) {
        tell(&prepared.warnings);
        self.watch = prepared.watched.map(|path| Watch::new(path, &prepared.mapping.digest));
        let mut changed = Vec::new();
        changed.extend(self.put_mapping(prepared.mapping));
        changed.extend(self.door.put(prepared.callers));
        if self.door.put_settings(prepared.auth) {
            changed.push("auth.max_failures_per_minute".to_owned());
        }
        changed.extend(self.door.border().put(prepared.networks).into_iter().map(str::to_owned));
        changed.extend(self.gate.put(prepared.access).into_iter().map(str::to_owned));
        // Who owns the new key is protected before it is used.
        changed.extend(self.put_key_user(prepared.key_user));
        changed.extend(self.put_key(prepared.api_key));
        self.api_key_file = prepared.api_key_file;
        if let (Some(renewal), Some((files, digest, identity))) = (&mut self.renewal, prepared.certificate) {
            changed.extend(renewal.put(files, &digest, identity));
        }
        if !prepared.need_restart.is_empty() {
            let settings = prepared.need_restart.join(", ");
            warn!(settings, "changed settings need a restart; until then they stay as they were");
        }
        self.done(Scope::Everything, &changed, by);
    }

    fn put_mapping(&self, mapping: InForce) -> Option<String> {
        if self.bridge.mapping_in_force().is(&mapping) {
            return None;
        }
        let changed = format!("mapping ({}, version {})", mapping.file, mapping.digest);
        self.bridge.put_mapping(mapping);
        Some(changed)
    }

    fn put_key_user(&mut self, email: Option<String>) -> Option<String> {
        if email == self.key_user {
            return None;
        }
        self.key_user.clone_from(&email);
        self.bridge.put_key_user(email);
        Some("ziflow.key_user_email".to_owned())
    }

    fn put_key(&mut self, key: Option<(SecretString, ApiKey)>) -> Option<String> {
        let (key, header) = key?;
        self.api_key = key;
        self.bridge.put_key(header);
        let bridge = Arc::clone(&self.bridge);
        // A key of another account is told in the log and in readiness; until there is a right one, nobody is served.
        drop(tokio::spawn(async move { drop(serve::first_look(&bridge).await) }));
        Some("API key".to_owned())
    }

    fn done(&self, scope: Scope, changed: &[String], by: &str) {
        self.reloads.succeed(scope);
        self.record(json!({"by": by, "outcome": "done", "changed": changed}));
        let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join("; ") };
        info!(changed, "reloaded");
    }

    /// The audit log has every reload, with the mapping that is in force after it.
    fn record(&self, members: Value) {
        let mapping = self.bridge.mapping_in_force();
        let in_force = json!({"mapping": {"file": mapping.file, "version": mapping.digest}});
        self.bridge.audit().note("reload", [members, in_force]);
    }

    fn refuse(&self, scope: Scope, reports: &[Report], by: &str) {
        let errors: Vec<_> = reports.iter().filter(|report| report.is_error()).map(in_short).collect();
        self.record(json!({"by": by, "outcome": "refused", "problems": errors.len()}));
        self.reloads.refuse(scope, &errors);
        let mapping = self.bridge.mapping_in_force();
        error!(
            mapping = mapping.file,
            version = mapping.digest,
            since = mapping.since,
            problems = errors.len(),
            "the reload is refused, and everything stays as it was"
        );
        tell(reports);
    }
}

fn renewal(settings: &Settings) -> Option<Renewal> {
    let (files, digest) = settings.tls_files.as_ref()?;
    Some(Renewal::new(Arc::clone(settings.server.tls.as_ref()?), files.clone(), digest))
}

/// Puts problems into the log, one line each.
pub(super) fn tell(reports: &[Report]) {
    for Report { file, problem, .. } in reports {
        let (line, hint) = (problem.at.map(|at| at.line), problem.hint.as_deref());
        warn!(file, line, key = problem.key, hint, "{}", message(problem));
    }
}

/// A problem in one line, for readiness and for `doctor`.
pub(super) fn in_short(Report { file, problem, .. }: &Report) -> String {
    let line = problem.at.map_or_else(String::new, |at| format!(":{}", at.line));
    let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{file}{line}: {key}{}{hint}", message(problem))
}

/// An example that does not hold names its fields here; `check` shows their values, which may be somebody's.
fn message(Problem { message, differences, .. }: &Problem) -> String {
    let fields: Vec<_> = differences.iter().map(|one| format!("{} {}", one.direction, one.field)).collect();
    if fields.is_empty() { message.clone() } else { format!("{message}: {}", fields.join(", ")) }
}

/// Does the work on a thread of its own: a file system that hangs must hold up neither requests nor the end of the
/// process, which waits for the runtime's own threads. None when the work failed with a panic, or takes too long.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, result) = oneshot::channel();
    // Nobody listens any more once the process stops.
    drop(std::thread::spawn(move || drop(sender.send(work()))));
    timeout(PATIENCE, result).await.ok()?.ok()
}

fn broken() -> Report {
    problem(
        "",
        "the files could not be read in time",
        "is there a file system that hangs, or a pipe in place of a file?",
    )
}

/// Whether the setting says who may be changed, and how.
fn decides_about_access(key: &str) -> bool {
    key.starts_with("policy.") || key == "store.url" || key == "ziflow.update"
}

fn problem(key: &str, message: &str, hint: &str) -> Report {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    let (key, message) = (key.to_owned(), message.to_owned());
    let problem =
        Problem { severity: Severity::Error, at: None, key, message, hint, differences: Vec::new() };
    Report { file: "settings".to_owned(), text: Arc::default(), problem }
}
