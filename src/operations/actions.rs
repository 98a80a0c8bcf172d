//! Actions: what operators changed, as it was written down with it.

use super::{OperationError, Page};
use crate::store::Store;
use crate::store::read::ActionRow;

/// What operators did, the newest first.
///
/// # Errors
/// Where the database cannot be read.
pub async fn actions(
    store: &Store,
    after: Option<i64>,
    limit: u16,
) -> Result<Page<ActionRow>, OperationError> {
    let session = store.session().await?;
    let rows = session.list_actions(after, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |row| row.action_no.to_string()))
}
