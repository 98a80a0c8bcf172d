//! Replaying and discarding jobs: what it would come to, doing it, and how far a replay is.
//!
//! Nothing is done at once: a page says first what was chosen and what is refused. What is confirmed there is what was
//! there when it was shown.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};

use super::components::{
    bar, carried, column, empty, facts, job_link, long, none, number, numbers, pager, reason, state, table,
    text, time, time_if, wide,
};
use super::failures;
use super::fields::{Fields, Form, Number, Query, Time};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::{Actor, Visitor};
use crate::http::App;
use crate::http::live::Live;
use crate::operations::{
    self, Chosen, JobKey, JobKind, JobSelection, JobState, LIMIT_DEFAULT, Purpose, REPLAY_JOBS_MAX,
    ReplayDetail,
};
use crate::words;

/// The fields that choose jobs.
const SELECTION: &[&str] = &[
    "key",
    "event",
    "source",
    "upstream",
    "organization",
    "category",
    "kind",
    "state",
    "error",
    "since",
    "until",
];

/// How many jobs can be chosen one by one.
const KEYS_MAX: usize = 1000;

/// The most jobs a second that a replay may be told to send.
const RATE_MAX: i64 = 1_000_000;

fn selection(fields: &Fields) -> Result<JobSelection, Refusal> {
    let text = |name| fields.get(name).map(str::to_owned);
    let keys = fields.read_all::<JobKey>("key")?;
    if keys.len() > KEYS_MAX {
        return Err(Refusal::bad_request(format!("key: expected at most {KEYS_MAX} jobs one by one")));
    }
    Ok(JobSelection {
        keys,
        event_id: text("event"),
        source: text("event").and(text("source")),
        upstream_id: text("upstream"),
        organization_id: text("organization"),
        category: text("category"),
        kind: fields.read::<JobKind>("kind")?,
        state: fields.read::<JobState>("state")?,
        // As it is: an error may begin or end with white space.
        error: fields.raw("error").map(str::to_owned),
        since: fields.read::<Time>("since")?.map(|time| time.0),
        until: fields.read::<Time>("until")?.map(|time| time.0),
    })
}

/// What a replay of the chosen jobs would come to.
pub(super) async fn choose_replay(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let chosen =
        operations::chosen(&app.store, &app.config.catalogue, Purpose::Replay, &selection(&query)?).await?;
    let can = (chosen.jobs - chosen.refused).min(REPLAY_JOBS_MAX);
    let confirm = html! {
        form.stack.panel method="post" action="/jobs/replay" {
            (carried(&query.only(SELECTION)))
            @if let Some(at) = chosen.at { input type="hidden" name="shown" value=(at); }
            (reason())
            div.field {
                label for="rate" { "At most so many jobs a second" }
                input #rate type="number" name="rate" min="1" max=(RATE_MAX) placeholder="as fast as it goes";
            }
            div.actions { button.primary type="submit" { "Replay " (words::count(can, "job")) } a href="/failures" { "Do nothing" } }
        }
    };
    let content = html! {
        p.lead {
            @if can == 0 { "Nothing would be done: no job that may be replayed was chosen." }
            @else {
                (words::count(can, "job")) " would be done once more. A match is computed against the upstream of now; a merge adds "
                "what is still missing. Nothing that is newer is overwritten."
            }
        }
        (what(&query, &chosen))
        @if chosen.jobs - chosen.refused > REPLAY_JOBS_MAX {
            p { "A replay has at most " (number(REPLAY_JOBS_MAX)) " jobs: the oldest of these." }
        }
        @if can > 0 && visitor.may_act() { h2 { "Do it" } (confirm) }
        (only_operators(&visitor))
        (narrow(&visitor, &query))
    };
    Ok(page(&visitor, Section::Failures, "Replay jobs", &content))
}

/// What discarding the chosen jobs would come to.
pub(super) async fn choose_discard(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let chosen =
        operations::chosen(&app.store, &app.config.catalogue, Purpose::Discard, &selection(&query)?).await?;
    let can = chosen.jobs - chosen.refused;
    let confirm = html! {
        form.stack.panel method="post" action="/jobs/discard" {
            (carried(&query.only(SELECTION)))
            @if let Some(at) = chosen.at { input type="hidden" name="shown" value=(at); }
            (reason())
            div.actions { button.danger type="submit" { "Discard " (words::count(can, "job")) } a href="/failures" { "Do nothing" } }
        }
    };
    let content = html! {
        p.lead {
            @if can == 0 { "Nothing would be done: no job that may be discarded was chosen." }
            @else {
                (words::count(can, "job")) " would be given up: what these jobs should have changed stays as it is. They stay in the "
                "list as discarded, and can be replayed."
            }
        }
        (what(&query, &chosen))
        @if can > 0 && visitor.may_act() { h2 { "Do it" } (confirm) }
        (only_operators(&visitor))
        (narrow(&visitor, &query))
    };
    Ok(page(&visitor, Section::Failures, "Discard jobs", &content))
}

fn only_operators(visitor: &Visitor) -> Markup {
    html! { @if !visitor.may_act() { p.note { "Only an operator can do it; you are a viewer." } } }
}

/// What was chosen, and what it comes to.
fn what(query: &Fields, chosen: &Chosen) -> Markup {
    let query = query.only(SELECTION);
    let said: Vec<(&str, Markup)> = query.iter().map(|(name, value)| (name_of(name), text(value))).collect();
    let rows: Vec<Vec<Markup>> = chosen
        .groups
        .iter()
        .map(|row| {
            vec![
                number(row.jobs),
                html! { (row.kind) },
                state(&row.state),
                row.error.as_deref().map_or_else(none, long),
                row.refusal.as_deref().map_or_else(|| html! { "yes" }, |why| html! { "no: " (text(why)) }),
            ]
        })
        .collect();
    let columns = [numbers("jobs"), column("kind"), column("state"), wide("error"), column("would be done")];
    let shown: i64 = chosen.groups.iter().map(|row| row.jobs).sum();
    html! {
        @if said.len() > 12 { p { (words::count(said.len() as i64, "job")) " chosen one by one." } }
        @else if !said.is_empty() { (facts(&said)) }
        @if chosen.groups.is_empty() { (empty("No job fits.")) }
        @else { (table("What was chosen", &columns, &rows)) }
        @if shown < chosen.jobs { p { "… and " (words::count(chosen.jobs - shown, "more job")) " of other kinds." } }
    }
}

fn name_of(field: &str) -> &str {
    match field {
        "key" => "Job",
        "event" => "Event",
        "source" => "Source",
        "upstream" => "From the upstream",
        "organization" => "Organization",
        "category" => "Category",
        "kind" => "Kind",
        "state" => "State",
        "error" => "Error contains",
        "since" => "Since",
        _ => "Until",
    }
}

fn narrow(visitor: &Visitor, query: &Fields) -> Markup {
    html! {
        details.panel {
            summary { "Choose others" }
            (failures::choice(visitor, query))
        }
    }
}

/// Begins a replay.
pub(super) async fn replay(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Redirect, Refusal> {
    let operator = actor.operator(&form)?;
    let shown = form.read::<Time>("shown")?.map(|time| time.0);
    let rate = match form.read::<Number>("rate")? {
        None => None,
        Some(Number(rate)) if (1..=RATE_MAX).contains(&rate) => i32::try_from(rate).ok(),
        Some(Number(rate)) => {
            return Err(Refusal::bad_request(format!(
                "rate: {rate} is not between 1 and {RATE_MAX} jobs a second"
            )));
        }
    };
    let replay =
        operations::replay(&app.store, &app.config.catalogue, &selection(&form)?, shown, operator, rate)
            .await?;
    live.outdate();
    Ok(Redirect::to(&format!("/replays/{}", replay.replay_no)))
}

/// Gives jobs up.
pub(super) async fn discard(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Markup, Refusal> {
    let operator = actor.operator(&form)?;
    let shown = form.read::<Time>("shown")?.map(|time| time.0);
    let discarded =
        operations::discard_jobs(&app.store, &app.config.catalogue, &selection(&form)?, shown, operator)
            .await?;
    live.outdate();
    let content = html! {
        p.lead { (words::count(discarded, "job")) " discarded." }
        p { a href="/jobs?state=discarded" { "Discarded jobs" } " · " a href="/failures" { "Failures" } }
    };
    Ok(page(&actor.0, Section::Failures, "Discarded", &content))
}

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let after = query.read::<Number>("after")?.map(|number| number.0);
    let found = operations::replays(&app.store, after, LIMIT_DEFAULT).await?;
    let rows: Vec<Vec<Markup>> = found
        .items
        .iter()
        .map(|row| {
            vec![
                html! { a href={ "/replays/" (row.replay_no) } { (row.replay_no) } },
                state(&row.state),
                number(row.total),
                number(row.sent),
                number(row.refused),
                text(&row.requested_by),
                text(&row.reason),
                time(row.created_at),
            ]
        })
        .collect();
    let columns = [
        column("replay"),
        column("state"),
        numbers("jobs"),
        numbers("sent"),
        numbers("refused"),
        column("by"),
        wide("reason"),
        column("begun"),
    ];
    let content = html! {
        div #list data-live {
            @if rows.is_empty() { (empty("Nothing was replayed yet. Jobs to be replayed stand under Failures.")) }
            @else { (table("Replays, the newest first", &columns, &rows)) }
        }
        (pager("/replays", &query, "after", found.next.as_deref()))
    };
    Ok(page(&visitor, Section::Replays, "Replays", &content))
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Path(replay): Path<String>,
) -> Result<Markup, Refusal> {
    let replay_no = number_of(&replay)?;
    let detail = operations::replay_detail(&app.store, replay_no).await?;
    let replay = &detail.replay;
    let filter: Vec<(&str, Markup)> = replay
        .filter
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name_of(name), text(&words_of(value))))
        .collect();
    let troubles: Vec<Vec<Markup>> = detail
        .troubles
        .iter()
        .map(|row| {
            vec![
                number(row.jobs),
                state(&row.outcome),
                row.reason.as_deref().map_or_else(none, long),
                job_link(&row.example),
            ]
        })
        .collect();
    let columns = [numbers("jobs"), column("outcome"), wide("why"), column("such as")];
    let content = html! {
        section #progress data-live[detail.is_under_way()] aria-label="Progress" {
            (progress(&detail))
            (facts(&[
                ("State", state(&replay.state)),
                ("Asked for by", text(&replay.requested_by)),
                ("Reason", text(&replay.reason)),
                ("Rate", replay.rate_per_second.map_or_else(|| html! { "as fast as it goes" }, |rate| {
                    html! { "at most " (words::count(rate, "job")) " a second" }
                })),
                ("Begun", time(replay.created_at)),
                (if replay.state == "cancelled" { "Cancelled" } else { "All sent" }, time_if(replay.finished_at)),
            ]))
            @if detail.is_under_way() { p.note { a data-refresh href={ "/replays/" (replay_no) } { "Refresh" } } }
            @if visitor.may_act() && replay.state == "running" { (cancel_form(replay_no)) }
            @if !troubles.is_empty() {
                h2 { "What went wrong" }
                (table("What went wrong", &columns, &troubles))
            }
        }
        section aria-labelledby="filter-title" {
            h2 #filter-title { "Jobs with" }
            (facts(&filter))
        }
    };
    Ok(page(&visitor, Section::Replays, &format!("Replay {replay_no}"), &content))
}

fn number_of(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::bad_request(format!("{text:?} is no number of a replay")))
}

fn words_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(words_of).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

/// How far a replay is: a bar, and the same in words.
pub(super) fn progress(detail: &ReplayDetail) -> Markup {
    let replay = &detail.replay;
    let said = format!("{} of {}", words::progress(detail), words::count(replay.total, "job"));
    let parts = [
        ("bad", detail.outcome("failed")),
        ("good", detail.outcome("succeeded")),
        ("idle", detail.outcome("discarded") + i64::from(replay.refused)),
        ("warn", detail.outcome("paused")),
        ("going", detail.outcome("waiting")),
    ];
    html! { div.fan-out.large { (bar(&said, replay.total.into(), &parts)) span { (said) } } }
}

/// Cancels a replay: what was sent goes on.
pub(super) fn cancel_form(replay_no: i64) -> Markup {
    html! {
        form.inline method="post" action={ "/replays/" (replay_no) "/cancel" } {
            label.hidden for={ "cancel-" (replay_no) } { "Why it is cancelled" }
            input id={ "cancel-" (replay_no) } type="text" name="reason" required maxlength="500" placeholder="Reason"
                autocomplete="off";
            button.danger type="submit" { "Cancel the replay" }
        }
    }
}

pub(super) async fn cancel(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Path(replay): Path<String>,
    Form(form): Form,
) -> Result<Redirect, Refusal> {
    let replay_no = number_of(&replay)?;
    let operator = actor.operator(&form)?;
    operations::cancel_replay(&app.store, replay_no, operator.name, Some(operator.reason)).await?;
    live.outdate();
    Ok(Redirect::to(&format!("/replays/{replay_no}")))
}
