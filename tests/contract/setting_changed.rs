//! The `data` of `setting-changed`.

use std::sync::{Arc, Mutex};

use channel_sync::contract::{Limits, decode};
use channel_sync::domain::catalogue::Catalogue;

use super::{IDENTIFIER, check, equipment, event, one_line};

/// `fields` are those of `data` besides its organization and category.
#[track_caller]
fn check_fields(fields: &str, expected: &str) {
    check(&equipment(fields), expected);
}

#[test]
fn organization_and_category() {
    let long = "o".repeat(200);
    for (data, expected) in [
        (
            r#""organization_id":"Helios GmbH & Co.""#,
            "setting-changed Helios GmbH & Co. equipment".to_owned(),
        ),
        (&format!(r#""organization_id":"{long}""#), format!("setting-changed {long} equipment")),
        (
            &format!(r#""organization_id":"{long}x""#),
            format!(
                "invalid-field: data.organization_id is \"{}…\" (201 bytes); expected {IDENTIFIER}",
                &long[..100]
            ),
        ),
        (
            r#""organization_id":null"#,
            format!("missing-field: data.organization_id is missing; expected {IDENTIFIER}"),
        ),
        (
            r#""organization_id":5"#,
            format!("invalid-field: data.organization_id is the number 5; expected {IDENTIFIER}"),
        ),
        (
            r#""organization_id":"\t""#,
            format!("invalid-field: data.organization_id is \"\\t\"; expected {IDENTIFIER}"),
        ),
        (
            r#""organization_id":"a","organization_id":"a""#,
            "invalid-field: data.organization_id stands twice; expected each field once".to_owned(),
        ),
    ] {
        let data = format!(r#"{{{data},"category":"equipment","changes":[]}}"#);
        check(&event("setting-changed", &data), &expected);
    }
    for (category, expected) in [
        (r#""adders""#, "setting-changed helios adders"),
        ("null", "missing-field: data.category is missing; expected the name of a setting category"),
        ("1", "invalid-field: data.category is the number 1; expected the name of a setting category"),
        (
            r#""equipmnet""#,
            "unknown-category: data.category is \"equipmnet\"; expected a category of the catalogue, perhaps \
             \"equipment\"",
        ),
        (
            r#""batteries""#,
            "unknown-category: data.category is \"batteries\"; expected a category of the catalogue: \
             equipment, adders, default-costs, estimated-installation-dates, persona-inventory, \
             utility-rate-escalation, expiration-dates, comparable-values, proposal-email, organization-logo, \
             licenses, proposal-templates, integrations, integration-settings, feature-settings, \
             financing-products, operations-workflows, qualifications, user-settings, notifications",
        ),
    ] {
        let data = format!(r#"{{"organization_id":"helios","category":{category},"changes":[]}}"#);
        check(&event("setting-changed", &data), expected);
    }
}

#[test]
fn a_long_catalogue_is_not_listed_whole() {
    let names: String =
        (0..30).map(|n| format!("[[category]]\nname = \"category-{n:02}\"\nreach = \"ongoing\"\n")).collect();
    let catalogue = Catalogue::parse(&names).unwrap();
    let outcome = decode(&equipment(r#""changes":[]"#), &catalogue, &Limits::default());
    let line = one_line(&outcome);
    assert!(line.ends_with("category-23, category-24 and 5 more"), "{line}");
}

#[test]
fn versions() {
    let expected = "a whole number from 0 to 9223372036854775807, written in digits";
    for (version, says) in
        [("0", ", version 0"), ("9223372036854775807", ", version 9223372036854775807"), ("null", "")]
    {
        check_fields(
            &format!(r#""changes":[],"version":{version}"#),
            &format!("setting-changed helios equipment{says}"),
        );
    }
    for (version, is) in [
        ("9223372036854775808", "the number 9223372036854775808"),
        ("-1", "the number -1"),
        ("-0", "the number -0"),
        ("1.5", "the number 1.5"),
        ("17.0", "the number 17.0"),
        ("1e3", "the number 1e3"),
        ("\"17\"", "\"17\""),
        ("true", "true"),
        ("[1]", "a list"),
    ] {
        check_fields(
            &format!(r#""changes":[],"version":{version}"#),
            &format!("invalid-field: data.version is {is}; expected {expected}"),
        );
    }
}

#[test]
fn changes() {
    for (changes, expected) in [
        ("[]", ""),
        (r#"[{"op":"set","key":"a","value":1},{"op":"remove","key":"b"}]"#, ", set a 1, remove b"),
        (r#"[{"value":false,"key":"a","op":"set"}]"#, ", set a false"),
        (r#"[{"op":"remove","key":"a","value":null}]"#, ", remove a"),
        (r#"[{"op":"set","key":"a b/c","value":"","comment":"x"}]"#, ", set a b/c \"\""),
        // A key is bytes: another spelling of the same letter is another key.
        (
            r#"[{"op":"remove","key":"\u00e9"},{"op":"remove","key":"e\u0301"}]"#,
            ", remove é, remove e\u{301}",
        ),
    ] {
        check_fields(
            &format!(r#""changes":{changes}"#),
            &format!("setting-changed helios equipment{expected}"),
        );
    }
    let op = "\"set\" or \"remove\"";
    let value = "a JSON value, since clearing an entry is to remove it";
    for (changes, rejected, expected) in [
        ("{}", "invalid-field: data.changes is an object", "a list"),
        ("\"a\"", "invalid-field: data.changes is \"a\"", "a list"),
        (
            "null",
            "missing-field: data.changes is missing",
            "a list of changes, or data.snapshot in its place",
        ),
        ("[null]", "invalid-field: data.changes[0] is null", "an object with op and key"),
        ("[{}]", "missing-field: data.changes[0].op is missing", op),
        (
            r#"[{"op":"remove","key":"a"},{"op":"delete","key":"b"}]"#,
            "invalid-field: data.changes[1].op is \"delete\"",
            op,
        ),
        (r#"[{"op":1,"key":"a"}]"#, "invalid-field: data.changes[0].op is the number 1", op),
        (r#"[{"op":"remove"}]"#, "missing-field: data.changes[0].key is missing", IDENTIFIER),
        (r#"[{"op":"remove","key":""}]"#, "invalid-field: data.changes[0].key is \"\"", IDENTIFIER),
        (
            r#"[{"op":"remove","key":"a\u0000"}]"#,
            "invalid-field: data.changes[0].key is \"a\\0\"",
            IDENTIFIER,
        ),
        (
            r#"[{"op":"set","key":"a"}]"#,
            "missing-field: data.changes[0].value is missing",
            "the JSON value to set",
        ),
        (r#"[{"op":"set","key":"a","value":null}]"#, "invalid-field: data.changes[0].value is null", value),
        (
            r#"[{"op":"remove","key":"a","value":0}]"#,
            "invalid-field: data.changes[0].value is the number 0",
            "no value where op is \"remove\"",
        ),
        (
            r#"[{"op":"remove","key":"a"},{"op":"set","key":"a","value":1}]"#,
            "invalid-field: data.changes[1].key is \"a\" a second time",
            "each key once in an event",
        ),
        (
            r#"[{"op":"remove","key":"a","key":"b"}]"#,
            "invalid-field: data.changes[0].key stands twice",
            "each field once",
        ),
    ] {
        check_fields(&format!(r#""changes":{changes}"#), &format!("{rejected}; expected {expected}"));
    }
}

#[test]
fn snapshots() {
    for (snapshot, expected) in [
        (r#"{"b":1,"a":[2]}"#, ", snapshot, b 1, a [2]".to_owned()),
        ("{}", ", snapshot".to_owned()),
        (r#"{},"allow_empty":true"#, ", snapshot, may be empty".to_owned()),
        (r#"{},"allow_empty":false"#, ", snapshot".to_owned()),
        (r#"{},"allow_empty":null,"changes":null"#, ", snapshot".to_owned()),
    ] {
        check_fields(
            &format!(r#""snapshot":{snapshot}"#),
            &format!("setting-changed helios equipment{expected}"),
        );
    }
    let once = "each key once in an event";
    let value = "a JSON value, since clearing an entry is to remove it";
    for (snapshot, rejected, expected) in [
        ("[]", "invalid-field: data.snapshot is a list", "an object"),
        (r#"{},"allow_empty":"yes""#, "invalid-field: data.allow_empty is \"yes\"", "true or false"),
        (r#"{"a":1,"b":2,"a":1}"#, "invalid-field: a key of data.snapshot is \"a\" a second time", once),
        (r#"{"":1}"#, "invalid-field: a key of data.snapshot is \"\"", IDENTIFIER),
        (r#"{"a":null}"#, "invalid-field: data.snapshot.a is null", value),
        (
            r#"{"a b":{"c":[0,"\u0000"]}}"#,
            "invalid-field: data.snapshot[\"a b\"].c[1] is \"\\0\"",
            "text without U+0000",
        ),
        (
            r#"{},"changes":[]"#,
            "invalid-field: data.snapshot is given besides data.changes",
            "exactly one of the two",
        ),
    ] {
        check_fields(&format!(r#""snapshot":{snapshot}"#), &format!("{rejected}; expected {expected}"));
    }
    // `allow_empty` means nothing beside changes.
    check_fields(r#""changes":[],"allow_empty":"yes""#, "setting-changed helios equipment");
}

#[test]
fn unknown_fields_are_ignored_but_not_twice() {
    check_fields(r#""changes":[],"colour":"red","shape":1e999"#, "setting-changed helios equipment");
    check_fields(
        r#""changes":[],"colour":"red","colour":"red""#,
        "invalid-field: data.colour stands twice; expected each field once",
    );
}

/// Where a subscriber writes for a test to read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn unknown_fields_are_named_in_one_debug_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let with_unknown_fields = equipment(
        r#""changes":[{"op":"remove","key":"k","why":1}],"colour":"red","a\nb":2,"allow_empty":true"#,
    );
    tracing::subscriber::with_default(subscriber, || {
        // Tests on other threads may have come by first, where nobody listens; that is remembered for each
        // place in the code that logs, and the second of the two places comes after the first.
        for _ in 0..2 {
            check(&with_unknown_fields, "setting-changed helios equipment, remove k");
            tracing::callsite::rebuild_interest_cache();
        }
        lines.0.lock().unwrap().clear();
        check(&with_unknown_fields, "setting-changed helios equipment, remove k");
        check_fields(r#""changes":[]"#, "setting-changed helios equipment");
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains(r#"total=4 names="data.colour, data.a\\nb, data.allow_empty, data.changes[0].why""#),
        "{text}"
    );
    assert!(text.contains(r#"source="/platform" id="event-1""#), "{text}");
}

#[test]
fn slots() {
    let slots = "a slot of default-costs: battery, energy-efficiency, inverter, project, solar-module";
    for (category, fields, expected) in [
        (
            "default-costs",
            r#""changes":[{"op":"set","key":"inverter","value":1},{"op":"remove","key":"project"}]"#,
            "setting-changed helios default-costs, set inverter 1, remove project".to_owned(),
        ),
        (
            "default-costs",
            r#""snapshot":{"inverter":1}"#,
            "setting-changed helios default-costs, snapshot, inverter 1".to_owned(),
        ),
        (
            "default-costs",
            r#""changes":[{"op":"set","key":"Inverter","value":1}]"#,
            format!("unknown-slot: data.changes[0].key is \"Inverter\"; expected {slots}"),
        ),
        (
            "default-costs",
            r#""changes":[{"op":"remove","key":"roof"}]"#,
            format!("unknown-slot: data.changes[0].key is \"roof\"; expected {slots}"),
        ),
        (
            "default-costs",
            r#""snapshot":{"inverter":1,"roof":2}"#,
            format!("unknown-slot: a key of data.snapshot is \"roof\"; expected {slots}"),
        ),
        // Where the catalogue lists none, any key is a slot.
        (
            "expiration-dates",
            r#""changes":[{"op":"set","key":"anything","value":1}]"#,
            "setting-changed helios expiration-dates, set anything 1".to_owned(),
        ),
    ] {
        let data = format!(r#"{{"organization_id":"helios","category":"{category}",{fields}}}"#);
        check(&event("setting-changed", &data), &expected);
    }
}

#[test]
fn categories_that_never_sync_are_not_looked_into() {
    for fields in [
        "",
        r#","changes":[{"op":"set","key":"a","value":1}]"#,
        r#","changes":7,"snapshot":[],"version":"x""#,
        r#","changes":[{"op":"set","key":"\u0000","value":null}]"#,
    ] {
        let data = format!(r#"{{"organization_id":"helios","category":"notifications"{fields}}}"#);
        check(&event("setting-changed", &data), "setting-changed helios notifications");
    }
    let data = r#"{"organization_id":"","category":"notifications"}"#;
    check(
        &event("setting-changed", data),
        &format!("invalid-field: data.organization_id is \"\"; expected {IDENTIFIER}"),
    );
}

#[test]
fn reasons_stay_short() {
    let long = "x\\u0007".repeat(5_000);
    let line = {
        let message = equipment(&format!(r#""changes":[{{"op":"{long}","key":"a"}}]"#));
        one_line(&super::decoded(&message))
    };
    assert!(line.starts_with("invalid-field: data.changes[0].op is \"x\\u{7}x\\u{7}"), "{line}");
    assert!(line.ends_with("…\"; expected \"set\" or \"remove\""), "{line}");
    assert!(line.chars().count() < 500, "{line}");
}
