//! Addresses of settings, as the columns that set-based statements take.

use std::collections::HashMap;

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

/// From so many keys on it is worth a look whether there is any entry between the first and the last of them.
const MANY_KEYS: usize = 4;

/// Addresses of settings, as columns: who asks for which set of keys, and what the sets hold.
#[derive(Default)]
pub(super) struct KeySetColumns<'a> {
    pub(super) organizations: Vec<i32>,
    pub(super) categories: Vec<&'a str>,
    pub(super) sets: Vec<i32>,
    /// The bounds of a set of [`MANY_KEYS`] or more.
    pub(super) firsts: Vec<Option<&'a str>>,
    pub(super) lasts: Vec<Option<&'a str>>,
    pub(super) set_nos: Vec<i32>,
    pub(super) keys: Vec<&'a str>,
}

impl<'a> KeySetColumns<'a> {
    /// Of these addresses, which are sorted.
    pub(super) fn of(catalogue: &'a Catalogue, sorted: &'a [(OrganizationNo, CategoryId, Key)]) -> Self {
        let mut columns = Self::default();
        let mut known: HashMap<Vec<&Key>, i32> = HashMap::new();
        for addresses in sorted.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
            let [(organization, category, _), ..] = addresses else { continue };
            let keys: Vec<&Key> = addresses.iter().map(|(_, _, key)| key).collect();
            let no = known.len() as i32;
            let set = *known.entry(keys).or_insert_with_key(|keys| {
                columns.set_nos.extend(std::iter::repeat_n(no, keys.len()));
                columns.keys.extend(keys.iter().map(|key| &***key));
                no
            });
            columns.organizations.push(organization.0);
            columns.categories.push(catalogue.name(*category));
            columns.sets.push(set);
            let bounds = match addresses {
                [(_, _, first), .., (_, _, last)] if addresses.len() >= MANY_KEYS => {
                    Some((&**first, &**last))
                }
                _ => None,
            };
            columns.firsts.push(bounds.map(|(first, _)| first));
            columns.lasts.push(bounds.map(|(_, last)| last));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalogue::BUILT_IN;

    #[test]
    fn organizations_that_ask_for_the_same_keys_share_a_set() {
        let catalogue = Catalogue::parse(BUILT_IN).unwrap();
        let (equipment, adders) = (catalogue.find("equipment").unwrap(), catalogue.find("adders").unwrap());
        let address = |no, category, key: &str| (OrganizationNo(no), category, Key::from(key));
        let mut addresses = vec![
            address(1, equipment, "a"),
            address(1, equipment, "b"),
            address(2, equipment, "a"),
            address(2, equipment, "b"),
            address(2, adders, "a"),
            address(3, equipment, "b"),
        ];
        addresses.sort();
        let columns = KeySetColumns::of(&catalogue, &addresses);
        let sets: Vec<Vec<&str>> = (0..3)
            .map(|no| {
                let of_set = columns.set_nos.iter().zip(&columns.keys).filter(|(set, _)| **set == no);
                of_set.map(|(_, key)| *key).collect()
            })
            .collect();
        let asked: Vec<(i32, &str, &[&str])> = (0..columns.organizations.len())
            .map(|at| {
                let set = &sets[columns.sets[at] as usize];
                (columns.organizations[at], columns.categories[at], &**set)
            })
            .collect();
        let mut expected: Vec<(i32, &str, &[&str])> = vec![
            (1, "equipment", &["a", "b"]),
            (2, "equipment", &["a", "b"]),
            (2, "adders", &["a"]),
            (3, "equipment", &["b"]),
        ];
        expected.sort_by_key(|(no, category, _)| (*no, catalogue.find(category)));
        assert_eq!(asked, expected);
        assert_eq!(columns.keys.len(), 4, "each set is sent once");
    }

    #[test]
    fn many_keys_come_with_their_first_and_last_and_few_without() {
        let catalogue = Catalogue::parse(BUILT_IN).unwrap();
        let equipment = catalogue.find("equipment").unwrap();
        // (how many keys, their bounds)
        let cases = [(1, None), (MANY_KEYS - 1, None), (MANY_KEYS, Some(("k00", "k03")))];
        for (count, bounds) in cases {
            let addresses: Vec<_> = (0..count)
                .map(|no| (OrganizationNo(1), equipment, Key::from(format!("k{no:02}").as_str())))
                .collect();
            let columns = KeySetColumns::of(&catalogue, &addresses);
            let found = columns.firsts[0].zip(columns.lasts[0]);
            assert_eq!(found, bounds, "{count} keys");
        }
    }
}
