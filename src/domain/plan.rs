//! How much of each letter one batch works off, so that it goes through no more entries than it may.
//!
//! A batch has room for so many entries. Letters that need little come first in their order, so that a heavy
//! one never holds up who has nothing to do with it; heavy ones share what is left, at least half of the
//! room, in their order too. A letter that does not fit is cut: one to a shard by members, one to a single
//! organization by entries. An organization's own event is never cut, since it is refused or applied whole.
//!
//! A plan looks at partnerships alone, so that whoever loads a part of the world can ask it which entries to
//! load; [`mailbox::work`](super::mailbox::work) goes by the same plan and never beyond.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::catalogue::Catalogue;
use super::decide::{Reaching, reaching_rule};
use super::mailbox::{Batch, Letter, LetterNo, Progress, Recipients, Work, members};
use super::setting::{Change, Effect, Key};
use super::world::World;
use super::{OrganizationNo, Shard};

/// A letter is heavy that needs more than one part in so many of a batch's room.
const HEAVY_PART: usize = 8;

/// A reconcile may need more than was thought when its letter was written, since its upstream may have got
/// more entries. It has at least one part in so many of a batch's room, so that small ones are seldom cut.
const RECONCILE_PART: usize = 512;

/// How much of a letter a batch works off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Nothing: it must wait, or there is no room.
    Nothing,
    /// All that is left of it.
    Whole,
    /// To a shard: the members up to one.
    Members {
        /// The last of them.
        through: OrganizationNo,
        /// Members for whom the change alone is more than a batch is sure to have room for: each gets a letter
        /// of its own, which is cut by entries.
        apart: BTreeSet<OrganizationNo>,
    },
    /// To a single organization: at most so many entries, at least one.
    Entries(usize),
}

/// How much of each letter a batch works off. The default is everything.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    shares: HashMap<LetterNo, Share>,
}

impl Plan {
    /// Plans a batch with room for `entries_max` entries, at least two. `world` holds the partnerships that
    /// the letters are about; of the batch, its plan does not count, nor do its numbers.
    pub fn of(world: &World, catalogue: &Catalogue, batch: &Batch, entries_max: usize) -> Self {
        let entries_max = entries_max.max(2);
        let heavy_from = (entries_max / HEAVY_PART).max(1);
        let mut letters: Vec<(&Letter, usize)> = batch
            .letters
            .iter()
            .map(|letter| (letter, needs(world, catalogue, letter, entries_max)))
            .collect();
        letters.sort_by_key(|(letter, _)| letter.turn());
        let some_are_heavy = letters.iter().any(|(_, needs)| *needs > heavy_from);
        let for_light = if some_are_heavy { (entries_max / 2).max(heavy_from) } else { entries_max };

        let mut plan = Self::default();
        let mut left = HashSet::new();
        let mut heavy = Vec::new();
        let mut room = for_light;
        for (letter, needs) in letters {
            let share = if waits(batch, &left, letter) {
                Share::Nothing
            } else if needs > heavy_from {
                heavy.push((letter, needs));
                Share::Nothing
            } else if needs > room {
                Share::Nothing
            } else {
                room -= needs;
                match &letter.work {
                    Work::Reconcile(_) => Share::Entries(needs),
                    _ => Share::Whole,
                }
            };
            // A heavy letter counts as left, whatever it will get: what is behind it can wait a batch more.
            if share == Share::Nothing {
                left.extend(unreached(world, letter));
            }
            plan.shares.insert(letter.no, share);
        }

        // What heavy letters have in any case: what must not be cut any further fits into it, so that the first
        // of them gets on, however many light ones there are.
        let for_heavy = entries_max - for_light;
        let mut room = for_heavy + room;
        for (place, (letter, needs)) in heavy.into_iter().enumerate() {
            let (share, used) = match &letter.work {
                // The one kind of letter that may write more than a batch: else it never would.
                Work::OwnChange { .. } | Work::PartnershipChange { .. } if place == 0 || needs <= room => {
                    (Share::Whole, needs)
                }
                Work::OwnChange { .. } | Work::PartnershipChange { .. } => (Share::Nothing, 0),
                Work::SyncChange { to: Recipients::One(_), .. } | Work::Reconcile(_) if room > 0 => {
                    (Share::Entries(needs.min(room)), needs.min(room))
                }
                Work::SyncChange { change, to: Recipients::Shard(shard) } => {
                    let members = members_from(world, letter, change, *shard);
                    some_members(world, catalogue, change, members, room, for_heavy)
                }
                Work::SyncChange { .. } | Work::Reconcile(_) => (Share::Nothing, 0),
            };
            room = room.saturating_sub(used);
            plan.shares.insert(letter.no, share);
        }
        plan
    }

    /// How much of this letter is worked off.
    pub fn share(&self, letter: LetterNo) -> &Share {
        self.shares.get(&letter).unwrap_or(&Share::Whole)
    }

    /// The members of a shard that a letter to it is worked off for, as far as they are not held.
    pub fn members<'w>(
        &self,
        world: &'w World,
        letter: &Letter,
        change: &Change,
        shard: Shard,
    ) -> impl Iterator<Item = OrganizationNo> + use<'w, '_> {
        let share = self.share(letter.no);
        let is_at_hand = move |member: &OrganizationNo| match share {
            Share::Whole => true,
            Share::Members { through, apart } => member <= through && !apart.contains(member),
            Share::Nothing | Share::Entries(_) => false,
        };
        members_from(world, letter, change, shard).filter(is_at_hand)
    }

    /// The entries of a change to a single organization that its letter is worked off for.
    pub fn entries<'c>(&self, letter: &Letter, change: &'c Change) -> &'c [(Key, Effect)] {
        let left = entries_from(letter, change);
        match self.share(letter.no) {
            Share::Whole => left,
            Share::Entries(max) => &left[..left.len().min(*max)],
            Share::Nothing | Share::Members { .. } => &[],
        }
    }
}

/// Whether a letter waits for another one, as far as that can be told before any is worked off.
fn waits(batch: &Batch, left: &HashSet<OrganizationNo>, letter: &Letter) -> bool {
    let waits_itself =
        letter.work.organization().is_some_and(|one| left.contains(&one) || batch.held.contains(&one));
    waits_itself
        || batch.waiting.contains(&letter.no)
        || letter.reads().is_some_and(|upstream| left.contains(&upstream))
}

/// Those who still wait for something from this letter, if nothing of it is done.
fn unreached(world: &World, letter: &Letter) -> Vec<OrganizationNo> {
    match &letter.work {
        Work::SyncChange { change, to: Recipients::Shard(shard) } => {
            let may_reach = |member: &OrganizationNo| may_reach(world, change, *member);
            members_from(world, letter, change, *shard).filter(may_reach).collect()
        }
        work => work.organization().into_iter().collect(),
    }
}

/// Whether a change may reach a downstream that has to wait. Its mode may change before its turn comes, so all
/// that counts is that the change was made after the partnership began.
pub(super) fn may_reach(world: &World, change: &Change, downstream: OrganizationNo) -> bool {
    let partnership = world.partnership(change.organization, downstream);
    partnership.is_some_and(|partnership| change.no > partnership.since)
}

/// How many entries a letter goes through: of a reconcile, as many as was thought when it was written,
/// but not too few.
fn needs(world: &World, catalogue: &Catalogue, letter: &Letter, entries_max: usize) -> usize {
    match &letter.work {
        Work::OwnChange { edit, .. } => edit.len(),
        Work::PartnershipChange { .. } => 1,
        Work::SyncChange { change, to: Recipients::One(_) } => entries_from(letter, change).len(),
        Work::SyncChange { change, to: Recipients::Shard(shard) } => {
            let writes = reaching_writes(change);
            members_from(world, letter, change, *shard)
                .map(|member| needs_of_member(world, catalogue, change, writes, member))
                .fold(0, usize::saturating_add)
        }
        Work::Reconcile(_) => {
            let thought = usize::try_from(letter.weight).unwrap_or(usize::MAX);
            thought.max(entries_max / RECONCILE_PART).max(1)
        }
    }
}

/// The first members for whom there is room, and how much of it they take. Those for whom the change needs
/// more than `member_max` are set apart.
fn some_members(
    world: &World,
    catalogue: &Catalogue,
    change: &Change,
    members: impl Iterator<Item = OrganizationNo>,
    room: usize,
    member_max: usize,
) -> (Share, usize) {
    let writes = reaching_writes(change);
    let (mut last, mut apart, mut used) = (None, BTreeSet::new(), 0);
    for member in members {
        let needs = needs_of_member(world, catalogue, change, writes, member);
        if needs > member_max {
            apart.insert(member);
        } else if needs > room - used {
            break;
        } else {
            used += needs;
        }
        last = Some(member);
    }
    match last {
        Some(through) => (Share::Members { through, apart }, used),
        None => (Share::Nothing, 0),
    }
}

/// How many entries of a change a match goes through, and how many a merge.
fn reaching_writes(change: &Change) -> (usize, usize) {
    let added = change.entries.iter().filter(|(_, effect)| matches!(effect, Effect::Added(_))).count();
    (change.entries.len(), added)
}

fn needs_of_member(
    world: &World,
    catalogue: &Catalogue,
    change: &Change,
    (matched, merged): (usize, usize),
    member: OrganizationNo,
) -> usize {
    let partnership = world.partnership(change.organization, member);
    match partnership.and_then(|partnership| reaching_rule(partnership, catalogue, change)) {
        Some(Reaching::Match) => matched,
        Some(Reaching::Merge) => merged,
        None => 0,
    }
}

/// The members of a shard that a letter to it has not reached yet.
pub(super) fn members_from<'w>(
    world: &'w World,
    letter: &Letter,
    change: &Change,
    shard: Shard,
) -> impl Iterator<Item = OrganizationNo> + use<'w> {
    let reached = match letter.progress {
        Progress::Members { through } => Some(through),
        Progress::NotBegun | Progress::Entries { .. } => None,
    };
    members(world, change.organization, shard).filter(move |member| Some(*member) > reached)
}

/// The entries of a change that a letter to a single organization has not gone through yet.
pub(super) fn entries_from<'c>(letter: &Letter, change: &'c Change) -> &'c [(Key, Effect)] {
    match &letter.progress {
        Progress::Entries { through, .. } => {
            let done = change.entries.partition_point(|(key, _)| *key <= through.key);
            &change.entries[done..]
        }
        Progress::NotBegun | Progress::Members { .. } => &change.entries,
    }
}
