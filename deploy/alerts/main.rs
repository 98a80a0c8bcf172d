//! Every alert of `deploy/prometheus/alerts.yaml`, for real: brought about on the running program, seen in a real
//! Prometheus, and ended by what `docs/runbook.md` says to do.
//!
//! `deploy/dev alerts` starts it on servers of its own, and nothing else may use these. First, none of the rules may be
//! pending where all is well. Then it prints for each alert how it reads, with its labels, and how long it took to come
//! and to go; it exits with 1 where one did not, or cannot be read. Minutes and hours are seconds there: `rules` says
//! which numbers are others, and nothing but numbers is.
//!
//! | module | holds |
//! |---|---|
//! | `rules` | the alerts, and the same with shorter times |
//! | `prometheus` | a Prometheus of its own, and what it says |
//! | `runbook` | its queries, word for word |
//! | `scene` | database, virtual host, service and Prometheus around one alert |
//! | `causes` | for each alert, what brings it about and what ends it |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers, which prints what it finds and ends where it cannot go on"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

#[path = "../chaos/servers.rs"]
#[allow(dead_code, reason = "chaos asks more of the servers")]
mod servers;

mod causes;
mod prometheus;
mod rules;
mod runbook;
mod scene;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use futures_util::FutureExt as _;

use self::scene::Ground;

/// Brings every alert about, sees it come in Prometheus, does what the runbook says, and sees it go; exits with 1
/// where one does not.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program of Prometheus.
    #[arg(long)]
    prometheus: PathBuf,
    /// Only these alerts, by parts of their names, with commas between.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let Arguments { prometheus, only } = Arguments::parse();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").expect("run by `deploy/dev alerts`"));
    let ground = Ground { folder, prometheus };
    for change in rules::changes() {
        println!("{change}");
    }
    let (mut seen, mut failed) = (0, Vec::new());
    if wanted(causes::ALL_IS_WELL) && !causes::all_is_well(&ground).await {
        failed.push(causes::ALL_IS_WELL.to_owned());
    }
    for alert in rules::names() {
        if wanted(&alert) {
            // One that cannot be brought about does not keep the others from being.
            let outcome = AssertUnwindSafe(causes::bring_about(&ground, &alert)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err("could not be brought about, see above".to_owned())) {
                Ok(()) => seen += 1,
                Err(problem) => {
                    println!("{alert:<17} {problem}");
                    failed.push(alert);
                    servers::begin_to_start().await.unwrap();
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs();
    if failed.is_empty() {
        println!("{seen} alerts came and went, in {seconds} s");
        return ExitCode::SUCCESS;
    }
    println!("{seen} alerts came and went, in {seconds} s; NOT SOUND: {}", failed.join(", "));
    ExitCode::FAILURE
}
