//! What events and changes say, as it is stored: compact JSON that refers to values by their id.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::partnership::{Onboarding, Terms};
use crate::domain::setting::{Edit, Effect, Key, ValueId};

/// The payload of a setting-changed event: either `changes` or `snapshot` is there.
#[derive(Serialize, Deserialize)]
pub(super) struct SettingPayload {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<(Key, Option<Id>)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<Vec<(Key, Id)>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    allow_empty: bool,
}

/// The payload of a partnership-changed event.
#[derive(Serialize, Deserialize)]
pub(super) struct PartnershipPayload {
    pub(super) terms: Terms,
    pub(super) onboarding: Onboarding,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<i64>,
}

/// A value's id, as 32 hexadecimal digits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
struct Id(ValueId);

impl From<Id> for String {
    fn from(id: Id) -> Self {
        format!("{:032x}", id.0.0)
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(ValueId(u128::from_str_radix(&text, 16)?)))
    }
}

impl SettingPayload {
    pub(super) fn new(version: Option<i64>, edit: &Edit) -> Self {
        let none = Self { version, changes: None, snapshot: None, allow_empty: false };
        match edit {
            Edit::Changes(changes) => {
                let changes = changes.iter().map(|(key, value)| (Key::clone(key), value.map(Id)));
                Self { changes: Some(changes.collect()), ..none }
            }
            Edit::Snapshot { entries, allow_empty } => {
                let entries = entries.iter().map(|(key, value)| (Key::clone(key), Id(*value)));
                Self { snapshot: Some(entries.collect()), allow_empty: *allow_empty, ..none }
            }
        }
    }

    pub(super) fn into_parts(self) -> (Option<i64>, Edit) {
        let edit = match self.snapshot {
            Some(entries) => Edit::Snapshot {
                entries: entries.into_iter().map(|(key, Id(value))| (key, value)).collect(),
                allow_empty: self.allow_empty,
            },
            None => {
                let changes = self.changes.unwrap_or_default().into_iter();
                Edit::Changes(changes.map(|(key, value)| (key, value.map(|Id(value)| value))).collect())
            }
        };
        (self.version, edit)
    }
}

/// An entry of a change.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EffectPayload {
    Added(Key, Id),
    Changed(Key, Id),
    Removed(Key),
}

pub(super) fn effects_text(entries: &[(Key, Effect)]) -> Result<String, serde_json::Error> {
    let entries: Vec<EffectPayload> = entries
        .iter()
        .map(|(key, effect)| {
            let key = Key::clone(key);
            match effect {
                Effect::Added(value) => EffectPayload::Added(key, Id(*value)),
                Effect::Changed(value) => EffectPayload::Changed(key, Id(*value)),
                Effect::Removed => EffectPayload::Removed(key),
            }
        })
        .collect();
    serde_json::to_string(&entries)
}

pub(super) fn effects(text: &str) -> Result<Arc<[(Key, Effect)]>, serde_json::Error> {
    let entries: Vec<EffectPayload> = serde_json::from_str(text)?;
    Ok(entries
        .into_iter()
        .map(|entry| match entry {
            EffectPayload::Added(key, Id(value)) => (key, Effect::Added(value)),
            EffectPayload::Changed(key, Id(value)) => (key, Effect::Changed(value)),
            EffectPayload::Removed(key) => (key, Effect::Removed),
        })
        .collect())
}
