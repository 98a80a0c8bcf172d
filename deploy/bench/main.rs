//! The benchmark: how much the service does, from RabbitMQ to Postgres, beside what the same rows cost in raw SQL.
//!
//! `deploy/dev bench` builds it optimised and starts it on servers of its own, with stock settings. Each workload
//! is run in rounds: in each, the service (built for release, as its defaults are) and then the floor, each on
//! a fresh database. After every run of the service all that must have come of it is counted; a run in which
//! anything is missing, or too much, ends the benchmark with 1.
//!
//! | module | holds |
//! |---|---|
//! | `workload` | what is published, and what must come of it |
//! | `ground` | the prepared database, and the service on a copy of it |
//! | `round` | one measured run of the service, and the count afterwards |
//! | `floor` | the same rows in raw SQL |
//! | `usage` | processor time and memory, from `/proc` |
//! | `report` | medians over the rounds, as a table or as JSON |
//! | `equipment` | a real equipment list |
//!
//! `pure.rs` is a program of its own: `cargo bench` measures decoding and deciding, without servers.
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

mod equipment;
mod floor;
mod ground;
mod report;
mod round;
mod usage;
mod workload;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::PossibleValuesParser;

use self::floor::{Floor, Kind};
use self::ground::Ground;
use self::report::Figures;
use self::round::Run;
use self::workload::Workload;

/// Measures the service from RabbitMQ to Postgres, beside raw SQL that writes the same rows.
#[derive(Debug, Parser)]
#[command(name = "deploy/dev bench")]
struct Arguments {
    /// How often each workload is run; the medians are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A part of each workload: 0.1 publishes a tenth of the events, or begins a tenth of the partnerships.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(workload::names()))]
    only: Vec<String>,
    /// All workloads, also those that take minutes a round.
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// How many processes of the service share the work; several, parted by commas, take turns.
    #[arg(long, default_value = "1", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=8))]
    processes: Vec<u16>,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !(arguments.scale > 0.0 && arguments.scale <= 100.0) {
        eprintln!("--scale: expected a number above 0 and at most 100, not {}", arguments.scale);
        return ExitCode::from(2);
    }
    let chosen = |workload: &Workload| match arguments.only.as_slice() {
        [] => arguments.all || workload.usual,
        only => only.iter().any(|name| name == workload.name),
    };
    let servers = ground::servers().await;
    eprintln!("{servers}");
    let mut all = Vec::new();
    for workload in workload::all(arguments.scale).into_iter().filter(chosen) {
        match measure(&workload, &arguments.processes, arguments.rounds).await {
            Ok(figures) => all.extend(figures),
            Err(wrong) => {
                eprintln!("{}: NOT EXACT\n{}", workload.name, wrong.join("\n"));
                return ExitCode::FAILURE;
            }
        }
    }
    if arguments.json {
        println!("{}", report::json(&servers, arguments.rounds, arguments.scale, &all));
    } else {
        print!("{}", report::table(&servers, arguments.rounds, arguments.scale, &all));
    }
    ExitCode::SUCCESS
}

/// Runs a workload by each of these numbers of processes, and its floors, in turn.
///
/// # Errors
/// What was missing or too much after a run.
async fn measure(workload: &Workload, processes: &[u16], rounds: u32) -> Result<Vec<Figures>, Vec<String>> {
    let started = Instant::now();
    eprintln!("{}: {}", workload.name, workload.about);
    let ground = Ground::prepare(workload).await;
    eprintln!("  prepared in {:.1} s", started.elapsed().as_secs_f64());
    let mut runs: Vec<(u16, Vec<Run>)> = processes.iter().map(|count| (*count, Vec::new())).collect();
    let mut floors: Vec<(Kind, Vec<Floor>)> =
        Kind::of(workload).iter().map(|kind| (*kind, Vec::new())).collect();
    for no in 1..=rounds {
        for (processes, runs) in &mut runs {
            let run = round::run(&ground, workload, usize::from(*processes)).await?;
            let told = told(workload, run.elapsed, &run.latencies);
            eprintln!("  round {no}, {}: {told}", report::processes(*processes));
            runs.push(run);
        }
        for (kind, floors) in &mut floors {
            let floor = floor::run(&ground, workload, *kind).await;
            eprintln!("    {}: {}", kind.name(), told(workload, floor.elapsed, &floor.latencies));
            floors.push(floor);
        }
    }
    Ok(runs.iter().map(|(processes, runs)| Figures::of(workload, *processes, runs, &floors)).collect())
}

/// A run in short.
fn told(workload: &Workload, elapsed: Duration, latencies: &[Duration]) -> String {
    if latencies.is_empty() {
        let seconds = elapsed.as_secs_f64();
        return format!("{:.0} jobs/s in {seconds:.2} s", workload.jobs() as f64 / seconds);
    }
    let mean = latencies.iter().sum::<Duration>().as_secs_f64() / latencies.len() as f64;
    format!("{:.1} ms on average", mean * 1_000.0)
}
