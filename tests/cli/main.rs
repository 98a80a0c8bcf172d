//! The command line: the compiled program over a real database and a real broker, pinned by snapshots of
//! exit code, stdout and stderr.
//!
//! `INSTA_UPDATE=always` writes the snapshots anew; look at what changed before you keep it.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use channel_sync::config::ServiceUrl;
use serde_json::json;
use support::broker::Vhost;
use support::database::Database;
use support::process::Process;

const FIXTURE: &str = include_str!("fixture.sql");

/// Numbers go on behind those of the fixture.
const NUMBERS: &str = "select setval('channel_sync.cause_no', 100)";

/// Where nothing listens.
const NOWHERE: &str = "127.0.0.1:1";

/// A broker that nobody reaches.
const NO_BROKER: &str = "amqp://127.0.0.1:1/vhost";

/// What every time is shown as: what a snapshot pins is that there is one, and how wide it is.
const SOME_TIME: &str = "2026-01-31T09:30:00Z";

/// A database with the fixture in it.
async fn fixture() -> Database {
    let database = Database::create().await;
    database.client().await.batch_execute(FIXTURE).await.unwrap();
    database
}

/// The program with an environment of its own.
fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_channel-sync"));
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the program did, as a snapshot holds it.
fn described(arguments: &[&str], output: &Output, replaced: &[(&str, &str)]) -> String {
    let quoted: Vec<String> = arguments
        .iter()
        .map(|argument| if argument.contains(' ') { format!("'{argument}'") } else { (*argument).to_owned() })
        .collect();
    let mut text = format!("$ channel-sync {}", quoted.join(" ")).trim_end().to_owned() + "\n";
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let said = std::str::from_utf8(bytes).expect("UTF-8");
        if !said.is_empty() {
            assert!(said.ends_with('\n'), "{name} ends within a line: {said}");
            write!(text, "--- {name} ---\n{}", without_times(said)).unwrap();
        }
    }
    let code = output.status.code().map_or("none".to_owned(), |code| code.to_string());
    writeln!(text, "--- exit code {code} ---").unwrap();
    for (what, by) in replaced {
        text = text.replace(what, by);
    }
    text
}

/// `text` with every RFC 3339 time in UTC replaced, whatever its precision.
fn without_times(text: &str) -> String {
    let mut rest = text;
    let mut replaced = String::new();
    while let Some(start) = rest.find("20") {
        let (before, time) = rest.split_at(start);
        replaced.push_str(before);
        let shape: String = time
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z'))
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        if shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z') {
            replaced.push_str(SOME_TIME);
            rest = &time[shape.len()..];
        } else {
            replaced.push_str(&time[..2]);
            rest = &time[2..];
        }
    }
    replaced + rest
}

/// Runs commands one after the other over a database; returns all that they said.
fn session(url: &str, commands: &[&[&str]]) -> String {
    let variables = [("DATABASE_URL", url), ("AMQP_URL", NO_BROKER)];
    let shown = ServiceUrl::postgres(url).unwrap().to_string();
    let said: Vec<String> = commands
        .iter()
        .map(|arguments| {
            let output = program(&variables, arguments).output().unwrap();
            described(arguments, &output, &[(&shown, "<DATABASE_URL>")])
        })
        .collect();
    said.join("\n")
}

/// `text` in which what happened just now is that, however many seconds ago, and columns do not depend on it.
fn just_now(text: &str) -> String {
    let mut text = text.to_owned();
    for seconds in 1..30 {
        text = text.replace(&format!("({seconds} s ago)"), "(now)");
    }
    while text.contains("   ") {
        text = text.replace("   ", "  ");
    }
    text
}

macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text)
        })
    };
}

#[test]
fn help() {
    let commands: &[&[&str]] = &[
        &["--help"],
        &["run", "--help"],
        &["migrate", "--help"],
        &["health", "--help"],
        &["publish", "--help"],
        &["preview", "--help"],
        &["status", "--help"],
        &["settings", "--help"],
        &["explain", "--help"],
        &["verify", "--help"],
        &["freshness", "--help"],
        &["restore", "--help"],
        &["partnerships", "--help"],
        &["events", "--help"],
        &["events", "list", "--help"],
        &["events", "show", "--help"],
        &["jobs", "list", "--help"],
        &["jobs", "show", "--help"],
        &["jobs", "replay", "--help"],
        &["jobs", "discard", "--help"],
        &["replays", "list", "--help"],
        &["replays", "show", "--help"],
        &["replays", "cancel", "--help"],
        &["pause", "--help"],
        &["resume", "--help"],
        &["rejected", "list", "--help"],
        &["rejected", "show", "--help"],
        &["rejected", "replay", "--help"],
        &["rejected", "discard", "--help"],
        &["broker", "check", "--help"],
        &["jobs", "--help"],
        &["replays", "--help"],
        &["rejected", "--help"],
        &["config", "--help"],
        &["actions", "list", "--help"],
        &["token", "--help"],
        &["config", "check", "--help"],
        &["config", "print", "--help"],
        &["completions", "--help"],
        &["manual", "--help"],
    ];
    let said: Vec<String> = commands
        .iter()
        .map(|arguments| described(arguments, &program(&[], arguments).output().unwrap(), &[]))
        .collect();
    snapshot!("help", said.join("\n"));
}

#[test]
fn wrong_usage() {
    let commands: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["settings"],
        &["preview"],
        &["preview", "-", "--all", "--limit", "3"],
        &["explain", "helios"],
        &["jobs", "list", "--state", "done"],
        &["jobs", "list", "--limit", "0"],
        &["jobs", "list", "--limit", "1001"],
        &["events", "list", "--limit", "abc"],
        &["events", "list", "--after", "abc"],
        &["events", "list", "--after", ""],
        &["events", "list", "--after", "9223372036854775808"],
        &["actions", "list", "--after", "abc"],
        &["replays", "show", "abc"],
        &["preview", "-", "--limit", "abc"],
        &["status", "--watch", "abc"],
        &["jobs", "list", "--source", "platform"],
        &["jobs", "show", "seventeen"],
        &["events", "list", "--state", "pending"],
        &["rejected", "list", "--code", "wrong"],
        &["rejected", "show", "x"],
        &["jobs", "replay", "--all-failed", "--reason", "r"],
        &["jobs", "replay", "--all-failed", "--by", "ana"],
        &["jobs", "replay", "--state", "pending"],
        &["jobs", "replay", "--since", "yesterday"],
        &["jobs", "replay", "--rate", "0"],
        &["pause", "--by", "ana", "--reason", "r"],
        &["pause", "helios", "--all", "--by", "ana", "--reason", "r"],
        &["rejected", "replay", "1", "--all"],
        &["--color", "purple", "status"],
        &["status", "--watch", "0"],
        &["completions", "tcsh"],
        &["manual"],
        &["token"],
        &["token", "ada", "--role", "root"],
        &["token", "a:b"],
    ];
    let said: Vec<String> = commands
        .iter()
        .map(|arguments| {
            let output = program(&[], arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            described(arguments, &output, &[])
        })
        .collect();
    snapshot!("wrong_usage", said.join("\n"));
}

#[test]
fn configuration() {
    let variables: &[(&str, &str)] = &[
        ("AMQP_URL", "amqp://me:sesame@broker.example/v"),
        ("DATABASE_URL", "mysql://me:sesame@database.example/db"),
        ("CHANNEL_SYNC__EXECUTOR__WORKERS", "0"),
        ("CHANNEL_SYNC__EXECUTR__WORKERS", "1"),
    ];
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        described(arguments, &program(variables, arguments).output().unwrap(), &[])
    };
    let said = [
        run(&[], &["config", "check"]),
        run(variables, &["config", "check"]),
        run(variables, &["config", "print"]),
        // Every command needs a configuration that is in order.
        run(variables, &["settings", "helios"]),
        run(&[], &["config", "check", "--config", "/nowhere/channel-sync.toml"]),
    ];
    snapshot!("configuration", said.join("\n"));
    let printed = run(&variables[..1], &["config", "print"]);
    assert!(printed.contains("url = \"amqp://me:***@broker.example/v\"  # from the variable AMQP_URL\n"));
    assert!(!printed.contains("sesame"));
}

#[test]
fn unreachable_servers() {
    let database = format!("postgres://me:sesame@{NOWHERE}/db");
    let broker = format!("amqp://me:sesame@{NOWHERE}/v");
    let variables = [("DATABASE_URL", database.as_str()), ("AMQP_URL", broker.as_str())];
    let commands: &[&[&str]] = &[
        &["migrate"],
        &["status"],
        &["settings", "helios"],
        &["publish", "tests/cli/events.jsonl"],
        &["publish", "tests/cli/events.jsonl", "--json"],
    ];
    let said: Vec<String> = commands
        .iter()
        .map(|arguments| described(arguments, &program(&variables, arguments).output().unwrap(), &[]))
        .collect();
    let said = said.join("\n");
    assert!(!said.contains("sesame"));
    snapshot!("unreachable_servers", said);
}

#[tokio::test]
async fn held_table() {
    let database = fixture().await;
    let holder = database.client().await;
    holder.batch_execute("begin; lock table channel_sync.letter in access exclusive mode").await.unwrap();
    let variables = [
        ("DATABASE_URL", database.url()),
        ("AMQP_URL", NO_BROKER),
        ("CHANNEL_SYNC__DATABASE__LOCK_TIMEOUT_MS", "1"),
    ];
    let output = program(&variables, &["status"]).output().unwrap();
    snapshot!("held_table", described(&["status"], &output, &[(database.url(), "DATABASE_URL")]));
}

/// What bash would complete, by the script that the program prints.
#[test]
fn bash_completes_commands_options_and_names() {
    let script = program(&[], &["completions", "bash"]).output().unwrap();
    assert!(script.status.success());
    let ask = r#"
        source /dev/stdin
        function_of() { complete -p "$1" | sed 's/.* -F \([^ ]*\) .*/\1/'; }
        ask() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            "$(function_of channel-sync)" "$1" "${@: -1}" "${@: -2:1}"
            echo "$*: ${COMPREPLY[*]}"
        }
        ask channel-sync st
        ask channel-sync jobs r
        ask channel-sync jobs list --state ''
        ask channel-sync --color ''
        ask channel-sync rejected list --c
    "#;
    let mut bash = Command::new("bash");
    bash.args(["-c", ask]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bash = bash.spawn().expect("bash");
    bash.stdin.take().unwrap().write_all(&script.stdout).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let expected = [
        "channel-sync st: status",
        "channel-sync jobs r: replay",
        "channel-sync jobs list --state : pending retrying succeeded failed discarded",
        "channel-sync --color : auto always never",
        "channel-sync rejected list --c: --code --config --color",
    ];
    let said = String::from_utf8(output.stdout).unwrap();
    let sorted = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.sort_unstable();
        words.join(" ")
    };
    let (said, expected): (Vec<_>, Vec<_>) =
        (said.lines().map(sorted).collect(), expected.into_iter().map(sorted).collect());
    assert_eq!(said, expected);
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = program(&[], &["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("channel-sync"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = std::env::temp_dir().join(format!("channel-sync-manual-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = program(&[], &["manual", folder.to_str().unwrap()]).output().unwrap();
    let page = std::fs::read_to_string(folder.join("channel-sync-jobs-replay.1")).unwrap();
    let pages = std::fs::read_dir(&folder).unwrap().count();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{pages} manual pages in {}\n", folder.display())
    );
    assert!(page.contains("constraint dropped"), "{page}");
    let missing = ["manual", "/nowhere/at/all"];
    let output = program(&[], &missing).output().unwrap();
    assert_eq!(
        described(&missing, &output, &[]),
        "$ channel-sync manual /nowhere/at/all\n--- stderr ---\n\
         error: cannot write manual pages into /nowhere/at/all\n  caused by: No such file or directory (os error 2)\n\
         hint: name a directory that is there and may be written to\n--- exit code 1 ---\n"
    );
}

#[tokio::test]
async fn colours_come_where_they_are_asked_for() {
    let database = fixture().await;
    let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
        let common = [("DATABASE_URL", database.url()), ("AMQP_URL", NO_BROKER)];
        let output = program(&[&common, variables].concat(), arguments).output().unwrap();
        let has = |bytes: &[u8]| bytes.contains(&0x1b);
        (has(&output.stdout), has(&output.stderr))
    };
    let list = ["jobs", "list", "--state", "failed"];
    let always = ["jobs", "list", "--state", "failed", "--color", "always"];
    assert_eq!(coloured(&[], &list), (false, false));
    assert_eq!(coloured(&[], &always), (true, true));
    assert_eq!(coloured(&[("NO_COLOR", "1")], &always), (true, true));
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "1")], &list), (true, true));
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &list), (false, false));
    assert_eq!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], &list), (true, true));
    assert_eq!(
        coloured(&[("CLICOLOR_FORCE", "1")], &[&list[..], &["--color=never"]].concat()),
        (false, false)
    );
    assert_eq!(coloured(&[], &[&always[..], &["--json"]].concat()), (false, false));
    assert_eq!(coloured(&[], &["--color=always", "status", "--help"]), (true, false));
    assert_eq!(coloured(&[], &["--color=always", "frobnicate"]), (false, true));
}

#[tokio::test]
async fn watching_prints_a_line_of_json_for_each_reading_until_it_is_interrupted() {
    use std::io::BufRead as _;
    let database = fixture().await;
    let variables = [("DATABASE_URL", database.url()), ("AMQP_URL", NO_BROKER)];
    let no_terminal = ["status", "--watch"];
    let output = program(&variables, &no_terminal).output().unwrap();
    assert_eq!(
        described(&no_terminal, &output, &[]),
        "$ channel-sync status --watch\n--- stderr ---\nerror: --watch draws on a terminal, and stdout is none\n\
         hint: say --json for a line of JSON for each reading\n--- exit code 2 ---\n"
    );

    let mut child = program(&variables, &["status", "--watch", "1", "--json"]).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut reading = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = reading();
    assert_eq!((&first["jobs"]["failed"], &first["rates"]), (&json!(1), &json!(null)));
    let done = "insert into channel_sync.job (cause_no, organization_no, attempts)
                select 1000 + no, 1, 1 from generate_series(1, 500) no";
    database.client().await.batch_execute(done).await.unwrap();
    // One of the next readings comes after all of them.
    let mut jobs = 0.0;
    while jobs < 499.0 {
        let rates = reading()["rates"].clone();
        let number = |name: &str| rates[name].as_f64().unwrap();
        jobs += number("jobs_per_second") * number("seconds");
        assert_eq!(number("events_per_second"), 0.0);
    }
    assert!(jobs < 501.0, "{jobs}");
    support::process::signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn migrations() {
    let database = Database::create().await;
    database.client().await.batch_execute("drop schema channel_sync cascade").await.unwrap();
    // `run` says so too, in place of trying for ever.
    let mut missing = url::Url::parse(database.url()).unwrap();
    missing.set_path("/no_database_of_this_name");
    let said = [
        session(database.url(), &[&["status"], &["migrate"], &["migrate"], &["status"]]),
        session(missing.as_str(), &[&["migrate"], &["run", "--config", "tests/cli/quiet.toml"]]),
    ];
    snapshot!("migrations", said.join("\n"));
}

#[tokio::test]
async fn health() {
    let (database, vhost) = tokio::join!(Database::create(), Vhost::create());
    let variables = [("AMQP_URL", vhost.url()), ("DATABASE_URL", database.url())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut service = Process::start(
        Path::new(env!("CARGO_BIN_EXE_channel-sync")),
        Path::new(env!("CARGO_TARGET_TMPDIR")),
        &variables,
    );
    service.ready().await;
    let address = service.address().unwrap();
    let ask = |address: &str| {
        let variables = [("CHANNEL_SYNC__HTTP__LISTEN", address)];
        let asked = |arguments: &[&str]| {
            described(arguments, &program(&variables, arguments).output().unwrap(), &[(address, "<ADDRESS>")])
        };
        [asked(&["health"]), asked(&["health", "--live"])].join("\n")
    };
    let mut said = vec![ask(&address)];
    // Alive, but without its database.
    let name = database.url().rsplit('/').next().unwrap();
    let refuse = format!(
        "alter database {name} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    let admin = support::database::admin_client().await;
    admin.batch_execute(&refuse).await.unwrap();
    said.push(ask(&address).replace(name, "<DATABASE>"));
    admin.batch_execute(&format!("alter database {name} allow_connections true")).await.unwrap();
    service.kill();
    said.extend([ask(NOWHERE), ask("off"), ask("127.0.0.1:0")]);
    snapshot!("health", said.join("\n"));
    vhost.remove().await;
}

#[tokio::test]
async fn settings() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["settings", "pac-energy"],
        &["settings", "pac-energy", "--json"],
        &["settings", "pac-energy", "--category", "equipment"],
        &["settings", "pac-energy", "--key-prefix", "inv"],
        &["settings", "pac-energy", "--category", "roofs"],
        &["settings", "pac-energy", "--category", ""],
        &["settings", "pac-energy", "--category", "roofs", "--json"],
        &["settings", "pac-energy", "--category", "adders", "--key-prefix", "x"],
        &["settings", "leaf-solar"],
        &["settings", "leaf-solar", "--json"],
        &["settings", "pac-enrgy"],
        &["settings", "xyz", "--json"],
    ];
    snapshot!("settings", session(database.url(), commands));
}

#[tokio::test]
async fn partnerships() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["partnerships"],
        &["partnerships", "pac-energy"],
        &["partnerships", "pac-energy", "--json"],
        &["partnerships", "nobody"],
        &["partnerships", "PAC"],
    ];
    snapshot!("partnerships", session(database.url(), commands));
}

#[tokio::test]
async fn verify() {
    let database = fixture().await;
    database.client().await.batch_execute(NUMBERS).await.unwrap();
    let commands: &[&[&str]] = &[
        &["verify"],
        &["verify", "--json"],
        &["verify", "--category", "equipment"],
        &["verify", "--category", "licenses"],
        &["verify", "--upstream", "pac-energy"],
        &["verify", "--organization", "pac-enrgy"],
        &["verify", "--limit", "1"],
        &["verify", "--repair"],
        &["verify", "--repair", "--reason", "r", "--by", "ana", "--category", "equipment"],
        &["verify", "--repair", "--reason", "a backup was restored", "--by", "ana"],
        &["verify", "--repair", "--reason", "a backup was restored", "--by", "ana", "--yes"],
        &["verify"],
        &["verify", "--repair", "--reason", "again", "--by", "ana", "--yes", "--json"],
    ];
    snapshot!("verify", session(database.url(), commands));
}

#[tokio::test]
async fn freshness() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["freshness"],
        &["freshness", "--json"],
        &["freshness", "pac-energy", "--all"],
        &["freshness", "pac-energy", "--all", "--limit", "1"],
        &["freshness", "--after", "9223372036854775807-9-9-x"],
        &["freshness", "--after", "x"],
        &["freshness", "nobody"],
        &["freshness", "nobody", "--all"],
        &["freshness", "pac-enrgy"],
    ];
    let said = session(database.url(), commands);
    // The place in the list is when something was made.
    let said = said.split("--after ").map(|part| {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        if digits == 16 { format!("AGE{}", &part[digits..]) } else { part.to_owned() }
    });
    snapshot!("freshness", just_now(&said.collect::<Vec<_>>().join("--after ")));
    database
        .client()
        .await
        .batch_execute("delete from channel_sync.letter; delete from channel_sync.job")
        .await
        .unwrap();
    let said = session(database.url(), &[&["freshness"], &["freshness", "helios"]]);
    assert!(
        said.contains("all of 2 partnerships") && said.contains("all partnerships of helios are in step"),
        "{said}"
    );
}

#[tokio::test]
async fn restores() {
    let database = fixture().await;
    let restore = ["restore", "5-2", "--reason", "asked for", "--by", "ana"];
    let with = |more: &[&'static str]| -> Vec<&'static str> { restore.iter().chain(more).copied().collect() };
    let said = [
        session(
            database.url(),
            &[
                &["restore", "5-2"],
                &["restore", "seventeen"],
                &with(&["--dry-run"]),
                &with(&["--yes"]),
                &["restore", "1-1", "--reason", "r", "--by", "ana", "--yes"],
                &["restore", "99-99", "--reason", "r", "--by", "ana", "--yes"],
            ],
        ),
        {
            let end =
                "update channel_sync.partnership set mode = 'off', status = 'ended' where upstream_no = 1";
            let client = database.client().await;
            client.batch_execute(end).await.unwrap();
            client.batch_execute(NUMBERS).await.unwrap();
            session(
                database.url(),
                &[
                    &with(&["--dry-run"]),
                    &with(&["--dry-run", "--json"]),
                    &with(&[]),
                    &with(&["--yes"]),
                    &with(&["--yes"]),
                    &with(&["--yes", "--json"]),
                ],
            )
        },
        {
            let drop = "update channel_sync.job_day set dropped_at = now()";
            database.client().await.batch_execute(drop).await.unwrap();
            session(database.url(), &[&with(&["--dry-run"])])
        },
    ];
    snapshot!("restores", said.join("\n"));
}

#[tokio::test]
async fn events() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["events", "list"],
        &["events", "list", "--limit", "2"],
        &["events", "list", "--limit", "2", "--after", "12"],
        &["events", "list", "--after", "1"],
        &["events", "list", "--after", "x"],
        &["events", "list", "--organization", "pac-energy", "--json"],
        &["events", "list", "--organization", "pac-enrgy"],
        &["events", "list", "--organization", "nobody", "--state", "done"],
        &["events", "show", "e-1"],
        &["events", "show", "e-1", "--source", "platform"],
        &["events", "show", "e-1", "--source", "platform", "--json"],
        &["events", "show", "e-1", "--source", "platform", "--limit", "1"],
        &["events", "show", "p-1", "--limit", "1"],
        &["events", "show", "e-1", "--source", "elsewhere"],
        &["events", "show", "p-1"],
        &["events", "show", "e-3"],
        &["events", "show", "e-9"],
    ];
    snapshot!("events", session(database.url(), commands));
    // One in each state.
    let states = ["accepted", "syncing", "done", "failed", "ignored", "superseded", "locked", "rejected"];
    let said: Vec<String> = states
        .iter()
        .map(|state| session(database.url(), &[&["events", "list", "--state", state]]))
        .collect();
    snapshot!("events_by_state", said.join("\n"));
}

#[tokio::test]
async fn actions() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["actions", "list"],
        &["actions", "list", "--limit", "2", "--json"],
        &["actions", "list", "--after", "2"],
        &["actions", "list", "--after", "1"],
    ];
    snapshot!("actions", session(database.url(), commands));
}

#[test]
fn token() {
    // A configuration that is refused until there is a token.
    let variables = [("CHANNEL_SYNC__HTTP__LISTEN", "0.0.0.0:8080")];
    let commands: &[&[&str]] =
        &[&["config", "check"], &["token", "grafana"], &["token", "ada", "--role", "operator", "--json"]];
    let said = commands.iter().map(|arguments| {
        let said = described(arguments, &program(&variables, arguments).output().unwrap(), &[]);
        said.split_inclusive(|c: char| !c.is_ascii_hexdigit())
            .map(
                |part| if part.len() == 65 { format!("<64 digits>{}", &part[64..]) } else { part.to_owned() },
            )
            .collect()
    });
    snapshot!("token", said.collect::<Vec<String>>().join("\n"));
}

#[tokio::test]
async fn jobs() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["jobs", "list"],
        &["jobs", "list", "--limit", "3"],
        &["jobs", "list", "--limit", "3", "--after", "10-1"],
        &["jobs", "list", "--after", "1-1"],
        &["jobs", "list", "--event", "e-1"],
        &["jobs", "list", "--event", "e-1", "--source", "platform"],
        &["jobs", "list", "--event", "e-99"],
        &["jobs", "list", "--organization", "leaf-solar"],
        &["jobs", "list", "--organization", "pac-energy", "--kind", "reconcile", "--json"],
        &["jobs", "list", "--organization", "nobody", "--state", "failed"],
        &["jobs", "list", "--kind", "own-change"],
        &["jobs", "list", "--kind", "partnership-change"],
        &["jobs", "list", "--kind", "sync-change"],
        &["jobs", "list", "--state", "pending"],
        &["jobs", "list", "--state", "retrying"],
        &["jobs", "list", "--state", "failed"],
        &["jobs", "list", "--state", "discarded"],
        &["jobs", "list", "--state", "succeeded", "--limit", "1"],
        &["jobs", "show", "1-1"],
        &["jobs", "show", "5-2"],
        &["jobs", "show", "5-2", "--json"],
        &["jobs", "show", "3-3"],
        &["jobs", "show", "11-2"],
        &["jobs", "show", "12-1"],
        &["jobs", "show", "14-3"],
        &["jobs", "show", "99-1"],
    ];
    snapshot!("jobs", session(database.url(), commands));
}

#[tokio::test]
async fn rejected() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["rejected", "list"],
        &["rejected", "list", "--code", "malformed-json", "--state", "rejected"],
        &["rejected", "list", "--limit", "2"],
        &["rejected", "list", "--limit", "2", "--after", "4", "--json"],
        &["rejected", "list", "--after", "1"],
        &["rejected", "list", "--code", "too-deep"],
        &["rejected", "show", "1"],
        &["rejected", "show", "1", "--json"],
        &["rejected", "show", "2"],
        &["rejected", "show", "2", "--json"],
        &["rejected", "show", "4"],
        &["rejected", "show", "5"],
        &["rejected", "show", "6"],
    ];
    snapshot!("rejected", session(database.url(), commands));
}

#[tokio::test]
async fn the_event_of_a_rejected_message_in_binary_form_can_be_published() {
    let database = fixture().await;
    let insert = r#"insert into channel_sync.rejected_message (code, reason, body, properties, state, digest)
        values ('invalid-field', 'wrong', '{"organization_id": "helios", "n": 1.50}',
                '{"content_type": "application/json", "headers": {"cloudEvents:specversion": "1.0",
                  "cloudEvents:id": "e-9", "cloudEvents:source": "s", "cloudEvents:type": "setting-changed"}}',
                'rejected', 'f')"#;
    database.client().await.batch_execute(insert).await.unwrap();
    let variables = [("DATABASE_URL", database.url()), ("AMQP_URL", NO_BROKER)];
    let event = |id: &str| {
        let shown = program(&variables, &["rejected", "show", id, "--json"]).output().unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["event"].as_str().map(str::to_owned)
    };
    let event_of_binary = event("6").unwrap();
    assert_eq!(
        event_of_binary,
        concat!(
            r#"{"id":"e-9","source":"s","specversion":"1.0","type":"setting-changed","#,
            r#""data":{"organization_id": "helios", "n": 1.50}}"#
        )
    );
    assert_eq!(event("2"), None, "the body is the whole event");
    let published = output_for(&variables, event_of_binary.as_bytes(), &["publish", "-"]);
    let said = String::from_utf8(published.stderr).unwrap();
    assert!(said.contains("cannot reach the broker"), "it is an event that could be published: {said}");
}

#[tokio::test]
async fn replays() {
    let database = fixture().await;
    // A job of helios' own, beside the one of pac-energy; nobody sends what is to be sent.
    let failed =
        "insert into channel_sync.job (cause_no, organization_no, state, attempts, last_error, finished_at)
                  values (12, 1, 'failed', 8, 'value too long (22001)', now() - interval '3 h');
                  delete from channel_sync.letter where cause_no = 12;
                  alter sequence channel_sync.cause_no restart with 100";
    database.client().await.batch_execute(failed).await.unwrap();
    let ana = ["--by", "ana", "--reason", "widened"];
    let with = |arguments: &[&'static str]| [arguments, &ana].concat();
    let commands = [
        with(&["jobs", "replay", "--all-failed", "--dry-run"]),
        with(&["jobs", "replay", "--upstream", "helios", "--dry-run", "--json"]),
        with(&["jobs", "replay", "--error", "TOO LONG", "--since", "2h", "--dry-run"]),
        with(&["jobs", "replay", "1-1", "5-2", "9-2", "3-3", "--dry-run"]),
        with(&["jobs", "replay", "1-1", "--yes"]),
        with(&["jobs", "replay", "77-1", "--yes"]),
        with(&["jobs", "replay", "--organization", "pac-enrgy", "--yes"]),
        with(&["jobs", "replay"]),
        with(&["jobs", "replay", "--state", "succeeded"]),
        with(&["jobs", "replay", "--state", "failed", "--dry-run"]),
        with(&["jobs", "replay", "--state", "discarded", "--dry-run"]),
        with(&["jobs", "discard", "--state", "failed", "--dry-run"]),
        with(&["jobs", "replay", "--all-failed", "--state", "succeeded"]),
        with(&["jobs", "replay", "--all-failed"]),
        with(&["jobs", "replay", "--error", "too long", "--rate", "5", "--yes", "--no-wait"]),
        with(&[
            "jobs",
            "replay",
            "--kind",
            "reconcile",
            "--state",
            "succeeded",
            "--yes",
            "--no-wait",
            "--json",
        ]),
        with(&["jobs", "discard", "--organization", "pac-energy", "--dry-run"]),
        with(&["jobs", "discard", "--organization", "pac-energy", "--yes"]),
        with(&["jobs", "discard", "1-1", "--yes", "--json"]),
        with(&["jobs", "discard", "1-1", "--yes"]),
        with(&["jobs", "replay", "1-1", "--yes", "--json"]),
        with(&["jobs", "replay", "1-1", "--state", "failed", "--yes"]),
        with(&["jobs", "replay", "--category", "roofs", "--dry-run"]),
        with(&["jobs", "discard", "--category", "roofs", "--yes"]),
        with(&["jobs", "replay", "--upstream", "leaf-solar", "--yes"]),
        with(&["jobs", "replay", "--upstream", "leaf-solar", "--yes", "--json"]),
        with(&["jobs", "discard", "--upstream", "leaf-solar", "--yes", "--json"]),
        vec!["jobs", "show", "11-2"],
        vec!["jobs", "list", "--state", "discarded"],
        vec!["replays", "list"],
        vec!["replays", "show", "1"],
        vec!["replays", "show", "1", "--json"],
        vec!["replays", "show", "7"],
        vec!["replays", "cancel", "1", "--by", "ben"],
        vec!["replays", "cancel", "1", "--by", "ben"],
        vec!["replays", "show", "1"],
        vec!["replays", "show", "1", "--follow"],
    ];
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    snapshot!("replays", just_now(&session(database.url(), &commands)));
}

#[tokio::test]
async fn pauses() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["pause", "leaf-solar", "--by", "ana", "--reason", "they are migrating"],
        &["pause", "leaf-solar", "--by", "ben", "--reason", "again"],
        &["pause", "--all", "--by", "ben", "--reason", "restoring a backup"],
        &["pause", "nobdy", "--by", "ana", "--reason", "r"],
        &["status"],
        &["jobs", "list", "--state", "retrying"],
        &["resume", "--all", "--by", "ana"],
        &["resume", "leaf-solar", "--by", "ana"],
        &["resume", "leaf-solar", "--by", "ana"],
    ];
    snapshot!("pauses", just_now(&session(database.url(), commands)));
}

#[tokio::test]
async fn rejected_messages_are_dealt_with() {
    let database = fixture().await;
    let sequence = "alter sequence channel_sync.cause_no restart with 100";
    database.client().await.batch_execute(sequence).await.unwrap();
    let ana = ["--by", "ana", "--reason", "fixed"];
    let with = |arguments: &[&'static str]| [arguments, &ana].concat();
    let commands = [
        with(&["rejected", "replay"]),
        with(&["rejected", "replay", "--all", "--dry-run"]),
        with(&["rejected", "replay", "--all", "--dry-run", "--json"]),
        with(&["rejected", "replay", "--all"]),
        with(&["rejected", "replay", "--all", "--yes"]),
        with(&["rejected", "replay", "1", "--yes"]),
        with(&["rejected", "replay", "1", "--yes", "--json"]),
        with(&["rejected", "replay", "1", "--code", "too-deep", "--yes"]),
        with(&["rejected", "replay", "1", "--code", "too-deep", "--dry-run"]),
        with(&["rejected", "discard", "1", "--code", "too-deep", "--yes"]),
        with(&["rejected", "discard", "--code", "too-deep", "--yes"]),
        with(&["rejected", "replay", "2", "--yes"]),
        with(&["rejected", "replay", "9", "--yes"]),
        with(&["rejected", "discard", "--code", "malformed-json", "--dry-run"]),
        with(&["rejected", "discard", "--code", "malformed-json", "--yes"]),
        with(&["rejected", "discard", "--all", "--yes"]),
        vec!["rejected", "list"],
        vec!["rejected", "show", "1"],
        vec!["jobs", "show", "9-2"],
    ];
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    snapshot!("rejected_dealt_with", just_now(&session(database.url(), &commands)));
}

#[tokio::test]
async fn status() {
    let database = fixture().await;
    let empty = Database::create().await;
    let said = [
        session(database.url(), &[&["status"], &["status", "--json"]]),
        session(empty.url(), &[&["status"], &["events", "list"], &["jobs", "list"], &["partnerships"]]),
    ];
    snapshot!("status", said.join("\n"));
}

/// Lists and views show the same: the lists have statements of their own.
#[tokio::test]
async fn lists_agree_with_the_views() {
    let database = fixture().await;
    let client = database.client().await;
    // A whole shard waits, too.
    let waiting = "insert into channel_sync.letter (shard, position, cause_no, event_no, kind, weight)
                   select s, 20, 2, 1, 'sync-change', 1 from generate_series(0, 15) s";
    client
        .batch_execute(&format!("delete from channel_sync.job where cause_no = 2; {waiting}"))
        .await
        .unwrap();
    let lists: &[(&[&str], &str)] = &[
        (&["jobs", "list", "--limit", "1000", "--json"], "job_view v"),
        (&["events", "list", "--limit", "1000", "--json"], "event_view v"),
        (&["jobs", "list", "--kind", "own-change", "--json"], "job_view v where kind = 'own-change'"),
        (
            &["jobs", "list", "--kind", "partnership-change", "--json"],
            "job_view v where kind = 'partnership-change'",
        ),
        (&["jobs", "list", "--kind", "sync-change", "--json"], "job_view v where kind = 'sync-change'"),
        (&["jobs", "list", "--kind", "reconcile", "--json"], "job_view v where kind = 'reconcile'"),
        (
            &["jobs", "list", "--kind", "own-change", "--state", "succeeded", "--after", "10-2", "--json"],
            "job_view v where kind = 'own-change' and state = 'succeeded'
                          and split_part(idempotency_key, '-', 1)::int <= 10",
        ),
        (&["partnerships", "--json"], "partnership_view v"),
        (&["settings", "pac-energy", "--json"], "setting_view v where organization_id = 'pac-energy'"),
        (&["settings", "helios", "--json"], "setting_view v where organization_id = 'helios'"),
    ];
    for (arguments, view) in lists {
        let variables = [("DATABASE_URL", database.url())];
        let output = program(&variables, arguments).output().unwrap();
        let mut listed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let rows = client.query(&format!("select to_jsonb(v) from channel_sync.{view}"), &[]).await.unwrap();
        let mut viewed: Vec<serde_json::Value> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!viewed.is_empty());
        for row in listed.iter_mut().chain(&mut viewed) {
            for (name, value) in row.as_object_mut().unwrap() {
                if name.ends_with("_at") && !value.is_null() {
                    // The two spell a time in different ways.
                    let text = value.as_str().unwrap();
                    let at: jiff::Timestamp = text.parse().unwrap();
                    *value = at.to_string().into();
                }
            }
        }
        listed.sort_by_key(ToString::to_string);
        viewed.sort_by_key(ToString::to_string);
        assert_eq!(listed, viewed, "{view}");
    }
}

#[tokio::test]
async fn a_long_list_is_read_to_its_end_in_pages() {
    let database = fixture().await;
    let many = "insert into channel_sync.setting
                       (organization_no, category, key, value_id, event_no, added_event_no)
                select 4, 'equipment', 'module/' || lpad(n::text, 5, '0'),
                       '00000000-0000-0000-0000-000000000001', 1, 1
                  from generate_series(1, 2500) n";
    database.client().await.batch_execute(many).await.unwrap();
    let variables = [("DATABASE_URL", database.url())];
    let output = program(&variables, &["settings", "nobody", "--json"]).output().unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&str> = rows.iter().map(|row| row["key"].as_str().unwrap()).collect();
    let expected: Vec<String> = (1..=2500).map(|n| format!("module/{n:05}")).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_reader_that_stops_reading_ends_it_quietly() {
    let database = fixture().await;
    let many = "insert into channel_sync.setting
                       (organization_no, category, key, value_id, event_no, added_event_no)
                select 4, 'equipment', 'module/' || n, '00000000-0000-0000-0000-000000000001', 1, 1
                  from generate_series(1, 5000) n";
    database.client().await.batch_execute(many).await.unwrap();
    let mut child = program(&[("DATABASE_URL", database.url())], &["settings", "nobody"]).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

/// Runs `preview` over the fixture, with events on stdin.
fn preview(url: &str, input: &[u8], arguments: &[&str]) -> String {
    let arguments = [&["preview", "-"], arguments].concat();
    described(&arguments, &output_for(&[("DATABASE_URL", url)], input, &arguments), &[])
}

#[tokio::test]
async fn previews() {
    let database = fixture().await;
    let url = database.url();
    let event = |id: &str, kind: &str, data: serde_json::Value| {
        json!({ "specversion": "1.0", "id": id, "source": "platform", "type": kind, "data": data })
            .to_string()
            + "\n"
    };
    let flags = |downstream: &str, exclusive: bool, edit: Option<bool>| {
        json!({ "upstream_id": "pac-energy", "downstream_id": downstream, "status": "active",
                "exclusive": exclusive, "data_sync": true, "allow_downstream_edit": edit })
    };
    let becomes_strict = event("s-1", "partnership-changed", flags("leaf-solar", true, Some(false)));
    let modules: Vec<serde_json::Value> =
        (1..=25).map(|no| json!({ "op": "set", "key": format!("module/{no:02}"), "value": no })).collect();
    let many = json!({ "organization_id": "helios", "category": "equipment", "changes": modules });
    let costs = json!({ "organization_id": "pac-energy", "category": "organization-logo",
                        "changes": [{ "op": "remove", "key": "logo" }] });
    let locked = json!({ "organization_id": "pac-energy", "category": "equipment",
                         "changes": [{ "op": "set", "key": "module/x", "value": "\u{1b}[31m" }] });
    let several = [
        event("s-2", "setting-changed", many.clone()),
        event("s-3", "setting-changed", costs),
        event("s-4", "setting-changed", locked),
        event("s-5", "setting-changed", json!({ "organization_id": "helios", "category": "rooofs" })),
        event("e-3", "setting-changed", json!({ "organization_id": "helios", "category": "integrations" })),
        event("s-6", "partnership-changed", flags("newcomer", false, None)),
        event("s-7", "partnership-changed", flags("helios", false, None)),
    ]
    .concat();
    let said = [
        preview(url, becomes_strict.as_bytes(), &[]),
        preview(url, becomes_strict.as_bytes(), &["--json"]),
        preview(url, several.as_bytes(), &["--limit", "2", "--entries", "3"]),
        preview(url, event("s-2", "setting-changed", many).as_bytes(), &["--all"]),
        preview(url, b"", &[]),
        preview(url, b"{\"specversion\": \"1.0\"}\n", &[]),
        preview(url, b"{}\n[]\n", &[]),
        preview(url, b"{\"\xff\"}\n", &[]),
        session(url, &[&["preview", "nowhere.json"]]),
    ];
    snapshot!("previews", said.join("\n"));
}

#[tokio::test]
async fn explains() {
    let database = fixture().await;
    let commands: &[&[&str]] = &[
        &["explain", "pac-energy", "equipment", "module/rec-430"],
        &["explain", "pac-energy", "equipment", "module/rec-430", "--json"],
        &["explain", "pac-energy", "equipment", "module/mine"],
        &["explain", "pac-energy", "default-costs", "inverter"],
        &["explain", "leaf-solar", "equipment", "module/rec-430"],
        &["explain", "leaf-solar", "default-costs", "inverter"],
        &["explain", "leaf-solar", "default-costs", "roof"],
        &["explain", "pac-energy", "organization-logo", "logo"],
        &["explain", "helios", "integrations", "crm"],
        &["explain", "pac-energy", "equipment"],
        &["explain", "leaf-solar", "equipment", "--json"],
        &["explain", "helios", "equipment"],
        &["explain", "leaf-solr", "equipment"],
        &["explain", "helios", "roofs"],
        &["explain", "helios", "equipment", "x", "--limit", "0"],
    ];
    snapshot!("explains", session(database.url(), commands));
}

#[test]
fn nothing_is_published_where_something_is_malformed() {
    // No broker is asked.
    let url = format!("amqp://{NOWHERE}/vhost");
    let event = r#"{"type":"setting-changed","data":{"organization_id":"helios"}}"#;
    let texts = [
        format!("{event}\n[1]\n"),
        format!("{event}\n{event}\n{{\"type\": \"setting-changed\"\n"),
        [
            event,
            r#"{"type":"other","data":{}}"#,
            "",
            r#"{"type":"setting-changed","data":{}}"#,
            r#"{"type":"partnership-changed","data":{"upstream_id":" x"}}"#,
        ]
        .join("\n"),
        "{}\n".repeat(30),
    ];
    let mut said: Vec<String> =
        texts.iter().map(|text| publish(&[("AMQP_URL", &url)], text.as_bytes(), &["publish", "-"])).collect();
    said.push(publish(&[("AMQP_URL", &url)], b"{}\n{\"\xff\"}\n", &["publish", "-"]));
    // What the service would refuse for its size.
    let changes = |count: usize, value: &str| {
        let changes: Vec<String> =
            (0..count).map(|no| format!(r#"{{"op":"set","key":"{no}","value":{value}}}"#)).collect();
        format!(
            r#"{{"specversion":"1.0","id":"e","source":"s","type":"setting-changed",
                "data":{{"organization_id":"helios","category":"equipment","changes":[{}]}}}}"#,
            changes.join(",")
        )
    };
    let few = [("AMQP_URL", url.as_str()), ("CHANNEL_SYNC__INGEST__ENTRIES_MAX", "2")];
    said.push(publish(&few, changes(3, "1").as_bytes(), &["publish", "-"]));
    let small = [("AMQP_URL", url.as_str()), ("CHANNEL_SYNC__INGEST__BODY_BYTES_MAX", "1024")];
    said.push(publish(
        &small,
        changes(3, &format!("\"{}\"", "x".repeat(1000))).as_bytes(),
        &["publish", "-"],
    ));
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    said.push(publish(&[("AMQP_URL", &url)], changes(1, &deep).as_bytes(), &["publish", "-"]));
    said.push(publish(&[("AMQP_URL", &url)], b"\n\n", &["publish", "-"]));
    said.push(publish(&[("AMQP_URL", &url)], b"", &["publish", "-", "--json"]));
    said.push(publish(&[("AMQP_URL", &url)], b"", &["publish", "nowhere.jsonl"]));
    snapshot!("publish_malformed", said.join("\n"));
}

#[tokio::test]
async fn what_is_published_is_confirmed_and_in_the_queue() {
    let vhost = Vhost::create().await;
    let variables = [("AMQP_URL", vhost.url())];
    let events = include_str!("events.jsonl");
    // Nobody has declared the exchange yet.
    let mut said = vec![publish(&variables, events.as_bytes(), &["publish", "-"])];
    vhost.declare_exchange("channel-sync.events", "topic").await;
    // No queue is bound to it.
    said.push(publish(&variables, events.as_bytes(), &["publish", "-"]));
    said.push(publish(&variables, events.as_bytes(), &["publish", "-", "--json"]));
    bind(&vhost, "setting-changed.#").await;
    // One of the two kinds has a queue.
    said.push(publish(&variables, events.as_bytes(), &["publish", "-"]));
    bind(&vhost, "partnership-changed.#").await;
    said.push(publish(&variables, events.as_bytes(), &["publish", "tests/cli/events.jsonl"]));
    said.push(publish(&variables, events.as_bytes(), &["publish", "-", "--json"]));
    vhost.ready_becomes("events", 2 + 3 + 3).await;
    snapshot!("publish", said.join("\n"));
}

#[tokio::test]
async fn status_looks_at_the_queue() {
    let (vhost, database) = (Vhost::create().await, Database::create().await);
    let variables = [("AMQP_URL", vhost.url()), ("DATABASE_URL", database.url())];
    let first_line = || {
        let output = program(&variables, &["status"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().unwrap().to_owned()
    };
    let missing = first_line();
    assert!(missing.contains("unknown: look at the queue channel-sync.events: topology missing: NOT_FOUND"));
    vhost.declare_queue("channel-sync.events", json!({})).await;
    assert_eq!(
        first_line(),
        "queue                    0 messages waiting in channel-sync.events, 0 consumers"
    );
}

/// Binds a queue to the exchange.
async fn bind(vhost: &Vhost, pattern: &str) {
    let queue = json!({ "name": "events", "durable": true, "auto_delete": false, "arguments": {} });
    let binding = json!({
        "source": "channel-sync.events", "destination": "events", "destination_type": "queue",
        "routing_key": pattern, "arguments": {}
    });
    vhost.import(&json!({ "queues": [queue], "bindings": [binding] }).to_string()).await;
}

/// Runs `publish` with `input` on stdin.
fn publish(variables: &[(&str, &str)], input: &[u8], arguments: &[&str]) -> String {
    let url = variables[0].1;
    let shown = ServiceUrl::amqp(url).unwrap().to_string();
    let vhost = url.rsplit('/').next().unwrap();
    let output = output_for(variables, input, arguments);
    described(arguments, &output, &[(shown.as_str(), "<AMQP_URL>"), (vhost, "<VHOST>")])
}

/// Runs the program with `input` on stdin.
fn output_for(variables: &[(&str, &str)], input: &[u8], arguments: &[&str]) -> Output {
    let mut child = program(variables, arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that needs no input may be gone already.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}
