//! The private servers: killed by the process ids in their pid files, started by `deploy/dev up`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::process::signal;

/// How long a server may take to end or to come up.
const LIMIT: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").expect("run by `deploy/dev`"))
}

/// The process id and the start time that the pid file of a server names.
fn process(server: &str) -> (u32, String) {
    let file = folder().join(format!("{server}.pid"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut words = text.split_whitespace();
    let id = words.next().and_then(|word| word.parse().ok()).expect("a pid file begins with the id");
    (id, words.next().unwrap_or_default().to_owned())
}

/// Whether that very process is there, and no zombie.
fn lives((id, start): &(u32, String)) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.next().is_some_and(|state| state != "Z") && fields.nth(18) == Some(start)
}

/// Sends a signal to a server.
pub(crate) fn tell(server: &str, name: &str) {
    let process = process(server);
    assert!(lives(&process), "{server} does not run");
    signal(process.0, name);
}

/// Sends a signal to a server, and waits for its end.
pub(crate) async fn end(server: &str, name: &str) {
    let process = process(server);
    tell(server, name);
    let started = Instant::now();
    while lives(&process) {
        assert!(started.elapsed() < LIMIT, "{server} does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Begins to start what does not run. The result is to be waited for.
pub(crate) fn begin_to_start() -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(|| {
        let output = Command::new("deploy/dev").arg("up").stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "deploy/dev up: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// The quorum queues of the private broker that have no leader, as it prints them; empty where there is none.
pub(crate) async fn leaderless_queues() -> String {
    const ALL: &str =
        "io:format(\"~p\", [[Name || {Name, State} <- ets:tab2list(ra_state), State =/= leader]]), ok.";
    let printed = rabbitmqctl(&["eval", ALL]).await;
    printed.trim().trim_end_matches("ok").trim().trim_matches(['[', ']']).to_owned()
}

/// Runs rabbitmqctl on the private broker; returns what it prints.
pub(crate) async fn rabbitmqctl(arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let output = Command::new("deploy/dev")
            .arg("rabbitmqctl")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "rabbitmqctl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    running.await.unwrap()
}

/// Waits until the broker's port is open, or closed: the threads of a killed process may hold it for longer than
/// the process seems to be there.
pub(crate) async fn broker_listens(open: bool) {
    let url = url::Url::parse(&std::env::var("AMQP_URL").unwrap()).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let started = Instant::now();
    while tokio::net::TcpStream::connect(&address).await.is_ok() != open {
        assert!(started.elapsed() < LIMIT, "the broker's port does not become open: {open}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
