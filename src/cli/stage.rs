//! A simulated Ziflow and the bridge before it, in one process: the bridge that `serve` runs, with nobody's account
//! behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bridge::recorder::Destination;
use crate::bridge::{Bridge, Policy, audit};
use crate::cli::serve;
use crate::config::{self, Report, Settings};
use crate::server;
use crate::server::accept;
use crate::server::auth::Door;
use crate::server::callers::Callers;
use crate::server::networks::Networks;
use crate::simulator::{self, Simulator};
use crate::store::Location;
use crate::ziflow::origin::Way;
use crate::ziflow::transport;

/// What groups grant follows a request within this time, or is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) ziflow: Simulator,
    pub(super) bridge: Arc<Bridge>,
    /// Where the bridge answers, base path included.
    pub(super) url: String,
    pub(super) base_path: String,
    /// Where the mapping comes from.
    pub(super) mapping_file: String,
    /// Examples of the mapping that do not hold.
    pub(super) failed_examples: Vec<Report>,
    service: JoinHandle<()>,
    grants: JoinHandle<()>,
}

/// Why there is no stage.
#[derive(Debug)]
pub(super) enum Trouble {
    Failed(String),
    /// The settings or the mapping cannot be used.
    Configuration(Vec<Report>),
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl Stage {
    /// Puts both up, the bridge on this listener. `variables` are settings beside the file; those that would leave
    /// the stage are overruled.
    pub(super) async fn set_up(
        listener: TcpListener,
        file: Option<&Path>,
        mut variables: BTreeMap<String, String>,
    ) -> Result<Self, Trouble> {
        let ziflow = simulated().await?;
        // Given beside the key, its file would be a second key.
        variables.remove("BRIDGE_ZIFLOW__API_KEY_FILE");
        variables.extend(overruled(&ziflow));
        let settings = config::load_for_trial(file, variables.into_iter()).map_err(Trouble::Configuration)?;
        Ok(Self::with(listener, ziflow, settings).await?)
    }

    /// The same with the settings of a bridge that runs, but for those that would leave the stage.
    pub(super) async fn like(listener: TcpListener, settings: Settings) -> Result<Self, String> {
        let ziflow = simulated().await?;
        let api_key = SecretString::from(ziflow.key().to_owned());
        let way = Way::default();
        let base_url = ziflow.base_url();
        let connection = transport::Settings { base_url, api_key, way, ..settings.connection };
        let policy = Policy { dry_run: false, ..settings.policy };
        // What is only tried out is no change, and has no place in the audit log of the service.
        let audit = audit::Settings { destination: Destination::Off, required: false, ..settings.audit };
        let settings = Settings { connection, policy, store: Location::Memory, audit, ..settings };
        Self::with(listener, ziflow, settings).await
    }

    async fn with(listener: TcpListener, ziflow: Simulator, settings: Settings) -> Result<Self, String> {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let tenant_url = settings.server.tenant_url(settings.server.listen.address().unwrap_or(address));
        let base_path = settings.server.base_path.clone();
        let url = format!("http://{address}{base_path}");
        let mapping_file = settings.mapping.file.clone();
        let bridge = serve::assemble(&settings, &tenant_url)?;
        // Else the first request would show what belongs to none of them.
        serve::first_look(&bridge).await?;
        let failed_examples = settings.warnings.into_iter().filter(Report::is_of_example).collect();
        // Whoever else may speak to the real bridge has no business here, nor are their keys fetched.
        let callers = Callers::of_api_key(&settings.connection.api_key);
        let door = Arc::new(Door::new(callers, settings.auth, settings.jwks.clone()));
        // Only this process speaks to it, and in plain.
        let server = server::Settings { tls: None, networks: Networks::default(), ..settings.server };
        let forever = std::future::pending();
        let service =
            accept::run(listener, Arc::clone(&bridge), door, Arc::default(), server, tenant_url, forever);
        let service = tokio::spawn(service);
        let worker = Arc::clone(&bridge);
        let grants = tokio::spawn(async move { worker.apply_grants(std::future::pending()).await });
        Ok(Self { ziflow, bridge, url, base_path, mapping_file, failed_examples, service, grants })
    }

    /// Waits until everybody has had their turn for whom what their groups grant was to be applied.
    pub(super) async fn settled(&self) {
        let tried = async {
            loop {
                let queue = self.bridge.grants_waiting().await.unwrap_or_default();
                if queue.waiting == queue.failing {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(PATIENCE, tried).await);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.service.abort();
        self.grants.abort();
    }
}

async fn simulated() -> Result<Simulator, String> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let ziflow = simulator::start(any, simulator::Settings::default()).await;
    ziflow.map_err(|error| format!("the simulated Ziflow cannot start: {error}"))
}

fn overruled(ziflow: &Simulator) -> impl Iterator<Item = (String, String)> {
    let variables = [
        ("BRIDGE_ADMIN__LISTEN", "off".to_owned()),
        // The token is then the API key.
        ("BRIDGE_AUTH__TOKENS", "[]".to_owned()),
        ("BRIDGE_ZIFLOW__BASE_URL", ziflow.base_url()),
        ("BRIDGE_ZIFLOW__API_KEY", ziflow.key().to_owned()),
        ("BRIDGE_STORE__URL", "memory:".to_owned()),
        ("BRIDGE_AUDIT__DESTINATION", "off".to_owned()),
        ("BRIDGE_AUDIT__REQUIRED", "false".to_owned()),
        // The simulated Ziflow may be written.
        ("BRIDGE_POLICY__DRY_RUN", "false".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value))
}
