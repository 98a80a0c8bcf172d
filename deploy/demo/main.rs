//! A story on real data: a channel manager, its partners, and what syncs to whom.
//!
//! Starts the service on the RabbitMQ of AMQP_URL and the Postgres of DATABASE_URL, publishes events, waits
//! for what becomes of them, and tells step by step what happened and why. Everything that Postgres then has
//! is compared with what the rules table says. `deploy/dev demo` runs it on servers of its own.
//!
//! | module | holds |
//! |---|---|
//! | `story` | the chapters |
//! | `cast` | who plays, and what everybody has in the beginning |
//! | `equipment` | the real modules and inverters |
//! | `event` | events, as a platform would publish them |
//! | `stage` | publishes, waits, tells, compares |
//! | `expectation` | what must come out, kept by hand |
//! | `database` | what did come out |
//! | `service` | the service as a child process |
//! | `report` | the printed page |

mod cast;
mod database;
mod equipment;
mod event;
mod expectation;
mod report;
mod service;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use channel_sync::config::{Config, process_environment};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use self::database::Database;
use self::report::Report;
use self::service::Service;
use self::stage::Stage;

/// Shows channel-sync at work on real servers; exits with 1 where Postgres is not as the rules say.
#[derive(Parser)]
struct Arguments {
    /// Leave the service running until Ctrl-C, to go on playing.
    #[arg(long)]
    keep: bool,
}

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

const SIGNAL_DELAY: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.keep).await {
        Ok(code) => code,
        Err(error) => {
            Report::new().bad(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(keep: bool) -> Result<ExitCode> {
    let report = Report::new();
    let config = Config::load(None, process_environment())?;
    report.title("channel-sync: a story on real data");
    let mut signals = Signals::new()?;
    let mut service = Service::start()?;
    let told = tokio::select! {
        told = tell(report, &config, &mut service) => Some(told),
        () = signals.next() => None,
    };
    let told = match told {
        // A Ctrl-C reaches the service too, and its end may be noticed first.
        Some(Err(_)) if timeout(SIGNAL_DELAY, signals.next()).await.is_ok() => None,
        told => told,
    };
    let Some(told) = told else {
        report.say("Interrupted: stopping the service.");
        service.stop(true).await?;
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let as_the_rules_say = told?;
    if keep {
        invite(report, &config, &service).await;
        tokio::select! {
            () = signals.next() => {}
            ended = ended(&mut service) => ended?,
        }
        report.say("Stopping the service.");
    }
    service.stop(keep).await?;
    Ok(if as_the_rules_say { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The whole story; true where everything came as the rules say.
async fn tell(report: Report, config: &Config, service: &mut Service) -> Result<bool> {
    let ready = service.ready().await?;
    report.detail(&format!(
        "the service is ready after {:.1} s; its log: {}",
        ready.as_secs_f64(),
        service.log().display()
    ));
    let database = Database::connect(config.database.url.expose()).await?;
    ensure!(
        database.event_count().await? == 0,
        "the database of DATABASE_URL has events already, and the demo wants an empty one: name another, or \
         unset AMQP_URL and DATABASE_URL and let deploy/dev demo make one"
    );
    let stage = Stage::set(report, &config.broker, database, service).await?;
    story::tell(stage).await
}

/// How to go on playing.
async fn invite(report: Report, config: &Config, service: &Service) {
    let new_adder = r#"{"specversion":"1.0","id":"me-1","source":"//me","type":"setting-changed","data":
    {"organization_id":"helios","category":"adders","changes":[
    {"op":"set","key":"snow-load","value":{"usd":300}}]}}"#;
    report.say("The service stays up until Ctrl-C. To go on playing, in another terminal:");
    report.verbatim(&format!(
        "export AMQP_URL='{}'\nexport DATABASE_URL='{}'\nalias channel-sync='{}'",
        config.broker.url.expose(),
        config.database.url.expose(),
        service.program().display()
    ));
    if let Some(pages) = service.pages().await {
        report.say(&format!("Its pages: {pages}"));
    }
    report.say("What Keystone's beginning brought whom, what the reseller's partner has, what was rejected:");
    report.verbatim(
        "channel-sync status\n\
         channel-sync events show helios-keystone-1\n\
         channel-sync settings harbor --category adders\n\
         channel-sync jobs list --organization bright-roofs\n\
         channel-sync rejected list",
    );
    report.say("Helios has a new adder. Who gets it?");
    report.verbatim(&format!("echo '{new_adder}' | channel-sync publish -\nchannel-sync events show me-1"));
}

/// Ctrl-C, being told to end, or the terminal gone. Listened to before there is anything to stop.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("listen to signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Fails as soon as the service ends by itself.
async fn ended(service: &mut Service) -> Result<()> {
    loop {
        service.check().context("keep the service running")?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
