//! Access tokens for HTTP: making one. The service keeps its hash alone.

use serde::Serialize;

use crate::config::{AccessToken, Role, check_name};

/// What every token begins with: it is known for what it is where it should not be.
const PREFIX: &str = "cs_";

/// A token that was made just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewToken {
    /// Who it is for: written down with what is changed.
    pub name: String,
    /// `viewer` or `operator`.
    pub role: &'static str,
    /// The token.
    pub token: String,
    /// What `http.access_tokens` has to hold for it.
    pub entry: String,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody can be named so.
    #[error("the name {name:?} is {is}")]
    Name {
        /// The name.
        name: String,
        /// What it is instead.
        is: &'static str,
    },
    /// The system has no random numbers.
    #[error("draw random numbers: {0}")]
    Random(String),
}

/// A token of 32 random bytes. It is kept nowhere.
///
/// # Errors
/// Where the name is none that an entry can have, or the system has no random numbers.
pub fn token(name: &str, role: Role) -> Result<NewToken, TokenError> {
    check_name(name).map_err(|is| TokenError::Name { name: name.to_owned(), is })?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| TokenError::Random(error.to_string()))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let token = format!("{PREFIX}{digits}");
    let entry = AccessToken::entry(name, role, &token);
    Ok(NewToken { name: name.to_owned(), role: role.name(), token, entry })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AccessTokens;

    #[test]
    fn a_token_is_known_by_its_entry() {
        let new = token("ada", Role::Operator).unwrap();
        assert_eq!(new.token.len(), 3 + 64);
        let known: AccessTokens = new.entry.parse().unwrap();
        assert_eq!(known.find(&new.token).map(|known| known.role), Some(Role::Operator));
        assert_ne!(token("ada", Role::Operator).unwrap().token, new.token);
        assert!(token("a:b", Role::Viewer).is_err());
    }
}
