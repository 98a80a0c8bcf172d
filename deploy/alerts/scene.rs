//! Database, virtual host, service and Prometheus around one alert.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use channel_sync::contract::Message;
use serde_json::{Value, json};

use super::prometheus::{Prometheus, free_address};
use super::support::broker::eventually;
use super::support::events::{edit, partnership};
use super::support::load::Load;
use super::support::process::Process;
use super::support::stage::{Stage, Variables};

/// A manager, and the partner whose settings are its.
pub(crate) const MANAGER: &str = "manager";
/// See [`MANAGER`].
pub(crate) const PARTNER: &str = "partner";

/// What all scenes stand on.
pub(crate) struct Ground {
    /// Where logs, and the data of Prometheus, are.
    pub(crate) folder: PathBuf,
    /// The program of Prometheus.
    pub(crate) prometheus: PathBuf,
}

/// A scene.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) prometheus: Prometheus,
    /// Where the service serves HTTP, whichever process it is.
    pub(crate) address: String,
    /// Where RabbitMQ is looked for with its own figures.
    pub(crate) rabbitmq: String,
    variables: Variables,
    program: PathBuf,
    folder: PathBuf,
    services: Vec<Process>,
    alert: String,
    /// When it was begun to bring the alert about, or to mend it.
    since: Instant,
}

impl Scene {
    /// A scene for an alert: the service set up as the defaults are but for these keys, at work, scraped by a
    /// Prometheus with these rules, with a partnership that has begun and passed something on.
    pub(crate) async fn set(ground: &Ground, alert: &str, rules: &str, keys: &[(&str, &str)]) -> Self {
        Self::over(Self::stage().await, ground, alert, rules, keys).await
    }

    /// A database and a virtual host with nothing in them.
    pub(crate) async fn stage() -> Stage {
        Stage::set(Load::new(0, 1, 0)).await
    }

    /// As [`Scene::set`], over what somebody has prepared.
    pub(crate) async fn over(
        stage: Stage,
        ground: &Ground,
        alert: &str,
        rules: &str,
        keys: &[(&str, &str)],
    ) -> Self {
        let own = std::env::current_exe().unwrap();
        let (address, rabbitmq) = (free_address(), free_address());
        let variables =
            stage.default_variables().with("METRICS__SAMPLE_SECONDS", "1").with("HTTP__LISTEN", &address);
        let variables = keys.iter().fold(variables, |variables, (key, value)| variables.with(key, value));
        let Ground { folder, prometheus } = ground;
        let prometheus = Prometheus::start(prometheus, folder, rules, &address, &rabbitmq).await;
        let mut scene = Self {
            stage,
            prometheus,
            address,
            rabbitmq,
            variables,
            program: own.parent().and_then(Path::parent).unwrap().join("channel-sync"),
            folder: folder.join("log"),
            services: Vec::new(),
            alert: alert.to_owned(),
            since: Instant::now(),
        };
        scene.start(&[]).await;
        scene.prometheus.sees("channel_sync_database_up == 1").await;
        scene.send("begins", partnership("begins", MANAGER, PARTNER, "strict")).await;
        scene.is_done().await;
        scene.publish(MANAGER, 1).await;
        scene.is_done().await;
        // It was there before the service was.
        scene.prometheus.ends("ServiceGone").await.unwrap();
        scene.since = Instant::now();
        scene
    }

    /// Starts the service, with these keys besides, and waits until it is ready.
    pub(crate) async fn start(&mut self, keys: &[(&str, &str)]) {
        let variables =
            keys.iter().fold(self.variables.clone(), |variables, (key, value)| variables.with(key, value));
        let mut service = Process::start(&self.program, &self.folder, &variables.pairs());
        service.ready().await;
        self.services.push(service);
    }

    /// Starts one more service, elsewhere.
    pub(crate) async fn start_another(&mut self) {
        self.start(&[("HTTP__LISTEN", "127.0.0.1:0"), ("EXECUTOR__BATCH_LETTERS_MAX", "1000")]).await;
    }

    /// Stops the service in order.
    pub(crate) async fn stop(&mut self) {
        let mut service = self.services.pop().unwrap();
        service.signal("TERM");
        service.ended().await;
    }

    /// Kills the service.
    pub(crate) fn kill(&mut self) {
        self.services.pop().unwrap().kill();
    }

    /// The service.
    pub(crate) fn service(&mut self) -> &mut Process {
        self.services.last_mut().unwrap()
    }

    /// Publishes so many edits of an organization.
    pub(crate) async fn publish(&mut self, organization: &str, count: u32) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut edits = Vec::new();
        for _ in 0..count {
            let no = COUNT.fetch_add(1, Ordering::Relaxed);
            let id = format!("edit-{no}");
            edits.push(edit(&id, organization, "equipment", &[("module", json!(no))]));
            self.stage.load.others.push(id);
        }
        self.stage.send(edits).await;
    }

    /// Publishes a message with this id.
    pub(crate) async fn send(&mut self, id: &str, message: Message) {
        self.stage.load.others.push(id.to_owned());
        self.stage.send(vec![message]).await;
    }

    /// Waits until all that was published is done.
    pub(crate) async fn is_done(&mut self) {
        self.stage.settle().await;
    }

    /// Waits until a query of one truth value says that it is so.
    pub(crate) async fn becomes(&self, query: &str) {
        eventually(query, async || self.stage.client.query_one(query, &[]).await.unwrap().get(0)).await;
    }

    /// Does something in the database.
    pub(crate) async fn execute(&self, statements: &str) {
        self.stage.client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{error:?}"));
    }

    /// A session of somebody else, in which this was done.
    pub(crate) async fn session(&self, statements: &str) -> tokio_postgres::Client {
        let client = self.stage.database.client().await;
        let application = "set application_name = 'somebody'; set search_path = channel_sync;";
        client.batch_execute(&format!("{application} {statements}")).await.unwrap();
        client
    }

    /// Ends the sessions that this query of the runbook finds, which may be of none but somebody else.
    pub(crate) async fn terminate(&self, query: &str) {
        let found = self.stage.client.query(query, &[]).await.unwrap();
        let others: Vec<i32> = found
            .iter()
            .filter(|row| row.get::<_, &str>("application_name") != "channel-sync")
            .map(|row| row.get("pid"))
            .collect();
        assert!(!others.is_empty(), "nobody is found by: {query}");
        for pid in others {
            self.stage.client.query_one("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
        }
    }

    /// Runs a command of the program as an operator, which must succeed; returns what it prints.
    ///
    /// # Errors
    /// What it said where it did not.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.variables.pairs()).env("USER", "operator").stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("`channel-sync {}` ended with {}: {said}{errors}", arguments.join(" "), output.status))
    }

    /// The same, as JSON.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let said = self.command(&[arguments, &["--json"]].concat()).await?;
        serde_json::from_str(&said).map_err(|error| format!("{}: {error}: {said}", arguments.join(" ")))
    }

    /// Waits until the alert fires, and prints how it reads.
    ///
    /// # Errors
    /// Where it does not, or does not read well.
    pub(crate) async fn fires(&mut self) -> Result<(), String> {
        let (alerts, others) = self.prometheus.fires(&self.alert).await?;
        let others = match others.is_empty() {
            true => String::new(),
            false => format!(", beside {}", others.into_iter().collect::<Vec<_>>().join(", ")),
        };
        println!("{:<17} fires after {:.1} s{others}", self.alert, self.since.elapsed().as_secs_f64());
        for alert in &alerts {
            println!("{}", alert.text());
        }
        self.since = Instant::now();
        match alerts.iter().find_map(super::prometheus::Alert::fault) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// Waits until the alert has ended, after this was done.
    ///
    /// # Errors
    /// Where it does not end.
    pub(crate) async fn ends_by(&mut self, what: &str) -> Result<(), String> {
        self.prometheus.ends(&self.alert).await?;
        println!("{:<17} ends after {:.1} s: {what}", self.alert, self.since.elapsed().as_secs_f64());
        Ok(())
    }
}
