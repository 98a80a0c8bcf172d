//! The mailbox: in which order letters are worked off, who waits, and which letters follow.
//!
//! Every organization's letters are worked off in the order of their [`Position`]. A letter whose
//! organization is held stays where it is, and everything else for that organization lines up behind it;
//! all others go on. A letter to all downstreams of a shard is split where some of them are held.
//!
//! [`work`] is the whole step between loading and saving. It never fails and never loses a letter: each is
//! either done, or left, or replaced by letters to the single organizations that it did not reach.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::catalogue::{Catalogue, CategoryId};
use super::decide::{
    Counts, Displaced, Outcome, OwnChange, PartnershipChange, Skipped, own_change, partnership_change,
    reconcile, sync_change,
};
use super::partnership::{Beginning, Mode, Onboarding, Terms};
use super::policy::{Occurrence, Rule, rule};
use super::setting::{Change, Edit, Effect, Key};
use super::world::{LastChange, World};
use super::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, Shard};

/// The number of a letter in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterNo(pub i64);

/// Work to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number.
    pub no: LetterNo,
    /// Where it stands in its mailbox; equal positions go by cause.
    pub position: Position,
    /// The root event.
    pub event: EventNo,
    /// What is to be done.
    pub work: Work,
}

/// What a letter asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Apply an organization's own event.
    OwnChange {
        /// Whose event it is.
        organization: OrganizationNo,
        /// The category that it edits.
        category: CategoryId,
        /// The version that the publisher gave it.
        version: Option<i64>,
        /// What it says.
        edit: Edit,
    },
    /// Check and store the flags of a partnership.
    PartnershipChange {
        /// The channel manager.
        upstream: OrganizationNo,
        /// The channel partner: whose mailbox the letter lies in.
        downstream: OrganizationNo,
        /// What the event says of the partnership.
        terms: Terms,
        /// How the downstream came to it.
        onboarding: Onboarding,
        /// The version that the publisher gave it.
        version: Option<i64>,
    },
    /// Bring a change into downstreams of its organization.
    SyncChange {
        /// The change.
        change: Arc<Change>,
        /// To whom.
        to: Recipients,
    },
    /// Match or merge all categories of a downstream against its upstream as it is now.
    Reconcile(Reconcile),
}

/// Whom a change goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipients {
    /// All downstreams that live in this shard.
    Shard(Shard),
    /// One downstream.
    One(OrganizationNo),
}

/// The beginning of a partnership, as a cause of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconcile {
    /// Its number, from the sequence of the changes.
    pub no: ChangeNo,
    /// The root event.
    pub event: EventNo,
    /// The channel manager.
    pub upstream: OrganizationNo,
    /// The channel partner.
    pub downstream: OrganizationNo,
    /// What begins.
    pub beginning: Beginning,
}

impl Work {
    /// What the letter's jobs are done for.
    pub fn cause(&self, event: EventNo) -> CauseNo {
        match self {
            Self::OwnChange { .. } | Self::PartnershipChange { .. } => event.into(),
            Self::SyncChange { change, .. } => change.no.into(),
            Self::Reconcile(reconcile) => reconcile.no.into(),
        }
    }

    /// The one organization whose settings the letter is about, unless it goes to a whole shard.
    pub fn organization(&self) -> Option<OrganizationNo> {
        match self {
            Self::OwnChange { organization, .. } => Some(*organization),
            Self::PartnershipChange { downstream, .. } => Some(*downstream),
            Self::SyncChange { to: Recipients::One(organization), .. } => Some(*organization),
            Self::SyncChange { to: Recipients::Shard(_), .. } => None,
            Self::Reconcile(reconcile) => Some(reconcile.downstream),
        }
    }

    /// The organization whose state the work reads besides that of its own: it must not change meanwhile.
    pub fn reads(&self) -> Option<OrganizationNo> {
        match self {
            Self::PartnershipChange { upstream, .. } => Some(*upstream),
            Self::Reconcile(reconcile) => Some(reconcile.upstream),
            Self::OwnChange { .. } | Self::SyncChange { .. } => None,
        }
    }
}

/// A letter that follows from what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// Where it stands in its mailbox.
    pub position: Position,
    /// The root event.
    pub event: EventNo,
    /// What is to be done: a sync-change or a reconcile.
    pub work: FollowUp,
    /// How many entries it will write at most, for bounding batches.
    pub weight: i64,
}

/// What a letter that follows from another asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// Bring the change of this number into downstreams.
    SyncChange(ChangeNo, Recipients),
    /// Reconcile this downstream, for the cause of this number.
    Reconcile(ChangeNo, OrganizationNo),
}

/// The kinds of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    /// Applies an organization's own event.
    OwnChange,
    /// Checks and stores the flags of a partnership.
    PartnershipChange,
    /// Applies an upstream's change.
    SyncChange,
    /// Matches or merges all categories against the upstream as it is now.
    Reconcile,
}

/// What became of one organization for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDone {
    /// What it was done for; with the organization, the idempotency key.
    pub cause: CauseNo,
    /// Whose settings it wrote.
    pub organization: OrganizationNo,
    /// What kind of job it was.
    pub kind: JobKind,
    /// The root event.
    pub event: EventNo,
    /// How many entries met which fate.
    pub counts: Counts,
    /// Why nothing was done, where nothing was.
    pub skipped: Option<Skipped>,
    /// What a match displaced.
    pub displaced: Vec<Displaced>,
    /// Whether the job was found wrong when it ran, and nothing came of it.
    pub rejected: bool,
}

/// What became of an event, beyond that its jobs were done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Applied,
    /// A version at least as large was seen before.
    Superseded,
    /// The edit was refused: the settings are locked.
    Locked,
    /// It was found wrong.
    Rejected(FoundWrong),
}

/// What was wrong with an event, found only when it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundWrong {
    /// See [`PartnershipChange::ExclusiveConflict`].
    ExclusiveConflict {
        /// The channel manager of the event.
        upstream: OrganizationNo,
        /// The channel partner of the event.
        downstream: OrganizationNo,
        /// The upstream of the active partnership in the way.
        in_the_way: OrganizationNo,
        /// Whether that one is exclusive (else the event's is).
        is_exclusive: bool,
    },
    /// See [`PartnershipChange::Cycle`].
    PartnershipCycle {
        /// From the downstream through its own downstreams back to itself.
        path: Vec<OrganizationNo>,
    },
    /// See [`OwnChange::EmptySnapshot`].
    EmptySnapshot {
        /// Whose event it is.
        organization: OrganizationNo,
        /// The category that it would have emptied.
        category: CategoryId,
        /// How many entries it would have removed.
        entries: usize,
    },
}

/// Letters to work off, and what must be known about those that are not among them.
#[derive(Debug, Default)]
pub struct Batch {
    /// The letters, in any order.
    pub letters: Vec<Letter>,
    /// Organizations with a letter outside this batch that comes before those in it: all of theirs wait.
    pub held: HashSet<OrganizationNo>,
    /// Letters that cannot run now: what they read may change meanwhile, or an organization that they read
    /// has earlier letters outside this batch.
    pub waiting: HashSet<LetterNo>,
    /// The first partnership-change outside this batch: a partnership that stands later is not found to
    /// close a cycle before that one has been worked off.
    pub first_partnership_outside: Option<Position>,
    /// Numbers for new changes, ascending, larger than those of all changes that the world knows of.
    /// Working stops where too few are left.
    pub numbers: VecDeque<ChangeNo>,
}

/// What came of a batch. What it did to settings and partnerships is in the world's writes.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Letters that leave the mailbox.
    pub letters_done: Vec<LetterNo>,
    /// Letters that follow.
    pub letters_new: Vec<NewLetter>,
    /// Changes that go on to downstreams.
    pub changes: Vec<Change>,
    /// Beginnings of partnerships.
    pub reconciles: Vec<Reconcile>,
    /// Jobs done, in the order in which they were done.
    pub jobs: Vec<JobDone>,
    /// What became of the events whose own letters were worked off.
    pub verdicts: Vec<(EventNo, Verdict)>,
    /// Organizations that have a letter left in the mailbox, or got one: whatever comes behind waits for it.
    pub left: HashSet<OrganizationNo>,
    /// Whether it ended before the last letter, since too few numbers were left.
    pub stopped: bool,
}

/// How many numbers for new changes `letters` can need at most.
pub fn numbers_needed(world: &World, catalogue: &Catalogue, letters: &[Letter]) -> usize {
    letters.iter().map(|letter| numbers_for(world, catalogue, &letter.work)).sum()
}

fn numbers_for(world: &World, catalogue: &Catalogue, work: &Work) -> usize {
    let has_downstreams = |organization| world.reached(organization).next().is_some();
    match work {
        Work::OwnChange { .. } | Work::PartnershipChange { .. } => 1,
        Work::SyncChange { change, to: Recipients::Shard(shard) } => {
            members(world, change.organization, *shard).filter(|member| has_downstreams(*member)).count()
        }
        Work::SyncChange { to: Recipients::One(_), .. } => 1,
        Work::Reconcile(_) => catalogue.iter().count(),
    }
}

/// The downstreams of an organization that live in a shard, in ascending order.
pub fn members(
    world: &World,
    upstream: OrganizationNo,
    shard: Shard,
) -> impl Iterator<Item = OrganizationNo> {
    world
        .downstreams_of(upstream)
        .map(|partnership| partnership.downstream)
        .filter(move |downstream| downstream.shard() == shard)
}

/// Works off a batch on `world`.
pub fn work(world: &mut World, catalogue: &Catalogue, mut batch: Batch) -> Done {
    let mut letters = std::mem::take(&mut batch.letters);
    letters.sort_by_key(|letter| (letter.position, letter.work.cause(letter.event), letter.no));
    let mut desk = Desk { world, catalogue, batch, done: Done::default() };
    for letter in letters {
        if desk.batch.numbers.len() < numbers_for(desk.world, catalogue, &letter.work) {
            desk.done.stopped = true;
            break;
        }
        desk.take(letter);
    }
    desk.done
}

struct Desk<'a> {
    world: &'a mut World,
    catalogue: &'a Catalogue,
    batch: Batch,
    /// What was done so far; `left` are those with a letter left, or added, at the place reached so far.
    done: Done,
}

impl Desk<'_> {
    fn is_held(&self, organization: OrganizationNo) -> bool {
        self.done.left.contains(&organization) || self.batch.held.contains(&organization)
    }

    /// Does a letter, or leaves it, or does it for those who are not held.
    fn take(&mut self, letter: Letter) {
        let no = letter.no;
        let finished = match letter.work.organization() {
            None => {
                self.sync_shard(&letter);
                true
            }
            Some(organization) => {
                let upstream_is_behind = self.batch.waiting.contains(&no)
                    || letter.work.reads().is_some_and(|upstream| self.done.left.contains(&upstream));
                let finished = !self.is_held(organization) && !upstream_is_behind && self.do_for_one(&letter);
                if !finished {
                    self.leave(organization, &letter);
                }
                finished
            }
        };
        if finished {
            self.done.letters_done.push(no);
        }
    }

    fn leave(&mut self, organization: OrganizationNo, letter: &Letter) {
        self.done.left.insert(organization);
        if matches!(letter.work, Work::PartnershipChange { .. }) {
            let first = self.batch.first_partnership_outside.get_or_insert(letter.position);
            *first = letter.position.min(*first);
        }
    }

    /// Does a letter to one organization. False: it must wait.
    fn do_for_one(&mut self, letter: &Letter) -> bool {
        let Letter { position, event, .. } = *letter;
        match &letter.work {
            Work::OwnChange { organization, category, version, edit } => {
                self.own_change(position, event, *organization, *category, *version, edit);
                true
            }
            Work::PartnershipChange { upstream, downstream, terms, onboarding, version } => {
                self.partnership_change(letter, (*upstream, *downstream), *terms, *onboarding, *version)
            }
            Work::SyncChange { change, to: Recipients::One(downstream) } => {
                self.sync_one(position, change, *downstream);
                true
            }
            Work::SyncChange { to: Recipients::Shard(_), .. } => false,
            Work::Reconcile(letter) => {
                self.reconcile(position, letter);
                true
            }
        }
    }

    fn own_change(
        &mut self,
        position: Position,
        event: EventNo,
        organization: OrganizationNo,
        category: CategoryId,
        version: Option<i64>,
        edit: &Edit,
    ) {
        let job = Job { cause: event.into(), organization, kind: JobKind::OwnChange, event };
        match own_change(self.world, self.catalogue, event, organization, category, version, edit) {
            OwnChange::Applied(outcome) => {
                self.finish(job, position, outcome);
                self.done.verdicts.push((event, Verdict::Applied));
            }
            OwnChange::Superseded { last } => {
                self.done.jobs.push(job.skipped(Skipped::Superseded { last }));
                self.done.verdicts.push((event, Verdict::Superseded));
            }
            OwnChange::Locked { by } => {
                self.done.jobs.push(job.skipped(Skipped::Locked { by }));
                self.done.verdicts.push((event, Verdict::Locked));
            }
            OwnChange::EmptySnapshot { entries } => {
                let wrong = FoundWrong::EmptySnapshot { organization, category, entries };
                self.done.jobs.push(job.rejected());
                self.done.verdicts.push((event, Verdict::Rejected(wrong)));
            }
        }
    }

    fn partnership_change(
        &mut self,
        letter: &Letter,
        (upstream, downstream): (OrganizationNo, OrganizationNo),
        terms: Terms,
        onboarding: Onboarding,
        version: Option<i64>,
    ) -> bool {
        let Letter { position, event, .. } = *letter;
        let kind = JobKind::PartnershipChange;
        let job = Job { cause: event.into(), organization: downstream, kind, event };
        let verdict = match partnership_change(self.world, upstream, downstream, terms, onboarding, version) {
            PartnershipChange::Applied { before, mode, begins } => {
                let skipped = match begins {
                    Some(_) => Skipped::ReconcileFollows(before, mode),
                    None if before == mode => Skipped::ModeStays(mode),
                    None => Skipped::ModeChanges(before, mode),
                };
                self.done.jobs.push(job.skipped(skipped));
                if let Some(beginning) = begins {
                    self.begin(position, event, upstream, downstream, beginning);
                }
                Verdict::Applied
            }
            PartnershipChange::Superseded { last } => {
                self.done.jobs.push(job.skipped(Skipped::Superseded { last }));
                Verdict::Superseded
            }
            PartnershipChange::ExclusiveConflict { in_the_way, is_exclusive } => {
                self.done.jobs.push(job.rejected());
                Verdict::Rejected(FoundWrong::ExclusiveConflict {
                    upstream,
                    downstream,
                    in_the_way,
                    is_exclusive,
                })
            }
            PartnershipChange::Cycle { .. }
                if self.batch.first_partnership_outside.is_some_and(|first| first < position) =>
            {
                // An earlier event may yet end one of the partnerships on the way.
                return false;
            }
            PartnershipChange::Cycle { path } => {
                self.done.jobs.push(job.rejected());
                Verdict::Rejected(FoundWrong::PartnershipCycle { path })
            }
        };
        self.done.verdicts.push((event, verdict));
        true
    }

    /// The downstream is to be reconciled before anything else in its mailbox.
    fn begin(
        &mut self,
        position: Position,
        event: EventNo,
        upstream: OrganizationNo,
        downstream: OrganizationNo,
        beginning: Beginning,
    ) {
        let Some(no) = self.batch.numbers.pop_front() else { return };
        self.done.reconciles.push(Reconcile { no, event, upstream, downstream, beginning });
        let work = FollowUp::Reconcile(no, downstream);
        self.done.letters_new.push(NewLetter { position, event, work, weight: 0 });
        self.done.left.insert(downstream);
    }

    fn sync_shard(&mut self, letter: &Letter) {
        let Work::SyncChange { change, to: Recipients::Shard(shard) } = &letter.work else { return };
        let members: Vec<_> = members(self.world, change.organization, *shard).collect();
        for downstream in members {
            if self.is_held(downstream) {
                if self.may_reach(change, downstream) {
                    let work = FollowUp::SyncChange(change.no, Recipients::One(downstream));
                    let weight = change.entries.len() as i64;
                    let Letter { position, event, .. } = *letter;
                    self.done.letters_new.push(NewLetter { position, event, work, weight });
                }
            } else {
                self.sync_one(letter.position, change, downstream);
            }
        }
    }

    /// Whether a change may reach a downstream that is held. Its mode may change before its turn comes, so
    /// all that counts is that the change was made after the partnership began.
    fn may_reach(&self, change: &Change, downstream: OrganizationNo) -> bool {
        self.world
            .partnership(change.organization, downstream)
            .is_some_and(|partnership| change.no > partnership.since)
    }

    fn sync_one(&mut self, position: Position, change: &Change, downstream: OrganizationNo) {
        if let Some(outcome) = sync_change(self.world, self.catalogue, change, downstream) {
            let (cause, kind, event) = (change.no.into(), JobKind::SyncChange, change.event);
            self.finish(Job { cause, organization: downstream, kind, event }, position, outcome);
        }
    }

    fn reconcile(&mut self, position: Position, letter: &Reconcile) {
        let Reconcile { no, event, upstream, downstream, beginning } = *letter;
        let job = Job { cause: no.into(), organization: downstream, kind: JobKind::Reconcile, event };
        match reconcile(self.world, self.catalogue, event, beginning, upstream, downstream) {
            Some(outcome) if outcome.counts == Counts::default() => {
                self.done.jobs.push(job.skipped(Skipped::NothingToSync));
            }
            Some(outcome) => self.finish(job, position, outcome),
            None => self.done.jobs.push(job.skipped(Skipped::SyncOff)),
        }
    }

    /// Records a job, and sends on to the organization's own downstreams what it changed effectively.
    fn finish(&mut self, job: Job, position: Position, outcome: Outcome) {
        let skipped = outcome.skipped();
        let Outcome { counts, effects, displaced } = outcome;
        for (category, entries) in effects {
            self.send_on(job, position, category, entries);
        }
        let Job { cause, organization, kind, event } = job;
        let rejected = false;
        self.done.jobs.push(JobDone {
            cause,
            organization,
            kind,
            event,
            counts,
            skipped,
            displaced,
            rejected,
        });
    }

    fn send_on(&mut self, job: Job, position: Position, category: CategoryId, entries: Vec<(Key, Effect)>) {
        let Job { cause, organization, event, .. } = job;
        let about = self.catalogue.get(category);
        let all = entries.len() as i64;
        let added = entries.iter().filter(|(_, effect)| matches!(effect, Effect::Added(_))).count() as i64;
        let written_by = |mode| match rule(Occurrence::UpstreamChanged, mode, about) {
            Rule::Match => all,
            Rule::Merge => added,
            Rule::Nothing | Rule::Refuse => 0,
        };
        // Non-exclusive and flexible differ in nothing that an upstream's change does.
        let (strict, merging) = (written_by(Mode::Strict), written_by(Mode::Flexible));
        let shards: Vec<(Shard, i64)> = self
            .world
            .reached(organization)
            .map(|(shard, reached)| (shard, reached.strict * strict + reached.merging * merging))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        if shards.is_empty() {
            return;
        }
        let Some(no) = self.batch.numbers.pop_front() else { return };
        let position = position.max(self.world.last_change(organization).position);
        self.world.advance(organization, LastChange { change: no, position });
        for (shard, weight) in shards {
            let work = FollowUp::SyncChange(no, Recipients::Shard(shard));
            self.done.letters_new.push(NewLetter { position, event, work, weight });
        }
        self.done.changes.push(Change { no, event, cause, organization, category, entries: entries.into() });
    }
}

/// Which job is being done.
#[derive(Debug, Clone, Copy)]
struct Job {
    cause: CauseNo,
    organization: OrganizationNo,
    kind: JobKind,
    event: EventNo,
}

impl Job {
    fn without_effect(self, skipped: Option<Skipped>, rejected: bool) -> JobDone {
        let Self { cause, organization, kind, event } = self;
        let counts = Counts::default();
        JobDone { cause, organization, kind, event, counts, skipped, displaced: Vec::new(), rejected }
    }

    fn skipped(self, skipped: Skipped) -> JobDone {
        self.without_effect(Some(skipped), false)
    }

    fn rejected(self) -> JobDone {
        self.without_effect(None, true)
    }
}
