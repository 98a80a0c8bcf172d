//! The stage of the story: publishes, waits for the outcome, tells it and checks it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use channel_sync::broker::{Publisher, Topology};
use channel_sync::config::BrokerConfig;
use serde_json::Value;

use super::database::{Database, EventState, Job, Rejected};
use super::event::{Event, Fate};
use super::expectation::{Difference, Expectation, Place, Setting};
use super::report::Report;
use super::service::Service;

const OUTCOME_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// When an event that should have been accepted is looked for among the rejected messages.
const LATE: Duration = Duration::from_secs(2);

/// How many differences are shown in full.
const SHOWN_MAX: usize = 10;

/// What was done and measured.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    events: usize,
    jobs: usize,
    entries: i64,
    /// From publishing to the outcome, all steps together.
    waited: Duration,
}

/// What came of the events published last.
#[derive(Default)]
struct Step {
    before: Expectation,
    settings_before: BTreeMap<Place, Setting>,
    events: usize,
    jobs: Vec<Job>,
    waited: Duration,
}

/// Everything that a chapter needs.
pub(crate) struct Stage<'a> {
    pub(crate) report: Report,
    pub(crate) expected: Expectation,
    figures: Figures,
    publisher: Publisher,
    exchange: String,
    database: Database,
    service: &'a mut Service,
    chapters: usize,
    differences: usize,
    step: Step,
}

impl<'a> Stage<'a> {
    /// Sets the stage: connects to RabbitMQ.
    pub(crate) async fn set(
        report: Report,
        broker: &BrokerConfig,
        database: Database,
        service: &'a mut Service,
    ) -> Result<Self> {
        let publisher = Publisher::connect(broker).await.context("connect to RabbitMQ")?;
        Ok(Self {
            report,
            expected: Expectation::default(),
            figures: Figures::default(),
            publisher,
            exchange: Topology::new(&broker.prefix).events,
            database,
            service,
            chapters: 0,
            differences: 0,
            step: Step::default(),
        })
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, headline: &str, text: &str) {
        self.chapters += 1;
        self.report.headline(self.chapters, headline);
        self.report.say(text);
    }

    /// Publishes events, waits for what becomes of them, and lists them.
    pub(crate) async fn publish(&mut self, events: &[Event]) -> Result<()> {
        let outcomes = self.publish_unlisted(events).await?;
        let row = |(event, outcome): (&Event, String)| [event.id.clone(), event.says.clone(), outcome];
        let rows: Vec<[String; 3]> = events.iter().zip(outcomes).map(row).collect();
        self.report.table(["event", "says…", "outcome"], &rows);
        Ok(())
    }

    /// Publishes events and waits for what becomes of them; returns that, event by event.
    pub(crate) async fn publish_unlisted(&mut self, events: &[Event]) -> Result<Vec<String>> {
        self.step.before = self.expected.clone();
        self.step.settings_before = self.database.settings().await?;
        let duplicates: Vec<String> = events
            .iter()
            .filter(|event| event.fate == Fate::Duplicate)
            .map(|event| event.id.clone())
            .collect();
        let jobs_before = self.database.jobs(&duplicates).await?.len();
        let begin = Instant::now();
        for event in events {
            self.publisher.publish(&self.exchange, &event.routing_key(), &event.message()?).await?;
        }
        self.publisher.flush().await.context("publish")?;
        let outcomes = self.outcomes(events, begin).await?;
        self.step.waited = begin.elapsed();
        self.step.events = events.len();
        for id in &duplicates {
            let rejected = self.database.rejected(&format!("\"{id}\"")).await?;
            if rejected.is_some() || self.database.jobs(&duplicates).await?.len() != jobs_before {
                self.differs(&format!("{id}: a duplicate, and not taken for one"));
            }
        }
        // The id of a duplicate is that of an event of an earlier step.
        let fresh = events.iter().filter(|event| matches!(event.fate, Fate::State(_)));
        let ids: Vec<String> = fresh.map(|event| event.id.clone()).collect();
        self.step.jobs = self.database.jobs(&ids).await?;
        self.figures.events += events.len();
        self.figures.jobs += self.step.jobs.len();
        self.figures.waited += self.step.waited;
        for (event, outcome) in events.iter().zip(&outcomes) {
            let (Fate::State(wanted) | Fate::Rejected(wanted)) = event.fate else { continue };
            if outcome != wanted {
                self.differs(&format!("{}: expected {wanted}, found {outcome}", event.id));
            }
        }
        let errors: Vec<String> = self
            .step
            .jobs
            .iter()
            .filter_map(|job| Some(format!("job {}: {}", job.key, job.last_error.as_ref()?)))
            .collect();
        for error in errors {
            self.report.bad(&error);
        }
        Ok(outcomes)
    }

    /// Waits until nothing more will become of any of the events. Since the queue keeps their order, a
    /// duplicate has been seen once those behind it have.
    async fn outcomes(&mut self, events: &[Event], begin: Instant) -> Result<Vec<String>> {
        loop {
            self.service.check()?;
            let outcomes = self.outcomes_so_far(events, begin.elapsed() > LATE).await?;
            let missing: Vec<&str> = events
                .iter()
                .zip(&outcomes)
                .filter(|(_, outcome)| outcome.is_none())
                .map(|(event, _)| event.id.as_str())
                .collect();
            if missing.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            if begin.elapsed() > OUTCOME_TIMEOUT {
                bail!(
                    "no outcome after {} s: {}\n{}",
                    OUTCOME_TIMEOUT.as_secs(),
                    missing.join(", "),
                    self.service.log_tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn outcomes_so_far(&self, events: &[Event], late: bool) -> Result<Vec<Option<String>>> {
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let states = self.database.events(&ids).await?;
        let mut outcomes = Vec::new();
        for event in events {
            let state = states.iter().find(|state| state.id == event.id);
            outcomes.push(match event.fate {
                Fate::State(_) if late && state.is_none() => {
                    self.rejected(event, state).await?.map(|rejected| rejected.code)
                }
                Fate::State(_) => state.filter(|state| state.is_final()).map(|state| state.state.clone()),
                Fate::Rejected(_) => self.rejected(event, state).await?.map(|rejected| rejected.code),
                Fate::Duplicate => Some("duplicate".to_owned()),
            });
        }
        Ok(outcomes)
    }

    /// What is said of an event among the rejected messages. One that was found wrong only when it ran is
    /// there a moment before or after its state says so: both must.
    async fn rejected(&self, event: &Event, state: Option<&EventState>) -> Result<Option<Rejected>> {
        let ran = matches!(event.fate, Fate::Rejected("exclusive-conflict" | "partnership-cycle"));
        if ran && state.is_none_or(|state| state.state != "rejected") {
            return Ok(None);
        }
        self.database.rejected(&format!("\"{}\"", event.id)).await
    }

    /// Says in the words of the service why events were rejected, or nothing was done for them.
    pub(crate) async fn reasons(&self, events: &[&str]) -> Result<()> {
        for event in events {
            let rejected = self.database.rejected(&format!("\"{event}\"")).await?;
            let reason = match rejected {
                Some(rejected) => Some(rejected.reason),
                None => self.database.jobs(&[(*event).to_owned()]).await?.pop().and_then(|job| job.skipped),
            };
            if let Some(reason) = reason {
                self.report.detail(&format!("{event}: {reason}"));
            }
        }
        Ok(())
    }

    /// Tells partner by partner what happened, with the reason that the rules give; then compares all
    /// settings, partnerships and job results with what is expected.
    pub(crate) async fn tell(&mut self, partners: &[(&str, &str)]) -> Result<()> {
        let settings = self.database.settings().await?;
        let modes = self.database.modes().await?;
        let rows: Vec<[String; 4]> = partners
            .iter()
            .map(|(organization, why)| {
                let happened = self.happened(organization, &settings);
                [(*organization).to_owned(), mode_of(organization, &modes), happened, (*why).to_owned()]
            })
            .collect();
        self.report.table(["partner", "mode now", "what happened…", "why…"], &rows);
        self.check(&settings, &modes);
        Ok(())
    }

    /// Compares without telling.
    pub(crate) async fn compare(&mut self) -> Result<()> {
        let (settings, modes) = (self.database.settings().await?, self.database.modes().await?);
        self.check(&settings, &modes);
        Ok(())
    }

    fn happened(&self, organization: &str, settings: &BTreeMap<Place, Setting>) -> String {
        let (mut difference, mut kept_own, mut declined) = (Difference::default(), 0, 0);
        for job in self.step.jobs.iter().filter(|job| job.organization == organization) {
            difference.added += job.added;
            difference.changed += job.changed;
            difference.removed += job.removed;
            kept_own += job.kept_own;
            declined += job.declined;
        }
        let locked = |settings: &BTreeMap<Place, Setting>| {
            let theirs = settings.iter().filter(|(place, _)| place.0 == organization);
            theirs.filter(|(_, setting)| setting.locked_by.is_some()).count() as i64
        };
        let (before, now) = (locked(&self.step.settings_before), locked(settings));
        let parts = [
            (difference.added, "added"),
            (difference.changed, "changed"),
            (difference.removed, "removed"),
            (kept_own, "of its own kept"),
            (declined, "declined, left out"),
            (if before == 0 { now } else { 0 }, "now locked"),
            (if now == 0 { before } else { 0 }, "unlocked"),
        ];
        let said = parts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<String> = said.map(|(count, what)| format!("{count} {what}")).collect();
        if said.is_empty() { "nothing".to_owned() } else { said.join(", ") }
    }

    fn check(&mut self, settings: &BTreeMap<Place, Setting>, modes: &BTreeMap<(String, String), String>) {
        let Step { jobs, waited, events, before, .. } = std::mem::take(&mut self.step);
        let written: i64 = jobs.iter().map(|job| job.added + job.changed + job.removed).sum();
        self.figures.entries += written;
        self.report.gap();
        self.report.detail(&format!(
            "{}, {}, {written} entries written; {:.0} ms from publishing to the outcome",
            counted(events, "event"),
            counted(jobs.len(), "job"),
            waited.as_secs_f64() * 1000.0
        ));

        let mut differences = compare_settings(&self.expected.settings(), settings);
        differences.extend(compare_modes(&self.expected.modes(), modes));
        differences.extend(compare_results(&self.expected.since(&before), &jobs));
        if differences.is_empty() {
            self.report.good(&format!(
                "Postgres is as the rules say: {}, {}, 0 differ",
                counted(settings.len(), "setting"),
                counted(modes.len(), "partnership"),
            ));
            return;
        }
        for difference in differences.iter().take(SHOWN_MAX) {
            self.differs(difference);
        }
        let unseen = differences.len().saturating_sub(SHOWN_MAX);
        if unseen > 0 {
            self.report.bad(&format!("… and {unseen} more differences"));
            self.differences += unseen;
        }
    }

    fn differs(&mut self, text: &str) {
        self.report.bad(text);
        self.differences += 1;
    }

    /// Shows some settings as Postgres has them: organization, category, key, and which part of the value.
    pub(crate) async fn look(&self, places: &[(&str, &str, &str, &str)]) -> Result<()> {
        let settings = self.database.settings().await?;
        let row = |&(organization, category, key, part): &(&str, &str, &str, &str)| {
            let place = (organization.to_owned(), category.to_owned(), key.to_owned());
            let (value, whose) = match settings.get(&place) {
                None => ("–".to_owned(), "not there".to_owned()),
                Some(Setting { value, origin, locked_by }) => {
                    let value = match value.get(part) {
                        Some(Value::String(text)) => text.clone(),
                        Some(part_value) => format!("{part} {part_value}"),
                        None => format!("no {part}"),
                    };
                    let whose = if origin == "own" { "its own".to_owned() } else { format!("from {origin}") };
                    let lock = if locked_by.is_some() { ", locked" } else { "" };
                    (value, format!("{whose}{lock}"))
                }
            };
            let key = key.rsplit('/').next().unwrap_or(key);
            [organization, &format!("{category} {key}"), &value, &whose].map(str::to_owned)
        };
        let rows: Vec<_> = places.iter().map(row).collect();
        self.report.table(["for example", "setting…", "value…", "is"], &rows);
        Ok(())
    }

    /// The end: everything once more, organization by organization. True where nothing differed, now or in
    /// any chapter.
    pub(crate) async fn close(mut self) -> Result<bool> {
        let (settings, modes) = (self.database.settings().await?, self.database.modes().await?);
        let mut organizations: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for ((organization, ..), setting) in &settings {
            let [own, synced, locked] = organizations.entry(organization).or_default();
            *(if setting.origin == "own" { own } else { synced }) += 1;
            *locked += usize::from(setting.locked_by.is_some());
        }
        let rows: Vec<[String; 6]> = organizations
            .iter()
            .map(|(organization, [own, synced, locked])| {
                let [all, own, synced, locked] =
                    [own + synced, *own, *synced, *locked].map(|count| count.to_string());
                [(*organization).to_owned(), mode_of(organization, &modes), all, own, synced, locked]
            })
            .collect();
        self.report.table(["organization", "mode now", "settings", "its own", "synced", "locked"], &rows);
        self.report.gap();
        let organizations = organizations.len();
        let differences = compare_settings(&self.expected.settings(), &settings);
        let differ = differences.len();
        let modes = compare_modes(&self.expected.modes(), &modes);
        for difference in differences.iter().chain(&modes).take(SHOWN_MAX) {
            self.report.bad(difference);
        }
        self.differences += differ + modes.len();
        let Figures { events, jobs, entries, waited } = self.figures;
        self.report.detail(&format!(
            "in all: {}, {}, {entries} entries written; {:.1} s from publishing to the outcome",
            counted(events, "event"),
            counted(jobs, "job"),
            waited.as_secs_f64()
        ));
        let compared =
            format!("{} settings of {organizations} organizations compared, {differ} differ", settings.len());
        if differ == 0 {
            self.report.good(&compared)
        } else {
            self.report.bad(&compared)
        }
        if self.differences > 0 {
            self.report.bad(&format!("{} in all chapters together", counted(self.differences, "difference")));
        }
        self.publisher.close().await;
        Ok(self.differences == 0)
    }
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

fn mode_of(downstream: &str, modes: &BTreeMap<(String, String), String>) -> String {
    let mut theirs: Vec<&str> =
        modes.iter().filter(|((_, of), _)| of == downstream).map(|(_, mode)| mode.as_str()).collect();
    theirs.dedup();
    if theirs.is_empty() { "–".to_owned() } else { theirs.join(", ") }
}

fn compare_settings(expected: &BTreeMap<Place, Setting>, found: &BTreeMap<Place, Setting>) -> Vec<String> {
    let missing = expected.iter().filter(|(place, _)| !found.contains_key(*place));
    let missing =
        missing.map(|(place, setting)| format!("{}: expected {}, found nothing", at(place), show(setting)));
    let wrong = found.iter().filter_map(|(place, setting)| match expected.get(place) {
        None => Some(format!("{}: expected nothing, found {}", at(place), show(setting))),
        Some(wanted) if wanted != setting => {
            Some(format!("{}: expected {}, found {}", at(place), show(wanted), show(setting)))
        }
        Some(_) => None,
    });
    missing.chain(wrong).collect()
}

fn compare_modes(
    expected: &BTreeMap<(String, String), String>,
    found: &BTreeMap<(String, String), String>,
) -> Vec<String> {
    if expected == found {
        return Vec::new();
    }
    vec![format!("partnerships: expected {expected:?}, found {found:?}")]
}

/// What the jobs say that they did must be what happened.
fn compare_results(expected: &BTreeMap<String, Difference>, jobs: &[Job]) -> Vec<String> {
    let mut said: BTreeMap<String, Difference> = BTreeMap::new();
    for job in jobs {
        let difference = said.entry(job.organization.clone()).or_default();
        difference.added += job.added;
        difference.changed += job.changed;
        difference.removed += job.removed;
    }
    said.retain(|_, difference| *difference != Difference::default());
    let mut organizations: Vec<&String> = said.keys().chain(expected.keys()).collect();
    organizations.sort();
    organizations.dedup();
    let of = |results: &BTreeMap<String, Difference>, organization: &String| {
        results.get(organization).copied().unwrap_or_default()
    };
    organizations
        .into_iter()
        .map(|organization| (organization, of(expected, organization), of(&said, organization)))
        .filter(|(_, wanted, said)| wanted != said)
        .map(|(organization, wanted, said)| {
            format!("the job results of {organization}: expected {wanted}; found {said}")
        })
        .collect()
}

fn at((organization, category, key): &Place) -> String {
    format!("{organization}, {category}, {key}")
}

fn show(Setting { value, origin, locked_by }: &Setting) -> String {
    format!(
        "{value} ({origin}, {})",
        locked_by.as_ref().map_or("free".to_owned(), |by| format!("locked by {by}"))
    )
}
