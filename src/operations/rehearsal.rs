//! A rehearsal: events are worked off in memory, as executors would do it, and nothing is saved.
//!
//! The state comes from a transaction that cannot write; what is decided on it is the domain's, by the same
//! functions that do the jobs. Letters that follow from a job stay in memory, and are taken in their order until none
//! is left: what they touch is loaded then, tier by tier, and what was written before stays as written.
//!
//! Letters that wait in the mailbox are not there, nor is a pause: see [`mod@super::preview`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::OperationError;
use crate::contract::{Envelope, Event, Rejection};
use crate::domain::catalogue::{Catalogue, Reach};
use crate::domain::decide::{Counts, Displaced, Noted};
use crate::domain::mailbox::{
    self, Batch, Done, FollowUp, JobDone, Letter, LetterNo, NewLetter, Progress, Reconcile, Verdict, Work,
    numbers_needed,
};
use crate::domain::setting::Change;
use crate::domain::world::World;
use crate::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position};
use crate::store::Transaction;
use crate::store::intake::{Identity, Taken, again, identity};

/// How much is worked off at a time, as executors do it.
#[derive(Debug, Clone, Copy)]
pub struct RehearsalLimits {
    /// Most letters in a batch.
    pub batch_letters_max: usize,
    /// Most entries that a batch goes through.
    pub batch_writes_max: usize,
    /// Most entries that all batches together go through, by and large: then it ends.
    pub entries_max: usize,
}

/// What became of an event.
pub(super) enum Rehearsed {
    /// It would not become an event.
    Refused(Rejection),
    /// The same event is there already.
    Duplicate,
    /// Its category is never synced: it would be recorded, and nothing else.
    Ignored,
    /// It would be taken in and run.
    Run(Run),
}

/// What came of an event that ran.
pub(super) struct Run {
    /// What became of it.
    pub(super) verdict: Verdict,
    /// Its jobs, in the order in which they were done.
    pub(super) jobs: Vec<JobDone>,
    /// What became of each entry, by the cause and organization of the job.
    pub(super) noted: HashMap<(CauseNo, OrganizationNo), Vec<Noted>>,
    /// Changes that went on to downstreams.
    pub(super) changes: HashMap<ChangeNo, Arc<Change>>,
    /// Beginnings of partnerships.
    pub(super) reconciles: HashMap<ChangeNo, Reconcile>,
    /// Whether all of it was rehearsed.
    pub(super) complete: bool,
    /// What parts of jobs displaced that are not done yet.
    displaced: HashMap<(CauseNo, OrganizationNo), Vec<Displaced>>,
}

/// Events worked off in memory.
pub(super) struct Rehearsal<'a> {
    transaction: &'a Transaction<'a>,
    catalogue: &'a Catalogue,
    limits: RehearsalLimits,
    /// As far as it was loaded, and as it would be.
    pub(super) world: World,
    /// The numbers of the organizations that were named. Those that are new have numbers that nobody has.
    organizations: HashMap<String, OrganizationNo>,
    last_organization: i32,
    last_number: i64,
    last_letter: i64,
    /// Events of this rehearsal, with their contents.
    seen: HashMap<Identity, [u8; 32]>,
    /// How many entries were gone through.
    gone_through: usize,
}

impl<'a> Rehearsal<'a> {
    pub(super) async fn new(
        transaction: &'a Transaction<'a>,
        catalogue: &'a Catalogue,
        limits: RehearsalLimits,
    ) -> Result<Self, OperationError> {
        let (last_number, OrganizationNo(last_organization)) = transaction.numbers_used().await?;
        let mut world = World::default();
        world.note_entries();
        Ok(Self {
            transaction,
            catalogue,
            limits,
            world,
            organizations: HashMap::new(),
            last_organization,
            last_number,
            last_letter: 0,
            seen: HashMap::new(),
            gone_through: 0,
        })
    }

    /// The names of organizations that no event has named before.
    pub(super) fn names(&self) -> HashMap<OrganizationNo, String> {
        self.organizations.iter().map(|(name, no)| (*no, name.clone())).collect()
    }

    /// Takes an event in and works it off, with all that follows from it.
    pub(super) async fn run(&mut self, envelope: &Envelope) -> Result<Rehearsed, OperationError> {
        let name = identity(envelope);
        let stored = self.transaction.contents(&[envelope]).await?;
        if let Some(content) = self.seen.get(&name).or(stored.get(&name)) {
            return Ok(match again(envelope, Some(content)) {
                Taken::Rejected(rejection) => Rehearsed::Refused(rejection),
                Taken::Accepted(_) | Taken::Ignored(_) | Taken::Duplicate => Rehearsed::Duplicate,
            });
        }
        self.seen.insert(name, envelope.content);
        let event = EventNo(self.number());
        let Some(work) = self.work_of(envelope).await? else { return Ok(Rehearsed::Ignored) };
        let mut letters = Letters::default();
        let letter = self.letter(Position(event.0), event, work, 1);
        letters.insert(letter.turn(), letter);
        self.work_off(letters).await.map(Rehearsed::Run)
    }

    /// What an event asks for; nothing where its category is never synced.
    async fn work_of(&mut self, envelope: &Envelope) -> Result<Option<Work>, OperationError> {
        if let Event::SettingChanged(event) = &envelope.event
            && self.catalogue.get(event.category).reach == Reach::Never
        {
            return Ok(None);
        }
        let mut numbers = HashMap::new();
        for id in envelope.event.organizations() {
            numbers.insert(&**id, self.organization(id).await?);
        }
        Ok(Some(envelope.event.work(|id| numbers[id])))
    }

    /// The number of an organization; a new one where nobody has named it before.
    async fn organization(&mut self, name: &str) -> Result<OrganizationNo, OperationError> {
        if let Some(no) = self.organizations.get(name) {
            return Ok(*no);
        }
        let known = self.transaction.known_organizations(&[name]).await?;
        let no = known.first().map(|(_, no)| *no).unwrap_or_else(|| {
            self.last_organization = self.last_organization.saturating_add(1);
            OrganizationNo(self.last_organization)
        });
        self.organizations.insert(name.to_owned(), no);
        Ok(no)
    }

    fn number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    fn letter(&mut self, position: Position, event: EventNo, work: Work, weight: i64) -> Letter {
        self.last_letter += 1;
        let (no, progress) = (LetterNo(self.last_letter), Progress::NotBegun);
        Letter { no, position, event, work, replay: false, progress, weight }
    }

    /// Works off letters, and those that follow, until none is left.
    async fn work_off(&mut self, mut letters: Letters) -> Result<Run, OperationError> {
        let mut run = Run {
            verdict: Verdict::Applied,
            jobs: Vec::new(),
            noted: HashMap::new(),
            changes: HashMap::new(),
            reconciles: HashMap::new(),
            complete: true,
            displaced: HashMap::new(),
        };
        let mut counted = HashMap::new();
        while !letters.is_empty() {
            let done = self.batch(&letters).await?;
            let went_on = !done.letters_done.is_empty() || !done.letters_cut.is_empty();
            self.put_away(&mut run, &mut letters, &mut counted, done);
            let is_too_much = self.gone_through > self.limits.entries_max;
            if !letters.is_empty() && (is_too_much || !went_on) {
                run.complete = false;
                break;
            }
        }
        Ok(run)
    }

    /// Works off the first letters, as an executor does that takes these and no others.
    async fn batch(&mut self, letters: &Letters) -> Result<Done, OperationError> {
        let Self { catalogue, limits, .. } = *self;
        let first = letters.values().take(limits.batch_letters_max).cloned().collect();
        let mut batch = Batch { letters: first, ..Batch::default() };
        let world = &mut self.world;
        self.transaction.load_more(catalogue, &mut batch, world, limits.batch_writes_max).await?;
        let needed = numbers_needed(&self.world, catalogue, &batch);
        batch.numbers = (0..needed).map(|_| ChangeNo(self.number())).collect();
        Ok(mailbox::work(&mut self.world, catalogue, batch))
    }

    /// What saving would do with letters, and what is to be told of the rest.
    fn put_away(
        &mut self,
        run: &mut Run,
        letters: &mut Letters,
        counted: &mut HashMap<(CauseNo, OrganizationNo), usize>,
        done: Done,
    ) {
        let turns: HashMap<LetterNo, Turn> = letters.iter().map(|(turn, one)| (one.no, *turn)).collect();
        let mut count = |job: (CauseNo, OrganizationNo), counts: &Counts| {
            let gone_through = gone_through(counts);
            let before = counted.insert(job, gone_through).unwrap_or(0);
            self.gone_through += gone_through.saturating_sub(before);
        };
        for job in &done.jobs {
            count((job.cause, job.organization), &job.counts);
        }
        for cut in done.letters_cut {
            let Some(letter) = turns.get(&cut.no).and_then(|turn| letters.get_mut(turn)) else { continue };
            if let (Progress::Entries { counts, .. }, Some(organization)) =
                (&cut.progress, letter.work.organization())
            {
                count((letter.work.cause(letter.event), organization), counts);
            }
            letter.progress = cut.progress;
            letter.weight = cut.weight;
        }
        for turn in done.letters_done.iter().filter_map(|no| turns.get(no)) {
            letters.remove(turn);
        }
        run.changes.extend(done.changes.into_iter().map(|change| (change.no, change)));
        run.reconciles.extend(done.reconciles.into_iter().map(|reconcile| (reconcile.no, reconcile)));
        for new in done.letters_new {
            let Some(work) = work_that_follows(run, &new) else { continue };
            // How heavy a reconcile is counts nobody here: its first part is as large as may be.
            let weight = match work {
                Work::Reconcile(_) => i64::try_from(self.limits.batch_writes_max).unwrap_or(i64::MAX),
                _ => new.weight,
            };
            let letter = self.letter(new.position, new.event, work, weight);
            letters.insert(letter.turn(), letter);
        }
        for (cause, organization, noted) in done.noted {
            run.noted.entry((cause, organization)).or_default().extend(noted);
        }
        for part in done.job_parts {
            run.displaced.entry((part.cause, part.organization)).or_default().extend(part.displaced);
        }
        for mut job in done.jobs {
            let before = run.displaced.remove(&(job.cause, job.organization)).unwrap_or_default();
            job.displaced.splice(0..0, before);
            run.jobs.push(job);
        }
        for (_, verdict) in done.verdicts {
            run.verdict = verdict;
        }
    }
}

type Turn = (Position, CauseNo, LetterNo);

/// Letters in the order in which they are worked off.
type Letters = BTreeMap<Turn, Letter>;

fn work_that_follows(run: &Run, new: &NewLetter) -> Option<Work> {
    match new.work {
        FollowUp::SyncChange(no, to) => {
            let change = Arc::clone(run.changes.get(&no)?);
            Some(Work::SyncChange { change, to })
        }
        FollowUp::Reconcile(no, _) => run.reconciles.get(&no).copied().map(Work::Reconcile),
    }
}

fn gone_through(counts: &Counts) -> usize {
    let Counts { added, changed, removed, unchanged, kept_own, declined, overtaken } = *counts;
    let all = [added, changed, removed, unchanged, kept_own, declined, overtaken];
    all.iter().map(|count| usize::try_from(*count).unwrap_or(0)).sum()
}

impl Run {
    /// The job that a job follows from.
    pub(super) fn follows_from(&self, job: &JobDone) -> Option<(CauseNo, OrganizationNo)> {
        let cause = ChangeNo(job.cause.0);
        match (self.changes.get(&cause), self.reconciles.get(&cause)) {
            (Some(change), _) => Some((change.cause, change.organization)),
            (None, Some(reconcile)) => Some((reconcile.event.into(), reconcile.downstream)),
            (None, None) => None,
        }
    }
}
