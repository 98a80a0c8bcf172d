//! Replaying and discarding jobs: choosing them, looking at what was chosen, and doing it.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::jobs::{JobKey, JobKind, JobState};
use super::{OperationError, Page, events, organizations};
use crate::domain::catalogue::Catalogue;
use crate::domain::{EventNo, OrganizationNo};
use crate::store::choice::{Choice, Chosen, JobAddress, Purpose};
use crate::store::read::Counts;
use crate::store::replay::{NewReplay, ReplayRow, ReplayTroubleRow};
use crate::store::{Session, Store};

/// How many groups of chosen jobs are told apart.
const GROUPS_MAX: i64 = 50;

/// How many reasons are given why jobs of a replay were refused or failed again.
const TROUBLES_MAX: i64 = 20;

/// How many jobs one transaction discards.
const DISCARDED_MAX: i64 = 500;

/// How often in a row jobs may have gone on before they could be discarded.
const IN_VAIN_MAX: usize = 10;

/// Which jobs an operator means: those that fit everything that is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobSelection {
    /// These alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<JobKey>,
    /// Of the event with this id.
    #[serde(rename = "event", skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Of the event of this source; needs `event_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// That sync from this upstream, or are about its partnership.
    #[serde(rename = "upstream", skip_serializing_if = "Option::is_none")]
    pub upstream_id: Option<String>,
    /// That write the settings of this organization.
    #[serde(rename = "organization", skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// About this category.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<JobKind>,
    /// In this state. Where nothing is said and no keys are given: those that failed, and for discarding those
    /// that are tried again too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// With an error that contains this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Finished since then.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub since: Option<Timestamp>,
    /// Finished by then.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub until: Option<Timestamp>,
}

/// Reads a time, or that there is none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<Cow<'_, str>>::deserialize(deserializer)? else { return Ok(None) };
    let expected = || format!("{text:?} is no time; expected one such as 2026-01-31T09:30:00Z");
    text.parse().map(Some).map_err(|_| D::Error::custom(expected()))
}

/// Who does something, and why: it is written down with what was done.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    /// Who.
    pub name: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// A replay, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReplayDetail {
    /// The replay.
    #[serde(flatten)]
    pub replay: ReplayRow,
    /// What became of the jobs that were sent: `succeeded`, `failed` (again), `discarded`; else they are
    /// `waiting`, or `paused` with their organization.
    #[schema(inline)]
    pub outcomes: Counts,
    /// Why jobs were refused or failed again, the most frequent reasons first.
    pub troubles: Vec<ReplayTroubleRow>,
}

impl ReplayDetail {
    /// How many jobs have come to this.
    pub fn outcome(&self, name: &str) -> i64 {
        self.outcomes.get(name).copied().unwrap_or(0)
    }

    /// Whether the outcome of one of its jobs is still to come, as things are.
    pub fn is_under_way(&self) -> bool {
        self.replay.state == "running" || self.outcome("waiting") + self.outcome("paused") > 0
    }

    /// How many jobs nothing more is to be waited for, as things are.
    pub fn settled(&self) -> i64 {
        let sent = ["succeeded", "failed", "discarded"].map(|name| self.outcome(name));
        sent.iter().sum::<i64>() + i64::from(self.replay.refused)
    }
}

/// A selection whose names are known.
struct Resolved<'a> {
    keys: Vec<JobAddress>,
    event: Option<EventNo>,
    upstream: Option<OrganizationNo>,
    organization: Option<OrganizationNo>,
    state: Option<&'static str>,
    selection: &'a JobSelection,
}

impl<'a> Resolved<'a> {
    async fn of(
        session: &Session,
        purpose: Purpose,
        selection: &'a JobSelection,
    ) -> Result<Self, OperationError> {
        let keys: Vec<JobAddress> = selection.keys.iter().map(|key| (key.cause, key.organization)).collect();
        if let Some((cause, organization)) = session.unknown_jobs(&keys).await?.first().copied() {
            return Err(OperationError::no_job(session, JobKey { cause, organization }).await);
        }
        let event = match &selection.event_id {
            Some(id) => Some(events::find(session, id, selection.source.as_deref()).await?.event_no),
            None => None,
        };
        let upstream =
            organizations::organization_if_named(session, selection.upstream_id.as_deref()).await?;
        let organization =
            organizations::organization_if_named(session, selection.organization_id.as_deref()).await?;
        let state = match (selection.state, purpose) {
            (Some(state), _) => Some(state.name()),
            (None, _) if !keys.is_empty() => None,
            (None, Purpose::Replay) => Some(JobState::Failed.name()),
            (None, Purpose::Discard) => Some("unfinished"),
        };
        Ok(Self { keys, event, upstream, organization, state, selection })
    }

    /// As a choice; of what was `shown`, if it was.
    fn choice(&self, shown: Option<Timestamp>) -> Choice<'_> {
        let JobSelection { category, kind, error, since, until, .. } = self.selection;
        Choice {
            keys: (!self.keys.is_empty()).then_some(&self.keys),
            event: self.event,
            upstream: self.upstream,
            organization: self.organization,
            category: category.as_deref(),
            kind: kind.map(JobKind::name),
            state: self.state,
            error: error.as_deref(),
            since: *since,
            until: until.map_or(shown, |until| Some(shown.map_or(until, |shown| until.min(shown)))),
        }
    }
}

/// What a selection comes to, by kind, state, error and why jobs are refused: the largest groups.
///
/// # Errors
/// [`OperationError::UnknownJob`], [`OperationError::DroppedJob`], [`OperationError::UnknownEvent`], [`OperationError::AmbiguousEvent`],
/// [`OperationError::UnknownOrganization`]; [`OperationError::UnknownCategory`] where no job fits and the catalogue does
/// not name the category; or where the database cannot be read.
pub async fn chosen(
    store: &Store,
    catalogue: &Catalogue,
    purpose: Purpose,
    selection: &JobSelection,
) -> Result<Chosen, OperationError> {
    let session = store.session().await?;
    let resolved = Resolved::of(&session, purpose, selection).await?;
    let chosen = session.chosen(purpose, &resolved.choice(None), GROUPS_MAX).await?;
    if chosen.jobs == 0 {
        OperationError::unless_named(catalogue, selection.category.as_deref())?;
    }
    Ok(chosen)
}

/// Begins a replay of the selected jobs, of those that were there when they were `shown`. Any running service
/// works on it from then on.
///
/// # Errors
/// As [`chosen`]; [`OperationError::NothingToReplay`] where there is none that may be replayed.
pub async fn replay(
    store: &Store,
    catalogue: &Catalogue,
    selection: &JobSelection,
    shown: Option<Timestamp>,
    operator: Operator<'_>,
    rate_per_second: Option<i32>,
) -> Result<ReplayRow, OperationError> {
    let mut session = store.session().await?;
    let resolved = Resolved::of(&session, Purpose::Replay, selection).await?;
    let mut filter = json!(selection);
    if let Some(state) = resolved.state {
        filter["state"] = state.into();
    }
    let new =
        NewReplay { requested_by: operator.name, reason: operator.reason, filter: &filter, rate_per_second };
    let transaction = session.begin().await?;
    let (replay_no, total, refused) = transaction.add_replay(&new, &resolved.choice(shown)).await?;
    if total == 0 {
        OperationError::unless_named(catalogue, selection.category.as_deref())?;
    }
    if total == refused {
        return Err(OperationError::NothingToReplay);
    }
    let subject = json!({ "replay": replay_no, "filter": filter, "jobs": total, "rate": rate_per_second });
    transaction.add_action(operator.name, "jobs replay", Some(operator.reason), &subject).await?;
    transaction.commit().await?;
    session.show_replay(replay_no).await?.ok_or(OperationError::UnknownReplay(replay_no))
}

/// Replays, the newest first.
///
/// # Errors
/// Where the database cannot be read.
pub async fn replays(
    store: &Store,
    after: Option<i64>,
    limit: u16,
) -> Result<Page<ReplayRow>, OperationError> {
    let session = store.session().await?;
    let rows = session.list_replays(after, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |row| row.replay_no.to_string()))
}

/// One replay, and how far it is.
///
/// # Errors
/// [`OperationError::UnknownReplay`], or where the database cannot be read.
pub async fn replay_detail(store: &Store, replay_no: i64) -> Result<ReplayDetail, OperationError> {
    let session = store.session().await?;
    let unknown = OperationError::UnknownReplay(replay_no);
    detail(&session, session.show_replay(replay_no).await?.ok_or(unknown)?).await
}

/// How far a replay is.
pub(super) async fn detail(session: &Session, replay: ReplayRow) -> Result<ReplayDetail, OperationError> {
    let outcomes = session.show_replay_outcomes(replay.replay_no).await?;
    let troubles = session.show_replay_troubles(replay.replay_no, TROUBLES_MAX).await?;
    Ok(ReplayDetail { replay, outcomes, troubles })
}

/// Sends no more jobs of a replay; returns how many are left off. Those that were sent go on.
///
/// # Errors
/// [`OperationError::UnknownReplay`]; [`OperationError::ReplayNotRunning`] where it is done or cancelled; or
/// where the database cannot be reached.
pub async fn cancel_replay(
    store: &Store,
    replay_no: i64,
    operator: &str,
    reason: Option<&str>,
) -> Result<i32, OperationError> {
    let mut session = store.session().await?;
    let transaction = session.begin().await?;
    let Some(left_off) = transaction.cancel_replay(replay_no).await? else {
        drop(transaction);
        return Err(match session.show_replay(replay_no).await? {
            Some(replay) => OperationError::ReplayNotRunning { replay_no, state: replay.state },
            None => OperationError::UnknownReplay(replay_no),
        });
    };
    let subject = json!({ "replay": replay_no, "jobs_left_off": left_off });
    transaction.add_action(operator, "replays cancel", reason, &subject).await?;
    transaction.commit().await?;
    Ok(left_off)
}

/// Gives the selected jobs up for good, of those that were there when they were `shown`; returns how many.
/// What was committed before an error stays.
///
/// # Errors
/// As [`chosen`]; [`OperationError::NothingToDiscard`] where there is none that may be discarded.
pub async fn discard_jobs(
    store: &Store,
    catalogue: &Catalogue,
    selection: &JobSelection,
    shown: Option<Timestamp>,
    operator: Operator<'_>,
) -> Result<i64, OperationError> {
    let mut session = store.session().await?;
    let resolved = Resolved::of(&session, Purpose::Discard, selection).await?;
    let choice = resolved.choice(shown);
    let why = format!("discarded by {}: {}", operator.name, operator.reason);
    let (mut all, mut in_vain) = (0, 0);
    while in_vain < IN_VAIN_MAX {
        let transaction = session.begin().await?;
        let Some(discarded) = transaction.discard_jobs(&choice, &why, DISCARDED_MAX).await? else {
            break;
        };
        // What was chosen went on meanwhile, or was discarded by somebody else.
        if discarded.is_empty() {
            in_vain += 1;
            continue;
        }
        in_vain = 0;
        let keys: Vec<String> = discarded.iter().map(|(cause, no)| format!("{}-{}", cause.0, no.0)).collect();
        let subject = json!({ "filter": selection, "jobs": keys });
        transaction.add_action(operator.name, "jobs discard", Some(operator.reason), &subject).await?;
        transaction.commit().await?;
        all += discarded.len() as i64;
    }
    if all == 0 {
        OperationError::unless_named(catalogue, selection.category.as_deref())?;
        return Err(OperationError::NothingToDiscard);
    }
    Ok(all)
}
