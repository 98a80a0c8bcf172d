//! Names out of a fixed list, for what can be filtered by.

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

            /// The name, as views and the command line write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

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
