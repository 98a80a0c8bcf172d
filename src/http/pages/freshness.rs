//! Freshness: how far behind their upstreams partners are, the one that is most behind first.

use axum::extract::State;
use maud::{Markup, html};

use super::components::{
    column, empty, event_link, fields, filters, input, mode, none, number, numbers, organization_link, pager,
    state, table, text, time, time_if, wide,
};
use super::fields::Query;
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::App;
use crate::operations::{
    self, FreshnessPlace, FreshnessQuery, FreshnessRow, FreshnessSummary, LIMIT_DEFAULT,
};
use crate::words;

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let after = query.get("after").map(str::parse::<FreshnessPlace>).transpose()?;
    let asked = FreshnessQuery {
        organization_id: query.get("organization").map(str::to_owned),
        in_step_too: query.get("all").is_some(),
        after,
        limit: LIMIT_DEFAULT,
    };
    let found = operations::freshness(&app.store, &asked).await?;
    let summary = operations::freshness_summary(&app.store).await?;
    let nothing = match (asked.in_step_too, query.get("after").is_some()) {
        (_, true) => "There are no more.",
        (true, false) => "No partnership is kept in sync.",
        (false, false) => "All of them are in step.",
    };
    let content = html! {
        p.lead { (self::summary(&summary)) }
        (filters("/freshness", &query.only(&["organization", "all"]), &html! {
            (input("organization", "Organization", &query))
            div.field.check {
                input #all type="checkbox" name="all" value="yes" checked[asked.in_step_too];
                label for="all" { "those in step too" }
            }
        }))
        @if found.items.is_empty() { (empty(nothing)) } @else { (rows(&found.items)) }
        (pager("/freshness", &query, "after", found.next.as_deref()))
        p.note { "It is told from what waits. Whether the values really are the same is what " a href="/verify" { "Verify" } " compares." }
    };
    Ok(page(&visitor, Section::Freshness, "Freshness", &content))
}

/// How far partnerships are in each category, as a table.
pub(super) fn rows(rows: &[FreshnessRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                html! { (organization_link(&row.upstream_id)) " → " (organization_link(&row.organization_id)) },
                text(&row.category),
                mode(&row.mode),
                row.event_id.as_deref().map_or_else(none, |id| {
                    html! { (event_link(id, None)) @if let Some(at) = row.event_at { " " span.note { (time(at)) } } }
                }),
                if row.in_step { state("in step") } else { number(row.jobs_waiting) },
                time_if(row.oldest_at),
                in_the_way(row),
            ]
        })
        .collect();
    let columns = [
        column("partnership"),
        column("category"),
        column("mode"),
        column("in step up to"),
        numbers("jobs waiting"),
        column("behind since"),
        wide("in the way"),
    ];
    table("Partnerships and categories, the one that is most behind first", &columns, &rows)
}

fn in_the_way(row: &FreshnessRow) -> Markup {
    let failed = fields(&[("state", "failed"), ("organization", &row.organization_id)]).address("/jobs");
    let waits = row.jobs_waiting > 0;
    let mut all: Vec<Markup> = Vec::new();
    if row.paused && waits {
        all.push(state("paused"));
    }
    if row.jobs_failed > 0 {
        all.push(html! { a href=(failed) { (words::count(row.jobs_failed, "job")) " failed" } });
    }
    if let Some(at) = row.retry_at {
        all.push(html! { "tried again " (time(at)) });
    }
    if row.reconcile {
        all.push(html! { "all is to be reconciled" });
    }
    html! {
        @if all.is_empty() { @if waits { "its turn comes" } @else { (none()) } }
        @for (place, one) in all.iter().enumerate() { @if place > 0 { ", " } (one) }
    }
}

/// How far all partnerships are, in words.
pub(super) fn summary(summary: &FreshnessSummary) -> Markup {
    let FreshnessSummary { partnerships, in_step, waiting, failed, jobs_waiting, jobs_failed, .. } = *summary;
    html! {
        @if partnerships == 0 { "No partnership is kept in sync." }
        @else { (number(in_step)) " of " (words::count(partnerships, "partnership")) " in step." }
        @if waiting > 0 {
            " For " (number(waiting)) ", " (words::count(jobs_waiting, "job")) " waiting"
            @if let Some(at) = summary.oldest_waiting_at { ", the oldest from " (time(at)) } "."
        }
        @if failed > 0 { " For " (number(failed)) ", " (words::count(jobs_failed, "job")) " failed." }
    }
}
