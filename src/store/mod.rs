//! Postgres: the only place that knows SQL. Loads what decisions need, saves what they did.
//!
//! Knows the domain and the contract's words, but decides nothing. What always holds: every statement is a
//! file in `sql/`, set-based, so that its cost in round trips does not grow with the number of rows; a
//! transaction in which a statement failed is dropped, never committed.
//!
//! | module | holds |
//! |---|---|
//! | `pool` | connections, sessions, migrations |
//! | [`statements`] | the statements by name, each a file in `sql/` |
//! | [`error`] | what can go wrong, and whether to try again |
//! | `payload` | events and changes as they are stored |
//! | [`intake`] | taking in a batch of messages |
//! | [`batch`] | taking letters, loading what they touch, saving what was done |
//! | [`read`] | reading for people and programs |
//! | [`wake`] | notifications that there is new work |

pub mod batch;
pub mod error;
pub mod intake;
mod payload;
mod pool;
pub mod read;
mod rows;
pub mod statements;
pub mod wake;

pub use error::StoreError;
pub use pool::{Session, Store, Transaction};
