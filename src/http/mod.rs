//! HTTP: the operators' pages, the API, metrics and health, over one listener.
//!
//! Whatever can be asked or done stands in [`operations`](crate::operations); here are only addresses, forms
//! and representations. What always holds: `/livez`, `/readyz`, the OpenAPI document, the login page and its style are open
//! to all; everything else is for those who have a token ([`access`]), where there are tokens; nothing that changes something can be sent from a page
//! of another origin; a body has at most [`BODY_BYTES_MAX`]; nothing is taken from another site.
//!
//! | module | answers |
//! |---|---|
//! | `health` | `/livez`, `/readyz` |
//! | [`api`] | `/api/v1/…` |
//! | `pages` | `/` and what is reached from there: the operators' pages |
//! | `live` | `/api/v1/overview`, and `/api/v1/live`: the same figures as server-sent events |
//! | `metrics` | `/metrics`, and what is counted of requests |
//! | `access` | who asks, and what they may do |
//! | `connections` | how many there are, and how long each may keep us waiting |
//! | `problem` | errors as problem details (RFC 9457) |
//! | `previews`, `verifications` | what may take long: few at one time, and none for long (`turns`) |
//! | `queue` | how the queue stands, without asking the broker each time |

pub mod access;
pub mod api;
mod connections;
mod health;
mod live;
mod metrics;
mod pages;
mod previews;
pub mod problem;
mod queue;
mod turns;
mod verifications;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use self::connections::Connections;
pub use self::connections::{HEAD_BYTES_MAX, Timeouts};
use self::live::Live;
pub use self::previews::{Previews, Shown};
pub use self::queue::QueueLook;
pub use self::verifications::{Repaired, Verifications};
use crate::broker::{Link, LinkState};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::Store;

/// The largest body of a request: an event to be previewed, of the largest size that can be configured.
pub const BODY_BYTES_MAX: usize = 20 * 1024 * 1024;

/// How long requests in hand may take once the service stops.
const GRACE: Duration = Duration::from_secs(2);

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct App {
    /// The database, with connections of its own: nobody who looks at pages keeps an executor waiting.
    pub store: Store,
    /// The database by the service's own connections, for health.
    pub service_store: Store,
    /// The state of the broker's link.
    pub link: watch::Receiver<LinkState>,
    /// How the queue stands.
    pub queue: QueueLook,
    /// The turns for previews.
    pub previews: Previews,
    /// The turns for verifications.
    pub verifications: Verifications,
    /// What the service counts and measures.
    pub metrics: Arc<Metrics>,
    /// How long clients are waited for.
    pub timeouts: Timeouts,
    /// The configuration.
    pub config: Arc<Config>,
    /// Cancelled when the service stops: what would go on without end ends then.
    pub stop: CancellationToken,
}

impl App {
    /// As the service has it.
    pub fn new(
        config: &Config,
        store: Store,
        service_store: Store,
        link: &Link,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            store,
            service_store,
            link: link.state(),
            queue: QueueLook::new(&config.broker, link.lookout()),
            previews: Previews::default(),
            verifications: Verifications::default(),
            metrics,
            timeouts: Timeouts::default(),
            config: Arc::new(config.clone()),
            stop,
        }
    }
}

/// The routes.
fn router(app: App) -> Router {
    let header = |name, value| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    // No script but our own, no frame around us, no guessing of types, nothing told to other sites.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    Router::new()
        .merge(health::router())
        .merge(api::router(&app))
        .merge(metrics::router())
        .merge(pages::router())
        .fallback(pages::no_such_page)
        .layer(from_fn(access::same_origin))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        // One layer, the outermost part first: each layer is kept, and copied for a request, once for every route.
        .layer((
            from_fn_with_state(app.clone(), metrics::measure),
            header("cache-control", "no-store"),
            header("referrer-policy", "same-origin"),
            header("x-frame-options", "DENY"),
            header("x-content-type-options", "nosniff"),
            header("content-security-policy", policy),
            from_fn(api::finish),
        ))
        .with_state(app)
}

/// Answers HTTP.
#[derive(Debug, Clone)]
pub struct Server {
    connections: Connections,
    connections_max: usize,
    live: Live,
    stop: CancellationToken,
}

impl Server {
    /// Ready to answer.
    pub fn new(app: App) -> Self {
        let live = Live::new(app.clone());
        let (timeouts, stop) = (app.timeouts, app.stop.clone());
        let connections_max = app.config.http.connections_max;
        let router = router(app).layer(Extension(live.clone()));
        Self { connections: Connections::new(router, timeouts), connections_max, live, stop }
    }

    /// Serves until the service stops, and requests in hand for a moment longer.
    pub async fn serve(self, listener: TcpListener) {
        let Self { connections, connections_max, live, stop } = self;
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = connections.serve(listener, connections_max, stop.clone()) => {}
            () = too_late => {}
            () = live.work() => {}
        }
    }

    /// Answers the requests of one connection that came by another way than a listener, in a test say.
    pub async fn answer(&self, stream: impl AsyncRead + AsyncWrite + Send) {
        self.connections.answer(stream, &self.stop).await;
    }
}
