//! A virtual host of its own for each test, on the broker that the environment names, and what an operator
//! could do to it: look, delete, close.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use channel_sync::config::{BrokerConfig, Config};
use serde_json::{Value, json};

use super::proxy::Proxy;

/// How long a condition may take to come about before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds. `what` completes "still not: …".
///
/// # Panics
/// After [`DEADLINE`].
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "still not, after {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A virtual host that is removed when it is dropped.
pub struct Vhost {
    name: String,
    url: url::Url,
    management: Management,
}

impl Vhost {
    /// Makes a virtual host that nobody else uses, with all permissions for the user of `AMQP_URL`.
    ///
    /// # Panics
    /// Where the environment names no broker, or none answers.
    pub async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let management = Management::from_environment();
        let name = format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // What an earlier process of the same id may have left.
        management.delete(&format!("vhosts/{name}")).await;
        management.put(&format!("vhosts/{name}"), json!({})).await;
        let mut url = url::Url::parse(&variable("AMQP_URL")).expect("AMQP_URL is a URL");
        let user = if url.username().is_empty() { "guest" } else { url.username() };
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        management.put(&format!("permissions/{name}/{user}"), all).await;
        url.set_path(&name);
        Self { name, url, management }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its AMQP URL.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its AMQP URL by way of a proxy.
    pub fn url_through(&self, proxy: &Proxy) -> String {
        let mut url = self.url.clone();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.port())).unwrap();
        url.to_string()
    }

    /// The built-in configuration for this virtual host, with short pauses.
    pub fn config(&self) -> BrokerConfig {
        broker_config(self.url())
    }

    /// How many messages of a queue wait for a consumer, at this moment.
    ///
    /// What a consumer holds unacknowledged is not among them, until that consumer is gone.
    ///
    /// # Panics
    /// Where there is no such queue.
    pub async fn ready(&self, queue: &str) -> u32 {
        let properties = lapin::ConnectionProperties::default();
        let connection = lapin::Connection::connect(self.url(), properties).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.into(), passive, Default::default()).await;
        let ready = found.unwrap_or_else(|error| panic!("no queue {queue}: {error}")).message_count();
        connection.close(200, "goodbye".into()).await.unwrap();
        ready
    }

    /// Waits until this many messages of a queue wait for a consumer.
    pub async fn ready_becomes(&self, queue: &str, expected: u32) {
        let what = format!("{expected} messages ready in {queue}");
        eventually(&what, async || self.ready(queue).await == expected).await;
    }

    /// How many messages a queue holds, ready or unacknowledged, as the management API says; none where it
    /// knows no such queue. It counts every five seconds only: prefer [`Vhost::ready`].
    pub async fn depth(&self, queue: &str) -> Option<u64> {
        self.queue(queue).await?["messages"].as_u64()
    }

    /// What the management API knows of a queue.
    pub async fn queue(&self, queue: &str) -> Option<Value> {
        self.management.get(&format!("queues/{}/{queue}", self.name)).await
    }

    /// Declares a durable queue, as somebody else would have.
    pub async fn declare_queue(&self, queue: &str, arguments: Value) {
        let body = json!({ "durable": true, "auto_delete": false, "arguments": arguments });
        self.management.put(&format!("queues/{}/{queue}", self.name), body).await;
    }

    /// Declares a durable exchange, as somebody else would have.
    pub async fn declare_exchange(&self, exchange: &str, kind: &str) {
        let body = json!({ "type": kind, "durable": true, "auto_delete": false });
        self.management.put(&format!("exchanges/{}/{exchange}", self.name), body).await;
    }

    /// Deletes a queue with all that is in it.
    pub async fn delete_queue(&self, queue: &str) {
        assert!(self.management.delete(&format!("queues/{}/{queue}", self.name)).await, "no queue {queue}");
    }

    /// Imports definitions, such as those of `deploy/rabbitmq/definitions.json`, into this virtual host.
    pub async fn import(&self, definitions: &str) {
        let mut definitions: Value = serde_json::from_str(definitions).expect("definitions are JSON");
        for (kind, objects) in definitions.as_object_mut().unwrap() {
            if kind == "vhosts" {
                *objects = json!([]);
            }
            for object in objects.as_array_mut().into_iter().flatten() {
                object["vhost"] = json!(self.name);
            }
        }
        self.management.post("definitions", definitions).await;
    }

    /// The AMQP URL of the same virtual host by TLS, whose certificate is for localhost.
    pub fn tls_url(&self) -> url::Url {
        let mut url = url::Url::parse(&variable("AMQPS_URL")).expect("AMQPS_URL is a URL");
        url.set_path(&self.name);
        url
    }

    /// Makes a user, without a password where none is given, who may do this here and nothing elsewhere:
    /// configure, write and read, as patterns.
    pub async fn permit(&self, user: &str, password: Option<&str>, permissions: [&str; 3]) {
        let body = match password {
            Some(password) => json!({ "password": password, "tags": "" }),
            None => json!({ "password_hash": "", "tags": "" }),
        };
        self.management.put(&format!("users/{user}"), body).await;
        let [configure, write, read] = permissions;
        let body = json!({ "configure": configure, "write": write, "read": read });
        self.management.put(&format!("permissions/{}/{user}", self.name), body).await;
    }

    /// Removes a user that [`Vhost::permit`] made.
    pub async fn dismiss(&self, user: &str) {
        self.management.delete(&format!("users/{user}")).await;
    }

    /// Closes all connections to this virtual host, as an operator would; returns their names. Waits for at
    /// least one to be listed.
    pub async fn close_connections(&self) -> Vec<String> {
        close_connections(&self.name).await
    }

    /// Removes the virtual host with all that is in it. Dropping does the same.
    pub async fn remove(self) {
        self.management.delete(&format!("vhosts/{}", self.name)).await;
        std::mem::forget(self);
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let path = format!("vhosts/{}", self.name);
        let management = self.management.clone();
        // A runtime of its own: the test's may be at its end. A failure leaves an empty virtual host.
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let _ = tokio::time::timeout(DEADLINE, management.fresh().delete(&path)).await;
            });
            std::io::Result::Ok(())
        });
        let _ = removing.join();
    }
}

/// Closes all connections to a virtual host, as [`Vhost::close_connections`] does.
pub async fn close_connections(vhost: &str) -> Vec<String> {
    let management = Management::from_environment();
    let mut names = Vec::new();
    let listed = format!("vhosts/{vhost}/connections");
    eventually("a connection is listed", async || {
        let all = management.get(&listed).await;
        all.is_some_and(|all| all.as_array().is_some_and(|all| !all.is_empty()))
    })
    .await;
    for connection in management.get(&listed).await.iter().flat_map(|all| all.as_array().unwrap()) {
        let name = connection["name"].as_str().unwrap();
        if management.delete(&format!("connections/{}", percent_encoded(name))).await {
            names.push(name.to_owned());
        }
    }
    names
}

/// The built-in configuration for a broker at `url`, with short pauses.
pub fn broker_config(url: &str) -> BrokerConfig {
    let environment = [
        ("AMQP_URL", url),
        ("CHANNEL_SYNC__BROKER__RECONNECT_DELAY_MS_MIN", "10"),
        ("CHANNEL_SYNC__BROKER__RECONNECT_DELAY_MS_MAX", "500"),
    ];
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load(None, environment).unwrap_or_else(|problems| panic!("{problems}")).broker
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `deploy/dev test`"))
}

fn percent_encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// How often the management API is asked before a test fails.
const ATTEMPTS: u32 = 10;

/// The broker's management API.
#[derive(Clone)]
struct Management {
    url: String,
    client: reqwest::Client,
}

impl Management {
    fn from_environment() -> Self {
        Self { url: variable("AMQP_MANAGEMENT_URL"), client: reqwest::Client::new() }
    }

    /// The same with connections of its own, for another runtime.
    fn fresh(&self) -> Self {
        Self { url: self.url.clone(), client: reqwest::Client::new() }
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> reqwest::Response {
        let url = format!("{}/api/{path}", self.url.trim_end_matches('/'));
        let mut request = self.client.request(method, &url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        // A connection that was kept may have been closed meanwhile: all that is asked for may be asked twice.
        for attempt in 1.. {
            let again = request.try_clone().expect("the body is in memory");
            match again.send().await {
                Ok(response) => return response,
                Err(_) if attempt < ATTEMPTS => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => {
                    panic!(
                        "no broker answers at AMQP_MANAGEMENT_URL ({error}): run the tests by `deploy/dev test`"
                    )
                }
            }
        }
        unreachable!("the last attempt returns or panics")
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let response = self.send(reqwest::Method::GET, path, None).await;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return None;
        }
        assert!(response.status().is_success(), "GET {path}: {}", response.status());
        Some(response.json().await.unwrap())
    }

    async fn put(&self, path: &str, body: Value) {
        let response = self.send(reqwest::Method::PUT, path, Some(body)).await;
        assert!(response.status().is_success(), "PUT {path}: {}", response.status());
    }

    async fn post(&self, path: &str, body: Value) {
        let response = self.send(reqwest::Method::POST, path, Some(body)).await;
        let status = response.status();
        assert!(status.is_success(), "POST {path}: {status}: {}", response.text().await.unwrap());
    }

    /// Whether it was there.
    async fn delete(&self, path: &str) -> bool {
        let response = self.send(reqwest::Method::DELETE, path, None).await;
        let there = response.status() != reqwest::StatusCode::NOT_FOUND;
        assert!(!there || response.status().is_success(), "DELETE {path}: {}", response.status());
        there
    }
}
