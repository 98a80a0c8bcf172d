//! What newer has come about since an old job: a replay of it leaves that alone.

use std::collections::{HashMap, HashSet};

use super::EventNo;
use super::catalogue::CategoryId;
use super::setting::Key;

/// What something newer than an old job's root event has touched, in the job's organization: entries written
/// or removed, or found as they should be, by its own later events, by later changes of an upstream, or by a
/// later reconcile.
///
/// Whoever loads it names all of that; what an entry itself tells, by the event that last wrote it, is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overtaken {
    everything: bool,
    categories: HashSet<CategoryId>,
    keys: HashMap<CategoryId, HashSet<Key>>,
}

impl Overtaken {
    /// Every entry of every category.
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Adds every entry of every category.
    pub fn add_everything(&mut self) {
        self.everything = true;
    }

    /// Adds every entry of a category.
    pub fn add_category(&mut self, category: CategoryId) {
        self.categories.insert(category);
    }

    /// Adds an entry.
    pub fn add(&mut self, category: CategoryId, key: Key) {
        self.keys.entry(category).or_default().insert(key);
    }

    /// Whether the entry is among them.
    pub fn contains(&self, category: CategoryId, key: &str) -> bool {
        self.everything
            || self.categories.contains(&category)
            || self.keys.get(&category).is_some_and(|keys| keys.contains(key))
    }

    /// Whether any entry of the category is among them.
    pub fn touches(&self, category: CategoryId) -> bool {
        self.everything || self.categories.contains(&category) || self.keys.contains_key(&category)
    }
}

/// What a job is done for: its root event, and whether it is done once more.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The root event.
    pub event: EventNo,
    /// What newer has come about since, where the job is a replay.
    pub replay: Option<&'a Overtaken>,
}

impl From<EventNo> for Occasion<'_> {
    fn from(event: EventNo) -> Self {
        Self { event, replay: None }
    }
}
