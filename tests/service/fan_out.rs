//! One change to many partners: all are in step, at a cost in statements that does not depend on how many.

use std::sync::Arc;

use channel_sync::contract::{Limits, Message};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::{BatchLimits, Executor};
use channel_sync::flow::ingest::Ingest;
use serde_json::{Map, Value, json};

use crate::support::database::Database;
use crate::support::events::{edit, partnership, snapshot};
use crate::support::platform::{LOCK_TIMEOUT, Platform, RETRY, lines};

fn partners(count: usize) -> Vec<Message> {
    (0..count)
        .map(|no| partnership(&format!("p{no}"), "helios", &format!("partner-{no:04}"), "strict"))
        .collect()
}

#[tokio::test]
async fn a_thousand_partners_are_in_step_after_one_changed_entry() {
    let mut platform = Platform::start().await;
    platform.apply([edit("first", "helios", "equipment", &[("m1", json!(1)), ("m2", json!(2))])]).await;
    platform.apply(partners(1000)).await;
    platform.apply([edit("second", "helios", "equipment", &[("m1", json!(3))])]).await;

    let settings = "select key, value, origin, locked_by, count(*) from setting_view
                     where organization_id like 'partner-%' group by 1, 2, 3, 4 order by 1";
    assert_eq!(
        platform.lines(settings).await,
        "m1 | 3 | helios | helios | 1000\nm2 | 2 | helios | helios | 1000\n"
    );
    let event =
        "select state, jobs_total, jobs_succeeded, jobs_failed from event_view where event_id = 'second'";
    assert_eq!(platform.lines(event).await, "done | 1001 | 1001 | 0\n");
    let jobs = "select kind, state, result->>'changed', attempts, count(*), count(distinct organization_id),
                       count(distinct idempotency_key)
                  from job_view where event_id = 'second' group by 1, 2, 3, 4 order by 1";
    assert_eq!(
        platform.lines(jobs).await,
        "own-change | succeeded | 1 | 1 | 1 | 1 | 1\nsync-change | succeeded | 1 | 1 | 1000 | 1000 | 1000\n"
    );
    platform.end().await;
}

#[tokio::test]
async fn many_entries_at_once_meet_what_a_partner_has_between_them_and_at_their_ends() {
    let mut platform = Platform::start().await;
    let (all, own) = (keys("m", 40), json!("own"));
    // Nothing at all; the first, one in between, the last; beside them alone.
    let partners = [("empty", vec![]), ("between", vec![0, 17, 39]), ("beside", vec![])];
    for (partner, has) in &partners {
        let mut entries: Vec<(&str, Value)> = has.iter().map(|no| (&*all[*no], own.clone())).collect();
        if *partner == "beside" {
            entries.extend([("a", own.clone()), ("z", own.clone())]);
        }
        if !entries.is_empty() {
            platform.apply([edit(&format!("own-{partner}"), partner, "equipment", &entries)]).await;
        }
        platform.apply([partnership(&format!("p-{partner}"), "helios", partner, "non-exclusive")]).await;
    }
    let snapshot_of = |value: i32| all.iter().map(|key| (key.clone(), json!(value))).collect::<Map<_, _>>();
    platform.apply([snapshot("first", "helios", "equipment", snapshot_of(1).into())]).await;
    let settings = "select organization_id, origin, value, count(*) from setting_view
                     where organization_id <> 'helios' group by 1, 2, 3 order by 1, 2";
    assert_eq!(
        platform.lines(settings).await,
        "beside | helios | 1 | 40\nbeside | own | \"own\" | 2\nbetween | helios | 1 | 37\n\
         between | own | \"own\" | 3\nempty | helios | 1 | 40\n"
    );
    platform.end().await;
}

/// So many keys `prefix00`, `prefix01`, ….
fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|no| format!("{prefix}{no:02}")).collect()
}

/// How many statements it takes to bring one changed entry to so many partners.
async fn statements_for(partner_count: usize) -> u64 {
    let database = Database::create().await;
    let store = database.store();
    let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
    let limits = BatchLimits {
        letters_max: 1000,
        writes_max: 20_000,
        follow_up_writes_max: 5000,
        lock_timeout: LOCK_TIMEOUT,
    };
    let executor = Executor::new(store.clone(), Arc::clone(&catalogue), limits, RETRY);
    let ingest = Ingest::new(store.clone(), catalogue, Limits::default());

    let mut messages = vec![edit("first", "helios", "equipment", &[("m1", json!(1))])];
    messages.extend(partners(partner_count));
    ingest.take_in(&ingest.decode(messages)).await.unwrap();
    executor.settle().await.unwrap();

    let before = store.statements_run();
    let change = edit("second", "helios", "equipment", &[("m1", json!(2))]);
    ingest.take_in(&ingest.decode([change])).await.unwrap();
    executor.settle().await.unwrap();
    let statements = store.statements_run() - before;

    let client = database.client().await;
    let in_step = lines(
        &client,
        "select count(*) from channel_sync.setting_view
          where key = 'm1' and value = '2' and organization_id <> 'helios'",
    )
    .await;
    assert_eq!(in_step, format!("{partner_count}\n"));
    statements
}

#[tokio::test]
async fn the_number_of_statements_does_not_depend_on_the_number_of_partners() {
    let few = statements_for(20).await;
    let many = statements_for(1000).await;
    assert_eq!(few, many);
    assert!(many < 60, "{many} statements for one change");
}
