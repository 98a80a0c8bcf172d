//! The operators' pages: what stands in [`operations`](crate::operations), for people in a browser.
//!
//! Handlers read fields, call an operation and show what it returns. What always holds: every page works without its
//! script, and every action is a form that is posted and leads to another page; whoever is a viewer is offered no
//! action and refused any; what came in from outside is escaped, and cannot turn or hide text; nothing is taken from
//! another site; an error is a page that says what was wrong, with the right status.
//!
//! | module | shows |
//! |---|---|
//! | `overview` | what needs attention, figures, the last hour |
//! | `events`, `jobs` | what came in, and what became of it |
//! | `failures`, `replays` | errors, and what is done about the jobs that ran into them |
//! | `rejected` | messages that were not accepted |
//! | `organizations` | partnerships, settings, a mailbox |
//! | `explain`, `preview` | why something is so, and what would be |
//! | `freshness`, `verify` | how far behind partners are, and whether they have what they should |
//! | `restore` | bringing back what a job displaced |
//! | `actions` | who did what, and why |
//! | `login`, `find` | the ways in |
//! | `layout`, `components`, `assets` | what all pages are made of |
//! | `fields`, `visitor`, `refusal` | what is asked, by whom, and why it is refused |

mod actions;
mod assets;
mod components;
mod events;
mod explain;
mod failures;
mod fields;
mod find;
mod freshness;
mod jobs;
mod layout;
mod login;
mod organizations;
mod overview;
mod preview;
mod refusal;
mod rejected;
mod replays;
mod restore;
mod verify;
mod visitor;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use self::refusal::Refusal;
use super::App;

/// The routes.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(overview::show))
        .route("/events", get(events::list))
        .route("/event", get(events::show))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{key}", get(jobs::show))
        .route("/jobs/{key}/restore", get(restore::choose).post(restore::restore))
        .route("/failures", get(failures::show))
        .route("/jobs/replay", get(replays::choose_replay).post(replays::replay))
        .route("/jobs/discard", get(replays::choose_discard).post(replays::discard))
        .route("/replays", get(replays::list))
        .route("/replays/{replay}", get(replays::show))
        .route("/replays/{replay}/cancel", post(replays::cancel))
        .route("/rejected", get(rejected::list))
        .route("/rejected/{id}", get(rejected::show))
        .route("/rejected/replay", get(rejected::choose_replay).post(rejected::replay))
        .route("/rejected/discard", get(rejected::choose_discard).post(rejected::discard))
        .route("/organizations", get(organizations::list))
        .route("/organization", get(organizations::show))
        .route("/pause", post(organizations::pause))
        .route("/resume", post(organizations::resume))
        .route("/explain", get(explain::show))
        // An event may be as large as a body may be.
        .route("/preview", get(preview::form).post(preview::show).layer(DefaultBodyLimit::disable()))
        .route("/freshness", get(freshness::list))
        .route("/verify", get(verify::show).post(verify::repair))
        .route("/actions", get(actions::list))
        .route("/find", get(find::find))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/assets/{name}", get(assets::serve))
}

/// That an address leads nowhere.
pub(super) async fn no_such_page() -> Response {
    Refusal::no_such_page().into_response()
}
