//! Sends the jobs of replays, bit by bit: each goes back into its organization's mailbox as a letter.
//!
//! Any number of replayers, in any number of processes, work side by side; one at a time on a replay. How far a
//! replay is, and when it may go on, stands in its row: nothing is kept here.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::delay::Delays;
use crate::metrics::ReplayerMetrics;
use crate::store::replay::Sent;
use crate::store::{Store, StoreError};

/// The most jobs that are sent in one transaction, while the shard is kept from the executors.
const JOBS_MAX: i64 = 500;

/// Sends the jobs of replays.
#[derive(Debug)]
pub struct Replayer {
    store: Store,
    metrics: ReplayerMetrics,
}

impl Replayer {
    /// A replayer on this database.
    pub fn new(store: Store) -> Self {
        Self { store, metrics: ReplayerMetrics::default() }
    }

    /// Counts by these from now on.
    #[must_use]
    pub fn measured_by(self, metrics: ReplayerMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Sends the next jobs of a replay that may go on; none where there is no such replay.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then nothing was sent.
    pub async fn step(&self) -> Result<Option<Sent>, StoreError> {
        let sent = self.store.send_replay(JOBS_MAX).await?;
        if let Some(Sent { replay_no, sent, refused, done }) = &sent {
            tracing::debug!(replay_no, sent, refused, "sent jobs of a replay");
            self.metrics.sent(*sent, *refused);
            if *done {
                tracing::info!(replay_no, "all jobs of a replay are sent");
            }
        }
        Ok(sent)
    }

    /// Sends until `stop` is cancelled: at once when `wake` is notified, when a replay's rate allows, and looks
    /// every `poll` besides. After trouble it tries again with growing pauses.
    pub async fn work(&self, wake: &Notify, poll: Duration, mut trouble: Delays, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Asked for before the step: what is notified meanwhile is not missed.
            let notified = wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let next = match self.step().await {
                Ok(Some(_)) => {
                    trouble.reset();
                    continue;
                }
                Ok(None) => self.store.replay_due().await,
                Err(error) => Err(error),
            };
            let pause = match next {
                Ok(due) => {
                    trouble.reset();
                    due.map_or(poll, |due| due.min(poll)).max(PAUSE_MIN)
                }
                Err(error) => {
                    let pause = trouble.next_delay();
                    tracing::warn!(%error, transient = error.is_transient(), ?pause, "send jobs of a replay");
                    pause
                }
            };
            let paused = async {
                // Busy executors wake everybody all the time.
                tokio::time::sleep(PAUSE_MIN).await;
                tokio::select! {
                    () = &mut notified => {}
                    () = tokio::time::sleep(pause - PAUSE_MIN.min(pause)) => {}
                }
            };
            tokio::select! {
                () = paused => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// How soon to look again where nothing could be sent.
const PAUSE_MIN: Duration = Duration::from_millis(100);
