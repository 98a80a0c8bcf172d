//! The service: builds everything, owns the tasks, stops them in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::Link;
use crate::config::Config;
use crate::contract::Limits;
use crate::delay::Delays;
use crate::flow::executor::{BatchLimits, Executor};
use crate::flow::ingest::Ingest;
use crate::http::{self, Health};
use crate::store::{Store, StoreError};

/// Consumes, executes and serves HTTP, until SIGTERM or SIGINT. Then it takes no more deliveries, finishes the
/// batches at hand, acknowledges them and closes its links, within the configured time; a second signal ends
/// it at once.
///
/// `migrate`: bring the schema up to date first.
///
/// # Errors
/// Where it cannot start for a reason that does not go away by itself, such as wrong credentials, a schema
/// that is not there or a queue that was declared with other arguments; or cannot stop in time.
pub async fn run(config: Config, migrate: bool) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let running = tokio::select! {
        started = start(&config, migrate, &stop, &mut tasks) => started.map(|()| true),
        () = signals.next() => Ok(false),
    };
    let outcome = match running {
        Ok(true) => tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(Err(error))) => Err(error),
                Some(Err(error)) => Err(anyhow::Error::new(error).context("a task of the service died")),
                Some(Ok(Ok(()))) | None => Err(anyhow::anyhow!("a task of the service ended")),
            },
            () = signals.next() => Ok(()),
        },
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    tracing::info!(timeout = ?config.shutdown.timeout, "stopping");
    stop.cancel();
    let stopped = async { while tasks.join_next().await.is_some() {} };
    tokio::select! {
        () = stopped => {
            tracing::info!("stopped");
            outcome
        }
        () = tokio::time::sleep(config.shutdown.timeout) => {
            Err(anyhow::anyhow!("not stopped within {:?}; nothing is lost", config.shutdown.timeout))
        }
        () = signals.next() => Err(anyhow::anyhow!("stopped at once by a second signal; nothing is lost")),
    }
}

async fn start(
    config: &Config,
    migrate: bool,
    stop: &CancellationToken,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let store = Store::new(&config.database).context("read database.url")?;
    let catalogue = Arc::new(config.catalogue.clone());
    let trouble = || Delays::new(config.retry.delay_min, config.retry.delay_max);
    prepare(&store, config, migrate, trouble()).await?;

    let mut link = Link::new(&config.broker);
    if let Some(listen) = config.http.listen {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        let address = listener.local_addr().with_context(|| format!("listen on {listen}"))?;
        tracing::info!(%address, "listening for HTTP");
        let health = Health { store: store.clone(), link: link.state() };
        let stop = stop.clone();
        tasks.spawn(async move { http::serve(listener, health, stop).await.context("serve HTTP") });
    }

    let wake = Arc::new(Notify::new());
    tasks.spawn(listen(store.clone(), Arc::clone(&wake), trouble(), stop.clone()));
    let limits = BatchLimits {
        letters_max: config.executor.batch_letters_max,
        writes_max: config.executor.batch_writes_max,
    };
    let executor = Arc::new(Executor::new(store.clone(), Arc::clone(&catalogue), limits));
    for _ in 0..config.executor.workers {
        let (executor, wake, poll) = (Arc::clone(&executor), Arc::clone(&wake), config.executor.poll);
        let (trouble, stop) = (trouble(), stop.clone());
        tasks.spawn(async move {
            executor.work(&wake, poll, trouble, stop).await;
            Ok(())
        });
    }
    let limits = Limits {
        body_bytes_max: config.ingest.body_bytes_max,
        depth_max: config.ingest.depth_max,
        entries_max: config.ingest.entries_max,
    };
    let ingest = Ingest::new(store, catalogue, limits);
    let (batch_max, trouble, stop) = (config.ingest.batch_events_max, trouble(), stop.clone());
    tasks.spawn(async move {
        ingest.run(&mut link, batch_max, trouble, stop).await.context("consume from the broker")
    });
    Ok(())
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
async fn listen(
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
