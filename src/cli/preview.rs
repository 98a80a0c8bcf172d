//! `preview`: what events would do that have not happened.

use std::path::PathBuf;

use clap::Args;

use super::error::Failure;
use super::output::{self, Content, Output};
use super::publish::read;
use super::{Format, open, words};
use crate::config::Config;
use crate::operations::{
    self, DeclinedEntry, EntryState, EventPreview, JobPreview, NotReached, PREVIEW_ENTRIES_MAX, Prediction,
    Preview, PreviewOptions, RehearsalLimits, Totals, Waiting,
};

/// How many organizations are shown of an event where nothing else is said.
const JOBS_DEFAULT: usize = 20;

/// How many entries are shown of an organization where nothing else is said.
const ENTRIES_DEFAULT: usize = 20;

/// `preview FILE|-`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE holds events as `channel-sync publish` takes them. They are worked off in memory, one after the other, by the
rules and the state that would decide; nothing is written, and nobody waits. What stands in the mailboxes already is
not taken into account; how much that is, is said.

Each organization that an event goes to stands below the one that passes it on.

Examples:
  channel-sync preview becomes-strict.json
  channel-sync preview events.jsonl --all --json | jq .totals")]
pub(super) struct PreviewArgs {
    /// The file to read, or - for stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Show at most so many organizations of each event
    #[arg(long, value_name = "N", default_value_t = JOBS_DEFAULT, value_parser = shown)]
    limit: usize,
    /// Show at most so many settings of each organization
    #[arg(long, value_name = "N", default_value_t = ENTRIES_DEFAULT, value_parser = shown)]
    entries: usize,
    /// Show all organizations, and all of their settings that the events touch
    #[arg(long, conflicts_with_all = ["limit", "entries"])]
    all: bool,
    #[command(flatten)]
    format: Format,
}

fn shown(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number; --all shows all".to_owned())
}

pub(super) async fn preview(config: &Config, arguments: &PreviewArgs) -> Result<(), Failure> {
    let (name, text) = read(&arguments.file, "there is nothing to preview")?;
    let events = operations::read_supposed(&text).map_err(|malformed| {
        Failure::new(format!("there is nothing to preview: {name} cannot be read"))
            .caused_by(malformed.to_string())
    })?;
    let shown = |limit| if arguments.all { usize::MAX } else { limit };
    let options = PreviewOptions {
        catalogue: &config.catalogue,
        limits: config.ingest.limits(),
        rehearsal: RehearsalLimits {
            batch_letters_max: config.executor.batch_letters_max,
            batch_writes_max: config.executor.batch_writes_max,
            entries_max: PREVIEW_ENTRIES_MAX,
        },
        jobs_max: shown(arguments.limit),
        entries_max: shown(arguments.entries),
    };
    let preview = operations::preview(&open(config)?, &events, &options)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        return output::json(&preview);
    }
    if events.is_empty() {
        return Output::text().line(&format!("{name} holds no event; there is nothing to preview")).finish();
    }
    print(&preview, shown(arguments.entries))
}

fn print(preview: &Preview, entries_max: usize) -> Result<(), Failure> {
    let Preview { totals, events, declined, no_longer_declined, waiting, complete, .. } = preview;
    let mut output = Output::text();
    if !complete {
        output = output.line(&format!(
            "only the beginning is shown: the events go through more than {} settings",
            words::number(PREVIEW_ENTRIES_MAX as i64)
        ));
    }
    output = output.pairs(vec![
        ("would happen to", Content::name(predictions(events))),
        ("settings", Content::name(settings(totals))),
        ("organizations", Content::name(organizations(totals))),
        ("jobs", Content::name(words::number(totals.jobs))),
        ("not considered", Content::name(not_considered(waiting))),
    ]);
    for event in events {
        output = self::event(output, event);
    }
    output = self::declined(
        output,
        "from then on these stay away, since their organization deletes them",
        declined,
        entries_max,
    );
    output = self::declined(output, "these no longer stay away", no_longer_declined, entries_max);
    output.finish()
}

fn predictions(events: &[EventPreview]) -> String {
    let mut counts: Vec<(&str, i64)> = Vec::new();
    for event in events {
        let name = event.prediction.name();
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let counts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{} {name}", words::number(*count))).collect();
    format!("{}: {}", words::count(events.len() as i64, "event"), counts.join(", "))
}

/// Counts with their names; those of nothing are left out.
fn counts(counts: &[(i64, &str)]) -> String {
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, name)| format!("{} {name}", words::number(*count))).collect::<Vec<_>>().join(", ")
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text }
}

fn settings(totals: &Totals) -> String {
    or_nothing(counts(&[
        (totals.added, "added"),
        (totals.changed, "changed"),
        (totals.removed, "removed"),
        (totals.archived, "of these archived"),
        (totals.unchanged - totals.taken_over, "unchanged"),
        (totals.taken_over, "taken over with the same value"),
        (totals.kept_own, "kept own"),
        (totals.declined, "declined"),
    ]))
}

fn organizations(totals: &Totals) -> String {
    let tiers = match totals.tiers {
        0 => String::new(),
        tiers => format!(" in {}", words::count(tiers, "tier")),
    };
    let changed = format!("{} changed{tiers}", words::number(totals.organizations_changed));
    let others = counts(&[
        (totals.locked, "locked"),
        (totals.unlocked, "unlocked"),
        (totals.not_reached, "not reached"),
    ]);
    if others.is_empty() { changed } else { format!("{changed}, {others}") }
}

fn not_considered(waiting: &Waiting) -> String {
    let mut said = Vec::new();
    if waiting.everything_paused {
        said.push("all execution is paused".to_owned());
    }
    if waiting.jobs > 0 {
        let of: Vec<String> = waiting
            .of
            .iter()
            .filter(|row| row.jobs > 0)
            .take(3)
            .map(|row| format!("{} of {}", words::number(row.jobs), row.organization_id))
            .collect();
        let jobs = words::count(waiting.jobs, "job");
        let (verb, they) = if waiting.jobs == 1 { ("waits", "it") } else { ("wait", "they") };
        let more = if waiting.organizations > of.len() as i64 { ", …" } else { "" };
        said.push(format!(
            "{jobs} that {verb} now ({}{more}): this is as if {they} were never done",
            of.join(", ")
        ));
    }
    for row in waiting.of.iter().filter(|row| row.paused).take(3) {
        said.push(format!("{} is paused", row.organization_id));
    }
    if said.is_empty() { "nothing waits for these organizations".to_owned() } else { said.join("; ") }
}

fn event(output: Output, event: &EventPreview) -> Output {
    let name = event.event_id.clone().unwrap_or_else(|| format!("the event in line {}", event.line));
    let about = match (&event.organization_id, &event.downstream_id, &event.category) {
        (Some(upstream), Some(downstream), _) => format!(", {upstream} → {downstream}"),
        (Some(organization), None, Some(category)) => format!(", {category} of {organization}"),
        _ => String::new(),
    };
    let output = output.heading(&format!("{name}{about}: {}", event.prediction.name()));
    let reason = match (event.code, &event.reason) {
        (Some(code), Some(reason)) => Content::name(format!("{code}: {reason}")),
        (_, reason) => Content::name_or_empty(reason.as_ref()),
    };
    let list = |names: &[String]| {
        if names.is_empty() { Content::Empty } else { Content::name(names.join(", ")) }
    };
    let mut pairs = vec![("why", reason)];
    if let Some(partnership) = &event.partnership {
        let (before, after) = (partnership.mode_before.name(), partnership.mode.name());
        let mode = if before == after { format!("stays {after}") } else { format!("{before} → {after}") };
        pairs.push(("mode", Content::name(mode)));
        pairs.push(("locked", list(&partnership.locked)));
        pairs.push(("unlocked", list(&partnership.unlocked)));
    }
    let mut output = output.pairs(pairs);
    if event.prediction != Prediction::Done {
        return output;
    }
    let table = tree(&event.jobs)
        .into_iter()
        .zip(&event.jobs)
        .map(|(branch, job)| {
            let rule = match &job.rule {
                Some(row) => format!("{}: {}", row.name(), row.because),
                None => String::new(),
            };
            vec![
                Content::name(format!("{branch}{}", job.organization_id)),
                Content::name(job.kind),
                Content::name(job.mode.map_or("", |mode| mode.name())),
                Content::name(outcome(job)),
                Content::Long(rule),
            ]
        })
        .collect();
    output = output.raw("\n").table(&["organization", "kind", "mode", "what would happen", "rule"], table);
    output = more(output, event.jobs_left_off, "job");
    for job in event.jobs.iter().filter(|job| !job.entries.is_empty()) {
        output = entries(output, job);
    }
    not_reached(output, &event.not_reached, event.not_reached_left_off)
}

fn outcome(job: &JobPreview) -> String {
    let counts = counts(&[
        (job.added.into(), "added"),
        (job.changed.into(), "changed"),
        (job.removed.into(), "removed"),
        (job.unchanged.into(), "unchanged"),
        (job.kept_own.into(), "kept own"),
        (job.declined.into(), "declined"),
    ]);
    match (&job.skipped, counts.is_empty()) {
        (Some(skipped), true) => skipped.clone(),
        (Some(skipped), false) => format!("{skipped} ({counts})"),
        (None, _) => counts,
    }
}

fn entries(output: Output, job: &JobPreview) -> Output {
    let state = |state: &Option<EntryState>| match state {
        Some(state) => {
            let value = state.value.as_ref().map(words::value).unwrap_or_default();
            Content::Long(format!("{value}  {}", state.origin))
        }
        None => Content::name("–"),
    };
    let table = job
        .entries
        .iter()
        .map(|entry| {
            let archived = if entry.archived { ", archived" } else { "" };
            vec![
                Content::name(&entry.category),
                Content::name(&entry.key),
                Content::name(format!("{}{archived}", entry.fate.name())),
                state(&entry.before),
                state(&entry.after),
            ]
        })
        .collect();
    let all = (job.entries.len() + job.entries_left_off) as i64;
    let from = job.upstream_id.as_ref().map(|upstream| format!(", from {upstream}")).unwrap_or_default();
    let heading = format!("{}: {}{from}", job.organization_id, words::count(all, "setting"));
    let output = output.heading(&heading).table(&["category", "key", "would be", "now", "then"], table);
    more(output, job.entries_left_off, "setting")
}

fn not_reached(output: Output, rows: &[NotReached], left_off: usize) -> Output {
    if rows.is_empty() {
        return output;
    }
    let table = rows
        .iter()
        .map(|row| {
            vec![
                Content::name(&row.organization_id),
                Content::name(&row.upstream_id),
                Content::name(&row.category),
                Content::name(row.mode.name()),
                Content::Long(row.because.clone()),
            ]
        })
        .collect();
    let output =
        output.heading("not reached").table(&["organization", "upstream", "category", "mode", "why"], table);
    more(output, left_off, "row")
}

fn declined(output: Output, heading: &str, rows: &[DeclinedEntry], entries_max: usize) -> Output {
    if rows.is_empty() {
        return output;
    }
    let table = rows
        .iter()
        .take(entries_max)
        .map(|row| {
            vec![
                Content::name(&row.organization_id),
                Content::name(&row.upstream_id),
                Content::name(&row.category),
                Content::name(&row.key),
            ]
        })
        .collect();
    let output = output.heading(heading).table(&["organization", "upstream", "category", "key"], table);
    more(output, rows.len().saturating_sub(entries_max), "setting")
}

fn more(output: Output, left_off: usize, what: &str) -> Output {
    match left_off {
        0 => output,
        more => output.line(&format!("… and {}: --all", words::count(more as i64, &format!("more {what}")))),
    }
}

/// The lines of the tree that stand before each job's name: jobs come after the one that they follow from.
fn tree(jobs: &[JobPreview]) -> Vec<String> {
    let mut last_child = vec![None; jobs.len()];
    for (place, job) in jobs.iter().enumerate() {
        if let Some(parent) = job.follows_from.filter(|parent| *parent < place) {
            last_child[parent] = Some(place);
        }
    }
    // Of each job, what stands before those below it.
    let mut below: Vec<String> = Vec::with_capacity(jobs.len());
    let mut branches = Vec::with_capacity(jobs.len());
    for (place, job) in jobs.iter().enumerate() {
        let parent = job.follows_from.filter(|parent| *parent < place);
        let (branch, indent) = match parent {
            None => (String::new(), String::new()),
            Some(parent) if last_child[parent] == Some(place) => {
                (format!("{}└─ ", below[parent]), format!("{}   ", below[parent]))
            }
            Some(parent) => (format!("{}├─ ", below[parent]), format!("{}│  ", below[parent])),
        };
        branches.push(branch);
        below.push(indent);
    }
    branches
}
