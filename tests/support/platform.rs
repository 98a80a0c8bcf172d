//! A platform of its own for each test: a virtual host, a database, and the real service over them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use channel_sync::broker::Publisher;
use channel_sync::config::Config;
use channel_sync::contract::Message;
use channel_sync::domain::retry::RetryPolicy;
use channel_sync::service::Service;
use tokio_postgres::Client;
use tokio_postgres::SimpleQueryMessage;

use super::broker::{Vhost, eventually};
use super::database::Database;
use super::events::{SOURCE, edit};

/// How failing jobs are tried again: thrice, and so soon that a test can wait for it.
pub const RETRY: RetryPolicy = RetryPolicy { attempts_max: 3, delay_ms_min: 1, delay_ms_max: 10 };

/// How long an executor of a test waits for rows that somebody else has locked.
pub const LOCK_TIMEOUT: Duration = Duration::from_millis(20);

/// The servers of a test, with the service running.
pub struct Platform {
    pub database: Database,
    pub vhost: Vhost,
    pub config: Config,
    pub service: Option<Service>,
    pub client: Client,
    publisher: Option<Publisher>,
}

impl Platform {
    /// Servers, and the service with two workers.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Platform::start`], with these variables besides.
    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        let (database, vhost) = tokio::join!(Database::create(), Vhost::create());
        let environment = [
            ("AMQP_URL", vhost.url()),
            ("DATABASE_URL", database.url()),
            ("CHANNEL_SYNC__HTTP__LISTEN", "127.0.0.1:0"),
            ("CHANNEL_SYNC__EXECUTOR__WORKERS", "2"),
        ];
        let environment =
            environment.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
        let config = Config::load(None, environment).unwrap();
        let client = database.client().await;
        client.batch_execute("set search_path = channel_sync").await.unwrap();
        let mut platform = Self { database, vhost, config, service: None, client, publisher: None };
        platform.start_service().await;
        platform
    }

    /// The service again, after [`Platform::stop_service`].
    pub async fn start_service(&mut self) {
        let service = Service::start(&self.config, false).await.unwrap();
        let ready = format!("http://{}/readyz", service.http_address().unwrap());
        self.service = Some(service);
        eventually("the service is ready", || async {
            reqwest::get(&ready).await.is_ok_and(|response| response.status().is_success())
        })
        .await;
    }

    /// Stops the service in order.
    pub async fn stop_service(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
        }
    }

    /// Publishes messages and waits for the confirms.
    pub async fn publish(&mut self, messages: impl IntoIterator<Item = Message>) {
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(Publisher::connect(&self.config.broker).await.unwrap()),
        };
        let exchange = format!("{}.events", self.config.broker.prefix);
        for message in messages {
            let key = message.properties.routing_key.clone();
            let key = key.unwrap_or_else(|| "setting-changed.unknown".to_owned());
            publisher.publish(&exchange, &key, &message).await.unwrap();
        }
        publisher.flush().await.unwrap();
    }

    /// Publishes messages and waits until all that follows from them is done.
    pub async fn apply(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.publish(messages).await;
        self.settle().await;
    }

    /// Waits until all that was published so far has been taken in, and no job is left to do.
    pub async fn settle(&mut self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Messages are taken in in order: when this one is there, all before it are.
        let marker = format!("marker-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.publish([edit(&marker, "marker", "notifications", &[])]).await;
        let settled = format!(
            "select exists (select from event where source = '{SOURCE}' and event_id = '{marker}')
                    and not exists (select from letter)"
        );
        let client = &self.client;
        eventually("everything is done", || async {
            client.query_one(&settled, &[]).await.unwrap().get::<_, bool>(0)
        })
        .await;
    }

    /// The rows of a query as lines, columns parted by ` | `, null as `-`.
    pub async fn lines(&self, query: &str) -> String {
        lines(&self.client, query).await
    }

    /// Everything that an organization has: key, value, origin, and who locks it.
    pub async fn settings(&self, organization: &str) -> String {
        let query = format!(
            "select category, key, value, origin, locked_by from setting_view
              where organization_id = '{organization}' order by 1, 2"
        );
        self.lines(&query).await
    }

    /// Stops the service and removes the servers' parts that belong to this test.
    pub async fn end(mut self) {
        self.stop_service().await;
        if let Some(publisher) = self.publisher.take() {
            publisher.close().await;
        }
        self.vhost.remove().await;
    }
}

/// The rows of a query as lines, columns parted by ` | `, null as `-`.
pub async fn lines(client: &Client, query: &str) -> String {
    let mut text = String::new();
    for message in client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}")) {
        if let SimpleQueryMessage::Row(row) = message {
            let columns: Vec<&str> = (0..row.len()).map(|column| row.get(column).unwrap_or("-")).collect();
            writeln!(text, "{}", columns.join(" | ")).unwrap();
        }
    }
    text
}
