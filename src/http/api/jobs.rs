//! Jobs: one organization's outcome for one cause. Giving them up for good, and bringing back what one displaced.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Listed;
use super::answers::{BodyRefused, Conflict, Forbidden, NotFound, Refused};
use super::extract::{Body, Bounded, InPath, Limit, Nothing, Query, object, reason, unprocessable};
use crate::http::App;
use crate::http::access;
use crate::http::problem::Problem;
use crate::operations::{
    self, Chosen, JobDetail, JobKey, JobKind, JobQuery, JobRow, JobSelection, JobState, LIMIT_DEFAULT,
    Operator, Page, Purpose, Restore,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(jobs))
        .routes(routes!(job))
        .routes(routes!(discard))
        .routes(routes!(restore))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct JobsParameters {
    /// In this state.
    #[param(inline)]
    state: Option<JobState>,
    /// That write the settings of this organization.
    organization: Option<String>,
    /// Of the event with this id.
    event: Option<String>,
    /// The event's source, where several have an event of this id. Needs `event`.
    source: Option<String>,
    /// Of this kind.
    #[param(inline)]
    kind: Option<JobKind>,
    /// Where the page before said that the list goes on.
    #[param(inline)]
    after: Option<JobKey>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Jobs, done or waiting, those of the newest cause first
#[utoipa::path(
    get,
    path = "/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(JobsParameters),
    responses(
        (status = 200, description = "A page of jobs.", body = Page<JobRow>),
        Refused,
        NotFound,
        Conflict,
    )
)]
async fn jobs(
    State(app): State<App>,
    Query(parameters): Query<JobsParameters>,
) -> Result<Listed<JobRow>, Problem> {
    let JobsParameters { state, organization, event, source, kind, after, limit: Bounded(limit) } =
        parameters;
    if source.is_some() && event.is_none() {
        let detail = "source is there without event; expected the event that is of this source";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-query", detail));
    }
    let query =
        JobQuery { state, organization_id: organization, event_id: event, source, kind, after, limit };
    Ok(Listed(operations::jobs(&app.store, &query).await?))
}

/// One job, with what it passed on and what it displaced
#[utoipa::path(
    get,
    path = "/jobs/{idempotency_key}",
    operation_id = "show_job",
    tag = "jobs",
    params(("idempotency_key" = inline(JobKey), Path, description = "The job.")),
    responses((status = 200, description = "The job.", body = JobDetail), Refused, NotFound)
)]
async fn job(
    State(app): State<App>,
    InPath(key): InPath<JobKey>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<JobDetail>, Problem> {
    Ok(Json(operations::job(&app.store, key).await?))
}

/// Jobs to be given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JobsDiscard {
    /// Which ones. Those that have failed and those that are tried again, where no state is said and no keys are given.
    #[serde(deserialize_with = "object")]
    jobs: JobSelection,
    /// Why: it is written down. Needed where something is done.
    reason: Option<String>,
    /// Only show what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// What became of jobs that were to be given up: what was chosen, in a dry run; else how many were.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum JobsDiscarded {
    Chosen(Chosen),
    Discarded(Discarded),
}

/// How many were given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Discarded {
    /// How many.
    pub(super) discarded: i64,
}

/// Give jobs up for good
///
/// What is behind them goes on. A discarded job can still be replayed. Where none of them may be discarded, that is a
/// conflict.
#[utoipa::path(
    post,
    path = "/jobs/discard",
    operation_id = "discard_jobs",
    tag = "jobs",
    request_body = JobsDiscard,
    responses(
        (status = 200, description = "What was done, or would be.", body = JobsDiscarded),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn discard(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<JobsDiscard>,
) -> Result<Json<JobsDiscarded>, Problem> {
    let JobsDiscard { jobs, reason: why, dry_run } = body;
    check(&jobs, &[JobState::Failed, JobState::Retrying])?;
    if dry_run {
        let chosen = operations::chosen(&app.store, &app.config.catalogue, Purpose::Discard, &jobs).await?;
        return Ok(Json(JobsDiscarded::Chosen(chosen)));
    }
    let operator = Operator { name: &by.name, reason: reason(why.as_deref())? };
    let discarded =
        operations::discard_jobs(&app.store, &app.config.catalogue, &jobs, None, operator).await?;
    Ok(Json(JobsDiscarded::Discarded(Discarded { discarded })))
}

/// What a job displaced, to be brought back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JobRestore {
    /// Why: it is written down. Needed where something is done.
    reason: Option<String>,
    /// Only show what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// Bring back what a match displaced
///
/// As an edit of the organization's own. Left alone is what is locked, what later events have said otherwise, and what is
/// there already.
#[utoipa::path(
    post,
    path = "/jobs/{idempotency_key}/restore",
    operation_id = "restore_job",
    tag = "jobs",
    params(("idempotency_key" = inline(JobKey), Path, description = "The job.")),
    request_body = JobRestore,
    responses(
        (status = 200, description = "What was done, or would be.", body = Restore),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn restore(
    State(app): State<App>,
    by: access::Operator,
    InPath(key): InPath<JobKey>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<JobRestore>,
) -> Result<Json<Restore>, Problem> {
    let JobRestore { reason: why, dry_run } = body;
    let catalogue = &app.config.catalogue;
    if dry_run {
        return Ok(Json(operations::preview_restore(&app.store, catalogue, key, LIMIT_DEFAULT).await?));
    }
    let operator = Operator { name: &by.name, reason: reason(why.as_deref())? };
    Ok(Json(operations::restore(&app.store, catalogue, key, LIMIT_DEFAULT, operator).await?))
}

/// That a selection says something, and names no state that jobs cannot be chosen by for this purpose.
pub(super) fn check(jobs: &JobSelection, states: &[JobState]) -> Result<(), Problem> {
    if *jobs == JobSelection::default() {
        let detail =
            "jobs says nothing; expected which ones, or {\"state\": \"failed\"} for all that have failed";
        return Err(unprocessable(detail));
    }
    if jobs.source.is_some() && jobs.event_id.is_none() {
        return Err(unprocessable(
            "jobs.source is there without jobs.event; expected the event of this source",
        ));
    }
    match jobs.state {
        Some(state) if !states.contains(&state) => {
            let expected: Vec<&str> = states.iter().map(|state| state.name()).collect();
            Err(unprocessable(format!("jobs.state is {state}; expected one of: {}", expected.join(", "))))
        }
        _ => Ok(()),
    }
}
