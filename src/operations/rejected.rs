//! Messages that were not accepted.

use serde::Serialize;

use super::names::named;
use super::{OperationError, Page};
use crate::contract::RejectionCode;
use crate::store::Store;
use crate::store::read::{RejectedFilter, RejectedRow};

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
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedDetail {
    /// What stands in the list.
    #[serde(flatten)]
    pub message: RejectedRow,
    /// The body, where it is UTF-8.
    pub body: Option<String>,
    /// The body in hexadecimal digits, where it is not.
    pub body_hex: Option<String>,
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
    let (message, body) =
        session.show_rejected(rejected_id).await?.ok_or(OperationError::UnknownRejected(rejected_id))?;
    Ok(match String::from_utf8(body) {
        Ok(text) => RejectedDetail { message, body: Some(text), body_hex: None },
        Err(error) => {
            let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            RejectedDetail { message, body: None, body_hex: Some(hex) }
        }
    })
}
