//! Who looks at a page: somebody who may, or else who is sent to the login page.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::Fields;
use super::refusal::Refusal;
use crate::config::Role;
use crate::http::App;
use crate::http::access::{self, Caller, Denied};
use crate::http::live::Live;
use crate::operations::Operator;

/// Somebody who may see everything.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether there are tokens, and so a login.
    pub(super) has_login: bool,
    /// What waits for somebody to look at it, as far as is known.
    pub(super) attention: Attention,
}

/// What waits for somebody to look at it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attention {
    pub(super) failed: i64,
    pub(super) rejected: i64,
    pub(super) replays: i64,
}

impl Visitor {
    /// Whether they may change something.
    pub(super) fn may_act(&self) -> bool {
        self.role == Role::Operator
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Caller { name, role } = access::caller(app, &parts.headers).map_err(|denied| match denied {
            Denied::Unknown => to_login(parts),
            denied => Refusal::from(denied).into_response(),
        })?;
        let figures = parts.extensions.get::<Live>().and_then(Live::last);
        let attention = figures.map_or_else(Attention::default, |figures| Attention {
            failed: figures.overview.status.jobs.failed,
            rejected: figures.overview.status.rejected.iter().map(|row| row.messages).sum(),
            replays: figures.overview.replays.len() as i64,
        });
        let has_login = !app.config.http.access_tokens.is_empty();
        Ok(Self { name, role, has_login, attention })
    }
}

/// Somebody who may change something.
#[derive(Debug, Clone)]
pub(super) struct Actor(pub(super) Visitor);

impl Actor {
    /// Who does something, and why.
    ///
    /// # Errors
    /// Where no reason was given.
    pub(super) fn operator<'a>(&'a self, fields: &'a Fields) -> Result<Operator<'a>, Refusal> {
        let expected = "reason: expected why this is done; it is written down with what was done";
        let reason = fields.get("reason").ok_or_else(|| Refusal::bad_request(expected))?;
        if reason.len() > REASON_BYTES_MAX {
            return Err(Refusal::bad_request(format!("reason: expected at most {REASON_BYTES_MAX} bytes")));
        }
        if reason.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t') {
            return Err(Refusal::bad_request("reason: expected text without control characters"));
        }
        Ok(Operator { name: &self.0.name, reason })
    }
}

/// The longest reason.
const REASON_BYTES_MAX: usize = 1000;

impl FromRequestParts<App> for Actor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        if visitor.may_act() {
            Ok(Self(visitor))
        } else {
            Err(Refusal::viewer(&visitor.name).into_response())
        }
    }
}

/// The login page, and back from there; what was to be changed is not changed after the login.
fn to_login(parts: &Parts) -> Response {
    let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
    let next = if parts.method == Method::GET { here } else { "/" };
    let fields = Fields::of([("next".to_owned(), next.to_owned())].into_iter());
    Redirect::to(&fields.address("/login")).into_response()
}
