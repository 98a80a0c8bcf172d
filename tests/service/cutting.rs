//! What is too much for one transaction is cut: no batch writes more than it may, and the outcome is as if it
//! had been one.

use channel_sync::flow::executor::BatchLimits;
use serde_json::{Map, Value, json};

use crate::model::{Event, Model};
use crate::recorded::{is_taken_in, of_sequence, pretty_eq, stored_state};
use crate::sequence::{LENGTH, sequence};
use crate::steps::Steps;
use crate::support::events::{edit, event, partnership, snapshot};
use crate::support::platform::LOCK_TIMEOUT;

/// The batches of the default configuration.
const DEFAULT: BatchLimits = BatchLimits {
    letters_max: 1000,
    writes_max: 20_000,
    follow_up_writes_max: 0,
    lock_timeout: LOCK_TIMEOUT,
};

/// Room for so many entries in a batch.
fn room(writes_max: usize) -> BatchLimits {
    BatchLimits { writes_max, ..DEFAULT }
}

/// So many entries `prefix0001`, `prefix0002`, … of one value.
fn entries(prefix: &str, count: usize, value: i32) -> Value {
    (0..count).map(|no| (format!("{prefix}{no:05}"), json!(value))).collect::<Map<_, _>>().into()
}

/// How many settings of an organization each transaction wrote, the largest first.
const WRITTEN: &str = "select count(*) from setting join organization o using (organization_no)
                        where o.organization_id = 'pac' group by setting.xmin order by 1 desc";

/// The jobs of an event in an organization, with what they did.
fn jobs(event: &str, organization: &str) -> String {
    format!(
        "select kind, state, attempts, result->>'added', result->>'changed', result->>'removed' from job_view
          where event_id = '{event}' and organization_id = '{organization}' order by kind"
    )
}

async fn sequences_come_to_the_same(first_seed: u64, limits: BatchLimits) {
    let steps = Steps::with_limits(limits).await;
    let sequences: Vec<(u64, Vec<Event>)> = (first_seed..first_seed + 15)
        .map(|seed| (seed, sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect()))
        .collect();
    let mut models: Vec<Model> = sequences.iter().map(|_| Model::built_in()).collect();
    // One event of each sequence at a time: then nothing depends on which of two jobs runs first.
    for place in 0..LENGTH {
        let mut messages = Vec::new();
        for ((seed, events), model) in sequences.iter().zip(&mut models) {
            let Some(one) = events.get(place).filter(|event| is_taken_in(event)) else { continue };
            let id = format!("{seed}-e{place}");
            messages.push(event(&id, one.message_type(), one.data()));
            model.publish_as(&id, one.clone());
            model.settle();
        }
        steps.apply(messages).await;
        let left =
            "select letter_no, shard, position, cause_no, kind, organization_no, weight, after_member_no,
                           after_key
                      from letter order by 1";
        assert_eq!(steps.lines(left).await, "", "letters are left after event {place}");
    }
    for ((seed, _), model) in sequences.iter().zip(&models) {
        pretty_eq(*seed, &stored_state(&steps.client, *seed).await, &model.state());
    }
    drop(steps.database);
}

#[tokio::test]
async fn sequences_end_as_the_model_does_where_there_is_room_for_two_entries() {
    sequences_come_to_the_same(200, room(2)).await;
}

#[tokio::test]
async fn sequences_end_as_the_model_does_where_there_is_room_for_nine_entries_and_three_letters() {
    sequences_come_to_the_same(215, BatchLimits { letters_max: 3, ..room(9) }).await;
}

#[tokio::test]
async fn a_match_of_50_000_entries_works_within_the_bound_of_writes() {
    let steps = Steps::with_limits(DEFAULT).await;
    steps.apply([snapshot("own", "pac", "equipment", entries("a", 1000, 9))]).await;
    steps.apply([snapshot("first", "helios", "equipment", entries("m", 50_000, 1))]).await;
    steps.apply([partnership("begins", "helios", "pac", "strict")]).await;
    assert_eq!(
        steps.lines(&jobs("begins", "pac")).await,
        "partnership-change | succeeded | 1 | 0 | 0 | 0\nreconcile | succeeded | 1 | 50000 | 0 | 1000\n"
    );
    assert_eq!(steps.lines(WRITTEN).await, "20000\n19000\n11000\n", "the first part removes 1,000 besides");
    let archived = "select count(*) from archived_setting group by xmin";
    assert_eq!(steps.lines(archived).await, "1000\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_change_of_50_000_entries_reaches_strict_partners_within_the_bound_of_writes() {
    let steps = Steps::with_limits(DEFAULT).await;
    let partners = ["pac", "roof", "tile"];
    steps.apply(partners.map(|name| partnership(name, "helios", name, "strict"))).await;
    steps.apply([partnership("below", "pac", "slate", "strict")]).await;
    steps.apply([snapshot("large", "helios", "equipment", entries("m", 50_000, 1))]).await;
    for organization in ["pac", "roof", "tile"] {
        let expected = "sync-change | succeeded | 1 | 50000 | 0 | 0\n";
        assert_eq!(steps.lines(&jobs("large", organization)).await, expected, "{organization}");
    }
    let most = "select max(written), sum(written) from (
                    select count(*) as written from setting s join organization o using (organization_no)
                     where o.organization_id <> 'helios' group by s.xmin) one";
    assert_eq!(steps.lines(most).await, "20000 | 200000\n");
    let below = "select sum((result->>'added')::int) from job_view
                  where event_id = 'large' and organization_id = 'slate'";
    assert_eq!(steps.lines(below).await, "50000\n", "what each part changed went on");
    drop(steps.database);
}

#[tokio::test]
async fn a_fan_out_is_cut_by_members_and_shows_who_still_waits() {
    let steps = Steps::with_limits(room(100)).await;
    let names: Vec<String> = (0..64).map(|no| format!("p{no:02}")).collect();
    steps.apply(names.iter().map(|name| partnership(name, "helios", name, "strict"))).await;
    let changes: Vec<String> = (0..40).map(|no| format!("k{no}")).collect();
    let changes: Vec<(&str, Value)> = changes.iter().map(|key| (&**key, json!(1))).collect();
    steps.take_in([edit("large", "helios", "equipment", &changes)]).await;
    steps.executor.step().await.unwrap();
    let waiting = "select count(*) from job_view where event_id = 'large' and state = 'pending'";
    assert_eq!(steps.lines(waiting).await, "64\n");
    let step = steps.executor.step().await.unwrap();
    assert_eq!((step.jobs, step.letters_cut, step.letters_done), (2, 1, 0));
    assert_eq!(steps.lines(waiting).await, "62\n");
    steps.executor.settle().await.unwrap();
    let done = "select jobs_total, jobs_succeeded, state from event_view where event_id = 'large'";
    assert_eq!(steps.lines(done).await, "65 | 65 | done\n");
    let most = "select max(written) from (select count(*) as written from setting group by xmin) one";
    assert_eq!(steps.lines(most).await, "80\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_large_job_holds_up_nobody_else_in_its_shard() {
    let steps = Steps::with_limits(room(100)).await;
    // Sixteen shards: the seventeenth organization lives in that of the first.
    let names: Vec<String> = (1..=17).map(|no| format!("o{no:02}")).collect();
    steps.apply(names.iter().map(|name| edit(name, name, "licenses", &[("l", json!(1))]))).await;
    let same = "select count(distinct shard) from organization where organization_id in ('o01', 'o17')";
    assert_eq!(steps.lines(same).await, "1\n");
    steps.apply([snapshot("first", "o02", "equipment", entries("m", 2000, 1))]).await;
    steps.take_in([partnership("begins", "o02", "o01", "strict")]).await;
    steps.executor.step().await.unwrap();
    steps.take_in([edit("light", "o17", "adders", &[("a", json!(1))])]).await;
    steps.executor.step().await.unwrap();
    let states = "select event_id, state from event_view where event_id in ('light', 'begins') order by 1";
    assert_eq!(steps.lines(states).await, "begins | syncing\nlight | done\n");
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.lines(states).await, "begins | done\nlight | done\n");
    drop(steps.database);
}

#[tokio::test]
async fn who_had_no_room_beside_what_must_wait_is_not_held_up_by_it() {
    let steps = Steps::with_limits(room(2)).await;
    let names: Vec<String> = (1..=17).map(|no| format!("o{no:02}")).collect();
    steps.apply(names.iter().map(|name| edit(name, name, "licenses", &[("l", json!(1))]))).await;
    let same = "select count(distinct shard) from organization where organization_id in ('o01', 'o17')";
    assert_eq!(steps.lines(same).await, "1\n");
    steps
        .apply([partnership("one", "o01", "o02", "strict"), partnership("two", "o02", "o03", "strict")])
        .await;
    // It runs again later. Until then nobody can tell whether the next one closes a cycle.
    steps.take_in([partnership("ends", "o01", "o02", "ended")]).await;
    let later = "update letter set attempts = 1, last_error = 'e', run_at = now() + interval '1 h'";
    steps.client.batch_execute(later).await.unwrap();
    steps.take_in([partnership("back", "o03", "o01", "strict")]).await;
    steps.take_in([edit("light", "o17", "adders", &[("a", json!(1))])]).await;
    steps.take_in([edit("heavy", "o17", "adders", &[("b", json!(1)), ("c", json!(1))])]).await;
    steps.executor.settle().await.unwrap();
    let left = "select event_id from letter join event using (event_no) order by position";
    assert_eq!(steps.lines(left).await, "ends\nback\n");
    drop(steps.database);
}

/// Makes writing one key of pac fail, as a constraint would.
const REFUSE: &str = "
    create function refuse() returns trigger language plpgsql as $$ begin
        raise exception 'no room' using errcode = '23514';
    end $$;
    create trigger refuse before insert on setting for each row
        when (new.key = 'm00150' and new.origin_no is not null) execute function refuse();";

#[tokio::test]
async fn a_part_that_fails_is_tried_again_where_the_one_before_ended() {
    let steps = Steps::with_limits(room(100)).await;
    steps.apply([snapshot("first", "helios", "equipment", entries("m", 250, 1))]).await;
    steps.client.batch_execute(REFUSE).await.unwrap();
    steps.take_in([partnership("begins", "helios", "pac", "strict")]).await;
    let letter = "select attempts, after_key, added from letter where kind = 'reconcile'";
    for _ in 0..20 {
        steps.executor.step().await.unwrap();
        if steps.lines(letter).await.starts_with("1 ") {
            break;
        }
    }
    assert_eq!(steps.lines(letter).await, "1 | m00099 | 100\n");
    steps
        .client
        .batch_execute("drop trigger refuse on setting; update letter set run_at = now()")
        .await
        .unwrap();
    steps.executor.step().await.unwrap();
    assert_eq!(steps.lines(letter).await, "0 | m00199 | 200\n", "a part that went through begins anew");
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.lines(&jobs("begins", "pac")).await,
        "partnership-change | succeeded | 1 | 0 | 0 | 0\nreconcile | succeeded | 1 | 250 | 0 | 0\n"
    );
    assert_eq!(steps.lines(WRITTEN).await, "100\n100\n50\n", "nothing was written twice");
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_is_given_up_after_a_part_tells_what_that_part_did() {
    let steps = Steps::with_limits(room(100)).await;
    steps.apply([snapshot("first", "helios", "equipment", entries("m", 250, 1))]).await;
    steps.client.batch_execute(REFUSE).await.unwrap();
    steps.take_in([partnership("begins", "helios", "pac", "strict")]).await;
    let waiting = "select count(*) from letter";
    for _ in 0..50 {
        steps.executor.step().await.unwrap();
        if steps.lines(waiting).await == "0\n" {
            break;
        }
    }
    assert_eq!(
        steps.lines(&jobs("begins", "pac")).await,
        "partnership-change | succeeded | 1 | 0 | 0 | 0\nreconcile | failed | 3 | 100 | 0 | 0\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_batch_that_is_broken_off_between_two_parts_leaves_what_the_one_before_did() {
    let steps = Steps::with_limits(room(100)).await;
    steps.apply([snapshot("first", "helios", "equipment", entries("m", 250, 1))]).await;
    steps.take_in([partnership("begins", "helios", "pac", "strict")]).await;
    while steps.lines(WRITTEN).await != "100\n" {
        steps.executor.step().await.unwrap();
    }
    // At any point of a step: what it did is gone, and the letter is as it was.
    for polls in [1, 5, 20, 80] {
        let step = steps.executor.step();
        tokio::pin!(step);
        for _ in 0..polls {
            if futures_util::poll!(&mut step).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.lines(&jobs("begins", "pac")).await,
        "partnership-change | succeeded | 1 | 0 | 0 | 0\nreconcile | succeeded | 1 | 250 | 0 | 0\n"
    );
    assert_eq!(steps.lines(WRITTEN).await, "100\n100\n50\n", "nothing was written twice");
    drop(steps.database);
}
