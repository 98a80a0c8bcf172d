//! The figures of the overview: for pages, for whoever asks for them (`GET /api/v1/overview`), and for whoever listens to
//! them (`GET /api/v1/live`, as server-sent events).
//!
//! They are computed in one place, and only while somebody wants them: every [`PERIOD`], or less often where that takes
//! long. All who listen get the same. What always holds: a page never waits for the broker, and for the database no
//! longer than [`PAGE_WAIT`]; there are at most [`LISTENERS_MAX`] who listen; all of it ends when the service stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::{Extension, Json};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::api::answers::Refused;
use super::api::extract::{Nothing, Query};
use super::problem::Problem;
use crate::broker::LinkState;
use crate::operations::{self, Lookup, Minutes, Overview, QueueStatus};

/// How often the figures are computed.
const PERIOD: Duration = Duration::from_secs(2);

/// How many times as long as computing took is waited before it is done again.
const SHARE: u32 = 4;

/// How often the broker is asked how long the queue is: that takes a connection.
const QUEUE_PERIOD: Duration = Duration::from_secs(10);

/// How long a page waits for figures.
const PAGE_WAIT: Duration = Duration::from_secs(3);

/// How many may listen at a time.
const LISTENERS_MAX: usize = 100;

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Figures {
    /// What the database tells, and how long the queue was when the broker was last asked.
    #[serde(flatten)]
    #[schema(inline)]
    pub(super) overview: Overview,
    /// The broker's link of this process.
    pub(super) link: LinkFigures,
}

/// How the broker's link stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct LinkFigures {
    /// Whether deliveries come.
    pub(super) up: bool,
    /// Why they do not, where that is known.
    pub(super) reason: Option<String>,
}

impl LinkFigures {
    fn of(state: &LinkState) -> Self {
        Self { up: matches!(state, LinkState::Up { .. }), reason: state.reason() }
    }
}

/// The figures as they were last computed, or why they could not be.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) figures: Option<Arc<Figures>>,
    /// Whether the last attempt failed: then the figures are older.
    pub(super) failed: bool,
    /// When the attempt was over.
    at: Instant,
}

/// Where figures are computed and waited for.
#[derive(Debug, Clone)]
pub(super) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    app: App,
    known: watch::Sender<Option<Known>>,
    wanted: Notify,
    queue_wanted: Notify,
    queue: Mutex<Lookup<QueueStatus>>,
    listeners: Arc<Semaphore>,
}

impl Live {
    pub(super) fn new(app: App) -> Self {
        Self(Arc::new(Shared {
            app,
            known: watch::Sender::new(None),
            wanted: Notify::new(),
            queue_wanted: Notify::new(),
            queue: Mutex::new(Lookup::Unknown("the broker is being asked".to_owned())),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
        }))
    }

    /// What is known already.
    pub(super) fn last(&self) -> Option<Arc<Figures>> {
        self.0.known.borrow().as_ref().and_then(|known| known.figures.clone())
    }

    /// What was changed is to be seen by whoever asks from now on.
    pub(super) fn outdate(&self) {
        self.0.known.send_if_modified(|known| {
            *known = None;
            false
        });
    }

    /// Figures that are not older than [`PERIOD`]; older ones where these do not come in time; none where there are
    /// none at all.
    pub(super) async fn now(&self) -> Option<Known> {
        let mut receiver = self.0.known.subscribe();
        let current = |known: &Option<Known>| known.as_ref().is_some_and(|known| known.at.elapsed() < PERIOD);
        if !current(&receiver.borrow()) {
            self.0.wanted.notify_one();
            // In vain or not, what is there then is told.
            let _ = tokio::time::timeout(PAGE_WAIT, receiver.wait_for(current)).await;
        }
        self.0.known.borrow().clone()
    }

    /// Computes figures as long as the service runs.
    pub(super) async fn work(&self) {
        tokio::join!(self.compute(), self.ask_for_queue());
    }

    async fn compute(&self) {
        let shared = &self.0;
        let mut minutes = Minutes::default();
        loop {
            if shared.known.receiver_count() == 0 {
                shared.wanted.notified().await;
            }
            shared.queue_wanted.notify_one();
            let begun = Instant::now();
            let queue = shared.queue.lock().await.clone();
            let link = LinkFigures::of(&shared.app.link.borrow());
            let known = match operations::overview(&shared.app.store, queue, &mut minutes).await {
                Ok(overview) => Known {
                    figures: Some(Arc::new(Figures { overview, link })),
                    failed: false,
                    at: Instant::now(),
                },
                Err(error) => {
                    tracing::warn!(%error, "compute the figures of the overview");
                    Known { figures: self.last(), failed: true, at: Instant::now() }
                }
            };
            shared.known.send_replace(Some(known));
            let pause = PERIOD.max(begun.elapsed() * SHARE);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.outdated() => {}
            }
        }
    }

    /// Somebody waits for what was changed.
    async fn outdated(&self) {
        loop {
            self.0.wanted.notified().await;
            if self.0.known.borrow().is_none() {
                return;
            }
        }
    }

    /// Asks the broker now and then, beside everything else: it may take its time.
    async fn ask_for_queue(&self) {
        let shared = &self.0;
        loop {
            shared.queue_wanted.notified().await;
            let queue = shared.app.queue.look(&shared.app.link).await;
            *shared.queue.lock().await = queue;
            tokio::time::sleep(QUEUE_PERIOD).await;
        }
    }
}

/// The routes, below `/api/v1`.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(listen))
}

/// What an operator looks at first
///
/// How things stand, the last hour minute by minute, what has waited longest, the newest events, replays under way. May
/// be some seconds old: `at` says when it was so.
#[utoipa::path(
    get,
    path = "/overview",
    operation_id = "show_overview",
    tag = "status",
    responses((status = 200, description = "The figures.", body = Figures), Refused)
)]
async fn overview(
    Extension(live): Extension<Live>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Figures>, Problem> {
    match live.now().await {
        Some(Known { figures: Some(figures), failed: false, .. }) => Ok(Json(Figures::clone(&figures))),
        _ => {
            let detail = "the database could not be asked in time; the service's log says why";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database-unavailable", detail))
        }
    }
}

/// The overview's figures as they come
///
/// Server-sent events named `overview`, each with the figures as JSON, every two seconds, or less often where computing
/// them takes long. None comes while the database cannot be asked.
#[utoipa::path(
    get,
    path = "/live",
    operation_id = "listen_to_overview",
    tag = "status",
    responses(
        (
            status = 200,
            description = "Figures without end; the data of each event is as of `/overview`.",
            body = String,
            content_type = "text/event-stream",
        ),
        Refused,
    )
)]
async fn listen(
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Ok(permit) = Arc::clone(&live.0.listeners).try_acquire_owned() else {
        let detail = format!("{LISTENERS_MAX} listen already; expected fewer");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-listeners", detail));
    };
    let receiver = live.0.known.subscribe();
    live.0.wanted.notify_one();
    Ok(Sse::new(events(receiver, permit, app)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn events(
    receiver: watch::Receiver<Option<Known>>,
    permit: OwnedSemaphorePermit,
    app: App,
) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((receiver, permit, app), |(mut receiver, permit, app)| async move {
        loop {
            tokio::select! {
                () = app.stop.cancelled() => return None,
                changed = receiver.changed() => changed.ok()?,
            }
            let figures = receiver
                .borrow_and_update()
                .as_ref()
                .and_then(|known| if known.failed { None } else { known.figures.clone() });
            // Where the database cannot be asked, nothing is sent: the page says how old its figures are.
            let Some(figures) = figures else { continue };
            let event = Event::default().event("overview").json_data(&*figures).unwrap_or_else(|error| {
                tracing::error!(%error, "write figures as JSON");
                Event::default().comment("no figures")
            });
            return Some((Ok(event), (receiver, permit, app)));
        }
    })
}
