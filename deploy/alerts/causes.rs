//! For each alert, what brings it about and what ends it: the cause as it could come, and the words of `docs/runbook.md`
//! under "Do".

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinHandle;

use super::prometheus::free_address;
use super::rules;
use super::runbook;
use super::scene::{Ground, MANAGER, PARTNER, Scene};
use super::servers;
use super::support::events::{partnership, raw};
use super::support::stage::EVENTS;

/// What the first row is called.
pub(crate) const ALL_IS_WELL: &str = "all is well";

/// How long nothing may be pending where all is well.
const WELL: Duration = Duration::from_secs(60);

/// Takes the locks of all shards from the service, until the session ends.
const ALL_SHARDS: &str = "select pg_advisory_lock(25459, shard) from generate_series(0, 15) shard";

/// Whether none of the rules, as they are deployed, is pending on a service at work.
pub(crate) async fn all_is_well(ground: &Ground) -> bool {
    let mut scene = Scene::set(ground, ALL_IS_WELL, &rules::deployed(), &[]).await;
    let started = Instant::now();
    let mut events = 0;
    while started.elapsed() < WELL {
        scene.publish(MANAGER, 5).await;
        events += 5;
        tokio::time::sleep(Duration::from_millis(200)).await;
        if let Some(alert) = scene.prometheus.alerts().await.first() {
            println!("{ALL_IS_WELL:<17} {} is there:\n{}", alert.name, alert.text());
            return false;
        }
    }
    println!("{ALL_IS_WELL:<17} no rule is pending for {} s, {events} events", WELL.as_secs());
    true
}

/// Brings an alert about, sees it, mends it, and sees it go.
///
/// # Errors
/// What did not happen.
pub(crate) async fn bring_about(ground: &Ground, alert: &str) -> Result<(), String> {
    let keys: &[(&str, &str)] = match alert {
        "PoolExhausted" => &[("HTTP__POOL_SIZE_MAX", "1"), ("DATABASE__LOCK_TIMEOUT_MS", "1000")],
        "QueueLong" => &[("INGEST__BATCH_EVENTS_MAX", "1"), ("BROKER__PREFETCH", "10")],
        "JobsParked" => &[("RETRY__JOB_ATTEMPTS_MAX", "3"), ("RETRY__JOB_DELAY_MS_MAX", "1000")],
        "MailboxOld" => &[("EXECUTOR__BATCH_LETTERS_MAX", "1"), ("EXECUTOR__WORKERS", "1")],
        _ => &[],
    };
    match alert {
        "RetentionFails" => return retention_fails(ground).await,
        "SpansLost" => return spans_lost(ground).await,
        _ => {}
    }
    let scene = Scene::set(ground, alert, &rules::short(), keys).await;
    match alert {
        "ServiceGone" => service_gone(scene).await,
        "ServiceRestarts" => service_restarts(scene).await,
        "FilesRunOut" => files_run_out(scene).await,
        "DatabaseDown" => database_down(scene).await,
        "SamplesOld" => samples_old(scene).await,
        "TransactionOpen" => transaction_open(scene).await,
        "PoolExhausted" => pool_exhausted(scene).await,
        "LinkDown" => link_down(scene).await,
        "LinkUnstable" => link_unstable(scene).await,
        "BrokerBlocked" => broker_blocked(scene).await,
        "QueueNotServed" => queue_not_served(scene).await,
        "QueueLong" => queue_long(scene).await,
        "IngestFails" => ingest_fails(scene).await,
        "MessagesRejected" => messages_rejected(scene).await,
        "JobsParked" => jobs_parked(scene).await,
        "JobsRetrying" => jobs_retrying(scene).await,
        "MailboxOld" => mailbox_old(scene).await,
        "MailboxStalled" => mailbox_stalled(scene).await,
        "PartnersBehind" => partners_behind(scene).await,
        "BatchesFail" => batches_fail(scene).await,
        "ExecutionPaused" => execution_paused(scene).await,
        "PauseForgotten" => pause_forgotten(scene).await,
        "ReplayStuck" => replay_stuck(scene).await,
        "RequestsFail" => requests_fail(scene).await,
        _ => Err("nobody knows how to bring it about".to_owned()),
    }
}

async fn service_gone(mut scene: Scene) -> Result<(), String> {
    scene.stop().await;
    scene.fires().await?;
    scene.start(&[]).await;
    scene.ends_by("started").await
}

async fn service_restarts(mut scene: Scene) -> Result<(), String> {
    for _ in 0..4 {
        let started = scene.prometheus.query("process_start_time_seconds").await.unwrap_or_default();
        scene.kill();
        scene.start(&[]).await;
        scene.prometheus.sees(&format!("process_start_time_seconds > {started}")).await;
    }
    scene.fires().await?;
    scene.ends_by("not killed any more").await
}

async fn files_run_out(mut scene: Scene) -> Result<(), String> {
    let id = scene.service().id();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    // The hard limit stays: to raise that takes more than being root in a container.
    let limit = |files: usize| {
        let arguments = [format!("--pid={id}"), format!("--nofile={files}:")];
        let status = Command::new("prlimit").args(arguments).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "prlimit: {status}");
    };
    limit(open + open / 8);
    scene.fires().await?;
    limit(4_096);
    scene.ends_by("the limit raised by prlimit").await
}

async fn database_down(mut scene: Scene) -> Result<(), String> {
    servers::end("postgres", "INT").await;
    scene.fires().await?;
    servers::begin_to_start().await.unwrap();
    scene.ends_by("Postgres started").await
}

async fn samples_old(mut scene: Scene) -> Result<(), String> {
    let _holder = scene.session("begin; lock table letter in access exclusive mode").await;
    scene.fires().await?;
    // What the runbook says that one sees then.
    let health = scene.service().health().await;
    assert_eq!(health.map(|(code, _)| code), Some(200), "health while a table is held");
    let status = scene.command(&["status"]).await.unwrap_err();
    assert!(status.contains("lock timeout (55P03)"), "{status}");
    scene.terminate(runbook::query("TransactionOpen")).await;
    scene.ends_by("the session that held a table ended").await
}

async fn transaction_open(mut scene: Scene) -> Result<(), String> {
    let _forgetful =
        scene.session("begin isolation level repeatable read; select count(*) from letter").await;
    scene.fires().await?;
    // It tells of what has been open for a minute.
    let pid = loop {
        let status = scene.ask(&["status"]).await?;
        if let Some(pid) = status["transactions"][0]["pid"].as_i64() {
            break pid;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    scene.execute(&format!("select pg_terminate_backend({pid})")).await;
    scene.ends_by("the session that `status` named ended").await
}

async fn pool_exhausted(mut scene: Scene) -> Result<(), String> {
    let _holder = scene.session("begin; lock table setting in access exclusive mode").await;
    let clients: Vec<Client> =
        (0..4).map(|_| Client::asks(&scene, "/api/v1/organizations/manager/settings")).collect();
    scene.fires().await?;
    scene.stop().await;
    scene.start(&[("HTTP__POOL_SIZE_MAX", "8")]).await;
    scene.ends_by("http.pool_size_max raised").await?;
    drop(clients);
    Ok(())
}

async fn link_down(mut scene: Scene) -> Result<(), String> {
    servers::end("rabbitmq", "TERM").await;
    scene.fires().await?;
    servers::begin_to_start().await.unwrap();
    scene.ends_by("RabbitMQ started").await
}

async fn link_unstable(mut scene: Scene) -> Result<(), String> {
    for _ in 0..5 {
        let lost = scene.prometheus.query("channel_sync_link_lost_total").await.unwrap();
        scene.stage.vhost.delete_queue(EVENTS).await;
        let again = format!("channel_sync_link_lost_total > {lost} and channel_sync_link_up == 1");
        scene.prometheus.sees(&again).await;
    }
    scene.fires().await?;
    scene.ends_by("the queue is not deleted any more").await
}

async fn broker_blocked(mut scene: Scene) -> Result<(), String> {
    // Its own plugin tells of its alarms, at the port that is scraped. The file is written anew at its next start.
    let (host, port) = scene.rabbitmq.split_once(':').unwrap();
    let enable = format!(
        "{{ok, File}} = application:get_env(rabbit, enabled_plugins_file), {{ok, [Plugins]}} = file:consult(File),
         ok = file:write_file(File, io_lib:format(\"~p.~n\", [[rabbitmq_prometheus | Plugins]])),
         application:load(rabbitmq_prometheus),
         application:set_env(rabbitmq_prometheus, tcp_config, [{{ip, \"{host}\"}}, {{port, {port}}}]),
         rabbit_plugins:ensure(File)."
    );
    servers::rabbitmqctl(&["eval", &enable]).await;
    scene.prometheus.sees("rabbitmq_alarms_memory_used_watermark == 0").await;
    servers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let fired = scene.fires().await;
    servers::rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    fired?;
    scene.ends_by("memory again").await
}

async fn queue_not_served(mut scene: Scene) -> Result<(), String> {
    // Of those that consume, the one that came first is served.
    scene.stop().await;
    let foreign =
        Connection::connect(scene.stage.vhost.url(), ConnectionProperties::default()).await.unwrap();
    let channel = foreign.create_channel().await.unwrap();
    channel.basic_qos(1, BasicQosOptions::default()).await.unwrap();
    let consuming = channel.basic_consume(
        EVENTS.into(),
        "somebody".into(),
        BasicConsumeOptions::default(),
        Default::default(),
    );
    let _consumer = consuming.await.unwrap();
    scene.start(&[]).await;
    scene.publish(MANAGER, 3).await;
    scene.fires().await?;
    let consumers = servers::rabbitmqctl(&["list_consumers", "-p", scene.stage.vhost.name()]).await;
    let active = |tag: &str, active: &str| {
        consumers.lines().any(|line| line.contains(tag) && line.contains(&format!("\t{active}\t")))
    };
    assert!(active("somebody", "true") && active("channel-sync", "false"), "{consumers}");
    foreign.close(200, "goodbye".into()).await.unwrap();
    scene.ends_by("the consumer that is not ours stopped").await
}

async fn queue_long(mut scene: Scene) -> Result<(), String> {
    scene.publish(MANAGER, 20_000).await;
    scene.fires().await?;
    scene.stop().await;
    scene.start(&[("INGEST__BATCH_EVENTS_MAX", "500"), ("BROKER__PREFETCH", "1000")]).await;
    scene.ends_by("ingest.batch_events_max raised").await
}

/// A trigger on a table that raises an error of this SQLSTATE.
fn refusal(table: &str, sqlstate: &str, message: &str) -> String {
    format!(
        "create function refuse() returns trigger language plpgsql as $$ begin
             raise exception '{message}' using errcode = '{sqlstate}';
         end $$;
         create trigger refuse before insert or update on {table} for each row execute function refuse()"
    )
}

async fn ingest_fails(mut scene: Scene) -> Result<(), String> {
    scene.execute(&refusal("event", "53100", "could not extend file: No space left on device")).await;
    scene.publish(MANAGER, 3).await;
    scene.fires().await?;
    scene.service().logged("take in a batch").await;
    scene.execute("drop function refuse cascade").await;
    scene.ends_by("what refused the events mended").await
}

async fn messages_rejected(mut scene: Scene) -> Result<(), String> {
    scene.stage.send(vec![raw(b"{")]).await;
    scene.send("circle", partnership("circle", PARTNER, MANAGER, "strict")).await;
    scene.fires().await?;
    // One is of no use; the other is good once the partnership has ended that was in the way.
    let rejected = scene.ask(&["rejected", "list"]).await?;
    for message in rejected.as_array().unwrap() {
        let (id, code) = (message["rejected_id"].to_string(), message["code"].as_str().unwrap());
        let why = ["--reason", "the publisher knows", "--yes"];
        if code == "partnership-cycle" {
            scene.send("ends", partnership("ends", MANAGER, PARTNER, "ended")).await;
            scene.is_done().await;
            scene.command(&[&["rejected", "replay", &id][..], &why].concat()).await?;
        } else {
            scene.command(&[&["rejected", "discard", &id][..], &why].concat()).await?;
        }
    }
    scene.ends_by("one discarded, one replayed").await
}

async fn jobs_parked(mut scene: Scene) -> Result<(), String> {
    scene.execute(&refusal("setting", "23514", "it is full")).await;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    scene.execute("drop function refuse cascade").await;
    let failed = scene.ask(&["jobs", "list", "--state", "failed"]).await?;
    let key = failed[0]["idempotency_key"].as_str().unwrap();
    scene.command(&["jobs", "show", key]).await?;
    scene.command(&["jobs", "replay", key, "--reason", "there is room again", "--yes"]).await?;
    scene.ends_by("replayed").await
}

async fn jobs_retrying(mut scene: Scene) -> Result<(), String> {
    scene.execute(&refusal("setting", "23514", "it is full")).await;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    scene.execute("drop function refuse cascade").await;
    let retrying = scene.ask(&["jobs", "list", "--state", "retrying"]).await?;
    let key = retrying[0]["idempotency_key"].as_str().unwrap();
    scene.command(&["jobs", "replay", key, "--reason", "there is room again", "--yes"]).await?;
    scene.ends_by("the trigger dropped, and the job tried at once").await
}

async fn mailbox_old(mut scene: Scene) -> Result<(), String> {
    scene.publish(MANAGER, 6_000).await;
    scene.fires().await?;
    scene.start_another().await;
    scene.ends_by("another replica, with larger batches").await
}

async fn mailbox_stalled(mut scene: Scene) -> Result<(), String> {
    // While all is paused, nothing is due.
    scene.command(&["pause", "--all", "--reason", "to see"]).await?;
    scene.publish(MANAGER, 1).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    if scene.prometheus.alerts().await.iter().any(|alert| alert.name == "MailboxStalled") {
        return Err("is there though all execution is paused".to_owned());
    }
    scene.command(&["resume", "--all"]).await?;
    scene.is_done().await;
    let _holder = scene.session(ALL_SHARDS).await;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    scene.terminate(runbook::query("MailboxStalled")).await;
    scene.ends_by("the session that held the advisory locks ended").await
}

async fn partners_behind(mut scene: Scene) -> Result<(), String> {
    scene.command(&["pause", PARTNER, "--reason", "to see"]).await?;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    let freshness = scene.ask(&["freshness"]).await?;
    assert_eq!(freshness[0]["paused"], true, "{freshness}");
    scene.command(&["resume", PARTNER]).await?;
    scene.ends_by("resumed").await
}

async fn batches_fail(mut scene: Scene) -> Result<(), String> {
    let _holder = scene.session("begin; lock table setting in access exclusive mode").await;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    scene.service().logged("work off a batch").await;
    scene.terminate(runbook::query("TransactionOpen")).await;
    scene.ends_by("the session that locked a table ended").await
}

/// The service works as the worker of `deploy/postgres/roles.sql`, who may not do what it must.
async fn retention_fails(ground: &Ground) -> Result<(), String> {
    let stage = Scene::stage().await;
    let own = stage.database.url().to_owned();
    let give_roles = || {
        let output =
            Command::new("psql").args(["-X", &own, "-f", "deploy/postgres/roles.sql"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    };
    give_roles();
    let revoke = "revoke execute on function job_day_begin from channel_sync_worker";
    stage.client.batch_execute(revoke).await.unwrap();
    let mut url = url::Url::parse(&own).unwrap();
    url.set_username("channel_sync_worker").unwrap();
    let keys = [("DATABASE__URL", url.as_str())];
    let mut scene = Scene::over(stage, ground, "RetentionFails", &rules::short(), &keys).await;
    scene.fires().await?;
    scene.service().logged("look after the days of results").await;
    give_roles();
    scene.ends_by("deploy/postgres/roles.sql run again").await
}

async fn execution_paused(mut scene: Scene) -> Result<(), String> {
    scene.command(&["pause", "--all", "--reason", "to see"]).await?;
    scene.publish(MANAGER, 1).await;
    scene.fires().await?;
    scene.command(&["resume", "--all"]).await?;
    scene.ends_by("resumed").await
}

async fn pause_forgotten(mut scene: Scene) -> Result<(), String> {
    scene.command(&["pause", PARTNER, "--reason", "to see"]).await?;
    scene.fires().await?;
    scene.command(&["resume", PARTNER]).await?;
    scene.ends_by("resumed").await
}

async fn replay_stuck(mut scene: Scene) -> Result<(), String> {
    let replay =
        ["jobs", "replay", "--organization", PARTNER, "--kind", "sync-change", "--state", "succeeded"];
    let replay = [&replay[..], &["--reason", "to see", "--yes", "--no-wait"]].concat();
    // Where its organization is paused, a replay goes on.
    scene.command(&["pause", PARTNER, "--reason", "to see"]).await?;
    scene.command(&replay).await?;
    scene.becomes("select bool_and(state = 'done') from replay").await;
    scene.command(&["resume", PARTNER]).await?;
    scene.is_done().await;
    let _holder = scene.session(ALL_SHARDS).await;
    scene.command(&replay).await?;
    scene.fires().await?;
    let replays = scene.ask(&["replays", "list"]).await?;
    assert_eq!(replays[0]["state"], "running", "{replays}");
    scene.service().logged("send jobs of a replay").await;
    scene.command(&["replays", "cancel", &replays[0]["replay_no"].to_string()]).await?;
    scene.ends_by("cancelled").await?;
    scene.command(&replay).await?;
    scene.fires().await?;
    scene.terminate(runbook::query("MailboxStalled")).await;
    scene.ends_by("the session that held the advisory locks ended").await
}

async fn requests_fail(mut scene: Scene) -> Result<(), String> {
    let client = Client::asks(&scene, "/api/v1/status");
    servers::end("postgres", "INT").await;
    scene.fires().await?;
    servers::begin_to_start().await.unwrap();
    scene.ends_by("Postgres started").await?;
    drop(client);
    Ok(())
}

async fn spans_lost(ground: &Ground) -> Result<(), String> {
    let address = free_address();
    let endpoint = format!("http://{address}");
    let keys = [("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str())];
    let mut scene = Scene::set(ground, "SpansLost", &rules::short(), &keys).await;
    scene.publish(MANAGER, 20).await;
    scene.fires().await?;
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    let collector = Router::new().route("/v1/traces", post(async || ()));
    let collecting = tokio::spawn(async move { axum::serve(listener, collector).await });
    scene.publish(MANAGER, 20).await;
    scene.prometheus.sees("channel_sync_trace_spans_total{outcome=\"exported\"} > 0").await;
    let ended = scene.ends_by("the collector started").await;
    collecting.abort();
    ended
}

/// Somebody who asks for the same again and again, until he is dropped.
struct Client(JoinHandle<()>);

impl Client {
    fn asks(scene: &Scene, path: &str) -> Self {
        let url = format!("http://{}{path}", scene.address);
        Self(tokio::spawn(async move {
            loop {
                let _ = reqwest::get(&url).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.abort();
    }
}
