//! Replays: jobs that are done once more.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::{BodyRefused, Conflict, Forbidden, NotFound, Refused};
use super::extract::{Body, ByNumber, InPath, Nothing, Query, object, reason, unprocessable};
use super::{BASE, Listed, jobs};
use crate::http::App;
use crate::http::access;
use crate::http::problem::Problem;
use crate::operations::{
    self, Chosen, JobSelection, JobState, Operator, Page, Purpose, ReplayDetail, ReplayRow,
};

/// How many jobs a second a replay may be said to send.
const RATE_MAX: i32 = 1_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(replays, begin)).routes(routes!(replay)).routes(routes!(cancel))
}

/// Replays, the newest first
#[utoipa::path(
    get,
    path = "/replays",
    operation_id = "list_replays",
    tag = "replays",
    params(ByNumber),
    responses((status = 200, description = "A page of replays.", body = Page<ReplayRow>), Refused)
)]
async fn replays(
    State(app): State<App>,
    Query(parameters): Query<ByNumber>,
) -> Result<Listed<ReplayRow>, Problem> {
    Ok(Listed(operations::replays(&app.store, parameters.after, parameters.limit.0).await?))
}

/// One replay, and how far it is
#[utoipa::path(
    get,
    path = "/replays/{replay_no}",
    operation_id = "show_replay",
    tag = "replays",
    params(("replay_no" = i64, Path, description = "The replay's number.")),
    responses((status = 200, description = "The replay.", body = ReplayDetail), Refused, NotFound)
)]
async fn replay(
    State(app): State<App>,
    InPath(replay_no): InPath<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<ReplayDetail>, Problem> {
    Ok(Json(operations::replay_detail(&app.store, replay_no).await?))
}

/// Jobs to be done once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JobsReplay {
    /// Which ones. Those that have failed, where no state is said and no keys are given.
    #[serde(deserialize_with = "object")]
    jobs: JobSelection,
    /// Why: it is written down. Needed where something is done.
    reason: Option<String>,
    /// At most so many jobs a second are sent.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate_per_second: Option<i32>,
    /// Only show what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// Do jobs once more
///
/// A job never overwrites anything that is newer than its event. Any running service works on the replay from then on.
#[utoipa::path(
    post,
    path = "/replays",
    operation_id = "replay_jobs",
    tag = "replays",
    request_body = JobsReplay,
    responses(
        (status = 200, description = "In a dry run: what was chosen.", body = Chosen),
        (
            status = 201,
            description = "The replay has begun.",
            body = ReplayRow,
            headers(("location" = String, description = "The address of the replay.")),
        ),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn begin(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<JobsReplay>,
) -> Result<Response, Problem> {
    let JobsReplay { jobs, reason: why, rate_per_second, dry_run } = body;
    jobs::check(&jobs, &[JobState::Failed, JobState::Retrying, JobState::Succeeded, JobState::Discarded])?;
    if let Some(rate) = rate_per_second.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
        let detail = format!("rate_per_second is {rate}; expected a whole number from 1 to {RATE_MAX}");
        return Err(unprocessable(detail));
    }
    if dry_run {
        return Ok(Json(
            operations::chosen(&app.store, &app.config.catalogue, Purpose::Replay, &jobs).await?,
        )
        .into_response());
    }
    let operator = Operator { name: &by.name, reason: reason(why.as_deref())? };
    let replay =
        operations::replay(&app.store, &app.config.catalogue, &jobs, None, operator, rate_per_second).await?;
    let location = format!("{BASE}/replays/{}", replay.replay_no);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(replay)).into_response())
}

/// A replay to be cancelled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayCancel {
    /// Why: it is written down.
    reason: Option<String>,
}

/// What was left of a replay.
#[derive(Debug, Serialize, ToSchema)]
struct ReplayCancelled {
    /// Its number.
    replay_no: i64,
    /// How many of its jobs are left off.
    jobs_left_off: i32,
}

/// Send no more jobs of a replay
///
/// Those that were sent go on.
#[utoipa::path(
    post,
    path = "/replays/{replay_no}/cancel",
    operation_id = "cancel_replay",
    tag = "replays",
    params(("replay_no" = i64, Path, description = "The replay's number.")),
    request_body = Option<ReplayCancel>,
    responses(
        (status = 200, description = "It is cancelled.", body = ReplayCancelled),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn cancel(
    State(app): State<App>,
    by: access::Operator,
    InPath(replay_no): InPath<i64>,
    Query(Nothing {}): Query<Nothing>,
    body: Option<Body<ReplayCancel>>,
) -> Result<Json<ReplayCancelled>, Problem> {
    let ReplayCancel { reason: why } = body.map(|Body(body)| body).unwrap_or_default();
    let why = why.as_deref().map(|why| reason(Some(why))).transpose()?;
    let jobs_left_off = operations::cancel_replay(&app.store, replay_no, &by.name, why).await?;
    Ok(Json(ReplayCancelled { replay_no, jobs_left_off }))
}
