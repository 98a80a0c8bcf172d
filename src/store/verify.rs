//! Comparing strict partnerships with their upstreams, and making jobs that put them right.
//!
//! A chunk of partnerships is compared in one transaction that cannot write ([`super::Session::begin_reading`]): who
//! waits for something and who differs is read from one state, so what is on its way is never taken for a difference.
//! Nothing is locked, and nobody waits.

use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use utoipa::ToSchema;

use super::error::StoreError;
use super::pool::{Session, Transaction};
use super::read::StoredValue;
use super::statements;
use crate::domain::OrganizationNo;

/// Where a strict partnership stands in the order in which they are gone through.
pub type PartnershipAddress = (OrganizationNo, OrganizationNo);

/// A strict partnership, and whether something is on its way to the downstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrictRow {
    /// Upstream and downstream.
    pub address: PartnershipAddress,
    /// The upstream.
    pub upstream_id: String,
    /// The downstream.
    pub organization_id: String,
    /// How many jobs wait that may write the downstream's settings.
    pub jobs_waiting: i64,
    /// How many jobs of the upstream's changes have failed here.
    pub jobs_failed: i64,
    /// Whether the downstream, or everything, is paused.
    pub paused: bool,
}

/// How many entries differ, by how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Drift {
    /// Entries that the upstream has, and the downstream lacks.
    pub missing: i64,
    /// Entries that have another value here.
    pub other: i64,
    /// Entries that the upstream does not have.
    pub extra: i64,
    /// Entries with the upstream's value that do not count as coming from it.
    pub origin: i64,
}

impl Drift {
    /// All of them.
    pub fn entries(&self) -> i64 {
        let Self { missing, other, extra, origin } = self;
        missing + other + extra + origin
    }

    /// These and others together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            missing: self.missing + more.missing,
            other: self.other + more.other,
            extra: self.extra + more.extra,
            origin: self.origin + more.origin,
        }
    }
}

/// A category in which a downstream differs from its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftRow {
    /// Upstream and downstream.
    pub address: PartnershipAddress,
    /// The category.
    pub category: String,
    /// How much differs.
    pub drift: Drift,
}

/// An entry in which a downstream differs from its upstream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferenceRow {
    /// The downstream.
    pub organization_id: String,
    /// The upstream.
    pub upstream_id: String,
    /// The category.
    pub category: String,
    /// The key.
    pub key: String,
    /// `missing` (the upstream has it), `other` (another value), `extra` (the upstream does not have it) or `origin`
    /// (the value is the same, but does not count as coming from the upstream).
    pub kind: String,
    /// The value here, where there is one.
    #[schema(value_type = serde_json::Value)]
    pub here: Option<StoredValue>,
    /// The value of the upstream, where it has one.
    #[schema(value_type = serde_json::Value)]
    pub there: Option<StoredValue>,
    /// `own`, or where the entry here was synced from.
    pub origin: Option<String>,
    /// The event that last wrote the entry here.
    pub event_id: Option<String>,
}

/// A job that puts a partnership right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RepairRow {
    /// The downstream.
    pub organization_id: String,
    /// The upstream.
    pub upstream_id: String,
    /// The event of our own that the job belongs to.
    pub event_id: String,
    /// The job.
    pub idempotency_key: String,
}

fn nos(addresses: &[PartnershipAddress]) -> (Vec<i32>, Vec<i32>) {
    addresses.iter().map(|(upstream, downstream)| (upstream.0, downstream.0)).unzip()
}

impl Session {
    /// How many strict partnerships there are: all, or those of an upstream, of a downstream.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn count_strict(
        &self,
        upstream: Option<OrganizationNo>,
        downstream: Option<OrganizationNo>,
    ) -> Result<i64, StoreError> {
        let (upstream, downstream) = (upstream.map(|no| no.0), downstream.map(|no| no.0));
        let rows = self.query(statements::VERIFY_COUNT, &[&upstream, &downstream]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

impl Transaction<'_> {
    /// The next strict partnerships after one, by the numbers of upstream and downstream.
    ///
    /// # Errors
    /// As [`Session::query`]; so of the others that read.
    pub async fn strict_partnerships(
        &self,
        upstream: Option<OrganizationNo>,
        downstream: Option<OrganizationNo>,
        after: PartnershipAddress,
        limit: i64,
    ) -> Result<Vec<StrictRow>, StoreError> {
        let (upstream, downstream) = (upstream.map(|no| no.0), downstream.map(|no| no.0));
        let rows = self
            .query(statements::VERIFY_PARTNERSHIPS, &[&upstream, &downstream, &after.0.0, &after.1.0, &limit])
            .await?;
        let strict = |row: &Row| StrictRow {
            address: address(row),
            upstream_id: row.get("upstream_id"),
            organization_id: row.get("organization_id"),
            jobs_waiting: row.get("jobs_waiting"),
            jobs_failed: row.get("jobs_failed"),
            paused: row.get("paused"),
        };
        Ok(rows.iter().map(strict).collect())
    }

    /// In which categories partnerships differ; in all, or in one.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn drift(
        &self,
        partnerships: &[PartnershipAddress],
        category: Option<&str>,
    ) -> Result<Vec<DriftRow>, StoreError> {
        let (upstreams, downstreams) = nos(partnerships);
        let rows = self
            .query_unless(
                partnerships.is_empty(),
                statements::VERIFY_COMPARE,
                [&upstreams, &downstreams, &category],
            )
            .await?;
        let drift = |row: &Row| DriftRow {
            address: address(row),
            category: row.get("category"),
            drift: Drift {
                missing: row.get("missing"),
                other: row.get("other"),
                extra: row.get("extra"),
                origin: row.get("origin"),
            },
        };
        Ok(rows.iter().map(drift).collect())
    }

    /// The entries in which partnerships differ, at most `limit`; in all categories, or in one.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn differences(
        &self,
        partnerships: &[PartnershipAddress],
        category: Option<&str>,
        limit: i64,
    ) -> Result<Vec<DifferenceRow>, StoreError> {
        let (upstreams, downstreams) = nos(partnerships);
        let rows = self
            .query_unless(
                partnerships.is_empty() || limit <= 0,
                statements::VERIFY_ENTRIES,
                [&upstreams, &downstreams, &category, &limit],
            )
            .await?;
        let difference = |row: &Row| DifferenceRow {
            organization_id: row.get("organization_id"),
            upstream_id: row.get("upstream_id"),
            category: row.get("category"),
            key: row.get("key"),
            kind: row.get("kind"),
            here: row.get("here"),
            there: row.get("there"),
            origin: row.get("origin"),
            event_id: row.get("event_id"),
        };
        Ok(rows.iter().map(difference).collect())
    }

    /// Makes a reconcile for each of these partnerships that is strict, and writes down who wanted that and why. The
    /// jobs stand behind everything that was taken in so far.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn add_repairs(
        &self,
        partnerships: &[PartnershipAddress],
        who: &str,
        why: &str,
    ) -> Result<Vec<RepairRow>, StoreError> {
        let (upstreams, downstreams) = nos(partnerships);
        let parties: Vec<i32> = upstreams.iter().chain(&downstreams).copied().collect();
        let entries = self.count_settings(&parties).await?;
        let of = |no: &i32| entries.get(no).copied().unwrap_or(0);
        let weights: Vec<i64> =
            upstreams.iter().zip(&downstreams).map(|(one, two)| of(one) + of(two)).collect();

        // Numbers are committed in the order in which they are given.
        self.be_patient().await?;
        self.hold_intake().await?;
        let numbers: Vec<i64> = self.numbers(2 * partnerships.len()).await?.iter().map(|no| no.0).collect();
        let (events, changes) = numbers.split_at(partnerships.len());
        let rows = self
            .query(statements::REPAIRS_ADD, &[&events, &changes, &upstreams, &downstreams, &weights])
            .await?;
        let repair = |row: &Row| RepairRow {
            organization_id: row.get("organization_id"),
            upstream_id: row.get("upstream_id"),
            event_id: row.get("event_id"),
            idempotency_key: row.get("idempotency_key"),
        };
        let repairs: Vec<RepairRow> = rows.iter().map(repair).collect();
        if !repairs.is_empty() {
            let subject: Value = json!({ "repairs": repairs });
            self.add_action(who, "verify repair", Some(why), &subject).await?;
            self.query(statements::LETTERS_NOTIFY, &[]).await?;
        }
        Ok(repairs)
    }
}

fn address(row: &Row) -> PartnershipAddress {
    (OrganizationNo(row.get("upstream_no")), OrganizationNo(row.get("downstream_no")))
}
