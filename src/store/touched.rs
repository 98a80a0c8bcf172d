//! Loads what something newer than old jobs has touched: for batches with replays, and for restores.

use std::collections::{BTreeMap, HashMap};

use super::error::StoreError;
use super::pool::Transaction;
use super::rows::organization;
use super::statements;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::replay::Touched;
use crate::domain::{EventNo, OrganizationNo};

/// The root event of the oldest job at hand, by organization and category (none: all of them).
pub(super) type Oldest = BTreeMap<(OrganizationNo, Option<CategoryId>), EventNo>;

impl Transaction<'_> {
    /// What was touched in each organization by events later than the oldest jobs at hand.
    ///
    /// # Errors
    /// Where the database cannot be reached or refuses.
    pub(super) async fn touched(
        &self,
        catalogue: &Catalogue,
        oldest: &Oldest,
    ) -> Result<HashMap<OrganizationNo, Touched>, StoreError> {
        let organizations: Vec<i32> = oldest.keys().map(|(organization, _)| organization.0).collect();
        let categories: Vec<Option<&str>> =
            oldest.keys().map(|(_, category)| category.map(|category| catalogue.name(category))).collect();
        let events: Vec<i64> = oldest.values().map(|event| event.0).collect();
        let rows = self
            .query_unless(oldest.is_empty(), statements::TOUCHED_LOAD, [&organizations, &events, &categories])
            .await?;
        let mut all: HashMap<OrganizationNo, Touched> = HashMap::new();
        for row in &rows {
            let touched = all.entry(organization(row)).or_default();
            let event = EventNo(row.get("event_no"));
            if row.get("results_dropped") {
                touched.drop_before(event);
                continue;
            }
            let category = row.get::<_, Option<&str>>("category").map(|name| catalogue.find(name));
            let may_remove = row.get("may_remove");
            match (category, row.get::<_, Option<&str>>("key")) {
                (None, _) => touched.touch_everything(event, may_remove),
                (Some(Some(category)), None) => touched.touch_category(category, event),
                (Some(Some(category)), Some(key)) => touched.touch(category, key.into(), event, may_remove),
                // A category that the catalogue no longer has is left as it is.
                (Some(None), _) => {}
            }
        }
        Ok(all)
    }
}
