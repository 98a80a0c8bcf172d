//! Clients that send nothing, too much, too slowly or what can be read in two ways, and clients that do not read: over
//! bare connections to the real service.

use std::net::SocketAddr;
use std::time::Duration;

use channel_sync::broker::Link;
use channel_sync::config::Config;
use channel_sync::http::{App, BODY_BYTES_MAX, HEAD_BYTES_MAX, Server, Timeouts};
use channel_sync::metrics::Metrics;
use channel_sync::store::Store;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::support::broker::{DEADLINE, eventually};
use crate::support::events::edit;
use crate::support::platform::Platform;

async fn start() -> (Platform, SocketAddr) {
    let platform = Platform::start_with(&[("CHANNEL_SYNC__HTTP__CONNECTIONS_MAX", "8")]).await;
    let address = platform.service.as_ref().unwrap().http_address().unwrap();
    (platform, address)
}

/// Whatever comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        // An end by reset is an end.
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// What is answered to these bytes, up to the connection's end. The service may close before it has taken all of them.
async fn said(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let talk = async {
        let write = async {
            let _ = write.write_all(bytes).await;
        };
        let read = async {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = read.read(&mut part).await {
                answer.extend_from_slice(&part[..length]);
            }
        };
        tokio::join!(write, read);
    };
    tokio::time::timeout(DEADLINE, talk).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers in a text.
fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

async fn is_live(address: SocketAddr) -> bool {
    said(address, b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .contains("200 OK")
}

#[tokio::test]
async fn connections_that_send_nothing_keep_nobody_out() {
    let (mut platform, address) = start().await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap_or_default(),
            _ => {
                let head =
                    b"POST /api/v1/pauses HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                             content-length: 1000\r\n\r\n{";
                stream.write_all(head).await.unwrap_or_default();
            }
        }
        silent.push(stream);
        if number % 50 == 0 {
            assert!(is_live(address).await, "beside {number} connections that wait");
        }
    }
    let page = reqwest::get(format!("http://{address}/")).await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    // Nor is the work that has nothing to do with HTTP kept up.
    platform.apply([edit("e-1", "helios", "equipment", &[("k", json!(1))])]).await;
    assert_eq!(platform.settings("helios").await, "equipment | k | 1 | own | -\n");
    // Who waited longest made room.
    assert_eq!(rest(&mut silent[0]).await, "");
    platform.end().await;
}

#[tokio::test]
async fn a_request_in_hand_is_not_closed_for_another() {
    let (platform, address) = start().await;
    let mut listener = TcpStream::connect(address).await.unwrap();
    listener.write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains("data:") {
        let length = tokio::time::timeout(DEADLINE, listener.read(&mut part)).await.unwrap().unwrap();
        assert_ne!(length, 0);
        answer.extend_from_slice(&part[..length]);
    }
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(is_live(address).await);
    let length = tokio::time::timeout(DEADLINE, listener.read(&mut part)).await.unwrap().unwrap();
    assert_ne!(length, 0, "who listens goes on to hear");
    platform.end().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_the_connection_closed() {
    let (platform, address) = start().await;
    let long = "x".repeat(2 * HEAD_BYTES_MAX);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    // An address that came whole may be refused for itself.
    for (what, bytes, expected) in [
        ("a path", format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), &[414, 431][..]),
        ("a path without an end", format!("GET /{long}"), &[431]),
        ("a header", format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), &[431]),
        ("a header without an end", format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}"), &[431]),
        ("headers", format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), &[431]),
    ] {
        let answer = said(address, bytes.as_bytes()).await;
        let statuses = statuses(&answer);
        // A client that goes on sending may see the end of the connection in place of the answer.
        let refused = match statuses[..] {
            [] => bytes.len() > HEAD_BYTES_MAX,
            [status] => expected.contains(&status),
            _ => false,
        };
        assert!(refused, "{what}: {answer:.300}");
    }
    let post = "POST /api/v1/preview HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    // Refused by what it says of itself: none of it has to come.
    let announced = format!("{post}content-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let answer = said(address, announced.as_bytes()).await;
    assert_eq!(statuses(&answer), [413], "{answer}");
    assert!(answer.contains("urn:channel-sync:problem:too-large"), "{answer}");
    // Or once there was too much of it.
    let mut chunked = format!("{post}transfer-encoding: chunked\r\n\r\n").into_bytes();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    for _ in 0..=BODY_BYTES_MAX / 0x10_0000 {
        chunked.extend(chunk.bytes());
    }
    chunked.extend(b"0\r\n\r\n");
    let answer = said(address, &chunked).await;
    // A client that goes on sending may see the end of the connection in place of the answer.
    assert!(answer.is_empty() || statuses(&answer) == [413], "{answer}");
    assert!(is_live(address).await);
    platform.end().await;
}

#[tokio::test]
async fn bodies_of_many_brackets_are_told_to_be_too_deep() {
    let (platform, address) = start().await;
    let client = reqwest::Client::new();
    let depths =
        ["[".repeat(1_000_000), "{\"a\":".repeat(200_000), format!("{{\"data\":{}", "[".repeat(1_000_000))];
    for body in depths {
        for path in ["preview", "pauses", "replays"] {
            let request = client.post(format!("http://{address}/api/v1/{path}"));
            let answer =
                request.header("content-type", "application/json").body(body.clone()).send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            assert!(matches!(status, 400 | 413 | 422), "{path}: {status} {text}");
            assert!(text.contains("urn:channel-sync:problem:") && text.len() < 2_000, "{path}: {text}");
        }
    }
    platform.end().await;
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_read_in_one_or_refused() {
    let (platform, address) = start().await;
    let hidden = "GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = hidden.len();
    for (what, head) in [
        ("two lengths", format!("content-length: 0\r\ncontent-length: {length}\r\n")),
        ("a list of lengths", format!("content-length: 0, {length}\r\n")),
        ("a signed length", "content-length: +0\r\n".to_owned()),
        ("a length in hexadecimal", "content-length: 0x0\r\n".to_owned()),
        ("a transfer that is not chunked", "transfer-encoding: identity\r\n".to_owned()),
        ("a transfer chunked, and more", "transfer-encoding: chunked, gzip\r\n".to_owned()),
        ("a space before the colon", "content-length : 0\r\n".to_owned()),
        ("a line that goes on", "x: a\r\n content-length: 0\r\n".to_owned()),
        ("a name with NUL", "x\0: a\r\n".to_owned()),
        ("a value with CR", "x: a\rb\r\n".to_owned()),
    ] {
        let post = format!("POST /login HTTP/1.1\r\nhost: localhost\r\n{head}\r\n{hidden}");
        let answer = said(address, post.as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{what}: {answer}");
    }
    for chunks in ["0x0\r\n\r\n", "-0\r\n\r\n", "0 0\r\n\r\n", "fffffffffffffffff\r\n"] {
        let post = "POST /pause HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let answer = said(address, format!("{post}{chunks}{hidden}").as_bytes()).await;
        assert!(!answer.contains("There is no such page"), "{chunks:?}: {answer}");
    }
    // Where both are there, the chunks count, and the connection ends with the answer, as RFC 9112 has it.
    let both = format!(
        "POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: localhost\r\n\
         connection: close\r\n\r\n",
        5 + length
    );
    assert_eq!(statuses(&said(address, both.as_bytes()).await), [401]);
    platform.end().await;
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_leaves_no_statement_running() {
    // The server itself ends none of them in time.
    let platform =
        Platform::start_with(&[("CHANNEL_SYNC__DATABASE__STATEMENT_TIMEOUT_SECONDS", "3600")]).await;
    let address = platform.service.as_ref().unwrap().http_address().unwrap();
    let slow = "alter table operator_action rename to done;
                create view operator_action as
                select done.* from (select pg_sleep(3600)::text as slept offset 0) slow left join done on true
                 where slept is not null";
    platform.client.batch_execute(slow).await.unwrap();
    let running = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event = 'PgSleep'";
    let asks = "GET /api/v1/actions HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Many more than there are connections for them.
    for _ in 0..5 {
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(asks.as_bytes()).await.unwrap();
            clients.push(client);
        }
        eventually("they are asked for", async || platform.lines(running).await != "0\n").await;
        drop(clients);
        eventually("nothing runs", async || platform.lines(running).await == "0\n").await;
    }
    let organizations = b"GET /api/v1/organizations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&said(address, organizations).await), [200]);
    platform.end().await;
}

/// A server over the platform's database, with other timeouts than the service's.
async fn serve(config: &Config, timeouts: Timeouts) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (link, store, stop) =
        (Link::new(&config.broker), Store::new(&config.database).unwrap(), CancellationToken::new());
    let app = App::new(config, store.clone(), store, &link, Metrics::new(1), stop.clone());
    tokio::spawn(Server::new(App { timeouts, ..app }).serve(listener));
    (address, stop)
}

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_head_or_a_body_that_does_not_come_is_not_waited_for() {
    let (platform, _) = start().await;
    let (address, stop) = serve(&platform.config, Timeouts { head: SOON, ..Timeouts::default() }).await;
    for head in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: localhost\r\nx: "] {
        assert_eq!(said(address, head.as_bytes()).await, "", "{head:?}");
    }
    // A connection is idle for so long as well, after an answer.
    let answer = said(address, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(statuses(&answer), [200]);
    stop.cancel();

    let (address, stop) = serve(&platform.config, Timeouts { body: SOON, ..Timeouts::default() }).await;
    let part = "content-length: 1000\r\nconnection: close\r\n\r\n{";
    for (path, content_type, said_so) in [
        ("/api/v1/pauses", "application/json", "urn:channel-sync:problem:body-too-slow"),
        ("/api/v1/preview", "application/json", "urn:channel-sync:problem:body-too-slow"),
        ("/pause", "application/x-www-form-urlencoded", "That took too long"),
        ("/preview", "multipart/form-data; boundary=b", "That took too long"),
    ] {
        let post =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n{part}");
        let answer = said(address, post.as_bytes()).await;
        assert_eq!(statuses(&answer), [408], "{path}: {answer}");
        assert!(answer.contains(said_so), "{path}: {answer}");
    }
    assert_eq!(platform.lines("select * from operator_action").await, "");
    stop.cancel();
    platform.end().await;
}

#[tokio::test]
async fn who_does_not_read_loses_the_connection() {
    let (platform, _) = start().await;
    let (address, stop) = serve(&platform.config, Timeouts { answer: SOON, ..Timeouts::default() }).await;
    let ask = "GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let mut deaf = TcpStream::connect(address).await.unwrap();
    // Once the service takes nothing any more, neither does it read; so that this would wait, if it were not closed.
    let asks = async { while deaf.write_all(ask.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, asks).await.expect("the connection is closed");
    assert!(is_live(address).await);
    stop.cancel();
    platform.end().await;
}
