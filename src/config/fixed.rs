//! The settings that a running process cannot change, as they were read: to name those that need a restart.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::keys::{Key, Kind, keys};
use crate::server::tokens::{digest, hex};

/// These are taken over by a reload.
const RELOADED: &[&str] = &[
    "server.allow_networks",
    "server.trusted_proxies",
    "admin.token",
    "admin.hosts",
    "auth.tokens",
    "auth.max_failures_per_minute",
    "auth.clients",
    "auth.signing_key",
    "auth.entra.tenant_id",
    "auth.entra.audience",
    "auth.entra.application_id",
    "auth.entra.issuer",
    "auth.entra.jwks_url",
    "ziflow.api_key",
    "ziflow.key_user_email",
    "mapping.file",
    "mapping.watch",
    "server.tls.certificate_file",
    "server.tls.private_key_file",
];

/// The effective values by key; of secrets only a digest, so that what is kept here may be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed(BTreeMap<&'static str, Value>);

impl Fixed {
    /// `value` gives the effective value of a setting.
    pub(super) fn read(value: impl Fn(&str) -> Option<Value>) -> Self {
        let kept = keys().into_iter().filter(|key| !RELOADED.contains(&key.name));
        let values = kept.filter_map(|Key { name, kind }| {
            let value = value(name)?;
            let secret = matches!(kind, Kind::Secret);
            Some((name, if secret { hex(&digest(value.to_string().as_bytes())).into() } else { value }))
        });
        Self(values.collect())
    }

    /// The keys whose values are others in `new`.
    pub fn changed(&self, new: &Self) -> Vec<&'static str> {
        let names = keys().into_iter().map(|key| key.name);
        names.filter(|name| self.0.get(name) != new.0.get(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_in_the_order_of_the_settings() {
        let before = Fixed::read(|key| match key {
            "server.listen" => Some(json!("127.0.0.1:1")),
            "rate_limit.burst" => Some(json!(10)),
            "log.level" => Some(json!("info")),
            _ => None,
        });
        let after = Fixed::read(|key| match key {
            "server.listen" => Some(json!("127.0.0.1:2")),
            "server.public_url" => Some(json!("https://scim.example.com")),
            "log.level" => Some(json!("info")),
            _ => None,
        });
        assert_eq!(before.changed(&after), ["server.listen", "server.public_url", "rate_limit.burst"]);
        assert_eq!(after.changed(&before), ["server.listen", "server.public_url", "rate_limit.burst"]);
        assert_eq!(before.changed(&before), Vec::<&str>::new());
    }

    #[test]
    fn no_secret_is_kept_and_every_reloaded_setting_exists() {
        let all = Fixed::read(|key| Some(json!(key)));
        for key in keys() {
            let secret = matches!(key.kind, Kind::Secret | Kind::Token | Kind::Tokens | Kind::Clients);
            assert!(!secret || all.0.get(key.name) != Some(&json!(key.name)), "{}", key.name);
        }
        assert_eq!(all.0.len() + RELOADED.len(), keys().len());
    }
}
