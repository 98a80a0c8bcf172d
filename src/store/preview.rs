//! What a preview reads: parts of the world, tier by tier, and what is to be said of them besides.
//!
//! All of it goes in one transaction that cannot write ([`super::Session::begin_reading`]). Nothing is locked: the
//! transaction sees one state, and what is decided on it is forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::StoreError;
use super::load::{Parties, Wanted};
use super::pool::Transaction;
use super::read::StoredValue;
use super::rows::organization;
use super::statements;
use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::Batch;
use crate::domain::plan::Plan;
use crate::domain::setting::ValueId;
use crate::domain::world::World;
use crate::domain::{OrganizationNo, Shard};

/// An organization that something waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitingRow {
    /// Which one.
    pub organization_id: String,
    /// How many of its jobs wait to be done.
    pub jobs: i64,
    /// Whether it is paused.
    pub paused: bool,
}

/// What waits for some organizations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// How many jobs wait.
    pub jobs: i64,
    /// How many organizations they wait for, or are paused.
    pub organizations: i64,
    /// Whether all execution is paused.
    pub everything_paused: bool,
    /// Those for whom most waits.
    pub of: Vec<WaitingRow>,
}

impl Transaction<'_> {
    /// The largest number of an event or change that is in use, and that of an organization.
    ///
    /// # Errors
    /// As [`super::Session::query`]; so of all the functions here.
    pub async fn numbers_used(&self) -> Result<(i64, OrganizationNo), StoreError> {
        let rows = self.query(statements::PREVIEW_NUMBERS, &[]).await?;
        let used = rows.first().map(|row| (row.get("number"), organization(row)));
        Ok(used.unwrap_or((0, OrganizationNo(0))))
    }

    /// The numbers of those of these organizations that are known.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn known_organizations(
        &self,
        organization_ids: &[&str],
    ) -> Result<Vec<(String, OrganizationNo)>, StoreError> {
        let rows = self.query(statements::ORGANIZATIONS_FIND, &[&organization_ids]).await?;
        Ok(rows.iter().map(|row| (row.get("organization_id"), organization(row))).collect())
    }

    /// The names of organizations, of those that are known.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn organization_names(
        &self,
        organizations: &BTreeSet<OrganizationNo>,
    ) -> Result<HashMap<OrganizationNo, String>, StoreError> {
        let nos: Vec<i32> = organizations.iter().map(|no| no.0).collect();
        let rows = self.query_unless(nos.is_empty(), statements::ORGANIZATIONS_NAME, [&nos]).await?;
        Ok(rows.iter().map(|row| (organization(row), row.get("organization_id"))).collect())
    }

    /// Plans a batch with room for `writes_max` entries, and adds to `world` what its letters touch; what was
    /// written there stays. Who stands above an organization is known all the way up, also where a partnership on
    /// the way was only written: what is stored above it was added when it was.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn load_more(
        &self,
        catalogue: &Catalogue,
        batch: &mut Batch,
        world: &mut World,
        writes_max: usize,
    ) -> Result<(), StoreError> {
        let mut loaded = World::default();
        self.load_parties(Parties::of(batch), &mut loaded).await?;
        world.add(loaded);
        batch.plan = Plan::of(world, catalogue, batch, writes_max);
        let mut wanted = Wanted::of(world, catalogue, batch);
        for part in &mut wanted.parts {
            // All that follows, and not so many entries: some of those that are stored may have been removed here.
            part.entries_max = i64::MAX;
        }
        let mut loaded = World::default();
        self.load_wanted(catalogue, wanted, &mut loaded).await?;
        world.add(loaded);
        Ok(())
    }

    /// Adds to `world` all partnerships of these upstreams.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn load_downstreams(
        &self,
        upstreams: &BTreeSet<OrganizationNo>,
        world: &mut World,
    ) -> Result<(), StoreError> {
        let shards = Shard::all();
        let below =
            shards.flat_map(|shard| upstreams.iter().map(move |upstream| (*upstream, shard))).collect();
        let mut loaded = World::default();
        self.load_parties(Parties { below, ..Parties::default() }, &mut loaded).await?;
        world.add(loaded);
        Ok(())
    }

    /// Values by their ids, as they are stored; those of `new` as they would be.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn values(
        &self,
        ids: &BTreeSet<ValueId>,
        new: &BTreeMap<ValueId, String>,
    ) -> Result<HashMap<ValueId, StoredValue>, StoreError> {
        let uuid = |id: &ValueId| Uuid::from_u128(id.0);
        let stored: Vec<Uuid> = ids.iter().filter(|id| !new.contains_key(id)).map(uuid).collect();
        let (new_ids, texts): (Vec<Uuid>, Vec<&str>) =
            ids.iter().filter_map(|id| Some((uuid(id), new.get(id)?.as_str()))).unzip();
        let rows =
            self.query_unless(ids.is_empty(), statements::VALUES_LOAD, [&stored, &new_ids, &texts]).await?;
        Ok(rows.iter().map(|row| (ValueId(row.get::<_, Uuid>(0).as_u128()), row.get(1))).collect())
    }

    /// What waits for some organizations: the first `limit` of them.
    ///
    /// # Errors
    /// As [`super::Session::query`].
    pub async fn waiting(
        &self,
        organizations: &BTreeSet<OrganizationNo>,
        limit: i64,
    ) -> Result<Waiting, StoreError> {
        let nos: Vec<i32> = organizations.iter().map(|no| no.0).collect();
        let rows = self.query(statements::PREVIEW_WAITING, &[&nos, &limit]).await?;
        let of = rows.iter().filter_map(|row| {
            let organization_id = row.get::<_, Option<String>>("organization_id")?;
            Some(WaitingRow { organization_id, jobs: row.get("jobs"), paused: row.get("paused") })
        });
        let first = rows.first();
        Ok(Waiting {
            jobs: first.map_or(0, |row| row.get("jobs_total")),
            organizations: first.map_or(0, |row| row.get("organizations_total")),
            everything_paused: first.is_some_and(|row| row.get("everything_paused")),
            of: of.collect(),
        })
    }
}
