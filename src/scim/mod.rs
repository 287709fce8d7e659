//! The protocol of RFC 7643 and RFC 7644, pure: values in, values out; no IO, no clock, no log.

pub mod bulk;
mod check;
mod compare;
pub mod cursor;
pub mod discovery;
mod edit;
pub mod entra;
pub mod error;
pub mod filter;
mod grammar;
pub mod members;
mod operation;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
pub mod schema;
pub mod sort;
pub mod version;
pub mod words;
