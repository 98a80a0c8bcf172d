//! The one text that stands for all spellings of a JSON value.
//!
//! No white space, keys in the order of their bytes, the last one where a key stands twice, escapes only
//! where they must be, and numbers as Postgres prints a `jsonb` number: `1e2` is `100`, `1.50` stays `1.50`
//! and `-0` is `0`. So two values have one text exactly where `jsonb` takes them for equal and prints them
//! alike.

use std::borrow::Cow;

use super::json::{Entry, Json};

/// The canonical text of a value.
pub(super) fn text(json: &Json<'_>) -> String {
    let mut out = String::new();
    write(json, &mut out);
    out
}

/// The canonical text of an object of these entries.
pub(super) fn object_text(entries: &[Entry<'_>]) -> String {
    let mut out = String::new();
    write_object(entries, &mut out);
    out
}

fn write(json: &Json<'_>, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        // A number too long to be written out is not allowed in a value; elsewhere it stands for itself.
        Json::Number(number) => out.push_str(&plain_number(number).unwrap_or(Cow::Borrowed(number))),
        Json::Text(text) => write_text(text, out),
        Json::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(entries) => write_object(entries, out),
    }
}

fn write_object(entries: &[Entry<'_>], out: &mut String) {
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    // Stable, so that the last one of a key stays the last one.
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.push('{');
    let mut first = true;
    for (index, (key, json)) in sorted.iter().enumerate() {
        if sorted.get(index + 1).is_some_and(|(next, _)| next == key) {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        write_text(key, out);
        out.push(':');
        write(json, out);
    }
    out.push('}');
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0C => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                out.push(char::from_digit(u32::from(control >> 4), 16).unwrap_or('0'));
                out.push(char::from_digit(u32::from(control & 15), 16).unwrap_or('0'));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// The most digits that a number of a value may have when written out.
///
/// The largest double has 309 of them; no number within the range of doubles needs more than 324 zeros
/// before its first digit.
pub(super) const DIGITS_MAX: usize = 400;

/// A JSON number without an exponent, as Postgres' `numeric` prints it; none where that takes more than
/// [`DIGITS_MAX`] digits.
pub(super) fn plain_number(number: &str) -> Option<Cow<'_, str>> {
    let (negative, unsigned) = match number.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, number),
    };
    let zero = !unsigned
        .bytes()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .any(|byte| (b'1'..=b'9').contains(&byte));
    let Some((mantissa, exponent)) = unsigned.split_once(['e', 'E']) else {
        // Already without an exponent: all that can be wrong with it is the sign of a zero.
        let digits = unsigned.len() - usize::from(unsigned.contains('.'));
        let plain = if zero { unsigned } else { number };
        return (digits <= DIGITS_MAX).then_some(Cow::Borrowed(plain));
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    // Where the point stands among the digits, counted from the first. What does not fit is far out of range
    // in either direction.
    let exponent: i64 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
    let mut point = exponent.saturating_add(whole.len() as i64);
    if zero {
        point = point.min(digits.len() as i64);
    }
    let limit = DIGITS_MAX as i64;
    if point < -limit || point > digits.len() as i64 + limit {
        return None;
    }
    let before = "0".repeat(usize::try_from(-point).unwrap_or(0));
    let after = "0".repeat(usize::try_from(point - digits.len() as i64).unwrap_or(0));
    let digits = format!("{before}{digits}{after}");
    let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let sign = if negative && !zero { "-" } else { "" };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(Cow::Owned(format!("{sign}{whole}{dot}{fraction}")))
}
