//! The roles of Postgres, as `deploy/postgres/roles.sql` sets them up: the real service works under the worker, the
//! schema is the migrator's, and the reader sees the views alone.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use channel_sync::broker::Publisher;
use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::support::broker::{Vhost, eventually};
use crate::support::database::{Database, admin_client};
use crate::support::events::{edit, partnership};
use crate::support::platform::lines;
use crate::{long, start};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/postgres/roles.sql");

/// The three roles of a test, in the order migrator, worker, reader.
struct Roles([String; 3]);

impl Roles {
    fn named() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let test = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(["migrator", "worker", "reader"].map(|role| format!("test_{role}_{test}")))
    }

    /// Runs the script on a database.
    fn set_up(&self, url: &str) {
        let names = ["migrator", "worker", "reader"].iter().zip(&self.0);
        let output = Command::new("psql")
            .args(["-X", url, "-f", SCRIPT])
            .args(names.flat_map(|(role, name)| ["-v".to_owned(), format!("{role}={name}")]))
            .stdin(Stdio::null())
            .output()
            .expect("psql is installed, as a part of PostgreSQL");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }

    async fn remove(&self) {
        let admin = admin_client().await;
        for name in &self.0 {
            // What is theirs has gone with the database.
            admin.batch_execute(&format!("drop owned by {name}; drop role {name}")).await.unwrap();
        }
    }
}

fn url_as(url: &str, role: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_username(role).unwrap();
    url.to_string()
}

async fn client(url: &str, role: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&url_as(url, role), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The program with arguments, under a role: its exit code, and all that it said.
fn channel_sync(url: &str, role: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_channel-sync"))
        .env_clear()
        .env(long("DATABASE__URL"), url_as(url, role))
        .env("AMQP_URL", "amqp://127.0.0.1:1/none")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// The SQLSTATE that a statement fails with.
async fn refused(client: &Client, statement: &str) -> String {
    let error = client.batch_execute(statement).await.err();
    let error = error.unwrap_or_else(|| panic!("it is allowed: {statement}"));
    error.code().unwrap_or_else(|| panic!("{statement}: {error:?}")).code().to_owned()
}

#[tokio::test]
async fn the_service_works_under_the_worker_and_the_schema_is_the_migrators() {
    let (own, vhost, roles) = (Database::create_empty().await, Vhost::create().await, Roles::named());
    let url = own.url().to_owned();
    let [migrator, worker, reader] = &roles.0;
    roles.set_up(&url);

    // The schema is made by the migrator, by nobody else.
    let (code, said) = channel_sync(&url, worker, &["migrate"]);
    assert!(code == 1 && said.contains("may not change the schema"), "{said}");
    assert!(said.contains("expected a user that owns the schema"), "{said}");
    let (code, said) = channel_sync(&url, migrator, &["migrate"]);
    assert!(code == 0 && said.contains("applied V1__channel_sync"), "{said}");
    roles.set_up(&url);
    let (code, said) = channel_sync(&url, migrator, &["migrate"]);
    assert!(code == 0 && said.contains("the schema is up to date"), "{said}");
    let (code, said) = channel_sync(&url, worker, &["run", "--migrate"]);
    assert!(code == 1 && said.contains("and `run` without --migrate"), "{said}");

    // What a migration adds later, the worker may use at once.
    let as_migrator = client(&url, migrator).await;
    let later = "create table channel_sync.later (no bigint generated always as identity, text text)";
    as_migrator.batch_execute(later).await.unwrap();

    // The whole service, with events, a fan-out, a rejected message, a replay and a pause.
    let as_worker = url_as(&url, worker);
    let mut process = start(&[("BROKER__URL", vhost.url()), ("DATABASE__URL", &as_worker)]);
    process.ready().await;
    let mut publisher = Publisher::connect(&vhost.config()).await.unwrap();
    let events = [
        partnership("p-1", "helios", "pac-energy", "strict"),
        edit("s-1", "helios", "equipment", &[("module/a", json!(1)), ("module/b", json!(2))]),
        edit("s-2", "helios", "equipment", &[("module/a", json!(3)), ("module/b", json!(null))]),
        partnership("p-2", "helios", "sunny", "non-exclusive"),
        edit("s-3", "sunny", "equipment", &[("module/a", json!(null))]),
        edit("bad", "sunny", "no-such-category", &[("module/a", json!(1))]),
    ];
    for event in &events {
        let key = event.properties.routing_key.clone().unwrap_or_else(|| "setting-changed.x".to_owned());
        publisher.publish("channel-sync.events", &key, event).await.unwrap();
    }
    publisher.flush().await.unwrap();
    publisher.close().await;
    let worker_client = client(&url, worker).await;
    let done = "select (select count(*) from channel_sync.event_view where state = 'done'),
                       (select count(*) from channel_sync.rejected_message_view)";
    eventually("everything is done", async || lines(&worker_client, done).await == "5 | 1\n").await;
    // It makes days of results, which it may do by functions alone.
    let made = "select to_regclass('channel_sync.job_day_7') is not null";
    eventually("days are made", async || lines(&worker_client, made).await == "t\n").await;
    let who = ["--reason", "a test", "--by", "ada"];
    let with_reason = |arguments: &[&'static str]| [arguments, &who].concat();
    let replay =
        with_reason(&["jobs", "replay", "--organization", "pac-energy", "--state", "succeeded", "--yes"]);
    let pause = with_reason(&["pause", "pac-energy"]);
    let discard = with_reason(&["rejected", "discard", "--all", "--yes"]);
    for arguments in [
        &["status", "--json"][..],
        &["settings", "pac-energy"],
        &["partnerships"],
        &["events", "show", "s-1"],
        &["explain", "sunny", "equipment", "module/a"],
        &["jobs", "list"],
        &["rejected", "list"],
        &replay,
        &["replays", "list"],
        &pause,
        &["resume", "pac-energy", "--by", "ada"],
        &discard,
    ] {
        let (code, said) = channel_sync(&url, worker, arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }
    assert!(!process.log().contains("42501"), "{}", process.log());
    process.signal("TERM");
    assert!(process.ended().await.success(), "{}", process.log());

    // The worker reads and writes rows, and that is all.
    worker_client.batch_execute("insert into channel_sync.later (text) values ('x')").await.unwrap();
    own.client()
        .await
        .batch_execute("create schema foreign_schema; create table foreign_schema.t ()")
        .await
        .unwrap();
    for statement in [
        "create table channel_sync.mine (a int)",
        "create temporary table mine (a int)",
        "create table public.mine (a int)",
        "alter table channel_sync.setting add column mine int",
        "drop view channel_sync.setting_view",
        "truncate channel_sync.setting",
        "create schema mine",
        "create role mine",
        "select from foreign_schema.t",
        "delete from channel_sync.operator_action",
        "update channel_sync.operator_action set reason = ''",
        "delete from channel_sync.refinery_schema_history",
        "copy channel_sync.setting to program 'cat'",
        "drop table channel_sync.job_day_7",
        "alter table channel_sync.job detach partition channel_sync.job_day_7",
        "select setval('channel_sync.cause_no', 1)",
    ] {
        assert_eq!(refused(&worker_client, statement).await, "42501", "{statement}");
    }

    // The reader sees the views, and nothing behind them.
    let reader_client = client(&url, reader).await;
    for view in ["setting_view", "partnership_view", "job_view", "event_view", "rejected_message_view"] {
        let count = lines(&reader_client, &format!("select count(*) > 0 from channel_sync.{view}")).await;
        assert_eq!(count, "t\n", "{view}");
        let write = format!("delete from channel_sync.{view}");
        // Where nobody could, the server says that (55000).
        assert!(matches!(&*refused(&reader_client, &write).await, "42501" | "55000"));
    }
    let hidden = "select relname from pg_class where relnamespace = 'channel_sync'::regnamespace
                   and relkind in ('r', 'p', 'v', 'S') and relname not in
                   ('setting_view', 'partnership_view', 'job_view', 'event_view', 'rejected_message_view')";
    let hidden = lines(&own.client().await, hidden).await;
    assert!(hidden.lines().count() > 15, "{hidden}");
    for name in hidden.lines() {
        let state = refused(&reader_client, &format!("select from channel_sync.{name} limit 1")).await;
        assert_eq!(state, "42501", "{name}");
    }
    for function in ["job_day_begin(current_date)", "job_day_make(1)", "job_day_drop(current_date, 1)"] {
        let state = refused(&reader_client, &format!("select channel_sync.{function}")).await;
        assert_eq!(state, "42501", "{function}");
    }
    let (code, said) = channel_sync(&url, reader, &["status"]);
    assert!(code == 1 && said.contains("deploy/postgres/roles.sql"), "{said}");

    drop((as_migrator, worker_client, reader_client));
    vhost.remove().await;
    drop(own);
    roles.remove().await;
}

#[tokio::test]
async fn what_another_role_has_made_becomes_the_migrators() {
    // Migrated by a superuser, as before there were roles.
    let (own, roles) = (Database::create().await, Roles::named());
    roles.set_up(own.url());
    let [migrator, worker, _] = &roles.0;
    let foreign = "select (select count(*) from pg_class where relnamespace = n.oid and relowner <> n.nspowner),
                          (select count(*) from pg_type where typnamespace = n.oid and typowner <> n.nspowner),
                          (select count(*) from pg_proc where pronamespace = n.oid and proowner <> n.nspowner),
                          pg_get_userbyid(n.nspowner)
                     from pg_namespace n where nspname = 'channel_sync'";
    let expected = format!("0 | 0 | 0 | {migrator}\n");
    assert_eq!(lines(&own.client().await, foreign).await, expected);
    let (code, said) = channel_sync(own.url(), worker, &["partnerships"]);
    assert_eq!(code, 0, "{said}");
    // The worker may make and drop days, and what it makes is the migrator's.
    let as_worker = client(own.url(), worker).await;
    let made = "select channel_sync.job_day_begin(current_date + 9), channel_sync.job_day_make(1)";
    assert_eq!(lines(&as_worker, made).await.trim(), "1 | 1");
    let dropped = "select dropped from channel_sync.job_day_drop(current_date + 19, 1)";
    assert_eq!(lines(&as_worker, dropped).await.trim(), "0");
    assert_eq!(lines(&own.client().await, foreign).await, expected);
    drop(as_worker);
    drop(own);
    roles.remove().await;
}
