//! Turns for what may take long over HTTP: few at one time, and none for long.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::problem::Problem;

/// How long somebody waits for their turn.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// How long something may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The turns for one thing that may take long.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    semaphore: Arc<Semaphore>,
    turns: usize,
    /// What is done, and the command that does the same and takes the time that it needs.
    what: &'static str,
}

impl Turns {
    /// As many turns at one time.
    pub(super) fn new(turns: usize, what: &'static str) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(turns)), turns, what }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// 503 where others are at it.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let Ok(Ok(turn)) = timeout(TURN_WAIT, self.semaphore.acquire()).await else {
            let detail = format!("the service does {} {} already; try again later", self.turns, self.what);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail));
        };
        Ok(turn)
    }

    /// Does something within the time that it may take.
    ///
    /// # Errors
    /// 503 where it takes too long, or what it fails of.
    pub(super) async fn within<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
    where
        Problem: From<E>,
    {
        timeout(TIME_MAX, work).await.map_or_else(|_| Err(self.too_slow()), |done| Ok(done?))
    }

    fn too_slow(&self) -> Problem {
        let (seconds, what) = (TIME_MAX.as_secs(), self.what);
        let detail = format!(
            "the {what} took more than {seconds} s; `channel-sync {what}` takes the time that it needs"
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", detail)
    }
}
