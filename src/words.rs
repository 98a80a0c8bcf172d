//! Times, values, names and how far a replay is, as people read them: on the command line and on pages. Nothing that
//! comes out of here controls a terminal, or turns the direction of a page's text.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::harmless::{harmless, one_line};
use crate::operations::{ReplayDetail, StoredValue};

/// A value as the JSON text that it is.
pub(crate) fn value(value: &StoredValue) -> String {
    harmless(value.text())
}

/// `text`, or its beginning where it has more characters than `width`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A time to the second, and how far away it is: `2026-01-31T09:30:00Z (3 min ago)`.
pub(crate) fn time(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", second(at), distance(at, now))
}

fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// How far `at` is from `now`: `3 s ago`, `in 2 min`.
pub(crate) fn distance(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let magnitude = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        s @ 1..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    };
    if seconds < 0 { format!("in {magnitude}") } else { format!("{magnitude} ago") }
}

/// `1 event`, `2 events`; the plural is the singular with an s.
pub(crate) fn count(count: impl Into<i64>, singular: &str) -> String {
    match count.into() {
        1 => format!("1 {singular}"),
        count => format!("{} {singular}s", number(count)),
    }
}

/// Counts by name: `2 done, 1 failed`; those of nothing are left out.
pub(crate) fn counts<'a>(counts: impl IntoIterator<Item = (&'a String, &'a i64)>) -> String {
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{} {name}", number(*count)))
        .collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// JSON with line ends and indentation, everything else as it is: order, doubled keys, spelling. None where
/// `text` is not JSON.
pub(crate) fn indented(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut indented = String::with_capacity(text.len() * 2);
    let new_line = |indented: &mut String, depth: usize| {
        indented.push('\n');
        indented.extend(std::iter::repeat_n("  ", depth));
    };
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if in_string {
            indented.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                while characters.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
                indented.push(c);
                if let Some(closing) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    indented.push(closing);
                } else {
                    depth += 1;
                    new_line(&mut indented, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut indented, depth);
                indented.push(c);
            }
            ',' => {
                indented.push(c);
                new_line(&mut indented, depth);
            }
            ':' => indented.push_str(": "),
            c => {
                in_string = c == '"';
                indented.push(c);
            }
        }
    }
    Some(indented)
}

/// A number in groups of three digits.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text as an argument of a shell command.
pub(crate) fn argument(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '+');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Whether a finished job added, changed or removed anything.
pub(crate) fn has_changed(result: &Value) -> bool {
    let number = |name: &str| result.get(name).and_then(Value::as_i64).unwrap_or(0);
    ["added", "changed", "removed"].into_iter().any(|name| number(name) > 0)
}

/// The result of a finished job: `2 added, 1 kept own`, `already in step`; nothing where there is no count.
pub(crate) fn result(result: &Value) -> String {
    let number = |name: &str| result.get(name).and_then(Value::as_i64).unwrap_or(0);
    let counts: Vec<String> = [
        ("added", "added"),
        ("changed", "changed"),
        ("removed", "removed"),
        ("unchanged", "unchanged"),
        ("kept_own", "kept own"),
        ("declined", "declined"),
        ("overtaken", "overtaken"),
    ]
    .iter()
    .filter(|(name, _)| number(name) != 0)
    .map(|(name, text)| format!("{} {text}", number(name)))
    .collect();
    let counts = counts.join(", ");
    match (result.get("skipped").and_then(Value::as_str), counts.is_empty()) {
        (Some(reason), true) => one_line(reason),
        (Some(reason), false) => format!("{} ({counts})", one_line(reason)),
        (None, _) => counts,
    }
}

/// How far a replay is.
pub(crate) fn progress(detail: &ReplayDetail) -> String {
    let replay = &detail.replay;
    let unsent = i64::from(replay.total - replay.sent - replay.refused);
    let (to_send, left_off) = if replay.state == "cancelled" { (0, unsent) } else { (unsent, 0) };
    let said: Vec<String> = [
        (detail.outcome("succeeded"), "succeeded"),
        (detail.outcome("failed"), "failed again"),
        (detail.outcome("discarded"), "discarded"),
        (detail.outcome("waiting"), "waiting"),
        (detail.outcome("paused"), "paused"),
        (i64::from(replay.refused), "refused"),
        (to_send, "to be sent"),
        (left_off, "left off"),
    ]
    .iter()
    .filter(|(jobs, _)| *jobs > 0)
    .map(|(jobs, what)| format!("{} {what}", number(*jobs)))
    .collect();
    if said.is_empty() { "nothing yet".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_say_how_far_away_they_are() {
        let now: Timestamp = "2026-01-31T09:30:00.5Z".parse().unwrap();
        let at = |seconds: i64| Timestamp::from_second(now.as_second() - seconds).unwrap();
        let said = |seconds| distance(at(seconds), now);
        assert_eq!(said(0), "now");
        assert_eq!(said(59), "59 s ago");
        assert_eq!(said(60), "1 min ago");
        assert_eq!(said(7_200), "2 h ago");
        assert_eq!(said(172_800), "2 d ago");
        assert_eq!(said(-90), "in 1 min");
        assert_eq!(time(now, now), "2026-01-31T09:30:00Z (now)");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(-1_234_567), "-1,234,567");
        assert_eq!(count(1, "job"), "1 job");
        assert_eq!(count(2_000, "job"), "2,000 jobs");
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(argument("e-1"), "e-1");
        assert_eq!(argument("https://platform.example/v1"), "https://platform.example/v1");
        assert_eq!(argument("it's $x"), r"'it'\''s $x'");
        assert_eq!(argument(""), "''");
    }

    #[test]
    fn json_is_indented_and_else_stays_as_it_is() {
        let text = "{\"b\":[1.50,{}, [ ] ],\"a\" : \"x, \\\"{y\\\\\",\n\"a\":null}";
        let expected =
            "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x, \\\"{y\\\\\",\n  \"a\": null\n}";
        assert_eq!(indented(text).as_deref(), Some(expected));
        assert_eq!(indented("true").as_deref(), Some("true"));
        assert_eq!(indented("{"), None);
    }

    #[test]
    fn results_say_what_counts() {
        let said = |text: &str| result(&serde_json::from_str(text).unwrap());
        assert_eq!(said(r#"{"added":2,"changed":0,"kept_own":1}"#), "2 added, 1 kept own");
        assert_eq!(said(r#"{"added":0,"skipped":"already in step"}"#), "already in step");
        assert_eq!(said(r#"{"unchanged":3,"skipped":"already in step"}"#), "already in step (3 unchanged)");
        assert_eq!(said(r#"{"added":0}"#), "");
    }
}
