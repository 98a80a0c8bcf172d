//! What the terminal can show: colours, and how large it is.
//!
//! Whether there are colours is said once, by `--color`, before anything is printed. What always holds: where
//! nothing was said, `NO_COLOR` turns colours off, `CLICOLOR_FORCE` turns them on, and else only a terminal has any.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::{ColorChoice, ValueEnum as _};

/// What `--color` said.
static CHOICE: OnceLock<ColorChoice> = OnceLock::new();

/// The option as it is found among raw arguments: help and wrong usage are coloured before any are parsed.
pub(super) fn choice_among(arguments: &[OsString]) -> ColorChoice {
    let mut rest = arguments.iter().skip(1).map(OsString::as_os_str).take_while(|argument| *argument != "--");
    let mut said = None;
    while let Some(argument) = rest.next() {
        let value = match argument.to_str() {
            Some("--color") => rest.next().and_then(OsStr::to_str),
            Some(argument) => argument.strip_prefix("--color="),
            None => None,
        };
        said = value.or(said);
    }
    said.and_then(|value| ColorChoice::from_str(value, false).ok()).unwrap_or(ColorChoice::Auto)
}

/// Says once for all what `--color` said.
pub(super) fn choose(choice: ColorChoice) {
    // Nobody else says it.
    let _ = CHOICE.set(choice);
}

/// Whether what is written to `stream` has colours.
pub(super) fn has_colours(stream: &impl IsTerminal) -> bool {
    let choice = CHOICE.get().copied().unwrap_or(ColorChoice::Auto);
    decide(choice, &|name| std::env::var_os(name), stream.is_terminal())
}

fn decide(choice: ColorChoice, variable: &dyn Fn(&str) -> Option<OsString>, terminal: bool) -> bool {
    let said = |name| variable(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if said("NO_COLOR").is_some() => false,
        ColorChoice::Auto if said("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => terminal && said("TERM").is_none_or(|value| value != "dumb"),
    }
}

/// How many columns and lines the terminal has that stdout is; none where it is no terminal.
pub(super) fn size() -> Option<(u16, u16)> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    crossterm::terminal::size().ok().filter(|(columns, lines)| *columns > 0 && *lines > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_counts_before_variables_and_these_before_the_terminal() {
        let decided = |choice, variables: &[(&str, &str)], terminal| {
            let find = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            decide(choice, &find, terminal)
        };
        assert!(decided(ColorChoice::Auto, &[], true));
        assert!(!decided(ColorChoice::Auto, &[], false));
        assert!(!decided(ColorChoice::Auto, &[("TERM", "dumb")], true));
        assert!(!decided(ColorChoice::Auto, &[("NO_COLOR", "1")], true));
        assert!(decided(ColorChoice::Auto, &[("NO_COLOR", "")], true));
        assert!(decided(ColorChoice::Auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(!decided(ColorChoice::Auto, &[("CLICOLOR_FORCE", "0")], false));
        assert!(!decided(ColorChoice::Auto, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
        assert!(decided(ColorChoice::Always, &[("NO_COLOR", "1")], false));
        assert!(!decided(ColorChoice::Never, &[("CLICOLOR_FORCE", "1")], true));
    }

    #[test]
    fn the_option_is_found_among_raw_arguments() {
        let among = |line: &str| choice_among(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(among("channel-sync status"), ColorChoice::Auto);
        assert_eq!(among("channel-sync --color always status"), ColorChoice::Always);
        assert_eq!(among("channel-sync status --color=never --help"), ColorChoice::Never);
        assert_eq!(among("channel-sync --color=always status --color never"), ColorChoice::Never);
        assert_eq!(among("channel-sync --color purple"), ColorChoice::Auto);
        assert_eq!(among("channel-sync explain -- --color=always"), ColorChoice::Auto);
    }
}
