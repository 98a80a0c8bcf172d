//! Properties that hold for any bytes, and for any JSON.

use channel_sync::contract::{
    Limits, Message, Properties, RejectionCode, decode, read_events, routing_key, to_message,
};
use proptest::prelude::*;
use serde_json::Value;

use super::fixtures::{fixture, names};
use super::{CATALOGUE, STRUCTURED, binary_event, decoded, event, message, one_line, set};

/// Decodes, and checks what holds for every outcome.
fn decodes(message: &Message) -> Result<(), TestCaseError> {
    match decoded(message) {
        Ok(envelope) => {
            for (id, text) in &envelope.values {
                prop_assert!(!text.contains("\\u0000") && !text.contains('\0'), "{text}");
                let again = decoded(&set(text)).unwrap();
                prop_assert_eq!(again.values.get(id), Some(text));
            }
        }
        Err(rejection) => {
            prop_assert!(!rejection.reason.contains(char::is_control), "{:?}", rejection.reason);
            prop_assert!(rejection.reason.contains("; expected "), "{:?}", rejection.reason);
            for name in [rejection.source, rejection.id].into_iter().flatten() {
                prop_assert!(!name.contains('\0'));
            }
        }
    }
    Ok(())
}

/// JSON whose texts and keys are hard to get right.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-c]{0,2}",
        any::<String>(),
        Just("\u{0}\u{1}\u{1f}\u{7f}\"\\/".to_owned()),
        Just("$serde_json::private::Number".to_owned()),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("JSON has none", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,4})?([eE][-+]?[0-9]{1,3})?",
    ];
    let number = number.prop_map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The same JSON in other words: keys in reverse, white space, and every letter escaped.
fn respelled(json: &Value) -> String {
    fn text(text: &str) -> String {
        let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        format!("\"{units}\"")
    }
    match json {
        Value::String(string) => text(string),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(respelled).collect();
            format!("[ {}\n]", items.join("\t,"))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .rev()
                .map(|(key, value)| format!(" {}\r: {}", text(key), respelled(value)))
                .collect();
            format!("{{{} }}", entries.join(","))
        }
        other => format!(" {other} "),
    }
}

/// A valid message with some of its bytes changed, dropped, doubled or put elsewhere.
fn mutated() -> impl Strategy<Value = Message> {
    let all: Vec<String> = names().into_values().flatten().collect();
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8), 1..6);
    (prop::sample::select(all), edits).prop_map(|(name, edits)| {
        const BYTES: &[u8] = b"[]{}\",:\\0e-.nt \x00\xff\xc3u";
        let mut message = fixture(&name);
        for (at, other, kind) in edits {
            let body = &mut message.body;
            if body.is_empty() {
                break;
            }
            let (at, byte) = (at.index(body.len()), BYTES[other.index(BYTES.len())]);
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                3 => body.truncate(at),
                _ => {
                    let start = other.index(body.len());
                    let piece = body[start..body.len().min(start + 40)].to_vec();
                    body.splice(at..at, piece);
                }
            }
        }
        message
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_decoded_or_rejected(
        body in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop::option::of(prop_oneof![
            Just(STRUCTURED.to_owned()),
            Just("application/json".to_owned()),
            any::<String>(),
        ]),
        header in any::<String>(),
    ) {
        let value = serde_json::Value::from(header.clone());
        let headers = [(format!("cloudEvents:{header}"), value.clone()), (header, value)].into();
        let properties = Properties { content_type, headers, ..Properties::default() };
        let stored = serde_json::to_string(&properties).unwrap();
        prop_assert!(!stored.contains("\\u0000"), "{stored}");
        decodes(&Message { body, properties })?;
    }

    #[test]
    fn a_mutated_message_is_decoded_or_rejected(message in mutated()) {
        decodes(&message)?;
        // Whether it is JSON is judged as by another reader, which does not look into escapes that it skips.
        let text = String::from_utf8_lossy(&message.body);
        prop_assume!(!text.to_ascii_lowercase().contains("\\ud"));
        let json = std::str::from_utf8(&message.body)
            .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        let outcome = decoded(&message);
        match outcome.as_ref().map_err(|rejection| rejection.code) {
            Err(RejectionCode::MalformedJson) => prop_assert!(!json, "{} of {text}", one_line(&outcome)),
            Err(RejectionCode::TooDeep) => {}
            _ => prop_assert!(json, "{} of {text}", one_line(&outcome)),
        }
    }

    #[test]
    fn text_for_publishing_never_panics(message in mutated()) {
        let text = String::from_utf8_lossy(&message.body);
        if let Ok(events) = read_events(&text) {
            for event in events {
                let key = routing_key(event.text);
                prop_assert_eq!(key.is_ok(), to_message(event.text).is_ok());
                prop_assert!(key.map_or(true, |key| key.len() <= 255));
            }
        }
    }

    #[test]
    fn any_json_as_data_is_decoded_or_rejected(json in any_json(), setting in any::<bool>()) {
        let event_type = if setting { "setting-changed" } else { "partnership-changed" };
        let text = json.to_string();
        decodes(&event(event_type, &text))?;
        decodes(&binary_event(event_type, &text))?;
        decodes(&message(STRUCTURED, text))?;
    }

    #[test]
    fn a_value_has_one_text_however_it_is_spelled(json in any_json()) {
        let plain = decoded(&set(&json.to_string()));
        let respelled = decoded(&set(&respelled(&json)));
        match (plain, respelled) {
            (Ok(plain), Ok(respelled)) => {
                prop_assert_eq!(&plain.values, &respelled.values);
                prop_assert_eq!(plain.content, respelled.content);
                let text = plain.values.into_values().next().unwrap();
                // A key of serde_json's own is one that it cannot read back.
                if !text.contains("$serde_json::private") {
                    prop_assert!(same(&serde_json::from_str(&text).unwrap(), &json), "{text} is not {json}");
                }
            }
            // Which of two faults comes first depends on the order of keys.
            (Err(plain), Err(respelled)) => prop_assert_eq!(plain.code, respelled.code),
            (plain, respelled) => prop_assert!(false, "{} but {}", one_line(&plain), one_line(&respelled)),
        }
    }

    #[test]
    fn both_forms_of_an_event_are_one_event(value in any_json(), version in any::<i64>()) {
        let data = format!(
            r#"{{"organization_id":"o","category":"adders","version":{version},"snapshot":{{"k":{value}}}}}"#
        );
        let structured = decoded(&event("setting-changed", &data));
        let binary = decoded(&binary_event("com.example.setting-changed", &data));
        prop_assert_eq!(structured, binary);
    }

    #[test]
    fn limits_of_any_size_are_kept(
        message in mutated(),
        body_bytes_max in 0..2_000_usize,
        depth_max in 0..8_usize,
        entries_max in 0..3_usize,
    ) {
        let limits = Limits { body_bytes_max, depth_max, entries_max };
        let outcome = decode(&message, &CATALOGUE, &limits);
        if message.body.len() > body_bytes_max {
            prop_assert_eq!(outcome.unwrap_err().code, RejectionCode::TooLarge);
        } else if depth_max == 0 {
            prop_assert!(outcome.is_err());
        }
    }
}

/// Equality of JSON but for the spelling of numbers.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_str().parse::<f64>().unwrap() == b.as_str().parse::<f64>().unwrap()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
