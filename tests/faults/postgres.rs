//! Postgres misbehaves, or somebody in it does: sessions terminated, connections refused, rows locked,
//! transactions forgotten. And the servers come up in any order.

use std::time::Duration;

use channel_sync::config::Config;
use channel_sync::store::Store;

use crate::support::broker::eventually;
use crate::support::database::admin_client;
use crate::support::load::Load;
use crate::support::platform::lines;
use crate::support::proxy::{Fault, Proxy, server};
use crate::support::stage::{EVENTS, Stage};
use crate::{start, start_ready, stop};

fn name(stage: &Stage) -> String {
    stage.database.url().rsplit('/').next().unwrap().to_owned()
}

/// Ends all sessions of the database but the stage's own.
async fn terminate(stage: &Stage) -> i64 {
    let own: i32 = stage.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                      where datname = $1 and pid <> $2 and backend_type = 'client backend'";
    admin_client().await.query_one(terminate, &[&name(stage), &own]).await.unwrap().get(0)
}

#[tokio::test]
async fn sessions_that_are_terminated_at_work_lose_and_double_nothing() {
    let mut stage = Stage::set(Load::new(20, 2, 4)).await;
    let one = start_ready(&stage.variables()).await;
    let other = start_ready(&stage.variables()).await;
    stage.begin().await;
    for _ in 0..15 {
        stage.publish(15).await;
        // Between two attempts there may be none.
        eventually("a session is terminated", async || terminate(&stage).await > 0).await;
    }
    stage.settle().await;
    stop(one).await;
    stop(other).await;
    stage.finish().await;
}

#[tokio::test]
async fn while_postgres_refuses_connections_nothing_is_acknowledged_and_health_says_why() {
    let mut stage = Stage::set(Load::new(21, 1, 3)).await;
    let mut process = start_ready(&stage.variables().with("BROKER__PREFETCH", "10")).await;
    stage.begin().await;
    let before = stage.load.published();
    let admin = admin_client().await;
    let allow = |allowed: bool| format!("alter database {} allow_connections {allowed}", name(&stage));
    let (refuse, allow) = (allow(false), allow(true));
    admin.batch_execute(&refuse).await.unwrap();
    terminate(&stage).await;
    stage.publish(50).await;
    eventually("health says why", async || {
        let health = process.health().await;
        health.is_some_and(|(status, body)| {
            let reason = body["database"]["reason"].as_str().unwrap_or_default();
            status == 503 && reason.contains("not currently accepting connections")
        })
    })
    .await;
    stage.vhost.ready_becomes(EVENTS, 40).await;
    let taken = lines(&stage.client, "select count(*) from event").await;
    assert_eq!(taken, format!("{before}\n"));
    admin.batch_execute(&allow).await.unwrap();
    process.ready().await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_row_that_a_foreign_session_has_locked_delays_its_organization_alone() {
    let mut stage = Stage::set(Load::new(22, 1, 20)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    stage.publish(60).await;
    stage.settle().await;
    let holder = stage.database.client().await;
    let lock = "begin; set search_path = channel_sync;
                select from setting join organization using (organization_no)
                 where organization_id = 'manager-0-0007' for update of setting";
    holder.batch_execute(lock).await.unwrap();
    stage.publish(40).await;
    let others = "select count(*) from letter
                    left join organization using (organization_no)
                   where organization_id is distinct from 'manager-0-0007'";
    let held = "select count(*) > 0 from letter join organization using (organization_no)
                 where organization_id = 'manager-0-0007'";
    let all = format!("select count(*) >= {} from event", stage.load.published() - stage.load.bad.len());
    eventually("all others are done", async || {
        lines(&stage.client, &all).await == "t\n"
            && lines(&stage.client, others).await == "0\n"
            && lines(&stage.client, held).await == "t\n"
    })
    .await;
    holder.batch_execute("rollback").await.unwrap();
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_forgotten_transaction_stops_nobody() {
    let mut stage = Stage::set(Load::new(23, 2, 10)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    let forgetful = stage.database.client().await;
    let begin = "begin isolation level repeatable read; select count(*) from channel_sync.letter";
    forgetful.batch_execute(begin).await.unwrap();
    for _ in 0..10 {
        stage.publish(50).await;
        stage.settle().await;
    }
    forgetful.batch_execute("rollback").await.unwrap();
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_connection_that_died_while_it_rested_is_given_up_for_a_new_one() {
    let stage = Stage::set(Load::new(25, 1, 1)).await;
    let (way, near) = (Proxy::before_postgres().await, Proxy::before_postgres().await);
    way.aim(&format!("127.0.0.1:{}", near.port()));
    let variables = stage.variables().through_postgres_proxy(&way);
    let variables = variables.with("DATABASE__CONNECT_TIMEOUT_SECONDS", "1");
    let config = Config::load(None, variables.pairs().into_iter()).unwrap().database;
    let store = Store::new(&config).unwrap();
    store.ping().await.unwrap();

    // The connection is silent from now on, as after a failover that closed nothing. New ones arrive.
    near.set(Fault::BlackHole);
    way.aim(&server("DATABASE_URL", 5432));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let answer = tokio::time::timeout(config.statement_timeout, store.ping()).await;
    answer.expect("a statement is given to a connection that answers").unwrap();
}

#[tokio::test]
async fn the_service_comes_first_then_postgres_then_the_broker() {
    comes_up_in_order(true).await;
}

#[tokio::test]
async fn the_service_comes_first_then_the_broker_then_postgres() {
    comes_up_in_order(false).await;
}

async fn comes_up_in_order(postgres_first: bool) {
    let mut stage = Stage::set(Load::new(24, 1, 3)).await;
    let broker = Proxy::closed_before_broker().await;
    let postgres = Proxy::closed_before_postgres().await;
    let variables = stage.variables().through_broker_proxy(&broker).through_postgres_proxy(&postgres);
    let mut process = start(&variables);
    eventually("the process says that nothing is there", async || {
        let health = process.health().await;
        health.is_some_and(|(status, body)| {
            let down = |part: &str| body[part]["status"] == "down";
            status == 503 && down("database") && down("broker")
        })
    })
    .await;
    if postgres_first {
        postgres.open();
        eventually("the database is there, the broker is not", async || {
            let health = process.health().await;
            health.is_some_and(|(status, body)| status == 503 && body["database"]["status"] == "up")
        })
        .await;
        broker.open();
    } else {
        broker.open();
        process.logged("prepare the database").await;
        assert_eq!(process.health().await.map(|(status, _)| status), Some(503));
        postgres.open();
    }
    process.ready().await;
    stage.begin().await;
    stage.publish(20).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}
