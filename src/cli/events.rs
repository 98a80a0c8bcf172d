//! `events`: what came in, and what became of it.

use std::collections::HashMap;

use clap::{Args, Subcommand};

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, jobs, limit, names, open, place, words};
use crate::config::Config;
use crate::operations::{self, EventDetail, EventJobRow, EventQuery, EventState, JobState, LIMIT_MAX};

/// `events …`.
#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// List events, the newest first
    List(ListArgs),
    /// Show an event, and its jobs as a tree
    Show(ShowArgs),
}

/// `events list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync events list
  channel-sync events list --state failed
  channel-sync events list --organization helios --limit 10 --json")]
pub(super) struct ListArgs {
    /// In this state
    #[arg(long, value_name = "S", value_parser = names::<EventState>(EventState::NAMES.iter()))]
    state: Option<EventState>,
    /// Of this organization: whose settings were edited, or the upstream of the partnership
    #[arg(long, value_name = "ORG")]
    organization: Option<String>,
    #[command(flatten)]
    limit: Limit,
    /// Go on where the end of a list said
    #[arg(long, value_name = "CURSOR", value_parser = place)]
    after: Option<i64>,
    #[command(flatten)]
    format: Format,
}

/// `events show`.
#[derive(Debug, Args)]
#[command(after_help = "\
The tree shows each organization that the event went to below the one that passed it on.

Examples:
  channel-sync events show e-17
  channel-sync events show e-17 --source platform --json")]
pub(super) struct ShowArgs {
    /// The event's id
    #[arg(value_name = "ID")]
    event_id: String,
    /// The event's source, where several have an event of this id
    #[arg(long, value_name = "S")]
    source: Option<String>,
    /// Show at most so many jobs
    #[arg(long, value_name = "N", default_value_t = LIMIT_MAX, value_parser = limit)]
    limit: u16,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn execute(config: &Config, command: &EventsCommand) -> Result<(), Failure> {
    match command {
        EventsCommand::List(arguments) => list(config, arguments).await,
        EventsCommand::Show(arguments) => show(config, arguments).await,
    }
}

async fn list(config: &Config, arguments: &ListArgs) -> Result<(), Failure> {
    let query = EventQuery {
        state: arguments.state,
        organization_id: arguments.organization.clone(),
        after: arguments.after.map(|cursor| cursor.to_string()),
        limit: arguments.limit.limit,
    };
    let page = operations::events(&open(config)?, &query)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        let organization =
            arguments.organization.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        let state = arguments.state.map(|state| format!(" in the state {state}")).unwrap_or_default();
        let line = match (&arguments.after, arguments.state.is_none() && arguments.organization.is_none()) {
            (Some(_), _) => "there are no more events".to_owned(),
            (None, true) => {
                "there are no events yet; `channel-sync rejected list` shows messages that were not accepted"
                    .to_owned()
            }
            (None, false) => format!("there are no events{organization}{state}"),
        };
        Output::text().line(&line).finish()?;
        if arguments.after.is_none() && arguments.state.is_some() && arguments.organization.is_some() {
            output::hint("leave out an option to see more");
        }
        return Ok(());
    } else {
        let output = Output::text();
        let table = page
            .items
            .iter()
            .map(|row| {
                let failed =
                    if row.jobs_failed > 0 { format!(", {} failed", row.jobs_failed) } else { String::new() };
                vec![
                    Content::name(&row.event_id),
                    Content::name(&row.organization_id),
                    Content::name(&row.event_type),
                    Content::name_or_empty(row.category.as_ref()),
                    Content::State(row.state.clone()),
                    Content::name(format!("{}/{}{failed}", row.jobs_succeeded, row.jobs_total)),
                    output.time_in_table(row.received_at),
                ]
            })
            .collect();
        let header = ["event", "organization", "type", "category", "state", "jobs done", "received"];
        output.table_without(&["type", "category"], &header, table).finish()?;
        if let Some(failed) = page.items.iter().find(|row| row.state == "failed") {
            output::hint(&format!(
                "`channel-sync jobs list --event {} --source {} --state failed` shows what went wrong",
                words::argument(&failed.event_id),
                words::argument(&failed.source)
            ));
        }
    }
    if let Some(next) = page.next {
        output::hint(&format!("there are more: --after {next}"));
    }
    Ok(())
}

async fn show(config: &Config, arguments: &ShowArgs) -> Result<(), Failure> {
    let source = arguments.source.as_deref();
    let detail = operations::event(&open(config)?, &arguments.event_id, source, arguments.limit)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        return output::json(&detail);
    }
    let EventDetail { event, downstream_id, traceparent, jobs, jobs_left_off, results_dropped_at, .. } =
        &detail;
    let dropped =
        results_dropped_at.map(|at| format!("dropped on {}, by their age", at.strftime("%Y-%m-%d")));
    let output = Output::text();
    let role = if downstream_id.is_some() { "upstream" } else { "organization" };
    let pairs = vec![
        ("event", Content::name(&event.event_id)),
        ("source", Content::name(&event.source)),
        ("type", Content::name(&event.event_type)),
        (role, Content::name(&event.organization_id)),
        ("downstream", Content::name_or_empty(downstream_id.as_ref())),
        ("category", Content::name_or_empty(event.category.as_ref())),
        ("state", Content::State(event.state.clone())),
        ("received", output.time(event.received_at)),
        ("finished", output.time_or_empty(event.finished_at)),
        ("trace", Content::name_or_empty(traceparent.as_ref())),
        ("jobs", Content::name(counts(&detail))),
        ("results", Content::name_or_empty(dropped.as_ref())),
    ];
    let now = output.now;
    let mut output = output.pairs(pairs);
    if !jobs.is_empty() {
        let table = tree(jobs)
            .into_iter()
            .map(|(branch, row)| {
                let job = &row.job;
                vec![
                    Content::name(format!("{branch}{}", job.organization_id)),
                    Content::name(&job.kind),
                    Content::name_or_empty(job.category.as_ref()),
                    Content::State(job.state.clone()),
                    Content::name(&job.idempotency_key),
                    Content::Long(jobs::outcome(job, now)),
                ]
            })
            .collect();
        output =
            output.raw("\n").table(&["organization", "kind", "category", "state", "job", "outcome"], table);
    }
    if *jobs_left_off > 0 {
        output = output.line(&format!(
            "… and {}: channel-sync jobs list --event {} --source {}",
            words::count(*jobs_left_off, "more job"),
            words::argument(&event.event_id),
            words::argument(&event.source)
        ));
    }
    output.finish()
}

/// How many jobs the event has, by state.
fn counts(detail: &EventDetail) -> String {
    let by_state: Vec<String> = JobState::NAMES
        .iter()
        .filter_map(|state| Some((state, detail.jobs_by_state.get(*state)?)))
        .map(|(state, count)| format!("{} {state}", words::number(*count)))
        .collect();
    if by_state.is_empty() { "none".to_owned() } else { by_state.join(", ") }
}

/// The jobs, each below the one that it follows from, with the lines of the tree that stand before its name.
fn tree(jobs: &[EventJobRow]) -> Vec<(String, &EventJobRow)> {
    let known: HashMap<&str, ()> = jobs.iter().map(|row| (row.job.idempotency_key.as_str(), ())).collect();
    let mut below: HashMap<Option<&str>, Vec<&EventJobRow>> = HashMap::new();
    for row in jobs {
        let parent = row.follows_from.as_deref().filter(|parent| known.contains_key(parent));
        below.entry(parent).or_default().push(row);
    }
    for rows in below.values_mut() {
        rows.sort_by(|a, b| {
            (&a.job.organization_id, a.job.place).cmp(&(&b.job.organization_id, b.job.place))
        });
    }
    let mut lines = Vec::with_capacity(jobs.len());
    // What is still to be shown, the next one last: the row, its own branch, and that of what is below it.
    let mut open: Vec<(&EventJobRow, String, String)> = Vec::new();
    let roots = below.remove(&None).unwrap_or_default();
    open.extend(roots.into_iter().rev().map(|row| (row, String::new(), String::new())));
    while let Some((row, branch, indent)) = open.pop() {
        let children = below.remove(&Some(row.job.idempotency_key.as_str())).unwrap_or_default();
        for (place, child) in children.iter().rev().enumerate() {
            let (own, under) = if place == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            open.push((child, format!("{indent}{own}"), format!("{indent}{under}")));
        }
        lines.push((branch, row));
    }
    lines
}
