//! Load, both versions of the program, and the audit after each phase.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::Client;

use super::probe::Probe;
use super::rules::Rules;
use super::support::audit::Audit;
use super::support::load::{Load, splitmix};
use super::support::stage::Stage;
use super::version::Version;

/// How long it may take until everything of a phase is done; then the rest is stuck.
const SETTLE: Duration = Duration::from_secs(120);

/// What each version is asked while it is at work: every command that reads.
const QUESTIONS: [&[&str]; 8] = [
    &["status", "--json"],
    &["events", "list", "--json"],
    &["jobs", "list", "--json"],
    &["rejected", "list", "--json"],
    &["replays", "list", "--json"],
    &["settings", "manager-0", "--json"],
    &["partnerships", "--json"],
    &["freshness", "--json"],
];

/// The scene.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) versions: Versions,
    pub(crate) rules: Rules,
    pub(crate) probe: Probe,
    /// What was there after the phase before.
    counted: (i64, i64),
}

/// Both versions, and what is done to them.
pub(crate) struct Versions {
    pub(crate) before: Version,
    pub(crate) after: Version,
    random: u64,
    /// How often one of them was killed in this phase.
    pub(crate) kills: u32,
}

impl Scene {
    /// Servers on which nothing is migrated and nothing runs.
    pub(crate) async fn set(before: &Path, after: &Path, seed: u64) -> Self {
        let stage = Stage::set_unmigrated(Load::new(seed, 3, 8)).await;
        let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").expect("run by `deploy/dev upgrade`"))
            .join("log");
        // Everything as the defaults are, but jobs that fail are given up soon.
        let variables = stage
            .default_variables()
            .with("RETRY__JOB_ATTEMPTS_MAX", "3")
            .with("RETRY__JOB_DELAY_MS_MIN", "50")
            .with("RETRY__JOB_DELAY_MS_MAX", "200");
        let version = |name, program: &Path| Version::new(name, program, &folder, &variables);
        let versions = Versions {
            before: version("before", before),
            after: version("after", after),
            random: seed,
            kills: 0,
        };
        let probe = Probe { url: stage.database.url().to_owned() };
        Self { stage, versions, rules: Rules::new(seed), probe, counted: (0, 0) }
    }

    /// Publishes without pause while something happens, and until it has: the load, and the next wave of sequences.
    pub(crate) async fn under_load<T>(&mut self, happens: impl AsyncFnOnce(&mut Versions, &Probe) -> T) -> T {
        let over = AtomicBool::new(false);
        let (stage, rules) = (&mut self.stage, &mut self.rules);
        let publishing = async {
            loop {
                let of_rules = rules.take(2);
                if of_rules.is_empty() && over.load(Ordering::Relaxed) {
                    break;
                }
                let mut messages = stage.load.take(5);
                for (id, message) in of_rules {
                    stage.load.others.push(id);
                    messages.push(message);
                }
                stage.send(messages).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            rules.next_wave();
        };
        let happening = async {
            let outcome = happens(&mut self.versions, &self.probe).await;
            over.store(true, Ordering::Relaxed);
            outcome
        };
        tokio::join!(publishing, happening).1
    }

    /// Waits until everything is done, or a good while: the audit finds what is left.
    pub(crate) async fn settle(&mut self) {
        self.stage.settles_within(SETTLE).await;
    }

    /// Audits. What is counted is of this phase alone.
    pub(crate) async fn audit(&mut self) -> Audit {
        let mut audit = self.stage.audit().await;
        let counted = (audit.events, audit.jobs);
        audit.events -= self.counted.0;
        audit.jobs -= self.counted.1;
        self.counted = counted;
        audit.wrong.append(&mut self.versions.before.failures);
        audit.wrong.append(&mut self.versions.after.failures);
        audit
    }

    /// A session that looks at the schema.
    pub(crate) fn client(&self) -> &Client {
        &self.stage.client
    }
}

impl Versions {
    /// Kills one of the two that are at work, and starts it again.
    pub(crate) async fn kill_one(&mut self) {
        let which =
            if splitmix(&mut self.random).is_multiple_of(2) { &mut self.before } else { &mut self.after };
        which.kill_and_start().await;
        self.kills += 1;
    }

    /// Asks a version everything that only reads.
    pub(crate) async fn ask(version: &mut Version) {
        for question in QUESTIONS {
            version.command(question).await;
        }
    }
}
