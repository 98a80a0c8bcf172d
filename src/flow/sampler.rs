//! Looks at the database and the queue every few seconds, for the metrics.
//!
//! It changes nothing, and whoever scrapes does not wait for it: it writes down what it saw, and takes down what it
//! could not see. Every replica does this; each sees the whole.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::broker::{Depth, Lookout};
use crate::metrics::{DatabaseSample, FreshnessSample, QueueSample, Sampled};
use crate::store::{Session, Store, StoreError};

/// How long it may take to see how far partnerships are: with 10 million jobs waiting, it took a second.
const FRESHNESS_TIME_MAX: Duration = Duration::from_secs(3);

/// How many times as long as that took is waited before it is done again.
const FRESHNESS_SHARE: u32 = 20;

/// Looks at the database and the queue.
#[derive(Debug)]
pub struct Sampler {
    store: Store,
    lookout: Lookout,
    sampled: Sampled,
    freshness: Mutex<Option<Looked>>,
}

/// When it was last looked how far partnerships are.
#[derive(Debug, Clone, Copy)]
struct Looked {
    /// When that was over.
    at: Instant,
    /// How long it took.
    took: Duration,
    /// How many are behind, and since when; none where it could not be seen in time.
    seen: Option<(i64, Option<Timestamp>)>,
}

impl Sampler {
    /// A sampler that writes down what it sees in `sampled`.
    pub fn new(store: Store, lookout: Lookout, sampled: Sampled) -> Self {
        Self { store, lookout, sampled, freshness: Mutex::new(None) }
    }

    /// Looks once at both, within the timeouts of the database and the broker. Returns why the database could not be
    /// looked at.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn step(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let looking_at_database = async {
            let (sample, outcome) = match self.database().await {
                Ok(sample) => (Some(sample), Ok(())),
                Err(error) => (None, Err(error)),
            };
            self.sampled.database(sample, began);
            outcome
        };
        let looking_at_queue = async {
            let depth = self.lookout.look().await;
            self.sampled
                .queue(depth.map(|Depth { messages, consumers }| QueueSample { messages, consumers }));
        };
        let (outcome, ()) = tokio::join!(looking_at_database, looking_at_queue);
        outcome
    }

    /// Looks at once, and every `interval` from then on, until `stop` is cancelled.
    pub async fn work(&self, interval: Duration, stop: CancellationToken) {
        let looking = async {
            let mut seen = true;
            loop {
                match self.step().await {
                    Ok(()) => seen = true,
                    // The loops say what is wrong with the database, again and again: once is enough here.
                    Err(error) if seen => {
                        tracing::info!(%error, "sample the database for the metrics");
                        seen = false;
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(interval).await;
            }
        };
        tokio::select! {
            () = looking => {}
            () = stop.cancelled() => {}
        }
    }

    async fn database(&self) -> Result<DatabaseSample, StoreError> {
        let mut session = self.store.session().await?;
        let mut sample = session.sample().await?;
        sample.freshness = self.freshness(&mut session).await;
        Ok(sample)
    }

    /// How far partnerships are. That goes through all that waits: it is not looked at again soon where it took long.
    async fn freshness(&self, session: &mut Session) -> Option<FreshnessSample> {
        let mut looked = self.freshness.lock().await;
        let is_due = |looked: Looked| looked.at.elapsed() >= looked.took * FRESHNESS_SHARE;
        if looked.is_none_or(is_due) {
            let began = Instant::now();
            let seen = match session.sample_freshness(FRESHNESS_TIME_MAX).await {
                Ok(summary) => Some((summary.partnerships - summary.in_step, summary.oldest_waiting_at)),
                Err(error) => {
                    tracing::debug!(%error, "sample how far partnerships are");
                    None
                }
            };
            *looked = Some(Looked { at: Instant::now(), took: began.elapsed(), seen });
        }
        let (behind, oldest) = looked.and_then(|looked| looked.seen)?;
        let lag = oldest.map(|at| Timestamp::now().duration_since(at).as_secs_f64());
        Some(FreshnessSample { behind, lag_seconds: lag.unwrap_or_default().max(0.0) })
    }
}
