//! Publishing events: all of a text, or nothing where one of them cannot be an event.

use serde::Serialize;

use crate::broker::{BrokerError, Publisher, Refusal, Topology};
use crate::config::BrokerConfig;
use crate::contract::{self, Limits, Message, ReadEventsError, Rejection, RejectionCode};
use crate::domain::catalogue::Catalogue;

/// An event that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyEvent {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// Its routing key.
    pub routing_key: String,
    /// The message that brings it.
    pub message: Message,
}

/// An event that cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct MalformedEvent {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// What became of what was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// How many events there were.
    pub events: usize,
    /// How many the broker has confirmed: they are in its queue, on disk.
    pub confirmed: usize,
    /// What the broker did not take, in its words.
    pub not_taken: Vec<String>,
}

/// Why publishing did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No connection: nothing was published.
    #[error("reach the broker, nothing was published")]
    Connect(#[source] BrokerError),
    /// The broker takes nothing, and would not for the mere asking again: nothing was published.
    #[error("publish, nothing was published")]
    Refused(#[source] BrokerError),
    /// The link broke: which events were taken is not known.
    #[error(
        "publish: {confirmed} of {events} events were confirmed, which of the others were taken is not known"
    )]
    Broken {
        /// How many there were to publish.
        events: usize,
        /// How many were confirmed before.
        confirmed: usize,
        /// What happened.
        #[source]
        error: BrokerError,
    },
}

/// How many events are handed over before their confirms are waited for.
const CHUNK: usize = 1_000;

/// Reads one event or JSON Lines, and checks of each what it needs to be sent: that it is an object, of a known type,
/// for an organization that is named; and that it is within the limits. What else may be wrong with it is for the
/// service to say, whose catalogue may be another.
///
/// # Errors
/// All events that are malformed, in the order of the text.
pub fn read(
    text: &str,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Result<Vec<ReadyEvent>, Vec<MalformedEvent>> {
    let events = contract::read_events(text)
        .map_err(|ReadEventsError { line, reason }| vec![MalformedEvent { line, reason }])?;
    let (mut ready, mut malformed) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        let message = contract::to_message(event.text)
            .and_then(|message| within(&message, catalogue, limits).map(|()| message));
        match message {
            Ok(message) => {
                let routing_key = message.properties.routing_key.clone().unwrap_or_default();
                ready.push(ReadyEvent { line: event.line, routing_key, message });
            }
            Err(rejection) => malformed.push(MalformedEvent { line: event.line, reason: rejection.reason }),
        }
    }
    if malformed.is_empty() { Ok(ready) } else { Err(malformed) }
}

/// That a message is not larger or deeper than it may be.
fn within(message: &Message, catalogue: &Catalogue, limits: &Limits) -> Result<(), Rejection> {
    match contract::decode(message, catalogue, limits) {
        Err(rejection) if matches!(rejection.code, RejectionCode::TooLarge | RejectionCode::TooDeep) => {
            Err(rejection)
        }
        _ => Ok(()),
    }
}

/// Publishes events, in order, and waits until the broker has confirmed them.
///
/// # Errors
/// Where the broker cannot be reached or the link breaks. To publish all of it again does no harm: an event
/// that comes twice takes effect once.
pub async fn publish(config: &BrokerConfig, events: &[ReadyEvent]) -> Result<Published, PublishError> {
    let mut published = Published { events: events.len(), confirmed: 0, not_taken: Vec::new() };
    if events.is_empty() {
        return Ok(published);
    }
    let exchange = Topology::new(&config.prefix).events;
    let mut publisher = Publisher::connect(config).await.map_err(PublishError::Connect)?;
    // The first one alone: where the exchange is missing, the broker says so most clearly to a single message.
    let (first, rest) = events.split_at(1);
    for chunk in std::iter::once(first).chain(rest.chunks(CHUNK)) {
        let mut handed_over = chunk.len();
        let broken = |error: BrokerError, published: &Published| match published {
            Published { confirmed: 0, .. } if !error.is_transient() => PublishError::Refused(error),
            Published { events, confirmed, .. } => {
                PublishError::Broken { events: *events, confirmed: *confirmed, error }
            }
        };
        for event in chunk {
            match publisher.publish(&exchange, &event.routing_key, &event.message).await {
                Ok(()) => {}
                Err(BrokerError::Unsendable(reason)) => {
                    handed_over -= 1;
                    published.not_taken.push(format!("line {}: {reason}", event.line));
                }
                Err(error) => return Err(broken(error, &published)),
            }
        }
        match publisher.flush().await {
            Ok(()) => published.confirmed += handed_over,
            Err(BrokerError::NotTaken(refusals)) => {
                published.confirmed += handed_over.saturating_sub(refusals.len());
                published.not_taken.extend(refusals.iter().map(refusal));
            }
            Err(error) => return Err(broken(error, &published)),
        }
    }
    publisher.close().await;
    Ok(published)
}

fn refusal(refusal: &Refusal) -> String {
    let which = match (&refusal.message_id, &refusal.routing_key) {
        (Some(id), _) => format!("the event {id}: "),
        (None, Some(key)) => format!("an event with the routing key {key}: "),
        (None, None) => String::new(),
    };
    format!("{which}{}", refusal.reason)
}
