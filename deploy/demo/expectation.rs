//! What every organization's settings must be, written down by hand as the story goes on.
//!
//! Independent of the program: nothing here knows a mode, a rule or the catalogue of `channel_sync`. The
//! story says for each step who ends up with what, as the rules table has it; this module only keeps that.
//! The one rule that it applies is that a strict partnership locks.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The setting that a value stands in: organization, category, key.
pub(crate) type Place = (String, String, String);

/// A setting, as the rules say or as Postgres has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    /// `own`, or the upstream that it was synced from.
    pub(crate) origin: String,
    /// The upstream that locks it.
    pub(crate) locked_by: Option<String>,
}

/// Collections that are kept in sync: what a merge takes from.
pub(crate) const COLLECTIONS: [&str; 4] =
    ["equipment", "adders", "persona-inventory", "utility-rate-escalation"];

/// Everything that is kept in sync, and that a strict partnership locks.
pub(crate) const ONGOING: [&str; 9] = [
    "equipment",
    "adders",
    "persona-inventory",
    "utility-rate-escalation",
    "default-costs",
    "estimated-installation-dates",
    "expiration-dates",
    "comparable-values",
    "proposal-email",
];

/// What only a newly invited organization gets.
pub(crate) const ONBOARDING: [&str; 2] = ["organization-logo", "licenses"];

/// Added, changed and removed settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Difference {
    pub(crate) added: i64,
    pub(crate) changed: i64,
    pub(crate) removed: i64,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, changed, removed } = self;
        write!(formatter, "{added} added, {changed} changed, {removed} removed")
    }
}

/// All settings and partnerships as they must be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expectation {
    settings: BTreeMap<Place, (Value, String)>,
    modes: BTreeMap<(String, String), &'static str>,
}

impl Expectation {
    /// The organization has this value, as its own.
    pub(crate) fn own(&mut self, organization: &str, category: &str, key: &str, value: Value) {
        self.settings.insert(place(organization, category, key), (value, "own".to_owned()));
    }

    /// The organization does not have this setting.
    pub(crate) fn gone(&mut self, organization: &str, category: &str, key: &str) {
        self.settings.remove(&place(organization, category, key));
    }

    /// The organization has what the upstream has in this setting, synced from it.
    pub(crate) fn synced(&mut self, organization: &str, upstream: &str, category: &str, key: &str) {
        if let Some((value, _)) = self.settings.get(&place(upstream, category, key)).cloned() {
            self.settings.insert(place(organization, category, key), (value, upstream.to_owned()));
        }
    }

    /// Match: in these categories the organization has what the upstream has, and nothing else.
    pub(crate) fn replica(&mut self, organization: &str, upstream: &str, categories: &[&str]) {
        for category in categories {
            self.settings.retain(|(owner, of, _), _| owner != organization || of != category);
            for key in self.keys(upstream, category) {
                self.synced(organization, upstream, category, &key);
            }
        }
    }

    /// Merge: in these categories the organization keeps what it has, and gets what it lacks.
    pub(crate) fn filled(&mut self, organization: &str, upstream: &str, categories: &[&str]) {
        for category in categories {
            for key in self.keys(upstream, category) {
                if !self.settings.contains_key(&place(organization, category, &key)) {
                    self.synced(organization, upstream, category, &key);
                }
            }
        }
    }

    /// The partnership is in this mode.
    pub(crate) fn mode(&mut self, upstream: &str, downstream: &str, mode: &'static str) {
        self.modes.insert((upstream.to_owned(), downstream.to_owned()), mode);
    }

    /// All settings, with who locks them.
    pub(crate) fn settings(&self) -> BTreeMap<Place, Setting> {
        let strict = self.modes.iter().filter(|(_, mode)| **mode == "strict");
        let locks: BTreeMap<&str, &str> =
            strict.map(|((upstream, downstream), _)| (downstream.as_str(), upstream.as_str())).collect();
        let with_lock = |(place, (value, origin)): (&Place, &(Value, String))| {
            let locked_by = locks.get(place.0.as_str()).filter(|_| ONGOING.contains(&place.1.as_str()));
            let locked_by = locked_by.map(|upstream| (*upstream).to_owned());
            (place.clone(), Setting { value: value.clone(), origin: origin.clone(), locked_by })
        };
        self.settings.iter().map(with_lock).collect()
    }

    /// All partnerships, with their modes.
    pub(crate) fn modes(&self) -> BTreeMap<(String, String), String> {
        self.modes.iter().map(|(pair, mode)| (pair.clone(), (*mode).to_owned())).collect()
    }

    /// What has happened to each organization since `before`.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<String, Difference> {
        let mut differences: BTreeMap<String, Difference> = BTreeMap::new();
        for (place, (value, _)) in &self.settings {
            match before.settings.get(place) {
                None => differences.entry(place.0.clone()).or_default().added += 1,
                Some((was, _)) if was != value => {
                    differences.entry(place.0.clone()).or_default().changed += 1;
                }
                Some(_) => {}
            }
        }
        for place in before.settings.keys().filter(|place| !self.settings.contains_key(place)) {
            differences.entry(place.0.clone()).or_default().removed += 1;
        }
        differences
    }

    fn keys(&self, organization: &str, category: &str) -> Vec<String> {
        let theirs = self.settings.keys().filter(|(owner, of, _)| owner == organization && of == category);
        theirs.map(|(_, _, key)| key.clone()).collect()
    }
}

fn place(organization: &str, category: &str, key: &str) -> Place {
    (organization.to_owned(), category.to_owned(), key.to_owned())
}
