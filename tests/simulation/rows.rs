//! What the database in memory holds, and the effects that transactions have on it.
//!
//! Rows know nothing of transactions, locks and faults. A transaction keeps its effects to itself until it
//! commits; then they are applied here, one after the other. What Postgres would refuse by a key that is
//! unique, and what no correct program does, is told as a violation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use channel_sync::domain::catalogue::{Catalogue, CategoryId};
use channel_sync::domain::decide::{Counts, Displaced, reaching_rule};
use channel_sync::domain::mailbox::{
    Cut, JobDone, Letter, LetterNo, Progress, Recipients, Reconcile, Verdict, Work, members,
};
use channel_sync::domain::partnership::{Mode, Partnership};
use channel_sync::domain::replay::{Overtaken, Touched};
use channel_sync::domain::setting::{Change, Edit, Entry, Key, Place, ValueId};
use channel_sync::domain::world::{Declined, LastChange, Reached, World, Writes};
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, Shard};
use channel_sync::store::intake::Identity;
use channel_sync::store::load::{Parties, Wanted, WantedPart};

/// An event that was taken in.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) no: EventNo,
    pub(crate) identity: Identity,
    pub(crate) content: [u8; 32],
    /// What it asks for.
    pub(crate) work: Work,
    pub(crate) values: BTreeMap<ValueId, String>,
}

/// A letter with what the database alone knows of it.
#[derive(Debug, Clone)]
pub(crate) struct LetterRow {
    pub(crate) letter: Letter,
    pub(crate) attempts: i32,
    /// Where it is a replay: how often its job was tried before.
    pub(crate) attempts_before: i32,
    /// In milliseconds of the simulated clock.
    pub(crate) run_at: i64,
}

/// The order in which letters of a mailbox are worked off.
pub(crate) type Turn = (Position, CauseNo, LetterNo);

impl LetterRow {
    pub(crate) fn cause(&self) -> CauseNo {
        self.letter.work.cause(self.letter.event)
    }

    /// Whether it can be done at this time. One that was never tried always can.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.attempts == 0 || self.run_at <= now
    }

    pub(crate) fn turn(&self) -> Turn {
        (self.letter.position, self.cause(), self.letter.no)
    }

    pub(crate) fn organization(&self) -> Option<OrganizationNo> {
        self.letter.work.organization()
    }

    pub(crate) fn shard(&self) -> Shard {
        self.letter.shard()
    }
}

/// What became of one organization for one cause.
#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    pub(crate) cause: CauseNo,
    pub(crate) organization: OrganizationNo,
    /// In the order in which they were done, as far as one may depend on the other.
    pub(crate) no: i64,
    pub(crate) attempts: i32,
    /// What it came to, or where it was given up, what its parts did until then.
    pub(crate) counts: Counts,
    /// None where it was given up.
    pub(crate) done: Option<JobDone>,
}

fn changed(counts: &Counts) -> bool {
    counts.added + counts.changed + counts.removed > 0
}

/// A part of a job that was not done yet.
#[derive(Debug, Clone)]
pub(crate) struct PartRow {
    pub(crate) cause: CauseNo,
    pub(crate) organization: OrganizationNo,
    /// From the same sequence as those of jobs.
    pub(crate) no: i64,
    /// The last place that it went through.
    pub(crate) through: Place,
    /// What it displaced: archived with it, since the job's row comes later.
    pub(crate) displaced: Vec<Displaced>,
}

/// What was done, to be done again in the model in the same order.
#[derive(Debug, Clone)]
pub(crate) enum Run {
    Job(Arc<JobRow>),
    Part(Arc<PartRow>),
    /// It was sent once more, as a replay.
    Replayed(i64, CauseNo, OrganizationNo),
}

impl Run {
    pub(crate) fn no(&self) -> i64 {
        match self {
            Self::Job(job) => job.no,
            Self::Part(part) => part.no,
            Self::Replayed(no, ..) => *no,
        }
    }
}

/// An effect of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    OrganizationAdded(String, OrganizationNo),
    EventAdded(Arc<EventRow>),
    RejectedAdded([u8; 32]),
    LetterAdded(Arc<LetterRow>),
    LetterRemoved(LetterNo),
    LetterPostponed(LetterNo, i64),
    LetterCut(Cut),
    JobAdded(Arc<JobRow>),
    PartDone(Arc<PartRow>),
    ChangeAdded(Arc<Change>),
    ReconcileAdded(Reconcile),
    Written(Box<Writes>),
    Settled(EventNo, Verdict),
}

/// The rows. Cheap to copy, since a transaction that has written sees a copy of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    pub(crate) organizations: BTreeMap<String, OrganizationNo>,
    pub(crate) events: BTreeMap<Identity, Arc<EventRow>>,
    /// Messages that were not accepted, by what tells them from others.
    pub(crate) rejected: Vec<[u8; 32]>,
    pub(crate) letters: BTreeMap<LetterNo, Arc<LetterRow>>,
    pub(crate) jobs: BTreeMap<(CauseNo, OrganizationNo), Arc<JobRow>>,
    pub(crate) changes: BTreeMap<ChangeNo, Arc<Change>>,
    pub(crate) reconciles: BTreeMap<ChangeNo, Reconcile>,
    /// Jobs that changed something before they were replayed.
    pub(crate) had_effect: BTreeSet<(CauseNo, OrganizationNo)>,
    pub(crate) verdicts: BTreeMap<EventNo, Verdict>,
    pub(crate) settings: BTreeMap<(OrganizationNo, CategoryId, Key), Entry>,
    pub(crate) declined: BTreeMap<Declined, EventNo>,
    pub(crate) partnerships: BTreeMap<(OrganizationNo, OrganizationNo), Partnership>,
    pub(crate) versions: BTreeMap<(OrganizationNo, CategoryId), i64>,
    pub(crate) last_changes: BTreeMap<OrganizationNo, LastChange>,
    /// Paused organizations; none stands for all.
    pub(crate) paused: BTreeSet<Option<OrganizationNo>>,
}

impl Rows {
    /// Applies an effect.
    ///
    /// # Errors
    /// Says what is wrong with it: what it adds is there already, or what it removes is not.
    pub(crate) fn apply(&mut self, effect: Effect) -> Result<(), String> {
        let lone = match effect {
            Effect::OrganizationAdded(id, no) => self.organizations.insert(id, no).is_none(),
            Effect::EventAdded(event) => self.events.insert(event.identity.clone(), event).is_none(),
            Effect::RejectedAdded(rejected) => {
                self.rejected.push(rejected);
                true
            }
            Effect::LetterAdded(row) => self.letters.insert(row.letter.no, row).is_none(),
            Effect::LetterRemoved(no) => {
                return match self.letters.remove(&no) {
                    Some(_) => Ok(()),
                    None => Err(format!("the letter {no:?} leaves, and is not there: it was done twice")),
                };
            }
            Effect::LetterPostponed(no, run_at) => {
                let Some(row) = self.letters.get_mut(&no) else {
                    return Err(format!("the letter {no:?} is put off, and is not there"));
                };
                let row = Arc::make_mut(row);
                row.attempts += 1;
                row.run_at = run_at;
                true
            }
            Effect::LetterCut(Cut { no, progress, weight }) => {
                let Some(row) = self.letters.get_mut(&no) else {
                    return Err(format!("the letter {no:?} is cut, and is not there"));
                };
                let letter = &mut Arc::make_mut(row).letter;
                if !goes_on(&letter.progress, &progress) {
                    return Err(format!("the letter {no:?} goes from {:?} to {progress:?}", letter.progress));
                }
                (letter.progress, letter.weight) = (progress, weight);
                Arc::make_mut(row).attempts = 0;
                true
            }
            Effect::PartDone(_) => true,
            Effect::JobAdded(job) => {
                let key = (job.cause, job.organization);
                if self.jobs.insert(key, job).is_some() {
                    return Err(format!("the job {key:?} is done a second time"));
                }
                true
            }
            Effect::ChangeAdded(change) => self.changes.insert(change.no, change).is_none(),
            Effect::ReconcileAdded(reconcile) => self.reconciles.insert(reconcile.no, reconcile).is_none(),
            Effect::Settled(event, verdict) => self.verdicts.insert(event, verdict).is_none(),
            Effect::Written(writes) => {
                self.write(*writes);
                true
            }
        };
        if lone { Ok(()) } else { Err("a row is added that is there already".to_owned()) }
    }

    fn write(&mut self, writes: Writes) {
        let Writes { entries_added, entries_changed, entries_removed, .. } = writes;
        let Writes { declined_put, declined_removed, .. } = writes;
        self.settings.extend(entries_added.into_iter().chain(entries_changed));
        for address in entries_removed {
            self.settings.remove(&address);
        }
        self.declined.extend(declined_put);
        for declined in declined_removed {
            self.declined.remove(&declined);
        }
        let partnerships = writes.partnerships.into_iter();
        self.partnerships.extend(partnerships.map(|one| ((one.upstream, one.downstream), one)));
        let versions = writes.versions.into_iter();
        self.versions
            .extend(versions.map(|(organization, category, version)| ((organization, category), version)));
        self.last_changes.extend(writes.last_changes);
    }

    /// The partnerships that letters are about, as the statements `partnerships_above` and
    /// `partnerships_below` load them.
    pub(crate) fn load_partnerships(&self, world: &mut World, parties: &Parties) {
        let mut open: Vec<OrganizationNo> = parties.above.iter().copied().collect();
        let mut seen = parties.above.clone();
        while let Some(organization) = open.pop() {
            for partnership in self.partnerships.values().filter(|one| one.downstream == organization) {
                self.load_partnership(world, partnership);
                if seen.insert(partnership.upstream) {
                    open.push(partnership.upstream);
                }
            }
        }
        for (upstream, shard) in &parties.below {
            for partnership in self.below(*upstream).filter(|one| one.downstream.shard() == *shard) {
                self.load_partnership(world, partnership);
            }
        }
    }

    fn load_partnership(&self, world: &mut World, partnership: &Partnership) {
        let Partnership { upstream, downstream, .. } = *partnership;
        if self.declined.keys().any(|one| (one.upstream, one.downstream) == (upstream, downstream)) {
            world.load_declining(upstream, downstream);
        }
        world.load_partnership(*partnership);
    }

    fn below(&self, upstream: OrganizationNo) -> impl Iterator<Item = &Partnership> {
        let all = (upstream, OrganizationNo(i32::MIN))..=(upstream, OrganizationNo(i32::MAX));
        self.partnerships.range(all).map(|(_, partnership)| partnership)
    }

    /// What letters touch beside partnerships, and no more: who decides by anything else finds nothing.
    pub(crate) fn load(&self, world: &mut World, catalogue: &Catalogue, wanted: &Wanted) {
        for organization in &wanted.changing {
            let mut shards: BTreeMap<Shard, Reached> = BTreeMap::new();
            for partnership in self.below(*organization) {
                let reached = shards.entry(partnership.downstream.shard()).or_default();
                match partnership.mode() {
                    Mode::Off => {}
                    Mode::NonExclusive | Mode::Flexible => reached.merging += 1,
                    Mode::Strict => reached.strict += 1,
                }
            }
            if !shards.is_empty() {
                let last = self.last_changes.get(organization).copied().unwrap_or_default();
                world.load_last_change(*organization, last);
            }
            for (shard, reached) in shards {
                world.load_reached(*organization, shard, reached);
            }
        }
        for ((organization, category, key), entry) in &self.settings {
            if wanted.categories.contains(&(*organization, *category)) {
                world.load_entry(*organization, *category, Key::clone(key), *entry);
            }
        }
        for address in &wanted.keys {
            if let Some(entry) = self.settings.get(address) {
                world.load_entry(address.0, address.1, Key::clone(&address.2), *entry);
            }
        }
        for part in &wanted.parts {
            let (upstream, downstream) = (part.upstream, part.downstream);
            for organization in [upstream, downstream] {
                for (category, key, entry) in self.first_entries(catalogue, organization, part) {
                    world.load_entry(organization, category, Key::clone(key), *entry);
                }
            }
            if !part.may_be_declined {
                continue;
            }
            for (category, key, _) in self.first_entries(catalogue, upstream, part) {
                let declined = Declined { downstream, upstream, category, key: Key::clone(key) };
                if let Some(event) = self.declined.get(&declined) {
                    world.load_declined(declined, *event);
                }
            }
        }
        for declined in &wanted.declined {
            if let Some(event) = self.declined.get(declined) {
                world.load_declined(declined.clone(), *event);
            }
        }
        for version in &wanted.versions {
            if let Some(last) = self.versions.get(version) {
                world.load_version(version.0, version.1, *last);
            }
        }
    }

    /// The first entries of an organization behind the place that a part begins after, in the order of places.
    fn first_entries(
        &self,
        catalogue: &Catalogue,
        organization: OrganizationNo,
        part: &WantedPart,
    ) -> Vec<(CategoryId, &Key, &Entry)> {
        let after = (&*part.after_category, &*part.after_key);
        let mut entries: Vec<_> = self
            .settings
            .iter()
            .filter(|((one, ..), _)| *one == organization)
            .map(|((_, category, key), entry)| (*category, key, entry))
            .filter(|(category, key, _)| (catalogue.name(*category), &***key) > after)
            .filter(|(category, ..)| catalogue.synced().any(|(synced, _)| synced == *category))
            .collect();
        entries.sort_by_key(|(category, key, _)| (catalogue.name(*category), Key::clone(key)));
        entries.truncate(usize::try_from(part.entries_max).unwrap_or(usize::MAX));
        entries
    }

    /// What is newer than a letter that is a replay, as the statement `touched_load` finds it.
    pub(crate) fn overtaken(&self, letter: &Letter) -> Option<Overtaken> {
        let organization = letter.work.organization()?;
        let its_category = match &letter.work {
            Work::OwnChange { category, .. } => Some(*category),
            Work::SyncChange { change, .. } => Some(change.category),
            Work::Reconcile(_) => None,
            Work::PartnershipChange { .. } => return None,
        };
        let counts = |category| its_category.is_none_or(|its| its == category);
        let mut touched = Touched::default();
        for (event, category, edit) in self.own_edits(organization, letter.event) {
            match edit {
                Edit::Changes(changes) if counts(category) => {
                    changes.iter().for_each(|(key, _)| touched.touch(category, Key::clone(key), event, true));
                }
                Edit::Snapshot { .. } if counts(category) => touched.touch_category(category, event),
                Edit::Changes(_) | Edit::Snapshot { .. } => {}
            }
        }
        let jobs = self.jobs.iter().filter(|(_, job)| changed(&job.counts));
        let jobs = jobs.map(|(key, job)| (*key, job.counts.removed > 0));
        let parts = self.letters.values().filter_map(|row| match &row.letter.progress {
            Progress::Entries { counts, .. } if changed(counts) => {
                Some(((row.cause(), row.organization()?), counts.removed > 0))
            }
            _ => None,
        });
        let before = self.had_effect.iter().map(|key| (*key, true));
        for ((cause, one), may_remove) in jobs.chain(parts).chain(before) {
            let change_no = ChangeNo(cause.0);
            if one != organization || cause.0 <= letter.event.0 {
                continue;
            }
            if let Some(change) = self.changes.get(&change_no)
                && change.event > letter.event
                && counts(change.category)
            {
                let keys = change.entries.iter().map(|(key, _)| Key::clone(key));
                keys.for_each(|key| touched.touch(change.category, key, change.event, may_remove));
            }
            if let Some(reconcile) = self.reconciles.get(&change_no)
                && reconcile.event > letter.event
            {
                touched.touch_everything(reconcile.event, may_remove);
            }
        }
        Some(Overtaken::since(letter.event, Arc::new(touched)))
    }

    /// What the organization's own events said that came after one and took effect.
    pub(crate) fn own_edits(
        &self,
        organization: OrganizationNo,
        after: EventNo,
    ) -> impl Iterator<Item = (EventNo, CategoryId, &Edit)> {
        let took_effect = move |event: &&Arc<EventRow>| {
            let verdict = self.verdicts.get(&event.no);
            let job = self.jobs.get(&(event.no.into(), organization));
            event.no > after
                && verdict.is_none_or(|verdict| *verdict == Verdict::Applied)
                && job.is_some_and(|job| job.done.as_ref().is_some_and(|done| !done.rejected))
        };
        self.events.values().filter(took_effect).filter_map(move |event| match &event.work {
            Work::OwnChange { organization: one, category, edit, .. } if *one == organization => {
                Some((event.no, *category, edit))
            }
            _ => None,
        })
    }

    /// Turns the row of a job into a letter again, as the statement `replay_send_jobs` does.
    pub(crate) fn replay(&mut self, key: (CauseNo, OrganizationNo), no: LetterNo, now: i64) {
        let (cause, organization) = key;
        let Some(job) = self.jobs.remove(&key) else { return };
        if changed(&job.counts) {
            self.had_effect.insert(key);
        }
        let change_no = ChangeNo(cause.0);
        let (event, work, weight) = if let Some(change) = self.changes.get(&change_no) {
            let (change, to) = (Arc::clone(change), Recipients::One(organization));
            (change.event, Work::SyncChange { change: Arc::clone(&change), to }, change.entries.len())
        } else if let Some(reconcile) = self.reconciles.get(&change_no) {
            let both = [reconcile.upstream, reconcile.downstream];
            let entries = self.settings.keys().filter(|(one, ..)| both.contains(one)).count();
            (reconcile.event, Work::Reconcile(*reconcile), entries)
        } else {
            let event = self.events.values().find(|event| CauseNo::from(event.no) == cause).unwrap();
            let weight = match &event.work {
                Work::OwnChange { edit, .. } => edit.len(),
                _ => 1,
            };
            (event.no, event.work.clone(), weight)
        };
        let (position, progress, weight) = (Position(event.0), Progress::NotBegun, weight as i64);
        let letter = Letter { no, position, event, work, replay: true, progress, weight };
        let row = LetterRow { letter, attempts: 0, attempts_before: job.attempts, run_at: now };
        self.letters.insert(no, Arc::new(row));
    }

    /// Everything, for comparisons.
    pub(crate) fn world(&self) -> World {
        let mut world = World::default();
        for partnership in self.partnerships.values() {
            world.load_partnership(*partnership);
        }
        for ((organization, category, key), entry) in &self.settings {
            world.load_entry(*organization, *category, Key::clone(key), *entry);
        }
        world
    }

    /// The downstreams that a letter goes to: its one, or those of its shard that it may still reach.
    pub(crate) fn recipients(&self, row: &LetterRow) -> Vec<OrganizationNo> {
        match &row.letter.work {
            Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                let mut world = World::default();
                for partnership in self.below(change.organization) {
                    world.load_partnership(*partnership);
                }
                let since = |downstream: &OrganizationNo| {
                    self.partnerships[&(change.organization, *downstream)].since < change.no
                };
                let reached = match row.letter.progress {
                    Progress::Members { through } => Some(through),
                    Progress::NotBegun | Progress::Entries { .. } => None,
                };
                let members = members(&world, change.organization, *shard).filter(since);
                members.filter(|member| Some(*member) > reached).collect()
            }
            work => work.organization().into_iter().collect(),
        }
    }

    /// Whether the rules of now bring a change into a downstream.
    pub(crate) fn reaches(&self, catalogue: &Catalogue, change: &Change, downstream: OrganizationNo) -> bool {
        let partnership = self.partnerships.get(&(change.organization, downstream));
        partnership.is_some_and(|partnership| reaching_rule(partnership, catalogue, change).is_some())
    }
}

/// Whether a letter has come further: to a later member, or to a later place.
fn goes_on(before: &Progress, now: &Progress) -> bool {
    match (before, now) {
        (_, Progress::NotBegun) => false,
        (Progress::NotBegun, _) => true,
        (Progress::Members { through: before }, Progress::Members { through: now }) => before < now,
        (Progress::Entries { through: before, .. }, Progress::Entries { through: now, .. }) => before < now,
        (Progress::Members { .. }, Progress::Entries { .. })
        | (Progress::Entries { .. }, Progress::Members { .. }) => false,
    }
}
