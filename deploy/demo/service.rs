//! The real service, as a child process: started, watched and never left behind.
//!
//! It stays in the process group of the demo, so that a Ctrl-C, or whoever ends the whole group, reaches
//! both.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A little more than the service gives itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// How long a service that was interrupted together with the demo may take before it is told so again.
const STOP_BY_ITSELF: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(20);

const LOG_TAIL_LINES: usize = 25;

/// A running service.
pub(crate) struct Service {
    child: Child,
    address: String,
    program: PathBuf,
    log: PathBuf,
}

impl Service {
    /// Starts the program beside the demo's own, which takes AMQP_URL and DATABASE_URL from the environment
    /// as the demo does.
    pub(crate) fn start() -> Result<Self> {
        let own = std::env::current_exe().context("find the demo's own program")?;
        let folder = own.parent().and_then(Path::parent).context("find the folder of the programs")?;
        let program = folder.join("channel-sync");
        ensure!(program.is_file(), "{} is not there: cargo build", program.display());

        let log = log_path()?;
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let address = free_address()?;
        let child = Command::new(&program)
            .args(["run", "--migrate"])
            .env("CHANNEL_SYNC__HTTP__LISTEN", &address)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { child, address, program, log })
    }

    /// The program that runs.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where its log goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until the service says that it is ready; returns how long that took.
    pub(crate) async fn ready(&mut self) -> Result<Duration> {
        let client = reqwest::Client::new();
        let begin = Instant::now();
        loop {
            self.check()?;
            let answer = client.get(format!("http://{}/readyz", self.address)).send().await;
            if answer.is_ok_and(|answer| answer.status() == reqwest::StatusCode::OK) {
                return Ok(begin.elapsed());
            }
            ensure!(
                begin.elapsed() < READY_TIMEOUT,
                "the service is not ready after {} s\n{}",
                READY_TIMEOUT.as_secs(),
                self.log_tail()
            );
            sleep(POLL).await;
        }
    }

    /// The address of its pages, where it has any.
    pub(crate) async fn pages(&self) -> Option<String> {
        let pages = format!("http://{}/", self.address);
        let answer = reqwest::get(&pages).await.ok()?;
        answer.status().is_success().then_some(pages)
    }

    /// Fails where the service has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("look after the service")? {
            None => Ok(()),
            Some(status) => bail!("the service ended by itself ({status})\n{}", self.log_tail()),
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        format!("--- the last lines of {}\n{tail}\n---", self.log.display())
    }

    /// Stops it. `interrupted`: a signal has just ended the demo, and may have reached the service too, which
    /// takes a second one as an order to drop everything.
    pub(crate) async fn stop(mut self, interrupted: bool) -> Result<()> {
        let mut status = self.child.try_wait()?;
        if interrupted && status.is_none() {
            status = self.ended(STOP_BY_ITSELF).await?;
        }
        if status.is_none() {
            terminate(&self.child)?;
            status = self.ended(STOP_TIMEOUT).await?;
        }
        let Some(status) = status else {
            self.child.kill().context("kill the service")?;
            self.child.wait()?;
            bail!("the service did not stop within {} s\n{}", STOP_TIMEOUT.as_secs(), self.log_tail());
        };
        // A signal that comes before the service listens to signals ends it as signals do.
        ensure!(interrupted || status.success(), "the service ended with {status}\n{}", self.log_tail());
        Ok(())
    }

    async fn ended(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            let status = self.child.try_wait().context("wait for the service")?;
            if status.is_some() || begin.elapsed() >= timeout {
                return Ok(status);
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Service {
    /// Where the demo fails: the service must not outlive it.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = terminate(&self.child);
            for _ in 0..50 {
                std::thread::sleep(POLL);
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends SIGTERM, which the standard library cannot. The id is not anybody else's: the child has not been
/// waited for.
fn terminate(child: &Child) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", "kill -TERM \"$1\"", "sh", &child.id().to_string()])
        .status()
        .context("stop the service")?;
    ensure!(status.success(), "stop the service: kill ended with {status}");
    Ok(())
}

fn log_path() -> Result<PathBuf> {
    let dev = Path::new(".dev");
    if !dev.is_dir() {
        return Ok(std::env::temp_dir().join(format!("channel-sync-demo-{}.log", std::process::id())));
    }
    let folder = dev.join("log");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder.join("demo.log"))
}

/// Another process may take the port before the service does; the service then says so and ends.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.to_string())
}
