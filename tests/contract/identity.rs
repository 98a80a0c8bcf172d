//! What identifies an event: its source and id, and its content.

use channel_sync::contract::{Message, RejectionCode};

use super::{STRUCTURED, binary_event, decoded, event, message};

fn content(message: &Message) -> [u8; 32] {
    decoded(message).unwrap().content
}

const DATA: &str = r#"{
    "organization_id":"helios","category":"equipment",
    "changes":[{"op":"set","key":"k","value":{"a":1,"b":100}}]
}"#;

#[test]
fn the_same_content_however_it_is_written() {
    let first = content(&event("setting-changed", DATA));
    for same in [
        event("setting-changed", &DATA.replace(':', " :\n ")),
        event("com.example.setting-changed", DATA),
        event("setting-changed", &DATA.replace("100", "1e2")),
        event("setting-changed", &DATA.replace("helios", "h\\u0065lios")),
        event(
            "setting-changed",
            r#"{
                "changes":[{"value":{"b":100,"a":1},"key":"k","op":"set"}],
                "category":"equipment","organization_id":"helios"
            }"#,
        ),
        binary_event("setting-changed", DATA),
        binary_event("org.example.setting-changed", &DATA.replace(',', " , ")),
        message(
            STRUCTURED,
            format!(
                r#"{{"data":{DATA},"time":"now","type":"setting-changed","source":"b","id":"2","specversion":"1.0"}}"#
            ),
        ),
    ] {
        assert_eq!(content(&same), first, "{}", String::from_utf8_lossy(&same.body));
    }
}

#[test]
fn other_content() {
    let first = content(&event("setting-changed", DATA));
    for other in [
        DATA.replace("helios", "helias"),
        DATA.replace("\"k\"", "\"l\""),
        DATA.replace("100", "101"),
        DATA.replace("equipment", "adders"),
        DATA.replace("equipment", "notifications"),
        DATA.replace("\"changes\"", "\"version\":1,\"changes\""),
        DATA.replace("\"changes\"", "\"unknown\":1,\"changes\""),
    ] {
        assert_ne!(content(&event("setting-changed", &other)), first, "{other}");
    }
    // Data that would do for either type.
    let link = r#""upstream_id":"a","downstream_id":"b","status":"ended","exclusive":true,"data_sync":true"#;
    let either = DATA.replacen('{', &format!("{{{link},"), 1);
    assert_ne!(content(&event("setting-changed", &either)), content(&event("partnership-changed", &either)));
}

#[test]
fn a_rejection_names_source_and_id_as_far_as_they_can_be_read() {
    let whole = event("setting-changed", "{}");
    let mut headers = binary_event("setting-changed", "{");
    headers.properties.headers.insert("cloudEvents:type".to_owned(), 7.into());
    let mut large = binary_event("setting-changed", "{}");
    large.body.resize(2 * 1024 * 1024, b' ');
    let mut both = headers.clone();
    both.properties.content_type = Some(STRUCTURED.to_owned());
    both.body = br#"{"id":"from the body"}"#.to_vec();
    for (message, code, source, id) in [
        (whole, RejectionCode::MissingField, Some("/platform"), Some("event-1")),
        (headers, RejectionCode::MalformedJson, Some("/platform"), Some("event-1")),
        (large, RejectionCode::TooLarge, Some("/platform"), Some("event-1")),
        (both, RejectionCode::MissingField, Some("/platform"), Some("from the body")),
        (message(STRUCTURED, r#"{"id":"a","source":7}"#), RejectionCode::MissingField, None, Some("a")),
        (
            message(STRUCTURED, r#"{"id":"a\u0000","source":"s"}"#),
            RejectionCode::MissingField,
            Some("s"),
            None,
        ),
        (message(STRUCTURED, r#"{"id":"a""#), RejectionCode::MalformedJson, None, None),
        (message("text/plain", r#"{"id":"a"}"#), RejectionCode::InvalidField, None, None),
    ] {
        let rejection = decoded(&message).unwrap_err();
        assert_eq!(
            (rejection.code, rejection.source.as_deref(), rejection.id.as_deref()),
            (code, source, id)
        );
    }
}

#[test]
fn codes_and_their_names() {
    let names = RejectionCode::ALL.map(RejectionCode::name);
    assert_eq!(
        names,
        [
            "malformed-json",
            "missing-field",
            "invalid-field",
            "unknown-type",
            "unknown-category",
            "unknown-slot",
            "too-large",
            "too-deep",
            "id-reused",
            "exclusive-conflict",
            "partnership-cycle",
            "empty-snapshot",
        ]
    );
    for code in RejectionCode::ALL {
        assert_eq!(code.name().parse(), Ok(code));
        assert_eq!(code.to_string(), code.name());
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
    }
    let error = "malformed".parse::<RejectionCode>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"malformed\" is no rejection code; expected one of: malformed-json, missing-field, invalid-field, \
         unknown-type, unknown-category, unknown-slot, too-large, too-deep, id-reused, exclusive-conflict, \
         partnership-cycle, empty-snapshot"
    );
}
