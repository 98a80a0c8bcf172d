//! Bytes and properties in, an event or a rejection out: the only place that knows the wire format.
//!
//! Knows nobody but [`domain`](crate::domain), does no I/O, and never panics, whatever the bytes. What always
//! holds: the two CloudEvents forms of one event decode to the same [`Envelope`]; everything that an
//! [`Envelope`] or a [`Rejection`] carries can be stored by Postgres as it is (no U+0000, no number that
//! `jsonb` would not hold); a reason names the field that it is about and what was expected of it.
//!
//! | module | holds |
//! |---|---|
//! | `json` | the reader: text into a tree that keeps duplicates and spellings |
//! | `canonical` | the one text that stands for all spellings of a value |
//! | `cloud_events` | the two forms of an event, and its attributes |
//! | `fields` | fields of an object, each as what it must be |
//! | `setting_changed`, `partnership_changed` | the `data` of the two events |
//! | `value` | the values that an event sets |
//! | `outgoing` | events into messages, for publishers |

mod canonical;
mod cloud_events;
mod fields;
mod json;
mod outgoing;
mod partnership_changed;
mod properties;
mod rejection;
mod setting_changed;
mod trace_parent;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::cloud_events::{CloudEvent, EventType, Identity};
use self::fields::Unknown;
use self::json::{Entry, Json, ReadError};
use self::value::Values;
use crate::domain::OrganizationNo;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::mailbox::Work;
use crate::domain::partnership::{Onboarding, Terms};
use crate::domain::setting::{Edit, ValueId};

pub use self::outgoing::{RawEvent, ReadEventsError, read_events, routing_key, structured, to_message};
pub use self::properties::{HEADERS_BYTES_MAX, LEFT_OUT_HEADERS, Properties};
pub use self::rejection::{REASON_CHARACTERS_MAX, Rejection, RejectionCode, UnknownRejectionCode, short};
pub use self::trace_parent::TraceParent;

/// A message as it came from the broker, or goes to it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The body, whatever it holds.
    pub body: Vec<u8>,
    /// Properties, headers and how it was delivered.
    pub properties: Properties,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        f.debug_struct("Message").field("body", &body).field("properties", &self.properties).finish()
    }
}

/// How large an event may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes in a body.
    pub body_bytes_max: usize,
    /// Most brackets open at once, over the whole body. No value takes it above 512.
    pub depth_max: usize,
    /// Most changes, or entries of a snapshot, in one event.
    pub entries_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes_max: 1024 * 1024, depth_max: 64, entries_max: 50_000 }
    }
}

/// An event with what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where the event comes from; identifies it together with `id`.
    pub source: String,
    /// Its id at its source.
    pub id: String,
    /// The publisher's trace, where it sent one that is well formed.
    pub traceparent: Option<TraceParent>,
    /// SHA-256 of the event's type, without prefix, and of its `data`: the same for the same content, in
    /// either form, whatever the order of fields, the white space and the escapes.
    pub content: [u8; 32],
    /// What it says.
    pub event: Event,
    /// The canonical JSON text of every value that it sets, to be stored as `jsonb`.
    pub values: BTreeMap<ValueId, String>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An organization's settings were changed.
    SettingChanged(SettingChanged),
    /// A partnership began, changed or ended.
    PartnershipChanged(PartnershipChanged),
}

impl Event {
    /// What it asks for, where organizations have these numbers.
    pub fn work(&self, number: impl Fn(&str) -> OrganizationNo) -> Work {
        match self {
            Self::SettingChanged(event) => Work::OwnChange {
                organization: number(&event.organization_id),
                category: event.category,
                version: event.version,
                edit: event.edit.clone(),
            },
            Self::PartnershipChanged(event) => Work::PartnershipChange {
                upstream: number(&event.upstream_id),
                downstream: number(&event.downstream_id),
                terms: event.terms,
                onboarding: event.onboarding,
                version: event.version,
            },
        }
    }

    /// The organizations that it names.
    pub fn organizations(&self) -> impl Iterator<Item = &Arc<str>> {
        let (first, second) = match self {
            Self::SettingChanged(event) => (&event.organization_id, None),
            Self::PartnershipChanged(event) => (&event.upstream_id, Some(&event.downstream_id)),
        };
        std::iter::once(first).chain(second)
    }
}

/// The `data` of a `setting-changed` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChanged {
    /// Whose settings.
    pub organization_id: Arc<str>,
    /// Which category of them.
    pub category: CategoryId,
    /// Grows per organization and category, from 0, where the publisher counts.
    pub version: Option<i64>,
    /// What is to be set and removed. Without changes where the category's reach is never: such an event is
    /// not looked into further.
    pub edit: Edit,
}

/// The `data` of a `partnership-changed` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnershipChanged {
    /// The channel manager.
    pub upstream_id: Arc<str>,
    /// The channel partner; another organization than the upstream.
    pub downstream_id: Arc<str>,
    /// The flags. `allow_downstream_edit` is there wherever it is applicable.
    pub terms: Terms,
    /// How the downstream came to the partnership.
    pub onboarding: Onboarding,
    /// Grows per partnership, from 0, where the publisher counts.
    pub version: Option<i64>,
}

/// Reads a message as an event.
///
/// Writes one debug line where `data` has fields that are not known, and does nothing else besides.
///
/// # Errors
/// A [`Rejection`] for the first thing found wrong. Size comes first, then content type and encoding, then
/// JSON, then the attributes, then `data`.
pub fn decode(message: &Message, catalogue: &Catalogue, limits: &Limits) -> Result<Envelope, Rejection> {
    let mut identity = Identity::default();
    let envelope = decode_noting(message, catalogue, limits, &mut identity);
    envelope.map_err(|rejection| Rejection { source: identity.source, id: identity.id, ..rejection })
}

fn decode_noting(
    message: &Message,
    catalogue: &Catalogue,
    limits: &Limits,
    identity: &mut Identity,
) -> Result<Envelope, Rejection> {
    let Message { body, properties } = message;
    let attributes = cloud_events::header_attributes(&properties.headers);
    identity.note(&attributes);
    if body.len() > limits.body_bytes_max {
        let reason = format!("the body has {} bytes; expected at most {}", body.len(), limits.body_bytes_max);
        return Err(Rejection::new(RejectionCode::TooLarge, reason));
    }
    if let Some(bytes) = properties.headers.get(LEFT_OUT_HEADERS).and_then(serde_json::Value::as_u64) {
        let reason = format!("the headers have {bytes} bytes; expected at most {HEADERS_BYTES_MAX}");
        return Err(Rejection::new(RejectionCode::TooLarge, reason));
    }
    let announced = cloud_events::announced_form(properties)?;
    let text = std::str::from_utf8(body).map_err(|error| {
        let reason =
            format!("the body is not UTF-8 from byte {} on; expected JSON in UTF-8", error.valid_up_to());
        Rejection::new(RejectionCode::MalformedJson, reason)
    })?;
    let body = read_json(text, limits.depth_max)?;
    let form = match announced {
        Some(form) => form,
        None => cloud_events::apparent_form(&attributes, &body)?,
    };
    if let (cloud_events::Form::Structured, Json::Object(attributes)) = (form, &body) {
        identity.note(attributes);
    }
    let event = cloud_events::read(form, &attributes, &body, properties)?;
    read_event(event, catalogue, limits)
}

fn read_json(text: &str, depth_max: usize) -> Result<Json<'_>, Rejection> {
    let depth_max = depth_max.min(json::DEPTH_CEILING);
    json::read(text, depth_max).map_err(|error| match error {
        ReadError::Malformed { at, expected } => {
            let (line, column) = json::line_and_column(text, at);
            let reason = format!("the body is not JSON at line {line}, column {column}; expected {expected}");
            Rejection::new(RejectionCode::MalformedJson, reason)
        }
        ReadError::TooDeep { at } => {
            let (line, column) = json::line_and_column(text, at);
            let reason = format!(
                "the body has too many open brackets at line {line}, column {column}; expected at most {depth_max}"
            );
            Rejection::new(RejectionCode::TooDeep, reason)
        }
    })
}

fn read_event(
    event: CloudEvent<'_, '_>,
    catalogue: &Catalogue,
    limits: &Limits,
) -> Result<Envelope, Rejection> {
    let CloudEvent { source, id, event_type, traceparent, data } = event;
    let mut values = Values::default();
    let mut unknown = Unknown::new();
    let event = match event_type {
        EventType::SettingChanged => {
            let setting_changed = setting_changed::read(data, catalogue, limits, &mut values, &mut unknown)?;
            Event::SettingChanged(setting_changed)
        }
        EventType::PartnershipChanged => {
            Event::PartnershipChanged(partnership_changed::read(data, &mut unknown)?)
        }
    };
    unknown.log(source, id);
    Ok(Envelope {
        source: source.to_owned(),
        id: id.to_owned(),
        traceparent,
        content: content(event_type, data),
        event,
        values: values.into_map(),
    })
}

fn content(event_type: EventType, data: &[Entry<'_>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(event_type.name().as_bytes());
    hash.update(b"\n");
    hash.update(canonical::object_text(data).as_bytes());
    hash.finalize().into()
}
