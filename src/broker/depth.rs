//! How long a queue is: for people who ask, and for the metrics, over the link that is there.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};

use super::connection::connect;
use super::error::{BrokerError, codes, reply_code};
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
        seen(&channel, queue).await.map_err(|error| BrokerError::of(&action, &error))
    };
    let after = config.connect_timeout;
    let found = tokio::time::timeout(after, looking)
        .await
        .unwrap_or_else(|_| Err(BrokerError::Timeout { action: action.clone(), after, blocked: false }));
    wire.close().await;
    found
}

/// How a queue stands. A failure closes the channel.
pub(super) async fn seen(channel: &Channel, queue: &str) -> lapin::Result<Depth> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok(Depth { messages: queue.message_count(), consumers: queue.consumer_count() })
}

/// How long a look over the link may take. It is not worth more: the next one comes.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// A queue, and the connection of the link to look at it by.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) connection: Weak<Connection>,
    pub(super) queue: String,
}

/// Looks at the queue of a [`Link`](super::Link), over the connection that it has at the time, on a channel of its own:
/// what goes wrong there does the link no harm.
#[derive(Debug, Clone, Default)]
pub struct Lookout(Arc<Mutex<Option<Place>>>);

impl Lookout {
    /// The link has this generation now, or none.
    pub(super) fn moved(&self, place: Option<Place>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// How the queue stands. None while the link is down, where the broker does not answer in time, and where it does
    /// not let this user look: from RabbitMQ 4.3 on, that needs the permission to configure the queue.
    pub async fn look(&self) -> Option<Depth> {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let connection = place.connection.upgrade()?;
        let looking = async {
            let channel = connection.create_channel().await?;
            let depth = seen(&channel, &place.queue).await?;
            channel.close(200, "goodbye".into()).await?;
            Ok::<_, lapin::Error>(depth)
        };
        match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(Ok(depth)) => Some(depth),
            Ok(Err(error)) => {
                if reply_code(&error) == Some(codes::ACCESS_REFUSED) {
                    tracing::debug!(%error, "this user may not look at the queue");
                    self.moved(None);
                }
                None
            }
            Err(_) => None,
        }
    }
}
