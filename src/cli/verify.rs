//! `verify`: strict partnerships compared with their upstreams, and put right.

use std::io::IsTerminal as _;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::choice::{ask, said};
use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, open, words};
use crate::config::Config;
use crate::operations::{
    self, DifferenceRow, Drift, Operator, RepairRow, StoredValue, Verification, VerifyQuery,
};
use crate::store::Store;

/// `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads only, and holds nobody up. A downstream for which jobs wait is told as not in step yet, and is not compared: what
is on its way is no drift. Non-exclusive and flexible partnerships cannot be compared: there nearly anything may be
right.

With --repair, for each partnership that differs a job matches it with its upstream, as any other job does: in the order
of the mailbox, tried again where it fails, shown by `jobs show`. Nothing newer is overwritten, since what counts is what
the upstream has when the job runs.

Exits with 3 if there is drift, unless it is being repaired.

Examples:
  channel-sync verify
  channel-sync verify --upstream helios --category equipment --json
  channel-sync verify --repair --reason 'a backup was restored'")]
pub(super) struct VerifyArgs {
    /// Those of this upstream
    #[arg(long, value_name = "ORG")]
    upstream: Option<String>,
    /// That of this downstream
    #[arg(long, value_name = "ORG")]
    organization: Option<String>,
    /// In this category alone
    #[arg(long, value_name = "C", conflicts_with = "repair")]
    category: Option<String>,
    /// Have what differs put right
    #[arg(long, requires = "reason")]
    repair: bool,
    /// Why: it is written down
    #[arg(long, value_name = "TEXT", value_parser = said, requires = "repair")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long, short = 'y', requires = "repair")]
    yes: bool,
    /// Who: it is written down
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        hide_env_values = true,
        value_parser = said,
        required_if_eq("repair", "true")
    )]
    by: Option<String>,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    format: Format,
}

/// What was found, and the jobs that put it right.
#[derive(Serialize)]
struct Repaired {
    found: Verification,
    repairs: Vec<RepairRow>,
}

pub(super) async fn verify(config: &Config, arguments: &VerifyArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let limit = arguments.limit.limit;
    let query = VerifyQuery {
        upstream_id: arguments.upstream.clone(),
        organization_id: arguments.organization.clone(),
        category: arguments.category.clone(),
        limit,
    };
    let found = compare(config, &store, &query).await?;
    let json = arguments.format.json;
    let Some(reason) = arguments.reason.as_deref().filter(|_| arguments.repair) else {
        if json {
            output::json(&found)?
        } else {
            show(&found, limit).finish()?
        }
        return if found.drifted.is_empty() { Ok(()) } else { Err(Failure::Drift) };
    };
    if !json {
        show(&found, limit).finish()?;
    }
    let mut repairs = Vec::new();
    if !found.drifted.is_empty() {
        let count = words::count(found.drifted.len() as i64, "partnership");
        if !arguments.yes && !ask(&format!("Repair {count}?"), "leave out --repair to look only")? {
            output::note("nothing was repaired");
            return Err(Failure::Drift);
        }
        let operator = Operator { name: arguments.by.as_deref().unwrap_or_default(), reason };
        repairs = operations::repair(&store, &found.drifted, operator)
            .await
            .map_err(|error| Failure::operation(config, &error))?;
    }
    if json {
        return output::json(&Repaired { found, repairs });
    }
    if repairs.is_empty() { Ok(()) } else { show_repairs(&repairs, limit) }
}

/// Compares, with a bar on a terminal.
async fn compare(config: &Config, store: &Store, query: &VerifyQuery) -> Result<Verification, Failure> {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("verify {bar:30} {pos}/{len} partnerships") {
        bar.set_style(style);
    }
    let progress = |done: i64, all: i64| {
        bar.set_length(all.unsigned_abs());
        bar.set_position(done.unsigned_abs());
    };
    let found = operations::verify(store, &config.catalogue, query, progress).await;
    bar.finish_and_clear();
    found.map_err(|error| Failure::operation(config, &error))
}

fn show(found: &Verification, limit: u16) -> Output {
    let waiting = match found.waiting {
        0 => String::new(),
        waiting => format!(", {} not in step yet", words::number(waiting)),
    };
    let compared = format!(
        "{}: {} in step, {} with drift{waiting}",
        words::count(found.partnerships, "strict partnership"),
        words::number(found.in_step),
        words::number(found.drifted.len() as i64)
    );
    let mut output = Output::text().line(&compared);
    if !found.drifted.is_empty() {
        let limit = usize::from(limit);
        let table = found.drifted.iter().take(limit).flat_map(|one| {
            one.categories.iter().map(|(category, drift)| {
                let failed = match one.jobs_failed {
                    0 => Content::Empty,
                    failed => Content::State(format!("{} failed", words::count(failed, "job"))),
                };
                vec![
                    Content::name(&one.organization_id),
                    Content::name(&one.upstream_id),
                    Content::name(category),
                    Content::name(drift_text(drift)),
                    failed,
                ]
            })
        });
        let header = ["organization", "upstream", "category", "drift", "jobs"];
        output = output.heading("drift").table(&header, table.collect());
        if found.drifted.len() > limit {
            let more = words::number((found.drifted.len() - limit) as i64);
            output = output.line(&format!("… and {more} partnerships more"));
        }
    }
    if !found.differences.is_empty() {
        let table = found.differences.iter().map(difference).collect();
        let header = [
            "organization",
            "category",
            "key",
            "differs",
            "here",
            "origin here",
            "event here",
            "upstream has",
        ];
        output = output.heading("entries that differ").table(&header, table);
        let more = found.drift.entries() - found.differences.len() as i64;
        if more > 0 {
            let more = words::number(more);
            output = output.line(&format!("… and {more} more: see --organization, --category and --limit"));
        }
    }
    if !found.not_in_step_yet.is_empty() {
        let table = found.not_in_step_yet.iter().map(|one| {
            vec![
                Content::name(&one.organization_id),
                Content::name(&one.upstream_id),
                Content::name(words::number(one.jobs_waiting)),
                if one.paused { Content::State("paused".to_owned()) } else { Content::Empty },
            ]
        });
        let header = ["organization", "upstream", "jobs waiting", "paused"];
        output = output.heading("not in step yet, and not compared").table(&header, table.collect());
        let more = found.waiting - found.not_in_step_yet.len() as i64;
        if more > 0 {
            output = output.line(&format!("… and {} more", words::number(more)));
        }
    }
    output
}

fn drift_text(drift: &Drift) -> String {
    let Drift { missing, other, extra, origin } = *drift;
    [(missing, "missing"), (other, "with another value"), (extra, "extra"), (origin, "with another origin")]
        .iter()
        .filter(|(entries, _)| *entries > 0)
        .map(|(entries, what)| format!("{} {what}", words::number(*entries)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn difference(row: &DifferenceRow) -> Vec<Content> {
    let value = |value: &Option<StoredValue>| match value {
        Some(value) => Content::Long(words::value(value)),
        None => Content::Long("–".to_owned()),
    };
    let differs = match row.kind.as_str() {
        "other" => "another value",
        "origin" => "another origin",
        kind => kind,
    };
    vec![
        Content::name(&row.organization_id),
        Content::name(&row.category),
        Content::name(&row.key),
        Content::name(differs),
        value(&row.here),
        Content::name_or_empty(row.origin.as_ref()),
        Content::name_or_empty(row.event_id.as_ref()),
        value(&row.there),
    ]
}

fn show_repairs(repairs: &[RepairRow], limit: u16) -> Result<(), Failure> {
    let table = repairs.iter().take(limit.into()).map(|row| {
        vec![
            Content::name(&row.organization_id),
            Content::name(&row.upstream_id),
            Content::name(&row.event_id),
            Content::name(&row.idempotency_key),
        ]
    });
    let mut output = Output::text()
        .heading(&format!("{} to be done", words::count(repairs.len() as i64, "reconcile")))
        .table(&["organization", "upstream", "event", "job"], table.collect());
    let more = repairs.len().saturating_sub(limit.into());
    if more > 0 {
        output = output.line(&format!("… and {} more", words::number(more as i64)));
    }
    output.line("whatever service runs does them: see `channel-sync jobs show JOB`").finish()
}
