//! RabbitMQ: the only place that knows the client library `lapin`.
//!
//! It moves bytes and knows no event, no setting and no database. Messages come out and go in as
//! [`contract::Message`](crate::contract::Message).
//!
//! What always holds:
//! - The library's automatic recovery is off, as it can leave a consumer waiting for ever and let an old
//!   delivery tag acknowledge another message. A [`Link`] owns connection, channel and consumer, numbers
//!   them as a generation, and builds all three anew after any error.
//! - A message is acknowledged by [`Consumer::ack_through`] alone, over the generation that delivered it.
//! - Publishing has a connection of its own: a broker that is short of memory or disk stops reading from
//!   those that publish, and acknowledgements must not wait behind that.
//! - Every message that the broker delivers can be read by the library, since it is put right before: one that could
//!   not would end each generation anew, and nothing behind it would ever come.
//! - A link whose broker is silent is down before twice the heartbeat is over.
//! - A message counts as published when the broker has confirmed it *and* a queue has taken it.
//!
//! | module | holds |
//! |---|---|
//! | [`topology`] | the names of exchanges and queues, and their declaration |
//! | [`consume`] | one generation: deliveries in batches, acknowledged together |
//! | `depth` | how long a queue is |
//! | `check`, `management` | whether a broker that was declared by hand is as it should be; what AMQP cannot tell |
//! | [`link`] | the generations one after the other, and what state the link is in |
//! | [`publish`] | publishing with confirms |
//! | `connection`, `silence` | one connection, and when the broker was last heard on it |
//! | `parsable` | what comes over it, put right so that the library can read it |

mod check;
mod connection;
pub mod consume;
mod depth;
mod error;
pub mod link;
mod management;
mod message;
mod parsable;
pub mod publish;
mod silence;
pub mod topology;

pub use check::{CheckState, Finding, check};
pub use consume::{Consumer, Delivery, Receipt};
pub use depth::{Depth, Lookout, depth};
pub use error::{BrokerError, Refusal};
pub use link::{Link, LinkState};
pub use management::Management;
pub use publish::Publisher;
pub use topology::Topology;
