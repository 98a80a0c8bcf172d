//! Load, replicas and audit around one fault. Each scene has its own database and virtual host.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::probe::Probe;
use super::support::audit::Audit;
use super::support::load::{Load, splitmix};
use super::support::process::Process;
use super::support::stage::{Stage, Variables};

/// How long it may take until everything is done after a fault; then the rest is stuck.
const SETTLE: Duration = Duration::from_secs(90);

/// The heartbeat of the replicas. Everything else is set up as the defaults are.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// A scene.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) cast: Cast,
    pub(crate) probe: Probe,
}

/// The replicas.
pub(crate) struct Cast {
    program: PathBuf,
    folder: PathBuf,
    variables: Variables,
    replicas: Vec<Process>,
    random: u64,
    /// Replicas that ended by themselves.
    pub(crate) deaths: Vec<String>,
    /// How long it took each replica to notice that the broker hangs.
    pub(crate) noticed: Vec<Duration>,
}

impl Scene {
    /// A scene with so many replicas, all partnerships of the load begun.
    pub(crate) async fn set(load: Load, replicas: usize, seed: u64) -> Self {
        let mut stage = Stage::set(load).await;
        let own = std::env::current_exe().unwrap();
        let program = own.parent().and_then(Path::parent).unwrap().join("channel-sync");
        let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").unwrap()).join("log");
        let variables =
            stage.default_variables().with("BROKER__HEARTBEAT_SECONDS", &HEARTBEAT.as_secs().to_string());
        let mut cast = Cast {
            program,
            folder,
            variables,
            replicas: Vec::new(),
            random: seed,
            deaths: Vec::new(),
            noticed: Vec::new(),
        };
        for _ in 0..replicas {
            cast.start().await;
        }
        if replicas > 0 {
            stage.begin().await;
        }
        let probe = Probe { url: stage.database.url().to_owned() };
        Self { stage, cast, probe }
    }

    /// Publishes without pause while something happens, and until it has.
    pub(crate) async fn under_load<T>(&mut self, happens: impl AsyncFnOnce(&mut Cast, &Probe) -> T) -> T {
        let over = AtomicBool::new(false);
        let (stage, cast, probe) = (&mut self.stage, &mut self.cast, &self.probe);
        let publishing = async {
            // To the end of a burst: what was taken from the load is published.
            while !over.load(Ordering::Relaxed) {
                stage.publish(5).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let happening = async {
            let outcome = happens(cast, probe).await;
            over.store(true, Ordering::Relaxed);
            outcome
        };
        tokio::join!(publishing, happening).1
    }

    /// Waits until everything is done, and audits.
    pub(crate) async fn audit(&mut self) -> Audit {
        self.stage.settles_within(SETTLE).await;
        let mut audit = self.stage.audit().await;
        audit.wrong.append(&mut self.cast.deaths);
        audit
    }

    /// Stops the replicas, audits, and removes everything.
    pub(crate) async fn end(mut self) -> Audit {
        self.stage.settles_within(SETTLE).await;
        self.cast.stop().await;
        let mut audit = self.stage.audit().await;
        audit.wrong.append(&mut self.cast.deaths);
        self.stage.vhost.remove().await;
        audit
    }
}

impl Cast {
    /// Starts one more replica, and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        self.launch();
        if let Some(replica) = self.replicas.last_mut() {
            replica.ready().await;
        }
    }

    fn launch(&mut self) {
        self.replicas.push(Process::start(&self.program, &self.folder, &self.variables.pairs()));
    }

    /// Kills a random replica, and starts another at once without waiting for it.
    pub(crate) fn kill_one(&mut self) {
        let which = (splitmix(&mut self.random) % self.replicas.len() as u64) as usize;
        let mut replica = self.replicas.swap_remove(which);
        if let Some(status) = replica.has_ended() {
            self.deaths.push(format!("a replica ended by itself: {status}\n{}", replica.log()));
        } else {
            replica.kill();
        }
        self.launch();
    }

    /// Stops the oldest replica in order, and starts another.
    pub(crate) async fn roll_one(&mut self) {
        let replica = self.replicas.remove(0);
        self.stop_one(replica).await;
        self.start().await;
    }

    /// Stops all replicas in order.
    pub(crate) async fn stop(&mut self) {
        for replica in std::mem::take(&mut self.replicas) {
            self.stop_one(replica).await;
        }
    }

    async fn stop_one(&mut self, mut replica: Process) {
        if replica.has_ended().is_none() {
            replica.signal("TERM");
        }
        let status = replica.ended().await;
        if !status.success() {
            self.deaths.push(format!("a replica ended with {status}\n{}", replica.log()));
        }
    }

    /// Notes how long it takes each replica, from now on, to say that the broker is down. Who does not say so
    /// within the limit counts among the deaths.
    pub(crate) async fn notice_broker_down(&mut self, limit: Duration) {
        let started = Instant::now();
        let mut unaware: Vec<_> = self.replicas.iter_mut().collect();
        while !unaware.is_empty() && started.elapsed() < limit {
            for replica in std::mem::take(&mut unaware) {
                let health = replica.health().await;
                if health.is_some_and(|(_, body)| body["broker"]["status"] == "down") {
                    self.noticed.push(started.elapsed());
                } else {
                    unaware.push(replica);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let unaware = unaware.len();
        if unaware > 0 {
            let limit = limit.as_secs();
            self.deaths
                .push(format!("{unaware} replicas do not notice within {limit} s that the broker hangs"));
        }
    }

    /// How much memory the first replica has in use, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.replicas.first().map(Process::memory_kib).unwrap_or_default()
    }

    /// A number from `low` up to, but not including, `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + splitmix(&mut self.random) % (high - low)
    }
}
