//! Jobs that fail, rows that somebody else has locked, pauses: who waits, and who goes on.

use std::sync::Arc;

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::domain::retry::RetryPolicy;
use channel_sync::flow::executor::{BatchLimits, Executor, Step};
use channel_sync::store::StoreError;
use serde_json::json;

use crate::steps::{LIMITS, Steps};
use crate::support::events::{edit, partnership, snapshot};
use crate::support::platform::RETRY;

/// Makes every write to the settings of an organization fail, as a constraint would.
const REFUSE_C: &str = "
    create function refuse() returns trigger language plpgsql as $$ begin
        raise exception 'c is full' using errcode = '23514';
    end $$;
    create trigger refuse before insert or update on setting for each row
        when (new.organization_no = 4) execute function refuse();";

#[tokio::test]
async fn a_job_that_fails_is_found_tried_again_and_given_up_and_everybody_else_goes_on() {
    let steps = Steps::with_partners().await;
    let c = "select organization_no from organization where organization_id = 'c'";
    assert_eq!(steps.lines(c).await, "4\n");
    steps.client.batch_execute(REFUSE_C).await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.take_in([edit("third", "helios", "adders", &[("a", json!(1))])]).await;
    steps.take_in([edit("other", "sunny", "equipment", &[("m", json!(9))])]).await;
    let failed = "select event_id, organization_id, state, attempts, last_error from job_view
                   where state not in ('succeeded', 'pending') order by event_id";
    let gave_up = async || steps.lines(failed).await.matches("failed").count() == 2;
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if gave_up().await {
            break;
        }
    }
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.lines(failed).await,
        "second | c | failed | 3 | run settings_change: c is full (23514)\n\
         third | c | failed | 3 | run settings_add: c is full (23514)\n"
    );
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 1, d | 2, e | 2, helios | 2, sunny | 9, ");
    let states = "select event_id, state, jobs_total, jobs_succeeded, jobs_failed from event_view
                   where event_id in ('second', 'third', 'other') order by 1";
    assert_eq!(
        steps.lines(states).await,
        "other | done | 1 | 1 | 0\nsecond | failed | 6 | 5 | 1\nthird | failed | 6 | 5 | 1\n"
    );
    // What is behind goes on.
    steps.client.batch_execute("drop trigger refuse on setting").await.unwrap();
    steps.apply([edit("fourth", "helios", "equipment", &[("m", json!(4))])]).await;
    assert!(steps.values_of_m().await.contains("c | 4"));
    drop(steps.database);
}

#[tokio::test]
async fn whatever_the_server_says_of_one_organizations_rows_all_others_go_on() {
    // A trigger's own word, damaged data and indexes, a block that cannot be read.
    for sql_state in ["P0001", "XX000", "XX001", "XX002", "58030", "55000"] {
        let steps = Steps::with_partners().await;
        steps.client.batch_execute(&REFUSE_C.replace("23514", sql_state)).await.unwrap();
        steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
        steps.take_in([edit("other", "sunny", "equipment", &[("m", json!(9))])]).await;
        let done = "a | 2, b | 2, c | 1, d | 2, e | 2, helios | 2, sunny | 9, ";
        for _ in 0..20 {
            // It may end with nothing but the one that fails.
            let _ = steps.executor.step().await;
            if steps.values_of_m().await == done {
                break;
            }
        }
        assert_eq!(steps.values_of_m().await, done, "{sql_state}");
        let last_errors = "select distinct last_error from job_view where state in ('retrying', 'failed')";
        assert_eq!(steps.lines(last_errors).await, format!("run settings_change: c is full ({sql_state})\n"));
    }
}

#[tokio::test]
async fn what_stops_every_job_alike_is_nobodys_fault_unless_the_data_is() {
    // (SQLSTATE, whether it is held against jobs)
    for (sql_state, blamed) in [("XX002", false), ("42501", false), ("53100", false), ("23514", true)] {
        let steps = Steps::with_partners().await;
        let refuse_all = REFUSE_C.replace("new.organization_no = 4", "true").replace("23514", sql_state);
        steps.client.batch_execute(&refuse_all).await.unwrap();
        let edits = ["a", "b", "c"].map(|name| edit(name, name, "licenses", &[("l", json!(1))]));
        steps.take_in(edits).await;
        let step = steps.executor.step().await;
        assert_eq!(step.is_ok(), blamed, "{sql_state}");
        let attempts = steps.lines("select coalesce(sum(attempts), 0) > 0 from letter").await;
        assert_eq!(attempts, if blamed { "t\n" } else { "f\n" }, "{sql_state}");
    }
}

#[tokio::test]
async fn a_row_that_somebody_has_locked_delays_its_organization_alone() {
    let mut steps = Steps::with_partners().await;
    let patient = RetryPolicy { attempts_max: 1000, ..RETRY };
    let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
    steps.executor = Executor::new(steps.store.clone(), catalogue, LIMITS, patient);
    let holder = steps.database.client().await;
    holder
        .batch_execute("begin; select from channel_sync.setting where organization_no = 4 for update")
        .await
        .unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    let others = "a | 2, b | 2, c | 1, d | 2, e | 2, helios | 2, ";
    for _ in 0..20 {
        steps.executor.step().await.unwrap();
        if steps.values_of_m().await == others {
            break;
        }
    }
    assert_eq!(steps.values_of_m().await, others);
    holder.batch_execute("rollback").await.unwrap();
    let done = "select state from job_view where event_id = 'second' and organization_id = 'c'";
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if steps.lines(done).await == "succeeded\n" {
            break;
        }
    }
    assert!(steps.values_of_m().await.contains("c | 2"));
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_fails_behind_letters_that_only_wait_is_found_too() {
    let steps = Steps::start().await;
    let names: Vec<String> = (1..=20).map(|no| format!("o{no:02}")).collect();
    let ids: Vec<String> = names.iter().map(|name| format!("first-{name}")).collect();
    let first = names.iter().zip(&ids);
    steps
        .apply(first.map(|(name, id)| edit(id, name, "adders", &[("a", json!(1))])).collect::<Vec<_>>())
        .await;
    // o02 waits for a letter that is not due, and so does the partnership of o01, which would read o02.
    steps.take_in([edit("held", "o02", "equipment", &[("m", json!(1))])]).await;
    steps
        .client
        .batch_execute("update letter set attempts = 1, run_at = now() + interval '1 hour'")
        .await
        .unwrap();
    steps.take_in([partnership("waits", "o02", "o01", "flexible")]).await;
    // o17 lives in the shard of o01, behind it.
    let same = "select count(distinct shard) from organization where organization_id in ('o01', 'o17')";
    assert_eq!(steps.lines(same).await, "1\n");
    steps
        .client
        .batch_execute(&REFUSE_C.replace("organization_no = 4", "organization_no = 17"))
        .await
        .unwrap();
    steps.take_in([edit("fails", "o17", "equipment", &[("m", json!(2))])]).await;
    steps.take_in([edit("goes-on", "o18", "equipment", &[("m", json!(3))])]).await;
    let states = "select event_id, state from event_view
                   where event_id in ('held', 'waits', 'fails', 'goes-on') order by 1";
    let expected = "fails | failed\ngoes-on | done\nheld | accepted\nwaits | accepted\n";
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if steps.lines(states).await == expected {
            break;
        }
    }
    assert_eq!(steps.lines(states).await, expected);
    drop(steps.database);
}

/// Steps until a query answers so, or a good while.
async fn steps_until(steps: &Steps, query: &str, expected: &str) {
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if steps.lines(query).await == expected {
            return;
        }
    }
    assert_eq!(steps.lines(query).await, expected, "after many steps: {query}");
}

/// Never gives up.
fn patient(steps: &Steps) -> Executor<channel_sync::store::Store> {
    let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
    let retry = RetryPolicy { attempts_max: 1000, ..RETRY };
    Executor::new(steps.store.clone(), catalogue, LIMITS, retry)
}

#[tokio::test]
async fn whatever_row_somebody_has_locked_its_organization_alone_waits() {
    let rows = [
        "setting where organization_no = (select organization_no from organization where organization_id = 'c')",
        "organization where organization_id = 'c'",
        "declined where downstream_no = (select organization_no from organization where organization_id = 'c')",
        "category_version
          where organization_no = (select organization_no from organization where organization_id = 'c')",
        "partnership where downstream_no = (select organization_no from organization where organization_id = 'c')",
        "event where event_id = 'locked-c'",
    ];
    for rows in rows {
        let mut steps = Steps::with_partners().await;
        steps.executor = patient(&steps);
        // c is flexible and has a partner of its own; it has declined an entry, and counts its versions.
        steps.apply([partnership("flexible-c", "helios", "c", "flexible")]).await;
        steps.apply([partnership("below-c", "c", "below", "strict")]).await;
        let versioned = |id: &str, version: i64, key: &str, value: serde_json::Value| {
            let mut message = edit(id, "c", "equipment", &[(key, value)]);
            let mut event: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
            event["data"]["version"] = json!(version);
            message.body = event.to_string().into_bytes();
            message
        };
        steps.apply([versioned("v1", 1, "m", serde_json::Value::Null)]).await;
        let adder = edit("a1", "helios", "adders", &[("x", json!(1))]);
        steps.apply([adder]).await;
        steps.apply([edit("a2", "c", "adders", &[("x", serde_json::Value::Null)])]).await;
        steps.apply([edit("k1", "c", "equipment", &[("kept", json!(1))])]).await;
        assert_eq!(steps.lines("select count(*) from declined").await, "2\n", "{rows}");

        // All of these rows are written by what comes now: entries, declined records, flags, versions,
        // where the changes of c stand, and the verdict of an event that is refused.
        steps
            .take_in([
                versioned("v2", 2, "own", json!(1)),
                edit("a3", "helios", "adders", &[("x", serde_json::Value::Null)]),
                edit("a4", "helios", "adders", &[("x", json!(2)), ("y", json!(1))]),
                edit("m2", "helios", "equipment", &[("m", json!(2))]),
                partnership("strict-c", "helios", "c", "strict"),
                edit("locked-c", "c", "equipment", &[("own", json!(2))]),
                edit("m3", "helios", "equipment", &[("m", json!(3))]),
            ])
            .await;
        let holder = steps.database.client().await;
        holder.batch_execute("set search_path = channel_sync").await.unwrap();
        holder.batch_execute(&format!("begin; select from {rows} for update")).await.unwrap();
        let others = "select organization_id, value from setting_view
                       where key = 'm' and organization_id in ('a', 'b', 'd', 'e', 'helios') order by 1";
        steps_until(&steps, others, "a | 3\nb | 3\nd | 3\ne | 3\nhelios | 3\n").await;
        let waiting = "select count(*) > 0 from letter where organization_no =
                        (select organization_no from organization where organization_id = 'c')";
        assert_eq!(steps.lines(waiting).await, "t\n", "{rows}");
        let blamed = "select distinct organization_id from job_view where state in ('retrying', 'failed')";
        let blamed = steps.lines(blamed).await;
        assert!(["c\n", ""].contains(&&*blamed), "{rows}: {blamed}");

        holder.batch_execute("rollback").await.unwrap();
        steps_until(&steps, "select count(*) from letter", "0\n").await;
        let c = "select category, key, value, origin from setting_view
                  where organization_id in ('c', 'below') order by organization_id, 1, 2";
        let replica = "adders | x | 2 | helios\nadders | y | 1 | helios\nequipment | m | 3 | helios\n";
        let below = replica.replace("helios", "c");
        assert_eq!(steps.lines(c).await, format!("{below}{replica}"), "{rows}");
        drop(steps.database);
    }
}

#[tokio::test]
async fn a_letter_that_somebody_has_locked_stops_nobody_else() {
    let mut steps = Steps::with_partners().await;
    steps.executor = patient(&steps);
    steps.take_in([edit("of-c", "c", "licenses", &[("l", json!(1))])]).await;
    let holder = steps.database.client().await;
    holder.batch_execute("begin; select from channel_sync.letter for update").await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    let values = "select organization_id, value from setting_view where key = 'm' order by 1";
    steps_until(&steps, values, "a | 2\nb | 2\nc | 1\nd | 2\ne | 2\nhelios | 2\n").await;
    holder.batch_execute("rollback").await.unwrap();
    steps_until(&steps, "select count(*) from letter", "0\n").await;
    assert!(steps.values_of_m().await.contains("c | 2"));
    drop(steps.database);
}

#[tokio::test]
async fn a_row_that_somebody_is_about_to_insert_delays_its_organization_alone() {
    let mut steps = Steps::with_partners().await;
    steps.executor = patient(&steps);
    let holder = steps.database.client().await;
    holder
        .batch_execute(
            "begin; set search_path = channel_sync;
             insert into setting (organization_no, category, key, value_id, event_no, added_event_no)
             select organization_no, 'equipment', 'new', value_id, event_no, added_event_no
               from setting where key = 'm' and organization_no = 4",
        )
        .await
        .unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("new", json!(2))])]).await;
    let values = "select string_agg(organization_id, ' ' order by organization_id) from setting_view where key = 'new'";
    steps_until(&steps, values, "a b d e helios\n").await;
    holder.batch_execute("rollback").await.unwrap();
    steps_until(&steps, values, "a b c d e helios\n").await;
    drop(steps.database);
}

#[tokio::test]
async fn a_table_that_somebody_has_locked_is_nobodys_fault() {
    let steps = Steps::with_partners().await;
    let holder = steps.database.client().await;
    holder.batch_execute("begin; lock table channel_sync.setting in share mode").await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps
        .take_in(["a", "b", "c"].map(|of| edit(&format!("of-{of}"), of, "licenses", &[("l", json!(1))])))
        .await;
    for _ in 0..3 {
        let error = steps.executor.step().await.unwrap_err();
        assert!(matches!(error, StoreError::LockTimeout { .. }) && error.is_transient(), "{error}");
    }
    let blamed = "select count(*) from letter where attempts > 0";
    assert_eq!(steps.lines(blamed).await, "0\n");
    holder.batch_execute("rollback").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    drop(steps.database);
}

#[tokio::test]
async fn several_jobs_that_fail_are_found_in_one_step_and_all_others_are_done_in_it() {
    let steps = Steps::start().await;
    steps.apply([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
    let names: Vec<String> = (0..100).map(|no| format!("partner-{no:02}")).collect();
    steps.apply(names.iter().map(|name| partnership(name, "helios", name, "strict"))).await;
    // Three of a hundred.
    let refuse = REFUSE_C.replace("organization_no = 4", "organization_no in (10, 26, 71)");
    steps.client.batch_execute(&refuse).await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    let own = steps.executor.step().await.unwrap();
    assert_eq!((own.jobs, own.letters_done), (1, 1));
    let fan_out = steps.executor.step().await.unwrap();
    assert_eq!((fan_out.jobs, fan_out.letters_postponed), (97, 3));
    let values = "select value, count(*) from setting_view where key = 'm' group by 1 order by 1";
    assert_eq!(steps.lines(values).await, "1 | 3\n2 | 98\n");
    drop(steps.database);
}

#[tokio::test]
async fn letters_that_only_wait_are_passed_however_many_they_are() {
    let limits = BatchLimits { letters_max: 16, ..LIMITS };
    let steps = Steps::with_limits(limits).await;
    // Helios waits for a letter that is not due; the partnerships would read it, and wait too.
    steps.apply([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
    steps.take_in([edit("held", "helios", "equipment", &[("m", json!(2))])]).await;
    let hold = "update letter set attempts = 1, run_at = now() + interval '1 hour'";
    steps.client.batch_execute(hold).await.unwrap();
    let names: Vec<String> = (0..200).map(|no| format!("partner-{no:03}")).collect();
    steps.take_in(names.iter().map(|name| partnership(name, "helios", name, "strict"))).await;
    let others: Vec<String> = (0..50).map(|no| format!("other-{no:02}")).collect();
    steps.take_in(others.iter().map(|name| edit(name, name, "equipment", &[("m", json!(9))]))).await;
    steps.executor.settle().await.unwrap();
    let done = "select count(*) from setting_view where value = '9'";
    assert_eq!(steps.lines(done).await, "50\n");
    assert_eq!(steps.lines("select count(*) from letter").await, "201\n");
    // A step that finds nothing but these says that it saw them, and does nothing.
    assert_eq!(steps.executor.step().await.unwrap(), Step { saw_due: true, ..Step::default() });
    steps.client.batch_execute("update letter set run_at = now()").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.lines("select count(*) from letter").await, "0\n");
    drop(steps.database);
}

#[tokio::test]
async fn who_is_paused_waits_with_all_its_letters_and_nobody_else_does() {
    let steps = Steps::with_partners().await;
    let pause = "insert into pause (organization_no, paused_by, reason)
                 select organization_no, 'ana', 'a try' from organization where organization_id = 'c'";
    steps.client.batch_execute(pause).await.unwrap();
    steps.apply([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.apply([edit("third", "helios", "equipment", &[("m", json!(3))])]).await;
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 1, d | 3, e | 3, helios | 3, ");
    let waiting = "select event_id, organization_id, state from job_view where state = 'pending' order by 1";
    assert_eq!(steps.lines(waiting).await, "second | c | pending\nthird | c | pending\n");
    assert_eq!(steps.executor.step().await.unwrap(), Step::default(), "nothing is due");

    steps.client.batch_execute("delete from pause").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 3, d | 3, e | 3, helios | 3, ");

    steps.client.batch_execute("insert into pause (paused_by, reason) values ('ana', 'all')").await.unwrap();
    steps.apply([edit("fourth", "helios", "equipment", &[("m", json!(4))])]).await;
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 3, d | 3, e | 3, helios | 3, ");
    steps.client.batch_execute("delete from pause").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert!(steps.values_of_m().await.starts_with("a | 4"));
    drop(steps.database);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_given_up_and_stops_nobody() {
    let steps = Steps::with_partners().await;
    steps.take_in([snapshot("broken", "c", "licenses", json!({ "l": 1 }))]).await;
    let broken = r#"update event set payload = '{"snapshot": "nonsense"}' where event_id = 'broken'"#;
    steps.client.batch_execute(broken).await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    let state = "select state, attempts from job_view where event_id = 'broken'";
    steps_until(&steps, state, "failed | 3\n").await;
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    drop(steps.database);
}

#[tokio::test]
async fn a_transaction_that_an_error_has_aborted_is_not_taken_for_committed() {
    let steps = Steps::with_partners().await;
    let mut session = steps.store.session().await.unwrap();
    let transaction = session.begin().await.unwrap();
    // An error that nobody looks at: there is no savepoint.
    transaction.release_savepoint().await.unwrap_err();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.sql_state(), Some("25P02"), "{error}");
    drop(session);
    drop(steps.database);
}

#[tokio::test]
async fn a_letter_that_stands_twice_takes_effect_once() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    let twice = "insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight)
                 select shard, position, cause_no, event_no, kind, organization_no, weight from letter";
    // The own change, and then the letters to the partners.
    steps.client.batch_execute(twice).await.unwrap();
    steps.executor.step().await.unwrap();
    steps.client.batch_execute(twice).await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    let jobs = "select count(*), count(distinct idempotency_key), min(state), sum(attempts) from job_view
                 where event_id = 'second'";
    assert_eq!(steps.lines(jobs).await, "6 | 6 | succeeded | 6\n");
    assert_eq!(steps.lines("select count(*) from letter").await, "0\n");
    drop(steps.database);
}

#[tokio::test]
async fn partnerships_that_cannot_be_stored_are_found_in_one_batch() {
    let steps = Steps::with_partners().await;
    steps.apply(["f", "g"].map(|name| edit(name, name, "adders", &[("a", json!(1))]))).await;
    let numbers = "select organization_no from organization where organization_id in ('f', 'g') order by 1";
    assert_eq!(steps.lines(numbers).await, "7\n8\n");
    let refuse = REFUSE_C.replace("update on setting", "update on partnership");
    let refuse = refuse.replace("new.organization_no = 4", "new.downstream_no in (7, 8)");
    steps.client.batch_execute(&refuse).await.unwrap();
    // With each a reconcile would begin, for which its organization would be held.
    steps
        .take_in(["f", "g"].map(|name| partnership(&format!("fails-{name}"), "helios", name, "strict")))
        .await;
    let states = "select event_id, state from event_view where event_id like 'fails-%' order by 1";
    let expected = "fails-f | failed\nfails-g | failed\n";
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if steps.lines(states).await == expected {
            break;
        }
    }
    assert_eq!(steps.lines(states).await, expected);
    drop(steps.database);
}

#[tokio::test]
async fn transactions_that_are_open_for_long_are_told_the_oldest_first() {
    let steps = Steps::start().await;
    let forgetful = steps.database.client().await;
    forgetful.batch_execute("set application_name = 'forgetful'; begin; select 1").await.unwrap();
    let session = steps.store.session().await.unwrap();
    let told = session.status_transactions(0, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&*told[0].application, &*told[0].state), ("forgetful", "idle in transaction"));
    assert_eq!(session.status_transactions(3600, 10).await.unwrap(), []);
    forgetful.batch_execute("rollback").await.unwrap();
    assert_eq!(session.status_transactions(0, 10).await.unwrap(), []);
    drop(session);
    drop(steps.database);
}
