//! Jobs that an operator chose: what there is to be shown of them, and discarding them.
//!
//! Which jobs a choice names, and which of them are refused and why, is said once, in the database function
//! `chosen_job`. What an operator changes is written down in the same transaction
//! ([`Transaction::add_action`]).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::error::StoreError;
use super::pool::{Session, Transaction};
use super::statements;
use super::together::together;
use crate::domain::{CauseNo, EventNo, OrganizationNo, Shard};

/// What is to be done with chosen jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are done once more.
    Replay,
    /// They are given up for good.
    Discard,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// A job, by its idempotency key.
pub type JobAddress = (CauseNo, OrganizationNo);

/// Which jobs: all that fit everything that is said.
#[derive(Debug, Clone, Default)]
pub struct Choice<'a> {
    /// These alone.
    pub keys: Option<&'a [JobAddress]>,
    /// Of this root event.
    pub event: Option<EventNo>,
    /// That sync from this upstream, or are about its partnership.
    pub upstream: Option<OrganizationNo>,
    /// That write the settings of this organization.
    pub organization: Option<OrganizationNo>,
    /// About this category.
    pub category: Option<&'a str>,
    /// Of this kind.
    pub kind: Option<&'a str>,
    /// In this state; `unfinished` is failed or retrying.
    pub state: Option<&'a str>,
    /// With an error that contains this, in whatever case.
    pub error: Option<&'a str>,
    /// Finished since then; for jobs that are tried again: whose letter was written since then.
    pub since: Option<Timestamp>,
    /// Finished by then.
    pub until: Option<Timestamp>,
}

/// A choice, as the parameters of `chosen_job`.
pub(super) struct ChoiceColumns<'a> {
    purpose: &'static str,
    causes: Option<Vec<i64>>,
    organizations: Option<Vec<i32>>,
    event: Option<i64>,
    upstream: Option<i32>,
    organization: Option<i32>,
    choice: &'a Choice<'a>,
}

impl<'a> ChoiceColumns<'a> {
    pub(super) fn of(purpose: Purpose, choice: &'a Choice<'a>) -> Self {
        Self {
            purpose: purpose.name(),
            causes: choice.keys.map(|keys| keys.iter().map(|(cause, _)| cause.0).collect()),
            organizations: choice.keys.map(|keys| keys.iter().map(|(_, no)| no.0).collect()),
            event: choice.event.map(|no| no.0),
            upstream: choice.upstream.map(|no| no.0),
            organization: choice.organization.map(|no| no.0),
            choice,
        }
    }

    pub(super) fn parameters(&self) -> [&(dyn tokio_postgres::types::ToSql + Sync); 12] {
        let Choice { category, kind, state, error, since, until, .. } = self.choice;
        [
            &self.purpose,
            &self.causes,
            &self.organizations,
            &self.event,
            &self.upstream,
            &self.organization,
            category,
            kind,
            state,
            error,
            since,
            until,
        ]
    }
}

/// Chosen jobs that have all of this in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChosenRow {
    /// Their kind.
    pub kind: String,
    /// Their state.
    pub state: String,
    /// The error that they failed of.
    pub error: Option<String>,
    /// Why they are refused, where they are.
    pub refusal: Option<String>,
    /// How many they are.
    pub jobs: i64,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Chosen {
    /// How many jobs.
    pub jobs: i64,
    /// How many of them are refused.
    pub refused: i64,
    /// The largest groups.
    pub groups: Vec<ChosenRow>,
    /// When this was so, by the clock of the database; none where nothing was chosen.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

impl Session {
    /// Which of these jobs there are not: the first few.
    ///
    /// # Errors
    /// As [`Session::query`]; so of all the functions here.
    pub async fn unknown_jobs(&self, keys: &[JobAddress]) -> Result<Vec<JobAddress>, StoreError> {
        let causes: Vec<i64> = keys.iter().map(|(cause, _)| cause.0).collect();
        let organizations: Vec<i32> = keys.iter().map(|(_, no)| no.0).collect();
        let rows = self.query(statements::JOBS_UNKNOWN, &[&causes, &organizations]).await?;
        Ok(rows.iter().map(|row| (CauseNo(row.get(0)), OrganizationNo(row.get(1)))).collect())
    }

    /// What a choice comes to, in at most `groups_max` groups.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn chosen(
        &self,
        purpose: Purpose,
        choice: &Choice<'_>,
        groups_max: i64,
    ) -> Result<Chosen, StoreError> {
        let columns = ChoiceColumns::of(purpose, choice);
        let mut parameters = columns.parameters().to_vec();
        parameters.push(&groups_max);
        let rows = self.query(statements::JOBS_CHOSEN, &parameters).await?;
        let group = |row: &tokio_postgres::Row| ChosenRow {
            kind: row.get("kind"),
            state: row.get("state"),
            error: row.get("error"),
            refusal: row.get("refusal"),
            jobs: row.get("jobs"),
        };
        Ok(Chosen {
            jobs: rows.first().map_or(0, |row| row.get("jobs_total")),
            refused: rows.first().map_or(0, |row| row.get("refused_total")),
            groups: rows.iter().map(group).collect(),
            at: rows.first().map(|row| row.get("at")),
        })
    }
}

/// How long an operator's transaction waits for a lock: longer than a worker's.
const OPERATOR_LOCK_TIMEOUT: &str = "30s";

impl Transaction<'_> {
    /// Waits until nobody works in these shards, and keeps everybody out until the transaction ends. Waits for
    /// as long as an operator does, not a worker.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or somebody works in one of them for longer.
    pub(super) async fn wait_for_shards(&self, shards: &[Shard]) -> Result<(), StoreError> {
        let shards: Vec<i32> = shards.iter().map(|shard| shard.0.into()).collect();
        self.be_patient().await?;
        self.query(statements::SHARDS_WAIT, &[&shards]).await?;
        Ok(())
    }

    /// From now on, waits for locks as long as an operator does.
    pub(super) async fn be_patient(&self) -> Result<(), StoreError> {
        self.query(statements::LOCK_TIMEOUT_SET, &[&OPERATOR_LOCK_TIMEOUT]).await.map(|_| ())
    }

    /// Writes down who did what, and why.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn add_action(
        &self,
        who: &str,
        action: &str,
        reason: Option<&str>,
        subject: &Value,
    ) -> Result<(), StoreError> {
        self.execute(statements::ACTION_ADD, &[&who, &action, &reason, subject]).await?;
        Ok(())
    }

    /// Discards the next of the chosen jobs: at most `jobs_max`, all of one shard. Returns which, none where
    /// there are no more.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn discard_jobs(
        &self,
        choice: &Choice<'_>,
        why: &str,
        jobs_max: i64,
    ) -> Result<Option<Vec<JobAddress>>, StoreError> {
        let columns = ChoiceColumns::of(Purpose::Discard, choice);
        let mut parameters = columns.parameters().to_vec();
        parameters.push(&jobs_max);
        let rows = self.query(statements::JOBS_DISCARD_NEXT, &parameters).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let shard: i32 = first.get("shard");
        self.wait_for_shards(&[Shard(shard as i16)]).await?;
        let of = |failed: bool| -> (Vec<i64>, Vec<i32>) {
            rows.iter()
                .filter(|row| row.get::<_, i32>("shard") == shard)
                .filter(|row| (row.get::<_, &str>("state") == "failed") == failed)
                .map(|row| (row.get::<_, i64>("cause_no"), row.get::<_, i32>("organization_no")))
                .unzip()
        };
        let ((causes, organizations), (letter_causes, letter_organizations)) = (of(true), of(false));
        let (jobs, letters) = together!(
            self.query_unless(causes.is_empty(), statements::JOBS_DISCARD, [&causes, &organizations, &why]),
            self.query_unless(
                letter_causes.is_empty(),
                statements::LETTERS_DISCARD,
                [&letter_causes, &letter_organizations, &why],
            ),
        )?;
        let address = |row: &tokio_postgres::Row| (CauseNo(row.get(0)), OrganizationNo(row.get(1)));
        Ok(Some(jobs.iter().chain(&letters).map(address).collect()))
    }
}
