//! A database, a virtual host and a load on them: what a test of faults needs besides the faults.
//!
//! The stage publishes and audits by connections of its own, which no fault of a proxy reaches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use channel_sync::broker::Publisher;
use channel_sync::config::{BrokerConfig, Config};
use channel_sync::contract::Message;
use tokio_postgres::Client;

use super::audit::{Audit, audit};
use super::broker::{DEADLINE, Vhost};
use super::database::Database;
use super::load::Load;
use super::proxy::Proxy;

/// The queue that the service reads.
pub const EVENTS: &str = "channel-sync.events";
/// The queue of what the broker gave up on.
pub const DEAD_LETTER: &str = "channel-sync.dead-letter";

/// The heartbeat of a service that is set up for faults.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// How the service is set up on a stage: faults are noticed soon, and pauses are short.
const VARIABLES: [(&str, &str); 12] = [
    ("EXECUTOR__POLL_MS", "100"),
    ("BROKER__HEARTBEAT_SECONDS", "1"),
    ("BROKER__CONNECT_TIMEOUT_SECONDS", "5"),
    ("BROKER__RECONNECT_DELAY_MS_MIN", "10"),
    ("BROKER__RECONNECT_DELAY_MS_MAX", "300"),
    ("DATABASE__CONNECT_TIMEOUT_SECONDS", "5"),
    ("DATABASE__LOCK_TIMEOUT_MS", "200"),
    ("RETRY__DELAY_MS_MIN", "10"),
    ("RETRY__DELAY_MS_MAX", "300"),
    ("RETRY__JOB_ATTEMPTS_MAX", "1000"),
    ("RETRY__JOB_DELAY_MS_MIN", "50"),
    ("RETRY__JOB_DELAY_MS_MAX", "200"),
];

/// A database and a virtual host with all that was published to it.
pub struct Stage {
    pub client: Client,
    pub load: Load,
    pub vhost: Vhost,
    // Dropped last: the database goes when nobody is connected.
    pub database: Database,
    sender: Sender,
    /// What was published since it was last seen that all of it was done.
    recent: Vec<Message>,
}

impl Stage {
    /// A stage with the topology and the policy that are shipped, on which nothing was published yet.
    pub async fn set(load: Load) -> Self {
        Self::over(Database::create().await, load).await
    }

    /// A stage over a database that nobody has migrated yet.
    pub async fn set_unmigrated(load: Load) -> Self {
        Self::over(Database::create_empty().await, load).await
    }

    async fn over(database: Database, load: Load) -> Self {
        let vhost = Vhost::create().await;
        vhost.import(include_str!("../../deploy/rabbitmq/definitions.json")).await;
        let client = client(&database).await;
        let sender = Sender::new(vhost.url());
        Self { client, load, vhost, database, sender, recent: Vec::new() }
    }

    /// The variables of a service on this stage, set up for faults.
    pub fn variables(&self) -> Variables {
        VARIABLES
            .iter()
            .fold(self.default_variables(), |variables, (name, value)| variables.with(name, value))
    }

    /// The variables of a service on this stage that is set up as the defaults are.
    pub fn default_variables(&self) -> Variables {
        let urls = [("AMQP_URL", self.vhost.url()), ("DATABASE_URL", self.database.url())];
        Variables(urls.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned())).collect())
    }

    /// Connects to the database again, after it was away.
    pub async fn reconnect(&mut self) {
        self.client = client(&self.database).await;
    }

    /// Publishes the beginnings of all partnerships, and waits until a service has done them: only then is it
    /// certain which jobs follow from what is published next.
    pub async fn begin(&mut self) {
        let messages = self.load.beginning();
        self.send(messages).await;
        self.settle().await;
    }

    /// Publishes so many messages, and waits until the broker has confirmed them.
    pub async fn publish(&mut self, count: usize) {
        let messages = self.load.take(count);
        self.send(messages).await;
    }

    /// Publishes these messages of the load, and waits until the broker has confirmed them.
    pub async fn send(&mut self, messages: Vec<Message>) {
        self.sender.send(&messages).await;
        self.recent.extend(messages);
    }

    /// Publishes again all that was published since it was last seen to be done: what a platform does after its
    /// queue was lost.
    pub async fn publish_again(&mut self) {
        // The first one by itself, until there is a queue that takes it: while it is declared, those behind the
        // first would be taken in before it.
        if let Some((first, rest)) = self.recent.split_first() {
            self.sender.send(std::slice::from_ref(first)).await;
            self.sender.send(rest).await;
        }
    }

    /// Whether every message is accounted for, and no letter is left.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn is_settled(&self) -> Result<bool, tokio_postgres::Error> {
        let settled = "select not exists (select from letter),
                              (select count(*) from event),
                              (select count(distinct properties ->> 'message_id') from rejected_message)";
        let row = self.client.query_one(settled, &[]).await?;
        let taken = row.get::<_, i64>(1) + row.get::<_, i64>(2);
        Ok(row.get(0) && taken >= self.load.published() as i64)
    }

    /// Waits until all that was published is done.
    pub async fn settle(&mut self) {
        assert!(self.settles_within(DEADLINE).await, "still not done, after {} s", DEADLINE.as_secs());
    }

    /// Whether all that was published is done in this time.
    pub async fn settles_within(&mut self, limit: Duration) -> bool {
        // Messages are taken in in order: when this one is there, all before it are, repetitions too.
        let marker = self.load.marker();
        self.send(vec![marker]).await;
        let started = Instant::now();
        while started.elapsed() < limit {
            match self.is_settled().await {
                Ok(true) => {
                    self.recent.clear();
                    return true;
                }
                Ok(false) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) if self.client.is_closed() => self.reconnect().await,
                Err(error) => panic!("ask whether all is done: {error:?}"),
            }
        }
        false
    }

    /// Holds what is there now against what must have come of the load. The services should be stopped: what they
    /// have and have not acknowledged does not show in the queue before.
    pub async fn audit(&self) -> Audit {
        let (in_queue, dead) = (self.vhost.ready(EVENTS).await, self.vhost.ready(DEAD_LETTER).await);
        audit(&self.client, &self.load, in_queue.into(), dead.into()).await.unwrap()
    }

    /// Waits until the queue is empty, which it is only when no service holds anything unacknowledged any more;
    /// then fails unless the audit finds nothing. The services must be stopped.
    pub async fn finish(self) {
        self.vhost.ready_becomes(EVENTS, 0).await;
        self.audit().await.assert_sound();
        self.vhost.remove().await;
    }
}

async fn client(database: &Database) -> Client {
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    client
}

/// The environment of a service.
#[derive(Debug, Clone)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// With this key, such as `BROKER__PREFETCH`, set.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.0.insert(format!("CHANNEL_SYNC__{key}"), value.to_owned());
        self
    }

    /// With the broker reached through a proxy.
    pub fn through_broker_proxy(mut self, proxy: &Proxy) -> Self {
        self.redirect("AMQP_URL", proxy);
        self
    }

    /// With the database reached through a proxy.
    pub fn through_postgres_proxy(mut self, proxy: &Proxy) -> Self {
        self.redirect("DATABASE_URL", proxy);
        self
    }

    fn redirect(&mut self, name: &str, proxy: &Proxy) {
        let mut url = url::Url::parse(&self.0[name]).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.port())).unwrap();
        self.0.insert(name.to_owned(), url.to_string());
    }

    /// As pairs.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Publishes as a platform with an outbox does: again and again, in order, until the broker has confirmed it.
struct Sender {
    config: BrokerConfig,
    publisher: Option<Publisher>,
}

impl Sender {
    fn new(url: &str) -> Self {
        let environment = [
            ("AMQP_URL", url),
            ("CHANNEL_SYNC__BROKER__HEARTBEAT_SECONDS", "1"),
            ("CHANNEL_SYNC__BROKER__CONNECT_TIMEOUT_SECONDS", "2"),
        ];
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let config = Config::load(None, environment).unwrap_or_else(|problems| panic!("{problems}")).broker;
        Self { config, publisher: None }
    }

    /// # Panics
    /// After [`DEADLINE`] and one attempt.
    async fn send(&mut self, messages: &[Message]) {
        const PAUSE: Duration = Duration::from_millis(50);
        let started = Instant::now();
        while let Err(error) = self.try_send(messages).await {
            assert!(started.elapsed() < DEADLINE, "the broker has confirmed nothing for so long: {error}");
            tracing::debug!(%error, "publish");
            self.publisher = None;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_send(&mut self, messages: &[Message]) -> Result<(), channel_sync::broker::BrokerError> {
        let publisher = match &mut self.publisher {
            Some(publisher) => publisher,
            none => none.insert(Publisher::connect(&self.config).await?),
        };
        for message in messages {
            let key = message.properties.routing_key.as_deref().unwrap_or("setting-changed.unknown");
            publisher.publish(EVENTS, key, message).await?;
        }
        publisher.flush().await
    }
}
