//! Takes messages from the broker, and acknowledges them after what they say is committed.
//!
//! A message that cannot be an event is stored with what is wrong with it, and acknowledged like any other:
//! it never stops those behind it. While the database cannot be reached nothing is acknowledged, and what
//! was delivered waits here; the prefetch bounds it.

use std::sync::Arc;

use crate::contract::{self, Limits, Message};
use crate::domain::catalogue::Catalogue;
use crate::store::intake::{Incoming, Taken};
use crate::store::{Store, StoreError};

/// Takes messages in.
#[derive(Debug)]
pub struct Ingest {
    store: Store,
    catalogue: Arc<Catalogue>,
    limits: Limits,
}

impl Ingest {
    /// An ingest into this database.
    pub fn new(store: Store, catalogue: Arc<Catalogue>, limits: Limits) -> Self {
        Self { store, catalogue, limits }
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
        let taken = self.store.take_in(&self.catalogue, incoming).await?;
        for (one, taken) in incoming.iter().zip(&taken) {
            log(one, taken);
        }
        Ok(taken)
    }
}

/// One line for each message, with the publisher's trace.
fn log(incoming: &Incoming, taken: &Taken) {
    let envelope = incoming.decoded.as_ref().ok();
    let span = tracing::info_span!(
        "event",
        event_id = envelope.map(|envelope| &*envelope.id),
        trace_id = envelope.and_then(|envelope| envelope.traceparent.as_ref()).map(|trace| trace.trace_id()),
    );
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
