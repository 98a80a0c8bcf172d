//! What an operator looks at first: figures of the last hour, and the letter that has waited longest. Nothing here
//! writes or locks.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::error::StoreError;
use super::pool::Session;
use super::statements;

/// What happened in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct MinuteRow {
    /// When it began.
    pub at: Timestamp,
    /// Jobs that were done.
    pub succeeded: i64,
    /// Jobs that were given up.
    pub failed: i64,
    /// Events that came in.
    pub events: i64,
}

/// The letter that has waited longest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OldestRow {
    /// When it was written.
    pub created_at: Timestamp,
    /// When it may be worked off.
    pub run_at: Timestamp,
    /// The kind of its jobs.
    pub kind: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What the last attempt failed of.
    pub last_error: Option<String>,
    /// Whom it is for; none where it is for all downstreams in a shard.
    pub organization_id: Option<String>,
    /// The root event.
    pub event_id: String,
    /// Its source.
    pub source: String,
    /// Whether it waits for somebody to resume its organization, or all execution.
    pub paused: bool,
}

impl Session {
    /// What happened minute by minute, from then on, or in the last hour; minutes of nothing too.
    ///
    /// # Errors
    /// As [`Session::query`]; so of all the functions here.
    pub async fn overview_minutes(&self, since: Option<Timestamp>) -> Result<Vec<MinuteRow>, StoreError> {
        let rows = self.query(statements::OVERVIEW_MINUTES, &[&since]).await?;
        let minute = |row: &Row| MinuteRow {
            at: row.get("at"),
            succeeded: row.get("succeeded"),
            failed: row.get("failed"),
            events: row.get("events"),
        };
        Ok(rows.iter().map(minute).collect())
    }

    /// The letter that has waited longest, where one waits.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn overview_oldest(&self) -> Result<Option<OldestRow>, StoreError> {
        let rows = self.query(statements::OVERVIEW_OLDEST, &[]).await?;
        Ok(rows.first().map(|row| OldestRow {
            created_at: row.get("created_at"),
            run_at: row.get("run_at"),
            kind: row.get("kind"),
            attempts: row.get("attempts"),
            last_error: row.get("last_error"),
            organization_id: row.get("organization_id"),
            event_id: row.get("event_id"),
            source: row.get("source"),
            paused: row.get("paused"),
        }))
    }
}
