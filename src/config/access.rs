//! Access tokens, as the configuration knows them: by name, role and hash, never the token itself.
//!
//! A token is 32 random bytes in hexadecimal, so that a single SHA-256 of it can be kept: there is nothing
//! to guess, and nothing that a salt or a slow hash would make harder.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything, change nothing.
    Viewer,
    /// See everything, and replay, discard, pause, resume, repair and restore.
    Operator,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            _ => Err("expected the role viewer or operator".to_owned()),
        }
    }
}

/// Somebody who may use HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Who it was given to: written down with what is changed.
    pub name: String,
    /// What they may do.
    pub role: Role,
    hash: [u8; 32],
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:***", self.name, self.role.name())
    }
}

impl AccessToken {
    /// What the configuration says of a token: `name:role:hash`.
    pub fn entry(name: &str, role: Role, token: &str) -> String {
        let hash: String = hash_of(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name}:{}:{hash}", role.name())
    }
}

/// All who may use HTTP. None: everybody who reaches the port may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessTokens(Vec<AccessToken>);

impl AccessTokens {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. Takes as long for a wrong one as for a right one, whatever of it is right.
    pub fn find(&self, token: &str) -> Option<&AccessToken> {
        let hash = hash_of(token);
        self.0
            .iter()
            .fold(None, |found, known| if known.hash.ct_eq(&hash).into() { Some(known) } else { found })
    }
}

impl FromStr for AccessTokens {
    type Err = String;

    /// Tokens as the configuration has them, with white space or commas between.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut tokens: Vec<AccessToken> = Vec::new();
        for (place, entry) in (1..).zip(entries(text)) {
            let token = read(entry).map_err(|wrong| {
                format!("expected entries such as ada:operator:<64 hexadecimal digits>, as `channel-sync token` prints them; in entry {place} {wrong}")
            })?;
            if tokens.iter().any(|known| known.name == token.name) {
                return Err(format!("expected each name once; {} stands there twice", token.name));
            }
            tokens.push(token);
        }
        Ok(Self(tokens))
    }
}

/// The entries, which have white space or commas between.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\r', '\n', ',']).filter(|entry| !entry.is_empty())
}

/// The entries with their hashes hidden: somebody may have written a token in a hash's place.
pub(super) fn redacted(text: &str) -> String {
    let hidden = entries(text).map(|entry| match entry.rsplit_once(':') {
        Some((known, _)) if known.contains(':') => format!("{known}:***"),
        _ => "***".to_owned(),
    });
    hidden.collect::<Vec<_>>().join(" ")
}

fn read(entry: &str) -> Result<AccessToken, String> {
    let [name, role, hash] = entry
        .split(':')
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "there are not three parts".to_owned())?;
    check_name(name).map_err(|wrong| format!("the name is {wrong}"))?;
    let role = role.parse().map_err(|_| "the role is neither viewer nor operator".to_owned())?;
    let wrong = || "the hash is not 64 hexadecimal digits".to_owned();
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hash.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(AccessToken { name: name.to_owned(), role, hash: bytes })
}

/// Checks the name of somebody who gets a token.
///
/// # Errors
/// What it is instead, as the end of a sentence.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let well_formed = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@'));
    if well_formed { Ok(()) } else { Err("not 1 to 64 letters, digits, hyphens, underscores, dots and @") }
}

fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_token_it_is() {
        let text = format!(
            "{}\n {}",
            AccessToken::entry("ada", Role::Operator, "one"),
            AccessToken::entry("grafana", Role::Viewer, "two")
        );
        let tokens: AccessTokens = text.parse().unwrap();
        let of = |token| tokens.find(token).map(|known| (known.name.as_str(), known.role));
        assert_eq!(of("one"), Some(("ada", Role::Operator)));
        assert_eq!(of("two"), Some(("grafana", Role::Viewer)));
        assert_eq!(of("three"), None);
        assert_eq!(of(""), None);
        assert_eq!(format!("{tokens:?}"), "AccessTokens([ada:operator:***, grafana:viewer:***])");
        assert_eq!(redacted(&text), "ada:operator:*** grafana:viewer:***");
    }

    #[test]
    fn what_is_wrong_with_an_entry() {
        for (text, wrong) in [
            ("ada", "not three parts"),
            ("ada:root:00", "the role is neither"),
            ("a/b:viewer:00", "the name is not"),
            ("ada:viewer:secret", "the hash is not"),
        ] {
            let error = text.parse::<AccessTokens>().unwrap_err();
            assert!(error.contains(wrong) && !error.contains("secret"), "{error}");
        }
        let twice = AccessToken::entry("ada", Role::Viewer, "one");
        assert!(format!("{twice},{twice}").parse::<AccessTokens>().unwrap_err().contains("twice"));
        assert_eq!(redacted("secret"), "***");
    }
}
