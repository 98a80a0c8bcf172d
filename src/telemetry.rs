//! Log records to stderr, as text for people or JSON for machines.
//!
//! Records of dependencies that log by the crate `log` come along. Nothing else in the program knows how
//! records are written; everybody writes them with `tracing`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Begins to log, once per process: a later call changes nothing.
///
/// JSON is one object a line, with the fields of the record under `fields` and those of the spans around it
/// (`trace_id`, `event_id`, …) under `spans`, outermost first. Text has colours on a terminal only, and never
/// where `NO_COLOR` is set.
pub fn init(config: &LogConfig) {
    // The configuration is checked: this is the level that the built-in one has.
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours());
    let already_begun = match config.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().with_current_span(false).with_span_list(true).finish().try_init(),
    };
    // Tests of one process begin many times.
    drop(already_begun);
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
