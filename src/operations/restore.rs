//! Restore: bringing back what a match displaced, as an edit of the organization's own.
//!
//! It is an event of its own, taken in as any other: so it is refused where the settings are locked by then, goes on to
//! the organization's own downstreams by the rules, and is told by `explain`. Nothing that is newer than the match is
//! overwritten, nor what may be newer, where nobody knows any more. What is there already is left: doing it twice
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::OperationError;
use super::jobs::{self, JobKey};
use super::replays::Operator;
use crate::domain::catalogue::{Catalogue, CategoryId, Reach};
use crate::domain::restore::{Displacement, Restoring, Situation, restoring};
use crate::domain::setting::{Key, ValueId};
use crate::domain::{EventNo, OrganizationNo};
use crate::store::read::StoredValue;
use crate::store::restore::{DisplacedEntry, RestoredPart};
use crate::store::{Session, Store, Transaction};

/// How many entries are looked at, and set by one event, at a time.
const PART_ENTRIES_MAX: i64 = 5_000;

/// What a restore would do, or has done.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Restore {
    /// The job that displaced the entries.
    pub idempotency_key: String,
    /// Whose entries.
    pub organization_id: String,
    /// The root event of that job.
    pub event_id: String,
    /// How many entries it displaced.
    pub displaced: i64,
    /// How many of them become, or became, what.
    pub outcomes: RestoreOutcomes,
    /// The entries: the first of them.
    pub entries: Vec<RestoreEntry>,
    /// The events that bring them back, once it is done.
    pub events: Vec<String>,
}

/// What becomes of displaced entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct RestoreOutcomes {
    /// They are brought back.
    pub restored: i64,
    /// Their values are there already.
    pub in_place: i64,
    /// They are left, since they are locked.
    pub locked: i64,
    /// They are left, since later events have said otherwise.
    pub changed_since: i64,
    /// They are left, since results were dropped that would tell what later events have said.
    pub results_dropped: i64,
    /// They are left, since later events of the organization's own wait.
    pub own_event_waits: i64,
    /// They are left, since the catalogue has no such entries any more.
    pub not_in_catalogue: i64,
}

/// A displaced entry, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RestoreEntry {
    /// The category.
    pub category: String,
    /// The key.
    pub key: String,
    /// The value that was displaced.
    #[schema(value_type = serde_json::Value)]
    pub value: Option<StoredValue>,
    /// What is there now.
    #[schema(value_type = serde_json::Value)]
    pub now: Option<StoredValue>,
    /// `own`, or the upstream that what is there now was synced from.
    pub now_origin: Option<String>,
    /// `restored`, `in-place`, `locked`, `changed-since`, `results-dropped`, `own-event-waits` or `not-in-catalogue`.
    pub outcome: &'static str,
    /// The upstream that locks it, or the event that has said otherwise.
    pub by: Option<String>,
}

/// What a restore of this job would do; tells at most `limit` entries. Changes nothing.
///
/// # Errors
/// [`OperationError::UnknownJob`], [`OperationError::DroppedJob`], or where the database cannot be read.
pub async fn preview_restore(
    store: &Store,
    catalogue: &Catalogue,
    job: JobKey,
    limit: u16,
) -> Result<Restore, OperationError> {
    let mut session = store.session().await?;
    let about = About::of(&session, job).await?;
    let transaction = session.begin_reading().await?;
    let (restore, _) = about.look(&transaction, catalogue, limit).await?;
    Ok(restore)
}

/// Brings back what this job displaced, as far as nothing stands in the way; writes down who wanted it and why. Tells at
/// most `limit` entries.
///
/// # Errors
/// [`OperationError::UnknownJob`], [`OperationError::DroppedJob`], [`OperationError::NothingToRestore`], or where the database cannot be reached or
/// refuses.
pub async fn restore(
    store: &Store,
    catalogue: &Catalogue,
    job: JobKey,
    limit: u16,
    operator: Operator<'_>,
) -> Result<Restore, OperationError> {
    let mut session = store.session().await?;
    let about = About::of(&session, job).await?;
    OperationError::unless_known(&session, catalogue).await?;
    let transaction = session.begin().await?;
    transaction.hold_for_restore(job.organization).await?;
    let (mut restore, parts) = about.look(&transaction, catalogue, limit).await?;
    if parts.is_empty() {
        return Err(OperationError::NothingToRestore { job, reason: restore.reason() });
    }
    let name = format!("restore-{job}");
    restore.events = transaction.take_in_restored(catalogue, &restore.organization_id, &name, parts).await?;
    let subject = json!({ "job": job.to_string(), "events": restore.events, "outcomes": restore.outcomes });
    transaction.add_action(operator.name, "restore", Some(operator.reason), &subject).await?;
    transaction.commit().await?;
    Ok(restore)
}

/// The job that is looked at.
struct About {
    job: JobKey,
    organization_id: String,
    event_id: String,
    event: EventNo,
}

impl About {
    async fn of(session: &Session, job: JobKey) -> Result<Self, OperationError> {
        let (row, event) = jobs::find(session, job).await?;
        Ok(Self { job, organization_id: row.organization_id, event_id: row.event_id, event })
    }

    /// What would become of each entry, and what is to be set.
    async fn look(
        &self,
        transaction: &Transaction<'_>,
        catalogue: &Catalogue,
        limit: u16,
    ) -> Result<(Restore, Vec<RestoredPart>), OperationError> {
        let JobKey { cause, organization } = self.job;
        let in_the_way = transaction.in_the_way(catalogue, organization, self.event).await?;
        let mut restore = Restore {
            idempotency_key: self.job.to_string(),
            organization_id: self.organization_id.clone(),
            event_id: self.event_id.clone(),
            displaced: 0,
            outcomes: RestoreOutcomes::default(),
            entries: Vec::new(),
            events: Vec::new(),
        };
        let (mut parts, mut told) = (Vec::new(), Vec::new());
        let mut after: Option<(String, Key)> = None;
        loop {
            let from = after.as_ref().map(|(category, key)| (category.as_str(), &**key));
            let with_values = told.len() < usize::from(limit);
            // The first page has values and is no larger than what is told.
            let entries_max = if with_values { i64::from(limit).max(1) } else { PART_ENTRIES_MAX };
            let page = transaction.displaced((cause, organization), from, entries_max, with_values).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.category.clone(), Key::clone(&last.key)));
            let mut to_set: BTreeMap<CategoryId, Vec<(Key, ValueId)>> = BTreeMap::new();
            for entry in page {
                let category = catalogue.find(&entry.category);
                let about = category.map(|category| catalogue.get(category));
                let situation = Situation {
                    now: entry.now,
                    last_named_by: category.and_then(|id| in_the_way.touched.last_named(id, &entry.key)),
                    dropped_before: in_the_way.touched.dropped_before(),
                    locked_by: in_the_way
                        .locked_by
                        .filter(|_| about.is_some_and(|about| about.reach == Reach::Ongoing)),
                    own_event_waits: in_the_way.own_events_wait.contains(&entry.category),
                    is_in_catalogue: about
                        .is_some_and(|about| about.reach != Reach::Never && about.allows_key(&entry.key)),
                };
                let displacement = Displacement {
                    value: entry.value,
                    written_by: entry.written_by,
                    displaced_by: self.event,
                };
                let restoring = restoring(&displacement, &situation);
                restore.displaced += 1;
                restore.outcomes.count(restoring);
                if let (Restoring::Restored, Some(category)) = (restoring, category) {
                    to_set.entry(category).or_default().push((Key::clone(&entry.key), entry.value));
                }
                if told.len() < usize::from(limit) {
                    told.push((entry, restoring));
                }
            }
            parts.extend(to_set.into_iter().map(|(category, entries)| RestoredPart { category, entries }));
        }
        restore.entries = tell(transaction, told).await?;
        Ok((restore, joined(parts)))
    }
}

/// Parts of one category as one, where they are small.
fn joined(parts: Vec<RestoredPart>) -> Vec<RestoredPart> {
    let mut all: Vec<RestoredPart> = Vec::new();
    for part in parts {
        match all.last_mut() {
            Some(last)
                if last.category == part.category
                    && last.entries.len() + part.entries.len() <= PART_ENTRIES_MAX as usize =>
            {
                last.entries.extend(part.entries);
            }
            _ => all.push(part),
        }
    }
    all
}

async fn tell(
    transaction: &Transaction<'_>,
    told: Vec<(DisplacedEntry, Restoring)>,
) -> Result<Vec<RestoreEntry>, OperationError> {
    let (mut events, mut organizations) = (BTreeSet::new(), BTreeSet::<OrganizationNo>::new());
    for (_, restoring) in &told {
        match restoring {
            Restoring::ChangedSince { by } => drop(events.insert(*by)),
            Restoring::Locked { by } => drop(organizations.insert(*by)),
            _ => {}
        }
    }
    let events = transaction.event_ids(&events).await?;
    let names = transaction.organization_names(&organizations).await?;
    Ok(told
        .into_iter()
        .map(|(entry, restoring)| {
            let (outcome, by) = match restoring {
                Restoring::Restored => ("restored", None),
                Restoring::InPlace => ("in-place", None),
                Restoring::NotInCatalogue => ("not-in-catalogue", None),
                Restoring::Locked { by } => ("locked", names.get(&by).cloned()),
                Restoring::ChangedSince { by } => ("changed-since", events.get(&by).cloned()),
                Restoring::ResultsDropped => ("results-dropped", None),
                Restoring::OwnEventWaits => ("own-event-waits", None),
            };
            let DisplacedEntry { category, key, now_origin, value_body, now_body, .. } = entry;
            let (value, now, key) = (value_body, now_body, key.to_string());
            RestoreEntry { category, key, value, now, now_origin, outcome, by }
        })
        .collect())
}

impl RestoreOutcomes {
    fn count(&mut self, restoring: Restoring) {
        *match restoring {
            Restoring::Restored => &mut self.restored,
            Restoring::InPlace => &mut self.in_place,
            Restoring::NotInCatalogue => &mut self.not_in_catalogue,
            Restoring::Locked { .. } => &mut self.locked,
            Restoring::ChangedSince { .. } => &mut self.changed_since,
            Restoring::ResultsDropped => &mut self.results_dropped,
            Restoring::OwnEventWaits => &mut self.own_event_waits,
        } += 1;
    }
}

impl Restore {
    /// Why nothing is brought back, where nothing is.
    pub fn reason(&self) -> String {
        let RestoreOutcomes {
            restored: _,
            in_place,
            locked,
            changed_since,
            results_dropped,
            own_event_waits,
            not_in_catalogue,
        } = self.outcomes;
        let said: Vec<String> = [
            (in_place, "in place already"),
            (locked, "locked"),
            (changed_since, "changed since by later events"),
            (results_dropped, "of which it is not known any more what came since, as results were dropped"),
            (own_event_waits, "about which later events wait"),
            (not_in_catalogue, "no longer in the catalogue"),
        ]
        .iter()
        .filter(|(entries, _)| *entries > 0)
        .map(|(entries, what)| format!("{entries} {what}"))
        .collect();
        if said.is_empty() { "it displaced nothing".to_owned() } else { said.join(", ") }
    }
}
