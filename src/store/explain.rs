//! What the data tells of one setting of an organization: what it is, what its upstreams have, and what has named it.
//!
//! Read in one transaction that cannot write ([`super::Session::begin_reading`]). Nothing is decided here.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::error::StoreError;
use super::payload::PartnershipPayload;
use super::pool::Transaction;
use super::read::{Counts, StoredValue, WayRow};
use super::rows::Named;
use super::statements;
use crate::domain::partnership::{Beginning, Mode, Status, Terms};
use crate::domain::{CauseNo, EventNo, OrganizationNo};

/// A setting as it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExplainedSetting {
    /// Its value.
    pub value: StoredValue,
    /// `own`, or the upstream that it was synced from.
    pub origin: String,
    /// The event that last wrote it.
    pub event_id: Option<String>,
    /// The event that brought it into being here.
    pub added_event_id: Option<String>,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The number of its origin.
    #[serde(skip)]
    pub origin_no: Option<OrganizationNo>,
    /// The number of the event that last wrote it.
    #[serde(skip)]
    pub event_no: EventNo,
}

/// An upstream of the organization, and what it has under the same key.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UpstreamRow {
    /// The channel manager.
    pub upstream_id: String,
    /// What the flags amount to.
    pub mode: Mode,
    /// When the flags were last set.
    pub updated_at: Timestamp,
    /// Its value; none where it has no such setting.
    #[schema(value_type = Value)]
    pub value: Option<StoredValue>,
    /// The event that last wrote it there.
    pub event_id: Option<String>,
    /// When that was.
    pub written_at: Option<Timestamp>,
    /// The event that made it new there.
    pub added_event_id: Option<String>,
    /// Whether the organization has it with the same value.
    pub is_same: bool,
    /// The event by which the organization declined it, where it did.
    pub declined_event_id: Option<String>,
    /// When that came.
    pub declined_at: Option<Timestamp>,
    /// The number of the upstream.
    #[serde(skip)]
    pub upstream_no: OrganizationNo,
    /// Whether the partnership is active.
    pub active: bool,
}

/// Something that named the setting.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRow {
    /// The idempotency key of its job here.
    pub idempotency_key: String,
    /// The cause of that job.
    pub cause: CauseNo,
    /// The root event.
    pub event: EventNo,
    /// The id of the root event.
    pub event_id: String,
    /// Its source.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Its verdict, where it is the organization's own.
    pub verdict: String,
    /// `own-change`, `sync-change` or `reconcile`.
    pub kind: String,
    /// Whose change it is.
    pub upstream: Option<(OrganizationNo, String)>,
    /// What it says: `set`, `removed` or `left out` (of a snapshot) of an own event, `added`, `changed` or `removed`
    /// of an upstream's change; a reconcile names nothing.
    pub said: Option<String>,
    /// The value that it says.
    pub value: Option<StoredValue>,
    /// What began, and the mode from then on, where it is a reconcile.
    pub began: Option<(Beginning, Mode)>,
    /// The number of the job, once it is finished: jobs of one organization ascend in the order in which they ran.
    pub job_no: Option<i64>,
    /// The state of the job; none where there was no job.
    pub state: Option<String>,
    /// What the job did as a whole.
    pub result: Value,
    /// What it failed of.
    pub last_error: Option<String>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// When it runs.
    pub run_at: Option<Timestamp>,
    /// What it did to this setting, where that went on to downstreams: `added`, `changed` or `removed`.
    pub effect: Option<String>,
    /// What it displaced here, and that one's origin.
    pub archived: Option<(StoredValue, String)>,
}

impl NamedRow {
    /// The number of the upstream whose change it is.
    pub fn upstream_no(&self) -> Option<OrganizationNo> {
        self.upstream.as_ref().map(|(no, _)| *no)
    }
}

/// Flags as a job has set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagsRow {
    /// The upstream.
    pub upstream: OrganizationNo,
    /// What they amount to.
    pub mode: Mode,
    /// The number of that job.
    pub job_no: i64,
}

/// How a category compares with that of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComparedRow {
    /// The upstream.
    pub upstream_id: String,
    /// Settings that both have with the same value.
    pub same: i64,
    /// Settings that only the upstream has.
    pub missing: i64,
    /// Settings that both have, with different values.
    pub other: i64,
    /// Settings that the upstream does not have, and that came from no other one.
    pub extra: i64,
    /// Settings that are not the same: the first of them.
    pub differing: Vec<DifferingRow>,
}

/// A setting that is not as the upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DifferingRow {
    /// Its key.
    pub key: String,
    /// `missing`, `other` (another value) or `extra` (the upstream does not have it).
    pub relation: String,
    /// Its origin here, where it is there.
    pub origin: Option<String>,
    /// The event by which the organization declined it.
    pub declined_event_id: Option<String>,
}

fn mode_of_payload(payload: &str) -> Result<Mode, StoreError> {
    let payload: PartnershipPayload = serde_json::from_str(payload).map_err(|error| StoreError::Row {
        what: "the flags of an event".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(payload.terms.mode())
}

impl Transaction<'_> {
    /// One setting.
    ///
    /// # Errors
    /// As [`super::Session::query`]; so of all the functions here.
    pub async fn explain_setting(
        &self,
        organization: OrganizationNo,
        category: &str,
        key: &str,
    ) -> Result<Option<ExplainedSetting>, StoreError> {
        let rows = self.query(statements::EXPLAIN_SETTING, &[&organization.0, &category, &key]).await?;
        Ok(rows.first().map(|row| ExplainedSetting {
            value: row.get("value"),
            origin: row.get("origin"),
            event_id: row.get("event_id"),
            added_event_id: row.get("added_event_id"),
            updated_at: row.get("updated_at"),
            origin_no: row.get::<_, Option<i32>>("origin_no").map(OrganizationNo),
            event_no: EventNo(row.get("event_no")),
        }))
    }

    /// The upstreams of an organization, and what each has under a key: active ones first, at most `limit`.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_upstreams(
        &self,
        organization: OrganizationNo,
        category: &str,
        key: &str,
        limit: i64,
    ) -> Result<Vec<UpstreamRow>, StoreError> {
        let rows =
            self.query(statements::EXPLAIN_UPSTREAMS, &[&organization.0, &category, &key, &limit]).await?;
        let upstream = |row: &Row| {
            let status = Status::named(row.get("status"))?;
            let terms = Terms {
                status,
                exclusive: row.get("exclusive"),
                data_sync: row.get("data_sync"),
                allow_downstream_edit: row.get("allow_downstream_edit"),
            };
            Ok(UpstreamRow {
                upstream_id: row.get("upstream_id"),
                mode: terms.mode(),
                updated_at: row.get("updated_at"),
                value: row.get("value"),
                event_id: row.get("event_id"),
                written_at: row.get("written_at"),
                added_event_id: row.get("added_event_id"),
                is_same: row.get::<_, Option<bool>>("is_same").unwrap_or(false),
                declined_event_id: row.get("declined_event_id"),
                declined_at: row.get("declined_at"),
                upstream_no: OrganizationNo(row.get("upstream_no")),
                active: status == Status::Active,
            })
        };
        rows.iter().map(upstream).collect()
    }

    /// What named a setting, the newest first, at most `limit`; the last `jobs_max` jobs are looked through.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_history(
        &self,
        organization: OrganizationNo,
        category: &str,
        key: &str,
        limit: i64,
        jobs_max: i64,
    ) -> Result<Vec<NamedRow>, StoreError> {
        let rows = self
            .query(statements::EXPLAIN_HISTORY, &[&organization.0, &category, &key, &limit, &jobs_max])
            .await?;
        rows.iter().map(named).collect()
    }

    /// The last flags of an organization's partnerships as a downstream, at most `limit`, the last first.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_flags(
        &self,
        organization: OrganizationNo,
        limit: i64,
    ) -> Result<Vec<FlagsRow>, StoreError> {
        let rows = self.query(statements::EXPLAIN_FLAGS, &[&organization.0, &limit]).await?;
        let flags = |row: &Row| {
            let (upstream, job_no) = (OrganizationNo(row.get("upstream_no")), row.get("job_no"));
            Ok(FlagsRow { upstream, mode: mode_of_payload(row.get("flags"))?, job_no })
        };
        rows.iter().map(flags).collect()
    }

    /// The jobs that a job follows from, the first one first.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_way(
        &self,
        cause: CauseNo,
        organization: OrganizationNo,
    ) -> Result<Vec<WayRow>, StoreError> {
        let rows = self.query(statements::SHOW_JOB_WAY, &[&cause.0, &organization.0]).await?;
        let way = |row: &Row| WayRow { idempotency_key: row.get(0), organization_id: row.get(1) };
        Ok(rows.iter().map(way).collect())
    }

    /// How a category compares with those of the upstreams; at most `limit` settings of each that are not the same.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_category(
        &self,
        organization: OrganizationNo,
        category: &str,
        limit: i64,
    ) -> Result<Vec<ComparedRow>, StoreError> {
        let rows = self.query(statements::EXPLAIN_CATEGORY, &[&organization.0, &category, &limit]).await?;
        let mut all: Vec<ComparedRow> = Vec::new();
        for row in &rows {
            let upstream_id: String = row.get("upstream_id");
            if all.last().is_none_or(|last| last.upstream_id != upstream_id) {
                let (same, missing) = (row.get("same"), row.get("missing"));
                let (other, extra, differing) = (row.get("other"), row.get("extra"), Vec::new());
                all.push(ComparedRow { upstream_id, same, missing, other, extra, differing });
            }
            let Some(key) = row.get::<_, Option<String>>("key") else { continue };
            let differing = DifferingRow {
                key,
                relation: row.get("relation"),
                origin: row.get("origin"),
                declined_event_id: row.get("declined_event_id"),
            };
            if let Some(last) = all.last_mut() {
                last.differing.push(differing);
            }
        }
        Ok(all)
    }

    /// How many settings of a category there are, by origin.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn explain_origins(
        &self,
        organization: OrganizationNo,
        category: &str,
    ) -> Result<Counts, StoreError> {
        let rows = self.query(statements::EXPLAIN_ORIGINS, &[&organization.0, &category]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

fn named(row: &Row) -> Result<NamedRow, StoreError> {
    let upstream = row.get::<_, Option<i32>>("upstream_no").map(OrganizationNo);
    let began = match (row.get::<_, Option<&str>>("beginning"), row.get::<_, Option<&str>>("flags")) {
        (Some(beginning), Some(flags)) => Some((Beginning::named(beginning)?, mode_of_payload(flags)?)),
        _ => None,
    };
    let archived = row.get::<_, Option<StoredValue>>("archived");
    Ok(NamedRow {
        idempotency_key: row.get("idempotency_key"),
        cause: CauseNo(row.get("cause_no")),
        event: EventNo(row.get("event_no")),
        event_id: row.get("event_id"),
        source: row.get("source"),
        received_at: row.get("received_at"),
        verdict: row.get("verdict"),
        kind: row.get("kind"),
        upstream: upstream.zip(row.get::<_, Option<String>>("upstream_id")),
        said: row.get("change"),
        value: row.get("value"),
        began,
        job_no: row.get("job_no"),
        state: row.get("state"),
        result: row.get("result"),
        last_error: row.get("last_error"),
        finished_at: row.get("finished_at"),
        run_at: row.get("run_at"),
        effect: row.get("effect"),
        archived: archived.zip(row.get::<_, Option<String>>("archived_origin")),
    })
}
