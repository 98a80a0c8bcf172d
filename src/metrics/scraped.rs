//! What is read when somebody asks: it costs no more than to read some numbers of this process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// How a pool of connections stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolFigures {
    /// Connections that it may hold.
    pub max: usize,
    /// Connections that it holds.
    pub open: usize,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Who waits for one.
    pub waiting: usize,
    /// Statements that were run over its connections.
    pub statements: u64,
}

type Look = Box<dyn Fn() -> PoolFigures + Send + Sync>;

/// The pools of connections to the database.
#[derive(Clone, Default)]
pub struct Pools(Arc<Mutex<Vec<(&'static str, Look)>>>);

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

impl Pools {
    /// Shows this pool from now on.
    pub fn show(&self, name: &'static str, look: impl Fn() -> PoolFigures + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(look)));
    }
}

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<(&str, PoolFigures)> = pools.iter().map(|(name, look)| (*name, look())).collect();
        type Read = fn(&PoolFigures) -> usize;
        let gauges: [(&str, &str, Read); 4] = [
            ("pool_connections_max", "Connections to the database that the pool may hold.", |pool| pool.max),
            ("pool_connections", "Connections to the database that the pool holds.", |pool| pool.open),
            ("pool_connections_idle", "Those of the pool's connections that nobody uses.", |pool| pool.idle),
            ("pool_waiting", "Who waits for a connection of the pool.", |pool| pool.waiting),
        ];
        for (name, help, read) in gauges {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (pool, figures) in &all {
                let value = i64::try_from(read(figures)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(metric.encode_family(&[("pool", *pool)])?)?;
            }
        }
        let help = "Statements that were run over connections of the pool.";
        let mut metric = encoder.encode_descriptor("pool_statements", help, None, MetricType::Counter)?;
        for (pool, figures) in &all {
            ConstCounter::new(figures.statements).encode(metric.encode_family(&[("pool", *pool)])?)?;
        }
        Ok(())
    }
}

/// The process, by the names that every program's figures have.
#[derive(Debug)]
pub(super) struct Process {
    /// Since the Unix epoch.
    started_seconds: f64,
}

impl Process {
    /// This process, which has just begun.
    pub(super) fn started_now() -> Self {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self { started_seconds: since_epoch.as_secs_f64() }
    }
}

/// What the system says of this process.
#[derive(Debug, Clone, Copy)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_files: usize,
    open_files_max: Option<u64>,
}

#[cfg(target_os = "linux")]
fn usage() -> Option<Usage> {
    use procfs::WithCurrentSystemInfo;
    use procfs::process::{LimitValue, Process};
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let open_files_max = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    });
    Some(Usage {
        cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        resident_bytes: stat.rss_bytes().get(),
        open_files: process.fd_count().ok()?,
        open_files_max,
    })
}

#[cfg(not(target_os = "linux"))]
fn usage() -> Option<Usage> {
    None
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        let help = "When the service began, since the Unix epoch.";
        gauge("process_start_time", help, Some(&Unit::Seconds), self.started_seconds)?;
        let Some(usage) = usage() else { return Ok(()) };
        gauge(
            "process_resident_memory",
            "Resident memory.",
            Some(&Unit::Bytes),
            usage.resident_bytes as f64,
        )?;
        gauge("process_open_fds", "Open file descriptors.", None, usage.open_files as f64)?;
        if let Some(max) = usage.open_files_max {
            gauge("process_max_fds", "File descriptors that may be open.", None, max as f64)?;
        }
        let help = "Time on processors, in user and system mode.";
        let metric =
            encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        ConstCounter::new(usage.cpu_seconds).encode(metric)
    }
}
