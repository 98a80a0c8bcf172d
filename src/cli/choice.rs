//! Options by which an operator chooses jobs, says who acts and why, and confirms what is shown.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::error::Failure;
use super::output::{Content, Output};
use super::{names, words};
use crate::operations::{Chosen, JobKey, JobKind, JobSelection, JobState, OperationError, Operator, Purpose};

/// Which jobs.
#[derive(Debug, Args)]
pub(super) struct ChoiceArgs {
    /// These jobs, by their idempotency keys
    #[arg(value_name = "KEY")]
    keys: Vec<JobKey>,
    /// Of the event with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// The event's source, where several have an event of this id
    #[arg(long, value_name = "S", requires = "event")]
    source: Option<String>,
    /// That sync from this upstream, or are about its partnerships
    #[arg(long, value_name = "ORG")]
    upstream: Option<String>,
    /// That write the settings of this organization
    #[arg(long, value_name = "ORG")]
    organization: Option<String>,
    /// About this category
    #[arg(long, value_name = "C")]
    category: Option<String>,
    /// Of this kind
    #[arg(long, value_name = "K", value_parser = names::<JobKind>(JobKind::NAMES.iter()))]
    kind: Option<JobKind>,
    /// With an error that contains this
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Finished since then: a time such as 2026-01-31T09:30:00Z, or how long ago, such as 90s, 30min, 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Finished by then
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// All that have failed
    #[arg(long)]
    all_failed: bool,
}

/// Who, and why.
#[derive(Debug, Args)]
pub(super) struct OperatorArgs {
    /// Why: it is written down
    #[arg(long, value_name = "TEXT", value_parser = said)]
    reason: String,
    #[command(flatten)]
    by: ByArgs,
}

/// Who.
#[derive(Debug, Args)]
pub(super) struct ByArgs {
    /// Who: it is written down
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, value_parser = said)]
    pub(super) by: String,
}

impl OperatorArgs {
    pub(super) fn operator(&self) -> Operator<'_> {
        Operator { name: &self.by.by, reason: &self.reason }
    }
}

/// What a reason or a name has.
const SAID_BYTES_MAX: usize = 2000;

pub(super) fn said(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > SAID_BYTES_MAX || text.contains('\0') {
        return Err(format!("expected 1 to {SAID_BYTES_MAX} bytes of text"));
    }
    Ok(text.to_owned())
}

/// Asking before something is done.
#[derive(Debug, Args)]
pub(super) struct ConfirmArgs {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(super) yes: bool,
}

impl ConfirmArgs {
    /// Asks on the terminal, unless it is said already. False: it is not to be done.
    pub(super) fn ask(&self, question: &str) -> Result<bool, Failure> {
        if self.yes { Ok(true) } else { ask(question, "--dry-run to look only") }
    }
}

/// Asks on the terminal. `instead`: what else could be said where there is none. False: it is not to be done.
pub(super) fn ask(question: &str, instead: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let hint = format!("say --yes to do it, or {instead}");
        return Err(Failure::usage("nothing was done: there is no terminal to ask on", hint));
    }
    let mut stderr = std::io::stderr().lock();
    // Where stderr is gone, nobody will answer.
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| Failure::new(format!("read the answer: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let expected = || "expected a time such as 2026-01-31T09:30:00Z, or how long ago, such as 2h".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let ago = Duration::from_secs(number.checked_mul(seconds).ok_or_else(expected)?);
    Timestamp::now().checked_sub(ago).map_err(|_| expected())
}

impl ChoiceArgs {
    /// What was chosen.
    pub(super) fn selection(&self, state: Option<JobState>) -> Result<JobSelection, Failure> {
        let selection = JobSelection {
            keys: self.keys.clone(),
            event_id: self.event.clone(),
            source: self.source.clone(),
            upstream_id: self.upstream.clone(),
            organization_id: self.organization.clone(),
            category: self.category.clone(),
            kind: self.kind,
            state,
            error: self.error.clone(),
            since: self.since,
            until: self.until,
        };
        match (self.all_failed, selection == JobSelection::default(), state) {
            (false, true, _) => Err(Failure::usage(
                "no jobs were chosen",
                "name some by their keys, or say which ones by options, such as --state failed",
            )),
            (true, _, Some(state)) if state != JobState::Failed => Err(Failure::usage(
                format!("--all-failed does not go with --state {state}"),
                "say one of them",
            )),
            (true, _, _) => Ok(JobSelection { state: Some(JobState::Failed), ..selection }),
            (false, false, _) => Ok(selection),
        }
    }

    /// Of jobs none of which can be dealt with: that nothing is left to be done, where options found none; else
    /// `nothing`.
    pub(super) fn done_or(&self, chosen: &Chosen, nothing: OperationError) -> Result<(), OperationError> {
        if chosen.jobs == 0 && self.keys.is_empty() { Ok(()) } else { Err(nothing) }
    }
}

/// Shows what was chosen, in groups.
pub(super) fn show(output: Output, purpose: Purpose, chosen: &Chosen) -> Output {
    let (verb, done) = match purpose {
        Purpose::Replay => ("replay", "replayed"),
        Purpose::Discard => ("discard", "discarded"),
    };
    let can = chosen.jobs - chosen.refused;
    if chosen.jobs == 0 {
        return output.line(&format!("there is nothing to {verb}: no job fits what was said"));
    }
    let refused = match chosen.refused {
        0 => String::new(),
        refused => format!("; {} refused", words::number(refused)),
    };
    let shown: i64 = chosen.groups.iter().map(|group| group.jobs).sum();
    let table = chosen
        .groups
        .iter()
        .map(|group| {
            let why = match (&group.refusal, &group.error) {
                (Some(refusal), _) => format!("refused: {refusal}"),
                (None, Some(error)) => error.clone(),
                (None, None) => String::new(),
            };
            vec![
                Content::name(words::number(group.jobs)),
                Content::name(&group.kind),
                Content::State(group.state.clone()),
                Content::Long(why),
            ]
        })
        .collect();
    let output = output
        .line(&format!("{} to be {done}{refused}", words::count(can, "job")))
        .table(&["jobs", "kind", "state", "error"], table);
    match chosen.jobs - shown {
        0 => output,
        more => output.line(&format!("… and {} in smaller groups", words::count(more, "job"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_as_such_or_as_how_long_ago() {
        assert_eq!(time("2026-01-31T09:30:00Z").unwrap().to_string(), "2026-01-31T09:30:00Z");
        let now = Timestamp::now().as_second();
        for (text, seconds) in [("90s", 90), ("30min", 1_800), ("30m", 1_800), ("2h", 7_200), ("3d", 259_200)]
        {
            let ago = now - time(text).unwrap().as_second();
            assert!((seconds..=seconds + 2).contains(&ago), "{text}: {ago}");
        }
        for text in ["", "2", "h", "2 weeks", "-2h", "2026-01-31", "99999999999999999999h", "9999999999d"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
