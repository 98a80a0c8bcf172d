//! Saves what was done: the world's writes, and jobs, changes, letters and verdicts.
//!
//! One statement for each table and kind of write, all of them under way at once but for those that copy. One that
//! fails leaves the transaction to be dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::batch::Attempts;
use super::columns::{Columns, DeclinedColumns};
use super::error::StoreError;
use super::payload::effects_text;
use super::pool::Transaction;
use super::rows::{Named, organization};
use super::statements;
use super::together::together;
use super::words::{found_wrong_text, skipped_text};
use crate::contract::RejectionCode;
use crate::domain::catalogue::{Catalogue, Kind};
use crate::domain::decide::{Counts, Skipped};
use crate::domain::mailbox::{
    Cut, Done, FollowUp, FoundWrong, JobKind, Letter, NewLetter, Progress, Recipients, Reconcile, Verdict,
};
use crate::domain::setting::{Change, Entry, ValueId};
use crate::domain::world::{EntryAddress, Writes};
use crate::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, Shard};

/// What was wrong with events that were found wrong when they ran: code and reason.
pub type FoundWrongs = BTreeMap<EventNo, (RejectionCode, String)>;

impl Transaction<'_> {
    /// Saves what was done: the world's writes, and jobs, changes and letters. Returns what was wrong with the
    /// events that were found wrong, in words.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn save(
        &self,
        catalogue: &Catalogue,
        writes: &Writes,
        done: &Done,
        attempts: &Attempts,
    ) -> Result<FoundWrongs, StoreError> {
        let names = self.names(done).await?;
        let found_wrong = found_wrongs(catalogue, done, &names);
        // What is copied goes out while nothing else is under way: see `Transaction::copy_unless`.
        self.add_settings(catalogue, &writes.entries_added).await?;
        self.add_jobs(done, attempts, &names, &found_wrong).await?;
        self.add_changes(catalogue, done).await?;
        together!(
            self.save_settings(catalogue, writes),
            self.save_declined(catalogue, writes),
            self.save_partnerships(catalogue, writes),
            self.save_letters(done),
            self.archive_settings(catalogue, done),
            self.save_verdicts(done, &found_wrong),
        )?;
        if !done.letters_new.is_empty() {
            self.query(statements::LETTERS_NOTIFY, &[]).await?;
        }
        Ok(found_wrong)
    }

    /// Adds letters that have just come about to their mailboxes, to be done later. Not reconciles, which are
    /// weighed. Wakes the executors.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn add_letters(&self, letters: &[Letter]) -> Result<(), StoreError> {
        if letters.is_empty() {
            return Ok(());
        }
        let mut columns = LetterColumns::default();
        for letter in letters {
            let Letter { position, event, ref work, weight, replay, .. } = *letter;
            let (to, cause) = ((letter.shard(), work.organization()), work.cause(event));
            columns.push(to, (work.kind(), cause), (position, event), (weight, replay));
        }
        self.insert_letters(&columns).await?;
        self.query(statements::LETTERS_NOTIFY, &[]).await?;
        Ok(())
    }

    pub(super) async fn insert_letters(&self, letters: &LetterColumns) -> Result<(), StoreError> {
        let LetterColumns { shards, positions, causes, events, kinds, organizations, weights, replays } =
            letters;
        self.execute_unless(
            shards.is_empty(),
            statements::LETTERS_ADD,
            [shards, positions, causes, events, kinds, organizations, weights, replays],
        )
        .await?;
        Ok(())
    }

    async fn add_settings(
        &self,
        catalogue: &Catalogue,
        added: &[(EntryAddress, Entry)],
    ) -> Result<(), StoreError> {
        let columns = SettingColumns::of(catalogue, added);
        self.copy_unless(
            added.is_empty(),
            statements::SETTINGS_ADD,
            &[Type::INT4, Type::TEXT, Type::TEXT, Type::UUID, Type::INT4, Type::INT8, Type::INT8],
            (0..added.len()).map(|at| columns.row(at)),
        )
        .await
    }

    async fn save_settings(&self, catalogue: &Catalogue, writes: &Writes) -> Result<(), StoreError> {
        let changed = SettingColumns::of(catalogue, &writes.entries_changed);
        let removed = Columns::of_keys(catalogue, &writes.entries_removed);
        together!(
            self.execute_unless(
                writes.entries_changed.is_empty(),
                statements::SETTINGS_CHANGE,
                [
                    &changed.keys.organizations,
                    &changed.keys.categories,
                    &changed.keys.keys,
                    &changed.values,
                    &changed.origins,
                    &changed.events,
                    &changed.added_by,
                ],
            ),
            self.execute_unless(
                writes.entries_removed.is_empty(),
                statements::SETTINGS_REMOVE,
                [&removed.organizations, &removed.categories, &removed.keys],
            ),
        )?;
        Ok(())
    }

    async fn save_declined(&self, catalogue: &Catalogue, writes: &Writes) -> Result<(), StoreError> {
        let put = DeclinedColumns::of(catalogue, writes.declined_put.iter().map(|(declined, _)| declined));
        let events: Vec<i64> = writes.declined_put.iter().map(|(_, event)| event.0).collect();
        let removed = DeclinedColumns::of(catalogue, &writes.declined_removed);
        together!(
            self.execute_unless(
                events.is_empty(),
                statements::DECLINED_PUT,
                [&put.downstreams, &put.upstreams, &put.categories, &put.keys, &events],
            ),
            self.execute_unless(
                writes.declined_removed.is_empty(),
                statements::DECLINED_REMOVE,
                [&removed.downstreams, &removed.upstreams, &removed.categories, &removed.keys],
            ),
        )?;
        Ok(())
    }

    async fn save_partnerships(&self, catalogue: &Catalogue, writes: &Writes) -> Result<(), StoreError> {
        let all = &writes.partnerships;
        let upstreams: Vec<i32> = all.iter().map(|one| one.upstream.0).collect();
        let downstreams: Vec<i32> = all.iter().map(|one| one.downstream.0).collect();
        let statuses: Vec<&str> = all.iter().map(|one| one.terms.status.name()).collect();
        let exclusive: Vec<bool> = all.iter().map(|one| one.terms.exclusive).collect();
        let data_sync: Vec<bool> = all.iter().map(|one| one.terms.data_sync).collect();
        let edit: Vec<Option<bool>> = all.iter().map(|one| one.terms.allow_downstream_edit).collect();
        let modes: Vec<&str> = all.iter().map(|one| one.mode().name()).collect();
        let since: Vec<i64> = all.iter().map(|one| one.since.0).collect();
        let versions: Vec<Option<i64>> = all.iter().map(|one| one.version).collect();
        let events: Vec<Option<i64>> = all.iter().map(|one| one.event.map(|no| no.0)).collect();

        let category_versions: Vec<i64> = writes.versions.iter().map(|(_, _, version)| *version).collect();
        let seen: Vec<_> = writes.versions.iter().map(|(no, category, _)| (*no, *category)).collect();
        let seen = Columns::of_categories(catalogue, &seen);

        let advanced: Vec<i32> = writes.last_changes.iter().map(|(no, _)| no.0).collect();
        let changes: Vec<i64> = writes.last_changes.iter().map(|(_, last)| last.change.0).collect();
        let positions: Vec<i64> = writes.last_changes.iter().map(|(_, last)| last.position.0).collect();
        together!(
            self.execute_unless(
                all.is_empty(),
                statements::PARTNERSHIPS_PUT,
                [
                    &upstreams,
                    &downstreams,
                    &statuses,
                    &exclusive,
                    &data_sync,
                    &edit,
                    &modes,
                    &since,
                    &versions,
                    &events
                ],
            ),
            self.execute_unless(
                category_versions.is_empty(),
                statements::VERSIONS_PUT,
                [&seen.organizations, &seen.categories, &category_versions],
            ),
            self.execute_unless(
                advanced.is_empty(),
                statements::ORGANIZATIONS_ADVANCE,
                [&advanced, &changes, &positions],
            ),
        )?;
        Ok(())
    }

    async fn add_changes(&self, catalogue: &Catalogue, done: &Done) -> Result<(), StoreError> {
        let changes = done.changes.iter().map(|change| ChangeRow::of_change(catalogue, change));
        let reconciles = done.reconciles.iter().map(|reconcile| Ok(ChangeRow::of_reconcile(reconcile)));
        let rows: Vec<ChangeRow<'_>> = changes.chain(reconciles).collect::<Result<_, StoreError>>()?;
        let columns = rows.iter().map(ChangeRow::columns);
        self.copy_unless(rows.is_empty(), statements::CHANGES_ADD, &CHANGE_TYPES, columns).await
    }

    async fn save_letters(&self, done: &Done) -> Result<(), StoreError> {
        let weights = self.reconcile_weights(done).await?;
        let letters = LetterColumns::of(&done.letters_new, &weights);
        let gone: Vec<i64> = done.letters_done.iter().filter(|no| no.is_stored()).map(|no| no.0).collect();
        together!(
            self.insert_letters(&letters),
            self.cut_letters(&done.letters_cut),
            self.execute_unless(gone.is_empty(), statements::LETTERS_REMOVE, [&gone]),
        )?;
        Ok(())
    }

    async fn cut_letters(&self, cut: &[Cut]) -> Result<(), StoreError> {
        let nos: Vec<i64> = cut.iter().map(|one| one.no.0).collect();
        let member = |one: &Cut| match one.progress {
            Progress::Members { through } => Some(through.0),
            Progress::NotBegun | Progress::Entries { .. } => None,
        };
        let place = |one: &Cut| match &one.progress {
            Progress::Entries { through, counts } => Some((through.clone(), *counts)),
            Progress::NotBegun | Progress::Members { .. } => None,
        };
        let members: Vec<Option<i32>> = cut.iter().map(member).collect();
        let places: Vec<_> = cut.iter().map(place).collect();
        let places = || places.iter().map(Option::as_ref);
        let categories: Vec<Option<&str>> =
            places().map(|place| place.map(|(place, _)| &*place.category)).collect();
        let keys: Vec<Option<&str>> = places().map(|place| place.map(|(place, _)| &*place.key)).collect();
        let counts = |of: fn(&Counts) -> i32| -> Vec<Option<i32>> {
            places().map(|place| place.map(|(_, counts)| of(counts))).collect()
        };
        let weights: Vec<i64> = cut.iter().map(|one| one.weight).collect();
        self.execute_unless(
            cut.is_empty(),
            statements::LETTERS_CUT,
            [
                &nos,
                &members,
                &categories,
                &keys,
                &counts(|counts| counts.added),
                &counts(|counts| counts.changed),
                &counts(|counts| counts.removed),
                &counts(|counts| counts.unchanged),
                &counts(|counts| counts.kept_own),
                &counts(|counts| counts.declined),
                &counts(|counts| counts.overtaken),
                &weights,
            ],
        )
        .await?;
        Ok(())
    }

    /// How heavy the reconciles are that follow: all entries of both organizations.
    async fn reconcile_weights(&self, done: &Done) -> Result<HashMap<ChangeNo, i64>, StoreError> {
        let parties: BTreeSet<i32> =
            done.reconciles.iter().flat_map(|one| [one.upstream.0, one.downstream.0]).collect();
        let parties: Vec<i32> = parties.into_iter().collect();
        let counts = self.count_settings(&parties).await?;
        let count = |organization: OrganizationNo| counts.get(&organization.0).copied().unwrap_or(0);
        Ok(done.reconciles.iter().map(|one| (one.no, count(one.upstream) + count(one.downstream))).collect())
    }

    /// How many entries organizations have, by number; none of those who have none.
    pub(super) async fn count_settings(
        &self,
        organizations: &[i32],
    ) -> Result<HashMap<i32, i64>, StoreError> {
        let nothing = organizations.is_empty();
        let rows = self.query_unless(nothing, statements::SETTINGS_COUNT, [&organizations]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn add_jobs(
        &self,
        done: &Done,
        attempts: &Attempts,
        names: &HashMap<OrganizationNo, String>,
        found_wrong: &FoundWrongs,
    ) -> Result<(), StoreError> {
        let jobs = &done.jobs;
        let causes: Vec<i64> = jobs.iter().map(|job| job.cause.0).collect();
        let organizations: Vec<i32> = jobs.iter().map(|job| job.organization.0).collect();
        let states: Vec<&str> =
            jobs.iter().map(|job| if job.rejected { "discarded" } else { "succeeded" }).collect();
        let attempts: Vec<i32> = jobs
            .iter()
            .map(|job| attempts.get(&(job.cause, job.organization)).copied().unwrap_or(0) + 1)
            .collect();
        let added: Vec<i32> = jobs.iter().map(|job| job.counts.added).collect();
        let changed: Vec<i32> = jobs.iter().map(|job| job.counts.changed).collect();
        let removed: Vec<i32> = jobs.iter().map(|job| job.counts.removed).collect();
        let unchanged: Vec<i32> = jobs.iter().map(|job| job.counts.unchanged).collect();
        let kept_own: Vec<i32> = jobs.iter().map(|job| job.counts.kept_own).collect();
        let declined: Vec<i32> = jobs.iter().map(|job| job.counts.declined).collect();
        let overtaken: Vec<i32> = jobs.iter().map(|job| job.counts.overtaken).collect();
        let errors: Vec<Option<&str>> = jobs
            .iter()
            .map(|job| found_wrong.get(&job.event).filter(|_| job.rejected).map(|(_, reason)| &**reason))
            .collect();
        let skipped: Vec<Option<String>> =
            jobs.iter().map(|job| job.skipped.map(|skipped| skipped_text(skipped, names))).collect();

        let job_row = |at: usize| -> [&(dyn ToSql + Sync); 11] {
            [
                &causes[at],
                &organizations[at],
                &attempts[at],
                &added[at],
                &changed[at],
                &removed[at],
                &unchanged[at],
                &kept_own[at],
                &declined[at],
                &skipped[at],
                &overtaken[at],
            ]
        };
        // They are written in the order in which they were done; and almost always all of them have succeeded.
        if jobs.iter().all(|job| !job.rejected) {
            let rows = (0..jobs.len()).map(job_row);
            return self.copy_unless(jobs.is_empty(), statements::JOBS_SUCCEEDED, &JOB_TYPES, rows).await;
        }
        self.execute(
            statements::JOBS_ADD,
            &[
                &causes,
                &organizations,
                &states,
                &attempts,
                &added,
                &changed,
                &removed,
                &unchanged,
                &kept_own,
                &declined,
                &skipped,
                &errors,
                &overtaken,
            ],
        )
        .await?;
        Ok(())
    }

    /// What matches displaced.
    async fn archive_settings(&self, catalogue: &Catalogue, done: &Done) -> Result<(), StoreError> {
        let of_jobs = done.jobs.iter().map(|job| (job.cause, job.organization, &job.displaced));
        let of_parts = done.job_parts.iter().map(|part| (part.cause, part.organization, &part.displaced));
        let displaced: Vec<_> = of_jobs
            .chain(of_parts)
            .flat_map(|(cause, organization, all)| all.iter().map(move |one| (cause, organization, one)))
            .collect();
        let archive_causes: Vec<i64> = displaced.iter().map(|(cause, _, _)| cause.0).collect();
        let archive = Columns {
            organizations: displaced.iter().map(|(_, organization, _)| organization.0).collect(),
            categories: displaced.iter().map(|(_, _, one)| catalogue.name(one.category)).collect(),
            keys: displaced.iter().map(|(_, _, one)| &*one.key).collect(),
        };
        let values: Vec<Uuid> = displaced.iter().map(|(_, _, one)| uuid(one.entry.value)).collect();
        let origins: Vec<Option<i32>> =
            displaced.iter().map(|(_, _, one)| one.entry.origin.map(|no| no.0)).collect();
        let events: Vec<i64> = displaced.iter().map(|(_, _, one)| one.entry.written_by.0).collect();
        self.execute_unless(
            displaced.is_empty(),
            statements::SETTINGS_ARCHIVE,
            [
                &archive_causes,
                &archive.organizations,
                &archive.categories,
                &archive.keys,
                &values,
                &origins,
                &events,
            ],
        )
        .await?;
        Ok(())
    }

    async fn save_verdicts(&self, done: &Done, found_wrong: &FoundWrongs) -> Result<(), StoreError> {
        let (mut settled, mut verdicts) = (Vec::new(), Vec::new());
        for (event, verdict) in &done.verdicts {
            if *verdict != Verdict::Applied {
                settled.push(event.0);
                verdicts.push(verdict.name());
            }
        }
        let wrong: Vec<i64> = found_wrong.keys().map(|event| event.0).collect();
        let codes: Vec<&str> = found_wrong.values().map(|(code, _)| code.name()).collect();
        let reasons: Vec<&str> = found_wrong.values().map(|(_, reason)| &**reason).collect();
        together!(
            self.execute_unless(settled.is_empty(), statements::EVENTS_SETTLE, [&settled, &verdicts]),
            self.execute_unless(
                wrong.is_empty(),
                statements::REJECTED_ADD_EVENTS,
                [&wrong, &codes, &reasons]
            ),
        )?;
        Ok(())
    }

    /// The names of the organizations that messages to people name.
    async fn names(&self, done: &Done) -> Result<HashMap<OrganizationNo, String>, StoreError> {
        let mut named: BTreeSet<i32> = BTreeSet::new();
        for job in &done.jobs {
            if let Some(Skipped::Locked { by }) = job.skipped {
                named.insert(by.0);
            }
        }
        for (_, verdict) in &done.verdicts {
            match verdict {
                Verdict::Rejected(FoundWrong::ExclusiveConflict {
                    upstream, downstream, in_the_way, ..
                }) => {
                    named.extend([upstream.0, downstream.0, in_the_way.0]);
                }
                Verdict::Rejected(FoundWrong::PartnershipCycle { path }) => {
                    named.extend(path.iter().map(|no| no.0));
                }
                Verdict::Rejected(FoundWrong::EmptySnapshot { organization, .. }) => {
                    named.insert(organization.0);
                }
                Verdict::Applied | Verdict::Superseded | Verdict::Locked => {}
            }
        }
        let named: Vec<i32> = named.into_iter().collect();
        let rows = self.query_unless(named.is_empty(), statements::ORGANIZATIONS_NAME, [&named]).await?;
        Ok(rows.iter().map(|row| (organization(row), row.get("organization_id"))).collect())
    }
}

/// The columns of `jobs_succeeded`.
const JOB_TYPES: [Type; 11] = [
    Type::INT8,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::INT4,
    Type::TEXT,
    Type::INT4,
];

/// The columns of `settings_add` and `settings_change`.
struct SettingColumns<'a> {
    keys: Columns<'a>,
    values: Vec<Uuid>,
    origins: Vec<Option<i32>>,
    events: Vec<i64>,
    added_by: Vec<i64>,
}

impl<'a> SettingColumns<'a> {
    fn of(catalogue: &'a Catalogue, entries: &'a [(EntryAddress, Entry)]) -> Self {
        Self {
            keys: Columns::of_keys(catalogue, entries.iter().map(|(address, _)| address)),
            values: entries.iter().map(|(_, entry)| uuid(entry.value)).collect(),
            origins: entries.iter().map(|(_, entry)| entry.origin.map(|no| no.0)).collect(),
            events: entries.iter().map(|(_, entry)| entry.written_by.0).collect(),
            added_by: entries.iter().map(|(_, entry)| entry.added_by.0).collect(),
        }
    }

    fn row(&self, at: usize) -> [&(dyn ToSql + Sync); 7] {
        let Self { keys: Columns { organizations, categories, keys }, values, origins, events, added_by } =
            self;
        [
            &organizations[at],
            &categories[at],
            &keys[at],
            &values[at],
            &origins[at],
            &events[at],
            &added_by[at],
        ]
    }
}

/// The columns of `letters_add`.
#[derive(Default)]
pub(super) struct LetterColumns {
    pub(super) shards: Vec<i16>,
    positions: Vec<i64>,
    causes: Vec<i64>,
    events: Vec<i64>,
    kinds: Vec<&'static str>,
    organizations: Vec<Option<i32>>,
    weights: Vec<i64>,
    replays: Vec<bool>,
}

impl LetterColumns {
    /// Letters that follow, where reconciles have these weights.
    fn of(new: &[NewLetter], weights: &HashMap<ChangeNo, i64>) -> Self {
        let mut letters = Self::default();
        for letter in new {
            let (to, cause, kind) = match letter.work {
                FollowUp::SyncChange(no, Recipients::Shard(shard)) => {
                    ((shard, None), no, JobKind::SyncChange)
                }
                FollowUp::SyncChange(no, Recipients::One(organization)) => {
                    ((organization.shard(), Some(organization)), no, JobKind::SyncChange)
                }
                FollowUp::Reconcile(no, organization) => {
                    ((organization.shard(), Some(organization)), no, JobKind::Reconcile)
                }
            };
            let weight = weights.get(&cause).copied().unwrap_or(letter.weight);
            let NewLetter { position, event, replay, .. } = *letter;
            letters.push(to, (kind, cause.into()), (position, event), (weight, replay));
        }
        letters
    }

    /// Adds one: where it lies and for whom, what is to be done for which cause, its turn, and its weight.
    pub(super) fn push(
        &mut self,
        (shard, organization): (Shard, Option<OrganizationNo>),
        (kind, cause): (JobKind, CauseNo),
        (position, event): (Position, EventNo),
        (weight, replay): (i64, bool),
    ) {
        self.shards.push(shard.0);
        self.positions.push(position.0);
        self.causes.push(cause.0);
        self.events.push(event.0);
        self.kinds.push(kind.name());
        self.organizations.push(organization.map(|organization| organization.0));
        self.weights.push(weight);
        self.replays.push(replay);
    }
}

fn uuid(value: ValueId) -> Uuid {
    Uuid::from_u128(value.0)
}

/// The columns of `changes_add`: the server takes enumerations and `json` as text.
const CHANGE_TYPES: [Type; 9] = [
    Type::INT8,
    Type::INT8,
    Type::INT8,
    Type::INT4,
    Type::TEXT,
    Type::INT4,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT,
];

/// A row of `changes_add`.
struct ChangeRow<'a> {
    no: i64,
    event: i64,
    cause: i64,
    organization: i32,
    category: Option<&'a str>,
    downstream: Option<i32>,
    beginning: Option<&'static str>,
    merges: bool,
    payload: Option<String>,
}

impl<'a> ChangeRow<'a> {
    fn of_change(catalogue: &'a Catalogue, change: &Change) -> Result<Self, StoreError> {
        let category = catalogue.get(change.category);
        let payload = effects_text(&change.entries).map_err(|error| StoreError::Row {
            what: format!("change {}", change.no.0),
            reason: error.to_string(),
        })?;
        Ok(Self {
            no: change.no.0,
            event: change.event.0,
            cause: change.cause.0,
            organization: change.organization.0,
            category: Some(&category.name),
            downstream: None,
            beginning: None,
            merges: category.kind == Kind::Collection && change.adds(),
            payload: Some(payload),
        })
    }

    fn of_reconcile(reconcile: &Reconcile) -> Self {
        Self {
            no: reconcile.no.0,
            event: reconcile.event.0,
            cause: reconcile.event.0,
            organization: reconcile.upstream.0,
            category: None,
            downstream: Some(reconcile.downstream.0),
            beginning: Some(reconcile.beginning.name()),
            merges: false,
            payload: None,
        }
    }

    fn columns(&self) -> [&(dyn ToSql + Sync); 9] {
        let Self { no, event, cause, organization, category, downstream, beginning, merges, payload } = self;
        [no, event, cause, organization, category, downstream, beginning, merges, payload]
    }
}

fn found_wrongs(catalogue: &Catalogue, done: &Done, names: &HashMap<OrganizationNo, String>) -> FoundWrongs {
    done.verdicts
        .iter()
        .filter_map(|(event, verdict)| match verdict {
            Verdict::Rejected(found) => Some((*event, found_wrong_text(catalogue, found, names))),
            Verdict::Applied | Verdict::Superseded | Verdict::Locked => None,
        })
        .collect()
}
