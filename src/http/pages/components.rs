//! What pages are made of: names that do no harm, times, states, tables, bars, charts, forms.
//!
//! Whatever came in from outside goes through [`text`]: it is escaped by the templates, and here what would turn the
//! direction of the text or hide in it is written out. Colour never says anything alone: words stand beside it.

use jiff::Timestamp;
use maud::{Markup, html};

use super::fields::Fields;
use crate::harmless::{harmless, lines};
use crate::operations::{EventRow, StoredValue};
use crate::words;

/// How many characters of a value are shown in a table.
const VALUE_CHARACTERS_MAX: usize = 200;

/// A text from outside.
pub(super) fn text(text: &str) -> Markup {
    html! { bdi { (harmless(text)) } }
}

/// A long text, such as an error: may be broken anywhere.
pub(super) fn long(text: &str) -> Markup {
    html! { span.long { bdi { (lines(text)) } } }
}

/// A name in the type of code.
pub(super) fn code(name: &str) -> Markup {
    html! { code { bdi { (harmless(name)) } } }
}

/// A value in a table: its beginning, with the whole behind it where there is more.
pub(super) fn value(value: &StoredValue) -> Markup {
    let whole = words::value(value);
    let short = words::cut(&whole, VALUE_CHARACTERS_MAX);
    html! {
        @if short == whole { code.value { bdi { (whole) } } }
        @else {
            details.value {
                summary { code { bdi { (short) } } }
                pre { bdi { (words::indented(value.text()).map_or(whole, |text| lines(&text))) } }
            }
        }
    }
}

/// An age, with the time itself behind it.
pub(super) fn time(at: Timestamp) -> Markup {
    let exact = Timestamp::from_second(at.as_second()).unwrap_or(at).to_string();
    html! { time datetime=(exact) title=(exact) { (words::distance(at, Timestamp::now())) } }
}

/// As [`time`], where there is one.
pub(super) fn time_if(at: Option<Timestamp>) -> Markup {
    at.map_or_else(none, time)
}

/// Nothing, to be seen as such.
pub(super) fn none() -> Markup {
    html! { span.none { "–" } }
}

pub(super) fn number(number: impl Into<i64>) -> Markup {
    html! { (words::number(number.into())) }
}

/// A state, of whatever: colour and shape by what it means, and its name.
pub(super) fn state(name: &str) -> Markup {
    let meaning = match name {
        "done" | "succeeded" | "replayed" | "in step" => "good",
        "failed" | "rejected" => "bad",
        "retrying" | "locked" | "superseded" | "refused" | "paused" => "warn",
        "accepted" | "syncing" | "pending" | "running" | "waiting" => "going",
        _ => "idle",
    };
    html! { span.state .(meaning) title=[meaning_of(name)] { (name) } }
}

/// What a state means.
pub(super) fn meaning_of(state: &str) -> Option<&'static str> {
    Some(match state {
        "accepted" => "stored; its own job is still to be done",
        "syncing" => "applied; jobs of downstreams are still to be done",
        "done" => "all its jobs are done",
        "failed" => "given up after several attempts, until an operator decides",
        "ignored" => "of a category that is never synced",
        "superseded" => "a later version was seen before",
        "locked" => "an edit that was refused, since its setting is locked",
        "rejected" => "found wrong; it stands among the rejected messages",
        "pending" => "not tried yet",
        "retrying" => "tried, and tried again later",
        "succeeded" => "done",
        "discarded" => "given up for good",
        "replayed" => "taken in again",
        _ => return None,
    })
}

/// A partnership's mode.
pub(super) fn mode(name: &str) -> Markup {
    let means = match name {
        "strict" => "a replica of the upstream, and locked",
        "flexible" => "what is new to the upstream is added; the downstream may edit",
        "non-exclusive" => "what is new to the upstream is added; there may be other upstreams",
        _ => "nothing is synced",
    };
    html! { span.mode .(name) title=(means) { (name) } }
}

/// Who may not edit, and by whom.
pub(super) fn lock(locked_by: &str) -> Markup {
    html! {
        span.lock {
            svg viewBox="0 0 12 14" width="10" height="12" aria-hidden="true" {
                path d="M3.2 6V4a2.800 2.800 0 0 1 5.600 0v2" fill="none" stroke="currentColor" stroke-width="1.500" {}
                rect x="1" y="6" width="10" height="7.500" rx="1.500" fill="currentColor" {}
            }
            "locked by " (organization_link(locked_by))
        }
    }
}

/// What a key is shown as.
pub(super) fn flag(on: bool) -> Markup {
    html! { @if on { "yes" } @else { span.none { "no" } } }
}

// --- links -------------------------------------------------------------------------------------

pub(super) fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// Names of organizations and events may hold anything, so they go into the query: a path would lose some.
pub(super) fn organization_address(id: &str) -> String {
    fields(&[("id", id)]).address("/organization")
}

pub(super) fn organization_link(id: &str) -> Markup {
    html! { a href=(organization_address(id)) { (text(id)) } }
}

pub(super) fn organization_link_if(id: Option<&str>) -> Markup {
    id.map_or_else(none, organization_link)
}

pub(super) fn event_address(id: &str, source: Option<&str>) -> String {
    fields(&[("id", id), ("source", source.unwrap_or_default())]).address("/event")
}

pub(super) fn event_link(id: &str, source: Option<&str>) -> Markup {
    html! { a href=(event_address(id, source)) { (text(id)) } }
}

pub(super) fn job_link(key: &str) -> Markup {
    html! { a.key href={ "/jobs/" (key) } { (key) } }
}

/// Why a setting is as it is.
pub(super) fn explain_link(organization: &str, category: &str, key: Option<&str>, words: &str) -> Markup {
    let fields =
        fields(&[("organization", organization), ("category", category), ("key", key.unwrap_or_default())]);
    html! { a href=(fields.address("/explain")) { (words) } }
}

// --- tables ------------------------------------------------------------------------------------

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    class: Option<&'static str>,
}

pub(super) const fn column(name: &'static str) -> Column {
    Column { name, class: None }
}

/// A column of numbers.
pub(super) const fn numbers(name: &'static str) -> Column {
    Column { name, class: Some("number") }
}

/// A column of long texts, which takes what room there is.
pub(super) const fn wide(name: &'static str) -> Column {
    Column { name, class: Some("wide") }
}

/// A table, whose rows stand as cards where there is no room.
pub(super) fn table(caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.table {
            table {
                caption.hidden { (caption) }
                thead { tr { @for one in columns { th scope="col" class=[one.class] { (one.name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (cell, one) in row.iter().zip(columns) {
                                td class=[one.class] data-label=(one.name) { div.cell { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Names and what belongs to them.
pub(super) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, fact) in facts { div { dt { (name) } dd { (fact) } } }
        }
    }
}

/// That there is nothing, and what that means.
pub(super) fn empty(said: &str) -> Markup {
    html! { p.empty { (said) } }
}

/// The way to the next part of a list, and back to its beginning.
pub(super) fn pager(path: &str, query: &Fields, after: &str, next: Option<&str>) -> Markup {
    let beginning =
        query.only(&query.iter().map(|(name, _)| name).filter(|name| *name != after).collect::<Vec<_>>());
    let is_first = query.get(after).is_none();
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label="Parts of the list" {
                @if !is_first { a href=(beginning.address(path)) { "← From the beginning" } }
                @if let Some(next) = next {
                    a rel="next" href=(query.with(after, next).address(path)) { "More →" }
                }
            }
        }
    }
}

// --- pictures ----------------------------------------------------------------------------------

/// A bar of parts, such as the jobs of an event by what became of them.
pub(super) fn bar(label: &str, total: i64, parts: &[(&'static str, i64)]) -> Markup {
    let total = total.max(1) as f64;
    let mut at = 0.0;
    let mut placed = Vec::new();
    for (class, count) in parts.iter().filter(|(_, count)| *count > 0) {
        // Few among many are to be seen nevertheless.
        let width = (*count as f64 / total * 1000.0).max(12.0).min(1000.0 - at);
        placed.push((class, at, width));
        at += width;
    }
    html! {
        svg.meter viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.rest x="0" y="0" width="1000" height="8" {}
            @for (class, x, width) in placed {
                rect class=(class) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height="8" {}
            }
        }
    }
}

/// The jobs of an event by what became of them: a bar, and the same in words.
pub(super) fn fan_out(event: &EventRow) -> Markup {
    let (total, succeeded, failed) =
        (i64::from(event.jobs_total), i64::from(event.jobs_succeeded), i64::from(event.jobs_failed));
    if total == 0 {
        return none();
    }
    let rest = (total - succeeded - failed).max(0);
    let (class, what) = match event.state.as_str() {
        "accepted" | "syncing" => ("going", "waiting"),
        // Nothing of it waits any more once it has ended.
        "failed" if event.finished_at.is_none() => ("going", "waiting or discarded"),
        _ => ("idle", "discarded"),
    };
    let mut said = format!("{} of {} done", words::number(succeeded), words::count(total, "job"));
    for (count, what) in [(failed, "failed"), (rest, what)] {
        if count > 0 {
            said = format!("{said}, {} {what}", words::number(count));
        }
    }
    // What failed first: it is to be seen, however little it is.
    let parts = [("bad", failed), ("good", succeeded), (class, rest)];
    html! { div.fan-out { (bar(&said, total, &parts)) span { (said) } } }
}

/// A bar for each of some minutes, the oldest first: how many of each kind.
pub(super) fn chart(label: &str, minutes: &[(Timestamp, Vec<(&'static str, i64)>)]) -> Markup {
    const HEIGHT: f64 = 56.0;
    let all = |parts: &[(&'static str, i64)]| parts.iter().map(|(_, count)| *count).sum::<i64>();
    let most = minutes.iter().map(|(_, parts)| all(parts)).max().unwrap_or(0).max(1) as f64;
    let width = minutes.len() * 6;
    html! {
        svg.chart viewBox={ "0 0 " (width) " 60" } preserveAspectRatio="none" role="img" aria-label=(label) {
            line.axis x1="0" y1="59.5" x2=(width) y2="59.5" {}
            @for (place, (at, parts)) in minutes.iter().enumerate() {
                g {
                    title { (minute_text(*at, parts)) }
                    rect.hover x=(place * 6) y="0" width="6" height="60" {}
                    @for (class, y, height) in stacked(parts, most, HEIGHT) {
                        rect class=(class) x=(place * 6 + 1) y=(format!("{y:.1}")) width="4"
                            height=(format!("{height:.1}")) {}
                    }
                }
            }
        }
    }
}

fn stacked(parts: &[(&'static str, i64)], most: f64, height: f64) -> Vec<(&'static str, f64, f64)> {
    let mut top = height + 3.0;
    let mut stacked = Vec::new();
    for (class, count) in parts.iter().filter(|(_, count)| *count > 0) {
        let part = (*count as f64 / most * height).max(1.5);
        top -= part;
        stacked.push((*class, top.max(0.0), part));
    }
    stacked
}

fn minute_text(at: Timestamp, parts: &[(&'static str, i64)]) -> String {
    let counts: Vec<String> =
        parts.iter().map(|(class, count)| format!("{} {}", words::number(*count), series(class))).collect();
    format!("{}: {}", clock(at), counts.join(", "))
}

fn series(class: &str) -> &str {
    match class {
        "good" => "done",
        "bad" => "failed",
        _ => "came in",
    }
}

/// The hour and minute of a time, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M").to_string()
}

// --- forms -------------------------------------------------------------------------------------

/// A choice of names, or of none.
pub(super) fn select<'a>(
    name: &str,
    label: &str,
    any: &str,
    names: impl IntoIterator<Item = &'a str>,
    query: &Fields,
) -> Markup {
    let chosen = query.get(name);
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (any) }
                @for one in names { option value=(one) selected[chosen == Some(one)] { (one) } }
            }
        }
    }
}

/// A line to type in.
pub(super) fn input(name: &str, label: &str, query: &Fields) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input type="text" id=(name) name=(name) value=[query.get(name)] autocomplete="off" spellcheck="false";
        }
    }
}

/// A form that narrows a list down.
pub(super) fn filters(path: &str, query: &Fields, fields: &Markup) -> Markup {
    html! {
        form.filters action=(path) aria-label="Filter" {
            (fields)
            div.actions {
                button type="submit" { "Filter" }
                @if !query.is_empty() { a href=(path) { "All" } }
            }
        }
    }
}

/// Fields that a form carries on.
pub(super) fn carried(query: &Fields) -> Markup {
    html! { @for (name, value) in query.iter() { input type="hidden" name=(name) value=(value); } }
}

/// Why something is done.
pub(super) fn reason() -> Markup {
    html! {
        div.field {
            label for="reason" { "Reason" }
            input #reason type="text" name="reason" required maxlength="500" autocomplete="off"
                aria-describedby="reason-note";
            p.note #reason-note { "It is written down with your name." }
        }
    }
}

/// JSON indented, or text as it is; the bytes of what is no text.
pub(super) fn body(body: Option<&str>, hex: Option<&str>) -> Markup {
    const BODY_MAX: usize = 64 * 1024;
    let (kind, shown, whole) = match (body, hex) {
        (Some(text), _) => match words::indented(text) {
            Some(indented) => ("JSON", lines(&indented), text.len()),
            None => ("text", lines(text), text.len()),
        },
        (None, hex) => {
            let hex = hex.unwrap_or_default();
            ("bytes, not UTF-8", dump(&hex[..hex.len().min(BODY_MAX)]), hex.len() / 2)
        }
    };
    let cut = words::cut(&shown, BODY_MAX);
    html! {
        p.note {
            (kind) ", " (words::count(whole as i64, "byte"))
            @if cut.len() < shown.len() || whole > BODY_MAX { "; the beginning is shown" }
        }
        pre.body tabindex="0" { bdi { (cut) } }
    }
}

/// Hexadecimal digits in lines of 16 bytes, with what of them is readable.
fn dump(hex: &str) -> String {
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
        .collect();
    let mut dump = String::new();
    for (line, bytes) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let readable: String =
            bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { *byte as char } else { '·' }).collect();
        dump.push_str(&format!("{:06x}  {:<47}  {readable}\n", line * 16, digits.join(" ")));
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup_or_turns_the_text() {
        assert_eq!(text("<script>").into_string(), "<bdi>&lt;script&gt;</bdi>");
        assert_eq!(text("a\u{202e}b").into_string(), "<bdi>a\\u{202e}b</bdi>");
        assert_eq!(
            organization_link("\"><b>&/..").into_string(),
            "<a href=\"/organization?id=%22%3E%3Cb%3E%26%2F..\"><bdi>&quot;&gt;&lt;b&gt;&amp;/..</bdi></a>"
        );
    }

    #[test]
    fn few_that_failed_among_many_are_to_be_seen() {
        let markup = bar("", 10_000, &[("bad", 1), ("good", 9_999)]).into_string();
        assert!(markup.contains("<rect class=\"bad\" x=\"0.0\" y=\"0\" width=\"12.0\""), "{markup}");
    }

    #[test]
    fn bytes_are_dumped() {
        assert_eq!(dump("00414243ff").trim_end(), format!("000000  {:<47}  ·ABC·", "00 41 42 43 ff"));
    }
}
