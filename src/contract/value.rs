//! The values that an event sets: checked, brought to their canonical text, and addressed by it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::canonical::{self, DIGITS_MAX};
use super::fields::path_segment;
use super::json::Json;
use super::rejection::{Rejection, RejectionCode, describe, quote};
use crate::domain::setting::ValueId;

/// The values of one event, each once.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<ValueId, String>);

impl Values {
    /// Checks a value and adds it; `path` says where it stands.
    pub(super) fn add(&mut self, value: &Json<'_>, path: impl Fn() -> String) -> Result<ValueId, Rejection> {
        if let Json::Null = value {
            let expected = "a JSON value, since clearing an entry is to remove it";
            return Err(Rejection::invalid(path(), "null", expected));
        }
        check(value).map_err(|defect| {
            let inner: String = defect.path.iter().rev().map(String::as_str).collect();
            let reason = format!("{}{inner} is {}; expected {}", path(), defect.is, defect.expected);
            Rejection::new(RejectionCode::InvalidField, reason)
        })?;
        let text = canonical::text(value);
        let id = value_id(&text);
        self.0.entry(id).or_insert(text);
        Ok(id)
    }

    pub(super) fn into_map(self) -> BTreeMap<ValueId, String> {
        self.0
    }
}

fn value_id(canonical: &str) -> ValueId {
    let hash: [u8; 32] = Sha256::digest(canonical.as_bytes()).into();
    let mut first = [0; 16];
    first.copy_from_slice(&hash[..16]);
    ValueId(u128::from_be_bytes(first))
}

/// What `jsonb` could not hold, or would not give back as it was.
struct Defect {
    /// Where in the value, innermost first.
    path: Vec<String>,
    is: String,
    expected: String,
}

fn check(value: &Json<'_>) -> Result<(), Defect> {
    match value {
        Json::Null | Json::Bool(_) => Ok(()),
        Json::Number(number) => {
            if is_number_in_range(number) {
                return Ok(());
            }
            let expected = format!(
                "a number within the range of a double, of at most {DIGITS_MAX} digits when written out"
            );
            Err(Defect { path: Vec::new(), is: describe(value), expected })
        }
        Json::Text(text) if text.contains('\0') => {
            let expected = "text without U+0000".to_owned();
            Err(Defect { path: Vec::new(), is: quote_from(text), expected })
        }
        Json::Text(_) => Ok(()),
        Json::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            check(item).map_err(|mut defect| {
                defect.path.push(format!("[{index}]"));
                defect
            })
        }),
        Json::Object(entries) => entries.iter().try_for_each(|(key, item)| {
            if key.contains('\0') {
                let is = format!("an object with the key {}", quote_from(key));
                return Err(Defect { path: Vec::new(), is, expected: "keys without U+0000".to_owned() });
            }
            check(item).map_err(|mut defect| {
                defect.path.push(path_segment(key));
                defect
            })
        }),
    }
}

/// Quotes from the first U+0000 of a text on, so that the reason shows it however long the text is.
fn quote_from(text: &str) -> String {
    let at = text.find('\0').unwrap_or(0);
    if text[..at].chars().count() < 80 {
        quote(text)
    } else {
        format!("text with {} in it", quote(&text[at..]))
    }
}

fn is_number_in_range(number: &str) -> bool {
    let Some(plain) = canonical::plain_number(number) else { return false };
    // Short and without an exponent: in range for sure.
    if plain.len() < 300 {
        return true;
    }
    let zero = !plain.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let nearest: f64 = plain.parse().unwrap_or(f64::INFINITY);
    nearest.is_finite() && (zero || nearest != 0.0)
}
