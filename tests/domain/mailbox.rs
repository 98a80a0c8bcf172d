//! The order in which letters are worked off: who waits for whom, who goes on, and what follows.
//!
//! Each test takes letters into batches by hand, as executors may; the model tells each batch what is
//! outside it. Letters are named by what they do: the event and the organization.

use channel_sync::domain::decide::Skipped;
use channel_sync::domain::mailbox::{
    Batch, Done, FollowUp, JobDone, JobKind, Letter, LetterNo, NewLetter, Recipients, Work, numbers_needed,
};
use channel_sync::domain::{ChangeNo, Position, Shard};

use crate::model::Model;
use crate::scenario::{event, fate, given, terms};

/// A platform on which these events were published and nothing was worked off.
fn with_letters(given_lines: &str, events: &[&str]) -> Model {
    let mut model = given(given_lines).model;
    for line in events {
        model.publish(event(line));
    }
    model
}

/// The letter of this kind for this root event: `e1` its own, `e1 sync` a sync-change, `e1 reconcile`.
#[track_caller]
fn letter(model: &Model, name: &str) -> Letter {
    let (id, kind) = name.split_once(' ').unwrap_or((name, "own"));
    let is_it = |letter: &&Letter| {
        let found = match letter.work {
            Work::OwnChange { .. } | Work::PartnershipChange { .. } => "own",
            Work::SyncChange { .. } => "sync",
            Work::Reconcile(_) => "reconcile",
        };
        model.event_id(letter.event) == id && found == kind
    };
    let found: Vec<&Letter> = model.letters.values().filter(is_it).collect();
    assert_eq!(found.len(), 1, "letters named {name:?}: {found:#?}");
    found[0].clone()
}

/// Works off these letters, and no others.
#[track_caller]
fn run(model: &mut Model, letters: &[&str]) -> Done {
    run_with(model, letters, |_| {})
}

#[track_caller]
fn run_with(model: &mut Model, letters: &[&str], adjust: impl FnOnce(&mut Batch)) -> Done {
    let letters: Vec<LetterNo> = letters.iter().map(|name| letter(model, name).no).collect();
    model.run_batch_with(&letters, adjust)
}

/// The jobs of a batch in the order in which they were done, as `e1 own-change helios`.
fn jobs(model: &Model, done: &Done) -> Vec<String> {
    let name = |job: &JobDone| {
        let kind = match job.kind {
            JobKind::OwnChange => "own-change",
            JobKind::PartnershipChange => "partnership-change",
            JobKind::SyncChange => "sync-change",
            JobKind::Reconcile => "reconcile",
        };
        format!("{} {kind} {}", model.event_id(job.event), model.organization_name(job.organization))
    };
    done.jobs.iter().map(name).collect()
}

/// The entries of an organization in `equipment`, as `a=1 b=2`.
fn equipment(model: &Model, organization: &str) -> String {
    let state = model.state();
    let entries = state
        .settings
        .iter()
        .filter(|((name, category, _), _)| name == organization && category == "equipment");
    let entries: Vec<String> =
        entries.map(|((.., key), setting)| format!("{key}={}", setting.value)).collect();
    entries.join(" ")
}

/// Organizations are spread over three shards in the order of their first mention: the first, the fourth
/// and the seventh share one, the second, the fifth and the eighth another.
mod shards {
    use super::*;

    #[test]
    fn an_organization_lives_in_the_shard_of_its_number() {
        let mut model = Model::built_in();
        let shards: Vec<Shard> =
            ["a", "b", "c", "d", "e"].map(|name| model.organization(name).shard()).to_vec();
        assert_eq!(shards, [Shard(1), Shard(2), Shard(3), Shard(1), Shard(2)]);
    }

    #[test]
    fn a_change_goes_out_in_one_letter_for_each_shard_whatever_the_number_of_downstreams() {
        let partners: String = (0..40).map(|number| format!("helios > partner-{number}: strict\n")).collect();
        let mut model = with_letters(&partners, &["helios equipment: a=1"]);
        let done = run(&mut model, &["e1"]);
        assert_eq!(done.changes.len(), 1);
        assert_eq!(done.letters_new.len(), 3);
        model.settle();
        for number in 0..40 {
            assert_eq!(equipment(&model, &format!("partner-{number}")), "a=1");
        }
    }

    #[test]
    fn shards_where_nobody_is_reached_get_no_letter() {
        let mut model = with_letters(
            "helios > pac: strict
             helios > roof: off
             helios > tile: ended",
            &["helios equipment: a=1"],
        );
        let done = run(&mut model, &["e1"]);
        let pac = model.organization("pac");
        let to: Vec<FollowUp> = done.letters_new.iter().map(|letter| letter.work).collect();
        assert_eq!(to, [FollowUp::SyncChange(done.changes[0].no, Recipients::Shard(pac.shard()))]);
    }

    #[test]
    fn a_change_that_reaches_nobody_is_not_recorded() {
        for (partnership, said) in [
            ("helios > pac: off", "helios equipment: a=2, b=2"),
            ("helios > pac: flexible", "helios equipment: a=2, -c"),
            ("helios > pac: flexible", "helios default-costs: battery=2"),
            ("helios > pac: strict", "helios licenses: nabcep=2"),
            ("helios > pac: strict", "helios equipment: a=1"),
        ] {
            let mut model =
                with_letters(&format!("{partnership}\nhelios equipment: a=1 own, c=1 own"), &[said]);
            let done = run(&mut model, &["e1"]);
            assert_eq!(done.changes, [], "{partnership}, {said}");
            assert_eq!(done.letters_new, [], "{partnership}, {said}");
            let helios = model.organization("helios");
            assert_eq!(model.world.last_change(helios).change, ChangeNo(0));
        }
    }
}

mod order {
    use super::*;

    #[test]
    fn letters_go_by_position_in_whatever_order_they_were_taken() {
        let events = ["helios equipment: a=1", "helios equipment: a=2", "helios equipment: a=3"];
        let mut model = with_letters("", &events);
        let done = run_with(&mut model, &["e3", "e1", "e2"], |batch| batch.letters.reverse());
        assert_eq!(
            jobs(&model, &done),
            ["e1 own-change helios", "e2 own-change helios", "e3 own-change helios"]
        );
        assert_eq!(equipment(&model, "helios"), "a=3");
    }

    #[test]
    fn letters_of_one_position_go_by_their_cause() {
        let mut model =
            with_letters("helios > pac: strict", &["helios equipment: a=1", "helios equipment: a=2"]);
        run(&mut model, &["e1", "e2"]);
        // As after a helios whose changes were late. The letter of the first one was split, and is younger.
        let first = letter(&model, "e1 sync");
        model.letters.remove(&first.no);
        model.put_letter(first.position, first.event, first.work);
        for letter in model.letters.values_mut() {
            letter.position = Position(9);
        }
        let done = run(&mut model, &["e2 sync", "e1 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change pac", "e2 sync-change pac"]);
        assert_eq!(equipment(&model, "pac"), "a=2");
    }

    #[test]
    fn changes_of_one_upstream_reach_a_downstream_in_its_order() {
        let events = ["helios equipment: a=1", "helios equipment: -a", "helios equipment: a=3"];
        let mut model = with_letters("helios > pac: strict", &events);
        run(&mut model, &["e1", "e2", "e3"]);
        let done = run(&mut model, &["e3 sync", "e2 sync", "e1 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change pac", "e2 sync-change pac", "e3 sync-change pac"]);
        assert_eq!(equipment(&model, "pac"), "a=3");
    }

    #[test]
    fn a_letter_stands_at_the_place_of_its_root_event() {
        let mut model = with_letters(
            "helios > pac: strict
             pac > roof: strict",
            &["helios adders: x=1", "helios equipment: a=1"],
        );
        run(&mut model, &["e1", "e2"]);
        run(&mut model, &["e2 sync"]);
        let root = letter(&model, "e2 sync");
        let first = model.event_no("e1").unwrap();
        assert_eq!((root.position, root.event.0), (Position(first.0 + 1), first.0 + 1));
    }

    #[test]
    fn the_positions_of_an_upstreams_changes_never_go_back() {
        // pac edits at the place of e2 before what helios did at the place of e1 has come to it.
        let mut model = with_letters(
            "helios > pac: flexible
             pac > roof: strict",
            &["helios equipment: a=1", "pac equipment: a=2, b=2"],
        );
        run(&mut model, &["e2"]);
        run(&mut model, &["e1"]);
        let late = run(&mut model, &["e1 sync"]);
        assert_eq!(late.letters_new, [], "a was there already");
        run(&mut model, &["e2 sync"]);

        model.publish(event("helios adders: x=1"));
        model.publish(event("pac adders: y=1"));
        run(&mut model, &["e4"]);
        run(&mut model, &["e3"]);
        let late = run(&mut model, &["e3 sync"]);
        let e4 = Position(model.event_no("e4").unwrap().0);
        assert_eq!(late.letters_new[0].position, e4, "not before pac's change of e4");
        let pac = model.organization("pac");
        assert_eq!(model.world.last_change(pac).position, e4);
        assert_eq!(model.world.last_change(pac).change, late.changes[0].no);

        let done = run(&mut model, &["e3 sync", "e4 sync"]);
        assert_eq!(jobs(&model, &done), ["e4 sync-change roof", "e3 sync-change roof"]);
    }

    #[test]
    fn an_empty_batch_does_nothing() {
        let mut model = with_letters("", &["helios equipment: a=1"]);
        let done = run(&mut model, &[]);
        assert!(done.letters_done.is_empty() && done.jobs.is_empty());
        assert_eq!(model.letters.len(), 1);
    }
}

mod lining_up {
    use super::*;

    #[test]
    fn what_comes_for_an_organization_lines_up_behind_its_letter_and_everybody_else_goes_on() {
        let events = ["pac equipment: a=1", "roof equipment: b=1", "pac equipment: a=2", "pac adders: c=1"];
        let mut model = with_letters("", &events);
        // The first letter is not due yet.
        let done = run(&mut model, &["e2", "e3", "e4"]);
        assert_eq!(jobs(&model, &done), ["e2 own-change roof"]);
        assert_eq!(model.letters.len(), 3);

        let done = run(&mut model, &["e1", "e3", "e4"]);
        assert_eq!(jobs(&model, &done), ["e1 own-change pac", "e3 own-change pac", "e4 own-change pac"]);
    }

    #[test]
    fn an_upstreams_letter_to_a_shard_holds_a_later_letter_of_a_downstream() {
        let events = ["helios equipment: a=1", "pac equipment: -a"];
        let mut model = with_letters("helios > pac: flexible", &events);
        run(&mut model, &["e1"]);
        let done = run(&mut model, &["e2"]);
        assert_eq!(jobs(&model, &done), [""; 0]);

        let done = run(&mut model, &["e2", "e1 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change pac", "e2 own-change pac"]);
        assert_eq!(equipment(&model, "pac"), "", "what came first was declined");
    }

    #[test]
    fn a_later_letter_outside_holds_nobody() {
        let mut model = with_letters("", &["pac equipment: a=1", "pac equipment: a=2"]);
        let done = run(&mut model, &["e1"]);
        assert_eq!(jobs(&model, &done), ["e1 own-change pac"]);
    }

    /// pac and slate live in one shard, and pac has a letter outside the batch.
    fn two_in_one_shard() -> Model {
        let events = ["pac adders: x=1", "helios equipment: a=1, b=1"];
        let mut model = with_letters(
            "helios > pac: strict
             helios > roof: off
             helios > tile: off
             helios > slate: strict",
            &events,
        );
        let shards = ["pac", "slate"].map(|name| model.organization(name).shard());
        assert_eq!(shards[0], shards[1]);
        run(&mut model, &["e2"]);
        model
    }

    #[test]
    fn a_letter_to_a_shard_is_split_where_one_of_its_members_is_held() {
        let mut model = two_in_one_shard();
        let shared = letter(&model, "e2 sync");
        let done = run(&mut model, &["e2 sync"]);
        assert_eq!(jobs(&model, &done), ["e2 sync-change slate"]);
        assert_eq!(done.letters_done, [shared.no]);

        let pac = model.organization("pac");
        let Work::SyncChange { change, .. } = shared.work else { panic!() };
        let to_pac = FollowUp::SyncChange(change.no, Recipients::One(pac));
        let (position, event, weight) = (shared.position, shared.event, 2);
        assert_eq!(done.letters_new, [NewLetter { position, event, work: to_pac, weight, replay: false }]);
    }

    #[test]
    fn what_was_split_off_runs_in_its_turn() {
        let mut model = two_in_one_shard();
        run(&mut model, &["e2 sync"]);
        let done = run(&mut model, &["e2 sync"]);
        assert!(done.jobs.is_empty(), "pac is still held");

        let done = run(&mut model, &["e2 sync", "e1"]);
        assert_eq!(jobs(&model, &done), ["e1 own-change pac", "e2 sync-change pac"]);
        assert_eq!(equipment(&model, "pac"), "a=1 b=1");
        assert!(model.letters.is_empty());
    }

    #[test]
    fn a_letter_is_not_split_for_a_member_that_joined_after_its_change() {
        let mut model = with_letters(
            "helios > slate: strict
             helios > roof: off
             helios > tile: off",
            &["helios equipment: a=1", "helios > pac: flexible"],
        );
        let [pac, slate] = ["pac", "slate"].map(|name| model.organization(name));
        assert_eq!(pac.shard(), slate.shard());
        run(&mut model, &["e1"]);
        run(&mut model, &["e2"]);
        let done = run_with(&mut model, &["e1 sync"], |batch| {
            batch.held.insert(pac);
        });
        assert_eq!(jobs(&model, &done), ["e1 sync-change slate"]);
        assert_eq!(done.letters_new, []);
    }

    #[test]
    fn a_change_made_before_the_partnership_began_is_not_for_its_downstream() {
        // pac and slate live in one shard: pac is a member when the letter is worked off.
        let mut model = with_letters(
            "helios > slate: strict
             helios > roof: off
             helios > tile: off
             helios > pac: ended",
            &["helios equipment: a=1", "helios > pac: strict"],
        );
        let shards = ["pac", "slate"].map(|name| model.organization(name).shard());
        assert_eq!(shards[0], shards[1]);
        run(&mut model, &["e1"]);
        run_with(&mut model, &["e2"], |batch| batch.held.clear());
        let done = run_with(&mut model, &["e1 sync"], |batch| batch.held.clear());
        assert_eq!(jobs(&model, &done), ["e1 sync-change slate"]);

        let done = run(&mut model, &["e2 reconcile"]);
        assert_eq!(jobs(&model, &done), ["e2 reconcile pac"]);
        assert_eq!(equipment(&model, "pac"), "a=1");
    }
}

mod partnerships {
    use super::*;

    #[test]
    fn the_reconcile_comes_before_the_later_letters_of_the_downstream() {
        let events = ["helios > pac: strict", "pac equipment: a=2", "roof equipment: b=1"];
        let mut model = with_letters("helios equipment: a=1 own", &events);
        let done = run(&mut model, &["e1", "e2", "e3"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac", "e3 own-change roof"]);
        assert_eq!(letter(&model, "e1 reconcile").position, letter(&model, "e2").position_before());

        let done = run(&mut model, &["e2"]);
        assert!(done.jobs.is_empty(), "the reconcile is outside");

        let done = run(&mut model, &["e2", "e1 reconcile"]);
        assert_eq!(jobs(&model, &done), ["e1 reconcile pac", "e2 own-change pac"]);
        assert_eq!(fate(&model, model.event_no("e2").unwrap()), "locked");
        assert_eq!(equipment(&model, "pac"), "a=1");
    }

    #[test]
    fn a_partnership_change_that_begins_nothing_holds_nobody_up() {
        let events = ["helios > pac: flexible", "pac equipment: a=2"];
        let mut model = with_letters("helios > pac: strict", &events);
        let done = run(&mut model, &["e1", "e2"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac", "e2 own-change pac"]);
    }

    #[test]
    fn a_change_of_flags_that_begins_nothing_forgets_no_change_that_is_on_its_way() {
        // helios made its change before pac came to the flags, which stand earlier.
        let events = ["helios > pac: non-exclusive", "helios equipment: a=1"];
        let mut model = with_letters("helios > pac: flexible", &events);
        run(&mut model, &["e2"]);
        let done = run(&mut model, &["e1", "e2 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac", "e2 sync-change pac"]);
        assert_eq!(equipment(&model, "pac"), "a=1");
    }

    #[test]
    fn a_change_made_while_the_reconcile_waits_is_split_off_and_found_done() {
        let events = ["helios > pac: strict", "helios equipment: a=1"];
        let mut model = with_letters(
            "helios > pac: ended
             helios > roof: off
             helios > tile: off
             helios > slate: strict",
            &events,
        );
        run(&mut model, &["e1", "e2"]);
        let split = run(&mut model, &["e2 sync"]);
        assert_eq!(jobs(&model, &split), ["e2 sync-change slate"]);
        let to_pac = Recipients::One(model.organization("pac"));
        assert!(matches!(split.letters_new[0].work, FollowUp::SyncChange(_, to) if to == to_pac));

        let done = run(&mut model, &["e2 sync", "e1 reconcile"]);
        // The reconcile saw helios as it was by then, so that the change had nothing left to bring.
        assert_eq!(jobs(&model, &done), ["e1 reconcile pac"]);
        assert!(model.letters.is_empty());
        assert_eq!(equipment(&model, "pac"), "a=1");
    }

    #[test]
    fn a_partnership_change_waits_for_the_upstreams_earlier_letters() {
        let events = ["helios equipment: a=1", "helios > pac: flexible"];
        let mut model = with_letters("", &events);
        let done = run(&mut model, &["e2"]);
        assert!(done.jobs.is_empty());

        let done = run(&mut model, &["e1", "e2"]);
        assert_eq!(jobs(&model, &done), ["e1 own-change helios", "e2 partnership-change pac"]);
    }

    #[test]
    fn a_partnership_change_waits_for_a_change_that_its_own_batch_sends_on() {
        let events = ["helios equipment: a=2", "helios > pac: ended", "helios > slate: ended"];
        let mut model = with_letters("helios > pac: strict", &events);
        let done = run(&mut model, &["e1", "e2", "e3"]);
        // Slate was never helios' partner: nothing is on its way to it.
        assert_eq!(jobs(&model, &done), ["e1 own-change helios", "e3 partnership-change slate"]);
        model.settle();
        assert_eq!(equipment(&model, "pac"), "a=2");
    }

    #[test]
    fn a_partnership_change_waits_where_the_batch_leaves_the_upstreams_earlier_letter() {
        let events = ["helios equipment: a=1", "helios > pac: flexible", "pac equipment: b=1"];
        let mut model = with_letters("", &events);
        let helios = model.organization("helios");
        let done = run_with(&mut model, &["e1", "e2", "e3"], |batch| {
            batch.held.insert(helios);
        });
        assert!(done.jobs.is_empty(), "pac's letter lines up behind the one that waits");
        assert_eq!(model.letters.len(), 3);
    }

    #[test]
    fn a_partnership_change_does_not_wait_for_the_upstreams_later_letters() {
        let events = ["helios > pac: flexible", "helios equipment: a=1"];
        let mut model = with_letters("", &events);
        let done = run(&mut model, &["e1"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac"]);
    }

    #[test]
    fn a_reconcile_waits_for_the_upstreams_earlier_letters_too() {
        let events = ["sunny equipment: a=1", "helios > pac: strict"];
        let mut model = with_letters("sunny > helios: strict", &events);
        run(&mut model, &["e2"]);
        // What comes to helios now stands before the reconcile that reads helios.
        run(&mut model, &["e1"]);
        let done = run(&mut model, &["e2 reconcile"]);
        assert!(done.jobs.is_empty());

        let done = run(&mut model, &["e2 reconcile", "e1 sync"]);
        // What was loaded of helios, and of what pac had declined of it, was so before that.
        assert_eq!(jobs(&model, &done), ["e1 sync-change helios"]);
        model.settle();
        assert_eq!(equipment(&model, "pac"), "a=1");
    }

    #[test]
    fn a_reconcile_waits_for_that_of_its_upstream_where_both_begin_in_one_batch() {
        let events = ["sunny > helios: strict", "helios > pac: strict"];
        let mut model = with_letters("sunny equipment: a=1 own", &events);
        let done = run(&mut model, &["e1", "e2"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change helios"], "e2 reads helios");
        model.settle();
        assert_eq!(equipment(&model, "pac"), "a=1");
    }

    #[test]
    fn a_letter_that_waits_because_its_upstream_may_change_meanwhile_is_left_whole() {
        let mut model = with_letters("", &["helios > pac: flexible"]);
        let waiting = letter(&model, "e1").no;
        let done = run_with(&mut model, &["e1"], |batch| {
            batch.waiting.insert(waiting);
        });
        assert!(done.letters_done.is_empty() && done.verdicts.is_empty());
        model.settle();
        assert_eq!(fate(&model, model.event_no("e1").unwrap()), "applied");
    }

    #[test]
    fn a_reconcile_of_a_partnership_whose_sync_is_off_by_now_does_nothing() {
        // An operator parked the reconcile, so that what was behind it went on.
        let events = ["helios > pac: strict", "helios > pac: off"];
        let mut model = with_letters(
            "helios equipment: a=1 own
             pac equipment: b=2 own",
            &events,
        );
        run(&mut model, &["e1"]);
        run_with(&mut model, &["e2"], |batch| batch.held.clear());
        let done = run(&mut model, &["e1 reconcile"]);
        assert_eq!(done.jobs[0].skipped, Some(Skipped::SyncOff));
        assert_eq!(equipment(&model, "pac"), "b=2");
    }

    #[test]
    fn a_reconcile_goes_by_the_mode_of_when_it_runs() {
        let events = ["helios > pac: strict", "helios > pac: flexible"];
        let mut model = with_letters(
            "helios equipment: a=1 own
             pac equipment: b=2 own",
            &events,
        );
        run(&mut model, &["e1"]);
        run_with(&mut model, &["e2"], |batch| batch.held.clear());
        run(&mut model, &["e1 reconcile"]);
        assert_eq!(equipment(&model, "pac"), "a=1 b=2", "merged, not matched");
    }

    #[test]
    fn a_repair_of_what_is_not_strict_any_more_takes_nothing_in_and_what_is_on_its_way_still_comes() {
        let mut model = with_letters(
            "helios equipment: a=1 own
             helios > pac: strict",
            &["helios > pac: flexible"],
        );
        let of = |model: &Model, name: &str| model.find_organization(name).unwrap();
        let (helios, pac) = (of(&model, "helios"), of(&model, "pac"));
        let since = |model: &Model| model.world.partnership(helios, pac).unwrap().since;
        model.repair("repair", helios, pac);
        model.publish(event("helios equipment: b=1"));
        run(&mut model, &["e3"]);
        let before = since(&model);
        run(&mut model, &["e1"]);
        let done = run(&mut model, &["repair reconcile"]);
        assert_eq!(done.jobs[0].skipped, Some(Skipped::NotStrict));
        assert_eq!(since(&model), before);
        model.settle();
        assert_eq!(equipment(&model, "pac"), "b=1");
    }

    #[test]
    fn a_repair_comes_behind_what_was_taken_in_before_and_takes_in_what_the_upstream_has_by_then() {
        let mut model = with_letters("helios > pac: strict", &["helios equipment: a=1"]);
        let (helios, pac) =
            (model.find_organization("helios").unwrap(), model.find_organization("pac").unwrap());
        model.repair("repair", helios, pac);
        model.publish(event("helios equipment: a=2"));
        let done = run(&mut model, &["repair reconcile"]);
        assert!(done.jobs.is_empty(), "helios has an earlier letter");
        run(&mut model, &["e1", "e3"]);
        model.settle();
        let kinds: Vec<_> =
            model.jobs.iter().filter(|job| job.organization == pac).map(|job| job.kind).collect();
        assert_eq!(
            kinds,
            [JobKind::SyncChange, JobKind::Reconcile],
            "e3 was in what the repair has taken in"
        );
        assert_eq!(equipment(&model, "pac"), "a=2");
    }

    trait Before {
        fn position_before(&self) -> Position;
    }

    impl Before for Letter {
        fn position_before(&self) -> Position {
            Position(self.position.0 - 1)
        }
    }
}

mod cycles {
    use super::*;

    /// e2 would close a cycle with what e1 ends.
    fn an_end_and_a_turn() -> Model {
        let events = ["helios > pac: ended", "pac > helios: strict"];
        with_letters("helios > pac: flexible", &events)
    }

    #[test]
    fn no_cycle_is_found_before_an_earlier_partnership_event_has_been_worked_off() {
        let mut model = an_end_and_a_turn();
        let e2 = model.event_no("e2").unwrap();
        // Not waiting for its upstream, as where that has no letter of its own.
        let done = run_with(&mut model, &["e2"], |batch| batch.waiting.clear());
        assert!(done.letters_done.is_empty());
        assert_eq!(fate(&model, e2), "waiting");

        let done = run(&mut model, &["e2", "e1"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac", "e2 partnership-change helios"]);
        assert_eq!(fate(&model, e2), "applied");
    }

    #[test]
    fn no_cycle_is_found_before_an_earlier_one_that_the_batch_has_left() {
        let events = ["helios > pac: ended", "roof > helios: strict", "sunny > tile: strict"];
        let mut model = with_letters(
            "helios > pac: flexible
             pac > roof: flexible",
            &events,
        );
        let pac = model.organization("pac");
        // e1 is left; e3 comes later and is outside.
        let done = run_with(&mut model, &["e1", "e2"], |batch| {
            batch.held.insert(pac);
        });
        assert_eq!(done.verdicts, []);

        let done = run(&mut model, &["e1", "e2"]);
        assert_eq!(jobs(&model, &done), ["e1 partnership-change pac", "e2 partnership-change helios"]);
        assert_eq!(fate(&model, model.event_no("e2").unwrap()), "applied");
    }

    #[test]
    fn a_longer_cycle_is_not_found_either_before_an_earlier_end_elsewhere() {
        let events = ["pac > roof: ended", "roof > helios: strict"];
        let mut model = with_letters(
            "helios > pac: flexible
             pac > roof: flexible",
            &events,
        );
        let e2 = model.event_no("e2").unwrap();
        run_with(&mut model, &["e2"], |batch| batch.waiting.clear());
        assert_eq!(fate(&model, e2), "waiting");
        model.settle();
        assert_eq!(fate(&model, e2), "applied");
    }

    #[test]
    fn a_cycle_is_found_where_only_later_partnership_events_are_outstanding() {
        let events = ["pac > helios: strict", "helios > pac: ended"];
        let mut model = with_letters("helios > pac: flexible", &events);
        let done = run(&mut model, &["e1"]);
        assert!(done.jobs[0].rejected);
        let e1 = model.event_no("e1").unwrap();
        assert_eq!(fate(&model, e1), "partnership-cycle helios > pac > helios");
    }

    #[test]
    fn whoever_waits_for_a_verdict_holds_its_own_later_letters_only() {
        let mut model = an_end_and_a_turn();
        model.publish(event("helios equipment: a=1"));
        model.publish(event("roof equipment: b=1"));
        let done = run_with(&mut model, &["e2", "e3", "e4"], |batch| batch.waiting.clear());
        assert_eq!(jobs(&model, &done), ["e4 own-change roof"]);
    }

    #[test]
    fn an_exclusive_conflict_is_found_at_once() {
        // All partnerships of a downstream lie in its own mailbox, in order.
        let events = ["tile > roof: strict", "sunny > pac: strict"];
        let mut model = with_letters("helios > pac: strict", &events);
        let done = run(&mut model, &["e2"]);
        assert!(done.jobs[0].rejected);
    }

    #[test]
    fn a_partnership_that_closes_no_cycle_waits_for_no_other() {
        let events = ["tile > roof: strict", "helios > pac: strict"];
        let mut model = with_letters("", &events);
        let done = run(&mut model, &["e2"]);
        assert_eq!(jobs(&model, &done), ["e2 partnership-change pac"]);
    }
}

mod numbers {
    use super::*;

    fn needed(model: &Model, name: &str) -> usize {
        let batch = Batch { letters: vec![letter(model, name)], ..Batch::default() };
        numbers_needed(&model.world, &model.catalogue, &batch)
    }

    #[test]
    fn an_own_change_and_a_partnership_change_need_one_number() {
        let mut model =
            with_letters("helios > pac: strict", &["helios equipment: a=1", "pac > roof: strict"]);
        assert_eq!(needed(&model, "e1"), 1);
        assert_eq!(needed(&model, "e2"), 1);
        let letters: Vec<Letter> = model.letters.values().cloned().collect();
        let batch = Batch { letters, ..Batch::default() };
        assert_eq!(numbers_needed(&model.world, &model.catalogue, &batch), 2);
        model.settle();
    }

    #[test]
    fn a_change_to_a_shard_needs_one_for_each_member_that_has_downstreams() {
        let mut model = with_letters(
            "helios > pac: strict
             pac > roof: strict
             helios > tile: off
             helios > slate: strict",
            &["helios equipment: a=1"],
        );
        run(&mut model, &["e1"]);
        assert_eq!(needed(&model, "e1 sync"), 1, "pac has downstreams, slate has none");
    }

    #[test]
    fn a_reconcile_needs_one_for_each_category_of_a_partner_that_has_downstreams() {
        let mut model =
            with_letters("pac > roof: strict", &["helios > pac: strict", "helios > tile: strict"]);
        run(&mut model, &["e1", "e2"]);
        assert_eq!(needed(&model, "e1 reconcile"), model.catalogue.iter().count());
        assert_eq!(needed(&model, "e2 reconcile"), 0, "tile has no downstreams");
    }

    #[test]
    fn without_numbers_nothing_is_done_and_nothing_is_lost() {
        let events = ["helios > pac: strict", "pac equipment: a=1", "roof equipment: b=1"];
        let mut model = with_letters("", &events);
        let done = run_with(&mut model, &["e1", "e2", "e3"], |batch| batch.numbers.clear());
        assert!(done.letters_done.is_empty() && done.jobs.is_empty() && done.letters_new.is_empty());
        assert_eq!(model.letters.len(), 3);
        assert_eq!(model.state().partnerships.len(), 0, "no flags without their reconcile");
    }

    #[test]
    fn where_numbers_run_out_the_letters_from_there_on_are_left_in_order() {
        let events = ["helios equipment: a=1", "helios equipment: a=2", "helios equipment: a=3"];
        let mut model = with_letters("helios > pac: strict", &events);
        let done = run_with(&mut model, &["e1", "e2", "e3"], |batch| batch.numbers.truncate(2));
        assert_eq!(jobs(&model, &done), ["e1 own-change helios", "e2 own-change helios"]);
        model.settle();
        assert_eq!(equipment(&model, "pac"), "a=3");
    }

    #[test]
    fn changes_take_their_numbers_in_order() {
        let events = ["helios equipment: a=1", "helios equipment: a=2"];
        let mut model = with_letters("helios > pac: strict", &events);
        let done = run(&mut model, &["e1", "e2"]);
        assert!(done.changes[0].no < done.changes[1].no);
    }
}

mod weights {
    use super::*;

    /// The weights of the letters that an event makes, by shard.
    fn weights(given_lines: &str, said: &str) -> Vec<i64> {
        let mut model = with_letters(given_lines, &[said]);
        let mut letters = run(&mut model, &["e1"]).letters_new;
        letters.sort_by_key(|letter| match letter.work {
            FollowUp::SyncChange(_, Recipients::Shard(shard)) => shard.0,
            other => panic!("no letter to a shard: {other:?}"),
        });
        letters.iter().map(|letter| letter.weight).collect()
    }

    #[test]
    fn all_that_changed_is_written_in_strict_downstreams_and_what_is_new_in_the_merging_ones() {
        // The second and the fifth organization share a shard.
        let given_lines = "helios > pac: strict
                           helios > roof: flexible
                           helios > tile: off
                           helios > slate: non-exclusive
                           helios equipment: a=1 own, b=1 own";
        let (changed, removed, added) = (1, 1, 2);
        let in_the_shard_of_pac = (changed + removed + added) + added;
        let in_the_shard_of_roof = added;
        assert_eq!(
            weights(given_lines, "helios equipment: a=2, -b, c=1, d=1"),
            [in_the_shard_of_pac, in_the_shard_of_roof]
        );
    }

    #[test]
    fn a_default_is_written_in_strict_downstreams_only() {
        let given_lines = "helios > pac: strict
                           helios > roof: flexible";
        assert_eq!(weights(given_lines, "helios default-costs: battery=1, project=1"), [2]);
    }

    #[test]
    fn a_weight_is_never_less_than_what_is_written() {
        let mut model = with_letters(
            "helios > pac: strict
             helios > roof: flexible
             helios > tile: non-exclusive
             helios > slate: strict",
            &["helios equipment: a=1, b=1", "helios equipment: a=2, -b, c=1"],
        );
        let done = run(&mut model, &["e1", "e2"]);
        let weight: i64 = done.letters_new.iter().map(|letter| letter.weight).sum();
        let before = model.jobs.len();
        model.settle();
        let written = |job: &JobDone| job.counts.added + job.counts.changed + job.counts.removed;
        let written: i32 = model.jobs[before..].iter().map(written).sum();
        assert_eq!(i64::from(written), weight);
    }
}

mod cutting {
    use channel_sync::domain::decide::Counts;
    use channel_sync::domain::mailbox::Progress;
    use channel_sync::domain::plan::Share;

    use super::*;

    /// Helios has these strict partners, all in one shard, and has changed three entries, which lie in one
    /// letter to that shard.
    fn a_letter_to_a_shard(partners: &[&str], events: &[&str]) -> Model {
        let mut model = Model::built_in();
        model.organization("helios");
        for (place, partner) in partners.iter().enumerate() {
            model.organization(partner);
            // Organizations are spread over three shards in turn.
            for other in ["x", "y"] {
                model.organization(&format!("{other}{place}"));
            }
            model.given_partnership("helios", partner, terms("strict"));
        }
        for line in events {
            model.publish(event(line));
        }
        run(&mut model, &["e1"]);
        model
    }

    /// Works off these letters where there is room for so many entries.
    fn run_in(model: &mut Model, room: usize, letters: &[&str]) -> Done {
        model.writes_max = Some(room);
        run(model, letters)
    }

    #[test]
    fn a_letter_to_a_shard_is_cut_by_members_and_stays_at_its_place() {
        let mut model = a_letter_to_a_shard(&["a", "b", "c", "d"], &["helios equipment: k=1, l=1, m=1"]);
        let before = letter(&model, "e1 sync");
        let done = run_in(&mut model, 7, &["e1 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change a", "e1 sync-change b"], "seven are room for two");
        assert!(done.letters_done.is_empty() && done.letters_new.is_empty());

        let after = letter(&model, "e1 sync");
        assert_eq!((after.no, after.turn()), (before.no, before.turn()));
        let through = model.organization("b");
        assert_eq!(after.progress, Progress::Members { through });
        assert_eq!(after.weight, 6);

        let done = run_in(&mut model, 7, &["e1 sync"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change c", "e1 sync-change d"]);
        assert_eq!(done.letters_done, [before.no]);
        assert!(model.letters.is_empty());
    }

    #[test]
    fn what_lies_behind_for_members_that_were_not_reached_waits_and_all_others_go_on() {
        let events = [
            "helios equipment: k=1, l=1, m=1",
            "a licenses: x=1",
            "c licenses: x=1",
            "elsewhere licenses: x=1",
        ];
        let mut model = a_letter_to_a_shard(&["a", "b", "c", "d"], &events);
        let done = run_in(&mut model, 8, &["e1 sync", "e2", "e3", "e4"]);
        // What is light comes first; a heavy letter counts as unfinished, and a waits one batch more.
        assert_eq!(jobs(&model, &done), ["e1 sync-change a", "e1 sync-change b", "e4 own-change elsewhere"]);
        let done = run_in(&mut model, 8, &["e1 sync", "e2", "e3"]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change c", "e1 sync-change d", "e2 own-change a"]);
        let done = run_in(&mut model, 8, &["e3"]);
        assert_eq!(jobs(&model, &done), ["e3 own-change c"]);
    }

    #[test]
    fn a_later_change_of_the_same_upstream_comes_no_further_than_the_one_before() {
        let events = ["helios equipment: k=1, l=1, m=1, n=1, o=1, p=1, q=1, r=1", "helios equipment: k=2"];
        let mut model = a_letter_to_a_shard(&["a", "b"], &events);
        run(&mut model, &["e2"]);
        let done = run_in(&mut model, 16, &["e1 sync", "e2 sync"]);
        assert_eq!(
            jobs(&model, &done),
            ["e1 sync-change a", "e2 sync-change a"],
            "there is room for e2 and b"
        );
        assert_eq!(done.letters_new, [], "nobody gets a letter of its own");
        let through = model.organization("a");
        assert_eq!(letter(&model, "e2 sync").progress, Progress::Members { through });
        model.settle();
        assert_eq!(equipment(&model, "b"), "k=2 l=1 m=1 n=1 o=1 p=1 q=1 r=1");
    }

    #[test]
    fn a_change_that_is_too_much_for_one_member_becomes_a_letter_for_each_and_these_are_cut_by_entries() {
        let mut model = a_letter_to_a_shard(&["a", "b"], &["helios equipment: k=1, l=1, m=1"]);
        let done = run_in(&mut model, 2, &["e1 sync"]);
        assert_eq!(jobs(&model, &done), [""; 0]);
        let to: Vec<FollowUp> = done.letters_new.iter().map(|letter| letter.work).collect();
        let change = *model.changes.keys().next().unwrap();
        let each = ["a", "b"].map(|name| model.organization(name));
        assert_eq!(to, each.map(|one| FollowUp::SyncChange(change, Recipients::One(one))));

        let first = model.letters.values().next().unwrap().no;
        let done = model.run_batch(&[first]);
        assert_eq!(jobs(&model, &done), [""; 0], "the job is told when it is done");
        assert_eq!(equipment(&model, "a"), "k=1 l=1");
        let Progress::Entries { through, counts } = &model.letters[&first].progress else { panic!() };
        assert_eq!((&*through.category, &*through.key), ("equipment", "l"));
        assert_eq!(*counts, Counts { added: 2, ..Counts::default() });

        let done = model.run_batch(&[first]);
        assert_eq!(jobs(&model, &done), ["e1 sync-change a"]);
        assert_eq!(done.jobs[0].counts, Counts { added: 3, ..Counts::default() });
        assert_eq!(equipment(&model, "a"), "k=1 l=1 m=1");
    }

    #[test]
    fn a_reconcile_is_cut_by_entries_of_both_sides_in_the_order_of_their_bytes() {
        let mut model = with_letters(
            "helios adders: z=1 own
             helios equipment: B=1 own, a=1 own, é=1 own
             pac equipment: A=9 own, a=9 own",
            &["helios > pac: strict"],
        );
        run(&mut model, &["e1"]);
        let mut shown = Vec::new();
        model.writes_max = Some(2);
        while let Some(done) = model.step() {
            shown.push(format!("{} | {} jobs", equipment(&model, "pac"), done.jobs.len()));
        }
        assert_eq!(shown, ["a=9 | 0 jobs", "B=1 a=1 | 0 jobs", "B=1 a=1 é=1 | 1 jobs"]);
        let job = model.jobs.last().unwrap();
        assert_eq!(job.counts, Counts { added: 3, changed: 1, removed: 1, ..Counts::default() });
        let displaced: Vec<&str> = job.displaced.iter().map(|one| &*one.key).collect();
        assert_eq!(displaced, ["A", "a"]);
    }

    #[test]
    fn what_the_upstream_changes_between_two_parts_comes_to_the_downstream_behind_the_reconcile() {
        let mut model = with_letters(
            "helios equipment: a=1 own, b=1 own, c=1 own, d=1 own",
            &["helios > pac: strict", "helios equipment: a=2, -b, d=2, e=2"],
        );
        run(&mut model, &["e1"]);
        run_in(&mut model, 2, &["e1 reconcile"]);
        assert_eq!(equipment(&model, "pac"), "a=1 b=1");
        run(&mut model, &["e2"]);
        let done = run(&mut model, &["e2 sync"]);
        assert!(done.jobs.is_empty(), "the reconcile holds pac until it is done");
        model.settle();
        assert_eq!(equipment(&model, "pac"), "a=2 c=1 d=2 e=2");
        let jobs =
            model.jobs.iter().filter(|job| job.organization == model.find_organization("pac").unwrap());
        let kinds: Vec<JobKind> = jobs.map(|job| job.kind).collect();
        assert_eq!(kinds, [JobKind::PartnershipChange, JobKind::Reconcile, JobKind::SyncChange]);
    }

    #[test]
    fn what_earlier_letters_of_the_batch_take_away_does_not_end_a_reconcile_too_soon() {
        // The upstream's entries are loaded up to c. That a to c go must not look like the end.
        let mut model = with_letters(
            "helios equipment: a=1 own, b=1 own, c=1 own, d=1 own, e=1 own",
            &["helios > pac: strict"],
        );
        run(&mut model, &["e1"]);
        let no = letter(&model, "e1 reconcile").no;
        // As what comes late to helios from above does, it stands before the reconcile.
        let other = model.publish(event("helios equipment: -a, -b, -c"));
        for letter in model.letters.values_mut().filter(|letter| letter.event == other) {
            letter.position = Position(0);
        }
        model.writes_max = Some(8);
        let done = run_with(&mut model, &["e1 reconcile", "e2"], |batch| {
            assert_eq!(*batch.plan.share(no), Share::Nothing, "helios comes first");
        });
        assert_eq!(jobs(&model, &done), ["e2 own-change helios"]);
        model.settle();
        assert_eq!(equipment(&model, "pac"), "d=1 e=1");
    }

    #[test]
    fn a_heavy_letter_takes_no_room_from_light_ones_and_an_own_event_is_never_cut() {
        let own: Vec<String> = (0..50).map(|no| format!("k{no}=1")).collect();
        let heavy = format!("helios equipment: {}", own.join(", "));
        let mut model = with_letters("", &[&heavy, "pac equipment: a=1", "roof equipment: a=1"]);
        let done = run_in(&mut model, 16, &["e1", "e2", "e3"]);
        assert_eq!(jobs(&model, &done), ["e1 own-change helios", "e2 own-change pac", "e3 own-change roof"]);
    }

    #[test]
    fn a_reconcile_that_is_more_than_was_thought_is_cut_where_its_weight_ends() {
        let mut model = with_letters("", &["helios > pac: strict"]);
        run(&mut model, &["e1"]);
        let many: Vec<String> = (10..90).map(|no| format!("k{no}=1 own")).collect();
        let entries = given(&format!("helios equipment: {}", many.join(", "))).model;
        for (_, category, key, entry) in entries.world.all_entries() {
            let helios = model.organization("helios");
            model.world.load_entry(helios, category, key.clone(), *entry);
        }
        model.value("1");
        model.writes_max = Some(10_000);
        let mut sizes = Vec::new();
        while model.step().is_some() {
            sizes.push(equipment(&model, "pac").split_whitespace().count());
        }
        assert_eq!(sizes, [19, 57, 80], "each part is twice as large");
    }
}
