//! Freshness: up to which event of its upstream each partnership is in step, and what it still lacks.
//!
//! In step means that nothing waits that the rules would bring, and nothing has failed that was not taken in since. It is
//! told from what waits; whether the entries really are the same says [`mod@super::verify`].

use std::fmt;
use std::str::FromStr;

use super::{OperationError, Page, organizations};
use crate::store::Store;
use crate::store::freshness::{FreshnessPlace, FreshnessRow, FreshnessSummary};

/// Which partnerships.
#[derive(Debug, Clone, Default)]
pub struct FreshnessQuery {
    /// Those that this organization has, as upstream or as downstream.
    pub organization_id: Option<String>,
    /// Those that are in step too.
    pub in_step_too: bool,
    /// Where an earlier page said that the list goes on.
    pub after: Option<FreshnessPlace>,
    /// At most so many.
    pub limit: u16,
}

impl fmt::Display for FreshnessPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { age, upstream, downstream, category } = self;
        write!(f, "{age}-{upstream}-{downstream}-{category}")
    }
}

impl FromStr for FreshnessPlace {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || OperationError::MalformedCursor(text.to_owned());
        let mut parts = text.splitn(4, '-');
        let mut part = || parts.next().ok_or_else(malformed);
        Ok(Self {
            age: part()?.parse().map_err(|_| malformed())?,
            upstream: part()?.parse().map_err(|_| malformed())?,
            downstream: part()?.parse().map_err(|_| malformed())?,
            category: part()?.to_owned(),
        })
    }
}

/// How far partnerships are in each category that their mode keeps in sync, the one that is most behind first.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be read.
pub async fn freshness(store: &Store, query: &FreshnessQuery) -> Result<Page<FreshnessRow>, OperationError> {
    let session = store.session().await?;
    let organization =
        organizations::organization_if_named(&session, query.organization_id.as_deref()).await?;
    let limit = i64::from(query.limit) + 1;
    let rows = session.list_freshness(organization, query.in_step_too, query.after.as_ref(), limit).await?;
    Ok(Page::cut(rows, query.limit, |row| row.place.to_string()))
}

/// How far all partnerships are together.
///
/// # Errors
/// Where the database cannot be read.
pub async fn freshness_summary(store: &Store) -> Result<FreshnessSummary, OperationError> {
    Ok(store.session().await?.status_freshness().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let text = "1764061234567890-1-20-default-costs";
        assert_eq!(text.parse::<FreshnessPlace>().unwrap().to_string(), text);
        for text in ["", "1", "1-2-3", "x-1-2-c", "1-2-99999999999-c"] {
            assert!(text.parse::<FreshnessPlace>().is_err(), "{text}");
        }
    }
}
