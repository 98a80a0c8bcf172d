//! What a replay does: an old job that was given up, or done, is done once more, and never overwrites anything
//! newer. Each test gives jobs up, lets newer things happen, and replays.

use channel_sync::domain::mailbox::JobKind;

use crate::scenario::given;

mod own_change {
    use super::*;

    #[test]
    fn one_that_nothing_overtook_is_applied_and_goes_on() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
        )
        .when_failing("helios", "helios equipment: a=2, b=2")
        .when_all_are_replayed()
        .then(
            "helios equipment: a=2 own, b=2 own
             helios equipment events: a=e1, b=e1
             helios jobs: own-change added 1, changed 1
             pac equipment: a=2 from helios, b=2 from helios",
        );
    }

    #[test]
    fn entries_that_later_own_events_named_are_left_alone() {
        given("helios equipment: a=1 own, b=1 own, c=1 own")
            .when_failing("helios", "helios equipment: a=2, b=2, -c, d=2")
            .when(
                "helios equipment: a=3
                 helios equipment: -b, c=1",
            )
            .when_all_are_replayed()
            .then(
                "helios equipment: a=3 own, c=1 own, d=2 own
                 helios equipment events: a=e2, c=given, d=e1
                 helios jobs: own-change added 1, overtaken 3",
            );
    }

    #[test]
    fn later_events_of_other_categories_overtake_nothing() {
        given("")
            .when_failing("helios", "helios equipment: a=2")
            .when("helios adders: a=3")
            .when_all_are_replayed()
            .then("helios equipment: a=2 own\nhelios jobs: own-change added 1");
    }

    #[test]
    fn later_events_that_were_refused_or_failed_overtake_nothing() {
        given("")
            .when_failing("helios", "helios equipment: a=2\nhelios equipment: a=3")
            .when("helios equipment v7: b=1\nhelios equipment v7: a=4 => superseded")
            .when_all_are_replayed()
            .then(
                "helios equipment: a=3 own, b=1 own
                 helios jobs: own-change added 1; own-change changed 1",
            );
    }

    #[test]
    fn a_later_snapshot_overtakes_the_whole_category() {
        given("helios equipment: a=1 own")
            .when_failing("helios", "helios equipment: a=2, b=2")
            .when("helios equipment snapshot: a=3")
            .when_all_are_replayed()
            .then(
                "helios equipment: a=3 own
                 helios jobs: own-change overtaken 2, skipped overtaken",
            );
    }

    #[test]
    fn a_snapshot_sets_what_is_not_overtaken_and_removes_nothing_where_anything_is() {
        given("helios equipment: a=1 own, b=1 own, c=1 own")
            .when_failing("helios", "helios equipment snapshot: a=2, b=2")
            .when("helios equipment: b=3")
            .when_all_are_replayed()
            .then(
                "helios equipment: a=2 own, b=3 own, c=1 own
                 helios jobs: own-change changed 1, overtaken 1",
            );
    }

    #[test]
    fn a_snapshot_that_nothing_overtook_removes() {
        given("helios equipment: a=1 own, c=1 own")
            .when_failing("helios", "helios equipment snapshot: a=2")
            .when_all_are_replayed()
            .then("helios equipment: a=2 own\nhelios jobs: own-change changed 1, removed 1");
    }

    #[test]
    fn what_a_later_change_of_the_upstream_brought_is_left_alone() {
        given(
            "helios > pac: flexible
             pac equipment: b=1 own",
        )
        .when_failing("pac", "pac equipment: a=5, b=5")
        .when("helios equipment: a=6")
        .when_all_are_replayed()
        .then(
            "pac equipment: a=6 from helios, b=5 own
             pac jobs: own-change changed 1, overtaken 1",
        );
    }

    #[test]
    fn what_a_later_change_of_the_upstream_took_away_does_not_come_back() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
        )
        .when("helios > pac: flexible")
        .when_failing("pac", "pac equipment: a=5")
        .when(
            "helios > pac: strict
             helios equipment: -a
             helios > pac: flexible",
        )
        .when_all_are_replayed()
        .then("pac equipment: nothing\npac jobs: own-change overtaken 1, skipped overtaken");
    }

    #[test]
    fn a_later_reconcile_that_removed_something_overtakes_everything() {
        given("pac equipment: z=1 own")
            .when_failing("pac", "pac equipment: b=5\npac adders: c=5")
            .when("helios > pac: strict\nhelios > pac: flexible")
            .when_all_are_replayed()
            .then(
                "pac equipment: nothing
                 pac adders: nothing
                 pac jobs: own-change overtaken 1, skipped overtaken; own-change overtaken 1, skipped overtaken",
            );
    }

    #[test]
    fn a_later_reconcile_that_removed_nothing_overtakes_only_what_is_there() {
        given("helios equipment: a=1 own")
            .when_failing("pac", "pac equipment: a=5, b=5\npac adders: c=5")
            .when("helios > pac: flexible")
            .when_all_are_replayed()
            .then(
                "pac equipment: a=1 from helios, b=5 own
                 pac adders: c=5 own
                 pac jobs: own-change added 1, overtaken 1; own-change added 1",
            );
    }

    #[test]
    fn a_later_reconcile_that_changed_nothing_overtakes_nothing() {
        given("helios licenses: l=1 own")
            .when_failing("pac", "pac equipment: b=5")
            .when("helios > pac: flexible")
            .when_all_are_replayed()
            .then("pac equipment: b=5 own");
    }

    #[test]
    fn a_later_version_supersedes_it() {
        given("")
            .when_failing("helios", "helios equipment v1: a=1")
            .when("helios equipment v2: b=2")
            .when_all_are_replayed()
            .then("helios equipment: b=2 own\nhelios jobs: own-change skipped superseded by v2");
    }

    #[test]
    fn what_is_locked_by_now_refuses_it() {
        given("")
            .when_failing("pac", "pac equipment: a=1")
            .when("helios > pac: strict")
            .when_all_are_replayed()
            .then("pac equipment: nothing\npac jobs: own-change skipped locked by helios");
    }

    #[test]
    fn an_empty_snapshot_is_still_refused_where_there_are_entries() {
        given("helios equipment: a=1 own")
            .when_failing("helios", "helios equipment snapshot: nothing")
            .when_all_are_replayed()
            .then("helios equipment: a=1 own\nhelios jobs: own-change rejected");
    }
}

mod partnership_change {
    use super::*;

    #[test]
    fn flags_that_nothing_set_since_are_stored_and_a_reconcile_follows() {
        given("helios equipment: a=1 own")
            .when_failing("pac", "helios > pac: strict")
            .when_all_are_replayed()
            .then(
                "helios > pac: strict
                 pac equipment: a=1 from helios
                 pac jobs: partnership-change off to strict, reconcile follows; reconcile added 1",
            );
    }

    #[test]
    fn flags_that_a_later_event_set_stay() {
        given("helios equipment: a=1 own")
            .when_failing("pac", "helios > pac: strict")
            .when("helios > pac: flexible")
            .when_all_are_replayed()
            .then(
                "helios > pac: flexible
                 pac jobs: partnership-change skipped flags-set-since",
            );
    }

    #[test]
    fn the_reconcile_that_follows_is_a_replay_too() {
        // An invitation matches; what the partner has edited since is newer.
        given("helios equipment: a=1 own, b=1 own")
            .when_failing("pac", "helios > pac: invited flexible")
            .when("pac equipment: a=5, c=5")
            .when_all_are_replayed()
            .then(
                "pac equipment: a=5 own, b=1 from helios, c=5 own
                 pac jobs: partnership-change off to flexible, reconcile follows; reconcile added 1, overtaken 2",
            );
    }

    #[test]
    fn an_exclusive_partnership_that_came_since_is_in_the_way() {
        given("")
            .when_failing("pac", "helios > pac: non-exclusive")
            .when("sunny > pac: strict")
            .when_all_are_replayed()
            .then("helios > pac: unknown\npac jobs: partnership-change rejected");
    }
}

mod sync_change {
    use super::*;

    #[test]
    fn a_match_brings_what_the_upstream_has_now() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own, b=1 own
             pac equipment: a=1 from helios, b=1 from helios",
        )
        .when_failing("pac", "helios equipment: a=2, -b, c=2")
        // Nobody told pac of these either.
        .when_failing("pac", "helios equipment: a=3, b=3, -c")
        .when_all_are_replayed()
        .then(
            "pac equipment: a=3 from helios, b=3 from helios
             pac jobs: sync-change changed 2, unchanged 1; sync-change unchanged 3, skipped in-step",
        );
    }

    #[test]
    fn what_a_match_brings_is_as_new_as_the_entry_of_the_upstream() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
        )
        .when_failing("pac", "helios equipment: a=2\nhelios equipment: a=3")
        .when_all_are_replayed()
        .then("pac equipment events: a=e2");
    }

    #[test]
    fn a_match_that_later_changes_have_overtaken_changes_nothing() {
        given(
            "helios > pac: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios",
        )
        .when_failing("pac", "helios equipment: a=2")
        .when("helios equipment: a=3")
        .when_all_are_replayed()
        .then(
            "pac equipment: a=3 from helios
             pac equipment events: a=e2
             pac jobs: sync-change unchanged 1, skipped in-step",
        );
    }

    #[test]
    fn what_a_match_brings_goes_on_to_the_next_tier() {
        given(
            "helios > pac: strict
             pac > roof: strict
             helios equipment: a=1 own
             pac equipment: a=1 from helios
             roof equipment: a=1 from pac",
        )
        .when_failing("pac", "helios equipment: a=2")
        .when_all_are_replayed()
        .then("roof equipment: a=2 from pac\nroof jobs: sync-change changed 1");
    }

    #[test]
    fn a_merge_adds_what_the_change_added_and_the_upstream_still_has() {
        given("helios > pac: flexible")
            .when_failing("pac", "helios equipment: a=1, b=1")
            .when("helios equipment: a=2, -b")
            .when_all_are_replayed()
            .then(
                "pac equipment: a=2 from helios
                 pac jobs: sync-change added 1, unchanged 1",
            );
    }

    #[test]
    fn a_merge_leaves_alone_what_is_newer() {
        given("helios > pac: flexible")
            .when_failing("pac", "helios equipment: a=1, b=1, c=1")
            .when(
                "pac equipment: a=5
                 pac equipment: b=5
                 pac equipment: -b",
            )
            .when_all_are_replayed()
            .then(
                "pac equipment: a=5 own, c=1 from helios
                 pac jobs: sync-change added 1, overtaken 2",
            );
    }

    #[test]
    fn a_merge_adds_what_is_missing_though_later_changes_that_did_not_bring_it_named_it() {
        given("helios > pac: non-exclusive\nsunny adders: s=1 own")
            .when_failing("pac", "helios equipment: a=1")
            .when("helios equipment: a=2, b=1\nsunny > pac: non-exclusive")
            .when_all_are_replayed()
            .then(
                "pac equipment: a=2 from helios, b=1 from helios
                 pac adders: s=1 from sunny",
            );
    }

    #[test]
    fn what_was_declined_stays_away() {
        given("helios > pac: flexible")
            .when("helios equipment: a=1")
            .when("pac equipment: -a")
            .when_done_again("e1", JobKind::SyncChange, "pac")
            .then(
                "pac equipment: nothing
                 pac declined: equipment a of helios",
            );
    }

    #[test]
    fn one_that_was_done_changes_nothing_more() {
        for mode in ["flexible", "strict"] {
            given(&format!("helios > pac: {mode}"))
                .when("helios equipment: a=1, b=1")
                .when_done_again("e1", JobKind::SyncChange, "pac")
                .then(
                    "pac equipment: a=1 from helios, b=1 from helios
                     pac jobs: sync-change unchanged 2, skipped in-step",
                );
        }
    }

    #[test]
    fn where_the_rules_reach_nothing_any_more_the_job_says_so() {
        let failed = || given("helios > pac: strict").when_failing("pac", "helios default-costs: battery=1");
        failed()
            .when("helios > pac: off")
            .when_all_are_replayed()
            .then("pac jobs: sync-change skipped sync-off");
        failed()
            .when("helios > pac: flexible")
            .when_all_are_replayed()
            .then("pac jobs: sync-change skipped not-reached");
        failed().when("helios > pac: flexible\nhelios > pac: strict").when_all_are_replayed().then(
            "pac default-costs: battery=1 from helios
                 pac jobs: sync-change skipped taken-in-since",
        );
    }
}

mod reconcile {
    use super::*;

    /// The partnership-change of e1 is done, and the reconcile that follows fails.
    fn reconcile_failed(given_lines: &str, begins: &str) -> crate::scenario::Scenario {
        let mut scenario = given(given_lines);
        let pac = scenario.model.organization("pac");
        scenario.model.publish(crate::scenario::event(begins));
        scenario.model.step();
        scenario.model.settle_failing(pac);
        assert_eq!(scenario.model.given_up.len(), 1);
        scenario
    }

    #[test]
    fn strict_matches_against_the_upstream_of_now_whatever_is_newer() {
        reconcile_failed("helios equipment: a=1 own\npac equipment: b=5 own", "helios > pac: strict")
            .when("helios equipment: a=2, c=2")
            .when_all_are_replayed()
            .then(
                "pac equipment: a=2 from helios, c=2 from helios
                 pac jobs: reconcile removed 1, unchanged 2",
            );
    }

    #[test]
    fn an_invitation_leaves_alone_what_is_newer() {
        reconcile_failed(
            "helios equipment: a=1 own, b=1 own, c=1 own\npac equipment: x=5 own, y=5 own",
            "helios > pac: invited flexible",
        )
        .when("pac equipment: a=6, x=6")
        .when("helios equipment: d=1")
        .when_all_are_replayed()
        .then(
            "pac equipment: a=6 own, b=1 from helios, c=1 from helios, d=1 from helios, x=6 own
             pac jobs: reconcile added 2, removed 1, overtaken 3
             pac archive: equipment y=5 own",
        );
    }

    #[test]
    fn a_strict_invitation_leaves_alone_what_is_newer_in_categories_that_it_does_not_lock() {
        reconcile_failed(
            "helios licenses: l=1 own, m=1 own\nhelios equipment: a=1 own",
            "helios > pac: invited strict",
        )
        .when("pac licenses: l=6, n=6")
        .when_all_are_replayed()
        .then(
            "pac licenses: l=6 own, m=1 from helios, n=6 own
             pac equipment: a=1 from helios
             pac jobs: reconcile added 2, overtaken 2",
        );
    }

    #[test]
    fn a_merge_leaves_alone_what_is_newer() {
        reconcile_failed("helios equipment: a=1 own, b=1 own", "helios > pac: flexible")
            .when("pac equipment: a=5\npac equipment: -a")
            .when_all_are_replayed()
            .then("pac equipment: b=1 from helios\npac jobs: reconcile added 1, overtaken 1");
    }

    #[test]
    fn it_takes_no_change_off_the_way() {
        // The change of e2 reaches pac by its own letter, before and after.
        let mut scenario = reconcile_failed("helios equipment: a=1 own", "helios > pac: flexible");
        let before: Vec<_> = scenario.model.partnerships().map(|one| one.since).collect();
        scenario = scenario.when("helios equipment: b=1").when_all_are_replayed();
        let after: Vec<_> = scenario.model.partnerships().map(|one| one.since).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn where_sync_is_off_by_now_it_says_so() {
        reconcile_failed("helios equipment: a=1 own", "helios > pac: flexible")
            .when("helios > pac: ended")
            .when_all_are_replayed()
            .then("pac equipment: nothing\npac jobs: reconcile skipped sync-off");
    }

    #[test]
    fn one_that_was_done_takes_nothing_from_what_is_newer() {
        given("helios equipment: a=1 own")
            .when("helios > pac: invited flexible\npac equipment: a=5, b=5")
            .when_done_again("e1", JobKind::Reconcile, "pac")
            .then(
                "pac equipment: a=5 own, b=5 own
                 pac jobs: reconcile overtaken 2, skipped overtaken",
            );
    }
}
