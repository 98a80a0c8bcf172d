//! Actions: what operators did, when and why.

use axum::extract::State;
use maud::{Markup, html};

use super::components::{column, empty, none, pager, table, text, time, wide};
use super::fields::{Number, Query};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::harmless::harmless;
use crate::http::App;
use crate::operations::{self, LIMIT_DEFAULT};
use crate::words;

/// How many characters of what something was done to are shown at once.
const SUBJECT_CHARACTERS_MAX: usize = 160;

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let after = query.read::<Number>("after")?.map(|number| number.0);
    let found = operations::actions(&app.store, after, LIMIT_DEFAULT).await?;
    let rows: Vec<Vec<Markup>> = found
        .items
        .iter()
        .map(|row| {
            vec![
                time(row.at),
                text(&row.who),
                text(&row.action),
                row.reason.as_deref().map_or_else(none, text),
                subject(&row.subject),
            ]
        })
        .collect();
    let columns = [column("when"), column("who"), column("what"), wide("why"), wide("to what")];
    let content = html! {
        p.lead { "Everything that somebody changed by hand, and why." }
        @if rows.is_empty() { (empty("Nobody has done anything yet.")) }
        @else { (table("Actions, the newest first", &columns, &rows)) }
        (pager("/actions", &query, "after", found.next.as_deref()))
    };
    Ok(page(&visitor, Section::Actions, "Actions", &content))
}

fn subject(subject: &serde_json::Value) -> Markup {
    let whole = harmless(&subject.to_string());
    let short = words::cut(&whole, SUBJECT_CHARACTERS_MAX);
    html! {
        @if short == whole { code { bdi { (whole) } } }
        @else { details { summary { code { bdi { (short) } } } pre { bdi { (whole) } } } }
    }
}
