//! Loads the part of the world that a batch of letters touches.
//!
//! In two rounds of statements that are under way at once: the partnerships that the letters are about, and
//! then what counts given these. [`crate::domain::mailbox::work`] looks at nothing else.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{Columns, DeclinedColumns, KeySetColumns};
use super::error::StoreError;
use super::pool::Transaction;
use super::rows::{organization, partnership};
use super::statements;
use super::together::together;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::decide::{Reaching, reaching_rule};
use crate::domain::mailbox::{Batch, Letter, Progress, Recipients, Reconcile, Work};
use crate::domain::plan::{Plan, Share};
use crate::domain::setting::{Change, Edit, Effect, Entry, Key, ValueId};
use crate::domain::world::{Declined, LastChange, Reached, World};
use crate::domain::{ChangeNo, EventNo, OrganizationNo, Position, Shard};

impl Transaction<'_> {
    /// Plans a batch with room for `writes_max` entries, and loads the part of the world that it touches.
    pub(super) async fn load_world(
        &self,
        catalogue: &Catalogue,
        batch: &mut Batch,
        writes_max: usize,
    ) -> Result<World, StoreError> {
        let mut world = World::default();
        self.load_parties(Parties::of(batch), &mut world).await?;
        batch.plan = Plan::of(&world, catalogue, batch, writes_max);
        let wanted = Wanted::of(&world, catalogue, batch);
        self.load_wanted(catalogue, wanted, &mut world).await?;
        Ok(world)
    }

    /// The partnerships that letters are about.
    pub(super) async fn load_parties(&self, parties: Parties, world: &mut World) -> Result<(), StoreError> {
        let (uppers, shards) =
            parties.below.iter().map(|(up, shard)| (up.0, shard.0)).unzip::<_, _, Vec<_>, Vec<_>>();
        let above: Vec<i32> = parties.above.iter().map(|no| no.0).collect();
        let (above, below) = together!(
            self.query_unless(above.is_empty(), statements::PARTNERSHIPS_ABOVE, [&above]),
            self.query_unless(uppers.is_empty(), statements::PARTNERSHIPS_BELOW, [&uppers, &shards]),
        )?;
        for row in above.iter().chain(&below) {
            let partnership = partnership(row)?;
            if row.get("has_declined") {
                world.load_declining(partnership.upstream, partnership.downstream);
            }
            world.load_partnership(partnership);
        }
        Ok(())
    }

    /// What letters touch besides.
    pub(super) async fn load_wanted(
        &self,
        catalogue: &Catalogue,
        wanted: Wanted,
        world: &mut World,
    ) -> Result<(), StoreError> {
        let changing: Vec<i32> = wanted.changing.iter().map(|no| no.0).collect();
        let synced: Vec<&str> = catalogue.synced().map(|(_, category)| &*category.name).collect();
        let sides = SideColumns::of(&wanted.parts);
        let parts = PartColumns::of(wanted.parts.iter().filter(|part| part.may_be_declined));
        let categories = Columns::of_categories(catalogue, &wanted.categories);
        let keys = KeySetColumns::of(catalogue, &wanted.keys);
        let versions = Columns::of_categories(catalogue, &wanted.versions);
        let declined = DeclinedColumns::of(catalogue, &wanted.declined);
        let (reached, of_parts, by_category, by_key, versions, declined, declined_of_parts) = together!(
            self.query_unless(changing.is_empty(), statements::PARTNERSHIPS_REACHED, [&changing]),
            self.query_unless(
                wanted.parts.is_empty(),
                statements::SETTINGS_LOAD_PARTS,
                [&sides.organizations, &sides.categories, &sides.keys, &sides.limits, &synced],
            ),
            self.query_unless(
                categories.organizations.is_empty(),
                statements::SETTINGS_LOAD_CATEGORIES,
                [&categories.organizations, &categories.categories],
            ),
            self.query_unless(
                keys.organizations.is_empty(),
                statements::SETTINGS_LOAD,
                [
                    &keys.organizations,
                    &keys.categories,
                    &keys.sets,
                    &keys.firsts,
                    &keys.lasts,
                    &keys.set_nos,
                    &keys.keys,
                ],
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
            self.query_unless(
                parts.upstreams.is_empty(),
                statements::DECLINED_LOAD_PARTS,
                [
                    &parts.downstreams,
                    &parts.upstreams,
                    &parts.categories,
                    &parts.keys,
                    &parts.limits,
                    &synced,
                ],
            ),
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
        for row in of_parts.iter().chain(&by_category).chain(&by_key) {
            // A category that the catalogue no longer has is left as it is.
            let Some(category) = catalogue.find(row.get("category")) else { continue };
            let key = shared(&mut known_keys, row.get("key"));
            world.load_entry(OrganizationNo(row.get("organization_no")), category, key, entry(row));
        }
        for row in declined.iter().chain(&declined_of_parts) {
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
        Ok(())
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
    /// Those of the letters of a batch that do not wait: nobody asks about the others'.
    pub fn of(batch: &Batch) -> Self {
        let mut parties = Self::default();
        for letter in batch.letters.iter().filter(|letter| !batch.waiting.contains(&letter.no)) {
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

/// A part of a reconcile: of both sides, the first entries after a place.
#[derive(Debug)]
pub struct WantedPart {
    /// The channel manager.
    pub upstream: OrganizationNo,
    /// The channel partner.
    pub downstream: OrganizationNo,
    /// The place that the part begins after: its category.
    pub after_category: String,
    /// Its key.
    pub after_key: String,
    /// One more than the part goes through, to tell whether there are more.
    pub entries_max: i64,
    /// Whether the downstream has declined anything of the upstream.
    pub may_be_declined: bool,
}

impl WantedPart {
    fn of(world: &World, letter: &Letter, share: &Share, reconcile: &Reconcile) -> Self {
        let Reconcile { upstream, downstream, .. } = *reconcile;
        // No category and no key is empty: the first place of all.
        let (after_category, after_key) = match &letter.progress {
            Progress::Entries { through, .. } => (through.category.to_string(), through.key.to_string()),
            Progress::NotBegun | Progress::Members { .. } => (String::new(), String::new()),
        };
        let entries_max = match share {
            Share::Entries(max) => i64::try_from(*max).unwrap_or(i64::MAX).saturating_add(1),
            Share::Whole | Share::Nothing | Share::Members { .. } => i64::MAX,
        };
        let may_be_declined = world.has_declined(upstream, downstream);
        Self { upstream, downstream, after_category, after_key, entries_max, may_be_declined }
    }
}

/// The entries of one side that parts of reconciles go through, each once: many may have the same upstream. As columns.
#[derive(Default)]
struct SideColumns<'a> {
    organizations: Vec<i32>,
    categories: Vec<&'a str>,
    keys: Vec<&'a str>,
    limits: Vec<i64>,
}

impl<'a> SideColumns<'a> {
    fn of(parts: &'a [WantedPart]) -> Self {
        let sides: BTreeSet<(OrganizationNo, &str, &str, i64)> = parts
            .iter()
            .flat_map(|part| [(part.upstream, part), (part.downstream, part)])
            .map(|(side, part)| (side, &*part.after_category, &*part.after_key, part.entries_max))
            .collect();
        let mut columns = Self::default();
        for (organization, category, key, limit) in sides {
            columns.organizations.push(organization.0);
            columns.categories.push(category);
            columns.keys.push(key);
            columns.limits.push(limit);
        }
        columns
    }
}

/// Parts of reconciles, as columns.
#[derive(Default)]
struct PartColumns<'a> {
    upstreams: Vec<i32>,
    downstreams: Vec<i32>,
    categories: Vec<&'a str>,
    keys: Vec<&'a str>,
    limits: Vec<i64>,
}

impl<'a> PartColumns<'a> {
    fn of(parts: impl Iterator<Item = &'a WantedPart>) -> Self {
        let mut columns = Self::default();
        for part in parts {
            columns.upstreams.push(part.upstream.0);
            columns.downstreams.push(part.downstream.0);
            columns.categories.push(&part.after_category);
            columns.keys.push(&part.after_key);
            columns.limits.push(part.entries_max);
        }
        columns
    }
}

/// What letters touch, given the partnerships.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Organizations whose settings may change.
    pub changing: BTreeSet<OrganizationNo>,
    /// Parts of reconciles: of both sides, the entries that these go through.
    pub parts: Vec<WantedPart>,
    /// Categories of which all entries count.
    pub categories: BTreeSet<(OrganizationNo, CategoryId)>,
    /// Single entries that count, sorted.
    pub keys: Vec<(OrganizationNo, CategoryId, Key)>,
    /// Categories of which the largest version seen counts.
    pub versions: BTreeSet<(OrganizationNo, CategoryId)>,
    /// Single declined records that count.
    pub declined: Vec<Declined>,
    known_keys: HashSet<Key>,
}

impl Wanted {
    /// What these letters touch; `world` holds the partnerships of their [`Parties`].
    pub fn of(world: &World, catalogue: &Catalogue, batch: &Batch) -> Self {
        let mut wanted = Self::default();
        for letter in &batch.letters {
            let share = batch.plan.share(letter.no);
            if *share == Share::Nothing {
                continue;
            }
            match &letter.work {
                Work::OwnChange { organization, category, version, edit } => {
                    wanted.own_change(*organization, *category, version.is_some(), edit);
                }
                Work::PartnershipChange { upstream, .. } => {
                    wanted.changing.insert(*upstream);
                }
                Work::SyncChange { change, to: Recipients::One(downstream) } => {
                    let entries = batch.plan.entries(letter, change);
                    wanted.sync_change(world, catalogue, change, entries, *downstream);
                    if letter.replay {
                        wanted.upstream_of_now(change, entries, *downstream);
                    }
                }
                Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                    for member in batch.plan.members(world, letter, change, *shard) {
                        wanted.sync_change(world, catalogue, change, &change.entries, member);
                    }
                }
                Work::Reconcile(reconcile) => {
                    wanted.changing.extend([reconcile.upstream, reconcile.downstream]);
                    wanted.parts.push(WantedPart::of(world, letter, share, reconcile));
                }
            }
        }
        // Each once, and in the order of the index. They come in long runs that are sorted, which sorting makes use of.
        wanted.keys.sort();
        wanted.keys.dedup();
        wanted.declined.sort();
        wanted.declined.dedup();
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
                    self.keys.push((organization, category, Key::clone(key)));
                }
            }
            Edit::Snapshot { .. } => {
                self.categories.insert((organization, category));
            }
        }
    }

    /// A change that is replayed brings what the upstream has now, whatever it says itself.
    fn upstream_of_now(&mut self, change: &Change, entries: &[(Key, Effect)], downstream: OrganizationNo) {
        let (upstream, category) = (change.organization, change.category);
        for (key, _) in entries {
            self.keys.push((upstream, category, Key::clone(key)));
            self.declined.push(Declined { downstream, upstream, category, key: Key::clone(key) });
        }
    }

    /// A change of mode earlier in the same batch can make no more count than this: non-exclusive and flexible
    /// need the same, strict needs more, and what makes strict or turns on puts a reconcile in between.
    fn sync_change(
        &mut self,
        world: &World,
        catalogue: &Catalogue,
        change: &Change,
        entries: &[(Key, Effect)],
        downstream: OrganizationNo,
    ) {
        let upstream = change.organization;
        let Some(partnership) = world.partnership(upstream, downstream) else { return };
        let Some(reaching) = reaching_rule(partnership, catalogue, change) else { return };
        self.changing.insert(downstream);
        let may_be_declined = world.has_declined(upstream, downstream);
        for (key, effect) in entries {
            if reaching == Reaching::Merge && !matches!(effect, Effect::Added(_)) {
                continue;
            }
            let (category, key) = (change.category, Key::clone(key));
            self.known_keys.insert(Key::clone(&key));
            self.keys.push((downstream, category, Key::clone(&key)));
            if may_be_declined && effect.value().is_some() {
                self.declined.push(Declined { downstream, upstream, category, key });
            }
        }
    }
}
