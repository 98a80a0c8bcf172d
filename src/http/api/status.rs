//! How things stand.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::Refused;
use super::extract::{Nothing, Query};
use crate::http::App;
use crate::http::problem::Problem;
use crate::operations::{self, Status};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How things stand
///
/// What waits, what went wrong, how much there is. How the queue stands may be known from some seconds ago.
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "show_status",
    tag = "status",
    responses((status = 200, description = "How things stand.", body = Status), Refused)
)]
async fn status(State(app): State<App>, Query(Nothing {}): Query<Nothing>) -> Result<Json<Status>, Problem> {
    Ok(Json(operations::status(&app.store, app.queue.look(&app.link).await).await?))
}
