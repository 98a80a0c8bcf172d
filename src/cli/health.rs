//! `health`: asks the service on this machine how it is, as a container's health check does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::error::Failure;
use super::output::Output;
use crate::config::Config;

/// How long the service may take to answer; longer than it waits for its database.
const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// `health`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 where the service is ready: the link to the broker is up, and the database answers. With --live, where
it answers at all: what a container's health check should ask, since a restart mends neither of the two.

Examples:
  channel-sync health
  channel-sync health --live")]
pub(super) struct HealthArgs {
    /// Ask only whether it lives
    #[arg(long)]
    live: bool,
}

pub(super) async fn health(config: &Config, arguments: &HealthArgs) -> Result<(), Failure> {
    let Some(listen) = config.http.listen else {
        return Err(Failure::new("the service cannot be asked: http.listen is \"off\""));
    };
    if listen.port() == 0 {
        let message = "the service cannot be asked: http.listen has port 0, which is any free one";
        return Err(Failure::new(message).hint("give it a port"));
    }
    let (path, good) = if arguments.live { ("/livez", "live") } else { ("/readyz", "ready") };
    let address = reached_at(listen);
    let asked = format!("http://{address}{path}");
    let no_answer =
        |cause: String| Failure::new(format!("the service does not answer at {asked}")).caused_by(cause);
    let answer = match tokio::time::timeout(ANSWER_WAIT, get(address, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(no_answer(error.to_string())),
        Err(_) => return Err(no_answer(format!("nothing came within {} s", ANSWER_WAIT.as_secs()))),
    };
    match Answer::read(&answer) {
        Some(Answer { status: 200, .. }) => Output::text().line(good).finish(),
        Some(Answer { body: Some(body), .. }) if body["status"].is_string() => Err(not_good(&body)),
        Some(Answer { status, .. }) => Err(no_answer(format!("it answered with status {status}"))),
        None => Err(no_answer("what answered there does not speak HTTP".to_owned())),
    }
}

/// Where a listener of this machine is reached from this machine.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

/// One request, to a server that closes the connection after its answer.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// An answer over HTTP.
struct Answer {
    status: u16,
    body: Option<Value>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        Some(Self { status, body })
    }
}

/// What is down, and why.
fn not_good(body: &Value) -> Failure {
    let mut failure = Failure::new("the service is not ready");
    for part in ["broker", "database"] {
        if let Some(reason) = body[part]["reason"].as_str() {
            failure = failure.caused_by(format!("{part}: {reason}"));
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::{Answer, reached_at};

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("192.0.2.7:8080", "192.0.2.7:8080"),
        ] {
            assert_eq!(reached_at(listen.parse().unwrap()), expected.parse().unwrap());
        }
    }

    #[test]
    fn only_http_is_an_answer() {
        let answer =
            Answer::read(b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\n{\"status\":\"x\"}").unwrap();
        assert_eq!((answer.status, answer.body.unwrap()["status"].as_str()), (503, Some("x")));
        assert_eq!(Answer::read(b"HTTP/1.1 200 OK\r\n\r\n").unwrap().status, 200);
        for other in ["", "HTTP/1.1 ", "HTTP/1.1 2", "HTTP/1.1 ok", "220 mail.example ESMTP", "\u{e4}"] {
            assert!(Answer::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
