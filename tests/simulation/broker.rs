//! A broker in memory: one queue with a single active consumer.
//!
//! It delivers in order, and again what was not acknowledged. A consumer ends when its process dies, or when
//! the broker takes it for dead while its process is still at work on what it was delivered.

use std::collections::VecDeque;

use channel_sync::broker::BrokerError;
use channel_sync::contract::Message;
use channel_sync::flow::deliveries::Deliveries;

use crate::load::Item;
use crate::shared::{Actor, Shared, Site, pause, sleep_ms};

/// Most messages that a consumer holds.
const PREFETCH: usize = 12;

/// The queue, its consumers, and everything that was published to it.
#[derive(Default)]
pub(crate) struct Queue {
    ready: VecDeque<Queued>,
    /// In the order in which they came; the first one is served.
    consumers: VecDeque<Consumer>,
    last_generation: u64,
    last_tag: u64,
    /// What may be published, by its place.
    pub(crate) load: Vec<Item>,
}

#[derive(Clone, Copy)]
struct Queued {
    /// The place in the load.
    place: usize,
    redelivered: bool,
}

struct Consumer {
    generation: u64,
    unacknowledged: VecDeque<(u64, Queued)>,
    /// Whether its process has died, and the broker has not noticed.
    dead: bool,
}

impl Queue {
    pub(crate) fn publish(&mut self, place: usize) {
        self.load[place].published += 1;
        self.ready.push_back(Queued { place, redelivered: false });
    }

    /// Whether nothing is left to deliver or to acknowledge.
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.consumers.iter().all(|one| one.unacknowledged.is_empty())
    }

    /// Ends a consumer: what it did not acknowledge is delivered again, in order.
    fn end(&mut self, generation: u64) -> usize {
        let Some(place) = self.consumers.iter().position(|one| one.generation == generation) else {
            return 0;
        };
        let consumer = self.consumers.remove(place).unwrap();
        let again = consumer.unacknowledged.len();
        for (_, queued) in consumer.unacknowledged.into_iter().rev() {
            self.ready.push_front(Queued { redelivered: true, ..queued });
        }
        again
    }

    /// Takes the consumer that is served for dead, whether it is or not.
    pub(crate) fn disconnect(&mut self) -> usize {
        self.consumers.front().map(|one| one.generation).map_or(0, |generation| self.end(generation))
    }

    /// Notices who has died.
    pub(crate) fn notice_the_dead(&mut self) -> usize {
        let dead: Vec<u64> = self.consumers.iter().filter(|one| one.dead).map(|one| one.generation).collect();
        dead.into_iter().map(|generation| self.end(generation)).sum()
    }

    fn connect(&mut self) -> u64 {
        self.last_generation += 1;
        let generation = self.last_generation;
        self.consumers.push_back(Consumer { generation, unacknowledged: VecDeque::new(), dead: false });
        generation
    }

    fn deliver(&mut self, generation: u64, max: usize) -> Vec<(Message, Receipt)> {
        let Some(consumer) = self.consumers.front_mut().filter(|one| one.generation == generation) else {
            return Vec::new();
        };
        let room = PREFETCH.saturating_sub(consumer.unacknowledged.len()).min(max).min(self.ready.len());
        let mut deliveries = Vec::with_capacity(room);
        for queued in self.ready.drain(..room) {
            self.last_tag += 1;
            let tag = self.last_tag;
            consumer.unacknowledged.push_back((tag, queued));
            let mut message = self.load[queued.place].message.clone();
            message.properties.redelivered = Some(queued.redelivered);
            deliveries.push((message, Receipt { generation, tag }));
        }
        deliveries
    }

    fn acknowledge(&mut self, receipt: &Receipt) -> Vec<usize> {
        let consumer = self.consumers.iter_mut().find(|one| one.generation == receipt.generation);
        let Some(consumer) = consumer else { return Vec::new() };
        let last = consumer.unacknowledged.partition_point(|(tag, _)| *tag <= receipt.tag);
        consumer.unacknowledged.drain(..last).map(|(_, one)| one.place).collect()
    }
}

/// What a delivery is acknowledged by.
pub(crate) struct Receipt {
    generation: u64,
    tag: u64,
}

/// A link of an ingest to the broker.
pub(crate) struct Link {
    site: Site,
    actor: Actor,
    generation: Option<u64>,
}

impl Link {
    pub(crate) fn new(site: &Site, actor: Actor) -> Self {
        Self { site: site.clone(), actor, generation: None }
    }

    /// The link is gone, and the broker knows.
    fn lose(&mut self, shared: &mut Shared) {
        if let Some(generation) = self.generation.take() {
            let again = shared.queue.end(generation);
            shared.tally.redelivered += again as u64;
            shared.say(self.actor, || format!("the link breaks; {again} come again"));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(generation) = self.generation else { return };
        let mut shared = self.site.lock();
        let rate = shared.rates.lingering;
        if shared.happens(rate) {
            let consumer = shared.queue.consumers.iter_mut().find(|one| one.generation == generation);
            consumer.into_iter().for_each(|consumer| consumer.dead = true);
        } else {
            let again = shared.queue.end(generation);
            shared.tally.redelivered += again as u64;
        }
    }
}

fn lost() -> BrokerError {
    BrokerError::Lost { action: "acknowledge".to_owned(), reason: "the link broke".to_owned() }
}

impl Deliveries for Link {
    type Receipt = Receipt;

    async fn next_batch(&mut self, max: usize) -> Result<Vec<(Message, Receipt)>, BrokerError> {
        loop {
            pause().await;
            {
                let mut shared = self.site.lock();
                let generation = match self.generation {
                    Some(generation)
                        if shared.queue.consumers.iter().any(|one| one.generation == generation) =>
                    {
                        generation
                    }
                    _ => *self.generation.insert(shared.queue.connect()),
                };
                let some = 1 + shared.random.below(max);
                let deliveries = shared.queue.deliver(generation, some);
                if !deliveries.is_empty() {
                    shared.say(self.actor, || format!("{} are delivered", deliveries.len()));
                    return Ok(deliveries);
                }
            }
            sleep_ms(1).await;
        }
    }

    async fn ack_through(&mut self, last: &Receipt) -> Result<(), BrokerError> {
        pause().await;
        let site = self.site.clone();
        let mut shared = site.lock();
        if self.generation != Some(last.generation) {
            return Err(BrokerError::Stale);
        }
        let breaks = shared.rates.unacknowledged;
        let breaks = shared.happens(breaks);
        // An acknowledgement has no answer: where it gets lost with the link, the client may not notice.
        let (arrives, answer) = match shared.random.below(3) {
            _ if !breaks => (true, Ok(())),
            0 => (false, Err(lost())),
            1 => (false, Ok(())),
            _ => (true, Err(lost())),
        };
        if arrives {
            for place in shared.queue.acknowledge(last) {
                shared.say(self.actor, || format!("message {place} is acknowledged"));
                crate::checks::acknowledged(&mut shared, place);
            }
        }
        if breaks {
            self.lose(&mut shared);
        }
        answer
    }

    async fn close(&mut self) {
        pause().await;
        let site = self.site.clone();
        self.lose(&mut site.lock());
    }
}
