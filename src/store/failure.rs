//! What becomes of a letter whose job failed: split where it goes to many, postponed, or given up.

use super::error::StoreError;
use super::pool::{Store, Transaction};
use super::statements;
use crate::domain::Shard;
use crate::domain::mailbox::LetterNo;
use crate::domain::retry::{AfterFailure, RetryPolicy};

/// What was done with the letter that was blamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blamed {
    /// Nothing: somebody else has the shard, or no letter is due any more.
    Nobody,
    /// The letter went to many, and is one for each of them now.
    Split,
    /// The job runs again.
    Postponed {
        /// After so many milliseconds.
        delay_ms: i64,
    },
    /// The job is parked as failed.
    GivenUp,
}

impl Store {
    /// Blames one due letter of a shard, at this place in order, counted from 1, for an error that it met.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then nothing was done.
    pub async fn blame_letter(
        &self,
        shard: Shard,
        place: usize,
        error: &StoreError,
        policy: &RetryPolicy,
    ) -> Result<Blamed, StoreError> {
        let mut session = self.session().await?;
        let transaction = session.begin().await?;
        if transaction.lock_shards(&[shard]).await?.is_empty() {
            return Ok(Blamed::Nobody);
        }
        let letter = transaction.query(statements::LETTERS_AT, &[&shard.0, &(place as i64 - 1)]).await?;
        let Some(letter) = letter.first() else { return Ok(Blamed::Nobody) };
        let no = LetterNo(letter.get("letter_no"));
        let blamed = match letter.get::<_, Option<i32>>("organization_no") {
            None => transaction.split(no).await?,
            Some(_) => {
                let attempts: i32 = letter.get("attempts");
                let after = policy.after(attempts.saturating_add(1), no.0);
                transaction.fail(no, &error.to_string(), after).await?
            }
        };
        transaction.commit().await?;
        Ok(blamed)
    }
}

impl Transaction<'_> {
    async fn split(&self, no: LetterNo) -> Result<Blamed, StoreError> {
        self.execute(statements::LETTERS_SPLIT, &[&no.0]).await?;
        self.execute(statements::LETTERS_REMOVE, &[&vec![no.0]]).await?;
        Ok(Blamed::Split)
    }

    async fn fail(&self, no: LetterNo, error: &str, after: AfterFailure) -> Result<Blamed, StoreError> {
        match after {
            AfterFailure::Retry { delay_ms } => {
                self.execute(statements::LETTERS_POSTPONE, &[&no.0, &error, &delay_ms]).await?;
                Ok(Blamed::Postponed { delay_ms })
            }
            AfterFailure::GiveUp => {
                self.execute(statements::JOBS_GIVE_UP, &[&no.0, &error]).await?;
                self.execute(statements::LETTERS_REMOVE, &[&vec![no.0]]).await?;
                Ok(Blamed::GivenUp)
            }
        }
    }
}
