//! The log: one line per request and per event on standard error, as text for people or as JSON for machines.

pub mod line;

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Deserialize;
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::line::{Fields, Style};

/// `log.*` of the settings.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Settings {
    pub level: Level,
    pub format: Format,
    pub personal_data: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text where somebody reads along, on a terminal and in the journal; JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// What standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Terminal {
        /// Whether colours are wanted there.
        colours: bool,
    },
    /// systemd's journal.
    Journal,
    Other,
}

impl Destination {
    /// `variables` are those of the process: `NO_COLOR` and `TERM` are asked about colours, and `JOURNAL_STREAM` says which
    /// stream is the journal's (systemd.exec(5)); it is inherited also by those whose standard error is another one.
    pub fn of_stderr(variables: impl Iterator<Item = (String, String)>) -> Self {
        let stream = stream_of_stderr();
        let (mut colours, mut journal) = (true, false);
        for (name, value) in variables {
            match name.as_str() {
                "NO_COLOR" => colours &= value.is_empty(),
                "TERM" => colours &= value != "dumb",
                "JOURNAL_STREAM" => journal = stream.as_deref() == Some(&value),
                _ => {}
            }
        }
        if journal {
            Self::Journal
        } else if io::stderr().is_terminal() {
            Self::Terminal { colours }
        } else {
            Self::Other
        }
    }
}

/// Device and inode, as `JOURNAL_STREAM` has them.
fn stream_of_stderr() -> Option<String> {
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    Some(format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// Lines with values of people have this target, and level `debug`.
const PERSONAL: &str = "personal";

/// Begins logging. A second call changes nothing.
pub fn init(settings: Settings, destination: Destination) {
    let level = match settings.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let log = Log { style: style(settings.format, destination), to: Stderr };
    let ours = ours(level);
    let wanted = if settings.personal_data { ours.with_target(PERSONAL, level) } else { ours };
    drop(tracing_subscriber::registry().with(wanted).with(log).try_init());
}

fn style(format: Format, destination: Destination) -> Style {
    let json = match format {
        Format::Auto => destination == Destination::Other,
        Format::Text => false,
        Format::Json => true,
    };
    let journal = destination == Destination::Journal;
    Style {
        json,
        // Whoever takes JSON out of the journal shall find in it what is in it elsewhere.
        times: json || !journal,
        colours: !json && destination == Destination::Terminal { colours: true },
        priorities: journal,
    }
}

/// Only our own words: the HTTP libraries log headers and URLs, and those name people.
fn ours(level: LevelFilter) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level)
}

/// What the log would say, kept for somebody who wants to show it.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<String>>>);

/// Keeps warnings and errors in place of writing them.
pub fn capture() -> Captured {
    let (captured, log) = captured();
    drop(tracing::dispatcher::set_global_default(log));
    captured
}

/// The same for what happens on this very thread while `work` is under way.
pub fn capture_here<T>(work: impl FnOnce(&Captured) -> T) -> T {
    let (captured, log) = captured();
    tracing::dispatcher::with_default(&log, || work(&captured))
}

fn captured() -> (Captured, Dispatch) {
    let captured = Captured::default();
    let log = Log { style: Style::default(), to: captured.clone() };
    (captured, Dispatch::new(tracing_subscriber::registry().with(ours(LevelFilter::WARN)).with(log)))
}

impl Captured {
    /// The lines since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines go.
trait Sink: Debug + Send + Sync + 'static {
    fn write(&self, line: String);
}

#[derive(Debug)]
struct Stderr;

impl Sink for Stderr {
    /// At once, so that no two lines are mixed. A log that cannot be written stops nothing.
    fn write(&self, line: String) {
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}

impl Sink for Captured {
    fn write(&self, line: String) {
        self.lines().push(line.trim_end().to_owned());
    }
}

/// Makes lines of events.
#[derive(Debug)]
struct Log<T> {
    style: Style,
    to: T,
}

impl<S, T> Layer<S> for Log<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    T: Sink,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    /// What a span says is true of all that happens in it: so every line tells to which request it belongs.
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add_missing(outer);
            }
        }
        self.to.write(self.style.line(Timestamp::now(), event.metadata(), &fields));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_fits_whoever_reads() {
        let terminal = Destination::Terminal { colours: true };
        for (format, destination, style) in [
            (Format::Auto, terminal, "text times colours"),
            (Format::Auto, Destination::Terminal { colours: false }, "text times"),
            (Format::Auto, Destination::Journal, "text priorities"),
            (Format::Auto, Destination::Other, "json times"),
            (Format::Text, Destination::Other, "text times"),
            (Format::Json, Destination::Journal, "json times priorities"),
            (Format::Json, terminal, "json times"),
        ] {
            let Style { json, times, colours, priorities } = super::style(format, destination);
            let is = [
                (!json, "text"),
                (json, "json"),
                (times, "times"),
                (colours, "colours"),
                (priorities, "priorities"),
            ];
            let is: Vec<_> = is.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
            assert_eq!(is.join(" "), style, "{format:?} {destination:?}");
        }
    }

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        let destination =
            |name: &str, value: String| Destination::of_stderr([(name.to_owned(), value)].into_iter());
        assert_eq!(destination("JOURNAL_STREAM", stream_of_stderr().unwrap()), Destination::Journal);
        assert_ne!(destination("JOURNAL_STREAM", "0:1".to_owned()), Destination::Journal);
    }

    #[test]
    fn a_line_tells_the_request_that_it_belongs_to() {
        let told = capture_here(|captured| {
            let span = tracing::error_span!("request", request_id = "r1", client = "entra");
            let inside = span.enter();
            tracing::warn!(client = "other", "odd");
            tracing::info!("not kept");
            drop(inside);
            tracing::error!(code = 7, "outside");
            captured.take()
        });
        assert_eq!(told, ["WARN  odd client=other request_id=r1", "ERROR outside code=7"]);
    }
}
