//! What the loops, the link, HTTP and the traces count. Every value of every label is there from the start, at zero,
//! but for the routes of HTTP: a rate over something that has never happened is 0, not unknown.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::contract::RejectionCode;
use crate::domain::decide::Skipped;
use crate::domain::mailbox::{JobDone, JobKind, Verdict};

/// A count of seconds.
type Seconds = Counter<f64, AtomicU64>;

/// The bounds of durations, in seconds: from a step that finds nothing to a statement that is ended.
const DURATIONS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The bounds of sizes of batches.
const SIZES: [f64; 13] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4];

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

fn sizes() -> Histogram {
    Histogram::new(SIZES)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffectLabels {
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

fn add(counters: &Family<OutcomeLabels, Counter>, outcome: &'static str, count: usize) {
    counters.get_or_create(&OutcomeLabels { outcome }).inc_by(count as u64);
}

/// Adds to a sum of seconds how long it lives.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    sum: Seconds,
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.sum.inc_by(self.began.elapsed().as_secs_f64());
    }
}

/// What became of messages, for [`IngestMetrics::taken_in`].
const OUTCOMES_OF_MESSAGES: [&str; 4] = ["accepted", "ignored", "duplicate", "rejected"];

/// How messages are taken in.
#[derive(Debug, Clone)]
pub struct IngestMetrics {
    messages: Family<OutcomeLabels, Counter>,
    rejected: Family<CodeLabels, Counter>,
    redelivered: Counter,
    acknowledged: Counter,
    body_bytes: Counter,
    errors: Counter,
    batch_messages: Histogram,
    batch_duration: Histogram,
}

/// What a batch of messages came to.
#[derive(Debug, Clone, Default)]
pub struct IntakeFigures {
    /// New events.
    pub accepted: usize,
    /// New events of a category that is never synced.
    pub ignored: usize,
    /// Events that were there already.
    pub duplicate: usize,
    /// Why messages were rejected, each.
    pub rejected: Vec<RejectionCode>,
    /// Messages that the broker says it has delivered before.
    pub redelivered: usize,
    /// Bytes of all bodies.
    pub body_bytes: usize,
}

impl Default for IngestMetrics {
    fn default() -> Self {
        let metrics = Self {
            messages: Family::default(),
            rejected: Family::default(),
            redelivered: Counter::default(),
            acknowledged: Counter::default(),
            body_bytes: Counter::default(),
            errors: Counter::default(),
            batch_messages: sizes(),
            batch_duration: durations(),
        };
        for outcome in OUTCOMES_OF_MESSAGES {
            add(&metrics.messages, outcome, 0);
        }
        for code in RejectionCode::ALL {
            metrics.rejected.get_or_create(&CodeLabels { code: code.name() }).inc_by(0);
        }
        metrics
    }
}

impl IngestMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ingest_messages",
            "Messages that were stored, by what became of them",
            self.messages.clone(),
        );
        registry.register(
            "ingest_rejected",
            "Messages that were rejected on arrival, by code",
            self.rejected.clone(),
        );
        registry.register(
            "ingest_redelivered",
            "Messages that the broker had delivered before",
            self.redelivered.clone(),
        );
        registry.register(
            "ingest_acknowledged",
            "Messages that were acknowledged, after they were stored",
            self.acknowledged.clone(),
        );
        registry.register_with_unit(
            "ingest_body",
            "Bytes of the bodies of messages",
            Unit::Bytes,
            self.body_bytes.clone(),
        );
        registry.register(
            "ingest_errors",
            "Batches of messages that could not be stored",
            self.errors.clone(),
        );
        registry.register("ingest_batch_messages", "Messages in a batch", self.batch_messages.clone());
        registry.register_with_unit(
            "ingest_batch_duration",
            "How long it takes to store a batch",
            Unit::Seconds,
            self.batch_duration.clone(),
        );
    }

    /// A batch was stored, within this time.
    pub fn taken_in(&self, figures: &IntakeFigures, took: Duration) {
        let IntakeFigures { accepted, ignored, duplicate, rejected, redelivered, body_bytes } = figures;
        let counts = [*accepted, *ignored, *duplicate, rejected.len()];
        for (outcome, count) in OUTCOMES_OF_MESSAGES.into_iter().zip(counts) {
            add(&self.messages, outcome, count);
        }
        for code in rejected {
            self.rejected.get_or_create(&CodeLabels { code: code.name() }).inc();
        }
        self.redelivered.inc_by(*redelivered as u64);
        self.body_bytes.inc_by(*body_bytes as u64);
        self.batch_messages.observe(counts.iter().sum::<usize>() as f64);
        self.batch_duration.observe(took.as_secs_f64());
    }

    /// A batch could not be stored.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// So many messages were acknowledged.
    pub fn acknowledged(&self, messages: usize) {
        self.acknowledged.inc_by(messages as u64);
    }
}

/// What became of a job; skipped: there was nothing to do. A job that is retried counts each time, and again when it is
/// done.
const OUTCOMES_OF_JOBS: [&str; 5] = ["succeeded", "skipped", "rejected", "retried", "failed"];

const VERDICTS: [&str; 4] = ["applied", "superseded", "locked", "rejected"];

const OUTCOMES_OF_BATCHES: [&str; 3] = ["committed", "nothing", "failed"];

/// What the jobs of a batch came to: summed up first, and counted once.
#[derive(Debug, Clone, Default)]
pub struct JobFigures {
    /// By kind and outcome, in the order of their lists.
    jobs: [[u64; OUTCOMES_OF_JOBS.len()]; JobKind::ALL.len()],
    entries: [u64; 3],
    verdicts: [u64; VERDICTS.len()],
}

impl JobFigures {
    /// A job was done.
    pub fn done(&mut self, job: &JobDone) {
        use Skipped::{ModeChanges, ModeStays, ReconcileFollows};
        let outcome = match (job.rejected, &job.skipped) {
            (true, _) => 2,
            // No entry was written, but the flags were stored.
            (false, None | Some(ModeStays(_) | ModeChanges(..) | ReconcileFollows(..))) => 0,
            (false, Some(_)) => 1,
        };
        self.jobs[job.kind as usize][outcome] += 1;
        let counts = [job.counts.added, job.counts.changed, job.counts.removed];
        for (entries, count) in self.entries.iter_mut().zip(counts) {
            *entries += u64::try_from(count).unwrap_or_default();
        }
    }

    /// A job failed, and runs again.
    pub fn retried(&mut self, kind: JobKind) {
        self.jobs[kind as usize][3] += 1;
    }

    /// A job failed too often, and is parked.
    pub fn failed(&mut self, kind: JobKind) {
        self.jobs[kind as usize][4] += 1;
    }

    /// An event of an organization's own was worked off.
    pub fn settled(&mut self, verdict: &Verdict) {
        let place = match verdict {
            Verdict::Applied => 0,
            Verdict::Superseded => 1,
            Verdict::Locked => 2,
            Verdict::Rejected(_) => 3,
        };
        self.verdicts[place] += 1;
    }
}

/// How letters are worked off.
#[derive(Debug, Clone)]
pub struct ExecutorMetrics {
    jobs: Family<JobLabels, Counter>,
    entries: Family<EffectLabels, Counter>,
    events: Family<VerdictLabels, Counter>,
    batches: Family<OutcomeLabels, Counter>,
    batch_letters: Histogram,
    batch_jobs: Histogram,
    batch_duration: Histogram,
    letters_cut: Counter,
    batches_repeated: Counter,
    batches_halved: Counter,
    shards_tried: Counter,
    lock_misses: Counter,
    locked: Seconds,
}

impl Default for ExecutorMetrics {
    fn default() -> Self {
        let metrics = Self {
            jobs: Family::default(),
            entries: Family::default(),
            events: Family::default(),
            batches: Family::default(),
            batch_letters: sizes(),
            batch_jobs: sizes(),
            batch_duration: durations(),
            letters_cut: Counter::default(),
            batches_repeated: Counter::default(),
            batches_halved: Counter::default(),
            shards_tried: Counter::default(),
            lock_misses: Counter::default(),
            locked: Seconds::default(),
        };
        metrics.count(&JobFigures::default());
        for outcome in OUTCOMES_OF_BATCHES {
            add(&metrics.batches, outcome, 0);
        }
        metrics
    }
}

impl ExecutorMetrics {
    pub(super) fn register(&self, registry: &mut Registry, executors: usize) {
        let workers: Gauge = Gauge::default();
        workers.set(executors as i64);
        registry.register("executor_workers", "Executors of this process", workers);
        registry.register("jobs", "Jobs, by kind and what became of them", self.jobs.clone());
        registry.register("entries", "Entries that jobs wrote, by effect", self.entries.clone());
        registry.register("events", "Events whose own job is done, by verdict", self.events.clone());
        registry.register(
            "executor_batches",
            "Batches of letters, by what became of them",
            self.batches.clone(),
        );
        registry.register("executor_batch_letters", "Letters done in a batch", self.batch_letters.clone());
        registry.register("executor_batch_jobs", "Jobs done in a batch", self.batch_jobs.clone());
        registry.register_with_unit(
            "executor_batch_duration",
            "How long a batch takes that was committed",
            Unit::Seconds,
            self.batch_duration.clone(),
        );
        registry.register(
            "executor_letters_cut",
            "Times that a part of a letter was done, since the whole was too large",
            self.letters_cut.clone(),
        );
        registry.register(
            "executor_batches_repeated",
            "Batches that were done again to find the job that fails",
            self.batches_repeated.clone(),
        );
        registry.register(
            "executor_batches_halved",
            "Times that a batch or a part of it was halved to find the job that fails",
            self.batches_halved.clone(),
        );
        registry.register(
            "executor_shards_tried",
            "Shards that a batch tried to lock",
            self.shards_tried.clone(),
        );
        registry.register(
            "executor_lock_misses",
            "Shards that a batch could not lock, since somebody else had them",
            self.lock_misses.clone(),
        );
        registry.register_with_unit(
            "executor_locked",
            "Time for which executors held locks on shards; its rate by executor_workers is the share",
            Unit::Seconds,
            self.locked.clone(),
        );
    }

    /// Counts what the jobs of a batch came to.
    pub fn count(&self, figures: &JobFigures) {
        for (kind, outcomes) in JobKind::ALL.into_iter().zip(figures.jobs) {
            for (outcome, count) in OUTCOMES_OF_JOBS.into_iter().zip(outcomes) {
                self.jobs.get_or_create(&JobLabels { kind: kind.name(), outcome }).inc_by(count);
            }
        }
        for (effect, count) in ["added", "changed", "removed"].into_iter().zip(figures.entries) {
            self.entries.get_or_create(&EffectLabels { effect }).inc_by(count);
        }
        for (verdict, count) in VERDICTS.into_iter().zip(figures.verdicts) {
            self.events.get_or_create(&VerdictLabels { verdict }).inc_by(count);
        }
    }

    /// A batch was committed.
    pub fn committed(&self, letters: usize, cut: usize, jobs: usize, took: Duration) {
        add(&self.batches, "committed", 1);
        self.letters_cut.inc_by(cut as u64);
        self.batch_letters.observe((letters + cut) as f64);
        self.batch_jobs.observe(jobs as f64);
        self.batch_duration.observe(took.as_secs_f64());
    }

    /// A batch found nothing that it could do.
    pub fn found_nothing(&self) {
        add(&self.batches, "nothing", 1);
    }

    /// A batch failed.
    pub fn failed(&self) {
        add(&self.batches, "failed", 1);
    }

    /// A batch is done again to find the job that fails.
    pub fn repeated(&self) {
        self.batches_repeated.inc();
    }

    /// A batch is halved.
    pub fn halved(&self) {
        self.batches_halved.inc();
    }

    /// A batch tried to lock so many shards, and got so many.
    pub fn tried_to_lock(&self, tried: usize, locked: usize) {
        self.shards_tried.inc_by(tried as u64);
        self.lock_misses.inc_by(tried.saturating_sub(locked) as u64);
    }

    /// Shards are locked for as long as this lives.
    pub fn locked(&self) -> Stopwatch {
        Stopwatch { began: Instant::now(), sum: self.locked.clone() }
    }
}

/// How jobs of replays are sent.
#[derive(Debug, Clone)]
pub struct ReplayerMetrics {
    jobs: Family<OutcomeLabels, Counter>,
}

impl Default for ReplayerMetrics {
    fn default() -> Self {
        let metrics = Self { jobs: Family::default() };
        metrics.sent(0, 0);
        metrics
    }
}

impl ReplayerMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "replay_jobs",
            "Jobs of replays that went back into mailboxes, or were refused",
            self.jobs.clone(),
        );
    }

    /// Jobs of a replay were sent, and others refused.
    pub fn sent(&self, sent: usize, refused: usize) {
        add(&self.jobs, "sent", sent);
        add(&self.jobs, "refused", refused);
    }
}

/// What became of a look at the days of results, for [`RetentionMetrics`].
const OUTCOMES_OF_RETENTION: [&str; 3] = ["succeeded", "left", "failed"];

/// How days of results are made and dropped.
#[derive(Debug, Clone)]
pub struct RetentionMetrics {
    runs: Family<OutcomeLabels, Counter>,
    days_dropped: Counter,
    last_success: Gauge<f64, AtomicU64>,
}

impl Default for RetentionMetrics {
    fn default() -> Self {
        let runs = Family::default();
        for outcome in OUTCOMES_OF_RETENTION {
            add(&runs, outcome, 0);
        }
        Self { runs, days_dropped: Counter::default(), last_success: Gauge::default() }
    }
}

impl RetentionMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "retention_runs",
            "Times that days of results were looked after, or left to another process",
            self.runs.clone(),
        );
        registry.register(
            "retention_days_dropped",
            "Days whose results were dropped",
            self.days_dropped.clone(),
        );
        registry.register_with_unit(
            "retention_last_success_timestamp",
            "When days of results were last looked after here, since the Unix epoch; 0: not yet",
            Unit::Seconds,
            self.last_success.clone(),
        );
    }

    /// All was done that there was to do.
    pub fn succeeded(&self) {
        add(&self.runs, "succeeded", 1);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last_success.set(since_epoch.as_secs_f64());
    }

    /// Another process was at it.
    pub fn left(&self) {
        add(&self.runs, "left", 1);
    }

    /// It could not be done.
    pub fn failed(&self) {
        add(&self.runs, "failed", 1);
    }

    /// A day's results were dropped.
    pub fn dropped(&self) {
        self.days_dropped.inc();
    }
}

/// The link to the broker.
#[derive(Debug, Clone, Default)]
pub struct LinkMetrics {
    up: Gauge,
    connected: Counter,
    lost: Counter,
    connect_failures: Counter,
    deliveries: Counter,
    unacknowledged: Gauge,
    last_delivery: Gauge<f64, AtomicU64>,
}

impl LinkMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("link_up", "Whether the link to the broker is up", self.up.clone());
        registry.register("link_connected", "Times that the link came up", self.connected.clone());
        registry.register("link_lost", "Times that the link broke", self.lost.clone());
        registry.register(
            "link_connect_failures",
            "Attempts to build the link that failed",
            self.connect_failures.clone(),
        );
        registry.register("link_deliveries", "Messages that the broker handed over", self.deliveries.clone());
        registry.register(
            "link_unacknowledged_messages",
            "Messages that were handed over and are not acknowledged yet; at most broker.prefetch and a batch",
            self.unacknowledged.clone(),
        );
        registry.register_with_unit(
            "link_last_delivery_timestamp",
            "When the broker last handed over a message, since the Unix epoch; it serves one replica at a time",
            Unit::Seconds,
            self.last_delivery.clone(),
        );
    }

    /// The link is up.
    pub fn connected(&self) {
        self.connected.inc();
        self.up.set(1);
        self.unacknowledged.set(0);
    }

    /// An attempt to build it failed.
    pub fn connect_failed(&self) {
        self.connect_failures.inc();
    }

    /// The link broke.
    pub fn lost(&self) {
        self.lost.inc();
        self.down();
    }

    /// The link is down, in order.
    pub fn down(&self) {
        self.up.set(0);
        self.unacknowledged.set(0);
    }

    /// Messages were handed over; so many are not acknowledged now.
    pub fn delivered(&self, messages: usize, unacknowledged: u64) {
        self.deliveries.inc_by(messages as u64);
        self.unacknowledged(unacknowledged);
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last_delivery.set(since_epoch.as_secs_f64());
    }

    /// So many messages are not acknowledged now.
    pub fn unacknowledged(&self, messages: u64) {
        self.unacknowledged.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }
}

/// Requests over HTTP.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self { requests: Family::default(), durations: Family::new_with_constructor(durations) }
    }
}

impl HttpMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests, by route and status", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "How long it takes until a response begins",
            Unit::Seconds,
            self.durations.clone(),
        );
    }

    /// A request was answered. `route` is a template such as `/jobs/{key}`, or none where there is none.
    pub fn answered(&self, method: &'static str, route: Option<&str>, status: u16, took: Duration) {
        let route = route.unwrap_or("unmatched").to_owned();
        self.durations.get_or_create(&RouteLabels { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }
}

/// Spans on their way to a collector.
#[derive(Debug, Clone)]
pub struct TraceMetrics {
    spans: Family<OutcomeLabels, Counter>,
}

impl Default for TraceMetrics {
    fn default() -> Self {
        let metrics = Self { spans: Family::default() };
        metrics.exported(0);
        metrics.failed(0);
        metrics.dropped(0);
        metrics
    }
}

impl TraceMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "trace_spans",
            "Spans, by what became of them: sent, not taken by the collector, or no room to wait",
            self.spans.clone(),
        );
    }

    /// The collector has taken spans.
    pub fn exported(&self, spans: usize) {
        add(&self.spans, "exported", spans);
    }

    /// The collector has not taken spans; they are gone.
    pub fn failed(&self, spans: usize) {
        add(&self.spans, "failed", spans);
    }

    /// There was no room for spans to wait for the collector; they are gone.
    pub fn dropped(&self, spans: usize) {
        add(&self.spans, "dropped", spans);
    }
}
