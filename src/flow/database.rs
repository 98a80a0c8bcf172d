//! What the loops ask of a database, so that a test can stand in for Postgres.
//!
//! The loops know no SQL, and nothing here decides anything. [`Store`] is the real one; the simulator in
//! `tests/simulation` has one in memory, and lets it fail wherever a real one may.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use crate::domain::catalogue::Catalogue;
use crate::domain::mailbox::{Batch, Done, Letter, LetterNo};
use crate::domain::retry::RetryPolicy;
use crate::domain::world::{World, Writes};
use crate::domain::{OrganizationNo, Shard};
use crate::store::batch::{Attempts, Due, Locked, Taken};
use crate::store::failure::Blamed;
use crate::store::save::FoundWrongs;
use crate::store::{Session, Store, StoreError, Transaction, intake};

/// A database, as the loops see it.
pub trait Database: Send + Sync {
    /// A connection.
    type Session: DatabaseSession;

    /// See [`Store::take_in`].
    fn take_in(
        &self,
        catalogue: &Catalogue,
        incoming: &[intake::Incoming],
    ) -> impl Future<Output = Result<Vec<intake::Taken>, StoreError>> + Send;

    /// See [`Store::session`].
    fn session(&self) -> impl Future<Output = Result<Self::Session, StoreError>> + Send;
}

/// A connection, as the executor sees it.
pub trait DatabaseSession: Send {
    /// A transaction; dropped without a commit, nothing of it took effect.
    type Transaction<'a>: DatabaseTransaction
    where
        Self: 'a;

    /// See [`Session::shards_due`].
    fn shards_due(
        &mut self,
        shards: &[Shard],
        letters_max: usize,
    ) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// See [`Session::begin`].
    fn begin(&mut self) -> impl Future<Output = Result<Self::Transaction<'_>, StoreError>> + Send;
}

/// The transaction of a batch.
pub trait DatabaseTransaction: Send + Sync {
    /// See [`Transaction::lock_shards`].
    fn lock_shards(
        &self,
        shards: &[Shard],
        shards_max: usize,
        lock_timeout: Duration,
    ) -> impl Future<Output = Result<Locked, StoreError>> + Send;

    /// See [`Transaction::lock_empty`].
    fn lock_empty(
        &self,
        shards: &[Shard],
        locked: &[Shard],
    ) -> impl Future<Output = Result<Locked, StoreError>> + Send;

    /// See [`Transaction::take_letters`].
    fn take_letters(
        &self,
        catalogue: &Catalogue,
        shards: &[Shard],
        limits: (i64, i64),
        held: &HashSet<OrganizationNo>,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// See [`Transaction::prepare`].
    fn prepare(
        &self,
        catalogue: &Catalogue,
        locked: &[Shard],
        letters: Vec<Letter>,
        held: HashSet<OrganizationNo>,
        writes_max: usize,
    ) -> impl Future<Output = Result<(World, Batch), StoreError>> + Send;

    /// See [`Transaction::busy`].
    fn busy(
        &self,
        catalogue: &Catalogue,
        letters: &[Letter],
        writes: &Writes,
        done: &Done,
    ) -> impl Future<Output = Result<HashSet<OrganizationNo>, StoreError>> + Send;

    /// See [`Transaction::busy_letters`].
    fn busy_letters(
        &self,
        letters: &[Letter],
    ) -> impl Future<Output = Result<HashSet<LetterNo>, StoreError>> + Send;

    /// See [`Transaction::save`].
    fn save(
        &self,
        catalogue: &Catalogue,
        writes: &Writes,
        done: &Done,
        attempts: &Attempts,
    ) -> impl Future<Output = Result<FoundWrongs, StoreError>> + Send;

    /// See [`Transaction::add_letters`].
    fn add_letters(&self, letters: &[Letter]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`Transaction::savepoint`].
    fn savepoint(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`Transaction::release_savepoint`].
    fn release_savepoint(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`Transaction::roll_back_to_savepoint`].
    fn roll_back_to_savepoint(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`Transaction::first_letters`].
    fn first_letters(
        &self,
        organizations: &HashSet<OrganizationNo>,
    ) -> impl Future<Output = Result<Vec<LetterNo>, StoreError>> + Send;

    /// See [`Transaction::blame`].
    fn blame(
        &self,
        letters: &[LetterNo],
        error: &StoreError,
        policy: &RetryPolicy,
    ) -> impl Future<Output = Result<Vec<Blamed>, StoreError>> + Send;

    /// See [`Transaction::commit`].
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Database for Store {
    type Session = Session;

    async fn take_in(
        &self,
        catalogue: &Catalogue,
        incoming: &[intake::Incoming],
    ) -> Result<Vec<intake::Taken>, StoreError> {
        self.take_in(catalogue, incoming).await
    }

    async fn session(&self) -> Result<Session, StoreError> {
        self.session().await
    }
}

impl DatabaseSession for Session {
    type Transaction<'a> = Transaction<'a>;

    async fn shards_due(&mut self, shards: &[Shard], letters_max: usize) -> Result<Vec<Due>, StoreError> {
        self.shards_due(shards, letters_max).await
    }

    async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.begin().await
    }
}

impl DatabaseTransaction for Transaction<'_> {
    async fn lock_shards(
        &self,
        shards: &[Shard],
        shards_max: usize,
        lock_timeout: Duration,
    ) -> Result<Locked, StoreError> {
        self.lock_shards(shards, shards_max, lock_timeout).await
    }

    async fn lock_empty(&self, shards: &[Shard], locked: &[Shard]) -> Result<Locked, StoreError> {
        self.lock_empty(shards, locked).await
    }

    async fn take_letters(
        &self,
        catalogue: &Catalogue,
        shards: &[Shard],
        limits: (i64, i64),
        held: &HashSet<OrganizationNo>,
    ) -> Result<Taken, StoreError> {
        self.take_letters(catalogue, shards, limits, held).await
    }

    async fn prepare(
        &self,
        catalogue: &Catalogue,
        locked: &[Shard],
        letters: Vec<Letter>,
        held: HashSet<OrganizationNo>,
        writes_max: usize,
    ) -> Result<(World, Batch), StoreError> {
        self.prepare(catalogue, locked, letters, held, writes_max).await
    }

    async fn busy(
        &self,
        catalogue: &Catalogue,
        letters: &[Letter],
        writes: &Writes,
        done: &Done,
    ) -> Result<HashSet<OrganizationNo>, StoreError> {
        self.busy(catalogue, letters, writes, done).await
    }

    async fn busy_letters(&self, letters: &[Letter]) -> Result<HashSet<LetterNo>, StoreError> {
        self.busy_letters(letters).await
    }

    async fn save(
        &self,
        catalogue: &Catalogue,
        writes: &Writes,
        done: &Done,
        attempts: &Attempts,
    ) -> Result<FoundWrongs, StoreError> {
        self.save(catalogue, writes, done, attempts).await
    }

    async fn add_letters(&self, letters: &[Letter]) -> Result<(), StoreError> {
        self.add_letters(letters).await
    }

    async fn savepoint(&self) -> Result<(), StoreError> {
        self.savepoint().await
    }

    async fn release_savepoint(&self) -> Result<(), StoreError> {
        self.release_savepoint().await
    }

    async fn roll_back_to_savepoint(&self) -> Result<(), StoreError> {
        self.roll_back_to_savepoint().await
    }

    async fn first_letters(
        &self,
        organizations: &HashSet<OrganizationNo>,
    ) -> Result<Vec<LetterNo>, StoreError> {
        self.first_letters(organizations).await
    }

    async fn blame(
        &self,
        letters: &[LetterNo],
        error: &StoreError,
        policy: &RetryPolicy,
    ) -> Result<Vec<Blamed>, StoreError> {
        self.blame(letters, error, policy).await
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.commit().await
    }
}
