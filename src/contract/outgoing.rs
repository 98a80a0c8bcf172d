//! The other direction: events that a publisher has as text, made into messages.
//!
//! Checks only what it needs for that. Whether an event would be accepted is for [`decode`](super::decode) to
//! say.

use super::cloud_events::{EventType, Form};
use super::fields::{self, Place, is_identifier, pick};
use super::json::{self, DEPTH_CEILING, Json, Reader, line_and_column};
use super::properties::Properties;
use super::rejection::{Rejection, describe};
use super::{Message, cloud_events};

/// The text of one event, and where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// Its JSON text, an object; nothing else about it has been checked.
    pub text: &'a str,
}

/// Where a text of events is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ReadEventsError {
    /// The line, from 1.
    pub line: usize,
    /// What was expected there.
    pub reason: String,
}

/// Splits a text into its events: one, however it is laid out, or several, one after another (JSON Lines).
///
/// # Errors
/// Names the first place where the text is not a JSON object. Then nothing of it should be published.
pub fn read_events(text: &str) -> Result<Vec<RawEvent<'_>>, ReadEventsError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut reader = Reader::new(text, DEPTH_CEILING);
    let mut events = Vec::new();
    // Counted on from event to event: a file may hold many.
    let mut line = 1;
    let mut counted = 0;
    while let Some((at, event, json)) = reader.next().map_err(|error| read_events_error(text, error))? {
        line += text[counted..at].bytes().filter(|&byte| byte == b'\n').count();
        counted = at;
        if !matches!(json, Json::Object(_)) {
            let reason = format!("expected an event, a JSON object, and found {}", describe(&json));
            return Err(ReadEventsError { line, reason });
        }
        events.push(RawEvent { line, text: event });
    }
    Ok(events)
}

fn read_events_error(text: &str, error: json::ReadError) -> ReadEventsError {
    match error {
        json::ReadError::Malformed { at, expected } => {
            let (line, column) = line_and_column(text, at);
            ReadEventsError { line, reason: format!("expected {expected} at column {column}") }
        }
        json::ReadError::TooDeep { at } => {
            let (line, _) = line_and_column(text, at);
            ReadEventsError { line, reason: format!("expected at most {DEPTH_CEILING} open brackets") }
        }
    }
}

/// The routing key for an event in structured form: `setting-changed.<organization_id>` or
/// `partnership-changed.<upstream_id>`.
///
/// It fits into the 255 bytes that AMQP gives a routing key, since an id has at most 200.
///
/// # Errors
/// Names the field that the key is made of and that is not what it must be.
pub fn routing_key(event: &str) -> Result<String, Rejection> {
    let json = super::read_json(event, DEPTH_CEILING)?;
    key_of(&json)
}

fn key_of(event: &Json<'_>) -> Result<String, Rejection> {
    let Json::Object(attributes) = event else {
        return Err(Rejection::invalid("the event", describe(event), "a CloudEvents object"));
    };
    let [event_type, data] = pick(attributes, Place::Event, ["type", "data"])?.fields;
    let event_type = cloud_events::event_type(event_type, Place::Event)?;
    let name = match event_type {
        EventType::SettingChanged => "organization_id",
        EventType::PartnershipChanged => "upstream_id",
    };
    let data = fields::optional_object(data, Place::Event.field("data"))?
        .ok_or_else(|| Rejection::missing("data", "an object"))?;
    let [id] = pick(data, Place::Data, [name])?.fields;
    let id = fields::identifier(id, Place::Data.field(name))?;
    Ok(format!("{}.{id}", event_type.name()))
}

/// The text in structured form of an event that came in binary form, as far as it can be told, whatever else is wrong
/// with it; none where the message is in structured form, has no attributes, or its body is not JSON.
pub fn structured(message: &Message) -> Option<String> {
    let Message { body, properties } = message;
    let attributes = cloud_events::header_attributes(&properties.headers);
    let announced = cloud_events::announced_form(properties).ok()?;
    if attributes.is_empty() || announced == Some(Form::Structured) {
        return None;
    }
    let data = std::str::from_utf8(body).ok()?;
    super::read_json(data, DEPTH_CEILING).ok()?;
    let mut event = serde_json::Map::new();
    for (name, value) in &attributes {
        if let (Json::Text(text), false) = (value, name.starts_with("data")) {
            event.insert(name.to_string(), text.to_string().into());
        }
    }
    let attributes = serde_json::Value::Object(event).to_string();
    // The data as it is: numbers keep their digits.
    attributes.strip_suffix('}').map(|attributes| {
        let comma = if attributes == "{" { "" } else { "," };
        format!("{attributes}{comma}\"data\":{}}}", data.trim())
    })
}

/// The message that brings an event in structured form: its text as the body, persistent, with its routing
/// key.
///
/// # Errors
/// As [`routing_key`].
pub fn to_message(event: &str) -> Result<Message, Rejection> {
    let json = super::read_json(event, DEPTH_CEILING)?;
    let routing_key = key_of(&json)?;
    let attribute = |name: &str| match &json {
        Json::Object(attributes) => attributes.iter().find_map(|(key, value)| match value {
            // Both properties hold at most 255 bytes.
            Json::Text(text) if key == name && is_identifier(text) => Some(text.to_string()),
            _ => None,
        }),
        _ => None,
    };
    let properties = Properties {
        content_type: Some("application/cloudevents+json".to_owned()),
        delivery_mode: Some(2),
        message_id: attribute("id"),
        type_: attribute("type"),
        routing_key: Some(routing_key),
        ..Properties::default()
    };
    Ok(Message { body: event.as_bytes().to_vec(), properties })
}
