//! The whole product: the real binary against the simulated Ziflow, over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "a test that meets the unexpected stops, and its helpers are test code as well"
)]

mod account;
mod admin;
mod audit;
mod auth_stage;
mod brake;
mod budget;
mod bulk;
mod check;
mod doctor;
mod drift;
mod dry_run;
mod entra_tokens;
mod explain;
mod explain_groups;
mod faults;
mod group_faults;
mod group_ids;
mod group_stage;
mod groups;
mod groups_big;
mod groups_corners;
mod groups_storm;
mod harness;
mod health;
mod help;
mod issuer;
mod issuer_way;
mod limits;
mod limits_input;
mod listing;
mod logs;
mod manners;
mod manual;
mod metrics;
mod nasty_ids;
mod networks;
mod oauth;
mod process;
mod provisioning_log;
mod reload;
mod schema;
mod secrets;
mod starters;
mod status_page;
mod storm;
mod systemd;
mod tidy;
mod tls;
mod tokens;
mod transcripts;
mod truth;
mod unknowns;
mod upstream;
mod users;
mod validator;
mod walk;
mod way_stage;
mod wire;
