//! What an organization has: its settings and its partnerships.

use super::{OperationError, Page};
use crate::domain::OrganizationNo;
use crate::store::read::{PartnershipRow, SettingRow};
use crate::store::{Session, Store};

/// How many names are looked through for similar ones.
const NAMES_MAX: i64 = 20_000;

/// How many similar names are given.
const SIMILAR_MAX: usize = 5;

/// How similar a name must be, from 0 to 1 (Jaro-Winkler).
const SIMILARITY_MIN: f64 = 0.8;

/// Which settings of an organization.
#[derive(Debug, Clone, Default)]
pub struct SettingQuery {
    /// Of this category.
    pub category: Option<String>,
    /// Whose keys begin so.
    pub key_prefix: Option<String>,
    /// After this category and key.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: u16,
}

/// Settings of an organization, by category and key. The next page begins after the category and key of the
/// last one.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be read.
pub async fn settings(
    store: &Store,
    organization_id: &str,
    query: &SettingQuery,
) -> Result<Page<SettingRow>, OperationError> {
    let session = store.session().await?;
    let after = query.after.as_ref().map(|(category, key)| (category.as_str(), key.as_str()));
    let rows = session
        .list_settings(
            organization_id,
            query.category.as_deref(),
            query.key_prefix.as_deref(),
            after,
            i64::from(query.limit) + 1,
        )
        .await?;
    if rows.is_empty() {
        organization_no(&session, organization_id).await?;
    }
    Ok(Page::cut(rows, query.limit, |row| format!("{} {}", row.category, row.key)))
}

/// Partnerships by upstream and downstream: all, or those that an organization has on either side. The next
/// page begins after the names of the last one.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be read.
pub async fn partnerships(
    store: &Store,
    organization_id: Option<&str>,
    after: Option<(&str, &str)>,
    limit: u16,
) -> Result<Page<PartnershipRow>, OperationError> {
    let session = store.session().await?;
    let organization = organization_if_named(&session, organization_id).await?;
    let rows = session.list_partnerships(organization, after, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |row| format!("{} {}", row.upstream_id, row.downstream_id)))
}

/// The number of an organization that is to be known, where one is named at all.
pub(super) async fn organization_if_named(
    session: &Session,
    organization_id: Option<&str>,
) -> Result<Option<OrganizationNo>, OperationError> {
    match organization_id {
        Some(organization_id) => Ok(Some(organization_no(session, organization_id).await?)),
        None => Ok(None),
    }
}

/// The number of an organization that is to be known.
pub(super) async fn organization_no(
    session: &Session,
    organization_id: &str,
) -> Result<OrganizationNo, OperationError> {
    match session.show_organization(organization_id).await? {
        Some(organization) => Ok(organization),
        None => {
            let names = session.list_organization_names(organization_id, NAMES_MAX).await?;
            let similar = similar(organization_id, names);
            Err(OperationError::UnknownOrganization { organization_id: organization_id.to_owned(), similar })
        }
    }
}

/// Those of `names` that somebody who wrote `text` may have meant, the most similar first.
fn similar(text: &str, names: Vec<String>) -> Vec<String> {
    let text = text.to_lowercase();
    let mut similar: Vec<(f64, String)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let similarity = if lower.contains(&text) || (lower.len() > 2 && text.contains(&lower)) {
                1.0
            } else {
                strsim::jaro_winkler(&text, &lower)
            };
            (similarity >= SIMILARITY_MIN).then_some((similarity, name))
        })
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    similar.truncate(SIMILAR_MAX);
    similar.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn names_that_look_alike_are_similar() {
        let names = ["pac-energy", "Pac-Energy-2", "helios", "pacific", "x"];
        let found = |text| similar(text, names.map(str::to_owned).to_vec());
        assert_eq!(found("pac-enrgy"), ["pac-energy", "Pac-Energy-2"]);
        assert_eq!(found("HELIOS"), ["helios"]);
        assert_eq!(found("energy"), ["Pac-Energy-2", "pac-energy"]);
        assert_eq!(found("nobody"), [""; 0]);
    }
}
