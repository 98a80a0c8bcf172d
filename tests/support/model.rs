//! The whole platform in memory: the model that the service is measured against.
//!
//! It keeps all organizations in one [`World`] and all letters in one place, takes events in as ingest does,
//! and works letters off through the same function as an executor. It knows no server and no clock, and
//! draws random numbers only from a seed that the test gave it.
//!
//! Always holds: a letter leaves the model only where the domain says that it was done, and a batch breaks
//! no promise that `domain::mailbox` documents for whoever fills a [`Batch`].
//!
//! To use it in a test target: `#[path = "../support/model.rs"] mod model;`.

#![allow(dead_code, reason = "each test target uses a part of the model")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that uses the model wrongly fails where it does so"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use channel_sync::domain::catalogue::{Catalogue, CategoryId, Reach};
use channel_sync::domain::decide::{Counts, Displaced, lock_holder};
use channel_sync::domain::mailbox::{
    Batch, Cut, Done, FollowUp, JobDone, JobKind, JobPart, Letter, LetterNo, NewLetter, Progress, Recipients,
    Reconcile, Verdict, Work, members, numbers_needed, work,
};
use channel_sync::domain::partnership::{Beginning, Mode, Onboarding, Partnership, Terms};
use channel_sync::domain::plan::Plan;
use channel_sync::domain::replay::{Overtaken, Touched};
use channel_sync::domain::setting::{self, Change, Entry, Key, Place, ValueId};
use channel_sync::domain::world::Reached;
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, SHARDS, Shard, World};

/// An event as a publisher would say it: names and JSON texts, no numbers of this database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Setting(SettingEvent),
    Partnership(PartnershipEvent),
}

/// A `setting-changed` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingEvent {
    pub(crate) organization: String,
    pub(crate) category: String,
    pub(crate) version: Option<i64>,
    pub(crate) edit: Edit,
}

/// What a `setting-changed` event says. Values are JSON texts; equal texts are equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Set these keys, or remove those without a value.
    Changes(Vec<(String, Option<String>)>),
    /// The whole category as it is now.
    Snapshot { entries: Vec<(String, String)>, allow_empty: bool },
}

/// A `partnership-changed` event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartnershipEvent {
    pub(crate) upstream: String,
    pub(crate) downstream: String,
    pub(crate) terms: Terms,
    pub(crate) onboarding: Onboarding,
    pub(crate) version: Option<i64>,
}

/// An event that was taken in, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Its id, as the publisher gave it.
    pub(crate) id: String,
    /// What it says.
    pub(crate) event: Event,
    /// Whether its category is never synced, so that nothing comes of it.
    pub(crate) ignored: bool,
    /// What became of it, once its own letter was worked off.
    pub(crate) verdict: Option<Verdict>,
}

/// What anyone can see of the platform, in names: comparable between runs, and with the service's views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// By organization, category and key.
    pub(crate) settings: BTreeMap<(String, String, String), Setting>,
    /// The id of the event that declined it, by downstream, upstream, category and key.
    pub(crate) declined: BTreeMap<(String, String, String, String), String>,
    /// By upstream and downstream.
    pub(crate) partnerships: BTreeMap<(String, String), Mode>,
}

/// One setting, as `setting_view` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The JSON text of its value.
    pub(crate) value: String,
    /// `own`, or the upstream that it was synced from.
    pub(crate) origin: String,
    /// The upstream whose strict partnership locks it.
    pub(crate) locked_by: Option<String>,
    /// The id of the root event that last wrote it.
    pub(crate) written_by: String,
}

/// The platform.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) catalogue: Catalogue,
    pub(crate) world: World,
    /// What is still to be done.
    pub(crate) letters: BTreeMap<LetterNo, Letter>,
    /// What was done, in the order in which it was done.
    pub(crate) jobs: Vec<JobDone>,
    pub(crate) events: BTreeMap<EventNo, Published>,
    pub(crate) changes: BTreeMap<ChangeNo, Change>,
    pub(crate) reconciles: BTreeMap<ChangeNo, Reconcile>,
    /// Over how many shards organizations are spread. Not to be changed once one was named.
    pub(crate) shards: i32,
    /// How many entries a batch has room for. What does not fit is cut; nothing is, where there is no bound.
    pub(crate) writes_max: Option<usize>,
    /// What parts of jobs displaced that are not done yet.
    displaced: HashMap<(CauseNo, OrganizationNo), Vec<Displaced>>,
    /// Letters whose jobs failed and were given up, in the order in which they were.
    pub(crate) given_up: Vec<Letter>,
    /// Letters whose jobs were given up and then replayed: what parts of these changed counts still.
    given_up_before: Vec<Letter>,
    /// Jobs that were done and then replayed: what they changed counts still.
    done_before: Vec<JobDone>,
    organizations: Vec<String>,
    values: Vec<String>,
    /// The last number drawn: events and changes draw from one sequence.
    last_number: i64,
    last_letter: i64,
}

/// The order in which letters of a mailbox are worked off.
type Turn = (Position, CauseNo, LetterNo);

// Names and numbers.
impl Model {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            world: World::default(),
            letters: BTreeMap::new(),
            jobs: Vec::new(),
            events: BTreeMap::new(),
            changes: BTreeMap::new(),
            reconciles: BTreeMap::new(),
            shards: 3,
            writes_max: None,
            displaced: HashMap::new(),
            given_up: Vec::new(),
            given_up_before: Vec::new(),
            done_before: Vec::new(),
            organizations: Vec::new(),
            values: Vec::new(),
            last_number: 0,
            last_letter: 0,
        }
    }

    /// A platform with the built-in catalogue.
    pub(crate) fn built_in() -> Self {
        Self::new(Catalogue::parse(channel_sync::domain::catalogue::BUILT_IN).unwrap())
    }

    /// The number of the organization of this name, which is new where no one asked for it before.
    ///
    /// Organizations are spread over few shards only, so that shards have several members in small tests.
    pub(crate) fn organization(&mut self, name: &str) -> OrganizationNo {
        if let Some(no) = self.find_organization(name) {
            return no;
        }
        self.organizations.push(name.to_owned());
        self.organization_at(self.organizations.len() - 1)
    }

    pub(crate) fn find_organization(&self, name: &str) -> Option<OrganizationNo> {
        let index = self.organizations.iter().position(|known| known == name)?;
        Some(self.organization_at(index))
    }

    pub(crate) fn organization_name(&self, no: OrganizationNo) -> &str {
        let name =
            self.organizations.iter().enumerate().find(|(index, _)| self.organization_at(*index) == no);
        name.expect("an organization that the model knows").1
    }

    /// All organizations that were ever named, in the order in which they were.
    pub(crate) fn all_organizations(&self) -> impl Iterator<Item = OrganizationNo> + use<> {
        let all: Vec<_> = (0..self.organizations.len()).map(|index| self.organization_at(index)).collect();
        all.into_iter()
    }

    fn organization_at(&self, index: usize) -> OrganizationNo {
        let index = i32::try_from(index).unwrap();
        OrganizationNo(index / self.shards * i32::from(SHARDS) + index % self.shards + 1)
    }

    pub(crate) fn category(&self, name: &str) -> CategoryId {
        self.catalogue.find(name).unwrap_or_else(|| panic!("no category {name:?} in the catalogue"))
    }

    /// The id that stands for a JSON text in this model.
    pub(crate) fn value(&mut self, text: &str) -> ValueId {
        let index = self.values.iter().position(|known| known == text).unwrap_or_else(|| {
            self.values.push(text.to_owned());
            self.values.len() - 1
        });
        ValueId(index as u128)
    }

    pub(crate) fn value_text(&self, id: ValueId) -> &str {
        &self.values[id.0 as usize]
    }

    /// The id of an event; `given` for what a test put in without an event.
    pub(crate) fn event_id(&self, no: EventNo) -> &str {
        if no == EventNo(0) { "given" } else { &self.events[&no].id }
    }

    pub(crate) fn event_no(&self, id: &str) -> Option<EventNo> {
        self.events.iter().find(|(_, event)| event.id == id).map(|(no, _)| *no)
    }

    fn next_number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    fn next_letter(&mut self) -> LetterNo {
        self.last_letter += 1;
        LetterNo(self.last_letter)
    }
}

// Events in.
impl Model {
    /// Takes an event in under the id `e1`, `e2`, …: stores it and puts its letter into the mailbox.
    pub(crate) fn publish(&mut self, event: Event) -> EventNo {
        let id = format!("e{}", self.events.len() + 1);
        self.publish_as(&id, event)
    }

    /// Takes an event in. One whose id was seen before is a duplicate and changes nothing.
    ///
    /// Events are well-formed here: what the contract refuses at the door is no business of the model.
    pub(crate) fn publish_as(&mut self, id: &str, event: Event) -> EventNo {
        if let Some(no) = self.event_no(id) {
            assert_eq!(self.events[&no].event, event, "the id {id:?} was used for another event");
            return no;
        }
        let no = EventNo(self.next_number());
        let work = self.own_work(&event);
        let ignored = work.is_none();
        if let Some(work) = work {
            self.put_letter(Position(no.0), no, work);
        }
        self.events.insert(no, Published { id: id.to_owned(), event, ignored, verdict: None });
        no
    }

    /// The work that an event asks of its own organization; none where its category is never synced.
    fn own_work(&mut self, event: &Event) -> Option<Work> {
        match event {
            Event::Setting(SettingEvent { organization, category, version, edit }) => {
                let category = self.category(category);
                if self.catalogue.get(category).reach == Reach::Never {
                    return None;
                }
                let organization = self.organization(organization);
                let edit = self.domain_edit(category, edit);
                Some(Work::OwnChange { organization, category, version: *version, edit })
            }
            Event::Partnership(PartnershipEvent { upstream, downstream, terms, onboarding, version }) => {
                Some(Work::PartnershipChange {
                    upstream: self.organization(upstream),
                    downstream: self.organization(downstream),
                    terms: *terms,
                    onboarding: *onboarding,
                    version: *version,
                })
            }
        }
    }

    fn domain_edit(&mut self, category: CategoryId, edit: &Edit) -> setting::Edit {
        let mut seen = BTreeSet::new();
        let mut key = |model: &Self, key: &str| -> Key {
            assert!(model.catalogue.get(category).allows_key(key), "{key:?} is no slot of the category");
            assert!(seen.insert(key.to_owned()), "{key:?} stands twice in one event");
            Arc::from(key)
        };
        match edit {
            Edit::Changes(changes) => setting::Edit::Changes(
                changes
                    .iter()
                    .map(|(name, value)| (key(self, name), value.as_ref().map(|text| self.value(text))))
                    .collect(),
            ),
            Edit::Snapshot { entries, allow_empty } => setting::Edit::Snapshot {
                entries: entries.iter().map(|(name, text)| (key(self, name), self.value(text))).collect(),
                allow_empty: *allow_empty,
            },
        }
    }

    /// An operator has a partnership put right: a reconcile behind all that was taken in, of an event of its own,
    /// which says nothing.
    pub(crate) fn repair(
        &mut self,
        id: &str,
        upstream: OrganizationNo,
        downstream: OrganizationNo,
    ) -> ChangeNo {
        let event = EventNo(self.next_number());
        let nothing = SettingEvent {
            organization: self.organization_name(upstream).to_owned(),
            category: "notifications".to_owned(),
            version: None,
            edit: Edit::Changes(Vec::new()),
        };
        let published =
            Published { id: id.to_owned(), event: Event::Setting(nothing), ignored: true, verdict: None };
        self.events.insert(event, published);
        let no = ChangeNo(self.next_number());
        let reconcile = Reconcile { no, event, upstream, downstream, beginning: Beginning::Repair };
        self.reconciles.insert(no, reconcile);
        self.put_letter(Position(event.0), event, Work::Reconcile(reconcile));
        no
    }

    pub(crate) fn put_letter(&mut self, position: Position, event: EventNo, work: Work) -> LetterNo {
        let weight = self.weight(&work);
        self.put_weighed_letter(position, event, work, weight)
    }

    fn put_weighed_letter(
        &mut self,
        position: Position,
        event: EventNo,
        work: Work,
        weight: i64,
    ) -> LetterNo {
        let no = self.next_letter();
        let (replay, progress) = (false, Progress::NotBegun);
        self.letters.insert(no, Letter { no, position, event, work, replay, progress, weight });
        no
    }

    /// How much a letter weighs: of a reconcile, all entries of both sides.
    fn weight(&self, work: &Work) -> i64 {
        let entries = match work {
            Work::OwnChange { edit, .. } => edit.len(),
            Work::PartnershipChange { .. } => 1,
            Work::SyncChange { change, .. } => change.entries.len(),
            Work::Reconcile(Reconcile { upstream, downstream, .. }) => {
                let both = [upstream, downstream];
                self.world.all_entries().filter(|(organization, ..)| both.contains(&organization)).count()
            }
        };
        i64::try_from(entries).unwrap()
    }

    /// Puts in an entry that stands before anything happens.
    pub(crate) fn given_entry(
        &mut self,
        organization: &str,
        category: &str,
        key: &str,
        value: &str,
        origin: Option<&str>,
    ) {
        let organization = self.organization(organization);
        let category = self.category(category);
        let value = self.value(value);
        let origin = origin.map(|upstream| self.organization(upstream));
        let entry = Entry { value, origin, written_by: EventNo(0), added_by: EventNo(0) };
        self.world.load_entry(organization, category, Arc::from(key), entry);
    }

    /// Puts in a partnership that stands before anything happens.
    pub(crate) fn given_partnership(&mut self, upstream: &str, downstream: &str, terms: Terms) {
        let upstream = self.organization(upstream);
        let downstream = self.organization(downstream);
        let (since, version, event) = (ChangeNo(0), None, None);
        let partnership = Partnership { upstream, downstream, terms, since, version, event };
        self.world.load_partnership(partnership);

        let shard = downstream.shard();
        let reached = reached(&self.world, upstream, shard);
        self.world.load_reached(upstream, shard, reached);
    }
}

/// How many downstreams of an organization in a shard are reached, counted from its partnerships.
pub(crate) fn reached(world: &World, upstream: OrganizationNo, shard: Shard) -> Reached {
    let mut reached = Reached::default();
    for partnership in world.downstreams_of(upstream).filter(|one| one.downstream.shard() == shard) {
        match partnership.mode() {
            Mode::Off => {}
            Mode::NonExclusive | Mode::Flexible => reached.merging += 1,
            Mode::Strict => reached.strict += 1,
        }
    }
    reached
}

// Letters out.
impl Model {
    /// Works off all letters one at a time in the order of their positions, until none is left: the outcome
    /// that is easiest to reason about.
    pub(crate) fn settle(&mut self) {
        while self.step().is_some() {}
    }

    /// Works off the very first letter of all, or as much of it as there is room for.
    pub(crate) fn step(&mut self) -> Option<Done> {
        let first = self.letters.values().min_by_key(|letter| letter.turn())?.no;
        let done = self.run_batch(&[first]);
        let went_on = done.letters_done == [first] || done.letters_cut.iter().any(|cut| cut.no == first);
        assert!(went_on, "nothing comes before the first letter, so it must run: {:?}", self.letters[&first]);
        Some(done)
    }

    /// Works off all letters in random batches from random shards, as several executors would, until none
    /// is left.
    pub(crate) fn settle_randomly(&mut self, random: &mut Random) {
        let mut idle = 0;
        while !self.letters.is_empty() {
            let done = self.run_randomly(random);
            idle = if went_on(&done) { 0 } else { idle + 1 };
            assert!(idle < 1000, "letters are left that never run: {:#?}", self.letters);
        }
    }

    /// Works off one random batch: the first few letters of some shards, less a few that are not due yet.
    pub(crate) fn run_randomly(&mut self, random: &mut Random) -> Done {
        let mut chosen = Vec::new();
        for letters in self.mailboxes().values() {
            if random.chance(60) {
                let taken = 1 + random.below(5);
                chosen.extend(letters.iter().take(taken));
            }
        }
        chosen.retain(|_| random.chance(85));
        self.run_batch(&chosen)
    }

    /// The letters of each shard, in order.
    pub(crate) fn mailboxes(&self) -> BTreeMap<Shard, Vec<LetterNo>> {
        let mut mailboxes: BTreeMap<Shard, Vec<Turn>> = BTreeMap::new();
        for letter in self.letters.values() {
            mailboxes.entry(mailbox(&letter.work)).or_default().push(letter.turn());
        }
        let in_order = |(shard, mut turns): (Shard, Vec<Turn>)| {
            turns.sort_unstable();
            (shard, turns.into_iter().map(|(_, _, no)| no).collect())
        };
        mailboxes.into_iter().map(in_order).collect()
    }

    /// Works off a batch of letters as an executor does that took these and no others.
    pub(crate) fn run_batch(&mut self, letters: &[LetterNo]) -> Done {
        self.run_batch_with(letters, |_| {})
    }

    /// Works off a batch of letters that `adjust` has changed before: held others back, or taken numbers
    /// away.
    pub(crate) fn run_batch_with(&mut self, letters: &[LetterNo], adjust: impl FnOnce(&mut Batch)) -> Done {
        let mut batch = self.batch(letters);
        adjust(&mut batch);
        let done = work(&mut self.world, &self.catalogue, batch);
        self.take_in(&done);
        done
    }

    fn batch(&mut self, chosen: &[LetterNo]) -> Batch {
        let chosen: HashSet<LetterNo> = chosen.iter().copied().collect();
        let (inside, outside): (Vec<&Letter>, Vec<&Letter>) =
            self.letters.values().partition(|letter| chosen.contains(&letter.no));

        // Where the first letter stands that an organization has outside the batch.
        let mut first_outside: HashMap<OrganizationNo, Turn> = HashMap::new();
        for letter in &outside {
            for organization in self.concerned(letter) {
                let first = first_outside.entry(organization).or_insert_with(|| letter.turn());
                *first = letter.turn().min(*first);
            }
        }
        let is_behind = |organization: OrganizationNo, letter: &Letter| {
            first_outside.get(&organization).is_some_and(|first| *first < letter.turn())
        };

        let mut batch = Batch::default();
        for letter in &inside {
            batch.held.extend(
                self.concerned(letter).into_iter().filter(|organization| is_behind(*organization, letter)),
            );
            if letter.reads().is_some_and(|upstream| is_behind(upstream, letter)) {
                batch.waiting.insert(letter.no);
            }
        }
        batch.first_partnership_outside = outside
            .iter()
            .filter(|letter| matches!(letter.work, Work::PartnershipChange { .. }))
            .map(|letter| letter.position)
            .min();
        let replays = inside.iter().filter(|letter| letter.replay);
        batch.overtaken = replays.map(|letter| (letter.no, self.overtaken(letter))).collect();
        batch.letters = inside.into_iter().cloned().collect();
        if let Some(writes_max) = self.writes_max {
            batch.plan = Plan::of(&self.world, &self.catalogue, &batch, writes_max);
        }
        let needed = numbers_needed(&self.world, &self.catalogue, &batch);
        batch.numbers = (0..needed).map(|_| ChangeNo(self.next_number())).collect();
        batch
    }

    /// The organizations that a letter is still about.
    pub(crate) fn concerned(&self, letter: &Letter) -> Vec<OrganizationNo> {
        match &letter.work {
            Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                let reached = match letter.progress {
                    Progress::Members { through } => Some(through),
                    Progress::NotBegun | Progress::Entries { .. } => None,
                };
                let members = members(&self.world, change.organization, *shard);
                members.filter(|member| Some(*member) > reached).collect()
            }
            work => work.organization().into_iter().collect(),
        }
    }

    /// Saves what came of a batch.
    fn take_in(&mut self, done: &Done) {
        for no in &done.letters_done {
            assert!(self.letters.remove(no).is_some(), "a letter was done that was not there: {no:?}");
        }
        for change in &done.changes {
            let known = self.changes.insert(change.no, Change::clone(change));
            assert!(known.is_none(), "two changes have the number {:?}", change.no);
        }
        for reconcile in &done.reconciles {
            let known = self.reconciles.insert(reconcile.no, *reconcile);
            assert!(known.is_none(), "two beginnings have the number {:?}", reconcile.no);
        }
        for Cut { no, progress, weight } in &done.letters_cut {
            let letter = self.letters.get_mut(no).expect("a letter that was cut is still there");
            assert_ne!(letter.progress, *progress, "a part was done that got nowhere: {letter:?}");
            (letter.progress, letter.weight) = (progress.clone(), *weight);
        }
        for NewLetter { position, event, work, weight, replay } in &done.letters_new {
            let work = match *work {
                FollowUp::SyncChange(no, to) => {
                    Work::SyncChange { change: Arc::new(self.changes[&no].clone()), to }
                }
                FollowUp::Reconcile(no, _) => Work::Reconcile(self.reconciles[&no]),
            };
            let weight = if let Work::Reconcile(_) = work { self.weight(&work) } else { *weight };
            let no = self.put_weighed_letter(*position, *event, work, weight);
            if let Some(letter) = self.letters.get_mut(&no) {
                letter.replay = *replay;
            }
        }
        for (event, verdict) in &done.verdicts {
            if let Some(published) = self.events.get_mut(event) {
                published.verdict = Some(verdict.clone());
            }
        }
        for JobPart { cause, organization, displaced } in &done.job_parts {
            self.displaced.entry((*cause, *organization)).or_default().extend(displaced.iter().cloned());
        }
        for job in &done.jobs {
            let mut job = job.clone();
            let before = self.displaced.remove(&(job.cause, job.organization)).unwrap_or_default();
            job.displaced.splice(0..0, before);
            self.jobs.push(job);
        }
    }

    /// Puts the letter of an old change into the mailbox of one downstream again, as a replay does.
    pub(crate) fn deliver_again(&mut self, change: ChangeNo, downstream: &str) {
        let change = Arc::new(self.changes[&change].clone());
        let to = Recipients::One(self.organization(downstream));
        self.put_letter(Position(change.event.0), change.event, Work::SyncChange { change, to });
    }
}

// Jobs that are given up, and replayed.
impl Model {
    /// The job of this letter to one organization fails for good.
    pub(crate) fn give_up(&mut self, no: LetterNo) {
        let letter = self.letters.remove(&no).expect("a letter that waits");
        assert!(letter.work.organization().is_some(), "a letter to many is split before one of it fails");
        self.given_up.push(letter);
    }

    /// The job of this letter fails for good. A letter to many becomes one to each; of one alone, it fails.
    pub(crate) fn fail(&mut self, no: LetterNo) {
        let letter = &self.letters[&no];
        if letter.work.organization().is_some() {
            return self.give_up(no);
        }
        let to_one = self.concerned(letter).len() == 1;
        self.split(no);
        if to_one {
            self.give_up(LetterNo(self.last_letter));
        }
    }

    /// Works off all letters in order, but every job of this organization fails for good.
    pub(crate) fn settle_failing(&mut self, failing: OrganizationNo) {
        while let Some(letter) = self.letters.values().min_by_key(|letter| letter.turn()) {
            let no = letter.no;
            if !self.concerned(letter).contains(&failing) {
                self.run_batch(&[no]);
            } else if letter.work.organization().is_some() {
                self.give_up(no);
            } else {
                self.split(no);
            }
        }
    }

    /// Puts the letter of a job that was given up back into its mailbox, as a replay.
    pub(crate) fn replay(&mut self, letter: Letter) -> LetterNo {
        self.given_up_before.push(letter.clone());
        let no = self.put_letter(Position(letter.event.0), letter.event, letter.work);
        self.letters.get_mut(&no).unwrap().replay = true;
        no
    }

    /// Puts the letter of a sync-change or reconcile that was done back into its mailbox, as a replay.
    pub(crate) fn replay_done(&mut self, job: &JobDone) -> LetterNo {
        let place = self.jobs.iter().position(|done| done == job).expect("a job that was done");
        self.done_before.push(self.jobs.remove(place));
        let cause = ChangeNo(job.cause.0);
        let work = match job.kind {
            JobKind::SyncChange => {
                let change = Arc::new(self.changes[&cause].clone());
                Work::SyncChange { change, to: Recipients::One(job.organization) }
            }
            JobKind::Reconcile => Work::Reconcile(self.reconciles[&cause]),
            JobKind::OwnChange | JobKind::PartnershipChange => panic!("not done twice: {job:?}"),
        };
        let no = self.put_letter(Position(job.event.0), job.event, work);
        self.letters.get_mut(&no).unwrap().replay = true;
        no
    }

    /// Puts the letter of a job back into its mailbox, as a replay; whether the job was given up or done.
    pub(crate) fn replay_cause(&mut self, cause: CauseNo, organization: OrganizationNo) -> LetterNo {
        let is_its = |job: &JobDone| (job.cause, job.organization) == (cause, organization);
        let (gone, left) = std::mem::take(&mut self.jobs).into_iter().partition(is_its);
        self.jobs = left;
        let gone: Vec<JobDone> = gone;
        self.done_before.extend(gone);
        let (change_no, event_no) = (ChangeNo(cause.0), EventNo(cause.0));
        let (event, work) = if let Some(change) = self.changes.get(&change_no) {
            let to = Recipients::One(organization);
            (change.event, Work::SyncChange { change: Arc::new(change.clone()), to })
        } else if let Some(reconcile) = self.reconciles.get(&change_no) {
            (reconcile.event, Work::Reconcile(*reconcile))
        } else {
            let event = self.events[&event_no].event.clone();
            (event_no, self.own_work(&event).expect("an event that asks for something"))
        };
        let no = self.put_letter(Position(event.0), event, work);
        self.letters.get_mut(&no).unwrap().replay = true;
        no
    }

    /// What is newer than a letter that is a replay: what `touched_load` finds in the database.
    fn overtaken(&self, letter: &Letter) -> Overtaken {
        let mut touched = Touched::default();
        let organization = letter.work.organization().expect("a replay goes to one organization");
        // What parts of jobs have done counts, whatever becomes of the rest.
        let parts = self.letters.values().chain(&self.given_up).chain(&self.given_up_before);
        for part in parts.filter(|part| part.work.organization() == Some(organization)) {
            let Progress::Entries { counts, .. } = part.progress else { continue };
            if part.event <= letter.event || counts.added + counts.changed + counts.removed == 0 {
                continue;
            }
            match &part.work {
                Work::SyncChange { change, .. } => {
                    let keys = change.entries.iter().map(|(key, _)| Key::clone(key));
                    keys.for_each(|key| touched.touch(change.category, key, part.event, counts.removed > 0));
                }
                Work::Reconcile(_) => touched.touch_everything(part.event, counts.removed > 0),
                Work::OwnChange { .. } | Work::PartnershipChange { .. } => {}
            }
        }
        let done = self
            .jobs
            .iter()
            .chain(&self.done_before)
            .filter(|job| job.organization == organization && job.event > letter.event && !job.rejected);
        for job in done {
            let removed = job.counts.removed > 0;
            let changed = removed || job.counts.added + job.counts.changed > 0;
            match job.kind {
                JobKind::OwnChange if self.verdict(job.event) == Some(&Verdict::Applied) => {
                    let Event::Setting(event) = &self.events[&job.event].event else { continue };
                    let category = self.category(&event.category);
                    match &event.edit {
                        Edit::Changes(changes) => {
                            for (key, _) in changes {
                                touched.touch(category, Arc::from(&**key), job.event, true);
                            }
                        }
                        Edit::Snapshot { .. } => touched.touch_category(category, job.event),
                    }
                }
                JobKind::SyncChange if changed => {
                    let change = &self.changes[&ChangeNo(job.cause.0)];
                    for (key, _) in change.entries.iter() {
                        touched.touch(change.category, Key::clone(key), job.event, removed);
                    }
                }
                JobKind::Reconcile if changed => touched.touch_everything(job.event, removed),
                JobKind::OwnChange
                | JobKind::PartnershipChange
                | JobKind::SyncChange
                | JobKind::Reconcile => {}
            }
        }
        Overtaken::since(letter.event, Arc::new(touched))
    }
}

/// Whether a batch did anything.
pub(crate) fn went_on(done: &Done) -> bool {
    !done.letters_done.is_empty() || !done.letters_cut.is_empty()
}

/// The shard whose mailbox a letter lies in.
fn mailbox(work: &Work) -> Shard {
    match work {
        Work::SyncChange { to: Recipients::Shard(shard), .. } => *shard,
        work => work.organization().map(OrganizationNo::shard).unwrap(),
    }
}

// Replaying the order of jobs that the service recorded.
impl Model {
    /// Runs exactly the one job that was done for `cause` in `organization`, whatever else is waiting: the
    /// caller says what came next. None where the rules reach nothing there, so that no job came of it.
    ///
    /// `cause` is a number of this model. Publish the events in the order in which the service numbered
    /// them, and keep a map from its causes to those here: an event's number is what `publish` returned;
    /// what a job made is found right after the job by [`Model::change_made_by`] and
    /// [`Model::beginning_made_by`]. In the end, [`Model::settle`] must bring no further job, and the
    /// states must be equal.
    pub(crate) fn run_job(&mut self, cause: CauseNo, organization: OrganizationNo) -> Option<JobDone> {
        self.run_part(cause, organization, None, None)
    }

    /// As [`Model::run_job`], but only what is behind one place and not behind another: a part of a job that the
    /// service has cut. Tells what this part did alone. Its letter stays, unless the part goes `through` to the
    /// end.
    pub(crate) fn run_part(
        &mut self,
        cause: CauseNo,
        organization: OrganizationNo,
        after: Option<&Place>,
        through: Option<&Place>,
    ) -> Option<JobDone> {
        let letter = self.letter_for(cause, organization);
        let no = letter.no;
        let is_shared = matches!(letter.work, Work::SyncChange { to: Recipients::Shard(_), .. });
        let no = if is_shared {
            self.split(no);
            self.letter_for(cause, organization).no
        } else {
            no
        };

        let whole = self.letters[&no].clone();
        let mut letter = whole.clone();
        let mut later = Vec::new();
        let mut batch = Batch::default();
        match &mut letter.work {
            Work::SyncChange { change, .. } => {
                let is_at_hand = |key: &Key| {
                    after.is_none_or(|after| *key > after.key) && through.is_none_or(|last| *key <= last.key)
                };
                let entries = change.entries.iter().filter(|(key, _)| is_at_hand(key)).cloned();
                *change = Arc::new(Change { entries: entries.collect(), ..Change::clone(change) });
            }
            Work::Reconcile(Reconcile { upstream, downstream, .. }) => {
                let both = [*upstream, *downstream];
                if let Some(through) = through {
                    later = self.set_aside(|one, place| both.contains(&one) && place > *through);
                }
                if let Some(after) = after {
                    let (through, counts) = (after.clone(), Counts::default());
                    letter.progress = Progress::Entries { through, counts };
                }
            }
            work => assert_eq!((after, through), (None, None), "never cut: {work:?}"),
        }
        if letter.replay {
            batch.overtaken.insert(no, self.overtaken(&letter));
        }
        batch.letters = vec![letter];
        // With room for everything: where a reconcile begins, only a plan tells.
        batch.plan = Plan::of(&self.world, &self.catalogue, &batch, usize::MAX / 2);
        let needed = numbers_needed(&self.world, &self.catalogue, &batch);
        batch.numbers = (0..needed).map(|_| ChangeNo(self.next_number())).collect();
        let done = work(&mut self.world, &self.catalogue, batch);
        assert_eq!(done.letters_done, [no], "nothing holds a letter that is alone in its batch");
        self.take_in(&done);
        for (organization, category, key, entry) in later {
            self.world.load_entry(organization, category, key, entry);
        }
        if through.is_some() {
            self.letters.insert(no, whole);
        }
        done.jobs.into_iter().next()
    }

    /// Takes entries out of the world: those of which `is_one` says so.
    fn set_aside(
        &mut self,
        is_one: impl Fn(OrganizationNo, Place) -> bool,
    ) -> Vec<(OrganizationNo, CategoryId, Key, Entry)> {
        let mut world = World::default();
        let mut aside = Vec::new();
        for (organization, category, key, entry) in self.world.all_entries() {
            let name = self.catalogue.get(category).name.clone();
            let one = (organization, category, Key::clone(key), *entry);
            if is_one(organization, Place { category: name, key: Key::clone(key) }) {
                aside.push(one);
            } else {
                world.load_entry(one.0, one.1, one.2, one.3);
            }
        }
        for (declined, event) in self.world.all_declined() {
            world.load_declined(declined.clone(), event);
        }
        for organization in self.all_organizations() {
            for partnership in self.world.downstreams_of(organization) {
                world.load_partnership(*partnership);
            }
            for (shard, reached) in self.world.reached(organization) {
                world.load_reached(organization, shard, reached);
            }
            for (category, _) in self.catalogue.iter() {
                if let Some(version) = self.world.version(organization, category) {
                    world.load_version(organization, category, version);
                }
            }
            world.load_last_change(organization, self.world.last_change(organization));
        }
        self.world = world;
        aside
    }

    /// Takes the letter of this cause away from the mailbox of one organization, its job undone: given up, or
    /// still waiting where it was recorded. False where there is none.
    pub(crate) fn take_away(&mut self, cause: CauseNo, organization: OrganizationNo) -> bool {
        let Some(letter) = self.find_letter(cause, organization) else { return false };
        let no = letter.no;
        if matches!(letter.work, Work::SyncChange { to: Recipients::Shard(_), .. }) {
            self.split(no);
        }
        let no = self.letter_for(cause, organization).no;
        self.letters.remove(&no).is_some()
    }

    fn find_letter(&self, cause: CauseNo, organization: OrganizationNo) -> Option<&Letter> {
        let is_it = |letter: &&Letter| {
            letter.work.cause(letter.event) == cause && self.concerned(letter).contains(&organization)
        };
        self.letters.values().find(is_it)
    }

    /// The letter that the job of this cause and organization is to be done by.
    fn letter_for(&self, cause: CauseNo, organization: OrganizationNo) -> &Letter {
        self.find_letter(cause, organization).unwrap_or_else(|| {
            panic!(
                "the model has no letter for the cause {cause:?} to {:?}",
                self.organization_name(organization)
            )
        })
    }

    /// Replaces a letter to a shard by letters to each of its members.
    fn split(&mut self, no: LetterNo) {
        let letter = self.letters.remove(&no).unwrap();
        let Letter { position, event, ref work, .. } = letter;
        for member in self.concerned(&letter) {
            let Work::SyncChange { change, .. } = work else { panic!("only a sync-change is shared") };
            let to = Recipients::One(member);
            self.put_letter(position, event, Work::SyncChange { change: Arc::clone(change), to });
        }
    }

    /// The change that the job of this cause and organization made in a category and sent on.
    pub(crate) fn change_made_by(
        &self,
        cause: CauseNo,
        organization: OrganizationNo,
        category: CategoryId,
    ) -> Option<ChangeNo> {
        self.change_made_by_part(cause, organization, category, 0)
    }

    /// As [`Model::change_made_by`], where so many changes like it were made before: by other parts of the job.
    pub(crate) fn change_made_by_part(
        &self,
        cause: CauseNo,
        organization: OrganizationNo,
        category: CategoryId,
        before: usize,
    ) -> Option<ChangeNo> {
        let is_it = |change: &&Change| {
            change.cause == cause && change.organization == organization && change.category == category
        };
        self.changes.values().filter(is_it).nth(before).map(|change| change.no)
    }

    /// The beginning that the partnership-change of this event made.
    pub(crate) fn beginning_made_by(&self, event: EventNo) -> Option<ChangeNo> {
        self.reconciles.values().find(|reconcile| reconcile.event == event).map(|reconcile| reconcile.no)
    }
}

// What can be seen.
impl Model {
    pub(crate) fn state(&self) -> State {
        let name = |no| self.organization_name(no).to_owned();
        let settings = self.world.all_entries().map(|(organization, category, key, entry)| {
            let locked_by = lock_holder(&self.world, &self.catalogue, organization, category);
            let setting = Setting {
                value: self.value_text(entry.value).to_owned(),
                origin: entry.origin.map_or("own".to_owned(), name),
                locked_by: locked_by.map(name),
                written_by: self.event_id(entry.written_by).to_owned(),
            };
            ((name(organization), self.catalogue.name(category).to_owned(), key.to_string()), setting)
        });
        let declined = self.world.all_declined().map(|(declined, event)| {
            let category = self.catalogue.name(declined.category).to_owned();
            let key = declined.key.to_string();
            let address = (name(declined.downstream), name(declined.upstream), category, key);
            (address, self.event_id(event).to_owned())
        });
        let partnerships = self.partnerships().map(|partnership| {
            ((name(partnership.upstream), name(partnership.downstream)), partnership.mode())
        });
        State {
            settings: settings.collect(),
            declined: declined.collect(),
            partnerships: partnerships.collect(),
        }
    }

    /// All partnerships, in whatever status.
    pub(crate) fn partnerships(&self) -> impl Iterator<Item = &Partnership> {
        self.all_organizations().flat_map(|upstream| self.world.downstreams_of(upstream))
    }

    /// What became of an event; none while its own letter is waiting, or where it was ignored.
    pub(crate) fn verdict(&self, event: EventNo) -> Option<&Verdict> {
        self.events[&event].verdict.as_ref()
    }

    /// The upstream that a sync-change or reconcile brought settings from.
    pub(crate) fn upstream_of(&self, job: &JobDone) -> Option<OrganizationNo> {
        let no = ChangeNo(job.cause.0);
        let of_change = self.changes.get(&no).map(|change| change.organization);
        of_change.or_else(|| self.reconciles.get(&no).map(|reconcile| reconcile.upstream))
    }
}

/// Random numbers from a seed, the same on every machine (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not including, `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in so many cases of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
