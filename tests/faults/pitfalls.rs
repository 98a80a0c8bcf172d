//! Traps of the libraries and servers beneath the service, as far as no other test would notice that one of them is
//! open again. `docs/faults.md` lists all of them, with the test for each.

use std::sync::Arc;
use std::time::Duration;

use channel_sync::contract::Limits;
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::{BatchLimits, Executor};
use channel_sync::flow::ingest::Ingest;
use channel_sync::store::Store;
use channel_sync::store::statements::ALL;
use serde_json::json;
use tokio_postgres::AsyncMessage;

use crate::support::broker::eventually;
use crate::support::database::Database;
use crate::support::events::edit;
use crate::support::load::Load;
use crate::support::platform::{LOCK_TIMEOUT, RETRY, lines};
use crate::support::proxy::Proxy;
use crate::support::stage::{EVENTS, Stage};
use crate::support::tap::{Step, Tap};
use crate::{start_ready, stop};

#[tokio::test]
async fn a_channel_that_the_broker_closes_is_built_anew_with_all_that_hangs_on_it() {
    let mut stage = Stage::set(Load::new(40, 1, 3)).await;
    let tap = Tap::on_broker();
    let broker = Proxy::before_broker_with(&tap).await;
    let mut process = start_ready(&stage.variables().through_broker_proxy(&broker)).await;
    stage.begin().await;
    let ups = || process.log().matches("the link to the broker is up").count();
    assert_eq!(ups(), 1);
    tap.set(Step::ClosingChannel);
    tap.caught().await;
    stage.publish(50).await;
    stage.settle().await;
    assert_eq!(ups(), 2, "{}", process.log());
    process.ready().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_consumer_that_gets_nothing_though_messages_wait_is_built_anew() {
    let mut stage = Stage::set(Load::new(41, 1, 3)).await;
    let tap = Tap::on_broker();
    let broker = Proxy::before_broker_with(&tap).await;
    let variables = stage.variables().through_broker_proxy(&broker);
    // No heartbeat would tell: the connection is sound.
    let variables = variables.with("BROKER__WATCHDOG_SECONDS", "1").with("BROKER__PREFETCH", "5");
    let process = start_ready(&variables).await;
    stage.begin().await;
    tap.set(Step::LosingDeliveries);
    stage.publish(20).await;
    tap.caught().await;
    stage.settle().await;
    assert!(process.log().contains("look after the queue"), "{}", process.log());
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn an_acknowledgement_that_is_never_written_is_given_up_with_its_link() {
    let mut stage = Stage::set(Load::new(46, 1, 3)).await;
    let tap = Tap::on_broker();
    let broker = Proxy::before_broker_with(&tap).await;
    let variables = stage.variables().through_broker_proxy(&broker);
    // A blocked connection sends no heartbeats either: the broker must not be the first to give it up.
    let process = start_ready(&variables.with("BROKER__HEARTBEAT_SECONDS", "60")).await;
    stage.begin().await;
    tap.set(Step::Blocking);
    stage.publish(20).await;
    tap.caught().await;
    process.logged("acknowledge: no answer within").await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

#[tokio::test]
async fn the_link_that_consumes_never_publishes_and_puts_nothing_back() {
    let mut stage = Stage::set(Load::new(42, 1, 3)).await;
    let tap = Tap::on_broker();
    let broker = Proxy::before_broker_with(&tap).await;
    let process = start_ready(&stage.variables().through_broker_proxy(&broker)).await;
    stage.begin().await;
    stage.publish(200).await;
    stage.settle().await;
    stop(process).await;
    let methods = tap.methods();
    let called = |class: u16, method: u16| methods.get(&(class, method)).copied().unwrap_or_default();
    // Publish: an alarm of the broker would hold back the acknowledgements, too.
    assert_eq!(called(60, 40), 0);
    // Reject, recover, nack: a message that is put back may end behind all others.
    assert_eq!([called(60, 90), called(60, 100), called(60, 110), called(60, 120)], [0; 4]);
    // Acknowledge: some, and far fewer than messages.
    let acknowledged = called(60, 80);
    assert!((1..100).contains(&acknowledged), "{acknowledged} acknowledgements of more than 200 messages");
    stage.finish().await;
}

#[tokio::test]
async fn every_session_has_time_limits_and_plans_for_the_parameters_at_hand() {
    let mut stage = Stage::set(Load::new(43, 1, 3)).await;
    let tap = Tap::on_postgres();
    let postgres = Proxy::before_postgres_with(&tap).await;
    let process = start_ready(&stage.variables().through_postgres_proxy(&postgres)).await;
    stage.begin().await;
    stop(process).await;
    let startups = tap.startups();
    assert!(startups.len() > 2, "{startups:?}");
    for startup in startups {
        let settings = [
            "statement_timeout=60000",
            "lock_timeout=200",
            "idle_in_transaction_session_timeout=30000",
            "plan_cache_mode=force_custom_plan",
        ];
        for setting in settings {
            assert!(startup.contains(setting), "no {setting} in {startup}");
        }
    }
    stage.finish().await;
}

/// Makes the insertion of an event fail with this SQLSTATE.
fn refuse_events(sql_state: &str) -> String {
    format!(
        "create or replace function channel_sync.refuse() returns trigger language plpgsql as $$ begin
             raise exception 'refused' using errcode = '{sql_state}';
         end $$;
         create or replace trigger refuse before insert on channel_sync.event
             for each row execute function channel_sync.refuse()"
    )
}

#[tokio::test]
async fn a_batch_in_which_a_statement_failed_is_neither_committed_nor_acknowledged() {
    let mut stage = Stage::set(Load::new(44, 1, 3)).await;
    let mut process = start_ready(&stage.variables()).await;
    stage.begin().await;
    let before = stage.load.published();
    stage.client.batch_execute(&refuse_events("40001")).await.unwrap();
    stage.publish(20).await;
    let attempts = || process.log().matches("refused (40001)").count();
    eventually("several attempts", async || attempts() >= 5).await;
    process.kill();
    stage.vhost.ready_becomes(EVENTS, 20).await;
    let taken = "select (select count(*) from event) + (select count(*) from rejected_message)";
    assert_eq!(lines(&stage.client, taken).await, format!("{before}\n"));
    stage.client.batch_execute("drop trigger refuse on event").await.unwrap();
    let process = start_ready(&stage.variables()).await;
    stage.settle().await;
    stop(process).await;
    stage.finish().await;
}

fn ingest(database: &Database) -> Ingest<Store> {
    Ingest::new(database.store(), Arc::new(Catalogue::parse(BUILT_IN).unwrap()), Limits::default())
}

#[tokio::test]
async fn what_passes_by_itself_is_told_from_what_the_data_is_to_blame_for() {
    let database = Database::create().await;
    let client = database.client().await;
    let ingest = ingest(&database);
    let incoming = ingest.decode([edit("e", "helios", "equipment", &[("m", json!(1))])]);
    // (SQLSTATE, whether it passes by itself, whether the data is to blame)
    let cases = [
        ("40001", true, false),
        ("40P01", true, false),
        ("55P03", true, false),
        ("57P01", true, false),
        ("57P02", true, false),
        ("57P03", true, false),
        ("57014", true, false),
        ("08006", true, false),
        ("53100", true, false),
        ("53200", true, false),
        ("22003", false, true),
        ("23514", false, true),
        ("54000", false, true),
        ("42501", false, false),
        ("XX000", false, false),
    ];
    for (sql_state, transient, blames_data) in cases {
        client.batch_execute(&refuse_events(sql_state)).await.unwrap();
        let error = ingest.take_in(&incoming).await.unwrap_err();
        assert_eq!(error.sql_state(), Some(sql_state));
        assert_eq!((error.is_transient(), error.blames_data()), (transient, blames_data), "{error}");
    }
}

#[tokio::test]
async fn a_batch_that_is_given_up_midway_leaves_no_transaction_in_the_pool() {
    let database = Database::create().await;
    let store = database.store();
    let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
    let limits = BatchLimits {
        letters_max: 1000,
        writes_max: 20_000,
        follow_up_writes_max: 0,
        lock_timeout: LOCK_TIMEOUT,
    };
    let executor = Executor::new(store.clone(), Arc::clone(&catalogue), limits, RETRY);
    let ingest = Ingest::new(store, catalogue, Limits::default());
    for no in 0..100 {
        let message = edit(&format!("e{no}"), "helios", "equipment", &[("m", json!(no))]);
        let incoming = ingest.decode([message]);
        // Given up a little later each time, so that it is at another statement.
        let patience = Duration::from_micros(no * 200);
        let _ = tokio::time::timeout(patience, ingest.take_in(&incoming)).await;
        let _ = tokio::time::timeout(patience, executor.step()).await;
        ingest.take_in(&incoming).await.unwrap();
    }
    executor.settle().await.unwrap();
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    let all =
        "select (select count(*) from event), (select count(*) from job), (select count(*) from letter),
                      (select value from setting_view)";
    assert_eq!(lines(&client, all).await, "100 | 100 | 0 | 99\n");
    let open = "select count(*) from pg_stat_activity
                 where datname = current_database() and state like 'idle in transaction%'";
    eventually("no transaction is open", async || lines(&client, open).await == "0\n").await;
}

#[tokio::test]
async fn a_batch_of_events_notifies_once() {
    let database = Database::create().await;
    let (client, mut connection) =
        tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    let (notified, mut notifications) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                notified.send(notification.payload().to_owned()).unwrap();
            }
        }
    });
    client.batch_execute("listen channel_sync_letters").await.unwrap();
    let ingest = ingest(&database);
    let messages =
        (0..50).map(|no| edit(&format!("e{no}"), &format!("o{no}"), "equipment", &[("m", json!(1))]));
    ingest.take_in(&ingest.decode(messages)).await.unwrap();
    client.batch_execute("notify channel_sync_letters, 'the end'").await.unwrap();
    assert_eq!(notifications.recv().await.unwrap(), "");
    assert_eq!(notifications.recv().await.unwrap(), "the end");
}

#[test]
fn statements_keep_clear_of_the_planners_traps() {
    for statement in ALL {
        let text = statement.text.to_lowercase();
        let lines = || text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text = lines().collect::<Vec<_>>().join("\n");
        // LIMIT … FOR UPDATE SKIP LOCKED takes more than its limit where the planner runs it again: within IN (…),
        // say, but not at the end of a statement.
        let skips = text.matches("skip locked").count() == 1 && !text.trim_end().ends_with("skip locked");
        assert!(!skips || !text.contains("limit"), "{} skips locked rows within a limit", statement.name);
        // NOTIFY takes a lock of the whole server at commit: one a transaction, from one place.
        let notifies = text.contains("notify");
        assert_eq!(notifies, statement.name == "letters_notify", "{} notifies", statement.name);
        // A common table expression that is joined to another is gone through row by row. Those that people wait
        // for are few and small, and so are those of what failed or is replayed; of what every batch does, one
        // walks up partnerships, a set at a time, some look up who is held, by a hash, and some walk from mailbox to
        // mailbox. What is on its way ahead of partnership-changes is little.
        let is_rare = [
            "list_",
            "show_",
            "status_",
            "explain_",
            "preview_",
            "jobs_",
            "replay_",
            "rejected_",
            "touched_",
            "overview_",
            "verify_",
            "repairs_",
            "restore_",
        ]
        .iter()
        .any(|kind| statement.name.starts_with(kind))
            || statement.name.ends_with("_busy");
        let common = text.contains(" as (\n") || text.contains(" as materialized (");
        let may = is_rare
            || ["partnerships_above", "letters_discard", "letters_told_first"].contains(&statement.name)
            || ["shards_due", "shards_due_buried", "letters_take_buried"].contains(&statement.name);
        assert!(may || !common, "{} has a common table expression", statement.name);
    }
}
