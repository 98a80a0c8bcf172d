//! The catalogue: which setting categories there are, of what kind, and how far each of them reaches.
//!
//! It is data: `config/catalogue.toml` is compiled in, and an operator can put another file in its place.
//! Reading the file from disk happens elsewhere; this module only checks its text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Position of a category in its [`Catalogue`]; means nothing outside this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CategoryId(pub u16);

/// Whether a category holds many entries or single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Many entries, each under its own key; entries can be added, changed and removed.
    Collection,
    /// Single values; each slot can be changed or cleared, never added twice.
    Default,
}

/// How far a category is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Kept in sync for as long as data sync is on.
    Ongoing,
    /// Synced once, when a new organization is invited; never kept in sync and never locked.
    OnboardingOnly,
    /// Not synced at all: an event for it is acknowledged and recorded as ignored.
    Never,
}

/// One setting category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name, as events write it.
    pub name: Arc<str>,
    /// The group of settings that the platform shows it under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Many entries or single values.
    #[serde(default = "default_kind")]
    pub kind: Kind,
    /// How far it is synced.
    pub reach: Reach,
    /// The keys that a default may have; empty where any key is a slot.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub slots: BTreeSet<String>,
}

fn default_kind() -> Kind {
    Kind::Collection
}

impl Category {
    /// Whether `key` may be a key of this category.
    pub fn allows_key(&self, key: &str) -> bool {
        self.slots.is_empty() || self.slots.contains(key)
    }
}

/// All setting categories, checked.
#[derive(Debug, Clone)]
pub struct Catalogue {
    categories: Vec<Category>,
    by_name: BTreeMap<Arc<str>, CategoryId>,
}

/// What is wrong with the text of a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not the fields that a catalogue has.
    #[error("read the catalogue: {0}")]
    Format(#[from] toml::de::Error),
    /// No category at all.
    #[error("the catalogue names no category; expected at least one [[category]]")]
    Empty,
    /// More categories than can be numbered.
    #[error("the catalogue names {0} categories; expected at most 1000")]
    TooMany(usize),
    /// Two categories of one name.
    #[error("the catalogue names the category {0:?} twice; expected each name once")]
    Duplicate(String),
    /// A name that no event could write.
    #[error(
        "the catalogue has a category named {0:?}; expected 1 to 200 bytes of lower-case letters, digits and hyphens"
    )]
    Name(String),
    /// Slots where they mean nothing.
    #[error("the category {0:?} lists slots; expected slots only where kind = \"default\"")]
    Slots(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default)]
    category: Vec<Category>,
}

/// The catalogue that is compiled in: `config/catalogue.toml`.
pub const BUILT_IN: &str = include_str!("../../config/catalogue.toml");

impl Catalogue {
    /// Reads and checks the TOML text of a catalogue.
    ///
    /// # Errors
    /// Says what is wrong and what was expected instead, for the first problem found.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let file: CatalogueFile = toml::from_str(text)?;
        if file.category.is_empty() {
            return Err(CatalogueError::Empty);
        }
        if file.category.len() > 1000 {
            return Err(CatalogueError::TooMany(file.category.len()));
        }
        let mut by_name = BTreeMap::new();
        for (index, category) in file.category.iter().enumerate() {
            let name = &category.name;
            let well_formed = (1..=200).contains(&name.len())
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            if !well_formed {
                return Err(CatalogueError::Name(name.to_string()));
            }
            if !category.slots.is_empty() && category.kind != Kind::Default {
                return Err(CatalogueError::Slots(name.to_string()));
            }
            if by_name.insert(Arc::clone(name), CategoryId(index as u16)).is_some() {
                return Err(CatalogueError::Duplicate(name.to_string()));
            }
        }
        Ok(Self { categories: file.category, by_name })
    }

    /// The id of the category of this name.
    pub fn find(&self, name: &str) -> Option<CategoryId> {
        self.by_name.get(name).copied()
    }

    /// The category of this id.
    ///
    /// # Panics
    /// Where the id is not from this catalogue.
    pub fn get(&self, id: CategoryId) -> &Category {
        &self.categories[usize::from(id.0)]
    }

    /// The name of the category of this id.
    pub fn name(&self, id: CategoryId) -> &str {
        &self.get(id).name
    }

    /// The categories that are ever synced, in the order of their names' bytes.
    pub fn synced(&self) -> impl Iterator<Item = (CategoryId, &Category)> {
        let all = self.by_name.values().map(|id| (*id, self.get(*id)));
        all.filter(|(_, category)| category.reach != Reach::Never)
    }

    /// All categories, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (CategoryId, &Category)> {
        self.categories.iter().enumerate().map(|(index, category)| (CategoryId(index as u16), category))
    }
}
