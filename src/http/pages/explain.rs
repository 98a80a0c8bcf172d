//! Explain: why an organization has a setting, or lacks it, or may not edit it.

use axum::extract::State;
use maud::{Markup, html};

use super::components::{
    code, column, empty, event_link, explain_link, facts, flag, input, job_link, lock, long, mode, none,
    number, numbers, organization_link, organization_link_if, select, state, table, text, time, value, wide,
};
use super::fields::Query;
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{self, ComparedRow, Explanation, HistoryRow};
use crate::words;

/// How many rows of each table are shown.
const ROWS_MAX: u16 = 50;

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let categories: Vec<&str> = app.config.catalogue.iter().map(|(_, category)| &*category.name).collect();
    let asked = query.get("organization").zip(query.get("category"));
    let explanation = match asked {
        Some((organization, category)) => {
            let catalogue = &app.config.catalogue;
            Some(
                operations::explain(
                    &app.store,
                    catalogue,
                    organization,
                    category,
                    query.get("key"),
                    ROWS_MAX,
                )
                .await?,
            )
        }
        None => None,
    };
    let form = html! {
        form.filters action="/explain" aria-label="What is to be explained" {
            (input("organization", "Organization", &query))
            (select("category", "Category", "which one?", categories, &query))
            (input("key", "Key (none: the category)", &query))
            div.actions { button type="submit" { "Explain" } }
        }
    };
    let content = html! {
        @match &explanation {
            Some(explanation) => { (explained(explanation)) h2 { "Another one" } (form) }
            None => {
                p.lead { "Why does an organization have a setting, or lack it, or may not edit it?" }
                (form)
            }
        }
    };
    let title = match &explanation {
        Some(Explanation { organization_id, category, key: Some(key), .. }) => {
            format!("{organization_id}: {category} {key}")
        }
        Some(Explanation { organization_id, category, .. }) => format!("{organization_id}: {category}"),
        None => "Explain".to_owned(),
    };
    Ok(page(&visitor, Section::Explain, &title, &content))
}

fn explained(explanation: &Explanation) -> Markup {
    let Explanation { organization_id, key, setting, reasons, edit, waiting, .. } = explanation;
    let mut about = vec![("Organization", organization_link(organization_id))];
    match (key, setting) {
        (Some(_), Some(setting)) => {
            about.push(("Value", value(&setting.value)));
            let origin = if setting.origin == "own" {
                html! { "own" }
            } else {
                organization_link(&setting.origin)
            };
            about.push(("Origin", origin));
            about.push((
                "Written by",
                setting.event_id.as_deref().map_or_else(none, |id| event_link(id, None)),
            ));
            about.push(("Updated", time(setting.updated_at)));
        }
        (Some(_), None) => about.push(("Value", html! { strong { "not there" } })),
        (None, _) => {
            let origins = explanation.origins.as_ref().map(words::counts).unwrap_or_default();
            about.push(("Settings, by origin", text(&origins)));
        }
    }
    about.push((
        "May be edited",
        html! {
            (flag(edit.allowed)) ": " (text(&edit.because))
            @if let Some(holder) = &edit.locked_by { " " (lock(holder)) }
        },
    ));
    if waiting.jobs > 0 {
        let href = super::components::organization_address(organization_id);
        about.push(("Waits for it", html! { a href=(href) { (words::count(waiting.jobs, "job")) } }));
    }
    html! {
        section aria-labelledby="why-title" {
            h2 #why-title { (if key.is_some() { "Why it is so" } else { "The rules" }) }
            ol.reasons { @for reason in reasons { li { (text(&reason.text)) } } }
        }
        (facts(&about))
        @if explanation.way.len() > 1 {
            section aria-labelledby="way-title" {
                h2 #way-title { "The way that it came" }
                ol.way {
                    @for step in &explanation.way {
                        li { (organization_link(&step.organization_id)) " " (job_link(&step.idempotency_key)) }
                    }
                    li { strong { (text(organization_id)) } }
                }
            }
        }
        @if key.is_some() {
            @if !explanation.upstreams.is_empty() {
                section aria-labelledby="upstreams-title" {
                    h2 #upstreams-title { "Upstreams" }
                    (upstreams(explanation))
                }
            }
            section aria-labelledby="history-title" {
                h2 #history-title { "What has named it" }
                @if explanation.history.is_empty() { (empty("Nothing.")) } @else { (history(&explanation.history)) }
                @if explanation.history_goes_on { p { "… and more before." } }
            }
        } @else {
            @for one in &explanation.compared { (compared(explanation, one)) }
        }
    }
}

fn upstreams(explanation: &Explanation) -> Markup {
    let rows: Vec<Vec<Markup>> = explanation
        .upstreams
        .iter()
        .map(|upstream| {
            let row = &upstream.row;
            vec![
                organization_link(&row.upstream_id),
                mode(row.mode.name()),
                match (&row.value, row.is_same) {
                    (Some(_), true) => html! { "the same" },
                    (Some(other), false) => value(other),
                    (None, _) => html! { "not there" },
                },
                row.event_id.as_deref().map_or_else(none, |id| event_link(id, None)),
                row.declined_event_id
                    .as_deref()
                    .map_or_else(none, |id| html! { "by " (event_link(id, None)) }),
                html! { strong { (upstream.on_change.name()) } ": " (text(&upstream.on_change.because)) },
            ]
        })
        .collect();
    let columns = [
        column("upstream"),
        column("mode"),
        wide("has"),
        column("event there"),
        column("declined here"),
        wide("when it changes"),
    ];
    table("Upstreams", &columns, &rows)
}

fn history(rows: &[HistoryRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                time(row.received_at),
                event_link(&row.event_id, Some(&row.source)),
                row.upstream_id.as_deref().map_or_else(|| html! { "itself" }, |id| organization_link_if(Some(id))),
                html! { (row.said.as_deref().unwrap_or("all settings")) @if let Some(said) = &row.value { " " (value(said)) } },
                row.idempotency_key.as_deref().map_or_else(none, job_link),
                state(&row.state),
                became(row),
                html! {
                    @if let Some(rule) = &row.rule { strong { (rule.name()) } ": " (text(&rule.because)) }
                    @if let Some(error) = &row.last_error { " " (long(error)) }
                },
            ]
        })
        .collect();
    let columns = [
        column("when"),
        column("event"),
        column("from"),
        column("says"),
        column("job"),
        column("state"),
        column("became"),
        wide("rule"),
    ];
    table("What has named it, the newest first", &columns, &rows)
}

fn became(row: &HistoryRow) -> Markup {
    html! {
        @match (row.effect, &row.archived) {
            (None, None) => (none()),
            (effect, archived) => {
                (effect.unwrap_or_default())
                @if let Some(archived) = archived {
                    " " span.note { "archived: " (value(&archived.value)) }
                }
            }
        }
    }
}

fn compared(explanation: &Explanation, compared: &ComparedRow) -> Markup {
    let ComparedRow { upstream_id, same, missing, other, extra, differing } = compared;
    let rows: Vec<Vec<Markup>> = differing
        .iter()
        .map(|row| {
            let relation = match row.relation.as_str() {
                "missing" => "missing here",
                "extra" => "only here",
                _ => "another value",
            };
            vec![
                code(&row.key),
                html! { (relation) },
                row.origin.as_deref().map_or_else(none, text),
                row.declined_event_id
                    .as_deref()
                    .map_or_else(none, |id| html! { "by " (event_link(id, None)) }),
                explain_link(&explanation.organization_id, &explanation.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [column("key"), column("here"), column("origin"), column("declined"), column("explain")];
    let left_off = missing + other + extra - differing.len() as i64;
    let counts = [
        vec![number(*same), html! { "the same" }],
        vec![number(*missing), html! { "missing here" }],
        vec![number(*other), html! { "with another value" }],
        vec![number(*extra), html! { "only here" }],
    ];
    html! {
        section {
            h2 { "Compared with " (organization_link(upstream_id)) }
            (table("Counts", &[numbers("settings"), column("are")], &counts))
            @if !rows.is_empty() { (table("Settings that differ", &columns, &rows)) }
            @if left_off > 0 { p { "… and " (words::number(left_off)) " more." } }
        }
    }
}
