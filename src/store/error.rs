//! What can go wrong with the database, and whether trying again can help: by SQLSTATE, never by text.

use tokio_postgres::error::SqlState;

use crate::contract::short;

/// Why something could not be loaded or saved. Nothing of the transaction at hand took effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had, or it was lost.
    #[error("reach the database: {0}")]
    Unreachable(String),
    /// The server refused the user, the password or the database's name.
    #[error("log in to the database: {0}")]
    Refused(String),
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
fn describe(error: &tokio_postgres::Error) -> String {
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
            Self::Refused(_) | Self::Migration(_) | Self::Catalogue(_) | Self::Row { .. } => false,
        }
    }

    /// Whether one job among many may be the cause: its data is refused or cannot be read, a row that it needs
    /// is locked by somebody, or its statement takes too long (57014).
    pub fn may_be_one_job(&self) -> bool {
        matches!(self, Self::Row { .. })
            || self.is_lock_timeout()
            || self.blames_data()
            || self.sql_state() == Some("57014")
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
            Self::Unreachable(_)
            | Self::Refused(_)
            | Self::Migration(_)
            | Self::Catalogue(_)
            | Self::Row { .. } => None,
        }
    }
}

/// Serialization failure, deadlock, server shutting down or starting, statement timeout
/// (ours: nobody else cancels), connection exceptions (class 08) and insufficient resources (class 53).
fn is_transient(code: &SqlState) -> bool {
    matches!(code.code(), "40001" | "40P01" | "57P01" | "57P02" | "57P03" | "57014" | "25P03")
        || code.code().starts_with("08")
        || code.code().starts_with("53")
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError as E;
        match error {
            // Class 28: the user or password; 3D000: no such database.
            E::Backend(error)
                if error
                    .code()
                    .is_some_and(|code| code.code().starts_with("28") || code.code() == "3D000") =>
            {
                Self::Refused(describe(&error))
            }
            E::Backend(error) => Self::Unreachable(describe(&error)),
            E::Timeout(kind) => {
                Self::Unreachable(format!("no connection within the time allowed ({kind:?})"))
            }
            error => Self::Unreachable(error.to_string()),
        }
    }
}
