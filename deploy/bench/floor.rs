//! The floors: the partners' setting rows and job rows of a workload in raw SQL, into tables with the same columns
//! and indexes, over two connections.
//!
//! They read no message and decide nothing, and never write a letter. [`Kind`] tells them apart.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::ground::{Ground, connect};
use super::round::wal;
use super::workload::{CATEGORY, Happening, Workload};

const CONNECTIONS: usize = 2;

/// What a floor writes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The partners' settings and jobs, those of all events of a transaction at once: it is one request.
    Sets,
    /// The same rows, event by event: for each a prepared `insert … select` of its settings and one of its jobs, all of
    /// a transaction under way at once.
    Events,
    /// All that the service keeps, in sets: besides, each event with its value, what the upstream has of it, its job
    /// and the change that goes on.
    AllRows,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sets => "floor in sets",
            Self::Events => "floor event by event",
            Self::AllRows => "floor of all rows",
        }
    }

    /// Those of a workload.
    pub(crate) fn of(workload: &Workload) -> &'static [Self] {
        match workload.happening {
            Happening::FanOut { .. } if workload.floor_batch > 1 => {
                &[Self::Sets, Self::Events, Self::AllRows]
            }
            Happening::FanOut { .. } => &[Self::Sets, Self::AllRows],
            Happening::Idle { .. } | Happening::Snapshot | Happening::Beginning { .. } => &[Self::Sets],
        }
    }
}

/// What was measured of the floor.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    pub(crate) elapsed: Duration,
    /// How long a transaction took, where they come one at a time.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) wal_bytes: i64,
}

/// Runs a floor of a workload on a fresh database.
pub(crate) async fn run(ground: &Ground, workload: &Workload, kind: Kind) -> Floor {
    let database = ground.for_floor().await;
    let client = connect(&database).await;
    set(&client, workload).await;

    let other = connect(&database).await;
    let transactions = transactions(workload, kind);
    let mut floor = Floor::default();
    let wal_before = wal(&client).await;
    let started = Instant::now();
    match (workload.happening, kind) {
        (Happening::Idle { .. }, _) => {
            for transaction in &transactions {
                let begun = Instant::now();
                client.batch_execute(transaction).await.unwrap();
                floor.latencies.push(begun.elapsed());
            }
        }
        (_, Kind::Events) => {
            tokio::join!(write_events(&client, workload, 0), write_events(&other, workload, 1));
        }
        (_, Kind::Sets | Kind::AllRows) => {
            let work = async |no: usize, client: &Client| {
                for transaction in transactions.iter().skip(no).step_by(CONNECTIONS) {
                    client.batch_execute(transaction).await.unwrap();
                }
            };
            tokio::join!(work(0, &client), work(1, &other));
        }
    }
    floor.elapsed = started.elapsed();
    floor.wal_bytes = wal(&client).await - wal_before;
    let count = "select (select count(*) from floor_job), (select count(*) from floor_setting)";
    let count = client.query_one(count, &[]).await.unwrap();
    let own = if kind == Kind::AllRows { workload.events() } else { 0 };
    let expected = ((workload.jobs() + own) as i64, (workload.settings() + own) as i64);
    assert_eq!((count.get(0), count.get(1)), expected, "jobs and settings of the floor");
    floor
}

/// Writes event by event what falls to one of the connections.
async fn write_events(client: &Client, workload: &Workload, no: usize) {
    let settings = client.prepare(&settings("e.no = $1", "true")).await.unwrap();
    let jobs = "select $1::int, p.organization_no from floor_partner p";
    let jobs = client.prepare(&self::jobs(jobs)).await.unwrap();
    for events in batches(workload.events(), workload.floor_batch).skip(no).step_by(CONNECTIONS) {
        client.batch_execute("begin").await.unwrap();
        let writes = events.map(async |event| {
            let event: [&(dyn ToSql + Sync); 1] = [&(event as i32)];
            tokio::try_join!(client.execute(&settings, &event), client.execute(&jobs, &event)).unwrap();
        });
        join_all(writes).await;
        client.batch_execute("commit").await.unwrap();
    }
}

/// Makes the tables: the empty ones, and those that say what is to be written.
async fn set(client: &Client, workload: &Workload) {
    let tables = "
        create table floor_setting (like setting including all);
        create table floor_job (like job including all);
        create table floor_value (like value including all);
        create table floor_event (like event including all);
        create table floor_change (like change including all);
        create table floor_entry (no int primary key, key text collate \"C\" not null, value_id uuid not null,
                                  body text not null, content bytea not null, payload text not null);
        create table floor_partner (no int primary key, organization_no int not null)";
    client.batch_execute(tables).await.unwrap();
    let (keys, bodies): (Vec<String>, Vec<String>) =
        workload.added().into_iter().map(|(key, value)| (key, value.to_string())).unzip();
    let entries = "insert into floor_entry
                   select no, key, md5(key)::uuid, body, sha256(convert_to(key, 'UTF8')),
                          json_build_object('changes', json_build_array(json_build_array(key, md5(key)::uuid)))
                     from unnest($1::text[], $2::text[]) with ordinality e (key, body, no)";
    client.execute(entries, &[&keys, &bodies]).await.unwrap();
    // The first organization is the upstream. Where partnerships only begin, there are no others yet.
    let partners = "insert into floor_partner select no, 1 + no from generate_series(1, $1::int) no";
    client.execute(partners, &[&(workload.partners as i32)]).await.unwrap();
    client.batch_execute("vacuum analyze floor_entry, floor_partner").await.unwrap();
    client.batch_execute("checkpoint").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The transactions, each as one request.
fn transactions(workload: &Workload, kind: Kind) -> Vec<String> {
    let (entries, partners) = (workload.added().len(), workload.partners);
    let step = workload.floor_batch;
    match workload.happening {
        Happening::FanOut { events } | Happening::Idle { events } => batches(events, step)
            .map(|events| {
                let jobs = format!(
                    "select e.no, p.organization_no from floor_entry e cross join floor_partner p where {}",
                    within("e.no", &events)
                );
                let own = match kind {
                    Kind::Sets | Kind::Events => String::new(),
                    Kind::AllRows => own_rows(&events),
                };
                transaction(&own, &events, &(1..=partners), &jobs)
            })
            .collect(),
        Happening::Snapshot => batches(partners, step)
            .map(|partners| {
                let within = within("p.no", &partners);
                let jobs = format!("select 1, p.organization_no from floor_partner p where {within}");
                transaction("", &(1..=entries), &partners, &jobs)
            })
            .collect(),
        Happening::Beginning { .. } => batches(partners, step)
            .map(|partners| {
                let jobs = format!(
                    "select 2 * p.no + kind, p.organization_no
                       from floor_partner p cross join generate_series(0, 1) kind
                      where {}",
                    within("p.no", &partners)
                );
                transaction("", &(1..=entries), &partners, &jobs)
            })
            .collect(),
    }
}

/// What is kept of events themselves. Their numbers lie behind those of the changes.
fn own_rows(events: &RangeInclusive<usize>) -> String {
    let events = within("e.no", events);
    let event_no = "1000000 + e.no";
    format!(
        "insert into floor_value (value_id, body) select e.value_id, e.body::jsonb from floor_entry e where {events};
         insert into floor_event (event_no, source, event_id, content, type, organization_no, category, payload)
         select {event_no}, 'floor', 'event-' || e.no, e.content, 'setting-changed', 1, '{CATEGORY}', e.payload::json
           from floor_entry e where {events};
         insert into floor_setting (organization_no, category, key, value_id, event_no, added_event_no)
         select 1, '{CATEGORY}', e.key, e.value_id, {event_no}, {event_no} from floor_entry e where {events};
         insert into floor_change (change_no, event_no, cause_no, organization_no, category, merges, payload)
         select e.no, {event_no}, {event_no}, 1, '{CATEGORY}', true, e.payload::json from floor_entry e where {events};
         insert into floor_job (cause_no, organization_no, state, attempts, added)
         select {event_no}, 1, 'succeeded', 1, 1 from floor_entry e where {events};"
    )
}

/// A transaction that writes what comes first, and gives these entries to these partners, with the jobs that a query
/// names.
fn transaction(
    first: &str,
    entries: &RangeInclusive<usize>,
    partners: &RangeInclusive<usize>,
    jobs: &str,
) -> String {
    let (entries, partners) = (within("e.no", entries), within("p.no", partners));
    format!("begin; {first} {}; {}; commit", settings(&entries, &partners), self::jobs(jobs))
}

/// A statement that gives these entries to these partners.
fn settings(entries: &str, partners: &str) -> String {
    format!(
        "insert into floor_setting (organization_no, category, key, value_id, origin_no, event_no, added_event_no)
         select p.organization_no, '{CATEGORY}', e.key, e.value_id, 1, e.no, e.no
           from floor_partner p cross join floor_entry e
          where {partners} and {entries}
          order by p.organization_no, e.key"
    )
}

/// A statement that writes the jobs that a query names.
fn jobs(jobs: &str) -> String {
    format!(
        "insert into floor_job (cause_no, organization_no, state, attempts, added)
         select cause_no, organization_no, 'succeeded', 1, 1 from ({jobs}) j (cause_no, organization_no)"
    )
}

fn within(column: &str, range: &RangeInclusive<usize>) -> String {
    format!("{column} between {} and {}", range.start(), range.end())
}

/// Numbers from 1 on, in batches of this size.
fn batches(count: usize, size: usize) -> impl Iterator<Item = RangeInclusive<usize>> {
    (1..=count).step_by(size).map(move |first| first..=(first + size - 1).min(count))
}
