//! Names out of a fixed list, for what can be filtered by.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// A text that is none of the names that it could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}; expected one of: {}", .names.join(", "))]
pub struct UnknownName {
    /// What it was to be.
    pub what: &'static str,
    /// The text.
    pub text: String,
    /// The names.
    pub names: &'static [&'static str],
}

/// An enumeration whose variants have names.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $type:ident, $what:literal { $($(#[$variant_meta:meta])* $variant:ident = $name:literal),* $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_meta])* $variant),* }

        impl $type {
            /// The names of all.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The name, as views, JSON and the command line write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::operations::names::parsed(deserializer)
            }
        }

        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::operations::names::schema($what, Self::NAMES).into()
            }
        }

        impl utoipa::ToSchema for $type {}

        impl std::str::FromStr for $type {
            type Err = $crate::operations::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err($crate::operations::UnknownName {
                        what: $what,
                        text: text.to_owned(),
                        names: Self::NAMES,
                    }),
                }
            }
        }
    };
}

pub(super) use named;

/// Reads a text that stands for something.
pub(crate) fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A text that is one of these names.
pub(super) fn schema(what: &str, names: &[&str]) -> Schema {
    let schema = ObjectBuilder::new().schema_type(Type::String).description(Some(what));
    schema.enum_values(Some(names.iter().copied())).into()
}
