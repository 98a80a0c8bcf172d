//! The API below `/api/v1`: what `operations` can tell and do, as JSON.
//!
//! A route takes a request apart, calls one operation, and returns its struct: the same as the command line's
//! `--json`. The OpenAPI document is made of the routes themselves. What always holds: whatever goes wrong is a problem
//! (RFC 9457); nothing is answered without a known token, where there are tokens, but the document; what changes
//! something needs an operator and is written down with the operator's name; a list has at most
//! [`LIMIT_MAX`](crate::operations::LIMIT_MAX) rows and says where it goes on, by `next` and by a `Link`.
//!
//! | module | has the routes of |
//! |---|---|
//! | `status` | how things stand |
//! | `organizations` | organizations, with settings, partnerships, mailbox, explain; partnerships |
//! | `events` | events |
//! | `jobs` | jobs, and discarding them |
//! | `replays` | replays of jobs |
//! | `rejected` | rejected messages, replaying and discarding them |
//! | `pauses` | pauses |
//! | `actions` | what operators did |
//! | `preview` | what events would do |
//! | `verify` | whether partners have what their upstreams have, and putting that right |
//!
//! The figures of the overview, `/overview` and `/live`, stand in `http::live`: pages show them as well.
//!
//! `extract` takes requests apart, `answers` has what is said of answers in the document.

mod actions;
pub(super) mod answers;
mod events;
pub(super) mod extract;
mod jobs;
mod organizations;
mod pauses;
mod preview;
mod rejected;
mod replays;
mod status;
mod verify;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use super::App;
use super::access::{self, COOKIE};
use super::live;
use super::problem::Problem;
use crate::operations::Page;

/// Where the API is.
const BASE: &str = "/api/v1";

/// The largest body of a request that changes something.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What the document says besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "channel-sync",
        description = "Settings of channel partners, kept in step with their channel managers: what came, what became \
                       of it, and what an operator can do. Whatever goes wrong is a problem (RFC 9457). Lists go on \
                       at `next`. Where no access tokens are configured, none is needed, and everybody who reaches \
                       the port is an operator."
    ),
    security(("bearer" = []), ("cookie" = [])),
    components(schemas(Problem)),
    modifiers(&SecuritySchemes),
)]
struct Document;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let cookie = ApiKeyValue::with_description(COOKIE, "Set by the login page.");
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// The routes, and the document that describes them.
fn parts() -> (Router<App>, utoipa::openapi::OpenApi) {
    let routes = OpenApiRouter::new()
        .merge(status::routes())
        .merge(organizations::routes())
        .merge(events::routes())
        .merge(jobs::routes())
        .merge(replays::routes())
        .merge(rejected::routes())
        .merge(pauses::routes())
        .merge(actions::routes())
        .merge(verify::routes())
        .merge(live::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(preview::routes());
    OpenApiRouter::with_openapi(Document::openapi()).nest(BASE, routes).split_for_parts()
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    parts().1
}

/// The routes.
pub(super) fn router(app: &App) -> Router<App> {
    let (routes, document) = parts();
    // Written once: the document is the same for everybody, and as a tree it would be copied for each of them.
    let document = document.to_json().map(Bytes::from).map_err(|error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "document-unavailable", error.to_string())
    });
    let headers = [(CONTENT_TYPE, "application/json")];
    routes
        .route_layer(from_fn_with_state(app.clone(), access::known))
        .route(&format!("{BASE}/openapi.json"), get(|| async move { document.map(|text| (headers, text)) }))
}

/// A page of a list, with a link to the next one.
struct Listed<T>(Page<T>);

/// Where the list that a response is part of goes on.
#[derive(Clone)]
struct NextPage(String);

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let next = self.0.next.clone().map(NextPage);
        let mut response = Json(self.0).into_response();
        if let Some(next) = next {
            response.extensions_mut().insert(next);
        }
        response
    }
}

/// Finishes what is answered below `/api`: lists get their links, and whatever went wrong outside of a route is a
/// problem too.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    if uri.path() != "/api" && !uri.path().starts_with("/api/") {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if let Some(NextPage(cursor)) = response.extensions_mut().remove()
        && let Ok(link) = HeaderValue::from_str(&link(&uri, &cursor))
    {
        response.headers_mut().insert(LINK, link);
    }
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_problem(response.headers()) {
        return response;
    }
    let path = uri.path();
    let (kind, detail) = match status {
        StatusCode::NOT_FOUND => {
            ("unknown-path", format!("there is nothing at {path}; {BASE}/openapi.json says what there is"))
        }
        StatusCode::METHOD_NOT_ALLOWED => (
            "method-not-allowed",
            format!("{path} does not take {method}; the header Allow says what it takes"),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", extract::too_large(super::BODY_BYTES_MAX)),
        status => ("refused", format!("the request was refused with {status}")),
    };
    Problem::new(status, kind, detail).into_response()
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value == Problem::CONTENT_TYPE)
}

/// The address of the page after this one.
fn link(uri: &Uri, cursor: &str) -> String {
    let query = uri.query().unwrap_or_default();
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "after"));
    next.append_pair("after", cursor);
    format!("<{}?{}>; rel=\"next\"", uri.path(), next.finish())
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn the_next_page_is_asked_for_as_this_one_was() {
        let link = |uri: &str, cursor| link(&uri.parse().unwrap(), cursor);
        assert_eq!(link("/a", "17-3"), "</a?after=17-3>; rel=\"next\"");
        assert_eq!(
            link("/a%20b?limit=2&after=%5B%5D&x=%26", "[\"a b\",\">;\"]"),
            "</a%20b?limit=2&x=%26&after=%5B%22a+b%22%2C%22%3E%3B%22%5D>; rel=\"next\""
        );
    }
}
