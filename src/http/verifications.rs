//! Verifications and repairs over HTTP: few at one time, none for long, and answers that are not too long.

use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::problem::Problem;
use super::turns::Turns;
use crate::operations::{self, Operator, RepairRow, Verification, VerifyQuery};

/// How many verifications are worked on at one time: each keeps the database busy.
const VERIFICATIONS_MAX: usize = 2;

/// The turns for verifications.
#[derive(Debug, Clone)]
pub struct Verifications(Turns);

/// What a repair has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Repaired {
    /// How many partnerships differed.
    pub drifted: i64,
    /// How many jobs were made. None for what has ended or is not strict any more meanwhile.
    pub jobs: i64,
    /// The jobs: the first of them.
    pub repairs: Vec<RepairRow>,
}

impl Default for Verifications {
    fn default() -> Self {
        Self(Turns::new(VERIFICATIONS_MAX, "verify"))
    }
}

impl Verifications {
    /// Compares partnerships; tells at most as many of those that differ as there may be entries.
    ///
    /// # Errors
    /// 503 where others are at it or it takes too long, or what the comparison fails of.
    pub async fn verify(&self, app: &App, query: &VerifyQuery) -> Result<Verification, Problem> {
        let _turn = self.0.take().await?;
        let mut found = self.compare(app, query).await?;
        found.drifted.truncate(query.limit.into());
        Ok(found)
    }

    /// Compares partnerships, and has those that differ put right, as they are now: they may be others than were shown.
    ///
    /// # Errors
    /// As [`Verifications::verify`]; what was committed before an error stays.
    pub async fn repair(
        &self,
        app: &App,
        query: &VerifyQuery,
        operator: Operator<'_>,
    ) -> Result<Repaired, Problem> {
        let _turn = self.0.take().await?;
        let found = self.compare(app, query).await?;
        let mut repairs = operations::repair(&app.store, &found.drifted, operator).await?;
        let (drifted, jobs) = (found.drifted.len() as i64, repairs.len() as i64);
        repairs.truncate(query.limit.into());
        Ok(Repaired { drifted, jobs, repairs })
    }

    async fn compare(&self, app: &App, query: &VerifyQuery) -> Result<Verification, Problem> {
        self.0.within(operations::verify(&app.store, &app.config.catalogue, query, |_, _| ())).await
    }
}
