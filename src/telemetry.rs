//! The log: one line per request and per event, as text for people or JSON for machines, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// `log.*` of the settings.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Settings {
    pub level: Level,
    pub format: Format,
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
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Begins logging. A second call changes nothing.
pub fn init(settings: Settings) {
    let level = match settings.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Only our own words: the HTTP libraries log headers and URLs, and those name people.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let terminal = std::io::stderr().is_terminal();
    let json = settings.format == Format::Json || settings.format == Format::Auto && !terminal;
    let registry = tracing_subscriber::registry().with(ours);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let begun = if json {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(layer.with_ansi(terminal)).try_init()
    };
    drop(begun);
}

/// What the log would say, kept for somebody who wants to show it.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

/// Keeps warnings and errors in place of writing them.
pub fn capture() -> Captured {
    let captured = Captured::default();
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::WARN);
    let writer = captured.clone();
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let layer = layer.with_ansi(false).with_target(false).without_time();
    drop(tracing_subscriber::registry().with(ours).with(layer).try_init());
    captured
}

impl Captured {
    /// The lines since the last time.
    pub fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.bytes());
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
