//! Verify finds exactly what differs, nothing that is on its way, and what it has put right is right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use channel_sync::domain::catalogue::{BUILT_IN, Catalogue};
use channel_sync::operations::{self, FreshnessQuery, OperationError, Operator, Verification, VerifyQuery};
use channel_sync::store::Store;
use serde_json::json;
use tokio_postgres::Client;

use crate::model::{Event, Random};
use crate::recorded::{WAVES, of_sequence};
use crate::sequence::sequence;
use crate::steps::{LIMITS, Steps};
use crate::support::events::{edit, event, partnership};
use crate::support::platform::Platform;
use channel_sync::flow::executor::BatchLimits;

pub(crate) const ANA: Operator<'_> = Operator { name: "ana", reason: "a backup was restored" };

fn all() -> VerifyQuery {
    VerifyQuery { limit: 1000, ..VerifyQuery::default() }
}

pub(crate) async fn verify(store: &Store, query: &VerifyQuery) -> Result<Verification, OperationError> {
    operations::verify(store, &Catalogue::parse(BUILT_IN).unwrap(), query, |_, _| {}).await
}

/// What differs, a line for each entry.
fn differences(found: &Verification) -> Vec<String> {
    let text = |value: &Option<operations::StoredValue>| match value {
        Some(value) => value.text().to_owned(),
        None => "-".to_owned(),
    };
    found
        .differences
        .iter()
        .map(|row| {
            let (here, there) = (text(&row.here), text(&row.there));
            let origin = row.origin.as_deref().unwrap_or("-");
            format!(
                "{} {} {}: {} {here} ({origin}) {there}",
                row.organization_id, row.category, row.key, row.kind
            )
        })
        .collect()
}

/// Changes what a partner has behind the service's back.
const TAMPERING: &str = "
    insert into value values ('00000000-0000-0000-0000-00000000000f', '\"forged\"');
    delete from setting where organization_no = (select organization_no from organization where organization_id = 'a');
    update setting set value_id = '00000000-0000-0000-0000-00000000000f'
     where organization_no = (select organization_no from organization where organization_id = 'b');
    insert into setting (organization_no, category, key, value_id, event_no, added_event_no)
    select organization_no, 'default-costs', 'battery', '00000000-0000-0000-0000-00000000000f', 1, 1
      from organization where organization_id = 'c';
    update setting set origin_no = null
     where organization_no = (select organization_no from organization where organization_id = 'd');
    -- Not kept in sync, so anything is right.
    insert into setting (organization_no, category, key, value_id, event_no, added_event_no)
    select organization_no, 'licenses', 'any', '00000000-0000-0000-0000-00000000000f', 1, 1
      from organization where organization_id = 'e'";

#[tokio::test]
async fn what_was_tampered_with_is_found_and_put_right() {
    let steps = Steps::with_partners().await;
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.partnerships, found.in_step, found.waiting), (5, 5, 0));
    assert_eq!((found.drift.entries(), found.drifted.len(), found.differences.len()), (0, 0, 0));

    steps.client.batch_execute(TAMPERING).await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.partnerships, found.in_step, found.waiting), (5, 1, 0));
    let expected = [
        "a equipment m: missing - (-) 1",
        "b equipment m: other \"forged\" (helios) 1",
        "c default-costs battery: extra \"forged\" (own) -",
        "d equipment m: origin 1 (own) 1",
    ];
    assert_eq!(differences(&found), expected);
    let drift = &found.drift;
    assert_eq!((drift.missing, drift.other, drift.extra, drift.origin), (1, 1, 1, 1));

    // Parts of it.
    let of_b = VerifyQuery { organization_id: Some("b".to_owned()), ..all() };
    assert_eq!(differences(&verify(&steps.store, &of_b).await.unwrap()), expected[1..2]);
    let costs = VerifyQuery { category: Some("default-costs".to_owned()), ..all() };
    assert_eq!(differences(&verify(&steps.store, &costs).await.unwrap()), expected[2..3]);
    let of_a = VerifyQuery { upstream_id: Some("a".to_owned()), ..all() };
    assert_eq!(verify(&steps.store, &of_a).await.unwrap().partnerships, 0);
    let two = VerifyQuery { limit: 2, ..all() };
    let found_two = verify(&steps.store, &two).await.unwrap();
    assert_eq!((found_two.differences.len(), found_two.drift.entries()), (2, 4));
    let logo = VerifyQuery { category: Some("organization-logo".to_owned()), ..all() };
    assert!(matches!(verify(&steps.store, &logo).await, Err(OperationError::NotKeptInSync { .. })));

    let repairs = operations::repair(&steps.store, &found.drifted, ANA).await.unwrap();
    let of: Vec<&str> = repairs.iter().map(|row| row.organization_id.as_str()).collect();
    assert_eq!(of, ["a", "b", "c", "d"]);
    // It waits as any other job, and is no drift any more.
    let waiting = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((waiting.in_step, waiting.waiting, waiting.drifted.len()), (1, 4, 0));
    let pending = "select kind, organization_id, upstream_id, state, event_id = any (array(
                          select 'repair-' || event_no from event where source = 'channel-sync'))
                     from job_view where state = 'pending' order by 2";
    let expected: String =
        ["a", "b", "c", "d"].map(|name| format!("reconcile | {name} | helios | pending | t\n")).concat();
    assert_eq!(steps.lines(pending).await, expected);

    steps.executor.settle().await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.waiting, found.drifted.len()), (5, 0, 0));
    let results =
        "select organization_id, state, result ->> 'added', result ->> 'changed', result ->> 'removed',
                          result ->> 'skipped'
                     from job_view where event_id like 'repair-%' order by 1";
    assert_eq!(
        steps.lines(results).await,
        "a | succeeded | 1 | 0 | 0 | -\nb | succeeded | 0 | 1 | 0 | -\nc | succeeded | 0 | 0 | 1 | -\n\
         d | succeeded | 0 | 0 | 0 | already in step\n"
    );
    let events = "select type, organization_id, state, jobs_total from event_view
                   where event_id like 'repair-%' group by 1, 2, 3, 4";
    assert_eq!(steps.lines(events).await, "partnership-changed | helios | done | 1\n");
    let action = "select who, action, reason, jsonb_array_length(subject -> 'repairs') from operator_action";
    assert_eq!(steps.lines(action).await, "ana | verify repair | a backup was restored | 4\n");
    // What was there that the upstream never had is kept with the job.
    let archived = "select category, key from archived_setting";
    assert_eq!(steps.lines(archived).await, "default-costs | battery\n");
    // And why it is there has an answer.
    let catalogue = Catalogue::parse(BUILT_IN).unwrap();
    let explained =
        operations::explain(&steps.store, &catalogue, "a", "equipment", Some("m"), 20).await.unwrap();
    assert_eq!(explained.setting.unwrap().event_id.as_ref(), Some(&repairs[0].event_id));
    let last = &explained.history[0];
    assert_eq!(
        (&last.event_id, last.kind.as_str(), last.effect),
        (&repairs[0].event_id, "reconcile", Some("added"))
    );
    let because = &last.rule.as_ref().unwrap().because;
    assert_eq!(because, "an operator has it put right, strict: it becomes a replica");
    drop(steps.database);
}

#[tokio::test]
async fn what_is_on_its_way_is_no_drift() {
    let steps = Steps::with_partners().await;
    operations::pause(&steps.store, Some("c"), ANA).await.unwrap();
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    // The upstream itself has not worked it off: nobody differs.
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.waiting, found.drifted.len()), (5, 0, 0));
    // Letters to all shards.
    steps.executor.step().await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.waiting, found.drifted.len()), (0, 5, 0));
    steps.executor.settle().await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.waiting, found.drifted.len()), (4, 1, 0));
    let waiting = &found.not_in_step_yet[0];
    assert_eq!((waiting.organization_id.as_str(), waiting.jobs_waiting, waiting.paused), ("c", 1, true));
    operations::resume(&steps.store, Some("c"), "ana").await.unwrap();
    steps.executor.settle().await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.waiting), (5, 0));
    drop(steps.database);
}

#[tokio::test]
async fn a_job_that_was_given_up_is_drift_and_its_repair_makes_it_good() {
    let steps = Steps::with_partners().await;
    steps.take_in([edit("second", "helios", "equipment", &[("m", json!(2))])]).await;
    steps.executor.settle().await.unwrap();
    // As if it had failed for good.
    let fail = "update job set state = 'failed', last_error = 'once'
                 where organization_no = (select organization_no from organization where organization_id = 'c')
                   and cause_no = (select max(cause_no) from job);
                update setting set value_id = (select value_id from value where body = '1')
                 where organization_no = (select organization_no from organization where organization_id = 'c')";
    steps.client.batch_execute(fail).await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!(differences(&found), ["c equipment m: other 1 (helios) 2"]);
    assert_eq!(found.drifted[0].jobs_failed, 1);
    operations::repair(&steps.store, &found.drifted, ANA).await.unwrap();
    // The upstream goes on meanwhile: what it has when the job runs is what counts.
    steps.apply([edit("third", "helios", "equipment", &[("m", json!(3))])]).await;
    assert_eq!(steps.values_of_m().await, "a | 3, b | 3, c | 3, d | 3, e | 3, helios | 3, ");
    assert_eq!(verify(&steps.store, &all()).await.unwrap().in_step, 5);
    drop(steps.database);
}

#[tokio::test]
async fn a_repair_leaves_alone_what_is_not_strict_any_more() {
    let steps = Steps::with_partners().await;
    steps.client.batch_execute(TAMPERING).await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    // Ended before the jobs are made, and between that and their turn.
    steps.apply([partnership("x-a", "helios", "a", "ended")]).await;
    let repairs = operations::repair(&steps.store, &found.drifted, ANA).await.unwrap();
    assert_eq!(repairs.len(), 3);
    let no =
        |name: &str| format!("(select organization_no from organization where organization_id = '{name}')");
    let meanwhile = format!(
        "update partnership set mode = 'flexible', allow_downstream_edit = true where downstream_no = {};
         update partnership set mode = 'off', status = 'ended' where downstream_no = {}",
        no("b"),
        no("c")
    );
    steps.client.batch_execute(&meanwhile).await.unwrap();
    let since = "select downstream_no, since_change_no from partnership order by 1";
    let before = steps.lines(since).await;
    steps.take_in([edit("second", "helios", "equipment", &[("new", json!(2))])]).await;
    steps.executor.settle().await.unwrap();
    let jobs = "select organization_id, state, result ->> 'skipped' from job_view
                 where event_id like 'repair-%' order by 1";
    assert_eq!(
        steps.lines(jobs).await,
        "b | succeeded | the partnership is not strict any more\nc | succeeded | data sync is off by now\n\
         d | succeeded | already in step\n"
    );
    let settings = "select organization_id, key, value, origin from setting_view
                     where organization_id in ('a', 'b', 'c') order by 1, category, 2";
    assert_eq!(
        steps.lines(settings).await,
        "b | m | \"forged\" | helios\nb | new | 2 | helios\nc | battery | \"forged\" | own\nc | m | 1 | helios\n"
    );
    // Who was not reconciled is still to be told of all changes.
    let after = steps.lines(since).await;
    let moved: Vec<(&str, &str)> =
        before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    assert!(moved.len() <= 1, "{moved:?}");
    drop(steps.database);
}

#[tokio::test]
async fn a_repair_of_many_entries_is_cut_and_goes_on_to_the_tier_below() {
    let steps = Steps::with_limits(BatchLimits { writes_max: 40, ..LIMITS }).await;
    let entries: Vec<(String, serde_json::Value)> =
        (0..100).map(|no| (format!("k{no:03}"), json!(no))).collect();
    let entries: Vec<(&str, serde_json::Value)> =
        entries.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    steps.apply([edit("first", "top", "equipment", &entries)]).await;
    steps.apply([partnership("p-1", "top", "middle", "strict")]).await;
    steps.apply([partnership("p-2", "middle", "low", "strict")]).await;
    let tamper = "delete from setting where organization_no = (select organization_no from organization
                                                               where organization_id = 'middle')";
    steps.client.batch_execute(tamper).await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.drifted.len(), found.drift.missing, found.drift.extra), (2, 100, 100));
    operations::repair(&steps.store, &found.drifted, ANA).await.unwrap();
    steps.executor.settle().await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    assert_eq!((found.in_step, found.drift.entries()), (2, 0));
    assert_eq!(steps.lines("select count(*), count(distinct value_id) from setting").await, "300 | 100\n");
    drop(steps.database);
}

#[tokio::test]
async fn an_id_that_a_publisher_has_taken_is_no_obstacle_to_the_next_repair() {
    let steps = Steps::with_partners().await;
    steps.client.batch_execute(TAMPERING).await.unwrap();
    let found = verify(&steps.store, &all()).await.unwrap();
    let taken = edit("x", "somebody", "licenses", &[("l", json!(1))]);
    let mut body: serde_json::Value = serde_json::from_slice(&taken.body).unwrap();
    (body["source"], body["id"]) = (json!("channel-sync"), json!("repair-1002"));
    steps.apply([channel_sync::contract::to_message(&body.to_string()).unwrap()]).await;
    steps.client.batch_execute("select setval('cause_no', 1000)").await.unwrap();
    let first = operations::repair(&steps.store, &found.drifted, ANA).await;
    assert!(first.is_err(), "{first:?}");
    assert_eq!(operations::repair(&steps.store, &found.drifted, ANA).await.unwrap().len(), 4);
    steps.executor.settle().await.unwrap();
    assert_eq!(verify(&steps.store, &all()).await.unwrap().in_step, 5);
    drop(steps.database);
}

/// Each entry of each organization: value and origin, by organization, category and key.
type Everything = BTreeMap<(String, String, String), (String, String)>;

async fn everything(client: &Client) -> Everything {
    let query = "select s.organization_id, s.category, s.key, s.value::text, s.origin
                   from setting_view s join category c on c.name = s.category and c.reach = 'ongoing'";
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), (row.get(3), row.get(4)))).collect()
}

async fn strict(client: &Client) -> Vec<(String, String)> {
    let query = "select upstream_id, downstream_id from partnership_view where mode = 'strict' order by 1, 2";
    client.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What differs, found the slow way: all places of either side, one by one.
fn expected(
    all: &Everything,
    strict: &[(String, String)],
) -> BTreeSet<(String, String, String, &'static str)> {
    let mut differing = BTreeSet::new();
    for (upstream, downstream) in strict {
        let places = all.keys().filter(|(name, ..)| name == upstream || name == downstream);
        for (_, category, key) in places {
            let of = |name: &String| all.get(&(name.clone(), category.clone(), key.clone()));
            let kind = match (of(upstream), of(downstream)) {
                (Some(_), None) => "missing",
                (None, _) => "extra",
                (Some((there, _)), Some((here, _))) if here != there => "other",
                (Some(_), Some((_, origin))) if origin != upstream => "origin",
                _ => continue,
            };
            differing.insert((downstream.clone(), category.clone(), key.clone(), kind));
        }
    }
    differing
}

fn found_entries(found: &Verification) -> BTreeSet<(String, String, String, &str)> {
    let entry = |row: &operations::DifferenceRow| {
        let kind =
            ["missing", "extra", "other", "origin"].into_iter().find(|kind| *kind == row.kind).unwrap();
        (row.organization_id.clone(), row.category.clone(), row.key.clone(), kind)
    };
    found.differences.iter().map(entry).collect()
}

/// Changes some settings of strict partners behind the service's back; returns how many.
async fn tamper(client: &Client, random: &mut Random, strict: &[(String, String)]) -> usize {
    const VALUE: &str = "insert into value values ('00000000-0000-0000-0000-00000000000f', '\"forged\"')
                             on conflict do nothing";
    client.batch_execute(VALUE).await.unwrap();
    let mut tampered = 0;
    for _ in 0..strict.len() {
        let (_, downstream) = random.pick(strict);
        let statement = match random.below(4) {
            0 => "delete from setting s using one where",
            1 => "update setting s set value_id = '00000000-0000-0000-0000-00000000000f' from one where",
            2 => "update setting s set origin_no = null from one where",
            _ => {
                let add = "insert into setting (organization_no, category, key, value_id, event_no, added_event_no)
                           select organization_no, 'equipment', 'forged', '00000000-0000-0000-0000-00000000000f', 1, 1
                             from organization where organization_id = $1
                               on conflict do nothing";
                tampered += client.execute(add, &[downstream]).await.unwrap() as usize;
                continue;
            }
        };
        let statement = format!(
            "with one as (select s.* from setting s join organization o using (organization_no)
                            join category c on c.name = s.category and c.reach = 'ongoing'
                           where o.organization_id = $1
                           order by s.category, s.key offset {} limit 1)
             {statement} s.organization_no = one.organization_no and s.category = one.category
                     and s.key = one.key",
            random.below(3)
        );
        tampered += client.execute(&statement, &[downstream]).await.unwrap() as usize;
    }
    tampered
}

/// While sequences run, verify never cries wolf; afterwards everybody is in step; what is tampered with is found
/// exactly, and put right.
async fn sequences_are_verified(first_seed: u64) {
    const SIDE_BY_SIDE: u64 = 15;
    let sequences: BTreeMap<u64, Vec<Event>> = (first_seed..first_seed + SIDE_BY_SIDE)
        .map(|seed| (seed, sequence(seed).into_iter().map(|event| of_sequence(seed, event)).collect()))
        .collect();
    let mut platform = Platform::start().await;
    let store = platform.database.store();
    let ended = AtomicBool::new(false);
    let (looks, strict_seen) = tokio::join!(
        async {
            let (mut looks, mut strict_seen) = (0, 0);
            while !ended.load(Ordering::Relaxed) {
                let found = verify(&store, &all()).await.unwrap();
                assert_eq!(found.drifted, [], "under load, after {looks} looks");
                (looks, strict_seen) = (looks + 1, strict_seen + found.in_step);
            }
            (looks, strict_seen)
        },
        async {
            for wave in WAVES {
                let messages = wave.flat_map(|place| {
                    sequences.iter().filter_map(move |(seed, events)| Some((seed, place, events.get(place)?)))
                });
                let messages: Vec<_> = messages
                    .map(|(seed, place, one)| {
                        event(&format!("{seed}-e{place}"), one.message_type(), one.data())
                    })
                    .collect();
                platform.apply(messages).await;
            }
            ended.store(true, Ordering::Relaxed);
        }
    )
    .0;
    assert!(looks > 5 && strict_seen > 20, "{looks} looks, {strict_seen} times in step");

    let found = verify(&store, &all()).await.unwrap();
    assert_eq!((found.waiting, found.drift.entries()), (0, 0));
    let behind = FreshnessQuery { limit: 10, ..FreshnessQuery::default() };
    assert_eq!(operations::freshness(&store, &behind).await.unwrap().items, []);
    let summary = operations::freshness_summary(&store).await.unwrap();
    assert_eq!((summary.in_step, summary.jobs_waiting), (summary.partnerships, 0));
    assert_eq!(found.in_step, strict(&platform.client).await.len() as i64);

    let mut random = Random::new(first_seed);
    let pairs = strict(&platform.client).await;
    let tampered = tamper(&platform.client, &mut random, &pairs).await;
    assert!(tampered > 3, "{tampered}");
    let expected = expected(&everything(&platform.client).await, &pairs);
    let found = verify(&store, &all()).await.unwrap();
    assert_eq!(found_entries(&found), expected);
    assert_eq!(found.drift.entries(), expected.len() as i64);

    operations::repair(&store, &found.drifted, ANA).await.unwrap();
    platform.settle().await;
    let found = verify(&store, &all()).await.unwrap();
    assert_eq!((found.waiting, found.drifted), (0, Vec::new()));
    let failed = platform.lines("select * from job_view where state not in ('succeeded', 'discarded')").await;
    assert_eq!(failed, "");
    platform.end().await;
}

#[tokio::test]
async fn sequences_0_to_14_are_verified() {
    sequences_are_verified(0).await;
}

#[tokio::test]
async fn sequences_15_to_29_are_verified() {
    sequences_are_verified(15).await;
}
