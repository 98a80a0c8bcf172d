//! Loads the part of the world that a batch of letters touches.
//!
//! In two rounds of statements that are under way at once: the partnerships that the letters are about, and
//! then what counts given these. [`crate::domain::mailbox::work`] looks at nothing else.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, DeclinedColumns};
use super::error::StoreError;
use super::pool::Transaction;
use super::rows::{organization, partnership};
use super::statements;
use super::together::together;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::decide::reaching_rule;
use crate::domain::mailbox::{self, Letter, Recipients, Reconcile, Work};
use crate::domain::setting::{Change, Edit, Entry, Key, ValueId};
use crate::domain::world::{Declined, LastChange, Reached, World};
use crate::domain::{ChangeNo, EventNo, OrganizationNo, Position, Shard};

impl Transaction<'_> {
    /// Loads the part of the world that letters touch.
    pub(super) async fn load_world(
        &self,
        catalogue: &Catalogue,
        letters: &[Letter],
    ) -> Result<World, StoreError> {
        let mut world = World::default();
        let parties = Parties::of(letters);
        let (uppers, shards) =
            parties.below.iter().map(|(up, shard)| (up.0, shard.0)).unzip::<_, _, Vec<_>, Vec<_>>();
        let above: Vec<i32> = parties.above.iter().map(|no| no.0).collect();
        let (above, below) = together!(
            self.query_unless(above.is_empty(), statements::PARTNERSHIPS_ABOVE, [&above]),
            self.query_unless(uppers.is_empty(), statements::PARTNERSHIPS_BELOW, [&uppers, &shards]),
        )?;
        for row in above.iter().chain(&below) {
            world.load_partnership(partnership(row)?);
        }

        let wanted = Wanted::of(&world, catalogue, letters);
        let changing: Vec<i32> = wanted.changing.iter().map(|no| no.0).collect();
        let whole: Vec<i32> = wanted.organizations.iter().map(|no| no.0).collect();
        let categories = Columns::of_categories(catalogue, &wanted.categories);
        let keys = Columns::of_keys(catalogue, &wanted.keys);
        let versions = Columns::of_categories(catalogue, &wanted.versions);
        let declined = DeclinedColumns::of(catalogue, &wanted.declined);
        let (downs, ups) =
            wanted.declined_whole.iter().map(|(down, up)| (down.0, up.0)).unzip::<_, _, Vec<_>, Vec<_>>();
        let (reached, by_organization, by_category, by_key, versions, declined, declined_whole) = together!(
            self.query_unless(changing.is_empty(), statements::PARTNERSHIPS_REACHED, [&changing]),
            self.query_unless(whole.is_empty(), statements::SETTINGS_LOAD_ORGANIZATIONS, [&whole]),
            self.query_unless(
                categories.organizations.is_empty(),
                statements::SETTINGS_LOAD_CATEGORIES,
                [&categories.organizations, &categories.categories],
            ),
            self.query_unless(
                keys.organizations.is_empty(),
                statements::SETTINGS_LOAD,
                [&keys.organizations, &keys.categories, &keys.keys],
            ),
            self.query_unless(
                versions.organizations.is_empty(),
                statements::VERSIONS_LOAD,
                [&versions.organizations, &versions.categories],
            ),
            self.query_unless(
                declined.downstreams.is_empty(),
                statements::DECLINED_LOAD,
                [&declined.downstreams, &declined.upstreams, &declined.categories, &declined.keys],
            ),
            self.query_unless(downs.is_empty(), statements::DECLINED_LOAD_PARTNERSHIPS, [&downs, &ups]),
        )?;
        for row in &reached {
            let upstream = OrganizationNo(row.get("upstream_no"));
            let reached = Reached { strict: row.get("strict"), merging: row.get("merging") };
            world.load_reached(upstream, Shard(row.get("downstream_shard")), reached);
            let change = ChangeNo(row.get("last_change_no"));
            world.load_last_change(
                upstream,
                LastChange { change, position: Position(row.get("last_position")) },
            );
        }
        let mut known_keys = wanted.known_keys;
        for row in by_organization.iter().chain(&by_category).chain(&by_key) {
            // A category that the catalogue no longer has is left as it is.
            let Some(category) = catalogue.find(row.get("category")) else { continue };
            let key = shared(&mut known_keys, row.get("key"));
            world.load_entry(OrganizationNo(row.get("organization_no")), category, key, entry(row));
        }
        for row in declined.iter().chain(&declined_whole) {
            let Some(category) = catalogue.find(row.get("category")) else { continue };
            let declined = Declined {
                downstream: OrganizationNo(row.get("downstream_no")),
                upstream: OrganizationNo(row.get("upstream_no")),
                category,
                key: shared(&mut known_keys, row.get("key")),
            };
            world.load_declined(declined, EventNo(row.get("event_no")));
        }
        for row in &versions {
            let Some(category) = catalogue.find(row.get("category")) else { continue };
            world.load_version(organization(row), category, row.get("version"));
        }
        Ok(world)
    }
}

fn entry(row: &Row) -> Entry {
    Entry {
        value: ValueId(row.get::<_, Uuid>("value_id").as_u128()),
        origin: row.get::<_, Option<i32>>("origin_no").map(OrganizationNo),
        written_by: EventNo(row.get("event_no")),
        added_by: EventNo(row.get("added_event_no")),
    }
}

/// One allocation for each key, however many organizations have it.
fn shared(known: &mut HashSet<Key>, key: &str) -> Key {
    match known.get(key) {
        Some(key) => Key::clone(key),
        None => {
            let key = Key::from(key);
            known.insert(Key::clone(&key));
            key
        }
    }
}

/// Whose partnerships letters are about.
#[derive(Debug, Default)]
pub struct Parties {
    /// Organizations whose upstreams count, all the way up.
    pub above: BTreeSet<OrganizationNo>,
    /// Upstreams whose downstreams in a shard count.
    pub below: BTreeSet<(OrganizationNo, Shard)>,
}

impl Parties {
    /// Those of these letters.
    pub fn of(letters: &[Letter]) -> Self {
        let mut parties = Self::default();
        for letter in letters {
            match &letter.work {
                Work::OwnChange { organization, .. } => {
                    parties.above.insert(*organization);
                }
                Work::PartnershipChange { upstream, downstream, .. } => {
                    parties.above.extend([*upstream, *downstream]);
                }
                Work::SyncChange { to: Recipients::One(organization), .. } => {
                    parties.above.insert(*organization);
                }
                Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                    parties.below.insert((change.organization, *shard));
                }
                Work::Reconcile(reconcile) => {
                    parties.above.insert(reconcile.downstream);
                }
            }
        }
        parties
    }
}

/// What letters touch, given the partnerships.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Organizations whose settings may change.
    pub changing: BTreeSet<OrganizationNo>,
    /// Organizations whose entries count, all of them.
    pub organizations: BTreeSet<OrganizationNo>,
    /// Categories of which all entries count.
    pub categories: BTreeSet<(OrganizationNo, CategoryId)>,
    /// Single entries that count.
    pub keys: BTreeSet<(OrganizationNo, CategoryId, Key)>,
    /// Categories of which the largest version seen counts.
    pub versions: BTreeSet<(OrganizationNo, CategoryId)>,
    /// Single declined records that count.
    pub declined: BTreeSet<Declined>,
    /// Downstream and upstream of which all declined entries count.
    pub declined_whole: BTreeSet<(OrganizationNo, OrganizationNo)>,
    known_keys: HashSet<Key>,
}

impl Wanted {
    /// What these letters touch; `world` holds the partnerships of their [`Parties`].
    pub fn of(world: &World, catalogue: &Catalogue, letters: &[Letter]) -> Self {
        let mut wanted = Self::default();
        for letter in letters {
            match &letter.work {
                Work::OwnChange { organization, category, version, edit } => {
                    wanted.own_change(*organization, *category, version.is_some(), edit);
                }
                Work::PartnershipChange { upstream, .. } => {
                    wanted.changing.insert(*upstream);
                }
                Work::SyncChange { change, to: Recipients::One(downstream) } => {
                    wanted.sync_change(world, catalogue, change, *downstream);
                }
                Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                    for member in mailbox::members(world, change.organization, *shard) {
                        wanted.sync_change(world, catalogue, change, member);
                    }
                }
                Work::Reconcile(Reconcile { upstream, downstream, .. }) => {
                    wanted.changing.extend([*upstream, *downstream]);
                    wanted.organizations.extend([*upstream, *downstream]);
                    wanted.declined_whole.insert((*downstream, *upstream));
                }
            }
        }
        wanted
    }

    fn own_change(
        &mut self,
        organization: OrganizationNo,
        category: CategoryId,
        versioned: bool,
        edit: &Edit,
    ) {
        self.changing.insert(organization);
        if versioned {
            self.versions.insert((organization, category));
        }
        match edit {
            Edit::Changes(changes) => {
                for (key, _) in changes {
                    self.keys.insert((organization, category, Key::clone(key)));
                }
            }
            Edit::Snapshot { .. } => {
                self.categories.insert((organization, category));
            }
        }
    }

    /// A change of mode earlier in the same batch can make no more count than this: from non-exclusive to
    /// flexible and back needs the same, and what makes strict or turns on puts a reconcile in between.
    fn sync_change(
        &mut self,
        world: &World,
        catalogue: &Catalogue,
        change: &Change,
        downstream: OrganizationNo,
    ) {
        let upstream = change.organization;
        let Some(partnership) = world.partnership(upstream, downstream) else { return };
        if reaching_rule(partnership, catalogue, change).is_none() {
            return;
        }
        self.changing.insert(downstream);
        for (key, effect) in change.entries.iter() {
            let (category, key) = (change.category, Key::clone(key));
            self.known_keys.insert(Key::clone(&key));
            self.keys.insert((downstream, category, Key::clone(&key)));
            if effect.value().is_some() {
                self.declined.insert(Declined { downstream, upstream, category, key });
            }
        }
    }
}
