//! Messages that were not accepted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::names::named;
use super::replays::Operator;
use super::{OperationError, Page};
use crate::contract::{self, Limits, Message, Properties, RejectionCode};
use crate::domain::catalogue::Catalogue;
use crate::domain::{EventNo, OrganizationNo};
use crate::store::intake::{Incoming, Taken};
use crate::store::read::{RejectedFilter, RejectedRow, SettledRow};
use crate::store::rejected::{RefusedAs, RejectedChoice};
use crate::store::{Session, Store};

/// How many messages one transaction deals with: each may be as large as a message can be.
const MESSAGES_MAX: i64 = 50;

/// How many messages one transaction discards.
const DISCARDED_MAX: i64 = 50;

named! {
    /// What was done about a rejected message.
    RejectedState, "state of a rejected message" {
        /// Nothing yet.
        Rejected = "rejected",
        /// It was taken in again.
        Replayed = "replayed",
        /// It was given up.
        Discarded = "discarded",
    }
}

/// Which rejected messages.
#[derive(Debug, Clone)]
pub struct RejectedQuery {
    /// With this code.
    pub code: Option<RejectionCode>,
    /// In this state.
    pub state: Option<RejectedState>,
    /// Where an earlier page said that the list goes on: after this one.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u16,
}

/// A rejected message, whole.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RejectedDetail {
    /// What stands in the list.
    #[serde(flatten)]
    pub message: RejectedRow,
    /// The body, where it is UTF-8.
    pub body: Option<String>,
    /// The body in hexadecimal digits, where it is not.
    pub body_hex: Option<String>,
    /// The event in structured form, as it is published from a file, where the message came in binary form and can be
    /// read so far: then its body is only the event's `data`.
    pub event: Option<String>,
    /// What an operator did about it.
    pub settled: Option<SettledRow>,
}

/// Rejected messages, the newest first.
///
/// # Errors
/// Where the database cannot be read.
pub async fn rejected(store: &Store, query: &RejectedQuery) -> Result<Page<RejectedRow>, OperationError> {
    let session = store.session().await?;
    let filter = RejectedFilter {
        code: query.code.map(RejectionCode::name),
        state: query.state.map(RejectedState::name),
        after: query.after,
    };
    let rows = session.list_rejected(&filter, i64::from(query.limit) + 1).await?;
    Ok(Page::cut(rows, query.limit, |row| row.rejected_id.to_string()))
}

/// One rejected message, with its body.
///
/// # Errors
/// [`OperationError::UnknownRejected`], or where the database cannot be read.
pub async fn rejected_message(store: &Store, rejected_id: i64) -> Result<RejectedDetail, OperationError> {
    let session = store.session().await?;
    let (message, body, settled) =
        session.show_rejected(rejected_id).await?.ok_or(OperationError::UnknownRejected(rejected_id))?;
    // What other versions have stored may be read no more.
    let properties = Properties::deserialize(&message.properties).unwrap_or_default();
    let came = Message { body, properties };
    let event = contract::structured(&came);
    Ok(match String::from_utf8(came.body) {
        Ok(text) => RejectedDetail { message, body: Some(text), body_hex: None, event, settled },
        Err(error) => {
            let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            RejectedDetail { message, body: None, body_hex: Some(hex), event, settled }
        }
    })
}

/// Which rejected messages an operator means, of those that nobody has dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RejectedSelection {
    /// These; all where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<i64>,
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<RejectionCode>,
}

/// What became of rejected messages that were replayed, or what would become of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct RejectedReplay {
    /// Events now. In a preview: messages that are well-formed events; where their ids were used before, they
    /// will be duplicates or refused.
    pub accepted: i64,
    /// They are events already.
    pub duplicates: i64,
    /// Events that were found wrong when they ran, and run once more.
    pub run_again: i64,
    /// Refused again, by what is wrong with them now.
    #[schema(inline)]
    pub refused: BTreeMap<RejectionCode, i64>,
    /// When this was so; none where nothing was chosen.
    #[serde(skip)]
    pub at: Option<Timestamp>,
}

impl RejectedReplay {
    /// How many messages.
    pub fn messages(&self) -> i64 {
        self.accepted + self.duplicates + self.run_again + self.refused.values().sum::<i64>()
    }
}

impl RejectedSelection {
    async fn check(&self, session: &Session) -> Result<(), OperationError> {
        let states: BTreeMap<i64, String> = session.rejected_states(&self.ids).await?.into_iter().collect();
        for id in &self.ids {
            match states.get(id).map(String::as_str) {
                Some("rejected") => {}
                None => return Err(OperationError::UnknownRejected(*id)),
                Some(state) => {
                    return Err(OperationError::AlreadySettled { rejected_id: *id, state: state.to_owned() });
                }
            }
        }
        Ok(())
    }

    fn choice(&self, after: i64, until: Option<Timestamp>) -> RejectedChoice<'_> {
        let ids = (!self.ids.is_empty()).then_some(&*self.ids);
        RejectedChoice { ids, code: self.code.map(RejectionCode::name), after, until }
    }
}

/// What a replay of the selected messages would come to, with this catalogue. Changes nothing.
///
/// # Errors
/// [`OperationError::UnknownRejected`], [`OperationError::AlreadySettled`], or where the database cannot be read.
pub async fn preview_rejected(
    store: &Store,
    catalogue: &Catalogue,
    limits: &Limits,
    selection: &RejectedSelection,
) -> Result<RejectedReplay, OperationError> {
    let mut session = store.session().await?;
    selection.check(&session).await?;
    let mut preview = RejectedReplay { at: Some(Timestamp::now()), ..RejectedReplay::default() };
    let mut after = 0;
    loop {
        let transaction = session.begin().await?;
        let refused = transaction.next_refused(&selection.choice(after, preview.at), MESSAGES_MAX).await?;
        let Some(last) = refused.last() else { return Ok(preview) };
        after = last.rejected_id;
        for one in refused {
            match one.what {
                RefusedAs::Event(..) => preview.run_again += 1,
                RefusedAs::Message(message, _) => match contract::decode(&message, catalogue, limits) {
                    Ok(_) => preview.accepted += 1,
                    Err(rejection) => *preview.refused.entry(rejection.code).or_default() += 1,
                },
            }
        }
    }
}

/// Takes in the selected messages with this catalogue, each at its old place in the order of events, the oldest
/// first; of those that were there when they were `shown`. What is refused again stays among the rejected ones,
/// with what is wrong with it now. Events that were found wrong when they ran run once more. What was committed
/// before an error stays.
///
/// # Errors
/// As [`preview_rejected`]; [`OperationError::CatalogueBehind`] where the service runs with another catalogue.
pub async fn replay_rejected(
    store: &Store,
    catalogue: &Catalogue,
    limits: &Limits,
    selection: &RejectedSelection,
    shown: Option<Timestamp>,
    operator: Operator<'_>,
) -> Result<RejectedReplay, OperationError> {
    let mut session = store.session().await?;
    selection.check(&session).await?;
    OperationError::unless_known(&session, catalogue).await?;
    let mut all = RejectedReplay::default();
    let mut after = 0;
    loop {
        let transaction = session.begin().await?;
        let refused = transaction.next_refused(&selection.choice(after, shown), MESSAGES_MAX).await?;
        let Some(last) = refused.last() else { return Ok(all) };
        after = last.rejected_id;
        let (mut settled, mut again) = (Vec::new(), Vec::new());
        let mut events: Vec<(EventNo, OrganizationNo)> = Vec::new();
        let (mut ids, mut places, mut incoming) = (Vec::new(), Vec::new(), Vec::new());
        for one in refused {
            match one.what {
                RefusedAs::Event(event, organization) => {
                    events.push((event, organization));
                    settled.push(one.rejected_id);
                }
                RefusedAs::Message(message, place) => {
                    let decoded = contract::decode(&message, catalogue, limits);
                    ids.push(one.rejected_id);
                    places.push(place);
                    incoming.push(Incoming { message: *message, decoded });
                }
            }
        }
        // Shards before the intake: decision 0004.
        all.run_again += transaction.run_again(&events).await? as i64;
        let taken = transaction.take_in_again(catalogue, &incoming, &places).await?;
        for (id, taken) in ids.into_iter().zip(taken) {
            match taken {
                Taken::Accepted(_) | Taken::Ignored(_) => {
                    all.accepted += 1;
                    settled.push(id);
                }
                Taken::Duplicate => {
                    all.duplicates += 1;
                    settled.push(id);
                }
                Taken::Rejected(rejection) => {
                    *all.refused.entry(rejection.code).or_default() += 1;
                    again.push((id, rejection.code, rejection.reason));
                }
            }
        }
        let Operator { name, reason } = operator;
        transaction.settle_rejected(&settled, "replayed", name, reason).await?;
        transaction.refuse_again(&again).await?;
        let refused_again: Vec<i64> = again.iter().map(|(id, ..)| *id).collect();
        let subject = json!({ "filter": selection, "replayed": settled, "refused_again": refused_again });
        transaction.add_action(name, "rejected replay", Some(reason), &subject).await?;
        transaction.commit().await?;
    }
}

/// Gives the selected messages up, of those that were there when they were `shown`; returns how many. What was
/// committed before an error stays.
///
/// # Errors
/// As [`preview_rejected`].
pub async fn discard_rejected(
    store: &Store,
    selection: &RejectedSelection,
    shown: Option<Timestamp>,
    operator: Operator<'_>,
) -> Result<i64, OperationError> {
    let mut session = store.session().await?;
    selection.check(&session).await?;
    let (mut all, mut after) = (0, 0);
    loop {
        let transaction = session.begin().await?;
        let refused = transaction.next_refused(&selection.choice(after, shown), DISCARDED_MAX).await?;
        let Some(last) = refused.last() else { return Ok(all) };
        after = last.rejected_id;
        let ids: Vec<i64> = refused.iter().map(|one| one.rejected_id).collect();
        let Operator { name, reason } = operator;
        let discarded = transaction.settle_rejected(&ids, "discarded", name, reason).await?;
        let subject = json!({ "filter": selection, "discarded": ids });
        transaction.add_action(name, "rejected discard", Some(reason), &subject).await?;
        transaction.commit().await?;
        all += discarded as i64;
    }
}
