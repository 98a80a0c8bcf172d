//! Preview: what events would do that have not happened. Nothing is written.
//!
//! Events are typed in, uploaded, or made from the flags of a partnership.

use axum::extract::{Multipart, State};
use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::components::{
    code, column, empty, explain_link, facts, input, mode, none, number, organization_link,
    organization_link_if, select, state, table, text, value, wide,
};
use super::fields::{Fields, Query};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::Visitor;
use crate::http::connections::TooSlow;
use crate::http::previews;
use crate::http::{App, Shown};
use crate::operations::{
    DeclinedEntry, EntryFate, EntryPreview, EntryState, EventPreview, JobPreview, PREVIEW_ENTRIES_MAX,
    Prediction, Preview, Totals, Waiting,
};
use crate::words;

/// How many organizations are shown of an event.
const JOBS_MAX: usize = 100;

/// How many settings are shown of an organization.
const ENTRIES_MAX: usize = 100;

/// The source of events that are made here: no other is called so.
const SOURCE: &str = "channel-sync/preview";

const EXAMPLE: &str = r#"{"specversion":"1.0","id":"s-1","source":"platform","type":"setting-changed","data":{"organization_id":"helios","category":"equipment","changes":[{"op":"set","key":"module/rec-alpha-430","value":{"watts":430}}]}}"#;

/// The modes that a partnership can be given, by name.
const MODES: [&str; 5] = ["strict", "flexible", "non-exclusive", "off", "ended"];

/// The forms; and where a partnership and its flags were given, what these would do.
pub(super) async fn form(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let is_asked =
        query.get("upstream").is_some() && query.get("downstream").is_some() && query.get("mode").is_some();
    if !is_asked {
        let content = html! {
            p.lead { "What would an event do, to whom, and by which rule? Nothing is written." }
            (forms(&query, ""))
        };
        return Ok(page(&visitor, Section::Preview, "Preview", &content));
    }
    let event = supposed(&query)?;
    result(&visitor, &app, &query, &event, "").await
}

/// What events would do that were typed in or uploaded.
pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    mut form: Multipart,
) -> Result<Markup, Refusal> {
    let unreadable = |error: axum::extract::multipart::MultipartError| {
        if let Some(too_slow) = TooSlow::behind(&error) {
            return Refusal::too_slow(too_slow);
        }
        let status = error.status();
        let title = if status == StatusCode::PAYLOAD_TOO_LARGE {
            "That is too large"
        } else {
            "That could not be read"
        };
        Refusal::new(status, title, error.body_text())
    };
    let (mut typed, mut uploaded) = (String::new(), String::new());
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(unreadable)?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| Refusal::bad_request(format!("{name}: expected JSON, which is UTF-8")))?;
        match name.as_str() {
            "events" => typed = text,
            "file" => uploaded = text,
            _ => {}
        }
    }
    let events = if uploaded.trim().is_empty() { &typed } else { &uploaded };
    if events.trim().is_empty() {
        return Err(Refusal::bad_request(
            "events: expected an event, or JSON Lines with one in each; there is none",
        ));
    }
    let shown = if uploaded.trim().is_empty() { typed.as_str() } else { "" };
    result(&visitor, &app, &Fields::default(), events, shown).await
}

/// The event that would give a partnership another mode.
fn supposed(query: &Fields) -> Result<String, Refusal> {
    let mode = query.get("mode").unwrap_or_default();
    let (status, exclusive, data_sync, edit) = match mode {
        "strict" => ("active", true, true, Some(false)),
        "flexible" => ("active", true, true, Some(true)),
        "non-exclusive" => ("active", false, true, None),
        "off" => ("active", false, false, None),
        "ended" => ("ended", false, false, None),
        other => {
            let modes = MODES.join(", ");
            return Err(Refusal::bad_request(format!("mode: {other:?} is none; expected one of: {modes}")));
        }
    };
    let onboarding =
        if query.get("invited").is_some() { "new-organization" } else { "existing-organization" };
    Ok(json!({
        "specversion": "1.0",
        "id": format!("preview-{}", jiff::Timestamp::now().as_nanosecond()),
        "source": SOURCE,
        "type": "partnership-changed",
        "data": {
            "upstream_id": query.get("upstream"),
            "downstream_id": query.get("downstream"),
            "status": status,
            "exclusive": exclusive,
            "data_sync": data_sync,
            "allow_downstream_edit": edit,
            "onboarding": onboarding,
        },
    })
    .to_string())
}

fn forms(query: &Fields, typed: &str) -> Markup {
    html! {
        section aria-labelledby="flags-title" {
            h2 #flags-title { "A partnership gets another mode" }
            form.filters action="/preview" aria-label="A partnership" {
                (input("upstream", "Upstream", query))
                (input("downstream", "Downstream", query))
                (select("mode", "Would become", "which mode?", MODES, query))
                div.field.check {
                    input #invited type="checkbox" name="invited" value="yes" checked[query.get("invited").is_some()];
                    label for="invited" { "a new organization, invited by this" }
                }
                div.actions { button.primary type="submit" { "Preview" } }
            }
        }
        section aria-labelledby="events-title" {
            h2 #events-title { "Any events" }
            form.stack method="post" action="/preview" enctype="multipart/form-data" {
                div.field {
                    label for="events" { "Events as they are published: one, or JSON Lines" }
                    textarea #events name="events" rows="8" spellcheck="false" placeholder=(EXAMPLE) { (typed) }
                }
                div.field {
                    label for="file" { "Or a file with them" }
                    input #file type="file" name="file" accept=".json,.jsonl,.ndjson,application/json";
                }
                div.actions { button.primary type="submit" { "Preview" } }
            }
        }
    }
}

async fn result(
    visitor: &Visitor,
    app: &App,
    query: &Fields,
    events: &str,
    typed: &str,
) -> Result<Markup, Refusal> {
    let shown = Shown { jobs_max: JOBS_MAX, entries_max: ENTRIES_MAX };
    let preview = app.previews.preview(app, events, shown).await?;
    let content = html! {
        p.as-of { "Nothing was written. This is what would happen as things are now." }
        @if !preview.complete {
            p.wrong { "Only the beginning is shown: the events go through more than " (number(previews::ENTRIES_MAX as i64)) " settings. " code { "channel-sync preview" } " goes on to " (number(PREVIEW_ENTRIES_MAX as i64)) "." }
        }
        (totals(&preview))
        @for event in &preview.events { (self::event(event)) }
        (declined("From then on these stay away, since their organization deletes them", &preview.declined))
        (declined("These no longer stay away", &preview.no_longer_declined))
        section.again aria-labelledby="again-title" {
            h2 #again-title { "Preview something else" }
            details.panel open[typed.is_empty()] { summary { "The forms" } (forms(query, typed)) }
        }
    };
    Ok(page(visitor, Section::Preview, "What would happen", &content))
}

fn totals(preview: &Preview) -> Markup {
    let Totals { added, changed, removed, unchanged, taken_over, kept_own, declined, archived, .. } =
        preview.totals;
    let Totals { organizations_changed, tiers, locked, unlocked, not_reached, jobs, .. } = preview.totals;
    let tile = |name: &str, count: i64, unit: Markup, class: &str| {
        html! {
            div.tile.(class) { dt { (name) } dd { span.figure { (number(count)) } span.unit { (unit) } } }
        }
    };
    let weight = |count: i64, class: &'static str| if count > 0 { class } else { "zero" };
    html! {
        section aria-labelledby="totals-title" {
            h2 #totals-title { "In all" }
            dl.tiles.five {
                (tile("Removed", removed, html! { "settings go" }, weight(removed, "bad")))
                (tile("Changed", changed, html! { "get another value" }, weight(changed, "warn")))
                (tile("Added", added, html! { "are new" }, weight(added, "good")))
                (tile("Archived", archived, html! { "of what goes or changes was not the upstream's" }, weight(archived, "")))
                (tile("Kept own", kept_own, html! { "stay as they are" }, weight(kept_own, "")))
                (tile("Unchanged", unchanged - taken_over, html! { (number(taken_over)) " more taken over with the same value" }, weight(unchanged, "")))
                (tile("Declined", declined, html! { "stay away" }, weight(declined, "")))
                (tile("Organizations changed", organizations_changed, html! { "in " (words::count(tiers, "tier")) }, weight(organizations_changed, "")))
                (tile("Locked", locked, html! { "organizations that were not; " (number(unlocked)) " unlocked" }, weight(locked, "warn")))
                (tile("Not reached", not_reached, html! { "downstreams; " (words::count(jobs, "job")) " in all" }, weight(not_reached, "")))
            }
            (waiting(&preview.waiting))
        }
    }
}

fn waiting(waiting: &Waiting) -> Markup {
    html! {
        @if waiting.everything_paused { p.note { "All execution is paused." } }
        @if waiting.jobs > 0 {
            p.note {
                "What waits now is left out, as if it were never done: "
                @for (place, row) in waiting.of.iter().filter(|row| row.jobs > 0).take(5).enumerate() {
                    @if place > 0 { ", " }
                    (words::count(row.jobs, "job")) " of " (organization_link(&row.organization_id))
                }
                "."
            }
        }
        @for row in waiting.of.iter().filter(|row| row.paused).take(5) {
            p.note { (organization_link(&row.organization_id)) " is paused." }
        }
    }
}

fn event(event: &EventPreview) -> Markup {
    let name = event.event_id.clone().unwrap_or_else(|| format!("the event in line {}", event.line));
    let is_ours = event.source.as_deref() == Some(SOURCE);
    let list = |names: &[String]| {
        if names.is_empty() { none() } else { text(&names.join(", ")) }
    };
    let mut about: Vec<(&str, Markup)> = vec![("Would be", state(event.prediction.name()))];
    if let Some(reason) = &event.reason {
        let code = event.code.map(|code| format!("{code}: ")).unwrap_or_default();
        about.push(("Why", html! { (code) (text(reason)) }));
    }
    match (&event.organization_id, &event.downstream_id, &event.category) {
        (Some(upstream), Some(downstream), _) => {
            about.push((
                "Partnership",
                html! { (organization_link(upstream)) " → " (organization_link(downstream)) },
            ));
        }
        (organization, None, category) => {
            about.push(("Organization", organization_link_if(organization.as_deref())));
            about.push(("Category", category.as_deref().map_or_else(none, text)));
        }
        (None, Some(_), _) => {}
    }
    if let Some(partnership) = &event.partnership {
        let (before, after) = (partnership.mode_before.name(), partnership.mode.name());
        about.push(("Mode", html! { (mode(before)) " → " (mode(after)) }));
        about.push(("Locked from then on", list(&partnership.locked)));
        about.push(("No longer locked", list(&partnership.unlocked)));
    }
    html! {
        section.event-preview {
            h2 { @if is_ours { "The partnership" } @else { "Event " (text(&name)) } }
            (facts(&about))
            @if event.prediction == Prediction::Done {
                @if event.jobs.is_empty() { (empty("Nobody's settings are touched.")) }
                @for job in &event.jobs { (self::job(job)) }
                @if event.jobs_left_off > 0 { p { "… and " (words::count(event.jobs_left_off as i64, "more organization")) "." } }
                (not_reached(event))
            }
        }
    }
}

/// What would become of an organization: what it loses first.
fn job(job: &JobPreview) -> Markup {
    let counts: Vec<String> = [
        (job.removed, "removed"),
        (job.changed, "changed"),
        (job.added, "added"),
        (job.kept_own, "kept own"),
        (job.declined, "declined"),
        (job.unchanged, "unchanged"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", words::number((*count).into())))
    .collect();
    let loses: Vec<&EntryPreview> = job
        .entries
        .iter()
        .filter(|entry| matches!(entry.fate, EntryFate::Removed | EntryFate::Changed))
        .collect();
    let others: Vec<&EntryPreview> = job
        .entries
        .iter()
        .filter(|entry| !matches!(entry.fate, EntryFate::Removed | EntryFate::Changed))
        .collect();
    let left_off = job.entries_left_off;
    html! {
        article.job-preview.{ "depth-" (job.tier.clamp(0, 6)) } {
            h3 {
                (organization_link(&job.organization_id))
                " " span.note { (job.kind) @if let Some(upstream) = &job.upstream_id { " from " (text(upstream)) }
                    @if let Some(category) = &job.category { ", " (text(category)) } }
                @if let Some(decides) = job.mode { " " (mode(decides.name())) }
            }
            @if let Some(rule) = &job.rule {
                p.rule { strong { (rule.name()) } ": " (text(&rule.because)) }
            }
            p {
                @match (&job.skipped, counts.is_empty()) {
                    (Some(skipped), true) => (text(skipped)),
                    (Some(skipped), false) => { (text(skipped)) " (" (counts.join(", ")) ")" }
                    (None, true) => "Nothing would change.",
                    (None, false) => (counts.join(", ")),
                }
            }
            @if !loses.is_empty() { (entries(job, "What it would lose", &loses)) }
            @if !others.is_empty() {
                (entries(job, "What else would become of its settings", &others))
            }
            @if left_off > 0 { p { "… and " (words::count(left_off as i64, "more setting")) "." } }
        }
    }
}

fn entries(job: &JobPreview, title: &str, entries: &[&EntryPreview]) -> Markup {
    let side = |state: &Option<EntryState>| match state {
        None => none(),
        Some(state) => html! {
            @if let Some(shown) = &state.value { (value(shown)) " " }
            span.note { @if state.origin == "own" { "own" } @else { "from " (text(&state.origin)) } }
        },
    };
    let rows: Vec<Vec<Markup>> = entries
        .iter()
        .map(|entry| {
            vec![
                text(&entry.category),
                code(&entry.key),
                html! {
                    span.fate.(fate_class(entry.fate)) { (entry.fate.name()) }
                    @if entry.archived { " " span.note { "archived" } }
                },
                side(&entry.before),
                side(&entry.after),
                explain_link(&job.organization_id, &entry.category, Some(&entry.key), "why?"),
            ]
        })
        .collect();
    let columns =
        [column("category"), column("key"), column("would be"), wide("now"), wide("then"), column("explain")];
    html! { h4 { (title) } (table(title, &columns, &rows)) }
}

fn fate_class(fate: EntryFate) -> &'static str {
    match fate {
        EntryFate::Removed => "bad",
        EntryFate::Changed => "warn",
        EntryFate::Added => "good",
        EntryFate::TakenOver | EntryFate::KeptOwn | EntryFate::Declined => "idle",
    }
}

fn not_reached(event: &EventPreview) -> Markup {
    let rows: Vec<Vec<Markup>> = event
        .not_reached
        .iter()
        .map(|row| {
            vec![
                organization_link(&row.organization_id),
                organization_link(&row.upstream_id),
                text(&row.category),
                mode(row.mode.name()),
                text(&row.because),
            ]
        })
        .collect();
    let columns =
        [column("organization"), column("upstream"), column("category"), column("mode"), wide("why")];
    html! {
        @if !rows.is_empty() {
            h3 { "Not reached" }
            (table("Downstreams that it would not reach", &columns, &rows))
        }
        @if event.not_reached_left_off > 0 {
            p { "… and " (words::count(event.not_reached_left_off as i64, "more row")) "." }
        }
    }
}

fn declined(title: &str, entries: &[DeclinedEntry]) -> Markup {
    let rows: Vec<Vec<Markup>> = entries
        .iter()
        .take(ENTRIES_MAX)
        .map(|row| {
            vec![
                organization_link(&row.organization_id),
                organization_link(&row.upstream_id),
                text(&row.category),
                code(&row.key),
            ]
        })
        .collect();
    let columns = [column("organization"), column("upstream"), column("category"), column("key")];
    html! {
        @if !rows.is_empty() {
            section { h2 { (title) } (table(title, &columns, &rows)) }
            @if entries.len() > rows.len() { p { "… and " (words::number((entries.len() - rows.len()) as i64)) " more." } }
        }
    }
}
