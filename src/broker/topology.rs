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
        let quorum = ("x-queue-type", AMQPValue::LongString("quorum".into()));
        let single = ("x-single-active-consumer", AMQPValue::Boolean(true));
        self.declare_exchange(channel, &self.dead_letter, ExchangeKind::Fanout).await?;
        self.declare_queue(channel, &self.dead_letter, [quorum.clone()], &[""]).await?;
        self.declare_exchange(channel, &self.events, ExchangeKind::Topic).await?;
        self.declare_queue(channel, &self.events, [quorum, single], &ROUTING_PATTERNS).await
    }

    async fn declare_exchange(
        &self,
        channel: &Channel,
        name: &str,
        kind: ExchangeKind,
    ) -> Result<(), BrokerError> {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel
            .exchange_declare(name.into(), kind, options, FieldTable::default())
            .await
            .map_err(|error| declaration_error(format!("exchange {name}"), &error))
    }

    /// Declares a queue and binds it to the exchange of the same name.
    async fn declare_queue<const N: usize>(
        &self,
        channel: &Channel,
        name: &str,
        arguments: [(&str, AMQPValue); N],
        patterns: &[&str],
    ) -> Result<(), BrokerError> {
        let mut table = FieldTable::default();
        for (argument, value) in arguments {
            table.insert(argument.into(), value);
        }
        channel
            .queue_declare(name.into(), QueueDeclareOptions::durable(), table)
            .await
            .map_err(|error| declaration_error(format!("queue {name}"), &error))?;
        for pattern in patterns {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel
                .queue_bind(name.into(), name.into(), (*pattern).into(), options, arguments)
                .await
                .map_err(|error| BrokerError::of(&format!("bind the queue {name}"), &error))?;
        }
        Ok(())
    }
}

fn declaration_error(object: String, error: &lapin::Error) -> BrokerError {
    match reply_code(error) {
        Some(codes::PRECONDITION_FAILED) => BrokerError::Conflict { object, reason: reason(error) },
        _ => BrokerError::of(&format!("declare the {object}"), error),
    }
}
