//! How things stand: what waits, what went wrong, how much there is.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::OperationError;
use crate::broker::{self, Depth, Topology};
use crate::config::BrokerConfig;
use crate::store::Store;
use crate::store::freshness::FreshnessSummary;
use crate::store::pause::PauseRow;
use crate::store::read::{Counts, JobCounts, LettersRow, RejectedCountRow, TransactionRow, TroubleRow};

/// How many different errors are listed.
const TROUBLES_MAX: i64 = 20;

/// How many pauses are listed.
const PAUSES_MAX: i64 = 100;

/// From what age on an open transaction is worth telling, in seconds: no batch lasts as long.
const TRANSACTION_AGE_SECONDS: i64 = 60;

/// How many open transactions are listed.
const TRANSACTIONS_MAX: i64 = 20;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// When this was so.
    pub at: Timestamp,
    /// The queue that events come from.
    pub queue: Lookup<QueueStatus>,
    /// What waits, by kind.
    pub letters: Vec<LettersRow>,
    /// Jobs by state.
    pub jobs: JobCounts,
    /// The most frequent errors of jobs that are retried or have failed.
    pub troubles: Vec<TroubleRow>,
    /// What is paused, and what waits for it.
    pub pauses: Vec<PauseRow>,
    /// Transactions that have been open for more than a minute: perhaps forgotten.
    pub transactions: Vec<TransactionRow>,
    /// Rejected messages that nobody has dealt with, by code.
    pub rejected: Vec<RejectedCountRow>,
    /// Events of the last hour, by state.
    #[schema(inline)]
    pub events_last_hour: Counts,
    /// How many organizations there are.
    pub organizations: i64,
    /// Partnerships by mode.
    #[schema(inline)]
    pub partnerships: Counts,
    /// How far behind partnerships are.
    pub freshness: FreshnessSummary,
}

/// What was asked elsewhere, and may not have been answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup<T> {
    /// The answer.
    Known(T),
    /// Why there is none.
    Unknown(String),
}

/// How far the service has come, to be compared with an earlier reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// When this was so.
    pub at: Timestamp,
    /// The number of the last job. The difference of two is how many jobs were done in between, and a few too many
    /// where batches failed.
    pub last_job_no: i64,
    /// The number of the last event.
    pub last_event_no: i64,
    /// How many events have come in since the earlier reading; 0 where there is none.
    pub events: i64,
}

/// How a queue of the broker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// How many messages wait in it.
    pub messages: u32,
    /// How many consumers it has.
    pub consumers: u32,
}

/// How the queue stands that events come from. Makes one attempt to reach the broker.
pub async fn queue(config: &BrokerConfig) -> Lookup<QueueStatus> {
    let name = Topology::new(&config.prefix).events;
    match broker::depth(config, &name).await {
        Ok(Depth { messages, consumers }) => Lookup::Known(QueueStatus { name, messages, consumers }),
        Err(error) => Lookup::Unknown(error.to_string()),
    }
}

/// How far the service has come since `before`. Counts no jobs: it takes no longer where there are millions.
///
/// # Errors
/// Where the database cannot be read.
pub async fn progress(store: &Store, before: Option<&Progress>) -> Result<Progress, OperationError> {
    let session = store.session().await?;
    let at = Timestamp::now();
    let after = before.map(|before| before.last_event_no);
    let (last_job_no, last_event_no, events) = session.status_progress(after).await?;
    Ok(Progress { at, last_job_no, last_event_no, events })
}

/// How things stand in the database; `queue` is what the broker said, if it was asked.
///
/// The parts are read one after another: a job that is done meanwhile may be seen in none or in two of them.
///
/// # Errors
/// Where the database cannot be read.
pub async fn status(store: &Store, queue: Lookup<QueueStatus>) -> Result<Status, OperationError> {
    let session = store.session().await?;
    let at = Timestamp::now();
    let hour_ago = at.checked_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
    let letters = session.status_letters().await?;
    let jobs = session.status_jobs().await?;
    let troubles = session.status_troubles(TROUBLES_MAX).await?;
    let pauses = session.list_pauses(None, None, PAUSES_MAX).await?;
    let transactions = session.status_transactions(TRANSACTION_AGE_SECONDS, TRANSACTIONS_MAX).await?;
    let rejected = session.status_rejected().await?;
    let events_last_hour = session.status_events(hour_ago).await?;
    let (organizations, partnerships) = session.status_organizations().await?;
    let freshness = session.status_freshness().await?;
    Ok(Status {
        at,
        queue,
        letters,
        jobs,
        troubles,
        pauses,
        transactions,
        rejected,
        events_last_hour,
        organizations,
        partnerships,
        freshness,
    })
}
