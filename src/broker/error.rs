//! What can go wrong with the broker, sorted by what a caller can do about it.

use std::time::Duration;

use lapin::ErrorKind;

/// Why something with the broker did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The link broke, or could not be made. Transient.
    #[error("{action}: {reason}")]
    Lost {
        /// What was being done, as a bare verb phrase.
        action: String,
        /// Why it did not work, in the words of the broker or the system.
        reason: String,
    },
    /// No answer in time. Transient.
    #[error("{action}: no answer within {} s{}", .after.as_secs(), if *.blocked { "; the broker has blocked publishing, as it does when it is short of memory or disk" } else { "" })]
    Timeout {
        /// What was being done, as a bare verb phrase.
        action: String,
        /// How long was waited.
        after: Duration,
        /// Whether the broker has said that it holds back publishers.
        blocked: bool,
    },
    /// The broker has answered everything but the request for deliveries. Transient, though an operator may have
    /// to bring the queue back.
    #[error("consume from {queue}: no answer within {} s, as from a quorum queue that has no leader", .after.as_secs())]
    Leaderless {
        /// The queue.
        queue: String,
        /// How long was waited.
        after: Duration,
    },
    /// The broker stopped delivering, as it does without another word when the queue is deleted. Transient:
    /// the next attempt declares the queue again, or finds it missing.
    #[error("consume from {queue}: the broker ended the delivery, as it does when the queue is deleted")]
    Ended {
        /// The queue.
        queue: String,
    },
    /// An acknowledgement for a link that is gone. Transient: the broker delivers the message again.
    #[error("acknowledge: the link that delivered the message is gone; it comes again")]
    Stale,
    /// The broker refuses the user or the virtual host. Permanent.
    #[error("connect to the broker: it refuses the user {user:?} on the virtual host {vhost:?}: {reason}")]
    Refused {
        /// The user.
        user: String,
        /// The virtual host.
        vhost: String,
        /// Why, in the broker's words.
        reason: String,
    },
    /// One side does not accept the other's certificate, or there is no TLS where there should be. Permanent, as far
    /// as can be known: somebody has to renew a certificate or to change the configuration.
    #[error("connect to the broker at {host}: {reason}")]
    Untrusted {
        /// The host, as the URL names it.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The user may not do this. Permanent.
    #[error("{action}: the broker does not permit it: {reason}")]
    Forbidden {
        /// What was being done, as a bare verb phrase.
        action: String,
        /// Why, in the broker's words.
        reason: String,
    },
    /// An exchange or a queue was declared beforehand, with other arguments. Permanent.
    #[error(
        "declare the {object}: the broker has it already, with other arguments: {reason}. Delete it there, choose \
         other names by broker.prefix, or take it as it is by broker.declare_topology = false"
    )]
    Conflict {
        /// Kind and name of the object, such as `queue channel-sync.events`.
        object: String,
        /// What differs, in the broker's words.
        reason: String,
    },
    /// An exchange or a queue is not there. Permanent.
    #[error(
        "{action}: topology missing: {reason}. Run with broker.declare_topology = true or import \
         deploy/rabbitmq/definitions.json"
    )]
    Missing {
        /// What was being done, as a bare verb phrase.
        action: String,
        /// What is missing, in the broker's words.
        reason: String,
    },
    /// A message that no broker can take, for its form or size. Permanent.
    #[error("publish: {0}")]
    Unsendable(String),
    /// Messages that the broker did not take. The link itself is sound.
    #[error("publish: {}", refusals(.0))]
    NotTaken(Vec<Refusal>),
}

/// A message that was published and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The exchange that it was published to; none where the broker did not say which message it means.
    pub exchange: Option<String>,
    /// Its routing key, likewise.
    pub routing_key: Option<String>,
    /// Its message id, where it has one and the broker said which message it means.
    pub message_id: Option<String>,
    /// Why, in the broker's words.
    pub reason: String,
}

fn refusals(all: &[Refusal]) -> String {
    let Some(first) = all.first() else {
        return "no message was refused".to_owned();
    };
    let which = match (&first.exchange, &first.routing_key) {
        (Some(exchange), Some(key)) => format!(" to the exchange {exchange} with the routing key {key}"),
        _ => String::new(),
    };
    let id = first.message_id.as_ref().map(|id| format!(" (message id {id})")).unwrap_or_default();
    let more = match all.len() {
        1 => String::new(),
        count => format!("; {} more like it", count - 1),
    };
    format!("the broker did not take a message{which}{id}: {}{more}", first.reason)
}

impl BrokerError {
    /// Whether another attempt may go well with nothing changed by a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Leaderless { .. }
            | Self::Ended { .. }
            | Self::Stale => true,
            Self::Refused { .. }
            | Self::Untrusted { .. }
            | Self::Forbidden { .. }
            | Self::Conflict { .. }
            | Self::Missing { .. }
            | Self::Unsendable(_)
            | Self::NotTaken(_) => false,
        }
    }

    /// What an error of the library means where nothing more particular is known. `action` is a bare verb
    /// phrase.
    pub(super) fn of(action: &str, error: &lapin::Error) -> Self {
        let (action, reason) = (action.to_owned(), reason(error));
        match reply_code(error) {
            Some(codes::ACCESS_REFUSED) => Self::Forbidden { action, reason },
            Some(codes::NOT_FOUND) => Self::Missing { action, reason },
            _ => Self::Lost { action, reason },
        }
    }
}

/// The reply codes of AMQP 0-9-1 that decisions are made by.
pub(super) mod codes {
    pub(in crate::broker) const ACCESS_REFUSED: u16 = 403;
    pub(in crate::broker) const NOT_FOUND: u16 = 404;
    pub(in crate::broker) const PRECONDITION_FAILED: u16 = 406;
    pub(in crate::broker) const NOT_ALLOWED: u16 = 530;
}

/// The code with which the broker closed the channel or the connection, where that is what happened.
pub(super) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// What the broker or the system said.
pub(super) fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}
