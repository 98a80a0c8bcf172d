//! The state that decisions read and write: settings, declined entries, partnerships, versions.
//!
//! A world may be whole (a model in memory) or the part of it that a batch of letters touches (an executor
//! loads that part and saves the [`Writes`]). It answers for what was put into it and never asks anyone;
//! whoever loads a part must load all that the decisions at hand will look at. Further parts may be added while
//! nothing is saved ([`World::add`]): so a preview goes on from tier to tier.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use super::catalogue::CategoryId;
use super::decide::Part;
use super::partnership::{Mode, Partnership, Status};
use super::setting::{Entry, Key};
use super::{ChangeNo, EventNo, OrganizationNo, Position, Shard};

/// An entry that a downstream deleted after it had been synced from an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Declined {
    /// Who deleted it.
    pub downstream: OrganizationNo,
    /// Whose entry it was.
    pub upstream: OrganizationNo,
    /// Its category.
    pub category: CategoryId,
    /// Its key.
    pub key: Key,
}

/// How many downstreams of an organization in one shard are reached by which kind of rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Those with a strict partnership: every change of an ongoing category reaches them.
    pub strict: i64,
    /// Those with a non-exclusive or flexible one: new entries of collections reach them.
    pub merging: i64,
}

/// Where an organization's own changes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastChange {
    /// Its last change that went to downstreams; zero before the first.
    pub change: ChangeNo,
    /// The position of that change's letters. Those of its next change never come before it.
    pub position: Position,
}

impl Default for LastChange {
    fn default() -> Self {
        Self { change: ChangeNo(0), position: Position(0) }
    }
}

/// Whose entry, its category and its key.
pub type EntryAddress = (OrganizationNo, CategoryId, Key);

/// The state, whole or in part, and what was written to it since it was loaded.
#[derive(Debug, Clone, Default)]
pub struct World {
    entries: HashMap<(OrganizationNo, CategoryId), BTreeMap<Key, Entry>>,
    declined: HashMap<Declined, EventNo>,
    /// Partnerships of which something was declined, as it is stored.
    declining: HashSet<(OrganizationNo, OrganizationNo)>,
    partnerships: BTreeMap<(OrganizationNo, OrganizationNo), Partnership>,
    upstreams: HashMap<OrganizationNo, Vec<OrganizationNo>>,
    reached: HashMap<OrganizationNo, BTreeMap<Shard, Reached>>,
    versions: HashMap<(OrganizationNo, CategoryId), i64>,
    last_changes: HashMap<OrganizationNo, LastChange>,
    written: Written,
    notes_entries: bool,
}

#[derive(Debug, Clone, Default)]
struct Written {
    /// Whether there was an entry before.
    entries: HashMap<EntryAddress, bool>,
    declined: HashSet<Declined>,
    partnerships: HashSet<(OrganizationNo, OrganizationNo)>,
    versions: HashSet<(OrganizationNo, CategoryId)>,
    last_changes: HashSet<OrganizationNo>,
}

/// What was written to a [`World`]: the rows to save. Each list is sorted, so that whoever saves them locks
/// rows in one order.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Entries that are there now and were not before, with what they are.
    pub entries_added: Vec<(EntryAddress, Entry)>,
    /// Entries that were there before, with what they are now.
    pub entries_changed: Vec<(EntryAddress, Entry)>,
    /// Entries that are no longer there.
    pub entries_removed: Vec<EntryAddress>,
    /// Entries declined, and by which event.
    pub declined_put: Vec<(Declined, EventNo)>,
    /// Declined records that no longer hold.
    pub declined_removed: Vec<Declined>,
    /// Partnerships that are new or have changed.
    pub partnerships: Vec<Partnership>,
    /// The largest version seen, by organization and category.
    pub versions: Vec<(OrganizationNo, CategoryId, i64)>,
    /// Where the changes of these organizations stand now.
    pub last_changes: Vec<(OrganizationNo, LastChange)>,
}

impl Writes {
    /// Entries that are there now, with what they are.
    pub fn entries_put(&self) -> impl Iterator<Item = &(EntryAddress, Entry)> {
        self.entries_added.iter().chain(&self.entries_changed)
    }

    /// How many entries are written.
    pub fn entries_written(&self) -> usize {
        self.entries_added.len() + self.entries_changed.len() + self.entries_removed.len()
    }
}

impl World {
    /// Adds a part that was loaded later, of the same state of the database. What was written stays as written.
    ///
    /// How many downstreams of an organization are reached must be loaded before a partnership of it is written.
    pub fn add(&mut self, part: World) {
        for ((organization, category), entries) in part.entries {
            for (key, entry) in entries {
                let address = (organization, category, key);
                if !self.written.entries.contains_key(&address) {
                    self.load_entry(organization, category, address.2, entry);
                }
            }
        }
        for (declined, event) in part.declined {
            if !self.written.declined.contains(&declined) {
                self.load_declined(declined, event);
            }
        }
        self.declining.extend(part.declining);
        for partnership in part.partnerships.into_values() {
            if self.partnership(partnership.upstream, partnership.downstream).is_none() {
                self.load_partnership(partnership);
            }
        }
        for (organization, reached) in part.reached {
            self.reached.entry(organization).or_insert(reached);
        }
        for (version, last) in part.versions {
            self.versions.entry(version).or_insert(last);
        }
        for (organization, last) in part.last_changes {
            self.last_changes.entry(organization).or_insert(last);
        }
    }

    /// From now on, decisions tell what became of each entry, and not only how many met which fate.
    pub fn note_entries(&mut self) {
        self.notes_entries = true;
    }

    pub(super) fn notes_entries(&self) -> bool {
        self.notes_entries
    }

    /// The entry of this key, if there is one.
    pub fn entry(&self, organization: OrganizationNo, category: CategoryId, key: &str) -> Option<&Entry> {
        self.entries.get(&(organization, category))?.get(key)
    }

    /// All entries of a category, by key.
    pub fn entries(
        &self,
        organization: OrganizationNo,
        category: CategoryId,
    ) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.get(&(organization, category)).into_iter().flatten()
    }

    /// The keys of a category (its name is given too) that either of two organizations has an entry under, as
    /// far as they belong to a part, in order.
    pub(super) fn keys_of_either(
        &self,
        one: OrganizationNo,
        other: OrganizationNo,
        (category, name): (CategoryId, &str),
        part: &Part,
    ) -> BTreeSet<Key> {
        let begins = match &part.after {
            Some(after) if name < &*after.category => return BTreeSet::new(),
            Some(after) if name == &*after.category => Bound::Excluded(&*after.key),
            _ => Bound::Unbounded,
        };
        let ends = match &part.through {
            Some(through) if name > &*through.category => return BTreeSet::new(),
            Some(through) if name == &*through.category => Bound::Included(&*through.key),
            _ => Bound::Unbounded,
        };
        let both = [one, other].into_iter().filter_map(|no| self.entries.get(&(no, category)));
        both.flat_map(|entries| entries.range::<str, _>((begins, ends)))
            .map(|(key, _)| Key::clone(key))
            .collect()
    }

    /// Every entry of every organization, for comparisons.
    pub fn all_entries(&self) -> impl Iterator<Item = (OrganizationNo, CategoryId, &Key, &Entry)> {
        self.entries.iter().flat_map(|((organization, category), entries)| {
            entries.iter().map(move |(key, entry)| (*organization, *category, key, entry))
        })
    }

    /// Every declined record, for comparisons.
    pub fn all_declined(&self) -> impl Iterator<Item = (&Declined, EventNo)> {
        self.declined.iter().map(|(declined, event)| (declined, *event))
    }

    /// Puts in an entry as it is stored: not a write.
    pub fn load_entry(&mut self, organization: OrganizationNo, category: CategoryId, key: Key, entry: Entry) {
        self.entries.entry((organization, category)).or_default().insert(key, entry);
    }

    pub(super) fn put_entry(
        &mut self,
        organization: OrganizationNo,
        category: CategoryId,
        key: &Key,
        entry: Entry,
    ) {
        let entries = self.entries.entry((organization, category)).or_default();
        let before = entries.insert(Key::clone(key), entry).is_some();
        self.written.entries.entry((organization, category, Key::clone(key))).or_insert(before);
    }

    pub(super) fn remove_entry(&mut self, organization: OrganizationNo, category: CategoryId, key: &Key) {
        let entries = self.entries.get_mut(&(organization, category));
        let before = entries.and_then(|entries| entries.remove(key)).is_some();
        self.written.entries.entry((organization, category, Key::clone(key))).or_insert(before);
    }

    /// The event by which the entry was declined, if it was.
    pub fn declined(&self, declined: &Declined) -> Option<EventNo> {
        self.declined.get(declined).copied()
    }

    /// Puts in a declined record as it is stored: not a write.
    pub fn load_declined(&mut self, declined: Declined, event: EventNo) {
        self.declined.insert(declined, event);
    }

    pub(super) fn decline(&mut self, declined: Declined, event: EventNo) {
        self.declined.insert(declined.clone(), event);
        self.written.declined.insert(declined);
    }

    pub(super) fn undecline(&mut self, declined: Declined) {
        if self.declined.remove(&declined).is_some() {
            self.written.declined.insert(declined);
        }
    }

    /// Whether the downstream has declined anything of the upstream, as it is stored: else there are no declined
    /// records to load.
    pub fn has_declined(&self, upstream: OrganizationNo, downstream: OrganizationNo) -> bool {
        self.declining.contains(&(upstream, downstream))
    }

    /// Puts in that the downstream has declined something of the upstream, as it is stored: not a write.
    pub fn load_declining(&mut self, upstream: OrganizationNo, downstream: OrganizationNo) {
        self.declining.insert((upstream, downstream));
    }

    /// The partnership between these two, in whatever status.
    pub fn partnership(&self, upstream: OrganizationNo, downstream: OrganizationNo) -> Option<&Partnership> {
        self.partnerships.get(&(upstream, downstream))
    }

    /// The partnerships in which `organization` is the upstream, by downstream.
    pub fn downstreams_of(&self, organization: OrganizationNo) -> impl Iterator<Item = &Partnership> {
        let all = (organization, OrganizationNo(i32::MIN))..=(organization, OrganizationNo(i32::MAX));
        self.partnerships.range(all).map(|(_, partnership)| partnership)
    }

    /// The partnerships in which `organization` is the downstream, by upstream.
    pub fn upstreams_of(&self, organization: OrganizationNo) -> impl Iterator<Item = &Partnership> {
        self.upstreams
            .get(&organization)
            .into_iter()
            .flatten()
            .filter_map(move |upstream| self.partnership(*upstream, organization))
    }

    /// The active partnerships in which `organization` is the downstream, by upstream.
    pub fn active_upstreams_of(&self, organization: OrganizationNo) -> impl Iterator<Item = &Partnership> {
        self.upstreams_of(organization).filter(|partnership| partnership.terms.status == Status::Active)
    }

    /// Puts in a partnership as it is stored: not a write.
    pub fn load_partnership(&mut self, partnership: Partnership) {
        let Partnership { upstream, downstream, .. } = partnership;
        if self.partnerships.insert((upstream, downstream), partnership).is_none() {
            let upstreams = self.upstreams.entry(downstream).or_default();
            let place = upstreams.partition_point(|other| *other < upstream);
            upstreams.insert(place, upstream);
        }
    }

    pub(super) fn put_partnership(&mut self, partnership: Partnership) {
        let Partnership { upstream, downstream, .. } = partnership;
        let before = self.partnership(upstream, downstream).map_or(Mode::Off, Partnership::mode);
        let reached = self.reached.entry(upstream).or_default().entry(downstream.shard()).or_default();
        reached.count(before, -1);
        reached.count(partnership.mode(), 1);
        self.load_partnership(partnership);
        self.written.partnerships.insert((upstream, downstream));
    }

    /// How many downstreams of `organization` are reached by which kind of rule, by shard.
    pub fn reached(&self, organization: OrganizationNo) -> impl Iterator<Item = (Shard, Reached)> {
        self.reached.get(&organization).into_iter().flatten().map(|(shard, reached)| (*shard, *reached))
    }

    /// Puts in how many downstreams are reached, as it is stored: not a write.
    pub fn load_reached(&mut self, organization: OrganizationNo, shard: Shard, reached: Reached) {
        self.reached.entry(organization).or_default().insert(shard, reached);
    }

    /// The largest version seen in an event of this organization and category.
    pub fn version(&self, organization: OrganizationNo, category: CategoryId) -> Option<i64> {
        self.versions.get(&(organization, category)).copied()
    }

    /// Puts in the largest version seen, as it is stored: not a write.
    pub fn load_version(&mut self, organization: OrganizationNo, category: CategoryId, version: i64) {
        self.versions.insert((organization, category), version);
    }

    pub(super) fn see_version(&mut self, organization: OrganizationNo, category: CategoryId, version: i64) {
        self.versions.insert((organization, category), version);
        self.written.versions.insert((organization, category));
    }

    /// Where the changes of an organization stand.
    pub fn last_change(&self, organization: OrganizationNo) -> LastChange {
        self.last_changes.get(&organization).copied().unwrap_or_default()
    }

    /// Puts in where the changes of an organization stand, as it is stored: not a write.
    pub fn load_last_change(&mut self, organization: OrganizationNo, last: LastChange) {
        self.last_changes.insert(organization, last);
    }

    pub(super) fn advance(&mut self, organization: OrganizationNo, last: LastChange) {
        self.last_changes.insert(organization, last);
        self.written.last_changes.insert(organization);
    }

    /// What was written since the world was loaded, or since this was last asked.
    pub fn take_writes(&mut self) -> Writes {
        let written = std::mem::take(&mut self.written);
        let mut writes = Writes::default();
        for (address, before) in written.entries {
            match (self.entry(address.0, address.1, &address.2), before) {
                (Some(entry), false) => writes.entries_added.push((address, *entry)),
                (Some(entry), true) => writes.entries_changed.push((address, *entry)),
                (None, true) => writes.entries_removed.push(address),
                (None, false) => {}
            }
        }
        for declined in written.declined {
            match self.declined(&declined) {
                Some(event) => writes.declined_put.push((declined, event)),
                None => writes.declined_removed.push(declined),
            }
        }
        writes.partnerships.extend(
            written.partnerships.iter().filter_map(|(up, down)| self.partnership(*up, *down).copied()),
        );
        writes.versions.extend(written.versions.iter().filter_map(|(organization, category)| {
            Some((*organization, *category, self.version(*organization, *category)?))
        }));
        writes.last_changes.extend(written.last_changes.iter().map(|no| (*no, self.last_change(*no))));

        writes.entries_added.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        writes.entries_changed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        writes.entries_removed.sort_unstable();
        writes.declined_put.sort_unstable();
        writes.declined_removed.sort_unstable();
        writes.partnerships.sort_unstable_by_key(|one| (one.upstream, one.downstream));
        writes.versions.sort_unstable();
        writes.last_changes.sort_unstable_by_key(|one| one.0);
        writes
    }
}

impl Reached {
    fn count(&mut self, mode: Mode, by: i64) {
        match mode {
            Mode::Off => {}
            Mode::NonExclusive | Mode::Flexible => self.merging += by,
            Mode::Strict => self.strict += by,
        }
    }
}
