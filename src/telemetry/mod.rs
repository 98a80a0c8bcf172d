//! What the program tells of its work: log records, and spans for a collector.
//!
//! | module | does |
//! |---|---|
//! | [`log`] | writes log records to stderr |
//! | [`traces`] | sends spans to a collector by OTLP; the only place that knows OpenTelemetry |

pub mod log;
pub mod traces;

pub use log::init;
pub use traces::Traces;
