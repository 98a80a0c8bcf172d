//! The rules of data sync, tested on the pure domain: no server, no clock, no file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail like tests do"
)]

#[path = "../support/model.rs"]
mod model;
#[path = "../support/sequence.rs"]
mod sequence;

mod catalogue;
mod mailbox;
mod modes;
mod policy;
mod properties;
mod replay;
mod restore;
mod retry;
mod rules;
mod scenario;
