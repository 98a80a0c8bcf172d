//! The schema: brought up to date, and held against what this program needs.
//!
//! Two versions of the program work over one database while one replaces the other, and after a rollback the older one
//! works alone over the newer schema. So a schema that is newer than this program is in order, as long as it does not
//! say otherwise itself (`schema_support`), and there is nothing to migrate then. See decision 0019.
//!
//! The service goes on while it is migrated: a migration waits for a lock for a moment only, since whoever asks for the
//! same table queues up behind it, and then tries again.

use std::time::Duration;

use futures_util::StreamExt;
use refinery::Runner;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::{StoreError, describe};
use super::pool::Store;
use crate::delay::Delays;

mod embedded {
    refinery::embed_migrations!("src/store/migrations");
}

/// The lock that one migrating process holds: "cs" and the last number of its class.
const MIGRATION_LOCK: i64 = (25459 << 32) | 0x7fff_ffff;

/// How long a migration waits for a lock at a time. Longer than Postgres' `deadlock_timeout` (1 s), after which a vacuum
/// that is in the way gives up; no longer than a statement of the service waits behind it (`database.lock_timeout_ms`).
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The pauses between two attempts, in which others go on.
const LOCK_PAUSE_MIN: Duration = Duration::from_millis(500);
const LOCK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Some ten minutes: somebody has forgotten a transaction, or copies the database, and is told of.
const LOCK_ATTEMPTS_MAX: u32 = 120;

impl Store {
    /// Brings the schema up to what this program needs; does nothing where it is newer, and may be. One process at a
    /// time; the others wait. Where somebody has locked what a migration needs, it is tried again, for some minutes.
    ///
    /// Returns the names of the migrations that were applied.
    ///
    /// # Errors
    /// [`StoreError::LockTimeout`] where the locks cannot be had, [`StoreError::ProgramTooOld`] where the schema is for
    /// later programs only, [`StoreError::MayNotMigrate`] where the user may not change it; otherwise where a migration
    /// fails, or those that were applied are others than this program's.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        // A connection of its own, without the timeouts of a session: a migration may take its time.
        let mut config = self.dial().config().clone();
        config.options("-c search_path=channel_sync,pg_catalog -c client_min_messages=warning");
        let (mut client, messages) = self.dial().connect(&config).await?;
        let connection = tokio::spawn(messages.for_each(async |_| {}));
        let applied = migrate_over(&mut client).await;
        drop(client);
        // The lock is gone with the connection.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "close the migrating connection");
        }
        applied
    }

    /// Whether this program may work on the schema, as far as can be told without changing anything.
    ///
    /// # Errors
    /// [`StoreError::Migration`] where migrations are missing, [`StoreError::ProgramTooOld`] where the schema is for
    /// later programs only; otherwise where the database is not reached.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let session = self.session().await?;
        let (schema, known) = (version(session.client()).await?, known());
        if schema < known {
            return Err(StoreError::Migration(format!(
                "the schema has version {schema}, this program needs {known}; run `channel-sync migrate`"
            )));
        }
        check_support(session.client(), schema).await
    }
}

/// Under the lock of migrations, which lasts as long as the connection.
async fn migrate_over(client: &mut Client) -> Result<Vec<String>, StoreError> {
    // Whoever may not create schemas may not even say "if not exists": so it is looked for first.
    let prepare = format!(
        "select pg_advisory_lock({MIGRATION_LOCK});
         do $$ begin
             if to_regnamespace('channel_sync') is null then create schema channel_sync; end if;
         end $$;
         set lock_timeout = {}",
        LOCK_TIMEOUT.as_millis()
    );
    client.batch_execute(&prepare).await.map_err(|error| migration_failed(&error))?;
    let schema = version(client).await?;
    if schema > known() {
        check_support(client, schema).await?;
        return Ok(Vec::new());
    }
    apply(client, &embedded::migrations::runner()).await
}

/// Applies what is missing, each migration in a transaction of its own.
async fn apply(client: &mut Client, runner: &Runner) -> Result<Vec<String>, StoreError> {
    let mut delays = Delays::new(LOCK_PAUSE_MIN, LOCK_PAUSE_MAX);
    let mut applied = Vec::new();
    let mut attempts = 0;
    loop {
        let outcome = runner.run_async(client).await;
        let report = match &outcome {
            Ok(report) => Some(report),
            Err(error) => error.report(),
        };
        applied.extend(
            report.into_iter().flat_map(|report| report.applied_migrations()).map(ToString::to_string),
        );
        let Err(error) = outcome else { return Ok(applied) };
        attempts += 1;
        let somebody_is_in_the_way = is_in_the_way(&error);
        let error = migration_failed(&error);
        if !somebody_is_in_the_way || attempts == LOCK_ATTEMPTS_MAX {
            return Err(error);
        }
        let pause = delays.next_delay();
        tracing::warn!(%error, ?pause, "migrate");
        tokio::time::sleep(pause).await;
    }
}

/// The last migration that this program has.
fn known() -> i32 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or_default()
}

/// The last migration that was applied; 0 where none was.
async fn version(client: &Client) -> Result<i32, StoreError> {
    if !exists(client, "refinery_schema_history").await? {
        return Ok(0);
    }
    let last = "select coalesce(max(version), 0) from channel_sync.refinery_schema_history";
    one(client, last, "read the migrations").await
}

/// Fails where a schema of this version is for later programs only.
async fn check_support(client: &Client, schema: i32) -> Result<(), StoreError> {
    let known = known();
    if schema <= known || !exists(client, "schema_support").await? {
        return Ok(());
    }
    let oldest =
        one(client, "select oldest_version from channel_sync.schema_support", "read schema_support").await?;
    if known < oldest { Err(StoreError::ProgramTooOld { schema, known, oldest }) } else { Ok(()) }
}

async fn exists(client: &Client, relation: &'static str) -> Result<bool, StoreError> {
    let query = format!("select to_regclass('channel_sync.{relation}') is not null");
    one(client, &query, "find the migrations").await
}

async fn one<T>(client: &Client, query: &str, what: &'static str) -> Result<T, StoreError>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let row = client.query_one(query, &[]).await.map_err(|source| StoreError::of(what, source))?;
    Ok(row.get(0))
}

/// What Postgres said, where it said it.
fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a tokio_postgres::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// Whether a lock was not to be had in time, or two waited for each other.
fn is_in_the_way(error: &(dyn std::error::Error + 'static)) -> bool {
    let code = cause(error).and_then(tokio_postgres::Error::code);
    matches!(code, Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
}

/// What it means that the schema could not be brought up to date.
fn migration_failed(error: &(dyn std::error::Error + 'static)) -> StoreError {
    let Some(cause) = cause(error) else { return StoreError::Migration(chain(error)) };
    match cause.as_db_error() {
        None => StoreError::Unreachable(describe(cause)),
        Some(said) if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
            StoreError::MayNotMigrate(describe(cause))
        }
        Some(said) if *said.code() == SqlState::LOCK_NOT_AVAILABLE => {
            StoreError::LockTimeout { statement: "a migration", reason: said.message().to_owned() }
        }
        Some(_) => StoreError::Migration(chain(error)),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
