//! `rejected`: messages that were not accepted.

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, names, open, words};
use crate::config::Config;
use crate::contract::RejectionCode;
use crate::operations::{self, RejectedDetail, RejectedQuery, RejectedState};

/// `rejected …`.
#[derive(Debug, Subcommand)]
pub(super) enum RejectedCommand {
    /// List rejected messages, the newest first
    List(ListArgs),
    /// Show a rejected message, whole
    Show(ShowArgs),
}

/// `rejected list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync rejected list
  channel-sync rejected list --code unknown-category --state rejected
  channel-sync rejected list --json | jq '.[].reason'")]
pub(super) struct ListArgs {
    /// With this code
    #[arg(long, value_name = "C", value_parser = codes())]
    code: Option<RejectionCode>,
    /// In this state
    #[arg(long, value_name = "S", value_parser = names::<RejectedState>(RejectedState::NAMES.iter()))]
    state: Option<RejectedState>,
    #[command(flatten)]
    limit: Limit,
    /// Go on after this one
    #[arg(long, value_name = "ID", value_parser = rejected_id)]
    after: Option<i64>,
    #[command(flatten)]
    format: Format,
}

/// `rejected show`.
#[derive(Debug, Args)]
#[command(after_help = "\
The body is shown as text, indented where it is JSON, or else as a hex dump. With --json it is the field body,
or body_hex where it is not UTF-8.

Examples:
  channel-sync rejected show 4
  channel-sync rejected show 4 --json | jq -r .body > event.json")]
pub(super) struct ShowArgs {
    /// The message's number
    #[arg(value_name = "ID", value_parser = rejected_id)]
    rejected_id: i64,
    #[command(flatten)]
    format: Format,
}

fn codes() -> impl TypedValueParser<Value = RejectionCode> {
    names(RejectionCode::ALL.map(RejectionCode::name))
}

fn rejected_id(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected a number, as `rejected list` shows it".to_owned())
}

pub(super) async fn execute(config: &Config, command: &RejectedCommand) -> Result<(), Failure> {
    match command {
        RejectedCommand::List(arguments) => list(config, arguments).await,
        RejectedCommand::Show(arguments) => show(config, arguments).await,
    }
}

async fn list(config: &Config, arguments: &ListArgs) -> Result<(), Failure> {
    let ListArgs { code, state, after, .. } = *arguments;
    let query = RejectedQuery { code, state, after, limit: arguments.limit.limit };
    let page = operations::rejected(&open(config)?, &query)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        let code = code.map(|code| format!(" with the code {code}")).unwrap_or_default();
        let state = state.map(|state| format!(" in the state {state}")).unwrap_or_default();
        let line = match after {
            Some(_) => "there are no more rejected messages".to_owned(),
            None => format!("there are no rejected messages{code}{state}"),
        };
        return Output::text().line(&line).finish();
    } else {
        let output = Output::text();
        let table = page
            .items
            .iter()
            .map(|row| {
                vec![
                    Content::name(row.rejected_id.to_string()),
                    Content::name(&row.code),
                    Content::State(row.state.clone()),
                    Content::name(words::count(row.body_bytes, "byte")),
                    output.time_in_table(row.received_at),
                    Content::Long(row.reason.clone()),
                ]
            })
            .collect();
        output.table(&["id", "code", "state", "size", "received", "reason"], table).finish()?;
    }
    if let Some(next) = page.next {
        output::note(&format!("there are more: --after {next}"));
    }
    Ok(())
}

async fn show(config: &Config, arguments: &ShowArgs) -> Result<(), Failure> {
    let detail = operations::rejected_message(&open(config)?, arguments.rejected_id)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        return output::json(&detail);
    }
    let RejectedDetail { message, body, body_hex } = &detail;
    let output = Output::text();
    let pairs = vec![
        ("rejected message", Content::name(message.rejected_id.to_string())),
        ("code", Content::name(&message.code)),
        ("reason", Content::name(&message.reason)),
        ("state", Content::State(message.state.clone())),
        ("received", output.time(message.received_at)),
    ];
    let mut output = output.pairs(pairs);
    if let Some(properties) = message.properties.as_object().filter(|properties| !properties.is_empty()) {
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let table = properties
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value) {
                ("headers", serde_json::Value::Object(headers)) => headers
                    .iter()
                    .map(|(header, value)| (format!("header {header}"), text(value)))
                    .collect::<Vec<_>>(),
                (name, value) => vec![(name.to_owned(), text(value))],
            })
            .map(|(name, value)| vec![Content::name(name), Content::Long(value)])
            .collect();
        output = output.heading("properties").table(&["name", "value"], table);
    }
    let size = words::count(message.body_bytes, "byte");
    match (body, body_hex) {
        (Some(text), _) if text.is_empty() => output.heading("body: empty").finish(),
        (Some(text), _) => match words::indented(text) {
            Some(indented) => {
                output.heading(&format!("body: {size}, JSON, indented here")).foreign(&indented).finish()
            }
            None => output.heading(&format!("body: {size}")).foreign(text).finish(),
        },
        (None, hex) => {
            let dump = dump(hex.as_deref().unwrap_or_default());
            output.heading(&format!("body: {size}, not UTF-8")).foreign(&dump).finish()
        }
    }
}

/// Hexadecimal digits, two a byte, as a dump: offset, 16 bytes a line, and the ASCII characters among them.
fn dump(hex: &str) -> String {
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let line = |(number, line): (usize, &[u8])| {
        let mut digits = String::new();
        for (place, byte) in line.iter().enumerate() {
            digits.push_str(&format!("{byte:02x}{}", if place == 7 { "  " } else { " " }));
        }
        let ascii: String = line
            .iter()
            .map(|&byte| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '.' })
            .collect();
        format!("{:08x}  {digits:<49} |{ascii}|\n", number * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_dump_shows_bytes_and_characters() {
        let bytes: Vec<u8> = (0x3a..0x4c).chain([0xff, 0x00]).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            super::dump(&hex),
            "00000000  3a 3b 3c 3d 3e 3f 40 41  42 43 44 45 46 47 48 49  |:;<=>?@ABCDEFGHI|\n\
             00000010  4a 4b ff 00                                       |JK..|\n"
        );
    }
}
