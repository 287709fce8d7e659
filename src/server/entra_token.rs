//! Tokens that Entra issues itself, to a provisioning job whose Secret Token is left blank (`auth.entra`). Issuer and
//! audience are the same for every such job of a tenant, so they let in whoever can set one up there.

use crate::server::claims::Expected;

/// What the log calls whoever shows such a token.
pub const CLIENT: &str = "entra-issued";

/// `auth.entra.*` of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub tenant_id: String,
    pub issuer: String,
    pub audience: String,
    /// Microsoft's provisioning service.
    pub application_id: String,
    pub jwks_url: String,
}

impl Settings {
    /// Who the issuer is in the tenants of the public cloud (tokens of version 1.0, with a slash at the end).
    pub fn issuer(tenant_id: &str) -> String {
        format!("https://sts.windows.net/{tenant_id}/")
    }

    /// And where its keys are.
    pub fn jwks_url(tenant_id: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant_id}/discovery/keys")
    }

    pub(super) fn expected(&self) -> Expected {
        // The tenant a second time: the issuer may be set, and a key of Microsoft's signs for every tenant.
        Expected::default()
            .and("iss", &self.issuer)
            .and("tid", &self.tenant_id)
            .and("aud", &self.audience)
            .and("appid", &self.application_id)
    }
}
