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
    everything: Last,
    categories: HashMap<CategoryId, EventNo>,
    keys: HashMap<CategoryId, HashMap<Key, Last>>,
}

/// The last event that touched something, and the last of those that may be why it is not there: an own event that named
/// it, or what removed entries. What only added or changed some cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Last {
    touch: Option<EventNo>,
    removal: Option<EventNo>,
}

impl Last {
    fn note(&mut self, event: EventNo, may_remove: bool) {
        self.touch = self.touch.max(Some(event));
        if may_remove {
            self.removal = self.removal.max(Some(event));
        }
    }
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

    /// A reconcile of this event may have touched every entry of every category; whether it may have removed any.
    pub fn touch_everything(&mut self, event: EventNo, may_remove: bool) {
        self.everything.note(event, may_remove);
    }

    /// A snapshot of the organization's own named every entry of a category.
    pub fn touch_category(&mut self, category: CategoryId, event: EventNo) {
        let last = self.categories.entry(category).or_insert(event);
        *last = event.max(*last);
    }

    /// An event touched an entry; whether it may have removed it. An own event may.
    pub fn touch(&mut self, category: CategoryId, key: Key, event: EventNo, may_remove: bool) {
        self.keys.entry(category).or_default().entry(key).or_default().note(event, may_remove);
    }

    /// The last event known that named an entry. A reconcile names none: what it wrote tells so itself.
    pub fn last_named(&self, category: CategoryId, key: &str) -> Option<EventNo> {
        let of_key = || self.keys.get(&category)?.get(key)?.touch;
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
        touched.touch_everything(EventNo(i64::MAX), true);
        Self { since: EventNo(0), touched: Arc::new(touched) }
    }

    /// Whether an entry is among them; of one that is not there, whether something newer may be why.
    pub fn contains(&self, category: CategoryId, key: &str, is_there: bool) -> bool {
        let last = |last: Last| if is_there { last.touch } else { last.removal };
        let of_key = || last(*self.touched.keys.get(&category)?.get(key)?);
        self.is_whole(category) || self.is_later(last(self.touched.everything)) || self.is_later(of_key())
    }

    /// Whether any entry of the category is among them.
    pub fn touches(&self, category: CategoryId) -> bool {
        let keys = self.touched.keys.get(&category);
        self.is_whole(category)
            || self.is_later(self.touched.everything.touch)
            || keys.is_some_and(|keys| keys.values().any(|last| self.is_later(last.touch)))
    }

    fn is_whole(&self, category: CategoryId) -> bool {
        self.is_later(self.touched.dropped_before)
            || self.is_later(self.touched.categories.get(&category).copied())
    }

    fn is_later(&self, event: Option<EventNo>) -> bool {
        event.is_some_and(|event| event > self.since)
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
