//! The steps of ingest and executor, driven by hand against a real database.

use std::sync::Arc;

use channel_sync::contract::{Limits, Message};
use channel_sync::domain::Shard;
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::{BatchLimits, Executor, Step};
use channel_sync::flow::ingest::Ingest;
use channel_sync::operations::{self, OperationError, SettingQuery};
use channel_sync::store::Store;
use channel_sync::store::batch::Due;
use channel_sync::store::intake::Taken;
use serde_json::json;
use tokio_postgres::Client;

use crate::support::broker::eventually;
use crate::support::database::Database;
use crate::support::events::{binary_event, edit, event, partnership, raw};
use crate::support::platform::{LOCK_TIMEOUT, RETRY, lines};

pub(crate) const LIMITS: BatchLimits = BatchLimits {
    letters_max: 1000,
    writes_max: 20_000,
    follow_up_writes_max: 0,
    lock_timeout: LOCK_TIMEOUT,
};

/// Ingest and executor over a database of their own, driven by hand.
pub(crate) struct Steps {
    // Dropped last: the database goes when nobody is connected.
    pub(crate) store: Store,
    pub(crate) ingest: Ingest<Store>,
    pub(crate) executor: Executor<Store>,
    pub(crate) client: Client,
    pub(crate) database: Database,
}

impl Steps {
    pub(crate) async fn start() -> Self {
        Self::with_limits(LIMITS).await
    }

    pub(crate) async fn with_limits(limits: BatchLimits) -> Self {
        Self::over(Database::create().await, limits).await
    }

    /// Over this database.
    pub(crate) async fn over(database: Database, limits: BatchLimits) -> Self {
        let store = database.store();
        let catalogue = Arc::new(Catalogue::parse(BUILT_IN).unwrap());
        let ingest = Ingest::new(store.clone(), Arc::clone(&catalogue), Limits::default());
        let executor = Executor::new(store.clone(), catalogue, limits, RETRY);
        let client = database.client().await;
        client.batch_execute("set search_path = channel_sync").await.unwrap();
        Self { store, ingest, executor, client, database }
    }

    /// The shards with due letters; up to ten are counted in each.
    async fn due(&self) -> Vec<Due> {
        let all: Vec<Shard> = Shard::all().collect();
        let mut session = self.store.session().await.unwrap();
        session.shards_due(&all, 10).await.unwrap()
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
async fn a_change_reaches_a_partner_whose_partnership_ends_only_behind_it() {
    let steps = Steps::with_partners().await;
    let change = edit("second", "helios", "equipment", &[("m", json!(2))]);
    let end = partnership("end", "helios", "a", "ended");
    let later = edit("third", "helios", "equipment", &[("m", json!(3))]);
    // All three are in one batch, and in one transaction.
    steps.apply([change, end, later]).await;
    assert_eq!(steps.values_of_m().await, "a | 2, b | 3, c | 3, d | 3, e | 3, helios | 3, ");
}

#[tokio::test]
async fn the_end_of_a_partnership_waits_for_a_change_that_came_on_its_way_meanwhile() {
    let steps = Steps::with_partners().await;
    let change = edit("second", "helios", "equipment", &[("m", json!(2))]);
    steps.take_in([change, partnership("end", "helios", "a", "ended")]).await;

    // A worker has taken the partner's letters; another one works off what the upstream did before.
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let shard = {
        let query = "select shard from organization where organization_id = 'a'";
        Shard(steps.client.query_one(query, &[]).await.unwrap().get(0))
    };
    let mut session = steps.store.session().await.unwrap();
    let transaction = session.begin().await.unwrap();
    let locked = transaction.lock_shards(&[shard], 1, LOCK_TIMEOUT).await.unwrap();
    let taken = transaction.take_letters(&catalogue, &locked.shards, (10, 10), &locked.held).await.unwrap();
    assert_eq!(taken.letters.len(), 1);
    steps.executor.settle().await.unwrap();
    let nos: Vec<_> = taken.letters.iter().map(|letter| letter.no).collect();
    let (_, batch) =
        transaction.prepare(&catalogue, &locked.shards, taken.letters, locked.held, 10).await.unwrap();
    assert_eq!(batch.waiting.into_iter().collect::<Vec<_>>(), nos);
    drop(transaction);

    steps.executor.settle().await.unwrap();
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
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
    let due = steps.due().await;
    assert_eq!(due.len(), 5, "five partners, of numbers in a row, live in five shards");
    let locked = transaction.lock_shards(&[due[0].shard, due[1].shard], 2, LOCK_TIMEOUT).await.unwrap();
    assert_eq!(locked.shards.len(), 2);

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
    let stored = "select count(*) from rejected_message";
    for redelivered in [false, true, true] {
        message.properties.redelivered = Some(redelivered);
        steps.take_in([message.clone()]).await;
        assert_eq!(steps.lines(stored).await, "1\n");
    }
    // Where somebody has dealt with it and it is published again, it is another one.
    steps.client.batch_execute("update rejected_message set state = 'discarded'").await.unwrap();
    steps.take_in([message.clone()]).await;
    assert_eq!(steps.lines(stored).await, "1\n");
    message.properties.redelivered = Some(false);
    steps.take_in([message.clone(), message]).await;
    assert_eq!(steps.lines(stored).await, "2\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_rejected_message_whose_commit_was_not_answered_is_stored_once() {
    let steps = Steps::start().await;
    let mut message = raw(b"no JSON");
    message.properties.redelivered = Some(false);
    // The batch is stored, and nobody knows: so it is tried again as it is.
    steps.take_in([message.clone()]).await;
    steps.take_in([message]).await;
    assert_eq!(steps.lines("select count(*) from rejected_message").await, "1\n");
    drop(steps.database);
}

#[tokio::test]
async fn a_rejected_message_that_two_consumers_take_in_at_once_is_stored_once() {
    let steps = Steps::start().await;
    // One of them has it for the first time and was taken for dead; so the other one has it again.
    for no in 0..20 {
        let mut message = raw(format!("no JSON {no}").as_bytes());
        message.properties.redelivered = Some(false);
        let mut again = message.clone();
        again.properties.redelivered = Some(true);
        tokio::join!(steps.take_in([message]), steps.take_in([again]));
    }
    assert_eq!(steps.lines("select count(*) from rejected_message").await, "20\n");
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

    // What is there of it is found all the same.
    let query = SettingQuery { category: Some("equipment".to_owned()), limit: 10, ..SettingQuery::default() };
    let settings = async |organization| {
        operations::settings(&steps.store, &without, organization, &query).await.map(|page| page.items.len())
    };
    assert_eq!(settings("helios").await.unwrap(), 1);
    steps.client.batch_execute("delete from setting").await.unwrap();
    let unknown = settings("helios").await.unwrap_err();
    assert!(matches!(unknown, OperationError::UnknownCategory { .. }), "{unknown}");
    drop(steps.database);
}

#[tokio::test]
async fn small_batches_come_to_the_same() {
    let steps = Steps::with_limits(BatchLimits { letters_max: 1, writes_max: 1, ..LIMITS }).await;
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

/// One that has lost its link may still take in what another has got again: if both gave numbers at the same
/// time, a later message could get the smaller one.
#[tokio::test]
async fn one_at_a_time_takes_messages_in() {
    let steps = Steps::start().await;
    let other = steps.database.client().await;
    other.batch_execute("begin; select pg_advisory_xact_lock(25459, -3)").await.unwrap();
    let waiting = async {
        let waits = "select count(*) from pg_locks
                      where locktype = 'advisory' and not granted and classid = 25459
                        and database = (select oid from pg_database where datname = current_database())";
        eventually("it waits", async || steps.lines(waits).await == "1\n").await;
        assert_eq!(steps.lines("select count(*) from event").await, "0\n");
        other.batch_execute("commit").await.unwrap();
    };
    let message = edit("first", "helios", "equipment", &[("k", json!(1))]);
    let (taken, ()) = tokio::join!(steps.take_in([message]), waiting);
    assert!(matches!(taken[..], [Taken::Accepted(_)]), "{taken:?}");
    drop(steps.database);
}

#[tokio::test]
async fn a_letter_that_came_after_a_transaction_had_begun_is_not_passed_over() {
    let steps = Steps::start().await;
    let mut session = steps.store.session().await.unwrap();
    let transaction = session.begin().await.unwrap();
    // What is now for the transaction was before this.
    steps.take_in([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
    let due = steps.due().await;
    let locked = transaction.lock_shards(&[due[0].shard], 1, LOCK_TIMEOUT).await.unwrap();
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let taken = transaction.take_letters(&catalogue, &locked.shards, (10, 10), &locked.held).await.unwrap();
    assert_eq!(taken.letters.len(), 1);
    drop(transaction);
    drop(session);
    drop(steps.database);
}

#[tokio::test]
async fn a_letter_that_cannot_be_read_waits_for_its_turn() {
    let steps = Steps::start().await;
    steps.take_in([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
    steps.take_in([edit("garbled", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.take_in([edit("third", "helios", "equipment", &[("n", json!(3))])]).await;
    let garble = "update event set payload = '7' where event_id = 'garbled'";
    steps.client.batch_execute(garble).await.unwrap();
    let jobs =
        "select e.event_id, j.state from job j join event e on e.event_no = j.cause_no order by job_no";
    let expected = "first | succeeded\ngarbled | failed\nthird | succeeded\n";
    for _ in 0..200 {
        steps.executor.step().await.unwrap();
        if steps.lines(jobs).await == expected {
            break;
        }
    }
    assert_eq!(steps.lines(jobs).await, expected);
    drop(steps.database);
}

#[tokio::test]
async fn a_letter_that_somebody_has_locked_stops_nobody_behind_it() {
    let steps = Steps::with_limits(BatchLimits { letters_max: 1, ..LIMITS }).await;
    let names: Vec<String> = (1..=17).map(|no| format!("o{no:02}")).collect();
    steps
        .apply(names.iter().map(|name| edit(name, name, "adders", &[("a", json!(1))])).collect::<Vec<_>>())
        .await;
    let same = "select count(distinct shard) from organization where organization_id in ('o01', 'o17')";
    assert_eq!(steps.lines(same).await, "1\n");
    steps.take_in([edit("locked", "o01", "equipment", &[("m", json!(1))])]).await;
    let holder = steps.database.client().await;
    holder.batch_execute("begin; select from channel_sync.letter for update").await.unwrap();
    steps.take_in([edit("goes-on", "o17", "equipment", &[("m", json!(2))])]).await;
    let states = "select event_id, state from event_view where event_id in ('locked', 'goes-on') order by 1";
    let expected = "goes-on | done\nlocked | accepted\n";
    for _ in 0..20 {
        steps.executor.step().await.unwrap();
        if steps.lines(states).await == expected {
            break;
        }
    }
    assert_eq!(steps.lines(states).await, expected);
    drop(holder);
    drop(steps.database);
}

#[tokio::test]
async fn a_letter_that_somebody_has_locked_holds_up_nothing_before_it() {
    let steps = Steps::start().await;
    steps.take_in([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
    steps.take_in([edit("locked", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.take_in([edit("third", "helios", "equipment", &[("m", json!(3))])]).await;
    let holder = steps.database.client().await;
    holder
        .batch_execute("begin; select from channel_sync.letter where letter_no = 2 for update")
        .await
        .unwrap();
    let states = "select event_id, state from event_view order by 1";
    let expected = "first | done\nlocked | accepted\nthird | accepted\n";
    for _ in 0..20 {
        steps.executor.step().await.unwrap();
        if steps.lines(states).await == expected {
            break;
        }
    }
    assert_eq!(steps.lines(states).await, expected);
    drop(holder);
    drop(steps.database);
}

#[tokio::test]
async fn an_id_that_is_used_again_is_rejected_as_often_as_it_comes() {
    // Seed 71622 of the simulator: the second of them was taken for a duplicate of the first, which was rejected.
    let steps = Steps::start().await;
    let first = || edit("e1", "helios", "equipment", &[("m", json!(1))]);
    steps.take_in([first()]).await;
    let data = json!({
        "organization_id": "helios", "category": "equipment",
        "changes": [{ "op": "set", "key": "m", "value": 2 }],
    });
    let again =
        [event("e1", "setting-changed", data.clone()), binary_event("e1", "setting-changed", &data), first()];
    let taken = steps.take_in(again).await;
    assert!(
        matches!(&taken[..], [Taken::Rejected(_), Taken::Rejected(_), Taken::Duplicate]),
        "two are other events under its id, and one is the event itself: {taken:?}"
    );
    assert_eq!(
        steps.lines("select code, count(*) from rejected_message group by 1").await,
        "id-reused | 2\n"
    );
    drop(steps.database);
}
