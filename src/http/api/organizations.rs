//! Organizations, and what each has.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Listed;
use super::answers::{NotFound, Refused};
use super::extract::{Bounded, ByName, InPath, Limit, Nothing, Query};
use crate::http::App;
use crate::http::problem::Problem;
use crate::operations::{
    self, Explanation, FreshnessQuery, FreshnessRow, Mailbox, OrganizationRow, Page, PartnershipRow,
    SettingQuery, SettingRow,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(organizations))
        .routes(routes!(organization))
        .routes(routes!(settings))
        .routes(routes!(partnerships_of))
        .routes(routes!(mailbox))
        .routes(routes!(explain))
        .routes(routes!(partnerships))
        .routes(routes!(freshness))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrganizationParameters {
    /// Whose names begin so.
    prefix: Option<String>,
    /// Where the page before said that the list goes on.
    after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Organizations by name
#[utoipa::path(
    get,
    path = "/organizations",
    operation_id = "list_organizations",
    tag = "organizations",
    params(OrganizationParameters),
    responses(
        (status = 200, description = "A page of organizations.", body = Page<OrganizationRow>),
        Refused,
    )
)]
async fn organizations(
    State(app): State<App>,
    Query(parameters): Query<OrganizationParameters>,
) -> Result<Listed<OrganizationRow>, Problem> {
    let OrganizationParameters { prefix, after, limit } = parameters;
    Ok(Listed(operations::organizations(&app.store, prefix.as_deref(), after.as_deref(), limit.0).await?))
}

/// One organization
#[utoipa::path(
    get,
    path = "/organizations/{organization_id}",
    operation_id = "show_organization",
    tag = "organizations",
    params(("organization_id" = String, Path, description = "The organization.")),
    responses((status = 200, description = "The organization.", body = OrganizationRow), Refused, NotFound)
)]
async fn organization(
    State(app): State<App>,
    InPath(organization_id): InPath<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<OrganizationRow>, Problem> {
    Ok(Json(operations::organization(&app.store, &organization_id).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SettingParameters {
    /// Of this category.
    category: Option<String>,
    /// Whose keys begin so.
    key_prefix: Option<String>,
    /// Where the page before said that the list goes on.
    after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// The settings of an organization
///
/// By category and key: value, origin, lock, and the event that last wrote each.
#[utoipa::path(
    get,
    path = "/organizations/{organization_id}/settings",
    operation_id = "list_settings",
    tag = "organizations",
    params(("organization_id" = String, Path, description = "The organization."), SettingParameters),
    responses(
        (status = 200, description = "A page of settings.", body = Page<SettingRow>),
        Refused,
        NotFound,
    )
)]
async fn settings(
    State(app): State<App>,
    InPath(organization_id): InPath<String>,
    Query(parameters): Query<SettingParameters>,
) -> Result<Listed<SettingRow>, Problem> {
    let SettingParameters { category, key_prefix, after, limit: Bounded(limit) } = parameters;
    let query = SettingQuery { category, key_prefix, after, limit };
    Ok(Listed(operations::settings(&app.store, &app.config.catalogue, &organization_id, &query).await?))
}

/// The partnerships of an organization
///
/// On either side, by upstream and downstream.
#[utoipa::path(
    get,
    path = "/organizations/{organization_id}/partnerships",
    operation_id = "list_partnerships_of_organization",
    tag = "organizations",
    params(("organization_id" = String, Path, description = "The organization."), ByName),
    responses(
        (status = 200, description = "A page of partnerships.", body = Page<PartnershipRow>),
        Refused,
        NotFound,
    )
)]
async fn partnerships_of(
    State(app): State<App>,
    InPath(organization_id): InPath<String>,
    Query(parameters): Query<ByName>,
) -> Result<Listed<PartnershipRow>, Problem> {
    let ByName { after, limit: Bounded(limit) } = parameters;
    let page = operations::partnerships(&app.store, Some(&organization_id), after.as_deref(), limit).await?;
    Ok(Listed(page))
}

/// All partnerships
///
/// By upstream and downstream.
#[utoipa::path(
    get,
    path = "/partnerships",
    operation_id = "list_partnerships",
    tag = "organizations",
    params(ByName),
    responses((status = 200, description = "A page of partnerships.", body = Page<PartnershipRow>), Refused)
)]
async fn partnerships(
    State(app): State<App>,
    Query(parameters): Query<ByName>,
) -> Result<Listed<PartnershipRow>, Problem> {
    let ByName { after, limit: Bounded(limit) } = parameters;
    Ok(Listed(operations::partnerships(&app.store, None, after.as_deref(), limit).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FreshnessParameters {
    /// Those that this organization has, on either side.
    organization: Option<String>,
    /// Those that are in step too.
    #[serde(default)]
    #[param(required = false)]
    all: bool,
    /// Where the page before said that the list goes on.
    after: Option<String>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// How far behind their upstreams partners are
///
/// By partnership and category, the one that is most behind first.
#[utoipa::path(
    get,
    path = "/freshness",
    operation_id = "list_freshness",
    tag = "organizations",
    params(FreshnessParameters),
    responses(
        (status = 200, description = "A page of partnerships and categories.", body = Page<FreshnessRow>),
        Refused,
        NotFound,
    )
)]
async fn freshness(
    State(app): State<App>,
    Query(parameters): Query<FreshnessParameters>,
) -> Result<Listed<FreshnessRow>, Problem> {
    let FreshnessParameters { organization, all, after, limit: Bounded(limit) } = parameters;
    let after = after.as_deref().map(str::parse).transpose()?;
    let query = FreshnessQuery { organization_id: organization, in_step_too: all, after, limit };
    Ok(Listed(operations::freshness(&app.store, &query).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MailboxParameters {
    /// At most so many jobs.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// What waits for an organization
///
/// The jobs in its mailbox, in the order in which they are worked off, and whether it is paused.
#[utoipa::path(
    get,
    path = "/organizations/{organization_id}/mailbox",
    operation_id = "show_mailbox",
    tag = "organizations",
    params(("organization_id" = String, Path, description = "The organization."), MailboxParameters),
    responses((status = 200, description = "The mailbox.", body = Mailbox), Refused, NotFound)
)]
async fn mailbox(
    State(app): State<App>,
    InPath(organization_id): InPath<String>,
    Query(parameters): Query<MailboxParameters>,
) -> Result<Json<Mailbox>, Problem> {
    Ok(Json(operations::mailbox(&app.store, &organization_id, parameters.limit.0).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExplainParameters {
    /// The category.
    #[param(required = true, value_type = String)]
    category: Option<String>,
    /// The key; without it, how the category stands.
    key: Option<String>,
    /// At most so much of what has named it, of the upstreams, and of what differs.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Why an organization has a setting, or lacks it, or may not edit it
#[utoipa::path(
    get,
    path = "/organizations/{organization_id}/explain",
    operation_id = "explain",
    tag = "organizations",
    params(("organization_id" = String, Path, description = "The organization."), ExplainParameters),
    responses((status = 200, description = "The explanation.", body = Explanation), Refused, NotFound)
)]
async fn explain(
    State(app): State<App>,
    InPath(organization_id): InPath<String>,
    Query(parameters): Query<ExplainParameters>,
) -> Result<Json<Explanation>, Problem> {
    let ExplainParameters { category, key, limit: Bounded(limit) } = parameters;
    let catalogue = &app.config.catalogue;
    let Some(category) = category else {
        let names: Vec<&str> = catalogue.iter().map(|(_, category)| &*category.name).collect();
        let detail = format!("category is missing; expected one of: {}", names.join(", "));
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed-query", detail));
    };
    let explanation =
        operations::explain(&app.store, catalogue, &organization_id, &category, key.as_deref(), limit)
            .await?;
    Ok(Json(explanation))
}
