//! `explain` for the status page: with the settings and the mapping in force, on a thread of its own, so that neither its
//! log nor its work is mixed with the service's.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::bridge::Bridge;
use crate::bridge::in_force::InForce;
use crate::cli::explain::{Question, json_object};
use crate::cli::sockets;
use crate::cli::stage::Stage;
use crate::config::Settings;
use crate::server::status::explain::{self as page, Explain, Explained};
use crate::telemetry::{self, Captured};
use crate::ziflow::{directory, rate_limit};

/// A single request waits for nothing.
const FAST: NonZeroU32 = match NonZeroU32::new(1000) {
    Some(fast) => fast,
    None => NonZeroU32::MIN,
};

/// Explains what the service would do.
#[derive(Debug)]
pub(super) struct Explainer {
    settings: Settings,
    service: Arc<Bridge>,
}

impl Explainer {
    pub(super) fn new(settings: &Settings, service: Arc<Bridge>) -> Self {
        let pace = rate_limit::Settings { requests_per_second: FAST, burst: FAST, ..settings.pace.clone() };
        let directory = directory::Settings { read_cache_ttl_secs: 0, ..settings.directory.clone() };
        Self { settings: Settings { pace, directory, ..settings.clone() }, service }
    }
}

impl Explain for Explainer {
    fn explain(
        &self,
        question: page::Question,
        within: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Explained, String>> + Send>> {
        let settings =
            Settings { mapping: InForce::clone(&self.service.mapping_in_force()), ..self.settings.clone() };
        let work = spawn_blocking(move || {
            let question = read(&question)?;
            telemetry::capture_here(|log| answer(question, &settings, within, log))
        });
        Box::pin(async move { work.await.unwrap_or_else(|failure| Err(failure.to_string())) })
    }
}

/// What stands in the way is told before anything is set up.
fn read(question: &page::Question) -> Result<Question, String> {
    let given = |text: &str, argument| -> Result<Option<Value>, String> {
        if text.trim().is_empty() { Ok(None) } else { json_object(text, argument).map(Some) }
    };
    Ok(Question {
        request: question.request.clone(),
        user: given(&question.person, "--user")?,
        group: given(&question.group, "--group")?,
    })
}

/// All tasks run on this thread, and end with the runtime.
fn answer(
    question: Question,
    settings: &Settings,
    within: Duration,
    log: &Captured,
) -> Result<Explained, String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let explaining = Box::pin(async {
            let stage = async || {
                let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
                Stage::like(sockets::bind(loopback, "explain").await?, settings.clone()).await
            };
            question.answered(stage, log).await.map(Explained::from)
        });
        let late = || format!("it could not be explained within {} s", within.as_secs());
        timeout(within, explaining).await.map_err(|_elapsed| late())?
    })
}
