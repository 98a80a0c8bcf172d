//! The rules table, exhaustively: every occurrence, for every kind and reach of category, in every mode.

use std::sync::Arc;

use channel_sync::domain::catalogue::Category;
use channel_sync::domain::catalogue::Kind::{self, Collection, Default};
use channel_sync::domain::catalogue::Reach::{self, Never, OnboardingOnly, Ongoing};
use channel_sync::domain::partnership::Beginning::{
    BecameStrict, ExistingOrganization, NewOrganization, Repair,
};
use channel_sync::domain::partnership::Mode::{Flexible, NonExclusive, Off, Strict};
use channel_sync::domain::policy::Occurrence::{self, Began, DownstreamEdits, UpstreamChanged};
use channel_sync::domain::policy::Rule::{self, Match, Merge, Nothing, Refuse};
use channel_sync::domain::policy::{locks, rule};

const MODES: [channel_sync::domain::partnership::Mode; 4] = [Off, NonExclusive, Flexible, Strict];

/// One row for each occurrence, reach and kind; one column for each of [`MODES`].
#[rustfmt::skip]
const TABLE: [(Occurrence, Reach, Kind, [Rule; 4]); 36] = [
    //                                                         off      non-exclusive flexible strict
    (UpstreamChanged,             Ongoing,        Collection, [Nothing, Merge,        Merge,   Match]),
    (UpstreamChanged,             Ongoing,        Default,    [Nothing, Nothing,      Nothing, Match]),
    (Began(NewOrganization),      Ongoing,        Collection, [Nothing, Match,        Match,   Match]),
    (Began(NewOrganization),      Ongoing,        Default,    [Nothing, Match,        Match,   Match]),
    (Began(ExistingOrganization), Ongoing,        Collection, [Nothing, Merge,        Merge,   Match]),
    (Began(ExistingOrganization), Ongoing,        Default,    [Nothing, Nothing,      Nothing, Match]),
    // A partnership that became strict is strict when its job runs, unless an operator replays the job later.
    (Began(BecameStrict),         Ongoing,        Collection, [Nothing, Merge,        Merge,   Match]),
    (Began(BecameStrict),         Ongoing,        Default,    [Nothing, Nothing,      Nothing, Match]),
    (Began(Repair),               Ongoing,        Collection, [Nothing, Nothing,      Nothing, Match]),
    (Began(Repair),               Ongoing,        Default,    [Nothing, Nothing,      Nothing, Match]),
    (DownstreamEdits,             Ongoing,        Collection, [Nothing, Nothing,      Nothing, Refuse]),
    (DownstreamEdits,             Ongoing,        Default,    [Nothing, Nothing,      Nothing, Refuse]),
    // Synced once, at the invitation.
    (UpstreamChanged,             OnboardingOnly, Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (UpstreamChanged,             OnboardingOnly, Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(NewOrganization),      OnboardingOnly, Collection, [Nothing, Match,        Match,   Match]),
    (Began(NewOrganization),      OnboardingOnly, Default,    [Nothing, Match,        Match,   Match]),
    (Began(ExistingOrganization), OnboardingOnly, Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(ExistingOrganization), OnboardingOnly, Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(BecameStrict),         OnboardingOnly, Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(BecameStrict),         OnboardingOnly, Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(Repair),               OnboardingOnly, Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(Repair),               OnboardingOnly, Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (DownstreamEdits,             OnboardingOnly, Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (DownstreamEdits,             OnboardingOnly, Default,    [Nothing, Nothing,      Nothing, Nothing]),
    // Never synced, never locked.
    (UpstreamChanged,             Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (UpstreamChanged,             Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(NewOrganization),      Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(NewOrganization),      Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(ExistingOrganization), Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(ExistingOrganization), Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(BecameStrict),         Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(BecameStrict),         Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (Began(Repair),               Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (Began(Repair),               Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
    (DownstreamEdits,             Never,          Collection, [Nothing, Nothing,      Nothing, Nothing]),
    (DownstreamEdits,             Never,          Default,    [Nothing, Nothing,      Nothing, Nothing]),
];

fn category(kind: Kind, reach: Reach) -> Category {
    Category { name: Arc::from("any"), group: None, kind, reach, slots: [].into() }
}

#[test]
fn every_row_of_the_table_holds() {
    for (occurrence, reach, kind, row) in TABLE {
        for (mode, expected) in MODES.into_iter().zip(row) {
            let found = rule(occurrence, mode, &category(kind, reach));
            assert_eq!(found, expected, "{occurrence:?}, {mode:?}, {kind:?}, {reach:?}");
        }
    }
}

#[test]
fn the_table_above_names_every_case_once() {
    let mut cases: Vec<_> =
        TABLE.iter().map(|(what, reach, kind, _)| format!("{what:?} {reach:?} {kind:?}")).collect();
    cases.sort();
    cases.dedup();
    let occurrences = 6;
    let (reaches, kinds) = (3, 2);
    assert_eq!(cases.len(), occurrences * reaches * kinds);
}

#[test]
fn only_strict_locks_and_only_ongoing_categories() {
    for mode in MODES {
        for reach in [Ongoing, OnboardingOnly, Never] {
            for kind in [Collection, Default] {
                let expected = mode == Strict && reach == Ongoing;
                assert_eq!(locks(mode, &category(kind, reach)), expected, "{mode:?}, {reach:?}, {kind:?}");
            }
        }
    }
}
