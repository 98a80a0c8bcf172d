//! What tests over the real servers share. Missing servers fail a test; nothing is ever skipped.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses what it needs, and a test fails by panicking"
)]

pub mod audit;
pub mod broker;
pub mod certificates;
pub mod database;
pub mod events;
pub mod load;
pub mod platform;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod stage;
pub mod tap;
