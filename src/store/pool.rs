//! Connections and sessions.
//!
//! Every session has its timeouts set, so that no statement, lock or forgotten transaction lasts for ever,
//! and plans each statement for the parameters at hand: a plan that was made while the tables were empty
//! would make a set-based statement many times slower for as long as the session lives. Nor are statements
//! compiled to machine code: where the planner expects many rows, that takes longer than the statement.
//!
//! Whoever no longer waits for an answer, such as an HTTP request whose client has gone, leaves no statement running
//! behind him: it is cancelled, and its connection does not come back to the pool.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    GenericClient, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use futures_util::StreamExt;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{IsolationLevel, Row};

use super::dial::Dial;
use super::error::StoreError;
use super::statements::{self, Statement};
use crate::config::DatabaseConfig;
use crate::domain::catalogue::{Catalogue, Kind, Reach};

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    dial: Arc<Dial>,
    counted: Counted,
}

/// What is common to all statements of a store, and of a session.
#[derive(Debug, Clone)]
struct Counted {
    /// How many have been run.
    statements: Arc<AtomicU64>,
    /// How many of a session are under way, or were when somebody ceased to wait for them.
    under_way: Arc<AtomicU32>,
    /// How long the server may take to answer one. It ends a statement by itself before that: a server that
    /// does not, or a network that brings nothing any more, would be waited for without end.
    answer_timeout: Duration,
}

/// How much longer than a statement may run its answer may take.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

impl Counted {
    /// What a server answers to a statement, in time.
    async fn answer<T>(
        &self,
        failed: impl FnOnce(tokio_postgres::Error) -> StoreError,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(answer) => {
                self.under_way.fetch_sub(1, Ordering::Relaxed);
                answer.map_err(failed)
            }
            Err(_) => {
                let seconds = self.answer_timeout.as_secs();
                Err(StoreError::Unreachable(format!("the server has not answered for {seconds} s")))
            }
        }
    }
}

/// So long after it was last handed out, a connection is asked whether it still stands before it is again.
const RESTED: Duration = Duration::from_secs(1);

/// Drops a connection that has rested and does not answer in time, and says so in the log: the pool tries the next one
/// without a word. Of one that is known to be closed it speaks itself.
fn still_stands(answer_timeout: Duration) -> Hook {
    Hook::async_fn(move |client, used| {
        Box::pin(async move {
            if used.last_used() < RESTED || client.is_closed() {
                return Ok(());
            }
            let error = match tokio::time::timeout(answer_timeout, client.simple_query("")).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => HookError::Backend(error),
                Err(_) => HookError::message("no answer in time"),
            };
            tracing::warn!(%error, "a connection to the database that rested is dropped");
            Err(error)
        })
    })
}

impl Store {
    /// Prepares a pool; connects only when a session is asked for.
    ///
    /// # Errors
    /// Where the URL is not one of Postgres'.
    pub fn new(options: &DatabaseConfig) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config = options
            .url
            .expose()
            .parse()
            .map_err(|error: tokio_postgres::Error| StoreError::Refused(error.to_string()))?;
        let answer_timeout = options.statement_timeout + ANSWER_GRACE;
        let counted = Counted { statements: Arc::default(), under_way: Arc::default(), answer_timeout };
        let DatabaseConfig { statement_timeout, lock_timeout, idle_in_transaction_timeout, .. } = options;
        let session = format!(
            "-c search_path=channel_sync,pg_catalog -c plan_cache_mode=force_custom_plan -c jit=off -c timezone=UTC \
             -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={}",
            statement_timeout.as_millis(),
            lock_timeout.as_millis(),
            idle_in_transaction_timeout.as_millis()
        );
        let session = match config.get_options() {
            Some(given) => format!("{session} {given}"),
            None => session,
        };
        config
            .options(session)
            .connect_timeout(options.connect_timeout)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(60));
        if config.get_application_name().is_none() {
            config.application_name("channel-sync");
        }
        if let Some(password) = &options.password {
            config.password(password.expose());
        }
        let dial = Dial::new(config, options.tls.as_ref());
        // A connection is not cleaned before it is used again: nothing here outlasts a transaction. Settings and locks
        // are a transaction's, and there are no temporary tables and no cursors.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(dial.config().clone(), dial.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(options.pool_size_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.connect_timeout))
            .create_timeout(Some(options.connect_timeout))
            .pre_recycle(still_stands(options.connect_timeout))
            .build()
            .map_err(|error| StoreError::Unreachable(error.to_string()))?;
        Ok(Self { pool, dial: Arc::new(dial), counted })
    }

    /// A session of the pool.
    ///
    /// # Errors
    /// Where none can be had in time.
    pub async fn session(&self) -> Result<Session, StoreError> {
        let client =
            self.pool.get().await.map_err(|error| StoreError::no_session(error, &self.dial.host()))?;
        let counted = Counted { under_way: Arc::default(), ..self.counted.clone() };
        let (dial, under_way) = (Arc::clone(&self.dial), Arc::clone(&counted.under_way));
        Ok(Session { client: Pooled { client: Some(client), dial, under_way }, counted })
    }

    /// Whether the database answers, over a connection of the pool or, where that one has ended, over a new one.
    ///
    /// # Errors
    /// Where it does not: what it says to whoever connects.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let session = self.session().await?;
        let failed = |source| StoreError::of("ping", source);
        if session.counted.answer(failed, session.client.simple_query("")).await.is_ok() {
            return Ok(());
        }
        // The server may have ended it long since, and others of the pool with it.
        let (client, messages) = self.dial.connect(self.dial.config()).await?;
        drop(client);
        messages.for_each(async |_| ()).await;
        Ok(())
    }

    /// How many statements have been run so far, through whatever session.
    pub fn statements_run(&self) -> u64 {
        self.counted.statements.load(Ordering::Relaxed)
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn dial(&self) -> &Dial {
        &self.dial
    }

    /// Tells the views which catalogue the service runs with.
    ///
    /// # Errors
    /// Where it cannot be written, or lacks a category that letters wait for.
    pub async fn put_catalogue(&self, catalogue: &Catalogue) -> Result<(), StoreError> {
        let (mut names, mut kinds, mut reaches) = (Vec::new(), Vec::new(), Vec::new());
        for (_, category) in catalogue.iter() {
            names.push(&*category.name);
            kinds.push(match category.kind {
                Kind::Collection => "collection",
                Kind::Default => "default",
            });
            reaches.push(match category.reach {
                Reach::Ongoing => "ongoing",
                Reach::OnboardingOnly => "onboarding-only",
                Reach::Never => "never",
            });
        }
        let mut session = self.session().await?;
        let transaction = session.begin().await?;
        let waiting = transaction.query(statements::CATEGORIES_WAITING, &[&names]).await?;
        if !waiting.is_empty() {
            return Err(StoreError::Catalogue(waiting.iter().map(|row| row.get(0)).collect()));
        }
        transaction.execute(statements::CATEGORIES_PUT, &[&names, &kinds, &reaches]).await?;
        transaction.commit().await
    }
}

/// Runs a statement, prepared once a connection.
async fn run<T>(
    client: &impl GenericClient,
    counted: &Counted,
    statement: Statement,
    answer: impl AsyncFnOnce(tokio_postgres::Statement) -> Result<T, tokio_postgres::Error>,
) -> Result<T, StoreError> {
    let answer = async { answer(client.prepare_cached(statement.text).await?).await };
    counted.answer(|source| statement.failed(source), answer).await
}

/// A connection of the pool. It goes back, unless somebody has ceased to wait for what runs on it.
struct Pooled {
    /// None only once it is dropped.
    client: Option<deadpool_postgres::Client>,
    dial: Arc<Dial>,
    /// As of the session.
    under_way: Arc<AtomicU32>,
}

impl Deref for Pooled {
    type Target = deadpool_postgres::Client;

    fn deref(&self) -> &Self::Target {
        match &self.client {
            Some(client) => client,
            None => unreachable!("it is used after it was dropped"),
        }
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match &mut self.client {
            Some(client) => client,
            None => unreachable!("it is used after it was dropped"),
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if self.under_way.load(Ordering::Relaxed) == 0 || client.is_closed() {
            return;
        }
        // Out of the pool: whoever had it next would wait for the statement, or be cancelled in its place.
        let client = deadpool_postgres::Client::take(client);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let dial = Arc::clone(&self.dial);
            runtime.spawn(async move {
                // Where the server does not hear, its statement timeout ends what runs.
                if let Err(error) = dial.cancel(&client.cancel_token()).await {
                    tracing::debug!(%error, "cancel a statement for which nobody waits any more");
                }
            });
        }
    }
}

/// A session: one connection, for as long as it is held.
pub struct Session {
    client: Pooled,
    counted: Counted,
}

impl Session {
    /// Begins a transaction; dropped without [`Transaction::commit`], nothing of it took effect.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let failed = |source| StoreError::of("begin", source);
        let inner = self.counted.answer(failed, self.client.transaction()).await?;
        Ok(Transaction { inner, counted: &self.counted })
    }

    /// Begins a transaction that sees one state of the database, whatever is written meanwhile, and cannot write.
    /// It locks nothing that a writer waits for.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub async fn begin_reading(&mut self) -> Result<Transaction<'_>, StoreError> {
        let failed = |source| StoreError::of("begin", source);
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let inner = self.counted.answer(failed, builder.read_only(true).start()).await?;
        Ok(Transaction { inner, counted: &self.counted })
    }

    /// For what is no statement of the service.
    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }

    /// Runs a statement outside a transaction.
    ///
    /// # Errors
    /// Where the server refuses it or the connection is lost.
    pub async fn query(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let client: &deadpool_postgres::Client = &self.client;
        let answer = async |prepared| client.query(&prepared, parameters).await;
        run(client, &self.counted, statement, answer).await
    }
}

/// A transaction. Statements may be under way at once: they go out in the order in which they are polled.
pub struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    counted: &'a Counted,
}

impl Transaction<'_> {
    pub(super) async fn query(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let answer = async |prepared| self.inner.query(&prepared, parameters).await;
        run(&self.inner, self.counted, statement, answer).await
    }

    pub(super) async fn execute(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let answer = async |prepared| self.inner.execute(&prepared, parameters).await;
        run(&self.inner, self.counted, statement, answer).await
    }

    pub(super) async fn query_unless<const N: usize>(
        &self,
        not_needed: bool,
        statement: Statement,
        parameters: [&(dyn ToSql + Sync); N],
    ) -> Result<Vec<Row>, StoreError> {
        if not_needed { Ok(Vec::new()) } else { self.query(statement, &parameters).await }
    }

    pub(super) async fn execute_unless<const N: usize>(
        &self,
        not_needed: bool,
        statement: Statement,
        parameters: [&(dyn ToSql + Sync); N],
    ) -> Result<u64, StoreError> {
        if not_needed { Ok(0) } else { self.execute(statement, &parameters).await }
    }

    /// Adds rows by COPY: of all statements the one that costs least a row.
    ///
    /// Nothing else may be under way, the transaction must be sound, and it must hold a lock on the table: the library
    /// loses the connection, and with it the cause, where the server refuses a COPY before it takes the first row
    /// (decision 0014).
    pub(super) async fn copy_unless<const N: usize>(
        &self,
        not_needed: bool,
        statement: Statement,
        types: &[Type; N],
        rows: impl Iterator<Item = [&(dyn ToSql + Sync); N]>,
    ) -> Result<(), StoreError> {
        if not_needed {
            return Ok(());
        }
        let copy = async |prepared: tokio_postgres::Statement| {
            let sink = self.inner.copy_in(&prepared).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            for row in rows {
                writer.as_mut().write(&row).await?;
            }
            writer.finish().await
        };
        run(&self.inner, self.counted, statement, copy).await?;
        Ok(())
    }

    /// Begins a part of the transaction that can be undone by itself.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub async fn savepoint(&self) -> Result<(), StoreError> {
        self.control("savepoint part").await
    }

    /// Keeps what was done since the last [`Transaction::savepoint`].
    ///
    /// # Errors
    /// Where the connection is lost.
    pub async fn release_savepoint(&self) -> Result<(), StoreError> {
        self.control("release savepoint part").await
    }

    /// Undoes what was done since the last [`Transaction::savepoint`]; the transaction goes on, also after a
    /// statement that failed.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub async fn roll_back_to_savepoint(&self) -> Result<(), StoreError> {
        self.control("rollback to savepoint part; release savepoint part").await
    }

    async fn control(&self, statement: &'static str) -> Result<(), StoreError> {
        let failed = |source| StoreError::of(statement, source);
        self.counted.answer(failed, self.inner.batch_execute(statement)).await
    }

    /// Makes everything that the transaction did last.
    ///
    /// # Errors
    /// Where a statement of it has failed, or the connection is lost; in the latter case it is not known whether
    /// the transaction took effect.
    pub async fn commit(self) -> Result<(), StoreError> {
        let failed = |source| StoreError::of("commit", source);
        // The library takes the server's "ROLLBACK" for a commit that went well: in a transaction that an
        // earlier error has aborted, this fails. And whoever notifies waits at its commit for the others that do,
        // on a lock that nobody keeps: no reason to give up.
        self.counted.answer(failed, self.inner.batch_execute("set local lock_timeout = 0")).await?;
        self.counted.answer(failed, self.inner.commit()).await
    }
}
