//! The link to the broker over time: one generation after the other, with growing pauses between attempts.
//!
//! The one place that decides whether to go on after an error of the broker, and that logs it. It goes on
//! after transient errors for ever. A permanent error ends it only before the link was up for the first
//! time: at start, somebody is there to read it; later, a service that stays and keeps trying is better
//! than one that its supervisor starts in a loop.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{BrokerError, Consumer, Delivery, Lookout, Receipt};
use crate::config::BrokerConfig;
use crate::delay::Delays;
use crate::metrics::LinkMetrics;

/// The state that a link is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Nobody wants deliveries: before the start, while paused, after the end.
    Down,
    /// An attempt is under way, or the pause before it.
    Connecting {
        /// The number of the attempt since the link was last up, from 1.
        attempt: u32,
        /// Why the link went down, or the last attempt failed.
        last_error: Option<String>,
    },
    /// Deliveries come.
    Up {
        /// The number of the generation.
        generation: u64,
        /// Since when.
        since: jiff::Timestamp,
    },
}

impl LinkState {
    /// Why no deliveries come, where that is known.
    pub fn reason(&self) -> Option<String> {
        let Self::Connecting { attempt, last_error } = self else { return None };
        let error = last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        Some(format!("connecting, attempt {attempt}{error}"))
    }
}

/// The link to the broker.
pub struct Link {
    config: BrokerConfig,
    consumer: Option<Consumer>,
    state: watch::Sender<LinkState>,
    delays: Delays,
    attempt: u32,
    /// Before this, no attempt is made.
    attempt_at: Option<Instant>,
    up_since: Option<Instant>,
    was_up: bool,
    lookout: Lookout,
    metrics: LinkMetrics,
}

impl Link {
    /// A link that is down. The first use connects.
    pub fn new(config: &BrokerConfig) -> Self {
        Self {
            config: config.clone(),
            consumer: None,
            state: watch::Sender::new(LinkState::Down),
            delays: Delays::new(config.reconnect_delay_min, config.reconnect_delay_max),
            attempt: 0,
            attempt_at: None,
            up_since: None,
            was_up: false,
            lookout: Lookout::default(),
            metrics: LinkMetrics::default(),
        }
    }

    /// Counts by these from now on.
    #[must_use]
    pub fn measured_by(self, metrics: LinkMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Who may look at the queue over this link.
    pub fn lookout(&self) -> Lookout {
        self.lookout.clone()
    }

    /// The state of the link, now and whenever it changes.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// The live generation; builds one, for as long as it takes, where there is none.
    ///
    /// May be dropped while it waits: the next call goes on with the same pause.
    ///
    /// # Errors
    /// Permanent ones, and only before the link was up for the first time.
    pub async fn consumer(&mut self) -> Result<&mut Consumer, BrokerError> {
        // Not `if let`: the borrow would have to last until the end of the function.
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.build().await?,
        };
        Ok(self.consumer.insert(consumer))
    }

    /// Waits for deliveries: 1 to `max`, in the order of the queue. Builds the link anew as often as it
    /// breaks.
    ///
    /// May be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    /// Permanent ones, and only before the link was up for the first time.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        loop {
            let consumer = self.consumer().await?;
            match consumer.next_batch(max).await {
                Ok(batch) => {
                    let unacknowledged = consumer.unacknowledged();
                    self.metrics.delivered(batch.len(), unacknowledged);
                    return Ok(batch);
                }
                Err(error) => self.lost(&error),
            }
        }
    }

    /// Acknowledges the delivery of this receipt and all before it.
    ///
    /// # Errors
    /// The generation that delivered is at its end: the broker delivers again what this would have
    /// acknowledged. There is nothing to do about it but to go on with the next batch.
    pub async fn ack_through(&mut self, last: &Receipt) -> Result<(), BrokerError> {
        // A receipt of an earlier generation is no reason to give up the live one.
        let Some(consumer) = self.consumer.as_mut().filter(|consumer| consumer.delivered(last)) else {
            return Err(BrokerError::Stale);
        };
        let acknowledged = consumer.ack_through(last).await;
        self.metrics.unacknowledged(consumer.unacknowledged());
        if let Err(error) = &acknowledged {
            self.lost(error);
        }
        acknowledged
    }

    /// Lets go of the live generation in order: what was not acknowledged comes again. The next use
    /// connects anew, so this is a pause as well as an end.
    pub async fn close(&mut self) {
        self.lookout.moved(None);
        if let Some(consumer) = self.consumer.take() {
            consumer.close().await;
        }
        self.metrics.down();
        self.attempt = 0;
        self.attempt_at = None;
        self.up_since = None;
        self.state.send_replace(LinkState::Down);
    }

    /// Drops the live generation after an error; the next use builds another.
    pub fn lost(&mut self, error: &BrokerError) {
        self.consumer = None;
        self.lookout.moved(None);
        self.metrics.lost();
        // A link that comes up only to break again must not be built in a tight loop.
        let stable =
            self.up_since.take().is_some_and(|since| since.elapsed() >= self.config.reconnect_delay_max);
        if stable {
            self.delays.reset();
        }
        self.pause_after(error);
    }

    async fn build(&mut self) -> Result<Consumer, BrokerError> {
        loop {
            if let Some(at) = self.attempt_at {
                tokio::time::sleep_until(at).await;
            }
            self.attempt_at = None;
            self.attempt += 1;
            let attempt = self.attempt;
            self.state.send_modify(|state| {
                let last_error = match state {
                    LinkState::Connecting { last_error, .. } => last_error.take(),
                    LinkState::Down | LinkState::Up { .. } => None,
                };
                *state = LinkState::Connecting { attempt, last_error };
            });
            let generation = next_generation();
            match Consumer::open(&self.config, generation).await {
                Ok(consumer) => {
                    tracing::info!(generation, attempt, "the link to the broker is up");
                    self.attempt = 0;
                    self.up_since = Some(Instant::now());
                    self.was_up = true;
                    self.lookout.moved(Some(consumer.place()));
                    self.metrics.connected();
                    let since = jiff::Timestamp::now();
                    self.state.send_replace(LinkState::Up { generation, since });
                    return Ok(consumer);
                }
                Err(error) if !error.is_transient() && !self.was_up => {
                    self.metrics.connect_failed();
                    let last_error = Some(error.to_string());
                    self.state.send_replace(LinkState::Connecting { attempt, last_error });
                    return Err(error);
                }
                Err(error) => {
                    self.metrics.connect_failed();
                    self.pause_after(&error);
                }
            }
        }
    }

    fn pause_after(&mut self, error: &BrokerError) {
        let pause = self.delays.next_delay();
        self.attempt_at = Some(Instant::now() + pause);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        if error.is_transient() {
            tracing::warn!(%error, attempt = self.attempt, pause_ms, "the link to the broker is down");
        } else {
            // It was up before, so it is tried again; but it takes somebody to put it right.
            tracing::error!(%error, attempt = self.attempt, pause_ms, "the link to the broker is down");
        }
        let last_error = Some(error.to_string());
        self.state.send_replace(LinkState::Connecting { attempt: self.attempt + 1, last_error });
    }
}

/// A number that no other consumer of this process has, from 1.
fn next_generation() -> u64 {
    static GENERATIONS: AtomicU64 = AtomicU64::new(0);
    GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1
}
