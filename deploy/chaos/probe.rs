//! When the service works again: when a new event is taken in, or a job committed, as the database shows it.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

/// After this long without anything new, the service is stuck.
const LIMIT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// What is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    /// A new event.
    Event,
    /// A job of a new cause.
    Job,
}

/// Looks into the database of one scene.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) url: String,
}

impl Probe {
    /// A session, as soon as there can be one.
    pub(crate) async fn connect(&self) -> Client {
        let started = Instant::now();
        loop {
            if let Ok((client, connection)) = tokio_postgres::connect(&self.url, NoTls).await {
                tokio::spawn(connection);
                if client.batch_execute("set search_path = channel_sync").await.is_ok() {
                    return client;
                }
            }
            assert!(started.elapsed() < LIMIT, "Postgres does not come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How long it takes from now until there is a new sign of life; none where there is none.
    pub(crate) async fn recovery(&self, sign: Sign) -> Option<Duration> {
        let started = Instant::now();
        let client = self.connect().await;
        self.recovery_over(&client, sign, started).await
    }

    /// The same since a moment that was, over a session that is there.
    pub(crate) async fn recovery_over(
        &self,
        client: &Client,
        sign: Sign,
        started: Instant,
    ) -> Option<Duration> {
        let newest = match sign {
            Sign::Event => "select coalesce(max(event_no), 0) from event",
            Sign::Job => "select coalesce(max(cause_no), 0) from job",
        };
        let newest = async || client.query_one(newest, &[]).await.map(|row| row.get::<_, i64>(0)).ok();
        let before = newest().await?;
        while started.elapsed() < LIMIT {
            if newest().await? > before {
                return Some(started.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}
