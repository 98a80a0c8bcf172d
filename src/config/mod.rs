//! The configuration: defaults, a file and the environment in, a checked [`Config`] out.
//!
//! `config/channel-sync.toml` is compiled in: it holds every key with its default, its unit and its range,
//! and is the schema. Whatever a [`Config`] holds was checked: nobody behind it looks at a range again.
//! Every problem is reported, not only the first, and no password ever stands in a message.
//!
//! Nothing here reads the process's environment (but for [`process_environment`], which callers pass in) or
//! connects to anything; the only input and output is to read the files that are named.

mod access;
mod address;
mod layers;
mod secret;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use access::{AccessToken, AccessTokens, Role, check_name};
pub use address::ServiceUrl;
use layers::Layers;
pub use layers::{BUILT_IN, Origin, Problem};
pub use secret::Secret;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::contract::Limits;
use crate::domain::catalogue::{self, Catalogue};
use crate::domain::retry::RetryPolicy;
use crate::tls::{TlsClient, TlsFile, TlsFiles, TlsProblem};

/// The environment variable that names the configuration file where no argument does.
pub const FILE_VARIABLE: &str = "CHANNEL_SYNC_CONFIG";

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The link to RabbitMQ.
    pub broker: BrokerConfig,
    /// How messages are taken in, and how large they may be.
    pub ingest: IngestConfig,
    /// The link to Postgres.
    pub database: DatabaseConfig,
    /// How jobs are worked off.
    pub executor: ExecutorConfig,
    /// The pauses after transient trouble.
    pub retry: RetryConfig,
    /// How long results are kept.
    pub retention: RetentionConfig,
    /// The setting categories: those compiled in, or those of the file `catalogue.file`.
    pub catalogue: Catalogue,
    /// The HTTP listener.
    pub http: HttpConfig,
    /// How often the metrics look at the database and the queue.
    pub metrics: MetricsConfig,
    /// Where spans go.
    pub telemetry: TelemetryConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// How the service stops.
    pub shutdown: ShutdownConfig,
    /// What [`Config::print`] shows.
    printed: String,
}

/// `[broker]`: the link to RabbitMQ.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `url`: where RabbitMQ is, `amqp` or `amqps`.
    pub url: ServiceUrl,
    /// `password_file`: the password, where it stands in a file and not in the URL.
    pub password: Option<Secret>,
    /// `auth`: how the broker learns who this is.
    pub auth: BrokerAuth,
    /// `tls_…`: whom to believe and who this is, where the URL is one of `amqps`.
    pub tls: Option<TlsClient>,
    /// `prefix`: what the names of exchanges and queues begin with; 1 to 100 letters, digits, `-`, `_`, `.`.
    pub prefix: String,
    /// `declare_topology`: whether exchanges, queues and bindings are declared on connecting.
    pub declare_topology: bool,
    /// `prefetch`: how many messages may wait here unacknowledged; at least 1.
    pub prefetch: u16,
    /// `heartbeat_seconds`: how often both sides say that they are alive; at least 1 s.
    pub heartbeat: Duration,
    /// `connect_timeout_seconds`: how long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// `reconnect_delay_ms_min`: the first pause between attempts.
    pub reconnect_delay_min: Duration,
    /// `reconnect_delay_ms_max`: the longest pause between attempts; at least the first.
    pub reconnect_delay_max: Duration,
    /// `watchdog_seconds`: how long without a delivery until the link looks after its queue and consumer.
    pub watchdog: Duration,
}

/// How the broker learns who this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerAuth {
    /// By user and password.
    Plain,
    /// By the client certificate.
    External,
}

/// `[ingest]`: how messages are taken in.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// `batch_events_max`: how many messages one transaction stores; at least 1.
    pub batch_events_max: usize,
    /// `batch_bytes_max`: how many bytes of bodies one transaction stores; a single message may have more.
    pub batch_bytes_max: usize,
    /// `body_bytes_max`: the largest body of a message.
    pub body_bytes_max: usize,
    /// `depth_max`: the deepest nesting of JSON.
    pub depth_max: usize,
    /// `entries_max`: the most changes or snapshot entries in an event.
    pub entries_max: usize,
}

impl IngestConfig {
    /// How large an event may be.
    pub fn limits(&self) -> Limits {
        let Self { body_bytes_max, depth_max, entries_max, .. } = *self;
        Limits { body_bytes_max, depth_max, entries_max }
    }
}

/// `[database]`: the link to Postgres.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `url`: where Postgres is, `postgres` or `postgresql`.
    pub url: ServiceUrl,
    /// `password_file`: the password, where it stands in a file and not in the URL.
    pub password: Option<Secret>,
    /// `tls`, `tls_…`: whom to believe and who this is; none where the link is not encrypted.
    pub tls: Option<TlsClient>,
    /// `pool_size_max`: how many connections this process holds; at least the executor's workers + 2.
    pub pool_size_max: usize,
    /// `connect_timeout_seconds`: how long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// `statement_timeout_seconds`: how long one statement may run.
    pub statement_timeout: Duration,
    /// `lock_timeout_ms`: how long a statement may wait for a lock; less than the statement timeout.
    pub lock_timeout: Duration,
    /// `idle_in_transaction_timeout_seconds`: how long a transaction may lie open with nothing running.
    pub idle_in_transaction_timeout: Duration,
}

/// `[executor]`: how jobs are worked off.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// `workers`: how many executors run side by side; at least 1.
    pub workers: usize,
    /// `batch_letters_max`: how many letters a batch takes; at least 1.
    pub batch_letters_max: usize,
    /// `batch_writes_max`: how many rows a batch may write before it is cut; at least 100.
    pub batch_writes_max: usize,
    /// `follow_up_writes_max`: how many entries what follows from a batch may write to be done in the same
    /// transaction, where it is not little for each shard; zero: it never is.
    pub follow_up_writes_max: usize,
    /// `lock_timeout_ms`: how long a batch waits for rows that somebody else has locked, before it goes on
    /// without their organizations.
    pub lock_timeout: Duration,
    /// `poll_ms`: how often an executor looks for work that nothing woke it for.
    pub poll: Duration,
}

/// `[retry]`: the pauses after transient trouble, and how failing jobs are tried again.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    /// `delay_ms_min`: the first pause.
    pub delay_min: Duration,
    /// `delay_ms_max`: the longest pause; at least the first.
    pub delay_max: Duration,
    /// `job_attempts_max`, `job_delay_ms_min`, `job_delay_ms_max`: how often and how far apart a failing job
    /// is tried.
    pub jobs: RetryPolicy,
}

/// `[retention]`: how long results are kept.
#[derive(Debug, Clone)]
pub struct RetentionConfig {
    /// `days`: how many whole days after its own a day's results are kept; none is 0: all are kept.
    pub days: Option<i32>,
}

/// `[http]`: the HTTP listener.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `listen`: an address and a port, 0 for any free one; none is `"off"`. Loopback where there is no token.
    pub listen: Option<SocketAddr>,
    /// `access_tokens`: who may use HTTP, beside the health endpoints.
    pub access_tokens: AccessTokens,
    /// `connections_max`: how many connections clients may hold at once; at least 8.
    pub connections_max: usize,
    /// `pool_size_max`: how many connections to Postgres HTTP holds; at least 1.
    pub pool_size_max: usize,
}

/// `[metrics]`: what `/metrics` shows.
#[derive(Debug, Clone)]
pub struct MetricsConfig {
    /// `sample_seconds`: how often the database and the queue are looked at.
    pub sample: Duration,
}

/// `[telemetry]`: where spans go.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `otlp_endpoint`: the collector, below which `/v1/traces` is; none: no spans are made.
    pub otlp_endpoint: Option<ServiceUrl>,
    /// `service_name`: what the service is called in traces; 1 to 100 letters, digits, `-`, `_`, `.`, `/`.
    pub service_name: String,
    /// `sampling_percent`: how many of the traces that begin here are kept; 0 to 100.
    pub sampling_percent: u8,
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `format`: for people or for machines.
    pub format: LogFormat,
    /// `filter`: a level or directives, known to be well-formed.
    pub filter: String,
}

/// How log records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[shutdown]`: how the service stops.
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// `timeout_seconds`: how long work in hand may take to finish.
    pub timeout: Duration,
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct ConfigProblems(pub Vec<Problem>);

fn list(problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    format!("the configuration has {count}:{lines}")
}

/// The variables of the process that are Unicode, for [`Config::load`].
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Config {
    /// Puts the built-in defaults, a file and the environment together and checks the result.
    ///
    /// The file is `path`, or else the one that `CHANNEL_SYNC_CONFIG` names, or else none. Variables that
    /// stand for no part of the configuration are ignored.
    ///
    /// # Errors
    /// All problems at once, each with its key, its value, where it stands and what was expected.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigProblems> {
        let environment: Vec<(String, String)> = environment.collect();
        let mut layers = Layers::built_in();
        let named = environment.iter().find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        let path = path.map(Path::to_owned).or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        if let Some(path) = path {
            match std::fs::read_to_string(&path) {
                Ok(text) => layers.lay_file(&path, &text),
                Err(error) => {
                    let origin = Origin::File { path, line: 0 };
                    layers.problem("", None, format!("expected a readable file ({error})"), origin);
                }
            }
        }
        layers.lay_environment(&environment);
        Reader { layers }.finish()
    }

    /// The built-in defaults, with nothing from outside.
    ///
    /// # Errors
    /// Only where the file that is compiled in is wrong itself, which a test rules out.
    pub fn built_in() -> Result<Self, ConfigProblems> {
        Self::load(None, std::iter::empty())
    }

    /// The configuration in force as TOML, every key with where its value came from, passwords as `***`.
    pub fn print(&self) -> &str {
        &self.printed
    }
}

/// Takes typed, checked values out of the layers, and notes a problem where one is out of its range.
///
/// After a problem it goes on with a stand-in, to find the others: no [`Config`] leaves while there are
/// problems.
struct Reader {
    layers: Layers,
}

impl Reader {
    fn finish(mut self) -> Result<Config, ConfigProblems> {
        let broker_url = self.text("broker.url", ServiceUrl::amqp);
        let prefix = self.text("broker.prefix", name_prefix);
        let database_url = self.text("database.url", ServiceUrl::postgres);
        let catalogue = self.catalogue();
        let listen = self.text("http.listen", address::listener).flatten();
        let access_tokens = self.access_tokens();
        let nobody = access_tokens.as_ref().is_some_and(AccessTokens::is_empty);
        if nobody && listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            let expected = "expected a loopback address such as 127.0.0.1:8080: on any other, everybody who reaches \
                            the port could operate the service, and http.access_tokens names nobody who may";
            self.refuse("http.listen", expected.to_owned());
        }
        let metrics = MetricsConfig { sample: self.seconds("metrics.sample_seconds", 1..=3_600) };
        let telemetry = TelemetryConfig {
            otlp_endpoint: self.text("telemetry.otlp_endpoint", ServiceUrl::collector).flatten(),
            service_name: self.text("telemetry.service_name", service_name).unwrap_or_default(),
            sampling_percent: self.integer("telemetry.sampling_percent", 0..=100),
        };
        let format = self.text("log.format", log_format);
        let filter = self.text("log.filter", log_filter);
        let broker_auth = self.text("broker.auth", broker_auth).unwrap_or(BrokerAuth::Plain);
        let broker_tls = self.broker_tls(broker_url.as_ref(), broker_auth);
        let broker_password = self.password("broker", broker_url.as_ref());
        let database_tls = self.database_tls(database_url.as_ref());
        let database_password = self.password("database", database_url.as_ref());
        let declare_topology = self.boolean("broker.declare_topology");
        let prefetch = self.integer("broker.prefetch", 1..=65_535);
        let heartbeat = self.seconds("broker.heartbeat_seconds", 1..=300);
        let broker_timeout = self.seconds("broker.connect_timeout_seconds", 1..=300);
        let reconnect_delay_min = self.milliseconds("broker.reconnect_delay_ms_min", 1..=3_600_000);
        let reconnect_delay_max = self.milliseconds("broker.reconnect_delay_ms_max", 1..=3_600_000);
        let watchdog = self.seconds("broker.watchdog_seconds", 1..=3_600);
        let ingest = IngestConfig {
            batch_events_max: self.integer("ingest.batch_events_max", 1..=10_000),
            batch_bytes_max: self.integer("ingest.batch_bytes_max", 1_048_576..=268_435_456),
            body_bytes_max: self.integer("ingest.body_bytes_max", 1_024..=16_777_216),
            depth_max: self.integer("ingest.depth_max", 4..=64),
            entries_max: self.integer("ingest.entries_max", 1..=50_000),
        };
        let connections_max = self.integer("http.connections_max", 8..=10_000);
        let http_pool_size_max = self.integer("http.pool_size_max", 1..=100);
        let pool_size_max = self.integer("database.pool_size_max", 3..=200);
        let database_timeout = self.seconds("database.connect_timeout_seconds", 1..=300);
        let statement_timeout = self.seconds("database.statement_timeout_seconds", 1..=3_600);
        let lock_timeout = self.milliseconds("database.lock_timeout_ms", 1..=600_000);
        let idle_in_transaction_timeout =
            self.seconds("database.idle_in_transaction_timeout_seconds", 1..=3_600);
        let executor = ExecutorConfig {
            workers: self.integer("executor.workers", 1..=64),
            batch_letters_max: self.integer("executor.batch_letters_max", 1..=100_000),
            batch_writes_max: self.integer("executor.batch_writes_max", 100..=1_000_000),
            follow_up_writes_max: self.integer("executor.follow_up_writes_max", 0..=1_000_000),
            lock_timeout: self.milliseconds("executor.lock_timeout_ms", 1..=60_000),
            poll: self.milliseconds("executor.poll_ms", 10..=60_000),
        };
        let retry = RetryConfig {
            delay_min: self.milliseconds("retry.delay_ms_min", 1..=3_600_000),
            delay_max: self.milliseconds("retry.delay_ms_max", 1..=3_600_000),
            jobs: RetryPolicy {
                attempts_max: self.integer("retry.job_attempts_max", 1..=1000),
                delay_ms_min: self.integer("retry.job_delay_ms_min", 1..=86_400_000),
                delay_ms_max: self.integer("retry.job_delay_ms_max", 1..=86_400_000),
            },
        };
        let days = self.integer("retention.days", 0..=400);
        let shutdown = ShutdownConfig { timeout: self.seconds("shutdown.timeout_seconds", 1..=600) };

        let at_most = ["at most", "at least"];
        self.pair("broker.reconnect_delay_ms_min", "broker.reconnect_delay_ms_max", at_most, |a, b| a <= b);
        self.pair("retry.delay_ms_min", "retry.delay_ms_max", at_most, |a, b| a <= b);
        self.pair("retry.job_delay_ms_min", "retry.job_delay_ms_max", at_most, |a, b| a <= b);
        // A lock timeout above the statement timeout would never come about.
        let less = ["less than", "more than"];
        self.pair("database.lock_timeout_ms", "database.statement_timeout_seconds", less, |ms, seconds| {
            ms < seconds.saturating_mul(1_000)
        });
        // Each executor holds a connection while it works; ingest, and who takes one in turn, must never wait for them.
        let two_less = ["at least 2 less than", "at least 2 more than"];
        self.pair("executor.workers", "database.pool_size_max", two_less, |a, b| a.saturating_add(2) <= b);

        let printed = self.print();
        let (Some(broker_url), Some(prefix), Some(database_url), Some(catalogue), true) =
            (broker_url, prefix, database_url, catalogue, self.layers.problems.is_empty())
        else {
            let mut problems = self.layers.problems;
            problems.sort_by(|a, b| a.origin.cmp(&b.origin));
            return Err(ConfigProblems(problems));
        };
        Ok(Config {
            broker: BrokerConfig {
                url: broker_url,
                password: broker_password,
                auth: broker_auth,
                tls: broker_tls,
                prefix,
                declare_topology,
                prefetch,
                heartbeat,
                connect_timeout: broker_timeout,
                reconnect_delay_min,
                reconnect_delay_max,
                watchdog,
            },
            ingest,
            database: DatabaseConfig {
                url: database_url,
                password: database_password,
                tls: database_tls,
                pool_size_max,
                connect_timeout: database_timeout,
                statement_timeout,
                lock_timeout,
                idle_in_transaction_timeout,
            },
            executor,
            retry,
            retention: RetentionConfig { days: (days > 0).then_some(days) },
            catalogue,
            http: HttpConfig {
                listen,
                access_tokens: access_tokens.unwrap_or_default(),
                connections_max,
                pool_size_max: http_pool_size_max,
            },
            metrics,
            telemetry,
            log: LogConfig { format: format.unwrap_or(LogFormat::Text), filter: filter.unwrap_or_default() },
            shutdown,
            printed,
        })
    }

    /// A string, made into what it stands for; none after a problem.
    fn text<T>(&mut self, key: &str, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.value(key)?.as_str()?.to_owned();
        check(&text).map_err(|expected| self.refuse(key, expected)).ok()
    }

    fn boolean(&mut self, key: &str) -> bool {
        self.value(key).and_then(toml::Value::as_bool).unwrap_or_default()
    }

    /// A number within the range; the range's start after a problem.
    fn integer<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
    {
        let number = self.value(key).and_then(toml::Value::as_integer);
        match number.map(T::try_from) {
            Some(Ok(number)) if range.contains(&number) => return number,
            // Missing from the built-in file: `every_key_is_read` rules that out.
            _ => self.refuse(key, format!("expected {} to {}", range.start(), range.end())),
        }
        *range.start()
    }

    fn seconds(&mut self, key: &str, range: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(self.integer(key, range).into())
    }

    fn milliseconds(&mut self, key: &str, range: RangeInclusive<u32>) -> Duration {
        Duration::from_millis(self.integer(key, range).into())
    }

    /// The file that a key names; none where it names none. A relative path counts from the file that names it.
    fn file(&self, key: &str) -> Option<PathBuf> {
        let setting = self.layers.settings.get(key)?;
        let named = setting.value.as_str().filter(|named| !named.is_empty())?;
        let folder = match &setting.origin {
            Origin::File { path, .. } => path.parent(),
            Origin::BuiltIn | Origin::Variable(_) => None,
        };
        Some(folder.unwrap_or(Path::new("")).join(named))
    }

    /// The password in the file that a section names.
    fn password(&mut self, section: &str, url: Option<&ServiceUrl>) -> Option<Secret> {
        let key = format!("{section}.password_file");
        let path = self.file(&key)?;
        let password = if url.is_some_and(ServiceUrl::has_password) {
            Err(format!(
                "expected no file, as a password stands in {section}.url already; leave one of them out"
            ))
        } else {
            Secret::read(&path)
        };
        password.map_err(|expected| self.refuse(&key, expected)).ok()
    }

    /// The access tokens of the configuration itself, or of the file that it names.
    fn access_tokens(&mut self) -> Option<AccessTokens> {
        const FILE: &str = "http.access_tokens_file";
        let tokens = self.text("http.access_tokens", AccessTokens::from_str)?;
        let Some(path) = self.file(FILE) else { return Some(tokens) };
        let of_file = if tokens.is_empty() {
            secret::tokens(&path).and_then(|text| AccessTokens::from_str(&text))
        } else {
            Err("expected no file, as http.access_tokens names tokens already; leave one of them out"
                .to_owned())
        };
        of_file.map_err(|expected| self.refuse(FILE, expected)).ok()
    }

    /// How the broker is spoken to by TLS, where its URL says so.
    fn broker_tls(&mut self, url: Option<&ServiceUrl>, auth: BrokerAuth) -> Option<TlsClient> {
        let wanted = url?.tls() == Some(true);
        let tls = self.tls("broker", wanted, "as broker.url is one of amqp://; with amqps:// it would count");
        if auth == BrokerAuth::External {
            let key = "broker.auth";
            if !wanted {
                self.refuse(key, "expected \"plain\", as broker.url is not one of amqps://".to_owned());
            } else if tls.as_ref().is_some_and(|tls| !tls.has_certificate()) {
                let expected = "expected broker.tls_certificate_file and broker.tls_key_file with it: external \
                                means that the broker knows this program by its certificate";
                self.refuse(key, expected.to_owned());
            }
            if self.file("broker.password_file").is_some() {
                let expected = "expected no file, as broker.auth is \"external\", which needs no password";
                self.refuse("broker.password_file", expected.to_owned());
            }
        }
        tls
    }

    /// How Postgres is spoken to by TLS, where the configuration or its URL says so.
    fn database_tls(&mut self, url: Option<&ServiceUrl>) -> Option<TlsClient> {
        const KEY: &str = "database.tls";
        let in_url = url?.tls();
        let by_key = self.text(KEY, database_tls)?;
        let written = self.layers.settings.get(KEY).is_some_and(|setting| setting.origin != Origin::BuiltIn);
        if let Some(in_url) = in_url
            && written
            && in_url != by_key
        {
            let sslmode = if in_url { "verify-full" } else { "disable" };
            self.refuse(KEY, format!("expected the same as database.url, which says sslmode={sslmode}"));
            return None;
        }
        let why = "as database.tls is \"off\"; with \"verify-full\" it would count";
        self.tls("database", in_url.unwrap_or(by_key), why)
    }

    /// TLS by the files that a section names; none where it is not wanted, or after a problem.
    fn tls(&mut self, section: &str, wanted: bool, why_not: &str) -> Option<TlsClient> {
        let key = |file| match file {
            TlsFile::Authorities => format!("{section}.tls_ca_file"),
            TlsFile::Certificate => format!("{section}.tls_certificate_file"),
            TlsFile::Key => format!("{section}.tls_key_file"),
        };
        let all = [TlsFile::Authorities, TlsFile::Certificate, TlsFile::Key].map(key);
        if !wanted {
            for key in &all {
                if self.file(key).is_some() {
                    self.refuse(key, format!("expected no file, {why_not}"));
                }
            }
            return None;
        }
        let [authorities, certificate, of_key] = all.map(|key| self.file(&key));
        let client = TlsClient::new(&TlsFiles { authorities, certificate, key: of_key });
        client.map_err(|TlsProblem { file, expected }| self.refuse(&key(file), expected)).ok()
    }

    /// The catalogue that is compiled in, or the one of the file that `catalogue.file` names.
    fn catalogue(&mut self) -> Option<Catalogue> {
        const KEY: &str = "catalogue.file";
        let text = match self.file(KEY) {
            None => Ok(catalogue::BUILT_IN.to_owned()),
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| format!("expected a readable file ({error})"))
            }
        };
        text.and_then(|text| {
            Catalogue::parse(&text).map_err(|error| format!("expected a catalogue: {error}"))
        })
        .map_err(|expected| self.refuse(KEY, expected))
        .ok()
    }

    /// Two numbers that must fit each other. Says nothing where one of them is out of its range already.
    fn pair(&mut self, low: &str, high: &str, relations: [&str; 2], fits: impl Fn(i64, i64) -> bool) {
        if self.layers.problems.iter().any(|problem| problem.key == low || problem.key == high) {
            return;
        }
        let number = |key| self.value(key).and_then(toml::Value::as_integer).unwrap_or_default();
        let (low_value, high_value) = (number(low), number(high));
        if fits(low_value, high_value) {
            return;
        }
        // The one that somebody wrote is the one to speak of.
        let low_is_built_in =
            self.layers.settings.get(low).is_some_and(|setting| setting.origin == Origin::BuiltIn);
        let [at_most, at_least] = relations;
        if low_is_built_in {
            self.refuse(high, format!("expected {at_least} {low}, which is {low_value}"));
        } else {
            self.refuse(low, format!("expected {at_most} {high}, which is {high_value}"));
        }
    }

    fn value(&self, key: &str) -> Option<&toml::Value> {
        self.layers.settings.get(key).map(|setting| &setting.value)
    }

    fn refuse(&mut self, key: &str, expected: String) {
        let (value, origin) = match self.layers.settings.get(key) {
            Some(setting) => (Some(layers::shown(key, &setting.value)), setting.origin.clone()),
            None => (None, Origin::BuiltIn),
        };
        self.layers.problem(key, value, expected, origin);
    }

    /// What is in force, in the order of the built-in file.
    fn print(&self) -> String {
        let mut printed = String::new();
        let mut section = "";
        for line in BUILT_IN.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
                let blank = if printed.is_empty() { "" } else { "\n" };
                printed.push_str(&format!("{blank}[{section}]\n"));
            } else if let Some((key, _)) = line.split_once(" = ")
                && let key_whole = format!("{section}.{key}")
                && let Some(setting) = self.layers.settings.get(&key_whole)
            {
                let value = layers::redacted(&key_whole, &setting.value);
                let origin = match &setting.origin {
                    Origin::BuiltIn => String::new(),
                    origin => format!("  # from {origin}"),
                };
                printed.push_str(&format!("{key} = {value}{origin}\n"));
            }
        }
        printed
    }
}

fn name_prefix(text: &str) -> Result<String, String> {
    let well_formed = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !well_formed {
        return Err("expected 1 to 100 letters, digits, hyphens, underscores and dots".to_owned());
    }
    if text.starts_with("amq.") {
        return Err("expected another beginning than amq., which the broker keeps for itself".to_owned());
    }
    Ok(text.to_owned())
}

fn broker_auth(text: &str) -> Result<BrokerAuth, String> {
    match text {
        "plain" => Ok(BrokerAuth::Plain),
        "external" => Ok(BrokerAuth::External),
        _ => Err("expected \"plain\" or \"external\"".to_owned()),
    }
}

fn database_tls(text: &str) -> Result<bool, String> {
    match text {
        "verify-full" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected \"verify-full\" or \"off\": TLS that does not verify the server is not offered"
            .to_owned()),
    }
}

fn service_name(text: &str) -> Result<String, String> {
    let well_formed = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    if !well_formed {
        return Err("expected 1 to 100 letters, digits, hyphens, underscores, dots and slashes".to_owned());
    }
    Ok(text.to_owned())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected \"text\" or \"json\"".to_owned()),
    }
}

fn log_filter(text: &str) -> Result<String, String> {
    let expected = "expected a level (error, warn, info, debug, trace, off) or directives such as \
                    info,channel_sync::broker=debug";
    // A word without a level would count as the name of a module, and a mistyped level with it.
    let bare = text.split(',').find(|directive| {
        let directive = directive.trim();
        !directive.contains(['=', '[']) && (directive.is_empty() || LevelFilter::from_str(directive).is_err())
    });
    if let Some(bare) = bare {
        return Err(format!("{expected}; {bare:?} is no level"));
    }
    EnvFilter::try_new(text).map_err(|error| format!("{expected} ({error})"))?;
    Ok(text.to_owned())
}
