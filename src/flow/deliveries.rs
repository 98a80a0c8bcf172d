//! What ingest asks of a broker, so that a test can stand in for RabbitMQ.
//!
//! [`Link`] is the real one; the simulator in `tests/simulation` has one in memory.

use std::future::Future;

use crate::broker::{BrokerError, Link, Receipt};
use crate::contract::Message;

/// A source of messages that are delivered again until they are acknowledged.
pub trait Deliveries: Send {
    /// What a delivery is acknowledged by.
    type Receipt: Send + Sync;

    /// Waits for deliveries: 1 to `max`, in the order of the queue. May be dropped while it waits.
    fn next_batch(
        &mut self,
        max: usize,
    ) -> impl Future<Output = Result<Vec<(Message, Self::Receipt)>, BrokerError>> + Send;

    /// Acknowledges the delivery of this receipt and all before it.
    fn ack_through(&mut self, last: &Self::Receipt) -> impl Future<Output = Result<(), BrokerError>> + Send;

    /// Lets go in order: what was not acknowledged comes again.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

impl Deliveries for Link {
    type Receipt = Receipt;

    async fn next_batch(&mut self, max: usize) -> Result<Vec<(Message, Receipt)>, BrokerError> {
        let deliveries = self.next_batch(max).await?;
        Ok(deliveries.into_iter().map(|delivery| (delivery.message, delivery.receipt)).collect())
    }

    async fn ack_through(&mut self, last: &Receipt) -> Result<(), BrokerError> {
        self.ack_through(last).await
    }

    async fn close(&mut self) {
        self.close().await;
    }
}
