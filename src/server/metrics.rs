//! `/metrics`: the numbers of the service in Prometheus' text format (version 0.0.4). What is counted is counted by
//! the room that counts; here it is only written down, at the moment somebody asks.

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

use crate::bridge::in_force::InForce;
use crate::meter::Histogram;
use crate::server::auth::Count;
use crate::server::readiness::{Look, Readiness, STATES};
use crate::server::reloads::Tally;
use crate::server::tls::Tls;
use crate::server::tokens::Tokens;
use crate::server::traffic::Traffic;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything there is to tell.
pub(super) fn render(
    look: &Look,
    Readiness { reloads, door, witness, tls, .. }: &Readiness,
    mapping: &InForce,
    grants: Option<(u32, u32, i64)>,
) -> String {
    let mut page = Page::default();
    page.family("build_info", Kind::Gauge, "The version that runs.");
    page.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.readiness(look);
    page.requests(&witness.traffic);
    page.reloads(&reloads.tally());
    page.family("mapping_info", Kind::Gauge, "The mapping in force.");
    page.sample("mapping_info", &[("file", &mapping.file), ("digest", &mapping.digest)], 1);
    page.tokens(&door.tokens());
    page.failures(&door.count);
    if let Some(tls) = tls {
        page.tls(tls);
    }
    page.grants(grants);
    page.0
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
#[derive(Default)]
struct Page(String);

impl Page {
    fn readiness(&mut self, look: &Look) {
        self.family("ready", Kind::Gauge, "Whether Entra can be served (1) or not (0), as /readyz says.");
        self.sample("ready", &[], u8::from(look.ready));
        self.family(
            "part_state",
            Kind::Gauge,
            "How each part is: 1 for the state it is in, 0 for the others.",
        );
        for part in &look.parts {
            for state in STATES {
                self.sample(
                    "part_state",
                    &[("part", part.name), ("state", state)],
                    u8::from(state == part.state),
                );
            }
        }
    }

    fn requests(&mut self, traffic: &Traffic) {
        let operations = traffic.so_far();
        let help = "Requests, by operation and by the status that they were answered with.";
        self.family("requests_total", Kind::Counter, help);
        for (operation, requests) in &operations {
            for (status, count) in &requests.answered {
                let status = status.as_ref().map_or("aborted", |status| status.as_str());
                self.sample("requests_total", &[("operation", operation), ("status", status)], count);
            }
        }
        let help = "How long requests took from their header to their answer, all waits included.";
        self.family("request_duration_seconds", Kind::Histogram, help);
        for (operation, requests) in &operations {
            self.histogram("request_duration_seconds", &[("operation", operation)], &requests.durations);
        }
    }

    fn reloads(&mut self, tally: &Tally) {
        self.family(
            "reloads_total",
            Kind::Counter,
            "Reloads of settings or mapping, by what became of them.",
        );
        self.sample("reloads_total", &[("result", "ok")], tally.succeeded);
        self.sample("reloads_total", &[("result", "refused")], tally.refused);
        let help = "Whether what was last to be loaded is in force (1), or was refused (0).";
        self.family("last_reload_success", Kind::Gauge, help);
        self.sample("last_reload_success", &[], u8::from(tally.refusal.is_none()));
        let help = "When something was last loaded, the start included, in seconds since 1970.";
        self.family("last_reload_success_timestamp_seconds", Kind::Gauge, help);
        self.sample("last_reload_success_timestamp_seconds", &[], tally.last_success.as_second());
    }

    /// What cannot be read is left out: a zero would say that all is done.
    fn grants(&mut self, grants: Option<(u32, u32, i64)>) {
        let Some((waiting, failing, oldest_secs)) = grants else { return };
        let gauges = [
            ("grants_waiting", "People who wait for what their groups grant.", i64::from(waiting)),
            ("grants_failing", "Of these, those for whom it has failed at least once.", i64::from(failing)),
            ("grants_oldest_seconds", "For how long the one has waited who has waited longest.", oldest_secs),
        ];
        for (name, help, value) in gauges {
            self.family(name, Kind::Gauge, help);
            self.sample(name, &[], value);
        }
    }

    fn tokens(&mut self, tokens: &Tokens) {
        let ends: Vec<_> = tokens.iter().filter_map(|token| Some((&*token.name, token.expires?))).collect();
        if ends.is_empty() {
            return;
        }
        let help = "When a token expires, in seconds since 1970; only of tokens that do.";
        self.family("token_expiry_timestamp_seconds", Kind::Gauge, help);
        for (name, end) in ends {
            self.sample("token_expiry_timestamp_seconds", &[("name", name)], end.as_second());
        }
    }

    fn tls(&mut self, tls: &Tls) {
        let help = "When the certificate that is shown expires, in seconds since 1970.";
        self.family("certificate_expiry_timestamp_seconds", Kind::Gauge, help);
        let end = tls.identity().certificate.ends;
        self.sample("certificate_expiry_timestamp_seconds", &[], end.as_second());
        let help = "Connections on which TLS was not agreed upon, or not in time.";
        self.family("failed_tls_handshakes_total", Kind::Counter, help);
        self.sample("failed_tls_handshakes_total", &[], tls.failed.load(Ordering::Relaxed));
    }

    fn failures(&mut self, count: &Count) {
        let help = "Requests without a right credential, by how they were answered.";
        self.family("failed_authentications_total", Kind::Counter, help);
        for (status, count) in [("401", &count.refused), ("429", &count.braked)] {
            self.sample("failed_authentications_total", &[("status", status)], count.load(Ordering::Relaxed));
        }
    }

    /// The head of a family; its samples follow.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.add(format_args!(
            "# HELP ziflow_scim_bridge_{name} {help}\n# TYPE ziflow_scim_bridge_{name} {kind}\n"
        ));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.add(format_args!("ziflow_scim_bridge_{name}{labels} {value}\n"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let up_to = |page: &mut Self, end: &str, count| {
            page.sample(&bucket, &[labels, &[("le", end)]].concat(), count);
        };
        for (end, count) in histogram.up_to() {
            up_to(self, &end.to_string(), count);
        }
        up_to(self, "+Inf", histogram.count());
        self.sample(&format!("{name}_sum"), labels, histogram.sum().as_secs_f64());
        self.sample(&format!("{name}_count"), labels, histogram.count());
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        self.0.write_fmt(text).unwrap_or_default();
    }
}

/// The three characters that a label's value cannot hold as they are.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_reads_as_prometheus_wants_it() {
        let mut page = Page::default();
        page.family("x_total", Kind::Counter, "How often.");
        page.sample("x_total", &[("file", "C:\\a \"b\"\nc"), ("result", "ok")], 7);
        page.sample("x_total", &[], 0);
        assert_eq!(
            page.0,
            "# HELP ziflow_scim_bridge_x_total How often.\n# TYPE ziflow_scim_bridge_x_total counter\n\
             ziflow_scim_bridge_x_total{file=\"C:\\\\a \\\"b\\\"\\nc\",result=\"ok\"} 7\nziflow_scim_bridge_x_total 0\n"
        );
    }
}
