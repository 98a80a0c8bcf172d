//! Any bytes on a connection are answered in good order, by the real server and its real routes: what is wrong with
//! them is said, and nothing of them comes back as anything but text. There is no database behind it, so that whatever
//! would ask it is answered by 503.

use std::str::from_utf8;
use std::time::Duration;

use channel_sync::broker::Link;
use channel_sync::config::Config;
use channel_sync::contract::REASON_CHARACTERS_MAX;
use channel_sync::http::{App, Server};
use channel_sync::metrics::Metrics;
use channel_sync::store::Store;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

thread_local! {
    static SERVER: (Runtime, Server) = {
        let mut runtime = Builder::new_current_thread();
        // Time passes when nothing else is left to do: waits cost nothing.
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let server = runtime.block_on(async { server() });
        (runtime, server)
    };
}

fn server() -> Server {
    // Nobody listens there.
    let urls =
        [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), ("AMQP_URL", "amqp://a:b@127.0.0.1:1/%2f")];
    let environment = urls.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::load(None, environment).unwrap();
    let (link, store) = (Link::new(&config.broker), Store::new(&config.database).unwrap());
    Server::new(App::new(&config, store.clone(), store, &link, Metrics::new(1), CancellationToken::new()))
}

/// A request as it is written down in a corpus: lines may end in LF alone, `Host` and `Content-Length` are added where
/// they are missing. All else goes over the connection as it is.
fn request(input: &[u8]) -> Vec<u8> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\n\n") else { return input.to_vec() };
    let (head, body) = (&input[..end], &input[end + 2..]);
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut request = lines.next().unwrap_or_default().to_vec();
    request.extend(b" HTTP/1.1");
    let mut named = head.to_ascii_lowercase();
    named.insert(0, b'\n');
    let names = |name: &[u8]| named.windows(name.len()).any(|window| window == name);
    if !names(b"\nhost:") {
        request.extend(b"\r\nhost: localhost");
    }
    for line in lines {
        request.extend(b"\r\n");
        request.extend(line);
    }
    if !names(b"\ncontent-length:") && !names(b"\ntransfer-encoding:") && !body.is_empty() {
        request.extend(format!("\r\ncontent-length: {}", body.len()).bytes());
    }
    request.extend(b"\r\n\r\n");
    request.extend(body);
    request
}

pub(crate) fn check(input: &[u8]) {
    let request = request(input);
    let answer = SERVER.with(|(runtime, server)| runtime.block_on(exchange(server, &request)));
    // Where the request is not whole, none comes.
    if !answer.is_empty() {
        holds(&request, &answer);
    }
}

async fn exchange(server: &Server, request: &[u8]) -> Vec<u8> {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (mut read, mut write) = tokio::io::split(near);
    let mut answer = Vec::new();
    let talk = async {
        // Not closed afterwards: the server would leave off what it is at.
        let (_, _) = tokio::join!(write.write_all(request), read.read_to_end(&mut answer));
    };
    // What goes on without end is left after a while.
    let served = async { tokio::join!(server.answer(far), talk) };
    let _ = timeout(Duration::from_secs(300), served).await;
    answer
}

fn holds(request: &[u8], answer: &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = from_utf8(&answer[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap();
    let status: u16 =
        status_line.strip_prefix("HTTP/1.1 ").or(status_line.strip_prefix("HTTP/1.0 ")).unwrap()[..3]
            .parse()
            .unwrap();
    if status == 100 {
        // The answer follows, where the rest came.
        let rest = &answer[end + 4..];
        return if !rest.is_empty() {
            holds(request, rest)
        };
    }
    assert!(status < 500 || status == 503, "{head}");
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
    let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    for (name, value) in &headers {
        assert!(!name.contains(char::is_control) && !value.contains(char::is_control), "{head}");
        let ours = "allow cache-control connection content-length content-security-policy content-type date etag \
                    link location referrer-policy retry-after set-cookie transfer-encoding vary www-authenticate \
                    x-content-type-options x-frame-options";
        assert!(ours.split_whitespace().any(|known| known == *name), "{name} in {head}");
    }
    let Some(_) = header("content-security-policy") else {
        // Refused by what reads HTTP, before there was a request.
        assert!(matches!(status, 400 | 414 | 431), "{head}");
        return;
    };
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    if let Some(location) = header("location") {
        assert!(location.starts_with('/') && !location[1..].starts_with(['/', '\\']), "{location}");
    }
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let Some(body) = length.and_then(|length| answer[end + 4..].get(..length)) else { return };
    let body = from_utf8(body).unwrap();
    let content_type = header("content-type").unwrap_or_default();
    if content_type == "application/problem+json" {
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:channel-sync:problem:"));
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && detail.chars().count() <= 10 * (REASON_CHARACTERS_MAX + 1), "{detail}");
        assert!(!detail.contains(is_command), "{detail:?}");
    } else if content_type.starts_with("text/html") {
        assert!(!body.contains("<fuzz") && !body.contains("\"fuzz="), "{body}");
        // In the value of a field it is what will be sent; nobody reads it there.
        let read: String = body.split('"').step_by(2).collect();
        assert!(!read.contains(|c| is_command(c) && c != '\n' && c != '\t'), "{body:?}");
    }
    let in_api = request.split(|&byte| byte == b' ').nth(1).is_some_and(|path| path.starts_with(b"/api/"));
    if in_api && status >= 400 {
        assert_eq!(content_type, "application/problem+json", "{head}");
    }
}

/// What turns or hides text, or what a terminal acts upon in place of showing it.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
