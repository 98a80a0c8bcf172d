//! Jobs that are given up and replayed, discarded or paused, against a real database, step by step.

use std::sync::Arc;

use channel_sync::contract::{Limits, RejectionCode};
use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::executor::{BatchLimits, Executor};
use channel_sync::flow::ingest::Ingest;
use channel_sync::flow::replayer::Replayer;
use channel_sync::operations::{
    self, JobKey, JobKind, JobSelection, JobState, OperationError, Operator, Purpose, RejectedSelection,
};
use channel_sync::store::replay::Sent;
use serde_json::json;

use crate::model::Random;
use crate::recorded::{WAVES, of_sequence};
use crate::sequence::sequence;
use crate::steps::{LIMITS, Steps};
use crate::support::broker::eventually;
use crate::support::events::{edit, event, invitation, partnership, raw, snapshot};
use crate::support::platform::{LOCK_TIMEOUT, RETRY};

const ANA: Operator<'_> = Operator { name: "ana", reason: "fixed" };

fn built_in() -> Catalogue {
    Catalogue::parse(BUILT_IN).unwrap()
}

const JOBS: &str = "select event_id, kind, organization_id, state, attempts, last_error, result ->> 'skipped'
                      from job_view where state <> 'succeeded' order by event_id, idempotency_key";

impl Steps {
    /// Whatever writes the settings of this organization fails, while `work` is done, and is given up.
    pub(crate) async fn failing(&self, organization: &str, work: impl AsyncFnOnce(&Self)) {
        let no = self
            .lines(&format!(
                "select organization_no from organization where organization_id = '{organization}'"
            ))
            .await;
        let trigger = format!(
            "create function refuse() returns trigger language plpgsql as $$ begin
                 if (coalesce(new, old)).organization_no = {} then
                     raise exception 'c is full' using errcode = '23514';
                 end if;
                 return coalesce(new, old);
             end $$;
             create trigger refuse before insert or update or delete on setting for each row
                 execute function refuse()",
            no.trim()
        );
        self.client.batch_execute(&trigger).await.unwrap();
        work(self).await;
        let waits = "select count(*) from letter";
        for _ in 0..400 {
            self.executor.step().await.unwrap();
            if self.lines(waits).await == "0\n" {
                break;
            }
        }
        assert_eq!(self.lines(waits).await, "0\n", "everything is done or given up");
        self.client.batch_execute("drop trigger refuse on setting; drop function refuse").await.unwrap();
    }

    pub(crate) async fn replay(&self, selection: &JobSelection) -> i64 {
        let replay = operations::replay(&self.store, &built_in(), selection, None, ANA, None).await.unwrap();
        replay.replay_no
    }

    /// Sends all that there is to be sent, and does it.
    pub(crate) async fn finish_replays(&self) {
        let replayer = Replayer::new(self.store.clone());
        while replayer.step().await.unwrap().is_some() {}
        self.executor.settle().await.unwrap();
    }

    async fn replay_all(&self) {
        self.replay(&all_failed()).await;
        self.finish_replays().await;
    }

    pub(crate) async fn settings(&self, organization: &str) -> String {
        let query = format!(
            "select category || ' ' || key, value, origin from setting_view
              where organization_id = '{organization}' order by 1"
        );
        self.lines(&query).await.trim_end().replace('\n', ", ")
    }

    async fn results(&self, event: &str) -> String {
        let query = format!(
            "select kind, state, jsonb_strip_nulls(jsonb_build_object(
                        'added', nullif(result -> 'added', '0'), 'changed', nullif(result -> 'changed', '0'),
                        'removed', nullif(result -> 'removed', '0'), 'overtaken', result -> 'overtaken',
                        'skipped', result -> 'skipped'))
               from job_view where event_id = '{event}' and organization_id = 'c' order by idempotency_key"
        );
        self.lines(&query).await
    }
}

fn all_failed() -> JobSelection {
    JobSelection { state: Some(JobState::Failed), ..JobSelection::default() }
}

fn key(text: &str) -> JobKey {
    text.trim().parse().unwrap()
}

#[tokio::test]
async fn a_replay_makes_letters_of_failed_jobs_and_their_attempts_go_on_counting() {
    let steps = Steps::with_partners().await;
    steps
        .failing("c", async |steps| {
            steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
            steps.take_in([edit("third", "helios", "adders", &[("a", json!(1))])]).await;
        })
        .await;
    let errors = ["run settings_change: c is full (23514)", "run settings_add: c is full (23514)"];
    let [changing, adding] = errors;
    let failed = format!(
        "second | sync-change | c | failed | 3 | {changing} | -\n\
         third | sync-change | c | failed | 3 | {adding} | -\n"
    );
    assert_eq!(steps.lines(JOBS).await, failed);

    let chosen = operations::chosen(&steps.store, &built_in(), Purpose::Replay, &all_failed()).await.unwrap();
    assert_eq!((chosen.jobs, chosen.refused, chosen.groups.len()), (2, 0, 2));
    assert!(chosen.groups.iter().all(|group| errors.contains(&group.error.as_deref().unwrap())));
    let keys = steps.lines("select idempotency_key from job_view where state = 'failed' order by 1").await;
    let replay = steps.replay(&all_failed()).await;
    assert_eq!(steps.lines(JOBS).await, failed, "nothing is sent yet");

    let replayer = Replayer::new(steps.store.clone());
    let sent = Sent { replay_no: replay, sent: 2, refused: 0, done: true };
    assert_eq!(replayer.step().await.unwrap(), Some(sent));
    assert_eq!(replayer.step().await.unwrap(), None);
    assert_eq!(
        steps.lines(JOBS).await,
        "second | sync-change | c | pending | 3 | - | -\nthird | sync-change | c | pending | 3 | - | -\n"
    );
    let waiting = operations::replay_detail(&steps.store, replay).await.unwrap();
    assert_eq!((waiting.outcome("waiting"), waiting.settled()), (2, 0));

    steps.executor.settle().await.unwrap();
    assert_eq!(steps.lines(JOBS).await, "");
    assert_eq!(
        steps
            .lines(
                "select idempotency_key, attempts from job_view where event_id in ('second', 'third')
                        and organization_id = 'c' order by 1"
            )
            .await,
        keys.lines().map(|key| format!("{key} | 4\n")).collect::<String>()
    );
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    let done = operations::replay_detail(&steps.store, replay).await.unwrap();
    assert_eq!((done.outcome("succeeded"), done.settled(), &*done.replay.state), (2, 2, "done"));
    assert_eq!(
        steps.lines("select who, action, reason, subject ->> 'jobs' from operator_action").await,
        "ana | jobs replay | fixed | 2\n"
    );
    assert_eq!(
        steps.lines("select state, jobs_failed from event_view where event_id = 'second'").await,
        "done | 0\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_replay_that_fails_again_is_retried_and_given_up_like_any_job() {
    let steps = Steps::with_partners().await;
    let second = async |steps: &Steps| {
        steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    };
    steps.failing("c", second).await;
    let replay = steps.replay(&all_failed()).await;
    steps
        .failing("c", async |steps| {
            Replayer::new(steps.store.clone()).step().await.unwrap();
        })
        .await;
    let error = "run settings_change: c is full (23514)";
    assert_eq!(steps.lines(JOBS).await, format!("second | sync-change | c | failed | 6 | {error} | -\n"));
    let detail = operations::replay_detail(&steps.store, replay).await.unwrap();
    assert_eq!((detail.outcome("failed"), detail.settled()), (1, 1));
    assert_eq!(detail.troubles[0].reason.as_deref(), Some(error));
    drop(steps.database);
}

#[tokio::test]
async fn a_replay_never_overwrites_what_is_newer() {
    let steps = Steps::start().await;
    steps.apply([edit("h1", "helios", "equipment", &[("h", json!(1)), ("gone", json!(1))])]).await;
    steps.apply([partnership("p1", "helios", "c", "flexible")]).await;
    steps
        .failing("c", async |steps| {
            let all = ["own", "synced", "taken", "free", "gone"].map(|key| (key, json!("old")));
            steps.take_in([edit("old", "c", "equipment", &all)]).await;
            steps.take_in([edit("old-adders", "c", "adders", &[("a", json!("old"))])]).await;
            steps.take_in([snapshot("old-costs", "c", "default-costs", json!({ "battery": "old" }))]).await;
            steps
                .take_in([edit("merge", "helios", "equipment", &[("mine", json!(1)), ("theirs", json!(1))])])
                .await;
        })
        .await;
    steps.apply([edit("new", "c", "equipment", &[("own", json!("new")), ("mine", json!("new"))])]).await;
    steps.apply([edit("h2", "helios", "equipment", &[("synced", json!("new"))])]).await;
    steps.apply([snapshot("snap", "c", "adders", json!({ "b": "new" }))]).await;
    steps.apply([edit("costs", "c", "default-costs", &[("inverter", json!("new"))])]).await;
    steps.apply([edit("drop", "c", "equipment", &[("gone", json!(null))])]).await;
    steps.replay_all().await;
    assert_eq!(
        steps.settings("c").await,
        "adders b | \"new\" | own, default-costs battery | \"old\" | own, default-costs inverter | \"new\" | own, \
         equipment free | \"old\" | own, equipment h | 1 | helios, equipment mine | \"new\" | own, \
         equipment own | \"new\" | own, equipment synced | \"new\" | helios, equipment taken | \"old\" | own, \
         equipment theirs | 1 | helios"
    );
    assert_eq!(steps.results("old").await, "own-change | succeeded | {\"added\": 2, \"overtaken\": 3}\n");
    let overtaken = "something newer has written these entries since";
    assert_eq!(
        steps.results("old-adders").await,
        format!("own-change | succeeded | {{\"skipped\": \"{overtaken}\", \"overtaken\": 1}}\n")
    );
    assert_eq!(steps.results("old-costs").await, "own-change | succeeded | {\"added\": 1}\n");
    assert_eq!(steps.results("merge").await, "sync-change | succeeded | {\"added\": 1, \"overtaken\": 1}\n");
    drop(steps.database);
}

#[tokio::test]
async fn what_was_taken_away_since_does_not_come_back() {
    let steps = Steps::start().await;
    steps.apply([edit("h1", "helios", "equipment", &[("k", json!(1)), ("l", json!(1))])]).await;
    steps.apply([partnership("p1", "helios", "c", "strict")]).await;
    steps.apply([partnership("p2", "helios", "c", "flexible")]).await;
    let old = async |steps: &Steps| {
        steps.take_in([edit("old", "c", "equipment", &[("k", json!(5)), ("x", json!(5))])]).await;
    };
    steps.failing("c", old).await;
    steps.apply([partnership("p3", "helios", "c", "strict")]).await;
    steps.apply([edit("h2", "helios", "equipment", &[("k", json!(null))])]).await;
    steps.apply([partnership("p4", "helios", "c", "flexible")]).await;
    // The removal is replayed too, and finds nothing to do: it still counts.
    let removal = steps
        .lines("select idempotency_key from job_view where event_id = 'h2' and kind = 'sync-change'")
        .await;
    steps.replay(&JobSelection { keys: vec![key(&removal)], ..JobSelection::default() }).await;
    steps.finish_replays().await;
    assert_eq!(steps.results("h2").await.matches("skipped").count(), 1);
    steps.replay_all().await;
    assert_eq!(steps.settings("c").await, "equipment l | 1 | helios, equipment x | 5 | own");
    assert_eq!(steps.results("old").await, "own-change | succeeded | {\"added\": 1, \"overtaken\": 1}\n");
    drop(steps.database);
}

/// Of a reconcile a part is done; what is left of it waits, or was given up.
async fn what_a_part_has_taken_away(given_up: bool) {
    let steps = Steps::with_limits(BatchLimits { writes_max: 2, ..LIMITS }).await;
    let entries = ["m1", "m2", "m3", "m4"].map(|key| (key, json!(1)));
    steps.apply([edit("h1", "helios", "equipment", &entries)]).await;
    steps.apply([edit("c1", "c", "equipment", &[("k", json!(1))])]).await;
    let old = async |steps: &Steps| {
        steps.take_in([edit("old", "c", "equipment", &[("k", json!("old")), ("x", json!("old"))])]).await;
    };
    steps.failing("c", old).await;
    steps.take_in([invitation("p1", "helios", "c", "flexible")]).await;
    let parts = "select after_key, added, removed from letter where kind = 'reconcile'";
    while !steps.lines(parts).await.starts_with("m1") {
        steps.executor.step().await.unwrap();
    }
    assert_eq!(steps.lines(parts).await, "m1 | 1 | 1\n");
    if given_up {
        steps.failing("c", async |_| {}).await;
    }
    let old = steps.lines("select idempotency_key from job_view where event_id = 'old'").await;
    steps.replay(&JobSelection { keys: vec![key(&old)], ..JobSelection::default() }).await;
    steps.finish_replays().await;
    if given_up {
        steps.replay_all().await;
    }
    assert_eq!(
        steps.settings("c").await,
        "equipment m1 | 1 | helios, equipment m2 | 1 | helios, equipment m3 | 1 | helios, equipment m4 | 1 | helios"
    );
    let overtaken = "something newer has written these entries since";
    assert_eq!(
        steps.results("old").await,
        format!("own-change | succeeded | {{\"skipped\": \"{overtaken}\", \"overtaken\": 2}}\n")
    );
    drop(steps.database);
}

#[tokio::test]
async fn what_a_part_has_taken_away_does_not_come_back_while_the_rest_waits() {
    what_a_part_has_taken_away(false).await;
}

#[tokio::test]
async fn what_a_part_has_taken_away_does_not_come_back_where_the_rest_was_given_up() {
    what_a_part_has_taken_away(true).await;
}

#[tokio::test]
async fn a_match_brings_what_the_upstream_has_now_and_flags_set_since_stay() {
    let steps = Steps::with_partners().await;
    steps
        .failing("c", async |steps| {
            steps.take_in([edit("two", "helios", "equipment", &[("m", json!(2)), ("n", json!(2))])]).await;
            steps
                .take_in([edit("three", "helios", "equipment", &[("m", json!(3)), ("n", json!(null))])])
                .await;
        })
        .await;
    // The older one of them alone.
    let two =
        steps.lines("select idempotency_key from job_view where event_id = 'two' and state = 'failed'").await;
    steps.replay(&JobSelection { keys: vec![key(&two)], ..JobSelection::default() }).await;
    steps.finish_replays().await;
    assert_eq!(steps.settings("c").await, "equipment m | 3 | helios");
    assert_eq!(
        steps.lines("select event_id from setting_view where organization_id = 'c'").await,
        "three\n",
        "as new as the upstream's"
    );

    // An invitation whose reconcile fails, and flags that fail.
    steps.apply([edit("l", "helios", "licenses", &[("l", json!(1)), ("k", json!(1))])]).await;
    steps.apply([edit("f", "f", "adders", &[("x", json!(1))])]).await;
    steps
        .failing("f", async |steps| {
            steps.take_in([invitation("invite", "helios", "f", "flexible")]).await;
        })
        .await;
    steps.apply([edit("mine", "f", "licenses", &[("l", json!(7))])]).await;
    let before =
        steps.lines("select since_change_no from partnership order by upstream_no, downstream_no").await;
    steps.replay(&JobSelection { kind: Some(JobKind::Reconcile), ..JobSelection::default() }).await;
    steps.finish_replays().await;
    assert_eq!(
        steps.settings("f").await,
        "equipment m | 3 | helios, licenses k | 1 | helios, licenses l | 7 | own"
    );
    let after =
        steps.lines("select since_change_no from partnership order by upstream_no, downstream_no").await;
    assert_eq!(before, after);

    // As a partnership-change would fail.
    let refuse = "create function refuse() returns trigger language plpgsql as
                  $$ begin raise exception 'no' using errcode = '23514'; end $$;
                  create trigger refuse before insert or update on partnership for each row execute function refuse()";
    steps.client.batch_execute(refuse).await.unwrap();
    steps.take_in([partnership("off", "helios", "f", "off")]).await;
    for _ in 0..100 {
        steps.executor.step().await.unwrap();
        if steps.lines("select count(*) from letter").await == "0\n" {
            break;
        }
    }
    steps.client.batch_execute("drop trigger refuse on partnership").await.unwrap();
    steps.apply([partnership("strict", "helios", "f", "strict")]).await;
    steps.replay(&JobSelection { event_id: Some("off".to_owned()), ..JobSelection::default() }).await;
    steps.finish_replays().await;
    assert_eq!(steps.lines("select mode from partnership_view where downstream_id = 'f'").await, "strict\n");
    assert_eq!(steps.lines("select state from event_view where event_id = 'off'").await, "superseded\n");
    drop(steps.database);
}

#[tokio::test]
async fn what_may_not_be_replayed_is_refused_with_a_reason() {
    let steps = Steps::with_partners().await;
    steps.apply([snapshot("wrong", "helios", "equipment", json!({}))]).await;
    steps.take_in([edit("waits", "c", "licenses", &[("l", json!(1))])]).await;
    let keys = steps
        .lines(
            "select idempotency_key from job_view where event_id in ('first', 'wrong', 'waits') order by 1",
        )
        .await;
    let keys: Vec<JobKey> = keys.lines().map(key).collect();
    let selection = JobSelection { keys, ..JobSelection::default() };
    let chosen = operations::chosen(&steps.store, &built_in(), Purpose::Replay, &selection).await.unwrap();
    let mut refusals: Vec<_> =
        chosen.groups.iter().map(|group| (&*group.state, group.refusal.as_deref().unwrap())).collect();
    refusals.sort_unstable();
    assert_eq!(
        refusals,
        [
            ("discarded", "its event was found wrong when it ran: see the rejected messages"),
            ("pending", "it waits to be done already"),
            ("succeeded", "it has succeeded: done once more, it could undo what came later"),
        ]
    );
    let refused =
        operations::replay(&steps.store, &built_in(), &selection, None, ANA, None).await.unwrap_err();
    assert!(matches!(refused, OperationError::NothingToReplay), "{refused}");
    assert_eq!(steps.lines("select count(*) from replay").await, "0\n");
    let unknown = JobSelection { keys: vec![key("999-1")], ..JobSelection::default() };
    let unknown = operations::replay(&steps.store, &built_in(), &unknown, None, ANA, None).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no job 999-1 is known");
    drop(steps.database);
}

/// Helios' change of m fails in all five partners.
async fn five_failed() -> Steps {
    let steps = Steps::with_partners().await;
    let refuse = "create function refuse() returns trigger language plpgsql as
                  $$ begin raise exception 'full' using errcode = '23514'; end $$;
                  create trigger refuse before update on setting for each row
                     when (new.origin_no is not null) execute function refuse()";
    steps.client.batch_execute(refuse).await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    for _ in 0..400 {
        steps.executor.step().await.unwrap();
        if steps.lines("select count(*) from job where state = 'failed'").await == "5\n" {
            break;
        }
    }
    steps.client.batch_execute("drop trigger refuse on setting").await.unwrap();
    steps
}

#[tokio::test]
async fn several_replayers_keep_to_the_rate_together_and_a_cancelled_replay_sends_no_more() {
    let steps = five_failed().await;
    let replay = operations::replay(&steps.store, &built_in(), &all_failed(), None, ANA, Some(1))
        .await
        .unwrap()
        .replay_no;
    // As if it had just been due: at the beginning, up to a second is made up for.
    let now = "update replay set next_at = clock_timestamp() - interval '10 s'";
    steps.client.batch_execute(now).await.unwrap();
    let (one, other) = (Replayer::new(steps.store.clone()), Replayer::new(steps.store.clone()));
    let mut sent = 0;
    for _ in 0..10 {
        let (one, other) = tokio::join!(one.step(), other.step());
        sent += [one.unwrap(), other.unwrap()].into_iter().flatten().map(|step| step.sent).sum::<usize>();
    }
    assert!((1..=2).contains(&sent), "{sent} sent at once at one a second");
    let due = steps.store.replay_due().await.unwrap().unwrap();
    assert!(due.as_millis() > 0 && due.as_millis() <= 1000, "{due:?}");

    let left_off = operations::cancel_replay(&steps.store, replay, "ben", None).await.unwrap();
    assert_eq!(left_off, 5 - sent as i32);
    assert_eq!(one.step().await.unwrap(), None);
    assert_eq!(steps.store.replay_due().await.unwrap(), None);
    let again = operations::cancel_replay(&steps.store, replay, "ben", None).await.unwrap_err();
    assert_eq!(again.to_string(), format!("the replay {replay} is cancelled; expected one that is running"));
    let unknown = operations::cancel_replay(&steps.store, 99, "ben", None).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no replay 99 is known");
    steps.executor.settle().await.unwrap();
    let detail = operations::replay_detail(&steps.store, replay).await.unwrap();
    assert_eq!(detail.outcome("succeeded"), sent as i64);
    assert_eq!(
        steps.lines("select who, action from operator_action order by action_no").await,
        "ana | jobs replay\nben | replays cancel\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_shard_that_an_executor_has_is_waited_for() {
    let steps = five_failed().await;
    steps.replay(&all_failed()).await;
    let mut other = steps.store.session().await.unwrap();
    let transaction = other.begin().await.unwrap();
    let all: Vec<_> = (0..16).map(channel_sync::domain::Shard).collect();
    assert_eq!(transaction.lock_shards(&all, 16, LOCK_TIMEOUT).await.unwrap().shards.len(), 16);
    let replayer = Replayer::new(steps.store.clone());
    let sending = tokio::spawn(async move { replayer.step().await });
    let waits =
        "select count(*) from pg_locks where locktype = 'advisory' and classid = 25459 and not granted
                    and database = (select oid from pg_database where datname = current_database())";
    crate::support::broker::eventually("somebody waits for a shard", || async {
        steps.lines(waits).await == "1\n"
    })
    .await;
    assert_eq!(steps.lines("select count(*) from letter").await, "0\n");
    drop(transaction);
    assert_eq!(sending.await.unwrap().unwrap().map(|sent| sent.sent), Some(1));
    steps.finish_replays().await;
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_is_tried_again_later_is_due_now() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("held", "c", "licenses", &[("l", json!(1))])]).await;
    let hold = "update letter set run_at = now() + interval '1 hour', attempts = 1, last_error = 'once'";
    steps.client.batch_execute(hold).await.unwrap();
    let retrying = JobSelection { state: Some(JobState::Retrying), ..JobSelection::default() };
    steps.replay(&retrying).await;
    steps.finish_replays().await;
    assert_eq!(steps.settings("c").await, "equipment m | 1 | helios, licenses l | 1 | own");
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_went_on_since_it_was_chosen_is_refused() {
    let steps = five_failed().await;
    let replay = steps.replay(&all_failed()).await;
    let c = JobSelection { organization_id: Some("c".to_owned()), ..JobSelection::default() };
    assert_eq!(operations::discard_jobs(&steps.store, &built_in(), &c, None, ANA).await.unwrap(), 1);
    steps.finish_replays().await;
    let detail = operations::replay_detail(&steps.store, replay).await.unwrap();
    assert_eq!((detail.replay.sent, detail.replay.refused, detail.settled()), (4, 1, 5));
    assert_eq!(detail.troubles[0].reason.as_deref(), Some("it was failed and is not any more"));
    drop(steps.database);
}

#[tokio::test]
async fn discarded_jobs_are_given_up_for_good_until_somebody_replays_them() {
    let steps = five_failed().await;
    steps.take_in([edit("held", "c", "licenses", &[("l", json!(1))])]).await;
    steps.take_in([edit("behind", "c", "licenses", &[("k", json!(1))])]).await;
    let hold = "update letter set run_at = now() + interval '1 hour', attempts = 2, last_error = 'twice'
                 where event_no = (select event_no from event where event_id = 'held')";
    steps.client.batch_execute(hold).await.unwrap();
    let c = JobSelection { organization_id: Some("c".to_owned()), ..JobSelection::default() };
    let chosen = operations::chosen(&steps.store, &built_in(), Purpose::Discard, &c).await.unwrap();
    assert_eq!((chosen.jobs, chosen.refused), (2, 0));
    let why = Operator { name: "ana", reason: "sent by mistake" };
    assert_eq!(operations::discard_jobs(&steps.store, &built_in(), &c, chosen.at, why).await.unwrap(), 2);
    steps.executor.settle().await.unwrap();
    let of_c = "select event_id, state, attempts, last_error, result ->> 'skipped' from job_view
                 where organization_id = 'c' and event_id in ('held', 'behind', 'second') order by 1";
    let by_ana = "discarded by ana: sent by mistake";
    assert_eq!(
        steps.lines(of_c).await,
        format!(
            "behind | succeeded | 1 | - | -\nheld | discarded | 2 | twice | {by_ana}\n\
             second | discarded | 3 | run settings_change: full (23514) | {by_ana}\n"
        )
    );
    assert_eq!(
        steps
            .lines("select who, action, reason, jsonb_array_length(subject -> 'jobs') from operator_action")
            .await,
        "ana | jobs discard | sent by mistake | 2\n"
    );
    // By mistake was by mistake.
    let discarded = JobSelection { state: Some(JobState::Discarded), ..JobSelection::default() };
    steps.replay(&discarded).await;
    steps.finish_replays().await;
    assert_eq!(
        steps.lines(of_c).await,
        "behind | succeeded | 1 | - | -\nheld | succeeded | 3 | - | -\nsecond | succeeded | 4 | - | -\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn a_pause_waits_for_the_work_in_hand_and_is_shown_with_what_waits() {
    let steps = Steps::with_partners().await;
    let mut other = steps.store.session().await.unwrap();
    let transaction = other.begin().await.unwrap();
    // Organization 4 is c.
    let shard = channel_sync::domain::OrganizationNo(4).shard();
    transaction.lock_shards(&[shard], 1, LOCK_TIMEOUT).await.unwrap();
    let (store, mut pausing) = (steps.store.clone(), None);
    let handle = pausing.insert(tokio::spawn(async move {
        operations::pause(&store, Some("c"), Operator { name: "ana", reason: "moving" }).await
    }));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), handle).await.is_err());
    drop(transaction);
    assert!(pausing.unwrap().await.unwrap().unwrap());
    let twice = operations::pause(&steps.store, Some("c"), Operator { name: "ben", reason: "too" }).await;
    assert!(!twice.unwrap(), "it is paused already");
    assert!(operations::pause(&steps.store, None, ANA).await.unwrap());
    let unknown = operations::pause(&steps.store, Some("nobody"), ANA).await.unwrap_err();
    assert!(matches!(unknown, OperationError::UnknownOrganization { .. }), "{unknown}");

    steps.take_in([edit("held", "c", "licenses", &[("l", json!(1))])]).await;
    steps.take_in([edit("other", "a", "licenses", &[("l", json!(1))])]).await;
    let session = steps.store.session().await.unwrap();
    let pauses: Vec<_> = session
        .list_pauses(None, None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.organization_id, row.paused_by, row.reason, row.jobs_waiting))
        .collect();
    let row = |organization: Option<&str>, by: &str, reason: &str, jobs| {
        (organization.map(str::to_owned), by.to_owned(), reason.to_owned(), jobs)
    };
    assert_eq!(pauses, [row(None, "ana", "fixed", 2), row(Some("c"), "ana", "moving", 1)]);

    assert!(operations::resume(&steps.store, None, "ben").await.unwrap());
    assert!(operations::resume(&steps.store, Some("c"), "ben").await.unwrap());
    assert!(!operations::resume(&steps.store, Some("c"), "ben").await.unwrap());
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps
            .lines(
                "select who, action, reason, subject ->> 'organization' from operator_action order by 1, 2, 4"
            )
            .await,
        "ana | pause | moving | c\nana | pause | fixed | -\nben | resume | - | c\nben | resume | - | -\n"
    );
    drop(steps.database);
}

const REJECTED: &str =
    "select rejected_id, code, state, settled_by, settled_reason from rejected_message order by rejected_id";

#[tokio::test]
async fn a_rejected_message_is_taken_in_at_its_old_place_after_the_catalogue_names_its_category() {
    let mut steps = Steps::start().await;
    steps.take_in([edit("e0", "helios", "adders", &[("a", json!(1))])]).await;
    // Three messages at once: the one in the middle is rejected, and keeps its place between the others.
    steps
        .take_in([
            edit("e1", "helios", "adders", &[("b", json!(1))]),
            edit("old", "helios", "roofs", &[("x", json!("old")), ("y", json!("old"))]),
            edit("e2", "helios", "adders", &[("c", json!(1))]),
            raw(b"no JSON"),
        ])
        .await;
    steps.executor.settle().await.unwrap();

    let roofs = format!("{BUILT_IN}\n[[category]]\nname = \"roofs\"\nreach = \"ongoing\"\n");
    let roofs = Arc::new(Catalogue::parse(&roofs).unwrap());
    let (limits, all) = (Limits::default(), RejectedSelection::default());
    let replay = async |steps: &Steps| {
        operations::replay_rejected(&steps.store, &roofs, &limits, &all, None, ANA).await
    };
    let behind = replay(&steps).await.unwrap_err();
    assert_eq!(behind.to_string(), "the service was started with a catalogue that does not name roofs");
    steps.store.put_catalogue(&roofs).await.unwrap();
    steps.ingest = Ingest::new(steps.store.clone(), Arc::clone(&roofs), limits);
    steps.executor = Executor::new(steps.store.clone(), Arc::clone(&roofs), LIMITS, RETRY);
    steps.apply([edit("new", "helios", "roofs", &[("x", json!("new"))])]).await;

    let preview = operations::preview_rejected(&steps.store, &roofs, &limits, &all).await.unwrap();
    assert_eq!((preview.accepted, preview.refused.get(&RejectionCode::MalformedJson)), (1, Some(&1)));
    let replayed = replay(&steps).await.unwrap();
    assert_eq!((replayed.accepted, replayed.refused.get(&RejectionCode::MalformedJson)), (1, Some(&1)));
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.lines("select event_id, verdict from event order by event_no").await,
        "e0 | accepted\ne1 | accepted\nold | accepted\ne2 | accepted\nnew | accepted\n"
    );
    assert_eq!(
        steps
            .lines("select key, value, event_id from setting_view where category = 'roofs' order by 1")
            .await,
        "x | \"new\" | new\ny | \"old\" | old\n"
    );
    assert_eq!(
        steps.lines(REJECTED).await,
        "1 | unknown-category | replayed | ana | fixed\n2 | malformed-json | rejected | - | -\n"
    );
    assert_eq!(
        steps.lines("select who, action, subject from operator_action").await,
        "ana | rejected replay | {\"filter\": {}, \"replayed\": [1], \"refused_again\": [2]}\n"
    );
    // Published again, it is a duplicate.
    steps.apply([edit("old", "helios", "roofs", &[("x", json!("old")), ("y", json!("old"))])]).await;
    assert_eq!(steps.lines("select count(*) from event").await, "5\n");
    drop(steps.database);
}

#[tokio::test]
async fn events_that_were_found_wrong_run_once_more() {
    let steps = Steps::start().await;
    let catalogue = built_in();
    steps.apply([edit("h1", "helios", "equipment", &[("m", json!(1))])]).await;
    steps.apply([partnership("p1", "sunny", "c", "strict")]).await;
    steps.apply([partnership("p2", "helios", "c", "flexible")]).await;
    steps.apply([snapshot("empty", "helios", "equipment", json!({}))]).await;
    assert_eq!(
        steps.lines("select code from rejected_message").await,
        "exclusive-conflict\nempty-snapshot\n"
    );
    steps.apply([partnership("p3", "sunny", "c", "ended")]).await;
    let all = RejectedSelection::default();
    let limits = Limits::default();
    let replayed =
        operations::replay_rejected(&steps.store, &catalogue, &limits, &all, None, ANA).await.unwrap();
    assert_eq!(replayed.run_again, 2);
    steps.executor.settle().await.unwrap();
    assert_eq!(
        steps.lines("select mode from partnership_view where upstream_id = 'helios'").await,
        "flexible\n"
    );
    assert_eq!(steps.settings("c").await, "equipment m | 1 | helios");
    // The snapshot is as wrong as before, and stands there anew.
    assert_eq!(
        steps.lines(REJECTED).await,
        "1 | exclusive-conflict | replayed | ana | fixed\n2 | empty-snapshot | replayed | ana | fixed\n\
         3 | empty-snapshot | rejected | - | -\n"
    );
    assert_eq!(
        steps
            .lines("select event_id, state from event_view where event_id in ('p2', 'empty') order by 1")
            .await,
        "empty | rejected\np2 | done\n"
    );
    drop(steps.database);
}

#[tokio::test]
async fn an_event_that_was_found_wrong_runs_once_more_whose_result_was_dropped() {
    let steps = Steps::start().await;
    let catalogue = built_in();
    for name in ["helios", "sunny"] {
        steps.apply([edit(&format!("{name}-1"), name, "equipment", &[("m", json!(1))])]).await;
        steps.apply([snapshot(&format!("{name}-empty"), name, "equipment", json!({}))]).await;
    }
    steps.results_are_dropped().await;
    assert_eq!(steps.lines("select count(*) from job").await, "0\n");
    // The category of one of them is empty by now, so that the event is in order.
    steps.apply([edit("sunny-2", "sunny", "equipment", &[("m", json!(null))])]).await;
    let (all, limits) = (RejectedSelection::default(), Limits::default());
    let preview = operations::preview_rejected(&steps.store, &catalogue, &limits, &all).await.unwrap();
    assert_eq!((preview.run_again, preview.messages()), (2, 2));
    let replayed =
        operations::replay_rejected(&steps.store, &catalogue, &limits, &all, None, ANA).await.unwrap();
    assert_eq!((replayed.run_again, replayed.messages()), (2, 2));
    let states =
        "select event_id, state, jobs_total from event_view where event_id like '%-empty' order by 1";
    assert_eq!(steps.lines(states).await, "helios-empty | accepted | 1\nsunny-empty | accepted | 1\n");

    steps.executor.settle().await.unwrap();
    assert_eq!(steps.lines(states).await, "helios-empty | rejected | 1\nsunny-empty | done | 1\n");
    assert_eq!(
        steps.lines(REJECTED).await,
        "1 | empty-snapshot | replayed | ana | fixed\n2 | empty-snapshot | replayed | ana | fixed\n\
         3 | empty-snapshot | rejected | - | -\n"
    );
    assert_eq!(steps.settings("helios").await, "equipment m | 1 | own");
    drop(steps.database);
}

#[tokio::test]
async fn messages_are_taken_in_while_a_replay_of_rejected_ones_waits_for_a_shard() {
    let steps = Steps::start().await;
    let catalogue = built_in();
    steps.apply([edit("h1", "helios", "equipment", &[("m", json!(1))])]).await;
    steps
        .apply([snapshot("empty", "helios", "equipment", json!({})), edit("e", "helios", "roofs", &[])])
        .await;
    let holder = steps.database.client().await;
    let hold = "select pg_advisory_xact_lock(25459, shard) from channel_sync.organization";
    holder.batch_execute(&format!("begin; {hold}")).await.unwrap();
    let waiting = async {
        let waits = "select count(*) from pg_locks
                      where locktype = 'advisory' and not granted and classid = 25459
                        and database = (select oid from pg_database where datname = current_database())";
        eventually("it waits", async || steps.lines(waits).await == "1\n").await;
        // As whoever restores does, that has the shard: it would wait in a circle.
        let intake = "select pg_try_advisory_xact_lock(25459, -3)";
        let is_free: bool = holder.query_one(intake, &[]).await.unwrap().get(0);
        holder.batch_execute("rollback").await.unwrap();
        assert!(is_free, "it takes the intake first");
    };
    let (all, limits) = (RejectedSelection::default(), Limits::default());
    let (replayed, ()) = tokio::join!(
        operations::replay_rejected(&steps.store, &catalogue, &limits, &all, None, ANA),
        waiting
    );
    let replayed = replayed.unwrap();
    assert_eq!((replayed.run_again, replayed.refused.get(&RejectionCode::UnknownCategory)), (1, Some(&1)));

    // Where no message is taken in, it does not wait for who takes some in.
    steps.executor.settle().await.unwrap();
    holder.batch_execute("begin; select pg_advisory_xact_lock(25459, -3)").await.unwrap();
    let replayed = operations::replay_rejected(&steps.store, &catalogue, &limits, &all, None, ANA).await;
    assert_eq!(replayed.unwrap().run_again, 1);
    drop(holder);
    drop(steps.database);
}

#[tokio::test]
async fn discarded_messages_stay_as_such_and_are_not_dealt_with_twice() {
    let steps = Steps::start().await;
    steps.take_in([raw(b"1"), raw(b"2"), edit("e", "helios", "roofs", &[])]).await;
    let malformed = RejectedSelection { code: Some(RejectionCode::MissingField), ..Default::default() };
    assert_eq!(operations::discard_rejected(&steps.store, &malformed, None, ANA).await.unwrap(), 0);
    let one = RejectedSelection { ids: vec![1], code: None };
    assert_eq!(operations::discard_rejected(&steps.store, &one, None, ANA).await.unwrap(), 1);
    let twice = operations::discard_rejected(&steps.store, &one, None, ANA).await.unwrap_err();
    assert_eq!(twice.to_string(), "the rejected message 1 is discarded already");
    let unknown = RejectedSelection { ids: vec![9], code: None };
    let unknown = operations::discard_rejected(&steps.store, &unknown, None, ANA).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no rejected message 9 is known");
    let all = RejectedSelection::default();
    assert_eq!(operations::discard_rejected(&steps.store, &all, None, ANA).await.unwrap(), 2);
    assert_eq!(steps.lines("select count(*) from rejected_message where state = 'discarded'").await, "3\n");
    drop(steps.database);
}

/// Jobs of the organizations in `failing` fail. What an older event writes over what a newer one has written, where no
/// strict partnership locks it, is noted in `overwritten`.
const CHAOS: &str = "
    create table failing (organization_no int primary key);
    create table overwritten (note text);
    create function refuse_setting() returns trigger language plpgsql as $$ begin
        if exists (select from failing f where f.organization_no = (coalesce(new, old)).organization_no) then
            raise exception 'failing' using errcode = '23514';
        end if;
        if tg_op = 'UPDATE' and new.event_no < old.event_no and not exists (
               select from partnership p join category c on c.name = new.category and c.reach = 'ongoing'
                where p.downstream_no = new.organization_no and p.mode = 'strict') then
            insert into overwritten values (format('%s by %s', to_json(old), to_json(new)));
        end if;
        return coalesce(new, old);
    end $$;
    create trigger refuse_setting before insert or update or delete on setting for each row
        execute function refuse_setting();
    create function refuse_partnership() returns trigger language plpgsql as $$ begin
        if exists (select from failing f where f.organization_no = new.downstream_no) then
            raise exception 'failing' using errcode = '23514';
        end if;
        if tg_op = 'UPDATE' and new.event_no < old.event_no then
            insert into overwritten values (format('%s by %s', to_json(old), to_json(new)));
        end if;
        return new;
    end $$;
    create trigger refuse_partnership before insert or update on partnership for each row
        execute function refuse_partnership();";

/// Entries in which a strict downstream and its upstream differ, in the categories that are kept in sync.
const NO_REPLICAS: &str = "
    with side as (
         select p.upstream_no, p.downstream_no, s.category, s.key, s.value_id, s.organization_no
           from partnership p
           join setting s on s.organization_no in (p.upstream_no, p.downstream_no)
           join category c on c.name = s.category and c.reach = 'ongoing'
          where p.mode = 'strict')
    select upstream_no, downstream_no, category, key
      from side
     group by upstream_no, downstream_no, category, key
    having count(*) <> 2 or count(distinct value_id) <> 1";

#[tokio::test]
async fn random_jobs_that_fail_and_are_replayed_at_random_overwrite_nothing_newer() {
    let steps = Steps::with_limits(BatchLimits { letters_max: 1, writes_max: 1, ..LIMITS }).await;
    steps.client.batch_execute(CHAOS).await.unwrap();
    let mut random = Random::new(7);
    let settle = async |steps: &Steps| {
        for _ in 0..20_000 {
            steps.executor.step().await.unwrap();
            if steps.lines("select count(*) from letter").await == "0\n" {
                return;
            }
        }
        panic!("letters are left: {}", steps.lines("select * from letter").await);
    };
    let sequences: Vec<(u64, Vec<_>)> = (200..206).map(|seed| (seed, sequence(seed))).collect();
    for wave in WAVES {
        let some = random.below(3) + 1;
        let fails = format!(
            "truncate failing; insert into failing
             select organization_no from organization where (organization_no * 7 + {}) % 4 < {some}",
            random.below(1000)
        );
        steps.client.batch_execute(&fails).await.unwrap();
        for place in wave {
            let messages = sequences.iter().filter_map(|(seed, events)| {
                let one = of_sequence(*seed, events.get(place)?.clone());
                Some(event(&format!("{seed}-e{place}"), one.message_type(), one.data()))
            });
            steps.take_in(messages).await;
        }
        settle(&steps).await;
        steps.client.batch_execute("truncate failing").await.unwrap();
        // Some of what failed, now; the others after newer things have happened.
        let failed =
            steps.lines("select idempotency_key from job_view where state = 'failed' order by 1").await;
        let some: Vec<JobKey> = failed.lines().filter(|_| random.chance(25)).map(key).collect();
        if !some.is_empty() {
            steps.replay(&JobSelection { keys: some, ..JobSelection::default() }).await;
            while Replayer::new(steps.store.clone()).step().await.unwrap().is_some() {}
            settle(&steps).await;
        }
    }
    let failed = steps.lines("select count(*) from job where state = 'failed'").await;
    assert!(failed.trim().parse::<i32>().unwrap() >= 10, "enough has failed: {failed}");
    steps.replay_all().await;
    settle(&steps).await;
    assert_eq!(
        steps
            .lines(
                "select kind, state, count(*) from job_view where state <> 'succeeded'
                               and state <> 'discarded' group by 1, 2"
            )
            .await,
        ""
    );
    assert_eq!(steps.lines("select note from overwritten").await, "");
    assert_eq!(steps.lines(NO_REPLICAS).await, "");
    let overtaken = steps.lines("select count(*) from job where overtaken > 0").await;
    assert!(overtaken.trim().parse::<i32>().unwrap() >= 3, "something was newer: {overtaken}");
    drop(steps.database);
}
