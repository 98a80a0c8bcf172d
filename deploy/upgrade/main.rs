//! An upgrade and a rollback, for real: the program of an earlier revision and this one, over one database.
//!
//! `deploy/dev upgrade` builds both and starts it on servers of its own. Under a load of which everything that must
//! come of it is known, the earlier program works alone, the later one migrates under it, both serve side by side
//! and are killed, the later one goes on alone, and the earlier one comes back over the newer schema. After each
//! phase it prints what was lost, done twice or left, and it exits with 1 where anything was.
//!
//! | module | holds |
//! |---|---|
//! | `story` | the phases, one after another |
//! | `scene` | load, both versions, and the audit |
//! | `version` | one version of the program: as a service, and as a command |
//! | `trouble` | jobs that fail, and replays of them |
//! | `rules` | random sequences of events, for every rule, held against the model |
//! | `views` | the names and columns that readers rely on |
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

#[path = "../../tests/support/model.rs"]
mod model;
#[path = "../../tests/support/recorded.rs"]
mod recorded;
#[path = "../../tests/support/sequence.rs"]
mod sequence;

#[path = "../chaos/probe.rs"]
mod probe;
#[path = "../chaos/table.rs"]
mod table;

mod rules;
mod scene;
mod story;
mod trouble;
mod version;
mod views;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;

use self::scene::Scene;

/// Upgrades from an earlier program to this one and back under load; exits with 1 where anything was lost, doubled
/// or stuck.
#[derive(Debug, Parser)]
struct Arguments {
    /// The earlier program.
    #[arg(long)]
    before: PathBuf,
    /// The later program, if it is not the one that was built together with this.
    #[arg(long)]
    after: Option<PathBuf>,
    /// How long each phase is under load at least, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// What the load and the moments of kills are drawn from.
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let arguments = Arguments::parse();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = arguments.seed.unwrap_or(clock);
    let own = std::env::current_exe().unwrap();
    let built = own.parent().and_then(Path::parent).unwrap().join("channel-sync");
    let (before, after) = (arguments.before, arguments.after.unwrap_or(built));
    println!("seed {seed}, from {} to {}", before.display(), after.display());
    let scene = Scene::set(&before, &after, seed).await;
    let sound = story::tell(scene, Duration::from_secs(arguments.seconds)).await;
    println!(
        "seed {seed}: {} in {} s",
        if sound { "sound" } else { "NOT SOUND" },
        started.elapsed().as_secs()
    );
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
