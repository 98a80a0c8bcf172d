//! Takes the fields of one JSON object, each by its name and as what it must be.
//!
//! One rule holds for all of them: a field that is null counts as left out, and a field may not stand twice.

use std::collections::HashSet;
use std::fmt;

use super::json::{Entry, Json};
use super::rejection::{Rejection, RejectionCode, describe, escape, quote};

/// Longest id, source, organization id or key, in bytes.
pub(super) const IDENTIFIER_BYTES_MAX: usize = 200;

/// Which object a field is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A CloudEvents attribute in the body.
    Event,
    /// A CloudEvents attribute in the headers.
    Headers,
    /// `data` itself.
    Data,
    /// The change of this index in `data.changes`.
    Change(usize),
}

impl Place {
    /// The field of this name here.
    pub(super) fn field(self, name: &str) -> Field<'_> {
        Field { place: self, name }
    }
}

/// A field, by its path; what a reason calls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'n> {
    place: Place,
    name: &'n str,
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.place {
            Place::Event => write!(f, "{name}"),
            Place::Headers => write!(f, "header cloudEvents:{name}"),
            Place::Data => write!(f, "data.{name}"),
            Place::Change(index) => write!(f, "data.changes[{index}].{name}"),
        }
    }
}

/// What [`pick`] found: the fields asked for, in that order, and the names of the others.
pub(super) struct Picked<'j, 'a, const N: usize> {
    pub(super) fields: [Option<&'j Json<'a>>; N],
    pub(super) unknown: Vec<&'j str>,
}

/// Takes the fields of these names from an object.
pub(super) fn pick<'j, 'a, const N: usize>(
    entries: &'j [Entry<'a>],
    place: Place,
    names: [&str; N],
) -> Result<Picked<'j, 'a, N>, Rejection> {
    let mut fields = [None; N];
    let mut unknown = Vec::new();
    for (key, json) in entries {
        match names.iter().position(|name| name == key) {
            Some(index) if fields[index].is_some() => return Err(stands_twice(place, key)),
            Some(index) => fields[index] = Some(json),
            None => unknown.push(key.as_ref()),
        }
    }
    if unknown.len() > 1 {
        let mut seen = HashSet::with_capacity(unknown.len());
        if let Some(name) = unknown.iter().find(|name| !seen.insert(**name)) {
            return Err(stands_twice(place, name));
        }
    }
    Ok(Picked { fields, unknown })
}

fn stands_twice(place: Place, name: &str) -> Rejection {
    let reason = format!("{} stands twice; expected each field once", place.field(&escape(name)));
    Rejection::new(RejectionCode::InvalidField, reason)
}

/// The field, where it is there and not null.
fn given<'j, 'a>(json: Option<&'j Json<'a>>) -> Option<&'j Json<'a>> {
    json.filter(|json| !matches!(json, Json::Null))
}

/// A text that must be there.
pub(super) fn text<'j>(
    json: Option<&'j Json<'_>>,
    field: Field<'_>,
    expected: impl fmt::Display,
) -> Result<&'j str, Rejection> {
    match given(json) {
        None => Err(Rejection::missing(field, expected)),
        Some(Json::Text(text)) => Ok(text),
        Some(other) => Err(Rejection::invalid(field, describe(other), expected)),
    }
}

/// A text that may be left out.
pub(super) fn optional_text<'j>(
    json: Option<&'j Json<'_>>,
    field: Field<'_>,
    expected: impl fmt::Display,
) -> Result<Option<&'j str>, Rejection> {
    if given(json).is_none() { Ok(None) } else { text(json, field, expected).map(Some) }
}

const IDENTIFIER: &str = "1 to 200 bytes of text without control characters or white space at either end";

/// An identifier that must be there.
pub(super) fn identifier<'j>(json: Option<&'j Json<'_>>, field: Field<'_>) -> Result<&'j str, Rejection> {
    let text = text(json, field, IDENTIFIER)?;
    check_identifier(text, field)?;
    Ok(text)
}

/// Checks that `text` is an identifier or a key.
pub(super) fn check_identifier(text: &str, field: impl fmt::Display) -> Result<(), Rejection> {
    if is_identifier(text) {
        return Ok(());
    }
    let is = if text.len() > IDENTIFIER_BYTES_MAX {
        format!("{} ({} bytes)", quote(text), text.len())
    } else {
        quote(text)
    };
    Err(Rejection::invalid(field, is, IDENTIFIER))
}

/// Whether `text` is 1 to 200 bytes, without control characters and without white space at either end.
pub(super) fn is_identifier(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len())
        && !text.chars().any(char::is_control)
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
}

/// A boolean that must be there.
pub(super) fn boolean(json: Option<&Json<'_>>, field: Field<'_>) -> Result<bool, Rejection> {
    optional_boolean(json, field)?.ok_or_else(|| Rejection::missing(field, BOOLEAN))
}

const BOOLEAN: &str = "true or false";

/// A boolean that may be left out.
pub(super) fn optional_boolean(json: Option<&Json<'_>>, field: Field<'_>) -> Result<Option<bool>, Rejection> {
    match given(json) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(Rejection::invalid(field, describe(other), BOOLEAN)),
    }
}

/// A version, which may be left out.
pub(super) fn version(json: Option<&Json<'_>>, field: Field<'_>) -> Result<Option<i64>, Rejection> {
    let Some(json) = given(json) else { return Ok(None) };
    let version = match json {
        // Digits alone: a sign, a fraction or an exponent would be another spelling of the same version.
        Json::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok(),
        _ => None,
    };
    let expected = "a whole number from 0 to 9223372036854775807, written in digits";
    version.map(Some).ok_or_else(|| Rejection::invalid(field, describe(json), expected))
}

/// A list, where it is there.
pub(super) fn optional_list<'j, 'a>(
    json: Option<&'j Json<'a>>,
    field: Field<'_>,
) -> Result<Option<&'j [Json<'a>]>, Rejection> {
    match given(json) {
        None => Ok(None),
        Some(Json::List(items)) => Ok(Some(items)),
        Some(other) => Err(Rejection::invalid(field, describe(other), "a list")),
    }
}

/// An object, where it is there.
pub(super) fn optional_object<'j, 'a>(
    json: Option<&'j Json<'a>>,
    field: Field<'_>,
) -> Result<Option<&'j [Entry<'a>]>, Rejection> {
    match given(json) {
        None => Ok(None),
        Some(Json::Object(entries)) => Ok(Some(entries)),
        Some(other) => Err(Rejection::invalid(field, describe(other), "an object")),
    }
}

/// The names of fields that mean nothing here, for one line in a debug log.
pub(super) struct Unknown {
    wanted: bool,
    names: Vec<String>,
    total: usize,
}

/// Enough to see what a publisher means; a hostile event could name 50,000.
const UNKNOWN_NAMES_MAX: usize = 20;

impl Unknown {
    /// Collects nothing unless somebody listens.
    pub(super) fn new() -> Self {
        Self { wanted: tracing::enabled!(tracing::Level::DEBUG), names: Vec::new(), total: 0 }
    }

    /// Notes fields of one object.
    pub(super) fn add(&mut self, place: Place, names: &[&str]) {
        if !self.wanted {
            return;
        }
        self.total += names.len();
        let room = UNKNOWN_NAMES_MAX.saturating_sub(self.names.len());
        self.names.extend(names.iter().take(room).map(|name| place.field(&escape(name)).to_string()));
    }

    /// Writes the line, where there is anything to say.
    pub(super) fn log(&self, source: &str, id: &str) {
        if self.total > 0 {
            let names = self.names.join(", ");
            tracing::debug!(
                source,
                id,
                total = self.total,
                names,
                "ignored fields of data that are not known"
            );
        }
    }
}

/// A key in a path: as it is where it is plain, else quoted in brackets.
pub(super) fn path_segment(key: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= 100
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain { format!(".{key}") } else { format!("[{}]", quote(key)) }
}
