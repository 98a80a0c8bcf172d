//! `status --watch`: how things stand, again and again, with what was done in between.
//!
//! On a terminal each reading is drawn over the one before, no larger than the terminal is. With `--json` each is a
//! line. What always holds: a reading that fails after the first is said and does not end the watching; Ctrl-C ends
//! it with 0.

use std::time::Duration;

use serde::Serialize;

use super::error::Failure;
use super::output::{self, Output};
use super::{status, terminal};
use crate::config::Config;
use crate::operations::{self, Progress, Status};
use crate::store::Store;

/// A reading, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Reading {
    #[serde(flatten)]
    status: Status,
    /// None in the first reading.
    rates: Option<Rates>,
}

/// What was done between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Rates {
    /// How much time lay between them, in seconds.
    pub(super) seconds: f64,
    /// Jobs done.
    pub(super) jobs_per_second: f64,
    /// Events taken in.
    pub(super) events_per_second: f64,
}

impl Rates {
    /// None where no time has passed.
    fn between(before: &Progress, now: &Progress) -> Option<Self> {
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        let rate = |count: i64| count.max(0) as f64 / seconds;
        (seconds > 0.0).then(|| Self {
            seconds,
            jobs_per_second: rate(now.last_job_no - before.last_job_no),
            events_per_second: rate(now.events),
        })
    }
}

/// Reads every `period` until Ctrl-C.
///
/// # Errors
/// Where the first reading fails, stdout is gone, or there is neither a terminal nor `--json`.
pub(super) async fn watch(
    config: &Config,
    store: &Store,
    period: Duration,
    json: bool,
) -> Result<(), Failure> {
    if !json && terminal::size().is_none() {
        return Err(Failure::usage(
            "--watch draws on a terminal, and stdout is none",
            "say --json for a line of JSON for each reading",
        ));
    }
    tokio::select! {
        ended = read_on(config, store, period, json) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn read_on(config: &Config, store: &Store, period: Duration, json: bool) -> Result<(), Failure> {
    let mut before: Option<Progress> = None;
    // How many lines the last drawing has.
    let mut drawn = 0;
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match read(config, store, before.as_ref()).await {
            Ok((reading, progress)) => {
                before = Some(progress);
                if json {
                    output::json_line(&reading)?;
                } else {
                    let text = status::printed(&reading.status, reading.rates.as_ref()).into_text();
                    let heading = heading(period, &reading);
                    drawn = draw(&(heading + &text), drawn)?;
                }
            }
            Err(failure) if before.is_none() => return Err(failure),
            Err(failure) if json => {
                let _ = failure.report();
            }
            Err(failure) => drawn = draw(&failure.text(), drawn)?,
        }
    }
}

async fn read(
    config: &Config,
    store: &Store,
    before: Option<&Progress>,
) -> Result<(Reading, Progress), Failure> {
    let failed = |error| Failure::operation(config, &error);
    let queue = operations::queue(&config.broker).await;
    let progress = operations::progress(store, before).await.map_err(failed)?;
    let status = operations::status(store, queue).await.map_err(failed)?;
    let rates = before.and_then(|before| Rates::between(before, &progress));
    Ok((Reading { status, rates }, progress))
}

fn heading(period: Duration, reading: &Reading) -> String {
    let line = format!("{:.0}, every {} s; Ctrl-C ends it", reading.status.at, period.as_secs());
    Output::text().line(&line).into_text() + "\n"
}

/// Draws over the last drawing of so many lines; returns how many this one has.
fn draw(text: &str, drawn: usize) -> Result<usize, Failure> {
    let lines_max =
        terminal::size().map_or(usize::MAX, |(_, lines)| usize::from(lines).saturating_sub(1).max(1));
    let (text, lines) = fitted(text, lines_max);
    // Up to where the last one began. While lines are written, the terminal does not wrap those that are too long.
    let back = if drawn > 0 { format!("\u{1b}[{drawn}F") } else { String::new() };
    output::write(format!("{back}\u{1b}[J\u{1b}[?7l{text}\u{1b}[?7h").as_bytes())?;
    Ok(lines)
}

/// The first lines of `text`, at most so many, and how many there are.
fn fitted(text: &str, lines_max: usize) -> (String, usize) {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= lines_max {
        return (text.to_owned(), lines.len());
    }
    let kept = lines_max.saturating_sub(1);
    let left_off = lines.len() - kept;
    let mut fitted: String = lines.iter().take(kept).map(|line| format!("{line}\n")).collect();
    fitted.push_str(&format!("… {left_off} more lines: channel-sync status\n"));
    (fitted, lines_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(second: i64, last_job_no: i64, events: i64) -> Progress {
        let at = jiff::Timestamp::from_second(second).unwrap();
        Progress { at, last_job_no, last_event_no: 0, events }
    }

    #[test]
    fn rates_are_by_the_second() {
        let rates = Rates::between(&progress(10, 1_000, 7), &progress(14, 5_000, 2)).unwrap();
        assert_eq!(rates, Rates { seconds: 4.0, jobs_per_second: 1_000.0, events_per_second: 0.5 });
        assert_eq!(Rates::between(&progress(10, 0, 0), &progress(10, 5, 0)), None);
    }

    #[test]
    fn a_drawing_is_no_higher_than_the_terminal() {
        assert_eq!(fitted("a\nb\nc\n", 3), ("a\nb\nc\n".to_owned(), 3));
        assert_eq!(fitted("a\nb\nc\n", 2), ("a\n… 2 more lines: channel-sync status\n".to_owned(), 2));
    }
}
