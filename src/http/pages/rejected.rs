//! Rejected messages: the list, one of them whole, and taking them in after all or giving them up.

use std::str::FromStr;

use axum::Extension;
use axum::extract::{Path, State};
use maud::{Markup, html};

use super::components::{
    body, carried, column, empty, facts, fields, filters, long, number, numbers, pager, reason, select,
    state, table, text, time, wide,
};
use super::fields::{Fields, Form, Number, Query, Time};
use super::layout::{Section, page};
use super::refusal::Refusal;
use super::visitor::{Actor, Visitor};
use crate::contract::RejectionCode;
use crate::http::App;
use crate::http::live::Live;
use crate::operations::{
    self, LIMIT_DEFAULT, RejectedQuery, RejectedReplay, RejectedSelection, RejectedState,
};
use crate::words;

/// The fields that choose messages.
const SELECTION: &[&str] = &["id", "code"];

/// How many messages can be chosen one by one.
const IDS_MAX: usize = 1000;

/// A code as a field holds it.
struct Code(RejectionCode);

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        RejectionCode::ALL.into_iter().find(|code| code.name() == text).map(Self).ok_or_else(|| {
            let names = RejectionCode::ALL.map(RejectionCode::name);
            format!("{text:?} is no code of a rejection; expected one of: {}", names.join(", "))
        })
    }
}

fn selection(query: &Fields) -> Result<RejectedSelection, Refusal> {
    let ids: Vec<i64> = query.read_all::<Number>("id")?.into_iter().map(|number| number.0).collect();
    if ids.len() > IDS_MAX {
        return Err(Refusal::bad_request(format!("id: expected at most {IDS_MAX} messages one by one")));
    }
    Ok(RejectedSelection { ids, code: query.read::<Code>("code")?.map(|code| code.0) })
}

pub(super) async fn list(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let asked = RejectedQuery {
        code: query.read::<Code>("code")?.map(|code| code.0),
        state: query.read::<RejectedState>("state")?,
        after: query.read::<Number>("after")?.map(|number| number.0),
        limit: LIMIT_DEFAULT,
    };
    let found = operations::rejected(&app.store, &asked).await?;
    let can = |state: &str| visitor.may_act() && state == "rejected";
    let rows: Vec<Vec<Markup>> = found
        .items
        .iter()
        .map(|row| {
            let link = html! { a href={ "/rejected/" (row.rejected_id) } { (row.rejected_id) } };
            vec![
                html! {
                    @if can(&row.state) {
                        label.choose {
                            input type="checkbox" name="id" value=(row.rejected_id);
                            span.hidden { "Choose the message " }
                            (link)
                        }
                    } @else { (link) }
                },
                state(&row.state),
                html! { code { (row.code) } },
                long(&row.reason),
                number(row.body_bytes),
                time(row.received_at),
            ]
        })
        .collect();
    let columns = [
        column("message"),
        column("state"),
        column("code"),
        wide("what was wrong"),
        numbers("bytes"),
        column("received"),
    ];
    let table = table("Rejected messages, the newest first", &columns, &rows);
    let of_code = query.only(&["code"]);
    let content = html! {
        p.lead { "Messages that were not accepted. Each is kept whole, and nothing behind it waits for it." }
        (filters("/rejected", &query.only(&["state", "code"]), &html! {
            (select("state", "State", "any state", RejectedState::NAMES.iter().copied(), &query))
            (select("code", "Code", "any code", RejectionCode::ALL.map(RejectionCode::name), &query))
        }))
        @if found.items.is_empty() { p.calm { "No message fits." } }
        @else if found.items.iter().any(|row| can(&row.state)) {
            form action="/rejected/replay" {
                (table)
                div.actions {
                    button.primary type="submit" { "Replay the chosen …" }
                    button.danger type="submit" formaction="/rejected/discard" { "Discard the chosen …" }
                    @if !of_code.is_empty() {
                        a.button href=(of_code.address("/rejected/replay")) { "Replay all of this code …" }
                        a.button.danger href=(of_code.address("/rejected/discard")) { "Discard all of this code …" }
                    }
                }
                p.note { "Chosen: those with a tick; without one, all that wait. What it would come to is shown first." }
            }
        } @else { (table) }
        (pager("/rejected", &query, "after", found.next.as_deref()))
    };
    Ok(page(&visitor, Section::Rejected, "Rejected messages", &content))
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Markup, Refusal> {
    let id: i64 =
        id.parse().map_err(|_| Refusal::bad_request(format!("{id:?} is no number of a rejected message")))?;
    let detail = operations::rejected_message(&app.store, id).await?;
    let message = &detail.message;
    let chosen = fields(&[("id", &id.to_string())]);
    let content = html! {
        p.lead.wrong { (long(&message.reason)) }
        (facts(&[
            ("Code", html! { code { (message.code) } }),
            ("State", state(&message.state)),
            ("Received", time(message.received_at)),
        ]))
        @if let Some(settled) = &detail.settled {
            p { "Dealt with by " (text(&settled.by)) " " (time(settled.at))
                @if let Some(reason) = &settled.reason { ": " (text(reason)) } }
        }
        @if visitor.may_act() && message.state == "rejected" {
            div.actions {
                a.button.primary href=(chosen.address("/rejected/replay")) { "Replay …" }
                a.button.danger href=(chosen.address("/rejected/discard")) { "Discard …" }
            }
        }
        section aria-labelledby="body-title" {
            h2 #body-title { "Body" }
            (body(detail.body.as_deref(), detail.body_hex.as_deref()))
        }
        section aria-labelledby="properties-title" {
            h2 #properties-title { "Properties and headers" }
            (body(Some(&message.properties.to_string()), None))
        }
    };
    Ok(page(&visitor, Section::Rejected, &format!("Rejected message {id}"), &content))
}

/// What a replay of the chosen messages would come to.
pub(super) async fn choose_replay(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let selection = selection(&query)?;
    let (catalogue, limits) = (&app.config.catalogue, app.config.ingest.limits());
    let preview = operations::preview_rejected(&app.store, catalogue, &limits, &selection).await?;
    let messages = words::count(preview.messages(), "message");
    let content = html! {
        p.lead {
            @if preview.messages() == 0 { "Nothing would be done: no message that waits fits." }
            @else {
                (messages) " would be read again, with the catalogue of now, and taken in at the place in the order of events that "
                "it would have had."
            }
        }
        (outcome(&preview))
        @if preview.messages() > 0 && visitor.may_act() {
            (confirm(&query, &preview, "/rejected/replay", "primary", &format!("Replay {messages}")))
        }
        @if !visitor.may_act() { p.note { "Only an operator can do it; you are a viewer." } }
    };
    Ok(page(&visitor, Section::Rejected, "Replay rejected messages", &content))
}

/// What discarding the chosen messages would come to.
pub(super) async fn choose_discard(
    visitor: Visitor,
    State(app): State<App>,
    Query(query): Query,
) -> Result<Markup, Refusal> {
    let selection = selection(&query)?;
    let (catalogue, limits) = (&app.config.catalogue, app.config.ingest.limits());
    let preview = operations::preview_rejected(&app.store, catalogue, &limits, &selection).await?;
    let messages = words::count(preview.messages(), "message");
    let could = preview.accepted + preview.run_again;
    let content = html! {
        p.lead {
            @if preview.messages() == 0 { "Nothing would be done: no message that waits fits." }
            @else { (messages) " would be given up. They stay in the list, as discarded." }
        }
        @if could > 0 { p.wrong { (words::number(could)) " of them would be accepted by now: to take them in, replay them." } }
        @if preview.messages() > 0 && visitor.may_act() {
            (confirm(&query, &preview, "/rejected/discard", "danger", &format!("Discard {messages}")))
        }
        @if !visitor.may_act() { p.note { "Only an operator can do it; you are a viewer." } }
    };
    Ok(page(&visitor, Section::Rejected, "Discard rejected messages", &content))
}

fn confirm(query: &Fields, preview: &RejectedReplay, action: &str, class: &str, what: &str) -> Markup {
    html! {
        h2 { "Do it" }
        form.stack.panel method="post" action=(action) {
            (carried(&query.only(SELECTION)))
            @if let Some(at) = preview.at { input type="hidden" name="shown" value=(at); }
            (reason())
            div.actions { button.(class) type="submit" { (what) } a href="/rejected" { "Do nothing" } }
        }
    }
}

/// What became of messages, or would become of them.
fn outcome(replay: &RejectedReplay) -> Markup {
    let mut rows: Vec<Vec<Markup>> = [
        (replay.accepted, "accepted", "they are events from then on"),
        (replay.duplicates, "events already", "nothing is done"),
        (replay.run_again, "run once more", "they were found wrong when they ran"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, what, means)| vec![number(count), html! { (what) }, html! { (means) }])
    .collect();
    rows.extend(replay.refused.iter().map(|(code, count)| {
        vec![
            number(*count),
            html! { "refused again: " code { (code.name()) } },
            html! { "they stay where they are" },
        ]
    }));
    html! {
        @if rows.is_empty() { (empty("No message.")) }
        @else { (table("What it comes to", &[numbers("messages"), column("come to"), wide("that means")], &rows)) }
    }
}

pub(super) async fn replay(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Markup, Refusal> {
    let operator = actor.operator(&form)?;
    let (selection, shown) = (selection(&form)?, form.read::<Time>("shown")?.map(|time| time.0));
    let (catalogue, limits) = (&app.config.catalogue, app.config.ingest.limits());
    let replayed =
        operations::replay_rejected(&app.store, catalogue, &limits, &selection, shown, operator).await?;
    live.outdate();
    let content = html! {
        p.lead { (words::count(replayed.messages(), "message")) " read again." }
        (outcome(&replayed))
        p { a href="/events" { "Events" } " · " a href="/rejected?state=rejected" { "Messages that wait" } }
    };
    Ok(page(&actor.0, Section::Rejected, "Replayed", &content))
}

pub(super) async fn discard(
    actor: Actor,
    State(app): State<App>,
    Extension(live): Extension<Live>,
    Form(form): Form,
) -> Result<Markup, Refusal> {
    let operator = actor.operator(&form)?;
    let shown = form.read::<Time>("shown")?.map(|time| time.0);
    let discarded = operations::discard_rejected(&app.store, &selection(&form)?, shown, operator).await?;
    live.outdate();
    let content = html! {
        p.lead { (words::count(discarded, "message")) " discarded." }
        p { a href="/rejected?state=discarded" { "Discarded messages" } " · " a href="/rejected?state=rejected" { "Messages that wait" } }
    };
    Ok(page(&actor.0, Section::Rejected, "Discarded", &content))
}
