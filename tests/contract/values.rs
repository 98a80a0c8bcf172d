//! Values: what they may hold, and that one value has one canonical text and one id.

use channel_sync::domain::setting::ValueId;
use sha2::{Digest, Sha256};

use super::{check, decoded, set};

/// The only value of an event that sets one.
fn value_of(text: &str) -> (ValueId, String) {
    let envelope = decoded(&set(text)).unwrap_or_else(|rejection| panic!("{text}: {rejection}"));
    assert_eq!(envelope.values.len(), 1);
    envelope.values.into_iter().next().unwrap()
}

#[track_caller]
fn check_canonical(text: &str, canonical: &str) {
    assert_eq!(value_of(text).1, canonical, "{text}");
    assert_eq!(value_of(canonical), value_of(text), "{text}");
}

#[test]
fn numbers_are_written_as_postgres_prints_them() {
    // Each pair was compared with PostgreSQL 15's jsonb.
    for (text, canonical) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0.0"),
        ("0e5", "0"),
        ("-0e-5", "0.00000"),
        ("0.00e1", "0.0"),
        ("0.00e3", "0"),
        ("1e2", "100"),
        ("1E+2", "100"),
        ("1.50", "1.50"),
        ("1.50e1", "15.0"),
        ("1.50e2", "150"),
        ("1.50e3", "1500"),
        ("1.50e-1", "0.150"),
        ("1E-3", "0.001"),
        ("100e-2", "1.00"),
        ("0.1e1", "1"),
        ("0.01e1", "0.1"),
        ("-12.3400e3", "-12340.0"),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("-1.5e-2", "-0.015"),
        ("0e99999999999999999999999", "0"),
    ] {
        check_canonical(text, canonical);
    }
    check_canonical("1e308", &format!("1{}", "0".repeat(308)));
    check_canonical("4.9e-324", &format!("0.{}49", "0".repeat(323)));
    check_canonical(&format!("0.{}", "1".repeat(399)), &format!("0.{}", "1".repeat(399)));
    assert_ne!(value_of("1.5"), value_of("1.50"), "jsonb prints them differently");
}

#[test]
fn numbers_out_of_range_are_rejected() {
    let expected = "a number within the range of a double, of at most 400 digits when written out";
    for number in [
        "1e309",
        "-1e309",
        "1e-400",
        "1e-330",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "0e-400",
        "-0e-99999999999999999999",
    ] {
        check(
            &set(&format!(r#"{{"a":[{number}]}}"#)),
            &format!("invalid-field: data.changes[0].value.a[0] is the number {number}; expected {expected}"),
        );
    }
    let long = format!("0.{}", "1".repeat(400));
    check(
        &set(&long),
        &format!("invalid-field: data.changes[0].value is the number {}…; expected {expected}", &long[..100]),
    );
}

#[test]
fn one_text_for_all_spellings() {
    for (text, canonical) in [
        ("true", "true"),
        (" [ ] ", "[]"),
        ("{ }", "{}"),
        ("[null, false]", "[null,false]"),
        (r#"{"b": 1, "a": 2, "aa": 3}"#, r#"{"a":2,"aa":3,"b":1}"#),
        // By bytes: upper case before lower case, and both before letters beyond ASCII.
        (r#"{"é":1,"a":2,"Z":3}"#, r#"{"Z":3,"a":2,"é":1}"#),
        // The last one counts, as in jsonb.
        (r#"{"a":1,"b":0,"a":{"c":1,"c":2}}"#, r#"{"a":{"c":2},"b":0}"#),
        (r#"{"a":{"deep":[{"z":1,"y":2}]}}"#, r#"{"a":{"deep":[{"y":2,"z":1}]}}"#),
        (r#""\u0041\/\u00e9\ud83d\ude00""#, "\"A/é😀\""),
        (r#""\u0008\u0009\u000a\u000c\u000d\u0022\u005c""#, r#""\b\t\n\f\r\"\\""#),
        (r#""\u0001\u001F\u007f\u0080""#, "\"\\u0001\\u001f\u{7f}\u{80}\""),
        (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        // A key that a JSON library keeps to itself is a key like any other.
        (r#"{"$serde_json::private::Number":"7"}"#, r#"{"$serde_json::private::Number":"7"}"#),
        (r#"{"$serde_json::private::RawValue":"[1]"}"#, r#"{"$serde_json::private::RawValue":"[1]"}"#),
    ] {
        check_canonical(text, canonical);
    }
}

#[test]
fn the_id_is_the_start_of_the_sha_256() {
    let (id, text) = value_of(r#"{ "watts": 4.3e2 }"#);
    let hash = Sha256::digest(text.as_bytes());
    assert_eq!(text, r#"{"watts":430}"#);
    assert_eq!(id.0.to_be_bytes(), hash[..16]);
}

#[test]
fn equal_values_are_kept_once() {
    let message = super::equipment(
        r#""changes":[{"op":"set","key":"a","value":{"x":1}},{"op":"set","key":"b","value":{ "x" : 1e0 }}]"#,
    );
    assert_eq!(decoded(&message).unwrap().values.len(), 1);
}

#[test]
fn u0000_is_rejected_wherever_it_hides() {
    for (value, expected) in [
        (r#""\u0000""#, " is \"\\0\"; expected text without U+0000"),
        (r#"{"a":["b\u0000c"]}"#, ".a[0] is \"b\\0c\"; expected text without U+0000"),
        (r#"{"a":{"\u0000":1}}"#, ".a is an object with the key \"\\0\"; expected keys without U+0000"),
        // Even where a later one of the same key counts.
        (r#"{"a":"\u0000","a":1}"#, ".a is \"\\0\"; expected text without U+0000"),
    ] {
        check(&set(value), &format!("invalid-field: data.changes[0].value{expected}"));
    }
    let late = format!(r#""{}\u0000""#, "a".repeat(1000));
    check(
        &set(&late),
        "invalid-field: data.changes[0].value is text with \"\\0\" in it; expected text without U+0000",
    );
    // In a field that is ignored it does no harm.
    check(&super::equipment(r#""changes":[],"x":"\u0000""#), "setting-changed helios equipment");
}
