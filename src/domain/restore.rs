//! What becomes of an entry that a match displaced, where somebody wants it back.

use super::setting::{Entry, ValueId};
use super::{EventNo, OrganizationNo};

/// An entry that was displaced, and by which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Displacement {
    /// What its value was.
    pub value: ValueId,
    /// The event that had written it.
    pub written_by: EventNo,
    /// The root event of the job that displaced it.
    pub displaced_by: EventNo,
}

/// What is known of the entry now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// What is there under its key.
    pub now: Option<Entry>,
    /// The last event known that named it since it was displaced.
    pub last_named_by: Option<EventNo>,
    /// What events before this one named is not known any more, since results were dropped.
    pub dropped_before: Option<EventNo>,
    /// The upstream that locks it.
    pub locked_by: Option<OrganizationNo>,
    /// Whether an event of the organization's own waits that may name it.
    pub own_event_waits: bool,
    /// Whether the catalogue has such an entry.
    pub is_in_catalogue: bool,
}

/// What is done about a displaced entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoring {
    /// It is brought back, as the organization's own.
    Restored,
    /// Its value is there already.
    InPlace,
    /// The catalogue has no such entry any more.
    NotInCatalogue,
    /// It is left, since it is locked.
    Locked {
        /// The upstream of the strict partnership.
        by: OrganizationNo,
    },
    /// It is left, since a later event has said otherwise.
    ChangedSince {
        /// The event.
        by: EventNo,
    },
    /// It is left, since results were dropped that would tell what a later event has said.
    ResultsDropped,
    /// It is left, since an event of the organization's own waits that is later.
    OwnEventWaits,
}

/// What is done about a displaced entry: it comes back unless it is locked, or anything later than what displaced it has
/// said something else, may have said so and nobody knows any more, or waits to.
pub fn restoring(displacement: &Displacement, situation: &Situation) -> Restoring {
    let Situation { now, last_named_by, dropped_before, locked_by, own_event_waits, is_in_catalogue } =
        *situation;
    if now.is_some_and(|now| now.value == displacement.value) {
        return Restoring::InPlace;
    }
    if !is_in_catalogue {
        return Restoring::NotInCatalogue;
    }
    if let Some(by) = locked_by {
        return Restoring::Locked { by };
    }
    // What wrote the displaced entry may have a larger number than what displaced it, which came late.
    let since = displacement.displaced_by.max(displacement.written_by);
    let last = now.map(|now| now.written_by).max(last_named_by);
    if let Some(by) = last.filter(|last| *last > since) {
        return Restoring::ChangedSince { by };
    }
    // What the job wrote in its place and is still there shows by itself that nothing came after it.
    let is_as_the_job_left_it = now.is_some_and(|now| now.written_by == displacement.displaced_by);
    if dropped_before.is_some_and(|before| before > since) && !is_as_the_job_left_it {
        return Restoring::ResultsDropped;
    }
    if own_event_waits { Restoring::OwnEventWaits } else { Restoring::Restored }
}
