//! The names of exchanges and queues, and their declaration.
//!
//! Arguments hold only what can never change without deleting the object: the queue's type, and that one
//! consumer at a time is served. All the rest (delivery limit, dead-lettering, length) is in a policy,
//! which an operator can change: `deploy/rabbitmq/definitions.json`. A test keeps that file and this module
//! together.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::error::{BrokerError, codes, reason, reply_code};

/// The names, all made from one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The topic exchange that publishers write to, and the queue that the service reads: `<prefix>.events`.
    pub events: String,
    /// The fanout exchange, and its queue, for what the broker gives up on: `<prefix>.dead-letter`.
    pub dead_letter: String,
}

/// What the events queue is bound with.
pub const ROUTING_PATTERNS: [&str; 2] = ["setting-changed.#", "partnership-changed.#"];

impl Topology {
    /// The names for a prefix: 1 to 100 letters, digits, hyphens, underscores and dots.
    pub fn new(prefix: &str) -> Self {
        Self { events: format!("{prefix}.events"), dead_letter: format!("{prefix}.dead-letter") }
    }

    /// Declares exchanges, queues and bindings; what is there already with the same arguments stays.
    ///
    /// # Errors
    /// [`BrokerError::Conflict`] where something is there with other arguments, which closes the channel.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), BrokerError> {
        let [events, dead_letter] = self.exchanges();
        let [events_queue, dead_letter_queue] = self.queues();
        declare_exchange(channel, &dead_letter).await?;
        declare_queue(channel, &dead_letter_queue).await?;
        declare_exchange(channel, &events).await?;
        declare_queue(channel, &events_queue).await
    }

    /// The exchanges.
    pub(super) fn exchanges(&self) -> [Exchange<'_>; 2] {
        [
            Exchange { name: &self.events, kind: ExchangeKind::Topic },
            Exchange { name: &self.dead_letter, kind: ExchangeKind::Fanout },
        ]
    }

    /// The queues; each is bound to the exchange of the same name.
    pub(super) fn queues(&self) -> [Queue<'_>; 2] {
        [
            Queue { name: &self.events, single_active_consumer: true, patterns: &ROUTING_PATTERNS },
            Queue { name: &self.dead_letter, single_active_consumer: false, patterns: &[""] },
        ]
    }
}

/// A durable exchange without arguments.
pub(super) struct Exchange<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ExchangeKind,
}

impl Exchange<'_> {
    /// The type, as the broker calls it.
    pub(super) fn type_name(&self) -> &str {
        match &self.kind {
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Direct => "direct",
            ExchangeKind::Headers => "headers",
            ExchangeKind::Custom(name) => name,
        }
    }
}

/// A durable quorum queue.
pub(super) struct Queue<'a> {
    pub(super) name: &'a str,
    pub(super) single_active_consumer: bool,
    /// What it is bound with.
    pub(super) patterns: &'a [&'a str],
}

impl Queue<'_> {
    pub(super) fn arguments(&self) -> FieldTable {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        if self.single_active_consumer {
            table.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        table
    }
}

async fn declare_exchange(channel: &Channel, exchange: &Exchange<'_>) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(exchange.name.into(), exchange.kind.clone(), options, FieldTable::default())
        .await
        .map_err(|error| declaration_error(format!("exchange {}", exchange.name), &error))
}

/// Declares a queue and binds it to the exchange of the same name.
async fn declare_queue(channel: &Channel, queue: &Queue<'_>) -> Result<(), BrokerError> {
    let name = queue.name;
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), queue.arguments())
        .await
        .map_err(|error| declaration_error(format!("queue {name}"), &error))?;
    for pattern in queue.patterns {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(name.into(), name.into(), (*pattern).into(), options, arguments)
            .await
            .map_err(|error| BrokerError::of(&format!("bind the queue {name}"), &error))?;
    }
    Ok(())
}

fn declaration_error(object: String, error: &lapin::Error) -> BrokerError {
    match reply_code(error) {
        Some(codes::PRECONDITION_FAILED) => BrokerError::Conflict { object, reason: reason(error) },
        _ => BrokerError::of(&format!("declare the {object}"), error),
    }
}
