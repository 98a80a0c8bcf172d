//! What all simulated processes share: the database, the broker, the clock and what is wrong with them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};

use crate::broker::Queue;
use crate::database::Server;
use crate::faults::{Rates, Troubles};
use crate::model::Random;

/// Who acts: the place of an ingest or an executor among all that ever ran, zero for the world around them.
pub(crate) type Actor = usize;

/// What all simulated processes share.
pub(crate) struct Shared {
    /// In milliseconds.
    pub(crate) now: i64,
    /// Draws what becomes of calls.
    pub(crate) random: Random,
    pub(crate) rates: Rates,
    pub(crate) troubles: Troubles,
    pub(crate) server: Server,
    pub(crate) queue: Queue,
    /// The first thing that must not be.
    pub(crate) violation: Option<String>,
    pub(crate) tally: Tally,
    /// What happened, line by line; none where nobody wants to know.
    trace: Option<Vec<String>>,
}

/// How much of everything happened: a run in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) events: u64,
    pub(crate) rejected: u64,
    pub(crate) jobs: u64,
    pub(crate) given_up: u64,
    pub(crate) postponed: u64,
    pub(crate) split: u64,
    /// Letters to a shard of which a part was done.
    pub(crate) cut_by_members: u64,
    /// Letters to one organization of which a part was done.
    pub(crate) cut_by_entries: u64,
    /// Letters that never lay in a mailbox.
    pub(crate) at_once: u64,
    /// Jobs that were sent once more.
    pub(crate) replayed: u64,
    pub(crate) rolled_back: u64,
    pub(crate) crashes: u64,
    pub(crate) stops: u64,
    pub(crate) redelivered: u64,
    pub(crate) lost_calls: u64,
    pub(crate) unanswered_commits: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { steps, events, rejected, jobs, given_up, postponed, split, .. } = other;
        let Self { cut_by_members, cut_by_entries, replayed, rolled_back, crashes, stops, .. } = other;
        let Self { redelivered, lost_calls, unanswered_commits, at_once, .. } = other;
        self.steps += steps;
        self.events += events;
        self.rejected += rejected;
        self.jobs += jobs;
        self.given_up += given_up;
        self.postponed += postponed;
        self.split += split;
        self.cut_by_members += cut_by_members;
        self.cut_by_entries += cut_by_entries;
        self.at_once += at_once;
        self.replayed += replayed;
        self.rolled_back += rolled_back;
        self.crashes += crashes;
        self.stops += stops;
        self.redelivered += redelivered;
        self.lost_calls += lost_calls;
        self.unanswered_commits += unanswered_commits;
    }
}

impl Shared {
    pub(crate) fn new(random: Random, rates: Rates, stride: i32, traced: bool) -> Self {
        Self {
            now: 0,
            random,
            rates,
            troubles: Troubles::default(),
            server: Server::new(stride),
            queue: Queue::default(),
            violation: None,
            tally: Tally::default(),
            trace: traced.then(Vec::new),
        }
    }

    /// True in so many cases of a thousand.
    pub(crate) fn happens(&mut self, per_mille: usize) -> bool {
        per_mille > 0 && self.random.below(1000) < per_mille
    }

    /// Notes something that must not be; the run ends with the first.
    pub(crate) fn must_not_be(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.say(0, || format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    /// Tells what happens.
    pub(crate) fn say(&mut self, actor: Actor, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let who = if actor == 0 { "the world".to_owned() } else { format!("actor {actor}") };
            trace.push(format!("{:>6} {:>5} ms  {who:<9}  {}", self.tally.steps, self.now, what()));
        }
    }

    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }
}

/// A handle to what is shared.
#[derive(Clone)]
pub(crate) struct Site(Arc<Mutex<Shared>>);

impl Site {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(Mutex::new(shared)))
    }

    /// Nobody keeps this over an `await`. After a panic the run is over, and only ends in order.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the scheduler choose who goes on.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Lets so much of the simulated time pass.
pub(crate) async fn sleep_ms(ms: i64) {
    tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
}

thread_local! {
    static CATALOGUE: Arc<Catalogue> = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
}

/// The built-in catalogue, read once.
pub(crate) fn catalogue() -> Arc<Catalogue> {
    CATALOGUE.with(Arc::clone)
}
