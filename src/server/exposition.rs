//! Prometheus' text format (version 0.0.4), written by hand: families with their help, samples with their labels.

use std::fmt::{self, Display, Write as _};

use crate::meter::Histogram;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every name begins with, but for those that Prometheus gives to all programs.
const PREFIX: &str = "ziflow_scim_bridge_";
const OF_ALL_PROGRAMS: &str = "process_";

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// What only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// What goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        let prefix = if name.starts_with(OF_ALL_PROGRAMS) { "" } else { PREFIX };
        let name = format!("{prefix}{name}");
        add(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { text: &mut self.0, name }
    }
}

/// A family whose samples follow.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: String,
}

impl Family<'_> {
    /// The only sample.
    pub(super) fn value(mut self, value: impl Display) {
        self.sample(&[], value);
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, value);
    }

    pub(super) fn buckets(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        for (end, count) in histogram.up_to() {
            self.line("_bucket", &[labels, &[("le", &end.to_string())]].concat(), count);
        }
        self.line("_bucket", &[labels, &[("le", "+Inf")]].concat(), histogram.count());
        self.line("_sum", labels, histogram.sum().as_secs_f64());
        self.line("_count", labels, histogram.count());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        add(self.text, format_args!("{}{suffix}{labels} {value}\n", self.name));
    }
}

fn add(text: &mut String, more: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(more).unwrap_or_default();
}

/// The three characters that a label's value cannot hold as they are.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_family_reads_as_prometheus_wants_it() {
        let mut page = Page::default();
        let mut family = page.counter("x_total", "How often.");
        family.sample(&[("file", "C:\\a \"b\"\nc"), ("result", "ok")], 7);
        family.sample(&[("result", "refused")], 0);
        page.gauge("process_open_fds", "Open files.").value(9);
        assert_eq!(
            page.into_text(),
            "# HELP ziflow_scim_bridge_x_total How often.\n# TYPE ziflow_scim_bridge_x_total counter\n\
             ziflow_scim_bridge_x_total{file=\"C:\\\\a \\\"b\\\"\\nc\",result=\"ok\"} 7\n\
             ziflow_scim_bridge_x_total{result=\"refused\"} 0\n\
             # HELP process_open_fds Open files.\n# TYPE process_open_fds gauge\nprocess_open_fds 9\n"
        );
    }

    #[test]
    fn a_histogram_tells_each_bucket_with_all_below_it() {
        let mut histogram = Histogram::default();
        histogram.note(Duration::from_millis(70));
        histogram.note(Duration::from_secs(11));
        let mut page = Page::default();
        page.histogram("x_seconds", "How long.").buckets(&[("operation", "a")], &histogram);
        let text = page.into_text();
        for line in [
            "# TYPE ziflow_scim_bridge_x_seconds histogram",
            "ziflow_scim_bridge_x_seconds_bucket{operation=\"a\",le=\"0.05\"} 0",
            "ziflow_scim_bridge_x_seconds_bucket{operation=\"a\",le=\"0.1\"} 1",
            "ziflow_scim_bridge_x_seconds_bucket{operation=\"a\",le=\"10\"} 1",
            "ziflow_scim_bridge_x_seconds_bucket{operation=\"a\",le=\"+Inf\"} 2",
            "ziflow_scim_bridge_x_seconds_sum{operation=\"a\"} 11.07",
            "ziflow_scim_bridge_x_seconds_count{operation=\"a\"} 2",
        ] {
            assert!(text.lines().any(|given| given == line), "no {line} in {text}");
        }
    }
}
