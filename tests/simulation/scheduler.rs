//! One run: a few processes, each with an ingest and executors, on one thread. Who goes on, and what goes wrong
//! meanwhile, is drawn from the seed, so that a seed runs the same way each time.
//!
//! The loops are the real ones. They go on at the points where they wait for the database, the broker or the
//! time. The time passes where nobody else can go on, and now and then where somebody could.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use channel_sync::contract::Limits;
use channel_sync::delay::Delays;
use channel_sync::domain::OrganizationNo;
use channel_sync::domain::retry::RetryPolicy;
use channel_sync::flow::executor::{BatchLimits, Executor};
use channel_sync::flow::ingest::{Ingest, IntakeLimits};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::broker::Link;
use crate::checks::{self, Ending};
use crate::database::{Memory, SPREAD};
use crate::faults::Rates;
use crate::load::load;
use crate::model::Random;
use crate::shared::{Actor, Shared, Site, Tally, catalogue, sleep_ms};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Faults go on to the end, which comes anywhere: nothing may be lost or doubled.
    Safety,
    /// Faults stop, and then everything must come to an end.
    Liveness,
}

/// After the faults, in so many steps something must be done, put off or given up. The longest wait of a letter
/// takes some hundred. Where several shards wait for one, and each of them is looked at all the time by somebody
/// else, it takes luck to get all the locks, and some thousand.
const STEPS_WITHOUT_PROGRESS: u64 = 30_000;

/// After so many, letters that somebody has locked are free again, unless anything is left that need not wait
/// for them.
const STEPS_UNTIL_UNLOCKED: u64 = 2_000;

/// What happened in a run.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) outcome: Result<(), String>,
    pub(crate) tally: Tally,
    /// How many jobs there were of each kind, in the order of [`crate::database::KINDS`].
    pub(crate) kinds: [u64; 4],
    pub(crate) trace: Vec<String>,
}

/// Runs a seed. A panic on the way is a failure like others.
pub(crate) fn run(seed: u64, mode: Mode, traced: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    // Without tokio's own fairness, which lets a task that did much go on later.
    runtime.unwrap().block_on(tokio::task::unconstrained(async {
        let mut run = Run::new(seed, mode, traced);
        let outcome = AssertUnwindSafe(run.drive()).catch_unwind().await.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("it panicked").to_owned())
        });
        // The processes end before what they share is looked at.
        run.tasks.clear();
        let mut shared = run.site.lock();
        let kinds = checks::kinds(&shared.server.rows);
        let kinds = crate::database::KINDS.map(|kind| kinds.get(&kind).copied().unwrap_or(0));
        Report { outcome, tally: shared.tally, kinds, trace: shared.take_trace() }
    }))
}

/// Whether a task wants to go on.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    process: usize,
    actor: Actor,
    future: Pin<Box<dyn Future<Output = Result<(), String>>>>,
    wants: Arc<Flag>,
    waker: Waker,
}

#[derive(Clone, PartialEq, Eq)]
enum State {
    Up,
    Stopping,
    Down,
}

struct Process {
    state: State,
    stop: CancellationToken,
}

struct Run {
    mode: Mode,
    site: Site,
    /// Draws who goes on, and what happens around.
    random: Random,
    processes: Vec<Process>,
    tasks: Vec<Task>,
    actors: Actor,
    limits: BatchLimits,
    retry: RetryPolicy,
    executors: usize,
    poll: Duration,
    intake: IntakeLimits,
    /// How many messages of the load were published.
    published: usize,
    publishing: usize,
    stormy_steps: u64,
}

impl Run {
    fn new(seed: u64, mode: Mode, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let rates = Rates::draw(&mut random);
        // Each in another shard, all in two, or all in one.
        let stride = *random.pick(&[1, SPREAD / 2, SPREAD, SPREAD]);
        let mut shared = Shared::new(Random::new(!seed), rates, stride, traced);
        shared.queue.load = load(&mut random);
        let limits = BatchLimits {
            letters_max: *random.pick(&[1, 2, 4, 1000]),
            // So few that jobs are cut, or so many that none is.
            writes_max: *random.pick(&[2, 3, 5, 9, 20, 100_000, 100_000]),
            follow_up_writes_max: *random.pick(&[0, 0, 4, 100_000]),
            lock_timeout: Duration::from_millis(1),
        };
        let retry = RetryPolicy {
            attempts_max: *random.pick(&[2, 3, 6]),
            delay_ms_min: 1,
            delay_ms_max: *random.pick(&[1, 4, 12]),
        };
        let mut run = Self {
            mode,
            site: Site::new(shared),
            processes: Vec::new(),
            tasks: Vec::new(),
            actors: 0,
            limits,
            retry,
            executors: 1 + random.below(2),
            poll: Duration::from_millis(*random.pick(&[3, 8, 16])),
            intake: IntakeLimits {
                messages_max: 1 + random.below(8),
                bytes_max: *random.pick(&[1, 600, 100_000]),
            },
            published: 0,
            publishing: *random.pick(&[10, 40, 100, 200]),
            stormy_steps: 500 + random.below(1800) as u64,
            random,
        };
        for _ in 0..2 + run.random.below(2) {
            run.processes.push(Process { state: State::Down, stop: CancellationToken::new() });
        }
        run
    }

    async fn drive(&mut self) -> Result<(), String> {
        for process in 0..self.processes.len() {
            self.start(process);
        }
        for _ in 0..self.stormy_steps {
            self.weather();
            self.step().await?;
        }
        match self.mode {
            Mode::Safety => checks::ended(&self.site.lock(), Ending::Anywhere),
            Mode::Liveness => self.converge().await,
        }
    }

    /// The faults stop; everything must come to an end.
    async fn converge(&mut self) -> Result<(), String> {
        let some_stays = self.random.chance(50);
        // In the end everything that was given up is replayed, or nothing.
        let mut to_replay = self.random.chance(50);
        let replays = to_replay;
        {
            let mut shared = self.site.lock();
            shared.say(0, || "the faults stop".to_owned());
            shared.rates = Rates::none();
            shared.server.rows_mut().paused.clear();
            // What is wrong with single organizations may stay: it is theirs alone, and is given up.
            if some_stays {
                shared.troubles.tables_locked = false;
            } else {
                shared.troubles.heal();
            }
        }
        let (mut progress, mut since) = (0, 0);
        loop {
            for process in 0..self.processes.len() {
                if self.processes[process].state == State::Down {
                    self.start(process);
                }
            }
            let all_published = if self.happens(self.publishing) { !self.publish() } else { false };
            {
                let mut shared = self.site.lock();
                shared.queue.notice_the_dead();
                let done = shared.queue.is_empty() && shared.server.rows.letters.is_empty();
                if all_published && done && !shared.any_abandoned() {
                    let given_up = shared.replayable(true);
                    if !std::mem::take(&mut to_replay) || given_up.is_empty() {
                        if replays && !some_stays && !given_up.is_empty() {
                            return Err(format!("nothing is wrong any more, and yet {given_up:?} failed"));
                        }
                        return checks::ended(&shared, Ending::Converged);
                    }
                    for job in given_up {
                        to_replay |= !shared.replay(job);
                    }
                }
                let Tally { events, rejected, jobs, given_up, postponed, split, steps, .. } = shared.tally;
                let now = events + rejected + jobs + given_up + postponed + split;
                if now != progress {
                    (progress, since) = (now, steps);
                }
                if steps - since > STEPS_UNTIL_UNLOCKED && only_locked_letters_are_in_the_way(&shared) {
                    shared.say(0, || "no letter is locked any more".to_owned());
                    shared.troubles.locked_letters.clear();
                    since = steps;
                }
                if steps - since > STEPS_WITHOUT_PROGRESS {
                    return Err(format!("stuck: nothing goes on, {:?}", shared.server.rows.letters));
                }
            }
            self.step().await?;
        }
    }

    /// Lets one task go on, or the time.
    async fn step(&mut self) -> Result<(), String> {
        self.site.lock().tally.steps += 1;
        let wanting: Vec<usize> = (0..self.tasks.len())
            .filter(|place| self.tasks[*place].wants.0.load(Ordering::Relaxed))
            .collect();
        if wanting.is_empty() || self.random.chance(6) {
            self.pass_time().await;
        } else {
            let place = *self.random.pick(&wanting);
            let task = &mut self.tasks[place];
            task.wants.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(outcome) = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
                self.ended(place, outcome);
            }
        }
        match self.site.lock().violation.clone() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }

    async fn pass_time(&mut self) {
        tokio::time::advance(Duration::from_millis(1)).await;
        let mut shared = self.site.lock();
        shared.now += 1;
        shared.end_abandoned();
    }

    fn ended(&mut self, place: usize, outcome: Result<(), String>) {
        let Task { process, actor, .. } = self.tasks.remove(place);
        if outcome.is_err() || self.processes[process].state != State::Stopping {
            self.site.lock().must_not_be(format!("actor {actor} ended by itself: {outcome:?}"));
        }
        if self.tasks.iter().all(|task| task.process != process) {
            self.processes[process].state = State::Down;
        }
    }

    // --- processes ---

    fn start(&mut self, process: usize) {
        let stop = CancellationToken::new();
        self.processes[process] = Process { state: State::Up, stop: stop.clone() };
        let actor = self.next_actor();
        let ingest = Ingest::new(Memory::new(&self.site, actor), catalogue(), Limits::default());
        let mut link = Link::new(&self.site, actor);
        let (limits, stopped) = (self.intake, stop.clone());
        self.spawn(process, actor, async move {
            let run = ingest.run(&mut link, limits, pauses(), stopped);
            run.await.map_err(|error| error.to_string())
        });
        let wake = Arc::new(Notify::new());
        for _ in 0..self.executors {
            let (actor, stop) = (self.next_actor(), stop.clone());
            let memory = Memory::new(&self.site, actor);
            let executor = Executor::new(memory, catalogue(), self.limits, self.retry);
            // The loop of the service, or one of our own that looks at what each step tells.
            if self.random.chance(50) {
                let (wake, poll) = (Arc::clone(&wake), self.poll);
                self.spawn(process, actor, async move {
                    executor.work(&wake, poll, pauses(), stop).await;
                    Ok(())
                });
            } else {
                let site = self.site.clone();
                self.spawn(process, actor, step_by_step(executor, site, actor, stop));
            }
        }
        let actors = self.actors;
        self.site.lock().say(0, || format!("process {process} starts, up to actor {actors}"));
    }

    fn next_actor(&mut self) -> Actor {
        self.actors += 1;
        self.actors
    }

    fn spawn(
        &mut self,
        process: usize,
        actor: Actor,
        future: impl Future<Output = Result<(), String>> + 'static,
    ) {
        let wants = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&wants));
        self.tasks.push(Task { process, actor, future: Box::pin(future), wants, waker });
    }

    /// A process is gone from one moment to the next.
    fn crash(&mut self, process: usize) {
        if self.processes[process].state == State::Down {
            return;
        }
        self.site.lock().say(0, || format!("process {process} dies"));
        self.site.lock().tally.crashes += 1;
        self.tasks.retain(|task| task.process != process);
        self.processes[process].state = State::Down;
    }

    // --- what happens around ---

    fn publish(&mut self) -> bool {
        let mut shared = self.site.lock();
        let place = self.published;
        if place == shared.queue.load.len() {
            return false;
        }
        shared.say(0, || format!("message {place} is published"));
        shared.queue.publish(place);
        let twice = shared.rates.published_twice;
        if shared.happens(twice) {
            shared.queue.publish(place);
        }
        self.published += 1;
        true
    }

    fn weather(&mut self) {
        let rates = self.site.lock().rates.clone();
        let process = self.random.below(self.processes.len());
        if self.happens(self.publishing) {
            self.publish();
        }
        if self.happens(rates.crashes) {
            self.crash(process);
        }
        if self.happens(rates.stops) && self.processes[process].state == State::Up {
            self.site.lock().tally.stops += 1;
            self.site.lock().say(0, || format!("process {process} is stopped"));
            self.processes[process].state = State::Stopping;
            self.processes[process].stop.cancel();
        }
        if self.processes[process].state == State::Down && self.happens(30) {
            self.start(process);
        }
        if self.happens(rates.disconnects) {
            let mut shared = self.site.lock();
            let again = shared.queue.disconnect();
            shared.tally.redelivered += again as u64;
            shared.say(0, || format!("the broker ends a consumer: {again} come again"));
        }
        if self.happens(20) {
            let mut shared = self.site.lock();
            let again = shared.queue.notice_the_dead();
            shared.tally.redelivered += again as u64;
        }
        if self.happens(rates.troubles) {
            self.trouble();
        }
        if self.happens(rates.replays) {
            self.replay();
        }
    }

    /// Somebody sends a job once more: one that was given up, or not.
    fn replay(&mut self) {
        let mut shared = self.site.lock();
        if self.random.chance(10) {
            let letters: Vec<_> = shared.server.rows.letters.keys().copied().collect();
            if !letters.is_empty() {
                shared.retry_now(*self.random.pick(&letters));
            }
            return;
        }
        let jobs = shared.replayable(self.random.chance(70));
        if !jobs.is_empty() {
            shared.replay(*self.random.pick(&jobs));
        }
    }

    fn happens(&mut self, per_mille: usize) -> bool {
        per_mille > 0 && self.random.below(1000) < per_mille
    }

    /// Something begins to be wrong, or is well again.
    fn trouble(&mut self) {
        let mut guard = self.site.lock();
        let shared = &mut *guard;
        let all: Vec<OrganizationNo> = shared.server.rows.organizations.values().copied().collect();
        if all.is_empty() {
            return;
        }
        let mut organization = *self.random.pick(&all);
        let letters: Vec<_> =
            shared.server.rows.letters.values().map(|row| (row.letter.no, row.cause())).collect();
        let letter = (!letters.is_empty()).then(|| *self.random.pick(&letters));
        // Rather one that something is about to happen to: one of many, say.
        if let (Some((no, _)), true) = (letter, self.random.chance(60)) {
            let rows = &shared.server.rows;
            let recipients = rows.recipients(&rows.letters[&no]);
            if !recipients.is_empty() {
                organization = *self.random.pick(&recipients);
            }
        }
        // Nobody gets a lock on rows that somebody has written.
        let free = shared.server.rows_are_free();
        let troubles = &mut shared.troubles;
        // Not both at once: a letter that cannot be read, and cannot be put off for that either, stops its shard.
        let is_garbled = letter.is_some_and(|(_, cause)| troubles.unreadable.contains(&cause));
        let is_locked = letter.is_some_and(|(_, cause)| {
            letters.iter().any(|(no, of)| *of == cause && troubles.locked_letters.contains(no))
        });
        let what = match (self.random.below(13), letter) {
            (0 | 12, _) => {
                troubles.poison(organization);
                format!("{organization:?} is poisoned")
            }
            (1, Some((_, cause))) if !is_locked => {
                troubles.make_unreadable(cause);
                format!("the letters of {cause:?} are garbled")
            }
            (2, _) if free => {
                troubles.lock(organization);
                format!("the rows of {organization:?} are locked")
            }
            (3, Some((no, cause))) if free && !is_garbled => {
                troubles.lock_letter(no, cause);
                format!("{no:?} is locked")
            }
            (4, _) if free && self.random.chance(30) => {
                troubles.lock_tables();
                "all tables are locked".to_owned()
            }
            (5, _) => {
                let paused = (!self.random.chance(20)).then_some(organization);
                shared.server.rows_mut().paused.insert(paused);
                format!("paused: {paused:?}")
            }
            (6 | 7, _) => {
                troubles.unlock();
                "nothing is locked any more".to_owned()
            }
            (8, _) => {
                troubles.poisoned.clear();
                "nobody is poisoned any more".to_owned()
            }
            (9, _) => {
                troubles.unreadable.clear();
                "nothing is garbled any more".to_owned()
            }
            (10 | 11, _) => {
                shared.server.rows_mut().paused.clear();
                "nobody is paused any more".to_owned()
            }
            _ => return,
        };
        shared.say(0, || what);
    }
}

/// Whether everything that is left waits, or may, for letters that somebody has locked.
fn only_locked_letters_are_in_the_way(shared: &Shared) -> bool {
    let (rows, troubles) = (&shared.server.rows, &shared.troubles);
    !troubles.locked_letters.is_empty()
        && !rows.letters.values().any(|row| checks::is_free(rows, troubles, row))
}

/// Always the same: what is drawn must be drawn from the seed.
fn pauses() -> Delays {
    Delays::new(Duration::from_millis(1), Duration::from_millis(1))
}

/// Works as `Executor::work` does, and holds what each step tells against what was committed.
async fn step_by_step(
    executor: Executor<Memory>,
    site: Site,
    actor: Actor,
    stop: CancellationToken,
) -> Result<(), String> {
    let told = || site.lock().server.jobs_told.get(&actor).copied().unwrap_or(0);
    let mut pause_ms = 1;
    while !stop.is_cancelled() {
        let before = told();
        let went_on = match executor.step().await {
            Ok(step) => {
                let committed = told() - before;
                if step.jobs != committed {
                    let mut shared = site.lock();
                    shared.must_not_be(format!(
                        "a step tells of {} jobs, {committed} were committed",
                        step.jobs
                    ));
                }
                step.went_on()
            }
            Err(_) => false,
        };
        // Growing, as those of the service: workers that are in each other's way must not stay there.
        pause_ms = if went_on { 1 } else { (pause_ms * 2).min(16) };
        if !went_on {
            sleep_ms(pause_ms).await;
        }
    }
    Ok(())
}
