//! Takes messages from the broker, and acknowledges them after what they say is committed.
//!
//! A message that cannot be an event is stored with what is wrong with it, and acknowledged like any other:
//! it never stops those behind it. While the database cannot be reached nothing is acknowledged, and what
//! was delivered waits here; the prefetch bounds it.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::deliveries::Deliveries;
use crate::broker::BrokerError;
use crate::contract::{self, Limits, Message, Rejection, RejectionCode, TraceParent};
use crate::delay::Delays;
use crate::domain::catalogue::Catalogue;
use crate::metrics::{IngestMetrics, IntakeFigures};
use crate::store::StoreError;
use crate::store::intake::{Incoming, Taken};
use crate::telemetry::traces::{EventWork, Names, Traces};

/// How much is stored in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct IntakeLimits {
    /// Most messages.
    pub messages_max: usize,
    /// Most bytes of their bodies. A single message may have more.
    pub bytes_max: usize,
}

impl IntakeLimits {
    /// How many of the first messages, whose bodies have so many bytes, are stored together: at least one.
    fn first(self, bytes: impl IntoIterator<Item = usize>) -> usize {
        let mut sum = 0_usize;
        let fits = bytes.into_iter().take(self.messages_max).take_while(|bytes| {
            sum = sum.saturating_add(*bytes);
            sum <= self.bytes_max
        });
        fits.count().max(1)
    }
}

/// Takes messages in.
#[derive(Debug)]
pub struct Ingest<D> {
    database: D,
    catalogue: Arc<Catalogue>,
    limits: Limits,
    metrics: IngestMetrics,
    traces: Traces,
}

/// What its spans are called.
const SPANS: Names = Names { batch: "take in batch", event: "take in event", from_broker: true };

impl<D: Database> Ingest<D> {
    /// An ingest into this database.
    pub fn new(database: D, catalogue: Arc<Catalogue>, limits: Limits) -> Self {
        let (metrics, traces) = (IngestMetrics::default(), Traces::default());
        Self { database, catalogue, limits, metrics, traces }
    }

    /// Counts by these from now on.
    #[must_use]
    pub fn measured_by(self, metrics: IngestMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Sends spans there from now on.
    #[must_use]
    pub fn traced_by(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Reads messages as events, without storing anything.
    pub fn decode(&self, messages: impl IntoIterator<Item = Message>) -> Vec<Incoming> {
        messages
            .into_iter()
            .map(|message| {
                let decoded = contract::decode(&message, &self.catalogue, &self.limits);
                Incoming { message, decoded }
            })
            .collect()
    }

    /// Stores a batch of messages in one transaction; tells what became of each, in their order. After it
    /// has returned they may be acknowledged.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then nothing of the batch was taken in.
    pub async fn take_in(&self, incoming: &[Incoming]) -> Result<Vec<Taken>, StoreError> {
        let began = Instant::now();
        let trace = self.traces.begin();
        let taken = match self.database.take_in(&self.catalogue, incoming).await {
            Ok(taken) => taken,
            Err(error) => {
                if let Some(trace) = trace {
                    trace.fail(SPANS, &error);
                }
                return Err(error);
            }
        };
        let took = began.elapsed();
        for (one, taken) in incoming.iter().zip(&taken) {
            log(one, taken);
        }
        self.metrics.taken_in(&figures(incoming, &taken), took);
        if let Some(trace) = trace {
            let messages = [("messaging.batch.message_count", incoming.len() as i64)];
            trace.end(SPANS, &messages, incoming.iter().zip(&taken).map(|(one, taken)| work(one, taken)));
        }
        Ok(taken)
    }

    /// Consumes until `stop` is cancelled, building the link anew as often as it breaks. The batch at hand is
    /// finished and acknowledged before it returns.
    ///
    /// # Errors
    /// Only permanent ones of the broker, before the link was up for the first time: wrong credentials, say,
    /// or a queue that was declared with other arguments.
    pub async fn run(
        &self,
        link: &mut impl Deliveries,
        limits: IntakeLimits,
        mut trouble: Delays,
        stop: CancellationToken,
    ) -> Result<(), BrokerError> {
        loop {
            let mut deliveries = tokio::select! {
                // In this order, not a random one: the simulator runs a seed again, step by step.
                biased;
                () = stop.cancelled() => break,
                deliveries = link.next_batch(limits.messages_max) => deliveries?,
            };
            // What it takes to store a message is several times its size: no more at once than is allowed.
            while !deliveries.is_empty() {
                let first = limits.first(deliveries.iter().map(|(message, _)| message.body.len()));
                let (messages, mut receipts): (Vec<Message>, Vec<_>) = deliveries.drain(..first).unzip();
                let count = messages.len();
                let Some(last) = receipts.pop() else { continue };
                let mut incoming = self.decode(messages);
                if !self.take_in_at_last(&mut incoming, &mut trouble, &stop).await {
                    break;
                }
                if let Err(error) = link.ack_through(&last).await {
                    tracing::info!(%error, "acknowledge a batch; the broker delivers it again");
                    break;
                }
                self.metrics.acknowledged(count);
            }
        }
        link.close().await;
        Ok(())
    }

    /// Stores a batch, trying again with growing pauses for as long as the database cannot be reached. A
    /// message that the database refuses for what it holds is found by storing one at a time; it goes to the
    /// rejected ones. False where `stop` came first: then nothing may be acknowledged.
    async fn take_in_at_last(
        &self,
        incoming: &mut [Incoming],
        trouble: &mut Delays,
        stop: &CancellationToken,
    ) -> bool {
        loop {
            let error = match self.take_in(incoming).await {
                Ok(_) => {
                    trouble.reset();
                    return true;
                }
                Err(error) => error,
            };
            self.metrics.failed();
            let refused = error.blames_data();
            match incoming {
                [one] if refused && one.decoded.is_ok() => {
                    one.decoded = Err(Rejection {
                        code: RejectionCode::InvalidField,
                        reason: format!(
                            "the database refuses the event: {error}; expected values that it can hold"
                        ),
                        source: None,
                        id: None,
                    });
                    continue;
                }
                [_, _, ..] if refused => {
                    tracing::warn!(%error, messages = incoming.len(), "take in a batch; now one at a time");
                    for one in incoming.chunks_mut(1) {
                        if !Box::pin(self.take_in_at_last(one, trouble, stop)).await {
                            return false;
                        }
                    }
                    return true;
                }
                _ => {}
            }
            let pause = trouble.next_delay();
            tracing::warn!(%error, ?pause, messages = incoming.len(), "take in a batch");
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// What a batch did for the event of a message.
fn work<'a>(incoming: &'a Incoming, taken: &'a Taken) -> EventWork<'a> {
    let (parent, event_id) = match &incoming.decoded {
        Ok(envelope) => (envelope.traceparent.as_ref(), Some(&*envelope.id)),
        Err(rejection) => (None, rejection.id.as_deref()),
    };
    let (outcome, wrong) = match taken {
        Taken::Accepted(_) => ("accepted", None),
        Taken::Ignored(_) => ("ignored", None),
        Taken::Duplicate => ("duplicate", None),
        Taken::Rejected(rejection) => ("rejected", Some(rejection.code.name())),
    };
    EventWork { parent, event_id, outcome: Some(outcome), counts: Vec::new(), wrong }
}

/// What a batch came to.
fn figures(incoming: &[Incoming], taken: &[Taken]) -> IntakeFigures {
    let mut figures = IntakeFigures::default();
    for (one, taken) in incoming.iter().zip(taken) {
        match taken {
            Taken::Accepted(_) => figures.accepted += 1,
            Taken::Ignored(_) => figures.ignored += 1,
            Taken::Duplicate => figures.duplicate += 1,
            Taken::Rejected(rejection) => figures.rejected.push(rejection.code),
        }
        figures.redelivered += usize::from(one.message.properties.redelivered == Some(true));
        figures.body_bytes += one.message.body.len();
    }
    figures
}

/// One line for each message, with the publisher's trace.
fn log(incoming: &Incoming, taken: &Taken) {
    let envelope = incoming.decoded.as_ref();
    let event_id = match envelope {
        Ok(envelope) => Some(&*envelope.id),
        Err(rejection) => rejection.id.as_deref(),
    };
    let trace = envelope.ok().and_then(|envelope| envelope.traceparent.as_ref());
    let span = tracing::info_span!("event", event_id, trace_id = trace.map(TraceParent::trace_id));
    let _entered = span.entered();
    match taken {
        Taken::Accepted(no) => tracing::debug!(event_no = no.0, "event accepted"),
        Taken::Ignored(no) => tracing::info!(event_no = no.0, "event ignored: its category is never synced"),
        Taken::Duplicate => tracing::info!("event seen before: changes nothing"),
        Taken::Rejected(rejection) => {
            tracing::warn!(code = rejection.code.name(), reason = rejection.reason, "message rejected");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_stores_no_more_bytes_than_it_may_and_at_least_one_message() {
        let limits = IntakeLimits { messages_max: 4, bytes_max: 100 };
        // (sizes of what was delivered, how many of these are stored together)
        let cases: [(&[usize], usize); 7] = [
            (&[10, 10], 2),
            (&[50, 50, 1], 2),
            (&[101, 1], 1),
            (&[1, 101], 1),
            (&[1, 1, 1, 1, 1], 4),
            (&[usize::MAX, usize::MAX], 1),
            (&[0, 0, 0, 0, 0], 4),
        ];
        for (sizes, expected) in cases {
            assert_eq!(limits.first(sizes.iter().copied()), expected, "{sizes:?}");
        }
    }
}
