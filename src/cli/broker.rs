//! `broker check`: whether a broker that was declared by hand is as the service needs it.

use clap::{Args, Subcommand};

use super::Format;
use super::error::Failure;
use super::output::{Content, Output, json};
use crate::broker::CheckState;
use crate::config::Config;
use crate::operations::{self, BrokerCheck, BrokerCheckError};

/// `broker`.
#[derive(Debug, Subcommand)]
pub(super) enum BrokerCommand {
    /// Check exchanges, queues, bindings and policy, and say what to run where they are not right
    #[command(after_help = "\
Changes nothing. AMQP tells whether exchanges and queues are there, and whether their arguments are right; bindings
and the policy only the management API knows. Without a user in its URL, that of AMQP_URL is taken.

Exits with 3 where something is wrong.

Examples:
  channel-sync broker check
  channel-sync broker check --management-url https://rabbitmq.example:15671")]
    Check(CheckArgs),
}

/// `broker check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Where the management API is: http:// or https://, with or without user and password
    #[arg(long, value_name = "URL", env = "AMQP_MANAGEMENT_URL", hide_env_values = true)]
    management_url: Option<String>,
    #[command(flatten)]
    format: Format,
}

pub(super) async fn execute(config: &Config, command: &BrokerCommand) -> Result<(), Failure> {
    let BrokerCommand::Check(arguments) = command;
    // What a compose file makes of a variable that nobody set.
    let url = arguments.management_url.as_deref().filter(|url| !url.is_empty());
    let check = operations::broker_check(&config.broker, url).await.map_err(|error| match error {
        BrokerCheckError::ManagementUrl(expected) => Failure::usage(
            "the URL of the management API cannot be read",
            format!("{expected}; see --management-url and AMQP_MANAGEMENT_URL"),
        ),
        BrokerCheckError::Broker(error) => Failure::broker(config, &error),
    })?;
    if arguments.format.json {
        json(&check)?;
    } else {
        print(&check)?;
    }
    if check.count(CheckState::Wrong) == 0 { Ok(()) } else { Err(Failure::Drift) }
}

fn print(check: &BrokerCheck) -> Result<(), Failure> {
    let rows = check.findings.iter().map(|finding| {
        vec![
            Content::State(state(finding.state).to_owned()),
            Content::name(&finding.object),
            Content::Long(finding.found.clone()),
        ]
    });
    let mut output = Output::text().table(&["state", "what", "found"], rows.collect());
    let mut told: Vec<&str> = Vec::new();
    for finding in check.findings.iter().filter(|finding| finding.state != CheckState::Right) {
        output = output.heading(&format!("{}: {}", state(finding.state), finding.object));
        output = output.line(&format!("  expected  {}", finding.expected));
        output = output.line(&format!("  found     {}", finding.found));
        if finding.remedy.is_empty() {
            continue;
        }
        // One command may put several things right.
        if told.contains(&finding.remedy.as_str()) {
            output = output.line("  to do     the same as above");
        } else {
            output = output.line(&format!("  to do     {}", finding.remedy));
            told.push(&finding.remedy);
        }
    }
    let counts = [CheckState::Right, CheckState::Wrong, CheckState::Advice, CheckState::Unknown]
        .map(|of| (check.count(of), state(of)));
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    output.heading(&counts.join(", ")).finish()
}

fn state(state: CheckState) -> &'static str {
    match state {
        CheckState::Right => "right",
        CheckState::Wrong => "wrong",
        CheckState::Advice => "advice",
        CheckState::Unknown => "unknown",
    }
}
