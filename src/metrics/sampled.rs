//! What was last seen in the database and the queue.
//!
//! [`Sampler`](crate::flow::sampler::Sampler) writes it, a scrape reads it. What could not be seen is left out, rather
//! than shown as it once was. Every replica samples the same database and the same queue: the figures are of the whole,
//! and dashboards take their maximum, never their sum.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::contract::RejectionCode;
use crate::domain::mailbox::JobKind;

/// What was seen in the database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatabaseSample {
    /// Letters by kind.
    pub letters: Vec<LettersSample>,
    /// Jobs that are parked as failed.
    pub jobs_failed: i64,
    /// Rejected messages that nobody has dealt with, by code.
    pub rejected: Vec<(String, i64)>,
    /// Organizations that are paused.
    pub organizations_paused: i64,
    /// Whether all execution is paused.
    pub everything_paused: bool,
    /// How old the oldest pause is, in seconds; 0 where there is none.
    pub oldest_pause_seconds: f64,
    /// Replays under way.
    pub replays_running: i64,
    /// Jobs of these that are not sent yet.
    pub replay_jobs_waiting: i64,
    /// Days whose results are kept, that of now among them.
    pub days_kept: i64,
    /// Days to come that have a partition already.
    pub days_ahead: i64,
    /// How long the oldest transaction has been open, in seconds; 0 where there is none.
    pub oldest_transaction_seconds: f64,
    /// How far partnerships are, where that could be seen in time.
    pub freshness: Option<FreshnessSample>,
}

/// How far partnerships are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FreshnessSample {
    /// How many of them are behind: jobs wait or have failed.
    pub behind: i64,
    /// How long ago the oldest change was made whose job waits, in seconds; 0 where none does.
    pub lag_seconds: f64,
}

/// The letters of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct LettersSample {
    /// The kind of job.
    pub kind: String,
    /// How many there are.
    pub letters: i64,
    /// How many of them were tried and run again.
    pub retrying: i64,
    /// For how long the oldest has been due that nobody has paused, in seconds; 0 where none is.
    pub oldest_due_seconds: f64,
}

/// What was seen of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSample {
    /// Messages that are ready.
    pub messages: u32,
    /// Consumers that the broker counts: where one at a time is served, that one.
    pub consumers: u32,
}

/// What was last seen.
#[derive(Debug, Clone, Default)]
pub struct Sampled(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// None before the first attempt.
    database_up: Option<bool>,
    database: Option<DatabaseSample>,
    queue: Option<QueueSample>,
    /// When the database was last seen, and how long it took to look.
    seen: Option<(SystemTime, f64)>,
}

impl Sampled {
    /// The database was looked at, from then on; none where it could not be.
    pub fn database(&self, sample: Option<DatabaseSample>, began: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.database_up = Some(sample.is_some());
        if sample.is_some() {
            state.seen = Some((SystemTime::now(), began.elapsed().as_secs_f64()));
        }
        state.database = sample;
    }

    /// The queue was looked at; none where it could not be.
    pub fn queue(&self, sample: Option<QueueSample>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).queue = sample;
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = Writer(&mut encoder);
        if let Some(up) = state.database_up {
            write.gauge(
                "database_up",
                "Whether the database answered when it was last sampled",
                up.into(),
            )?;
        }
        if let Some((at, took)) = state.seen {
            let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            write.seconds(
                "sample_timestamp",
                "When the database was last sampled, since the Unix epoch",
                since_epoch.as_secs_f64(),
            )?;
            write.seconds("sample_duration", "How long it took to sample the database", took)?;
        }
        if let Some(queue) = state.queue {
            write.gauge("queue_messages", "Messages that are ready in the queue", queue.messages.into())?;
            write.gauge(
                "queue_consumers",
                "Consumers that the broker counts on the queue; with a single active consumer, 1",
                queue.consumers.into(),
            )?;
        }
        if let Some(sample) = &state.database {
            write.sample(sample)?;
        }
        Ok(())
    }
}

struct Writer<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Writer<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, &format!("{help}."), None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric =
            self.0.encode_descriptor(name, &format!("{help}."), Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn sample(&mut self, sample: &DatabaseSample) -> fmt::Result {
        let of = |kind: &str| sample.letters.iter().find(|letters| letters.kind == kind);
        let mut metric =
            self.0.encode_descriptor("mailbox_letters", "Letters, by kind.", None, MetricType::Gauge)?;
        for kind in JobKind::ALL.map(JobKind::name) {
            let letters = of(kind).map_or(0, |letters| letters.letters);
            ConstGauge::new(letters).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        let mut metric = self.0.encode_descriptor(
            "mailbox_letters_retrying",
            "Letters whose job failed and runs again, by kind.",
            None,
            MetricType::Gauge,
        )?;
        for kind in JobKind::ALL.map(JobKind::name) {
            let retrying = of(kind).map_or(0, |letters| letters.retrying);
            ConstGauge::new(retrying).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        let mut metric = self.0.encode_descriptor(
            "mailbox_oldest_due_age",
            "For how long the oldest letter has been due that nobody has paused, by kind.",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for kind in JobKind::ALL.map(JobKind::name) {
            let age = of(kind).map_or(0.0, |letters| letters.oldest_due_seconds);
            ConstGauge::new(age).encode(metric.encode_family(&[("kind", kind)])?)?;
        }
        let mut metric = self.0.encode_descriptor(
            "rejected_messages",
            "Rejected messages that nobody has dealt with, by code.",
            None,
            MetricType::Gauge,
        )?;
        for code in RejectionCode::ALL.map(RejectionCode::name) {
            let messages =
                sample.rejected.iter().find(|(name, _)| name == code).map_or(0, |(_, count)| *count);
            ConstGauge::new(messages).encode(metric.encode_family(&[("code", code)])?)?;
        }
        self.gauge("jobs_parked", "Jobs that failed too often and wait for somebody", sample.jobs_failed)?;
        self.gauge("organizations_paused", "Organizations that are paused", sample.organizations_paused)?;
        self.gauge("execution_paused", "Whether all execution is paused", sample.everything_paused.into())?;
        self.seconds("oldest_pause_age", "How old the oldest pause is", sample.oldest_pause_seconds)?;
        self.gauge("replays_running", "Replays under way", sample.replays_running)?;
        self.gauge(
            "replay_jobs_waiting",
            "Jobs of the replays under way that are not sent yet",
            sample.replay_jobs_waiting,
        )?;
        self.gauge("result_days", "Days whose results are kept, that of now among them", sample.days_kept)?;
        self.gauge(
            "result_days_ahead",
            "Days to come whose results have a partition already",
            sample.days_ahead,
        )?;
        if let Some(freshness) = sample.freshness {
            self.gauge(
                "partnerships_behind",
                "Partnerships that are behind their upstream: jobs wait, or have failed",
                freshness.behind,
            )?;
            self.seconds(
                "partnership_lag",
                "How long ago the oldest change was made that a partner has still to get",
                freshness.lag_seconds,
            )?;
        }
        self.seconds(
            "oldest_transaction_age",
            "How long the oldest transaction of anybody in the database has been open",
            sample.oldest_transaction_seconds,
        )
    }
}
