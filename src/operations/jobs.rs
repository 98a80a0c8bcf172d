//! Jobs: one organization's outcome for one cause.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::names::{named, parsed};
use super::{OperationError, Page, events, organizations};
use crate::domain::{CauseNo, EventNo, OrganizationNo};
use crate::store::read::{Counts, DisplacedRow, EffectRow, JobFilter, JobRow, WayRow};
use crate::store::{Session, Store};

named! {
    /// How far a job is.
    JobState, "state of a job" {
        /// Not tried yet.
        Pending = "pending",
        /// Tried, and to be tried again.
        Retrying = "retrying",
        /// Done.
        Succeeded = "succeeded",
        /// Given up, until an operator decides.
        Failed = "failed",
        /// Given up for good.
        Discarded = "discarded",
    }
}

named! {
    /// What a job does.
    JobKind, "kind of job" {
        /// Applies an organization's own event.
        OwnChange = "own-change",
        /// Checks and stores the flags of a partnership.
        PartnershipChange = "partnership-change",
        /// Brings an upstream's change into a downstream.
        SyncChange = "sync-change",
        /// Matches or merges a downstream against its upstream as a whole.
        Reconcile = "reconcile",
    }
}

/// The idempotency key of a job: the number of its cause and that of its organization, such as `17-3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobKey {
    /// What it is done for.
    pub cause: CauseNo,
    /// Whose settings it writes.
    pub organization: OrganizationNo,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.cause.0, self.organization.0)
    }
}

/// A text that is no idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no idempotency key; expected two numbers such as 17-3, as `jobs list` shows them")]
pub struct MalformedJobKey(pub String);

impl Serialize for JobKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

impl PartialSchema for JobKey {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,18}-[0-9]{1,9}$"));
        schema.description(Some("The idempotency key of a job")).examples(["17-3"]).into()
    }
}

impl ToSchema for JobKey {}

impl FromStr for JobKey {
    type Err = MalformedJobKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('-')
            .filter(|(cause, organization)| digits(cause) && digits(organization))
            .and_then(|(cause, organization)| {
                Some(Self {
                    cause: CauseNo(cause.parse().ok()?),
                    organization: OrganizationNo(organization.parse().ok()?),
                })
            })
            .ok_or_else(|| MalformedJobKey(text.to_owned()))
    }
}

/// Which jobs.
#[derive(Debug, Clone)]
pub struct JobQuery {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this organization: whose settings they write.
    pub organization_id: Option<String>,
    /// Of the event with this id.
    pub event_id: Option<String>,
    /// Of the event of this source; needs `event_id`.
    pub source: Option<String>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// Where an earlier page said that the list goes on: after this job.
    pub after: Option<JobKey>,
    /// At most so many.
    pub limit: u16,
}

/// Everything about a job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobDetail {
    /// The job.
    pub job: JobRow,
    /// The source of its root event.
    pub source: String,
    /// The jobs that it follows from, the first one first.
    pub way: Vec<WayRow>,
    /// What it effectively changed in its organization, where that went on to downstreams: else it is not kept.
    pub changes: Vec<EffectRow>,
    /// What it displaced: entries of the organization's own that a match changed or removed, as they were.
    pub displaced: Vec<DisplacedRow>,
    /// How many jobs follow from it, by state.
    #[schema(inline)]
    pub following: Counts,
}

/// Jobs, finished or not, the newest cause first.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], [`OperationError::UnknownEvent`],
/// [`OperationError::AmbiguousEvent`], or where the database cannot be read.
pub async fn jobs(store: &Store, query: &JobQuery) -> Result<Page<JobRow>, OperationError> {
    let session = store.session().await?;
    let organization =
        organizations::organization_if_named(&session, query.organization_id.as_deref()).await?;
    let event = match &query.event_id {
        Some(event_id) => Some(events::find(&session, event_id, query.source.as_deref()).await?.event_no),
        None => None,
    };
    let filter = JobFilter {
        state: query.state.map(JobState::name),
        organization,
        event,
        kind: query.kind.map(JobKind::name),
        after: query.after.map(|key| (key.cause, key.organization)),
        key: None,
    };
    let rows = session.list_jobs(&filter, i64::from(query.limit) + 1).await?;
    Ok(Page::cut(rows, query.limit, |row| row.idempotency_key.clone()))
}

/// One job, with what it changed and displaced.
///
/// # Errors
/// [`OperationError::UnknownJob`], [`OperationError::DroppedJob`], or where the database cannot be read.
pub async fn job(store: &Store, key: JobKey) -> Result<JobDetail, OperationError> {
    let session = store.session().await?;
    let JobKey { cause, organization } = key;
    let (job, event) = find(&session, key).await?;
    let way = session.show_job_way(cause, organization).await?;
    let changes = session.show_job_entries(event, cause, organization).await?;
    let displaced = session.show_job_displaced(cause, organization).await?;
    let following = session.show_job_following(event, cause, organization).await?;
    Ok(JobDetail { source: job.source.clone(), job, way, changes, displaced, following })
}

/// The job of this key, and its root event.
pub(super) async fn find(session: &Session, key: JobKey) -> Result<(JobRow, EventNo), OperationError> {
    let JobKey { cause, organization } = key;
    let filter = JobFilter { key: Some((cause, organization)), ..Default::default() };
    let Some(job) = session.list_jobs(&filter, 1).await?.pop() else {
        return Err(OperationError::no_job(session, key).await);
    };
    let event = session.show_cause(cause).await?.ok_or(OperationError::UnknownJob(key))?;
    Ok((job, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_two_numbers() {
        let key: JobKey = "17-3".parse().unwrap();
        assert_eq!(key, JobKey { cause: CauseNo(17), organization: OrganizationNo(3) });
        assert_eq!(key.to_string(), "17-3");
        for text in ["", "17", "17-", "-3", "17--3", "17-+3", " 17-3", "17-3-1", "17-99999999999"] {
            assert_eq!(text.parse::<JobKey>(), Err(MalformedJobKey(text.to_owned())));
        }
    }
}
