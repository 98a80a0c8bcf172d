//! Why a page cannot be shown or an action not be done: a page that says so, with the right status.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::components::{event_address, organization_link, text};
use super::layout;
use crate::http::access::Denied;
use crate::http::connections::TooSlow;
use crate::http::problem::Problem;
use crate::operations::OperationError;

/// A page that says what was wrong, and what was expected.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    title: String,
    detail: String,
    /// Where to go on from here.
    ways: Option<Markup>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        Self { status, title: title.to_owned(), detail: detail.into(), ways: None }
    }

    /// What was sent is not what was expected.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That could not be read", detail)
    }

    /// There is no such page.
    pub(super) fn no_such_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such page", "The address leads nowhere.")
    }

    /// What was sent has not come in time.
    pub(super) fn too_slow(error: &TooSlow) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "That took too long", sentence(&error.to_string()))
    }

    /// A viewer wants to change something.
    pub(super) fn viewer(name: &str) -> Self {
        let detail = format!(
            "You are here as {name}, a viewer: you may see everything, and change nothing. Ask an operator, or log in \
             with an operator's token."
        );
        Self::new(StatusCode::FORBIDDEN, "This is for operators", detail)
    }
}

impl From<OperationError> for Refusal {
    fn from(error: OperationError) -> Self {
        let ways = match &error {
            OperationError::UnknownOrganization { similar, .. } if !similar.is_empty() => Some(html! {
                p { "Did you mean one of these?" }
                ul.plain { @for name in similar { li { (organization_link(name)) } } }
            }),
            OperationError::AmbiguousEvent { event_id, sources } => Some(html! {
                p { "Which one is meant?" }
                ul.plain {
                    @for source in sources {
                        li { a href=(event_address(event_id, Some(source))) { (text(event_id)) " of " (text(source)) } }
                    }
                }
            }),
            OperationError::NothingToReplay | OperationError::NothingToDiscard => {
                Some(html! { p { a href="/failures" { "To the failures" } } })
            }
            _ => None,
        };
        Self { ways, ..Self::from(Problem::from(error)) }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = problem.status();
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::CONFLICT => "That cannot be done as things are",
            StatusCode::SERVICE_UNAVAILABLE => "That cannot be answered now",
            status if status.is_server_error() => "That could not be answered",
            _ => "That could not be read",
        };
        Self::new(status, title, sentence(&problem.detail))
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let problem = Problem::from(denied);
        Self::new(problem.status(), "That is not for you", sentence(&problem.detail))
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    first.chain(characters).chain(['.']).collect()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let content = html! {
            p.lead { (text(&self.detail)) }
            @if let Some(ways) = &self.ways { (ways) }
            p { a href="/" { "To the overview" } }
        };
        (self.status, layout::bare(&self.title, &content)).into_response()
    }
}
