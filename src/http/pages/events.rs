//! Events: the list, and one of them with its jobs as a tree.

use std::collections::HashMap;

use axum::extract::State;
use maud::{Markup, html};

use super::components::{
    code, column, empty, event_link, facts, fan_out, fields, filters, input, job_link, long, meaning_of,
    none, organization_link, organization_link_if, pager, select, state, table, text, time, time_if, wide,
};
use super::fields::Query;
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{self, EventJobRow, EventQuery, EventRow, EventState, LIMIT_DEFAULT};
use crate::words;

/// How many jobs of an event are shown.
const JOBS_MAX: u16 = 200;

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let asked = EventQuery {
        state: query.read::<EventState>("state")?,
        organization_id: query.get("organization").map(str::to_owned),
        after: query.get("after").map(str::to_owned),
        limit: LIMIT_DEFAULT,
    };
    let found = operations::events(&app.store, &asked).await?;
    let content = html! {
        (filters("/events", &query.only(&["state", "organization"]), &html! {
            (select("state", "State", "any state", EventState::NAMES.iter().copied(), &query))
            (input("organization", "Organization", &query))
        }))
        @if found.items.is_empty() { (empty("No event fits.")) } @else { (rows(&found.items)) }
        (pager("/events", &query, "after", found.next.as_deref()))
        (meanings(EventState::NAMES))
    };
    Ok(page(&visitor, Section::Events, "Events", &content))
}

/// What states mean, for who wants to know.
pub(super) fn meanings(states: &[&str]) -> Markup {
    html! {
        details.meanings {
            summary { "What the states mean" }
            dl.facts {
                @for name in states {
                    @if let Some(meaning) = meaning_of(name) { div { dt { (state(name)) } dd { (meaning) } } }
                }
            }
        }
    }
}

/// Events as a table.
pub(super) fn rows(events: &[EventRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = events
        .iter()
        .map(|row| {
            vec![
                event_link(&row.event_id, Some(&row.source)),
                organization_link(&row.organization_id),
                row.category.as_deref().map_or_else(|| html! { (row.event_type) }, text),
                state(&row.state),
                fan_out(row),
                time(row.received_at),
            ]
        })
        .collect();
    let columns = [
        column("event"),
        column("organization"),
        column("about"),
        column("state"),
        wide("jobs"),
        column("received"),
    ];
    table("Events, the newest first", &columns, &rows)
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let id = query.get("id").ok_or_else(|| Refusal::bad_request("id: expected the id of an event"))?;
    let detail = operations::event(&app.store, id, query.get("source"), JOBS_MAX).await?;
    let event = &detail.event;
    let of_event = |fields: super::fields::Fields| fields.with("event", id).with("source", &event.source);
    let failed_jobs = of_event(fields(&[("state", "failed")]));
    let is_open = matches!(event.state.as_str(), "accepted" | "syncing" | "failed");
    let content = html! {
        section #event data-live[is_open] aria-label="The event" {
            (facts(&[
                ("State", html! { (state(&event.state)) " " span.note { (meaning_of(&event.state).unwrap_or_default()) } }),
                ("Jobs", fan_out(event)),
                ("Type", html! { (event.event_type) }),
                (
                    if detail.downstream_id.is_some() { "Upstream" } else { "Organization" },
                    organization_link(&event.organization_id),
                ),
                ("Downstream", organization_link_if(detail.downstream_id.as_deref())),
                ("Category", event.category.as_deref().map_or_else(none, text)),
                ("Source", text(&event.source)),
                ("Received", time(event.received_at)),
                ("Finished", time_if(event.finished_at)),
                ("Trace", detail.traceparent.as_deref().map_or_else(none, code)),
            ]))
            @if event.jobs_failed > 0 {
                div.actions {
                    a.button href=(failed_jobs.address("/jobs")) { "See the failed jobs" }
                    @if visitor.may_act() {
                        a.button.primary href=(failed_jobs.address("/jobs/replay")) { "Replay them …" }
                    }
                }
            }
        }
        section #jobs data-live[is_open] aria-labelledby="jobs-title" {
            h2 #jobs-title { "What became of it" }
            @if let Some(at) = detail.results_dropped_at {
                p { "The results of its day were dropped " (time(at)) ", by their age. What failed is still here." }
            }
            @if !detail.jobs.is_empty() {
                (tree(&detail.jobs))
            } @else if detail.results_dropped_at.is_none() {
                (empty("It has no jobs."))
            }
            @if detail.jobs_left_off > 0 {
                p {
                    "… and " (words::count(detail.jobs_left_off, "more job")) ": "
                    a href=(of_event(fields(&[])).address("/jobs")) { "all jobs of this event" }
                }
            }
        }
    };
    Ok(page(&visitor, Section::Events, &format!("Event {id}"), &content))
}

/// Jobs, each below the one that it follows from.
fn tree(jobs: &[EventJobRow]) -> Markup {
    let mut depths: HashMap<&str, usize> = HashMap::new();
    let mut children: HashMap<Option<&str>, Vec<&EventJobRow>> = HashMap::new();
    let known: std::collections::HashSet<&str> =
        jobs.iter().map(|job| job.job.idempotency_key.as_str()).collect();
    for job in jobs {
        let parent = job.follows_from.as_deref().filter(|key| known.contains(key));
        children.entry(parent).or_default().push(job);
    }
    // Depth first, so that each stands below the one that it follows from.
    let mut ordered = Vec::with_capacity(jobs.len());
    let mut stack: Vec<&EventJobRow> = children.get(&None).into_iter().flatten().rev().copied().collect();
    while let Some(job) = stack.pop() {
        let key = job.job.idempotency_key.as_str();
        if depths.contains_key(key) {
            continue;
        }
        let parent = job.follows_from.as_deref().and_then(|key| depths.get(key));
        let depth = parent.map_or(0, |depth| depth + 1);
        depths.insert(key, depth);
        ordered.push((depth, job));
        stack.extend(children.get(&Some(key)).into_iter().flatten().rev());
    }
    let rows: Vec<Vec<Markup>> = ordered
        .into_iter()
        .map(|(depth, job)| {
            let row = &job.job;
            vec![
                html! {
                    span.branch.{ "depth-" (depth.min(6)) } {
                        @if depth > 0 { span.elbow aria-hidden="true" {} span.hidden { "tier " (depth) ": " } }
                        (organization_link(&row.organization_id))
                    }
                },
                html! { (row.kind) },
                row.category.as_deref().map_or_else(none, text),
                state(&row.state),
                job_link(&row.idempotency_key),
                outcome(row),
            ]
        })
        .collect();
    let columns = [
        column("organization"),
        column("kind"),
        column("category"),
        column("state"),
        column("job"),
        wide("outcome"),
    ];
    table("Jobs, each below the one that it follows from", &columns, &rows)
}

/// What a job did, or what it failed of.
pub(super) fn outcome(row: &operations::JobRow) -> Markup {
    match (&row.last_error, &row.result) {
        (Some(error), None) => {
            html! { (long(error)) @if let Some(at) = row.run_at { span.note { ", again " (time(at)) } } }
        }
        (Some(error), Some(_)) if row.state == "failed" => long(error),
        (_, Some(result)) => long(&words::result(result)),
        (None, None) => none(),
    }
}
