//! Bringing back what a match displaced: what is archived and what is there now, and an event of our own for it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::StoreError;
use super::intake::{Incoming, Taken};
use super::pool::Transaction;
use super::read::StoredValue;
use super::statements;
use super::touched::Oldest;
use crate::contract::{Envelope, Event, Message, SettingChanged};
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::replay::Touched;
use crate::domain::setting::{Edit, Entry, Key, ValueId};
use crate::domain::{CauseNo, EventNo, OrganizationNo};

/// The source of events that the service makes itself.
const OWN_SOURCE: &str = "channel-sync";

/// A displaced entry, and what is there now.
#[derive(Debug, Clone)]
pub struct DisplacedEntry {
    /// The category.
    pub category: String,
    /// The key.
    pub key: Key,
    /// What its value was.
    pub value: ValueId,
    /// The event that had written it.
    pub written_by: EventNo,
    /// What is there now.
    pub now: Option<Entry>,
    /// `own`, or the upstream that what is there now was synced from.
    pub now_origin: Option<String>,
    /// Its value as JSON, where that was asked for.
    pub value_body: Option<StoredValue>,
    /// What is there now as JSON, where that was asked for.
    pub now_body: Option<StoredValue>,
}

/// What stands in the way of a restore, whatever the entry.
#[derive(Debug, Clone, Default)]
pub struct InTheWay {
    /// The upstream that locks the organization's ongoing categories.
    pub locked_by: Option<OrganizationNo>,
    /// Categories for which events of its own wait.
    pub own_events_wait: BTreeSet<String>,
    /// Which later events have touched what.
    pub touched: Touched,
}

/// What is to be set in one category.
#[derive(Debug, Clone)]
pub struct RestoredPart {
    /// The category.
    pub category: CategoryId,
    /// Keys and values.
    pub entries: Vec<(Key, ValueId)>,
}

impl Transaction<'_> {
    /// Keeps everybody from writing to an organization, and from taking in events, until the transaction ends: then what
    /// is read is what counts.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or somebody works there for too long; so of all the functions
    /// here.
    pub async fn hold_for_restore(&self, organization: OrganizationNo) -> Result<(), StoreError> {
        // In this order, as everybody: decision 0004.
        self.wait_for_shards(&[organization.shard()]).await?;
        self.hold_intake().await
    }

    /// What stands in the way of bringing back what was displaced by a job of this root event.
    ///
    /// # Errors
    /// As [`Transaction::hold_for_restore`].
    pub async fn in_the_way(
        &self,
        catalogue: &Catalogue,
        organization: OrganizationNo,
        event: EventNo,
    ) -> Result<InTheWay, StoreError> {
        let mut found = InTheWay::default();
        for row in self.query(statements::RESTORE_SITUATION, &[&organization.0]).await? {
            match row.get::<_, Option<String>>("category") {
                Some(category) => {
                    found.own_events_wait.insert(category);
                }
                None => found.locked_by = row.get::<_, Option<i32>>("locked_by").map(OrganizationNo),
            }
        }
        let mut touched = self.touched(catalogue, &Oldest::from([((organization, None), event)])).await?;
        found.touched = touched.remove(&organization).unwrap_or_default();
        Ok(found)
    }

    /// The next entries that a job displaced, after a category and key, with what is there now.
    ///
    /// # Errors
    /// As [`Transaction::hold_for_restore`].
    pub async fn displaced(
        &self,
        (cause, organization): (CauseNo, OrganizationNo),
        after: Option<(&str, &str)>,
        limit: i64,
        with_values: bool,
    ) -> Result<Vec<DisplacedEntry>, StoreError> {
        let (category, key) = after.unzip();
        let rows = self
            .query(
                statements::RESTORE_ENTRIES,
                &[&cause.0, &organization.0, &category, &key, &limit, &with_values],
            )
            .await?;
        let id = |id: Uuid| ValueId(id.as_u128());
        let displaced = |row: &tokio_postgres::Row| DisplacedEntry {
            category: row.get("category"),
            key: row.get::<_, &str>("key").into(),
            value: id(row.get("value_id")),
            written_by: EventNo(row.get("event_no")),
            now: row.get::<_, Option<Uuid>>("now_id").map(|value| Entry {
                value: id(value),
                origin: row.get::<_, Option<i32>>("now_origin_no").map(OrganizationNo),
                written_by: EventNo(row.get("now_event_no")),
                added_by: EventNo(row.get("now_added_event_no")),
            }),
            now_origin: row.get("now_origin"),
            value_body: row.get("value"),
            now_body: row.get("now"),
        };
        Ok(rows.iter().map(displaced).collect())
    }

    /// The ids of events.
    ///
    /// # Errors
    /// As [`Transaction::hold_for_restore`].
    pub async fn event_ids(
        &self,
        events: &BTreeSet<EventNo>,
    ) -> Result<HashMap<EventNo, String>, StoreError> {
        let nos: Vec<i64> = events.iter().map(|no| no.0).collect();
        let rows = self.query_unless(nos.is_empty(), statements::EVENTS_NAME, [&nos]).await?;
        Ok(rows.iter().map(|row| (EventNo(row.get(0)), row.get(1))).collect())
    }

    /// Takes in an event of the organization's own for each part, which sets what is to be restored; returns their ids:
    /// `name` and a number. The caller holds the organization and the intake.
    ///
    /// # Errors
    /// As [`Transaction::hold_for_restore`]; then the transaction must be dropped.
    pub async fn take_in_restored(
        &self,
        catalogue: &Catalogue,
        organization_id: &str,
        name: &str,
        parts: Vec<RestoredPart>,
    ) -> Result<Vec<String>, StoreError> {
        let ids = self.free_ids(name, parts.len()).await?;
        let event = |(id, part)| Incoming {
            message: Message::default(),
            decoded: Ok(envelope(catalogue, organization_id, id, part)),
        };
        let incoming: Vec<Incoming> = ids.into_iter().zip(parts).map(event).collect();
        let numbers = self.numbers(incoming.len()).await?;
        let taken = self.take_in_events(catalogue, &incoming, &numbers, false).await?;
        let mut events = Vec::new();
        for (one, taken) in incoming.iter().zip(taken) {
            match (&one.decoded, taken) {
                (Ok(envelope), Taken::Accepted(_)) => events.push(envelope.id.clone()),
                (_, taken) => {
                    let what = "an event that restores settings".to_owned();
                    return Err(StoreError::Row { what, reason: format!("it was not accepted: {taken:?}") });
                }
            }
        }
        Ok(events)
    }

    /// The first ids that nobody has taken, among `name-1`, `name-2` and so on.
    async fn free_ids(&self, name: &str, count: usize) -> Result<Vec<String>, StoreError> {
        let mut free = Vec::new();
        let mut next = 1;
        while free.len() < count {
            let window: Vec<String> =
                (next..next + count + 16).map(|number| format!("{name}-{number}")).collect();
            next += window.len();
            let rows = self.query(statements::RESTORE_IDS, &[&window]).await?;
            let taken: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
            free.extend(window.into_iter().filter(|id| !taken.contains(id)));
        }
        free.truncate(count);
        Ok(free)
    }
}

/// The event, as the contract would have read it; its values are stored already.
fn envelope(catalogue: &Catalogue, organization_id: &str, id: String, part: RestoredPart) -> Envelope {
    let RestoredPart { category, entries } = part;
    let mut hash = Sha256::new();
    hash.update(format!("setting-changed\n{organization_id}\n{}\n", catalogue.name(category)));
    for (key, value) in &entries {
        hash.update(format!("{key}\n{:032x}\n", value.0));
    }
    let changes = entries.into_iter().map(|(key, value)| (key, Some(value))).collect();
    let event = Event::SettingChanged(SettingChanged {
        organization_id: Arc::from(organization_id),
        category,
        version: None,
        edit: Edit::Changes(changes),
    });
    Envelope {
        source: OWN_SOURCE.to_owned(),
        id,
        traceparent: None,
        content: hash.finalize().into(),
        event,
        values: Default::default(),
    }
}
