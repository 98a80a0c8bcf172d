//! The loops: messages into letters, letters into results.
//!
//! Each loop is made of public steps that a test can drive by hand. The steps load, let the domain decide,
//! and save; they decide nothing themselves.
//!
//! | module | does |
//! |---|---|
//! | [`ingest`] | takes messages from the broker, and acknowledges them after what they say is committed |
//! | [`executor`] | works off letters, batch by batch |
//! | `batch` | a batch that is being worked off |
//! | [`replayer`] | sends the jobs of replays back into the mailboxes |
//! | [`retention`] | makes partitions for results ahead, and drops those that are old |
//! | [`sampler`] | looks at the database and the queue, for the metrics |
//! | [`database`], [`deliveries`] | what they ask of a database and a broker, for tests to stand in |

mod batch;
pub mod database;
pub mod deliveries;
pub mod executor;
pub mod ingest;
pub mod replayer;
pub mod retention;
pub mod sampler;
