//! A batch of letters: locking shards, taking letters, and what must be known of letters outside it.
//!
//! All of it is one transaction. A shard is written only under its lock, and an organization in another
//! shard is read, where a decision depends on it, only under that shard's shared lock: so transactions are
//! as if they ran one after the other. Locks are only tried, never waited for: there is no deadlock.
//!
//! The number of statements of a batch does not depend on how many letters, downstreams or entries it has.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::StoreError;
use super::payload::{PartnershipPayload, SettingPayload, effects};
use super::pool::{Session, Transaction};
use super::rows::{Named, organization};
use super::statements;
use super::together::together;
use super::touched::Oldest;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::decide::Counts;
use crate::domain::mailbox::{
    Batch, JobKind, Letter, LetterNo, Progress, Recipients, Reconcile, Work, numbers_needed,
};
use crate::domain::partnership::Beginning;
use crate::domain::replay::{Overtaken, Touched};
use crate::domain::setting::{Change, Key, Place};
use crate::domain::world::World;
use crate::domain::{CauseNo, ChangeNo, EventNo, OrganizationNo, Position, Shard};

/// The lock that a transaction holds while it decides on partnerships: a cycle may run through any shard.
pub const PARTNERSHIPS: Shard = Shard(-1);

/// So many letters of organizations that are held are walked past, in each shard, in search of others behind them.
/// Where there are more, the others are found by looking into one mailbox after another, each of which costs as much
/// as walking past some twenty letters. See decision 0024.
const WALKS_PAST_MAX: i64 = 1000;

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

/// Shards that a transaction has locked, and who in them must wait.
#[derive(Debug, Default)]
pub struct Locked {
    /// The shards.
    pub shards: Vec<Shard>,
    /// Organizations that are paused, or wait for a letter which is not due yet.
    pub held: HashSet<OrganizationNo>,
    /// Whether all execution is paused.
    pub everybody_held: bool,
}

impl Locked {
    fn of(shards: impl Iterator<Item = Shard>, held: &[Row]) -> Self {
        let held: Vec<Option<i32>> = held.iter().map(|row| row.get("organization_no")).collect();
        Self {
            shards: shards.collect(),
            everybody_held: held.contains(&None),
            held: held.into_iter().flatten().map(OrganizationNo).collect(),
        }
    }
}

/// Letters as taken, with what is known of them besides.
#[derive(Debug, Default)]
pub struct Taken {
    /// The letters.
    pub letters: Vec<Letter>,
    /// Letters that cannot be read, and why: each the first that was taken of its shard. One that comes behind
    /// others is not taken before these are done, or held.
    pub unreadable: Vec<(LetterNo, StoreError)>,
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

impl Session {
    /// Those of these shards with due letters; up to `letters_max` are counted in each.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn shards_due(&mut self, shards: &[Shard], letters_max: usize) -> Result<Vec<Due>, StoreError> {
        let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let letters_max = letters_max as i64;
        let of_due: [&(dyn ToSql + Sync); 3] = [&shards, &letters_max, &WALKS_PAST_MAX];
        let transaction = self.begin().await?;
        let (_, mut rows) = together!(
            transaction.query(statements::PLAN_BY_INDEX, &[]),
            transaction.query(statements::SHARDS_DUE, &of_due),
        )?;
        let buried: Vec<i16> =
            rows.extract_if(.., |row| row.get("buried")).map(|row| row.get("shard")).collect();
        let found = transaction
            .query_unless(buried.is_empty(), statements::SHARDS_DUE_BURIED, [&buried, &letters_max])
            .await?;
        Ok(rows
            .iter()
            .chain(&found)
            .map(|row| Due {
                shard: Shard(row.get("shard")),
                letters: row.get("letters"),
                weight: row.get("weight"),
            })
            .collect())
    }
}

impl Transaction<'_> {
    /// Locks shards for this transaction, the first `shards_max` that can be locked, and tells who in any of them must
    /// wait. From now on it waits for locked rows as long as `lock_timeout`, in whole milliseconds, at least one.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn lock_shards(
        &self,
        shards: &[Shard],
        shards_max: usize,
        lock_timeout: Duration,
    ) -> Result<Locked, StoreError> {
        let shards_max = shards_max as i64;
        let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let lock_timeout = format!("{}ms", lock_timeout.as_millis().max(1));
        let (of_time, of_shards): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) =
            ([&lock_timeout], [&shards]);
        let of_first: [&(dyn ToSql + Sync); 2] = [&shards, &shards_max];
        // In this order: who must wait is asked for under the locks.
        let (_, _, _, locked, held) = together!(
            self.query(statements::PLAN_BY_INDEX, &[]),
            self.query(statements::LOCK_TIMEOUT_SET, &of_time),
            self.execute(statements::TABLES_LOCK, &[]),
            self.query(statements::SHARDS_LOCK, &of_first),
            self.query(statements::LETTERS_HELD, &of_shards),
        )?;
        Ok(Locked::of(locked.iter().map(|row| Shard(row.get(0))), &held))
    }

    /// Locks those of the shards that hold no letter, as far as it can, besides `locked` ones which it holds; tells
    /// which do so still, and who is paused. In these, what comes next comes first. A shard with letters is not
    /// locked: whoever works these off has the better use for it.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn lock_empty(&self, shards: &[Shard], locked: &[Shard]) -> Result<Locked, StoreError> {
        let new: Vec<i16> =
            shards.iter().filter(|shard| !locked.contains(shard)).map(|shard| shard.0).collect();
        let all: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let (of_new, of_all): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) = ([&new], [&all]);
        // In this order: the others are asked under the locks.
        let (new, held, empty) = together!(
            self.query(statements::SHARDS_LOCK_EMPTY, &of_new),
            self.query(statements::LETTERS_HELD, &of_all),
            self.query(statements::SHARDS_EMPTY, &of_all),
        )?;
        let new: Vec<Shard> = new.iter().map(|row| Shard(row.get(0))).collect();
        let empty = empty.iter().map(|row| Shard(row.get(0)));
        Ok(Locked::of(empty.filter(|shard| locked.contains(shard) || new.contains(shard)), &held))
    }

    /// The first due letters of shards that this transaction has locked: as many as `letters_max` a shard,
    /// and as weigh `weight_max`; at least one a shard. None of those who are held.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or holds what cannot be read.
    pub async fn take_letters(
        &self,
        catalogue: &Catalogue,
        shards: &[Shard],
        (letters_max, weight_max): (i64, i64),
        held: &HashSet<OrganizationNo>,
    ) -> Result<Taken, StoreError> {
        let mut rows = self.first_due(shards, letters_max, held).await?;
        rows.sort_by_key(|row| -> (i64, i64, i64) {
            (row.get("position"), row.get("cause_no"), row.get("letter_no"))
        });
        let mut loads: HashMap<i16, Load> = HashMap::new();
        rows.retain(|row| {
            let kind: &str = row.get("kind");
            let load = loads.entry(row.get("shard")).or_default();
            load.takes(kind == JobKind::Reconcile.name(), row.get("cause_no"), row.get("weight"), weight_max)
        });
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
        let (events, changes) = together!(
            self.query_unless(event_nos.is_empty(), statements::EVENTS_LOAD, [&event_nos]),
            self.query_unless(change_nos.is_empty(), statements::CHANGES_LOAD, [&change_nos]),
        )?;
        let mut traces = HashMap::new();
        for row in events.iter().chain(&changes) {
            let trace = Trace { event_id: row.get("event_id"), traceparent: row.get("traceparent") };
            traces.insert(EventNo(row.get("event_no")), trace);
        }
        let works = works(catalogue, &events, &changes);
        let mut taken = Taken { traces, ..Taken::default() };
        // Shards of which something was taken, and those of which nothing more is.
        let (mut begun, mut ended) = (HashSet::new(), HashSet::new());
        for row in &rows {
            let shard: i16 = row.get("shard");
            if ended.contains(&shard) {
                continue;
            }
            let no = LetterNo(row.get("letter_no"));
            let cause = CauseNo(row.get("cause_no"));
            let work = match works.get(&cause) {
                Some(Ok(work)) => work.clone(),
                unreadable => {
                    let reason = match unreadable {
                        Some(Err(reason)) => reason.clone(),
                        _ => format!("there is no event or change {}", cause.0),
                    };
                    ended.insert(shard);
                    if !begun.contains(&shard) {
                        let what = format!("letter {}", no.0);
                        taken.unreadable.push((no, StoreError::Row { what, reason }));
                    }
                    continue;
                }
            };
            let recipients = match row.get::<_, Option<i32>>("organization_no") {
                Some(organization) => Recipients::One(OrganizationNo(organization)),
                None => Recipients::Shard(Shard(shard)),
            };
            let work = match work {
                Work::SyncChange { change, .. } => Work::SyncChange { change, to: recipients },
                work => work,
            };
            begun.insert(shard);
            let (position, event) = (Position(row.get("position")), EventNo(row.get("event_no")));
            let replay = row.get("replay");
            if let (Recipients::One(organization), attempts @ 1..) = (recipients, row.get("attempts")) {
                taken.attempts.insert((cause, organization), attempts);
            }
            let (progress, weight) = (progress(row), row.get("weight"));
            taken.letters.push(Letter { no, position, event, work, replay, progress, weight });
        }
        Ok(taken)
    }

    /// The rows of the first due letters of these shards, as many as `letters_max` a shard; none of those who are held,
    /// however many there are.
    async fn first_due(
        &self,
        shards: &[Shard],
        letters_max: i64,
        held: &HashSet<OrganizationNo>,
    ) -> Result<Vec<Row>, StoreError> {
        let nos: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
        let held_nos: Vec<i32> = held.iter().map(|organization| organization.0).collect();
        let walks_max = (!held.is_empty()).then_some(letters_max + WALKS_PAST_MAX);
        let walk = [&nos as &(dyn ToSql + Sync), &letters_max, &held_nos, &walks_max];
        let mut rows = self.query(statements::LETTERS_TAKE, &walk).await?;
        // More of these may be behind those who are held.
        let mut short: BTreeSet<i16> = held.iter().map(|organization| organization.shard().0).collect();
        short.retain(|shard| {
            let taken = rows.iter().filter(|row| row.get::<_, i16>("shard") == *shard).count();
            nos.contains(shard) && (taken as i64) < letters_max
        });
        if !short.is_empty() {
            rows.retain(|row| !short.contains(&row.get("shard")));
            let short: Vec<i16> = short.into_iter().collect();
            rows.extend(
                self.query(statements::LETTERS_TAKE_BURIED, &[&short, &letters_max, &held_nos]).await?,
            );
        }
        Ok(rows)
    }

    /// Plans a batch with room for `writes_max` entries, and loads what its letters touch and what must be known
    /// of letters outside it. Locks what the letters read; those that read what cannot be locked now are among
    /// the waiting.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or holds what cannot be read.
    pub async fn prepare(
        &self,
        catalogue: &Catalogue,
        locked: &[Shard],
        letters: Vec<Letter>,
        held: HashSet<OrganizationNo>,
        writes_max: usize,
    ) -> Result<(World, Batch), StoreError> {
        let readable = self.lock_for_reading(&letters, locked).await?;
        let mut batch = self.form_batch(catalogue, locked, letters, held, &readable).await?;
        let world = self.load_world(catalogue, &mut batch, writes_max).await?;
        let needed = numbers_needed(&world, catalogue, &batch) as i64;
        let numbers = self.query_unless(needed == 0, statements::NUMBERS_TAKE, [&needed]).await?;
        batch.numbers = numbers.iter().map(|row| ChangeNo(row.get(0))).collect();
        Ok((world, batch))
    }

    /// What must be known of letters outside the batch.
    async fn form_batch(
        &self,
        catalogue: &Catalogue,
        locked: &[Shard],
        letters: Vec<Letter>,
        held: HashSet<OrganizationNo>,
        readable: &HashSet<Shard>,
    ) -> Result<Batch, StoreError> {
        let mut waiting = blocked(&letters, locked, readable);
        let may_run = letters.iter().filter(|letter| !waiting.contains(&letter.no));
        let reading: Vec<(&Letter, OrganizationNo)> =
            may_run.filter_map(|letter| Some((letter, letter.reads()?))).collect();
        let nos: Vec<i64> = letters.iter().map(|letter| letter.no.0).collect();
        let reading_nos: Vec<i64> = reading.iter().map(|(letter, _)| letter.no.0).collect();
        let upstreams: Vec<i32> = reading.iter().map(|(_, upstream)| upstream.0).collect();
        let positions: Vec<i64> = reading.iter().map(|(letter, _)| letter.position.0).collect();
        let nobody_reads = reading.is_empty();
        let changing = reading.iter().filter_map(|(letter, upstream)| match letter.work {
            Work::PartnershipChange { downstream, .. } => {
                Some((letter.no.0, upstream.0, downstream.0, letter.position.0))
            }
            _ => None,
        });
        let (changing_nos, over, to, at): (Vec<i64>, Vec<i32>, Vec<i32>, Vec<i64>) = changing.collect();
        let (behind, told_first, first) = together!(
            self.query_unless(
                nobody_reads,
                statements::LETTERS_BEHIND,
                [&reading_nos, &upstreams, &positions, &nos]
            ),
            self.query_unless(
                changing_nos.is_empty(),
                statements::LETTERS_TOLD_FIRST,
                [&changing_nos, &over, &to, &at, &nos]
            ),
            self.query_unless(nobody_reads, statements::LETTERS_FIRST_PARTNERSHIP, [&nos]),
        )?;
        waiting.extend(behind.iter().chain(&told_first).map(|row| LetterNo(row.get(0))));
        let first_partnership_outside =
            first.first().and_then(|row| row.get::<_, Option<i64>>(0)).map(Position);
        let overtaken = self.overtaken(catalogue, &letters).await?;
        Ok(Batch { letters, held, waiting, first_partnership_outside, overtaken, ..Batch::default() })
    }

    /// What is newer than the letters that are replays.
    async fn overtaken(
        &self,
        catalogue: &Catalogue,
        letters: &[Letter],
    ) -> Result<HashMap<LetterNo, Overtaken>, StoreError> {
        // Once for each organization and category, from the oldest replay on.
        let mut oldest = Oldest::new();
        for letter in letters.iter().filter(|letter| letter.replay) {
            let category = match &letter.work {
                Work::OwnChange { category, .. } => Some(*category),
                Work::SyncChange { change, .. } => Some(change.category),
                Work::Reconcile(_) => None,
                Work::PartnershipChange { .. } => continue,
            };
            let Some(organization) = letter.work.organization() else { continue };
            let event = oldest.entry((organization, category)).or_insert(letter.event);
            *event = letter.event.min(*event);
        }
        let touched = self.touched(catalogue, &oldest).await?;
        let touched: HashMap<OrganizationNo, Arc<Touched>> =
            touched.into_iter().map(|(organization, touched)| (organization, Arc::new(touched))).collect();
        let overtaken = letters.iter().filter(|letter| letter.replay).map(|letter| {
            let touched = letter.work.organization().and_then(|organization| touched.get(&organization));
            (letter.no, Overtaken::since(letter.event, touched.cloned().unwrap_or_default()))
        });
        Ok(overtaken.collect())
    }

    /// Locks, against writing, what the letters read outside the shards that are locked already; returns
    /// what could be locked.
    async fn lock_for_reading(
        &self,
        letters: &[Letter],
        locked: &[Shard],
    ) -> Result<HashSet<Shard>, StoreError> {
        let wanted: Vec<i16> = shards_read(letters, locked).iter().map(|shard| shard.0).collect();
        let decides_on_partnerships = letters.iter().any(decides_on_partnerships);
        let registry = vec![PARTNERSHIPS.0];
        let (shared, registry) = together!(
            self.query_unless(wanted.is_empty(), statements::SHARDS_LOCK_SHARED, [&wanted]),
            self.query_unless(!decides_on_partnerships, statements::SHARDS_LOCK, [&registry, &1_i64]),
        )?;
        Ok(shared.iter().chain(&registry).map(|row| Shard(row.get(0))).collect())
    }
}

/// What it takes to load the letters of a shard.
///
/// A heavy letter is worked off in parts, so it counts for no more than an eighth of what a batch may weigh, and leaves
/// room for those behind it; letters of one cause share what they say; and a reconcile says nothing.
#[derive(Debug, Default)]
struct Load {
    weight: i64,
    heavy: HashSet<i64>,
}

impl Load {
    /// Whether the next letter is taken too: always the first, and then as many as weigh `max` together.
    fn takes(&mut self, reconcile: bool, cause: i64, weight: i64, max: i64) -> bool {
        let taken = self.weight < max;
        self.weight += match weight {
            _ if reconcile => 0,
            weight if weight <= max / 8 => weight,
            _ if self.heavy.insert(cause) => max / 8,
            _ => 0,
        };
        taken
    }
}

fn progress(row: &Row) -> Progress {
    let member: Option<i32> = row.get("after_member_no");
    let place: (Option<&str>, Option<&str>) = (row.get("after_category"), row.get("after_key"));
    match (member, place) {
        (Some(member), _) => Progress::Members { through: OrganizationNo(member) },
        (None, (Some(category), Some(key))) => Progress::Entries {
            through: Place { category: category.into(), key: Key::from(key) },
            counts: Counts {
                added: row.get("added"),
                changed: row.get("changed"),
                removed: row.get("removed"),
                unchanged: row.get("unchanged"),
                kept_own: row.get("kept_own"),
                declined: row.get("declined"),
                overtaken: row.get("overtaken"),
            },
        },
        (None, _) => Progress::NotBegun,
    }
}

/// The shards that letters read, beside those that are locked already.
pub fn shards_read(letters: &[Letter], locked: &[Shard]) -> BTreeSet<Shard> {
    let upstreams = letters.iter().filter_map(Letter::reads);
    upstreams.map(OrganizationNo::shard).filter(|shard| !locked.contains(shard)).collect()
}

/// Whether a letter asks for a decision on partnerships, under the lock [`PARTNERSHIPS`].
pub fn decides_on_partnerships(letter: &Letter) -> bool {
    matches!(letter.work, Work::PartnershipChange { .. })
}

/// The letters that read what this transaction has locked neither for writing nor for reading.
pub fn blocked(letters: &[Letter], locked: &[Shard], readable: &HashSet<Shard>) -> HashSet<LetterNo> {
    let can_run = |letter: &Letter, upstream: OrganizationNo| {
        let can_read = locked.contains(&upstream.shard()) || readable.contains(&upstream.shard());
        can_read && (!decides_on_partnerships(letter) || readable.contains(&PARTNERSHIPS))
    };
    let reading = letters.iter().filter_map(|letter| Some((letter, letter.reads()?)));
    reading.filter(|(letter, upstream)| !can_run(letter, *upstream)).map(|(letter, _)| letter.no).collect()
}

/// What events and changes ask for, by cause, or why they cannot be read; a change goes to nobody yet.
fn works(catalogue: &Catalogue, events: &[Row], changes: &[Row]) -> HashMap<CauseNo, Result<Work, String>> {
    let of_event = |row| (CauseNo(Row::get(row, "event_no")), event_work(catalogue, row));
    let of_change = |row| (CauseNo(Row::get(row, "change_no")), change_work(catalogue, row));
    events.iter().map(of_event).chain(changes.iter().map(of_change)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_as_many_letters_as_it_can_load_and_the_first_in_any_case() {
        const RECONCILE: bool = true;
        type Letter = (bool, i64, i64);
        // (letters of a shard: whether it is a reconcile, cause, weight; how many are taken where 80 is the most)
        let cases: [(&[Letter], usize); 6] = [
            (&[(false, 1, 10); 9], 8),
            (&[(false, 1, 9), (false, 2, 9)], 2),
            // Heavy ones count for ten, those of one cause together.
            (&[(false, 1, 1_000_000), (false, 2, 1)], 2),
            (&[(false, 1, 11); 20], 20),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9].map(|cause| (false, cause, 11)), 8),
            (&[(RECONCILE, 1, 1_000_000); 20], 20),
        ];
        for (letters, taken) in cases {
            let mut load = Load::default();
            let takes =
                |(reconcile, cause, weight): &&(bool, i64, i64)| load.takes(*reconcile, *cause, *weight, 80);
            assert_eq!(letters.iter().filter(takes).count(), taken, "{letters:?}");
        }
    }
}
