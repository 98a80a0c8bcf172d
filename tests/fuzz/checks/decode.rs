//! Any message is an event, the same in either form, or a rejection that can be read and stored; and what is
//! published can be decoded.

use std::collections::BTreeMap;
use std::str::from_utf8;
use std::sync::LazyLock;

use channel_sync::contract::{
    Envelope, Event, Limits, Message, Properties, REASON_CHARACTERS_MAX, Rejection, RejectionCode, decode,
    read_events, routing_key, to_message,
};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use serde_json::Value;
use serde_json::value::RawValue;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(BUILT_IN).unwrap());

/// As deep as the contract goes: what is wrapped once more is not too deep for that.
const LIMITS: Limits = Limits { body_bytes_max: 8 * 1024 * 1024, depth_max: 512, entries_max: 50_000 };

/// A first line of properties, as they are stored with a rejected message; then the body. Without such a line, all of
/// it is the body of an event in structured form.
pub(crate) fn message(input: &[u8]) -> Message {
    let line = input.iter().position(|&byte| byte == b'\n');
    let parted = line.and_then(|end| {
        let properties: Properties = serde_json::from_slice(&input[..end]).ok()?;
        // Every event in structured form on one line could be read as properties of which none is known.
        (properties != Properties::default()).then(|| Message { body: input[end + 1..].to_vec(), properties })
    });
    parted.unwrap_or_else(|| structured(input))
}

fn structured(body: &[u8]) -> Message {
    let content_type = Some("application/cloudevents+json".to_owned());
    Message { body: body.to_vec(), properties: Properties { content_type, ..Properties::default() } }
}

pub(crate) fn check(input: &[u8]) {
    let message = message(input);
    let stored = serde_json::to_string(&message.properties).unwrap();
    assert!(!holds_nul(&serde_json::from_str(&stored).unwrap()), "{stored}");
    serde_json::from_str::<Properties>(&stored).unwrap();

    match decode(&message, &CATALOGUE, &Limits::default()) {
        Ok(envelope) => accepted(&message, &envelope),
        Err(rejection) => rejected(&rejection),
    }
    if let Ok(events) =
        from_utf8(&message.body).map_err(drop).and_then(|text| read_events(text).map_err(drop))
    {
        for event in events {
            published(event.text);
        }
    }
}

fn accepted(message: &Message, envelope: &Envelope) {
    let identifier = |text: &str| {
        assert!((1..=200).contains(&text.len()) && !text.contains(char::is_control), "{text:?}");
    };
    identifier(&envelope.id);
    identifier(&envelope.source);
    match &envelope.event {
        Event::SettingChanged(event) => identifier(&event.organization_id),
        Event::PartnershipChanged(event) => {
            identifier(&event.upstream_id);
            identifier(&event.downstream_id);
            assert_ne!(event.upstream_id, event.downstream_id);
        }
    }
    // A number may be written out, to some hundred digits for three characters.
    let stored: usize = envelope.values.values().map(String::len).sum();
    assert!(stored <= 200 * message.body.len(), "{stored} bytes of {}", message.body.len());
    for (id, text) in &envelope.values {
        // A key of serde_json's own is one that it cannot read back.
        assert!(!serde_json::from_str(text).is_ok_and(|value| holds_nul(&value)), "{text}");
        let data = format!(
            r#"{{"organization_id":"o","category":"adders","changes":[{{"op":"set","key":"k","value":{text}}}]}}"#
        );
        let again = decode(&binary("setting-changed", envelope, &data), &CATALOGUE, &LIMITS).unwrap();
        assert_eq!(again.values.get(id), Some(text), "a value has one text");
    }
    if let Some((binary, structured)) = both_forms(message, envelope) {
        let decoded = decode(&structured, &CATALOGUE, &LIMITS);
        assert_eq!(decode(&binary, &CATALOGUE, &LIMITS), decoded, "an event is the same in either form");
        assert_eq!(decoded.as_ref(), Ok(envelope), "an event is the same whoever writes it");
    }
}

/// What `jsonb` does not hold.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(entries) => entries.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn event_type(envelope: &Envelope) -> &'static str {
    match envelope.event {
        Event::SettingChanged(_) => "setting-changed",
        Event::PartnershipChanged(_) => "partnership-changed",
    }
}

fn binary(event_type: &str, envelope: &Envelope, data: &str) -> Message {
    let mut headers = BTreeMap::new();
    for (name, value) in attributes(event_type, envelope) {
        headers.insert(format!("cloudEvents:{name}"), value.into());
    }
    let content_type = Some("application/json".to_owned());
    Message { body: data.into(), properties: Properties { content_type, headers, ..Properties::default() } }
}

fn attributes(event_type: &str, envelope: &Envelope) -> Vec<(&'static str, String)> {
    let Envelope { id, source, traceparent, .. } = envelope;
    let mut attributes: Vec<_> =
        [("specversion", "1.0"), ("type", event_type), ("id", id), ("source", source)]
            .map(|(name, value)| (name, value.to_owned()))
            .into();
    attributes.extend(traceparent.as_ref().map(|traceparent| ("traceparent", traceparent.to_string())));
    attributes
}

/// The event anew, with the `data` that it had; none where another reader of JSON does not find it.
fn both_forms(message: &Message, envelope: &Envelope) -> Option<(Message, Message)> {
    let text = from_utf8(&message.body).ok()?;
    let in_body = serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok()?;
    let in_headers =
        message.properties.headers.keys().any(|name| name.to_ascii_lowercase().ends_with("specversion"));
    let data = if in_headers { text } else { in_body.get("data")?.get() };
    let event_type = event_type(envelope);
    let fields = attributes(event_type, envelope).into_iter();
    let fields: String =
        fields.map(|(name, value)| format!("{}:{},", quoted(name), quoted(&value))).collect();
    let structured = structured(format!(r#"{{{fields}"data":{data}}}"#).as_bytes());
    Some((binary(event_type, envelope, data), structured))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn rejected(rejection: &Rejection) {
    let Rejection { code, reason, source, id } = rejection;
    assert!(RejectionCode::ALL.contains(code));
    assert!(reason.chars().count() <= REASON_CHARACTERS_MAX + 1, "{reason}");
    let turns = |c| c == '\u{200E}' || c == '\u{200F}' || ('\u{202A}'..='\u{202E}').contains(&c);
    let isolates = |c| ('\u{2066}'..='\u{2069}').contains(&c);
    assert!(!reason.contains(|c: char| c.is_control() || turns(c) || isolates(c)), "{reason:?}");
    assert!(reason.contains("; expected ") || reason.ends_with('…'), "{reason:?}");
    for name in [source, id].into_iter().flatten() {
        assert!((1..=200).contains(&name.len()) && !name.contains(char::is_control), "{name:?}");
    }
}

fn published(event: &str) {
    let message = to_message(event);
    assert_eq!(routing_key(event).is_ok(), message.is_ok());
    let Ok(message) = message else { return };
    let properties = &message.properties;
    for short in [&properties.routing_key, &properties.message_id, &properties.type_].into_iter().flatten() {
        assert!(short.len() <= 255, "{short}");
    }
    if let Err(rejection) = decode(&message, &CATALOGUE, &LIMITS) {
        rejected(&rejection);
    }
}
