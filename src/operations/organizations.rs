//! Organizations, and what each has: settings, partnerships, and what waits for it.

use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{OperationError, Page};
use crate::domain::OrganizationNo;
use crate::domain::catalogue::Catalogue;
use crate::store::pause::PauseRow;
use crate::store::read::{MailboxRow, OrganizationRow, PartnershipRow, SettingRow};
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
    /// Where an earlier page said that the list goes on.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u16,
}

/// What waits for an organization, and whether it is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mailbox {
    /// The organization.
    pub organization_id: String,
    /// Its own pause, where it is paused.
    pub pause: Option<PauseRow>,
    /// The pause of all execution, where that is paused.
    pub everything_paused: Option<PauseRow>,
    /// How many jobs wait for it.
    pub jobs_waiting: i64,
    /// The first of them, in the order in which they are worked off.
    pub jobs: Vec<MailboxRow>,
}

/// Organizations by name: all, or those whose names begin so.
///
/// # Errors
/// Where the database cannot be read.
pub async fn organizations(
    store: &Store,
    prefix: Option<&str>,
    after: Option<&str>,
    limit: u16,
) -> Result<Page<OrganizationRow>, OperationError> {
    let session = store.session().await?;
    let rows = session.list_organizations(prefix, None, after, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |row| row.organization_id.clone()))
}

/// One organization.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be read.
pub async fn organization(store: &Store, organization_id: &str) -> Result<OrganizationRow, OperationError> {
    let session = store.session().await?;
    match session.list_organizations(None, Some(organization_id), None, 1).await?.pop() {
        Some(organization) => Ok(organization),
        None => Err(unknown(&session, organization_id).await?),
    }
}

/// What waits for an organization: the first `limit` jobs, and how many there are.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], or where the database cannot be read.
pub async fn mailbox(store: &Store, organization_id: &str, limit: u16) -> Result<Mailbox, OperationError> {
    let session = store.session().await?;
    let organization = organization_no(&session, organization_id).await?;
    let pauses = session.list_pauses(None, Some(organization), 2).await?;
    let (of_all, own): (Vec<_>, Vec<_>) = pauses.into_iter().partition(|row| row.organization_id.is_none());
    let (jobs, jobs_waiting) = session.list_mailbox(organization, limit.into()).await?;
    Ok(Mailbox {
        organization_id: organization_id.to_owned(),
        pause: own.into_iter().next(),
        everything_paused: of_all.into_iter().next(),
        jobs_waiting,
        jobs,
    })
}

/// Settings of an organization, by category and key.
///
/// # Errors
/// [`OperationError::UnknownOrganization`]; [`OperationError::UnknownCategory`] where there are none and the catalogue
/// does not name the category; [`OperationError::MalformedCursor`]; or where the database cannot be read.
pub async fn settings(
    store: &Store,
    catalogue: &Catalogue,
    organization_id: &str,
    query: &SettingQuery,
) -> Result<Page<SettingRow>, OperationError> {
    let after = query.after.as_deref().map(read_pair).transpose()?;
    let after = after.as_ref().map(|(category, key)| (category.as_str(), key.as_str()));
    let session = store.session().await?;
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
        if after.is_none() {
            OperationError::unless_named(catalogue, query.category.as_deref())?;
        }
    }
    Ok(Page::cut(rows, query.limit, |row| pair(&row.category, &row.key)))
}

/// Partnerships by upstream and downstream: all, or those that an organization has on either side.
///
/// # Errors
/// [`OperationError::UnknownOrganization`], [`OperationError::MalformedCursor`], or where the database cannot be read.
pub async fn partnerships(
    store: &Store,
    organization_id: Option<&str>,
    after: Option<&str>,
    limit: u16,
) -> Result<Page<PartnershipRow>, OperationError> {
    let after = after.map(read_pair).transpose()?;
    let after = after.as_ref().map(|(upstream, downstream)| (upstream.as_str(), downstream.as_str()));
    let session = store.session().await?;
    let organization = organization_if_named(&session, organization_id).await?;
    let rows = session.list_partnerships(organization, after, i64::from(limit) + 1).await?;
    Ok(Page::cut(rows, limit, |row| pair(&row.upstream_id, &row.downstream_id)))
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
        None => Err(unknown(session, organization_id).await?),
    }
}

/// That an organization is not known, and which ones have names like that.
async fn unknown(session: &Session, organization_id: &str) -> Result<OperationError, OperationError> {
    let names = session.list_organization_names(organization_id, NAMES_MAX).await?;
    let similar = similar(organization_id, names);
    Ok(OperationError::UnknownOrganization { organization_id: organization_id.to_owned(), similar })
}

/// A place in a list that is ordered by two names, either of which may hold anything.
fn pair(first: &str, second: &str) -> String {
    json!([first, second]).to_string()
}

fn read_pair(cursor: &str) -> Result<(String, String), OperationError> {
    serde_json::from_str(cursor).map_err(|_| OperationError::MalformedCursor(cursor.to_owned()))
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
    use super::{pair, read_pair, similar};

    #[test]
    fn a_place_between_two_names_is_found_again_whatever_they_hold() {
        for (first, second) in [("equipment", "module/a b"), ("a \"b", ",]"), ("", "")] {
            let cursor = pair(first, second);
            assert_eq!(read_pair(&cursor).unwrap(), (first.to_owned(), second.to_owned()));
        }
        for cursor in ["", "a b", "[\"a\"]", "[1,2]", "[\"a\",\"b\",\"c\"]"] {
            assert!(read_pair(cursor).is_err(), "{cursor}");
        }
    }

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
