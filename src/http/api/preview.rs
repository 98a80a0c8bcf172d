//! What events would do that have not happened.

use axum::Json;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::Refused;
use super::extract::{self, Query, bytes};
use crate::http::problem::Problem;
use crate::http::{App, BODY_BYTES_MAX, Shown};
use crate::operations::Preview;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PreviewParameters {
    /// Tell at most so many organizations of each event.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: extract::Shown,
    /// Tell at most so many settings of each organization.
    #[serde(default)]
    #[param(inline, required = false)]
    entries: extract::Shown,
}

/// What events would do
///
/// The body is one event as CloudEvents structured JSON, or several as JSON Lines. They are worked off in memory, one
/// after the other, by the rules and the state that would decide; nothing is written, and nobody waits. What stands in
/// the mailboxes already is not taken into account; how much that is, is said.
#[utoipa::path(
    post,
    path = "/preview",
    operation_id = "preview",
    tag = "preview",
    params(PreviewParameters),
    request_body(
        description = "One event, or JSON Lines.",
        content(
            (Object = "application/cloudevents+json"),
            (Object = "application/json"),
            (String = "application/x-ndjson"),
        ),
    ),
    responses(
        (status = 200, description = "What they would do.", body = Preview),
        (
            status = 408,
            description = "The body has not come in time.",
            body = Problem,
            content_type = "application/problem+json",
        ),
        (
            status = 413,
            description = "The body is too large.",
            body = Problem,
            content_type = "application/problem+json",
        ),
        (
            status = 403,
            description = "The request comes from a page of another site.",
            body = Problem,
            content_type = "application/problem+json",
        ),
        Refused,
    )
)]
async fn preview(
    State(app): State<App>,
    Query(PreviewParameters { limit, entries }): Query<PreviewParameters>,
    request: Request,
) -> Result<Json<Preview>, Problem> {
    let body = bytes(request, &app, BODY_BYTES_MAX).await?;
    let malformed = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "malformed-body", detail);
    let text = std::str::from_utf8(&body).map_err(|error| {
        malformed(format!(
            "the body is not UTF-8 from byte {} on; expected JSON in UTF-8",
            error.valid_up_to()
        ))
    })?;
    let shown = Shown { jobs_max: limit.0.into(), entries_max: entries.0.into() };
    Ok(Json(app.previews.preview(&app, text, shown).await?))
}
