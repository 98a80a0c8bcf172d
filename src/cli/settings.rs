//! `settings` and `partnerships`: what organizations have now.

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, open, words};
use crate::config::Config;
use crate::operations::{self, LIMIT_MAX, SettingQuery};

/// `settings ORG`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each setting with its value, its origin (`own`, or the upstream that it was synced from), who locks it, and
the event that last wrote it.

Examples:
  channel-sync settings pac-energy
  channel-sync settings pac-energy --category equipment --key-prefix module/
  channel-sync settings pac-energy --json | jq '.[] | select(.locked)'")]
pub(super) struct SettingsArgs {
    /// The organization
    #[arg(value_name = "ORG")]
    organization: String,
    /// Of this category alone
    #[arg(long, value_name = "C")]
    category: Option<String>,
    /// Keys that begin so
    #[arg(long, value_name = "TEXT")]
    key_prefix: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// `partnerships [ORG]`.
#[derive(Debug, Args)]
#[command(after_help = "\
The mode is what status and flags amount to: off, non-exclusive, flexible or strict.

Examples:
  channel-sync partnerships
  channel-sync partnerships helios
  channel-sync partnerships --json | jq '.[] | select(.mode == \"strict\")'")]
pub(super) struct PartnershipsArgs {
    /// Those that this organization has, as upstream or as downstream
    #[arg(value_name = "ORG")]
    organization: Option<String>,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn settings(config: &Config, arguments: &SettingsArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let failed = |error| Failure::operation(config, &error);
    let mut query = SettingQuery {
        category: arguments.category.clone(),
        key_prefix: arguments.key_prefix.clone(),
        after: None,
        limit: LIMIT_MAX,
    };
    let organization = &arguments.organization;
    let mut rows = Vec::new();
    loop {
        let page =
            operations::settings(&store, &config.catalogue, organization, &query).await.map_err(failed)?;
        rows.extend(page.items);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    if arguments.format.json {
        return output::json(&rows);
    }
    let output = Output::text();
    if rows.is_empty() {
        let of = match (&arguments.category, &arguments.key_prefix) {
            (None, None) => String::new(),
            (Some(category), None) => format!(" in the category {category}"),
            (None, Some(prefix)) => format!(" with a key that begins with {prefix}"),
            (Some(category), Some(prefix)) => {
                format!(" in the category {category} with a key that begins with {prefix}")
            }
        };
        return output.line(&format!("{organization} has no settings{of}")).finish();
    }
    let table = rows
        .iter()
        .map(|row| {
            let lock = match &row.locked_by {
                Some(by) => format!("locked by {by}"),
                None => String::new(),
            };
            vec![
                Content::name(&row.category),
                Content::name(&row.key),
                Content::name(&row.origin),
                Content::name(lock),
                Content::name_or_empty(row.event_id.as_ref()),
                output.time_in_table(row.updated_at),
                Content::Long(words::value(&row.value)),
            ]
        })
        .collect();
    let header = ["category", "key", "origin", "lock", "event", "updated", "value"];
    output.table_without(&["event", "updated"], &header, table).finish()
}

pub(super) async fn partnerships(config: &Config, arguments: &PartnershipsArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let failed = |error| Failure::operation(config, &error);
    let organization = arguments.organization.as_deref();
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = operations::partnerships(&store, organization, after.as_deref(), LIMIT_MAX)
            .await
            .map_err(failed)?;
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if arguments.format.json {
        return output::json(&rows);
    }
    let output = Output::text();
    if rows.is_empty() {
        let line = match organization {
            Some(organization) => format!("{organization} has no partnerships"),
            None => "there are no partnerships; the first partnership-changed event makes one".to_owned(),
        };
        return output.line(&line).finish();
    }
    let yes = |flag| if flag { "yes" } else { "no" };
    let table = rows
        .iter()
        .map(|row| {
            vec![
                Content::name(&row.upstream_id),
                Content::name(&row.downstream_id),
                Content::State(row.mode.clone()),
                Content::State(row.status.clone()),
                Content::name(yes(row.exclusive)),
                Content::name(yes(row.data_sync)),
                Content::name(row.allow_downstream_edit.map_or("–", yes)),
                output.time_in_table(row.updated_at),
            ]
        })
        .collect();
    let header =
        ["upstream", "downstream", "mode", "status", "exclusive", "data sync", "downstream edit", "updated"];
    output.table_without(&["updated", "status"], &header, table).finish()
}
