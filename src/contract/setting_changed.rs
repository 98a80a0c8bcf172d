//! The `data` of a `setting-changed` event.

use std::collections::HashSet;
use std::sync::Arc;

use super::fields::{self, Place, Unknown, path_segment, pick};
use super::json::{Entry, Json};
use super::rejection::{Rejection, RejectionCode, describe, quote};
use super::value::Values;
use super::{Limits, SettingChanged};
use crate::domain::catalogue::{Catalogue, Category, CategoryId, Reach};
use crate::domain::setting::{Edit, Key, ValueId};

pub(super) fn read(
    data: &[Entry<'_>],
    catalogue: &Catalogue,
    limits: &Limits,
    values: &mut Values,
    unknown: &mut Unknown,
) -> Result<SettingChanged, Rejection> {
    let names = ["organization_id", "category", "version", "changes", "snapshot", "allow_empty"];
    let picked = pick(data, Place::Data, names)?;
    let [organization_id, category, version, changes, snapshot, allow_empty] = picked.fields;
    let organization_id = fields::identifier(organization_id, Place::Data.field("organization_id"))?;
    let id = find_category(category, catalogue)?;
    let category = catalogue.get(id);
    let organization_id = Arc::from(organization_id);
    if category.reach == Reach::Never {
        let edit = Edit::Changes(Vec::new());
        return Ok(SettingChanged { organization_id, category: id, version: None, edit });
    }
    let version = fields::version(version, Place::Data.field("version"))?;
    let changes = fields::optional_list(changes, Place::Data.field("changes"))?;
    let snapshot = fields::optional_object(snapshot, Place::Data.field("snapshot"))?;
    unknown.add(Place::Data, &picked.unknown);
    let edit = match (changes, snapshot) {
        (Some(changes), None) => {
            check_count(changes.len(), "changes", limits)?;
            if allow_empty.is_some() {
                unknown.add(Place::Data, &["allow_empty"]);
            }
            Edit::Changes(read_changes(changes, category, values, unknown)?)
        }
        (None, Some(snapshot)) => {
            check_count(snapshot.len(), "snapshot", limits)?;
            let allow_empty = fields::optional_boolean(allow_empty, Place::Data.field("allow_empty"))?;
            let entries = read_snapshot(snapshot, category, values)?;
            Edit::Snapshot { entries, allow_empty: allow_empty.unwrap_or(false) }
        }
        (None, None) => {
            let expected = "a list of changes, or data.snapshot in its place";
            return Err(Rejection::missing(Place::Data.field("changes"), expected));
        }
        (Some(_), Some(_)) => {
            let reason = "data.snapshot is given besides data.changes; expected exactly one of the two";
            return Err(Rejection::new(RejectionCode::InvalidField, reason.to_owned()));
        }
    };
    Ok(SettingChanged { organization_id, category: id, version, edit })
}

fn find_category(category: Option<&Json<'_>>, catalogue: &Catalogue) -> Result<CategoryId, Rejection> {
    let field = Place::Data.field("category");
    let name = fields::text(category, field, "the name of a setting category")?;
    catalogue.find(name).ok_or_else(|| {
        let names = || catalogue.iter().map(|(_, category)| category.name.as_ref());
        let expected = match nearest(name, names()) {
            Some(near) => format!("a category of the catalogue, perhaps {near:?}"),
            None => format!("a category of the catalogue: {}", listed(names())),
        };
        let reason = format!("{field} is {}; expected {expected}", quote(name));
        Rejection::new(RejectionCode::UnknownCategory, reason)
    })
}

fn check_count(count: usize, name: &str, limits: &Limits) -> Result<(), Rejection> {
    if count <= limits.entries_max {
        return Ok(());
    }
    let field = Place::Data.field(name);
    let reason = format!("{field} has {count} entries; expected at most {}", limits.entries_max);
    Err(Rejection::new(RejectionCode::TooLarge, reason))
}

fn read_changes(
    changes: &[Json<'_>],
    category: &Category,
    values: &mut Values,
    unknown: &mut Unknown,
) -> Result<Vec<(Key, Option<ValueId>)>, Rejection> {
    let mut edits = Vec::with_capacity(changes.len());
    let mut seen = HashSet::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let Json::Object(entries) = change else {
            let field = format!("data.changes[{index}]");
            return Err(Rejection::invalid(field, describe(change), "an object with op and key"));
        };
        let place = Place::Change(index);
        let picked = pick(entries, place, ["op", "key", "value"])?;
        let [op, key, value] = picked.fields;
        unknown.add(place, &picked.unknown);
        let expected = "\"set\" or \"remove\"";
        let op = fields::text(op, place.field("op"), expected)?;
        if op != "set" && op != "remove" {
            return Err(Rejection::invalid(place.field("op"), quote(op), expected));
        }
        let key = fields::identifier(key, place.field("key"))?;
        check_slot(key, category, || place.field("key").to_string())?;
        if !seen.insert(key) {
            let is = format!("{} a second time", quote(key));
            return Err(Rejection::invalid(place.field("key"), is, "each key once in an event"));
        }
        let value = match (op, value) {
            ("set", Some(value)) => Some(values.add(value, || place.field("value").to_string())?),
            ("set", None) => return Err(Rejection::missing(place.field("value"), "the JSON value to set")),
            (_, None | Some(Json::Null)) => None,
            (_, Some(value)) => {
                let expected = "no value where op is \"remove\"";
                return Err(Rejection::invalid(place.field("value"), describe(value), expected));
            }
        };
        edits.push((Arc::from(key), value));
    }
    Ok(edits)
}

fn read_snapshot(
    snapshot: &[Entry<'_>],
    category: &Category,
    values: &mut Values,
) -> Result<Vec<(Key, ValueId)>, Rejection> {
    let mut entries = Vec::with_capacity(snapshot.len());
    let mut seen = HashSet::with_capacity(snapshot.len());
    for (key, value) in snapshot {
        let key = key.as_ref();
        fields::check_identifier(key, "a key of data.snapshot")?;
        check_slot(key, category, || "a key of data.snapshot".to_owned())?;
        if !seen.insert(key) {
            let is = format!("{} a second time", quote(key));
            return Err(Rejection::invalid("a key of data.snapshot", is, "each key once in an event"));
        }
        let value = values.add(value, || format!("data.snapshot{}", path_segment(key)))?;
        entries.push((Arc::from(key), value));
    }
    Ok(entries)
}

fn check_slot(key: &str, category: &Category, field: impl Fn() -> String) -> Result<(), Rejection> {
    if category.allows_key(key) {
        return Ok(());
    }
    let slots = listed(category.slots.iter().map(String::as_str));
    let reason = format!("{} is {}; expected a slot of {}: {slots}", field(), quote(key), category.name);
    Err(Rejection::new(RejectionCode::UnknownSlot, reason))
}

/// A catalogue may name a thousand categories; a sentence may not.
const LISTED_MAX: usize = 25;

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The name that `name` was perhaps meant to be: the one with the fewest letters amiss, of at most two and
/// less than half of them.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // The lengths first: the name is a stranger's, and may be as long as a body.
    let close = names.filter(|other| other.len().abs_diff(name.len()) <= 2);
    let measured = close.map(|other| (strsim::osa_distance(name, other), other));
    let (amiss, other) = measured.min_by_key(|&(amiss, _)| amiss)?;
    (amiss <= 2 && amiss * 2 < other.len()).then_some(other)
}
