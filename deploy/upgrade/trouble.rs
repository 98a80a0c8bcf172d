//! Jobs that fail, are tried again and given up; and replays, ordered by the command line of either version.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::version::Version;

/// A strict partner of the load whose settings cannot be written for a while.
const FULL: &str = "manager-0-0003";

/// A strict partner of the load whose jobs are done once more, though they went well.
const DONE_ONCE_MORE: &str = "manager-1-0002";

/// How many of its jobs must have been given up.
const GIVEN_UP: i64 = 3;

/// After so long, nothing fails that should.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes jobs of one partner fail until some are given up. Returns how many were, and in how many attempts.
pub(crate) async fn fail(client: &Client) -> (i64, i64) {
    // The number cannot be a parameter there.
    let no =
        client.query_one("select organization_no from organization where organization_id = $1", &[&FULL]);
    let no: i32 = no.await.unwrap().get(0);
    let refuse = format!(
        "create function refuse() returns trigger language plpgsql as $$ begin
             raise exception 'it is full' using errcode = '23514';
         end $$;
         create trigger refuse before insert or update on setting for each row
             when (new.organization_no = {no}) execute function refuse()"
    );
    client.batch_execute(&refuse).await.unwrap();
    let failed = "select count(*), coalesce(sum(attempts), 0) from job where organization_no = $1 and state = 'failed'";
    let started = Instant::now();
    let failed = loop {
        let row = client.query_one(failed, &[&no]).await.unwrap();
        if row.get::<_, i64>(0) >= GIVEN_UP {
            break (row.get(0), row.get(1));
        }
        assert!(started.elapsed() < LIMIT, "no jobs are given up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    client.batch_execute("drop trigger refuse on setting; drop function refuse()").await.unwrap();
    failed
}

/// Replays all jobs that were given up, by the command line of this version.
pub(crate) async fn replay(version: &mut Version) {
    let why = ["--reason", "the disk has room again", "--by", "upgrade", "--yes"];
    let failed = [&["jobs", "replay", "--organization", FULL, "--all-failed"][..], &why].concat();
    version.command(&failed).await;
    let done =
        ["jobs", "replay", "--organization", DONE_ONCE_MORE, "--kind", "sync-change", "--state", "succeeded"];
    version.command(&[&done[..], &why].concat()).await;
}
