//! Events as a publisher writes them.

use channel_sync::contract::{Message, Properties, to_message};
use serde_json::{Value, json};

/// The source of all events in tests.
pub const SOURCE: &str = "tests/platform";

/// An event in structured form; what has no routing key of its own goes without one.
pub fn event(id: &str, event_type: &str, data: Value) -> Message {
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": event_type, "data": data,
    });
    to_message(&event.to_string()).unwrap_or_else(|_| raw(event.to_string().as_bytes()))
}

/// Bytes that say of themselves that they are an event in structured form.
pub fn raw(body: &[u8]) -> Message {
    let content_type = Some("application/cloudevents+json".to_owned());
    Message { body: body.to_vec(), properties: Properties { content_type, ..Properties::default() } }
}

/// An event in binary form.
pub fn binary_event(id: &str, event_type: &str, data: &Value) -> Message {
    let structured = event(id, event_type, data.clone());
    let headers = [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents:id", id),
        ("cloudEvents:source", SOURCE),
        ("cloudEvents:type", event_type),
    ];
    let headers = headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let content_type = Some("application/json".to_owned());
    let properties = Properties { content_type, headers, ..structured.properties };
    Message { body: data.to_string().into_bytes(), properties }
}

/// The organization's own edit: entries to set, and to remove where the value is null.
pub fn edit(id: &str, organization: &str, category: &str, entries: &[(&str, Value)]) -> Message {
    let changes: Vec<Value> = entries
        .iter()
        .map(|(key, value)| match value {
            Value::Null => json!({ "op": "remove", "key": key }),
            value => json!({ "op": "set", "key": key, "value": value }),
        })
        .collect();
    let data = json!({ "organization_id": organization, "category": category, "changes": changes });
    event(id, "setting-changed", data)
}

/// The whole category as it is now.
pub fn snapshot(id: &str, organization: &str, category: &str, entries: Value) -> Message {
    let data = json!({ "organization_id": organization, "category": category, "snapshot": entries });
    event(id, "setting-changed", data)
}

/// A mode, as flags: exclusive, data sync, allow downstream to edit.
pub fn flags(mode: &str) -> (bool, bool, Option<bool>) {
    match mode {
        "off" => (false, false, None),
        "non-exclusive" => (false, true, None),
        "flexible" => (true, true, Some(true)),
        "strict" => (true, true, Some(false)),
        other => panic!("there is no mode {other}"),
    }
}

/// A partnership of this mode, or `ended`, with an existing organization.
pub fn partnership(id: &str, upstream: &str, downstream: &str, mode: &str) -> Message {
    partnership_with(id, upstream, downstream, mode, "existing-organization")
}

/// A partnership of this mode with an organization that was invited.
pub fn invitation(id: &str, upstream: &str, downstream: &str, mode: &str) -> Message {
    partnership_with(id, upstream, downstream, mode, "new-organization")
}

fn partnership_with(id: &str, upstream: &str, downstream: &str, mode: &str, onboarding: &str) -> Message {
    let (status, mode) = if mode == "ended" { ("ended", "off") } else { ("active", mode) };
    let (exclusive, data_sync, allow_downstream_edit) = flags(mode);
    let data = json!({
        "upstream_id": upstream, "downstream_id": downstream, "status": status, "exclusive": exclusive,
        "data_sync": data_sync, "allow_downstream_edit": allow_downstream_edit, "onboarding": onboarding,
    });
    event(id, "partnership-changed", data)
}
