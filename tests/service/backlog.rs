//! What a batch costs does not depend on how much waits behind it.

use channel_sync::flow::executor::BatchLimits;
use serde_json::json;

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

#[tokio::test]
async fn a_batch_reads_no_more_of_the_mailboxes_than_it_takes() {
    read_little(false).await;
}

#[tokio::test]
async fn a_batch_reads_no_more_than_it_takes_where_the_planner_knows_that_all_waits_in_one_shard() {
    read_little(true).await;
}

/// Works off a backlog, and looks at what was read for it. The planner hears of the mailboxes when 2,000 changes wait, or
/// never.
async fn read_little(analyze: bool) {
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

    let Steps { store, ingest, executor, client, database } = steps;
    assert_eq!(lines(&client, "select count(*) from letter").await, "0\n");
    // What a connection has read is known once it is closed.
    drop((store, ingest, executor));
    let figure = async |column: &str, view: &str| -> usize {
        let select = format!("select sum({column})::bigint from {view} where relname = 'letter'");
        lines(&client, &select).await.trim().parse().unwrap()
    };
    eventually("all is counted", async || {
        let added = figure("n_tup_ins", "pg_stat_user_tables").await;
        added >= BACKLOG && added == figure("n_tup_del", "pg_stat_user_tables").await
    })
    .await;
    let letters = figure("n_tup_ins", "pg_stat_user_tables").await;
    let by_index = figure("idx_tup_read", "pg_stat_user_indexes").await;
    let read = by_index + figure("seq_tup_read", "pg_stat_user_tables").await;
    assert!(read <= READS_A_LETTER_MAX * letters, "{read} rows were read for {letters} letters");
    drop(database);
}
