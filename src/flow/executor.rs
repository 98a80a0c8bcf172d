//! Works off letters: locks shards, takes letters, loads what they touch, lets the domain decide, saves.
//!
//! There is no "running" state, no lease and no heartbeat: a batch is one transaction, and whatever ends it
//! early leaves its letters as they were. Any number of workers, in any number of processes, work side by
//! side on different shards.
//!
//! A batch that one of its jobs may have made fail is done again, thoroughly, in one transaction: whose rows
//! somebody else has locked is found without waiting for them, and what fails otherwise is found by halves.
//! It alone is put off or given up; all the rest is done.
//!
//! What follows from a job is written as letters to the shards of the downstreams. Where it is little, and nothing
//! else is to be done in these shards before it, it is done at once, in the same transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::database::{Database, DatabaseSession, DatabaseTransaction};
use crate::contract::TraceParent;
use crate::delay::Delays;
use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::{
    self, Done, JobDone, Letter, LetterNo, NewLetter, Progress, Recipients, Verdict, Work,
};
use crate::domain::retry::RetryPolicy;
use crate::domain::setting::Change;
use crate::domain::world::Writes;
use crate::domain::{ChangeNo, EventNo, OrganizationNo, SHARDS, Shard};
use crate::metrics::{ExecutorMetrics, JobFigures};
use crate::store::StoreError;
use crate::store::batch::{Attempts, Due, Trace};
use crate::store::failure::Blamed;
use crate::store::save::FoundWrongs;
use crate::telemetry::traces::{Begun, EventWork, Names, Traces};

/// How large a batch may be, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most letters in a batch.
    pub letters_max: usize,
    /// Most entries that a batch writes. A single event of an organization's own may write more.
    pub writes_max: usize,
    /// What follows from its jobs is done in the same transaction, where it writes no more entries than this, or
    /// few for each shard, and nothing else is to be done there before; else by letters. Zero: always by letters.
    pub follow_up_writes_max: usize,
    /// How long it waits for rows that somebody else has locked, before it goes on without the organizations
    /// that they belong to.
    pub lock_timeout: Duration,
}

impl BatchLimits {
    /// Takes out as many shards as fill a batch. Where less than two batches are due, half of it: another executor
    /// takes the other half, in place of looking on at the end.
    fn choose(self, due: &mut Vec<Due>) -> Vec<Shard> {
        let share = |all: usize, max: usize| (all / 2).clamp((max / SMALLEST_SHARE).max(1), max);
        let letters_max = share(due.iter().map(|due| due.letters as usize).sum(), self.letters_max);
        let writes_max = share(due.iter().map(|due| due.weight as usize).sum(), self.writes_max);
        let (mut letters, mut weight) = (0, 0);
        let enough = due.iter().position(|due| {
            letters += due.letters as usize;
            weight += due.weight as usize;
            letters >= letters_max || weight >= writes_max
        });
        let chosen = enough.map_or(due.len(), |last| last + 1);
        due.drain(..chosen).map(|due| due.shard).collect()
    }
}

/// Works off letters.
#[derive(Debug)]
pub struct Executor<D> {
    database: D,
    catalogue: Arc<Catalogue>,
    limits: BatchLimits,
    retry: RetryPolicy,
    steps: AtomicUsize,
    claims: Claims,
    metrics: ExecutorMetrics,
    traces: Traces,
}

/// What its spans are called.
const SPANS: Names = Names { batch: "work off batch", event: "work off event", from_broker: false };

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Letters that left the mailbox.
    pub letters_done: usize,
    /// Letters of which a part was done.
    pub letters_cut: usize,
    /// Letters that follow from them.
    pub letters_new: usize,
    /// Jobs done.
    pub jobs: usize,
    /// Letters whose job failed and runs again.
    pub letters_postponed: usize,
    /// Whether due letters were seen: done, or left since someone else is in the way.
    pub saw_due: bool,
}

impl Step {
    /// Letters are due, and none could be worked off.
    const NOTHING_YET: Self = Self {
        letters_done: 0,
        letters_cut: 0,
        letters_new: 0,
        jobs: 0,
        letters_postponed: 0,
        saw_due: true,
    };

    /// Whether anything came of it, so that another step may find more to do.
    pub fn went_on(&self) -> bool {
        self.letters_done + self.letters_cut + self.letters_postponed > 0
    }
}

/// How a batch is worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// All letters at once; whatever fails ends it.
    Quick,
    /// After it failed: what fails is found and put off, and the rest is done.
    Thorough,
}

/// What a batch was about to save when it met rows that somebody else has locked.
type Unsaved = (Writes, Done);

impl<D: Database> Executor<D> {
    /// An executor on this database.
    pub fn new(database: D, catalogue: Arc<Catalogue>, limits: BatchLimits, retry: RetryPolicy) -> Self {
        let (metrics, traces) = (ExecutorMetrics::default(), Traces::default());
        let (steps, claims) = (AtomicUsize::new(0), Claims::default());
        Self { database, catalogue, limits, retry, steps, claims, metrics, traces }
    }

    /// Sends spans there from now on.
    #[must_use]
    pub fn traced_by(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Counts by these from now on.
    #[must_use]
    pub fn measured_by(self, metrics: ExecutorMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// Works off one batch of due letters, in one transaction. Where one of its jobs may have made it fail,
    /// that one is found: it alone is put off or given up, and all others go on.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses for a reason that is no single job's: then nothing of
    /// the batch took effect.
    pub async fn step(&self) -> Result<Step, StoreError> {
        let free = self.claims.free();
        if free.is_empty() {
            return Ok(Step::default());
        }
        let mut due = self.database.shards_due(&free, self.limits.letters_max).await?;
        if due.is_empty() {
            return Ok(Step::default());
        }
        // From another shard on at each step, so that none is always last.
        let first = self.steps.fetch_add(FIRST_SHARD_STRIDE, Ordering::Relaxed) % SHARDS as usize;
        due.sort_by_key(|due| (due.shard.0 as usize + SHARDS as usize - first) % SHARDS as usize);
        let mut session = self.database.session().await?;
        let mut step = Step::default();
        // Where all that is due in some shards only waits, the next ones may hold work.
        while !due.is_empty() && !step.went_on() {
            let claim = self.claims.claim(self.limits.choose(&mut due));
            let shards = &*claim.shards;
            if shards.is_empty() {
                step.saw_due = true;
                continue;
            }
            let mut unsaved = None;
            let trace = self.traces.begin();
            let worked_off = match self.work_off(&mut session, shards, Care::Quick, &mut unsaved).await {
                Err(error) if error.may_be_one_job() => {
                    tracing::debug!(%error, shards = shards.len(), "a batch failed; look for the job that does");
                    self.metrics.repeated();
                    self.work_off(&mut session, shards, Care::Thorough, &mut unsaved).await
                }
                outcome => outcome,
            };
            step = match worked_off {
                Ok(step) => step,
                Err(error) => {
                    self.metrics.failed();
                    if let Some(trace) = trace {
                        trace.fail(SPANS, &error);
                    }
                    return Err(error);
                }
            };
        }
        Ok(step)
    }

    /// Works off a batch of the due letters of these shards, as far as they can be locked. A quick one that met
    /// locked rows leaves behind what it was about to save, and a thorough one begins with these rows.
    async fn work_off(
        &self,
        session: &mut D::Session,
        shards: &[Shard],
        care: Care,
        unsaved: &mut Option<Unsaved>,
    ) -> Result<Step, StoreError> {
        let (began, trace) = (Instant::now(), self.traces.begin());
        let transaction = session.begin().await?;
        let lock_timeout = match care {
            Care::Quick => self.limits.lock_timeout,
            Care::Thorough => self.limits.lock_timeout * THOROUGH_PATIENCE,
        };
        let locked = transaction.lock_shards(shards, lock_timeout).await?;
        self.metrics.tried_to_lock(shards.len(), locked.shards.len());
        if locked.shards.is_empty() || locked.everybody_held {
            self.metrics.found_nothing();
            return Ok(Step { saw_due: !locked.everybody_held, ..Step::default() });
        }
        let _locked = self.metrics.locked();
        let mut batch = OpenBatch {
            transaction,
            metrics: &self.metrics,
            catalogue: &self.catalogue,
            retry: &self.retry,
            shards: locked.shards,
            held: locked.held,
            crowded_out: HashSet::new(),
            suspects: HashSet::new(),
            hopeful: care == Care::Quick,
            unsaved,
            attempts: Attempts::new(),
            traces: HashMap::new(),
            room: self.limits.writes_max,
            follow_up_writes_max: self.limits.follow_up_writes_max,
            at_once: 0,
            step: Step::NOTHING_YET,
            done: Vec::new(),
            blamed: Vec::new(),
        };
        if care == Care::Thorough
            && let Some((writes, done)) = batch.unsaved.take()
        {
            batch.suspects = batch.transaction.busy(&self.catalogue, &[], &writes, &done).await?;
            batch.hopeful = !batch.suspects.is_empty();
        }
        let share = |limit: usize| (limit / batch.shards.len()).max(1) as i64;
        let limits = (share(self.limits.letters_max), share(self.limits.writes_max));
        loop {
            let held = batch.held.len();
            let Some(letters) = batch.take(limits, care).await? else { break };
            match care {
                Care::Quick => {
                    batch.do_all(&letters).await?;
                }
                Care::Thorough => batch.do_in_parts(letters).await?,
            }
            if batch.step.went_on() {
                break;
            }
            // All of these wait for something; what comes behind them may not, nor who had no room beside them.
            let crowded_out = std::mem::take(&mut batch.crowded_out);
            batch.held.retain(|organization| !crowded_out.contains(organization));
            if batch.held.len() == held {
                break;
            }
        }
        let OpenBatch { transaction, step, done, blamed, traces, .. } = batch;
        if step.went_on() {
            transaction.commit().await?;
            log(&done, &blamed, &traces);
            self.metrics.count(&figures(&done, &blamed));
            if let Some(trace) = trace {
                end_trace(trace, &step, &done, &traces);
            }
            self.metrics.committed(step.letters_done, step.letters_cut, step.jobs, began.elapsed());
        } else {
            self.metrics.found_nothing();
        }
        Ok(step)
    }

    /// Steps until no letter is due that could be worked off. For tests and for small programs: a service
    /// runs [`Executor::work`].
    ///
    /// # Errors
    /// As [`Executor::step`].
    pub async fn settle(&self) -> Result<(), StoreError> {
        while self.step().await?.went_on() {}
        Ok(())
    }

    /// Works until `stop` is cancelled: at once when `wake` is notified, and every `poll` besides. After
    /// trouble it tries again with growing pauses. The batch at hand is finished before it returns.
    pub async fn work(&self, wake: &Notify, poll: Duration, mut trouble: Delays, stop: CancellationToken) {
        let mut blocked = Delays::new(BLOCKED_PAUSE.min(poll), poll);
        while !stop.is_cancelled() {
            // Asked for before the step: what is notified meanwhile is not missed.
            let notified = wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let pause = match self.step().await {
                Ok(step) if step.went_on() => {
                    trouble.reset();
                    blocked.reset();
                    wake.notify_waiters();
                    continue;
                }
                Ok(step) => {
                    trouble.reset();
                    // Somebody is in the way, not for long as a rule.
                    if step.saw_due { blocked.next_delay() } else { poll }
                }
                Err(error) => {
                    let pause = trouble.next_delay();
                    tracing::warn!(%error, transient = error.is_transient(), ?pause, "work off a batch");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                    continue;
                }
            };
            tokio::select! {
                () = &mut notified => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// A batch is not made smaller than this part of what it may be, so that another executor has something to do.
const SMALLEST_SHARE: usize = 4;

/// Shards that workers of this executor are at work on: the others need not look there. What keeps them apart is the
/// lock in the database, which holds for other processes too.
#[derive(Debug, Default)]
struct Claims(Mutex<BTreeSet<Shard>>);

impl Claims {
    /// The shards that nobody has claimed.
    fn free(&self) -> Vec<Shard> {
        let claimed = self.claimed();
        Shard::all().filter(|shard| !claimed.contains(shard)).collect()
    }

    /// Claims those of these shards that are free, until the claim is dropped.
    fn claim(&self, mut shards: Vec<Shard>) -> Claim<'_> {
        let mut claimed = self.claimed();
        shards.retain(|shard| claimed.insert(*shard));
        Claim { claims: self, shards }
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<Shard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shards that a worker has claimed.
struct Claim<'a> {
    claims: &'a Claims,
    shards: Vec<Shard>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claimed = self.claims.claimed();
        for shard in &self.shards {
            claimed.remove(shard);
        }
    }
}

/// The first pause where due letters could not be worked off, since another worker had the shard.
const BLOCKED_PAUSE: Duration = Duration::from_millis(20);

/// How much longer than at first a thorough batch waits for locks: rows of single organizations are not waited
/// for by then, so that what is left is short, or nobody's fault.
const THOROUGH_PATIENCE: u32 = 10;

/// So many letters are blamed in one batch, found by halves: it would last too long. The others come next.
const BLAMED_MAX: usize = 16;

/// Odd, so that all shards come first in turn; and far enough that two workers begin far apart.
const FIRST_SHARD_STRIDE: usize = 7;

/// A batch that is being worked off.
struct OpenBatch<'a, T> {
    transaction: T,
    metrics: &'a ExecutorMetrics,
    catalogue: &'a Catalogue,
    retry: &'a RetryPolicy,
    shards: Vec<Shard>,
    /// Organizations whose letters must not be done now: something of theirs that comes before is left.
    held: HashSet<OrganizationNo>,
    /// Those of them who only had no room.
    crowded_out: HashSet<OrganizationNo>,
    /// Organizations with rows that somebody else had locked when this batch began.
    suspects: HashSet<OrganizationNo>,
    /// Whether nothing is expected to fail but for the suspects: else locked rows are looked for before anything is
    /// saved, and what follows is left to letters of its own, as who is to blame must be in the mailbox.
    hopeful: bool,
    unsaved: &'a mut Option<Unsaved>,
    attempts: Attempts,
    traces: HashMap<EventNo, Trace>,
    /// How many entries there is still room for.
    room: usize,
    follow_up_writes_max: usize,
    /// How many letters were done at once, without lying in a mailbox.
    at_once: i64,
    step: Step,
    done: Vec<(Done, FoundWrongs)>,
    blamed: Vec<(Blamed, String)>,
}

/// A letter to a shard that has just come about, and may be done at once.
struct FollowUp {
    new: NewLetter,
    shard: Shard,
    letter: Letter,
}

/// How far a batch had come at a savepoint.
struct Mark {
    /// Locks on shards go with the part that took them.
    shards: usize,
    held: HashSet<OrganizationNo>,
    crowded_out: HashSet<OrganizationNo>,
    room: usize,
    step: Step,
    done: usize,
    blamed: usize,
}

impl<T: DatabaseTransaction> OpenBatch<'_, T> {
    /// The next letters; none where there are none any more.
    async fn take(&mut self, limits: (i64, i64), care: Care) -> Result<Option<Vec<Letter>>, StoreError> {
        loop {
            let mut taken =
                self.transaction.take_letters(self.catalogue, &self.shards, limits, &self.held).await?;
            self.attempts.extend(taken.attempts);
            self.traces.extend(taken.traces);
            if let Some((no, error)) = taken.unreadable.pop() {
                if care == Care::Quick {
                    return Err(error);
                }
                self.blame(&[no], &error).await?;
                for (no, error) in taken.unreadable {
                    self.blame(&[no], &error).await?;
                }
                // What comes behind them must wait, and may have been taken.
                continue;
            }
            if care == Care::Thorough {
                let held = self.held.len();
                let busy = self.transaction.busy_letters(&taken.letters).await?;
                self.leave_busy(&mut taken.letters, &busy);
                if taken.letters.is_empty() && self.held.len() > held {
                    // What comes behind those that are left may be of others.
                    continue;
                }
            }
            return Ok((!taken.letters.is_empty()).then_some(taken.letters));
        }
    }

    /// Leaves letters whose rows somebody else has locked, and what comes behind them.
    fn leave_busy(&mut self, letters: &mut Vec<Letter>, busy: &HashSet<LetterNo>) {
        if busy.is_empty() {
            return;
        }
        letters.sort_by_key(Letter::turn);
        let (mut begun, mut closed) = (HashSet::new(), HashSet::new());
        letters.retain(|letter| {
            let organization = letter.work.organization();
            let shard = match (&letter.work, organization) {
                (Work::SyncChange { to: Recipients::Shard(shard), .. }, _) => Some(*shard),
                (_, organization) => organization.map(OrganizationNo::shard),
            };
            let Some(shard) = shard.filter(|shard| !closed.contains(shard)) else { return false };
            match organization {
                Some(organization) if busy.contains(&letter.no) || self.held.contains(&organization) => {
                    // What comes before it is done first; then it is met again.
                    if begun.contains(&organization) {
                        closed.insert(shard);
                    } else {
                        self.held.insert(organization);
                    }
                    false
                }
                // To many: nothing of this shard may overtake it.
                None if busy.contains(&letter.no) => {
                    closed.insert(shard);
                    false
                }
                organization => {
                    begun.extend(organization);
                    true
                }
            }
        });
    }

    /// Does letters, and finds those that fail: by halves, each half from a savepoint.
    async fn do_in_parts(&mut self, letters: Vec<Letter>) -> Result<(), StoreError> {
        let alone = letters.len() == 1;
        let mut found = 0;
        let mut parts = vec![letters];
        while let Some(mut part) = parts.pop() {
            self.transaction.savepoint().await?;
            let before = self.mark();
            let error = match self.do_all(&part).await {
                Ok(stopped) => {
                    self.transaction.release_savepoint().await?;
                    if stopped || self.room == 0 {
                        break;
                    }
                    continue;
                }
                Err(error) if error.may_be_one_job() => error,
                Err(error) => return Err(error),
            };
            self.transaction.roll_back_to_savepoint().await?;
            self.roll_back_to(before);
            if self.hopeful {
                self.hopeful = false;
                parts.push(part);
                continue;
            }
            if part.len() > 1 {
                self.metrics.halved();
                let later = part.split_off(part.len() / 2);
                parts.extend([later, part]);
                continue;
            }
            let Some(letter) = part.pop() else { continue };
            found += 1;
            // A table that somebody has locked stops every job alike: none of them is to blame.
            let nobody_goes_on = self.step.letters_done + self.step.letters_cut == 0 && !alone;
            if error.is_lock_timeout() && nobody_goes_on && found > 1 {
                return Err(error);
            }
            let held_before = self.held.clone();
            for blamed in self.blame(&[letter.no], &error).await? {
                if let Blamed::Split { into } = blamed {
                    // Those who were not held before the split are tried here and now.
                    self.held.clone_from(&held_before);
                    let free = into.into_iter().filter(|(_, to)| !held_before.contains(to));
                    parts.push(free.map(|(no, to)| to_one(&letter, no, to)).collect());
                }
            }
            if found >= BLAMED_MAX {
                break;
            }
        }
        Ok(())
    }

    fn mark(&self) -> Mark {
        let Self { shards, held, crowded_out, room, step, done, blamed, .. } = self;
        Mark {
            shards: shards.len(),
            held: held.clone(),
            crowded_out: crowded_out.clone(),
            room: *room,
            step: *step,
            done: done.len(),
            blamed: blamed.len(),
        }
    }

    /// What was done since is not done, and nobody waits for it.
    fn roll_back_to(&mut self, Mark { shards, held, crowded_out, room, step, done, blamed }: Mark) {
        self.shards.truncate(shards);
        self.held = held;
        self.crowded_out = crowded_out;
        self.room = room;
        self.step = step;
        self.done.truncate(done);
        self.blamed.truncate(blamed);
    }

    /// Does letters, but for organizations with rows that somebody else is known to have locked: these are put
    /// off. And does at once what follows, where it is little. True where it ended before the last letter.
    async fn do_all(&mut self, letters: &[Letter]) -> Result<bool, StoreError> {
        let (writes, mut done, busy) = self.decide(letters).await?;
        let stopped = done.stopped;
        let mut follow_ups = self.take_follow_ups(&mut done);
        self.save(writes, done, &busy).await?;
        while !follow_ups.is_empty() {
            follow_ups = self.follow(follow_ups).await?;
        }
        Ok(stopped)
    }

    /// What letters come to, and who is busy: has rows that somebody else has locked, so that letters of theirs
    /// are left.
    async fn decide(
        &mut self,
        letters: &[Letter],
    ) -> Result<(Writes, Done, HashSet<OrganizationNo>), StoreError> {
        let mut busy: HashSet<OrganizationNo> = self.suspects.difference(&self.held).copied().collect();
        let mut held: HashSet<OrganizationNo> = self.held.union(&busy).copied().collect();
        let (writes, done) = loop {
            let (mut world, batch) = self
                .transaction
                .prepare(self.catalogue, &self.shards, letters.to_vec(), held.clone(), self.room)
                .await?;
            let done = mailbox::work(&mut world, self.catalogue, batch);
            let writes = world.take_writes();
            if self.hopeful {
                break (writes, done);
            }
            let found = self.transaction.busy(self.catalogue, letters, &writes, &done).await?;
            if found.is_subset(&held) {
                break (writes, done);
            }
            held.extend(&found);
            busy.extend(found);
        };
        // Who has no letter among these may have one among the next.
        let (busy, later) = busy.into_iter().partition(|organization| done.left.contains(organization));
        self.suspects = later;
        Ok((writes, done, busy))
    }

    /// Takes out the letters to shards that follow, where they are few enough to be done at once.
    fn take_follow_ups(&mut self, done: &mut Done) -> Vec<FollowUp> {
        if !self.hopeful {
            return Vec::new();
        }
        let fan_out = done.take_fan_out(self.follow_up_writes_max, self.room);
        let changes: HashMap<ChangeNo, Arc<Change>> =
            done.changes.iter().map(|change| (change.no, Arc::clone(change))).collect();
        let mut follow_ups = Vec::with_capacity(fan_out.len());
        for new in fan_out {
            self.at_once += 1;
            match new.to_shard(LetterNo(-self.at_once), &changes) {
                Some((shard, letter)) => follow_ups.push(FollowUp { new, shard, letter }),
                None => done.letters_new.push(new),
            }
        }
        follow_ups
    }

    /// Does letters that have just come about, in those shards that hold no others; adds the rest of them to their
    /// mailboxes. Returns what follows from them in turn.
    async fn follow(&mut self, follow_ups: Vec<FollowUp>) -> Result<Vec<FollowUp>, StoreError> {
        let shards: BTreeSet<Shard> = follow_ups.iter().map(|one| one.shard).collect();
        let shards: Vec<Shard> = shards.into_iter().collect();
        let mut empty = self.transaction.lock_empty(&shards, &self.shards).await?;
        if empty.everybody_held {
            empty.shards.clear();
        }
        let (now, later): (Vec<FollowUp>, Vec<FollowUp>) =
            follow_ups.into_iter().partition(|one| empty.shards.contains(&one.shard));
        self.add_letters(later).await?;
        if now.is_empty() {
            return Ok(Vec::new());
        }
        self.shards
            .extend(empty.shards.iter().filter(|shard| !self.shards.contains(shard)).collect::<Vec<_>>());
        self.held.extend(empty.held);
        let letters: Vec<Letter> = now.iter().map(|one| one.letter.clone()).collect();
        let (writes, mut done, busy) = self.decide(&letters).await?;
        if done.letters_done.len() < letters.len() {
            // Not all of them can be done now, after all: nothing of this is saved.
            self.suspects.extend(busy);
            self.add_letters(now).await?;
            return Ok(Vec::new());
        }
        let follow_ups = self.take_follow_ups(&mut done);
        self.save(writes, done, &busy).await?;
        Ok(follow_ups)
    }

    async fn add_letters(&mut self, follow_ups: Vec<FollowUp>) -> Result<(), StoreError> {
        let letters: Vec<NewLetter> = follow_ups.into_iter().map(|one| one.new).collect();
        self.step.letters_new += letters.len();
        self.transaction.add_new_letters(&letters).await
    }

    /// Saves what letters came to, and puts off those who are busy.
    async fn save(
        &mut self,
        writes: Writes,
        done: Done,
        busy: &HashSet<OrganizationNo>,
    ) -> Result<(), StoreError> {
        self.held.extend(&done.left);
        self.crowded_out.extend(&done.crowded_out);
        if !(done.letters_done.is_empty() && done.letters_cut.is_empty()) {
            let saved = self.transaction.save(self.catalogue, &writes, &done, &self.attempts).await;
            if saved.as_ref().is_err_and(StoreError::is_lock_timeout) {
                *self.unsaved = Some((writes, done));
                return saved.map(|_| ());
            }
            let found_wrong = saved?;
            self.room = self.room.saturating_sub(writes.entries_written());
            self.step.letters_done += done.letters_done.iter().filter(|no| no.is_stored()).count();
            self.step.letters_cut += done.letters_cut.len();
            self.step.letters_new += done.letters_new.len();
            self.step.jobs += done.jobs.len();
            self.done.push((done, found_wrong));
        }
        if !busy.is_empty() {
            let first = self.transaction.first_letters(busy).await?;
            let error = StoreError::LockTimeout {
                statement: "lock rows",
                reason: "somebody else has locked rows of this organization".to_owned(),
            };
            self.blame(&first, &error).await?;
        }
        Ok(())
    }

    /// Puts letters off, gives them up, or splits those that go to many.
    async fn blame(&mut self, letters: &[LetterNo], error: &StoreError) -> Result<Vec<Blamed>, StoreError> {
        let all = self.transaction.blame(letters, error, self.retry).await?;
        for blamed in &all {
            match blamed {
                Blamed::Split { into } => {
                    self.step.letters_done += 1;
                    self.step.letters_new += into.len();
                    self.held.extend(into.iter().map(|(_, organization)| *organization));
                }
                Blamed::Postponed { organization, .. } => {
                    self.step.letters_postponed += 1;
                    self.held.insert(*organization);
                }
                Blamed::GivenUp { .. } | Blamed::DoneBefore { .. } => self.step.letters_done += 1,
            }
            self.blamed.push((blamed.clone(), error.to_string()));
        }
        Ok(all)
    }
}

/// The letter of this number to one of those that `letter` went to.
fn to_one(letter: &Letter, no: LetterNo, organization: OrganizationNo) -> Letter {
    let work = match &letter.work {
        Work::SyncChange { change, .. } => {
            Work::SyncChange { change: Arc::clone(change), to: Recipients::One(organization) }
        }
        work => work.clone(),
    };
    let (progress, weight) = (Progress::NotBegun, letter.weight);
    Letter { no, work, progress, weight, ..letter.clone() }
}

/// What a batch came to.
fn figures(done: &[(Done, FoundWrongs)], blamed: &[(Blamed, String)]) -> JobFigures {
    let mut figures = JobFigures::default();
    for (done, _) in done {
        done.jobs.iter().for_each(|job| figures.done(job));
        done.verdicts.iter().for_each(|(_, verdict)| figures.settled(verdict));
    }
    for (blamed, _) in blamed {
        match blamed {
            Blamed::Postponed { kind, .. } => figures.retried(*kind),
            Blamed::GivenUp { kind, .. } => figures.failed(*kind),
            Blamed::Split { .. } | Blamed::DoneBefore { .. } => {}
        }
    }
    figures
}

/// The spans of a batch: its own, and one for each event that jobs were done for.
fn end_trace(trace: Begun, step: &Step, done: &[(Done, FoundWrongs)], traces: &HashMap<EventNo, Trace>) {
    let mut events: BTreeMap<EventNo, (JobsDone, Option<&Verdict>)> = BTreeMap::new();
    for (done, _) in done {
        for job in &done.jobs {
            events.entry(job.event).or_default().0.add(job);
        }
        for (event, verdict) in &done.verdicts {
            events.entry(*event).or_default().1 = Some(verdict);
        }
    }
    let parents: HashMap<EventNo, TraceParent> = traces
        .iter()
        .filter_map(|(event, trace)| Some((*event, TraceParent::parse(trace.traceparent.as_deref()?)?)))
        .collect();
    let works = events.iter().map(|(event, (jobs, verdict))| {
        let outcome = verdict.map(Verdict::name);
        EventWork {
            parent: parents.get(event),
            event_id: traces.get(event).map(|trace| &*trace.event_id),
            outcome,
            counts: vec![
                ("channel_sync.jobs", jobs.jobs as i64),
                ("channel_sync.entries_added", jobs.added.into()),
                ("channel_sync.entries_changed", jobs.changed.into()),
                ("channel_sync.entries_removed", jobs.removed.into()),
            ],
            wrong: outcome.filter(|outcome| *outcome == "rejected"),
        }
    });
    let counts = [
        ("channel_sync.letters", (step.letters_done + step.letters_cut) as i64),
        ("channel_sync.jobs", step.jobs as i64),
        ("channel_sync.jobs_put_off", step.letters_postponed as i64),
    ];
    trace.end(SPANS, &counts, works);
}

/// What became of each event and of the jobs done for it, in a span that carries the publisher's trace: the
/// same fields as that of the ingest, so that one search finds the way from the message to its results.
fn log(done: &[(Done, FoundWrongs)], blamed: &[(Blamed, String)], traces: &HashMap<EventNo, Trace>) {
    for (done, found_wrong) in done {
        log_done(done, traces, found_wrong);
    }
    for (blamed, error) in blamed {
        match blamed {
            Blamed::Split { .. } => {}
            Blamed::Postponed { organization, delay_ms, .. } => {
                let organization_no = organization.0;
                tracing::warn!(error, organization_no, delay_ms, "a job failed and runs again");
            }
            Blamed::GivenUp { organization, .. } => {
                let organization_no = organization.0;
                tracing::error!(error, organization_no, "a job failed too often and is parked");
            }
            Blamed::DoneBefore { organization } => {
                let organization_no = organization.0;
                tracing::warn!(error, organization_no, "a letter whose job was done before leaves");
            }
        }
    }
}

fn log_done(done: &Done, traces: &HashMap<EventNo, Trace>, found_wrong: &FoundWrongs) {
    let mut jobs: BTreeMap<EventNo, JobsDone> = BTreeMap::new();
    for job in &done.jobs {
        jobs.entry(job.event).or_default().add(job);
    }
    let verdicts: HashMap<EventNo, &Verdict> =
        done.verdicts.iter().map(|(event, verdict)| (*event, verdict)).collect();
    for (event, JobsDone { jobs, added, changed, removed }) in jobs {
        let trace = traces.get(&event);
        let parent = trace.and_then(|trace| TraceParent::parse(trace.traceparent.as_deref()?));
        let span = tracing::info_span!(
            "event",
            event_id = trace.map(|trace| &*trace.event_id),
            trace_id = parent.as_ref().map(TraceParent::trace_id),
        );
        let _entered = span.entered();
        let event_no = event.0;
        match verdicts.get(&event) {
            Some(Verdict::Superseded) => tracing::info!(event_no, "event superseded"),
            Some(Verdict::Locked) => tracing::info!(event_no, "event refused: settings locked"),
            Some(Verdict::Rejected(_)) => {
                let (code, reason) =
                    found_wrong.get(&event).map(|(code, reason)| (code.name(), reason)).unzip();
                tracing::warn!(event_no, code, reason, "event rejected");
            }
            Some(Verdict::Applied) | None => {
                tracing::debug!(event_no, jobs, added, changed, removed, "jobs done");
            }
        }
    }
    let (letters_done, letters_cut) = (done.letters_done.len(), done.letters_cut.len());
    let letters_new = done.letters_new.len();
    tracing::debug!(letters_done, letters_cut, letters_new, jobs = done.jobs.len(), "batch committed");
}

/// The jobs of one event in a batch, together.
#[derive(Default)]
struct JobsDone {
    jobs: usize,
    added: i32,
    changed: i32,
    removed: i32,
}

impl JobsDone {
    fn add(&mut self, job: &JobDone) {
        self.jobs += 1;
        self.added += job.counts.added;
        self.changed += job.counts.changed;
        self.removed += job.counts.removed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_what_fills_it_and_half_of_what_is_less_than_two() {
        let limits = BatchLimits {
            letters_max: 1_000,
            writes_max: 2_000,
            follow_up_writes_max: 0,
            lock_timeout: Duration::from_secs(1),
        };
        // (what is due in each shard: letters, entries; how many shards are taken)
        let cases: [(&[(i64, i64)], usize); 6] = [
            (&[(1, 1)], 1),
            (&[(1, 1), (1, 1), (1, 1)], 3),
            (&[(10, 1_000); 4], 2),
            (&[(10, 500); 4], 2),
            (&[(10, 400); 16], 5),
            (&[(1_000, 10); 3], 1),
        ];
        for (all, taken) in cases {
            let mut due: Vec<Due> = (0..)
                .zip(all)
                .map(|(no, (letters, weight))| Due { shard: Shard(no), letters: *letters, weight: *weight })
                .collect();
            let chosen = limits.choose(&mut due);
            assert_eq!((chosen.len(), due.len()), (taken, all.len() - taken), "{all:?}");
        }
    }

    #[test]
    fn what_a_worker_has_claimed_is_left_to_it_until_it_lets_go() {
        let claims = Claims::default();
        let first = claims.claim(vec![Shard(0), Shard(1)]);
        let second = claims.claim(vec![Shard(1), Shard(2)]);
        assert_eq!((&first.shards, &second.shards), (&vec![Shard(0), Shard(1)], &vec![Shard(2)]));
        assert_eq!(claims.free(), (3..SHARDS).map(Shard).collect::<Vec<_>>());
        drop(first);
        assert_eq!(claims.free()[..2], [Shard(0), Shard(1)]);
        drop(second);
        assert_eq!(claims.free().len(), SHARDS as usize);
    }
}
