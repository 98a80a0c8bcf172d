//! The statements: each file is registered, and each can be prepared against a migrated database.

use std::collections::BTreeSet;

use channel_sync::store::statements::ALL;

use crate::support::database::Database;

#[test]
fn every_file_is_registered_under_its_name() {
    let files: BTreeSet<String> = std::fs::read_dir("src/store/sql")
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let registered: BTreeSet<String> = ALL.iter().map(|statement| statement.name.to_owned()).collect();
    assert_eq!(files, registered);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for statement in ALL {
        assert!(statement.text.starts_with("-- "), "{}.sql has no header", statement.name);
    }
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    for statement in ALL {
        let prepared = client.prepare(statement.text).await;
        prepared.unwrap_or_else(|error| panic!("{}.sql: {error:?}", statement.name));
    }
}
