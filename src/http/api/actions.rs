//! Actions: what operators did.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Listed;
use super::answers::Refused;
use super::extract::{ByNumber, Query};
use crate::http::App;
use crate::http::problem::Problem;
use crate::operations::{self, ActionRow, Page};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(actions))
}

/// What operators did, the newest first
///
/// Who, when, what, to what, and why.
#[utoipa::path(
    get,
    path = "/actions",
    operation_id = "list_actions",
    tag = "actions",
    params(ByNumber),
    responses((status = 200, description = "A page of actions.", body = Page<ActionRow>), Refused)
)]
async fn actions(
    State(app): State<App>,
    Query(parameters): Query<ByNumber>,
) -> Result<Listed<ActionRow>, Problem> {
    Ok(Listed(operations::actions(&app.store, parameters.after, parameters.limit.0).await?))
}
