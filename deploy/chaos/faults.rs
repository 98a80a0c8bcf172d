//! What is done to servers and replicas, one after another, each in a scene of its own.

use std::time::{Duration, Instant};

use channel_sync::broker::Topology;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::time::sleep;

use super::probe::{Probe, Sign};
use super::scene::{Cast, HEARTBEAT, Scene};
use super::servers;
use super::support::load::Load;
use super::support::stage::EVENTS;
use super::table::Row;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ReplicaKilled,
    ReplicasRolled,
    BrokerKilled,
    BrokerRestarted,
    BrokerHangs,
    QueueDeleted,
    ConnectionsClosed,
    MemoryAlarm,
    PostgresRestarted,
    PostgresShutImmediately,
    PostgresKilled,
    SessionsTerminated,
    RowsHeld,
    TransactionForgotten,
}

/// How long rows are held and transactions forgotten.
const HELD: Duration = Duration::from_secs(4);

/// A queue that is younger may come back from kill -9 empty and without a leader: RabbitMQ notes on disk where its log
/// is half a second to a second after the declaration (`docs/faults.md`).
const QUEUE_IS_KNOWN: Duration = Duration::from_secs(3);

/// After so many kills, everything must be done.
const KILLS_BEFORE_AUDIT: u32 = 25;

impl Fault {
    /// All, in the order in which they happen.
    pub(crate) const ALL: [Self; 14] = [
        Self::ReplicaKilled,
        Self::ReplicasRolled,
        Self::BrokerKilled,
        Self::BrokerRestarted,
        Self::BrokerHangs,
        Self::QueueDeleted,
        Self::ConnectionsClosed,
        Self::MemoryAlarm,
        Self::PostgresRestarted,
        Self::PostgresShutImmediately,
        Self::PostgresKilled,
        Self::SessionsTerminated,
        Self::RowsHeld,
        Self::TransactionForgotten,
    ];

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReplicaKilled => "replica: kill -9",
            Self::ReplicasRolled => "replicas: rolling restart",
            Self::BrokerKilled => "broker: kill -9",
            Self::BrokerRestarted => "broker: orderly restart",
            Self::BrokerHangs => "broker: hangs (SIGSTOP)",
            Self::QueueDeleted => "broker: queue deleted",
            Self::ConnectionsClosed => "broker: connections closed",
            Self::MemoryAlarm => "broker: memory alarm",
            Self::PostgresRestarted => "postgres: fast restart",
            Self::PostgresShutImmediately => "postgres: immediate shutdown",
            Self::PostgresKilled => "postgres: kill -9",
            Self::SessionsTerminated => "postgres: sessions terminated",
            Self::RowsHeld => "postgres: rows held",
            Self::TransactionForgotten => "postgres: transaction forgotten",
        }
    }

    /// How often it happens: in the short form, and in the full one.
    fn runs(self) -> (u32, u32) {
        match self {
            Self::ReplicaKilled => (30, 200),
            Self::ReplicasRolled | Self::SessionsTerminated => (2, 20),
            Self::QueueDeleted => (1, 10),
            // Takes longer to come back from than a short run should.
            Self::BrokerKilled => (0, 5),
            Self::BrokerRestarted | Self::PostgresRestarted | Self::PostgresKilled => (1, 5),
            Self::ConnectionsClosed => (1, 5),
            Self::BrokerHangs | Self::RowsHeld => (1, 3),
            // Each takes seconds, and a test has the like of it.
            Self::MemoryAlarm | Self::PostgresShutImmediately => (0, 3),
            Self::TransactionForgotten => (0, 3),
        }
    }
}

/// Makes a fault happen as often as is wanted, and tells what came of it.
pub(crate) async fn run(fault: Fault, short: bool, kills: u32, seed: u64) -> Row {
    let runs = match (fault, short) {
        (Fault::ReplicaKilled, false) => kills,
        (_, true) => fault.runs().0,
        (_, false) => fault.runs().1,
    };
    let mut row = Row { name: fault.name(), runs, ..Row::default() };
    if runs == 0 {
        "only in the full form".clone_into(&mut row.note);
        return row;
    }
    let replicas = if fault == Fault::ReplicaKilled { 3 } else { 2 };
    let mut scene = Scene::set(Load::new(seed, 3, 8), replicas, seed).await;
    if matches!(fault, Fault::BrokerKilled | Fault::BrokerRestarted) {
        sleep(QUEUE_IS_KNOWN).await;
    }
    let mut unrecovered = 0;
    let mut note = |recovery: Option<Duration>| match recovery {
        Some(recovery) => row.recoveries.push(recovery),
        None => unrecovered += 1,
    };
    match fault {
        Fault::ReplicaKilled => {
            let mut left = runs;
            while left > 0 {
                let now = left.min(KILLS_BEFORE_AUDIT);
                left -= now;
                note(scene.under_load(async |cast, probe| kill_replicas(cast, probe, now).await).await);
                let audit = scene.audit().await;
                if !audit.is_sound() {
                    println!("after {} kills: {audit}", runs - left);
                    break;
                }
            }
        }
        Fault::QueueDeleted => {
            for _ in 0..runs {
                note(delete_queue(&mut scene).await);
            }
        }
        Fault::MemoryAlarm => {
            for _ in 0..runs {
                note(alarm(&mut scene).await);
            }
        }
        Fault::ConnectionsClosed => {
            for _ in 0..runs {
                let name = scene.stage.vhost.name().to_owned();
                note(scene.under_load(async |_, probe| close_connections(probe, &name).await).await);
                scene.stage.settle().await;
            }
        }
        _ => {
            for _ in 0..runs {
                note(scene.under_load(async |cast, probe| once(fault, cast, probe).await).await);
                // So that the next time finds it at work as usual.
                scene.stage.settles_within(Duration::from_secs(60)).await;
            }
        }
    }
    if !scene.cast.noticed.is_empty() {
        scene.cast.noticed.sort();
        let (median, max) = (scene.cast.noticed[scene.cast.noticed.len() / 2], scene.cast.noticed.last());
        row.note = format!(
            "noticed after {:.3} s, at most {:.3} s; twice the heartbeat is {} s",
            median.as_secs_f64(),
            max.copied().unwrap_or_default().as_secs_f64(),
            (HEARTBEAT * 2).as_secs()
        );
    }
    row.audit = scene.end().await;
    for _ in 0..unrecovered {
        row.audit.stuck.push("nothing new within the time allowed after the fault".to_owned());
    }
    row
}

/// Many kills in one load, every 50 to 300 ms.
async fn kill_replicas(cast: &mut Cast, probe: &Probe, kills: u32) -> Option<Duration> {
    for _ in 0..kills {
        sleep(Duration::from_millis(cast.between(50, 300))).await;
        cast.kill_one();
    }
    probe.recovery(Sign::Event).await
}

/// What happens under load, to whichever server.
async fn once(fault: Fault, cast: &mut Cast, probe: &Probe) -> Option<Duration> {
    sleep(Duration::from_millis(cast.between(100, 600))).await;
    match fault {
        Fault::ReplicasRolled => {
            let (_, recovery) = tokio::join!(cast.roll_one(), probe.recovery(Sign::Event));
            recovery
        }
        Fault::BrokerKilled => broker_back(probe, "KILL").await,
        Fault::BrokerRestarted => broker_back(probe, "TERM").await,
        Fault::BrokerHangs => {
            servers::tell("rabbitmq", "STOP");
            let stopped = Instant::now();
            cast.notice_broker_down(HEARTBEAT * 3).await;
            sleep((HEARTBEAT * 3).saturating_sub(stopped.elapsed())).await;
            servers::tell("rabbitmq", "CONT");
            probe.recovery(Sign::Event).await
        }
        Fault::PostgresRestarted => postgres_back(probe, "INT").await,
        Fault::PostgresShutImmediately => postgres_back(probe, "QUIT").await,
        Fault::PostgresKilled => postgres_back(probe, "KILL").await,
        Fault::SessionsTerminated => {
            let client = probe.connect().await;
            let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                              where datname = current_database() and application_name = 'channel-sync'";
            client.query_one(terminate, &[]).await.unwrap();
            probe.recovery_over(&client, Sign::Job, Instant::now()).await
        }
        Fault::RowsHeld => {
            let holder = probe.connect().await;
            let hold = "begin; select from setting join organization using (organization_no)
                         where organization_id in ('manager-0-0003', 'manager-1-0005') for update of setting";
            holder.batch_execute(hold).await.unwrap();
            let others = probe.recovery(Sign::Job).await;
            sleep(HELD).await;
            holder.batch_execute("rollback").await.unwrap();
            others
        }
        Fault::TransactionForgotten => {
            let forgetful = probe.connect().await;
            let begin = "begin isolation level repeatable read; select count(*) from letter";
            forgetful.batch_execute(begin).await.unwrap();
            sleep(HELD).await;
            let others = probe.recovery(Sign::Job).await;
            forgetful.batch_execute("rollback").await.unwrap();
            others
        }
        Fault::ReplicaKilled | Fault::QueueDeleted | Fault::ConnectionsClosed | Fault::MemoryAlarm => {
            unreachable!("these have their own way")
        }
    }
}

/// From the broker's port opening to the first new event.
async fn broker_back(probe: &Probe, signal: &str) -> Option<Duration> {
    servers::end("rabbitmq", signal).await;
    servers::broker_listens(false).await;
    let client = probe.connect().await;
    let starting = servers::begin_to_start();
    servers::broker_listens(true).await;
    let recovery = probe.recovery_over(&client, Sign::Event, Instant::now()).await;
    starting.await.unwrap();
    if recovery.is_none() {
        // No replica can do anything about that, nor can the load go on.
        let leaderless = servers::leaderless_queues().await;
        assert!(leaderless.is_empty(), "the broker came back with queues without a leader: {leaderless}");
    }
    recovery
}

/// From the first session of Postgres to the first new job.
async fn postgres_back(probe: &Probe, signal: &str) -> Option<Duration> {
    servers::end("postgres", signal).await;
    let starting = servers::begin_to_start();
    let client = probe.connect().await;
    let recovery = probe.recovery_over(&client, Sign::Job, Instant::now()).await;
    starting.await.unwrap();
    recovery
}

/// Everything that was in the queue is lost by definition. So nothing is published while it is deleted, and then
/// what is not known to be done is published again, in order, as a platform would that keeps an outbox; only
/// after that, anything new.
async fn delete_queue(scene: &mut Scene) -> Option<Duration> {
    scene.stage.publish(50).await;
    scene.stage.settles_within(Duration::from_secs(60)).await;
    scene.stage.publish(400).await;
    scene.stage.vhost.delete_queue(EVENTS).await;
    let started = Instant::now();
    let client = scene.probe.connect().await;
    let probe = scene.probe.clone();
    let publishing = async {
        scene.stage.publish_again().await;
        scene.stage.publish(20).await;
    };
    tokio::join!(publishing, probe.recovery_over(&client, Sign::Event, started)).1
}

async fn close_connections(probe: &Probe, vhost: &str) -> Option<Duration> {
    super::support::broker::close_connections(vhost).await;
    probe.recovery(Sign::Event).await
}

/// A backlog, then the alarm, then the replicas: they must take in and acknowledge all of it while publishers are
/// held back, and told so.
async fn alarm(scene: &mut Scene) -> Option<Duration> {
    scene.cast.stop().await;
    scene.stage.publish(300).await;
    servers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let told = publisher_is_told(scene.stage.vhost.url());
    let started = Instant::now();
    let consuming = async {
        scene.cast.start().await;
        scene.cast.start().await;
        while !scene.stage.is_settled().await.unwrap() && started.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(20)).await;
        }
        let acknowledged = scene.stage.vhost.ready(EVENTS).await == 0;
        acknowledged && scene.stage.is_settled().await.unwrap()
    };
    let (told, consumed) = tokio::join!(told, consuming);
    if !(told && consumed) {
        let found = format!("under the memory alarm: consumed {consumed}, publisher told {told}");
        scene.cast.deaths.push(found);
    }
    servers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    scene.under_load(async |_, probe| probe.recovery(Sign::Event).await).await
}

/// Whether the broker says to a connection that publishes that it does not read from it for now.
async fn publisher_is_told(url: &str) -> bool {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let exchange = Topology::new("channel-sync").events;
    let options = BasicPublishOptions::default();
    // To nobody: what is sent while the alarm lasts is read after it.
    let _ = channel
        .basic_publish(exchange.as_str().into(), "nobody".into(), options, b"?", BasicProperties::default())
        .await;
    for _ in 0..500 {
        if connection.status().blocked() {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}
