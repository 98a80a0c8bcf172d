//! What an operator does about rejected messages: taking them in after all, or giving them up.
//!
//! A message that is taken in after all gets the number that it would have had: so it stands at its old place in
//! the order of events, and its letter is a replay, which touches nothing that something newer has written.

use jiff::Timestamp;
use tokio_postgres::types::Json;

use super::error::StoreError;
use super::intake::{Incoming, Taken};
use super::pool::{Session, Transaction};
use super::statements;
use crate::contract::{Message, Properties, RejectionCode};
use crate::domain::catalogue::Catalogue;
use crate::domain::{EventNo, OrganizationNo, Shard};

/// Which rejected messages, of those that nobody has dealt with.
#[derive(Debug, Clone, Default)]
pub struct RejectedChoice<'a> {
    /// These.
    pub ids: Option<&'a [i64]>,
    /// With this code.
    pub code: Option<&'a str>,
    /// After this one.
    pub after: i64,
    /// No younger than this.
    pub until: Option<Timestamp>,
}

/// A rejected message that nobody has dealt with.
#[derive(Debug)]
pub struct Refused {
    /// Its number.
    pub rejected_id: i64,
    /// What was wrong with it, by kind.
    pub code: String,
    /// The message, and where it comes in.
    pub what: RefusedAs,
}

/// As what a message was refused.
#[derive(Debug)]
pub enum RefusedAs {
    /// As a message that is no event: it has this place in the order of events, if one was kept for it.
    Message(Box<Message>, Option<EventNo>),
    /// As an event that was found wrong when it ran, by a job of this organization.
    Event(EventNo, OrganizationNo),
}

impl Session {
    /// The states of rejected messages, of those that there are.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn rejected_states(&self, ids: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
        let rows = self.query(statements::REJECTED_STATES, &[&ids]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Categories of the catalogue that the service was started without.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub async fn unknown_categories(&self, catalogue: &Catalogue) -> Result<Vec<String>, StoreError> {
        let names: Vec<&str> = catalogue.iter().map(|(_, category)| &*category.name).collect();
        let rows = self.query(statements::CATEGORIES_UNKNOWN, &[&names]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl Transaction<'_> {
    /// The next of the chosen messages, the oldest first; nobody else can deal with them meanwhile.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn next_refused(
        &self,
        choice: &RejectedChoice<'_>,
        messages_max: i64,
    ) -> Result<Vec<Refused>, StoreError> {
        let RejectedChoice { ids, code, after, until } = choice;
        let rows = self.query(statements::REJECTED_NEXT, &[ids, code, after, until, &messages_max]).await?;
        rows.iter()
            .map(|row| {
                let rejected_id = row.get("rejected_id");
                let event: Option<i64> = row.get("event_no");
                let organization: Option<i32> = row.get("organization_no");
                let what = match (event, organization) {
                    (Some(event), Some(organization)) => {
                        RefusedAs::Event(EventNo(event), OrganizationNo(organization))
                    }
                    _ => {
                        let properties: Json<Properties> =
                            row.try_get("properties").map_err(|error| StoreError::Row {
                                what: format!("the properties of the rejected message {rejected_id}"),
                                reason: error.to_string(),
                            })?;
                        let message = Message { body: row.get("body"), properties: properties.0 };
                        RefusedAs::Message(
                            Box::new(message),
                            row.get::<_, Option<i64>>("place_no").map(EventNo),
                        )
                    }
                };
                Ok(Refused { rejected_id, code: row.get("code"), what })
            })
            .collect()
    }

    /// Takes in messages that were rejected, each at its old place; tells what became of each. Holds the intake where
    /// there is an event among them: whoever wants shards as well has them before.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses: then the transaction must be dropped.
    pub async fn take_in_again(
        &self,
        catalogue: &Catalogue,
        incoming: &[Incoming],
        places: &[Option<EventNo>],
    ) -> Result<Vec<Taken>, StoreError> {
        if incoming.iter().any(|one| one.decoded.is_ok()) {
            self.hold_intake().await?;
        }
        let missing = places.iter().filter(|place| place.is_none()).count();
        let mut fresh = self.numbers(missing).await?.into_iter();
        let numbers: Vec<EventNo> =
            places.iter().filter_map(|place| place.or_else(|| fresh.next())).collect();
        self.take_in_events(catalogue, incoming, &numbers, true).await
    }

    /// Has events that were found wrong when they ran run once more, each by a letter; returns how many.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses, or somebody works on one of these organizations for
    /// too long: then the transaction must be dropped.
    pub async fn run_again(&self, events: &[(EventNo, OrganizationNo)]) -> Result<usize, StoreError> {
        if events.is_empty() {
            return Ok(0);
        }
        let shards: std::collections::BTreeSet<Shard> = events.iter().map(|(_, no)| no.shard()).collect();
        self.wait_for_shards(&shards.into_iter().collect::<Vec<_>>()).await?;
        let nos: Vec<i64> = events.iter().map(|(event, _)| event.0).collect();
        let rows = self.query(statements::REJECTED_RUN_AGAIN, &[&nos]).await?;
        self.query(statements::LETTERS_NOTIFY, &[]).await?;
        Ok(rows.len())
    }

    /// Rejected messages were dealt with: `state` is `replayed` or `discarded`. Returns how many.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn settle_rejected(
        &self,
        ids: &[i64],
        state: &str,
        by: &str,
        reason: &str,
    ) -> Result<u64, StoreError> {
        self.execute(statements::REJECTED_SETTLE, &[&ids, &state, &by, &reason]).await
    }

    /// Messages are refused again, for what is wrong with them now.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub async fn refuse_again(&self, refused: &[(i64, RejectionCode, String)]) -> Result<(), StoreError> {
        let ids: Vec<i64> = refused.iter().map(|(id, ..)| *id).collect();
        let codes: Vec<&str> = refused.iter().map(|(_, code, _)| code.name()).collect();
        let reasons: Vec<&str> = refused.iter().map(|(.., reason)| &**reason).collect();
        self.execute_unless(refused.is_empty(), statements::REJECTED_AGAIN, [&ids, &codes, &reasons]).await?;
        Ok(())
    }
}
