//! Organizations: finding one, and one of them with its partnerships, settings and mailbox.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use jiff::Timestamp;
use maud::{Markup, html};

use super::components::{
    code, column, empty, event_link, explain_link, fields, flag, input, job_link, lock, long, mode, none,
    number, numbers, organization_address, organization_link, organization_link_if, pager, reason, select,
    state, table, text, time, value, wide,
};
use super::fields::{Fields, Form, Query};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::{Actor, Visitor};
use crate::harmless::harmless;
use crate::http::App;
use crate::http::live::Live;
use crate::operations::{
    self, FreshnessQuery, LIMIT_DEFAULT, Mailbox, MailboxRow, PartnershipRow, SettingQuery, SettingRow,
};
use crate::words;

/// How many partnerships are shown at a time.
const PARTNERSHIPS_MAX: u16 = 25;

/// How many partnerships and categories are shown, those that are most behind first.
const FRESHNESS_MAX: u16 = 10;

/// How many jobs of a mailbox are shown.
const MAILBOX_MAX: u16 = 25;

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let found =
        operations::organizations(&app.store, query.get("q"), query.get("after"), LIMIT_DEFAULT).await?;
    let rows: Vec<Vec<Markup>> = found
        .items
        .iter()
        .map(|row| {
            vec![
                organization_link(&row.organization_id),
                number(row.upstreams),
                number(row.downstreams),
                if row.paused { state("paused") } else { none() },
            ]
        })
        .collect();
    let columns = [column("organization"), numbers("upstreams"), numbers("downstreams"), column("paused")];
    let content = html! {
        (super::components::filters("/organizations", &query.only(&["q"]), &input("q", "Name begins with", &query)))
        @if rows.is_empty() { (empty("No organization fits. One is known from the first event that names it.")) }
        @else { (table("Organizations by name", &columns, &rows)) }
        (pager("/organizations", &query, "after", found.next.as_deref()))
    };
    Ok(page(&visitor, Section::Organizations, "Organizations", &content))
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let id =
        query.get("id").ok_or_else(|| Refusal::bad_request("id: expected the name of an organization"))?;
    let mailbox = operations::mailbox(&app.store, id, MAILBOX_MAX).await?;
    let after = query.get("partnerships_after");
    let partnerships = operations::partnerships(&app.store, Some(id), after, PARTNERSHIPS_MAX).await?;
    let freshness = FreshnessQuery {
        organization_id: Some(id.to_owned()),
        in_step_too: true,
        after: None,
        limit: FRESHNESS_MAX,
    };
    let freshness = operations::freshness(&app.store, &freshness).await?;
    let asked = SettingQuery {
        category: query.get("category").map(str::to_owned),
        key_prefix: query.get("key").map(str::to_owned),
        after: query.get("settings_after").map(str::to_owned),
        limit: LIMIT_DEFAULT,
    };
    let settings = operations::settings(&app.store, &app.config.catalogue, id, &asked).await?;
    let categories: Vec<&str> = app.config.catalogue.iter().map(|(_, category)| &*category.name).collect();
    let narrowed = query.only(&["category", "key"]);
    let content = html! {
        section #mailbox data-live aria-labelledby="mailbox-title" {
            h2 #mailbox-title { "Mailbox" }
            (self::mailbox(&visitor, &mailbox))
        }
        section aria-labelledby="partnerships-title" {
            h2 #partnerships-title { "Partnerships" }
            @if partnerships.items.is_empty() { (empty("None.")) } @else { (self::partnerships(id, &partnerships.items)) }
            (goes_on(&query, "partnerships", partnerships.next.as_deref()))
        }
        @if !freshness.items.is_empty() {
            section #freshness data-live aria-labelledby="freshness-title" {
                h2 #freshness-title { "Freshness" }
                (super::freshness::rows(&freshness.items))
                @if freshness.next.is_some() {
                    p { a href=(fields(&[("organization", id), ("all", "yes")]).address("/freshness")) { "All of it" } }
                }
            }
        }
        section aria-labelledby="settings-title" {
            h2 #settings-title { "Settings" }
            form.filters action="/organization#settings-title" aria-label="Filter settings" {
                input type="hidden" name="id" value=(id);
                (select("category", "Category", "any category", categories, &query))
                (input("key", "Key begins with", &query))
                div.actions {
                    button type="submit" { "Filter" }
                    @if !narrowed.is_empty() { a href=(organization_address(id)) { "All" } }
                    @if let Some(category) = query.get("category") {
                        (explain_link(id, category, query.get("key"), "Explain this"))
                    }
                }
            }
            @if settings.items.is_empty() { (empty("No setting fits.")) } @else { (self::settings(id, &settings.items)) }
            (goes_on(&query, "settings", settings.next.as_deref()))
        }
    };
    Ok(page(&visitor, Section::Organizations, &format!("Organization {id}"), &content))
}

/// The way to the next part of one of the page's two lists, and back to its beginning.
fn goes_on(query: &Fields, list: &str, next: Option<&str>) -> Markup {
    let after = format!("{list}_after");
    let names: Vec<&str> = query.iter().map(|(name, _)| name).filter(|name| *name != after).collect();
    let address = |fields: &Fields| format!("{}#{list}-title", fields.address("/organization"));
    let is_first = query.get(&after).is_none();
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label={ "Parts of the list of " (list) } {
                @if !is_first { a href=(address(&query.only(&names))) { "← From the beginning" } }
                @if let Some(next) = next { a rel="next" href=(address(&query.with(&after, next))) { "More →" } }
            }
        }
    }
}

fn partnerships(id: &str, rows: &[PartnershipRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            let is_above = row.downstream_id == id;
            let other = if is_above { &row.upstream_id } else { &row.downstream_id };
            let flags = fields(&[("upstream", &row.upstream_id), ("downstream", &row.downstream_id)]);
            vec![
                html! { (if is_above { "syncs from" } else { "syncs to" }) " " (organization_link(other)) },
                html! {
                    (mode(&row.mode))
                    @if is_above && row.mode == "strict" { " " (lock(&row.upstream_id)) }
                },
                html! { (row.status) },
                flag(row.exclusive),
                flag(row.data_sync),
                row.allow_downstream_edit.map_or_else(none, flag),
                time(row.updated_at),
                html! { a href=(flags.address("/preview")) { "What if …" } },
            ]
        })
        .collect();
    let columns = [
        column("partner"),
        column("mode"),
        column("status"),
        column("exclusive"),
        column("data sync"),
        column("partner may edit"),
        column("since"),
        column("preview"),
    ];
    table("Partnerships", &columns, &rows)
}

fn settings(id: &str, rows: &[SettingRow]) -> Markup {
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|row| {
            vec![
                text(&row.category),
                code(&row.key),
                value(&row.value),
                html! {
                    @if row.origin == "own" { "own" } @else { "from " (organization_link(&row.origin)) }
                    @if let Some(holder) = &row.locked_by { " " (lock(holder)) }
                },
                row.event_id.as_deref().map_or_else(none, |id| event_link(id, None)),
                time(row.updated_at),
                explain_link(id, &row.category, Some(&row.key), "why?"),
            ]
        })
        .collect();
    let columns = [
        column("category"),
        column("key"),
        wide("value"),
        column("origin"),
        column("event"),
        column("updated"),
        column("explain"),
    ];
    table("Settings by category and key", &columns, &rows)
}

fn mailbox(visitor: &Visitor, mailbox: &Mailbox) -> Markup {
    let id = &mailbox.organization_id;
    let left_off = mailbox.jobs_waiting - mailbox.jobs.len() as i64;
    html! {
        @for pause in mailbox.everything_paused.iter().chain(&mailbox.pause) {
            div.panel.warn {
                p {
                    strong { (if pause.organization_id.is_some() { "Paused" } else { "All execution is paused" }) }
                    " by " (text(&pause.paused_by)) " " (time(pause.paused_at)) ": " (text(&pause.reason))
                }
                p.note { "What comes for it is kept: " (words::count(pause.jobs_waiting, "job")) "." }
                @if visitor.may_act() { (resume_form(pause.organization_id.as_deref())) }
            }
        }
        @if mailbox.jobs.is_empty() { p.calm { "Empty: nothing waits for it." } }
        @else { (waiting(mailbox)) }
        @if left_off > 0 { p { "… and " (words::count(left_off, "more job")) " behind these." } }
        @if visitor.may_act() && mailbox.pause.is_none() { (pause_form(Some(id))) }
    }
}

/// Why a job is not done yet.
#[derive(Debug, PartialEq, Eq)]
enum Because<'a> {
    EverythingPaused,
    OrganizationPaused,
    TriedAgainLater,
    /// One before it is tried again first.
    Behind(&'a MailboxRow),
    Turn,
}

/// Why each job of a mailbox is not done yet, in their order.
fn because(mailbox: &Mailbox, now: Timestamp) -> Vec<Because<'_>> {
    let first = mailbox.jobs.iter().position(|job| job.run_at > now);
    let of = |place: usize| match (&mailbox.everything_paused, &mailbox.pause, first) {
        (Some(_), ..) => Because::EverythingPaused,
        (None, Some(_), _) => Because::OrganizationPaused,
        (None, None, Some(first)) if place == first => Because::TriedAgainLater,
        (None, None, Some(first)) if place > first => Because::Behind(&mailbox.jobs[first]),
        (None, None, _) => Because::Turn,
    };
    (0..mailbox.jobs.len()).map(of).collect()
}

fn waiting(mailbox: &Mailbox) -> Markup {
    let rows: Vec<Vec<Markup>> = mailbox
        .jobs
        .iter()
        .zip(because(mailbox, Timestamp::now()))
        .map(|(job, because)| {
            vec![
                job_link(&job.idempotency_key),
                html! { (job.kind) },
                organization_link_if(job.upstream_id.as_deref()),
                job.category.as_deref().map_or_else(none, text),
                event_link(&job.event_id, Some(&job.source)),
                html! {
                    @match because {
                        Because::EverythingPaused => "all execution is paused",
                        Because::OrganizationPaused => "the organization is paused",
                        Because::TriedAgainLater => {
                            "tried " (words::count(job.attempts, "time")) ", again " (time(job.run_at))
                        }
                        Because::Behind(first) => { "behind " (job_link(&first.idempotency_key)) ", which is tried again" }
                        Because::Turn => "its turn comes",
                    }
                    @if let Some(error) = &job.last_error { ": " (long(error)) }
                },
                time(job.created_at),
            ]
        })
        .collect();
    let columns = [
        column("job"),
        column("kind"),
        column("from"),
        column("category"),
        column("event"),
        wide("waits, since"),
        column("came"),
    ];
    table("What waits, in the order in which it is done", &columns, &rows)
}

/// Pauses an organization, or all execution.
pub(super) fn pause_form(organization: Option<&str>) -> Markup {
    html! {
        details.panel {
            summary { (if organization.is_some() { "Pause this organization" } else { "Pause all execution" }) }
            form.stack method="post" action="/pause" {
                p { "The work at hand is finished; then nothing is written until it is resumed. What comes is kept." }
                @if let Some(id) = organization { input type="hidden" name="id" value=(id); }
                @else { input type="hidden" name="everything" value="yes"; }
                (reason())
                div.actions { button.danger type="submit" { "Pause" } }
            }
        }
    }
}

/// An organization, or all execution, goes on.
pub(super) fn resume_form(organization: Option<&str>) -> Markup {
    html! {
        form.inline method="post" action="/resume" {
            @if let Some(id) = organization { input type="hidden" name="id" value=(id); }
            @else { input type="hidden" name="everything" value="yes"; }
            button.primary type="submit" {
                "Resume" @if organization.is_none() { " all execution" }
                @if let Some(id) = organization { span.hidden { " " (harmless(id)) } }
            }
        }
    }
}

/// What is to be paused or resumed: an organization, or everything where that is said.
fn subject(form: &Fields) -> Result<Option<&str>, Refusal> {
    match (form.get("id"), form.get("everything")) {
        (Some(id), None) => Ok(Some(id)),
        (None, Some("yes")) => Ok(None),
        _ => Err(Refusal::bad_request("id: expected the name of an organization, or everything: yes")),
    }
}

fn back(organization: Option<&str>) -> Redirect {
    Redirect::to(&organization.map_or_else(|| "/".to_owned(), organization_address))
}

pub(super) async fn pause(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Redirect, Refusal> {
    let organization = subject(&form)?;
    operations::pause(&app.store, organization, actor.operator(&form)?).await?;
    live.outdate();
    Ok(back(organization))
}

pub(super) async fn resume(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Redirect, Refusal> {
    let organization = subject(&form)?;
    operations::resume(&app.store, organization, &actor.0.name).await?;
    live.outdate();
    Ok(back(organization))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::PauseRow;

    fn row(key: &str, run_at: i64) -> MailboxRow {
        MailboxRow {
            idempotency_key: key.to_owned(),
            kind: "own-change".to_owned(),
            event_id: "e".to_owned(),
            source: "s".to_owned(),
            upstream_id: None,
            category: None,
            attempts: 0,
            last_error: None,
            created_at: Timestamp::UNIX_EPOCH,
            run_at: Timestamp::from_second(run_at).unwrap(),
        }
    }

    fn pause(organization_id: Option<&str>) -> PauseRow {
        PauseRow {
            organization_id: organization_id.map(str::to_owned),
            paused_by: "ana".to_owned(),
            reason: "looking".to_owned(),
            paused_at: Timestamp::UNIX_EPOCH,
            jobs_waiting: 1,
        }
    }

    #[test]
    fn what_is_behind_a_retry_waits_for_it_and_a_pause_holds_everything() {
        let mut mailbox = Mailbox {
            organization_id: "a".to_owned(),
            pause: None,
            everything_paused: None,
            jobs_waiting: 3,
            jobs: vec![row("1-1", 0), row("2-1", 200), row("3-1", 0)],
        };
        let now = Timestamp::from_second(100).unwrap();
        let second = row("2-1", 200);
        assert_eq!(
            because(&mailbox, now),
            [Because::Turn, Because::TriedAgainLater, Because::Behind(&second)]
        );
        mailbox.pause = Some(pause(Some("a")));
        assert_eq!(because(&mailbox, now)[0], Because::OrganizationPaused);
        mailbox.everything_paused = Some(pause(None));
        assert_eq!(because(&mailbox, now)[2], Because::EverythingPaused);
    }
}
