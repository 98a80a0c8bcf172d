//! Killed in the middle of a repair: the command that asks for it, before and after it is committed; and the service, while
//! it does it. Afterwards nothing differs, and nothing was done twice.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::support::load::Load;
use crate::support::proxy::Proxy;
use crate::support::stage::{Stage, Variables};
use crate::support::tap::{Step, Tap};
use crate::{start_ready, stop};

/// Where the command makes the jobs.
const REPAIR: &str = "'repair-' || event_no";
/// Where an executor saves jobs.
const EXECUTOR: &str = "copy job (";

/// The first two partners of each manager lose what they have.
const TAMPER: &str = "
    delete from setting
     where origin_no is not null
       and organization_no in (select downstream_no from partnership where downstream_no % 3 < 2)";

fn command(variables: &Variables) -> Child {
    Command::new(Path::new(env!("CARGO_BIN_EXE_channel-sync")))
        .args(["verify", "--repair", "--yes", "--reason", "a backup was restored", "--by", "ana"])
        .envs(variables.pairs())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn count(stage: &Stage, query: &str) -> i64 {
    stage.client.query_one(query, &[]).await.unwrap().get(0)
}

/// The stage with a service that has done everything, and partners that differ.
async fn tampered(seed: u64) -> (Stage, crate::support::process::Process) {
    let mut stage = Stage::set(Load::new(seed, 2, 3)).await;
    let process = start_ready(&stage.variables()).await;
    stage.begin().await;
    stage.publish(30).await;
    stage.settle().await;
    stage.client.batch_execute(TAMPER).await.unwrap();
    (stage, process)
}

/// Nothing differs, each repair was done once, and the load came out as it must.
async fn is_sound(mut stage: Stage, process: crate::support::process::Process, repairs: i64) {
    stage.publish(10).await;
    stage.settle().await;
    let jobs = "select count(*) from job_view
                 where event_id like 'repair-%' and kind = 'reconcile' and state = 'succeeded'";
    assert_eq!(count(&stage, jobs).await, repairs);
    let events = "select count(*) from event where source = 'channel-sync'";
    assert_eq!(count(&stage, events).await, repairs);
    let said =
        "select coalesce(sum(jsonb_array_length(subject -> 'repairs')), 0)::bigint from operator_action";
    assert_eq!(count(&stage, said).await, repairs, "written down with what was done");
    stop(process).await;
    // The audit knows of no events but its own.
    let forget = "delete from job j using change c, event e
                   where j.cause_no = c.change_no and c.event_no = e.event_no and e.source = 'channel-sync';
                  delete from change where event_no in (select event_no from event where source = 'channel-sync');
                  delete from event where source = 'channel-sync'";
    stage.client.batch_execute(forget).await.unwrap();
    stage.finish().await;
}

/// Repairs until nothing is left to be repaired.
async fn repair(stage: &Stage) {
    let mut command = command(&stage.variables());
    let status = tokio::task::spawn_blocking(move || command.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

async fn drifted(stage: &Stage) -> i64 {
    let query = "select count(distinct downstream_no)
                   from partnership p
                   join setting u on u.organization_no = p.upstream_no
                   join category c on c.name = u.category and c.reach = 'ongoing'
                  where p.mode = 'strict'
                    and not exists (select from setting d
                                     where d.organization_no = p.downstream_no
                                       and d.category = u.category
                                       and d.key = u.key
                                       and d.value_id = u.value_id)";
    count(stage, query).await
}

#[tokio::test]
async fn the_command_is_killed_before_its_commit() {
    let (stage, process) = tampered(1).await;
    let tap = Tap::at(Step::Committing(REPAIR, 1));
    let proxy = Proxy::before_postgres_with(&tap).await;
    let mut killed = command(&stage.variables().through_postgres_proxy(&proxy));
    tap.caught().await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(count(&stage, "select count(*) from event where source = 'channel-sync'").await, 0);
    let repairs = drifted(&stage).await;
    assert!(repairs > 1, "{repairs}");
    drop(proxy);
    repair(&stage).await;
    let made = count(&stage, "select count(*) from event where source = 'channel-sync'").await;
    assert!(made >= repairs, "{made} of {repairs}");
    is_sound(stage, process, made).await;
}

#[tokio::test]
async fn the_command_is_killed_after_its_commit() {
    let (mut stage, process) = tampered(2).await;
    let tap = Tap::at(Step::Committed(REPAIR, 1));
    let proxy = Proxy::before_postgres_with(&tap).await;
    let mut killed = command(&stage.variables().through_postgres_proxy(&proxy));
    tap.caught().await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(proxy);
    stage.settle().await;
    assert_eq!(drifted(&stage).await, 0);
    let made = count(&stage, "select count(*) from event where source = 'channel-sync'").await;
    // Asked for again, nothing is left to be done.
    repair(&stage).await;
    is_sound(stage, process, made).await;
}

#[tokio::test]
async fn the_service_is_killed_while_it_repairs() {
    let (stage, process) = tampered(3).await;
    stop(process).await;
    repair(&stage).await;
    let made = count(&stage, "select count(*) from event where source = 'channel-sync'").await;
    assert!(made > 1, "{made}");
    let tap: Arc<Tap> = Tap::at(Step::Committing(EXECUTOR, 1));
    let proxy = Proxy::before_postgres_with(&tap).await;
    let mut killed = crate::start(&stage.variables().through_postgres_proxy(&proxy));
    tap.caught().await;
    killed.kill();
    drop(proxy);
    let process = start_ready(&stage.variables()).await;
    is_sound(stage, process, made).await;
}
