//! What is said when something cannot be done: `error: ` and one line, then a line for each cause, then
//! `hint: ` and what to do next.

use std::io::Write as _;
use std::process::ExitCode;

use super::output::{Label, labelled};
use crate::broker::BrokerError;
use crate::config::{Config, ConfigProblems};
use crate::harmless::{harmless, one_line};
use crate::operations::{OperationError, PublishError};
use crate::store::StoreError;

/// What to do about a broker that does not answer.
pub(super) const BROKER_HINT: &str = "see that RabbitMQ is up, and that AMQP_URL or broker.url names it";

/// Why a command ends without having done what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// Whoever read our output is gone, as `| head` does: nothing is wrong.
    ReaderGone,
    /// `verify` or `broker check` has found something wrong, and told it on stdout.
    Drift,
    /// It could not be done.
    NotDone {
        /// What, in one line.
        message: String,
        /// Why, and why that.
        causes: Vec<String>,
        /// What to do next.
        hint: Option<String>,
    },
    /// The configuration is wrong.
    Configuration(ConfigProblems),
    /// It was not said what is needed.
    Usage {
        /// What is missing, in one line.
        message: String,
        /// What to say.
        hint: String,
    },
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self::NotDone { message: message.into(), causes: Vec::new(), hint: None }
    }

    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub(super) fn caused_by(self, cause: impl Into<String>) -> Self {
        match self {
            Self::NotDone { message, mut causes, hint } => {
                causes.push(cause.into());
                Self::NotDone { message, causes, hint }
            }
            other => other,
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::NotDone { message, causes, .. } => {
                Self::NotDone { message, causes, hint: Some(hint.into()) }
            }
            other => other,
        }
    }

    /// The database could not be read or written.
    pub(super) fn store(config: &Config, error: &StoreError) -> Self {
        let url = &config.database.url;
        match error {
            StoreError::Unreachable(reason) => Self::new(format!("cannot reach the database {url}"))
                .caused_by(reason)
                .hint("see that Postgres is up, and that DATABASE_URL or database.url names it"),
            StoreError::Refused(reason) => Self::new(format!("cannot log in to the database {url}"))
                .caused_by(reason)
                .hint("see that user, password and database of DATABASE_URL or database.url are right"),
            StoreError::Untrusted { .. } => {
                Self::new(format!("cannot trust the database {url}, or is not trusted"))
                    .caused_by(error.to_string())
                    .hint("see the keys database.tls… of `channel-sync config print`, and docs/security.md")
            }
            StoreError::MayNotMigrate(_) => Self::new(format!(
                "may not change the schema in the database {url}"
            ))
            .caused_by(error.to_string())
            .hint("run `channel-sync migrate` as the user that owns the schema, and `run` without --migrate"),
            StoreError::ProgramTooOld { .. } => {
                Self::new(format!("this version of channel-sync is too old for the database {url}"))
                    .caused_by(error.to_string())
                    .hint("install a newer channel-sync; the schema does not go back")
            }
            error if error.sql_state() == Some("42501") => {
                Self::new(format!("the user of the database {url} may not do this"))
                    .caused_by(error.to_string())
                    .hint("see deploy/postgres/roles.sql for what each role may")
            }
            error if error.is_lock_timeout() => {
                Self::new(format!("somebody else holds a lock in the database {url}"))
                    .caused_by(error.to_string())
                    .hint("try again; who holds it, the query under TransactionOpen in docs/runbook.md tells")
            }
            // No schema, table, column or type of this name.
            error if matches!(error.sql_state(), Some("3F000" | "42P01" | "42703" | "42704")) => {
                Self::new(format!("the database {url} lacks what this version of channel-sync needs"))
                    .caused_by(error.to_string())
                    .hint("run `channel-sync migrate`")
            }
            error => Self::new(error.to_string()),
        }
    }

    /// An operation could not be done. `hint` knows the commands that help.
    pub(super) fn operation(config: &Config, error: &OperationError) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            OperationError::Store(error) => Self::store(config, error),
            OperationError::UnknownOrganization { .. } => {
                let hint =
                    "an organization is known from its first event on; see `channel-sync partnerships`";
                failure.hint(hint)
            }
            OperationError::UnknownEvent { .. } => failure.hint(
                "see `channel-sync events list` for those that came, `channel-sync rejected list` for \
                 those that were not accepted",
            ),
            OperationError::AmbiguousEvent { .. } => failure.hint("say which one by --source"),
            OperationError::UnknownJob(_) => failure.hint("see `channel-sync jobs list`"),
            OperationError::DroppedJob { .. } => failure.hint(
                "its event and what followed from it are still in `channel-sync events show` and `channel-sync explain`",
            ),
            OperationError::CatalogueBehind(_) => {
                failure.hint("start `channel-sync run` with the new catalogue first")
            }
            OperationError::UnknownRejected(_) | OperationError::AlreadySettled { .. } => {
                failure.hint("see `channel-sync rejected list`")
            }
            OperationError::UnknownReplay(_) | OperationError::ReplayNotRunning { .. } => {
                failure.hint("see `channel-sync replays list`")
            }
            OperationError::NothingToReplay | OperationError::NothingToDiscard => failure
                .hint("see `channel-sync jobs list --state failed`, and --dry-run for why jobs are refused"),
            OperationError::NothingToRestore { .. } => {
                failure.hint("see `channel-sync restore JOB --dry-run` for each entry")
            }
            OperationError::MalformedCursor(_) => {
                Self::usage(error.to_string(), "say --after as the end of a list names it")
            }
            OperationError::UnknownCategory { .. }
            | OperationError::NotKeptInSync { .. } => failure,
        }
    }

    pub(super) fn publish(config: &Config, error: &PublishError) -> Self {
        let url = &config.broker.url;
        match error {
            PublishError::Connect(cause) => {
                Self::new(format!("cannot reach the broker {url}; nothing was published"))
                    .caused_by_broker(cause)
            }
            PublishError::Refused(cause) => {
                Self::new(format!("the broker {url} refuses; nothing was published"))
                    .caused_by(cause.to_string())
            }
            PublishError::Broken { error: cause, .. } => Self::new(error.to_string())
                .caused_by(cause.to_string())
                .hint("publish the same again: an event that comes twice takes effect once"),
        }
    }

    /// The broker does not do what is asked of it.
    pub(super) fn broker(config: &Config, error: &BrokerError) -> Self {
        let url = &config.broker.url;
        let message = match error {
            BrokerError::Untrusted { .. } => format!("cannot trust the broker {url}, or is not trusted"),
            BrokerError::Refused { .. } => format!("cannot log in to the broker {url}"),
            BrokerError::Forbidden { .. } => format!("the user of the broker {url} may not do this"),
            _ => format!("cannot use the broker {url}"),
        };
        Self::new(message).caused_by_broker(error)
    }

    /// With this as its cause, and what to do about it where the error does not say so itself.
    fn caused_by_broker(self, error: &BrokerError) -> Self {
        let failure = self.caused_by(error.to_string());
        match error {
            BrokerError::Untrusted { .. } => {
                failure.hint("see the keys broker.tls… of `channel-sync config print`, and docs/security.md")
            }
            BrokerError::Refused { .. } => {
                failure.hint("see that user, password and virtual host of AMQP_URL or broker.url are right")
            }
            BrokerError::Forbidden { .. } => {
                failure.hint("see deploy/rabbitmq/permissions.json for what each user may")
            }
            BrokerError::Missing { .. } | BrokerError::Conflict { .. } => failure,
            _ => failure.hint(BROKER_HINT),
        }
    }

    /// The service could not start, or ended by itself.
    pub(super) fn service(config: &Config, error: &anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<StoreError>() {
            return Self::store(config, error);
        }
        if let Some(error) = error.downcast_ref::<BrokerError>() {
            return Self::broker(config, error);
        }
        let mut said = error.to_string();
        let mut failure = Self::new(said.clone());
        for cause in error.chain().skip(1).map(ToString::to_string) {
            // Many errors say what their source says.
            if !said.contains(&cause) {
                said.push_str(&cause);
                failure = failure.caused_by(cause);
            }
        }
        failure
    }

    /// What is said, a line each.
    pub(super) fn text(&self) -> String {
        match self {
            Self::ReaderGone | Self::Drift => String::new(),
            Self::Configuration(problems) => {
                let text = problems.to_string();
                let mut lines = text.lines();
                let first = labelled(Label::Error, lines.next().unwrap_or_default());
                lines.fold(first, |text, line| text + &harmless(line) + "\n")
            }
            Self::Usage { message, hint } => labelled(Label::Error, message) + &labelled(Label::Hint, hint),
            Self::NotDone { message, causes, hint } => {
                let mut text = labelled(Label::Error, message);
                for cause in causes {
                    text.push_str(&format!("  caused by: {}\n", one_line(cause)));
                }
                if let Some(hint) = hint {
                    text.push_str(&labelled(Label::Hint, hint));
                }
                text
            }
        }
    }

    /// Says it on stderr; returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        // Where stderr is gone, there is nobody left to tell.
        let _ = std::io::stderr().lock().write_all(self.text().as_bytes());
        match self {
            Self::ReaderGone => ExitCode::SUCCESS,
            Self::NotDone { .. } => ExitCode::from(1),
            Self::Drift => ExitCode::from(3),
            Self::Configuration(_) | Self::Usage { .. } => ExitCode::from(2),
        }
    }
}

impl From<ConfigProblems> for Failure {
    fn from(problems: ConfigProblems) -> Self {
        Self::Configuration(problems)
    }
}
