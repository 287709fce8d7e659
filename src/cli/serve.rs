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

use crate::bridge::{Bridge, Unrecognised};
use crate::cli::reload::{Reloader, tell};
use crate::cli::{CONFIG, ConfigFile, FAILED, environment, failed, show};
use crate::config::{self, Settings};
use crate::server::auth::Door;
use crate::server::reloads::Reloads;
use crate::server::witness::Witness;
use crate::server::{self, admin, expiry};
use crate::store::{Location, Store};
use crate::telemetry;
use crate::ziflow::client::Client;
use crate::ziflow::directory::Directory;

/// How long the first look at Ziflow may take: nobody is served meanwhile.
const FIRST_LOOK: Duration = Duration::from_secs(5);

pub(super) async fn run(config: &ConfigFile) -> ExitCode {
    // A SIGHUP while the process starts must not end it: it is kept, and reloads once there is something to reload.
    let hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return failed(&format!("cannot wait for signals: {error}")),
    };
    let file = config.path();
    let settings = match config::load(file.as_deref(), environment()) {
        Ok(settings) => settings,
        Err(reports) => {
            show(&reports);
            return CONFIG.into();
        }
    };
    telemetry::init(settings.log);
    tell(&settings.warnings);
    match serve(file, settings, hangup).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            error!("{message}");
            FAILED.into()
        }
    }
}

async fn serve(file: Option<PathBuf>, settings: Settings, hangup: Signal) -> Result<(), String> {
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
    if settings.tokens.have_all_expired(Timestamp::now()) {
        error!(
            hint = expiry::REMEDY,
            "nobody is let in: every token has expired. The bridge runs so that another token and a reload mend it \
             (auth.tokens)"
        );
    }
    let listener = bind(settings.server.listen, "server.listen").await?;
    let admin = match settings.admin_listen {
        Some(address) => Some(bind(address, "admin.listen").await?),
        None => None,
    };
    // What was asked for may have been port 0.
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    let tenant_url = settings.server.tenant_url(bound);
    let bridge = assemble(&settings, &tenant_url)?;
    let (stop, stopped) = watch::channel(false);
    stop_on_signal(stop)?;
    tokio::select! {
        recognised = first_look(&bridge) => recognised?,
        () = told(stopped.clone()) => return Ok(()),
    }
    if let Some(admin) = &admin {
        info!(listen = admin.local_addr().ok().map(tracing::field::display), "ready for monitoring");
    }
    info!(listen = %bound, tenant_url, version = env!("CARGO_PKG_VERSION"), "ready for Entra");
    let door = Arc::new(Door::new(settings.tokens.clone(), settings.auth));
    let (reloads, witness) = (Arc::new(Reloads::default()), Arc::new(Witness::default()));
    let reloader =
        Reloader::new(file, &settings, Arc::clone(&bridge), Arc::clone(&door), Arc::clone(&reloads));
    tokio::join!(
        server::run(
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
                let (bridge, door) = (Arc::clone(&bridge), Arc::clone(&door));
                admin::run(admin, bridge, reloads, door, witness, told(stopped.clone())).await;
            }
        },
        reloader.run(hangup, told(stopped.clone())),
        bridge.apply_grants(told(stopped.clone())),
        expiry::announce(&door, told(stopped.clone())),
    );
    info!("stopped");
    Ok(())
}

/// The rooms put together.
pub(super) fn assemble(settings: &Settings, tenant_url: &str) -> Result<Arc<Bridge>, String> {
    let dry_run = settings.policy.dry_run;
    let open = if dry_run { Store::open_copy } else { Store::open };
    assemble_with(settings, open(&settings.store).map_err(|error| error.to_string())?, tenant_url)
}

/// The same on a store that is open already.
pub(super) fn assemble_with(
    settings: &Settings,
    store: Store,
    tenant_url: &str,
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
    )))
}

pub(super) async fn bind(address: std::net::SocketAddr, key: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{key}: cannot listen on {address}: {error}"))
}

/// So that the log says whether Ziflow takes the key before Entra asks. Fails when the store is another account's; a
/// Ziflow that cannot tell is asked again by the first request.
pub(super) async fn first_look(bridge: &Bridge) -> Result<(), String> {
    match bridge.recognise_account_until(Instant::now() + FIRST_LOOK).await {
        Ok(()) => Ok(()),
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
