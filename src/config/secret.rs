//! Secrets that come from files of their own, as orchestrators mount them.

use std::fmt;
use std::path::Path;

use crate::tls::read_file;

/// The largest file of a password that is read.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// The largest file of access tokens that is read.
const TOKENS_BYTES_MAX: u64 = 1024 * 1024;

/// A password. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password: for connecting, never for showing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The password in a file: its one line.
    ///
    /// # Errors
    /// What was expected instead, as a clause.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = text(path, PASSWORD_BYTES_MAX)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.contains(char::is_control) {
            return Err("expected a file with the password as its one line".to_owned());
        }
        Ok(Self(line.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text of a file of access tokens.
///
/// # Errors
/// What was expected instead, as a clause.
pub(super) fn tokens(path: &Path) -> Result<String, String> {
    text(path, TOKENS_BYTES_MAX)
}

fn text(path: &Path, bytes_max: u64) -> Result<String, String> {
    String::from_utf8(read_file(path, bytes_max)?).map_err(|_| "expected a file of UTF-8".to_owned())
}
