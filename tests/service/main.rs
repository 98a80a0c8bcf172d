//! The whole service over a real broker and a real database: publish, wait on the views, compare.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/model.rs"]
mod model;
#[path = "../support/recorded.rs"]
mod recorded;
#[path = "../support/sequence.rs"]
mod sequence;

mod backlog;
mod cutting;
mod explains;
mod fan_out;
mod freshness;
mod health;
mod limits;
mod metrics;
mod migrations;
mod previews;
mod publishing;
mod rejections;
mod replays;
mod restore;
mod retention;
mod rules;
mod sequences;
mod statements;
mod steps;
mod traces;
mod trouble;
mod verify;
