//! `rejected`: messages that were not accepted.

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};

use super::choice::{ConfirmArgs, OperatorArgs};
use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, names, open, words};
use crate::config::Config;
use crate::contract::RejectionCode;
use crate::operations::{
    self, RejectedDetail, RejectedQuery, RejectedReplay, RejectedSelection, RejectedState,
};

/// `rejected …`.
#[derive(Debug, Subcommand)]
pub(super) enum RejectedCommand {
    /// List rejected messages, the newest first
    List(ListArgs),
    /// Show a rejected message, whole
    Show(ShowArgs),
    /// Take rejected messages in after all, each at its old place, without overwriting anything newer
    Replay(ReplayArgs),
    /// Give rejected messages up
    Discard(DiscardArgs),
}

/// Which rejected messages, of those that nobody has dealt with.
#[derive(Debug, Args)]
struct ChoiceArgs {
    /// These, by their numbers
    #[arg(value_name = "ID", value_parser = rejected_id)]
    ids: Vec<i64>,
    /// With this code
    #[arg(long, value_name = "C", value_parser = codes())]
    code: Option<RejectionCode>,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "code"])]
    all: bool,
}

impl ChoiceArgs {
    fn selection(&self) -> Result<RejectedSelection, Failure> {
        if self.ids.is_empty() && self.code.is_none() && !self.all {
            return Err(Failure::usage(
                "no rejected messages were chosen",
                "name some by their numbers, say --code, or --all",
            ));
        }
        Ok(RejectedSelection { ids: self.ids.clone(), code: self.code })
    }

    /// That nothing was left to be done, unless messages were named by their numbers.
    fn unless_named(&self, done: &str) -> Result<(), Failure> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let failure = Failure::new(format!("nothing was {done}: none of these messages fits what was said"));
        Err(failure.hint("see `channel-sync rejected list`"))
    }
}

/// `rejected replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the messages again with the catalogue and the limits in force now, the oldest first. One that is accepted is an
event at the place that it would have had; it never overwrites anything newer. One that is refused again stays, with
what is wrong with it now. An event that was found wrong when it ran runs once more. After a change of the catalogue,
start the service with it first. Exits with 1 if every message is refused again.

Examples:
  channel-sync rejected replay --code unknown-category --reason 'roofs are in the catalogue' --dry-run
  channel-sync rejected replay 4 5 --reason 'asked for by helios' --yes")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    format: Format,
}

/// `rejected discard`.
#[derive(Debug, Args)]
#[command(after_help = "\
They stay in the list, as discarded.

Example:
  channel-sync rejected discard --code malformed-json --reason 'a broken test client'")]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    format: Format,
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
or body_hex where it is not UTF-8. The body of a message in binary form is only the event's data: then the field event
is the whole event, as `channel-sync publish` takes it.

Examples:
  channel-sync rejected show 4
  channel-sync rejected show 4 --json | jq -r '.event // .body' > event.json")]
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
        RejectedCommand::Replay(arguments) => replay(config, arguments).await,
        RejectedCommand::Discard(arguments) => discard(config, arguments).await,
    }
}

async fn replay(config: &Config, arguments: &ReplayArgs) -> Result<(), Failure> {
    let failed = |error| Failure::operation(config, &error);
    let store = open(config)?;
    let selection = arguments.choice.selection()?;
    let (catalogue, limits) = (&config.catalogue, config.ingest.limits());
    let preview =
        operations::preview_rejected(&store, catalogue, &limits, &selection).await.map_err(failed)?;
    let (json, dry_run) = (arguments.format.json, arguments.confirm.dry_run);
    if dry_run && json {
        return output::json(&preview);
    }
    if preview.messages() == 0 && !json {
        Output::text().line("there is nothing to replay: no rejected message fits what was said").finish()?;
        return if dry_run { Ok(()) } else { arguments.choice.unless_named("replayed") };
    }
    if dry_run || !json {
        Output::text().line(&format!("would come to: {}", said(&preview))).finish()?;
    }
    if dry_run {
        return Ok(());
    }
    let messages = words::count(preview.messages(), "message");
    if preview.messages() > 0 && !arguments.confirm.ask(&format!("Replay {messages}?"))? {
        output::note("nothing was replayed");
        return Ok(());
    }
    let operator = arguments.operator.operator();
    let replayed = operations::replay_rejected(&store, catalogue, &limits, &selection, preview.at, operator)
        .await
        .map_err(failed)?;
    if json {
        output::json(&replayed)?;
    } else {
        Output::text().line(&format!("came to: {}", said(&replayed))).finish()?;
    }
    match (replayed.messages(), replayed.refused.values().sum::<i64>()) {
        (0, _) => arguments.choice.unless_named("replayed"),
        (messages, refused) if messages == refused => {
            Err(Failure::new("nothing was taken in: every message was refused again")
                .hint("see `channel-sync rejected show` for what is wrong with one now"))
        }
        _ => Ok(()),
    }
}

/// What became of messages, in words.
fn said(replay: &RejectedReplay) -> String {
    let mut said: Vec<String> = [
        (replay.accepted, "accepted"),
        (replay.duplicates, "events already"),
        (replay.run_again, "to run once more"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", words::number(*count)))
    .collect();
    said.extend(
        replay
            .refused
            .iter()
            .map(|(code, count)| format!("{} refused again ({code})", words::number(*count))),
    );
    if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
}

async fn discard(config: &Config, arguments: &DiscardArgs) -> Result<(), Failure> {
    let failed = |error| Failure::operation(config, &error);
    let store = open(config)?;
    let selection = arguments.choice.selection()?;
    let (catalogue, limits) = (&config.catalogue, config.ingest.limits());
    let preview =
        operations::preview_rejected(&store, catalogue, &limits, &selection).await.map_err(failed)?;
    let (json, messages) = (arguments.format.json, words::count(preview.messages(), "message"));
    if arguments.confirm.dry_run {
        if json {
            return output::json(&serde_json::json!({ "messages": preview.messages() }));
        }
        return Output::text().line(&format!("{messages} to be discarded")).finish();
    }
    if preview.messages() == 0 && !json {
        Output::text()
            .line("there is nothing to discard: no rejected message fits what was said")
            .finish()?;
        return arguments.choice.unless_named("discarded");
    }
    if preview.messages() > 0 && !arguments.confirm.ask(&format!("Discard {messages}?"))? {
        output::note("nothing was discarded");
        return Ok(());
    }
    let operator = arguments.operator.operator();
    let discarded =
        operations::discard_rejected(&store, &selection, preview.at, operator).await.map_err(failed)?;
    if json {
        output::json(&serde_json::json!({ "discarded": discarded }))?;
    } else {
        Output::text().line(&format!("{} discarded", words::count(discarded, "message"))).finish()?;
    }
    if discarded == 0 { arguments.choice.unless_named("discarded") } else { Ok(()) }
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
        if let Some(open) = page.items.iter().find(|row| row.state == "rejected") {
            output::hint(&format!(
                "`channel-sync rejected show {0}` shows one whole; once its cause is mended, `channel-sync rejected \
                 replay {0} --reason '…'` takes it in",
                open.rejected_id
            ));
        }
    }
    if let Some(next) = page.next {
        output::hint(&format!("there are more: --after {next}"));
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
    let RejectedDetail { message, body, body_hex, event: _, settled } = &detail;
    let output = Output::text();
    let settled = settled.as_ref().map(|settled| {
        let when = words::time(settled.at, output.now);
        format!("by {} {when}: {}", settled.by, settled.reason.as_deref().unwrap_or("no reason given"))
    });
    let pairs = vec![
        ("rejected message", Content::name(message.rejected_id.to_string())),
        ("code", Content::name(&message.code)),
        ("reason", Content::name(&message.reason)),
        ("state", Content::State(message.state.clone())),
        ("settled", Content::name_or_empty(settled.as_ref())),
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
