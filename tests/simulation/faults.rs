//! What goes wrong in a run: how often, and what is wrong at the moment.

use std::collections::BTreeSet;

use channel_sync::domain::mailbox::LetterNo;
use channel_sync::domain::{CauseNo, OrganizationNo};

use crate::model::Random;

/// How often something goes wrong, each in so many cases of a thousand. Every run draws its own: rare faults
/// meet undisturbed work in some, and each other in others.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    /// Of the calls of the database: the connection is lost before the call takes effect.
    pub(crate) lost: usize,
    /// Of the calls of the database: it takes some milliseconds.
    pub(crate) slow: usize,
    /// Of the commits: no answer comes, whether it took effect, does so later, or never.
    pub(crate) unanswered: usize,
    /// Of the transactions that their client leaves: the server notices later, and holds their locks until then.
    pub(crate) lingering: usize,
    /// Of the acknowledgements: the link breaks before or after it.
    pub(crate) unacknowledged: usize,
    /// Of the messages published: twice, since the confirm got lost.
    pub(crate) published_twice: usize,
    /// Of the steps: a process dies.
    pub(crate) crashes: usize,
    /// Of the steps: a process is stopped in order.
    pub(crate) stops: usize,
    /// Of the steps: the broker takes the consumer that is served for dead.
    pub(crate) disconnects: usize,
    /// Of the steps: an organization, a letter or all tables are locked, poisoned, paused, or free of it again.
    pub(crate) troubles: usize,
    /// Of the steps: a job is sent once more, one that was given up most often. No fault, but as rare.
    pub(crate) replays: usize,
}

impl Rates {
    pub(crate) fn draw(random: &mut Random) -> Self {
        Self {
            lost: *random.pick(&[0, 0, 3, 15]),
            slow: *random.pick(&[0, 5, 40]),
            unanswered: *random.pick(&[0, 50, 250]),
            lingering: *random.pick(&[0, 300, 800]),
            unacknowledged: *random.pick(&[0, 100, 400]),
            published_twice: *random.pick(&[0, 50, 250]),
            crashes: *random.pick(&[0, 0, 2, 6]),
            stops: *random.pick(&[0, 0, 2]),
            disconnects: *random.pick(&[0, 0, 3, 10]),
            troubles: *random.pick(&[0, 10, 40]),
            replays: *random.pick(&[0, 0, 4, 15]),
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn none() -> Self {
        Self {
            lost: 0,
            slow: 0,
            unanswered: 0,
            lingering: 0,
            unacknowledged: 0,
            published_twice: 0,
            crashes: 0,
            stops: 0,
            disconnects: 0,
            troubles: 0,
            replays: 0,
        }
    }
}

/// What is wrong at the moment, and who may be blamed for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles {
    /// Organizations whose settings and partnerships the database refuses to write.
    pub(crate) poisoned: BTreeSet<OrganizationNo>,
    /// Causes whose letters cannot be read.
    pub(crate) unreadable: BTreeSet<CauseNo>,
    /// Organizations whose rows somebody else has locked.
    pub(crate) locked: BTreeSet<OrganizationNo>,
    /// Letters whose rows somebody else has locked.
    pub(crate) locked_letters: BTreeSet<LetterNo>,
    /// Whether somebody else has locked the tables.
    pub(crate) tables_locked: bool,
    /// Everybody who ever was in one of the above.
    pub(crate) suspects: Suspects,
}

/// Whom a failing job may be blamed on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspects {
    pub(crate) organizations: BTreeSet<OrganizationNo>,
    pub(crate) causes: BTreeSet<CauseNo>,
    pub(crate) all: bool,
}

impl Troubles {
    pub(crate) fn poison(&mut self, organization: OrganizationNo) {
        self.poisoned.insert(organization);
        self.suspects.organizations.insert(organization);
    }

    pub(crate) fn make_unreadable(&mut self, cause: CauseNo) {
        self.unreadable.insert(cause);
        self.suspects.causes.insert(cause);
    }

    pub(crate) fn lock(&mut self, organization: OrganizationNo) {
        self.locked.insert(organization);
        self.suspects.organizations.insert(organization);
    }

    pub(crate) fn lock_letter(&mut self, letter: LetterNo, cause: CauseNo) {
        self.locked_letters.insert(letter);
        self.suspects.causes.insert(cause);
    }

    pub(crate) fn lock_tables(&mut self) {
        self.tables_locked = true;
        self.suspects.all = true;
    }

    /// Whatever is locked is free again.
    pub(crate) fn unlock(&mut self) {
        self.locked.clear();
        self.locked_letters.clear();
        self.tables_locked = false;
    }

    /// Everything is well again.
    pub(crate) fn heal(&mut self) {
        self.unlock();
        self.poisoned.clear();
        self.unreadable.clear();
    }

    pub(crate) fn may_be_blamed(&self, organization: OrganizationNo, cause: CauseNo) -> bool {
        let Suspects { organizations, causes, all } = &self.suspects;
        *all || organizations.contains(&organization) || causes.contains(&cause)
    }
}
