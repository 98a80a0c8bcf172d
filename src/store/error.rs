//! What can go wrong with the database, and whether trying again can help: by SQLSTATE, never by text.

use tokio_postgres::error::SqlState;

use crate::contract::short;
use crate::tls;

/// Why something could not be loaded or saved. Nothing of the transaction at hand took effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had, or it was lost.
    #[error("reach the database: {0}")]
    Unreachable(String),
    /// The server refused the user, the password or the database's name.
    #[error("log in to the database: {0}")]
    Refused(String),
    /// One side does not accept the other's certificate, or there is no TLS where there should be. It stays so until
    /// somebody renews a certificate or changes the configuration.
    #[error("reach the database at {host}: {reason}")]
    Untrusted {
        /// The host, as the URL names it.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The user may not change the schema (42501).
    #[error(
        "migrate the database: {0}; expected a user that owns the schema, as deploy/postgres/roles.sql sets up"
    )]
    MayNotMigrate(String),
    /// The server refused a statement.
    #[error("run {statement}: {}", describe(.source))]
    Statement {
        /// The statement's name.
        statement: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// A statement waited too long for rows or a table that somebody else has locked (55P03).
    #[error("run {statement}: {reason} (55P03)")]
    LockTimeout {
        /// The statement's name.
        statement: &'static str,
        /// What the server said.
        reason: String,
    },
    /// The schema is not what this program needs.
    #[error("migrate the database: {0}")]
    Migration(String),
    /// The schema has been contracted since: programs that are as old as this one cannot work on it any more.
    #[error(
        "the schema has version {schema}, this program knows version {known}; expected a program that knows version \
         {oldest} or a later one"
    )]
    ProgramTooOld {
        /// The version of the schema: the number of its last migration.
        schema: i32,
        /// The last migration that this program has.
        known: i32,
        /// The last migration that a program must have at least.
        oldest: i32,
    },
    /// Letters wait for categories that the catalogue does not have.
    #[error("take over the catalogue: letters wait for {}, which it does not name; expected these to be done first, with the catalogue of before", .0.join(", "))]
    Catalogue(Vec<String>),
    /// A row holds what this program could not have written.
    #[error("read {what}: {}", short(.reason))]
    Row {
        /// Which row.
        what: String,
        /// What was wrong with it.
        reason: String,
    },
}

/// What the server said may quote data of any length.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", short(db.message()), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => short(&format!("{error}: {source}")),
            None => short(&error.to_string()),
        },
    }
}

impl StoreError {
    /// What it means that a statement failed: the server refused it, or the connection was lost.
    pub(super) fn of(statement: &'static str, source: tokio_postgres::Error) -> Self {
        match source.as_db_error() {
            Some(error) if *error.code() == SqlState::LOCK_NOT_AVAILABLE => {
                Self::LockTimeout { statement, reason: error.message().to_owned() }
            }
            _ => Self::Statement { statement, source },
        }
    }

    /// Whether the same thing may well succeed when tried again: the connection was lost, the server is
    /// starting or stopping or short of resources, or other transactions were in the way.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::LockTimeout { .. } => true,
            Self::Statement { source, .. } => match source.code() {
                Some(code) => is_transient(code),
                // Not the server's word: the connection broke.
                None => source.is_closed() || std::error::Error::source(source).is_some(),
            },
            Self::Refused(_)
            | Self::Untrusted { .. }
            | Self::MayNotMigrate(_)
            | Self::Migration(_)
            | Self::ProgramTooOld { .. }
            | Self::Catalogue(_)
            | Self::Row { .. } => false,
        }
    }

    /// Whether one job among many may be the cause: its data is refused or cannot be read, a row that it needs
    /// is locked by somebody or damaged, its statement takes too long (57014), a trigger objects. Any error of the
    /// server may, but for those that tell of the server, the session or the schema as a whole.
    pub fn may_be_one_job(&self) -> bool {
        match self {
            Self::Row { .. } | Self::LockTimeout { .. } => true,
            _ => self.sql_state().is_some_and(|code| {
                code == "57014" || code.get(..2).is_some_and(|class| !OF_EVERYBODY.contains(&class))
            }),
        }
    }

    /// Whether what may be one job's fault may be nobody's all the same, as a lock on a table or a damaged index is:
    /// where nothing else goes on, it is.
    pub fn may_be_nobodys(&self) -> bool {
        self.may_be_one_job() && self.sql_state().is_some_and(|code| code != "57014") && !self.blames_data()
    }

    /// Whether somebody else has locked what was needed.
    pub fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::LockTimeout { .. })
    }

    /// Whether the server refused what the statement was given: a value that it cannot hold (class 22), a
    /// constraint (class 23), a limit of its own (class 54). Anything else says nothing of the data.
    pub fn blames_data(&self) -> bool {
        let class = self.sql_state().and_then(|code| code.get(..2));
        matches!(class, Some("22" | "23" | "54"))
    }

    /// The SQLSTATE that the server gave, if it did.
    pub fn sql_state(&self) -> Option<&str> {
        match self {
            Self::Statement { source, .. } => source.code().map(SqlState::code),
            Self::LockTimeout { .. } => Some("55P03"),
            Self::MayNotMigrate(_) => Some("42501"),
            Self::Unreachable(_)
            | Self::Refused(_)
            | Self::Untrusted { .. }
            | Self::Migration(_)
            | Self::ProgramTooOld { .. }
            | Self::Catalogue(_)
            | Self::Row { .. } => None,
        }
    }
}

/// Classes of SQLSTATE that say nothing of single jobs: connections (08), what the server cannot do (0A), the state of a
/// transaction (25), statements and portals that are gone (26, 34), who may connect (28), names that are not there (3D,
/// 3F, 42: with missing permissions), other transactions (40), resources (53), operators (57).
const OF_EVERYBODY: [&str; 12] = ["08", "0A", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "57"];

/// Serialization failure, deadlock, server shutting down or starting, statement timeout
/// (ours: nobody else cancels), connection exceptions (class 08) and insufficient resources (class 53).
fn is_transient(code: &SqlState) -> bool {
    matches!(code.code(), "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "57014" | "25P03")
        || code.code().starts_with("08")
        || code.code().starts_with("53")
}

impl StoreError {
    /// What it means that no connection to this host could be made, or that it was lost.
    pub(super) fn no_connection(error: &tokio_postgres::Error, host: &str) -> Self {
        if let Some(reason) = tls::failure(error) {
            return Self::Untrusted { host: host.to_owned(), reason };
        }
        match error.code() {
            // Class 28: the user or password; 3D000: no such database.
            Some(code) if code.code().starts_with("28") || code.code() == "3D000" => {
                Self::Refused(describe(error))
            }
            // Neither the server's word nor trouble on the way: a server without TLS, say, or no password where one
            // is asked for.
            None if is_of_the_driver(error) => Self::Refused(format!("{host}: {}", describe(error))),
            _ => Self::Unreachable(describe(error)),
        }
    }

    /// What it means that the pool has no session to give.
    pub(super) fn no_session(error: deadpool_postgres::PoolError, host: &str) -> Self {
        use deadpool_postgres::PoolError as E;
        match error {
            E::Backend(error) => Self::no_connection(&error, host),
            E::Timeout(kind) => {
                Self::Unreachable(format!("no connection within the time allowed ({kind:?})"))
            }
            error => Self::Unreachable(error.to_string()),
        }
    }
}

/// Whether an error has a cause, and no system call is among its causes.
fn is_of_the_driver(error: &tokio_postgres::Error) -> bool {
    let mut next = std::error::Error::source(error);
    let has_cause = next.is_some();
    while let Some(cause) = next {
        if cause.is::<std::io::Error>() {
            return false;
        }
        next = cause.source();
    }
    has_cause
}
