//! One measured run of the service, and the count afterwards.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::ground::{Ground, Stand, Watch, connect};
use super::usage::{Memory, Processor};
use super::workload::{CATEGORY, Happening, UPSTREAM, Workload};

/// How long everything is left alone before a run, and between the events of an idle system.
const REST: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_millis(100);

/// How often it is looked whether an event on an idle system is done: so much, and a query, is the measured
/// latency too long at most.
const LATENCY_PAUSE: Duration = Duration::from_millis(1);

/// What was measured of the service.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// From before the first message was published until the last job was seen to be committed.
    pub(crate) elapsed: Duration,
    /// Until the broker had confirmed the last message.
    pub(crate) publishing: Duration,
    /// From before an event was published until its last job was seen to be committed, where events come one at
    /// a time.
    pub(crate) latencies: Vec<Duration>,
    /// What each took meanwhile.
    pub(crate) processor: Processor,
    /// The share of their time for which executors held locks on shards.
    pub(crate) locked: f64,
    /// How much was written to the write-ahead log.
    pub(crate) wal_bytes: i64,
    /// The memory of a process of the service at rest before, and at the end.
    pub(crate) idle: Memory,
    pub(crate) memory: Memory,
}

/// Runs a workload on a fresh copy of its ground, by so many processes of the service.
///
/// # Errors
/// What was missing, too much or wrong afterwards.
pub(crate) async fn run(ground: &Ground, workload: &Workload, processes: usize) -> Result<Run, Vec<String>> {
    let messages = workload.messages();
    let mut stand = Stand::on(ground.for_service().await, workload, processes).await;
    let watch = Watch::begin(&stand.database).await;
    let (client, foreign) = (connect(&stand.database).await, connect(&stand.database).await);
    if workload.foreign_transaction {
        let hold =
            "begin isolation level repeatable read; select txid_current(); select count(*) from organization";
        foreign.batch_execute(hold).await.unwrap();
    }
    client.batch_execute("checkpoint").await.unwrap();
    tokio::time::sleep(REST).await;

    let service = stand.ids();
    let idle = Memory::most(&service);
    let (locked_before, executors) = stand.locked().await;
    let (wal_before, processor_before) = (wal(&client).await, Processor::now(&service));
    let mut run = Run { idle, ..Run::default() };
    let started = Instant::now();
    if let Happening::Idle { .. } = workload.happening {
        for (no, message) in messages.iter().enumerate() {
            tokio::time::sleep(IDLE).await;
            let published = Instant::now();
            stand.publish(std::slice::from_ref(message)).await;
            let done = watch.until_done((no + 1) * (1 + workload.partners), LATENCY_PAUSE).await;
            run.latencies.push(done - published);
        }
        run.elapsed = started.elapsed();
    } else {
        let publishing = async {
            stand.publish(&messages).await;
            started.elapsed()
        };
        let done = watch.until_done(workload.jobs_with_own(), Watch::PAUSE);
        let (publishing, done) = tokio::join!(publishing, done);
        (run.publishing, run.elapsed) = (publishing, done - started);
    }
    run.processor = Processor::now(&service).since(processor_before);
    run.wal_bytes = wal(&client).await - wal_before;
    run.memory = Memory::most(&service);
    let (locked, _) = stand.locked().await;
    run.locked = (locked - locked_before) / (executors * run.elapsed.as_secs_f64());

    drop(foreign);
    // Until it is counted.
    let _database = stand.stop().await;
    let wrong = count(&client, workload).await;
    if wrong.is_empty() { Ok(run) } else { Err(wrong) }
}

/// How much has been written to the write-ahead log.
pub(crate) async fn wal(client: &Client) -> i64 {
    let written = "select (pg_current_wal_insert_lsn() - '0/0')::bigint";
    client.query_one(written, &[]).await.unwrap().get(0)
}

/// Counts all that must have come of a workload; returns what did not, or what came besides.
async fn count(client: &Client, workload: &Workload) -> Vec<String> {
    let (keys, values): (Vec<String>, Vec<String>) =
        workload.expected().into_iter().map(|(key, value)| (key, value.to_string())).unzip();
    client
        .batch_execute(
            "create temp table expected (key text collate \"C\" primary key, value jsonb not null)",
        )
        .await
        .unwrap();
    let expected = "insert into expected
                    select key, value::jsonb from unnest($1::text[], $2::text[]) e (key, value)";
    client.execute(expected, &[&keys, &values]).await.unwrap();
    client.batch_execute("analyze expected").await.unwrap();

    let organizations = workload.partners + 1;
    let entries = organizations * keys.len();
    let before = workload.prelude().iter().map(|(_, jobs)| jobs).sum::<usize>() + workload.past_jobs_added();
    let jobs = before + workload.jobs_with_own();
    let counts = [
        ("jobs", "select count(*) from job".to_owned(), jobs),
        ("jobs that have not succeeded", "select count(*) from job where state <> 'succeeded'".to_owned(), 0),
        ("organizations", "select count(*) from organization".to_owned(), organizations),
        ("settings", "select count(*) from setting".to_owned(), entries),
        (
            "settings with the right category, value and origin",
            format!(
                "select count(*)
                   from setting s
                   join organization o using (organization_no)
                   join expected e using (key)
                   join value v on v.value_id = s.value_id and v.body = e.value
                   join organization upstream on upstream.organization_id = '{UPSTREAM}'
                  where s.category = '{CATEGORY}'
                    and s.origin_no is not distinct from case
                          when o.organization_no <> upstream.organization_no then upstream.organization_no
                        end"
            ),
            entries,
        ),
        ("letters", "select count(*) from letter".to_owned(), 0),
        ("rejected messages", "select count(*) from rejected_message".to_owned(), 0),
        ("archived settings", "select count(*) from archived_setting".to_owned(), 0),
        ("declined settings", "select count(*) from declined".to_owned(), 0),
    ];
    let mut wrong = Vec::new();
    for (what, query, expected) in counts {
        let found: i64 = client.query_one(&query, &[]).await.unwrap().get(0);
        if found != expected as i64 {
            wrong.push(format!("{what}: {found}, not {expected}"));
        }
    }
    wrong
}
