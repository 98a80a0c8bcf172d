//! Verify: every strict partnership compared with its upstream, and put right where an operator wants that.
//!
//! Each downstream is compared with its direct upstream, so that a chain of tiers is compared link by link. Only strict
//! partnerships can be: after a merge, nearly anything may be right. What waits is no drift: where jobs are still to be
//! done for a downstream, it is told as not in step yet, and not compared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::replays::Operator;
use super::{OperationError, organizations};
use crate::domain::OrganizationNo;
use crate::domain::catalogue::{Catalogue, Reach};
use crate::store::Store;
use crate::store::verify::{DifferenceRow, Drift, PartnershipAddress, RepairRow, StrictRow};

/// How many partnerships are compared at first, and at most, in one transaction.
const CHUNK_MIN: i64 = 16;
const CHUNK_MAX: i64 = 2_000;

/// How long comparing a chunk may take before the next one is made smaller; below a fourth of it, larger. A snapshot that
/// is open for long keeps the server from clearing away what is gone.
const CHUNK_TIME: Duration = Duration::from_millis(800);

/// How many partnerships one transaction makes jobs for.
const REPAIRS_MAX: usize = 500;

/// Which partnerships are compared, and how much is told.
#[derive(Debug, Clone, Default)]
pub struct VerifyQuery {
    /// Those of this upstream.
    pub upstream_id: Option<String>,
    /// That of this downstream.
    pub organization_id: Option<String>,
    /// In this category alone.
    pub category: Option<String>,
    /// At most so many entries, and partnerships that are not in step yet, are told.
    pub limit: u16,
}

/// What was compared, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Verification {
    /// When it began.
    pub at: Timestamp,
    /// How many strict partnerships were gone through.
    pub partnerships: i64,
    /// How many of them are as their upstreams.
    pub in_step: i64,
    /// How many were not compared, since jobs wait for the downstream.
    pub waiting: i64,
    /// How many entries differ, in all partnerships together.
    pub drift: Drift,
    /// The partnerships that differ: all of them; over HTTP, the first of them.
    pub drifted: Vec<DriftedPartnership>,
    /// The entries that differ: the first of them.
    pub differences: Vec<DifferenceRow>,
    /// Partnerships that are not in step yet: the first of them.
    pub not_in_step_yet: Vec<WaitingPartnership>,
}

/// A partnership that differs though nothing waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DriftedPartnership {
    /// The downstream.
    pub organization_id: String,
    /// The upstream.
    pub upstream_id: String,
    /// How much differs, in each category where something does.
    pub categories: BTreeMap<String, Drift>,
    /// How many jobs of the upstream's changes have failed here: they may be why.
    pub jobs_failed: i64,
    #[serde(skip)]
    address: PartnershipAddress,
}

impl DriftedPartnership {
    /// How much differs in all categories.
    pub fn drift(&self) -> Drift {
        self.categories.values().fold(Drift::default(), |all, more| all.plus(*more))
    }
}

/// A partnership for whose downstream jobs wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingPartnership {
    /// The downstream.
    pub organization_id: String,
    /// The upstream.
    pub upstream_id: String,
    /// How many jobs wait.
    pub jobs_waiting: i64,
    /// Whether the downstream, or everything, is paused.
    pub paused: bool,
}

/// Compares strict partnerships with their upstreams, chunk by chunk. Reads only, and holds nobody up. `progress` is
/// told how many of how many partnerships are done.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], [`OperationError::UnknownCategory`], [`OperationError::NotKeptInSync`], or
/// where the database cannot be read.
pub async fn verify(
    store: &Store,
    catalogue: &Catalogue,
    query: &VerifyQuery,
    mut progress: impl FnMut(i64, i64),
) -> Result<Verification, OperationError> {
    let mut session = store.session().await?;
    let category = query.category.as_deref();
    if let Some(category) = category
        && OperationError::category_of(catalogue, category)?.reach != Reach::Ongoing
    {
        let ongoing = catalogue.iter().filter(|(_, one)| one.reach == Reach::Ongoing);
        let ongoing = ongoing.map(|(_, one)| one.name.to_string()).collect();
        return Err(OperationError::NotKeptInSync { category: category.to_owned(), ongoing });
    }
    let upstream = organizations::organization_if_named(&session, query.upstream_id.as_deref()).await?;
    let downstream = organizations::organization_if_named(&session, query.organization_id.as_deref()).await?;
    let total = session.count_strict(upstream, downstream).await?;
    let mut found = Verification {
        at: Timestamp::now(),
        partnerships: 0,
        in_step: 0,
        waiting: 0,
        drift: Drift::default(),
        drifted: Vec::new(),
        differences: Vec::new(),
        not_in_step_yet: Vec::new(),
    };
    let mut chunk_max = CHUNK_MIN;
    let mut after = (OrganizationNo(i32::MIN), OrganizationNo(i32::MIN));
    loop {
        progress(found.partnerships, total.max(found.partnerships));
        let transaction = session.begin_reading().await?;
        let chunk = transaction.strict_partnerships(upstream, downstream, after, chunk_max).await?;
        // What it took so far goes by the mailbox, not by the chunk.
        let started = Instant::now();
        let Some(last) = chunk.last() else { return Ok(found) };
        after = last.address;
        let settled: Vec<PartnershipAddress> =
            chunk.iter().filter(|one| one.jobs_waiting == 0).map(|one| one.address).collect();
        let drift = transaction.drift(&settled, category).await?;
        let mut drifted: BTreeMap<PartnershipAddress, BTreeMap<String, Drift>> = BTreeMap::new();
        for row in drift {
            drifted.entry(row.address).or_default().insert(row.category, row.drift);
        }
        let addresses: Vec<PartnershipAddress> = drifted.keys().copied().collect();
        let room = i64::from(query.limit) - found.differences.len() as i64;
        found.differences.extend(transaction.differences(&addresses, category, room).await?);
        for one in chunk {
            found.count(one, &mut drifted, query.limit);
        }
        let took = started.elapsed();
        chunk_max = match took {
            took if took > CHUNK_TIME => (chunk_max / 2).max(1),
            took if took < CHUNK_TIME / 4 => (chunk_max * 2).min(CHUNK_MAX),
            _ => chunk_max,
        };
    }
}

impl Verification {
    fn count(
        &mut self,
        one: StrictRow,
        drifted: &mut BTreeMap<PartnershipAddress, BTreeMap<String, Drift>>,
        limit: u16,
    ) {
        let StrictRow { address, upstream_id, organization_id, jobs_waiting, jobs_failed, paused } = one;
        self.partnerships += 1;
        if jobs_waiting > 0 {
            self.waiting += 1;
            if self.not_in_step_yet.len() < limit.into() {
                let waiting = WaitingPartnership { organization_id, upstream_id, jobs_waiting, paused };
                self.not_in_step_yet.push(waiting);
            }
        } else if let Some(categories) = drifted.remove(&address) {
            let one = DriftedPartnership { organization_id, upstream_id, categories, jobs_failed, address };
            self.drift = self.drift.plus(one.drift());
            self.drifted.push(one);
        } else {
            self.in_step += 1;
        }
    }
}

/// Makes a job for each partnership that was found to differ, which matches it with its upstream as that is when the
/// job runs; and writes down who wanted it and why. What has ended or is not strict any more is left alone, now or
/// when the job runs. Returns the jobs. What was committed before an error stays, and its jobs run.
///
/// # Errors
/// Where the database cannot be reached or refuses.
pub async fn repair(
    store: &Store,
    drifted: &[DriftedPartnership],
    operator: Operator<'_>,
) -> Result<Vec<RepairRow>, OperationError> {
    let mut session = store.session().await?;
    let mut repairs = Vec::new();
    for chunk in drifted.chunks(REPAIRS_MAX) {
        let addresses: Vec<PartnershipAddress> = chunk.iter().map(|one| one.address).collect();
        let transaction = session.begin().await?;
        let made = transaction.add_repairs(&addresses, operator.name, operator.reason).await?;
        transaction.commit().await?;
        repairs.extend(made);
    }
    Ok(repairs)
}
