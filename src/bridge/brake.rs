//! The brake on mass disabling: when a scoping filter slips, Entra disables everybody, and nobody notices until they
//! cannot sign in. So many people an hour may lose their access; after that nobody does until an operator has looked.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tracing::{error, info};

use crate::bridge::health::Component;
use crate::bridge::{Bridge, Users, now, seconds};
use crate::scim::error::Error;
use crate::store::{self, Brake, Braked, Taking};
use crate::ziflow::error::Error as Upstream;

/// What `policy.max_deactivations_per_hour` counts over.
pub const HOUR_SECS: i64 = 3600;

/// When Entra is told to ask again: somebody has to look at it first.
const RETRY: Duration = Duration::from_secs(600);

/// What lets the brake go.
pub const RELEASE: &str = "ziflow-scim-bridge brake release";

impl Users<'_> {
    /// Counts somebody who is about to lose their access, and says whether they were not counted before. Refused while the
    /// brake is tripped, which it may be by this. In a dry run nobody loses anything.
    pub(super) async fn brake(&self, id: &str) -> Result<bool, Error> {
        let most = self.bridge.policy.max_deactivations_per_hour;
        if most == 0 || self.bridge.policy.dry_run {
            return Ok(false);
        }
        let at = seconds();
        let now = now();
        let taking = Taking { id: id.to_owned(), at, after: at - HOUR_SECS, now: now.clone(), most };
        let Brake { since, taken, counted } = self.bridge.store.take_access(taking).await?;
        let Some(since) = since else { return Ok(counted) };
        if !self.bridge.tripped.replace(true) {
            alarm(taken, &since);
        }
        if since == now {
            self.change.note("brake-engaged", json!({"people": taken, "most": most}));
        }
        let detail = format!(
            "the bridge's brake on mass disabling has tripped at {since}: {taken} people have lost their access within \
             an hour, and policy.max_deactivations_per_hour is {most}; nobody else is disabled or deleted until the \
             bridge's operator has checked the scope of provisioning in Entra and runs {RELEASE}"
        );
        Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY))
    }

    /// The same where nothing was written at all, because it could not be recorded.
    pub(super) async fn unless_unrecorded<T>(
        &self,
        counted: bool,
        id: &str,
        may: Result<T, Error>,
    ) -> Result<T, Error> {
        if counted && may.is_err() {
            self.bridge.store.give_access_back(id).await?;
        }
        may
    }

    /// Whoever was counted and has certainly kept their access does not count.
    pub(super) async fn unless_kept<T>(
        &self,
        counted: bool,
        id: &str,
        written: Result<T, Upstream>,
    ) -> Result<Result<T, Upstream>, Error> {
        let kept = matches!(&written, Err(error) if !matches!(error, Upstream::Unknown { .. }));
        if counted && kept {
            self.bridge.store.give_access_back(id).await?;
        }
        Ok(written)
    }
}

impl Bridge {
    /// How the brake is, with a line in the log when it has changed.
    pub(super) async fn brake_health(&self) -> Component {
        let most = self.policy.max_deactivations_per_hour;
        if most == 0 {
            return Component::fine("brake", "off (policy.max_deactivations_per_hour is 0)");
        }
        if self.policy.dry_run {
            return Component::fine("brake", "off in a dry run: nobody loses anything");
        }
        let Brake { since, taken, .. } = match brake_of(&self.store).await {
            Ok(brake) => brake,
            Err(error) => return Component::unknown("brake", &error.to_string()),
        };
        let before = self.tripped.replace(since.is_some());
        let Some(since) = since else {
            if before {
                info!("the brake on mass disabling is released");
            }
            let told = format!("{taken} of {most} people have lost their access in the last hour");
            return Component::fine("brake", &told);
        };
        if !before {
            alarm(taken, &since);
        }
        Component::tripped(
            "brake",
            &format!("nobody is disabled or deleted since {since}; look, then `{RELEASE}`"),
        )
    }
}

fn alarm(taken: u32, since: &str) {
    error!(
        people = taken,
        since,
        "the brake on mass disabling has tripped: nobody else is disabled or deleted until it is released. Check the \
         scope of provisioning in Entra, then run `{RELEASE}`"
    );
}

/// Whether a store's brake is tripped, for the commands of an operator.
pub async fn brake_of(store: &store::Store) -> Result<Brake, store::Error> {
    store.brake(seconds() - HOUR_SECS).await
}

/// Whom it is about.
pub async fn braked_of(store: &store::Store) -> Result<Braked, store::Error> {
    store.braked(seconds() - HOUR_SECS).await
}
