//! What holds after any events in any interleaving: the promises of the rules and of the mailbox, each of
//! which a random run tries to break.
//!
//! A failing case is shrunk to the few events that break the promise, and printed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use channel_sync::domain::catalogue::{CategoryId, Reach};
use channel_sync::domain::decide::{Counts, lock_holder, reaching_rule};
use channel_sync::domain::mailbox::{
    Done, FoundWrong, JobDone, JobKind, LetterNo, Progress, Recipients, Verdict, Work,
};
use channel_sync::domain::partnership::{Beginning, Mode, Partnership, Status};
use channel_sync::domain::setting::{Change, Entry, Key, ValueId};
use channel_sync::domain::world::{Declined, LastChange};
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, World};
use proptest::prelude::*;

use crate::model::{Event, Model, Random, reached, went_on};
use crate::sequence::{LENGTH, sequence};

const CASES: u32 = 96;

/// A random sequence of events. Shrinks by leaving events out.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let kept = prop::collection::vec(prop::bool::weighted(0.97), LENGTH);
    (any::<u64>().no_shrink(), kept).prop_map(|(seed, kept)| {
        sequence(seed).into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(event, _)| event).collect()
    })
}

/// The seed of an interleaving.
fn interleaving() -> impl Strategy<Value = u64> {
    any::<u64>().no_shrink()
}

fn published(events: &[Event]) -> Model {
    let mut model = Model::built_in();
    for event in events {
        model.publish(event.clone());
    }
    model
}

/// After all letters were worked off in order.
fn settled(events: &[Event]) -> Model {
    let mut model = published(events);
    model.settle();
    model
}

/// The same on a platform whose organizations have the numbers of those of another.
fn settled_like(other: &Model, events: &[Event]) -> Model {
    let mut model = Model::built_in();
    model.shards = other.shards;
    for event in events {
        model.publish(event.clone());
    }
    model.settle();
    model
}

/// After several executors worked all letters off, while the events were still coming in.
fn settled_randomly(events: &[Event], seed: u64) -> Model {
    let mut model = Model::built_in();
    watch_randomly(&mut model, events, seed, |_, _| {});
    model
}

/// Works off events as they come in, in random batches with little room now and then, so that letters are
/// cut, and shows each batch to `see`.
fn watch_randomly(model: &mut Model, events: &[Event], seed: u64, mut see: impl FnMut(&mut Model, &Done)) {
    let mut random = Random::new(seed);
    let may_be_cut = random.chance(75);
    if random.chance(50) {
        // So that letters to a shard have several members, and are cut.
        model.shards = 1;
    }
    let mut events = events.iter();
    let mut idle = 0;
    loop {
        let some = random.below(6);
        for event in events.by_ref().take(some) {
            model.publish(event.clone());
        }
        // Two in about half of the cases: then a letter to a single organization is cut, too.
        model.writes_max = (may_be_cut && random.chance(90)).then(|| 2 + random.below(4) * random.below(4));
        let done = model.run_randomly(&mut random);
        see(model, &done);
        idle = if went_on(&done) { 0 } else { idle + 1 };
        assert!(idle < 1000, "letters are left that never run: {:#?}", model.letters);
        if model.letters.is_empty() && events.len() == 0 {
            break;
        }
    }
}

/// Works off one letter at a time, each the first of a random shard (those that must wait are left), and
/// shows each with the world before to `see`.
fn watch_each_letter(model: &mut Model, seed: u64, mut see: impl FnMut(&World, &Model, &Done)) {
    let mut random = Random::new(seed);
    let mut idle = 0;
    while !model.letters.is_empty() {
        let firsts: Vec<LetterNo> = model.mailboxes().into_values().map(|letters| letters[0]).collect();
        let before = model.world.clone();
        let done = model.run_batch(&[*random.pick(&firsts)]);
        see(&before, model, &done);
        idle = if went_on(&done) { 0 } else { idle + 1 };
        assert!(idle < 1000, "letters are left that never run: {:#?}", model.letters);
    }
}

fn active(model: &Model) -> impl Iterator<Item = &Partnership> {
    model.partnerships().filter(|partnership| partnership.terms.status == Status::Active)
}

/// All entries of an organization in the ongoing categories.
fn ongoing(model: &Model, organization: OrganizationNo) -> BTreeMap<(String, Key), Entry> {
    let categories = model.catalogue.iter().filter(|(_, about)| about.reach == Reach::Ongoing);
    categories
        .flat_map(|(id, about)| {
            let entries = model.world.entries(organization, id);
            entries.map(move |(key, entry)| ((about.name.to_string(), Key::clone(key)), *entry))
        })
        .collect()
}

/// The values alone, comparable between models.
fn values(model: &Model, organization: OrganizationNo) -> BTreeMap<(String, Key), String> {
    let text = |entry: &Entry| model.value_text(entry.value).to_owned();
    ongoing(model, organization).iter().map(|(address, entry)| (address.clone(), text(entry))).collect()
}

fn check_replicas(model: &Model) {
    for partnership in model.partnerships().filter(|partnership| partnership.mode() == Mode::Strict) {
        let upstream = values(model, partnership.upstream);
        let downstream = values(model, partnership.downstream);
        assert_eq!(upstream, downstream, "a strict downstream is no replica: {partnership:?}");
        for (address, entry) in ongoing(model, partnership.downstream) {
            assert_eq!(entry.origin, Some(partnership.upstream), "{address:?} is not the upstream's");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn strict_ends_as_a_replica_of_its_upstream_in_all_ongoing_categories(
        events in events(),
        seed in interleaving(),
    ) {
        check_replicas(&settled(&events));
        check_replicas(&settled_randomly(&events, seed));

        let mut all_at_once = published(&events);
        all_at_once.settle_randomly(&mut Random::new(seed));
        check_replicas(&all_at_once);
    }

    #[test]
    fn a_strict_downstream_that_nothing_waits_for_is_a_replica_at_any_moment(
        events in events(),
        seed in interleaving(),
    ) {
        // What verify goes by.
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, _| {
            for partnership in active(model).filter(|partnership| partnership.mode() == Mode::Strict) {
                let Partnership { upstream, downstream, since, .. } = *partnership;
                let waits = model.letters.values().any(|letter| match &letter.work {
                    Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                        let reached = match letter.progress {
                            Progress::Members { through } => downstream <= through,
                            Progress::NotBegun | Progress::Entries { .. } => false,
                        };
                        change.organization == upstream
                            && *shard == downstream.shard()
                            && change.no > since
                            && !reached
                    }
                    work => work.organization() == Some(downstream),
                });
                if waits {
                    continue;
                }
                assert_eq!(values(model, downstream), values(model, upstream), "{partnership:?}");
                let mut origins = ongoing(model, downstream).into_values().map(|entry| entry.origin);
                assert!(origins.all(|origin| origin == Some(upstream)), "{partnership:?}");
            }
        });
    }

    #[test]
    fn a_repair_makes_a_replica_of_what_is_strict_and_leaves_all_else_alone(
        events in events(),
        seed in interleaving(),
    ) {
        let mut random = Random::new(seed ^ 1);
        let mut model = Model::built_in();
        let mut repairs = Vec::new();
        watch_randomly(&mut model, &events, seed, |model, _| {
            let partnerships: Vec<Partnership> = model.partnerships().copied().collect();
            if repairs.len() == 8 || partnerships.is_empty() || !random.chance(30) {
                return;
            }
            let Partnership { upstream, downstream, .. } = *random.pick(&partnerships);
            let mode = model.world.partnership(upstream, downstream).map(Partnership::mode);
            // Somebody has written to the tables by hand. Not where others are below, ever: nobody repairs these here,
            // and where this partnership is no longer strict when its repair runs, what was written stays.
            let has_downstreams = events.iter().any(|event| match event {
                Event::Partnership(event) => model.find_organization(&event.upstream) == Some(downstream),
                Event::Setting(_) => false,
            });
            if mode == Some(Mode::Strict) && !has_downstreams && random.chance(60) {
                let category = model.category("equipment");
                let entry = Entry {
                    value: model.value("\"by hand\""),
                    origin: random.chance(50).then_some(upstream),
                    written_by: EventNo(1),
                    added_by: EventNo(1),
                };
                model.world.load_entry(downstream, category, Key::from("battery"), entry);
            }
            let id = format!("repair-{}", repairs.len());
            repairs.push(model.repair(&id, upstream, downstream));
        });
        check_replicas(&model);
        for no in repairs {
            let jobs: Vec<&JobDone> = model.jobs.iter().filter(|job| job.cause == no.into()).collect();
            prop_assert_eq!(jobs.len(), 1);
        }
    }

    #[test]
    fn merge_never_changes_or_removes_anything_in_the_downstream(
        events in events(),
        seed in interleaving(),
    ) {
        let mut model = published(&events);
        watch_each_letter(&mut model, seed, |before, after, done| {
            for job in done.jobs.iter().filter(|job| merges(after, job)) {
                for (organization, category, key, entry) in before.all_entries() {
                    if organization == job.organization {
                        let now = after.world.entry(organization, category, key);
                        assert_eq!(now, Some(entry), "a merge touched {key:?}: {job:?}");
                    }
                }
            }
        });
    }

    #[test]
    fn doing_any_letter_twice_changes_nothing(events in events()) {
        let once = settled(&events);

        let mut twice = published(&events);
        while let Some(letter) = twice.letters.values().min_by_key(|letter| {
            (letter.position, letter.work.cause(letter.event), letter.no)
        }) {
            let letter = letter.clone();
            let again = twice.put_letter(letter.position, letter.event, letter.work);
            let done = twice.run_batch(&[letter.no, again]);
            prop_assert!(done.letters_done.contains(&letter.no), "nothing comes before the first letter");
        }
        prop_assert_eq!(once.state(), twice.state());
    }

    #[test]
    fn publishing_anything_twice_changes_nothing(events in events(), seed in interleaving()) {
        let once = settled(&events);

        let mut twice = Model::built_in();
        let mut random = Random::new(seed);
        for (place, event) in events.iter().enumerate() {
            twice.publish_as(&format!("e{}", place + 1), event.clone());
            let earlier = random.below(place + 1);
            twice.publish_as(&format!("e{}", earlier + 1), events[earlier].clone());
        }
        twice.settle();
        prop_assert_eq!(once.state(), twice.state());
    }

    #[test]
    fn a_replay_of_old_changes_to_merging_downstreams_overwrites_nothing_and_brings_back_nothing_declined(
        events in events(),
        seed in interleaving(),
    ) {
        let mut model = settled_randomly(&events, seed);
        let mut replays: Vec<(ChangeNo, OrganizationNo)> = Vec::new();
        for change in model.changes.values() {
            let merging = model.world.downstreams_of(change.organization).filter(|partnership| {
                matches!(partnership.mode(), Mode::NonExclusive | Mode::Flexible)
            });
            replays.extend(merging.map(|partnership| (change.no, partnership.downstream)));
        }
        let mut random = Random::new(seed);
        for _ in 0..replays.len() {
            let (change, downstream) = *random.pick(&replays);
            let before = model.clone();
            let name = model.organization_name(downstream).to_owned();
            model.deliver_again(change, &name);
            model.settle();

            for (organization, category, key, entry) in before.world.all_entries() {
                if organization == downstream {
                    prop_assert_eq!(model.world.entry(organization, category, key), Some(entry));
                }
            }
            let change = &model.changes[&change];
            for (key, _) in change.entries.iter() {
                let declined = Declined {
                    downstream,
                    upstream: change.organization,
                    category: change.category,
                    key: Key::clone(key),
                };
                let was_declined = before.world.declined(&declined).is_some_and(|by| by > change.event);
                let is_there = model.world.entry(downstream, change.category, key).is_some();
                let was_there = before.world.entry(downstream, change.category, key).is_some();
                prop_assert!(!(was_declined && is_there && !was_there), "{:?} came back", key);
            }
        }
    }

    #[test]
    fn a_replay_of_jobs_that_were_given_up_changes_nothing_that_something_newer_wrote(
        events in events(),
        seed in interleaving(),
    ) {
        let mut model = Model::built_in();
        let mut random = Random::new(seed);
        let mut events = events.into_iter();
        // The newest event that changed each entry, by whatever job.
        let mut written: HashMap<(OrganizationNo, CategoryId, Key), EventNo> = HashMap::new();
        let mut idle = 0;
        loop {
            if let Some(event) = events.next() {
                model.publish(event);
            } else if model.letters.is_empty() && model.given_up.is_empty() {
                break;
            }
            if random.chance(25) && !model.given_up.is_empty() {
                let letter = model.given_up.remove(random.below(model.given_up.len()));
                model.replay(letter);
            }
            for _ in 0..random.below(6) {
                let firsts: Vec<LetterNo> =
                    model.mailboxes().into_values().map(|letters| letters[0]).collect();
                if firsts.is_empty() {
                    break;
                }
                let letter = model.letters[random.pick(&firsts)].clone();
                if !letter.replay && random.chance(20) {
                    model.fail(letter.no);
                    continue;
                }
                let before = model.world.clone();
                let done = model.run_batch(&[letter.no]);
                idle = if done.letters_done.is_empty() { idle + 1 } else { 0 };
                prop_assert!(idle < 1000, "letters are left that never run: {:#?}", model.letters);
                for job in &done.jobs {
                    for (category, key) in changed_entries(&before, &model.world, job.organization) {
                        let locked =
                            lock_holder(&before, &model.catalogue, job.organization, category).is_some();
                        let newest = written
                            .entry((job.organization, category, Key::clone(&key)))
                            .or_insert(job.event);
                        prop_assert!(
                            !letter.replay || locked || *newest <= job.event,
                            "{:?} changed {:?} of {:?}, which {:?} had changed", job, key, category, newest
                        );
                        *newest = job.event.max(*newest);
                    }
                }
            }
        }
        check_replicas(&model);
    }

    #[test]
    fn every_event_takes_effect_once_and_no_letter_is_left_behind(
        events in events(),
        seed in interleaving(),
    ) {
        let model = settled_randomly(&events, seed);
        prop_assert!(model.letters.is_empty());

        let mut seen = HashSet::new();
        for job in &model.jobs {
            prop_assert!(seen.insert((job.cause, job.organization)), "done twice: {:?}", job);
        }
        for (no, published) in &model.events {
            prop_assert_eq!(published.ignored, published.verdict.is_none(), "{:?}", published);
            let own_jobs = model.jobs.iter().filter(|job| job.cause == CauseNo::from(*no)).count();
            prop_assert_eq!(own_jobs, usize::from(!published.ignored), "{:?}", published);
        }
        for reconcile in model.reconciles.values() {
            prop_assert!(seen.contains(&(reconcile.no.into(), reconcile.downstream)), "{:?}", reconcile);
        }
        // Whom a change reaches under the flags of the end, it has reached.
        for change in model.changes.values() {
            for partnership in model.world.downstreams_of(change.organization) {
                let reaches = reaching_rule(partnership, &model.catalogue, change).is_some();
                let done = seen.contains(&(change.no.into(), partnership.downstream));
                prop_assert!(done || !reaches, "{:?} never came to {:?}", change, partnership);
            }
        }
    }

    #[test]
    fn each_organization_keeps_the_order_of_its_events_and_of_each_upstreams_changes(
        events in events(),
        seed in interleaving(),
    ) {
        let model = settled_randomly(&events, seed);
        for organization in model.all_organizations() {
            let jobs = model.jobs.iter().filter(|job| job.organization == organization);
            let mut last_own: Option<&JobDone> = None;
            let mut last_change: HashMap<OrganizationNo, ChangeNo> = HashMap::new();
            let mut begins: Option<EventNo> = None;
            for job in jobs {
                match job.kind {
                    JobKind::OwnChange | JobKind::PartnershipChange => {
                        prop_assert!(last_own.is_none_or(|last| last.event < job.event), "{:?}", job);
                        prop_assert_eq!(begins, None, "a reconcile comes before later events: {:?}", job);
                        last_own = Some(job);
                        begins = model.beginning_made_by(job.event).map(|_| job.event);
                    }
                    JobKind::Reconcile => {
                        prop_assert_eq!(begins.take(), Some(job.event), "{:?}", job);
                    }
                    JobKind::SyncChange => {
                        let upstream = model.upstream_of(job).unwrap();
                        let no = ChangeNo(job.cause.0);
                        let last = last_change.insert(upstream, no);
                        prop_assert!(last.is_none_or(|last| last < no), "{:?}", job);
                    }
                }
            }
        }
    }

    #[test]
    fn strict_replicas_of_organizations_of_their_own_are_equal_whatever_the_interleaving(
        events in events(),
        seed in interleaving(),
    ) {
        let other = settled_randomly(&events, seed);
        let one = settled_like(&other, &events);

        // What has no upstream at any time depends on its own events alone; so does its strict replica.
        let downstreams: BTreeSet<&str> = events
            .iter()
            .filter_map(|event| match event {
                Event::Partnership(event) => Some(event.downstream.as_str()),
                Event::Setting(_) => None,
            })
            .collect();
        let mut independent: BTreeSet<OrganizationNo> = one
            .all_organizations()
            .filter(|organization| !downstreams.contains(one.organization_name(*organization)))
            .collect();
        loop {
            let replicas: Vec<OrganizationNo> = one
                .partnerships()
                .filter(|partnership| {
                    let there = other.world.partnership(partnership.upstream, partnership.downstream);
                    partnership.mode() == Mode::Strict
                        && there.is_some_and(|there| there.mode() == Mode::Strict)
                        && independent.contains(&partnership.upstream)
                        && !independent.contains(&partnership.downstream)
                })
                .map(|partnership| partnership.downstream)
                .collect();
            if replicas.is_empty() {
                break;
            }
            independent.extend(replicas);
        }
        for organization in independent {
            prop_assert_eq!(values(&one, organization), values(&other, organization));
        }
    }

    #[test]
    fn flags_end_the_same_whatever_the_interleaving_where_no_cycle_was_at_stake(
        events in events(),
        seed in interleaving(),
    ) {
        let other = settled_randomly(&events, seed);
        let one = settled_like(&other, &events);
        let found_a_cycle = |model: &Model| {
            model.events.values().any(|published| {
                let verdict = published.verdict.as_ref();
                matches!(verdict, Some(Verdict::Rejected(FoundWrong::PartnershipCycle { .. })))
            })
        };
        if !found_a_cycle(&one) && !found_a_cycle(&other) {
            prop_assert_eq!(one.state().partnerships, other.state().partnerships);
        }
    }

    #[test]
    fn no_cycle_and_no_exclusive_conflict_ever_stands(events in events(), seed in interleaving()) {
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, _| {
            for partnership in active(model) {
                let beside = active(model)
                    .filter(|other| other.downstream == partnership.downstream)
                    .count();
                assert!(!partnership.terms.exclusive || beside == 1, "not alone: {partnership:?}");
            }
            // Without a cycle, taking away those that are nobody's downstream takes all away in the end.
            let mut links: Vec<_> =
                active(model).map(|partnership| (partnership.upstream, partnership.downstream)).collect();
            loop {
                let downstreams: HashSet<_> = links.iter().map(|(_, downstream)| *downstream).collect();
                let before = links.len();
                links.retain(|(upstream, _)| downstreams.contains(upstream));
                if links.len() == before {
                    break;
                }
            }
            assert_eq!(links, [], "a cycle stands");
        });
    }

    #[test]
    fn versions_only_grow_and_positions_of_changes_never_go_back(
        events in events(),
        seed in interleaving(),
    ) {
        let mut versions: HashMap<(OrganizationNo, String), i64> = HashMap::new();
        let mut of_partnerships: HashMap<(OrganizationNo, OrganizationNo), i64> = HashMap::new();
        let mut last_changes: HashMap<OrganizationNo, LastChange> = HashMap::new();
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, _| {
            for organization in model.all_organizations() {
                for (id, about) in model.catalogue.iter() {
                    let Some(version) = model.world.version(organization, id) else { continue };
                    let last = versions.insert((organization, about.name.to_string()), version);
                    assert!(last.is_none_or(|last| last <= version), "{organization:?} {}", about.name);
                }
                let now = model.world.last_change(organization);
                if let Some(last) = last_changes.insert(organization, now) {
                    assert!(last.change <= now.change && last.position <= now.position, "{last:?} {now:?}");
                }
            }
            for partnership in model.partnerships() {
                let Some(version) = partnership.version else { continue };
                let last = of_partnerships.insert((partnership.upstream, partnership.downstream), version);
                assert!(last.is_none_or(|last| last <= version), "{partnership:?}");
            }
        });
    }

    #[test]
    fn whatever_a_match_displaces_had_not_come_from_its_upstream(
        events in events(),
        seed in interleaving(),
    ) {
        let model = settled_randomly(&events, seed);
        for job in &model.jobs {
            for displaced in &job.displaced {
                let upstream = model.upstream_of(job);
                prop_assert!(upstream.is_some(), "no match: {:?}", job);
                prop_assert_ne!(displaced.entry.origin, upstream, "{:?}", job);
            }
            let written = job.counts.changed + job.counts.removed;
            prop_assert!(job.displaced.len() as i32 <= written, "{:?}", job);
        }
    }

    #[test]
    fn what_a_job_says_it_did_is_what_it_did(events in events(), seed in interleaving()) {
        let mut model = published(&events);
        watch_each_letter(&mut model, seed, |before, after, done| {
            for job in &done.jobs {
                let entries = |world: &World| -> BTreeMap<_, _> {
                    let all = world.all_entries();
                    all.filter(|(organization, ..)| *organization == job.organization)
                        .map(|(_, category, key, entry)| ((category, Key::clone(key)), entry.value))
                        .collect()
                };
                let (before, after) = (entries(before), entries(&after.world));
                let added = after.keys().filter(|address| !before.contains_key(address)).count();
                let removed = before.keys().filter(|address| !after.contains_key(address)).count();
                let changed = before
                    .iter()
                    .filter(|(address, value)| after.get(address).is_some_and(|now| now != *value));
                let counts = (job.counts.added, job.counts.changed, job.counts.removed);
                assert_eq!(counts, (added as i32, changed.count() as i32, removed as i32), "{job:?}");
                let effective = added + removed + (counts.1 as usize) > 0;
                assert!(!(effective && job.skipped.is_some()), "something was done: {job:?}");
                assert!(effective || job.skipped.is_some() || job.rejected, "no reason given: {job:?}");
            }
        });
    }

    #[test]
    fn batches_do_what_their_jobs_do_one_at_a_time_in_the_order_that_they_tell(
        events in events(),
        seed in interleaving(),
    ) {
        // Uncut, since a job that is cut makes several changes.
        let mut batches = published(&events);
        batches.settle_randomly(&mut Random::new(seed));

        // The numbers of changes differ: a change is known by the job that made it.
        let mut one_by_one = published(&events);
        let mut causes: HashMap<CauseNo, CauseNo> = HashMap::new();
        for (no, published) in &batches.events {
            causes.insert(CauseNo::from(*no), one_by_one.event_no(&published.id).unwrap().into());
        }
        for job in &batches.jobs {
            let cause = causes[&job.cause];
            let again = one_by_one.run_job(cause, job.organization);
            let again = again.expect("a job that was done comes of the letter here too");
            prop_assert_eq!((again.kind, again.counts), (job.kind, job.counts));

            let is_made = |change: &&Change| {
                change.cause == job.cause && change.organization == job.organization
            };
            for change in batches.changes.values().filter(is_made) {
                let here = one_by_one.change_made_by(cause, change.organization, change.category);
                causes.insert(change.no.into(), here.unwrap().into());
            }
            if job.kind == JobKind::PartnershipChange
                && let Some(begun) = batches.beginning_made_by(job.event)
            {
                let here = one_by_one.beginning_made_by(EventNo(cause.0));
                causes.insert(begun.into(), here.unwrap().into());
            }
        }
        let done = one_by_one.jobs.len();
        one_by_one.settle();
        prop_assert_eq!(one_by_one.jobs.len(), done, "what is left reaches nobody");
        prop_assert_eq!(one_by_one.state(), batches.state());
    }

    #[test]
    fn what_is_cut_comes_to_the_same_as_what_is_not(events in events(), room in 2..20_usize) {
        let mut uncut = Model::built_in();
        let mut cut = Model::built_in();
        for event in &events {
            uncut.publish(event.clone());
            uncut.settle();
            cut.publish(event.clone());
            // Other rooms on the way: what is left is cut otherwise then.
            for room in (2..=room).rev().cycle() {
                cut.writes_max = Some(room);
                if cut.step().is_none() {
                    break;
                }
            }
        }
        prop_assert_eq!(cut.state(), uncut.state());
        prop_assert_eq!(fates(&cut), fates(&uncut));
    }

    #[test]
    fn everything_gets_done_however_little_room_there_is(
        events in events(),
        seed in interleaving(),
        room in 2..12_usize,
    ) {
        let mut model = published(&events);
        model.writes_max = Some(room);
        model.settle_randomly(&mut Random::new(seed));
        check_replicas(&model);

        // All that is there in each batch: who has room does not change from one to the next.
        let mut model = published(&events);
        model.writes_max = Some(room);
        while !model.letters.is_empty() {
            let all: Vec<LetterNo> = model.letters.keys().copied().collect();
            let done = model.run_batch(&all);
            prop_assert!(went_on(&done), "letters are left that never run: {:#?}", model.letters);
        }
        check_replicas(&model);
    }

    #[test]
    fn no_batch_writes_more_than_it_has_room_for_but_for_events_of_an_organizations_own(
        events in events(),
        seed in interleaving(),
    ) {
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, done| {
            let writes = model.world.take_writes();
            let written = writes.entries_written();
            let own = done.jobs.iter().any(|job| job.kind == JobKind::OwnChange);
            let room = model.writes_max.unwrap_or(usize::MAX);
            assert!(own || written <= room, "{written} entries written where there was room for {room}");
        });
    }

    #[test]
    fn too_few_numbers_stop_a_batch_and_lose_nothing(events in events(), seed in interleaving()) {
        let mut model = published(&events);
        let mut random = Random::new(seed);
        let mut idle = 0;
        while !model.letters.is_empty() {
            let mailboxes = model.mailboxes().into_values();
            let some: Vec<LetterNo> = mailboxes
                .flat_map(|letters| {
                    let taken = random.below(10);
                    letters.into_iter().take(taken)
                })
                .collect();
            // Enough for any one letter, but seldom for all.
            let kept = model.catalogue.iter().count() + random.below(10);
            let done = model.run_batch_with(&some, |batch| batch.numbers.truncate(kept));
            idle = if went_on(&done) { 0 } else { idle + 1 };
            prop_assert!(idle < 1000, "letters are left that never run: {:#?}", model.letters);
        }
        check_replicas(&model);
        let jobs: HashSet<_> = model.jobs.iter().map(|job| (job.cause, job.organization)).collect();
        prop_assert_eq!(jobs.len(), model.jobs.len());
    }

    #[test]
    fn the_writes_of_a_world_carry_everything_that_was_done(events in events(), seed in interleaving()) {
        let mut stored = Stored::default();
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, _| {
            stored.save(model.world.take_writes());
            stored.check(model);
        });
    }

    #[test]
    fn who_is_reached_is_counted_as_the_partnerships_say(events in events(), seed in interleaving()) {
        let mut model = Model::built_in();
        watch_randomly(&mut model, &events, seed, |model, _| {
            for upstream in model.all_organizations() {
                for (shard, counted) in model.world.reached(upstream) {
                    assert_eq!(counted, reached(&model.world, upstream, shard));
                }
                for partnership in model.world.downstreams_of(upstream) {
                    let shard = partnership.downstream.shard();
                    assert!(model.world.reached(upstream).any(|(counted, _)| counted == shard));
                }
            }
        });
    }
}

/// The entries of an organization whose value is another one, or that came or went.
fn changed_entries(before: &World, after: &World, organization: OrganizationNo) -> Vec<(CategoryId, Key)> {
    let of = |world: &World| -> BTreeMap<(CategoryId, Key), ValueId> {
        let entries = world.all_entries().filter(|(owner, ..)| *owner == organization);
        entries.map(|(_, category, key, entry)| ((category, Key::clone(key)), entry.value)).collect()
    };
    let (before, after) = (of(before), of(after));
    let all: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    all.into_iter().filter(|address| before.get(address) != after.get(address)).collect()
}

/// What became of each organization for each event: the counts of all its jobs, and what they displaced.
fn fates(model: &Model) -> BTreeMap<(String, String, JobKind), (Counts, Vec<String>)> {
    let mut fates: BTreeMap<_, (Counts, Vec<String>)> = BTreeMap::new();
    for job in &model.jobs {
        let event = model.event_id(job.event).to_owned();
        let organization = model.organization_name(job.organization).to_owned();
        let (counts, displaced) = fates.entry((event, organization, job.kind)).or_default();
        *counts = counts.plus(job.counts);
        displaced.extend(job.displaced.iter().map(|one| {
            let (category, value) = (model.catalogue.name(one.category), model.value_text(one.entry.value));
            format!("{category} {}={value}", one.key)
        }));
        displaced.sort();
    }
    fates
}

/// Whether a job brought an upstream's settings in by a merge. The flags did not change while it ran.
fn merges(model: &Model, job: &JobDone) -> bool {
    let Some(upstream) = model.upstream_of(job) else { return false };
    let invited = model
        .reconciles
        .get(&ChangeNo(job.cause.0))
        .is_some_and(|reconcile| reconcile.beginning == Beginning::NewOrganization);
    let mode = model.world.partnership(upstream, job.organization).map(Partnership::mode);
    !invited && matches!(mode, Some(Mode::NonExclusive | Mode::Flexible))
}

/// What a database would hold that saved nothing but the writes of worlds.
#[derive(Debug, Default)]
struct Stored {
    entries: BTreeMap<(OrganizationNo, channel_sync::domain::catalogue::CategoryId, Key), Entry>,
    declined: BTreeMap<Declined, EventNo>,
    partnerships: BTreeMap<(OrganizationNo, OrganizationNo), Partnership>,
    versions: BTreeMap<(OrganizationNo, channel_sync::domain::catalogue::CategoryId), i64>,
    last_changes: BTreeMap<OrganizationNo, LastChange>,
}

impl Stored {
    fn save(&mut self, writes: channel_sync::domain::world::Writes) {
        for entries in [&writes.entries_added, &writes.entries_changed] {
            assert!(entries.is_sorted_by_key(|(address, _)| address));
        }
        assert!(writes.entries_removed.is_sorted());
        assert!(writes.declined_put.is_sorted());
        assert!(writes.declined_removed.is_sorted());
        assert!(writes.partnerships.is_sorted_by_key(|one| (one.upstream, one.downstream)));
        assert!(writes.versions.is_sorted());
        assert!(writes.last_changes.is_sorted_by_key(|one| one.0));

        self.entries.extend(writes.entries_added.into_iter().chain(writes.entries_changed));
        for address in writes.entries_removed {
            self.entries.remove(&address);
        }
        self.declined.extend(writes.declined_put);
        for declined in writes.declined_removed {
            self.declined.remove(&declined);
        }
        let key = |partnership: Partnership| ((partnership.upstream, partnership.downstream), partnership);
        self.partnerships.extend(writes.partnerships.into_iter().map(key));
        let versions = writes.versions.into_iter();
        self.versions
            .extend(versions.map(|(organization, category, version)| ((organization, category), version)));
        self.last_changes.extend(writes.last_changes);
    }

    fn check(&self, model: &Model) {
        let world = &model.world;
        let entries: BTreeMap<_, _> = world
            .all_entries()
            .map(|(organization, category, key, entry)| ((organization, category, Key::clone(key)), *entry))
            .collect();
        assert_eq!(self.entries, entries);
        let declined: BTreeMap<_, _> =
            world.all_declined().map(|(declined, event)| (declined.clone(), event)).collect();
        assert_eq!(self.declined, declined);
        let partnerships: BTreeMap<_, _> =
            model.partnerships().map(|one| ((one.upstream, one.downstream), *one)).collect();
        assert_eq!(self.partnerships, partnerships);
        for organization in model.all_organizations() {
            let last = self.last_changes.get(&organization).copied().unwrap_or_default();
            assert_eq!(last, world.last_change(organization));
            for (category, _) in model.catalogue.iter() {
                let version = self.versions.get(&(organization, category)).copied();
                assert_eq!(version, world.version(organization, category));
            }
        }
    }
}

/// Else the properties above would hold of nothing.
#[test]
fn the_sequences_bring_every_rule_into_play() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = |what| *seen.entry(what).or_insert(0) += 1;
    for seed in 0..100 {
        let model = settled(&sequence(seed));
        for published in model.events.values() {
            count(match &published.verdict {
                None => "ignored",
                Some(Verdict::Applied) => "applied",
                Some(Verdict::Superseded) => "superseded",
                Some(Verdict::Locked) => "locked",
                Some(Verdict::Rejected(found)) => match found {
                    FoundWrong::ExclusiveConflict { .. } => "conflict",
                    FoundWrong::PartnershipCycle { .. } => "cycle",
                    FoundWrong::EmptySnapshot { .. } => "empty-snapshot",
                },
            });
        }
        for reconcile in model.reconciles.values() {
            count(match reconcile.beginning {
                Beginning::NewOrganization => "invited",
                Beginning::ExistingOrganization => "began",
                Beginning::BecameStrict => "became-strict",
                Beginning::Repair => "repair",
            });
        }
        for job in &model.jobs {
            // A change made by a sync, which went on to another tier.
            let root = CauseNo::from(job.event);
            let change = model.changes.get(&ChangeNo(job.cause.0));
            if change.is_some_and(|change| change.cause != root) {
                count("tier-below");
            }
            for (what, counted) in [
                ("added", job.counts.added),
                ("changed", job.counts.changed),
                ("removed", job.counts.removed),
                ("kept-own", job.counts.kept_own),
                ("declined", job.counts.declined),
            ] {
                if counted > 0 && matches!(job.kind, JobKind::SyncChange | JobKind::Reconcile) {
                    count(what);
                }
            }
            if !job.displaced.is_empty() {
                count("displaced");
            }
        }
    }
    let expected = [
        "ignored",
        "applied",
        "superseded",
        "locked",
        "conflict",
        "cycle",
        "empty-snapshot",
        "invited",
        "began",
        "became-strict",
        "tier-below",
        "added",
        "changed",
        "removed",
        "kept-own",
        "declined",
        "displaced",
    ];
    for what in expected {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= 10, "{what} came up {times} times only: {seen:#?}");
    }
}

/// Else what is said of letters that are cut would hold of nothing.
#[test]
fn with_little_room_letters_of_each_kind_are_cut() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..1000 {
        let mut model = Model::built_in();
        watch_randomly(&mut model, &sequence(seed), seed, |model, done| {
            for cut in &done.letters_cut {
                let letter = &model.letters[&cut.no];
                let what = match letter.work {
                    Work::Reconcile(_) => "reconcile",
                    Work::SyncChange { to: Recipients::One(_), .. } => "one",
                    Work::SyncChange { to: Recipients::Shard(_), .. } => "shard",
                    Work::OwnChange { .. } | Work::PartnershipChange { .. } => "own",
                };
                *seen.entry(what).or_default() += 1;
            }
        });
    }
    for what in ["reconcile", "one", "shard"] {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= 10, "{what} was cut {times} times only: {seen:#?}");
    }
    assert!(!seen.contains_key("own"));
}
