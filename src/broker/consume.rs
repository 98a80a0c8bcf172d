//! One generation of the link: a connection, a channel and a consumer, from first delivery to first error.
//!
//! It never repairs anything: after an error it is of no more use, and a [`Link`](super::Link) builds the
//! next. It waits for one delivery and takes what is ready behind it, so that a batch is large where there
//! is much to do and prompt where there is little. What is not acknowledged comes again.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;

use super::connection::{CLOSE_TIMEOUT, Wire, connect};
use super::depth::Place;
use super::error::{BrokerError, codes, reply_code};
use super::{Topology, message};
use crate::config::BrokerConfig;
use crate::contract::Message;

/// How long an acknowledgement may take to be written: it waits for no answer. The library lets it wait for
/// ever where the connection is blocked, or ends in the very moment.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A message that the broker handed over.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// What it is acknowledged by.
    pub receipt: Receipt,
}

/// What a delivery is acknowledged by. Good for the generation that delivered it, and for no other.
#[derive(Debug)]
pub struct Receipt {
    generation: u64,
    tag: u64,
    acker: lapin::Acker,
}

/// One generation of the link.
pub struct Consumer {
    generation: u64,
    queue: String,
    channel: Channel,
    deliveries: lapin::Consumer,
    /// The last tag that was handed out, and the last that was acknowledged.
    tag_taken: u64,
    tag_acknowledged: u64,
    watchdog: Duration,
    /// None where the queue may not be looked at.
    suspicion: Option<Suspicion>,
    wire: Wire,
}

impl Consumer {
    /// Connects, declares the topology where the configuration says so, and begins to consume.
    ///
    /// `generation` must differ from that of every other consumer of this process.
    ///
    /// # Errors
    /// Permanent ones where credentials, virtual host or topology are not as they must be.
    pub async fn open(config: &BrokerConfig, generation: u64) -> Result<Self, BrokerError> {
        let wire = connect(config, "consume").await?;
        let after = config.connect_timeout;
        let mut asked = false;
        let beginning = Self::begin(wire, config, generation, &mut asked);
        match tokio::time::timeout(after, beginning).await {
            Ok(begun) => begun,
            // A queue without a leader is declared like any other.
            Err(_) if asked => {
                Err(BrokerError::Leaderless { queue: Topology::new(&config.prefix).events, after })
            }
            Err(_) => {
                Err(BrokerError::Timeout { action: "begin to consume".to_owned(), after, blocked: false })
            }
        }
    }

    /// Says by `asked` when all is answered but the request for deliveries.
    async fn begin(
        wire: Wire,
        config: &BrokerConfig,
        generation: u64,
        asked: &mut bool,
    ) -> Result<Self, BrokerError> {
        let topology = Topology::new(&config.prefix);
        let channel = wire.channel().await?;
        if config.declare_topology {
            topology.declare(&channel).await?;
        }
        let queue = topology.events;
        let action = format!("consume from {queue}");
        channel
            .basic_qos(config.prefetch, BasicQosOptions::default())
            .await
            .map_err(|error| BrokerError::of(&action, &error))?;
        // Never the same twice: the broker would deliver to whatever was left of the first.
        let tag = format!("channel-sync-{}-{}-{generation}", std::process::id(), started_ns());
        let arguments = FieldTable::default();
        *asked = true;
        let deliveries = channel
            .basic_consume(
                queue.as_str().into(),
                tag.as_str().into(),
                BasicConsumeOptions::default(),
                arguments,
            )
            .await
            .map_err(|error| BrokerError::of(&action, &error))?;
        Ok(Self {
            generation,
            queue,
            channel,
            deliveries,
            tag_taken: 0,
            tag_acknowledged: 0,
            watchdog: config.watchdog,
            suspicion: config.declare_topology.then(Suspicion::default),
            wire,
        })
    }

    /// The number of this generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many deliveries are not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.tag_taken - self.tag_acknowledged
    }

    /// Where to look how the queue stands.
    pub(super) fn place(&self) -> Place {
        Place { connection: self.wire.weak(), queue: self.queue.clone() }
    }

    /// Whether this generation is the one that made the delivery of this receipt.
    pub fn delivered(&self, receipt: &Receipt) -> bool {
        receipt.generation == self.generation
    }

    /// Waits for a delivery, and takes with it what is ready without waiting: 1 to `max` deliveries, in the
    /// order of the queue.
    ///
    /// May be dropped while it waits, and loses nothing.
    ///
    /// # Errors
    /// This generation is at its end. What it delivered and nobody acknowledged comes again.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let batch = self.gather(max).await;
        batch.map_err(|error| self.wire.explain(error))
    }

    async fn gather(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut batch = vec![self.first().await?];
        while batch.len() < max
            && let Some(next) = self.deliveries.next().now_or_never()
        {
            batch.push(self.take(next)?);
        }
        Ok(batch)
    }

    async fn first(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            match tokio::time::timeout(self.watchdog, self.deliveries.next()).await {
                Ok(next) => return self.take(next),
                Err(_) => self.look_after_queue().await?,
            }
        }
    }

    fn take(
        &mut self,
        next: Option<Result<lapin::message::Delivery, lapin::Error>>,
    ) -> Result<Delivery, BrokerError> {
        let mut delivery = match next {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => {
                return Err(BrokerError::of(&format!("consume from {}", self.queue), &error));
            }
            // A deleted queue ends the stream without an error, while the connection stays up.
            None => return Err(BrokerError::Ended { queue: self.queue.clone() }),
        };
        self.tag_taken = delivery.delivery_tag;
        if let Some(suspicion) = &mut self.suspicion {
            *suspicion = Suspicion { served: true, looks: 0 };
        }
        let message = message::received(&mut delivery);
        let receipt =
            Receipt { generation: self.generation, tag: delivery.delivery_tag, acker: delivery.acker };
        Ok(Delivery { message, receipt })
    }

    /// Acknowledges the delivery of this receipt and all before it, in one go.
    ///
    /// # Errors
    /// This generation is at its end, or was not the one that delivered: the broker delivers again what
    /// this would have acknowledged.
    pub async fn ack_through(&mut self, last: &Receipt) -> Result<(), BrokerError> {
        if !self.delivered(last) {
            return Err(BrokerError::Stale);
        }
        let options = BasicAckOptions { multiple: true };
        match tokio::time::timeout(ACKNOWLEDGE_TIMEOUT, last.acker.ack(options)).await {
            Ok(Ok(true)) => {
                self.tag_acknowledged = last.tag;
                Ok(())
            }
            Ok(Ok(false)) => Err(BrokerError::Stale),
            Ok(Err(error)) => Err(self.wire.explain(BrokerError::of("acknowledge", &error))),
            Err(_) => Err(BrokerError::Timeout {
                action: "acknowledge".to_owned(),
                after: ACKNOWLEDGE_TIMEOUT,
                blocked: self.wire.blocked(),
            }),
        }
    }

    /// Stops in order: closes the channel, and says goodbye. What was not acknowledged before comes again, to
    /// whoever consumes next, in the order of the queue.
    ///
    /// The consumer is not cancelled first, though the protocol offers it: the broker would hand the queue to
    /// the next consumer while earlier messages are still out here, and would put what it had just sent in
    /// front of these.
    pub async fn close(self) {
        let closing = self.channel.close(200, "goodbye".into());
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "close the channel of the consumer"),
            Err(_) => tracing::debug!("close the channel of the consumer: no answer"),
        }
        self.wire.close().await;
    }

    /// The watchdog, after a while without a delivery: an error where the queue or this consumer is gone,
    /// or where messages wait for nobody but this consumer and it gets none.
    async fn look_after_queue(&mut self) -> Result<(), BrokerError> {
        if !self.wire.connected() {
            let action = format!("consume from {}", self.queue);
            return Err(BrokerError::Lost {
                action,
                reason: "the connection ended without a word".to_owned(),
            });
        }
        // With deliveries out, the prefetch may be what holds the broker back.
        let idle = self.tag_taken == self.tag_acknowledged;
        let Some(suspicion) = self.suspicion.filter(|_| idle) else {
            return Ok(());
        };
        let action = format!("look after the queue {}", self.queue);
        let looking = async {
            // An error closes the channel that it happens on, so it is not the consumer's.
            let channel = self.wire.channel().await?;
            super::depth::seen(&channel, &self.queue).await.map(Some).or_else(|error| {
                match reply_code(&error) {
                    // May declare, but not look: nothing is known then.
                    Some(codes::ACCESS_REFUSED) => Ok(None),
                    _ => Err(BrokerError::of(&action, &error)),
                }
            })
        };
        let after = self.watchdog;
        let found = tokio::time::timeout(after, looking).await.unwrap_or_else(|_| {
            Err(BrokerError::Timeout { action: action.clone(), after, blocked: false })
        })?;
        let Some(queue) = found else {
            self.suspicion = None;
            return Ok(());
        };
        let (ready, consumers) = (queue.messages, queue.consumers);
        let suspicion = suspicion.after_look(ready, consumers);
        self.suspicion = Some(suspicion);
        if suspicion.confirmed() {
            let reason = format!(
                "{ready} messages wait, the queue knows {consumers} consumers, and none is delivered for {} s",
                self.watchdog.as_secs()
            );
            return Err(BrokerError::Lost { action, reason });
        }
        Ok(())
    }
}

/// What the watchdog has seen since the last delivery.
#[derive(Debug, Clone, Copy, Default)]
struct Suspicion {
    /// Whether this generation ever got a delivery: where one consumer at a time is served, it is the one.
    served: bool,
    /// How many looks in a row found something wrong.
    looks: u32,
}

impl Suspicion {
    /// After a look at the queue.
    ///
    /// Where messages wait and this consumer was never served, it may be that another one is, and is slow:
    /// the broker counts the one that is served, not those in line.
    fn after_look(self, ready: u32, consumers: u32) -> Self {
        let wrong = consumers == 0 || (ready > 0 && consumers == 1 && self.served);
        Self { looks: if wrong { self.looks + 1 } else { 0 }, ..self }
    }

    /// Whether it is certain: a delivery may be on its way during one look, not from one look to the next.
    fn confirmed(self) -> bool {
        self.looks >= 2
    }
}

/// Tells this process from an earlier one that had the same id: nanoseconds since the Unix epoch.
fn started_ns() -> u128 {
    static STARTED: OnceLock<u128> = OnceLock::new();
    *STARTED.get_or_init(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since_epoch| since_epoch.as_nanos())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two looks in a row conclude.
    fn stuck(served: bool, looks: [(u32, u32); 2]) -> bool {
        let start = Suspicion { served, looks: 0 };
        looks
            .iter()
            .fold(start, |suspicion, (ready, consumers)| suspicion.after_look(*ready, *consumers))
            .confirmed()
    }

    #[test]
    fn the_watchdog_barks_where_messages_wait_for_this_consumer_alone() {
        // (whether it was ever served, (ready, consumers) of two looks, whether it is stuck)
        let cases = [
            (true, [(5, 1), (5, 1)], true),
            (true, [(0, 0), (0, 0)], true),
            (false, [(0, 0), (9, 0)], true),
            // An idle queue.
            (true, [(0, 1), (0, 1)], false),
            // A delivery was on its way during the first look.
            (true, [(5, 1), (0, 1)], false),
            // Others are there to take them.
            (true, [(5, 2), (5, 2)], false),
            // Perhaps in line behind another one that is slow.
            (false, [(5, 1), (5, 1)], false),
        ];
        for (served, looks, expected) in cases {
            assert_eq!(stuck(served, looks), expected, "served {served}, looks {looks:?}");
        }
    }
}
