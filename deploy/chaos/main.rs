//! Chaos: servers and replicas are killed, stopped and hung under load, and what came of the load is counted.
//!
//! `deploy/dev chaos` starts it on servers of its own, and nothing else may use these. It prints a line for each
//! fault: how many messages and jobs were lost, done twice or left, and how long the service took to work again.
//! It exits with 1 where anything was lost, doubled or stuck.
//!
//! | module | holds |
//! |---|---|
//! | `faults` | what is done to servers and replicas, one after another |
//! | `measures` | a held row among a thousand partners, and memory under a long queue |
//! | `scene` | load, replicas and audit around one fault |
//! | `servers` | the private servers: killed by their process ids, started by `deploy/dev up` |
//! | `probe` | when the service works again |
//! | `table` | the printed result |
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

mod faults;
mod measures;
mod probe;
mod scene;
mod servers;
mod table;

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;

use self::faults::Fault;
use self::table::Table;

/// Kills, stops and hangs servers and replicas under load; exits with 1 where anything was lost, doubled or
/// stuck.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often a replica is killed in all.
    #[arg(default_value_t = 200)]
    rounds: u32,
    /// Each fault once or twice, 30 kills, a short queue: about a minute.
    #[arg(long)]
    short: bool,
    /// What the load and the moments of faults are drawn from.
    #[arg(long)]
    seed: Option<u64>,
    /// How long the queue is under which memory is looked at.
    #[arg(long)]
    queue: Option<usize>,
    /// Only this fault or measurement, by a part of its name.
    #[arg(long)]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = Arguments::parse();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or(clock);
    println!("seed {seed}");
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut table = Table::new("fault");
    for fault in Fault::ALL {
        if wanted(fault.name()) {
            table.print(faults::run(fault, arguments.short, arguments.rounds, seed).await);
        }
    }
    let mut sound = table.is_sound();
    if wanted(measures::MEMORY) {
        let queue = arguments.queue.unwrap_or(if arguments.short { 20_000 } else { 1_000_000 });
        sound &= measures::memory(queue, seed).await;
    }
    // A round takes longer than all of the short form.
    if wanted(measures::HELD_ROW) && !arguments.short {
        sound &= measures::held_row(5, seed).await;
    }
    println!(
        "seed {seed}: {} in {} s",
        if sound { "sound" } else { "NOT SOUND" },
        started.elapsed().as_secs()
    );
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
