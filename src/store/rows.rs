//! Rows into domain types and back.

use tokio_postgres::Row;

use super::error::StoreError;
use crate::domain::mailbox::JobKind;
use crate::domain::partnership::{Beginning, Mode, Partnership, Status, Terms};
use crate::domain::{ChangeNo, EventNo, OrganizationNo};

/// The one row that a statement always has.
pub(super) fn one<'a>(rows: &'a [Row], what: &str) -> Result<&'a Row, StoreError> {
    rows.first()
        .ok_or_else(|| StoreError::Row { what: what.to_owned(), reason: "there is no row".to_owned() })
}

/// An enumeration of the schema, by the names that it has there.
pub(super) trait Named: Copy + PartialEq + 'static {
    const WHAT: &'static str;
    const NAMES: &'static [(Self, &'static str)];

    fn name(self) -> &'static str {
        // Every variant stands in NAMES: a test of each conversion goes through all of them.
        Self::NAMES.iter().find(|(variant, _)| *variant == self).map_or("", |(_, name)| *name)
    }

    fn named(name: &str) -> Result<Self, StoreError> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(variant, _)| *variant).ok_or_else(|| StoreError::Row {
            what: Self::WHAT.to_owned(),
            reason: format!("there is no {name:?}"),
        })
    }
}

impl Named for JobKind {
    const WHAT: &'static str = "a job kind";
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::OwnChange, Self::OwnChange.name()),
        (Self::PartnershipChange, Self::PartnershipChange.name()),
        (Self::SyncChange, Self::SyncChange.name()),
        (Self::Reconcile, Self::Reconcile.name()),
    ];
}

impl Named for Status {
    const WHAT: &'static str = "a partnership status";
    const NAMES: &'static [(Self, &'static str)] = &[(Self::Active, "active"), (Self::Ended, "ended")];
}

impl Named for Beginning {
    const WHAT: &'static str = "a partnership beginning";
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::NewOrganization, "new-organization"),
        (Self::ExistingOrganization, "existing-organization"),
        (Self::BecameStrict, "became-strict"),
        (Self::Repair, "repair"),
    ];
}

impl Named for Mode {
    const WHAT: &'static str = "a partnership mode";
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Off, "off"),
        (Self::NonExclusive, "non-exclusive"),
        (Self::Flexible, "flexible"),
        (Self::Strict, "strict"),
    ];
}

/// A row of `partnerships_above` or `partnerships_below`.
pub(super) fn partnership(row: &Row) -> Result<Partnership, StoreError> {
    Ok(Partnership {
        upstream: OrganizationNo(row.get("upstream_no")),
        downstream: OrganizationNo(row.get("downstream_no")),
        terms: Terms {
            status: Status::named(row.get("status"))?,
            exclusive: row.get("exclusive"),
            data_sync: row.get("data_sync"),
            allow_downstream_edit: row.get("allow_downstream_edit"),
        },
        since: ChangeNo(row.get("since_change_no")),
        version: row.get("version"),
        event: row.get::<_, Option<i64>>("event_no").map(EventNo),
    })
}

/// The `organization_no` of a row.
pub(super) fn organization(row: &Row) -> OrganizationNo {
    OrganizationNo(row.get("organization_no"))
}
