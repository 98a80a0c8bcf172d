//! `status`: how things stand.

use std::time::Duration;

use clap::Args;

use super::error::{BROKER_HINT, Failure};
use super::output::{self, Content, Output};
use super::watch::{self, Rates};
use super::{Format, freshness, open, whole_number, words};
use crate::config::Config;
use crate::operations::{self, Lookup, Status};

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync status
  channel-sync status --watch
  channel-sync status --json | jq .jobs.failed
  channel-sync status --watch 10 --json | jq -c '[.at, .rates.jobs_per_second]'")]
pub(super) struct StatusArgs {
    /// Look again and again, every so many seconds (2 if not given), until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = seconds)]
    watch: Option<u64>,
    #[command(flatten)]
    format: Format,
}

fn seconds(text: &str) -> Result<u64, String> {
    whole_number(text, 1..=3600)
}

pub(super) async fn status(config: &Config, arguments: &StatusArgs) -> Result<(), Failure> {
    let store = open(config)?;
    if let Some(seconds) = arguments.watch {
        return watch::watch(config, &store, Duration::from_secs(seconds), arguments.format.json).await;
    }
    let queue = operations::queue(&config.broker).await;
    let status =
        operations::status(&store, queue).await.map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        return output::json(&status);
    }
    printed(&status, None).finish()?;
    if let Lookup::Unknown(_) = status.queue {
        output::hint(&format!("the broker is {}: {BROKER_HINT}", config.broker.url));
    }
    if status.jobs.failed > 0 {
        output::hint(
            "`channel-sync jobs list --state failed` shows the jobs that have failed, `channel-sync jobs replay` \
             does them once more",
        );
    }
    if !status.rejected.is_empty() {
        output::hint(
            "`channel-sync rejected list --state rejected` shows messages that nobody has dealt with",
        );
    }
    Ok(())
}

/// How things stand, for people; with what was done since the last reading.
pub(super) fn printed(status: &Status, rates: Option<&Rates>) -> Output {
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
    let rates = rates.map(|rates| {
        format!(
            "{} jobs/s done, {} events/s taken in, over {:.0} s",
            rate(rates.jobs_per_second),
            rate(rates.events_per_second),
            rates.seconds
        )
    });
    let pairs = vec![
        ("rates", Content::name_or_empty(rates.as_ref())),
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
    output
}

/// A number by the second: to a tenth where it is small.
fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { words::number(rate.round() as i64) }
}
