//! `actions`: what operators did.

use clap::{Args, Subcommand};

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, open, place};
use crate::config::Config;
use crate::operations;

/// `actions …`.
#[derive(Debug, Subcommand)]
pub(super) enum ActionsCommand {
    /// List what operators did, the newest first
    List(ListArgs),
}

/// `actions list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything that an operator changes, by whatever way, is written down with it: who, when, to what, and why.

Examples:
  channel-sync actions list
  channel-sync actions list --json | jq '.[] | select(.who == \"ada\")'")]
pub(super) struct ListArgs {
    #[command(flatten)]
    limit: Limit,
    /// Go on after this one
    #[arg(long, value_name = "N", value_parser = place)]
    after: Option<i64>,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn execute(config: &Config, command: &ActionsCommand) -> Result<(), Failure> {
    let ActionsCommand::List(arguments) = command;
    let page = operations::actions(&open(config)?, arguments.after, arguments.limit.limit)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        let no = if arguments.after.is_some() { "no more" } else { "no" };
        return Output::text().line(&format!("there are {no} actions")).finish();
    } else {
        let output = Output::text();
        let table = page
            .items
            .iter()
            .map(|row| {
                vec![
                    output.time_in_table(row.at),
                    Content::name(&row.who),
                    Content::name(&row.action),
                    Content::Long(row.subject.to_string()),
                    Content::Long(row.reason.clone().unwrap_or_default()),
                ]
            })
            .collect();
        output.table(&["when", "who", "action", "to what", "reason"], table).finish()?;
    }
    if let Some(next) = page.next {
        output::note(&format!("there are more: --after {next}"));
    }
    Ok(())
}
