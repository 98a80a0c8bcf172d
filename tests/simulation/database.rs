//! A database in memory, which stands in for Postgres at READ COMMITTED.
//!
//! Each statement sees what is committed at that moment and what its own transaction did. Locks on shards are
//! only tried, and last until the transaction ends or is rolled back to a savepoint before them. Sequences are
//! never rolled back. After an error a transaction is aborted: every statement fails until it is rolled back,
//! and its commit does nothing and says that all is well. A client that goes away leaves its transaction to
//! the server, which ends it at once or later, even by the commit that was under way.
//!
//! What is pure in `store` is used, not written again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use channel_sync::contract::Envelope;
use channel_sync::domain::catalogue::{Catalogue, Reach};
use channel_sync::domain::decide::Counts;
use channel_sync::domain::mailbox::{
    Batch, Done, FollowUp, JobDone, JobKind, JobPart, Letter, LetterNo, Progress, Recipients, Verdict, Work,
    numbers_needed,
};
use channel_sync::domain::partnership::Mode;
use channel_sync::domain::plan::Plan;
use channel_sync::domain::retry::{AfterFailure, RetryPolicy};
use channel_sync::domain::world::{World, Writes};
use channel_sync::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, SHARDS, Shard};
use channel_sync::flow::database::{Database, DatabaseSession, DatabaseTransaction};
use channel_sync::store::StoreError;
use channel_sync::store::batch::{
    Attempts, Due, Locked, PARTNERSHIPS, Taken, blocked, decides_on_partnerships, shards_read,
};
use channel_sync::store::failure::Blamed;
use channel_sync::store::intake::{self, Incoming, again, digest, first_of_each, identity};
use channel_sync::store::load::{Parties, Wanted};
use channel_sync::store::save::FoundWrongs;

use crate::checks;
use crate::rows::{Effect, EventRow, JobRow, LetterRow, PartRow, Rows, Run};
use crate::shared::{Actor, Shared, Site, pause, sleep_ms};

/// How long whoever takes messages in waits for another one, in milliseconds.
const INTAKE_LOCK_TIMEOUT_MS: i64 = 6;

/// The server: what is committed, and what is under way.
pub(crate) struct Server {
    pub(crate) rows: Arc<Rows>,
    open: BTreeMap<u64, Open>,
    last_transaction: u64,
    last_session: u64,
    last_number: i64,
    last_letter: i64,
    last_job: i64,
    last_organization: i32,
    /// Between the numbers of organizations: how many shards they are spread over.
    stride: i32,
    /// Everything that was ever done.
    pub(crate) history: Vec<Run>,
    /// How many jobs were committed for an actor that was told so.
    pub(crate) jobs_told: BTreeMap<Actor, usize>,
}

/// A transaction under way.
#[derive(Default)]
struct Open {
    actor: Actor,
    session: u64,
    /// What `now()` says in it.
    began: i64,
    lock_timeout_ms: i64,
    effects: Vec<Effect>,
    /// Locks on shards, exclusive or shared.
    shards: Vec<(Shard, bool)>,
    /// How many effects and locks there were at each savepoint.
    savepoints: Vec<(usize, usize)>,
    aborted: bool,
    committing: bool,
    /// Set where its client is gone: what becomes of it, and when.
    ends: Option<(i64, End)>,
    /// Organizations whose rows it has locked.
    rows_locked: BTreeSet<OrganizationNo>,
    /// Unique keys that it has inserted.
    keys: BTreeSet<Key>,
    /// For checks: the letters that it could have taken, and who was paused when it locked its shards.
    pub(crate) seen: BTreeSet<LetterNo>,
    pub(crate) paused: BTreeSet<Option<OrganizationNo>>,
    /// Letters that are done at once: they never lie in a mailbox.
    at_once: BTreeMap<LetterNo, Arc<LetterRow>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    RollBack,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Organization(String),
    /// Not a key, but a lock that is waited for like one: who takes messages in does so alone.
    Intake,
}

impl Server {
    pub(crate) fn new(stride: i32) -> Self {
        Self {
            rows: Arc::default(),
            open: BTreeMap::new(),
            last_transaction: 0,
            last_session: 0,
            last_number: 0,
            last_letter: 0,
            last_job: 0,
            last_organization: 0,
            stride,
            history: Vec::new(),
            jobs_told: BTreeMap::new(),
        }
    }

    /// The rows, to write them outside any transaction.
    pub(crate) fn rows_mut(&mut self) -> &mut Rows {
        Arc::make_mut(&mut self.rows)
    }

    fn number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    fn letter(&mut self) -> LetterNo {
        self.last_letter += 1;
        LetterNo(self.last_letter)
    }

    fn job(&mut self) -> i64 {
        self.last_job += 1;
        self.last_job
    }

    fn organization(&mut self) -> OrganizationNo {
        self.last_organization += self.stride;
        OrganizationNo(self.last_organization)
    }

    /// What a statement of this transaction sees.
    fn view(&self, no: u64) -> Arc<Rows> {
        let open = &self.open[&no];
        if open.effects.is_empty() {
            return Arc::clone(&self.rows);
        }
        let mut rows = Rows::clone(&self.rows);
        for effect in &open.effects {
            // What is wrong with it is told when it is committed.
            let _ = rows.apply(effect.clone());
        }
        Arc::new(rows)
    }

    fn lock_shard(&mut self, no: u64, shard: Shard, exclusive: bool) -> bool {
        let in_the_way = self.open.iter().any(|(other, open)| {
            *other != no
                && open.shards.iter().any(|(locked, theirs)| *locked == shard && (*theirs || exclusive))
        });
        if !in_the_way {
            self.mine(no).shards.push((shard, exclusive));
        }
        !in_the_way
    }

    /// Whether nobody has locked a shard.
    fn is_free(&self, shard: Shard) -> bool {
        self.open.values().all(|open| open.shards.iter().all(|(locked, _)| *locked != shard))
    }

    fn mine(&mut self, no: u64) -> &mut Open {
        self.open.get_mut(&no).unwrap()
    }

    /// Whether anybody has written anything that is not committed: nobody else gets a lock on rows then.
    pub(crate) fn rows_are_free(&self) -> bool {
        self.open.values().all(|open| open.effects.is_empty() && open.rows_locked.is_empty())
    }
}

impl Shared {
    /// Ends a transaction. True where it took effect.
    fn end(&mut self, no: u64, end: End) -> bool {
        let Some(open) = self.server.open.remove(&no) else { return false };
        let rolled_back = end == End::RollBack || open.aborted;
        self.say(open.actor, || {
            let word = if rolled_back { "rolled back" } else { "committed" };
            format!("transaction {no} is {word}, {} effects", open.effects.len())
        });
        if rolled_back {
            self.tally.rolled_back += u64::from(!open.effects.is_empty());
            return false;
        }
        for effect in open.effects {
            if let Effect::EventAdded(event) = &effect
                && self.server.rows.events.values().any(|before| before.no > event.no)
            {
                self.must_not_be(format!(
                    "the event {:?} is committed after one with a larger number",
                    event.no
                ));
            }
            match &effect {
                Effect::JobAdded(job) => self.server.history.push(Run::Job(Arc::clone(job))),
                Effect::PartDone(part) => self.server.history.push(Run::Part(Arc::clone(part))),
                _ => {}
            }
            match &effect {
                Effect::JobAdded(job) if job.done.is_none() => self.tally.given_up += 1,
                Effect::JobAdded(_) => self.tally.jobs += 1,
                Effect::LetterPostponed(..) => self.tally.postponed += 1,
                Effect::LetterCut(cut) => match cut.progress {
                    Progress::Members { .. } => self.tally.cut_by_members += 1,
                    Progress::NotBegun | Progress::Entries { .. } => self.tally.cut_by_entries += 1,
                },
                Effect::EventAdded(_) => self.tally.events += 1,
                Effect::RejectedAdded(_) => self.tally.rejected += 1,
                _ => {}
            }
            if let Err(wrong) = self.server.rows_mut().apply(effect) {
                self.must_not_be(wrong);
            }
        }
        true
    }

    /// The client is gone; the server may notice later, and the commit that was under way may still come.
    fn abandon(&mut self, no: u64) {
        let Some(open) = self.server.open.get(&no) else { return };
        if open.ends.is_some() {
            return;
        }
        let committing = open.committing;
        let end = if committing && self.random.chance(50) { End::Commit } else { End::RollBack };
        let lingering = self.rates.lingering;
        if self.happens(lingering) {
            let at = self.now + 1 + self.random.below(8) as i64;
            self.server.mine(no).ends = Some((at, end));
        } else {
            self.end(no, end);
        }
    }

    /// Ends the transactions whose clients are gone and whose time has come.
    pub(crate) fn end_abandoned(&mut self) {
        let now = self.now;
        let due =
            |(no, open): (&u64, &Open)| open.ends.filter(|(at, _)| *at <= now).map(|(_, end)| (*no, end));
        let due: Vec<(u64, End)> = self.server.open.iter().filter_map(due).collect();
        for (no, end) in due {
            self.end(no, end);
        }
    }

    /// A job that may be replayed: one that was given up, where there is one and `given_up` says so, or one
    /// that is recomputed.
    pub(crate) fn replayable(&self, given_up: bool) -> Vec<(CauseNo, OrganizationNo)> {
        let jobs = || self.server.rows.jobs.iter();
        let of = |(key, _): (&(CauseNo, OrganizationNo), &Arc<JobRow>)| *key;
        let failed: Vec<_> = jobs().filter(|(_, job)| job.done.is_none()).map(of).collect();
        if given_up {
            return failed;
        }
        let is_recomputed = |job: &JobDone| matches!(job.kind, JobKind::SyncChange | JobKind::Reconcile);
        jobs().filter(|(_, job)| job.done.as_ref().is_some_and(is_recomputed)).map(of).collect()
    }

    /// Sends a job once more, as the replayer does: in a transaction that has its shard alone. False where
    /// somebody works there.
    pub(crate) fn replay(&mut self, key: (CauseNo, OrganizationNo)) -> bool {
        if !self.server.is_free(key.1.shard()) {
            return false;
        }
        self.tally.replayed += 1;
        self.say(0, || format!("the job {key:?} is sent once more"));
        let (letter, no, now) = (self.server.letter(), self.server.job(), self.now);
        self.server.rows_mut().replay(key, letter, now);
        self.server.history.push(Run::Replayed(no, key.0, key.1));
        true
    }

    /// A job that waits for its next attempt is due now, by the replayer too, and where nobody works there.
    pub(crate) fn retry_now(&mut self, no: LetterNo) {
        let now = self.now;
        let Some(row) = self.server.rows.letters.get(&no).map(Arc::clone) else { return };
        if row.attempts > 0 && self.server.is_free(row.shard()) {
            let row = LetterRow { run_at: now, ..LetterRow::clone(&row) };
            self.server.rows_mut().letters.insert(no, Arc::new(row));
        }
    }

    /// Whether a transaction is left whose client is gone.
    pub(crate) fn any_abandoned(&self) -> bool {
        self.server.open.values().any(|open| open.ends.is_some())
    }
}

/// The database, as one ingest or executor has it.
#[derive(Clone)]
pub(crate) struct Memory {
    site: Site,
    actor: Actor,
}

impl Memory {
    pub(crate) fn new(site: &Site, actor: Actor) -> Self {
        Self { site: site.clone(), actor }
    }

    /// A round trip: true where it takes effect, false where the connection is lost before.
    async fn round_trip(&self, what: &'static str) -> Result<(), StoreError> {
        pause().await;
        let delay_ms = {
            let mut shared = self.site.lock();
            let Shared { rates, .. } = &*shared;
            let (lost, slow) = (rates.lost, rates.slow);
            if shared.happens(lost) {
                shared.tally.lost_calls += 1;
                shared.say(self.actor, || format!("{what}: the connection is lost"));
                return Err(unreachable());
            }
            if shared.happens(slow) { 1 + shared.random.below(6) as i64 } else { 0 }
        };
        if delay_ms > 0 {
            sleep_ms(delay_ms).await;
        }
        Ok(())
    }
}

fn unreachable() -> StoreError {
    StoreError::Unreachable("the connection is lost".to_owned())
}

/// What Postgres says to a statement in a transaction in which one has failed (25P02).
fn aborted() -> StoreError {
    StoreError::Refused("the transaction is aborted".to_owned())
}

/// A connection.
pub(crate) struct Session {
    memory: Memory,
    no: u64,
}

impl DatabaseSession for Session {
    type Transaction<'a> = Transaction;

    async fn shards_due(&mut self, among: &[Shard], letters_max: usize) -> Result<Vec<Due>, StoreError> {
        self.memory.round_trip("look for due shards").await?;
        let shared = self.memory.site.lock();
        let (rows, now) = (&shared.server.rows, shared.now);
        if rows.paused.contains(&None) {
            return Ok(Vec::new());
        }
        let mut held: BTreeSet<OrganizationNo> = rows.paused.iter().copied().flatten().collect();
        held.extend(waiting_for_later(rows, now, |_| true));
        let mut shards: BTreeMap<Shard, Vec<&Arc<LetterRow>>> = BTreeMap::new();
        for row in rows.letters.values().filter(|row| row.is_due(now) && among.contains(&row.shard())) {
            if row.organization().is_none_or(|organization| !held.contains(&organization)) {
                shards.entry(row.shard()).or_default().push(row);
            }
        }
        let due = shards.into_iter().map(|(shard, mut rows)| {
            rows.sort_by_key(|row| row.turn());
            rows.truncate(letters_max);
            Due { shard, letters: rows.len() as i64, weight: rows.iter().map(|row| row.letter.weight).sum() }
        });
        Ok(due.collect())
    }

    async fn begin(&mut self) -> Result<Transaction, StoreError> {
        self.memory.round_trip("begin").await?;
        let mut shared = self.memory.site.lock();
        // What was before on this connection comes to its end first.
        let before = |(no, open): (&u64, &Open)| (open.session == self.no).then_some((*no, open.ends?.1));
        let before: Vec<(u64, End)> = shared.server.open.iter().filter_map(before).collect();
        for (no, end) in before {
            shared.end(no, end);
        }
        let began = shared.now;
        let server = &mut shared.server;
        server.last_transaction += 1;
        let no = server.last_transaction;
        let actor = self.memory.actor;
        let lock_timeout_ms = INTAKE_LOCK_TIMEOUT_MS;
        let open = Open { actor, session: self.no, began, lock_timeout_ms, ..Open::default() };
        server.open.insert(no, open);
        shared.say(actor, || format!("begins transaction {no}"));
        Ok(Transaction { memory: self.memory.clone(), no })
    }
}

/// A transaction, as its client has it.
pub(crate) struct Transaction {
    memory: Memory,
    no: u64,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.memory.site.lock().abandon(self.no);
    }
}

impl Transaction {
    async fn statement(&self, what: &'static str) -> Result<(), StoreError> {
        if let Err(error) = self.memory.round_trip(what).await {
            // Whatever the server has of it is rolled back, now or later.
            self.memory.site.lock().abandon(self.no);
            return Err(error);
        }
        match self.memory.site.lock().server.open.get(&self.no) {
            Some(open) if open.ends.is_some() => Err(unreachable()),
            Some(open) if open.aborted => Err(aborted()),
            Some(_) => Ok(()),
            None => Err(unreachable()),
        }
    }

    /// A statement failed: nothing but a rollback goes on.
    fn fail(&self, shared: &mut Shared, error: StoreError) -> StoreError {
        shared.say(self.memory.actor, || format!("transaction {}: {error}", self.no));
        shared.server.mine(self.no).aborted = true;
        error
    }

    /// Waits for rows that somebody else has locked, as long as the lock timeout.
    async fn wait_while(
        &self,
        statement: &'static str,
        is_locked: impl Fn(&Shared) -> bool + Send,
    ) -> Result<(), StoreError> {
        let began = self.memory.site.lock().now;
        loop {
            {
                let mut shared = self.memory.site.lock();
                if !is_locked(&shared) {
                    return Ok(());
                }
                if shared.now - began >= shared.server.open[&self.no].lock_timeout_ms {
                    let reason = "somebody else has locked rows".to_owned();
                    return Err(self.fail(&mut shared, StoreError::LockTimeout { statement, reason }));
                }
            }
            sleep_ms(1).await;
        }
    }

    /// Waits while another transaction is about to insert one of these keys.
    async fn wait_for_keys(&self, statement: &'static str, keys: &BTreeSet<Key>) -> Result<(), StoreError> {
        self.wait_while(statement, |shared| {
            let others = shared.server.open.iter().filter(|(no, _)| **no != self.no);
            others.into_iter().any(|(_, open)| !open.keys.is_disjoint(keys))
        })
        .await
    }
}

// Taking messages in: `store::intake`, statement by statement.
impl Transaction {
    async fn add_organizations(&self, events: &[&Envelope]) -> Result<(), StoreError> {
        self.statement("find organizations").await?;
        let named = events.iter().flat_map(|envelope| envelope.event.organizations());
        let named: BTreeSet<String> = named.map(ToString::to_string).collect();
        let missing = |shared: &Shared| -> BTreeSet<String> {
            let rows = shared.server.view(self.no);
            named.iter().filter(|id| !rows.organizations.contains_key(*id)).cloned().collect()
        };
        let keys = missing(&self.memory.site.lock()).into_iter().map(Key::Organization).collect();
        self.wait_for_keys("organizations_add", &keys).await?;
        let mut shared = self.memory.site.lock();
        for id in missing(&shared) {
            let no = shared.server.organization();
            let open = shared.server.mine(self.no);
            open.keys.insert(Key::Organization(id.clone()));
            open.effects.push(Effect::OrganizationAdded(id, no));
        }
        Ok(())
    }

    /// Waits until nobody else takes messages in.
    async fn lock_intake(&self) -> Result<(), StoreError> {
        self.statement("lock the intake").await?;
        let lock = BTreeSet::from([Key::Intake]);
        self.wait_for_keys("intake_lock", &lock).await?;
        self.memory.site.lock().server.mine(self.no).keys.extend(lock);
        Ok(())
    }

    /// As many numbers, for events and rejected messages.
    async fn numbers(&self, count: usize) -> Result<Vec<i64>, StoreError> {
        self.statement("take numbers").await?;
        let mut shared = self.memory.site.lock();
        Ok((0..count).map(|_| shared.server.number()).collect())
    }

    /// Adds the events that are new; tells what became of them, by place. None can have come about since they were
    /// looked up: nobody else takes messages in.
    async fn add_events(
        &self,
        catalogue: &Catalogue,
        events: &[(usize, &Envelope)],
        numbers: &[i64],
    ) -> Result<HashMap<usize, intake::Taken>, StoreError> {
        if events.is_empty() {
            return Ok(HashMap::new());
        }
        self.add_organizations(&events.iter().map(|(_, envelope)| *envelope).collect::<Vec<_>>()).await?;
        self.statement("load contents").await?;
        let known = Arc::clone(&self.memory.site.lock().server.view(self.no));
        self.statement("add events").await?;
        let mut shared = self.memory.site.lock();
        let mut taken = HashMap::new();
        for (place, envelope) in events {
            let identity = identity(envelope);
            if known.events.contains_key(&identity) {
                continue;
            }
            let no = EventNo(numbers[*place]);
            let work = envelope.event.work(|id| known.organizations[id]);
            let ignored = matches!(&work, Work::OwnChange { category, .. }
                if catalogue.get(*category).reach == Reach::Never);
            let weight = match &work {
                Work::OwnChange { edit, .. } => edit.len() as i64,
                _ => 1,
            };
            let letter = new_letter(shared.server.letter(), Position(no.0), no, work.clone(), weight);
            let (now, actor) = (shared.server.open[&self.no].began, self.memory.actor);
            shared.say(actor, || format!("adds the event {no:?}, {:?}", identity.1));
            let open = shared.server.mine(self.no);
            let (content, values) = (envelope.content, envelope.values.clone());
            let event = EventRow { no, identity, content, work, values };
            open.effects.push(Effect::EventAdded(Arc::new(event)));
            if !ignored {
                let row = LetterRow { letter, attempts: 0, attempts_before: 0, run_at: now };
                open.effects.push(Effect::LetterAdded(Arc::new(row)));
            }
            let one = if ignored { intake::Taken::Ignored(no) } else { intake::Taken::Accepted(no) };
            taken.insert(*place, one);
        }
        Ok(taken)
    }

    async fn add_rejected(&self, incoming: &[Incoming], taken: &[intake::Taken]) -> Result<(), StoreError> {
        let rejected = incoming.iter().zip(taken);
        let rejected: Vec<&Incoming> = rejected
            .filter(|(_, taken)| matches!(taken, intake::Taken::Rejected(_)))
            .map(|(one, _)| one)
            .collect();
        if rejected.is_empty() {
            return Ok(());
        }
        let digests = rejected.into_iter().map(|one| digest(&one.message));
        let digests = digests.collect::<Result<BTreeSet<[u8; 32]>, StoreError>>()?;
        self.statement("add rejected messages").await?;
        let mut shared = self.memory.site.lock();
        let known: BTreeSet<[u8; 32]> = shared.server.view(self.no).rejected.iter().copied().collect();
        for digest in digests.difference(&known) {
            shared.say(self.memory.actor, || "adds a rejected message".to_owned());
            shared.server.mine(self.no).effects.push(Effect::RejectedAdded(*digest));
        }
        Ok(())
    }
}

fn new_letter(no: LetterNo, position: Position, event: EventNo, work: Work, weight: i64) -> Letter {
    let (replay, progress) = (false, Progress::NotBegun);
    Letter { no, position, event, work, replay, progress, weight }
}

impl Database for Memory {
    type Session = Session;

    async fn take_in(
        &self,
        catalogue: &Catalogue,
        incoming: &[Incoming],
    ) -> Result<Vec<intake::Taken>, StoreError> {
        let transaction = self.session().await?.begin().await?;
        transaction.lock_intake().await?;
        let numbers = transaction.numbers(incoming.len()).await?;
        let mut taken: Vec<Option<intake::Taken>> = incoming.iter().map(|_| None).collect();
        let events: Vec<(usize, &Envelope)> = first_of_each(incoming).collect();
        for (place, one) in transaction.add_events(catalogue, &events, &numbers).await? {
            taken[place] = Some(one);
        }
        let rows = self.site.lock().server.view(transaction.no);
        let taken: Vec<intake::Taken> = incoming
            .iter()
            .zip(taken)
            .map(|(one, taken)| match (taken, &one.decoded) {
                (Some(taken), _) => taken,
                (None, Ok(envelope)) => {
                    again(envelope, rows.events.get(&identity(envelope)).map(|event| &event.content))
                }
                (None, Err(rejection)) => intake::Taken::Rejected(rejection.clone()),
            })
            .collect();
        transaction.add_rejected(incoming, &taken).await?;
        transaction.commit().await?;
        Ok(taken)
    }

    async fn session(&self) -> Result<Session, StoreError> {
        self.round_trip("connect").await?;
        let mut shared = self.site.lock();
        shared.server.last_session += 1;
        Ok(Session { memory: self.clone(), no: shared.server.last_session })
    }
}

/// Organizations that wait for a letter which is not due yet.
fn waiting_for_later(
    rows: &Rows,
    now: i64,
    in_shard: impl Fn(Shard) -> bool,
) -> impl Iterator<Item = OrganizationNo> {
    let late = move |row: &&Arc<LetterRow>| in_shard(row.shard()) && !row.is_due(now);
    rows.letters.values().filter(late).filter_map(|row| row.organization())
}

impl DatabaseTransaction for Transaction {
    async fn lock_shards(
        &self,
        shards: &[Shard],
        shards_max: usize,
        lock_timeout: Duration,
    ) -> Result<Locked, StoreError> {
        self.statement("lock shards").await?;
        let locked: Vec<Shard> = {
            let mut shared = self.memory.site.lock();
            shared.server.mine(self.no).lock_timeout_ms = (lock_timeout.as_millis() as i64).max(1);
            let locked =
                shards.iter().copied().filter(|shard| shared.server.lock_shard(self.no, *shard, true));
            locked.take(shards_max).collect()
        };
        self.statement("look who is held").await?;
        let mut shared = self.memory.site.lock();
        let began = shared.server.open[&self.no].began;
        let rows = &shared.server.rows;
        let paused = rows.paused.clone();
        let mut held: HashSet<OrganizationNo> = paused.iter().copied().flatten().collect();
        held.extend(waiting_for_later(rows, began, |shard| shards.contains(&shard)));
        shared.say(self.memory.actor, || format!("has {locked:?}, held are {:?}", sorted(&held)));
        let everybody_held = paused.contains(&None);
        shared.server.mine(self.no).paused = paused;
        Ok(Locked { shards: locked, held, everybody_held })
    }

    async fn lock_empty(&self, shards: &[Shard], locked: &[Shard]) -> Result<Locked, StoreError> {
        self.statement("lock shards for what follows").await?;
        let locked: Vec<Shard> = {
            let server = &mut self.memory.site.lock().server;
            let rows = server.view(self.no);
            let is_empty = |shard: &Shard| rows.letters.values().all(|row| row.shard() != *shard);
            let mut is_locked = |shard: &Shard| {
                locked.contains(shard) || is_empty(shard) && server.lock_shard(self.no, *shard, true)
            };
            shards.iter().copied().filter(|shard| is_locked(shard)).collect()
        };
        self.statement("look who is held").await?;
        let paused = self.memory.site.lock().server.rows.paused.clone();
        self.statement("look which shards are empty").await?;
        let mut shared = self.memory.site.lock();
        let rows = shared.server.view(self.no);
        let is_empty = |shard: &Shard| rows.letters.values().all(|row| row.shard() != *shard);
        let empty: Vec<Shard> = locked.into_iter().filter(is_empty).collect();
        shared.say(self.memory.actor, || format!("has {empty:?}, which are empty"));
        let open = shared.server.mine(self.no);
        open.seen.extend(rows.letters.keys());
        let everybody_held = paused.contains(&None);
        let held = paused.iter().copied().flatten().collect();
        open.paused.extend(paused);
        Ok(Locked { shards: empty, held, everybody_held })
    }

    async fn take_letters(
        &self,
        _catalogue: &Catalogue,
        shards: &[Shard],
        (letters_max, weight_max): (i64, i64),
        held: &HashSet<OrganizationNo>,
    ) -> Result<Taken, StoreError> {
        self.statement("take letters").await?;
        let mut shared = self.memory.site.lock();
        let began = shared.server.open[&self.no].began;
        let rows = shared.server.view(self.no);
        let unreadable = shared.troubles.unreadable.clone();
        shared.server.mine(self.no).seen.extend(rows.letters.keys());
        let mut taken = Taken::default();
        for shard in shards {
            let is_free = |row: &&Arc<LetterRow>| row.organization().is_none_or(|one| !held.contains(&one));
            let due = rows.letters.values().filter(|row| row.shard() == *shard && row.is_due(began));
            let mut due: Vec<&Arc<LetterRow>> = due.filter(is_free).collect();
            due.sort_by_key(|row| row.turn());
            due.truncate(letters_max as usize);
            let (mut before, mut begun) = (0, false);
            let mut heavy_causes = BTreeSet::new();
            for row in due {
                if before >= weight_max {
                    break;
                }
                let (no, cause, weight) = (row.letter.no, row.cause(), row.letter.weight);
                before += match &row.letter.work {
                    Work::Reconcile(_) => 0,
                    _ if weight <= weight_max / 8 => weight,
                    _ if heavy_causes.insert(cause) => weight_max / 8,
                    _ => 0,
                };
                if unreadable.contains(&cause) {
                    if !begun {
                        let (what, reason) = (format!("letter {}", no.0), "it is garbled".to_owned());
                        taken.unreadable.push((no, StoreError::Row { what, reason }));
                    }
                    break;
                }
                begun = true;
                if let (Some(organization), attempts @ 1..) =
                    (row.organization(), row.attempts_before + row.attempts)
                {
                    taken.attempts.insert((cause, organization), attempts);
                }
                taken.letters.push(row.letter.clone());
            }
        }
        shared.say(self.memory.actor, || {
            let nos: Vec<i64> = taken.letters.iter().map(|letter| letter.no.0).collect();
            format!("takes the letters {nos:?}, held are {:?}", sorted(held))
        });
        Ok(taken)
    }

    async fn prepare(
        &self,
        catalogue: &Catalogue,
        locked: &[Shard],
        letters: Vec<Letter>,
        held: HashSet<OrganizationNo>,
        writes_max: usize,
    ) -> Result<(World, Batch), StoreError> {
        self.statement("lock for reading").await?;
        {
            let mut shared = self.memory.site.lock();
            let open = shared.server.mine(self.no);
            for letter in letters.iter().filter(|letter| !letter.no.is_stored()) {
                let (letter, run_at) = (letter.clone(), open.began);
                let row = LetterRow { letter, attempts: 0, attempts_before: 0, run_at };
                open.at_once.insert(row.letter.no, Arc::new(row));
            }
        }
        let readable: HashSet<Shard> = {
            let server = &mut self.memory.site.lock().server;
            let shards = shards_read(&letters, locked).into_iter();
            let mut readable: HashSet<Shard> =
                shards.filter(|shard| server.lock_shard(self.no, *shard, false)).collect();
            if letters.iter().any(decides_on_partnerships) && server.lock_shard(self.no, PARTNERSHIPS, true) {
                readable.insert(PARTNERSHIPS);
            }
            readable
        };
        self.statement("form the batch").await?;
        let mut batch = {
            let rows = self.memory.site.lock().server.view(self.no);
            form_batch(&rows, locked, letters, held, &readable)
        };
        if batch.letters.iter().any(|letter| letter.replay) {
            self.statement("look what is newer").await?;
            let rows = self.memory.site.lock().server.view(self.no);
            let replays = batch.letters.iter().filter(|letter| letter.replay);
            let overtaken = replays.filter_map(|letter| Some((letter.no, rows.overtaken(letter)?)));
            batch.overtaken = overtaken.collect();
        }
        let mut world = World::default();
        self.statement("load partnerships").await?;
        let parties = Parties::of(&batch);
        self.memory.site.lock().server.view(self.no).load_partnerships(&mut world, &parties);
        batch.plan = Plan::of(&world, catalogue, &batch, writes_max);
        self.statement("load settings").await?;
        let wanted = Wanted::of(&world, catalogue, &batch);
        self.memory.site.lock().server.view(self.no).load(&mut world, catalogue, &wanted);
        self.statement("take numbers").await?;
        let needed = numbers_needed(&world, catalogue, &batch);
        let server = &mut self.memory.site.lock().server;
        batch.numbers = (0..needed).map(|_| ChangeNo(server.number())).collect();
        Ok((world, batch))
    }

    async fn busy(
        &self,
        _catalogue: &Catalogue,
        letters: &[Letter],
        writes: &Writes,
        done: &Done,
    ) -> Result<HashSet<OrganizationNo>, StoreError> {
        self.statement("look for locked rows").await?;
        let mut shared = self.memory.site.lock();
        let touched = touched(&shared.server.view(self.no), letters, writes, done);
        let (busy, free): (BTreeSet<_>, BTreeSet<_>) =
            touched.into_iter().partition(|organization| shared.troubles.locked.contains(organization));
        shared.server.mine(self.no).rows_locked.extend(free);
        Ok(busy.into_iter().collect())
    }

    async fn busy_letters(&self, letters: &[Letter]) -> Result<HashSet<LetterNo>, StoreError> {
        self.statement("look for locked letters").await?;
        let shared = self.memory.site.lock();
        let nos = letters.iter().map(|letter| letter.no);
        Ok(nos.filter(|no| shared.troubles.locked_letters.contains(no)).collect())
    }

    async fn save(
        &self,
        catalogue: &Catalogue,
        writes: &Writes,
        done: &Done,
        attempts: &Attempts,
    ) -> Result<FoundWrongs, StoreError> {
        self.statement("save").await?;
        self.wait_while("save", |shared| {
            let rows = shared.server.view(self.no);
            let letters: Vec<Letter> = done
                .letters_done
                .iter()
                .filter_map(|no| Some(rows.letters.get(no)?.letter.clone()))
                .collect();
            let troubles = &shared.troubles;
            troubles.tables_locked
                || !troubles.locked.is_disjoint(&touched(&rows, &letters, writes, done))
                || done.letters_done.iter().any(|no| troubles.locked_letters.contains(no))
                || done.letters_cut.iter().any(|cut| troubles.locked_letters.contains(&cut.no))
        })
        .await?;
        let mut guard = self.memory.site.lock();
        let shared = &mut *guard;
        let put = writes.entries_put().map(|(address, _)| address).chain(&writes.entries_removed);
        let written =
            put.map(|address| address.0).chain(writes.partnerships.iter().map(|one| one.downstream));
        let poisoned = written.into_iter().find(|one| shared.troubles.poisoned.contains(one));
        let mut rows = shared.server.view(self.no);
        let Open { seen, paused, at_once, .. } = &shared.server.open[&self.no];
        Arc::make_mut(&mut rows).letters.extend(at_once.clone());
        let saved = checks::saved(catalogue, &rows, seen, paused, done, writes, attempts);
        let work_done = match saved {
            Ok(in_order) => in_order,
            Err(wrong) => {
                shared.must_not_be(wrong);
                Vec::new()
            }
        };
        let began = shared.server.open[&self.no].began;
        let mut effects = vec![Effect::Written(Box::new(writes.clone()))];
        effects.extend(done.changes.iter().cloned().map(Effect::ChangeAdded));
        effects.extend(done.reconciles.iter().copied().map(Effect::ReconcileAdded));
        let (gone, at_once): (Vec<LetterNo>, Vec<LetterNo>) =
            done.letters_done.iter().partition(|no| no.is_stored());
        effects.extend(gone.into_iter().map(Effect::LetterRemoved));
        shared.tally.at_once += at_once.len() as u64;
        effects.extend(new_letters(shared, began, &rows, done));
        effects.extend(done.letters_cut.iter().cloned().map(Effect::LetterCut));
        for one in work_done {
            let no = shared.server.job();
            effects.push(match one {
                checks::Saved::Job(job) => {
                    let (cause, organization, done) = (job.cause, job.organization, Some(job.clone()));
                    let attempts = attempts.get(&(cause, organization)).copied().unwrap_or(0) + 1;
                    let counts = job.counts;
                    Effect::JobAdded(Arc::new(JobRow { cause, organization, no, attempts, counts, done }))
                }
                checks::Saved::Part(part, through) => {
                    let JobPart { cause, organization, displaced } = part.clone();
                    let through = through.clone();
                    Effect::PartDone(Arc::new(PartRow { cause, organization, no, through, displaced }))
                }
            });
        }
        effects.extend(done.verdicts.iter().map(|(event, verdict)| Effect::Settled(*event, verdict.clone())));
        shared.say(self.memory.actor, || {
            let jobs = done.jobs.iter().map(|job| (job.kind, job.cause.0, job.organization.0));
            let gone: Vec<i64> = done.letters_done.iter().map(|no| no.0).collect();
            let cut: Vec<_> = done.letters_cut.iter().map(|cut| (cut.no.0, &cut.progress)).collect();
            format!("saves {:?} for the letters {gone:?}, and parts: {cut:?}", jobs.collect::<Vec<_>>())
        });
        let open = shared.server.mine(self.no);
        open.rows_locked.extend(touched(&rows, &[], writes, done));
        open.effects.extend(effects);
        // Found by the last of the statements: what the others did must be undone.
        if let Some(poisoned) = poisoned {
            let (what, reason) = (format!("a setting of {poisoned:?}"), "it is refused".to_owned());
            return Err(self.fail(shared, StoreError::Row { what, reason }));
        }
        Ok(FoundWrongs::new())
    }

    async fn add_letters(&self, letters: &[Letter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.statement("add letters").await?;
        let server = &mut self.memory.site.lock().server;
        let run_at = server.open[&self.no].began;
        for letter in letters {
            let letter = Letter { no: server.letter(), ..letter.clone() };
            let row = LetterRow { letter, attempts: 0, attempts_before: 0, run_at };
            server.mine(self.no).effects.push(Effect::LetterAdded(Arc::new(row)));
        }
        Ok(())
    }

    async fn savepoint(&self) -> Result<(), StoreError> {
        self.statement("savepoint").await?;
        let server = &mut self.memory.site.lock().server;
        let open = server.mine(self.no);
        open.savepoints.push((open.effects.len(), open.shards.len()));
        Ok(())
    }

    async fn release_savepoint(&self) -> Result<(), StoreError> {
        self.statement("release the savepoint").await?;
        self.memory.site.lock().server.mine(self.no).savepoints.pop();
        Ok(())
    }

    async fn roll_back_to_savepoint(&self) -> Result<(), StoreError> {
        match self.statement("roll back to the savepoint").await {
            // What an aborted transaction is for.
            Ok(()) | Err(StoreError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        let server = &mut self.memory.site.lock().server;
        let open = server.mine(self.no);
        let (effects, shards) = open.savepoints.pop().unwrap();
        open.effects.truncate(effects);
        // Locks go with the part that took them.
        open.shards.truncate(shards);
        open.aborted = false;
        Ok(())
    }

    async fn first_letters(
        &self,
        organizations: &HashSet<OrganizationNo>,
    ) -> Result<Vec<LetterNo>, StoreError> {
        self.statement("look for first letters").await?;
        let shared = self.memory.site.lock();
        let rows = shared.server.view(self.no);
        let first = |organization| {
            let theirs = rows.letters.values().filter(|row| row.organization() == Some(organization));
            theirs.min_by_key(|row| row.turn()).map(|row| row.letter.no)
        };
        Ok(sorted(organizations).into_iter().filter_map(first).collect())
    }

    async fn blame(
        &self,
        letters: &[LetterNo],
        error: &StoreError,
        policy: &RetryPolicy,
    ) -> Result<Vec<Blamed>, StoreError> {
        self.statement("blame letters").await?;
        let is_locked = |shared: &Shared| {
            let troubles = &shared.troubles;
            troubles.tables_locked || letters.iter().any(|no| troubles.locked_letters.contains(no))
        };
        self.wait_while("letters_postpone", is_locked).await?;
        let mut guard = self.memory.site.lock();
        let shared = &mut *guard;
        let rows = shared.server.view(self.no);
        let mut blamed_rows: Vec<&Arc<LetterRow>> =
            letters.iter().filter_map(|no| rows.letters.get(no)).collect();
        blamed_rows.sort_by_key(|row| row.turn());
        let mut all = Vec::new();
        for row in blamed_rows {
            let (no, cause) = (row.letter.no, row.cause());
            let Some(organization) = row.organization() else {
                all.push(self.split(shared, &rows, row));
                continue;
            };
            shared.say(self.memory.actor, || format!("blames letter {} of {organization:?}: {error}", no.0));
            let kind = row.letter.work.kind();
            let seen = &shared.server.open[&self.no].seen;
            if let Err(wrong) = checks::blamed(&rows, seen, &shared.troubles, row, error) {
                shared.must_not_be(wrong);
            }
            match policy.after(row.attempts + 1, no.0) {
                AfterFailure::Retry { delay_ms } => {
                    let postponed = Effect::LetterPostponed(no, shared.now + delay_ms);
                    shared.server.mine(self.no).effects.push(postponed);
                    all.push(Blamed::Postponed { organization, kind, delay_ms });
                }
                AfterFailure::GiveUp => {
                    let (no_of_job, done) = (shared.server.job(), None);
                    let attempts = row.attempts_before + row.attempts + 1;
                    let counts = match &row.letter.progress {
                        Progress::Entries { counts, .. } => *counts,
                        Progress::NotBegun | Progress::Members { .. } => Counts::default(),
                    };
                    let job = JobRow { cause, organization, no: no_of_job, attempts, counts, done };
                    let gone = [Effect::JobAdded(Arc::new(job)), Effect::LetterRemoved(no)];
                    shared.server.mine(self.no).effects.extend(gone);
                    all.push(Blamed::GivenUp { organization, kind });
                }
            }
        }
        Ok(all)
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.memory.site.lock().server.mine(self.no).committing = true;
        let arrived = self.memory.round_trip("commit").await;
        {
            let mut shared = self.memory.site.lock();
            if arrived.is_err() {
                shared.server.mine(self.no).committing = false;
                shared.abandon(self.no);
                return Err(unreachable());
            }
            let unanswered = shared.rates.unanswered;
            if shared.happens(unanswered) {
                shared.tally.unanswered_commits += 1;
                shared.say(self.memory.actor, || "commit: no answer".to_owned());
                match shared.random.below(3) {
                    0 => drop(shared.end(self.no, End::Commit)),
                    1 => drop(shared.end(self.no, End::RollBack)),
                    // It is in the air.
                    _ => shared.abandon(self.no),
                }
                return Err(unreachable());
            }
            let jobs = |effect: &&Effect| matches!(effect, Effect::JobAdded(job) if job.done.is_some());
            let jobs = shared.server.open[&self.no].effects.iter().filter(jobs).count();
            if shared.end(self.no, End::Commit) {
                *shared.server.jobs_told.entry(self.memory.actor).or_default() += jobs;
            }
        }
        // Who dies here never knows that it took effect.
        pause().await;
        Ok(())
    }
}

impl Transaction {
    /// A letter to many becomes one for each of them.
    fn split(&self, shared: &mut Shared, rows: &Rows, row: &LetterRow) -> Blamed {
        shared.tally.split += 1;
        let Work::SyncChange { change, .. } = &row.letter.work else {
            shared.must_not_be("a letter to many that is no sync-change");
            return Blamed::Split { into: Vec::new() };
        };
        let may_reach =
            |one: &OrganizationNo| rows.partnerships[&(change.organization, *one)].mode() != Mode::Off;
        let recipients: Vec<OrganizationNo> = rows.recipients(row).into_iter().filter(may_reach).collect();
        let weight = 1 + row.letter.weight / (recipients.len() as i64).max(1);
        let began = shared.server.open[&self.no].began;
        let mut into = Vec::new();
        for organization in recipients {
            let no = shared.server.letter();
            let to = Recipients::One(organization);
            let work = Work::SyncChange { change: Arc::clone(change), to };
            let letter = new_letter(no, row.letter.position, row.letter.event, work, weight);
            let row = LetterRow { letter, attempts: 0, attempts_before: 0, run_at: began };
            shared.server.mine(self.no).effects.push(Effect::LetterAdded(Arc::new(row)));
            into.push((no, organization));
        }
        shared.say(self.memory.actor, || format!("splits letter {} into {into:?}", row.letter.no.0));
        shared.server.mine(self.no).effects.push(Effect::LetterRemoved(row.letter.no));
        Blamed::Split { into }
    }
}

/// Letters that follow, as they are added.
fn new_letters(shared: &mut Shared, began: i64, rows: &Rows, done: &Done) -> Vec<Effect> {
    let mut effects = Vec::new();
    for new in &done.letters_new {
        let mut weight = new.weight;
        let work = match new.work {
            FollowUp::SyncChange(no, to) => {
                let change = done.changes.iter().find(|change| change.no == no);
                let change = Arc::clone(change.unwrap_or_else(|| &rows.changes[&no]));
                Work::SyncChange { change, to }
            }
            FollowUp::Reconcile(no, _) => {
                let reconcile = *done.reconciles.iter().find(|reconcile| reconcile.no == no).unwrap();
                let parties = [reconcile.upstream, reconcile.downstream];
                weight = rows.settings.keys().filter(|(one, _, _)| parties.contains(one)).count() as i64;
                Work::Reconcile(reconcile)
            }
        };
        let no = shared.server.letter();
        let letter = new_letter(no, new.position, new.event, work, weight);
        let letter = Letter { replay: new.replay, ..letter };
        let row = LetterRow { letter, attempts: 0, attempts_before: 0, run_at: began };
        effects.push(Effect::LetterAdded(Arc::new(row)));
    }
    effects
}

/// What must be known of letters outside a batch.
fn form_batch(
    rows: &Rows,
    locked: &[Shard],
    letters: Vec<Letter>,
    held: HashSet<OrganizationNo>,
    readable: &HashSet<Shard>,
) -> Batch {
    let mut waiting = blocked(&letters, locked, readable);
    let inside: HashSet<LetterNo> = letters.iter().map(|letter| letter.no).collect();
    let outside: Vec<&Arc<LetterRow>> =
        rows.letters.values().filter(|row| !inside.contains(&row.letter.no)).collect();
    for letter in &letters {
        let Some(upstream) = letter.reads() else { continue };
        let is_earlier = |row: &&Arc<LetterRow>| {
            row.organization() == Some(upstream) && row.letter.position < letter.position
        };
        if outside.iter().any(is_earlier) || is_told_first(rows, outside.iter().copied(), letter) {
            waiting.insert(letter.no);
        }
    }
    let partnerships = outside.iter().filter(|row| decides_on_partnerships(&row.letter));
    let first_partnership_outside = partnerships.map(|row| row.letter.position).min();
    Batch { letters, held, waiting, first_partnership_outside, ..Batch::default() }
}

/// Whether a letter changes a partnership over which one of these brings a change that comes first.
pub(crate) fn is_told_first<'a>(
    rows: &Rows,
    others: impl IntoIterator<Item = &'a Arc<LetterRow>>,
    letter: &Letter,
) -> bool {
    let Work::PartnershipChange { upstream, downstream, .. } = letter.work else { return false };
    let brings = |row: &&Arc<LetterRow>| {
        matches!(&row.letter.work, Work::SyncChange { change, to: Recipients::Shard(shard) }
            if change.organization == upstream && *shard == downstream.shard())
    };
    rows.partnerships.contains_key(&(upstream, downstream))
        && others.into_iter().filter(brings).any(|row| row.letter.position < letter.position)
}

/// Organizations to whose rows, as far as they are there, these writes come.
fn touched(rows: &Rows, letters: &[Letter], writes: &Writes, done: &Done) -> BTreeSet<OrganizationNo> {
    let mut touched = BTreeSet::new();
    let put = writes.entries_put().map(|(address, _)| address).chain(&writes.entries_removed);
    touched.extend(put.filter(|address| rows.settings.contains_key(address)).map(|address| address.0));
    let declined = writes.declined_put.iter().map(|(one, _)| one).chain(&writes.declined_removed);
    touched.extend(declined.filter(|one| rows.declined.contains_key(one)).map(|one| one.downstream));
    let partnerships = writes.partnerships.iter();
    let known = |one: &&_| rows.partnerships.contains_key(&pair(one));
    touched.extend(partnerships.filter(known).map(|one| one.downstream));
    let versions = writes.versions.iter().map(|(organization, category, _)| (*organization, *category));
    touched.extend(versions.filter(|one| rows.versions.contains_key(one)).map(|one| one.0));
    touched.extend(writes.last_changes.iter().map(|(organization, _)| *organization));
    for (event, verdict) in &done.verdicts {
        let own = |letter: &&Letter| letter.work.cause(letter.event) == CauseNo::from(*event);
        if *verdict != Verdict::Applied {
            touched.extend(letters.iter().find(own).and_then(|letter| letter.work.organization()));
        }
    }
    touched
}

fn pair(one: &channel_sync::domain::partnership::Partnership) -> (OrganizationNo, OrganizationNo) {
    (one.upstream, one.downstream)
}

fn sorted(organizations: &HashSet<OrganizationNo>) -> Vec<OrganizationNo> {
    let mut sorted: Vec<OrganizationNo> = organizations.iter().copied().collect();
    sorted.sort_unstable();
    sorted
}

/// Kinds and shards that runs are asked for.
pub(crate) const KINDS: [JobKind; 4] =
    [JobKind::OwnChange, JobKind::PartnershipChange, JobKind::SyncChange, JobKind::Reconcile];

/// How many shards there are, as a number of organizations.
pub(crate) const SPREAD: i32 = SHARDS as i32;
