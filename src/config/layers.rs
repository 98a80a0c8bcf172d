//! Lays the layers of the configuration over each other and remembers where each value came from.
//!
//! It knows keys and types, never what a key means. The built-in file is the schema: a key that does not
//! stand there is a [`Problem`], and so is a value of another type than the one there. Nothing stops at the
//! first problem.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{access, address};
use crate::contract::short;
use crate::harmless::harmless;

/// The built-in defaults, which are also the documentation and the schema.
pub const BUILT_IN: &str = include_str!("../../config/channel-sync.toml");

/// What names of environment variables begin with, where they stand for a key.
const PREFIX: &str = "CHANNEL_SYNC__";

/// Short names for keys, from the contract; the long name of the key wins over them.
const SHORT_NAMES: [(&str, &str); 2] = [("AMQP_URL", "broker.url"), ("DATABASE_URL", "database.url")];

/// Keys that name a file which holds a secret.
const SECRET_FILES: [&str; 3] = ["broker.password_file", "database.password_file", "http.access_tokens_file"];

/// Where a value came from, in the order in which problems are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The defaults that are compiled in.
    BuiltIn,
    /// A line of a configuration file, counted from 1.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line on which the key stands; 0 where no line can be named.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the built-in defaults"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, as `section.key`; empty where the file as a whole is meant.
    pub key: String,
    /// The value as it was written, without passwords; none where the key itself is wrong.
    pub value: Option<String>,
    /// What was expected instead, as a clause.
    pub expected: String,
    /// Where it stands.
    pub origin: Origin,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, expected, origin } = self;
        let problem = match (key.as_str(), value) {
            ("", _) => format!("{origin}: {expected}"),
            (key, None) => format!("{key} in {origin}: {expected}"),
            (key, Some(value)) => format!("{key} = {value} in {origin}: {expected}"),
        };
        // Names, and what libraries say of the text, may hold whatever the text does, of any length.
        f.write_str(&harmless(&short(&problem)))
    }
}

/// A value that is in force.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: toml::Value,
    pub(super) origin: Origin,
}

/// All keys with the values in force, and the problems met so far.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) settings: BTreeMap<String, Setting>,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// The built-in defaults alone.
    pub(super) fn built_in() -> Self {
        let mut layers = Self::default();
        match toml::from_str::<toml::Table>(BUILT_IN) {
            Ok(sections) => {
                for (section, keys) in sections {
                    for (key, value) in keys.as_table().cloned().unwrap_or_default() {
                        let setting = Setting { value, origin: Origin::BuiltIn };
                        layers.settings.insert(format!("{section}.{key}"), setting);
                    }
                }
            }
            Err(error) => layers.problem("", None, error.message().to_owned(), Origin::BuiltIn),
        }
        layers
    }

    /// Lays the text of a file over what is there.
    pub(super) fn lay_file(&mut self, path: &Path, text: &str) {
        let line_of =
            |offset: usize| 1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        let at = |offset| Origin::File { path: path.to_owned(), line: line_of(offset) };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                // Only the message: the error's own text quotes the line, which may hold a password.
                let origin = at(error.span().map_or(0, |span| span.start));
                self.problem("", None, format!("expected TOML: {}", error.message()), origin);
                return;
            }
        };
        for (section, keys) in table.get_ref() {
            let section_origin = at(section.span().start);
            let name = section.get_ref();
            let known_section = self.settings.keys().any(|key| key.split('.').next() == Some(name));
            let DeValue::Table(keys) = keys.get_ref() else {
                let expected = format!("expected a section such as [{}]", nearest(name, &self.sections()));
                self.problem(name, None, expected, section_origin);
                continue;
            };
            if !known_section {
                let sections = self.sections();
                let expected = match like(name, &sections) {
                    Some(meant) => format!("no such section; did you mean [{meant}]?"),
                    None => format!("no such section; expected one of {}", sections.join(", ")),
                };
                self.problem(&format!("[{name}]"), None, expected, section_origin);
                continue;
            }
            for (key, value) in keys {
                let origin = at(key.span().start);
                let key = format!("{name}.{}", key.get_ref());
                self.lay_value(&key, plain(value.get_ref()), origin);
            }
        }
    }

    /// Lays the variables that stand for keys over what is there; all others are none of our business.
    pub(super) fn lay_environment(&mut self, environment: &[(String, String)]) {
        for (short, key) in SHORT_NAMES {
            // An empty URL is what a compose file makes of a variable that nobody set.
            let found = environment.iter().find(|(name, value)| name == short && !value.is_empty());
            if let Some((name, value)) = found {
                self.lay_text(key, value, Origin::Variable(name.clone()));
            }
        }
        let names: BTreeMap<String, String> =
            self.settings.keys().map(|key| (variable(key), key.clone())).collect();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let origin = Origin::Variable(name.clone());
            if let Some(key) = names.get(name) {
                self.lay_text(key, value, origin);
            } else {
                let key = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
                let expected = match like(&key, &self.keys()) {
                    Some(meant) => format!("did you mean {}?", variable(meant)),
                    None => "`channel-sync config print` shows all keys".to_owned(),
                };
                self.problem("", None, format!("stands for no key; {expected}"), origin);
            }
        }
    }

    /// Takes the text of a variable for a value of the type that the key has.
    fn lay_text(&mut self, key: &str, text: &str, origin: Origin) {
        let value = match self.settings.get(key).map(|setting| &setting.value) {
            Some(toml::Value::Integer(_)) => text.trim().parse().ok().map(toml::Value::Integer),
            Some(toml::Value::Boolean(_)) => text.trim().parse().ok().map(toml::Value::Boolean),
            _ => None,
        };
        self.lay_value(key, value.or_else(|| Some(toml::Value::String(text.to_owned()))), origin);
    }

    fn lay_value(&mut self, key: &str, value: Option<toml::Value>, origin: Origin) {
        let Some(setting) = self.settings.get_mut(key) else {
            let keys = self.keys();
            let expected = match like(key, &keys) {
                Some(meant) => format!("no such key; did you mean {meant}?"),
                None => {
                    let section = key.split('.').next().unwrap_or_default();
                    let of_section =
                        keys.iter().filter_map(|known| known.strip_prefix(section)?.strip_prefix('.'));
                    format!("no such key; [{section}] has {}", of_section.collect::<Vec<_>>().join(", "))
                }
            };
            self.problem(key, None, expected, origin);
            return;
        };
        match value {
            Some(value) if value.same_type(&setting.value) => {
                *setting = Setting { value, origin };
            }
            value => {
                let expected = format!("expected {}", type_name(&setting.value));
                let value =
                    value.map_or_else(|| "(a number too large)".to_owned(), |value| shown(key, &value));
                self.problem(key, Some(value), expected, origin);
            }
        }
    }

    pub(super) fn problem(
        &mut self,
        key: &str,
        value: Option<String>,
        expected: impl Into<String>,
        origin: Origin,
    ) {
        self.problems.push(Problem { key: key.to_owned(), value, expected: expected.into(), origin });
    }

    fn keys(&self) -> Vec<&str> {
        self.settings.keys().map(String::as_str).collect()
    }

    fn sections(&self) -> Vec<&str> {
        let all: BTreeSet<&str> = self.settings.keys().filter_map(|key| key.split('.').next()).collect();
        all.into_iter().collect()
    }
}

/// The environment variable that stands for a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// A value as TOML, with `***` for every password and every hash of a token.
pub(super) fn redacted(key: &str, value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) if key == "http.access_tokens" => {
            toml::Value::String(access::redacted(text)).to_string()
        }
        // What is no path may be the secret itself, in the wrong place.
        toml::Value::String(text) if SECRET_FILES.contains(&key) && !text.is_empty() => {
            let path = text.starts_with(['/', '.']);
            toml::Value::String(if path { text.clone() } else { "***".to_owned() }).to_string()
        }
        toml::Value::String(text) => toml::Value::String(address::redact(text)).to_string(),
        value => value.to_string(),
    }
}

/// A value as messages show it: without passwords, and short.
pub(super) fn shown(key: &str, value: &toml::Value) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    let text = redacted(key, value);
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn type_name(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a string",
        toml::Value::Integer(_) => "an integer",
        toml::Value::Boolean(_) => "true or false",
        _ => "another type",
    }
}

/// The value without its place in the file; none where it is a number that nothing can hold.
fn plain(value: &DeValue<'_>) -> Option<toml::Value> {
    Some(match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            toml::Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => toml::Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(value) => toml::Value::Datetime(*value),
        DeValue::Array(values) => {
            toml::Value::Array(values.iter().filter_map(|value| plain(value.get_ref())).collect())
        }
        DeValue::Table(values) => toml::Value::Table(
            values
                .iter()
                .filter_map(|(key, value)| Some((key.get_ref().to_string(), plain(value.get_ref())?)))
                .collect(),
        ),
    })
}

/// The known name that is written most like the given one. There is always one.
fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    known.iter().min_by_key(|candidate| slips(name, candidate)).copied().unwrap_or_default()
}

/// The known name that the given one is likely to stand for: as many slips lie between them as a third of the letters of
/// its last part, or fewer.
fn like<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = nearest(name, known);
    let letters = last_part(name).chars().count();
    (slips(name, nearest) <= (letters / 3).max(1)).then_some(nearest)
}

/// How many slips of the pen lie between two names; a key in the wrong section counts as one.
fn slips(name: &str, other: &str) -> usize {
    let whole = strsim::damerau_levenshtein(name, other);
    whole.min(strsim::damerau_levenshtein(last_part(name), last_part(other)) + 1)
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}
