//! `status`: how things stand.

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, freshness, open, words};
use crate::config::Config;
use crate::operations::{self, Lookup, Status};

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync status
  channel-sync status --json | jq .jobs.failed")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    format: Format,
}

pub(super) async fn status(config: &Config, arguments: &StatusArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let queue = operations::queue(&config.broker).await;
    let status =
        operations::status(&store, queue).await.map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json { output::json(&status) } else { print(&status) }
}

fn print(status: &Status) -> Result<(), Failure> {
    let output = Output::text();
    let now = output.now;
    let jobs = &status.jobs;
    let queue = match &status.queue {
        Lookup::Known(queue) => format!(
            "{} waiting in {}, {}",
            words::count(queue.messages, "message"),
            queue.name,
            words::count(queue.consumers, "consumer")
        ),
        Lookup::Unknown(reason) => format!("unknown: {reason}"),
    };
    let letters: i64 = status.letters.iter().map(|row| row.letters).sum();
    let rejected: i64 = status.rejected.iter().map(|row| row.messages).sum();
    let about = if jobs.succeeded_is_estimate { "about " } else { "" };
    let job_counts = [
        (jobs.pending, "pending", ""),
        (jobs.retrying, "retrying", ""),
        (jobs.failed, "failed", ""),
        (jobs.succeeded, "succeeded", about),
        (jobs.discarded, "discarded", ""),
    ]
    .map(|(count, name, about)| format!("{about}{} {name}", words::number(count)))
    .join(", ");
    let pairs = vec![
        ("queue", Content::name(queue)),
        (
            "mailbox",
            Content::name(if letters == 0 { "empty".to_owned() } else { words::count(letters, "letter") }),
        ),
        ("jobs", Content::name(job_counts)),
        ("events of the last hour", Content::name(words::counts(&status.events_last_hour))),
        (
            "rejected messages",
            Content::name(if rejected == 0 { "none".to_owned() } else { words::number(rejected) }),
        ),
        ("organizations", Content::name(words::number(status.organizations))),
        ("partnerships", Content::name(words::counts(&status.partnerships))),
        ("in step", Content::name(freshness::summary(&status.freshness, now))),
    ];
    let mut output = output.pairs(pairs);
    if !status.letters.is_empty() {
        let table = status
            .letters
            .iter()
            .map(|row| {
                vec![
                    Content::name(&row.kind),
                    Content::name(words::number(row.letters)),
                    Content::name(words::number(row.due)),
                    output.time_in_table(row.oldest_at),
                ]
            })
            .collect();
        output = output.heading("what waits").table(&["kind", "letters", "due", "oldest"], table);
    }
    if !status.pauses.is_empty() {
        let table = status
            .pauses
            .iter()
            .map(|row| {
                vec![
                    Content::name(row.organization_id.as_deref().unwrap_or("all execution")),
                    Content::name(words::number(row.jobs_waiting)),
                    Content::name(&row.paused_by),
                    output.time_in_table(row.paused_at),
                    Content::Long(row.reason.clone()),
                ]
            })
            .collect();
        let header = ["paused", "jobs waiting", "by", "since", "reason"];
        output = output.heading("what is paused").table(&header, table);
    }
    if !status.troubles.is_empty() {
        let table = status
            .troubles
            .iter()
            .map(|row| {
                vec![
                    Content::State(row.state.clone()),
                    Content::name(words::number(row.jobs)),
                    Content::name(&row.example),
                    Content::name(row.next_run_at.map(|at| words::distance(at, now)).unwrap_or_default()),
                    Content::Long(row.error.clone()),
                ]
            })
            .collect();
        let header = ["state", "jobs", "such as", "next attempt", "error"];
        output = output.heading("what went wrong").table(&header, table);
    }
    if !status.transactions.is_empty() {
        let table = status
            .transactions
            .iter()
            .map(|row| {
                vec![
                    Content::name(row.pid.to_string()),
                    Content::name(&row.user_name),
                    Content::name(&row.application),
                    Content::name(&row.state),
                    output.time_in_table(row.since),
                ]
            })
            .collect();
        let header = ["pid", "user", "application", "state", "open since"];
        output = output.heading("transactions that have been open for long").table(&header, table);
    }
    if !status.rejected.is_empty() {
        let table = status
            .rejected
            .iter()
            .map(|row| {
                vec![
                    Content::name(&row.code),
                    Content::name(words::number(row.messages)),
                    output.time_in_table(row.newest_at),
                ]
            })
            .collect();
        output = output.heading("rejected messages").table(&["code", "messages", "newest"], table);
    }
    output.finish()
}
