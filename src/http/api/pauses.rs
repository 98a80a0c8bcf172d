//! Pauses: what is left alone until it is resumed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::{BodyRefused, Forbidden, NotFound, Refused};
use super::extract::{Body, ByName, InPath, Nothing, Query, reason, unprocessable};
use super::{BASE, Listed};
use crate::http::App;
use crate::http::access;
use crate::http::problem::Problem;
use crate::operations::{self, Operator, Page, PauseRow};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pauses, pause, resume_all)).routes(routes!(resume))
}

/// What is paused
///
/// All execution first, then organizations by name.
#[utoipa::path(
    get,
    path = "/pauses",
    operation_id = "list_pauses",
    tag = "pauses",
    params(ByName),
    responses((status = 200, description = "A page of pauses.", body = Page<PauseRow>), Refused)
)]
async fn pauses(
    State(app): State<App>,
    Query(parameters): Query<ByName>,
) -> Result<Listed<PauseRow>, Problem> {
    Ok(Listed(operations::pauses(&app.store, parameters.after.as_deref(), parameters.limit.0).await?))
}

/// What is to be paused: an organization, or all execution.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Pause {
    /// The organization.
    organization: Option<String>,
    /// All execution.
    #[serde(default)]
    all: bool,
    /// Why: it is written down. Needed.
    reason: Option<String>,
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
struct Paused {
    /// The organization; none where all execution is.
    organization_id: Option<String>,
    /// False where it was paused before, and stays so for the reason of then.
    new: bool,
}

/// Leave an organization, or everything, alone
///
/// Once the work at hand there is finished: from the answer on, nothing is written there until it is resumed. What comes
/// for it is kept.
#[utoipa::path(
    post,
    path = "/pauses",
    operation_id = "pause",
    tag = "pauses",
    request_body = Pause,
    responses(
        (status = 200, description = "It was paused before.", body = Paused),
        (status = 201, description = "It is paused.", body = Paused),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
    )
)]
async fn pause(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<Pause>,
) -> Result<(StatusCode, Json<Paused>), Problem> {
    let organization_id = match (body.organization, body.all) {
        (Some(organization), false) => Some(organization),
        (None, true) => None,
        (None, false) => {
            return Err(unprocessable("organization is missing; expected one, or \"all\": true"));
        }
        (Some(_), true) => {
            return Err(unprocessable("both organization and all are there; expected one of them"));
        }
    };
    let operator = Operator { name: &by.name, reason: reason(body.reason.as_deref())? };
    let new = operations::pause(&app.store, organization_id.as_deref(), operator).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Paused { organization_id, new })))
}

/// Go on with all execution
///
/// Organizations that are paused by themselves stay so.
#[utoipa::path(
    delete,
    path = "/pauses",
    operation_id = "resume_all",
    tag = "pauses",
    responses((status = 204, description = "It goes on."), Refused, Forbidden, NotFound)
)]
async fn resume_all(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
) -> Result<StatusCode, Problem> {
    resumed(operations::resume(&app.store, None, &by.name).await?, "all execution")
}

/// Go on with an organization
#[utoipa::path(
    delete,
    path = "/pauses/{organization_id}",
    operation_id = "resume",
    tag = "pauses",
    params(("organization_id" = String, Path, description = "The organization.")),
    responses((status = 204, description = "It goes on."), Refused, Forbidden, NotFound)
)]
async fn resume(
    State(app): State<App>,
    by: access::Operator,
    InPath(organization_id): InPath<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<StatusCode, Problem> {
    resumed(operations::resume(&app.store, Some(&organization_id), &by.name).await?, &organization_id)
}

fn resumed(was_paused: bool, what: &str) -> Result<StatusCode, Problem> {
    if was_paused {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = format!("{what} is not paused; {BASE}/pauses says what is");
    Err(Problem::new(StatusCode::NOT_FOUND, "not-paused", detail))
}
