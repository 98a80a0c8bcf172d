//! What the service counts and measures, as Prometheus reads it.
//!
//! One [`Metrics`] for each service, handed to whoever counts: there is no global registry, so that several services
//! in one process have figures of their own. Loops count once a batch, not once a job; gauges of the database and of
//! the queue are sampled in the background (`sampled`), so that a scrape asks nobody but this process.
//!
//! What always holds: names begin with `channel_sync_` (but for the `process_` ones that every program has), units are
//! base units and stand last; and labels are drawn from lists that are known when the program is built, never from
//! what comes in: no organization, no event, no key.
//!
//! | module | holds |
//! |---|---|
//! | `counted` | what the loops, the link, HTTP and the traces count |
//! | `sampled` | what was last seen in the database and the queue |
//! | `scraped` | what is read when somebody asks: pools, the process |

mod counted;
mod sampled;
mod scraped;

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use counted::{
    ExecutorMetrics, HttpMetrics, IngestMetrics, IntakeFigures, JobFigures, LinkMetrics, ReplayerMetrics,
    RetentionMetrics, Stopwatch, TraceMetrics,
};
pub use sampled::{DatabaseSample, FreshnessSample, LettersSample, QueueSample, Sampled};
pub use scraped::{PoolFigures, Pools};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of OpenMetrics.
    OpenMetrics,
    /// The older text format of Prometheus, for whoever does not ask for the other.
    Prometheus,
}

impl Format {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What all names but those of the process begin with.
const PREFIX: &str = "channel_sync";

/// Everything that a service counts and measures.
#[derive(Debug)]
pub struct Metrics {
    /// How messages are taken in.
    pub ingest: IngestMetrics,
    /// How letters are worked off.
    pub executor: ExecutorMetrics,
    /// How jobs of replays are sent.
    pub replayer: ReplayerMetrics,
    /// How days of results are made and dropped.
    pub retention: RetentionMetrics,
    /// The link to the broker.
    pub link: LinkMetrics,
    /// Requests over HTTP.
    pub http: HttpMetrics,
    /// Spans on their way to a collector.
    pub traces: TraceMetrics,
    /// What was last seen in the database and the queue.
    pub sampled: Sampled,
    /// The pools of connections.
    pub pools: Pools,
    registry: Registry,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Metrics {
    /// Figures that all begin at zero, for a service with so many executors.
    pub fn new(executors: usize) -> Arc<Self> {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix(PREFIX);
        let build: Family<BuildLabels, Gauge> = Family::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        own.register("build_info", "Which version runs; always 1", build);
        let (ingest, executor) = (IngestMetrics::default(), ExecutorMetrics::default());
        let (replayer, retention) = (ReplayerMetrics::default(), RetentionMetrics::default());
        let link = LinkMetrics::default();
        let (http, traces) = (HttpMetrics::default(), TraceMetrics::default());
        let (sampled, pools) = (Sampled::default(), Pools::default());
        ingest.register(own);
        executor.register(own, executors);
        replayer.register(own);
        retention.register(own);
        link.register(own);
        http.register(own);
        traces.register(own);
        own.register_collector(Box::new(sampled.clone()));
        own.register_collector(Box::new(pools.clone()));
        registry.register_collector(Box::new(scraped::Process::started_now()));
        Arc::new(Self { ingest, executor, replayer, retention, link, http, traces, sampled, pools, registry })
    }

    /// All of them in this format.
    ///
    /// # Errors
    /// None in practice: only where text cannot be written to memory.
    pub fn encode(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut text, &self.registry)?,
            Format::Prometheus => prometheus_text::encode(&mut text, &self.registry)?,
        }
        Ok(text)
    }
}
