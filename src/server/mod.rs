//! HTTP in: accept, check who speaks, find the operation, carry it out, answer. Every accepted request is
//! answered in SCIM's words before its deadline, also while the process stops; one for a token in those of OAuth.

pub mod accept;
pub mod admin;
mod answer;
pub mod auth;
mod bulk;
pub mod callers;
pub mod certificate;
mod claims;
pub mod clients;
pub mod connection;
pub mod entra_token;
pub mod expiry;
mod exposition;
mod failures;
mod forecast;
mod grant;
mod issuer;
pub mod issuer_keys;
pub mod json;
pub mod jwks;
pub mod jwt;
pub mod listen;
mod log;
mod metrics;
pub mod minted;
pub mod networks;
mod noticed;
pub mod oauth;
mod operations;
mod process;
pub mod readiness;
pub mod reloads;
pub mod reply;
pub mod request;
mod resources;
pub mod route;
mod search;
pub mod seats;
pub mod signing;
mod size;
pub mod source;
pub mod status;
pub mod tls;
pub mod tokens;
mod traffic;
mod trust;
mod upstream_metrics;
pub mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::server::connection::Bounds;
use crate::server::listen::{Listen, Unfit};
use crate::server::networks::Networks;
use crate::server::tls::Tls;

/// `server.*` of the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Listen,
    /// Whether a proxy on another machine does TLS.
    pub plain_http_behind_proxy: bool,
    /// None: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub networks: Networks,
    pub base_path: String,
    /// Where Entra reaches the bridge, without the base path; none: where it listens.
    pub public_url: Option<String>,
    /// For how long a list is kept after somebody last read a page of it.
    pub cursor_timeout_secs: u64,
    pub limits: Limits,
}

/// The bounds among them.
#[derive(Clone, Debug, Deserialize)]
pub struct Limits {
    pub max_body_bytes: usize,
    pub max_header_bytes: usize,
    pub max_target_bytes: usize,
    pub max_connections: usize,
    pub max_connections_per_source: usize,
    pub max_requests_in_flight: usize,
    pub first_byte_timeout_secs: u64,
    pub header_timeout_secs: u64,
    pub idle_timeout_secs: u64,
    pub write_timeout_secs: u64,
    pub request_timeout_secs: u64,
    pub shutdown_grace_secs: u64,
    pub max_filter_chars: usize,
    pub max_filter_depth: usize,
    pub max_filter_terms: usize,
    pub max_results: usize,
    pub max_bulk_operations: usize,
    pub max_headers: usize,
    pub max_json_depth: usize,
    pub max_json_values: usize,
    pub max_patch_operations: usize,
    pub max_members: usize,
    pub max_attributes: usize,
}

impl Limits {
    fn bounds(&self) -> Bounds {
        Bounds {
            first_byte_timeout: Duration::from_secs(self.first_byte_timeout_secs),
            header_timeout: Duration::from_secs(self.header_timeout_secs),
            idle_timeout: Duration::from_secs(self.idle_timeout_secs),
            write_timeout: Duration::from_secs(self.write_timeout_secs),
            max_header_bytes: self.max_header_bytes,
            max_headers: self.max_headers,
        }
    }
}

impl Settings {
    /// What is spoken where it listens.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What Entra is given as the Tenant URL, and the beginning of every location.
    pub fn tenant_url(&self, bound: SocketAddr) -> String {
        self.public_tenant_url().unwrap_or_else(|| format!("{}://{bound}{}", self.scheme(), self.base_path))
    }

    /// The same, if it does not rest on where the bridge listens.
    pub fn public_tenant_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|host| format!("{}{}", host.trim_end_matches('/'), self.base_path))
    }

    /// Whether requests may be taken at this address; else what is wrong with it, and the remedy. A socket that systemd
    /// has made is judged at the start, when its address is known.
    pub fn may_listen_on(&self, address: SocketAddr) -> Result<(), Unfit> {
        if address.ip().is_loopback() || self.plain_http_behind_proxy || self.tls.is_some() {
            return Ok(());
        }
        Err((
            format!("`{address}` can be reached from the network, and the bridge speaks plain HTTP there"),
            "name a certificate in server.tls, or listen on 127.0.0.1 behind a proxy that does TLS, or set \
             server.plain_http_behind_proxy: true if such a proxy is on another machine",
        ))
    }
}
