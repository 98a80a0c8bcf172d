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
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Care, OpenBatch, SPANS, THOROUGH_PATIENCE, Unsaved};
use super::database::{Database, DatabaseSession, DatabaseTransaction};
use crate::delay::Delays;
use crate::domain::catalogue::Catalogue;
use crate::domain::retry::RetryPolicy;
use crate::domain::{SHARDS, Shard};
use crate::metrics::ExecutorMetrics;
use crate::store::StoreError;
use crate::store::batch::{Attempts, Due};
use crate::telemetry::traces::Traces;

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
    /// How many of the first of these shards fill a batch. Where less than two batches are due, half of it: another
    /// executor takes the other half, in place of looking on at the end.
    fn choose(self, due: &[Due]) -> usize {
        let share = |all: usize, max: usize| (all / 2).clamp((max / SMALLEST_SHARE).max(1), max);
        let letters_max = share(due.iter().map(|due| due.letters as usize).sum(), self.letters_max);
        let writes_max = share(due.iter().map(|due| due.weight as usize).sum(), self.writes_max);
        let (mut letters, mut weight) = (0, 0);
        let enough = due.iter().position(|due| {
            letters += due.letters as usize;
            weight += due.weight as usize;
            letters >= letters_max || weight >= writes_max
        });
        enough.map_or(due.len(), |last| last + 1)
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
    /// Held by the worker that looks for due shards, until it has locked those that it chose.
    looking: tokio::sync::Mutex<()>,
    claims: Claims,
    metrics: ExecutorMetrics,
    traces: Traces,
}

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
    pub(super) const NOTHING_YET: Self = Self {
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

impl<D: Database> Executor<D> {
    /// An executor on this database.
    pub fn new(database: D, catalogue: Arc<Catalogue>, limits: BatchLimits, retry: RetryPolicy) -> Self {
        let (metrics, traces) = (ExecutorMetrics::default(), Traces::default());
        let (steps, looking, claims) =
            (AtomicUsize::new(0), tokio::sync::Mutex::default(), Claims::default());
        Self { database, catalogue, limits, retry, steps, looking, claims, metrics, traces }
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
        // A session first: nobody who would look is kept waiting for one.
        let mut session = self.database.session().await?;
        // One worker at a time looks and chooses, so that no two choose the same. It is not waited for long: what keeps
        // them apart is the lock in the database.
        let mut looking = tokio::time::timeout(BLOCKED_PAUSE, self.looking.lock()).await.ok();
        let (free, elsewhere) = self.claims.free();
        // What is left to somebody else may be left by him: it is looked at again soon.
        let nothing = Step { saw_due: elsewhere, ..Step::default() };
        if free.is_empty() {
            return Ok(nothing);
        }
        let mut due = session.shards_due(&free, self.limits.letters_max).await?;
        if due.is_empty() {
            return Ok(nothing);
        }
        // From another shard on at each step, so that none is always last.
        let first = self.steps.fetch_add(FIRST_SHARD_STRIDE, Ordering::Relaxed) % SHARDS as usize;
        due.sort_by_key(|due| (due.shard.0 as usize + SHARDS as usize - first) % SHARDS as usize);
        let mut step = Step::default();
        // Where all that is due in some shards only waits, the next ones may hold work.
        while !due.is_empty() && !step.went_on() {
            let shards: Vec<Shard> = due.iter().map(|due| due.shard).collect();
            let shards = (&*shards, self.limits.choose(&due));
            let (mut unsaved, mut tried) = (None, BTreeSet::new());
            let trace = self.traces.begin();
            let quick = self
                .work_off(&mut session, shards, Care::Quick, &mut unsaved, &mut tried, looking.take())
                .await;
            let worked_off = match quick {
                Err(error) if error.may_be_one_job() => {
                    tracing::debug!(%error, shards = shards.1, "a batch failed; look for the job that does");
                    self.metrics.repeated();
                    self.work_off(&mut session, shards, Care::Thorough, &mut unsaved, &mut tried, None).await
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
            due.retain(|due| !tried.contains(&due.shard));
        }
        Ok(step)
    }

    /// Works off a batch of the due letters of the first so many of these shards that can be locked; says which it
    /// tried, and lets others look once they are locked. A quick one that met locked rows leaves behind what it was
    /// about to save, and a thorough one begins with these rows.
    async fn work_off(
        &self,
        session: &mut D::Session,
        (shards, shards_max): (&[Shard], usize),
        care: Care,
        unsaved: &mut Option<Unsaved>,
        tried: &mut BTreeSet<Shard>,
        looking: Option<tokio::sync::MutexGuard<'_, ()>>,
    ) -> Result<Step, StoreError> {
        let (began, trace) = (Instant::now(), self.traces.begin());
        let transaction = session.begin().await?;
        let lock_timeout = match care {
            Care::Quick => self.limits.lock_timeout,
            Care::Thorough => self.limits.lock_timeout * THOROUGH_PATIENCE,
        };
        let locked = transaction.lock_shards(shards, shards_max, lock_timeout).await?;
        let _claim = self.claims.claim(locked.shards.clone());
        drop(looking);
        let is_last = |shard: &Shard| Some(shard) == locked.shards.last();
        let last = shards.iter().position(is_last).filter(|_| locked.shards.len() == shards_max);
        let (tried_now, _) = shards.split_at(last.map_or(shards.len(), |last| last + 1));
        tried.extend(tried_now);
        self.metrics.tried_to_lock(tried_now.len(), locked.shards.len());
        self.claims.missed(tried_now.iter().filter(|shard| !locked.shards.contains(shard)));
        if locked.shards.is_empty() || locked.everybody_held {
            self.metrics.found_nothing();
            return Ok(Step { saw_due: !locked.everybody_held, ..Step::default() });
        }
        let _locked = self.metrics.locked();
        let mut batch = OpenBatch {
            transaction,
            began,
            trace,
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
        if batch.step.went_on() {
            return batch.commit().await;
        }
        self.metrics.found_nothing();
        Ok(batch.step)
    }

    /// Steps until no letter is due that could be worked off. For tests and for small programs: a service
    /// runs [`Executor::work`].
    ///
    /// # Errors
    /// As [`Executor::step`].
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.claims.claimed().elsewhere.clear();
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

/// Shards that workers of this executor are at work on, or that somebody else was found at work on just now: the others
/// need not look there. What keeps them apart is the lock in the database, which holds for other processes too.
#[derive(Debug, Default)]
struct Claims(Mutex<Claimed>);

#[derive(Debug, Default)]
struct Claimed {
    shards: BTreeSet<Shard>,
    /// Until when those are left alone that somebody else has locked.
    elsewhere: BTreeMap<Shard, Instant>,
}

impl Claims {
    /// The shards that nobody has claimed, and whether others are only left alone since somebody else has them.
    fn free(&self) -> (Vec<Shard>, bool) {
        let mut claimed = self.claimed();
        let now = Instant::now();
        claimed.elsewhere.retain(|_, until| *until > now);
        let is_free =
            |shard: &Shard| !claimed.shards.contains(shard) && !claimed.elsewhere.contains_key(shard);
        (Shard::all().filter(is_free).collect(), !claimed.elsewhere.is_empty())
    }

    /// Claims those of these shards that are free, until the claim is dropped.
    fn claim(&self, mut shards: Vec<Shard>) -> Claim<'_> {
        let mut claimed = self.claimed();
        shards.retain(|shard| claimed.shards.insert(*shard));
        Claim { claims: self, shards }
    }

    /// Somebody else has locked these; another process, where nobody here has claimed them.
    fn missed<'a>(&self, shards: impl Iterator<Item = &'a Shard>) {
        let until = Instant::now() + BLOCKED_PAUSE;
        let mut claimed = self.claimed();
        for shard in shards {
            if !claimed.shards.contains(shard) {
                claimed.elsewhere.insert(*shard, until);
            }
        }
    }

    fn claimed(&self) -> MutexGuard<'_, Claimed> {
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
            claimed.shards.remove(shard);
        }
    }
}

/// The first pause where due letters could not be worked off, since another worker had the shard.
const BLOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Odd, so that all shards come first in turn; and far enough that two workers begin far apart.
const FIRST_SHARD_STRIDE: usize = 7;

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
            let due: Vec<Due> = (0..)
                .zip(all)
                .map(|(no, (letters, weight))| Due { shard: Shard(no), letters: *letters, weight: *weight })
                .collect();
            assert_eq!(limits.choose(&due), taken, "{all:?}");
        }
    }

    #[test]
    fn what_a_worker_has_claimed_is_left_to_it_until_it_lets_go() {
        let claims = Claims::default();
        let first = claims.claim(vec![Shard(0), Shard(1)]);
        let second = claims.claim(vec![Shard(1), Shard(2)]);
        assert_eq!((&first.shards, &second.shards), (&vec![Shard(0), Shard(1)], &vec![Shard(2)]));
        assert_eq!(claims.free(), ((3..SHARDS).map(Shard).collect(), false));
        drop(first);
        assert_eq!(claims.free().0[..2], [Shard(0), Shard(1)]);
        drop(second);
        assert_eq!(claims.free().0.len(), SHARDS as usize);
        claims.missed([Shard(0)].iter());
        assert_eq!(claims.free(), ((1..SHARDS).map(Shard).collect(), true));
    }
}
