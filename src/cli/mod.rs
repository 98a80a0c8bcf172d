//! The command line: a thin layer over [`operations`](crate::operations).
//!
//! Parses arguments, calls one operation, prints what it returns. What always holds: results go to stdout,
//! everything else to stderr; exit code 0 means done, 1 that it could not be done, 2 wrong usage or
//! configuration, 3 that `verify` or `broker check` found something wrong; `--json` prints the operation's structs as
//! they are; nothing a message or a setting holds can control the terminal.
//!
//! | module | does |
//! |---|---|
//! | `output` | writes to stdout, as tables or JSON |
//! | `terminal` | whether there are colours, and how large the terminal is |
//! | `choice` | options that choose jobs, and asking before something is done |
//! | `error` | what is said when something cannot be done |
//! | the others | a command, or several on one subject |

mod actions;
mod broker;
mod choice;
mod error;
mod events;
mod explain;
mod freshness;
mod health;
mod jobs;
mod output;
mod pauses;
mod preview;
mod publish;
mod rejected;
mod replays;
mod restore;
mod settings;
mod shell;
mod status;
mod terminal;
mod token;
mod verify;
mod watch;

use std::ffi::OsString;
use std::fmt::Display;
use std::future::Future;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, ColorChoice, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::error::Failure;
use self::output::Output;
use crate::config::{Config, LogConfig, process_environment};
use crate::operations::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::store::Store;
use crate::{service, telemetry, words};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Keeps the settings of channel partners in step with their channel managers.
#[derive(Debug, Parser)]
#[command(
    name = "channel-sync",
    bin_name = "channel-sync",
    version,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Configuration: built-in defaults, then the file of --config or CHANNEL_SYNC_CONFIG, then the environment.
AMQP_URL and DATABASE_URL say where RabbitMQ and Postgres are. `channel-sync config print` shows all keys.

Results go to stdout, everything else to stderr. --json prints whole values, which tables cut on a terminal.
Colours are for terminals; NO_COLOR turns them off, CLICOLOR_FORCE=1 on, --color decides.

Exit codes: 0 done, 1 it could not be done, 2 wrong usage or configuration, 3 verify or broker check found something wrong.

Examples:
  channel-sync run --migrate           migrate the database, then serve
  channel-sync publish events.jsonl    publish events, wait for the broker's confirms
  channel-sync preview event.json      what an event would do
  channel-sync status                  how things stand
  channel-sync jobs list --state failed"
)]
struct Cli {
    /// Read this configuration file
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    config: Option<PathBuf>,
    /// Colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value_t = ColorChoice::Auto, help_heading = "Global options")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: consume events, do jobs, serve HTTP
    #[command(after_help = "\
Runs until it is told to stop by SIGTERM or Ctrl-C: then it finishes the work in hand. A second signal stops
it at once; nothing is lost by that.

Examples:
  channel-sync run
  channel-sync run --migrate
  CHANNEL_SYNC__HTTP__LISTEN=127.0.0.1:9000 channel-sync run")]
    Run {
        /// Bring the database's schema up to date first
        #[arg(long)]
        migrate: bool,
    },
    /// Bring the database's schema up to date
    #[command(after_help = "\
Creates the schema channel_sync in the database of DATABASE_URL, or changes it to what this version needs.
Where several processes migrate at once, one does and the others wait.

Example:
  DATABASE_URL=postgres://channel_sync@127.0.0.1/channel_sync channel-sync migrate")]
    Migrate,
    /// Ask the service on this machine how it is
    Health(health::HealthArgs),
    /// Publish events from a file, and wait until the broker has confirmed them
    Publish(publish::PublishArgs),
    /// What events would do that have not happened: nothing is written
    Preview(preview::PreviewArgs),
    /// How things stand: what waits, what went wrong, how much there is
    Status(status::StatusArgs),
    /// The settings of an organization
    Settings(settings::SettingsArgs),
    /// Why an organization has a setting, or lacks it, or may not edit it
    Explain(explain::ExplainArgs),
    /// How far behind their upstreams partners are, and what stands in the way
    Freshness(freshness::FreshnessArgs),
    /// Whether strict partners have what their upstreams have, and putting right what they have not
    Verify(verify::VerifyArgs),
    /// Bring back what a match displaced in an organization
    Restore(restore::RestoreArgs),
    /// Partnerships, all or those of an organization
    Partnerships(settings::PartnershipsArgs),
    /// Events, and what became of them
    #[command(
        subcommand,
        after_help = "\
Examples:
  channel-sync events list --state failed
  channel-sync events show e-17"
    )]
    Events(events::EventsCommand),
    /// Jobs: one organization's outcome for one event or change
    #[command(
        subcommand,
        after_help = "\
Examples:
  channel-sync jobs list --state failed
  channel-sync jobs show 17-3
  channel-sync jobs replay --all-failed --reason 'the trigger is gone' --dry-run"
    )]
    Jobs(jobs::JobsCommand),
    /// Replays: jobs that are done once more
    #[command(
        subcommand,
        after_help = "\
Examples:
  channel-sync replays list
  channel-sync replays show 3 --follow"
    )]
    Replays(replays::ReplaysCommand),
    /// Leave an organization, or everything, alone for a while
    Pause(pauses::PauseArgs),
    /// Go on with an organization, or with everything
    Resume(pauses::ResumeArgs),
    /// Messages that were not accepted
    #[command(
        subcommand,
        after_help = "\
Examples:
  channel-sync rejected list --state rejected
  channel-sync rejected show 4
  channel-sync rejected replay --code unknown-category --reason 'it is in the catalogue' --dry-run"
    )]
    Rejected(rejected::RejectedCommand),
    /// The broker
    #[command(subcommand)]
    Broker(broker::BrokerCommand),
    /// What operators did
    #[command(subcommand)]
    Actions(actions::ActionsCommand),
    /// Make an access token for HTTP
    Token(token::TokenArgs),
    /// The configuration
    #[command(
        subcommand,
        after_help = "\
Examples:
  channel-sync config check --config channel-sync.toml
  channel-sync config print"
    )]
    Config(ConfigCommand),
    /// Print a script by which a shell completes commands and options
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one for each command
    Manual(shell::ManualArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration, and report every problem
    #[command(after_help = "\
Exits with 2 if there is a problem.

Example:
  channel-sync config check --config channel-sync.toml")]
    Check,
    /// Print the configuration in force, with where each value came from and passwords hidden
    #[command(after_help = "\
What is printed is a configuration file, but for passwords.

Example:
  channel-sync config print --config channel-sync.toml")]
    Print,
}

/// How a result is printed.
#[derive(Debug, Args)]
struct Format {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How much of a list is printed.
#[derive(Debug, Args)]
struct Limit {
    /// Print at most so many
    #[arg(long, value_name = "N", default_value_t = LIMIT_DEFAULT, value_parser = limit)]
    limit: u16,
}

/// Reads how much of a list is printed.
fn limit(text: &str) -> Result<u16, String> {
    whole_number(text, 1..=LIMIT_MAX)
}

/// Reads a whole number in a range.
fn whole_number<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
}

/// Reads the number after which a list goes on.
fn place(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected a number, as the end of a list names it".to_owned())
}

/// A parser of names out of a fixed list, which help and error messages give.
fn names<T>(names: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    names.into().try_map(|name| name.parse::<T>())
}

/// Does what the arguments say; returns the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let choice = terminal::choice_among(&arguments);
    terminal::choose(choice);
    let parsed = Cli::command()
        .color(choice)
        .try_get_matches_from(arguments)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(mut error) => {
            name_user(&mut error);
            // A reader that is gone wants no help.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Where nobody says who it is: where that is taken from otherwise.
fn name_user(error: &mut clap::Error) {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) if error.kind() == ErrorKind::MissingRequiredArgument => missing,
        _ => return,
    };
    if missing.iter().any(|argument| argument.starts_with("--by ")) {
        let tip = "--by is taken from the environment variable USER, where that is set".into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Completions(arguments) => return shell::completions(&mut Cli::command(), arguments),
        Command::Manual(arguments) => return shell::manual(Cli::command(), arguments),
        // Where there is no token yet, the configuration may not be in order without one.
        Command::Token(arguments) => return token::token(arguments),
        _ => {}
    }
    let config = Config::load(cli.config.as_deref(), process_environment())?;
    match cli.command {
        Command::Run { migrate } => {
            telemetry::init(&config.log);
            block_on(service::run(&config, migrate))?.map_err(|error| Failure::service(&config, &error))
        }
        Command::Migrate => {
            // Only that it waits for somebody: what it does is its output.
            telemetry::init(&LogConfig { filter: "warn".to_owned(), ..config.log.clone() });
            block_on(migrate(&config))?
        }
        Command::Health(arguments) => block_on(health::health(&config, &arguments))?,
        Command::Publish(arguments) => publish::publish(&config, &arguments),
        Command::Preview(arguments) => block_on(preview::preview(&config, &arguments))?,
        Command::Status(arguments) => block_on(status::status(&config, &arguments))?,
        Command::Settings(arguments) => block_on(settings::settings(&config, &arguments))?,
        Command::Explain(arguments) => block_on(explain::explain(&config, &arguments))?,
        Command::Freshness(arguments) => block_on(freshness::freshness(&config, &arguments))?,
        Command::Restore(arguments) => block_on(restore::restore(&config, &arguments))?,
        Command::Verify(arguments) => block_on(verify::verify(&config, &arguments))?,
        Command::Partnerships(arguments) => block_on(settings::partnerships(&config, &arguments))?,
        Command::Events(command) => block_on(events::execute(&config, &command))?,
        Command::Jobs(command) => block_on(jobs::execute(&config, &command))?,
        Command::Replays(command) => block_on(replays::execute(&config, &command))?,
        Command::Pause(arguments) => block_on(pauses::pause(&config, &arguments))?,
        Command::Resume(arguments) => block_on(pauses::resume(&config, &arguments))?,
        Command::Rejected(command) => block_on(rejected::execute(&config, &command))?,
        Command::Broker(command) => block_on(broker::execute(&config, &command))?,
        Command::Actions(command) => block_on(actions::execute(&config, &command))?,
        // Done before any configuration is read.
        Command::Completions(_) | Command::Manual(_) | Command::Token(_) => Ok(()),
        Command::Config(ConfigCommand::Check) => {
            Output::text().line("the configuration is in order").finish()
        }
        Command::Config(ConfigCommand::Print) => Output::text().raw(config.print()).finish(),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("start the runtime: {error}")))?;
    let output = runtime.block_on(future);
    // A thread of the broker's library may still wait for a silent peer.
    runtime.shutdown_background();
    Ok(output)
}

/// The database of the configuration; connects when it is first read.
fn open(config: &Config) -> Result<Store, Failure> {
    Store::new(&config.database).map_err(|error| Failure::store(config, &error))
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    let store = open(config)?;
    let failed = |error| Failure::store(config, &error);
    let applied = store.migrate().await.map_err(failed)?;
    store.put_catalogue(&config.catalogue).await.map_err(failed)?;
    let mut output = Output::text();
    for name in &applied {
        output = output.line(&format!("applied {name}"));
    }
    if applied.is_empty() {
        output = output.line("the schema is up to date");
    }
    output.finish()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
