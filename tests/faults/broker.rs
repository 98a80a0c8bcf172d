//! The broker misbehaves, or its operator does: queues deleted, connections closed, deliveries that never end.

use channel_sync::broker::Consumer;

use crate::support::broker::{broker_config, eventually};
use crate::support::load::Load;
use crate::support::proxy::{Fault, Proxy};
use crate::support::stage::{DEAD_LETTER, EVENTS, Stage};
use crate::support::tap::{Step, Tap};
use crate::{start, start_ready, stop};

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again_and_consumed() {
    let mut stage = Stage::set(Load::new(10, 1, 3)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    for _ in 0..3 {
        stage.publish(20).await;
        stage.settle().await;
        // With messages in it that are lost by definition: the platform publishes again what is not accounted for.
        stage.publish(100).await;
        stage.vhost.delete_queue(EVENTS).await;
        stage.publish_again().await;
        stage.settle().await;
    }
    assert!(process.log().contains("the broker ended the delivery"), "{}", process.log());
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_queue_without_a_leader_is_called_that_and_tried_again() {
    let mut stage = Stage::set(Load::new(15, 1, 3)).await;
    let tap = Tap::at(Step::Consuming);
    let broker = Proxy::before_broker_with(&tap).await;
    let variables = stage.variables().through_broker_proxy(&broker);
    let mut process = start(&variables.with("BROKER__CONNECT_TIMEOUT_SECONDS", "2"));
    eventually("health says what the broker does not answer", async || {
        process.health().await.is_some_and(|(status, body)| {
            let reason = body["broker"]["reason"].as_str().unwrap_or_default();
            status == 503 && reason.contains("from a quorum queue that has no leader")
        })
    })
    .await;
    stage.begin().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn connections_that_the_operator_closes_are_made_anew() {
    let mut stage = Stage::set(Load::new(11, 1, 3)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    for _ in 0..3 {
        stage.publish(50).await;
        assert!(!stage.vhost.close_connections().await.is_empty());
        stage.publish(50).await;
        stage.settle().await;
    }
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_taken_while_postgres_is_away_and_nothing_acknowledged() {
    let mut stage = Stage::set(Load::new(12, 1, 3)).await;
    let postgres = Proxy::before_postgres().await;
    let variables = stage.variables().through_postgres_proxy(&postgres).with("BROKER__PREFETCH", "10");
    let mut process = start_ready(&variables).await;
    stage.begin().await;
    stage.vhost.ready_becomes(EVENTS, 0).await;
    postgres.set(Fault::Refuse);
    stage.publish(50).await;
    stage.vhost.ready_becomes(EVENTS, 40).await;
    let pauses = || process.log().matches("take in a batch").count();
    let before = pauses();
    eventually("several attempts more", async || pauses() >= before + 5).await;
    assert_eq!(stage.vhost.ready(EVENTS).await, 40);
    // None of the ten was acknowledged: without the process, all are there.
    process.kill();
    stage.vhost.ready_becomes(EVENTS, 50).await;
    postgres.restore();
    let process = start_ready(&variables).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_crash_loop_loses_nothing_and_sends_nothing_to_the_dead_letters() {
    let mut stage = Stage::set(Load::new(13, 1, 3)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    stop(process).await;
    stage.publish(30).await;
    let config = broker_config(stage.vhost.url());
    for generation in 1..=15 {
        let mut consumer = Consumer::open(&config, generation).await.unwrap();
        // Without a goodbye, as when the process is killed.
        consumer.next_batch(100).await.unwrap();
    }
    let process = start_ready(&stage.variables()).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn what_is_delivered_too_often_is_kept_among_the_dead_letters() {
    let mut stage = Stage::set(Load::new(14, 1, 1)).await;
    let all = 5;
    stage.publish(all).await;
    let config = broker_config(stage.vhost.url());
    for generation in 1..=21 {
        let mut consumer = Consumer::open(&config, generation).await.unwrap();
        let mut taken = 0;
        while taken < all {
            taken += consumer.next_batch(100).await.unwrap().len();
        }
    }
    stage.vhost.ready_becomes(DEAD_LETTER, all as u32).await;
    stage.vhost.ready_becomes(EVENTS, 0).await;
}
