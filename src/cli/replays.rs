//! `jobs replay`, `jobs discard` and `replays`: jobs that are done once more, or given up for good.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::choice::{ByArgs, ChoiceArgs, ConfirmArgs, OperatorArgs, said, show};
use super::error::Failure;
use super::output::{self, Content, Output};
use super::{Format, Limit, names, open, place, whole_number, words};
use crate::config::Config;
use crate::operations::{self, JobState, OperationError, Purpose, REPLAY_JOBS_MAX, ReplayDetail, ReplayRow};
use crate::store::Store;

/// How often a replay that is followed is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(300);

/// After how long without any progress somebody is told.
const STALL: Duration = Duration::from_secs(10);

/// `jobs replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --state, of the jobs that fit the options those that have failed; KEYs are taken in whatever state. A job
never overwrites anything that is newer than its event. First shows what would be done. Then the jobs go back into
the mailboxes, bit by bit, by whatever service runs, and this command follows it; Ctrl-C ends the following, not
the replay. Exits with 1 if jobs failed again, or if all that were chosen are refused.

Examples:
  channel-sync jobs replay --error 'value too long' --reason 'column widened' --dry-run
  channel-sync jobs replay --upstream helios --since 2h --reason 'constraint dropped' --rate 50
  channel-sync jobs replay 17-3 --reason 'asked for by pac-energy' --yes")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// In this state
    #[arg(long, value_name = "S", value_parser = names::<JobState>(["failed", "retrying", "succeeded", "discarded"]))]
    state: Option<JobState>,
    #[command(flatten)]
    operator: OperatorArgs,
    /// Send at most so many jobs a second
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<i32>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    format: Format,
}

/// `jobs discard`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --state, of the jobs that fit the options those that have failed and those that are tried again. What is
behind them goes on. A discarded job can still be replayed. Exits with 1 if all that were chosen are refused.

Examples:
  channel-sync jobs discard --event e-17 --reason 'sent by mistake'
  channel-sync jobs discard 17-3 18-3 --reason 'the partner is gone' --yes")]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// In this state
    #[arg(long, value_name = "S", value_parser = names::<JobState>(["failed", "retrying"]))]
    state: Option<JobState>,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    format: Format,
}

/// `replays …`.
#[derive(Debug, Subcommand)]
pub(super) enum ReplaysCommand {
    /// List replays, the newest first
    List(ListArgs),
    /// Show a replay, and how far it is
    Show(ShowArgs),
    /// Send no more jobs of a replay; those that were sent go on
    Cancel(CancelArgs),
}

/// `replays list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  channel-sync replays list")]
pub(super) struct ListArgs {
    #[command(flatten)]
    limit: Limit,
    /// Go on after this one
    #[arg(long, value_name = "N", value_parser = place)]
    after: Option<i64>,
    #[command(flatten)]
    format: Format,
}

/// `replays show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync replays show 3
  channel-sync replays show 3 --follow")]
pub(super) struct ShowArgs {
    /// The replay's number
    #[arg(value_name = "N", value_parser = replay_no)]
    replay: i64,
    /// Wait for the outcome; exits with 1 if jobs failed again
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    format: Format,
}

/// `replays cancel`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  channel-sync replays cancel 3 --reason 'wrong filter'")]
pub(super) struct CancelArgs {
    /// The replay's number
    #[arg(value_name = "N", value_parser = replay_no)]
    replay: i64,
    /// Why: it is written down
    #[arg(long, value_name = "TEXT", value_parser = said)]
    reason: Option<String>,
    #[command(flatten)]
    by: ByArgs,
}

fn rate(text: &str) -> Result<i32, String> {
    whole_number(text, 1..=1_000_000)
}

fn replay_no(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "expected a number, as `replays list` shows it".to_owned())
}

pub(super) async fn replay(config: &Config, arguments: &ReplayArgs) -> Result<(), Failure> {
    let failed = |error| Failure::operation(config, &error);
    let store = open(config)?;
    let selection = arguments.choice.selection(arguments.state)?;
    let chosen =
        operations::chosen(&store, &config.catalogue, Purpose::Replay, &selection).await.map_err(failed)?;
    let can = (chosen.jobs - chosen.refused).min(REPLAY_JOBS_MAX);
    let json = arguments.format.json;
    if json && arguments.confirm.dry_run {
        return output::json(&chosen);
    }
    if !json {
        let mut shown = show(Output::text(), Purpose::Replay, &chosen);
        if chosen.jobs > REPLAY_JOBS_MAX {
            let most = words::number(REPLAY_JOBS_MAX);
            shown = shown.line(&format!("a replay has at most {most} jobs: the oldest of these"));
        }
        shown.finish()?;
    }
    if arguments.confirm.dry_run {
        return Ok(());
    }
    if can == 0 {
        arguments.choice.done_or(&chosen, OperationError::NothingToReplay).map_err(failed)?;
        return if json { output::json(&chosen) } else { Ok(()) };
    }
    if !arguments.confirm.ask(&format!("Replay {}?", words::count(can, "job")))? {
        output::note("nothing was replayed");
        return Ok(());
    }
    let operator = arguments.operator.operator();
    let replay =
        operations::replay(&store, &config.catalogue, &selection, chosen.at, operator, arguments.rate)
            .await
            .map_err(failed)?;
    let replay_no = replay.replay_no;
    if arguments.no_wait {
        if json {
            return output::json(&replay);
        }
        return Output::text()
            .line(&format!("replay {replay_no} has begun; see `channel-sync replays show {replay_no}`"))
            .finish();
    }
    follow(config, &store, replay_no, json).await
}

/// Waits until the outcome of every job of a replay is known, and says what it is.
async fn follow(config: &Config, store: &Store, replay_no: i64, json: bool) -> Result<(), Failure> {
    let bar = ProgressBar::with_draw_target(None, draw_target());
    if let Ok(style) = ProgressStyle::with_template("replay {prefix} {bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(replay_no.to_string());
    let looking = look_until_settled(config, store, replay_no, &bar);
    let detail = tokio::select! {
        detail = looking => detail,
        _ = tokio::signal::ctrl_c() => {
            bar.abandon();
            output::note(&format!(
                "replay {replay_no} goes on; see `channel-sync replays show {replay_no}`, or stop it by \
                 `channel-sync replays cancel {replay_no}`"
            ));
            return Ok(());
        }
    };
    bar.finish_and_clear();
    let detail = detail?;
    if json {
        output::json(&detail)?;
    } else {
        let mut text = Output::text().line(&format!("replay {replay_no}: {}", words::progress(&detail)));
        text = troubles(text, &detail);
        text.finish()?;
    }
    if detail.outcome("paused") > 0 {
        let paused = words::count(detail.outcome("paused"), "job");
        output::note(&format!(
            "not done before their organizations are resumed: {paused}; see `channel-sync status`"
        ));
    }
    match detail.outcome("failed") {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{} failed again", words::count(failed, "job")))
            .hint("see `channel-sync jobs list --state failed`")),
    }
}

fn draw_target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

async fn look_until_settled(
    config: &Config,
    store: &Store,
    replay_no: i64,
    bar: &ProgressBar,
) -> Result<ReplayDetail, Failure> {
    let (mut last, mut changed_at, mut told) = (None, Instant::now(), false);
    loop {
        let asked_at = Instant::now();
        let detail = operations::replay_detail(store, replay_no)
            .await
            .map_err(|error| Failure::operation(config, &error))?;
        let replay = &detail.replay;
        bar.set_length(length(replay).unsigned_abs());
        bar.set_message(words::progress(&detail));
        bar.set_position(detail.settled().unsigned_abs());
        let waiting = detail.outcome("waiting");
        if replay.state != "running" && waiting == 0 {
            return Ok(detail);
        }
        let now = (replay.sent, detail.settled());
        if last.replace(now) != Some(now) {
            changed_at = Instant::now();
        } else if changed_at.elapsed() > STALL && !told && detail.outcome("paused") == 0 {
            told = true;
            let text =
                "nothing goes on: is `channel-sync run` up? The replay waits for it; Ctrl-C ends the waiting";
            bar.suspend(|| output::note(text));
        }
        // Of very many jobs, looking takes long.
        tokio::time::sleep(LOOK_PERIOD.max(asked_at.elapsed() * 5)).await;
    }
}

/// How many jobs there are to be settled.
fn length(replay: &ReplayRow) -> i64 {
    i64::from(if replay.state == "cancelled" { replay.sent + replay.refused } else { replay.total })
}

fn troubles(output: Output, detail: &ReplayDetail) -> Output {
    if detail.troubles.is_empty() {
        return output;
    }
    let table = detail
        .troubles
        .iter()
        .map(|row| {
            vec![
                Content::State(row.outcome.clone()),
                Content::name(words::number(row.jobs)),
                Content::name(&row.example),
                Content::Long(row.reason.clone().unwrap_or_default()),
            ]
        })
        .collect();
    output.heading("what went wrong").table(&["outcome", "jobs", "such as", "reason"], table)
}

pub(super) async fn discard(config: &Config, arguments: &DiscardArgs) -> Result<(), Failure> {
    let failed = |error| Failure::operation(config, &error);
    let store = open(config)?;
    let selection = arguments.choice.selection(arguments.state)?;
    let chosen =
        operations::chosen(&store, &config.catalogue, Purpose::Discard, &selection).await.map_err(failed)?;
    let can = chosen.jobs - chosen.refused;
    let json = arguments.format.json;
    if json && arguments.confirm.dry_run {
        return output::json(&chosen);
    }
    if !json {
        show(Output::text(), Purpose::Discard, &chosen).finish()?;
    }
    if arguments.confirm.dry_run {
        return Ok(());
    }
    if can == 0 {
        arguments.choice.done_or(&chosen, OperationError::NothingToDiscard).map_err(failed)?;
        return if json { output::json(&serde_json::json!({ "discarded": 0 })) } else { Ok(()) };
    }
    if !arguments.confirm.ask(&format!("Discard {}?", words::count(can, "job")))? {
        output::note("nothing was discarded");
        return Ok(());
    }
    let operator = arguments.operator.operator();
    let discarded = operations::discard_jobs(&store, &config.catalogue, &selection, chosen.at, operator)
        .await
        .map_err(failed)?;
    if json {
        return output::json(&serde_json::json!({ "discarded": discarded }));
    }
    Output::text().line(&format!("{} discarded", words::count(discarded, "job"))).finish()
}

pub(super) async fn execute(config: &Config, command: &ReplaysCommand) -> Result<(), Failure> {
    match command {
        ReplaysCommand::List(arguments) => list(config, arguments).await,
        ReplaysCommand::Show(arguments) => show_one(config, arguments).await,
        ReplaysCommand::Cancel(arguments) => cancel(config, arguments).await,
    }
}

async fn list(config: &Config, arguments: &ListArgs) -> Result<(), Failure> {
    let page = operations::replays(&open(config)?, arguments.after, arguments.limit.limit)
        .await
        .map_err(|error| Failure::operation(config, &error))?;
    if arguments.format.json {
        output::json(&page.items)?;
    } else if page.items.is_empty() {
        let no = if arguments.after.is_some() { "no more" } else { "no" };
        return Output::text().line(&format!("there are {no} replays")).finish();
    } else {
        let output = Output::text();
        let table = page
            .items
            .iter()
            .map(|row| {
                vec![
                    Content::name(row.replay_no.to_string()),
                    Content::State(row.state.clone()),
                    Content::name(words::number(row.total.into())),
                    Content::name(words::number(row.sent.into())),
                    Content::name(words::number(row.refused.into())),
                    Content::name(&row.requested_by),
                    output.time_in_table(row.created_at),
                    Content::Long(row.reason.clone()),
                ]
            })
            .collect();
        let header = ["replay", "state", "jobs", "sent", "refused", "by", "begun", "reason"];
        output.table(&header, table).finish()?;
    }
    if let Some(next) = page.next {
        output::hint(&format!("there are more: --after {next}"));
    }
    Ok(())
}

async fn show_one(config: &Config, arguments: &ShowArgs) -> Result<(), Failure> {
    let store = open(config)?;
    let failed = |error| Failure::operation(config, &error);
    let detail = operations::replay_detail(&store, arguments.replay).await.map_err(failed)?;
    if arguments.follow {
        return follow(config, &store, arguments.replay, arguments.format.json).await;
    }
    if arguments.format.json {
        return output::json(&detail);
    }
    let replay = &detail.replay;
    let output = Output::text();
    let filter: Vec<String> = replay.filter.as_object().map_or_else(Vec::new, |filter| {
        filter.iter().map(|(name, value)| format!("{name} {}", text_of(value))).collect()
    });
    let rate = replay.rate_per_second.map(|rate| format!("at most {rate} jobs a second"));
    let pairs = vec![
        ("replay", Content::name(replay.replay_no.to_string())),
        ("state", Content::State(replay.state.clone())),
        ("asked for by", Content::name(&replay.requested_by)),
        ("reason", Content::name(&replay.reason)),
        ("jobs with", Content::name(filter.join(", "))),
        ("rate", Content::name_or_empty(rate.as_ref())),
        ("jobs", Content::name(words::number(replay.total.into()))),
        ("progress", Content::name(words::progress(&detail))),
        ("begun", output.time(replay.created_at)),
        (
            "all sent",
            if replay.state == "done" { output.time_or_empty(replay.finished_at) } else { Content::Empty },
        ),
        (
            "cancelled",
            if replay.state == "cancelled" {
                output.time_or_empty(replay.finished_at)
            } else {
                Content::Empty
            },
        ),
    ];
    troubles(output.pairs(pairs), &detail).finish()
}

fn text_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

async fn cancel(config: &Config, arguments: &CancelArgs) -> Result<(), Failure> {
    let replay_no = arguments.replay;
    let left_off =
        operations::cancel_replay(&open(config)?, replay_no, &arguments.by.by, arguments.reason.as_deref())
            .await
            .map_err(|error| Failure::operation(config, &error))?;
    let left_off = words::count(left_off, "job");
    Output::text().line(&format!("replay {replay_no} is cancelled; {left_off} left off")).finish()
}
