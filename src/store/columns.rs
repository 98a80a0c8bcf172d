//! Addresses of settings, as the columns that set-based statements take.

use crate::domain::OrganizationNo;
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::setting::Key;
use crate::domain::world::Declined;

/// Addresses of settings, as columns.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) organizations: Vec<i32>,
    pub(super) categories: Vec<&'a str>,
    pub(super) keys: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn of_keys(
        catalogue: &'a Catalogue,
        addresses: impl IntoIterator<Item = &'a (OrganizationNo, CategoryId, Key)>,
    ) -> Self {
        let mut columns = Self::default();
        for (organization, category, key) in addresses {
            columns.organizations.push(organization.0);
            columns.categories.push(catalogue.name(*category));
            columns.keys.push(key);
        }
        columns
    }

    pub(super) fn of_categories<'b>(
        catalogue: &'a Catalogue,
        addresses: impl IntoIterator<Item = &'b (OrganizationNo, CategoryId)>,
    ) -> Self {
        let mut columns = Self::default();
        for (organization, category) in addresses {
            columns.organizations.push(organization.0);
            columns.categories.push(catalogue.name(*category));
        }
        columns
    }
}

/// Addresses of declined entries, as columns.
#[derive(Default)]
pub(super) struct DeclinedColumns<'a> {
    pub(super) downstreams: Vec<i32>,
    pub(super) upstreams: Vec<i32>,
    pub(super) categories: Vec<&'a str>,
    pub(super) keys: Vec<&'a str>,
}

impl<'a> DeclinedColumns<'a> {
    pub(super) fn of(catalogue: &'a Catalogue, all: impl IntoIterator<Item = &'a Declined>) -> Self {
        let mut columns = Self::default();
        for Declined { downstream, upstream, category, key } in all {
            columns.downstreams.push(downstream.0);
            columns.upstreams.push(upstream.0);
            columns.categories.push(catalogue.name(*category));
            columns.keys.push(key);
        }
        columns
    }
}
