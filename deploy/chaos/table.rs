//! The printed result: a line for each fault, or for each phase of an upgrade, as soon as it is over.

use std::time::Duration;

use super::support::audit::Audit;

/// What came of one fault or phase.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// What was done, or went on.
    pub(crate) name: &'static str,
    /// How often.
    pub(crate) runs: u32,
    /// What was taken in and done.
    pub(crate) audit: Audit,
    /// How long it took each time until the service worked again.
    pub(crate) recoveries: Vec<Duration>,
    /// What else is to be said.
    pub(crate) note: String,
}

/// The lines so far.
#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    lines: usize,
    unsound: usize,
}

impl Table {
    /// No lines yet; what they are about.
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, lines: 0, unsound: 0 }
    }

    /// Prints a line, and what the audit found.
    pub(crate) fn print(&mut self, row: Row) {
        if self.lines == 0 {
            println!(
                "{:<34} {:>4} {:>8} {:>8} {:>5} {:>7} {:>5} {:>5} {:>9} {:>9}",
                self.title, "runs", "events", "jobs", "lost", "doubled", "stuck", "wrong", "median", "max"
            );
        }
        self.lines += 1;
        let Row { name, runs, audit, mut recoveries, note } = row;
        recoveries.sort();
        let shown = |recovery: Option<&Duration>| match recovery {
            Some(recovery) => format!("{:.3} s", recovery.as_secs_f64()),
            None => "-".to_owned(),
        };
        println!(
            "{name:<34} {runs:>4} {:>8} {:>8} {:>5} {:>7} {:>5} {:>5} {:>9} {:>9}  {note}",
            audit.events,
            audit.jobs,
            audit.lost.len(),
            audit.doubled.len(),
            audit.stuck.len(),
            audit.wrong.len(),
            shown(recoveries.get(recoveries.len() / 2)),
            shown(recoveries.last()),
        );
        if !audit.is_sound() {
            self.unsound += 1;
            println!("{audit}");
        }
    }

    /// Whether nothing was found in any line.
    pub(crate) fn is_sound(&self) -> bool {
        self.unsound == 0
    }
}
