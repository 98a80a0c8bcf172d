//! Looks at the database and the queue every few seconds, for the metrics.
//!
//! It changes nothing, and whoever scrapes does not wait for it: it writes down what it saw, and takes down what it
//! could not see. Every replica does this; each sees the whole.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::broker::{Depth, Lookout, Sight};
use crate::metrics::{DatabaseSample, QueueSample, Sampled};
use crate::store::{Store, StoreError};

/// Looks at the database and the queue.
#[derive(Debug)]
pub struct Sampler {
    store: Store,
    lookout: Lookout,
    sampled: Sampled,
}

impl Sampler {
    /// A sampler that writes down what it sees in `sampled`.
    pub fn new(store: Store, lookout: Lookout, sampled: Sampled) -> Self {
        Self { store, lookout, sampled }
    }

    /// Looks once at both, within the timeouts of the database and the broker. Returns why the database could not be
    /// looked at.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn step(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let looking_at_database = async {
            let sample = self.database().await;
            self.sampled.database(sample.as_ref().ok().cloned(), began);
            sample
        };
        let looking_at_queue = async {
            let sight = self.lookout.look().await;
            self.sampled.queue(sight.map(|Sight { depth: Depth { messages, consumers }, blocked }| {
                QueueSample { messages, consumers, blocked }
            }));
        };
        let (sample, ()) = tokio::join!(looking_at_database, looking_at_queue);
        sample.map(|_| ())
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
        self.store.session().await?.sample().await
    }
}
