//! Pausing and resuming: one organization, or all execution.

use serde_json::json;

use super::replays::Operator;
use super::{OperationError, Page, organizations};
use crate::store::Store;
use crate::store::pause::PauseRow;

/// What is paused: all execution first, then organizations by name.
///
/// # Errors
/// Where the database cannot be read.
pub async fn pauses(
    store: &Store,
    after: Option<&str>,
    limit: u16,
) -> Result<Page<PauseRow>, OperationError> {
    let session = store.session().await?;
    let rows = session.list_pauses(after, None, i64::from(limit) + 1).await?;
    // No organization has an empty name: that place is after all execution.
    Ok(Page::cut(rows, limit, |row| row.organization_id.clone().unwrap_or_default()))
}

/// Pauses an organization, or (none) all execution, once the work at hand there is finished: when this returns,
/// nothing more is written there until it is resumed. What comes for it is kept. False where it was paused
/// before, and stays so for the reason of then.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be reached.
pub async fn pause(
    store: &Store,
    organization_id: Option<&str>,
    operator: Operator<'_>,
) -> Result<bool, OperationError> {
    let mut session = store.session().await?;
    let organization = organizations::organization_if_named(&session, organization_id).await?;
    let transaction = session.begin().await?;
    let is_new = transaction.pause(organization, operator.name, operator.reason).await?;
    if is_new {
        let subject = json!({ "organization": organization_id });
        transaction.add_action(operator.name, "pause", Some(operator.reason), &subject).await?;
        transaction.commit().await?;
    }
    Ok(is_new)
}

/// An organization, or (none) all execution, goes on. False where it was not paused.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be reached.
pub async fn resume(
    store: &Store,
    organization_id: Option<&str>,
    operator: &str,
) -> Result<bool, OperationError> {
    let mut session = store.session().await?;
    let organization = organizations::organization_if_named(&session, organization_id).await?;
    let transaction = session.begin().await?;
    let was_paused = transaction.resume(organization).await?;
    if was_paused {
        let subject = json!({ "organization": organization_id });
        transaction.add_action(operator, "resume", None, &subject).await?;
        transaction.commit().await?;
    }
    Ok(was_paused)
}
