//! What a batch costs does not depend on how much waits behind it, nor on how much must wait before it.

use channel_sync::flow::executor::BatchLimits;
use channel_sync::store::statements::ALL;
use serde_json::json;
use tokio_postgres::Row;

use crate::steps::{LIMITS, Steps};
use crate::support::broker::eventually;
use crate::support::events::{edit, partnership};
use crate::support::platform::lines;

/// How many changes wait.
const BACKLOG: usize = 5000;

/// How many letters a batch takes, of all these.
const LETTERS_MAX: usize = 50;

/// How many rows of `letter` and of its indexes may be read for each letter that was ever there. There are two an event
/// at most, and about five rows are read for each; whoever reads for each batch all that waits reads 50 more with each
/// statement that does.
const READS_A_LETTER_MAX: usize = 10;

/// How many letters wait of organizations that are held.
const HELD: usize = 20_000;

/// How many events of others come one after another.
const EVENTS: usize = 20;

/// How many rows of `letter` and of its indexes may be read for each of these. Two looks and a batch walk past 1,050
/// letters each; this test itself reads all once, to count them. Whoever walks past all reads three times 20,000.
const READS_AN_EVENT_MAX: usize = 5000;

#[tokio::test]
async fn a_batch_reads_no_more_of_the_mailboxes_than_it_takes() {
    some_time(async || read_little(false).await).await;
}

#[tokio::test]
async fn a_batch_reads_no_more_than_it_takes_where_the_planner_knows_that_all_waits_in_one_shard() {
    some_time(async || read_little(true).await).await;
}

/// Whoever has a transaction open anywhere on the server, as other tests do, keeps letters that are gone in the way:
/// what is too much then must not be too much every time.
async fn some_time(read: impl AsyncFn() -> Result<(), String>) {
    let mut wrong = String::new();
    for _ in 0..10 {
        match read().await {
            Ok(()) => return,
            Err(too_much) => wrong = too_much,
        }
    }
    panic!("{wrong}");
}

/// Works off a backlog, and looks at what was read for it. The planner hears of the mailboxes when 2,000 changes wait,
/// or never.
async fn read_little(analyze: bool) -> Result<(), String> {
    let limits = BatchLimits { letters_max: LETTERS_MAX, follow_up_writes_max: 20_000, ..LIMITS };
    let steps = Steps::with_limits(limits).await;
    steps.take_in([partnership("first", "helios", "acme", "strict")]).await;
    steps.executor.settle().await.unwrap();
    let mut messages = Vec::new();
    for no in 0..BACKLOG {
        messages.push(edit(&format!("e{no}"), "helios", "equipment", &[(&format!("m{no}"), json!(no))]));
        if no % 1000 == 999 {
            steps.take_in(std::mem::take(&mut messages)).await;
        }
        if no == 1999 {
            if analyze {
                steps.client.batch_execute("analyze letter").await.unwrap();
            }
            // Whoever begins meanwhile reads what the upstream has, and waits for what it is to have before.
            messages.push(partnership("late", "helios", "zenith", "strict"));
        }
    }
    steps.executor.settle().await.unwrap();
    let (letters, read) = letters_and_reads(steps, BACKLOG, 0).await;
    let is_little = read <= READS_A_LETTER_MAX * letters;
    is_little.then_some(()).ok_or_else(|| format!("{read} rows were read for {letters} letters"))
}

#[tokio::test]
async fn the_backlog_of_an_organization_that_is_paused_is_not_read_for_others() {
    some_time(async || read_past("insert into pause values (1, 'somebody', 'for a test')").await).await;
}

#[tokio::test]
async fn the_backlog_of_an_organization_that_waits_for_a_retry_is_not_read_for_others() {
    let hold = "update letter set attempts = 1, last_error = 'once', run_at = now() + interval '1 hour'
                 where letter_no = (select min(letter_no) from letter)";
    some_time(async || read_past(hold).await).await;
}

/// Lets a backlog of the first organization wait, holds it, and looks at what is read for an organization whose letters
/// come behind it in the same shard.
async fn read_past(hold: &str) -> Result<(), String> {
    let steps = Steps::with_limits(BatchLimits { letters_max: LETTERS_MAX, ..LIMITS }).await;
    let names: Vec<String> = (1..=17).map(|no| format!("o{no:02}")).collect();
    let of = |no: usize, name: &str| edit(&format!("e{no}"), name, "equipment", &[("m", json!(no))]);
    steps.apply(names.iter().enumerate().map(|(no, name)| of(no, name)).collect::<Vec<_>>()).await;
    let same = "select string_agg(organization_id, ', ' order by 1) from organization where shard = 1";
    assert_eq!(steps.lines(same).await, "o01, o17\n");
    let backlog = format!(
        "insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight)
         select 1, no, -no, -no, 'own-change', 1, 1 from generate_series(1, {HELD}) no
          order by no"
    );
    steps.client.batch_execute("select setval('cause_no', 1000000)").await.unwrap();
    steps.client.batch_execute(&backlog).await.unwrap();
    steps.client.batch_execute(hold).await.unwrap();
    for no in 0..EVENTS {
        steps.apply([of(100 + no, "o17")]).await;
    }
    let value = "select value from setting_view where organization_id = 'o17'";
    assert_eq!(steps.lines(value).await, format!("{}\n", 100 + EVENTS - 1));
    let (_, read) = letters_and_reads(steps, HELD + EVENTS, HELD).await;
    let is_little = read <= READS_AN_EVENT_MAX * EVENTS;
    is_little.then_some(()).ok_or_else(|| format!("{read} rows were read for {EVENTS} events"))
}

/// How many letters were ever there, at least so many, and how many rows of `letter` and of its indexes were read,
/// where so many letters are left.
async fn letters_and_reads(steps: Steps, letters_min: usize, left: usize) -> (usize, usize) {
    let Steps { store, ingest, executor, client, database } = steps;
    assert_eq!(lines(&client, "select count(*) from letter").await, format!("{left}\n"));
    // What a connection has read is known once it is closed.
    drop((store, ingest, executor));
    let figure = async |column: &str, view: &str| -> usize {
        let select = format!("select sum({column})::bigint from {view} where relname = 'letter'");
        lines(&client, &select).await.trim().parse().unwrap()
    };
    eventually("all is counted", async || {
        let added = figure("n_tup_ins", "pg_stat_user_tables").await;
        added >= letters_min && added == left + figure("n_tup_del", "pg_stat_user_tables").await
    })
    .await;
    let letters = figure("n_tup_ins", "pg_stat_user_tables").await;
    let by_index = figure("idx_tup_read", "pg_stat_user_indexes").await;
    let read = by_index + figure("seq_tup_read", "pg_stat_user_tables").await;
    drop(database);
    (letters, read)
}

#[tokio::test]
async fn what_is_found_behind_those_who_are_held_is_what_a_walk_past_them_finds() {
    let steps = Steps::start().await;
    let client = &steps.client;
    client.batch_execute("set enable_seqscan = off; set enable_bitmapscan = off").await.unwrap();
    let text = |name: &str| ALL.iter().find(|statement| statement.name == name).unwrap().text;
    let shards: Vec<i16> = (0..16).collect();
    let mut found = 0;
    for round in 0..20 {
        // Many at the same places; some are not due, of organizations or to shards; some organizations are far off.
        let anything = format!(
            "select setseed({round} / 20.0);
             truncate letter, pause;
             insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, attempts, run_at)
             select organization_no % 16, 1 + floor(random() * 40), 1 + floor(random() * 5), 1, 'sync-change',
                    organization_no, floor(random() * 9), tried, now() + tried * (random() - 0.8) * interval '1 hour'
               from (select (1 + floor(random() * 100))::int * (case when random() < 0.1 then 1001 else 1 end)
                            as organization_no,
                            (random() < 0.1)::int as tried
                       from generate_series(1, {round} * 30)) letter;
             insert into letter (shard, position, cause_no, event_no, kind, weight, attempts, run_at)
             select floor(random() * 16), 1 + floor(random() * 40), 1, 1, 'sync-change', 1,
                    (random() < 0.1)::int, now() + (random() - 0.5) * interval '1 hour'
               from generate_series(1, {round} * 3);
             insert into pause
             select no, 'somebody', 'for a test' from generate_series(1, 100) no where random() < 0.2;"
        );
        client.batch_execute(&anything).await.unwrap();
        let held = client.query(text("letters_held"), &[&shards]).await.unwrap();
        let held: Vec<i32> = held.iter().map(|row| row.get(0)).collect();
        for most in [1_i64, 3, 1000] {
            let all = None::<i64>;
            let walked = client.query(text("letters_take"), &[&shards, &most, &held, &all]).await.unwrap();
            let looked = client.query(text("letters_take_buried"), &[&shards, &most, &held]).await.unwrap();
            let in_order = |rows: &[Row]| -> Vec<(i16, i64)> {
                rows.iter().map(|row| (row.get("shard"), row.get("letter_no"))).collect()
            };
            assert_eq!(in_order(&looked), in_order(&walked), "round {round}, {most} a shard");
            found += looked.len();
            let walked = client.query(text("shards_due"), &[&shards, &most, &1_000_000_i64]).await.unwrap();
            let looked = client.query(text("shards_due_buried"), &[&shards, &most]).await.unwrap();
            // Where nobody is held, what is not due may still hide others.
            let (buried, walked): (Vec<Row>, Vec<Row>) =
                walked.into_iter().partition(|row| row.get("buried"));
            let buried: Vec<i16> = buried.iter().map(|row| row.get("shard")).collect();
            let counts = |rows: &[Row]| -> Vec<(i16, i64)> {
                let counts = rows.iter().map(|row| (row.get("shard"), row.get("letters")));
                counts.filter(|(shard, _)| !buried.contains(shard)).collect()
            };
            assert_eq!(counts(&looked), counts(&walked), "round {round}, {most} a shard");
        }
    }
    assert!(found > 1000, "{found} letters");
    drop(steps.database);
}
