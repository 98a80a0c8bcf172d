//! Faults on the real servers: links that break in every way, processes killed at every step, servers that are
//! away, rows that somebody has locked. After each, the audit must find nothing. `docs/faults.md` says what the
//! service does about each fault, and which test proves it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod kills;
mod links;
mod pitfalls;
mod postgres;
mod repair;
mod stopping;
mod unreadable;

use std::path::Path;

use support::process::Process;
use support::stage::Variables;

/// The real program with these variables.
fn start(variables: &Variables) -> Process {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    Process::start(Path::new(env!("CARGO_BIN_EXE_channel-sync")), folder, &variables.pairs())
}

/// The real program with these variables, once it says that it is ready.
async fn start_ready(variables: &Variables) -> Process {
    let mut process = start(variables);
    process.ready().await;
    process
}

/// Stops a process in order.
async fn stop(mut process: Process) {
    process.signal("TERM");
    let status = process.ended().await;
    assert!(status.success(), "{status}\n{}", process.log());
}
