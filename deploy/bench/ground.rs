//! The prepared database of a workload, and the service on a copy of it.
//!
//! It is prepared by the service itself, from events, so that it holds exactly what the service writes. Only jobs
//! of the past are too many for that: they are copies of the rows of one event that the service has done.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use channel_sync::broker::Publisher;
use channel_sync::config::Config;
use channel_sync::contract::Message;
use tokio_postgres::{Client, Statement};

use super::support::broker::Vhost;
use super::support::database::{Database, admin_client};
use super::support::process::Process;
use super::workload::{PAST, UPSTREAM, Workload};

/// After how long without any new job a run counts as stuck.
const STUCK: Duration = Duration::from_secs(120);

/// What the servers are, and what of their settings is not as the packages have it.
pub(crate) async fn servers() -> String {
    let client = admin_client().await;
    let postgres: String = client.query_one("show server_version", &[]).await.unwrap().get(0);
    let given =
        "select coalesce(string_agg(name || '=' || current_setting(name), ' ' order by name), 'nothing')
                   from pg_settings
                  where source = 'command line'
                    and name not in ('listen_addresses', 'port', 'unix_socket_directories', 'data_directory',
                                     'ssl_ca_file', 'ssl_cert_file', 'ssl_key_file')";
    let given: String = client.query_one(given, &[]).await.unwrap().get(0);
    let kept = "select string_agg(name || '=' || current_setting(name), ' ' order by name)
                  from pg_settings
                 where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size')";
    let kept: String = client.query_one(kept, &[]).await.unwrap().get(0);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("PostgreSQL {postgres}, {kept}; set by hand: {given}; {processors} processors for everybody")
}

/// The prepared database of a workload.
pub(crate) struct Ground {
    prepared: Database,
    /// The same without jobs of the past, which the floor does not read.
    without_past: Option<Database>,
}

impl Ground {
    /// Prepares one.
    pub(crate) async fn prepare(workload: &Workload) -> Self {
        let mut stand = Stand::on(Database::create().await, workload, 1).await;
        for (messages, jobs) in workload.prelude() {
            let watch = Watch::begin(&stand.database).await;
            stand.publish(&messages).await;
            watch.until_done(jobs, Watch::PAUSE).await;
        }
        let prepared = stand.stop().await;
        tidy(&prepared).await;
        let without_past = match workload.past_jobs {
            0 => None,
            _ => {
                let without_past = prepared.copy().await;
                add_past(&prepared, workload.past_events()).await;
                tidy(&prepared).await;
                Some(without_past)
            }
        };
        Self { prepared, without_past }
    }

    /// A database for a run of the service.
    pub(crate) async fn for_service(&self) -> Database {
        self.prepared.copy().await
    }

    /// A database for the floor.
    pub(crate) async fn for_floor(&self) -> Database {
        self.without_past.as_ref().unwrap_or(&self.prepared).copy().await
    }
}

/// What autovacuum would have come to within a minute.
async fn tidy(database: &Database) {
    database.client().await.batch_execute("vacuum (analyze)").await.unwrap();
}

/// Adds so many events of the past: copies of [`PAST`], its change and its jobs, each with its own numbers.
async fn add_past(database: &Database, events: usize) {
    let client = connect(database).await;
    let statement = format!(
        "begin;
         -- The event `no` has the number from + 2 × no, its change the next.
         create temp table past on commit drop as
         select no, (select last_value from cause_no) + 2 * no as event_no
           from generate_series(1, {events}) no;
         insert into event (event_no, source, event_id, content, type, organization_no, category, payload,
                            verdict, received_at)
         select past.event_no, e.source, 'past-' || past.no, sha256(past.no::text::bytea), e.type,
                e.organization_no, e.category, e.payload, e.verdict, e.received_at
           from past, event e where e.event_id = '{PAST}' order by past.no;
         insert into change (change_no, event_no, cause_no, organization_no, category, merges, payload, made_at)
         select past.event_no + 1, past.event_no, past.event_no, c.organization_no, c.category, c.merges,
                c.payload, c.made_at
           from past, change c join event e using (event_no) where e.event_id = '{PAST}' order by past.no;
         insert into job (cause_no, organization_no, state, attempts, added, changed, removed, unchanged, kept_own,
                          declined, overtaken, finished_at)
         select past.event_no + (c.change_no is not null)::int, j.organization_no, j.state, j.attempts, j.added,
                j.changed, j.removed, j.unchanged, j.kept_own, j.declined, j.overtaken, j.finished_at
           from past, job j
           left join change c on c.change_no = j.cause_no
           join event e on e.event_no = coalesce(c.event_no, j.cause_no)
          where e.event_id = '{PAST}'
          order by past.no, c.change_no nulls first, j.organization_no;
         update organization o
            set last_change_no = last.event_no + 1, last_position = last.event_no
           from (select max(event_no) as event_no from past) last
          where o.organization_id = '{UPSTREAM}';
         select setval('cause_no', (select max(event_no) + 1 from past));
         commit"
    );
    client.batch_execute(&statement).await.unwrap();
}

/// A connection whose search path is the schema.
pub(crate) async fn connect(database: &Database) -> Client {
    let client = database.client().await;
    client.batch_execute("set search_path = channel_sync").await.unwrap();
    client
}

/// The service over a database, with a publisher.
pub(crate) struct Stand {
    processes: Vec<Process>,
    pub(crate) vhost: Vhost,
    publisher: Publisher,
    exchange: String,
    pub(crate) database: Database,
}

impl Stand {
    /// Starts so many processes of the service, set up as the defaults are but for what the workload says, and waits
    /// until they are ready.
    pub(crate) async fn on(database: Database, workload: &Workload, processes: usize) -> Self {
        let vhost = Vhost::create().await;
        vhost.import(include_str!("../rabbitmq/definitions.json")).await;
        let own = std::env::current_exe().unwrap();
        let program = own.parent().and_then(Path::parent).unwrap().join("channel-sync");
        let folder = PathBuf::from(std::env::var("CHANNEL_SYNC_DEV").unwrap()).join("log");
        let urls = [("AMQP_URL", vhost.url()), ("DATABASE_URL", database.url())];
        let urls = urls.iter().map(|(name, url)| ((*name).to_owned(), (*url).to_owned()));
        let keys = workload.variables.iter();
        let keys = keys.map(|(key, value)| (format!("CHANNEL_SYNC__{key}"), (*value).to_owned()));
        let variables: Vec<(String, String)> = urls.chain(keys).collect();
        let config = Config::load(None, variables.clone().into_iter()).unwrap().broker;
        let mut processes: Vec<Process> =
            (0..processes).map(|_| Process::start(&program, &folder, &variables)).collect();
        for process in &mut processes {
            process.ready().await;
        }
        let publisher = Publisher::connect(&config).await.unwrap();
        Self { processes, vhost, publisher, exchange: format!("{}.events", config.prefix), database }
    }

    /// The ids of the service's processes.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// For how many seconds executors have held locks on shards, and how many executors there are.
    pub(crate) async fn locked(&self) -> (f64, f64) {
        let (mut seconds, mut executors) = (0.0, 0.0);
        for process in &self.processes {
            let address = process.address().expect("the service serves HTTP");
            let metrics =
                reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
            let figure = |name: &str| -> f64 {
                let line = metrics.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|figure| figure.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
            };
            seconds += figure("channel_sync_executor_locked_seconds_total ");
            executors += figure("channel_sync_executor_workers ");
        }
        (seconds, executors)
    }

    /// Publishes at full speed, until the broker has confirmed everything.
    pub(crate) async fn publish(&mut self, messages: &[Message]) {
        for message in messages {
            let key = message.properties.routing_key.as_deref().expect("events have a routing key");
            self.publisher.publish(&self.exchange, key, message).await.unwrap();
        }
        self.publisher.flush().await.unwrap();
    }

    /// Stops the service in order, and fails unless nothing is left of what was published.
    pub(crate) async fn stop(mut self) -> Database {
        for process in &self.processes {
            process.signal("TERM");
        }
        for process in &mut self.processes {
            let status = process.ended().await;
            assert!(status.success(), "the service ended with {status}\n{}", process.log());
        }
        self.publisher.close().await;
        for queue in ["channel-sync.events", "channel-sync.dead-letter"] {
            assert_eq!(self.vhost.ready(queue).await, 0, "messages left in {queue}");
        }
        self.vhost.remove().await;
        self.database
    }
}

/// Sees when all is done.
///
/// It asks for the number of the last job, which costs nothing and is drawn before the job is committed, and only
/// when that is reached, whether any letter is left: letters leave in the transactions that write the jobs.
pub(crate) struct Watch {
    client: Client,
    statement: Statement,
    last_job: i64,
    last_cause: i64,
}

impl Watch {
    /// How often it looks while a service is at full load.
    pub(crate) const PAUSE: Duration = Duration::from_millis(5);

    /// Begins, while nothing is to be done.
    pub(crate) async fn begin(database: &Database) -> Self {
        let client = connect(database).await;
        let last = "select (select case when is_called then last_value else 0 end from job_no),
                           (select case when is_called then last_value else 0 end from cause_no)";
        let last = client.query_one(last, &[]).await.unwrap();
        let statement = "select last_value,
                                case when last_value >= $1 then not exists (select from letter) else false end
                           from job_no";
        let statement = client.prepare(statement).await.unwrap();
        Self { client, statement, last_job: last.get(0), last_cause: last.get(1) }
    }

    /// Waits until so many jobs in all have been done since it began; returns when it saw that.
    ///
    /// # Panics
    /// Where nothing happens for too long.
    pub(crate) async fn until_done(&self, jobs: usize, pause: Duration) -> Instant {
        let jobs = i64::try_from(jobs).unwrap();
        let (mut last, mut progress) = (0_i64, Instant::now());
        loop {
            let row = self.client.query_one(&self.statement, &[&(self.last_job + jobs)]).await.unwrap();
            let (number, is_quiet): (i64, bool) = (row.get(0), row.get(1));
            let now = Instant::now();
            // A batch that failed has drawn its numbers for nothing: so they are counted once.
            if is_quiet && self.jobs().await >= jobs {
                return now;
            }
            if number > last {
                (last, progress) = (number, now);
            }
            assert!(now - progress < STUCK, "stuck: {} of {jobs} jobs begun", number - self.last_job);
            tokio::time::sleep(pause).await;
        }
    }

    async fn jobs(&self) -> i64 {
        let count = "select count(*) from job where cause_no > $1";
        self.client.query_one(count, &[&self.last_cause]).await.unwrap().get(0)
    }
}
