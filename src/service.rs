//! The service: builds everything, owns the tasks, stops them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::Link;
use crate::config::{Config, DatabaseConfig};
use crate::delay::Delays;
use crate::flow::executor::{BatchLimits, Executor};
use crate::flow::ingest::{Ingest, IntakeLimits};
use crate::flow::replayer::Replayer;
use crate::flow::retention::Retention;
use crate::flow::sampler::Sampler;
use crate::http::{self, App};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::telemetry::Traces;

/// Consumes, executes and serves HTTP, until SIGTERM or SIGINT. Then it takes no more deliveries, finishes the
/// batches at hand, acknowledges them and closes its links, within the configured time; a second signal ends
/// it at once.
///
/// `migrate`: bring the schema up to date first.
///
/// # Errors
/// Where it cannot start for a reason that does not go away by itself, such as wrong credentials, a schema
/// that is not there or a queue that was declared with other arguments; or cannot stop in time.
pub async fn run(config: &Config, migrate: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut service = tokio::select! {
        service = Service::start(config, migrate) => service?,
        () = signals.next() => {
            tracing::info!("stopped before it had started");
            return Ok(());
        }
    };
    let outcome = tokio::select! {
        error = service.ended() => Err(error),
        () = signals.next() => Ok(()),
    };
    tracing::info!(timeout = ?config.shutdown.timeout, "stopping");
    tokio::select! {
        () = service.stop() => {
            tracing::info!("stopped");
            outcome
        }
        () = tokio::time::sleep(config.shutdown.timeout) => {
            Err(anyhow::anyhow!("not stopped within {:?}; nothing is lost", config.shutdown.timeout))
        }
        () = signals.next() => Err(anyhow::anyhow!("stopped at once by a second signal; nothing is lost")),
    }
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    http_address: Option<SocketAddr>,
    traces: Traces,
}

impl Service {
    /// Listens for HTTP, waits for the database, then starts everything. The broker's link may still be on
    /// its way.
    ///
    /// # Errors
    /// Where it cannot start for a reason that does not go away by itself.
    pub async fn start(config: &Config, migrate: bool) -> anyhow::Result<Self> {
        let store = Store::new(&config.database).context("read database.url")?;
        let catalogue = Arc::new(config.catalogue.clone());
        let trouble = || Delays::new(config.retry.delay_min, config.retry.delay_max);
        let metrics = Metrics::new(config.executor.workers);
        let traces = Traces::new(&config.telemetry, metrics.traces.clone())?;
        let (stop, tasks) = (CancellationToken::new(), JoinSet::new());
        let mut service = Self { stop, tasks, http_address: None, traces: traces.clone() };
        let mut link = Link::new(&config.broker).measured_by(metrics.link.clone());
        // First of all, so that health can be asked for while the database is not there yet.
        if let Some(listen) = config.http.listen {
            let database =
                DatabaseConfig { pool_size_max: config.http.pool_size_max, ..config.database.clone() };
            let of_http = Store::new(&database).context("read database.url")?;
            let (of_service, counted) = (store.clone(), Arc::clone(&metrics));
            let app = App::new(config, of_http, of_service, &link, counted, service.stop.clone());
            let (of_service, of_http) = (store.clone(), app.store.clone());
            metrics.pools.show("service", move || of_service.pool_figures());
            metrics.pools.show("http", move || of_http.pool_figures());
            let sampler = Sampler::new(app.store.clone(), link.lookout(), metrics.sampled.clone());
            let (interval, stop) = (config.metrics.sample, service.stop.clone());
            service.listen(listen, app).await?;
            service.tasks.spawn(async move {
                sampler.work(interval, stop).await;
                Ok(())
            });
        }
        prepare(&store, config, migrate, trouble()).await?;

        let wake = Arc::new(Notify::new());
        let stop = &service.stop;
        service.tasks.spawn(listen_for_letters(store.clone(), Arc::clone(&wake), trouble(), stop.clone()));
        let limits = BatchLimits {
            letters_max: config.executor.batch_letters_max,
            writes_max: config.executor.batch_writes_max,
            follow_up_writes_max: config.executor.follow_up_writes_max,
            lock_timeout: config.executor.lock_timeout,
        };
        let executor = Executor::new(store.clone(), Arc::clone(&catalogue), limits, config.retry.jobs)
            .measured_by(metrics.executor.clone())
            .traced_by(traces.clone());
        let executor = Arc::new(executor);
        for _ in 0..config.executor.workers {
            let (executor, wake, poll) = (Arc::clone(&executor), Arc::clone(&wake), config.executor.poll);
            let (trouble, stop) = (trouble(), stop.clone());
            service.tasks.spawn(async move {
                executor.work(&wake, poll, trouble, stop).await;
                Ok(())
            });
        }
        let (replayer, poll) =
            (Replayer::new(store.clone()).measured_by(metrics.replayer.clone()), config.executor.poll);
        let (wake, trouble_of_replayer, stop_replayer) = (Arc::clone(&wake), trouble(), stop.clone());
        service.tasks.spawn(async move {
            replayer.work(&wake, poll, trouble_of_replayer, stop_replayer).await;
            Ok(())
        });
        if let Some(days) = config.retention.days {
            let retention = Retention::new(store.clone(), days).measured_by(metrics.retention.clone());
            let stop = stop.clone();
            service.tasks.spawn(async move {
                retention.work(stop).await;
                Ok(())
            });
        }
        let ingest = Ingest::new(store, catalogue, config.ingest.limits())
            .measured_by(metrics.ingest.clone())
            .traced_by(traces);
        let limits = IntakeLimits {
            messages_max: config.ingest.batch_events_max,
            bytes_max: config.ingest.batch_bytes_max,
        };
        let (trouble, stop) = (trouble(), stop.clone());
        service.tasks.spawn(async move {
            ingest.run(&mut link, limits, trouble, stop).await.context("consume from the broker")
        });
        Ok(service)
    }

    /// Where HTTP is served, if it is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Waits for the end of a task that should not end: why it did.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::Error::new(error).context("a task of the service died"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a task of the service ended"),
        }
    }

    /// Takes no more deliveries, finishes the batches at hand, acknowledges them, closes the links, and sends the
    /// spans that wait.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.traces.flush().await;
    }

    async fn listen(&mut self, listen: SocketAddr, app: App) -> anyhow::Result<()> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        let address = listener.local_addr().with_context(|| format!("listen on {listen}"))?;
        tracing::info!(%address, "listening for HTTP");
        self.http_address = Some(address);
        self.tasks.spawn(async move {
            http::Server::new(app).serve(listener).await;
            Ok(())
        });
        Ok(())
    }
}

/// Waits until the database is there, and sees that its schema is the one that this program needs.
async fn prepare(store: &Store, config: &Config, migrate: bool, mut trouble: Delays) -> anyhow::Result<()> {
    loop {
        let prepared = async {
            if migrate {
                for name in store.migrate().await? {
                    tracing::info!(migration = name, "migrated the database");
                }
            } else {
                store.check_schema().await?;
            }
            store.put_catalogue(&config.catalogue).await
        };
        match prepared.await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() => pause(&error, &mut trouble, "prepare the database").await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Wakes the executors when other processes, or the ingest, add letters.
async fn listen_for_letters(
    store: Store,
    wake: Arc<Notify>,
    mut trouble: Delays,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listening = async {
        loop {
            let Err(error) = store.listen(&wake).await;
            pause(&error, &mut trouble, "listen for new letters").await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        never = listening => never,
    }
}

async fn pause(error: &StoreError, trouble: &mut Delays, what: &str) {
    let pause: Duration = trouble.next_delay();
    tracing::warn!(%error, ?pause, "{what}");
    tokio::time::sleep(pause).await;
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
