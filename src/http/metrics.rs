//! `/metrics` for Prometheus, and what is counted of HTTP itself.
//!
//! A scrape reads memory and asks neither the database nor the broker: it answers while both are down, which is when
//! it is needed most.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;
use super::access::Caller;
use super::problem::Problem;
use crate::metrics::Format;

/// The routes.
pub(super) fn router() -> Router<App> {
    Router::new().route("/metrics", get(show))
}

async fn show(_: Caller, State(app): State<App>, headers: HeaderMap) -> Response {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = match accepted.any(|accepted| accepted.contains("application/openmetrics-text")) {
        true => Format::OpenMetrics,
        false => Format::Prometheus,
    };
    match app.metrics.encode(format) {
        Ok(text) => ([(CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => {
            let detail = format!("the metrics could not be written: {error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics-unavailable", detail).into_response()
        }
    }
}

/// Counts a request by the route that it took, never by its path.
pub(super) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.http.answered(method, route, response.status().as_u16(), began.elapsed());
    response
}

/// The method, if it is one that HTTP knows: anybody may send any word.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
