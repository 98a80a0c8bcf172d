//! Preview: what events would do that have not happened, with nothing written and nobody held up.
//!
//! The events are read by the contract and worked off by the domain, as they would be ([`super::rehearsal`]), on the
//! state of one moment. Each event is worked off whole, through all tiers, before the next one begins.
//!
//! What waits in the mailbox is **not** taken into account: it is as if it were never done. Nor is a pause. Both are
//! told beside ([`Preview::waiting`]), as far as they concern organizations that the preview is about.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::OperationError;
use super::rehearsal::{Rehearsal, RehearsalLimits, Rehearsed, Run};
use super::rules::{self, RuleRow};
use crate::contract::{self, Envelope, Event, Limits, Message, Properties};
use crate::domain::catalogue::{Catalogue, CategoryId};
use crate::domain::decide::{Fate, Noted, Skipped};
use crate::domain::mailbox::{FoundWrong, JobDone, JobKind, Verdict};
use crate::domain::partnership::Mode;
use crate::domain::policy::{self, Occurrence, Rule};
use crate::domain::setting::{Entry, ValueId};
use crate::domain::{CauseNo, ChangeNo, OrganizationNo};
use crate::store::Store;
use crate::store::preview::Waiting;
use crate::store::read::StoredValue;
use crate::store::words::{found_wrong_text, skipped_text};

/// How many organizations are named for which something waits.
const WAITING_MAX: i64 = 20;

/// How many entries a preview goes through, by and large.
pub const PREVIEW_ENTRIES_MAX: usize = 1_000_000;

/// How many events a preview takes.
pub const PREVIEW_EVENTS_MAX: usize = 1_000;

/// An event to be previewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupposedEvent {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// The message that would bring it.
    pub message: Message,
}

/// What an event is read with, and how much is worked off and told.
#[derive(Debug, Clone, Copy)]
pub struct PreviewOptions<'a> {
    /// The catalogue.
    pub catalogue: &'a Catalogue,
    /// How large an event may be.
    pub limits: Limits,
    /// How much is worked off.
    pub rehearsal: RehearsalLimits,
    /// Most jobs that are told of an event, and most organizations that it does not reach.
    pub jobs_max: usize,
    /// Most entries that are told of a job.
    pub entries_max: usize,
}

/// What events would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Preview {
    /// When what it goes by was so.
    pub at: Timestamp,
    /// Everything together.
    pub totals: Totals,
    /// Each event, in the order in which they were given.
    pub events: Vec<EventPreview>,
    /// Entries that would count as declined from then on: no merge brings them back.
    pub declined: Vec<DeclinedEntry>,
    /// Entries that would no longer count as declined.
    pub no_longer_declined: Vec<DeclinedEntry>,
    /// What waits for the organizations that it is about, and is not taken into account.
    pub waiting: Waiting,
    /// Whether all was gone through. Where it was too much, the rest is missing everywhere, in the totals too.
    pub complete: bool,
}

/// How much would become of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Totals {
    /// Jobs that would be done.
    pub jobs: i64,
    /// Organizations whose settings would be other than before.
    pub organizations_changed: i64,
    /// How many tiers down it goes; 0 where it stays with the organization that the event is of.
    pub tiers: i64,
    /// Entries that would be added.
    pub added: i64,
    /// Entries that would have another value.
    pub changed: i64,
    /// Entries that would go.
    pub removed: i64,
    /// Entries that are as they should be.
    pub unchanged: i64,
    /// Of these, entries of the downstream's own that would come from the upstream from then on.
    pub taken_over: i64,
    /// Entries of the downstream's own that would be left alone.
    pub kept_own: i64,
    /// Entries that would be left out, since the downstream deleted them.
    pub declined: i64,
    /// Entries that a match would displace: changed or removed, and archived.
    pub archived: i64,
    /// Organizations that would be locked, and were not.
    pub locked: i64,
    /// Organizations that would no longer be locked.
    pub unlocked: i64,
    /// Downstreams of a changed organization that nothing of the change would reach.
    pub not_reached: i64,
}

/// What would become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// It takes effect.
    Done,
    /// A version at least as large was seen before.
    Superseded,
    /// It edits what is locked.
    Locked,
    /// It is found wrong: when it comes, or when it runs.
    Rejected,
    /// It is there already.
    Duplicate,
    /// Its category is never synced.
    Ignored,
    /// It was not looked at, since an event before it was too much.
    Unknown,
}

impl Prediction {
    /// Its name: the state that the event would have, where it would be one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Superseded => "superseded",
            Self::Locked => "locked",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unknown => "unknown",
        }
    }
}

/// An event, and what it would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventPreview {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// Its id, where it could be read.
    pub event_id: Option<String>,
    /// Its source, where it could be read.
    pub source: Option<String>,
    /// `setting-changed` or `partnership-changed`, where it could be read.
    #[serde(rename = "type")]
    pub event_type: Option<&'static str>,
    /// Whose settings it edits, or the upstream of the partnership.
    pub organization_id: Option<String>,
    /// The downstream, where it is about a partnership.
    pub downstream_id: Option<String>,
    /// The category that it edits.
    pub category: Option<String>,
    /// What would become of it.
    pub prediction: Prediction,
    /// The code of what is wrong with it, where it would be rejected.
    pub code: Option<&'static str>,
    /// Why it would not take effect, where it would not.
    pub reason: Option<String>,
    /// What it does to a partnership, where it is about one and takes effect.
    pub partnership: Option<PartnershipPreview>,
    /// Everything together.
    pub totals: Totals,
    /// Its jobs, each after the one that it follows from.
    pub jobs: Vec<JobPreview>,
    /// How many more there are.
    pub jobs_left_off: usize,
    /// Downstreams of organizations that it changes, and that nothing of the change would reach.
    pub not_reached: Vec<NotReached>,
    /// How many more there are.
    pub not_reached_left_off: usize,
}

/// What new flags would do to a partnership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartnershipPreview {
    /// The mode before; off where there was none.
    pub mode_before: Mode,
    /// The mode from then on.
    pub mode: Mode,
    /// Categories of the downstream that would be locked, and were not.
    pub locked: Vec<String>,
    /// Categories of the downstream that would no longer be locked.
    pub unlocked: Vec<String>,
}

/// What a job would do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobPreview {
    /// What kind of job.
    pub kind: &'static str,
    /// Whose settings it writes.
    pub organization_id: String,
    /// The upstream that it syncs from, or whose partnership it is about.
    pub upstream_id: Option<String>,
    /// The category; none where it is about all.
    pub category: Option<String>,
    /// How many tiers below the organization that the event is of.
    pub tier: i64,
    /// The place of the job that it follows from, from 0, in the list of the event's jobs.
    pub follows_from: Option<usize>,
    /// The mode of the partnership that decides.
    pub mode: Option<Mode>,
    /// The rule that decides, where one does.
    pub rule: Option<RuleRow>,
    /// Entries that would be added.
    pub added: i32,
    /// Entries that would have another value.
    pub changed: i32,
    /// Entries that would go.
    pub removed: i32,
    /// Entries that are as they should be.
    pub unchanged: i32,
    /// Entries of the organization's own that would be left alone.
    pub kept_own: i32,
    /// Entries that would be left out, since the organization deleted them.
    pub declined: i32,
    /// Why nothing would be done, where nothing would.
    pub skipped: Option<String>,
    /// What would become of entries; not those that stay as they are.
    pub entries: Vec<EntryPreview>,
    /// How many more there are.
    pub entries_left_off: usize,
}

/// What would become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryFate {
    /// It goes.
    Removed,
    /// It gets another value.
    Changed,
    /// It keeps its value, and comes from the upstream from then on.
    TakenOver,
    /// It is new.
    Added,
    /// It is the organization's own, and stays.
    KeptOwn,
    /// It stays away, since the organization deleted it.
    Declined,
}

impl EntryFate {
    /// Its name, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::TakenOver => "taken over",
            Self::Added => "added",
            Self::KeptOwn => "kept own",
            Self::Declined => "declined",
        }
    }
}

/// An entry, and what would become of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EntryPreview {
    /// Its category.
    pub category: String,
    /// Its key there.
    pub key: String,
    /// What would become of it.
    pub fate: EntryFate,
    /// The rule that decides, where it is not the organization's own edit.
    pub rule: Option<Rule>,
    /// What it is now; none where it is not there.
    pub before: Option<EntryState>,
    /// What it would be; none where it would not be there.
    pub after: Option<EntryState>,
    /// Whether what it was would be archived with the job.
    pub archived: bool,
}

/// An entry as it is, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EntryState {
    /// Its value.
    #[schema(value_type = serde_json::Value)]
    pub value: Option<StoredValue>,
    /// `own`, or the upstream that it comes from.
    pub origin: String,
}

/// A downstream that a change would not reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct NotReached {
    /// The downstream.
    pub organization_id: String,
    /// Who would be changed.
    pub upstream_id: String,
    /// In which category.
    pub category: String,
    /// The mode of the partnership.
    pub mode: Mode,
    /// Why the change does not reach it.
    pub because: String,
}

/// An entry that an organization deleted after it had been synced to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct DeclinedEntry {
    /// Who deleted it.
    pub organization_id: String,
    /// Where it had come from.
    pub upstream_id: String,
    /// Its category.
    pub category: String,
    /// Its key.
    pub key: String,
}

/// Reads events that have not happened: one, or JSON Lines. Whether each could be an event is for the preview to say.
///
/// # Errors
/// Where the text is not JSON, or holds more events than a preview takes: the line, and what is wrong there.
pub fn read_supposed(text: &str) -> Result<Vec<SupposedEvent>, super::MalformedEvent> {
    let events = contract::read_events(text)
        .map_err(|error| super::MalformedEvent { line: error.line, reason: error.reason })?;
    if let Some(event) = events.get(PREVIEW_EVENTS_MAX) {
        let reason = format!("there are {} events; expected at most {PREVIEW_EVENTS_MAX}", events.len());
        return Err(super::MalformedEvent { line: event.line, reason });
    }
    let supposed = events.iter().map(|event| {
        let content_type = Some("application/cloudevents+json".to_owned());
        let properties = Properties { content_type, ..Properties::default() };
        SupposedEvent {
            line: event.line,
            message: Message { body: event.text.as_bytes().to_vec(), properties },
        }
    });
    Ok(supposed.collect())
}

/// What events would do, one after the other, as things are now. Nothing is written, and nothing is locked.
///
/// # Errors
/// Where the database cannot be read.
pub async fn preview(
    store: &Store,
    events: &[SupposedEvent],
    options: &PreviewOptions<'_>,
) -> Result<Preview, OperationError> {
    let mut session = store.session().await?;
    let transaction = session.begin_reading().await?;
    let at = Timestamp::now();
    let mut rehearsal = Rehearsal::new(&transaction, options.catalogue, options.rehearsal).await?;
    let mut told: Vec<Told> = Vec::with_capacity(events.len());
    let mut new_values = BTreeMap::new();
    let mut complete = true;
    for event in events {
        let decoded = contract::decode(&event.message, options.catalogue, &options.limits);
        let rehearsed = match &decoded {
            _ if !complete => None,
            Ok(envelope) => Some(rehearsal.run(envelope).await?),
            Err(rejection) => Some(Rehearsed::Refused(rejection.clone())),
        };
        let envelope = decoded.ok();
        if let Some(envelope) = &envelope {
            new_values.extend(envelope.values.clone());
        }
        let facts = match &rehearsed {
            Some(Rehearsed::Run(run)) => {
                complete &= run.complete;
                transaction.load_downstreams(&changed(run), &mut rehearsal.world).await?;
                Facts::of(run, &rehearsal, options.catalogue)
            }
            _ => Facts::default(),
        };
        told.push(Told { line: event.line, envelope, rehearsed, facts });
    }
    let mut names = rehearsal.names();
    let writes = rehearsal.world.take_writes();
    let mut named: BTreeSet<OrganizationNo> = told.iter().flat_map(Told::organizations).collect();
    let concerned: BTreeSet<OrganizationNo> = told.iter().flat_map(Told::concerned).collect();
    let of_declined = writes.declined_put.iter().map(|(declined, _)| declined);
    for declined in of_declined.clone().chain(&writes.declined_removed) {
        named.extend([declined.downstream, declined.upstream]);
    }
    names.extend(transaction.organization_names(&named).await?);
    let shown: BTreeSet<ValueId> = told.iter().flat_map(|told| told.values(options)).collect();
    let values = transaction.values(&shown, &new_values).await?;
    let waiting = transaction.waiting(&concerned, WAITING_MAX).await?;

    let words = Words { catalogue: options.catalogue, names, values };
    let events: Vec<EventPreview> = told.iter().map(|told| told.event(&words, options)).collect();
    Ok(Preview {
        at,
        totals: totals(told.iter().map(|told| &told.facts)),
        events,
        declined: words.declined(of_declined),
        no_longer_declined: words.declined(writes.declined_removed.iter()),
        waiting,
        complete,
    })
}

/// Organizations that an event changed, whose downstreams may have been reached or not.
fn changed(run: &Run) -> BTreeSet<OrganizationNo> {
    run.noted.iter().filter(|(_, noted)| !effects(noted).is_empty()).map(|((_, no), _)| *no).collect()
}

/// The categories that a job changed effectively, and whether it added entries there.
fn effects(noted: &[Noted]) -> BTreeMap<CategoryId, bool> {
    let mut effects = BTreeMap::new();
    for one in noted {
        if matches!(one.fate, Fate::Added | Fate::Changed | Fate::Removed) {
            *effects.entry(one.category).or_insert(false) |= one.fate == Fate::Added;
        }
    }
    effects
}

/// An event, and what came of it, in numbers of this database.
struct Told {
    line: usize,
    envelope: Option<Envelope>,
    rehearsed: Option<Rehearsed>,
    facts: Facts,
}

/// What came of the jobs of an event. Found out before the next event runs: modes are those of the moment.
#[derive(Default)]
struct Facts {
    /// In the order in which they are told.
    jobs: Vec<JobFacts>,
    not_reached: Vec<(OrganizationNo, OrganizationNo, CategoryId, Mode, String)>,
    modes: Option<(Mode, Mode)>,
}

struct JobFacts {
    job: JobDone,
    noted: Vec<(EntryFate, Noted)>,
    upstream: Option<OrganizationNo>,
    category: Option<CategoryId>,
    tier: i64,
    follows_from: Option<usize>,
    mode: Option<Mode>,
    rule: Option<RuleRow>,
    /// The occurrence by which each category is decided.
    occurrence: Option<Occurrence>,
}

impl Facts {
    fn of(run: &Run, rehearsal: &Rehearsal<'_>, catalogue: &Catalogue) -> Self {
        let mut facts = Self::default();
        for (place, tier, follows_from) in in_order(run) {
            facts.jobs.push(JobFacts::of(run, &run.jobs[place], tier, follows_from, rehearsal, catalogue));
        }
        for job in &facts.jobs {
            if job.job.kind == JobKind::PartnershipChange {
                facts.modes = match job.job.skipped {
                    Some(Skipped::ReconcileFollows(before, mode) | Skipped::ModeChanges(before, mode)) => {
                        Some((before, mode))
                    }
                    Some(Skipped::ModeStays(mode)) => Some((mode, mode)),
                    _ => None,
                };
            }
            let noted = run.noted.get(&(job.job.cause, job.job.organization));
            for (category, adds) in effects(noted.map_or(&[], Vec::as_slice)) {
                for partnership in rehearsal.world.downstreams_of(job.job.organization) {
                    let (mode, about) = (partnership.mode(), catalogue.get(category));
                    let RuleRow { rule, because } = rules::rule(Occurrence::UpstreamChanged, mode, about);
                    let because = match rule {
                        Rule::Match => continue,
                        Rule::Merge if adds => continue,
                        Rule::Merge => format!("{because}, and there is none"),
                        Rule::Nothing | Rule::Refuse => because,
                    };
                    let upstream = job.job.organization;
                    facts.not_reached.push((partnership.downstream, upstream, category, mode, because));
                }
            }
        }
        facts
    }

    fn has_locked(&self, catalogue: &Catalogue) -> (Vec<CategoryId>, Vec<CategoryId>) {
        let Some((before, after)) = self.modes else { return (Vec::new(), Vec::new()) };
        let locks = |mode| move |about| policy::locks(mode, about);
        let (was, is) = (locks(before), locks(after));
        let all = || catalogue.iter();
        let of = |(category, _): (CategoryId, _)| category;
        (
            all().filter(|(_, about)| is(about) && !was(about)).map(of).collect(),
            all().filter(|(_, about)| was(about) && !is(about)).map(of).collect(),
        )
    }
}

/// The jobs of an event, each after the one that it follows from, with its tier and the place of that one here.
fn in_order(run: &Run) -> Vec<(usize, i64, Option<usize>)> {
    let mut below: HashMap<Option<(CauseNo, OrganizationNo)>, Vec<usize>> = HashMap::new();
    let known: HashSet<(CauseNo, OrganizationNo)> =
        run.jobs.iter().map(|job| (job.cause, job.organization)).collect();
    for (place, job) in run.jobs.iter().enumerate() {
        let parent = run.follows_from(job).filter(|parent| known.contains(parent));
        below.entry(parent).or_default().push(place);
    }
    let mut ordered = Vec::with_capacity(run.jobs.len());
    let mut open: Vec<(usize, i64, Option<usize>)> = Vec::new();
    let first = below.remove(&None).unwrap_or_default();
    // A partnership is about the downstream: one tier below the organization that the event names first.
    let tier = |place: usize| i64::from(run.jobs[place].kind != JobKind::OwnChange);
    open.extend(first.into_iter().rev().map(|place| (place, tier(place), None)));
    while let Some((place, tier, parent)) = open.pop() {
        let job = &run.jobs[place];
        let here = ordered.len();
        ordered.push((place, tier, parent));
        let following = below.remove(&Some((job.cause, job.organization))).unwrap_or_default();
        open.extend(following.into_iter().rev().map(|place| {
            let is_below = run.jobs[place].kind == JobKind::SyncChange;
            (place, tier + i64::from(is_below), Some(here))
        }));
    }
    ordered
}

impl JobFacts {
    fn of(
        run: &Run,
        job: &JobDone,
        tier: i64,
        follows_from: Option<usize>,
        rehearsal: &Rehearsal<'_>,
        catalogue: &Catalogue,
    ) -> Self {
        let cause = ChangeNo(job.cause.0);
        let (mut upstream, mut category, mut occurrence) = (None, None, None);
        let mode_with = |upstream| {
            let partnership = rehearsal.world.partnership(upstream, job.organization);
            partnership.map_or(Mode::Off, |partnership| partnership.mode())
        };
        let (mode, rule) = if let Some(change) = run.changes.get(&cause) {
            let mode = mode_with(change.organization);
            upstream = Some(change.organization);
            category = Some(change.category);
            occurrence = Some(Occurrence::UpstreamChanged);
            let about = catalogue.get(change.category);
            (Some(mode), Some(rules::rule(Occurrence::UpstreamChanged, mode, about)))
        } else if let Some(reconcile) = run.reconciles.get(&cause) {
            let mode = mode_with(reconcile.upstream);
            upstream = Some(reconcile.upstream);
            occurrence = Some(Occurrence::Began(reconcile.beginning));
            (Some(mode), Some(rules::reconcile(reconcile.beginning, mode)))
        } else {
            (None, None)
        };
        let noted = run.noted.get(&(job.cause, job.organization)).into_iter().flatten();
        let mut noted: Vec<(EntryFate, Noted)> =
            noted.filter_map(|one| Some((fate(one)?, one.clone()))).collect();
        // What is lost comes first.
        noted.sort_by_key(|(fate, _)| *fate);
        let job = job.clone();
        Self { job, noted, upstream, category, tier, follows_from, mode, rule, occurrence }
    }

    fn organizations(&self) -> impl Iterator<Item = OrganizationNo> + '_ {
        let origins = self.noted.iter().flat_map(|(_, noted)| {
            [noted.before, noted.after].into_iter().flatten().filter_map(|entry| entry.origin)
        });
        let locked_by = match self.job.skipped {
            Some(Skipped::Locked { by }) => Some(by),
            _ => None,
        };
        [self.job.organization].into_iter().chain(self.upstream).chain(locked_by).chain(origins)
    }
}

fn fate(noted: &Noted) -> Option<EntryFate> {
    Some(match noted.fate {
        Fate::Added => EntryFate::Added,
        Fate::Changed => EntryFate::Changed,
        Fate::Removed => EntryFate::Removed,
        Fate::Unchanged => EntryFate::TakenOver,
        Fate::KeptOwn => EntryFate::KeptOwn,
        Fate::Declined => EntryFate::Declined,
        // There are no replays here.
        Fate::Overtaken => return None,
    })
}

fn totals<'f>(all: impl Iterator<Item = &'f Facts>) -> Totals {
    let mut totals = Totals::default();
    let mut changed = HashSet::new();
    for facts in all {
        totals.not_reached += facts.not_reached.len() as i64;
        if let Some((before, after)) = facts.modes {
            totals.locked += i64::from(after == Mode::Strict && before != Mode::Strict);
            totals.unlocked += i64::from(before == Mode::Strict && after != Mode::Strict);
        }
        for facts in &facts.jobs {
            let counts = &facts.job.counts;
            totals.jobs += 1;
            totals.tiers = totals.tiers.max(facts.tier);
            totals.added += i64::from(counts.added);
            totals.changed += i64::from(counts.changed);
            totals.removed += i64::from(counts.removed);
            totals.unchanged += i64::from(counts.unchanged);
            totals.kept_own += i64::from(counts.kept_own);
            totals.declined += i64::from(counts.declined);
            totals.archived += facts.job.displaced.len() as i64;
            let taken_over = facts.noted.iter().filter(|(fate, _)| *fate == EntryFate::TakenOver);
            totals.taken_over += taken_over.count() as i64;
            if counts.added + counts.changed + counts.removed > 0 {
                changed.insert(facts.job.organization);
            }
        }
    }
    totals.organizations_changed = changed.len() as i64;
    totals
}

/// What numbers are called.
struct Words<'a> {
    catalogue: &'a Catalogue,
    names: HashMap<OrganizationNo, String>,
    values: HashMap<ValueId, StoredValue>,
}

impl Words<'_> {
    fn name(&self, organization: OrganizationNo) -> String {
        self.names.get(&organization).cloned().unwrap_or_else(|| "(unknown)".to_owned())
    }

    fn category(&self, category: CategoryId) -> String {
        self.catalogue.name(category).to_owned()
    }

    fn state(&self, entry: Entry) -> EntryState {
        EntryState {
            value: self.values.get(&entry.value).cloned(),
            origin: entry.origin.map_or_else(|| "own".to_owned(), |origin| self.name(origin)),
        }
    }

    fn declined<'d>(
        &self,
        all: impl Iterator<Item = &'d crate::domain::world::Declined>,
    ) -> Vec<DeclinedEntry> {
        let mut all: Vec<DeclinedEntry> = all
            .map(|declined| DeclinedEntry {
                organization_id: self.name(declined.downstream),
                upstream_id: self.name(declined.upstream),
                category: self.category(declined.category),
                key: declined.key.to_string(),
            })
            .collect();
        all.sort();
        all
    }
}

impl Told {
    /// Organizations that are named.
    fn organizations(&self) -> BTreeSet<OrganizationNo> {
        let mut all: BTreeSet<OrganizationNo> =
            self.facts.jobs.iter().flat_map(JobFacts::organizations).collect();
        all.extend(self.facts.not_reached.iter().flat_map(|row| [row.0, row.1]));
        if let Some(Rehearsed::Run(Run { verdict: Verdict::Rejected(found), .. })) = &self.rehearsed {
            match found {
                FoundWrong::ExclusiveConflict { upstream, downstream, in_the_way, .. } => {
                    all.extend([*upstream, *downstream, *in_the_way]);
                }
                FoundWrong::PartnershipCycle { path } => all.extend(path),
                FoundWrong::EmptySnapshot { organization, .. } => {
                    all.insert(*organization);
                }
            }
        }
        all
    }

    /// Organizations whose outcome may be another one where something waits for them.
    fn concerned(&self) -> BTreeSet<OrganizationNo> {
        let of_job = |facts: &JobFacts| [Some(facts.job.organization), facts.upstream];
        self.facts.jobs.iter().flat_map(of_job).flatten().collect()
    }

    /// Values that are shown.
    fn values(&self, options: &PreviewOptions<'_>) -> Vec<ValueId> {
        let jobs = self.facts.jobs.iter().take(options.jobs_max);
        let noted = jobs.flat_map(|facts| facts.noted.iter().take(options.entries_max));
        noted
            .flat_map(|(_, noted)| [noted.before, noted.after].into_iter().flatten())
            .map(|entry| entry.value)
            .collect()
    }

    fn event(&self, words: &Words<'_>, options: &PreviewOptions<'_>) -> EventPreview {
        let (prediction, code, reason) = self.prediction(words);
        let mut event = EventPreview {
            line: self.line,
            event_id: None,
            source: None,
            event_type: None,
            organization_id: None,
            downstream_id: None,
            category: None,
            prediction,
            code,
            reason,
            partnership: self.partnership(words),
            totals: totals([&self.facts].into_iter()),
            jobs: Vec::new(),
            jobs_left_off: self.facts.jobs.len().saturating_sub(options.jobs_max),
            not_reached: Vec::new(),
            not_reached_left_off: self.facts.not_reached.len().saturating_sub(options.jobs_max),
        };
        if let Some(Rehearsed::Refused(rejection)) = &self.rehearsed {
            event.event_id.clone_from(&rejection.id);
            event.source.clone_from(&rejection.source);
        }
        if let Some(envelope) = &self.envelope {
            event.event_id = Some(envelope.id.clone());
            event.source = Some(envelope.source.clone());
            match &envelope.event {
                Event::SettingChanged(setting) => {
                    event.event_type = Some("setting-changed");
                    event.organization_id = Some(setting.organization_id.to_string());
                    event.category = Some(words.category(setting.category));
                }
                Event::PartnershipChanged(partnership) => {
                    event.event_type = Some("partnership-changed");
                    event.organization_id = Some(partnership.upstream_id.to_string());
                    event.downstream_id = Some(partnership.downstream_id.to_string());
                }
            }
        }
        let jobs = self.facts.jobs.iter().take(options.jobs_max);
        event.jobs = jobs.map(|facts| facts.job(words, options)).collect();
        // An event's own job is about what the event is about.
        for job in event.jobs.iter_mut().filter(|job| job.rule.is_none()) {
            job.category.clone_from(&event.category);
            if event.downstream_id.is_some() {
                job.upstream_id.clone_from(&event.organization_id);
            }
        }
        let not_reached =
            self.facts.not_reached.iter().map(|(downstream, upstream, category, mode, because)| NotReached {
                organization_id: words.name(*downstream),
                upstream_id: words.name(*upstream),
                category: words.category(*category),
                mode: *mode,
                because: because.clone(),
            });
        event.not_reached = not_reached.take(options.jobs_max).collect();
        event
    }

    fn prediction(&self, words: &Words<'_>) -> (Prediction, Option<&'static str>, Option<String>) {
        let skipped = || {
            let skipped = self.facts.jobs.first().and_then(|facts| facts.job.skipped);
            skipped.map(|skipped| skipped_text(skipped, &words.names))
        };
        match &self.rehearsed {
            None => {
                let reason = "an event before it goes through more than a preview does".to_owned();
                (Prediction::Unknown, None, Some(reason))
            }
            Some(Rehearsed::Refused(rejection)) => {
                (Prediction::Rejected, Some(rejection.code.name()), Some(rejection.reason.clone()))
            }
            Some(Rehearsed::Duplicate) => {
                let reason = "the same event is there already: it changes nothing".to_owned();
                (Prediction::Duplicate, None, Some(reason))
            }
            Some(Rehearsed::Ignored) => {
                let reason = "its category is never synced: it is recorded, and changes nothing".to_owned();
                (Prediction::Ignored, None, Some(reason))
            }
            Some(Rehearsed::Run(run)) => match &run.verdict {
                Verdict::Applied => (Prediction::Done, None, None),
                Verdict::Superseded => (Prediction::Superseded, None, skipped()),
                Verdict::Locked => (Prediction::Locked, None, skipped()),
                Verdict::Rejected(found) => {
                    let (code, reason) = found_wrong_text(words.catalogue, found, &words.names);
                    (Prediction::Rejected, Some(code.name()), Some(reason))
                }
            },
        }
    }

    fn partnership(&self, words: &Words<'_>) -> Option<PartnershipPreview> {
        let (mode_before, mode) = self.facts.modes?;
        let (locked, unlocked) = self.facts.has_locked(words.catalogue);
        let names = |all: Vec<CategoryId>| all.into_iter().map(|one| words.category(one)).collect();
        Some(PartnershipPreview { mode_before, mode, locked: names(locked), unlocked: names(unlocked) })
    }
}

impl JobFacts {
    fn job(&self, words: &Words<'_>, options: &PreviewOptions<'_>) -> JobPreview {
        let JobDone { organization, kind, counts, skipped, .. } = &self.job;
        let displaced: HashSet<(CategoryId, &str)> =
            self.job.displaced.iter().map(|displaced| (displaced.category, &*displaced.key)).collect();
        let entry = |(fate, noted): &(EntryFate, Noted)| EntryPreview {
            category: words.category(noted.category),
            key: noted.key.to_string(),
            fate: *fate,
            rule: self.rule_of(noted.category, words.catalogue),
            before: noted.before.map(|entry| words.state(entry)),
            after: noted.after.map(|entry| words.state(entry)),
            archived: displaced.contains(&(noted.category, &*noted.key)),
        };
        JobPreview {
            kind: kind.name(),
            organization_id: words.name(*organization),
            upstream_id: self.upstream.map(|upstream| words.name(upstream)),
            category: self.category.map(|category| words.category(category)),
            tier: self.tier,
            follows_from: self.follows_from,
            mode: self.mode,
            rule: self.rule.clone(),
            added: counts.added,
            changed: counts.changed,
            removed: counts.removed,
            unchanged: counts.unchanged,
            kept_own: counts.kept_own,
            declined: counts.declined,
            skipped: skipped.map(|skipped| skipped_text(skipped, &words.names)),
            entries: self.noted.iter().take(options.entries_max).map(entry).collect(),
            entries_left_off: self.noted.len().saturating_sub(options.entries_max),
        }
    }

    fn rule_of(&self, category: CategoryId, catalogue: &Catalogue) -> Option<Rule> {
        let (occurrence, mode) = (self.occurrence?, self.mode?);
        Some(policy::rule(occurrence, mode, catalogue.get(category)))
    }
}
