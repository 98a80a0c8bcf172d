//! Publishing with confirms, over a connection of its own.
//!
//! A message is published when the broker has confirmed it and a queue has taken it: a message that no
//! queue takes is confirmed too, and comes back. Messages are persistent. Several are under way at once, in
//! a bounded window; [`Publisher::flush`] says whether all of them were taken.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::poll_immediate;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};

use super::connection::{Wire, connect};
use super::error::{BrokerError, Refusal, codes, reason, reply_code};
use super::message::{short, to_publish};
use crate::config::BrokerConfig;
use crate::contract::Message;

/// How many messages may be unconfirmed at once, and how many bytes of them.
const WINDOW_MESSAGES_MAX: usize = 1_000;
const WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long the broker may take to accept and confirm the oldest message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

const PUBLISH: &str = "publish";

/// A connection that publishes.
pub struct Publisher {
    wire: Wire,
    channel: Channel,
    unconfirmed: VecDeque<Unconfirmed>,
    unconfirmed_bytes: usize,
    refused: Vec<Refusal>,
}

/// A message on its way, and the broker's answer to come.
struct Unconfirmed {
    bytes: usize,
    answer: Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>,
}

impl Publisher {
    /// Connects. Declares nothing.
    ///
    /// # Errors
    /// One attempt is made: the caller decides about another.
    pub async fn connect(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let wire = connect(config, PUBLISH).await?;
        let after = config.connect_timeout;
        let opening = async {
            let channel = wire.channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await
                .map_err(|error| BrokerError::of("ask for confirms", &error))?;
            Ok(channel)
        };
        let channel = tokio::time::timeout(after, opening).await.unwrap_or_else(|_| {
            Err(BrokerError::Timeout { action: "ask for confirms".to_owned(), after, blocked: false })
        })?;
        let (unconfirmed, refused) = (VecDeque::new(), Vec::new());
        Ok(Self { wire, channel, unconfirmed, unconfirmed_bytes: 0, refused })
    }

    /// Hands a message to the broker, persistent whatever its properties say, and does not wait for the
    /// answer unless the window is full. [`Publisher::flush`] tells whether it was taken. Messages go out in
    /// the order of the calls.
    ///
    /// # Errors
    /// [`BrokerError::Unsendable`] concerns this message alone. After any other error the publisher is of
    /// no more use, and which of the messages since the last flush were taken is unknown.
    pub async fn publish(
        &mut self,
        exchange: &str,
        routing_key: &str,
        message: &Message,
    ) -> Result<(), BrokerError> {
        let exchange = short("name of the exchange", exchange).map_err(BrokerError::Unsendable)?;
        let routing_key = short("routing key", routing_key).map_err(BrokerError::Unsendable)?;
        let properties = to_publish(&message.properties).map_err(BrokerError::Unsendable)?;
        let bytes = message.body.len();
        while !self.unconfirmed.is_empty()
            && (self.unconfirmed.len() >= WINDOW_MESSAGES_MAX
                || self.unconfirmed_bytes + bytes > WINDOW_BYTES_MAX)
        {
            self.await_oldest().await?;
        }
        // A copy of its own, as the message is written after this call.
        let (channel, body) = (self.channel.clone(), message.body.clone());
        let mut answer = Box::pin(async move {
            let options = BasicPublishOptions { mandatory: true, immediate: false };
            channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
        });
        // The first poll puts the message in line, so that it stands behind those of earlier calls.
        match poll_immediate(&mut answer).await {
            Some(Err(error)) => return Err(self.wire.explain(publish_error(&error))),
            Some(Ok(confirmed)) => self.note(confirmed)?,
            None => {
                self.unconfirmed_bytes += bytes;
                self.unconfirmed.push_back(Unconfirmed { bytes, answer });
            }
        }
        Ok(())
    }

    /// Waits until the broker has confirmed everything that was published.
    ///
    /// # Errors
    /// [`BrokerError::NotTaken`] names the messages since the last flush that the broker did not take; all
    /// others were, and the publisher goes on. After any other error it is of no more use, and which
    /// messages were taken is unknown.
    pub async fn flush(&mut self) -> Result<(), BrokerError> {
        while !self.unconfirmed.is_empty() {
            self.await_oldest().await?;
        }
        match std::mem::take(&mut self.refused) {
            refused if refused.is_empty() => Ok(()),
            refused => Err(BrokerError::NotTaken(refused)),
        }
    }

    /// Says goodbye. What was not flushed may be lost.
    pub async fn close(self) {
        self.wire.close().await;
    }

    async fn await_oldest(&mut self) -> Result<(), BrokerError> {
        let Some(oldest) = self.unconfirmed.front_mut() else {
            return Ok(());
        };
        // Borrowed, not taken: whoever drops this future loses no answer.
        let confirmed = match tokio::time::timeout(CONFIRM_TIMEOUT, &mut oldest.answer).await {
            Ok(confirmed) => confirmed.map_err(|error| self.wire.explain(publish_error(&error)))?,
            Err(_) => return Err(self.no_answer()),
        };
        self.unconfirmed_bytes -= oldest.bytes;
        self.unconfirmed.pop_front();
        self.note(confirmed)
    }

    /// Notes a message that was not taken.
    ///
    /// Which one it is, only the returned message itself says: where the broker confirms several at once,
    /// the library gives it to any of them.
    fn note(&mut self, confirmed: Confirmation) -> Result<(), BrokerError> {
        match confirmed {
            Confirmation::Ack(None) => {}
            Confirmation::Ack(Some(returned)) => self.refused.push(refusal(&returned)),
            Confirmation::Nack(returned) => {
                self.refused.extend(returned.as_ref().map(refusal));
                let reason = "it answered with a nack, as it does when a queue is full".to_owned();
                self.refused.push(Refusal { exchange: None, routing_key: None, message_id: None, reason });
            }
            Confirmation::NotRequested => {
                let reason = "the channel is not in confirm mode".to_owned();
                return Err(BrokerError::Lost { action: PUBLISH.to_owned(), reason });
            }
        }
        Ok(())
    }

    fn no_answer(&self) -> BrokerError {
        BrokerError::Timeout {
            action: PUBLISH.to_owned(),
            after: CONFIRM_TIMEOUT,
            blocked: self.wire.blocked(),
        }
    }
}

fn refusal(returned: &BasicReturnMessage) -> Refusal {
    Refusal {
        exchange: Some(returned.exchange.to_string()),
        routing_key: Some(returned.routing_key.to_string()),
        message_id: returned.properties.message_id().as_ref().map(ToString::to_string),
        reason: format!("no queue takes it ({})", returned.reply_text),
    }
}

fn publish_error(error: &lapin::Error) -> BrokerError {
    match reply_code(error) {
        // Such as a body above the broker's own limit.
        Some(codes::PRECONDITION_FAILED) => BrokerError::Unsendable(reason(error)),
        _ => BrokerError::of(PUBLISH, error),
    }
}
