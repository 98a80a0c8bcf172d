//! Logging in with an access token, and out.

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::fields::{Form, Query};
use super::layout;
use crate::http::App;
use crate::http::access::{self, COOKIE};

/// How long a browser keeps the token, in seconds.
const SECONDS: u32 = 12 * 60 * 60;

pub(super) async fn form(State(app): State<App>, headers: HeaderMap, Query(query): Query) -> Response {
    let next = local(query.get("next"));
    if access::caller(&app, &headers).is_ok() {
        return Redirect::to(next).into_response();
    }
    page(next, None).into_response()
}

pub(super) async fn login(State(app): State<App>, headers: HeaderMap, Form(form): Form) -> Response {
    let next = local(form.get("next"));
    let token = form.get("token").unwrap_or_default();
    // What stands in a cookie as it is.
    let fits = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte));
    match app.config.http.access_tokens.find(token) {
        Some(known) if fits => {
            tracing::info!(name = known.name, "logged in");
            ([(SET_COOKIE, cookie(token, SECONDS, &headers))], Redirect::to(next)).into_response()
        }
        _ => {
            let wrong = "That is no token that is known here.";
            (StatusCode::UNAUTHORIZED, page(next, Some(wrong))).into_response()
        }
    }
}

pub(super) async fn logout(headers: HeaderMap) -> Response {
    ([(SET_COOKIE, cookie("", 0, &headers))], Redirect::to("/login")).into_response()
}

fn cookie(token: &str, seconds: u32, headers: &HeaderMap) -> String {
    let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    let is_https =
        proto.is_some_and(|proto| proto.split(',').next().is_some_and(|first| first.trim() == "https"));
    let secure = if is_https { "; Secure" } else { "" };
    format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}")
}

fn page(next: &str, wrong: Option<&str>) -> Markup {
    layout::bare(
        "Log in",
        &html! {
            p.lead { "Expected: an access token of this service." }
            form.stack method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                @if let Some(wrong) = wrong { p.error #wrong role="alert" { (wrong) } }
                div.field {
                    label for="token" { "Access token" }
                    input #token type="password" name="token" required autocomplete="current-password" autofocus
                        aria-describedby=[wrong.map(|_| "wrong")] spellcheck="false";
                }
                div.actions { button.primary type="submit" { "Log in" } }
            }
            p.note { "An administrator makes one by " code { "channel-sync token NAME --role ROLE" } "." }
        },
    )
}

/// A page of ours, or else the overview: nobody is sent to another site.
fn local(next: Option<&str>) -> &str {
    let is_local = |next: &&str| {
        next.starts_with('/')
            && !next.starts_with("//")
            && !next.contains('\\')
            && !next.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    next.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(local(Some("/events?state=failed")), "/events?state=failed");
        for next in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nb",
            "\\\\evil",
            "javascript:x",
            "/\t/evil",
        ] {
            assert_eq!(local(Some(next)), "/", "{next}");
        }
        assert_eq!(local(None), "/");
    }
}
