//! The decision for each of the four job kinds, on a [`World`].
//!
//! | job kind | function | decides |
//! |---|---|---|
//! | own-change | [`own_change`] | what an organization's own event does to its settings |
//! | partnership-change | [`partnership_change`] | whether new flags hold, and what begins with them |
//! | sync-change | [`sync_change`] | what an upstream's change does to one downstream |
//! | reconcile | [`reconcile`] | what a match or merge of all categories does to one downstream |
//!
//! A decision is applied to the world as it is made; what is returned tells what came of it.

use super::catalogue::{Catalogue, CategoryId};
use super::partnership::{Beginning, Mode, Onboarding, Partnership, Status, Terms};
use super::policy::{self, Occurrence, Rule};
use super::replay::Occasion;
use super::setting::{Change, Edit, Effect, Entry, Key, Place, ValueId};
use super::world::{Declined, World};
use super::{EventNo, OrganizationNo};

/// How many entries met which fate in one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries that were not there before.
    pub added: i32,
    /// Entries that were there with another value.
    pub changed: i32,
    /// Entries that are no longer there.
    pub removed: i32,
    /// Entries that were as they should be already.
    pub unchanged: i32,
    /// Entries of the downstream's own that a merge left alone.
    pub kept_own: i32,
    /// Entries left out because the downstream had deleted them before.
    pub declined: i32,
    /// Entries that a replay left alone, since something newer had written them.
    pub overtaken: i32,
}

impl Counts {
    /// These and others together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            added: self.added.saturating_add(other.added),
            changed: self.changed.saturating_add(other.changed),
            removed: self.removed.saturating_add(other.removed),
            unchanged: self.unchanged.saturating_add(other.unchanged),
            kept_own: self.kept_own.saturating_add(other.kept_own),
            declined: self.declined.saturating_add(other.declined),
            overtaken: self.overtaken.saturating_add(other.overtaken),
        }
    }

    fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Added => &mut self.added,
            Fate::Changed => &mut self.changed,
            Fate::Removed => &mut self.removed,
            Fate::Unchanged => &mut self.unchanged,
            Fate::KeptOwn => &mut self.kept_own,
            Fate::Declined => &mut self.declined,
            Fate::Overtaken => &mut self.overtaken,
        } += 1;
    }

    /// Why nothing was done, where nothing was.
    pub fn skipped(&self) -> Option<Skipped> {
        let Self { added, changed, removed, unchanged, kept_own, declined, overtaken } = *self;
        match (added | changed | removed, unchanged, kept_own, declined) {
            (1.., _, _, _) => None,
            _ if overtaken > 0 => Some(Skipped::Overtaken),
            (_, 0, 1.., _) => Some(Skipped::OwnEntriesKept),
            (_, 0, 0, 1..) => Some(Skipped::Declined),
            _ => Some(Skipped::InStep),
        }
    }
}

/// What became of an entry in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It was not there before.
    Added,
    /// It was there with another value.
    Changed,
    /// It is no longer there.
    Removed,
    /// It was as it should be already.
    Unchanged,
    /// It is the downstream's own, and a merge left it alone.
    KeptOwn,
    /// It was left out because the downstream had deleted it before.
    Declined,
    /// A replay left it alone, since something newer had written it.
    Overtaken,
}

/// What became of an entry in a job, as it was and as it is. Noted only where a world is told to
/// ([`World::note_entries`]), and not of entries that are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its category.
    pub category: CategoryId,
    /// Its key.
    pub key: Key,
    /// What became of it.
    pub fate: Fate,
    /// What it was.
    pub before: Option<Entry>,
    /// What it is. Where it was declined, nothing.
    pub after: Option<Entry>,
}

/// An entry that a match changed or removed, and that had not come from the upstream which displaced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    /// Its category.
    pub category: CategoryId,
    /// Its key.
    pub key: Key,
    /// What it was.
    pub entry: Entry,
}

/// Why a job had nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Everything was already as the job would have made it.
    InStep,
    /// A merge found entries of the downstream's own under every key.
    OwnEntriesKept,
    /// The downstream had deleted these entries before.
    Declined,
    /// The partnership's data sync is off by now.
    SyncOff,
    /// A repair found that the partnership is not strict any more.
    NotStrict,
    /// The upstream has no entry in any category that the rules sync here, and nothing had to go.
    NothingToSync,
    /// The flags were stored, the mode is as it was.
    ModeStays(Mode),
    /// The flags were stored; the mode changed in a way that changes no value.
    ModeChanges(Mode, Mode),
    /// The flags were stored; with the new mode a reconcile begins, as a job of its own.
    ReconcileFollows(Mode, Mode),
    /// An event with the same or a larger version was seen before.
    Superseded {
        /// The largest version seen.
        last: i64,
    },
    /// The edit was refused: the settings are locked.
    Locked {
        /// The upstream of the strict partnership.
        by: OrganizationNo,
    },
    /// A replay found that something newer had written these entries.
    Overtaken,
    /// A replay found that a later event had set the flags.
    FlagsSetSince,
    /// A replay found that a reconcile had taken the change in.
    TakenInSince,
    /// A replay found that the rules take nothing from the change any more.
    NotReached,
}

/// What a job did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// How many entries met which fate.
    pub counts: Counts,
    /// What it changed effectively, by category: what goes on to the organization's own downstreams.
    pub effects: Vec<(CategoryId, Vec<(Key, Effect)>)>,
    /// What a match displaced: to be archived with the job.
    pub displaced: Vec<Displaced>,
    /// What became of each entry, where the world notes it.
    pub noted: Vec<Noted>,
}

/// What became of an organization's own event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnChange {
    /// It was applied.
    Applied(Outcome),
    /// Its version is not larger than the last one seen: it changes nothing.
    Superseded {
        /// The largest version seen.
        last: i64,
    },
    /// It edits a locked category: refused whole.
    Locked {
        /// The upstream of the strict partnership that locks it.
        by: OrganizationNo,
    },
    /// A snapshot without entries that does not say `allow_empty`, for a category that has some.
    EmptySnapshot {
        /// How many entries it would have removed.
        entries: usize,
    },
}

/// Decides an organization's own event.
///
/// An entry that it edits becomes its own; one that it deletes, and that had been synced to it, counts as
/// declined. Setting an entry to the value that it has is no edit of it. A replay leaves alone what something
/// newer has written; where there is any such thing, a snapshot removes nothing.
pub fn own_change(
    world: &mut World,
    catalogue: &Catalogue,
    occasion: Occasion<'_>,
    organization: OrganizationNo,
    category: CategoryId,
    version: Option<i64>,
    edit: &Edit,
) -> OwnChange {
    if let (Some(version), Some(last)) = (version, world.version(organization, category))
        && version <= last
    {
        return OwnChange::Superseded { last };
    }
    let locked_by = lock_holder(world, catalogue, organization, category);
    if let Edit::Snapshot { entries, allow_empty: false } = edit
        && entries.is_empty()
        && locked_by.is_none()
    {
        let entries = world.entries(organization, category).count();
        if entries > 0 {
            return OwnChange::EmptySnapshot { entries };
        }
    }
    if let Some(version) = version {
        world.see_version(organization, category, version);
    }
    if let Some(by) = locked_by {
        return OwnChange::Locked { by };
    }

    let mut job = Job::new(world, occasion, organization);
    match edit {
        Edit::Changes(changes) => {
            for (key, value) in changes {
                if job.leaves_alone(category, key) {
                    continue;
                }
                match value {
                    Some(value) => job.edit(category, key, *value),
                    None => job.delete(category, key),
                }
            }
        }
        Edit::Snapshot { entries, .. } => {
            let kept: std::collections::HashSet<&str> = entries.iter().map(|(key, _)| &**key).collect();
            let gone = if job.is_overtaken_in(category) {
                Vec::new()
            } else {
                job.keys_where(category, |key| !kept.contains(key))
            };
            for (key, value) in entries {
                if !job.leaves_alone(category, key) {
                    job.edit(category, key, *value);
                }
            }
            for key in gone {
                job.delete(category, &key);
            }
        }
    }
    OwnChange::Applied(job.done())
}

/// The upstream whose strict partnership locks this category of the organization, if any does.
pub fn lock_holder(
    world: &World,
    catalogue: &Catalogue,
    organization: OrganizationNo,
    category: CategoryId,
) -> Option<OrganizationNo> {
    world
        .upstreams_of(organization)
        .find(|partnership| policy::locks(partnership.mode(), catalogue.get(category)))
        .map(|partnership| partnership.upstream)
}

/// What became of an event that sets the flags of a partnership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartnershipChange {
    /// The flags hold.
    Applied {
        /// The mode before; off where there was no partnership.
        before: Mode,
        /// The mode now.
        mode: Mode,
        /// What begins with it: the downstream is to be reconciled.
        begins: Option<Beginning>,
    },
    /// Its version is not larger than the last one seen: it changes nothing.
    Superseded {
        /// The largest version seen.
        last: i64,
    },
    /// It is replayed, and a later event has set the flags since: it changes nothing.
    FlagsSetSince,
    /// An exclusive partnership tolerates no other of the same downstream.
    ExclusiveConflict {
        /// The upstream of the active partnership in the way.
        in_the_way: OrganizationNo,
        /// Whether that one is exclusive (else the new one is).
        is_exclusive: bool,
    },
    /// It would close a cycle.
    Cycle {
        /// The cycle, from the downstream through its own downstreams back to itself.
        path: Vec<OrganizationNo>,
    },
}

/// Decides an event that sets the flags of a partnership.
pub fn partnership_change(
    world: &mut World,
    occasion: Occasion<'_>,
    upstream: OrganizationNo,
    downstream: OrganizationNo,
    terms: Terms,
    onboarding: Onboarding,
    version: Option<i64>,
) -> PartnershipChange {
    let previous = world.partnership(upstream, downstream).copied();
    let last = previous.and_then(|partnership| partnership.version);
    if let (Some(version), Some(last)) = (version, last)
        && version <= last
    {
        return PartnershipChange::Superseded { last };
    }
    let set_by = previous.and_then(|partnership| partnership.event);
    if occasion.replay.is_some() && set_by.is_some_and(|set_by| set_by > occasion.event) {
        return PartnershipChange::FlagsSetSince;
    }
    if upstream == downstream {
        return PartnershipChange::Cycle { path: vec![downstream, upstream] };
    }
    if terms.status == Status::Active {
        let in_the_way = world
            .active_upstreams_of(downstream)
            .find(|other| other.upstream != upstream && (terms.exclusive || other.terms.exclusive));
        if let Some(other) = in_the_way {
            return PartnershipChange::ExclusiveConflict {
                in_the_way: other.upstream,
                is_exclusive: other.terms.exclusive,
            };
        }
        if let Some(path) = cycle(world, upstream, downstream) {
            return PartnershipChange::Cycle { path };
        }
    }
    let begins = Beginning::of(previous.as_ref().map(|partnership| &partnership.terms), &terms, onboarding);
    let since = match (begins, previous) {
        (None, Some(previous)) => previous.since,
        _ => world.last_change(upstream).change,
    };
    let version = version.or(last);
    let event = Some(occasion.event);
    world.put_partnership(Partnership { upstream, downstream, terms, since, version, event });
    PartnershipChange::Applied {
        before: previous.map_or(Mode::Off, |partnership| partnership.mode()),
        mode: terms.mode(),
        begins,
    }
}

/// The cycle that a partnership `upstream` → `downstream` would close: a way down from the downstream to
/// the upstream, found by going up from the upstream.
fn cycle(world: &World, upstream: OrganizationNo, downstream: OrganizationNo) -> Option<Vec<OrganizationNo>> {
    // Each organization reached, with the one below it on the way.
    let mut below = std::collections::HashMap::from([(upstream, downstream)]);
    let mut open = vec![upstream];
    while let Some(organization) = open.pop() {
        if organization == downstream {
            let mut path = vec![downstream];
            let mut at = below[&downstream];
            while at != downstream {
                path.push(at);
                at = below[&at];
            }
            path.push(downstream);
            return Some(path);
        }
        for partnership in world.active_upstreams_of(organization) {
            if let std::collections::hash_map::Entry::Vacant(vacant) = below.entry(partnership.upstream) {
                vacant.insert(organization);
                open.push(partnership.upstream);
            }
        }
    }
    None
}

/// Decides what some of the `entries` of an upstream's change, or all of them, do to one downstream; none where
/// the rules do not reach it.
pub fn sync_change(
    world: &mut World,
    catalogue: &Catalogue,
    change: &Change,
    entries: &[(Key, Effect)],
    downstream: OrganizationNo,
) -> Option<Outcome> {
    let upstream = change.organization;
    let rule = reaching_rule(world.partnership(upstream, downstream)?, catalogue, change)?;
    let mut job = Job::new(world, change.event.into(), downstream);
    for (key, effect) in entries {
        match (rule, effect) {
            (Reaching::Match, Effect::Added(value) | Effect::Changed(value)) => {
                job.match_entry(upstream, change.category, key, *value);
            }
            (Reaching::Match, Effect::Removed) => job.match_absence(upstream, change.category, key),
            (Reaching::Merge, Effect::Added(value)) => {
                job.merge_entry(upstream, change.category, key, *value, change.event);
            }
            (Reaching::Merge, Effect::Changed(_) | Effect::Removed) => {}
        }
    }
    Some(job.done())
}

/// Decides what the replay of some of the `entries` of an upstream's change, or of all of them, does to one
/// downstream, or why it does nothing.
///
/// The change is old: what counts is what the upstream has now. A match brings the downstream to that, whatever
/// was written since, as its settings are locked. A merge takes what the change added and the upstream still
/// has, but for entries that something newer has touched.
///
/// # Errors
/// Why the rules reach nothing here any more.
pub fn replayed_sync_change(
    world: &mut World,
    catalogue: &Catalogue,
    change: &Change,
    entries: &[(Key, Effect)],
    downstream: OrganizationNo,
    occasion: Occasion<'_>,
) -> Result<Outcome, Skipped> {
    let (upstream, category) = (change.organization, change.category);
    let partnership = world.partnership(upstream, downstream).ok_or(Skipped::SyncOff)?;
    if partnership.mode() == Mode::Off {
        return Err(Skipped::SyncOff);
    }
    if change.no <= partnership.since {
        return Err(Skipped::TakenInSince);
    }
    let rule = reaching_rule(partnership, catalogue, change).ok_or(Skipped::NotReached)?;
    let mut job = Job::new(world, occasion, downstream);
    for (key, effect) in entries {
        let theirs = job.world.entry(upstream, category, key).copied();
        match (rule, theirs, effect) {
            (Reaching::Match, Some(theirs), _) => job.match_entry_of(upstream, category, key, theirs),
            (Reaching::Match, None, _) => job.match_absence(upstream, category, key),
            (Reaching::Merge, _, Effect::Added(_)) if job.leaves_alone(category, key) => {}
            (Reaching::Merge, Some(theirs), Effect::Added(_)) => {
                job.merge_entry(upstream, category, key, theirs.value, theirs.added_by);
            }
            (Reaching::Merge, None, Effect::Added(_)) => job.met(Fate::Unchanged, category, key, None),
            (Reaching::Merge, _, Effect::Changed(_) | Effect::Removed) => {}
        }
    }
    Ok(job.done())
}

/// How a change reaches a downstream that it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaching {
    /// As a match: added, changed and removed entries all apply.
    Match,
    /// As a merge: entries that are new to the upstream are added.
    Merge,
}

/// How a change reaches the downstream of a partnership, if it does.
pub fn reaching_rule(partnership: &Partnership, catalogue: &Catalogue, change: &Change) -> Option<Reaching> {
    if change.no <= partnership.since {
        return None;
    }
    match policy::rule(Occurrence::UpstreamChanged, partnership.mode(), catalogue.get(change.category)) {
        Rule::Match => Some(Reaching::Match),
        Rule::Merge if change.adds() => Some(Reaching::Merge),
        Rule::Merge | Rule::Nothing | Rule::Refuse => None,
    }
}

/// Which part of a reconcile is at hand: it goes through all places that either side has an entry at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From the first place after this one on; from the very first, where nothing was done yet.
    pub after: Option<Place>,
    /// No further than this place, beyond which the world does not know the entries; none where it knows all.
    pub through: Option<Place>,
    /// Through no more places than this.
    pub places_max: usize,
}

impl Part {
    /// Everything at once.
    pub const WHOLE: Self = Self { after: None, through: None, places_max: usize::MAX };
}

/// What a part of a reconcile did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// What it did.
    pub outcome: Outcome,
    /// The last place that it has gone through, where more may follow.
    pub through: Option<Place>,
}

/// Decides a match or merge of all categories of a downstream against its upstream as it is now, or a part
/// of it.
///
/// A replay leaves alone what something newer has written, but in categories that the partnership locks, and what
/// the upstream has changed goes on to reach the downstream by letters of its own.
///
/// # Errors
/// Why nothing is reconciled any more: the partnership's data sync is off by now, or it is not strict, which a
/// repair asks for.
pub fn reconcile(
    world: &mut World,
    catalogue: &Catalogue,
    occasion: Occasion<'_>,
    beginning: Beginning,
    (upstream, downstream): (OrganizationNo, OrganizationNo),
    part: &Part,
) -> Result<Reconciled, Skipped> {
    let partnership = world.partnership(upstream, downstream).copied().ok_or(Skipped::SyncOff)?;
    match (beginning, partnership.mode()) {
        (_, Mode::Off) => return Err(Skipped::SyncOff),
        // It takes nothing in then, so what the upstream has changed must go on to come.
        (Beginning::Repair, Mode::NonExclusive | Mode::Flexible) => return Err(Skipped::NotStrict),
        _ => {}
    }
    if part.after.is_none() && occasion.replay.is_none() {
        // What the upstream has changed until now is in what follows. What it changes while further parts
        // are still to come is not in those that are done: it comes as a change of its own.
        let since = world.last_change(upstream).change;
        if since != partnership.since {
            world.put_partnership(Partnership { since, ..partnership });
        }
    }

    let mut job = Job::new(world, occasion, downstream);
    let mut places_left = part.places_max;
    let mut reached = None;
    for (category, about) in catalogue.synced() {
        let rule = policy::rule(Occurrence::Began(beginning), partnership.mode(), about);
        let is_locked = policy::locks(partnership.mode(), about);
        let keys = job.world.keys_of_either(upstream, downstream, (category, &about.name), part);
        for key in keys {
            if places_left == 0 {
                return Ok(Reconciled { outcome: job.done(), through: reached });
            }
            places_left -= 1;
            let theirs = job.world.entry(upstream, category, &key).copied();
            match (rule, theirs) {
                (Rule::Match, _) if !is_locked && job.leaves_alone(category, &key) => {}
                (Rule::Match, Some(theirs)) => job.match_entry_of(upstream, category, &key, theirs),
                (Rule::Match, None) => job.match_absence(upstream, category, &key),
                (Rule::Merge, Some(_)) if job.leaves_alone(category, &key) => {}
                (Rule::Merge, Some(theirs)) => {
                    job.merge_entry(upstream, category, &key, theirs.value, theirs.added_by);
                }
                (Rule::Merge, None) | (Rule::Nothing | Rule::Refuse, _) => {}
            }
            reached = Some(Place { category: about.name.clone(), key });
        }
    }
    Ok(Reconciled { outcome: job.done(), through: part.through.clone() })
}

/// The last of the first `places_max` places after `after` that either side has an entry at; none where there
/// are no more than these.
///
/// It suffices to know the first `places_max + 1` entries of each side: none of the places found stands
/// behind these.
pub fn last_of_first(
    world: &World,
    catalogue: &Catalogue,
    (upstream, downstream): (OrganizationNo, OrganizationNo),
    after: Option<&Place>,
    places_max: usize,
) -> Option<Place> {
    let part = Part { after: after.cloned(), ..Part::WHOLE };
    let places = catalogue.synced().flat_map(|(category, about)| {
        let keys = world.keys_of_either(upstream, downstream, (category, &about.name), &part);
        keys.into_iter().map(|key| Place { category: about.name.clone(), key })
    });
    let mut first = places.skip(places_max.saturating_sub(1));
    let last = first.next()?;
    first.next().map(|_| last)
}

/// The entries of one organization while a job writes them, and what it has done so far.
struct Job<'a> {
    world: &'a mut World,
    occasion: Occasion<'a>,
    organization: OrganizationNo,
    outcome: Outcome,
}

impl<'a> Job<'a> {
    fn new(world: &'a mut World, occasion: Occasion<'a>, organization: OrganizationNo) -> Self {
        Self { world, occasion, organization, outcome: Outcome::default() }
    }

    /// Whether the job is a replay, and something newer has touched the entry: then it is counted.
    fn leaves_alone(&mut self, category: CategoryId, key: &Key) -> bool {
        let Occasion { event, replay: Some(overtaken) } = self.occasion else { return false };
        let entry = self.world.entry(self.organization, category, key).copied();
        let is_overtaken = overtaken.contains(category, key, entry.is_some())
            || entry.is_some_and(|entry| entry.written_by > event);
        if is_overtaken {
            self.met(Fate::Overtaken, category, key, entry);
        }
        is_overtaken
    }

    /// Whether the job is a replay, and something newer has touched any entry of the category.
    fn is_overtaken_in(&self, category: CategoryId) -> bool {
        let Occasion { event, replay: Some(overtaken) } = self.occasion else { return false };
        let mut entries = self.world.entries(self.organization, category);
        overtaken.touches(category) || entries.any(|(_, entry)| entry.written_by > event)
    }

    fn done(self) -> Outcome {
        self.outcome
    }

    /// Counts what became of an entry, which was `before` and is what the world has now; notes it, where it is to
    /// be noted.
    fn met(&mut self, fate: Fate, category: CategoryId, key: &Key, before: Option<Entry>) {
        self.outcome.counts.count(fate);
        if self.world.notes_entries() {
            let after = self.world.entry(self.organization, category, key).copied();
            if fate != Fate::Unchanged || before != after {
                let key = Key::clone(key);
                self.outcome.noted.push(Noted { category, key, fate, before, after });
            }
        }
    }

    fn keys_where(&self, category: CategoryId, wanted: impl Fn(&str) -> bool) -> Vec<Key> {
        self.world
            .entries(self.organization, category)
            .map(|(key, _)| key)
            .filter(|key| wanted(key))
            .cloned()
            .collect()
    }

    /// The organization sets an entry of its own.
    fn edit(&mut self, category: CategoryId, key: &Key, value: ValueId) {
        match self.world.entry(self.organization, category, key).copied() {
            None => self.add(category, key, value, None),
            Some(entry) if entry.value == value => self.met(Fate::Unchanged, category, key, Some(entry)),
            Some(entry) => self.change(category, key, entry, value, None),
        }
    }

    /// The organization deletes an entry: it declines it, where it had been synced to it.
    fn delete(&mut self, category: CategoryId, key: &Key) {
        let Some(entry) = self.world.entry(self.organization, category, key).copied() else {
            self.met(Fate::Unchanged, category, key, None);
            return;
        };
        if let Some(upstream) = entry.origin {
            let declined = self.declined(upstream, category, key);
            self.world.decline(declined, self.occasion.event);
        }
        self.remove(category, key, entry);
    }

    /// The entry becomes what the upstream's is.
    fn match_entry(&mut self, upstream: OrganizationNo, category: CategoryId, key: &Key, value: ValueId) {
        match self.world.entry(self.organization, category, key).copied() {
            None => self.add(category, key, value, Some(upstream)),
            Some(entry) if entry.value == value => {
                if entry.origin != Some(upstream) {
                    let taken_over = Entry { origin: Some(upstream), ..entry };
                    self.world.put_entry(self.organization, category, key, taken_over);
                }
                self.met(Fate::Unchanged, category, key, Some(entry));
            }
            Some(entry) => {
                self.displace(upstream, category, key, entry);
                self.change(category, key, entry, value, Some(upstream));
            }
        }
        let declined = self.declined(upstream, category, key);
        self.world.undecline(declined);
    }

    /// The entry becomes what the upstream's is now. What a replay brings is as new as the upstream's entry.
    fn match_entry_of(&mut self, upstream: OrganizationNo, category: CategoryId, key: &Key, theirs: Entry) {
        let before = self.world.entry(self.organization, category, key).copied();
        self.match_entry(upstream, category, key, theirs.value);
        if self.occasion.replay.is_some()
            && let Some(entry) = self.world.entry(self.organization, category, key).copied()
            && before.map(|before| before.value) != Some(entry.value)
        {
            let written_by = entry.written_by.max(theirs.written_by);
            self.world.put_entry(self.organization, category, key, Entry { written_by, ..entry });
        }
    }

    /// The entry goes, since the upstream has none of its key.
    fn match_absence(&mut self, upstream: OrganizationNo, category: CategoryId, key: &Key) {
        match self.world.entry(self.organization, category, key).copied() {
            None => self.met(Fate::Unchanged, category, key, None),
            Some(entry) => {
                self.displace(upstream, category, key, entry);
                self.remove(category, key, entry);
            }
        }
    }

    /// The upstream's entry is added where the key is free, unless it was declined after `added_by`, the
    /// event that made it new to the upstream.
    fn merge_entry(
        &mut self,
        upstream: OrganizationNo,
        category: CategoryId,
        key: &Key,
        value: ValueId,
        added_by: EventNo,
    ) {
        if let Some(entry) = self.world.entry(self.organization, category, key).copied() {
            let fate = if entry.origin.is_none() { Fate::KeptOwn } else { Fate::Unchanged };
            self.met(fate, category, key, Some(entry));
            return;
        }
        let declined = self.declined(upstream, category, key);
        if self.world.declined(&declined).is_some_and(|declined_by| declined_by >= added_by) {
            self.met(Fate::Declined, category, key, None);
            return;
        }
        self.world.undecline(declined);
        self.add(category, key, value, Some(upstream));
    }

    fn add(&mut self, category: CategoryId, key: &Key, value: ValueId, origin: Option<OrganizationNo>) {
        let entry = Entry { value, origin, written_by: self.occasion.event, added_by: self.occasion.event };
        self.world.put_entry(self.organization, category, key, entry);
        self.met(Fate::Added, category, key, None);
        self.effect(category, key, Effect::Added(value));
    }

    fn change(
        &mut self,
        category: CategoryId,
        key: &Key,
        before: Entry,
        value: ValueId,
        origin: Option<OrganizationNo>,
    ) {
        let entry = Entry { value, origin, written_by: self.occasion.event, added_by: before.added_by };
        self.world.put_entry(self.organization, category, key, entry);
        self.met(Fate::Changed, category, key, Some(before));
        self.effect(category, key, Effect::Changed(value));
    }

    fn remove(&mut self, category: CategoryId, key: &Key, before: Entry) {
        self.world.remove_entry(self.organization, category, key);
        self.met(Fate::Removed, category, key, Some(before));
        self.effect(category, key, Effect::Removed);
    }

    fn displace(&mut self, upstream: OrganizationNo, category: CategoryId, key: &Key, entry: Entry) {
        if entry.origin != Some(upstream) {
            self.outcome.displaced.push(Displaced { category, key: Key::clone(key), entry });
        }
    }

    fn effect(&mut self, category: CategoryId, key: &Key, effect: Effect) {
        match self.outcome.effects.last_mut() {
            Some((last, effects)) if *last == category => effects.push((Key::clone(key), effect)),
            _ => self.outcome.effects.push((category, vec![(Key::clone(key), effect)])),
        }
    }

    fn declined(&self, upstream: OrganizationNo, category: CategoryId, key: &Key) -> Declined {
        Declined { downstream: self.organization, upstream, category, key: Key::clone(key) }
    }
}
