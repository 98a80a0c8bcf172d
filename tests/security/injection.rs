//! Text from outside that would pose as something else: as another line of the log, as commands of a terminal, as
//! markup, as a header. In what publishers send, in what the database says, in what requests hold; looked for in the
//! log, on the command line, in the API's answers and on pages.

use std::process::{Command, Stdio};

use channel_sync::broker::Publisher;
use channel_sync::config::Config;
use channel_sync::contract::Message;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::broker::{Vhost, eventually};
use crate::support::database::Database;
use crate::support::events::{edit, raw};
use crate::support::platform::lines;
use crate::{long, start};

/// What ends a line, colours, clears, turns and hides.
const EVIL: &str = "x\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{202e}\u{2066}\u{2028}\u{200b}<script>y";

/// A name that is allowed: nothing in it ends a line.
const NAME: &str = "x\u{202e}\u{2066}\u{2028}\u{200b}<script>y";

fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

/// Fails where a text that is shown in lines controls more than these.
fn assert_harmless(what: &str, said: &str) {
    let found: Vec<char> = said.chars().filter(|&c| c != '\n' && controls(c)).collect();
    assert!(found.is_empty(), "{what} has {found:?}:\n{said}");
}

/// A message that is hostile in each of its parts.
fn hostile(mut message: Message) -> Message {
    let evil = || Some(EVIL.to_owned());
    let properties = &mut message.properties;
    (properties.message_id, properties.correlation_id, properties.reply_to) = (evil(), evil(), evil());
    (properties.type_, properties.app_id) = (evil(), evil());
    properties.headers.insert(EVIL.to_owned(), json!({ EVIL: [EVIL] }));
    properties.headers.insert("cloudEvents:subject".to_owned(), json!(EVIL));
    message
}

#[tokio::test]
async fn nothing_from_outside_poses_as_something_else() {
    let (database, vhost) = tokio::join!(Database::create(), Vhost::create());
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    let refuse = format!(
        "create function refuse() returns trigger language plpgsql as $f$ begin
             raise exception $e${EVIL}$e$ using errcode = '23514';
         end $f$;
         create trigger refuse before insert on setting for each row execute function refuse()"
    );
    client.batch_execute(&refuse).await.unwrap();
    let variables = [
        ("BROKER__URL", vhost.url()),
        ("DATABASE__URL", database.url()),
        ("LOG__FILTER", "debug"),
        ("RETRY__JOB_ATTEMPTS_MAX", "1"),
    ];
    let mut process = start(&variables);
    process.ready().await;
    let address = process.address().unwrap();

    let named = variables.iter().map(|(name, value)| (long(name), (*value).to_owned()));
    let config = Config::load(None, named).unwrap();
    let mut publisher = Publisher::connect(&config.broker).await.unwrap();
    let messages = [
        hostile(edit("fails", NAME, "equipment", &[(NAME, json!(EVIL))])),
        hostile(raw(EVIL.as_bytes())),
        hostile(edit(EVIL, "helios", "equipment", &[])),
        hostile(edit("e-2", EVIL, EVIL, &[(EVIL, json!(EVIL))])),
        hostile(edit("e-3", NAME, EVIL, &[])),
    ];
    for message in messages {
        publisher.publish("channel-sync.events", "setting-changed.x", &message).await.unwrap();
    }
    publisher.flush().await.unwrap();
    publisher.close().await;
    let done = "select (select count(*) from rejected_message), (select count(*) from job_view where state = 'failed')";
    eventually("all is taken in", async || lines(&client, done).await == "4 | 1\n").await;

    let http = reqwest::Client::new();
    let evil: String = url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect();
    let base = format!("http://{address}");
    let pause = json!({ "organization": NAME, "reason": EVIL });
    let paused = http.post(format!("{base}/api/v1/pauses")).json(&pause).send().await.unwrap();
    assert_eq!(paused.status().as_u16(), 201);
    let mut asked = vec![
        format!("/api/v1/jobs?state={evil}"),
        format!("/api/v1/organizations/{}", evil.replace('+', "%20")),
        format!("/api/v1/jobs?{evil}={evil}"),
        format!("/api/v1/{evil}"),
        format!("/login?next=%2F{evil}"),
        format!("/{evil}"),
        format!("/find?q={evil}"),
    ];
    for path in ["rejected-messages", "events", "jobs", "actions", "pauses", "organizations"] {
        asked.push(format!("/api/v1/{path}"));
    }
    for path in ["", "rejected", "rejected/1", "events", "failures", "actions", "organizations"] {
        asked.push(format!("/{path}"));
    }
    for path in &asked {
        let answer =
            http.get(format!("{base}{path}")).header("x-forwarded-proto", "a\u{e9}").send().await.unwrap();
        let is_problem = answer.headers()["content-type"] == "application/problem+json";
        let is_page = answer.headers()["content-type"].to_str().unwrap().starts_with("text/html");
        for value in answer.headers().values() {
            assert!(value.to_str().is_ok(), "{path}: {value:?}");
        }
        let text = answer.text().await.unwrap();
        if is_problem {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_harmless(path, problem["detail"].as_str().unwrap());
        } else if is_page {
            // In the value of a field it is what will be sent; nobody reads it there.
            let read: String = text.split('"').step_by(2).collect();
            assert!(!read.contains(|c| c != '\n' && controls(c)), "{path}:\n{read}");
            assert!(!text.contains("<script>y"), "{path}");
        } else {
            // For programs: what JSON itself has to write out.
            assert!(!text.contains(|c| c < ' '), "{path}");
        }
    }
    // A value of a header that would be two.
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let ask = format!(
        "GET /login HTTP/1.1\r\nhost: localhost\r\nuser-agent: {}\r\nx-forwarded-proto: https\u{1b}[31m\r\n\
         connection: close\r\n\r\n",
        "\u{202e}\u{9b}"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap_or_default();

    for arguments in [
        &["rejected", "list"][..],
        &["rejected", "show", "1"],
        &["rejected", "show", "4"],
        &["events", "list"],
        &["jobs", "list"],
        &["jobs", "list", "--json"],
        &["settings", NAME],
        &["explain", NAME, "equipment", NAME],
        &["actions"],
        &["status"],
        &["events", "show", EVIL],
        &["settings", EVIL],
    ] {
        let named = variables.iter().map(|(name, value)| (long(name), (*value).to_owned()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_channel-sync"));
        command.env_clear().envs(named).args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(!said.is_empty(), "{arguments:?}");
        if arguments.contains(&"--json") {
            assert!(!said.contains(|c| c != '\n' && c < ' '), "{said}");
        } else {
            assert_harmless(&format!("{arguments:?}"), &said);
        }
    }

    // What is written down is what was said: whoever shows it makes it harmless.
    let recorded = client.query_one("select reason from operator_action", &[]).await.unwrap();
    assert_eq!(recorded.get::<_, String>(0), EVIL);
    let log = process.log();
    assert_harmless("the log", &log);
    let forged = |line: &str| line.starts_with("2026-01-01T") || !line.starts_with("20");
    assert!(!log.lines().any(forged), "a record is a line:\n{log}");
    assert!(log.contains("forged"), "the log quotes the database:\n{log}");
    process.kill();
    vhost.remove().await;
}
