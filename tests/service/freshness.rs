//! How far behind each partnership is, and what stands in the way.

use channel_sync::operations::{self, FreshnessQuery, FreshnessRow, FreshnessSummary};
use channel_sync::store::Store;
use serde_json::json;

use crate::steps::Steps;
use crate::support::events::{edit, partnership};
use crate::verify::ANA;

async fn list(store: &Store, query: &FreshnessQuery) -> Vec<FreshnessRow> {
    operations::freshness(store, query).await.unwrap().items
}

fn behind() -> FreshnessQuery {
    FreshnessQuery { limit: 1000, ..FreshnessQuery::default() }
}

/// A line for each row: organization, category, up to which event, jobs that wait and have failed, what is in the way.
async fn lines(store: &Store, query: &FreshnessQuery) -> String {
    let line = |row: FreshnessRow| {
        let event = row.event_id.as_deref().unwrap_or("-");
        let mut line = format!(
            "{} {} {event} {} {}",
            row.organization_id, row.category, row.jobs_waiting, row.jobs_failed
        );
        for (is_so, word) in [
            (row.in_step, "in-step"),
            (row.paused, "paused"),
            (row.reconcile, "reconcile"),
            (row.retry_at.is_some(), "retry"),
        ] {
            if is_so {
                line = format!("{line} {word}");
            }
        }
        assert_eq!(row.in_step, row.oldest_at.is_none());
        line + "\n"
    };
    list(store, query).await.into_iter().map(line).collect()
}

async fn summary(store: &Store) -> FreshnessSummary {
    operations::freshness_summary(store).await.unwrap()
}

#[tokio::test]
async fn what_waits_is_told_by_partnership_and_category() {
    let steps = Steps::with_partners().await;
    let store = &steps.store;
    assert_eq!(lines(store, &behind()).await, "");
    let all = summary(store).await;
    assert_eq!((all.partnerships, all.in_step, all.waiting, all.oldest_waiting_at), (5, 5, 0, None));

    operations::pause(store, Some("c"), ANA).await.unwrap();
    steps.apply([edit("e-1", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.apply([edit("e-2", "helios", "adders", &[("a", json!(1))])]).await;
    steps.apply([edit("e-3", "helios", "equipment", &[("m", json!(3))])]).await;
    // Up to no event: `first` was there before anybody was.
    let of_c = "c equipment - 2 0 paused\nc adders - 1 0 paused\n";
    assert_eq!(lines(store, &behind()).await, of_c);
    let all = summary(store).await;
    assert_eq!((all.in_step, all.waiting, all.failed, all.jobs_waiting, all.jobs_failed), (4, 1, 0, 3, 0));
    assert!(all.oldest_waiting_at.is_some());

    // The others are in step up to what c waits for.
    let of_a = FreshnessQuery { organization_id: Some("a".to_owned()), in_step_too: true, ..behind() };
    let told = lines(store, &of_a).await;
    assert!(told.contains("a equipment e-3 0 0 in-step\n"), "{told}");
    assert!(told.contains("a adders e-2 0 0 in-step\n"), "{told}");
    assert!(told.contains("a default-costs - 0 0 in-step\n"), "{told}");
    assert_eq!(told.lines().count(), 9, "all ongoing categories: {told}");
    let of_helios = FreshnessQuery { organization_id: Some("helios".to_owned()), ..behind() };
    assert_eq!(lines(store, &of_helios).await, of_c);
    assert_eq!(lines(store, &FreshnessQuery { in_step_too: false, ..of_a }).await, "");

    // Page by page the same.
    let whole = list(store, &FreshnessQuery { in_step_too: true, ..behind() }).await;
    assert_eq!(whole.len(), 45);
    let mut paged = Vec::new();
    let mut query = FreshnessQuery { in_step_too: true, limit: 7, ..FreshnessQuery::default() };
    loop {
        let page = operations::freshness(store, &query).await.unwrap();
        paged.extend(page.items);
        let Some(next) = page.next else { break };
        query.after = Some(next.parse().unwrap());
    }
    assert_eq!(paged, whole);

    operations::resume(store, Some("c"), "ana").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(lines(store, &behind()).await, "");
    drop(steps.database);
}

#[tokio::test]
async fn letters_to_a_shard_count_for_those_whom_they_have_still_to_reach() {
    let steps = Steps::with_partners().await;
    steps.apply([partnership("p-f", "helios", "f", "flexible")]).await;
    steps.take_in([edit("e-1", "helios", "equipment", &[("m", json!(2)), ("n", json!(2))])]).await;
    steps.take_in([edit("e-2", "helios", "default-costs", &[("battery", json!(2))])]).await;
    // Both are worked off where they are made, and lie in all shards.
    while steps.lines("select count(*) from letter where kind = 'own-change'").await != "0\n" {
        steps.executor.step().await.unwrap();
    }
    let rows = list(&steps.store, &behind()).await;
    let of = |name: &str| -> Vec<String> {
        let mine = rows.iter().filter(|row| row.organization_id == name);
        mine.map(|row| format!("{} {}", row.category, row.jobs_waiting)).collect()
    };
    assert_eq!(of("a"), ["default-costs 1", "equipment 1"]);
    assert_eq!(of("f"), ["equipment 1"], "a default is no business of a flexible partner");
    // One that began since need not be told of them.
    let began = "update partnership set since_change_no = (select max(change_no) from change where category = 'equipment')
                  where downstream_no = (select organization_no from organization where organization_id = 'b')";
    steps.client.batch_execute(began).await.unwrap();
    let rows = list(&steps.store, &behind()).await;
    let of_b: Vec<&str> =
        rows.iter().filter(|row| row.organization_id == "b").map(|row| row.category.as_str()).collect();
    assert_eq!(of_b, ["default-costs"]);
    // As many as job_view says.
    let waiting: i64 = rows.iter().map(|row| row.jobs_waiting).sum();
    let pending = steps.lines("select count(*) from job_view where state = 'pending'").await;
    assert_eq!(format!("{waiting}\n"), pending);
    drop(steps.database);
}

#[tokio::test]
async fn what_has_failed_counts_until_something_takes_it_in() {
    let steps = Steps::with_partners().await;
    let store = &steps.store;
    steps.apply([edit("e-1", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.apply([edit("e-2", "helios", "equipment", &[("m", json!(3))])]).await;
    let fail = "update job set state = 'failed', last_error = 'once'
                 where organization_no = (select organization_no from organization where organization_id = 'c')
                   and cause_no = (select max(cause_no) from job)";
    steps.client.batch_execute(fail).await.unwrap();
    assert_eq!(lines(store, &behind()).await, "c equipment e-1 0 1\n");
    let all = summary(store).await;
    assert_eq!((all.in_step, all.waiting, all.failed, all.jobs_failed), (4, 0, 1, 1));
    // A match of everything.
    steps
        .apply([partnership("p-off", "helios", "c", "off"), partnership("p-on", "helios", "c", "strict")])
        .await;
    assert_eq!(lines(store, &behind()).await, "");
    assert_eq!(summary(store).await.in_step, 5);

    // A reconcile that waits concerns all categories; one that has failed too, until another one succeeds.
    operations::pause(store, Some("c"), ANA).await.unwrap();
    steps
        .apply([partnership("p-off-2", "helios", "c", "off"), partnership("p-on-2", "helios", "c", "strict")])
        .await;
    operations::resume(store, Some("c"), "ana").await.unwrap();
    let hold = "update letter set run_at = now() + interval '1 hour', attempts = 1, last_error = 'once'
                 where kind = 'reconcile'";
    while steps.lines("select count(*) from letter where kind = 'reconcile'").await == "0\n" {
        steps.executor.step().await.unwrap();
    }
    steps.client.batch_execute(hold).await.unwrap();
    let told = lines(store, &behind()).await;
    assert_eq!(told.lines().count(), 9, "{told}");
    assert!(told.contains("c equipment - 1 0 reconcile retry\n"), "{told}");
    let give_up = "with gone as (delete from letter where kind = 'reconcile' returning *)
                   insert into job (cause_no, organization_no, state, attempts, last_error)
                   select cause_no, organization_no, 'failed', 1, 'once' from gone";
    steps.client.batch_execute(give_up).await.unwrap();
    let told = lines(store, &behind()).await;
    assert!(told.contains("c equipment - 0 1 reconcile\n"), "{told}");
    steps
        .apply([partnership("p-off-3", "helios", "c", "off"), partnership("p-on-3", "helios", "c", "strict")])
        .await;
    assert_eq!(lines(store, &behind()).await, "");
    drop(steps.database);
}
