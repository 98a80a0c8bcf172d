//! Events, and what became of them.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::names::named;
use super::{OperationError, Page, organizations};
use crate::domain::EventNo;
use crate::store::read::{Counts, EventFilter, EventJobRow, EventRow};
use crate::store::{Session, Store};

named! {
    /// What became of an event.
    EventState, "state of an event" {
        /// Stored; its own job is still to be done.
        Accepted = "accepted",
        /// Applied; jobs of downstreams are still to be done.
        Syncing = "syncing",
        /// All its jobs are done.
        Done = "done",
        /// At least one job failed.
        Failed = "failed",
        /// Of a category that is never synced.
        Ignored = "ignored",
        /// A later version was seen before.
        Superseded = "superseded",
        /// An edit that was refused because its setting is locked.
        Locked = "locked",
        /// Found wrong when it ran.
        Rejected = "rejected",
    }
}

/// Which events.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// In this state.
    pub state: Option<EventState>,
    /// Of this organization.
    pub organization_id: Option<String>,
    /// Where an earlier page said that the list goes on.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u16,
}

/// An event and its jobs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventDetail {
    /// The event.
    pub event: EventRow,
    /// The downstream, where it is about a partnership.
    pub downstream_id: Option<String>,
    /// The publisher's W3C trace, where it sent one.
    pub traceparent: Option<String>,
    /// How many jobs it has, by state.
    #[schema(inline)]
    pub jobs_by_state: Counts,
    /// Its jobs, each after the one that it follows from.
    pub jobs: Vec<EventJobRow>,
    /// How many more it has than are given here.
    pub jobs_left_off: i64,
    /// When the results of its day were dropped, where they were: of its jobs only those are left that outlast that.
    pub results_dropped_at: Option<Timestamp>,
}

/// Events, the newest first.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], [`OperationError::MalformedCursor`], or where the database cannot
/// be read.
pub async fn events(store: &Store, query: &EventQuery) -> Result<Page<EventRow>, OperationError> {
    let session = store.session().await?;
    let organization =
        organizations::organization_if_named(&session, query.organization_id.as_deref()).await?;
    let after = match &query.after {
        Some(cursor) => {
            let no = cursor.parse().map_err(|_| OperationError::MalformedCursor(cursor.clone()))?;
            Some(EventNo(no))
        }
        None => None,
    };
    let filter =
        EventFilter { state: query.state.map(EventState::name), organization, after, ..Default::default() };
    let rows = session.list_events(&filter, i64::from(query.limit) + 1).await?;
    Ok(Page::cut(rows, query.limit, |row| row.event_no.0.to_string()))
}

/// One event and the first `jobs_max` of its jobs.
///
/// # Errors
/// [`OperationError::UnknownEvent`]; [`OperationError::AmbiguousEvent`] where only the source would tell which
/// one is meant; or where the database cannot be read.
pub async fn event(
    store: &Store,
    event_id: &str,
    source: Option<&str>,
    jobs_max: u16,
) -> Result<EventDetail, OperationError> {
    let session = store.session().await?;
    let event = find(&session, event_id, source).await?;
    let (downstream_id, traceparent) = session.show_event(event.event_no).await?;
    let jobs = session.list_event_jobs(event.event_no, jobs_max.into()).await?;
    let jobs_by_state = session.show_event_jobs(event.event_no).await?;
    let jobs_left_off = (i64::from(event.jobs_total) - jobs.len() as i64).max(0);
    let results_dropped_at = session.job_dropped(event.event_no.into()).await?;
    Ok(EventDetail {
        event,
        downstream_id,
        traceparent,
        jobs_by_state,
        jobs,
        jobs_left_off,
        results_dropped_at,
    })
}

/// The one event of this id, and of this source where it is given.
pub(super) async fn find(
    session: &Session,
    event_id: &str,
    source: Option<&str>,
) -> Result<EventRow, OperationError> {
    let filter = EventFilter { event_id: Some(event_id), source, ..Default::default() };
    let mut rows = session.list_events(&filter, 10).await?;
    match (rows.pop(), rows.is_empty()) {
        (None, _) => Err(OperationError::UnknownEvent {
            event_id: event_id.to_owned(),
            source_name: source.map(str::to_owned),
        }),
        (Some(event), true) => Ok(event),
        (Some(event), false) => {
            rows.push(event);
            let mut sources: Vec<String> = rows.into_iter().map(|event| event.source).collect();
            sources.sort();
            Err(OperationError::AmbiguousEvent { event_id: event_id.to_owned(), sources })
        }
    }
}
