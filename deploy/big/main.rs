//! A big database, and how long everything takes that operators ask there.
//!
//! `deploy/dev big` builds it optimised and starts it on servers of its own. It makes a database of 12,000
//! partnerships, 5 million settings and 10 million finished jobs, asks each question several times, by the program
//! as operators call it and over HTTP, and prints a table. It ends with 1 where an answer took longer than
//! [`SLOW`], or was not what it should be.
//!
//! | module, file | holds |
//! |---|---|
//! | `database.sql` | what is in the database, made by set-based statements |
//! | `database` | makes it, step by step, and finds places in the middle of its lists |
//! | `questions` | what is asked: command lines and paths |
//! | `measure` | asks, and notes how long it took |
//! | `report` | the table |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers, which prints what it finds and ends where it cannot go on"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod database;
mod measure;
mod questions;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::measure::{Answers, Asker};
use self::support::broker::Vhost;
use self::support::process::Process;

/// What nobody likes to wait for: the longest that an answer may take.
const SLOW: Duration = Duration::from_secs(1);

/// Makes a big database, and measures how long answers take.
#[derive(Debug, Parser)]
#[command(name = "deploy/dev big")]
struct Arguments {
    /// How often each question is asked; the median and the longest are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only questions that contain this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Leave the service up over the database until Ctrl-C, and keep the database for --reuse.
    #[arg(long)]
    keep: bool,
    /// Take the database that an earlier --keep left, in place of a new one.
    #[arg(long)]
    reuse: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let url = database::url();
    let program = program();
    if arguments.reuse && database::is_there().await {
        database::migrate(&program, &url);
    } else {
        database::make(&program).await;
    }
    database::tell(&url).await;
    let places = database::places(&url).await;

    let vhost = Vhost::create().await;
    vhost.import(include_str!("../rabbitmq/definitions.json")).await;
    let variables =
        vec![("AMQP_URL".to_owned(), vhost.url().to_owned()), ("DATABASE_URL".to_owned(), url.clone())];
    let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").unwrap()).join("log");
    let mut process = Process::start(&program, &folder, &variables);
    process.ready().await;
    let address = process.address().expect("it is ready");

    let asker = Asker::new(program, variables, format!("http://{address}"), places, arguments.rounds);
    let chosen = |question: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|text| question.contains(text.as_str()))
    };
    let mut all: Vec<Answers> = Vec::new();
    for command in questions::COMMANDS.iter().copied().filter(|command| chosen(command)) {
        all.push(asker.command(command));
        report::progress(all.last().unwrap());
    }
    for path in questions::PATHS.iter().copied().filter(|path| chosen(path)) {
        all.push(asker.path(path).await);
        report::progress(all.last().unwrap());
    }
    println!("{}", report::table(&all, arguments.rounds));

    if arguments.keep {
        eprintln!(
            "the service is up at http://{address}, over {url}; Ctrl-C ends it, and the database stays"
        );
        let _ = tokio::signal::ctrl_c().await;
    }
    process.signal("TERM");
    let status = process.ended().await;
    assert!(status.success(), "the service ended with {status}\n{}", process.log());
    vhost.remove().await;
    if !arguments.keep && !arguments.reuse {
        database::remove().await;
    }
    if all.iter().all(Answers::are_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The program, which is built beside this one.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("channel-sync")
}
