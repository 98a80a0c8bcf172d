//! Restore: bringing back what a job displaced, after it was shown what that does.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};

use super::components::{
    code, column, empty, event_address, event_link, explain_link, job_link, none, organization_link, reason,
    table, text, value, wide,
};
use super::fields::Form;
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::{Actor, Visitor};
use crate::http::App;
use crate::http::live::Live;
use crate::operations::{self, JobKey, LIMIT_DEFAULT, MalformedJobKey, Restore, RestoreEntry};
use crate::words;

/// The address of what restoring a job's displaced settings would do.
pub(super) fn address(key: &JobKey) -> String {
    format!("/jobs/{key}/restore")
}

fn key_of(text: &str) -> Result<JobKey, Refusal> {
    text.parse().map_err(|error: MalformedJobKey| Refusal::bad_request(error.to_string()))
}

/// What a restore would come to.
pub(super) async fn choose(
    visitor: Visitor,
    State(app): State<App>,
    Path(key): Path<String>,
) -> Result<Markup, Refusal> {
    let key = key_of(&key)?;
    let restore = operations::preview_restore(&app.store, &app.config.catalogue, key, LIMIT_DEFAULT).await?;
    let Restore { displaced, outcomes, .. } = restore;
    let more = displaced - restore.entries.len() as i64;
    let content = html! {
        p.lead {
            @if outcomes.restored == 0 { "Nothing would be brought back: " (restore.reason()) "." }
            @else {
                (words::count(outcomes.restored, "setting")) " of " (organization_link(&restore.organization_id))
                " would be brought back, as an edit of its own: it goes on to its partners as any other."
                @if outcomes.restored < displaced { " Left as they are: " (restore.reason()) "." }
            }
        }
        p { "Displaced by the job " (job_link(&restore.idempotency_key)) " of the event " (event_link(&restore.event_id, None)) "." }
        @if restore.entries.is_empty() { (empty("The job displaced nothing.")) } @else { (entries(&restore)) }
        @if more > 0 { p { "… and " (words::count(more, "more setting")) "." } }
        @if outcomes.restored > 0 && visitor.may_act() {
            h2 { "Do it" }
            form.stack.panel method="post" action=(address(&key)) {
                (reason())
                div.actions {
                    button.primary type="submit" { "Restore " (words::count(outcomes.restored, "setting")) }
                    a href={ "/jobs/" (key) } { "Do nothing" }
                }
            }
        }
        @if !visitor.may_act() { p.note { "Only an operator can do it; you are a viewer." } }
    };
    Ok(page(&visitor, Section::Jobs, &format!("Restore what {key} displaced"), &content))
}

fn entries(restore: &Restore) -> Markup {
    let rows: Vec<Vec<Markup>> = restore
        .entries
        .iter()
        .map(|row| {
            vec![
                text(&row.category),
                code(&row.key),
                row.value.as_ref().map_or_else(none, value),
                html! {
                    (row.now.as_ref().map_or_else(none, value))
                    @match row.now_origin.as_deref() {
                        Some("own") => { " " span.note { "own" } },
                        Some(origin) => { " " span.note { "from " (text(origin)) } },
                        None => {},
                    }
                },
                becomes(row),
                explain_link(&restore.organization_id, &row.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [
        column("category"),
        column("key"),
        wide("displaced"),
        wide("now"),
        column("what becomes of it"),
        column("explain"),
    ];
    table("Settings that the job displaced", &columns, &rows)
}

fn becomes(row: &RestoreEntry) -> Markup {
    let by = row.by.as_deref().unwrap_or("(unknown)");
    html! {
        @match row.outcome {
            "restored" => span.fate.good { "restored" },
            "in-place" => "left: it is in place already",
            "locked" => { "left: locked by " (organization_link(by)) },
            "changed-since" => { "left: changed since by " (event_link(by, None)) },
            "results-dropped" => "left: not known any more what came since, as results were dropped",
            "own-event-waits" => "left: a later event waits",
            _ => "left: the catalogue has it no more",
        }
    }
}

/// Brings back what a job displaced.
pub(super) async fn restore(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Path(key): Path<String>,
    Form(form): Form,
) -> Result<Redirect, Refusal> {
    let key = key_of(&key)?;
    let operator = actor.operator(&form)?;
    let restored =
        operations::restore(&app.store, &app.config.catalogue, key, LIMIT_DEFAULT, operator).await?;
    live.outdate();
    let event = restored.events.first().map(|id| event_address(id, None));
    Ok(Redirect::to(&event.unwrap_or_else(|| format!("/jobs/{key}"))))
}
