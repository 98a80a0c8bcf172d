//! Results in partitions by day, over weeks that go by as fast as the steps: the date is the test's.

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::flow::replayer::Replayer;
use channel_sync::flow::retention::{Retention, Step};
use channel_sync::operations::{self, JobKey, JobSelection, JobState, OperationError, Operator};
use channel_sync::store::intake::Taken;
use channel_sync::store::retention::Turn;
use jiff::ToSpan;
use jiff::civil::Date;
use refinery::{Runner, Target};
use serde_json::json;

use crate::steps::{LIMITS, Steps};
use crate::support::database::Database;
use crate::support::events::{edit, partnership};
use crate::support::platform::lines;

const ANA: Operator<'_> = Operator { name: "ana", reason: "fixed" };

/// How long results are kept in these tests.
const DAYS: i32 = 7;

/// How many days have a partition ahead.
const AHEAD: i64 = 7;

impl Steps {
    fn retention(&self) -> Retention {
        Retention::new(self.store.clone(), DAYS)
    }

    /// The date on which the last day began.
    async fn began_on(&self) -> Date {
        let began = "select began_on from job_day order by day_no desc limit 1";
        self.lines(began).await.trim().parse().unwrap()
    }

    /// The numbers of the days that have a partition.
    async fn partitions(&self) -> Vec<i64> {
        let days = "select substring(inhrelid::regclass::text from 'job_day_(\\d+)')::bigint from pg_inherits
                     where inhparent = 'job'::regclass and inhrelid <> 'job_kept'::regclass order by 1";
        self.lines(days).await.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Two processes look after the days at once; what both together did.
    async fn day_begins(&self, today: Date) -> Step {
        let (one, other) = (self.retention(), self.retention());
        let (one, other) = tokio::join!(one.step(today), other.step(today));
        let (mut one, other) = (one.unwrap(), other.unwrap());
        assert!(one.begun.is_none() || other.begun.is_none(), "{one:?} {other:?}");
        assert!(!(one.left && other.left), "somebody does it");
        one.begun = one.begun.or(other.begun);
        one.made.extend(other.made);
        one.dropped.extend(other.dropped);
        one.pruned += other.pruned;
        one
    }

    /// The results of all that was done before today are dropped: so many days later.
    pub(crate) async fn results_are_dropped(&self) {
        let today = self.began_on().await;
        for day in [1, 1 + i64::from(DAYS)] {
            self.retention().step(today + day.days()).await.unwrap();
        }
        assert_eq!(self.lines("select count(*) from job_day where dropped_at is not null").await, "1\n");
    }

    async fn key_of(&self, event: &str, organization: &str) -> JobKey {
        let key = format!(
            "select idempotency_key from job_view where event_id = '{event}' and organization_id = '{organization}'"
        );
        self.lines(&key).await.trim().parse().unwrap()
    }
}

fn of(key: JobKey) -> JobSelection {
    JobSelection { keys: vec![key], ..JobSelection::default() }
}

#[tokio::test]
async fn weeks_go_by_and_days_are_made_and_dropped() {
    let steps = Steps::with_partners().await;
    let first = steps.began_on().await;
    assert_eq!(steps.partitions().await, [0]);
    let event = |day: i64| edit(&format!("day-{day}"), "helios", "equipment", &[("m", json!(day + 100))]);
    let of_day_2 = "day-2";
    let mut key_of_day_2 = None;
    for day in 1..=40_i64 {
        let today = first + day.days();
        let step = steps.day_begins(today).await;
        assert_eq!(step.begun, Some(day));
        let mut made = step.made.clone();
        made.sort_unstable();
        let expected: Vec<i64> = if day == 1 { (1..=1 + AHEAD).collect() } else { vec![day + AHEAD] };
        assert_eq!(made, expected);
        // Once a day: nothing is left to do.
        let again = steps.day_begins(today).await;
        assert_eq!((again.begun, again.made, again.dropped), (None, vec![], vec![]));

        match day {
            // A job that is given up, and one that stays behind: both of the same edit's category and key.
            3 => {
                steps
                    .failing("e", async |steps| {
                        steps.take_in([edit("old", "e", "licenses", &[("l", json!("old"))])]).await;
                    })
                    .await;
            }
            // Something newer touched that, and left nothing but its result to tell.
            4 => {
                steps.apply([edit("new", "e", "licenses", &[("l", json!("new"))])]).await;
                steps.apply([edit("gone", "e", "licenses", &[("l", json!(null))])]).await;
            }
            // Waits until day 20, as a retry would.
            5 => {
                steps.take_in([edit("waits", "lone", "equipment", &[("w", json!(1))])]).await;
                let hold =
                    "update letter set run_at = now() + interval '1 year', attempts = 1, last_error = 'x'";
                steps.client.batch_execute(hold).await.unwrap();
            }
            20 => {
                steps.client.batch_execute("update letter set run_at = now()").await.unwrap();
                steps.executor.settle().await.unwrap();
            }
            // Given up on day 22; a replay of it is under way from day 26 to day 33.
            22 => {
                steps
                    .failing("c", async |steps| {
                        steps.take_in([edit("failed", "helios", "equipment", &[("n", json!(1))])]).await;
                    })
                    .await;
            }
            26 => {
                let key = steps.key_of("failed", "c").await;
                steps.replay(&of(key)).await;
            }
            33 => steps.finish_replays().await,
            _ => {}
        }
        steps.apply([event(day)]).await;
        if day == 2 {
            key_of_day_2 = Some(steps.key_of(of_day_2, "c").await);
        }
        let number = steps.lines("select max(event_no) from event").await;
        assert_eq!(number.trim().parse::<i64>().unwrap() / 1_000_000_000, day, "a day is a day of numbers");

        // What is kept: the last seven whole days, and today; and what something waits for.
        let mut kept: Vec<i64> = ((day - i64::from(DAYS)).max(0)..=day + AHEAD).collect();
        if (13..=20).contains(&day) {
            kept.insert(0, 5);
        }
        // From the day of its event on, as a replay must know what is newer.
        if (30..=33).contains(&day) {
            kept = (22..=day + AHEAD).collect();
        }
        assert_eq!(steps.partitions().await, kept, "on day {day}");
    }
    let today = first + 40.days();

    // What was done is there, and the views answer: settings by events whose jobs are gone, too.
    assert_eq!(steps.values_of_m().await, "a | 140, b | 140, c | 140, d | 140, e | 140, helios | 140, ");
    let events = "select event_id, state, jobs_total, jobs_succeeded, jobs_failed from event_view
                   where event_id in ('day-2', 'day-40', 'old', 'failed', 'p-a') order by 1";
    assert_eq!(
        steps.lines(events).await,
        "day-2 | done | 0 | 0 | 0\n\
         day-40 | done | 6 | 6 | 0\n\
         failed | done | 0 | 0 | 0\n\
         old | failed | 1 | 0 | 1\n\
         p-a | done | 2 | 2 | 0\n"
    );
    let kept = "select kind, state, count(*) from job_view j join event e on e.event_id = j.event_id
                 where e.event_no < 33 * 1000000000::bigint group by 1, 2 order by 1, 2";
    assert_eq!(
        steps.lines(kept).await,
        "own-change | failed | 1\npartnership-change | succeeded | 5\nreconcile | succeeded | 5\n"
    );
    let status = steps.store.session().await.unwrap().status_jobs().await.unwrap();
    assert_eq!((status.failed, status.pending), (1, 0));

    // A job that was dropped is told from one that has never been.
    let dropped = operations::job(&steps.store, key_of_day_2.unwrap()).await.unwrap_err();
    assert!(matches!(&dropped, OperationError::DroppedJob { .. }), "{dropped:?}");
    assert!(dropped.to_string().contains("were dropped on 20"), "{dropped}");
    for unknown in ["999999-1", "38999999999-1"] {
        let unknown = operations::job(&steps.store, unknown.parse().unwrap()).await.unwrap_err();
        assert!(matches!(unknown, OperationError::UnknownJob(_)), "{unknown:?}");
    }

    let detail = operations::event(&steps.store, "day-2", None, 10).await.unwrap();
    assert!(detail.results_dropped_at.is_some() && detail.jobs.is_empty(), "{detail:?}");
    let detail = operations::event(&steps.store, "day-40", None, 10).await.unwrap();
    assert_eq!((detail.results_dropped_at, detail.jobs.len()), (None, 6));
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let of_m = |organization| {
        operations::explain(&steps.store, &catalogue, organization, "equipment", Some("m"), 50)
    };
    let explained = of_m("helios").await.unwrap();
    let states = |state: &str| explained.history.iter().filter(|row| row.state == state).count();
    assert_eq!((states("succeeded"), states("dropped")), (8, 33), "{:?}", explained.history);
    let explained = of_m("a").await.unwrap();
    assert!(explained.reasons.iter().any(|reason| reason.code == "in-step"), "{:?}", explained.reasons);

    // An event whose jobs are gone is known all the same.
    let again = steps.take_in([event(2)]).await;
    assert!(matches!(again[..], [Taken::Duplicate]), "{again:?}");

    // The replay of a job that outlasted what came after it: it is not known any more what that was, and nothing is
    // overwritten. It had set an entry that was removed since.
    let old = steps.key_of("old", "e").await;
    steps.replay(&of(old)).await;
    steps.finish_replays().await;
    let result =
        "select state, result ->> 'added', result ->> 'overtaken' from job_view where event_id = 'old'";
    assert_eq!(steps.lines(result).await, "succeeded | 0 | 1\n");
    assert!(!steps.settings("e").await.contains("licenses"));
    // It came too late for its day, and goes by its own age; by the real clock that was done weeks ago.
    let step = steps.day_begins(today + 1.day()).await;
    assert_eq!(step.pruned, 1);
    assert_eq!(steps.lines(result).await, "");
    drop(steps.database);
}

#[tokio::test]
async fn what_came_before_its_partition_moves_there() {
    let steps = Steps::with_partners().await;
    let first = steps.began_on().await;
    // Nobody could make partitions for days.
    for day in 1..=3_i64 {
        assert_eq!(steps.store.begin_day(first + day.days()).await.unwrap(), Turn::Done(Some(day)));
        steps.apply([edit(&format!("day-{day}"), "helios", "equipment", &[("m", json!(day + 100))])]).await;
    }
    let jobs = "select * from job order by cause_no, organization_no";
    let all = steps.lines(jobs).await;
    assert_eq!(steps.lines("select count(*) from job_kept").await, "18\n");
    let step = steps.retention().step(first + 3.days()).await.unwrap();
    assert_eq!((step.begun, &step.made[..2]), (None, &[3, 4][..]));
    assert_eq!(steps.lines("select count(*) from job_day_3").await, "6\n");
    assert_eq!(steps.lines(jobs).await, all);
    // A clock that is put back begins nothing, and drops nothing.
    let step = steps.retention().step(first - 100.days()).await.unwrap();
    assert_eq!(step, Step::default());
    drop(steps.database);
}

#[tokio::test]
async fn more_causes_than_a_day_has_numbers_run_over_into_the_next() {
    let steps = Steps::with_partners().await;
    let first = steps.began_on().await;
    steps.retention().step(first + 1.day()).await.unwrap();
    steps.client.batch_execute("select setval('cause_no', 2000000000 - 3)").await.unwrap();
    for no in 0..3 {
        steps.apply([edit(&format!("e-{no}"), "helios", "equipment", &[("m", json!(no))])]).await;
    }
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    let lie =
        "select tableoid::regclass, count(*) from job where cause_no > 1000000000 group by 1 order by 1";
    assert_eq!(steps.lines(lie).await, "job_day_1 | 6\njob_day_2 | 12\n");
    // Never back; the day that was begun by running over ends with the other.
    let step = steps.retention().step(first + 2.days()).await.unwrap();
    assert_eq!(step.begun, Some(3));
    let step = steps.retention().step(first + (2 + i64::from(DAYS)).days()).await.unwrap();
    let dropped: Vec<i64> = step.dropped.iter().map(|day| day.day_no).collect();
    assert_eq!(dropped, [0, 1, 2]);
    drop(steps.database);
}

#[tokio::test]
async fn nobody_is_held_up_for_long_where_somebody_reads_the_results() {
    let steps = Steps::with_partners().await;
    let first = steps.began_on().await;
    steps.retention().step(first + 1.day()).await.unwrap();
    let reader = steps.database.client().await;
    reader.batch_execute("begin; select count(*) from channel_sync.job").await.unwrap();
    let late = first + (1 + i64::from(DAYS)).days();
    let error = steps.retention().step(late).await.unwrap_err();
    assert_eq!(error.sql_state(), Some("55P03"), "{error}");
    assert_eq!(steps.partitions().await[0], 0, "it is all or nothing");
    // The day has begun meanwhile, and work goes on.
    steps.apply([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    assert_eq!(steps.values_of_m().await, "a | 2, b | 2, c | 2, d | 2, e | 2, helios | 2, ");
    reader.batch_execute("rollback").await.unwrap();
    let step = steps.retention().step(late).await.unwrap();
    assert_eq!(step.dropped.iter().map(|day| (day.day_no, day.jobs_kept)).collect::<Vec<_>>(), [(0, 10)]);
    drop(steps.database);
}

/// Migrates a database up to this version.
async fn migrate_to(database: &Database, version: u32) {
    let mut client = database.client().await;
    let begin = "create schema channel_sync; set search_path = channel_sync, pg_catalog";
    client.batch_execute(begin).await.unwrap();
    let migrations = refinery::load_sql_migrations("src/store/migrations").unwrap();
    let runner = Runner::new(&migrations).set_target(Target::Version(version as _));
    runner.run_async(&mut client).await.unwrap();
}

#[tokio::test]
async fn results_from_before_there_were_days_are_the_first() {
    for (number, day) in [(0_i64, 0_i64), (2_700_000_000, 3)] {
        let database = Database::create_empty().await;
        migrate_to(&database, 8).await;
        let steps = Steps::over(database, LIMITS).await;
        if number > 0 {
            steps.client.batch_execute(&format!("select setval('cause_no', {number})")).await.unwrap();
        }
        steps.store.put_catalogue(&Catalogue::parse(BUILT_IN).unwrap()).await.unwrap();
        steps.apply([edit("first", "helios", "equipment", &[("m", json!(1))])]).await;
        let partners = ["a", "b", "c", "d", "e"];
        steps.apply(partners.map(|name| partnership(&format!("p-{name}"), "helios", name, "strict"))).await;
        steps
            .failing("c", async |steps| {
                steps.take_in([edit("failed", "helios", "equipment", &[("m", json!(2))])]).await;
            })
            .await;
        let questions = [
            "select * from job order by cause_no, organization_no",
            "select * from job_view order by idempotency_key",
            "select * from event_view order by event_id",
            "select * from partnership_lag order by 1, 2, 3",
        ];
        let mut before = Vec::new();
        for question in questions {
            before.push(steps.lines(question).await);
        }
        assert!(before[0].lines().count() == 17, "{}", before[0]);

        // While sessions have statements prepared, as those of the version before have during a rollout.
        steps.store.migrate().await.unwrap();
        steps.store.check_schema().await.unwrap();
        for (question, before) in questions.iter().zip(&before) {
            assert_eq!(&steps.lines(question).await, before, "{question}");
        }
        assert_eq!(steps.partitions().await, [day]);
        let old = "select count(*) from pg_depend d join pg_class c on c.oid = d.refobjid
                     join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
                    where c.relname like 'job\\_day\\_%'";
        assert_eq!(steps.lines(old).await, "0\n", "a view reads the old table alone");

        steps.apply([edit("third", "helios", "equipment", &[("m", json!(3))])]).await;
        assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 3, d | 3, e | 3, helios | 3, ");
        let failed = JobSelection { state: Some(JobState::Failed), ..JobSelection::default() };
        operations::replay(&steps.store, &Catalogue::parse(BUILT_IN).unwrap(), &failed, None, ANA, None)
            .await
            .unwrap();
        let replayer = Replayer::new(steps.store.clone());
        while replayer.step().await.unwrap().is_some() {}
        steps.executor.settle().await.unwrap();
        assert_eq!(steps.lines("select count(*) from job where state = 'failed'").await, "0\n");

        // From here on, days begin.
        let first = steps.began_on().await;
        let step = steps.retention().step(first + 1.day()).await.unwrap();
        assert_eq!((step.begun, step.made[0]), (Some(day + 1), day + 1));
        let step = steps.retention().step(first + (1 + i64::from(DAYS)).days()).await.unwrap();
        assert_eq!(
            step.dropped.iter().map(|day| (day.day_no, day.jobs_kept)).collect::<Vec<_>>(),
            [(day, 10)]
        );
        let kept = lines(&steps.client, "select count(*), count(distinct tableoid) from job").await;
        assert_eq!(kept, "10 | 1\n");
        drop(steps.database);
    }
}
