//! Medians over the rounds, as a table or as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::floor::{Floor, Kind};
use super::round::Run;
use super::usage::Processor;
use super::workload::Workload;

/// The figures of a workload.
#[derive(Debug)]
pub(crate) struct Figures {
    name: &'static str,
    processes: u16,
    about: &'static str,
    variables: &'static [(&'static str, &'static str)],
    jobs: usize,
    events: usize,
    seconds: f64,
    publishing_seconds: f64,
    /// None where events came one at a time.
    rates: Option<Rates>,
    latency: Option<Latency>,
    floor_latency: Option<Latency>,
    peak_mib: f64,
    idle_mib: f64,
    idle_peak_mib: f64,
    processor: Processor,
    locked_share: f64,
    wal_bytes_per_job: f64,
    floor_wal_bytes_per_job: f64,
}

#[derive(Debug)]
struct Rates {
    jobs_per_second: f64,
    jobs_per_second_min: f64,
    jobs_per_second_max: f64,
    events_per_second: f64,
    settings_per_second: f64,
    floor_jobs_per_second: f64,
    floor_jobs_per_second_min: f64,
    floor_jobs_per_second_max: f64,
    /// Of the other floors, where they were measured.
    floor_by_event_jobs_per_second: Option<f64>,
    floor_of_all_jobs_per_second: Option<f64>,
}

/// Over all events of all rounds.
#[derive(Debug)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Figures {
    /// Those of these runs.
    pub(crate) fn of(
        workload: &Workload,
        processes: u16,
        runs: &[Run],
        floors: &[(Kind, Vec<Floor>)],
    ) -> Self {
        let of_runs = |figure: &dyn Fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        let seconds = |elapsed: Duration| elapsed.as_secs_f64();
        let floors_of = |kind: Kind| -> &[Floor] {
            floors.iter().find(|(one, _)| *one == kind).map_or(&[], |(_, floors)| floors)
        };
        let sets = floors_of(Kind::Sets);
        let (jobs, events) = (workload.jobs(), workload.events());
        let all_latencies = |latencies: Vec<&Vec<Duration>>| {
            Latency::of(latencies.into_iter().flatten().copied().collect::<Vec<_>>())
        };
        let latency = all_latencies(runs.iter().map(|run| &run.latencies).collect());
        let rates = latency.is_none().then(|| {
            let mut served: Vec<f64> = runs.iter().map(|run| jobs as f64 / seconds(run.elapsed)).collect();
            let rates_of = |floors: &[Floor]| -> Vec<f64> {
                floors.iter().map(|one| jobs as f64 / seconds(one.elapsed)).collect()
            };
            let median_of = |kind: Kind| {
                let rates = rates_of(floors_of(kind));
                (!rates.is_empty()).then(|| median(rates))
            };
            let mut floor = rates_of(sets);
            served.sort_by(f64::total_cmp);
            floor.sort_by(f64::total_cmp);
            Rates {
                jobs_per_second: median(served.clone()),
                jobs_per_second_min: served[0],
                jobs_per_second_max: served[served.len() - 1],
                events_per_second: median(served.clone()) * events as f64 / jobs as f64,
                settings_per_second: median(served.clone()) * workload.settings() as f64 / jobs as f64,
                floor_jobs_per_second: median(floor.clone()),
                floor_jobs_per_second_min: floor[0],
                floor_jobs_per_second_max: floor[floor.len() - 1],
                floor_by_event_jobs_per_second: median_of(Kind::Events),
                floor_of_all_jobs_per_second: median_of(Kind::AllRows),
            }
        });
        let mib = |kib: u64| kib as f64 / 1024.0;
        Self {
            name: workload.name,
            processes,
            about: workload.about,
            variables: workload.variables,
            jobs,
            events,
            seconds: of_runs(&|run| seconds(run.elapsed)),
            publishing_seconds: of_runs(&|run| seconds(run.publishing)),
            rates,
            latency,
            floor_latency: all_latencies(sets.iter().map(|floor| &floor.latencies).collect()),
            peak_mib: of_runs(&|run| mib(run.memory.peak_kib)),
            idle_mib: of_runs(&|run| mib(run.idle.now_kib)),
            idle_peak_mib: of_runs(&|run| mib(run.idle.peak_kib)),
            processor: Processor {
                service: of_runs(&|run| run.processor.service),
                postgres: of_runs(&|run| run.processor.postgres),
                rabbitmq: of_runs(&|run| run.processor.rabbitmq),
                publisher: of_runs(&|run| run.processor.publisher),
            },
            locked_share: of_runs(&|run| run.locked),
            wal_bytes_per_job: of_runs(&|run| run.wal_bytes as f64 / jobs as f64),
            floor_wal_bytes_per_job: median(
                sets.iter().map(|floor| floor.wal_bytes as f64 / jobs as f64).collect(),
            ),
        }
    }
}

impl Latency {
    fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort();
        let ms = |latency: &Duration| latency.as_secs_f64() * 1_000.0;
        let last = all.last().map(ms)?;
        // The nearest rank.
        let at = |percent: usize| all.get((all.len() * percent).div_ceil(100).max(1) - 1).map_or(last, ms);
        Some(Self { p50_ms: at(50), p99_ms: at(99), max_ms: last })
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len() % 2 == 1 { all[middle] } else { (all[middle - 1] + all[middle]) / 2.0 }
}

/// So many processes, in words.
pub(crate) fn processes(count: u16) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

/// The table, and what is to be said about it.
pub(crate) fn table(servers: &str, rounds: u32, scale: f64, all: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "workload",
        "jobs/s\n(min to max)",
        "events/s",
        "settings/s",
        "floor jobs/s\n(min to max)",
        "of the\nfloor",
        "event by\nevent",
        "of all\nrows",
        "s, of which\npublishing",
        "p50 / p99\nms",
        "floor\np50 / p99",
        "peak\nMiB",
        "CPU s: service,\nPostgres, RabbitMQ, bench",
        "under\nlocks",
        "WAL bytes\na job (floor)",
    ]);
    for figures in all {
        let part = |rates: &Rates, floor: Option<f64>| {
            floor.map_or("-".to_owned(), |floor| format!("{:.0} %", 100.0 * rates.jobs_per_second / floor))
        };
        let rate = |of: &dyn Fn(&Rates) -> String| figures.rates.as_ref().map_or("-".to_owned(), of);
        let latency = |latency: &Option<Latency>| {
            let shown = |latency: &Latency| format!("{:.1} / {:.1}", latency.p50_ms, latency.p99_ms);
            latency.as_ref().map_or("-".to_owned(), shown)
        };
        let Processor { service, postgres, rabbitmq, publisher } = figures.processor;
        table.add_row([
            match figures.processes {
                1 => figures.name.to_owned(),
                several => format!("{}\n{}", figures.name, processes(several)),
            },
            rate(&|rates| {
                let (min, max) = (rates.jobs_per_second_min, rates.jobs_per_second_max);
                format!("{}\n({} to {})", grouped(rates.jobs_per_second), grouped(min), grouped(max))
            }),
            rate(&|rates| grouped(rates.events_per_second)),
            rate(&|rates| grouped(rates.settings_per_second)),
            rate(&|rates| {
                let (min, max) = (rates.floor_jobs_per_second_min, rates.floor_jobs_per_second_max);
                format!("{}\n({} to {})", grouped(rates.floor_jobs_per_second), grouped(min), grouped(max))
            }),
            rate(&|rates| part(rates, Some(rates.floor_jobs_per_second))),
            rate(&|rates| part(rates, rates.floor_by_event_jobs_per_second)),
            rate(&|rates| part(rates, rates.floor_of_all_jobs_per_second)),
            match figures.rates {
                Some(_) => format!("{:.2}, {:.2}", figures.seconds, figures.publishing_seconds),
                None => "-".to_owned(),
            },
            latency(&figures.latency),
            latency(&figures.floor_latency),
            format!("{:.0}", figures.peak_mib),
            format!("{service:.2}, {postgres:.2}, {rabbitmq:.2}, {publisher:.2}"),
            format!("{:.0} %", 100.0 * figures.locked_share),
            format!("{} ({})", grouped(figures.wal_bytes_per_job), grouped(figures.floor_wal_bytes_per_job)),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n\n{servers}\nMedians of {rounds} rounds, scale {scale}.\n");
    for Figures { name, about, jobs, variables, .. } in
        all.iter().filter(|one| one.processes == all[0].processes)
    {
        let keys =
            variables.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
        let keys = if keys.is_empty() { keys } else { format!("; with {keys}") };
        text += &format!("{name}: {about}; {jobs} jobs{keys}\n");
    }
    if let Some(figures) = all.first() {
        text += &format!(
            "At rest the service has {:.1} MiB resident, {:.1} MiB at most since its start.\n",
            figures.idle_mib, figures.idle_peak_mib
        );
    }
    text += "Every entry is a new one: the settings of partners are inserts. Jobs are those of partners; the \
             upstream's own, one an event, come on top. The floor writes the partners' settings and jobs alone, those \
             of many events at once where they have few partners; event by event with a statement for each; that of all \
             rows also what is kept of the events themselves. Under locks: the share of their time for which executors \
             held shards.\n";
    text
}

/// A number with thousands parted; with a decimal where it is small.
fn grouped(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All figures.
pub(crate) fn json(servers: &str, rounds: u32, scale: f64, all: &[Figures]) -> Value {
    let latency = |latency: &Option<Latency>| {
        latency.as_ref().map(
            |latency| json!({ "p50_ms": latency.p50_ms, "p99_ms": latency.p99_ms, "max_ms": latency.max_ms }),
        )
    };
    let workloads = all.iter().map(|figures| {
        let rates = figures.rates.as_ref().map(|rates| {
            let part = |floor: Option<f64>| floor.map(|floor| rates.jobs_per_second / floor);
            json!({
                "jobs_per_second": rates.jobs_per_second,
                "jobs_per_second_min": rates.jobs_per_second_min,
                "jobs_per_second_max": rates.jobs_per_second_max,
                "events_per_second": rates.events_per_second,
                "settings_per_second": rates.settings_per_second,
                "floor_jobs_per_second": rates.floor_jobs_per_second,
                "floor_jobs_per_second_min": rates.floor_jobs_per_second_min,
                "floor_jobs_per_second_max": rates.floor_jobs_per_second_max,
                "of_floor": rates.jobs_per_second / rates.floor_jobs_per_second,
                "floor_by_event_jobs_per_second": rates.floor_by_event_jobs_per_second,
                "of_floor_by_event": part(rates.floor_by_event_jobs_per_second),
                "floor_of_all_jobs_per_second": rates.floor_of_all_jobs_per_second,
                "of_floor_of_all": part(rates.floor_of_all_jobs_per_second),
            })
        });
        let Processor { service, postgres, rabbitmq, publisher } = figures.processor;
        json!({
            "workload": figures.name,
            "processes": figures.processes,
            "about": figures.about,
            "variables": figures.variables.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "jobs": figures.jobs,
            "events": figures.events,
            "seconds": figures.seconds,
            "publishing_seconds": figures.publishing_seconds,
            "rates": rates,
            "latency": latency(&figures.latency),
            "floor_latency": latency(&figures.floor_latency),
            "memory_mib": {
                "peak": figures.peak_mib, "at_rest": figures.idle_mib, "at_rest_peak": figures.idle_peak_mib,
            },
            "processor_seconds": {
                "service": service, "postgres": postgres, "rabbitmq": rabbitmq, "bench": publisher,
            },
            "locked_share": figures.locked_share,
            "wal_bytes_per_job": figures.wal_bytes_per_job,
            "floor_wal_bytes_per_job": figures.floor_wal_bytes_per_job,
        })
    });
    json!({ "servers": servers, "rounds": rounds, "scale": scale, "workloads": workloads.collect::<Vec<_>>() })
}
