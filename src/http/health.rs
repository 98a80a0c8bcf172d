//! Whether the service lives, and whether it is ready.
//!
//! `/livez` answers as long as the process does. `/readyz` answers 200 while the broker's link is up and the
//! database answers, and 503 with what is wrong otherwise.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::App;
use crate::broker::LinkState;

/// How long `/readyz` waits for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(2);

/// The routes.
pub(super) fn router() -> Router<App> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz))
}

async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

async fn readyz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let database = match tokio::time::timeout(DATABASE_WAIT, app.service_store.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DATABASE_WAIT.as_secs())),
    };
    let broker = match &*app.link.borrow() {
        LinkState::Up { .. } => Ok(()),
        link => Err(link.reason().unwrap_or_else(|| "not connected".to_owned())),
    };
    let ready = database.is_ok() && broker.is_ok();
    let told = |part: Result<(), String>| match part {
        Ok(()) => json!({ "status": "up" }),
        Err(reason) => json!({ "status": "down", "reason": reason }),
    };
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "broker": told(broker),
        "database": told(database),
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}
