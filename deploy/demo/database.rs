//! What Postgres says, through the views that readers rely on.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};

use super::expectation::{Place, Setting};

/// A reader of the views.
pub(crate) struct Database(Client);

/// A row of `event_view`.
pub(crate) struct EventState {
    pub(crate) id: String,
    pub(crate) state: String,
}

impl EventState {
    /// Whether nothing more will become of it.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self.state.as_str(), "accepted" | "syncing")
    }
}

/// A row of `job_view`.
pub(crate) struct Job {
    pub(crate) key: String,
    pub(crate) organization: String,
    pub(crate) added: i64,
    pub(crate) changed: i64,
    pub(crate) removed: i64,
    pub(crate) kept_own: i64,
    pub(crate) declined: i64,
    /// Why nothing was done, where nothing was.
    pub(crate) skipped: Option<String>,
    pub(crate) last_error: Option<String>,
}

/// A row of `rejected_message_view`.
pub(crate) struct Rejected {
    /// What was wrong with it, as one of the codes.
    pub(crate) code: String,
    /// The same as a sentence.
    pub(crate) reason: String,
}

impl Database {
    /// Connects.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.context("connect to Postgres")?;
        // It ends with the client; what goes wrong with it, the client's next call says.
        tokio::spawn(connection);
        Ok(Self(client))
    }

    /// How many events were ever accepted.
    pub(crate) async fn event_count(&self) -> Result<i64> {
        let row = self.0.query_one("select count(*) from channel_sync.event_view", &[]).await;
        Ok(row.context("count events")?.try_get(0)?)
    }

    /// The states of the events with these ids, as far as they are there.
    pub(crate) async fn events(&self, ids: &[String]) -> Result<Vec<EventState>> {
        let sql = "select event_id, state from channel_sync.event_view where event_id = any($1)";
        let rows = self.0.query(sql, &[&ids]).await.context("read event_view")?;
        rows.iter().map(|row| Ok(EventState { id: row.try_get(0)?, state: row.try_get(1)? })).collect()
    }

    /// The jobs of the events with these ids.
    pub(crate) async fn jobs(&self, event_ids: &[String]) -> Result<Vec<Job>> {
        let sql = "select idempotency_key, organization_id, result ->> 'skipped', last_error,
                          coalesce((result ->> 'added')::bigint, 0),
                          coalesce((result ->> 'changed')::bigint, 0),
                          coalesce((result ->> 'removed')::bigint, 0),
                          coalesce((result ->> 'kept_own')::bigint, 0),
                          coalesce((result ->> 'declined')::bigint, 0)
                     from channel_sync.job_view
                    where event_id = any($1)
                    order by finished_at, idempotency_key";
        let rows = self.0.query(sql, &[&event_ids]).await.context("read job_view")?;
        rows.iter()
            .map(|row| {
                Ok(Job {
                    key: row.try_get(0)?,
                    organization: row.try_get(1)?,
                    skipped: row.try_get(2)?,
                    last_error: row.try_get(3)?,
                    added: row.try_get(4)?,
                    changed: row.try_get(5)?,
                    removed: row.try_get(6)?,
                    kept_own: row.try_get(7)?,
                    declined: row.try_get(8)?,
                })
            })
            .collect()
    }

    /// The rejected message that holds `text` in its body, or among its properties.
    pub(crate) async fn rejected(&self, text: &str) -> Result<Option<Rejected>> {
        let sql = "select code, reason
                     from channel_sync.rejected_message_view
                    where position(convert_to($1, 'UTF8') in body) > 0 or position($1 in properties::text) > 0
                    order by rejected_id desc
                    limit 1";
        let row = self.0.query_opt(sql, &[&text]).await.context("read rejected_message_view")?;
        row.map(|row| Ok(Rejected { code: row.try_get(0)?, reason: row.try_get(1)? })).transpose()
    }

    /// All settings of all organizations.
    pub(crate) async fn settings(&self) -> Result<BTreeMap<Place, Setting>> {
        let sql = "select organization_id, category, key, value, origin, locked_by
                     from channel_sync.setting_view";
        let rows = self.0.query(sql, &[]).await.context("read setting_view")?;
        rows.iter()
            .map(|row| {
                let place = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let (value, origin, locked_by) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
                Ok((place, Setting { value, origin, locked_by }))
            })
            .collect()
    }

    /// All partnerships, upstream and downstream, with their modes.
    pub(crate) async fn modes(&self) -> Result<BTreeMap<(String, String), String>> {
        let sql = "select upstream_id, downstream_id, mode from channel_sync.partnership_view";
        let rows = self.0.query(sql, &[]).await.context("read partnership_view")?;
        rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
    }
}
