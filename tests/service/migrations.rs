//! Migrations under a service at work, and programs over schemas that are not their own.

use channel_sync::service::Service;
use channel_sync::store::StoreError;
use refinery::{Runner, load_sql_migrations};

use crate::support::broker::eventually;
use crate::support::database::{Database, MIGRATIONS};
use crate::support::platform::Platform;

/// A database that was migrated by a program which had no more than these migrations.
async fn database_of_version(version: i32) -> Database {
    let database = Database::create_empty().await;
    let mut migrations = load_sql_migrations(MIGRATIONS).unwrap();
    migrations.retain(|migration| migration.version() <= version);
    let mut client = database.client().await;
    client.batch_execute("create schema channel_sync; set search_path = channel_sync").await.unwrap();
    Runner::new(&migrations).run_async(&mut client).await.unwrap();
    database
}

#[tokio::test]
async fn a_migration_that_waits_for_a_table_lets_others_go_first() {
    let database = database_of_version(7).await;
    let (holder, other, observer) =
        (database.client().await, database.client().await, database.client().await);
    // As a transaction that has written to it: the migration's index on this table must wait.
    let write = "begin; lock table channel_sync.event in row exclusive mode";
    holder.batch_execute(write).await.unwrap();
    let store = database.store();
    let migrating = tokio::spawn(async move { store.migrate().await });
    let waits = "select exists (select from pg_locks
                                 where relation = 'channel_sync.event'::regclass and not granted)";
    eventually("the migration waits", async || observer.query_one(waits, &[]).await.unwrap().get(0)).await;
    // Queues up behind it, and would wait for ever if it did.
    other.batch_execute(&format!("{write}; commit")).await.unwrap();
    assert!(!migrating.is_finished());
    holder.batch_execute("rollback").await.unwrap();
    let applied = migrating.await.unwrap().unwrap();
    assert_eq!(applied.first().map(String::as_str), Some("V8__listings"));
    database.store().check_schema().await.unwrap();
}

#[tokio::test]
async fn a_program_says_what_an_older_schema_lacks() {
    let database = database_of_version(7).await;
    let error = database.store().check_schema().await.unwrap_err().to_string();
    assert!(error.contains("the schema has version 7, this program needs"), "{error}");
    assert!(error.ends_with("run `channel-sync migrate`"), "{error}");
}

#[tokio::test]
async fn a_program_works_over_a_newer_schema_until_that_says_otherwise() {
    let mut platform = Platform::start().await;
    platform.stop_service().await;
    let newer = "insert into refinery_schema_history values (9999, 'later', now(), '0')";
    platform.client.batch_execute(newer).await.unwrap();
    let store = platform.database.store();
    store.check_schema().await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
    platform.start_service().await;
    platform.stop_service().await;

    let contracted = "create or replace view schema_support as select 9999 as oldest_version";
    platform.client.batch_execute(contracted).await.unwrap();
    for outcome in [store.check_schema().await, store.migrate().await.map(drop)] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::ProgramTooOld { schema: 9999, oldest: 9999, .. }), "{error}");
        assert!(
            error.to_string().ends_with("expected a program that knows version 9999 or a later one"),
            "{error}"
        );
    }
    let error = Service::start(&platform.config, false).await.unwrap_err();
    assert!(error.to_string().contains("the schema has version 9999"), "{error}");
    platform.end().await;
}
