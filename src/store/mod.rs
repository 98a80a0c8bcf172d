//! Postgres: the only place that knows SQL. Loads what decisions need, saves what they did.
//!
//! Knows the domain and the contract's words, but decides nothing. What always holds: every statement on
//! data is a file in `sql/`, set-based, so that its cost in round trips does not grow with the number of rows; a
//! transaction in which a statement failed is dropped, never committed.
//!
//! | module | holds |
//! |---|---|
//! | `dial` | connections, with TLS or without |
//! | `pool` | sessions, transactions |
//! | `schema` | migrations, and whether this program may work on what is there |
//! | [`statements`] | the statements by name, each a file in `sql/` |
//! | [`error`] | what can go wrong, and whether to try again |
//! | `payload` | events and changes as they are stored |
//! | [`intake`] | taking in a batch of messages |
//! | [`batch`] | locking shards, taking letters |
//! | [`load`] | loading the part of the world that letters touch |
//! | [`save`] | saving what was done |
//! | [`choice`] | jobs that an operator chose: shown, discarded |
//! | [`replay`] | jobs that are done once more |
//! | [`retention`] | days of results: made ahead, dropped by age |
//! | [`rejected`] | rejected messages that are taken in after all, or given up |
//! | [`pause`] | what executors are to leave alone |
//! | [`failure`] | what becomes of a letter whose job failed |
//! | `together` | statements that are under way at once |
//! | `touched` | what something newer than old jobs has touched |
//! | `columns`, `rows`, `words` | domain types as columns, from rows, in words for people |
//! | [`read`] | reading for people and programs |
//! | [`overview`] | the last hour, the oldest letter |
//! | [`preview`] | what a preview reads |
//! | `sample` | what the metrics show |
//! | [`explain`] | why a setting is as it is |
//! | [`restore`] | bringing back what a match displaced |
//! | [`freshness`] | how far behind each partnership is |
//! | [`verify`] | comparing strict partnerships, and making jobs that put them right |
//! | [`wake`] | notifications that there is new work |

pub mod batch;
pub mod choice;
mod columns;
mod dial;
pub mod error;
pub mod explain;
pub mod failure;
pub mod freshness;
pub mod intake;
pub mod load;
pub mod overview;
pub mod pause;
mod payload;
mod pool;
pub mod preview;
pub mod read;
pub mod rejected;
pub mod replay;
pub mod restore;
pub mod retention;
mod rows;
mod sample;
pub mod save;
mod schema;
pub mod statements;
mod together;
mod touched;
pub mod verify;
pub mod wake;
pub(crate) mod words;

pub use error::StoreError;
pub use pool::{Session, Store, Transaction};
