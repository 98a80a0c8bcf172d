//! The mailbox: in which order letters are worked off, who waits, and which letters follow.
//!
//! Every organization's letters are worked off in the order of their [`Position`]. A letter whose
//! organization is held stays where it is, and everything else for that organization lines up behind it;
//! all others go on. A letter to all downstreams of a shard is split where some of them are held.
//!
//! A letter that is too much for one batch is cut: it stays at its place and remembers how far it has come.
//! Whom it has not reached yet counts as held for everything behind it. Since it comes first again in the
//! next batch, nothing for those whom it has still to reach overtakes it.
//!
//! [`work`] is the whole step between loading and saving. It never fails and never loses a letter: each is
//! either done, or left, or cut, or replaced by letters to the single organizations that it did not reach.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::catalogue::{Catalogue, CategoryId};
use super::decide::{
    Counts, Displaced, Noted, Outcome, OwnChange, Part, PartnershipChange, Reconciled, Skipped,
    last_of_first, own_change, partnership_change, reconcile, replayed_sync_change, sync_change,
};
use super::partnership::{Beginning, Mode, Onboarding, Terms};
use super::plan::{Plan, Share, entries_from, may_reach, members_from};
use super::policy::{Occurrence, Rule, rule};
use super::replay::{Occasion, Overtaken};
use super::setting::{Change, Edit, Effect, Key, Place};
use super::world::{LastChange, World};
use super::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, Shard};

/// The number of a letter in the database. Letters that never come to lie there, since they are done at once
/// ([`Done::take_fan_out`]), have numbers below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterNo(pub i64);

impl LetterNo {
    /// Whether the letter lies in a mailbox.
    pub fn is_stored(self) -> bool {
        self.0 > 0
    }
}

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
    /// Whether it is an old job that is done once more: it touches nothing that something newer has written.
    pub replay: bool,
    /// How far earlier batches have come with it.
    pub progress: Progress,
    /// How many entries the rest of it writes at most, as far as that was known when it was written.
    pub weight: i64,
}

impl Letter {
    /// Its turn in its mailbox: letters are worked off in this order.
    pub fn turn(&self) -> (Position, CauseNo, LetterNo) {
        (self.position, self.work.cause(self.event), self.no)
    }

    /// The shard in which it lies.
    pub fn shard(&self) -> Shard {
        match &self.work {
            Work::SyncChange { to: Recipients::Shard(shard), .. } => *shard,
            Work::SyncChange { to: Recipients::One(organization), .. }
            | Work::OwnChange { organization, .. }
            | Work::PartnershipChange { downstream: organization, .. } => organization.shard(),
            Work::Reconcile(reconcile) => reconcile.downstream.shard(),
        }
    }

    /// The organization whose state the letter reads besides that of its own: it must not change meanwhile.
    pub fn reads(&self) -> Option<OrganizationNo> {
        match &self.work {
            Work::PartnershipChange { upstream, .. } => Some(*upstream),
            Work::Reconcile(reconcile) => Some(reconcile.upstream),
            // A change that is replayed is old: what counts is what the upstream has now.
            Work::SyncChange { change, .. } if self.replay => Some(change.organization),
            Work::OwnChange { .. } | Work::SyncChange { .. } => None,
        }
    }
}

/// How far earlier batches have come with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nothing of it is done.
    #[default]
    NotBegun,
    /// To a shard: done for its members up to this one, in ascending order.
    Members {
        /// The last member reached.
        through: OrganizationNo,
    },
    /// A sync-change to a single organization, or a reconcile: done for the entries up to this place.
    Entries {
        /// The last place gone through.
        through: Place,
        /// How many entries met which fate so far.
        counts: Counts,
    },
}

impl Progress {
    fn counts(&self) -> Counts {
        match self {
            Self::Entries { counts, .. } => *counts,
            Self::NotBegun | Self::Members { .. } => Counts::default(),
        }
    }
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

/// The beginning of a partnership, or its repair, as a cause of its own.
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

    /// Of which kind the letter's jobs are.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::OwnChange { .. } => JobKind::OwnChange,
            Self::PartnershipChange { .. } => JobKind::PartnershipChange,
            Self::SyncChange { .. } => JobKind::SyncChange,
            Self::Reconcile(_) => JobKind::Reconcile,
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
    /// Whether it follows from a replay so directly that it is one too: the reconcile of a partnership that
    /// begins late.
    pub replay: bool,
}

impl NewLetter {
    /// This letter, as it would be if it lay in its mailbox, to a shard that one of these changes goes to.
    pub fn to_shard(&self, no: LetterNo, changes: &HashMap<ChangeNo, Arc<Change>>) -> Option<Letter> {
        let FollowUp::SyncChange(change, Recipients::Shard(shard)) = self.work else { return None };
        let change = Arc::clone(changes.get(&change)?);
        let work = Work::SyncChange { change, to: Recipients::Shard(shard) };
        let Self { position, event, weight, replay, .. } = *self;
        let progress = Progress::NotBegun;
        Some(Letter { no, position, event, work, replay, progress, weight })
    }
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

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OwnChange, Self::PartnershipChange, Self::SyncChange, Self::Reconcile];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OwnChange => "own-change",
            Self::PartnershipChange => "partnership-change",
            Self::SyncChange => "sync-change",
            Self::Reconcile => "reconcile",
        }
    }
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

impl Verdict {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Superseded => "superseded",
            Self::Locked => "locked",
            Self::Rejected(_) => "rejected",
        }
    }
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
    /// has earlier letters outside this batch, or an earlier change of it is still on its way to the downstream
    /// whose partnership they change.
    pub waiting: HashSet<LetterNo>,
    /// The first partnership-change outside this batch: a partnership that stands later is not found to
    /// close a cycle before that one has been worked off.
    pub first_partnership_outside: Option<Position>,
    /// What is newer than the letters that are replays. Of one that is not here, everything counts as overtaken.
    pub overtaken: HashMap<LetterNo, Overtaken>,
    /// Numbers for new changes, ascending, larger than those of all changes that the world knows of.
    /// Working stops where too few are left.
    pub numbers: VecDeque<ChangeNo>,
    /// How much of each letter there is room for.
    pub plan: Plan,
}

/// What came of a batch. What it did to settings and partnerships is in the world's writes.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Letters that leave the mailbox.
    pub letters_done: Vec<LetterNo>,
    /// Letters of which only a part was worked off: they stay at their places.
    pub letters_cut: Vec<Cut>,
    /// Letters that follow.
    pub letters_new: Vec<NewLetter>,
    /// Changes that go on to downstreams.
    pub changes: Vec<Arc<Change>>,
    /// Beginnings of partnerships.
    pub reconciles: Vec<Reconcile>,
    /// Jobs done, in the order in which they were done.
    pub jobs: Vec<JobDone>,
    /// Parts of jobs that are not done yet.
    pub job_parts: Vec<JobPart>,
    /// What became of each entry, by the cause and organization of the job, where the world notes it.
    pub noted: Vec<(CauseNo, OrganizationNo, Vec<Noted>)>,
    /// What became of the events whose own letters were worked off.
    pub verdicts: Vec<(EventNo, Verdict)>,
    /// Organizations that have a letter left in the mailbox, or got one: whatever comes behind waits for it.
    pub left: HashSet<OrganizationNo>,
    /// Those of whom something was left only since others had taken the room. What took it may have had to wait,
    /// after all: then they must not wait for that.
    pub crowded_out: HashSet<OrganizationNo>,
    /// Whether it ended before the last letter, since too few numbers were left.
    pub stopped: bool,
}

/// A letter to a shard that writes no more than this costs more than what it asks for.
const SMALL_LETTER: i64 = 8;

impl Done {
    /// Takes out the letters to shards that follow, where all of them together write no more than `writes_max`
    /// entries, or are small and write no more than there is `room` for; else none. Whoever takes them does them
    /// at once, or adds them to their mailboxes.
    ///
    /// Large ones are left: done by letters, several executors share them.
    pub fn take_fan_out(&mut self, writes_max: usize, room: usize) -> Vec<NewLetter> {
        let to_shard =
            |letter: &NewLetter| matches!(letter.work, FollowUp::SyncChange(_, Recipients::Shard(_)));
        let (mut letters, mut writes) = (0_i64, 0_i64);
        for letter in self.letters_new.iter().filter(|letter| to_shard(letter)) {
            letters += 1;
            writes = writes.saturating_add(letter.weight);
        }
        let at_most = |max: usize| writes <= i64::try_from(max).unwrap_or(i64::MAX);
        let are_small = writes <= letters * SMALL_LETTER;
        if !at_most(room) || !(at_most(writes_max) || are_small && writes_max > 0) {
            return Vec::new();
        }
        let (fan_out, others) = std::mem::take(&mut self.letters_new).into_iter().partition(to_shard);
        self.letters_new = others;
        fan_out
    }
}

/// A letter of which only a part was worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its number.
    pub no: LetterNo,
    /// How far it has come.
    pub progress: Progress,
    /// How many entries the rest of it writes at most, as far as is known.
    pub weight: i64,
}

/// A part of a job that is not done yet. Its row is written at the end; this must not wait until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPart {
    /// As of the job.
    pub cause: CauseNo,
    /// As of the job.
    pub organization: OrganizationNo,
    /// What a match displaced.
    pub displaced: Vec<Displaced>,
}

/// How many numbers for new changes the letters of a batch can need at most, as far as it is planned.
pub fn numbers_needed(world: &World, catalogue: &Catalogue, batch: &Batch) -> usize {
    batch.letters.iter().map(|letter| numbers_for(world, catalogue, &batch.plan, letter)).sum()
}

fn numbers_for(world: &World, catalogue: &Catalogue, plan: &Plan, letter: &Letter) -> usize {
    let has_downstreams = |organization| world.reached(organization).next().is_some();
    if *plan.share(letter.no) == Share::Nothing {
        return 0;
    }
    match &letter.work {
        Work::OwnChange { .. } | Work::PartnershipChange { .. } => 1,
        Work::SyncChange { change, to: Recipients::Shard(shard) } => {
            let members = plan.members(world, letter, change, *shard);
            members.filter(|member| has_downstreams(*member)).count()
        }
        Work::SyncChange { to: Recipients::One(_), .. } => 1,
        Work::Reconcile(reconcile) if has_downstreams(reconcile.downstream) => catalogue.iter().count(),
        Work::Reconcile(_) => 0,
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
    letters.sort_by_key(Letter::turn);
    let parts = parts(world, catalogue, &batch.plan, &letters);
    let (reached, changed, sent) = (HashMap::new(), HashSet::new(), HashMap::new());
    let mut desk = Desk { world, catalogue, batch, parts, reached, changed, sent, done: Done::default() };
    for letter in letters {
        if desk.batch.numbers.len() < numbers_for(desk.world, catalogue, &desk.batch.plan, &letter) {
            desk.done.stopped = true;
            break;
        }
        desk.take(letter);
    }
    desk.done
}

/// Which part of each reconcile is at hand. Found out before any letter is worked off: what these add or
/// remove must not move the place beyond which the world may not know all entries.
fn parts(world: &World, catalogue: &Catalogue, plan: &Plan, letters: &[Letter]) -> HashMap<LetterNo, Part> {
    let mut parts = HashMap::new();
    for letter in letters {
        let (Work::Reconcile(reconcile), Share::Entries(places_max)) = (&letter.work, plan.share(letter.no))
        else {
            continue;
        };
        let after = match &letter.progress {
            Progress::Entries { through, .. } => Some(Place::clone(through)),
            Progress::NotBegun | Progress::Members { .. } => None,
        };
        let both = (reconcile.upstream, reconcile.downstream);
        let through = last_of_first(world, catalogue, both, after.as_ref(), *places_max);
        parts.insert(letter.no, Part { after, through, places_max: *places_max });
    }
    parts
}

struct Desk<'a> {
    world: &'a mut World,
    catalogue: &'a Catalogue,
    batch: Batch,
    /// Which part of each reconcile is at hand, where it is not all of it.
    parts: HashMap<LetterNo, Part>,
    /// The last member that a letter of an upstream to a shard has reached, where it was cut.
    reached: HashMap<(OrganizationNo, Shard), Option<OrganizationNo>>,
    /// Organizations that this batch has changed so far.
    changed: HashSet<OrganizationNo>,
    /// Where the first of their changes stands that this batch sends to a shard.
    sent: HashMap<(OrganizationNo, Shard), Position>,
    /// What was done so far; `left` are those with a letter left, or added, at the place reached so far.
    done: Done,
}

impl Desk<'_> {
    fn is_held(&self, organization: OrganizationNo) -> bool {
        self.done.left.contains(&organization) || self.batch.held.contains(&organization)
    }

    /// Whether the letter changes a partnership over which a change comes first that this batch sends on.
    fn is_told_first(&self, letter: &Letter) -> bool {
        let Work::PartnershipChange { upstream, downstream, .. } = letter.work else { return false };
        self.world.partnership(upstream, downstream).is_some()
            && self.sent.get(&(upstream, downstream.shard())).is_some_and(|first| *first < letter.position)
    }

    /// Does a letter, or leaves it, or does a part of it, or does it for those who are not held.
    fn take(&mut self, letter: Letter) {
        let no = letter.no;
        let finished = match letter.work.organization() {
            None => self.sync_shard(&letter),
            Some(organization) => {
                // A reconcile goes by what was loaded of the upstream's entries, and of what was declined of them.
                let reads_what_is_new = matches!(&letter.work, Work::Reconcile(reconcile)
                    if self.changed.contains(&reconcile.upstream));
                let upstream_is_behind = self.batch.waiting.contains(&no)
                    || reads_what_is_new
                    || self.is_told_first(&letter)
                    || letter.reads().is_some_and(|upstream| self.done.left.contains(&upstream));
                let may_run = !self.is_held(organization) && !upstream_is_behind;
                let has_room = *self.batch.plan.share(no) != Share::Nothing;
                if may_run && !has_room {
                    self.done.crowded_out.insert(organization);
                }
                let can_run = may_run && has_room;
                let finished = can_run && self.do_for_one(&letter);
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

    /// Does a letter to one organization. False: it must wait, or was cut.
    fn do_for_one(&mut self, letter: &Letter) -> bool {
        let Letter { position, event, .. } = *letter;
        let overtaken = letter
            .replay
            .then(|| self.batch.overtaken.remove(&letter.no).unwrap_or_else(Overtaken::everything));
        let occasion = Occasion { event, replay: overtaken.as_ref() };
        match &letter.work {
            Work::OwnChange { organization, category, version, edit } => {
                self.own_change(position, occasion, *organization, *category, *version, edit);
                true
            }
            Work::PartnershipChange { upstream, downstream, terms, onboarding, version } => {
                let parties = (*upstream, *downstream);
                self.partnership_change(position, occasion, parties, *terms, *onboarding, *version)
            }
            Work::SyncChange { change, to: Recipients::One(downstream) } => {
                self.sync_alone(letter, occasion, change, *downstream)
            }
            Work::SyncChange { to: Recipients::Shard(_), .. } => false,
            Work::Reconcile(reconcile) => self.reconcile(letter, occasion, reconcile),
        }
    }

    fn own_change(
        &mut self,
        position: Position,
        occasion: Occasion<'_>,
        organization: OrganizationNo,
        category: CategoryId,
        version: Option<i64>,
        edit: &Edit,
    ) {
        let event = occasion.event;
        let job = Job { cause: event.into(), organization, kind: JobKind::OwnChange, event };
        match own_change(self.world, self.catalogue, occasion, organization, category, version, edit) {
            OwnChange::Applied(outcome) => {
                self.finish(job, position, Counts::default(), outcome);
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
        position: Position,
        occasion: Occasion<'_>,
        (upstream, downstream): (OrganizationNo, OrganizationNo),
        terms: Terms,
        onboarding: Onboarding,
        version: Option<i64>,
    ) -> bool {
        let event = occasion.event;
        let kind = JobKind::PartnershipChange;
        let job = Job { cause: event.into(), organization: downstream, kind, event };
        let change =
            partnership_change(self.world, occasion, upstream, downstream, terms, onboarding, version);
        let verdict = match change {
            PartnershipChange::Applied { before, mode, begins } => {
                let skipped = match begins {
                    Some(_) => Skipped::ReconcileFollows(before, mode),
                    None if before == mode => Skipped::ModeStays(mode),
                    None => Skipped::ModeChanges(before, mode),
                };
                self.done.jobs.push(job.skipped(skipped));
                if let Some(beginning) = begins {
                    self.begin(position, occasion, upstream, downstream, beginning);
                }
                Verdict::Applied
            }
            PartnershipChange::Superseded { last } => {
                self.done.jobs.push(job.skipped(Skipped::Superseded { last }));
                Verdict::Superseded
            }
            PartnershipChange::FlagsSetSince => {
                self.done.jobs.push(job.skipped(Skipped::FlagsSetSince));
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
        Occasion { event, replay }: Occasion<'_>,
        upstream: OrganizationNo,
        downstream: OrganizationNo,
        beginning: Beginning,
    ) {
        let Some(no) = self.batch.numbers.pop_front() else { return };
        self.done.reconciles.push(Reconcile { no, event, upstream, downstream, beginning });
        let work = FollowUp::Reconcile(no, downstream);
        let replay = replay.is_some();
        self.done.letters_new.push(NewLetter { position, event, work, weight: 0, replay });
        self.done.left.insert(downstream);
    }

    /// Does a letter to a shard for those members that there is room for. False: it was cut, or left.
    fn sync_shard(&mut self, letter: &Letter) -> bool {
        let Work::SyncChange { change, to: Recipients::Shard(shard) } = &letter.work else { return false };
        let at_hand: HashSet<_> = self.batch.plan.members(self.world, letter, change, *shard).collect();
        let last = match self.batch.plan.share(letter.no) {
            Share::Whole => Some(OrganizationNo(i32::MAX)),
            Share::Members { through, .. } => Some(*through),
            Share::Nothing | Share::Entries(_) => None,
        };
        // The changes of one upstream come to a member in their order: no further than the one before.
        let before = self.reached.get(&(change.organization, *shard));
        let last = before.map_or(last, |before| last.min(*before));
        let members: Vec<_> = members_from(self.world, letter, change, *shard).collect();
        let (mut reached, mut weight, mut finished) = (None, 0, true);
        let all = change.entries.len() as i64;
        for downstream in members {
            let may_reach = may_reach(self.world, change, downstream);
            if Some(downstream) > last {
                if may_reach {
                    if last.is_none() && !self.is_held(downstream) {
                        self.done.crowded_out.insert(downstream);
                    }
                    self.done.left.insert(downstream);
                    weight += all;
                    finished = false;
                }
            } else {
                reached = Some(downstream);
                if self.is_held(downstream) || !at_hand.contains(&downstream) {
                    if may_reach {
                        self.done.left.insert(downstream);
                        let work = FollowUp::SyncChange(change.no, Recipients::One(downstream));
                        let Letter { position, event, .. } = *letter;
                        self.done.letters_new.push(NewLetter {
                            position,
                            event,
                            work,
                            weight: all,
                            replay: false,
                        });
                    }
                } else {
                    self.sync_one(letter.position, change, downstream);
                }
            }
        }
        if !finished {
            let already = match letter.progress {
                Progress::Members { through } => Some(through),
                Progress::NotBegun | Progress::Entries { .. } => None,
            };
            self.reached.insert((change.organization, *shard), reached.or(already));
            if let Some(through) = reached {
                let progress = Progress::Members { through };
                self.done.letters_cut.push(Cut { no: letter.no, progress, weight });
            }
        }
        finished
    }

    fn sync_one(&mut self, position: Position, change: &Change, downstream: OrganizationNo) {
        let outcome = sync_change(self.world, self.catalogue, change, &change.entries, downstream);
        if let Some(outcome) = outcome {
            self.finish(Job::of_change(change, downstream), position, Counts::default(), outcome);
        }
    }

    /// Does a sync-change to one organization, or a part of it. A replay always ends with a job. False: it was
    /// cut.
    fn sync_alone(
        &mut self,
        letter: &Letter,
        occasion: Occasion<'_>,
        change: &Change,
        downstream: OrganizationNo,
    ) -> bool {
        let entries = self.batch.plan.entries(letter, change);
        let left = &entries_from(letter, change)[entries.len()..];
        let job = Job::of_change(change, downstream);
        let before = letter.progress.counts();
        let has_begun = letter.progress != Progress::NotBegun;
        let outcome = if letter.replay {
            match replayed_sync_change(self.world, self.catalogue, change, entries, downstream, occasion) {
                Err(skipped) if !has_begun => {
                    self.done.jobs.push(job.skipped(skipped));
                    return true;
                }
                outcome => outcome.ok(),
            }
        } else {
            sync_change(self.world, self.catalogue, change, entries, downstream)
        };
        match (outcome, entries.last()) {
            (Some(outcome), Some((key, _))) if !left.is_empty() => {
                let category = self.catalogue.get(change.category).name.clone();
                let through = Place { category, key: Key::clone(key) };
                self.cut(job, letter, outcome, through, left.len() as i64);
                return false;
            }
            (Some(outcome), _) => self.finish(job, letter.position, before, outcome),
            (None, _) if !has_begun => {}
            // The rules do not reach it any more: what was done until then is the job.
            (None, _) => self.finish(job, letter.position, before, Outcome::default()),
        }
        true
    }

    /// Does a reconcile, or a part of it. False: it was cut.
    fn reconcile(&mut self, letter: &Letter, occasion: Occasion<'_>, what: &Reconcile) -> bool {
        let Reconcile { no, event, upstream, downstream, beginning } = *what;
        let job = Job { cause: no.into(), organization: downstream, kind: JobKind::Reconcile, event };
        let before = letter.progress.counts();
        let part = self.parts.get(&letter.no).unwrap_or(&Part::WHOLE);
        let both = (upstream, downstream);
        match reconcile(self.world, self.catalogue, occasion, beginning, both, part) {
            Ok(Reconciled { outcome, through: Some(through) }) => {
                let done = i64::try_from(part.places_max).unwrap_or(i64::MAX);
                // Where it is more than was thought, the next part may be twice as large.
                let weight = if letter.weight > done { letter.weight - done } else { done.saturating_mul(2) };
                self.cut(job, letter, outcome, through, weight);
                return false;
            }
            Ok(Reconciled { outcome, through: None }) => {
                if before.plus(outcome.counts) == Counts::default() {
                    self.done.jobs.push(job.skipped(Skipped::NothingToSync));
                } else {
                    self.finish(job, letter.position, before, outcome);
                }
            }
            Err(skipped) if before == Counts::default() => self.done.jobs.push(job.skipped(skipped)),
            Err(_) => self.finish(job, letter.position, before, Outcome::default()),
        }
        true
    }

    /// Records a part of a job, and sends on what it changed effectively. The letter stays at its place.
    fn cut(&mut self, job: Job, letter: &Letter, outcome: Outcome, through: Place, weight: i64) {
        let Outcome { counts, effects, displaced, noted } = outcome;
        for (category, entries) in effects {
            self.send_on(job, letter.position, category, entries);
        }
        let Job { cause, organization, .. } = job;
        self.note(job, noted);
        self.done.job_parts.push(JobPart { cause, organization, displaced });
        let progress = Progress::Entries { through, counts: letter.progress.counts().plus(counts) };
        self.done.letters_cut.push(Cut { no: letter.no, progress, weight });
    }

    /// Records a job, and sends on to the organization's own downstreams what it changed effectively. `before`
    /// is what earlier parts of it did.
    fn finish(&mut self, job: Job, position: Position, before: Counts, outcome: Outcome) {
        let Outcome { counts, effects, displaced, noted } = outcome;
        for (category, entries) in effects {
            self.send_on(job, position, category, entries);
        }
        let counts = before.plus(counts);
        let skipped = counts.skipped();
        self.note(job, noted);
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

    fn note(&mut self, job: Job, noted: Vec<Noted>) {
        if !noted.is_empty() {
            self.done.noted.push((job.cause, job.organization, noted));
        }
    }

    fn send_on(
        &mut self,
        job: Job,
        position: Position,
        category: CategoryId,
        mut entries: Vec<(Key, Effect)>,
    ) {
        let Job { cause, organization, event, .. } = job;
        self.changed.insert(organization);
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
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let position = position.max(self.world.last_change(organization).position);
        self.world.advance(organization, LastChange { change: no, position });
        for (shard, weight) in shards {
            // Positions of one organization's changes never fall.
            self.sent.entry((organization, shard)).or_insert(position);
            let work = FollowUp::SyncChange(no, Recipients::Shard(shard));
            self.done.letters_new.push(NewLetter { position, event, work, weight, replay: false });
        }
        let change = Change { no, event, cause, organization, category, entries: entries.into() };
        self.done.changes.push(Arc::new(change));
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
    fn of_change(change: &Change, downstream: OrganizationNo) -> Self {
        let (cause, kind, event) = (change.no.into(), JobKind::SyncChange, change.event);
        Self { cause, organization: downstream, kind, event }
    }

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
