//! Why a message is not accepted: a code to count and filter by, and a sentence for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::json::Json;

/// What is wrong with a message, by kind. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionCode {
    /// The body is not JSON in UTF-8.
    MalformedJson,
    /// A field that must be there is missing or null.
    MissingField,
    /// A field is there and holds what it may not.
    InvalidField,
    /// The event is neither `setting-changed` nor `partnership-changed`.
    UnknownType,
    /// The catalogue does not name the category.
    UnknownCategory,
    /// The category lists its slots, and the key is none of them.
    UnknownSlot,
    /// The body or the headers have too many bytes, or the event too many entries.
    TooLarge,
    /// The JSON has too many brackets open at once.
    TooDeep,
    /// Another event had the same source and id, with different content.
    IdReused,
    /// The downstream has another active partnership, and one of the two is exclusive.
    ExclusiveConflict,
    /// The partnership would make an organization its own upstream, directly or through others.
    PartnershipCycle,
    /// A snapshot would empty a category that has entries, and does not say that it may.
    EmptySnapshot,
}

impl RejectionCode {
    /// All codes.
    pub const ALL: [Self; 12] = [
        Self::MalformedJson,
        Self::MissingField,
        Self::InvalidField,
        Self::UnknownType,
        Self::UnknownCategory,
        Self::UnknownSlot,
        Self::TooLarge,
        Self::TooDeep,
        Self::IdReused,
        Self::ExclusiveConflict,
        Self::PartnershipCycle,
        Self::EmptySnapshot,
    ];

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The name of the code, as tables, metrics and the command line write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed-json",
            Self::MissingField => "missing-field",
            Self::InvalidField => "invalid-field",
            Self::UnknownType => "unknown-type",
            Self::UnknownCategory => "unknown-category",
            Self::UnknownSlot => "unknown-slot",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::IdReused => "id-reused",
            Self::ExclusiveConflict => "exclusive-conflict",
            Self::PartnershipCycle => "partnership-cycle",
            Self::EmptySnapshot => "empty-snapshot",
        }
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`RejectionCode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rejection code; expected one of: {names}", names = RejectionCode::names())]
pub struct UnknownRejectionCode(pub String);

impl FromStr for RejectionCode {
    type Err = UnknownRejectionCode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let code = Self::ALL.into_iter().find(|code| code.name() == name);
        code.ok_or_else(|| UnknownRejectionCode(name.to_owned()))
    }
}

/// Why a message is not accepted.
///
/// None of its texts holds U+0000, so that Postgres can store them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong, by kind.
    pub code: RejectionCode,
    /// One sentence that names the field, says what it was, and what was expected.
    pub reason: String,
    /// The event's source, where it could be read and is well formed.
    pub source: Option<String>,
    /// The event's id, where it could be read and is well formed.
    pub id: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

// By hand: `thiserror` would take the event's source for the error's.
impl std::error::Error for Rejection {}

impl Rejection {
    /// A rejection of a message whose source and id are not known (yet).
    pub(super) fn new(code: RejectionCode, reason: String) -> Self {
        Self { code, reason: short(&reason), source: None, id: None }
    }

    pub(super) fn missing(field: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self::new(RejectionCode::MissingField, format!("{field} is missing; expected {expected}"))
    }

    pub(super) fn invalid(
        field: impl fmt::Display,
        is: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::new(RejectionCode::InvalidField, format!("{field} is {is}; expected {expected}"))
    }
}

/// The most characters of a reason or an error, in a log record, a column, or shown to people: it quotes what
/// it is about; it does not repeat it whole.
pub const REASON_CHARACTERS_MAX: usize = 1000;
const QUOTED_CHARACTERS_MAX: usize = 100;

/// A reason or an error, cut off where it is longer than [`REASON_CHARACTERS_MAX`]. Whoever makes one that holds
/// somebody else's text makes it through this.
pub fn short(reason: &str) -> String {
    cut(reason, REASON_CHARACTERS_MAX)
}

fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Somebody else's text for a reason: in quotes, control characters escaped, cut off where it is long.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", cut(text, QUOTED_CHARACTERS_MAX))
}

/// Somebody else's name for a field, for a path: as [`quote`], without the quotes.
pub(super) fn escape(name: &str) -> String {
    cut(name, QUOTED_CHARACTERS_MAX).escape_debug().to_string()
}

/// What a JSON value is, in words, for a reason.
pub(super) fn describe(json: &Json<'_>) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => format!("the number {}", cut(number, QUOTED_CHARACTERS_MAX)),
        Json::Text(text) => quote(text),
        Json::List(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}
