//! Statements of one transaction that are under way at once: all of them, or the error that was the cause.
//!
//! When one fails, the server refuses those behind it too (25P02: the transaction is aborted). Which of these
//! answers is looked at first is chance, so all are waited for, and the one that tells the cause is kept:
//! whether to try again is decided by it.

use super::error::StoreError;

/// Runs futures at once, like `tokio::try_join!`, but ends with the error that made the others fail.
macro_rules! together {
    ($($future:expr),+ $(,)?) => {
        $crate::store::together::Together::whole(tokio::join!($($future),+))
    };
}
pub(super) use together;

/// Results of futures that ran at once.
pub(super) trait Together {
    type Whole;

    /// All of them, or the error that was the cause.
    fn whole(self) -> Result<Self::Whole, StoreError>;
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name),+> Together for ($(Result<$name, StoreError>,)+) {
            type Whole = ($($name,)+);

            #[allow(non_snake_case, reason = "the type parameters name the values too")]
            fn whole(self) -> Result<Self::Whole, StoreError> {
                match self {
                    ($(Ok($name),)+) => Ok(($($name,)+)),
                    ($($name,)+) => Err(cause([$($name.err()),+])),
                }
            }
        }
    };
}

tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);

/// The first error that is not only the echo of another.
fn cause<const N: usize>(errors: [Option<StoreError>; N]) -> StoreError {
    let (echoes, causes): (Vec<StoreError>, Vec<StoreError>) =
        errors.into_iter().flatten().partition(|error| error.sql_state() == Some("25P02"));
    let first = causes.into_iter().chain(echoes).next();
    first.unwrap_or_else(|| StoreError::Unreachable("no answer".to_owned()))
}
