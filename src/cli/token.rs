//! `token`: an access token for HTTP.

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, names};
use crate::config::Role;
use crate::operations;

/// `token NAME`.
#[derive(Debug, Args)]
#[command(after_help = "\
The token is random, printed this once and kept nowhere. Give it to whom it is for, and put its entry into
http.access_tokens of the configuration, or CHANNEL_SYNC__HTTP__ACCESS_TOKENS, beside those that are there; the service
reads it when it starts. A token is sent as `Authorization: Bearer TOKEN`, or entered on the login page.

Examples:
  channel-sync token grafana
  channel-sync token ada --role operator
  channel-sync token ada --role operator --json | jq -r .entry")]
pub(super) struct TokenArgs {
    /// Who it is for: written down with what is changed
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is good for: seeing everything, or changing things too
    #[arg(long, value_name = "ROLE", default_value = "viewer", value_parser = names::<RoleName>(["viewer", "operator"]))]
    role: RoleName,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy)]
struct RoleName(Role);

impl std::str::FromStr for RoleName {
    type Err = std::io::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(std::io::Error::other)
    }
}

pub(super) fn token(arguments: &TokenArgs) -> Result<(), Failure> {
    let new = operations::token(&arguments.name, arguments.role.0).map_err(|error| match error {
        operations::TokenError::Name { .. } => {
            Failure::usage(error.to_string(), "name somebody, or a program, as it is to be written down")
        }
        operations::TokenError::Random(_) => Failure::new(error.to_string()),
    })?;
    if arguments.format.json {
        output::json(&new)?;
    } else {
        let pairs = vec![("token", Content::name(&new.token)), ("entry", Content::name(&new.entry))];
        Output::text().pairs(pairs).finish()?;
    }
    output::note(&format!(
        "the token is not shown again: give it to {}; put the entry into http.access_tokens, and start the service anew",
        new.name
    ));
    Ok(())
}
