//! The API over a real platform: every route as everybody, held against the document that describes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod api;
mod big;
mod changes;
mod connections;
mod document;
mod hostile;
mod pages;
mod problems;
mod routes;
