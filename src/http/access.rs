//! Who asks, and what they may do.
//!
//! A token comes as `Authorization: Bearer …`, or from a browser in a cookie that the login page sets. Where no
//! tokens are configured, whoever reaches the port is an operator, and the listener is on loopback. A page of
//! another site in a browser on this machine reaches it too, so that requests which change something are taken
//! from our own origin only, and where there are no tokens, only by a name of this machine (DNS rebinding).

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;

use super::App;
use super::problem::Problem;
use crate::config::Role;

/// The cookie that holds a browser's token.
pub const COOKIE: &str = "channel_sync_token";

/// Who somebody is where there are no tokens.
const LOCAL: &str = "local";

/// Somebody who may at least see everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// Somebody who may change things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Who: written down with what is changed.
    pub name: String,
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token, or none that is known.
    #[error("expected an access token that is known, as `Authorization: Bearer TOKEN`")]
    Unknown,
    /// A viewer's token.
    #[error("expected an operator's token: this one is a viewer's")]
    Viewer,
    /// A page of another site has sent it.
    #[error("expected a request from this service's own pages, not from those of another site")]
    ForeignOrigin,
    /// Another host was meant.
    #[error(
        "expected this machine's name, localhost or a loopback address, as the host: without access tokens no other is served"
    )]
    ForeignHost,
}

/// Who asks.
///
/// # Errors
/// [`Denied::Unknown`], [`Denied::ForeignHost`].
pub fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Denied> {
    let tokens = &app.config.http.access_tokens;
    if tokens.is_empty() {
        return match headers.get(HOST).and_then(|host| host.to_str().ok()) {
            Some(host) if !is_this_machine(host) => Err(Denied::ForeignHost),
            _ => Ok(Caller { name: LOCAL.to_owned(), role: Role::Operator }),
        };
    }
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let token = bearer.or_else(|| Some(CookieJar::from_headers(headers).get(COOKIE)?.value().to_owned()));
    let known = token.as_deref().and_then(|token| tokens.find(token)).ok_or(Denied::Unknown)?;
    Ok(Caller { name: known.name.clone(), role: known.role })
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(caller(app, &parts.headers)?)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match caller(app, &parts.headers)? {
            Caller { role: Role::Viewer, .. } => Err(Denied::Viewer.into()),
            Caller { role: Role::Operator, name } => Ok(Self { name }),
        }
    }
}

/// Refuses who is not known.
pub(super) async fn known(State(app): State<App>, request: Request, next: Next) -> Response {
    match caller(&app, request.headers()) {
        Ok(_) => next.run(request).await,
        Err(denied) => Problem::from(denied).into_response(),
    }
}

/// Refuses what would change something and comes from a page of another origin.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe && !is_own_origin(request.headers()) {
        return Problem::from(Denied::ForeignOrigin).into_response();
    }
    next.run(request).await
}

/// Whether a request comes from our own pages, or from no page at all.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    match (text(ORIGIN.as_str()), text(HOST.as_str())) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, origin)| origin == host),
        (Some(_), None) => false,
    }
}

/// Whether a host, as requests name it, is this machine by a name that nobody else can give it.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in
            ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "example.com",
            "localhost.example.com:80",
            "10.0.0.1:8080",
            "[::2]:80",
            "",
            "127.0.0.1.example.com",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn own_and_foreign_origins() {
        let own = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_own_origin(&headers.collect())
        };
        assert!(own(&[("host", "a:1")]));
        assert!(own(&[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("host", "a:1"), ("origin", "http://b:1")]));
        assert!(!own(&[("host", "a:1"), ("origin", "null")]));
        assert!(!own(&[("host", "a:1"), ("sec-fetch-site", "cross-site")]));
        assert!(!own(&[("host", "a:1"), ("sec-fetch-site", "same-site")]));
    }
}
