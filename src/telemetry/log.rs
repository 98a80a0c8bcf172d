//! Log records to stderr, as text for people or JSON for machines.
//!
//! Records of dependencies that log by the crate `log` come along. Nothing else in the program knows how
//! records are written; everybody writes them with `tracing`.
//!
//! What always holds: no secret and no value of a setting is written. This program's own records have none. The
//! libraries for AMQP and Postgres, and what is below them, put frames, passwords and the parameters of statements
//! into their records of the levels debug and trace: these are never written, whatever the filter says. And a record is
//! one line that controls no terminal, whatever the texts hold that it tells of.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};
use crate::harmless::controls;

/// Begins to log, once per process: a later call changes nothing.
///
/// JSON is one object a line, with the fields of the record under `fields` and those of the spans around it
/// (`trace_id`, `event_id`, …) under `spans`, outermost first. Text has colours on a terminal only, and never
/// where `NO_COLOR` is set.
pub fn init(config: &LogConfig) {
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // It fails where logging has begun already, as it has in all but the first test of a process.
    let _ = subscriber(config, colours, std::io::stderr).try_init();
}

fn subscriber<W>(config: &LogConfig, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // The configuration is checked, so this never has to fall back.
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = Lines { writer, format: config.format, colours };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(writer);
    match config.format {
        LogFormat::Text => Box::new(builder.finish().with(discreet())),
        LogFormat::Json => {
            let builder = builder.json().with_current_span(false).with_span_list(true);
            Box::new(builder.finish().with(discreet()))
        }
    }
}

/// Writes each record as one line.
struct Lines<M> {
    writer: M,
    format: LogFormat,
    colours: bool,
}

impl<'writer, M: MakeWriter<'writer>> MakeWriter<'writer> for Lines<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        Line { writer: self.writer.make_writer(), format: self.format, colours: self.colours }
    }
}

/// Takes one record, which the subscriber hands over whole.
struct Line<W> {
    writer: W,
    format: LogFormat,
    colours: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let record = String::from_utf8_lossy(bytes);
        let record = record.strip_suffix('\n').unwrap_or(&record);
        let mut line = String::with_capacity(bytes.len());
        for (at, c) in record.char_indices() {
            match self.format {
                _ if !controls(c) => line.push(c),
                LogFormat::Text if self.colours && is_colour(&record[at..]) => line.push(c),
                LogFormat::Text => line.extend(c.escape_default()),
                LogFormat::Json => write!(line, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            }
        }
        line.push('\n');
        self.writer.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Whether a text begins with what the subscriber writes for a colour, such as `ESC [ 2 m`. It leaves them in texts of
/// fields as well: there they colour, and no more.
fn is_colour(text: &str) -> bool {
    let end = text.strip_prefix("\u{1b}[").map(|text| text.trim_start_matches(|c: char| c.is_ascii_digit()));
    end.is_some_and(|end| end.starts_with('m'))
}

/// What the names of modules begin with that handle secrets and values, and are none of ours.
const TALKATIVE: [&str; 10] = [
    "lapin",
    "amq_protocol",
    "tcp_stream",
    "async_rs",
    "tokio_postgres",
    "postgres",
    "deadpool",
    "refinery",
    "rustls",
    "hyper",
];

/// Lets through what may be written: of talkative modules, nothing below the level info.
fn discreet() -> FilterFn {
    FilterFn::new(|metadata: &Metadata<'_>| {
        *metadata.level() <= LevelFilter::INFO
            || !TALKATIVE.iter().any(|module| metadata.target().starts_with(module))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of a few records.
    fn written(format: LogFormat, filter: &str) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = LogConfig { format, filter: filter.to_owned() };
        let subscriber = subscriber(&config, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let _outer = tracing::info_span!("ingest", trace_id = "t-1").entered();
            let _inner = tracing::info_span!("event", event_id = "e-1").entered();
            tracing::info!(letters = 3, "stored");
            tracing::debug!("not unless it is asked for");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_an_object_a_line_with_the_fields_of_the_spans() {
        let text = written(LogFormat::Json, "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        let record: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record["level"], "INFO");
        assert_eq!(record["fields"], json!({ "message": "stored", "letters": 3 }));
        assert_eq!(
            record["spans"],
            json!([{ "name": "ingest", "trace_id": "t-1" }, { "name": "event", "event_id": "e-1" }])
        );
    }

    #[test]
    fn text_is_a_line_a_record_without_colours() {
        let text = written(LogFormat::Text, "debug");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("trace_id=\"t-1\"") && text.contains("stored letters=3"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn libraries_that_handle_secrets_are_never_asked_for_detail() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let filter = "trace,tokio_postgres::query=trace,lapin=trace".to_owned();
        let config = LogConfig { format: LogFormat::Text, filter };
        tracing::subscriber::with_default(subscriber(&config, false, move || writer.clone()), || {
            tracing::trace!(target: "lapin::io_loop", "sesame");
            tracing::debug!(target: "tokio_postgres::query", "sesame");
            tracing::info!(target: "tokio_postgres::connection", "a notice");
            tracing::trace!("ours");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("sesame") && text.contains("a notice") && text.contains("ours"), "{text}");
    }

    /// Whatever somebody else may have written.
    const HOSTILE: &str = "a\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[31m\u{1b}]0;t\u{9b}2J\u{7}\0\u{202e}\u{2066}\u{2028}\u{200b}ä";

    fn hostile(format: LogFormat, colours: bool) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = LogConfig { format, filter: "info".to_owned() };
        tracing::subscriber::with_default(subscriber(&config, colours, move || writer.clone()), || {
            let _span = tracing::info_span!("event", event_id = HOSTILE, source = %HOSTILE).entered();
            let error = std::io::Error::other(HOSTILE);
            tracing::info!(text = HOSTILE, display = %HOSTILE, debug = ?HOSTILE, %error, "{HOSTILE}");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_record_is_a_line_whatever_it_tells_of() {
        for (format, colours) in [(LogFormat::Text, false), (LogFormat::Text, true), (LogFormat::Json, false)]
        {
            let text = hostile(format, colours);
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(|c| c != '\u{1b}' && controls(c)), "{line:?}");
            assert!(line.contains('ä'), "{line:?}");
            // With colours, those alone.
            assert_eq!(line.contains('\u{1b}'), colours, "{line:?}");
            assert!(!line.contains("\u{1b}]"), "{line:?}");
        }
        let record: Value = serde_json::from_str(&hostile(LogFormat::Json, false)).unwrap();
        assert_eq!(record["fields"]["message"], HOSTILE);
        assert_eq!(record["fields"]["error"], HOSTILE);
        assert_eq!(record["spans"][0]["event_id"], HOSTILE);
    }

    #[test]
    fn beginning_twice_is_fine() {
        let config = LogConfig { format: LogFormat::Text, filter: "off".to_owned() };
        init(&config);
        init(&config);
    }
}
