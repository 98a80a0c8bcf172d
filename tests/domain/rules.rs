//! The rules of data sync, sentence by sentence, in the notation of [`crate::scenario`].
//!
//! `helios` and `sunny` are channel managers, `pac` is a channel partner, `roof` and `tile` are partners of
//! partners. `equipment` and `adders` are collections, `default-costs` and `expiration-dates` are defaults;
//! `licenses` and `organization-logo` are onboarding only; `notifications` is never synced.

use channel_sync::domain::EventNo;

use crate::model::Model;
use crate::scenario::{check, event, fate, given};

/// The modes in which the downstream may edit what is synced to it.
const MERGING: [&str; 2] = ["non-exclusive", "flexible"];
const SYNCED: [&str; 3] = ["non-exclusive", "flexible", "strict"];

/// The rows of the table.
mod table {
    use super::*;

    #[test]
    fn upstream_changed_a_collection_merging_adds_only_entries_that_are_new_to_the_upstream() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios equipment: a=1 own, b=1 own, c=1 own
                     pac equipment: a=1 from helios, b=1 from helios, own=7 own"
                ),
                "helios equipment: a=2, -b, c=2, new=3",
                "pac equipment: a=1 from helios, b=1 from helios, new=3 from helios, own=7 own
                 pac jobs: sync-change added 1",
            );
        }
    }

    #[test]
    fn upstream_changed_a_collection_strict_applies_added_changed_and_removed() {
        check(
            "helios > pac: strict
             helios equipment: a=1 own, b=1 own, c=1 own
             pac equipment: a=1 from helios, b=1 from helios, c=1 from helios",
            "helios equipment: a=2, -b, new=3",
            "pac equipment: a=2 from helios, c=1 from helios, new=3 from helios
             pac jobs: sync-change added 1, changed 1, removed 1",
        );
    }

    #[test]
    fn upstream_changed_a_default_merging_does_nothing() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios default-costs: battery=1 own, inverter=1 own
                     pac default-costs: battery=1 from helios, inverter=1 from helios"
                ),
                "helios default-costs: battery=2, -inverter, project=3",
                "pac default-costs: battery=1 from helios, inverter=1 from helios
                 pac jobs: none",
            );
        }
    }

    #[test]
    fn upstream_changed_a_default_strict_sets_changes_and_clears_slots() {
        check(
            "helios > pac: strict
             helios default-costs: battery=1 own, inverter=1 own
             pac default-costs: battery=1 from helios, inverter=1 from helios",
            "helios default-costs: battery=2, -inverter, project=3",
            "pac default-costs: battery=2 from helios, project=3 from helios
             pac jobs: sync-change added 1, changed 1, removed 1",
        );
    }

    #[test]
    fn a_new_organization_was_invited_matches_everything_onboarding_only_included_in_every_mode() {
        for mode in SYNCED {
            check(
                "helios equipment: a=1 own
                 helios default-costs: battery=2 own
                 helios organization-logo: image=3 own
                 helios licenses: nabcep=4 own
                 pac equipment: own=7 own
                 pac default-costs: battery=8 own
                 pac licenses: old=9 own",
                &format!("helios > pac: invited {mode}"),
                &format!(
                    "pac equipment: a=1 from helios
                     pac default-costs: battery=2 from helios
                     pac organization-logo: image=3 from helios
                     pac licenses: nabcep=4 from helios
                     pac jobs: partnership-change off to {mode}, reconcile follows; reconcile added 3, changed 1, removed 2"
                ),
            );
        }
    }

    #[test]
    fn a_partnership_with_an_existing_organization_merging_merges_collections_and_leaves_defaults_alone() {
        for mode in MERGING {
            check(
                "helios equipment: a=1 own, both=1 own
                 helios default-costs: battery=1 own, project=1 own
                 helios licenses: nabcep=1 own
                 helios organization-logo: image=1 own
                 pac equipment: both=2 own, own=2 own
                 pac default-costs: battery=2 own",
                &format!("helios > pac: {mode}"),
                &format!(
                    "pac equipment: a=1 from helios, both=2 own, own=2 own
                     pac default-costs: battery=2 own
                     pac licenses: nothing
                     pac organization-logo: nothing
                     pac jobs: partnership-change off to {mode}, reconcile follows; reconcile added 1, kept-own 1
                     pac archive: nothing"
                ),
            );
        }
    }

    #[test]
    fn a_partnership_with_an_existing_organization_strict_matches_but_not_onboarding_only() {
        check(
            "helios equipment: a=1 own, both=1 own
             helios default-costs: battery=1 own, project=1 own
             helios licenses: nabcep=1 own
             helios organization-logo: image=1 own
             pac equipment: both=2 own, own=2 own
             pac default-costs: battery=2 own, inverter=2 own
             pac licenses: old=2 own",
            "helios > pac: strict",
            "pac equipment: a=1 from helios, both=1 from helios
             pac default-costs: battery=1 from helios, project=1 from helios
             pac licenses: old=2 own
             pac organization-logo: nothing
             pac jobs: partnership-change off to strict, reconcile follows; reconcile added 2, changed 2, removed 2",
        );
    }

    #[test]
    fn the_downstream_edits_merging_its_edit_stands() {
        for mode in MERGING {
            given(&format!(
                "helios > pac: {mode}
                 helios equipment: a=1 own, b=1 own
                 helios default-costs: battery=1 own
                 pac equipment: a=1 from helios, b=1 from helios
                 pac default-costs: battery=1 from helios"
            ))
            .when(
                "pac equipment: a=2, -b, own=3
                 pac default-costs: battery=4",
            )
            .then(
                "pac equipment: a=2 own, own=3 own
                 pac default-costs: battery=4 own
                 helios equipment: a=1 own, b=1 own",
            )
            // Whatever the upstream does to them later.
            .when(
                "helios equipment: a=5, b=5
                 helios default-costs: battery=5",
            )
            .then(
                "pac equipment: a=2 own, own=3 own
                 pac default-costs: battery=4 own",
            );
        }
    }

    #[test]
    fn the_downstream_edits_strict_it_is_refused_and_the_upstreams_value_stands() {
        check(
            "helios > pac: strict
             helios equipment: a=1 own
             helios default-costs: battery=1 own
             pac equipment: a=1 from helios
             pac default-costs: battery=1 from helios",
            "pac equipment: a=2 => locked
             pac default-costs: battery=2 => locked",
            "pac equipment: a=1 from helios
             pac default-costs: battery=1 from helios
             pac jobs: own-change skipped locked by helios; own-change skipped locked by helios",
        );
    }

    #[test]
    fn with_sync_off_nothing_reaches_anyone() {
        for mode in ["off", "exclusive-off", "ended"] {
            check(
                &format!("helios > pac: {mode}"),
                "helios equipment: a=1
                 helios default-costs: battery=1
                 pac equipment: own=2",
                "pac equipment: own=2 own
                 pac default-costs: nothing
                 pac jobs: own-change added 1",
            );
        }
    }
}

/// "Sync turned on later …" and the flips between modes.
mod flips {
    use super::*;

    #[test]
    fn sync_turned_on_later_counts_as_an_existing_organization_even_where_it_was_invited_with_sync_off() {
        given(
            "helios equipment: a=1 own
             helios default-costs: battery=1 own
             helios licenses: nabcep=1 own
             pac equipment: own=2 own",
        )
        .when("helios > pac: invited off")
        .then(
            "pac equipment: own=2 own
             pac jobs: partnership-change stays off",
        )
        .when("helios > pac: invited flexible")
        .then(
            "pac equipment: a=1 from helios, own=2 own
             pac default-costs: nothing
             pac licenses: nothing
             pac jobs: partnership-change off to flexible, reconcile follows; reconcile added 1",
        );
    }

    #[test]
    fn sync_turned_on_later_as_strict_is_a_match_without_onboarding_only() {
        check(
            "helios > pac: exclusive-off
             helios equipment: a=1 own
             helios licenses: nabcep=1 own
             pac equipment: own=2 own
             pac licenses: old=2 own",
            "helios > pac: invited strict",
            "pac equipment: a=1 from helios
             pac licenses: old=2 own",
        );
    }

    #[test]
    fn a_change_of_flags_that_makes_the_mode_strict_from_any_other_is_a_match() {
        for before in ["off", "exclusive-off", "ended", "non-exclusive", "flexible"] {
            check(
                &format!(
                    "helios > pac: {before}
                     helios equipment: a=1 own, b=1 own
                     helios default-costs: battery=1 own
                     helios licenses: nabcep=1 own
                     pac equipment: a=1 from helios, b=2 own, own=2 own
                     pac default-costs: battery=2 own, inverter=2 own
                     pac licenses: old=2 own"
                ),
                "helios > pac: strict",
                "pac equipment: a=1 from helios, b=1 from helios
                 pac default-costs: battery=1 from helios
                 pac licenses: old=2 own
                 pac equipment lock: helios",
            );
        }
    }

    #[test]
    fn a_change_that_leaves_strict_turns_sync_off_or_ends_changes_no_value_and_unlocks() {
        for mode in ["non-exclusive", "flexible", "off", "exclusive-off", "ended"] {
            let shown = if ["off", "exclusive-off", "ended"].contains(&mode) { "off" } else { mode };
            given(
                "helios > pac: strict
                 helios equipment: a=1 own
                 helios default-costs: battery=1 own
                 pac equipment: a=1 from helios
                 pac default-costs: battery=1 from helios",
            )
            .then("pac equipment lock: helios")
            .when(&format!("helios > pac: {mode}"))
            .then(&format!(
                "pac equipment: a=1 from helios
                 pac default-costs: battery=1 from helios
                 pac equipment lock: nobody
                 pac jobs: partnership-change strict to {shown}"
            ))
            .when(
                "pac equipment: a=2
                 pac default-costs: -battery",
            )
            .then(
                "pac equipment: a=2 own
                 pac default-costs: nothing",
            );
        }
    }

    #[test]
    fn turning_sync_off_or_ending_a_merging_partnership_changes_no_value() {
        for before in MERGING {
            for mode in ["off", "ended"] {
                check(
                    &format!(
                        "helios > pac: {before}
                         helios equipment: a=1 own
                         pac equipment: a=1 from helios, own=2 own"
                    ),
                    &format!("helios > pac: {mode}"),
                    &format!(
                        "pac equipment: a=1 from helios, own=2 own
                         pac jobs: partnership-change {before} to off"
                    ),
                );
            }
        }
    }

    #[test]
    fn a_change_between_non_exclusive_and_flexible_changes_nothing() {
        for (before, mode) in [("non-exclusive", "flexible"), ("flexible", "non-exclusive")] {
            check(
                &format!(
                    "helios > pac: {before}
                     helios equipment: a=1 own, missing=1 own
                     helios default-costs: battery=1 own
                     pac equipment: a=2 own"
                ),
                &format!("helios > pac: {mode}"),
                &format!(
                    "pac equipment: a=2 own
                     pac default-costs: nothing
                     pac jobs: partnership-change {before} to {mode}"
                ),
            );
        }
    }

    #[test]
    fn an_event_that_says_the_same_again_changes_nothing() {
        for mode in SYNCED {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios equipment: a=1 own"
                ),
                &format!("helios > pac: invited {mode}"),
                &format!(
                    "pac equipment: nothing
                     pac jobs: partnership-change stays {mode}"
                ),
            );
        }
    }

    #[test]
    fn allow_downstream_edit_changes_nothing_where_it_is_not_applicable() {
        let mut model = Model::built_in();
        for allow in [None, Some(true), Some(false)] {
            let crate::model::Event::Partnership(mut said) = event("helios > pac: non-exclusive") else {
                panic!()
            };
            said.terms.allow_downstream_edit = allow;
            model.publish(crate::model::Event::Partnership(said));
            model.settle();
        }
        let reconciles = model.reconciles.len();
        assert_eq!(reconciles, 1, "only the first of the three events begins something");
    }

    #[test]
    fn ended_and_active_again_counts_as_an_existing_organization() {
        given("helios equipment: a=1 own")
            .when(
                "helios > pac: invited flexible
                 helios > pac: ended
                 helios equipment: b=1
                 helios default-costs: battery=1
                 helios licenses: nabcep=1
                 pac equipment: own=2",
            )
            .when("helios > pac: invited flexible")
            .then(
                "pac equipment: a=1 from helios, b=1 from helios, own=2 own
                 pac default-costs: nothing
                 pac licenses: nothing
                 pac jobs: partnership-change off to flexible, reconcile follows; reconcile added 1, unchanged 1",
            );
    }

    #[test]
    fn what_the_upstream_changed_while_sync_was_off_is_made_up_for_when_it_is_on_again() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios",
        )
        .when(
            "helios > pac: off
             helios equipment: a=2, -b, c=3",
        )
        .then("pac equipment: a=1 from helios, b=1 from helios")
        .when("helios > pac: strict")
        .then("pac equipment: a=2 from helios, c=3 from helios");
    }

    #[test]
    fn a_default_is_out_of_reach_again_after_strict() {
        check(
            "helios > pac: strict
             helios default-costs: battery=1 own
             pac default-costs: battery=1 from helios",
            "helios > pac: flexible
             helios default-costs: battery=2, project=2",
            "pac default-costs: battery=1 from helios",
        );
    }

    #[test]
    fn a_partnership_that_begins_where_the_upstream_has_nothing_says_so() {
        check(
            "pac equipment: own=1 own",
            "helios > pac: flexible",
            "pac equipment: own=1 own
             pac jobs: partnership-change off to flexible, reconcile follows; reconcile skipped nothing-to-sync",
        );
    }
}

/// "Strict locks every ongoing category of the downstream …"
mod locks {
    use super::*;

    const STRICT: &str = "helios > pac: strict
                          helios equipment: a=1 own, b=1 own
                          pac equipment: a=1 from helios, b=1 from helios";

    #[test]
    fn strict_locks_entries_that_are_there() {
        check(
            STRICT,
            "pac equipment: a=2 => locked
             pac equipment: -a => locked",
            "pac equipment: a=1 from helios, b=1 from helios",
        );
    }

    #[test]
    fn strict_locks_the_adding_of_new_entries() {
        check(
            STRICT,
            "pac equipment: new=2 => locked
             pac adders: new=2 => locked
             pac expiration-dates: proposal=2 => locked",
            "pac equipment: a=1 from helios, b=1 from helios
             pac adders: nothing
             pac expiration-dates: nothing",
        );
    }

    #[test]
    fn strict_locks_every_ongoing_category_and_no_other() {
        let mut scenario = given("helios > pac: strict");
        let names: Vec<(String, bool)> = scenario
            .model
            .catalogue
            .iter()
            .map(|(_, about)| {
                let ongoing = about.reach == channel_sync::domain::catalogue::Reach::Ongoing;
                (about.name.to_string(), ongoing)
            })
            .collect();
        assert_eq!(names.iter().filter(|(_, ongoing)| *ongoing).count(), 9);
        for (category, ongoing) in names {
            let holder = if ongoing { "helios" } else { "nobody" };
            scenario = scenario.then(&format!("pac {category} lock: {holder}"));
        }
    }

    #[test]
    fn an_event_that_edits_a_locked_category_is_refused_whole() {
        // Half of it says what stands already.
        check(
            STRICT,
            "pac equipment: a=1, new=2 => locked
             pac equipment snapshot: a=1, new=2 => locked
             pac equipment snapshot: nothing => locked
             pac equipment snapshot allow-empty: nothing => locked",
            "pac equipment: a=1 from helios, b=1 from helios",
        );
    }

    #[test]
    fn a_refused_edit_declines_nothing_and_goes_on_to_nobody() {
        check(
            "helios > pac: strict
             pac > roof: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
            "pac equipment: -a, b=2 => locked",
            "pac declined: nothing
             roof equipment: a=1 from pac
             roof jobs: none",
        );
    }

    #[test]
    fn onboarding_only_categories_are_never_locked_and_never_kept_in_sync() {
        given("helios licenses: nabcep=1 own")
            .when("helios > pac: invited strict")
            .when(
                "helios licenses: nabcep=2, more=2
                 helios organization-logo: image=2
                 pac licenses: own=3",
            )
            .then(
                "pac licenses: nabcep=1 from helios, own=3 own
                 pac organization-logo: nothing
                 pac jobs: own-change added 1",
            );
    }

    #[test]
    fn the_upstream_and_other_downstreams_are_not_locked() {
        check(
            "helios > pac: strict
             helios > roof: flexible",
            "helios equipment: a=1
             roof equipment: b=2",
            "helios equipment: a=1 own
             roof equipment: a=1 from helios, b=2 own",
        );
    }

    #[test]
    fn locks_come_from_the_direct_partnership_only() {
        check(
            "helios > pac: strict
             pac > roof: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
            "roof equipment: a=2, own=3",
            "roof equipment: a=2 own, own=3 own
             pac equipment lock: helios
             roof equipment lock: nobody",
        );
        check(
            "helios > pac: flexible
             pac > roof: strict",
            "pac equipment: a=1
             roof equipment: b=1 => locked",
            "pac equipment lock: nobody
             roof equipment lock: pac
             roof equipment: a=1 from pac",
        );
    }
}

/// "Merge never changes or removes anything in the downstream …"
mod merge {
    use super::*;

    #[test]
    fn an_upstream_change_to_an_entry_that_it_already_had_is_not_new_and_is_not_merged() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios equipment: here=1 own, missing=1 own
                     pac equipment: here=1 from helios"
                ),
                "helios equipment: here=2, missing=2",
                "pac equipment: here=1 from helios
                 pac jobs: none",
            );
        }
    }

    #[test]
    fn an_upstream_removal_is_not_merged() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios equipment: a=1 own
                     pac equipment: a=1 from helios"
                ),
                "helios equipment: -a",
                "pac equipment: a=1 from helios
                 pac jobs: none",
            );
        }
    }

    #[test]
    fn removed_by_the_upstream_and_added_again_is_new_again() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     helios equipment: a=1 own"
                ),
                "helios equipment: a=2
                 helios equipment: -a
                 helios equipment: a=3",
                "pac equipment: a=3 from helios",
            );
        }
    }

    #[test]
    fn new_again_does_not_change_what_the_downstream_has() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 own",
            "helios equipment: -a, -b
             helios equipment: a=2, b=2",
            "pac equipment: a=1 from helios, b=1 own
             pac jobs: sync-change unchanged 1, kept-own 1, skipped in-step",
        );
    }

    #[test]
    fn key_collision_the_downstreams_own_entry_stays_untouched_and_the_result_says_so() {
        for mode in MERGING {
            check(
                &format!(
                    "helios > pac: {mode}
                     pac equipment: a=7 own, same=1 own"
                ),
                "helios equipment: a=1, same=1, new=1",
                "pac equipment: a=7 own, new=1 from helios, same=1 own
                 pac equipment events: a=given, new=e1, same=given
                 pac jobs: sync-change added 1, kept-own 2
                 pac archive: nothing",
            );
        }
    }

    #[test]
    fn a_merge_that_finds_only_own_entries_says_that_they_were_kept() {
        check(
            "helios > pac: flexible
             pac equipment: a=7 own",
            "helios equipment: a=1",
            "pac equipment: a=7 own
             pac jobs: sync-change kept-own 1, skipped own-entries-kept",
        );
    }

    #[test]
    fn a_merge_that_finds_everything_there_says_that_it_is_in_step() {
        given("helios > pac: flexible")
            .when("helios equipment: a=1")
            .when_replayed("e1", "helios", "pac")
            .then(
                "pac equipment: a=1 from helios
                 pac jobs: sync-change unchanged 1, skipped in-step",
            );
    }

    #[test]
    fn only_entries_made_after_the_partnership_began_come_as_changes() {
        // What was there before comes with the beginning, once.
        check(
            "",
            "helios equipment: a=1
             helios > pac: flexible
             helios equipment: b=1",
            "pac equipment: a=1 from helios, b=1 from helios
             pac jobs: partnership-change off to flexible, reconcile follows; reconcile added 1; sync-change added 1",
        );
    }
}

/// "A synced entry that the downstream deleted (it *declined* it) stays deleted …"
mod declined {
    use super::*;

    /// pac deleted an entry that it had from helios.
    fn declined_by(mode: &str) -> crate::scenario::Scenario {
        given(&format!(
            "helios > pac: {mode}
             helios equipment: a=1 own
             pac equipment: a=1 from helios"
        ))
        .when("pac equipment: -a")
        .then(
            "pac equipment: nothing
             pac declined: equipment a of helios",
        )
    }

    #[test]
    fn it_stays_deleted_when_the_upstream_changes_it() {
        for mode in MERGING {
            declined_by(mode).when("helios equipment: a=2").then("pac equipment: nothing");
        }
    }

    #[test]
    fn it_stays_deleted_when_sync_is_switched_off_and_on_again() {
        for mode in MERGING {
            declined_by(mode).when("helios > pac: off").when(&format!("helios > pac: {mode}")).then(
                &format!(
                    "pac equipment: nothing
                     pac declined: equipment a of helios
                     pac jobs: partnership-change off to {mode}, reconcile follows; reconcile declined 1, skipped declined"
                ),
            );
        }
    }

    #[test]
    fn it_stays_deleted_when_the_partnership_ends_and_is_active_again() {
        for mode in MERGING {
            declined_by(mode)
                .when("helios > pac: ended")
                .when(&format!("helios > pac: invited {mode}"))
                .then(
                    "pac equipment: nothing
                     pac declined: equipment a of helios",
                );
        }
    }

    #[test]
    fn it_stays_deleted_when_the_upstream_changed_it_while_sync_was_off() {
        declined_by("flexible")
            .when(
                "helios > pac: off
                 helios equipment: a=2
                 helios > pac: flexible",
            )
            .then("pac equipment: nothing");
    }

    #[test]
    fn it_stays_deleted_when_it_was_deleted_while_sync_was_off() {
        for off in ["off", "ended"] {
            check(
                "helios > pac: flexible
                 helios equipment: a=1 own
                 pac equipment: a=1 from helios",
                &format!(
                    "helios > pac: {off}
                     pac equipment: -a
                     helios > pac: flexible"
                ),
                "pac equipment: nothing
                 pac declined: equipment a of helios",
            );
        }
    }

    #[test]
    fn it_stays_deleted_when_the_upstream_only_removes_it() {
        declined_by("flexible").when("helios equipment: -a").then("pac equipment: nothing");
    }

    #[test]
    fn it_comes_back_when_the_upstream_removes_it_and_adds_it_anew() {
        for mode in MERGING {
            declined_by(mode)
                .when(
                    "helios equipment: -a
                     helios equipment: a=2",
                )
                .then(
                    "pac equipment: a=2 from helios
                     pac declined: nothing",
                );
        }
    }

    #[test]
    fn it_comes_back_when_the_upstream_added_it_anew_while_sync_was_off() {
        declined_by("flexible")
            .when(
                "helios > pac: off
                 helios equipment: -a
                 helios equipment: a=2
                 helios > pac: flexible",
            )
            .then(
                "pac equipment: a=2 from helios
                 pac declined: nothing",
            );
    }

    #[test]
    fn what_came_back_anew_can_be_declined_again() {
        declined_by("flexible")
            .when(
                "helios equipment: -a
                 helios equipment: a=2
                 pac equipment: -a
                 helios > pac: off
                 helios > pac: flexible",
            )
            .then(
                "pac equipment: nothing
                 pac declined: equipment a of helios",
            );
    }

    #[test]
    fn a_match_brings_it_back_and_forgets_that_it_was_declined() {
        for mode in MERGING {
            declined_by(mode).when("helios > pac: strict").then(
                "pac equipment: a=1 from helios
                 pac declined: nothing",
            );
        }
    }

    #[test]
    fn a_match_brings_it_back_when_the_strict_upstream_changes_it() {
        // Declined while sync was off, with a deletion that the reconcile of the match has put right.
        check(
            "helios > pac: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
            "helios > pac: off
             pac equipment: -a
             helios > pac: strict
             helios equipment: a=2",
            "pac equipment: a=2 from helios
             pac declined: nothing",
        );
    }

    #[test]
    fn after_a_match_brought_it_back_a_later_merge_may_bring_it_too() {
        declined_by("flexible")
            .when(
                "helios > pac: strict
                 helios > pac: flexible
                 pac equipment: a=5
                 pac equipment: -a
                 helios > pac: off
                 helios > pac: flexible",
            )
            // What pac deleted last was its own.
            .then("pac equipment: a=1 from helios");
    }

    #[test]
    fn a_match_that_does_not_bring_it_leaves_it_declined() {
        // The upstream had removed it; when strict is left, only anew brings it back.
        declined_by("flexible")
            .when(
                "helios equipment: -a
                 helios > pac: strict
                 helios > pac: flexible",
            )
            .then(
                "pac equipment: nothing
                 pac declined: equipment a of helios",
            )
            .when("helios equipment: a=2")
            .then(
                "pac equipment: a=2 from helios
                 pac declined: nothing",
            );
    }

    #[test]
    fn a_redelivery_of_the_old_event_is_not_anew() {
        let mut model = Model::built_in();
        for (id, said) in [
            ("flags", "helios > pac: flexible"),
            ("add", "helios equipment: a=1"),
            ("decline", "pac equipment: -a"),
            ("add", "helios equipment: a=1"),
        ] {
            model.publish_as(id, event(said));
            model.settle();
        }
        let state = model.state();
        let held_by_pac = state.settings.keys().any(|(organization, ..)| organization == "pac");
        assert!(!held_by_pac, "{state:?}");
        assert_eq!(model.events.len(), 3, "the redelivery is a duplicate");
    }

    #[test]
    fn the_same_value_said_again_by_the_upstream_is_not_anew() {
        declined_by("flexible").when("helios equipment: a=1").then(
            "pac equipment: nothing
             helios equipment events: a=given",
        );
    }

    #[test]
    fn a_replay_of_the_old_change_is_not_anew() {
        for mode in MERGING {
            given(&format!("helios > pac: {mode}"))
                .when(
                    "helios equipment: a=1
                     pac equipment: -a",
                )
                .when_replayed("e1", "helios", "pac")
                .then(
                    "pac equipment: nothing
                     pac declined: equipment a of helios
                     pac jobs: sync-change declined 1, skipped declined",
                );
        }
    }

    #[test]
    fn a_replay_of_an_old_change_is_not_anew_after_the_upstream_removed_it() {
        given("helios > pac: flexible")
            .when(
                "helios equipment: a=1
                 pac equipment: -a
                 helios equipment: -a",
            )
            .when_replayed("e1", "helios", "pac")
            .then("pac equipment: nothing");
    }

    #[test]
    fn deleting_an_entry_of_its_own_declines_nothing() {
        given(
            "helios > pac: flexible
             pac equipment: a=7 own",
        )
        .when(
            "helios equipment: a=1
             pac equipment: -a",
        )
        .then(
            "pac equipment: nothing
             pac declined: nothing",
        )
        .when(
            "helios > pac: off
             helios > pac: flexible",
        )
        .then("pac equipment: a=1 from helios");
    }

    #[test]
    fn deleting_an_entry_that_an_edit_made_its_own_declines_nothing() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
            "pac equipment: a=2
             pac equipment: -a
             helios > pac: off
             helios > pac: flexible",
            "pac equipment: a=1 from helios
             pac declined: nothing",
        );
    }

    #[test]
    fn deleting_what_is_not_there_declines_nothing() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own",
            "pac equipment: -a",
            "pac declined: nothing
             pac jobs: own-change unchanged 1, skipped in-step",
        );
    }

    #[test]
    fn a_snapshot_that_leaves_out_a_synced_entry_declines_it() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios, own=7 own",
            "pac equipment snapshot: a=1
             helios > pac: off
             helios > pac: flexible",
            "pac equipment: a=1 from helios
             pac declined: equipment b of helios",
        );
    }

    #[test]
    fn an_entry_of_the_downstreams_own_under_the_key_is_none_of_the_upstreams_business() {
        // It adds one of its own and deletes that again: what it declined before stays declined.
        declined_by("flexible")
            .when(
                "pac equipment: a=7
                 pac equipment: -a
                 helios > pac: off
                 helios > pac: flexible",
            )
            .then(
                "pac equipment: nothing
                 pac declined: equipment a of helios",
            );
    }

    #[test]
    fn it_is_declined_of_the_upstream_that_it_came_from_and_of_no_other() {
        given(
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
        )
        .when(
            "pac equipment: -a
             sunny equipment: a=2",
        )
        .then(
            "pac equipment: a=2 from sunny
             pac declined: equipment a of helios",
        );
    }

    #[test]
    fn it_is_declined_in_its_own_category_only() {
        declined_by("flexible").when("helios adders: a=2").then("pac adders: a=2 from helios");
    }

    #[test]
    fn what_a_tier_declines_goes_on_to_its_own_downstreams_as_a_removal() {
        check(
            "helios > pac: flexible
             pac > roof: strict
             pac > tile: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac
             tile equipment: a=1 from pac",
            "pac equipment: -a",
            "roof equipment: nothing
             tile equipment: a=1 from pac
             roof declined: nothing",
        );
    }

    #[test]
    fn anew_reaches_a_lower_tier_that_declined_it_only_where_the_tier_above_had_lost_it() {
        given(
            "helios > pac: strict
             pac > roof: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
        )
        .when("roof equipment: -a")
        .when(
            "helios equipment: -a
             helios equipment: a=2",
        )
        .then(
            "pac equipment: a=2 from helios
             roof equipment: a=2 from pac
             roof declined: nothing",
        );
        given(
            "helios > pac: flexible
             pac > roof: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
        )
        .when("roof equipment: -a")
        .when(
            "helios equipment: -a
             helios equipment: a=2",
        )
        .then(
            "pac equipment: a=1 from helios
             roof equipment: nothing",
        );
    }
}

/// Whose an entry is, and what a match takes over or displaces.
mod origin {
    use super::*;

    #[test]
    fn an_organization_that_edits_a_synced_entry_makes_it_its_own() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios",
            "pac equipment: a=2",
            "pac equipment: a=2 own, b=1 from helios
             pac equipment events: a=e1, b=given",
        );
    }

    #[test]
    fn saying_the_value_that_is_there_is_no_edit() {
        check(
            "helios > pac: flexible
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
            "pac equipment: a=1
             pac equipment snapshot: a=1",
            "pac equipment: a=1 from helios
             pac equipment events: a=given
             pac jobs: own-change unchanged 1, skipped in-step; own-change unchanged 1, skipped in-step",
        );
    }

    #[test]
    fn a_match_that_finds_the_same_value_takes_it_over_without_counting_as_a_change() {
        check(
            "helios > pac: flexible
             pac > roof: strict
             helios equipment: a=1 own
             pac equipment: a=1 own
             roof equipment: a=1 from pac",
            "helios > pac: strict",
            "pac equipment: a=1 from helios
             pac equipment events: a=given
             pac jobs: partnership-change flexible to strict, reconcile follows; reconcile unchanged 1, skipped in-step
             pac archive: nothing
             roof jobs: none",
        );
    }

    #[test]
    fn what_a_match_took_over_can_be_declined_like_any_synced_entry() {
        check(
            "helios equipment: a=1 own
             pac equipment: a=1 own",
            "helios > pac: strict
             helios > pac: flexible
             pac equipment: -a",
            "pac declined: equipment a of helios",
        );
    }

    #[test]
    fn match_takes_over_equal_keys_and_removes_the_downstreams_own_entries() {
        check(
            "helios equipment: both=1 own
             pac equipment: both=7 own, own=8 own",
            "helios > pac: strict",
            "pac equipment: both=1 from helios",
        );
    }

    #[test]
    fn what_a_match_displaces_is_archived_with_the_job() {
        check(
            "helios equipment: changed=1 own, same=1 own, synced=2 own, new=1 own
             helios default-costs: battery=1 own
             helios > pac: flexible
             pac equipment: changed=7 own, gone=8 own, same=1 own, stale=1 from helios, synced=1 from helios
             pac default-costs: battery=9 own",
            "helios > pac: strict",
            // What had come from helios itself can be had from helios.
            "pac archive: default-costs battery=9 own, equipment changed=7 own, equipment gone=8 own
             pac jobs: partnership-change flexible to strict, reconcile follows; reconcile added 1, changed 3, removed 2, unchanged 1",
        );
    }

    #[test]
    fn what_an_invitation_displaces_is_archived_too() {
        check(
            "helios equipment: a=1 own
             pac equipment: a=7 own
             pac licenses: old=8 own",
            "helios > pac: invited flexible",
            "pac archive: equipment a=7 own, licenses old=8 own",
        );
    }

    #[test]
    fn a_match_displaces_what_came_from_another_upstream() {
        check(
            "sunny > pac: ended
             helios equipment: a=1 own
             pac equipment: a=7 from sunny, b=8 from sunny, c=9 from helios",
            "helios > pac: strict",
            "pac equipment: a=1 from helios
             pac archive: equipment a=7 from sunny, equipment b=8 from sunny",
        );
    }

    #[test]
    fn an_entry_keeps_its_root_event_through_the_tiers() {
        check(
            "helios > pac: strict
             pac > roof: flexible",
            "helios adders: x=1
             helios equipment: a=1",
            "helios equipment events: a=e2
             pac equipment events: a=e2
             roof equipment events: a=e2
             roof adders events: x=e1",
        );
    }
}

/// "A downstream may have several upstreams as long as none of its partnerships is exclusive …"
mod several_upstreams {
    use super::*;

    #[test]
    fn a_downstream_may_have_several_upstreams_as_long_as_none_is_exclusive() {
        check(
            "",
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive
             helios equipment: a=1
             sunny equipment: b=2
             pac equipment: own=3",
            "pac equipment: a=1 from helios, b=2 from sunny, own=3 own",
        );
    }

    #[test]
    fn where_two_upstreams_have_the_same_key_the_first_one_stays() {
        check(
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive",
            "helios equipment: a=1
             sunny equipment: a=2",
            "pac equipment: a=1 from helios
             pac jobs: sync-change added 1; sync-change unchanged 1, skipped in-step",
        );
    }

    #[test]
    fn one_upstream_changes_nothing_of_what_came_from_another() {
        check(
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive
             helios equipment: a=1 own
             sunny equipment: a=1 own
             pac equipment: a=1 from helios",
            "sunny equipment: a=2
             sunny equipment: -a
             helios equipment: -a",
            "pac equipment: a=1 from helios",
        );
    }

    #[test]
    fn an_exclusive_partnership_tolerates_no_other_active_one_and_names_the_one_in_the_way() {
        for exclusive in ["exclusive-off", "flexible", "strict"] {
            check(
                "helios > pac: non-exclusive
                 sunny equipment: a=1 own
                 pac equipment: own=2 own",
                &format!(
                    "sunny > pac: {exclusive} \
                     => exclusive-conflict with the non-exclusive partnership of helios"
                ),
                "pac equipment: own=2 own
                 helios > pac: non-exclusive
                 sunny > pac: unknown
                 pac jobs: partnership-change rejected",
            );
        }
    }

    #[test]
    fn beside_an_exclusive_partnership_no_other_may_begin_and_the_exclusive_one_is_named() {
        for exclusive in ["exclusive-off", "flexible", "strict"] {
            for other in ["off", "exclusive-off", "non-exclusive", "flexible", "strict"] {
                check(
                    &format!("helios > pac: {exclusive}"),
                    &format!(
                        "sunny > pac: {other} => exclusive-conflict with the exclusive partnership of helios"
                    ),
                    "sunny > pac: unknown",
                );
            }
        }
    }

    #[test]
    fn the_later_event_is_the_one_that_is_rejected() {
        check(
            "",
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive
             sunny > pac: strict => exclusive-conflict with the non-exclusive partnership of helios",
            "helios > pac: non-exclusive
             sunny > pac: non-exclusive",
        );
    }

    #[test]
    fn an_active_partnership_without_sync_is_in_the_way_of_an_exclusive_one() {
        check(
            "helios > pac: off",
            "sunny > pac: strict => exclusive-conflict with the non-exclusive partnership of helios",
            "sunny > pac: unknown",
        );
    }

    #[test]
    fn an_ended_partnership_is_in_nobodys_way() {
        check(
            "helios > pac: ended",
            "sunny > pac: strict",
            "sunny > pac: strict
             helios > pac: off",
        );
        check(
            "helios > pac: strict",
            "sunny > pac: ended
             helios > pac: ended
             sunny > pac: strict",
            "sunny > pac: strict
             helios > pac: off",
        );
    }

    #[test]
    fn a_partnership_is_not_in_its_own_way_nor_in_that_of_other_downstreams() {
        check(
            "helios > pac: non-exclusive",
            "helios > pac: strict
             helios > roof: strict
             pac > tile: strict",
            "helios > pac: strict
             helios > roof: strict
             pac > tile: strict",
        );
    }

    #[test]
    fn the_first_event_that_holds_counts_as_the_first_after_one_that_was_rejected() {
        check(
            "sunny > pac: strict
             helios licenses: nabcep=1 own",
            "helios > pac: invited strict => exclusive-conflict with the exclusive partnership of sunny
             sunny > pac: ended
             helios > pac: invited strict",
            "pac licenses: nabcep=1 from helios",
        );
    }
}

/// "An organization that is downstream of one may be upstream of others …"
mod cascades {
    use super::*;

    #[test]
    fn through_three_tiers_each_under_its_own_mode_strict_and_strict() {
        check(
            "helios > pac: strict
             pac > roof: strict
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios
             roof equipment: a=1 from pac, b=1 from pac",
            "helios equipment: a=2, -b, c=3
             helios default-costs: battery=4",
            "roof equipment: a=2 from pac, c=3 from pac
             roof equipment events: a=e1, c=e1
             roof default-costs: battery=4 from pac
             roof default-costs events: battery=e2",
        );
    }

    #[test]
    fn through_three_tiers_each_under_its_own_mode_strict_and_flexible() {
        check(
            "helios > pac: strict
             pac > roof: flexible
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios
             roof equipment: a=1 from pac, b=1 from pac, own=7 own",
            "helios equipment: a=2, -b, c=3
             helios default-costs: battery=4",
            "pac equipment: a=2 from helios, c=3 from helios
             pac default-costs: battery=4 from helios
             roof equipment: a=1 from pac, b=1 from pac, c=3 from pac, own=7 own
             roof default-costs: nothing",
        );
    }

    #[test]
    fn through_three_tiers_each_under_its_own_mode_flexible_and_strict() {
        check(
            "helios > pac: flexible
             pac > roof: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios, own=7 own
             roof equipment: a=1 from pac, own=7 from pac",
            "helios equipment: a=2, c=3
             pac equipment: own=8",
            "pac equipment: a=1 from helios, c=3 from helios, own=8 own
             roof equipment: a=1 from pac, c=3 from pac, own=8 from pac
             roof equipment events: a=given, c=e1, own=e2",
        );
    }

    #[test]
    fn four_tiers_deep_with_the_same_root_event() {
        check(
            "helios > pac: non-exclusive
             pac > roof: strict
             roof > tile: flexible",
            "helios adders: x=1
             helios equipment: a=1",
            "tile equipment: a=1 from roof
             tile equipment events: a=e2",
        );
    }

    #[test]
    fn no_effective_change_nothing_goes_on() {
        check(
            "helios > pac: flexible
             pac > roof: strict
             pac equipment: a=7 own
             roof equipment: a=7 from pac",
            "helios equipment: a=1",
            "pac jobs: sync-change kept-own 1, skipped own-entries-kept
             roof jobs: none
             roof equipment: a=7 from pac",
        );
    }

    #[test]
    fn only_what_changed_effectively_goes_on() {
        check(
            "helios > pac: flexible
             pac > roof: flexible
             pac equipment: a=7 own",
            "helios equipment: a=1, b=1",
            "roof equipment: b=1 from pac
             roof jobs: sync-change added 1",
        );
    }

    #[test]
    fn a_tier_with_sync_off_stops_the_cascade() {
        for off in ["off", "ended"] {
            check(
                &format!(
                    "helios > pac: {off}
                     pac > roof: strict"
                ),
                "helios equipment: a=1",
                "roof equipment: nothing
                 roof jobs: none",
            );
        }
    }

    #[test]
    fn a_default_stops_at_the_first_tier_that_may_edit() {
        check(
            "helios > pac: flexible
             pac > roof: strict",
            "helios default-costs: battery=1",
            "pac default-costs: nothing
             roof default-costs: nothing",
        );
    }

    #[test]
    fn what_the_beginning_of_a_partnership_brings_goes_on_too() {
        check(
            "pac > roof: strict
             pac > tile: flexible
             helios equipment: a=1 own, both=1 own
             pac equipment: both=7 own, own=7 own
             roof equipment: both=7 from pac, own=7 from pac
             tile equipment: both=7 from pac, own=7 from pac",
            "helios > pac: strict",
            "pac equipment: a=1 from helios, both=1 from helios
             roof equipment: a=1 from pac, both=1 from pac
             roof equipment events: a=e1, both=e1
             tile equipment: a=1 from pac, both=7 from pac, own=7 from pac",
        );
    }

    #[test]
    fn onboarding_only_categories_do_not_go_on() {
        check(
            "pac > roof: strict
             helios licenses: nabcep=1 own",
            "helios > pac: invited strict",
            "pac licenses: nabcep=1 from helios
             roof licenses: nothing
             roof jobs: none",
        );
    }

    #[test]
    fn what_an_organization_edits_itself_goes_to_its_downstreams_and_never_upwards() {
        check(
            "helios > pac: flexible
             pac > roof: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
            "pac equipment: a=2",
            "helios equipment: a=1 own
             helios jobs: none
             roof equipment: a=2 from pac",
        );
    }

    #[test]
    fn one_change_reaches_all_downstreams_each_under_its_own_mode() {
        check(
            "helios > pac: strict
             helios > roof: flexible
             helios > tile: non-exclusive
             helios > slate: off
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from helios
             tile equipment: a=1 from helios
             slate equipment: a=1 from helios",
            "helios equipment: a=2, b=2",
            "pac equipment: a=2 from helios, b=2 from helios
             roof equipment: a=1 from helios, b=2 from helios
             tile equipment: a=1 from helios, b=2 from helios
             slate equipment: a=1 from helios",
        );
    }

    #[test]
    fn what_comes_on_two_ways_is_added_once() {
        check(
            "helios > pac: strict
             helios > sunny: strict
             pac > roof: non-exclusive
             sunny > roof: non-exclusive",
            "helios equipment: a=1",
            "roof equipment: a=1 from pac
             roof jobs: sync-change added 1; sync-change unchanged 1, skipped in-step",
        );
    }
}

/// "A partnership that would close a cycle, or links an organization to itself, is rejected …"
mod cycles {
    use super::*;

    #[test]
    fn an_organization_cannot_be_its_own_upstream_whatever_the_flags() {
        for mode in ["off", "exclusive-off", "non-exclusive", "flexible", "strict", "ended"] {
            check(
                "pac equipment: a=1 own",
                &format!("pac > pac: {mode} => partnership-cycle pac > pac"),
                "pac > pac: unknown
                 pac equipment: a=1 own",
            );
        }
    }

    #[test]
    fn a_cycle_of_two_is_rejected_with_its_path() {
        check(
            "helios > pac: flexible",
            "pac > helios: non-exclusive => partnership-cycle helios > pac > helios",
            "pac > helios: unknown
             helios jobs: partnership-change rejected",
        );
    }

    #[test]
    fn a_cycle_of_three_is_rejected_with_its_path() {
        check(
            "helios > pac: flexible
             pac > roof: strict",
            "roof > helios: strict => partnership-cycle helios > pac > roof > helios",
            "roof > helios: unknown",
        );
    }

    #[test]
    fn a_cycle_of_four_is_rejected_with_its_path() {
        check(
            "helios > pac: flexible
             sunny > roof: non-exclusive
             pac > roof: non-exclusive
             roof > tile: strict",
            "tile > helios: strict => partnership-cycle helios > pac > roof > tile > helios",
            "tile > helios: unknown",
        );
    }

    #[test]
    fn partnerships_without_sync_count_as_links() {
        check(
            "helios > pac: off",
            "pac > helios: off => partnership-cycle helios > pac > helios",
            "pac > helios: unknown",
        );
    }

    #[test]
    fn ended_partnerships_close_no_cycle() {
        check(
            "helios > pac: ended",
            "pac > helios: strict
             helios > pac: ended",
            "pac > helios: strict
             helios > pac: off",
        );
    }

    #[test]
    fn a_partnership_that_is_active_again_can_close_a_cycle() {
        check(
            "helios > pac: strict",
            "helios > pac: ended
             pac > helios: strict
             helios > pac: strict => partnership-cycle pac > helios > pac",
            "helios > pac: off
             pac > helios: strict",
        );
    }

    #[test]
    fn two_ways_down_to_the_same_organization_are_no_cycle() {
        check(
            "helios > pac: non-exclusive
             helios > sunny: non-exclusive
             pac > roof: non-exclusive",
            "sunny > roof: non-exclusive
             helios > roof: non-exclusive",
            "helios > roof: non-exclusive
             sunny > roof: non-exclusive",
        );
    }

    #[test]
    fn new_flags_of_a_partnership_that_stands_close_no_cycle() {
        check(
            "helios > pac: flexible
             pac > roof: flexible",
            "helios > pac: strict",
            "helios > pac: strict",
        );
    }
}

/// Versions, snapshots, categories that are never synced.
mod events {
    use super::*;

    #[test]
    fn a_version_that_is_not_larger_than_the_last_one_seen_is_superseded_and_changes_nothing() {
        check(
            "",
            "helios equipment v5: a=1
             helios equipment v5: a=2 => superseded
             helios equipment v4: a=3 => superseded
             helios equipment v6: b=4",
            "helios equipment: a=1 own, b=4 own
             helios jobs: own-change added 1; own-change skipped superseded by v5; \
                          own-change skipped superseded by v5; own-change added 1",
        );
    }

    #[test]
    fn versions_count_by_organization_and_category() {
        check(
            "",
            "helios equipment v5: a=1
             helios adders v1: a=2
             pac equipment v1: a=3",
            "helios equipment: a=1 own
             helios adders: a=2 own
             pac equipment: a=3 own",
        );
    }

    #[test]
    fn an_event_without_a_version_is_never_superseded() {
        check(
            "",
            "helios equipment v5: a=1
             helios equipment: a=2
             helios equipment v5: a=3 => superseded",
            "helios equipment: a=2 own",
        );
    }

    #[test]
    fn a_superseded_event_goes_on_to_nobody() {
        check(
            "helios > pac: strict",
            "helios equipment v2: a=1
             helios equipment v1: a=2, b=2 => superseded",
            "pac equipment: a=1 from helios
             pac jobs: sync-change added 1",
        );
    }

    #[test]
    fn a_version_that_was_refused_by_a_lock_was_seen() {
        check(
            "helios > pac: strict",
            "pac equipment v2: a=1 => locked
             helios > pac: flexible
             pac equipment v2: a=1 => superseded
             pac equipment v3: a=1",
            "pac equipment: a=1 own",
        );
    }

    #[test]
    fn versions_of_a_partnership_count_by_partnership() {
        check(
            "",
            "helios > pac v3: flexible
             helios > pac v3: strict => superseded
             helios > pac v2: ended => superseded
             helios > roof v1: strict
             helios > pac v4: strict",
            "helios > pac: strict
             helios > roof: strict",
        );
    }

    #[test]
    fn a_partnership_event_without_a_version_leaves_the_last_one_in_force() {
        check(
            "",
            "helios > pac v3: flexible
             helios > pac: non-exclusive
             helios > pac v3: strict => superseded",
            "helios > pac: non-exclusive",
        );
    }

    #[test]
    fn a_partnership_event_that_was_rejected_counts_for_no_version() {
        check(
            "sunny > pac: strict",
            "helios > pac v3: strict => exclusive-conflict with the exclusive partnership of sunny
             sunny > pac: ended
             helios > pac v3: strict",
            "helios > pac: strict",
        );
    }

    #[test]
    fn a_snapshot_sets_all_of_its_entries_and_removes_the_others() {
        check(
            "helios equipment: same=1 own, changed=1 own, gone=1 own
             helios adders: other=1 own",
            "helios equipment snapshot: same=1, changed=2, new=3",
            "helios equipment: changed=2 own, new=3 own, same=1 own
             helios adders: other=1 own
             helios jobs: own-change added 1, changed 1, removed 1, unchanged 1",
        );
    }

    #[test]
    fn a_snapshot_reaches_downstreams_as_what_it_changed_effectively() {
        check(
            "helios > pac: strict
             helios > roof: flexible
             helios equipment: same=1 own, changed=1 own, gone=1 own
             pac equipment: changed=1 from helios, gone=1 from helios, same=1 from helios
             roof equipment: changed=1 from helios, gone=1 from helios",
            "helios equipment snapshot: same=1, changed=2, new=3",
            "pac equipment: changed=2 from helios, new=3 from helios, same=1 from helios
             pac jobs: sync-change added 1, changed 1, removed 1
             roof equipment: changed=1 from helios, gone=1 from helios, new=3 from helios
             roof jobs: sync-change added 1",
        );
    }

    #[test]
    fn the_same_snapshot_twice_changes_nothing_the_second_time() {
        given("helios > pac: strict")
            .when("helios equipment snapshot: a=1, b=2")
            .when("helios equipment snapshot: a=1, b=2")
            .then(
                "helios jobs: own-change unchanged 2, skipped in-step
                 pac jobs: none",
            );
    }

    #[test]
    fn a_snapshot_that_would_empty_a_category_must_say_allow_empty() {
        check(
            "helios > pac: strict
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios",
            "helios equipment snapshot: nothing => empty-snapshot of 2",
            "helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios
             helios jobs: own-change rejected
             pac jobs: none",
        );
        check(
            "helios > pac: strict
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios",
            "helios equipment snapshot allow-empty: nothing",
            "helios equipment: nothing
             pac equipment: nothing",
        );
    }

    #[test]
    fn a_snapshot_that_would_remove_the_only_entry_must_say_so_too() {
        check(
            "helios equipment: a=1 own",
            "helios equipment snapshot: nothing => empty-snapshot of 1",
            "helios equipment: a=1 own",
        );
    }

    #[test]
    fn an_empty_snapshot_of_an_empty_category_is_no_mistake() {
        check(
            "",
            "helios equipment snapshot: nothing
             helios equipment snapshot allow-empty: nothing",
            "helios equipment: nothing",
        );
    }

    #[test]
    fn an_empty_snapshot_that_was_rejected_counts_for_no_version() {
        check(
            "helios equipment: a=1 own",
            "helios equipment v2: b=1
             helios equipment v3 snapshot: nothing => empty-snapshot of 2
             helios equipment v3 snapshot allow-empty: nothing",
            "helios equipment: nothing",
        );
    }

    #[test]
    fn whether_a_set_adds_or_changes_is_decided_against_what_the_organization_has() {
        check(
            "helios equipment: a=1 own",
            "helios equipment: a=2, b=2",
            "helios jobs: own-change added 1, changed 1",
        );
    }

    #[test]
    fn a_default_slot_is_set_changed_and_cleared() {
        given("helios > pac: strict")
            .when("helios default-costs: battery=1")
            .then(
                "helios jobs: own-change added 1
                 pac jobs: sync-change added 1
                 pac default-costs: battery=1 from helios",
            )
            .when("helios default-costs: battery=2")
            .then(
                "helios jobs: own-change changed 1
                 pac jobs: sync-change changed 1
                 pac default-costs: battery=2 from helios",
            )
            .when("helios default-costs: -battery")
            .then(
                "helios jobs: own-change removed 1
                 pac jobs: sync-change removed 1
                 pac default-costs: nothing",
            );
    }

    #[test]
    fn a_category_that_is_never_synced_changes_nobody() {
        let mut scenario = given("helios > pac: strict").when("helios notifications: a=1 => ignored");
        scenario.model.settle();
        assert_eq!(scenario.model.jobs, []);
        scenario.then(
            "helios notifications: nothing
             pac notifications: nothing",
        );
    }

    #[test]
    fn the_mode_that_counts_is_the_one_when_the_job_runs_in_its_downstreams_order() {
        // All events are in before the first job runs; each job finds the mode of its own place in the order.
        let mut model = Model::built_in();
        let events: Vec<EventNo> = [
            "helios > pac: strict",
            "helios equipment: a=1",
            "pac equipment: a=2",
            "helios > pac: flexible",
            "helios equipment: a=3, b=3",
            "pac equipment: a=4",
        ]
        .map(|said| model.publish(event(said)))
        .to_vec();
        model.settle();

        let fates: Vec<String> = events.iter().map(|event| fate(&model, *event)).collect();
        assert_eq!(fates, ["applied", "applied", "locked", "applied", "applied", "applied"]);
        let state = model.state();
        let values: Vec<(&str, &str, &str)> = state
            .settings
            .iter()
            .filter(|((organization, ..), _)| organization == "pac")
            .map(|((.., key), setting)| (key.as_str(), setting.value.as_str(), setting.origin.as_str()))
            .collect();
        assert_eq!(values, [("a", "4", "own"), ("b", "3", "helios")]);
    }
}
