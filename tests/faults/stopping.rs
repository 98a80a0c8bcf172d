//! The end of the program: in order by one signal, at once by a second one or when time is up.

use crate::support::broker::eventually;
use crate::support::load::Load;
use crate::support::platform::lines;
use crate::support::process::Process;
use crate::support::proxy::{Fault, Proxy};
use crate::support::stage::{EVENTS, Stage};
use crate::{start_ready, stop};

/// Stops under load; whatever was taken in is acknowledged, and whatever was begun is whole.
async fn stops_in_order_under_load(signal: &str) {
    let mut stage = Stage::set(Load::new(30, 2, 4).without_repetitions()).await;
    // Small batches, so that it stops between many.
    let variables = stage.variables().with("INGEST__BATCH_EVENTS_MAX", "5").with("BROKER__PREFETCH", "50");
    let mut process = start_ready(&variables).await;
    stage.begin().await;
    stage.publish(400).await;
    let begun = format!("select count(*) > {} from event", stage.load.partnerships.len() + 20);
    eventually("it is at work", async || lines(&stage.client, &begun).await == "t\n").await;
    process.signal(signal);
    let status = process.ended().await;
    assert_eq!(status.code(), Some(0), "{}", process.log());
    assert!(process.log().contains("stopped"), "{}", process.log());

    // Each message is either in the queue or in the database.
    let taken = "select (select count(*) from event) + (select count(*) from rejected_message)";
    let taken: usize = lines(&stage.client, taken).await.trim().parse().unwrap();
    let left = stage.vhost.ready(EVENTS).await as usize;
    assert_eq!(taken + left, stage.load.published());
    assert!(left > 0, "it was done before it was stopped");
    let next = start_ready(&variables).await;
    stage.settle().await;
    assert!(!next.log().contains("event seen before"), "{}", next.log());
    stop(next).await;
    stage.finish().await;
}

#[tokio::test]
async fn sigterm_stops_in_order() {
    stops_in_order_under_load("TERM").await;
}

#[tokio::test]
async fn sigint_stops_in_order() {
    stops_in_order_under_load("INT").await;
}

/// A process in the midst of a batch that does not end: its database is silent.
async fn hanging(stage: &mut Stage, postgres: &Proxy, timeout: &str) -> Process {
    let variables =
        stage.variables().through_postgres_proxy(postgres).with("SHUTDOWN__TIMEOUT_SECONDS", timeout);
    let process = start_ready(&variables).await;
    stage.begin().await;
    postgres.set(Fault::BlackHole);
    stage.publish(50).await;
    stage.vhost.ready_becomes(EVENTS, 0).await;
    process.signal("TERM");
    process.logged("stopping").await;
    process
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut stage = Stage::set(Load::new(31, 1, 3)).await;
    let postgres = Proxy::before_postgres().await;
    let mut process = hanging(&mut stage, &postgres, "600").await;
    process.signal("TERM");
    let status = process.ended().await;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    taken_over(stage, postgres).await;
}

#[tokio::test]
async fn its_time_ends_it() {
    let mut stage = Stage::set(Load::new(32, 1, 3)).await;
    let postgres = Proxy::before_postgres().await;
    let mut process = hanging(&mut stage, &postgres, "2").await;
    let status = process.ended().await;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    assert!(process.log().contains("not stopped within 2s"), "{}", process.log());
    taken_over(stage, postgres).await;
}

async fn taken_over(mut stage: Stage, postgres: Proxy) {
    drop(postgres);
    let next = start_ready(&stage.variables()).await;
    stage.settle().await;
    stop(next).await;
    stage.finish().await;
}

#[tokio::test]
async fn rolling_restarts_under_load_lose_and_double_nothing() {
    let mut stage = Stage::set(Load::new(33, 2, 4)).await;
    let mut processes = vec![start_ready(&stage.variables()).await, start_ready(&stage.variables()).await];
    stage.begin().await;
    for _ in 0..6 {
        stage.publish(40).await;
        stop(processes.remove(0)).await;
        stage.publish(40).await;
        processes.push(start_ready(&stage.variables()).await);
    }
    stage.settle().await;
    for process in processes {
        stop(process).await;
    }
    stage.finish().await;
}
