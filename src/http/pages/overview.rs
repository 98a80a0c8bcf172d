//! The overview: what needs attention first, then how things go.

use axum::Extension;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};

use super::components::{
    chart, clock, empty, event_link, fields, job_link, long, number, organization_link, text, time,
};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use super::{organizations, replays};
use crate::http::live::{Figures, Known, Live};
use crate::operations::{Lookup, MinuteRow, OldestRow, OperationError, Overview, Status};
use crate::store::StoreError;
use crate::words;

/// From what age on a letter that could be worked off is stuck, in seconds: all of them, however many, come to their
/// turn sooner, as a rule.
const STUCK_SECONDS: i64 = 60;

pub(super) async fn show(visitor: Visitor, Extension(live): Extension<Live>) -> Response {
    let Some(Known { figures: Some(figures), failed, .. }) = live.now().await else {
        let error = OperationError::Store(StoreError::Unreachable("no figures came in time".to_owned()));
        return Refusal::from(error).into_response();
    };
    page(&visitor, Section::Overview, "Overview", &content(&visitor, &figures, failed)).into_response()
}

fn content(visitor: &Visitor, figures: &Figures, failed: bool) -> Markup {
    let Figures { overview, .. } = figures;
    let attention = attention(visitor, figures, failed);
    html! {
        p.as-of {
            "As of " (time(overview.status.at)) ". " span data-live-state {}
            " " a data-refresh href="/" { "Refresh" }
        }
        section #attention data-live aria-labelledby="attention-title" {
            h2 #attention-title { "What needs attention" }
            @if attention.is_empty() { p.calm { "Nothing. Everything is done or on its way." } }
            @else { ul.attention { @for one in &attention { (one) } } }
        }
        section #figures data-live aria-labelledby="figures-title" {
            h2 #figures-title { "Now" }
            (now(figures))
        }
        section #hour data-live aria-labelledby="hour-title" {
            h2 #hour-title { "The last hour" }
            (hour(overview))
        }
        section #replays data-live aria-labelledby="replays-title" {
            h2 #replays-title { "Replays under way" }
            @if overview.replays.is_empty() { (empty("None.")) }
            @for one in &overview.replays {
                div.panel {
                    p { a href={ "/replays/" (one.replay.replay_no) } { "Replay " (one.replay.replay_no) } " by "
                        (text(&one.replay.requested_by)) ", " (time(one.replay.created_at)) ": " (text(&one.replay.reason)) }
                    (replays::progress(one))
                    @if visitor.may_act() && one.replay.state == "running" { (replays::cancel_form(one.replay.replay_no)) }
                }
            }
        }
        section #recent data-live aria-labelledby="recent-title" {
            h2 #recent-title { "Newest events" }
            (recent(overview))
            p { a href="/events" { "All events" } }
        }
        @if visitor.may_act() && !overview.status.pauses.iter().any(|pause| pause.organization_id.is_none()) {
            (organizations::pause_form(None))
        }
    }
}

/// What needs attention, the worst first.
fn attention(visitor: &Visitor, figures: &Figures, failed: bool) -> Vec<Markup> {
    let Figures { overview, link } = figures;
    let Status { at, queue, troubles, pauses, transactions, rejected, .. } = &overview.status;
    let mut all = Vec::new();
    let item = |class: &str, title: Markup, more: Markup| html! { li.(class) { p.what { (title) } (more) } };
    if failed {
        let more = html! { p { "These figures are of " (time(*at)) ". What the database said is in the service's log." } };
        all.push(item("bad", html! { "The database does not answer" }, more));
    }
    if !link.up {
        let reason = link.reason.as_deref().unwrap_or("not connected");
        let more = html! { p { (long(reason)) } p.note { "Nothing is taken in until it is up. What is published waits in the broker." } };
        all.push(item("bad", html! { "The link to RabbitMQ is down" }, more));
    } else if let Lookup::Known(queue) = queue
        && queue.consumers == 0
    {
        let more = html! { p.note { "Nobody takes what comes into " (text(&queue.name)) "." } };
        all.push(item("bad", html! { "The queue has no consumer" }, more));
    }
    for row in troubles.iter().filter(|row| row.state == "failed") {
        let title = html! { a href=(super::failures::group(row).address("/jobs/replay")) { (words::count(row.jobs, "job")) " failed" } };
        let more = html! { p { (long(&row.error)) } p.note { "such as " (job_link(&row.example)) } };
        all.push(item("bad", title, more));
    }
    if let Some(row) = overview.oldest.as_ref().filter(|row| is_stuck(row, *at)) {
        let title = html! { "A job has been waiting since " (time(row.created_at)) };
        all.push(item("bad", title, html! { p { (oldest(row)) } }));
    }
    for row in pauses {
        let title = match &row.organization_id {
            None => html! { "All execution is paused" },
            Some(id) => html! { (organization_link(id)) " is paused" },
        };
        let waits = if row.jobs_waiting == 1 { "waits" } else { "wait" };
        let more = html! {
            p { "by " (text(&row.paused_by)) " " (time(row.paused_at)) ": " (text(&row.reason)) }
            p.note { (words::count(row.jobs_waiting, "job")) " " (waits) " for it." }
            @if visitor.may_act() { (organizations::resume_form(row.organization_id.as_deref())) }
        };
        all.push(item("warn", title, more));
    }
    for row in troubles.iter().filter(|row| row.state == "retrying") {
        let title =
            html! { a href="/jobs?state=retrying" { (words::count(row.jobs, "job")) " tried again" } };
        let more = html! {
            p { (long(&row.error)) }
            p.note { "such as " (job_link(&row.example)) @if let Some(at) = row.next_run_at { ", next " (time(at)) } }
        };
        all.push(item("warn", title, more));
    }
    let messages: i64 = rejected.iter().map(|row| row.messages).sum();
    if messages > 0 {
        let newest = rejected.iter().map(|row| row.newest_at).max();
        let title =
            html! { a href="/rejected?state=rejected" { (words::count(messages, "message")) " rejected" } };
        let more = html! {
            ul.row {
                @for row in rejected {
                    li { a href=(fields(&[("code", &row.code), ("state", "rejected")]).address("/rejected")) { (text(&row.code)) } " " (number(row.messages)) }
                }
            }
            @if let Some(newest) = newest { p.note { "the newest " (time(newest)) } }
        };
        all.push(item("warn", title, more));
    }
    for row in transactions {
        let title = html! { "A transaction has been open since " (time(row.since)) };
        let more = html! {
            p { "process " (row.pid) ", user " (text(&row.user_name)) ", " (text(&row.application)) ": " (text(&row.state)) }
            p.note { "It may hold what jobs wait for, and makes everything slower. Perhaps it was forgotten." }
        };
        all.push(item("warn", title, more));
    }
    all
}

/// Whether a letter waits though nothing is known that it waits for.
fn is_stuck(row: &OldestRow, now: Timestamp) -> bool {
    let age = now.as_second() - row.created_at.max(row.run_at).as_second();
    !row.paused && row.attempts == 0 && age > STUCK_SECONDS
}

fn oldest(row: &OldestRow) -> Markup {
    html! {
        (row.kind) " "
        @match &row.organization_id {
            Some(id) => { "of " (organization_link(id)) },
            None => "of downstreams",
        }
        ", by the event " (event_link(&row.event_id, Some(&row.source)))
        @if row.paused { ", paused" }
        @if row.attempts > 0 { ", tried " (words::count(row.attempts, "time")) ", again " (time(row.run_at)) }
    }
}

fn now(figures: &Figures) -> Markup {
    let Figures { overview, link } = figures;
    let Status { queue, letters, jobs, organizations, partnerships, events_last_hour, freshness, .. } =
        &overview.status;
    let about = if jobs.succeeded_is_estimate { "about " } else { "" };
    let waiting: i64 = letters.iter().map(|row| row.letters).sum();
    let queue = match queue {
        Lookup::Known(queue) => html! {
            span.figure { (number(queue.messages)) }
            span.unit { (words::count(queue.consumers, "consumer")) ", link " (if link.up { "up" } else { "down" }) }
        },
        Lookup::Unknown(reason) => html! { span.figure { "?" } span.unit { (text(reason)) } },
    };
    let tile = |name: &str, content: Markup| html! { div.tile { dt { (name) } dd { (content) } } };
    let figure = |count: i64, unit: Markup| html! { span.figure { (number(count)) } span.unit { (unit) } };
    html! {
        dl.tiles {
            (tile("In the queue", queue))
            (tile("Jobs waiting", figure(jobs.pending + jobs.retrying, html! {
                (number(jobs.retrying)) " of them tried before; " (words::count(waiting, "letter"))
            })))
            (tile("Oldest waiting", html! {
                @match &overview.oldest {
                    Some(row) => { span.figure { (time(row.created_at)) } span.unit { (oldest(row)) } }
                    None => { span.figure { "–" } span.unit { "nothing waits" } }
                }
            }))
            (tile("Jobs failed", figure(jobs.failed, html! { a href="/failures" { "see why" } })))
            (tile("Jobs done", html! {
                span.figure { (about) (number(jobs.succeeded)) }
                span.unit { (number(jobs.discarded)) " discarded" }
            }))
            (tile("Events, last hour", figure(events_last_hour.values().sum(), html! { (words::counts(events_last_hour)) })))
            (tile("Organizations", figure(*organizations, html! { a href="/organizations" { "see them" } })))
            (tile("Partnerships", figure(partnerships.values().sum(), html! { (words::counts(partnerships)) })))
            (tile("Partnerships in step", html! {
                span.figure { (number(freshness.in_step)) }
                span.unit {
                    "of " (number(freshness.partnerships))
                    @if let Some(at) = freshness.oldest_waiting_at { ", the oldest job waits since " (time(at)) }
                    "; " a href="/freshness" { "see how far each is" }
                }
            }))
        }
    }
}

fn hour(overview: &Overview) -> Markup {
    let minutes = match &overview.minutes {
        Lookup::Known(minutes) => minutes,
        Lookup::Unknown(reason) => return empty(reason),
    };
    let jobs: Vec<_> =
        minutes.iter().map(|row| (row.at, vec![("good", row.succeeded), ("bad", row.failed)])).collect();
    let failures: Vec<_> = minutes.iter().map(|row| (row.at, vec![("bad", row.failed)])).collect();
    let events: Vec<_> = minutes.iter().map(|row| (row.at, vec![("neutral", row.events)])).collect();
    html! {
        div.charts {
            (figure(minutes, "Jobs done", &jobs, |row| row.succeeded))
            (figure(minutes, "Jobs failed", &failures, |row| row.failed))
            (figure(minutes, "Events in", &events, |row| row.events))
        }
    }
}

type Series = [(Timestamp, Vec<(&'static str, i64)>)];

fn figure(minutes: &[MinuteRow], name: &str, series: &Series, of: impl Fn(&MinuteRow) -> i64) -> Markup {
    let all: i64 = minutes.iter().map(&of).sum();
    let most = minutes.iter().max_by_key(|row| of(row)).filter(|row| of(row) > 0);
    let said = match most {
        Some(row) => format!("at most {} a minute, at {} UTC", words::number(of(row)), clock(row.at)),
        None => "none".to_owned(),
    };
    let label = format!("{name}, minute by minute over the last hour: {} in all, {said}", words::number(all));
    html! {
        figure.chart-box {
            figcaption { strong { (name) " " (number(all)) } " " span.unit { (said) } }
            (chart(&label, series))
            div.scale aria-hidden="true" {
                span { (minutes.first().map(|row| clock(row.at)).unwrap_or_default()) }
                span { (minutes.last().map(|row| clock(row.at)).unwrap_or_default()) " UTC" }
            }
        }
    }
}

fn recent(overview: &Overview) -> Markup {
    if overview.events.is_empty() {
        return empty("No event has come yet.");
    }
    super::events::rows(&overview.events)
}
