//! channel-sync keeps the settings of channel partners (downstreams) in step with those of their channel
//! managers (upstreams): events come in from RabbitMQ, settings and results go out to Postgres.
//!
//! Every organization is an actor whose mailbox lies in Postgres. One loop turns messages into events, each
//! with a letter in the mailbox that it is for. Another takes letters, lets the pure core decide, and
//! writes what follows: settings, results, and letters to the mailboxes of downstreams. A third makes letters
//! again of jobs that an operator wants done once more.
//!
//! ```text
//! bytes ─▶ contract::decode ─▶ Store::take_in ─▶ event + letter            then the acknowledgement
//!                                                       │
//!       ┌───────────────────────────────────────────────┘
//!       ▼
//! lock shards ─▶ take letters ─▶ load ─▶ mailbox::work ─▶ save             one transaction
//!                      ▲                                    │
//!                      └───────── letters that follow ◀─────┘
//! ```
//!
//! | module | its one job |
//! |---|---|
//! | [`domain`] | the rules, pure: no I/O, no async, no clock, no randomness |
//! | [`contract`] | bytes and properties into an event or a rejection |
//! | [`store`] | Postgres: takes in, loads, saves, reads; decides nothing |
//! | [`broker`] | RabbitMQ: a link that is built anew as often as it breaks, and publishing with confirms |
//! | [`flow`] | the loops, made of steps that a test can drive by hand |
//! | [`operations`] | what an operator can ask and do |
//! | [`http`] | the operators' pages, the API, metrics and health |
//! | [`service`] | builds everything, owns the tasks, stops them in order |
//! | [`cli`] | the command line: a thin layer over `operations` and `service` |
//! | [`config`] | defaults, a file and the environment into a checked configuration |
//! | [`delay`] | growing pauses |
//! | [`metrics`] | what the service counts and measures |
//! | [`telemetry`] | log records, and spans for a collector |
//! | [`tls`] | whom the servers are believed, and what an error of TLS means |
//! | `harmless` | somebody else's text, as it can be shown |
//! | `words` | times, values and names, as people read them |
//!
//! Dependencies point one way. `broker` and `store` do not know each other, `contract` knows only `domain`,
//! and `domain` knows nobody:
//!
//! ```text
//! cli ─▶ service ─▶ flow ────────────────▶ broker, store ─▶ contract ─▶ domain
//!  │        └─────▶ http ─▶ operations ─────▲
//!  └────────────────────────▲
//! ```
//!
//! Begin reading at [`domain::policy::rule`], the rules table; [`domain::decide`], what the rules do;
//! [`domain::mailbox::work`], the order in which they do it; and [`flow::executor::Executor::step`], a batch
//! from lock to commit. `ARCHITECTURE.md` has the whole: invariants, why batches are as if they ran one
//! after another, and what a crash does.

pub mod broker;
pub mod cli;
pub mod config;
pub mod contract;
pub mod delay;
pub mod domain;
pub mod flow;
mod harmless;
pub mod http;
pub mod metrics;
pub mod operations;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod tls;
mod words;
