//! A Prometheus of its own for each alert, with nothing in it from before; and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::broker::eventually;

/// How long an alert may take to come or to go. The slowest is looked at once a minute.
const LIMIT: Duration = Duration::from_secs(200);

/// A Prometheus that scrapes and evaluates every second.
pub(crate) struct Prometheus {
    child: Child,
    url: String,
}

/// An alert that is there.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) firing: bool,
    labels: BTreeMap<String, String>,
    summary: String,
    description: String,
}

impl Prometheus {
    /// Starts it below this folder with these rules; it scrapes the service and RabbitMQ at these addresses.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        rules: &str,
        service: &str,
        rabbitmq: &str,
    ) -> Self {
        let folder = folder.join("prometheus");
        // What it was told before is of another service.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rules.yaml"), rules).unwrap();
        // JSON is YAML, too.
        let configuration = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                { "job_name": "channel-sync", "static_configs": [{ "targets": [service] }] },
                { "job_name": "rabbitmq", "static_configs": [{ "targets": [rabbitmq] }] },
            ],
        });
        fs::write(folder.join("prometheus.yaml"), configuration.to_string()).unwrap();
        let address = free_address();
        let log = File::create(folder.join("log")).unwrap();
        let child = Command::new(program)
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        let mut prometheus = Self { child, url: format!("http://{address}/api/v1") };
        eventually("Prometheus has evaluated all rules", async || {
            let ended = prometheus.child.try_wait().unwrap();
            assert!(ended.is_none(), "Prometheus ended, see {}", folder.join("log").display());
            prometheus.has_evaluated().await
        })
        .await;
        prometheus
    }

    /// Waits until this expression has a result.
    pub(crate) async fn sees(&self, expression: &str) {
        eventually(expression, async || self.query(expression).await.is_some()).await;
    }

    /// The first result of an expression, if there is one.
    pub(crate) async fn query(&self, expression: &str) -> Option<String> {
        let url = format!("{}/query", self.url);
        let mut url = url::Url::parse(&url).unwrap();
        url.query_pairs_mut().append_pair("query", expression);
        let answer: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }

    /// All alerts that are pending or firing.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let answer: Value = self.get("alerts").await.expect("Prometheus answers");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |alert: &Value| {
            let mut labels: BTreeMap<String, String> =
                serde_json::from_value(alert["labels"].clone()).unwrap();
            Alert {
                name: labels.remove("alertname").unwrap(),
                firing: alert["state"] == "firing",
                labels,
                summary: text(&alert["annotations"]["summary"]),
                description: text(&alert["annotations"]["description"]),
            }
        };
        answer["data"]["alerts"].as_array().unwrap().iter().map(read).collect()
    }

    /// Waits until this alert fires: it, and the names of all others that do.
    ///
    /// # Errors
    /// Where it does not within [`LIMIT`].
    pub(crate) async fn fires(&self, name: &str) -> Result<(Vec<Alert>, BTreeSet<String>), String> {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            let firing: Vec<Alert> = self.alerts().await.into_iter().filter(|alert| alert.firing).collect();
            let (these, others): (Vec<_>, Vec<_>) = firing.into_iter().partition(|alert| alert.name == name);
            if !these.is_empty() {
                return Ok((these, others.into_iter().map(|alert| alert.name).collect()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("does not fire within {} s", LIMIT.as_secs()))
    }

    /// Waits until this alert is neither firing nor pending.
    ///
    /// # Errors
    /// Where it still is after [`LIMIT`].
    pub(crate) async fn ends(&self, name: &str) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if self.alerts().await.iter().all(|alert| alert.name != name) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("is still there {} s after it was mended", LIMIT.as_secs()))
    }

    async fn has_evaluated(&self) -> bool {
        let Some(answer) = self.get("rules").await else { return false };
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let mut rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).peekable();
        rules.peek().is_some() && rules.all(|rule| rule["health"] == "ok")
    }

    async fn get(&self, path: &str) -> Option<Value> {
        reqwest::get(format!("{}/{path}", self.url)).await.ok()?.json().await.ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alert {
    /// How it reads to whom it wakes, on one line each: labels, summary, description.
    pub(crate) fn text(&self) -> String {
        let labels: Vec<String> =
            self.labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        format!("  {}\n  {}\n  {}", labels.join(" "), self.summary, self.description)
    }

    /// What is wrong with how it reads.
    pub(crate) fn fault(&self) -> Option<String> {
        let text = format!("{} {}", self.summary, self.description);
        let wrong = ["<error", "<no value>", "%!", "NaN", "{{", "  "];
        let found = wrong.iter().find(|wrong| text.contains(*wrong))?;
        Some(format!("reads with {found:?}: {text}"))
    }
}

/// An address on loopback that nobody listens at.
pub(crate) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
