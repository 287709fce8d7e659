//! The upstream: Ziflow's public REST API, called politely and believed only as far as it can be.

pub mod advice;
pub mod answer;
mod breaker;
mod cache;
pub mod calls;
pub mod client;
mod departures;
pub mod directory;
pub mod error;
pub mod everyone;
pub mod figures;
pub mod findings;
mod flights;
pub mod look;
pub mod model;
pub mod observations;
pub mod origin;
pub mod probe;
mod queue;
pub mod rate_limit;
pub mod rehearsal;
mod request;
mod sender;
pub mod snapshot;
pub mod throwaway;
pub mod transport;
mod walk;
