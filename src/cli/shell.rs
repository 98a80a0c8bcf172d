//! `completions` and `manual`: what shells and `man` know of the commands. Needs no configuration.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::error::Failure;
use super::output::Output;
use super::words;

/// `completions SHELL`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync completions bash > ~/.local/share/bash-completion/completions/channel-sync
  channel-sync completions zsh > ~/.zfunc/_channel-sync
  channel-sync completions fish > ~/.config/fish/completions/channel-sync.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `manual DIR`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  channel-sync manual /usr/local/share/man/man1
  channel-sync manual . && man ./channel-sync-jobs-replay.1")]
pub(super) struct ManualArgs {
    /// The directory, which must be there
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: PathBuf,
}

pub(super) fn completions(command: &mut Command, arguments: &CompletionsArgs) -> Result<(), Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, name, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if arguments.shell == Shell::Bash {
        // With a hyphen in the program's name, nothing would be completed behind a command: its labels have the name
        // in two parts (https://github.com/clap-rs/clap/issues/6421).
        script = script.replace("channel__subcmd__sync", "channel__sync");
    }
    Output::text().raw(&script).finish()
}

pub(super) fn manual(command: Command, arguments: &ManualArgs) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot write manual pages into {}", directory.display()))
            .caused_by(error.to_string())
            .hint("name a directory that is there and may be written to")
    };
    clap_mangen::generate_to(command, directory).map_err(failed)?;
    let pages = std::fs::read_dir(directory).map_err(failed)?.filter_map(Result::ok);
    let pages = pages.filter(|page| {
        let name = page.file_name();
        let name = name.to_string_lossy();
        name.starts_with("channel-sync") && name.ends_with(".1")
    });
    let pages = words::count(i64::try_from(pages.count()).unwrap_or(i64::MAX), "manual page");
    Output::text().line(&format!("{pages} in {}", directory.display())).finish()
}
