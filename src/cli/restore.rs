//! `restore`: bringing back what a match displaced.

use clap::Args;

use super::choice::{ConfirmArgs, OperatorArgs};
use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, open, words};
use crate::config::Config;
use crate::operations::{self, JobKey, Restore, RestoreEntry, StoredValue};

/// `restore JOB`.
#[derive(Debug, Args)]
#[command(after_help = "\
A match displaces settings that had not come from its upstream; `jobs show JOB` lists them. They come back as an edit of
the organization's own, by an event of the source channel-sync: in the order of its mailbox, and on to its partners by
the rules. What is locked now is left, and so is what a later event has changed, or may have changed where the results
that would tell were dropped. First shows what would be done. Doing it twice changes nothing.

Examples:
  channel-sync restore 5-2 --reason 'asked for by pac-energy' --dry-run
  channel-sync restore 5-2 --reason 'asked for by pac-energy' --yes")]
pub(super) struct RestoreArgs {
    /// The job that displaced them, by its idempotency key
    #[arg(value_name = "JOB")]
    job: JobKey,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn restore(config: &Config, arguments: &RestoreArgs) -> Result<(), Failure> {
    let RestoreArgs { job, operator, confirm, limit, format } = arguments;
    let failed = |error| Failure::operation(config, &error);
    let store = open(config)?;
    let preview =
        operations::preview_restore(&store, &config.catalogue, *job, limit.limit).await.map_err(failed)?;
    if format.json && confirm.dry_run {
        return output::json(&preview);
    }
    if !format.json {
        show(&preview).finish()?;
    }
    if confirm.dry_run {
        return Ok(());
    }
    let restored = preview.outcomes.restored;
    if restored == 0 && preview.outcomes.locked == 0 {
        return if format.json { output::json(&preview) } else { Ok(()) };
    }
    let question = format!("Restore {}?", words::count(restored, "setting"));
    if restored > 0 && !confirm.ask(&question)? {
        output::note("nothing was restored");
        return Ok(());
    }
    let restore = operations::restore(&store, &config.catalogue, *job, limit.limit, operator.operator())
        .await
        .map_err(failed)?;
    if format.json {
        return output::json(&restore);
    }
    let shown = restore.events.first().map_or("", String::as_str);
    let line = format!(
        "{} to be restored, by {}; see `channel-sync events show {shown}`",
        words::count(restore.outcomes.restored, "setting"),
        words::count(restore.events.len() as i64, "event"),
    );
    Output::text().line(&line).finish()
}

fn show(restore: &Restore) -> Output {
    let Restore { idempotency_key, organization_id, event_id, displaced, outcomes, entries, .. } = restore;
    let output = Output::text();
    if *displaced == 0 {
        return output.line(&format!("the job {idempotency_key} of {organization_id} displaced nothing"));
    }
    let of = words::count(*displaced, "setting");
    let to_restore = words::number(outcomes.restored);
    let left = match displaced - outcomes.restored {
        0 => String::new(),
        _ => format!("; left: {}", restore.reason()),
    };
    let line = format!(
        "{of} of {organization_id} displaced by the job {idempotency_key} of {event_id}: {to_restore} to be restored{left}"
    );
    let table = entries.iter().map(columns).collect();
    let header = ["category", "key", "displaced", "now", "origin now", "what becomes of it"];
    let output = output.line(&line).table(&header, table);
    match displaced - entries.len() as i64 {
        0 => output,
        more => output.line(&format!("… and {} more", words::number(more))),
    }
}

fn columns(row: &RestoreEntry) -> Vec<Content> {
    let value = |value: &Option<StoredValue>| match value {
        Some(value) => Content::Long(words::value(value)),
        None => Content::Long("–".to_owned()),
    };
    let by = row.by.as_deref().unwrap_or("(unknown)");
    let becomes = match row.outcome {
        "restored" => "restored".to_owned(),
        "in-place" => "left: it is in place already".to_owned(),
        "locked" => format!("left: locked by {by}"),
        "changed-since" => format!("left: changed since by {by}"),
        "results-dropped" => "left: not known any more what came since, as results were dropped".to_owned(),
        "own-event-waits" => "left: a later event waits".to_owned(),
        _ => "left: the catalogue has it no more".to_owned(),
    };
    vec![
        Content::name(&row.category),
        Content::name(&row.key),
        value(&row.value),
        value(&row.now),
        Content::name_or_empty(row.now_origin.as_ref()),
        Content::Long(becomes),
    ]
}
