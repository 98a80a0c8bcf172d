//! A batch of letters: locking shards, taking letters, loading what they touch, saving what was done.
//!
//! All of it is one transaction. A shard is written only under its lock, and an organization in another
//! shard is read, where a decision depends on it, only under that shard's shared lock: so transactions are
//! as if they ran one after the other. Locks are only tried, never waited for: there is no deadlock.
//!
//! The number of statements of a batch does not depend on how many letters, downstreams or entries it has.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::StoreError;
use super::intake::LetterColumns;
use super::payload::{PartnershipPayload, SettingPayload, effects, effects_text};
use super::pool::Transaction;
use super::rows::{Named, partnership};
use super::statements;
use crate::contract::RejectionCode;
use crate::domain::catalogue::{Catalogue, CategoryId, Kind};
use crate::domain::decide::{Skipped, reaching_rule};
use crate::domain::mailbox::{
    self, Batch, Done, FollowUp, FoundWrong, JobKind, Letter, LetterNo, Position, Recipients, Reconcile,
    Verdict, Work, numbers_needed,
};
use crate::domain::partnership::Beginning;
use crate::domain::setting::{Change, Edit, Entry, Key, ValueId};
use crate::domain::world::{Declined, LastChange, Reached, World, Writes};
use crate::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, SHARDS, Shard};

/// The lock that a transaction holds while it decides on partnerships: a cycle may run through any shard.
const PARTNERSHIPS: Shard = Shard(-1);

/// What waits in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The shard.
    pub shard: Shard,
    /// How many due letters, up to the limit asked for.
    pub letters: i64,
    /// How many entries these write at most.
    pub weight: i64,
}

/// Letters as taken, with what is known of them besides.
#[derive(Debug, Default)]
pub struct Taken {
    /// The letters.
    pub letters: Vec<Letter>,
    /// Organizations that wait for a letter which is not due yet.
    pub held: HashSet<OrganizationNo>,
    /// How often a job was tried before, where it was.
    pub attempts: Attempts,
    /// The publishers' names and traces of the letters' root events.
    pub traces: HashMap<EventNo, Trace>,
}

/// How often jobs were tried before, by cause and organization.
pub type Attempts = HashMap<(CauseNo, OrganizationNo), i32>;

/// What ties log lines to the publisher's trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The event's id at its source.
    pub event_id: String,
    /// The W3C `traceparent` that came with it.
    pub traceparent: Option<String>,
}

impl Transaction<'_> {
    /// Shards with due letters; up to `letters_max` are counted in each.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn shards_due(&self, letters_max: i64) -> Result<Vec<Due>, StoreError> {
        let rows = self.query(statements::SHARDS_DUE, &[&SHARDS, &letters_max]).await?;
        Ok(rows
            .iter()
            .map(|row| Due { shard: Shard(row.get(0)), letters: row.get(1), weight: row.get(2) })
            .collect())
    }

    /// Locks shards for this transaction; returns those that could be locked.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn lock_shards(&self, shards: &[Shard]) -> Result<Vec<Shard>, StoreError> {
        let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let rows = self.query(statements::SHARDS_LOCK, &[&shards]).await?;
        Ok(rows.iter().map(|row| Shard(row.get(0))).collect())
    }

    /// The first due letters of shards that this transaction has locked: as many as `letters_max` a shard,
    /// and as weigh `weight_max`; at least one a shard.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or holds what cannot be read.
    pub async fn take_letters(
        &self,
        catalogue: &Catalogue,
        shards: &[Shard],
        letters_max: i64,
        weight_max: i64,
    ) -> Result<Taken, StoreError> {
        let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let held = self.query(statements::LETTERS_HELD, &[&shards]).await?;
        let rows = self.query(statements::LETTERS_TAKE, &[&shards, &letters_max, &weight_max]).await?;
        let mut causes: BTreeMap<JobKind, BTreeSet<i64>> = BTreeMap::new();
        for row in &rows {
            causes.entry(JobKind::named(row.get("kind"))?).or_default().insert(row.get("cause_no"));
        }
        let of = |kinds: [JobKind; 2]| -> Vec<i64> {
            kinds.iter().filter_map(|kind| causes.get(kind)).flatten().copied().collect()
        };
        let (event_nos, change_nos) = (
            of([JobKind::OwnChange, JobKind::PartnershipChange]),
            of([JobKind::SyncChange, JobKind::Reconcile]),
        );
        let (events, changes) = tokio::try_join!(
            self.query_unless(event_nos.is_empty(), statements::EVENTS_LOAD, [&event_nos]),
            self.query_unless(change_nos.is_empty(), statements::CHANGES_LOAD, [&change_nos]),
        )?;
        let mut traces = HashMap::new();
        for row in events.iter().chain(&changes) {
            let trace = Trace { event_id: row.get("event_id"), traceparent: row.get("traceparent") };
            traces.insert(EventNo(row.get("event_no")), trace);
        }
        let works = works(catalogue, &events, &changes)?;
        let mut taken = Taken { held: held.iter().map(organization).collect(), traces, ..Taken::default() };
        for row in &rows {
            let no = LetterNo(row.get("letter_no"));
            let cause = CauseNo(row.get("cause_no"));
            let work = works.get(&cause).cloned().ok_or_else(|| StoreError::Row {
                what: format!("letter {}", no.0),
                reason: format!("there is no event or change {}", cause.0),
            })?;
            let recipients = match row.get::<_, Option<i32>>("organization_no") {
                Some(organization) => Recipients::One(OrganizationNo(organization)),
                None => Recipients::Shard(Shard(row.get("shard"))),
            };
            let work = match work {
                Work::SyncChange { change, .. } => Work::SyncChange { change, to: recipients },
                work => work,
            };
            let (position, event) = (Position(row.get("position")), EventNo(row.get("event_no")));
            if let (Recipients::One(organization), attempts @ 1..) = (recipients, row.get("attempts")) {
                taken.attempts.insert((cause, organization), attempts);
            }
            taken.letters.push(Letter { no, position, event, work });
        }
        Ok(taken)
    }

    /// What must be known of letters outside the batch, and numbers for what it may change. Locks what the
    /// letters read; those that read what cannot be locked now are among the waiting.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn form_batch(
        &self,
        catalogue: &Catalogue,
        world: &World,
        locked: &[Shard],
        taken: Taken,
        readable: &HashSet<Shard>,
    ) -> Result<Batch, StoreError> {
        let Taken { letters, held, .. } = taken;
        let mut waiting = HashSet::new();
        let mut first_partnership_outside = None;
        let reading: Vec<(&Letter, OrganizationNo)> =
            letters.iter().filter_map(|letter| Some((letter, letter.work.reads()?))).collect();
        if !reading.is_empty() {
            let nos: Vec<i64> = letters.iter().map(|letter| letter.no.0).collect();
            for (letter, upstream) in &reading {
                let decides_on_partnerships = matches!(letter.work, Work::PartnershipChange { .. });
                let can_read = locked.contains(&upstream.shard()) || readable.contains(&upstream.shard());
                if !can_read || (decides_on_partnerships && !readable.contains(&PARTNERSHIPS)) {
                    waiting.insert(letter.no);
                }
            }
            let reading_nos: Vec<i64> = reading.iter().map(|(letter, _)| letter.no.0).collect();
            let upstreams: Vec<i32> = reading.iter().map(|(_, upstream)| upstream.0).collect();
            let positions: Vec<i64> = reading.iter().map(|(letter, _)| letter.position.0).collect();
            let (behind, first) = tokio::try_join!(
                self.query_unless(
                    false,
                    statements::LETTERS_BEHIND,
                    [&reading_nos, &upstreams, &positions, &nos]
                ),
                self.query_unless(false, statements::LETTERS_FIRST_PARTNERSHIP, [&nos]),
            )?;
            waiting.extend(behind.iter().map(|row| LetterNo(row.get(0))));
            first_partnership_outside =
                first.first().and_then(|row| row.get::<_, Option<i64>>(0)).map(Position);
        }
        let needed = numbers_needed(world, catalogue, &letters) as i64;
        let numbers = self.query_unless(needed == 0, statements::NUMBERS_TAKE, [&needed]).await?;
        let numbers: VecDeque<ChangeNo> = numbers.iter().map(|row| ChangeNo(row.get(0))).collect();
        Ok(Batch { letters, held, waiting, first_partnership_outside, numbers })
    }

    /// Locks, against writing, what the letters read outside the shards that are locked already; returns
    /// what could be locked.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn lock_for_reading(
        &self,
        letters: &[Letter],
        locked: &[Shard],
    ) -> Result<HashSet<Shard>, StoreError> {
        let upstreams = letters.iter().filter_map(|letter| letter.work.reads());
        let wanted: BTreeSet<Shard> =
            upstreams.map(OrganizationNo::shard).filter(|shard| !locked.contains(shard)).collect();
        let wanted: Vec<i16> = wanted.iter().map(|shard| shard.0).collect();
        let decides_on_partnerships =
            letters.iter().any(|letter| matches!(letter.work, Work::PartnershipChange { .. }));
        let registry = vec![PARTNERSHIPS.0];
        let (shared, registry) = tokio::try_join!(
            self.query_unless(wanted.is_empty(), statements::SHARDS_LOCK_SHARED, [&wanted]),
            self.query_unless(!decides_on_partnerships, statements::SHARDS_LOCK, [&registry]),
        )?;
        Ok(shared.iter().chain(&registry).map(|row| Shard(row.get(0))).collect())
    }

    /// Loads the part of the world that letters touch.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or holds what cannot be read.
    pub async fn load_world(&self, catalogue: &Catalogue, letters: &[Letter]) -> Result<World, StoreError> {
        let mut world = World::default();
        let parties = Parties::of(letters);
        let (uppers, shards) =
            parties.below.iter().map(|(up, shard)| (up.0, shard.0)).unzip::<_, _, Vec<_>, Vec<_>>();
        let above: Vec<i32> = parties.above.iter().map(|no| no.0).collect();
        let (above, below) = tokio::try_join!(
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
        let (reached, by_organization, by_category, by_key, versions, declined, declined_whole) = tokio::try_join!(
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

    /// Saves what was done: the world's writes, and jobs, changes and letters.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn save(
        &self,
        catalogue: &Catalogue,
        writes: &Writes,
        done: &Done,
        attempts: &Attempts,
    ) -> Result<(), StoreError> {
        let names = self.names(done).await?;
        tokio::try_join!(
            self.save_settings(catalogue, writes),
            self.save_declined(catalogue, writes),
            self.save_partnerships(catalogue, writes),
            self.save_changes(catalogue, done),
            self.save_letters(done),
            self.save_jobs(catalogue, done, attempts, &names),
            self.save_verdicts(catalogue, done, &names),
        )?;
        if !done.letters_new.is_empty() {
            self.query(statements::LETTERS_NOTIFY, &[]).await?;
        }
        Ok(())
    }

    async fn query_unless<const N: usize>(
        &self,
        not_needed: bool,
        statement: statements::Statement,
        parameters: [&(dyn ToSql + Sync); N],
    ) -> Result<Vec<Row>, StoreError> {
        if not_needed { Ok(Vec::new()) } else { self.query(statement, &parameters).await }
    }

    async fn execute_unless<const N: usize>(
        &self,
        not_needed: bool,
        statement: statements::Statement,
        parameters: [&(dyn ToSql + Sync); N],
    ) -> Result<u64, StoreError> {
        if not_needed { Ok(0) } else { self.execute(statement, &parameters).await }
    }

    async fn save_settings(&self, catalogue: &Catalogue, writes: &Writes) -> Result<(), StoreError> {
        let put = &writes.entries_put;
        let put_keys = Columns::of_keys(catalogue, put.iter().map(|(address, _)| address));
        let values: Vec<Uuid> = put.iter().map(|(_, entry)| uuid(entry.value)).collect();
        let origins: Vec<Option<i32>> = put.iter().map(|(_, entry)| entry.origin.map(|no| no.0)).collect();
        let events: Vec<i64> = put.iter().map(|(_, entry)| entry.written_by.0).collect();
        let added_by: Vec<i64> = put.iter().map(|(_, entry)| entry.added_by.0).collect();
        let removed = Columns::of_keys(catalogue, &writes.entries_removed);
        let Columns { organizations, categories, keys } = &put_keys;
        tokio::try_join!(
            self.execute_unless(
                put.is_empty(),
                statements::SETTINGS_PUT,
                [organizations, categories, keys, &values, &origins, &events, &added_by],
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
        tokio::try_join!(
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

        let category_versions: Vec<i64> = writes.versions.iter().map(|(_, _, version)| *version).collect();
        let seen: Vec<_> = writes.versions.iter().map(|(no, category, _)| (*no, *category)).collect();
        let seen = Columns::of_categories(catalogue, &seen);

        let advanced: Vec<i32> = writes.last_changes.iter().map(|(no, _)| no.0).collect();
        let changes: Vec<i64> = writes.last_changes.iter().map(|(_, last)| last.change.0).collect();
        let positions: Vec<i64> = writes.last_changes.iter().map(|(_, last)| last.position.0).collect();
        tokio::try_join!(
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
                    &versions
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

    async fn save_changes(&self, catalogue: &Catalogue, done: &Done) -> Result<(), StoreError> {
        let mut rows = ChangeColumns::default();
        for change in &done.changes {
            let category = catalogue.get(change.category);
            rows.push(change.no, change.event, change.cause, change.organization);
            rows.categories.push(Some(&*category.name));
            rows.downstreams.push(None);
            rows.beginnings.push(None);
            rows.merges.push(category.kind == Kind::Collection && change.adds());
            let payload = effects_text(&change.entries).map_err(|error| StoreError::Row {
                what: format!("change {}", change.no.0),
                reason: error.to_string(),
            })?;
            rows.payloads.push(Some(payload));
        }
        for reconcile in &done.reconciles {
            rows.push(reconcile.no, reconcile.event, reconcile.event.into(), reconcile.upstream);
            rows.categories.push(None);
            rows.downstreams.push(Some(reconcile.downstream.0));
            rows.beginnings.push(Some(reconcile.beginning.name()));
            rows.merges.push(false);
            rows.payloads.push(None);
        }
        let ChangeColumns {
            nos,
            events,
            causes,
            organizations,
            categories,
            downstreams,
            beginnings,
            merges,
            payloads,
        } = &rows;
        self.execute_unless(
            nos.is_empty(),
            statements::CHANGES_ADD,
            [nos, events, causes, organizations, categories, downstreams, beginnings, merges, payloads],
        )
        .await?;
        Ok(())
    }

    async fn save_letters(&self, done: &Done) -> Result<(), StoreError> {
        let weights = self.reconcile_weights(done).await?;
        let mut letters = LetterColumns::default();
        for letter in &done.letters_new {
            let (shard, cause, kind, organization) = match letter.work {
                FollowUp::SyncChange(no, Recipients::Shard(shard)) => (shard, no, JobKind::SyncChange, None),
                FollowUp::SyncChange(no, Recipients::One(organization)) => {
                    (organization.shard(), no, JobKind::SyncChange, Some(organization.0))
                }
                FollowUp::Reconcile(no, organization) => {
                    (organization.shard(), no, JobKind::Reconcile, Some(organization.0))
                }
            };
            letters.shards.push(shard.0);
            letters.positions.push(letter.position.0);
            letters.causes.push(cause.0);
            letters.events.push(letter.event.0);
            letters.kinds.push(kind.name());
            letters.organizations.push(organization);
            letters.weights.push(weights.get(&cause).copied().unwrap_or(letter.weight));
        }
        let gone: Vec<i64> = done.letters_done.iter().map(|no| no.0).collect();
        tokio::try_join!(
            self.add_letters(&letters),
            self.execute_unless(gone.is_empty(), statements::LETTERS_REMOVE, [&gone]),
        )?;
        Ok(())
    }

    /// How heavy the reconciles are that follow: all entries of both organizations.
    async fn reconcile_weights(&self, done: &Done) -> Result<HashMap<ChangeNo, i64>, StoreError> {
        let parties: BTreeSet<i32> =
            done.reconciles.iter().flat_map(|one| [one.upstream.0, one.downstream.0]).collect();
        let parties: Vec<i32> = parties.into_iter().collect();
        let rows = self.query_unless(parties.is_empty(), statements::SETTINGS_COUNT, [&parties]).await?;
        let counts: HashMap<i32, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let count = |organization: OrganizationNo| counts.get(&organization.0).copied().unwrap_or(0);
        Ok(done.reconciles.iter().map(|one| (one.no, count(one.upstream) + count(one.downstream))).collect())
    }

    async fn save_jobs(
        &self,
        catalogue: &Catalogue,
        done: &Done,
        attempts: &Attempts,
        names: &HashMap<OrganizationNo, String>,
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
        let reasons: HashMap<CauseNo, String> = done
            .verdicts
            .iter()
            .filter_map(|(event, verdict)| match verdict {
                Verdict::Rejected(found) => {
                    Some((CauseNo::from(*event), found_wrong_text(catalogue, found, names).1))
                }
                Verdict::Applied | Verdict::Superseded | Verdict::Locked => None,
            })
            .collect();
        let errors: Vec<Option<&str>> = jobs
            .iter()
            .map(|job| reasons.get(&job.cause).filter(|_| job.rejected).map(String::as_str))
            .collect();
        let skipped: Vec<Option<String>> =
            jobs.iter().map(|job| job.skipped.map(|skipped| skipped_text(skipped, names))).collect();

        let displaced: Vec<_> = jobs
            .iter()
            .flat_map(|job| job.displaced.iter().map(move |one| (job.cause, job.organization, one)))
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
        tokio::try_join!(
            self.execute_unless(
                jobs.is_empty(),
                statements::JOBS_ADD,
                [
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
                ],
            ),
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
                    &events
                ],
            ),
        )?;
        Ok(())
    }

    async fn save_verdicts(
        &self,
        catalogue: &Catalogue,
        done: &Done,
        names: &HashMap<OrganizationNo, String>,
    ) -> Result<(), StoreError> {
        let (mut settled, mut verdicts) = (Vec::new(), Vec::new());
        let (mut wrong, mut codes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for (event, verdict) in &done.verdicts {
            verdicts.push(match verdict {
                Verdict::Applied => continue,
                Verdict::Superseded => "superseded",
                Verdict::Locked => "locked",
                Verdict::Rejected(found) => {
                    let (code, reason) = found_wrong_text(catalogue, found, names);
                    wrong.push(event.0);
                    codes.push(code.name());
                    reasons.push(reason);
                    "rejected"
                }
            });
            settled.push(event.0);
        }
        tokio::try_join!(
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

/// What events and changes ask for, by cause; a change goes to nobody yet.
fn works(
    catalogue: &Catalogue,
    events: &[Row],
    changes: &[Row],
) -> Result<HashMap<CauseNo, Work>, StoreError> {
    let mut works = HashMap::new();
    for row in events {
        let no: i64 = row.get("event_no");
        works.insert(CauseNo(no), event_work(catalogue, row).map_err(|reason| in_row("event", no, reason))?);
    }
    for row in changes {
        let no: i64 = row.get("change_no");
        works
            .insert(CauseNo(no), change_work(catalogue, row).map_err(|reason| in_row("change", no, reason))?);
    }
    Ok(works)
}

fn in_row(what: &str, no: i64, reason: String) -> StoreError {
    StoreError::Row { what: format!("{what} {no}"), reason }
}

fn category_id(catalogue: &Catalogue, row: &Row) -> Result<CategoryId, String> {
    let name: &str = row.get("category");
    catalogue.find(name).ok_or_else(|| format!("the catalogue has no category {name:?}"))
}

fn event_work(catalogue: &Catalogue, row: &Row) -> Result<Work, String> {
    let payload: &str = row.get("payload");
    let organization = organization(row);
    if let Some(downstream) = row.get::<_, Option<i32>>("downstream_no") {
        let payload: PartnershipPayload = serde_json::from_str(payload).map_err(|error| error.to_string())?;
        let PartnershipPayload { terms, onboarding, version } = payload;
        let downstream = OrganizationNo(downstream);
        return Ok(Work::PartnershipChange {
            upstream: organization,
            downstream,
            terms,
            onboarding,
            version,
        });
    }
    let payload: SettingPayload = serde_json::from_str(payload).map_err(|error| error.to_string())?;
    let (version, edit) = payload.into_parts();
    Ok(Work::OwnChange { organization, category: category_id(catalogue, row)?, version, edit })
}

fn change_work(catalogue: &Catalogue, row: &Row) -> Result<Work, String> {
    let (no, event) = (ChangeNo(row.get("change_no")), EventNo(row.get("event_no")));
    let upstream = organization(row);
    if let Some(downstream) = row.get::<_, Option<i32>>("downstream_no") {
        let beginning = Beginning::named(row.get("beginning")).map_err(|error| error.to_string())?;
        let downstream = OrganizationNo(downstream);
        return Ok(Work::Reconcile(Reconcile { no, event, upstream, downstream, beginning }));
    }
    let entries = effects(row.get("payload")).map_err(|error| error.to_string())?;
    let cause = CauseNo(row.get("cause_no"));
    let category = category_id(catalogue, row)?;
    let change = Change { no, event, cause, organization: upstream, category, entries };
    Ok(Work::SyncChange { change: Arc::new(change), to: Recipients::One(upstream) })
}

fn organization(row: &Row) -> OrganizationNo {
    OrganizationNo(row.get("organization_no"))
}

fn entry(row: &Row) -> Entry {
    Entry {
        value: ValueId(row.get::<_, Uuid>("value_id").as_u128()),
        origin: row.get::<_, Option<i32>>("origin_no").map(OrganizationNo),
        written_by: EventNo(row.get("event_no")),
        added_by: EventNo(row.get("added_event_no")),
    }
}

fn uuid(value: ValueId) -> Uuid {
    Uuid::from_u128(value.0)
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
#[derive(Default)]
struct Parties {
    /// Organizations whose upstreams count, all the way up.
    above: BTreeSet<OrganizationNo>,
    /// Upstreams whose downstreams in a shard count.
    below: BTreeSet<(OrganizationNo, Shard)>,
}

impl Parties {
    fn of(letters: &[Letter]) -> Self {
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
#[derive(Default)]
struct Wanted {
    /// Organizations whose settings may change.
    changing: BTreeSet<OrganizationNo>,
    /// Organizations whose entries count, all of them.
    organizations: BTreeSet<OrganizationNo>,
    /// Categories of which all entries count.
    categories: BTreeSet<(OrganizationNo, CategoryId)>,
    /// Single entries that count.
    keys: BTreeSet<(OrganizationNo, CategoryId, Key)>,
    versions: BTreeSet<(OrganizationNo, CategoryId)>,
    declined: BTreeSet<Declined>,
    /// Downstream and upstream of which all declined entries count.
    declined_whole: BTreeSet<(OrganizationNo, OrganizationNo)>,
    known_keys: HashSet<Key>,
}

impl Wanted {
    fn of(world: &World, catalogue: &Catalogue, letters: &[Letter]) -> Self {
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

/// Addresses of settings, as columns.
#[derive(Default)]
struct Columns<'a> {
    organizations: Vec<i32>,
    categories: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of_keys(
        catalogue: &'a Catalogue,
        addresses: impl IntoIterator<Item = &'a (OrganizationNo, CategoryId, Key)>,
    ) -> Self {
        let mut columns = Self::default();
        for (organization, category, key) in addresses {
            columns.organizations.push(organization.0);
            columns.categories.push(catalogue.name(*category));
            columns.keys.push(key);
        }
        columns
    }

    fn of_categories<'b>(
        catalogue: &'a Catalogue,
        addresses: impl IntoIterator<Item = &'b (OrganizationNo, CategoryId)>,
    ) -> Self {
        let mut columns = Self::default();
        for (organization, category) in addresses {
            columns.organizations.push(organization.0);
            columns.categories.push(catalogue.name(*category));
        }
        columns
    }
}

#[derive(Default)]
struct DeclinedColumns<'a> {
    downstreams: Vec<i32>,
    upstreams: Vec<i32>,
    categories: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl<'a> DeclinedColumns<'a> {
    fn of(catalogue: &'a Catalogue, all: impl IntoIterator<Item = &'a Declined>) -> Self {
        let mut columns = Self::default();
        for Declined { downstream, upstream, category, key } in all {
            columns.downstreams.push(downstream.0);
            columns.upstreams.push(upstream.0);
            columns.categories.push(catalogue.name(*category));
            columns.keys.push(key);
        }
        columns
    }
}

/// The columns of `changes_add`.
#[derive(Default)]
struct ChangeColumns<'a> {
    nos: Vec<i64>,
    events: Vec<i64>,
    causes: Vec<i64>,
    organizations: Vec<i32>,
    categories: Vec<Option<&'a str>>,
    downstreams: Vec<Option<i32>>,
    beginnings: Vec<Option<&'static str>>,
    merges: Vec<bool>,
    payloads: Vec<Option<String>>,
}

impl ChangeColumns<'_> {
    fn push(&mut self, no: ChangeNo, event: EventNo, cause: CauseNo, organization: OrganizationNo) {
        self.nos.push(no.0);
        self.events.push(event.0);
        self.causes.push(cause.0);
        self.organizations.push(organization.0);
    }
}

fn name_of(organization: OrganizationNo, names: &HashMap<OrganizationNo, String>) -> &str {
    names.get(&organization).map_or("(unknown)", String::as_str)
}

/// Why a job had nothing to do, in words.
fn skipped_text(skipped: Skipped, names: &HashMap<OrganizationNo, String>) -> String {
    match skipped {
        Skipped::InStep => "already in step".to_owned(),
        Skipped::OwnEntriesKept => "the downstream has entries of its own under these keys".to_owned(),
        Skipped::Declined => "the downstream deleted these entries before".to_owned(),
        Skipped::SyncOff => "data sync is off by now".to_owned(),
        Skipped::NothingToSync => "the upstream has no settings that the rules sync here".to_owned(),
        Skipped::ModeStays(mode) => format!("the mode stays {}", mode.name()),
        Skipped::ModeChanges(before, mode) => {
            format!("the mode changes from {} to {}, which changes no value", before.name(), mode.name())
        }
        Skipped::ReconcileFollows(before, mode) => {
            format!("the mode changes from {} to {}; a reconcile follows", before.name(), mode.name())
        }
        Skipped::Superseded { last } => format!("version {last} was seen before"),
        Skipped::Locked { by } => format!("the settings are locked by {}", name_of(by, names)),
    }
}

/// What was wrong with an event that was found wrong when it ran: code and reason.
fn found_wrong_text(
    catalogue: &Catalogue,
    found: &FoundWrong,
    names: &HashMap<OrganizationNo, String>,
) -> (RejectionCode, String) {
    match found {
        FoundWrong::ExclusiveConflict { upstream, downstream, in_the_way, is_exclusive } => {
            let name = |organization| name_of(organization, names);
            let (downstream, other) = (name(*downstream), name(*in_the_way));
            let why = if *is_exclusive {
                format!("its active partnership with {other} is exclusive")
            } else {
                format!("an exclusive one tolerates no other, and its partnership with {other} is active")
            };
            let reason = format!(
                "{downstream} cannot have an active partnership with {}: {why}; expected that one to end first",
                name(*upstream)
            );
            (RejectionCode::ExclusiveConflict, reason)
        }
        FoundWrong::PartnershipCycle { path } => {
            let path: Vec<&str> = path.iter().map(|organization| name_of(*organization, names)).collect();
            let reason = format!(
                "the partnership would close the cycle {}; expected none on the way from an organization to itself",
                path.join(" → ")
            );
            (RejectionCode::PartnershipCycle, reason)
        }
        FoundWrong::EmptySnapshot { organization, category, entries } => {
            let reason = format!(
                "data.snapshot is empty, and {} has {entries} entries in {}; expected \"allow_empty\": true where all are to go",
                name_of(*organization, names),
                catalogue.name(*category)
            );
            (RejectionCode::EmptySnapshot, reason)
        }
    }
}
