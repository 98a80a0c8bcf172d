//! A batch that is being worked off: one transaction, from the letters at hand to what is saved.
//!
//! Letters are taken from mailboxes, or have just come about, as a change goes on. The latter never come to lie in a
//! mailbox where they are done at once, in shards that hold no letter: what comes next comes first there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::database::DatabaseTransaction;
use super::executor::Step;
use crate::contract::TraceParent;
use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::{self, Done, JobDone, Letter, LetterNo, Progress, Recipients, Verdict, Work};
use crate::domain::retry::RetryPolicy;
use crate::domain::setting::Change;
use crate::domain::world::Writes;
use crate::domain::{ChangeNo, EventNo, OrganizationNo, Shard};
use crate::metrics::{ExecutorMetrics, JobFigures};
use crate::store::StoreError;
use crate::store::batch::{Attempts, Trace};
use crate::store::failure::Blamed;
use crate::store::save::FoundWrongs;
use crate::telemetry::traces::{Begun, EventWork, Names};

/// What its spans are called.
pub(super) const SPANS: Names =
    Names { batch: "work off batch", event: "work off event", from_broker: false };

/// How a batch is worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// All letters at once; whatever fails ends it.
    Quick,
    /// After it failed: what fails is found and put off, and the rest is done.
    Thorough,
}

/// What a batch was about to save when it met rows that somebody else has locked.
pub(super) type Unsaved = (Writes, Done);

/// How much longer than at first a thorough batch waits for locks: rows of single organizations are not waited
/// for by then, so that what is left is short, or nobody's fault.
pub(super) const THOROUGH_PATIENCE: u32 = 10;

/// So many letters are blamed in one batch, found by halves: it would last too long. The others come next.
const BLAMED_MAX: usize = 16;

/// A batch that is being worked off.
pub(super) struct OpenBatch<'a, T> {
    pub(super) transaction: T,
    pub(super) began: Instant,
    pub(super) trace: Option<Begun>,
    pub(super) metrics: &'a ExecutorMetrics,
    pub(super) catalogue: &'a Catalogue,
    pub(super) retry: &'a RetryPolicy,
    /// The shards that it has locked.
    pub(super) shards: Vec<Shard>,
    /// Organizations whose letters must not be done now: something of theirs that comes before is left.
    pub(super) held: HashSet<OrganizationNo>,
    /// Those of them who only had no room.
    pub(super) crowded_out: HashSet<OrganizationNo>,
    /// Organizations with rows that somebody else had locked when this batch began.
    pub(super) suspects: HashSet<OrganizationNo>,
    /// Whether nothing is expected to fail but for the suspects: else locked rows are looked for before anything is
    /// saved, and what follows is left to letters of its own, as who is to blame must be in the mailbox.
    pub(super) hopeful: bool,
    /// Where it leaves what it was about to save when it met locked rows.
    pub(super) unsaved: &'a mut Option<Unsaved>,
    pub(super) attempts: Attempts,
    pub(super) traces: HashMap<EventNo, Trace>,
    /// How many entries there is still room for.
    pub(super) room: usize,
    pub(super) follow_up_writes_max: usize,
    /// How many letters were done at once, without lying in a mailbox.
    pub(super) at_once: i64,
    pub(super) step: Step,
    pub(super) done: Vec<(Done, FoundWrongs)>,
    pub(super) blamed: Vec<(Blamed, String)>,
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
    /// Commits it, and tells what was done.
    pub(super) async fn commit(self) -> Result<Step, StoreError> {
        let Self { transaction, began, trace, metrics, step, done, blamed, traces, .. } = self;
        transaction.commit().await?;
        log(&done, &blamed, &traces);
        metrics.count(&figures(&done, &blamed));
        if let Some(trace) = trace {
            end_trace(trace, &step, &done, &traces);
        }
        metrics.committed(step.letters_done, step.letters_cut, step.jobs, began.elapsed());
        Ok(step)
    }

    /// The next letters; none where there are none any more.
    pub(super) async fn take(
        &mut self,
        limits: (i64, i64),
        care: Care,
    ) -> Result<Option<Vec<Letter>>, StoreError> {
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
            let shard = letter.shard();
            if closed.contains(&shard) {
                return false;
            }
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
    pub(super) async fn do_in_parts(&mut self, letters: Vec<Letter>) -> Result<(), StoreError> {
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
            // A table that somebody has locked, or that is damaged, stops every job alike: none of them is to blame.
            let nobody_goes_on = self.step.letters_done + self.step.letters_cut == 0 && !alone;
            if error.may_be_nobodys() && nobody_goes_on && found > 1 {
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
    pub(super) async fn do_all(&mut self, letters: &[Letter]) -> Result<bool, StoreError> {
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
    fn take_follow_ups(&mut self, done: &mut Done) -> Vec<Letter> {
        if !self.hopeful {
            return Vec::new();
        }
        let fan_out = done.take_fan_out(self.follow_up_writes_max, self.room);
        let changes: HashMap<ChangeNo, Arc<Change>> =
            done.changes.iter().map(|change| (change.no, Arc::clone(change))).collect();
        let mut follow_ups = Vec::with_capacity(fan_out.len());
        for new in fan_out {
            match new.to_shard(self.number(), &changes) {
                Some(letter) => follow_ups.push(letter),
                None => done.letters_new.push(new),
            }
        }
        follow_ups
    }

    /// A number for a letter that does not come to lie in a mailbox.
    fn number(&mut self) -> LetterNo {
        self.at_once += 1;
        LetterNo(-self.at_once)
    }

    /// Does letters that have just come about, in those shards that hold no others; adds the rest of them to their
    /// mailboxes. Returns what follows from them in turn.
    async fn follow(&mut self, letters: Vec<Letter>) -> Result<Vec<Letter>, StoreError> {
        let shards: BTreeSet<Shard> = letters.iter().map(Letter::shard).collect();
        let shards: Vec<Shard> = shards.into_iter().collect();
        let mut empty = self.transaction.lock_empty(&shards, &self.shards).await?;
        if empty.everybody_held {
            empty.shards.clear();
        }
        let (now, later): (Vec<Letter>, Vec<Letter>) =
            letters.into_iter().partition(|letter| empty.shards.contains(&letter.shard()));
        self.add_letters(&later).await?;
        if now.is_empty() {
            return Ok(Vec::new());
        }
        empty.shards.retain(|shard| !self.shards.contains(shard));
        self.shards.extend(empty.shards);
        self.held.extend(empty.held);
        let (writes, mut done, busy) = self.decide(&now).await?;
        if done.letters_done.len() < now.len() {
            // Not all of them can be done now, after all: nothing of this is saved.
            self.suspects.extend(busy);
            self.add_letters(&now).await?;
            return Ok(Vec::new());
        }
        let follow_ups = self.take_follow_ups(&mut done);
        self.save(writes, done, &busy).await?;
        Ok(follow_ups)
    }

    /// Adds letters to their mailboxes, to be done later.
    async fn add_letters(&mut self, letters: &[Letter]) -> Result<(), StoreError> {
        self.step.letters_new += letters.len();
        self.transaction.add_letters(letters).await
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
