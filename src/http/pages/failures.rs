//! Failures: the errors that jobs ran into, and the jobs themselves.

use axum::extract::State;
use maud::{Markup, html};

use super::components::{
    column, empty, fields, input, job_link, long, none, number, numbers, pager, select, state, table, time,
    wide,
};
use super::fields::{Fields, Query};
use super::jobs::chooser;
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{self, JobKey, JobKind, JobQuery, JobState, LIMIT_DEFAULT, TroubleRow};

/// How many errors are told apart.
const GROUPS_MAX: u16 = 50;

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let groups = operations::failures(&app.store, GROUPS_MAX).await?;
    let failed = JobQuery {
        state: Some(JobState::Failed),
        organization_id: None,
        event_id: None,
        source: None,
        kind: None,
        after: query.read::<JobKey>("after")?,
        limit: LIMIT_DEFAULT,
    };
    let failed = operations::jobs(&app.store, &failed).await?;
    let content = html! {
        section #groups data-live aria-labelledby="groups-title" {
            h2 #groups-title { "By error" }
            @if groups.is_empty() { p.calm { "No job has failed, and none is tried again." } }
            @else { (by_error(&visitor, &groups)) }
        }
        section aria-labelledby="choose-title" {
            h2 #choose-title { "By what they are about" }
            p.note { "Failed jobs that fit everything that is said here. What would be done is shown first." }
            (choice(&visitor, &Fields::default()))
        }
        section aria-labelledby="jobs-title" {
            h2 #jobs-title { "One by one" }
            @if failed.items.is_empty() { (empty("No failed job.")) } @else { (chooser(&visitor, &failed.items)) }
            (pager("/failures", &query, "after", failed.next.as_deref()))
        }
    };
    Ok(page(&visitor, Section::Failures, "Failures", &content))
}

/// What stands for a group of jobs: their error and state.
pub(super) fn group(row: &TroubleRow) -> Fields {
    fields(&[("state", &row.state), ("error", &row.error)])
}

fn by_error(visitor: &Visitor, groups: &[TroubleRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = groups
        .iter()
        .map(|row| {
            vec![
                number(row.jobs),
                state(&row.state),
                long(&row.error),
                job_link(&row.example),
                row.next_run_at.map_or_else(none, time),
                html! {
                    div.actions {
                        @if row.state == "failed" {
                            a.button.primary[visitor.may_act()] href=(group(row).address("/jobs/replay")) {
                                (if visitor.may_act() { "Replay …" } else { "What a replay would do" })
                            }
                        }
                        @if visitor.may_act() {
                            a.button.danger href=(group(row).address("/jobs/discard")) { "Discard …" }
                        }
                    }
                },
            ]
        })
        .collect();
    let columns = [
        numbers("jobs"),
        column("state"),
        wide("error"),
        column("such as"),
        column("next attempt"),
        column("what to do"),
    ];
    table("Errors, the most frequent first", &columns, &rows)
}

/// A form that chooses jobs, for what is asked next: replay or discard.
pub(super) fn choice(visitor: &Visitor, query: &Fields) -> Markup {
    html! {
        form.filters.choice action="/jobs/replay" aria-label="Choose jobs" {
            (select("state", "State", "failed", ["retrying", "succeeded", "discarded"], query))
            (select("kind", "Kind", "any kind", JobKind::NAMES.iter().copied(), query))
            (input("organization", "Organization", query))
            (input("upstream", "From the upstream", query))
            (input("category", "Category", query))
            (input("event", "Event", query))
            (input("error", "Error contains", query))
            div.actions {
                button type="submit" { "Show what a replay would do" }
                @if visitor.may_act() {
                    button type="submit" formaction="/jobs/discard" { "Show what discarding would do" }
                }
            }
        }
    }
}
