//! Keeps results for so many days: makes their partitions ahead, and drops those that are old.
//!
//! Every process looks after that, at its start and at every full hour; one at a time does it, and nothing is kept here.
//! It never holds up the others for long: what it cannot lock soon, it tries again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use crate::metrics::RetentionMetrics;
use crate::store::retention::{DroppedDay, Turn};
use crate::store::{Store, StoreError};

/// How many days to come have a partition: as long may nobody look after them before results lie among those that are
/// kept, from where they move when their day is made.
const AHEAD_DAYS: i32 = 7;

/// How many jobs one transaction deletes.
const PRUNED_MAX: i64 = 10_000;

/// How soon to try again what failed.
const RETRY: Duration = Duration::from_secs(60);

/// Looks after the days of results.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    days: i32,
    metrics: RetentionMetrics,
}

/// What was done at one go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// The day that began.
    pub begun: Option<i64>,
    /// The days that got a partition.
    pub made: Vec<i64>,
    /// The days whose results were dropped.
    pub dropped: Vec<DroppedDay>,
    /// How many jobs were deleted that had outlasted their day.
    pub pruned: usize,
    /// Another process was at it, and the rest was left to that.
    pub left: bool,
}

impl Retention {
    /// Results are kept for so many whole days after their own; at least 1.
    pub fn new(store: Store, days: i32) -> Self {
        Self { store, days, metrics: RetentionMetrics::default() }
    }

    /// Counts by these from now on.
    #[must_use]
    pub fn measured_by(self, metrics: RetentionMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Does what there is to do on this date, which is never before that of an earlier step: else nothing begins.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or others do not let go of the tables in time. What was done
    /// before stays done.
    pub async fn step(&self, today: Date) -> Result<Step, StoreError> {
        let Self { store, days, metrics } = self;
        let mut step = Step::default();
        match store.begin_day(today).await? {
            Turn::Done(begun) => step.begun = begun,
            Turn::Left => step.left = true,
        }
        if let Some(day_no) = step.begun {
            tracing::info!(day_no, %today, "began a day of results");
        }
        while !step.left {
            match store.make_day(AHEAD_DAYS).await? {
                Turn::Done(Some(made)) => step.made.push(made),
                Turn::Done(None) => break,
                Turn::Left => step.left = true,
            }
        }
        while !step.left {
            match store.drop_day(today, *days).await? {
                Turn::Done(Some(dropped)) => {
                    let DroppedDay { day_no, jobs_kept } = dropped;
                    tracing::info!(day_no, jobs_kept, "dropped a day of results");
                    metrics.dropped();
                    step.dropped.push(dropped);
                }
                Turn::Done(None) => break,
                Turn::Left => step.left = true,
            }
        }
        // Once a day: it goes through all that was kept.
        while !step.left && (step.begun.is_some() || !step.dropped.is_empty()) {
            match store.prune_jobs(today, *days, PRUNED_MAX).await? {
                Turn::Done(0) => break,
                Turn::Done(pruned) => step.pruned += pruned,
                Turn::Left => step.left = true,
            }
        }
        Ok(step)
    }

    /// Does that at once and at every full hour, by the clock of the database, until `stop` is cancelled. What failed is
    /// tried again a minute later.
    pub async fn work(&self, stop: CancellationToken) {
        let working = async {
            loop {
                tokio::time::sleep(self.look_after().await).await;
            }
        };
        tokio::select! {
            () = working => {}
            () = stop.cancelled() => {}
        }
    }

    /// Does what there is to do now; returns how long to wait then.
    async fn look_after(&self) -> Duration {
        let outcome = async { self.step(self.store.today().await?).await };
        match outcome.await {
            Ok(step) if step.left => self.metrics.left(),
            Ok(_) => self.metrics.succeeded(),
            Err(error) => {
                self.metrics.failed();
                tracing::warn!(%error, transient = error.is_transient(), pause = ?RETRY, "look after the days of results");
                return RETRY;
            }
        }
        let second = Timestamp::now().as_second().rem_euclid(3_600).unsigned_abs();
        Duration::from_secs(3_600 - second)
    }
}
