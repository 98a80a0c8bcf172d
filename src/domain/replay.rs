//! What newer has come about since an old job: a replay of it, and a restore of what it displaced, leave that alone.

use std::collections::HashMap;
use std::sync::Arc;

use super::EventNo;
use super::catalogue::CategoryId;
use super::setting::Key;

/// Which event was the last to touch what, in one organization: entries written or removed, or found as they should
/// be, by its own events, by changes of an upstream, or by a reconcile.
///
/// Whoever loads it names all that is newer than the jobs at hand, as far as it is known; what an entry itself tells,
/// by the event that last wrote it, is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    dropped_before: Option<EventNo>,
    everything: Option<EventNo>,
    categories: HashMap<CategoryId, EventNo>,
    keys: HashMap<CategoryId, HashMap<Key, EventNo>>,
}

impl Touched {
    /// What events before this one touched is not known any more, since results were dropped.
    pub fn drop_before(&mut self, event: EventNo) {
        self.dropped_before = self.dropped_before.max(Some(event));
    }

    /// The event before which it is not known any more what was touched; none where everything is known.
    pub fn dropped_before(&self) -> Option<EventNo> {
        self.dropped_before
    }

    /// A reconcile of this event may have touched every entry of every category.
    pub fn touch_everything(&mut self, event: EventNo) {
        self.everything = self.everything.max(Some(event));
    }

    /// An event touched every entry of a category.
    pub fn touch_category(&mut self, category: CategoryId, event: EventNo) {
        let last = self.categories.entry(category).or_insert(event);
        *last = event.max(*last);
    }

    /// An event touched an entry.
    pub fn touch(&mut self, category: CategoryId, key: Key, event: EventNo) {
        let last = self.keys.entry(category).or_default().entry(key).or_insert(event);
        *last = event.max(*last);
    }

    /// The last event known that named an entry. A reconcile names none: what it wrote tells so itself.
    pub fn last_named(&self, category: CategoryId, key: &str) -> Option<EventNo> {
        let of_key = || self.keys.get(&category)?.get(key).copied();
        self.categories.get(&category).copied().max(of_key())
    }
}

/// What something newer than an old job's root event has touched, in the job's organization; where that is not known
/// any more, everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overtaken {
    since: EventNo,
    touched: Arc<Touched>,
}

impl Overtaken {
    /// What was touched by events later than this one.
    pub fn since(event: EventNo, touched: Arc<Touched>) -> Self {
        Self { since: event, touched }
    }

    /// Every entry of every category.
    pub fn everything() -> Self {
        let mut touched = Touched::default();
        touched.touch_everything(EventNo(i64::MAX));
        Self { since: EventNo(0), touched: Arc::new(touched) }
    }

    /// Whether the entry is among them.
    pub fn contains(&self, category: CategoryId, key: &str) -> bool {
        let of_key = || self.touched.keys.get(&category)?.get(key).copied();
        self.is_whole(category) || of_key().is_some_and(|event| event > self.since)
    }

    /// Whether any entry of the category is among them.
    pub fn touches(&self, category: CategoryId) -> bool {
        let keys = self.touched.keys.get(&category);
        self.is_whole(category) || keys.is_some_and(|keys| keys.values().any(|event| *event > self.since))
    }

    fn is_whole(&self, category: CategoryId) -> bool {
        let later = |event: EventNo| event > self.since;
        self.touched.everything.is_some_and(later)
            || self.touched.dropped_before.is_some_and(later)
            || self.touched.categories.get(&category).copied().is_some_and(later)
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
