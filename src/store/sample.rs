//! What the metrics show of the database: read in the background, every few seconds, by every replica.
//!
//! Reads what is not done, never what is: with millions of finished jobs it costs no more than with none.

use tokio_postgres::Row;

use super::error::StoreError;
use super::pool::{Session, Store};
use super::rows::one;
use super::statements;
use crate::metrics::{DatabaseSample, LettersSample, PoolFigures};

impl Session {
    /// How things stand now, but for how far partnerships are.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn sample(&self) -> Result<DatabaseSample, StoreError> {
        let letters = self.query(statements::SAMPLE_LETTERS, &[]).await?;
        let state = self.query(statements::SAMPLE_STATE, &[]).await?;
        let rejected = self.status_rejected().await?;
        let state = one(&state, "the state of everything")?;
        let of_kind = |row: &Row| LettersSample {
            kind: row.get("kind"),
            letters: row.get("letters"),
            retrying: row.get("retrying"),
            oldest_due_seconds: row.get("oldest_due_seconds"),
        };
        Ok(DatabaseSample {
            letters: letters.iter().map(of_kind).collect(),
            jobs_failed: state.get("jobs_failed"),
            rejected: rejected.into_iter().map(|row| (row.code, row.messages)).collect(),
            organizations_paused: state.get("organizations_paused"),
            everything_paused: state.get("everything_paused"),
            oldest_pause_seconds: state.get("oldest_pause_seconds"),
            replays_running: state.get("replays_running"),
            replay_jobs_waiting: state.get("replay_jobs_waiting"),
            days_kept: state.get("days_kept"),
            days_ahead: state.get("days_ahead"),
            oldest_transaction_seconds: state.get("oldest_transaction_seconds"),
            freshness: None,
        })
    }
}

impl Store {
    /// How the pool of connections stands.
    pub fn pool_figures(&self) -> PoolFigures {
        let status = self.pool().status();
        PoolFigures {
            max: status.max_size,
            open: status.size,
            idle: status.available,
            waiting: status.waiting,
            statements: self.statements_run(),
        }
    }
}
