//! Processor time and memory of the processes that take part, from `/proc`.

use std::collections::HashMap;
use std::path::PathBuf;

/// What `/proc` counts processor time in: USER_HZ, which Linux has held at this for all programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds of everybody who takes part, since each began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Processor {
    pub(crate) service: f64,
    /// With all backends, those that have ended too.
    pub(crate) postgres: f64,
    pub(crate) rabbitmq: f64,
    /// This process: it publishes, and looks when all is done.
    pub(crate) publisher: f64,
}

impl Processor {
    /// As of now, with these processes of the service.
    pub(crate) fn now(service: &[u32]) -> Self {
        let all = processes();
        Self {
            service: service.iter().map(|process| family(&all, *process)).sum(),
            postgres: family(&all, server("postgres")),
            rabbitmq: family(&all, server("rabbitmq")),
            publisher: all.get(&std::process::id()).map_or(0.0, |own| own.seconds),
        }
    }

    /// What was used since then.
    pub(crate) fn since(self, then: Self) -> Self {
        Self {
            service: self.service - then.service,
            postgres: self.postgres - then.postgres,
            rabbitmq: self.rabbitmq - then.rabbitmq,
            publisher: self.publisher - then.publisher,
        }
    }
}

/// The resident memory of a process, in KiB: its peak so far, and now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    pub(crate) peak_kib: u64,
    pub(crate) now_kib: u64,
}

impl Memory {
    /// The most that any of these processes has, all of which run.
    pub(crate) fn most(processes: &[u32]) -> Self {
        let all: Vec<Self> = processes.iter().map(|process| Self::of(*process)).collect();
        let most = |of: fn(&Self) -> u64| all.iter().map(of).max().unwrap_or_default();
        Self { peak_kib: most(|one| one.peak_kib), now_kib: most(|one| one.now_kib) }
    }

    fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap()
        };
        Self { peak_kib: field("VmHWM:"), now_kib: field("VmRSS:") }
    }
}

/// The process id of a private server, from its pid file.
fn server(name: &str) -> u32 {
    let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").expect("run by `deploy/dev bench`"));
    let text = std::fs::read_to_string(folder.join(format!("{name}.pid"))).unwrap();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a pid file begins with the id")
}

struct Stat {
    parent: u32,
    /// Its own, and that of its children that have ended and been waited for.
    seconds: f64,
}

fn processes() -> HashMap<u32, Stat> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Some((id, stat(id)?))).collect()
}

fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is a name, which may hold anything.
    let fields: Vec<&str> = text.rsplit(") ").next()?.split(' ').collect();
    let number = |place: usize| fields.get(place)?.parse::<u32>().ok();
    let ticks = (11..15).map(number).sum::<Option<u32>>()?;
    Some(Stat { parent: number(1)?, seconds: f64::from(ticks) / TICKS_PER_SECOND })
}

/// The processor seconds of a process and of all below it.
fn family(all: &HashMap<u32, Stat>, id: u32) -> f64 {
    let own = all.get(&id).map_or(0.0, |stat| stat.seconds);
    let children = all.iter().filter(|(_, stat)| stat.parent == id);
    own + children.map(|(child, _)| family(all, *child)).sum::<f64>()
}
