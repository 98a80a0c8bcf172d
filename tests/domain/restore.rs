//! What becomes of a displaced entry that somebody wants back.

use channel_sync::domain::restore::Restoring::{self, *};
use channel_sync::domain::restore::{Displacement, Situation, restoring};
use channel_sync::domain::setting::{Entry, ValueId};
use channel_sync::domain::{EventNo, OrganizationNo};

/// An entry of value 1, written by event 10, displaced by a job of event 20.
const DISPLACED: Displacement =
    Displacement { value: ValueId(1), written_by: EventNo(10), displaced_by: EventNo(20) };

const CLEAR: Situation = Situation {
    now: None,
    last_named_by: None,
    dropped_before: None,
    locked_by: None,
    own_event_waits: false,
    is_in_catalogue: true,
};

fn now(value: u128, written_by: i64) -> Option<Entry> {
    let written_by = EventNo(written_by);
    Some(Entry { value: ValueId(value), origin: None, written_by, added_by: EventNo(1) })
}

#[track_caller]
fn check(situation: Situation, expected: Restoring) {
    assert_eq!(restoring(&DISPLACED, &situation), expected, "{situation:?}");
}

#[test]
fn what_nothing_stands_in_the_way_of_comes_back() {
    check(CLEAR, Restored);
    check(Situation { now: now(2, 20), ..CLEAR }, Restored);
    // What has come late, of an older event.
    check(Situation { now: now(2, 15), ..CLEAR }, Restored);
    check(Situation { last_named_by: Some(EventNo(20)), ..CLEAR }, Restored);
}

#[test]
fn what_is_there_already_is_in_place_whatever_else_is_so() {
    let everything = Situation {
        now: now(1, 30),
        last_named_by: Some(EventNo(30)),
        dropped_before: Some(EventNo(30)),
        locked_by: Some(OrganizationNo(7)),
        own_event_waits: true,
        is_in_catalogue: false,
    };
    check(everything, InPlace);
}

#[test]
fn what_is_locked_or_not_in_the_catalogue_is_left() {
    check(Situation { locked_by: Some(OrganizationNo(7)), ..CLEAR }, Locked { by: OrganizationNo(7) });
    let unknown = Situation { locked_by: Some(OrganizationNo(7)), is_in_catalogue: false, ..CLEAR };
    check(unknown, NotInCatalogue);
}

#[test]
fn what_a_later_event_has_written_or_named_is_left() {
    check(Situation { now: now(2, 21), ..CLEAR }, ChangedSince { by: EventNo(21) });
    check(Situation { last_named_by: Some(EventNo(21)), ..CLEAR }, ChangedSince { by: EventNo(21) });
    let both = Situation { now: now(2, 21), last_named_by: Some(EventNo(22)), ..CLEAR };
    check(both, ChangedSince { by: EventNo(22) });
    check(Situation { own_event_waits: true, ..CLEAR }, OwnEventWaits);
}

#[test]
fn the_event_that_wrote_what_was_displaced_is_not_later() {
    // Displaced by a job of an older event, which came late.
    let late = Displacement { written_by: EventNo(25), ..DISPLACED };
    let named = Situation { last_named_by: Some(EventNo(25)), now: now(2, 20), ..CLEAR };
    assert_eq!(restoring(&late, &named), Restored);
    let later = Situation { last_named_by: Some(EventNo(26)), ..named };
    assert_eq!(restoring(&late, &later), ChangedSince { by: EventNo(26) });
}

#[test]
fn what_a_later_event_may_have_named_whose_results_were_dropped_is_left() {
    let dropped = Situation { dropped_before: Some(EventNo(30)), ..CLEAR };
    check(dropped, ResultsDropped);
    check(Situation { own_event_waits: true, ..dropped }, ResultsDropped);
    // What is there may have been brought late by an older event, after something newer had removed it.
    check(Situation { now: now(2, 15), ..dropped }, ResultsDropped);
    // What the job itself wrote in its place is there still.
    check(Situation { now: now(2, 20), ..dropped }, Restored);
    // What is known is told, and what was dropped before the job is no matter.
    check(Situation { last_named_by: Some(EventNo(35)), ..dropped }, ChangedSince { by: EventNo(35) });
    check(Situation { dropped_before: Some(EventNo(20)), ..CLEAR }, Restored);
    check(Situation { locked_by: Some(OrganizationNo(7)), ..dropped }, Locked { by: OrganizationNo(7) });
}
