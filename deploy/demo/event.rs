//! The events of the story, as a platform would publish them: CloudEvents 1.0, in either form.

use std::collections::BTreeMap;

use anyhow::Result;
use channel_sync::contract::{Message, Properties};
use serde_json::{Value, json};

/// How an event is written into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The body is the whole event.
    Structured,
    /// The body is `data`; everything else is in the headers.
    Binary,
}

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It ends in this state, as `event_view` shows it.
    State(&'static str),
    /// It is found among the rejected messages, with this code.
    Rejected(&'static str),
    /// Nothing: it was seen before.
    Duplicate,
}

/// One change in a `setting-changed` event.
pub(crate) enum Edit {
    Set(String, Value),
    Remove(String),
}

/// An entry gets a value.
pub(crate) fn set(key: &str, value: Value) -> Edit {
    Edit::Set(key.to_owned(), value)
}

/// An entry goes.
pub(crate) fn remove(key: &str) -> Edit {
    Edit::Remove(key.to_owned())
}

/// The flags of a partnership.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flags {
    NonExclusive,
    Flexible,
    Strict,
    SyncOff,
    Ended,
}

/// An event before it is published.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// What it says, in a few words.
    pub(crate) says: String,
    form: Form,
    pub(crate) fate: Fate,
    event_type: &'static str,
    /// The organization that the routing key names.
    publisher: String,
    data: Value,
}

const SOURCE: &str = "//platform.example/demo";

impl Event {
    /// The whole category of an organization as it is now.
    pub(crate) fn snapshot(
        id: &str,
        organization: &str,
        category: &str,
        entries: &BTreeMap<String, Value>,
    ) -> Self {
        let says = format!("{category}: snapshot of {}", entries.len());
        let data = json!({ "organization_id": organization, "category": category, "snapshot": entries });
        Self::new(id, "setting-changed", organization, says, data)
    }

    /// Some changes in a category of an organization.
    pub(crate) fn changes(id: &str, organization: &str, category: &str, edits: &[Edit]) -> Self {
        let sets = edits.iter().filter(|edit| matches!(edit, Edit::Set(..))).count();
        let says = match (sets, edits.len() - sets) {
            (sets, 0) => format!("{category}: {sets} set"),
            (0, removals) => format!("{category}: {removals} removed"),
            (sets, removals) => format!("{category}: {sets} set, {removals} removed"),
        };
        let changes: Vec<Value> = edits
            .iter()
            .map(|edit| match edit {
                Edit::Set(key, value) => json!({ "op": "set", "key": key, "value": value }),
                Edit::Remove(key) => json!({ "op": "remove", "key": key }),
            })
            .collect();
        let data = json!({ "organization_id": organization, "category": category, "changes": changes });
        Self::new(id, "setting-changed", organization, says, data)
    }

    /// A partnership with an organization that was on the platform before, or new flags for one.
    pub(crate) fn partnership(id: &str, upstream: &str, downstream: &str, flags: Flags) -> Self {
        let (status, exclusive, data_sync, allow_downstream_edit, word) = match flags {
            Flags::NonExclusive => ("active", false, true, None, "non-exclusive"),
            Flags::Flexible => ("active", true, true, Some(true), "flexible"),
            Flags::Strict => ("active", true, true, Some(false), "strict"),
            Flags::SyncOff => ("active", true, false, None, "data sync off"),
            Flags::Ended => ("ended", true, true, Some(false), "ended"),
        };
        let data = json!({
            "upstream_id": upstream, "downstream_id": downstream, "status": status,
            "exclusive": exclusive, "data_sync": data_sync, "allow_downstream_edit": allow_downstream_edit,
        });
        Self::new(id, "partnership-changed", upstream, format!("{upstream} → {downstream}: {word}"), data)
    }

    fn new(id: &str, event_type: &'static str, publisher: &str, says: String, data: Value) -> Self {
        Self {
            id: id.to_owned(),
            says,
            form: Form::Structured,
            fate: Fate::State("done"),
            event_type,
            publisher: publisher.to_owned(),
            data,
        }
    }

    /// In binary form.
    pub(crate) fn binary(mut self) -> Self {
        self.form = Form::Binary;
        self.says.push_str(" (binary form)");
        self
    }

    /// With another fate than `done`.
    pub(crate) fn ends(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// The partnership's downstream is new on the platform: it was invited.
    pub(crate) fn invited(mut self) -> Self {
        self.data["onboarding"] = json!("new-organization");
        self.says.push_str(", invited");
        self
    }

    /// With a version: a number that grows per organization and category, or per partnership.
    pub(crate) fn version(mut self, version: u64) -> Self {
        self.data["version"] = json!(version);
        self.says.push_str(&format!(", version {version}"));
        self
    }

    /// The routing key that publishers use.
    pub(crate) fn routing_key(&self) -> String {
        format!("{}.{}", self.event_type, self.publisher)
    }

    /// The message that brings it.
    pub(crate) fn message(&self) -> Result<Message> {
        let attributes =
            [("specversion", "1.0"), ("id", &self.id), ("source", SOURCE), ("type", self.event_type)];
        let persistent =
            Properties { delivery_mode: Some(2), message_id: Some(self.id.clone()), ..Properties::default() };
        Ok(match self.form {
            Form::Structured => {
                let mut event = json!({ "data": self.data });
                for (name, value) in attributes {
                    event[name] = json!(value);
                }
                let content_type = Some("application/cloudevents+json".to_owned());
                Message {
                    body: serde_json::to_vec(&event)?,
                    properties: Properties { content_type, ..persistent },
                }
            }
            Form::Binary => {
                let header =
                    |(name, value): (&str, &str)| (format!("cloudEvents:{name}"), Value::from(value));
                let headers = attributes.map(header).into();
                let content_type = Some("application/json".to_owned());
                Message {
                    body: serde_json::to_vec(&self.data)?,
                    properties: Properties { content_type, headers, ..persistent },
                }
            }
        })
    }
}
