//! The rules of data sync, pure: what of a channel manager's settings reaches which channel partner.
//!
//! Nothing here does I/O, waits, reads a clock or draws a random number, and nothing here can fail for a
//! reason outside the rules. The program around it loads a [`World`], lets the functions of [`decide`] and
//! [`mailbox`] change it, and saves what they did. Tests drive the same functions in memory.
//!
//! | module | holds |
//! |---|---|
//! | [`catalogue`] | which setting categories there are, and how each of them syncs |
//! | [`partnership`] | the flags of a partnership, the mode that follows, and what a change of flags means |
//! | [`policy`] | the rules table, as one exhaustive match |
//! | [`setting`] | values by content, entries with their origin, changes |
//! | [`world`] | the state that decisions read and write |
//! | [`decide`] | the decision for each of the four job kinds |
//! | [`replay`] | what is newer than a job that is done once more |
//! | [`restore`] | what becomes of an entry that a match displaced, where somebody wants it back |
//! | [`retry`] | when a job that failed runs again |
//! | [`plan`] | how much of each letter a batch has room for |
//! | [`mailbox`] | the order in which an organization's letters are worked off |
//!
//! The source of every rule is the help article "Channel Management Data Sync" of the platform; the
//! README's table restates it.

pub mod catalogue;
pub mod decide;
pub mod mailbox;
pub mod partnership;
pub mod plan;
pub mod policy;
pub mod replay;
pub mod restore;
pub mod retry;
pub mod setting;
pub mod world;

pub use world::World;

/// The number of an organization in this database; its name on the platform is the `organization_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationNo(pub i32);

/// The number of an event, in the order in which events were taken in.
///
/// Events and changes draw from one sequence, so that either can be the [`CauseNo`] of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventNo(pub i64);

/// The number of a change, ascending in the order in which its organization was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeNo(pub i64);

/// What a job is done for: an event (own-change, partnership-change) or a change (sync-change, reconcile).
/// A cause and an organization make the idempotency key of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CauseNo(pub i64);

impl From<EventNo> for CauseNo {
    fn from(event: EventNo) -> Self {
        Self(event.0)
    }
}

impl From<ChangeNo> for CauseNo {
    fn from(change: ChangeNo) -> Self {
        Self(change.0)
    }
}

/// Where a letter stands in the order of a mailbox: the number of the root event, or, where the upstream's
/// previous change stands later than that, that change's position, so that the changes of one upstream keep
/// their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub i64);

/// A part of all organizations that is worked on by one executor at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(pub i16);

/// How many shards there are. Fixed with the data: `organization.shard` in the database is
/// `organization_no % 16`.
pub const SHARDS: i16 = 16;

impl Shard {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

impl OrganizationNo {
    /// The shard that this organization's mailbox lies in.
    pub fn shard(self) -> Shard {
        Shard((self.0 % i32::from(SHARDS)) as i16)
    }
}
