//! How long a queue is, for people who ask.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::connection::connect;
use super::error::BrokerError;
use crate::config::BrokerConfig;

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait in it; those that a consumer has and has not acknowledged do not count.
    pub messages: u32,
    /// Consumers that it has.
    pub consumers: u32,
}

/// How a queue stands, over a connection of its own.
///
/// # Errors
/// Where the broker cannot be reached within the configured time, has no such queue, or does not let this
/// user look: from RabbitMQ 4.3 on, that needs the permission to configure it.
pub async fn depth(config: &BrokerConfig, queue: &str) -> Result<Depth, BrokerError> {
    let action = format!("look at the queue {queue}");
    let wire = connect(config, "status").await?;
    let looking = async {
        let channel = wire.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await
            .map_err(|error| BrokerError::of(&action, &error))
    };
    let after = config.connect_timeout;
    let found = tokio::time::timeout(after, looking)
        .await
        .unwrap_or_else(|_| Err(BrokerError::Timeout { action: action.clone(), after, blocked: false }));
    wire.close().await;
    found.map(|queue| Depth { messages: queue.message_count(), consumers: queue.consumer_count() })
}
