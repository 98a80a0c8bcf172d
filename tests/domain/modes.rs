//! The mode of a partnership, row by row, and what a change of its flags begins.

use channel_sync::domain::partnership::Beginning::{
    self, BecameStrict, ExistingOrganization, NewOrganization,
};
use channel_sync::domain::partnership::Mode::{self, Flexible, NonExclusive, Off, Strict};
use channel_sync::domain::partnership::Onboarding;
use channel_sync::domain::partnership::Status::{self, Active, Ended};
use channel_sync::domain::partnership::Terms;

use crate::scenario::terms;

const YES_NO: [bool; 2] = [true, false];
const ANY: [Option<bool>; 3] = [Some(true), Some(false), None];

#[track_caller]
fn check(status: Status, data_sync: bool, exclusive: bool, allow_downstream_edit: Option<bool>, mode: Mode) {
    let terms = Terms { status, exclusive, data_sync, allow_downstream_edit };
    assert_eq!(terms.mode(), mode, "{terms:?}");
}

#[test]
fn ended_is_off_whatever_the_flags() {
    for data_sync in YES_NO {
        for exclusive in YES_NO {
            for edit in ANY {
                check(Ended, data_sync, exclusive, edit, Off);
            }
        }
    }
}

#[test]
fn active_without_data_sync_is_off_whatever_the_other_flags() {
    for exclusive in YES_NO {
        for edit in ANY {
            check(Active, false, exclusive, edit, Off);
        }
    }
}

#[test]
fn data_sync_without_exclusive_is_non_exclusive_and_allow_downstream_edit_changes_nothing() {
    for edit in ANY {
        check(Active, true, false, edit, NonExclusive);
    }
}

#[test]
fn exclusive_with_edits_allowed_is_flexible() {
    check(Active, true, true, Some(true), Flexible);
}

#[test]
fn exclusive_without_edits_allowed_is_strict() {
    check(Active, true, true, Some(false), Strict);
}

#[test]
fn a_mode_has_the_name_that_views_show() {
    let names = [Off, NonExclusive, Flexible, Strict].map(Mode::name);
    assert_eq!(names, ["off", "non-exclusive", "flexible", "strict"]);
}

/// What an event begins that brings a partnership from one mode (none: its first event) to another.
fn begins(before: Option<&str>, mode: &str, onboarding: Onboarding) -> Option<Beginning> {
    Beginning::of(before.map(terms).as_ref(), &terms(mode), onboarding)
}

#[test]
fn the_first_event_with_sync_on_begins_what_its_onboarding_says() {
    for mode in ["non-exclusive", "flexible", "strict"] {
        assert_eq!(begins(None, mode, Onboarding::NewOrganization), Some(NewOrganization), "{mode}");
        assert_eq!(
            begins(None, mode, Onboarding::ExistingOrganization),
            Some(ExistingOrganization),
            "{mode}"
        );
    }
}

#[test]
fn the_first_event_with_sync_off_begins_nothing() {
    for mode in ["off", "exclusive-off", "ended"] {
        for onboarding in [Onboarding::NewOrganization, Onboarding::ExistingOrganization] {
            assert_eq!(begins(None, mode, onboarding), None, "{mode}");
        }
    }
}

#[test]
fn every_change_of_flags_begins_what_the_rules_say_whatever_the_onboarding() {
    // Rows: the mode before; columns: the mode that the event sets.
    let modes = ["off", "ended", "non-exclusive", "flexible", "strict"];
    let existing = Some(ExistingOrganization);
    let became = Some(BecameStrict);
    let table = [
        ("off", [None, None, existing, existing, existing]),
        ("exclusive-off", [None, None, existing, existing, existing]),
        ("ended", [None, None, existing, existing, existing]),
        ("non-exclusive", [None, None, None, None, became]),
        ("flexible", [None, None, None, None, became]),
        ("strict", [None, None, None, None, None]),
    ];
    for (before, row) in table {
        for (mode, expected) in modes.iter().zip(row) {
            for onboarding in [Onboarding::NewOrganization, Onboarding::ExistingOrganization] {
                assert_eq!(begins(Some(before), mode, onboarding), expected, "{before} to {mode}");
            }
        }
    }
}

#[test]
fn onboarding_is_existing_organization_where_it_is_left_out() {
    assert_eq!(Onboarding::default(), Onboarding::ExistingOrganization);
}
