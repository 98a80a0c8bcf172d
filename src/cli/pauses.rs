//! `pause` and `resume`: one organization, or all execution.

use clap::Args;

use super::choice::{ByArgs, OperatorArgs};
use super::error::Failure;
use super::open;
use super::output::Output;
use crate::config::Config;
use crate::operations;

/// What is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// The organization
    #[arg(value_name = "ORG")]
    organization: Option<String>,
    /// All execution
    #[arg(long)]
    all: bool,
}

/// `pause`.
#[derive(Debug, Args)]
#[command(after_help = "\
Waits until the work in hand there is finished. From then on nothing of that organization (or of any) is written,
until it is resumed. Events are still taken in; what comes for it waits, and `channel-sync status` shows it.

Examples:
  channel-sync pause pac-energy --reason 'they are migrating'
  channel-sync pause --all --reason 'restoring a backup'")]
pub(super) struct PauseArgs {
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// `resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
An organization that was paused by itself stays so when all execution is resumed.

Examples:
  channel-sync resume pac-energy
  channel-sync resume --all")]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    by: ByArgs,
}

pub(super) async fn pause(config: &Config, arguments: &PauseArgs) -> Result<(), Failure> {
    let organization = arguments.scope.organization.as_deref();
    let is_new = operations::pause(&open(config)?, organization, arguments.operator.operator())
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    let what = organization.unwrap_or("all execution");
    let line = if is_new {
        format!("{what} is paused")
    } else {
        format!("{what} was paused already, see `channel-sync status`; nothing was changed")
    };
    Output::text().line(&line).finish()
}

pub(super) async fn resume(config: &Config, arguments: &ResumeArgs) -> Result<(), Failure> {
    let organization = arguments.scope.organization.as_deref();
    let was_paused = operations::resume(&open(config)?, organization, &arguments.by.by)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    let what = organization.unwrap_or("all execution");
    let line = if was_paused {
        format!("{what} goes on")
    } else {
        format!("{what} was not paused; nothing was changed")
    };
    Output::text().line(&line).finish()
}
