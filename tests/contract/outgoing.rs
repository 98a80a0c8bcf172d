//! Events on their way out: from a file to messages.

use channel_sync::contract::{
    Envelope, Message, Properties, read_events, routing_key, structured, to_message,
};
use serde_json::{Value, json};

use super::fixtures::{fixture, names};
use super::{IDENTIFIER, TYPES, decoded, one_line};

fn split(text: &str) -> String {
    match read_events(text) {
        Ok(events) => {
            let events: Vec<String> =
                events.iter().map(|event| format!("{}: {}", event.line, event.text)).collect();
            events.join("; ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn one_event_or_many() {
    for (text, expected) in [
        ("", ""),
        (" \n\n", ""),
        ("{}", "1: {}"),
        ("\u{FEFF}\n{\"a\":1}\n", "2: {\"a\":1}"),
        ("{\n\"a\": 1\n}\n\n{}\r\n{} {}", "1: {\n\"a\": 1\n}; 5: {}; 6: {}; 6: {}"),
        ("{}\n[]", "line 2: expected an event, a JSON object, and found a list"),
        ("7", "line 1: expected an event, a JSON object, and found the number 7"),
        ("{}\n{\"a\":}\n{}", "line 2: expected a JSON value at column 6"),
        ("{}\n{\"a\":1", "line 2: expected a comma or a closing } at column 7"),
    ] {
        assert_eq!(split(text), expected, "{text:?}");
    }
    assert_eq!(split(&"[".repeat(1_000_000)), "line 1: expected at most 512 open brackets");
}

#[test]
fn routing_keys() {
    let long = "é".repeat(100);
    for (event, expected) in [
        (
            r#"{"type":"setting-changed","data":{"organization_id":"helios"}}"#,
            "setting-changed.helios".to_owned(),
        ),
        (
            r#"{"type":"com.example.partnership-changed","data":{"upstream_id":"a.b","downstream_id":"c"}}"#,
            "partnership-changed.a.b".to_owned(),
        ),
        (
            &format!(r#"{{"type":"partnership-changed","data":{{"upstream_id":"{long}"}}}}"#),
            format!("partnership-changed.{long}"),
        ),
        ("[]", "invalid-field: the event is a list; expected a CloudEvents object".to_owned()),
        (
            "{",
            "malformed-json: the body is not JSON at line 1, column 2; expected a key in double quotes"
                .to_owned(),
        ),
        (r#"{"type":"setting-changed"}"#, "missing-field: data is missing; expected an object".to_owned()),
        (
            r#"{"type":"setting-changed","data":{}}"#,
            format!("missing-field: data.organization_id is missing; expected {IDENTIFIER}"),
        ),
        (r#"{"type":"other","data":{}}"#, format!("unknown-type: type is \"other\"; expected {TYPES}")),
    ] {
        let outcome = routing_key(event).unwrap_or_else(|rejection| rejection.to_string());
        assert_eq!(outcome, expected);
        assert!(routing_key(event).is_err() || outcome.len() <= 255, "AMQP gives a routing key 255 bytes");
    }
}

#[test]
fn what_came_in_binary_form_can_be_published_in_structured_form() {
    for name in names()["binary"].iter() {
        let incoming = fixture(name);
        let text = structured(&incoming).unwrap();
        let [event] = read_events(&text).unwrap()[..] else { panic!("{name} holds one event") };
        let outgoing = decoded(&to_message(event.text).unwrap());
        let incoming = decoded(&incoming);
        assert_eq!(outgoing.is_ok(), incoming.is_ok(), "{name}");
        let (Ok(outgoing), Ok(incoming)) = (outgoing, incoming) else { continue };
        let told = |envelope: &Envelope| (envelope.source.clone(), envelope.id.clone(), envelope.content);
        assert_eq!(told(&outgoing), told(&incoming), "{name}");
    }
    for name in names()["structured"].iter() {
        assert_eq!(structured(&fixture(name)), None, "{name}");
    }
}

#[test]
fn only_what_can_be_told_of_a_message_is_put_into_structured_form() {
    let message = |headers: &[(&str, Value)], body: &str| Message {
        body: body.as_bytes().to_vec(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            ..Properties::default()
        },
    };
    let id = [("cloudEvents_ID", json!("e \"1\"")), ("x-trace", json!("t")), ("cloudEvents:n", json!(1))];
    assert_eq!(
        structured(&message(&id, " {\"n\": 1.50}\n")).as_deref(),
        Some(r#"{"id":"e \"1\"","data":{"n": 1.50}}"#)
    );
    assert_eq!(structured(&message(&id, "{")), None, "the body is not JSON");
    assert_eq!(structured(&message(&id[1..2], "{}")), None, "there are no attributes");
    assert_eq!(structured(&message(&id[2..], "[]")).as_deref(), Some(r#"{"data":[]}"#));
}

#[test]
fn what_goes_out_comes_in() {
    for name in names()["structured"].iter() {
        let incoming = fixture(name);
        let text = String::from_utf8(incoming.body.clone()).unwrap();
        let [event] = read_events(&text).unwrap()[..] else { panic!("{name} holds one event") };
        let message = to_message(event.text).unwrap();
        assert_eq!(one_line(&decoded(&message)), one_line(&decoded(&incoming)), "{name}");
        assert_eq!(message.properties.delivery_mode, Some(2));
        assert_eq!(message.properties.message_id, Some(decoded(&incoming).unwrap().id));
        assert_eq!(message.properties.routing_key, Some(routing_key(&text).unwrap()));
    }
    let message = to_message(&format!(
        r#"{{"id":"{}","type":"setting-changed","data":{{"organization_id":"o"}}}}"#,
        "i".repeat(300)
    ))
    .unwrap();
    assert_eq!(message.properties.message_id, None, "longer than AMQP allows");
    assert_eq!(message.properties.type_.as_deref(), Some("setting-changed"));
}
