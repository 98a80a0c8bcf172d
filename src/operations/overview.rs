//! What an operator looks at first: how things stand, what the last hour was like, what is under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::OperationError;
use super::replays::{self, ReplayDetail};
use super::status::{self, Lookup, QueueStatus, Status};
use crate::store::overview::{MinuteRow, OldestRow};
use crate::store::read::{EventFilter, EventRow, TroubleRow};
use crate::store::{Session, Store, StoreError};

/// How many events are shown.
const EVENTS_MAX: i64 = 10;

/// How many replays are looked through for those that are under way.
const REPLAYS_MAX: i64 = 20;

/// For how long after a replay has sent its last job it is looked at whether all of them are done. Of very many jobs,
/// looking takes long.
const LOOKED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How many minutes are shown.
const MINUTES: usize = 60;

/// How long after its end a minute may still be written to: a job is finished at the time when its batch began.
const CLOSED_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// How often minutes are read at most, ...
const READ_PERIOD: Duration = Duration::from_secs(5);

/// ... and how many times as long as that took is waited: of very many jobs, reading takes long.
const READ_SHARE: u32 = 10;

/// How things stand, and what the last hour was like.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// How things stand.
    #[serde(flatten)]
    #[schema(inline)]
    pub status: Status,
    /// The last hour, minute by minute, the oldest first.
    pub minutes: Lookup<Vec<MinuteRow>>,
    /// The letter that has waited longest, where one waits.
    pub oldest: Option<OldestRow>,
    /// The newest events.
    pub events: Vec<EventRow>,
    /// Replays that are under way.
    pub replays: Vec<ReplayDetail>,
}

/// The minutes of the last hour, as far as they are known: those that are over are read once.
#[derive(Debug, Default)]
pub struct Minutes {
    known: BTreeMap<Timestamp, MinuteRow>,
    read_at: Option<Instant>,
    reading_took: Duration,
}

impl Minutes {
    async fn read(&mut self, session: &Session) -> Result<Vec<MinuteRow>, StoreError> {
        let pause = READ_PERIOD.max(self.reading_took * READ_SHARE);
        if self.read_at.is_none_or(|at| at.elapsed() >= pause) {
            let begun = Instant::now();
            let since = self.open_since();
            let rows = session.overview_minutes(since).await?;
            self.known.extend(rows.into_iter().map(|row| (row.at, row)));
            while self.known.len() > MINUTES {
                self.known.pop_first();
            }
            self.read_at = Some(Instant::now());
            self.reading_took = begun.elapsed();
        }
        Ok(self.known.values().copied().collect())
    }

    /// The first minute that may still change; none where nothing is known.
    fn open_since(&self) -> Option<Timestamp> {
        let (newest, _) = self.known.last_key_value()?;
        newest.checked_sub(CLOSED_AFTER).ok()
    }
}

/// How things stand, and what the last hour was like; `queue` is what the broker said, if it was asked. What is known
/// of past `minutes` is not read again. Where they cannot be read in time, the rest is told nevertheless.
///
/// # Errors
/// Where the database cannot be read.
pub async fn overview(
    store: &Store,
    queue: Lookup<QueueStatus>,
    minutes: &mut Minutes,
) -> Result<Overview, OperationError> {
    let status = status::status(store, queue).await?;
    let session = store.session().await?;
    let minutes = match minutes.read(&session).await {
        Ok(minutes) => Lookup::Known(minutes),
        Err(error) => {
            tracing::warn!(%error, "read the last hour");
            Lookup::Unknown("the last hour could not be read in time".to_owned())
        }
    };
    let oldest = session.overview_oldest().await?;
    let events = session.list_events(&EventFilter::default(), EVENTS_MAX).await?;
    let under_way = session.list_replays(None, REPLAYS_MAX).await?;
    let recent = |at: Timestamp| status.at.duration_since(at) < LOOKED_AFTER;
    let mut replays = Vec::new();
    for replay in under_way.into_iter().filter(|replay| replay.finished_at.is_none_or(recent)) {
        let detail = replays::detail(&session, replay).await?;
        if detail.is_under_way() {
            replays.push(detail);
        }
    }
    Ok(Overview { status, minutes, oldest, events, replays })
}

/// The most frequent errors of jobs that are retried or have failed; at most `limit`.
///
/// # Errors
/// Where the database cannot be read.
pub async fn failures(store: &Store, limit: u16) -> Result<Vec<TroubleRow>, OperationError> {
    Ok(store.session().await?.status_troubles(limit.into()).await?)
}
