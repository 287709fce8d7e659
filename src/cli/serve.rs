//! `serve`: the service.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::bridge::audit::Audit;
use crate::bridge::{Bridge, Unrecognised};
use crate::cli::descriptors;
use crate::cli::explainer::Explainer;
use crate::cli::reload::{Reloader, tell};
use crate::cli::sockets::{Side, Sockets};
use crate::cli::systemd::{self, Systemd};
use crate::cli::{CONFIG, ConfigFile, FAILED, environment, failed, show};
use crate::config::{self, Settings};
use crate::server::admin::access::Gate;
use crate::server::auth::Door;
use crate::server::listen::{Listen, Unfit};
use crate::server::readiness::Readiness;
use crate::server::reloads::Reloads;
use crate::server::witness::Witness;
use crate::server::{self, accept, admin, expiry};
use crate::store::{Location, Store};
use crate::telemetry::{self, Destination};
use crate::ziflow::client::Client;
use crate::ziflow::directory::Directory;

/// How long the first look at Ziflow may take: nobody is served meanwhile.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Why the service does not run, and its exit code. With `CONFIG`, systemd does not try again.
struct Ended(u8, String);

impl From<String> for Ended {
    fn from(reason: String) -> Self {
        Self(FAILED, reason)
    }
}

pub(super) async fn run(config: &ConfigFile, sockets: Sockets) -> ExitCode {
    // A SIGHUP while the process starts must not end it: it is kept, and reloads once there is something to reload.
    let hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return failed(&format!("cannot wait for signals: {error}")),
    };
    let file = config.path();
    let mut settings = match config::load(file.as_deref(), environment()) {
        Ok(settings) => settings,
        Err(reports) => {
            show(&reports);
            systemd::gave_up("the settings cannot be used; `ziflow-scim-bridge check` says why");
            return CONFIG.into();
        }
    };
    let destination = Destination::of_stderr(environment());
    telemetry::init(settings.log, destination);
    if destination == Destination::Journal {
        settings.audit.priority = "<6>";
    }
    tell(&settings.warnings);
    match Box::pin(serve(file, settings, hangup, sockets)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended(code, reason)) => {
            error!("{reason}");
            systemd::gave_up(&reason);
            code.into()
        }
    }
}

async fn serve(
    file: Option<PathBuf>,
    mut settings: Settings,
    hangup: Signal,
    sockets: Sockets,
) -> Result<(), Ended> {
    warn_of(&settings);
    keep_descriptors(&mut settings.server.limits);
    let (listener, admin) = listen(&settings, sockets).await?;
    // What was asked for may have been port 0, or systemd's choice.
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    let tenant_url = settings.server.tenant_url(bound);
    let bridge = assemble(&settings, &tenant_url)?;
    let (stop, stopped) = watch::channel(false);
    stop_on_signal(stop)?;
    tokio::select! {
        recognised = first_look(&bridge) => recognised?,
        () = told(stopped.clone()) => return Ok(()),
    }
    let watched_at = admin.as_ref().and_then(|admin| admin.local_addr().ok());
    if let Some(address) = watched_at {
        info!(listen = %address, "ready for monitoring");
    }
    info!(listen = %bound, tenant_url, version = env!("CARGO_PKG_VERSION"), "ready for Entra");
    let door = Arc::new(Door::new(settings.callers.clone(), settings.auth, settings.jwks.clone()));
    let gate = Arc::new(Gate::new(settings.admin.access.clone(), Arc::clone(&door), watched_at));
    let (reloads, witness) = (
        Arc::new(Reloads::default()),
        Arc::new(Witness::keeping(settings.admin.operations, settings.connection.values)),
    );
    let systemd = Arc::new(Systemd::new(
        tenant_url.clone(),
        Arc::clone(&bridge),
        Arc::clone(&door),
        Arc::clone(&reloads),
    ));
    let tls = settings.server.tls.clone();
    let reloader = Reloader::new(
        file,
        &settings,
        Arc::clone(&bridge),
        Arc::clone(&gate),
        Arc::clone(&reloads),
        Arc::clone(&systemd),
    );
    let reloading = Arc::clone(reloader.pulse());
    let readiness =
        Readiness::new(Arc::clone(&bridge), reloads, Arc::clone(&door), Arc::clone(&witness), tls.clone());
    let explainer = Arc::new(Explainer::new(&settings, Arc::clone(&bridge)));
    let (limits, watching) = (settings.server.limits.clone(), settings.admin.clone());
    let pulses = [witness.accepting(), &*reloading, bridge.grants_pulse()];
    systemd.ready().await;
    tokio::join!(
        accept::run(
            listener,
            Arc::clone(&bridge),
            Arc::clone(&door),
            Arc::clone(&witness),
            settings.server,
            tenant_url,
            told(stopped.clone())
        ),
        async {
            if let Some(admin) = admin {
                let shutdown = told(stopped.clone());
                admin::run(admin, watching, readiness, explainer, gate, limits, shutdown).await;
            }
        },
        reloader.run(hangup, told(stopped.clone())),
        bridge.apply_grants(told(stopped.clone())),
        bridge.record_notes(told(stopped.clone())),
        bridge.watch_store(told(stopped.clone())),
        expiry::announce(&door, tls.as_deref(), told(stopped.clone())),
        systemd.run(&pulses, told(stopped.clone())),
    );
    info!("stopped");
    Ok(())
}

/// What is right for trying things out, and seldom for a service; and tokens that let nobody in.
fn warn_of(settings: &Settings) {
    if settings.store == Location::Memory {
        warn!(
            "the store is in memory: what Ziflow has no field for is forgotten at every restart (store.url)"
        );
    }
    if settings.policy.dry_run {
        warn!(
            "dry run: what Ziflow has is read, and nothing is written, neither there nor in the store. Before the real \
             run, restart provisioning in Entra with its links cleared: it keeps the ids of people who are not there \
             (policy.dry_run)"
        );
    }
    if settings.callers.let_nobody_in(Timestamp::now()) {
        error!(
            hint = expiry::REMEDY,
            "nobody is let in: every token has expired. The bridge runs so that another token and a reload mend it \
             (auth.tokens)"
        );
    }
}

/// Connections must leave descriptors for the store and for Ziflow.
fn keep_descriptors(limits: &mut server::Limits) {
    let most = descriptors::for_connections(limits.max_connections);
    if most < limits.max_connections {
        warn!(
            most,
            "this process may have too few files open for server.max_connections, so there will be fewer \
             (LimitNOFILE in the unit)"
        );
        limits.max_connections = most;
    }
}

/// Where Entra is listened to, and where those who watch.
async fn listen(
    settings: &Settings,
    mut sockets: Sockets,
) -> Result<(TcpListener, Option<TcpListener>), Ended> {
    let listener = take(&mut sockets, Side::Entra, settings.server.listen).await?;
    let admin = match settings.admin.listen {
        Some(listen) => Some(take(&mut sockets, Side::Admin, listen).await?),
        None => None,
    };
    // A socket of systemd's is not in the settings, where addresses are checked.
    let local = |listener: &TcpListener| listener.local_addr().map_err(|error| error.to_string());
    let unfit = |key: &str, (message, hint): Unfit| Ended(CONFIG, format!("{key}: {message}: {hint}"));
    settings.server.may_listen_on(local(&listener)?).map_err(|reason| unfit("server.listen", reason))?;
    if let Some(admin) = &admin {
        settings.admin.may_listen_on(local(admin)?).map_err(|reason| unfit("admin.listen", reason))?;
    }
    if let Some(key) = sockets.left() {
        warn!("systemd has passed a socket, and nobody answers there: `{key}` does not say `systemd`");
    }
    Ok((listener, admin))
}

/// The rooms put together.
pub(super) fn assemble(settings: &Settings, tenant_url: &str) -> Result<Arc<Bridge>, String> {
    let dry_run = settings.policy.dry_run;
    let open = if dry_run { Store::open_copy } else { Store::open };
    let store = open(&settings.store).map_err(|error| error.to_string())?;
    assemble_with(settings, store, tenant_url, Audit::start(&settings.audit, dry_run)?)
}

/// The same on a store that is open already.
pub(super) fn assemble_with(
    settings: &Settings,
    store: Store,
    tenant_url: &str,
    audit: Audit,
) -> Result<Arc<Bridge>, String> {
    let dry_run = settings.policy.dry_run;
    let client = Client::new(&settings.connection, &settings.client, &settings.pace)?;
    let client = if dry_run { client.rehearsing() } else { client };
    let directory = Directory::new(Arc::new(client), settings.directory.clone());
    Ok(Arc::new(Bridge::new(
        directory,
        store,
        settings.mapping.clone(),
        settings.policy.clone(),
        settings.bridge.clone(),
        tenant_url,
        Arc::new(audit),
    )))
}

async fn take(sockets: &mut Sockets, side: Side, listen: Listen) -> Result<TcpListener, Ended> {
    let code = match listen {
        Listen::Address(_) => FAILED,
        // Another try would find no other socket.
        Listen::Systemd => CONFIG,
    };
    sockets.listener(side, listen).await.map_err(|reason| Ended(code, reason))
}

/// So that the log says whether Ziflow takes the key before Entra asks. Fails when the store is another account's; a
/// Ziflow that cannot tell is asked again by the first request.
pub(super) async fn first_look(bridge: &Bridge) -> Result<(), String> {
    match bridge.recognise_account_until(Instant::now() + FIRST_LOOK).await {
        Ok(()) => {
            bridge.look_for_key_user(Instant::now() + FIRST_LOOK).await;
            Ok(())
        }
        Err(Unrecognised::Foreign(reason)) => Err(reason),
        Err(Unrecognised::Trouble(error)) => {
            warn!(reason = error.detail, "Ziflow cannot be used yet");
            Ok(())
        }
    }
}

fn stop_on_signal(stop: watch::Sender<bool>) -> Result<(), String> {
    let told = |error| format!("cannot wait for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
    drop(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    }));
    Ok(())
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody is left who could tell, which is an end as well.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
