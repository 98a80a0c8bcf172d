//! Replays: jobs that are done once more. A replay and its jobs are rows, and whoever comes by sends the next of
//! them; so it survives everything that rows survive.
//!
//! Sending turns the row of a job back into a letter, under the lock of its shard. From then on it is a job that
//! waits like any other, but for the letter's mark that it is a replay ([`crate::domain::replay`]).

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::choice::{Choice, ChoiceColumns, Purpose};
use super::error::StoreError;
use super::pool::{Session, Store, Transaction};
use super::read::Counts;
use super::rows::one;
use super::statements;
use super::together::together;
use crate::domain::Shard;

/// The most jobs of one replay.
pub const REPLAY_JOBS_MAX: i64 = 1_000_000;

/// A replay that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewReplay<'a> {
    /// Who.
    pub requested_by: &'a str,
    /// Why.
    pub reason: &'a str,
    /// What was asked for, in the words of the command line.
    pub filter: &'a Value,
    /// How many jobs a second it may send.
    pub rate_per_second: Option<i32>,
}

/// A replay.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReplayRow {
    /// Its number.
    pub replay_no: i64,
    /// Who asked for it.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// Which jobs were asked for.
    pub filter: Value,
    /// How many jobs a second it may send.
    pub rate_per_second: Option<i32>,
    /// `running`, `done` or `cancelled`.
    pub state: String,
    /// How many jobs it has.
    pub total: i32,
    /// How many of them were sent: they wait like any other job, or are done.
    pub sent: i32,
    /// How many were refused.
    pub refused: i32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its last job was sent, or it was cancelled.
    pub finished_at: Option<Timestamp>,
}

/// Jobs of a replay that were refused or have failed again for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplayTroubleRow {
    /// `refused` or `failed`.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// How many jobs.
    pub jobs: i64,
    /// The idempotency key of one of them.
    pub example: String,
}

/// What was sent at one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The replay.
    pub replay_no: i64,
    /// How many jobs were sent.
    pub sent: usize,
    /// How many were refused.
    pub refused: usize,
    /// Whether it was the last of the replay.
    pub done: bool,
}

impl Store {
    /// Sends the next jobs of a replay that may go on: at most `jobs_max`, all of one shard, and no more than
    /// its rate allows a second. None where no replay may go on now, or others are at work on all of them.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or the shard is not to be had in time: then nothing was
    /// sent.
    pub async fn send_replay(&self, jobs_max: i64) -> Result<Option<Sent>, StoreError> {
        let mut session = self.session().await?;
        let transaction = session.begin().await?;
        let replays = transaction.query(statements::REPLAY_TAKE, &[]).await?;
        let Some(replay) = replays.first() else { return Ok(None) };
        let replay_no: i64 = replay.get("replay_no");
        let rate: Option<i32> = replay.get("rate_per_second");
        let jobs_max = rate.map_or(jobs_max, |rate| jobs_max.min(rate.into())).max(1);
        let (sent, refused) = match transaction.send_next(replay_no, jobs_max).await {
            Ok(counts) => counts,
            Err(error) => {
                drop(transaction);
                // Where this fails too, the replay is simply looked at again sooner.
                let _ = session.query(statements::REPLAY_POSTPONE, &[&replay_no]).await;
                return Err(error);
            }
        };
        let progress = transaction
            .query(statements::REPLAY_ADVANCE, &[&replay_no, &(sent as i32), &(refused as i32)])
            .await?;
        let done = progress.first().is_some_and(|row| row.get::<_, &str>(0) == "done");
        if sent > 0 {
            transaction.query(statements::LETTERS_NOTIFY, &[]).await?;
        }
        transaction.commit().await?;
        Ok(Some(Sent { replay_no, sent, refused, done }))
    }

    /// After what time the next replay may go on; none where none is running.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn replay_due(&self) -> Result<Option<Duration>, StoreError> {
        let rows = self.session().await?.query(statements::REPLAY_DUE, &[]).await?;
        Ok(rows.first().map(|row| Duration::from_millis(row.get::<_, i64>(0).unsigned_abs())))
    }
}

impl Transaction<'_> {
    /// Adds a replay of the chosen jobs; returns its number, how many jobs it has, and how many of them are
    /// refused. It begins when the transaction is committed.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn add_replay(
        &self,
        replay: &NewReplay<'_>,
        choice: &Choice<'_>,
    ) -> Result<(i64, i32, i32), StoreError> {
        let NewReplay { requested_by, reason, filter, rate_per_second } = replay;
        let rows =
            self.query(statements::REPLAY_ADD, &[requested_by, reason, filter, rate_per_second]).await?;
        let replay_no: i64 = one(&rows, "a new replay")?.get(0);
        let columns = ChoiceColumns::of(Purpose::Replay, choice);
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![&replay_no];
        parameters.extend(columns.parameters());
        parameters.push(&REPLAY_JOBS_MAX);
        self.execute(statements::REPLAY_JOBS_ADD, &parameters).await?;
        let rows = self.query(statements::REPLAY_COUNT, &[&replay_no]).await?;
        let counts = one(&rows, "a new replay")?;
        // Wakes the replayers of all processes.
        self.query(statements::LETTERS_NOTIFY, &[]).await?;
        Ok((replay_no, counts.get(0), counts.get(1)))
    }

    /// Sends no more of a replay; returns how many of its jobs are left off, none where it was not running.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn cancel_replay(&self, replay_no: i64) -> Result<Option<i32>, StoreError> {
        self.be_patient().await?;
        let rows = self.query(statements::REPLAY_CANCEL, &[&replay_no]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    }

    /// How many were sent, and how many refused.
    async fn send_next(&self, replay_no: i64, jobs_max: i64) -> Result<(usize, usize), StoreError> {
        let rows = self.query(statements::REPLAY_NEXT, &[&replay_no, &jobs_max]).await?;
        let Some(first) = rows.first() else { return Ok((0, 0)) };
        self.wait_for_shards(&[Shard(first.get("shard"))]).await?;
        let (mut causes, mut organizations, mut were) = (Vec::new(), Vec::new(), Vec::new());
        let (mut letter_causes, mut letter_organizations) = (Vec::new(), Vec::new());
        for row in &rows {
            let (cause, organization): (i64, i32) = (row.get("cause_no"), row.get("organization_no"));
            match row.get("was") {
                "retrying" => {
                    letter_causes.push(cause);
                    letter_organizations.push(organization);
                }
                was => {
                    causes.push(cause);
                    organizations.push(organization);
                    were.push(was);
                }
            }
        }
        let (jobs, letters) = together!(
            self.query_unless(
                causes.is_empty(),
                statements::REPLAY_SEND_JOBS,
                [&causes, &organizations, &were]
            ),
            self.query_unless(
                letter_causes.is_empty(),
                statements::REPLAY_SEND_LETTERS,
                [&letter_causes, &letter_organizations],
            ),
        )?;
        let address = |row: &Row| (row.get::<_, i64>("cause_no"), row.get::<_, i32>("organization_no"));
        let mut sent: HashMap<(i64, i32), bool> =
            jobs.iter().map(|row| (address(row), row.get("had_effect"))).collect();
        sent.extend(letters.iter().map(|row| (address(row), false)));

        let (mut causes, mut organizations) = (Vec::new(), Vec::new());
        let (mut reasons, mut had_effect) = (Vec::new(), Vec::new());
        for row in &rows {
            let (cause, organization) = address(row);
            let effect = sent.get(&(cause, organization));
            causes.push(cause);
            organizations.push(organization);
            reasons.push(match effect {
                Some(_) => None,
                None => Some(format!("it was {} and is not any more", row.get::<_, &str>("was"))),
            });
            had_effect.push(effect.copied().unwrap_or(false));
        }
        self.execute(statements::REPLAY_MARK, &[&replay_no, &causes, &organizations, &reasons, &had_effect])
            .await?;
        Ok((sent.len(), rows.len() - sent.len()))
    }
}

impl Session {
    /// Replays, the newest first.
    ///
    /// # Errors
    /// As [`Session::query`]; so of all the functions here.
    pub async fn list_replays(&self, after: Option<i64>, limit: i64) -> Result<Vec<ReplayRow>, StoreError> {
        let rows = self.query(statements::LIST_REPLAYS, &[&after, &limit]).await?;
        Ok(rows.iter().map(replay).collect())
    }

    /// One replay.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_replay(&self, replay_no: i64) -> Result<Option<ReplayRow>, StoreError> {
        let rows = self.query(statements::SHOW_REPLAY, &[&replay_no]).await?;
        Ok(rows.first().map(replay))
    }

    /// What became of the jobs that a replay has sent: `succeeded`, `failed`, `discarded`, `waiting`, `paused`.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_replay_outcomes(&self, replay_no: i64) -> Result<Counts, StoreError> {
        let rows = self.query(statements::SHOW_REPLAY_OUTCOMES, &[&replay_no]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Jobs of a replay that were refused or have failed again, by why.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn show_replay_troubles(
        &self,
        replay_no: i64,
        limit: i64,
    ) -> Result<Vec<ReplayTroubleRow>, StoreError> {
        let rows = self.query(statements::SHOW_REPLAY_JOBS, &[&replay_no, &limit]).await?;
        let trouble = |row: &Row| ReplayTroubleRow {
            outcome: row.get("outcome"),
            reason: row.get("reason"),
            jobs: row.get("jobs"),
            example: row.get("example"),
        };
        Ok(rows.iter().map(trouble).collect())
    }
}

fn replay(row: &Row) -> ReplayRow {
    ReplayRow {
        replay_no: row.get("replay_no"),
        requested_by: row.get("requested_by"),
        reason: row.get("reason"),
        filter: row.get("filter"),
        rate_per_second: row.get("rate_per_second"),
        state: row.get("state"),
        total: row.get("total"),
        sent: row.get("sent"),
        refused: row.get("refused"),
        created_at: row.get("created_at"),
        finished_at: row.get("finished_at"),
    }
}
