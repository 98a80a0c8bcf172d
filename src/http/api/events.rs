//! Events, and what became of them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Listed;
use super::answers::{Conflict, NotFound, Refused};
use super::extract::{Bounded, InPath, Limit, Query};
use crate::http::App;
use crate::http::problem::Problem;
use crate::operations::{self, EventDetail, EventQuery, EventRow, EventState, Page};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(event))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsParameters {
    /// In this state.
    #[param(inline)]
    state: Option<EventState>,
    /// Of this organization: whose settings they edit, or the upstream of the partnership.
    organization: Option<String>,
    /// Where the page before said that the list goes on.
    after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Events, the newest first
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "events",
    params(EventsParameters),
    responses((status = 200, description = "A page of events.", body = Page<EventRow>), Refused, NotFound)
)]
async fn events(
    State(app): State<App>,
    Query(parameters): Query<EventsParameters>,
) -> Result<Listed<EventRow>, Problem> {
    let EventsParameters { state, organization, after, limit: Bounded(limit) } = parameters;
    let query = EventQuery { state, organization_id: organization, after, limit };
    Ok(Listed(operations::events(&app.store, &query).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventParameters {
    /// The event's source, where several have an event of this id.
    source: Option<String>,
    /// At most so many of its jobs.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// One event, and its jobs
///
/// Each job after the one that it follows from.
#[utoipa::path(
    get,
    path = "/events/{event_id}",
    operation_id = "show_event",
    tag = "events",
    params(("event_id" = String, Path, description = "The event's id at its source."), EventParameters),
    responses((status = 200, description = "The event.", body = EventDetail), Refused, NotFound, Conflict)
)]
async fn event(
    State(app): State<App>,
    InPath(event_id): InPath<String>,
    Query(parameters): Query<EventParameters>,
) -> Result<Json<EventDetail>, Problem> {
    let EventParameters { source, limit: Bounded(limit) } = parameters;
    Ok(Json(operations::event(&app.store, &event_id, source.as_deref(), limit).await?))
}
