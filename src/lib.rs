//! The rooms of ziflow-scim-bridge; ARCHITECTURE.md says who may import whom.

pub mod bridge;
pub mod cli;
pub mod config;
pub mod mapping;
pub mod mask;
pub mod meter;
pub mod scim;
pub mod server;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod yaml;
pub mod ziflow;
