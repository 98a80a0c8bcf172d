//! The operators' pages, on a real broker and a real database: what they answer, and how they are in a real browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod actions;
mod browser;
mod hostile;
mod live;
mod scene;
mod shown;
mod ways;
