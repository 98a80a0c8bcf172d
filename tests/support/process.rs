//! The real program as a child process, which can be killed, told to stop and asked how it is.
//!
//! Dropped, it is killed: no process outlives who started it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::broker::eventually;

/// A process of the program.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with the arguments `run` and these variables; it writes its log into `folder`, and
    /// serves HTTP on a port that it chooses.
    pub fn start(program: &Path, folder: &Path, variables: &[(String, String)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = folder.join(format!("channel-sync-{}-{count}.log", std::process::id()));
        let output = File::create(&log).unwrap_or_else(|error| panic!("create {}: {error}", log.display()));
        let child = Command::new(program)
            .arg("run")
            .env("CHANNEL_SYNC__HTTP__LISTEN", "127.0.0.1:0")
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        Self { child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) {
        eventually("the process is ready", async || self.health().await.is_some_and(|(code, _)| code == 200))
            .await;
    }

    /// What it says of its health: status and body; none where it does not serve HTTP.
    pub async fn health(&mut self) -> Option<(u16, Value)> {
        let ended = self.has_ended();
        assert!(ended.is_none(), "the process ended by itself: {ended:?}\n{}", self.log());
        let answer = reqwest::get(format!("http://{}/readyz", self.address()?)).await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    /// Where it serves HTTP; none where it does not yet.
    pub fn address(&self) -> Option<String> {
        Some(self.log().split("address=").nth(1)?.split_whitespace().next()?.to_owned())
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name: TERM, INT, STOP.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// How it ended, if it did.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the process has ended", async || self.has_ended().is_some()).await;
        self.child.wait().unwrap()
    }

    /// How much memory it has in use: the resident set, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has written this.
    pub async fn logged(&self, text: &str) {
        eventually(text, async || self.log().contains(text)).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails where the process has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// Sends a signal to a process that the caller started, and has not waited for.
pub fn signal(process: u32, name: &str) {
    // The standard library can only kill.
    let sent = Command::new("sh")
        .args(["-c", "kill -\"$1\" \"$2\"", "sh", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{name} {process}: {sent}");
}
