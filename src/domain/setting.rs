//! Settings: values by content, entries with their origin, and what changed of them.

use std::sync::Arc;

use super::catalogue::CategoryId;
use super::{CauseNo, ChangeNo, EventNo, OrganizationNo};

/// The key of an entry within its category.
pub type Key = Arc<str>;

/// Where an entry stands among all of its organization: by category, then by key, both in the order of their
/// bytes. The database keeps settings in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The name of its category: other than an id, it means the same in every process.
    pub category: Arc<str>,
    /// Its key.
    pub key: Key,
}

/// The address of a value: the first 128 bits of the SHA-256 of its canonical JSON text.
///
/// Values are opaque here. Two are the same value exactly where their ids are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u128);

/// One keyed value of a category in one organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is set to.
    pub value: ValueId,
    /// The upstream that it was synced from; none where it is the organization's own.
    pub origin: Option<OrganizationNo>,
    /// The root event that last wrote it.
    pub written_by: EventNo,
    /// The root event that brought it into being in this organization: what makes it "new".
    pub added_by: EventNo,
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It was not there before.
    Added(ValueId),
    /// It was there with another value.
    Changed(ValueId),
    /// It is no longer there.
    Removed,
}

impl Effect {
    /// The value that the entry has now.
    pub fn value(self) -> Option<ValueId> {
        match self {
            Self::Added(value) | Self::Changed(value) => Some(value),
            Self::Removed => None,
        }
    }
}

/// What an event effectively changed in one category of one organization: stored once, whatever the number
/// of downstreams that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub no: ChangeNo,
    /// The root event: the one that came in and led to it, through however many tiers.
    pub event: EventNo,
    /// What the job that made it was done for: the event itself, or the change one tier up.
    pub cause: CauseNo,
    /// Whose settings changed.
    pub organization: OrganizationNo,
    /// The category that changed.
    pub category: CategoryId,
    /// What changed, in the order of the keys' bytes.
    pub entries: Arc<[(Key, Effect)]>,
}

impl Change {
    /// Whether an entry is new to the organization: what a merge takes from a change.
    pub fn adds(&self) -> bool {
        self.entries.iter().any(|(_, effect)| matches!(effect, Effect::Added(_)))
    }
}

/// What an event says of one category of its organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Set these entries, or remove those without a value. No key stands twice.
    Changes(Vec<(Key, Option<ValueId>)>),
    /// The whole category as it is now: set all of these, remove the others. No key stands twice.
    Snapshot {
        /// Everything that the category holds.
        entries: Vec<(Key, ValueId)>,
        /// Whether `entries` may be empty where the category is not.
        allow_empty: bool,
    },
}

impl Edit {
    /// How many entries it names.
    pub fn len(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.len(),
            Self::Snapshot { entries, .. } => entries.len(),
        }
    }

    /// Whether it names no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
