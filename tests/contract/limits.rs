//! Each limit, exactly at it and one over.

use channel_sync::contract::{LEFT_OUT_HEADERS, Limits, Message, decode};
use serde_json::json;

use super::{CATALOGUE, STRUCTURED, binary_event, check, equipment, message, one_line, set};

#[track_caller]
fn check_limits(message: &Message, limits: Limits, expected: &str) {
    let line = one_line(&decode(message, &CATALOGUE, &limits));
    assert!(line.starts_with(expected), "{line}");
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn bytes() {
    let mut at_the_limit = equipment(r#""changes":[]"#);
    at_the_limit.body.resize(1024 * 1024, b' ');
    check(&at_the_limit, "setting-changed helios equipment");
    at_the_limit.body.push(b' ');
    check(&at_the_limit, "too-large: the body has 1048577 bytes; expected at most 1048576");
    // Before everything else.
    at_the_limit.properties.content_type = Some("text/plain".to_owned());
    check(&at_the_limit, "too-large: the body has 1048577 bytes; expected at most 1048576");

    let limits = Limits { body_bytes_max: 10, ..Limits::default() };
    check_limits(&message(STRUCTURED, "0123456789"), limits, "malformed-json: ");
    check_limits(&message(STRUCTURED, "01234567890"), limits, "too-large: ");
}

#[test]
fn headers_that_were_left_out_are_too_large() {
    let left_out = |bytes: serde_json::Value| {
        let mut message = set("1");
        message.properties.headers.insert(LEFT_OUT_HEADERS.to_owned(), bytes);
        message
    };
    let too_large = "too-large: the headers have 40014 bytes; expected at most 30000";
    check(&left_out(json!(40_014)), too_large);
    // Before everything that can be wrong with what was in them.
    let mut without_type = left_out(json!(40_014));
    without_type.properties.content_type = None;
    check(&without_type, too_large);
    // Somebody else's header of that name.
    check(&left_out(json!("x")), "setting-changed helios equipment, set k 1");
}

#[test]
fn depth() {
    // The event, its data, the list of changes and the change are open around a value.
    check(&set(&nested(60)), &format!("setting-changed helios equipment, set k {}", nested(60)));
    let outcome = one_line(&super::decoded(&set(&nested(61))));
    assert!(
        outcome.starts_with("too-deep: the body has too many open brackets at line 1, column "),
        "{outcome}"
    );
    // In binary form there is one bracket less around it.
    let data = |value: &str| {
        let changes = format!(r#"[{{"op":"set","key":"k","value":{value}}}]"#);
        format!(r#"{{"organization_id":"helios","category":"equipment","changes":{changes}}}"#)
    };
    check(
        &binary_event("setting-changed", &data(&nested(61))),
        &format!("setting-changed helios equipment, set k {}", nested(61)),
    );
    // Brackets in text are not brackets, and closed ones do not count.
    check(
        &set(&format!("\"{}\"", "[".repeat(100))),
        &format!("setting-changed helios equipment, set k \"{}\"", "[".repeat(100)),
    );
    check(
        &set(&format!("[{}]", vec!["[]"; 100].join(","))),
        &format!("setting-changed helios equipment, set k [{}]", vec!["[]"; 100].join(",")),
    );
    // Unknown fields count: they are in the body.
    let fields = format!(r#""changes":[],"unknown":{}"#, nested(63));
    assert!(one_line(&super::decoded(&equipment(&fields))).starts_with("too-deep: "));
}

#[test]
fn hostile_depth_does_not_overflow_the_stack() {
    for hostile in ["[", "{\"a\":", "[{\"a\":", "[[],"] {
        let body = hostile.repeat(1024 * 1024 / hostile.len());
        for limits in [Limits::default(), Limits { depth_max: usize::MAX, ..Limits::default() }] {
            let message = message(STRUCTURED, body.clone());
            check_limits(&message, limits, "too-deep: ");
        }
    }
}

#[test]
fn entries() {
    let changes = |count: usize| {
        let changes: Vec<String> = (0..count).map(|n| format!(r#"{{"op":"remove","key":"{n}"}}"#)).collect();
        equipment(&format!(r#""changes":[{}]"#, changes.join(",")))
    };
    let snapshot = |count: usize| {
        let entries: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        equipment(&format!(r#""snapshot":{{{}}}"#, entries.join(",")))
    };
    let room = Limits { body_bytes_max: 16 * 1024 * 1024, ..Limits::default() };
    check_limits(&changes(50_000), room, "setting-changed helios equipment, remove 0");
    check_limits(&changes(50_001), room, "too-large: data.changes has 50001 entries; expected at most 50000");
    check_limits(&snapshot(50_000), room, "setting-changed helios equipment, snapshot, 0 0");
    check_limits(
        &snapshot(50_001),
        room,
        "too-large: data.snapshot has 50001 entries; expected at most 50000",
    );
    let few = Limits { entries_max: 2, ..Limits::default() };
    check_limits(&changes(2), few, "setting-changed helios equipment, remove 0, remove 1");
    check_limits(&changes(3), few, "too-large: data.changes has 3 entries; expected at most 2");
}

#[test]
fn json() {
    for (body, expected) in [
        ("", "at line 1, column 1; expected a JSON value"),
        (" \n ", "at line 2, column 2; expected a JSON value"),
        ("\u{FEFF}{}", "at line 1, column 1; expected a JSON value"),
        ("{} {}", "at line 1, column 4; expected the end of the text"),
        ("{", "at line 1, column 2; expected a key in double quotes"),
        ("{a:1}", "at line 1, column 2; expected a key in double quotes"),
        ("{\"a\"}", "at line 1, column 5; expected a colon"),
        ("{\"a\":}", "at line 1, column 6; expected a JSON value"),
        ("{\"a\":1,}", "at line 1, column 8; expected a key in double quotes"),
        ("{\"é\":1\n", "at line 2, column 1; expected a comma or a closing }"),
        ("[1 2]", "at line 1, column 4; expected a comma or a closing ]"),
        ("[1,]", "at line 1, column 4; expected a JSON value"),
        ("tru", "at line 1, column 1; expected a JSON value"),
        ("NaN", "at line 1, column 1; expected a JSON value"),
        ("01", "at line 1, column 2; expected the end of the text"),
        ("-", "at line 1, column 2; expected a digit"),
        ("1.", "at line 1, column 3; expected a digit"),
        ("1e+", "at line 1, column 4; expected a digit"),
        (".5", "at line 1, column 1; expected a JSON value"),
        ("+1", "at line 1, column 1; expected a JSON value"),
        ("\"a", "at line 1, column 3; expected a closing double quote"),
        ("\"a\\", "at line 1, column 4; expected one of \"\\/bfnrtu after a backslash"),
        ("\"\\x\"", "at line 1, column 3; expected one of \"\\/bfnrtu after a backslash"),
        ("\"\\u12g4\"", "at line 1, column 4; expected four hexadecimal digits"),
        ("\"\\u123", "at line 1, column 4; expected four hexadecimal digits"),
        ("\"\\ud800\"", "at line 1, column 2; expected a whole surrogate pair"),
        ("\"\\ud800\\u0041\"", "at line 1, column 2; expected a whole surrogate pair"),
        ("\"\\ud800\\ue000\"", "at line 1, column 2; expected a whole surrogate pair"),
        ("\"\\ud800\\ud800\"", "at line 1, column 2; expected a whole surrogate pair"),
        ("\"\\udc00\"", "at line 1, column 2; expected a whole surrogate pair"),
        (
            "\"a\nb\"",
            "at line 1, column 3; expected an escape, since a string holds no bare control character",
        ),
        ("// no\n{}", "at line 1, column 1; expected a JSON value"),
    ] {
        check(&message(STRUCTURED, body), &format!("malformed-json: the body is not JSON {expected}"));
    }
    check(
        &message(STRUCTURED, b"{\"a\":\"\xff\"}"),
        "malformed-json: the body is not UTF-8 from byte 6 on; expected JSON in UTF-8",
    );
}
