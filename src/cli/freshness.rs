//! `freshness`: how far behind their upstreams partners are.

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, open, words};
use crate::config::Config;
use crate::operations::{self, FreshnessPlace, FreshnessQuery, FreshnessRow, FreshnessSummary};

/// `freshness [ORG]`.
#[derive(Debug, Args)]
#[command(after_help = "\
For each partnership and category: the last event of the upstream that the partner has been told of, what waits since,
and what stands in the way: a job that is tried again, one that has failed, a pause. The one that is most behind comes
first. Without --all only those that are behind are listed.

Examples:
  channel-sync freshness
  channel-sync freshness pac-energy --all
  channel-sync freshness --json | jq '.[] | select(.paused)'")]
pub(super) struct FreshnessArgs {
    /// Those that this organization has, as upstream or as downstream
    #[arg(value_name = "ORG")]
    organization: Option<String>,
    /// Those that are in step too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    limit: Limit,
    /// Go on after this place, as the end of a list names it
    #[arg(long, value_name = "PLACE", value_parser = place)]
    after: Option<FreshnessPlace>,
    #[command(flatten)]
    format: Format,
}

fn place(text: &str) -> Result<FreshnessPlace, String> {
    text.parse().map_err(|error: operations::OperationError| error.to_string())
}

pub(super) async fn freshness(config: &Config, arguments: &FreshnessArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let failed = |error| Failure::operation(config, &error);
    let query = FreshnessQuery {
        organization_id: arguments.organization.clone(),
        in_step_too: arguments.all,
        after: arguments.after.clone(),
        limit: arguments.limit.limit,
    };
    let page = operations::freshness(&store, &query).await.map_err(failed)?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        let line = match (&arguments.after, &arguments.organization) {
            (Some(_), _) => "there are no more".to_owned(),
            (None, Some(organization)) if arguments.all => {
                format!("{organization} has no partnership that is kept in sync")
            }
            (None, Some(organization)) => format!("all partnerships of {organization} are in step"),
            (None, None) => {
                summary(&operations::freshness_summary(&store).await.map_err(failed)?, Output::text().now)
            }
        };
        return Output::text().line(&line).finish();
    } else {
        let output = Output::text();
        let table = page.items.iter().map(|row| columns(row, &output)).collect();
        let header = [
            "organization",
            "upstream",
            "category",
            "mode",
            "in step up to",
            "waiting",
            "since",
            "in the way",
        ];
        output.table(&header, table).finish()?;
    }
    if let Some(next) = page.next {
        output::note(&format!("there are more: --after {next}"));
    }
    Ok(())
}

fn columns(row: &FreshnessRow, output: &Output) -> Vec<Content> {
    let mut in_the_way = Vec::new();
    if row.paused && row.jobs_waiting > 0 {
        in_the_way.push("paused".to_owned());
    }
    if row.jobs_failed > 0 {
        in_the_way.push(format!("{} failed", words::count(row.jobs_failed, "job")));
    }
    if let Some(at) = row.retry_at {
        in_the_way.push(format!("next attempt {}", words::distance(at, output.now)));
    }
    if row.reconcile {
        in_the_way.push("all is to be reconciled".to_owned());
    }
    let waiting = match row.jobs_waiting {
        0 if row.in_step => Content::State("in step".to_owned()),
        0 => Content::Empty,
        jobs => Content::name(words::count(jobs, "job")),
    };
    vec![
        Content::name(&row.organization_id),
        Content::name(&row.upstream_id),
        Content::name(&row.category),
        Content::name(&row.mode),
        Content::name_or_empty(row.event_id.as_ref()),
        waiting,
        row.oldest_at.map_or(Content::Empty, |at| output.time_in_table(at)),
        Content::name(in_the_way.join(", ")),
    ]
}

/// How far all partnerships are, in words.
pub(super) fn summary(summary: &FreshnessSummary, now: jiff::Timestamp) -> String {
    let FreshnessSummary { partnerships, in_step, waiting, failed, jobs_waiting, jobs_failed, .. } = *summary;
    let mut said = vec![match (partnerships, in_step) {
        (0, _) => "there is no partnership that is kept in sync".to_owned(),
        (all, in_step) if all == in_step => format!("all of {}", words::count(all, "partnership")),
        (all, in_step) => format!("{} of {}", words::number(in_step), words::count(all, "partnership")),
    }];
    if waiting > 0 {
        let oldest =
            summary.oldest_waiting_at.map(|at| format!(", the oldest from {}", words::distance(at, now)));
        let jobs = words::count(jobs_waiting, "job");
        said.push(format!("{} with {jobs} waiting{}", words::number(waiting), oldest.unwrap_or_default()));
    }
    if failed > 0 {
        said.push(format!("{} with {} failed", words::number(failed), words::count(jobs_failed, "job")));
    }
    said.join("; ")
}
