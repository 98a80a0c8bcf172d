//! Messages that were not accepted.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Listed;
use super::answers::{BodyRefused, Conflict, Forbidden, NotFound, Refused};
use super::extract::{
    Body, Bounded, InPath, Limit, Nothing, Query, named, number, object, reason, unprocessable,
};
use super::jobs::Discarded;
use crate::contract::RejectionCode;
use crate::http::App;
use crate::http::access;
use crate::http::problem::Problem;
use crate::operations::{
    self, Operator, Page, RejectedDetail, RejectedQuery, RejectedReplay, RejectedRow, RejectedSelection,
    RejectedState,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(rejected_messages))
        .routes(routes!(rejected_message))
        .routes(routes!(replay))
        .routes(routes!(discard))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RejectedParameters {
    /// With this code.
    #[serde(default, deserialize_with = "named")]
    #[param(inline)]
    code: Option<RejectionCode>,
    /// In this state.
    #[param(inline)]
    state: Option<RejectedState>,
    /// Where the page before said that the list goes on.
    #[serde(default, deserialize_with = "number")]
    after: Option<i64>,
    /// At most so many.
    #[serde(default)]
    #[param(inline, required = false)]
    limit: Limit,
}

/// Rejected messages, the newest first
#[utoipa::path(
    get,
    path = "/rejected-messages",
    operation_id = "list_rejected_messages",
    tag = "rejected messages",
    params(RejectedParameters),
    responses(
        (status = 200, description = "A page of rejected messages.", body = Page<RejectedRow>),
        Refused,
    )
)]
async fn rejected_messages(
    State(app): State<App>,
    Query(parameters): Query<RejectedParameters>,
) -> Result<Listed<RejectedRow>, Problem> {
    let RejectedParameters { code, state, after, limit: Bounded(limit) } = parameters;
    let query = RejectedQuery { code, state, after, limit };
    Ok(Listed(operations::rejected(&app.store, &query).await?))
}

/// One rejected message, whole
///
/// Its body is there as text where it is UTF-8, else in hexadecimal digits.
#[utoipa::path(
    get,
    path = "/rejected-messages/{rejected_id}",
    operation_id = "show_rejected_message",
    tag = "rejected messages",
    params(("rejected_id" = i64, Path, description = "The message's number.")),
    responses((status = 200, description = "The message.", body = RejectedDetail), Refused, NotFound)
)]
async fn rejected_message(
    State(app): State<App>,
    InPath(rejected_id): InPath<i64>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<RejectedDetail>, Problem> {
    Ok(Json(operations::rejected_message(&app.store, rejected_id).await?))
}

/// Rejected messages that something is to be done about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectedChoice {
    /// Which ones, of those that nobody has dealt with.
    #[serde(default, deserialize_with = "object")]
    messages: RejectedSelection,
    /// All of them: where nothing else is said of which.
    #[serde(default)]
    all: bool,
    /// Why: it is written down. Needed where something is done.
    reason: Option<String>,
    /// Only show what would be done.
    #[serde(default)]
    dry_run: bool,
}

impl RejectedChoice {
    fn check(&self) -> Result<(), Problem> {
        match (self.all, self.messages == RejectedSelection::default()) {
            (false, true) => {
                Err(unprocessable("messages says nothing; expected which ones, or \"all\": true"))
            }
            (true, false) => Err(unprocessable("both messages and all are there; expected one of them")),
            _ => Ok(()),
        }
    }
}

/// Take rejected messages in after all
///
/// Each at its old place in the order of events. What is refused again stays, with what is wrong with it now.
#[utoipa::path(
    post,
    path = "/rejected-messages/replay",
    operation_id = "replay_rejected_messages",
    tag = "rejected messages",
    request_body = RejectedChoice,
    responses(
        (status = 200, description = "What became of them, or would.", body = RejectedReplay),
        Refused,
        Forbidden,
        BodyRefused,
        NotFound,
        Conflict,
    )
)]
async fn replay(
    State(app): State<App>,
    by: access::Operator,
    Query(Nothing {}): Query<Nothing>,
    Body(choice): Body<RejectedChoice>,
) -> Result<Json<RejectedReplay>, Problem> {
    choice.check()?;
    let (catalogue, limits, messages) = (&app.config.catalogue, app.config.ingest.limits(), &choice.messages);
    if choice.dry_run {
        let preview = operations::preview_rejected(&app.store, catalogue, &limits, messages).await?;
        return Ok(Json(preview));
    }
    let operator = Operator { name: &by.name, reason: reason(choice.reason.as_deref())? };
    let replayed =
        operations::replay_rejected(&app.store, catalogue, &limits, messages, None, operator).await?;
    Ok(Json(replayed))
}

/// What became of messages that were to be given up: how many were chosen, in a dry run; else how many were given up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum RejectedDiscarded {
    Chosen(ChosenMessages),
    Discarded(Discarded),
}

/// How many were chosen.
#[derive(Debug, Serialize, ToSchema)]
struct ChosenMessages {
    /// How many.
    messages: i64,
}

/// Give rejected messages up
#[utoipa::path(
    post,
    path = "/rejected-messages/discard",
    operation_id = "discard_rejected_messages",
    tag = "rejected messages",
    request_body = RejectedChoice,
    responses(
        (status = 200, description = "What was done, or would be.", body = RejectedDiscarded),
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
    Body(choice): Body<RejectedChoice>,
) -> Result<Json<RejectedDiscarded>, Problem> {
    choice.check()?;
    let messages = &choice.messages;
    if choice.dry_run {
        let (catalogue, limits) = (&app.config.catalogue, app.config.ingest.limits());
        let preview = operations::preview_rejected(&app.store, catalogue, &limits, messages).await?;
        return Ok(Json(RejectedDiscarded::Chosen(ChosenMessages { messages: preview.messages() })));
    }
    let operator = Operator { name: &by.name, reason: reason(choice.reason.as_deref())? };
    let discarded = operations::discard_rejected(&app.store, messages, None, operator).await?;
    Ok(Json(RejectedDiscarded::Discarded(Discarded { discarded })))
}
