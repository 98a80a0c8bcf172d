//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    channel_sync::cli::main(std::env::args_os())
}
