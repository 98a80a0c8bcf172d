//! The HTTP listener: whether the service lives, and whether it is ready.
//!
//! `/livez` answers as long as the process does. `/readyz` answers 200 while the broker's link is up and the
//! database answers, and 503 with what is wrong otherwise.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::LinkState;
use crate::store::Store;

/// What the listener tells of.
#[derive(Debug, Clone)]
pub struct Health {
    /// The database.
    pub store: Store,
    /// The state of the broker's link.
    pub link: watch::Receiver<LinkState>,
}

/// How long `/readyz` waits for the database.
const DATABASE_WAIT: Duration = Duration::from_secs(2);

/// The routes.
pub fn router(health: Health) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health)
}

/// Serves until `stop` is cancelled.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, router(health)).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

async fn readyz(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let database = match tokio::time::timeout(DATABASE_WAIT, health.store.ping()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DATABASE_WAIT.as_secs())),
    };
    let broker = match &*health.link.borrow() {
        LinkState::Up { .. } => Ok(()),
        LinkState::Down => Err("not connected".to_owned()),
        LinkState::Connecting { attempt, last_error } => Err(match last_error {
            Some(error) => format!("connecting, attempt {attempt}: {error}"),
            None => format!("connecting, attempt {attempt}"),
        }),
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
