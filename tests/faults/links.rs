//! What networks do, on either link: slow, silent, deaf, reset in the middle of a frame, byte by byte. While it
//! lasts the service says that it is not ready, or works on; afterwards everything arrives, once.

use std::time::{Duration, Instant};

use crate::support::broker::eventually;
use crate::support::load::Load;
use crate::support::proxy::{Fault, Proxy};
use crate::support::stage::{HEARTBEAT, Stage};
use crate::support::tap::Direction;
use crate::{start_ready, stop};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Broker,
    Postgres,
}

/// A fault that the service works under.
async fn works_under(link: Link, fault: Fault) {
    let mut stage = Stage::set(Load::new(1, 1, 3)).await;
    let proxy = proxy(link).await;
    let process = start_ready(&match link {
        Link::Broker => stage.variables().through_broker_proxy(&proxy),
        Link::Postgres => stage.variables().through_postgres_proxy(&proxy),
    })
    .await;
    stage.begin().await;
    proxy.set(fault);
    stage.publish(60).await;
    stage.settle().await;
    proxy.restore();
    stage.publish(20).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

/// A fault that the service notices, says, and recovers from without a restart. Returns after how long it said so.
async fn recovers_from(link: Link, fault: Fault) -> Duration {
    let mut stage = Stage::set(Load::new(2, 1, 3)).await;
    let proxy = proxy(link).await;
    let mut process = start_ready(&match link {
        Link::Broker => stage.variables().through_broker_proxy(&proxy),
        Link::Postgres => stage.variables().through_postgres_proxy(&proxy),
    })
    .await;
    stage.begin().await;
    stage.publish(20).await;
    stage.settle().await;
    proxy.set(fault);
    let started = Instant::now();
    stage.publish(60).await;
    let part = if link == Link::Broker { "broker" } else { "database" };
    eventually("the process says what is wrong", async || {
        let health = process.health().await;
        health.is_some_and(|(status, body)| status == 503 && body[part]["status"] == "down")
    })
    .await;
    let noticed = started.elapsed();
    proxy.restore();
    process.ready().await;
    stage.publish(20).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
    noticed
}

/// Resets connections after growing numbers of bytes, the first of them in the middle of the greeting.
async fn survives_resets(link: Link, limits: &[u64]) {
    let mut stage = Stage::set(Load::new(3, 1, 3)).await;
    let proxy = proxy(link).await;
    let process = start_ready(&match link {
        Link::Broker => stage.variables().through_broker_proxy(&proxy),
        Link::Postgres => stage.variables().through_postgres_proxy(&proxy),
    })
    .await;
    stage.begin().await;
    for limit in limits {
        let trouble = || process.log().matches("WARN").count();
        let before = trouble();
        proxy.set(Fault::ResetAfter(*limit));
        // As long as it takes to notice: what is confirmed by then may be in the database or not.
        eventually(&format!("a reset after {limit} bytes is noticed"), async || {
            if trouble() > before {
                return true;
            }
            stage.publish(5).await;
            false
        })
        .await;
        proxy.restore();
        stage.settle().await;
    }
    stop(process).await;
    stage.finish().await;
}

async fn proxy(link: Link) -> Proxy {
    match link {
        Link::Broker => Proxy::before_broker().await,
        Link::Postgres => Proxy::before_postgres().await,
    }
}

/// What a machine with much else to do may need, besides, until a test sees that something was noticed.
const SLACK: Duration = Duration::from_secs(5);

const SLOW: Fault = Fault::Latency(Duration::from_millis(20));

#[tokio::test]
async fn a_slow_link_to_the_broker() {
    works_under(Link::Broker, SLOW).await;
}

#[tokio::test]
async fn a_slow_link_to_postgres() {
    works_under(Link::Postgres, SLOW).await;
}

#[tokio::test]
async fn one_byte_at_a_time_from_the_broker() {
    works_under(Link::Broker, Fault::Trickle).await;
}

#[tokio::test]
async fn one_byte_at_a_time_from_postgres() {
    works_under(Link::Postgres, Fault::Trickle).await;
}

#[tokio::test]
async fn a_broker_that_hangs() {
    let noticed = recovers_from(Link::Broker, Fault::BlackHole).await;
    assert!(noticed < HEARTBEAT * 2 + SLACK, "noticed after {noticed:?}");
}

#[tokio::test]
async fn a_postgres_that_hangs() {
    recovers_from(Link::Postgres, Fault::BlackHole).await;
}

#[tokio::test]
async fn a_broker_that_hears_nothing() {
    recovers_from(Link::Broker, Fault::HalfOpen(Direction::ToServer)).await;
}

#[tokio::test]
async fn a_broker_that_is_not_heard() {
    let noticed = recovers_from(Link::Broker, Fault::HalfOpen(Direction::ToClient)).await;
    assert!(noticed < HEARTBEAT * 2 + SLACK, "noticed after {noticed:?}");
}

#[tokio::test]
async fn a_postgres_that_hears_nothing() {
    recovers_from(Link::Postgres, Fault::HalfOpen(Direction::ToServer)).await;
}

#[tokio::test]
async fn a_postgres_that_is_not_heard() {
    recovers_from(Link::Postgres, Fault::HalfOpen(Direction::ToClient)).await;
}

#[tokio::test]
async fn a_broker_that_closes_every_connection() {
    recovers_from(Link::Broker, Fault::Refuse).await;
}

#[tokio::test]
async fn a_postgres_that_closes_every_connection() {
    recovers_from(Link::Postgres, Fault::Refuse).await;
}

#[tokio::test]
async fn the_link_to_the_broker_is_reset_in_the_middle_of_a_frame() {
    survives_resets(Link::Broker, &[1, 700, 2_001, 5_003, 20_011]).await;
}

#[tokio::test]
async fn the_link_to_postgres_is_reset_in_the_middle_of_a_frame() {
    survives_resets(Link::Postgres, &[1, 700, 3_001, 10_007, 40_009]).await;
}
