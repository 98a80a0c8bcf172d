//! Killed with SIGKILL at every step from the delivery of a message to the commit of what follows from it. A
//! second process takes over, and the audit finds nothing.
//!
//! The step is met exactly: a proxy that reads the protocol holds the very frame, and then the process is killed.

use std::sync::Arc;
use std::time::Duration;

use crate::support::load::Load;
use crate::support::proxy::Proxy;
use crate::support::stage::Stage;
use crate::support::tap::{Step, Tap};
use crate::{start_ready, stop};

/// Where a transaction takes messages in.
const INGEST: &str = "copy event (";
/// Where a transaction saves jobs.
const EXECUTOR: &str = "copy job (";

/// A step that is not met by then never comes.
const DEADLINE: Duration = Duration::from_secs(60);

async fn killed_at(step: Step) {
    let mut stage = Stage::set(Load::new(4, 2, 3)).await;
    let (on_broker, on_postgres) = (Tap::on_broker(), Tap::on_postgres());
    let broker = Proxy::before_broker_with(&on_broker).await;
    let postgres = Proxy::before_postgres_with(&on_postgres).await;
    let through = stage.variables().through_broker_proxy(&broker).through_postgres_proxy(&postgres);
    let mut process = start_ready(&through).await;
    stage.begin().await;
    stage.publish(20).await;
    stage.settle().await;

    let tap: &Arc<Tap> = match step {
        Step::Running(_) | Step::Committing(..) | Step::Committed(..) => &on_postgres,
        _ => &on_broker,
    };
    tap.set(step);
    tokio::select! {
        () = tap.caught() => {}
        // In small bursts, for many transactions.
        () = async { loop { stage.publish(3).await } } => {}
        () = tokio::time::sleep(DEADLINE) => panic!("the step {step:?} was not met within {DEADLINE:?}"),
    }
    process.kill();

    let next = start_ready(&stage.variables()).await;
    stage.publish(20).await;
    stage.settle().await;
    stop(next).await;
    stage.finish().await;
}

#[tokio::test]
async fn while_a_message_is_delivered() {
    killed_at(Step::Delivered).await;
}

#[tokio::test]
async fn before_a_message_is_written() {
    killed_at(Step::Running(INGEST)).await;
}

#[tokio::test]
async fn before_the_commit_of_messages() {
    killed_at(Step::Committing(INGEST, 1)).await;
    killed_at(Step::Committing(INGEST, 3)).await;
}

#[tokio::test]
async fn after_the_commit_of_messages_before_its_answer() {
    killed_at(Step::Committed(INGEST, 1)).await;
    killed_at(Step::Committed(INGEST, 3)).await;
}

#[tokio::test]
async fn after_the_commit_of_messages_before_the_acknowledgement() {
    killed_at(Step::Acknowledging).await;
}

#[tokio::test]
async fn after_the_acknowledgement() {
    killed_at(Step::Acknowledged).await;
}

#[tokio::test]
async fn before_jobs_are_written() {
    killed_at(Step::Running(EXECUTOR)).await;
}

#[tokio::test]
async fn before_the_commit_of_the_first_jobs() {
    killed_at(Step::Committing(EXECUTOR, 1)).await;
}

#[tokio::test]
async fn before_the_commit_of_later_jobs() {
    killed_at(Step::Committing(EXECUTOR, 2)).await;
    killed_at(Step::Committing(EXECUTOR, 5)).await;
}

#[tokio::test]
async fn after_the_commit_of_the_first_jobs_before_its_answer() {
    killed_at(Step::Committed(EXECUTOR, 1)).await;
}

#[tokio::test]
async fn after_the_commit_of_later_jobs_before_its_answer() {
    killed_at(Step::Committed(EXECUTOR, 2)).await;
    killed_at(Step::Committed(EXECUTOR, 5)).await;
}
