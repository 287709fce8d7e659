//! The upstream: Ziflow's public REST API, called politely and believed only as far as it can be.

pub mod answer;
mod breaker;
mod cache;
pub mod client;
pub mod directory;
pub mod error;
pub mod everyone;
mod flights;
pub mod model;
mod queue;
pub mod rate_limit;
pub mod rehearsal;
mod sender;
pub mod snapshot;
pub mod transport;
mod walk;
