//! The simulator: ingest and executor, the real ones, on a database and a broker in memory that fail wherever
//! real ones may, in interleavings that are drawn from a seed.
//!
//! A run needs no server and takes some milliseconds. Its processes take in messages, work letters off, die, lose
//! their links and start anew, while organizations are poisoned, locked and paused, and jobs are replayed. In safety mode that goes on
//! to the end; in liveness mode the faults stop, and everything must come to an end. What must hold is in
//! [`checks`]: nothing lost, nothing done twice, each organization's jobs in order, and the same outcome as
//! the pure model's. Batches have room for few entries in some runs, so that jobs are cut, and for all in others.
//!
//! `deploy/dev simulate N` runs any number of seeds; `deploy/dev simulate 1 --seed S` runs one again and shows
//! what happens, step by step.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and tells what it does"
)]

mod broker;
mod checks;
mod database;
#[path = "../support/events.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other test programs")]
mod events;
mod faults;
mod load;
#[path = "../support/model.rs"]
mod model;
mod rows;
mod scheduler;
#[path = "../support/sequence.rs"]
mod sequence;
mod shared;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use scheduler::{Mode, Report, run};
use shared::Tally;

/// How many seeds of each mode the test command runs.
const SEEDS: u64 = 250;

/// How many of the last lines of a trace a failure shows.
const TRACE_LINES: usize = 80;

/// What went wrong with a seed: how to run it again, and its last steps.
fn describe(seed: u64, mode: Mode, failure: &str) -> String {
    let trace = run(seed, mode, true).trace;
    let last = trace[trace.len().saturating_sub(TRACE_LINES)..].join("\n");
    format!("{last}\n\nseed {seed}, {mode:?}: {failure}\n\nrun it again: deploy/dev simulate 1 --seed {seed}")
}

/// What came of many seeds.
#[derive(Default)]
struct Totals {
    runs: u64,
    tally: Tally,
    kinds: [u64; 4],
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.tally.add(&report.tally);
        for (total, kind) in self.kinds.iter_mut().zip(report.kinds) {
            *total += kind;
        }
    }
}

/// Runs seeds one after the other.
fn run_all(seeds: Range<u64>, mode: Mode) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        let report = run(seed, mode, false);
        if let Err(failure) = &report.outcome {
            panic!("{}", describe(seed, mode, failure));
        }
        totals.add(&report);
    }
    totals
}

/// Everything that a run is about happened: else it would prove nothing.
fn assert_eventful(totals: &Totals) {
    let Tally { events, rejected, jobs, given_up, postponed, split, .. } = totals.tally;
    let Tally { cut_by_members, cut_by_entries, at_once, replayed, .. } = totals.tally;
    let Tally { rolled_back, crashes, stops, redelivered, lost_calls, unanswered_commits, .. } = totals.tally;
    let work = [events, rejected, jobs, given_up, postponed, cut_by_entries, at_once, replayed];
    let faults = [rolled_back, crashes, stops, redelivered, lost_calls, unanswered_commits];
    let least = work.iter().chain(&faults).chain(&totals.kinds).min();
    assert!(
        split.min(cut_by_members) >= 5 && least >= Some(&20),
        "{:?}, jobs {:?}",
        totals.tally,
        totals.kinds
    );
}

#[test]
fn nothing_is_lost_or_done_twice_while_faults_go_on() {
    assert_eventful(&run_all(0..SEEDS, Mode::Safety));
}

#[test]
fn everything_comes_to_its_end_when_faults_stop() {
    assert_eventful(&run_all(0..SEEDS, Mode::Liveness));
}

#[test]
fn a_seed_runs_the_same_way_each_time() {
    for (seed, mode) in (0..8).flat_map(|seed| [(seed, Mode::Safety), (seed, Mode::Liveness)]) {
        let (one, other) = (run(seed, mode, true), run(seed, mode, true));
        assert!(one.trace.len() > 100);
        let differs = one.trace.iter().zip(&other.trace).find(|(one, other)| one != other);
        assert_eq!((differs, one.trace.len()), (None, other.trace.len()), "seed {seed}, {mode:?}");
    }
}

/// What `deploy/dev simulate` runs: `SIMULATE_SEEDS` seeds from `SIMULATE_FIRST` on, in both modes.
#[test]
#[ignore = "any number of seeds: deploy/dev simulate N"]
fn simulate() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seeds, first) = (number("SIMULATE_SEEDS", 1000), number("SIMULATE_FIRST", 0));
    if seeds == 1 {
        for mode in [Mode::Safety, Mode::Liveness] {
            let report = run(first, mode, true);
            println!("seed {first}, {mode:?}\n{}\n{:?}\n", report.trace.join("\n"), report.tally);
            if let Err(failure) = &report.outcome {
                panic!("seed {first}, {mode:?}: {failure}");
            }
        }
        return;
    }
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds || failed.load(Ordering::Relaxed) {
                        break;
                    }
                    for mode in [Mode::Safety, Mode::Liveness] {
                        let report = run(first + place, mode, false);
                        if let Err(failure) = &report.outcome {
                            failed.store(true, Ordering::Relaxed);
                            println!("{}", describe(first + place, mode, failure));
                        }
                        totals.lock().unwrap().add(&report);
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut told = Instant::now();
            while next.load(Ordering::Relaxed) < seeds && !failed.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                if told.elapsed() >= Duration::from_secs(10) {
                    told = Instant::now();
                    eprintln!("{} of {seeds} seeds", next.load(Ordering::Relaxed));
                }
            }
        });
    });
    let seconds = began.elapsed().as_secs_f64();
    let Totals { runs, tally, kinds } = totals.into_inner().unwrap();
    println!("{tally:#?}\njobs: own-change, partnership-change, sync-change, reconcile: {kinds:?}");
    println!(
        "{} seeds from {first} on, each in both modes, in {seconds:.1} s: {:.0} seeds a second",
        runs / 2,
        runs as f64 / 2.0 / seconds
    );
    assert!(!failed.into_inner(), "a seed failed, see above");
    println!("0 lost, 0 done twice, 0 stuck");
}
