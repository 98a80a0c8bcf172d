//! `jobs`: one organization's outcome for one event or change.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::replays::{self, DiscardArgs, ReplayArgs};
use super::{Format, Limit, names, open, words};
use crate::config::Config;
use crate::operations::{self, JobDetail, JobKey, JobKind, JobQuery, JobRow, JobState};

/// How many entries of a job are shown as a table.
const ENTRIES_MAX: usize = 100;

/// `jobs …`.
#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// List jobs, finished or not, the newest cause first
    List(ListArgs),
    /// Show everything about a job, with what it changed and displaced
    Show(ShowArgs),
    /// Do jobs once more, without overwriting anything newer
    Replay(ReplayArgs),
    /// Give jobs up for good
    Discard(DiscardArgs),
}

/// `jobs list`.
#[derive(Debug, Args)]
#[command(after_help = "\
`when` is when the job was finished or, before that, when its cause was made.

Examples:
  channel-sync jobs list --state failed
  channel-sync jobs list --organization pac-energy --limit 10
  channel-sync jobs list --event e-17 --json")]
pub(super) struct ListArgs {
    /// In this state
    #[arg(long, value_name = "S", value_parser = names::<JobState>(JobState::NAMES.iter()))]
    state: Option<JobState>,
    /// Of this organization: whose settings they write
    #[arg(long, value_name = "ORG")]
    organization: Option<String>,
    /// Of the event with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// The event's source, where several have an event of this id
    #[arg(long, value_name = "S", requires = "event")]
    source: Option<String>,
    /// Of this kind
    #[arg(long, value_name = "K", value_parser = names::<JobKind>(JobKind::NAMES.iter()))]
    kind: Option<JobKind>,
    #[command(flatten)]
    limit: Limit,
    /// Go on after this job
    #[arg(long, value_name = "KEY")]
    after: Option<JobKey>,
    #[command(flatten)]
    format: Format,
}

/// `jobs show`.
#[derive(Debug, Args)]
#[command(after_help = "\
KEY is the job's idempotency key, as `channel-sync jobs list` shows it.

Examples:
  channel-sync jobs show 17-3
  channel-sync jobs show 17-3 --json | jq .displaced")]
pub(super) struct ShowArgs {
    /// The job's idempotency key
    #[arg(value_name = "KEY")]
    key: JobKey,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn execute(config: &Config, command: &JobsCommand) -> Result<(), Failure> {
    match command {
        JobsCommand::List(arguments) => list(config, arguments).await,
        JobsCommand::Show(arguments) => show(config, arguments).await,
        JobsCommand::Replay(arguments) => replays::replay(config, arguments).await,
        JobsCommand::Discard(arguments) => replays::discard(config, arguments).await,
    }
}

async fn list(config: &Config, arguments: &ListArgs) -> Result<(), Failure> {
    let query = JobQuery {
        state: arguments.state,
        organization_id: arguments.organization.clone(),
        event_id: arguments.event.clone(),
        source: arguments.source.clone(),
        kind: arguments.kind,
        after: arguments.after,
        limit: arguments.limit.limit,
    };
    let page =
        operations::jobs(&open(config)?, &query).await.map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        Output::text().line(&none(arguments)).finish()?;
        if arguments.after.is_none() && arguments.filters() > 1 {
            output::hint("leave out an option to see more");
        }
        return Ok(());
    } else {
        let output = Output::text();
        let now = output.now;
        let table = page
            .items
            .iter()
            .map(|row| {
                vec![
                    Content::name(&row.idempotency_key),
                    Content::name(&row.kind),
                    Content::name(&row.organization_id),
                    Content::name_or_empty(row.upstream_id.as_ref()),
                    Content::name_or_empty(row.category.as_ref()),
                    Content::State(row.state.clone()),
                    Content::name(&row.event_id),
                    output.time_in_table(row.finished_at.unwrap_or(row.created_at)),
                    Content::Long(outcome(row, now)),
                ]
            })
            .collect();
        let header =
            ["job", "kind", "organization", "upstream", "category", "state", "event", "when", "outcome"];
        output.table_without(&["upstream", "kind", "category"], &header, table).finish()?;
        if let Some(failed) = page.items.iter().find(|row| row.state == "failed") {
            output::hint(&format!(
                "`channel-sync jobs show {0}` shows one, `channel-sync jobs replay {0} --reason '…'` does it once \
                 more; --all-failed, --error and others choose several",
                failed.idempotency_key
            ));
        }
    }
    if let Some(next) = page.next {
        output::hint(&format!("there are more: --after {next}"));
    }
    Ok(())
}

impl ListArgs {
    /// How many filters were said.
    fn filters(&self) -> usize {
        let Self { state, organization, event, kind, .. } = self;
        [state.is_some(), organization.is_some(), event.is_some(), kind.is_some()]
            .iter()
            .filter(|said| **said)
            .count()
    }
}

fn none(arguments: &ListArgs) -> String {
    if arguments.after.is_some() {
        return "there are no more jobs".to_owned();
    }
    let mut filters = String::new();
    let of = [
        ("of", arguments.organization.clone()),
        ("of the event", arguments.event.clone()),
        ("of the kind", arguments.kind.map(|kind| kind.to_string())),
        ("in the state", arguments.state.map(|state| state.to_string())),
    ];
    for (what, value) in of {
        if let Some(value) = value {
            filters.push_str(&format!(" {what} {value}"));
        }
    }
    if filters.is_empty() {
        "there are no jobs yet".to_owned()
    } else {
        format!("there are no jobs{filters}")
    }
}

async fn show(config: &Config, arguments: &ShowArgs) -> Result<(), Failure> {
    let detail = operations::job(&open(config)?, arguments.key)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        return output::json(&detail);
    }
    let JobDetail { job, source, way, changes, displaced, following } = &detail;
    let output = Output::text();
    let way: Vec<String> =
        way.iter().map(|step| format!("{} ({})", step.organization_id, step.idempotency_key)).collect();
    let led_to = match following.values().sum() {
        0_i64 => Content::Empty,
        jobs => Content::name(format!("{}: {}", words::count(jobs, "job"), words::counts(following))),
    };
    let result = job.result.as_ref().map(words::result);
    let pairs = vec![
        ("job", Content::name(&job.idempotency_key)),
        ("kind", Content::name(&job.kind)),
        ("organization", Content::name(&job.organization_id)),
        ("upstream", Content::name_or_empty(job.upstream_id.as_ref())),
        ("category", Content::name_or_empty(job.category.as_ref())),
        ("event", Content::name(format!("{} from {source}", job.event_id))),
        ("follows from", if way.is_empty() { Content::Empty } else { Content::name(way.join(" → ")) }),
        ("state", Content::State(job.state.clone())),
        ("attempts", Content::name(job.attempts.to_string())),
        ("result", result.filter(|result| !result.is_empty()).map_or(Content::Empty, Content::Name)),
        ("last error", Content::name_or_empty(job.last_error.as_ref())),
        ("made", output.time(job.created_at)),
        ("due", output.time_or_empty(job.run_at)),
        ("finished", output.time_or_empty(job.finished_at)),
        ("led to", led_to),
    ];
    let mut output = output.pairs(pairs);
    if !changes.is_empty() {
        let table = changes
            .iter()
            .take(ENTRIES_MAX)
            .map(|row| {
                vec![
                    Content::name(&row.category),
                    Content::name(&row.key),
                    Content::name(&row.change),
                    row.value.as_ref().map_or(Content::Empty, |value| Content::Long(words::value(value))),
                ]
            })
            .collect();
        output = output
            .heading(&format!("what it changed: {}", words::count(changes.len() as i64, "setting")))
            .table(&["category", "key", "change", "value"], table);
        output = more(output, changes.len());
    } else if job.result.as_ref().is_some_and(words::has_changed) {
        output = output.heading(
            "what it changed: not kept, as it went on to no downstream; see the event and the settings",
        );
    }
    if !displaced.is_empty() {
        let table = displaced
            .iter()
            .take(ENTRIES_MAX)
            .map(|row| {
                vec![
                    Content::name(&row.category),
                    Content::name(&row.key),
                    Content::name(&row.origin),
                    Content::name_or_empty(row.event_id.as_ref()),
                    Content::Long(words::value(&row.value)),
                ]
            })
            .collect();
        let heading = format!(
            "what it displaced, as it was before: {}",
            words::count(displaced.len() as i64, "setting")
        );
        output = output.heading(&heading).table(&["category", "key", "origin", "event", "value"], table);
        output = more(output, displaced.len());
    }
    output.finish()?;
    if matches!(job.state.as_str(), "failed" | "retrying") {
        let key = &job.idempotency_key;
        output::hint(&format!(
            "`channel-sync jobs replay {key} --reason '…'` does it once more, `channel-sync jobs discard {key} \
             --reason '…'` gives it up"
        ));
    }
    Ok(())
}

fn more(output: Output, count: usize) -> Output {
    match count.saturating_sub(ENTRIES_MAX) {
        0 => output,
        left_off => output.line(&format!("… and {} more; --json shows all", words::number(left_off as i64))),
    }
}

/// What became of a job, in a few words.
pub(super) fn outcome(job: &JobRow, now: Timestamp) -> String {
    match (&job.result, &job.last_error) {
        (Some(result), Some(_)) if job.state == "discarded" && result.get("skipped").is_some() => {
            words::result(result)
        }
        (_, Some(error)) => match job.run_at {
            Some(run_at) => {
                format!("{}; tried {}, again {}", error, times(job.attempts), words::distance(run_at, now))
            }
            None => error.clone(),
        },
        (Some(result), None) => words::result(result),
        (None, None) => String::new(),
    }
}

fn times(attempts: i32) -> String {
    match attempts {
        1 => "once".to_owned(),
        attempts => format!("{attempts} times"),
    }
}
