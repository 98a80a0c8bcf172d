//! What becomes of letters whose jobs fail: whose rows somebody else has locked, and who is split, put off or
//! given up.
//!
//! All of it happens in the transaction of the batch that failed, under the locks of its shards.

use std::collections::HashSet;

use tokio_postgres::Row;

use super::columns::{Columns, DeclinedColumns};
use super::error::StoreError;
use super::pool::Transaction;
use super::rows::{Named, organization};
use super::statements;
use super::together::together;
use crate::domain::OrganizationNo;
use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::{Done, JobKind, Letter, LetterNo, Verdict};
use crate::domain::retry::{AfterFailure, RetryPolicy};
use crate::domain::world::Writes;

/// What was done with a letter that was blamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blamed {
    /// The letter went to many, and is one for each of them now.
    Split {
        /// The new letters, in order.
        into: Vec<(LetterNo, OrganizationNo)>,
    },
    /// The job runs again.
    Postponed {
        /// Whose it is.
        organization: OrganizationNo,
        /// What kind of job it is.
        kind: JobKind,
        /// After so many milliseconds.
        delay_ms: i64,
    },
    /// The job is parked as failed.
    GivenUp {
        /// Whose it was.
        organization: OrganizationNo,
        /// What kind of job it was.
        kind: JobKind,
    },
    /// The job was done before, as its idempotency key tells: the letter leaves, and that is all.
    DoneBefore {
        /// Whose it is.
        organization: OrganizationNo,
    },
}

impl Transaction<'_> {
    /// Organizations to whose rows these writes would come, and find them locked by somebody else. Locks all
    /// others of these rows, so that none of them is waited for afterwards.
    ///
    /// Rows that are not there yet, and that somebody else is about to insert, are not found.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn busy(
        &self,
        catalogue: &Catalogue,
        letters: &[Letter],
        writes: &Writes,
        done: &Done,
    ) -> Result<HashSet<OrganizationNo>, StoreError> {
        // What is added has no row yet.
        let changed = writes.entries_changed.iter().map(|(address, _)| address);
        let settings = Columns::of_keys(catalogue, changed.chain(&writes.entries_removed));
        let put = writes.declined_put.iter().map(|(declined, _)| declined);
        let declined = DeclinedColumns::of(catalogue, put.chain(&writes.declined_removed));
        let all = &writes.partnerships;
        let upstreams: Vec<i32> = all.iter().map(|one| one.upstream.0).collect();
        let downstreams: Vec<i32> = all.iter().map(|one| one.downstream.0).collect();
        let seen: Vec<_> = writes.versions.iter().map(|(no, category, _)| (*no, *category)).collect();
        let versions = Columns::of_categories(catalogue, &seen);
        let advanced: Vec<i32> = writes.last_changes.iter().map(|(no, _)| no.0).collect();
        let settled = done.verdicts.iter().filter(|(_, verdict)| *verdict != Verdict::Applied);
        let (events, owners): (Vec<i64>, Vec<i32>) = settled
            .filter_map(|(event, _)| {
                let own = |letter: &&Letter| letter.work.cause(letter.event) == (*event).into();
                Some((event.0, letters.iter().find(own)?.work.organization()?.0))
            })
            .unzip();
        let (settings, declined, partnerships, versions, organizations, events) = together!(
            self.query_unless(
                settings.organizations.is_empty(),
                statements::SETTINGS_BUSY,
                [&settings.organizations, &settings.categories, &settings.keys],
            ),
            self.query_unless(
                declined.downstreams.is_empty(),
                statements::DECLINED_BUSY,
                [&declined.downstreams, &declined.upstreams, &declined.categories, &declined.keys],
            ),
            self.query_unless(all.is_empty(), statements::PARTNERSHIPS_BUSY, [&upstreams, &downstreams]),
            self.query_unless(
                seen.is_empty(),
                statements::VERSIONS_BUSY,
                [&versions.organizations, &versions.categories],
            ),
            self.query_unless(advanced.is_empty(), statements::ORGANIZATIONS_BUSY, [&advanced]),
            self.query_unless(events.is_empty(), statements::EVENTS_BUSY, [&events, &owners]),
        )?;
        let rows = [settings, declined, partnerships, versions, organizations, events];
        Ok(rows.iter().flatten().map(organization).collect())
    }

    /// Which of these letters somebody else has locked. Locks the others.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn busy_letters(&self, letters: &[Letter]) -> Result<HashSet<LetterNo>, StoreError> {
        let nos: Vec<i64> = letters.iter().map(|letter| letter.no.0).collect();
        let rows = self.query_unless(nos.is_empty(), statements::LETTERS_BUSY, [&nos]).await?;
        Ok(rows.iter().map(letter_no).collect())
    }

    /// The first letter of each of these organizations, as far as they have one of their own.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn first_letters(
        &self,
        organizations: &HashSet<OrganizationNo>,
    ) -> Result<Vec<LetterNo>, StoreError> {
        let organizations: Vec<i32> = organizations.iter().map(|organization| organization.0).collect();
        let rows = self.query(statements::LETTERS_FIRST, &[&organizations]).await?;
        Ok(rows.iter().map(letter_no).collect())
    }

    /// Blames letters for an error that their jobs met: each runs again after a pause, or is given up; one that
    /// goes to many becomes one for each of them.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn blame(
        &self,
        letters: &[LetterNo],
        error: &StoreError,
        policy: &RetryPolicy,
    ) -> Result<Vec<Blamed>, StoreError> {
        let error = error.to_string();
        let nos: Vec<i64> = letters.iter().map(|no| no.0).collect();
        let rows = self.query(statements::LETTERS_BLAMED, &[&nos]).await?;
        let mut blamed = Vec::with_capacity(rows.len());
        let (mut postponed, mut delays_ms) = (Vec::new(), Vec::new());
        let (mut given_up, mut gone) = (Vec::new(), Vec::new());
        for row in &rows {
            let no = letter_no(row);
            let Some(organization) = row.get::<_, Option<i32>>("organization_no").map(OrganizationNo) else {
                let into = self.query(statements::LETTERS_SPLIT, &[&no.0]).await?;
                let into = into.iter().map(|row| (letter_no(row), organization(row))).collect();
                gone.push(no.0);
                blamed.push(Blamed::Split { into });
                continue;
            };
            if row.get("done") {
                gone.push(no.0);
                blamed.push(Blamed::DoneBefore { organization });
                continue;
            }
            let attempts: i32 = row.get("attempts");
            let kind = JobKind::named(row.get("kind"))?;
            match policy.after(attempts.saturating_add(1), no.0) {
                AfterFailure::Retry { delay_ms } => {
                    postponed.push(no.0);
                    delays_ms.push(delay_ms);
                    blamed.push(Blamed::Postponed { organization, kind, delay_ms });
                }
                AfterFailure::GiveUp => {
                    given_up.push(no.0);
                    blamed.push(Blamed::GivenUp { organization, kind });
                }
            }
        }
        if !postponed.is_empty() {
            self.execute(statements::LETTERS_POSTPONE, &[&postponed, &delays_ms, &error]).await?;
        }
        if !given_up.is_empty() {
            self.execute(statements::JOBS_GIVE_UP, &[&given_up, &error]).await?;
            gone.extend(given_up);
        }
        if !gone.is_empty() {
            self.execute(statements::LETTERS_REMOVE, &[&gone]).await?;
        }
        Ok(blamed)
    }
}

fn letter_no(row: &Row) -> LetterNo {
    LetterNo(row.get("letter_no"))
}
