//! `explain`: why an organization has a setting, or lacks it, or may not edit it.

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, limit, open, words};
use crate::config::Config;
use crate::operations::{self, ComparedRow, Explanation, HistoryRow};

/// How much of a list is shown where nothing else is said.
const ROWS_DEFAULT: u16 = 20;

/// `explain ORG CATEGORY [KEY]`.
#[derive(Debug, Args)]
#[command(after_help = "\
With a KEY: the setting, why it is there or not, whether the organization may edit it, what its upstreams have, and
what has named it: events and jobs, the newest first, with the rule that decided. Without: how the category compares
with those of the upstreams.

What a job did to a single setting is kept where it went on to partners or was archived, or where its counts leave no
doubt; else the column `became` is empty, and `result` has the whole job.

Examples:
  channel-sync explain pac-energy equipment module/rec-alpha-430
  channel-sync explain pac-energy default-costs
  channel-sync explain pac-energy adders steep-roof --json | jq '.reasons[].text'")]
pub(super) struct ExplainArgs {
    /// The organization
    #[arg(value_name = "ORG")]
    organization: String,
    /// The category
    #[arg(value_name = "CATEGORY")]
    category: String,
    /// The setting's key
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// Show at most so many of what has named it, of upstreams, and of settings that differ
    #[arg(long, value_name = "N", default_value_t = ROWS_DEFAULT, value_parser = limit)]
    limit: u16,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn explain(config: &Config, arguments: &ExplainArgs) -> Result<(), Failure> {
    let ExplainArgs { organization, category, key, limit, format } = arguments;
    let store = open(config)?;
    let explanation =
        operations::explain(&store, &config.catalogue, organization, category, key.as_deref(), *limit)
            .await
            .map_err(|error| Failure::operation(config, &error))?;
    if format.json {
        return output::json(&explanation);
    }
    print(&explanation, *limit)
}

fn print(explanation: &Explanation, limit: u16) -> Result<(), Failure> {
    let Explanation { organization_id, category, key, setting, edit, reasons, waiting, .. } = explanation;
    let mut output = Output::text();
    let what = match key {
        Some(key) => format!("{category} {key}"),
        None => category.clone(),
    };
    let lock = match &edit.locked_by {
        Some(by) => format!("no, locked by {by}: {}", edit.because),
        None if edit.allowed => format!("yes: {}", edit.because),
        None => format!("no: {}", edit.because),
    };
    let mut pairs = vec![
        ("organization", Content::name(organization_id)),
        (if key.is_some() { "setting" } else { "category" }, Content::name(what)),
    ];
    match (key, setting) {
        (Some(_), Some(setting)) => {
            pairs.push(("value", Content::Long(words::value(&setting.value))));
            pairs.push(("origin", Content::name(&setting.origin)));
            pairs.push(("event", Content::name_or_empty(setting.event_id.as_ref())));
            pairs.push(("updated", output.time(setting.updated_at)));
        }
        (Some(_), None) => pairs.push(("value", Content::name("not there"))),
        (None, _) => {
            let origins = explanation.origins.as_ref().map(words::counts).unwrap_or_default();
            pairs.push(("settings, by origin", Content::name(origins)));
        }
    }
    pairs.push(("may be edited", Content::name(lock)));
    if waiting.jobs > 0 {
        pairs.push(("waits for it", Content::name(words::count(waiting.jobs, "job"))));
    }
    output = output.pairs(pairs);
    output = output.heading(if key.is_some() { "why" } else { "the rules" });
    for reason in reasons {
        output = output.line(&format!("- {}", reason.text));
    }
    if key.is_some() {
        output = upstreams(output, explanation);
        output = history(output, explanation);
    } else {
        for compared in &explanation.compared {
            output = self::compared(output, explanation, compared, limit);
        }
    }
    output.finish()
}

fn upstreams(output: Output, explanation: &Explanation) -> Output {
    if explanation.upstreams.is_empty() {
        return output;
    }
    let table = explanation
        .upstreams
        .iter()
        .map(|upstream| {
            let row = &upstream.row;
            let has = match (&row.value, row.is_same) {
                (Some(_), true) => "the same".to_owned(),
                (Some(value), false) => words::value(value),
                (None, _) => "not there".to_owned(),
            };
            vec![
                Content::name(&row.upstream_id),
                Content::State(row.mode.name().to_owned()),
                Content::name_or_empty(row.event_id.as_ref()),
                row.declined_event_id
                    .as_ref()
                    .map_or(Content::Empty, |event| Content::name(format!("by {event}"))),
                Content::Long(format!("{}: {}", upstream.on_change.name(), upstream.on_change.because)),
                Content::Long(has),
            ]
        })
        .collect();
    let header = ["upstream", "mode", "event there", "declined here", "when it changes", "has"];
    output.heading("upstreams").table(&header, table)
}

fn history(output: Output, explanation: &Explanation) -> Output {
    if explanation.history.is_empty() {
        return output;
    }
    let table = explanation
        .history
        .iter()
        .map(|row| {
            vec![
                output.time_in_table(row.received_at),
                Content::name(&row.event_id),
                Content::name(row.upstream_id.as_deref().unwrap_or("itself")),
                Content::name(row.said.as_deref().unwrap_or("all settings")),
                Content::name_or_empty(row.idempotency_key.as_ref()),
                Content::State(row.state.clone()),
                Content::name(became(row)),
                Content::Long(why(row)),
            ]
        })
        .collect();
    let header = ["when", "event", "from", "says", "job", "state", "became", "why"];
    let output = output.heading("what has named it").table(&header, table);
    if explanation.history_goes_on {
        return output.line("… and more: --limit");
    }
    output
}

fn became(row: &HistoryRow) -> String {
    let effect = row.effect.unwrap_or_default();
    match &row.archived {
        Some(archived) if effect.is_empty() => format!("{} archived", origin(&archived.origin)),
        Some(archived) => format!("{effect}, {} archived", origin(&archived.origin)),
        None => effect.to_owned(),
    }
}

fn origin(origin: &str) -> String {
    if origin == "own" { "own one".to_owned() } else { format!("one of {origin}") }
}

/// The rule that decided, and the result of the whole job where it says more.
fn why(row: &HistoryRow) -> String {
    let rule = row.rule.as_ref().map(|rule| format!("{}: {}", rule.name(), rule.because));
    let result = match &row.last_error {
        Some(error) => error.clone(),
        None => words::result(&row.result),
    };
    match (rule, result.is_empty()) {
        (Some(rule), true) => rule,
        (Some(rule), false) => format!("{rule} ({result})"),
        (None, _) => result,
    }
}

fn compared(output: Output, explanation: &Explanation, compared: &ComparedRow, limit: u16) -> Output {
    let ComparedRow { upstream_id, same, missing, other, extra, differing } = compared;
    let counts = [
        (*same, "the same"),
        (*missing, "missing here"),
        (*other, "with another value"),
        (*extra, "only here"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", words::number(*count)))
        .collect();
    let counts = if counts.is_empty() { "both have none".to_owned() } else { counts.join(", ") };
    let mut output = output.heading(&format!("compared with {upstream_id}: {counts}"));
    if !differing.is_empty() {
        let table = differing
            .iter()
            .map(|row| {
                let relation = match row.relation.as_str() {
                    "missing" => "missing here",
                    "extra" => "only here",
                    _ => "another value",
                };
                let declined = row.declined_event_id.as_ref();
                vec![
                    Content::name(&row.key),
                    Content::name(relation),
                    Content::name_or_empty(row.origin.as_ref()),
                    declined.map_or(Content::Empty, |event| Content::name(format!("by {event}"))),
                ]
            })
            .collect();
        output = output.table(&["key", "here", "origin", "declined"], table);
    }
    let left_off = missing + other + extra - differing.len() as i64;
    if left_off > 0 && differing.len() >= usize::from(limit) {
        output = output.line(&format!("… and {}: --limit", words::number(left_off)));
    }
    if let Some(row) = differing.first() {
        output = output.line(&format!(
            "why, of one: channel-sync explain {} {} {}",
            words::argument(&explanation.organization_id),
            words::argument(&explanation.category),
            words::argument(&row.key)
        ));
    }
    output
}
