//! Pauses: what executors leave alone until somebody resumes it.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::StoreError;
use super::pool::{Session, Transaction};
use super::statements;
use crate::domain::{OrganizationNo, Shard};

/// Something that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PauseRow {
    /// The organization; none where all execution is paused.
    pub organization_id: Option<String>,
    /// Who paused it.
    pub paused_by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub paused_at: Timestamp,
    /// How many jobs wait for it to be resumed.
    pub jobs_waiting: i64,
}

impl Transaction<'_> {
    /// Pauses an organization, or (none) all execution, once whoever works there has finished the batch at hand:
    /// from the commit on, nothing more is written there. False where it was paused before.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or a batch takes too long.
    pub async fn pause(
        &self,
        organization: Option<OrganizationNo>,
        paused_by: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let shards = match organization {
            Some(organization) => vec![organization.shard()],
            None => Shard::all().collect(),
        };
        self.wait_for_shards(&shards).await?;
        let organization = organization.map(|no| no.0);
        let rows = self.query(statements::PAUSE_ADD, &[&organization, &paused_by, &reason]).await?;
        Ok(!rows.is_empty())
    }

    /// An organization, or (none) all execution, goes on. False where it was not paused.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn resume(&self, organization: Option<OrganizationNo>) -> Result<bool, StoreError> {
        let organization = organization.map(|no| no.0);
        let rows = self.query(statements::PAUSE_REMOVE, &[&organization]).await?;
        self.query(statements::LETTERS_NOTIFY, &[]).await?;
        Ok(!rows.is_empty())
    }
}

impl Session {
    /// What is paused: all execution first, then organizations by name, after one ("": after all execution). Of an
    /// `organization`: that one, and all execution.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_pauses(
        &self,
        after: Option<&str>,
        organization: Option<OrganizationNo>,
        limit: i64,
    ) -> Result<Vec<PauseRow>, StoreError> {
        let organization = organization.map(|no| no.0);
        let rows = self.query(statements::LIST_PAUSES, &[&after, &organization, &limit]).await?;
        Ok(rows
            .iter()
            .map(|row| PauseRow {
                organization_id: row.get("organization_id"),
                paused_by: row.get("paused_by"),
                reason: row.get("reason"),
                paused_at: row.get("paused_at"),
                jobs_waiting: row.get("jobs_waiting"),
            })
            .collect())
    }
}
