//! The wire format, from outside: a message in, an event or a rejection out.
//!
//! Every case is a message and one line: what the event says, or `code: reason`. Messages that are worth
//! reading for themselves are files under `messages/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod any_bytes;
mod attributes;
mod fixtures;
mod identity;
mod limits;
mod outgoing;
mod partnership_changed;
mod properties;
mod schemas;
mod setting_changed;
mod values;

use std::fmt::Write as _;
use std::sync::LazyLock;

use channel_sync::contract::{Envelope, Event, Limits, Message, Properties, Rejection, decode};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::domain::partnership::{Onboarding, Status};
use channel_sync::domain::setting::{Edit, ValueId};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(BUILT_IN).unwrap());

/// What is expected of ids and keys.
const IDENTIFIER: &str = "1 to 200 bytes of text without control characters or white space at either end";

/// What is expected of an event's type.
const TYPES: &str = "setting-changed or partnership-changed, with or without a prefix such as com.example.";

const STRUCTURED: &str = "application/cloudevents+json";

/// Decodes with the built-in catalogue and the default limits.
fn decoded(message: &Message) -> Result<Envelope, Rejection> {
    decode(message, &CATALOGUE, &Limits::default())
}

/// Decodes a message and compares the outcome, in one line, with what is expected.
#[track_caller]
fn check(message: &Message, expected: &str) {
    assert_eq!(one_line(&decoded(message)), expected);
}

fn one_line(outcome: &Result<Envelope, Rejection>) -> String {
    match outcome {
        Ok(envelope) => event_line(envelope),
        Err(rejection) => {
            assert!(!rejection.reason.contains(char::is_control), "{:?}", rejection.reason);
            rejection.to_string()
        }
    }
}

fn event_line(envelope: &Envelope) -> String {
    let value = |id: &ValueId| envelope.values[id].as_str();
    let mut line = String::new();
    let version = match &envelope.event {
        Event::SettingChanged(event) => {
            write!(line, "setting-changed {} {}", event.organization_id, CATALOGUE.name(event.category))
                .unwrap();
            match &event.edit {
                Edit::Changes(changes) => {
                    for (key, change) in changes {
                        match change {
                            Some(id) => write!(line, ", set {key} {}", value(id)).unwrap(),
                            None => write!(line, ", remove {key}").unwrap(),
                        }
                    }
                }
                Edit::Snapshot { entries, allow_empty } => {
                    line.push_str(if *allow_empty { ", snapshot, may be empty" } else { ", snapshot" });
                    for (key, id) in entries {
                        write!(line, ", {key} {}", value(id)).unwrap();
                    }
                }
            }
            event.version
        }
        Event::PartnershipChanged(event) => {
            let terms = &event.terms;
            let status = match terms.status {
                Status::Active => "active",
                Status::Ended => "ended",
            };
            write!(line, "partnership-changed {} → {}", event.upstream_id, event.downstream_id).unwrap();
            write!(line, ", {status}, exclusive {}, sync {}", terms.exclusive, terms.data_sync).unwrap();
            if let Some(allowed) = terms.allow_downstream_edit {
                write!(line, ", edit {allowed}").unwrap();
            }
            if event.onboarding == Onboarding::NewOrganization {
                line.push_str(", new organization");
            }
            event.version
        }
    };
    if let Some(version) = version {
        write!(line, ", version {version}").unwrap();
    }
    line
}

/// A message of this body and content type, without headers.
fn message(content_type: &str, body: impl Into<Vec<u8>>) -> Message {
    let properties = Properties { content_type: Some(content_type.to_owned()), ..Properties::default() };
    Message { body: body.into(), properties }
}

/// An event in structured form with this `data`.
fn event(event_type: &str, data: &str) -> Message {
    let body = format!(
        r#"{{"specversion":"1.0","id":"event-1","source":"/platform","type":"{event_type}","data":{data}}}"#
    );
    message(STRUCTURED, body)
}

/// The same event in binary form.
fn binary_event(event_type: &str, data: &str) -> Message {
    let mut message = message("application/json", data);
    let attributes =
        [("specversion", "1.0"), ("id", "event-1"), ("source", "/platform"), ("type", event_type)];
    for (name, value) in attributes {
        message.properties.headers.insert(format!("cloudEvents:{name}"), value.into());
    }
    message
}

/// A change of helios' equipment: `fields` are those of `data` besides its organization and category.
fn equipment(fields: &str) -> Message {
    event("setting-changed", &format!(r#"{{"organization_id":"helios","category":"equipment",{fields}}}"#))
}

/// Sets an entry of helios' equipment to this value.
fn set(value: &str) -> Message {
    equipment(&format!(r#""changes":[{{"op":"set","key":"k","value":{value}}}]"#))
}
