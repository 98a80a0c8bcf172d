//! Jobs: the list, and one of them.

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::components::{
    code, column, empty, event_link, explain_link, facts, filters, input, job_link, long, meaning_of, none,
    organization_link, organization_link_if, pager, select, state, table, text, time, time_if, value, wide,
};
use super::events::{meanings, outcome};
use super::fields::{Fields, Query};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{
    self, DisplacedRow, EffectRow, JobKey, JobKind, JobQuery, JobRow, JobState, LIMIT_DEFAULT,
};
use crate::words;

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let asked = JobQuery {
        state: query.read::<JobState>("state")?,
        organization_id: query.get("organization").map(str::to_owned),
        event_id: query.get("event").map(str::to_owned),
        source: query.get("source").map(str::to_owned),
        kind: query.read::<JobKind>("kind")?,
        after: query.read::<JobKey>("after")?,
        limit: LIMIT_DEFAULT,
    };
    let found = operations::jobs(&app.store, &asked).await?;
    let narrowed = query.only(&["state", "organization", "event", "source", "kind"]);
    let content = html! {
        (filters("/jobs", &narrowed, &html! {
            (select("state", "State", "any state", JobState::NAMES.iter().copied(), &query))
            (select("kind", "Kind", "any kind", JobKind::NAMES.iter().copied(), &query))
            (input("organization", "Organization", &query))
            (input("event", "Event", &query))
        }))
        @if found.items.is_empty() { (empty("No job fits.")) } @else { (chooser(&visitor, &found.items)) }
        (pager("/jobs", &query, "after", found.next.as_deref()))
        (meanings(JobState::NAMES))
    };
    Ok(page(&visitor, Section::Jobs, "Jobs", &content))
}

/// Jobs as a table, of which an operator can choose those that failed or are tried again.
pub(super) fn chooser(visitor: &Visitor, jobs: &[JobRow]) -> Markup {
    let can = |row: &JobRow| visitor.may_act() && matches!(row.state.as_str(), "failed" | "retrying");
    let rows: Vec<Vec<Markup>> = jobs
        .iter()
        .map(|row| {
            vec![
                html! {
                    @if can(row) {
                        label.choose {
                            input type="checkbox" name="key" value=(row.idempotency_key);
                            span.hidden { "Choose the job " }
                            (job_link(&row.idempotency_key))
                        }
                    } @else { (job_link(&row.idempotency_key)) }
                },
                organization_link(&row.organization_id),
                html! {
                    (row.kind)
                    @if let Some(upstream) = &row.upstream_id { " from " (organization_link(upstream)) }
                },
                row.category.as_deref().map_or_else(none, text),
                event_link(&row.event_id, Some(&row.source)),
                state(&row.state),
                outcome(row),
                time(row.finished_at.unwrap_or(row.created_at)),
            ]
        })
        .collect();
    let columns = [
        column("job"),
        column("organization"),
        column("kind"),
        column("category"),
        column("event"),
        column("state"),
        wide("outcome"),
        column("when"),
    ];
    let table = table("Jobs, the newest cause first", &columns, &rows);
    html! {
        @if jobs.iter().any(can) {
            form action="/jobs/replay" {
                (table)
                div.actions {
                    button.primary type="submit" { "Replay the chosen …" }
                    button.danger type="submit" formaction="/jobs/discard" { "Discard the chosen …" }
                    span.note { "What it would come to is shown first." }
                }
            }
        } @else { (table) }
    }
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Path(key): Path<String>,
) -> Result<Markup, Refusal> {
    let key: JobKey =
        key.parse().map_err(|error: operations::MalformedJobKey| Refusal::bad_request(error.to_string()))?;
    let detail = operations::job(&app.store, key).await?;
    let job = &detail.job;
    let chosen = Fields::of([("key".to_owned(), key.to_string())].into_iter());
    let can_discard = matches!(job.state.as_str(), "failed" | "retrying" | "pending");
    let can_replay = !matches!(job.state.as_str(), "pending" | "retrying");
    let following: i64 = detail.following.values().sum();
    let content = html! {
        section #job data-live[job.state != "succeeded"] aria-label="The job" {
            (facts(&[
                ("State", html! { (state(&job.state)) " " span.note { (meaning_of(&job.state).unwrap_or_default()) } }),
                ("Error", job.last_error.as_deref().map_or_else(none, long)),
                ("Outcome", job.result.as_ref().map_or_else(none, |result| long(&words::result(result)))),
                ("Organization", organization_link(&job.organization_id)),
                ("Kind", html! { (job.kind) }),
                ("From", organization_link_if(job.upstream_id.as_deref())),
                ("Category", job.category.as_deref().map_or_else(none, text)),
                ("Event", event_link(&job.event_id, Some(&detail.source))),
                ("Attempts", html! { (job.attempts) }),
                ("Runs", time_if(job.run_at)),
                ("Caused", time(job.created_at)),
                ("Finished", time_if(job.finished_at)),
                ("Idempotency key", code(&job.idempotency_key)),
            ]))
            @if visitor.may_act() {
                div.actions {
                    @if can_replay {
                        a.button.primary[job.state == "failed"] href=(chosen.address("/jobs/replay")) { "Replay …" }
                    }
                    @if can_discard { a.button.danger href=(chosen.address("/jobs/discard")) { "Discard …" } }
                }
            }
        }
        @if !detail.way.is_empty() {
            section aria-labelledby="way-title" {
                h2 #way-title { "The way to it" }
                ol.way {
                    @for step in &detail.way {
                        li { (organization_link(&step.organization_id)) " " (job_link(&step.idempotency_key)) }
                    }
                    li { strong { (text(&job.organization_id)) } " " span.note { "this job" } }
                }
            }
        }
        section aria-labelledby="changes-title" {
            h2 #changes-title { "What it changed" }
            @if detail.changes.is_empty() {
                (empty("Nothing is kept of single settings: that is done where it went on to partners. The outcome has the counts."))
            } @else { (changes(&job.organization_id, &detail.changes)) }
        }
        @if !detail.displaced.is_empty() {
            section aria-labelledby="displaced-title" {
                h2 #displaced-title { "What it displaced" }
                p { "The organization's own settings that a match changed or removed, as they were. They are archived with this job." }
                (displaced(&job.organization_id, &detail.displaced))
                p { a.button href=(super::restore::address(&key)) { "What restoring them would do …" } }
            }
        }
        @if following > 0 {
            section aria-labelledby="following-title" {
                h2 #following-title { "What follows from it" }
                p { (words::count(following, "job")) ": " (words::counts(&detail.following)) ". "
                    a href=(super::components::event_address(&job.event_id, Some(&detail.source))) { "The event with all its jobs" } }
            }
        }
    };
    Ok(page(&visitor, Section::Jobs, &format!("Job {key}"), &content))
}

fn changes(organization: &str, rows: &[EffectRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row.category),
                code(&row.key),
                html! { (row.change) },
                row.value.as_ref().map_or_else(none, value),
                explain_link(organization, &row.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [column("category"), column("key"), column("change"), wide("value"), column("now")];
    table("Settings that the job changed", &columns, &rows)
}

fn displaced(organization: &str, rows: &[DisplacedRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row.category),
                code(&row.key),
                value(&row.value),
                if row.origin == "own" {
                    html! { "own" }
                } else {
                    organization_link(&row.origin)
                },
                row.event_id.as_deref().map_or_else(none, |id| event_link(id, None)),
                explain_link(organization, &row.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [
        column("category"),
        column("key"),
        wide("value"),
        column("origin"),
        column("written by"),
        column("now"),
    ];
    table("Settings that the job displaced", &columns, &rows)
}
