//! Whether strict partners have what their upstreams have; and putting right what differs.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::{BodyRefused, Conflict, Forbidden, NotFound, Refused};
use super::extract::{Body, Bounded, Limit, Nothing, Query, reason, unprocessable};
use crate::http::access;
use crate::http::problem::Problem;
use crate::http::{App, Repaired};
use crate::operations::{LIMIT_DEFAULT, Operator, Verification, VerifyQuery};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(verify)).routes(routes!(repair))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct VerifyParameters {
    /// Those of this upstream.
    upstream: Option<String>,
    /// That of this downstream.
    organization: Option<String>,
    /// In this category alone.
    category: Option<String>,
    /// Tell at most so many entries, and so many partnerships that differ or are not in step yet.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Whether strict partners have what their upstreams have
///
/// Every strict partnership is compared with its upstream, as both are now. Where jobs wait for a downstream, it is told as
/// not in step yet, and not compared. Reads only. What takes longer than half a minute is refused: fewer partnerships can
/// be asked for, or `channel-sync verify` be used.
#[utoipa::path(
    get,
    path = "/verify",
    operation_id = "verify",
    tag = "verify",
    params(VerifyParameters),
    responses((status = 200, description = "What was found.", body = Verification), Refused, NotFound)
)]
async fn verify(
    State(app): State<App>,
    Query(parameters): Query<VerifyParameters>,
) -> Result<Json<Verification>, Problem> {
    let VerifyParameters { upstream, organization, category, limit: Bounded(limit) } = parameters;
    let query = VerifyQuery { upstream_id: upstream, organization_id: organization, category, limit };
    Ok(Json(app.verifications.verify(&app, &query).await?))
}

/// Partnerships to be put right where they differ.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PartnershipsRepair {
    /// Those of this upstream.
    upstream: Option<String>,
    /// That of this downstream.
    organization: Option<String>,
    /// All of them, where neither is said.
    #[serde(default)]
    all: bool,
    /// Why: it is written down. Needed where something is done.
    reason: Option<String>,
    /// Only show what differs, and so would be put right.
    #[serde(default)]
    dry_run: bool,
}

/// What became of partnerships that were to be put right: what differs, in a dry run; else the jobs that were made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum PartnershipsRepaired {
    Found(Verification),
    Repaired(Repaired),
}

/// Have what differs put right
///
/// Partnerships are compared as by `/verify`; for each that differs, a job matches it with its upstream, in all categories,
/// as the upstream is when the job runs.
#[utoipa::path(
    post,
    path = "/repairs",
    operation_id = "repair",
    tag = "verify",
    request_body = PartnershipsRepair,
    responses(
        (status = 200, description = "What was done, or would be.", body = PartnershipsRepaired),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn repair(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body<PartnershipsRepair>,
) -> Result<Json<PartnershipsRepaired>, Problem> {
    let PartnershipsRepair { upstream, organization, all, reason: why, dry_run } = body;
    match (upstream.is_some() || organization.is_some(), all) {
        (false, false) => {
            return Err(unprocessable(
                "upstream and organization are missing; expected one of them, both, or \"all\": true",
            ));
        }
        (true, true) => {
            return Err(unprocessable(
                "all is true, and upstream or organization is there; expected one of them",
            ));
        }
        _ => {}
    }
    let query = VerifyQuery {
        upstream_id: upstream,
        organization_id: organization,
        category: None,
        limit: LIMIT_DEFAULT,
    };
    if dry_run {
        return Ok(Json(PartnershipsRepaired::Found(app.verifications.verify(&app, &query).await?)));
    }
    let operator = Operator { name: &by.name, reason: reason(why.as_deref())? };
    Ok(Json(PartnershipsRepaired::Repaired(app.verifications.repair(&app, &query, operator).await?)))
}
