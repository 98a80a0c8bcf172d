//! Errors as problem details: `application/problem+json`, RFC 9457.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Denied;
use crate::contract::short;
use crate::harmless::harmless;
use crate::operations::OperationError;
use crate::store::StoreError;

/// After how many seconds somebody may ask again, where something is to be had later.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request could not be answered (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: a name that stays the same, below `urn:channel-sync:problem:`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// What was wrong with this request, and what was expected.
    pub detail: String,
}

impl Problem {
    /// What a response with a problem has for its content type.
    pub const CONTENT_TYPE: &str = "application/problem+json";

    /// A problem of this kind, such as `unknown-job`.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:channel-sync:problem:{kind}"),
            title: kind.replace('-', " "),
            status: status.as_u16(),
            // What was wrong is often quoted, and may be of any length and hold anything.
            detail: harmless(&short(&detail.into())),
        }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Self::CONTENT_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"channel-sync\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, kind) = match denied {
            Denied::Unknown => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Denied::Viewer => (StatusCode::FORBIDDEN, "forbidden"),
            Denied::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin"),
            Denied::ForeignHost => (StatusCode::MISDIRECTED_REQUEST, "foreign-host"),
        };
        Self::new(status, kind, denied.to_string())
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        use OperationError as E;
        let (status, kind) = match &error {
            E::UnknownOrganization { .. } => (StatusCode::NOT_FOUND, "unknown-organization"),
            E::UnknownEvent { .. } => (StatusCode::NOT_FOUND, "unknown-event"),
            E::UnknownCategory { .. } => (StatusCode::NOT_FOUND, "unknown-category"),
            E::NotKeptInSync { .. } => (StatusCode::BAD_REQUEST, "not-kept-in-sync"),
            E::UnknownJob(_) => (StatusCode::NOT_FOUND, "unknown-job"),
            E::DroppedJob { .. } => (StatusCode::NOT_FOUND, "dropped-job"),
            E::UnknownRejected(_) => (StatusCode::NOT_FOUND, "unknown-rejected-message"),
            E::UnknownReplay(_) => (StatusCode::NOT_FOUND, "unknown-replay"),
            E::AmbiguousEvent { .. } => (StatusCode::CONFLICT, "ambiguous-event"),
            E::AlreadySettled { .. } => (StatusCode::CONFLICT, "already-settled"),
            E::CatalogueBehind(_) => (StatusCode::CONFLICT, "catalogue-behind"),
            E::NothingToRestore { .. } => (StatusCode::CONFLICT, "nothing-to-restore"),
            E::NothingToReplay => (StatusCode::CONFLICT, "nothing-to-replay"),
            E::NothingToDiscard => (StatusCode::CONFLICT, "nothing-to-discard"),
            E::ReplayNotRunning { .. } => (StatusCode::CONFLICT, "replay-not-running"),
            E::MalformedCursor(_) => (StatusCode::BAD_REQUEST, "malformed-cursor"),
            E::Store(store) => {
                // A value that it cannot hold, such as U+0000 or a time before its calendar: class 22.
                if store.sql_state().is_some_and(|code| code.starts_with("22")) {
                    let detail = format!("a value of the request cannot be asked for: {store}");
                    return Self::new(StatusCode::BAD_REQUEST, "impossible-value", detail);
                }
                // What the database says may name hosts and users: it goes to the log.
                tracing::warn!(error = %store, "answer a request");
                let detail = "the database could not be asked; the service's log says why";
                let (status, kind) = if store.is_transient() || matches!(store, StoreError::Refused(_)) {
                    (StatusCode::SERVICE_UNAVAILABLE, "database-unavailable")
                } else {
                    (StatusCode::INTERNAL_SERVER_ERROR, "database-failed")
                };
                return Self::new(status, kind, detail);
            }
        };
        Self::new(status, kind, error.to_string())
    }
}
