//! Makes the database, and finds places in the middle of its lists.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tokio_postgres::{Client, NoTls};

use super::support::database::admin_client;

const NAME: &str = "channel_sync_big";

/// What it is made of, in steps.
const STEPS: &str = include_str!("database.sql");

/// How a line begins that names the step after it.
const STEP: &str = "-- step: ";

/// Its URL.
pub(crate) fn url() -> String {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run this by `deploy/dev big`");
    let mut url = url::Url::parse(&url).expect("DATABASE_URL is a URL");
    url.set_path(NAME);
    url.to_string()
}

/// Whether it is there.
pub(crate) async fn is_there() -> bool {
    let known = "select from pg_database where datname = $1";
    admin_client().await.query_opt(known, &[&NAME]).await.unwrap().is_some()
}

/// Drops it.
pub(crate) async fn remove() {
    admin_client()
        .await
        .batch_execute(&format!("drop database if exists {NAME} with (force)"))
        .await
        .unwrap();
}

/// Makes it anew. It has another name until it is complete.
pub(crate) async fn make(program: &Path) {
    let begun = Instant::now();
    remove().await;
    let admin = admin_client().await;
    let unfinished = format!("{NAME}_unfinished");
    for statement in [
        // Fewer checkpoints, and no wait for the disk: what is lost in a crash is made anew.
        "alter system set max_wal_size = '4GB'".to_owned(),
        "select pg_reload_conf()".to_owned(),
        format!("drop database if exists {unfinished} with (force)"),
        format!("create database {unfinished}"),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    let url = url().replace(NAME, &unfinished);
    migrate(program, &url);
    let client = connect(&url).await;
    let settings = "set synchronous_commit = off; set work_mem = '256MB'; set maintenance_work_mem = '512MB'";
    client.batch_execute(settings).await.unwrap();
    for step in STEPS.split(STEP).skip(1) {
        let (name, statements) = step.split_once('\n').unwrap();
        let begun = Instant::now();
        client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        eprintln!("  {name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    client.batch_execute("vacuum (analyze)").await.unwrap();
    client.batch_execute("checkpoint").await.unwrap();
    drop(client);
    let rename = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{unfinished}';
         alter database {unfinished} rename to {NAME}"
    );
    admin.batch_execute(&rename).await.unwrap();
    eprintln!("made in {:.0} s", begun.elapsed().as_secs_f64());
}

/// Brings its schema up to date.
pub(crate) fn migrate(program: &Path, url: &str) {
    let migrated = Command::new(program).arg("migrate").env("DATABASE_URL", url).output().unwrap();
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
}

/// Says on stderr how much is in it.
pub(crate) async fn tell(url: &str) {
    let counts = "select format('%s partnerships, %s settings, %s finished jobs, %s events, %s changes; %s',
                                (select count(*) from partnership), (select count(*) from setting),
                                (select count(*) from job), (select count(*) from event),
                                (select count(*) from change), pg_size_pretty(pg_database_size(current_database())))";
    let said: String = connect(url).await.query_one(counts, &[]).await.unwrap().get(0);
    eprintln!("{said}");
}

/// What stands for a name in braces in a question: the middle and the end of lists that go on by number.
pub(crate) async fn places(url: &str) -> BTreeMap<&'static str, String> {
    let client = connect(url).await;
    let asked = [
        ("middle-event", "select event_no::text from event order by event_no offset 150000 limit 1"),
        ("last-event", "select (min(event_no) + 20)::text from event"),
        (
            "middle-job",
            "select cause_no || '-' || organization_no from job where cause_no >= 825001 order by cause_no limit 1",
        ),
        (
            "last-job",
            "select cause_no || '-' || organization_no from job order by cause_no, organization_no offset 20 limit 1",
        ),
        (
            "failed-job",
            "select cause_no || '-' || organization_no from job where state = 'failed' order by cause_no limit 1",
        ),
        ("retrying-job", "select cause_no || '-' || organization_no from letter where attempts > 0 limit 1"),
        (
            "pending-job",
            "select cause_no || '-' || organization_no from waiting_job where attempts = 0 order by 1 limit 1",
        ),
        (
            "displacing-job",
            "select cause_no || '-' || organization_no from archived_setting order by 1 limit 1",
        ),
        ("catalogue-job", "select cause_no || '-' || organization_no from job where cause_no = 90000"),
        // helios's own job of an event that went on to ten thousand.
        ("fan-out-job", "select event_no || '-1' from event where event_id = 'helios-1440'"),
        ("middle-rejected", "select (max(rejected_id) / 2)::text from rejected_message"),
        ("last-rejected", "select '20'"),
        (
            "declined",
            "select o.organization_id || ' ' || d.category || ' ' || d.key
               from declined d join organization o on o.organization_no = d.downstream_no
              order by d.event_no limit 1",
        ),
    ];
    let mut places = BTreeMap::new();
    for (name, query) in asked {
        let row = client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        places.insert(name, row.get(0));
    }
    places.insert("messages", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/big").to_owned());
    places
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("set search_path = channel_sync, pg_catalog").await.unwrap();
    client
}
