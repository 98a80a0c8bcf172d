//! How far behind its upstream each partnership is, told from what waits, never from what is done.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::error::StoreError;
use super::pool::Session;
use super::rows::one;
use super::statements;
use crate::domain::OrganizationNo;

/// How far a partnership is in a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FreshnessRow {
    /// The downstream.
    pub organization_id: String,
    /// The upstream.
    pub upstream_id: String,
    /// The category.
    pub category: String,
    /// What the flags amount to.
    pub mode: String,
    /// Whether nothing waits, and nothing has failed that was not taken in since.
    pub in_step: bool,
    /// The event of the last change of the upstream in this category that the downstream has been told of. None where
    /// there was no such change, or where all of it is still to be reconciled.
    pub event_id: Option<String>,
    /// When that change was made.
    pub event_at: Option<Timestamp>,
    /// How many jobs wait.
    pub jobs_waiting: i64,
    /// How many jobs have failed.
    pub jobs_failed: i64,
    /// When the oldest change was made whose job waits or has failed.
    pub oldest_at: Option<Timestamp>,
    /// When a job is tried again that holds up the others.
    pub retry_at: Option<Timestamp>,
    /// Whether a reconcile waits or has failed: it concerns all categories.
    pub reconcile: bool,
    /// Whether the downstream, or everything, is paused.
    pub paused: bool,
    /// Its place in the list.
    #[serde(skip)]
    pub place: FreshnessPlace,
}

/// Where a row stands among others: by age (microseconds since 1970), upstream, downstream and category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshnessPlace {
    /// When the oldest change was made that it lacks; the largest number where it lacks none.
    pub age: i64,
    /// The number of the upstream.
    pub upstream: i32,
    /// The number of the downstream.
    pub downstream: i32,
    /// The category.
    pub category: String,
}

/// How far all partnerships are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FreshnessSummary {
    /// How many partnerships are kept in sync.
    pub partnerships: i64,
    /// How many of them are in step.
    pub in_step: i64,
    /// For how many of them jobs wait.
    pub waiting: i64,
    /// For how many of them jobs have failed that nothing has taken in since.
    pub failed: i64,
    /// How many jobs wait.
    pub jobs_waiting: i64,
    /// How many jobs have failed.
    pub jobs_failed: i64,
    /// When the oldest change was made whose job waits.
    pub oldest_waiting_at: Option<Timestamp>,
}

impl Session {
    /// How far partnerships are, the one that is most behind first: all, or those of an organization; only those that
    /// are behind, or all of them; after a place, at most `limit`.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_freshness(
        &self,
        organization: Option<OrganizationNo>,
        in_step_too: bool,
        after: Option<&FreshnessPlace>,
        limit: i64,
    ) -> Result<Vec<FreshnessRow>, StoreError> {
        let organization = organization.map(|no| no.0);
        let age = after.map(|place| place.age);
        let upstream = after.map(|place| place.upstream);
        let downstream = after.map(|place| place.downstream);
        let category = after.map(|place| place.category.as_str());
        let rows = self
            .query(
                statements::LIST_FRESHNESS,
                &[&organization, &in_step_too, &age, &upstream, &downstream, &category, &limit],
            )
            .await?;
        Ok(rows.iter().map(freshness).collect())
    }

    /// How far all partnerships are together.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_freshness(&self) -> Result<FreshnessSummary, StoreError> {
        summary(&self.query(statements::STATUS_FRESHNESS, &[]).await?)
    }

    /// As [`Session::status_freshness`], where that takes no longer than `time_max`.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn sample_freshness(&mut self, time_max: Duration) -> Result<FreshnessSummary, StoreError> {
        let transaction = self.begin_reading().await?;
        let time_max = format!("{}ms", time_max.as_millis());
        transaction.query(statements::STATEMENT_TIMEOUT_SET, &[&time_max]).await?;
        summary(&transaction.query(statements::STATUS_FRESHNESS, &[]).await?)
    }
}

fn summary(rows: &[Row]) -> Result<FreshnessSummary, StoreError> {
    let row = one(rows, "how far partnerships are")?;
    let partnerships: i64 = row.get("partnerships");
    Ok(FreshnessSummary {
        partnerships,
        in_step: partnerships - row.get::<_, i64>("behind"),
        waiting: row.get("waiting"),
        failed: row.get("failed"),
        jobs_waiting: row.get("jobs_waiting"),
        jobs_failed: row.get("jobs_failed"),
        oldest_waiting_at: row.get("oldest_waiting_at"),
    })
}

fn freshness(row: &Row) -> FreshnessRow {
    let (jobs_waiting, jobs_failed): (i64, i64) = (row.get("jobs_waiting"), row.get("jobs_failed"));
    let category: String = row.get("category");
    FreshnessRow {
        organization_id: row.get("organization_id"),
        upstream_id: row.get("upstream_id"),
        mode: row.get("mode"),
        in_step: jobs_waiting + jobs_failed == 0,
        event_id: row.get("event_id"),
        event_at: row.get("event_at"),
        jobs_waiting,
        jobs_failed,
        oldest_at: row.get("oldest_at"),
        retry_at: row.get("retry_at"),
        reconcile: row.get("reconcile"),
        paused: row.get("paused"),
        place: FreshnessPlace {
            age: row.get("age"),
            upstream: row.get("upstream_no"),
            downstream: row.get("downstream_no"),
            category: category.clone(),
        },
        category,
    }
}
