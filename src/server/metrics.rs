//! `/metrics`: the numbers of the service. What is counted is counted by the room that counts; here it is only written
//! down, at the moment somebody asks.

use std::sync::atomic::Ordering;

use crate::bridge::audit::Lines;
use crate::bridge::figures::{Brake, Figures, Waiting};
use crate::server::auth::Count;
use crate::server::exposition::Page;
use crate::server::forecast::Share;
use crate::server::issuer_keys::Standing;
use crate::server::readiness::{Look, Readiness, STATES};
use crate::server::reloads::Tally;
use crate::server::tls::Tls;
use crate::server::tokens::Tokens;
use crate::server::traffic::Traffic;
use crate::server::upstream_metrics;
use crate::server::{process, seats};

/// Everything there is to tell.
pub(super) async fn render(readiness: &Readiness) -> String {
    let Readiness { bridge, reloads, door, witness, tls: own_tls, .. } = readiness;
    let look = readiness.look().await;
    let figures = bridge.figures().await;
    let mapping = bridge.mapping_in_force();
    let mut page = Page::default();
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.gauge("build_info", "The version that runs.").sample(&version, 1);
    ready(&mut page, &look);
    requests(&mut page, &witness.traffic);
    forecast(&mut page, witness.forecast.share());
    if let Some(seats) = witness.seats.get() {
        connections(&mut page, seats.figures());
    }
    failures(&mut page, &door.count);
    issuers(&mut page, &door.issuers());
    tokens(&mut page, &door.tokens());
    tls(&mut page, own_tls.as_deref());
    upstream_metrics::render(&mut page, &figures.upstream);
    store(&mut page, &figures);
    brake(&mut page, figures.brake);
    grants(&mut page, figures.grants);
    audit(&mut page, figures.audit);
    reloaded(&mut page, &reloads.tally());
    let labels = [("file", &*mapping.file), ("digest", &*mapping.digest)];
    page.gauge("mapping_info", "The mapping in force.").sample(&labels, 1);
    process::render(&mut page, witness.started);
    page.into_text()
}

fn ready(page: &mut Page, look: &Look) {
    let help = "Whether Entra can be served (1) or not (0), as /readyz says.";
    page.gauge("ready", help).value(u8::from(look.ready));
    let help = "How each part is: 1 for the state it is in, 0 for the others.";
    let mut family = page.gauge("part_state", help);
    for part in &look.parts {
        for state in STATES {
            family.sample(&[("part", part.name), ("state", state)], u8::from(state == part.state));
        }
    }
}

fn requests(page: &mut Page, traffic: &Traffic) {
    let operations = traffic.so_far();
    let help = "Requests, by operation and by the status that they were answered with; aborted: the client went away.";
    let mut family = page.counter("requests_total", help);
    for (operation, requests) in &operations {
        for (status, count) in &requests.answered {
            let status = status.as_ref().map_or("aborted", |status| status.as_str());
            family.sample(&[("operation", operation), ("status", status)], count);
        }
    }
    let help = "How long requests took from their header to their answer, all waits included.";
    let mut family = page.histogram("request_duration_seconds", help);
    for (operation, requests) in &operations {
        family.buckets(&[("operation", operation)], &requests.durations);
    }
}

fn forecast(page: &mut Page, share: Share) {
    let help = "People and groups that were asked for within the last 40 to 80 minutes, one or two cycles of Entra's.";
    page.gauge("entra_objects", help).value(share.objects);
    let help = "Of these, those of whom the last that was to be done has failed.";
    page.gauge("entra_objects_failed", help).value(share.failed);
    let help = "Their share. Entra puts a job into quarantine above 0.4, once it has seen 5,000 failures.";
    page.gauge("entra_objects_failed_ratio", help).value(share.ratio());
}

fn connections(page: &mut Page, seats: seats::Figures) {
    page.gauge("connections_open", "Connections of clients at this moment.").value(seats.open);
    let help = "So many there may be (server.max_connections).";
    page.gauge("connections_limit", help).value(seats.most);
    let help = "Connections that clients have opened.";
    page.counter("connections_total", help).value(seats.seated);
    let help = "Connections that were closed at once, because their source had too many.";
    page.counter("connections_refused_total", help).value(seats.refused);
}

fn failures(page: &mut Page, count: &Count) {
    let help = "Requests without a right credential, by how they were answered.";
    let mut family = page.counter("failed_authentications_total", help);
    for (status, count) in [("401", &count.refused), ("429", &count.braked), ("503", &count.undecided)] {
        family.sample(&[("status", status)], count.load(Ordering::Relaxed));
    }
    let granted = count.granted.load(Ordering::Relaxed);
    page.counter("access_tokens_total", "Access tokens given out at /oauth2/token.").value(granted);
}

/// The keys of those who sign tokens for the bridge, by the address that they come from.
fn issuers(page: &mut Page, issuers: &[(String, Standing)]) {
    let mut family = page.gauge("issuer_keys", "How many keys of an issuer are known.");
    for (url, standing) in issuers {
        family.sample(&[("url", url)], standing.keys);
    }
    let help = "When an issuer's keys were last fetched, in seconds since 1970.";
    let mut family = page.gauge("issuer_keys_fetch_timestamp_seconds", help);
    for (url, since) in issuers.iter().filter_map(|(url, standing)| Some((url, standing.since?))) {
        family.sample(&[("url", url)], since.as_second());
    }
    let help = "Attempts to fetch an issuer's keys, by what became of them.";
    let mut family = page.counter("issuer_key_fetches_total", help);
    for (url, standing) in issuers {
        for (result, count) in [("ok", standing.fetched), ("failed", standing.failed)] {
            family.sample(&[("url", url), ("result", result)], count);
        }
    }
}

fn tokens(page: &mut Page, tokens: &Tokens) {
    let help = "When a token expires, in seconds since 1970; only of tokens that do.";
    let mut family = page.gauge("token_expiry_timestamp_seconds", help);
    for token in tokens.iter() {
        if let Some(end) = token.expires {
            family.sample(&[("name", &token.name)], end.as_second());
        }
    }
}

fn tls(page: &mut Page, tls: Option<&Tls>) {
    let help = "When the certificate that is shown expires, in seconds since 1970; only with TLS of the bridge's own.";
    let mut family = page.gauge("certificate_expiry_timestamp_seconds", help);
    if let Some(tls) = tls {
        family.sample(&[], tls.identity().certificate.ends.as_second());
    }
    let help = "Connections on which TLS was not agreed upon, or not in time.";
    let failed = tls.map_or(0, |tls| tls.failed.load(Ordering::Relaxed));
    page.counter("failed_tls_handshakes_total", help).value(failed);
}

/// What cannot be read is left out: a zero would say that nothing is there.
fn store(page: &mut Page, figures: &Figures) {
    if let Some(sizes) = figures.store {
        for (name, help, value) in [
            ("store_people", "People in the store.", sizes.people),
            ("store_groups", "Groups in the store.", sizes.groups),
            (
                "store_tombstones",
                "People deleted through the bridge, whom Ziflow still holds.",
                sizes.tombstones,
            ),
            ("store_open_intents", "Creates whose outcome is not settled.", sizes.intents),
        ] {
            page.gauge(name, help).value(value);
        }
        let help = "The store's file and its journal; 0 in memory.";
        page.gauge("store_file_bytes", help).value(sizes.file_bytes);
    }
    let help = "How often the store could not do what was asked of it.";
    page.counter("store_failures_total", help).value(figures.store_failures);
}

fn brake(page: &mut Page, brake: Option<Brake>) {
    let Some(Brake { is_tripped, taken, most }) = brake else { return };
    let help = "Whether the brake on mass disabling has tripped (1) or not (0).";
    page.gauge("brake_tripped", help).value(u8::from(is_tripped));
    let help = "People who have lost their access within the last hour.";
    page.gauge("brake_deactivations", help).value(taken);
    let help = "So many may lose it within an hour; 0: any number.";
    page.gauge("brake_deactivations_limit", help).value(most);
}

fn grants(page: &mut Page, grants: Option<Waiting>) {
    let Some(Waiting { waiting, failing, oldest_secs }) = grants else { return };
    page.gauge("grants_waiting", "People who wait for what their groups grant.").value(waiting);
    page.gauge("grants_failing", "Of these, those for whom it has failed at least once.").value(failing);
    let help = "For how long the one has waited who has waited longest.";
    page.gauge("grants_oldest_seconds", help).value(oldest_secs);
}

fn audit(page: &mut Page, lines: Lines) {
    page.counter("audit_lines_total", "Lines written to the audit log.").value(lines.written);
    let help = "Lines that could not be written and were not kept: nobody will ever see them.";
    page.counter("audit_lines_lost_total", help).value(lines.lost);
    let help = "Whether the audit log cannot be written (1) or can (0).";
    page.gauge("audit_failing", help).value(u8::from(lines.is_failing));
}

fn reloaded(page: &mut Page, tally: &Tally) {
    let mut family = page.counter("reloads_total", "Reloads of settings or mapping, by what became of them.");
    family.sample(&[("result", "ok")], tally.succeeded);
    family.sample(&[("result", "refused")], tally.refused);
    let help = "Whether what was last to be loaded is in force (1), or was refused (0).";
    page.gauge("last_reload_success", help).value(u8::from(tally.refusal.is_none()));
    let help = "When something was last loaded, the start included, in seconds since 1970.";
    page.gauge("last_reload_success_timestamp_seconds", help).value(tally.last_success.as_second());
}
