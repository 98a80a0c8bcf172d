//! Any file and any environment are a configuration or a list of problems; neither shows a password, nor anything that
//! a terminal would take for a command.

use std::cell::LazyCell;
use std::path::PathBuf;

use channel_sync::config::Config;

/// The password of the database.
const SECRET: &str = "hunter2-hunter2";

thread_local! {
    static FILE: LazyCell<PathBuf> = LazyCell::new(|| {
        std::env::temp_dir().join(format!("channel-sync-fuzz-{}.toml", std::process::id()))
    });
}

/// A file; behind a NUL, variables, a line each.
pub(crate) fn check(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    // Otherwise files would be read that somebody else has written, devices among them.
    let lower = input.to_ascii_lowercase();
    if lower.contains("_file") || lower.contains("catalogue") || lower.contains("channel_sync_config") {
        return;
    }
    let (file, variables) = input.split_once('\0').unwrap_or((input, ""));
    if input.contains(SECRET) {
        return;
    }
    let url = format!("postgres://user:{SECRET}@127.0.0.1/database");
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = environment.chain([("DATABASE_URL".to_owned(), url)]);
    let loaded = FILE.with(|path| {
        std::fs::write(&**path, file).unwrap();
        Config::load(Some(path), environment)
    });
    let shown = match loaded {
        Ok(config) => {
            toml::from_str::<toml::Table>(config.print()).unwrap();
            format!("{}{config:?}", config.print())
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                let text = problem.to_string();
                assert!(text.chars().count() <= 10_000, "{text}");
                assert!(!text.contains(is_command), "{text:?}");
            }
            problems.to_string()
        }
    };
    assert!(!shown.contains(SECRET), "{shown}");
}

/// What a terminal acts upon in place of showing it.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
