//! The status page and the tab `explain`, for people who watch: no script, nothing from elsewhere, and nobody's name unless
//! `log.personal_data` allows it.

pub mod explain;
mod filter;
mod page;
mod request;
mod view;

use jiff::Timestamp;

use crate::server::readiness::Readiness;
use crate::server::status::filter::Filter;
use crate::server::status::page::Seen;

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const ICON: &str = include_str!("icon.svg");

/// The page at this moment; `query` says which requests are to be shown.
pub(super) async fn page(readiness: &Readiness, query: Option<&str>) -> String {
    let look = readiness.look().await;
    let operations = &readiness.witness.operations;
    let seen = Seen {
        now: Timestamp::now(),
        look,
        tally: readiness.reloads.tally(),
        mapping: readiness.bridge.mapping_in_force(),
        tokens: readiness.door.tokens(),
        pace: readiness.bridge.pace(),
        values: readiness.witness.values,
        operations: operations.latest(),
        failures: operations.failures(),
    };
    seen.page(&Filter::parse(query))
}
