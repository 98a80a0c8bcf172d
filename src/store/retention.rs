//! Days of results: their partitions are made ahead, and dropped by age.
//!
//! A day is a stretch of cause numbers; `job_day` tells when each began. Each function here is a transaction of its own,
//! short, and under one lock, so that whoever does the same at the same time finds it done, or leaves it. What may be
//! done to tables is in the functions of the schema, which belong to its owner: the service may call them, no more.

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::StoreError;
use super::pool::{Session, Store};
use super::rows::one;
use super::statements::{self, Statement};
use crate::domain::CauseNo;

/// A day whose results were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedDay {
    /// Its number.
    pub day_no: i64,
    /// How many of its jobs were kept: those that failed, and those of partnerships.
    pub jobs_kept: i64,
}

/// What was done, or that it was left to another process that is at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<T> {
    /// It is done.
    Done(T),
    /// Another process is at it.
    Left,
}

impl Store {
    /// The date in UTC, by the clock of the database.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses; so of all the functions here.
    pub async fn today(&self) -> Result<Date, StoreError> {
        let rows = self.session().await?.query(statements::RETENTION_TODAY, &[]).await?;
        Ok(one(&rows, "the date")?.get(0))
    }

    /// Begins the day of this date, where it is later than that of the last one; returns its number.
    ///
    /// # Errors
    /// As [`Store::today`].
    pub async fn begin_day(&self, today: Date) -> Result<Turn<Option<i64>>, StoreError> {
        let turn = self.in_turn(statements::RETENTION_BEGIN, &[&today]).await?;
        Ok(turn.of(|rows| rows.first().and_then(|row| row.get(0))))
    }

    /// Makes the partition of the next day that has none, of today and so many days `ahead`; returns its number.
    ///
    /// # Errors
    /// As [`Store::today`]; where others do not let go of the table in time.
    pub async fn make_day(&self, ahead: i32) -> Result<Turn<Option<i64>>, StoreError> {
        let turn = self.in_turn(statements::RETENTION_MAKE, &[&ahead]).await?;
        Ok(turn.of(|rows| rows.first().and_then(|row| row.get(0))))
    }

    /// Drops the oldest day that ended `days` days before this date, or earlier, and that nothing waits for.
    ///
    /// # Errors
    /// As [`Store::today`]; where others do not let go of the table in time.
    pub async fn drop_day(&self, today: Date, days: i32) -> Result<Turn<Option<DroppedDay>>, StoreError> {
        let turn = self.in_turn(statements::RETENTION_DROP, &[&today, &days]).await?;
        let dropped = |row: &Row| DroppedDay { day_no: row.get("dropped"), jobs_kept: row.get("kept") };
        Ok(turn.of(|rows| rows.first().map(dropped)))
    }

    /// Deletes jobs of days that are dropped, which were done only later, by the same age; at most so many. Returns how
    /// many.
    ///
    /// # Errors
    /// As [`Store::today`].
    pub async fn prune_jobs(&self, today: Date, days: i32, jobs_max: i64) -> Result<Turn<usize>, StoreError> {
        let turn = self.in_turn(statements::RETENTION_PRUNE, &[&today, &days, &jobs_max]).await?;
        Ok(turn.of(|rows| rows.len()))
    }

    /// Runs a statement in a transaction of its own, unless another process is at it.
    async fn in_turn(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Turn<Vec<Row>>, StoreError> {
        let mut session = self.session().await?;
        let transaction = session.begin().await?;
        let locked = transaction.query(statements::RETENTION_LOCK, &[]).await?;
        if !one(&locked, "the lock of retention")?.get::<_, bool>(0) {
            return Ok(Turn::Left);
        }
        let rows = transaction.query(statement, parameters).await?;
        transaction.commit().await?;
        Ok(Turn::Done(rows))
    }
}

impl<T> Turn<T> {
    fn of<U>(self, tell: impl FnOnce(T) -> U) -> Turn<U> {
        match self {
            Self::Done(done) => Turn::Done(tell(done)),
            Self::Left => Turn::Left,
        }
    }
}

impl Session {
    /// When the results of the day were dropped to which this cause belongs; none where they are kept, or there is no
    /// such cause.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn job_dropped(&self, cause: CauseNo) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.query(statements::JOB_DROPPED, &[&cause.0]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }
}
