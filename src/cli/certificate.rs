//! The certificate's files: a new pair is taken over by itself once it has become another one for good.

use std::sync::Arc;

use tracing::{error, info};

use crate::cli::reload::{aside, in_short, tell};
use crate::cli::watch::Watch;
use crate::config::Report;
use crate::config::tls::Files;
use crate::server::tls::{Identity, Tls};

/// The files that are looked at, and what they are for.
#[derive(Debug)]
pub(super) struct Renewal {
    tls: Arc<Tls>,
    files: Files,
    watch: Watch,
}

impl Renewal {
    /// Begins with the pair in force, whose files had this digest.
    pub(super) fn new(tls: Arc<Tls>, files: Files, digest: &str) -> Self {
        let watch = Watch::new(files.certificate().to_owned(), digest);
        Self { tls, files, watch }
    }

    /// Takes over a pair that has settled and fits. Whether there was one.
    pub(super) async fn look(&mut self) -> bool {
        let files = self.files.clone();
        let Some(texts) = aside(move || files.read()).await else { return false };
        // Tools write one file after the other: what does not fit yet may fit at the next look.
        if !self.watch.notices(texts.digest().map_err(|error| error.kind())) {
            return false;
        }
        let files = self.files.clone();
        match aside(move || files.load(texts)).await {
            Some(Ok((identity, _, warnings))) => {
                tell(&warnings);
                if let Some(changed) = put(&self.tls, Arc::new(identity)) {
                    info!(changed, "the certificate's files have changed, and are in force");
                } else {
                    info!("the certificate's files hold what is in force");
                }
                true
            }
            Some(Err(reports)) => {
                self.refuse(&reports);
                false
            }
            None => false,
        }
    }

    /// What a reload has read.
    pub(super) fn put(&mut self, files: Files, digest: &str, identity: Arc<Identity>) -> Option<String> {
        self.watch = Watch::new(files.certificate().to_owned(), digest);
        self.files = files;
        put(&self.tls, identity)
    }

    fn refuse(&self, reports: &[Report]) {
        let errors: Vec<_> = reports.iter().filter(|report| report.is_error()).map(in_short).collect();
        self.tls.refuse(format!("its files have changed and cannot be used: {}", errors.join("; ")));
        error!(
            in_force = self.tls.identity().certificate.in_short(),
            "the certificate's files have changed and cannot be used; what was in force stays"
        );
        tell(reports);
    }
}

fn put(tls: &Tls, identity: Arc<Identity>) -> Option<String> {
    let changed = format!("certificate ({})", identity.certificate.in_short());
    tls.put(identity).then_some(changed)
}
