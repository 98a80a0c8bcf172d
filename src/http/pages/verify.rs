//! Verify: whether strict partners have what their upstreams have, and putting right what differs.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::components::{
    carried, code, column, empty, event_link, explain_link, input, job_link, none, number, numbers,
    organization_link, organization_link_if, reason, select, state, table, text, value, wide,
};
use super::fields::{Fields, Form, Query};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::{Actor, Visitor};
use crate::domain::catalogue::Reach;
use crate::http::App;
use crate::http::live::Live;
use crate::operations::{Drift, LIMIT_DEFAULT, RepairRow, Verification, VerifyQuery};
use crate::words;

/// The form; and where it was sent, what was found.
pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let form = form(&app, &query);
    if query.get("compare").is_none() {
        let content = html! {
            p.lead { "Have strict partners what their upstreams have? Nothing is written, and nobody waits." }
            (form)
        };
        return Ok(page(&visitor, Section::Verify, "Verify", &content));
    }
    let asked = VerifyQuery { category: query.get("category").map(str::to_owned), ..partnerships(&query) };
    let found = app.verifications.verify(&app, &asked).await?;
    let drifted = found.partnerships - found.in_step - found.waiting;
    let content = html! {
        (form)
        p.as-of { "Nothing was written. Compared " (super::components::time(found.at)) "." }
        (totals(&found, drifted))
        @if found.partnerships == 0 { (empty("There is no such strict partnership. Others cannot be compared: there nearly anything may be right.")) }
        @else if drifted == 0 { p.calm { "Nothing differs." } }
        @if drifted > 0 {
            section aria-labelledby="drift-title" {
                h2 #drift-title { "Drift" }
                (self::drifted(&found, drifted))
            }
            section aria-labelledby="entries-title" {
                h2 #entries-title { "Entries that differ" }
                (differences(&found))
            }
            @if visitor.may_act() { (repair_form(&query, drifted)) }
            @else { p.note { "Only an operator can have it put right; you are a viewer." } }
        }
        @if found.waiting > 0 {
            section aria-labelledby="waiting-title" {
                h2 #waiting-title { "Not in step yet, and not compared" }
                (waiting(&found))
            }
        }
    };
    Ok(page(&visitor, Section::Verify, "Verify", &content))
}

/// Which partnerships are meant, in all categories.
fn partnerships(fields: &Fields) -> VerifyQuery {
    VerifyQuery {
        upstream_id: fields.get("upstream").map(str::to_owned),
        organization_id: fields.get("organization").map(str::to_owned),
        category: None,
        limit: LIMIT_DEFAULT,
    }
}

fn form(app: &App, query: &Fields) -> Markup {
    let ongoing = app.config.catalogue.iter().filter(|(_, category)| category.reach == Reach::Ongoing);
    let categories: Vec<&str> = ongoing.map(|(_, category)| &*category.name).collect();
    html! {
        form.filters action="/verify" aria-label="What is compared" {
            (input("upstream", "Upstream", query))
            (input("organization", "Organization", query))
            (select("category", "Category", "all categories", categories, query))
            div.actions { button.primary type="submit" name="compare" value="yes" { "Compare" } }
        }
    }
}

fn totals(found: &Verification, drifted: i64) -> Markup {
    let tile = |name: &str, count: i64, unit: Markup, class: &str| {
        let class = if count > 0 { class } else { "zero" };
        html! { div.tile.(class) { dt { (name) } dd { span.figure { (number(count)) } span.unit { (unit) } } } }
    };
    html! {
        section aria-labelledby="totals-title" {
            h2 #totals-title { "In all" }
            dl.tiles {
                (tile("With drift", drifted, html! { (words::count(found.drift.entries(), "setting")) }, "bad"))
                (tile("In step", found.in_step, html! { "have what their upstreams have" }, "good"))
                (tile("Not in step yet", found.waiting, html! { "jobs wait for them" }, "warn"))
                (tile("Partnerships", found.partnerships, html! { "that are strict" }, ""))
            }
        }
    }
}

fn drifted(found: &Verification, drifted: i64) -> Markup {
    let rows: Vec<Vec<Markup>> = found
        .drifted
        .iter()
        .flat_map(|one| {
            one.categories.iter().map(|(category, drift)| {
                vec![
                    organization_link(&one.organization_id),
                    organization_link(&one.upstream_id),
                    text(category),
                    html! { (said(*drift)) },
                    if one.jobs_failed > 0 {
                        html! { (words::count(one.jobs_failed, "job")) " failed" }
                    } else {
                        none()
                    },
                ]
            })
        })
        .collect();
    let columns =
        [column("organization"), column("upstream"), column("category"), wide("drift"), column("jobs")];
    let more = drifted - found.drifted.len() as i64;
    html! {
        (table("Partnerships that differ, by category", &columns, &rows))
        @if more > 0 { p { "… and " (words::count(more, "more partnership")) "." } }
    }
}

fn said(drift: Drift) -> String {
    let Drift { missing, other, extra, origin } = drift;
    let kinds = [
        (missing, "missing"),
        (other, "with another value"),
        (extra, "extra"),
        (origin, "with another origin"),
    ];
    let said = kinds.iter().filter(|(entries, _)| *entries > 0);
    said.map(|(entries, what)| format!("{} {what}", words::number(*entries))).collect::<Vec<_>>().join(", ")
}

fn differences(found: &Verification) -> Markup {
    let rows: Vec<Vec<Markup>> = found
        .differences
        .iter()
        .map(|row| {
            let differs = match row.kind.as_str() {
                "other" => "another value",
                "origin" => "another origin",
                kind => kind,
            };
            vec![
                organization_link(&row.organization_id),
                text(&row.category),
                code(&row.key),
                html! { (differs) },
                row.here.as_ref().map_or_else(none, value),
                row.there.as_ref().map_or_else(none, value),
                match row.origin.as_deref() {
                    Some("own") => html! { "own" },
                    origin => organization_link_if(origin),
                },
                row.event_id.as_deref().map_or_else(none, |id| event_link(id, None)),
                explain_link(&row.organization_id, &row.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [
        column("organization"),
        column("category"),
        column("key"),
        column("differs"),
        wide("here"),
        wide("upstream has"),
        column("origin here"),
        column("event here"),
        column("explain"),
    ];
    let more = found.drift.entries() - found.differences.len() as i64;
    html! {
        (table("Entries that differ", &columns, &rows))
        @if more > 0 { p { "… and " (number(more)) " more: choose an organization or a category." } }
    }
}

fn waiting(found: &Verification) -> Markup {
    let rows: Vec<Vec<Markup>> = found
        .not_in_step_yet
        .iter()
        .map(|row| {
            vec![
                organization_link(&row.organization_id),
                organization_link(&row.upstream_id),
                number(row.jobs_waiting),
                if row.paused { state("paused") } else { none() },
            ]
        })
        .collect();
    let columns = [column("organization"), column("upstream"), numbers("jobs waiting"), column("paused")];
    let more = found.waiting - rows.len() as i64;
    html! {
        (table("Partnerships for whose downstream jobs wait", &columns, &rows))
        @if more > 0 { p { "… and " (number(more)) " more." } }
    }
}

fn repair_form(query: &Fields, drifted: i64) -> Markup {
    html! {
        section aria-labelledby="repair-title" {
            h2 #repair-title { "Put it right" }
            form.stack.panel method="post" action="/verify" {
                p {
                    "They are compared once more, in all categories. For each partnership that differs then, now "
                    (number(drifted)) ", a job matches it with its upstream: what is missing is added, what has another value "
                    "is changed, what is extra is removed. What was the organization's own is archived with the job."
                }
                (carried(&query.only(&["upstream", "organization"])))
                (reason())
                div.actions { button.danger type="submit" { "Repair " (words::count(drifted, "partnership")) } }
            }
        }
    }
}

/// Has what differs put right.
pub(super) async fn repair(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Markup, Refusal> {
    let operator = actor.operator(&form)?;
    let repaired = app.verifications.repair(&app, &partnerships(&form), operator).await?;
    live.outdate();
    let again = form.only(&["upstream", "organization"]).with("compare", "yes").address("/verify");
    let more = repaired.jobs - repaired.repairs.len() as i64;
    let content = html! {
        p.lead {
            @if repaired.jobs == 0 { "Nothing differs any more: nothing is to be done." }
            @else { (words::count(repaired.jobs, "job")) " will put it right." }
        }
        @if !repaired.repairs.is_empty() { (jobs(&repaired.repairs)) }
        @if more > 0 { p { "… and " (words::count(more, "more job")) "." } }
        p { a href=(again) { "Compare again" } }
    };
    Ok(page(&actor.0, Section::Verify, "Repair", &content))
}

fn jobs(repairs: &[RepairRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = repairs
        .iter()
        .map(|row| {
            vec![
                job_link(&row.idempotency_key),
                organization_link(&row.organization_id),
                organization_link(&row.upstream_id),
                event_link(&row.event_id, None),
            ]
        })
        .collect();
    let columns = [column("job"), column("organization"), column("upstream"), column("event")];
    table("Jobs that put it right", &columns, &rows)
}
