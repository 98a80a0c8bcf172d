//! Style, script and icon: compiled in, and served under names that change with what they hold, so that a browser may
//! keep each for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, PreEscaped};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

const MARK: &str = include_str!("assets/mark.svg");

struct Asset {
    address: String,
    kind: &'static str,
    text: &'static str,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let asset = |name: &str, ending: &str, kind, text: &'static str| {
        let hash: String =
            Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Asset { address: format!("/assets/{name}-{hash}.{ending}"), kind, text }
    };
    [
        asset("pages", "css", "text/css; charset=utf-8", include_str!("assets/pages.css")),
        asset("pages", "js", "text/javascript; charset=utf-8", include_str!("assets/pages.js")),
        asset("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ]
});

pub(super) fn style() -> &'static str {
    &ASSETS[0].address
}

pub(super) fn script() -> &'static str {
    &ASSETS[1].address
}

pub(super) fn icon() -> &'static str {
    &ASSETS[2].address
}

/// The mark beside the name, which takes the colour of the text.
pub(super) fn mark() -> Markup {
    PreEscaped(MARK.to_owned())
}

/// One of them. Whoever may reach the login page may have it.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.address.strip_prefix("/assets/") == Some(&name));
    match found {
        Some(asset) => {
            let headers =
                [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.text).into_response()
        }
        None => Refusal::no_such_page().into_response(),
    }
}
