//! The steps of ingest and executor, driven by hand against a real database.

use std::sync::Arc;

use channel_sync::contract::{Limits, Message};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::domain::retry::RetryPolicy;
use channel_sync::flow::executor::{BatchLimits, Executor, Step};
use channel_sync::flow::ingest::Ingest;
use channel_sync::store::Store;
use channel_sync::store::intake::Taken;
use serde_json::json;
use tokio_postgres::Client;

use crate::support::database::Database;
use crate::support::events::{edit, partnership, raw};
use crate::support::platform::{RETRY, lines};

pub(crate) const LIMITS: BatchLimits = BatchLimits { letters_max: 1000, writes_max: 20_000 };

pub(crate) struct Steps {
    // Dropped last: the database goes when nobody is connected.
    pub(crate) store: Store,
    pub(crate) ingest: Ingest,
    pub(crate) executor: Executor,
    pub(crate) client: Client,
    pub(crate) database: Database,
}

impl Steps {
    pub(crate) async fn start() -> Self {
        Self::with_limits(LIMITS).await
    }

    pub(crate) async fn with_limits(limits: BatchLimits) -> Self {
        let database = Database::create().await;
        let store = database.store();
        let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
        let ingest = Ingest::new(store.clone(), Arc::clone(&catalogue), Limits::default());
        let executor = Executor::new(store.clone(), catalogue, limits, RETRY);
        let client = database.client().await;
        client.batch_execute("set search_path = channel_sync").await.unwrap();
        Self { store, ingest, executor, client, database }
    }

    pub(crate) async fn take_in(&self, messages: impl IntoIterator<Item = Message>) -> Vec<Taken> {
        self.ingest.take_in(&self.ingest.decode(messages)).await.unwrap()
    }

    pub(crate) async fn apply(&self, messages: impl IntoIterator<Item = Message>) {
        self.take_in(messages).await;
        self.executor.settle().await.unwrap();
    }

    pub(crate) async fn lines(&self, query: &str) -> String {
        lines(&self.client, query).await
    }

    /// Helios with one module, and strict partners a to e.
    pub(crate) async fn with_partners() -> Self {
        let steps = Self::start().await;
        steps.apply([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
        let partners = ["a", "b", "c", "d", "e"];
        steps.apply(partners.map(|name| partnership(&format!("p-{name}"), "helios", name, "strict"))).await;
        steps
    }

    pub(crate) async fn values_of_m(&self) -> String {
        let query = "select organization_id, value from setting_view where key = 'm' order by 1";
        self.lines(query).await.replace('\n', ", ")
    }
}

#[tokio::test]
async fn who_waits_for_a_letter_that_is_not_due_holds_up_nobody_else() {
    let steps = Steps::with_partners().await;
    // As a retry would be: a letter of c's own that is due in an hour.
    steps.take_in([edit("held", "c", "licenses", &[("l", json!(1))])]).await;
    let hold = "update letter set run_at = now() + interval '1 hour', attempts = 1, last_error = 'once'";
    steps.client.batch_execute(hold).await.unwrap();

    steps.apply([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.apply([edit("third", "helios", "equipment", &[("m", json!(3))])]).await;
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 1, d | 3, e | 3, helios | 3, ");
    let waiting = "select event_id, kind, organization_id, state, attempts, last_error from job_view
                    where state in ('pending', 'retrying') order by created_at, event_id";
    assert_eq!(
        steps.lines(waiting).await,
        "held | own-change | c | retrying | 1 | once\n\
         second | sync-change | c | pending | 0 | -\n\
         third | sync-change | c | pending | 0 | -\n"
    );
    let states = "select event_id, state, jobs_total, jobs_succeeded from event_view
                   where event_id in ('held', 'second') order by 1";
    assert_eq!(steps.lines(states).await, "held | accepted | 1 | 0\nsecond | syncing | 6 | 5\n");

    steps.client.batch_execute("update letter set run_at = now()").await.unwrap();
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 3, d | 3, e | 3, helios | 3, ");
    let order = "select e.event_id, j.attempts from job j join organization o using (organization_no)
                   left join change c on c.change_no = j.cause_no
                   join event e on e.event_no = coalesce(c.event_no, j.cause_no)
                  where o.organization_id = 'c' order by j.job_no desc limit 3";
    assert_eq!(steps.lines(order).await, "third | 1\nsecond | 1\nheld | 2\n");
    drop(steps.database);
}

#[tokio::test]
async fn shards_that_another_worker_has_are_left_to_it() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.executor.step().await.unwrap();
    let mut other = steps.store.session().await.unwrap();
    let transaction = other.begin().await.unwrap();
    let due = steps.store.shards_due(10).await.unwrap();
    assert_eq!(due.len(), 5, "five partners, of numbers in a row, live in five shards");
    let taken = transaction.lock_shards(&[due[0].shard, due[1].shard]).await.unwrap();
    assert_eq!(taken.len(), 2);

    let step = steps.executor.step().await.unwrap();
    assert_eq!((step.jobs, step.letters_done), (3, 3));
    let blocked = steps.executor.step().await.unwrap();
    assert_eq!(blocked, Step { saw_due: true, ..Step::default() });
    // The other worker dies: its locks go, its letters are still there.
    drop(transaction);
    drop(other);
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    drop(steps.database);
}

#[tokio::test]
async fn two_consumers_that_take_in_the_same_messages_at_once_take_them_in_once() {
    let steps = Steps::start().await;
    let messages: Vec<Message> = (0..50)
        .map(|no| edit(&format!("e{no}"), &format!("org-{}", no % 7), "equipment", &[("k", json!(no))]))
        .collect();
    let (one, other) = tokio::join!(steps.take_in(messages.clone()), steps.take_in(messages));
    for (place, (one, other)) in one.iter().zip(&other).enumerate() {
        let accepted = [one, other].iter().filter(|taken| matches!(taken, Taken::Accepted(_))).count();
        let duplicates = [one, other].iter().filter(|taken| matches!(taken, Taken::Duplicate)).count();
        assert_eq!((accepted, duplicates), (1, 1), "message {place}: {one:?}, {other:?}");
    }
    assert_eq!(steps.lines("select count(*), count(distinct cause_no) from letter").await, "50 | 50\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_rejected_message_that_is_delivered_again_is_stored_once() {
    let steps = Steps::start().await;
    let mut message = raw(b"no JSON");
    message.properties.redelivered = Some(false);
    steps.take_in([message.clone()]).await;
    message.properties.redelivered = Some(true);
    steps.take_in([message.clone()]).await;
    assert_eq!(steps.lines("select count(*) from rejected_message").await, "1\n");
    // Published twice, it is two messages.
    message.properties.redelivered = Some(false);
    steps.take_in([message]).await;
    assert_eq!(steps.lines("select count(*) from rejected_message").await, "2\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_catalogue_without_a_category_that_letters_wait_for_is_refused() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("waits", "helios", "equipment", &[("m", json!(2))])]).await;
    let without = BUILT_IN.replacen("name = \"equipment\"", "name = \"gear\"", 1);
    let without = Catalogue::parse(&without).unwrap();
    let refused = steps.store.put_catalogue(&without).await.unwrap_err();
    assert!(refused.to_string().contains("letters wait for equipment"), "{refused}");
    steps.executor.settle().await.unwrap();
    steps.store.put_catalogue(&without).await.unwrap();
    drop(steps.database);
}

#[tokio::test]
async fn small_batches_come_to_the_same() {
    let steps = Steps::with_limits(BatchLimits { letters_max: 1, writes_max: 1 }).await;
    let partners = ["a", "b", "c", "d", "e"];
    steps.take_in([edit("first", "helios", "equipment", &[("m", json!(1)), ("n", json!(1))])]).await;
    steps.take_in(partners.map(|name| partnership(&format!("p-{name}"), "helios", name, "strict"))).await;
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.take_in(partners.map(|name| partnership(&format!("q-{name}"), "helios", name, "flexible"))).await;
    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    assert_eq!(steps.lines("select count(*) from letter").await, "0\n");
    drop(steps.database);
}

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
    let error = "run settings_put: c is full (23514)";
    assert_eq!(
        steps.lines(failed).await,
        format!("second | c | failed | 3 | {error}\nthird | c | failed | 3 | {error}\n")
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
    steps.client.batch_execute("update letter set run_at = now() + interval '1 hour'").await.unwrap();
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
