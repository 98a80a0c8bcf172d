//! Reading for people and programs: what the views show, and what is not to be seen in them.
//!
//! Every list is cut at a limit and begins after a cursor (keyset pagination), and its statement stops
//! reading there. Rows have the columns of the views, by the views' names. Nothing here writes or locks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, Type, accepts};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::error::StoreError;
use super::pool::Session;
use super::rows::one;
use super::statements;
use crate::domain::{CauseNo, EventNo, OrganizationNo};

/// A setting's value as Postgres spells it. It is opaque, and so never taken apart: not every JSON text makes
/// it through a tree of `serde_json` unchanged.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct StoredValue(Box<RawValue>);

impl StoredValue {
    /// Its JSON text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

// Any JSON. By hand: a derived schema would look into the text.
impl PartialSchema for StoredValue {
    fn schema() -> RefOr<Schema> {
        Value::schema()
    }
}

impl ToSchema for StoredValue {}

impl PartialEq for StoredValue {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl<'a> FromSql<'a> for StoredValue {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Json::from_sql(kind, raw).map(|Json(value)| Self(value))
    }

    accepts!(JSON, JSONB);
}

/// A row of `setting_view`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SettingRow {
    /// Whose setting.
    pub organization_id: String,
    /// Its category.
    pub category: String,
    /// Its key there.
    pub key: String,
    /// Its value.
    pub value: StoredValue,
    /// `own`, or the upstream that it was synced from.
    pub origin: String,
    /// Whether the organization may not edit it.
    pub locked: bool,
    /// The upstream that locks it.
    pub locked_by: Option<String>,
    /// The event that last wrote it.
    pub event_id: Option<String>,
    /// When that was.
    pub updated_at: Timestamp,
}

/// An organization in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationRow {
    /// Its name on the platform.
    pub organization_id: String,
    /// How many active partnerships it has as a downstream.
    pub upstreams: i64,
    /// How many active partnerships it has as an upstream.
    pub downstreams: i64,
    /// Whether it is paused, by itself.
    pub paused: bool,
}

/// A job that waits in an organization's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MailboxRow {
    /// The key that `jobs show` takes.
    pub idempotency_key: String,
    /// The root event.
    pub event_id: String,
    /// Its source.
    pub source: String,
    /// `own-change`, `partnership-change`, `sync-change` or `reconcile`.
    pub kind: String,
    /// The upstream that it syncs from, or whose partnership it is about; none for `own-change`.
    pub upstream_id: Option<String>,
    /// The category that it is about; none where it is about a partnership.
    pub category: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// What the last attempt failed of.
    pub last_error: Option<String>,
    /// When its letter was written.
    pub created_at: Timestamp,
    /// When it is to run.
    pub run_at: Timestamp,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ActionRow {
    /// Its number.
    pub action_no: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What: `jobs replay`, `jobs discard`, `replays cancel`, `rejected replay`, `rejected discard`, `pause`,
    /// `resume`, `restore`, `verify repair`.
    pub action: String,
    /// Why, where that was said.
    pub reason: Option<String>,
    /// To what: names, numbers and keys.
    pub subject: Value,
}

/// A row of `partnership_view`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PartnershipRow {
    /// The channel manager.
    pub upstream_id: String,
    /// The channel partner.
    pub downstream_id: String,
    /// `active` or `ended`.
    pub status: String,
    /// Whether the downstream has no other upstream.
    pub exclusive: bool,
    /// Whether settings are synced.
    pub data_sync: bool,
    /// Whether the downstream may edit synced settings, where that was said.
    pub allow_downstream_edit: Option<bool>,
    /// What the flags amount to: `off`, `non-exclusive`, `flexible` or `strict`.
    pub mode: String,
    /// When the flags were last set.
    pub updated_at: Timestamp,
}

/// A row of `event_view`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventRow {
    /// Its id at its source.
    pub event_id: String,
    /// Where it came from.
    pub source: String,
    /// `setting-changed` or `partnership-changed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Whose settings it edits, or the upstream of the partnership.
    pub organization_id: String,
    /// The category that it edits; none for a partnership.
    pub category: Option<String>,
    /// `accepted`, `syncing`, `done`, `failed`, `ignored`, `superseded`, `locked` or `rejected`.
    pub state: String,
    /// When it was stored.
    pub received_at: Timestamp,
    /// When its last job was done.
    pub finished_at: Option<Timestamp>,
    /// How many jobs it has, as far as is known by now.
    pub jobs_total: i32,
    /// How many of them have succeeded.
    pub jobs_succeeded: i32,
    /// How many of them have failed.
    pub jobs_failed: i32,
    /// Its number: later events have larger ones. Not a column of the view.
    #[serde(skip)]
    pub event_no: EventNo,
}

/// A row of `job_view`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobRow {
    /// Short, readable, and never changes.
    pub idempotency_key: String,
    /// The root event.
    pub event_id: String,
    /// `own-change`, `partnership-change`, `sync-change` or `reconcile`.
    pub kind: String,
    /// Whose settings it writes.
    pub organization_id: String,
    /// The upstream that it syncs from, or whose partnership it is about; none for `own-change`.
    pub upstream_id: Option<String>,
    /// The category that it is about; none where it is about a partnership.
    pub category: Option<String>,
    /// `pending`, `retrying`, `succeeded`, `failed` or `discarded`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What the last attempt failed of.
    pub last_error: Option<String>,
    /// What it did, once it is finished: counts, and the reason where nothing was to be done.
    pub result: Option<Value>,
    /// When its cause was made.
    pub created_at: Timestamp,
    /// When it is to run; none once it is finished.
    pub run_at: Option<Timestamp>,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// The source of the root event. Not a column of the view.
    #[serde(skip)]
    pub source: String,
    /// Its place in the order of the list. Not a column of the view.
    #[serde(skip)]
    pub place: (CauseNo, OrganizationNo),
}

/// A job of an event, with the one that it follows from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventJobRow {
    /// The job.
    #[serde(flatten)]
    pub job: JobRow,
    /// The idempotency key of the job whose change it brings on; none for the event's own.
    pub follows_from: Option<String>,
}

/// A row of `rejected_message_view`, without the body.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RejectedRow {
    /// Its number.
    pub rejected_id: i64,
    /// When it was stored.
    pub received_at: Timestamp,
    /// What was wrong, by kind.
    pub code: String,
    /// What was wrong, in words.
    pub reason: String,
    /// How many bytes the body has.
    pub body_bytes: i64,
    /// Its AMQP properties and headers.
    pub properties: Value,
    /// `rejected`, `replayed` or `discarded`.
    pub state: String,
}

/// What an operator did about a rejected message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettledRow {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// An entry that a job effectively changed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EffectRow {
    /// Its category.
    pub category: String,
    /// Its key there.
    pub key: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// Its value from then on; none where it was removed.
    #[schema(value_type = Value)]
    pub value: Option<StoredValue>,
}

/// An entry that a job displaced, as it was before.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DisplacedRow {
    /// Its category.
    pub category: String,
    /// Its key there.
    pub key: String,
    /// Its value.
    pub value: StoredValue,
    /// `own`, or the upstream that it had been synced from.
    pub origin: String,
    /// The event that had written it.
    pub event_id: Option<String>,
}

/// A job on the way to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WayRow {
    /// The job.
    pub idempotency_key: String,
    /// Whose settings it wrote.
    pub organization_id: String,
}

/// How many there are of something, by state or mode.
pub type Counts = BTreeMap<String, i64>;

/// What waits, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LettersRow {
    /// The kind of its jobs.
    pub kind: String,
    /// How many letters; each stands for one job or for those of all downstreams in a shard.
    pub letters: i64,
    /// How many of them could be worked off now.
    pub due: i64,
    /// When the oldest was written.
    pub oldest_at: Timestamp,
}

/// How many jobs there are, by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobCounts {
    /// Not tried yet.
    pub pending: i64,
    /// Tried, and to be tried again.
    pub retrying: i64,
    /// Done.
    pub succeeded: i64,
    /// Given up, until an operator decides.
    pub failed: i64,
    /// Given up for good.
    pub discarded: i64,
    /// Whether `succeeded` is an estimate: of millions, counting takes long.
    pub succeeded_is_estimate: bool,
}

/// An error that jobs ran into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TroubleRow {
    /// `retrying` or `failed`.
    pub state: String,
    /// The error.
    pub error: String,
    /// How many jobs.
    pub jobs: i64,
    /// The idempotency key of one of them.
    pub example: String,
    /// When the first of them is tried again.
    pub next_run_at: Option<Timestamp>,
}

/// A transaction in this database that has been open for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransactionRow {
    /// The server's process.
    pub pid: i32,
    /// Whose session.
    pub user_name: String,
    /// Which program, as it says itself.
    pub application: String,
    /// What it does, such as `idle in transaction`.
    pub state: String,
    /// Since when it is open.
    pub since: Timestamp,
}

/// How many rejected messages wait for an operator, of one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RejectedCountRow {
    /// The code.
    pub code: String,
    /// How many messages.
    pub messages: i64,
    /// When the newest came.
    pub newest_at: Timestamp,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter<'a> {
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this organization.
    pub organization: Option<OrganizationNo>,
    /// Of this source.
    pub source: Option<&'a str>,
    /// With this id.
    pub event_id: Option<&'a str>,
    /// Older than this one.
    pub after: Option<EventNo>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter<'a> {
    /// In this state.
    pub state: Option<&'a str>,
    /// Of this organization.
    pub organization: Option<OrganizationNo>,
    /// Of this event.
    pub event: Option<EventNo>,
    /// Of this kind.
    pub kind: Option<&'a str>,
    /// After this one in the list.
    pub after: Option<(CauseNo, OrganizationNo)>,
    /// This one alone.
    pub key: Option<(CauseNo, OrganizationNo)>,
}

/// Which rejected messages to list.
#[derive(Debug, Clone, Default)]
pub struct RejectedFilter<'a> {
    /// With this code.
    pub code: Option<&'a str>,
    /// In this state.
    pub state: Option<&'a str>,
    /// Older than this one.
    pub after: Option<i64>,
}

impl Session {
    /// The number of an organization, where it is known.
    ///
    /// # Errors
    /// As [`Session::query`]; so of all the functions here.
    pub async fn show_organization(
        &self,
        organization_id: &str,
    ) -> Result<Option<OrganizationNo>, StoreError> {
        let rows = self.query(statements::SHOW_ORGANIZATION, &[&organization_id]).await?;
        Ok(rows.first().map(|row| OrganizationNo(row.get(0))))
    }

    /// Names of organizations, those first that share a beginning with `like` or contain it.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_organization_names(&self, like: &str, limit: i64) -> Result<Vec<String>, StoreError> {
        let rows = self.query(statements::LIST_ORGANIZATION_NAMES, &[&like, &limit]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Organizations by name: those whose names begin so, or this one alone; after a name.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_organizations(
        &self,
        prefix: Option<&str>,
        organization_id: Option<&str>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<OrganizationRow>, StoreError> {
        let rows =
            self.query(statements::LIST_ORGANIZATIONS, &[&prefix, &organization_id, &after, &limit]).await?;
        let organization = |row: &Row| OrganizationRow {
            organization_id: row.get("organization_id"),
            upstreams: row.get("upstreams"),
            downstreams: row.get("downstreams"),
            paused: row.get("paused"),
        };
        Ok(rows.iter().map(organization).collect())
    }

    /// What waits for an organization, in the order in which it is worked off: the first `limit`, and how much it
    /// is in all.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_mailbox(
        &self,
        organization: OrganizationNo,
        limit: i64,
    ) -> Result<(Vec<MailboxRow>, i64), StoreError> {
        let rows = self.query(statements::LIST_MAILBOX, &[&organization.0, &limit]).await?;
        let total = rows.first().map_or(0, |row| row.get("jobs_total"));
        let waiting = |row: &Row| MailboxRow {
            idempotency_key: format!("{}-{}", row.get::<_, i64>("cause_no"), organization.0),
            event_id: row.get("event_id"),
            source: row.get("source"),
            kind: row.get("kind"),
            upstream_id: row.get("upstream_id"),
            category: row.get("category"),
            attempts: row.get("attempts"),
            last_error: row.get("last_error"),
            created_at: row.get("created_at"),
            run_at: row.get("run_at"),
        };
        Ok((rows.iter().map(waiting).collect(), total))
    }

    /// What operators did, the newest first, before one.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_actions(&self, after: Option<i64>, limit: i64) -> Result<Vec<ActionRow>, StoreError> {
        let rows = self.query(statements::LIST_ACTIONS, &[&after, &limit]).await?;
        let action = |row: &Row| ActionRow {
            action_no: row.get("action_no"),
            at: row.get("at"),
            who: row.get("who"),
            action: row.get("action"),
            reason: row.get("reason"),
            subject: row.get("subject"),
        };
        Ok(rows.iter().map(action).collect())
    }

    /// Settings of an organization by category and key, after a category and key.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_settings(
        &self,
        organization_id: &str,
        category: Option<&str>,
        key_prefix: Option<&str>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<SettingRow>, StoreError> {
        let (after_category, after_key) = after.unzip();
        let rows = self
            .query(
                statements::LIST_SETTINGS,
                &[&organization_id, &category, &key_prefix, &after_category, &after_key, &limit],
            )
            .await?;
        let setting = |row: &Row| SettingRow {
            organization_id: organization_id.to_owned(),
            category: row.get("category"),
            key: row.get("key"),
            value: row.get("value"),
            origin: row.get("origin"),
            locked: row.get("locked"),
            locked_by: row.get("locked_by"),
            event_id: row.get("event_id"),
            updated_at: row.get("updated_at"),
        };
        Ok(rows.iter().map(setting).collect())
    }

    /// Partnerships by upstream and downstream, all or those of one organization, after a pair of names.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_partnerships(
        &self,
        organization: Option<OrganizationNo>,
        after: Option<(&str, &str)>,
        limit: i64,
    ) -> Result<Vec<PartnershipRow>, StoreError> {
        let organization = organization.map(|no| no.0);
        let (after_upstream, after_downstream) = after.unzip();
        let rows = self
            .query(
                statements::LIST_PARTNERSHIPS,
                &[&organization, &after_upstream, &after_downstream, &limit],
            )
            .await?;
        let partnership = |row: &Row| PartnershipRow {
            upstream_id: row.get("upstream_id"),
            downstream_id: row.get("downstream_id"),
            status: row.get("status"),
            exclusive: row.get("exclusive"),
            data_sync: row.get("data_sync"),
            allow_downstream_edit: row.get("allow_downstream_edit"),
            mode: row.get("mode"),
            updated_at: row.get("updated_at"),
        };
        Ok(rows.iter().map(partnership).collect())
    }

    /// Events, the newest first.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_events(
        &self,
        filter: &EventFilter<'_>,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let organization = filter.organization.map(|no| no.0);
        let after = filter.after.map(|no| no.0);
        let rows = self
            .query(
                statements::LIST_EVENTS,
                &[&filter.state, &organization, &filter.source, &filter.event_id, &after, &limit],
            )
            .await?;
        let event = |row: &Row| EventRow {
            event_no: EventNo(row.get("event_no")),
            event_id: row.get("event_id"),
            source: row.get("source"),
            event_type: row.get("type"),
            organization_id: row.get("organization_id"),
            category: row.get("category"),
            state: row.get("state"),
            received_at: row.get("received_at"),
            finished_at: row.get("finished_at"),
            jobs_total: row.get("jobs_total"),
            jobs_succeeded: row.get("jobs_succeeded"),
            jobs_failed: row.get("jobs_failed"),
        };
        Ok(rows.iter().map(event).collect())
    }

    /// The downstream of an event about a partnership, and the publisher's trace.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_event(&self, event: EventNo) -> Result<(Option<String>, Option<String>), StoreError> {
        let rows = self.query(statements::SHOW_EVENT, &[&event.0]).await?;
        Ok(rows.first().map(|row| (row.get(0), row.get(1))).unwrap_or_default())
    }

    /// How many jobs an event has, by state.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_event_jobs(&self, event: EventNo) -> Result<Counts, StoreError> {
        let rows = self.query(statements::SHOW_EVENT_JOBS, &[&event.0]).await?;
        Ok(rows.iter().map(count).collect())
    }

    /// Jobs, the newest cause first.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_jobs(&self, filter: &JobFilter<'_>, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        let organization = filter.organization.map(|no| no.0);
        let event = filter.event.map(|no| no.0);
        let columns = |place: Option<(CauseNo, OrganizationNo)>| {
            place.map(|(cause, organization)| (cause.0, organization.0)).unzip()
        };
        let (after_cause, after_organization) = columns(filter.after);
        let (cause, of_cause) = columns(filter.key);
        let rows = self
            .query(
                statements::LIST_JOBS,
                &[
                    &filter.state,
                    &organization,
                    &event,
                    &filter.kind,
                    &after_cause,
                    &after_organization,
                    &cause,
                    &of_cause,
                    &limit,
                ],
            )
            .await?;
        Ok(rows.iter().map(job).collect())
    }

    /// The first jobs of an event, each after the one that it follows from.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_event_jobs(&self, event: EventNo, limit: i64) -> Result<Vec<EventJobRow>, StoreError> {
        let rows = self.query(statements::LIST_EVENT_JOBS, &[&event.0, &limit]).await?;
        Ok(rows
            .iter()
            .map(|row| EventJobRow { job: job(row), follows_from: row.get("follows_from") })
            .collect())
    }

    /// The number of the root event of a cause.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_cause(&self, cause: CauseNo) -> Result<Option<EventNo>, StoreError> {
        let rows = self.query(statements::SHOW_CAUSE, &[&cause.0]).await?;
        Ok(rows.first().map(|row| EventNo(row.get(0))))
    }

    /// The jobs that a job follows from, the first one first.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_job_way(
        &self,
        cause: CauseNo,
        organization: OrganizationNo,
    ) -> Result<Vec<WayRow>, StoreError> {
        let rows = self.query(statements::SHOW_JOB_WAY, &[&cause.0, &organization.0]).await?;
        Ok(rows
            .iter()
            .map(|row| WayRow { idempotency_key: row.get(0), organization_id: row.get(1) })
            .collect())
    }

    /// What a job effectively changed in its organization.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_job_entries(
        &self,
        event: EventNo,
        cause: CauseNo,
        organization: OrganizationNo,
    ) -> Result<Vec<EffectRow>, StoreError> {
        let rows = self.query(statements::SHOW_JOB_ENTRIES, &[&event.0, &cause.0, &organization.0]).await?;
        let effect = |row: &Row| EffectRow {
            category: row.get("category"),
            key: row.get("key"),
            change: row.get("change"),
            value: row.get("value"),
        };
        Ok(rows.iter().map(effect).collect())
    }

    /// What a job displaced.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_job_displaced(
        &self,
        cause: CauseNo,
        organization: OrganizationNo,
    ) -> Result<Vec<DisplacedRow>, StoreError> {
        let rows = self.query(statements::SHOW_JOB_DISPLACED, &[&cause.0, &organization.0]).await?;
        let displaced = |row: &Row| DisplacedRow {
            category: row.get("category"),
            key: row.get("key"),
            value: row.get("value"),
            origin: row.get("origin"),
            event_id: row.get("event_id"),
        };
        Ok(rows.iter().map(displaced).collect())
    }

    /// How many jobs follow from a job, by state.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_job_following(
        &self,
        event: EventNo,
        cause: CauseNo,
        organization: OrganizationNo,
    ) -> Result<Counts, StoreError> {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&event.0, &cause.0, &organization.0];
        let rows = self.query(statements::SHOW_JOB_FOLLOWING, &parameters).await?;
        Ok(rows.iter().map(count).collect())
    }

    /// Rejected messages, the newest first.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn list_rejected(
        &self,
        filter: &RejectedFilter<'_>,
        limit: i64,
    ) -> Result<Vec<RejectedRow>, StoreError> {
        let RejectedFilter { code, state, after } = filter;
        let rows = self.query(statements::LIST_REJECTED, &[code, state, after, &limit]).await?;
        Ok(rows.iter().map(rejected).collect())
    }

    /// A rejected message, its body, and what was done about it.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_rejected(
        &self,
        rejected_id: i64,
    ) -> Result<Option<(RejectedRow, Vec<u8>, Option<SettledRow>)>, StoreError> {
        let rows = self.query(statements::SHOW_REJECTED, &[&rejected_id]).await?;
        let settled = |row: &Row| {
            let (by, at) =
                (row.get::<_, Option<String>>("settled_by")?, row.get::<_, Option<Timestamp>>("settled_at")?);
            Some(SettledRow { by, reason: row.get("settled_reason"), at })
        };
        Ok(rows.first().map(|row| (rejected(row), row.get("body"), settled(row))))
    }

    /// What waits, by kind.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_letters(&self) -> Result<Vec<LettersRow>, StoreError> {
        let rows = self.query(statements::STATUS_LETTERS, &[]).await?;
        let letters = |row: &Row| LettersRow {
            kind: row.get("kind"),
            letters: row.get("letters"),
            due: row.get("due"),
            oldest_at: row.get("oldest_at"),
        };
        Ok(rows.iter().map(letters).collect())
    }

    /// Jobs by state.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_jobs(&self) -> Result<JobCounts, StoreError> {
        let rows = self.query(statements::STATUS_JOBS, &[]).await?;
        let row = one(&rows, "the number of jobs")?;
        Ok(JobCounts {
            pending: row.get("pending"),
            retrying: row.get("retrying"),
            succeeded: row.get("succeeded"),
            failed: row.get("failed"),
            discarded: row.get("discarded"),
            succeeded_is_estimate: row.get("succeeded_is_estimate"),
        })
    }

    /// The most frequent errors of jobs that are retried or have failed.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_troubles(&self, limit: i64) -> Result<Vec<TroubleRow>, StoreError> {
        let rows = self.query(statements::STATUS_TROUBLES, &[&limit]).await?;
        let trouble = |row: &Row| TroubleRow {
            state: row.get("state"),
            error: row.get("error"),
            jobs: row.get("jobs"),
            example: row.get("example"),
            next_run_at: row.get("next_run_at"),
        };
        Ok(rows.iter().map(trouble).collect())
    }

    /// Transactions that have been open for longer than so many seconds, the oldest first.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_transactions(
        &self,
        age_seconds: i64,
        limit: i64,
    ) -> Result<Vec<TransactionRow>, StoreError> {
        let rows = self.query(statements::STATUS_TRANSACTIONS, &[&age_seconds, &limit]).await?;
        let transaction = |row: &Row| TransactionRow {
            pid: row.get("pid"),
            user_name: row.get("user_name"),
            application: row.get("application"),
            state: row.get("state"),
            since: row.get("since"),
        };
        Ok(rows.iter().map(transaction).collect())
    }

    /// Rejected messages that nobody has dealt with, by code.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_rejected(&self) -> Result<Vec<RejectedCountRow>, StoreError> {
        let rows = self.query(statements::STATUS_REJECTED, &[]).await?;
        let rejected = |row: &Row| RejectedCountRow {
            code: row.get("code"),
            messages: row.get("messages"),
            newest_at: row.get("newest_at"),
        };
        Ok(rows.iter().map(rejected).collect())
    }

    /// The number of the last job, that of the last event, and how many events came after `after`.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_progress(&self, after: Option<i64>) -> Result<(i64, i64, i64), StoreError> {
        let rows = self.query(statements::STATUS_PROGRESS, &[&after]).await?;
        let row = one(&rows, "the last numbers")?;
        Ok((row.get("last_job_no"), row.get("last_event_no"), row.get("events")))
    }

    /// Events that came in since then, by state.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_events(&self, since: Timestamp) -> Result<Counts, StoreError> {
        let rows = self.query(statements::STATUS_EVENTS, &[&since]).await?;
        Ok(rows.iter().map(count).collect())
    }

    /// How many organizations there are, and partnerships by mode.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn status_organizations(&self) -> Result<(i64, Counts), StoreError> {
        let rows = self.query(statements::STATUS_ORGANIZATIONS, &[]).await?;
        let (partnerships, organizations): (Counts, Counts) =
            rows.iter().map(count).partition(|(what, _)| what != "organizations");
        Ok((organizations.into_values().sum(), partnerships))
    }
}

fn job(row: &Row) -> JobRow {
    let (cause, organization): (i64, i32) = (row.get("cause_no"), row.get("organization_no"));
    JobRow {
        idempotency_key: format!("{cause}-{organization}"),
        event_id: row.get("event_id"),
        kind: row.get("kind"),
        organization_id: row.get("organization_id"),
        upstream_id: row.get("upstream_id"),
        category: row.get("category"),
        state: row.get("state"),
        attempts: row.get("attempts"),
        last_error: row.get("last_error"),
        result: row.get("result"),
        created_at: row.get("created_at"),
        run_at: row.get("run_at"),
        finished_at: row.get("finished_at"),
        source: row.get("source"),
        place: (CauseNo(cause), OrganizationNo(organization)),
    }
}

fn rejected(row: &Row) -> RejectedRow {
    RejectedRow {
        rejected_id: row.get("rejected_id"),
        received_at: row.get("received_at"),
        code: row.get("code"),
        reason: row.get("reason"),
        body_bytes: row.get("body_bytes"),
        properties: row.get("properties"),
        state: row.get("state"),
    }
}

fn count(row: &Row) -> (String, i64) {
    (row.get(0), row.get(1))
}
