//! The store is one account's: with the key of another one, people would be mixed up. So nobody is served before Ziflow
//! has shown which account the key belongs to.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::bridge::Bridge;
use crate::scim::error::Error;
use crate::ziflow::client::KeyNumber;
use crate::ziflow::error::Error as Upstream;
use crate::ziflow::transport::Call;

/// What is known about the key in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// The key that this is about.
    key: Option<KeyNumber>,
    /// Why the store is not its account's, if that is so.
    foreign: Option<String>,
}

/// Why the account could not be recognised.
#[derive(Clone, Debug)]
pub enum Unrecognised {
    /// The store belongs to another account.
    Foreign(String),
    /// Ziflow or the store could not tell.
    Trouble(Error),
}

impl From<Unrecognised> for Error {
    fn from(unrecognised: Unrecognised) -> Self {
        match unrecognised {
            Unrecognised::Foreign(reason) => Self::new(StatusCode::BAD_GATEWAY, reason),
            Unrecognised::Trouble(error) => error,
        }
    }
}

impl Bridge {
    /// Makes sure that the store is the account's whose key is in use. That costs the call that shows that address and
    /// key are right, sometimes one more, and nothing afterwards until the key changes.
    pub async fn recognise_account(&self, call: &Call) -> Result<(), Unrecognised> {
        if let Some(known) = self.account_in_use(call) {
            return known;
        }
        let late = || Unrecognised::Trouble(late());
        let _turn = timeout_at(call.deadline(), self.recognising.lock()).await.map_err(|_elapsed| late())?;
        if let Some(known) = self.account_in_use(call) {
            return known;
        }
        let (key, shown) = self
            .directory
            .client()
            .accounts(call)
            .await
            .map_err(|error| Unrecognised::Trouble(error.into()))?;
        let foreign = self.compare(&shown).await.map_err(Unrecognised::Trouble)?;
        if let Some(reason) = &foreign {
            error!("{reason}");
        }
        *self.account.lock().unwrap_or_else(PoisonError::into_inner) = Account { key: Some(key), foreign };
        self.account_in_use(call).unwrap_or_else(|| Err(late()))
    }

    /// The same until a deadline, for the log before Entra asks.
    pub async fn recognise_account_until(&self, deadline: Instant) -> Result<(), Unrecognised> {
        self.recognise_account(&Call::until(deadline)).await
    }

    /// Whether there is somebody to protect as the owner of the API key: with a misspelt address Entra could disable them,
    /// and nothing would have said so before.
    pub async fn look_for_key_user(&self, deadline: Instant) {
        let Some(email) = self.key_user.load().as_ref().clone() else { return };
        let found =
            self.directory.client().user_by_email(&Call::until(deadline), &email.to_lowercase()).await;
        // Trouble says nothing about them.
        if matches!(found, Err(Upstream::NotFound)) {
            warn!(
                key = "ziflow.key_user_email",
                hint = "set it to the address of the admin whose API key the bridge uses",
                "nobody in Ziflow has this address, so Entra could disable the owner of the API key and lock the bridge out"
            );
        }
    }

    /// Why the store is not the account's whose key is in use, if that is known to be so.
    pub(super) fn foreign_account(&self) -> Option<String> {
        self.known_account().and_then(|(_, foreign)| foreign)
    }

    /// None while nothing is known about the key in use. Whoever goes on does so with this key or not at all: the next
    /// one may be another account's.
    fn account_in_use(&self, call: &Call) -> Option<Result<(), Unrecognised>> {
        let (key, foreign) = self.known_account()?;
        call.keep_to(key);
        Some(foreign.map_or(Ok(()), |reason| Err(Unrecognised::Foreign(reason))))
    }

    fn known_account(&self) -> Option<(KeyNumber, Option<String>)> {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let key = account.key.filter(|key| *key == self.directory.client().key_number())?;
        Some((key, account.foreign.clone()))
    }

    /// Why the store is not the account's, if that is so. Nothing is stamped.
    pub(super) async fn another_account(&self, call: &Call) -> Result<Option<String>, Error> {
        let (_, shown) = self.directory.client().accounts(call).await?;
        let stamp = self.store.accounts().await?.into_iter().collect();
        Ok(in_common(&shown, &stamp).err())
    }

    /// Compares with the account that the store is stamped with, and stamps it.
    async fn compare(&self, shown: &BTreeSet<String>) -> Result<Option<String>, Error> {
        if shown.is_empty() {
            warn!(
                "Ziflow does not show which account people belong to, so the store cannot be told apart by it"
            );
            return Ok(None);
        }
        let stamp = self.store.accounts().await?.into_iter().collect();
        let both = match in_common(shown, &stamp) {
            Ok(both) => both,
            Err(reason) => return Ok(Some(reason)),
        };
        if both != stamp {
            info!(account = list(&both), "the store belongs to this Ziflow account from now on");
            self.store.put_accounts(both.into_iter().collect()).await?;
        }
        Ok(None)
    }
}

/// What Ziflow shows and what the store is stamped with have in common, or why that is nothing. One login may belong to
/// several accounts, so there may be several candidates, of which the next look leaves fewer.
fn in_common(shown: &BTreeSet<String>, stamp: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    if shown.is_empty() || stamp.is_empty() {
        return Ok(shown.clone());
    }
    let both: BTreeSet<_> = shown.intersection(stamp).cloned().collect();
    if both.is_empty() { Err(foreign(shown, stamp)) } else { Ok(both) }
}

fn late() -> Error {
    let detail = "the bridge is still finding out which Ziflow account its API key belongs to; ask again";
    Error::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(std::time::Duration::from_secs(1))
}

fn foreign(shown: &BTreeSet<String>, stamp: &BTreeSet<String>) -> String {
    format!(
        "the API key belongs to the Ziflow account {}, and the bridge's store to the account {}: people would be mixed \
         up. Set ziflow.api_key to a key of that account, or store.url to another file",
        list(shown),
        list(stamp)
    )
}

fn list(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}
