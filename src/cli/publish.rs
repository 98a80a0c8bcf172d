//! `publish`: events from a file to the broker.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::Failure;
use super::output::{self, Output};
use super::{Format, block_on, words};
use crate::config::Config;
use crate::operations;

/// How many malformed events are named.
const MALFORMED_MAX: usize = 10;

/// `publish FILE|-`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE holds one event, laid out as you like, or several, one a line (JSON Lines): CloudEvents in structured
form, such as

  {\"specversion\": \"1.0\", \"id\": \"e-1\", \"source\": \"platform\", \"type\": \"setting-changed\",
   \"data\": {\"organization_id\": \"helios\", \"category\": \"equipment\",
            \"changes\": [{\"op\": \"set\", \"key\": \"module/x\", \"value\": {\"watts\": 430}}]}}

If one of them cannot be an event, or is larger or deeper than ingest.body_bytes_max, ingest.entries_max and
ingest.depth_max allow, nothing is published. To publish the same again does no harm.

Examples:
  channel-sync publish events.jsonl
  generate-events | channel-sync publish -")]
pub(super) struct PublishArgs {
    /// The file to read, or - for stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

/// The text of a file, or of stdin, and what to call it. `outcome` says what was not done where it is not UTF-8.
pub(super) fn read(file: &Path, outcome: &str) -> Result<(String, String), Failure> {
    let from_stdin = file.as_os_str() == "-";
    let name = if from_stdin { "stdin".to_owned() } else { file.display().to_string() };
    let bytes = if from_stdin {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes =
        bytes.map_err(|error| Failure::new(format!("cannot read {name}")).caused_by(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
        Failure::new(format!("{outcome}: {name} is not UTF-8 from line {line} on"))
    })?;
    Ok((name, text))
}

pub(super) fn publish(config: &Config, arguments: &PublishArgs) -> Result<(), Failure> {
    let (name, text) = read(&arguments.file, "nothing was published")?;
    let events =
        operations::read(&text, &config.catalogue, &config.ingest.limits()).map_err(|malformed| {
            let count = words::count(malformed.len() as i64, "malformed event");
            let failure = Failure::new(format!("nothing was published: {name} has {count}"));
            let failure = malformed
                .iter()
                .take(MALFORMED_MAX)
                .fold(failure, |failure, malformed| failure.caused_by(malformed.to_string()));
            match malformed.len().saturating_sub(MALFORMED_MAX) {
                0 => failure,
                left_off => failure.hint(format!("and {left_off} more")),
            }
        })?;
    let published = block_on(operations::publish(&config.broker, &events))?
        .map_err(|error| Failure::publish(config, &error))?;
    if arguments.format.json {
        output::json(&published)?;
    } else if events.is_empty() {
        return Output::text().line(&format!("{name} holds no event; nothing was published")).finish();
    } else {
        let line = match (published.confirmed, published.events) {
            (confirmed, events) if confirmed == events => {
                format!("published {}, all confirmed", words::count(events as i64, "event"))
            }
            (confirmed, events) => {
                format!("{confirmed} of {} confirmed", words::count(events as i64, "event"))
            }
        };
        Output::text().line(&line).finish()?;
    }
    match published.not_taken.as_slice() {
        [] => Ok(()),
        not_taken => {
            let count = words::count(not_taken.len() as i64, "event");
            let failure = Failure::new(format!("the broker did not take {count}"));
            Err(not_taken.iter().take(MALFORMED_MAX).fold(failure, Failure::caused_by))
        }
    }
}
