//! Works off letters: locks shards, takes letters, loads what they touch, lets the domain decide, saves.
//!
//! There is no "running" state, no lease and no heartbeat: a batch is one transaction, and whatever ends it
//! early leaves its letters as they were. Any number of workers, in any number of processes, work side by
//! side on different shards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::contract::TraceParent;
use crate::delay::Delays;
use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::{self, Done, Verdict};
use crate::domain::retry::RetryPolicy;
use crate::domain::{EventNo, SHARDS, Shard};
use crate::store::batch::{Due, Trace};
use crate::store::failure::Blamed;
use crate::store::save::FoundWrongs;
use crate::store::{Store, StoreError};

/// How large a batch may be.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Most letters in a batch.
    pub letters_max: usize,
    /// Most entries that a batch writes. A single event of an organization's own may write more.
    pub writes_max: usize,
}

/// Works off letters.
#[derive(Debug)]
pub struct Executor {
    store: Store,
    catalogue: Arc<Catalogue>,
    limits: BatchLimits,
    retry: RetryPolicy,
    steps: AtomicUsize,
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

/// How long a batch waits for rows that somebody has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As long as `database.lock_timeout_ms` says.
    Usual,
    /// A fraction of a second: while a failing job is looked for.
    Short,
}

/// What came of an attempt while a failing job is looked for.
enum Tried {
    /// Some letters were worked off.
    WentOn(Step),
    /// No letter failed, and none could be worked off.
    AllWait,
    /// The job that fails is among them.
    Failed(StoreError),
    /// Somebody else has the shards: nothing can be concluded.
    Busy,
}

impl Executor {
    /// An executor on this database.
    pub fn new(store: Store, catalogue: Arc<Catalogue>, limits: BatchLimits, retry: RetryPolicy) -> Self {
        Self { store, catalogue, limits, retry, steps: AtomicUsize::new(0) }
    }

    /// Works off one batch of due letters, in one transaction. A batch that one of its jobs may have made fail
    /// is narrowed until that job is found: it alone is put off or given up, and all others go on.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses for a reason that is no single job's: then nothing of
    /// the batch took effect.
    pub async fn step(&self) -> Result<Step, StoreError> {
        let due = self.store.shards_due(self.limits.letters_max).await?;
        if due.is_empty() {
            return Ok(Step::default());
        }
        let shards = self.choose(due);
        match self.work_off(&shards, self.limits, Patience::Usual).await {
            Err(error) if error.may_be_one_job() => self.narrow(shards, error).await,
            outcome => Ok(outcome?.unwrap_or(Step::NOTHING_YET)),
        }
    }

    /// Looks for the one job that makes a batch fail: among half of the shards, again and again, and then
    /// among half of the letters. Ends as soon as some letters were worked off or one was blamed: what is left
    /// fails again, if it does, in a later step.
    async fn narrow(&self, mut shards: Vec<Shard>, error: StoreError) -> Result<Step, StoreError> {
        tracing::debug!(%error, shards = shards.len(), "narrow a batch that failed");
        while shards.len() > 1 {
            let others = shards.split_off(shards.len() / 2);
            match self.try_some(&shards, self.limits.letters_max).await? {
                Tried::WentOn(step) => return Ok(step),
                Tried::AllWait => shards = others,
                Tried::Failed(_) => {}
                Tried::Busy => return Ok(Step::NOTHING_YET),
            }
        }
        let all = self.limits.letters_max;
        let mut error = match self.try_some(&shards, all).await? {
            Tried::WentOn(step) => return Ok(step),
            Tried::AllWait | Tried::Busy => return Ok(Step::NOTHING_YET),
            Tried::Failed(error) => error,
        };
        // The first `failing` letters fail, the first `waiting` of them only wait for something.
        let (mut waiting, mut failing) = (0, all);
        while failing - waiting > 1 {
            let half = waiting + (failing - waiting) / 2;
            match self.try_some(&shards, half).await? {
                Tried::WentOn(step) => return Ok(step),
                Tried::AllWait => waiting = half,
                Tried::Busy => return Ok(Step::NOTHING_YET),
                Tried::Failed(cause) => (failing, error) = (half, cause),
            }
        }
        self.blame(&shards, failing, &error).await
    }

    async fn try_some(&self, shards: &[Shard], letters_max: usize) -> Result<Tried, StoreError> {
        let limits = BatchLimits { letters_max, ..self.limits };
        match self.work_off(shards, limits, Patience::Short).await {
            Ok(Some(step)) if step.went_on() => Ok(Tried::WentOn(step)),
            Ok(Some(_)) => Ok(Tried::AllWait),
            Ok(None) => Ok(Tried::Busy),
            Err(error) if error.may_be_one_job() => Ok(Tried::Failed(error)),
            Err(error) => Err(error),
        }
    }

    async fn blame(&self, shards: &[Shard], place: usize, error: &StoreError) -> Result<Step, StoreError> {
        let mut step = Step::NOTHING_YET;
        for shard in shards {
            match self.store.blame_letter(*shard, place, error, &self.retry).await? {
                Blamed::Nobody => {}
                Blamed::Split => step.letters_done += 1,
                Blamed::Postponed { delay_ms } => {
                    tracing::warn!(%error, shard = shard.0, delay_ms, "a job failed and runs again");
                    step.letters_postponed += 1;
                }
                Blamed::GivenUp => {
                    tracing::error!(%error, shard = shard.0, "a job failed too often and is parked");
                    step.letters_done += 1;
                }
            }
        }
        Ok(step)
    }

    /// Works off a batch of the due letters of these shards, as far as they can be locked; none where somebody
    /// else has them all.
    async fn work_off(
        &self,
        shards: &[Shard],
        limits: BatchLimits,
        patience: Patience,
    ) -> Result<Option<Step>, StoreError> {
        let mut session = self.store.session().await?;
        let transaction = session.begin().await?;
        if patience == Patience::Short {
            transaction.shorten_lock_timeout().await?;
        }
        let locked = transaction.lock_shards(shards).await?;
        if locked.is_empty() {
            return Ok(None);
        }
        let share = |limit: usize| (limit / locked.len()).max(1) as i64;
        let (letters_max, writes_max) = (share(limits.letters_max), share(limits.writes_max));
        let mut taken = transaction.take_letters(&self.catalogue, &locked, letters_max, writes_max).await?;
        if taken.letters.is_empty() {
            return Ok(Some(Step::NOTHING_YET));
        }
        let traces = std::mem::take(&mut taken.traces);
        let attempts = std::mem::take(&mut taken.attempts);
        let readable = transaction.lock_for_reading(&taken.letters, &locked).await?;
        let mut batch = transaction.form_batch(&locked, taken, &readable).await?;
        let mut world = transaction.load_world(&self.catalogue, &mut batch, limits.writes_max).await?;
        batch.numbers = transaction.draw_numbers(&self.catalogue, &world, &batch).await?;
        let done = mailbox::work(&mut world, &self.catalogue, batch);
        if done.letters_done.is_empty() && done.letters_cut.is_empty() {
            return Ok(Some(Step::NOTHING_YET));
        }
        let found_wrong = transaction.save(&self.catalogue, &world.take_writes(), &done, &attempts).await?;
        transaction.commit().await?;
        log(&done, &traces, &found_wrong);
        Ok(Some(Step {
            letters_done: done.letters_done.len(),
            letters_cut: done.letters_cut.len(),
            letters_new: done.letters_new.len(),
            jobs: done.jobs.len(),
            ..Step::NOTHING_YET
        }))
    }

    /// Steps until no letter is due that could be worked off. For tests and for small programs: a service
    /// runs [`Executor::work`].
    ///
    /// # Errors
    /// As [`Executor::step`].
    pub async fn settle(&self) -> Result<(), StoreError> {
        // A step may choose shards whose letters all wait for those of others: each shard comes first in turn.
        let mut idle = 0;
        while idle < SHARDS {
            let step = self.step().await?;
            if !step.saw_due {
                break;
            }
            idle = if step.went_on() { 0 } else { idle + 1 };
        }
        Ok(())
    }

    /// Works until `stop` is cancelled: at once when `wake` is notified, and every `poll` besides. After
    /// trouble it tries again with growing pauses. The batch at hand is finished before it returns.
    pub async fn work(&self, wake: &Notify, poll: Duration, mut trouble: Delays, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Asked for before the step: what is notified meanwhile is not missed.
            let notified = wake.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let pause = match self.step().await {
                Ok(step) if step.went_on() => {
                    trouble.reset();
                    wake.notify_waiters();
                    continue;
                }
                Ok(step) => {
                    trouble.reset();
                    // Somebody is in the way, not for long.
                    if step.saw_due { poll.min(BLOCKED_PAUSE) } else { poll }
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

    /// As many shards as fill a batch, from another one on at each step, so that none is always last.
    fn choose(&self, mut due: Vec<Due>) -> Vec<Shard> {
        let first = self.steps.fetch_add(FIRST_SHARD_STRIDE, Ordering::Relaxed) % SHARDS as usize;
        due.sort_by_key(|due| (due.shard.0 as usize + SHARDS as usize - first) % SHARDS as usize);
        let (mut letters, mut weight) = (0, 0);
        let enough = due.iter().position(|due| {
            letters += due.letters as usize;
            weight += due.weight as usize;
            letters >= self.limits.letters_max || weight >= self.limits.writes_max
        });
        due.truncate(enough.map_or(due.len(), |last| last + 1));
        due.into_iter().map(|due| due.shard).collect()
    }
}

/// How long to wait where due letters could not be worked off, since another worker had the shard.
const BLOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Odd, so that all shards come first in turn; and far enough that two workers begin far apart.
const FIRST_SHARD_STRIDE: usize = 7;

/// What became of each event and of the jobs done for it, in a span that carries the publisher's trace: the
/// same fields as that of the ingest, so that one search finds the way from the message to its results.
fn log(done: &Done, traces: &HashMap<EventNo, Trace>, found_wrong: &FoundWrongs) {
    let mut jobs: BTreeMap<EventNo, JobsDone> = BTreeMap::new();
    for job in &done.jobs {
        let jobs = jobs.entry(job.event).or_default();
        jobs.jobs += 1;
        jobs.added += job.counts.added;
        jobs.changed += job.counts.changed;
        jobs.removed += job.counts.removed;
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
