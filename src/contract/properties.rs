//! The properties and headers of an AMQP message, apart from the client library that reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The header that stands in place of all headers where these were too large to be read: how many bytes they had.
pub const LEFT_OUT_HEADERS: &str = "x-channel-sync-left-out-bytes";

/// With no more bytes than this, as AMQP writes them, headers are read, whatever other properties there are.
pub const HEADERS_BYTES_MAX: u32 = 30_000;

/// The properties and headers of an AMQP message, and how it was delivered.
///
/// Stored as `jsonb` with a rejected message, and read back for a replay. As `jsonb` holds no U+0000,
/// serializing writes U+FFFD in its place, and names under `altered` what was changed. The same goes for the
/// first character of a key that `serde_json` keeps to itself (`$serde_json::private::…`): stored as it is,
/// it could not be read back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, into = "Map<String, Value>")]
pub struct Properties {
    /// Media type of the body.
    pub content_type: Option<String>,
    /// Encoding of the body, such as gzip.
    pub content_encoding: Option<String>,
    /// 2 where the broker keeps the message on disk.
    pub delivery_mode: Option<u8>,
    /// Priority, 0 to 9.
    pub priority: Option<u8>,
    /// What the message belongs to, by its publisher's word.
    pub correlation_id: Option<String>,
    /// Where an answer would go.
    pub reply_to: Option<String>,
    /// How long the message may wait: milliseconds, as text.
    pub expiration: Option<String>,
    /// The message's own id.
    pub message_id: Option<String>,
    /// When it was sent, by its publisher's word: seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The message's type.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The broker's user that published it.
    pub user_id: Option<String>,
    /// The program that published it.
    pub app_id: Option<String>,
    /// Out of use, but part of AMQP 0-9-1.
    pub cluster_id: Option<String>,
    /// The exchange that it was published to.
    pub exchange: Option<String>,
    /// The routing key that it was published with.
    pub routing_key: Option<String>,
    /// Whether the broker had delivered it before.
    pub redelivered: Option<bool>,
    /// The headers; what JSON lacks (bytes, decimals, times) in a form that whoever reads the message chose.
    pub headers: BTreeMap<String, Value>,
}

impl From<Properties> for Map<String, Value> {
    fn from(properties: Properties) -> Self {
        let Properties {
            content_type,
            content_encoding,
            delivery_mode,
            priority,
            correlation_id,
            reply_to,
            expiration,
            message_id,
            timestamp,
            type_,
            user_id,
            app_id,
            cluster_id,
            exchange,
            routing_key,
            redelivered,
            headers,
        } = properties;
        let text = |text: Option<String>| text.map(Value::from);
        let fields = [
            ("content_type", text(content_type)),
            ("content_encoding", text(content_encoding)),
            ("delivery_mode", delivery_mode.map(Value::from)),
            ("priority", priority.map(Value::from)),
            ("correlation_id", text(correlation_id)),
            ("reply_to", text(reply_to)),
            ("expiration", text(expiration)),
            ("message_id", text(message_id)),
            ("timestamp", timestamp.map(Value::from)),
            ("type", text(type_)),
            ("user_id", text(user_id)),
            ("app_id", text(app_id)),
            ("cluster_id", text(cluster_id)),
            ("exchange", text(exchange)),
            ("routing_key", text(routing_key)),
            ("redelivered", redelivered.map(Value::from)),
            ("headers", (!headers.is_empty()).then(|| Value::Object(headers.into_iter().collect()))),
        ];
        let mut altered = Vec::new();
        let mut stored: Self = Self::new();
        for (name, value) in fields {
            if let Some(value) = value {
                let (value, changed) = storable(value);
                if changed {
                    altered.push(Value::from(name));
                }
                stored.insert(name.to_owned(), value);
            }
        }
        if !altered.is_empty() {
            stored.insert("altered".to_owned(), Value::Array(altered));
        }
        stored
    }
}

/// `value` as `jsonb` can hold it, and whether it had to be changed for that.
fn storable(value: Value) -> (Value, bool) {
    match value {
        Value::String(text) => {
            let changed = text.contains('\0');
            (Value::String(if changed { text.replace('\0', "\u{FFFD}") } else { text }), changed)
        }
        Value::Array(items) => {
            let mut any_changed = false;
            let items = items.into_iter().map(|item| {
                let (item, changed) = storable(item);
                any_changed |= changed;
                item
            });
            (Value::Array(items.collect()), any_changed)
        }
        Value::Object(entries) => {
            let mut any_changed = false;
            let entries = entries.into_iter().map(|(key, value)| {
                let (value, changed) = storable(value);
                let (key, key_changed) = storable_key(key);
                any_changed |= changed || key_changed;
                (key, value)
            });
            (Value::Object(entries.collect()), any_changed)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => (other, false),
    }
}

fn storable_key(key: String) -> (String, bool) {
    let private = key.strip_prefix('$').filter(|rest| rest.starts_with("serde_json::private::"));
    if private.is_none() && !key.contains('\0') {
        return (key, false);
    }
    let key = private.map_or_else(|| key.clone(), |rest| format!("\u{FFFD}{rest}"));
    (key.replace('\0', "\u{FFFD}"), true)
}
