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

#[tokio::test]
async fn waiting_jobs_are_counted_as_they_are_listed() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    // Partnerships in all modes that began before, between and after the changes; letters to shards, some of which are
    // done in part or were tried, and letters to one.
    let anything = "
        insert into organization (organization_id) select 'o-' || no from generate_series(1, 200) no;
        insert into partnership (upstream_no, downstream_no, status, exclusive, data_sync, mode, since_change_no)
        select 1 + no % 3, no, 'active', false, true,
               (enum_range(null::partnership_mode))[1 + floor(random() * 4)::int], floor(random() * 45)
          from generate_series(4, 200) no;
        insert into change (change_no, event_no, cause_no, organization_no, category, merges, payload)
        select no, no, no, 1 + no % 3, 'equipment', random() < 0.5, '[]' from generate_series(1, 40) no;
        insert into letter (shard, position, cause_no, event_no, kind, weight, attempts, after_member_no)
        select shard, no, no, no, 'sync-change', 1, (random() < 0.2)::int,
               case when random() < 0.3 then floor(random() * 200) end
          from generate_series(1, 40) no, generate_series(0, 15) shard
         where random() < 0.8;
        insert into letter (shard, position, cause_no, event_no, kind, organization_no, weight, attempts)
        select no % 16, no, no, no, 'sync-change', no, 1, no % 3 from generate_series(1, 30) no;";
    for round in 0..10 {
        let emptied = format!(
            "truncate organization restart identity; truncate partnership, change, letter;
             select setseed({round} / 10.0); {}",
            if round == 0 { "" } else { anything }
        );
        client.batch_execute(&emptied).await.unwrap();
        let counted = client.query_one("select pending, retrying from waiting_job_count", &[]).await.unwrap();
        let listed = "select count(*) filter (where attempts = 0), count(*) filter (where attempts > 0)
                        from waiting_job";
        let listed = client.query_one(listed, &[]).await.unwrap();
        let numbers = |row: &tokio_postgres::Row| (row.get::<_, i64>(0), row.get::<_, i64>(1));
        assert_eq!(numbers(&counted), numbers(&listed), "round {round}");
        assert_eq!(round == 0, numbers(&listed) == (0, 0));
    }
}
